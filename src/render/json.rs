//! `status --json`: what scripts read.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Serialize;

use super::remark;
use crate::hold::Held;
use crate::policy::Condition;
use crate::process::oom::OutOfMemory;
use crate::process::termination::Cause;
use crate::report::snapshot::{Remark, Snapshot, Status, Watcher};
use crate::state::history;
use crate::sys::Pid;
use crate::text::is_control;

/// An object of the array. Fields are only added.
#[derive(Debug, Serialize)]
struct Instance<'a> {
    name: &'a str,
    state: Status,
    pid: Option<Pid>,
    process: Option<&'a str>,
    for_seconds: Option<u64>,
    restarts: Option<u64>,
    failures: Option<u32>,
    max_fail_count: Option<u32>,
    standing: Option<String>,
    standing_seconds: Option<u64>,
    hold: Option<&'static str>,
    hold_seconds: Option<u64>,
    checked_seconds: Option<u64>,
    watchdog_pid: Option<Pid>,
    mode: Option<&'static str>,
    interval_seconds: Option<f64>,
    last_exit: Option<LastExit<'a>>,
    last_start: Option<LastStart<'a>>,
    deaths_last_hour: Option<usize>,
    deaths_last_day: Option<usize>,
    health: Option<Condition>,
    health_failures: Option<u32>,
    health_restarts: Option<u32>,
    version: Option<&'a str>,
    folder: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
struct LastExit<'a> {
    pid: Pid,
    process: &'a str,
    seconds_ago: u64,
    ran_seconds: u64,
    cause: Cause,
    status: Option<i32>,
    signal: Option<&'a str>,
    core_dumped: bool,
    memory_bytes: Option<u64>,
    oom_kills_in_group: Option<u64>,
    oom_kills_on_machine: Option<u64>,
}

#[derive(Debug, Serialize)]
struct LastStart<'a> {
    seconds_ago: u64,
    took_seconds: f64,
    status: Option<i32>,
    signal: Option<&'a str>,
}

/// All instances as one JSON array.
pub fn array(snapshots: &[Snapshot]) -> String {
    let instances: Vec<_> = snapshots.iter().map(Instance::new).collect();
    // Nothing in it can fail to be written.
    let json = serde_json::to_string_pretty(&instances).unwrap_or_else(|_| "[]".to_owned());
    let mut text = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        // serde_json leaves some as they are, in what is quoted.
        if c != '\n' && is_control(c) {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text + "\n"
}

impl<'a> Instance<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let facts = snapshot.facts.as_ref();
        let series = facts.and_then(|facts| facts.series.as_ref());
        let (remark, held) = (snapshot.remarks.last(), snapshot.held());
        let until = match remark {
            Some(Remark::GivenUp { until } | Remark::Held(Held { until, .. })) => *until,
            _ => None,
        };
        Instance {
            name: &snapshot.name,
            state: snapshot.status,
            pid: snapshot.process.as_ref().map(|process| process.pid),
            process: snapshot.process.as_ref().map(|process| process.name.as_str()),
            for_seconds: snapshot.since.map(|since| snapshot.ago(since).as_secs()),
            restarts: facts.map(|facts| facts.restarts),
            failures: facts.map(|facts| facts.failures),
            max_fail_count: facts.and_then(|facts| facts.max_fail_count),
            standing: remark.map(remark::for_scripts),
            standing_seconds: until.map(|until| snapshot.left(until).as_secs()),
            hold: held.map(|held| held.hold.name()),
            hold_seconds: held.and_then(|held| held.until).map(|until| snapshot.left(until).as_secs()),
            checked_seconds: snapshot.checked.map(|time| time.as_secs()),
            watchdog_pid: if let Watcher::At(pid) = snapshot.watcher { Some(pid) } else { None },
            mode: facts.map(|facts| if facts.once { "once" } else { "service" }),
            interval_seconds: facts.map(|facts| facts.interval.as_secs_f64()),
            last_exit: facts.and_then(|facts| Some(LastExit::new(facts.last_exit.as_ref()?, snapshot))),
            last_start: facts.and_then(|facts| Some(LastStart::new(facts.last_start.as_ref()?, snapshot))),
            deaths_last_hour: facts.map(|facts| facts.deaths.hour),
            deaths_last_day: facts.map(|facts| facts.deaths.day),
            health: series.map(|series| series.condition),
            health_failures: series.map(|series| series.failures),
            health_restarts: series.and(facts).map(|facts| facts.health_restarts),
            version: facts.and_then(|facts| facts.applied_on.as_deref()),
            folder: snapshot.folder.to_string_lossy(),
        }
    }
}

impl<'a> LastExit<'a> {
    fn new(exit: &'a history::LastExit, snapshot: &Snapshot) -> Self {
        let (in_group, on_machine) = match exit.out_of_memory {
            Some(OutOfMemory::Group(kills)) => (Some(kills), None),
            Some(OutOfMemory::Machine(kills)) => (None, Some(kills)),
            None => (None, None),
        };
        LastExit {
            pid: exit.pid,
            process: &exit.name,
            seconds_ago: snapshot.ago(exit.at_ms).as_secs(),
            ran_seconds: exit.at_ms.saturating_sub(exit.started_ms).as_secs(),
            cause: exit.cause,
            status: exit.status,
            signal: exit.signal.as_deref(),
            core_dumped: exit.core_dumped,
            memory_bytes: exit.memory_bytes,
            oom_kills_in_group: in_group,
            oom_kills_on_machine: on_machine,
        }
    }
}

impl<'a> LastStart<'a> {
    fn new(start: &'a history::LastStart, snapshot: &Snapshot) -> Self {
        LastStart {
            seconds_ago: snapshot.ago(start.at_ms).as_secs(),
            took_seconds: start.took_ms.as_secs_f64(),
            status: start.status,
            signal: start.signal.as_deref(),
        }
    }
}
