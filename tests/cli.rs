//! What was typed, and what is wrong with it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use crate::harness::{Captured, Ended, Scene, WATCHDOG};
use crate::machine::{is_root, skip};

/// Runs it with these arguments, and with directories of its own unless they are in the way.
fn run<S: AsRef<OsStr>>(scene: &Scene, arguments: impl IntoIterator<Item = S>) -> Ended {
    let mut command = Command::new(WATCHDOG);
    command
        .args(arguments)
        .arg("--state-dir")
        .arg(scene.path("state"))
        .arg("--log-dir")
        .arg(scene.path("log"));
    command.stdin(Stdio::null()).env("HOME", scene.path("home")).env_remove("XDG_STATE_HOME");
    scene.spawn(command, Captured::All).ends()
}

#[test]
fn the_seed_spelling_works_in_any_order() {
    let scene = Scene::new();
    let start_command = format!("{} sleep &", scene.path(scene.name()).display());
    let pairs = [
        ["--restart_wait_interval", "5"],
        ["--max_fail_count", "3"],
        ["--process_name", scene.name()],
        ["--health_check_interval", "1"],
        ["--start_command", &start_command],
    ];
    for (round, turn) in [0, 2, 3].into_iter().enumerate() {
        let mut pairs = pairs;
        pairs.rotate_left(turn);
        if turn == 3 {
            pairs.reverse();
        }
        let mut command = Command::new(WATCHDOG);
        command.args(pairs.concat()).stdin(Stdio::null());
        command.arg("--state_dir").arg(scene.path("state")).arg("--log_dir").arg(scene.path("log"));
        let watchdog = scene.spawn(command, Captured::All);
        scene.wait_until("a watch more", || (scene.count("INFO settings: ") > round).then_some(()));
        let mut settings =
            scene.log().into_iter().filter(|record| record.text.starts_with("INFO settings: "));
        let settings = settings.next_back().unwrap();
        assert!(["5s", "1s"].iter().all(|time| settings.text.contains(time)), "{settings:?}");
        scene.wait_running();
        watchdog.terminate();
    }
    scene.wait_for(r"starting it \(attempt 1 of 3\)");
}

/// Each wrong setting has one line, all have theirs at once, and nothing is done.
#[test]
fn every_wrong_setting_is_named_at_once() {
    for wrong in [
        &["--process-name="][..],
        &["--process-name= \t"],
        &["--process-name=foo(bar"],
        &["--process-name=*"],
        &["--start-command="],
        &["--start-command=  "],
        &["--health-check-interval=0"],
        &["--health-check-interval=-1"],
        &["--health-check-interval=0s"],
        &["--health-check-interval=soon"],
        &["--health-check-interval="],
        &["--health-check-interval=1e30"],
        &["--health-check-interval=99999999999999999999999s"],
        &["--health-check-interval=1000y"],
        &["--health-check-interval=inf"],
        &["--health-check-interval=nan"],
        &["--restart-wait-interval=0"],
        &["--restart-wait-interval=-5"],
        &["--restart-wait-interval=5 parsecs"],
        &["--restart-wait-interval=18446744073709551616"],
        &["--max-fail-count=0"],
        &["--max-fail-count=-1"],
        &["--max-fail-count=abc"],
        &["--max-fail-count=1.5"],
        &["--max-fail-count=99999999999999999999"],
        &["--max-fail-count="],
        &["--start-timeout=0"],
        &["--start-timeout=-1"],
        &["--stable-after=-1"],
        &["--restart-delay=-1"],
        &["--after-stop=never"],
        &["--retry-after=0"],
        &["--retry-after=-1m"],
        &["--log-max-size=0"],
        &["--log-max-size=-1"],
        &["--log-max-size=big"],
        &["--log-max-files=-1"],
        &["--log-max-files=x"],
        &["--probe="],
        &["--probe=https://localhost/"],
        &["--probe=http:///x"],
        &["--probe=http://localhost:0/"],
        &["--probe=tcp://localhost:70000"],
        &["--probe=unix:run/x"],
        &["--probe-interval=0"],
        &["--probe-timeout=0"],
        &["--probe-start-period=2d"],
        &["--probe-failures=0"],
        &["--on-unhealthy=kill"],
        &["--stop-command= "],
        &["--stop-signal=STOP"],
        &["--stop-signal=KILL"],
        &["--stop-signal=SIGFOO"],
        &["--stop-signal=0"],
        &["--stop-timeout=0"],
        &["--stop-timeout=forever"],
        &["--kill-mode=group"],
        &["--name="],
        &["--name=../x"],
        &[
            "--process-name=(",
            "--start-command= ",
            "--health-check-interval=-1",
            "--restart-wait-interval=0",
            "--max-fail-count=abc",
            "--stable-after=x",
            "--restart-delay=x",
            "--after-stop=x",
            "--start-timeout=x",
            "--retry-after=x",
        ],
    ] {
        let scene = Scene::new();
        let mut arguments: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        for (option, right) in [("--process-name", scene.name()), ("--start-command", "echo >> $HERE/starts")]
        {
            if !wrong.iter().any(|argument| argument.starts_with(option)) {
                arguments.push(format!("{option}={right}"));
            }
        }
        let ended = run(&scene, arguments);
        assert_eq!((ended.code(), &*ended.stdout, scene.starts()), (Some(2), "", 0), "{wrong:?}: {ended}");
        for argument in wrong {
            let option = argument.split('=').next().unwrap();
            let lines = ended.stderr.lines().filter(|line| line.contains(option)).count();
            assert_eq!(lines, 1, "{option}: {ended}");
        }
        assert_eq!(ended.stderr.lines().count(), wrong.len(), "{ended}");
    }
}

#[test]
fn says_where_a_pattern_goes_wrong() {
    let scene = Scene::new();
    let ended = run(&scene, ["-p", "foo(bar", "-s", "true"]);
    assert_eq!(ended.code(), Some(2), "{ended}");
    assert!(ended.stderr.contains("foo(bar") && ended.stderr.contains("character 4"), "{ended}");
}

#[test]
fn a_value_may_begin_with_a_dash() {
    let scene = Scene::new();
    let ended = run(&scene, ["-p", "x", "-s", "true", "-i", "-1", "-w", "-5", "-m", "-1"]);
    assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), 3), "{ended}");
    let ended = run(&scene, ["-p", "x", "-s", "true", "-i", "-1s", "-w", "-5s", "-m", "-x"]);
    assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), 3), "{ended}");
}

#[test]
fn unlimited_and_once_do_not_go_together() {
    let scene = Scene::new();
    let ended = run(&scene, ["-p", scene.name(), "-s", "true", "-m", "unlimited", "--once", "-i", "0"]);
    assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), 2), "{ended}");
    assert!(ended.stderr.contains("unlimited") && ended.stderr.contains("--once"), "{ended}");
}

#[test]
fn unknown_options_are_named() {
    let scene = Scene::new();
    for unknown in ["--proces-name", "--bogus", "-Z", "-é"] {
        let ended = run(&scene, ["-p", "x", "-s", "true", unknown]);
        assert_eq!((ended.code(), &*ended.stdout), (Some(2), ""), "{ended}");
        assert!(ended.stderr.contains(unknown), "{ended}");
    }
    let ended = run(&scene, ["-p", "x", "-s", "true", "stray"]);
    assert_eq!(ended.code(), Some(2), "{ended}");
    assert!(ended.stderr.contains("stray"), "{ended}");
}

/// Nor does it matter where they stand.
#[test]
fn bytes_that_are_no_text_are_refused() {
    let bytes = |bytes| OsStr::from_bytes(bytes);
    let scene = Scene::new();
    for arguments in [
        vec![bytes(b"-p"), bytes(b"\xff"), bytes(b"-s"), bytes(b"true")],
        vec![bytes(b"-p"), bytes(b"x"), bytes(b"-s"), bytes(b"echo \xfe")],
        vec![bytes(b"--process-name=\xc3("), bytes(b"-s"), bytes(b"true")],
        vec![bytes(b"-p"), bytes(b"x"), bytes(b"-s"), bytes(b"true"), bytes(b"-i"), bytes(b"\x80")],
        vec![bytes(b"-p"), bytes(b"x"), bytes(b"-s"), bytes(b"true"), bytes(b"--name"), bytes(b"\x80")],
        vec![bytes(b"-p"), bytes(b"x"), bytes(b"-s"), bytes(b"true"), bytes(b"--\xff")],
        vec![bytes(b"-p"), bytes(b"x"), bytes(b"-s"), bytes(b"true"), bytes(b"\xff\xfe")],
        vec![bytes(b"-\xff")],
    ] {
        let ended = run(&scene, &arguments);
        assert_eq!(ended.code(), Some(2), "{arguments:?}: {ended}");
        assert!(!ended.stderr.is_empty() && !ended.stderr.contains("panicked"), "{ended}");
    }
}

#[test]
fn times_have_units_or_are_seconds() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    for time in ["5", "0.5", "90s", "1m 30s", "1h", "250ms", "1d"] {
        let mut watchdog = scene.watchdog().flag("--once").with("--max-fail-count", "10000");
        for option in
            ["--health-check-interval", "--restart-wait-interval", "--stable-after", "--start-timeout"]
        {
            watchdog = watchdog.with(option, time);
        }
        let ended = watchdog.run();
        assert_eq!((ended.code(), &*ended.stderr), (Some(0), ""), "{time}: {ended}");
    }
}

#[test]
fn brief_help_fits_one_screen() {
    let help = run(&Scene::new(), ["-h"]);
    assert_eq!((help.code(), &*help.stderr), (Some(0), ""));
    assert!(help.stdout.lines().count() <= 23, "a prompt follows: {help}");
    assert!(help.stdout.lines().all(|line| line.chars().count() <= 80), "{help}");
    for said in [
        "-p, --process-name <NAME>",
        "--dry-run",
        "status, logs NAME",
        "restart NAME",
        "clean NAME",
        "All options and commands: --help",
        "Example: ",
    ] {
        assert!(help.stdout.contains(said), "{said}: {help}");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let scene = Scene::new();
    let help = run(&scene, ["--help"]);
    assert_eq!((help.code(), &*help.stderr), (Some(0), ""));
    for option in [
        "-p, --process-name",
        "-s, --start-command",
        "--start-timeout",
        "-i, --health-check-interval",
        "-w, --restart-wait-interval",
        "-m, --max-fail-count",
        "--stable-after",
        "--restart-delay",
        "--after-stop",
        "--retry-after",
        "--name",
        "--once",
        "--no-input",
        "--state-dir",
        "--log-dir",
        "--log-max-size",
        "--log-max-files",
        "-v",
        "-q",
    ] {
        assert!(help.stdout.contains(option), "{option} in\n{}", help.stdout);
    }
    let version = run(&scene, ["--version"]);
    assert_eq!(
        (version.code(), version.stdout.trim()),
        (Some(0), concat!("watchdog ", env!("CARGO_PKG_VERSION")))
    );
    // And where that cannot take it, there is no panic.
    let mut command = Command::new(WATCHDOG);
    command.arg("--help").stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let ended = scene.spawn(command, Captured::Stderr).ends();
    assert!(ended.code().is_some_and(|code| code != 101) && !ended.stderr.contains("panicked"), "{ended}");
}

/// This command line is refused with this text, in one line.
fn is_answered(words: &[&str], said: &str) {
    let scene = Scene::new();
    let folder = scene.path(".config/watchdog");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("web1.toml"), "").unwrap();
    let mut command = Command::new(WATCHDOG);
    command.args(words).stdin(Stdio::null()).env("HOME", scene.path(""));
    if is_root() && words.last().is_some_and(|word| word.starts_with("web1")) {
        skip("root's configurations are the machine's");
        return;
    }
    let ended = scene.spawn(command, Captured::All).ends();
    assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), 1), "{ended}");
    assert!(ended.stderr.starts_with("watchdog: ") && ended.stderr.contains(said), "{ended}");
}

/// As when the quotes of the start command are forgotten; and what people are used to from elsewhere.
#[test]
fn what_cannot_be_understood_is_answered_with_what_to_type() {
    let quotes = "put a start command of several words in quotes: --start-command 'service nginx start'";
    for (words, said) in [
        (
            &["-p", "x", "-s", "service", "nginx", "start"][..],
            &*format!("unexpected argument 'nginx'; {quotes}"),
        ),
        (&["-p", "x", "--start-command=service", "nginx", "start", "-i", "2"], quotes),
        (&["nginx"], "unexpected argument 'nginx'; did you mean --config nginx or --process-name nginx?"),
        (&["web1"], "unexpected argument 'web1'; did you mean: watchdog --config web1"),
        (&["stats"], "unknown command 'stats'; did you mean 'status'?"),
        (&["pasue", "docker"], "unknown command 'pasue'; did you mean 'pause'?"),
        (&["-p", "x", "status"], "put 'status' first: watchdog status ..."),
        (&["list"], "unknown command 'list'; did you mean: watchdog status"),
        (&["log", "web"], "unknown command 'log'; did you mean 'logs'?"),
        (&["tail", "web"], "unknown command 'tail'; did you mean: watchdog logs -f web"),
        (&["watch"], "unknown command 'watch'; did you mean: watchdog status --watch"),
        (&["check", "web"], "unknown command 'check'; did you mean: watchdog validate web"),
        (
            &["reload"],
            "unknown command 'reload'; to reload the configuration, send SIGHUP: systemctl reload watchdog@",
        ),
        (&["version"], "unknown command 'version'; did you mean: watchdog --version"),
        (&["forget", "web"], "unknown command 'forget'; to forget failures: watchdog resume web"),
        (&["stop", "docker"], "no watchdog is named 'docker'"),
        (&["-p", "x", "restart"], "put 'restart' first: watchdog restart ..."),
        (&["\u{2013}p", "x"], "'\u{2013}p' starts with a long dash, as web pages print it; type: -p"),
        (&["-p", "x", "\u{2014}once"], "as web pages print it; type: --once"),
        (&["pause", "x", "\u{2013}\u{2013}for", "3"], "as web pages print it; type: --for"),
        (&["pause", "web", "30m"], "unexpected argument '30m'; did you mean: watchdog pause web --for 30m"),
        (
            &["--timeout", "3"],
            "unknown option '--timeout'; did you mean --start-timeout or --probe-timeout or --stop-timeout?",
        ),
        (
            &["--interval=3"],
            "did you mean --health-check-interval or --restart-wait-interval or --probe-interval?",
        ),
        (&["--health-interval", "3"], "unknown option '--health-interval'; did you mean: --probe-interval 3"),
        (&["--healthcheck-interval", "3"], "'--healthcheck-interval'; did you mean --health-check-interval?"),
        (&["--autostart"], "unknown option '--autostart'; a missing process is always started"),
        (&["--health-cmd", "redis-cli ping"], "'--health-cmd'; did you mean: --probe 'redis-cli ping'"),
        (
            &["--health-cmd=curl -f http://h/ || exit 1"],
            "did you mean: --probe 'curl -f http://h/ || exit 1'",
        ),
        (&["--health-cmd", "--once"], "unknown option '--health-cmd'; did you mean: --probe\n"),
        (&["--health-retries=5"], "unknown option '--health-retries'; did you mean: --probe-failures 5"),
        (&["--health-on-failure", "none"], "did you mean: --on-unhealthy none"),
        (&["--verbose"], "unknown option '--verbose'; did you mean -v?"),
        (
            &["--run-as", "www-data"],
            "unknown option '--run-as'; run_as is for a configuration file alone, such as: run_as = ",
        ),
        (
            &["--active-hours=x"],
            "unknown option '--active-hours'; active_hours is for a configuration file alone, such as: ",
        ),
        (&["--frobnicate"], "unknown option '--frobnicate'; 'watchdog --help' lists them"),
        (&["-z"], "unknown option '-z'; 'watchdog --help' lists them"),
        (
            &["probe", "redis-cli", "ping"],
            "'ping' is one argument too many; put quotes around what belongs together",
        ),
        (&["pause", "docker", "--log-dir", "x"], "this command has no option '--log-dir'"),
        (&["-s", "x", "--process-name"], "--process-name needs a value: --process-name NAME"),
        (&["-p", "x", "--exact=1"], "--exact takes no value"),
        (&["-p", "x", "-p", "y"], "--process-name is given twice"),
        (&["pause", "--all", "--upgrade"], "--all and --upgrade exclude each other"),
        (&["pause"], "which watchdog? watchdog pause NAME, or --all"),
        (&["logs", "-f"], "which watchdog? watchdog logs NAME, or --all"),
        (&["resume"], "which watchdog? watchdog resume NAME, or --all"),
        (&["start"], "which watchdog? watchdog start NAME, or --all"),
        (&["stop"], "which watchdog? watchdog stop NAME, or --all"),
        (&["restart"], "which watchdog? watchdog restart NAME, or --all"),
        (&["probe"], "which check? watchdog probe http://127.0.0.1/"),
        (&["--config", "", "-p", "x"], "--config '': empty; give a name, such as docker"),
        (
            &["--state-dir", "", "-p", "x", "-s", "y"],
            "--state-dir '': empty; give a directory, such as /run/watchdog",
        ),
        (&["probe", "nginx"], "probe 'nginx': is no built-in check; give http://HOST/PATH, tcp://HOST:PORT"),
        (&["probe", "https://h/"], "probe 'https://h/': is not built in; give the command curl -fsS"),
        (&["probe", "tcp://h:1", "--timeout", "0"], "--timeout '0': "),
    ] {
        is_answered(words, said);
    }
}

#[test]
fn habits_and_slips_are_answered_with_what_to_type() {
    for (words, said) in [
        (
            &["-p", "nginx", "-s", "service", "nginx", "start"][..],
            "put a start command of several words in quotes: --start-command 'service nginx start'",
        ),
        (
            &["-p", "web", "-s", "systemctl", "restart", "web"],
            "unexpected argument 'restart'; put a start command of several words in quotes: --start-command 'systemctl \
             restart web'",
        ),
        (
            &["--config", "web1.toml"],
            "web1.toml: cannot read it: No such file or directory (os error 2); did you mean web1?",
        ),
        (&["STATUS"], "unknown command 'STATUS'; did you mean 'status'?"),
        (&["unpause", "web"], "unknown command 'unpause'; did you mean: watchdog resume web"),
        (&["kill", "web"], "unknown command 'kill'; did you mean: watchdog stop web"),
        (&["enable", "web"], "unknown command 'enable'; type: systemctl enable --now watchdog@web"),
        (&["-process-name", "web"], "'-process-name' has one dash and needs two; type: --process-name"),
        (&["-p", "x", "-s", "y", "-full"], "'-full' has one dash and needs two; type: --full"),
        (&["-p", "x", "-start-command=y"], "needs two; type: --start-command"),
        (&["pause", "x", "-for", "3m"], "needs two; type: --for"),
        (&["pause", "web", "for", "30m"], "did you mean: watchdog pause web --for 30m"),
        (&["pause", "--all", "30m"], "exclude each other; did you mean: watchdog pause --all --for 30m"),
        (&["pause", "web", "--for", "-5m"], "--for '-5m': not a time; give seconds"),
        (&["pause", "--for", "--all"], "--for needs a value: --for TIME"),
        (&["pause", "--for", "--5m", "--all"], "--for '--5m': not a time"),
        (&["logs", "-n", "--all"], "--lines needs a value: --lines N"),
        (
            &["-p", "x", "-s", "y", "-i", "--once"],
            "--health-check-interval needs a value: --health-check-interval TIME",
        ),
        (&["--retries", "5"], "unknown option '--retries'; did you mean: --max-fail-count 5"),
    ] {
        is_answered(words, said);
    }
}
