//! `start`, `stop` and `restart` (rule 49), as far as no watch carries them out.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal::{SIGKILL, SIGSTOP};
use serde_json::json;
use watchdog::parts::{Answer, Files, NotDone, Reply, Request, TakenRequest, boot_id, name};

use crate::harness::{Captured, Ended, Scene, WATCHDOG, Watchdog};
use crate::machine::{is_root, is_there, send, skip, unshare};

const WITHIN: Duration = Duration::from_secs(20);

/// What is said of one instance, and how it ends.
#[track_caller]
fn assert_said(ended: &Ended, status: i32, said: &str) {
    let (heard, silent) =
        if status == 0 { (&ended.stdout, &ended.stderr) } else { (&ended.stderr, &ended.stdout) };
    assert_eq!((ended.code(), heard.lines().count(), &**silent), (Some(status), 1, ""), "{said}: {ended}");
    assert!(heard.contains(said), "{said}: {ended}");
}

fn files(scene: &Scene) -> Files {
    Files::new(&scene.path("state"), &name(scene.name()).unwrap(), &boot_id("/proc".as_ref()))
}

fn make_state_old(scene: &Scene) {
    let mut state = scene.state();
    // As a version writes it that does not say how the clocks were.
    state["clocks_ms"] = serde_json::Value::Null;
    fs::write(scene.kept("json"), state.to_string()).unwrap();
    let old = SystemTime::now() - Duration::from_secs(180);
    File::options().write(true).open(scene.kept("json")).unwrap().set_modified(old).unwrap();
}

/// A crontab line without a configuration file.
#[test]
fn a_stop_lasts_until_a_start_and_the_next_run_carries_that_out() {
    let scene = Scene::new();
    let line = scene.watchdog().flag("--once");
    assert_eq!(line.clone().run().code(), Some(0));
    let pid = scene.wait_running();
    let start = format!("watchdog start {} --state-dir ", scene.name());
    assert_said(&scene.say(&["stop", scene.name()]), 0, &format!("{}: stopped until '{start}", scene.name()));
    assert!(!is_there(pid));
    assert_eq!(line.clone().run().code(), Some(5), "{}", scene.story());
    assert_eq!(scene.starts(), 1);
    let shown = scene.say(&["status"]);
    assert!(shown.stdout.contains("  stopped\n"), "{shown}");
    let shown = line.clone().flag("--dry-run").run();
    assert!(shown.stdout.contains(&format!("stopped until '{start}")), "{shown}");
    for command in ["pause", "resume"] {
        assert_said(&scene.say(&[command, scene.name()]), 2, &format!("to start it: {start}"));
    }
    assert_said(&scene.say(&["stop", scene.name()]), 0, "stopped until");
    assert_said(&scene.say(&["start", scene.name()]), 0, "the next --once run starts it");
    assert_eq!(line.clone().run().code(), Some(0), "{}", scene.story());
    let pid = scene.wait_running();
    assert_said(&scene.say(&["start", scene.name()]), 0, &format!("{} (pid {pid}) is running", scene.name()));
    assert_eq!(scene.starts(), 2);
}

#[test]
fn a_restart_stops_it_and_the_next_run_starts_it() {
    let scene = Scene::new();
    let line = scene.watchdog().flag("--once");
    assert_eq!(line.clone().run().code(), Some(0));
    assert_eq!(scene.say(&["pause", scene.name()]).code(), Some(0));
    let pid = scene.wait_running();
    // Until it goes on, it heeds no other signal.
    send(pid, SIGSTOP);
    let said = format!("{} (pid {pid}) has ended; the next --once run starts it", scene.name());
    assert_said(&scene.say(&["restart", scene.name()]), 0, &said);
    assert!(!is_there(pid));
    assert_eq!(line.run().code(), Some(0), "{}", scene.story());
    assert_ne!(scene.wait_running(), pid);
}

#[test]
fn start_forgets_a_give_up() {
    let scene = Scene::new();
    let line = scene.watchdog().flag("--once").with("--max-fail-count", "1");
    let line = line.with("--restart-wait-interval", "0.1").starting("[ -e $HERE/mended ] && $ACTOR sleep &");
    assert_eq!(line.clone().run().code(), Some(1));
    fs::write(scene.path("mended"), "").unwrap();
    assert_eq!(line.clone().run().code(), Some(5));
    assert_said(&scene.say(&["start", scene.name()]), 0, "the next --once run starts it");
    assert_eq!(line.run().code(), Some(0), "{}", scene.story());
}

/// Nobody would start it again.
#[test]
fn what_nobody_checks_is_neither_started_nor_restarted() {
    let scene = Scene::new();
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    let pid = scene.wait_running();
    make_state_old(&scene);
    for command in ["start", "restart"] {
        assert_said(&scene.say(&[command, scene.name()]), 1, "nothing was done, since nobody watches it");
    }
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("following");
    watchdog.terminate();
    assert_said(&scene.say(&["restart", scene.name()]), 1, "nothing was done, since nobody watches it");
    assert!(!scene.kept("pause").exists());
    assert_eq!(scene.wait_running(), pid);
    assert_said(&scene.say(&["stop", scene.name()]), 0, "stopped until");
    assert!(!is_there(pid));
}

#[test]
fn an_upgrade_holds_what_is_not_given_by_name() {
    let scene = Scene::new();
    let line = scene.watchdog().flag("--once");
    assert_eq!(line.clone().run().code(), Some(0));
    let pid = scene.wait_running();
    assert_eq!(scene.say(&["pause", "--upgrade", "--for", "30m"]).code(), Some(0));
    for command in ["start", "restart"] {
        assert_said(&scene.say(&[command, "--all"]), 1, "packages are being upgraded");
    }
    assert_eq!(scene.wait_running(), pid);
    assert_said(&scene.say(&["restart", scene.name()]), 0, "the next --once run starts it");
    assert_eq!(line.run().code(), Some(0), "somebody's word counts more: {}", scene.story());
}

/// All or nothing.
#[test]
fn an_unknown_name_is_refused_and_nothing_is_done() {
    let scene = Scene::new();
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    let pid = scene.wait_running();
    for words in [&["stop", scene.name(), "dokcer"][..], &["restart", "dokcer"], &["start", "dokcer"]] {
        assert_said(&scene.say(words), 2, "no watchdog is named 'dokcer'");
    }
    for words in [&["stop"][..], &["restart", "x", "--all"], &["start", "x", "--upgrade"]] {
        assert_eq!(scene.say(words).code(), Some(2), "{words:?}");
    }
    assert!(is_there(pid) && !scene.kept("pause").exists());
}

#[test]
fn another_user_may_not_ask_for_it() {
    if !is_root() {
        return skip("only root can be another user");
    }
    let scene = Scene::new();
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    let pid = scene.wait_running();
    for command in ["start", "stop", "restart"] {
        let other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
        assert_said(&scene.say_through(&other, &[command, scene.name()]), 4, "another user");
    }
    assert!(is_there(pid) && !scene.kept("pause").exists() && !scene.kept("request").exists());
}

/// The watches of today take none.
#[test]
fn a_watchdog_that_takes_no_requests_is_named() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().spawn();
    let pid = scene.wait_running();
    scene.wait_for("attempt 1 succeeded");
    let mut state = scene.state();
    state["takes_requests"] = json!(false);
    fs::write(scene.kept("json"), state.to_string()).unwrap();
    for command in ["start", "stop", "restart"] {
        let said = format!("its watchdog (pid {}) is of a version that takes no requests", watchdog.pid());
        assert_said(&scene.say(&[command, scene.name()]), 1, &said);
    }
    assert!(is_there(pid) && !scene.kept("pause").exists());
    watchdog.terminate();
}

/// Runs a command where the instance has a configuration file.
pub fn configured(scene: &Scene, more: &str, words: &[&str]) -> Option<Ended> {
    let text = format!(
        "process_name = '{}'\nstart_command = '''echo >> $HERE/starts; $ACTOR sleep &'''\nrestart_wait_interval = 0.5\n\
         restart_delay = '50ms'\nafter_stop = 0.3\nstate_dir = '{}'\nlog_dir = '{}'\n{more}\n",
        scene.name(),
        scene.path("state").display(),
        scene.path("log").display()
    );
    fs::write(scene.path("x.toml"), text).unwrap();
    let (name, mut through) = (scene.name(), vec![]);
    let folder = if is_root() {
        through = unshare(scene, &["--mount"])?;
        "mount -t tmpfs none /etc && F=/etc/watchdog"
    } else {
        "export HOME=$HERE/home && F=$HOME/.config/watchdog"
    };
    let script = format!("{folder} && mkdir -p $F && cp $HERE/x.toml $F/{name}.toml && exec \"$@\"");
    through.extend(["sh", "-c", &script, "sh", WATCHDOG].map(str::to_owned));
    let mut command = Command::new(&through[0]);
    command.args(&through[1..]).args(words).arg("--state-dir").arg(scene.path("state")).stdin(Stdio::null());
    Some(scene.spawn(command, Captured::All).ends())
}

#[test]
fn a_configuration_file_is_all_that_a_start_needs() {
    let scene = Scene::new();
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    let pid = scene.wait_running();
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    make_state_old(&scene);
    // With --once it would have no end.
    let Some(ended) = configured(&scene, "max_fail_count = 'unlimited'", &["start", scene.name()]) else {
        return skip("no /etc of its own can be had");
    };
    let pid = scene.wait_running();
    assert_said(&ended, 0, &format!("{} (pid {pid}) is running", scene.name()));
    assert_eq!(scene.starts(), 2);
    let wrong = configured(&scene, "stop_signal = 'STOP'", &["restart", scene.name()]).unwrap();
    assert_said(&wrong, 2, "stop_signal 'STOP': suspends a process");
    let broken =
        configured(&scene, "start_timeout = 'x'\nkill_mode = 'y'", &["start", scene.name()]).unwrap();
    assert_eq!((broken.code(), broken.stderr.lines().count()), (Some(2), 2), "{broken}");
    assert_eq!(scene.wait_running(), pid);
}

#[test]
fn what_does_not_start_is_said() {
    let scene = Scene::new();
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    let pid = scene.wait_running();
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    fs::remove_file(scene.path(scene.name())).unwrap();
    let Some(ended) = configured(&scene, "max_fail_count = 1", &["start", scene.name()]) else {
        return skip("no /etc of its own can be had");
    };
    assert_eq!((ended.code(), &*ended.stdout), (Some(1), ""), "{ended}");
    assert!(ended.stderr.lines().last().unwrap().contains(": it did not start; not running "), "{ended}");
}

/// The watchdog at work, as far as whoever asks can see: the process that is woken, and this test, which answers.
struct Answering<'a> {
    scene: &'a Scene,
    watchdog: i32,
}

impl<'a> Answering<'a> {
    fn new(scene: &'a Scene) -> Self {
        assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
        let script = "trap 'echo >> $HERE/woken' USR1; echo > $HERE/ready; while :; do sleep 0.1; done";
        let watchdog = scene.start_child("/bin/sh".as_ref(), &["-c", script]);
        scene.wait_until("it can be woken", || scene.path("ready").exists().then_some(()));
        let ticks = procfs::process::Process::new(watchdog).unwrap().stat().unwrap().starttime;
        let mut state = scene.state();
        state["watchdog"] =
            json!({ "pid": watchdog, "started_ms": ticks * 1000 / procfs::ticks_per_second() });
        (state["once"], state["takes_requests"]) = (json!(false), json!(true));
        fs::write(scene.kept("json"), state.to_string()).unwrap();
        Answering { scene, watchdog }
    }

    fn asks(&self, words: &[&str]) -> Watchdog<'a> {
        self.scene.begin_to_say(&[], &[words, &[self.scene.name()]].concat())
    }

    fn takes(&self) -> TakenRequest {
        self.scene.wait_until("somebody asks", || files(self.scene).take_request(WITHIN))
    }
}

#[test]
fn what_the_watchdog_answers_is_said() {
    let scene = Scene::new();
    let answering = Answering::new(&scene);
    let (pid, watchdog) = (scene.wait_running(), answering.watchdog);
    let failed = |why, detail: &str| Reply { answer: Answer::Failed(why), detail: Some(detail.to_owned()) };
    for (command, request, reply, status, said) in [
        ("start", Request::Start, Answer::Done.into(), 0, format!("{} (pid {pid}) is running", scene.name())),
        (
            "restart",
            Request::Restart,
            failed(NotDone::Held, "shutdown"),
            1,
            "it is held; shutdown".to_owned(),
        ),
        (
            "stop",
            Request::Stop,
            failed(NotDone::StillThere, "a\nb"),
            1,
            "is still there; a\\nb; it is not".to_owned(),
        ),
        (
            "stop",
            Request::Stop,
            Answer::Done.into(),
            0,
            format!("the watchdog itself (pid {watchdog}) keeps running"),
        ),
        ("restart", Request::Restart, Answer::Superseded.into(), 1, "another request came after".to_owned()),
    ] {
        let asker = answering.asks(&[command]);
        let taken = answering.takes();
        assert_eq!(taken.request, request);
        // What is held and what is not is known before the request is.
        let pause: serde_json::Value =
            serde_json::from_slice(&fs::read(scene.kept("pause")).unwrap()).unwrap();
        assert_eq!(pause["stopped"], json!(command == "stop"));
        taken.answer(&reply).unwrap();
        assert_said(&asker.ends(), status, &said);
    }
    scene.wait_until("it was woken", || (scene.read("woken").lines().count() >= 1).then_some(()));
    assert_eq!(scene.wait_running(), pid);
}

#[test]
fn the_newest_request_counts_and_one_whose_maker_is_gone_does_not() {
    let scene = Scene::new();
    let answering = Answering::new(&scene);
    let first = answering.asks(&["restart"]);
    let taken = answering.takes();
    let second = answering.asks(&["stop"]);
    assert_said(&first.ends(), 1, "another request came after this one");
    assert!(!taken.is_wanted());
    let newer = answering.takes();
    assert_eq!(newer.request, Request::Stop);
    newer.answer(&Answer::Done.into()).unwrap();
    assert_said(&second.ends(), 0, "stopped until");

    let third = answering.asks(&["start"]);
    scene.wait_until("it asks", || {
        fs::read_to_string(scene.kept("request")).ok().filter(|it| it.contains("start"))
    });
    third.send(SIGKILL);
    third.ends();
    assert!(files(&scene).take_request(WITHIN).is_none());
}

/// Whoever waits for the end of a run has not been the last to say something.
#[test]
fn a_restart_that_waits_does_not_end_a_pause_that_is_newer() {
    let scene = Scene::new();
    let run = Answering::new(&scene);
    let mut state = scene.state();
    state["once"] = json!(true);
    fs::write(scene.kept("json"), state.to_string()).unwrap();
    let restart = run.asks(&["restart"]);
    let fds = format!("/proc/{}/fd", restart.pid());
    let waits = || {
        let mut targets = fs::read_dir(&fds).ok()?.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        targets.any(|target| target.to_string_lossy().contains("pidfd")).then_some(())
    };
    scene.wait_until("it waits for the run", waits);
    let pid = scene.wait_running();
    assert_said(&scene.say(&["pause", scene.name()]), 0, "paused until");
    send(run.watchdog, SIGKILL);
    assert_said(&restart.ends(), 1, "another request came after this one");
    assert_eq!(scene.wait_running(), pid);
    assert!(fs::read_to_string(scene.kept("pause")).unwrap().contains("\"paused\":true"));
}

/// Whatever it was that the watchdog had begun.
#[test]
fn whoever_asked_carries_it_out_if_the_watchdog_ends() {
    let scene = Scene::new();
    let answering = Answering::new(&scene);
    let pid = scene.wait_running();
    let asker = answering.asks(&["stop"]);
    let _taken = answering.takes();
    send(answering.watchdog, SIGKILL);
    assert_said(&asker.ends(), 0, "stopped until");
    assert!(!is_there(pid));
}

/// It is not said to have done nothing, where nobody else can go on with it.
#[test]
fn a_restart_whose_watchdog_ends_in_the_middle_is_said_to_have_begun() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().starting("$ACTOR ignore-term &").with("--stop-timeout", "60").spawn();
    scene.wait_for("attempt 1 succeeded");
    let asker = scene.begin_to_say(&[], &["restart", scene.name()]);
    scene
        .wait_until("it is being stopped", || (!scene.state()["memory"]["stopping"].is_null()).then_some(()));
    watchdog.send(SIGKILL);
    watchdog.ends();
    assert_said(
        &asker.ends(),
        1,
        "its watchdog has ended in the middle of it, and there is no configuration",
    );
    scene.wait_running();
}
