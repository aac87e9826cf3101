//! What was aimed at, and what was measured.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::looks::Way;
use crate::report::{Results, Table, kilobytes, microseconds, milliseconds, number};
use crate::watchers::{LEAST, LEAST_IN_RUST, MONIT, OURS, OURS_BY_PID_FILE, OURS_STATIC, RESTARTD, RUNSV};
use crate::{deaths, memory, quiet};

/// No later than runsv by more than this, and one scan; by pid file, without the scan.
const BEHIND_RUNSV: Duration = Duration::from_millis(2);
/// Sooner than those that poll, by this factor.
const BEFORE_POLLING: f64 = 50.0;
/// CPU time of quiet watching, against that of the C program that wakes and reads one file.
const QUIET_TO_C: f64 = 1.25;
/// A scan, against the C program's.
const SCAN_TO_C: f64 = 1.15;
/// A scan, against `pgrep`.
const PGREP_TO_SCAN: f64 = 5.0;
/// Private anonymous memory, in bytes, and that of the static build.
const ANONYMOUS: u64 = 300_000;
const ANONYMOUS_STATIC: u64 = 200_000;
/// What many deaths add to it.
const GROWTH: u64 = 64_000;
/// Size of the program's file, in bytes, and of the static build.
const BINARY: u64 = 1_900_000;
const BINARY_STATIC: u64 = 3_000_000;
/// `--once` of the static build, above its scan.
const ONCE_ABOVE_SCAN: Duration = Duration::from_millis(2);

/// A target, at some number of processes.
struct Held {
    what: &'static str,
    bound: String,
    processes: Option<usize>,
    measured: String,
    is_met: bool,
    /// Why it could not be met, if it was not: what else this run measured.
    why: String,
}

/// Holds the results against the targets; what was not measured is left out.
pub fn table(results: &Results) -> Table {
    let processes: BTreeSet<_> = (results.deaths.iter().map(|row| row.processes))
        .chain(results.quiet.iter().map(|row| row.processes))
        .chain(results.looks.iter().map(|row| row.processes))
        .collect();
    let mut held = Vec::new();
    for processes in processes {
        held.extend(restart(results, processes));
        held.extend(cost(results, processes));
        held.extend(look(results, processes));
    }
    held.sort_by_key(|held| held.what);
    held.extend(growth(results));
    held.extend(at_random(results));
    held.extend(size(results, OURS, "size of the binary", BINARY));
    held.extend(size(results, OURS_STATIC, "size of the binary, static", BINARY_STATIC));
    let row = |held: Held| {
        vec![
            held.what.to_owned(),
            held.processes.map_or("any".to_owned(), number),
            held.bound,
            held.measured,
            if held.is_met { "met".to_owned() } else { format!("**missed**{}", held.why) },
        ]
    };
    Table {
        heading: "**Targets**, by medians.".to_owned(),
        columns: vec!["of `watchdog`", "processes", "target", "measured", ""],
        rows: held.into_iter().map(row).collect(),
    }
}

fn size(results: &Results, name: &str, what: &'static str, most: u64) -> Option<Held> {
    let of = |name: &str| results.programs.iter().find(|program| program.watcher.name == name);
    let ours = of(name)?.size;
    Some(Held {
        what,
        bound: format!("at most {} kB", kilobytes(most)),
        processes: None,
        measured: format!("{} kB", kilobytes(ours)),
        is_met: ours <= most,
        why: of(LEAST_IN_RUST).map_or(String::new(), |least| {
            format!(": a Rust program that does nearly nothing has {} kB", kilobytes(least.size))
        }),
    })
}

fn growth(results: &Results) -> Vec<Held> {
    let held = |row: &memory::Row| {
        let [before, early, after] = row.memory;
        let growth = after.saturating_sub(before);
        Held {
            what: if row.watcher.name == OURS {
                "private anonymous memory, growth"
            } else {
                "private anonymous memory, growth, static"
            },
            bound: format!("at most {} kB in {} deaths", kilobytes(GROWTH), number(row.deaths)),
            processes: None,
            measured: format!("{} kB", kilobytes(growth)),
            is_met: growth <= GROWTH,
            why: format!(
                ": the first {} deaths took {} kB of it",
                number(row.first),
                kilobytes(early.saturating_sub(before))
            ),
        }
    };
    results.memory.iter().map(held).collect()
}

fn at_random(results: &Results) -> Option<Held> {
    let ours = results.random.iter().find(|row| row.watcher.name == OURS)?;
    Some(Held {
        what: "killed at random: deaths missed, and processes that came twice",
        bound: "none".to_owned(),
        processes: None,
        measured: format!("{} and {} of {}", ours.missed, ours.twice, number(ours.back.count + ours.missed)),
        is_met: ours.missed + ours.twice == 0,
        why: String::new(),
    })
}

fn restart(results: &Results, processes: usize) -> Vec<Held> {
    let of = |name| restart_of(results, processes, name);
    let Some(ours) = of(OURS) else { return Vec::new() };
    let why = by_looking(results, processes);
    let above_runsv = |what, ours: Duration, runsv: Duration, scan: Option<Duration>| {
        let and_a_scan = scan.map(|scan| format!(" and one scan ({} ms)", milliseconds(scan)));
        Held {
            what,
            bound: format!("at most {} ms{}", milliseconds(BEHIND_RUNSV), and_a_scan.unwrap_or_default()),
            processes: Some(processes),
            measured: above(ours, runsv),
            is_met: ours <= runsv + BEHIND_RUNSV + scan.unwrap_or_default(),
            why: if scan.is_some() { why.clone() } else { by_more_work(results, processes) },
        }
    };
    let scan = time_of(results, processes, Way::Scan);
    let to_runsv = of(RUNSV).map(|runsv| above_runsv("restart, above runsv's", ours, runsv, scan));
    let by_pid_file = of(RUNSV).zip(of(OURS_BY_PID_FILE));
    let by_pid_file =
        by_pid_file.map(|(runsv, ours)| above_runsv("restart by pid file, above runsv's", ours, runsv, None));
    let to_polling = [(RESTARTD, "restart, against restartd's"), (MONIT, "restart, against monit's")]
        .into_iter()
        .filter_map(|(name, what)| {
            let factor = of(name)?.as_secs_f64() / ours.as_secs_f64();
            Some(Held {
                what,
                bound: format!("at most 1/{BEFORE_POLLING}"),
                processes: Some(processes),
                measured: format!("1/{factor:.0}"),
                is_met: factor >= BEFORE_POLLING,
                why: why.clone(),
            })
        });
    to_runsv.into_iter().chain(by_pid_file).chain(to_polling).collect()
}

/// What looking through /proc before a start takes: the only part of a restart that grows with the processes.
fn by_looking(results: &Results, processes: usize) -> String {
    let fewest = results.deaths.iter().map(|row| row.processes).min().filter(|fewest| *fewest < processes);
    let growth = fewest.and_then(|fewest| {
        let [more, less] = [processes, fewest].map(|processes| restart_of(results, processes, OURS));
        Some((fewest, more?.saturating_sub(less?)))
    });
    let of_it = || time_of(results, processes, Way::Scan);
    let took = match growth {
        Some((fewest, growth)) => format!("{} ms more than with {fewest} processes", milliseconds(growth)),
        None => of_it().map_or("its time".to_owned(), |scan| format!("{} ms", milliseconds(scan))),
    };
    format!(": before each start it looks through `/proc`, which takes {took}")
}

/// What a restart by pid file does that runsv's does not.
fn by_more_work(results: &Results, processes: usize) -> String {
    let Some((ours, runsv)) =
        death_of(results, processes, OURS_BY_PID_FILE).zip(death_of(results, processes, RUNSV))
    else {
        return String::new();
    };
    let before = (ours.start_command.median.as_secs_f64() - runsv.start_command.median.as_secs_f64()) * 1e3;
    let calls = ours.calls.zip(runsv.calls).map(|(ours, runsv)| {
        format!(
            ", in which it asks how the process ended, looks at its pid file and writes its log and its state: \
             {ours:.0} system calls, runsv {runsv:.0}"
        )
    });
    format!(": {before:.2} ms of it pass before the start command's program{}", calls.unwrap_or_default())
}

fn death_of<'a>(results: &'a Results, processes: usize, watcher: &str) -> Option<&'a deaths::Row> {
    results.deaths.iter().find(|row| row.processes == processes && row.watcher.name == watcher)
}

fn restart_of(results: &Results, processes: usize, watcher: &str) -> Option<Duration> {
    death_of(results, processes, watcher).map(|row| row.process.median)
}

fn cost(results: &Results, processes: usize) -> Vec<Held> {
    let of =
        |name: &str| results.quiet.iter().find(|row| row.processes == processes && row.watcher.name == name);
    let Some(ours) = of(OURS) else { return Vec::new() };
    let to_c = of(LEAST).map_or(0.0, |least| ours.cpu.as_secs_f64() / least.cpu.as_secs_f64());
    let cpu = |name: &str, what: &str| {
        of(name).map_or(String::new(), |row| format!("{what} {} µs", microseconds(row.cpu)))
    };
    let time = Held {
        what: "CPU time in each quiet second, against the C program that wakes and reads one file",
        bound: format!("at most {QUIET_TO_C}"),
        processes: Some(processes),
        measured: format!("{to_c:.2} ({} µs)", microseconds(ours.cpu)),
        is_met: to_c <= QUIET_TO_C,
        why: cpu(LEAST, ": that takes") + &cpu(LEAST_IN_RUST, "; one in Rust") + &cpu(RESTARTD, "; restartd"),
    };
    let least = of(LEAST_IN_RUST).map_or(String::new(), |least| {
        format!(": a Rust program that only sleeps has {} kB", kilobytes(least.memory.anonymous))
    });
    let memory = |what, row: &quiet::Row, most, why| Held {
        what,
        bound: format!("at most {} kB", kilobytes(most)),
        processes: Some(processes),
        measured: format!("{} kB", kilobytes(row.memory.anonymous)),
        is_met: row.memory.anonymous <= most,
        why,
    };
    let rest = "; the rest is relocated constants, the depth of the stack and the holes in the heap that reading the \
                command line leaves behind";
    let usual = memory("private anonymous memory", ours, ANONYMOUS, format!("{least}{rest}"));
    let one_file =
        of(OURS_STATIC).map(|row| memory("private anonymous memory, static", row, ANONYMOUS_STATIC, least));
    [time, usual].into_iter().chain(one_file).collect()
}

fn look(results: &Results, processes: usize) -> Vec<Held> {
    let of = |way| time_of(results, processes, way);
    let Some(scan) = of(Way::Scan) else { return Vec::new() };
    let to_c = of(Way::C).map(|c| {
        let factor = scan.as_secs_f64() / c.as_secs_f64();
        Held {
            what: "scan, against the C program's",
            bound: format!("at most {SCAN_TO_C}"),
            processes: Some(processes),
            measured: format!("{factor:.2}"),
            is_met: factor <= SCAN_TO_C,
            why: of(Way::Pass).map_or(String::new(), |pass| {
                let pass = pass.as_secs_f64() / c.as_secs_f64();
                format!(": {pass:.2} without the closer look at what matches")
            }),
        }
    });
    let to_pgrep = of(Way::Pgrep).map(|pgrep| {
        let factor = pgrep.as_secs_f64() / scan.as_secs_f64();
        Held {
            what: "scan, against `pgrep`",
            bound: format!("at most 1/{PGREP_TO_SCAN}"),
            processes: Some(processes),
            measured: format!("1/{factor:.1}"),
            is_met: factor >= PGREP_TO_SCAN,
            why: String::new(),
        }
    });
    let once = of(Way::OnceStatic).map(|once| Held {
        what: "`--once`, static, above a scan",
        bound: format!("at most {} ms", milliseconds(ONCE_ABOVE_SCAN)),
        processes: Some(processes),
        measured: above(once, scan),
        is_met: once <= scan + ONCE_ABOVE_SCAN,
        why: of(Way::Nothing).map_or(String::new(), |nothing| {
            format!(": {} ms are what any program takes to start and end", milliseconds(nothing))
        }),
    });
    [to_c, to_pgrep, once].into_iter().flatten().collect()
}

fn above(ours: Duration, other: Duration) -> String {
    ours.checked_sub(other).map_or("nothing".to_owned(), |above| format!("{} ms", milliseconds(above)))
}

fn time_of(results: &Results, processes: usize, way: Way) -> Option<Duration> {
    let row = results.looks.iter().find(|row| row.processes == processes && row.way == way);
    row.map(|row| row.time.median)
}
