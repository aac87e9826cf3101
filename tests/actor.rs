//! The watched process of the integration tests: one small program that plays many parts. Its name is
//! that of the link it is started by, its part is in its arguments.
#![allow(unsafe_code)] // one part ends only its leader thread, another dies of a signal
#![allow(clippy::expect_used, clippy::panic)] // what a test reads in the output log when it got it wrong
#![allow(clippy::zombie_processes)] // processes that nobody waits for are what it is about

mod fuse;

use std::env;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{Read, Write, stderr, stdout};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::{Command, abort, exit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{sleep, spawn};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM, SIGUSR2};
use signal_hook::iterator::Signals;

fn main() {
    // The first argument, its path, may be anything. Options and a script may come next, as behind an interpreter.
    let part: Vec<_> = env::args_os().skip(1).map(|it| it.into_string().expect("a part in UTF-8")).collect();
    let part: Vec<_> =
        part.iter().map(String::as_str).skip_while(|it| it.starts_with('-') || it.contains('/')).collect();
    play(&part);
}

/// What it becomes first, and what it does then.
fn play(part: &[&str]) {
    // Whatever becomes of the test: nothing that it started is left for long.
    nix::unistd::alarm::set(300);
    match *part {
        // Does nothing until it gets SIGUSR2.
        ["told", ref part @ ..] => {
            wait_for("told");
            play(part);
        }
        // Gives itself another name, as node, tmux and ruby do; its arguments stay.
        ["renamed", name, ref part @ ..] => {
            nix::sys::prctl::set_name(&CString::new(name).expect("a name")).expect("its own name");
            play(part);
        }
        // With these users: real, effective and saved.
        ["users", real, effective, saved, ref part @ ..] => {
            let user = |text: &str| text.parse::<u32>().expect("the number of a user");
            // SAFETY: it is a system call on numbers, made by the only thread.
            let done = unsafe { libc::setresuid(user(real), user(effective), user(saved)) };
            assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
            play(part);
        }
        // Workers that are forked and call no exec, as gunicorn's and Python's.
        ["prefork", lock, workers, ref part @ ..] => {
            let _lock = the_only_one(lock);
            for _ in 0..workers.parse().expect("how many workers") {
                if forked() {
                    play(&["sleep"]);
                }
            }
            play(part);
        }
        // A daemon that calls no exec, as haproxy -D.
        ["fork-away", ref part @ ..] => {
            if forked() {
                nix::unistd::setsid().expect("a session");
                play(part);
            }
        }
        ["alone", lock, ref part @ ..] => {
            let _lock = the_only_one(lock);
            play(part);
        }
        // A wrapper, which ends as what it runs.
        ["wrap", path, ref part @ ..] => {
            let status = Command::new(path).args(part).status().expect("a child");
            exit(status.code().unwrap_or(1));
        }
        _ => live(part),
    }
}

/// The rest of its life.
fn live(part: &[&str]) {
    match *part {
        ["sleep", ..] => sleep_for_ever(),
        ["exit", status, after] => {
            sleep(milliseconds(after));
            exit(status.parse().expect("a status"));
        }
        ["segv", after] => {
            sleep(milliseconds(after));
            crash();
        }
        // Waits for SIGUSR2, and ends so.
        ["when-told", ref end @ ..] => {
            wait_for("told");
            match *end {
                ["exit", status] => exit(status.parse().expect("a status")),
                ["dump", most] => dump_core(most.parse().expect("the most bytes of a core")),
                ["eat"] => eat_memory(),
                _ => panic!("no such end: {end:?}"),
            }
        }
        // A daemon's launcher: it ends when the daemon stands on its own feet.
        ["daemonise", end, ref daemon @ ..] => {
            in_a_session_of_its_own(&mut another_me(daemon));
            wait_for(end);
        }
        // A launcher of a daemon that says what it is.
        ["launch", end] => {
            in_a_session_of_its_own(&mut titled("server", &["sleep"]));
            wait_for(end);
        }
        // Takes another name when it gets SIGUSR2, as the same process.
        ["become", path, ref part @ ..] => {
            wait_for("told");
            let error = Command::new(path).args(part).exec();
            panic!("{path}: {error}");
        }
        // Gives itself a title when it gets SIGUSR2, as the same process.
        ["retitled", ref part @ ..] => {
            wait_for("told");
            let error = titled("master process", part).exec();
            panic!("{part:?}: {error}");
        }
        // The parent of a child that it never waits for.
        ["neglect", path, ref part @ ..] => {
            let _child = Command::new(path).args(part).spawn().expect("a child");
            sleep_for_ever();
        }
        // Only its leader thread ends.
        ["leader-exits"] => {
            spawn(sleep_for_ever);
            // SAFETY: exit(2) ends this thread alone; nobody waits for it, and it owns nothing.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
        ["master", lock, workers] => master(lock, workers),
        ["lead", workers] => {
            for _ in 0..workers.parse().expect("how many workers") {
                titled("worker process", &["sleep"]).spawn().expect("a worker");
            }
            sleep_for_ever();
        }
        // Hands over to a new copy of itself, as nginx does for a binary upgrade.
        ["handover"] => {
            for signal in &mut Signals::new([SIGUSR2, SIGQUIT]).expect("signals") {
                match signal {
                    SIGUSR2 => drop(another_me(part).spawn().expect("a successor")),
                    _ => exit(0),
                }
            }
        }
        // Writes on and on, and ends when it cannot.
        ["chatty"] => loop {
            if stdout().write_all(b"still here\n").is_err() {
                exit(9);
            }
            sleep(Duration::from_millis(20));
        },
        // Needs a while to end, and leaves a note that it did so by itself.
        ["graceful", after, note] => {
            Signals::new([SIGTERM, SIGINT]).expect("signals").forever().next();
            sleep(milliseconds(after));
            File::create(note).expect("a note");
        }
        // Answers HTTP requests until it gets SIGUSR2; from then on it accepts them alone.
        ["answer", at] => serve(at.parse().expect("a port")),
        // A master that does not heed SIGTERM, with workers that never called exec.
        ["forking", workers] => fork(workers.parse().expect("how many workers")),
        ["serve", file] => fuse::serve(file),
        ["hang", file] => fuse::hang(file),
        ["stick", file] => fuse::stick(file),
        // As a debugger that has not stopped it.
        ["trace", pid] => {
            let pid: i32 = pid.parse().expect("a process");
            // SAFETY: of this request, both pointers are numbers that are 0.
            assert_eq!(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) }, 0, "it cannot be traced");
            sleep_for_ever();
        }
        ["mute", file] => fuse::mute(file),
        // Is there first, under a name that is anybody's to take.
        ["squat", name, note] => {
            let address = SocketAddr::from_abstract_name(name).expect("a name");
            let _listener = UnixListener::bind_addr(&address).expect("a socket of that name");
            File::create(note).expect("a note");
            sleep_for_ever();
        }
        ["ignore-term"] => {
            let _ignored = Signals::new([SIGTERM, SIGINT]).expect("signals");
            sleep_for_ever();
        }
        _ => panic!("no such part: {part:?}"),
    }
}

/// Waits until it is `told` by SIGUSR2, or for so many milliseconds.
fn wait_for(end: &str) {
    if end == "told" {
        Signals::new([SIGUSR2]).expect("signals").forever().next();
    } else {
        sleep(milliseconds(end));
    }
}

/// Like nginx: only one of it at a time, and its workers count too.
fn master(lock: &str, workers: &str) {
    let lock = the_only_one(lock);
    // SAFETY: it sets a flag of a descriptor that is open.
    unsafe { libc::fcntl(lock.as_raw_fd(), libc::F_SETFD, 0) };
    in_a_session_of_its_own(&mut titled("master process", &["lead", workers]));
}

/// Only one can have a port, or its file; a forked child has it too.
fn the_only_one(lock: &str) -> File {
    let lock = File::create(lock).expect("a file to lock");
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        writeln!(stderr(), "bind() to 0.0.0.0:80 failed (98: Address already in use)")
            .expect("standard error");
        exit(1);
    }
    lock
}

/// Whether this is the child.
fn forked() -> bool {
    // SAFETY: there is no other thread that could hold a lock.
    unsafe { libc::fork() == 0 }
}

fn fork(workers: u32) -> ! {
    let _ignored = Signals::new([SIGTERM, SIGINT]).expect("signals");
    for _ in 0..workers {
        // SAFETY: the child only waits, in system calls.
        if let Ok(nix::unistd::ForkResult::Child) = unsafe { nix::unistd::fork() } {
            // SAFETY: no handler is installed.
            unsafe { libc::signal(SIGTERM, libc::SIG_DFL) };
            nix::unistd::alarm::set(300);
            sleep_for_ever();
        }
    }
    sleep_for_ever()
}

fn serve(port: u16) -> ! {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    static HANGS: AtomicBool = AtomicBool::new(false);
    let server = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    spawn(move || {
        for mut client in server.incoming().flatten() {
            let _ = client.read(&mut [0; 1000]);
            if HANGS.load(Ordering::Relaxed) {
                sleep_for_ever();
            }
            let _ = client.write_all(ANSWER);
        }
    });
    wait_for("told");
    HANGS.store(true, Ordering::Relaxed);
    sleep_for_ever()
}

fn in_a_session_of_its_own(command: &mut Command) {
    // SAFETY: the closure makes one system call, which signal-safety(7) allows between fork and exec.
    unsafe { command.pre_exec(|| Ok(nix::unistd::setsid().map(drop)?)) };
    command.spawn().expect("a daemon");
}

/// This program again, with the same name and first argument.
fn another_me(part: &[&str]) -> Command {
    // SAFETY: AT_EXECFN is the address of a string that lives as long as this process.
    let path = unsafe { CStr::from_ptr(libc::getauxval(libc::AT_EXECFN) as *const _) };
    let mut command = Command::new(OsStr::from_bytes(path.to_bytes()));
    command.arg0(env::args_os().next().unwrap_or_default()).args(part);
    command
}

/// This program again, with another first argument: `NAME: title`.
fn titled(title: &str, part: &[&str]) -> Command {
    let mut command = another_me(part);
    let path = command.get_program().to_string_lossy().into_owned();
    command.arg0(format!("{}: {title}", path.rsplit('/').next().unwrap_or_default()));
    command
}

/// Crashes, and leaves a core in the scene's directory if `most` allows it.
fn dump_core(most: u64) -> ! {
    env::set_current_dir(env::var_os("HERE").expect("a scene")).expect("its folder");
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the pointer is to a value of the right type.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
    crash()
}

/// Takes memory until there is none.
fn eat_memory() -> ! {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1_u8; 1 << 20]);
    }
}

fn crash() -> ! {
    // SAFETY: the handler that is replaced is Rust's own, which would say that a stack overflowed.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    let _ = nix::sys::signal::raise(nix::sys::signal::SIGSEGV);
    abort()
}

fn sleep_for_ever() -> ! {
    loop {
        sleep(Duration::from_secs(1000));
    }
}

fn milliseconds(number: &str) -> Duration {
    Duration::from_millis(number.parse().expect("milliseconds"))
}
