//! What a start command gets, and what it does not (rule 16).

use std::collections::HashMap;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::harness::{Captured, Scene};

/// Runs `$HERE/look` as a start command, once, by way of `prepare`.
fn look(scene: &Scene, what: &str, prepare: impl FnOnce(&mut Command)) {
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
    // `ls` has the folder itself open too.
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
    scene.wait_for("ended with status 7");
}
