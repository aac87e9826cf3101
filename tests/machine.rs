//! What the tests need of the machine: processes, namespaces, and what it can and cannot do.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Instant;

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use procfs::process::Process;

use crate::harness::{Captured, DEADLINE, HUNG, LOOK_AGAIN, Scene};

/// Says on standard error (which the test harness does not hide) why a test does nothing here.
pub fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped {}: {why}", thread::current().name().unwrap_or("a test"));
}

/// Whether this program, which not every machine has, is here.
pub fn is_here(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_here = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if !is_here {
        skip(&format!("there is no {name} here"));
    }
    is_here
}

/// A port of this machine that nobody has just now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Two ordinary users, whom no machine has given anything.
pub const ALICE: u32 = 60_901;
pub const BOB: u32 = 60_902;

/// What lets root run a program as this user, who is the only one of a group with that number.
pub fn as_user(user: u32) -> Vec<String> {
    ["setpriv", "--reuid", &user.to_string(), "--regid", &user.to_string(), "--clear-groups"]
        .map(str::to_owned)
        .to_vec()
}

/// How namespaces are made here: by root, or by an ordinary user who may make one for users first.
pub fn unshare(scene: &Scene, options: &[&str]) -> Option<Vec<String>> {
    let words =
        |user: &[&str]| [&["unshare"], user, options].concat().iter().map(ToString::to_string).collect();
    let ways: [Vec<String>; 2] = [words(&[]), words(&["--user", "--map-root-user"])];
    ways.into_iter().find(|way| {
        let mut probe = Command::new("sh");
        probe.args(["-c", r#""$@" 2>&1"#, "sh"]).args(way).arg("true");
        scene.spawn(probe, Captured::All).ends().status.success()
    })
}

/// How a program is run with mounts of its own, made by this line of a shell, which only root can do.
pub fn with_mounts(scene: &Scene, mount: &str) -> Option<Vec<String>> {
    let way = if is_root() { unshare(scene, &["--mount"]) } else { None }?;
    let line = ["sh", "-c", &format!("{mount} && exec \"$@\""), "sh"].map(str::to_owned);
    Some(way.into_iter().chain(line).collect())
}

/// A control group that can be frozen.
pub struct ControlGroup(PathBuf);

impl ControlGroup {
    /// Where root may make one. It must outlive the scene, whose processes are in it.
    pub fn new() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut mounts = mounts.lines().map(|mount| mount.split(' ').collect::<Vec<_>>());
        let root =
            mounts.find_map(|mount| (mount.get(2) == Some(&"cgroup2")).then(|| mount[1].to_owned()))?;
        let name = format!("watchdog-test-{:x}", RandomState::new().hash_one(()));
        let group = ControlGroup(Path::new(&root).join(name));
        fs::create_dir(&group.0).ok()?;
        group.0.join("cgroup.freeze").exists().then_some(group)
    }

    /// How a program is run in it.
    pub fn joining(&self) -> [String; 4] {
        let join = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        ["sh", "-c", &join, "sh"].map(str::to_owned)
    }

    /// Freezes it, and waits until the kernel has done so.
    pub fn freeze(&self, scene: &Scene) {
        fs::write(self.0.join("cgroup.freeze"), "1").unwrap();
        let is_frozen = || fs::read_to_string(self.0.join("cgroup.events")).unwrap().contains("frozen 1");
        scene.wait_until("the group is frozen", || is_frozen().then_some(()));
    }

    pub fn thaw(&self) {
        fs::write(self.0.join("cgroup.freeze"), "0").unwrap();
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let end = Instant::now() + DEADLINE;
        while self.0.exists() && fs::remove_dir(&self.0).is_err() && Instant::now() < end {
            thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Whether this kernel says how a process ended to one who is not its parent (Linux 6.15).
pub fn kernel_tells() -> bool {
    let version = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers =
        version.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

pub fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Whether there is such a process, be it a zombie.
pub fn is_there(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// All but those that hang whoever asks them.
pub fn processes() -> impl Iterator<Item = Process> {
    let may_be_asked = |it: &Process| it.stat().is_ok_and(|stat| !stat.comm.starts_with(HUNG));
    procfs::process::all_processes().unwrap().filter_map(Result::ok).filter(may_be_asked)
}

/// A leader that has exited is a zombie while its process lives on.
pub fn is_alive(stat: &procfs::process::Stat) -> bool {
    !matches!(stat.state, 'X' | 'Z') || (stat.state == 'Z' && stat.num_threads > 1)
}

/// What plays the watched processes.
pub fn actor() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let actor = tests.parent().unwrap().with_file_name("examples").join("actor");
    assert!(
        actor.exists(),
        "no {}: `cargo test` builds it, and so does `cargo build --example actor`",
        actor.display()
    );
    actor
}

/// A program with all signals at their defaults, also where the tests run under nohup or in the background
/// of a script.
pub fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(path);
    // SAFETY: the closure makes system calls that signal-safety(7) allows after fork.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
    command
}

/// How each child of the tests ended.
fn ended() -> MutexGuard<'static, HashMap<i32, ExitStatus>> {
    static ENDED: LazyLock<Mutex<HashMap<i32, ExitStatus>>> = LazyLock::new(Mutex::default);
    ENDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pipe, its reading end first, that no child inherits.
pub fn pipe() -> (File, File) {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

/// Starts a command, for which [`adopt_orphans`] waits.
pub fn spawn(command: &mut Command) -> i32 {
    let mut ended = ended();
    let pid = rustix::process::Pid::from_child(&command.spawn().unwrap()).as_raw_pid();
    ended.remove(&pid);
    pid
}

pub fn how_it_ended(pid: i32) -> Option<ExitStatus> {
    ended().get(&pid).copied()
}

/// Makes the tests the parent of all orphans beneath them, and waits for all children. A kernel tells how
/// a process ended only once somebody has waited for it, and process 1 may be slow to, or no real init.
pub fn adopt_orphans() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        nix::sys::prctl::set_child_subreaper(true).unwrap();
        thread::spawn(|| {
            loop {
                match rustix::process::wait(rustix::process::WaitOptions::empty()) {
                    Ok(Some((pid, status))) => {
                        let status = ExitStatus::from_raw(status.as_raw());
                        ended().insert(pid.as_raw_nonzero().get(), status);
                    }
                    _ => thread::sleep(LOOK_AGAIN),
                }
            }
        });
    });
}
