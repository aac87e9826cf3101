//! What signals and a terminal that is closed do to a watch.

use std::fs;
use std::os::unix::process::CommandExt;

use nix::sys::signal::Signal::{SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2};

use crate::harness::{Captured, Scene};
use crate::machine::{is_there, send};
use crate::right_process::copy_actor;
use crate::terminal::Terminal;

#[test]
fn sigterm_ends_it_with_0_and_leaves_the_process() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("succeeded");
    let pid = scene.wait_running();
    let ended = watchdog.terminate();
    assert_eq!(scene.all(), [pid], "{ended}");
    let last = scene.log().pop().unwrap();
    assert!(last.text.starts_with("INFO stopped by SIGTERM"), "{last:?}");

    // Started again, it finds the process and goes on.
    let _watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!("following .*pid {pid}"));
    assert_eq!(scene.starts(), 1);
    scene.assert_watched();
}

#[test]
fn sigint_ends_it_as_a_shell_expects() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("INFO watching ");
    watchdog.send(SIGINT);
    let ended = watchdog.ends();
    assert_eq!((ended.signal(), scene.all()), (Some(SIGINT), vec![pid]), "{ended}");
    assert!(scene.log().pop().unwrap().text.contains("SIGINT"), "{:#?}", scene.log());
}

/// Whatever it waits for: the interval, a start, a verdict, a pause before a start.
#[test]
fn sigterm_ends_it_at_once() {
    for (start_command, seen) in
        [("sleep 250", "not running; starting it"), ("false", "exited with status 1")]
    {
        let scene = Scene::new();
        let watchdog = scene
            .watchdog()
            .with("--restart-wait-interval", "200s")
            .with("--health-check-interval", "200s")
            .starting(&format!("echo $$ > $HERE/shell; {start_command}; exit 1"))
            .spawn();
        scene.wait_for(seen);
        scene.wait_until("the start command runs", || scene.read("shell").ends_with('\n').then_some(()));
        watchdog.terminate();
        let shell = scene.read("shell").trim().parse().unwrap();
        assert_eq!(is_there(shell), start_command != "false", "a start command that runs is left alone");
        let left = format!("INFO stopped by SIGTERM; the start command (pid {shell}) keeps running");
        let last = scene.log().pop().unwrap();
        assert_eq!(last.text == left, start_command != "false", "{last:?}");
    }
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().with("--after-stop", "200s").spawn();
    scene.wait_for("INFO watching ");
    send(pid, SIGTERM);
    scene.wait_for("was stopped");
    watchdog.terminate();
}

/// Some programs block signals in one of their threads, and pass that on to what they start there.
#[test]
fn blocked_signals_are_heard() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().with("--restart-wait-interval", "200s");
    let mut command = watchdog.starting("sleep 0.1; exit 7").command();
    // SAFETY: one system call, which signal-safety(7) allows after fork, with a set that was filled before.
    unsafe {
        let all = nix::sys::signal::SigSet::all();
        command.pre_exec(move || Ok(all.thread_block()?));
    }
    let watchdog = scene.spawn(command, Captured::All);
    scene.wait_for("exited with status 7");
    watchdog.terminate();
}

#[test]
fn sigusr1_checks_now_and_says_what_it_sees() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().with("--health-check-interval", "200s").spawn();
    scene.wait_for("INFO watching ");
    let before = scene.log().len();
    watchdog.send(SIGUSR1);
    let seen = scene.wait_until("a record more", || scene.log().get(before).cloned());
    assert!(seen.text.starts_with("INFO ") && seen.text.contains(&format!("(pid {pid})")), "{seen:?}");
    watchdog.send(SIGUSR1);
    scene.wait_until("another", || (scene.log().len() == before + 2).then_some(()));
}

/// A check that is asked for finds what no pidfd says: that the process has another name now.
#[test]
fn sigusr1_does_check() {
    let scene = Scene::new();
    let other = copy_actor(&scene, "other");
    let pid = scene.start_actor(&["become", other.to_str().unwrap(), "sleep"]);
    let watchdog = scene.watchdog().with("--health-check-interval", "200s").spawn();
    scene.wait_for(&format!("following .*pid {pid}"));
    scene.send_when_caught(pid, SIGUSR2);
    scene.wait_until("it has another name", || scene.all().is_empty().then_some(()));
    watchdog.send(SIGUSR1);
    scene.wait_replaced(pid);
}

#[test]
fn nohup_keeps_it_alive() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    // Its standard input is a terminal, with which SIGHUP would end it otherwise.
    let terminal = Terminal::new();
    let mut command = scene.watchdog().through(&["nohup"]).command();
    command.stdin(terminal.open());
    let watchdog = scene.spawn(command, Captured::All);
    scene.wait_for(&format!("following .*pid {pid}"));
    watchdog.send(SIGHUP);
    scene.assert_watched();
    watchdog.terminate();
}

#[test]
fn sighup_ends_it_in_a_terminal() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let (_terminal, watchdog) = scene.watchdog().in_terminal();
    scene.wait_for("INFO watching ");
    watchdog.send(SIGHUP);
    watchdog.ends();
    assert_eq!(scene.all(), [pid]);
    assert!(scene.log().pop().unwrap().text.contains("SIGHUP"), "{:#?}", scene.log());
}

#[test]
fn sighup_does_not_end_a_service() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("INFO watching ");
    watchdog.send(SIGHUP);
    scene.assert_watched();
    watchdog.terminate();
}

#[test]
fn a_terminal_that_is_closed_ends_it() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let (mut terminal, watchdog) = scene.watchdog().in_terminal();
    terminal.expect(": watching ");
    terminal.hang_up();
    watchdog.ends();
    assert_eq!((scene.all(), scene.starts()), (vec![pid], 0));
}

#[test]
fn under_nohup_a_terminal_that_is_closed_does_not() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let mut command = scene.watchdog().command();
    // SAFETY: one system call, which signal-safety(7) allows after fork.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        });
    }
    let mut terminal = Terminal::new();
    let watchdog = terminal.start(&scene, command);
    terminal.expect(": watching ");
    terminal.hang_up();
    scene.assert_watched();
    scene.wait_for("succeeded");
    watchdog.terminate();
}

/// A shell of old leaves its background jobs alone when the terminal goes.
#[test]
fn a_terminal_that_is_gone_from_beneath_it_is_no_end() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let mut terminal = Terminal::new();
    let mut command = scene.watchdog().command();
    command.stdout(terminal.open()).stderr(terminal.open());
    let watchdog = scene.spawn(command, Captured::Nothing);
    terminal.expect(": watching ");
    terminal.hang_up();
    scene.assert_watched();
    scene.wait_for("succeeded");
    watchdog.terminate();
}

/// Nothing is written while all is well, whatever the interval, and a check does not look through /proc.
#[test]
fn quiet_is_quiet() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().with("--health-check-interval", "0.02").spawn();
    scene.wait_for("INFO watching ");
    // What is done once a minute is done with the first, and asks a child, which is waited for too.
    watchdog.wait_checks(20);
    let files = || -> Vec<_> {
        let folders = [scene.path("log"), scene.path("state")];
        let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(Result::unwrap);
        entries.map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap())).collect()
    };
    let (before, reads_before) = (files(), reads(watchdog.pid()));
    watchdog.wait_checks(50);
    let reads = reads(watchdog.pid()).zip(reads_before).map(|(after, before)| after - before);
    assert_eq!((files(), scene.log().len(), watchdog.stderr().as_str()), (before, 2, ""));
    // Where the kernel counts them. A look through /proc would be one for each process.
    assert!(reads.is_none_or(|reads| reads <= 2 * 60), "{reads:?} reads in some 50 checks");
    watchdog.send(SIGKILL);
}

fn reads(pid: i32) -> Option<u64> {
    procfs::process::Process::new(pid).and_then(|it| it.io()).ok().map(|io| io.syscr)
}

/// Not that it could tell while it was stopped.
#[test]
fn a_watchdog_that_was_stopped_goes_on() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("INFO watching ");
    watchdog.send(SIGSTOP);
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    watchdog.send(SIGCONT);
    scene.wait_replaced(pid);
    scene.wait_for("succeeded");
    watchdog.terminate();
}
