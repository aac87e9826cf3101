//! Begins a watch: puts together what it works with; unless somebody else does its work already.

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use libc::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use crate::exit::ExitCode;
use crate::log::output::OutputLog;
use crate::log::{self, Stderr, cannot_tell};
use crate::policy::KILL_AFTER;
use crate::process::scan::{Proc, Tasks};
use crate::process::termination::Predecessor;
use crate::process::{ProcessId, StoredProcess, own_start};
use crate::report::event::{Event, Lasting, ProcessEvent, WatchEvent};
use crate::report::log_lines::{LogLines, Worth};
use crate::report::service_manager::ServiceManager;
use crate::settings::{Settings, Verbosity};
use crate::state::lock::{Lock, NoLock, holder_before};
use crate::state::said::Notice;
use crate::state::store::{Recalled, Store};
use crate::state::{Files, Origin, Sight, followed_by_others};
use crate::supervise::admission::{self, Beside, Forgets, Other, is_resumed};
use crate::supervise::poll::pause;
use crate::supervise::signals::{self, Signals};
use crate::supervise::{Parts, Reload, Supervisor};
use crate::sys::{self, PROC};
use crate::time::{boot_id, now};

/// How often the lock of a watchdog that is gone is asked for, which its start command has until its exec.
const EXEC_PATIENCE: u32 = 200;
const EXEC_PAUSE: Duration = Duration::from_millis(1);

/// Watches; unless somebody else does already.
pub fn watch(settings: Settings, reload: Reload, stderr: &mut Stderr) -> ExitCode {
    match prepare(settings, reload, stderr) {
        Ok(supervisor) => supervisor.run(),
        Err(exit) => exit,
    }
}

/// Puts together what a watch works with. What that needs of the stack is not kept for the time of the watch.
///
/// # Errors
/// It cannot watch, or somebody else does already.
#[inline(never)]
fn prepare(settings: Settings, reload: Reload, stderr: &mut Stderr) -> Result<Box<Supervisor>, ExitCode> {
    signals::ignore_those_of_writes();
    let settings = Rc::new(settings);
    let (mut proc, mut files) = places(&settings, stderr)?;
    let lock = acquire(&mut files, &settings, &proc);
    if let Err(NoLock::Busy(holder)) = &lock {
        let other = Other::holding(holder, &settings, &files);
        return Err(beside(&settings, other, &files, &proc, stderr));
    }
    let (record, found) = Store::recall(files, &settings, &proc);
    let (lock, no_lock) = match lock {
        Ok(lock) => (Some(lock), None),
        Err(error) => (None, Some(error)),
    };
    let (once, origin) = (settings.limits.once, Origin::current());
    let was_cut_off = lock.as_ref().is_some_and(|lock| lock.cut_off.is_some());
    let is_resumed = is_resumed(&record.files, &record.state);
    let forgets = if once { Forgets::Nothing } else { origin.forgets(was_cut_off, is_resumed) };
    let given_up = admission::given_up(record.state.memory.gave_up_until, once, now());
    let output = OutputLog::of(&settings);
    // A crontab line that begins a long-running watch: given up is given up, for a while.
    if given_up.is_some() && forgets == Forgets::Nothing && origin == Origin::Line {
        let exit = look_only(&settings, &proc, record.state.predecessor.as_ref());
        if exit != ExitCode::Success {
            // What the process has left may still write.
            let _ = output.keep_to_limit();
            // It has ended in order, as the next one is to know.
            if let Some(lock) = lock {
                lock.release();
            }
            return Err(exit);
        }
    }
    let signals = Signals::catch(&[SIGTERM, SIGUSR1, SIGCHLD, SIGHUP, SIGINT])
        .map_err(|error| cannot_tell(&format!("signals cannot be caught: {error}"), stderr))?;
    start_log(&settings, record.state.told);
    let service_manager = Rc::new(RefCell::new(ServiceManager::of_watch(once)));
    proc.pulse = pulse_of(&service_manager);
    let mut parts = Parts {
        reload,
        lock,
        record,
        signals,
        output,
        report: LogLines::new(&settings),
        ended_unseen: None,
        service_manager,
        directory: leave_directory(),
        has_terminal: admission::has_terminal(),
        settings,
        proc,
    };
    parts.say_what_was_found(found, no_lock.as_ref());
    end_holds_of_older_containers(&parts.record.files);
    if forgets != Forgets::Nothing {
        parts.record.forget_give_up();
    } else if let Some(until) = given_up.filter(|_| origin != Origin::Line) {
        parts.emit(WatchEvent::RemainsGivenUp { retry: until.saturating_sub(now()) });
    }
    Ok(Box::new(Supervisor::new(parts, origin, forgets)))
}

/// Where the processes and the files of this instance are.
///
/// # Errors
/// /proc cannot be read.
pub fn places(settings: &Settings, stderr: &mut Stderr) -> Result<(Proc, Files), ExitCode> {
    let mut proc = Proc::new(Path::new(PROC)).map_err(|unknown| cannot_tell(&unknown.0, stderr))?;
    let files = Files::of(&settings.dirs, &settings.name, &boot_id(proc.root()));
    let own = files.clone();
    proc.neighbours = Box::new(move |proc| followed_by_others(&own, proc));
    Ok((proc, files))
}

/// What tells a service manager during a look that the watch lives.
fn pulse_of(service_manager: &Rc<RefCell<ServiceManager>>) -> Box<dyn Fn()> {
    let service_manager = Rc::clone(service_manager);
    Box::new(move || {
        if let Ok(mut service_manager) = service_manager.try_borrow_mut() {
            // It is ready when it has looked.
            if service_manager.has_heard_ready() {
                service_manager.keep_informed(now());
            }
        }
    })
}

/// The lock of the instance. A watchdog that was killed between fork and exec of its start command has left it to
/// that, which is waited for; and one that began before there was a place for each machine has it in the old one.
fn acquire(files: &mut Files, settings: &Settings, proc: &Proc) -> Result<Lock, NoLock> {
    let mut patience = EXEC_PATIENCE;
    let lock = loop {
        match Lock::take(files, &settings.fingerprint()) {
            Err(NoLock::Busy(holder))
                if patience > 0 && !holder.pid.is_some_and(|pid| proc.is_there(pid)) =>
            {
                patience -= 1;
                pause(EXEC_PAUSE);
            }
            taken => break taken?,
        }
    };
    let before = files.state_before().and_then(|state| state.watchdog);
    let is_running = before.is_some_and(|it| proc.is_alive(it));
    if let Some(holder) = holder_before(files).filter(|_| is_running) {
        lock.release();
        return Err(NoLock::Busy(holder));
    }
    if lock.is_elsewhere {
        files.useless = Some("another machine has the lock there");
    }
    files.remove_unfinished(|pid| proc.is_there(pid));
    Ok(lock)
}

/// As process 1: what people have said was said to the container that was here before.
fn end_holds_of_older_containers(files: &Files) {
    if std::process::id() == 1 && !files.holds(now()).is_empty() {
        let _ = files.end_holds_before(own_start().unwrap_or_else(now));
    }
}

/// What a run does beside another watchdog of its name.
fn beside(
    settings: &Rc<Settings>,
    other: Other,
    files: &Files,
    proc: &Proc,
    stderr: &mut Stderr,
) -> ExitCode {
    match other.beside(settings.limits.once, Origin::current()) {
        Beside::IsRepeated => ExitCode::Success,
        Beside::IsRefused => {
            stderr.complain(&other.refusal(&settings.name));
            ExitCode::Busy
        }
        Beside::Looks => {
            if let Some(stuck) = stuck_run(settings, files, proc).filter(|stuck| files.note_stuck(*stuck)) {
                start_log(settings, false);
                let mut report = LogLines::new(settings);
                report.on(&WatchEvent::Stuck(stuck.pid).into());
                report.flush(Worth::All);
            }
            look_beside(settings, files, proc)
        }
    }
}

/// Works in `/` from here on, so that no mount is kept busy. Where it was, as far as that is a path that leads
/// there again; else it stays, and start commands do.
fn leave_directory() -> PathBuf {
    let stay = PathBuf::from(".");
    let id = |path: &Path| path.metadata().ok().map(|it| (it.dev(), it.ino()));
    match std::env::current_dir() {
        Ok(directory) if directory.is_absolute() && id(&directory) == id(&stay) => {
            std::env::set_current_dir("/").map_or(stay, |()| directory)
        }
        _ => stay,
    }
}

fn start_log(settings: &Settings, give_up_was_told: bool) {
    log::start(settings, Stderr::new(verbosity(settings, give_up_was_told)));
}

impl Parts {
    fn say_what_was_found(&mut self, found: Recalled, no_lock: Option<&NoLock>) {
        if let Some(unusable) = &found.unusable {
            self.emit(Lasting::StateUnusable(unusable));
        }
        if let Some((end, deaths)) = found.ended {
            self.emit(ProcessEvent::EndedUnseen { end: &end, deaths });
            self.ended_unseen = Some(end);
        }
        if found.in_turn {
            self.emit(Lasting::InTurn);
        }
        match no_lock {
            Some(error) => self.emit(Lasting::NoLock(error)),
            None => self.emit(Event::Over(Notice::Lock)),
        }
        if let Some(pid) = self.lock.as_ref().and_then(|lock| lock.cut_off) {
            self.emit(WatchEvent::CutOff(pid));
        }
        // To somebody who can do something about it; to others when it matters.
        let useless = self.record.files.usable().err().filter(|_| Origin::current() != Origin::Line);
        if let Some(error) = useless {
            self.emit(Lasting::StateUnwritable(&error));
        }
        self.doubt_settings();
        if let Err(error) = sys::keep_inherited_descriptors() {
            self.emit(Lasting::Inherits(&error));
        }
    }
}

/// A `--once` run that has been at work for far longer than its settings allow.
fn stuck_run(settings: &Settings, files: &Files, proc: &Proc) -> Option<ProcessId> {
    let state = files.state().ok().flatten().filter(|state| state.once)?;
    let run = state.watchdog.filter(|run| proc.is_alive(*run))?;
    let limits = &settings.limits;
    let attempt = limits.restart_wait_interval + limits.start_timeout + limits.after_stop + KILL_AFTER;
    let stages = 4 * limits.stage_length() + settings.probe_timeout;
    let allowed = attempt * limits.max_fail_count.unwrap_or(1).saturating_add(1) + stages;
    (now().saturating_sub(run.started) > 2 * allowed).then_some(run)
}

/// What a run does beside a watchdog at work, which does all the rest: it looks at what that follows.
fn look_beside(settings: &Settings, files: &Files, proc: &Proc) -> ExitCode {
    // It has only just begun.
    let Ok(Some(state)) = files.state_of_this_boot() else { return look_only(settings, proc, None) };
    let lives = |process: &StoredProcess| proc.try_is_alive(process.id, process.signature.user);
    match state.process.as_ref().map(lives) {
        Some(Ok(true)) => ExitCode::Success,
        None if state.sight == Sight::Unknown => ExitCode::CannotTell,
        Some(Ok(false)) | None => ExitCode::LeftAlone,
        Some(Err(_)) => ExitCode::CannotTell,
    }
}

/// What a run does that may start nothing.
fn look_only(settings: &Settings, proc: &Proc, predecessor: Option<&Predecessor>) -> ExitCode {
    match proc.find(&settings.criteria, predecessor, &Tasks::default()) {
        Ok(matches) if matches.counting.is_empty() => ExitCode::LeftAlone,
        Ok(_) => ExitCode::Success,
        Err(_) => ExitCode::CannotTell,
    }
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
