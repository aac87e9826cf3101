//! Whether the process works: probes on real processes, and what follows from them.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use regex_lite::Regex;
use rustix::process::{Resource, getrlimit};

use crate::config::{by_file, reload, write};
use crate::harness::{Captured, Invocation, Scene, WATCHDOG, named};
use crate::machine::{ALICE, ControlGroup, as_user, free_port, is_root, program, send, skip, with_mounts};
use crate::namespaces::process_1;

/// A watchdog whose process is healthy while there is a file `ok`, and whose times are short.
fn probed(scene: &Scene) -> Invocation<'_> {
    probing(scene, "test -e $HERE/ok")
}

fn probing<'a>(scene: &'a Scene, probe: &str) -> Invocation<'a> {
    scene
        .watchdog()
        .with("--probe", probe)
        .with("--probe-interval", "0.05")
        .with("--probe-start-period", "0")
        .with("--probe-timeout", "20")
        .with("--probe-failures", "2")
        .with("--stop-timeout", "20")
}

fn works(scene: &Scene) {
    fs::write(scene.path("ok"), "").unwrap();
}

fn works_no_more(scene: &Scene) {
    fs::remove_file(scene.path("ok")).unwrap();
}

#[test]
fn what_does_not_work_is_stopped_and_started() {
    let scene = Scene::new();
    works(&scene);
    let _watchdog = probed(&scene).spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    works_no_more(&scene);
    scene.wait_for(&format!(
        r"WARN \S+ \(pid {first}\) is unhealthy: 2 probes in a row failed; the last exited with status 1; restarting it"
    ));
    scene.wait_for("WARN before the stop: 1 thread: 1 S");
    scene.wait_for(&format!(r"INFO stopping \S+ \(pid {first}\), it is unhealthy: sent SIGTERM"));
    scene.wait_for(&format!(r"INFO stopped \S+ \(pid {first}\), it is unhealthy, in "));
    works(&scene);
    let second = scene.wait_replaced(first);
    scene.wait_for(&format!(r"INFO healthy again: \S+ \(pid {second}\)"));
    assert_eq!(scene.count(" (died|was killed|was stopped)"), 0, "{}", scene.story());
    assert_eq!(scene.state()["deaths_ms"].as_object().map_or(0, serde_json::Map::len), 0);
}

#[test]
fn what_takes_too_long_is_killed_and_the_next_probe_comes() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let probe = "echo >> $HERE/probes; sleep 300; true";
    let watchdog = probing(&scene, probe).with("--probe-timeout", "0.1").spawn();
    scene.wait_until("three probes", || (scene.read("probes").lines().count() >= 3).then_some(()));
    scene.wait_for("did not end within 100ms");
    watchdog.terminate();
    let sleepers = || {
        crate::machine::processes()
            .filter(|process| process.cmdline().is_ok_and(|line| line == ["sleep", "300"]))
            .filter(|process| {
                process.environ().is_ok_and(|all| all.values().any(|it| it == scene.path("").as_os_str()))
            })
            .count()
    };
    scene.wait_until("nothing is left of them", || (sleepers() == 0).then_some(()));
}

#[test]
fn a_probe_that_has_never_succeeded_stops_nothing_that_runs_since_before() {
    let scene = Scene::new();
    let first = scene.start_actor(&["sleep"]);
    let watchdog = probed(&scene).spawn();
    scene.wait_for("ERROR .*left running, because this probe has never succeeded");
    watchdog.wait_checks(20);
    assert_eq!((scene.all(), scene.count("is unhealthy")), (vec![first], 1));
    // What was started here is restarted once.
    send(first, Signal::SIGKILL);
    let second = scene.wait_replaced(first);
    let third = scene.wait_replaced(second);
    watchdog.wait_checks(20);
    assert_eq!(scene.all(), [third]);
    scene.wait_until("told", || (scene.count("has never succeeded") == 2).then_some(()));
}

#[test]
fn a_probe_that_cannot_tell_stops_nothing() {
    for (probe, why) in [
        ("exit 75", r"exited with status 75"),
        ("no-such-program", r"exited with status 127 \(command not found\)"),
        ("kill -9 $$", "was ended by SIGKILL"),
    ] {
        let scene = Scene::new();
        let first = scene.start_actor(&["sleep"]);
        let probe = format!("test -e $HERE/ok && exit 0; {probe}");
        works(&scene);
        let watchdog = probing(&scene, &probe).spawn();
        scene.wait_for("INFO healthy: ");
        works_no_more(&scene);
        scene.wait_for(&format!("WARN cannot tell whether it is healthy: the probe {why}"));
        watchdog.wait_checks(20);
        assert_eq!((scene.all(), scene.count("cannot tell")), (vec![first], 1), "{}", scene.story());
        works(&scene);
        scene.wait_for("INFO the probe can tell again");
    }
}

#[test]
fn after_enough_restarts_it_is_left_running_and_watched() {
    let scene = Scene::new();
    works(&scene);
    let watchdog = probed(&scene).with("--max-fail-count", "2").spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    works_no_more(&scene);
    scene.wait_for(
        "ERROR .*left running after 2 restarts, and watched for its death; restarting again in 10m",
    );
    let third = scene.wait_running();
    assert_ne!(third, first);
    watchdog.wait_checks(20);
    assert_eq!((scene.all(), scene.starts()), (vec![third], 3));
    let fourth = scene.assert_watched();
    works(&scene);
    scene.wait_for(&format!(r"healthy again: \S+ \(pid {fourth}\)"));
}

#[test]
fn what_is_suspended_is_not_probed_and_not_stopped() {
    let scene = Scene::new();
    works(&scene);
    let watchdog = probed(&scene).spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    send(first, Signal::SIGSTOP);
    scene.wait_for("WARN .* is suspended by a signal, a debugger or its control group; it counts as running");
    works_no_more(&scene);
    watchdog.wait_checks(20);
    assert_eq!((scene.all(), scene.count("unhealthy")), (vec![first], 0));
    send(first, Signal::SIGCONT);
    scene.wait_for("is unhealthy");
}

#[test]
fn a_pause_keeps_probes_away() {
    let scene = Scene::new();
    works(&scene);
    let watchdog = probing(&scene, "echo >> $HERE/probes; test -e $HERE/ok").spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    scene.say(&["pause", scene.name()]);
    works_no_more(&scene);
    watchdog.wait_checks(3);
    let probes = scene.read("probes").len();
    watchdog.wait_checks(20);
    assert_eq!((scene.all(), scene.read("probes").len()), (vec![first], probes));
    scene.say(&["resume", scene.name()]);
    scene.wait_replaced(first);
}

#[test]
fn warn_only_says_so() {
    let scene = Scene::new();
    let first = scene.start_actor(&["sleep"]);
    works(&scene);
    let watchdog = probed(&scene).with("--on-unhealthy", "warn").spawn();
    scene.wait_for("INFO healthy: ");
    works_no_more(&scene);
    scene.wait_for(r"WARN .*; left running \(on_unhealthy warn\)");
    watchdog.wait_checks(20);
    assert_eq!((scene.all(), scene.count("is unhealthy")), (vec![first], 1));
    works(&scene);
    scene.wait_for("healthy again: ");
}

#[test]
fn runs_that_come_and_go_count_probes_as_one() {
    let scene = Scene::new();
    works(&scene);
    let once = || probed(&scene).flag("--once").run();
    let first = scene.start_actor(&["sleep"]);
    assert_eq!((once().code(), once().stderr), (Some(0), String::new()));
    works_no_more(&scene);
    let ended = once();
    assert_eq!((ended.code(), ended.stderr.as_str(), scene.all()), (Some(0), "", vec![first]));
    let ended = once();
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert!(ended.stderr.contains("was unhealthy; running again after "), "{ended}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
    assert_ne!(scene.wait_running(), first);
}

#[test]
fn a_run_that_leaves_it_running_says_so_once_and_when_it_works_again() {
    let scene = Scene::new();
    let first = scene.start_actor(&["sleep"]);
    let once = || probed(&scene).with("--probe-failures", "1").flag("--once").run();
    let ended = once();
    assert_eq!((ended.code(), scene.all()), (Some(0), vec![first]), "{ended}");
    assert!(ended.stderr.contains("this probe has never succeeded"), "{ended}");
    assert_eq!(once().stderr, "");
    works(&scene);
    let ended = once();
    assert!(ended.stderr.contains("healthy again: "), "{ended}");
    assert_eq!((once().stderr, once().code()), (String::new(), Some(0)));
}

#[test]
fn what_is_slow_to_work_again_is_not_restarted_again() {
    let scene = Scene::new();
    let probe = "n=$(cat $HERE/fails); test $n -gt 0 || exit 0; echo $((n - 1)) > $HERE/fails; exit 1";
    fs::write(scene.path("fails"), "0\n").unwrap();
    let watchdog = probing(&scene, probe).with("--probe-failures", "3").spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    fs::write(scene.path("fails"), "5\n").unwrap();
    let second = scene.wait_replaced(first);
    scene.wait_for(&format!(r"healthy again: \S+ \(pid {second}\)"));
    watchdog.wait_checks(10);
    assert_eq!((scene.all(), scene.starts()), (vec![second], 2));
}

#[test]
fn a_start_period_is_time_in_which_failures_do_not_count() {
    let scene = Scene::new();
    let watchdog = probed(&scene).with("--probe-start-period", "1h").spawn();
    let first = scene.wait_running();
    scene.wait_for("succeeded");
    watchdog.wait_checks(20);
    assert_eq!((scene.all(), scene.count("unhealthy")), (vec![first], 0));
    // The first success ends it.
    works(&scene);
    scene.wait_for("INFO healthy: ");
    works_no_more(&scene);
    scene.wait_replaced(first);
}

#[test]
fn a_rest_ends_and_restarts_are_tried_again() {
    let scene = Scene::new();
    works(&scene);
    let _watchdog = probed(&scene).with("--max-fail-count", "1").with("--retry-after", "0.5").spawn();
    scene.wait_running();
    scene.wait_for("INFO healthy: ");
    works_no_more(&scene);
    scene.wait_for("left running after 1 restart, and watched for its death; restarting again in 500ms");
    scene.wait_for("left running after 1 restart, and watched for its death; restarting again in 1s");
    assert_eq!(scene.starts(), 3, "{}", scene.story());
}

#[test]
fn what_a_probe_writes_and_leaves_delays_nothing() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    // A gigabyte; and a child of it keeps its output open.
    let probe = "sleep 300 & head -c 1000000000 /dev/zero; echo; echo it works not; exit 1";
    let _watchdog =
        probing(&scene, probe).with("--probe-failures", "1").with("--probe-timeout", "1m").spawn();
    scene.wait_for("1 probe in a row failed; the last exited with status 1: 'it works not'");
}

#[test]
fn a_server_that_hangs_is_told_from_one_that_answers() {
    let scene = Scene::new();
    let port = free_port();
    let watchdog = probing(&scene, &format!("http://127.0.0.1:{port}/"))
        .with("--probe-timeout", "0.5")
        .starting(&format!("$ACTOR answer {port} &"));
    let _watchdog = watchdog.spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    // From now on it accepts, and never answers.
    send(first, Signal::SIGUSR2);
    scene.wait_for(
        r"is unhealthy: 2 probes in a row failed; the last did not end within 500ms \(probe_timeout\)",
    );
    scene.wait_for(
        "before the stop: [1-9].* threads: .*; .* of processor time in the last .* descriptors open",
    );
    let second = scene.wait_replaced(first);
    scene.wait_for(&format!(r"healthy again: \S+ \(pid {second}\)"));
}

#[test]
fn a_heartbeat_is_a_file_that_changes() {
    let scene = Scene::new();
    let beat = scene.path("beat");
    let watchdog = probing(&scene, &format!("file:{}", beat.display()))
        .with("--probe-interval", "0.3")
        .starting("(while test -e $HERE/ok; do echo >> $HERE/beat; sleep 0.05; done) & $ACTOR sleep &");
    works(&scene);
    let _watchdog = watchdog.spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    works_no_more(&scene);
    scene.wait_for("the last saw that the file has not changed since the last probe; restarting it");
    works(&scene);
    scene.wait_replaced(first);
    scene.wait_for("healthy again: ");
}

#[test]
fn where_two_processes_could_be_meant_none_is_stopped() {
    let scene = Scene::new();
    works(&scene);
    let watchdog = probed(&scene).spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    let path = scene.path(scene.name());
    scene.start_child(&scene.link_actor("stranger"), &["neglect", path.to_str().unwrap(), "sleep"]);
    let second = scene.wait_until("another", || scene.all().into_iter().find(|pid| *pid != first));
    works_no_more(&scene);
    scene.wait_for("is unhealthy: .*; not restarted now: it is not certain which process is meant");
    watchdog.wait_checks(20);
    let mut all = scene.all();
    all.sort_unstable();
    let mut both = [first, second];
    both.sort_unstable();
    assert_eq!(all, both);
    assert_eq!(scene.count("unhealthy"), 1);
    send(second, Signal::SIGKILL);
    scene.wait_gone(first);
}

#[test]
fn one_process_of_a_state_folder_is_restarted_at_a_time() {
    let scene = Scene::new();
    works(&scene);
    let _watchdog = probed(&scene).spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    // As another watchdog does.
    let slot = fs::File::create(scene.path("state/restart.slot")).unwrap();
    rustix::fs::flock(&slot, rustix::fs::FlockOperation::LockExclusive).unwrap();
    works_no_more(&scene);
    scene.wait_for("not restarted now: the process of another watchdog is being restarted");
    assert_eq!(scene.all(), [first]);
    drop(slot);
    scene.wait_replaced(first);
}

#[test]
fn what_takes_its_place_is_probed_anew() {
    let scene = Scene::new();
    works(&scene);
    // It succeeds slowly for the first, so that it is replaced meanwhile.
    let probe = "echo $WATCHDOG_PROCESS_PID >> $HERE/probed; sleep 0.5; test -e $HERE/ok";
    let _watchdog = probing(&scene, probe).starting("$ACTOR handover &").spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    send(first, Signal::SIGUSR2);
    scene.wait_until("two", || (scene.all().len() == 2).then_some(()));
    send(first, Signal::SIGQUIT);
    let second = scene.wait_running();
    scene.wait_for(&format!(r"healthy: \S+ \(pid {second}\)"));
    assert_eq!((scene.starts(), scene.count("unhealthy")), (1, 0), "{}", scene.story());
}

#[test]
fn what_is_shown_tells_health() {
    let scene = Scene::new();
    works(&scene);
    let watchdog = probed(&scene).with("--on-unhealthy", "warn").spawn();
    let shown = || {
        let ended = scene.say(&["status", "--json", scene.name()]);
        let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        (text(&json[0]["state"]), text(&json[0]["health"]), ended.code())
    };
    let wait = |state: &str, health: &str, code: i32| {
        let expected = (Some(state.to_owned()), Some(health.to_owned()), Some(code));
        scene.wait_until(state, || (shown() == expected).then_some(()));
    };
    let first = scene.wait_running();
    wait("running", "healthy", 0);
    works_no_more(&scene);
    wait("unhealthy", "unhealthy", 1);
    send(first, Signal::SIGSTOP);
    wait("suspended", "unhealthy", 1);
    send(first, Signal::SIGCONT);
    works(&scene);
    wait("running", "healthy", 0);
    watchdog.terminate();
}

/// It succeeds; but one that is asked to waits, and fails then.
const ASKED: &str = "test -e $HERE/ask || exit 0; rm $HERE/ask; touch $HERE/asked; \
                     until test -e $HERE/go; do sleep 0.05; done; exit 1";

#[test]
fn a_result_is_dropped_if_time_was_lost_or_a_pause_began() {
    for case in ["nothing", "time is lost", "a pause"] {
        let scene = Scene::new();
        let watchdog = probing(&scene, ASKED).with("--probe-failures", "1").spawn();
        let first = scene.wait_running();
        scene.wait_for("INFO healthy: ");
        fs::write(scene.path("ask"), "").unwrap();
        scene.wait_until("a probe waits", || scene.path("asked").exists().then_some(()));
        let fails = || fs::write(scene.path("go"), "").unwrap();
        match case {
            "nothing" => {
                fails();
                scene.wait_for("is unhealthy: 1 probe in a row failed");
                continue;
            }
            "time is lost" => {
                send(watchdog.pid(), Signal::SIGSTOP);
                fails();
                thread::sleep(Duration::from_millis(2500));
                send(watchdog.pid(), Signal::SIGCONT);
            }
            _ => {
                scene.say(&["pause", scene.name()]);
                fails();
                watchdog.wait_checks(5);
                scene.say(&["resume", scene.name()]);
            }
        }
        watchdog.wait_checks(20);
        assert_eq!((scene.all(), scene.count("unhealthy")), (vec![first], 0), "{case}: {}", scene.story());
    }
}

#[test]
fn on_an_overloaded_machine_a_timeout_tells_nothing_for_a_while() {
    let scene = Scene::new();
    let file = Path::new("/proc/pressure/cpu");
    let mount = format!("mount --bind {} {}", scene.path("pressure").display(), file.display());
    fs::write(scene.path("pressure"), "some avg10=97.40 avg60=60.00 avg300=0.00 total=1\n").unwrap();
    let Some(way) = with_mounts(&scene, &mount).filter(|_| file.exists()) else {
        return skip("only root can cover a file of /proc, and not every kernel has /proc/pressure");
    };
    works(&scene);
    let probe = "test -e $HERE/ok && exit; echo $WATCHDOG_PROCESS_PID >> $HERE/probes; sleep 300; true";
    let watchdog = probing(&scene, probe).with("--probe-timeout", "0.2").with("--max-fail-count", "1");
    let _watchdog = watchdog.through(&way.iter().map(String::as_str).collect::<Vec<_>>()).spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    works_no_more(&scene);
    scene.wait_for(
        r"WARN cannot tell whether it is healthy: the probe did not end within 200ms \(probe_timeout\) on an overloaded",
    );
    let second = scene.wait_replaced(first);
    // Three times as many as make it unhealthy, and those.
    let probes = scene.read("probes");
    assert_eq!(probes.lines().filter(|pid| **pid == first.to_string()).count(), 3 * 2 + 2, "{probes}");
    assert_eq!(scene.count("cannot tell"), 1, "{}", scene.story());
    scene.wait_for("left running after 1 restart");
    assert_eq!(scene.all(), [second]);
}

#[test]
fn where_no_child_can_be_created_nothing_is_stopped() {
    let scene = Scene::new();
    scene.open_to_all();
    works(&scene);
    let way = if is_root() { as_user(ALICE) } else { Vec::new() };
    let watchdog = probed(&scene).through(&way.iter().map(String::as_str).collect::<Vec<_>>()).spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    // Its user has more than none.
    let limit = |most: &str| {
        let pid = watchdog.pid().to_string();
        let words = ["prlimit", "--pid", &pid, &format!("--nproc={most}:")].map(str::to_owned);
        let words: Vec<_> = way.iter().cloned().chain(words).collect();
        let mut command = program(&words[0]);
        command.args(&words[1..]);
        assert!(scene.spawn(command, Captured::All).ends().status.success());
    };
    let before = getrlimit(Resource::Nproc).current.map_or("unlimited".to_owned(), |most| most.to_string());
    limit("0");
    works_no_more(&scene);
    scene.wait_for("WARN cannot tell whether it is healthy: the probe cannot be run: Resource temporarily");
    watchdog.wait_checks(20);
    assert_eq!((scene.all(), scene.count("cannot tell|unhealthy")), (vec![first], 1), "{}", scene.story());
    limit(&before);
    scene.wait_for("INFO the probe can tell again");
    scene.wait_replaced(first);
}

/// As `-p redis` with the probe `redis-cli ping`.
#[test]
fn a_probe_is_not_the_process_whatever_it_is_called() {
    let scene = Scene::new();
    works(&scene);
    let client = format!("{}c", scene.name());
    let probe = format!("test -e $HERE/ok || exec {} sleep", scene.link_actor(&client).display());
    let _watchdog = probing(&scene, &probe).spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    works_no_more(&scene);
    scene.wait_until("a probe is at work", || named(&client).pop());
    send(first, Signal::SIGKILL);
    scene.wait_replaced(first);
    assert_eq!((scene.starts(), scene.count("several|takes over|also")), (2, 0), "{}", scene.story());
}

#[test]
fn runs_that_come_and_go_leave_it_running_after_enough_restarts() {
    let scene = Scene::new();
    works(&scene);
    scene.start_actor(&["sleep"]);
    let once = || {
        let ended = probed(&scene)
            .with("--probe-failures", "1")
            .with("--max-fail-count", "2")
            .with("--stable-after", "1h")
            .flag("--once")
            .run();
        assert_eq!(ended.code(), Some(0), "{ended}");
        ended.stderr
    };
    assert_eq!(once(), "");
    works_no_more(&scene);
    for said in
        ["was unhealthy; running again", "was unhealthy; running again", "left running after 2 restarts"]
    {
        let stderr = once();
        assert!(stderr.contains(said) && stderr.lines().count() == 1, "{said}: {stderr}");
    }
    let left = scene.wait_running();
    assert_eq!((once(), scene.all(), scene.starts()), (String::new(), vec![left], 2));
    works(&scene);
    assert!(once().contains("healthy again: "));
    assert_eq!(once(), "");
}

/// And `HEALTHCHECK` in the container.
#[test]
fn as_process_1_it_is_probed_restarted_and_left_running() {
    let scene = Scene::new();
    let port = free_port();
    let check = format!("http://127.0.0.1:{port}/");
    let watchdog = probing(&scene, &check)
        .with("--probe-timeout", "0.5")
        .with("--max-fail-count", "1")
        .starting(&format!("exec $ACTOR answer {port}"));
    let Some((outside, inside)) = process_1(&scene, watchdog) else { return };
    let asks = || {
        let mut command = program("nsenter");
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["--pid", "--mount", "--target", &inside.to_string(), WATCHDOG, "probe", &check]);
        command.args(["--timeout", "0.5"]);
        let ended = scene.spawn(command, Captured::All).ends();
        (ended.code(), ended.stdout)
    };
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    assert_eq!(asks(), (Some(0), format!("127.0.0.1:{port} answered 200 OK\n")));
    send(first, Signal::SIGUSR2);
    scene.wait_until("HEALTHCHECK says so", || (asks().0 == Some(1)).then_some(()));
    let second = scene.wait_replaced(first);
    scene.wait_until("it is healthy again", || (scene.count("healthy again: ") == 1).then_some(()));
    send(second, Signal::SIGUSR2);
    scene.wait_for("ERROR .*left running after 1 restart, and watched for its death");
    send(second, Signal::SIGKILL);
    scene.wait_replaced(second);
    send(inside, Signal::SIGTERM);
    assert_eq!(outside.ends().code(), Some(0), "{}", scene.story());
}

#[test]
fn what_is_frozen_or_traced_is_suspended() {
    let group = if is_root() { ControlGroup::new() } else { None };
    let Some(group) = group else {
        return skip("only root can make a control group, and only where version 2 is mounted");
    };
    let scene = Scene::new();
    works(&scene);
    let start = format!("sh -c '{}' sh $ACTOR sleep &", group.joining()[2]);
    let watchdog = probed(&scene).starting(&start).spawn();
    let first = scene.wait_running();
    scene.wait_for("INFO healthy: ");
    let suspended = || scene.count("is suspended");
    group.freeze(&scene);
    scene.wait_until("its freezing is seen", || (suspended() == 1).then_some(()));
    works_no_more(&scene);
    watchdog.wait_checks(20);
    assert_eq!((scene.all(), scene.count("unhealthy")), (vec![first], 0));
    works(&scene);
    group.thaw();
    watchdog.wait_checks(10);
    let tracer = scene.start_child(&scene.link_actor("tracer"), &["trace", &first.to_string()]);
    scene.wait_until("that it is traced is seen", || (suspended() == 2).then_some(()));
    works_no_more(&scene);
    watchdog.wait_checks(20);
    assert_eq!((scene.all(), scene.count("unhealthy")), (vec![first], 0));
    send(tracer, Signal::SIGKILL);
    scene.wait_replaced(first);
}

/// A stop command is needed perhaps once a year.
#[test]
fn what_the_probe_and_the_stop_command_need_is_missed_in_time() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let watchdog = probing(&scene, "no-such-probe ping").with("--stop-command", "/no/such/stop x");
    let doubt =
        r"probe: 'no-such-probe' not found in PATH \(.*\); stop command: /no/such/stop does not exist";
    let dry = watchdog.clone().flag("--dry-run").run();
    assert!(Regex::new(&format!("\nwarning\t{doubt}\n")).unwrap().is_match(&dry.stdout), "{dry}");
    let _watchdog = watchdog.spawn();
    scene.wait_for(&format!("^WARN {doubt}$"));
}

#[test]
fn a_probe_that_comes_by_a_reload_counts_at_once() {
    let scene = Scene::new();
    works(&scene);
    let (start, times) =
        ("$ACTOR sleep &", "probe_interval = 0.05\nprobe_start_period = 0\nprobe_failures = 2");
    let watchdog = by_file(&scene, start, "").spawn();
    let first = scene.wait_running();
    scene.wait_for("succeeded");
    write(&scene, start, &format!("{times}\nprobe = 'test -e $HERE/ok'"));
    reload(&scene, &watchdog);
    scene.wait_for(&format!(r"INFO healthy: \S+ \(pid {first}\)"));
    // Another one has proved nothing yet, and this process was started before it.
    write(&scene, start, &format!("{times}\nprobe = 'test -e $HERE/other'"));
    reload(&scene, &watchdog);
    scene.wait_for("is unhealthy");
}
