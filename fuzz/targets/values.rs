//! Times, sizes, counts and names as they are typed.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use watchdog::input::cli::{Cli, SETTINGS, Slot};
use watchdog::settings::{self, Settings};
use watchdog::settings::name::Name;
use watchdog::settings::sources::Sources;
use watchdog::state::lock;
use watchdog::text::span;
use watchdog_fuzz::{assert_can_be_typed, assert_harmless};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(time) = settings::interval(text) {
        assert!((Duration::from_millis(10)..=Duration::from_secs(365 * 24 * 3600)).contains(&time));
        let written = humantime::format_duration(time).to_string();
        assert_eq!(settings::interval(&written), Ok(time), "{written}");
        assert_is_cut(time);
    }
    if let Ok(Some(count)) = settings::max_fail_count(text) {
        assert!((1..=1_000_000).contains(&count));
        assert_eq!(settings::max_fail_count(&count.to_string()), Ok(Some(count)));
        assert_eq!(text.trim().trim_start_matches(['+', '0']), count.to_string());
    }
    if let Ok(name) = lock::name(text) {
        assert_eq!(name.to_string(), text);
    }
    let name = Name::from_pattern(text).to_string();
    assert!(!name.contains('/') && !name.starts_with(['.', '-']) && name.len() <= 64);
    assert_eq!(lock::name(&name).unwrap().to_string(), name);

    // A setting with this value, beside what is required.
    let chosen = usize::try_from(lock::fnv(data) % SETTINGS.len() as u64).unwrap();
    for (key, slot) in SETTINGS.into_iter().skip(chosen).take(1) {
        // Whether there is such a user is for the machine to say.
        if let (Slot::Value(value), true) = (slot, key != "user") {
            let mut cli = Cli::default();
            cli.what.process_name = Some("x".into());
            cli.how.start_command = Some("true".into());
            *value(&mut cli) = Some(text.into());
            assert_can_be_typed(&cli, &Sources::default());
            if let Ok(Settings { log_max_size, log_max_files, .. }) = Settings::new(&cli, &Sources::default())
            {
                assert!((4096..=1 << 40).contains(&log_max_size) && log_max_files <= 1000);
            }
        }
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
