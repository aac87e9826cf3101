//! `status --json`: what scripts read.

use std::fmt::Write as _;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::remark;
use crate::process::oom::OutOfMemory;
use crate::report::snapshot::{Remark, Snapshot, Watcher};
use crate::settings::versions::date;
use crate::state::history;
use crate::text::is_control;

/// An object of the array. Fields are only added.
struct Instance<'a>(&'a Snapshot);

struct LastExit<'a>(&'a Snapshot, &'a history::LastExit);

struct LastStart<'a>(&'a Snapshot, &'a history::LastStart);

/// All instances as one JSON array.
pub fn array(snapshots: &[Snapshot]) -> String {
    let instances: Vec<_> = snapshots.iter().map(Instance).collect();
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

impl Serialize for Instance<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Instance(at) = self;
        let (state, process) = (at.state.as_ref(), at.process.as_ref());
        let series = state.and_then(|state| state.memory.health.series.as_ref());
        let deaths = state.map(|state| state.deaths.tally(at.at));
        let (remark, held) = (at.remarks.last(), at.held());
        let left = |until| at.left(until).as_secs();
        let watchdog = if let Watcher::At(pid) = at.watcher { Some(pid) } else { None };
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("name", &at.name)?;
        map.serialize_entry("state", at.status.name())?;
        map.serialize_entry("pid", &process.map(|process| process.pid))?;
        map.serialize_entry("process", &process.map(|process| &process.name))?;
        map.serialize_entry("for_seconds", &at.since.map(|since| at.ago(since).as_secs()))?;
        map.serialize_entry("restarts", &state.map(|state| state.restarts))?;
        map.serialize_entry("failures", &state.map(|state| state.memory.failures))?;
        map.serialize_entry("max_fail_count", &state.and_then(|state| state.max_fail_count))?;
        map.serialize_entry("standing", &remark.map(remark::for_scripts))?;
        map.serialize_entry("standing_seconds", &remark.and_then(Remark::until).map(left))?;
        map.serialize_entry("hold", &held.map(|held| held.hold.name()))?;
        map.serialize_entry("hold_seconds", &held.and_then(|held| held.until).map(left))?;
        map.serialize_entry("checked_seconds", &at.checked.map(|time| time.as_secs()))?;
        map.serialize_entry("watchdog_pid", &watchdog)?;
        map.serialize_entry("mode", &state.map(|state| if state.once { "once" } else { "service" }))?;
        map.serialize_entry("interval_seconds", &state.map(|state| state.interval_ms.as_secs_f64()))?;
        let last_exit = state.and_then(|state| state.last_exit.as_ref());
        map.serialize_entry("last_exit", &last_exit.map(|exit| LastExit(at, exit)))?;
        let last_start = state.and_then(|state| state.last_start.as_ref());
        map.serialize_entry("last_start", &last_start.map(|start| LastStart(at, start)))?;
        map.serialize_entry("deaths_last_hour", &deaths.map(|deaths| deaths.hour))?;
        map.serialize_entry("deaths_last_day", &deaths.map(|deaths| deaths.day))?;
        map.serialize_entry("health", &series.map(|series| series.condition))?;
        map.serialize_entry("health_failures", &series.map(|series| series.failures))?;
        let restarts = series.and(state).map(|state| state.memory.health.restarts);
        map.serialize_entry("health_restarts", &restarts)?;
        map.serialize_entry("version", &state.and_then(|state| date(state.memory.version?)))?;
        map.serialize_entry("folder", &at.folder.to_string_lossy())?;
        map.end()
    }
}

impl Serialize for LastExit<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let LastExit(at, exit) = self;
        let (in_group, on_machine) = match exit.out_of_memory {
            Some(OutOfMemory::Group(kills)) => (Some(kills), None),
            Some(OutOfMemory::Machine(kills)) => (None, Some(kills)),
            None => (None, None),
        };
        let ran = exit.at_ms.saturating_sub(exit.started_ms);
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("pid", &exit.pid)?;
        map.serialize_entry("process", &exit.name)?;
        map.serialize_entry("seconds_ago", &at.ago(exit.at_ms).as_secs())?;
        map.serialize_entry("ran_seconds", &ran.as_secs())?;
        map.serialize_entry("cause", &exit.cause)?;
        map.serialize_entry("status", &exit.status)?;
        map.serialize_entry("signal", &exit.signal)?;
        map.serialize_entry("core_dumped", &exit.core_dumped)?;
        map.serialize_entry("memory_bytes", &exit.memory_bytes)?;
        map.serialize_entry("oom_kills_in_group", &in_group)?;
        map.serialize_entry("oom_kills_on_machine", &on_machine)?;
        map.end()
    }
}

impl Serialize for LastStart<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let LastStart(at, start) = self;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("seconds_ago", &at.ago(start.at_ms).as_secs())?;
        map.serialize_entry("took_seconds", &start.took_ms.as_secs_f64())?;
        map.serialize_entry("status", &start.status)?;
        map.serialize_entry("signal", &start.signal)?;
        map.end()
    }
}
