//! `status`: a line for each instance.

use std::time::Duration;

use super::{remark, table};
use crate::report::snapshot::{Remark, Snapshot, Watcher};
use crate::settings::versions::date;
use crate::text::span;

const NOTHING: &str = "-";

/// A column: its head, what it has of an instance, and how often the table may be made narrower before it is left out.
struct Column(&'static str, fn(&Snapshot) -> Option<String>, u8);

const COLUMNS: [Column; 9] = [
    Column("NAME", |snapshot| Some(snapshot.name.clone()), ALWAYS),
    Column("STATE", |snapshot| Some(snapshot.status.name().to_owned()), ALWAYS),
    Column("PID", |snapshot| Some(snapshot.process.as_ref()?.pid.to_string()), ALWAYS),
    Column("FOR", |snapshot| Some(seconds(snapshot.ago(snapshot.since?))), 3),
    Column("RESTARTS", |snapshot| Some(snapshot.state.as_ref()?.restarts.to_string()), 0),
    Column("FAILURES", failures, 1),
    Column("CHECKED", checked, 0),
    Column("WATCHDOG", watchdog, 2),
    Column("LAST EXIT", last_exit, 0),
];
const ALWAYS: u8 = 4;

/// The table, with its head: as many columns as fit into a terminal this `wide`, or, where there is none, into 80.
pub fn page(snapshots: &[Snapshot], wide: Option<usize>) -> String {
    let first = u8::from(wide.is_none());
    let fits = |lines: &Vec<String>| lines.iter().all(|line| line.chars().count() <= wide.unwrap_or(80));
    let mut tables = (first..ALWAYS).map(|narrower| lines(snapshots, narrower));
    let table = tables.find(fits).unwrap_or_else(|| lines(snapshots, ALWAYS));
    table.join("\n") + "\n"
}

fn lines(snapshots: &[Snapshot], narrower: u8) -> Vec<String> {
    let columns: Vec<_> = COLUMNS.iter().filter(|Column(.., until)| narrower <= *until).collect();
    let head = columns.iter().map(|Column(head, ..)| (*head).to_owned());
    let mut rows = vec![head.chain(["NOTE".to_owned()]).collect::<Vec<_>>()];
    rows.extend(snapshots.iter().map(|snapshot| {
        let cells = columns.iter().map(|Column(_, cell, _)| cell(snapshot));
        let cells = cells.chain([note(snapshot, narrower == 0)]);
        cells.map(|cell| cell.unwrap_or_else(|| NOTHING.to_owned())).collect()
    }));
    table::lines(&rows, "  ", table::WIDEST)
}

fn failures(snapshot: &Snapshot) -> Option<String> {
    let state = snapshot.state.as_ref()?;
    let most = state.max_fail_count.map_or_else(|| "unlimited".to_owned(), |most| most.to_string());
    Some(format!("{} of {most}", state.memory.failures))
}

fn checked(snapshot: &Snapshot) -> Option<String> {
    Some(match snapshot.checked? {
        age if age.as_secs() == 0 => "now".to_owned(),
        age => format!("{} ago", seconds(age)),
    })
}

fn watchdog(snapshot: &Snapshot) -> Option<String> {
    Some(match (snapshot.watcher, snapshot.state.as_ref()?.once) {
        (Watcher::Hidden, false) => return None,
        (Watcher::At(pid), true) => format!("--once, pid {pid}"),
        (Watcher::At(pid), false) => format!("pid {pid}"),
        (Watcher::Hidden | Watcher::Nobody, true) => "--once".to_owned(),
        (Watcher::Nobody, false) => "none".to_owned(),
    })
}

fn last_exit(snapshot: &Snapshot) -> Option<String> {
    let exit = snapshot.state.as_ref()?.last_exit.as_ref()?;
    Some(format!("{} ago: {exit}", seconds(snapshot.ago(exit.at_ms))))
}

/// What there is to say beside that: the last exit, if it has no column and there is nothing else.
fn note(snapshot: &Snapshot, has_last_exit: bool) -> Option<String> {
    let Some(remark) = snapshot.remarks.last() else {
        let version = snapshot.state.as_ref().and_then(|state| date(state.memory.version?));
        let version = version.map(|version| format!("version of {version}"));
        let exit = last_exit(snapshot).filter(|_| !has_last_exit);
        return version.or_else(|| exit.map(|exit| format!("last exit {exit}")));
    };
    let words = remark::words(remark);
    let left = remark.until().map(|until| seconds(snapshot.left(until)));
    Some(match (remark, left) {
        (Remark::GivenUp { .. }, Some(left)) => format!("{words}, retry in {left}"),
        (_, Some(left)) => format!("{words}, {left} left"),
        (_, None) => words,
    })
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0 => "0s".to_owned(),
        seconds => span(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::policy::Memory;
    use crate::report::snapshot::{Process, Status};
    use crate::state::State;
    use std::path::PathBuf;

    pub fn snapshot(name: &str, is_running: bool) -> Snapshot {
        let at = Duration::from_secs(100_000);
        let memory = Memory { failures: 3, ..Memory::default() };
        let state = State { memory, max_fail_count: Some(3), ..State::default() };
        Snapshot {
            name: name.to_owned(),
            folder: PathBuf::new(),
            at,
            status: if is_running { Status::Running } else { Status::NotRunning },
            process: is_running.then(|| Process { pid: 1_234_567, name: "x".to_owned() }),
            since: at.checked_sub(Duration::from_secs(86_340)),
            remarks: if is_running {
                Vec::new()
            } else {
                vec![Remark::GivenUp { until: at.checked_add(Duration::from_secs(597)) }]
            },
            holds: Vec::new(),
            checked: Some(Duration::ZERO),
            watcher: Watcher::At(1_234_568),
            state: Some(Box::new(state)),
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_the_note_never() {
        let head = |name: &str, wide: Option<usize>| {
            let page = page(&[snapshot(name, false), snapshot("web", true)], wide);
            let limit = wide.unwrap_or(80);
            assert!(page.lines().all(|line| line.chars().count() <= limit), "{limit}: {page}");
            assert!(page.contains("gave up, retry in 9m 57s\n"), "{page}");
            let head = page.lines().next().unwrap_or_default();
            head.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let twelve = "orderservice";
        let all = "NAME STATE PID FOR RESTARTS FAILURES CHECKED WATCHDOG LAST EXIT NOTE";
        assert_eq!(head(twelve, Some(200)), all);
        assert_eq!(head(twelve, Some(100)), "NAME STATE PID FOR FAILURES WATCHDOG NOTE");
        assert_eq!(head(twelve, None), "NAME STATE PID FOR NOTE");
        assert_eq!(head(twelve, Some(80)), head(twelve, None));
        assert_eq!(head(&"a".repeat(28), None), "NAME STATE PID NOTE");
    }
}
