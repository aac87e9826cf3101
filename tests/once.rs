//! One check, for cron and oneshot units: silent while all is well.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal::{SIGINT, SIGTERM};
use procfs::process::Process;
use serde_json::json;

use crate::harness::{Captured, Record, Scene};
use crate::machine::pipe;

#[test]
fn what_runs_is_not_worth_a_word() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let ended = scene.watchdog().flag("--once").run();
    assert_eq!((ended.code(), &*ended.stdout, &*ended.stderr), (Some(0), "", ""));
    assert_eq!((scene.starts(), scene.all()), (0, vec![pid]));
}

/// A run that hangs keeps all others from their work, which is worth one mail.
#[test]
fn a_run_that_hangs_is_named_once() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let line = scene.watchdog().flag("--once").with("--restart-wait-interval", "10ms");
    let line = line.with("--start-timeout", "10ms").with("--max-fail-count", "1");
    assert_eq!(line.clone().run().code(), Some(0));
    // Process 1 has been running for long.
    let started = Process::new(1).unwrap().stat().unwrap().starttime * 1000 / procfs::ticks_per_second();
    let mut state = scene.state();
    state["watchdog"] = json!({ "pid": 1, "started_ms": started });
    fs::write(scene.kept("json"), state.to_string()).unwrap();
    let lock = fs::File::open(scene.kept("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    // A container's may be young. Settings allow two attempts, each with 5 s from SIGTERM to SIGKILL; far longer
    // is twice that.
    let age = || watchdog::parts::now().saturating_sub(Duration::from_millis(started));
    scene.wait_until("process 1 is old", || (age() > Duration::from_secs(22)).then_some(()));
    for said in [1, 0] {
        let ended = line.clone().run();
        let named =
            ended.stderr.matches("(pid 1) has been running for far longer than its settings allow").count();
        assert_eq!((ended.code(), named, ended.stderr.lines().count()), (Some(0), said, said), "{ended}");
    }
    assert_eq!(scene.count("far longer"), 1, "{:#?}", scene.log());
}

#[test]
fn what_is_brought_back_is_worth_one_line() {
    let scene = Scene::new();
    let ended = scene.watchdog().flag("--once").run();
    assert_eq!((ended.code(), &*ended.stdout, ended.stderr.lines().count()), (Some(0), "", 1), "{ended}");
    let record = Record::parse(ended.stderr.trim_end(), scene.name());
    let pid = scene.wait_running();
    assert!(record.text.contains(&format!("(pid {pid})")), "{record:?}");
    scene.wait_for("not running; starting it"); // the details are in the log
    assert_eq!(scene.starts(), 1);
}

#[test]
fn what_is_not_brought_back_is_worth_one_line() {
    let scene = Scene::new();
    let ended =
        scene.watchdog().flag("--once").with("--max-fail-count", "2").starting("echo broken; exit 3").run();
    assert_eq!((ended.code(), &*ended.stdout, ended.stderr.lines().count()), (Some(1), "", 1), "{ended}");
    let record = Record::parse(ended.stderr.trim_end(), scene.name());
    assert!(record.text.starts_with("ERROR gave up after 2 failures"), "{record:?}");
    scene.wait_for("exited with status 3.*broken");
    assert_eq!(scene.starts(), 2);
}

/// Cron waits for whatever holds its output open.
#[test]
fn what_it_starts_does_not_hold_its_output_open() {
    let scene = Scene::new();
    let (reader, writer) = pipe();
    let mut command = scene.watchdog().flag("--once").starting("$ACTOR daemonise 0 chatty").command();
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let ended = scene.spawn(command, Captured::Nothing).ends();
    let said = std::io::read_to_string(reader).unwrap(); // until the last writer has closed it
    assert_eq!((ended.code(), said.lines().count()), (Some(0), 1), "{said}");
    scene.wait_running();
}

#[test]
fn a_signal_ends_it_as_if_it_were_not_caught() {
    for signal in [SIGTERM, SIGINT] {
        let scene = Scene::new();
        let watchdog = scene.watchdog().flag("--once").with("--restart-wait-interval", "100s").spawn();
        scene.wait_for("^INFO running: ");
        let pid = scene.wait_running();
        watchdog.send(signal);
        let ended = watchdog.ends();
        assert_eq!((ended.signal(), scene.all()), (Some(signal), vec![pid]), "{ended}");
    }
}

#[test]
fn unlimited_attempts_are_refused() {
    let scene = Scene::new();
    let ended = scene.watchdog().flag("--once").with("--max-fail-count", "unlimited").run();
    assert_eq!((ended.code(), scene.starts()), (Some(2), 0), "{ended}");
    assert!(ended.stderr.contains("--once") && ended.stderr.contains("unlimited"), "{ended}");
}
