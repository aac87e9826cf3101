//! Versions of the start command: which one is in force. Nothing here reads a clock.

use crate::settings::versions::{Version, first, number};
use crate::time::WallClock;

/// What is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce<'a> {
    /// What tells it from others: 0 if no version is.
    pub number: u64,
    pub start_command: &'a str,
}

/// What is in force of the `versions`; before the first one that is `base`, the start command beside them, if there is
/// one. The version that the process was `started` with in this boot stays in force when the clock is set back, unless it
/// is a fake, and when it is removed from the file.
pub fn in_force<'a>(
    versions: &'a [Version],
    base: Option<&'a str>,
    clock: WallClock,
    started: Option<u64>,
) -> Option<InForce<'a>> {
    let due = number(clock.local).max(started.unwrap_or_default());
    let is_due = |version: &&Version| !version.is_fake && version.number() <= due;
    let newest = versions.iter().filter(is_due).max_by_key(|version| version.number());
    let of =
        |version: &'a Version| InForce { number: version.number(), start_command: &version.start_command };
    let base = base.map(|start_command| InForce { number: 0, start_command });
    // A clock that is wrong holds nothing.
    let first = || first(versions).filter(|_| !clock.is_trusted).map(of);
    let found = newest.map(of).or(base).or_else(first)?;
    let is_removed = |started: u64| !versions.iter().any(|version| version.number() == started);
    let number = started.filter(|started| *started > found.number && is_removed(*started));
    Some(InForce { number: number.unwrap_or(found.number), ..found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDateTime;

    fn date(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap()
    }

    fn version(apply_on: &str, start_command: &str) -> Version {
        Version { apply_on: date(apply_on), start_command: start_command.to_owned(), is_fake: false }
    }

    fn at(text: &str) -> WallClock {
        WallClock { local: date(text), is_trusted: true }
    }

    fn commands<'a>(
        versions: &'a [Version],
        base: Option<&'a str>,
        clock: WallClock,
        started: Option<u64>,
    ) -> &'a str {
        in_force(versions, base, clock, started).map_or("none", |it| it.start_command)
    }

    #[test]
    fn the_newest_that_is_due_and_no_fake_is_in_force() {
        let mut versions = vec![version("2026-10-01 08:00", "one"), version("2027-04-01 08:00", "two")];
        for (base, now, expected) in [
            (None, "2026-09-30 12:00", "none"),
            (Some("base"), "2026-09-30 12:00", "base"),
            (None, "2026-10-01 08:00", "one"),
            (Some("base"), "2027-04-01 07:59", "one"),
            (None, "2027-04-01 08:00", "two"),
        ] {
            assert_eq!(commands(&versions, base, at(now), None), expected, "{base:?} at {now}");
        }
        versions[1].is_fake = true;
        let two = Some(versions[1].number());
        assert_eq!(commands(&versions, None, at("2027-05-01 08:00"), two), "one");
        assert_eq!(
            in_force(&versions, None, at("2027-05-01 08:00"), two).unwrap().number,
            versions[0].number()
        );
    }

    #[test]
    fn a_clock_that_is_set_back_ends_no_version() {
        let versions = [version("2026-10-01 08:00", "one"), version("2027-04-01 08:00", "two")];
        let two = Some(versions[1].number());
        assert_eq!(commands(&versions, None, at("2027-03-01 08:00"), two), "two");
        // In the night that has 02:30 twice, it is due at the first, and stays so at 02:00 after it.
        let night = [version("2026-10-25 02:30", "new")];
        let new = Some(night[0].number());
        assert_eq!(commands(&night, Some("old"), at("2026-10-25 02:29"), Some(0)), "old");
        assert_eq!(commands(&night, Some("old"), at("2026-10-25 02:30"), Some(0)), "new");
        assert_eq!(commands(&night, Some("old"), at("2026-10-25 02:00"), new), "new");
    }

    #[test]
    fn one_that_is_removed_from_the_file_ends_nothing() {
        let versions = [version("2026-10-01 08:00", "one")];
        let removed = Some(number(date("2027-04-01 08:00")));
        let found = in_force(&versions, None, at("2027-05-01 08:00"), removed).unwrap();
        assert_eq!((Some(found.number), found.start_command), (removed, "one"));
        // The next one is another all the same.
        let versions = [versions[0].clone(), version("2027-06-01 08:00", "three")];
        assert_eq!(
            in_force(&versions, None, at("2027-06-01 08:00"), removed).unwrap().number,
            versions[1].number()
        );
    }

    #[test]
    fn a_clock_that_is_wrong_holds_nothing() {
        let versions = [version("2026-10-01 08:00", "one"), version("2027-04-01 08:00", "two")];
        let wrong = |text| WallClock { is_trusted: false, ..at(text) };
        assert_eq!(commands(&versions, None, wrong("2026-09-01 08:00"), None), "one");
        assert_eq!(commands(&versions, Some("base"), wrong("2026-09-01 08:00"), None), "base");
        assert_eq!(commands(&versions, None, wrong("2026-11-26 00:00"), None), "one");
    }
}
