//! `test-hook`: runs the hook of a configuration file with a test event.

use std::ffi::OsStr;

use super::Failure;
use crate::exit::ExitCode;
use crate::input::resolve;
use crate::log::output::OutputLog;
use crate::log::{Stderr, print};
use crate::report::hook;
use crate::report::words::ended;
use crate::settings::dirs::User;
use crate::settings::given::{Given, ON, Source};
use crate::state::owed::Report;
use crate::supervise::hooks;
use crate::task::account::Login;
use crate::text::{escaped, span};
use crate::time::now;

/// Runs it as a watch does, and says how it ended and what it wrote.
///
/// # Errors
/// The configuration is wrong, or has no hook.
pub fn run(config: &OsStr, user: &User, stderr: &mut Stderr) -> Result<ExitCode, Failure> {
    let mut given = Given::default();
    given.add("config", config, Source::CommandLine);
    given.add("no_input", ON, Source::CommandLine);
    let job = resolve::read(given, user, stderr)?;
    let (settings, file) = (job.settings, job.given.files.first().cloned().unwrap_or_default());
    let Some(command) = &settings.hook else {
        return Err(format!(
            "{} has no hook; add one, such as: hook = \"/usr/share/process-watchdog/hooks/mail root\"",
            escaped(&file.display().to_string())
        )
        .into());
    };
    let login = Login::look_up().completed();
    let report = Report { output: OutputLog::of(&settings).end(), ..hook::test(&settings, now()) };
    let mut task = hooks::run(command, &report, &settings, &user.cwd, &login)
        .map_err(|error| format!("the hook cannot be run: {error}"))?;
    if task.wait().is_none() {
        return Err("the hook was killed, and is still there".to_owned().into());
    }
    let end = hooks::end(&task);
    let killed = |time| format!("was killed after {}, which is how long a hook may take", span(time));
    let how = end.timeout.map_or_else(|| ended(&end), killed);
    let output = task.output();
    let wrote = if output.trim().is_empty() {
        "nothing".to_owned()
    } else {
        format!("\n{}", hook::plain(&output).trim_end())
    };
    print(&format!("hook: {}\nit {how}\nit wrote: {wrote}\n", escaped(command)));
    Ok(if end.is_well() { ExitCode::Success } else { ExitCode::NotDone })
}
