//! What outlives a watch: the part of the state file that decides.

use serde::{Deserialize, Serialize};

use super::{LONGEST_RETRY, Since};
use crate::process::ProcessId;
use crate::settings::{Autorestart, Limits};
use crate::time::{Time, millis};

/// What a watch knows beyond its own run, so that the next one goes on where it stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Failed attempts in a row.
    pub failures: u32,
    /// The process came from an attempt and is not stable yet.
    pub on_probation: bool,
    /// When the last attempt began.
    #[serde(rename = "last_attempt_ms", with = "millis::optional")]
    pub last_attempt: Option<Time>,
    /// That attempt is not judged yet.
    pub judging: bool,
    /// Rounds of attempts given up since the process was last stable.
    pub rounds: u32,
    /// It was given up; a fresh round begins then.
    #[serde(rename = "gave_up_until_ms", with = "millis::optional")]
    pub gave_up_until: Option<Time>,
    /// The process that came from an attempt, if that matters.
    pub ours: Option<ProcessId>,
    /// What is known of health.
    pub health: HealthMemory,
    /// The stop that is under way.
    pub stopping: Option<Stopping>,
    /// What `autorestart` makes of it.
    pub life: Life,
    /// The version that the process was started with, if there are versions.
    pub version: Option<u64>,
    /// The last time window at whose end the process was stopped.
    pub window_stopped: Option<u64>,
}

/// What is known of the process's health. All but the series outlives the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthMemory {
    /// A probe has succeeded once: it can.
    pub proven: bool,
    /// Restarts for health, since the process was last healthy for `stable_after`.
    pub restarts: u32,
    /// Times that it was left running after so many restarts, since then.
    pub rounds: u32,
    /// It is left running until then, whatever its health.
    #[serde(rename = "resting_until_ms", with = "millis::optional")]
    pub resting_until: Option<Time>,
    /// The results of one process's probes.
    pub series: Option<Series>,
}

impl HealthMemory {
    /// Of one who begins afresh. That one restart which a probe has that has never succeeded is not given
    /// twice.
    pub(super) fn afresh(self) -> Self {
        let restarts = if self.proven { 0 } else { self.restarts.min(1) };
        HealthMemory { restarts, rounds: 0, resting_until: None, ..self }
    }
}

/// The results of one process's probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// Whose.
    #[serde(flatten)]
    pub process: ProcessId,
    /// Failures in a row.
    pub failures: u32,
    /// Timeouts that were put down to an overloaded machine, since it was last healthy.
    pub excused: u32,
    /// What it all comes to.
    pub condition: Condition,
    /// Since when.
    #[serde(rename = "since_ms", with = "millis")]
    pub since: Time,
}

/// What the probes of a process come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// None has succeeded, and not enough have failed.
    Starting,
    /// It works.
    Healthy,
    /// It does not.
    Unhealthy,
}

/// A stop that is under way. The next watch begins its stage anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// What is stopped.
    #[serde(flatten)]
    pub process: ProcessId,
    /// Why.
    pub why: Why,
    /// What is done.
    pub stage: Stage,
    /// Since when.
    #[serde(flatten)]
    pub since: Since,
    /// What comes when it is gone.
    pub then: Then,
    /// This watch has begun its stage.
    #[serde(skip)]
    pub(super) is_begun: bool,
    /// The last stage is over, and that is told.
    #[serde(skip)]
    pub(super) is_overdue: bool,
    /// The process dumps core.
    #[serde(skip)]
    pub(super) dumps: bool,
}

impl Stopping {
    /// At this stage since then, which is to be begun.
    pub fn new(process: ProcessId, why: Why, stage: Stage, since: Time, then: Then) -> Self {
        let since = Since::new(since);
        Stopping { process, why, stage, since, then, is_begun: false, is_overdue: false, dumps: false }
    }

    /// As the next watch begins with it.
    pub(super) fn anew(self) -> Self {
        Stopping::new(self.process, self.why, self.stage, self.since.at, self.then)
    }

    /// The process is gone.
    pub(super) fn is_gone(self) -> bool {
        matches!(self.stage, Stage::Left | Stage::LeftKilled)
    }
}

/// Why a process is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its probes fail.
    Unhealthy,
    /// Somebody asked for it.
    Request,
    /// Its hours are over.
    Hours,
    /// Another version is due.
    Version,
}

impl Why {
    /// Its name, the same for the stop command, the hook and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Why::Unhealthy => "unhealthy",
            Why::Request => "request",
            Why::Hours => "hours",
            Why::Version => "version",
        }
    }
}

/// A stage of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// What can be learnt of the hang is put down. Nothing has been done yet.
    Evidence,
    /// The stop command.
    Command,
    /// The stop signal.
    Signal,
    /// SIGKILL.
    Kill,
    /// It is gone, and what it left behind is asked to end.
    Left,
    /// What it left behind is killed.
    LeftKilled,
}

/// What comes after a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// A look, and a start if it is missing and may be started.
    Start,
    /// Nothing: a hold is in force.
    Rest,
}

/// What `autorestart` makes of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// It is started whenever it is missing.
    #[default]
    Open,
    /// It has run, and is not started again when it has ended (`never`).
    HasRun,
    /// It has finished, and is left alone.
    Finished,
}

impl Memory {
    /// What of it can be true at `now`, under these limits. A time that is still to come, as where the clock of a container was
    /// set back, would keep the watch from its work until then.
    pub fn as_of(self, now: Time, limits: &Limits) -> Self {
        let latest = now.saturating_add(LONGEST_RETRY.max(limits.retry_after.unwrap_or_default()));
        let life = match (limits.autorestart, self.life) {
            (Autorestart::Always, _) | (Autorestart::Unexpected, Life::HasRun) => Life::Open,
            (Autorestart::Unexpected | Autorestart::Never, life) => life,
        };
        Memory {
            last_attempt: self.last_attempt.map(|at| at.min(now)),
            gave_up_until: self.gave_up_until.map(|until| until.min(latest)),
            health: HealthMemory {
                resting_until: self.health.resting_until.map(|until| until.min(latest)),
                series: self.health.series.map(|series| Series { since: series.since.min(now), ..series }),
                ..self.health
            },
            life,
            ..self
        }
    }

    /// Without failures and a give-up, and no attempt is to be judged.
    pub fn without_failures(self) -> Self {
        Memory { failures: 0, on_probation: false, judging: false, rounds: 0, gave_up_until: None, ..self }
    }

    /// Of one who begins afresh: nothing was counted.
    pub fn afresh(self) -> Self {
        Memory { health: self.health.afresh(), ..self.without_failures() }
    }

    /// What still holds under other settings for the same process, which are a new beginning: that two start
    /// commands are not too close to each other, what the process came from, that it has finished, and a stop that is
    /// under way.
    pub fn with_other_settings(self) -> Self {
        let Memory { last_attempt, ours, stopping, life, version, window_stopped, .. } = self;
        Memory { last_attempt, ours, stopping, life, version, window_stopped, ..Memory::default() }
    }

    /// With the attempt that was made at `at`, should it not be known: a watch that is killed just after
    /// the start command was run cannot write that down any more. `is_at_work` is that command.
    pub fn with_attempt(self, at: Time, is_at_work: bool) -> Self {
        if self.last_attempt.is_some_and(|last| at <= last) {
            return self;
        }
        // Where nothing is known, what came of it may have been judged long ago.
        let judging = is_at_work || self.last_attempt.is_some();
        // After a give-up it was the first of a fresh round.
        let failures = if self.gave_up_until.is_some() { 0 } else { self.failures };
        // A start comes after a stop, and is not of what has finished.
        let (stopping, life) = (None, Life::Open);
        Memory { last_attempt: Some(at), judging, failures, gave_up_until: None, stopping, life, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_written_as_the_next_watch_begins_with_it() {
        let process = ProcessId { pid: 7, started: Time::from_secs(1) };
        let stop = Stopping::new(process, Why::Request, Stage::Signal, Time::from_secs(2), Then::Start);
        let text =
            r#"{"pid":7,"started_ms":1000,"why":"request","stage":"signal","since_ms":2000,"then":"start"}"#;
        let under_way = Stopping { is_begun: true, is_overdue: true, dumps: true, ..stop };
        assert_eq!(serde_json::to_string(&under_way).unwrap(), text);
        assert_eq!(serde_json::from_str::<Stopping>(text).unwrap(), stop);
    }

    #[test]
    fn a_reason_has_one_name_everywhere() {
        for (why, name) in [
            (Why::Unhealthy, "unhealthy"),
            (Why::Request, "request"),
            (Why::Hours, "hours"),
            (Why::Version, "version"),
        ] {
            assert_eq!((why.name(), serde_json::to_value(why).unwrap()), (name, name.into()));
        }
    }
}
