//! How often things have happened, for metrics: numbers that only grow, until a boot. Nothing here decides anything.

use serde::{Deserialize, Serialize};

use crate::process::termination::{Cause, Termination};

/// `counters` of the state file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    pub starts: Starts,
    pub stops: Stops,
    pub deaths: Deaths,
    pub probes: Probes,
    pub give_ups: u64,
    pub hook_failures: u64,
}

/// Attempts, as they were judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Starts {
    pub success: u64,
    pub failure: u64,
}

/// What the watchdog has stopped, by the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stops {
    pub unhealthy: u64,
    pub request: u64,
    pub hours: u64,
    pub version: u64,
}

/// What has ended otherwise, by the cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deaths {
    pub finished: u64,
    pub stopped: u64,
    pub killed: u64,
    pub crashed: u64,
    pub out_of_memory: u64,
    pub unknown: u64,
}

/// Probes, by what they found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probes {
    pub success: u64,
    pub failure: u64,
    pub timeout: u64,
    pub unknown: u64,
}

/// One more.
pub fn add(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

impl Deaths {
    /// One more, which ended so.
    pub fn add(&mut self, end: &Termination) {
        add(match end.cause() {
            _ if end.is_out_of_memory() => &mut self.out_of_memory,
            Cause::Finished => &mut self.finished,
            Cause::Stopped => &mut self.stopped,
            Cause::Killed => &mut self.killed,
            Cause::Crashed => &mut self.crashed,
            Cause::Unknown => &mut self.unknown,
        });
    }
}
