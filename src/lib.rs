//! `watchdog` keeps one named process running on Linux.
//!
//! The data goes one way: what was typed ([`cli`], [`prompt`]) → what it means ([`settings`]) → what is
//! seen ([`process`]) → what is decided ([`policy`]) → what is done ([`watch`], [`command`]).

use std::io::{self, BufReader, IsTerminal, Write};
use std::path::Path;
use std::rc::Rc;

use clap::Parser;

pub mod cli;
pub mod command;
pub mod config;
pub mod dry_run;
pub mod exit;
pub mod instance;
pub mod log;
pub mod output;
pub mod policy;
pub mod process;
pub mod prompt;
pub mod record;
pub mod report;
pub mod settings;
pub mod signals;
pub mod state;
pub mod status;
mod sys;
pub mod watch;

use cli::Cli;
use config::Sources;
use exit::Exit;
use instance::{Holder, Lock, Locking, Places, User};
use log::{LogFile, Stderr, Verbosity};
use output::OutputLog;
use process::follow::open_pidfd;
use process::scan::Proc;
use prompt::Unanswered;
use record::Record;
use report::Report;
use settings::{Settings, Wrong};
use signals::Signals;
use state::Files;
use watch::{Parts, Reload, Watch};

/// Where the kernel shows processes.
const PROC: &str = "/proc";

/// The whole program: from the command line to the way it ends.
#[must_use]
pub fn run() -> Exit {
    let mut stderr = Stderr::new(Verbosity::Warnings);
    let typed = match Cli::try_parse() {
        Ok(typed) => typed,
        Err(other) => return help_or_refuse(&other, &mut stderr),
    };
    let user = User::current();
    if let Some(command) = &typed.command {
        return status::run(command, &user, &mut stderr);
    }
    match read(typed, &user, &mut stderr) {
        Ok(job) if job.cli.run.dry_run => dry_run(&job, &mut stderr),
        Ok(job) => watch(job, &mut stderr),
        Err(wrong) => refuse(&wrong, &mut stderr),
    }
}

/// What was typed, written and answered, and what it comes to.
struct Job {
    cli: Cli,
    sources: Sources,
    settings: Settings,
    places: Places,
    reload: Reload,
}

/// Reads all that there is to read, and asks for what is missing, if anybody is there to answer.
fn read(typed: Cli, user: &User, stderr: &mut Stderr) -> Result<Job, Vec<String>> {
    let (mut cli, sources) = with_file(typed.clone(), user)?;
    if prompt::is_needed(&cli) && !cli.run.no_input && !in_background() {
        let at_terminal = io::stdin().is_terminal();
        let proc = Proc::new(Path::new(PROC));
        let look_up = |pattern: &_| prompt::matches_now(proc.as_ref(), pattern);
        let answers = BufReader::new(prompt::Patient(io::stdin()));
        match prompt::ask(&mut cli, answers, stderr, at_terminal, look_up) {
            Ok(()) => prompt::show_equivalent(&cli, stderr),
            Err(Unanswered::EndOfInput) => {
                stderr.write_text("\n");
                return Err(prompt::unanswered(&mut cli).iter().map(Wrong::to_string).collect());
            }
            Err(Unanswered::Wrong(wrong)) => return Err(vec![wrong.to_string()]),
        }
    }
    let said = |all: Vec<Wrong>| all.iter().map(Wrong::to_string).collect::<Vec<_>>();
    let settings = Settings::new(&cli, &sources).map_err(said)?;
    let places = Places::new(user, &cli);
    // What was answered is as good as typed.
    let typed = if sources.file.is_some() { typed } else { cli.clone() };
    let user = user.clone();
    let reload: Reload = Box::new(move || {
        let (cli, sources) = with_file(typed.clone(), &user)?;
        Settings::new(&cli, &sources).map_err(said)
    });
    Ok(Job { cli, sources, settings, places, reload })
}

/// What was typed, with what the configuration file says in the gaps.
fn with_file(mut cli: Cli, user: &User) -> Result<(Cli, Sources), Vec<String>> {
    let sources = match cli.config.clone() {
        Some(given) => config::fill(&mut cli, &config::path(&given, user), user)?,
        None => Sources::default(),
    };
    Ok((cli, sources))
}

/// Whether reading from the terminal would stop this process, as it does in the background.
fn in_background() -> bool {
    nix::unistd::tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground != nix::unistd::getpgrp())
}

fn dry_run(job: &Job, stderr: &mut Stderr) -> Exit {
    match Proc::new(Path::new(PROC)) {
        Ok(proc) => dry_run::run(&job.settings, &job.cli, &job.sources, &job.places, &proc),
        Err(unknown) => cannot_tell(&unknown.0, stderr),
    }
}

/// Puts together what a watch works with, and watches; unless somebody else does already.
fn watch(job: Job, stderr: &mut Stderr) -> Exit {
    let Job { sources, settings, places, reload, .. } = job;
    let proc = match Proc::new(Path::new(PROC)) {
        Ok(proc) => proc,
        Err(unknown) => return cannot_tell(&unknown.0, stderr),
    };
    let settings = Rc::new(settings);
    let name = &settings.name;
    let has_terminal = io::stdin().is_terminal();
    let (log, output) = (places.log(name), places.output_log(name));
    let mut report = Report::new(&settings, log.clone(), output.clone());
    let lock = match Lock::take(&places.state, name, &settings.fingerprint()) {
        Ok(Locking::Held(lock)) => Some(lock),
        Ok(Locking::Busy(_)) if settings.limits.once => return look_only(&settings, &proc),
        Ok(Locking::Busy(holder)) => return second(&settings, &holder, stderr),
        Err(error) => {
            report.no_state(&places.state, &error);
            None
        }
    };
    let files = Files::new(&places.state, name, &state::boot_id(Path::new(PROC)));
    let mut record = Record::recall(files, &settings, &proc, &mut report);
    say_what_is_doubtful(&settings, &sources, lock.as_ref(), &mut report);
    if is_begun_by_somebody() && !settings.limits.once {
        record.forget_give_up();
    } else if !settings.limits.once
        && record.memory().gave_up_until.is_some_and(|until| process::now() < until)
    {
        // A crontab line that starts a long-running watch: given up is given up, for a while.
        match look_only(&settings, &proc) {
            Exit::Success => {}
            exit => return exit,
        }
    }
    let signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => return cannot_tell(&format!("signals cannot be caught: {error}"), stderr),
    };
    let (max_size, max_files) = (settings.log_max_size, settings.log_max_files);
    log::start(
        LogFile { name: settings.name.to_string(), path: log, max_size, max_files },
        Stderr::new(verbosity(&settings, record.was_told())),
    );
    let output = OutputLog::new(output, max_size, max_files);
    let parts =
        Parts { settings, reload, lock, record, proc, open_pidfd, signals, output, report, has_terminal };
    Watch::new(parts).run()
}

fn say_what_is_doubtful(settings: &Settings, sources: &Sources, lock: Option<&Lock>, report: &mut Report) {
    for doubt in settings.criteria.doubts() {
        report.trouble("doubt", &doubt);
    }
    if let (Some(file), true) = (&sources.file, sources.is_open_to_others) {
        let text = format!(
            "others than root may write {}, and so decide what root runs: chown root, chmod go-w",
            file.display()
        );
        report.trouble("file", &text);
    }
    if let Some(pid) = lock.and_then(|lock| lock.cut_off) {
        report.cut_off(pid);
    }
    if let Err(error) = sys::keep_inherited_descriptors() {
        let text = format!("start commands may inherit open files of whoever started this ({error})");
        report.trouble("descriptors", &text);
    }
}

/// What a run does that may start nothing.
fn look_only(settings: &Settings, proc: &Proc) -> Exit {
    match proc.find(&settings.criteria, None) {
        Ok(matches) if matches.counting.is_empty() => Exit::LeftAlone,
        Ok(_) => Exit::Success,
        Err(_) => Exit::CannotTell,
    }
}

/// Whether somebody began this run by hand, or the service manager, and not a line in a crontab.
fn is_begun_by_somebody() -> bool {
    io::stdin().is_terminal() || log::is_terminal() || std::env::var_os("INVOCATION_ID").is_some()
}

/// What a second long-running watchdog does: the same line again, from cron, is no mistake.
fn second(settings: &Settings, first: &Holder, stderr: &mut Stderr) -> Exit {
    if !is_begun_by_somebody() && first.settings == settings.fingerprint() {
        return Exit::Success;
    }
    let pid = first.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    stderr.write_text(&format!(
        "watchdog: a watchdog named '{0}' is running already{pid}; to run another, give it another name, such as \
         --name {0}-2\n",
        settings.name
    ));
    Exit::Busy
}

fn verbosity(settings: &Settings, give_up_was_told: bool) -> Verbosity {
    let is_read_as_it_comes = log::is_terminal() || log::stderr_is_journal();
    settings.verbosity.unwrap_or(match (is_read_as_it_comes, settings.limits.once) {
        (true, _) => Verbosity::Information,
        (false, true) => Verbosity::Outcome,
        // Cron would mail each record of the rounds between a give-up and its end.
        (false, false) if give_up_was_told => Verbosity::Outcome,
        (false, false) => Verbosity::Warnings,
    })
}

fn cannot_tell(why: &str, stderr: &mut Stderr) -> Exit {
    stderr.write_text(&format!("watchdog: {}\n", log::escaped(why)));
    Exit::CannotTell
}

fn refuse(wrong: &[String], stderr: &mut Stderr) -> Exit {
    for wrong in wrong {
        stderr.write_text(&format!("watchdog: {wrong}\n"));
    }
    Exit::Usage
}

fn help_or_refuse(other: &clap::Error, stderr: &mut Stderr) -> Exit {
    if other.use_stderr() {
        stderr.write_text(&other.render().to_string());
        Exit::Usage
    } else {
        // Help, into a pipe that may be closed early.
        let _ = io::stdout().write_all(other.render().to_string().as_bytes());
        Exit::Success
    }
}
