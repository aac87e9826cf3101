//! "What is it seeing?" (rule 30)

use std::fs;

use nix::sys::signal::Signal::SIGKILL;
use serde_json::{Value, json};

use crate::harness::{Captured, Invocation, Scene, WATCHDOG};
use crate::machine::{is_root, program, send, skip};
use crate::terminal::Terminal;

/// The status that this command ended with, and the one instance it shows.
#[track_caller]
fn status(scene: &Scene) -> (Option<i32>, Value) {
    let ended = scene.say(&["status", scene.name(), "--json"]);
    let shown: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended}"));
    assert_eq!((shown.as_array().map(Vec::len), &*ended.stderr), (Some(1), ""), "{ended}");
    (ended.code(), shown[0].clone())
}

#[track_caller]
fn shows(shown: &Value, expected: &Value) {
    for (field, expected) in expected.as_object().unwrap() {
        assert_eq!(&shown[field], expected, "{field}: {shown:#}");
    }
}

fn broken(scene: &Scene) -> Invocation<'_> {
    let line = scene.watchdog().with("--max-fail-count", "2").with("--restart-wait-interval", "0.1");
    line.starting("[ -e $HERE/mended ] && $ACTOR sleep &")
}

#[test]
fn what_runs_is_shown_with_who_watches_it() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("following");
    watchdog.wait_checks(2);
    let (code, shown) = status(&scene);
    assert_eq!(code, Some(0));
    let me = watchdog.pid();
    shows(
        &shown,
        &json!({
            "name": scene.name(), "state": "running", "pid": pid, "process": scene.name(), "restarts": 0,
            "failures": 0, "max_fail_count": 3, "standing": null, "standing_seconds": null, "hold": null, "hold_seconds": null,
            "checked_seconds": 0, "watchdog_pid": me, "mode": "service", "interval_seconds": 0.1,
            "folder": scene.path("state"),
        }),
    );
    assert!(shown["for_seconds"].as_u64().is_some_and(|time| time < 300), "{shown:#}");
    let table = scene.say(&["status"]);
    let lines: Vec<_> = table.stdout.lines().collect();
    assert_eq!((table.code(), lines.len()), (Some(0), 2), "{table}");
    assert!(lines[0].starts_with("NAME "), "{table}");
    for cell in [scene.name(), " running ", &format!(" {pid} "), " 0 of 3 ", &format!("pid {me}")] {
        assert!(lines[1].contains(cell), "{cell}: {table}");
    }
    watchdog.terminate();
}

/// As wide as the terminal has room for.
#[test]
fn the_table_fits_the_terminal() {
    let scene = Scene::new();
    let broken = broken(&scene).with("--name", "webserver").flag("--once");
    assert_eq!(broken.run().code(), Some(1));
    let narrow = scene.say(&["status"]).stdout;
    assert!(narrow.starts_with("NAME ") && narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    let columns = |head: &str| head.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let head = ["NAME", "STATE", "PID", "FOR", "FAILURES", "WATCHDOG", "NOTE"];
    assert_eq!(columns(narrow.lines().next().unwrap()), head);
    for (width, has_all) in [(80, false), (200, true)] {
        let mut terminal = Terminal::new();
        let mut command = program("sh");
        command.args([
            "-c",
            "stty cols $1; shift; exec \"$@\"",
            "sh",
            &width.to_string(),
            WATCHDOG,
            "status",
        ]);
        command.arg("--state-dir").arg(scene.path("state"));
        let status = terminal.start(&scene, command);
        let text = terminal.expect("gave up, retry in .*\n");
        assert_eq!(status.ends().code(), Some(3));
        assert_eq!(text.contains("LAST EXIT"), has_all, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
    }
}

#[test]
fn a_restart_is_counted() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("attempt 1 succeeded");
    let pid = scene.assert_watched();
    scene.wait_until("it is judged", || (scene.count("attempt 1 succeeded") == 2).then_some(()));
    let shown = scene.wait_until("both are counted", || {
        let (_, shown) = status(&scene);
        (shown["restarts"] == 2).then_some(shown)
    });
    shows(&shown, &json!({ "state": "running", "pid": pid }));
    watchdog.terminate();
}

/// A dead watchdog watches nothing, whatever it wrote down.
#[test]
fn a_watchdog_that_is_gone_is_nobody() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("following");
    watchdog.wait_checks(2);
    watchdog.send(SIGKILL);
    watchdog.ends();
    let (code, shown) = status(&scene);
    assert_eq!(code, Some(0));
    shows(&shown, &json!({ "state": "running", "pid": pid, "watchdog_pid": null }));
    assert!(scene.say(&["status"]).stdout.contains("none"));
    // As of a version that did not note how the clocks were; of a later one, no such time would be believed.
    let mut state = scene.state();
    state.as_object_mut().unwrap().remove("clocks_ms");
    fs::write(scene.kept("json"), state.to_string()).unwrap();
    let file = fs::File::options().write(true).open(scene.kept("json")).unwrap();
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(600)).unwrap();
    let checked = status(&scene).1["checked_seconds"].as_u64();
    assert!(checked.is_some_and(|time| (600..900).contains(&time)), "{checked:?}");
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    let (code, shown) = status(&scene);
    assert_eq!((code, &shown["state"], &shown["pid"]), (Some(3), &json!("not running"), &Value::Null));
}

#[test]
fn a_number_that_is_another_processs_now_is_not_it() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    let mut state = scene.state();
    let started = state["process"]["started_ms"].as_u64().unwrap();
    state["process"]["started_ms"] = json!(started - 60_000);
    fs::write(scene.kept("json"), state.to_string()).unwrap();
    assert_eq!(status(&scene).0, Some(3));
}

#[test]
fn a_give_up_and_a_pause_are_shown() {
    let scene = Scene::new();
    let line = broken(&scene).flag("--once");
    assert_eq!(line.clone().run().code(), Some(1));
    let (code, shown) = status(&scene);
    assert_eq!(code, Some(3));
    shows(
        &shown,
        &json!({ "state": "not running", "pid": null, "failures": 2, "max_fail_count": 2,
                 "standing": "given up", "watchdog_pid": null, "mode": "once" }),
    );
    assert!(shown["standing_seconds"].as_u64().is_some_and(|time| (500..=600).contains(&time)), "{shown:#}");
    let table = scene.say(&["status"]).stdout;
    for cell in ["gave up, retry in ", "--once"] {
        assert!(table.contains(cell), "{cell}: {table}");
    }
    assert_eq!(scene.say(&["pause", scene.name(), "--for", "30m"]).code(), Some(0));
    let (code, shown) = status(&scene);
    assert_eq!((code, &shown["standing"]), (Some(3), &json!("paused")));
    let left = shown["standing_seconds"].as_u64();
    assert!(left.is_some_and(|time| (1700..=1800).contains(&time)), "{shown:#}");
    assert_eq!(scene.say(&["pause", scene.name()]).code(), Some(0));
    let paused =
        json!({ "standing": "paused", "standing_seconds": null, "hold": "paused", "hold_seconds": null });
    shows(&status(&scene).1, &paused);
    assert_eq!(scene.say(&["resume", scene.name()]).code(), Some(0));
    fs::write(scene.path("mended"), "").unwrap();
    assert_eq!(line.run().code(), Some(0));
    let (code, shown) = status(&scene);
    assert_eq!(code, Some(0));
    shows(&shown, &json!({ "state": "running", "failures": 0, "standing": null, "restarts": 1 }));
}

#[test]
fn a_start_command_at_work_is_shown() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().starting("until [ -e $HERE/go ]; do sleep 0.02; done; $ACTOR sleep &");
    let _watchdog = watchdog.spawn();
    scene.wait_until("it is at work", || (scene.starts() == 1).then_some(()));
    scene.wait_until("that is shown", || {
        (status(&scene).1["standing"] == "start command at work").then_some(())
    });
    fs::write(scene.path("go"), "").unwrap();
    scene.wait_until("it has ended", || {
        let (code, shown) = status(&scene);
        (code == Some(0) && shown["standing"].is_null()).then_some(())
    });
}

#[test]
fn what_cannot_be_known_is_unknown() {
    let scene = Scene::new();
    let none = scene.say(&["status"]);
    assert_eq!(none.code(), Some(4), "{none}");
    assert!(none.stdout.contains(scene.path("state").to_str().unwrap()), "{none}");
    let none = scene.say(&["status", "--json"]);
    assert_eq!((none.code(), none.stdout.trim()), (Some(4), "[]"), "{none}");
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    let good = scene.state();
    let mut other_boot = good.clone();
    other_boot["boot_id"] = json!("00000000-0000-0000-0000-000000000000");
    let mut other_version = good.clone();
    other_version["version"] = json!(99);
    for (text, says) in [
        (other_boot.to_string(), "not checked since boot"),
        (other_version.to_string(), "damaged"),
        (String::new(), "damaged"),
        (good.to_string()[..100].to_owned(), "damaged"),
    ] {
        fs::write(scene.kept("json"), &text).unwrap();
        let (code, shown) = status(&scene);
        assert_eq!(
            (code, &shown["state"], &shown["pid"]),
            (Some(4), &json!("unknown"), &Value::Null),
            "{text}"
        );
        assert!(shown["standing"].as_str().is_some_and(|standing| standing.contains(says)), "{shown:#}");
        // Nothing is made up.
        let known = shown.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
        let known: Vec<_> = known.map(|(field, _)| field.as_str()).collect();
        assert_eq!(known, ["folder", "name", "standing", "state"], "{shown:#}");
        assert_eq!(fs::read_to_string(scene.kept("json")).unwrap(), text, "it only looks");
    }
}

/// Another user's, or a damaged one.
#[test]
fn what_a_state_file_says_reaches_no_terminal() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    let mut state = scene.state();
    for signal in ["x".repeat(70_000).as_str(), "\x1b]0;it\x07\n\u{9b}2J\u{202e}"] {
        state["last_exit"] = json!({
            "pid": 7, "name": signal, "started_ms": 1, "at_ms": 2, "cause": "killed", "status": null,
            "signal": signal, "core_dumped": false, "memory_bytes": null, "out_of_memory": null,
        });
        fs::write(scene.kept("json"), state.to_string()).unwrap();
        let table = scene.say(&["status"]);
        assert_eq!((table.code(), table.stdout.lines().count(), &*table.stderr), (Some(0), 2, ""), "{table}");
        let json = scene.say(&["status", "--json"]);
        for c in (table.stdout + &json.stdout).chars().filter(|c| *c != '\n') {
            assert!(!c.is_control() && c != '\u{202e}', "{c:?}");
        }
        let shown = status(&scene).1;
        assert_eq!(
            (&shown["last_exit"]["signal"], &shown["last_exit"]["process"]),
            (&json!(signal), &json!(signal))
        );
    }
}

#[test]
fn the_worst_of_all_is_what_it_ends_with() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").with("--name", "one").run().code(), Some(0));
    assert_eq!(scene.say(&["status"]).code(), Some(0));
    let two = broken(&scene).with("--process-name", "zz-none-such").with("--name", "two").flag("--once");
    assert_eq!(two.run().code(), Some(1), "{}", scene.story());
    let both = scene.say(&["status"]);
    assert_eq!((both.code(), both.stdout.lines().count()), (Some(3), 3), "{both}");
    assert_eq!(scene.say(&["status", "one"]).code(), Some(0));
    assert_eq!(scene.say(&["status", "two"]).code(), Some(3));
    fs::write(scene.path("state/three.json"), "{").unwrap();
    assert_eq!(scene.say(&["status"]).code(), Some(4));
}

#[test]
fn another_user_sees_it_and_locks_nothing() {
    if !is_root() {
        return skip("only root can be another user");
    }
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", crate::harness::WATCHDOG]);
    command.args(["status", scene.name(), "--json", "--state-dir"]).arg(scene.path("state"));
    let ended = scene.spawn(command, Captured::All).ends();
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert!(ended.stdout.contains(&format!("\"pid\": {pid}")), "{ended}");
}
