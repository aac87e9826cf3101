//! Many measurements in a few numbers.

use std::time::Duration;

/// What is told of many times.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// How many there were.
    pub count: usize,
    /// The shortest.
    pub min: Duration,
    /// Half of them are no longer.
    pub median: Duration,
    /// 99 of 100 are no longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Summary {
    /// Of these times; `None` if there are none.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        // The nearest rank: of 200 times the 198th is the 99th percentile.
        let rank = |percent: usize| times.get((times.len() * percent).div_ceil(100).max(1) - 1).copied();
        Some(Summary {
            count: times.len(),
            min: rank(0)?,
            median: rank(50)?,
            p99: rank(99)?,
            max: rank(100)?,
        })
    }
}

/// Fractions that fill the time from 0 to 1 evenly, however many of them there are: multiples of the golden
/// ratio.
pub fn spread(number: usize) -> f64 {
    #[allow(clippy::cast_precision_loss)] // so many are never taken
    (number as f64 * 0.618_033_988_749_895).fract()
}
