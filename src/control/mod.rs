//! The commands.

use std::io::{self, Write as _};
use std::path::Path;

use crate::exit::ExitCode;
use crate::hold::pause::Leave;
use crate::input::cli::Command;
use crate::log::{Stderr, cannot_tell};
use crate::process::scan::Proc;
use crate::settings::dirs::User;
use crate::sys::PROC;

pub mod dry_run;
mod instances;
mod pause;
pub mod status;

/// Carries out a command.
pub fn run(command: &Command, user: &User, stderr: &mut Stderr) -> ExitCode {
    let command = match command {
        Command::Status { names, json, place } => match Proc::new(Path::new(PROC)) {
            Ok(proc) => status::show(names, *json, place, user, &proc).map(|(text, exit)| {
                // Into a pipe that may be closed early.
                let _ = io::stdout().write_all(text.as_bytes());
                exit
            }),
            Err(unknown) => {
                cannot_tell(&unknown.0, stderr);
                return ExitCode::Lsb(4);
            }
        },
        Command::Pause { which, time, place } => pause::pause(which, time.as_deref(), place, user, stderr),
        Command::Resume { which, place } if which.upgrade => pause::resume_after_upgrade(place, user),
        Command::Resume { which, place } => {
            pause::say(which, Leave::Given { resumed: None }, place, user, stderr)
        }
    };
    match command {
        Ok(exit) => exit,
        Err(wrong) => {
            for wrong in wrong {
                stderr.write_text(&format!("watchdog: {wrong}\n"));
            }
            ExitCode::Usage
        }
    }
}
