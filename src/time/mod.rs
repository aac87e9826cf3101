//! Times: the clock that counts from boot, local time for people, and this boot.

use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Local, Utc};

pub use chrono::SecondsFormat;

use crate::guard::guarded;

pub mod millis;

/// A moment: the time since the machine was booted, time asleep included (`CLOCK_BOOTTIME`).
pub type Time = Duration;

/// The time now, in the sense of [`Time`]. `/proc/PID/stat` counts a process's start on the same clock
/// (`start_boottime`, since Linux 5.5).
pub fn now() -> Time {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Time::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs().try_into().unwrap_or(0))
}

/// This boot (random(4)). Empty where it cannot be read, which is like no other.
pub fn boot_id(proc: &Path) -> String {
    let id = std::fs::read_to_string(proc.join("sys/kernel/random/boot_id")).unwrap_or_default();
    id.trim().to_owned()
}

/// A moment as the log writes it.
pub fn by_the_clock(time: Time) -> String {
    local(SystemTime::now() - now() + time, SecondsFormat::Secs)
}

/// A moment as local time with its offset, which is that of the moment: it changes with summer time.
///
/// In UTC where the local offset cannot be told: chrono panics on a /etc/localtime, or a file that TZ
/// names, with an offset of more than a day.
pub fn local(time: SystemTime, to: SecondsFormat) -> String {
    guarded(|| DateTime::<Local>::from(time).to_rfc3339_opts(to, false))
        .unwrap_or_else(|| DateTime::<Utc>::from(time).to_rfc3339_opts(to, false))
}
