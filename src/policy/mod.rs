//! The decision: state × what was seen × time → action.
//!
//! Pure: no clock, no file, no log. Whoever calls [`Policy::decide`] passes in the time and what was
//! seen, carries out the one action that comes back, and says what came of it; until the action is
//! [`Action::Wait`], when there is nothing to do before that time unless something happens.

mod decide;
#[cfg(test)]
mod tests;

pub use decide::Policy;

use crate::process::termination::Cause;
use crate::settings::Limits;
use crate::time::Time;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::millis;

/// How long a start command that overran has between SIGTERM and SIGKILL.
pub const KILL_AFTER: Duration = Duration::from_secs(5);
/// How often it is asked meanwhile whether it has ended with all of its process group, which may take a look
/// through all processes.
const END_LOOK: Duration = Duration::from_millis(250);
/// From giving up to a fresh round, where nothing else was said and later runs remember.
pub const DEFAULT_RETRY: Duration = Duration::from_secs(600);
/// The longest pause between two rounds of attempts.
pub const LONGEST_RETRY: Duration = Duration::from_secs(3600);
/// How a process died is known once its parent has waited for it, which takes a moment.
pub const REAP_GRACE: Duration = Duration::from_millis(50);
/// What a start command puts into the background last takes a moment to become what it is called: it has as
/// long as the whole attempt, but no less and no more than this.
const SETTLE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));
/// After a start command was run, the first look for the process. The next come at twice the time
/// each, until they are `health_check_interval` apart.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// What a watch knows beyond its own run, so that the next one goes on where it stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Memory {
    /// What of it can be true at `now`. A time that is still to come, as where the clock of a container was
    /// set back, would keep the watch from its work until then.
    pub fn as_of(self, now: Time, limits: &Limits) -> Self {
        let latest = now.saturating_add(LONGEST_RETRY.max(limits.retry_after.unwrap_or_default()));
        Memory {
            last_attempt: self.last_attempt.map(|at| at.min(now)),
            gave_up_until: self.gave_up_until.map(|until| until.min(latest)),
            ..self
        }
    }

    /// Of one who begins afresh: nothing was counted, and no attempt is to be judged.
    pub fn afresh(self) -> Self {
        Memory { failures: 0, on_probation: false, judging: false, rounds: 0, gave_up_until: None, ..self }
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
        Memory { last_attempt: Some(at), judging, failures, gave_up_until: None, ..self }
    }
}

/// What was seen since the last decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: the time that was waited for has come.
    Nothing,
    /// A look found the process, which started at this time.
    Running {
        /// When it started.
        started: Time,
    },
    /// A look found nothing that counts.
    Missing,
    /// A look found nothing that counts; but what the last attempt left running is what was meant, perhaps.
    LeftNear,
    /// A look could not tell.
    Unknown,
    /// The followed process is dead. How it ended follows as [`Seen::Ended`], if it can be known.
    Died {
        /// When it died, or was found dead.
        at: Time,
        /// When it had started.
        started: Time,
    },
    /// How the process that died last ended.
    Ended(Cause),
    /// The start command has been run.
    Started,
    /// The start command has ended.
    CommandEnded,
    /// The start command could not even be created, for want of resources.
    CommandRefused,
    /// Time was lost: what has its time has more of it.
    Lost(Lost),
}

/// Time that was lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// The machine slept.
    pub slept: Duration,
    /// The watchdog could not run.
    pub stalled: Duration,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing, until this time or until something happens.
    Wait(Time),
    /// Look for the process, or at it.
    Look,
    /// Run the start command.
    Start {
        /// Which attempt in a row this is, from 1.
        attempt: u32,
    },
    /// Ask the start command's process group to end (SIGTERM).
    StopCommand,
    /// Kill the start command's process group and wait for the command (SIGKILL).
    KillCommand,
    /// The watch is over.
    End(Outcome),
}

/// How a watch ends by its own decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// `--once`: the process is running.
    Running {
        /// It took an attempt.
        started: bool,
    },
    /// `max_fail_count` attempts failed in a row.
    GaveUp,
    /// `--once`: nobody can tell.
    Unknown,
    /// `--once`: the process is not running, and is left alone.
    LeftAlone,
}

/// What has changed, for the log. Most decisions change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The process is there, and no attempt is being judged.
    Found {
        /// It had been missing.
        by_itself: bool,
    },
    /// The process is there after the start command.
    Appeared {
        /// Time from the start command to this look.
        after: Duration,
    },
    /// The attempt was judged: the process is running.
    Succeeded {
        /// Which attempt in a row it was, from 1.
        attempt: u32,
    },
    /// The attempt was judged: a failure.
    Failed {
        /// Failures in a row, with this one.
        failures: u32,
        /// What was wrong.
        why: Failure,
    },
    /// The attempt was judged: the process did run, but somebody ended it.
    Undone,
    /// The process has run long enough for the failures before it to be forgotten.
    Stable {
        /// How many there were.
        forgotten: u32,
    },
    /// The start command has been at work for too long.
    Overran,
    /// A failure, and enough of them.
    GaveUp {
        /// Failures in a row, with this one.
        failures: u32,
        /// What was wrong with the last.
        why: Failure,
        /// Time until a fresh round, if there is one.
        retry: Option<Duration>,
    },
    /// What the attempt left running is what was meant, perhaps: no other copy is started beside it.
    LeftNear,
}

/// Why an attempt is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It was missing when the attempt was judged.
    Missing,
    /// It was there, and ended before it was judged.
    Ended,
    /// It was missing when the start command's time was up.
    Overran,
    /// It ran when the attempt was judged, and crashed before it was stable.
    Unstable,
}

/// A decision: one action, and what has changed with it, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// What to say.
    pub news: Option<News>,
}

impl From<Action> for Decision {
    fn from(action: Action) -> Self {
        Decision { action, news: None }
    }
}

impl Action {
    fn with(self, news: News) -> Decision {
        Decision { action: self, news: Some(news) }
    }
}
