//! `status --watch`: what is on the screen at one moment.

use super::status_table;
use crate::report::snapshot::{Snapshot, Status};
use crate::text::plural;

/// The table, fitted into a terminal of `rows` and `columns`, which 0 are unknown. If it is too high, what is well is
/// left out first.
pub fn frame(mut snapshots: Vec<Snapshot>, (rows, columns): (u16, u16), time: &str) -> String {
    let or = |given: u16, usual: usize| if given == 0 { usual } else { given.into() };
    let (rows, columns) = (or(rows, 24), or(columns, 80));
    let count = snapshots.len();
    // Beside the first line, and the table's head.
    let room = rows.saturating_sub(2);
    if count > room {
        snapshots.sort_by_key(|it| it.status == Status::Running && it.remarks.is_empty());
        snapshots.truncate(room.saturating_sub(1));
    }
    let watchdogs = plural(count, "watchdog");
    let mut lines = vec![format!("{time}  {count} {watchdogs}; Ctrl-C to end")];
    lines.extend(status_table::page(&snapshots, Some(columns)).lines().map(str::to_owned));
    let more = count - snapshots.len();
    lines.extend((more > 0).then(|| format!("and {more} more")));
    let lines = lines.iter().take(rows).map(|line| line.chars().take(columns).collect());
    over(&lines.collect::<Vec<_>>())
}

/// These lines over what is there, one by one, so that nothing flickers; the last has no end, which would scroll.
pub fn over(lines: &[String]) -> String {
    format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n"))
}
