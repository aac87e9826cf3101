//! Times: the clock that counts from boot, local time for people, and this boot.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};

pub use chrono::SecondsFormat;

use crate::guard::guarded;

pub mod millis;

/// Where chrono looks for zones that are named.
const ZONES: [&str; 4] =
    ["/usr/share/zoneinfo", "/share/zoneinfo", "/etc/zoneinfo", "/usr/share/lib/zoneinfo"];

/// By how many milliseconds the clocks differ from before when one of them has been set; a leap second does no harm.
const STEP_MS: u64 = 1000;

/// No clock that is right shows an earlier date: this version was made then.
const MADE: Option<NaiveDate> = NaiveDate::from_ymd_opt(2026, 11, 26);

/// A moment: the time since the machine was booted, time asleep included (`CLOCK_BOOTTIME`).
pub type Time = Duration;

/// The time now, in the sense of [`Time`]. `/proc/PID/stat` counts a process's start on the same clock
/// (`start_boottime`, since Linux 5.5).
pub fn now() -> Time {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Time::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs().try_into().unwrap_or(0))
}

/// The time now on a clock that stands while the machine sleeps (`CLOCK_MONOTONIC`).
pub fn awake() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs().try_into().unwrap_or(0))
}

/// What the wall clock is ahead of the clock of [`Time`], in milliseconds. Whoever sets the clock changes it.
pub fn clocks_ms() -> i64 {
    wall_ms().saturating_sub(millis::signed(now()))
}

/// Whether one of the clocks has been set since the wall clock was ahead so much.
pub fn have_been_set_since(ahead_ms: i64) -> bool {
    ahead_ms.abs_diff(clocks_ms()) > STEP_MS
}

/// What the wall clock shows, in milliseconds since 1970.
pub fn wall_ms() -> i64 {
    let wall = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    wall.tv_sec.saturating_mul(1000).saturating_add(wall.tv_nsec / 1_000_000)
}

/// When the machine was booted, by the wall clock, since 1970, in whole seconds. The kernel tells the same each time until
/// somebody sets the clock, so that what is made of it stays.
pub fn booted(proc: &Path) -> Duration {
    let stat = std::fs::read_to_string(proc.join("stat")).unwrap_or_default();
    let told = stat.lines().find_map(|line| line.strip_prefix("btime ")?.parse().ok());
    let computed = || clocks_ms().saturating_add(500) / 1000;
    Duration::from_secs(told.unwrap_or_else(|| computed().unsigned_abs()))
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
/// names, with an offset of more than a day, and waits for ever for one that is a pipe.
pub fn local(time: SystemTime, to: SecondsFormat) -> String {
    in_zone(|| DateTime::<Local>::from(time).to_rfc3339_opts(to, false))
        .unwrap_or_else(|| DateTime::<Utc>::from(time).to_rfc3339_opts(to, false))
}

/// What the clock on the wall shows, as people here read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    pub local: NaiveDateTime,
    /// It may be right. One that is certainly wrong shows the earliest date that it can be.
    pub is_trusted: bool,
}

impl WallClock {
    /// As it is now.
    pub fn now() -> Self {
        let local = in_zone(|| Local::now().naive_local()).unwrap_or_else(|| Utc::now().naive_utc());
        Self::at(local)
    }

    fn at(local: NaiveDateTime) -> Self {
        let made = MADE.unwrap_or_default().and_time(NaiveTime::MIN);
        WallClock { local: local.max(made), is_trusted: local >= made }
    }
}

/// When the clock on the wall shows this, or has shown it: first, if that comes twice when it is set back. What is left
/// out when it is set forward is the moment of that.
pub fn when(local: NaiveDateTime) -> Time {
    let shows = |at: DateTime<Utc>| at.with_timezone(&Local).naive_local();
    let once = || Local.from_local_datetime(&local).earliest().map(|at| at.to_utc());
    let at = in_zone(|| once().or_else(|| jumps_over(local, shows)));
    let at = at.flatten().unwrap_or_else(|| local.and_utc());
    let ahead = at.signed_duration_since(Utc::now());
    match ahead.to_std() {
        Ok(ahead) => now().saturating_add(ahead),
        Err(_) => now().saturating_sub(ahead.abs().to_std().unwrap_or_default()),
    }
}

/// When a clock that `shows` the local time is set forward over this one; to the second.
fn jumps_over(local: NaiveDateTime, shows: impl Fn(DateTime<Utc>) -> NaiveDateTime) -> Option<DateTime<Utc>> {
    let days = TimeDelta::days(2);
    let utc = local.and_utc();
    let (mut before, mut after) = (utc.checked_sub_signed(days)?, utc.checked_add_signed(days)?);
    while after - before > TimeDelta::seconds(1) {
        let middle = before + (after - before) / 2;
        if shows(middle) > local { after = middle } else { before = middle }
    }
    Some(before)
}

/// What `act` makes of the local time zone, where that can be told: chrono panics on some, and waits for ever for others.
fn in_zone<T>(act: impl FnOnce() -> T) -> Option<T> {
    let zone = std::env::var_os("TZ").unwrap_or_default();
    if zone_files(&zone).all(|file| is_safe_to_read(&file)) { guarded(act) } else { None }
}

/// The files that chrono may read the zone from, which the environment variable TZ names.
fn zone_files(zone: &OsStr) -> impl Iterator<Item = PathBuf> + use<> {
    let zone = zone.as_bytes();
    let zone = PathBuf::from(OsStr::from_bytes(zone.strip_prefix(b":").unwrap_or(zone)));
    ZONES.iter().map(move |folder| Path::new(folder).join(&zone)).chain(["/etc/localtime".into()])
}

/// Not so are pipes and devices, which may let a reader wait.
fn is_safe_to_read(path: &Path) -> bool {
    path.metadata().map_or(true, |file| file.is_file() || file.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_this_version_was_made_is_not_trusted() {
        let made = MADE.unwrap().and_time(NaiveTime::MIN);
        let early = made - TimeDelta::seconds(1);
        assert_eq!(WallClock::at(made), WallClock { local: made, is_trusted: true });
        assert_eq!(WallClock::at(early), WallClock { local: made, is_trusted: false });
        assert!(WallClock::now().is_trusted);
    }

    #[test]
    fn a_local_time_is_a_moment() {
        let local = WallClock::now().local;
        for seconds in [-100_i32, 0, 100] {
            let moment = when(local + TimeDelta::seconds(seconds.into())).as_secs_f64();
            let expected = now().as_secs_f64() + f64::from(seconds);
            // Unless summer time begins or ends just now.
            assert!((moment - expected).abs() < 5.0, "{seconds}: {moment} {expected}");
        }
        assert_eq!(when(NaiveDateTime::MIN), Time::ZERO);
        assert!(when(NaiveDateTime::MAX) > now());
    }

    #[test]
    fn a_time_that_no_clock_shows_is_when_the_clock_is_set_forward_over_it() {
        let date = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap();
        // In Berlin, from 02:00 to 03:00.
        let set = date("2026-03-29 01:00:00").and_utc();
        let berlin = |at: DateTime<Utc>| at.naive_utc() + TimeDelta::hours(if at < set { 1 } else { 2 });
        for left_out in ["02:00:00", "02:30:00", "02:59:58"] {
            let found = jumps_over(date(&format!("2026-03-29 {left_out}")), berlin).unwrap();
            assert!((set - found).abs() <= TimeDelta::seconds(1), "{left_out}: {found}");
        }
        assert_eq!(jumps_over(NaiveDateTime::MIN, berlin), None);
    }

    #[test]
    fn a_zone_is_a_path_or_beneath_the_folders_of_zones() {
        for (zone, file) in [
            ("/x/zone", "/x/zone"),
            (":/x/zone", "/x/zone"),
            ("Europe/Berlin", "/usr/share/zoneinfo/Europe/Berlin"),
            (":UTC", "/etc/zoneinfo/UTC"),
            ("", "/etc/localtime"),
        ] {
            assert!(zone_files(zone.as_ref()).any(|candidate| candidate == Path::new(file)), "{zone}");
        }
    }
}
