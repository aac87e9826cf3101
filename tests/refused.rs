//! Kernels and sandboxes without pidfds, and a machine that has nothing left.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::Signal::{SIGKILL, SIGUSR2};

use crate::harness::{Captured, Scene, WATCHDOG, Watchdog};
use crate::machine::{is_root, send, skip};

/// Makes `pidfd_open` fail in `command`, as an old kernel (ENOSYS) or a sandbox (EPERM) does.
fn without_pidfds(command: &mut Command, errno: i32) {
    refuse(command, libc::SYS_pidfd_open, None, errno);
}

/// As a kernel before 6.15, which does not say how a process died that is not one's child.
pub fn without_an_answer(command: &mut Command) {
    const PIDFD_GET_INFO: u32 = 0xc040_ff0b;
    refuse(command, libc::SYS_ioctl, Some(PIDFD_GET_INFO), libc::ENOTTY);
}

/// Lets a system call fail, or only those whose second argument is this one.
fn refuse(command: &mut Command, call: libc::c_long, argument: Option<u32>, errno: i32) {
    let word = |code: u32, (jt, jf), k| libc::sock_filter { code: code.try_into().unwrap(), jt, jf, k };
    let load = |at| word(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, (0, 0), at);
    let unless_equal = |value, skip| word(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, (0, skip), value);
    let answer = |value| word(libc::BPF_RET | libc::BPF_K, (0, 0), value);
    let mut filter =
        vec![load(0), unless_equal(call.try_into().unwrap(), if argument.is_some() { 3 } else { 1 })];
    // The lower half of the second argument, on a little-endian machine.
    filter.extend(argument.into_iter().flat_map(|value| [load(24), unless_equal(value, 1)]));
    filter.push(answer(libc::SECCOMP_RET_ERRNO | u32::try_from(errno).unwrap()));
    filter.push(answer(libc::SECCOMP_RET_ALLOW));
    // SAFETY: the closure makes system calls that signal-safety(7) allows after fork; the filter lives in
    // the closure, and the kernel copies it.
    unsafe {
        command.pre_exec(move || {
            let length = filter.len().try_into().unwrap_or(0);
            let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
            let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) == 0
            {
                return Ok(());
            }
            Err(std::io::Error::last_os_error())
        });
    }
}

/// Descriptors of a process that are pidfds.
fn pidfds(pid: i32) -> usize {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().contains("pidfd")).count()
}

#[test]
fn a_process_is_held_by_one_pidfd() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!("following .*pid {pid}"));
    scene.wait_until("it is held", || (pidfds(watchdog.pid()) == 1).then_some(()));
    // Nothing is left of the one before.
    for _ in 0..3 {
        scene.assert_watched();
    }
    scene.wait_until("it is held", || (pidfds(watchdog.pid()) == 1).then_some(()));
}

#[test]
fn without_pidfds_the_interval_check_does_it() {
    for errno in [libc::ENOSYS, libc::EPERM] {
        let scene = Scene::new();
        let pid = scene.start_actor(&["sleep"]);
        let mut command = scene.watchdog().command();
        without_pidfds(&mut command, errno);
        let watchdog = scene.spawn(command, Captured::All);
        scene.wait_for(&format!("following .*pid {pid}"));
        watchdog.wait_checks(5);
        assert_eq!((scene.starts(), pidfds(watchdog.pid())), (0, 0));
        send(pid, SIGKILL);
        scene.wait_for(&format!(r"\(pid {pid}\) (was|died)"));
        let second = scene.wait_replaced(pid);
        scene.wait_for("succeeded");
        assert_ne!(scene.assert_watched(), second);
        assert_eq!((scene.starts(), watchdog.terminate().code()), (2, Some(0)), "{}", scene.story());
    }
}

/// After a power cut, an empty pause would be one that nobody ends. No start waits for a disk.
#[test]
fn a_pause_is_on_the_disk_before_it_is_one() {
    let scene = Scene::new();
    let without_disk = |mut command: Command| {
        refuse(&mut command, libc::SYS_fdatasync, None, libc::EIO);
        scene.spawn(command, Captured::All).ends()
    };
    let ended = without_disk(scene.watchdog().flag("--once").command());
    assert_eq!((ended.code(), scene.starts()), (Some(0), 1), "{ended}");
    assert!(scene.kept("json").exists() && scene.count("state") == 0, "{}", scene.story());
    for said in ["pause", "resume"] {
        let mut command = Command::new(WATCHDOG);
        command.args([said, scene.name(), "--state-dir"]).arg(scene.path("state"));
        let before = fs::read(scene.kept("pause")).ok();
        let ended = without_disk(command);
        assert!(ended.code() == Some(2) && ended.stderr.contains("os error 5"), "{ended}");
        assert_eq!(fs::read(scene.kept("pause")).ok(), before);
        assert_eq!(scene.say(&[said, scene.name()]).code(), Some(0));
    }
}

/// A leader that has exited shows as a zombie, and no pidfd says that its process lives on.
#[test]
fn without_pidfds_a_leader_may_exit_too() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["become", scene.path(scene.name()).to_str().unwrap(), "leader-exits"]);
    let mut command = scene.watchdog().command();
    without_pidfds(&mut command, libc::ENOSYS);
    let watchdog = scene.spawn(command, Captured::All);
    scene.wait_for(&format!("following .*pid {pid}"));
    scene.send_when_caught(pid, SIGUSR2);
    let is_zombie =
        || procfs::process::Process::new(pid).and_then(|it| it.stat()).is_ok_and(|stat| stat.state == 'Z');
    scene.wait_until("its leader is a zombie", || is_zombie().then_some(()));
    watchdog.wait_checks(5);
    assert_eq!((scene.starts(), scene.all()), (0, vec![pid]), "{}", scene.story());
    scene.assert_watched();
}

/// Rule 8: with no descriptor left, nobody can tell what runs.
#[test]
fn without_descriptors_nothing_is_known_and_nothing_started() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("succeeded");
    let pid = scene.wait_running();
    let before = limit(&watchdog, libc::RLIMIT_NOFILE, 3);
    send(pid, SIGKILL);
    scene.wait_for("^WARN .*(Too many open files|descriptor)");
    watchdog.wait_checks(10);
    let unknown = scene.count("cannot tell whether it is running");
    assert_eq!((scene.starts(), unknown, scene.count("failed")), (1, 1, 0), "{:#?}", scene.log());
    limit(&watchdog, libc::RLIMIT_NOFILE, before);
    assert_ne!(scene.wait_replaced(pid), pid);
    scene.wait_until("no attempt was counted", || (scene.count(r"\(attempt 1 of 3\)") == 2).then_some(()));
}

/// Rule 21: a command that could not even be created is no attempt.
#[test]
fn without_processes_an_attempt_is_none() {
    let scene = Scene::new();
    if !is_root() {
        return skip("only root can be another user, for whom a limit can be set alone");
    }
    for folder in ["state", "log"] {
        fs::create_dir(scene.path(folder)).unwrap();
        fs::set_permissions(scene.path(folder), Permissions::from_mode(0o777)).unwrap();
    }
    fs::write(scene.path("starts"), "").unwrap();
    fs::set_permissions(scene.path("starts"), Permissions::from_mode(0o666)).unwrap();
    // A user with two processes, who may have no more: the watchdog and one that goes later.
    let user = 1_000_000 + std::process::id();
    let other = scene.link_actor("other");
    let mut other = Command::new(other);
    other.arg("sleep").uid(user).gid(user);
    let other = scene.spawn(other, Captured::All);
    let pid = scene.start_actor(&["sleep"]);
    let mut command = scene.watchdog().starting("exec $ACTOR sleep").command();
    command.uid(user).gid(user);
    // SAFETY: one system call, which signal-safety(7) allows after fork.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: 2, rlim_max: 2 };
            nix::errno::Errno::result(libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit))?;
            Ok(())
        });
    }
    let watchdog = scene.spawn(command, Captured::All);
    scene.wait_for(&format!("following .*pid {pid}"));
    send(pid, SIGKILL);
    scene.wait_for("^WARN .*Resource temporarily unavailable");
    watchdog.wait_checks(10);
    let told = scene.count("Resource temporarily unavailable");
    assert_eq!((scene.starts(), told, scene.count("failed")), (0, 1, 0), "{:#?}", scene.log());
    send(other.pid(), SIGKILL);
    scene.wait_for(r"\(attempt 1 of 3\)");
    scene.wait_for("succeeded");
    assert_eq!(scene.starts(), 1);
    watchdog.terminate();
}

/// Sets a soft limit of a running watchdog, and gives what it was.
fn limit(watchdog: &Watchdog<'_>, resource: libc::__rlimit_resource_t, soft: u64) -> u64 {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both pointers are to values of the right type, or null.
    let (asked, set) = unsafe {
        let asked = libc::prlimit(watchdog.pid(), resource, std::ptr::null(), &raw mut old);
        let new = libc::rlimit { rlim_cur: soft, rlim_max: old.rlim_max };
        (asked, libc::prlimit(watchdog.pid(), resource, &raw const new, std::ptr::null_mut()))
    };
    assert_eq!((asked, set), (0, 0), "{}", std::io::Error::last_os_error());
    old.rlim_cur
}

/// A kernel before 6.15 does not say how a process died; what it does not say is not made up.
#[test]
fn without_an_answer_the_cause_is_unknown() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let mut command = scene.watchdog().with("--after-stop", "1s").command();
    without_an_answer(&mut command);
    let watchdog = scene.spawn(command, Captured::All);
    scene.wait_for(&format!("following .*pid {pid}"));
    assert_eq!(pidfds(watchdog.pid()), 1);
    send(pid, SIGKILL);
    // If it is quick, it sees the zombie, which tells root and its own user.
    let death = scene.wait_for(&format!(r"\(pid {pid}\) (died|was killed by SIGKILL)"));
    let start = scene.wait_for("not running; starting it");
    if death.text.contains("died") {
        let waited = start.time - death.time;
        assert!(
            waited > chrono::TimeDelta::milliseconds(900),
            "somebody may be restarting it: {:#?}",
            scene.log()
        );
    }
    scene.wait_replaced(pid);
    watchdog.terminate();
}

/// But of a child of its own it knows it.
#[test]
fn without_an_answer_it_knows_how_its_own_child_died() {
    let scene = Scene::new();
    let mut command = scene.watchdog().starting("exec $ACTOR when-told exit 3").command();
    without_an_answer(&mut command);
    let watchdog = scene.spawn(command, Captured::All);
    scene.wait_for("succeeded");
    scene.send_when_caught(scene.wait_running(), SIGUSR2);
    scene.wait_for(&format!(r"^WARN {} \(pid [0-9]+\) exited with status 3", scene.name()));
    watchdog.terminate();
}
