//! One watchdog of a name at a time (rule 29).

use std::fs;

use nix::sys::signal::Signal::{SIGCONT, SIGKILL, SIGSTOP, SIGUSR1};

use crate::harness::{Captured, Scene};
use crate::machine::send;

#[test]
fn a_second_one_in_a_terminal_says_who_is_first() {
    let scene = Scene::new();
    let first = scene.watchdog().spawn();
    scene.wait_for("succeeded");
    let (mut terminal, second) = scene.watchdog().in_terminal();
    assert_eq!(second.ends().code(), Some(4), "{}", terminal.transcript());
    let said = terminal.transcript();
    assert!(said.contains(&first.pid().to_string()) && said.contains("--name"), "{said}");
    scene.assert_watched();
    first.terminate();
}

/// The same line in a crontab keeps one watchdog alive.
#[test]
fn a_second_one_elsewhere_goes_in_silence() {
    let scene = Scene::new();
    let _first = scene.watchdog().spawn();
    scene.wait_for("succeeded");
    let before = scene.log();
    let ended = scene.watchdog().run();
    assert_eq!((ended.code(), &*ended.stdout, &*ended.stderr), (Some(0), "", ""));
    assert_eq!(scene.log(), before);
}

#[test]
fn a_second_one_with_other_settings_is_a_mistake() {
    let scene = Scene::new();
    let first = scene.watchdog().spawn();
    scene.wait_for("succeeded");
    let ended = scene.watchdog().with("--max-fail-count", "7").run();
    assert_eq!(ended.code(), Some(4), "{ended}");
    assert!(ended.stderr.contains(&first.pid().to_string()) && ended.stderr.contains("--name"), "{ended}");
}

/// Somebody has cleared the state directory, and started another: the first starts nothing any more.
#[test]
fn who_has_lost_his_lock_to_another_starts_nothing() {
    let scene = Scene::new();
    let line = || scene.watchdog().with("--restart-wait-interval", "0.1");
    let first = line().spawn();
    scene.wait_for("attempt 1 succeeded");
    fs::remove_file(scene.kept("lock")).unwrap();
    let second = line().spawn();
    scene.wait_for(&format!(r"^INFO settings: watchdog .*, pid {}; ", second.pid()));
    let pid = scene.wait_running();
    send(pid, SIGKILL);
    scene.wait_for(&format!(
        r"^WARN the lock file was removed, and another watchdog \(pid {}\) holds",
        second.pid()
    ));
    scene.wait_replaced(pid);
    assert_eq!(scene.starts(), 2, "{}", scene.story());
    second.terminate();
    // Nobody else has it now.
    let pid = scene.wait_running();
    send(pid, SIGKILL);
    scene.wait_replaced(pid);
    assert!(scene.kept("lock").exists() && scene.starts() == 3, "{}", scene.story());
    first.terminate();
}

/// Whatever it has to say of itself, it is not what `status` shows from then on.
#[test]
fn who_has_lost_his_lock_to_another_keeps_nothing() {
    let scene = Scene::new();
    let first = scene.watchdog().spawn();
    scene.wait_for("attempt 1 succeeded");
    fs::remove_file(scene.kept("lock")).unwrap();
    let second = scene.watchdog().spawn();
    let watched_by = || scene.state()["watchdog"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    scene.wait_until("it is the second's", || (watched_by() == Some(second.pid())).then_some(()));
    // The first alone sees that it dies.
    second.send(SIGSTOP);
    let pid = scene.wait_running();
    send(pid, SIGKILL);
    scene.wait_for(r"^WARN the lock file was removed, and another watchdog \(pid \d+\) holds");
    assert_eq!((watched_by(), scene.starts()), (Some(second.pid()), 1), "{}", scene.story());
    first.terminate();
    assert_eq!(watched_by(), Some(second.pid()), "{}", scene.story());
    second.send(SIGCONT);
    scene.wait_replaced(pid);
    second.terminate();
}

/// It is seen again, and no second one is let in.
#[test]
fn a_cleared_state_folder_is_filled_again() {
    let scene = Scene::new();
    let first = scene.watchdog().spawn();
    scene.wait_for("attempt 1 succeeded");
    let kept = ["lock", "json"].map(|ending| scene.kept(ending));
    scene.wait_until("the state is written", || kept[1].exists().then_some(()));
    for _ in 0..2 {
        fs::remove_dir_all(scene.path("state")).unwrap();
        // Or wait for the minute's look.
        first.send(SIGUSR1);
        scene.wait_until("all is there", || kept.iter().all(|file| file.exists()).then_some(()));
    }
    assert_eq!(scene.state()["watchdog"]["pid"], first.pid());
    let second = scene.watchdog().with("--max-fail-count", "7").run();
    assert_eq!(second.code(), Some(4), "{second}");
    assert_eq!(scene.count("^WARN"), 1, "the start: {:#?}", scene.log());
    first.terminate();
}

/// It would end by itself in a moment.
#[test]
fn a_run_of_cron_s_is_no_reason_for_another_name() {
    let scene = Scene::new();
    let line = scene.watchdog().starting("until [ -e $HERE/ready ]; do sleep 0.05; done; $ACTOR sleep &");
    let run = line.clone().flag("--once").spawn();
    scene.wait_for("not running; starting it");
    scene.wait_until("the state is written", || scene.kept("json").exists().then_some(()));
    let second = line.run();
    assert_eq!(second.code(), Some(4), "{second}");
    let said = format!("a --once run of '{}' is running (pid {})", scene.name(), run.pid());
    assert!(second.stderr.contains(&said) && !second.stderr.contains("--name"), "{second}");
    fs::write(scene.path("ready"), "").unwrap();
    assert_eq!(run.ends().code(), Some(0), "{}", scene.story());
}

#[test]
fn under_another_name_it_is_another_one() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let _first = scene.watchdog().spawn();
    scene.wait_for("INFO watching ");
    let second = scene.watchdog().with("--name", "second").spawn();
    scene.wait_until("its own log and lock", || {
        (scene.read("log/second.log").contains(&format!("(pid {pid}, up "))
            && scene.path("state/second.lock").exists())
        .then_some(())
    });
    second.terminate();
}

#[test]
fn a_lock_goes_with_its_holder_and_not_with_what_it_started() {
    let scene = Scene::new();
    for round in 1..4 {
        let watchdog = scene.watchdog().starting("exec $ACTOR sleep").spawn();
        scene.wait_until("a watch more", || (scene.count("INFO watching ") == round).then_some(()));
        scene.wait_running();
        watchdog.send(SIGKILL);
        assert_eq!(watchdog.ends().signal(), Some(SIGKILL));
    }
    assert_eq!(scene.starts(), 1);
}

/// Whoever tidies up deletes the lock; the next watchdog must not run beside the first for ever, and a
/// third one must not take the deleted file for a lock.
#[test]
fn a_deleted_lock_file_is_no_lock() {
    let scene = Scene::new();
    let _first = scene.watchdog().spawn();
    scene.wait_for("succeeded");
    let lock = scene.path(&format!("state/{}.lock", scene.name()));
    fs::remove_file(&lock).unwrap();
    let second = scene.watchdog().spawn();
    scene.wait_until("there is a lock again", || lock.exists().then_some(()));
    scene.wait_until("it is the second's", || (scene.count("INFO watching ") == 2).then_some(()));
    assert_eq!(scene.watchdog().with("--max-fail-count", "7").run().code(), Some(4));
    second.terminate();
}

#[test]
fn a_state_folder_that_cannot_be_made_is_no_reason_not_to_watch() {
    let scene = Scene::new();
    fs::write(scene.path("state"), "in the way").unwrap();
    let watchdog = scene.watchdog().spawn();
    scene.assert_watched();
    let warnings = scene.log().into_iter().filter(|record| record.text.contains("state")).count();
    assert!(warnings >= 1, "{:#?}", scene.log());
    watchdog.terminate();
}

/// Made from the process name, which may hold anything.
#[test]
fn an_instance_name_never_leaves_its_folder() {
    for name in
        ["../../../outside", "a/b", "..", "/etc/passwd", "^x[0-9]$", "a b", "ü€", "-x", &"long".repeat(80)]
    {
        let scene = Scene::new();
        let ended = scene
            .watchdog()
            .without("--process-name")
            .flag(&format!("--process-name=zz{name}zz"))
            .with("--max-fail-count", "1")
            .with("--restart-wait-interval", "0.1")
            .starting("false")
            .flag("--once")
            .run();
        assert_eq!(ended.code(), Some(1), "{name}: {ended}");
        let mut names: Vec<_> =
            fs::read_dir(scene.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let expected = ["0.stderr", "0.stdout", "log", "starts", "state", scene.name()];
        assert_eq!(names, expected, "{name}");
        let files = |folder: &str| {
            fs::read_dir(scene.path(folder))
                .unwrap()
                .map(|entry| entry.unwrap().file_type().unwrap().is_file())
                .collect::<Vec<_>>()
        };
        assert!(
            !files("log").is_empty() && files("log").iter().chain(&files("state")).all(|is_file| *is_file),
            "{name}"
        );
    }
}

/// A run from cron beside it looks, and leaves the rest to it (rule 27).
#[test]
fn a_single_check_beside_it_only_looks() {
    let scene = Scene::new();
    let _first = scene.watchdog().starting("sleep 250").spawn();
    scene.wait_for("not running; starting it");
    let single = || {
        let ended = scene.watchdog().starting("sleep 250").flag("--once").run();
        assert_eq!((&*ended.stdout, &*ended.stderr, scene.starts()), ("", "", 1), "{ended}");
        ended.code()
    };
    assert_eq!(single(), Some(5));
    scene.start_actor(&["sleep"]);
    // It is for the watchdog at work to see it.
    scene.wait_until("it is seen", || (single() == Some(0)).then_some(()));
}

#[test]
fn a_second_one_as_a_service_is_a_mistake() {
    let scene = Scene::new();
    let first = scene.watchdog().spawn();
    scene.wait_for("succeeded");
    let mut command = scene.watchdog().command();
    command.env("INVOCATION_ID", "0123456789abcdef0123456789abcdef");
    let ended = scene.spawn(command, Captured::All).ends();
    assert_eq!(ended.code(), Some(4), "{ended}");
    assert!(ended.stderr.contains(&first.pid().to_string()), "{ended}");
}
