//! Many instances beside each other, each with a process of its own.

use std::process::Command;
use std::time::Duration;

use crate::machine::{Group, Machine};
use crate::quiet::{Memory, cpu_per_second};
use crate::watchers::Watcher;
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
            let (_watched, mut pids) =
                if watcher.takes_up { start(machine, watcher, &names)? } else { (None, Vec::new()) };
            let group = watcher.watch(machine, &names)?;
            if !watcher.takes_up {
                pids.extend(machine.await_all(&names)?.iter().map(|arrival| arrival.pid));
            }
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

/// Starts the processes themselves.
pub fn start(machine: &Machine, watcher: &Watcher, names: &[String]) -> Result<(Option<Group>, Vec<i32>)> {
    let mut group = machine.group(&format!("{}-watched", watcher.short))?;
    for name in names {
        let words = machine.start_words(name)?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        group.spawn(&command)?;
    }
    let pids = machine.await_all(names)?.iter().map(|arrival| arrival.pid).collect();
    Ok((Some(group), pids))
}
