//! What it all comes to: the settings, validated.

pub mod check;
pub mod digest;
pub mod dirs;
pub mod doubts;
pub mod given;
pub mod hook;
pub mod hours;
pub mod name;
pub mod pattern;
pub mod program;
pub mod shell;
pub mod table;
pub mod template;
pub mod values;
pub mod versions;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::settings::check::Check;
use crate::settings::dirs::{Dirs, User};
use crate::settings::given::Given;
use crate::settings::hook::HookEvents;
use crate::settings::hours::Window;
use crate::settings::name::Name;
use crate::settings::pattern::Pattern;
use crate::settings::program::Place;
use crate::settings::table::{Form, ROWS, Row, Unset};
use crate::settings::values::Table;
use crate::settings::versions::Version;
use crate::task::Profile;
use crate::text::{escaped, quoted};

/// How long a value may be that an error shows, in bytes.
pub const LONGEST_VALUE: usize = 200;

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Criteria {
    pub pattern: Pattern,
    /// What the pattern is matched with.
    pub subject: Subject,
    /// Only processes of this effective user.
    pub user: Option<u32>,
    /// The user that was asked for, while nobody knows who that is.
    pub unknown_user: Option<String>,
    pub namespace: Namespace,
    /// Only the process whose number is in this file.
    pub pid_file: Option<PathBuf>,
    /// The start command that is in force: the shell that runs it is not what it starts.
    pub start_command: String,
}

/// What a pattern is matched with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subject {
    /// The process's name.
    #[default]
    Name,
    /// Its whole command line (`--full`).
    CommandLine,
}

/// Whose processes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Namespace {
    /// Those of the watchdog's own PID namespace: a container's are not the host's.
    #[default]
    Own,
    /// Those of containers too.
    Any,
}

/// A stage of a stop that has no end of its own (`--stop-timeout never`).
const LONG_STAGE: Duration = Duration::from_secs(30);

/// The numbers that decide. Their meaning and defaults are those of the options of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    /// How long a start command may run while the process is missing.
    pub start_timeout: Duration,
    /// Time from giving up to a fresh round; `None` is to end instead.
    pub retry_after: Option<Duration>,
    /// One check, and the attempts that it calls for; then the end.
    pub once: bool,
    /// There is a probe.
    pub has_probe: bool,
    /// Time from the end of a probe to the next.
    pub probe_interval: Duration,
    /// How long in a process's life failures do not count, unless a probe has succeeded.
    pub probe_start_period: Duration,
    /// Failures in a row that make a process unhealthy.
    pub probe_failures: u32,
    /// What is done about that.
    pub on_unhealthy: OnUnhealthy,
    /// There is a stop command.
    pub has_stop_command: bool,
    /// How long each stage of a stop is; with `None`, nothing is killed.
    pub stop_timeout: Option<Duration>,
    /// What is ended with the process.
    pub kill_mode: KillMode,
    /// Whether it is started again when it has ended.
    pub autorestart: Autorestart,
}

impl Limits {
    /// How long the stop command has, and the signal, and SIGKILL: a stage of a stop.
    pub fn stage_length(&self) -> Duration {
        self.stop_timeout.unwrap_or(LONG_STAGE)
    }
}

/// What is done about an unhealthy process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnhealthy {
    /// It is stopped and started.
    #[default]
    Restart,
    /// It is reported.
    Warn,
}

/// What is done with a process whose hours are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutsideHours {
    /// It is left running, and not started again.
    #[default]
    Leave,
    /// It is stopped, once.
    Stop,
}

/// What is ended with a process that is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KillMode {
    /// Nothing, unless it has to be killed: then those of its descendants that never called exec.
    #[default]
    Process,
    /// All its descendants.
    Mixed,
}

/// Whether a process is started again when it has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Autorestart {
    /// It is.
    #[default]
    Always,
    /// Unless it has ended as expected.
    Unexpected,
    /// Once it has run, it is not.
    Never,
}

/// What this run writes to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors (`-q`).
    Quiet,
    /// The outcome of a `--once` run, a give-up and its end.
    Outcome,
    /// Warnings and errors.
    Warnings,
    /// Information too.
    Information,
}

/// Whom a record reaches on standard error. The file gets all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nobody.
    File,
    /// Whoever wants records of its level.
    Usual,
    /// The reader of cron's mail too: it is what a run has come to.
    Mail,
}

/// The settings of a watch. Its default is what is there before anything is read, and no watch: the defaults of
/// the options are in the [`table`].
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What to look for; and the start command, which is run when it is missing.
    pub criteria: Criteria,
    /// The numbers that decide.
    pub limits: Limits,
    /// With which statuses it ends as expected.
    pub exit_codes: BTreeSet<u8>,
    /// The start command before and without versions.
    pub start_command: Option<String>,
    /// Its versions, by their dates.
    pub versions: Vec<Version>,
    /// When it should run; empty is always.
    pub active_hours: Vec<Window>,
    /// What is done when its hours are over.
    pub outside_hours: OutsideHours,
    /// How to test whether it works.
    pub probe: Option<Check>,
    /// How long such a test may take.
    pub probe_timeout: Duration,
    /// What start command, stop command and probe get.
    pub profile: Profile,
    /// What stops it, before the signal does.
    pub stop_command: Option<String>,
    /// The signal that ends it.
    pub stop_signal: i32,
    /// `stop_timeout` was given.
    pub gives_stop_timeout: bool,
    /// What is run to tell people what happens.
    pub hook: Option<String>,
    /// What they are told.
    pub hook_events: HookEvents,
    /// They are told of new lines of the output log that match one of these.
    pub output_pattern: Vec<Pattern>,
    /// What this watchdog is called.
    pub name: Name,
    pub dirs: Dirs,
    /// Log size in bytes.
    pub log_max_size: u64,
    /// Older logs that are kept.
    pub log_max_files: usize,
    /// What is written to standard error.
    pub verbosity: Option<Verbosity>,
    /// The instances whose processes it waits for before a start.
    pub depends_on: Vec<Name>,
    /// Where the configurations of other instances may be.
    pub config_folders: Vec<PathBuf>,
    /// Why the file that they come from is to be doubted.
    pub doubt: Option<String>,
}

/// What is wrong with a value, and what to type instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub what: String,
    pub instead: String,
}

/// A value, or what is wrong with it.
pub type Reading<T> = Result<T, Wrong>;

/// No value: what is wrong, and what to type instead.
pub fn wrong<T>(what: impl Into<String>, instead: impl Into<String>) -> Reading<T> {
    Err(Wrong { what: what.into(), instead: instead.into() })
}

/// A setting that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    pub key: &'static str,
    /// Where in a configuration file it stands, if it comes from there.
    pub place: Option<String>,
    /// Its value, if there is one.
    pub value: Option<String>,
    pub wrong: Wrong,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.key)?,
            None => f.write_str(&table::option(self.key))?,
        }
        if let Some(value) = self.value.as_ref().filter(|value| value.len() <= LONGEST_VALUE) {
            write!(f, " '{}'", escaped(value))?;
        }
        // Which quote parts of the value.
        write!(f, ": {}; {}", escaped(&self.wrong.what), escaped(&self.wrong.instead))
    }
}

impl SettingError {
    fn new(key: &'static str, value: Option<&OsStr>, what: &str, instead: &str) -> Self {
        let wrong = Wrong { what: what.to_owned(), instead: instead.to_owned() };
        SettingError { key, place: None, value: value.map(|value| value.to_string_lossy().into()), wrong }
    }

    /// A setting of a file that does not go with what else there is.
    pub fn unfit(key: &'static str, given: &Given, what: &str, instead: &str) -> Self {
        SettingError { place: given.place(key), ..Self::new(key, given.value(key), what, instead) }
    }

    /// A setting that was not given and has to be.
    pub fn missing(key: &'static str, what: &str, example: &str) -> Self {
        Self::new(key, None, what, &format!("add it, for example: {} {example}", table::option(key)))
    }
}

impl Settings {
    /// What to type to say `command`, such as `resume`, to this watchdog.
    pub fn order(&self, command: &str) -> String {
        order(command, &self.name, (!self.dirs.is_usual).then_some(self.dirs.state.as_os_str()))
    }

    /// Why a program of the probe, the stop command or the hook cannot be run, where that is certain. They would run in
    /// `folder`, if the settings name no other; the hook runs there.
    pub fn doubt_other_programs(&self, folder: &Path) -> Option<String> {
        let (given, here) = (Place::new(&self.profile, folder), Place::new(&Profile::default(), folder));
        let probe = self.probe.as_ref().and_then(|probe| match probe {
            Check::Command(command) => Some(command),
            Check::Builtin(_) => None,
        });
        // That nothing can run in its directory is a doubt of its own.
        let of_others = |_: &&String| given.doubt().is_none();
        let doubts: Vec<_> = [
            ("probe", probe.filter(of_others), &given),
            ("stop command", self.stop_command.as_ref().filter(of_others), &given),
            ("hook", self.hook.as_ref(), &here),
        ]
        .into_iter()
        .filter_map(|(what, command, place)| program::doubt(what, command?, place))
        .collect();
        (!doubts.is_empty()).then(|| doubts.join("; "))
    }

    /// What was given, and by `user`, comes to.
    ///
    /// # Errors
    /// All the settings that are wrong or missing; those of the file last, by its lines.
    pub fn new(given: &Given, user: &User) -> Result<Self, Vec<SettingError>> {
        let (mut settings, mut wrong) = Self::read(given, Dirs::of(user));
        let beside = given.files.first().and_then(|file| file.parent()).map(Path::to_owned);
        settings.config_folders = beside.into_iter().chain(user.config_folders()).collect();
        for wrong in &mut wrong {
            wrong.place = given.place(wrong.key);
        }
        wrong.sort_by_key(|wrong| given.spot(wrong.key));
        if wrong.is_empty() { Ok(settings) } else { Err(wrong) }
    }

    /// What was given comes to so far, in these directories unless it says otherwise; and what is wrong or missing.
    pub fn read(given: &Given, dirs: Dirs) -> (Self, Vec<SettingError>) {
        let mut settings = Settings { dirs, ..Settings::default() };
        // The flags first: how values are read depends on them.
        let (flags, values): (Vec<_>, Vec<_>) = ROWS.iter().partition(|row| row.is_flag());
        for flag in flags.into_iter().filter(|flag| given.is_on(flag.key)) {
            let _ = (flag.field.read)(&mut settings, OsStr::new(given::ON));
        }
        let mut wrong: Vec<_> =
            values.into_iter().filter_map(|row| settings.take(row, given.value(row.key)).err()).collect();
        let first = versions::first(&settings.versions).map(|version| version.start_command.clone());
        // If the versions are wrong, nobody knows whether they have one.
        let may_have_one = first.is_some() || wrong.iter().any(|wrong| wrong.key == "version");
        if may_have_one && given.lacks("start_command") {
            wrong.retain(|wrong| wrong.key != "start_command");
        }
        settings.criteria.start_command = settings.start_command.clone().or(first).unwrap_or_default();
        settings.limits.has_probe = settings.probe.is_some();
        settings.limits.has_stop_command = settings.stop_command.is_some();
        settings.gives_stop_timeout = !given.lacks("stop_timeout");
        if !given.lacks("state_dir") {
            (settings.dirs.old_state, settings.dirs.is_usual) = (None, false);
        }
        if given.lacks("name") {
            // An instance with a file of its own is called as the file is.
            let from_pattern = || Name::from_pattern(settings.criteria.pattern.text());
            settings.name = given.instance.clone().unwrap_or_else(from_pattern);
        }
        if settings.depends_on.contains(&settings.name) {
            let (what, instead) = ("it cannot wait for itself", "remove its own name");
            wrong.push(SettingError::unfit("depends_on", given, what, instead));
        }
        settings.doubt.clone_from(&given.doubt);
        (settings, wrong)
    }

    /// Takes the value of one setting, or its default.
    ///
    /// # Errors
    /// It is wrong, or missing.
    pub fn take(&mut self, row: &Row, given: Option<&OsStr>) -> Result<(), SettingError> {
        let value = match (given, row.unset) {
            (Some(given), _) => given,
            (None, Unset::Is(default)) => default.as_ref(),
            (None, Unset::Required(example)) => {
                return Err(SettingError::missing(row.key, "missing", example));
            }
            (None, Unset::Nothing(..) | Unset::Derived(_)) => return Ok(()),
        };
        check(row.key, value, |value| (row.field.read)(self, value))
    }

    /// What decides, `process_name 'x', health_check_interval 1s`: when a start comes, and all else that is not as
    /// by default.
    pub fn for_the_log(&self) -> String {
        let default = self.defaults();
        let shown = ROWS.iter().filter(|row| row.decides).filter_map(|row| {
            let is_always_shown = matches!(row.unset, Unset::Is(_)) && row.is_of_starts();
            if !is_always_shown && !self.differs(row, &default) {
                return None;
            }
            let value = (row.field.show)(self);
            // The values of a table may be secrets.
            let names = values::parts::<Table>(&value).ok().filter(|_| row.form == Form::Table);
            let value = names.map_or(value, |table| table.into_keys().collect::<Vec<_>>().join(" "));
            let quote = if matches!(row.unset, Unset::Required(_)) { "'" } else { "" };
            Some(format!("{} {quote}{value}{quote}", row.key))
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    /// Whether a setting is not as by default.
    fn differs(&self, row: &Row, default: &Settings) -> bool {
        (row.field.show)(self) != (row.field.show)(default)
    }

    /// The settings where nothing is given.
    fn defaults(&self) -> Settings {
        Settings::read(&Given::default(), self.dirs.clone()).0
    }

    /// Each setting in force, or those that are not as by default: its key, its value, and where that comes from.
    pub fn in_force(&self, given: &Given, all: bool) -> Vec<Vec<String>> {
        let default = self.defaults();
        let is_shown = |row: &&Row| match row.unset {
            // What these are by default depends on others.
            Unset::Derived(_) => all || given.value(row.key).is_some(),
            // Where versions have it, it is nothing.
            Unset::Required(_) => self.differs(row, &default),
            Unset::Is(_) | Unset::Nothing(..) => all || self.differs(row, &default),
        };
        let value = |row: &Row| match (given.value(row.key), row.unset) {
            // It is carried as a list of texts.
            (Some(given), _) if row.key != "exit_codes" => given.to_string_lossy().into_owned(),
            (None, Unset::Is(default) | Unset::Nothing(default, _)) => default.to_owned(),
            _ => (row.field.show)(self),
        };
        let rows = table::settings().filter(is_shown);
        rows.map(|row| vec![row.key.to_owned(), value(row), given.source(row.key)]).collect()
    }
}

/// What to type to say `command` to the watchdog `name`, whose state is in this directory if not in the usual one.
pub fn order(command: &str, name: &Name, state_dir: Option<&OsStr>) -> String {
    let place = state_dir.map(|folder| format!(" --state-dir {}", quoted(folder))).unwrap_or_default();
    escaped(&format!("watchdog {command} {name}{place}"))
}

/// Reads one value, of the setting `key`.
///
/// # Errors
/// What is wrong with it.
pub fn check<'a, T>(
    key: &'static str,
    given: &'a OsStr,
    read: impl FnOnce(&'a OsStr) -> Reading<T>,
) -> Result<T, SettingError> {
    read(given).map_err(|it| SettingError::new(key, Some(given), &it.what, &it.instead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::cli::Cli;
    use crate::settings::values::{interval, signal, stop_signal, stop_timeout, time};

    fn read(line: &[&str]) -> Result<Settings, Vec<SettingError>> {
        let typed = Cli::parse([&["watchdog"], line].concat()).unwrap();
        Settings::new(&typed.given, &User::current())
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
                has_probe: false,
                probe_interval: seconds(10),
                probe_start_period: seconds(60),
                probe_failures: 3,
                on_unhealthy: OnUnhealthy::Restart,
                has_stop_command: false,
                stop_timeout: Some(seconds(30)),
                kill_mode: KillMode::Process,
                autorestart: Autorestart::Always,
            }
        );
        assert_eq!((settings.probe, settings.probe_timeout), (None, seconds(10)));
        assert_eq!(settings.exit_codes, BTreeSet::from([0]));
        assert_eq!((settings.stop_command, settings.stop_signal), (None, libc::SIGTERM));
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
        assert_eq!(time("0"), Ok(Duration::ZERO));
        assert!(time("-0.1").is_err());
    }

    #[test]
    fn signals_that_end_a_process_have_names_and_numbers() {
        for (text, number, shown) in [
            ("TERM", 15, "TERM"),
            ("sigint", 2, "INT"),
            (" 3 ", 3, "QUIT"),
            ("winch", 28, "WINCH"),
            ("34", 34, "34"),
        ] {
            assert_eq!(stop_signal(text), Ok(number), "{text}");
            assert_eq!((signal(&number).as_str(), stop_signal(shown)), (shown, Ok(number)));
        }
        for text in [
            "",
            "SIG",
            "x",
            "0",
            "-15",
            "32",
            "33",
            "65",
            "+",
            "STOP",
            "TSTP",
            "KILL",
            "CONT",
            "CHLD",
            "17",
            "SIGSIGTERM",
        ] {
            assert!(stop_signal(text).is_err(), "{text:?}");
        }
        assert_eq!(stop_timeout("never"), Ok(None));
        assert!(stop_timeout("0").is_err() && stop_timeout("ever").is_err());
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
        let options: Vec<_> = wrong.iter().map(|wrong| table::option(wrong.key)).collect();
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
            assert_eq!(options.iter().filter(|name| *name == option).count(), 1, "{option} in {options:?}");
        }
        assert_eq!(options.len(), 15);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_type() {
        for (line, said) in [
            (
                vec!["-m", "abc"],
                "--max-fail-count 'abc': not a whole number; give 1 to 1000000, such as 3, or 'unlimited'",
            ),
            (
                vec!["-m", "-1"],
                "--max-fail-count '-1': too small; give 1 to 1000000, such as 3, or 'unlimited'",
            ),
            (
                vec!["-m", "4294967297"],
                "--max-fail-count '4294967297': too large; give 1 to 1000000, such as 3, or 'unlimited'",
            ),
            (
                vec!["-m", "unlimited", "--once"],
                "--max-fail-count 'unlimited': cannot be combined with --once; give a number, such as 3, or leave out --once",
            ),
            (
                vec!["-i", "\x1b[2J"],
                "--health-check-interval '\\u{1b}[2J': not a time; give seconds (5, 0.5) or units (90s, 1m 30s)",
            ),
            (
                vec!["--probe", "https://localhost/"],
                "--probe 'https://localhost/': is not built in; give the command curl -fsS -o /dev/null 'https://localhost/'",
            ),
            (
                vec!["--probe", "tcp://localhost:0"],
                "--probe 'tcp://localhost:0': '0' is no port; give a number from 1 to 65535",
            ),
            (
                vec!["--probe-start-period", "2d"],
                "--probe-start-period '2d': is longer than a day, in which nothing would be done; give 1d or less, such as 60s",
            ),
            (
                vec!["--stop-signal", "STOP"],
                "--stop-signal 'STOP': suspends a process and does not end it; give a name or a number, such as TERM, INT, QUIT or 15",
            ),
            (
                vec!["--stop-signal", "9"],
                "--stop-signal '9': leaves no time to end in order; give TERM: what does not heed it is killed after --stop-timeout",
            ),
            (vec!["--kill-mode", "group"], "--kill-mode 'group': is neither; give process or mixed"),
            (
                vec!["--log-max-size", "1 PiB"],
                "--log-max-size '1 PiB': too large; give 4KiB to 1TiB, such as 1MiB, or a number of bytes",
            ),
        ] {
            let wrong = with(&line).unwrap_err();
            assert_eq!(wrong.iter().map(SettingError::to_string).collect::<Vec<_>>(), [said]);
        }
        let missing = read(&[]).unwrap_err();
        assert_eq!(
            missing.iter().map(SettingError::to_string).collect::<Vec<_>>(),
            [
                "--process-name: missing; add it, for example: --process-name docker",
                "--start-command: missing; add it, for example: --start-command 'service docker start'"
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
            assert_eq!(said.iter().map(|wrong| table::option(wrong.key)).collect::<Vec<_>>(), wrong);
        }
    }

    #[test]
    fn what_is_wrong_reaches_for_no_terminal() {
        let wrong = hours::windows(r#"["a\u001b[2Jb"]"#).unwrap_err();
        assert!(wrong.what.contains('\u{1b}'), "it quotes the value");
        let error = SettingError { key: "active_hours", place: None, value: None, wrong };
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}
