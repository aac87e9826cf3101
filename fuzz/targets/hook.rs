//! What a hook is told: what the log says, the end of the output log, and the line of it that matched, each ended by a
//! byte 0xff.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watchdog::parts::{Settings, Time, hook, is_control};
use watchdog_fuzz::assert_harmless;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|byte| *byte == 0xff);
    let mut part = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (text, output, line) = (part(), part(), part());
    let settings = Settings::default();
    let keyword = hook::keyword(&line, Time::ZERO);
    for (name, value) in hook::environment(&keyword, &settings) {
        let value = value.to_str().unwrap();
        assert!(!value.contains('\0') && value.len() < 11_000, "{name}: {}", value.len());
        assert_harmless(value);
    }
    // Long ones too, of which little is typed.
    let times = if output.ends_with('*') { 100 } else { 1 };
    let mut told = keyword.clone();
    (told.text, told.output) = (text.repeat(times), output.repeat(times));
    for report in [told.with("SUPPRESSED", &text), keyword.with("SUPPRESSED", &u32::MAX)] {
        let message = hook::message(&report, &settings);
        assert!(message.len() <= 3000 && message.ends_with('\n'), "{}: {message:?}", message.len());
        assert!(!message.contains(|c| c != '\n' && is_control(c)), "{message:?}");
        // What the log says comes first, and the end of the output last.
        let plain = |text: &str| text.replace('\t', " ").replace(|c| c != '\n' && is_control(c), "");
        let begins: String = plain(&report.text).chars().take(300).collect();
        assert!(message.starts_with(begins.trim_end()), "{message:?}");
        let output = plain(&report.output);
        let last = output.trim_matches('\n').rsplit('\n').next().unwrap();
        assert!(
            last.len() > 300 || message.ends_with(&format!("{last}\n")),
            "{last:?} is not in {message:?}"
        );
    }
});
