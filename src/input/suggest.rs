//! What was meant by what cannot be understood.

use std::io::{self, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::exit::ExitCode;
use crate::log::Stderr;
use crate::settings::table::{ROWS, row};
use crate::text::escaped;

/// Answers a command line that is none, or asks for help.
pub fn answer(other: &clap::Error, stderr: &mut Stderr) -> ExitCode {
    let instead = stray_word(other).map(instead_of).or_else(|| unknown_option(other).map(instead_of_option));
    if let Some(instead) = instead {
        stderr.write_text(&format!("watchdog: {}\n", escaped(&instead)));
    } else if other.use_stderr() {
        stderr.write_text(&other.render().to_string());
    } else {
        // Help, into a pipe that may be closed early.
        let _ = io::stdout().write_all(other.render().to_string().as_bytes());
        return ExitCode::Success;
    }
    ExitCode::Usage
}

/// Which of the `known` names was meant: one that begins with what was `typed`, or else the nearest, if no more
/// than a third of the letters are wrong.
pub fn meant<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |known: &str| match known.strip_prefix(typed) {
        Some(_) if !typed.is_empty() => 0,
        _ => strsim::damerau_levenshtein(typed, known),
    };
    let known = known.into_iter().map(|known| (distance(known), known));
    let near = known.filter(|(distance, _)| distance * 3 <= typed.chars().count());
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// A word that is neither a command nor an option's value.
fn stray_word(error: &clap::Error) -> Option<&str> {
    let is_stray = matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::ArgumentConflict);
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) if is_stray => Some(word),
        _ => None,
    }
}

/// A long option that there is not.
fn unknown_option(error: &clap::Error) -> Option<&str> {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option))
            if error.kind() == ErrorKind::UnknownArgument && option.starts_with("--") =>
        {
            Some(option)
        }
        _ => None,
    }
}

/// What was meant by an option that there is not, perhaps.
fn instead_of_option(typed: &str) -> String {
    let key = typed.trim_start_matches('-').replace('-', "_");
    let meant: Vec<_> = match meant(&key, ROWS.iter().map(|row| row.key)).and_then(row) {
        Some(meant) if meant.option() == typed => return format!("'{typed}' is no option of this command"),
        Some(meant) => vec![meant],
        None => ROWS.iter().filter(|row| row.key.split('_').any(|word| word == key)).collect(),
    };
    let options: Vec<_> = meant.into_iter().map(|row| format!("'{}'", row.option())).collect();
    if options.is_empty() {
        format!("there is no option '{typed}'; watchdog --help shows those that there are")
    } else {
        format!("there is no option '{typed}'; is {} meant?", options.join(" or "))
    }
}

/// What was meant by a stray word, perhaps.
fn instead_of(word: &str) -> String {
    match meant(word, ["status", "pause", "resume"]) {
        Some(command) if command == word => {
            format!("'{word}' comes before all options, as in: watchdog {word} --help")
        }
        Some(command) => format!("there is no command '{word}'; is '{command}' meant?"),
        None if ["start", "stop", "restart"].contains(&word) => format!(
            "there is no command '{word}': what is missing is started, and left alone after 'watchdog pause NAME'"
        ),
        None => format!(
            "'{word}' is a word too many: a start command of several words is quoted, as in --start-command \
             'service docker start'; a process is given as --process-name {word}, a configuration file as \
             --config {word}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::table::settings;

    #[test]
    fn what_was_meant_is_near() {
        let known = || settings().map(|row| row.key);
        for (typed, expected) in [
            ("proces_name", Some("process_name")),
            ("max-fail-cuont", Some("max_fail_count")),
            ("usr", Some("user")),
            ("onec", Some("once")),
            ("proc", Some("process_name")),
            ("log_max_f", Some("log_max_files")),
            ("watch", None),
            ("", None),
            ("when", None),
            ("config", None),
            ("dry_run", None),
        ] {
            assert_eq!(meant(typed, known()), expected, "{typed}");
        }
        assert_eq!(meant("web", ["wed", "web2"]), Some("web2"));
    }
}
