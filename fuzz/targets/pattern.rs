//! Patterns from the command line: a byte for how, the pattern, a newline, and the names that it is tried
//! on, each in a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use regex::RegexBuilder;
use watchdog::parts::{Extent, Pattern, printable};

fuzz_target!(|data: &[u8]| {
    let Some((_, data)) = data.split_first() else { return };
    let mut lines = data.split(|byte| *byte == b'\n');
    let Ok(text) = std::str::from_utf8(lines.next().unwrap_or_default()) else { return };
    let names: Vec<_> = lines.collect();
    let part = match Pattern::new(text, Extent::Part) {
        Ok(part) => part,
        Err(wrong) => {
            let (what, at) = wrong.rsplit_once(" at character ").unwrap();
            assert!(!what.is_empty());
            assert!((1..=text.chars().count()).contains(&at.parse().unwrap()), "{wrong}");
            assert!(Pattern::new(text, Extent::Whole).is_err());
            return;
        }
    };
    // What is a pattern is one with --exact too.
    let whole = Pattern::new(text, Extent::Whole).unwrap();
    assert_eq!((part.text(), whole.text()), (text, text));
    let looser = [part.without_anchors(), whole.without_anchors()];
    let _ = part.in_any_case();
    let oracle = |text: &str| RegexBuilder::new(text).dot_matches_new_line(true).build().ok();
    let oracles = oracle(text).zip(oracle(&format!(r"\A(?:{text})\z")));
    for name in names {
        let shown = printable(name);
        let (in_part, as_whole) = (part.matches(name), whole.matches(name));
        assert!(in_part || !as_whole, "what matches as a whole matches in part");
        if part.is_literal() {
            assert_eq!((in_part, as_whole), (shown.contains(text), shown == text));
        }
        for (found, loose) in [in_part, as_whole].into_iter().zip(&looser) {
            if let Some(loose) = loose {
                assert!(!found || loose.matches(name), "{text:?} is stricter than {:?}", loose.text());
            }
        }
        // The small library and the large one differ by Unicode alone.
        if let Some((part, whole)) = &oracles
            && text.is_ascii()
            && shown.is_ascii()
        {
            assert_eq!(in_part, part.is_match(&shown), "{text:?} in {shown:?}");
            assert_eq!(as_whole, whole.is_match(&shown), "all of {shown:?} is {text:?}");
        }
    }
});
