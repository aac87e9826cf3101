//! The configuration file: any bytes. What it comes to can be typed.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use watchdog::parts::{Given, config_file, settings};
use watchdog_fuzz::{assert_can_be_typed, assert_harmless, root};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut given = Given::default();
    match config_file::read(&mut given, Path::new("docker.toml"), text, &root()) {
        Ok(()) => {
            let lines = text.lines().count().max(1);
            for place in settings().filter_map(|row| given.place(row.key)) {
                let line: usize = place.strip_prefix("docker.toml:").unwrap().parse().unwrap();
                assert!((1..=lines).contains(&line), "{place}");
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
