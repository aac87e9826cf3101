//! What was meant by what cannot be understood.

use std::ffi::OsString;
use std::iter;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::exit::ExitCode;
use crate::input::cli::{NAGIOS, definition};
use crate::input::config_file;
use crate::log::{Stderr, print};
use crate::settings::dirs::User;
use crate::settings::table::{Form, Place, Row, options, row};
use crate::settings::{template, values};
use crate::text::{meant, quoted};

/// Answers a command line that is none, with what to type instead, or one that asks for help.
pub fn answer(other: &clap::Error, words: &[OsString], user: &User, stderr: &mut Stderr) -> ExitCode {
    if !other.use_stderr() {
        print(&other.render().to_string());
        return ExitCode::Success;
    }
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let text = instead(other, &words, user).unwrap_or_else(|| first_line(other));
    stderr.complain(&text);
    // Whose 2 is CRITICAL.
    let is_for_nagios = words.iter().any(|word| word.strip_prefix("--") == Some(NAGIOS));
    if is_for_nagios { ExitCode::Nagios(3) } else { ExitCode::Usage }
}

/// What clap says of what nothing better is said of.
fn first_line(other: &clap::Error) -> String {
    let text = other.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// What is wrong, and what to type instead.
fn instead(other: &clap::Error, words: &[String], user: &User) -> Option<String> {
    let text = |kind| match other.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    };
    // `--process-name <NAME>`
    let argument = text(ContextKind::InvalidArg);
    let option = argument.map(|argument| argument.split([' ', '=']).next().unwrap_or(argument));
    match (other.kind(), text(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand | ErrorKind::ArgumentConflict, Some(word)) => {
            Some(instead_of(word, words, user))
        }
        (ErrorKind::UnknownArgument, _) => option.map(|option| instead_of_option(option, words)),
        (ErrorKind::ArgumentConflict, _) if argument == text(ContextKind::PriorArg) => {
            option.map(|option| format!("{option} is given twice"))
        }
        (ErrorKind::ArgumentConflict, _) => {
            let other = text(ContextKind::PriorArg).and_then(|other| other.split(' ').next());
            let both = [option, other].map(Option::unwrap_or_default);
            if both.iter().any(|one| one.starts_with('[')) {
                let time = words.iter().find(|word| values::interval(word).is_ok());
                let instead = time.map(|time| format!("; did you mean: watchdog pause --all --for {time}"));
                return Some(format!("names and --all exclude each other{}", instead.unwrap_or_default()));
            }
            Some(format!("{} exclude each other", both.join(" and ")))
        }
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, _) => {
            let value = argument?.split_once('<').map_or("", |(_, value)| value.trim_end_matches('>'));
            Some(format!("{0} needs a value: {0} {value}", option?))
        }
        (ErrorKind::TooManyValues, _) => option.map(|option| format!("{option} takes no value")),
        (ErrorKind::MissingRequiredArgument, _) => {
            let command = words.iter().find(|word| definition().find_subcommand(word).is_some())?;
            Some(match command.as_str() {
                "probe" => "which check? watchdog probe http://127.0.0.1/".to_owned(),
                "test-hook" => "which watchdog? watchdog test-hook NAME".to_owned(),
                _ => format!("which watchdog? watchdog {command} NAME, or --all"),
            })
        }
        _ => None,
    }
}

/// What options are called by docker, podman and others, and what they are called here.
const HABITS: [(&str, &str); 13] = [
    ("health_cmd", "--probe"),
    ("healthcheck", "--probe"),
    ("health_interval", "--probe-interval"),
    ("health_timeout", "--probe-timeout"),
    ("health_start_period", "--probe-start-period"),
    ("health_retries", "--probe-failures"),
    ("health_on_failure", "--on-unhealthy"),
    ("retries", "--max-fail-count"),
    ("max_retries", "--max-fail-count"),
    ("restart_sec", "--restart-delay"),
    ("cmd", "--start-command"),
    ("exec", "--start-command"),
    ("debug", "-v"),
];

/// What was meant by an option that there is not, perhaps.
fn instead_of_option(typed: &str, words: &[String]) -> String {
    let key = typed.trim_start_matches('-').replace('-', "_");
    if !typed.starts_with('-') {
        return format!("'{typed}' is one argument too many; put quotes around what belongs together");
    }
    if !typed.starts_with("--") {
        return format!("unknown option '{typed}'; 'watchdog --help' lists them");
    }
    if key == "autostart" {
        return format!("unknown option '{typed}'; a missing process is always started");
    }
    if let Some((_, option)) = HABITS.iter().find(|(habit, _)| *habit == key) {
        let value = value_of(typed, words).map(|value| format!(" {}", quoted(value.as_ref())));
        return format!("unknown option '{typed}'; did you mean: {option}{}", value.unwrap_or_default());
    }
    if let Some(row) = row(&key).filter(|row| row.place == Place::File) {
        let (key, example) = (row.key, row.example);
        let line = if row.form == Form::Tables { format!("[[{key}]]") } else { format!("{key} = {example}") };
        return format!("unknown option '{typed}'; {key} is for a configuration file alone, such as: {line}");
    }
    // `--interval`
    let has_its_words = |row: &&Row| key.split('_').all(|word| row.key.split('_').any(|its| its == word));
    let meant: Vec<_> = match meant(&key, options().map(|row| row.key)).and_then(row) {
        Some(meant) if meant.option() == typed => return format!("this command has no option '{typed}'"),
        Some(meant) => vec![meant],
        None => options().filter(has_its_words).collect(),
    };
    let options: Vec<_> = meant.into_iter().map(Row::option).collect();
    if options.is_empty() {
        format!("unknown option '{typed}'; 'watchdog --help' lists them")
    } else {
        format!("unknown option '{typed}'; did you mean {}?", options.join(" or "))
    }
}

/// What was given to this option.
fn value_of<'a>(option: &str, words: &'a [String]) -> Option<&'a str> {
    let (at, rest) =
        words.iter().enumerate().find_map(|(at, word)| Some((at, word.strip_prefix(option)?)))?;
    match rest.strip_prefix('=') {
        Some(value) => Some(value),
        None => words.get(at + 1).map(String::as_str).filter(|next| !next.starts_with('-')),
    }
}

/// What to type in place of a `word` with a dash that no keyboard has.
pub fn long_dash(word: &str) -> Option<String> {
    let rest = word
        .trim_start_matches(['-', '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2212}']);
    word.strip_suffix(rest).filter(|dashes| !dashes.is_ascii())?;
    let hyphens = if rest.chars().count() == 1 { "-" } else { "--" };
    Some(format!("'{word}' starts with a long dash, as web pages print it; type: {hyphens}{rest}"))
}

/// What to type in place of a long option with one dash, which would be read as letters and a value.
pub fn one_dash(words: &[OsString]) -> Option<String> {
    let words = words.iter().skip(1).take_while(|word| *word != "--");
    let rest = words.filter_map(|word| word.to_str()?.strip_prefix('-')).filter(|rest| rest.len() > 2);
    let mut long = rest.map(|rest| rest.split_once('=').map_or(rest, |(long, _)| long));
    let definition = definition();
    let all =
        || iter::once(&definition).chain(definition.get_subcommands()).flat_map(clap::Command::get_arguments);
    let long = long.find(|long| all().any(|its| its.get_long() == Some(long)))?;
    Some(format!("'-{long}' has one dash and needs two; type: --{long}"))
}

/// What commands are called elsewhere, and what to type here for the watchdog NAME.
const OTHER_COMMANDS: [(&str, &str); 15] = [
    ("list ls ps show summary info", "did you mean: watchdog status"),
    ("watch top", "did you mean: watchdog status --watch"),
    ("tail tailf follow", "did you mean: watchdog logs -f NAME"),
    ("check configtest", "did you mean: watchdog validate NAME"),
    (
        "reload reread update",
        "to reload the configuration, send SIGHUP: systemctl reload watchdog@NAME, or kill -HUP PID (watchdog status \
         shows it)",
    ),
    ("version", "did you mean: watchdog --version"),
    ("forget", "to forget failures: watchdog resume NAME"),
    ("unpause unhold monitor", "did you mean: watchdog resume NAME"),
    ("hold unmonitor", "did you mean: watchdog pause NAME"),
    ("kill shutdown quit", "did you mean: watchdog stop NAME"),
    ("run add", "did you mean: watchdog --config NAME"),
    ("enable", "type: systemctl enable --now watchdog@NAME"),
    ("disable", "type: systemctl disable --now watchdog@NAME"),
    ("hook notify", "did you mean: watchdog test-hook NAME"),
    ("remove rm delete", "did you mean: watchdog clean NAME"),
];

/// What was meant by a stray word among the `words`, perhaps.
fn instead_of(word: &str, words: &[String], user: &User) -> String {
    if let Some(instead) = long_dash(word).or_else(|| unquoted(word, words)) {
        return instead;
    }
    let unknown = |instead: &str| format!("unknown command '{word}'; {instead}");
    if let Some((_, instead)) = OTHER_COMMANDS.iter().find(|(known, _)| known.split(' ').any(|it| it == word))
    {
        let after = words.iter().skip_while(|other| *other != word).nth(1);
        let name = after.filter(|next| !next.starts_with('-'));
        let instead = match name {
            Some(name) => instead.replace("NAME", name),
            // It needs none.
            None => instead.replace("validate NAME", "validate"),
        };
        return unknown(&instead);
    }
    let definition = definition();
    let commands = definition.get_subcommands().filter(|command| !command.is_hide_set());
    match meant(word, commands.map(clap::Command::get_name)) {
        Some(command) if command == word => format!("put '{word}' first: watchdog {word} ..."),
        Some(command) => unknown(&format!("did you mean '{command}'?")),
        None => stray_argument(word, user),
    }
}

/// What to type in place of a start command without quotes, whose second word this is.
fn unquoted(word: &str, words: &[String]) -> Option<String> {
    let start = words.windows(2).enumerate().find_map(|(at, pair)| match pair {
        [both, next] if next == word && both.starts_with("--start-command=") => {
            Some((at, both.strip_prefix("--start-command=")?))
        }
        [option, value] if words.get(at + 2).is_some_and(|next| next == word) => {
            ["-s", "--start-command", "--start_command"].contains(&option.as_str()).then_some((at + 1, value))
        }
        _ => None,
    });
    let (at, start) = start?;
    let more = words.iter().skip(at + 1).map(String::as_str).take_while(|word| !word.starts_with('-'));
    let command: Vec<_> = [start].into_iter().chain(more).collect();
    let command = quoted(command.join(" ").as_ref());
    Some(format!(
        "unexpected argument '{word}'; put a start command of several words in quotes: --start-command {command}"
    ))
}

/// What was meant by a word that is no command either.
fn stray_argument(word: &str, user: &User) -> String {
    let shown = quoted(word.as_ref());
    if template::is_there(&config_file::path(word.as_ref(), user)) {
        return format!("unexpected argument '{word}'; did you mean: watchdog --config {shown}");
    }
    format!("unexpected argument '{word}'; did you mean --config {shown} or --process-name {shown}?")
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
            ("START_COMMAND", Some("start_command")),
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
