//! Hours and versions (rules 50, 51 and 54), with a clock that goes on.

use std::fs;

use chrono::{Local, TimeDelta};
use nix::sys::signal::Signal::{SIGHUP, SIGKILL};
use serde_json::Value;

use crate::harness::{Captured, Invocation, Scene, Watchdog};
use crate::machine::{is_there, program, send};

/// Its file has these lines; all else is on the command line, but for the start command.
pub fn line<'a>(scene: &'a Scene, lines: &str) -> Invocation<'a> {
    write(scene, lines);
    let file = scene.path(&format!("{}.toml", scene.name()));
    scene.watchdog().without("--start-command").with("--config", file)
}

fn write(scene: &Scene, lines: &str) {
    let (file, new) = (scene.path(&format!("{}.toml", scene.name())), scene.path("new.toml"));
    fs::write(&new, lines).unwrap();
    fs::rename(new, file).unwrap();
}

/// The file changes, and is read anew.
#[track_caller]
fn reload(scene: &Scene, watchdog: &Watchdog, lines: &str) {
    write(scene, lines);
    let before = scene.count("configuration (not )?reloaded");
    watchdog.send(SIGHUP);
    scene.wait_until("the file is read", || {
        (scene.count("configuration (not )?reloaded") > before).then_some(())
    });
}

/// A window that began an hour ago, and ends in so many seconds.
fn until(seconds: i64) -> String {
    let at = |seconds| (Local::now() + TimeDelta::seconds(seconds)).format("%H:%M:%S");
    format!("active_hours = '{}-{}'\n", at(-3600), at(seconds))
}

/// Nothing is to run for some hours.
pub fn closed() -> String {
    let at = |hours| (Local::now() + TimeDelta::hours(hours)).format("%H:%M");
    format!("active_hours = '{}-{}'\n", at(3), at(5))
}

pub const START: &str = "start_command = 'echo >> $HERE/starts; $ACTOR sleep &'\n";

/// A version from so many seconds on, whose start says its name.
pub fn version(name: &str, seconds: i64, more: &str) -> String {
    let apply_on = (Local::now() + TimeDelta::seconds(seconds)).format("%Y-%m-%dT%H:%M:%S");
    format!(
        "[[version]]\napply_on = {apply_on}\nstart_command = 'echo {name} >> $HERE/starts; $ACTOR sleep &'\n{more}\n"
    )
}

pub fn status(scene: &Scene) -> Value {
    let json = scene.say(&["status", "--json"]).stdout;
    serde_json::from_str::<Value>(&json).unwrap()[0].take()
}

#[test]
fn when_its_hours_end_it_is_stopped_once() {
    let scene = Scene::new();
    let watchdog = line(&scene, START).spawn();
    let pid = scene.wait_running();
    scene.wait_for("succeeded");
    reload(&scene, &watchdog, &format!("{START}{}outside_hours = 'stop'", until(1)));
    scene.wait_for(&format!(r"stopped {} \(pid {pid}\), its hours are over", scene.name()));
    scene.wait_for("^INFO not running; outside its hours until 2[^ ]*, so it is not started$");
    let shown = status(&scene);
    assert_eq!((&shown["state"], &shown["hold"]), (&"not running".into(), &"hours".into()), "{shown:#}");
    assert!(shown["hold_seconds"].as_u64().is_some_and(|left| left > 3600), "{shown:#}");
    assert!(scene.say(&["status"]).stdout.contains("outside its hours, "));
    watchdog.wait_checks(5);
    // By hand: that one is followed, and left alone.
    let pid = scene.start_actor(&["sleep"]);
    scene.wait_for("running again, not started by this watchdog");
    watchdog.wait_checks(5);
    assert_eq!((is_there(pid), scene.count("stopping")), (true, 1), "{}", scene.story());
    send(pid, SIGKILL);
    scene.wait_for("; outside its hours, so it is not restarted");
    watchdog.wait_checks(5);
    assert_eq!(scene.starts(), 1, "{}", scene.story());
    reload(&scene, &watchdog, &format!("{START}{}", until(3600)));
    scene.wait_for("INFO its hours have begun");
    scene.wait_running();
    watchdog.terminate();
}

#[test]
fn when_its_hours_end_it_is_left_running_and_not_started_again() {
    let scene = Scene::new();
    let watchdog = line(&scene, START).spawn();
    let pid = scene.wait_running();
    scene.wait_for("succeeded");
    reload(&scene, &watchdog, &format!("{START}{}", closed()));
    watchdog.wait_checks(5);
    assert_eq!((scene.wait_running(), scene.count("outside its hours")), (pid, 0));
    send(pid, SIGKILL);
    scene.wait_for("; outside its hours, so it is not restarted");
    scene.wait_for("INFO not running; outside its hours until");
    watchdog.wait_checks(5);
    assert_eq!((scene.starts(), scene.count("not running; outside its hours")), (1, 1), "{}", scene.story());
    watchdog.terminate();
}

/// As a service manager does with Restart=always.
#[test]
fn what_somebody_else_starts_again_after_its_hours_is_left_alone() {
    let scene = Scene::new();
    let mut other = program("sh");
    other.args(["-c", "while :; do $ACTOR sleep; done"]);
    let _other = scene.spawn(other, Captured::All);
    let pid = scene.wait_running();
    let watchdog = line(&scene, &format!("{START}{}outside_hours = 'stop'", until(1))).spawn();
    scene.wait_for(&format!(r"stopped {} \(pid {pid}\), its hours are over", scene.name()));
    let pid = scene.wait_replaced(pid);
    scene.wait_for(&format!(r"{} \(pid {pid}\) replaces pid", scene.name()));
    watchdog.wait_checks(10);
    assert_eq!(
        (scene.wait_running(), scene.count("stopping"), scene.starts()),
        (pid, 1, 0),
        "{}",
        scene.story()
    );
    watchdog.terminate();
}

#[test]
fn outside_its_hours_each_run_with_once_is_status_5_and_one_says_why() {
    let scene = Scene::new();
    let line = line(&scene, &format!("{START}{}", closed())).flag("--once");
    for _ in 0..3 {
        let ended = line.clone().run();
        assert_eq!((ended.code(), &*ended.stderr), (Some(5), ""), "{ended}");
    }
    assert_eq!((scene.count("not running; outside its hours until"), scene.starts()), (1, 0));
    let would = line.clone().flag("--dry-run").run();
    assert!(
        would.stdout.contains("would\tstart nothing: not running, but outside its hours until 2"),
        "{would}"
    );
    let pid = scene.start_actor(&["sleep"]);
    assert_eq!((line.clone().run().code(), is_there(pid)), (Some(0), true));
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    assert_eq!((line.run().code(), scene.count("not running; outside its hours until")), (Some(5), 2));
}

#[test]
fn a_run_with_once_stops_what_began_in_its_hours() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    scene.wait_until("a second is over", || {
        let started = procfs::process::Process::new(pid).ok()?.stat().ok()?.starttime;
        (watchdog::parts::now().as_secs() > started / procfs::ticks_per_second() + 2).then_some(())
    });
    let line = line(&scene, &format!("{START}{}outside_hours = 'stop'", until(-1))).flag("--once");
    assert_eq!(line.clone().run().code(), Some(5), "{}", scene.story());
    assert!(!is_there(pid));
    // Once for each window.
    let pid = scene.start_actor(&["sleep"]);
    assert_eq!((line.run().code(), is_there(pid)), (Some(0), true), "{}", scene.story());
}

#[test]
fn a_request_is_not_held_by_hours() {
    let scene = Scene::new();
    let watchdog = line(&scene, &format!("{START}{}", closed())).spawn();
    scene.wait_for("not running; outside its hours");
    assert_eq!(scene.say(&["start", scene.name()]).code(), Some(0), "{}", scene.story());
    let pid = scene.wait_running();
    assert_eq!(scene.say(&["restart", scene.name()]).code(), Some(0), "{}", scene.story());
    let pid = scene.wait_replaced(pid);
    send(pid, SIGKILL);
    scene.wait_for("; outside its hours, so it is not restarted");
    watchdog.wait_checks(5);
    assert_eq!(scene.starts(), 2, "{}", scene.story());
    watchdog.terminate();
}

/// Nothing counts as a failure that is judged while something holds it.
#[test]
fn hours_that_end_while_it_starts_or_is_given_up_count_nothing() {
    let scene = Scene::new();
    let broken = "start_command = 'echo >> $HERE/starts'\nmax_fail_count = 2\nretry_after = '1h'\n";
    let watchdog = line(&scene, broken).with("--restart-wait-interval", "2").spawn();
    scene.wait_until("it is started", || (scene.starts() > 0).then_some(()));
    reload(&scene, &watchdog, &format!("{broken}{}", closed()));
    scene.wait_for("attempt not counted: it failed while it is held");
    scene.wait_for("not running; outside its hours");
    assert_eq!((status(&scene)["failures"].clone(), scene.starts()), (0.into(), 1));
    reload(&scene, &watchdog, broken);
    scene.wait_for("gave up after 2 failures");
    let starts = scene.starts();
    reload(&scene, &watchdog, &format!("{broken}{}", closed()));
    watchdog.wait_checks(10);
    scene.wait_until("the hold is shown", || (status(&scene)["hold"] == "hours").then_some(()));
    assert_eq!(scene.starts(), starts, "{}", scene.story());
    watchdog.terminate();
}

#[test]
fn another_version_is_a_stop_and_a_start_and_a_fake_one_takes_that_back() {
    let scene = Scene::new();
    let one = version("one", -3600, "");
    let watchdog = line(&scene, &one).spawn();
    let pid = scene.wait_running();
    scene.wait_for("succeeded");
    // A changed command is that of the next start.
    reload(&scene, &watchdog, &one.replace("echo one", "echo edited"));
    watchdog.wait_checks(5);
    assert_eq!(scene.wait_running(), pid);
    let two = version("two", 1, "");
    reload(&scene, &watchdog, &format!("{one}{two}"));
    scene.wait_for("INFO the version of 2[^ ]* is in force now");
    scene.wait_for(&format!(r"stopped {} \(pid {pid}\), another version is due", scene.name()));
    let pid = scene.wait_replaced(pid);
    scene.wait_until("it is judged", || (scene.count("succeeded") == 2).then_some(()));
    watchdog.wait_checks(5);
    assert_eq!((scene.wait_running(), scene.read("starts")), (pid, "one\ntwo\n".to_owned()));
    let shown = status(&scene);
    assert!(two.contains(shown["version"].as_str().unwrap()), "{shown:#}");
    reload(&scene, &watchdog, &format!("{one}{two}fake = true"));
    scene.wait_replaced(pid);
    scene.wait_until("it is judged", || (scene.count("succeeded") == 3).then_some(()));
    watchdog.wait_checks(5);
    assert_eq!(scene.read("starts"), "one\ntwo\none\n", "{}", scene.story());
    watchdog.terminate();
}

/// A version that is due while nobody watches, and while a pause or its hours hold it.
#[test]
fn a_version_that_is_due_meanwhile_comes_later() {
    let scene = Scene::new();
    let mut file = format!("{START}{}", version("one", -60, ""));
    let watchdog = line(&scene, &file).spawn();
    let pid = scene.wait_running();
    scene.wait_for("succeeded");
    watchdog.terminate();
    file += &version("two", -40, "");
    let watchdog = line(&scene, &file).spawn();
    let pid = scene.wait_replaced(pid);
    scene.wait_until("it is judged", || (scene.count("succeeded") == 2).then_some(()));
    assert_eq!(scene.say(&["pause", scene.name()]).code(), Some(0));
    file += &version("three", -20, "");
    reload(&scene, &watchdog, &file);
    scene.wait_for("is in force now");
    watchdog.wait_checks(5);
    assert_eq!(scene.wait_running(), pid, "{}", scene.story());
    assert_eq!(scene.say(&["resume", scene.name()]).code(), Some(0));
    let pid = scene.wait_replaced(pid);
    scene.wait_until("it is judged", || (scene.count("succeeded") == 3).then_some(()));
    file = closed() + &file + &version("four", -10, "");
    reload(&scene, &watchdog, &file);
    watchdog.wait_checks(5);
    assert_eq!(scene.wait_running(), pid, "{}", scene.story());
    send(pid, SIGKILL);
    scene.wait_for("; outside its hours, so it is not restarted");
    reload(&scene, &watchdog, &file.replacen("active_hours", "# active_hours", 1));
    scene.wait_running();
    assert_eq!(scene.read("starts"), "one\ntwo\nthree\nfour\n", "{}", scene.story());
    watchdog.terminate();
}

#[test]
fn a_version_with_once_comes_with_the_run_after_its_date() {
    let scene = Scene::new();
    let one = version("one", -60, "");
    let line = line(&scene, &one).flag("--once");
    assert_eq!(line.clone().run().code(), Some(0));
    let pid = scene.wait_running();
    write(&scene, &format!("{one}{}", version("two", -30, "")));
    let ended = line.clone().run();
    assert_eq!(ended.code(), Some(0), "{ended}\n{}", scene.story());
    let pid = scene.wait_replaced(pid);
    assert_eq!(line.run().code(), Some(0));
    assert_eq!((scene.wait_running(), scene.read("starts")), (pid, "one\ntwo\n".to_owned()));
}

#[test]
fn after_a_give_up_the_next_round_has_the_version_that_is_due_by_then() {
    let scene = Scene::new();
    let broken = "max_fail_count = 1\nretry_after = '1h'\nstart_command = 'echo broken >> $HERE/starts'\n";
    let watchdog = line(&scene, broken).spawn();
    scene.wait_for("gave up after 1 failure");
    reload(&scene, &watchdog, &format!("{broken}{}", version("mended", -60, "")));
    watchdog.wait_checks(10);
    assert_eq!(scene.starts(), 1, "{}", scene.story());
    assert_eq!(scene.say(&["resume", scene.name()]).code(), Some(0));
    scene.wait_running();
    assert_eq!(scene.read("starts"), "broken\nmended\n");
    watchdog.terminate();
}

#[test]
fn before_the_first_version_nothing_is_started() {
    let scene = Scene::new();
    let file = version("one", 3600, "");
    let line = line(&scene, &file);
    let would = line.clone().flag("--dry-run").run();
    assert!(
        would.stdout.contains("not running, but waiting for the date of its first version until 2"),
        "{would}"
    );
    assert!(would.stdout.contains("would\tno version is in force until 2"), "{would}");
    let once = line.clone().flag("--once");
    assert_eq!((once.clone().run().code(), once.run().code()), (Some(5), Some(5)));
    let said = scene.say(&["start", scene.name()]);
    assert!(
        said.code() == Some(1) && said.stderr.contains("the next --once run is held too: waiting"),
        "{said}"
    );
    let watchdog = line.spawn();
    scene.wait_for(
        "INFO not running; waiting for the date of its first version until 2[^ ]*, so it is not started",
    );
    // The runs before it have left the same record.
    scene.wait_until("it is watched", || status(&scene)["watchdog_pid"].as_i64());
    assert_eq!(status(&scene)["hold"], "version");
    let said = scene.say(&["start", scene.name()]);
    assert!(said.stderr.contains("held; it is waiting for the date of its first version until 2"), "{said}");
    // By hand it runs, and is not restarted: nobody could start it.
    let pid = scene.start_actor(&["sleep"]);
    scene.wait_for("not started by this watchdog");
    let said = scene.say(&["restart", scene.name()]);
    assert_eq!((said.code(), scene.wait_running()), (Some(1), pid), "{said}");
    send(pid, SIGKILL);
    // With a start command of its own, that is what there is before.
    reload(&scene, &watchdog, &format!("{START}{file}"));
    scene.wait_for("INFO its first version is due|starting it");
    scene.wait_running();
    assert_eq!(scene.read("starts"), "\n", "{}", scene.story());
    watchdog.terminate();
}

#[test]
fn what_is_wrong_with_windows_and_versions_is_told_with_its_line() {
    let scene = Scene::new();
    for (lines, says) in [
        ("active_hours = ['25:00']", "2: active_hours '[\"25:00\"]': '25:00' is no time of day; give hours"),
        ("active_hours = 'mon-xyz'", "2: active_hours '[\"mon-xyz\"]': 'xyz' is no day; give mon,"),
        ("active_hours = '08:00-08:00'", "begins when it ends; leave the hours out"),
        ("active_hours = '22:00'", "'22:00' has no end; give both, such as 22:00-06:00"),
        ("active_hours = []", "2: active_hours '[]': it would never run; give a window"),
        ("outside_hours = 'kill'", "2: outside_hours 'kill': is neither; give leave or stop"),
        (
            "[[version]]\nstart_command = 'x'",
            "2: version '[{\"start_command\":\"x\"}]': a version has no apply_on",
        ),
        ("[[version]]\napply_on = 2027-01-31T08:00:00Z\nstart_command = 'x'", "has an offset"),
        ("version = 'x'", "2: version: a text does not fit; give a list of tables"),
    ] {
        let ended = line(&scene, &format!("start_command = 'true'\n{lines}\n")).run();
        assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), 1), "{ended}");
        assert!(ended.stderr.contains(says), "{says}: {ended}");
    }
    // Only fakes give no start command.
    let ended = line(&scene, &version("one", 0, "fake = true")).flag("--no-input").run();
    assert!(ended.stderr.contains("--start-command: missing"), "{ended}");
}
