//! One look: through /proc, in all ways that there are to do it, and by a program that looks once.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::machine::Machine;
use crate::stats::Summary;
use crate::watchers::{BUILD, STATIC_BUILD, find_program};
use crate::{Plan, Result, say};
use procfs::process::all_processes;
use watchdog::parts::{Criteria, Extent, Pattern, Proc, Tasks};

/// The process that is looked for.
const NAME: &str = "wb-looked-for";
/// One that there is not.
const ABSENT: &str = "wb-absent";

/// A way to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `watchdog`'s own, in this program.
    Scan,
    /// The same for a process that does not run, so that there is nothing to look at more closely.
    Pass,
    /// `benches/peers/scan.c`.
    C,
    /// `all_processes()` of the procfs crate, and the stat of each.
    Procfs,
    /// `watchdog --once`, from its start to its end.
    Once,
    /// The same, of the static build.
    OnceStatic,
    /// `pgrep -x`, from its start to its end.
    Pgrep,
    /// `true`, from its start to its end: what any program takes.
    Nothing,
}

impl Way {
    const ALL: [Way; 8] =
        [Way::Scan, Way::Pass, Way::C, Way::Procfs, Way::Once, Way::OnceStatic, Way::Pgrep, Way::Nothing];

    /// Its name in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Way::Scan => "`watchdog`'s scan",
            Way::Pass => "the same, nothing matches",
            Way::C => "C program, `/proc/PID/comm` and nothing else",
            Way::Procfs => "procfs crate, `all_processes()` and `stat()`",
            Way::Once => "`watchdog --once`, the whole run",
            Way::OnceStatic => "`watchdog --once`, static, the whole run",
            Way::Pgrep => "`pgrep -x NAME`, the whole run",
            Way::Nothing => "`true`, the whole run",
        }
    }
}

/// The time of one way.
pub struct Row {
    /// Processes on the machine.
    pub processes: usize,
    /// Which way.
    pub way: Way,
    /// One look.
    pub time: Summary,
}

/// Looks in all ways in turn.
pub fn measure(machine: &Machine, plan: &Plan, processes: usize) -> Result<Vec<Row>> {
    say(&format!("{processes} processes, {} looks in {} ways", plan.looks, Way::ALL.len()));
    let mut watched = machine.group("looks")?;
    let words = machine.start_words(NAME)?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    watched.spawn(&command)?;
    machine.await_all(&[NAME.to_owned()])?;
    let mut looker = Looker::new(machine)?;
    let _fill = machine.fill(processes)?;
    let mut times = vec![Vec::new(); Way::ALL.len()];
    for number in 0..=plan.looks {
        for (way, times) in Way::ALL.into_iter().zip(&mut times) {
            let time = looker.look(way)?;
            // The first finds nothing in any cache.
            if let (Some(time), true) = (time, number > 0) {
                times.push(time);
            }
        }
    }
    let rows = Way::ALL.into_iter().zip(times);
    Ok(rows.filter_map(|(way, times)| Some(Row { processes, way, time: Summary::of(times)? })).collect())
}

/// What is needed to look.
struct Looker<'a> {
    machine: &'a Machine,
    proc: Proc,
    present: Criteria,
    absent: Criteria,
    scan: std::process::Child,
}

impl<'a> Looker<'a> {
    fn new(machine: &'a Machine) -> Result<Self> {
        let exactly = |name| Ok::<_, String>(Criteria { pattern: pattern(name)?, ..Criteria::default() });
        let scan = Command::new(machine.path("scan"))
            .arg(NAME)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let proc = Proc::new(Path::new("/proc")).map_err(|unknown| unknown.0)?;
        Ok(Looker { machine, proc, present: exactly(NAME)?, absent: exactly(ABSENT)?, scan })
    }

    /// One look; `None` if there is no such program.
    fn look(&mut self, way: Way) -> Result<Option<Duration>> {
        let began = Instant::now();
        let time = match way {
            Way::Scan => self.scan(way, &self.present, 1)?,
            Way::Pass => self.scan(way, &self.absent, 0)?,
            Way::C => self.look_in_c()?,
            Way::Procfs => {
                let stats = all_processes()?.filter_map(|process| process.ok()?.stat().ok());
                let count = stats.filter(|stat| stat.comm == NAME).count();
                let time = began.elapsed();
                found(way, 1, count)?;
                time
            }
            Way::Once => self.once(way, BUILD)?,
            Way::OnceStatic if self.machine.path(STATIC_BUILD).exists() => self.once(way, STATIC_BUILD)?,
            Way::OnceStatic => return Ok(None),
            Way::Pgrep => match find_program("pgrep") {
                Some(pgrep) => whole_run(way, Command::new(pgrep).args(["-x", NAME]))?,
                None => return Ok(None),
            },
            Way::Nothing => whole_run(way, &mut Command::new("true"))?,
        };
        Ok(Some(time))
    }

    fn scan(&self, way: Way, criteria: &Criteria, count: usize) -> Result<Duration> {
        let began = Instant::now();
        let matches =
            self.proc.find(black_box(criteria), None, &Tasks::default()).map_err(|unknown| unknown.0)?;
        let time = began.elapsed();
        found(way, count, matches.counting.len())?;
        Ok(time)
    }

    fn once(&self, way: Way, build: &str) -> Result<Duration> {
        let (state, log) = (self.machine.folder("state")?, self.machine.folder("log")?);
        let mut once = Command::new(self.machine.path(build));
        once.args(["--once", "--no-input", "--exact", "--process-name", NAME]);
        once.args(["--start-command", "false", "--state-dir"]).arg(state).arg("--log-dir").arg(log);
        whole_run(way, &mut once)
    }

    fn look_in_c(&mut self) -> Result<Duration> {
        let Some((stdin, stdout)) = self.scan.stdin.as_mut().zip(self.scan.stdout.as_mut()) else {
            return Err("the C program has no pipes".into());
        };
        stdin.write_all(b"\n")?;
        let mut line = String::new();
        // It says no more than this line.
        BufReader::new(stdout).read_line(&mut line)?;
        let (time, count) = line.trim().split_once(' ').ok_or("the C program said nothing")?;
        found(Way::C, 1, count.parse()?)?;
        Ok(Duration::from_nanos(time.parse()?))
    }
}

impl Drop for Looker<'_> {
    fn drop(&mut self) {
        // It ends with its standard input.
        drop(self.scan.stdin.take());
        let _ = self.scan.wait();
    }
}

fn pattern(name: &str) -> std::result::Result<Pattern, String> {
    Pattern::new(name, Extent::Whole)
}

fn whole_run(way: Way, command: &mut Command) -> Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn()?;
    let status = child.wait()?;
    let time = began.elapsed();
    found(way, 1, usize::from(status.success()))?;
    Ok(time)
}

/// A look that finds something else has not done the same work.
fn found(way: Way, expected: usize, found: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(format!("{} found {found} processes", way.name()).into()) }
}
