//! The soak: breaks what it can around real watchdogs with real processes, at random moments, and looks
//! after each time whether what the program promises still holds.
//!
//! A run is made of rounds. What happens in a round follows from the seed and the round's number alone:
//! which events, to which watchdog, when and for how long; how soon the machine gets to it does not. A
//! round begins with all well; then come one to four events, some of them faults that last; the faults
//! are ended; and all must be well again in time. Invariants are looked at all the while.
//!
//! | module | |
//! |---|---|
//! | `events` | what happens, and how it is undone |
//! | `invariants` | what must hold |
//! | `world` | namespaces, directories, and who starts a watchdog again |
//! | `instance` | a watchdog under test |
//! | `health` | hangs, probes, stops and requests, and what must hold of them |
//! | `holds` | hours, versions, a dependency and ends that are expected, and what must hold of them |
//! | `parts` | the start command and the watched process, which this program plays too |
//! | `ledger` | what start commands note of themselves |
//! | `processes`, `pressure`, `clock`, `chance`, `summary` | what these need |
// How a soak fails that cannot go on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)]
#![allow(clippy::indexing_slicing, clippy::string_slice)]
#![allow(clippy::print_stdout)] // what it has to say
#![allow(unsafe_code)] // limits and sessions are set up between fork and exec

mod chance;
mod clock;
mod events;
mod health;
mod holds;
mod instance;
mod invariants;
mod ledger;
mod parts;
mod pressure;
mod processes;
mod summary;
mod world;

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;

use chance::Chance;
use events::Event;
use world::{Abilities, World};

/// Breaks what it can around real watchdogs, and looks whether what they promise still holds.
///
/// As root, or where ordinary users may make namespaces, all of it happens in mount, PID and time
/// namespaces of its own, with its own /proc, and in file systems in memory: the machine is not touched.
/// What is not possible here is skipped, and named at the beginning.
///
/// The machine's clock (`CLOCK_REALTIME`) has no namespace, and is left alone: that it was set is simulated
/// by setting the times of the program's files a day forward or back, which is all that it takes from
/// that clock but for the time in its log. Its other clock (`CLOCK_BOOTTIME`) is changed for real, by
/// starting a watchdog again in another time namespace.
#[derive(Parser)]
#[command(name = "soak")]
struct Options {
    /// How long, such as 90s, 5m or 1h
    #[arg(long = "for", value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration)]
    time: Duration,
    /// What happens follows from this number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begin with this round, to see again what went wrong in it
    #[arg(long, value_name = "N", default_value_t = 1)]
    round: u64,
    /// Only this round
    #[arg(long)]
    once: bool,
}

/// Set for the run that is inside its namespaces, with what is possible there.
const INSIDE: &str = "SOAK_INSIDE";
/// The clock of the soak's time namespace is ahead of the machine's, so that there is a time before it.
const AHEAD: &str = "--boottime=172800";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().map(|it| it.to_string_lossy().into_owned()).collect();
    parts::play(&arguments);
    heed_hang_ups();
    let options = Options::parse();
    match std::env::var(INSIDE) {
        Ok(inside) => run(&options, abilities(&inside)),
        Err(_) => enter(&arguments),
    }
}

/// A watchdog that nohup(1) has started leaves SIGHUP ignored, and would not read its file again.
fn heed_hang_ups() {
    // SAFETY: no handler is installed, so that no code of ours runs in signal context.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
}

/// Starts this program again in namespaces of its own, as many as there can be.
fn enter(arguments: &[String]) -> ExitCode {
    const SPACES: [&str; 5] = ["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];
    const USER: [&str; 2] = ["--user", "--map-root-user"];
    let is_root = nix::unistd::geteuid().is_root();
    let user: &[&str] = if is_root { &[] } else { &USER };
    let ways = [
        ("namespaces time", [user, &SPACES, &["--time", AHEAD]].concat()),
        ("namespaces", [user, &SPACES].concat()),
    ];
    let mut again = Command::new(std::env::current_exe().expect("a path"));
    let mut inside = String::new();
    for (what, way) in ways {
        let probe = Command::new("unshare").args(&way).arg("true").output();
        if probe.is_ok_and(|probe| probe.status.success()) {
            again = Command::new("unshare");
            again.args(way).arg(std::env::current_exe().expect("a path"));
            what.clone_into(&mut inside);
            break;
        }
    }
    if is_root {
        inside.push_str(" root");
    }
    let error = again.args(&arguments[1..]).env(INSIDE, inside).exec();
    panic!("{again:?}: {error}");
}

fn abilities(inside: &str) -> Abilities {
    let has = |word: &str| inside.split(' ').any(|it| it == word);
    Abilities { namespaces: has("namespaces"), time: has("time"), root: has("root") }
}

fn run(options: &Options, abilities: Abilities) -> ExitCode {
    processes::adopt_orphans();
    let folder = tempfile::Builder::new().prefix("soak-").tempdir().expect("a folder");
    let mut world = World::new(folder.path(), abilities);
    let (possible, skipped) = Event::possible(abilities);
    println!("seed {}, for {:?}: {} kinds of events", options.seed, options.time, possible.len());
    for (event, why) in skipped {
        println!("skipped: {event:?}: {why}");
    }
    if !abilities.root {
        println!("skipped: the watchdog of another user: needs root");
    }
    let end = world.clock.now() + options.time;
    let mut last_round = options.round;
    world.settle();
    world.look_around();
    for round in options.round.. {
        if !world.violations.is_empty() || world.clock.now() >= end || (options.once && round > options.round)
        {
            break;
        }
        world.summary.rounds += 1;
        last_round = round;
        play_round(&mut world, options.seed, round, &possible);
    }
    world.summary.busy = world.leniency(Duration::ZERO);
    println!("{}", world.summary);
    let failed = !world.violations.is_empty();
    if failed {
        println!("{}", story(&world, options.seed, last_round));
    }
    world.end();
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Some events at random moments; then their end, and all must be well again.
fn play_round(world: &mut World, seed: u64, round: u64, possible: &[(u64, Event)]) {
    let mut chance = Chance::of(seed, round);
    world.tell(&format!("round {round}"));
    let count = chance.weighed(&[(5, 1), (4, 2), (2, 3), (1, 4)]);
    let mut undos = Vec::new();
    let mut held = 0;
    for _ in 0..count {
        world.pass(Duration::from_millis(chance.between(0, 400)));
        // Its own chance, so that what it draws for what it finds is not missing later.
        let mut own = Chance::of(chance.between(0, u64::MAX - 1), round);
        let event = chance.weighed(possible);
        let (least, most) = event.lasts();
        held = held.max(chance.between(least, most));
        undos.extend(event.begin(world, &mut own));
        world.is_calm &= count == 1;
    }
    // Faults alone break nothing: processes die while they last, and now and then a watchdog.
    while !undos.is_empty() && held > 0 {
        let pause = chance.between(50, 900).min(held);
        held -= pause;
        world.pass(Duration::from_millis(pause));
        let mut own = Chance::of(chance.between(0, u64::MAX - 1), round);
        match chance.between(0, 5) {
            0..=2 => drop(Event::KillProcess.begin(world, &mut own)),
            3 => drop(Event::KillWatchdog.begin(world, &mut own)),
            _ => {}
        }
    }
    while let Some(undo) = undos.pop() {
        undo(world);
    }
    world.settle();
    world.pass(Duration::from_millis(chance.weighed(&[(4, 100), (3, 1_200), (1, 2_500)])));
    if world.violations.is_empty() {
        world.look_around();
    }
}

/// All that is known when an invariant does not hold.
fn story(world: &World, seed: u64, round: u64) -> String {
    let mut story = vec!["what happened last:".to_owned()];
    story.extend(world.journal().map(|line| format!("  {line}")));
    for instance in &world.instances {
        if !world.violations.iter().any(|violation| violation.contains(&instance.name)) {
            continue;
        }
        let files = instance.log_files().into_iter().rev().take(1).chain([instance.errors()]);
        for file in files.chain([instance.places.state.join(format!("{}.json", instance.name))]) {
            let text = fs::read(&file).unwrap_or_default();
            let text = &text[text.len().saturating_sub(6_000)..];
            story.push(format!("--- {}\n{}", file.display(), String::from_utf8_lossy(text)));
        }
    }
    // At the end, which is what is left of a long output.
    story.push(format!("VIOLATED, with seed {seed} in round {round} (--seed {seed} --round {round}):"));
    story.extend(world.violations.iter().map(|violation| format!("  {violation}")));
    story.join("\n")
}
