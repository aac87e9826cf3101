//! Where the soak takes place: namespaces, directories, the watchdogs in them, and who starts these again.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;

use crate::clock::Clock;
use crate::instance::{CHARACTERS, CRON_INTERVAL, Instance, Mode, Places};
use crate::ledger::{Note, Reader};
use crate::parts::{is_process_of, is_start_of};
use crate::pressure::Pressure;
use crate::processes::{self, Live, Processes};
use crate::summary::Summary;

/// How much happens before it is forgotten what there was.
const JOURNAL: usize = 60;
/// From one look around to the next.
const PACE: Duration = Duration::from_millis(10);
/// From one `status` to the next.
const STATUS_PACE: Duration = Duration::from_millis(500);

/// What the soak may do here.
#[derive(Debug, Clone, Copy)]
pub struct Abilities {
    /// A mount and a PID namespace of its own.
    pub namespaces: bool,
    /// A time namespace of its own.
    pub time: bool,
    /// Root, and not only of a user namespace: other users, control groups.
    pub root: bool,
}

/// Where it takes place.
pub struct World {
    pub folder: PathBuf,
    pub abilities: Abilities,
    pub processes: Processes,
    pub clock: Clock,
    pub instances: Vec<Instance>,
    pub summary: Summary,
    /// New watchdogs cannot see any process.
    pub blind: bool,
    /// There may still be some that began like that.
    pub was_blind: bool,
    /// Nothing is the matter but what happens next.
    pub is_calm: bool,
    /// What went wrong, the first first.
    pub violations: Vec<String>,
    /// How busy the machine has been.
    pressure: Pressure,
    /// The control group with little memory, and its file that says how little.
    pub group: Option<(PathBuf, PathBuf)>,
    /// When `status` was run last.
    asked: Duration,
    /// Whose state is looked at next.
    pub next_state: usize,
    /// So many versions have been due.
    pub versions: u32,
    ledger: Reader,
    journal: VecDeque<String>,
}

impl World {
    /// A world in `folder`, which is empty, and on a file system of its own where that is possible.
    pub fn new(folder: &Path, abilities: Abilities) -> Self {
        let folder = folder.to_owned();
        if abilities.namespaces {
            mount_memory(&folder, "512m");
        }
        open_to_all(&folder);
        for name in ["bin", "behaviour", "config", "errors", "health", "starting", "proc"] {
            fs::create_dir(folder.join(name)).expect("a folder");
            open_to_all(&folder.join(name));
        }
        // Root's watchdogs read nothing that others could have put there.
        fs::set_permissions(folder.join("config"), fs::Permissions::from_mode(0o755)).expect("a mode");
        let here = std::env::current_exe().expect("a path");
        let watchdog = here.parent().and_then(Path::parent).expect("a folder").join("watchdog");
        assert!(watchdog.exists(), "no {}: cargo build --bin watchdog", watchdog.display());
        fs::copy(&here, folder.join("bin/soak")).expect("a copy");
        fs::copy(watchdog, folder.join("bin/watchdog")).expect("a copy");
        std::os::unix::fs::symlink("soak", folder.join("bin/stranger")).expect("a link");
        if abilities.namespaces {
            // This one stays as it is, whatever becomes of the other.
            let none = None::<&str>;
            mount(Some("proc"), &folder.join("proc"), Some("proc"), MsFlags::empty(), none).expect("a /proc");
        } else {
            fs::remove_dir(folder.join("proc")).expect("an empty folder");
            std::os::unix::fs::symlink("/proc", folder.join("proc")).expect("a link");
        }
        let ledger = Reader::begin(&folder.join("ledger"));
        fs::set_permissions(folder.join("ledger"), fs::Permissions::from_mode(0o666)).expect("a mode");
        let processes = Processes::new(&folder.join("proc"));
        let mut world = World {
            clock: processes.clock(),
            processes,
            abilities,
            instances: Vec::new(),
            summary: Summary::default(),
            blind: false,
            was_blind: false,
            is_calm: true,
            asked: Duration::ZERO,
            next_state: 0,
            versions: 0,
            violations: Vec::new(),
            pressure: Pressure::new(folder.join("proc/self/schedstat")),
            group: abilities.root.then(|| control_group(&folder)).flatten(),
            ledger,
            journal: VecDeque::new(),
            folder,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        // Where other processes are about, the names must be nobody else's.
        let prefix = format!("w{:x}-", std::process::id());
        for character in CHARACTERS.iter().filter(|it| self.abilities.root || !it.ordinary) {
            let places = Places {
                logs: self.folder.join(if character.ordinary { "users-logs" } else { "logs" }),
                state: self.folder.join(if character.ordinary { "users-state" } else { "state" }),
            };
            let instance = Instance::new(&self.folder, &prefix, *character, places);
            for folder in [&instance.places.logs, &instance.places.state] {
                if !folder.exists() {
                    fs::create_dir(folder).expect("a folder");
                    if self.abilities.namespaces {
                        mount_memory(folder, "16m");
                    }
                    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("a mode");
                    if instance.user() != 0 {
                        chown(folder, Some(instance.user()), Some(instance.user())).expect("an owner");
                    }
                }
            }
            self.instances.push(instance);
        }
    }

    /// Notes what happens.
    pub fn tell(&mut self, text: &str) {
        if self.journal.len() == JOURNAL {
            self.journal.pop_front();
        }
        self.journal.push_back(format!("{:>12} ms  {text}", self.clock.now().as_millis()));
    }

    /// What has happened last.
    pub fn journal(&self) -> impl Iterator<Item = &String> {
        self.journal.iter()
    }

    /// An invariant does not hold.
    pub fn violated(&mut self, text: String) {
        self.tell(&format!("VIOLATED: {text}"));
        self.violations.push(text);
    }

    /// The processes of an instance that run.
    pub fn running(&self, name: &str) -> Vec<Live> {
        self.processes.all().into_iter().filter(|live| is_process_of(live, name)).collect()
    }

    /// The start commands that run.
    pub fn starting(&self, name: &str) -> Vec<Live> {
        self.processes.all().into_iter().filter(|live| is_start_of(live, name)).collect()
    }

    /// Kills the processes of an instance.
    pub fn kill_processes(&mut self, at: usize, signal: Signal) -> Vec<i32> {
        let name = self.instances[at].name.clone();
        let pids: Vec<_> = self.running(&name).into_iter().map(|live| live.pid).collect();
        self.instances[at].known.health.signalled.extend(&pids);
        for pid in &pids {
            processes::send(*pid, signal);
        }
        self.await_end(&pids);
        if !pids.is_empty() {
            // What is killed has not failed.
            let failing = &mut self.instances[at].known.failing;
            *failing = failing.saturating_sub(1);
        }
        self.summary.deaths += pids.len() as u64;
        self.tell(&format!("{signal} to the process of {name}: {pids:?}"));
        pids
    }

    /// Until a signal has done its work, it is as if nothing had been sent.
    fn await_end(&self, pids: &[i32]) {
        let end = self.clock.now() + Duration::from_millis(500);
        while pids.iter().any(|pid| self.processes.one(*pid).is_some()) && self.clock.now() < end {
            std::thread::yield_now();
        }
    }

    /// The watchdogs of an instance that live.
    pub fn watchdogs(&self, at: usize) -> Vec<i32> {
        let runs = self.instances[at].runs.iter();
        let has_ended =
            |pid: &i32| processes::how_it_ended(*pid).is_some() || self.processes.one(*pid).is_none();
        runs.map(|(pid, _)| *pid).filter(|pid| !has_ended(pid)).collect()
    }

    /// Ends the watchdogs of an instance, which are started again after `pause`.
    pub fn end_watchdogs(&mut self, at: usize, signal: Signal, pause: Duration) {
        let pids = self.watchdogs(at);
        for pid in &pids {
            self.instances[at].pardoned.insert(*pid);
            processes::send(*pid, signal);
        }
        if signal == Signal::SIGKILL {
            self.await_end(&pids);
        }
        self.instances[at].due = self.clock.now() + pause;
        let name = self.instances[at].name.clone();
        self.tell(&format!("{signal} to the watchdog of {name}: {pids:?}, and again in {pause:?}"));
    }

    /// Says something to an instance by the command line, and whether that was written down.
    pub fn say(&mut self, at: usize, command: &str) -> bool {
        let (status, _, errors) = processes::run(&mut self.instances[at].say(command));
        let name = self.instances[at].name.clone();
        self.tell(&format!("watchdog {command} {name}: {status} {errors}"));
        status.success()
    }

    /// What a service manager and cron do all the time.
    pub fn tend(&mut self) {
        for at in 0..self.instances.len() {
            self.bury(at);
            self.look_at_requests(at);
            let now = self.clock.now();
            let instance = &mut self.instances[at];
            if now < instance.due {
                continue;
            }
            match instance.character.mode {
                Mode::Service if instance.runs.iter().any(|(_, mode)| *mode == Mode::Service) => continue,
                Mode::Service => {}
                Mode::Once | Mode::Line => instance.due = now + CRON_INTERVAL,
            }
            instance.start();
            self.summary.watchdogs += 1;
        }
    }

    fn bury(&mut self, at: usize) {
        let runs = std::mem::take(&mut self.instances[at].runs);
        for (pid, mode) in runs {
            match processes::how_it_ended(pid) {
                None => self.instances[at].runs.push((pid, mode)),
                Some(status) => self.judge_end(at, pid, mode, status),
            }
        }
    }

    /// Whether a watchdog may have ended as it did.
    fn judge_end(&mut self, at: usize, pid: i32, mode: Mode, status: ExitStatus) {
        self.summary.checked("a watchdog ends only when it has to, with the right status");
        let blind = self.was_blind;
        let now = self.clock.now();
        let instance = &mut self.instances[at];
        let name = instance.name.clone();
        let by_cron = mode != Mode::Service;
        let pardoned = instance.pardoned.remove(&pid);
        let due = now + Duration::from_millis(200);
        instance.due = if by_cron { instance.due } else { instance.due.max(due) };
        let is_right = match (status.code(), status.signal()) {
            _ if pardoned && (status.code() == Some(0) || status.signal().is_some()) => true,
            (Some(0 | 5), _) if by_cron => true,
            (Some(3), _) => blind || instance.known.starved,
            // Without memory, Rust can do no more (`std::alloc::handle_alloc_error`).
            (_, Some(libc::SIGABRT)) if instance.known.starved => {
                self.summary.waived("a watchdog that had no memory left");
                true
            }
            (Some(2), _) => instance.known.misconfigured,
            (Some(4), _) => !by_cron && instance.known.beside,
            // unshare(1) makes a time namespace through /proc.
            (Some(1), _) if blind && instance.time_offset.is_some() => true,
            (Some(1), _) if by_cron || !instance.character.retries => {
                self.gave_up(at);
                if !by_cron {
                    // Whoever starts it again means it to begin anew.
                    self.instances[at].known.failing = 0;
                    self.instances[at].known.attempts = 0;
                }
                true
            }
            _ => false,
        };
        // Cron's runs end all the time.
        if !(by_cron && matches!(status.code(), Some(0 | 5))) {
            self.tell(&format!("the watchdog of {name} has ended: pid {pid}, {status}"));
        }
        if !is_right {
            let said = fs::read_to_string(self.instances[at].errors()).unwrap_or_default();
            let said = said.lines().last().unwrap_or("nothing");
            self.violated(format!(
                "the watchdog of {name} (pid {pid}) ended without a reason: {status}; said last: {said}"
            ));
        }
    }

    /// What start commands have noted since the last time.
    pub fn news(&mut self) -> Vec<Note> {
        self.ledger.news()
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        let end = self.clock.now() + time;
        self.wait(end, |_| false);
    }

    /// Waits for something, until it is `end`.
    pub fn wait(&mut self, end: Duration, mut what: impl FnMut(&mut World) -> bool) -> bool {
        loop {
            self.pressure.look(self.clock.now());
            self.tend();
            self.read_ledger();
            self.look_at_states();
            let now = self.clock.now();
            if now > self.asked + STATUS_PACE {
                self.asked = now;
                self.ask_status();
            }
            if what(self) {
                return true;
            }
            if self.clock.now() >= end || !self.violations.is_empty() {
                return false;
            }
            std::thread::sleep(PACE);
        }
    }

    /// How much later than on an idle machine something may come that should have come since `since`.
    pub fn leniency(&self, since: Duration) -> Duration {
        self.pressure.since(since)
    }

    /// How much longer than on an idle machine a fork may have taken that was done then.
    pub fn delay_of(&self, fork: Duration) -> Duration {
        self.pressure.moment(fork)
    }
}

/// A control group for the memory of a watchdog, of the first version or the second (`cgroups(7)`).
fn control_group(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let name = folder.file_name()?;
    for (root, file) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
    {
        let group = Path::new(root).join(name);
        if fs::create_dir(&group).is_ok() {
            let limit = group.join(file);
            if limit.exists() {
                return Some((group, limit));
            }
            let _ = fs::remove_dir(group);
        }
    }
    None
}

impl World {
    /// The end of the world: all that it started is ended.
    pub fn end(&mut self) {
        let _ = fs::remove_file(self.folder.join("ledger"));
        for at in 0..self.instances.len() {
            let pids = self.watchdogs(at);
            processes::send_all(&pids, Signal::SIGKILL);
        }
        let names: Vec<_> = self.instances.iter().map(|it| it.name.clone()).collect();
        // Start commands first, which would start more.
        for what in [is_start_of, is_process_of] {
            let all = self.processes.all();
            let ours = |live: &&Live| names.iter().any(|name| what(live, name) || live.name == *name);
            all.iter().filter(ours).for_each(|live| processes::send(live.pid, Signal::SIGKILL));
        }
        if let Some((group, _)) = &self.group {
            // It can be taken away when nobody is left in it.
            let end = self.clock.now() + Duration::from_secs(2);
            while fs::remove_dir(group).is_err() && self.clock.now() < end {
                std::thread::sleep(PACE);
            }
        }
        if self.abilities.namespaces {
            unmount(&self.folder);
        }
    }
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("a mode");
}

/// Mounts a file system in memory.
pub fn mount_memory(folder: &Path, size: &str) {
    let size = format!("size={size}");
    mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(&*size)).expect("a tmpfs");
}

/// Puts the same directory over itself, read-only. What is open stays as it is: a file system that somebody
/// writes to cannot be made read-only under him.
pub fn cover_read_only(folder: &Path) {
    let none = None::<&str>;
    mount(Some(folder), folder, none, MsFlags::MS_BIND, none).expect("a bind mount");
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(none, folder, none, read_only, none).expect("a read-only mount");
}

/// Takes away what was mounted last at `folder`.
pub fn unmount(folder: &Path) {
    umount2(folder, MntFlags::MNT_DETACH).expect("an end of a mount");
}
