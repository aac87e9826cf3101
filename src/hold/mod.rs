//! Whether it should run now: the holds that are in force, and what may be done under them.

pub mod depends;
pub mod hours;
pub mod pause;
pub mod shutdown;
pub mod versions;

pub use crate::state::held::{Held, Hold};

use crate::policy::{May, MayStart};
use crate::settings::Settings;
use crate::settings::versions::first;
use crate::time::{WallClock, when};

/// What may be done under these holds.
pub fn may(holds: &[Held]) -> May {
    let is_any = |among: fn(Hold) -> bool| holds.iter().any(|held| among(held.hold));
    if is_any(|hold| matches!(hold, Hold::Paused | Hold::Upgrading)) {
        return May::NOTHING;
    }
    let start = if is_any(holds_requests) {
        MayStart::No
    } else if holds.is_empty() {
        MayStart::Yes
    } else {
        MayStart::OnRequest
    };
    May { start, ..May::ALL }
}

/// The holds of the calendar: its hours, and its first version, where `started` is the version that the process was
/// started with. A clock that is wrong holds nothing.
pub fn of_the_calendar(settings: &Settings, clock: WallClock, started: Option<u64>) -> Vec<Held> {
    let Settings { active_hours, versions, start_command, .. } = settings;
    let is_over = !active_hours.is_empty() && clock.is_trusted && !hours::is_open(active_hours, clock.local);
    let hours = || Held::new(Hold::Hours, hours::begins_next(active_hours, clock.local).map(when));
    let in_force = versions::in_force(versions, start_command.as_deref(), clock, started);
    let version = in_force.is_none().then(|| first(versions));
    let version = version.map(|first| Held::new(Hold::Version, first.map(|first| when(first.apply_on))));
    is_over.then(hours).into_iter().chain(version).collect()
}

/// Whether a start that somebody asks for is held too.
fn holds_requests(hold: Hold) -> bool {
    match hold {
        Hold::Paused | Hold::Stopped | Hold::Upgrading | Hold::Version | Hold::Shutdown => true,
        Hold::Hours | Hold::Dependency | Hold::Finished => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::hours::windows as hours_of;
    use crate::time::Time;

    #[test]
    fn what_may_be_done_depends_on_who_holds_it() {
        let held = |holds: &[Hold]| may(&holds.iter().map(|hold| Held::new(*hold, None)).collect::<Vec<_>>());
        let start = |start| May { start, ..May::ALL };
        for (holds, expected) in [
            (&[][..], May::ALL),
            (&[Hold::Paused, Hold::Hours], May::NOTHING),
            (&[Hold::Upgrading], May::NOTHING),
            (&[Hold::Stopped], start(MayStart::No)),
            (&[Hold::Hours, Hold::Dependency], start(MayStart::OnRequest)),
            (&[Hold::Hours, Hold::Version], start(MayStart::No)),
            (&[Hold::Shutdown], start(MayStart::No)),
        ] {
            assert_eq!(held(holds), expected, "{holds:?}");
        }
    }

    #[test]
    fn a_clock_that_is_wrong_holds_nothing() {
        let active_hours = hours_of("[\"08:00-18:00\"]").unwrap();
        let settings = Settings { active_hours, start_command: Some("run".into()), ..Settings::default() };
        let night = chrono::NaiveDate::from_ymd_opt(2026, 11, 26).unwrap().and_hms_opt(3, 0, 0).unwrap();
        for (is_trusted, expected) in [(true, vec![Hold::Hours]), (false, vec![])] {
            let held = of_the_calendar(&settings, WallClock { local: night, is_trusted }, None);
            assert_eq!(held.iter().map(|held| held.hold).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn the_hold_that_is_shown_is_the_one_that_ends_last() {
        let held = |hold, until: Option<u64>| Held::new(hold, until.map(Time::from_secs));
        let one = |holds: &[Held]| Held::longest(holds).map(|held| held.hold);
        assert_eq!(one(&[]), None);
        assert_eq!(
            one(&[held(Hold::Paused, Some(5)), held(Hold::Upgrading, Some(9))]),
            Some(Hold::Upgrading)
        );
        assert_eq!(one(&[held(Hold::Stopped, None), held(Hold::Upgrading, Some(9))]), Some(Hold::Stopped));
        assert_eq!(one(&[held(Hold::Paused, None), held(Hold::Dependency, None)]), Some(Hold::Paused));
    }
}
