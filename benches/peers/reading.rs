//! How long it takes to be told how many instances are: `status` in its forms, and `monit summary` of as many checks.

use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::fleet::{FIRST_LOOK, start};
use crate::machine::Machine;
use crate::stats::Summary;
use crate::watchers::{BUILD, OURS, Watcher};
use crate::{Plan, Result, say};

/// The time of one command.
pub struct Row {
    /// How many processes are watched.
    pub instances: usize,
    /// What is run.
    pub command: &'static str,
    /// From its start to its end.
    pub time: Summary,
}

/// Asks each watcher in its ways.
pub fn measure(machine: &Machine, watchers: &[&'static Watcher], plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &instances in &plan.fleets {
        for watcher in watchers {
            say(&format!("{instances} instances are read: {}", watcher.name));
            let names: Vec<_> = (0..instances).map(|number| watcher.process_name(number)).collect();
            let _watched = start(machine, watcher, &names)?;
            let _watching = watcher.watch(machine, &names)?;
            sleep(plan.settle + FIRST_LOOK * u32::try_from(instances)?);
            let last = names.last().ok_or("no instances")?;
            for command in commands(watcher) {
                let times =
                    (0..=plan.looks).map(|_| run(machine, command, last)).collect::<Result<Vec<_>>>()?;
                // The first finds nothing in any cache.
                let time = Summary::of(times.into_iter().skip(1)).ok_or("nothing was measured")?;
                rows.push(Row { instances, command, time });
            }
        }
    }
    Ok(rows)
}

fn commands(watcher: &Watcher) -> &'static [&'static str] {
    if watcher.name == OURS {
        &["watchdog status", "watchdog status --json", "watchdog status --prometheus"]
    } else {
        &["monit summary"]
    }
}

/// Runs it, which is to tell of the `last` one.
fn run(machine: &Machine, words: &str, last: &str) -> Result<Duration> {
    let mut words = words.split(' ');
    let is_monit = words.next() == Some("monit");
    let mut command = Command::new(if is_monit { PathBuf::from("monit") } else { machine.path(BUILD) });
    command.args(words);
    if is_monit {
        command.arg("-c").arg(machine.path("monitrc"));
    } else {
        command.arg("--state-dir").arg(machine.newest_folder("state")?);
    }
    let began = Instant::now();
    let output = command.output()?;
    let time = began.elapsed();
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && text.contains(last) {
        Ok(time)
    } else {
        let error = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?} tells nothing of {last}: {text}{error}").into())
    }
}
