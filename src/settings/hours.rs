//! Time windows: the hours in which the process should run.

use std::fmt;

use crate::settings::values::list;
use crate::settings::{Reading, wrong};

/// Seconds of a day.
pub const DAY: u32 = 24 * 3600;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const EACH_DAY: [bool; 7] = [true; 7];

/// A time window, on each of some days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins, from Monday on.
    pub days: [bool; 7],
    /// In seconds since midnight.
    pub from: u32,
    /// The first second after it: of the next day, if it is not after `from`.
    pub to: u32,
}

/// Reads a list of windows, such as `mon-fri 08:00-18:00`.
pub fn windows(text: &str) -> Reading<Vec<Window>> {
    match list(text)?.as_slice() {
        [] => wrong("it would never run", "give a window, such as \"mon-fri 08:00-18:00\""),
        windows => windows.iter().map(|window| read(window)).collect(),
    }
}

fn read(text: &str) -> Reading<Window> {
    let is_of_hours = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) || word.contains(':');
    // As people type it: `mon, wed 08:00 - 18:00`.
    let trimmed = |text: &str, at: &str| text.split(at).map(str::trim).collect::<Vec<_>>().join(at);
    let joined = trimmed(&trimmed(text, ","), "-");
    let (hours, days): (Vec<_>, Vec<_>) = joined.split_whitespace().partition(is_of_hours);
    let (from, to) = match hours.as_slice() {
        [] => (0, DAY),
        [hours] if !hours.contains(',') => read_hours(hours)?,
        _ => return wrong(format!("'{text}' has hours twice"), "put each window into a text of its own"),
    };
    let days = match days.as_slice() {
        [] if hours.is_empty() => {
            return wrong("a window is empty", "give days, hours, or both, such as \"mon-fri 08:00-18:00\"");
        }
        [] => EACH_DAY,
        [days] => read_days(days)?,
        _ => return wrong(format!("'{text}' has days twice"), "put commas between days, such as mon,wed"),
    };
    Ok(Window { days, from, to })
}

fn read_days(text: &str) -> Reading<[bool; 7]> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // Over the end of a week too.
        let length = (last + 7 - first) % 7;
        for (day, is_meant) in days.iter_mut().enumerate() {
            *is_meant |= (day + 7 - first) % 7 <= length;
        }
    }
    Ok(days)
}

fn day(text: &str) -> Reading<usize> {
    const INSTEAD: &str = "give mon, tue, wed, thu, fri, sat or sun, as in mon-fri or mon,wed";
    let day = DAYS.iter().position(|day| text.eq_ignore_ascii_case(day));
    day.map_or_else(|| wrong(format!("'{text}' is no day"), INSTEAD), Ok)
}

fn read_hours(text: &str) -> Reading<(u32, u32)> {
    let Some((from, to)) = text.split_once('-') else {
        time_of_day(text)?;
        return wrong(format!("'{text}' has no end"), "give both, such as 22:00-06:00");
    };
    match (time_of_day(from)?, time_of_day(to)?) {
        (DAY, _) => wrong(format!("'{text}' begins at its day's end"), "give 00:00 instead"),
        (from, to) if to == from => wrong(
            format!("'{text}' begins when it ends"),
            "leave the hours out for whole days, or give a window such as 08:00-18:00",
        ),
        times => Ok(times),
    }
}

/// Hours and minutes, and seconds perhaps.
fn time_of_day(text: &str) -> Reading<u32> {
    let number = |text: &str, least: usize, most: u32| {
        let is_number = (least..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|number| is_number && *number <= most)
    };
    let time = match *text.split(':').collect::<Vec<_>>().as_slice() {
        [hours, minutes] => (number(hours, 1, 24), number(minutes, 2, 59), Some(0)),
        [hours, minutes, seconds] => (number(hours, 1, 24), number(minutes, 2, 59), number(seconds, 2, 59)),
        _ => (None, None, None),
    };
    match time {
        (Some(hours), Some(minutes), Some(seconds)) if hours < 24 || minutes + seconds == 0 => {
            Ok(hours * 3600 + minutes * 60 + seconds)
        }
        _ => wrong(
            format!("'{text}' is no time of day"),
            "give hours and minutes, 00:00 to 24:00, such as 08:00-18:00",
        ),
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_on = |day: usize| self.days.get(day) == Some(&true);
        let name = |day: usize| DAYS.get(day).copied().unwrap_or_default();
        let starts = (0..7).filter(|day| is_on(*day) && (*day == 0 || !is_on(day - 1)));
        let parts = starts.map(|first| match (first..7).take_while(|day| is_on(*day)).last() {
            Some(last) if last > first => format!("{}-{}", name(first), name(last)),
            _ => name(first).to_owned(),
        });
        let days = parts.collect::<Vec<_>>().join(",");
        let (from, to) = (clock(self.from), clock(self.to));
        match (self.days == EACH_DAY, (self.from, self.to) == (0, DAY)) {
            (_, true) => f.write_str(&days),
            (true, false) => write!(f, "{from}-{to}"),
            (false, false) => write!(f, "{days} {from}-{to}"),
        }
    }
}

fn clock(time: u32) -> String {
    let (hours, minutes, seconds) = (time / 3600, time / 60 % 60, time % 60);
    let seconds = if seconds == 0 { String::new() } else { format!(":{seconds:02}") };
    format!("{hours:02}:{minutes:02}{seconds}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Wrong;
    use crate::settings::values::{as_json, listed};

    #[test]
    fn windows_have_days_hours_or_both() {
        for (text, shown) in [
            ("mon-fri 08:00-18:00", "mon-fri 08:00-18:00"),
            ("mon,wed 8:00-18:30:15", "mon,wed 08:00-18:30:15"),
            ("22:00-06:00 wed", "wed 22:00-06:00"),
            ("SAT,sun", "sat-sun"),
            ("fri-mon", "mon,fri-sun"),
            ("mon-sun", "mon-sun"),
            ("wed-wed,mon-tue,tue", "mon-wed"),
            ("00:00-24:00", "mon-sun"),
            ("18:00-00:00", "18:00-00:00"),
            ("mon - wed ,fri 8:00 - 18:00", "mon-wed,fri 08:00-18:00"),
        ] {
            let read = windows(&as_json(&[text])).unwrap();
            let again = as_json(&[shown]);
            assert_eq!((listed(&read), windows(&again)), (again, Ok(read)), "{text}");
        }
    }

    #[test]
    fn what_is_no_window_is_told_with_what_to_type() {
        for (text, says) in [
            (
                "25:00",
                "'25:00' is no time of day; give hours and minutes, 00:00 to 24:00, such as 08:00-18:00",
            ),
            (
                "mon-xyz",
                "'xyz' is no day; give mon, tue, wed, thu, fri, sat or sun, as in mon-fri or mon,wed",
            ),
            ("22:00", "'22:00' has no end; give both, such as 22:00-06:00"),
            ("mon 08:00-08:00", "'08:00-08:00' begins when it ends; leave the hours out for whole days"),
            ("24:00-06:00", "'24:00-06:00' begins at its day's end; give 00:00"),
            ("24:01-06:00", "'24:01' is no time of day"),
            ("08:60-18:00", "'08:60' is no time of day"),
            ("8-18", "'8' is no time of day"),
            ("08:00-18:0", "'18:0' is no time of day"),
            ("08:00:00:00-18:00", "'08:00:00:00' is no time of day"),
            ("+8:00-18:00", "'+8:00' is no time of day"),
            ("08:00-", "'' is no time of day"),
            ("mon..fri", "'mon..fri' is no day"),
            ("mon,", "'' is no day"),
            ("mon tue 08:00-18:00", "'mon tue 08:00-18:00' has days twice; put commas between days"),
            (
                "mon 08:00-12:00, 13:00-18:00",
                "'mon 08:00-12:00, 13:00-18:00' has hours twice; put each window",
            ),
            ("08:00-12:00 13:00-18:00", "'08:00-12:00 13:00-18:00' has hours twice; put each window"),
            (" ", "a window is empty; give days, hours, or both"),
        ] {
            let Wrong { what, instead } = windows(&as_json(&[text])).unwrap_err();
            assert!(format!("{what}; {instead}").starts_with(says), "{text}: {what}; {instead}");
        }
        assert_eq!(windows("[]").unwrap_err().what, "it would never run");
    }
}
