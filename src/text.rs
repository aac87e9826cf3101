//! Text for people and for shells.

use std::ffi::OsStr;
use std::time::Duration;

/// `text` with each control character escaped, so that nothing quoted can forge a record or reach for
/// the terminal.
pub fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_control(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Whether `c` does something to what displays it.
pub fn is_control(c: char) -> bool {
    // U+2028 and U+2029 end a line for some viewers; the bidirectional controls reorder one.
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A word as a shell reads it back. Quoted the plainest way, since people read it too.
pub fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:=@%+,-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// At most so many bytes from the beginning.
pub fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// The last lines of `text` that are not empty, at most so many.
pub fn last_lines(text: &str, most: usize) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.split_off(lines.len().saturating_sub(most))
}

/// A word for so many things.
pub fn plural<N: Copy + PartialEq + From<u8>>(count: N, word: &str) -> String {
    if count == N::from(1) { word.to_owned() } else { format!("{word}s") }
}

/// Which of the `known` names was meant: one that begins with what was `typed`, or else the nearest, if no more
/// than a third of the letters are wrong.
pub fn meant<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let distance = |known: &str| match known.to_lowercase() {
        known if known.starts_with(&typed) && !typed.is_empty() => 0,
        known => strsim::damerau_levenshtein(&typed, &known),
    };
    let known = known.into_iter().map(|known| (distance(known), known));
    let near = known.filter(|(distance, _)| distance * 3 <= typed.chars().count());
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// A time for people, in its two largest units: `3d 4h`, `1m 30s`, `5s`, `1.5s`, `23ms`.
pub fn span(time: Duration) -> String {
    let millis = time.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    if millis < 10_000 {
        return match (millis / 1000, millis / 100 % 10) {
            (seconds, 0) => format!("{seconds}s"),
            (seconds, tenths) => format!("{seconds}.{tenths}s"),
        };
    }
    let seconds = time.as_secs();
    let units =
        [(seconds / 86400, 'd'), (seconds / 3600 % 24, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let largest = units.into_iter().skip_while(|(count, _)| *count == 0).take(2);
    let parts = largest.filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}"));
    parts.collect::<Vec<_>>().join(" ")
}
