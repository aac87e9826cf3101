//! Nothing is started on a machine that shuts down (rule 50), as far as its systemd says so.

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::harness::{Invocation, Scene};
use crate::machine::{send, skip, with_mounts};

/// A watchdog on a machine where systemd runs, or does not, and `systemctl` is this script.
fn watchdog<'a>(scene: &'a Scene, runs_systemd: bool, systemctl: &str) -> Option<Invocation<'a>> {
    let make = if runs_systemd { "mkdir -p /run/systemd/system" } else { "test ! -e /run/systemd" };
    let mount = format!("mount -t tmpfs tmpfs /run && {make} && export PATH=$HERE/bin:$PATH");
    let Some(way) = with_mounts(scene, &mount) else {
        skip("/run can be another's only for root, in a namespace of its own");
        return None;
    };
    std::fs::create_dir(scene.path("bin")).unwrap();
    scene.write_script("bin/systemctl", &format!("#!/bin/sh\necho \"$*\" >> $HERE/asked\n{systemctl}\n"));
    let way: Vec<_> = way.iter().map(String::as_str).collect();
    // Time for the answer, on a busy machine.
    Some(scene.watchdog().with("--after-stop", "2.5").through(&way))
}

/// What systemd says from now on.
fn answer(scene: &Scene, text: &str) {
    std::fs::write(scene.path("new"), text).unwrap();
    std::fs::rename(scene.path("new"), scene.path("answer")).unwrap();
}

fn judged(scene: &Scene, attempts: usize) {
    scene.wait_until("it is judged", || (scene.count("succeeded") == attempts).then_some(()));
}

#[test]
fn what_is_stopped_by_a_shutdown_is_not_started_until_that_is_over() {
    let scene = Scene::new();
    let Some(watchdog) = watchdog(&scene, true, "cat $HERE/answer; exit 1") else { return };
    answer(&scene, "degraded\n");
    let watchdog = watchdog.spawn();
    let pid = scene.wait_running();
    judged(&scene, 1);
    // Nobody has stopped it.
    send(pid, SIGKILL);
    let pid = scene.wait_replaced(pid);
    judged(&scene, 2);
    assert!(!scene.path("asked").exists(), "{}", scene.story());
    send(pid, SIGTERM);
    let pid = scene.wait_replaced(pid);
    judged(&scene, 3);
    assert_eq!(scene.read("asked"), "is-system-running\n");
    answer(&scene, "stopping\n");
    send(pid, SIGTERM);
    scene.wait_for("^INFO not running; held by the shutdown of the machine, so it is not started$");
    watchdog.wait_checks(10);
    let said = scene.say(&["start", scene.name()]);
    assert_eq!(said.code(), Some(1), "{said}");
    assert!(said.stderr.contains("held by the shutdown of the machine"), "{said}");
    assert!(scene.say(&["status"]).stdout.contains("held by the shutdown of the machine"));
    assert_eq!((scene.starts(), scene.count("by the shutdown")), (3, 1), "{}", scene.story());
    answer(&scene, "running\n");
    scene.wait_for("^INFO the machine does not shut down any more$");
    scene.wait_running();
    watchdog.terminate();
}

#[test]
fn without_an_answer_and_without_systemd_it_is_started() {
    for (runs_systemd, asked) in [(true, "is-system-running\n"), (false, "")] {
        let scene = Scene::new();
        let Some(watchdog) = watchdog(&scene, runs_systemd, "exec sleep 60") else { return };
        let watchdog = watchdog.spawn();
        let pid = scene.wait_running();
        judged(&scene, 1);
        send(pid, SIGTERM);
        scene.wait_replaced(pid);
        assert_eq!((scene.read("asked").as_str(), scene.count("shutdown")), (asked, 0), "{}", scene.story());
        watchdog.terminate();
    }
}
