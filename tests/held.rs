//! What is held remains the process, whatever it calls itself.

use std::fs;

use nix::sys::signal::Signal::{SIGKILL, SIGUSR1, SIGUSR2};
use procfs::process::Process;

use crate::harness::{Scene, named};
use crate::machine::{is_root, send, skip};
use crate::right_process::{assert_counted_by, copy_actor};
use crate::which::{NOBODY, play, script};

/// As tmux, ruby and node do when they have been found already.
#[test]
fn a_held_process_that_renames_itself_remains_the_process() {
    let scene = Scene::new();
    let other = scene.other();
    let pid = scene.start_actor(&["told", "renamed", &other, "sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!("following .*pid {pid}[,)]"));
    scene.send_when_caught(pid, SIGUSR2);
    let said = scene.wait_for(&format!("^WARN .*pid {pid}[^0-9]"));
    // For the next watchdog, which has never seen it as it was.
    assert_counted_by(scene.watchdog(), &[], &said.text, pid);
    watchdog.wait_checks(20);
    assert_eq!((scene.starts(), scene.count("^WARN")), (0, 1), "{}", scene.story());
    watchdog.send(SIGUSR1);
    scene.wait_for(&format!(r"checked: .*pid {pid}\) is running"));
    send(pid, SIGKILL);
    scene.wait_running();
    assert_eq!(scene.starts(), 1, "{}", scene.story());
}

#[test]
fn from_cron_too_it_remains_the_process() {
    let scene = Scene::new();
    let other = scene.other();
    let pid = scene.start_actor(&["told", "renamed", &other, "sleep"]);
    let once = || scene.watchdog().flag("--once").run();
    assert_eq!(once().code(), Some(0));
    scene.send_when_caught(pid, SIGUSR2);
    scene.wait_until("it has its other name", || (named(&other) == [pid]).then_some(()));
    for _ in 0..3 {
        let ended = once();
        assert_eq!((ended.code(), scene.starts()), (Some(0), 0), "{ended}\n{}", scene.story());
    }
    assert_eq!(scene.count(&format!("^WARN .*pid {pid}[^0-9]")), 1, "{:#?}", scene.log());
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    assert_eq!((once().code(), scene.starts()), (Some(0), 1), "{}", scene.story());
}

/// By the same executable: another name and other arguments.
#[test]
fn a_held_process_that_executes_itself_again_remains_the_process() {
    let scene = Scene::new();
    let again = scene.link_actor(&scene.other());
    let pid = scene.start_actor(&["become", again.to_str().unwrap(), "sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!("following .*pid {pid}[,)]"));
    scene.send_when_caught(pid, SIGUSR2);
    let said = scene.wait_for(&format!("^WARN .*pid {pid}[^0-9]"));
    assert_counted_by(scene.watchdog(), &[], &said.text, pid);
    watchdog.wait_checks(20);
    assert_eq!((scene.starts(), scene.all()), (0, vec![]), "{}", scene.story());
}

/// By another, it is something else: what was watched is gone.
#[test]
fn a_held_process_that_becomes_another_program_is_gone() {
    let scene = Scene::new();
    let another = copy_actor(&scene, format!("bin/{}", scene.other()));
    let pid = scene.start_actor(&["become", another.to_str().unwrap(), "sleep"]);
    let _watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!("following .*pid {pid}[,)]"));
    scene.send_when_caught(pid, SIGUSR2);
    assert_ne!(scene.wait_replaced(pid), pid);
    assert_eq!(scene.starts(), 1, "{}", scene.story());
}

/// Unless it still matches: then it is what is watched, whatever program it executes.
#[test]
fn a_held_process_that_still_matches_may_execute_anything() {
    let scene = Scene::new();
    let another = copy_actor(&scene, format!("bin/{}", scene.name()));
    let pid = scene.start_actor(&["become", another.to_str().unwrap(), "sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!("following .*pid {pid}[,)]"));
    scene.send_when_caught(pid, SIGUSR2);
    let is_another = || fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == another);
    scene.wait_until("it is another program", || is_another().then_some(()));
    watchdog.wait_checks(10);
    assert_eq!((scene.starts(), scene.count("^WARN")), (0, 0), "{}", scene.story());
}

/// An interpreter is the same for all scripts.
#[test]
fn a_held_script_that_becomes_another_script_is_gone() {
    let scene = Scene::new();
    let (first, second) = (scene.path("a").join(scene.name()), scene.path(&scene.other()));
    fs::create_dir(scene.path("a")).unwrap();
    let wait = "until test -e $HERE/go; do sleep 0.05; done";
    script(&scene, &second, "#!/bin/sh\nwhile sleep 0.1; do :; done\n");
    script(&scene, &first, &format!("#!/bin/sh\n{wait}\nexec {}\n", second.display()));
    let process = play(&scene, &first, &[]);
    let _watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!("following .*pid {}[,)]", process.pid()));
    fs::write(scene.path("go"), "").unwrap();
    scene.wait_for("attempt 1 succeeded");
    assert_eq!(scene.starts(), 1, "{}", scene.story());
}

#[test]
fn a_held_script_that_renames_itself_remains_the_process() {
    let scene = Scene::new();
    let path = scene.path("a").join(scene.name());
    fs::create_dir(scene.path("a")).unwrap();
    let text = format!(
        "#!/bin/sh\nuntil test -e $HERE/go; do sleep 0.05; done\necho {} > /proc/$$/comm\nwhile sleep 0.1; do :; done\n",
        scene.other()
    );
    script(&scene, &path, &text);
    let process = play(&scene, &path, &[]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!("following .*pid {}[,)]", process.pid()));
    fs::write(scene.path("go"), "").unwrap();
    scene.wait_for(&format!("^WARN .*pid {}[^0-9]", process.pid()));
    watchdog.wait_checks(10);
    assert_eq!(scene.starts(), 0, "{}", scene.story());
}

/// A daemon gives up root some time after its start.
#[test]
fn a_held_process_may_become_another_user_s_unless_its_user_was_asked_for() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let nobody = NOBODY.to_string();
    for user in [None, Some("root")] {
        let scene = Scene::new();
        let pid = scene.start_actor(&["told", "users", &nobody, &nobody, &nobody, "sleep"]);
        let invocation = scene.watchdog();
        let invocation = user.into_iter().fold(invocation, |it, user| it.with("--user", user));
        let watchdog = invocation.spawn();
        scene.wait_for(&format!("following .*pid {pid}[,)]"));
        scene.send_when_caught(pid, SIGUSR2);
        scene.wait_until("it is another user's", || {
            (Process::new(pid).unwrap().uid().ok()? == NOBODY).then_some(())
        });
        if user.is_some() {
            scene.wait_for("attempt 1 succeeded");
        } else {
            watchdog.wait_checks(10);
            assert_eq!((scene.starts(), scene.all()), (0, vec![pid]), "{}", scene.story());
        }
    }
}

/// With which that user could keep root's dead service dead.
#[test]
fn that_another_user_s_process_has_taken_the_place_is_mailed_once() {
    if !is_root() {
        return skip("only root can start another user's process");
    }
    let scene = Scene::new();
    scene.open_to_all();
    let once = || scene.watchdog().flag("--once").run();
    let old = scene.start_actor(&["sleep"]);
    let said = once();
    assert_eq!((said.code(), &*said.stderr), (Some(0), ""), "{said}");
    send(old, SIGKILL);
    scene.wait_gone(old);
    let other = scene.start_actor_as(NOBODY);
    scene.wait_running();
    let said = once();
    assert_eq!((said.code(), said.stderr.lines().count(), scene.starts()), (Some(0), 1, 0), "{said}");
    let odd = format!("(pid {}) replaces pid {old}", other.pid());
    assert!(said.stderr.contains(&odd) && said.stderr.contains("the old one ran as root"), "{said}");
    let said = once();
    assert_eq!((said.code(), &*said.stderr), (Some(0), ""), "{said}");
    // Which begins anew, and has followed this one before.
    let said = scene.watchdog().with("--max-fail-count", "7").flag("--once").run();
    assert_eq!((said.code(), &*said.stderr), (Some(0), ""), "{said}");
}

#[test]
fn that_another_user_s_process_has_come_during_an_attempt_is_told() {
    if !is_root() {
        return skip("only root can start another user's process");
    }
    let scene = Scene::new();
    scene.open_to_all();
    let old = scene.start_actor(&["sleep"]);
    let start = "until [ -e $HERE/there ]; do sleep 0.05; done; exit 1";
    let watchdog = scene.watchdog().starting(start).spawn();
    scene.wait_for(&format!("following .*pid {old}[,)]"));
    send(old, SIGKILL);
    scene.wait_for("attempt 1 of 3");
    let other = scene.start_actor_as(NOBODY);
    let pid = other.pid();
    scene.wait_until("it is there", || (scene.all() == [pid]).then_some(()));
    fs::write(scene.path("there"), "").unwrap();
    scene.wait_for("attempt 1 succeeded");
    scene.wait_for(&format!(
        r"^WARN .*\(pid {pid}\) does not come from the start command; it runs as .*as root"
    ));
    // What comes from it is what it was meant to start.
    watchdog.terminate();
    let scene = Scene::new();
    scene.open_to_all();
    let old = scene.start_actor(&["sleep"]);
    let start = format!("setpriv --reuid {NOBODY} --clear-groups $ACTOR sleep &");
    let watchdog = scene.watchdog().starting(&start).spawn();
    scene.wait_for(&format!("following .*pid {old}[,)]"));
    send(old, SIGKILL);
    scene.wait_for("attempt 1 succeeded");
    watchdog.wait_checks(3);
    assert_eq!(scene.count("does not come from"), 0, "{:#?}", scene.log());
}
