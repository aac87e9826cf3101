//! `watchdog` keeps one named process running on Linux.
//!
//! The data goes one way: what was typed ([`cli`], [`prompt`]) → what it means ([`settings`]) → what is
//! seen ([`process`]) → what is decided ([`policy`]) → what is done ([`watch`], [`command`]).

use std::io::{self, BufReader, IsTerminal, Write};
use std::path::Path;

use clap::Parser;

pub mod cli;
pub mod command;
pub mod dry_run;
pub mod exit;
pub mod instance;
pub mod log;
pub mod output;
pub mod policy;
pub mod process;
pub mod prompt;
pub mod report;
pub mod settings;
pub mod signals;
mod sys;
pub mod watch;

use cli::Cli;
use exit::Exit;
use instance::{Holder, Lock, Locking, Places, User};
use log::{LogFile, Stderr, Verbosity};
use output::OutputLog;
use process::follow::open_pidfd;
use process::scan::Proc;
use prompt::Unanswered;
use report::Report;
use settings::{Settings, Wrong};
use signals::Signals;
use watch::{Parts, Watch};

/// The whole program: from the command line to the way it ends.
#[must_use]
pub fn run() -> Exit {
    let mut stderr = Stderr::new(Verbosity::Warnings);
    let settings = match Cli::try_parse() {
        Ok(cli) => ask_and_read(cli, &mut stderr),
        Err(other) => return help_or_refuse(&other, &mut stderr),
    };
    let (settings, places, cli) = match settings {
        Ok(settings) => settings,
        Err(wrong) => return refuse(&wrong, &mut stderr),
    };
    if cli.run.dry_run {
        return match Proc::new(Path::new("/proc")) {
            Ok(proc) => dry_run::run(&settings, &cli, &places, &proc),
            Err(unknown) => cannot_tell(&unknown.0, &mut stderr),
        };
    }
    let ready = prepare(&settings, &places, &mut stderr);
    let (parts, lock) = match ready {
        Ok(ready) => ready,
        Err(exit) => return exit,
    };
    let exit = Watch::new(parts).run();
    if let Some(lock) = lock {
        lock.release();
    }
    exit
}

/// Asks for what is missing, if anybody is there to answer, and reads what it all comes to.
fn ask_and_read(mut cli: Cli, stderr: &mut Stderr) -> Result<(Settings, Places, Cli), Vec<Wrong>> {
    if prompt::is_needed(&cli) && !cli.run.no_input && !in_background() {
        let at_terminal = io::stdin().is_terminal();
        let proc = Proc::new(Path::new("/proc"));
        let look_up = |pattern: &_| prompt::matches_now(proc.as_ref(), pattern);
        let answers = BufReader::new(prompt::Patient(io::stdin()));
        match prompt::ask(&mut cli, answers, stderr, at_terminal, look_up) {
            Ok(()) => prompt::show_equivalent(&cli, stderr),
            Err(Unanswered::EndOfInput) => stderr.write_text("\n"),
            Err(Unanswered::Wrong(wrong)) => return Err(vec![wrong]),
        }
    }
    let settings = Settings::new(&cli)?;
    let places = Places::new(&User::current(), &cli);
    Ok((settings, places, cli))
}

/// Whether reading from the terminal would stop this process, as it does in the background.
fn in_background() -> bool {
    nix::unistd::tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground != nix::unistd::getpgrp())
}

/// All that a watch works with; or, where there is nothing to watch, how the program ends.
fn prepare<'a>(
    settings: &'a Settings,
    places: &Places,
    stderr: &mut Stderr,
) -> Result<(Parts<'a>, Option<Lock>), Exit> {
    let proc = Proc::new(Path::new("/proc")).map_err(|unknown| cannot_tell(&unknown.0, stderr))?;
    let has_terminal = io::stdin().is_terminal();
    let (log, output) = (places.log(&settings.name), places.output_log(&settings.name));
    let mut report = Report::new(settings, log.clone(), output.clone());

    settings.criteria.doubts().into_iter().for_each(|doubt| report.trouble(doubt));
    let lock = match Lock::take(&places.state, &settings.name, &settings.fingerprint()) {
        Ok(Locking::Held(lock)) => Some(lock),
        Ok(Locking::Busy(_)) if settings.limits.once => return Err(look_only(settings, &proc)),
        Ok(Locking::Busy(holder)) => return Err(second(settings, &holder, stderr)),
        Err(error) => {
            report.trouble(format!(
                "no lock in {} ({error}): nothing keeps a second watchdog of this name from running",
                places.state.display()
            ));
            None
        }
    };
    if let Some(pid) = lock.as_ref().and_then(|lock| lock.cut_off) {
        report.cut_off(pid);
    }
    if let Err(error) = sys::keep_inherited_descriptors() {
        report.trouble(format!("start commands may inherit open files of whoever started this ({error})"));
    }
    let signals = Signals::catch()
        .map_err(|error| cannot_tell(&format!("signals cannot be caught: {error}"), stderr))?;
    let (max_size, max_files) = (settings.log_max_size, settings.log_max_files);
    log::start(LogFile { path: log, max_size, max_files }, Stderr::new(verbosity(settings)));
    let output = OutputLog::new(output, max_size, max_files);
    Ok((Parts { settings, proc, open_pidfd, signals, output, report, has_terminal }, lock))
}

/// What a `--once` run does while another run is at work.
fn look_only(settings: &Settings, proc: &Proc) -> Exit {
    match proc.find(&settings.criteria, None) {
        Ok(matches) if matches.counting.is_empty() => Exit::LeftAlone,
        Ok(_) => Exit::Success,
        Err(_) => Exit::CannotTell,
    }
}

/// What a second long-running watchdog does: the same line again, from cron, is no mistake.
fn second(settings: &Settings, first: &Holder, stderr: &mut Stderr) -> Exit {
    let by_hand = io::stdin().is_terminal() || log::is_terminal();
    let by_systemd = std::env::var_os("INVOCATION_ID").is_some();
    if !by_hand && !by_systemd && first.settings == settings.fingerprint() {
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

fn verbosity(settings: &Settings) -> Verbosity {
    let is_read_as_it_comes = log::is_terminal() || log::stderr_is_journal();
    settings.verbosity.unwrap_or(match (is_read_as_it_comes, settings.limits.once) {
        (true, _) => Verbosity::Information,
        (false, true) => Verbosity::Outcome,
        (false, false) => Verbosity::Warnings,
    })
}

fn cannot_tell(why: &str, stderr: &mut Stderr) -> Exit {
    stderr.write_text(&format!("watchdog: {}\n", log::escaped(why)));
    Exit::CannotTell
}

fn refuse(wrong: &[Wrong], stderr: &mut Stderr) -> Exit {
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
