//! Measures `watchdog` beside its peers: the same work, on the same machine, in one run. `benches/peers/run` builds
//! it and runs it; the tables come out as Markdown.
//!
//! The data goes one way: the [`watchers`] are started in the directory and control groups of a [`machine`],
//! [`deaths`], [`quiet`], [`looks`], [`fleet`], [`reading`], [`memory`] and [`random`] measure them into rows, and
//! [`report`] makes tables of the rows and holds them against the [`targets`].

// A measurement that goes wrong ends with a panic.
#![allow(clippy::indexing_slicing, clippy::string_slice)]

mod deaths;
mod fleet;
mod looks;
mod machine;
mod memory;
mod quiet;
mod random;
mod reading;
mod report;
mod stats;
mod targets;
mod watchers;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use machine::Machine;
use report::Results;

/// Whatever went wrong, in words.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures watchdog beside its peers and prints the tables in Markdown.
#[derive(Parser)]
#[command(bin_name = "benches/peers/run")]
struct Options {
    /// A small run of less than two minutes, that shows whether all of this works
    #[arg(long)]
    quick: bool,
    /// Put the tables into docs/measured.md, in place of those that are there
    #[arg(long)]
    docs: bool,
    /// Processes on the machine
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    processes: Option<Vec<usize>>,
    /// Measure these alone
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SUBJECT,...")]
    only: Option<Vec<Subject>>,
    /// The program, which `benches/peers/run` has built
    #[arg(long, hide = true)]
    watchdog: Option<PathBuf>,
    /// The same as one file that needs no libraries
    #[arg(long, hide = true)]
    static_build: Option<PathBuf>,
    /// What cargo says to everything that it runs as a benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// From a death to the new process
    Deaths,
    /// Cost while all is well
    Quiet,
    /// The same with a probe every ten seconds
    Probes,
    /// One look through /proc, and one run
    Looks,
    /// Many instances
    Fleet,
    /// How long it takes to be told of them
    Reading,
    /// Memory after many deaths
    Memory,
    /// Many instances whose processes are killed at random
    Random,
}

/// How much is measured.
#[derive(Clone)]
struct Plan {
    /// Processes on the machine.
    processes: Vec<usize>,
    /// Deaths for each watcher that starts at once.
    deaths: usize,
    /// Deaths for each of the others.
    deaths_later: usize,
    /// Instances of each watcher that starts at once.
    beside: usize,
    /// From the start of a watcher until its cost is measured: the first look is over.
    settle: Duration,
    /// For how long CPU time is measured.
    window: Duration,
    /// For how long system calls are counted.
    counting: Duration,
    /// For how long both are where a server is probed every ten seconds.
    probing: Duration,
    /// Scans and runs.
    looks: usize,
    /// Instances.
    fleets: Vec<usize>,
    /// Deaths between two readings of memory.
    deaths_in_all: usize,
    /// Instances whose processes are killed at random.
    random_instances: usize,
    /// For how long they are.
    random: Duration,
    /// A process that has not come while none came for so long does not come. monit waits 30 s for one that has died
    /// as soon as it was started.
    silence: Duration,
}

impl Plan {
    fn full() -> Self {
        Plan {
            processes: vec![70, 3_000, 10_000],
            deaths: 200,
            deaths_later: 50,
            beside: 4,
            settle: Duration::from_secs(2),
            window: Duration::from_secs(8),
            counting: Duration::from_secs(4),
            probing: Duration::from_secs(40),
            looks: 50,
            fleets: vec![1, 100, 1_000],
            deaths_in_all: 20_000,
            random_instances: 1_000,
            random: Duration::from_secs(600),
            silence: Duration::from_secs(40),
        }
    }

    fn quick() -> Self {
        Plan {
            processes: vec![70, 500],
            deaths: 4,
            deaths_later: 2,
            beside: 2,
            settle: Duration::from_millis(500),
            window: Duration::from_millis(500),
            counting: Duration::from_millis(500),
            probing: Duration::from_secs(1),
            looks: 5,
            fleets: vec![1, 10],
            deaths_in_all: 50,
            random_instances: 10,
            random: Duration::from_secs(5),
            silence: Duration::from_secs(3),
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let Some(watchdog) = &options.watchdog else {
        say("benches/peers/run measures watchdog beside its peers");
        return ExitCode::SUCCESS;
    };
    let done = match (machine::is_outside(), std::process::id()) {
        (true, _) => machine::enter(),
        (false, 1) => machine::be_process_1(),
        (false, _) => measure(&options, watchdog).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        say(&format!("{error}"));
        ExitCode::FAILURE
    })
}

/// The measuring: from the options to the tables.
fn measure(options: &Options, watchdog: &Path) -> Result<()> {
    let mut plan = if options.quick { Plan::quick() } else { Plan::full() };
    if let Some(processes) = &options.processes {
        plan.processes.clone_from(processes);
    }
    let measures = |subject| options.only.as_ref().is_none_or(|only| only.contains(&subject));
    let static_build = options.static_build.as_deref().map(|file| (watchers::STATIC_BUILD, file));
    let builds: Vec<_> = [(watchers::BUILD, watchdog)].into_iter().chain(static_build).collect();
    let machine = Machine::new(&builds)?;
    let watchers = watchers::that_are_here(&machine, &watchers::ALL);
    let mut results = Results::new(&machine, &watchers)?;
    for &processes in &plan.processes {
        if measures(Subject::Deaths) {
            results.deaths.extend(deaths::measure(&machine, &watchers, &plan, processes)?);
        }
        if measures(Subject::Quiet) {
            results.quiet.extend(quiet::measure(&machine, &watchers, &plan, processes)?);
        }
        if measures(Subject::Looks) {
            results.looks.extend(looks::measure(&machine, &plan, processes)?);
        }
    }
    if let Some(&processes) = plan.processes.first().filter(|_| measures(Subject::Probes)) {
        let watchers = watchers::that_are_here(&machine, &watchers::PROBING);
        let plan = Plan { window: plan.probing, counting: plan.probing, ..plan.clone() };
        results.probes = quiet::measure(&machine, &watchers, &plan, processes)?;
    }
    if measures(Subject::Fleet) {
        results.fleet = fleet::measure(&machine, &watchers, &plan)?;
    }
    if measures(Subject::Reading) {
        let watchers = watchers::that_are_here(&machine, &watchers::READ);
        results.reading = reading::measure(&machine, &watchers, &plan)?;
    }
    if measures(Subject::Memory) {
        let watchers = watchers::that_are_here(&machine, &watchers::DYING);
        results.memory = memory::measure(&machine, &watchers, &plan)?;
    }
    if measures(Subject::Random) {
        let watchers = watchers::that_are_here(&machine, &watchers::RANDOM);
        results.random = random::measure(&machine, &watchers, &plan)?;
    }
    let text = report::text(&results);
    io::stdout().write_all(text.as_bytes())?;
    if options.docs {
        report::replace_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/measured.md"), &text)?;
    }
    Ok(())
}

/// Says what is being done, or went wrong.
fn say(text: &str) {
    // With standard error gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "bench: {text}");
}
