//! Start commands that fail, in whatever way they fail.

use chrono::TimeDelta;
use nix::sys::signal::Signal;

use crate::harness::Scene;
use crate::machine::{is_there, send};

#[test]
fn a_status_and_the_last_lines_are_logged_as_soon_as_it_ends() {
    let scene = Scene::new();
    let ended = scene
        .watchdog()
        .with("--restart-wait-interval", "2s")
        .with("--max-fail-count", "1")
        .starting("echo first; echo 'port 80 is taken' >&2; exit 7")
        .run();
    assert_eq!(ended.code(), Some(1), "{ended}");
    let said = scene.wait_for("^WARN .*exited with status 7 .*port 80 is taken");
    let judged = scene.wait_for("failed|gave up");
    assert!(judged.time - said.time > TimeDelta::milliseconds(500), "{:#?}", scene.log());
    assert_eq!(scene.read(&format!("log/{}.output.log", scene.name())), "first\nport 80 is taken\n");
}

/// What others start meanwhile is not its doing: here, a child of who has started the watchdog.
#[test]
fn strangers_were_not_left_running_by_it() {
    let scene = Scene::new();
    let stranger = scene.link_actor("stranger");
    let watchdog = scene.watchdog().with("--restart-wait-interval", "2s").with("--max-fail-count", "1");
    let watchdog = watchdog.starting("true").spawn();
    scene.wait_for("not running; starting it");
    let stranger = scene.start_child(&stranger, &["sleep"]);
    assert_eq!(watchdog.ends().code(), Some(1));
    assert!(is_there(stranger));
    assert_eq!(scene.count(&format!("pid {stranger}")), 0, "{:#?}", scene.log());
}

#[test]
fn a_command_that_cannot_be_run() {
    let scene = Scene::new();
    let ended = scene.watchdog().with("--max-fail-count", "1").starting("/no/such/program").run();
    assert_eq!(ended.code(), Some(1), "{ended}");
    scene.wait_for("^WARN .*exited with status 127 .*/no/such/program: not found|No such file");
}

#[test]
fn a_command_that_dies_of_a_signal() {
    let scene = Scene::new();
    let ended = scene.watchdog().with("--max-fail-count", "1").starting("kill -ABRT $$").run();
    assert_eq!(ended.code(), Some(1), "{ended}");
    scene.wait_for("^WARN .*start command .*SIGABRT");
}

#[test]
fn attempts_are_apart_and_counted() {
    let scene = Scene::new();
    let ended = scene.watchdog().starting("false").run();
    assert_eq!((ended.code(), scene.starts()), (Some(1), 3), "{ended}");
    let log = scene.log();
    let attempts: Vec<_> =
        log.iter().filter(|record| record.text.contains("not running; starting it")).collect();
    for (attempt, number) in attempts.iter().zip(1..) {
        assert!(attempt.text.contains(&format!("(attempt {number} of 3)")), "{log:#?}");
    }
    for pair in attempts.windows(2) {
        // The records are written a moment after the decisions.
        assert!(pair[1].time - pair[0].time > TimeDelta::milliseconds(450), "{log:#?}");
    }
    assert_eq!((attempts.len(), scene.count("^WARN attempt [12] of 3 failed")), (3, 2), "{log:#?}");
    let [.., why, what_to_do] = &log[..] else { panic!("{log:#?}") };
    assert!(why.text.starts_with("ERROR gave up after 3 failures in a row. attempts 1 to 3: "), "{log:#?}");
    assert!(what_to_do.text.starts_with("ERROR NOT watching any more; fix the cause, then "), "{log:#?}");
}

/// What a start command wrote is quoted in the record of its end, and once more where the watch gives up.
#[test]
fn an_error_is_quoted_once_per_attempt() {
    let scene = Scene::new();
    let broken = scene.watchdog().with("--max-fail-count", "2").with("--restart-wait-interval", "0.1");
    let broken = broken.starting("echo broken; exit 3");
    assert_eq!(broken.run().code(), Some(1));
    assert_eq!(scene.count("^WARN the start command exited .*; it wrote: 'broken'"), 2, "{}", scene.story());
    assert_eq!(scene.count("it wrote: 'broken'"), 3, "{}", scene.story());
    assert_eq!(scene.count("^ERROR gave up .*it wrote: 'broken'"), 1, "{}", scene.story());
}

/// A plain start is a new beginning under a service manager, and nothing is to be said to the watchdog first.
#[test]
fn what_to_do_after_a_give_up_fits_the_case() {
    for (manager, resumes) in
        [(&["env", "-u", "INVOCATION_ID"][..], true), (&["env", "INVOCATION_ID=x"], false)]
    {
        let scene = Scene::new();
        let broken = scene.watchdog().with("--max-fail-count", "1").with("--restart-wait-interval", "0.1");
        assert_eq!(broken.starting("false").through(manager).run().code(), Some(1));
        let what_to_do = scene.log().pop().unwrap().text;
        let resume = format!("then run: watchdog resume {} --state-dir ", scene.name());
        assert_eq!(what_to_do.contains(&resume), resumes, "{what_to_do}");
        assert_eq!(what_to_do.contains("then start this watchdog again"), !resumes, "{what_to_do}");
    }
}

#[test]
fn success_without_the_process_questions_the_name() {
    let scene = Scene::new();
    let ended = scene.watchdog().with("--max-fail-count", "1").starting("true").run();
    assert_eq!(ended.code(), Some(1), "{ended}");
    scene.wait_for(&format!(
        "the start command succeeded, but nothing that matches '{}' appeared",
        scene.name()
    ));
}

#[test]
fn something_of_another_name_is_named() {
    for start in ["$HERE/java sleep &", "$HERE/java daemonise 300 sleep", "exec $HERE/java sleep"] {
        let scene = Scene::new();
        scene.link_actor("java");
        let ended = scene
            .watchdog()
            .with("--max-fail-count", "1")
            .with("--start-timeout", "2s")
            .starting(&format!("{start} # it is not called {}", scene.name()))
            .run();
        assert_eq!(ended.code(), Some(1), "{start}: {ended}");
        let record = scene.wait_for(r"left running: .*java' \(pid [0-9]+, .*; is the name right\?");
        assert!(
            record.text.contains(&format!("nothing that matches '{}'", scene.name())),
            "{start}: {record:?}"
        );
    }
}

#[test]
fn a_command_that_hangs_is_ended() {
    let scene = Scene::new();
    let ended = scene
        .watchdog()
        .with("--start-timeout", "1s")
        .with("--max-fail-count", "1")
        .starting("echo $$ > $HERE/shell; sleep 250 & echo $! >> $HERE/shell; wait")
        .run();
    assert_eq!((ended.code(), scene.starts()), (Some(1), 1), "{ended}");
    for pid in scene.read("shell").lines() {
        assert!(!is_there(pid.parse().unwrap()), "{pid}: {}", scene.story());
    }
    let (start, end) = (
        scene.wait_for("not running; starting it"),
        scene.wait_for("^WARN the start command still runs after"),
    );
    assert!(end.time - start.time > TimeDelta::milliseconds(900), "it was waited for: {:#?}", scene.log());
    // Nothing of its group is left to be given five seconds.
    scene.wait_for(r"the start command was ended by SIGTERM after (?:9\d\dms|[1-4](?:\.\d)?s)");
    // That took longer than the restart wait interval, and yet it is one attempt.
    assert_eq!(scene.count("^WARN attempt 1 of 1 failed"), 1, "{:#?}", scene.log());
}

/// SIGTERM, and what does not heed it has five seconds: the whole of the group.
#[test]
fn a_command_that_ignores_sigterm_is_killed() {
    let scene = Scene::new();
    let ended = scene
        .watchdog()
        .with("--start-timeout", "0.6")
        .with("--max-fail-count", "1")
        .starting("trap '' TERM; sleep 250 & echo $! $$ > $HERE/group; wait; sleep 250")
        .run();
    assert_eq!(ended.code(), Some(1), "{ended}");
    scene.wait_until("the whole group is gone", || {
        let group = scene.read("group");
        (!group.is_empty() && group.split_whitespace().all(|pid| !is_there(pid.parse().unwrap())))
            .then_some(())
    });
    let (first, last) = (scene.log()[0].time, scene.log().last().unwrap().time);
    assert!(last - first > TimeDelta::milliseconds(5500), "{:#?}", scene.log());
}

/// The command ends at SIGTERM, and what it leaves in its group does not.
#[test]
fn what_an_ended_command_leaves_in_its_group_is_killed_too() {
    let scene = Scene::new();
    let ended = scene
        .watchdog()
        .with("--start-timeout", "0.6")
        .with("--max-fail-count", "1")
        .starting("(trap '' TERM; exec sleep 250) & echo $! > $HERE/rest; sleep 250; true")
        .run();
    assert_eq!(ended.code(), Some(1), "{ended}");
    let rest = scene.read("rest").trim().parse().unwrap();
    scene.wait_gone(rest);
}

/// A command that still runs is waited for, and a process that it brings about in the end counts.
#[test]
fn a_slow_command_is_waited_for() {
    let scene = Scene::new();
    let watchdog = scene
        .watchdog()
        .with("--restart-wait-interval", "0.2")
        .starting("until [ -e $HERE/ready ]; do sleep 0.05; done; $ACTOR sleep &")
        .spawn();
    scene.wait_for("not running; starting it");
    watchdog.wait_checks(20);
    std::fs::write(scene.path("ready"), "").unwrap();
    scene.wait_for("attempt 1 succeeded");
    assert_eq!((scene.starts(), scene.count("failed")), (1, 0), "{}", scene.story());
}

/// Whichever watchdog started it.
#[test]
fn there_are_never_two_start_commands_at_once() {
    let scene = Scene::new();
    let invocation = || {
        scene
            .watchdog()
            .with("--restart-wait-interval", "0.2")
            .starting("[ -e $HERE/shell ] || { echo $$ > $HERE/shell; sleep 250; }; $ACTOR sleep &")
    };
    let first = invocation().spawn();
    scene.wait_until("the start command is at work", || scene.read("shell").ends_with('\n').then_some(()));
    first.terminate();
    let shell = scene.read("shell").trim().parse().unwrap();
    assert!(is_there(shell), "it is left alone");

    let second = invocation().spawn();
    scene.wait_until("the second has begun", || (scene.count("INFO watching ") == 2).then_some(()));
    second.wait_checks(20);
    assert_eq!(scene.starts(), 1, "{}", scene.story());
    send(shell, Signal::SIGKILL);
    scene.wait_running();
    assert_eq!(scene.starts(), 2, "{}", scene.story());
}

#[test]
fn nothing_that_is_quoted_forges_a_record() {
    let scene = Scene::new();
    let ended = scene
        .watchdog()
        .with("--max-fail-count", "1")
        .starting(
            r"printf '\033[31mred\r\0332026-11-21T09:15:30.123+01:00 ERROR x: forged\n\v\302\205\n'; exit 3",
        )
        .run();
    assert_eq!(ended.code(), Some(1), "{ended}");
    // Each line is parsed, and must be of this instance and printable.
    scene.wait_for("forged");
    for line in ended.stderr.lines() {
        crate::harness::Record::parse(line, scene.name());
    }
}

#[test]
fn a_start_command_of_several_lines_is_one_record() {
    let scene = Scene::new();
    let _watchdog = scene.watchdog().starting("true\n# of two lines\n$ACTOR sleep &").spawn();
    scene.wait_for("starting it .*of two lines");
    scene.wait_for("attempt 1 succeeded");
    scene.log();
}
