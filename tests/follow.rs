//! What runs is followed: that process and not its number, and nothing that it leaves behind.

use std::process::Command;
use std::time::Duration;

use chrono::TimeDelta;
use nix::sys::signal::Signal::{SIGCONT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2};
use procfs::process::Process;

use crate::harness::{Captured, Scene};
use crate::machine::{send, skip};
use crate::right_process::copy_actor;
use crate::terminal::Terminal;

/// With an interval of 30 seconds, nothing but the pidfd can be this quick.
#[test]
fn a_death_is_noticed_at_once() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let _watchdog =
        scene.watchdog().with("--health-check-interval", "30s").with("--restart-delay", "0").spawn();
    scene.wait_for("INFO watching ");
    let killed = std::time::Instant::now();
    send(pid, SIGKILL);
    scene.wait_replaced(pid);
    assert!(killed.elapsed() < Duration::from_secs(10), "{:?}\n{}", killed.elapsed(), scene.story());
    let death = scene.wait_for(r"was killed by SIGKILL");
    let start = scene.wait_for("not running; starting it");
    assert!(start.time - death.time < TimeDelta::seconds(2), "{:#?}", scene.log());
}

#[test]
fn a_kill_is_waited_for_shortly_and_a_stop_longer() {
    for (signal, least, most) in [(SIGKILL, 50, 1500), (SIGTERM, 1500, 30_000)] {
        let scene = Scene::new();
        let pid = scene.start_actor(&["sleep"]);
        let _watchdog = scene.watchdog().with("--after-stop", "1.5s").spawn();
        scene.wait_for("INFO watching ");
        send(pid, signal);
        let start = scene.wait_for("not running; starting it");
        let death = scene.wait_for(&format!("{signal}"));
        let waited = start.time - death.time;
        // The first record is written a moment after the death.
        let least = TimeDelta::milliseconds(least * 9 / 10);
        assert!((least..TimeDelta::milliseconds(most)).contains(&waited), "{signal}: {:#?}", scene.log());
        assert_ne!(scene.wait_running(), pid);
    }
}

#[test]
fn a_leader_thread_that_has_exited_is_no_death() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["leader-exits"]);
    scene.wait_until("its leader is a zombie", || (state(pid) == Some('Z')).then_some(()));
    let watchdog = scene.watchdog().spawn();
    let first = scene.wait_for("INFO watching ");
    assert!(first.text.contains(&format!("following {} (pid {pid}, ", scene.name())), "{first:?}");
    watchdog.wait_checks(5);
    assert_eq!((scene.starts(), scene.all()), (0, vec![pid]), "{}", scene.story());
    // And its death is one.
    scene.assert_watched();
}

/// The same while it is followed, and not only when it is found.
#[test]
fn a_leader_thread_may_exit_at_any_time() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["become", scene.path(scene.name()).to_str().unwrap(), "leader-exits"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!("following .*pid {pid}"));
    scene.send_when_caught(pid, SIGUSR2);
    scene.wait_until("its leader is a zombie", || (state(pid) == Some('Z')).then_some(()));
    watchdog.wait_checks(5);
    assert_eq!((scene.starts(), scene.all()), (0, vec![pid]), "{}", scene.story());
    scene.assert_watched();
}

#[test]
fn a_stopped_process_is_running() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("INFO watching ");
    send(pid, SIGSTOP);
    scene.wait_for(&format!("^WARN .*pid {pid}.* is suspended"));
    watchdog.wait_checks(5);
    assert_eq!((scene.starts(), scene.count("^WARN")), (0, 1), "{}", scene.story());
    send(pid, SIGCONT);
    scene.assert_watched();
}

/// From cron too, and not each minute.
#[test]
fn a_stopped_process_is_told_by_once_too() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let run = || assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0), "{}", scene.story());
    for round in 1..3 {
        send(pid, SIGSTOP);
        scene.wait_until("it is stopped", || (state(pid) == Some('T')).then_some(()));
        run();
        run();
        assert_eq!(scene.count(&format!(r"^WARN .*\(pid {pid}\) is suspended")), round, "{:#?}", scene.log());
        send(pid, SIGCONT);
        scene.wait_until("it goes on", || (state(pid) == Some('S')).then_some(()));
        run();
    }
}

#[test]
fn a_process_that_takes_another_name_is_gone() {
    let scene = Scene::new();
    // Of another program, too: one that executes itself again remains what it was.
    let other = copy_actor(&scene, "other");
    let pid = scene.start_actor(&["become", other.to_str().unwrap(), "sleep"]);
    let _watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!("following .*pid {pid}"));
    scene.send_when_caught(pid, SIGUSR2);
    assert_ne!(scene.wait_replaced(pid), pid);
    assert_eq!((scene.starts(), state(pid)), (1, Some('S')), "{}", scene.story());
}

#[test]
fn a_server_goes_before_a_client_and_the_oldest_before_the_rest() {
    let scene = Scene::new();
    let mut terminal = Terminal::new();
    let mut client = Command::new(scene.path(scene.name()));
    client.arg("sleep");
    let _client = terminal.start(&scene, client);
    let client = scene.wait_running();
    let server = |count| {
        let mut command = Command::new(scene.path(scene.name()));
        command.args(["daemonise", "0", "sleep"]);
        assert_eq!(scene.spawn(command, Captured::All).ends().code(), Some(0));
        scene.wait_until("a server more", || (scene.all().len() == count).then(|| scene.all()[count - 1]))
    };
    let (oldest, _youngest) = (server(2), server(3));
    let _watchdog = scene.watchdog().spawn();
    let first = scene.wait_for("INFO watching ");
    assert_eq!(scene.all()[0], client);
    assert!(first.text.contains(&format!("following {} (pid {oldest}, ", scene.name())), "{first:?}");
}

/// nginx's binary upgrade: the old master starts a new one and goes.
#[test]
fn a_successor_that_was_there_before_is_followed() {
    let scene = Scene::new();
    let old = scene.start_actor(&["handover"]);
    let watchdog = scene.watchdog().with("--restart-wait-interval", "0.1").with("--after-stop", "1s").spawn();
    scene.wait_for(&format!("following .*pid {old}"));
    scene.send_when_caught(old, SIGUSR2);
    let new = scene.wait_until("both are there", || match scene.all()[..] {
        [first, second] if first == old => Some(second),
        _ => None,
    });
    // Not so early that the old one might be the new one's launcher.
    scene.wait_until("it has run for a while", || (age(old) > Duration::from_millis(500)).then_some(()));
    send(old, SIGQUIT);
    scene.wait_for(&format!(
        r"^INFO (?:running again, not started by this watchdog|handed over): .*\(pid {new}\).* replaces pid {old}"
    ));
    assert_eq!(scene.all(), [new]);
    watchdog.wait_checks(5);
    assert_eq!(scene.starts(), 0);
    assert_ne!(scene.assert_watched(), new);
}

/// Starts one that then gives itself a title.
fn start_retitled(scene: &Scene) -> i32 {
    let pid = scene.start_actor(&["retitled", "sleep"]);
    retitle(scene, pid);
    pid
}

fn retitle(scene: &Scene, pid: i32) {
    scene.send_when_caught(pid, SIGUSR2);
    let is_titled =
        || Process::new(pid).unwrap().cmdline().unwrap().first()?.ends_with(": master process").then_some(());
    scene.wait_until("it has its title", is_titled);
}

/// A daemon has its title some time after it was found, and what takes its place has it too.
#[test]
fn a_successor_is_known_by_what_the_process_calls_itself_now() {
    let scene = Scene::new();
    let old = scene.start_actor(&["retitled", "sleep"]);
    let watchdog = scene.watchdog().with("--restart-wait-interval", "0.1").with("--after-stop", "1s").spawn();
    scene.wait_for(&format!("following .*pid {old}"));
    retitle(&scene, old);
    // Its title is looked at now and then; at once, if somebody asks.
    watchdog.send(SIGUSR1);
    scene.wait_for("checked: ");
    let new = start_retitled(&scene);
    scene.wait_until("it has run for a while", || (age(old) > Duration::from_millis(500)).then_some(()));
    send(old, SIGKILL);
    scene.wait_for(&format!(r"^INFO .*\(pid {new}\).* replaces pid {old}"));
    assert_eq!((scene.starts(), scene.count("left over")), (0, 0), "{:#?}", scene.log());
    watchdog.terminate();
}

#[test]
fn from_cron_a_successor_is_known_by_it_too() {
    let scene = Scene::new();
    let old = scene.start_actor(&["retitled", "sleep"]);
    let run = || scene.watchdog().flag("--once").run();
    assert_eq!(run().code(), Some(0));
    let argument = || scene.state()["process"]["argument"].clone();
    let before = argument();
    retitle(&scene, old);
    assert_eq!(run().code(), Some(0));
    assert_ne!(argument(), before);
    let new = start_retitled(&scene);
    assert_eq!(run().code(), Some(0));
    send(old, SIGKILL);
    scene.wait_gone(old);
    assert_eq!((run().code(), scene.all(), scene.starts()), (Some(0), vec![new], 0), "{:#?}", scene.log());
}

/// nginx's master dies alone: its workers match, hold the port, and are not it.
#[test]
fn left_overs_do_not_count() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().starting("$ACTOR master $HERE/lock 2").spawn();
    scene.wait_for("attempt 1 succeeded");
    let lead = |pid: &i32| Process::new(*pid).unwrap().cmdline().unwrap()[0].ends_with(": master process");
    scene.wait_until("a master and two workers", || (scene.all().len() == 3).then_some(()));
    let (masters, workers): (Vec<_>, Vec<_>) = scene.all().into_iter().partition(lead);
    let &[master] = &masters[..] else { panic!("{masters:?}") };
    assert!(scene.wait_for(&format!(r"\(pid {master}\)")).text.starts_with("INFO"));

    send(master, SIGKILL);
    let ended = watchdog.ends();
    assert_eq!((ended.code(), scene.starts()), (Some(1), 4), "{ended}");
    assert_eq!(scene.all(), workers, "nobody ends them");
    let log = scene.log();
    let named = |pid: &i32| {
        log.iter().any(|record| !record.text.starts_with("INFO") && record.text.contains(&pid.to_string()))
    };
    assert!(workers.iter().all(named), "{log:#?}");
    scene.wait_for("exited with status 1.*Address already in use");
    scene.wait_for("^ERROR gave up after 3 failures");
}

/// While the left-overs go, the next attempt succeeds.
#[test]
fn left_overs_that_go_make_room() {
    let scene = Scene::new();
    let _watchdog =
        scene.watchdog().starting("$ACTOR master $HERE/lock 2").with("--max-fail-count", "unlimited").spawn();
    scene.wait_for("attempt 1 succeeded");
    let all = scene.wait_until("a master and two workers", || <[i32; 3]>::try_from(scene.all()).ok());
    send(all[0], SIGKILL);
    scene.wait_for("failed");
    for pid in all {
        send(pid, SIGKILL);
    }
    scene.wait_until("an attempt succeeds", || (scene.count("succeeded") == 2).then_some(()));
}

/// A user may type `kthreadd`, but a thread of the kernel is no service.
#[test]
fn a_kernel_thread_never_counts() {
    if std::fs::read_to_string("/proc/2/comm").is_ok_and(|comm| comm != "kthreadd\n") {
        return skip("no kernel threads to be seen");
    }
    let scene = Scene::new();
    let ended = scene
        .watchdog()
        .with("--process-name", "^kthreadd$")
        .with("--max-fail-count", "1")
        .flag("--once")
        .starting("true")
        .run();
    assert_eq!((ended.code(), scene.starts()), (Some(1), 1), "{ended}");
}

/// Nor does another watchdog, whatever it is called.
#[test]
fn another_watchdog_never_counts() {
    let scene = Scene::new();
    std::fs::remove_file(scene.path(scene.name())).unwrap();
    std::os::unix::fs::symlink(crate::harness::WATCHDOG, scene.path(scene.name())).unwrap();
    let elsewhere = scene.path("elsewhere");
    let options = ["-p", "^kthreadd$", "-s", "true", "-m", "unlimited", "--name", "other", "--state-dir"];
    let mut other = Command::new(scene.path(scene.name()));
    other.args(options).arg(&elsewhere).arg("--log-dir").arg(&elsewhere).stdin(std::process::Stdio::null());
    let other = scene.spawn(other, Captured::All);
    scene.wait_until("it is at work", || (scene.all() == [other.pid()]).then_some(()));
    let ended = scene.watchdog().with("--max-fail-count", "1").flag("--once").starting("true").run();
    assert_eq!((ended.code(), scene.starts()), (Some(1), 1), "{ended}");
}

pub fn age(pid: i32) -> Duration {
    let started = Process::new(pid).unwrap().stat().unwrap().starttime;
    let started = Duration::from_millis(started * 1000 / procfs::ticks_per_second());
    <procfs::Uptime as procfs::Current>::current().unwrap().uptime_duration().saturating_sub(started)
}

/// `R`, `S`, `Z`, …
fn state(pid: i32) -> Option<char> {
    Some(Process::new(pid).and_then(|it| it.stat()).ok()?.state)
}

/// A zombie is dead, whether or not its parent ever waits for it.
#[test]
fn a_zombie_is_dead() {
    let scene = Scene::new();
    let mut parent = Command::new(scene.link_actor("parent"));
    parent.args(["neglect", scene.path(scene.name()).to_str().unwrap(), "sleep"]);
    let _parent = scene.spawn(parent, Captured::All);
    let pid = scene.wait_running();
    let _watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!("following .*pid {pid}"));
    send(pid, SIGKILL);
    scene.wait_replaced(pid);
    assert_eq!((state(pid), scene.starts()), (Some('Z'), 1), "{}", scene.story());
    // And is no reason not to start at the beginning either.
    let next = scene.watchdog().with("--name", "next").flag("--once").run();
    assert_eq!((next.code(), scene.starts()), (Some(0), 1), "{next}");
}
