//! The memory of a watchdog that has just been started, and of one that has seen many deaths.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::deaths::{Pace, Victim, kill_all};
use crate::machine::{Group, Machine, run};
use crate::quiet::Memory;
use crate::watchers::{BUILD, Watcher};
use crate::{Plan, Result, say};

/// By then the process has been seen, and its attempt has succeeded. One that dies before has failed to start.
const PACE: Pace = Pace { life: Duration::from_millis(25), phase: Duration::ZERO };
/// The memory is read once more when one in so many deaths is over: what is only allocated once is there then.
const FIRST: usize = 20;

/// One watchdog.
pub struct Row {
    /// Who.
    pub watcher: &'static Watcher,
    /// How often its process was killed.
    pub deaths: usize,
    /// How often it has seen the process come back.
    pub noticed: usize,
    /// How long all the deaths took.
    pub took: Duration,
    /// Its private anonymous memory in bytes: after its start, after the first deaths, and in the end.
    pub memory: [u64; 3],
    /// How many the first deaths were.
    pub first: usize,
}

/// Kills the process of each, side by side, again and again.
pub fn measure(machine: &Machine, watchers: &[&'static Watcher], plan: &Plan) -> Result<Vec<Row>> {
    let first = plan.deaths_in_all / FIRST;
    say(&format!("{} deaths, as fast as they are noticed", plan.deaths_in_all));
    let mut groups = Vec::new();
    let mut victims = Vec::new();
    for (number, &watcher) in watchers.iter().enumerate() {
        let names = [watcher.process_name(0)];
        let group = watcher.watch(machine, &names)?;
        let state = machine.newest_folder("state")?;
        for arrival in machine.await_all(&names)? {
            victims.push(Victim::new(watcher, &arrival, PACE, number));
        }
        groups.push((group, state));
    }
    let read = || -> Result<Vec<(u64, usize)>> {
        sleep(plan.settle);
        groups.iter().map(|(group, state)| Ok((anonymous(group), starts(machine, state)?))).collect()
    };
    let mut took = Duration::ZERO;
    let mut kill = |deaths| -> Result<()> {
        let began = Instant::now();
        kill_all(machine, &mut victims, deaths, usize::MAX)?;
        took += began.elapsed();
        Ok(())
    };
    let before = read()?;
    kill(first)?;
    let early = read()?;
    kill(plan.deaths_in_all - first)?;
    let after = read()?;
    let rows = watchers.iter().zip(before).zip(early).zip(after);
    Ok(rows
        .map(|(((&watcher, before), early), after)| Row {
            watcher,
            deaths: plan.deaths_in_all,
            noticed: after.1 - before.1,
            took,
            memory: [before.0, early.0, after.0],
            first,
        })
        .collect())
}

fn anonymous(group: &Group) -> u64 {
    Memory::of(&group.spawned()).anonymous
}

/// How many starts have succeeded, as the one watchdog with its state there says.
fn starts(machine: &Machine, state: &Path) -> Result<usize> {
    let text = run(Command::new(machine.path(BUILD)).args(["status", "--json", "--state-dir"]).arg(state))?;
    let status: serde_json::Value = serde_json::from_str(&text)?;
    Ok(status[0]["restarts"].as_u64().ok_or("status --json has no restarts")?.try_into()?)
}
