//! From a death to the new process: the watched process is killed with SIGKILL, and says itself when its
//! start command and it are there again.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::machine::{Arrival, Machine, now};
use crate::stats::{Summary, spread};
use crate::watchers::{Notice, Watcher};
use crate::{Plan, Result, say};

/// How long a process lives at least: runsv and s6-supervise hold back one that died within a second.
const LIFE: Duration = Duration::from_millis(1100);
/// The interval of those that have one; over its phase the deaths are spread.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a death may go unheeded.
const PATIENCE: Duration = Duration::from_secs(30);

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
                victims.push(Victim::new(watcher, &arrival, deaths / beside, victims.len()));
            }
        }
        let _fill = machine.fill(processes)?;
        kill_all(machine, &mut victims, at_once)?;
        rows.extend(sum_up(processes, &victims));
    }
    Ok(rows)
}

/// A process that is killed again and again.
struct Victim {
    watcher: &'static Watcher,
    name: String,
    pid: i32,
    /// When it is killed, or given up.
    due: Instant,
    killed: Option<Duration>,
    deaths_left: usize,
    deaths: usize,
    /// Start command and process, after each death.
    times: Vec<(Duration, Duration)>,
}

impl Victim {
    fn new(watcher: &'static Watcher, arrival: &Arrival, deaths: usize, number: usize) -> Self {
        Victim {
            watcher,
            name: arrival.name.clone(),
            pid: arrival.pid,
            // Not all in the same moment.
            due: Instant::now() + LIFE + INTERVAL.mul_f64(spread(number)),
            killed: None,
            deaths_left: deaths,
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
        self.due = Instant::now() + LIFE + INTERVAL.mul_f64(spread(self.deaths));
        if let Some(killed) = self.killed.take() {
            self.times
                .push((arrival.start_command.saturating_sub(killed), arrival.process.saturating_sub(killed)));
        }
    }
}

/// Kills each victim as often as it has to be, with no more than `at_once` of them dead at a time.
fn kill_all(machine: &Machine, victims: &mut [Victim], at_once: usize) -> Result<()> {
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
            rows.push(Row { processes, watcher: victim.watcher, start_command, process });
        }
    }
    rows
}
