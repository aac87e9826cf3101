//! The state of a watch, and what of it outlives the watch.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::health::{Probing, Up};
use super::request::Asked;
use super::{Answer, Ended, HealthMemory, Life, Lost, May, Memory, Stage, Stopping, Then, Window};
use crate::process::ProcessId;
use crate::process::termination::Cause;
use crate::settings::{Autorestart, Limits};
use crate::time::{Time, millis};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody has looked yet.
    Fresh,
    /// It runs.
    Up(Up),
    /// It is gone, and is started at `until` unless it is back.
    Down { until: Time, cause: DownCause },
    /// The start command was run at `at` and is to be judged.
    Starting { at: Since, sight: Sight },
    /// The start command is being ended: then comes this, or its attempt has failed.
    EndingCommand { since: Since, killed: bool, then: Option<Then> },
    /// The process is being stopped.
    Stopping(Stopping),
    /// It has ended as it should.
    Finished,
    /// Enough failures; a fresh round begins at `until`.
    GaveUp { until: Time },
}

impl State {
    /// It is gone, and nothing more is to be known of that.
    pub(super) fn down(until: Time) -> Self {
        State::Down { until, cause: DownCause::Known }
    }
}

/// What is known of why it is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DownCause {
    /// Not yet how it ended: at `at`, after it `ran` for so long.
    Awaited { at: Time, ran: Duration },
    /// Its process was a daemon's launcher, perhaps: a look will tell.
    Launcher,
    /// It has ended as it should, unless it was a launcher or somebody starts it again: a look will tell.
    Finishing,
    /// All that matters.
    Known,
}

/// What an attempt has brought about so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    NotYet,
    Present,
    Gone {
        at: Time,
        ran: Duration,
        end: Option<Ended>,
    },
    /// What it left running is near, and told.
    Near,
}

/// The beginning of something that has its time, and the time that was lost since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// When it began.
    #[serde(rename = "since_ms", with = "millis")]
    pub at: Time,
    #[serde(skip)]
    lost: Lost,
}

impl Since {
    /// It begins then.
    pub fn new(at: Time) -> Self {
        Since { at, lost: Lost::default() }
    }

    /// When it has lasted for `length`. Sleep does not count, and being stalled not for more than once the
    /// length: whatever stalls the watch, it does not wait for ever.
    pub(super) fn plus(self, length: Duration) -> Time {
        self.at + length + self.lost.slept + self.lost.stalled.min(length)
    }

    fn lose(&mut self, Lost { slept, stalled }: Lost) {
        self.lost.slept = self.lost.slept.saturating_add(slept);
        self.lost.stalled = self.lost.stalled.saturating_add(stalled);
    }
}

/// The state of one watch.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(super) limits: Limits,
    pub(super) state: State,
    /// What outlives the watch, but for what the state says: [`Policy::memory`] has it all.
    pub(super) memory: Memory,
    /// The start command is at work, and is waited for since then.
    pub(super) command: Option<Since>,
    /// When the start command of the last attempt ended.
    pub(super) command_ended: Option<Time>,
    /// There was an attempt in this run.
    pub(super) has_started: bool,
    /// What is remembered is of this run's series.
    pub(super) is_of_series: bool,
    /// What is allowed now.
    pub(super) may: May,
    /// The process has run, where that matters.
    pub(super) has_run: bool,
    /// The version that is in force.
    pub(super) version_due: Option<u64>,
    /// The last window that ended, until somebody has done something about it.
    pub(super) window: Option<Window>,
    /// What somebody asks for.
    pub(super) asked: Option<Asked>,
    /// What is answered with this decision.
    pub(super) answer: Option<Answer>,
}

impl Policy {
    /// A watch that begins, with nothing known.
    pub fn new(limits: Limits) -> Self {
        Policy {
            limits,
            state: State::Fresh,
            memory: Memory::default(),
            command: None,
            command_ended: None,
            has_started: false,
            is_of_series: true,
            may: May::ALL,
            has_run: false,
            version_due: None,
            window: None,
            asked: None,
            answer: None,
        }
    }

    /// A watch that goes on where another stopped; `command` is since when its start command has been
    /// at work, if it is.
    pub fn recall(limits: Limits, memory: Memory, command: Option<Time>) -> Self {
        // Nothing was done in the first stage of a stop, which is left to a new decision.
        let stopping = memory.stopping.filter(|stop| stop.stage != Stage::Evidence);
        let state = match (stopping, memory.gave_up_until, memory.last_attempt, memory.life) {
            (Some(stop), ..) => State::Stopping(stop),
            (None, Some(until), ..) => State::GaveUp { until },
            (None, None, Some(at), _) if memory.judging => {
                State::Starting { at: Since::new(at), sight: Sight::NotYet }
            }
            (None, None, _, Life::Finished) => State::Finished,
            (None, None, _, Life::Open | Life::HasRun) => State::Fresh,
        };
        let has_run = memory.life == Life::HasRun;
        Policy { state, memory, has_run, command: command.map(Since::new), ..Policy::new(limits) }
    }

    /// What the next watch needs to know.
    pub fn memory(&self) -> Memory {
        Memory {
            judging: matches!(self.state, State::Starting { .. } | State::EndingCommand { then: None, .. }),
            gave_up_until: if let State::GaveUp { until } = self.state { Some(until) } else { None },
            // It decides about nothing else.
            ours: self.memory.ours.filter(|_| self.limits.has_probe || self.memory.version.is_some()),
            stopping: if let State::Stopping(stop) = self.state { Some(stop.anew()) } else { None },
            life: match self.state {
                State::Finished => Life::Finished,
                _ if self.has_run => Life::HasRun,
                _ => Life::Open,
            },
            ..self.memory
        }
    }

    /// Goes on with other limits.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
        self.has_run =
            limits.autorestart == Autorestart::Never && (self.has_run || matches!(self.state, State::Up(_)));
        if limits.autorestart == Autorestart::Always {
            if self.state == State::Finished {
                self.state = State::Fresh;
            }
            if let State::Down { until, cause: DownCause::Finishing } = self.state {
                self.state = State::down(until);
            }
        }
    }

    /// Goes on with another probe: what the old one found says nothing of it.
    pub fn begin_other_probe(&mut self, now: Time) {
        self.memory.health = HealthMemory::default();
        if let State::Up(Up { id, still, probing, .. }) = self.state {
            let up = self.enter(now, id, still);
            self.state = State::Up(Up { probing, ..up });
        }
    }

    /// Forgets failures and a give-up, since somebody said so.
    pub fn forget(&mut self, now: Time) {
        self.memory = self.memory.afresh();
        match self.state {
            State::GaveUp { .. } => self.state = State::down(self.earliest_start(now)),
            // The attempt is not judged any more. How its process died may not be known yet.
            State::Starting { sight: Sight::Gone { .. }, .. } => {
                self.state = State::down(self.earliest_start(now));
            }
            State::Starting { .. } => self.state = State::Fresh,
            State::Fresh
            | State::Up(_)
            | State::Down { .. }
            | State::EndingCommand { .. }
            | State::Stopping(_)
            | State::Finished => {}
        }
    }

    /// Time was lost: what has its time has more of it, and a probe that is under way tells nothing.
    pub fn lose(&mut self, lost: Lost) {
        let own = match &mut self.state {
            State::Up(up) => {
                up.probing = if up.probing == Probing::No { Probing::No } else { Probing::Void };
                None
            }
            State::Starting { at: since, .. } | State::EndingCommand { since, .. } => Some(since),
            State::Stopping(stop) => Some(&mut stop.since),
            State::Fresh | State::Down { .. } | State::Finished | State::GaveUp { .. } => None,
        };
        let asked = self.asked.as_mut().map(|asked| &mut asked.since);
        self.command.iter_mut().chain(asked).chain(own).for_each(|since| since.lose(lost));
    }

    /// The hours of the process are over. Said once for each window, by each run.
    pub fn end_window(&mut self, window: Window) {
        self.window = Some(window);
    }

    /// This version of the start command is in force from here on.
    pub fn use_version(&mut self, version: u64) {
        self.version_due = Some(version);
    }

    /// What is remembered is of another series of runs: nothing is given up because of that alone.
    pub fn begin_series(&mut self) {
        self.is_of_series = false;
    }

    /// What was followed and counted is forgotten, for another process is watched from here on, or none. Two
    /// start commands stay as far apart as they have to be.
    pub fn begin_anew(&mut self) {
        *self = Policy {
            command: self.command,
            command_ended: self.command_ended,
            memory: Memory { last_attempt: self.memory.last_attempt, ..Memory::default() },
            has_started: self.has_started,
            is_of_series: self.is_of_series,
            may: self.may,
            version_due: self.version_due,
            asked: self.asked,
            ..Policy::new(self.limits)
        };
    }

    /// Whether a process that ended so, after it `ran` for so long, may have been a daemon's
    /// launcher: it ends with status 0 once the daemon stands on its own feet, so what started after
    /// the launcher's start counts, and not only what started after its end.
    pub fn may_be_launcher(&self, cause: Cause, ran: Duration) -> bool {
        matches!(cause, Cause::Finished | Cause::Unknown) && ran < self.limits.restart_wait_interval
    }

    /// Whether a process that ended so is not to be started again.
    pub fn finishes(&self, end: Ended) -> bool {
        match self.limits.autorestart {
            Autorestart::Always => false,
            Autorestart::Unexpected => end.as_expected,
            Autorestart::Never => true,
        }
    }

    /// How long after such an end of the process the start comes, unless an attempt is being judged or
    /// was the last.
    pub fn delay_after(&self, cause: Cause, ran: Duration) -> Option<Duration> {
        let is_last =
            self.limits.max_fail_count.is_some_and(|max| self.memory.failures.saturating_add(1) >= max);
        let is_down = matches!(self.state, State::Down { .. });
        (is_down && !(is_last && self.is_failure(cause, ran))).then(|| self.delay(cause))
    }

    /// Whether a give-up is not the first since the process was stable, somebody resumed it, or the settings changed.
    pub fn has_given_up_before(&self) -> bool {
        self.memory.rounds > 1
    }

    /// When the attempt is judged whose process has ended.
    pub fn verdict(&self) -> Option<Time> {
        match self.state {
            State::Starting { at, sight: Sight::Gone { .. } } => {
                Some(at.plus(self.limits.restart_wait_interval))
            }
            _ => None,
        }
    }

    /// Whether the attempt that brought about what ended so turns into a failure.
    pub(super) fn is_failure(&self, cause: Cause, ran: Duration) -> bool {
        self.memory.on_probation
            && matches!(cause, Cause::Crashed | Cause::Unknown)
            && ran < self.limits.stable_after
    }

    pub(super) fn is_ours(&self, id: ProcessId) -> bool {
        self.memory.ours.is_some_and(|ours| ours.is_same(id))
    }
}
