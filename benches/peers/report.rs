//! The tables, in Markdown.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::looks::Way;
use crate::machine::{Machine, run};
use crate::stats::Summary;
use crate::watchers::{Notice, OURS, Watcher};
use crate::{Result, deaths, fleet, looks, memory, quiet, random, reading, targets};

/// Between these two lines docs/measured.md has the tables.
const MARKS: [&str; 2] =
    ["<!-- benches/peers/run --docs: from here", "<!-- benches/peers/run --docs: to here"];

/// All that was measured, and what of.
pub struct Results {
    /// Date, kernel, processor.
    pub machine: String,
    /// The watchers.
    pub programs: Vec<Program>,
    /// See there.
    pub deaths: Vec<deaths::Row>,
    /// See there.
    pub quiet: Vec<quiet::Row>,
    /// The same with probes.
    pub probes: Vec<quiet::Row>,
    /// See there.
    pub looks: Vec<looks::Row>,
    /// See there.
    pub fleet: Vec<fleet::Row>,
    /// See there.
    pub reading: Vec<reading::Row>,
    /// See there.
    pub memory: Vec<memory::Row>,
    /// See there.
    pub random: Vec<random::Row>,
}

/// A watcher's program, as it is installed.
pub struct Program {
    /// Whose.
    pub watcher: &'static Watcher,
    /// Package and version.
    pub version: String,
    /// The size of its file in bytes.
    pub size: u64,
    /// Shared libraries that it needs.
    pub libraries: usize,
    /// Crates that are built into it.
    pub crates: Option<usize>,
}

impl Results {
    /// Nothing measured yet.
    pub fn new(machine: &Machine, watchers: &[&'static Watcher]) -> Result<Self> {
        let programs = watchers.iter().map(|watcher| Program::of(watcher, machine)).collect::<Result<_>>()?;
        Ok(Results {
            machine: describe_machine()?,
            programs,
            deaths: Vec::new(),
            quiet: Vec::new(),
            probes: Vec::new(),
            looks: Vec::new(),
            fleet: Vec::new(),
            reading: Vec::new(),
            memory: Vec::new(),
            random: Vec::new(),
        })
    }
}

impl Program {
    fn of(watcher: &'static Watcher, machine: &Machine) -> Result<Self> {
        let file = watcher.file(machine).ok_or("a program is gone")?;
        let libraries = run(Command::new("ldd").arg(&file)).unwrap_or_default();
        // One line each, and one for what the kernel maps.
        let libraries = libraries.lines().filter(|line| line.contains('/')).count();
        let (version, crates) = match watcher.package {
            Some(package) => {
                let query =
                    run(Command::new("dpkg-query").args(["-W", "-f", "${Package} ${Version}", package]));
                (query.unwrap_or_else(|_| package.to_owned()), None)
            }
            None if watcher.notice == Notice::Never => ("-".to_owned(), None),
            None => (
                concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
                Some(count_crates()?),
            ),
        };
        Ok(Program { watcher, version, size: fs::metadata(file)?.len(), libraries, crates })
    }
}

fn count_crates() -> Result<usize> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = run(Command::new(cargo)
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--no-dedupe", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR")))?;
    let mut crates: Vec<_> = tree.lines().filter(|line| !line.contains("(proc-macro)")).collect();
    crates.sort_unstable();
    crates.dedup();
    // The first is the program itself.
    Ok(crates.len() - 1)
}

fn describe_machine() -> Result<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let processor = fs::read_to_string("/proc/cpuinfo")?;
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = processor.lines().filter(|line| line.starts_with("processor")).count();
    Ok(format!(
        "{}, Linux {}, {}, on {} of {cores} cores",
        chrono::Utc::now().format("%Y-%m-%d"),
        // Without what the builder has added.
        kernel.trim().split('-').next().unwrap_or_default(),
        model.unwrap_or(std::env::consts::ARCH),
        std::thread::available_parallelism()?,
    ))
}

/// The tables.
pub fn text(results: &Results) -> String {
    let mut text = format!("Measured on {}.\n", results.machine);
    let well = "**While all is well.** Each second, children included; memory in kB.";
    let probed = "**While it is probed.** The same, with a probe of a server that answers every ten seconds.";
    let costs = [quiet(&results.quiet, well), quiet(&results.probes, probed)];
    for table in [programs(results), deaths(results)].into_iter().chain(costs).chain([
        looks(results),
        fleet(results),
        reading(results),
        memory(results),
        random(results),
    ]) {
        text += &table.markdown();
    }
    text += &targets::table(results).markdown();
    text
}

/// A table with a heading.
pub struct Table {
    /// The heading and what is to be known.
    pub heading: String,
    /// The names of the columns.
    pub columns: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    fn markdown(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        // A bar ends a cell, in code too.
        let line =
            |cells: &[String]| format!("| {} |\n", cells.join("\n").replace('|', "\\|").replace('\n', " | "));
        let mut text = format!("\n{}\n\n", self.heading);
        text += &line(&self.columns.iter().map(ToString::to_string).collect::<Vec<_>>());
        text += &line(&vec!["---".to_owned(); self.columns.len()]).replace(' ', "");
        self.rows.iter().for_each(|row| text += &line(row));
        text
    }
}

fn programs(results: &Results) -> Table {
    let row = |program: &Program| {
        let crates = program.crates.map(|crates| format!(", {crates} crates")).unwrap_or_default();
        vec![
            program.watcher.name.to_owned(),
            program.version.clone(),
            kilobytes(program.size),
            format!("{} libraries{crates}", program.libraries),
            program.watcher.configured.to_owned(),
        ]
    };
    Table {
        heading: "**Who.** Each watches one process that does nothing, and runs one program to start it."
            .to_owned(),
        columns: vec!["watcher", "package", "binary, kB", "needs", "configured"],
        rows: results.programs.iter().map(row).collect(),
    }
}

fn deaths(results: &Results) -> Table {
    let row = |row: &deaths::Row| {
        let ours = results.deaths.iter().find(|it| it.processes == row.processes && it.watcher.name == OURS);
        let times = |it: &Summary| [it.min, it.median, it.p99, it.max].map(milliseconds);
        let mut cells =
            vec![number(row.processes), row.watcher.name.to_owned(), row.process.count.to_string()];
        cells.extend(times(&row.start_command));
        cells.extend(times(&row.process));
        cells.push(ratio(row.process.median, ours.map(|ours| ours.process.median)));
        cells.push(row.calls.map_or("-".to_owned(), |calls| format!("{calls:.0}")));
        cells
    };
    Table {
        heading:
            "**Restart.** Milliseconds from `kill -9` to the start command's program (S) and to the process \
                  under its name (P); system calls for one of these, children included."
                .to_owned(),
        columns: vec![
            "processes",
            "watcher",
            "deaths",
            "S min",
            "S median",
            "S p99",
            "S max",
            "P min",
            "P median",
            "P p99",
            "P max",
            "ratio",
            "system calls",
        ],
        rows: results.deaths.iter().map(row).collect(),
    }
}

fn quiet(rows: &[quiet::Row], heading: &str) -> Table {
    let row = |row: &quiet::Row| {
        let ours = rows.iter().find(|it| it.processes == row.processes && it.watcher.name == OURS);
        let count = |count: Option<f64>| count.map_or("-".to_owned(), |count| format!("{count:.1}"));
        vec![
            number(row.processes),
            row.watcher.name.to_owned(),
            microseconds(row.cpu),
            ratio(row.cpu, ours.map(|ours| ours.cpu)),
            count(row.counts.map(|counts| counts.calls)),
            count(row.counts.map(|counts| counts.wakeups)),
            kilobytes(row.memory.anonymous),
            kilobytes(row.memory.pss),
            kilobytes(row.memory.rss),
        ]
    };
    Table {
        heading: heading.to_owned(),
        columns: vec![
            "processes",
            "watcher",
            "CPU, µs",
            "ratio",
            "system calls",
            "wake-ups",
            "private anonymous",
            "PSS",
            "RSS",
        ],
        rows: rows.iter().map(row).collect(),
    }
}

fn looks(results: &Results) -> Table {
    let row = |row: &looks::Row| {
        let ours = results.looks.iter().find(|it| it.processes == row.processes && it.way == Way::Scan);
        vec![
            number(row.processes),
            row.way.name().to_owned(),
            microseconds(row.time.min),
            microseconds(row.time.median),
            microseconds(row.time.max),
            ratio(row.time.median, ours.map(|ours| ours.time.median)),
        ]
    };
    Table {
        heading: "**One look** for a process that runs, in µs.".to_owned(),
        columns: vec!["processes", "by", "min", "median", "max", "ratio"],
        rows: results.looks.iter().map(row).collect(),
    }
}

fn fleet(results: &Results) -> Table {
    let row = |row: &fleet::Row| {
        let ours = results.fleet.iter().find(|it| it.instances == row.instances && it.watcher.name == OURS);
        #[allow(clippy::cast_precision_loss)] // 52 bits of bytes are enough
        let memory = |row: &fleet::Row| row.memory.pss as f64;
        vec![
            number(row.instances),
            row.watcher.name.to_owned(),
            kilobytes(row.memory.pss),
            ours.map_or("-".to_owned(), |ours| format!("{:.2}", memory(row) / memory(ours))),
            microseconds(row.cpu),
            ratio(row.cpu, ours.map(|ours| ours.cpu)),
        ]
    };
    Table {
        heading: "**Many.** So many processes watched at once; memory and CPU time in each second, of all \
                  instances together. monit is one instance with as many checks."
            .to_owned(),
        columns: vec!["watched", "watcher", "PSS, kB", "ratio", "CPU, µs", "ratio"],
        rows: results.fleet.iter().map(row).collect(),
    }
}

fn reading(results: &Results) -> Table {
    let row = |row: &reading::Row| {
        let first = results.reading.iter().find(|it| it.instances == row.instances);
        vec![
            number(row.instances),
            format!("`{}`", row.command),
            milliseconds(row.time.min),
            milliseconds(row.time.median),
            milliseconds(row.time.max),
            ratio(row.time.median, first.map(|first| first.time.median)),
        ]
    };
    Table {
        heading: "**Reading.** How so many are, in ms, from the start of the command to its end. monit has a socket \
                  for it here."
            .to_owned(),
        columns: vec!["watched", "by", "min", "median", "max", "ratio"],
        rows: results.reading.iter().map(row).collect(),
    }
}

fn memory(results: &Results) -> Table {
    let row = |row: &memory::Row| {
        let mut cells = vec![row.watcher.name.to_owned(), row.watcher.configured.to_owned()];
        cells.extend([number(row.deaths), number(row.noticed), format!("{:.0}", row.took.as_secs_f64())]);
        cells.extend(row.memory.map(kilobytes));
        cells
    };
    let first = results.memory.first().map(|row| number(row.first)).unwrap_or_default();
    Table {
        heading: format!(
            "**After many deaths.** Private anonymous memory in kB: after the start, after the first {first} deaths, \
             and after all of them. Both side by side."
        ),
        columns: vec![
            "watcher",
            "configured",
            "deaths",
            "noticed",
            "took, s",
            "at first",
            "early",
            "in the end",
        ],
        rows: results.memory.iter().map(row).collect(),
    }
}

fn random(results: &Results) -> Table {
    let row = |row: &random::Row| {
        let ours = results.random.iter().find(|it| it.watcher.name == OURS);
        let mut cells = vec![
            number(row.instances),
            row.watcher.name.to_owned(),
            row.watcher.configured.to_owned(),
            number(row.back.count + row.missed),
            number(row.missed),
            number(row.twice),
        ];
        cells.extend([row.back.median, row.back.p99, row.back.max].map(milliseconds));
        for cpu in [|row: &random::Row| row.quiet, |row: &random::Row| row.cpu] {
            cells.extend([microseconds(cpu(row)), ratio(cpu(row), ours.map(cpu))]);
        }
        cells.extend([kilobytes(row.memory.anonymous), kilobytes(row.memory.pss)]);
        cells
    };
    Table {
        heading: "**Killed at random.** So many processes watched at once, and one after the other killed, at random. \
                  Each death is to bring one process. Milliseconds from `kill -9` to the process; CPU time in each \
                  second without deaths and with them, and memory, of all instances together. monit is one instance \
                  with as many checks."
            .to_owned(),
        columns: vec![
            "watched",
            "watcher",
            "configured",
            "deaths",
            "missed",
            "twice",
            "median",
            "p99",
            "max",
            "CPU, quiet, µs",
            "ratio",
            "CPU, µs",
            "ratio",
            "private anonymous, kB",
            "PSS, kB",
        ],
        rows: results.random.iter().map(row).collect(),
    }
}

/// Puts the tables into a file, in place of those that are there.
pub fn replace_in(file: &Path, tables: &str) -> Result<()> {
    let text = fs::read_to_string(file)?;
    let [from, to] = MARKS.map(|mark| text.find(mark));
    let from = from.and_then(|from| Some(from + text[from..].find('\n')? + 1));
    let (Some(from), Some(to)) = (from, to) else {
        return Err(format!("{} has no lines that begin with {MARKS:?}", file.display()).into());
    };
    let mut new = text[..from].to_owned();
    write!(new, "\n{tables}\n{}", &text[to..])?;
    Ok(fs::write(file, new)?)
}

fn ratio(time: Duration, ours: Option<Duration>) -> String {
    let ratio = ours.map(|ours| time.as_secs_f64() / ours.as_secs_f64());
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
}

/// Milliseconds, to the hundredth.
pub fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

/// Whole microseconds.
pub fn microseconds(time: Duration) -> String {
    number(usize::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(usize::MAX))
}

/// kB of 1000 bytes.
pub fn kilobytes(bytes: u64) -> String {
    number(usize::try_from(bytes.div_ceil(1000)).unwrap_or(usize::MAX))
}

/// A whole number, with commas between thousands.
pub fn number(number: usize) -> String {
    let digits = number.to_string();
    let group = |(at, digit): (usize, char)| {
        let comma = at > 0 && (digits.len() - at) % 3 == 0;
        comma.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(group).collect()
}
