//! `status`: a line for each instance.

use std::time::Duration;

use super::{remark, table};
use crate::report::snapshot::{Facts, Remark, Snapshot, Status, Watcher};
use crate::text::span;

const HEAD: [&str; 10] =
    ["NAME", "STATE", "PID", "FOR", "RESTARTS", "FAILURES", "STANDING", "CHECKED", "WATCHED BY", "LAST EXIT"];
const NOTHING: &str = "-";

/// The table, with its head.
pub fn page(snapshots: &[Snapshot]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(snapshots.iter().map(row));
    table::lines(&rows, "  ").join("\n") + "\n"
}

fn row(snapshot: &Snapshot) -> [String; 10] {
    let facts = snapshot.facts.as_ref();
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    [
        snapshot.name.clone(),
        status(snapshot.status).to_owned(),
        or_nothing(snapshot.process.as_ref().map(|process| process.pid.to_string())),
        or_nothing(snapshot.since.map(|since| seconds(snapshot.ago(since)))),
        or_nothing(facts.map(|facts| facts.restarts.to_string())),
        or_nothing(facts.map(|facts| {
            let most = facts.max_fail_count.map_or_else(|| "unlimited".to_owned(), |most| most.to_string());
            format!("{} of {most}", facts.failures)
        })),
        or_nothing(snapshot.remarks.last().map(|remark| remark_left(remark, snapshot))),
        or_nothing(snapshot.checked.map(|age| match age.as_secs() {
            0 => "now".to_owned(),
            _ => format!("{} ago", seconds(age)),
        })),
        watched_by(snapshot),
        or_nothing(
            facts
                .and_then(|facts| facts.last_exit.as_ref())
                .map(|exit| format!("{} ago: {exit}", seconds(snapshot.ago(exit.at_ms)))),
        ),
    ]
}

pub fn status(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::NotRunning => "not running",
        Status::Unknown => "unknown",
    }
}

fn remark_left(remark: &Remark, snapshot: &Snapshot) -> String {
    let words = remark::words(remark);
    match remark {
        Remark::GivenUp { until: Some(until) } | Remark::Paused { until: Some(until) } => {
            format!("{words}, {} left", seconds(snapshot.left(*until)))
        }
        _ => words,
    }
}

fn watched_by(snapshot: &Snapshot) -> String {
    match (snapshot.watcher, &snapshot.facts) {
        (_, None) | (Watcher::Hidden, Some(Facts { once: false, .. })) => NOTHING.to_owned(),
        (Watcher::At(pid), Some(facts)) if facts.once => format!("a --once run, pid {pid}"),
        (Watcher::At(pid), Some(facts)) => format!("pid {pid}, every {}", span(facts.interval)),
        (_, Some(facts)) if facts.once => "runs with --once".to_owned(),
        (Watcher::Hidden | Watcher::Nobody, Some(_)) => "nobody".to_owned(),
    }
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0 => "0s".to_owned(),
        seconds => span(Duration::from_secs(seconds)),
    }
}
