//! As process 1 of a PID namespace, and where /proc does not show what it should.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use procfs::process::Process;

use crate::harness::{Captured, Invocation, Scene, WATCHDOG, Watchdog};
use crate::machine::{is_root, is_there, processes, program, send, skip, unshare};

/// A watchdog that is process 1 of its own PID namespace, and its number outside.
pub fn process_1<'a>(scene: &'a Scene, watchdog: Invocation<'a>) -> Option<(Watchdog<'a>, i32)> {
    let options = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let Some(way) = unshare(scene, &options) else {
        skip("no PID namespace can be made here");
        return None;
    };
    let way: Vec<_> = way.iter().map(String::as_str).collect();
    let outside = watchdog.through(&way).spawn();
    let inside = scene.wait_until("process 1 is there", || children(outside.pid()).pop());
    Some((outside, inside))
}

fn children(pid: i32) -> Vec<i32> {
    let stats = processes().filter_map(|process| process.stat().ok());
    stats.filter(|stat| stat.ppid == pid).map(|stat| stat.pid).collect()
}

#[test]
fn process_1_watches_and_reaps_what_falls_to_it() {
    let scene = Scene::new();
    let orphan = scene.link_actor("orphan");
    let watchdog = scene.watchdog().starting(&format!("{} sleep & $ACTOR sleep &", orphan.display()));
    let Some((_outside, inside)) = process_1(&scene, watchdog) else { return };
    scene.wait_for("succeeded");
    let is_orphan = |pid: &i32| fs::read(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == b"orphan\n");
    let orphan = scene.wait_until("the orphan is its child", || children(inside).into_iter().find(is_orphan));
    send(orphan, SIGKILL);
    scene.wait_gone(orphan); // and no zombie either
    scene.assert_watched();
    scene.wait_for(r"was killed by SIGKILL");
    let zombies = || {
        children(inside)
            .into_iter()
            .any(|pid| Process::new(pid).and_then(|it| it.stat()).is_ok_and(|stat| stat.state == 'Z'))
    };
    scene.wait_until("there are no zombies", || (!zombies()).then_some(()));
}

#[test]
fn process_1_passes_signals_on_and_ends_when_all_have_ended() {
    for signal in [SIGTERM, SIGINT] {
        let scene = Scene::new();
        let watchdog = scene.watchdog().starting("$ACTOR graceful 700 $HERE/note &");
        let Some((outside, inside)) = process_1(&scene, watchdog) else { return };
        scene.wait_for("succeeded");
        send(inside, signal);
        let ended = outside.ends();
        assert!(scene.path("note").exists(), "it was left to end by itself: {ended}\n{}", scene.story());
        assert_eq!(scene.starts(), 1, "{}", scene.story());
        if signal == SIGTERM {
            assert_eq!(ended.code(), Some(0), "{ended}");
        }
        assert!(scene.log().pop().unwrap().text.contains(&signal.to_string()), "{:#?}", scene.log());
    }
}

/// However often somebody starts its container again.
#[test]
fn process_1_counts_no_failure_when_it_is_ended() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().with("--max-fail-count", "2").starting("$ACTOR sleep &");
    for round in 1..4 {
        let Some((outside, inside)) = process_1(&scene, watchdog.clone()) else { return };
        scene.wait_until("it is judged", || (scene.count("attempt 1 succeeded") == round).then_some(()));
        send(inside, SIGTERM);
        assert_eq!(outside.ends().code(), Some(0), "{}", scene.story());
    }
    assert_eq!(
        (scene.starts(), scene.count("failure|failed|gave up|ended since")),
        (3, 0),
        "{:#?}",
        scene.log()
    );
}

/// The container's restart policy has decided that it is worth another try.
#[test]
fn process_1_begins_anew_after_a_give_up() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().with("--max-fail-count", "1").starting("false");
    for round in 1..3 {
        let Some((outside, _)) = process_1(&scene, watchdog.clone()) else { return };
        assert_eq!(outside.ends().code(), Some(1), "{}", scene.story());
        assert_eq!(scene.starts(), round, "{}", scene.story());
    }
}

/// One that tries again by itself is killed by whoever ends the container, if it takes him too long.
#[test]
fn process_1_begins_anew_after_a_give_up_and_a_kill() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().with("--max-fail-count", "1").with("--retry-after", "10m");
    for round in 1..3 {
        let Some((outside, inside)) = process_1(&scene, watchdog.clone().starting("false")) else { return };
        scene.wait_until("it is given up", || (scene.count("gave up after") == round).then_some(()));
        send(inside, SIGKILL);
        outside.ends();
        assert_eq!(scene.starts(), round, "{}", scene.story());
    }
}

/// The command has been asked to end by both, and is waited for.
#[test]
fn process_1_counts_no_failure_when_it_is_ended_while_it_ends_a_start_command() {
    let scene = Scene::new();
    let until_asked_twice =
        "trap '[ -e $HERE/asked ] && exit; touch $HERE/asked' TERM; while :; do sleep 0.05; done";
    let watchdog = scene.watchdog().with("--start-timeout", "0.3").starting(until_asked_twice);
    let Some((outside, inside)) = process_1(&scene, watchdog) else { return };
    scene.wait_for("the start command still runs");
    // Two signals of a kind at once would be one.
    scene.wait_until("it was asked to end", || scene.path("asked").exists().then_some(()));
    send(inside, SIGTERM);
    let ended = outside.ends();
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert_eq!(scene.count("did not end within|failed"), 0, "{:#?}", scene.log());
    let state: serde_json::Value =
        serde_json::from_str(&scene.read(&format!("state/{}.json", scene.name()))).unwrap();
    assert_eq!(state["memory"]["judging"], false, "the next one has nothing to judge: {state}");
}

#[test]
fn process_1_passes_signals_on_to_a_start_command_at_work() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().starting("exec $HERE/other graceful 300 $HERE/note");
    scene.link_actor("other");
    let Some((outside, inside)) = process_1(&scene, watchdog) else { return };
    scene.wait_for("not running; starting it");
    let command = scene.wait_until("the command is at work", || {
        let catches = |pid: &i32| {
            Process::new(*pid)
                .and_then(|it| it.status())
                .is_ok_and(|it| it.name == "other" && it.sigcgt & (1 << 14) != 0)
        };
        children(inside).into_iter().find(catches)
    });
    send(inside, SIGTERM);
    let ended = outside.ends();
    assert!(scene.path("note").exists() && !is_there(command), "{ended}\n{}", scene.story());
    assert_eq!(ended.code(), Some(0), "{ended}");
}

#[test]
fn process_1_does_not_wait_for_ever() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().starting("$ACTOR ignore-term &");
    let Some((outside, inside)) = process_1(&scene, watchdog) else { return };
    scene.wait_for("succeeded");
    let asked = std::time::Instant::now();
    send(inside, SIGTERM);
    let ended = outside.ends();
    let waited = asked.elapsed().as_secs();
    assert!((9..25).contains(&waited), "{waited} s: {ended}");
    assert_eq!(ended.code(), Some(0), "{ended}");
}

#[test]
fn the_proc_of_another_namespace_is_refused() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let Some(way) = unshare(&scene, &["--pid", "--fork", "--kill-child"]) else {
        return skip("no PID namespace can be made here");
    };
    let way: Vec<_> = way.iter().map(String::as_str).collect();
    for once in [None, Some("--once")] {
        let mut watchdog = scene.watchdog().through(&way);
        if let Some(flag) = once {
            watchdog = watchdog.flag(flag);
        }
        let ended = watchdog.run();
        assert_eq!((ended.code(), ended.stderr.lines().count(), scene.starts()), (Some(3), 1, 0), "{ended}");
    }
    let mut status = program(way[0]);
    status.args(&way[1..]).args([WATCHDOG, "status", "--state-dir"]).arg(scene.path("state"));
    let ended = scene.spawn(status, Captured::All).ends();
    assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(4), 1), "{ended}");
}

/// An ordinary user with a /proc that is mounted with `hidepid`: it shows nobody else's processes.
pub const HIDDEN: [&str; 6] = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    "mount -t proc -o hidepid=2 none /proc && exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"",
    "sh",
];

#[test]
fn what_is_hidden_is_not_missing() {
    let scene = Scene::new();
    if !is_root() {
        return skip("only root can mount a /proc and be another user then");
    }
    scene.start_actor(&["sleep"]); // root's
    for folder in ["state", "log"] {
        fs::create_dir(scene.path(folder)).unwrap();
        fs::set_permissions(scene.path(folder), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let watchdog = || scene.watchdog().through(&HIDDEN);
    let ended = watchdog().flag("--once").run();
    assert_eq!((ended.code(), scene.starts()), (Some(3), 0), "{ended}");
    assert!(ended.stderr.contains("hidepid") && ended.stderr.lines().count() == 1, "{ended}");

    let log = scene.path(&format!("log/{}.log", scene.name()));
    fs::remove_file(log).unwrap();
    let watchdog = watchdog().spawn();
    scene.wait_for("^WARN .*hidepid");
    watchdog.wait_checks(5);
    assert_eq!(scene.count("hidepid"), 1, "{:#?}", scene.log());
    assert_eq!((scene.starts(), watchdog.terminate().code()), (0, Some(0)));
}

#[test]
fn what_is_hidden_is_shown_as_unknown() {
    let scene = Scene::new();
    if !is_root() {
        return skip("only root can mount a /proc and be another user then");
    }
    let pid = scene.start_actor(&["sleep"]); // root's
    let watchdog = scene.watchdog().with("--after-stop", "200s").spawn();
    scene.wait_for("following");
    watchdog.wait_checks(2);
    assert_eq!(scene.say(&["status"]).code(), Some(0));
    let json = scene.say_through(&HIDDEN, &["status", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&json.stdout).unwrap_or_else(|_| panic!("{json}"));
    assert_eq!((json.code(), &shown[0]["state"]), (Some(4), &"unknown".into()), "{json}");
    assert!(shown[0]["standing"].as_str().is_some_and(|standing| standing.contains("hidepid")), "{json}");
    assert!(shown[0]["pid"].is_null() && shown[0]["checked_seconds"].is_null(), "{json}");
    let table = scene.say_through(&HIDDEN, &["status"]);
    assert!(!table.stdout.contains("none"), "{table}");
    // That it does not run was seen by one who could.
    send(pid, SIGTERM);
    scene.wait_until("it is written down", || (scene.state()["sight"] == "missing").then_some(()));
    let gone = scene.say_through(&HIDDEN, &["status"]);
    assert_eq!((gone.code(), gone.stdout.contains("not running")), (Some(3), true), "{gone}");
    watchdog.terminate();
}

#[test]
fn process_1_ends_what_it_watches_as_it_would_stop_it() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().starting("$ACTOR ignore-term &");
    for (option, value, said) in [
        ("--stop-signal", "USR1", "SIGTERM; the process has ended too"),
        ("--stop-timeout", "0.3", "SIGTERM; the process did not end within 300ms"),
    ] {
        let Some((outside, inside)) = process_1(&scene, watchdog.clone().with(option, value)) else { return };
        let judged = || scene.count("succeeded");
        let before = judged();
        scene.wait_until("it is judged", || (judged() > before).then_some(()));
        let told = Instant::now();
        send(inside, SIGTERM);
        assert_eq!(outside.ends().code(), Some(0), "{}", scene.story());
        assert!(told.elapsed() < Duration::from_secs(10), "{}", scene.story());
        assert!(scene.log().pop().unwrap().text.contains(said), "{}", scene.story());
    }
}

#[test]
fn process_1_is_not_held_by_what_was_said_before_it() {
    let scene = Scene::new();
    for word in ["pause", "stop"] {
        let Some((outside, inside)) = process_1(&scene, scene.watchdog()) else { return };
        scene.wait_until("it runs", || (scene.all().len() == 1).then_some(()));
        send(inside, SIGKILL);
        outside.ends();
        scene.say(&[word, scene.name()]);
        let Some((outside, inside)) = process_1(&scene, scene.watchdog()) else { return };
        scene.wait_until("it runs again", || (scene.all().len() == 1).then_some(()));
        send(inside, SIGKILL);
        outside.ends();
    }
}
