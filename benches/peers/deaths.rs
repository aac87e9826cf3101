//! From a death to the new process: the watched process is killed with SIGKILL, and says itself when its
//! start command and it are there again.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::machine::{Arrival, Group, Machine, now};
use crate::stats::{Summary, spread};
use crate::watchers::{Notice, Watcher};
use crate::{Plan, Result, quiet, say};

/// runsv and s6-supervise hold back one that died within a second. The deaths are spread over the phase of the interval
/// of those that have one.
const PACE: Pace = Pace { life: Duration::from_millis(1100), phase: Duration::from_secs(1) };
/// How long a death may go unheeded.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a process lives.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// At least.
    pub life: Duration,
    /// And up to so much longer.
    pub phase: Duration,
}

impl Pace {
    fn due(self, number: usize) -> Instant {
        Instant::now() + self.life + self.phase.mul_f64(spread(number))
    }
}

/// What one watcher did.
pub struct Row {
    /// Processes on the machine.
    pub processes: usize,
    /// Who.
    pub watcher: &'static Watcher,
    /// From the signal to the first instruction of the start command's program.
    pub start_command: Summary,
    /// From the signal to the first instruction of the process under its name.
    pub process: Summary,
    /// System calls for one death and the start that follows, children included; of those that start at once, and where
    /// perf can be had.
    pub calls: Option<f64>,
}

/// Measures all of them: what those watch that start at once is killed in turn, one at a time; what the others
/// watch, beside each other.
pub fn measure(
    machine: &Machine,
    watchers: &[&'static Watcher],
    plan: &Plan,
    processes: usize,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (notice, beside, deaths, at_once) in
        [(Notice::AtOnce, plan.beside, plan.deaths, 1), (Notice::Later, 1, plan.deaths_later, usize::MAX)]
    {
        let watchers: Vec<_> = watchers.iter().copied().filter(|watcher| watcher.notice == notice).collect();
        let names: Vec<_> = watchers.iter().map(|watcher| watcher.name).collect();
        say(&format!("{processes} processes, {deaths} deaths each: {}", names.join(", ")));
        let mut victims = Vec::new();
        let mut groups = Vec::new();
        for watcher in watchers {
            let names: Vec<_> = (0..beside).map(|number| watcher.process_name(number)).collect();
            groups.push(watcher.watch(machine, &names)?);
            for arrival in machine.await_all(&names)? {
                victims.push(Victim::new(watcher, &arrival, PACE, victims.len()));
            }
        }
        let _fill = machine.fill(processes)?;
        kill_all(machine, &mut victims, deaths / beside, at_once)?;
        let mut sums = sum_up(processes, &victims);
        if notice == Notice::AtOnce {
            let firsts = victims.iter().filter(|victim| victim.name == victim.watcher.process_name(0));
            for ((row, group), victim) in sums.iter_mut().zip(&groups).zip(firsts) {
                row.calls = count_calls(group, victim, plan.counting);
            }
        }
        rows.extend(sums);
    }
    Ok(rows)
}

/// Counts the system calls of a group's first for a death in the middle of some time, which is not timed.
fn count_calls(group: &Group, victim: &Victim, time: Duration) -> Option<f64> {
    let counts = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(time / 2);
            kill(Pid::from_raw(victim.pid), Signal::SIGKILL)
        });
        quiet::count(&group.spawned()[..1], time)
    });
    Some(counts?.calls * time.as_secs_f64())
}

/// A process that is killed again and again.
pub struct Victim {
    watcher: &'static Watcher,
    name: String,
    pid: i32,
    pace: Pace,
    /// When it is killed, or given up.
    due: Instant,
    killed: Option<Duration>,
    deaths_left: usize,
    deaths: usize,
    /// Start command and process, after each death.
    times: Vec<(Duration, Duration)>,
}

impl Victim {
    /// The process that has arrived. Not all die in the same moment: it has a number.
    pub fn new(watcher: &'static Watcher, arrival: &Arrival, pace: Pace, number: usize) -> Self {
        Victim {
            watcher,
            name: arrival.name.clone(),
            pid: arrival.pid,
            pace,
            due: pace.due(number),
            killed: None,
            deaths_left: 0,
            deaths: 0,
            times: Vec::new(),
        }
    }

    fn kill(&mut self) -> Result<()> {
        self.deaths_left -= 1;
        self.deaths += 1;
        self.due = Instant::now() + PATIENCE;
        self.killed = Some(now());
        Ok(kill(Pid::from_raw(self.pid), Signal::SIGKILL)?)
    }

    fn is_back(&mut self, arrival: &Arrival) {
        self.pid = arrival.pid;
        self.due = self.pace.due(self.deaths);
        if let Some(killed) = self.killed.take() {
            self.times
                .push((arrival.start_command.saturating_sub(killed), arrival.process.saturating_sub(killed)));
        }
    }
}

/// Kills each victim so many times, with no more than `at_once` of them dead at a time.
pub fn kill_all(machine: &Machine, victims: &mut [Victim], deaths: usize, at_once: usize) -> Result<()> {
    for victim in victims.iter_mut() {
        victim.deaths_left = deaths;
    }
    loop {
        let dead = victims.iter().filter(|victim| victim.killed.is_some()).count();
        let next = victims
            .iter_mut()
            .filter(|victim| victim.killed.is_some() || (victim.deaths_left > 0 && dead < at_once))
            .min_by_key(|victim| victim.due);
        let Some(next) = next else { return Ok(()) };
        match machine.arrival(next.due.saturating_duration_since(Instant::now()))? {
            Some(arrival) => {
                if let Some(victim) = victims.iter_mut().find(|victim| victim.name == arrival.name) {
                    victim.is_back(&arrival);
                }
            }
            None if Instant::now() < next.due => {}
            None if next.killed.is_some() => {
                return Err(format!("{} did not heed a death in {PATIENCE:?}", next.watcher.name).into());
            }
            None => next.kill()?,
        }
    }
}

fn sum_up(processes: usize, victims: &[Victim]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for victim in victims {
        if rows.iter().any(|row| row.watcher.name == victim.watcher.name) {
            continue;
        }
        let all = victims.iter().filter(|other| other.watcher.name == victim.watcher.name);
        let times: Vec<_> = all.flat_map(|victim| &victim.times).collect();
        let start_command = Summary::of(times.iter().map(|(start_command, _)| *start_command));
        let process = Summary::of(times.iter().map(|(_, process)| *process));
        if let (Some(start_command), Some(process)) = (start_command, process) {
            rows.push(Row { processes, watcher: victim.watcher, start_command, process, calls: None });
        }
    }
    rows
}
