//! The status line of a service manager (`sd_notify(3)`, `STATUS=`).

use std::fmt::Write as _;

use super::remark;
use crate::report::snapshot::{Remark, Snapshot, Status};
use crate::time::Time;

/// In one line, with times of the clock, which `by_the_clock` tells: a time from now would grow stale.
pub fn line(snapshot: &Snapshot, by_the_clock: impl Fn(Time) -> String) -> String {
    let from = |words: &str| {
        snapshot.since.map(|since| format!("{words} {}", by_the_clock(since))).unwrap_or_default()
    };
    let since = from(" since");
    let mut text = match (&snapshot.process, snapshot.status) {
        (Some(process), status) => {
            // Since when it has run is not since when it has been unhealthy.
            let is_same = matches!(status, Status::Running | Status::Starting);
            let since = if is_same { since } else { from(", started") };
            format!("{}: {} (pid {}){since}", status.name(), process.name, process.pid)
        }
        (None, Status::Unknown) => format!("cannot tell{since} whether it is running"),
        (None, _) => format!("not running{since}"),
    };
    if let Some(failures) = remark::failures(snapshot) {
        let _ = write!(text, "; {failures}");
    }
    // Of a process that runs it does not matter why nothing would be started.
    for remark in snapshot.remarks.iter().filter(|_| !snapshot.status.is_up()) {
        let words = remark::words(remark);
        let _ = match (remark, remark.until().map(&by_the_clock)) {
            (Remark::GivenUp { .. }, Some(time)) => write!(text, "; {words}, retry at {time}"),
            (_, Some(time)) => write!(text, "; {words} until {time}"),
            (_, None) => write!(text, "; {words}"),
        };
    }
    text
}
