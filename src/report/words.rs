//! Records, and how processes, times and ends are put into words.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use log::Level;

use crate::hold::{Held, Hold};
use crate::policy::Failure;
use crate::process::criteria::Mismatch;
use crate::process::oom::OutOfMemory;
use crate::process::remedy::Remedy;
use crate::process::scan::Candidate;
use crate::process::termination::{Termination, signal_name};
use crate::process::{ProcessInfo, remedy};
use crate::report::event::{Attempt, Row};
use crate::settings::pattern::literal;
use crate::settings::{Limits, Reach};
use crate::state::history::Tally;
use crate::state::lock::NoLock;
use crate::state::store::Unusable;
use crate::task::{CommandEnd, account, exited};
use crate::text::{plural, quoted, span};
use crate::time::by_the_clock;

/// How many processes are named in one record.
const MOST_NAMED: usize = 5;

/// A record.
#[derive(Debug)]
pub(super) struct Line {
    pub level: Level,
    pub text: String,
    pub reach: Reach,
}

pub(super) fn info(text: impl Into<String>) -> Line {
    Line { level: Level::Info, text: text.into(), reach: Reach::Usual }
}

pub(super) fn warn(text: impl Into<String>) -> Line {
    Line { level: Level::Warn, ..info(text) }
}

pub(super) fn error(text: impl Into<String>) -> Line {
    Line { level: Level::Error, ..info(text) }
}

/// What a run has come to.
pub(super) fn outcome(text: impl Into<String>) -> Line {
    Line { reach: Reach::Mail, ..warn(text) }
}

/// The same, if it is to be attended to.
pub(super) fn bad_outcome(text: impl Into<String>) -> Line {
    Line { reach: Reach::Mail, ..error(text) }
}

pub fn ended(end: &CommandEnd) -> String {
    use std::os::unix::process::ExitStatusExt;
    let Some(status) = end.status else { return format!("ended after {}", span(end.took)) };
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => exited(code),
        (None, signal) => format!("was ended by {}", signal_name(signal.unwrap_or_default())),
    };
    format!("{how} after {}", span(end.took))
}

pub(super) fn wrote(end: &CommandEnd) -> String {
    if end.said.is_empty() { String::new() } else { format!("; it wrote: '{}'", end.said.join(" | ")) }
}

/// What holds it, to be said of it.
pub fn held(Held { hold, detail, .. }: &Held) -> String {
    match (hold, detail) {
        (Hold::Paused, _) => "paused".to_owned(),
        (Hold::Stopped, _) => "stopped".to_owned(),
        (Hold::Upgrading, _) => "paused for an upgrade of packages".to_owned(),
        (Hold::Hours, _) => "outside its hours".to_owned(),
        (Hold::Version, _) => "waiting for the date of its first version".to_owned(),
        (Hold::Dependency, Some(what)) => format!("waiting for {what}"),
        (Hold::Dependency, None) => "waiting for what it depends on".to_owned(),
        (Hold::Finished, _) => "finished".to_owned(),
        (Hold::Shutdown, _) => "held by the shutdown of the machine".to_owned(),
    }
}

/// What holds it, and until when if that is known.
pub fn held_until(holds: &Held) -> String {
    let until = holds.until.map(|until| format!(" until {}", by_the_clock(until)));
    held(holds) + &until.unwrap_or_default()
}

/// How a process died.
pub(super) fn death(end: &Termination) -> String {
    format!("{} (pid {}) {} after {}", end.name, end.pid, end.exit, span(end.ran()))
}

/// What else is known of an end, in brackets: why it is `untold` how it died, and memory, and whether there
/// was too little of it.
pub(super) fn facts(untold: Option<&str>, end: &Termination) -> String {
    let kills = |count: u64| format!("{count} OOM {}", plural(count, "kill"));
    let out_of_memory = end.out_of_memory.map(|out_of_memory| match out_of_memory {
        OutOfMemory::Group(count) => {
            format!("the kernel ran out of memory: {} in its control group", kills(count))
        }
        OutOfMemory::Machine(count) => {
            format!("perhaps the kernel ran out of memory: {} on this machine", kills(count))
        }
    });
    let memory =
        end.memory.map(|bytes| format!("used {} at the last check", ByteSize(bytes).display().iec()));
    let facts: Vec<_> = untold.map(str::to_owned).into_iter().chain(out_of_memory).chain(memory).collect();
    if facts.is_empty() { String::new() } else { format!(" ({})", facts.join("; ")) }
}

/// Whether what a start command wrote is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    Quoted,
    /// Not if the record of its own end has done so.
    Elsewhere,
}

/// What an attempt looked like that failed, so long after it began.
pub fn failure(why: Failure, since: Duration, attempt: &Attempt, limits: &Limits, quote: Wrote) -> String {
    let Attempt { not_run, command, death: end, left_over, left_in_session, pid_file, is_quoted, .. } =
        attempt;
    let wrote = |end: &_| if quote == Wrote::Elsewhere && *is_quoted { String::new() } else { wrote(end) };
    let (command, died) = (command.as_ref(), end.as_ref().map(death));
    let with_command = command.map(|end| format!("; the start command {}{}", ended(end), wrote(end)));
    let with_command = with_command.unwrap_or_default();
    let what = match (why, not_run) {
        (Failure::Missing, Some(_)) if quote == Wrote::Elsewhere => {
            "the start command could not be run".to_owned()
        }
        (Failure::Missing, Some(error)) => format!("the start command could not be run: {error}"),
        (Failure::Missing, None) => {
            format!("not running {} after the start command{with_command}", span(since))
        }
        (Failure::Ended, _) => {
            died.unwrap_or_else(|| "the process ended since the last check".to_owned()) + &with_command
        }
        (Failure::Overran, _) => {
            let (timeout, wrote) = (span(limits.start_timeout), command.map(wrote).unwrap_or_default());
            format!("the start command ran longer than {timeout} (start_timeout) and was ended{wrote}")
        }
        (Failure::Unstable, _) => {
            let died = died.unwrap_or_else(|| "the process ended".to_owned());
            format!("{died}, within {} (stable_after)", span(limits.stable_after))
        }
    };
    let named = |what: &str, all: &[ProcessInfo]| (!all.is_empty()).then(|| format!("{what}: {}", list(all)));
    let left_over = named("left over", left_over);
    let left_in_session = named("still in the session of the dead process", left_in_session);
    let all = [Some(what), pid_file.clone(), left_over, left_in_session];
    all.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// What the failures of a row looked like.
pub(super) fn looks(row: &Row) -> String {
    let look = |row: &(u32, u32, String)| match row {
        (first, last, look) if first == last => format!("attempt {first}: {look}"),
        (first, last, look) => format!("attempts {first} to {last}: {look}"),
    };
    row.0.iter().map(look).collect::<Vec<_>>().join("; ")
}

/// Why a state file is of no use.
pub(super) fn unusable(why: &Unusable) -> String {
    match why {
        Unusable::Foreign { why, aside } => {
            let now = |path: &PathBuf| format!("starting a new one, the old one is now {}", path.display());
            let cannot = |error: &_| format!("starting a new one, and cannot keep the old one: {error}");
            let aside = aside.as_ref().map_or_else(cannot, now);
            format!("the state file is damaged ({why}); {aside}")
        }
        Unusable::Unreadable(error) => format!("cannot read the state file ({error}); starting a new one"),
    }
}

/// Why there is no lock.
pub(super) fn no_lock(why: &NoLock) -> String {
    match why {
        NoLock::Busy(holder) => format!("another watchdog has it{}", holder.in_brackets()),
        NoLock::Taken(Some(user)) => format!("user {user} has taken the name of its socket"),
        NoLock::Taken(None) => "somebody has taken the name of its socket".to_owned(),
        NoLock::Failed(error) => error.to_string(),
    }
}

/// How often it died, where that was not the first time.
pub(super) fn often(deaths: Tally) -> String {
    let deaths = deaths.to_string();
    if deaths.is_empty() { deaths } else { format!("; {deaths}") }
}

/// Processes, as the log names them: the first few, and how many more.
pub fn list(all: &[ProcessInfo]) -> String {
    few(all.iter().map(ToString::to_string).collect())
}

fn few(mut all: Vec<String>) -> String {
    let more = all.len().saturating_sub(MOST_NAMED);
    all.truncate(MOST_NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    all.join(", ") + &more
}

/// What to say of processes that match and are not one family: what they are, and a pattern for the
/// first alone.
pub fn ambiguity(matching: &[ProcessInfo]) -> Option<String> {
    let (first, others) = matching.split_first()?;
    let differ = |by: fn(&ProcessInfo, &ProcessInfo) -> bool| others.iter().any(|other| !by(first, other));
    let has_several_names = differ(|a, b| a.name == b.name);
    if !has_several_names && is_family(matching) {
        return None;
    }
    let what = if has_several_names { "processes of several names" } else { "several unrelated processes" };
    let quoted = |text: &str| quoted(OsStr::new(text));
    let pattern = |text: &str| quoted(&literal(text));
    let stricter = if has_several_names {
        let mut names: Vec<_> = matching.iter().map(|process| process.name.as_str()).collect();
        let mut known = BTreeSet::new();
        names.retain(|name| known.insert(*name));
        let each = names.iter().take(MOST_NAMED);
        let each = each.map(|name| format!("for {name} alone: --exact --process-name {}", pattern(name)));
        each.collect::<Vec<_>>().join("; ")
    } else if differ(|a, b| a.signature.user == b.signature.user) {
        format!("for {first} alone: --user {}", user_name(first.signature.user))
    } else if differ(|a, b| a.command_line == b.command_line) {
        let whole = quoted(&remedy::whole_line(&first.command_line));
        format!("for {first} alone: --full --process-name {whole}")
    } else {
        "they have the same name, user and command line: only --pid-file tells them apart".to_owned()
    };
    Some(format!("{what} match: {}; following {first}; {stricter}", list(matching)))
}

/// Whether processes come from one of them, or all from one parent and in one session.
fn is_family(all: &[ProcessInfo]) -> bool {
    let is_among = |pid| all.iter().any(|process| process.pid == pid);
    let mut roots = all.iter().filter(|process| !is_among(process.parent));
    let first = roots.next().map(|root| (root.parent, root.session));
    // Whatever has lost its parent is process 1's, or that of a service manager of a user's.
    roots.all(|root| Some((root.parent, root.session)) == first && root.parent != 1)
}

/// What nearly matches, and why it does not; `None` if there is nothing, or if anything matches.
pub fn near(candidates: &[Candidate]) -> Option<String> {
    // It may have come meanwhile.
    if candidates.iter().any(|candidate| candidate.mismatch.is_none()) {
        return None;
    }
    let is_worth_saying = |candidate: &&Candidate| {
        // That goes without saying, as do other instances of the program.
        !matches!(
            candidate.mismatch,
            Some(
                Mismatch::ThisProgram | Mismatch::StartCommand | Mismatch::Ancestor | Mismatch::NotInPidFile
            )
        )
    };
    let mut near = candidates.iter().filter(is_worth_saying).peekable();
    near.peek().is_some().then(|| candidate_list(near))
}

/// Processes that do not count, each with what would make it count: the first few, and how many more.
pub(super) fn candidate_list<'a>(candidates: impl Iterator<Item = &'a Candidate>) -> String {
    few(candidates.map(candidate).collect())
}

/// A process that does not count, with what would make it count.
pub(super) fn candidate(candidate: &Candidate) -> String {
    let Candidate { process, mismatch, remedy, .. } = candidate;
    // That its name is another is to be seen.
    let why = match (mismatch, remedy) {
        (Some(Mismatch::NameDiffers), Some(remedy)) => Some(format!("{} makes it count", options(remedy))),
        (Some(Mismatch::NameDiffers), None) => None,
        _ => why_not(candidate),
    };
    let why = why.map(|why| format!(", {why}")).unwrap_or_default();
    format!("'{}' (pid {}{why})", process.name, process.pid)
}

/// Why a process does not count, and what would make it count.
pub fn why_not(candidate: &Candidate) -> Option<String> {
    let mismatch = candidate.mismatch?;
    Some(match &candidate.remedy {
        Some(remedy) => format!("{mismatch}; {} makes it count", options(remedy)),
        None => mismatch.to_string(),
    })
}

/// Options as they are typed.
pub(super) fn options(remedy: &Remedy) -> String {
    let Remedy { exact, full, pattern, user, any_namespace } = remedy;
    let name = pattern.as_deref().map(|pattern| match quoted(OsStr::new(pattern)) {
        // Else it would be taken for an option.
        pattern if pattern.starts_with('-') => format!("--process-name={pattern}"),
        pattern => format!("--process-name {pattern}"),
    });
    let flag = |is_on: bool, flag: &str| is_on.then(|| flag.to_owned());
    let all = [
        flag(*exact, "--exact"),
        flag(*full, "--full"),
        name,
        flag(*any_namespace, "--pid-namespace any"),
        user.map(|user| format!("--user {}", user_name(user))),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// A user's name, or the number of one that has none.
pub fn user_name(uid: u32) -> String {
    account::user_name(uid).unwrap_or_else(|| uid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Signature;
    use crate::sys::Pid;

    fn process(pid: Pid, parent: Pid, name: &str, user: u32, command_line: &str) -> ProcessInfo {
        let signature = Signature::new(user, command_line.as_bytes());
        let command_line = command_line.to_owned();
        ProcessInfo { parent, session: 7, command_line, ..ProcessInfo::of_test(pid, name, signature) }
    }

    #[test]
    fn one_family_is_not_several() {
        let master = process(10, 1, "nginx", 0, "nginx: master");
        let workers =
            [process(11, 10, "nginx", 33, "nginx: worker"), process(12, 11, "nginx", 33, "nginx: worker")];
        assert_eq!(ambiguity(&[]), None);
        assert_eq!(ambiguity(std::slice::from_ref(&master)), None);
        assert_eq!(ambiguity(&[&[master.clone()][..], &workers].concat()), None);
        assert_eq!(
            ambiguity(&[process(7, 5, "x", 0, "x"), process(8, 5, "x", 0, "x")]),
            None,
            "of one parent"
        );
        let of_another_session = ProcessInfo { session: 8, ..process(8, 5, "x", 0, "y") };
        assert!(ambiguity(&[process(7, 5, "x", 0, "x"), of_another_session]).is_some());
    }

    #[test]
    fn several_are_named_with_a_stricter_pattern() {
        for (others, said) in [
            (
                process(20, 10, "docker-proxy", 0, "p"),
                "processes of several names match: dockerd (pid 10), docker-proxy (pid 20); following dockerd (pid 10); for dockerd alone: --exact --process-name dockerd; for docker-proxy alone: --exact --process-name docker-proxy",
            ),
            (
                process(20, 1, "dockerd", 65_533, "d"),
                "several unrelated processes match: dockerd (pid 10), dockerd (pid 20); following dockerd (pid 10); for dockerd (pid 10) alone: --user root",
            ),
            (
                process(20, 1, "dockerd", 0, "d"),
                "several unrelated processes match: dockerd (pid 10), dockerd (pid 20); following dockerd (pid 10); for dockerd (pid 10) alone: --full --process-name '^dockerd -x$'",
            ),
            (
                process(20, 1, "dockerd", 0, "dockerd -x"),
                "several unrelated processes match: dockerd (pid 10), dockerd (pid 20); following dockerd (pid 10); they have the same name, user and command line: only --pid-file tells them apart",
            ),
        ] {
            assert_eq!(
                ambiguity(&[process(10, 1, "dockerd", 0, "dockerd -x"), others]).as_deref(),
                Some(said)
            );
        }
    }

    #[test]
    fn near_misses_say_what_is_amiss() {
        let remedy = |mismatch: Option<Mismatch>| {
            let by_name = Remedy { exact: true, pattern: Some("docker\\-x".into()), ..Remedy::default() };
            mismatch.filter(|why| *why == Mismatch::NameDiffers).map(|_| by_name)
        };
        let candidate = |name, mismatch| Candidate {
            process: process(812, 1, name, 0, name),
            mismatch,
            remedy: remedy(mismatch),
            near: None,
        };
        assert_eq!(near(&[candidate("dockerd", Some(Mismatch::ThisProgram))]), None);
        assert_eq!(
            near(&[candidate("dcoker", Some(Mismatch::NameDiffers)), candidate("docker", None)]),
            None
        );
        assert_eq!(
            near(&[
                candidate("dockerd", Some(Mismatch::NameDiffers)),
                candidate("dcoker", Some(Mismatch::Zombie))
            ])
            .as_deref(),
            Some(
                "'dockerd' (pid 812, --exact --process-name 'docker\\-x' makes it count), 'dcoker' (pid 812, is dead (zombie))"
            )
        );
    }

    #[test]
    fn times_are_short_and_right() {
        for (millis, text) in [
            (0, "0ms"),
            (23, "23ms"),
            (999, "999ms"),
            (1000, "1s"),
            (1540, "1.5s"),
            (5000, "5s"),
            (60_000, "1m"),
            (90_000, "1m 30s"),
            (3_600_000, "1h"),
            (3_605_000, "1h"),
            (273_600_000, "3d 4h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }
}
