//! Whether it is started again when it has ended: `autorestart` and `exit_codes` (rule 53).

use std::fs;

use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR2};
use serde_json::{Value, json};

use crate::config::{by_file, reload};
use crate::dry_run::DryRun;
use crate::harness::{Captured, Scene};
use crate::machine::{kernel_tells, send, skip};
use crate::refused::without_an_answer;
use crate::request::configured;

const UNEXPECTED: &str = "autorestart = \"unexpected\"\nexit_codes = [0, 3]\nhealth_check_interval = 0.1";
const FINISHED: &str = "^INFO finished; left alone until it runs again, ";
/// A child tells how it ended, whatever the kernel.
const STAYS: &str = "exec $ACTOR";

/// It has finished, and is left alone.
#[track_caller]
fn is_left_alone(scene: &Scene, starts: usize) {
    scene.wait_for(FINISHED);
    let watchdog = scene.wait_until("it is watched", || scene.state()["watchdog"]["pid"].as_i64());
    let checks = scene.count("checked: not running");
    for more in 1..=3 {
        send(i32::try_from(watchdog).unwrap(), Signal::SIGUSR1);
        scene.wait_until("it is checked", || {
            (scene.count("checked: not running") >= checks + more).then_some(())
        });
    }
    assert_eq!(
        (scene.starts(), scene.count(FINISHED), scene.count("failed")),
        (starts, 1, 0),
        "{}",
        scene.story()
    );
    assert_eq!(scene.state()["memory"]["life"], "finished");
}

/// What ends it, and whether that is expected.
fn ends() -> Vec<(&'static str, Option<Signal>, bool)> {
    vec![
        ("when-told exit 0", None, true),
        ("when-told exit 3", None, true),
        ("when-told exit 4", None, false),
        ("when-told dump 0", None, false),
        ("sleep", Some(SIGTERM), true),
        ("sleep", Some(SIGINT), true),
        ("sleep", Some(SIGHUP), true),
        ("sleep", Some(SIGKILL), false),
    ]
}

#[test]
fn what_ends_as_expected_is_left_alone_and_all_else_is_started() {
    for (part, signal, is_expected) in ends() {
        let scene = Scene::new();
        // What a shell puts into the background ignores SIGINT.
        let start = if kernel_tells() && signal.is_none() {
            format!("$ACTOR {part} &")
        } else {
            format!("{STAYS} {part}")
        };
        let _watchdog = by_file(&scene, &start, UNEXPECTED).spawn();
        scene.wait_for("attempt 1 succeeded");
        let pid = scene.wait_running();
        match signal {
            Some(signal) => send(pid, signal),
            None => scene.send_when_caught(pid, SIGUSR2),
        }
        if is_expected {
            is_left_alone(&scene, 1);
            scene.wait_for(&format!("^INFO {} .*; finished, unless it is back in 300ms$", scene.name()));
            assert_eq!(scene.state()["deaths_ms"], json!([]), "no reason for flapping");
        } else {
            scene.wait_replaced(pid);
            assert_eq!(scene.count(FINISHED), 0, "{part} {signal:?}: {}", scene.story());
        }
    }
}

#[test]
fn before_the_verdict_an_expected_end_is_no_failure() {
    for (end, is_expected) in [("exit 3 100", true), ("exit 4 100", false)] {
        let scene = Scene::new();
        let more = format!("{UNEXPECTED}\nmax_fail_count = 2\nretry_after = '1h'");
        let _watchdog = by_file(&scene, &format!("{STAYS} {end}"), &more).spawn();
        if is_expected {
            is_left_alone(&scene, 1);
        } else {
            scene.wait_for("gave up");
            assert_eq!((scene.starts(), scene.count(FINISHED)), (2, 0), "{}", scene.story());
        }
    }
}

/// A launcher's end is not the daemon's.
#[test]
fn a_launcher_finishes_nothing() {
    let scene = Scene::new();
    let _watchdog = by_file(&scene, &format!("{STAYS} daemonise told sleep"), UNEXPECTED).spawn();
    scene.wait_for("^INFO running: ");
    let both = scene.wait_until("launcher and daemon are there", || <[i32; 2]>::try_from(scene.all()).ok());
    scene.send_when_caught(both[0], SIGUSR2);
    let daemon = scene.wait_running();
    scene.wait_until("the daemon is followed", || {
        (scene.state()["process"]["pid"] == daemon && scene.count("attempt 1 succeeded") == 1).then_some(())
    });
    assert_eq!((scene.count(FINISHED), scene.starts()), (0, 1), "{}", scene.story());
    send(daemon, SIGTERM);
    is_left_alone(&scene, 1);
}

#[test]
fn a_hand_over_finishes_nothing() {
    let scene = Scene::new();
    let _watchdog = by_file(&scene, "$ACTOR handover &", UNEXPECTED).spawn();
    scene.wait_for("attempt 1 succeeded");
    let old = scene.wait_running();
    scene.send_when_caught(old, SIGUSR2);
    scene.wait_until("two", || (scene.all().len() == 2).then_some(()));
    send(old, Signal::SIGQUIT);
    let new = scene.wait_replaced(old);
    scene.wait_until("the new one is followed", || (scene.state()["process"]["pid"] == new).then_some(()));
    assert_eq!((scene.count(FINISHED), scene.starts()), (0, 1), "{}", scene.story());
    send(new, SIGTERM);
    is_left_alone(&scene, 1);
}

/// People are told of a death, and not of what was expected.
#[test]
fn no_hook_is_run_for_an_expected_end() {
    let scene = Scene::new();
    let more = format!("{UNEXPECTED}\nhook = 'echo $WATCHDOG_EVENT $WATCHDOG_EXIT_STATUS >> $HERE/told'");
    let _watchdog = by_file(&scene, &format!("{STAYS} when-told exit 3"), &more).spawn();
    scene.wait_for("attempt 1 succeeded");
    scene.send_when_caught(scene.wait_running(), SIGUSR2);
    is_left_alone(&scene, 1);
    let said = scene.say(&["start", scene.name()]);
    assert_eq!(said.code(), Some(0), "{said}");
    send(scene.wait_running(), SIGKILL);
    scene.wait_until("a death is told", || (!scene.read("told").is_empty()).then_some(()));
    assert_eq!(scene.read("told").trim_end(), "died", "{}", scene.story());
}

#[test]
fn how_it_ended_unseen_is_unknown_and_unexpected() {
    let scene = Scene::new();
    let line = by_file(&scene, "$ACTOR when-told exit 0 &", UNEXPECTED);
    let watchdog = line.clone().spawn();
    scene.wait_for("attempt 1 succeeded");
    let pid = scene.wait_running();
    watchdog.terminate();
    scene.send_when_caught(pid, SIGUSR2);
    scene.wait_gone(pid);
    let _watchdog = line.spawn();
    scene.wait_replaced(pid);
    assert_eq!(scene.count(FINISHED), 0, "{}", scene.story());
}

/// Said before it matters, where that is so.
#[test]
fn a_kernel_that_does_not_tell_is_named_at_the_start() {
    const DOUBT: &str = "^WARN autorestart: this kernel does not tell how a process ended";
    for (more, is_told) in [(UNEXPECTED, true), ("autorestart = \"never\"", false), ("", false)] {
        let scene = Scene::new();
        let mut command = by_file(&scene, &format!("{STAYS} when-told exit 0"), more).command();
        without_an_answer(&mut command);
        let watchdog = scene.spawn(command, Captured::All);
        scene.wait_for("attempt 1 succeeded");
        assert_eq!(scene.count(DOUBT), usize::from(is_told), "{}", scene.story());
        if is_told {
            // Its own child it knows.
            scene.send_when_caught(scene.wait_running(), SIGUSR2);
            is_left_alone(&scene, 1);
        }
        drop(watchdog);
    }
    if kernel_tells() {
        let scene = Scene::new();
        let _watchdog = by_file(&scene, "$ACTOR sleep &", UNEXPECTED).spawn();
        scene.wait_for("attempt 1 succeeded");
        assert_eq!(scene.count(DOUBT), 0, "{}", scene.story());
    }
}

#[test]
fn what_has_finished_is_started_by_who_says_so() {
    let scene = Scene::new();
    let start = format!("{STAYS} when-told exit 0");
    let line = by_file(&scene, &start, UNEXPECTED);
    let watchdog = line.clone().spawn();
    scene.wait_for("attempt 1 succeeded");
    scene.send_when_caught(scene.wait_running(), SIGUSR2);
    is_left_alone(&scene, 1);
    let status: Value = serde_json::from_str(&scene.say(&["status", "--json"]).stdout).unwrap();
    let status = &status.as_array().map_or(&status, |all| &all[0]);
    assert_eq!((&status["state"], &status["hold"]), (&json!("not running"), &json!("finished")), "{status}");
    let resumed = scene.say(&["resume", scene.name()]);
    assert!(resumed.stdout.contains("it has finished; to start it: watchdog start "), "{resumed}");
    // Nor does the next watch start it, nor one that somebody sits in front of.
    watchdog.terminate();
    let dry = DryRun::of(line.clone());
    assert!(
        dry.would().contains("start nothing: not running, but finished until 'watchdog start "),
        "{}",
        dry.ended
    );
    let watchdog = line.clone().spawn();
    is_left_alone(&scene, 1);
    let said = scene.say(&["start", scene.name()]);
    assert_eq!(said.code(), Some(0), "{said}");
    let pid = scene.wait_running();
    scene.send_when_caught(pid, SIGUSR2);
    scene.wait_until("it has finished again", || (scene.count(FINISHED) == 2).then_some(()));
    assert_eq!(scene.starts(), 2, "{}", scene.story());
    // Somebody starts it, and it is watched.
    let pid = scene.start_actor(&["sleep"]);
    scene.wait_for(&format!("running again, not started by this watchdog: .*{pid}"));
    send(pid, SIGKILL);
    scene.wait_replaced(pid);
    assert_eq!(scene.starts(), 3, "{}", scene.story());
    watchdog.terminate();
}

#[test]
fn a_boot_and_other_settings_end_it() {
    let scene = Scene::new();
    let start = format!("{STAYS} when-told exit 0");
    let line = by_file(&scene, &start, UNEXPECTED);
    let watchdog = line.clone().spawn();
    scene.wait_for("attempt 1 succeeded");
    scene.send_when_caught(scene.wait_running(), SIGUSR2);
    is_left_alone(&scene, 1);
    by_file(&scene, &start, &UNEXPECTED.replace("unexpected", "always"));
    reload(&scene, &watchdog);
    let pid = scene.wait_running();
    by_file(&scene, &start, UNEXPECTED);
    reload(&scene, &watchdog);
    scene.wait_until("it is judged", || (scene.count("attempt 1 succeeded") == 2).then_some(()));
    scene.send_when_caught(pid, SIGUSR2);
    scene.wait_until("it has finished again", || (scene.count(FINISHED) == 2).then_some(()));
    watchdog.terminate();
    // Settings that have nothing to do with it do not.
    let other = by_file(&scene, &start, &format!("{UNEXPECTED}\nstable_after = 7"));
    let watchdog = other.clone().spawn();
    scene.wait_for("stable_after 7s");
    watchdog.send(Signal::SIGUSR1);
    scene.wait_until("it is checked", || (scene.count("checked: not running") > 3).then_some(()));
    assert_eq!((scene.starts(), scene.all().len()), (2, 0), "{}", scene.story());
    watchdog.terminate();
    let mut state = scene.state();
    state["boot_id"] = json!("00000000-0000-0000-0000-000000000000");
    fs::write(scene.kept("json"), state.to_string()).unwrap();
    let _watchdog = other.spawn();
    scene.wait_running();
}

#[test]
fn never_is_once_it_has_run() {
    let scene = Scene::new();
    let line = by_file(&scene, "$ACTOR sleep &", "autorestart = \"never\"\nhealth_check_interval = 0.1");
    let watchdog = line.clone().spawn();
    scene.wait_for("attempt 1 succeeded");
    watchdog.terminate();
    let pid = scene.wait_running();
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    // While nobody watched, too.
    let watchdog = line.clone().spawn();
    is_left_alone(&scene, 1);
    let said = scene.say(&["start", scene.name()]);
    assert_eq!(said.code(), Some(0), "{said}\n{}", scene.story());
    let pid = scene.wait_running();
    send(pid, SIGKILL);
    scene.wait_until("it has finished again", || (scene.count(FINISHED) == 2).then_some(()));
    assert_eq!(scene.starts(), 2, "{}", scene.story());
    watchdog.terminate();
}

/// What has finished is somebody's to start where nobody watches, too.
#[test]
fn a_start_without_a_watchdog_ends_it() {
    let scene = Scene::new();
    let watchdog = by_file(&scene, &format!("{STAYS} when-told exit 0"), UNEXPECTED).spawn();
    scene.wait_for("attempt 1 succeeded");
    scene.send_when_caught(scene.wait_running(), SIGUSR2);
    is_left_alone(&scene, 1);
    watchdog.terminate();
    for more in [UNEXPECTED, "autorestart = 'never'"] {
        let Some(ended) = configured(&scene, more, &["start", scene.name()]) else {
            return skip("no /etc of its own can be had");
        };
        let pid = scene.wait_running();
        assert_eq!(ended.code(), Some(0), "{ended}\n{}", scene.story());
        assert!(ended.stdout.contains(&format!("(pid {pid}) is running")), "{ended}");
        send(pid, SIGKILL);
        scene.wait_gone(pid);
    }
}

#[test]
fn what_is_wrong_is_said_with_what_to_type() {
    let scene = Scene::new();
    for (more, said) in [
        (
            "exit_codes = [0, 256]",
            "exit_codes '[\"0\",\"256\"]': '256' is no exit status; give numbers from 0 to 255",
        ),
        (
            "exit_codes = [\"SIGFOO\"]",
            "'SIGFOO' is no exit status; give numbers from 0 to 255, such as [0, 3]; SIGTERM, SIGINT",
        ),
        ("exit_codes = [-1]", "'-1' is no exit status"),
        (
            "exit_codes = { a = 1 }",
            "exit_codes: a table does not fit; give a list, as in exit_codes = [0, 3]",
        ),
        ("autorestart = true", "autorestart: true or false does not fit"),
        ("autorestart = \"no\"", "autorestart 'no': is none of the three; give always, unexpected or never"),
    ] {
        let ended = by_file(&scene, "true", more).flag("--dry-run").run();
        assert_eq!(ended.code(), Some(2), "{more}: {ended}");
        assert!(ended.stderr.contains("x.toml:6: ") && ended.stderr.contains(said), "{more}: {ended}");
    }
    for autorestart in ["unexpected", "never"] {
        let line = by_file(&scene, "$ACTOR sleep &", &format!("autorestart = {autorestart:?}"));
        let ended = line.flag("--once").run();
        assert_eq!((ended.code(), scene.starts()), (Some(2), 0), "{ended}");
        let said = format!("x.toml:6: autorestart '{autorestart}': cannot be combined with --once");
        assert!(ended.stderr.contains(&said), "{ended}");
    }
    let ended =
        by_file(&scene, "$ACTOR sleep &", "autorestart = \"always\"\nexit_codes = []").flag("--once").run();
    assert_eq!(ended.code(), Some(0), "{ended}");
}
