//! Hours and versions: eight bytes for a moment, then the windows, with a `;` between two, and after a newline in each
//! line a version: its date, a `|`, its command, which begins with a `!` if it is a fake.
#![no_main]

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, TimeDelta};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use watchdog::parts::{WallClock, begins_next, ended_last, hours, in_force, is_open, versions};
use watchdog_fuzz::assert_harmless;

fuzz_target!(|data: &[u8]| {
    let Some((moment, rest)) = data.split_first_chunk() else { return };
    let Some(at) = DateTime::from_timestamp(i64::from_le_bytes(*moment), 0) else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let (windows, dates) = text.split_once('\n').unwrap_or((text, ""));
    check_hours(windows, at.naive_utc());
    check_versions(dates, at.naive_utc());
});

fn check_hours(text: &str, at: NaiveDateTime) {
    let windows = match hours::windows(&json!(text.split(';').collect::<Vec<_>>()).to_string()) {
        Ok(windows) => windows,
        Err(wrong) => return assert!(!wrong.what.is_empty() && !wrong.instead.is_empty()),
    };
    let shown = json!(windows.iter().map(ToString::to_string).collect::<Vec<_>>()).to_string();
    assert_harmless(&shown);
    assert_eq!(hours::windows(&shown).as_ref(), Ok(&windows), "{shown}");

    let open = |at| is_open(&windows, at);
    let (begin, end) = (begins_next(&windows, at), ended_last(&windows, at));
    let second = TimeDelta::seconds(1);
    if let Some(begin) = begin {
        assert!(begin > at && begin - at <= TimeDelta::days(7) && open(begin), "{shown} at {at}: {begin}");
        assert!(
            open(at) || !open(begin - second) && !open(at + (begin - at) / 2),
            "{shown} at {at}: {begin}"
        );
    }
    if let Some(end) = end.filter(|_| !open(at)) {
        assert!(end <= at && at - end <= TimeDelta::days(8), "{shown} at {at}: {end}");
        assert!(open(end - second) && !open(end) && !open(end + (at - end) / 2), "{shown} at {at}: {end}");
    }
    // There is no day before the first and after the last one that can be told.
    if (NaiveDateTime::MIN + TimeDelta::days(10)..NaiveDateTime::MAX - TimeDelta::days(10)).contains(&at) {
        assert!(begin.is_some() && end.is_some(), "{shown} at {at}");
    }
}

fn check_versions(text: &str, at: NaiveDateTime) {
    let table = |line: &str| {
        let (date, command) = line.split_once('|').unwrap_or((line, "run"));
        let fake = command.strip_prefix('!');
        let command = ("start_command", fake.unwrap_or(command).to_owned());
        let fields = [("apply_on", date.to_owned()), ("fake", fake.map_or("no", |_| "yes").to_owned())];
        // A fake needs no command.
        fields.into_iter().chain((fake != Some("")).then_some(command)).collect::<BTreeMap<_, _>>()
    };
    let all = match versions::versions(&json!(text.lines().map(table).collect::<Vec<_>>()).to_string()) {
        Ok(all) if !all.is_empty() => all,
        Ok(_) => return,
        Err(wrong) => return assert!(!wrong.what.is_empty() && !wrong.instead.is_empty()),
    };
    let shown = versions::shown(&all);
    assert_eq!(versions::versions(&shown).as_ref(), Ok(&all), "{shown}");
    assert!(all.is_sorted_by_key(|version| version.number()));

    let of =
        |at, is_trusted, base, started| in_force(&all, base, WallClock { local: at, is_trusted }, started);
    let started = all.first().map(|version| version.number() ^ 1);
    for (base, started) in [(None, None), (Some("base"), None), (None, started), (Some("base"), started)] {
        for is_trusted in [false, true] {
            let Some(found) = of(at, is_trusted, base, started) else {
                assert!(base.is_none() && (is_trusted || all.iter().all(|version| version.is_fake)));
                continue;
            };
            match all.iter().find(|version| version.number() == found.number) {
                Some(version) => assert!(!version.is_fake && found.start_command == version.start_command),
                None if found.number == 0 => assert_eq!(Some(found.start_command), base),
                None => assert_eq!(Some(found.number), started, "one that is no longer in the file"),
            }
            // What is in force stays so, although the clock is set back; time brings newer ones alone.
            let earlier = of(NaiveDateTime::MIN, true, base, Some(found.number)).map(|it| it.number);
            assert_eq!(earlier, Some(found.number).filter(|number| *number > 0 || base.is_some()));
            let later = of(NaiveDateTime::MAX, true, base, Some(found.number)).map(|it| it.number);
            assert!(later >= Some(found.number), "{shown} at {at}");
        }
    }
}
