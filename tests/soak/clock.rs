//! The time since the machine was booted, the same for all of the soak's parts.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// The clock that counts from boot, without what a time namespace adds to it.
#[derive(Clone, Copy)]
pub struct Clock {
    /// What this process's time namespace adds (`time_namespaces(7)`).
    added: Duration,
}

impl Clock {
    /// The clock of this process. `proc` is a /proc that is not part of the game.
    pub fn new(proc: &Path) -> Self {
        let offsets = fs::read_to_string(proc.join("self/timens_offsets")).unwrap_or_default();
        let boottime = offsets.lines().find_map(|line| line.strip_prefix("boottime"));
        let seconds = boottime.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
        Clock { added: Duration::from_secs(seconds.unwrap_or(0)) }
    }

    /// Now.
    pub fn now(self) -> Duration {
        watchdog::parts::now().saturating_sub(self.added)
    }

    /// A process's start, as /proc shows it to this process, in ticks of the clock.
    pub fn of_ticks(self, ticks: u64) -> Duration {
        Duration::from_millis(ticks * 1000 / procfs::ticks_per_second()).saturating_sub(self.added)
    }
}
