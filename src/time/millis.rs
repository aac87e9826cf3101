//! Times as whole milliseconds, as the files in the state directory have them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Sums of times that were read must not overflow: 8900 years.
const LONGEST: u64 = 1 << 48;

/// A time in whole milliseconds.
pub fn of(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A time in whole milliseconds, to count with.
pub fn signed(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn read(millis: u64) -> Duration {
    Duration::from_millis(millis.min(LONGEST))
}

/// Writes a time.
///
/// # Errors
/// As the serializer.
pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(of(*time))
}

/// Reads a time.
///
/// # Errors
/// It is not a whole number of milliseconds.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    Ok(read(u64::deserialize(from)?))
}

/// A time that may be absent: `null`.
pub mod optional {
    use crate::time::millis::{Deserialize, Deserializer, Duration, Serializer};

    /// Writes a time.
    ///
    /// # Errors
    /// As the serializer.
    #[allow(clippy::ref_option)] // the shape that serde asks for
    pub fn serialize<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    /// Reads a time.
    ///
    /// # Errors
    /// It is neither `null` nor a whole number of milliseconds.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(super::read))
    }
}

/// Several times.
pub mod list {
    use crate::time::millis::{Deserialize, Deserializer, Duration, Serializer};

    /// Writes times.
    ///
    /// # Errors
    /// As the serializer.
    pub fn serialize<S: Serializer>(times: &[Duration], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(times.iter().map(|time| super::of(*time)))
    }

    /// Reads times.
    ///
    /// # Errors
    /// One is not a whole number of milliseconds.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
        Ok(Vec::<u64>::deserialize(from)?.into_iter().map(super::read).collect())
    }
}
