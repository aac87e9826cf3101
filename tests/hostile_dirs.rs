//! Root's watchdog in directories that other users can write, and in those that only look so.
//!
//! What is in them decides what root writes, runs and ends. Two ordinary users do here what the directory lets
//! them do. What they are after stays as it is, and the process is watched all the same.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal::{SIGHUP, SIGKILL};
use regex_lite::Regex;

use crate::dry_run::DryRun;
use crate::harness::{Captured, Invocation, Scene, WATCHDOG, Watchdog};
use crate::machine::{ALICE, BOB, as_user, how_it_ended, is_root, is_there, program, send, skip, unshare};

/// Owner and group.
const ROOT: (u32, u32) = (0, 0);
const ALICES: (u32, u32) = (ALICE, ALICE);
/// As Ubuntu has /var/log: root's, and of the group that another program runs as.
const ROOT_AND_BOB: (u32, u32) = (0, BOB);

/// Folders that somebody else than root can write: owner and group, mode, and who does.
const HOSTILE: [((u32, u32), u32, u32); 6] = [
    (ALICES, 0o755, ALICE),
    (ALICES, 0o1777, BOB),
    (ROOT, 0o777, BOB),
    (ROOT, 0o1777, BOB),
    (ROOT_AND_BOB, 0o775, BOB),
    // Where nobody can replace what is root's, so that the directory will do; what others have put there won't.
    (ROOT_AND_BOB, 0o1775, BOB),
];

/// Whether the directory itself will do.
fn will_do((owner, mode): ((u32, u32), u32)) -> bool {
    SAFE.contains(&(owner, mode))
}

/// Folders that nobody else can write, or where nobody can replace what is root's.
const SAFE: [((u32, u32), u32); 6] = [
    (ROOT, 0o755),
    (ROOT, 0o700),
    (ROOT, 0o775),
    (ROOT_AND_BOB, 0o2750),
    (ROOT_AND_BOB, 0o755),
    (ROOT_AND_BOB, 0o1775),
];

/// Folders that the directory may be in.
const PARENTS: [((u32, u32), u32); 6] = [
    (ROOT, 0o755),
    (ROOT_AND_BOB, 0o775),  // Ubuntu's /var/log
    (ROOT, 0o777),          // a container's volume
    (ROOT, 0o1777),         // /tmp
    (ROOT_AND_BOB, 0o2777), // a volume with a group of its own
    (ALICES, 0o755),
];

fn has_something_to_lose() -> bool {
    if !is_root() {
        skip("only root has something to lose to other users");
    }
    is_root()
}

/// Whether a line of `text` names something in `folder`, and what to do about it.
fn says_what_to_do(text: &str, folder: &Path) -> bool {
    let remedy = Regex::new("chown|chmod|remove|--log-dir|use a(nother)? directory").unwrap();
    text.lines().any(|line| line.contains(folder.to_str().unwrap()) && remedy.is_match(line))
}

/// All that was said in a scene whose log can be read.
fn said(scene: &Scene, stderr: &str) -> String {
    let log: Vec<_> = scene.log().into_iter().map(|record| record.text).collect();
    format!("{}\n{stderr}", log.join("\n"))
}

/// A file that is root's alone, and its content.
fn precious(scene: &Scene, name: &str, content: &str) -> PathBuf {
    let file = scene.path(name);
    fs::write(&file, content).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    file
}

/// What is written to the log of another file has the names of processes in it, and what they print is all
/// theirs: enough for a crontab or the dynamic linker. And a file that is too long is cut.
#[test]
fn a_link_in_place_of_a_log_is_not_followed() {
    if !has_something_to_lose() {
        return;
    }
    for (owner, mode, attacker) in HOSTILE {
        let scene = Scene::new();
        let log = scene.folder("log", owner, mode);
        let (line, lines) = ("precious\n".to_owned(), "precious\n".repeat(8192));
        let (one, other) = (precious(&scene, "one", &line), precious(&scene, "other", &lines));
        scene.act_as(
            attacker,
            "ln -s $HERE/one $HERE/log/$NAME.log; ln -s $HERE/other $HERE/log/$NAME.output.log",
        );
        let watchdog = scene.watchdog().starting("echo printed; $ACTOR sleep &").flag("--once");
        let ended = watchdog.with("--log-max-size", "4KiB").run();
        let what = format!("{owner:?} {mode:o}: {ended}");
        let other = fs::read_to_string(other).unwrap();
        assert_eq!(fs::read_to_string(one).unwrap(), line, "{what}");
        assert!(other == lines, "it is {} bytes long, and was {}: {what}", other.len(), lines.len());
        assert_eq!((ended.code(), scene.starts()), (Some(0), 1), "{what}");
        // The records are not lost, and it is said why they are there.
        assert!(ended.stderr.contains(&format!("(pid {})", scene.wait_running())), "{what}");
        assert!(says_what_to_do(&ended.stderr, &log), "{what}");
    }
}

/// In a directory that will do, a file may be another's all the same: it was there before the directory was root's,
/// or it is a second name of something else.
#[test]
fn a_log_that_is_no_file_of_root_s_alone_is_not_written() {
    if !has_something_to_lose() {
        return;
    }
    for name in ["log", "output.log"] {
        for thing in ["another name", "another's"] {
            let scene = Scene::new();
            let folder = scene.folder("log", ROOT, 0o755);
            let victim = precious(&scene, "victim", "precious\n");
            let log = folder.join(format!("{}.{name}", scene.name()));
            if thing == "another's" {
                fs::rename(&victim, &log).unwrap();
                chown(&log, Some(ALICE), Some(ALICE)).unwrap();
            } else {
                // As Alice could where the kernel does not forbid it (proc_sys_fs(5), `protected_hardlinks`).
                fs::hard_link(&victim, &log).unwrap();
            }
            let ended = scene.watchdog().starting("echo printed; $ACTOR sleep &").flag("--once").run();
            let what = format!("{name}: {thing}: {ended}");
            assert_eq!(fs::read_to_string(&log).unwrap(), "precious\n", "{what}");
            assert_eq!((ended.code(), scene.starts()), (Some(0), 1), "{what}");
            let said = fs::read_to_string(folder.join(format!("{}.log", scene.name()))).unwrap_or_default();
            assert!(format!("{said}{}", ended.stderr).contains(log.to_str().unwrap()), "{what}");
        }
    }
}

/// A directory that is not tested may hold a link of its owner's, to wherever he wants root to write.
#[test]
fn a_folder_that_is_another_s_link_is_not_written() {
    if !has_something_to_lose() {
        return;
    }
    let scene = Scene::new();
    let precious = scene.folder("precious", ROOT, 0o755);
    scene.folder("alices", ALICES, 0o755);
    scene.act_as(ALICE, "ln -s $HERE/precious $HERE/alices/log; ln -s $HERE/precious $HERE/alices/state");
    let line = scene.watchdog().with("--log-dir", scene.path("alices/log"));
    let line = line.with("--state-dir", scene.path("alices/state"));
    let ended = line.flag("--once").run();
    let written: Vec<_> = fs::read_dir(precious).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(written.is_empty(), "{written:?}: {ended}");
    assert_eq!((ended.code(), scene.starts()), (Some(0), 1), "{ended}");
    assert!(says_what_to_do(&ended.stderr, &scene.path("alices")), "{ended}");
}

/// Who moves his logs to another disk leaves one.
#[test]
fn a_folder_that_is_a_link_of_root_s_is_one() {
    if !has_something_to_lose() {
        return;
    }
    let scene = Scene::new();
    scene.folder("disk", ROOT, 0o755);
    for folder in ["log", "state"] {
        scene.folder(&format!("disk/{folder}"), ROOT, 0o755);
        symlink(format!("disk/{folder}"), scene.path(folder)).unwrap();
    }
    assert_at_work(&scene, scene.watchdog());
}

/// It keeps its log and its state, and says nothing of the directories.
#[track_caller]
fn assert_at_work(scene: &Scene, line: Invocation) {
    let line = line.with("--max-fail-count", "1").with("--restart-wait-interval", "0.2").flag("--once");
    let line = line.starting("[ -e $HERE/mended ] && $ACTOR sleep &");
    for expected in [1, 5] {
        let ended = line.clone().run();
        assert_eq!((ended.code(), scene.starts()), (Some(expected), 1), "{ended}\n{}", scene.story());
        assert!(!says_what_to_do(&said(scene, &ended.stderr), &scene.path("")), "{ended}\n{}", scene.story());
    }
    assert_eq!(scene.count("gave up after 1 failure"), 1, "{:#?}", scene.log());
    assert_eq!(scene.state()["memory"]["failures"], 1, "{}", scene.story());
}

#[test]
fn a_folder_that_nobody_else_can_write_will_do() {
    if !has_something_to_lose() {
        return;
    }
    for (owner, mode) in SAFE {
        let scene = Scene::new();
        scene.folder("log", owner, mode);
        scene.folder("state", owner, mode);
        assert_at_work(&scene, scene.watchdog());
    }
}

/// It is made as it should be.
#[test]
fn a_folder_in_one_that_others_can_write_will_do() {
    if !has_something_to_lose() {
        return;
    }
    for (owner, mode) in PARENTS {
        let scene = Scene::new();
        let parent = scene.folder("parent", owner, mode);
        for folder in ["log", "state"] {
            symlink(parent.join(folder), scene.path(folder)).unwrap();
        }
        let line = scene.watchdog().with("--log-dir", parent.join("log"));
        assert_at_work(&scene, line.with("--state-dir", parent.join("state")));
        for folder in ["log", "state"] {
            let made = fs::metadata(parent.join(folder)).unwrap();
            assert_eq!((made.uid(), made.mode() & 0o777), (0, 0o755), "{owner:?} {mode:o}: {folder}");
        }
    }
}

/// Debian's, Ubuntu's, and a container with a volume in their place.
#[test]
fn the_usual_folders_will_do() {
    if !has_something_to_lose() {
        return;
    }
    for (log, run) in [("0755", "0755"), (&*format!("0775,gid={BOB}"), "0755"), ("0777", "0777")] {
        let scene = Scene::new();
        let Some(private) = unshare(&scene, &["--mount"]) else {
            return skip("no mount namespace can be made here");
        };
        let mount = format!(
            "mount -t tmpfs -o mode={log} none /var/log && mount -t tmpfs -o mode={run} none /run && exec \"$@\""
        );
        let line = scene.watchdog().without("--log-dir").without("--state-dir");
        let line = line.through(&[]).then_through(&private).then_through(&["sh", "-c", &mount, "sh"]);
        let watchdog = line.spawn();
        let pid = scene.wait_running();
        let inside = |file: &str| {
            let path = format!("/proc/{}/root{file}", watchdog.pid());
            fs::read_to_string(path).unwrap_or_default()
        };
        let (log, state) = (
            format!("/var/log/watchdog/{}.log", scene.name()),
            format!("/run/watchdog/{}.json", scene.name()),
        );
        scene.wait_until("the log says so", || inside(&log).contains(&format!("(pid {pid})")).then_some(()));
        scene.wait_until("and the state", || inside(&state).contains(&pid.to_string()).then_some(()));
        assert!(!says_what_to_do(&format!("{}{}", inside(&log), watchdog.stderr()), Path::new("/")));
        watchdog.terminate();
    }
}

/// As on a file server that takes root for nobody: it can be read, and not be written.
#[test]
fn folders_that_root_cannot_write_are_no_reason_not_to_watch() {
    if !has_something_to_lose() {
        return;
    }
    let scene = Scene::new();
    for folder in ["log", "state"] {
        scene.folder(folder, (65_534, 65_534), 0o755);
    }
    let line = scene
        .watchdog()
        .through(&["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-chown,-fowner"])
        .starting("until [ -e $HERE/go ]; do sleep 0.05; done; $ACTOR sleep &")
        .flag("--once");
    let first = line.clone().spawn();
    scene.wait_until("it is started", || (scene.starts() == 1).then_some(()));
    let second = line.spawn();
    scene.wait_until("the second run has decided", || {
        (scene.starts() == 2 || how_it_ended(second.pid()).is_some()).then_some(())
    });
    assert_eq!(scene.starts(), 1, "{}", second.stderr());
    let ended = second.ends();
    assert_eq!((ended.code(), &*ended.stderr), (Some(5), ""), "{ended}");
    fs::write(scene.path("go"), "").unwrap();
    let ended = first.ends();
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert!(ended.stderr.contains(scene.path("log").to_str().unwrap()), "{ended}");
}

/// Otherwise whoever names a process there has it ended by root.
#[test]
fn a_note_of_another_user_s_is_no_start_command() {
    if !has_something_to_lose() {
        return;
    }
    for (owner, mode, attacker) in HOSTILE {
        let scene = Scene::new();
        let state = scene.folder("state", owner, mode);
        let mut session = program("setsid");
        session.arg(scene.link_actor("other")).arg("sleep");
        let victim = scene.spawn(session, Captured::All);
        let stat = || procfs::process::Process::new(victim.pid()).and_then(|it| it.stat()).ok();
        let started = scene.wait_until("it leads a session", || {
            stat()
                .filter(|stat| stat.comm == "other" && stat.session == victim.pid())
                .map(|stat| stat.starttime)
        });
        let started = started * 1000 / procfs::ticks_per_second();
        let note = format!(
            "read boot < /proc/sys/kernel/random/boot_id; printf '%s 0\\n%s\\n' $boot '{} {started}' > \
             $HERE/state/$NAME.start",
            victim.pid()
        );
        scene.act_as(attacker, &note);
        let watchdog = scene.watchdog().with("--start-timeout", "0.3").spawn();
        // The second, if it ended the other one first.
        scene.wait_for("attempt [12] succeeded");
        watchdog.wait_checks(5);
        let what = format!("{owner:?} {mode:o}: {}", scene.story());
        assert!(is_there(victim.pid()), "{what}");
        assert_eq!(scene.starts(), 1, "{what}");
        assert!(
            will_do((owner, mode)) || says_what_to_do(&said(&scene, &watchdog.stderr()), &state),
            "{what}"
        );
        watchdog.terminate();
    }
}

/// Nor does it keep root from the work: a pause that nobody can read, one that is as it should be, and a
/// give-up for the next hour.
#[test]
fn what_another_user_s_files_say_is_not_heeded() {
    if !has_something_to_lose() {
        return;
    }
    for (owner, mode, attacker) in HOSTILE {
        for attack in [
            "echo junk > $HERE/state/$NAME.pause",
            "cp $HERE/good/$NAME.pause $HERE/state",
            "cp $HERE/good/$NAME.json $HERE/state",
        ] {
            let scene = Scene::new();
            let state = scene.folder("state", owner, mode);
            let good = scene.folder("good", ROOT, 0o755);
            let line = scene
                .watchdog()
                .flag("--once")
                .with("--max-fail-count", "1")
                .with("--restart-wait-interval", "0.2")
                .with("--retry-after", "1h")
                .starting("[ -e $HERE/mended ] && $ACTOR sleep &");
            assert_eq!(line.clone().with("--state-dir", &good).run().code(), Some(1), "{}", scene.story());
            let mut pause = program(WATCHDOG);
            pause.args(["pause", scene.name(), "--state-dir"]).arg(&good);
            assert_eq!(scene.spawn(pause, Captured::All).ends().code(), Some(0));
            scene.act_as(attacker, attack);
            fs::write(scene.path("mended"), "").unwrap();
            let ended = line.run();
            let what = format!("{owner:?} {mode:o}: {attack}: {ended}\n{}", scene.story());
            assert_eq!((ended.code(), scene.starts()), (Some(0), 2), "{what}");
            assert!(
                will_do((owner, mode)) || says_what_to_do(&said(&scene, &ended.stderr), &state),
                "{what}"
            );
        }
    }
}

/// Whoever can open a lock can hold it, and so keep root from the work; there is another one then.
#[test]
fn a_lock_that_another_user_can_hold_is_none() {
    if !has_something_to_lose() {
        return;
    }
    for (owner, mode, attacker) in HOSTILE {
        let scene = Scene::new();
        scene.folder("state", owner, mode);
        scene.act_as(attacker, "printf '1\\nits settings\\n' > $HERE/state/$NAME.lock");
        let words = as_user(attacker);
        let mut holder = program(&words[0]);
        holder.args(&words[1..]).arg("flock").arg(scene.kept("lock"));
        holder.args(["sh", "-c", "echo it is locked; exec sleep 100"]);
        let holder = scene.spawn(holder, Captured::All);
        scene.wait_until("it is locked", || scene.story().contains("it is locked\n").then_some(()));
        let line = || scene.watchdog().spawn();
        let first = line();
        let decided = |watchdog: &Watchdog| {
            let is_at_work = scene.count("attempt 1 succeeded") > 0 && watchdog.pid() == first.pid();
            (is_at_work || how_it_ended(watchdog.pid()).is_some()).then_some(())
        };
        scene.wait_until("the first has decided", || decided(&first));
        let what = format!("{owner:?} {mode:o}: {}\n{}", first.stderr(), scene.story());
        assert_eq!((scene.starts(), how_it_ended(first.pid())), (1, None), "{what}");
        let second = line();
        scene.wait_until("the second has decided", || {
            decided(&second).or((scene.count("watching '") > 1).then_some(()))
        });
        assert!(how_it_ended(second.pid()).is_some(), "{what}");
        let ended = second.ends();
        assert_eq!((ended.code(), &*ended.stderr), (Some(0), ""), "{what}");
        scene.assert_watched();
        first.terminate();
        holder.send(SIGKILL);
    }
}

/// It was good when the watch began.
#[test]
fn folders_that_are_handed_over_meanwhile_are_another_user_s() {
    if !has_something_to_lose() {
        return;
    }
    let scene = Scene::new();
    let victim = precious(&scene, "victim", "precious\n");
    let watchdog = scene.watchdog().starting("echo printed; $ACTOR sleep &").spawn();
    scene.wait_for("attempt 1 succeeded");
    scene.wait_until("the state is written", || scene.kept("json").exists().then_some(()));
    for folder in ["log", "state"] {
        scene.folder(folder, ALICES, 0o755);
    }
    scene.act_as(
        ALICE,
        "cd $HERE/log; for file in $NAME.log $NAME.output.log; do mv $file $file.old; ln -s ../victim $file; done; \
         cd $HERE/state; rm -f $NAME.*; echo junk > $NAME.pause; ln -s ../victim $NAME.json; ln -s ../victim $NAME.lock",
    );
    let old = scene.wait_running();
    send(old, SIGKILL);
    // What is appended, is so before the pause is read.
    scene.wait_until("it is noticed", || {
        (scene.all() != [old]
            && (watchdog.stderr().contains("SIGKILL") || scene.read("victim") != "precious\n"))
            .then_some(())
    });
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
    let new = scene.wait_replaced(old);
    scene.wait_until("records go to standard error", || {
        watchdog.stderr().contains(&format!("(pid {new})")).then_some(())
    });
    watchdog.wait_checks(5);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
    for folder in ["log", "state"] {
        assert!(says_what_to_do(&watchdog.stderr(), &scene.path(folder)), "{}", watchdog.stderr());
    }
    // A second one is kept away all the same.
    let second = scene.watchdog().starting("echo printed; $ACTOR sleep &").run();
    assert_eq!((second.code(), &*second.stderr), (Some(0), ""), "{second}");
    watchdog.terminate();
}

/// What becomes of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Configuration {
    Fine,
    Doubted,
    Refused,
}
use Configuration::{Doubted, Fine, Refused};

/// A directory and a file in it, each with owner, group and mode; and what becomes of the file.
type Case = ((u32, u32), u32, (u32, u32), u32, Configuration);

const CONFIGURATIONS: [Case; 16] = [
    (ROOT, 0o755, ROOT, 0o644, Fine),
    (ROOT, 0o700, ROOT, 0o600, Fine),
    (ROOT, 0o755, ROOT_AND_BOB, 0o640, Fine),
    // Root's own group.
    (ROOT, 0o775, ROOT, 0o664, Fine),
    // Where nobody can replace what is root's, as in a volume with a configuration (Kubernetes).
    (ROOT, 0o1777, ROOT, 0o644, Fine),
    (ROOT_AND_BOB, 0o1775, ROOT, 0o644, Fine),
    // A group that has been given it.
    (ROOT, 0o755, ROOT_AND_BOB, 0o664, Doubted),
    (ROOT_AND_BOB, 0o775, ROOT, 0o644, Doubted),
    (ROOT_AND_BOB, 0o2775, ROOT_AND_BOB, 0o664, Doubted),
    // Whoever can write it decides what root runs.
    (ROOT, 0o755, ROOT, 0o646, Refused),
    (ROOT, 0o755, ROOT, 0o666, Refused),
    (ROOT, 0o755, ALICES, 0o644, Refused),
    (ROOT, 0o777, ROOT, 0o644, Refused),
    (ALICES, 0o755, ROOT, 0o644, Refused),
    (ALICES, 0o1777, ROOT, 0o644, Refused),
    (ALICES, 0o755, ALICES, 0o644, Refused),
];

/// A configuration in a directory of the scene, and a watchdog by it.
fn configured<'a>(scene: &'a Scene, file: &Path, start_command: &str) -> Invocation<'a> {
    let text = format!("start_command = 'echo >> $HERE/starts; {start_command}'\nmax_fail_count = 7\n");
    fs::write(file, text).unwrap();
    scene.watchdog().without("--start-command").with("--config", file).with("--name", scene.name())
}

#[track_caller]
fn assert_becomes(line: Invocation, folder: &Path, expected: Configuration, what: &str) {
    let dry = DryRun::of(line);
    let what = format!("{what}: {}", dry.ended);
    let found = match (dry.ended.code(), says_what_to_do(&dry.warnings(), folder)) {
        (Some(2), _) => Refused,
        (Some(1), true) => Doubted,
        (Some(1), false) => Fine,
        _ => panic!("{what}"),
    };
    assert_eq!(found, expected, "{what}");
    assert!(found != Refused || says_what_to_do(&dry.ended.stderr, folder), "{what}");
}

#[test]
fn a_configuration_that_others_can_write_is_refused() {
    if !has_something_to_lose() {
        return;
    }
    for (folder_s, folder_mode, (owner, group), mode, expected) in CONFIGURATIONS {
        let scene = Scene::new();
        let folder = scene.folder("etc", ROOT, 0o755);
        let file = folder.join("x.toml");
        let line = configured(&scene, &file, "$ACTOR sleep &");
        chown(&file, Some(owner), Some(group)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        scene.folder("etc", folder_s, folder_mode);
        let what = format!("{folder_s:?} {folder_mode:o}, {:?} {mode:o}", (owner, group));
        assert_becomes(line.clone(), &folder, expected, &what);
        if expected == Refused {
            let ended = line.flag("--once").run();
            assert_eq!((ended.code(), scene.starts()), (Some(2), 0), "{what}: {ended}");
        }
    }
}

/// There nobody else is, or nobody can say what is whose: a volume of Kubernetes' is open to all.
#[test]
fn as_process_1_a_configuration_that_others_can_write_is_doubted() {
    if !has_something_to_lose() {
        return;
    }
    let probe = Scene::new();
    let Some(way) = unshare(&probe, &["--pid", "--fork", "--mount-proc", "--kill-child"]) else {
        return skip("no PID namespace can be made here");
    };
    for (folder_s, folder_mode, (owner, group), mode, expected) in CONFIGURATIONS {
        let scene = Scene::new();
        let folder = scene.folder("etc", ROOT, 0o755);
        let file = folder.join("x.toml");
        let line = configured(&scene, &file, "$ACTOR sleep &").then_through(&way);
        chown(&file, Some(owner), Some(group)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        scene.folder("etc", folder_s, folder_mode);
        let expected = if expected == Fine { Fine } else { Doubted };
        let what = format!("{folder_s:?} {folder_mode:o}, {:?} {mode:o}", (owner, group));
        assert_becomes(line, &folder, expected, &what);
    }
}

/// A link is as good as both directories: the one that it is in, and the one that it leads to.
#[test]
fn a_link_to_a_configuration_is_as_good_as_what_it_leads_to() {
    if !has_something_to_lose() {
        return;
    }
    for (owner, mode, expected) in
        [(ROOT, 0o755, Fine), (ROOT, 0o1777, Fine), (ROOT, 0o777, Refused), (ALICES, 0o755, Refused)]
    {
        for is_far in [false, true] {
            let scene = Scene::new();
            let (etc, far) = (scene.folder("etc", ROOT, 0o755), scene.folder("far", ROOT, 0o755));
            let line = configured(&scene, &far.join("y.toml"), "$ACTOR sleep &");
            // By way of a directory that is a link too, as Kubernetes has them.
            symlink("../far", etc.join("..data")).unwrap();
            symlink("..data/y.toml", etc.join("x.toml")).unwrap();
            scene.folder(if is_far { "far" } else { "etc" }, owner, mode);
            let what = format!("{owner:?} {mode:o} {is_far}");
            assert_becomes(line.with("--config", etc.join("x.toml")), &scene.path(""), expected, &what);
        }
    }
}

/// The directory was good when the watch began; and what was put there since is refused, and the old one stays.
#[test]
fn a_configuration_that_another_user_has_put_in_place_is_not_read() {
    if !has_something_to_lose() {
        return;
    }
    for (owner, mode, attacker) in [(ALICES, 0o755, ALICE), (ROOT, 0o777, BOB)] {
        let scene = Scene::new();
        let folder = scene.folder("etc", ROOT, 0o755);
        let watchdog = configured(&scene, &folder.join("x.toml"), "$ACTOR sleep &").spawn();
        scene.wait_for("attempt 1 succeeded");
        scene.folder("etc", owner, mode);
        scene.act_as(
            attacker,
            "cd $HERE/etc; echo \"start_command = 'touch \\$HERE/taken; \\$ACTOR sleep &'\" > new; mv -f new x.toml",
        );
        let before = scene.log().len();
        watchdog.send(SIGHUP);
        scene.wait_until("it is read", || (scene.log().len() > before).then_some(()));
        let what = || format!("{owner:?} {mode:o}: {}", scene.story());
        scene.assert_watched();
        assert_eq!((scene.path("taken").exists(), scene.starts()), (false, 2), "{}", what());
        let told = scene.log().split_off(before);
        assert!(
            told.iter()
                .any(|record| !record.text.starts_with("INFO") && says_what_to_do(&record.text, &folder)),
            "{}",
            what()
        );
        watchdog.terminate();
    }
}

/// What is in an ordinary user's own hands is that user's business.
#[test]
fn an_ordinary_user_s_folders_are_that_user_s_business() {
    if !has_something_to_lose() {
        return;
    }
    let scene = Scene::new();
    scene.open_to_all();
    for folder in ["log", "state", "etc"] {
        scene.folder(folder, ALICES, 0o777);
    }
    let file = scene.path("etc/x.toml");
    let line = configured(&scene, &file, "[ -e $HERE/mended ] && $ACTOR sleep &");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    let line = line.with("--max-fail-count", "1").then_through(&as_user(ALICE)).flag("--once");
    for expected in [1, 5] {
        let ended = line.clone().run();
        assert_eq!((ended.code(), scene.starts()), (Some(expected), 1), "{ended}\n{}", scene.story());
        assert!(!says_what_to_do(&said(&scene, &ended.stderr), &scene.path("")), "{ended}");
    }
}
