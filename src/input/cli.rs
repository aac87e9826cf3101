//! What was typed. Nothing is judged here: each setting is optional, and any text.

use crate::text::quoted;
use std::ffi::OsString;
use std::path::Path;

use clap::{Args, Parser, Subcommand, ValueHint};

/// Keeps one named process running: looks for it, starts it when it is missing, says why it died.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "watchdog", version, max_term_width = 100)]
#[command(
    override_usage = "watchdog --process-name NAME --start-command COMMAND [OPTIONS]\n       watchdog [--config FILE] [OPTIONS]\n       watchdog status|pause|resume [NAME]..."
)]
#[command(
    after_help = "TIME is a number of seconds (5, 0.5) or has units (90s, 1m 30s). What is required and not \
                        given is asked for.\n\nExample: watchdog --process-name docker --start-command \"service \
                        docker start\""
)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Another thing to do than to watch.
    #[command(subcommand)]
    pub command: Option<Command>,
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

/// Another thing to do than to watch.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show what each watchdog sees
    Status {
        /// The watchdogs to show [default: all]
        names: Vec<OsString>,
        /// As JSON, for scripts
        #[arg(long)]
        json: bool,
        /// Where their state is.
        #[command(flatten)]
        place: StateDir,
    },
    /// Leave a process alone, until 'resume' or a boot
    Pause {
        /// Which watchdogs.
        #[command(flatten)]
        which: Which,
        /// Only for so long
        #[arg(long = "for", value_name = "TIME", allow_negative_numbers = true)]
        time: Option<OsString>,
        /// Where their state is.
        #[command(flatten)]
        place: StateDir,
    },
    /// End a pause, and forget failures and a give-up
    Resume {
        /// Which watchdogs.
        #[command(flatten)]
        which: Which,
        /// Where their state is.
        #[command(flatten)]
        place: StateDir,
    },
}

/// Which watchdogs a command is for.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// The watchdogs
    pub names: Vec<OsString>,
    /// Every watchdog
    #[arg(long)]
    pub all: bool,
    /// Every watchdog, while packages are upgraded: a pause of its own, beside those that people make
    #[arg(long)]
    pub upgrade: bool,
}

/// Where the state of watchdogs is.
#[derive(Debug, Clone, Default, Args)]
pub struct StateDir {
    /// Folder of the state [default: /run/watchdog, for other users than root ~/.local/state/watchdog]
    #[arg(long, alias = "state_dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state_dir: Option<OsString>,
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
    #[arg(short, long, value_name = "USER", value_hint = ValueHint::Username)]
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
    #[arg(short, long, alias = "start_command", value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    pub start_command: Option<OsString>,
    /// How long the command may be at work while the process is missing [default: 100s]
    #[arg(long, alias = "start_timeout", value_name = "TIME", allow_hyphen_values = true)]
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
        allow_hyphen_values = true
    )]
    pub health_check_interval: Option<OsString>,
    /// Time from the start command to the verdict on it [default: 5s]
    #[arg(
        short = 'w',
        long,
        alias = "restart_wait_interval",
        value_name = "TIME",
        allow_hyphen_values = true
    )]
    pub restart_wait_interval: Option<OsString>,
    /// Failed attempts in a row after which to give up: 1 or more, or 'unlimited' [default: 3]
    #[arg(short, long, alias = "max_fail_count", value_name = "N", allow_hyphen_values = true)]
    pub max_fail_count: Option<OsString>,
    /// How long it must run for its failures to be forgotten [default: 60s]
    #[arg(long, alias = "stable_after", value_name = "TIME", allow_hyphen_values = true)]
    pub stable_after: Option<OsString>,
    /// Wait before the start after a crash or a kill [default: 100ms]
    #[arg(long, alias = "restart_delay", value_name = "TIME", allow_hyphen_values = true)]
    pub restart_delay: Option<OsString>,
    /// Wait before the start after a stop on purpose, or where the cause is not known [default: 3s]
    #[arg(long, alias = "after_stop", value_name = "TIME", allow_hyphen_values = true)]
    pub after_stop: Option<OsString>,
    /// Try again this long after giving up, then after twice the time, up to 1h [default: end instead]
    #[arg(long, alias = "retry_after", value_name = "TIME", allow_hyphen_values = true)]
    pub retry_after: Option<OsString>,
}

/// How to run.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "How to run")]
pub struct Run {
    /// Configuration file: a path, or a name for /etc/watchdog/NAME.toml
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<OsString>,
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
    /// Folder of lock and state [default: /run/watchdog, for other users than root ~/.local/state/watchdog]
    #[arg(long, alias = "state_dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state_dir: Option<OsString>,
}

/// Logs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Logs")]
pub struct Logs {
    /// Folder of the logs [default: /var/log/watchdog, for other users than root ~/.local/state/watchdog]
    #[arg(long, alias = "log_dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub log_dir: Option<OsString>,
    /// Size at which a log is rotated [default: 1MiB]
    #[arg(long, alias = "log_max_size", value_name = "SIZE", allow_hyphen_values = true)]
    pub log_max_size: Option<OsString>,
    /// Older logs that are kept beside it [default: 5]
    #[arg(long, alias = "log_max_files", value_name = "N", allow_hyphen_values = true)]
    pub log_max_files: Option<OsString>,
    /// More on standard error
    #[arg(short)]
    pub verbose: bool,
    /// Less on standard error
    #[arg(short, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// Where one setting stands in [`Cli`].
#[derive(Debug, Clone, Copy)]
pub enum Slot {
    /// A setting with a value.
    Value(fn(&mut Cli) -> &mut Option<OsString>),
    /// A setting that is on or off.
    Flag(fn(&mut Cli) -> &mut bool),
}

/// Each setting that has a long option, by its key in a configuration file, in the order in which they
/// are shown.
pub const SETTINGS: [(&str, Slot); 21] = [
    ("process_name", Slot::Value(|cli| &mut cli.what.process_name)),
    ("exact", Slot::Flag(|cli| &mut cli.what.exact)),
    ("full", Slot::Flag(|cli| &mut cli.what.full)),
    ("user", Slot::Value(|cli| &mut cli.what.user)),
    ("pid_namespace", Slot::Value(|cli| &mut cli.what.pid_namespace)),
    ("start_command", Slot::Value(|cli| &mut cli.how.start_command)),
    ("start_timeout", Slot::Value(|cli| &mut cli.how.start_timeout)),
    ("health_check_interval", Slot::Value(|cli| &mut cli.when.health_check_interval)),
    ("restart_wait_interval", Slot::Value(|cli| &mut cli.when.restart_wait_interval)),
    ("max_fail_count", Slot::Value(|cli| &mut cli.when.max_fail_count)),
    ("stable_after", Slot::Value(|cli| &mut cli.when.stable_after)),
    ("restart_delay", Slot::Value(|cli| &mut cli.when.restart_delay)),
    ("after_stop", Slot::Value(|cli| &mut cli.when.after_stop)),
    ("retry_after", Slot::Value(|cli| &mut cli.when.retry_after)),
    ("name", Slot::Value(|cli| &mut cli.run.name)),
    ("once", Slot::Flag(|cli| &mut cli.run.once)),
    ("no_input", Slot::Flag(|cli| &mut cli.run.no_input)),
    ("state_dir", Slot::Value(|cli| &mut cli.run.state_dir)),
    ("log_dir", Slot::Value(|cli| &mut cli.logs.log_dir)),
    ("log_max_size", Slot::Value(|cli| &mut cli.logs.log_max_size)),
    ("log_max_files", Slot::Value(|cli| &mut cli.logs.log_max_files)),
];

/// What is typed and has no key in a configuration file, and the option for it.
pub const TYPED_ONLY: [(&str, &str); 4] =
    [("config", "--config"), ("dry_run", "--dry-run"), ("verbose", "-v"), ("quiet", "-q")];

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

/// The option of a key of [`SETTINGS`] or [`TYPED_ONLY`], as it is typed.
pub fn typed(key: &str) -> String {
    TYPED_ONLY
        .iter()
        .find(|(known, _)| *known == key)
        .map_or_else(|| option(key), |(_, typed)| (*typed).to_owned())
}

/// The option of a setting, as it is typed.
pub fn option(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

impl Cli {
    /// The command line that says the same, quoted for a shell.
    pub fn command_line(&self, program: &Path) -> String {
        let mut cli = self.clone();
        let mut words = vec![program.as_os_str().to_owned()];
        words.extend(self.run.config.iter().flat_map(|config| ["--config".into(), config.clone()]));
        for (key, slot) in SETTINGS {
            match slot {
                Slot::Value(value) => {
                    words.extend(value(&mut cli).take().into_iter().flat_map(|value| given(key, value)));
                }
                Slot::Flag(flag) => words.extend(flag(&mut cli).then(|| option(key).into())),
            }
        }
        let flags = [("--dry-run", self.run.dry_run), ("-v", self.logs.verbose), ("-q", self.logs.quiet)];
        words.extend(flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag.into()));
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// An option with its value. A value that begins with a dash would be taken for an option of its own.
fn given(key: &str, value: OsString) -> Vec<OsString> {
    let mut option = OsString::from(option(key));
    if !value.as_encoded_bytes().starts_with(b"-") {
        return vec![option, value];
    }
    option.push("=");
    option.push(value);
    vec![option]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::process::Command;

    #[test]
    fn each_option_is_a_setting_or_only_typed() {
        let command = <Cli as clap::CommandFactory>::command();
        let options: Vec<_> = command.get_arguments().map(|option| option.get_id().as_str()).collect();
        let settings = SETTINGS.iter().map(|(key, _)| *key);
        let known: Vec<_> = settings.chain(TYPED_ONLY.iter().map(|(key, _)| *key)).collect();
        assert!(options.iter().all(|key| known.contains(key)), "{options:?}");
        assert_eq!(options.len(), known.len());
    }

    #[test]
    fn what_was_meant_is_near() {
        let known = || SETTINGS.iter().map(|(key, _)| *key);
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

    #[test]
    fn a_shell_and_this_program_read_back_what_is_printed() {
        let odd =
            ["-bash", "--once", "it's", "a b", "$HOME `id` \\ \" ! * ~ #", "", "a\nb\tc", "ü", "=", "-"];
        for text in odd {
            let mut cli = Cli::default();
            for (_, slot) in SETTINGS {
                match slot {
                    Slot::Value(value) => *value(&mut cli) = Some(text.into()),
                    Slot::Flag(flag) => *flag(&mut cli) = true,
                }
            }
            let line = cli.command_line(Path::new("watchdog"));
            let shell = Command::new("sh").arg("-c").arg(format!("printf '%s\\0' {line}")).output().unwrap();
            let words =
                shell.stdout.strip_suffix(b"\0").unwrap().split(|byte| *byte == 0).map(OsStr::from_bytes);
            let mut again = Cli::try_parse_from(words).unwrap();
            for (key, slot) in SETTINGS {
                match slot {
                    Slot::Value(value) => {
                        assert_eq!(value(&mut again).as_deref(), Some(OsStr::new(text)), "{key}");
                    }
                    Slot::Flag(flag) => assert!(*flag(&mut again), "{key}"),
                }
            }
        }
    }
}
