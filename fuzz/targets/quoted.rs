//! What is quoted: the last lines of what a start command wrote, in the log, and words on a command line.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use watchdog::parts::{OutputLog, Trust, escaped, quoted};
use watchdog_fuzz::{assert_harmless, words};

thread_local!(static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) });

fuzz_target!(|data: &[u8]| {
    let Some((from, data)) = data.split_first_chunk() else { return };
    let from = u16::from_le_bytes(*from);
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir_in("/dev/shm").unwrap());
        let path = folder.path().join("x.output.log");
        std::fs::write(&path, data).unwrap();
        let said = OutputLog::new(path, Trust::Anyone, 1 << 20, 1).last_lines_since(from.into());
        let since = data.get(usize::from(from)..).unwrap_or(data);
        let since = String::from_utf8_lossy(&since[since.len().saturating_sub(4096)..]);
        assert!(said.len() <= 3);
        for line in &said {
            assert!((1..=300).contains(&line.chars().count()) && since.contains(line), "{line:?}");
            assert!(!line.contains('\n'));
        }
        assert_eq!(said.is_empty(), since.trim().is_empty());
        let record = escaped(&said.join(" | "));
        assert_harmless(&record);
        assert_eq!(escaped(&record), record);
    });
    let text = String::from_utf8_lossy(data);
    let line = escaped(&text);
    assert_harmless(&line);
    let plain = |text: &str| text.chars().all(|c| !c.is_control() && !('\u{2028}'..='\u{2069}').contains(&c));
    assert!(!plain(&text) || line == text);
    assert_eq!(words(&quoted(text.as_ref().as_ref())), Some(vec![text.into_owned()]));
});
