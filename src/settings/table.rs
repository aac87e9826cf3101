//! The table of settings: an option is one row. The command line, the configuration file, the defaults, the
//! questions, the list of `--dry-run`, the fingerprint, the manual pages and the completions come from it.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::ValueHint;

use self::Unset::{Derived, Is, Nothing, Required};
use crate::settings::check::Check;
use crate::settings::given::OFF;
use crate::settings::hook;
use crate::settings::hours::windows;
use crate::settings::name::{self, Name};
use crate::settings::pattern::{Extent, Pattern};
use crate::settings::values::{
    Table, as_json, command, count, env, exact, exit_codes, failures, folder, interval, is_early_in_boot,
    list, listed, log_files, log_size, names, on_or_off, or, path, pattern, pid_file, run_as, signal,
    start_command, start_period, stop_signal, stop_timeout, text, time, umask, user, working_directory,
};
use crate::settings::versions::{self, versions};
use crate::settings::{
    Autorestart, KillMode, Namespace, OnUnhealthy, OutsideHours, Reading, Settings, Subject, Verbosity, wrong,
};
use crate::task::account::RunAs;

/// One option.
pub struct Row {
    /// Its key in a configuration file. Its long option has dashes in place of the underscores.
    pub key: &'static str,
    /// Its short option.
    pub letter: Option<char>,
    /// The heading under which help and manual show it.
    pub group: &'static str,
    /// What it takes; `None` if it is on or off.
    pub takes: Option<Takes>,
    /// What it is, in a line.
    pub help: &'static str,
    /// The same on the one screen of `-h`; empty if it is not there.
    pub brief: &'static str,
    /// What the manual says besides: `...` is typed or printed as it stands.
    pub more: &'static str,
    /// A value as it may stand in a configuration file.
    pub example: &'static str,
    /// Where it may be given.
    pub place: Place,
    /// What its value looks like in a configuration file, unless it is a flag.
    pub form: Form,
    /// What it is if nobody gives it.
    pub unset: Unset,
    /// The question for it, if it is asked for when something required is missing.
    pub question: Option<&'static str>,
    /// What it sets.
    pub field: Field,
    /// Whether a watch with another value is another watch.
    pub decides: bool,
}

/// What an option sets.
pub struct Field {
    /// Reads a value into the settings; a flag is given to be on.
    pub read: fn(&mut Settings, &OsStr) -> Reading<()>,
    /// The value in force, as it could be typed: one text for all that mean the same.
    pub show: fn(&Settings) -> String,
}

/// What an option takes.
#[derive(Debug, Clone, Copy)]
pub struct Takes {
    /// Its name in the help. One with a `|` lists all values that there are.
    pub name: &'static str,
    /// What it is, for the manual. A range `A to B` is tried by the tests.
    pub range: &'static str,
    /// What shells offer for it.
    pub hint: ValueHint,
}

/// Where an option may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the command line and in a configuration file.
    Anywhere,
    /// On the command line alone.
    CommandLine,
    /// On the command line alone, by its letter.
    Letter,
    /// In a configuration file alone.
    File,
}

/// The form of a value in a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A text, or a number. It is read as it stands.
    Text,
    /// A list of texts and numbers, or one of them. `values::list` reads it.
    List,
    /// A table of texts and numbers. `values::parts` reads it.
    Table,
    /// A list of tables. `values::parts` reads each.
    Tables,
}

/// What a setting is if nobody gives it.
#[derive(Debug, Clone, Copy)]
pub enum Unset {
    /// It has to be given, for example as this.
    Required(&'static str),
    /// This, as it would be typed.
    Is(&'static str),
    /// No value: what the list of settings in force says, and what the help says, if anything.
    Nothing(&'static str, Option<&'static str>),
    /// What other settings or the user make it, as the help says.
    Derived(&'static str),
}

const WATCH: &str = "Which process";
const START: &str = "Start command";
const WHEN: &str = "Timing";
const WHETHER: &str = "Whether it should run";
const HEALTH: &str = "Health";
const STOP: &str = "Stopping";
const TELL: &str = "Telling people";
const RUN: &str = "Running";
const LOGS: &str = "Logs";

const fn takes(name: &'static str, range: &'static str) -> Option<Takes> {
    hinted(name, range, ValueHint::Unknown)
}

#[expect(clippy::unnecessary_wraps)] // as a row has it
const fn hinted(name: &'static str, range: &'static str, hint: ValueHint) -> Option<Takes> {
    Some(Takes { name, range, hint })
}

const NAME: Option<Takes> = takes("NAME", "text");
const INTERVAL: Option<Takes> = takes("TIME", "time, 10ms to 365d");
const DELAY: Option<Takes> = takes("TIME", "time, 0 to 365d");
const COMMAND: Option<Takes> = hinted("COMMAND", "text", ValueHint::CommandString);
const FOLDER: Option<Takes> = hinted("DIR", "text", ValueHint::DirPath);
const NONE: Unset = Nothing("none", None);

macro_rules! field {
    // Of what is given, where other settings matter too.
    ($($field:ident).+, |$settings:ident, $given:ident| $read:expr, $show:expr) => {
        Field {
            read: |$settings, $given| {
                $settings.$($field).+ = $read;
                Ok(())
            },
            show: |settings| $show(&settings.$($field).+),
        }
    };
    // Of a text.
    ($($field:ident).+, $read:expr, $show:expr) => {
        field!($($field).+, |settings, given| $read(text(given)?)?, $show)
    };
    // Of a text, where there may be none.
    ($($field:ident).+ or none, $read:expr, $show:expr) => {
        field!($($field).+, |settings, given| Some($read(text(given)?)?),
            |it: &Option<_>| or(it.as_ref().map($show), "none"))
    };
    // Of one of a few words.
    ($($field:ident).+: $($word:literal = $value:path),+; $what:literal, $instead:literal) => {
        field!(
            $($field).+,
            |settings, given| match text(given)? {
                $($word => $value,)+
                _ => return wrong($what, $instead),
            },
            |it: &_| match it { $($value => $word.to_owned(),)+ }
        )
    };
    // Of a flag.
    ($($field:ident).+ = $on:expr) => {
        field!($($field).+, |settings, _given| $on, |it: &_| on_or_off(*it == $on))
    };
}

/// A user, who may be unknown for a while after a boot.
const USER: Field = Field {
    read: |settings, given| {
        let text = text(given)?;
        let found = user(text);
        let is_early = found.is_err() && is_early_in_boot();
        settings.criteria.unknown_user = is_early.then(|| text.to_owned());
        settings.criteria.user = if is_early { None } else { Some(found?) };
        Ok(())
    },
    show: |Settings { criteria, .. }| {
        criteria.unknown_user.clone().unwrap_or_else(|| or(criteria.user, "any"))
    },
};

/// What a hook is run on, if nobody says otherwise.
const USUAL_EVENTS: &str = r#"["died","gave-up","recovered","unhealthy","stop-failed"]"#;

/// A row that says nothing but what most do: a flag, to be set anywhere.
const ROW: Row = Row {
    key: "",
    letter: None,
    group: "",
    takes: None,
    help: "",
    brief: "",
    more: "",
    example: "true",
    place: Place::Anywhere,
    form: Form::Text,
    unset: Nothing(OFF, None),
    question: None,
    field: Field { read: |_, _| Ok(()), show: |_| String::new() },
    decides: true,
};

/// Each option, in the order in which they are shown and asked for.
#[rustfmt::skip] // a table is read in columns
pub static ROWS: &[Row] = &[
    Row { key: "process_name", group: WATCH, letter: Some('p'), unset: Required("docker"), takes: NAME,
        example: "\"^nginx$\"", question: Some("Process name"), brief: "Process name, a regular expression",
        help: "Process name: a regular expression that may match any part of the name, as in pgrep",
        more: "Upper and lower case differ. Which processes count: rules 1 to 7 of `watchdog`(1).",
        field: field!(criteria.pattern, |it, given| pattern(text(given)?, it.criteria.pattern.extent)?,
            |it: &Pattern| it.text().to_owned()), ..ROW },
    Row { key: "exact", group: WATCH, letter: Some('x'), help: "Match the whole name, not a part of it",
        field: field!(criteria.pattern.extent = Extent::Whole), ..ROW },
    Row { key: "full", group: WATCH, letter: Some('f'), help: "Match the command line instead of the name",
        more: "The arguments are joined by blanks.",
        field: field!(criteria.subject = Subject::CommandLine), ..ROW },
    Row { key: "user", group: WATCH, letter: Some('u'), unset: Nothing("any", None),
        takes: hinted("USER", "text, or number", ValueHint::Username), example: "\"www-data\"",
        help: "Count only processes of this effective user (name or number)",
        field: USER, ..ROW },
    Row { key: "pid_namespace", group: WATCH, unset: Is("own"), takes: takes("own|any", "`\"own\"` or `\"any\"`"),
        example: "\"any\"", help: "own: only processes of this machine or container; any: those in its containers too",
        more: "With `own`, a container's process does not stand in for the machine's.",
        field: field!(criteria.namespace: "own" = Namespace::Own, "any" = Namespace::Any; "unknown", "give own or any"), ..ROW },
    Row { key: "pid_file", group: WATCH, unset: NONE, takes: hinted("FILE", "text", ValueHint::FilePath),
        example: "\"/run/nginx.pid\"", help: "Count only the process whose pid is in this file",
        more: "It has to match too: a number alone may be another process's by now. Cannot be combined with \
            `--pid-namespace any`.",
        field: field!(criteria.pid_file, |it, given| pid_file(given, it.criteria.namespace)?,
            |it: &Option<_>| or(it.as_deref().map(path), "none")), ..ROW },
    Row { key: "start_command", group: START, letter: Some('s'), unset: Required("'service docker start'"),
        takes: COMMAND, example: "\"service nginx start\"", question: Some("Start command"),
        brief: "Command that starts the process", help: "Command that starts the process, run by /bin/sh -c",
        more: "It may return, or stay and be the process itself.",
        field: field!(start_command, |text| start_command(text).map(Some), |it: &Option<_>| or(it.as_ref(), "")), ..ROW },
    Row { key: "start_timeout", group: START, unset: Is("100s"), takes: INTERVAL, example: "\"3m\"",
        help: "Longest time that the command may run while the process is missing",
        more: "Then the command's process group is ended, and the attempt has failed.",
        field: field!(limits.start_timeout, interval, exact), ..ROW },
    Row { key: "env", group: START, place: Place::File, form: Form::Table, unset: NONE,
        takes: takes("TABLE", "table of texts"), example: "{ LANG = \"C.UTF-8\" }",
        help: "Environment variables of the start command, the stop command and the probe",
        more: "Values are literal: no `$` and no `%` is expanded. What begins with `WATCHDOG_`, and what systemd says to \
            the watchdog\nalone, cannot be set. The log has the names alone.",
        field: field!(profile.env, env, |it: &Table| or((!it.is_empty()).then(|| as_json(it)), "none")), ..ROW },
    Row { key: "working_directory", group: START, place: Place::File, unset: NONE,
        takes: hinted("DIR", "text", ValueHint::DirPath), example: "\"/srv/app\"", help: "Directory in which they run",
        more: "If it cannot be entered, the start has failed. Without it they run where the watchdog was started.",
        field: field!(profile.directory or none, working_directory, |it: &PathBuf| path(it)), ..ROW },
    Row { key: "umask", group: START, place: Place::File, unset: NONE,
        takes: takes("MASK", "text of three or four octal digits"), example: "\"027\"",
        help: "Permissions that files which they make do not get",
        field: field!(profile.umask or none, umask, |it| format!("{it:03o}")), ..ROW },
    Row { key: "run_as", group: START, place: Place::File, unset: NONE,
        takes: hinted("USER[:GROUP]", "text", ValueHint::Username), example: "\"daemon:daemon\"",
        help: "User, and perhaps group, that they run as; for root's watchdog",
        more: "With the user's groups, `HOME`, `USER`, `LOGNAME` and `SHELL`. `user` is something else: it says whose \
            processes\ncount.",
        field: field!(profile.run_as or none, run_as, RunAs::to_string), ..ROW },
    Row { key: "health_check_interval", group: WHEN, letter: Some('i'), unset: Is("1s"), takes: INTERVAL,
        example: "\"10s\"", question: Some("Health check interval"), brief: "Time between two checks",
        help: "Time between two checks",
        more: "A death is noticed at once, whatever the interval, on Linux 5.3 and newer.",
        field: field!(limits.health_check_interval, interval, exact), ..ROW },
    Row { key: "restart_wait_interval", group: WHEN, letter: Some('w'), unset: Is("5s"), takes: INTERVAL,
        example: "\"15s\"", question: Some("Restart wait interval"), brief: "Judge a start after this time",
        help: "Time from the start command until the attempt is judged",
        more: "An attempt is judged once, then; the next one follows no earlier.",
        field: field!(limits.restart_wait_interval, interval, exact), ..ROW },
    Row { key: "max_fail_count", group: WHEN, letter: Some('m'), unset: Is("3"),
        takes: takes("N", "number, 1 to 1000000, or `\"unlimited\"`"), example: "5", question: Some("Max fail count"),
        brief: "Give up after N failures in a row",
        help: "Give up after this many failed attempts in a row: 1 or more, or 'unlimited'",
        more: "`unlimited` cannot be combined with `--once`.",
        field: field!(limits.max_fail_count, |it, given| count(text(given)?, it.limits.once)?,
            |it: &Option<u32>| or(*it, "unlimited")), ..ROW },
    Row { key: "stable_after", group: WHEN, unset: Is("60s"), takes: DELAY, example: "\"5m\"",
        help: "Forget failures when the process has run for this time",
        more: "With 0, each attempt that succeeds forgets them.",
        field: field!(limits.stable_after, time, exact), ..ROW },
    Row { key: "restart_delay", group: WHEN, unset: Is("100ms"), takes: DELAY, example: "\"1s\"",
        help: "Wait before restarting after a crash or a kill",
        field: field!(limits.restart_delay, time, exact), ..ROW },
    Row { key: "after_stop", group: WHEN, unset: Is("3s"), takes: DELAY, example: "\"30s\"",
        help: "Wait before restarting after a deliberate stop or an unknown cause",
        more: "Somebody may be restarting it: a stop on purpose is status 0, SIGTERM, SIGINT or SIGHUP.",
        field: field!(limits.after_stop, time, exact), ..ROW },
    // `--once` always has later rounds: each run is one.
    Row { key: "retry_after", group: WHEN,
        unset: Nothing("none; 10m with --once", Some("exit instead; 10m with --once")), takes: INTERVAL,
        example: "\"10m\"", help: "Try again this long after giving up, doubling up to 1h",
        more: "With `--once` it is 10 minutes if not given.",
        field: field!(limits.retry_after or none, interval, exact), ..ROW },
    Row { key: "active_hours", group: WHETHER, place: Place::File, form: Form::List, unset: NONE,
        takes: takes("WINDOWS", "a list of texts: days, hours, or both"), example: "[\"mon-fri 08:00-18:00\"]",
        help: "Hours in which it should run: outside of them it is not started",
        more: "Days are `mon`, `mon-fri`, `mon,wed`; hours `08:00-18:00`. A window over midnight belongs to the day on \
            which it began.\nLocal time counts.",
        field: field!(active_hours, windows, listed), ..ROW },
    Row { key: "outside_hours", group: WHETHER, place: Place::File, unset: Is("leave"),
        takes: takes("leave|stop", "`\"leave\"` or `\"stop\"`"), example: "\"stop\"",
        help: "What to do when a window of `active_hours` ends: leave it running, or stop it once",
        field: field!(outside_hours: "leave" = OutsideHours::Leave, "stop" = OutsideHours::Stop;
            "is neither", "give leave or stop"), ..ROW },
    Row { key: "version", group: WHETHER, place: Place::File, form: Form::Tables, unset: NONE,
        takes: takes("VERSIONS", "tables, each `[[version]]`"),
        example: "[{ apply_on = 2027-01-31T08:00:00, start_command = \"service nginx start\" }]",
        help: "Versions of the start command, each from its date on",
        more: "A version has `apply_on` (a local date and time), `start_command`, and perhaps `fake = true`, which \
            takes it back. The newest\nthat is due gives the start command. When another comes into force, the \
            process is stopped and started.",
        field: field!(versions, versions, versions::shown), ..ROW },
    Row { key: "autorestart", group: WHETHER, place: Place::File, unset: Is("always"),
        takes: takes("always|unexpected|never", "`\"always\"`, `\"unexpected\"` or `\"never\"`"),
        example: "\"unexpected\"", help: "Whether it is started again when it has ended",
        more: "unexpected: not if it ended with one of `exit_codes`, or by SIGTERM, SIGINT or SIGHUP. never: not once it \
            has run.\nThen it is left alone until somebody starts it, or a reboot. They cannot be combined with `--once`.",
        field: field!(limits.autorestart: "always" = Autorestart::Always, "unexpected" = Autorestart::Unexpected,
            "never" = Autorestart::Never; "is none of the three", "give always, unexpected or never"), ..ROW },
    Row { key: "exit_codes", group: WHETHER, place: Place::File, form: Form::List, unset: Is("[0]"),
        takes: takes("CODES", "list of numbers, 0 to 255"), example: "[0, 3]",
        help: "Statuses with which it ends as expected, for `autorestart`",
        field: field!(exit_codes, exit_codes, as_json), ..ROW },
    Row { key: "depends_on", group: WHETHER, place: Place::File, form: Form::List, unset: NONE,
        takes: takes("NAMES", "list of texts"), example: "[\"db\"]",
        help: "Watchdogs whose processes have to run, and to be healthy, before it is started",
        more: "One that has finished will do. After five minutes it is started anyway. It is not stopped or restarted \
            for what\nhappens to them later.",
        field: field!(depends_on, names, listed), ..ROW },
    Row { key: "probe", group: HEALTH, unset: NONE, takes: hinted("CHECK", "text", ValueHint::CommandString),
        example: "\"http://127.0.0.1/\"", brief: "Test whether it works: command or http://",
        help: "Test of whether it works: a command, http://HOST[:PORT]/PATH, tcp://HOST:PORT, unix:/PATH or file:/PATH",
        more: "A command says with status 0 that it works, and with 75, 126 or 127 that it cannot tell. `http://` wants \
            a status from\n200 to 399. For a hung server too the kernel accepts connections, which is all that `tcp://` \
            and `unix:` want. A\nfile has to change from one test to the next.",
        field: field!(probe or none, Check::read, Check::to_string), ..ROW },
    Row { key: "probe_interval", group: HEALTH, unset: Is("10s"), takes: INTERVAL, example: "\"30s\"",
        help: "Time from the end of a probe to the next",
        field: field!(limits.probe_interval, interval, exact), ..ROW },
    Row { key: "probe_timeout", group: HEALTH, unset: Is("10s"), takes: INTERVAL, example: "\"2s\"",
        help: "How long a probe may take; then it is killed, and has failed",
        field: field!(probe_timeout, interval, exact), ..ROW },
    Row { key: "probe_start_period", group: HEALTH, unset: Is("60s"), takes: takes("TIME", "time, 0 to 1d"),
        example: "\"5m\"", help: "How long after its start failures do not count, unless a probe has succeeded",
        field: field!(limits.probe_start_period, start_period, exact), ..ROW },
    Row { key: "probe_failures", group: HEALTH, unset: Is("3"), takes: takes("N", "number, 1 to 1000000"),
        example: "5", help: "Failed probes in a row after which it is unhealthy",
        field: field!(limits.probe_failures, failures, u32::to_string), ..ROW },
    Row { key: "on_unhealthy", group: HEALTH, unset: Is("restart"),
        takes: takes("restart|warn", "`\"restart\"` or `\"warn\"`"), example: "\"warn\"",
        help: "What to do then: stop it and start it, or only say so",
        field: field!(limits.on_unhealthy: "restart" = OnUnhealthy::Restart, "warn" = OnUnhealthy::Warn;
            "is neither", "give restart or warn"), ..ROW },
    Row { key: "stop_command", group: STOP, unset: NONE, takes: COMMAND, example: "\"service nginx stop\"",
        help: "Command that stops it, run by /bin/sh -c",
        more: "If it fails, hangs or does nothing, the signal follows.",
        field: field!(stop_command or none,
            |text| command(text, "would stop nothing", "give a shell command, such as 'service docker stop'"), String::clone), ..ROW },
    Row { key: "stop_signal", group: STOP, unset: Is("TERM"), takes: takes("SIGNAL", "text, or number"),
        example: "\"QUIT\"", help: "Signal that ends it, by name or number",
        field: field!(stop_signal, stop_signal, signal), ..ROW },
    Row { key: "stop_timeout", group: STOP, unset: Is("30s"),
        takes: takes("TIME", "time, 10ms to 365d, or `\"never\"`"), example: "\"never\"",
        help: "How long the command and the signal have, each, before it is killed; or 'never'",
        more: "With `never`, for databases, it is not killed, and the command has 30s.",
        field: field!(limits.stop_timeout, stop_timeout,
            |it: &Option<_>| or(it.as_ref().map(exact), "never")), ..ROW },
    Row { key: "kill_mode", group: STOP, unset: Is("process"),
        takes: takes("process|mixed", "`\"process\"` or `\"mixed\"`"), example: "\"mixed\"",
        help: "What is ended when it is gone: nothing more, or all its descendants",
        more: "If it had to be killed, those of its descendants that never called exec(2), such as workers, are ended \
            in both modes.",
        field: field!(limits.kill_mode: "process" = KillMode::Process, "mixed" = KillMode::Mixed;
            "is neither", "give process or mixed"), ..ROW },
    Row { key: "hook", group: TELL, decides: false, unset: NONE, takes: COMMAND,
        example: "\"/usr/share/process-watchdog/hooks/mail root\"",
        brief: "Run this when it dies, and when it is back",
        help: "Command that is run when something happens, to tell people",
        more: "It gets the event in its environment, and a message on its standard input. `watchdog test-hook` tries it.",
        field: field!(hook or none, hook::hook, String::clone), ..ROW },
    Row { key: "hook_events", group: TELL, place: Place::File, form: Form::List, decides: false,
        unset: Nothing(USUAL_EVENTS, Some(USUAL_EVENTS)), takes: takes("EVENTS", "list of events"),
        example: r#"["gave-up", "recovered"]"#, help: "What the hook is run on",
        more: "Also possible: `started`, `failed`, `healthy`, `stopped`.",
        field: field!(hook_events, |it, given| hook::events(it.hook.as_ref(), text(given)?)?, as_json), ..ROW },
    Row { key: "output_pattern", group: TELL, place: Place::File, form: Form::List, decides: false, unset: NONE,
        takes: takes("PATTERNS", "list of regular expressions"), example: r#"["ERROR|FATAL"]"#,
        help: "Run the hook for new lines of the output log that match one of these",
        more: "Each is a regular expression. A line counts when it is complete.",
        field: field!(output_pattern, |it, given| hook::patterns(it.hook.as_ref(), text(given)?)?,
            |it: &Vec<_>| listed(&it.iter().map(Pattern::text).collect::<Vec<_>>())), ..ROW },
    Row { key: "config", group: RUN, letter: Some('c'), place: Place::CommandLine, decides: false,
        takes: hinted("FILE", "text", ValueHint::FilePath), brief: "Configuration file, or its name",
        help: "Configuration file: a path, or a name for /etc/watchdog/NAME.toml",
        more: "A name with a `/` in it, or with `.toml` at its end, is a path. For other users than root a name is \
            looked for in\n`~/.config/watchdog` first. See `watchdog.toml`(5).", ..ROW },
    Row { key: "include", group: RUN, place: Place::File, form: Form::List, decides: false, unset: Derived("none"),
        takes: hinted("FILES", "list of texts", ValueHint::FilePath), example: "[\"common.inc\"]",
        help: "Files whose settings count where this file does not have them",
        more: "A path is relative to this file. Of several files, the later one takes precedence. Tables are merged. An \
            included\nfile cannot include others.",
        field: Field { read: |_, given| list(text(given)?).map(drop), show: |_| "none".to_owned() }, ..ROW },
    Row { key: "name", group: RUN, decides: false, unset: Derived("made from the process name"), takes: NAME,
        example: "\"web@2\"", help: "Name of this watchdog and its files",
        more: "Up to 64 letters, digits and `. _ @ : -`, not beginning with a dot or a dash. With a configuration \
            file, the\ndefault is the file's name without `.toml`.",
        field: field!(name, name::name, Name::to_string), ..ROW },
    Row { key: "once", group: RUN, brief: "Check once and exit, for cron",
        help: "Check once, start the process if it is missing, and exit; for cron and timers",
        more: "What was seen, and a give-up, are remembered until the next run.",
        field: field!(limits.once = true), ..ROW },
    Row { key: "dry_run", group: RUN, place: Place::CommandLine, decides: false,
        brief: "Show what it would do, and do nothing", help: "Show what it would do, and do nothing",
        more: "It shows the settings and where each comes from (in a terminal, those that differ from their defaults), what matches, what nearly does and why not, \
            and what the\nsame line would do here and now: a process that is paused or given up is not started, nor \
            one whose watchdog is running.\nStatus 0: the process is running; 1: it is not; 3: unknown. In a pipe, \
            each line is a kind\n(`setting`, `match`, `near`, `environment`, `warning`, `would`) and its fields, with tabs between.", ..ROW },
    Row { key: "no_input", group: RUN, decides: false, help: "Never ask; refuse if something required is missing",
        more: "Status 2 then names all that is missing.", ..ROW },
    Row { key: "state_dir", group: RUN, decides: false,
        unset: Derived("/run/watchdog, for ordinary users ~/.local/state/watchdog"), takes: FOLDER,
        example: "\"/run/watchdog\"", help: "Directory of lock and state",
        more: "Give the same directory to `status` and the other commands.",
        field: field!(dirs.state, |_it, given| folder(given, "give a directory, such as /run/watchdog")?, path), ..ROW },
    Row { key: "log_dir", group: LOGS, decides: false,
        unset: Derived("/var/log/watchdog, for ordinary users ~/.local/state/watchdog"), takes: FOLDER,
        example: "\"/var/log/watchdog\"", help: "Directory of the logs",
        field: field!(dirs.logs, |_it, given| folder(given, "give a directory, such as /var/log/watchdog")?, path), ..ROW },
    Row { key: "log_max_size", group: LOGS, unset: Is("1MiB"), takes: takes("SIZE", "size, 4KiB to 1TiB"),
        example: "\"10MiB\"", help: "Rotate a log at this size",
        more: "This is for the log and for the output log, each.",
        field: field!(log_max_size, log_size, u64::to_string), ..ROW },
    Row { key: "log_max_files", group: LOGS, unset: Is("5"), takes: takes("N", "number, 0 to 1000"), example: "10",
        help: "Keep this many older logs",
        field: field!(log_max_files, log_files, usize::to_string), ..ROW },
    Row { key: "verbose", group: LOGS, letter: Some('v'), place: Place::Letter, decides: false,
        help: "Print all records on standard error",
        more: "Warnings, errors and information.",
        field: field!(verbosity = Some(Verbosity::Information)), ..ROW },
    Row { key: "quiet", group: LOGS, letter: Some('q'), place: Place::Letter, decides: false,
        help: "Print only errors on standard error",
        more: "Errors alone.",
        field: field!(verbosity = Some(Verbosity::Quiet)), ..ROW },
];

/// The row of a key.
pub fn row(key: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.key == key)
}

/// The rows that have a key in a configuration file.
pub fn settings() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| matches!(row.place, Place::Anywhere | Place::File))
}

/// The rows that are options of the command line.
pub fn options() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| row.place != Place::File)
}

impl Row {
    /// Whether it is on or off.
    pub fn is_flag(&self) -> bool {
        self.takes.is_none()
    }

    /// Whether it decides when a start comes.
    pub fn is_of_starts(&self) -> bool {
        [START, WHEN].contains(&self.group)
    }

    /// The option as it is typed.
    pub fn option(&self) -> String {
        match (self.place, self.letter) {
            (Place::Letter, Some(letter)) => format!("-{letter}"),
            (Place::File, _) => self.key.to_owned(),
            _ => option(self.key),
        }
    }

    /// The default as the help says it.
    pub fn default_in_help(&self) -> Option<&'static str> {
        match self.unset {
            Is(default) | Derived(default) => Some(default),
            Nothing(_, default) => default,
            Required(_) => None,
        }
    }
}

/// The option of a key, as it is typed.
pub fn option(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}
