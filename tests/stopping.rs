//! How the process is stopped: the stages, and what is ended with it.

use nix::sys::signal::Signal;

use crate::harness::{Captured, Invocation, Scene, WATCHDOG};
use crate::machine::{is_there, processes, program, send, skip, unshare};

/// A watchdog whose process was healthy, and is no longer when the file `ok` is gone.
fn unhealthy<'a>(scene: &'a Scene, part: &str) -> Invocation<'a> {
    std::fs::write(scene.path("ok"), "").unwrap();
    scene
        .watchdog()
        .starting(&format!("$ACTOR {part} &"))
        .with("--probe", "test -e $HERE/ok")
        .with("--probe-interval", "0.05")
        .with("--probe-start-period", "0")
        .with("--probe-timeout", "20")
        .with("--probe-failures", "1")
        .with("--stop-timeout", "0.5")
        .with("--max-fail-count", "1")
}

/// Waits until it is healthy, and makes it unhealthy for once.
fn fail_once(scene: &Scene) -> i32 {
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    std::fs::remove_file(scene.path("ok")).unwrap();
    scene.wait_for("restarting it");
    first
}

#[test]
fn what_does_not_heed_the_signal_is_killed() {
    let scene = Scene::new();
    let _watchdog = unhealthy(&scene, "ignore-term").spawn();
    let first = fail_once(&scene);
    scene.wait_for(&format!(r"WARN \S+ \(pid {first}\) still runs after 500ms \(stop_timeout\); killing it"));
    scene.wait_replaced(first);
}

#[test]
fn the_signal_is_the_one_that_is_given_and_time_is_given_for_it() {
    let scene = Scene::new();
    let part = format!("graceful 300 {}", scene.path("note").display());
    let _watchdog =
        unhealthy(&scene, &part).with("--stop-signal", "INT").with("--stop-timeout", "20").spawn();
    let first = fail_once(&scene);
    scene.wait_for("sent SIGINT");
    scene.wait_replaced(first);
    assert!(scene.path("note").exists());
    assert_eq!(scene.count("killing it"), 0);
}

#[test]
fn a_stop_command_comes_first_and_the_signal_if_it_does_nothing() {
    for (command, said) in [
        ("kill $WATCHDOG_PROCESS_PID", None),
        ("true", None),
        (
            "echo no >&2; exit 3",
            Some(r"WARN the stop command exited with status 3 after \S+; it wrote: 'no'"),
        ),
        (
            "sleep 300; true",
            Some(r"WARN the stop command still ran after 500ms \(stop_timeout\) and was killed"),
        ),
    ] {
        let scene = Scene::new();
        let noted =
            format!("echo $WATCHDOG_NAME $WATCHDOG_REASON $WATCHDOG_PROCESS_PID > $HERE/noted; {command}");
        let _watchdog = unhealthy(&scene, "sleep").with("--stop-command", noted).spawn();
        let first = fail_once(&scene);
        scene.wait_replaced(first);
        assert_eq!(scene.read("noted"), format!("{} unhealthy {first}\n", scene.name()), "{}", scene.story());
        scene.wait_for("INFO stopped ");
        assert_eq!(scene.count("sent SIGTERM"), usize::from(!command.starts_with("kill")), "{command}");
        if let Some(said) = said {
            scene.wait_for(said);
        }
    }
}

/// Which might stop the next process, too.
#[test]
fn nothing_is_started_while_the_stop_command_is_at_work() {
    let scene = Scene::new();
    let command = "kill $WATCHDOG_PROCESS_PID; until [ -e $HERE/go ]; do sleep 0.05; done";
    let watchdog = scene.watchdog().with("--stop-command", command).with("--stop-timeout", "20").spawn();
    scene.wait_for("attempt 1 succeeded");
    let first = scene.wait_running();
    let restart = scene.begin_to_say(&[], &["restart", scene.name()]);
    scene.wait_gone(first);
    watchdog.wait_checks(30);
    let starts = scene.starts();
    std::fs::write(scene.path("go"), "").unwrap();
    scene.wait_replaced(first);
    assert_eq!((starts, restart.ends().code()), (1, Some(0)), "{}", scene.story());
}

#[test]
fn what_belongs_to_it_is_ended_with_it_when_it_is_killed() {
    let scene = Scene::new();
    std::fs::write(scene.path("ok"), "").unwrap();
    let _watchdog = unhealthy(&scene, "forking 2").spawn();
    let all = scene.wait_until("a master and two workers", || {
        let all = scene.all();
        (all.len() == 3).then_some(all)
    });
    scene.wait_for("INFO healthy: ");
    std::fs::remove_file(scene.path("ok")).unwrap();
    scene.wait_for("INFO ending 2 processes that it left running");
    let new = scene.wait_until("three new ones", || {
        let new = scene.all();
        (new.len() == 3 && new.iter().all(|pid| !all.contains(pid))).then_some(new)
    });
    assert_eq!(new.len(), 3);
}

#[test]
fn all_that_descends_from_it_is_ended_where_that_is_asked_for() {
    for (mode, is_left) in [("process", true), ("mixed", false)] {
        let scene = Scene::new();
        // Its child has called exec, as a session of sshd's has.
        let part = format!("neglect {} sleep", scene.link_actor("session").display());
        let _watchdog = unhealthy(&scene, &part).with("--kill-mode", mode).spawn();
        let session = scene.wait_until("a child", || child_of(scene.all().first().copied()?));
        fail_once(&scene);
        scene.wait_for("INFO stopped ");
        if is_left {
            assert!(is_there(session), "{mode}");
            send(session, Signal::SIGKILL);
        } else {
            scene.wait_gone(session);
        }
    }
}

fn child_of(parent: i32) -> Option<i32> {
    let is_child = |process: &procfs::process::Process| process.stat().is_ok_and(|stat| stat.ppid == parent);
    processes().find(is_child).map(|process| process.pid)
}

#[test]
fn a_stop_that_was_cut_off_is_finished_by_the_next_watch() {
    let scene = Scene::new();
    let watchdog = || unhealthy(&scene, "ignore-term").with("--stop-timeout", "3");
    let cut_off = watchdog().spawn();
    let first = fail_once(&scene);
    scene.wait_for("sent SIGTERM");
    scene.wait_until("it is written down", || {
        (scene.state()["memory"]["stopping"]["stage"] == "signal").then_some(())
    });
    send(cut_off.pid(), Signal::SIGKILL);
    cut_off.ends();
    // The next one is not told by its probe.
    let _next = watchdog().spawn();
    scene.wait_for("killing it");
    scene.wait_replaced(first);
    assert_eq!(scene.count(&format!(r"pid {first}\) is unhealthy")), 1);
}

#[test]
fn a_process_that_ends_between_two_watches_as_it_was_told_to_has_not_died() {
    let scene = Scene::new();
    let watchdog = || unhealthy(&scene, "ignore-term").with("--stop-timeout", "20");
    let cut_off = watchdog().spawn();
    let first = fail_once(&scene);
    scene.wait_for("sent SIGTERM");
    scene.wait_until("it is written down", || {
        (scene.state()["memory"]["stopping"]["stage"] == "signal").then_some(())
    });
    send(cut_off.pid(), Signal::SIGKILL);
    cut_off.ends();
    send(first, Signal::SIGKILL);
    scene.wait_gone(first);
    let _next = watchdog().spawn();
    scene.wait_for(&format!(r"INFO stopped pid {first}, it is unhealthy"));
    scene.wait_replaced(first);
    assert_eq!(scene.count("ended since the last check"), 0);
}

#[test]
fn a_pause_ends_a_stop_before_its_next_signal() {
    let scene = Scene::new();
    let watchdog = unhealthy(&scene, "ignore-term").with("--stop-timeout", "2").spawn();
    let first = fail_once(&scene);
    scene.wait_for("sent SIGTERM");
    scene.say(&["pause", scene.name()]);
    scene.wait_for(&format!(r"INFO \S+ \(pid {first}\) is left running: it may not be stopped now"));
    watchdog.wait_checks(5);
    assert_eq!(scene.all(), [first]);
}

#[test]
fn a_restart_is_no_death_and_no_failure() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().spawn();
    let first = scene.wait_running();
    scene.wait_for("succeeded");
    let ended = scene.say(&["restart", scene.name()]);
    let second = scene.wait_running();
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert_eq!(ended.stdout, format!("{0}: {0} (pid {second}) is running\n", scene.name()), "{ended}");
    assert_ne!(first, second);
    let state = scene.state();
    assert_eq!(
        (state["memory"]["failures"].as_u64(), state["last_exit"].is_null()),
        (Some(0), true),
        "{state}"
    );
    assert_eq!(scene.count("(died|killed|attempt 2)"), 0, "{}", scene.story());
    // Stopped, it stays so until somebody starts it.
    assert_eq!(scene.say(&["stop", scene.name()]).code(), Some(0));
    watchdog.wait_checks(5);
    assert_eq!((scene.all(), scene.starts()), (vec![], 2));
    assert_eq!(scene.say(&["status", scene.name()]).code(), Some(3));
    assert_eq!(scene.say(&["start", scene.name()]).code(), Some(0));
    assert_ne!(scene.wait_running(), second);
}

#[test]
fn a_foreground_start_command_is_restarted_too() {
    let scene = Scene::new();
    for start in ["exec $ACTOR sleep", "$ACTOR sleep; exit 3"] {
        let watchdog = scene.watchdog().starting(start).spawn();
        let first = scene.wait_running();
        scene.wait_for("succeeded");
        let ended = scene.say(&["restart", scene.name()]);
        assert_eq!(ended.code(), Some(0), "{ended}\n{}", scene.story());
        let second = scene.wait_replaced(first);
        // One that was adopted, too.
        send(watchdog.pid(), Signal::SIGKILL);
        watchdog.ends();
        let next = scene.watchdog().starting(start).spawn();
        scene.wait_until("the next one watches", || {
            let is_it = || scene.state()["watchdog"]["pid"] == next.pid();
            is_it().then_some(())
        });
        let ended = scene.say(&["restart", scene.name()]);
        assert_eq!(ended.code(), Some(0), "{ended}\n{}", scene.story());
        let third = scene.wait_replaced(second);
        next.terminate();
        send(third, Signal::SIGKILL);
        scene.wait_gone(third);
    }
}

#[test]
fn the_newer_of_two_requests_counts() {
    let scene = Scene::new();
    let part = format!("graceful 1000 {}", scene.path("note").display());
    let _watchdog = scene.watchdog().starting(&format!("$ACTOR {part} &")).spawn();
    let first = scene.wait_running();
    scene.wait_for("succeeded");
    let restart = scene.spawn(order(&scene, "restart"), Captured::All);
    scene.wait_for("sent SIGTERM");
    let stop = scene.say(&["stop", scene.name()]);
    assert_eq!(stop.code(), Some(0), "{stop}");
    let restart = restart.ends();
    assert_eq!(restart.code(), Some(1), "{restart}");
    assert!(restart.stderr.contains("another request came after this one"), "{restart}");
    scene.wait_gone(first);
    assert_eq!(scene.starts(), 1);
}

fn order(scene: &Scene, word: &str) -> std::process::Command {
    let mut command = program(WATCHDOG);
    command.args([word, scene.name(), "--state-dir"]).arg(scene.path("state"));
    command
}

#[test]
fn a_restart_of_what_was_given_up_forgets_that() {
    let scene = Scene::new();
    let starts = "test -e $HERE/mended && $ACTOR sleep &";
    let _watchdog =
        scene.watchdog().starting(starts).with("--max-fail-count", "1").with("--retry-after", "1h").spawn();
    scene.wait_for("ERROR gave up");
    let ended = scene.say(&["start", scene.name()]);
    assert_eq!(ended.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains("it did not start"), "{ended}");
    std::fs::write(scene.path("mended"), "").unwrap();
    let ended = scene.say(&["restart", scene.name()]);
    assert_eq!(ended.code(), Some(0), "{ended}");
    scene.wait_running();
}

/// As cron's and sshd's: what is stopped has started this watchdog.
#[test]
fn a_watchdog_never_ends_itself_with_what_started_it() {
    let scene = Scene::new();
    let command = scene.watchdog().with("--kill-mode", "mixed").command();
    let line: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_str().unwrap().to_owned())
        .collect();
    let part: Vec<_> = std::iter::once("neglect").chain(line.iter().map(String::as_str)).collect();
    let first = scene.start_actor(&part);
    scene.wait_for(&format!(r"following \S+ \(pid {first}, "));
    let ended = scene.say(&["restart", scene.name()]);
    assert_eq!(ended.code(), Some(0), "{ended}\n{}", scene.story());
    scene.wait_replaced(first);
    scene.assert_watched();
    send(scene.state()["watchdog"]["pid"].as_i64().unwrap().try_into().unwrap(), Signal::SIGTERM);
    scene.wait_for("stopped by SIGTERM");
}

/// A watchdog whose process waits in the kernel from SIGUSR2 on, and has two workers; and what ends that wait.
fn unkillable(scene: &Scene) -> Option<Invocation<'_>> {
    let way = unshare(scene, &["--mount"]);
    let is_served = std::fs::File::options().read(true).write(true).open("/dev/fuse").is_ok();
    let Some(way) = way.filter(|_| is_served) else {
        skip("/dev/fuse cannot be opened by this user, or no namespace be made");
        return None;
    };
    scene.link_actor("server");
    let serve = "$HERE/server serve $HERE/file & echo $! > $HERE/server.pid; exec \"$@\"";
    let way = way.iter().map(String::as_str).chain(["sh", "-c", serve, "sh"]).collect::<Vec<_>>();
    Some(unhealthy(scene, "prefork $HERE/port 2 told stick $HERE/file").through(&way))
}

/// Waits until it is healthy, and lets it wait in the kernel.
fn let_it_stick(scene: &Scene) -> Vec<i32> {
    let all = scene.wait_until("a master and two workers", || Some(scene.all()).filter(|all| all.len() == 3));
    scene.wait_for("INFO healthy: ");
    scene.send_when_caught(all[0], Signal::SIGUSR2);
    scene.wait_until("it waits in the kernel", || scene.path("file.waits").exists().then_some(()));
    std::fs::remove_file(scene.path("ok")).unwrap();
    all
}

/// The file server is gone, for which it waits.
fn end_its_wait(scene: &Scene) {
    send(scene.read("server.pid").trim().parse().unwrap(), Signal::SIGKILL);
}

fn wait_all_replaced(scene: &Scene, all: &[i32]) {
    scene.wait_until("three others", || {
        let new = scene.all();
        (new.len() == 3 && new.iter().all(|pid| !all.contains(pid))).then_some(())
    });
}

#[test]
fn beside_a_process_that_cannot_be_killed_nothing_is_started() {
    let scene = Scene::new();
    let Some(watchdog) = unkillable(&scene) else { return };
    let watchdog = watchdog.spawn();
    let all = let_it_stick(&scene);
    scene.wait_for(&format!(
        r"ERROR \S+ \(pid {}\) cannot be stopped: it is still there \(1 thread: 1 D.*\); nothing is started",
        all[0]
    ));
    let ended = scene.say(&["restart", scene.name()]);
    assert_eq!(ended.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains("it was asked to end, and is still there; 1 thread: 1 D"), "{ended}");
    watchdog.wait_checks(10);
    assert_eq!((scene.starts(), scene.count("cannot be stopped")), (1, 1), "{}", scene.story());
    assert_eq!(scene.state()["memory"]["failures"], 0);
    end_its_wait(&scene);
    scene.wait_for("INFO ending 2 processes that it left running");
    wait_all_replaced(&scene, &all);
}

#[test]
fn what_a_killed_process_leaves_is_ended_by_the_next_watch_too() {
    let scene = Scene::new();
    let Some(watchdog) = unkillable(&scene) else { return };
    let cut_off = watchdog.spawn();
    let all = let_it_stick(&scene);
    scene.wait_for("killing it");
    scene.wait_until("it is written down", || {
        let state = scene.state();
        (state["memory"]["stopping"]["stage"] == "kill" && state["noted"].as_array()?.len() == 2)
            .then_some(())
    });
    send(cut_off.pid(), Signal::SIGKILL);
    cut_off.ends();
    end_its_wait(&scene);
    scene.wait_gone(all[0]);
    // Its workers would keep the port.
    assert_eq!(scene.all().len(), 2, "{}", scene.story());
    let _next = unhealthy(&scene, "prefork $HERE/port 2 sleep").spawn();
    scene.wait_for("INFO ending 2 processes that it left running");
    wait_all_replaced(&scene, &all);
    scene.wait_until("that is forgotten", || scene.state()["noted"].as_array()?.is_empty().then_some(()));
}

/// As systemd does with `Restart=always`.
#[test]
fn what_somebody_starts_again_is_not_stopped_twice() {
    let scene = Scene::new();
    let mut shell = program("sh");
    shell.args(["-c", "while :; do $ACTOR sleep; done"]);
    let _somebody = scene.spawn(shell, Captured::All);
    scene.wait_running();
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("following ");
    let ended = scene.say(&["stop", scene.name()]);
    assert_eq!(ended.code(), Some(1), "{ended}\n{}", scene.story());
    assert!(ended.stderr.contains("it ended, and somebody else has started it again"), "{ended}");
    watchdog.wait_checks(10);
    assert_eq!((scene.count("sent SIGTERM"), scene.starts(), scene.all().len()), (1, 0, 1));
}

#[test]
fn a_pause_ends_a_restart_before_its_next_signal_and_a_restart_ends_a_pause() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().starting("$ACTOR ignore-term &").with("--stop-timeout", "2").spawn();
    let first = scene.wait_running();
    scene.wait_for("succeeded");
    let restart = scene.spawn(order(&scene, "restart"), Captured::All);
    scene.wait_for("sent SIGTERM");
    scene.say(&["pause", scene.name()]);
    let ended = restart.ends();
    assert_eq!(ended.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains("nothing was done, since it is held; it is paused"), "{ended}");
    watchdog.wait_checks(5);
    assert_eq!(scene.all(), [first]);
    let ended = scene.say(&["restart", scene.name()]);
    assert_eq!(ended.code(), Some(0), "{ended}");
    scene.wait_replaced(first);
}

#[test]
fn a_request_is_void_when_nobody_waits_for_it_any_more() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().spawn();
    let first = scene.wait_running();
    scene.wait_for("succeeded");
    send(watchdog.pid(), Signal::SIGSTOP);
    let restart = scene.spawn(order(&scene, "restart"), Captured::All);
    scene.wait_until("it has asked", || scene.kept("request").exists().then_some(()));
    send(restart.pid(), Signal::SIGKILL);
    restart.ends();
    send(watchdog.pid(), Signal::SIGCONT);
    watchdog.wait_checks(10);
    assert_eq!((scene.all(), scene.count("request")), (vec![first], 0), "{}", scene.story());
}
