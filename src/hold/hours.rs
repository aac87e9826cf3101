//! Time windows: whether one is open, when one begins, and when the last one has ended. Nothing here reads a clock.

use chrono::{Datelike, NaiveDateTime, TimeDelta};

use crate::settings::hours::{DAY, Window};

/// Whether it is within one of the `windows`.
pub fn is_open(windows: &[Window], at: NaiveDateTime) -> bool {
    spans(windows, at, -1, 0).any(|(begins, ends)| begins <= at && at < ends)
}

/// When the next of the `windows` begins.
pub fn begins_next(windows: &[Window], at: NaiveDateTime) -> Option<NaiveDateTime> {
    spans(windows, at, 0, 7).map(|(begins, _)| begins).filter(|begins| *begins > at).min()
}

/// When the last of the `windows` has ended, where none is open.
pub fn ended_last(windows: &[Window], at: NaiveDateTime) -> Option<NaiveDateTime> {
    spans(windows, at, -8, 0).map(|(_, ends)| ends).filter(|ends| *ends <= at).max()
}

/// Beginning and end of each window that begins on one of these days, counted from that of `at`.
fn spans(
    windows: &[Window],
    at: NaiveDateTime,
    first: i64,
    last: i64,
) -> impl Iterator<Item = (NaiveDateTime, NaiveDateTime)> {
    let days = (first..=last).filter_map(move |days| at.date().checked_add_signed(TimeDelta::days(days)));
    days.flat_map(move |day| {
        let weekday = usize::try_from(day.weekday().num_days_from_monday()).unwrap_or_default();
        let begin = windows.iter().filter(move |window| window.days.get(weekday) == Some(&true));
        begin.filter_map(move |window| {
            let midnight = day.and_hms_opt(0, 0, 0)?;
            let after = |seconds: u32| midnight.checked_add_signed(TimeDelta::seconds(seconds.into()));
            let to = if window.to > window.from { window.to } else { window.to + DAY };
            Some((after(window.from)?, after(to)?))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::hours::windows;
    use crate::settings::values::as_json;

    fn of(windows: &[&str]) -> Vec<Window> {
        super::tests::windows(&as_json(&windows)).unwrap()
    }

    fn date(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap()
    }

    /// 2026-11-25 is a Wednesday.
    #[test]
    fn a_window_over_midnight_belongs_to_the_day_of_its_beginning() {
        for (windows, at, is_open) in [
            (&["wed 22:00-06:00"][..], "2026-11-26 02:00:00", true),
            (&["wed 22:00-06:00"], "2026-11-25 02:00:00", false),
            (&["wed 22:00-06:00"], "2026-11-26 05:59:59", true),
            (&["wed 22:00-06:00"], "2026-11-26 06:00:00", false),
            (&["wed 22:00-06:00"], "2026-11-25 22:00:00", true),
            (&["wed 22:00-06:00"], "2026-11-25 21:59:59", false),
            (&["sun 22:00-06:00"], "2026-11-30 01:00:00", true),
            (&["mon-fri 08:00-18:00"], "2026-11-28 09:00:00", false),
            (&["sat,sun"], "2026-11-28 23:59:59", true),
            (&["sat,sun"], "2026-11-30 00:00:00", false),
            (&["18:00-00:00"], "2026-11-25 23:59:59", true),
            (&["18:00-00:00"], "2026-11-26 00:00:00", false),
            (&["08:00-12:00", "13:00-18:00"], "2026-11-26 12:30:00", false),
            (&["08:00-12:00", "12:00-18:00"], "2026-11-26 12:00:00", true),
        ] {
            assert_eq!(super::is_open(&of(windows), date(at)), is_open, "{windows:?} at {at}");
        }
    }

    #[test]
    fn the_next_beginning_and_the_last_end_are_within_a_week() {
        for (windows, at, ended, begins) in [
            (
                &["mon-fri 08:00-18:00"][..],
                "2026-11-28 09:00:00",
                "2026-11-27 18:00:00",
                "2026-11-30 08:00:00",
            ),
            (&["wed 22:00-06:00"], "2026-11-26 06:00:00", "2026-11-26 06:00:00", "2026-12-02 22:00:00"),
            (&["wed 22:00-06:00"], "2026-11-25 21:00:00", "2026-11-19 06:00:00", "2026-11-25 22:00:00"),
            (&["wed"], "2026-12-02 00:00:00", "2026-11-26 00:00:00", "2026-12-09 00:00:00"),
            (
                &["08:00-12:00", "13:00-18:00"],
                "2026-11-26 12:30:00",
                "2026-11-26 12:00:00",
                "2026-11-26 13:00:00",
            ),
            (
                &["22:00-06:00", "05:00-07:00"],
                "2026-11-26 07:00:00",
                "2026-11-26 07:00:00",
                "2026-11-26 22:00:00",
            ),
        ] {
            let windows = of(windows);
            let found = (ended_last(&windows, date(at)), begins_next(&windows, date(at)));
            assert_eq!(found, (Some(date(ended)), Some(date(begins))), "{windows:?} at {at}");
        }
    }

    /// What a clock in Berlin shows, from 00:00 UTC of the night in which it is set, each minute: in the last night of
    /// March it goes from 02:00 to 03:00, in October from 03:00 to 02:00, both at 01:00 UTC.
    fn night_in_berlin(
        day: &str,
        offset_before: i64,
        offset_after: i64,
    ) -> impl Iterator<Item = NaiveDateTime> + Clone {
        let midnight = date(&format!("{day} 00:00:00"));
        (0..240).map(move |minute| {
            let offset = if minute < 60 { offset_before } else { offset_after };
            midnight + TimeDelta::minutes(minute + 60 * offset)
        })
    }

    #[test]
    fn a_window_of_the_night_in_which_the_clock_is_set_is_what_the_clock_shows() {
        let windows = of(&["02:00-03:00"]);
        let open = |day, before, after| {
            night_in_berlin(day, before, after).filter(|at| super::is_open(&windows, *at)).count()
        };
        assert_eq!((open("2026-03-29", 1, 2), open("2026-10-25", 2, 1)), (0, 120), "minutes");
        // The end that comes twice is one end.
        let windows = of(&["01:00-02:30"]);
        let closed = night_in_berlin("2026-10-25", 2, 1).filter(|at| !super::is_open(&windows, *at));
        let ends: std::collections::BTreeSet<_> = closed.filter_map(|at| ended_last(&windows, at)).collect();
        assert_eq!(ends.into_iter().collect::<Vec<_>>(), [date("2026-10-25 02:30:00")]);
        // Nor is there an end to be found in the hour that is left out.
        let closed = night_in_berlin("2026-03-29", 1, 2).filter(|at| !super::is_open(&windows, *at));
        assert!(closed.clone().next().is_some_and(|at| at == date("2026-03-29 03:00:00")));
        assert!(
            closed.filter_map(|at| ended_last(&windows, at)).all(|end| end == date("2026-03-29 02:30:00"))
        );
    }

    #[test]
    fn a_clock_or_a_zone_that_is_changed_is_what_counts() {
        let windows = of(&["08:00-18:00"]);
        // Set back over the end: it is open again, and ends again by the same end.
        for (at, is_open) in
            [("17:59:59", true), ("18:00:01", false), ("17:30:00", true), ("18:00:00", false)]
        {
            assert_eq!(super::is_open(&windows, date(&format!("2026-11-26 {at}"))), is_open, "{at}");
        }
        let end = |at| ended_last(&windows, date(at));
        assert_eq!(end("2026-11-26 18:00:01"), end("2026-11-27 07:00:00"));
        // Nine hours east of where it was.
        assert!(super::is_open(&windows, date("2026-11-26 12:00:00")));
        assert!(!super::is_open(&windows, date("2026-11-26 12:00:00") + TimeDelta::hours(9)));
    }
}
