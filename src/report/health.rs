//! What happens to the health of the process, and to a stop of it.

use std::time::Duration;

use log::Level;

use crate::policy::{Left, Why};

use crate::process::ProcessInfo;
use crate::process::termination::signal_name;
use crate::report::words::{ended, wrote};
use crate::settings::{Reach, Settings};
use crate::state::said::{Notice, Told};
use crate::task::CommandEnd;
use crate::text::{escaped, plural, span};

/// What happens to its health.
#[derive(Debug)]
pub enum HealthEvent<'a> {
    /// A probe succeeded, for the first time or after it was unhealthy. `was_left` if people were told that it
    /// is left running.
    Healthy { process: &'a ProcessInfo, again: bool, was_left: bool },
    /// Enough probes have failed, the last for this reason.
    Unhealthy { process: &'a ProcessInfo, failures: u32, why: &'a str, then: Then<'a> },
    /// The probe cannot tell.
    CannotTell { why: &'a str },
    /// It dumps core.
    DumpsCore(&'a ProcessInfo),
    /// What can be learnt of a hang.
    Evidence { known: &'a str },
    /// It cannot be signalled.
    CannotSignal { process: &'a ProcessInfo, why: &'a str },
    /// It is the service manager's, which should stop it.
    OfUnit { process: &'a ProcessInfo, unit: &'a str },
}

/// What is done about an unhealthy process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then<'a> {
    Restart,
    /// It is left running.
    Left(Left),
    /// It is left running for now, for this reason.
    NotNow(&'a str),
}

/// What happens to a stop.
#[derive(Debug)]
pub enum StopEvent<'a> {
    /// The stop command begins.
    Command { process: &'a str, why: Why, command: &'a str },
    /// The stop command did not do it.
    CommandFailed { end: &'a CommandEnd, timeout: Option<Duration> },
    /// The stop signal was sent.
    Signal { process: &'a str, why: Why, signal: i32 },
    /// The process is killed, since it did not heed the signal for so long.
    Kill { process: &'a str, after: Duration },
    /// It is gone.
    Stopped { process: &'a str, why: Why, took: Duration },
    /// It left these behind, which are ended.
    EndsLeft { count: usize, kill: bool },
    /// It is still there; it waits for this.
    Failed { process: &'a str, waits: &'a str },
    /// It is left as it is.
    Abandoned { process: &'a str, impossible: bool, has_command: bool },
}

impl HealthEvent<'_> {
    /// How it is told.
    pub(super) fn told(&self) -> Told {
        let (notice, facts) = match self {
            HealthEvent::Healthy { .. } | HealthEvent::Evidence { .. } => return Told::Always,
            HealthEvent::Unhealthy { process, then, .. } => (Notice::Health, then.facts(process)),
            HealthEvent::CannotTell { .. } => (Notice::Probe, String::new()),
            HealthEvent::DumpsCore(process) => (Notice::DumpsCore, process.to_string()),
            HealthEvent::CannotSignal { why, .. } => (Notice::CannotSignal, (*why).to_owned()),
            HealthEvent::OfUnit { unit, .. } => (Notice::OfUnit, (*unit).to_owned()),
        };
        Told::Once(notice, facts)
    }

    /// Its level, whom it reaches, and its words.
    pub(super) fn words(&self, settings: &Settings) -> (Level, Reach, String) {
        let resume = || settings.order("resume");
        match self {
            HealthEvent::Healthy { process, again: true, was_left } => {
                let level = if *was_left { Level::Warn } else { Level::Info };
                let reach = if *was_left { Reach::Mail } else { Reach::Usual };
                (level, reach, format!("healthy again: {process}"))
            }
            HealthEvent::Healthy { process, .. } => {
                (Level::Info, Reach::Usual, format!("healthy: {process}"))
            }
            HealthEvent::Unhealthy { process, failures, why, then } => {
                let probes = plural(*failures, "probe");
                let what =
                    format!("{process} is unhealthy: {failures} {probes} in a row failed; the last {why}");
                let (level, reach, then) = then.words(resume);
                (level, reach, format!("{}; {then}", escaped(&what)))
            }
            HealthEvent::CannotTell { why } => (
                Level::Warn,
                Reach::Usual,
                format!("cannot tell whether it is healthy: the probe {}", escaped(why)),
            ),
            HealthEvent::DumpsCore(process) => (
                Level::Warn,
                Reach::Usual,
                format!("{process} dumps core; it counts as running until that is done"),
            ),
            HealthEvent::Evidence { known } => {
                (Level::Warn, Reach::Usual, format!("before the stop: {}", escaped(known)))
            }
            HealthEvent::CannotSignal { process, why } => {
                let then = if settings.stop_command.is_some() {
                    "only the stop command will stop it"
                } else {
                    "if it is unhealthy, it is left running; give --stop-command"
                };
                (Level::Warn, Reach::Usual, format!("{process} cannot be signalled ({why}); {then}"))
            }
            HealthEvent::OfUnit { process, unit } => (
                Level::Warn,
                Reach::Usual,
                format!(
                    "{process} belongs to {unit}, which may start it again when it is stopped; better: --stop-command \
                     'systemctl stop {unit}'"
                ),
            ),
        }
    }
}

impl Then<'_> {
    /// As [`HealthEvent::words`].
    fn words(&self, resume: impl Fn() -> String) -> (Level, Reach, String) {
        match self {
            Then::Restart => (Level::Warn, Reach::Usual, "restarting it".to_owned()),
            Then::NotNow(reason) => (Level::Warn, Reach::Usual, format!("not restarted now: {reason}")),
            Then::Left(Left::Warned) => {
                (Level::Warn, Reach::Mail, "left running (on_unhealthy warn)".to_owned())
            }
            Then::Left(Left::NeverHealthy) => (
                Level::Error,
                Reach::Mail,
                "left running, because this probe has never succeeded and may be wrong".to_owned(),
            ),
            Then::Left(Left::Enough { restarts, retry }) => {
                let (times, retry) = (plural(*restarts, "restart"), span(*retry));
                let text = format!(
                    "left running after {restarts} {times}, and watched for its death; restarting again in {retry}; \
                     to try now: {}",
                    resume()
                );
                (Level::Error, Reach::Mail, text)
            }
            Then::Left(Left::Resting) => (Level::Warn, Reach::Usual, "left running for now".to_owned()),
            Then::Left(Left::Held) => (
                Level::Warn,
                Reach::Usual,
                "left running, because it may not be stopped and started now".to_owned(),
            ),
        }
    }

    /// What makes it news, of the same process.
    fn facts(&self, process: &ProcessInfo) -> String {
        let then = match self {
            Then::Restart => "restart",
            Then::NotNow(reason) => reason,
            Then::Left(Left::Warned | Left::NeverHealthy) => LEFT,
            // Again after each rest.
            Then::Left(Left::Enough { retry, .. }) => return format!("{LEFT} {process} {}", retry.as_secs()),
            Then::Left(Left::Resting | Left::Held) => "held",
        };
        format!("{then} {process}")
    }
}

/// How the facts begin of what people are told about.
pub const LEFT: &str = "left";

impl StopEvent<'_> {
    pub(super) fn told(&self) -> Told {
        match self {
            StopEvent::Failed { process, .. } => Told::Once(Notice::StopFailed, (*process).to_owned()),
            _ => Told::Always,
        }
    }

    pub(super) fn words(&self, settings: &Settings) -> (Level, String) {
        let because = |why: &Why| match why {
            Why::Unhealthy => "it is unhealthy",
            Why::Request => "as requested",
            Why::Hours => "its hours are over",
            Why::Version => "another version is due",
        };
        match self {
            StopEvent::Command { process, why, command } => {
                (Level::Info, format!("stopping {process}, {}: {}", because(why), escaped(command)))
            }
            StopEvent::CommandFailed { end, timeout: Some(timeout) } => {
                let (timeout, wrote) = (span(*timeout), wrote(end));
                (
                    Level::Warn,
                    format!(
                        "the stop command still ran after {timeout} (stop_timeout) and was killed{wrote}"
                    ),
                )
            }
            StopEvent::CommandFailed { end, timeout: None } => {
                (Level::Warn, format!("the stop command {}{}", ended(end), wrote(end)))
            }
            StopEvent::Signal { process, why, signal } => {
                (Level::Info, format!("stopping {process}, {}: sent {}", because(why), signal_name(*signal)))
            }
            StopEvent::Kill { process, after } => (
                Level::Warn,
                format!("{process} still runs after {} (stop_timeout); killing it", span(*after)),
            ),
            StopEvent::Stopped { process, why, took } => {
                (Level::Info, format!("stopped {process}, {}, in {}", because(why), span(*took)))
            }
            StopEvent::EndsLeft { count, kill } => {
                let how = if *kill { "killing" } else { "ending" };
                let what = if *count == 1 { "process" } else { "processes" };
                (Level::Info, format!("{how} {count} {what} that it left running"))
            }
            StopEvent::Failed { process, waits } => (
                Level::Error,
                format!(
                    "{process} cannot be stopped: it is still there ({waits}); nothing is started until it is gone"
                ),
            ),
            StopEvent::Abandoned { process, impossible: true, has_command } => {
                let instead = if *has_command { "" } else { "; give --stop-command" };
                (
                    Level::Error,
                    format!("{process} cannot be stopped: it cannot be signalled; left running{instead}"),
                )
            }
            StopEvent::Abandoned { process, impossible: false, .. } => {
                let resume = settings.order("resume");
                (
                    Level::Info,
                    format!("{process} is left running: it may not be stopped now; to end a pause: {resume}"),
                )
            }
        }
    }
}
