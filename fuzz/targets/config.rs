//! The configuration file: any bytes. What it comes to can be typed.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use watchdog::input::config_file;
use watchdog::input::cli::{Cli, SETTINGS};
use watchdog_fuzz::{assert_can_be_typed, assert_harmless};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut cli = Cli::default();
    match config_file::read(&mut cli, Path::new("docker.toml"), text) {
        Ok(sources) => {
            let lines = text.lines().count().max(1);
            for place in SETTINGS.iter().filter_map(|(key, _)| sources.place(key)) {
                let line: usize = place.strip_prefix("docker.toml:").unwrap().parse().unwrap();
                assert!((1..=lines).contains(&line), "{place}");
            }
            assert_can_be_typed(&cli, &sources);
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
