//! A stop: its stages, and what is ended with the process.

use std::fs::File;
use std::mem;
use std::time::Duration;

use rustix::io::Errno;

use crate::policy::{News, Seen, Stage, StopBy, Stopping, Why};
use crate::probe::evidence;
use crate::process::ProcessId;
use crate::process::handle::{Handle, ProcessFd};
use crate::process::termination::Predecessor;
use crate::report::health::{HealthEvent, StopEvent};
use crate::report::words::ambiguity;
use crate::settings::KillMode;
use crate::supervise::{Parts, Supervisor};
use crate::task::{self, CommandEnd, Output, Task};
use crate::time::{Time, now};

/// In the state folder: its lock has the one instance whose process is restarted for its health.
const SLOT: &str = "restart.slot";

/// What the loop knows of a stop beside what the policy does.
#[derive(Debug, Default)]
pub(super) struct Stops {
    /// What is stopped, or was last.
    id: Option<ProcessId>,
    /// As the log names it.
    process: String,
    began: Time,
    evidence: Option<Task>,
    command: Option<Task>,
    /// How long the output log was when the stop command began.
    output_from: u64,
    /// Its descendants.
    noted: Vec<ProcessId>,
    /// It is gone, and the stop command is still at work.
    pub(super) gone: Option<ProcessId>,
    /// What it left behind that is being ended.
    left: Vec<ProcessFd>,
    /// When the last one that was stopped was gone.
    pub(super) ended: Option<Time>,
    /// It has not been found since.
    is_over: bool,
    /// Why that was.
    pub(super) why: Option<Why>,
    slot: Option<Slot>,
}

/// The right to restart for health, which one instance of a state folder has at a time.
#[derive(Debug)]
struct Slot {
    /// Locked, if that can be.
    _lock: Option<File>,
    until: Time,
}

impl Stops {
    /// Goes on with the stop of a watch before this one.
    pub(super) fn recall(stop: Option<Stopping>, noted: &[ProcessId]) -> Self {
        let process = stop.map(|stop| format!("pid {}", stop.process.pid)).unwrap_or_default();
        let (id, began) = (stop.map(|stop| stop.process), stop.map_or_else(now, |stop| stop.since.at));
        Stops { id, process, began, noted: noted.to_vec(), ..Stops::default() }
    }

    /// A stop of this process, which may be under way.
    fn begin(&mut self, process: &Handle, now: Time) {
        self.process = process.info().to_string();
        if self.id.replace(process.info().id()) != self.id {
            (self.began, self.noted, self.gone) = (now, Vec::new(), None);
        }
    }

    pub(super) fn tasks(&mut self) -> impl Iterator<Item = &mut Task> {
        self.evidence.iter_mut().chain(&mut self.command)
    }

    /// What is news of a process that was stopped: somebody else has started it.
    pub(super) fn is_news(&mut self, news: News) -> News {
        match news {
            News::Found { .. } | News::Appeared { .. } => self.slot = None,
            _ => return news,
        }
        match (mem::take(&mut self.is_over), news) {
            (true, News::Found { .. }) => News::Found { by_itself: true },
            (_, news) => news,
        }
    }
}

impl Supervisor {
    /// The stop that is under way.
    pub(super) fn stopping(&self) -> Option<Stopping> {
        self.policy.memory().stopping
    }

    /// The stop of this process, if anything has been done to it yet.
    pub(super) fn stop_of(&self, process: ProcessId) -> Option<Stopping> {
        self.stopping().filter(|stop| stop.process == process && stop.stage != Stage::Evidence)
    }

    /// Puts down what can be learnt of a hang, if the process can be stopped just now. Each part of a stop is written down
    /// before it is carried out, so that the next watch can go on with it.
    pub(super) fn gather_evidence(&mut self, process: ProcessId) -> Seen {
        self.write_down();
        let Some(followed) = self.follows(process) else { return Seen::Nothing };
        let is_signalled = matches!(followed.send(0), Some(Ok(()) | Err(Errno::SRCH)));
        if !is_signalled && self.parts.settings.stop_command.is_none() {
            self.tell_restart(Some("it cannot be signalled"));
            return Seen::StopImpossible;
        }
        let tasks = self.own_tasks();
        let Parts { proc, settings, .. } = &self.parts;
        let find = || proc.find(&settings.criteria, self.predecessor.as_ref(), &tasks);
        // The one that a pid file has named is certain.
        let is_certain = settings.criteria.pid_file.is_some()
            || find().is_ok_and(|matches| ambiguity(&matches.counting).is_none());
        if !is_certain {
            return self.not_now("it is not certain which process is meant");
        }
        if !self.take_slot() {
            return self.not_now("the process of another watchdog is being restarted");
        }
        match evidence::gather(process, self.health.cpu_time) {
            Ok(task) => {
                self.stops.evidence = Some(task);
                self.tell_restart(None);
                Seen::Nothing
            }
            Err(error) => {
                self.stops.slot = None;
                self.not_now(&format!("no child can be created ({error})"))
            }
        }
    }

    fn not_now(&mut self, why: &str) -> Seen {
        self.tell_restart(Some(why));
        Seen::StageEnded { well: false }
    }

    /// Whether this instance may restart its process now: without a lock nobody is kept from it.
    fn take_slot(&mut self) -> bool {
        self.stops.slot = None;
        let lock = match self.parts.record.files.usable().and_then(|dir| dir.lock_file(SLOT)) {
            Ok(None) => return false,
            locked => locked.ok().flatten(),
        };
        self.stops.slot = Some(Slot { _lock: lock, until: now() + self.stage_length() });
        true
    }

    pub(super) fn stage_length(&self) -> Duration {
        self.parts.settings.limits.stage_length()
    }

    /// Time was lost: the stop command has as much more as its stage.
    pub(super) fn extend_stop_command(&mut self) {
        if let (Some(command), Some(end)) = (&mut self.stops.command, self.policy.stage_ends()) {
            command.extend_to(end);
        }
    }

    /// The process that is to be stopped, while it is held.
    fn follows(&self, process: ProcessId) -> Option<&Handle> {
        self.followed.as_ref().filter(|it| it.info().id() == process)
    }

    /// A stage begins: what descends from the process by now is noted. What is seen instead, if the process is gone by
    /// now.
    fn begin_stage(&mut self, process: ProcessId) -> Option<Seen> {
        let now = now();
        let until = now + self.stage_length();
        if let Some(slot) = &mut self.stops.slot {
            slot.until = until;
        }
        let sessions = self.own_tasks().others;
        if let Some(followed) = self.followed.as_ref().filter(|it| it.info().id() == process) {
            self.stops.begin(followed, now);
            for id in self.parts.proc.descendants(process.pid, &sessions) {
                if !self.stops.noted.contains(&id) {
                    self.stops.noted.push(id);
                }
            }
            self.parts.record.notes(&self.stops.noted);
        }
        self.write_down();
        self.was_gone().or_else(|| self.follows(process).is_none().then_some(Seen::Nothing))
    }

    /// Asks the process to end.
    pub(super) fn stop_by(&mut self, process: ProcessId, by: StopBy) -> Seen {
        if let Some(seen) = self.begin_stage(process) {
            return seen;
        }
        let why = self.stop_of(process).map_or(Why::Request, |stop| stop.why);
        match by {
            StopBy::Command => self.run_stop_command(process, why),
            StopBy::Signal => {
                if let Some(command) = &mut self.stops.command {
                    command.kill();
                }
                let signal = self.parts.settings.stop_signal;
                let seen = self.signal(signal);
                if seen == Seen::Nothing {
                    // A suspended one heeds it when it goes on.
                    self.signal(libc::SIGCONT);
                    let process = &self.stops.process;
                    self.parts.emit(StopEvent::Signal { process, why, signal });
                }
                seen
            }
        }
    }

    /// Kills the process.
    pub(super) fn kill_process(&mut self, process: ProcessId) -> Seen {
        if let Some(seen) = self.begin_stage(process) {
            return seen;
        }
        let (process, after) = (&self.stops.process, self.stage_length());
        self.parts.emit(StopEvent::Kill { process, after });
        self.signal(libc::SIGKILL)
    }

    fn signal(&self, signal: i32) -> Seen {
        match self.followed.as_ref().and_then(|followed| followed.send(signal)) {
            Some(Ok(()) | Err(Errno::SRCH)) => Seen::Nothing,
            Some(Err(_)) | None => Seen::StopImpossible,
        }
    }

    fn run_stop_command(&mut self, process: ProcessId, why: Why) -> Seen {
        let settings = self.parts.settings.clone();
        let Some(text) = &settings.stop_command else { return Seen::StageEnded { well: false } };
        self.parts.emit(StopEvent::Command { process: &self.stops.process, why, command: text });
        let mut command = task::shell(text);
        command.env("WATCHDOG_NAME", settings.name.to_string()).env("WATCHDOG_REASON", why.name());
        command.env("WATCHDOG_PROCESS_PID", process.pid.to_string());
        let output = Output::File(self.parts.output.open().ok());
        self.stops.output_from = self.parts.output.length();
        let timeout = Some(self.stage_length());
        match self.surroundings().run(command, output, timeout, || ()) {
            Ok(task) => {
                self.stops.command = Some(task);
                Seen::Nothing
            }
            Err(error) => {
                let (took, said) = (Duration::ZERO, vec![error.to_string()]);
                let end = CommandEnd { status: None, took, timeout: None, said };
                self.parts.emit(StopEvent::CommandFailed(&end));
                Seen::StageEnded { well: false }
            }
        }
    }

    /// Ends what the process left behind: what was noted and is still the same.
    pub(super) fn end_left(&mut self, kill: bool) -> Seen {
        self.write_down();
        if self.stops.left.is_empty() {
            let Parts { proc, settings, .. } = &self.parts;
            let is_mixed = settings.limits.kill_mode == KillMode::Mixed;
            let hold = |id| ProcessFd::open(proc, id).ok().flatten();
            // One that was noted by a watch before this one may have started this.
            let lineage = proc.lineage();
            let noted = mem::take(&mut self.stops.noted).into_iter();
            let left = noted.filter(|id| !lineage.contains(&id.pid)).filter_map(hold);
            self.stops.left = left.filter(|it| is_mixed || it.has_never_execed()).collect();
        }
        let count = self.stops.left.len();
        if count == 0 {
            return Seen::StageEnded { well: true };
        }
        self.parts.emit(StopEvent::EndsLeft { count, kill });
        let signal = if kill { libc::SIGKILL } else { libc::SIGTERM };
        for process in &self.stops.left {
            // It may have ended a moment ago.
            let _ = process.send(signal);
        }
        Seen::Nothing
    }

    /// What a stage of the stop has come to.
    pub(super) fn stage_ended(&mut self) -> Option<Seen> {
        self.stops.slot.take_if(|slot| now() >= slot.until);
        let stage = self.stopping().map(|stop| stop.stage);
        if let Some(known) = task::answer(&mut self.stops.evidence) {
            if !known.is_empty() {
                self.parts.emit(HealthEvent::Evidence { known: known.trim_end() });
            }
            return (stage == Some(Stage::Evidence)).then_some(Seen::StageEnded { well: true });
        }
        if let Some(well) = self.stop_command_ended() {
            let stage_ended = (stage == Some(Stage::Command)).then_some(Seen::StageEnded { well });
            return self.stops.gone.take().map(|id| Seen::Gone { id }).or(stage_ended);
        }
        if !self.stops.left.is_empty() {
            self.stops.left.retain(ProcessFd::is_alive);
            return self.stops.left.is_empty().then_some(Seen::StageEnded { well: true });
        }
        None
    }

    /// Whether the stop command did well, once it has ended.
    fn stop_command_ended(&mut self) -> Option<bool> {
        let command = self.stops.command.take_if(|command| command.ended().is_some())?;
        let end = command.end(self.parts.output.last_lines_since(self.stops.output_from));
        let well = end.status.is_some_and(|status| status.success());
        if !well {
            self.parts.emit(StopEvent::CommandFailed(&end));
        }
        Some(well)
    }

    /// The process is dead; if it was stopped, that is no death of its own.
    pub(super) fn was_stopped(&mut self, followed: &Handle) -> Option<Seen> {
        let stop = self.stop_of(followed.info().id())?;
        let at = now();
        self.lose(Predecessor::new(followed.info(), at));
        self.facts.missing_since.get_or_insert(at);
        self.stops.ended = Some(at);
        if self.stops.command.is_some() {
            // What comes next is not to meet it at work.
            self.stops.gone = Some(stop.process);
            return Some(Seen::Unknown);
        }
        Some(Seen::Gone { id: stop.process })
    }

    /// The time of the stop command is over, and the process has been gone for some of it.
    fn was_gone(&mut self) -> Option<Seen> {
        let id = self.stops.gone.take()?;
        if let Some(command) = &mut self.stops.command {
            command.kill();
        }
        Some(Seen::Gone { id })
    }

    /// Tells what a decision has changed about a stop.
    pub(super) fn tell_stop(&mut self, news: News) {
        let process = &self.stops.process;
        match news {
            News::Stopped { why } => {
                let took = now().saturating_sub(self.stops.began);
                self.parts.emit(StopEvent::Stopped { process, why, took });
                (self.stops.why, self.stops.id, self.stops.is_over) = (Some(why), None, true);
            }
            News::StopFailed { .. } => {
                let pid = self.stops.id.map_or(0, |id| id.pid);
                let waits = evidence::threads(self.parts.proc.root(), pid);
                self.parts.emit(StopEvent::Failed { process, waits: &waits });
            }
            News::StopAbandoned { impossible, .. } => {
                let process = self.followed.as_ref().map_or(process.clone(), |it| it.info().to_string());
                self.parts.emit(StopEvent::Abandoned { process: &process, impossible });
                (self.stops.slot, self.stops.id) = (None, None);
            }
            _ => {}
        }
    }
}
