//! The log: rotated without a torn or lost record, and never a reason to stop watching.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use chrono::Local;
use nix::sys::signal::Signal::SIGUSR1;

use crate::harness::{Captured, Invocation, Record, Scene, Watchdog};
use crate::machine::{is_root, skip, unshare};
use crate::terminal::Terminal;

/// Has `count` records written, one after the other.
fn write_records(scene: &Scene, watchdog: &Watchdog<'_>, count: usize) {
    // The file that is written to, and how far: after a rotation it is another.
    let path = scene.path(&format!("log/{}.log", scene.name()));
    let end = || fs::metadata(&path).map(|file| (file.ino(), file.len())).ok();
    for _ in 0..count {
        let before = end();
        watchdog.send(SIGUSR1);
        scene.wait_until("a record more", || (end() != before).then_some(()));
    }
}

/// A watch that takes no end when what it started is killed before it has seen it.
fn unlimited(scene: &Scene) -> Invocation<'_> {
    scene.watchdog().with("--max-fail-count", "unlimited")
}

/// The records of the log and of the older ones beside it.
fn all_records(scene: &Scene, folder: &str) -> Vec<Record> {
    log_files(scene, folder).iter().flat_map(|name| scene.records_in(&format!("{folder}/{name}"))).collect()
}

fn log_files(scene: &Scene, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(scene.path(folder)).into_iter().flatten().filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("{}.log", scene.name()))).collect()
}

#[test]
fn rotation_tears_and_loses_no_record() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().with("--log-max-size", "4KiB").with("--log-max-files", "100").spawn();
    scene.wait_for("INFO watching ");
    write_records(&scene, &watchdog, 200);
    let ended = watchdog.terminate();
    let records = all_records(&scene, "log");
    let checks = records.iter().filter(|record| record.text.starts_with("INFO checked: ")).count();
    assert_eq!((checks, records.len()), (200, 203), "{ended}");
    let files = log_files(&scene, "log");
    assert!(files.len() > 3, "it was rotated: {files:?}");
    for file in files {
        let text = scene.read(&format!("log/{file}"));
        assert!(text.len() <= 4096 + 512 && text.ends_with('\n'), "{file}: {} bytes", text.len());
    }
}

#[test]
fn only_so_many_older_files_are_kept() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().with("--log-max-size", "4KiB").with("--log-max-files", "2").spawn();
    scene.wait_for("INFO watching ");
    write_records(&scene, &watchdog, 150);
    watchdog.terminate();
    let name = scene.name();
    let mut files = log_files(&scene, "log");
    files.sort();
    assert_eq!(files, [format!("{name}.log"), format!("{name}.log.1"), format!("{name}.log.2")]);
}

#[test]
fn a_new_watch_goes_on_in_the_same_file() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    for round in 1..4 {
        let watchdog = scene.watchdog().spawn();
        scene.wait_until("a watch more", || (scene.count("INFO watching ") == round).then_some(()));
        watchdog.terminate();
    }
    assert_eq!(scene.count("stopped by SIGTERM"), 3);
}

#[test]
fn times_are_local_and_say_so() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let mut command = scene.watchdog().command();
    command.env("TZ", "TST-05:45");
    let watchdog = scene.spawn(command, Captured::All);
    let record = scene.wait_for("INFO watching ");
    assert_eq!(record.time.offset().local_minus_utc(), (5 * 60 + 45) * 60);
    assert!((Local::now().to_utc() - record.time.to_utc()).num_seconds().abs() < 60, "{record:?}");
    watchdog.terminate();
}

#[test]
fn a_damaged_time_zone_costs_the_offset_and_no_watch() {
    let scene = Scene::new();
    // tzfile(5): one kind of local time, and that 100,000 seconds from UTC, which chrono panics at.
    let counts = [0_i32, 0, 0, 0, 1, 4].map(i32::to_be_bytes).concat();
    let zone = [&b"TZif"[..], &[0; 16], &counts, &100_000_i32.to_be_bytes(), &[0, 0], b"AAA\0"].concat();
    fs::write(scene.path("zone"), zone).unwrap();
    let mut command = scene.watchdog().command();
    command.env("TZ", format!(":{}", scene.path("zone").display()));
    // Whoever is told has times in it too.
    let socket = std::os::unix::net::UnixDatagram::bind(scene.path("notify")).unwrap();
    command.env("NOTIFY_SOCKET", scene.path("notify"));
    let watchdog = scene.spawn(command, Captured::All);
    scene.wait_running();
    let record = scene.wait_for("not running; starting it");
    assert_eq!(record.time.offset().local_minus_utc(), 0);
    assert!(!watchdog.stderr().contains("panicked"), "{}", watchdog.stderr());
    drop(socket);
    assert_eq!(watchdog.terminate().code(), Some(0));
}

/// The C library reads it too, and waits for whoever might write to it.
#[test]
fn a_time_zone_that_is_a_pipe_blocks_nobody() {
    let scene = Scene::new();
    let pipe = scene.path("zone");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Those that are no paths are looked for beneath the directories of the time zones.
    let up = format!("{}{}", "../".repeat(20), pipe.strip_prefix("/").unwrap().display());
    for zone in [pipe.display().to_string(), format!(":{}", pipe.display()), up] {
        let mut command = scene.watchdog().flag("--once").command();
        command.env("TZ", &zone);
        assert_eq!(scene.spawn(command, Captured::All).ends().code(), Some(0), "{zone}");
    }
    assert_eq!(scene.wait_for("not running; starting it").time.offset().local_minus_utc(), 0);
}

#[test]
fn folders_and_files_have_their_modes_whatever_the_umask() {
    for umask in [0, 0o022] {
        let scene = Scene::new();
        let mut command = scene.watchdog().starting("echo said; $ACTOR sleep &").command();
        // SAFETY: one system call, which signal-safety(7) allows after fork.
        unsafe {
            command.pre_exec(move || {
                libc::umask(umask);
                Ok(())
            });
        }
        let _watchdog = scene.spawn(command, Captured::All);
        scene.wait_for("succeeded");
        let mode = |file: &str| fs::metadata(scene.path(file)).unwrap().permissions().mode() & 0o777;
        let name = scene.name();
        assert_eq!((mode("log"), mode("state")), (0o755, 0o755), "umask {umask:o}");
        assert_eq!(mode(&format!("log/{name}.log")), 0o640, "umask {umask:o}");
        assert_eq!(mode(&format!("log/{name}.output.log")), 0o640, "umask {umask:o}");
        assert_eq!(mode(&format!("state/{name}.lock")), 0o600, "umask {umask:o}");
    }
}

#[test]
fn the_output_log_is_kept_to_its_limit_under_a_daemon() {
    let scene = Scene::new();
    scene.link_actor("other");
    let _watchdog = scene
        .watchdog()
        .with("--log-max-size", "4KiB")
        .with("--log-max-files", "2")
        .starting(
            "[ -e $HERE/again ] || { head -c 100000 /dev/zero | tr '\\0' x; echo; $HERE/other daemonise 0 chatty; }; \
             touch $HERE/again; $ACTOR sleep &",
        )
        .spawn();
    scene.wait_for("succeeded");
    let output = scene.path(&format!("log/{}.output.log", scene.name()));
    let file = || fs::metadata(&output).unwrap();
    // Each start enforces it; while watching it may take a minute.
    scene.assert_watched();
    scene.wait_until("it is cut", || (file().len() < 50_000).then_some(()));
    let before = file().len();
    scene.wait_until("the daemon goes on writing", || (file().len() > before).then_some(()));
    assert!(
        !scene.read(&format!("log/{}.output.log", scene.name())).contains('\0'),
        "with no hole before it"
    );
    let kept = scene.read(&format!("log/{}.output.log.1", scene.name()));
    assert_eq!(kept.len(), 4096, "its end is kept");
}

#[test]
fn a_folder_that_vanishes_is_made_again() {
    let scene = Scene::new();
    let _watchdog = scene.watchdog().spawn();
    scene.wait_for("succeeded");
    fs::remove_dir_all(scene.path("log")).unwrap();
    scene.assert_watched();
    scene.wait_for("not running; starting it");
    scene.wait_for("succeeded");
}

#[test]
fn a_file_in_place_of_the_folder() {
    let scene = Scene::new();
    let watchdog = unlimited(&scene).spawn();
    scene.wait_for("succeeded");
    fs::remove_dir_all(scene.path("log")).unwrap();
    fs::write(scene.path("log"), "in the way").unwrap();
    scene.assert_watched();
    scene.assert_watched();
    // What the log cannot take is said on standard error, after one warning.
    let path = scene.path("log").display().to_string();
    scene.wait_until("records go to standard error", || {
        let stderr = watchdog.stderr();
        (stderr.matches("not running; starting it").count() == 3).then_some(())
    });
    let stderr = watchdog.stderr();
    let warnings =
        stderr.lines().filter(|line| line.contains(&format!("the log {path}")) && line.contains("WARN"));
    assert_eq!(warnings.count(), 1, "{stderr}");

    fs::remove_file(scene.path("log")).unwrap();
    scene.assert_watched();
    scene.wait_for("not running; starting it");
}

#[test]
fn a_folder_that_is_moved_away() {
    let scene = Scene::new();
    let watchdog = unlimited(&scene).with("--log-max-size", "4KiB").spawn();
    scene.wait_for("succeeded");
    fs::rename(scene.path("log"), scene.path("moved")).unwrap();
    for _ in 0..8 {
        scene.assert_watched(); // some 4 kB of records, so that it has to be rotated
    }
    let everything = || {
        let moved: String =
            log_files(&scene, "moved").iter().map(|name| scene.read(&format!("moved/{name}"))).collect();
        let new: String =
            log_files(&scene, "log").iter().map(|name| scene.read(&format!("log/{name}"))).collect();
        (moved + &new).matches("not running; starting it").count()
    };
    scene.wait_until("no record is lost", || {
        (everything() >= 9 || watchdog.stderr().matches("not running; starting it").count() >= 9)
            .then_some(())
    });
    watchdog.terminate();
}

#[test]
fn a_log_that_cannot_be_made_is_no_reason_not_to_watch() {
    let scene = Scene::new();
    fs::write(scene.path("log"), "in the way").unwrap();
    let watchdog = scene.watchdog().spawn();
    scene.assert_watched();
    scene.wait_until("records go to standard error", || {
        (watchdog.stderr().matches("not running; starting it").count() == 2).then_some(())
    });
    watchdog.terminate();
    assert_eq!(scene.read("log"), "in the way");
}

#[test]
fn a_full_disk_is_no_reason_to_stop_watching() {
    let scene = Scene::new();
    let Some(private) = unshare(&scene, &["--mount"]) else {
        return skip("no mount namespace can be made here");
    };
    fs::create_dir(scene.path("log")).unwrap();
    let mount = r#"mount -t tmpfs -o size=64k,mode=0755 none "$HERE/log" && exec "$@""#;
    let private: Vec<_> = private.iter().map(String::as_str).chain(["sh", "-c", mount, "sh"]).collect();
    let watchdog = unlimited(&scene).through(&private).spawn();
    // The way into its mount namespace.
    let log = PathBuf::from(format!("/proc/{}/root{}", watchdog.pid(), scene.path("log").display()));
    let record_file = log.join(format!("{}.log", scene.name()));
    let said = |what: &str| fs::read_to_string(&record_file).unwrap_or_default().matches(what).count();
    scene.wait_until("the attempt is judged", || (said("succeeded") == 1).then_some(()));

    let fill = log.join("fill");
    fs::write(&fill, vec![b'x'; 100_000]).unwrap_err();
    scene.wait_until("a record finds no room", || {
        watchdog.send(SIGUSR1); // the last page of the file had some yet
        watchdog.stderr().contains("No space left").then_some(())
    });
    for _ in 0..3 {
        scene.assert_watched();
    }
    let starts = || watchdog.stderr().matches("not running; starting it").count();
    scene.wait_until("records go to standard error", || (starts() == 4).then_some(()));
    let stderr = watchdog.stderr();
    let count = |what: &str| stderr.lines().filter(|line| line.contains(what)).count();
    // A shorter record may have found room in the last page.
    assert_eq!(count("No space left"), 1 + count("is written again"), "{stderr}");
    fs::remove_file(&fill).unwrap();
    let succeeded = said("succeeded");
    scene.assert_watched();
    scene.wait_until("the log goes on", || (said("succeeded") > succeeded).then_some(()));
    let text = fs::read_to_string(&record_file).unwrap();
    text.lines().for_each(|line| drop(Record::parse(line, scene.name())));
    watchdog.terminate();
}

/// A limit for the size of files (`ulimit -f`, `LimitFSIZE=`) would end it by SIGXFSZ. The smaller one is too
/// small for the state too.
#[test]
fn a_limit_for_files_is_no_reason_to_stop_watching() {
    for limit in [8192, 200] {
        let scene = Scene::new();
        let output = scene.path(&format!("log/{}.output.log", scene.name()));
        fs::create_dir(scene.path("log")).unwrap();
        // Over the limit for itself, and its end too long for a copy.
        fs::write(&output, vec![b'x'; 100_000]).unwrap();
        let mut command = unlimited(&scene).with("--log-max-size", "64KiB").command();
        // SAFETY: one system call, which signal-safety(7) allows after fork.
        unsafe {
            command.pre_exec(move || {
                let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
                nix::errno::Errno::result(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit))?;
                Ok(())
            });
        }
        let watchdog = scene.spawn(command, Captured::All);
        scene.wait_running();
        assert_eq!(fs::metadata(&output).unwrap().len(), 0, "it is cut all the same");
        if limit == 8192 {
            scene.wait_until("a record finds no room, and goes to standard error", || {
                watchdog.send(SIGUSR1);
                watchdog.stderr().contains("INFO").then_some(())
            });
        }
        scene.assert_watched();
        let pid = scene.assert_watched();
        if limit == 8192 {
            scene.wait_until("it is in the state", || (scene.state()["process"]["pid"] == pid).then_some(()));
        }
        watchdog.terminate();
    }
}

#[test]
fn more_and_less_on_standard_error() {
    for (flag, levels) in [("-v", &["ERROR", "INFO", "WARN"][..]), ("-q", &["ERROR"])] {
        let scene = Scene::new();
        let ended = scene.watchdog().flag(flag).with("--max-fail-count", "2").starting("exit 7").run();
        let levels_seen: BTreeSet<_> = ended
            .stderr
            .lines()
            .map(|line| Record::parse(line, scene.name()).text.split(' ').next().unwrap().to_owned())
            .collect();
        assert_eq!(levels_seen.iter().collect::<Vec<_>>(), levels, "{flag}: {ended}");
        assert!(scene.count("^INFO") > 0, "the file gets information always");
    }
}

#[test]
fn a_terminal_gets_information_and_colour_unless_unwanted() {
    for (no_color, colour) in [(None, true), (Some("1"), false)] {
        let scene = Scene::new();
        let mut command = scene.watchdog().command();
        command.envs(no_color.map(|value| ("NO_COLOR", value)));
        let mut terminal = Terminal::new();
        let _watchdog = terminal.start(&scene, command);
        terminal.expect("INFO.* succeeded");
        assert_eq!(terminal.transcript().contains('\x1b'), colour, "{}", terminal.transcript());
        assert!(!scene.read(&format!("log/{}.log", scene.name())).contains('\x1b'));
    }
}

#[test]
fn the_journal_gets_priorities_and_no_times() {
    let scene = Scene::new();
    let file = fs::File::create(scene.path("journal")).unwrap();
    let there = file.metadata().unwrap();
    let mut command = scene.watchdog().with("--max-fail-count", "1").starting("false").command();
    command.stderr(file).env("JOURNAL_STREAM", format!("{}:{}", there.dev(), there.ino()));
    assert_eq!(scene.spawn(command, Captured::Nothing).ends().code(), Some(1));
    let journal = scene.read("journal");
    let priorities: BTreeSet<_> = journal.lines().map(|line| line.split_at(3).0).collect();
    assert_eq!(priorities.into_iter().collect::<Vec<_>>(), ["<3>", "<4>", "<6>"], "{journal}");
    assert!(!journal.contains("WARN") && !journal.contains("T1") && journal.contains("gave up"), "{journal}");
}

/// The variable is inherited by all that a service starts, also where standard error is something else.
#[test]
fn what_is_not_the_journal_is_not_taken_for_it() {
    let scene = Scene::new();
    let mut command: Command = scene.watchdog().with("--max-fail-count", "1").starting("false").command();
    command.env("JOURNAL_STREAM", "9:12345");
    let ended = scene.spawn(command, Captured::All).ends();
    ended.stderr.lines().for_each(|line| drop(Record::parse(line, scene.name())));
    assert!(ended.stderr.contains("ERROR"), "{ended}");
}

/// An end without a last record is noticed by the next watch.
#[test]
fn a_watchdog_that_was_killed_is_remembered() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let killed = scene.watchdog().spawn();
    scene.wait_for("INFO watching ");
    killed.send(nix::sys::signal::Signal::SIGKILL);
    killed.ends();
    let _next = scene.watchdog().spawn();
    scene.wait_for(&format!("the previous watchdog \\(pid {}\\) was killed", killed.pid()));
}

#[test]
fn without_older_files_the_log_goes_on() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().with("--log-max-size", "4KiB").with("--log-max-files", "0").spawn();
    scene.wait_for("INFO watching ");
    write_records(&scene, &watchdog, 100);
    let ended = watchdog.terminate();
    assert_eq!((ended.stderr.as_str(), log_files(&scene, "log").len()), ("", 1), "{ended}");
    assert!(fs::metadata(scene.path(&format!("log/{}.log", scene.name()))).unwrap().len() <= 4096 + 512);
    assert!(all_records(&scene, "log").pop().unwrap().text.contains("stopped by SIGTERM"));
}

#[test]
fn a_record_that_is_longer_than_a_file_is_whole() {
    let scene = Scene::new();
    let start_command = format!("$ACTOR sleep & # {}", "long ".repeat(10_000));
    let watchdog = scene.watchdog().with("--log-max-size", "4KiB").starting(&start_command).spawn();
    scene.wait_until("the attempt is judged", || {
        all_records(&scene, "log").iter().any(|record| record.text.contains("succeeded")).then_some(())
    });
    watchdog.terminate();
    let records = all_records(&scene, "log");
    let whole = records.iter().filter(|record| record.text.ends_with(&start_command)).count();
    assert_eq!(whole, 1, "of {} records", records.len());
}

/// It would wait for a reader.
#[test]
fn pipes_in_place_of_the_logs_block_nobody() {
    let scene = Scene::new();
    fs::create_dir(scene.path("log")).unwrap();
    for log in ["log", "output.log"] {
        nix::unistd::mkfifo(
            &scene.path(&format!("log/{}.{log}", scene.name())),
            nix::sys::stat::Mode::S_IRWXU,
        )
        .unwrap();
    }
    let watchdog = scene.watchdog().starting("echo said; $ACTOR sleep &").spawn();
    scene.assert_watched();
    scene.wait_until("records go to standard error", || {
        (watchdog.stderr().matches("not running; starting it").count() == 2).then_some(())
    });
    watchdog.terminate();
}

/// Everybody but root has all files in one directory of their own.
#[test]
fn places_of_an_ordinary_user() {
    for (state_home, expected) in [(None, "home/.local/state/watchdog"), (Some("xdg"), "xdg/watchdog")] {
        let scene = Scene::new();
        for folder in ["home", "xdg"] {
            fs::create_dir(scene.path(folder)).unwrap();
            fs::set_permissions(scene.path(folder), fs::Permissions::from_mode(0o777)).unwrap();
        }
        scene.start_actor(&["sleep"]);
        let mut command = scene.watchdog().without("--state-dir").without("--log-dir").command();
        command.envs(state_home.map(|folder| ("XDG_STATE_HOME", scene.path(folder))));
        if is_root() {
            command.uid(1_000_000).gid(1_000_000); // whose home this is not, by the list of users
        }
        let watchdog = scene.spawn(command, Captured::All);
        let file = |ending: &str| format!("{expected}/{}.{ending}", scene.name());
        scene.wait_until("there is a log", || scene.read(&file("log")).contains(": watching ").then_some(()));
        // Of this machine, should the home be others' too.
        let lock = format!("{}.lock", scene.name());
        let folders = fs::read_dir(scene.path(expected)).unwrap().map(|entry| entry.unwrap().path());
        assert_eq!(folders.filter(|folder| folder.join(&lock).exists()).count(), 1);
        watchdog.terminate();
    }
}

#[test]
fn the_first_record_is_short_and_the_file_has_all_settings() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().flag("-v").flag("--exact").spawn();
    scene.wait_for("INFO settings: ");
    watchdog.terminate();
    let [first, settings, ..] = &scene.log()[..] else { panic!("{}", scene.story()) };
    let name = scene.name();
    let start = format!("INFO watching '{name}' every 100ms; following {name} (pid {pid}, up ");
    assert!(first.text.starts_with(&start), "{first:?}");
    let path = format!("log/{name}.log");
    assert!(first.text.ends_with(&format!("; log {}", scene.path(&path).display())), "{first:?}");
    assert!(first.text.len() < 100 + scene.path(&path).as_os_str().len(), "{first:?}");
    let start = format!(
        "INFO settings: watchdog {}, pid {}; process_name '{name}', exact yes",
        env!("CARGO_PKG_VERSION"),
        watchdog.pid()
    );
    assert!(settings.text.starts_with(&start) && settings.text.contains("stable_after 1m"), "{settings:?}");
    assert!(!settings.text.contains("retry_after") && !settings.text.contains("full"), "{settings:?}");
    assert!(!watchdog.stderr().contains("settings: "), "{}", watchdog.stderr());
}
