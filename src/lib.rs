//! `watchdog` keeps one named process running on Linux.
//!
//! The data goes one way: what was typed ([`input`]) → what it means ([`settings`]) → what is seen
//! ([`process`]) → what is decided ([`policy`]) → what is done ([`supervise`], [`control`]).

pub mod control;
pub mod exit;
pub mod fs;
pub mod guard;
pub mod hold;
pub mod input;
pub mod log;
pub mod policy;
pub mod probe;
pub mod process;
pub mod render;
pub mod report;
pub mod settings;
pub mod state;
pub mod supervise;
mod sys;
pub mod task;
pub mod text;
pub mod time;

use control::dry_run;
use exit::ExitCode;
use input::cli::Cli;
use input::{resolve, suggest};
use log::Stderr;
use settings::Verbosity;
use settings::dirs::User;
use supervise::setup;

/// The whole program: from the command line to the way it ends.
pub fn run() -> ExitCode {
    if probe::evidence::is_asked_for(std::env::args_os()) {
        return ExitCode::Success;
    }
    let mut stderr = Stderr::new(Verbosity::Warnings);
    let user = User::current();
    let words: Vec<_> = std::env::args_os().collect();
    let typed = match Cli::parse(&words) {
        Ok(typed) => typed,
        Err(other) => return suggest::answer(&other, &words, &user, &mut stderr),
    };
    if let Some(command) = &typed.command {
        return control::run(command, &user, &mut stderr);
    }
    match resolve::read(typed.given, &user, &mut stderr) {
        Ok(job) if job.given.is_on("dry_run") => dry_run::run(&job, &mut stderr),
        Ok(job) => setup::watch(job.settings, job.reload, &mut stderr),
        Err(wrong) => {
            for wrong in wrong {
                stderr.write_text(&format!("watchdog: {wrong}\n"));
            }
            ExitCode::Usage
        }
    }
}
