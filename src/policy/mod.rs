//! The decision: state × what was seen × time → action.
//!
//! Pure: no clock, no file, no log. Whoever calls [`Policy::decide`] passes in the time and what was
//! seen, carries out the one action that comes back, and says what came of it; until the action is
//! [`Action::Wait`], when there is nothing to do before that time unless something happens.

mod decide;
mod health;
mod memory;
mod request;
mod start;
mod state;
mod stop;
#[cfg(test)]
mod tests;

pub use memory::{Condition, HealthMemory, Life, Memory, Series, Stage, Stopping, Then, Why};
pub use state::{Policy, Since};

pub use crate::probe::ProbeResult;
pub use crate::process::handle::Still;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::process::ProcessId;
use crate::process::termination::Cause;
use crate::time::Time;

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
/// What can be learnt of a hang is learnt in this time.
const EVIDENCE: Duration = Duration::from_secs(2);
/// Whoever starts a process again that was stopped, as systemd does by `Restart=always`, has done so by then.
const BACK_GRACE: Duration = Duration::from_secs(1);
/// How long a request waits for a look that can tell.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);
/// Timeouts of a probe that an overloaded machine excuses, as a multiple of `probe_failures`.
const EXCUSED: u32 = 3;

/// What was seen since the last decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: the time that was waited for has come.
    Nothing,
    /// A look found the process.
    Running {
        /// Which.
        id: ProcessId,
        /// Whether something holds it still.
        still: Still,
    },
    /// A look found that another process is in the followed one's place, which was handed over and did not die.
    Handed {
        /// To which.
        id: ProcessId,
        /// Whether something holds that still.
        still: Still,
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
    Ended(Ended),
    /// The start command has been run.
    Started,
    /// The start command has ended.
    CommandEnded,
    /// The start command could not even be created, for want of resources.
    CommandRefused,
    /// The probe of this process has ended.
    Probed(ProcessId, ProbeResult),
    /// The stage of a stop has ended before its time.
    StageEnded {
        /// It did what it should: the evidence is there, and nothing is against the stop; the stop command
        /// ended with status 0; nothing is left of what the process left behind.
        well: bool,
    },
    /// The process that was being stopped is gone.
    Gone {
        /// Which.
        id: ProcessId,
    },
    /// The process cannot be signalled: there is no pidfd, or no permission.
    StopImpossible,
    /// Somebody asks for something. It is answered by [`Decision::answer`], unless a newer one comes.
    Request(Request),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub cause: Cause,
    /// With one of `exit_codes`, or by SIGTERM, SIGINT or SIGHUP.
    pub as_expected: bool,
}

/// Time that was lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// The machine slept.
    pub slept: Duration,
    /// The watchdog could not run.
    pub stalled: Duration,
}

/// What somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// That it runs.
    Start,
    /// That it does not.
    Stop,
    /// That it is stopped, and runs again.
    Restart,
}

/// A time window that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// What tells it from others: its end by the wall clock.
    pub number: u64,
    /// When it ended.
    pub at: Time,
}

/// What is allowed now: asked before each decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct May {
    /// The start command may be run.
    pub start: MayStart,
    /// The process may be stopped.
    pub stop: bool,
    /// The process may be probed.
    pub probe: bool,
}

/// Whether the start command may be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayStart {
    /// It may.
    Yes,
    /// If somebody asks for it: what holds it are hours or a dependency.
    OnRequest,
    /// It may not.
    No,
}

impl May {
    /// Nothing is held.
    pub const ALL: May = May { start: MayStart::Yes, stop: true, probe: true };
    /// It is left alone.
    pub const NOTHING: May = May { start: MayStart::No, stop: false, probe: false };
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
    /// Begin a probe of this process.
    Probe(ProcessId),
    /// End the probe that is under way. No result of it is wanted.
    EndProbe,
    /// Put down what can be learnt of the hang, and find out whether the process can be stopped now.
    Evidence(ProcessId),
    /// Stop this process so.
    StopBy(ProcessId, StopBy),
    /// Kill this process.
    Kill(ProcessId),
    /// End what the process left behind.
    EndLeft {
        /// By SIGKILL rather than SIGTERM.
        kill: bool,
    },
    /// The watch is over.
    End(Outcome),
}

/// How a process is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopBy {
    /// By the stop command.
    Command,
    /// By the stop signal, and SIGCONT.
    Signal,
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
    /// The process has ended as `autorestart` has it, and is left alone from here on.
    Finished,
    /// A probe has succeeded.
    Healthy {
        /// The process was unhealthy.
        again: bool,
    },
    /// So many probes in a row have failed that the process counts as unhealthy.
    Unhealthy {
        /// How many.
        failures: u32,
        /// It is left running, for this reason; else it is restarted.
        left: Option<Left>,
    },
    /// The process was stopped.
    Stopped {
        /// Why.
        why: Why,
    },
    /// The last stage of a stop is over, and the process still there.
    StopFailed {
        /// Why it was to be stopped.
        why: Why,
    },
    /// A stop was given up before its next stage.
    StopAbandoned {
        /// Why the process was to be stopped.
        why: Why,
        /// It cannot be signalled; else it may not be stopped any more.
        impossible: bool,
    },
}

/// Why an unhealthy process is left running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// That is what is wanted.
    Warned,
    /// No probe has ever succeeded: it may be the probe that is wrong.
    NeverHealthy,
    /// Restarts have not helped.
    Enough {
        /// How many.
        restarts: u32,
        /// Time until they are tried again.
        retry: Duration,
    },
    /// Restarts did not help some time ago.
    Resting,
    /// It may not be stopped, or could not be started.
    Held,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// What was asked for.
    Done,
    /// Not that.
    Failed(NotDone),
    /// Another was made after it.
    Superseded,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotDone {
    /// Something holds the process. It was left as it is, or is not started.
    Held,
    /// It cannot be signalled.
    CannotStop,
    /// It is still there.
    StillThere,
    /// Somebody else has started it again.
    BackAgain,
    /// It did not start.
    NotStarted,
    /// Nobody can tell whether it runs.
    CannotTell,
    /// What an attempt left running is what was meant, perhaps.
    LeftNear,
    /// It took too long.
    TooLate,
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

/// A decision: one action; and what has changed with it and what a request has come to, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// What to say.
    pub news: Option<News>,
    /// What to answer to whom asked for something: to the one before the last, if it was superseded.
    pub answer: Option<Answer>,
}

impl From<Action> for Decision {
    fn from(action: Action) -> Self {
        Decision { action, news: None, answer: None }
    }
}

impl Action {
    fn with(self, news: News) -> Decision {
        Decision::from(self).with(news)
    }
}

impl Decision {
    fn with(self, news: News) -> Self {
        Decision { news: Some(news), ..self }
    }
}

impl Request {
    /// What is to come of the stop that is under way when it is made.
    fn then(self) -> Then {
        match self {
            Request::Stop => Then::Rest,
            Request::Start | Request::Restart => Then::Start,
        }
    }
}
