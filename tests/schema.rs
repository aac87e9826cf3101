//! `docs/status.schema.json` says what `status --json` prints: held against what it does print.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use nix::sys::signal::Signal::{SIGKILL, SIGSTOP};
use regex_lite::Regex;
use serde_json::{Value, json};

use crate::harness::{Captured, Scene, WATCHDOG};
use crate::machine::{BOB, as_user, is_root, program, send};
use crate::manual::read;

fn schema() -> Value {
    serde_json::from_str(&read("docs/status.schema.json")).unwrap()
}

/// What is wrong with `value`. A word that this does not know is wrong with the schema.
fn wrong_with(value: &Value, schema: &Value, at: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (word, rule) in schema.as_object().unwrap() {
        let is_right = match word.as_str() {
            "$schema" | "title" | "description" => rule.is_string(),
            "type" => {
                let types = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                types.iter().any(|kind| is_a(value, kind.as_str().unwrap()))
            }
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "pattern" => {
                value.as_str().is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
            }
            "required" => value.as_object().is_none_or(|object| {
                rule.as_array().unwrap().iter().all(|field| object.contains_key(field.as_str().unwrap()))
            }),
            "properties" => {
                for (field, value) in value.as_object().into_iter().flatten() {
                    // The schema allows more, for later versions; this one has no more.
                    match rule.get(field) {
                        Some(rule) => wrong.extend(wrong_with(value, rule, &format!("{at}.{field}"))),
                        None => wrong.push(format!("{at}.{field} is not in the schema")),
                    }
                }
                true
            }
            "items" => {
                for value in value.as_array().into_iter().flatten() {
                    wrong.extend(wrong_with(value, rule, &format!("{at}[]")));
                }
                true
            }
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{at}: {word}: {value}"));
        }
    }
    wrong
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("no type: {kind}"),
    }
}

/// All that there is, each of which is as the schema says.
#[track_caller]
fn shown(scene: &Scene) -> Vec<Value> {
    let ended = scene.say(&["status", "--json"]);
    let shown: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended}"));
    assert_eq!(wrong_with(&shown, &schema(), ""), [""; 0], "{shown:#}");
    shown.as_array().unwrap().clone()
}

/// The one instance, once its `field` is `value`; each look before that was as the schema says too.
#[track_caller]
fn wait_for(scene: &Scene, field: &str, value: &str) -> Value {
    scene.wait_until(&format!("{field} is {value}"), || shown(scene).pop().filter(|it| it[field] == value))
}

#[test]
fn each_state_of_a_long_running_watch_is_as_the_schema_says() {
    let scene = Scene::new();
    let line = scene.watchdog().with("--probe", "test -e $HERE/ok").with("--probe-interval", "0.05");
    let line = line.with("--probe-start-period", "30").with("--on-unhealthy", "warn");
    let watchdog =
        line.with("--probe-failures", "1").starting("[ -e $HERE/mended ] && $ACTOR sleep &").spawn();
    wait_for(&scene, "standing", "given up");
    watchdog.ends();
    fs::write(scene.path("mended"), "").unwrap();
    let line = scene.watchdog().with("--probe", "test -e $HERE/ok").with("--probe-interval", "0.05");
    let line = line.with("--probe-start-period", "30").with("--on-unhealthy", "warn");
    let watchdog = line.with("--probe-failures", "1").spawn();
    wait_for(&scene, "health", "starting");
    fs::write(scene.path("ok"), "").unwrap();
    wait_for(&scene, "health", "healthy");
    fs::remove_file(scene.path("ok")).unwrap();
    wait_for(&scene, "state", "unhealthy");
    send(scene.wait_running(), SIGSTOP);
    wait_for(&scene, "state", "suspended");
    assert_eq!(scene.say(&["pause", scene.name(), "--for", "1h"]).code(), Some(0));
    send(scene.wait_running(), SIGKILL);
    let paused = wait_for(&scene, "state", "not running");
    assert_eq!(paused["standing"], "paused");
    wait_for(&scene, "state", "not running");
    scene.wait_until("its end is known", || (!shown(&scene)[0]["last_exit"].is_null()).then_some(()));
    watchdog.terminate();
    assert_eq!(scene.say(&["stop", scene.name()]).code(), Some(0));
    wait_for(&scene, "standing", "stopped");
}

#[test]
fn what_is_not_known_is_as_the_schema_says() {
    let scene = Scene::new();
    assert_eq!(shown(&scene), [""; 0]);
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    assert_eq!(shown(&scene)[0]["state"], "running");
    let good = scene.state();
    let changed = |field: &str, value: Value| {
        let mut state = good.clone();
        state[field] = value;
        state.to_string()
    };
    for (state, standing) in [
        ("{".to_owned(), "its state file is damaged"),
        (changed("version", json!(2)), "its state file is damaged"),
        (changed("boot_id", json!("another")), "not checked since boot"),
    ] {
        fs::write(scene.kept("json"), state).unwrap();
        assert_eq!(shown(&scene)[0]["standing"], standing);
    }
    // What a name may have.
    let odd = format!("_@:-.{}", "x".repeat(59));
    fs::write(scene.path(&format!("state/{odd}.json")), changed("name", json!(odd))).unwrap();
    assert!(shown(&scene).iter().any(|it| it["name"] == odd.as_str() && it["state"] == "running"));
    fs::remove_file(scene.path(&format!("state/{odd}.json"))).unwrap();
    fs::remove_file(scene.kept("json")).unwrap();
    fs::remove_file(scene.kept("lock")).unwrap();
    assert_eq!(shown(&scene), [""; 0], "it is removed");
}

/// Who has configured it has it in `--all`; another user's state is another user's.
#[test]
fn what_has_never_run_and_what_may_not_be_read_is_as_the_schema_says() {
    let scene = Scene::new();
    let configured = scene.path("home/.config/watchdog");
    fs::create_dir_all(&configured).unwrap();
    fs::write(configured.join("never.toml"), "").unwrap();
    let user: Vec<_> = if is_root() { as_user(BOB) } else { Vec::new() };
    let shown = |words: &[&str]| {
        let mut words = user.iter().map(String::as_str).chain([WATCHDOG]).chain(words.iter().copied());
        let mut command = program(words.next().unwrap());
        command.args(words).env("HOME", scene.path("home")).env_remove("XDG_STATE_HOME").stdin(Stdio::null());
        let ended = scene.spawn(command, Captured::All).ends();
        let shown: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended}"));
        assert_eq!(wrong_with(&shown, &schema(), ""), [""; 0], "{shown:#}");
        (ended.code(), shown)
    };
    // Root's are seen too, and those of this machine are not for a test.
    let (code, all) = shown(&["status", "--json", "--all"]);
    let never = all.as_array().unwrap().iter().find(|it| it["name"] == "never").cloned().unwrap();
    assert_eq!(
        (code, &never["state"], &never["standing"]),
        (Some(4), &json!("unknown"), &json!("not checked since boot"))
    );
    assert_eq!(shown(&["status", "--json", "never"]).1[0], never);
    if is_root() {
        scene.start_actor(&["sleep"]);
        assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
        let mode = |mode| {
            fs::set_permissions(scene.kept("json"), std::os::unix::fs::PermissionsExt::from_mode(mode))
        };
        let folder = scene.path("state").display().to_string();
        mode(0o600).unwrap();
        let (code, hidden) = shown(&["status", "--json", "--state-dir", &folder]);
        let standing = hidden[0]["standing"].as_str().unwrap();
        assert!(
            code == Some(4) && standing.starts_with("its state file cannot be read: Permission"),
            "{hidden:#}"
        );
        mode(0o644).unwrap();
        assert_eq!(shown(&["status", "--json", "--state-dir", &folder]).1[0]["state"], "running");
    }
}

#[test]
fn the_schema_has_what_the_page_has_and_refuses_what_is_wrong() {
    let schema = schema();
    let fields = &schema["items"]["properties"];
    let required: BTreeSet<_> =
        schema["items"]["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let described: BTreeSet<_> = fields.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(required, described);
    let mut good = json!({});
    for field in &required {
        good[field] = Value::Null;
    }
    for (field, value) in [("name", "x"), ("state", "unknown"), ("folder", "/")] {
        good[field] = json!(value);
    }
    assert_eq!(wrong_with(&json!([good]), &schema, ""), [""; 0]);
    for (field, value) in [
        ("name", json!("../x")),
        ("state", json!("up")),
        ("pid", json!(0)),
        ("pid", json!("7")),
        ("restarts", json!(1.5)),
        ("mode", json!("cron")),
        ("last_exit", json!({})),
        ("new", json!(1)),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert_eq!(wrong_with(&json!([bad]), &schema, "").len(), 1, "{bad}");
    }
}
