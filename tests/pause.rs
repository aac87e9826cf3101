//! "Leave it alone", and "go on" (rule 31).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use nix::sys::signal::Signal::SIGKILL;
use serde_json::json;

use crate::harness::{Captured, Ended, Scene, WATCHDOG};
use crate::machine::{is_root, send, skip, unshare};

/// Says it, and expects no answer.
#[track_caller]
fn say(scene: &Scene, words: &[&str]) {
    let ended = scene.say(words);
    assert_eq!((ended.code(), &*ended.stderr), (Some(0), ""), "{words:?}");
}

#[track_caller]
fn refused(ended: &Ended, with: &[&str]) {
    assert_eq!((ended.code(), &*ended.stdout), (Some(2), ""), "{ended}");
    assert!(with.iter().all(|with| ended.stderr.contains(with)), "{ended}");
}

#[test]
fn what_was_done_is_said_in_a_line() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    let (name, place) = (scene.name(), scene.path("state"));
    for (words, said) in [
        (
            &["pause", name][..],
            format!("paused until 'watchdog resume {name} --state-dir {}' or a reboot", place.display()),
        ),
        (&["pause", name, "--for", "30m"], "paused for 30m".to_owned()),
        (&["resume", name], "resumed; failures forgotten".to_owned()),
    ] {
        assert_eq!(scene.say(words).stdout, format!("{name}: {said}\n"));
    }
    // A package manager's hook is silent.
    for words in [&["pause", "--upgrade", "--for", "30m"][..], &["resume", "--upgrade"]] {
        assert_eq!(scene.say(words).stdout, "");
    }
}

#[test]
fn what_is_paused_and_then_killed_stays_dead_until_it_is_resumed() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().with("--restart-delay", "0").spawn();
    scene.wait_for("attempt 1 succeeded");
    for round in 1..6 {
        let pid = scene.wait_running();
        say(&scene, &["pause", scene.name()]);
        send(pid, SIGKILL);
        scene.wait_until("it is left alone", || {
            (scene.count("paused until 'watchdog resume") == round).then_some(())
        });
        watchdog.wait_checks(5);
        assert_eq!((scene.starts(), scene.all()), (round, vec![]), "{}", scene.story());
        say(&scene, &["resume", scene.name()]);
        scene.wait_running();
        scene.wait_until("it is judged", || (scene.count("attempt 1 succeeded") > round).then_some(()));
    }
    watchdog.terminate();
}

#[test]
fn a_check_from_cron_leaves_it_alone() {
    let scene = Scene::new();
    let line = scene.watchdog().flag("--once");
    assert_eq!(line.clone().run().code(), Some(0));
    let pid = scene.wait_running();
    say(&scene, &["pause", scene.name()]);
    assert_eq!(line.clone().run().code(), Some(0), "it runs, paused or not");
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    for _ in 0..3 {
        assert_eq!(line.clone().run().code(), Some(5), "{}", scene.story());
    }
    assert_eq!(scene.starts(), 1);
    assert!(scene.count("paused") <= 1, "said once: {:#?}", scene.log());
    say(&scene, &["resume", scene.name()]);
    assert_eq!(line.run().code(), Some(0), "{}", scene.story());
    assert_eq!(scene.starts(), 2);
}

#[test]
fn a_pause_ends_by_time() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("attempt 1 succeeded");
    let pid = scene.wait_running();
    say(&scene, &["pause", scene.name(), "--for", "2s"]);
    let said = Instant::now();
    send(pid, SIGKILL);
    scene.wait_for("paused for another ");
    scene.wait_until("it is started", || (scene.starts() == 2).then_some(()));
    assert!(said.elapsed().as_millis() >= 1900, "{:?}", said.elapsed());
    watchdog.terminate();
}

#[test]
fn a_pause_ends_by_a_boot() {
    let scene = Scene::new();
    let line = scene.watchdog().flag("--once");
    assert_eq!(line.clone().run().code(), Some(0));
    send(scene.wait_running(), SIGKILL);
    scene.wait_until("it is gone", || scene.all().is_empty().then_some(()));
    say(&scene, &["pause", scene.name()]);
    let mut pause: serde_json::Value =
        serde_json::from_slice(&fs::read(scene.kept("pause")).unwrap()).unwrap();
    assert_eq!(
        (&pause["version"], &pause["paused"], &pause["until_ms"]),
        (&json!(1), &json!(true), &json!(null))
    );
    assert_eq!(line.clone().run().code(), Some(5));
    pause["boot_id"] = json!("00000000-0000-0000-0000-000000000000");
    fs::write(scene.kept("pause"), pause.to_string()).unwrap();
    assert_eq!(line.run().code(), Some(0));
}

/// The attempt that is under way is judged, and does not count; no other follows.
#[test]
fn a_pause_during_an_attempt_lets_no_other_follow() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().with("--max-fail-count", "unlimited").starting("echo broken").spawn();
    scene.wait_until("it is started", || (scene.starts() > 0).then_some(()));
    say(&scene, &["pause", scene.name()]);
    scene.wait_for("not running; paused ");
    let starts = scene.starts();
    scene.wait_for("attempt not counted: it failed while it is held");
    watchdog.wait_checks(10);
    assert_eq!(scene.starts(), starts, "{}", scene.story());
    say(&scene, &["resume", scene.name()]);
    scene.wait_until("it goes on", || (scene.starts() > starts).then_some(()));
    watchdog.terminate();
}

#[test]
fn resume_forgets_a_give_up() {
    let scene = Scene::new();
    let line = scene.watchdog().flag("--once").with("--max-fail-count", "1");
    let line = line.with("--restart-wait-interval", "0.1").starting("[ -e $HERE/mended ] && $ACTOR sleep &");
    assert_eq!(line.clone().run().code(), Some(1));
    fs::write(scene.path("mended"), "").unwrap();
    assert_eq!(line.clone().run().code(), Some(5));
    say(&scene, &["resume", scene.name()]);
    assert_eq!(line.run().code(), Some(0), "{}", scene.story());
    assert_eq!(scene.starts(), 2);
}

#[test]
fn resume_wakes_a_long_running_watch_that_gave_up() {
    let scene = Scene::new();
    let line = scene.watchdog().with("--max-fail-count", "1").with("--retry-after", "1h");
    let watchdog = line.starting("[ -e $HERE/mended ] && $ACTOR sleep &").spawn();
    scene.wait_for("gave up after 1 failure");
    fs::write(scene.path("mended"), "").unwrap();
    watchdog.wait_checks(5);
    assert_eq!(scene.starts(), 1);
    say(&scene, &["resume", scene.name()]);
    scene.wait_for("attempt 1 succeeded");
    watchdog.terminate();
}

#[test]
fn all_are_paused_and_resumed_at_once() {
    let scene = Scene::new();
    let line = |name| scene.watchdog().flag("--once").with("--name", name);
    let pid = scene.start_actor(&["sleep"]);
    for name in ["one", "two"] {
        assert_eq!(line(name).run().code(), Some(0));
    }
    say(&scene, &["pause", "--all", "--for", "30m"]);
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    for name in ["one", "two"] {
        assert_eq!(line(name).run().code(), Some(5));
    }
    say(&scene, &["resume", "--all"]);
    assert_eq!(line("two").run().code(), Some(0));
}

#[test]
fn an_upgrade_pauses_all_and_ends_nothing_but_that() {
    let scene = Scene::new();
    let line = scene.watchdog().flag("--once").with("--max-fail-count", "1");
    let line = line.with("--restart-wait-interval", "0.1").starting("[ -e $HERE/mended ] && $ACTOR sleep &");
    say(&scene, &["pause", "--upgrade", "--for", "30m"]);
    assert_eq!(line.clone().run().code(), Some(5), "one that has never run is paused too");
    assert_eq!(scene.starts(), 0);
    let status = scene.say(&["status"]).stdout;
    assert!(status.contains("paused for an upgrade of packages, 29m"), "{status}");
    say(&scene, &["resume", "--upgrade"]);
    assert_eq!(line.clone().run().code(), Some(1), "{}", scene.story());
    fs::write(scene.path("mended"), "").unwrap();
    say(&scene, &["pause", "--upgrade", "--for", "30m"]);
    say(&scene, &["resume", "--upgrade"]);
    assert_eq!(line.clone().run().code(), Some(5), "the give-up is remembered");
    say(&scene, &["resume", scene.name()]);
    say(&scene, &["pause", scene.name()]);
    say(&scene, &["pause", "--upgrade", "--for", "30m"]);
    say(&scene, &["resume", "--upgrade"]);
    assert_eq!(line.clone().run().code(), Some(5), "somebody's pause goes on");
    say(&scene, &["pause", "--upgrade", "--for", "30m"]);
    say(&scene, &["resume", scene.name()]);
    assert_eq!(line.run().code(), Some(0), "somebody's word counts more: {}", scene.story());
    say(&scene, &["resume", "--upgrade"]);
    // What is over is over.
    say(&scene, &["resume", "--upgrade"]);
}

#[test]
fn what_is_unknown_is_refused_with_the_nearest_name() {
    let scene = Scene::new();
    refused(&scene.say(&["pause", "docker"]), &["no watchdog is named 'docker'"]);
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").with("--name", "docker").run().code(), Some(0));
    assert_eq!(scene.watchdog().flag("--once").with("--name", "nginx").run().code(), Some(0));
    for command in ["pause", "resume", "status"] {
        refused(
            &scene.say(&[command, "dokcer"]),
            &["no watchdog is named 'dokcer'", "did you mean 'docker'?"],
        );
        refused(&scene.say(&[command, "../x\n"]), &["no watchdog is named '../x\\n'", "lists them"]);
    }
    // All or nothing.
    refused(&scene.say(&["pause", "nginx", "dokcer", "ngin"]), &["'dokcer'", "'ngin'"]);
    assert!(!scene.path("state/nginx.pause").exists());
}

/// `status`, `pause` and `resume` know the same names: what has state or is configured; with `--state-dir`, what has
/// state there.
#[test]
fn what_is_configured_is_known_and_what_root_runs_is_roots() {
    let scene = Scene::new();
    let private = if is_root() { unshare(&scene, &["--mount"]) } else { None };
    let Some(private) = private else { return skip("only root can have an /etc of its own") };
    fs::create_dir(scene.path("home")).unwrap();
    fs::set_permissions(scene.path("home"), fs::Permissions::from_mode(0o777)).unwrap();
    let said = |before: &str, user: &str, words: &[&str]| {
        // Over directories that are there on every machine, so that none has to be made.
        let script = format!(
            "mount -t tmpfs none /etc && mount -t tmpfs none /run && mkdir /etc/watchdog &&
             echo > /etc/watchdog/docker.toml && export HOME=$HERE/home XDG_STATE_HOME= &&
             {before} exec {user} \"$@\""
        );
        let mut command = std::process::Command::new(&private[0]);
        command.args(&private[1..]).args(["sh", "-c", &script, "sh", WATCHDOG]).args(words);
        scene.spawn(command, Captured::All).ends()
    };
    let (root, other) = ("", "setpriv --reuid 65534 --regid 65534 --clear-groups");
    let roots_state = "mkdir /run/watchdog && echo > /run/watchdog/docker.lock &&";
    let own_file = "mkdir -p $HOME/.config/watchdog && echo > $HOME/.config/watchdog/docker.toml &&";
    let elsewhere = scene.path("state").display().to_string();
    for user in [root, other] {
        let shown = said("", user, &["status", "docker"]);
        assert_eq!((shown.code(), &*shown.stderr), (Some(4), ""), "{shown}");
        let line = shown.stdout.lines().nth(1).unwrap().split("  ").filter(|cell| !cell.is_empty());
        let line: Vec<_> = line.map(str::trim).collect();
        let expected = ["docker", "unknown", "-", "-", "-", "-", "not checked since boot"];
        assert_eq!(line, expected, "{shown}");
        for command in ["pause", "resume"] {
            assert_eq!(said("", user, &[command, "docker"]).code(), Some(0), "{user} {command}");
        }
        let paused = format!("{user} $1 pause docker &&");
        let shown = said(&paused, user, &["status", "docker"]);
        assert!(shown.stdout.contains("docker  unknown  -    -    -         -         paused"), "{shown}");
        for command in ["status", "pause", "resume"] {
            refused(
                &said("", user, &[command, "dokcer"]),
                &["no watchdog is named", "did you mean 'docker'?"],
            );
            refused(
                &said("", user, &[command, "docker", "--state-dir", &elsewhere]),
                &["no watchdog is named 'docker'", "none has run"],
            );
        }
    }
    let machines = fs::read_dir(scene.path("home/.local/state/watchdog")).unwrap();
    let mut own = machines.map(|entry| entry.unwrap().path().join("docker.pause"));
    let own_pause = own.find(|file| file.exists()).unwrap();
    fs::remove_file(&own_pause).unwrap();
    assert_eq!(said(roots_state, other, &["status", "docker"]).stdout.lines().count(), 2);
    refused(&said(roots_state, other, &["pause", "docker"]), &["'docker' is root's"]);
    refused(
        &said(roots_state, other, &["pause", "--all"]),
        &["no watchdog has run or is configured (looked in "],
    );
    assert!(!own_pause.exists());
    let both = format!("{roots_state} {own_file}");
    assert_eq!(said(&both, other, &["status", "docker"]).stdout.lines().count(), 3, "root's, and the user's");
    assert_eq!(said(&both, other, &["pause", "docker"]).code(), Some(0));
    assert!(own_pause.exists());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let scene = Scene::new();
    let meaningless =
        [&["pause"][..], &["resume"], &["pause", "x", "--all"], &["resume", "--all", "--upgrade"]];
    for words in meaningless {
        assert_eq!(scene.say(words).code(), Some(2), "{words:?}");
    }
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    for time in ["soon", "-5", "0", ""] {
        refused(&scene.say(&["pause", scene.name(), "--for", time]), &["--for"]);
    }
    refused(&scene.say(&["pause", "--upgrade"]), &["--for TIME"]);
    assert!(!scene.kept("pause").exists());
}

#[test]
fn another_user_may_not_pause_it() {
    if !is_root() {
        return skip("only root can be another user");
    }
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    let script = format!(
        "exec setpriv --reuid 65534 --regid 65534 --clear-groups {} pause {} --state-dir $HERE/state",
        crate::harness::WATCHDOG,
        scene.name()
    );
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]);
    let ended = scene.spawn(command, crate::harness::Captured::All).ends();
    refused(&ended, &[scene.name(), "it belongs to another user"]);
    assert!(!scene.kept("pause").exists());
}

/// With `--once`, what did not last has not failed while it is left alone (rule 31).
#[test]
fn a_death_during_a_pause_is_no_failure_and_says_so() {
    let scene = Scene::new();
    let line = scene.watchdog().flag("--once").with("--max-fail-count", "1");
    assert_eq!(line.clone().run().code(), Some(0));
    say(&scene, &["pause", scene.name()]);
    let pid = scene.wait_running();
    crate::machine::send(pid, nix::sys::signal::Signal::SIGKILL);
    scene.wait_gone(pid);
    let ended = line.run();
    assert_eq!(
        (ended.code(), &*ended.stderr, scene.starts()),
        (Some(5), "", 1),
        "{ended}\n{}",
        scene.story()
    );

    let pid = scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!(r"following {} \(pid {pid},", scene.name()));
    crate::machine::send(pid, nix::sys::signal::Signal::SIGKILL);
    let death = scene.wait_for(&format!(r"\(pid {pid}\) (was|died)"));
    assert!(death.text.ends_with("; paused, so it is not restarted"), "{death:?}");
    watchdog.terminate();
}
