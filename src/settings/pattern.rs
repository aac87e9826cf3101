//! The process name as a regular expression, and whether it matches.

use std::borrow::Cow;

use regex_lite::{Regex, RegexBuilder};

/// The longest name that the kernel gives in `/proc/PID/comm`: 15 bytes for a process, up to 63 for a
/// kernel thread (`fs/proc/array.c`, `proc_task_name`, since Linux 4.18).
pub const LONGEST_NAME: usize = 64;

/// The deepest nesting of groups.
const DEEPEST: u32 = 49;
/// The largest compiled pattern, in bytes: how long a match takes is its size times that of the text.
const LARGEST: usize = 1 << 19;
/// In how many places a mistake is looked for, from the end.
const MOST_TRIES: usize = 200;

/// A pattern as the administrator gives it: a regular expression, as `pgrep` matches it.
#[derive(Debug, Clone, Default)]
pub struct Pattern {
    text: String,
    pub(super) extent: Extent,
    /// `None` while no character has a meaning of its own: much quicker, and the usual case.
    regex: Option<Regex>,
}

/// How much of a text a pattern has to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extent {
    /// Any part of it.
    #[default]
    Part,
    /// All of it (`--exact`).
    Whole,
}

impl Pattern {
    /// # Errors
    /// Why `text` is no regular expression, and at which character, from 1.
    pub fn new(text: &str, extent: Extent) -> Result<Self, String> {
        let is_literal = !text.contains(|c: char| c.is_ascii_punctuation() && !"-_:@/,".contains(c));
        // What is wrong with the pattern is to be said of what was typed.
        let mut regex = if is_literal { None } else { Some(compile(text)?) };
        if regex.is_some() && extent == Extent::Whole {
            regex = Some(whole(text)?);
        }
        Ok(Pattern { text: text.to_owned(), extent, regex })
    }

    /// The pattern as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Whether it matches `name`, as [`printable`] gives it.
    pub fn matches(&self, name: &[u8]) -> bool {
        let name = printable(name);
        match (&self.regex, self.extent) {
            (None, Extent::Part) => name.contains(&self.text),
            (None, Extent::Whole) => *name == self.text,
            (Some(regex), _) => regex.is_match(&name),
        }
    }

    /// Whether it may match a longer name that begins with `start`, of which nothing more is known.
    pub fn may_match_longer(&self, start: &[u8]) -> bool {
        match (&self.regex, self.extent, printable(start)) {
            // What is printable only after a change may be a character that was cut in two.
            (None, Extent::Whole, Cow::Borrowed(start)) => self.text.starts_with(start),
            _ => true,
        }
    }

    /// The same pattern, in whatever case the letters are.
    pub fn in_any_case(&self) -> Option<Self> {
        Self::new(&format!("(?i:{})", self.text), self.extent).ok()
    }

    /// The same pattern, found anywhere; `None` if it is so already.
    pub fn without_anchors(&self) -> Option<Self> {
        let text = self.text.strip_prefix('^').unwrap_or(&self.text);
        // `\\$` is no anchor.
        let text = text.strip_suffix('$').filter(|rest| !rest.ends_with('\\')).unwrap_or(text);
        let loose = Self::new(text, Extent::Part).ok()?;
        (!text.is_empty() && (text != self.text || self.extent == Extent::Whole)).then_some(loose)
    }

    /// Whether no character of it has a meaning of its own, so that it is a name.
    pub fn is_literal(&self) -> bool {
        self.regex.is_none()
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    build(text, DEEPEST).map_err(|error| {
        // The library does not say where. It is the end of the first beginning of the pattern from which
        // on each longer one is wrong too.
        let ends = text.char_indices().map(|(start, _)| start).rev().take(MOST_TRIES);
        let beginnings = ends.map_while(|end| text.get(..end));
        let wrong = beginnings.take_while(|text| build(text, DEEPEST).is_err()).count();
        format!("{error} at character {}", text.chars().count().saturating_sub(wrong).max(1))
    })
}

/// `text`, which is a regular expression, for all of a name.
fn whole(text: &str) -> Result<Regex, String> {
    build(&format!("^(?:{text})$"), DEEPEST + 1)
        // It may end in a comment (`(?x)`), which goes to the end of the line.
        .or_else(|_| build(&format!("^(?:{text}\n)$"), DEEPEST + 1))
        .map_err(|error| format!("{error} at character {}", text.chars().count()))
}

fn build(text: &str, deepest: u32) -> Result<Regex, regex_lite::Error> {
    // As in a POSIX expression, which pgrep uses, `.` is any character at all.
    let mut builder = RegexBuilder::new(text);
    builder.dot_matches_new_line(true).nest_limit(deepest).size_limit(LARGEST).build()
}

/// The pattern that finds this text.
pub fn literal(text: &str) -> String {
    let escape = |c| r"\.+*?()|[]{}^$".contains(c).then_some('\\');
    text.chars().flat_map(|c| escape(c).into_iter().chain([c])).collect()
}

/// A name as `pgrep` sees it in a UTF-8 locale: control characters and bytes that are no UTF-8 become
/// `?`, so that what is matched can also be printed.
pub fn printable(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(name) if !name.contains(char::is_control) => Cow::Borrowed(name),
        _ => {
            let mut text = String::with_capacity(name.len());
            for chunk in name.utf8_chunks() {
                text.extend(chunk.valid().chars().map(|c| if c.is_control() { '?' } else { c }));
                text.extend(chunk.invalid().iter().map(|_| '?'));
            }
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Result<Pattern, String> {
        Pattern::new(text, Extent::Part)
    }

    fn nested(depth: usize) -> String {
        "(".repeat(depth) + "a" + &")".repeat(depth)
    }

    #[test]
    fn what_is_wrong_with_a_long_pattern_is_said_at_once() {
        for text in ["(".to_owned() + &"a".repeat(8000), "a{1000}{1000}".to_owned() + &"b".repeat(8000)] {
            let wrong = part(&text).unwrap_err();
            let at = wrong.rsplit(' ').next().and_then(|at| at.parse().ok());
            assert!(at.is_some_and(|at| (1..=text.len()).contains(&at)), "{wrong}");
        }
    }

    #[test]
    fn exact_is_all_of_the_name() {
        for (pattern, name, expected) in [
            ("docker", "dockerd", false),
            ("docker", "docker", true),
            ("docker|dockerd", "dockerd", true),
            ("a|b", "ab", false),
            ("docker.", "dockerd", true),
            ("^docker$", "docker", true),
        ] {
            let matches = Pattern::new(pattern, Extent::Whole).unwrap().matches(name.as_bytes());
            assert_eq!(matches, expected, "{pattern:?} in {name:?}");
        }
        let wrong = Pattern::new("a(", Extent::Whole).unwrap_err();
        assert!(wrong.ends_with("at character 2"), "of what was typed: {wrong}");
        let (deepest, too_deep) = (nested(49), nested(50));
        for (pattern, is_one) in [(deepest.as_str(), true), (&too_deep, false), ("(?x)a # a comment", true)] {
            for extent in [Extent::Part, Extent::Whole] {
                assert_eq!(Pattern::new(pattern, extent).is_ok(), is_one, "{pattern:?}");
            }
        }
        assert!(Pattern::new("(?x)a # a comment", Extent::Whole).unwrap().matches(b"a"));
    }

    #[test]
    fn looser_patterns_are_what_was_meant_perhaps() {
        let loose =
            |text, extent| Pattern::new(text, extent).unwrap().without_anchors().map(|loose| loose.text);
        assert_eq!(loose("^docker$", Extent::Part).as_deref(), Some("docker"));
        assert_eq!(loose("docker", Extent::Whole).as_deref(), Some("docker"));
        assert_eq!(loose("docker", Extent::Part), None);
        assert_eq!(loose("^", Extent::Part), None);
        assert_eq!(loose(r"cash\$", Extent::Part), None);
        assert!(part("Docker.?").unwrap().in_any_case().unwrap().matches(b"dockerd"));
    }

    #[test]
    fn is_found_anywhere_in_the_name() {
        for (pattern, name, expected) in [
            ("docker", "dockerd", true),
            ("docker", "containerd", false),
            ("^nginx$", "nginx", true),
            ("^nginx$", "nginx-debug", false),
            ("a.c", "a\nc", true),
            ("redis|valkey", "valkey-server", true),
            ("[[:digit:]]", "php7", true),
            ("", "anything", true),
        ] {
            let matches = part(pattern).unwrap().matches(name.as_bytes());
            assert_eq!(matches, expected, "{pattern:?} in {name:?}");
        }
    }

    #[test]
    fn a_literal_and_a_regular_expression_agree() {
        for name in ["x", "kworker/0:1-events", "a,b@c_d", "foo bar"] {
            let regex = compile(name).unwrap();
            assert!(part(name).unwrap().is_literal());
            assert!(part(name).unwrap().matches(name.as_bytes()) && regex.is_match(name));
        }
    }

    #[test]
    fn says_where_a_pattern_goes_wrong() {
        for (pattern, at) in [
            ("foo(bar", 4),
            ("a[b", 2),
            ("*abc", 1),
            ("a)b", 2),
            ("(a)(b", 4),
            ("äö(", 3),
            ("a|(", 3),
            ("x{2,1}", 2),
        ] {
            let wrong = part(pattern).unwrap_err();
            assert!(wrong.ends_with(&format!(" at character {at}")), "{pattern:?}: {wrong}");
        }
    }

    #[test]
    fn hostile_names_are_made_printable_as_pgrep_does() {
        for (name, expected) in [
            (&b"plain"[..], "plain"),
            (b"a\nb\tc", "a?b?c"),
            (b"\xff\xfe", "??"),
            (b"caf\xc3\xa9", "caf\u{e9}"),
            (b"cut\xc3", "cut?"),
            (b"foo) Z ", "foo) Z "),
            (b"\x1b[31m", "?[31m"),
        ] {
            assert_eq!(printable(name), expected);
        }
    }
}
