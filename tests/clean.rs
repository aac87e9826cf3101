//! What is left of a watchdog goes, if nobody runs it.

use std::fs;

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::harness::{Ended, Scene};
use crate::machine::send;

/// The files in this directory of the scene.
fn files(scene: &Scene, folder: &str) -> Vec<String> {
    let files = fs::read_dir(scene.path(folder)).into_iter().flatten();
    let mut files: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    files
}

#[track_caller]
fn said(ended: &Ended, expected: &str) {
    assert_eq!((ended.code(), &*ended.stdout, &*ended.stderr), (Some(0), expected, ""), "{ended}");
}

#[track_caller]
fn refused(ended: &Ended, with: &str) {
    assert_eq!((ended.code(), &*ended.stdout), (Some(2), ""), "{ended}");
    assert!(ended.stderr.contains(with), "{ended}");
}

#[test]
fn state_goes_and_logs_if_they_are_meant() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let name = scene.name();
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    assert_eq!(scene.watchdog().flag("--once").with("--name", "other").run().code(), Some(0));
    let others = ["other.json", "other.lock"];
    assert_eq!(scene.say(&["pause", name]).code(), Some(0));
    fs::create_dir_all(scene.path("log")).unwrap();
    for name in [name, "other"] {
        fs::write(scene.path("log").join(format!("{name}.log")), "").unwrap();
    }
    for ending in ["json.damaged", "request", "start", "stuck"] {
        fs::write(scene.kept(ending), "").unwrap();
    }
    let log_dir = scene.path("log");
    let log_dir = log_dir.to_str().unwrap();
    said(&scene.say(&["clean", name]), &format!("{name}: state removed\n"));
    assert_eq!(files(&scene, "state"), others);
    assert!(files(&scene, "log").contains(&format!("{name}.log")), "the logs stay");

    // Whatever begins like its logs is somebody else's.
    let strangers = [format!("{name}.log.old"), format!("{name}.logs"), format!("{name}x.log")];
    for file in [&format!("{name}.log.1"), &format!("{name}.output.log.12")].into_iter().chain(&strangers) {
        fs::write(scene.path("log").join(file), "").unwrap();
    }
    refused(&scene.say(&["clean", name, "--logs"]), "needs --log-dir DIR");
    said(&scene.say(&["clean", name, "--logs", "--log-dir", log_dir]), &format!("{name}: logs removed\n"));
    assert_eq!(files(&scene, "state"), others);
    let mut kept = strangers.to_vec();
    kept.push("other.log".to_owned());
    kept.sort();
    assert_eq!(files(&scene, "log"), kept);

    let both = scene.say(&["clean", "other", "--logs", "--log-dir", log_dir]);
    said(&both, "other: state and logs removed\n");
    assert_eq!(files(&scene, "state"), [""; 0]);
    refused(&scene.say(&["clean", name]), "no watchdog is named");
    refused(&scene.say(&["clean"]), "which watchdog? watchdog clean NAME, or --all\n");
}

#[test]
fn what_is_running_is_not_cleaned() {
    let scene = Scene::new();
    let watchdog =
        scene.watchdog().starting("until [ -e $HERE/go ]; do sleep 0.02; done; $ACTOR sleep &").spawn();
    scene.wait_until("the start command is running, and that is written down", || {
        (scene.starts() == 1 && scene.kept("json").exists()).then_some(())
    });
    let (name, before) = (scene.name(), files(&scene, "state"));
    let pid = watchdog.pid();
    refused(
        &scene.say(&["clean", name]),
        &format!("{name}: its watchdog is running (pid {pid}); stop that first"),
    );
    assert_eq!(files(&scene, "state"), before);

    // Nor is what the next one has to know: it would start a second one.
    watchdog.send(SIGKILL);
    watchdog.ends();
    refused(&scene.say(&["clean", name]), "its start command is still running (pid ");
    assert_eq!(files(&scene, "state"), before);
    fs::write(scene.path("go"), "").unwrap();
    scene.wait_running();
    scene.wait_until("the start command has ended", || {
        (scene.say(&["clean", name]).code() == Some(0)).then_some(())
    });
    assert_eq!(files(&scene, "state"), [""; 0]);
}

/// A name that is wrong keeps all from being cleaned.
#[test]
fn nothing_is_cleaned_by_halves() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    let before = files(&scene, "state");
    refused(&scene.say(&["clean", scene.name(), "zz-none-such"]), "no watchdog is named 'zz-none-such'");
    assert_eq!(files(&scene, "state"), before);
}

/// Somebody tried something, and went away.
#[test]
fn a_trial_is_forgotten_and_what_anybody_waits_for_is_not() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let end = |name: &str, signal| {
        let watchdog = scene.watchdog().with("--name", name).spawn();
        scene
            .wait_until("it has looked", || scene.path(&format!("state/{name}.json")).exists().then_some(()));
        watchdog.wait_checks(2);
        watchdog.send(signal);
        watchdog.ends();
    };
    for (name, signal) in [("trial", SIGTERM), ("paused", SIGTERM), ("killed", SIGKILL)] {
        end(name, signal);
    }
    assert_eq!(scene.watchdog().with("--name", "cron").flag("--once").run().code(), Some(0));
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    let broken = scene.watchdog().with("--name", "given-up").with("--max-fail-count", "1").starting("exit 7");
    assert_eq!(broken.with("--restart-wait-interval", "0.1").run().code(), Some(1));
    assert_eq!(scene.say(&["pause", "paused"]).code(), Some(0));
    let names = || {
        let table = scene.say(&["status"]).stdout;
        let names = table.lines().skip(1).filter_map(|line| line.split(' ').next());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let all = ["cron", "given-up", "killed", "paused", "trial"];
    assert_eq!(names(), all);
    for name in all {
        let file = fs::File::options().write(true).open(scene.path(&format!("state/{name}.json"))).unwrap();
        let age = std::time::Duration::from_secs(25 * 60 * 60);
        file.set_modified(std::time::SystemTime::now() - age).unwrap();
    }
    assert_eq!(names(), ["cron", "given-up", "killed", "paused"]);
    assert!(scene.say(&["status", "trial"]).stdout.contains("trial"), "it is shown by its name");
}
