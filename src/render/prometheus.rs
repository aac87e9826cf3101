//! `status --prometheus` and `--textfile`: metrics in Prometheus's text format, as `node_exporter`'s textfile collector
//! takes them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::hold::Hold;
use crate::policy::Condition;
use crate::report::snapshot::{Remark, Snapshot, Status, Watcher};
use crate::state::State;
use crate::state::counters::Counters;

/// A metric: its name, what its help says, and its samples of an instance. One whose name ends in `_total` is a counter, all
/// others are gauges.
struct Metric(&'static str, &'static str, fn(&Snapshot, Duration) -> Vec<Sample>);

/// The labels beside `name`, and the value.
type Sample = (Vec<(&'static str, String)>, String);

const METRICS: [Metric; 14] = [
    Metric("watchdog_info", "1; how the instance runs, and its version", |at, _| {
        at.state.iter().map(|state| info(state)).collect()
    }),
    Metric("watchdog_active", "Whether a watchdog is at work", |at, _| {
        plain(&u8::from(at.watcher != Watcher::Nobody))
    }),
    Metric("watchdog_process_up", "Whether the process runs; no sample while that is unknown", |at, _| {
        if at.status == Status::Unknown { Vec::new() } else { plain(&u8::from(at.status.is_up())) }
    }),
    Metric(
        "watchdog_process_healthy",
        "Whether the process works; no sample without a result of its probe",
        |at, _| is_healthy(at).map(|it| plain(&u8::from(it))).unwrap_or_default(),
    ),
    Metric("watchdog_hold", "Whether this holds the process: nothing is started", |at, _| holds(at)),
    Metric("watchdog_process_start_time_seconds", "When the process started, since 1970", |at, booted| {
        let started = at.since.filter(|_| at.status.is_up());
        started.map(|started| plain(&(booted + started).as_secs_f64())).unwrap_or_default()
    }),
    Metric("watchdog_failures", "Failed attempts in a row", |at, _| {
        plain(&at.state.as_ref().map_or(0, |state| state.memory.failures))
    }),
    Metric(
        "watchdog_last_check_timestamp_seconds",
        "When the last check was, since 1970; 0 if there was none",
        |at, booted| {
            let checked = at.checked.map(|ago| (booted + at.at).saturating_sub(ago));
            plain(&checked.unwrap_or_default().as_secs())
        },
    ),
    Metric("watchdog_starts_total", "Attempts to start the process, as they were judged", |at, _| {
        by("result", &counters(at).starts)
    }),
    Metric("watchdog_stops_total", "Stops of the process by the watchdog", |at, _| {
        by("reason", &counters(at).stops)
    }),
    Metric("watchdog_deaths_total", "Ends of the process that were not the watchdog's work", |at, _| {
        by("cause", &counters(at).deaths)
    }),
    Metric("watchdog_probes_total", "Probes, by what they found", |at, _| by("result", &counters(at).probes)),
    Metric("watchdog_give_ups_total", "Give-ups", |at, _| plain(&counters(at).give_ups)),
    Metric("watchdog_hook_failures_total", "Hooks that failed", |at, _| plain(&counters(at).hook_failures)),
];

/// Of a machine that was booted then, by the wall clock since 1970. Of two instances of one name, the first counts:
/// a series must be there once.
pub fn page(snapshots: &[Snapshot], booted: Duration) -> String {
    let mut names = BTreeSet::new();
    let snapshots: Vec<_> = snapshots.iter().filter(|at| names.insert(at.name.as_str())).collect();
    let mut text = String::new();
    for Metric(metric, help, samples) in &METRICS {
        let kind = if metric.ends_with("_total") { "counter" } else { "gauge" };
        let _ = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} {kind}");
        for at in &snapshots {
            for (labels, value) in samples(at, booted) {
                let _ = write!(text, "{metric}{{name=\"{}\"", label(&at.name));
                for (key, of) in labels {
                    let _ = write!(text, ",{key}=\"{}\"", label(&of));
                }
                let _ = writeln!(text, "}} {value}");
            }
        }
    }
    text
}

/// As a label's value is written.
fn label(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn plain(value: &impl ToString) -> Vec<Sample> {
    vec![(Vec::new(), value.to_string())]
}

/// Counters, by the names that they have in the state file.
fn by(key: &'static str, counters: &impl Serialize) -> Vec<Sample> {
    let counters = serde_json::to_value(counters).unwrap_or_default();
    let each = counters.as_object().into_iter().flatten();
    each.map(|(name, count)| (vec![(key, name.clone())], count.to_string())).collect()
}

fn info(state: &State) -> Sample {
    let mode = if state.once { "once" } else { "service" };
    (vec![("mode", mode.to_owned()), ("version", state.program_version.clone())], "1".to_owned())
}

/// All 0 before an instance has run.
fn counters(at: &Snapshot) -> Counters {
    at.state.as_ref().map(|state| state.counters).unwrap_or_default()
}

fn is_healthy(at: &Snapshot) -> Option<bool> {
    let series = at.state.as_ref()?.memory.health.series.filter(|_| at.status.is_up())?;
    match series.condition {
        _ if at.process.as_ref().is_none_or(|process| process.pid != series.process.pid) => None,
        Condition::Healthy => Some(true),
        Condition::Unhealthy => Some(false),
        Condition::Starting => None,
    }
}

fn holds(at: &Snapshot) -> Vec<Sample> {
    let is_given_up = at.remarks.iter().any(|remark| matches!(remark, Remark::GivenUp { .. }));
    let holds = Hold::ALL.into_iter().map(|hold| (hold.name(), at.holds.contains(&hold)));
    let holds = holds.chain([("given_up", is_given_up)]);
    holds.map(|(name, is_held)| (vec![("reason", name.to_owned())], u8::from(is_held).to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Why;
    use crate::time::Time;

    #[test]
    fn counters_have_the_names_of_what_they_count() {
        let names = |samples: Vec<Sample>| -> BTreeSet<String> {
            samples.into_iter().flat_map(|(labels, _)| labels).map(|(_, name)| name).collect()
        };
        let Counters { starts, stops, deaths, probes, .. } = Counters::default();
        let reasons =
            [Why::Unhealthy, Why::Request, Why::Hours, Why::Version].map(|why| why.name().to_owned());
        assert_eq!(names(by("reason", &stops)), reasons.into());
        for (samples, expected) in [
            (by("result", &starts), "failure success"),
            (by("cause", &deaths), "crashed finished killed out_of_memory stopped unknown"),
            (by("result", &probes), "failure success timeout unknown"),
        ] {
            assert!(samples.iter().all(|(_, count)| count == "0"), "{samples:?}");
            assert_eq!(names(samples).into_iter().collect::<Vec<_>>().join(" "), expected);
        }
    }

    #[test]
    fn a_name_is_quoted_and_is_there_once() {
        let snapshot = |name: &str| {
            let why = Remark::NotChecked;
            Snapshot::without_state(name.to_owned(), "/x".into(), Time::from_secs(5), why)
        };
        let page = page(&[snapshot("a\"b\\c\nd"), snapshot("web"), snapshot("web")], Duration::from_secs(9));
        assert!(page.contains("\nwatchdog_active{name=\"a\\\"b\\\\c\\nd\"} 0\n"), "{page}");
        assert_eq!(page.matches("watchdog_active{name=\"web\"} 0\n").count(), 1);
        for absent in
            ["watchdog_info{", "watchdog_process_up{", "watchdog_process_healthy{", "start_time_seconds{"]
        {
            assert!(!page.contains(absent), "{page}");
        }
        assert!(page.ends_with("} 0\n") && !page.contains("NaN"));
    }
}
