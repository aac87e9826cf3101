//! What a run comes to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Counts and times of a run.
#[derive(Default)]
pub struct Summary {
    pub rounds: u64,
    pub events: BTreeMap<String, u64>,
    /// Deaths of watched processes that the soak brought about.
    pub deaths: u64,
    pub starts: u64,
    pub watchdogs: u64,
    pub give_ups: u64,
    /// How often each invariant was held against what there was.
    pub checked: BTreeMap<&'static str, u64>,
    /// Findings that are no fault, for the reason that the name says.
    pub waived: BTreeMap<&'static str, u64>,
    /// From a kill to the beginning of the start command, where nothing else was going on.
    pub kill_to_start: Vec<Duration>,
    /// From the end of a round's faults to the time when all were running.
    pub faults_to_running: Vec<Duration>,
    /// How much later than on an idle machine all may have been.
    pub busy: Duration,
    /// What the watchdog that is never ended had at first, and at last: descriptors, and kB of memory.
    pub veteran: Option<((usize, u64), (usize, u64))>,
}

impl Summary {
    /// An invariant was looked at.
    pub fn checked(&mut self, what: &'static str) {
        *self.checked.entry(what).or_default() += 1;
    }

    /// Something was found that would be a fault otherwise.
    pub fn waived(&mut self, why: &'static str) {
        *self.waived.entry(why).or_default() += 1;
    }
}

fn times(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(min), Some(median), Some(max)) => format!(
            "min {} ms, median {} ms, max {} ms, of {}",
            min.as_millis(),
            median.as_millis(),
            max.as_millis(),
            sorted.len()
        ),
        _ => "none".to_owned(),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, head: &str, all: Vec<(&str, u64)>| {
            writeln!(f, "{head}:")?;
            all.iter().try_for_each(|(what, count)| writeln!(f, "  {count:>8}  {what}"))
        };
        writeln!(
            f,
            "{} rounds; {} deaths of a process, {} start commands, {} watchdogs started, {} give-ups",
            self.rounds, self.deaths, self.starts, self.watchdogs, self.give_ups
        )?;
        list(f, "events", self.events.iter().map(|(what, count)| (&**what, *count)).collect())?;
        list(f, "invariants checked", self.checked.iter().map(|(what, count)| (*what, *count)).collect())?;
        list(f, "allowed for a reason", self.waived.iter().map(|(why, count)| (*why, *count)).collect())?;
        writeln!(f, "kill -9 to start command: {}", times(&self.kill_to_start))?;
        writeln!(f, "end of faults to all running: {}", times(&self.faults_to_running))?;
        writeln!(f, "allowed for a machine that was busy: {} ms", self.busy.as_millis())?;
        match self.veteran {
            Some(((fds, memory), (last_fds, last_memory))) => writeln!(
                f,
                "the watchdog that is never ended: {fds} descriptors, {memory} kB (RssAnon); at last {last_fds}, \
                 {last_memory} kB"
            ),
            None => Ok(()),
        }
    }
}
