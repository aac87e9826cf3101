//! The name of an instance.

use std::fmt;

use crate::settings::{Reading, wrong};

/// The longest name: with the longest ending, `.output.log.1000`, it is still a file's name.
const LONGEST_NAME: usize = 64;

/// What a watchdog is called, which is also the beginning of the names of its files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Name(String);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Name {
    /// A name made from a process name. If that is not fit for one, a number made from all of it keeps
    /// it apart from others like it.
    pub fn from_pattern(pattern: &str) -> Self {
        name(pattern).unwrap_or_else(|_| {
            let mut words: Vec<_> = pattern.split(|c| !is_fit(c)).filter(|word| !word.is_empty()).collect();
            words.truncate(8);
            let mut name: String = words.join("-").trim_matches(['.', '-']).chars().take(40).collect();
            if !name.is_empty() {
                name.push('-');
            }
            Name(format!("{name}{:08x}", fnv(pattern.as_bytes()) >> 32))
        })
    }
}

/// Reads a name.
///
/// # Errors
/// It would not do as the beginning of a file's name.
pub fn name(text: &str) -> Reading<Name> {
    const INSTEAD: &str = "use letters, digits and . _ @ : - only, such as docker or web@2";
    match text.chars().find(|c| !is_fit(*c)) {
        _ if text.is_empty() => wrong("empty", INSTEAD),
        _ if text.len() > LONGEST_NAME => wrong("longer than 64 characters", INSTEAD),
        Some(unfit) => wrong(format!("{unfit:?} is not allowed in a name"), INSTEAD),
        None if text.starts_with(['.', '-']) => wrong("starts with a dot or a dash", INSTEAD),
        None => Ok(Name(text.to_owned())),
    }
}

fn is_fit(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._@:-".contains(c)
}

/// FNV-1a, 64 bits: the same in each version of this program, which the standard library's is not.
pub fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_pattern_makes_a_safe_name_and_no_two_the_same() {
        let patterns = [
            "docker",
            "../../etc/passwd",
            "/etc/passwd",
            "^nginx: master",
            "nginx: master",
            ".",
            "..",
            "-x",
            "",
            "ä",
            "%s",
            "a b",
            "a\nb",
            "x".repeat(300).as_str(),
            "a/b",
            "a\\/b",
            "$(reboot)",
            "web@2",
        ]
        .map(str::to_owned);
        let names: Vec<_> = patterns.iter().map(|pattern| Name::from_pattern(pattern)).collect();
        for (pattern, made) in patterns.iter().zip(&names) {
            assert_eq!(name(&made.0), Ok(made.clone()), "{pattern:?}");
            assert_eq!(names.iter().filter(|name| *name == made).count(), 1, "{pattern:?}");
        }
        assert_eq!((names[0].0.as_str(), names[17].0.as_str()), ("docker", "web@2"));
        assert_eq!(names[1].0, "etc-passwd-2bef2c0b");
    }

    #[test]
    fn unfit_names_are_refused() {
        for text in ["", ".hidden", "-x", "a/b", "a b", "ü", "a\n", &"x".repeat(65)] {
            assert!(name(text).is_err(), "{text:?}");
        }
    }
}
