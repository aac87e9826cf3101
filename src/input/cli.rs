//! What was typed. Nothing is judged here: each setting is optional, and any text.

use std::ffi::OsString;
use std::path::Path;

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, ValueHint};

use crate::policy::Request;
use crate::settings::given::{Given, ON, Source};
use crate::settings::table::{Row, Unset, options, row};
use crate::text::quoted;

/// A command line.
#[derive(Debug)]
pub struct Cli {
    /// Another thing to do than to watch.
    pub command: Option<Command>,
    pub given: Given,
}

/// Another thing to do than to watch.
#[derive(Debug)]
pub enum Command {
    /// Show the help that fits one screen.
    Help,
    /// Show what each watchdog sees: those that are of interest, if none is named.
    Status(Which, Form),
    /// Show the end of logs.
    Logs {
        which: Which,
        /// How many lines.
        lines: Option<OsString>,
        /// What comes, too.
        follow: bool,
        /// Those of the start commands.
        output: bool,
    },
    /// Leave a process alone, for this time.
    Pause(Which, Option<OsString>),
    /// End a pause, and forget failures and a give-up.
    Resume(Which),
    /// Remove what is left of watchdogs that nobody runs.
    Clean {
        which: Which,
        /// Their logs, too.
        logs: bool,
        /// Where the logs are, if not in the usual place.
        log_dir: Option<OsString>,
    },
    /// Start, stop or restart a process.
    Ask(Request, Which),
    /// Say what is wrong with configurations, by name or file: with all, if there is none.
    Validate(Vec<OsString>),
    /// Run a built-in check, for so long at most.
    Probe(OsString, Option<OsString>),
    /// Run the hook of a configuration, by name or file, with a test event.
    TestHook(OsString),
}

/// How `status` shows watchdogs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Table,
    /// For people, again and again.
    Watch,
    Json,
    /// As metrics.
    Prometheus,
    /// As metrics, in this file.
    Textfile(OsString),
    /// As a plugin of Nagios.
    Nagios,
}

/// Which watchdogs a command is for.
#[derive(Debug, Default)]
pub struct Which {
    /// These, or all that a glob matches.
    pub names: Vec<OsString>,
    /// Every one.
    pub all: bool,
    /// Every one, while packages are upgraded.
    pub upgrade: bool,
    /// The directory of their state, if it is not the usual one.
    pub state_dir: Option<OsString>,
}

const ABOUT: &str = "Keeps one named process running: starts it when missing, and says how it died";
const EXAMPLE: &str = "Example: watchdog --process-name docker --start-command \"service docker start\"";

/// The definition of the command line.
pub fn definition() -> clap::Command {
    clap::Command::new("watchdog")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .max_term_width(100)
        .disable_help_flag(true)
        .override_usage(
            "watchdog --process-name NAME --start-command COMMAND [OPTIONS]\n       watchdog [--config FILE] \
             [OPTIONS]\n       watchdog status|logs|start|stop|restart|pause|resume|clean [NAME]...\n       watchdog \
             validate [FILE]...",
        )
        .after_help(format!(
            "TIME is seconds (5, 0.5) or has units (90s, 1m 30s). It asks for anything required that you leave out.\n\n\
             {EXAMPLE}"
        ))
        .args_conflicts_with_subcommands(true)
        .args(options().map(argument))
        .arg(Arg::new(HELP).short('h').help("Print the most used options, on one screen").action(ArgAction::SetTrue))
        .arg(Arg::new("help").long("help").help("Print all options").action(ArgAction::HelpLong))
        .mut_arg("quiet", |quiet| quiet.conflicts_with("verbose"))
        .subcommands(commands())
}

/// The options of `status`, which exclude each other.
const JSON: &str = "json";
const WATCH: &str = "watch";
const PROMETHEUS: &str = "prometheus";
const TEXTFILE: &str = "textfile";
pub const NAGIOS: &str = "nagios";

/// The flag for [`brief_help`].
const HELP: &str = "brief-help";

/// Help that fits one screen of 24 lines of 80 characters.
pub fn brief_help() -> String {
    let rows = options().filter(|row| !row.brief.is_empty());
    let arguments = rows.map(|row| {
        let default = if let Unset::Is(default) = row.unset { &format!(" [{default}]") } else { "" };
        argument(row).help(format!("{}{default}", row.brief)).help_heading(None)
    });
    clap::Command::new("watchdog")
        .about(ABOUT)
        .max_term_width(80)
        .disable_help_flag(true)
        .override_usage(
            "watchdog -p NAME -s COMMAND [OPTIONS]\n       watchdog [--config FILE] [OPTIONS]\n       watchdog \
             COMMAND [NAME]...",
        )
        .args(arguments)
        .after_help(format!(
            "  status, logs NAME...          Show what is seen of it; show its log\n  start, stop, restart NAME...  \
             Start or stop the process now\n  pause, resume, clean NAME...  Leave it alone; watch it again; clean up\n\nIt asks for what you leave out. All options and commands: --help.\n{EXAMPLE}"
        ))
        .help_template("{about-with-newline}\n{usage-heading} {usage}\n\n{options}{after-help}")
        .render_help()
        .to_string()
}

/// The option of a row.
fn argument(row: &Row) -> Arg {
    let default = row.default_in_help().map(|default| format!(" [default: {default}]"));
    let help = format!("{}{}", row.help, default.unwrap_or_default());
    let mut argument = Arg::new(row.key).short(row.letter).help(help).help_heading(row.group);
    let option = row.option();
    if let Some(long) = option.strip_prefix("--") {
        let as_key = (long != row.key).then_some(row.key);
        argument = argument.long(long.to_owned()).aliases(as_key);
    }
    let Some(takes) = row.takes else { return argument.action(ArgAction::SetTrue) };
    let argument = argument.value_name(takes.name).value_hint(takes.hint);
    match takes.name {
        "TIME" | "N" | "SIZE" => number(argument),
        _ => argument.value_parser(ValueParser::os_string()),
    }
}

/// An option that takes a number of something: -1 and --5m are no options, but wrong; and `--all` is one.
fn number(argument: Arg) -> Arg {
    let is_value = |typed: OsString| {
        let name = typed.as_encoded_bytes().strip_prefix(b"--");
        let is_option = name.is_some_and(|name| !name.first().is_some_and(u8::is_ascii_digit));
        if is_option { Err("an option in place of a value") } else { Ok(typed) }
    };
    argument.allow_hyphen_values(true).value_parser(OsStringValueParser::new().try_map(is_value))
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

fn values(name: &'static str, takes: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_parser(ValueParser::os_string()).value_name(takes).help(help)
}

fn time(name: &'static str, help: &'static str) -> Arg {
    number(values(name, "TIME", help).long(name))
}

fn command(name: &'static str, about: &'static str) -> clap::Command {
    // The program's own are two, and of commands one is enough.
    let help = Arg::new("help").short('h').long("help").help("Print help").action(ArgAction::Help);
    clap::Command::new(name).about(about).arg(help.display_order(100))
}

/// A command for any watchdogs, or for `all`.
fn of_any(name: &'static str, about: &'static str, all: &'static str) -> clap::Command {
    const HELP: &str = "Names of watchdogs, as 'watchdog status' shows them; or globs, such as 'web-*'";
    let names = values("names", "NAMES", HELP).num_args(0..);
    let state_dir = row("state_dir").map(|row| {
        let default = row.default_in_help().unwrap_or_default();
        argument(row).help_heading(None).help(format!("Directory of the state [default: {default}]"))
    });
    command(name, about).args([names, flag("all", all).conflicts_with("names")]).args(state_dir)
}

/// A command that has to be told for which.
fn of_some(name: &'static str, about: &'static str) -> clap::Command {
    let which = ArgGroup::new("which").args(["names", "all"]).required(true);
    of_any(name, about, "All watchdogs").group(which)
}

/// One that package managers give.
fn of_upgrades(name: &'static str, about: &'static str) -> clap::Command {
    const HELP: &str = "All watchdogs, for a package upgrade; separate from pauses that people make";
    of_some(name, about).arg(flag("upgrade", HELP)).mut_group("which", |group| group.arg("upgrade"))
}

fn commands() -> [clap::Command; 11] {
    let file = |name, takes, help| values(name, takes, help).value_hint(ValueHint::FilePath);
    let textfile = file(TEXTFILE, "FILE", "Write the metrics to FILE, for node_exporter").long(TEXTFILE);
    let lines = values("lines", "N", "Number of lines [default: 10]").short('n').long("lines");
    let check =
        values("check", "CHECK", "http://HOST[:PORT]/PATH, tcp://HOST:PORT, unix:/PATH or file:/PATH");
    let files = file("files", "FILE", "Configurations, by file or by name [default: all]").num_args(0..);
    let config = file("config", "NAME", "Configuration file: a path, or a name as with --config");
    [
        of_any(
            "status",
            "Show each watchdog and its process",
            "Also those that have not run, or ended long ago",
        )
        .args([
            flag(JSON, "Print JSON, for scripts"),
            flag(WATCH, "Draw it again each second"),
            flag(NAGIOS, "Print one line for Nagios, and end with its status"),
            flag(PROMETHEUS, "Print metrics for Prometheus"),
            textfile,
        ])
        .group(ArgGroup::new("form").args([JSON, WATCH, NAGIOS, PROMETHEUS, TEXTFILE])),
        of_some("logs", "Show the end of the log").args([
            flag("follow", "Show what is written from now on too").short('f'),
            number(lines),
            flag("output", "Show what start commands write instead"),
        ]),
        of_some("start", "Start a process now; end a pause or a stop"),
        of_some("stop", "Stop a process until 'start' or a reboot"),
        of_some("restart", "Stop a process and start it again"),
        of_upgrades("pause", "Do not start a process until 'resume' or a reboot")
            .arg(time("for", "End the pause after this time").id("time")),
        of_upgrades("resume", "End a pause; forget failures and a give-up"),
        of_some("clean", "Remove what is left of a watchdog that nobody runs")
            .arg(flag("logs", "Remove its logs too"))
            .args(row("log_dir").map(|row| argument(row).help_heading(None).requires("logs"))),
        command("validate", "Say what is wrong with configurations").arg(files),
        command("probe", "Run a built-in check")
            .hide(true)
            .arg(check.required(true).value_hint(ValueHint::Url))
            .arg(time("timeout", "Longest time that it may take [default: 10s]")),
        command("test-hook", "Run the hook of a configuration file with a test event")
            .arg(config.required(true)),
    ]
}

impl Cli {
    /// Reads a command line, whose first word is the program.
    ///
    /// # Errors
    /// It is none, or asks for help.
    pub fn parse<W: Into<OsString> + Clone>(words: impl IntoIterator<Item = W>) -> Result<Self, clap::Error> {
        let mut typed = definition().try_get_matches_from(words)?;
        let command = match typed.remove_subcommand() {
            Some((name, typed)) => Command::read(&name, &typed),
            None => typed.get_flag(HELP).then_some(Command::Help),
        };
        let mut given = Given::default();
        // Beside a command there are none.
        for row in options().filter(|_| command.is_none()) {
            let value = if row.is_flag() {
                typed.get_flag(row.key).then(|| ON.into())
            } else {
                typed.remove_one::<OsString>(row.key)
            };
            if let Some(value) = value {
                given.add(row.key, value, Source::CommandLine);
            }
        }
        Ok(Cli { command, given })
    }
}

impl Command {
    fn read(name: &str, typed: &ArgMatches) -> Option<Self> {
        let all = |id: &str| -> Vec<OsString> {
            typed.try_get_many(id).ok().flatten().into_iter().flatten().cloned().collect()
        };
        let one = |id: &str| -> Option<OsString> { typed.try_get_one(id).ok().flatten().cloned() };
        let is_given = |flag: &str| matches!(typed.try_get_one(flag), Ok(Some(true)));
        let (names, state_dir) = (all("names"), one("state_dir"));
        let which = Which { names, all: is_given("all"), upgrade: is_given("upgrade"), state_dir };
        Some(match name {
            "status" => {
                let form = match one(TEXTFILE) {
                    Some(file) => Form::Textfile(file),
                    None if is_given(JSON) => Form::Json,
                    None if is_given(WATCH) => Form::Watch,
                    None if is_given(NAGIOS) => Form::Nagios,
                    None if is_given(PROMETHEUS) => Form::Prometheus,
                    None => Form::Table,
                };
                Command::Status(which, form)
            }
            "logs" => {
                let (follow, output) = (is_given("follow"), is_given("output"));
                Command::Logs { which, lines: one("lines"), follow, output }
            }
            "start" => Command::Ask(Request::Start, which),
            "stop" => Command::Ask(Request::Stop, which),
            "restart" => Command::Ask(Request::Restart, which),
            "pause" => Command::Pause(which, one("time")),
            "resume" => Command::Resume(which),
            "clean" => Command::Clean { which, logs: is_given("logs"), log_dir: one("log_dir") },
            "validate" => Command::Validate(all("files")),
            "probe" => Command::Probe(one("check")?, one("timeout")),
            "test-hook" => Command::TestHook(one("config")?),
            _ => return None,
        })
    }
}

/// The command line that says the same as what was given, quoted for a shell.
pub fn command_line(given: &Given, program: &Path) -> String {
    let mut words = vec![program.as_os_str().to_owned()];
    for row in options() {
        let option = OsString::from(row.option());
        match given.value(row.key) {
            Some(_) if row.is_flag() => words.extend(given.is_on(row.key).then_some(option)),
            // For an option of its own this would be taken.
            Some(value) if value.as_encoded_bytes().starts_with(b"-") => {
                words.push([option.as_os_str(), "=".as_ref(), value].into_iter().collect());
            }
            Some(value) => words.extend([option, value.to_owned()]),
            None => {}
        }
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::process::Command;

    #[test]
    fn a_shell_and_this_program_read_back_what_is_printed() {
        let odd =
            ["-bash", "--once", "it's", "a b", "$HOME `id` \\ \" ! * ~ #", "", "a\nb\tc", "ü", "=", "-"];
        for text in odd {
            let mut given = Given::default();
            // Beside -q there is no -v, and no number begins with two dashes.
            let numbers = ["TIME", "N", "SIZE"];
            let is_number = |row: &Row| row.takes.is_some_and(|takes| numbers.contains(&takes.name));
            let is_odd = |row: &&Row| row.key == "quiet" || text.starts_with("--") && is_number(row);
            for row in options().filter(|row| !is_odd(row)) {
                given.add(row.key, if row.is_flag() { ON } else { text }, Source::CommandLine);
            }
            let line = command_line(&given, Path::new("watchdog"));
            let shell = Command::new("sh").arg("-c").arg(format!("printf '%s\\0' {line}")).output().unwrap();
            let words =
                shell.stdout.strip_suffix(b"\0").unwrap().split(|byte| *byte == 0).map(OsStr::from_bytes);
            let again = Cli::parse(words).unwrap().given;
            for row in options() {
                assert_eq!(again.value(row.key), given.value(row.key), "{}", row.key);
            }
        }
    }
}
