//! The configuration file: any bytes. What it comes to can be typed.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use watchdog::parts::{Given, config_file, settings};
use watchdog_fuzz::{assert_can_be_typed, assert_harmless, root};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut given = Given::default();
    // A template has all that another file has, and its own.
    let instance = text.contains("%i").then_some("1");
    match config_file::read(&mut given, Path::new("docker.toml"), instance, text, &root()) {
        Ok(()) => {
            let lines = text.lines().count().max(1);
            for spot in settings().filter_map(|row| given.spot(row.key)) {
                assert!(spot.file > 0 || (1..=lines).contains(&spot.line), "{spot:?}");
            }
            assert_can_be_typed(&given);
        }
        Err(complaints) => {
            assert!(!complaints.is_empty() && complaints.len() <= 51);
            for complaint in complaints {
                assert!(
                    complaint.strip_prefix("docker.toml:").is_some_and(|what| what.len() > 3),
                    "{complaint}"
                );
                assert_harmless(&complaint);
            }
        }
    }
});
