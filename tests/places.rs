//! Where a watchdog keeps its files, and what it does where it cannot: lock, memory, clocks, paths.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal::{SIGHUP, SIGKILL};
use serde_json::json;

use crate::dry_run::DryRun;
use crate::harness::{Captured, Ended, Invocation, Scene, WATCHDOG, Watchdog};
use crate::machine::{ALICE, BOB, as_user, how_it_ended, is_root, program, send, skip, unshare};
use crate::namespaces::HIDDEN;
use crate::which::titled;

/// A home that there is not, as Debian gives it to system accounts.
const NO_HOME: &str = "/nonexistent";

/// What there is of these is in the program's own hands.
fn without_folders<'a>(scene: &Scene, line: Invocation<'a>) -> Invocation<'a> {
    scene.open_to_all();
    line.without("--state-dir").without("--log-dir")
}

/// An ordinary user: Alice, or whoever runs the tests if that is not root.
fn alice() -> Vec<String> {
    if is_root() { as_user(ALICE) } else { vec!["env".to_owned()] }
}

fn by_alice(line: Invocation<'_>) -> Invocation<'_> {
    line.then_through(&alice())
}

/// A system account's watchdog, with neither a place for its state nor one for its log.
fn homeless(scene: &Scene) -> Invocation<'_> {
    assert!(!Path::new(NO_HOME).exists());
    let line = by_alice(without_folders(scene, scene.watchdog()));
    line.then_through(&["env", &format!("HOME={NO_HOME}")])
}

/// A watchdog without a place for its state.
fn stateless(scene: &Scene) -> Invocation<'_> {
    fs::write(scene.path("file"), "").unwrap();
    scene.watchdog().with("--state-dir", scene.path("file/state"))
}

/// As the service manager begins it.
fn as_service<'a>(scene: &'a Scene, line: &Invocation<'a>) -> Watchdog<'a> {
    let mut command = line.clone().command();
    command.env("INVOCATION_ID", "0123456789abcdef0123456789abcdef");
    scene.spawn(command, Captured::All)
}

fn has_ended(watchdog: &Watchdog) -> bool {
    how_it_ended(watchdog.pid()).is_some()
}

/// Warnings and errors that name this path.
fn complaints(scene: &Scene, path: &Path) -> Vec<String> {
    let texts = scene.log().into_iter().map(|record| record.text);
    texts.filter(|text| !text.starts_with("INFO") && text.contains(path.to_str().unwrap())).collect()
}

/// All files beneath a directory.
fn files_beneath(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let (folders, mut files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| files_beneath(folder)));
    files.sort();
    files
}

// A lock is always to be had

#[test]
fn of_two_runs_without_a_place_for_a_lock_one_starts_it() {
    for place in [homeless, stateless] {
        let scene = Scene::new();
        let line = place(&scene).flag("--once");
        let line = line.starting("until [ -e $HERE/go ]; do sleep 0.05; done; $ACTOR sleep &");
        let first = line.clone().spawn();
        scene.wait_until("it is started", || (scene.starts() == 1).then_some(()));
        let second = line.spawn();
        scene.wait_until("the second run has decided", || {
            (scene.starts() == 2 || has_ended(&second)).then_some(())
        });
        assert_eq!(scene.starts(), 1, "{}", scene.story());
        let ended = second.ends();
        assert_eq!((ended.code(), &*ended.stdout, &*ended.stderr), (Some(5), "", ""), "{ended}");
        fs::write(scene.path("go"), "").unwrap();
        assert_eq!(first.ends().code(), Some(0), "{}", scene.story());
        assert_eq!((scene.starts(), scene.all().len()), (1, 1));
    }
}

/// It would be mailed each minute.
#[test]
fn from_cron_nothing_is_printed_of_places_while_it_runs() {
    let scene = Scene::new();
    let line = homeless(&scene).flag("--once");
    let started = line.clone().run();
    assert_eq!((started.code(), scene.starts()), (Some(0), 1), "{started}");
    for _ in 0..2 {
        let ended = line.clone().run();
        assert_eq!((ended.code(), &*ended.stdout, &*ended.stderr), (Some(0), "", ""), "{ended}");
    }
}

/// The line without `--once`: it would make one watchdog more each minute.
#[test]
fn the_same_line_without_a_place_for_a_lock_goes_in_silence() {
    for place in [homeless, stateless] {
        let scene = Scene::new();
        let first = place(&scene).spawn();
        scene.wait_running();
        let second = place(&scene).spawn();
        // Or it watches, which it says on standard error or in the log.
        scene.wait_until("the second one has decided", || {
            (has_ended(&second) || !second.stderr().is_empty() || scene.count("watching '") > 1).then_some(())
        });
        let ended = second.ends();
        assert_eq!((ended.code(), &*ended.stdout, &*ended.stderr), (Some(0), "", ""), "{ended}");
        assert_eq!(scene.starts(), 1, "{}", scene.story());
        scene.assert_watched();
        first.terminate();
    }
}

#[test]
fn without_a_place_for_a_lock_a_second_one_in_a_terminal_hears_who_is_first() {
    let scene = Scene::new();
    let first = stateless(&scene).spawn();
    scene.wait_for("attempt 1 succeeded");
    let (mut terminal, second) = stateless(&scene).in_terminal();
    scene.wait_until("the second one has decided", || {
        (has_ended(&second) || terminal.transcript().contains("watching '")).then_some(())
    });
    assert!(has_ended(&second), "{}", terminal.transcript());
    assert_eq!(second.ends().code(), Some(4), "{}", terminal.transcript());
    let said = terminal.transcript();
    assert!(said.contains(&first.pid().to_string()) && said.contains("--name"), "{said}");
    first.terminate();
}

/// It is its holder's, and not its start command's; of this instance alone, and of this PID namespace.
#[test]
fn a_lock_without_a_place_keeps_nobody_else_away() {
    let scene = Scene::new();
    let line = stateless(&scene).starting("exec $ACTOR sleep");
    for round in 1..4 {
        let watchdog = line.clone().spawn();
        scene.wait_until("a watch more", || (scene.count("watching '") == round).then_some(()));
        scene.wait_running();
        watchdog.send(SIGKILL);
        assert_eq!(watchdog.ends().signal(), Some(SIGKILL));
    }
    assert_eq!(scene.starts(), 1);
    let first = line.clone().spawn();
    scene.wait_until("a watch more", || (scene.count("watching '") == 4).then_some(()));
    let second = line.clone().with("--name", "second").spawn();
    scene.wait_until("it has a log of its own", || {
        scene.read("log/second.log").contains("watching").then_some(())
    });
    second.terminate();
    let Some(way) = unshare(&scene, &["--pid", "--fork", "--mount-proc", "--kill-child"]) else {
        return skip("no PID namespace can be made here");
    };
    // Not as process 1, which asks for none.
    let elsewhere = line.then_through(&way).then_through(&["sh", "-c", "\"$@\"; exit $?", "sh"]).spawn();
    scene.wait_until("it has started its own", || (scene.starts() == 2).then_some(()));
    assert!(!has_ended(&elsewhere) && !has_ended(&first), "{}", scene.story());
}

/// Anybody may take a name that is in no directory.
#[test]
fn a_name_that_another_user_has_taken_is_no_lock() {
    if !is_root() {
        return skip("only root can be another user");
    }
    let scene = Scene::new();
    scene.open_to_all();
    let first = stateless(&scene).spawn();
    scene.wait_for("attempt 1 succeeded");
    let pid = scene.wait_running();
    let names = abstract_sockets(first.pid());
    let [name] = &names[..] else { panic!("not one: {names:?}\n{}", scene.story()) };
    first.terminate();
    let squatter = scene.link_actor("squatter");
    let words = as_user(BOB);
    let mut other = program(&words[0]);
    other.args(&words[1..]).arg(squatter).args(["squat", name]).arg(scene.path("note"));
    let other = scene.spawn(other, Captured::All);
    scene.wait_until("he has it", || scene.path("note").exists().then_some(()));
    let second = stateless(&scene).spawn();
    scene.wait_for(&format!(r"following .*pid {pid}"));
    scene.wait_for("^ERROR ");
    scene.assert_watched();
    second.terminate();
    // And with it gone, there is a lock again.
    other.send(SIGKILL);
    other.ends();
    let third = stateless(&scene).spawn();
    scene.wait_until("it watches", || (scene.count("watching '") == 3).then_some(()));
    assert_eq!(scene.count("^ERROR "), 1, "{:#?}", scene.log());
    let fourth = stateless(&scene).run();
    assert_eq!((fourth.code(), &*fourth.stderr), (Some(0), ""), "{fourth}");
    third.terminate();
}

/// The names in no directory that sockets of this process have (`proc_pid_net(5)`, `unix(7)`).
fn abstract_sockets(pid: i32) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let inodes: Vec<_> = targets
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    let named = sockets.lines().filter_map(|line| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let [_, _, _, _, _, _, inode, name] = words[..] else { return None };
        inodes.iter().any(|own| own == inode).then(|| name.strip_prefix('@').map(str::to_owned))?
    });
    named.collect()
}

/// Nobody else is there to be kept away, and what it keeps ends with the container.
#[test]
fn process_1_needs_no_place_for_a_lock() {
    let scene = Scene::new();
    let Some(way) = unshare(&scene, &["--pid", "--fork", "--mount-proc", "--kill-child"]) else {
        return skip("no PID namespace can be made here");
    };
    let _watchdog = stateless(&scene).then_through(&way).spawn();
    scene.wait_for("attempt 1 succeeded");
    let complaints = complaints(&scene, &scene.path("file"));
    assert!(complaints.iter().all(|text| !text.contains("lock")), "{complaints:?}");
}

/// Whoever can do something about it hears what to do, once.
#[test]
fn in_a_terminal_and_as_a_service_it_says_once_what_it_cannot_remember() {
    let scene = Scene::new();
    let (mut terminal, first) = stateless(&scene).in_terminal();
    terminal.expect("attempt 1 succeeded");
    let said = terminal.transcript().to_owned();
    let told: Vec<_> =
        said.lines().filter(|line| line.contains(scene.path("file").to_str().unwrap())).collect();
    assert!(told.len() == 1 && told[0].contains("--state-dir"), "{said}");
    first.terminate();
    let before = complaints(&scene, &scene.path("file")).len();
    let second = as_service(&scene, &stateless(&scene));
    scene.assert_watched();
    scene.wait_until("it has said so", || {
        (complaints(&scene, &scene.path("file")).len() > before).then_some(())
    });
    second.wait_checks(5);
    let told = complaints(&scene, &scene.path("file")).split_off(before);
    assert!(told.len() == 1 && told[0].contains("--state-dir"), "{told:?}");
    second.terminate();
}

// A home is shared by machines

/// A machine, as far as this one can play two: a name, an id, a boot, processes of its own. `MACHINE` is its
/// name, and the directory with its ids.
const MACHINE: &str = r#"
    mount --bind "$HERE/$MACHINE/id" /etc/machine-id &&
    mount --bind "$HERE/$MACHINE/boot" /proc/sys/kernel/random/boot_id &&
    echo "$MACHINE" > /proc/sys/kernel/hostname && "$@"; exit $?"#;

fn on_machine<'a>(scene: &Scene, name: &str, id: &str, line: Invocation<'a>) -> Option<Invocation<'a>> {
    let options = ["--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let way =
        if is_root() && Path::new("/etc/machine-id").exists() { unshare(scene, &options) } else { None };
    let Some(way) = way else {
        skip("only root can play two machines, where this one has an id");
        return None;
    };
    scene.folder(name, (0, 0), 0o755);
    fs::write(scene.path(&format!("{name}/id")), id).unwrap();
    let boot = format!("{:08x}-0000-4000-8000-000000000000\n", name.len());
    fs::write(scene.path(&format!("{name}/boot")), boot).unwrap();
    let machine = format!("MACHINE={name}");
    Some(line.then_through(&way).then_through(&["env", &machine, "sh", "-c", MACHINE, "sh"]))
}

/// Two machines with different ids, and two that have none, such as containers.
const IDS: [[&str; 2]; 2] =
    [["11111111111111111111111111111111\n", "22222222222222222222222222222222\n"], ["", ""]];

#[test]
fn two_machines_with_one_home_watch_each_their_own() {
    for ids in IDS {
        let scene = Scene::new();
        let home = scene.path("home");
        let mut watchdogs = Vec::new();
        for (name, id) in ["one", "other"].iter().zip(ids) {
            let line = without_folders(&scene, scene.watchdog());
            let Some(line) = on_machine(&scene, name, id, line) else { return };
            scene.folder("home", (ALICE, ALICE), 0o755);
            watchdogs.push(by_alice(line).spawn());
            let watchdog = &watchdogs[watchdogs.len() - 1];
            scene.wait_until("it has decided", || {
                (scene.all().len() == watchdogs.len() || has_ended(watchdog)).then_some(())
            });
            assert!(!has_ended(watchdog), "{ids:?}: {name}: {:?}", files_beneath(&home));
        }
        let states = || {
            let name = format!("{}.json", scene.name());
            files_beneath(&home).into_iter().filter(|file| file.ends_with(&name)).collect::<Vec<_>>()
        };
        scene.wait_until("each has its state", || (states().len() == 2).then_some(()));
        assert_eq!(scene.starts(), 2, "{ids:?}: {}", scene.story());
    }
}

/// A directory that is given may be on a file server too. A lock in it that another machine holds, or one that
/// was never let go, says nothing of this machine.
#[test]
fn a_lock_of_another_boot_keeps_nobody_away() {
    let scene = Scene::new();
    let Some(line) = on_machine(&scene, "one", IDS[0][0], scene.watchdog()) else { return };
    let first = line.spawn();
    scene.wait_for("attempt 1 succeeded");
    let Some(line) = on_machine(&scene, "other", IDS[0][1], scene.watchdog()) else { return };
    let second = line.spawn();
    scene.wait_until("the second has decided", || {
        (scene.all().len() == 2 || has_ended(&second)).then_some(())
    });
    assert_eq!(
        (scene.starts(), has_ended(&first), has_ended(&second)),
        (2, false, false),
        "{}",
        scene.story()
    );
}

/// Until the next boot it goes on with what there is in the old place.
#[test]
fn what_was_kept_in_a_home_is_read_from_where_it_was() {
    let scene = Scene::new();
    scene.open_to_all();
    if is_root() {
        scene.folder("home", (ALICE, ALICE), 0o755);
    }
    let old = scene.path("home/.local/state/watchdog");
    let line = || by_alice(scene.watchdog()).with("--max-fail-count", "1").starting("$ACTOR sleep &");
    let (before, after) = (line().with("--state-dir", &old), line().without("--state-dir"));
    // A lock that is held there.
    let first = before.clone().spawn();
    scene.wait_for("attempt 1 succeeded");
    let second = after.clone().run();
    assert_eq!((second.code(), &*second.stderr, scene.starts()), (Some(0), "", 1), "{second}");
    first.terminate();
    // A pause.
    send(scene.wait_running(), SIGKILL);
    scene.wait_until("it is gone", || scene.all().is_empty().then_some(()));
    let say = |words: &[&str]| {
        let alice = alice();
        let mut command = program(&alice[0]);
        command.args(&alice[1..]).arg(WATCHDOG).args(words).env("HOME", scene.path("home"));
        scene.spawn(command, Captured::All).ends()
    };
    let place = ["--state-dir", old.to_str().unwrap()];
    assert_eq!(say(&[&["pause", scene.name()][..], &place].concat()).code(), Some(0));
    let paused = after.clone().flag("--once").run();
    assert_eq!((paused.code(), scene.starts()), (Some(5), 1), "{paused}");
    // A stop, which only a start ends.
    assert_eq!(say(&[&["stop", scene.name()][..], &place].concat()).code(), Some(0));
    let resumed = say(&["resume", scene.name()]);
    assert_eq!(resumed.code(), Some(2), "{resumed}");
    assert!(resumed.stderr.contains("it is stopped, not paused"), "{resumed}");
}

// Paths

/// A directory to begin it in, by a command that has been made ready.
fn begun_in<'a>(scene: &'a Scene, folder: &str, line: Invocation<'a>) -> Watchdog<'a> {
    fs::create_dir_all(scene.path(folder)).unwrap();
    let mut command = line.command();
    command.current_dir(scene.path(folder));
    scene.spawn(command, Captured::All)
}

fn with_file<'a>(scene: &'a Scene, file: &str, text: &str) -> Invocation<'a> {
    let path = scene.path(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    scene.watchdog().without("--state-dir").without("--log-dir").with("--name", scene.name())
}

/// Else one file that is used from two directories would be two watchdogs.
#[test]
fn a_relative_folder_of_a_file_is_beside_the_file() {
    let scene = Scene::new();
    let line = with_file(&scene, "etc/x.toml", "state_dir = 'kept'\nlog_dir = '../logs'\n");
    let (here, there) =
        (line.clone().with("--config", scene.path("etc/x.toml")), line.with("--config", "../etc/x.toml"));
    let first = begun_in(&scene, "a", here);
    scene.wait_running();
    scene.wait_until("its files are there", || {
        (!files_beneath(&scene.path("etc/kept")).is_empty() || !files_beneath(&scene.path("a")).is_empty())
            .then_some(())
    });
    let second = begun_in(&scene, "b", there);
    scene.wait_until("the second has decided", || {
        (has_ended(&second) || !files_beneath(&scene.path("b")).is_empty()).then_some(())
    });
    for folder in ["a", "b"] {
        assert_eq!(files_beneath(&scene.path(folder)), Vec::<PathBuf>::new(), "{folder}");
    }
    let ended = second.ends();
    assert_eq!((ended.code(), scene.starts()), (Some(0), 1), "{ended}");
    assert!(scene.path(&format!("etc/kept/{}.lock", scene.name())).exists());
    assert!(!scene.records_in(&format!("logs/{}.log", scene.name())).is_empty());
    first.terminate();
}

/// No shell expands it in a file, nor behind a `=`.
#[test]
fn a_tilde_is_the_home() {
    for by_file in [false, true] {
        let scene = Scene::new();
        let text = if by_file { "state_dir = '~/kept'\nlog_dir = '~/logs'\n" } else { "" };
        let line = with_file(&scene, "home/x.toml", text).flag("--config=~/x.toml");
        let line = if by_file { line } else { line.flag("--state-dir=~/kept").flag("--log-dir=~/logs") };
        let ended = begun_in(&scene, "a", line.flag("--once")).ends();
        assert_eq!((ended.code(), scene.starts()), (Some(0), 1), "{ended}");
        assert_eq!(files_beneath(&scene.path("a")), Vec::<PathBuf>::new());
        for file in ["kept/NAME.json", "logs/NAME.log"] {
            let file = format!("home/{}", file.replace("NAME", scene.name()));
            assert!(scene.path(&file).exists(), "{file}: {ended}");
        }
    }
}

/// Who reads the mail of it is somewhere else.
#[test]
fn what_is_said_of_a_folder_can_be_found_from_everywhere() {
    let scene = Scene::new();
    let line = scene.watchdog().with("--state-dir", "kept").with("--log-dir", "./logs").flag("--once");
    let line = line.with("--max-fail-count", "1").with("--restart-wait-interval", "0.1").starting("false");
    let ended = begun_in(&scene, "a", line).ends();
    let logs = scene.path("a/logs").display().to_string();
    assert_eq!(ended.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains(&format!("{logs}/{}.log", scene.name())), "{ended}");
    for record in scene.records_in(&format!("a/logs/{}.log", scene.name())) {
        assert!(!record.text.replace(&logs, "").contains("logs/"), "{record:?}");
    }
    let mut status = program(WATCHDOG);
    status.args(["status", "--json", "--state-dir", "kept"]).current_dir(scene.path("a"));
    let shown = scene.spawn(status, Captured::All).ends();
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap_or_else(|_| panic!("{shown}"));
    assert_eq!(shown[0]["folder"], json!(scene.path("a/kept")));
}

/// A file system that it was begun on can be unmounted. Its start command is run where it was begun, while
/// that is there; and where its file was, it still is.
#[test]
fn it_keeps_no_folder_busy_that_it_was_begun_in() {
    let scene = Scene::new();
    let text = "start_command = 'pwd >> $HERE/starts; $ACTOR sleep &'\n";
    let line = with_file(&scene, "a/x.toml", text).without("--start-command").with("--config", "x.toml");
    let line = line.with("--state-dir", scene.path("state")).with("--log-dir", scene.path("log"));
    let watchdog = begun_in(&scene, "a", line);
    scene.wait_for("attempt 1 succeeded");
    let folder = fs::read_link(format!("/proc/{}/cwd", watchdog.pid())).unwrap();
    assert_eq!(folder, Path::new("/"), "{}", scene.story());
    fs::write(scene.path("a/x.toml"), format!("{text}max_fail_count = 7\n")).unwrap();
    watchdog.send(SIGHUP);
    scene.wait_until("it is read again", || (scene.state()["max_fail_count"] == 7).then_some(()));
    scene.assert_watched();
    fs::remove_dir_all(scene.path("a")).unwrap();
    scene.assert_watched();
    let starts = scene.read("starts");
    let folders: Vec<_> = starts.lines().collect();
    assert_eq!(folders[..2], [scene.path("a").to_str().unwrap(); 2], "{}", scene.story());
    assert_eq!(folders.len(), 3, "{}", scene.story());
    watchdog.terminate();
}

// Clocks

/// Sets the clock between two runs: by this much the file is older or younger than it was.
fn set_clock(scene: &Scene, forward: bool) {
    let file = fs::File::options().write(true).open(scene.kept("json")).unwrap();
    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    file.set_modified(if forward { now - hour } else { now + hour }).unwrap();
}

/// The kernel tells starts apart that are a tick from each other.
fn wait_a_tick(scene: &Scene) {
    let began = Instant::now();
    scene.wait_until("a tick is over", || (began.elapsed() > Duration::from_millis(50)).then_some(()));
}

/// It was there while the process lived, however long ago that seems to be.
#[test]
fn what_is_left_over_is_so_when_the_clock_has_been_set_forward() {
    let scene = Scene::new();
    let path = scene.path(scene.name());
    let master = titled(&scene, &path, format!("{}: master", scene.name()));
    let worker = titled(&scene, &path, format!("{}: worker", scene.name()));
    wait_a_tick(&scene);
    let line = scene.watchdog().flag("--once");
    assert_eq!(line.clone().run().code(), Some(0));
    assert_eq!(scene.state()["process"]["pid"], master.pid());
    send(master.pid(), SIGKILL);
    scene.wait_gone(master.pid());
    set_clock(&scene, true);
    let ended = line.run();
    assert_eq!((ended.code(), scene.starts()), (Some(0), 1), "{ended}\n{}", scene.story());
    assert!(!has_ended(&worker));
}

/// It was started after the process was last seen, however soon that seems to be.
#[test]
fn what_somebody_has_started_counts_when_the_clock_has_been_set_back() {
    let scene = Scene::new();
    let path = scene.path(scene.name());
    let old = titled(&scene, &path, format!("{}: old", scene.name()));
    let line = scene.watchdog().flag("--once");
    assert_eq!(line.clone().run().code(), Some(0));
    send(old.pid(), SIGKILL);
    scene.wait_gone(old.pid());
    let new = titled(&scene, &path, format!("{}: new", scene.name()));
    let began = Instant::now();
    scene.wait_until("it is older than a tick", || {
        (began.elapsed() > Duration::from_millis(50)).then_some(())
    });
    set_clock(&scene, false);
    let ended = line.run();
    assert_eq!((ended.code(), scene.starts(), scene.all()), (Some(0), 0, vec![new.pid()]), "{ended}");
}

/// With `ProcSubset=pid`, a /proc of processes alone.
#[test]
fn without_a_boot_id_it_remembers_or_says_that_it_does_not() {
    for tmpfs in ["", "mount -t tmpfs -o mode=755 none $HERE/state && "] {
        let scene = Scene::new();
        fs::create_dir(scene.path("state")).unwrap();
        let Some(way) = unshare(&scene, &["--mount", "--pid", "--fork", "--kill-child"]) else {
            return skip("no namespaces can be made here");
        };
        let mount = format!(
            "{tmpfs}mount -t proc -o subset=pid none /proc || exit 99; \"$@\"; [ $? = 1 ] || exit 98; \"$@\"; exit $?"
        );
        let line = scene.watchdog().flag("--once").with("--max-fail-count", "1");
        let line = line.with("--restart-wait-interval", "0.1").starting("false");
        let ended = line.then_through(&way).then_through(&["sh", "-c", &mount, "sh"]).run();
        if ended.code() == Some(99) {
            return skip("this kernel has no /proc of processes alone");
        }
        let told = scene.log().into_iter().any(|record| record.text.contains("boot"));
        assert!(told || (ended.code(), scene.starts()) == (Some(5), 1), "{ended}\n{}", scene.story());
    }
}

// Settings

/// How often a run has told somebody of a give-up.
fn told(ended: &Ended) -> (Option<i32>, usize) {
    (ended.code(), ended.stderr.matches(" ERROR ").count())
}

/// A line for one minute, as cron has it, with this start command.
fn given_up_by<'a>(scene: &'a Scene, start_command: &str) -> Invocation<'a> {
    let line = scene.watchdog().flag("--once").with("--max-fail-count", "1");
    line.with("--restart-wait-interval", "0.1").with("--retry-after", "1h").starting(start_command)
}

/// Installed twice: by a package, and by somebody who did not know.
#[test]
fn two_lines_in_turn_leave_each_other_s_give_up_alone() {
    let scene = Scene::new();
    let run = |start_command: &str| told(&given_up_by(&scene, start_command).run());
    assert_eq!(run("false"), (Some(1), 1));
    // Settings that nobody has seen before may help.
    assert_eq!(run("exit 3"), (Some(1), 1));
    for _ in 0..3 {
        assert_eq!(run("false"), (Some(5), 0), "{}", scene.story());
        assert_eq!(run("exit 3"), (Some(5), 0), "{}", scene.story());
    }
    assert_eq!(scene.starts(), 2);
    let warned = scene
        .log()
        .into_iter()
        .filter(|record| record.text.starts_with("WARN") && record.text.contains("settings"));
    assert_eq!(warned.count(), 1, "{:#?}", scene.log());
    assert_eq!(run("exit 4"), (Some(1), 1), "{}", scene.story());
}

/// Of a watchdog before this one, that counted settings in another way.
#[test]
fn an_upgrade_is_no_new_beginning() {
    let scene = Scene::new();
    assert_eq!(given_up_by(&scene, "false").run().code(), Some(1));
    let mut state = scene.state();
    let fields = state.as_object_mut().unwrap();
    fields.retain(|field, _| field == "settings" || !field.contains("settings"));
    fields.insert("settings".to_owned(), json!(12_345));
    fs::write(scene.kept("json"), state.to_string()).unwrap();
    let ended = given_up_by(&scene, "false").run();
    assert_eq!((ended.code(), scene.starts()), (Some(5), 1), "{ended}");
}

#[test]
fn the_lock_of_a_watchdog_before_an_upgrade_is_that_of_the_same_line() {
    let scene = Scene::new();
    fs::create_dir(scene.path("state")).unwrap();
    let pid = std::process::id();
    fs::write(scene.kept("lock"), format!("{pid}\n((\"x\", Part, Name), Limits {{ once: false }})\n"))
        .unwrap();
    let mut holder = program("flock");
    holder.arg(scene.kept("lock")).args(["sh", "-c", "echo it is locked; exec sleep 100"]);
    let holder = scene.spawn(holder, Captured::All);
    scene.wait_until("it is locked", || scene.story().contains("it is locked\n").then_some(()));
    let ended = scene.watchdog().run();
    assert_eq!((ended.code(), &*ended.stderr, scene.starts()), (Some(0), "", 0), "{ended}");
    holder.send(SIGKILL);
}

// What lasts is said once

#[test]
fn what_nobody_can_see_is_said_once_by_all_runs_with_what_to_do() {
    if !is_root() {
        return skip("only root can mount a /proc and be another user then");
    }
    let scene = Scene::new();
    scene.start_actor(&["sleep"]); // root's
    for folder in ["state", "log"] {
        scene.folder(folder, (65_534, 65_534), 0o755);
    }
    let run = || {
        let ended = scene.watchdog().then_through(&HIDDEN).flag("--once").run();
        assert_eq!((ended.code(), scene.starts()), (Some(3), 0), "{ended}");
        ended.stderr
    };
    let first = run();
    assert_eq!(first.lines().count(), 1, "{first}");
    assert!(first.contains("hidepid") && first.contains("--user") && first.contains("gid"), "{first}");
    for _ in 0..2 {
        assert_eq!(run(), "");
    }
    assert_eq!(scene.count("hidepid"), 1, "{:#?}", scene.log());
}

/// Workers go one after the other.
#[test]
fn what_is_left_over_is_named_once_while_it_goes() {
    let scene = Scene::new();
    let path = scene.path(scene.name());
    let master = titled(&scene, &path, format!("{}: master", scene.name()));
    let workers: Vec<_> = (0..4).map(|_| titled(&scene, &path, "worker process")).collect();
    let line = scene.watchdog().with("--restart-delay", "0.5");
    let watchdog = line.starting("until [ -e $HERE/go ]; do sleep 0.05; done; $ACTOR sleep &").spawn();
    scene.wait_for(&format!(r"following .*pid {}", master.pid()));
    send(master.pid(), SIGKILL);
    scene.wait_for("^WARN left over");
    for worker in &workers {
        send(worker.pid(), SIGKILL);
        scene.wait_gone(worker.pid());
        watchdog.wait_checks(4);
    }
    fs::write(scene.path("go"), "").unwrap();
    scene.wait_for("attempt 1 succeeded");
    assert_eq!(scene.count("^WARN left over"), 1, "{:#?}", scene.log());
    watchdog.terminate();
}

// Files that grow or stay

/// The limit, and what somebody has written beyond it.
fn overgrown(scene: &Scene) -> PathBuf {
    let output = scene.path(&format!("log/{}.output.log", scene.name()));
    fs::create_dir_all(scene.path("log")).unwrap();
    fs::write(&output, "x".repeat(100_000)).unwrap();
    output
}

#[test]
fn each_run_keeps_the_output_log_to_its_limit() {
    let scene = Scene::new();
    let line = scene.watchdog().flag("--once").with("--log-max-size", "4KiB");
    let pid = scene.start_actor(&["sleep"]);
    let output = overgrown(&scene);
    assert_eq!(line.clone().run().code(), Some(0));
    assert!(fs::metadata(&output).unwrap().len() <= 4096, "it runs: {:?}", fs::metadata(&output));
    let kept = fs::read(format!("{}.1", output.display())).unwrap();
    assert_eq!(kept, [b'x'; 4096], "its end is kept");
    // And when it is given up.
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    let line = line.with("--max-fail-count", "1").with("--restart-wait-interval", "0.1").starting("false");
    assert_eq!(line.clone().run().code(), Some(1));
    overgrown(&scene);
    assert_eq!(line.run().code(), Some(5));
    assert!(fs::metadata(&output).unwrap().len() <= 4096, "it is given up: {:?}", fs::metadata(&output));
}

#[test]
fn every_tenth_check_keeps_the_output_log_to_its_limit() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().with("--log-max-size", "4KiB").spawn();
    scene.wait_for("following");
    watchdog.wait_checks(2);
    let output = overgrown(&scene);
    watchdog.wait_checks(40);
    assert!(fs::metadata(&output).unwrap().len() <= 4096, "{:?}", fs::metadata(&output));
    watchdog.terminate();
}

/// A watchdog that was killed while it wrote one.
#[test]
fn what_is_left_of_a_file_that_was_never_finished_is_removed() {
    let scene = Scene::new();
    fs::create_dir(scene.path("state")).unwrap();
    // No machine has so many (proc_sys_kernel(5), `pid_max`).
    let none = (1 << 22) + 1;
    let of = |ending: &str, pid: u32| scene.kept(&format!("{ending}.{pid}.new"));
    for ending in ["json", "pause", "stuck"] {
        fs::write(of(ending, none), "half of").unwrap();
    }
    // Somebody who is still at it, and what is none of ours.
    let others = [of("pause", std::process::id()), scene.path(&format!("state/other.json.{none}.new"))];
    for file in &others {
        fs::write(file, "half of").unwrap();
    }
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0), "{}", scene.story());
    let left = files_beneath(&scene.path("state"));
    let left: Vec<_> = left.iter().filter(|file| file.extension().is_some_and(|it| it == "new")).collect();
    let mut others: Vec<_> = others.iter().collect();
    others.sort();
    assert_eq!(left, others);
}

/// Nobody would ever write to it.
#[test]
fn a_time_zone_that_is_a_pipe_hangs_nobody() {
    for colon in ["", ":"] {
        let scene = Scene::new();
        let zone = scene.path("zone");
        nix::unistd::mkfifo(&zone, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut command = scene.watchdog().starting("printf %s \"$TZ\" > $HERE/tz; $ACTOR sleep &").command();
        let given = format!("{colon}{}", zone.display());
        command.env("TZ", &given);
        let watchdog = scene.spawn(command, Captured::All);
        let record = scene.wait_for("attempt 1 succeeded");
        assert_eq!(record.time.offset().local_minus_utc(), 0);
        assert_eq!(scene.read("tz"), given, "the start command's is as it was");
        watchdog.terminate();
    }
}

/// A directory that was made for one program has none.
#[test]
fn a_machine_without_dev_null_can_start_it() {
    let scene = Scene::new();
    let Some(way) = unshare(&scene, &["--mount"]) else {
        return skip("no mount namespace can be made here");
    };
    let mount = "mount -t tmpfs none /dev && exec \"$@\"";
    let line = scene.watchdog().then_through(&way).then_through(&["sh", "-c", mount, "sh"]);
    // A shell would open it for what it runs in the background.
    let watchdog = line.starting("cat > $HERE/input; exec $ACTOR sleep").spawn();
    scene.wait_for("attempt 1 (succeeded|of 3 failed)");
    assert_eq!((scene.starts(), scene.count("attempt 1 succeeded")), (1, 1), "{}", scene.story());
    assert_eq!(scene.read("input"), "", "its standard input is at its end");
    let told = complaints(&scene, Path::new("/dev/null"));
    assert!(told.len() == 1 && !told[0].contains("start command could not"), "{told:?}");
    watchdog.terminate();
}

/// As they are in /etc/watchdog.
#[test]
fn files_as_people_have_them_are_read() {
    let text = |scene: &Scene, format: &str| {
        let name = scene.name();
        match format {
            "with a byte order mark" => format!("\u{feff}process_name = '{name}'\nmax_fail_count = 7\n"),
            "with tabs" => format!("\tprocess_name\t=\t'{name}'\t# why\n\tmax_fail_count\t=\t7\t\n"),
            "without a last line end" => format!("process_name = '{name}'\nmax_fail_count = 7"),
            "with Windows line ends" => format!("process_name = '{name}'\r\nmax_fail_count = 7\r\n"),
            _ => format!("process_name = '{name}'\nmax_fail_count = 7\n"),
        }
    };
    for format in
        ["with a byte order mark", "with tabs", "without a last line end", "with Windows line ends", "link"]
    {
        let scene = Scene::new();
        let file = scene.path("x.toml");
        if format == "link" {
            fs::create_dir(scene.path("etc")).unwrap();
            symlink("etc/y.toml", &file).unwrap();
        }
        fs::write(&file, text(&scene, format)).unwrap();
        let dry = DryRun::of(scene.watchdog().without("--process-name").with("--config", &file));
        let count = dry.rows("setting").find(|row| row[0] == "max_fail_count").map(|row| row[1].clone());
        assert_eq!((dry.ended.code(), count.as_deref()), (Some(1), Some("7")), "{format}: {}", dry.ended);
        let name = dry.rows("setting").find(|row| row[0] == "process_name").map(|row| row[1].clone());
        assert_eq!(name.as_deref(), Some(scene.name()), "{format}: {}", dry.ended);
    }
}
