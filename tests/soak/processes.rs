//! The processes of the soak: seen, started, waited for and killed.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use procfs::process::Process;

use crate::clock::Clock;

/// A live process.
pub struct Live {
    pub pid: i32,
    /// As the kernel has it, cut to 15 bytes.
    pub name: String,
    pub arguments: Vec<String>,
    /// When it started.
    pub started: Duration,
}

/// A /proc, and how to read it.
#[derive(Clone)]
pub struct Processes {
    root: PathBuf,
    clock: Clock,
}

impl Processes {
    /// Those that the /proc at `root` shows.
    pub fn new(root: &Path) -> Self {
        Processes { root: root.to_owned(), clock: Clock::new(root) }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The clock of their starts.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// All that live.
    pub fn all(&self) -> Vec<Live> {
        let all = procfs::process::all_processes_with_root(&self.root).expect("the soak's own /proc");
        all.filter_map(|process| self.read(&process.ok()?)).collect()
    }

    /// One, if it lives.
    pub fn one(&self, pid: i32) -> Option<Live> {
        self.read(&self.entry(pid)?)
    }

    /// Its entry, dead or alive.
    pub fn entry(&self, pid: i32) -> Option<Process> {
        Process::new_with_root(self.root.join(pid.to_string())).ok()
    }

    fn read(&self, process: &Process) -> Option<Live> {
        let stat = process.stat().ok()?;
        if matches!(stat.state, 'X' | 'Z') {
            return None;
        }
        let arguments = process.cmdline().ok()?;
        let started = self.clock.of_ticks(stat.starttime);
        Some(Live { pid: stat.pid, name: stat.comm, arguments, started })
    }

    /// Children of `pid` that have ended and that nobody has waited for.
    pub fn zombies_of(&self, pid: i32) -> Vec<i32> {
        let all = procfs::process::all_processes_with_root(&self.root).expect("the soak's own /proc");
        all.filter_map(|process| process.ok()?.stat().ok())
            .filter(|stat| stat.ppid == pid && stat.state == 'Z')
            .map(|stat| stat.pid)
            .collect()
    }
}

/// Sends a signal; that there is nobody any more is no mistake.
pub fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Sends a signal to all of them.
pub fn send_all(pids: &[i32], signal: Signal) {
    for pid in pids {
        send(*pid, signal);
    }
}

/// How each process that the soak has started has ended, if it has. An orphan is none of them, whatever number it has.
fn ends() -> MutexGuard<'static, HashMap<i32, Option<ExitStatus>>> {
    static ENDS: LazyLock<Mutex<HashMap<i32, Option<ExitStatus>>>> = LazyLock::new(Mutex::default);
    ENDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child's number, as the kernel and `wait` have it.
fn number(child: &Child) -> i32 {
    rustix::process::Pid::from_child(child).as_raw_pid()
}

/// Starts a command, for which [`adopt_orphans`] waits.
pub fn spawn(command: &mut Command) -> i32 {
    let mut ends = ends();
    let pid = number(&command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
    ends.insert(pid, None);
    pid
}

/// How it ended, if it has.
pub fn how_it_ended(pid: i32) -> Option<ExitStatus> {
    ends().get(&pid).copied().flatten()
}

/// Waits for the end of what [`spawn`] started.
pub fn wait(pid: i32, patience: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + patience;
    loop {
        if let Some(status) = how_it_ended(pid) {
            return Some(status);
        }
        if Instant::now() > end {
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs a command to its end: its status, standard output and standard error.
pub fn run(command: &mut Command) -> (ExitStatus, String, String) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = {
        let mut ends = ends();
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        ends.insert(number(&child), None);
        child
    };
    let (mut output, mut errors) = (String::new(), String::new());
    let _ = child.stdout.take().map(|mut pipe| pipe.read_to_string(&mut output));
    let _ = child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut errors));
    let status = wait(number(&child), Duration::from_secs(60));
    (status.unwrap_or_else(|| panic!("{command:?} does not end")), output, errors)
}

/// Makes the soak the parent of all orphans beneath it, and waits for all children: as process 1 of a PID
/// namespace it has to, and a kernel tells how a process ended only once somebody has waited for it.
pub fn adopt_orphans() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        nix::sys::prctl::set_child_subreaper(true).expect("prctl");
        thread::spawn(|| {
            loop {
                let any = waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
                let Some(pid) = any.ok().and_then(|it| rustix::process::Pid::from_raw(it.pid()?.as_raw()))
                else {
                    thread::sleep(Duration::from_millis(2));
                    continue;
                };
                // From here on nobody is started, who could get the number before it is noted how this one ended.
                let mut ends = ends();
                let end = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
                if let (Ok(Some((_, status))), Some(none @ None)) = (end, ends.get_mut(&pid.as_raw_pid())) {
                    *none = Some(ExitStatus::from_raw(status.as_raw()));
                }
            }
        });
    });
}
