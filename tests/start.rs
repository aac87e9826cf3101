//! What is missing is started, in whatever way it starts.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::dry_run::DryRun;
use crate::harness::{Captured, Scene};
use crate::machine::{is_there, send, skip};

#[test]
fn what_is_missing_is_started_and_followed() {
    let scene = Scene::new();
    let sleep = scene.path("bin").join(scene.name());
    fs::create_dir(scene.path("bin")).unwrap();
    let mut copy = Command::new("sh");
    // Where one program plays all of coreutils, its copy does not know what it is.
    copy.args(["-c", r#"cp "$(command -v sleep)" "$0" && "$0" 0"#]).arg(&sleep);
    if !scene.spawn(copy, Captured::All).ends().status.success() {
        return skip("a copy of sleep does not work here");
    }
    let watchdog = scene.watchdog().starting(r#""$HERE/bin/${ACTOR##*/}" 250 &"#).spawn();
    let record = scene.wait_for("^INFO attempt 1 succeeded");
    let pid = scene.wait_running();
    let log = scene.log();
    assert_eq!(scene.wait_for("^INFO running: ").number_after("pid"), Some(pid), "{log:#?}");
    assert_eq!(scene.starts(), 1);

    let name = scene.name();
    let at = |pattern: &str| {
        let found = scene.wait_for(pattern);
        log.iter().position(|record| *record == found).unwrap()
    };
    let first = at(&format!("^INFO watching '{name}' every .*; nothing matches; log "));
    let missing = at(r"^WARN not running; starting it \(attempt 1 of 3\): .*250 &");
    let running = at(&format!(r"^INFO running: {name} \(pid {pid}\)"));
    assert_eq!((first, missing < running, log[running] < record.clone()), (0, true, true), "{log:#?}");

    let ended = watchdog.terminate();
    assert_eq!(ended.stdout, "");
    let stderr: Vec<_> = ended.stderr.lines().collect();
    assert!(stderr.len() == 1 && stderr[0].contains("WARN "), "only warnings, and each once: {ended}");
}

#[test]
fn what_runs_is_left_alone() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().spawn();
    let first = scene.wait_for("INFO watching ");
    assert!(first.text.contains(&format!("following {} (pid {pid}, ", scene.name())), "{first:?}");
    watchdog.wait_checks(5);
    assert_eq!(scene.starts(), 0);
    assert_eq!(watchdog.terminate().stderr, "");
    assert_eq!(scene.all(), [pid]);
}

#[test]
fn a_command_that_stays_is_the_process() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().starting("exec $ACTOR sleep").spawn();
    scene.wait_for("attempt 1 succeeded");
    let pid = scene.assert_watched();
    scene.wait_for(r"^WARN .*was killed by SIGKILL");
    watchdog.terminate();
    assert_eq!(scene.all(), [pid], "it outlives the watchdog");
}

/// A shell around the process that does not end before it.
#[test]
fn a_shell_that_stays_is_not_the_process() {
    let scene = Scene::new();
    let _watchdog = scene.watchdog().starting("$ACTOR sleep; exit 7").spawn();
    scene.wait_for("attempt 1 succeeded");
    scene.assert_watched();
    let death = scene.wait_for(&format!(r"{} \(pid [0-9]+\) ", scene.name()));
    scene.wait_for(r"^WARN .*was killed by SIGKILL");
    assert!(!death.text.contains("status 7"), "{death:?}");
}

#[test]
fn a_daemon_may_keep_its_output_open() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().starting("$ACTOR daemonise 0 chatty").spawn();
    scene.wait_for("attempt 1 succeeded");
    let output = scene.path(&format!("log/{}.output.log", scene.name()));
    let grows = || {
        let before = fs::metadata(&output).unwrap().len();
        scene.wait_until("the daemon writes", || {
            (fs::metadata(&output).unwrap().len() > before).then_some(())
        });
    };
    grows();
    watchdog.terminate();
    grows();
}

#[test]
fn a_launcher_that_ends_when_its_daemon_runs_is_no_death() {
    let scene = Scene::new();
    let _watchdog = scene.watchdog().starting("$ACTOR daemonise 200 sleep").spawn();
    scene.wait_for("attempt 1 succeeded");
    let daemon = scene.wait_running();
    scene.assert_watched();
    scene.wait_until("the second attempt is judged", || (scene.count("succeeded") == 2).then_some(()));
    assert_eq!((scene.starts(), scene.count("failed"), is_there(daemon)), (2, 0, false), "{}", scene.story());
}

/// Nothing but the time tells that it came from the launcher: it started before that died, and has another
/// first argument.
#[test]
fn a_launcher_s_daemon_may_call_itself_something_else() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().starting("$ACTOR launch 200").spawn();
    scene.wait_for("attempt 1 succeeded");
    let daemon = scene.wait_running();
    watchdog.wait_checks(5);
    assert_eq!((scene.starts(), scene.all()), (1, vec![daemon]), "{}", scene.story());
    assert_eq!(scene.count("failed|left over"), 0, "{:#?}", scene.log());
    scene.assert_watched();
}

/// The launcher outlives the verdict on the start, and only then leaves the daemon alone.
#[test]
fn a_slow_launcher_is_no_death() {
    let scene = Scene::new();
    let watchdog = scene
        .watchdog()
        .with("--restart-wait-interval", "0.2")
        .starting("$ACTOR daemonise told sleep")
        .spawn();
    scene.wait_for("attempt 1 succeeded");
    let launcher = scene.all()[0];
    scene.send_when_caught(launcher, Signal::SIGUSR2);
    scene.wait_gone(launcher);
    let daemon = scene.wait_running();
    scene.wait_for(&format!(r"(?:running again, not started by this watchdog|handed over): .*\(pid {daemon}\).* replaces pid {launcher}"));
    watchdog.wait_checks(5);
    assert_eq!((scene.starts(), scene.count("^(WARN|ERROR).*failed")), (1, 0), "{}", scene.story());
}

#[test]
fn a_process_that_was_started_by_somebody_else_in_time_is_not_started_twice() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().with("--after-stop", "3s").spawn();
    scene.wait_for("INFO watching ");
    send(pid, Signal::SIGTERM);
    scene.wait_for(r"was stopped by SIGTERM");
    let successor = scene.start_actor(&["sleep"]);
    scene.wait_for(&format!(
        r"^INFO (?:running again, not started by this watchdog|handed over): .*\(pid {successor}\)"
    ));
    watchdog.wait_checks(5);
    assert_eq!(scene.starts(), 0);
}

/// What cannot be found is said before it is needed, and once by all runs together.
#[test]
fn a_program_that_is_not_there_is_warned_of_in_time() {
    const DOUBT: &str = "start command: 'no-such-program-here' not found in PATH \\(/";
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    // Where a directory in PATH cannot be searched, nobody could tell.
    let path = ["env", "PATH=/usr/bin:/bin"];
    let line = scene.watchdog().with("--start-command", "no-such-program-here --daemon").through(&path);
    let dry = DryRun::of(line.clone());
    assert!(dry.warnings().contains(&DOUBT.replace('\\', "")), "{}", dry.ended);
    for _ in 0..2 {
        let ended = line.clone().flag("--once").run();
        assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{ended}");
    }
    // What runs needs no start command, and a run that only looks is no time to doubt it.
    assert_eq!(scene.count(DOUBT), 0, "{}", scene.story());
    for _ in 0..2 {
        let watchdog = line.clone().spawn();
        scene.wait_for(&format!("^WARN {DOUBT}"));
        watchdog.wait_checks(2);
        watchdog.terminate();
    }
    assert_eq!(scene.count(&format!("^WARN {DOUBT}")), 1, "{}", scene.story());

    // One that is there is not, nor what only a shell can tell.
    for start_command in ["sleep 1", "$ACTOR sleep", "f() { :; }; f"] {
        let dry = DryRun::of(scene.watchdog().with("--start-command", start_command));
        assert_eq!((dry.warnings().as_str(), dry.matching()), ("", vec![pid]), "{start_command}");
    }
}
