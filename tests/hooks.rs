//! What people are told: which events the hook is run on, what it gets, and when it keeps silent.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Captured, Invocation, LOOK_AGAIN, Scene, WATCHDOG};
use crate::machine::{is_root, is_there, kernel_tells, program, send, skip, unshare};

/// Writes down what it is told.
const NOTE: &str = "echo \"$WATCHDOG_EVENT\" >> $HERE/told; env > $HERE/env.$WATCHDOG_EVENT; \
    cat > $HERE/new.$WATCHDOG_EVENT; mv $HERE/new.$WATCHDOG_EVENT $HERE/message.$WATCHDOG_EVENT";
/// Waits until it may go on.
const WAIT: &str = "echo $$ >> $HERE/waiting; while ! test -e $HERE/go; do sleep 0.05; done";

/// A watchdog with this hook, and these lines of a configuration file.
fn with_hook<'a>(scene: &'a Scene, hook: &str, lines: &str) -> Invocation<'a> {
    let file = scene.path("x.toml");
    fs::write(&file, format!("hook = '''{hook}'''\n{lines}\n")).unwrap();
    let line = scene.watchdog().with("--config", file).with("--name", scene.name());
    // Died or stopped: that is known on each kernel.
    line.with("--after-stop", "0.05")
}

fn told(scene: &Scene) -> String {
    scene.read("told").trim_end().replace('\n', " ")
}

#[track_caller]
fn wait_told(scene: &Scene, expected: &str) {
    scene.wait_until(&format!("'{expected}' is told"), || (told(scene) == expected).then_some(()));
}

/// What the hook had in its environment, once that is written.
#[track_caller]
fn variable(scene: &Scene, event: &str, name: &str) -> String {
    let (file, name) = (format!("env.{event}"), format!("WATCHDOG_{name}="));
    scene.wait_until(&format!("{file} has {name}"), || {
        let environment = scene.read(&file);
        let mut whole = environment.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        whole.find_map(|line| line.strip_prefix(&name)).map(str::to_owned)
    })
}

/// The message that the hook got, once it has it all.
#[track_caller]
fn message(scene: &Scene, event: &str) -> String {
    let file = scene.path(&format!("message.{event}"));
    scene.wait_until("there is a message", || fs::read(&file).ok().and_then(|it| String::from_utf8(it).ok()))
}

#[test]
fn a_death_and_its_end_are_told_with_what_is_known() {
    let scene = Scene::new();
    let _watchdog = with_hook(&scene, NOTE, "").spawn();
    let first = scene.wait_running();
    scene.wait_for("attempt 1 succeeded");
    send(first, Signal::SIGKILL);
    let second = scene.wait_replaced(first);
    wait_told(&scene, "died recovered");
    message(&scene, "recovered");
    let of = |event, name| variable(&scene, event, name);
    assert_eq!(of("died", "NAME"), scene.name());
    assert_eq!(
        (of("died", "PROCESS"), of("died", "PROCESS_PID")),
        (scene.name().to_owned(), first.to_string())
    );
    let expected = if kernel_tells() { ("killed", "SIGKILL") } else { ("unknown", "") };
    assert_eq!((of("died", "CAUSE").as_str(), of("died", "SIGNAL").as_str()), expected);
    assert_eq!((of("died", "EXIT_STATUS"), of("died", "LEVEL")), (String::new(), "warn".into()));
    assert_eq!(of("recovered", "PROCESS_PID"), second.to_string());
    assert_eq!(
        of("recovered", "LOG"),
        scene.path(&format!("log/{}.log", scene.name())).display().to_string()
    );
    assert!(of("recovered", "DOWN_SECONDS").parse::<u32>().is_ok() && of("died", "TIME").contains('T'));
    assert!(of("died", "MESSAGE").contains(&format!("(pid {first})")));
    assert!(message(&scene, "died").starts_with(&of("died", "MESSAGE")));
    assert_eq!(scene.count("hook"), 0, "nothing is amiss");
}

#[test]
fn a_crash_loop_is_told_once() {
    let scene = Scene::new();
    let start = "if test -e $HERE/well; then $ACTOR sleep & else $ACTOR exit 3 60 & fi";
    let line = with_hook(&scene, NOTE, "hook_events = ['died', 'failed', 'gave-up', 'recovered']");
    let line = line.starting(start).with("--restart-wait-interval", "0.1").with("--retry-after", "0.05");
    let _watchdog = line.with("--max-fail-count", "3").spawn();
    scene.wait_until("some rounds", || (scene.count("gave up after") >= 3).then_some(()));
    fs::write(scene.path("well"), "").unwrap();
    scene.wait_running();
    scene.wait_until("it has recovered", || told(&scene).ends_with("recovered").then_some(()));
    let mut told: Vec<_> = scene.read("told").lines().map(str::to_owned).collect();
    assert_eq!(told.pop().unwrap(), "recovered");
    told.sort();
    assert_eq!(told, ["died", "failed", "gave-up"]);
    let suppressed: usize = variable(&scene, "recovered", "SUPPRESSED").parse().unwrap();
    assert!(suppressed >= 6, "{suppressed}");
    assert!(message(&scene, "recovered").contains("events not reported before this one: "));
    assert_eq!(variable(&scene, "gave-up", "FAILURES"), "3");
    assert_eq!(variable(&scene, "gave-up", "RETRY_SECONDS"), "0");
}

#[test]
fn a_hook_that_hangs_delays_nothing_and_is_ended() {
    let scene = Scene::new();
    let hang = "test -e $HERE/hung && { echo $WATCHDOG_EVENT >> $HERE/told; exit; }; echo $$ > $HERE/hung; \
        sleep 1000 & echo $! > $HERE/grandchild; echo stuck; sleep 1000; true";
    let watchdog =
        with_hook(&scene, hang, "hook_events = ['died', 'started', 'recovered', 'stopped']").spawn();
    let first = scene.wait_running();
    let read = |file: &str| scene.read(file).trim().parse::<i32>().ok();
    let grandchild = scene.wait_until("the hook is at work", || read("grandchild"));
    let hook = read("hung").unwrap();
    // Whatever it does: each death is followed by a start.
    send(first, Signal::SIGKILL);
    let second = scene.wait_replaced(first);
    send(second, Signal::SIGKILL);
    scene.wait_replaced(second);
    assert!(is_there(hook) && is_there(grandchild));
    let begun = Instant::now();
    let said = "WARN the hook, run for 'started', still ran after 30s and was killed; it wrote: 'stuck'";
    while scene.count(said) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(90), "{}", scene.story());
        thread::sleep(LOOK_AGAIN);
    }
    scene.wait_gone(hook);
    scene.wait_gone(grandchild);
    wait_told(&scene, "died recovered");
    assert_eq!(watchdog.terminate().code(), Some(0));
}

#[test]
fn a_hook_that_is_called_like_the_process_is_not_it() {
    let scene = Scene::new();
    let alert = format!("{}-alert.sh", scene.name());
    scene.write_script(&alert, &format!("#!/bin/sh\n{WAIT}\n"));
    let hook = scene.path(&alert).display().to_string();
    let line = with_hook(&scene, &hook, "hook_events = ['started', 'died']");
    // One that waits when the next one looks, and one of this run.
    let once = line.clone().flag("--once").spawn();
    scene.wait_until("the hook waits", || (!scene.read("waiting").is_empty()).then_some(()));
    let first = scene.wait_running();
    scene.wait_until("the state says that nobody watches", || {
        scene.state()["watchdog"].is_null().then_some(())
    });
    send(first, Signal::SIGKILL);
    scene.wait_gone(first);
    let _watchdog = line.spawn();
    let second = scene.wait_replaced(first);
    send(second, Signal::SIGKILL);
    scene.wait_replaced(second);
    assert_eq!(scene.count("not started by this watchdog"), 0);
    fs::write(scene.path("go"), "").unwrap();
    assert_eq!(once.ends().code(), Some(0));
}

#[test]
fn last_words_are_whole_and_run_nothing() {
    let scene = Scene::new();
    let words = "$(touch $HERE/run) `touch $HERE/run` ' \" \\ %s | <b>";
    let mut last = b"\x1b[31m\xff\xfe broken\n".to_vec();
    last.extend(std::iter::repeat_n(b'x', 1 << 20));
    last.extend(format!("\n{words}\n").bytes());
    fs::write(scene.path("words"), last).unwrap();
    let line = with_hook(&scene, NOTE, "").starting("cat $HERE/words; $ACTOR exit 3 600 &");
    let _watchdog = line.with("--restart-wait-interval", "0.3").with("--stable-after", "0").spawn();
    scene.wait_until("it is told", || told(&scene).starts_with("died").then_some(()));
    let message = message(&scene, "died");
    assert!(message.ends_with(&format!("\n{words}\n")), "{message}");
    assert!(message.len() <= 3000 && !message.contains(|c: char| c.is_control() && c != '\n'));
    assert!(!scene.path("run").exists());
}

#[test]
fn once_tells_after_its_lock_is_free_and_each_thing_once() {
    let scene = Scene::new();
    let hook = format!("{NOTE}; {WAIT}");
    let start = "test -e $HERE/well && $ACTOR sleep &";
    let line = with_hook(&scene, &hook, "").starting(start).flag("--once").with("--max-fail-count", "1");
    let line = line.with("--retry-after", "0.01");
    let first = line.clone().spawn();
    wait_told(&scene, "gave-up");
    // While it waits for its hook, another run does its work.
    let second = line.clone().spawn();
    scene.wait_until("both have given up", || (scene.count("gave up after") == 2).then_some(()));
    fs::write(scene.path("go"), "").unwrap();
    assert_eq!((first.ends().code(), second.ends().code()), (Some(1), Some(1)));
    // It tries again when the time after the last give-up is over.
    scene.wait_until("it gives up again", || (line.clone().run().code() == Some(1)).then_some(()));
    fs::write(scene.path("well"), "").unwrap();
    scene.wait_until("it runs", || (line.clone().run().code() == Some(0)).then_some(()));
    assert_eq!(line.run().code(), Some(0));
    assert_eq!(told(&scene), "gave-up recovered");
    assert_eq!(variable(&scene, "recovered", "SUPPRESSED"), "2");
}

#[test]
fn what_one_watchdog_could_not_tell_the_next_one_does() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let scene = Scene::new();
        let hook = format!("{WAIT}; {NOTE}");
        let line = with_hook(&scene, &hook, "");
        let watchdog = line.clone().spawn();
        let first = scene.wait_running();
        scene.wait_for("attempt 1 succeeded");
        send(first, Signal::SIGKILL);
        scene.wait_until("the hook waits", || (!scene.read("waiting").is_empty()).then_some(()));
        // A changed file is no reason to begin again.
        watchdog.send(Signal::SIGHUP);
        scene.wait_for("configuration reloaded");
        let hook: i32 = scene.read("waiting").trim().parse().unwrap();
        assert!(is_there(hook));
        watchdog.send(signal);
        let begun = Instant::now();
        watchdog.ends();
        assert!(begun.elapsed() < Duration::from_secs(20), "SIGTERM waits for no hook");
        if signal == Signal::SIGKILL {
            // It has a life of its own, and may tell or not.
            send(hook, Signal::SIGKILL);
        }
        scene.wait_gone(hook);
        assert_eq!(told(&scene), "");
        fs::write(scene.path("go"), "").unwrap();
        let _next = line.spawn();
        scene.wait_until("both are told", || told(&scene).starts_with("died recovered").then_some(()));
    }
}

/// Its files stay where they are until it ends, and so does what the hook is told of them.
#[test]
fn the_hook_is_told_where_the_log_is_that_is_written() {
    let scene = Scene::new();
    let log_dir = |folder: &str| format!("log_dir = '{}'", scene.path(folder).display());
    let watchdog = with_hook(&scene, NOTE, &log_dir("log")).without("--log-dir").spawn();
    let first = scene.wait_running();
    scene.wait_for("attempt 1 succeeded");
    with_hook(&scene, NOTE, &log_dir("other"));
    watchdog.send(Signal::SIGHUP);
    scene.wait_for("configuration reloaded");
    send(first, Signal::SIGKILL);
    let log = scene.path("log").join(format!("{}.log", scene.name()));
    assert_eq!(variable(&scene, "died", "LOG"), log.to_str().unwrap());
}

/// There is one hook at a time, also where the watchdog of one was killed.
#[test]
fn the_hook_of_a_killed_watchdog_is_waited_for() {
    let scene = Scene::new();
    let line = with_hook(&scene, &format!("{WAIT}; {NOTE}"), "");
    let watchdog = line.clone().spawn();
    let first = scene.wait_running();
    scene.wait_for("attempt 1 succeeded");
    send(first, Signal::SIGKILL);
    scene.wait_until("the hook waits", || (!scene.read("waiting").is_empty()).then_some(()));
    watchdog.send(Signal::SIGKILL);
    watchdog.ends();
    let next = line.spawn();
    // Which is to be told.
    scene.wait_until("it is back", || (scene.count("attempt 1 succeeded") == 2).then_some(()));
    next.wait_checks(5);
    assert_eq!(scene.read("waiting").lines().count(), 1, "{}", scene.story());
    fs::write(scene.path("go"), "").unwrap();
    scene.wait_until("all is told", || told(&scene).ends_with("recovered").then_some(()));
}

#[test]
fn who_gives_up_has_told_before_it_ends() {
    let scene = Scene::new();
    let hook = format!("sleep 0.5; {NOTE}");
    let line = with_hook(&scene, &hook, "").starting("exit 1").with("--max-fail-count", "2");
    assert_eq!(line.clone().run().code(), Some(1));
    assert_eq!(told(&scene), "gave-up");
    let Some(way) = unshare(&scene, &["--pid", "--fork", "--mount-proc", "--kill-child"]) else {
        return skip("no PID namespace can be made here");
    };
    let way: Vec<_> = way.iter().map(String::as_str).collect();
    let scene = Scene::new();
    let line = with_hook(&scene, &hook, "").starting("exit 1").with("--max-fail-count", "2");
    assert_eq!(line.through(&way).run().code(), Some(1));
    assert_eq!(told(&scene), "gave-up");
}

#[test]
fn while_it_is_left_alone_nobody_is_told() {
    let scene = Scene::new();
    let lines =
        "hook_events = ['died', 'gave-up', 'recovered', 'stopped', 'started']\noutput_pattern = 'ERROR'";
    let watchdog = with_hook(&scene, NOTE, lines).spawn();
    let first = scene.wait_running();
    wait_told(&scene, "started");
    for (begin, end) in [
        (&["pause", scene.name()][..], &["resume", scene.name()][..]),
        (&["pause", "--upgrade", "--for", "30m"], &["resume", "--upgrade"]),
        (&["stop", scene.name()], &["start", scene.name()]),
    ] {
        let pid = scene.wait_running();
        let judged = scene.count("attempt 1 succeeded");
        assert_eq!(scene.say(begin).code(), Some(0));
        if begin[0] == "pause" {
            send(pid, Signal::SIGKILL);
        }
        scene.wait_gone(pid);
        writeln!(output_log(&scene), "ERROR of {begin:?}").unwrap();
        watchdog.wait_checks(5);
        assert_eq!(scene.say(end).code(), Some(0));
        scene.wait_replaced(pid);
        let succeeded = || scene.count("attempt 1 succeeded");
        scene.wait_until("the attempt is judged", || (succeeded() > judged).then_some(()));
    }
    assert_ne!(scene.wait_running(), first);
    assert_eq!(told(&scene), "started");
    // And then they are told again.
    send(scene.wait_running(), Signal::SIGKILL);
    scene.wait_until("a death is told", || told(&scene).contains("died").then_some(()));
}

fn output_log(scene: &Scene) -> fs::File {
    let path = scene.path(&format!("log/{}.output.log", scene.name()));
    OpenOptions::new().append(true).create(true).open(path).unwrap()
}

#[test]
fn new_lines_that_match_are_told() {
    let scene = Scene::new();
    fs::create_dir(scene.path("log")).unwrap();
    writeln!(output_log(&scene), "ERROR from before").unwrap();
    let watchdog = with_hook(&scene, NOTE, "output_pattern = ['ERROR|FATAL', '^panic']").spawn();
    scene.wait_running();
    let mut log = output_log(&scene);
    write!(log, "nothing\nan ERR").unwrap();
    watchdog.wait_checks(5);
    assert_eq!(told(&scene), "");
    write!(log, "OR $(touch $HERE/run)\x1b[0m\nFATAL too\npanic too\n").unwrap();
    wait_told(&scene, "keyword");
    message(&scene, "keyword");
    assert_eq!(variable(&scene, "keyword", "KEYWORD"), "an ERROR $(touch $HERE/run)\\u{1b}[0m");
    assert!(!scene.path("run").exists());
    // All the others are counted.
    for _ in 0..1000 {
        writeln!(log, "ERROR {}", "x".repeat(2000)).unwrap();
    }
    send(scene.wait_running(), Signal::SIGKILL);
    scene.wait_until("a death is told", || told(&scene).contains("died").then_some(()));
    message(&scene, "died");
    let suppressed: usize = variable(&scene, "died", "SUPPRESSED").parse().unwrap();
    assert!((2..=1002).contains(&suppressed), "{suppressed}");
}

#[test]
fn each_run_goes_on_reading_where_the_one_before_it_stopped() {
    let scene = Scene::new();
    let line = with_hook(&scene, NOTE, "output_pattern = 'ERROR'").flag("--once");
    assert_eq!(line.clone().run().code(), Some(0));
    writeln!(output_log(&scene), "an ERROR between two runs").unwrap();
    assert_eq!(told(&scene), "");
    assert_eq!(line.clone().run().code(), Some(0));
    assert_eq!(told(&scene), "keyword");
    assert_eq!(line.run().code(), Some(0));
    assert_eq!(told(&scene), "keyword");
}

#[test]
fn a_hook_can_be_tried() {
    let scene = Scene::new();
    let test = |hook: &str| {
        let file = scene.path("web.toml");
        fs::write(&file, format!("process_name = 'x'\nstart_command = 'true'\n{hook}")).unwrap();
        let mut command = program(WATCHDOG);
        command.arg("test-hook").arg(&file);
        scene.spawn(command, Captured::All).ends()
    };
    let ended = test(&format!("hook = '''{NOTE}; echo sent; echo odd >&2; printf '\\033[31m' '''"));
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert!(ended.stdout.contains("\nit exited with status 0 after "), "{ended}");
    assert!(ended.stdout.ends_with("\nit wrote: \nsent\nodd\n[31m\n"), "{ended}");
    assert_eq!(message(&scene, "test"), "this is a test of the hook of web; nothing has happened\n");
    assert_eq!(
        (variable(&scene, "test", "NAME"), variable(&scene, "test", "CAUSE")),
        ("web".into(), String::new())
    );
    let ended = test("hook = 'exit 7'");
    assert_eq!(ended.code(), Some(1));
    assert!(
        ended.stdout.contains("it exited with status 7 after ")
            && ended.stdout.ends_with("it wrote: nothing\n")
    );
    let ended = test("");
    assert_eq!(ended.code(), Some(2));
    assert!(ended.stderr.contains("web.toml has no hook; add one, such as: hook = \""), "{ended}");
    let ended = test("hook = ' '\nhook_events = ['gave_up']\noutput_pattern = '('");
    assert_eq!(ended.code(), Some(2));
    assert!(ended.stderr.contains("hook ' ': would tell nobody; give a shell command"), "{ended}");
    let ended = test("hook = 'true'\nhook_events = ['gave_up']\noutput_pattern = '('");
    assert!(ended.stderr.contains("'gave_up' is no event; did you mean 'gave-up'?"), "{ended}");
    assert!(ended.stderr.contains("output_pattern '[\"(\"]': not a regular expression"), "{ended}");
    let ended = test("output_pattern = 'ERROR'");
    assert!(ended.stderr.contains("there is no hook to report to; add one"), "{ended}");
}

#[test]
fn a_hook_that_cannot_be_run_is_doubted_and_logged() {
    let scene = Scene::new();
    fs::write(scene.path("plain"), "").unwrap();
    for (hook, doubt, failure) in [
        ("nowhere", "does not exist", r"exited with status 127 \(command not found\)"),
        ("plain", "is not executable", r"exited with status 126 \(not executable\)"),
    ] {
        let path = scene.path(hook).display().to_string();
        let watchdog = with_hook(&scene, &path, "hook_events = ['started', 'died']").spawn();
        scene.wait_for(&format!("WARN hook: {path} {doubt}"));
        scene.assert_watched();
        scene.wait_for(&format!("WARN the hook, run for '(started|died)', {failure}"));
        watchdog.terminate();
    }
}

#[test]
fn where_no_process_can_be_created_people_are_told_later() {
    if !is_root() {
        return skip("only root can give a user no more processes");
    }
    let scene = Scene::new();
    scene.open_to_all();
    // A user with two processes, who may have no more: the watchdog and one that goes later.
    let user = 2_000_000 + std::process::id();
    let mut other = program(scene.link_actor("other"));
    other.arg("sleep").uid(user).gid(user);
    let other = scene.spawn(other, Captured::All);
    scene.start_actor(&["sleep"]);
    // Of the shell alone.
    let hook = "echo \"$WATCHDOG_EVENT\" >> $HERE/told";
    let mut command = with_hook(&scene, hook, "output_pattern = 'ERROR'").command();
    command.uid(user).gid(user);
    // SAFETY: one system call, which signal-safety(7) allows after fork.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: 2, rlim_max: 2 };
            nix::errno::Errno::result(libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit))?;
            Ok(())
        });
    }
    let watchdog = scene.spawn(command, Captured::All);
    scene.wait_for("INFO watching");
    writeln!(output_log(&scene), "ERROR").unwrap();
    scene.wait_for("WARN the hook cannot be run for 'keyword': .*; trying again");
    watchdog.wait_checks(20);
    assert_eq!((told(&scene), scene.count("the hook cannot be run")), (String::new(), 1));
    send(other.pid(), Signal::SIGKILL);
    wait_told(&scene, "keyword");
    watchdog.terminate();
}
