//! Begins a watch: puts together what it works with; unless somebody else does its work already.

use crate::time::{boot_id, now};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::exit::ExitCode;
use crate::hold::pause::Leave;
use crate::log::output::OutputLog;
use crate::log::{self, LogFile, Stderr, cannot_tell};
use crate::policy::KILL_AFTER;
use crate::process::ProcessId;
use crate::process::handle::open_pidfd;
use crate::process::scan::Proc;
use crate::process::termination::Predecessor;
use crate::report::event::{Event, Lasting, ProcessEvent, WatchEvent};
use crate::report::log_lines::{LogLines, Worth};
use crate::report::service_manager::ServiceManager;
use crate::settings::digest::Digest;
use crate::settings::{Settings, Verbosity};
use crate::state::Files;
use crate::state::lock::{Holder, Lock, Locking};
use crate::state::said::Notice;
use crate::state::store::{self, Recalled, Store};
use crate::supervise::events::{doubt_settings, emit};
use crate::supervise::service_unit::Unit;
use crate::supervise::signals::{self, Signals};
use crate::supervise::{Parts, Reload, Supervisor};
use crate::sys::{self, PROC, Pid};

/// Puts together what a watch works with, and watches; unless somebody else does already.
pub fn watch(settings: Settings, reload: Reload, stderr: &mut Stderr) -> ExitCode {
    let places = settings.dirs.clone();
    signals::ignore_those_of_writes();
    let proc = match Proc::new(Path::new(PROC)) {
        Ok(proc) => proc,
        Err(unknown) => return cannot_tell(&unknown.0, stderr),
    };
    let settings = Rc::new(settings);
    let name = &settings.name;
    let has_terminal = has_terminal();
    let (log, output) = (places.log(name), places.output_log(name));
    let mut report = LogLines::new(&settings, log.clone(), output.clone());
    let files = Files::new(&places.state, name, &boot_id(Path::new(PROC)));
    let may_be_alive = |pid: Option<Pid>| pid.is_some_and(|pid| proc.is_there(pid));
    let (lock, no_lock) = match Lock::take(&places.state, name, &settings.fingerprint(), may_be_alive) {
        Ok(Locking::Held(lock)) => (Some(lock), None),
        Ok(Locking::Busy(_)) if settings.limits.once => {
            if let Some(stuck) = stuck_run(&settings, &files, &proc)
                && files.note_stuck(stuck)
            {
                log::start(log_file(&settings, log), Stderr::new(verbosity(&settings, false)));
                report.on(&WatchEvent::Stuck(stuck.pid).into());
                report.flush(Worth::All);
            }
            let gone = store::preview(&files, &settings, &proc).gone.as_ref().map(Predecessor::from);
            return look_only(&settings, &proc, gone.as_ref());
        }
        Ok(Locking::Busy(holder)) => return second(&settings, &holder, &files, stderr),
        Err(error) => (None, Some(error)),
    };
    let (mut record, found) = Store::recall(files, &settings, &proc);
    say_what_was_found(&found, &mut record, &mut report);
    match no_lock {
        Some(error) => {
            emit(Lasting::NoLock { folder: &places.state, error: &error }, &mut record, &mut report);
        }
        None => emit(Event::Over(Notice::Lock), &mut record, &mut report),
    }
    doubt_settings(&settings, &mut record, &mut report);
    say_what_is_doubtful(lock.as_ref(), &mut record, &mut report);
    if !settings.limits.once {
        let was_cut_off = lock.as_ref().is_some_and(|lock| lock.cut_off.is_some());
        if forgets_give_up(was_cut_off) || is_resumed(&record) {
            record.forget_give_up();
        }
        if let Some(until) = record.memory().gave_up_until.filter(|until| now() < *until) {
            if is_begun_by_somebody() {
                let retry = until.saturating_sub(now());
                emit(WatchEvent::RemainsGivenUp { retry }, &mut record, &mut report);
            } else {
                // A crontab line that begins a long-running watch: given up is given up, for a while.
                match look_only(&settings, &proc, record.gone().as_ref()) {
                    ExitCode::Success => {}
                    exit => {
                        // It has ended in order, as the next one is to know.
                        if let Some(lock) = lock {
                            lock.release();
                        }
                        return exit;
                    }
                }
            }
        }
    }
    let signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => return cannot_tell(&format!("signals cannot be caught: {error}"), stderr),
    };
    log::start(log_file(&settings, log), Stderr::new(verbosity(&settings, record.was_told())));
    let output = OutputLog::new(output, settings.log_max_size, settings.log_max_files);
    let service_manager =
        if settings.limits.once { ServiceManager::none() } else { ServiceManager::from_environment() };
    let unit = Unit::own(Path::new(PROC), settings.limits.once);
    let parts = Parts {
        settings,
        reload,
        lock,
        record,
        proc,
        open_pidfd,
        signals,
        output,
        report,
        ended_unseen: found.ended.map(|(end, _)| end),
        service_manager,
        unit,
        has_terminal,
    };
    Supervisor::new(parts).run()
}

fn say_what_was_found(found: &Recalled, record: &mut Store, report: &mut LogLines) {
    if let Some(unusable) = &found.unusable {
        emit(Lasting::StateUnusable(unusable), record, report);
    }
    if let Some((end, deaths)) = &found.ended {
        emit(ProcessEvent::EndedUnseen { end, deaths: *deaths }, record, report);
    }
}

fn say_what_is_doubtful(lock: Option<&Lock>, record: &mut Store, report: &mut LogLines) {
    if let Some(pid) = lock.and_then(|lock| lock.cut_off) {
        emit(WatchEvent::CutOff(pid), record, report);
    }
    if let Err(error) = sys::keep_inherited_descriptors() {
        emit(Lasting::Inherits(&error), record, report);
    }
}

/// Whether somebody has said `resume` since that was last heeded.
fn is_resumed(record: &Store) -> bool {
    let leave = record.files().leave(now());
    matches!(leave, Leave::Given { resumed: Some(at) } if at > record.state().resumed_ms)
}

fn log_file(settings: &Settings, path: PathBuf) -> LogFile {
    let name = settings.name.to_string();
    LogFile { name, path, max_size: settings.log_max_size, max_files: settings.log_max_files }
}

/// A `--once` run that has been at work for far longer than its settings allow.
fn stuck_run(settings: &Settings, files: &Files, proc: &Proc) -> Option<ProcessId> {
    let state = files.state().ok().filter(|state| state.once)?;
    let run = state.watchdog.filter(|run| proc.is_alive(run.pid, run.started_ms))?;
    let limits = &settings.limits;
    let attempt = limits.restart_wait_interval + limits.start_timeout + limits.after_stop + KILL_AFTER;
    let allowed = attempt * limits.max_fail_count.unwrap_or(1).saturating_add(1);
    (now().saturating_sub(run.started_ms) > 2 * allowed).then_some(run)
}

/// What a run does that may start nothing.
fn look_only(settings: &Settings, proc: &Proc, gone: Option<&Predecessor>) -> ExitCode {
    match proc.find(&settings.criteria, gone) {
        Ok(matches) if matches.counting.is_empty() => ExitCode::LeftAlone,
        Ok(_) => ExitCode::Success,
        Err(_) => ExitCode::CannotTell,
    }
}

/// Whether standard input is a terminal. Not by `std::io::stdin`, which keeps a buffer of 8 KiB from the
/// first call on.
fn has_terminal() -> bool {
    rustix::stdio::stdin().is_terminal()
}

/// Whether somebody began this run by hand, the service manager did or a container's, and not a line in a
/// crontab.
pub(crate) fn is_begun_by_somebody() -> bool {
    is_in_terminal() || is_in_unit() || is_process_1()
}

/// Whether this run of a watch that goes on is a new beginning, after one that gave up, and perhaps `was_cut_off`
/// then: whoever began it has decided so. The service manager begins it after a crash too, which nobody has
/// decided.
pub(crate) fn forgets_give_up(was_cut_off: bool) -> bool {
    is_in_terminal() || is_process_1() || is_in_unit() && !was_cut_off
}

fn is_process_1() -> bool {
    std::process::id() == 1
}

fn is_in_terminal() -> bool {
    has_terminal() || log::is_terminal()
}

/// Whether the service manager began this run (systemd.exec(5)).
fn is_in_unit() -> bool {
    std::env::var_os("INVOCATION_ID").is_some()
}

/// What a second long-running watchdog does: the same line again, from cron, is no mistake.
fn second(settings: &Settings, first: &Holder, files: &Files, stderr: &mut Stderr) -> ExitCode {
    if !is_begun_by_somebody() && Digest::of(&first.settings).is_same(settings.digest()) {
        return ExitCode::Success;
    }
    let (pid, name) = (first.in_brackets(), &settings.name);
    let is_it = |run: ProcessId| Some(run.pid) == first.pid;
    let is_once = files.state().is_ok_and(|state| state.once && state.watchdog.is_some_and(is_it));
    let text = if is_once {
        format!("a --once run of '{name}' is at work{pid}, and ends by itself: try again then")
    } else {
        format!(
            "a watchdog named '{name}' is running already{pid}; to run another, give it another name, such as \
             --name {name}-2"
        )
    };
    stderr.write_text(&format!("watchdog: {text}\n"));
    ExitCode::Busy
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
