//! What happens to the watchdogs: each event, what it needs, how it begins and how it is undone.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::chance::Chance;
use crate::health;
use crate::holds;
use crate::instance::{self, CRON_INTERVAL, Instance, Mode, ONE_OF_MANY, Places, RESTART_WAIT_INTERVAL};
use crate::parts::{self, Behaviour};
use crate::processes::{self, send, send_all, spawn};
use crate::world::{Abilities, World, cover_read_only, mount_memory, unmount};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long something is waited for that an event needs.
const PATIENCE: Duration = Duration::from_secs(3);

/// How an event is undone.
pub type Undo = Box<dyn FnOnce(&mut World)>;

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    KillProcess,
    StopProcess,
    CrashProcess,
    KillStartCommand,
    KillWatchdog,
    KillAllTwice,
    TerminateWatchdog,
    FreezeWatchdog,
    Frozen,
    HangUpStorm,
    LookNow,
    Broken,
    Crashing,
    Hanging,
    Slow,
    ByHand,
    LeftOver,
    Pause,
    ConfigurationChanged,
    ConfigurationWrong,
    SecondWatchdogs,
    Storm,
    Hundreds,
    ClockSet,
    TimeNamespace,
    LogFolderRemoved,
    LogFolderIsFile,
    LogsReadOnly,
    LogsFull,
    StateFull,
    StateReadOnly,
    HandedOver,
    HomeGone,
    Descriptors,
    AddressSpace,
    ControlGroup,
    ProcNotMounted,
    ProcHidden,
    NumberReused,
    CommandsNumberReused,
    Hangs,
    Deaf,
    SlowToAnswer,
    WrongProbe,
    BrokenProbe,
    Request,
    WindowEnds,
    VersionDue,
    FirstVersion,
    DependencyGone,
    Finishes,
}

use Event::{
    AddressSpace, Broken, BrokenProbe, ByHand, ClockSet, CommandsNumberReused, ConfigurationChanged,
    ConfigurationWrong, ControlGroup, CrashProcess, Crashing, Deaf, DependencyGone, Descriptors, Finishes,
    FirstVersion, FreezeWatchdog, Frozen, HandedOver, HangUpStorm, Hanging, Hangs, HomeGone, Hundreds,
    KillAllTwice, KillProcess, KillStartCommand, KillWatchdog, LeftOver, LogFolderIsFile, LogFolderRemoved,
    LogsFull, LogsReadOnly, LookNow, NumberReused, Pause, ProcHidden, ProcNotMounted, Request,
    SecondWatchdogs, Slow, SlowToAnswer, StateFull, StateReadOnly, StopProcess, Storm, TerminateWatchdog,
    TimeNamespace, VersionDue, WindowEnds, WrongProbe,
};

/// An event, and how likely it is.
pub type Weighed = (u64, Event);

/// All of them, the more likely ones with a greater weight.
const ALL: [Weighed; 51] = [
    (12, KillProcess),
    (4, StopProcess),
    (4, CrashProcess),
    (5, KillStartCommand),
    (8, KillWatchdog),
    (6, KillAllTwice),
    (3, TerminateWatchdog),
    (4, FreezeWatchdog),
    (4, Frozen),
    (2, HangUpStorm),
    (2, LookNow),
    (4, Broken),
    (3, Crashing),
    (2, Hanging),
    (4, Slow),
    (4, ByHand),
    (3, LeftOver),
    (5, Pause),
    (3, ConfigurationChanged),
    (2, ConfigurationWrong),
    (4, SecondWatchdogs),
    (3, Storm),
    (1, Hundreds),
    (4, ClockSet),
    (2, TimeNamespace),
    (3, LogFolderRemoved),
    (2, LogFolderIsFile),
    (2, LogsReadOnly),
    (3, LogsFull),
    (4, StateFull),
    (4, StateReadOnly),
    (4, HandedOver),
    (3, HomeGone),
    (4, Descriptors),
    (3, AddressSpace),
    (2, ControlGroup),
    (3, ProcNotMounted),
    (3, ProcHidden),
    (5, NumberReused),
    (2, CommandsNumberReused),
    (16, Hangs),
    (8, Deaf),
    (4, SlowToAnswer),
    (4, WrongProbe),
    (4, BrokenProbe),
    (10, Request),
    (6, WindowEnds),
    (6, VersionDue),
    (3, FirstVersion),
    (6, DependencyGone),
    (6, Finishes),
];

impl Event {
    /// Those that can be made to happen here, and why the others cannot.
    pub fn possible(abilities: Abilities) -> (Vec<Weighed>, Vec<(Event, &'static str)>) {
        let mut possible = Vec::new();
        let mut skipped = Vec::new();
        for (weight, event) in ALL {
            match event.lacks(abilities) {
                None => possible.push((weight, event)),
                Some(why) => skipped.push((event, why)),
            }
        }
        (possible, skipped)
    }

    fn lacks(self, abilities: Abilities) -> Option<&'static str> {
        match self {
            LogsReadOnly | LogsFull | StateFull | StateReadOnly | HomeGone | ProcNotMounted
            | NumberReused | CommandsNumberReused
                if !abilities.namespaces =>
            {
                Some("needs mount and PID namespaces of its own")
            }
            TimeNamespace if !abilities.time => Some("needs a time namespace of its own"),
            ProcHidden if !abilities.root || !abilities.namespaces => {
                Some("needs root, to run one watchdog as another user")
            }
            ControlGroup if !abilities.root => Some("needs root, to make a control group"),
            HandedOver if !abilities.root => Some("needs root, who has something to lose to another user"),
            _ => None,
        }
    }

    /// How long it is kept up at least, and at most, in milliseconds, where it is a state of affairs.
    pub fn lasts(self) -> (u64, u64) {
        match self {
            // Long enough for a round of attempts, or for the end of an attempt that takes too long.
            Broken | Crashing | Hanging => (1_000, 6_500),
            Hangs | Deaf | SlowToAnswer | WrongProbe | BrokenProbe => (3_000, 9_000),
            WindowEnds | FirstVersion | DependencyGone | Finishes => (1_000, 4_000),
            // So that time is lost.
            Frozen => (1_500, 4_000),
            _ => (150, 2_000),
        }
    }

    /// Makes it happen.
    pub fn begin(self, world: &mut World, chance: &mut Chance) -> Option<Undo> {
        *world.summary.events.entry(format!("{self:?}")).or_default() += 1;
        world.tell(&format!("event: {self:?}"));
        let at = any(world, chance, |_| true);
        let mortal = any(world, chance, |it| !it.character.veteran);
        match self {
            KillProcess => kill(world, at, Signal::SIGKILL),
            StopProcess => kill(world, at, chance.one_of(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])),
            CrashProcess => kill(world, at, Signal::SIGSEGV),
            KillStartCommand => return Some(kill_start_command(world, at, chance)),
            KillWatchdog => {
                if chance.between(0, 2) == 0 {
                    world.kill_processes(mortal, Signal::SIGKILL);
                    world.pass(Duration::from_millis(chance.between(0, 80)));
                }
                let pause = Duration::from_millis(chance.between(0, 500));
                world.end_watchdogs(mortal, Signal::SIGKILL, pause);
                if chance.between(0, 2) == 0 {
                    world.kill_processes(mortal, Signal::SIGKILL);
                }
            }
            KillAllTwice => kill_all_twice(world, mortal, chance),
            TerminateWatchdog => {
                let signal = chance.one_of(&[Signal::SIGTERM, Signal::SIGINT]);
                world.end_watchdogs(mortal, signal, Duration::from_millis(chance.between(0, 500)));
            }
            FreezeWatchdog => return Some(freeze(world, at, chance)),
            Frozen => return Some(freeze_all(world, at)),
            HangUpStorm => {
                let count = chance.between(20, 400);
                flood(&catching(world, at, Signal::SIGHUP), Signal::SIGHUP, count);
            }
            LookNow => {
                let count = chance.between(1, 50);
                flood(&catching(world, at, Signal::SIGUSR1), Signal::SIGUSR1, count);
            }
            Broken => return Some(misbehave(world, at, Behaviour::Broken)),
            Crashing => return Some(misbehave(world, at, Behaviour::Crashing(chance.between(10, 900)))),
            Hanging => return Some(misbehave(world, at, Behaviour::Hanging)),
            Slow => return Some(misbehave(world, at, Behaviour::Slow(chance.between(50, 2_000)))),
            ByHand => return by_hand(world, at, chance),
            LeftOver => return Some(left_over(world, at)),
            Pause => return pause(world, at),
            ConfigurationChanged => return Some(configure(world, instance::File::Changed)),
            ConfigurationWrong => return Some(configure(world, instance::File::Wrong)),
            SecondWatchdogs => {
                if chance.between(0, 1) == 0 {
                    world.kill_processes(at, Signal::SIGKILL);
                }
                second(world, at, chance);
            }
            Storm => return Some(storm(world, at, chance)),
            Hundreds => hundreds(world, chance),
            ClockSet => clock_set(world, mortal, chance),
            TimeNamespace => return Some(time_namespace(world, chance)),
            LogFolderRemoved => remove(&world.instances[at].places.logs),
            LogFolderIsFile => return log_folder_is_file(world, at),
            LogsReadOnly => return Some(read_only(world.instances[at].places.logs.clone())),
            LogsFull => return fill(&world.instances[at].places.logs),
            StateFull => {
                forget(world, at);
                return fill(&world.instances[at].places.state);
            }
            StateReadOnly => {
                forget(world, at);
                return Some(read_only(world.instances[at].places.state.clone()));
            }
            HandedOver => return hand_over(world, at, chance),
            HomeGone => return Some(home_gone(world, at)),
            Descriptors => return limit(world, at, Resource::Nofile, chance),
            AddressSpace => return limit(world, at, Resource::As, chance),
            ControlGroup => return control_group(world, mortal, chance),
            // Not again: the first undo would leave the other in place.
            ProcNotMounted if world.blind => {}
            ProcNotMounted => {
                world.blind = true;
                world.was_blind = true;
                mount_memory(Path::new("/proc"), "1m");
                return Some(Box::new(|world| {
                    unmount(Path::new("/proc"));
                    world.blind = false;
                }));
            }
            ProcHidden => return hide(world),
            NumberReused => number_reused(world, at, chance),
            CommandsNumberReused => return commands_number_reused(world, mortal),
            Request => {
                // Of these it is known what was stopped.
                let probed = any(world, chance, |it| it.character.probed);
                let at = if chance.between(0, 2) == 0 { at } else { probed };
                return Some(health::ask(world, at, chance));
            }
            WindowEnds | VersionDue | FirstVersion | DependencyGone | Finishes => {
                return holds::begin(world, self, chance);
            }
            Hangs | Deaf | SlowToAnswer | WrongProbe | BrokenProbe => {
                let at = any(world, chance, |it| it.character.probed);
                return Some(health::ail(world, at, self, chance));
            }
        }
        None
    }
}

/// Any instance that will do, and to which something may happen. At least one does.
pub fn any(world: &World, chance: &mut Chance, fits: fn(&Instance) -> bool) -> usize {
    let fits = |at: &usize| !world.instances[*at].character.needed && fits(&world.instances[*at]);
    let fitting: Vec<_> = (0..world.instances.len()).filter(fits).collect();
    chance.one_of(&fitting)
}

fn kill(world: &mut World, at: usize, signal: Signal) {
    let now = world.clock.now();
    let is_calm = world.is_calm && !world.instances[at].is_from_cron();
    let killed = world.kill_processes(at, signal);
    if signal == Signal::SIGKILL && is_calm && !killed.is_empty() {
        world.instances[at].known.killed = Some(now);
    }
}

/// The watchdogs that have come so far as to catch `signal`: others, it ends.
pub fn catching(world: &World, at: usize, signal: Signal) -> Vec<i32> {
    let catches = |pid: &i32| {
        let status = world.processes.entry(*pid).and_then(|entry| entry.status().ok());
        status.is_some_and(|status| status.sigcgt & (1 << (signal as u64 - 1)) != 0)
    };
    world.watchdogs(at).into_iter().filter(catches).collect()
}

fn flood(pids: &[i32], signal: Signal, count: u64) {
    for _ in 0..count {
        send_all(pids, signal);
    }
}

fn misbehave(world: &mut World, at: usize, behaviour: Behaviour) -> Undo {
    world.instances[at].behave(behaviour);
    world.kill_processes(at, Signal::SIGKILL);
    world.instances[at].known.patience += match behaviour {
        // It may be at the beginning of its end: five seconds between two signals.
        Behaviour::Hanging => Duration::from_secs(11),
        Behaviour::Slow(time) => Duration::from_millis(time),
        _ => Duration::ZERO,
    };
    Box::new(move |world| {
        world.instances[at].behave(Behaviour::Good);
        if let Behaviour::Crashing(_) = behaviour {
            // One that runs still will crash, which is no end of the fault.
            let name = world.instances[at].name.clone();
            let doomed = |live: &processes::Live| live.arguments.len() > 2;
            let end = world.clock.now() + PATIENCE;
            world.wait(end, |world| {
                world.starting(&name).is_empty() && !world.running(&name).iter().any(doomed)
            });
        }
    })
}

fn kill_start_command(world: &mut World, at: usize, chance: &mut Chance) -> Undo {
    let signal = chance.one_of(&[Signal::SIGKILL, Signal::SIGTERM]);
    world.instances[at].behave(Behaviour::Slow(chance.between(300, 1500)));
    world.instances[at].known.patience += Duration::from_millis(1500);
    world.kill_processes(at, Signal::SIGKILL);
    let name = world.instances[at].name.clone();
    let end = world.clock.now() + RESTART_WAIT_INTERVAL + CRON_INTERVAL + PATIENCE;
    world.wait(end, |world| !world.starting(&name).is_empty());
    world.pass(Duration::from_millis(chance.between(0, 200)));
    for live in world.starting(&name) {
        world.tell(&format!("{signal} to the start command of {name}, pid {}", live.pid));
        send(live.pid, signal);
    }
    Box::new(move |world| world.instances[at].behave(Behaviour::Good))
}

/// Process and watchdog are killed, and as soon as the process is there again, both once more.
fn kill_all_twice(world: &mut World, at: usize, chance: &mut Chance) {
    world.kill_processes(at, Signal::SIGKILL);
    let name = world.instances[at].name.clone();
    let end = world.clock.now() + RESTART_WAIT_INTERVAL + CRON_INTERVAL;
    world.wait(end, |world| !world.running(&name).is_empty());
    world.pass(Duration::from_millis(chance.between(0, 200)));
    world.kill_processes(at, Signal::SIGKILL);
    world.end_watchdogs(at, Signal::SIGKILL, Duration::ZERO);
}

fn freeze(world: &mut World, at: usize, chance: &mut Chance) -> Undo {
    let pids = world.watchdogs(at);
    let from = world.clock.now();
    send_all(&pids, Signal::SIGSTOP);
    if chance.between(0, 1) == 0 {
        world.kill_processes(at, Signal::SIGKILL);
    }
    Box::new(move |world| {
        let until = world.clock.now();
        world.instances[at].known.stops.push((from, until));
        send_all(&pids, Signal::SIGCONT);
    })
}

/// Stops the watchdog with all that is its business, as a suspended machine does.
fn freeze_all(world: &mut World, at: usize) -> Undo {
    let from = world.clock.now();
    let mut pids = world.watchdogs(at);
    send_all(&pids, Signal::SIGSTOP);
    let name = world.instances[at].name.clone();
    let others = world.starting(&name).into_iter().chain(world.running(&name)).map(|live| live.pid);
    let others: Vec<_> = others.collect();
    send_all(&others, Signal::SIGSTOP);
    pids.splice(0..0, others);
    Box::new(move |world| {
        let until = world.clock.now();
        world.instances[at].known.stops.push((from, until));
        send_all(&pids, Signal::SIGCONT);
    })
}

/// Somebody stops the process and starts it again himself, as an init script's `restart` does.
fn by_hand(world: &mut World, at: usize, chance: &mut Chance) -> Option<Undo> {
    world.kill_processes(at, Signal::SIGTERM);
    world.pass(Duration::from_millis(chance.between(0, 150)));
    let name = world.instances[at].name.clone();
    let pid = spawn(&mut parts::process_by_hand(&world.folder, &name));
    world.instances[at].known.failing = 0;
    holds::is_over(world, at);
    world.tell(&format!("{name} is started by hand: pid {pid}"));
    None
}

fn left_over(world: &mut World, at: usize) -> Undo {
    let name = world.instances[at].name.clone();
    let pid = spawn(&mut parts::left_over(&world.folder, &name));
    // As old as what it is left over from, by the clock's tick.
    world.pass(Duration::from_millis(50));
    world.kill_processes(at, Signal::SIGKILL);
    Box::new(move |world| {
        send(pid, Signal::SIGKILL);
        world.tell(&format!("the left-over of {name} is gone: pid {pid}"));
    })
}

pub fn pause(world: &mut World, at: usize) -> Option<Undo> {
    if world.instances[at].known.unheeded || !world.say(at, "pause") {
        return None;
    }
    let now = world.clock.now();
    world.instances[at].known.pause = Some((now, None));
    world.kill_processes(at, Signal::SIGKILL);
    Some(Box::new(move |world| {
        world.read_ledger();
        let now = world.clock.now();
        if let Some((_, until)) = &mut world.instances[at].known.pause {
            // Paused twice, it is resumed twice, and free from the first time on.
            until.get_or_insert(now);
        }
        world.resume(at);
    }))
}

fn configure(world: &mut World, file: instance::File) -> Undo {
    let at = any(world, &mut Chance::of(0, 0), |it| it.character.configured && !it.character.held);
    world.instances[at].configure(file);
    world.instances[at].known.misconfigured = file == instance::File::Wrong;
    // Another watchdog that reads it begins anew; this one does not.
    world.instances[at].known.failing = 0;
    send_all(&catching(world, at, Signal::SIGHUP), Signal::SIGHUP);
    world.pass(Duration::from_millis(50));
    world.kill_processes(at, Signal::SIGKILL);
    Box::new(move |world| {
        world.instances[at].configure(instance::File::Right);
        // One that has read the wrong one may not have ended yet.
        let readers = world.watchdogs(at);
        let end = world.clock.now() + Duration::from_secs(1);
        world.wait(end, |world| !world.watchdogs(at).iter().any(|pid| readers.contains(pid)));
        world.instances[at].known.misconfigured = false;
        world.instances[at].known.failing = 0;
        send_all(&catching(world, at, Signal::SIGHUP), Signal::SIGHUP);
    })
}

/// More of the same beside each other: runs of cron, and whole watchdogs.
fn second(world: &mut World, at: usize, chance: &mut Chance) {
    // A second service would be refused, with a status of its own.
    let mode = world.instances[at].character.mode;
    let mode = if mode == Mode::Service { Mode::Once } else { mode };
    world.instances[at].known.beside = true;
    for _ in 0..chance.between(1, 12) {
        world.instances[at].start_beside(mode);
    }
}

fn storm(world: &mut World, at: usize, chance: &mut Chance) -> Undo {
    let name = world.instances[at].name.clone();
    // The whole name has to match, so the one is longer, and the other shorter.
    let name = if chance.between(0, 1) == 0 { format!("{name}s") } else { name[..name.len() - 1].to_owned() };
    let count = chance.between(1_000, 3_000);
    let pid = spawn(&mut parts::storm(&world.folder, &name, count));
    world.pass(Duration::from_millis(100));
    world.kill_processes(at, Signal::SIGKILL);
    Box::new(move |world| {
        let end = world.clock.now() + Duration::from_secs(120);
        world.wait(end, |_| processes::how_it_ended(pid).is_some());
    })
}

/// A few hundred watchdogs at once, each with its process, and all processes killed together.
fn hundreds(world: &mut World, chance: &mut Chance) {
    if world.blind {
        // None of them could even begin.
        return;
    }
    let count = chance.between(100, 300);
    let places = world.instances[0].places.clone();
    let prefix = world.instances[0].name.clone();
    let prefix = prefix.trim_end_matches(world.instances[0].character.word);
    let from = world.instances.len();
    for number in 0..count {
        let prefix = format!("{prefix}{number}");
        let mut instance = Instance::new(&world.folder, &prefix, ONE_OF_MANY, places.clone());
        instance.start();
        world.instances.push(instance);
    }
    world.summary.watchdogs += count;
    let names: Vec<_> = world.instances[from..].iter().map(|it| it.name.clone()).collect();
    let all_run = |world: &mut World| {
        let running = world.processes.all();
        let is_up = |name: &String| running.iter().any(|live| parts::is_process_of(live, name));
        names.iter().all(is_up)
    };
    // Two cores have their hands full with them.
    let time = RESTART_WAIT_INTERVAL + Duration::from_secs(1) + Duration::from_millis(50 * count);
    for what in ["started", "killed"] {
        let began = world.clock.now();
        let runs =
            |world: &mut World| all_run(world) || world.clock.now() > began + time + world.leniency(began);
        world.wait(began + Duration::from_secs(120), runs);
        if !all_run(world) && world.violations.is_empty() {
            world.violated(format!(
                "of {count} watchdogs beside each other not all run, after all were {what}"
            ));
        }
        if what == "started" {
            let all = world.processes.all();
            let ours = |live: &&processes::Live| names.iter().any(|name| parts::is_process_of(live, name));
            all.iter().filter(ours).for_each(|live| send(live.pid, Signal::SIGKILL));
            world.summary.deaths += count;
            world.pass(Duration::from_millis(20));
        }
    }
    let watchdogs: Vec<_> = (from..world.instances.len()).flat_map(|at| world.watchdogs(at)).collect();
    send_all(&watchdogs, Signal::SIGTERM);
    for pid in watchdogs {
        let status = processes::wait(pid, Duration::from_secs(20));
        if status.and_then(|status| status.code()) != Some(0) {
            world.violated(format!("one of {count} watchdogs, ended by SIGTERM: pid {pid}, {status:?}"));
        }
    }
    world.read_ledger();
    world.instances.truncate(from);
    let all = world.processes.all();
    for live in all.iter().filter(|live| names.contains(&live.name)) {
        send(live.pid, Signal::SIGKILL);
    }
    for name in &names {
        for ending in ["json", "lock", "start", "pause"] {
            let _ = fs::remove_file(places.state.join(format!("{name}.{ending}")));
        }
        for ending in ["log", "output.log"] {
            let _ = fs::remove_file(places.logs.join(format!("{name}.{ending}")));
        }
    }
}

/// The watchdog is begun anew where more time has passed since boot.
fn time_namespace(world: &mut World, chance: &mut Chance) -> Undo {
    // Only root may make one.
    let at = any(world, chance, |it| !it.character.veteran && !it.character.ordinary);
    let days = chance.between(0, 4);
    let offset = DAY * u32::try_from(days).unwrap();
    world.instances[at].time_offset = Some(offset);
    world.instances[at].known.forgetful = true;
    world.tell(&format!("time_offset {offset:?}"));
    world.end_watchdogs(at, Signal::SIGKILL, Duration::ZERO);
    Box::new(move |world| {
        world.instances[at].time_offset = None;
        world.end_watchdogs(at, Signal::SIGKILL, Duration::ZERO);
    })
}

/// The clock was set: all that the program takes from it is how old its state file is.
fn clock_set(world: &mut World, at: usize, chance: &mut Chance) {
    let forward = chance.between(0, 1) == 0;
    if chance.between(0, 1) == 0 {
        world.end_watchdogs(at, Signal::SIGKILL, Duration::from_millis(300));
        world.kill_processes(at, Signal::SIGKILL);
    }
    let (state, logs) = (world.instances[at].places.state.clone(), world.instances[at].places.logs.clone());
    let now = SystemTime::now();
    let time = if forward { now.checked_sub(DAY) } else { now.checked_add(DAY) }.unwrap_or(now);
    world.tell(&format!("clock set {}", if forward { "forward" } else { "back" }));
    for folder in [state, logs] {
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            let _ = File::options().write(true).open(file.path()).and_then(|file| file.set_modified(time));
        }
    }
}

fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
}

fn remove(folder: &Path) {
    empty(folder);
    // What is mounted there stays.
    let _ = fs::remove_dir(folder);
}

fn log_folder_is_file(world: &mut World, at: usize) -> Option<Undo> {
    let folder = world.instances[at].places.logs.clone();
    if !world.abilities.namespaces {
        empty(&folder);
        fs::remove_dir(&folder).ok()?;
        fs::write(&folder, "in the way").ok()?;
        return Some(Box::new(move |_| drop(fs::remove_file(folder))));
    }
    // Where a file system is mounted, a directory cannot be taken away; one of its files can become a directory.
    let name = world.instances[at].name.clone();
    let file = folder.join(format!("{name}.log"));
    let _ = fs::remove_file(&file);
    fs::create_dir(&file).ok()?;
    Some(Box::new(move |_| drop(fs::remove_dir(file))))
}

fn read_only(folder: PathBuf) -> Undo {
    cover_read_only(&folder);
    Box::new(move |_| unmount(&folder))
}

/// As on a file server that is gone, where nothing can be written.
fn home_gone(world: &mut World, at: usize) -> Undo {
    forget(world, at);
    let Places { logs, state } = world.instances[at].places.clone();
    let undo = [read_only(logs), read_only(state)];
    Box::new(|world| undo.into_iter().for_each(|undo| undo(world)))
}

/// The folder of the logs, or of the state, belongs to another user from here on, who tries what he can.
fn hand_over(world: &mut World, at: usize, chance: &mut Chance) -> Option<Undo> {
    let Places { logs, state } = world.instances[at].places.clone();
    let is_state = chance.between(0, 1) == 0;
    let folder = if is_state { state.clone() } else { logs };
    let beside = move |it: &&mut Instance| is_state && it.places.state == state;
    // What people have said there is not heeded meanwhile.
    if world.instances.iter_mut().filter(&beside).any(|it| it.known.pause.is_some() || it.known.unheeded) {
        return None;
    }
    let (owner, name) = (fs::metadata(&folder).ok()?.uid(), world.instances[at].name.clone());
    let stranger = owner + 1;
    chown(&folder, Some(stranger), None).ok()?;
    world.tell(&format!("{} belongs to user {stranger}", folder.display()));
    world.instances.iter_mut().filter(&beside).for_each(|it| {
        (it.known.unheeded, it.known.forgetful) = (true, true);
    });
    let junk = folder.join(format!("{name}.pause"));
    if is_state && owner == 0 {
        let _ = fs::write(&junk, "junk").and_then(|()| chown(&junk, Some(stranger), None));
    }
    world.kill_processes(at, Signal::SIGKILL);
    Some(Box::new(move |world| {
        // In its owner's folder it would be a pause.
        let _ = fs::remove_file(&junk);
        let _ = chown(&folder, Some(owner), None);
        world.instances.iter_mut().filter(&beside).for_each(|it| it.known.unheeded = false);
    }))
}

/// Fills a file system to its last byte.
fn fill(folder: &Path) -> Option<Undo> {
    let ballast = folder.join("ballast");
    let mut file = File::create(&ballast).ok()?;
    for size in [65_536, 4_096, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
    Some(Box::new(move |_| drop(fs::remove_file(ballast))))
}

/// All whose state is where that of `at` is may not be able to write it from here on.
fn forget(world: &mut World, at: usize) {
    let state = world.instances[at].places.state.clone();
    for instance in world.instances.iter_mut().filter(|it| it.places.state == state) {
        instance.known.forgetful = true;
    }
}

fn limit(world: &mut World, at: usize, resource: Resource, chance: &mut Chance) -> Option<Undo> {
    let pids: Vec<_> = world.watchdogs(at).into_iter().filter_map(Pid::from_raw).collect();
    world.instances[at].known.forgetful = true;
    world.instances[at].known.starved = true;
    let mut before = Vec::new();
    for pid in pids {
        let entry = world.processes.entry(pid.as_raw_nonzero().get())?;
        // In the midst of its exec it is not the watchdog yet, and without memory ld.so ends by SIGSEGV.
        let terminates = 1 << (Signal::SIGTERM as u32 - 1);
        if entry.status().ok()?.sigcgt & terminates == 0 {
            continue;
        }
        let few = match resource {
            Resource::Nofile => entry.fd_count().ok()? as u64 + chance.between(0, 2),
            _ => entry.statm().ok()?.size * procfs::page_size() + chance.between(0, 1) * 65_536,
        };
        // All have the soak's upper limit.
        let most = getrlimit(resource).maximum;
        if let Ok(old) = prlimit(Some(pid), resource, Rlimit { current: Some(few), maximum: most }) {
            before.push((pid, old));
        }
        world.tell(&format!("{resource:?} of pid {pid:?} is {few}"));
    }
    if chance.between(0, 2) > 0 {
        world.kill_processes(at, Signal::SIGKILL);
    }
    Some(Box::new(move |_| {
        for (pid, old) in before {
            let _ = prlimit(Some(pid), resource, old);
        }
    }))
}

fn control_group(world: &mut World, at: usize, chance: &mut Chance) -> Option<Undo> {
    let (group, limit) = world.group.clone()?;
    let pids = world.watchdogs(at);
    for pid in &pids {
        let _ = fs::write(group.join("cgroup.procs"), pid.to_string());
    }
    world.instances[at].known.forgetful = true;
    world.instances[at].known.starved = true;
    // The kernel kills whoever needs more than there is, be it the watchdog.
    world.instances[at].pardoned.extend(&pids);
    let few = chance.between(100, 1_000) * 1024;
    let _ = fs::write(&limit, few.to_string());
    world.tell(&format!("{few} bytes of memory for the watchdog of {}", world.instances[at].name));
    world.kill_processes(at, Signal::SIGKILL);
    Some(Box::new(move |_| {
        let _ = fs::write(&limit, (1_u64 << 40).to_string());
    }))
}

/// An ordinary user sees only his own processes, and the one that is watched is root's by now.
fn hide(world: &mut World) -> Option<Undo> {
    if world.blind {
        // There is no /proc to be mounted otherwise.
        return None;
    }
    let at = any(world, &mut Chance::of(0, 0), |it| it.character.ordinary);
    set_hidepid("2");
    world.kill_processes(at, Signal::SIGKILL);
    // What another user starts before the death is noticed is older than it, and left over (rule 11).
    let noticed = |world: &mut World| {
        world.instances[at].state().and_then(Result::ok).is_none_or(|state| state["process"].is_null())
    };
    let end = world.clock.now() + Duration::from_secs(2);
    world.wait(end, noticed);
    let name = world.instances[at].name.clone();
    // Nobody who cannot see this one may start another.
    spawn(&mut parts::process_by_hand(&world.folder, &name));
    world.instances[at].known.failing = 0;
    Some(Box::new(|_| set_hidepid("0")))
}

fn set_hidepid(value: &str) {
    let option = format!("hidepid={value}");
    let none = None::<&str>;
    nix::mount::mount(none, "/proc", none, nix::mount::MsFlags::MS_REMOUNT, Some(&*option)).expect("a /proc");
}

/// The number of a process that has just died becomes another's at once.
fn number_reused(world: &mut World, at: usize, chance: &mut Chance) {
    let is_stranger = chance.between(0, 2) > 0;
    let name = world.instances[at].name.clone();
    for pid in world.kill_processes(at, Signal::SIGKILL) {
        let mut command = if is_stranger {
            parts::stranger(&world.folder)
        } else {
            parts::process_by_hand(&world.folder, &name)
        };
        let got = take_number(world, pid, &mut command);
        world.tell(&format!("the number {pid} is taken: {got}, by a stranger: {is_stranger}"));
        world.instances[at].known.killed = None;
        world.instances[at].known.failing = 0;
        holds::is_over(world, at);
    }
}

/// Starts `command` with the number `pid`, if it is to be had.
fn take_number(world: &mut World, pid: i32, command: &mut std::process::Command) -> bool {
    let gone = |world: &mut World| world.processes.entry(pid).is_none();
    let end = world.clock.now() + PATIENCE;
    while !gone(world) && world.clock.now() < end {
        std::thread::yield_now();
    }
    let last = world.processes.root().join("sys/kernel/ns_last_pid");
    for _ in 0..5 {
        let _ = fs::write(&last, (pid - 1).to_string());
        let got = spawn(command);
        if got == pid {
            world.summary.waived("(numbers used again)");
            return true;
        }
        send(got, Signal::SIGKILL);
        if !gone(world) {
            return false;
        }
    }
    false
}

/// Watchdog and start command are killed, and somebody else's session gets the number of that.
fn commands_number_reused(world: &mut World, at: usize) -> Option<Undo> {
    world.instances[at].behave(Behaviour::Slow(1000));
    world.kill_processes(at, Signal::SIGKILL);
    let name = world.instances[at].name.clone();
    let end = world.clock.now() + RESTART_WAIT_INTERVAL + CRON_INTERVAL + PATIENCE;
    world.wait(end, |world| !world.starting(&name).is_empty());
    let command = world.starting(&name).first().map(|live| live.pid)?;
    // Two processes of one number are told apart by their starts, which the kernel gives to the tick.
    world.pass(Duration::from_millis(50));
    world.end_watchdogs(at, Signal::SIGKILL, Duration::from_millis(100));
    send(command, Signal::SIGKILL);
    let mut stranger = parts::stranger(&world.folder);
    let got = take_number(world, command, &mut stranger);
    world.tell(&format!("the start command's number {command} is taken: {got}"));
    Some(Box::new(move |world| {
        world.instances[at].behave(Behaviour::Good);
        if got && world.processes.one(command).is_none() {
            world.violated(format!("{name}: a stranger with the start command's number, {command}, is gone"));
        }
        send(command, Signal::SIGKILL);
    }))
}
