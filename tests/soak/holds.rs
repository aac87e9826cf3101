//! Hours, versions, a dependency and ends that are expected; and what must hold of them.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::Timelike;
use nix::sys::signal::Signal;

use crate::chance::Chance;
use crate::events::{Event, Undo, any, catching, pause};
use crate::instance::{self, Instance, Mode};
use crate::parts;
use crate::processes::{send_all, spawn};
use crate::world::World;

/// Until a watchdog has read its file again and looked.
const TIME_TO_READ: Duration = Duration::from_millis(500);
/// Until what is to hold a process does.
const PATIENCE: Duration = Duration::from_secs(3);
const MINUTES_A_DAY: u32 = 24 * 60;

/// When a process should run, as its file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    Always,
    /// Its window has ended in this minute of the day.
    Until {
        minute: u32,
        stop: bool,
    },
    /// Its first version is not due.
    NotYet,
    /// So many versions have been due.
    Version(u32),
    /// It may end as it should.
    Finishes,
}

impl Plan {
    /// The end of a file, which has the start command.
    pub fn lines(self, instance: &Instance) -> String {
        let prefix = instance.name.trim_end_matches(instance.character.word);
        let mut lines = format!("depends_on = ['{prefix}needed']\n");
        let version = |date: &str| {
            let start_command = instance.start_command();
            format!("[[version]]\napply_on = {date}\nstart_command = '{start_command}'\n")
        };
        let _ = match self {
            Plan::Always => Ok(()),
            Plan::Until { minute, stop } => {
                let time = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
                let from = time((minute + MINUTES_A_DAY - 60) % MINUTES_A_DAY);
                let stop = if stop { "stop" } else { "leave" };
                write!(lines, "active_hours = ['{from}-{}']\noutside_hours = '{stop}'\n", time(minute))
            }
            Plan::NotYet => lines.write_str(&version("2099-01-01")),
            Plan::Version(number) => {
                let date =
                    format!("2026-01-01T{:02}:{:02}:{:02}", number / 3600, number / 60 % 60, number % 60);
                lines.write_str(&version(&date))
            }
            Plan::Finishes => lines.write_str("autorestart = 'unexpected'\n"),
        };
        lines
    }
}

/// Something holds the process, or another version is due.
pub fn begin(world: &mut World, event: Event, chance: &mut Chance) -> Option<Undo> {
    let at = any(world, chance, |it| it.character.held);
    if world.instances[at].plan != Plan::Always || world.instances[at].known.hold.is_some() {
        return None;
    }
    match event {
        Event::WindowEnds => {
            let now = chrono::Local::now();
            let stop = chance.between(0, 1) == 0;
            let into_minute = Duration::from_secs(now.second().into());
            let end = world.clock.now().saturating_sub(into_minute);
            // One that began after the end of the window is another's.
            let is_old = world.running(&world.instances[at].name).iter().any(|live| live.started < end);
            plan(world, at, Plan::Until { minute: now.hour() * 60 + now.minute(), stop });
            if stop {
                world.instances[at].known.stops_due += u32::from(is_old);
                world.pass(TIME_TO_READ);
            }
            await_hold(world, at, "hours");
            if chance.between(0, 1) == 0 {
                // What is started by hand after a window has ended is left alone.
                let pid = spawn(&mut parts::process_by_hand(&world.folder, &world.instances[at].name));
                world.tell(&format!("{} is started by hand: pid {pid}", world.instances[at].name));
            }
        }
        Event::FirstVersion => {
            plan(world, at, Plan::NotYet);
            await_hold(world, at, "version");
        }
        Event::VersionDue => {
            world.versions += 1;
            plan(world, at, Plan::Version(world.versions));
            world.instances[at].known.stops_due += 1;
        }
        Event::Finishes => {
            // --once refuses it.
            world.instances[at].known.misconfigured = true;
            plan(world, at, Plan::Finishes);
            world.pass(TIME_TO_READ);
            world.kill_processes(at, Signal::SIGTERM);
            let end = world.clock.now() + PATIENCE;
            // Not so if it is no child of this watchdog, and the kernel tells nobody else how it ended.
            if world.wait(end, |world| state_of(world, at)["memory"]["life"] == "finished") {
                holds(world, at);
            }
        }
        _ => return depends(world, at),
    }
    Some(Box::new(move |world| {
        is_over(world, at);
        plan(world, at, Plan::Always);
        let runs_of_cron =
            |world: &World| world.instances[at].runs.iter().any(|(_, mode)| *mode == Mode::Once);
        let end = world.clock.now() + PATIENCE;
        world.wait(end, |world| !runs_of_cron(world));
        world.instances[at].known.misconfigured = false;
    }))
}

/// What it depends on is away.
fn depends(world: &mut World, at: usize) -> Option<Undo> {
    let needed = world.instances.iter().position(|it| it.character.needed)?;
    let undo = pause(world, needed)?;
    holds(world, at);
    world.kill_processes(at, Signal::SIGKILL);
    Some(Box::new(move |world| {
        is_over(world, at);
        // First the one, then the other.
        world.instances[at].known.patience += Duration::from_secs(2);
        undo(world);
    }))
}

fn plan(world: &mut World, at: usize, plan: Plan) {
    let instance = &mut world.instances[at];
    instance.plan = plan;
    instance.configure(instance::File::Right);
    (instance.known.owed_reload, instance.known.failing) = (true, 0);
    world.tell(&format!("{}: {plan:?}", world.instances[at].name));
    send_all(&catching(world, at, Signal::SIGHUP), Signal::SIGHUP);
}

/// Its watchdogs read what its file says now.
pub fn reload(world: &mut World, at: usize) {
    let end = world.clock.now() + PATIENCE;
    world.wait(end, |world| world.watchdogs(at).len() == catching(world, at, Signal::SIGHUP).len());
    send_all(&catching(world, at, Signal::SIGHUP), Signal::SIGHUP);
}

/// Kills the process, and waits until its watchdog says what keeps it from a start.
fn await_hold(world: &mut World, at: usize, hold: &str) {
    let (began, is_calm) = (world.clock.now(), world.is_calm);
    world.pass(TIME_TO_READ);
    world.kill_processes(at, Signal::SIGKILL);
    let is_held = |world: &World| state_of(world, at)["held"]["hold"] == hold;
    let is_late = |world: &World| world.clock.now() > began + PATIENCE + world.leniency(began);
    world.wait(Duration::MAX, |world| is_held(world) || is_late(world));
    if is_held(world) {
        holds(world, at);
    } else if is_calm && world.violations.is_empty() {
        let name = world.instances[at].name.clone();
        world.violated(format!("{name}: nothing holds it, and {hold} should"));
    }
}

fn state_of(world: &World, at: usize) -> serde_json::Value {
    world.instances[at].state().and_then(Result::ok).unwrap_or_default()
}

/// From now on nothing is to be started.
fn holds(world: &mut World, at: usize) {
    world.instances[at].known.hold = Some((world.clock.now(), None));
    world.summary.checked("nothing is started while a file holds it");
}

/// What holds it has ended, or may have.
pub fn is_over(world: &mut World, at: usize) {
    let now = world.clock.now();
    if let Some((_, until)) = &mut world.instances[at].known.hold {
        until.get_or_insert(now);
    }
}

/// Its process was stopped, and nobody has asked for that.
pub fn stopped(world: &mut World, at: usize, pid: i32) {
    let known = &mut world.instances[at].known;
    let forgot = known.forgetful || known.starved || known.beside;
    let is_due = known.stops_due > 0;
    known.stops_due = known.stops_due.saturating_sub(1);
    let name = world.instances[at].name.clone();
    world.tell(&format!("{name} is stopped for its hours or its version: pid {pid}"));
    world.summary.checked("a process is stopped once for an end of its hours, and for a version");
    if !is_due && forgot {
        world.summary.waived("a stop, after something was taken from the watchdog");
    } else if !is_due {
        world.violated(format!(
            "{name}: pid {pid} was stopped, and neither its hours nor its version says so"
        ));
    }
}
