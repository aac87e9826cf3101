//! Many instances beside each other, each with a process of its own.

use std::process::Command;
use std::time::Duration;

use crate::machine::{Arrival, Group, Machine};
use crate::quiet::{Memory, cpu_per_second};
use crate::watchers::{Watcher, text};
use crate::{Plan, Result, say};

/// How long an instance may take for its start, with as many others.
pub const FIRST_LOOK: Duration = Duration::from_millis(20);

/// What so many instances cost together.
pub struct Row {
    /// How many processes are watched.
    pub instances: usize,
    /// By whom.
    pub watcher: &'static Watcher,
    /// CPU time in each second, children included.
    pub cpu: Duration,
    /// Memory.
    pub memory: Memory,
}

/// Measures `watchdog`, monit, and those that are made for one process each.
pub fn measure(machine: &Machine, watchers: &[&'static Watcher], plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &instances in &plan.fleets {
        for watcher in watchers.iter().filter(|watcher| watcher.is_for_many) {
            say(&format!("{instances} instances: {}", watcher.name));
            let names: Vec<_> = (0..instances).map(|number| watcher.process_name(number)).collect();
            // Else starting them one after the other would take as long as the rest.
            let started = if watcher.takes_up { Some(start(machine, watcher, &names)?) } else { None };
            let group = watcher.watch(machine, &names)?;
            let pids = match &started {
                Some((_, arrivals)) => pids(arrivals),
                None => pids(&machine.await_all(&names)?),
            };
            // Each begins with a look through /proc.
            let settle = plan.settle + FIRST_LOOK * u32::try_from(instances)?;
            let cpu = cpu_per_second(&group, settle, plan.window)?;
            let mut watching = group.pids()?;
            watching.retain(|pid| !pids.contains(pid));
            rows.push(Row { instances, watcher, cpu, memory: Memory::of(&watching) });
        }
    }
    Ok(rows)
}

fn pids(arrivals: &[Arrival]) -> Vec<i32> {
    arrivals.iter().map(|arrival| arrival.pid).collect()
}

/// Starts the processes themselves, as children of process 1: monit takes a zombie for one that runs.
pub fn start(machine: &Machine, watcher: &Watcher, names: &[String]) -> Result<(Group, Vec<Arrival>)> {
    let mut group = machine.group(&format!("{}-watched", watcher.short))?;
    for name in names {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("{} &", text(&machine.start_words(name)?)));
        group.spawn(&command)?;
    }
    group.wait()?;
    Ok((group, machine.await_all(names)?))
}
