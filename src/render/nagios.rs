//! `status --nagios`: one line, as a plugin of Nagios or Icinga writes it.

use super::remark;
use crate::exit::ExitCode;
use crate::hold::Hold;
use crate::report::snapshot::{Snapshot, Status, Watcher};
use crate::text::{beginning, escaped, plural, span};

/// The longest text, in bytes: with the figures, a line has less than 1,000.
const LONGEST_TEXT: usize = 700;
/// A `--once` run that is longer ago is one that does not come any more.
const LATEST_CHECK: u64 = 300;

/// How it is; the last matters most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warning,
    Unknown,
    Critical,
}

impl Level {
    /// Its word, and the status that the plugin ends with.
    fn known_as(self) -> (&'static str, u8) {
        match self {
            Level::Ok => ("OK", 0),
            Level::Warning => ("WARNING", 1),
            Level::Critical => ("CRITICAL", 2),
            Level::Unknown => ("UNKNOWN", 3),
        }
    }
}

/// The line, and the exit status. Of several instances, the worst counts.
pub fn line(snapshots: &[Snapshot]) -> (String, ExitCode) {
    let mut judged: Vec<_> = snapshots.iter().map(judged).collect();
    judged.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    match (&*judged, snapshots) {
        ([], _) => unknown("no watchdog has run or is configured"),
        ([(level, text)], [one]) => written(*level, text, &figures(one)),
        ([(worst, _), ..], all) => {
            let (all, count) = (all.len(), |it| judged.iter().filter(|(level, _)| *level == it).count());
            let bad = judged.iter().filter(|(level, _)| *level != Level::Ok).map(|(_, text)| text.as_str());
            let well = format!("{} of {all} are well", count(Level::Ok));
            let texts: Vec<_> = [well.as_str()].into_iter().chain(bad).collect();
            let figure = |it: Level| format!("{}={};;;0;{all}", it.known_as().0.to_lowercase(), count(it));
            let figures = [Level::Ok, Level::Warning, Level::Critical, Level::Unknown].map(figure);
            written(*worst, &texts.join("; "), &figures.join(" "))
        }
    }
}

/// The line of whoever cannot tell.
pub fn unknown(why: &str) -> (String, ExitCode) {
    written(Level::Unknown, why, "")
}

fn written(level: Level, text: &str, figures: &str) -> (String, ExitCode) {
    // What follows a bar is figures.
    let text = escaped(text).replace('|', "/");
    let short = beginning(&text, LONGEST_TEXT);
    let dots = if short.len() < text.len() { "..." } else { "" };
    let figures = if figures.is_empty() { String::new() } else { format!(" | {figures}") };
    let (word, status) = level.known_as();
    (format!("WATCHDOG {word} - {short}{dots}{figures}\n"), ExitCode::Nagios(status))
}

/// How an instance is, in words.
fn judged(at: &Snapshot) -> (Level, String) {
    let mut level = match at.status {
        Status::Running => Level::Ok,
        Status::Starting | Status::Suspended | Status::Stopping => Level::Warning,
        Status::Unhealthy => Level::Critical,
        Status::NotRunning => at.holds.iter().map(|hold| level_of(*hold)).min().unwrap_or(Level::Critical),
        Status::Unknown => Level::Unknown,
    };
    let mut parts = vec![what_it_is(at)];
    let state = at.state.as_ref();
    if let Some(state) = state.filter(|_| at.status.is_up()) {
        parts.push(format!("{} {}", state.restarts, plural(state.restarts, "restart")));
    }
    if let Some(failures) = remark::failures(at) {
        parts.push(failures);
        level = level.max(Level::Warning);
    }
    let deaths = state.map(|state| state.deaths.tally(at.at)).filter(|deaths| deaths.is_flapping());
    if let Some(deaths) = deaths {
        parts.push(deaths.to_string());
        level = level.max(Level::Warning);
    }
    parts.extend(at.remarks.iter().map(remark::words));
    if let Some(exit) = state.and_then(|state| state.last_exit.as_ref()).filter(|_| !at.status.is_up()) {
        parts.push(format!("last exit {exit}"));
    }
    if at.status != Status::Unknown && is_unwatched(at) {
        parts.push("not watched".to_owned());
        level = level.max(Level::Warning);
    }
    (level, parts.join(", "))
}

/// What a process that does not run is, if this holds it.
fn level_of(hold: Hold) -> Level {
    match hold {
        Hold::Hours | Hold::Version | Hold::Finished => Level::Ok,
        Hold::Paused | Hold::Stopped | Hold::Upgrading | Hold::Dependency | Hold::Shutdown => Level::Warning,
    }
}

fn what_it_is(at: &Snapshot) -> String {
    let since = at.since.map(|since| format!(" for {}", span(at.ago(since)))).unwrap_or_default();
    match (&at.process, at.status) {
        (Some(process), Status::Running) => format!("{} (pid {}) runs{since}", at.name, process.pid),
        (Some(process), status) => {
            // How long it has run is not how long it has been unhealthy.
            let has_run = if status == Status::Starting || since.is_empty() { "" } else { ", has run" };
            format!("{} (pid {}) is {}{has_run}{since}", at.name, process.pid, status.name())
        }
        (None, status) => format!("{} is {}{since}", at.name, status.name()),
    }
}

fn is_unwatched(at: &Snapshot) -> bool {
    let is_once = at.state.as_ref().is_some_and(|state| state.once);
    let is_late = at.checked.is_none_or(|ago| ago.as_secs() > LATEST_CHECK);
    at.watcher == Watcher::Nobody && (!is_once || is_late)
}

fn figures(at: &Snapshot) -> String {
    let Some(state) = &at.state else { return String::new() };
    let up = match at.status {
        Status::Unknown => "U".to_owned(),
        status => u8::from(status.is_up()).to_string(),
    };
    let uptime = at.since.filter(|_| at.status.is_up()).map(|since| at.ago(since).as_secs());
    let uptime = uptime.map(|uptime| format!(" uptime={uptime}s;;;0")).unwrap_or_default();
    // The last failure is a give-up.
    let (last, most) = match state.max_fail_count {
        Some(most) => (most.saturating_sub(1).to_string(), format!(";{most}")),
        None => (String::new(), String::new()),
    };
    format!(
        "up={up};;1:;0;1{uptime} restarts={}c;;;0 failures={};0;{last};0{most}",
        state.restarts, state.memory.failures
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::status_table::tests::snapshot;
    use crate::report::snapshot::Remark;

    #[test]
    fn each_status_has_its_level() {
        let well = |status| {
            let mut at = snapshot("web", true);
            at.status = status;
            if let Some(state) = &mut at.state {
                state.memory.failures = 0;
            }
            at
        };
        let down = |holds: &[Hold]| Snapshot { holds: holds.into(), ..snapshot("web", false) };
        let watched_by = |watcher, at| Snapshot { watcher, ..at };
        for (at, status, said) in [
            (well(Status::Running), 0, "OK - web (pid 1234567) runs for 23h 59m, 0 restarts | "),
            (well(Status::Starting), 1, "WARNING - web (pid 1234567) is starting for 23h 59m, 0 restarts | "),
            (well(Status::Suspended), 1, "WARNING - web (pid 1234567) is suspended, has run for 23h 59m"),
            (well(Status::Stopping), 1, "WARNING - web (pid 1234567) is stopping, has run for"),
            (well(Status::Unhealthy), 2, "CRITICAL - web (pid 1234567) is unhealthy, has run for"),
            (
                watched_by(Watcher::Nobody, well(Status::Running)),
                1,
                "WARNING - web (pid 1234567) runs for 23h",
            ),
            (watched_by(Watcher::Hidden, well(Status::Running)), 0, "OK - "),
            (
                snapshot("web", true),
                1,
                "WARNING - web (pid 1234567) runs for 23h 59m, 0 restarts, failures: 3 of 3 | ",
            ),
            (
                down(&[]),
                2,
                "CRITICAL - web is not running for 23h 59m, failures: 3 of 3, gave up | up=0;;1:;0;1 rest",
            ),
            (down(&[Hold::Paused]), 1, "WARNING - "),
            (down(&[Hold::Stopped, Hold::Upgrading]), 1, "WARNING - "),
            (down(&[Hold::Dependency]), 1, "WARNING - "),
        ] {
            let (line, ends_with) = line(std::slice::from_ref(&at));
            assert_eq!(ends_with, ExitCode::Nagios(status), "{line}");
            assert!(line.starts_with(&format!("WATCHDOG {said}")), "{line}");
        }
    }

    #[test]
    fn a_line_is_one_and_short_whatever_there_is_to_say() {
        let odd = Remark::UnreadableState(format!("a|b\nc\x1b{}", "ü".repeat(2000)));
        let many: Vec<_> = (0..1000).map(|n| snapshot(&format!("web{n}"), n % 2 == 0)).collect();
        let odd = [Snapshot { remarks: vec![odd], ..snapshot("web", false) }];
        for snapshots in [&odd[..], &many] {
            let (line, _) = line(snapshots);
            assert!(line.len() < 1000 && line.ends_with('\n'), "{} {line}", line.len());
            assert!(!line.trim_end().contains(|c: char| c.is_control()), "{line}");
            assert_eq!(line.matches('|').count(), 1, "{line}");
        }
    }
}
