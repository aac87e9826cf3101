//! Time that is lost while the machine sleeps, or while the watchdog cannot run.

use std::time::Duration;

use crate::policy::Lost;
use crate::time::{Time, awake, now};

/// Shorter sleeps are none: the clocks are read one after the other.
const SHORTEST_SLEEP: Duration = Duration::from_millis(100);
/// A machine with much to do is late, too.
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// The wait, or the work between two waits, that is under way; and what was lost in those before it.
#[derive(Debug, Default)]
pub struct Turn {
    /// When it began, with and without the time asleep.
    began: Option<(Time, Duration)>,
    /// How long it is to last.
    length: Duration,
    lost: Lost,
}

impl Turn {
    /// One ends, and another begins that is to last for `length`. The time at which it does.
    pub fn begin(&mut self, length: Duration) -> Time {
        let (now, awake) = (now(), awake());
        if let Some((began, began_awake)) = self.began.replace((now, awake)) {
            let lost = lost(self.length, now.saturating_sub(began), awake.saturating_sub(began_awake));
            self.lost.slept += lost.slept;
            self.lost.stalled += lost.stalled;
        }
        self.length = length;
        now
    }

    /// Whether any was lost that nobody has taken.
    pub fn has_lost(&self) -> bool {
        self.lost != Lost::default()
    }

    /// What was lost since this was asked last, if any was.
    pub fn take_lost(&mut self) -> Option<Lost> {
        Some(std::mem::take(&mut self.lost)).filter(|lost| *lost != Lost::default())
    }
}

/// What was lost in what was to last for `length`, and has lasted for so long `with_sleep` and `awake`.
fn lost(length: Duration, with_sleep: Duration, awake: Duration) -> Lost {
    let slept = with_sleep.saturating_sub(awake);
    let late = awake.saturating_sub(length);
    Lost {
        slept: if slept >= SHORTEST_SLEEP { slept } else { Duration::ZERO },
        stalled: if late > LONGEST_DELAY && late > length / 2 { late } else { Duration::ZERO },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_without_measure_is_lost() {
        for (length, with_sleep, awake, slept, stalled) in [
            (100, 100, 100, 0, 0),
            (100, 1000, 1000, 0, 0),
            (100, 1200, 1200, 0, 1100),
            (10_000, 14_000, 14_000, 0, 0),
            (10_000, 16_000, 16_000, 0, 6000),
            (10_000, 3_610_000, 10_000, 3_600_000, 0),
            (10_000, 3_616_000, 16_000, 3_600_000, 6000),
            (10_000, 5000, 5000, 0, 0),
            (0, 900, 900, 0, 0),
            (0, 50, 0, 0, 0),
        ] {
            let ms = Duration::from_millis;
            let expected = Lost { slept: ms(slept), stalled: ms(stalled) };
            assert_eq!(
                lost(ms(length), ms(with_sleep), ms(awake)),
                expected,
                "{length} {with_sleep} {awake}"
            );
        }
    }

    #[test]
    fn what_was_lost_is_told_once() {
        let mut turn = Turn::default();
        turn.begin(Duration::ZERO);
        assert_eq!(turn.take_lost(), None);
        turn.began = Some((Time::ZERO, awake()));
        turn.begin(Duration::ZERO);
        assert!(turn.take_lost().is_some_and(|lost| lost.slept > Duration::ZERO));
        assert_eq!(turn.take_lost(), None);
    }
}
