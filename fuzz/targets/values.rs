//! Times, sizes, counts and names as they are typed.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use watchdog::parts::{Given, Name, Settings, Source, count, fnv, interval, name, settings, span};
use watchdog_fuzz::{assert_can_be_typed, assert_harmless, root};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(time) = interval(text) {
        assert!((Duration::from_millis(10)..=Duration::from_secs(365 * 24 * 3600)).contains(&time));
        let written = humantime::format_duration(time).to_string();
        assert_eq!(interval(&written), Ok(time), "{written}");
        assert_is_cut(time);
    }
    if let Ok(Some(number)) = count(text, false) {
        assert!((1..=1_000_000).contains(&number));
        assert_eq!(count(&number.to_string(), false), Ok(Some(number)));
        assert_eq!(text.trim().trim_start_matches(['+', '0']), number.to_string());
    }
    if let Ok(name) = name(text) {
        assert_eq!(name.to_string(), text);
    }
    let made = Name::from_pattern(text).to_string();
    assert!(!made.contains('/') && !made.starts_with(['.', '-']) && made.len() <= 64);
    assert_eq!(name(&made).unwrap().to_string(), made);

    // A setting with this value, beside what is required. Whether there is such a user is for the machine to say.
    let rows: Vec<_> = settings().filter(|row| !row.is_flag() && row.key != "user").collect();
    let row = rows[usize::try_from(fnv(data) % rows.len() as u64).unwrap()];
    let mut given = Given::default();
    for (key, value) in [(row.key, text), ("process_name", "x"), ("start_command", "true")] {
        given.add(key, value, Source::CommandLine);
    }
    assert_can_be_typed(&given);
    if let Ok(Settings { log_max_size, log_max_files, .. }) = Settings::new(&given, &root()) {
        assert!((4096..=1 << 40).contains(&log_max_size) && log_max_files <= 1000);
    }
    // Times that nobody typed come from files.
    if let Some(millis) = data.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)) {
        assert_is_cut(Duration::from_millis(millis));
    }
});

/// Asserts that `time` is shown cut to its second largest unit, and not rounded.
fn assert_is_cut(time: Duration) {
    let shown = span(time);
    assert_harmless(&shown);
    let mut read = Duration::ZERO;
    for word in shown.split(' ') {
        let (number, unit) = word.split_at(word.find(char::is_alphabetic).unwrap());
        let number: u64 = match number.split_once('.') {
            Some((whole, tenth)) => {
                read += Duration::from_millis(tenth.parse::<u64>().unwrap() * 100);
                whole.parse().unwrap()
            }
            None => number.parse().unwrap(),
        };
        let unit = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            "d" => Duration::from_secs(86400),
            unit => panic!("{unit}"),
        };
        read += Duration::from_millis(u64::try_from(unit.as_millis()).unwrap() * number);
    }
    let exact_to = match time.as_secs() {
        0 => Duration::from_millis(1),
        1..10 => Duration::from_millis(100),
        10..3600 => Duration::from_secs(1),
        3600..86400 => Duration::from_secs(60),
        _ => Duration::from_secs(3600),
    };
    assert!(read <= time && time - read < exact_to, "{time:?} is shown as {shown}");
}
