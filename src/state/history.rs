//! What an instance remembers for people: how the process ended last, how often it died lately, and how the
//! last start command ended. Nothing here decides anything.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::process::oom::OutOfMemory;
use crate::process::termination::{Cause, Exit, Termination, signal_name};
use crate::sys::Pid;
use crate::task::CommandEnd;
use crate::time::{Time, millis};

/// How many deaths are remembered. More within a day are that many or more.
pub const MOST_DEATHS: usize = 100;
/// So many deaths within [`FLAPPING`] are called flapping.
const FLAPS: usize = 3;
const FLAPPING: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How a process ended: `last_exit` of the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    pub pid: Pid,
    /// Its name, printable.
    pub name: String,
    /// When it started.
    #[serde(with = "millis")]
    pub started_ms: Time,
    /// When it died, or was found dead.
    #[serde(with = "millis")]
    pub at_ms: Time,
    /// `finished` (status 0), `stopped` (SIGTERM, SIGINT, SIGHUP), `killed` (SIGKILL), `crashed`, `unknown`.
    pub cause: Cause,
    /// Its exit status, if it exited.
    pub status: Option<i32>,
    /// The signal that ended it, such as `SIGKILL`.
    pub signal: Option<String>,
    /// Whether core was dumped.
    pub core_dumped: bool,
    /// Its resident memory at the last check, in bytes.
    pub memory_bytes: Option<u64>,
    /// How many processes the OOM killer ended meanwhile, in its control group or on the machine.
    pub out_of_memory: Option<OutOfMemory>,
}

/// How a start command ended: `last_start` of the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastStart {
    /// When it ended.
    #[serde(with = "millis")]
    pub at_ms: Time,
    /// How long it was at work.
    #[serde(with = "millis")]
    pub took_ms: Duration,
    /// Its exit status, if it exited and was this watchdog's.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<String>,
}

/// When the process died lately, but for when it was stopped by a signal (SIGTERM, SIGINT, SIGHUP).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Deaths {
    #[serde(with = "millis::list")]
    times: Vec<Time>,
}

/// How often the process died, up to [`MOST_DEATHS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// In the last ten minutes.
    pub lately: usize,
    /// In the last hour.
    pub hour: usize,
    /// In the last day.
    pub day: usize,
}

impl LastExit {
    /// Of a process that was followed to its end.
    pub fn of(end: &Termination) -> Self {
        let status = if let Exit::Ended(status) = end.exit { Some(status) } else { None };
        LastExit {
            pid: end.pid,
            name: end.name.clone(),
            started_ms: end.started,
            at_ms: end.at,
            cause: end.cause(),
            status: status.and_then(|status| status.code()),
            signal: status.and_then(signal_of),
            core_dumped: status.is_some_and(|status| status.core_dumped()),
            memory_bytes: end.memory,
            out_of_memory: end.out_of_memory,
        }
    }
}

/// In a few words: `SIGKILL, out of memory`.
impl fmt::Display for LastExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.signal, self.status) {
            (Some(signal), _) => f.write_str(signal)?,
            (None, Some(status)) => write!(f, "status {status}")?,
            (None, None) => f.write_str("unknown")?,
        }
        if self.core_dumped {
            f.write_str(", core dumped")?;
        }
        match self.out_of_memory {
            Some(OutOfMemory::Group(_)) => f.write_str(", out of memory"),
            Some(OutOfMemory::Machine(_)) => f.write_str(", perhaps out of memory"),
            None => Ok(()),
        }
    }
}

impl LastStart {
    /// Of a command that ended at `now`.
    pub fn of(end: &CommandEnd, now: Time) -> Self {
        let status = end.status;
        LastStart {
            at_ms: now,
            took_ms: end.took,
            status: status.and_then(|status| status.code()),
            signal: status.and_then(signal_of),
        }
    }
}

fn signal_of(status: ExitStatus) -> Option<String> {
    status.signal().map(signal_name)
}

impl Deaths {
    /// One more, at `now`, and how often that makes; nothing if it was `Stopped`.
    pub fn add(&mut self, ending: Cause, now: Time) -> Tally {
        self.times.retain(|time| *time <= now && now.saturating_sub(*time) < DAY);
        if ending == Cause::Stopped {
            return Tally::default();
        }
        self.times.push(now);
        self.times.drain(..self.times.len().saturating_sub(MOST_DEATHS));
        self.tally(now)
    }

    /// How often it died, as of `now`.
    pub fn tally(&self, now: Time) -> Tally {
        let within = |time| self.times.iter().filter(|death| now.saturating_sub(**death) < time).count();
        Tally { lately: within(FLAPPING), hour: within(HOUR), day: within(DAY) }
    }
}

impl Tally {
    pub fn is_flapping(self) -> bool {
        self.lately >= FLAPS
    }
}

/// `flapping: 3 deaths in 10 minutes, 7 in a day`; nothing if it was the only one.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_flapping = self.is_flapping();
        f.write_str(if is_flapping { "flapping: " } else { "" })?;
        let windows = [(self.lately, "10 minutes"), (self.hour, "an hour"), (self.day, "a day")];
        let mut said = 1;
        for (count, time) in windows.into_iter().skip(usize::from(!is_flapping)) {
            // What adds nothing to the shorter time goes without saying.
            if count > said {
                let (comma, deaths) = if said == 1 { ("", " deaths") } else { (", ", "") };
                let or_more = if count >= MOST_DEATHS { " or more" } else { "" };
                write!(f, "{comma}{count}{or_more}{deaths} in {time}")?;
                said = count;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_are_counted_and_named() {
        let minutes = |minutes: u64| Time::from_secs(60 * minutes);
        let day = 24 * 60;
        for (before, said) in [
            (&[][..], ""),
            (&[1], "2 deaths in an hour"),
            (&[day], ""),
            (&[day - 1], "2 deaths in a day"),
            (&[59, 60], "2 deaths in an hour, 3 in a day"),
            (&[9, 10], "3 deaths in an hour"),
            (&[8, 9], "flapping: 3 deaths in 10 minutes"),
            (&[8, 9, 10], "flapping: 3 deaths in 10 minutes, 4 in an hour"),
            (&[1, 2, 61], "flapping: 3 deaths in 10 minutes, 4 in a day"),
            (&[1, 2, 11, 61], "flapping: 3 deaths in 10 minutes, 4 in an hour, 5 in a day"),
        ] {
            let now = minutes(10 * day);
            let mut deaths = Deaths::default();
            for ago in before.iter().rev() {
                deaths.add(Cause::Crashed, now.saturating_sub(minutes(*ago)));
            }
            assert_eq!(deaths.add(Cause::Killed, now).to_string(), said, "{before:?}");
        }
    }

    #[test]
    fn a_stop_on_purpose_is_no_death_and_there_is_an_end_to_remembering() {
        let mut deaths = Deaths::default();
        for second in 0..1000 {
            deaths.add(Cause::Stopped, Time::from_secs(second));
        }
        assert_eq!(deaths.tally(Time::from_secs(1000)), Tally::default());
        for second in 0..1000 {
            deaths.add(Cause::Crashed, Time::from_secs(second));
        }
        let tally = deaths.tally(Time::from_secs(1000));
        assert_eq!(tally, Tally { lately: MOST_DEATHS, hour: MOST_DEATHS, day: MOST_DEATHS });
        assert_eq!(tally.to_string(), "flapping: 100 or more deaths in 10 minutes");
        let text = serde_json::to_string(&deaths).unwrap();
        assert!(text.starts_with("[900000,901000,"), "{text}");
        assert_eq!(serde_json::from_str::<Deaths>(&text).unwrap(), deaths);
    }
}
