//! What a watcher costs while all is well.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::machine::{Group, Machine};
use crate::watchers::{Watcher, find_program};
use crate::{Plan, Result, say};

/// The cost of one watcher with one process to watch.
pub struct Row {
    /// Processes on the machine.
    pub processes: usize,
    /// Who.
    pub watcher: &'static Watcher,
    /// CPU time in each second, children included.
    pub cpu: Duration,
    /// How often in a second; `None` where perf cannot be had.
    pub counts: Option<Counts>,
    /// Memory.
    pub memory: Memory,
}

/// What perf counts, per second.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// System calls.
    pub calls: f64,
    /// Times that a thread went to sleep, and so was woken.
    pub wakeups: f64,
}

/// The memory of some processes, in bytes (`/proc/PID/smaps_rollup`).
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Anonymous: what is nobody else's.
    pub anonymous: u64,
    /// What is shared, divided by how many share it.
    pub pss: u64,
    /// All of it.
    pub rss: u64,
}

/// Measures each watcher alone.
pub fn measure(
    machine: &Machine,
    watchers: &[&'static Watcher],
    plan: &Plan,
    processes: usize,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut fill = None;
    for watcher in watchers.iter().filter(|watcher| watcher.costs) {
        say(&format!("{processes} processes, quiet: {}", watcher.name));
        let names = [watcher.process_name(0)];
        let group = watcher.watch(machine, &names)?;
        let watched = machine.await_all(&names)?[0].pid;
        if fill.is_none() {
            fill = Some(machine.fill(processes)?);
        }
        let cpu = cpu_per_second(&group, plan.settle, plan.window)?;
        let mut pids = group.pids()?;
        pids.retain(|pid| *pid != watched);
        let memory = Memory::of(&pids);
        let counts = count(&group.spawned(), plan.counting);
        rows.push(Row { processes, watcher, cpu, counts, memory });
    }
    Ok(rows)
}

/// CPU time that a group takes in each second of `window`, from `settle` on.
pub fn cpu_per_second(group: &Group, settle: Duration, window: Duration) -> Result<Duration> {
    sleep(settle);
    let (before, began) = (group.cpu()?, Instant::now());
    sleep(window);
    let (after, took) = (group.cpu()?, began.elapsed());
    Ok(after.saturating_sub(before).div_f64(took.as_secs_f64()))
}

/// Counts what these processes, and children of theirs that are yet to come, do.
pub fn count(pids: &[i32], time: Duration) -> Option<Counts> {
    let pids = pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let output = Command::new(find_program("perf")?)
        .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-e", "sched:sched_switch"])
        // The lower bits are set for one that went to sleep; one that had to make room is still running.
        .args(["--filter", "prev_state & 255", "-p", &pids, "sleep", &time.as_secs_f64().to_string()])
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stderr).ok().filter(|_| output.status.success())?;
    let per_second = |event: &str| {
        let line = text.lines().find(|line| line.contains(event))?;
        // An event that never happened in a process that never ran is 'not counted'.
        let count = line.split(',').next()?;
        let count: f64 = if count == "<not counted>" { 0.0 } else { count.parse().ok()? };
        Some(count / time.as_secs_f64())
    };
    Some(Counts { calls: per_second("sys_enter")?, wakeups: per_second("sched_switch")? })
}

impl Memory {
    /// The memory of these processes together; one that is gone has none.
    pub fn of(pids: &[i32]) -> Self {
        let mut sum = Memory::default();
        for pid in pids {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let bytes = |field: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
                let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
                number.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
            };
            sum.anonymous += bytes("Anonymous");
            sum.pss += bytes("Pss");
            sum.rss += bytes("Rss");
        }
        sum
    }
}
