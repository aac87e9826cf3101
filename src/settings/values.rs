//! How values are read, and shown again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use nix::sys::signal::Signal;
use serde::Serialize;
use serde_json::Value as Json;

use crate::settings::given::{OFF, ON};
use crate::settings::name::{Name, name};
use crate::settings::pattern::{Extent, Pattern};
use crate::settings::{Autorestart, KillMode, Namespace, OnUnhealthy, OutsideHours, Wrong};
use crate::task::account::{self, Account, RunAs};
use crate::task::environment::NOT_INHERITED;
use crate::text::span;
use crate::time::{Time, now};

/// A value, or what is wrong with it and what to type instead.
pub type Reading<T> = Result<T, (String, &'static str)>;

/// So long after a boot the users of a directory service may be unknown.
const USERS_COME: Time = Time::from_secs(300);
/// A shorter interval is a busy loop rather than a check.
const SHORTEST: Duration = Duration::from_millis(10);
/// A longer one is a slip of the finger.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Nothing takes longer to begin.
const LONGEST_START: Duration = Duration::from_secs(24 * 3600);
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

/// The items of a list, which the configuration file has and which is given on as JSON.
pub fn list(text: &str) -> Reading<Vec<String>> {
    let items: Vec<Json> = serde_json::from_str(text)
        .map_err(|_| ("not a list".to_owned(), "give a list, such as [\"a\", \"b\"]"))?;
    let shown = |item: Json| if let Json::String(text) = item { text } else { item.to_string() };
    Ok(items.into_iter().map(shown).collect())
}

/// Names of instances, each once.
pub fn names(text: &str) -> Reading<Vec<Name>> {
    let mut names = Vec::new();
    for text in list(text)? {
        let name = name(&text).map_err(|(what, instead)| (format!("'{text}': {what}"), instead))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// The fields of a table, in the order of their names.
pub fn table(text: &str) -> Reading<BTreeMap<String, String>> {
    serde_json::from_str(text).map_err(|_| ("not a table".into(), "give a table, such as { a = \"b\" }"))
}

/// The fields of each table of a list.
pub fn tables(text: &str) -> Reading<Vec<BTreeMap<String, String>>> {
    serde_json::from_str(text).map_err(|_| ("not a list of tables".into(), "give [[tables]]"))
}

/// A list, a table or tables as [`list`], [`table`] and [`tables`] read them.
pub fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads a process name.
pub fn pattern(text: &str, extent: Extent) -> Reading<Pattern> {
    if text.trim().is_empty() {
        return Err(("matches every process".into(), "give the name of one, such as docker"));
    }
    if text.len() > LONGEST_PATTERN {
        return Err(("longer than 8192 bytes".into(), "give only its beginning, with ^ in front"));
    }
    Pattern::new(text, extent).map_err(|error| {
        (format!("not a regular expression: {error}"), "put a \\ before a character that is meant literally")
    })
}

/// Reads a start command.
pub fn start_command(text: &str) -> Reading<String> {
    if text.trim().is_empty() {
        return Err(("empty".into(), "give a shell command, such as 'service docker start'"));
    }
    command(text)
}

/// Reads a stop command.
pub fn stop_command(text: &str) -> Reading<Option<String>> {
    if text.trim().is_empty() {
        return Err(("would stop nothing".into(), "give a shell command, such as 'service docker stop'"));
    }
    command(text).map(Some)
}

/// Reads a hook.
pub fn hook(text: &str) -> Reading<Option<String>> {
    if text.trim().is_empty() {
        return Err((
            "would tell nobody".into(),
            "give a shell command, such as '/usr/share/process-watchdog/hooks/mail root'",
        ));
    }
    command(text).map(Some)
}

/// Reads a command for the shell.
pub fn command(text: &str) -> Reading<String> {
    if text.contains('\0') {
        return Err(("contains a null byte".into(), "remove it"));
    }
    if text.len() >= LONGEST_ARGUMENT {
        return Err(("too long for a shell".into(), "put it into a script"));
    }
    Ok(text.to_owned())
}

/// Reads a user, by name or number.
pub fn user(text: &str) -> Reading<Option<u32>> {
    const INSTEAD: &str = "give a user's name or number, such as www-data or 33";
    match (text.parse(), account::uid(text)) {
        (_, Ok(Some(user))) => Ok(Some(user)),
        (Ok(number), _) => Ok(Some(number)),
        (_, Err(error)) => {
            Err((format!("cannot look it up ({error})"), "give the user's number, such as 33"))
        }
        _ => Err(("no such user".into(), INSTEAD)),
    }
}

/// Whether the users of a directory service may not be there yet, and nobody is there to type another.
pub fn is_early_in_boot() -> bool {
    let is_attended = rustix::stdio::stdin().is_terminal() || rustix::stdio::stderr().is_terminal();
    !is_attended && now() < USERS_COME
}

/// Reads variables, with their values as they are.
pub fn env(text: &str) -> Reading<BTreeMap<String, String>> {
    const INSTEAD: &str = "give names and values, such as { LANG = \"C.UTF-8\" }";
    let variables = table(text)?;
    for (name, value) in &variables {
        let is_own = name.starts_with("WATCHDOG_") || NOT_INHERITED.contains(&name.as_str());
        let wrong = match name.as_str() {
            "" => "a variable has no name".to_owned(),
            _ if name.contains(['=', '\0']) => format!("the name '{name}' has a = or a null byte"),
            _ if value.contains('\0') => format!("the value of {name} has a null byte"),
            _ if is_own => return Err((format!("{name} is the watchdog's own"), "give another name")),
            _ => continue,
        };
        return Err((wrong, INSTEAD));
    }
    Ok(variables)
}

/// Reads a directory to run in.
pub fn working_directory(text: &str) -> Reading<Option<PathBuf>> {
    const INSTEAD: &str = "give the whole path, such as /srv/NAME";
    match text {
        _ if !text.starts_with('/') => Err(("does not begin with /".into(), INSTEAD)),
        _ if text.contains('\0') => Err(("contains a null byte".into(), INSTEAD)),
        _ => Ok(Some(text.into())),
    }
}

/// Reads which permissions new files do not get.
pub fn umask(text: &str) -> Result<Option<u32>, Wrong> {
    let digits = text.trim().trim_start_matches("0o");
    let mask = u32::from_str_radix(digits, 8).ok().filter(|mask| *mask <= 0o777 && !digits.starts_with('+'));
    match mask {
        Some(mask) if digits == text && [3, 4].contains(&digits.len()) => Ok(Some(mask)),
        mask => Err(Wrong {
            what: "is not three or four octal digits".into(),
            instead: format!("say \"{:03o}\"", mask.unwrap_or(0o022)),
        }),
    }
}

/// What is wrong with a `run_as` on any machine.
pub const NO_RUN_AS: &str = "is not a user, or a user and a group";

/// Reads whom to run as, who is to be known; if he may come later, that is found out at the start.
pub fn run_as(text: &str) -> Result<Option<RunAs>, Wrong> {
    const INSTEAD: &str = "give a user, and perhaps a group, such as www-data or www-data:adm";
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let is_odd = |name: &str| {
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || c == ':';
        name.is_empty() || name.starts_with('-') || name.contains(is_odd)
    };
    if is_odd(user) || group.is_some_and(is_odd) {
        return Err((NO_RUN_AS.to_owned(), INSTEAD).into());
    }
    let run_as = RunAs { user: user.to_owned(), group: group.map(ToOwned::to_owned) };
    let mut account = Account::look_up(&run_as, now());
    account.wait(now());
    match account.identity() {
        Err(why) if !is_early_in_boot() => Err((why.to_owned(), INSTEAD).into()),
        _ => Ok(Some(run_as)),
    }
}

/// Reads whose processes count.
pub fn namespace(text: &str) -> Reading<Namespace> {
    match text {
        "own" => Ok(Namespace::Own),
        "any" => Ok(Namespace::Any),
        _ => Err(("unknown".into(), "give own or any")),
    }
}

/// Reads a time that must pass between two things.
pub fn interval(text: &str) -> Reading<Duration> {
    match time(text)? {
        time if time < SHORTEST => Err(("too short".into(), "give 10ms or more, such as 1s")),
        time => Ok(time),
    }
}

/// Reads a time that may be 0.
pub fn time(text: &str) -> Reading<Duration> {
    const INSTEAD: &str = "give seconds (5, 0.5) or units (90s, 1m 30s)";
    let text = text.trim();
    let seconds = || text.parse::<f64>().ok();
    let time = match seconds() {
        Some(seconds) if seconds < 0.0 => return Err(("negative".into(), INSTEAD)),
        Some(seconds) if seconds.is_nan() => return Err(("not a time".into(), INSTEAD)),
        Some(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
        None => match humantime::parse_duration(text) {
            Ok(time) => time,
            Err(humantime::DurationError::NumberOverflow) => Duration::MAX,
            Err(_) => return Err(("not a time".into(), INSTEAD)),
        },
    };
    if time > LONGEST { Err(("longer than 365 days".into(), "give 365d or less")) } else { Ok(time) }
}

/// Reads for how long failures of a young process do not count.
pub fn start_period(text: &str) -> Reading<Duration> {
    match time(text)? {
        time if time > LONGEST_START => Err((
            "is longer than a day, in which nothing would be done".into(),
            "give 1d or less, such as 60s",
        )),
        time => Ok(time),
    }
}

/// Reads how long a stage of a stop is; `None` is without an end.
pub fn stop_timeout(text: &str) -> Reading<Option<Duration>> {
    if text.trim() == "never" { Ok(None) } else { interval(text).map(Some) }
}

/// Reads a signal that may end a process, by name or number.
pub fn stop_signal(text: &str) -> Reading<i32> {
    const INSTEAD: &str = "give a name or a number, such as TERM, INT, QUIT or 15";
    let name = text.trim().to_ascii_uppercase();
    let named = || format!("SIG{}", name.strip_prefix("SIG").unwrap_or(&name)).parse::<Signal>().ok();
    let number = name.parse().ok().or_else(|| named().map(|signal| signal as i32));
    match number {
        Some(libc::SIGKILL) => Err((
            "leaves no time to end in order".into(),
            "give TERM: what does not heed it is killed after --stop-timeout",
        )),
        Some(libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) => {
            Err(("suspends a process and does not end it".into(), INSTEAD))
        }
        Some(libc::SIGCONT | libc::SIGCHLD | libc::SIGURG) => Err(("ends no process".into(), INSTEAD)),
        // The C library keeps those between for itself.
        Some(number @ (1..=31 | 34..=64)) => Ok(number),
        Some(_) | None => Err(("is no signal".into(), INSTEAD)),
    }
}

/// A signal as it is typed.
#[expect(clippy::trivially_copy_pass_by_ref)] // as all that shows a value
pub fn signal(number: &i32) -> String {
    let name = Signal::try_from(*number).ok().and_then(|signal| signal.as_str().strip_prefix("SIG"));
    name.map_or_else(|| number.to_string(), ToOwned::to_owned)
}

/// Reads what is ended with the process.
pub fn kill_mode(text: &str) -> Reading<KillMode> {
    match text {
        "process" => Ok(KillMode::Process),
        "mixed" => Ok(KillMode::Mixed),
        _ => Err(("is neither".into(), "give process or mixed")),
    }
}

/// Reads whether a process is started again when it has ended.
pub fn autorestart(text: &str) -> Reading<Autorestart> {
    match text {
        "always" => Ok(Autorestart::Always),
        "unexpected" => Ok(Autorestart::Unexpected),
        "never" => Ok(Autorestart::Never),
        _ => Err(("is none of the three".into(), "give always, unexpected or never")),
    }
}

/// Reads the statuses with which a process ends as expected.
pub fn exit_codes(text: &str) -> Reading<BTreeSet<u8>> {
    const INSTEAD: &str =
        "give numbers from 0 to 255, such as [0, 3]; SIGTERM, SIGINT and SIGHUP are expected in any case";
    let code = |item: String| item.parse().map_err(|_| (format!("'{item}' is no exit status"), INSTEAD));
    list(text)?.into_iter().map(code).collect()
}

/// Reads what is done about an unhealthy process.
pub fn on_unhealthy(text: &str) -> Reading<OnUnhealthy> {
    match text {
        "restart" => Ok(OnUnhealthy::Restart),
        "warn" => Ok(OnUnhealthy::Warn),
        _ => Err(("is neither".into(), "give restart or warn")),
    }
}

/// Reads what is done with a process whose hours are over.
pub fn outside_hours(text: &str) -> Reading<OutsideHours> {
    match text {
        "leave" => Ok(OutsideHours::Leave),
        "stop" => Ok(OutsideHours::Stop),
        _ => Err(("is neither".into(), "give leave or stop")),
    }
}

/// Reads how many probes have to fail.
pub fn failures(text: &str) -> Reading<u32> {
    whole(text, 1, HIGHEST_COUNT, "give 1 to 1000000, such as 3")
}

/// Reads a number of failures; `None` is unlimited.
pub fn count(text: &str, once: bool) -> Reading<Option<u32>> {
    if text.trim() == "unlimited" && once {
        let instead = "give a number, such as 3, or leave out --once";
        return Err(("cannot be combined with --once".into(), instead));
    }
    if text.trim() == "unlimited" {
        return Ok(None);
    }
    whole(text, 1, HIGHEST_COUNT, "give 1 to 1000000, such as 3, or 'unlimited'").map(Some)
}

/// Reads a number of lines.
pub fn lines(text: &str) -> Reading<u32> {
    whole(text, 0, HIGHEST_COUNT, "give 0 to 1000000, such as 100")
}

/// Reads a number of old logs.
pub fn log_files(text: &str) -> Reading<usize> {
    whole(text, 0, MOST_LOGS, "give 0 to 1000, such as 5").map(|number| number as usize)
}

fn whole(text: &str, least: u32, most: u32, instead: &'static str) -> Reading<u32> {
    match text.trim().parse::<i128>() {
        Err(_) => Err(("not a whole number".into(), instead)),
        Ok(number) if number < least.into() => Err(("too small".into(), instead)),
        Ok(number) => match u32::try_from(number) {
            Ok(number) if number <= most => Ok(number),
            _ => Err(("too large".into(), instead)),
        },
    }
}

/// Reads the size of a log, in bytes.
pub fn log_size(text: &str) -> Reading<u64> {
    const INSTEAD: &str = "give 4KiB to 1TiB, such as 1MiB, or a number of bytes";
    match text.trim().parse::<ByteSize>() {
        Err(_) => Err(("not a size".into(), INSTEAD)),
        Ok(size) if size < SMALLEST_LOG => Err(("too small".into(), INSTEAD)),
        Ok(size) if size > LARGEST_LOG => Err(("too large".into(), INSTEAD)),
        Ok(size) => Ok(size.as_u64()),
    }
}

/// Reads a directory.
pub fn folder(given: &OsStr, instead: &'static str) -> Reading<PathBuf> {
    if given.is_empty() { Err(("empty".into(), instead)) } else { Ok(given.into()) }
}

/// Reads the file that names the process.
pub fn pid_file(given: &OsStr, namespace: Namespace) -> Reading<Option<PathBuf>> {
    const INSTEAD: &str = "give the file that it writes its pid to, such as /run/nginx.pid";
    if namespace == Namespace::Any {
        let what = "cannot be combined with --pid-namespace any: a container's pid is another one outside";
        return Err((what.into(), "leave out one of them"));
    }
    let is_file = given.as_bytes().last().is_some_and(|last| *last != b'/') && !given.as_bytes().contains(&0);
    if is_file { Ok(Some(given.into())) } else { Err(("names no file".into(), INSTEAD)) }
}

/// What is given, as a text.
pub fn text(given: &OsStr) -> Reading<&str> {
    given.to_str().ok_or_else(|| ("not UTF-8".into(), "type it again in UTF-8"))
}

/// A time as it can be typed, exactly.
pub fn exact(time: &Duration) -> String {
    let shown = span(*time);
    if self::time(&shown).as_ref() == Ok(time) { shown } else { time.as_secs_f64().to_string() }
}

/// A flag.
pub fn on_or_off(is_on: bool) -> String {
    if is_on { ON } else { OFF }.to_owned()
}

/// A value, or the word for none.
pub fn or(value: Option<impl ToString>, none: &str) -> String {
    value.map_or_else(|| none.to_owned(), |value| value.to_string())
}
