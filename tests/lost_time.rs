//! Time in which the machine slept or the watchdog could not run is not held against a start.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::harness::{Invocation, Scene};
use crate::machine::{ControlGroup, is_root, skip};

/// The time that a start has, and in which it is frozen a little longer than that: not twice as long, since all of
/// it is made up for only where the machine slept.
const PATIENCE: Duration = Duration::from_secs(15);
/// More than the watchdog needs to begin a start, and less than what is left of its time afterwards.
const MORE: Duration = Duration::from_millis(500);

/// A start command that takes as long as the test likes.
const SLOW: &str = "until [ -e $HERE/go ]; do sleep 0.05; done; $ACTOR sleep &";
/// One that ends at once, and leaves that to the background.
const SLOW_DAEMON: &str = "{ until [ -e $HERE/go ]; do sleep 0.05; done; exec $ACTOR sleep; } &";

/// A watchdog whose start command has `PATIENCE`.
fn patient(scene: &Scene) -> Invocation<'_> {
    scene.watchdog().with("--start-timeout", "15").starting(SLOW)
}

/// Starts `line`, and freezes all at once when `is_time`, for longer than `PATIENCE`. Then nothing has been held
/// against the start, which succeeds.
#[track_caller]
fn outlives_the_frost(
    scene: &Scene,
    line: Invocation,
    is_time: impl Fn() -> bool,
    freeze: impl FnOnce(),
    thaw: impl FnOnce(),
) {
    let watchdog = line.spawn();
    scene.wait_for("not running; starting it");
    scene.wait_until("it is the time", || is_time().then_some(()));
    freeze();
    thread::sleep(PATIENCE + MORE);
    thaw();
    watchdog.wait_checks(5);
    assert_eq!(scene.count("still at work|failed"), 0, "{:#?}", scene.log());
    fs::write(scene.path("go"), "").unwrap();
    scene.wait_for("attempt 1 succeeded");
    assert_eq!((scene.starts(), scene.count("still at work|failed")), (1, 0), "{:#?}", scene.log());
}

#[test]
fn a_start_command_that_is_stopped_with_the_watchdog_has_not_overrun() {
    let scene = Scene::new();
    outlives_the_frost(&scene, patient(&scene), || true, || scene.freeze(), || scene.thaw());
}

#[test]
fn nor_has_one_of_a_single_check() {
    let scene = Scene::new();
    outlives_the_frost(&scene, patient(&scene).flag("--once"), || true, || scene.freeze(), || scene.thaw());
}

/// As by `docker pause`, or `systemctl freeze`.
#[test]
fn nor_has_one_in_a_control_group_that_is_frozen() {
    let group = if is_root() { ControlGroup::new() } else { None };
    let Some(group) = group else {
        return skip("only root can make a control group, and only where version 2 is mounted");
    };
    let scene = Scene::new();
    let joining = group.joining();
    let line = patient(&scene).through(&joining.each_ref().map(String::as_str));
    outlives_the_frost(&scene, line, || true, || group.freeze(&scene), || group.thaw());
}

/// Its daemon had no more time to appear than the watchdog to look for it.
#[test]
fn an_attempt_that_is_frozen_is_not_judged_on_waking() {
    let scene = Scene::new();
    let line = scene.watchdog().with("--restart-wait-interval", "15").starting(SLOW_DAEMON);
    // While the command is running, nothing is judged.
    let has_ended = || scene.kept("json").exists() && !scene.state()["last_start"].is_null();
    outlives_the_frost(&scene, line, has_ended, || scene.freeze(), || scene.thaw());
}

/// Between SIGTERM and SIGKILL, which are 5 s apart.
#[test]
fn a_command_that_is_frozen_while_it_ends_is_not_killed_on_waking() {
    let scene = Scene::new();
    let tidy = "trap 'touch $HERE/asked; until [ -e $HERE/go ]; do sleep 0.05; done; touch $HERE/tidied; exit 1' TERM; \
                while :; do sleep 0.05; done";
    let watchdog = scene.watchdog().with("--start-timeout", "0.5").starting(tidy).spawn();
    scene.wait_until("it is asked to end", || scene.path("asked").exists().then_some(()));
    scene.freeze();
    thread::sleep(Duration::from_secs(5) + MORE);
    scene.thaw();
    watchdog.wait_checks(5);
    assert_eq!(scene.count("failed"), 0, "{:#?}", scene.log());
    fs::write(scene.path("go"), "").unwrap();
    scene.wait_for("failed");
    assert!(scene.path("tidied").exists(), "{}", scene.story());
}

/// Its time is the stop command's too.
#[test]
fn a_stop_command_that_is_frozen_is_not_killed_on_waking() {
    let scene = Scene::new();
    let command = "touch $HERE/asked; until [ -e $HERE/go ]; do sleep 0.05; done; kill $WATCHDOG_PROCESS_PID";
    let watchdog = scene.watchdog().with("--stop-command", command).with("--stop-timeout", "15").spawn();
    scene.wait_for("attempt 1 succeeded");
    let stop = scene.begin_to_say(&[], &["stop", scene.name()]);
    scene.wait_until("it is asked to stop", || scene.path("asked").exists().then_some(()));
    scene.freeze();
    thread::sleep(PATIENCE + MORE);
    scene.thaw();
    watchdog.wait_checks(5);
    assert_eq!(scene.count("still ran|sent SIGTERM"), 0, "{:#?}", scene.log());
    fs::write(scene.path("go"), "").unwrap();
    assert_eq!(stop.ends().code(), Some(0), "{}", scene.story());
    assert_eq!(scene.count("still ran|sent SIGTERM"), 0, "{:#?}", scene.log());
}
