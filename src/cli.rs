//! What was typed. Nothing is judged here: each setting is optional, and any text.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{Args, Parser};

/// Keeps one named process running: looks for it, starts it when it is missing, says why it died.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "watchdog", version, max_term_width = 100)]
#[command(override_usage = "watchdog --process-name NAME --start-command COMMAND [OPTIONS]\n       watchdog")]
#[command(
    after_help = "TIME is a number of seconds (5, 0.5) or has units (90s, 1m 30s). What is required and not \
                        given is asked for.\n\nExample: watchdog --process-name docker --start-command \"service \
                        docker start\""
)]
pub struct Cli {
    /// What to watch.
    #[command(flatten)]
    pub what: What,
    /// How to start it.
    #[command(flatten)]
    pub how: How,
    /// When.
    #[command(flatten)]
    pub when: When,
    /// How to run.
    #[command(flatten)]
    pub run: Run,
    /// Logs.
    #[command(flatten)]
    pub logs: Logs,
}

/// What to watch.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What to watch")]
pub struct What {
    /// Name of the process: a regular expression, found anywhere in the name, as pgrep does
    #[arg(short, long, alias = "process_name", value_name = "NAME")]
    pub process_name: Option<OsString>,
    /// The whole name has to match, not a part of it
    #[arg(short = 'x', long)]
    pub exact: bool,
    /// Match the whole command line instead of the name
    #[arg(short, long)]
    pub full: bool,
    /// Only processes of this effective user, by name or number
    #[arg(short, long, value_name = "USER")]
    pub user: Option<OsString>,
    /// Whose processes count: those of this machine or container, or of containers in it too [default: own]
    #[arg(long, alias = "pid_namespace", value_name = "own|any")]
    pub pid_namespace: Option<OsString>,
}

/// How to start it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "How to start it")]
pub struct How {
    /// Command that starts it, run by /bin/sh -c
    #[arg(short, long, alias = "start_command", value_name = "COMMAND")]
    pub start_command: Option<OsString>,
    /// How long the command may be at work while the process is missing [default: 100s]
    #[arg(long, alias = "start_timeout", value_name = "TIME", allow_negative_numbers = true)]
    pub start_timeout: Option<OsString>,
}

/// When.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "When")]
pub struct When {
    /// Time between two checks [default: 1s]
    #[arg(
        short = 'i',
        long,
        alias = "health_check_interval",
        value_name = "TIME",
        allow_negative_numbers = true
    )]
    pub health_check_interval: Option<OsString>,
    /// Time from the start command to the verdict on it [default: 5s]
    #[arg(
        short = 'w',
        long,
        alias = "restart_wait_interval",
        value_name = "TIME",
        allow_negative_numbers = true
    )]
    pub restart_wait_interval: Option<OsString>,
    /// Failed attempts in a row after which to give up: 1 or more, or 'unlimited' [default: 3]
    #[arg(short, long, alias = "max_fail_count", value_name = "N", allow_negative_numbers = true)]
    pub max_fail_count: Option<OsString>,
    /// How long it must run for its failures to be forgotten [default: 60s]
    #[arg(long, alias = "stable_after", value_name = "TIME", allow_negative_numbers = true)]
    pub stable_after: Option<OsString>,
    /// Wait before the start after a crash or a kill [default: 100ms]
    #[arg(long, alias = "restart_delay", value_name = "TIME", allow_negative_numbers = true)]
    pub restart_delay: Option<OsString>,
    /// Wait before the start after a stop on purpose, or where the cause is not known [default: 3s]
    #[arg(long, alias = "after_stop", value_name = "TIME", allow_negative_numbers = true)]
    pub after_stop: Option<OsString>,
    /// Try again this long after giving up, then after twice the time, up to 1h [default: end instead]
    #[arg(long, alias = "retry_after", value_name = "TIME", allow_negative_numbers = true)]
    pub retry_after: Option<OsString>,
}

/// How to run.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "How to run")]
pub struct Run {
    /// Name of this watchdog, and of its files [default: made from the process name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<OsString>,
    /// Check once, start it if it is missing, and end: for cron and oneshot units
    #[arg(long)]
    pub once: bool,
    /// Say what would be done, and do nothing
    #[arg(long, alias = "dry_run")]
    pub dry_run: bool,
    /// Never ask for what is missing
    #[arg(long, alias = "no_input")]
    pub no_input: bool,
    /// Folder of the lock [default: /run/watchdog, for other users than root ~/.local/state/watchdog]
    #[arg(long, alias = "state_dir", value_name = "DIR")]
    pub state_dir: Option<OsString>,
}

/// Logs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Logs")]
pub struct Logs {
    /// Folder of the logs [default: /var/log/watchdog, for other users than root ~/.local/state/watchdog]
    #[arg(long, alias = "log_dir", value_name = "DIR")]
    pub log_dir: Option<OsString>,
    /// Size at which a log is rotated [default: 1MiB]
    #[arg(long, alias = "log_max_size", value_name = "SIZE", allow_negative_numbers = true)]
    pub log_max_size: Option<OsString>,
    /// Older logs that are kept beside it [default: 5]
    #[arg(long, alias = "log_max_files", value_name = "N", allow_negative_numbers = true)]
    pub log_max_files: Option<OsString>,
    /// More on standard error
    #[arg(short)]
    pub verbose: bool,
    /// Less on standard error
    #[arg(short, conflicts_with = "verbose")]
    pub quiet: bool,
}

impl Cli {
    /// The command line that says the same, quoted for a shell.
    #[must_use]
    pub fn command_line(&self, program: &Path) -> String {
        let Cli { what, how, when, run, logs } = self;
        let options = [
            ("--process-name", what.process_name.clone()),
            ("--user", what.user.clone()),
            ("--pid-namespace", what.pid_namespace.clone()),
            ("--start-command", how.start_command.clone()),
            ("--start-timeout", how.start_timeout.clone()),
            ("--health-check-interval", when.health_check_interval.clone()),
            ("--restart-wait-interval", when.restart_wait_interval.clone()),
            ("--max-fail-count", when.max_fail_count.clone()),
            ("--stable-after", when.stable_after.clone()),
            ("--restart-delay", when.restart_delay.clone()),
            ("--after-stop", when.after_stop.clone()),
            ("--retry-after", when.retry_after.clone()),
            ("--name", run.name.clone()),
            ("--state-dir", run.state_dir.clone()),
            ("--log-dir", logs.log_dir.clone()),
            ("--log-max-size", logs.log_max_size.clone()),
            ("--log-max-files", logs.log_max_files.clone()),
        ];
        let flags =
            [("--once", run.once), ("--no-input", run.no_input), ("-v", logs.verbose), ("-q", logs.quiet)];
        let mut words = vec![program.as_os_str().to_owned()];
        for (option, value) in options {
            words.extend(value.into_iter().flat_map(|value| [option.into(), value]));
        }
        words.extend(flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag.into()));
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell reads it back. Quoted the plainest way, since people read it too.
#[must_use]
pub fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:=@%+,-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
