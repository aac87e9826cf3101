//! Many instances whose processes are killed at random: each death is to bring one process back, and no more.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fleet::{FIRST_LOOK, start};
use crate::machine::{Arrival, Machine, now};
use crate::quiet::{Memory, cpu_per_second};
use crate::stats::Summary;
use crate::watchers::Watcher;
use crate::{Plan, Result, say};

/// Milliseconds between two deaths: any number below this.
const BETWEEN: u64 = 400;

/// What became of so many.
pub struct Row {
    /// How many processes are watched.
    pub instances: usize,
    /// By whom.
    pub watcher: &'static Watcher,
    /// From the signal to the first instruction of the next process.
    pub back: Summary,
    /// Deaths that no process has come after.
    pub missed: usize,
    /// Processes that came without a death.
    pub twice: usize,
    /// CPU time in each second without deaths, children included.
    pub quiet: Duration,
    /// The same with them.
    pub cpu: Duration,
    /// Memory, in the end.
    pub memory: Memory,
}

/// Measures `watchdog` and monit.
pub fn measure(machine: &Machine, watchers: &[&'static Watcher], plan: &Plan) -> Result<Vec<Row>> {
    let instances = plan.random_instances;
    let mut rows = Vec::new();
    for watcher in watchers {
        say(&format!("{instances} instances, killed at random for {:?}: {}", plan.random, watcher.name));
        let names: Vec<_> = (0..instances).map(|number| watcher.process_name(number)).collect();
        let (_watched, arrivals) = start(machine, watcher, &names)?;
        let group = watcher.watch(machine, &names)?;
        let settle = plan.settle + FIRST_LOOK * u32::try_from(instances)?;
        let quiet = cpu_per_second(&group, settle, plan.probing)?;
        let mut victims = Victims::new(arrivals);
        let (before, began) = (group.cpu()?, Instant::now());
        victims.kill_for(machine, plan.random)?;
        let cpu = group.cpu()?.saturating_sub(before).div_f64(began.elapsed().as_secs_f64());
        victims.await_the_last(machine, plan.silence)?;
        let mut watching = group.pids()?;
        watching.retain(|pid| !victims.processes.iter().any(|process| process.pid == *pid));
        rows.push(Row {
            instances,
            watcher,
            back: Summary::of(victims.times.iter().copied()).ok_or("nothing was killed")?,
            missed: victims.missed().count(),
            twice: victims.twice,
            quiet,
            cpu,
            memory: Memory::of(&watching),
        });
    }
    Ok(rows)
}

struct Process {
    name: String,
    pid: i32,
    killed: Option<Duration>,
}

struct Victims {
    processes: Vec<Process>,
    times: Vec<Duration>,
    twice: usize,
}

impl Victims {
    fn new(arrivals: Vec<Arrival>) -> Self {
        let process = |arrival: Arrival| Process { name: arrival.name, pid: arrival.pid, killed: None };
        Victims { processes: arrivals.into_iter().map(process).collect(), times: Vec::new(), twice: 0 }
    }

    fn kill_for(&mut self, machine: &Machine, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            let next = Instant::now() + Duration::from_millis(random(BETWEEN));
            while let Some(arrival) = machine.arrival(next.saturating_duration_since(Instant::now()))? {
                self.is_there(&arrival);
            }
            self.kill_one()?;
        }
        Ok(())
    }

    /// One of those that live.
    fn kill_one(&mut self) -> Result<()> {
        let alive: Vec<_> = self.processes.iter_mut().filter(|process| process.killed.is_none()).collect();
        let chosen = random(alive.len().max(1).try_into()?).try_into()?;
        if let Some(process) = alive.into_iter().nth(chosen) {
            process.killed = Some(now());
            kill(Pid::from_raw(process.pid), Signal::SIGKILL)?;
        }
        Ok(())
    }

    fn is_there(&mut self, arrival: &Arrival) {
        let Some(process) = self.processes.iter_mut().find(|process| process.name == arrival.name) else {
            return;
        };
        if let Some(killed) = process.killed.take() {
            process.pid = arrival.pid;
            self.times.push(arrival.process.saturating_sub(killed));
        } else {
            say(&format!("{} was started though it ran", arrival.name));
            self.twice += 1;
        }
    }

    /// When none has come for so long, none will.
    fn await_the_last(&mut self, machine: &Machine, silence: Duration) -> Result<()> {
        while let Some(arrival) = machine.arrival(silence)? {
            self.is_there(&arrival);
        }
        let missed: Vec<_> = self.missed().map(|process| process.name.as_str()).collect();
        if !missed.is_empty() {
            say(&format!("not started again: {}", missed.join(", ")));
        }
        Ok(())
    }

    fn missed(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|process| process.killed.is_some())
    }
}

fn random(below: u64) -> u64 {
    RandomState::new().hash_one(()) % below
}
