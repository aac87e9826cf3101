//! Reading one watchdog and a thousand: `logs`, `status --watch`, and what reads them (rule 62).

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal::{SIGCONT, SIGINT, SIGKILL, SIGTERM};
use procfs::process::Process;
use serde_json::{Value, json};

use crate::harness::{Captured, Ended, Scene, WATCHDOG, Watchdog};
use crate::machine::{BOB, as_user, is_root, program, send, skip};
use crate::selection::keep;
use crate::terminal::Terminal;

#[track_caller]
fn refused(ended: &Ended, status: i32, said: &str) {
    assert_eq!(
        (ended.code(), &*ended.stdout, ended.stderr.lines().count()),
        (Some(status), "", 1),
        "{ended}"
    );
    assert!(ended.stderr.starts_with("watchdog: ") && ended.stderr.contains(said), "{said}: {ended}");
}

/// A command that goes on until it is ended.
fn goes_on<'a>(scene: &'a Scene, words: &[&str]) -> Watchdog<'a> {
    let mut command = program(WATCHDOG);
    command.args(words).arg("--state-dir").arg(scene.path("state")).stdin(Stdio::null());
    scene.spawn(command, Captured::All)
}

fn append(scene: &Scene, file: &str, text: &str) {
    let mut file = File::options().create(true).append(true).open(scene.path(file)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Wherever it is, which only the state says.
#[test]
fn logs_are_those_that_the_watchdog_has_written() {
    let scene = Scene::new();
    let line = scene.watchdog().with("--log-dir", scene.path("else where")).flag("--once");
    assert_eq!(line.starting("echo one; echo two; $ACTOR sleep &").run().code(), Some(0));
    let log = scene.read(&format!("else where/{}.log", scene.name()));
    assert!(log.lines().count() > 2, "{log}");
    for (more, expected) in [
        (&[][..], log.as_str()),
        (&["-n", "1"], log.lines().next_back().unwrap()),
        (&["-n0"], ""),
        (&["--output"], "one\ntwo"),
        (&["--output", "--lines", "1"], "two"),
    ] {
        let shown = scene.say(&[&["logs", scene.name()], more].concat());
        assert_eq!(
            (shown.code(), shown.stdout.trim_end(), &*shown.stderr),
            (Some(0), expected.trim_end(), "")
        );
    }
    // A state of an older version does not say where they are.
    let mut state = scene.state();
    state.as_object_mut().unwrap().retain(|field, _| field != "log" && field != "output_log");
    fs::write(scene.kept("json"), state.to_string()).unwrap();
    let missing = scene.say(&["logs", scene.name()]);
    refused(
        &missing,
        1,
        &format!("/watchdog/{0}.log yet; to see whether it is watched: watchdog status {0} ", scene.name()),
    );
    // And one that is nobody's decides nothing.
    for log in ["relative", "-f", ""] {
        state["log"] = json!(log);
        fs::write(scene.kept("json"), state.to_string()).unwrap();
        refused(&scene.say(&["logs", scene.name()]), 1, "there is no /");
    }
    // Nor does one that is a pipe or a device hold anything up.
    let pipe = scene.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for log in [pipe.as_path(), Path::new("/dev/zero")] {
        state["log"] = json!(log);
        fs::write(scene.kept("json"), state.to_string()).unwrap();
        refused(&scene.say(&["logs", scene.name()]), 1, "it is not a regular file");
    }
}

/// After a boot, root's state is gone, and the log is where it was.
#[test]
fn without_a_state_the_log_is_where_the_configuration_says() {
    let scene = Scene::new();
    let configured = scene.path("home/.config/watchdog");
    fs::create_dir_all(configured.join("logs")).unwrap();
    let file = "process_name = 'x'\nstart_command = 'true'\nlog_dir = 'logs'\n";
    fs::write(configured.join("before.toml"), file).unwrap();
    fs::write(configured.join("logs/before.log"), "before the boot\n").unwrap();
    let user = if is_root() { as_user(BOB) } else { Vec::new() };
    let mut words = user.iter().map(String::as_str).chain([WATCHDOG, "logs", "befor?"]);
    let mut command = program(words.next().unwrap());
    command.args(words).env("HOME", scene.path("home")).env_remove("XDG_STATE_HOME").stdin(Stdio::null());
    let shown = scene.spawn(command, Captured::All).ends();
    assert_eq!((shown.code(), &*shown.stdout, &*shown.stderr), (Some(0), "before the boot\n", ""), "{shown}");
}

#[test]
fn logs_are_followed_when_they_are_moved_and_cut() {
    let scene = Scene::new();
    keep(&scene, &["a", "b"]);
    for name in ["a", "b"] {
        let mut state: Value = serde_json::from_str(&scene.read(&format!("state/{name}.json"))).unwrap();
        state["log"] = json!(scene.path(&format!("{name}.log")));
        state["output_log"] = json!(scene.path(&format!("{name}.output.log")));
        fs::write(scene.path(&format!("state/{name}.json")), state.to_string()).unwrap();
        append(&scene, &format!("{name}.log"), &format!("{name}: before\n"));
    }
    append(&scene, "a.output.log", "output before\n");
    let (both, output) =
        (goes_on(&scene, &["logs", "[ab]", "-f"]), goes_on(&scene, &["logs", "a", "-f", "--output"]));
    let (both_said, output_said) = (|| scene.read("1.stdout"), || scene.read("2.stdout"));
    let wait = |what: &str, said: &dyn Fn() -> String| {
        scene.wait_until(&format!("{what}: {}", said()), || said().contains(what).then_some(()));
    };
    wait("b: before", &both_said);
    assert!(both_said().starts_with(&format!("==> {} <==\na: before\n", scene.path("a.log").display())));
    fs::rename(scene.path("a.log"), scene.path("a.log.1")).unwrap();
    append(&scene, "a.log", "a: after it was moved\n");
    wait("a: after it was moved", &both_said);
    wait("output before", &output_said);
    File::options().write(true).open(scene.path("a.output.log")).unwrap().set_len(0).unwrap();
    append(&scene, "a.output.log", "cut\n");
    wait("cut", &output_said);
    for tail in [both, output] {
        tail.send(SIGTERM);
        assert_eq!(tail.ends().signal(), Some(SIGTERM), "it is tail by now");
    }
}

#[test]
fn without_a_log_a_line_says_what_to_type() {
    let scene = Scene::new();
    keep(&scene, &["a", "b", "c"]);
    append(&scene, "there.log", "it is there\n");
    for (name, log) in [("a", "there.log"), ("b", "not there.log"), ("c", "")] {
        let mut state: Value = serde_json::from_str(&scene.read(&format!("state/{name}.json"))).unwrap();
        state["log"] = json!(scene.path(log));
        state["output_log"] = json!(scene.path("none.output.log"));
        fs::write(scene.path(&format!("state/{name}.json")), state.to_string()).unwrap();
    }
    refused(&scene.say(&["logs", "b"]), 1, "b: there is no /");
    refused(&scene.say(&["logs", "b", "--output"]), 1, "none.output.log: no start command has run; ");
    refused(&scene.say(&["logs", "d"]), 2, "no watchdog is named 'd'");
    refused(&scene.say(&["logs", "a", "-n", "x"]), 2, "--lines 'x': not a whole number");
    refused(&scene.say(&["logs", "a", "-n", "-1"]), 2, "--lines '-1': too small; give 0 to 1000000");
    // Of several, those that there are.
    let both = scene.say(&["logs", "b", "a"]);
    assert_eq!(
        (both.code(), &*both.stdout, both.stderr.lines().count()),
        (Some(0), "it is there\n", 1),
        "{both}"
    );
    fs::write(scene.path("state/a.json"), "{").unwrap();
    refused(&scene.say(&["logs", "a"]), 1, "a: there is no /");
    fs::remove_file(scene.path("state/a.json")).unwrap();
    refused(&scene.say(&["logs", "a"]), 2, "no watchdog is named 'a'");
    let mut state: Value = serde_json::from_str(&scene.read("state/b.json")).unwrap();
    state["log"] = json!(scene.path("there.log"));
    fs::write(scene.path("state/b.json"), state.to_string()).unwrap();
    let no_tail = scene.say_through(&["env", "PATH=/nonexistent"], &["logs", "b"]);
    let instead = format!(
        "cannot run tail (No such file or directory (os error 2)); instead: cat {}",
        state["log"].as_str().unwrap()
    );
    refused(&no_tail, 1, &instead);
    if !is_root() {
        return skip("only root can be another user");
    }
    fs::set_permissions(scene.path("there.log"), fs::Permissions::from_mode(0o640)).unwrap();
    let other: Vec<_> = as_user(BOB);
    let other: Vec<_> = other.iter().map(String::as_str).collect();
    refused(
        &scene.say_through(&other, &["logs", "b"]),
        4,
        "Permission denied (os error 13); run this command as root",
    );
}

/// `status --watch` in a terminal of this size.
fn watched<'a>(scene: &'a Scene, names: &[&str], (rows, columns): (u16, u16)) -> (Terminal, Watchdog<'a>) {
    let mut terminal = Terminal::new();
    terminal.resize(rows, columns);
    let mut command = program(WATCHDOG);
    command
        .args(["status", "--watch", "--state-dir"])
        .arg(scene.path("state"))
        .args(names)
        .env("TERM", "xterm");
    let watch = terminal.start(scene, command);
    (terminal, watch)
}

/// The lines of a frame that has all of this, once there is one.
#[track_caller]
fn frame(scene: &Scene, terminal: &mut Terminal, parts: &[&str]) -> Vec<String> {
    scene.wait_until(&format!("{parts:?} on the screen"), || {
        let transcript = terminal.transcript();
        let mut frames = transcript.rsplit("\x1b[H").filter_map(|frame| Some(frame.split_once("\x1b[J")?.0));
        let last = frames.next()?.replace("\x1b[K", "");
        parts.iter().all(|part| last.contains(part)).then(|| last.split('\n').map(str::to_owned).collect())
    })
}

#[test]
fn a_watched_status_is_drawn_anew_and_leaves_the_screen_as_it_was() {
    let scene = Scene::new();
    keep(&scene, &["web"]);
    let pid = scene.wait_running();
    let (mut terminal, watch) = watched(&scene, &[], (24, 80));
    let lines = frame(&scene, &mut terminal, &[&format!("  {pid}  ")]);
    assert!(terminal.transcript().starts_with("\x1b[?1049h\x1b[?25l"));
    assert!(lines.len() == 3 && lines[0].ends_with("  1 watchdog; Ctrl-C to end"), "{lines:?}");
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    frame(&scene, &mut terminal, &["not running", "ended since the last check"]);
    // A shell's job control.
    terminal.press("\x1a");
    let is_stopped =
        || Process::new(watch.pid()).and_then(|it| it.stat()).is_ok_and(|stat| stat.state == 'T');
    scene.wait_until("it is suspended", || is_stopped().then_some(()));
    assert!(terminal.transcript().ends_with("\x1b[?25h\x1b[?1049l"));
    let before = terminal.transcript().len();
    watch.send(SIGCONT);
    scene.wait_until("it draws again", || {
        terminal.transcript()[before..].contains("\x1b[?1049h").then_some(())
    });
    fs::remove_file(scene.path("state/web.json")).unwrap();
    frame(&scene, &mut terminal, &["0 watchdogs"]);
    terminal.press("\x03");
    assert_eq!(watch.ends().signal(), Some(SIGINT));
    let transcript = terminal.transcript().trim_end_matches("^C");
    assert!(transcript.ends_with("\x1b[?25h\x1b[?1049l"), "{transcript:?}");
}

#[test]
fn a_watched_status_fits_the_terminal_whatever_becomes_of_that() {
    let scene = Scene::new();
    let long = "a-name-of-64-characters".to_owned() + &"x".repeat(41);
    let names: Vec<_> = (100..130).map(|number| format!("n{number}")).chain([long.clone()]).collect();
    keep(&scene, &names);
    fs::write(scene.path("state/n120.json"), "{").unwrap();
    let (mut terminal, watch) = watched(&scene, &["n*", &long], (12, 60));
    // 10 lines of the table, with its head; what is not well is among them.
    let lines = frame(&scene, &mut terminal, &["and 22 more"]);
    assert_eq!(
        (lines.len(), lines[2].starts_with("n120"), lines[3].starts_with("n100")),
        (12, true, true),
        "{lines:?}"
    );
    assert!(lines.iter().all(|line| line.chars().count() <= 60), "{lines:?}");
    for (rows, columns, shown, more) in
        [(40, 200, 33, None), (5, 20, 5, Some("and 29 more")), (1, 1, 1, None)]
    {
        terminal.resize(rows, columns);
        let lines = scene.wait_until("it fits again", || {
            let lines = frame(&scene, &mut terminal, &[more.unwrap_or("")]);
            let is_fit = lines.iter().all(|line| line.chars().count() <= columns.into());
            (lines.len() == shown && is_fit).then_some(lines)
        });
        assert!(rows != 40 || lines.iter().any(|line| line.starts_with(&long)), "{lines:?}");
    }
    // The terminal is gone.
    terminal.hang_up();
    watch.ends();
}

#[test]
fn only_a_terminal_is_watched() {
    let scene = Scene::new();
    keep(&scene, &["web"]);
    let said = "--watch needs a terminal; elsewhere: watchdog status, or --json for scripts";
    refused(&scene.say(&["status", "--watch"]), 2, said);
    refused(&scene.say(&["status", "--watch", "--json"]), 2, "--watch and --json exclude each other");
    for (kind, names, said) in [("dumb", &[][..], said), ("xterm", &["wev"][..], "did you mean 'web'?")] {
        let mut terminal = Terminal::new();
        let mut command = program(WATCHDOG);
        command
            .args(["status", "--watch", "--state-dir"])
            .arg(scene.path("state"))
            .args(names)
            .env("TERM", kind);
        let ended = terminal.start(&scene, command).ends();
        assert_eq!(ended.code(), Some(2));
        assert!(terminal.transcript().contains(said) && !terminal.transcript().contains('\x1b'));
    }
}

#[test]
fn a_thousand_are_read_at_once() {
    let scene = Scene::new();
    let names: Vec<_> = (1000..2000).map(|number| format!("n{number}")).collect();
    keep(&scene, &names);
    let table = scene.say(&["status"]);
    assert_eq!((table.code(), table.stdout.lines().count(), &*table.stderr), (Some(0), 1001, ""));
    let json = scene.say(&["status", "--json", "n*"]);
    let shown: Vec<Value> = serde_json::from_str(&json.stdout).unwrap();
    let shown: Vec<_> = shown.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(shown, names);
    // Who reads it may have seen enough.
    fs::create_dir_all(scene.path("log")).unwrap();
    append(&scene, &format!("log/{}.log", scene.name()), &("x".repeat(50_000) + "\n").repeat(10));
    let script = "\"$@\" 2>&1; echo $? >&3";
    for words in [&["status"][..], &["status", "--json"], &["logs", "n1000"]] {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec 3>status; {{ {script}; }} | true"), "sh", WATCHDOG]).args(words);
        command.arg("--state-dir").arg(scene.path("state")).current_dir(scene.path("")).stdin(Stdio::null());
        let ended = scene.spawn(command, Captured::All).ends();
        assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""), "{ended}");
        // What a pipe holds may have been taken before it closed; tail ends by SIGPIPE.
        let status =
            scene.wait_until("its end", || Some(scene.read("status")).filter(|it| it.ends_with('\n')));
        assert!(["0\n", "141\n"].contains(&status.as_str()), "{words:?}: {status}");
    }
    let (mut terminal, watch) = watched(&scene, &[], (24, 60));
    let lines = frame(&scene, &mut terminal, &["1000 watchdogs", "and 979 more"]);
    assert!(lines.len() == 24 && lines.iter().all(|line| line.chars().count() <= 60), "{lines:?}");
    watch.send(SIGTERM);
    assert_eq!(watch.ends().signal(), Some(SIGTERM));
}
