//! Failures are counted, forgotten and given up.

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::harness::Scene;
use crate::machine::send;

/// Each attempt succeeds, and each time it crashes a little later.
#[test]
fn a_service_that_dies_after_each_start_is_given_up() {
    let scene = Scene::new();
    let ended =
        scene.watchdog().with("--restart-wait-interval", "0.3").starting("$ACTOR exit 3 1200 &").run();
    assert_eq!((ended.code(), scene.starts()), (Some(1), 3), "{ended}\n{}", scene.story());
    assert_eq!(scene.count(r"^WARN [^ ]+ \(pid [0-9]+\) exited with status 3"), 3, "{:#?}", scene.log());
    assert_eq!(scene.count("^ERROR gave up after 3 failures in a row"), 1, "{:#?}", scene.log());
}

/// So is one that exits with status 0 each time: the cause is not a crash, and still nobody stopped it.
#[test]
fn a_service_that_dies_before_the_verdict_is_given_up() {
    for status in ["0", "3"] {
        let scene = Scene::new();
        let watchdog = scene.watchdog().with("--restart-wait-interval", "1");
        let ended = watchdog.starting(&format!("$ACTOR exit {status} 100 &")).run();
        assert_eq!((ended.code(), scene.starts()), (Some(1), 3), "{ended}\n{}", scene.story());
    }
}

#[test]
fn being_killed_or_stopped_is_no_failure() {
    let scene = Scene::new();
    let watchdog =
        scene.watchdog().with("--max-fail-count", "1").with("--restart-wait-interval", "0.3").spawn();
    for (round, signal) in [SIGKILL, SIGTERM, SIGKILL].into_iter().enumerate() {
        scene.wait_until("the attempt is judged", || {
            (scene.count("attempt 1 succeeded") > round).then_some(())
        });
        let pid = scene.wait_running();
        send(pid, signal);
        scene.wait_replaced(pid);
    }
    assert_eq!((scene.starts(), scene.count("failed")), (4, 0), "{:#?}", scene.log());
    watchdog.terminate();
}

/// Killed so early that the attempt is not judged yet: nor is that a failure of the service.
#[test]
fn being_killed_before_the_verdict_is_no_failure() {
    let scene = Scene::new();
    let _watchdog =
        scene.watchdog().with("--max-fail-count", "1").with("--restart-wait-interval", "1s").spawn();
    scene.wait_for("^INFO running: ");
    let pid = scene.wait_running();
    send(pid, SIGKILL);
    assert_ne!(scene.wait_replaced(pid), pid);
    scene.wait_for("succeeded");
    assert_eq!(scene.count("failed|gave up"), 0, "{:#?}", scene.log());
}

#[test]
fn failures_are_forgotten_when_it_has_run_for_long_enough() {
    let scene = Scene::new();
    let watchdog = scene
        .watchdog()
        .with("--stable-after", "0.8")
        .with("--max-fail-count", "2")
        .starting("[ -e $HERE/ready ] && { $ACTOR exit 3 1500 & }; touch $HERE/ready")
        .spawn();
    // One failure, then a success that lasts, a crash, and no give-up.
    scene.wait_for("attempt 1 of 2 failed");
    scene.wait_for(r"starting it \(attempt 2 of 2\)");
    scene.wait_until("it starts anew", || (scene.count(r"\(attempt 1 of 2\)") == 2).then_some(()));
    assert_eq!(scene.count(r"^WARN [^ ]+ \(pid [0-9]+\) exited with status 3"), 1, "{:#?}", scene.log());
    watchdog.terminate();
}

#[test]
fn without_a_time_to_be_stable_a_success_clears_the_failures() {
    let scene = Scene::new();
    let watchdog = scene
        .watchdog()
        .with("--stable-after", "0")
        .with("--restart-wait-interval", "0.2")
        .with("--max-fail-count", "1")
        .starting("$ACTOR exit 3 1000 &")
        .spawn();
    scene.wait_until("it goes on", || (scene.starts() == 4).then_some(()));
    assert_eq!(scene.count("failed|gave up"), 0, "{:#?}", scene.log());
    watchdog.terminate();
}

#[test]
fn unlimited_never_gives_up() {
    let scene = Scene::new();
    let watchdog = scene
        .watchdog()
        .with("--max-fail-count", "unlimited")
        .with("--restart-wait-interval", "0.1")
        .starting("false")
        .spawn();
    scene.wait_until("it goes on", || (scene.starts() == 8).then_some(()));
    assert_eq!(scene.count("gave up"), 0, "{:#?}", scene.log());
    watchdog.terminate();
}

#[test]
fn a_retry_takes_up_what_somebody_else_has_started() {
    let scene = Scene::new();
    let watchdog = scene
        .watchdog()
        .with("--max-fail-count", "1")
        .with("--retry-after", "100s")
        .starting("[ -e $HERE/ready ] && $ACTOR sleep &")
        .spawn();
    scene.wait_for("^ERROR gave up after 1 failure");
    watchdog.wait_checks(5);
    assert_eq!(scene.starts(), 1);
    let pid = scene.start_actor(&["sleep"]);
    scene.wait_for(&format!(r"^INFO running, not started by this watchdog: .*\(pid {pid}\)"));
    std::fs::write(scene.path("ready"), "").unwrap();
    assert_ne!(scene.assert_watched(), pid);
}

#[test]
fn each_round_that_fails_doubles_the_time_to_the_next() {
    let scene = Scene::new();
    let watchdog = scene
        .watchdog()
        .with("--max-fail-count", "1")
        .with("--restart-wait-interval", "0.1")
        .with("--retry-after", "1")
        .starting("read up _ < /proc/uptime; echo $up >> $HERE/times; false")
        .spawn();
    let times: Vec<f64> = scene.wait_until("it gave up three times", || {
        let times = scene.read("times");
        let times: Option<Vec<_>> = times.lines().map(|time| time.parse().ok()).collect();
        times.filter(|times| times.len() == 4)
    });
    for (starts, least) in times.windows(2).zip([1.0, 2.0, 4.0]) {
        // No sooner, but for what a busy machine takes to run a command; and it decides how much later.
        assert!(starts[1] - starts[0] >= 0.8 * least, "{times:?}\n{}", scene.story());
    }
    watchdog.terminate();
}
