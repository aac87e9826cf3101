//! A configuration file and two that it may include, `a.toml` and `b.toml`: a byte, of which an odd one makes the
//! first a template, then the three files, each ended by a byte 0xff.
#![no_main]

use std::cell::RefCell;
use std::fs;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use watchdog::parts::{Given, User, config_file, settings};
use watchdog_fuzz::{assert_can_be_typed, assert_harmless};

thread_local!(static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) });

fuzz_target!(|data: &[u8]| {
    let Some((how, data)) = data.split_first() else { return };
    let mut texts = data.split(|byte| *byte == 0xff);
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir_in("/dev/shm").unwrap()).path();
        let _ = fs::remove_file(folder.join("x@1.toml"));
        let (first, asked) = (["x@1.toml", "x@.toml"][usize::from(how % 2)], folder.join("x@1.toml"));
        for name in [first, "a.toml", "b.toml"] {
            fs::write(folder.join(name), texts.next().unwrap_or_default()).unwrap();
        }
        let mut given = Given::default();
        let user = User { home: "/nonexistent".into(), ..User::current() };
        match config_file::fill(&mut given, asked.as_os_str(), &user) {
            Ok(()) => {
                assert!((1..=3).contains(&given.files.len()), "{:?}", given.files);
                for row in settings() {
                    let Some(spot) = given.spot(row.key) else { continue };
                    let text = fs::read_to_string(&given.files[spot.file]).unwrap();
                    let line = text.split('\n').nth(spot.line - 1).unwrap();
                    // A key may be in quotes, with escapes.
                    assert!(line.contains(row.key) || line.contains('"'), "{} is not in {line}", row.key);
                }
                assert_can_be_typed(&given);
            }
            Err(complaints) => {
                assert!(!complaints.is_empty() && complaints.len() <= 51);
                for complaint in complaints {
                    assert!(complaint.starts_with(folder.to_str().unwrap()), "{complaint}");
                    assert_harmless(&complaint);
                }
            }
        }
    });
});
