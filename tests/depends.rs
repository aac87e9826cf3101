//! What an instance depends on: it is waited for before a start, and for nothing else.

use std::fs;

use nix::sys::signal::Signal::SIGKILL;
use serde_json::Value;

use crate::dry_run::DryRun;
use crate::harness::{Invocation, Scene, named};
use crate::machine::send;

/// Writes the configuration of an instance that starts a process of its own, under the scene's name and its own.
fn configure(scene: &Scene, instance: &str, more: &str) {
    let name = format!("{}-{instance}", scene.name());
    if !scene.path(&name).exists() {
        scene.link_actor(&name);
    }
    let text = format!(
        "process_name = '^{name}$'\nstart_command = 'echo >> $HERE/starts-{instance}; $HERE/{name} sleep &'\n{more}\n"
    );
    fs::write(scene.path(&format!("{instance}.toml")), text).unwrap();
}

/// A watchdog of that configuration.
fn watchdog<'a>(scene: &'a Scene, instance: &str) -> Invocation<'a> {
    let line = scene.watchdog().without("--process-name").without("--start-command");
    line.with("--config", scene.path(&format!("{instance}.toml")))
}

fn starts(scene: &Scene, instance: &str) -> usize {
    scene.read(&format!("starts-{instance}")).lines().count()
}

fn running(scene: &Scene, instance: &str) -> Vec<i32> {
    named(&format!("{}-{instance}", scene.name()))
}

#[track_caller]
fn wait_for(scene: &Scene, instance: &str, text: &str) {
    let file = format!("log/{instance}.log");
    scene.wait_until(&format!("{instance}: {text}"), || scene.read(&file).contains(text).then_some(()));
}

fn state(scene: &Scene, instance: &str) -> Value {
    serde_json::from_str(&scene.read(&format!("state/{instance}.json"))).unwrap()
}

#[test]
fn it_is_started_when_what_it_depends_on_runs_and_is_left_alone_from_then_on() {
    let scene = Scene::new();
    configure(&scene, "db", "");
    configure(&scene, "ui", "depends_on = ['db']");
    let dry = DryRun::of(watchdog(&scene, "ui"));
    let would = dry.rows("would").next().unwrap().join(" ");
    assert!(would.contains("waiting for db (not seen since boot) until "), "{would}");
    let app = watchdog(&scene, "ui").spawn();
    wait_for(&scene, "ui", "not running; waiting for db (not seen since boot) for another ");
    let shown = scene.say(&["status", "ui"]);
    assert!(
        shown.code() == Some(3) && shown.stdout.contains("waiting for db (not seen since boot), "),
        "{shown}"
    );
    assert_eq!(starts(&scene, "ui"), 0);
    let db = watchdog(&scene, "db").spawn();
    wait_for(&scene, "ui", "what it depends on is there");
    wait_for(&scene, "ui", "attempt 1 succeeded");
    // What becomes of that later is no reason to touch it.
    let pid = running(&scene, "ui")[0];
    assert_eq!(scene.say(&["stop", "db"]).code(), Some(0));
    app.wait_checks(5);
    assert_eq!((running(&scene, "ui"), starts(&scene, "ui")), (vec![pid], 1));
    // It is for the next start.
    send(pid, SIGKILL);
    wait_for(&scene, "ui", "not running; waiting for db (not running)");
    // Who asks for a start gets it.
    assert_eq!(scene.say(&["start", "ui"]).code(), Some(0), "{}", scene.read("log/ui.log"));
    assert_eq!(starts(&scene, "ui"), 2);
    app.terminate();
    db.terminate();
    send(running(&scene, "ui")[0], SIGKILL);
}

/// Whatever keeps `db` from being there.
#[test]
fn what_is_not_there_is_waited_for_and_what_nobody_watches_may_be_there() {
    let scene = Scene::new();
    configure(&scene, "ui", "depends_on = 'db'");
    let waits = |why: &str| {
        let ended = watchdog(&scene, "ui").flag("--once").run();
        let held = state(&scene, "ui")["held"].clone();
        assert_eq!(
            (ended.code(), &held["detail"]),
            (Some(5), &format!("db ({why})").into()),
            "{ended}: {held}"
        );
    };
    for (probe, why) in [("exit 75", "starting"), ("false", "unhealthy")] {
        let health =
            format!("probe = '{probe}'\nprobe_failures = 1\nprobe_start_period = 0\non_unhealthy = 'warn'");
        configure(&scene, "db", &format!("{health}\nprobe_interval = 0.1"));
        let db = watchdog(&scene, "db").spawn();
        wait_for(&scene, "db", if why == "unhealthy" { "is unhealthy" } else { "cannot tell" });
        waits(why);
        db.terminate();
    }
    configure(&scene, "db", "");
    assert_eq!(scene.say(&["stop", "db"]).code(), Some(0));
    waits("not running");
    // Nobody watches it, and what the last run has seen lives.
    fs::remove_file(scene.path("state/db.pause")).unwrap();
    assert_eq!(watchdog(&scene, "db").flag("--once").run().code(), Some(0));
    let ended = watchdog(&scene, "ui").flag("--once").run();
    assert_eq!((ended.code(), starts(&scene, "ui")), (Some(0), 1), "{ended}");
    for instance in ["ui", "db"] {
        send(running(&scene, instance)[0], SIGKILL);
    }
}

/// As if five minutes had gone by since it was begun to wait.
fn wait_is_over(scene: &Scene, instance: &str) {
    let mut state = state(scene, instance);
    let held = state["held"].as_object_mut().unwrap();
    assert_eq!(held["hold"], "dependency");
    held["until_ms"] = (held["until_ms"].as_u64().unwrap() - 300_000).into();
    fs::write(scene.path(&format!("state/{instance}.json")), state.to_string()).unwrap();
}

#[test]
fn a_circle_ends_after_five_minutes_with_a_warning() {
    let scene = Scene::new();
    for (instance, other) in [("a", "b"), ("b", "a")] {
        configure(&scene, instance, &format!("depends_on = ['{other}']"));
    }
    let once = |instance| watchdog(&scene, instance).flag("--once").run().code();
    for instance in ["a", "b", "a", "b"] {
        assert_eq!(once(instance), Some(5), "{instance}");
    }
    let log = scene.read("log/a.log");
    assert_eq!(log.matches("waiting for b").count(), 1, "it is told once: {log}");
    assert_eq!(state(&scene, "a")["held"]["detail"], "b (not running)");
    for instance in ["a", "b"] {
        wait_is_over(&scene, instance);
    }
    // As both do at once, from cron.
    let both = ["a", "b"].map(|instance| watchdog(&scene, instance).flag("--once").spawn());
    for watchdog in both {
        let ended = watchdog.ends();
        assert_eq!(ended.code(), Some(0), "{ended}\n{}", scene.story());
    }
    assert_eq!((starts(&scene, "a"), starts(&scene, "b")), (1, 1));
    let warned = ["a", "b"].map(|instance| {
        let log = scene.read(&format!("log/{instance}.log"));
        assert!(
            !log.contains("what it depends on is there") || !log.contains("not waiting any longer"),
            "{log}"
        );
        log.contains("WARN  ") && log.contains("not waiting any longer for what it depends on: ")
    });
    assert!(warned.contains(&true), "{}", scene.story());
    for instance in ["a", "b"] {
        send(running(&scene, instance)[0], SIGKILL);
    }
}

#[test]
fn what_nobody_has_heard_of_is_warned_of_and_not_waited_for() {
    let scene = Scene::new();
    configure(&scene, "ui", "depends_on = ['bd', 'cache@1']");
    fs::write(scene.path("cache@.toml"), "").unwrap();
    let said = "no watchdog is called bd, so it is not waited for";
    let dry = DryRun::of(watchdog(&scene, "ui"));
    assert!(dry.rows("warning").any(|row| row[0].contains(said)), "{}", dry.ended);
    // One that a template could make is known.
    assert_eq!(watchdog(&scene, "ui").flag("--once").run().code(), Some(5));
    let log = scene.read("log/ui.log");
    assert!(log.contains(said) && log.contains("waiting for cache@1 (not seen since boot) for"), "{log}");
    configure(&scene, "ui", "depends_on = ['bd']");
    assert_eq!(watchdog(&scene, "ui").flag("--once").run().code(), Some(0));
    send(running(&scene, "ui")[0], SIGKILL);
    for (value, said) in [
        ("['ui']", "depends_on '[\"ui\"]': it cannot wait for itself; remove its own name"),
        ("['a/b']", "'a/b': '/' is not allowed in a name; use letters"),
        ("[['a']]", "depends_on: a list does not fit; give a text in quotes or a number"),
        ("{ a = 1 }", "depends_on: a table does not fit; give a list, as in depends_on = [\"db\"]"),
    ] {
        configure(&scene, "ui", &format!("depends_on = {value}"));
        let ended = watchdog(&scene, "ui").flag("--once").run();
        assert!(ended.code() == Some(2) && ended.stderr.contains("ui.toml:3: "), "{ended}");
        assert!(ended.stderr.contains(said), "{said}: {ended}");
    }
}
