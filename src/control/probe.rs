//! `probe`: a built-in check, as a container's health check and as the watchdog itself runs it.

use std::ffi::OsStr;
use std::time::Duration;

use super::{Failure, value};
use crate::exit::ExitCode;
use crate::log::print;
use crate::probe::builtin;
use crate::settings::check::Builtin;
use crate::settings::values::{interval, text};
use crate::text::escaped;

/// For how long, if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a check, and says what it found.
///
/// # Errors
/// It is no built-in check, or the time is none.
pub fn run(check: &OsStr, timeout: Option<&OsStr>) -> Result<ExitCode, Failure> {
    let time = value("timeout", timeout, interval);
    let read = text(check)
        .and_then(Builtin::read)
        .map_err(|it| format!("probe '{}': {}; {}", escaped(&check.to_string_lossy()), it.what, it.instead));
    match (read, time) {
        (Ok(check), Ok(time)) => {
            let outcome = builtin::run(&check, time.unwrap_or(TIMEOUT));
            print(&outcome.to_string());
            Ok(ExitCode::Probed(outcome.status()))
        }
        (read, time) => Err(read.err().into_iter().chain(time.err()).collect::<Vec<_>>().into()),
    }
}
