//! The commands.

use std::ffi::{OsStr, OsString};

use self::instances::Asked;
use crate::exit::ExitCode;
use crate::input::cli::{Command, brief_help};
use crate::input::suggest::long_dash;
use crate::log::{Stderr, print};
use crate::settings::dirs::User;
use crate::settings::{self, Reading, values};
use crate::text::escaped;
use crate::time::now;

mod clean;
pub mod dry_run;
pub mod instances;
mod logs;
mod pause;
mod probe;
mod request;
pub mod status;
mod test_hook;
mod validate;
mod watch;

/// Why a command has not done all that it was asked for, a line for each reason; and how it ends.
#[derive(Debug)]
pub struct Failure {
    exit: ExitCode,
    lines: Vec<String>,
}

impl Failure {
    fn new(exit: ExitCode, line: impl Into<String>) -> Self {
        Failure { exit, lines: vec![line.into()] }
    }
}

impl From<Vec<String>> for Failure {
    fn from(lines: Vec<String>) -> Self {
        Failure { exit: ExitCode::Usage, lines }
    }
}

impl From<String> for Failure {
    fn from(line: String) -> Self {
        Failure::new(ExitCode::Usage, line)
    }
}

/// The value of an option of a command, if it is given.
fn value<T>(
    option: &'static str,
    given: Option<&OsStr>,
    read: fn(&str) -> Reading<T>,
) -> Result<Option<T>, String> {
    let value = given.map(|given| settings::check(option, given, |given| read(values::text(given)?)));
    value.transpose().map_err(|wrong| wrong.to_string())
}

/// Says on standard output what was done.
fn tell(what: &str) {
    print(&format!("{}\n", escaped(what)));
}

/// Carries out a command.
pub fn run(command: &Command, words: &[OsString], user: &User, stderr: &mut Stderr) -> ExitCode {
    if let Some(instead) = words.iter().find_map(|word| long_dash(&word.to_string_lossy())) {
        stderr.complain(&instead);
        return ExitCode::Usage;
    }
    let asked = |which| Asked { which, user };
    let done = match command {
        Command::Help => {
            print(&brief_help());
            Ok(ExitCode::Success)
        }
        Command::Status(which, form) => status::status(asked(which), form),
        Command::Logs { which, lines, follow, output } => {
            logs::show(asked(which), lines.as_deref(), *follow, *output, stderr)
        }
        Command::Pause(which, time) => pause::pause(asked(which), time.as_deref(), stderr),
        Command::Ask(request, which) => request::ask(*request, asked(which), stderr),
        Command::TestHook(config) => test_hook::run(config, user, stderr),
        Command::Validate(files) => return validate::run(files, user, stderr),
        Command::Probe(check, timeout) => probe::run(check, timeout.as_deref()),
        Command::Resume(which) if which.upgrade => pause::resume_after_upgrade(asked(which)),
        Command::Resume(which) => pause::say(asked(which), None, now(), stderr),
        Command::Clean { which, logs, log_dir } => {
            clean::clean(asked(which), *logs, log_dir.as_deref(), stderr)
        }
    };
    done.unwrap_or_else(|failure| {
        for line in &failure.lines {
            stderr.complain(line);
        }
        failure.exit
    })
}
