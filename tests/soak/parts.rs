//! The parts that this program plays beside the soak itself: the start command, the watched process, and
//! those that are not it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::SIGTERM;

use crate::health;
use crate::ledger::{Note, What};
use crate::processes::{Live, Processes};

/// The directory of the soak, for whoever it starts.
pub const WORLD: &str = "SOAK_WORLD";

/// The word by which the watched process is told from others of its name.
const PROCESS: &str = "process";

/// How a start command behaves, as the soak has written it down for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// It starts the process and ends.
    Good,
    /// It takes its time before that, in milliseconds.
    Slow(u64),
    /// It starts nothing, and ends with status 1.
    Broken,
    /// The process crashes after so many milliseconds.
    Crashing(u64),
    /// It starts nothing and stays, whatever signal asks it to end, until the behaviour is another.
    Hanging,
}

impl Behaviour {
    /// As a word.
    pub fn word(self) -> String {
        match self {
            Behaviour::Good => "good".to_owned(),
            Behaviour::Slow(time) => format!("slow:{time}"),
            Behaviour::Broken => "broken".to_owned(),
            Behaviour::Crashing(time) => format!("crashing:{time}"),
            Behaviour::Hanging => "hanging".to_owned(),
        }
    }

    /// Of a word.
    pub fn of(word: &str) -> Self {
        let (word, number) = word.split_once(':').unwrap_or((word, "0"));
        match (word, number.parse().unwrap_or(0)) {
            ("slow", time) => Behaviour::Slow(time),
            ("crashing", time) => Behaviour::Crashing(time),
            ("broken", _) => Behaviour::Broken,
            ("hanging", _) => Behaviour::Hanging,
            _ => Behaviour::Good,
        }
    }

    /// Whether an attempt with it is meant to fail.
    pub fn fails(self) -> bool {
        matches!(self, Behaviour::Broken | Behaviour::Crashing(_))
    }
}

/// Whether `live` is the process that the watchdog `name` is to keep running.
pub fn is_process_of(live: &Live, name: &str) -> bool {
    live.name == name && live.arguments.get(1).is_some_and(|word| word == PROCESS)
}

/// Whether `live` is a start command of the watchdog `name`, before it has become the process.
pub fn is_start_of(live: &Live, name: &str) -> bool {
    live.arguments.get(1).is_some_and(|word| word == "start")
        && live.arguments.get(2).is_some_and(|word| word == name)
}

/// The command that starts the process of watchdog `name` by hand.
pub fn process_by_hand(world: &Path, name: &str) -> Command {
    let mut command = Command::new(world.join("bin").join(name));
    command.arg(PROCESS).env(WORLD, world);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A process that has the name, and was there before: what a dead process leaves behind.
pub fn left_over(world: &Path, name: &str) -> Command {
    let mut command = Command::new(world.join("bin").join(name));
    command.arg0("worker").arg("worker").env(WORLD, world);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Somebody else's process.
pub fn stranger(world: &Path) -> Command {
    let mut command = Command::new(world.join("bin/stranger"));
    command.arg("worker").env(WORLD, world);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: one system call, which signal-safety(7) allows between fork and exec.
    unsafe { command.pre_exec(|| Ok(nix::unistd::setsid().map(drop)?)) };
    command
}

/// `count` processes called `name`, one after the other, none for longer than a moment.
pub fn storm(world: &Path, name: &str, count: u64) -> Command {
    let mut command = Command::new(world.join("bin/soak"));
    command.args(["storm", name, &count.to_string()]).env(WORLD, world);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Plays the part that the command line names, where the soak has started this.
pub fn play(arguments: &[String]) {
    let Some(world) = std::env::var_os(WORLD).map(PathBuf::from) else { return };
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[1..] {
        ["start", name, stays] => start(&world, name, stays == "stays"),
        [PROCESS, crash_after] => live(&world, arguments[0], crash_after.parse().ok()),
        [PROCESS] => live(&world, arguments[0], None),
        ["worker"] => live(&world, "", None),
        ["probe", name] => health::probe(&world, name),
        ["storm", name, count] => rage(name, count.parse().unwrap_or(0)),
        _ => panic!("no such part: {arguments:?}"),
    }
    exit(0);
}

fn start(world: &Path, name: &str, stays: bool) {
    // What was taken from the watchdog is not the start command's fault.
    for resource in [Resource::Nofile, Resource::As] {
        let maximum = getrlimit(resource).maximum;
        let _ = setrlimit(resource, Rlimit { current: maximum, maximum });
    }
    let processes = Processes::new(&world.join("proc"));
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(world.join("starting").join(name))
        .expect("a file to lock");
    let alone = match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => true,
        Err(Errno::WOULDBLOCK) => false,
        Err(error) => panic!("{error}"),
    };
    let me = nix::unistd::getpid().as_raw();
    let running = processes.all().into_iter().filter(|live| is_process_of(live, name));
    let running = running.map(|live| (live.pid, live.started)).collect();
    let forked = processes.one(me).map_or(Duration::ZERO, |live| live.started);
    let behaviour = behaviour(world, name);
    let now = || processes.clock().now();
    let note = |what| Note { instance: name.to_owned(), pid: me, at: now(), what };
    let ledger = world.join("ledger");
    note(What::Began { forked, alone, behaviour: behaviour.word(), running })
        .append(&ledger)
        .expect("a ledger");
    match behaviour {
        Behaviour::Good | Behaviour::Crashing(_) => {}
        Behaviour::Slow(time) => sleep(Duration::from_millis(time)),
        Behaviour::Broken => {
            note(What::Ended).append(&ledger).expect("a ledger");
            exit(1);
        }
        Behaviour::Hanging => {
            let _deaf = signal_hook::iterator::Signals::new([SIGTERM]);
            while self::behaviour(world, name) == Behaviour::Hanging {
                sleep(Duration::from_millis(20));
            }
            note(What::Ended).append(&ledger).expect("a ledger");
            exit(1);
        }
    }
    let mut process = process_by_hand(world, name);
    if let Behaviour::Crashing(time) = behaviour {
        process.arg(time.to_string());
    }
    // What it writes goes where the watchdog has it.
    process.stdout(Stdio::inherit()).stderr(Stdio::inherit());
    if stays {
        keep_over_exec(&lock);
        let error = process.exec();
        panic!("{name}: {error}");
    }
    // SAFETY: one system call, which signal-safety(7) allows between fork and exec.
    unsafe { process.pre_exec(|| Ok(nix::unistd::setsid().map(drop)?)) };
    #[allow(clippy::zombie_processes)] // it outlives this
    process.spawn().expect("the process");
    note(What::Ended).append(&ledger).expect("a ledger");
}

fn behaviour(world: &Path, name: &str) -> Behaviour {
    Behaviour::of(&fs::read_to_string(world.join("behaviour").join(name)).unwrap_or_default())
}

fn keep_over_exec(file: &File) {
    // SAFETY: it sets a flag of a descriptor that is open.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) };
}

/// Lives until it is killed, or the soak is over.
fn live(world: &Path, path: &str, crash_after: Option<u64>) {
    health::note_signals(world, path.rsplit('/').next().unwrap_or_default());
    if let Some(time) = crash_after {
        sleep(Duration::from_millis(time));
        // SAFETY: the handler that is replaced is Rust's own, which would say that a stack overflowed.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        let _ = nix::sys::signal::raise(nix::sys::signal::SIGSEGV);
    }
    while world.join("ledger").exists() {
        sleep(Duration::from_secs(2));
    }
}

fn rage(name: &str, count: u64) {
    let name = std::ffi::CString::new(name).expect("a name");
    for _ in 0..count {
        // SAFETY: this program has one thread here, and the child makes only system calls.
        match unsafe { libc::fork() } {
            0 => {
                let _ = nix::sys::prctl::set_name(&name);
                let moment = libc::timespec { tv_sec: 0, tv_nsec: 3_000_000 };
                // SAFETY: both calls are async-signal-safe; the pointers are of a live value and null.
                unsafe {
                    libc::nanosleep(&raw const moment, std::ptr::null_mut());
                    libc::_exit(0);
                }
            }
            -1 => panic!("{}", io::Error::last_os_error()),
            _ => {}
        }
        // Not more than a few dozen at a time.
        let _ = nix::sys::wait::waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG));
    }
    while nix::sys::wait::wait().is_ok() {}
}
