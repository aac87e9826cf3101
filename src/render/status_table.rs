//! `status`: a line for each instance.

use std::time::Duration;

use super::{remark, table};
use crate::report::snapshot::{Facts, Remark, Snapshot, Status, Watcher};
use crate::text::span;

const NOTHING: &str = "-";

/// A column: its head, what it has of an instance, and whether it is for those who have room only.
struct Column(&'static str, fn(&Snapshot) -> Option<String>, bool);

const COLUMNS: [Column; 9] = [
    Column("NAME", |snapshot| Some(snapshot.name.clone()), false),
    Column("STATE", |snapshot| Some(status(snapshot.status).to_owned()), false),
    Column("PID", |snapshot| Some(snapshot.process.as_ref()?.pid.to_string()), false),
    Column("FOR", |snapshot| Some(seconds(snapshot.ago(snapshot.since?))), false),
    Column("RESTARTS", |snapshot| Some(snapshot.facts.as_ref()?.restarts.to_string()), true),
    Column("FAILURES", failures, false),
    Column("CHECKED", checked, true),
    Column("WATCHDOG", watchdog, false),
    Column("LAST EXIT", last_exit, true),
];

/// The table, with its head: all columns if they fit into a terminal this `wide`, and else those that fit into 80
/// with ordinary names.
pub fn page(snapshots: &[Snapshot], wide: Option<usize>) -> String {
    let all = lines(snapshots, true);
    let fits = |wide| all.iter().all(|line| line.chars().count() <= wide);
    let lines = if wide.is_some_and(fits) { all } else { lines(snapshots, false) };
    lines.join("\n") + "\n"
}

fn lines(snapshots: &[Snapshot], has_room: bool) -> Vec<String> {
    let columns: Vec<_> = COLUMNS.iter().filter(|Column(.., if_room)| has_room || !if_room).collect();
    let head = columns.iter().map(|Column(head, ..)| (*head).to_owned());
    let mut rows = vec![head.chain(["NOTE".to_owned()]).collect::<Vec<_>>()];
    rows.extend(snapshots.iter().map(|snapshot| {
        let cells = columns.iter().map(|Column(_, cell, _)| cell(snapshot));
        let cells = cells.chain([note(snapshot, has_room)]);
        cells.map(|cell| cell.unwrap_or_else(|| NOTHING.to_owned())).collect()
    }));
    table::lines(&rows, "  ")
}

pub fn status(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::NotRunning => "not running",
        Status::Unknown => "unknown",
    }
}

fn failures(snapshot: &Snapshot) -> Option<String> {
    let facts = snapshot.facts.as_ref()?;
    let most = facts.max_fail_count.map_or_else(|| "unlimited".to_owned(), |most| most.to_string());
    Some(format!("{} of {most}", facts.failures))
}

fn checked(snapshot: &Snapshot) -> Option<String> {
    Some(match snapshot.checked? {
        age if age.as_secs() == 0 => "now".to_owned(),
        age => format!("{} ago", seconds(age)),
    })
}

fn watchdog(snapshot: &Snapshot) -> Option<String> {
    Some(match (snapshot.watcher, snapshot.facts.as_ref()?) {
        (Watcher::Hidden, Facts { once: false, .. }) => return None,
        (Watcher::At(pid), Facts { once: true, .. }) => format!("--once, pid {pid}"),
        (Watcher::At(pid), Facts { once: false, .. }) => format!("pid {pid}"),
        (Watcher::Hidden | Watcher::Nobody, Facts { once: true, .. }) => "--once".to_owned(),
        (Watcher::Nobody, Facts { once: false, .. }) => "none".to_owned(),
    })
}

fn last_exit(snapshot: &Snapshot) -> Option<String> {
    let exit = snapshot.facts.as_ref()?.last_exit.as_ref()?;
    Some(format!("{} ago: {exit}", seconds(snapshot.ago(exit.at_ms))))
}

/// What there is to say beside that: the last exit, if it has no column and there is nothing else.
fn note(snapshot: &Snapshot, has_last_exit: bool) -> Option<String> {
    let Some(remark) = snapshot.remarks.last() else {
        return last_exit(snapshot).filter(|_| !has_last_exit).map(|exit| format!("last exit {exit}"));
    };
    let words = remark::words(remark);
    Some(match remark {
        Remark::GivenUp { until: Some(until) } => {
            format!("{words}, retry in {}", seconds(snapshot.left(*until)))
        }
        Remark::Paused { until: Some(until) } => format!("{words}, {} left", seconds(snapshot.left(*until))),
        _ => words,
    })
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0 => "0s".to_owned(),
        seconds => span(Duration::from_secs(seconds)),
    }
}
