//! How values are read, and shown again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use nix::sys::signal::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::settings::given::{OFF, ON};
use crate::settings::name::{Name, name};
use crate::settings::pattern::{Extent, Pattern};
use crate::settings::{Namespace, Reading, Wrong, wrong};
use crate::task::account::{self, Account, RunAs};
use crate::task::environment::NOT_INHERITED;
use crate::text::span;
use crate::time::{Time, now};

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

/// Reads a value that has parts: from the configuration file it comes as JSON.
pub fn parts<T: DeserializeOwned>(text: &str) -> Reading<T> {
    let parts = serde_json::from_str(text);
    parts.or_else(|_| wrong("does not have the parts that it should", "see the example in the manual"))
}

/// The items of a list.
pub fn list(text: &str) -> Reading<Vec<String>> {
    let shown = |item: Json| if let Json::String(text) = item { text } else { item.to_string() };
    Ok(parts::<Vec<Json>>(text)?.into_iter().map(shown).collect())
}

/// The fields of a table, by their names.
pub type Table = BTreeMap<String, String>;

/// What [`parts`] reads.
pub fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A list as it could be given, or the word for none.
pub fn listed<T: ToString>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    as_json(&items.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// Names of instances, each once.
pub fn names(text: &str) -> Reading<Vec<Name>> {
    let mut names = Vec::new();
    for text in list(text)? {
        let name = name(&text).map_err(|it| Wrong { what: format!("'{text}': {}", it.what), ..it })?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Reads a process name.
pub fn pattern(text: &str, extent: Extent) -> Reading<Pattern> {
    if text.trim().is_empty() {
        return wrong("matches every process", "give the name of one, such as docker");
    }
    if text.len() > LONGEST_PATTERN {
        return wrong("longer than 8192 bytes", "give only its beginning, with ^ in front");
    }
    Pattern::new(text, extent).or_else(|error| {
        let what = format!("not a regular expression: {error}");
        wrong(what, "put a \\ before a character that is meant literally")
    })
}

/// Reads a command for the shell; what is wrong with an empty one is said by who wants it.
pub fn command(text: &str, empty: &str, instead: &str) -> Reading<String> {
    match text {
        _ if text.trim().is_empty() => wrong(empty, instead),
        _ if text.contains('\0') => wrong("contains a null byte", "remove it"),
        _ if text.len() >= LONGEST_ARGUMENT => wrong("too long for a shell", "put it into a script"),
        _ => Ok(text.to_owned()),
    }
}

/// Reads a start command.
pub fn start_command(text: &str) -> Reading<String> {
    command(text, "empty", "give a shell command, such as 'service docker start'")
}

/// Reads a user, by name or number.
pub fn user(text: &str) -> Reading<u32> {
    match (text.parse(), account::uid(text)) {
        (_, Ok(Some(user))) => Ok(user),
        (Ok(number), _) => Ok(number),
        (_, Err(error)) => {
            wrong(format!("cannot look it up ({error})"), "give the user's number, such as 33")
        }
        _ => wrong("no such user", "give a user's name or number, such as www-data or 33"),
    }
}

/// Whether the users of a directory service may not be there yet, and nobody is there to type another.
pub fn is_early_in_boot() -> bool {
    let is_attended = rustix::stdio::stdin().is_terminal() || rustix::stdio::stderr().is_terminal();
    !is_attended && now() < USERS_COME
}

/// Reads variables, with their values as they are.
pub fn env(text: &str) -> Reading<Table> {
    let variables = parts::<Table>(text)?;
    for (name, value) in &variables {
        let is_own = name.starts_with("WATCHDOG_") || NOT_INHERITED.contains(&name.as_str());
        let what = match name.as_str() {
            "" => "a variable has no name".to_owned(),
            _ if name.contains(['=', '\0']) => format!("the name '{name}' has a = or a null byte"),
            _ if value.contains('\0') => format!("the value of {name} has a null byte"),
            _ if is_own => return wrong(format!("{name} is the watchdog's own"), "give another name"),
            _ => continue,
        };
        return wrong(what, "give names and values, such as { LANG = \"C.UTF-8\" }");
    }
    Ok(variables)
}

/// Reads a directory to run in.
pub fn working_directory(text: &str) -> Reading<PathBuf> {
    const INSTEAD: &str = "give the whole path, such as /srv/NAME";
    match text {
        _ if !text.starts_with('/') => wrong("does not begin with /", INSTEAD),
        _ if text.contains('\0') => wrong("contains a null byte", INSTEAD),
        _ => Ok(text.into()),
    }
}

/// Reads which permissions new files do not get.
pub fn umask(text: &str) -> Reading<u32> {
    let digits = text.trim().trim_start_matches("0o");
    let mask = u32::from_str_radix(digits, 8).ok().filter(|mask| *mask <= 0o777 && !digits.starts_with('+'));
    match mask {
        Some(mask) if digits == text && [3, 4].contains(&digits.len()) => Ok(mask),
        mask => wrong("is not three or four octal digits", format!("say \"{:03o}\"", mask.unwrap_or(0o022))),
    }
}

/// What is wrong with a `run_as` on any machine.
pub const NO_RUN_AS: &str = "is not a user, or a user and a group";

/// Reads whom to run as, who is to be known; if he may come later, that is found out at the start.
pub fn run_as(text: &str) -> Reading<RunAs> {
    const INSTEAD: &str = "give a user, and perhaps a group, such as www-data or www-data:adm";
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let is_odd = |name: &str| {
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || c == ':';
        name.is_empty() || name.starts_with('-') || name.contains(is_odd)
    };
    if is_odd(user) || group.is_some_and(is_odd) {
        return wrong(NO_RUN_AS, INSTEAD);
    }
    let run_as = RunAs { user: user.to_owned(), group: group.map(ToOwned::to_owned) };
    let mut account = Account::look_up(&run_as);
    account.wait();
    match account.identity() {
        Err(why) if !is_early_in_boot() => wrong(why, INSTEAD),
        _ => Ok(run_as),
    }
}

/// Reads a time that must pass between two things.
pub fn interval(text: &str) -> Reading<Duration> {
    match time(text)? {
        time if time < SHORTEST => wrong("too short", "give 10ms or more, such as 1s"),
        time => Ok(time),
    }
}

/// Reads a time that may be 0.
pub fn time(text: &str) -> Reading<Duration> {
    const INSTEAD: &str = "give seconds (5, 0.5) or units (90s, 1m 30s)";
    let text = text.trim();
    let time = match text.parse::<f64>() {
        Ok(seconds) if seconds < 0.0 => return wrong("negative", INSTEAD),
        Ok(seconds) if seconds.is_nan() => return wrong("not a time", INSTEAD),
        Ok(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
        Err(_) => match humantime::parse_duration(text) {
            Ok(time) => time,
            Err(humantime::DurationError::NumberOverflow) => Duration::MAX,
            Err(_) => return wrong("not a time", INSTEAD),
        },
    };
    if time > LONGEST { wrong("longer than 365 days", "give 365d or less") } else { Ok(time) }
}

/// Reads for how long failures of a young process do not count.
pub fn start_period(text: &str) -> Reading<Duration> {
    const TOO_LONG: &str = "is longer than a day, in which nothing would be done";
    match time(text)? {
        time if time > LONGEST_START => wrong(TOO_LONG, "give 1d or less, such as 60s"),
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
    const KILLS: &str = "give TERM: what does not heed it is killed after --stop-timeout";
    let name = text.trim().to_ascii_uppercase();
    let named = || format!("SIG{}", name.strip_prefix("SIG").unwrap_or(&name)).parse::<Signal>().ok();
    let number = name.parse().ok().or_else(|| named().map(|signal| signal as i32));
    match number {
        Some(libc::SIGKILL) => wrong("leaves no time to end in order", KILLS),
        Some(libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) => {
            wrong("suspends a process and does not end it", INSTEAD)
        }
        Some(libc::SIGCONT | libc::SIGCHLD | libc::SIGURG) => wrong("ends no process", INSTEAD),
        // The C library keeps those between for itself.
        Some(number @ (1..=31 | 34..=64)) => Ok(number),
        Some(_) | None => wrong("is no signal", INSTEAD),
    }
}

/// A signal as it is typed.
#[expect(clippy::trivially_copy_pass_by_ref)] // as all that shows a value
pub fn signal(number: &i32) -> String {
    let name = Signal::try_from(*number).ok().and_then(|signal| signal.as_str().strip_prefix("SIG"));
    name.map_or_else(|| number.to_string(), ToOwned::to_owned)
}

/// Reads the statuses with which a process ends as expected.
pub fn exit_codes(text: &str) -> Reading<BTreeSet<u8>> {
    const INSTEAD: &str =
        "give numbers from 0 to 255, such as [0, 3]; SIGTERM, SIGINT and SIGHUP are expected in any case";
    let code = |item: String| item.parse().or_else(|_| wrong(format!("'{item}' is no exit status"), INSTEAD));
    list(text)?.into_iter().map(code).collect()
}

/// Reads how many probes have to fail.
pub fn failures(text: &str) -> Reading<u32> {
    whole(text, 1, HIGHEST_COUNT, "give 1 to 1000000, such as 3")
}

/// Reads a number of failures; `None` is unlimited.
pub fn count(text: &str, once: bool) -> Reading<Option<u32>> {
    match text.trim() {
        "unlimited" if once => {
            wrong("cannot be combined with --once", "give a number, such as 3, or leave out --once")
        }
        "unlimited" => Ok(None),
        _ => whole(text, 1, HIGHEST_COUNT, "give 1 to 1000000, such as 3, or 'unlimited'").map(Some),
    }
}

/// Reads a number of lines.
pub fn lines(text: &str) -> Reading<u32> {
    whole(text, 0, HIGHEST_COUNT, "give 0 to 1000000, such as 100")
}

/// Reads a number of old logs.
pub fn log_files(text: &str) -> Reading<usize> {
    whole(text, 0, MOST_LOGS, "give 0 to 1000, such as 5").map(|number| number as usize)
}

fn whole(text: &str, least: u32, most: u32, instead: &str) -> Reading<u32> {
    match text.trim().parse::<i128>() {
        Err(_) => wrong("not a whole number", instead),
        Ok(number) if number < least.into() => wrong("too small", instead),
        Ok(number) => match u32::try_from(number) {
            Ok(number) if number <= most => Ok(number),
            _ => wrong("too large", instead),
        },
    }
}

/// Reads the size of a log, in bytes.
pub fn log_size(text: &str) -> Reading<u64> {
    const INSTEAD: &str = "give 4KiB to 1TiB, such as 1MiB, or a number of bytes";
    match text.trim().parse::<ByteSize>() {
        Err(_) => wrong("not a size", INSTEAD),
        Ok(size) if size < SMALLEST_LOG => wrong("too small", INSTEAD),
        Ok(size) if size > LARGEST_LOG => wrong("too large", INSTEAD),
        Ok(size) => Ok(size.as_u64()),
    }
}

pub fn folder(given: &OsStr, instead: &str) -> Reading<PathBuf> {
    if given.is_empty() { wrong("empty", instead) } else { Ok(given.into()) }
}

/// Reads the file that names the process.
pub fn pid_file(given: &OsStr, namespace: Namespace) -> Reading<Option<PathBuf>> {
    const OTHER: &str =
        "cannot be combined with --pid-namespace any: a container's pid is another one outside";
    match given.as_bytes() {
        _ if namespace == Namespace::Any => wrong(OTHER, "leave out one of them"),
        [.., last] if *last != b'/' && !given.as_bytes().contains(&0) => Ok(Some(given.into())),
        _ => wrong("names no file", "give the file that it writes its pid to, such as /run/nginx.pid"),
    }
}

/// What is given, as a text.
pub fn text(given: &OsStr) -> Reading<&str> {
    given.to_str().map_or_else(|| wrong("not UTF-8", "type it again in UTF-8"), Ok)
}

/// A time as it can be typed, exactly.
pub fn exact(time: &Duration) -> String {
    let shown = span(*time);
    if self::time(&shown).as_ref() == Ok(time) { shown } else { time.as_secs_f64().to_string() }
}

/// A file or a directory.
pub fn path(path: &Path) -> String {
    path.display().to_string()
}

/// A flag.
pub fn on_or_off(is_on: bool) -> String {
    if is_on { ON } else { OFF }.to_owned()
}

/// A value, or the word for none.
pub fn or(value: Option<impl ToString>, none: &str) -> String {
    value.map_or_else(|| none.to_owned(), |value| value.to_string())
}
