//! The commands.

use crate::exit::ExitCode;
use crate::input::cli::{Command, brief_help};
use crate::input::suggest::long_dash;
use crate::log::{Stderr, print};
use crate::settings::dirs::User;
use crate::text::escaped;
use crate::time::now;

pub mod clean;
pub mod dry_run;
mod instances;
mod logs;
mod pause;
mod probe;
mod request;
pub mod status;
mod test_hook;
mod validate;
mod watch;

/// Says on standard output what was done.
fn tell(what: &str) {
    print(&format!("{}\n", escaped(what)));
}

/// Carries out a command.
pub fn run(command: &Command, user: &User, stderr: &mut Stderr) -> ExitCode {
    if let Some(instead) = command.names().iter().find_map(|name| long_dash(&name.to_string_lossy())) {
        stderr.complain(&instead);
        return ExitCode::Usage;
    }
    let command = match command {
        Command::Help => {
            print(&brief_help());
            Ok(ExitCode::Success)
        }
        Command::Status { which, form } => status::status(which, form, user, stderr),
        Command::Logs(asked) => logs::show(asked, user, stderr),
        Command::Pause { which, time } => pause::pause(which, time.as_deref(), user, stderr),
        Command::Ask { request, which } => return request::ask(*request, which, user, stderr),
        Command::TestHook { config } => test_hook::run(config, user, stderr),
        Command::Validate { files } => return validate::run(files, user, stderr),
        Command::Probe { check, timeout } => probe::run(check, timeout.as_deref()),
        Command::Resume { which } if which.upgrade => pause::resume_after_upgrade(&which.place, user),
        Command::Resume { which } => pause::say(which, None, now(), user, stderr),
        Command::Clean(asked) => clean::clean(asked, user),
    };
    match command {
        Ok(exit) => exit,
        Err(wrong) => {
            for wrong in &wrong {
                stderr.complain(wrong);
            }
            ExitCode::Usage
        }
    }
}
