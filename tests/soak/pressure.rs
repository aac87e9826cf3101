//! How busy the machine is with other things: what comes late for that is no fault of the watchdogs.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// How many looks are remembered: more than a minute of them.
const LOOKS: usize = 20_000;
/// What a moment is.
const MOMENT: Duration = Duration::from_millis(300);
/// From a death to a new process several processes have to get their turn, one after the other: watchdog,
/// shell, start command, process.
const IN_A_ROW: u32 = 4;

/// For how long the soak was ready to run and had to wait for a processor, all in all, over time: the
/// second number of `/proc/PID/schedstat` (`Documentation/scheduler/sched-stats.rst`). So have others.
pub struct Pressure {
    file: PathBuf,
    /// When, and how long until then.
    looks: VecDeque<(Duration, Duration)>,
}

impl Pressure {
    /// As `file` tells.
    pub fn new(file: PathBuf) -> Self {
        Pressure { file, looks: VecDeque::new() }
    }

    /// Looks at it. Where the kernel does not tell, there is none.
    pub fn look(&mut self, now: Duration) {
        if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back((now, self.waited()));
    }

    fn waited(&self) -> Duration {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let waited = text.split(' ').nth(1).and_then(|number| number.parse().ok());
        Duration::from_nanos(waited.unwrap_or(0))
    }

    /// How much later something may come that should have come since then.
    pub fn since(&self, since: Duration) -> Duration {
        IN_A_ROW * self.waited().saturating_sub(self.until(since))
    }

    /// How much one process may have been delayed in a moment that ended then.
    pub fn moment(&self, end: Duration) -> Duration {
        let after = self.looks.partition_point(|(at, _)| *at < end);
        let after = self.looks.get(after).map_or_else(|| self.waited(), |(_, waited)| *waited);
        after.saturating_sub(self.until(end.saturating_sub(MOMENT)))
    }

    /// How long it had waited until then, or a little before.
    fn until(&self, time: Duration) -> Duration {
        let at = self.looks.partition_point(|(at, _)| *at <= time);
        self.looks.get(at.saturating_sub(1)).map_or(Duration::ZERO, |(_, waited)| *waited)
    }
}
