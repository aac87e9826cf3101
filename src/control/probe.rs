//! `probe`: a built-in check, as a container's health check and as the watchdog itself runs it.

use std::ffi::OsStr;
use std::time::Duration;

use crate::exit::ExitCode;
use crate::log::print;
use crate::probe::builtin;
use crate::settings;
use crate::settings::check::Builtin;
use crate::settings::values::{interval, text};
use crate::text::escaped;

/// For how long, if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a check, and says what it found.
///
/// # Errors
/// It is no built-in check, or the time is none.
pub fn run(check: &OsStr, timeout: Option<&OsStr>) -> Result<ExitCode, Vec<String>> {
    let mut wrong = Vec::new();
    let time = timeout.map_or(Ok(TIMEOUT), |given| {
        settings::check("timeout", given, |given| interval(text(given)?)).map_err(|it| it.to_string())
    });
    let read = text(check)
        .map_err(settings::Wrong::from)
        .and_then(Builtin::read)
        .map_err(|it| format!("probe '{}': {}; {}", escaped(&check.to_string_lossy()), it.what, it.instead));
    match (read, time) {
        (Ok(check), Ok(time)) => {
            let outcome = builtin::run(&check, time);
            print(&outcome.to_string());
            return Ok(ExitCode::Probed(outcome.status()));
        }
        (read, time) => wrong.extend(read.err().into_iter().chain(time.err())),
    }
    Err(wrong)
}
