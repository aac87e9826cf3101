//! What it all comes to: the settings, validated, and the only place with defaults.

pub mod dirs;
pub mod name;
pub mod pattern;
pub mod program;
pub mod sources;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;

use crate::input::cli::{Cli, SETTINGS, Slot};
use crate::log::Verbosity;
use crate::settings::dirs::Dirs;
use crate::settings::name::Name;
use crate::settings::pattern::{Extent, Pattern};
use crate::settings::sources::Sources;
use crate::text::{escaped, quoted};

/// Defaults, as they would be typed.
pub mod default {
    #![allow(missing_docs)] // each is the default of the option of its name
    pub const PID_NAMESPACE: &str = "own";
    pub const HEALTH_CHECK_INTERVAL: &str = "1s";
    pub const RESTART_WAIT_INTERVAL: &str = "5s";
    pub const MAX_FAIL_COUNT: &str = "3";
    pub const STABLE_AFTER: &str = "60s";
    pub const RESTART_DELAY: &str = "100ms";
    pub const AFTER_STOP: &str = "3s";
    pub const START_TIMEOUT: &str = "100s";
    pub const LOG_MAX_SIZE: &str = "1MiB";
    pub const LOG_MAX_FILES: &str = "5";
}

/// A shorter interval is a busy loop rather than a check.
const SHORTEST: Duration = Duration::from_millis(10);
/// A longer one is a slip of the finger.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Less does not hold the records of one outage.
const SMALLEST_LOG: ByteSize = ByteSize(4096);
const LARGEST_LOG: ByteSize = ByteSize(1 << 40);
/// A count beyond this is 'unlimited', or a slip of the finger.
const HIGHEST_COUNT: u32 = 1_000_000;
const MOST_LOGS: u32 = 1000;
/// A longer pattern is a slip of the editor.
const LONGEST_PATTERN: usize = 8192;
/// With its null byte (`MAX_ARG_STRLEN`, `include/uapi/linux/binfmts.h`, for pages of 4 KiB).
const LONGEST_ARGUMENT: usize = 32 * 4096;

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Criteria {
    /// The pattern.
    pub pattern: Pattern,
    /// What the pattern is matched with.
    pub subject: Subject,
    /// Only processes of this effective user.
    pub user: Option<u32>,
    /// Whose processes count.
    pub namespace: Namespace,
    /// The start command: the shell that runs it is not what it starts.
    pub start_command: String,
}

/// What a pattern is matched with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The process's name.
    Name,
    /// Its whole command line (`--full`).
    CommandLine,
}

/// Whose processes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// Those of the watchdog's own PID namespace: a container's are not the host's.
    Own,
    /// Those of containers too.
    Any,
}

/// The numbers that decide. Their meaning and defaults are those of the options of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time between two checks.
    pub health_check_interval: Duration,
    /// Time from a start command to the verdict on it, and so the least time between two of them.
    pub restart_wait_interval: Duration,
    /// Failures in a row that make the watchdog give up; `None` is never.
    pub max_fail_count: Option<u32>,
    /// How long a process must have run for the failures before it to be forgotten.
    pub stable_after: Duration,
    /// Wait before the start after a crash or a kill.
    pub restart_delay: Duration,
    /// Wait before the start after a stop on purpose, or where the cause is not known.
    pub after_stop: Duration,
    /// How long a start command may be at work while the process is missing.
    pub start_timeout: Duration,
    /// Time from giving up to a fresh round; `None` is to end instead.
    pub retry_after: Option<Duration>,
    /// One check, and the attempts that it calls for; then the end.
    pub once: bool,
}

/// The settings of a watch.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What to look for; and the start command, which is run when it is missing.
    pub criteria: Criteria,
    /// The numbers that decide.
    pub limits: Limits,
    /// What this watchdog is called.
    pub name: Name,
    /// Log size in bytes.
    pub log_max_size: u64,
    /// Older logs that are kept.
    pub log_max_files: usize,
    /// How much standard error is to get.
    pub verbosity: Option<Verbosity>,
    /// The folder of its state, if that is not the usual one.
    pub state_dir: Option<OsString>,
}

/// A setting that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// The option, as it is typed.
    pub option: &'static str,
    /// Where in the configuration file it stands, if it comes from there.
    pub place: Option<String>,
    /// Its value, if there is one.
    pub value: Option<String>,
    /// What is wrong with it.
    pub what: String,
    /// What to type instead.
    pub instead: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.key())?,
            None => f.write_str(self.option)?,
        }
        if let Some(value) = &self.value {
            write!(f, " '{}'", escaped(value))?;
        }
        write!(f, ": {}; {}", self.what, self.instead)
    }
}

impl SettingError {
    fn new(option: &'static str, value: impl Into<String>, what: impl Into<String>, instead: &str) -> Self {
        SettingError {
            option,
            place: None,
            value: Some(value.into()),
            what: what.into(),
            instead: instead.into(),
        }
    }

    /// The setting's key in a configuration file.
    pub fn key(&self) -> String {
        self.option.trim_start_matches('-').replace('-', "_")
    }

    /// A required setting that was not given.
    pub fn missing(option: &'static str, example: &str) -> Self {
        SettingError {
            option,
            place: None,
            value: None,
            what: "is required".into(),
            instead: format!("give one, such as {option} {example}"),
        }
    }
}

impl Settings {
    /// What to type to say `command`, such as `resume`, to this watchdog.
    pub fn order(&self, command: &str) -> String {
        let place = self.state_dir.as_ref().map(|folder| format!(" --state-dir {}", quoted(folder)));
        escaped(&format!("watchdog {command} {}{}", self.name, place.unwrap_or_default()))
    }

    /// One line that is the same for two watches that would do the same.
    pub fn fingerprint(&self) -> String {
        let Settings { criteria, limits, log_max_size, log_max_files, .. } = self;
        let Criteria { pattern, subject, user, namespace, start_command } = criteria;
        let what = (pattern.text(), pattern.extent(), subject, user, namespace, start_command);
        format!("{:?}", (what, limits, log_max_size, log_max_files))
    }

    /// A number that changes with the settings that decide.
    pub fn digest(&self) -> u64 {
        name::fnv(self.fingerprint().as_bytes())
    }

    /// What the command line, with what the file in `sources` has put into it, comes to.
    ///
    /// # Errors
    /// All the settings that are wrong or missing; those of the file last, by its lines.
    pub fn new(cli: &Cli, sources: &Sources) -> Result<Self, Vec<SettingError>> {
        Self::read(cli, sources).map_err(|mut all| {
            for wrong in &mut all {
                wrong.place = sources.place(&wrong.key());
            }
            all.sort_by_key(|wrong| sources.line(&wrong.key()));
            all
        })
    }

    fn read(cli: &Cli, sources: &Sources) -> Result<Self, Vec<SettingError>> {
        let mut wrong = Vec::new();
        let mut all = Collect(&mut wrong);
        let pattern = match &cli.what.process_name {
            Some(given) if cli.what.exact => all.value(given, exact_process_name, "--process-name"),
            Some(given) => all.value(given, process_name, "--process-name"),
            None => all.missing("--process-name"),
        };
        let start_command = match &cli.how.start_command {
            Some(given) => all.value(given, start_command, "--start-command"),
            None => all.missing("--start-command"),
        };
        let user = cli.what.user.as_ref().and_then(|given| all.value(given, user, "--user"));
        let namespace =
            all.or(cli.what.pid_namespace.as_ref(), default::PID_NAMESPACE, namespace, "--pid-namespace");
        let when = &cli.when;
        let max_fail_count =
            all.or(when.max_fail_count.as_ref(), default::MAX_FAIL_COUNT, max_fail_count, "--max-fail-count");
        if cli.run.once && max_fail_count == Some(None) {
            all.0.push(SettingError::new(
                "--max-fail-count",
                "unlimited",
                "would never end, and --once has to",
                "give a number, such as 3, or leave out --once",
            ));
        }
        let limits = Limits {
            health_check_interval: all.time(
                when.health_check_interval.as_ref(),
                default::HEALTH_CHECK_INTERVAL,
                interval,
                "--health-check-interval",
            ),
            restart_wait_interval: all.time(
                when.restart_wait_interval.as_ref(),
                default::RESTART_WAIT_INTERVAL,
                interval,
                "--restart-wait-interval",
            ),
            max_fail_count: max_fail_count.flatten(),
            stable_after: all.time(
                when.stable_after.as_ref(),
                default::STABLE_AFTER,
                delay,
                "--stable-after",
            ),
            restart_delay: all.time(
                when.restart_delay.as_ref(),
                default::RESTART_DELAY,
                delay,
                "--restart-delay",
            ),
            after_stop: all.time(when.after_stop.as_ref(), default::AFTER_STOP, delay, "--after-stop"),
            start_timeout: all.time(
                cli.how.start_timeout.as_ref(),
                default::START_TIMEOUT,
                interval,
                "--start-timeout",
            ),
            // `--once` always has later rounds: each run is one.
            retry_after: when
                .retry_after
                .as_ref()
                .and_then(|given| all.value(given, interval, "--retry-after")),
            once: cli.run.once,
        };
        let log_max_size =
            all.or(cli.logs.log_max_size.as_ref(), default::LOG_MAX_SIZE, log_size, "--log-max-size");
        let log_max_files =
            all.or(cli.logs.log_max_files.as_ref(), default::LOG_MAX_FILES, log_files, "--log-max-files");
        let name = match &cli.run.name {
            Some(given) => all.value(given, name::name, "--name"),
            // An instance with a file of its own is called as the file is.
            None => sources
                .instance()
                .or_else(|| pattern.as_ref().map(|pattern| Name::from_pattern(pattern.text()))),
        };
        for (option, folder, instead) in [
            ("--log-dir", &cli.logs.log_dir, "give a folder, such as /var/log/watchdog"),
            ("--state-dir", &cli.run.state_dir, "give a folder, such as /run/watchdog"),
        ] {
            if folder.as_ref().is_some_and(|folder| folder.is_empty()) {
                all.0.push(SettingError::new(option, "", "is empty", instead));
            }
        }
        let verbosity = match (cli.logs.verbose, cli.logs.quiet) {
            (true, _) => Some(Verbosity::Information),
            (_, true) => Some(Verbosity::Quiet),
            _ => None,
        };
        match (pattern, start_command, name, log_max_size, log_max_files) {
            (Some(pattern), Some(start_command), Some(name), Some(log_max_size), Some(log_max_files))
                if wrong.is_empty() =>
            {
                let subject = if cli.what.full { Subject::CommandLine } else { Subject::Name };
                let namespace = namespace.unwrap_or(Namespace::Own);
                let criteria = Criteria { pattern, subject, user, namespace, start_command };
                let state_dir = cli.run.state_dir.clone();
                Ok(Settings { criteria, limits, name, log_max_size, log_max_files, verbosity, state_dir })
            }
            _ => Err(wrong),
        }
    }
}

/// Each setting in force: its key, its value, and where that comes from.
pub fn in_force(cli: &Cli, sources: &Sources, name: &Name, places: &Dirs) -> Vec<[String; 3]> {
    let mut cli = cli.clone();
    let resolved = |key| match key {
        "name" => name.to_string(),
        "state_dir" => places.state.display().to_string(),
        "log_dir" => places.logs.display().to_string(),
        _ => default_of(key).to_owned(),
    };
    SETTINGS
        .into_iter()
        .map(|(key, slot)| {
            let given = match slot {
                Slot::Value(value) => {
                    value(&mut cli).take().map(|value| value.to_string_lossy().into_owned())
                }
                Slot::Flag(flag) => flag(&mut cli).then(|| "yes".to_owned()),
            };
            let source = match (&given, sources.place(key)) {
                (_, Some(place)) => place,
                (Some(_), None) => "command line".to_owned(),
                (None, None) => "default".to_owned(),
            };
            [key.to_owned(), given.unwrap_or_else(|| resolved(key)), source]
        })
        .collect()
}

/// What a setting is if nobody gives it.
fn default_of(key: &str) -> &'static str {
    match key {
        "user" => "any",
        "pid_namespace" => default::PID_NAMESPACE,
        "start_timeout" => default::START_TIMEOUT,
        "health_check_interval" => default::HEALTH_CHECK_INTERVAL,
        "restart_wait_interval" => default::RESTART_WAIT_INTERVAL,
        "max_fail_count" => default::MAX_FAIL_COUNT,
        "stable_after" => default::STABLE_AFTER,
        "restart_delay" => default::RESTART_DELAY,
        "after_stop" => default::AFTER_STOP,
        "retry_after" => "none; 10m with --once",
        "log_max_size" => default::LOG_MAX_SIZE,
        "log_max_files" => default::LOG_MAX_FILES,
        _ => "no",
    }
}

/// Gathers what is wrong instead of stopping at the first.
struct Collect<'a>(&'a mut Vec<SettingError>);

/// Reads a value: what is wrong with it and what to type instead, if it is not one.
type Read<T> = fn(&str) -> Result<T, (String, &'static str)>;

impl Collect<'_> {
    fn value<T>(&mut self, given: &OsStr, read: Read<T>, option: &'static str) -> Option<T> {
        check(given, read, option).map_err(|wrong| self.0.push(wrong)).ok()
    }

    fn or<T>(
        &mut self,
        given: Option<&OsString>,
        default: &str,
        read: Read<T>,
        option: &'static str,
    ) -> Option<T> {
        self.value(given.map_or(OsStr::new(default), OsString::as_os_str), read, option)
    }

    fn time(
        &mut self,
        given: Option<&OsString>,
        default: &str,
        read: Read<Duration>,
        option: &'static str,
    ) -> Duration {
        // If it is wrong, the settings are refused anyway.
        self.or(given, default, read, option).unwrap_or(LONGEST)
    }

    fn missing<T>(&mut self, option: &'static str) -> Option<T> {
        self.0.push(SettingError::missing(option, example(option)));
        None
    }
}

/// What a required option may look like.
pub fn example(option: &str) -> &'static str {
    if option == "--process-name" { "docker" } else { "'service docker start'" }
}

/// Reads one value for `option`.
///
/// # Errors
/// What is wrong with it.
pub fn check<T>(given: &OsStr, read: Read<T>, option: &'static str) -> Result<T, SettingError> {
    let Some(text) = given.to_str() else {
        return Err(SettingError::new(
            option,
            given.to_string_lossy(),
            "is not UTF-8",
            "type it again in UTF-8",
        ));
    };
    read(text).map_err(|(what, instead)| SettingError::new(option, text, what, instead))
}

/// Reads a process name.
///
/// # Errors
/// It is empty, very long, or no regular expression.
pub fn process_name(text: &str) -> Result<Pattern, (String, &'static str)> {
    pattern(text, Extent::Part)
}

fn exact_process_name(text: &str) -> Result<Pattern, (String, &'static str)> {
    pattern(text, Extent::Whole)
}

fn pattern(text: &str, extent: Extent) -> Result<Pattern, (String, &'static str)> {
    if text.trim().is_empty() {
        return Err(("would match every process".into(), "give the name of one, such as docker"));
    }
    if text.len() > LONGEST_PATTERN {
        return Err(("is longer than 8192 bytes".into(), "give less of it, such as ^ and its beginning"));
    }
    Pattern::new(text, extent).map_err(|error| {
        (
            format!("is not a regular expression: {error}"),
            "put a \\ before a character that stands for itself",
        )
    })
}

/// Reads a start command.
///
/// # Errors
/// It is empty, too long, or holds a null byte.
pub fn start_command(text: &str) -> Result<String, (String, &'static str)> {
    if text.trim().is_empty() {
        return Err(("would start nothing".into(), "give a shell command, such as 'service docker start'"));
    }
    if text.contains('\0') {
        return Err(("holds a null byte".into(), "give a shell command without one"));
    }
    if text.len() >= LONGEST_ARGUMENT {
        return Err(("is longer than Linux passes on to a shell".into(), "put it into a script"));
    }
    Ok(text.to_owned())
}

/// Reads a user, by name or number.
fn user(text: &str) -> Result<u32, (String, &'static str)> {
    const INSTEAD: &str = "give the name or the number of one, such as www-data or 33";
    match (text.parse(), nix::unistd::User::from_name(text)) {
        (_, Ok(Some(user))) => Ok(user.uid.as_raw()),
        (Ok(number), _) => Ok(number),
        (_, Err(error)) => {
            Err((format!("cannot be looked up ({error})"), "give the number of a user, such as 33"))
        }
        _ => Err(("is no user of this machine".into(), INSTEAD)),
    }
}

fn namespace(text: &str) -> Result<Namespace, (String, &'static str)> {
    match text {
        "own" => Ok(Namespace::Own),
        "any" => Ok(Namespace::Any),
        _ => Err(("is neither".into(), "give own or any")),
    }
}

/// Reads a time that must pass between two things.
///
/// # Errors
/// It is no time, too short or too long.
pub fn interval(text: &str) -> Result<Duration, (String, &'static str)> {
    match time(text)? {
        time if time < SHORTEST => Err(("is too short".into(), "give 10ms or more, such as 1s")),
        time => Ok(time),
    }
}

/// Reads a time that may be 0.
fn delay(text: &str) -> Result<Duration, (String, &'static str)> {
    time(text)
}

fn time(text: &str) -> Result<Duration, (String, &'static str)> {
    const INSTEAD: &str = "give seconds, such as 5 or 0.5, or units, such as 90s or 1m 30s";
    let text = text.trim();
    let seconds = || text.parse::<f64>().ok();
    let time = match seconds() {
        Some(seconds) if seconds < 0.0 => return Err(("is negative".into(), INSTEAD)),
        Some(seconds) if seconds.is_nan() => return Err(("is not a time".into(), INSTEAD)),
        Some(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
        None => match humantime::parse_duration(text) {
            Ok(time) => time,
            Err(humantime::DurationError::NumberOverflow) => Duration::MAX,
            Err(_) => return Err(("is not a time".into(), INSTEAD)),
        },
    };
    if time > LONGEST { Err(("is longer than 365 days".into(), "give 365d or less")) } else { Ok(time) }
}

/// Reads a number of failures; `None` is unlimited.
///
/// # Errors
/// It is neither.
pub fn max_fail_count(text: &str) -> Result<Option<u32>, (String, &'static str)> {
    if text.trim() == "unlimited" {
        return Ok(None);
    }
    whole(text, 1, HIGHEST_COUNT, "give 1 to 1000000, such as 3, or 'unlimited'").map(Some)
}

fn log_files(text: &str) -> Result<usize, (String, &'static str)> {
    whole(text, 0, MOST_LOGS, "give a number from 0 to 1000, such as 5").map(|number| number as usize)
}

fn whole(text: &str, least: u32, most: u32, instead: &'static str) -> Result<u32, (String, &'static str)> {
    match text.trim().parse::<i128>() {
        Err(_) => Err(("is not a whole number".into(), instead)),
        Ok(number) if number < least.into() => Err(("is too small".into(), instead)),
        Ok(number) => match u32::try_from(number) {
            Ok(number) if number <= most => Ok(number),
            _ => Err(("is too large".into(), instead)),
        },
    }
}

fn log_size(text: &str) -> Result<u64, (String, &'static str)> {
    const INSTEAD: &str = "give 4KiB to 1TiB, such as 1MiB, or a number of bytes";
    match text.trim().parse::<ByteSize>() {
        Err(_) => Err(("is not a size".into(), INSTEAD)),
        Ok(size) if size < SMALLEST_LOG => Err(("is too small".into(), INSTEAD)),
        Ok(size) if size > LARGEST_LOG => Err(("is too large".into(), INSTEAD)),
        Ok(size) => Ok(size.as_u64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn read(line: &[&str]) -> Result<Settings, Vec<SettingError>> {
        Settings::new(&Cli::try_parse_from([&["watchdog"], line].concat()).unwrap(), &Sources::default())
    }

    fn with(line: &[&str]) -> Result<Settings, Vec<SettingError>> {
        read(&[&["-p", "x", "-s", "y"], line].concat())
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let settings = with(&[]).unwrap();
        let seconds = Duration::from_secs;
        assert_eq!(
            settings.limits,
            Limits {
                health_check_interval: seconds(1),
                restart_wait_interval: seconds(5),
                max_fail_count: Some(3),
                stable_after: seconds(60),
                restart_delay: Duration::from_millis(100),
                after_stop: seconds(3),
                start_timeout: seconds(100),
                retry_after: None,
                once: false,
            }
        );
        assert_eq!((settings.log_max_size, settings.log_max_files), (1 << 20, 5));
        assert_eq!((settings.criteria.pattern.text(), settings.criteria.start_command.as_str()), ("x", "y"));
        assert_eq!((settings.name.to_string().as_str(), settings.verbosity), ("x", None));
    }

    #[test]
    fn underscores_do_as_well_in_any_order() {
        let settings = read(&[
            "--restart_wait_interval",
            "6",
            "--max_fail_count",
            "4",
            "--process_name",
            "docker",
            "--health_check_interval",
            "2",
            "--start_command",
            "service docker start",
        ])
        .unwrap();
        assert_eq!(settings.limits.restart_wait_interval, Duration::from_secs(6));
        assert_eq!(settings.limits.max_fail_count, Some(4));
        assert_eq!(settings.limits.health_check_interval, Duration::from_secs(2));
        assert_eq!(
            (settings.criteria.pattern.text(), settings.criteria.start_command.as_str()),
            ("docker", "service docker start")
        );
    }

    #[test]
    fn times_are_seconds_or_have_units() {
        for (text, millis) in [
            ("5", 5000),
            ("0.5", 500),
            (" 2 ", 2000),
            ("90s", 90_000),
            ("1m 30s", 90_000),
            ("10ms", 10),
            ("365d", 31_536_000_000),
        ] {
            assert_eq!(interval(text), Ok(Duration::from_millis(millis)), "{text:?}");
        }
        for text in [
            "",
            "x",
            "-1",
            "-5s",
            "0",
            "0.001",
            "9ms",
            "nan",
            "inf",
            "1e99",
            "366d",
            "99999999999999999999d",
            "5 5",
            "1,5",
        ] {
            assert!(interval(text).is_err(), "{text:?}");
        }
        assert_eq!(delay("0"), Ok(Duration::ZERO));
        assert!(delay("-0.1").is_err());
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let wrong = read(&[
            "-p",
            " ",
            "-s",
            "",
            "-i",
            "0",
            "-w",
            "never",
            "-m",
            "0",
            "--stable-after",
            "-3",
            "--restart-delay",
            "x",
            "--after-stop",
            "2y",
            "--start-timeout",
            "0",
            "--retry-after",
            "0",
            "--log-max-size",
            "1",
            "--log-max-files",
            "-1",
            "--name",
            "a/b",
            "--log-dir",
            "",
            "--state-dir",
            "",
        ])
        .unwrap_err();
        let options: Vec<_> = wrong.iter().map(|wrong| wrong.option).collect();
        for option in [
            "--process-name",
            "--start-command",
            "--health-check-interval",
            "--restart-wait-interval",
            "--max-fail-count",
            "--stable-after",
            "--restart-delay",
            "--after-stop",
            "--start-timeout",
            "--retry-after",
            "--log-max-size",
            "--log-max-files",
            "--name",
            "--log-dir",
            "--state-dir",
        ] {
            assert_eq!(options.iter().filter(|name| **name == option).count(), 1, "{option} in {options:?}");
        }
        assert_eq!(options.len(), 15);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_type() {
        for (line, said) in [
            (
                vec!["-m", "abc"],
                "--max-fail-count 'abc': is not a whole number; give 1 to 1000000, such as 3, or 'unlimited'",
            ),
            (
                vec!["-m", "-1"],
                "--max-fail-count '-1': is too small; give 1 to 1000000, such as 3, or 'unlimited'",
            ),
            (
                vec!["-m", "4294967297"],
                "--max-fail-count '4294967297': is too large; give 1 to 1000000, such as 3, or 'unlimited'",
            ),
            (
                vec!["-m", "unlimited", "--once"],
                "--max-fail-count 'unlimited': would never end, and --once has to; give a number, such as 3, or leave out --once",
            ),
            (
                vec!["-i", "\x1b[2J"],
                "--health-check-interval '\\u{1b}[2J': is not a time; give seconds, such as 5 or 0.5, or units, such as 90s or 1m 30s",
            ),
            (
                vec!["--log-max-size", "1 PiB"],
                "--log-max-size '1 PiB': is too large; give 4KiB to 1TiB, such as 1MiB, or a number of bytes",
            ),
        ] {
            let wrong = with(&line).unwrap_err();
            assert_eq!(wrong.iter().map(SettingError::to_string).collect::<Vec<_>>(), [said]);
        }
        let missing = read(&[]).unwrap_err();
        assert_eq!(
            missing.iter().map(SettingError::to_string).collect::<Vec<_>>(),
            [
                "--process-name: is required; give one, such as --process-name docker",
                "--start-command: is required; give one, such as --start-command 'service docker start'"
            ]
        );
    }

    #[test]
    fn what_is_longer_than_anybody_types_is_refused() {
        let line = |name: usize, command: usize| [name, command].map(|length| "x".repeat(length));
        for (name, command, wrong) in [
            (8192, 131_071, vec![]),
            (8193, 1, vec!["--process-name"]),
            (1, 131_072, vec!["--start-command"]),
        ] {
            let [name, command] = line(name, command);
            let said = read(&["-p", &name, "-s", &command]).err().unwrap_or_default();
            assert_eq!(said.iter().map(|wrong| wrong.option).collect::<Vec<_>>(), wrong);
        }
    }

    #[test]
    fn two_watches_are_the_same_if_they_would_do_the_same() {
        let print = |line: &[&str]| with(line).unwrap().fingerprint();
        assert_eq!(print(&[]), print(&["-i", "1000ms", "--name", "other", "-v"]));
        assert_ne!(print(&[]), print(&["-i", "2"]));
    }
}
