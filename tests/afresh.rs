//! What is begun by hand is not held to what was counted before (rule 29).

use std::process::Command;

use nix::sys::signal::Signal::{SIGINT, SIGKILL};

use crate::harness::{Captured, Invocation, Scene, Watchdog};
use crate::machine::send;
use crate::terminal::Terminal;

/// Who begins a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Hand,
    Cron,
    Systemd,
}

impl By {
    fn begin<'a>(self, scene: &'a Scene, line: &Invocation) -> (Option<Terminal>, Watchdog<'a>) {
        let mut command: Command = line.clone().command();
        command.env_remove("INVOCATION_ID");
        match self {
            By::Hand => {
                let mut terminal = Terminal::new();
                let watchdog = terminal.start(scene, command);
                (Some(terminal), watchdog)
            }
            By::Cron => (None, scene.spawn(command, Captured::All)),
            By::Systemd => {
                command.env("INVOCATION_ID", "0123456789abcdef0123456789abcdef");
                (None, scene.spawn(command, Captured::All))
            }
        }
    }
}

/// A watch that leaves a failure and an attempt that is not judged yet behind.
fn cut_short(scene: &Scene, line: &Invocation, by: By) {
    let (_terminal, watchdog) = by.begin(scene, line);
    scene.wait_until("the second attempt is made", || (scene.starts() == 2).then_some(()));
    watchdog.terminate();
    assert_eq!((scene.count("attempt 1 of 2 failed"), scene.count("gave up")), (1, 0), "{:#?}", scene.log());
}

/// A watch that leaves a process behind which it has just started, and which then dies.
fn outlived(scene: &Scene, line: &Invocation, by: By) {
    let (_terminal, watchdog) = by.begin(scene, line);
    scene.wait_for("attempt 1 succeeded");
    watchdog.terminate();
    let pid = scene.wait_running();
    send(pid, SIGKILL);
    scene.wait_gone(pid);
}

#[test]
fn by_hand_neither_failures_count_nor_the_attempt_that_was_not_judged() {
    let scene = Scene::new();
    let line = scene
        .watchdog()
        .with("--max-fail-count", "2")
        .with("--restart-wait-interval", "2")
        .starting("exit 7");
    cut_short(&scene, &line, By::Cron);
    let (_terminal, watchdog) = By::Hand.begin(&scene, &line);
    assert_eq!(watchdog.ends().code(), Some(1));
    assert_eq!((scene.starts(), scene.count("gave up after 2")), (4, 1), "{:#?}", scene.log());
    assert_eq!(scene.count(r"\(attempt 1 of 2\)"), 2, "{:#?}", scene.log());
}

/// One that began a minute ago has not given up at once because of what another had to do with.
#[test]
fn no_watch_gives_up_before_it_has_started_anything() {
    for (before, by) in [
        (By::Cron, By::Hand),
        (By::Systemd, By::Hand),
        (By::Hand, By::Cron),
        (By::Hand, By::Systemd),
        (By::Cron, By::Systemd),
        (By::Systemd, By::Cron),
    ] {
        let scene = Scene::new();
        let line = scene.watchdog().with("--max-fail-count", "1").with("--restart-wait-interval", "0.2");
        outlived(&scene, &line, before);
        let (_terminal, watchdog) = by.begin(&scene, &line);
        scene.wait_until("it is judged, or given up", || {
            (scene.count("attempt 1 succeeded") == 2 || scene.count("gave up") > 0).then_some(())
        });
        assert_eq!((scene.starts(), scene.count("gave up")), (2, 0), "{before:?} {by:?}: {:#?}", scene.log());
        watchdog.terminate();
    }
}

/// Within a series, it has: else a service that dies after each start were started for ever.
#[test]
fn a_series_goes_on_counting() {
    for by in [By::Cron, By::Systemd] {
        let scene = Scene::new();
        let line = scene.watchdog().with("--max-fail-count", "1").with("--restart-wait-interval", "0.2");
        outlived(&scene, &line, by);
        let (_, watchdog) = by.begin(&scene, &line);
        assert_eq!(watchdog.ends().code(), Some(1), "{by:?}: {}", scene.story());
        assert_eq!((scene.starts(), scene.count("gave up after 1")), (1, 1), "{by:?}: {:#?}", scene.log());
    }
}

/// Ctrl-C, kill, and run again: each time it starts something, and names a start command that it leaves running.
#[test]
fn however_often_it_is_run_by_hand_it_starts_something() {
    for is_judged in [false, true] {
        let scene = Scene::new();
        let line = scene.watchdog().with("--max-fail-count", "1").with("--restart-wait-interval", "1");
        let line = line.starting("$ACTOR sleep; true");
        for round in 1..=5 {
            let (terminal, watchdog) = By::Hand.begin(&scene, &line);
            let mut terminal = terminal.unwrap();
            scene.wait_until("it starts something", || {
                assert_eq!(scene.count("gave up"), 0, "{:#?}", scene.log());
                (scene.starts() == round).then_some(())
            });
            let pid = scene.wait_running();
            if is_judged {
                scene.wait_until("it is judged", || {
                    (scene.count("attempt 1 succeeded") == round).then_some(())
                });
            }
            terminal.press("\x03");
            assert_eq!(watchdog.ends().signal(), Some(SIGINT), "{}", terminal.transcript());
            terminal.expect(r"stopped by SIGINT.*; the start command \(pid \d+\) keeps running\n");
            send(pid, SIGKILL);
            scene.wait_gone(pid);
        }
    }
}

#[test]
fn resume_clears_the_attempt_that_is_not_judged() {
    for once in [false, true] {
        let scene = Scene::new();
        let line = scene.watchdog().with("--max-fail-count", "1").with("--restart-wait-interval", "3");
        let line = if once { line.flag("--once") } else { line }.starting("exit 7");
        let mut watchdog = line.clone().spawn();
        scene.wait_for("the start command .*status 7");
        if once {
            watchdog.send(SIGKILL);
            watchdog.ends();
        }
        let resumed = scene.say(&["resume", scene.name()]);
        assert_eq!(resumed.code(), Some(0), "{resumed}");
        if once {
            watchdog = line.spawn();
        }
        assert_eq!(watchdog.ends().code(), Some(1));
        assert_eq!((scene.starts(), scene.count("gave up after 1")), (2, 1), "{once}: {:#?}", scene.log());
        assert_eq!(scene.count("attempt 1 of 1 failed"), 1, "{once}: {:#?}", scene.log());
    }
}
