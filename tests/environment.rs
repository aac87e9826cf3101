//! What a start command gets, and what it does not (rule 16).

use std::collections::HashMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Captured, Scene};
use crate::machine::{skip, with_mounts};

/// Runs `$HERE/look` as a start command, once, by way of `prepare`.
pub fn look(scene: &Scene, what: &str, prepare: impl FnOnce(&mut Command)) {
    let invocation = scene.watchdog().flag("--once").starting(&format!("{what}; $ACTOR sleep &"));
    let mut command = invocation.command();
    prepare(&mut command);
    let ended = scene.spawn(command, Captured::All).ends();
    assert_eq!(ended.code(), Some(0), "{ended}");
}

#[test]
fn the_path_is_completed() {
    for (path, expected) in [
        (Some("/usr/bin:/bin"), "/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
        (None, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        (Some(""), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        (Some("/opt/x:/sbin:/usr/bin:/bin"), "/opt/x:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin"),
    ] {
        let scene = Scene::new();
        // As cron and `env -i` do.
        look(&scene, "printenv PATH > $HERE/path", |command| {
            command.env_clear().envs(path.map(|path| ("PATH", path)));
        });
        assert_eq!(scene.read("path").trim(), expected, "from {path:?}");
    }
}

#[test]
fn what_a_service_manager_says_to_the_watchdog_alone_is_removed() {
    let scene = Scene::new();
    let removed = [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "RUNTIME_DIRECTORY",
        "STATE_DIRECTORY",
        "CACHE_DIRECTORY",
        "LOGS_DIRECTORY",
        "CONFIGURATION_DIRECTORY",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "SYSTEMD_EXEC_PID",
    ];
    look(&scene, "env > $HERE/env", |command| {
        command.envs(removed.map(|name| (name, "1"))).env("KEPT_DIRECTORY_OF_MINE", "2").env("LANG", "C");
    });
    let environment = scene.read("env");
    let variables: HashMap<_, _> = environment.lines().filter_map(|line| line.split_once('=')).collect();
    for name in removed {
        assert!(!variables.contains_key(name), "{name} in\n{environment}");
    }
    assert_eq!((variables["KEPT_DIRECTORY_OF_MINE"], variables["LANG"]), ("2", "C"));
}

#[test]
fn it_has_three_descriptors_and_a_session_of_its_own() {
    let scene = Scene::new();
    // In substitutions, because a shell may redirect itself for a command.
    let what = "ls -l /proc/self/fd > $HERE/fds; cat /proc/$$/stat > $HERE/stat; \
                links=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo \"$links\" > $HERE/links; \
                flags=$(grep flags /proc/$$/fdinfo/1); echo $flags > $HERE/flags";
    look(&scene, what, |command| {
        // SAFETY: the closure makes two system calls, which signal-safety(7) allows after fork.
        unsafe {
            command.pre_exec(|| {
                // Whoever started the watchdog holds these open without knowing it.
                assert!(libc::dup2(2, 7) == 7 && libc::dup2(2, 123) == 123);
                Ok(())
            });
        }
    });
    let fds = scene.read("fds");
    // `ls` has the directory itself open too.
    let links = fds.lines().filter_map(|line| line.split_once(" -> "));
    let links = links.filter(|(_, to)| !to.starts_with("/proc/"));
    let numbers: Vec<_> = links.filter_map(|(from, _)| from.split(' ').next_back()).collect();
    assert_eq!(numbers, ["0", "1", "2"], "{fds}");

    let output = scene.path(&format!("log/{}.output.log", scene.name())).canonicalize().unwrap();
    let output = output.to_str().unwrap();
    assert_eq!(scene.read("links").lines().collect::<Vec<_>>(), ["/dev/null", output, output]);
    let flags = scene.read("flags");
    let flags = i32::from_str_radix(flags.split_whitespace().last().unwrap(), 8).unwrap();
    assert_ne!(flags & libc::O_APPEND, 0);

    let stat = procfs_core_stat(&scene.read("stat"));
    assert_eq!((stat.session, stat.pgrp, stat.tty_nr), (stat.pid, stat.pid, 0));
}

fn procfs_core_stat(line: &str) -> procfs::process::Stat {
    procfs::FromRead::from_read(line.as_bytes()).unwrap()
}

#[test]
fn signals_are_at_their_defaults() {
    let scene = Scene::new();
    look(&scene, "cat /proc/self/status > $HERE/status", |command| {
        // SAFETY: the closure makes system calls that signal-safety(7) allows after fork, and the set is
        // a plain value that is filled before it is used.
        unsafe {
            command.pre_exec(|| {
                // As under nohup, in the background of a shell without job control, beneath a Python
                // program, and beneath a parent that wants no zombies.
                for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGPIPE, libc::SIGCHLD] {
                    libc::signal(signal, libc::SIG_IGN);
                }
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, libc::SIGUSR2);
                libc::sigaddset(&raw mut set, libc::SIGALRM);
                libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
                Ok(())
            });
        }
    });
    let status = scene.read("status");
    for field in ["SigIgn", "SigBlk"] {
        let mask = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        assert_eq!(mask.trim_matches([':', '\t', '0']), "", "{field}\n{status}");
    }
}

#[test]
fn a_parent_that_wants_no_zombies_hides_no_status() {
    let scene = Scene::new();
    let mut command = scene.watchdog().with("--max-fail-count", "1").starting("exit 7").command();
    // SAFETY: one system call, which signal-safety(7) allows after fork.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            Ok(())
        });
    }
    assert_eq!(scene.spawn(command, Captured::All).ends().code(), Some(1));
    scene.wait_for("exited with status 7");
}

/// What a process has open, and where it works.
fn files_in_use(pid: i32) -> Vec<PathBuf> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap().path());
    let links = open.chain([format!("/proc/{pid}/cwd").into()]);
    links.filter_map(|link| fs::read_link(link).ok()).collect()
}

/// The directory that it was started in may be on a disk that somebody wants to unmount.
#[test]
fn the_folder_of_the_start_is_the_start_command_s_and_not_kept_busy() {
    let scene = Scene::new();
    let folder = scene.path("folder");
    fs::create_dir(&folder).unwrap();
    let mut command = scene.watchdog().starting("pwd -P >> $HERE/pwd; $ACTOR sleep &").command();
    command.current_dir(&folder);
    let watchdog = scene.spawn(command, Captured::All);
    scene.wait_for("attempt 1 succeeded");
    let in_use = files_in_use(watchdog.pid());
    assert!(!in_use.iter().any(|file| file.starts_with(&folder)), "{in_use:?}");
    assert_eq!(fs::read_link(format!("/proc/{}/cwd", watchdog.pid())).unwrap(), PathBuf::from("/"));
    scene.assert_watched();
    scene.wait_until("it is judged", || (scene.count("attempt 1 succeeded") == 2).then_some(()));
    let here = format!("{}\n", folder.canonicalize().unwrap().display());
    assert_eq!(scene.read("pwd"), here.repeat(2));
    // Without it, the process is started all the same.
    fs::remove_dir(&folder).unwrap();
    scene.assert_watched();
    scene.wait_until("it is judged", || (scene.count("attempt 1 succeeded") == 3).then_some(()));
    assert_eq!((scene.starts(), scene.count("cannot be run|failed")), (3, 0), "{:#?}", scene.log());
    watchdog.terminate();
}

/// As in a chroot that nobody has made devices in: that is not the start command's fault.
#[test]
fn without_dev_null_it_is_started_all_the_same() {
    let scene = Scene::new();
    let Some(way) = with_mounts(&scene, "mount -t tmpfs none /dev") else {
        return skip("only root can have a /dev of its own");
    };
    let way: Vec<_> = way.iter().map(String::as_str).collect();
    // Nobody writes to its standard input, and it does not wait for that.
    let start = "cat; exec $ACTOR sleep";
    let ended = scene.watchdog().flag("--once").starting(start).through(&way).run();
    assert_eq!((ended.code(), scene.starts()), (Some(0), 1), "{ended}\n{}", scene.story());
    assert_eq!(scene.count("cannot be run|failed"), 0, "{:#?}", scene.log());
    assert_eq!(scene.count("^WARN .*/dev/null"), 1, "{:#?}", scene.log());
}

/// As in a container that has nothing but the program.
#[test]
fn a_shell_that_is_not_there_is_named() {
    let scene = Scene::new();
    let Some(way) = with_mounts(&scene, "mount -t tmpfs none /bin/") else {
        return skip("only root can have a /bin of its own");
    };
    let way: Vec<_> = way.iter().map(String::as_str).collect();
    let once = scene.watchdog().flag("--once").with("--max-fail-count", "1");
    let ended = once.starting("$ACTOR sleep").through(&way).run();
    let cause = "attempt 1: the start command could not be run: /bin/sh: No such file";
    assert!(ended.code() == Some(1) && ended.stderr.contains(cause), "{ended}");
}
