//! `watchdog` keeps one named process running on Linux.
//!
//! The data goes one way: what was typed ([`cli`], [`prompt`]) → what it means ([`settings`]) → what is
//! seen ([`process`]) → what is decided ([`policy`]) → what is done ([`watch`], [`command`]).

use std::io::{self, Write};
use std::path::Path;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

pub mod control;
pub mod exit;
pub mod fs;
pub mod guard;
pub mod hold;
pub mod input;
pub mod log;
pub mod policy;
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
use input::cli::{self, Cli};
use input::resolve::{self, Job};
use log::{Stderr, Verbosity, cannot_tell};
use process::scan::Proc;
use settings::dirs::User;
use supervise::admission;
use sys::PROC;
use text::escaped;

/// The whole program: from the command line to the way it ends.
pub fn run() -> ExitCode {
    let mut stderr = Stderr::new(Verbosity::Warnings);
    let typed = match Cli::try_parse() {
        Ok(typed) => typed,
        Err(other) => return help_or_refuse(&other, &mut stderr),
    };
    let user = User::current();
    if let Some(command) = &typed.command {
        return control::run(command, &user, &mut stderr);
    }
    match resolve::read(typed, &user, &mut stderr) {
        Ok(job) if job.cli.run.dry_run => dry_run(&job, &mut stderr),
        Ok(job) => admission::watch(job, &mut stderr),
        Err(wrong) => refuse(&wrong, &mut stderr),
    }
}

fn dry_run(job: &Job, stderr: &mut Stderr) -> ExitCode {
    match Proc::new(Path::new(PROC)) {
        Ok(proc) => dry_run::run(job, &proc),
        Err(unknown) => cannot_tell(&unknown.0, stderr),
    }
}

fn refuse(wrong: &[String], stderr: &mut Stderr) -> ExitCode {
    for wrong in wrong {
        stderr.write_text(&format!("watchdog: {wrong}\n"));
    }
    ExitCode::Usage
}

fn help_or_refuse(other: &clap::Error, stderr: &mut Stderr) -> ExitCode {
    if let Some(word) = stray_word(other) {
        stderr.write_text(&format!("watchdog: {}\n", escaped(&instead_of(&word))));
        ExitCode::Usage
    } else if let Some(option) = unknown_option(other) {
        stderr.write_text(&format!("watchdog: {}\n", escaped(&instead_of_option(&option))));
        ExitCode::Usage
    } else if other.use_stderr() {
        stderr.write_text(&other.render().to_string());
        ExitCode::Usage
    } else {
        // Help, into a pipe that may be closed early.
        let _ = io::stdout().write_all(other.render().to_string().as_bytes());
        ExitCode::Success
    }
}

/// A word that is neither a command nor an option's value.
fn stray_word(error: &clap::Error) -> Option<String> {
    let is_stray = matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::ArgumentConflict);
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) if is_stray => Some(word.clone()),
        _ => None,
    }
}

/// A long option that there is not.
fn unknown_option(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option))
            if error.kind() == ErrorKind::UnknownArgument && option.starts_with("--") =>
        {
            Some(option.clone())
        }
        _ => None,
    }
}

/// What was meant by an option that there is not, perhaps.
fn instead_of_option(typed: &str) -> String {
    let key = typed.trim_start_matches('-').replace('-', "_");
    let known = cli::SETTINGS.iter().map(|(key, _)| *key).chain(cli::TYPED_ONLY.iter().map(|(key, _)| *key));
    let known: Vec<_> = known.collect();
    let meant = match cli::meant(&key, known.iter().copied()) {
        Some(meant) if cli::typed(meant) == typed => {
            return format!("'{typed}' is no option of this command");
        }
        Some(meant) => vec![meant],
        None => known.into_iter().filter(|known| known.split('_').any(|word| word == key)).collect(),
    };
    let options: Vec<_> = meant.into_iter().map(|key| format!("'{}'", cli::typed(key))).collect();
    if options.is_empty() {
        format!("there is no option '{typed}'; watchdog --help shows those that there are")
    } else {
        format!("there is no option '{typed}'; is {} meant?", options.join(" or "))
    }
}

/// What was meant by a stray word, perhaps.
fn instead_of(word: &str) -> String {
    match cli::meant(word, ["status", "pause", "resume"]) {
        Some(command) if command == word => {
            format!("'{word}' comes before all options, as in: watchdog {word} --help")
        }
        Some(command) => format!("there is no command '{word}'; is '{command}' meant?"),
        None if ["start", "stop", "restart"].contains(&word) => format!(
            "there is no command '{word}': what is missing is started, and left alone after 'watchdog pause NAME'"
        ),
        None => format!(
            "'{word}' is a word too many: a start command of several words is quoted, as in --start-command \
             'service docker start'; a process is given as --process-name {word}, a configuration file as \
             --config {word}"
        ),
    }
}
