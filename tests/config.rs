//! The configuration file (section 2 of the design): where settings come from, and SIGHUP.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use nix::sys::signal::Signal::{SIGHUP, SIGKILL};
use serde_json::json;

use crate::dry_run::DryRun;
use crate::harness::{Captured, Invocation, Scene, Watchdog};
use crate::machine::{is_root, send, skip, unshare};

/// A file that says all that the command line usually says, and these lines besides.
pub fn write(scene: &Scene, start_command: &str, more: &str) -> PathBuf {
    let text = format!(
        "process_name = '{}'\nstart_command = '''echo >> $HERE/starts; {start_command}'''\n\
         restart_wait_interval = 0.5\nrestart_delay = '50ms'\nafter_stop = 0.3\n{more}\n",
        scene.name()
    );
    let (file, new) = (scene.path("x.toml"), scene.path("x.toml.new"));
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o644)).unwrap();
    fs::rename(&new, &file).unwrap();
    file
}

/// A watchdog that has it all from the file, but for its directories.
pub fn by_file<'a>(scene: &'a Scene, start_command: &str, more: &str) -> Invocation<'a> {
    let file = write(scene, start_command, more);
    let options = [
        "--process-name",
        "--start-command",
        "--health-check-interval",
        "--restart-wait-interval",
        "--restart-delay",
        "--after-stop",
    ];
    let line = options.iter().fold(scene.watchdog(), |line, option| line.without(option));
    line.with("--config", file).with("--name", scene.name())
}

/// Lets it read the file anew, and waits until it has said so.
#[track_caller]
pub fn reload(scene: &Scene, watchdog: &Watchdog) {
    let before = scene.count("configuration (not )?reloaded");
    watchdog.send(SIGHUP);
    scene.wait_until("the file is read", || {
        (scene.count("configuration (not )?reloaded") > before).then_some(())
    });
}

#[test]
fn what_the_file_says_is_done() {
    let scene = Scene::new();
    let watchdog =
        by_file(&scene, "$ACTOR sleep &", "health_check_interval = 0.1\nmax_fail_count = 7").spawn();
    let first = scene.wait_for("INFO settings: ");
    for said in ["health_check_interval 100ms", "restart_wait_interval 500ms", "max_fail_count 7"] {
        assert!(first.text.contains(said), "{said}: {first:?}");
    }
    scene.assert_watched();
    watchdog.terminate();
}

#[test]
fn the_command_line_wins_over_the_file_and_the_file_over_the_default() {
    let scene = Scene::new();
    let file = by_file(&scene, "$ACTOR sleep &", "max_fail_count = 7\nhealth_check_interval = 4");
    let shown = file.with("--max-fail-count", "9").flag("--dry-run").run();
    assert_eq!(shown.code(), Some(1), "{shown}");
    for (setting, value, source) in [
        ("max_fail_count", "9", "command line"),
        ("health_check_interval", "4", "x.toml:7"),
        ("stable_after", "60s", "default"),
    ] {
        let line = shown.stdout.lines().find(|line| line.contains(setting)).unwrap_or_default();
        assert!(line.contains(&format!("\t{value}\t")) && line.ends_with(source), "{setting}: {shown}");
    }
    assert_eq!(scene.starts(), 0);
}

/// An instance is called as its file.
#[test]
fn the_name_is_that_of_the_file() {
    let scene = Scene::new();
    let ended = by_file(&scene, "$ACTOR sleep &", "").without("--name").flag("--once").run();
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert!(scene.path("state/x.json").exists() && scene.path("log/x.log").exists());
    write(&scene, "$ACTOR sleep &", "name = 'said'");
    let line = scene.watchdog().without("--process-name").without("--start-command");
    let ended = line.with("--config", scene.path("x.toml")).flag("--once").run();
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert!(scene.path("state/said.json").exists());
}

#[test]
fn all_that_is_wrong_is_said_at_once_and_where() {
    let scene = Scene::new();
    let line = || scene.watchdog().with("--config", scene.path("x.toml")).without("--health-check-interval");
    // The keys as they come out of a table, and the values as they are checked, are in no order of lines.
    let wrong = "proces_name = 'x'\nlog_max_size = 'big'\n\nexact = 1\nuser = ['a']\nmax_fail_count = 0\n";
    let values = "log_max_size = 'big'\nhealth_check_interval = 'soon'\nmax_fail_count = 0\n";
    for (text, said) in [
        (
            wrong,
            &[
                "1: unknown setting 'proces_name'; did you mean process_name?",
                "2: log_max_size 'big'",
                "4: exact: ",
                "5: user: ",
                "6: max_fail_count '0'",
            ][..],
        ),
        (values, &["1: log_max_size 'big'", "2: health_check_interval 'soon'", "3: max_fail_count '0'"]),
    ] {
        fs::write(scene.path("x.toml"), text).unwrap();
        let ended = line().run();
        assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), said.len()), "{ended}");
        for (line, said) in ended.stderr.lines().zip(said) {
            assert!(line.contains(&format!("x.toml:{said}")), "{said}: {ended}");
        }
    }
    fs::write(scene.path("x.toml"), "process_name = 'x\n").unwrap();
    let ended = line().run();
    assert!(ended.code() == Some(2) && ended.stderr.contains("x.toml:1: "), "{ended}");
    for (file, said) in [("none.toml", "cannot read it"), ("", "not a configuration file")] {
        let ended = scene.watchdog().with("--config", scene.path(file)).run();
        assert!(ended.code() == Some(2) && ended.stderr.contains(said), "{ended}");
    }
    assert_eq!((scene.starts(), scene.path("state").exists()), (0, false), "nothing is begun");
}

#[test]
fn a_changed_file_is_read_and_starts_nothing() {
    let scene = Scene::new();
    let watchdog = by_file(&scene, "$ACTOR sleep &", "health_check_interval = '1h'").spawn();
    scene.wait_for("attempt 1 succeeded");
    let pid = scene.wait_running();
    write(&scene, "touch $HERE/other; $ACTOR sleep &", "health_check_interval = 0.05");
    reload(&scene, &watchdog);
    watchdog.wait_checks(5); // by the new interval
    assert_eq!((scene.starts(), scene.all(), scene.path("other").exists()), (1, vec![pid], false));
    scene.wait_until("status says so", || (scene.state()["interval_ms"] == 50).then_some(()));
    assert_eq!(scene.state()["process"]["pid"], pid);
    let other = scene.assert_watched();
    assert!(scene.path("other").exists(), "by the new command: {other}\n{}", scene.story());
    watchdog.terminate();
}

/// A reload says what holds from then on, and doubts it as a start does.
#[test]
fn a_changed_start_command_is_doubted_before_it_is_needed() {
    let scene = Scene::new();
    // Where a directory in PATH cannot be searched, nobody could tell.
    let path = ["env", "PATH=/usr/bin:/bin"];
    let watchdog = by_file(&scene, "$ACTOR sleep &", "").through(&path).spawn();
    scene.wait_for("attempt 1 succeeded");
    let text = format!("process_name = '{}'\nstart_command = 'no-such-program -x'\n", scene.name());
    fs::write(scene.path("x.toml"), text).unwrap();
    reload(&scene, &watchdog);
    scene.wait_for("^INFO configuration reloaded: .*start_command 'no-such-program -x'");
    scene.wait_for("^WARN start command: 'no-such-program' not found in PATH");
    watchdog.terminate();
}

/// What is looked for from then on is something else, and what ran until then is nobody's business.
#[test]
fn another_process_name_is_looked_for_at_once() {
    let scene = Scene::new();
    let watchdog = by_file(&scene, "$ACTOR sleep &", "").spawn();
    scene.wait_for("attempt 1 succeeded");
    let old = scene.wait_running();
    let other = scene.link_actor("the-other");
    let file = scene.read("x.toml").replacen(scene.name(), "the-other", 1);
    fs::write(scene.path("x.toml"), file.replace("$ACTOR", "$HERE/the-other")).unwrap();
    reload(&scene, &watchdog);
    scene.wait_for(&format!(r"now looking for other processes; .*\(pid {old}\) is left alone"));
    scene.wait_until("the other is started, and succeeds", || {
        (scene.count("attempt 1 succeeded") == 2).then_some(())
    });
    assert_eq!((scene.all(), scene.starts()), (vec![old], 2), "{}", scene.story());
    let state = scene.state();
    assert_eq!(
        (&state["process"]["name"], &state["process_name"]),
        (&json!("the-other"), &json!("the-other"))
    );
    assert_eq!(scene.count("killed|died|ended since"), 0, "nobody has died: {:#?}", scene.log());
    watchdog.terminate();
    send(i32::try_from(state["process"]["pid"].as_i64().unwrap()).unwrap(), SIGKILL);
    drop(other);
}

/// Nor is what became of it held against the other, as it is not by a watchdog that is started again.
#[test]
fn another_process_has_no_history() {
    let scene = Scene::new();
    let watchdog = by_file(&scene, "$ACTOR sleep &", "").spawn();
    scene.wait_for("attempt 1 succeeded");
    send(scene.wait_running(), SIGKILL);
    scene.wait_until("it is back", || (scene.count("attempt 1 succeeded") == 2).then_some(()));
    let other = format!("{}-b", scene.name());
    let file = scene.read("x.toml").replacen(scene.name(), &other, 1);
    fs::write(scene.path("x.toml"), file.replace("$ACTOR sleep &", "true")).unwrap();
    reload(&scene, &watchdog);
    // As if nothing had ever been seen: nothing has, of this one.
    scene.wait_for(&format!("the start command succeeded, but nothing that matches '{other}' appeared"));
    let state = scene.state();
    assert_eq!(
        (&state["restarts"], &state["deaths_ms"], &state["last_exit"], &state["gone"]),
        (&json!(0), &json!([]), &json!(null), &json!(null)),
        "{state}"
    );
    watchdog.terminate();
}

/// As at the start.
#[test]
fn a_file_that_a_group_may_write_is_doubted_when_it_is_read_again() {
    if !is_root() {
        return skip("needs root, whose files are not for others to write");
    }
    let scene = Scene::new();
    let watchdog = by_file(&scene, "$ACTOR sleep &", "").spawn();
    scene.wait_for("attempt 1 succeeded");
    let file = scene.path("x.toml");
    std::os::unix::fs::chown(&file, None, Some(65534)).unwrap();
    for _ in 0..2 {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
        reload(&scene, &watchdog);
        scene.wait_for("^WARN others can decide what root runs: .*x.toml");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        reload(&scene, &watchdog);
    }
    assert_eq!(scene.count("^WARN others can decide what root runs"), 2, "{:#?}", scene.log());
    watchdog.terminate();
}

/// What the start command has become is nobody's to end.
#[test]
fn no_other_process_name_while_the_start_command_is_the_process() {
    let scene = Scene::new();
    let watchdog = by_file(&scene, "exec $ACTOR sleep", "start_timeout = '200ms'").spawn();
    scene.wait_for("attempt 1 succeeded");
    let pid = scene.wait_running();
    fs::write(scene.path("x.toml"), scene.read("x.toml").replacen(scene.name(), "the-other", 1)).unwrap();
    reload(&scene, &watchdog);
    let told = scene.wait_for("^WARN configuration not reloaded");
    assert!(told.text.contains("while a start command runs; restart this watchdog"), "{told:?}");
    watchdog.wait_checks(10);
    assert_eq!(scene.all(), [pid]);
    watchdog.terminate();
}

/// Nor does what was counted begin anew.
#[test]
fn a_changed_file_forgets_no_failures() {
    let scene = Scene::new();
    let watchdog = by_file(&scene, "false", "health_check_interval = 0.1\nmax_fail_count = 3").spawn();
    scene.wait_for("attempt 1 of 3 failed");
    write(&scene, "exit 5", "health_check_interval = 0.2\nmax_fail_count = 4");
    reload(&scene, &watchdog);
    assert_eq!(watchdog.ends().code(), Some(1));
    assert_eq!(scene.starts(), 4, "{}", scene.story());
    assert_eq!(scene.count("gave up after 4 failures"), 1, "{:#?}", scene.log());
}

#[test]
fn a_wrong_file_is_refused_and_the_old_one_stays() {
    let scene = Scene::new();
    let watchdog = by_file(&scene, "$ACTOR sleep &", "health_check_interval = 0.1").spawn();
    scene.wait_for("attempt 1 succeeded");
    for (wrong, said) in [
        ("max_fail_cuont = 5", "x.toml:6: unknown setting 'max_fail_cuont'"),
        ("health_check_interval = 'soon'", "x.toml:6: health_check_interval 'soon'"),
        ("[", "x.toml:6: "),
        ("once = true", "once"),
    ] {
        write(&scene, "touch $HERE/other", wrong);
        reload(&scene, &watchdog);
        let told = scene.log().pop().unwrap();
        assert!(
            told.text.starts_with("WARN configuration not reloaded") && told.text.contains(said),
            "{said}: {told:?}"
        );
    }
    fs::remove_file(scene.path("x.toml")).unwrap();
    reload(&scene, &watchdog);
    assert!(scene.log().pop().unwrap().text.contains("cannot read it"), "{:#?}", scene.log());
    scene.assert_watched();
    assert!(!scene.path("other").exists());
    watchdog.terminate();
}

/// Whoever may write it decides what root runs.
#[test]
fn root_is_warned_of_a_file_that_a_group_may_write() {
    if !is_root() {
        return skip("only root can be warned of it");
    }
    for (mode, group, warnings) in [(0o644, 65534, 0), (0o664, 0, 0), (0o664, 65534, 1)] {
        let scene = Scene::new();
        let line = by_file(&scene, "$ACTOR sleep &", "").flag("--once");
        fs::set_permissions(scene.path("x.toml"), Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(scene.path("x.toml"), None, Some(group)).unwrap();
        let dry = DryRun::of(line.clone());
        let told =
            dry.rows("warning").filter(|row| row[0].starts_with("others can decide what root runs")).count();
        assert_eq!(told, warnings, "{mode:o} {group}: {}", dry.ended);
        assert_eq!(line.clone().run().code(), Some(0));
        assert_eq!(line.run().code(), Some(0));
        let told = scene.count("^WARN others can decide what root runs: .*x.toml");
        assert_eq!(told, warnings, "{mode:o} {group}: {:#?}", scene.log());
    }
}

#[test]
fn a_bare_name_is_a_file_in_etc() {
    let scene = Scene::new();
    let ways = if is_root() { unshare(&scene, &["--mount"]) } else { None };
    let Some(private) = ways else { return skip("only root can have an /etc of its own") };
    write(&scene, "$ACTOR sleep &", "");
    fs::create_dir(scene.path("etc")).unwrap();
    fs::rename(scene.path("x.toml"), scene.path("etc/docker.toml")).unwrap();
    // Over a directory that is there on every machine, so that none has to be made.
    let mount = "mount -t tmpfs none /etc && mkdir /etc/watchdog && cp $HERE/etc/docker.toml /etc/watchdog && exec \"$@\"";
    let private: Vec<_> = private.iter().map(String::as_str).chain(["sh", "-c", mount, "sh"]).collect();
    let line = scene.watchdog().without("--process-name").without("--start-command").with("-c", "docker");
    let ended = scene.spawn(line.flag("--once").through(&private).command(), Captured::All).ends();
    assert_eq!(ended.code(), Some(0), "{ended}\n{}", scene.story());
    let state: serde_json::Value = serde_json::from_str(&scene.read("state/docker.json")).unwrap();
    assert_eq!((&state["name"], &state["process_name"]), (&json!("docker"), &json!(scene.name())));
}

/// A watchdog whose configuration file is these bytes.
fn as_an_editor_leaves_it<'a>(scene: &'a Scene, bytes: &[u8]) -> Invocation<'a> {
    fs::write(scene.path("x.toml"), bytes).unwrap();
    let line = scene.watchdog().without("--process-name").without("--start-command");
    line.with("--config", scene.path("x.toml")).with("--name", scene.name())
}

/// A text of several lines that was written on Windows has line ends, and a shell no business with the rest of them.
#[test]
fn a_line_end_of_windows_is_one_in_a_text_too() {
    for quotes in ["\'\'\'", "\"\"\""] {
        let scene = Scene::new();
        let text = format!(
            "process_name = '{}'\r\nstart_command = {quotes}\r\necho >> $HERE/starts\r\n$ACTOR sleep &\r\n{quotes}\r\n",
            scene.name()
        );
        let line = as_an_editor_leaves_it(&scene, text.as_bytes()).flag("--once");
        let dry = DryRun::of(line.clone());
        let shown = dry.rows("setting").find(|row| row[0] == "start_command").unwrap();
        assert_eq!(shown[1].trim_end_matches("\\n"), "echo >> $HERE/starts\\n$ACTOR sleep &");
        let ended = line.run();
        assert_eq!((ended.code(), scene.starts()), (Some(0), 1), "{ended}\n{}", scene.story());
        assert_eq!(scene.count("exited with status 127"), 0, "{:#?}", scene.log());
    }
    // Lines are counted as before.
    let scene = Scene::new();
    let ended = as_an_editor_leaves_it(&scene, b"# one\r\n\r\nthree = 3\r\n").run();
    assert!(ended.stderr.contains("x.toml:3: unknown setting 'three'"), "{ended}");
}

/// Its text is fit to be read, were it only written otherwise.
#[test]
fn a_file_in_another_encoding_is_refused_with_its_line_and_the_remedy() {
    let text = "# Grüße\nprocess_name = 'x'\nstart_command = 'echo Müller'\n";
    let units = || text.encode_utf16();
    let little: Vec<_> = units().flat_map(u16::to_le_bytes).collect();
    let big: Vec<_> = units().flat_map(u16::to_be_bytes).collect();
    let after = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
    let latin: Vec<_> = text.replacen('ü', "ue", 1).replacen('ß', "ss", 1).chars().map(|c| c as u8).collect();
    for (bytes, said) in [
        (after(&[0xff, 0xfe], &little), ["x.toml:1: ", "UTF-16"]),
        (after(&[0xfe, 0xff], &big), ["x.toml:1: ", "UTF-16"]),
        // As by tools that leave the mark out.
        (little, ["x.toml:1: ", "UTF-16"]),
        (big, ["x.toml:1: ", "UTF-16"]),
        (latin, ["x.toml:3: ", "Latin-1"]),
    ] {
        let scene = Scene::new();
        let ended = as_an_editor_leaves_it(&scene, &bytes).run();
        assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), 1), "{ended}");
        for said in said.into_iter().chain(["UTF-8"]) {
            assert!(ended.stderr.contains(said), "{said}: {ended}");
        }
        assert!(!ended.stderr.contains("valid UTF-8"), "the remedy, not the library's words: {ended}");
    }
}

/// None of this is wrong.
#[test]
fn a_mark_tabs_and_a_last_line_without_an_end_are_taken() {
    let text = |scene: &Scene| {
        format!(
            "process_name\t=\t'{}'\n\tstart_command = '$ACTOR sleep &'\t# why\n\n\texact=true",
            scene.name()
        )
    };
    for (mark, end) in [("", "\n"), ("\u{feff}", "\n"), ("\u{feff}", "\r\n")] {
        let scene = Scene::new();
        let bytes = format!("{mark}{}", text(&scene).replace('\n', end));
        let line = as_an_editor_leaves_it(&scene, bytes.as_bytes()).flag("--once");
        let ended = line.run();
        assert_eq!((ended.code(), scene.all().len()), (Some(0), 1), "{end:?}: {ended}");
    }
}

/// As by configuration management, and by volumes that are replaced as a whole.
#[test]
fn a_file_may_be_a_link_to_another() {
    let scene = Scene::new();
    for folder in ["etc", "etc/new", "etc/old"] {
        fs::create_dir(scene.path(folder)).unwrap();
        fs::set_permissions(scene.path(folder), Permissions::from_mode(0o755)).unwrap();
    }
    let point = |to: &str, at: &str| {
        symlink(to, scene.path("etc/link")).unwrap();
        fs::rename(scene.path("etc/link"), scene.path(at)).unwrap();
    };
    point("old", "etc/data");
    point("data/docker.toml", "etc/x.toml");
    let file = fs::read_to_string(write(&scene, "$ACTOR sleep &", "")).unwrap();
    fs::write(scene.path("etc/old/docker.toml"), &file).unwrap();
    fs::write(scene.path("etc/new/docker.toml"), format!("{file}health_check_interval = '50ms'\n")).unwrap();
    let line = by_file(&scene, "$ACTOR sleep &", "").with("--config", scene.path("etc/x.toml"));
    // The instance is called as the link.
    assert_eq!(line.clone().without("--name").flag("--once").run().code(), Some(0));
    assert!(scene.path("state/x.json").exists());
    let watchdog = line.spawn();
    scene.wait_for("INFO watching ");
    point("new", "etc/data");
    reload(&scene, &watchdog);
    scene.wait_for("^INFO configuration reloaded: .*health_check_interval 50ms");
    watchdog.terminate();
}
