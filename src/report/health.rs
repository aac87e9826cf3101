//! What happens to the health of the process, and to a stop of it.

use std::time::Duration;

use crate::policy::{Left, Why};
use crate::process::ProcessInfo;
use crate::process::termination::signal_name;
use crate::report::words::{Line, bad_outcome, ended, error, info, outcome, warn, wrote};
use crate::settings::Settings;
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
    CommandFailed(&'a CommandEnd),
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
    Abandoned { process: &'a str, impossible: bool },
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

    pub(super) fn line(&self, settings: &Settings) -> Line {
        match self {
            HealthEvent::Healthy { process, again, was_left } => {
                let text = format!("healthy{}: {process}", if *again { " again" } else { "" });
                if *was_left { outcome(text) } else { info(text) }
            }
            HealthEvent::Unhealthy { process, failures, why, then } => {
                let probes = plural(*failures, "probe");
                let what =
                    format!("{process} is unhealthy: {failures} {probes} in a row failed; the last {why}");
                let then = then.line(settings);
                Line { text: format!("{}; {}", escaped(&what), then.text), ..then }
            }
            HealthEvent::CannotTell { why } => {
                warn(format!("cannot tell whether it is healthy: the probe {}", escaped(why)))
            }
            HealthEvent::DumpsCore(process) => {
                warn(format!("{process} dumps core; it counts as running until that is done"))
            }
            HealthEvent::Evidence { known } => warn(format!("before the stop: {}", escaped(known))),
            HealthEvent::CannotSignal { process, why } => {
                let then = if settings.stop_command.is_some() {
                    "only the stop command will stop it"
                } else {
                    "if it is unhealthy, it is left running; give --stop-command"
                };
                warn(format!("{process} cannot be signalled ({why}); {then}"))
            }
            HealthEvent::OfUnit { process, unit } => warn(format!(
                "{process} belongs to {unit}, which may start it again when it is stopped; better: --stop-command \
                 'systemctl stop {unit}'"
            )),
        }
    }
}

impl Then<'_> {
    fn line(&self, settings: &Settings) -> Line {
        match self {
            Then::Restart => warn("restarting it"),
            Then::NotNow(reason) => warn(format!("not restarted now: {reason}")),
            Then::Left(Left::Warned) => outcome("left running (on_unhealthy warn)"),
            Then::Left(Left::NeverHealthy) => {
                bad_outcome("left running, because this probe has never succeeded and may be wrong")
            }
            Then::Left(Left::Enough { restarts, retry }) => {
                let (times, retry, resume) =
                    (plural(*restarts, "restart"), span(*retry), settings.order("resume"));
                bad_outcome(format!(
                    "left running after {restarts} {times}, and watched for its death; restarting again in \
                         {retry}; to try now: {resume}"
                ))
            }
            Then::Left(Left::Resting) => warn("left running for now"),
            Then::Left(Left::Held) => warn("left running, because it may not be stopped and started now"),
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

    pub(super) fn line(&self, settings: &Settings) -> Line {
        let because = |why: &Why| match why {
            Why::Unhealthy => "it is unhealthy",
            Why::Request => "as requested",
            Why::Hours => "its hours are over",
            Why::Version => "another version is due",
        };
        match self {
            StopEvent::Command { process, why, command } => {
                info(format!("stopping {process}, {}: {}", because(why), escaped(command)))
            }
            StopEvent::CommandFailed(end) => {
                let killed =
                    |timeout| format!("still ran after {} (stop_timeout) and was killed", span(timeout));
                let how = end.timeout.map_or_else(|| ended(end), killed);
                warn(format!("the stop command {how}{}", wrote(end)))
            }
            StopEvent::Signal { process, why, signal } => {
                info(format!("stopping {process}, {}: sent {}", because(why), signal_name(*signal)))
            }
            StopEvent::Kill { process, after } => {
                warn(format!("{process} still runs after {} (stop_timeout); killing it", span(*after)))
            }
            StopEvent::Stopped { process, why, took } => {
                info(format!("stopped {process}, {}, in {}", because(why), span(*took)))
            }
            StopEvent::EndsLeft { count, kill } => {
                let how = if *kill { "killing" } else { "ending" };
                let what = if *count == 1 { "process" } else { "processes" };
                info(format!("{how} {count} {what} that it left running"))
            }
            StopEvent::Failed { process, waits } => error(format!(
                "{process} cannot be stopped: it is still there ({waits}); nothing is started until it is gone"
            )),
            StopEvent::Abandoned { process, impossible: true } => {
                let instead = if settings.stop_command.is_some() { "" } else { "; give --stop-command" };
                error(format!("{process} cannot be stopped: it cannot be signalled; left running{instead}"))
            }
            StopEvent::Abandoned { process, impossible: false } => {
                let resume = settings.order("resume");
                info(format!(
                    "{process} is left running: it may not be stopped now; to end a pause: {resume}"
                ))
            }
        }
    }
}
