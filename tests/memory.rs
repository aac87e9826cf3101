//! What outlives a watchdog: its start command, its lock, its state file, and what it has said.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal::SIGKILL;
use procfs::process::Process;
use serde_json::{Value, json};

use crate::harness::{Captured, DEADLINE, Ended, Invocation, Scene};
use crate::machine::{is_root, is_there, pipe, send, skip, unshare};

/// What a line in a crontab comes to: its status, and what would be mailed.
fn from_cron(scene: &Scene, line: &Invocation) -> (Option<i32>, String) {
    let folder = |variable: &str, path: &str| format!("{variable}={}", scene.path(path).display());
    let (home, here, actor) = (folder("HOME", "home"), folder("HERE", ""), folder("ACTOR", scene.name()));
    let here = here.trim_end_matches('/');
    let cron = ["env", "-i", "PATH=/usr/bin:/bin", "SHELL=/bin/sh", "LOGNAME=root", &home, here, &actor];
    let (reader, writer) = pipe();
    let mut command = line.clone().through(&cron).command();
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let job = scene.spawn(command, Captured::Nothing);
    let said = std::io::read_to_string(reader).unwrap();
    (job.ends().code(), said)
}

fn random(below: u64) -> u64 {
    RandomState::new().hash_one(()) % below
}

#[test]
fn of_two_hundred_checks_at_once_one_starts_it() {
    let scene = Scene::new();
    let (reader, writer) = pipe();
    let runs: Vec<_> = (0..200)
        .map(|_| {
            let wait = ["sh", "-c", "read go; exec \"$@\" </dev/null", "sh"];
            let mut command = scene.watchdog().flag("--once").through(&wait).command();
            command.stdin(reader.try_clone().unwrap());
            scene.spawn(command, Captured::All)
        })
        .collect();
    drop(writer);
    let ended: Vec<_> = runs.iter().map(|run| run.ends()).collect();
    assert_eq!((scene.starts(), scene.all().len()), (1, 1), "{}", scene.story());
    for ended in &ended {
        assert!(matches!(ended.code(), Some(0 | 5)) && ended.stdout.is_empty(), "{ended}");
    }
    let said: Vec<_> = ended.iter().filter(|ended| !ended.stderr.is_empty()).collect();
    assert!(said.len() == 1 && said[0].code() == Some(0), "{said:#?}");
}

/// Kills watchdogs and their process at random moments. The start command takes its time, and says itself
/// if another is running.
fn killed_at_any_moment(rounds: u32) {
    let scene = Scene::new();
    let start = format!(
        "mkdir $HERE/guard || echo >> $HERE/two; sleep $(cat $HERE/delay); $ACTOR sleep & \
         until grep -q {} /proc/$!/comm; do kill -0 $! || break; done; rmdir $HERE/guard",
        scene.name()
    );
    let line = scene
        .watchdog()
        .starting(&start)
        .with("--max-fail-count", "unlimited")
        .with("--stable-after", "0")
        .with("--health-check-interval", "0.02")
        .with("--restart-wait-interval", "0.1")
        .with("--restart-delay", "0")
        .with("--after-stop", "0.05");
    let milliseconds = |below| Duration::from_millis(random(below));
    for round in 0..rounds {
        fs::write(scene.path("delay.new"), format!("0.{:03}", random(300))).unwrap();
        fs::rename(scene.path("delay.new"), scene.path("delay")).unwrap();
        let watchdog = line.clone().spawn();
        thread::sleep(milliseconds(150));
        let all = scene.all();
        assert!(all.len() <= 1, "round {round}: {all:?}\n{}", scene.story());
        for pid in all {
            send(pid, SIGKILL);
        }
        thread::sleep(milliseconds(150));
        watchdog.send(SIGKILL);
        watchdog.ends();
        if scene.kept("json").exists() {
            assert_eq!(scene.state()["version"], 1, "round {round}");
        }
        assert!(!scene.path("two").exists(), "round {round}: two at once\n{}", scene.story());
    }
    let watchdog = line.spawn();
    scene.wait_running();
    scene.assert_watched();
    watchdog.terminate();
    scene.wait_until("the start command ends", || (!scene.path("guard").exists()).then_some(()));
    assert_eq!(scene.all().len(), 1);
    assert!(!scene.path("two").exists() && scene.starts() > 1, "{}", scene.story());
    let left: Vec<_> =
        fs::read_dir(scene.path("state")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.len() <= 4 + rounds as usize, "{left:?}");
    assert!(!scene.kept("json.damaged").exists());
}

#[test]
fn killed_at_any_moment_it_leaves_all_in_order() {
    killed_at_any_moment(50);
}

/// `cargo test -- --ignored five_hundred`
#[test]
#[ignore = "takes some minutes"]
fn killed_five_hundred_times_it_leaves_all_in_order() {
    killed_at_any_moment(500);
}

#[test]
fn a_start_command_at_work_is_waited_for_by_the_next_watchdog() {
    for once in [false, true] {
        let scene = Scene::new();
        let line = scene.watchdog().starting("until [ -e $HERE/go ]; do sleep 0.02; done; $ACTOR sleep &");
        let line = if once { line.flag("--once") } else { line };
        let first = line.clone().spawn();
        scene.wait_until("it is started", || (scene.starts() == 1).then_some(()));
        first.send(SIGKILL);
        first.ends();
        let second = line.spawn();
        scene.wait_for("the previous watchdog's start command .* has been running for");
        second.wait_checks(10);
        fs::write(scene.path("go"), "").unwrap();
        scene.wait_running();
        if once {
            assert_eq!(second.ends().code(), Some(0), "{}", scene.story());
        } else {
            scene.wait_for("succeeded");
            second.terminate();
        }
        assert_eq!(scene.starts(), 1, "{}", scene.story());
    }
}

/// A watchdog that is killed just after it ran the start command could not write that down: the command's
/// own note says so.
#[test]
fn an_attempt_that_was_not_written_down_is_known() {
    for mode in [&[][..], &["--once"]] {
        let scene = Scene::new();
        let line =
            scene.watchdog().starting("date +%s%3N >> $HERE/times").with("--restart-wait-interval", "3");
        let line = mode.iter().fold(line, |line, flag| line.flag(flag));
        let first = line.clone().spawn();
        scene.wait_until("a first attempt is judged", || (scene.starts() == 2).then_some(()));
        scene.wait_until("it is written down", || {
            (scene.state()["memory"]["failures"] == 1 && scene.state()["command"].is_null()).then_some(())
        });
        first.send(SIGKILL);
        first.ends();
        // As it was before the second one.
        change_state(&scene, |state| {
            let second = state["memory"]["last_attempt_ms"].as_u64().unwrap();
            state["memory"]["last_attempt_ms"] = json!(second - 3_000);
            state["memory"]["judging"] = json!(false);
        });
        let second = line.spawn();
        scene.wait_for("gave up after 3 failures");
        assert_eq!(second.ends().code(), Some(1), "{}", scene.story());
        assert_eq!(scene.starts(), 3, "{}", scene.story());
        let times = scene.read("times");
        let times: Vec<u64> = times.lines().map(|time| time.parse().unwrap()).collect();
        assert!(times[2] - times[1] >= 2_900, "{times:?}\n{}", scene.story());
    }
}

/// A number is used again sooner or later, be it by another session's leader.
#[test]
fn who_has_the_start_commands_number_later_is_a_stranger() {
    for (later, is_stranger) in [(0, false), (200, true)] {
        let scene = Scene::new();
        let other = scene.link_actor("other");
        let mut session = Command::new("setsid");
        session.arg(&other).arg("sleep");
        let session = scene.spawn(session, Captured::All);
        let leader = session.pid();
        let started = scene.wait_until("it is a session's leader", || {
            let stat = Process::new(leader).and_then(|it| it.stat()).ok()?;
            (stat.comm == "other" && stat.session == leader).then_some(stat.starttime)
        });
        let started = started * 1000 / procfs::ticks_per_second();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        fs::create_dir_all(scene.path("state")).unwrap();
        fs::write(scene.kept("start"), format!("{} 0\n{leader} {}\n", boot.trim(), started - later)).unwrap();
        let watchdog = scene.watchdog().with("--start-timeout", "0.5").spawn();
        scene.wait_for(if is_stranger {
            "attempt 1 succeeded"
        } else {
            "has been running for .*waiting for it"
        });
        if !is_stranger {
            scene.wait_until("the state says so", || {
                (scene.state()["command"]["pid"] == leader).then_some(())
            });
            scene.wait_for("still runs after .*; ending the start command");
        }
        assert_eq!(
            scene.count("has been running for .*waiting for it"),
            usize::from(!is_stranger),
            "{}",
            scene.story()
        );
        if is_stranger {
            assert!(is_there(leader), "{}", scene.story());
        } else {
            scene.wait_gone(leader);
        }
        watchdog.terminate();
    }
}

/// The service manager begins a watchdog again that was killed, which is no word of anybody's.
#[test]
fn a_give_up_outlives_a_watchdog_that_is_killed() {
    let scene = Scene::new();
    let service = || {
        let line =
            scene.watchdog().with("--max-fail-count", "1").with("--retry-after", "100s").starting("false");
        let mut command = line.command();
        command.env("INVOCATION_ID", "0123456789abcdef0123456789abcdef");
        scene.spawn(command, Captured::All)
    };
    let first = service();
    let given_up = || !scene.state()["memory"]["gave_up_until_ms"].is_null();
    scene.wait_for("gave up after 1 failure");
    scene.wait_until("that is written down", || given_up().then_some(()));
    first.send(SIGKILL);
    first.ends();
    let second = service();
    scene.wait_for("^INFO the previous watchdog gave up; trying again in 1m [34]");
    second.wait_checks(5);
    assert_eq!((scene.starts(), given_up()), (1, true), "{}", scene.story());
    // Whoever stops and starts it wants it to begin anew.
    second.terminate();
    let third = service();
    scene.wait_until("it is tried again", || (scene.starts() == 2).then_some(()));
    third.terminate();
}

/// A service that breaks, comes back and stays costs two mails.
#[test]
fn from_cron_a_broken_service_costs_one_mail_and_a_mended_one_another() {
    let scene = Scene::new();
    let line = scene
        .watchdog()
        .flag("--once")
        .with("--max-fail-count", "1")
        .with("--restart-wait-interval", "0.1")
        .with("--retry-after", "1s")
        .starting("echo broken; exit 3");
    let (code, mail) = from_cron(&scene, &line);
    assert_eq!((code, mail.lines().count(), scene.starts()), (Some(1), 1, 1), "{mail}");
    assert!(mail.contains("gave up after 1 failure"), "{mail}");
    let mut left_alone = 0;
    scene.wait_until("three rounds more", || {
        let before = scene.starts();
        let (code, mail) = from_cron(&scene, &line);
        let expected = if scene.starts() == before { 5 } else { 1 };
        assert_eq!((code, &*mail), (Some(expected), ""), "{}", scene.story());
        left_alone += u32::from(expected == 5);
        (scene.starts() == 4).then_some(())
    });
    assert!(left_alone > 3, "{left_alone}");
    let pid = scene.start_actor(&["sleep"]);
    let (code, mail) = from_cron(&scene, &line);
    assert_eq!((code, mail.lines().count()), (Some(0), 1), "{mail}");
    assert!(mail.contains("running again: ") && mail.contains(&format!("(pid {pid})")), "{mail}");
    for _ in 0..3 {
        assert_eq!(from_cron(&scene, &line), (Some(0), String::new()));
    }
    assert_eq!(scene.starts(), 4);
}

/// The line without `--once`: the watch that it begins has a memory too.
#[test]
fn from_cron_a_long_running_watch_that_gave_up_begins_again_in_silence() {
    let scene = Scene::new();
    let line = scene.watchdog().with("--max-fail-count", "1").with("--restart-wait-interval", "0.1");
    let line = line.starting("[ -e $HERE/mended ] && $ACTOR sleep &");
    let (code, mail) = from_cron(&scene, &line);
    assert_eq!((code, mail.is_empty()), (Some(1), false));
    for _ in 0..3 {
        assert_eq!(from_cron(&scene, &line), (Some(5), String::new()));
    }
    assert_eq!(scene.starts(), 1);
    let pid = scene.start_actor(&["sleep"]);
    fs::write(scene.path("mended"), "").unwrap();
    let watchdog = line.clone().spawn();
    scene.wait_for(&format!("following .*pid {pid}"));
    for _ in 0..3 {
        assert_eq!(from_cron(&scene, &line), (Some(0), String::new()), "one is enough");
    }
    assert_ne!(scene.assert_watched(), pid);
    watchdog.terminate();
}

/// A give-up, as one run leaves it.
fn given_up(scene: &Scene) -> Invocation<'_> {
    let line = scene
        .watchdog()
        .flag("--once")
        .with("--max-fail-count", "1")
        .with("--restart-wait-interval", "0.1")
        .starting("false");
    assert_eq!(line.clone().run().code(), Some(1), "{}", scene.story());
    let again = line.clone().run();
    assert_eq!((again.code(), &*again.stderr, scene.starts()), (Some(5), "", 1), "{again}");
    line
}

fn change_state(scene: &Scene, change: impl FnOnce(&mut Value)) {
    let mut state = scene.state();
    change(&mut state);
    fs::write(scene.kept("json"), state.to_string()).unwrap();
}

#[test]
fn settings_that_changed_are_a_new_beginning() {
    let scene = Scene::new();
    let line = given_up(&scene);
    assert_eq!(line.starting("$ACTOR sleep &").run().code(), Some(0), "{}", scene.story());
}

#[test]
fn a_boot_is_a_new_beginning() {
    let scene = Scene::new();
    let line = given_up(&scene);
    change_state(&scene, |state| state["boot_id"] = json!("00000000-0000-0000-0000-000000000000"));
    assert_eq!(line.run().code(), Some(1));
    assert_eq!(scene.starts(), 2);
}

#[test]
fn being_seen_running_is_a_new_beginning() {
    let scene = Scene::new();
    let line = given_up(&scene);
    let pid = scene.start_actor(&["sleep"]);
    assert_eq!(line.clone().run().code(), Some(0));
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    assert_eq!(line.run().code(), Some(1));
    assert_eq!(scene.starts(), 2);
}

/// Each run brings it back, and it dies each time before it is stable.
#[test]
fn failures_are_counted_across_runs() {
    let scene = Scene::new();
    let line = scene.watchdog().flag("--once").with("--restart-wait-interval", "0.1");
    let line = line.with("--after-stop", "0").starting("$ACTOR exit 3 400 &");
    let mut codes = Vec::new();
    scene.wait_until("it is given up", || {
        scene.wait_until("it is dead", || scene.all().is_empty().then_some(()));
        codes.push(line.clone().run().code());
        (codes.last() == Some(&Some(5))).then_some(())
    });
    assert_eq!(scene.starts(), 3, "{codes:?}\n{}", scene.story());
    assert_eq!(scene.count("gave up after 3 failures"), 1, "{:#?}", scene.log());
}

#[test]
fn the_state_file_says_what_is_seen() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("following");
    let state = scene.wait_until("it is written down", || {
        scene.kept("json").exists().then(|| scene.state()).filter(|state| state["sight"] == "running")
    });
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for (field, expected) in [
        ("version", json!(1)),
        ("name", json!(scene.name())),
        ("boot_id", json!(boot.trim())),
        ("process_name", json!(scene.name())),
        ("once", json!(false)),
        ("interval_ms", json!(100)),
        ("restarts", json!(0)),
        ("max_fail_count", json!(3)),
        ("command", Value::Null),
        ("gone", Value::Null),
        ("told", json!(false)),
    ] {
        assert_eq!(state[field], expected, "{field}: {state:#}");
    }
    assert_eq!((&state["process"]["pid"], &state["process"]["name"]), (&json!(pid), &json!(scene.name())));
    assert_eq!(state["watchdog"]["pid"], watchdog.pid());
    assert_eq!(
        (&state["memory"]["failures"], &state["memory"]["gave_up_until_ms"]),
        (&json!(0), &Value::Null)
    );
    for time in ["/since_ms", "/resumed_ms", "/process/started_ms", "/watchdog/started_ms", "/settings"] {
        assert!(state.pointer(time).is_some_and(Value::is_u64), "{time}: {state:#}");
    }
    let file = fs::metadata(scene.kept("json")).unwrap();
    assert_eq!(
        (file.mode() & 0o777, fs::metadata(scene.kept("lock")).unwrap().mode() & 0o777),
        (0o644, 0o600)
    );
    let text = fs::read_to_string(scene.kept("json")).unwrap();
    assert!(!text.contains("$ACTOR"), "no start command: {text}");
    watchdog.terminate();
    assert_eq!(scene.state()["watchdog"], Value::Null);
}

/// A disk that may sleep.
#[test]
fn nothing_is_written_while_all_is_well() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().spawn();
    scene.wait_for("following");
    watchdog.wait_checks(20);
    let seen = || {
        let of = |path| fs::metadata(path).map(|file| (file.ino(), file.mtime(), file.mtime_nsec())).unwrap();
        let (log, folder) = (scene.path(&format!("log/{}.log", scene.name())), scene.path("state"));
        [scene.kept("json"), scene.kept("lock"), log, folder].map(of)
    };
    let before = seen();
    watchdog.wait_checks(10);
    assert_eq!(seen(), before);
    watchdog.terminate();
}

#[test]
fn a_single_check_shows_in_the_time_of_the_state_file() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let line = scene.watchdog().flag("--once");
    assert_eq!(line.clone().run().code(), Some(0));
    let file = fs::File::options().write(true).open(scene.kept("json")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(line.run().code(), Some(0));
    assert!(fs::metadata(scene.kept("json")).unwrap().modified().unwrap().elapsed().unwrap() < DEADLINE);
}

#[test]
fn a_state_file_that_cannot_be_used_is_put_aside_and_told_once() {
    let deep = "[".repeat(100_000);
    for text in ["", "{\"version\":1", "\u{0}\u{0}", "[]", "{\"version\":99}", &deep] {
        let scene = Scene::new();
        fs::create_dir(scene.path("state")).unwrap();
        fs::write(scene.kept("json"), text).unwrap();
        let line = scene.watchdog().flag("--once");
        assert_eq!(line.clone().run().code(), Some(0), "{}", scene.story());
        assert_eq!(line.run().code(), Some(0));
        assert_eq!(scene.count("^WARN the state file is damaged"), 1, "{:#?}", scene.log());
        assert_eq!(fs::read_to_string(scene.kept("json.damaged")).unwrap(), text);
        assert_eq!((&scene.state()["version"], scene.starts()), (&json!(1), 1));
    }
}

/// The state directory is on a file system of its own, mounted by this; what is said of it.
fn watches_on(mount: &str, said: &str) {
    let scene = Scene::new();
    let Some(private) = unshare(&scene, &["--mount"]) else {
        return skip("no mount namespace can be made here");
    };
    let private: Vec<_> = private.iter().map(String::as_str).chain(["sh", "-c", mount, "sh"]).collect();
    fs::create_dir(scene.path("state")).unwrap();
    let watchdog = scene.watchdog().through(&private).spawn();
    for round in 1..3 {
        scene.wait_until("it is judged", || (scene.count("attempt 1 succeeded") == round).then_some(()));
        scene.assert_watched();
    }
    assert_eq!(scene.count("^WARN cannot save state in "), 1, "{:#?}", scene.log());
    assert_eq!(scene.count(said), 1, "{said}: {:#?}", scene.log());
    watchdog.terminate();
}

#[test]
fn a_full_state_folder_ends_no_watch() {
    watches_on(
        "mount -t tmpfs -o size=16k,mode=0755 none $HERE/state && cat /dev/zero >$HERE/state/full 2>/dev/null; \
         exec \"$@\"",
        r"No space left on device \(os error 28\)\): failures and pauses will be forgotten",
    );
}

/// In the place of each file something that cannot be one; what it points to stays as it is.
#[test]
fn nothing_in_the_place_of_its_files_ends_a_watch() {
    for (ending, things) in [
        ("json", &["link", "folder", "pipe"][..]),
        ("lock", &["link", "folder", "pipe"]),
        ("pause", &["link", "folder", "pipe"]),
        ("start", &["link", "folder", "pipe"]),
    ] {
        for what in things {
            let scene = Scene::new();
            fs::create_dir(scene.path("state")).unwrap();
            fs::write(scene.path("victim"), "precious").unwrap();
            let path = scene.kept(ending);
            match *what {
                "link" => symlink(scene.path("victim"), &path).unwrap(),
                "pipe" => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
                _ => fs::create_dir_all(path.join("in the way")).unwrap(),
            }
            let watchdog = scene.watchdog().with("--restart-wait-interval", "0.2").spawn();
            scene.wait_until(&format!("it is watched with a {what} for .{ending}"), || {
                (scene.count("attempt 1 succeeded") == 1).then_some(())
            });
            scene.assert_watched();
            watchdog.terminate();
            assert_eq!(scene.read("victim"), "precious", "{ending}: {what}");
            assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0), "{ending}: {what}");
        }
    }
}

/// Whoever can open a file can lock it.
#[test]
fn another_user_keeps_nobody_from_his_work() {
    if !is_root() {
        return skip("only root can be another user");
    }
    let scene = Scene::new();
    let first = scene.watchdog().flag("--once").run();
    assert_eq!(first.code(), Some(0), "{first}");
    let attack = |script: &str, path: &Path| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", script, "sh"]);
        command.arg(path);
        scene.spawn(command, Captured::All).ends()
    };
    for file in ["json", "lock", "start"].map(|ending| scene.kept(ending)) {
        for script in ["echo >> $1", "rm -f $1", "mv $1 $1.old", "ln -sf /dev/null $1"] {
            assert_ne!(attack(script, &file).code(), Some(0), "{script} {}", file.display());
        }
    }
    for script in ["exec < $1", "flock --nonblock $1 true"] {
        assert_ne!(attack(script, &scene.kept("lock")).code(), Some(0), "{script}");
    }
    // The state file is for all to read, and so to lock.
    let mut holder = Command::new("setpriv");
    holder.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "flock", "--exclusive"]);
    holder.arg(scene.kept("json")).args(["sh", "-c", "echo it is locked; exec sleep 100"]);
    let holder = scene.spawn(holder, Captured::All);
    scene.wait_until("the state file is locked", || scene.story().contains("it is locked").then_some(()));
    let pid = scene.wait_running();
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    assert_eq!(scene.starts(), 2);
    holder.send(SIGKILL);
}

#[test]
fn a_read_only_state_folder_ends_no_watch() {
    watches_on(
        "mount -t tmpfs -o ro,mode=0755 none $HERE/state && exec \"$@\"",
        r"Read-only file system \(os error 30\)\): failures and pauses will be forgotten",
    );
}

/// There is another one then, and nothing to be said; the state is kept all the same.
#[test]
fn where_a_lock_cannot_be_a_file_a_second_one_is_kept_away() {
    let scene = Scene::new();
    fs::create_dir_all(scene.kept("lock")).unwrap();
    let first = scene.watchdog().spawn();
    scene.wait_for("attempt 1 succeeded");
    let second = scene.watchdog().run();
    assert_eq!((second.code(), &*second.stderr), (Some(0), ""), "{second}");
    // Nor where there is room for the file again: whoever has it first has it.
    fs::remove_dir(scene.kept("lock")).unwrap();
    scene.assert_watched();
    scene.wait_until("it has the file", || scene.kept("lock").is_file().then_some(()));
    let third = scene.watchdog().run();
    assert_eq!((third.code(), &*third.stderr), (Some(0), ""), "{third}");
    assert_eq!(scene.count("lock is|its lock"), 0, "{:#?}", scene.log());
    assert_eq!(scene.state()["watchdog"]["pid"], first.pid());
    first.terminate();
}

/// Who has said so wants to know what came of it; of the rounds in between, nobody does.
#[test]
fn from_cron_a_give_up_is_told_again_after_a_resume_or_a_change() {
    let scene = Scene::new();
    let line = scene.watchdog().with("--max-fail-count", "1").with("--restart-wait-interval", "0.1");
    let line = line.flag("--once");
    let run = |start_command: &str| line.clone().starting(start_command).run();
    let told = |ended: Ended| (ended.code(), ended.stderr.matches(" ERROR ").count());
    assert_eq!(told(run("false")), (Some(1), 1));
    assert_eq!(told(run("false")), (Some(5), 0));
    assert_eq!(scene.say(&["resume", scene.name()]).code(), Some(0));
    assert_eq!(told(run("false")), (Some(1), 1), "{:#?}", scene.log());
    assert_eq!(told(run("exit 3")), (Some(1), 1), "{:#?}", scene.log());
}

/// Given up is given up, until somebody says otherwise.
#[test]
fn from_cron_a_resumed_watch_begins_again() {
    let scene = Scene::new();
    let line = scene.watchdog().with("--max-fail-count", "1").with("--restart-wait-interval", "0.1");
    let line = line.starting("[ -e $HERE/mended ] && $ACTOR sleep &");
    assert_eq!(line.clone().run().code(), Some(1));
    assert_eq!(line.clone().run().code(), Some(5));
    fs::write(scene.path("mended"), "").unwrap();
    assert_eq!(scene.say(&["resume", scene.name()]).code(), Some(0));
    let watchdog = line.spawn();
    scene.wait_for("attempt 1 succeeded");
    watchdog.terminate();
}

/// As cron would mail it each minute.
#[test]
fn a_recovery_that_cannot_be_written_down_is_not_told_by_each_run() {
    let scene = Scene::new();
    let Some(private) = unshare(&scene, &["--mount"]) else {
        return skip("no mount namespace can be made here");
    };
    let line = || scene.watchdog().flag("--once").with("--max-fail-count", "1");
    assert_eq!(line().with("--start-command", "false").run().code(), Some(1), "{}", scene.story());
    scene.start_actor(&["sleep"]);
    let read_only = "cd $HERE && mount --bind state state && mount -o remount,bind,ro state && exec \"$@\"";
    let private: Vec<_> = private.iter().map(String::as_str).chain(["sh", "-c", read_only, "sh"]).collect();
    for _ in 0..2 {
        let said = line().with("--start-command", "false").through(&private).run();
        assert_eq!((said.code(), &*said.stderr), (Some(0), ""), "{said}");
    }
    let said = line().with("--start-command", "false").run();
    assert!(said.code() == Some(0) && said.stderr.contains("running again"), "{said}");
}
