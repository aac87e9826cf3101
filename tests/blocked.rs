//! No other process can block or delay a look: not one whose memory nobody can read, nor thousands with long command
//! lines.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGCONT, SIGKILL, SIGSTOP};

use crate::dry_run::DryRun;
use crate::harness::{Invocation, Scene, Watchdog};
use crate::machine::{is_root, send, skip, unshare};
use crate::service_manager::Manager;
use crate::which::{NOBODY, play};

/// Far less than anything takes that hangs, and far more than a look that waits for its helper.
pub const PATIENCE: &str = "8";

/// How a scene with a process that hangs is begun: in PID and mount namespaces of its own, which end it. `None` where
/// that cannot be had.
pub fn namespaces(scene: &Scene) -> Option<Vec<String>> {
    if fs::File::options().read(true).write(true).open("/dev/fuse").is_err() {
        skip("/dev/fuse cannot be opened by this user");
        return None;
    }
    let way = unshare(scene, &["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    if way.is_none() {
        skip("no namespaces can be made here");
    }
    way
}

/// What a script can say: `hang`, to make the process that hangs; and `run`, to run the watchdog, or whatever else, as
/// long as it must not take.
fn prelude(scene: &Scene) -> String {
    let hung = scene.hung();
    scene.link_actor(&hung);
    scene.link_actor("server");
    format!(
        r#"hang() {{
            $HERE/server serve $HERE/file &
            "$@" $HERE/{hung} hang $HERE/file &
            victim=$!
            # A thread may be in D for a moment, for another reason.
            read=0
            until grep -q '^State:.D' /proc/$victim/task/*/status 2>/dev/null && [ $read = 137 ]; do
                sleep 0.02
                timeout -s KILL 0.5 cat /proc/$victim/cmdline > /dev/null 2>&1
                read=$?
            done
            echo $victim > $HERE/victim
            echo "reading it: $read, its leader: $(cut -d' ' -f3 /proc/$victim/stat)" >> $HERE/statuses
        }}
        run() {{ timeout -s KILL {PATIENCE} "$@"; echo $? >> $HERE/statuses; }}
        "#
    )
}

/// Plays a script with the watchdog's command line as its arguments, beside a process that hangs. It ends with what
/// is given back.
fn beside_one_that_hangs<'a>(
    scene: &'a Scene,
    watchdog: Invocation<'a>,
    script: &str,
) -> Option<Watchdog<'a>> {
    let way = namespaces(scene)?;
    let text = format!("{}{script}\ntouch $HERE/done\nwait", prelude(scene));
    let way: Vec<_> = way.iter().map(String::as_str).chain(["sh", "-c", &text, "sh"]).collect();
    let running = watchdog.through(&way).spawn();
    scene.wait_until("the scene is over", || scene.path("done").exists().then_some(()));
    // A process that does not hang would prove nothing.
    assert!(
        scene.read("statuses").starts_with("reading it: 137, its leader: S\n"),
        "{}",
        scene.read("statuses")
    );
    Some(running)
}

/// How the runs of a script ended.
fn statuses(scene: &Scene) -> Vec<String> {
    scene.read("statuses").lines().skip(1).map(str::to_owned).collect()
}

/// By its name, by `--full`, and where only what is near is looked for.
#[test]
fn a_process_that_hangs_keeps_no_run_from_its_work() {
    for (label, pattern, flag) in [
        ("another name", None, None),
        ("--full", Some("^{} sleep$"), Some("--full")),
        ("near", Some("^no.such/thing$"), None),
    ] {
        let scene = Scene::new();
        let path = scene.path(scene.name()).into_os_string().into_string().unwrap();
        let watchdog = pattern.into_iter().fold(scene.watchdog(), |it, pattern| {
            it.with("--process-name", pattern.replace("{}", &path)).with("--name", scene.name())
        });
        let watchdog = flag.into_iter().fold(watchdog, |it, flag: &str| it.flag(flag));
        let watchdog = watchdog.with("--max-fail-count", "1").flag("--once");
        let Some(_running) = beside_one_that_hangs(&scene, watchdog, "hang\nrun \"$@\"\nrun \"$@\"") else {
            return;
        };
        let expected = if label == "near" { ["1", "5"] } else { ["0", "0"] };
        assert_eq!(
            (statuses(&scene), scene.starts()),
            (expected.map(str::to_owned).into(), 1),
            "{label}: {}",
            scene.story()
        );
    }
}

/// Four runs from cron stood side by side.
#[test]
fn no_runs_pile_up_behind_it() {
    let scene = Scene::new();
    let path = scene.path(scene.name()).into_os_string().into_string().unwrap();
    let watchdog = scene.watchdog().flag("--full").with("--process-name", format!("^{path} sleep$"));
    let script = r#"hang
        $ACTOR sleep &
        for number in 1 2 3 4; do run "$@" & runs="$runs $!"; done
        wait $runs
        cat /proc/[0-9]*/comm > $HERE/left 2>/dev/null"#;
    let Some(_running) = beside_one_that_hangs(&scene, watchdog.flag("--once"), script) else { return };
    assert_eq!((statuses(&scene), scene.starts()), (vec!["0".to_owned(); 4], 0), "{}", scene.story());
    // Nor what reads for them.
    let left = scene.read("left");
    assert!(left.contains(&scene.hung()) && !left.contains("watchdog"), "{left}");
}

/// What cannot be read of it is left out: it has the name.
#[test]
fn a_process_that_hangs_is_judged_by_its_name() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().with("--process-name", scene.hung()).with("--name", scene.name());
    let script = r#"hang
        run "$@" --once
        run "$@" --once --user root
        run "$@" --exact --dry-run > $HERE/dry
        timeout -s TERM -k 2 3 "$@"; echo "watched: $?" >> $HERE/statuses"#;
    let Some(_running) = beside_one_that_hangs(&scene, watchdog, script) else { return };
    assert_eq!(statuses(&scene), ["0", "0", "0", "watched: 124"], "{}", scene.story());
    let victim = scene.read("victim");
    assert!(
        scene.read("dry").lines().any(|row| row.starts_with(&format!("match\t{}\t", victim.trim()))),
        "{}",
        scene.read("dry")
    );
    assert_eq!(scene.starts(), 0, "{}", scene.story());
    scene.wait_for(&format!(r"following [^ ]+ \(pid {}[,)]", victim.trim()));
}

/// It began to hang after it was found, and is asked at each check.
#[test]
fn a_held_process_that_begins_to_hang_is_checked_on() {
    let scene = Scene::new();
    let hung = scene.path(&scene.hung()).into_os_string().into_string().unwrap();
    let watchdog = scene.watchdog().flag("--full").with("--process-name", format!("^{hung} told hang "));
    let watchdog = watchdog.with("--name", scene.name());
    let Some(way) = namespaces(&scene) else { return };
    let text = format!(
        r#"{}
        $HERE/server serve $HERE/file &
        {hung} told hang $HERE/file &
        victim=$!
        until_there() {{ until grep -q "$1" $HERE/log/*.log; do sleep 0.02; done; }}
        "$@" & dog=$!
        until_there "following .*pid $victim[,)]"
        kill -USR2 $victim
        until grep -q '^State:.D' /proc/$victim/task/*/status; do sleep 0.02; done
        kill -USR1 $dog
        until_there "checked: .*pid $victim[,)]"
        kill -TERM $dog; wait $dog; echo "ended: $?" >> $HERE/statuses
        touch $HERE/done
        wait"#,
        prelude(&scene)
    );
    let way: Vec<_> = way.iter().map(String::as_str).chain(["sh", "-c", &text, "sh"]).collect();
    let _running = watchdog.through(&way).spawn();
    scene.wait_until("the scene is over", || scene.path("done").exists().then_some(()));
    assert_eq!((&*scene.read("statuses"), scene.starts()), ("ended: 0\n", 0), "{}", scene.story());
}

/// User and namespace come first: of somebody else's nothing is read.
#[test]
fn whose_process_it_is_comes_before_what_it_is() {
    let scene = Scene::new();
    let hung = scene.hung();
    let watchdog = scene.watchdog().with("--process-name", &hung).with("--name", scene.name()).flag("--once");
    let watchdog = watchdog.with("--max-fail-count", "1").starting("true");
    if is_root() {
        let as_nobody = format!("setpriv --reuid {NOBODY} --clear-groups");
        let script = format!("hang {as_nobody}\nrun \"$@\" --exact --user root");
        let Some(_running) = beside_one_that_hangs(&scene, watchdog.clone(), &script) else { return };
        assert_eq!((statuses(&scene), scene.starts()), (vec!["1".to_owned()], 1), "{}", scene.story());
        fs::remove_dir_all(scene.path("state")).unwrap();
        for file in ["done", "statuses", "server", &hung] {
            fs::remove_file(scene.path(file)).unwrap();
        }
    }
    // From outside of its PID namespace.
    let Some(_running) = beside_one_that_hangs(&scene, scene.watchdog().flag("--dry-run"), "hang") else {
        return;
    };
    let starts = scene.starts();
    let limited = watchdog.through(&["timeout", "-s", "KILL", PATIENCE]);
    let ended = limited.spawn().ends();
    assert_eq!((ended.code(), scene.starts()), (Some(1), starts + 1), "{ended}");
}

/// How often the service manager wants to hear of it, at least.
const ASKED: Duration = Duration::from_millis(1500);

/// The service manager hears of a watchdog that looks.
#[test]
fn signs_of_life_come_while_something_hangs() {
    let scene = Scene::new();
    let Some(way) = namespaces(&scene) else { return };
    let text = format!("{}hang\nexec \"$@\"", prelude(&scene));
    let way: Vec<_> = way.iter().map(String::as_str).chain(["sh", "-c", &text, "sh"]).collect();
    let path = scene.path(scene.name()).into_os_string().into_string().unwrap();
    let watchdog = scene.watchdog().flag("--full").with("--process-name", format!("^{path} never$"));
    let watchdog = watchdog.with("--name", scene.name()).with("--max-fail-count", "unlimited");
    let watchdog = watchdog.starting("true").through(&way);
    let mut manager = Manager::new(&scene);
    let watchdog = manager.start(watchdog, |command| {
        command.env("WATCHDOG_USEC", ASKED.as_micros().to_string());
    });
    manager.wait_for(0, "^READY=1$");
    let end = Instant::now() + 4 * ASKED;
    scene.wait_until("it has looked for a while", || {
        manager.read();
        (Instant::now() > end).then_some(())
    });
    let signs = manager.signs_of_life();
    let latest = signs.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(
        signs.len() >= 4 && latest.is_some_and(|latest| latest < ASKED),
        "{latest:?} of {}\n{}",
        signs.len(),
        scene.story()
    );
    drop(watchdog);
}

/// A run that may start nothing asks nobody but what is followed.
#[test]
fn beside_a_watchdog_at_work_a_run_looks_at_what_that_follows() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let once = scene.watchdog().flag("--once");
    let watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!("following .*pid {pid}[,)]"));
    watchdog.wait_checks(2);
    send(watchdog.pid(), SIGSTOP);
    assert_eq!(once.clone().run().code(), Some(0), "{}", scene.story());
    // Others have its name, which the watchdog running will see to.
    let other = scene.start_child(&scene.path(scene.name()), &["sleep"]);
    scene.wait_until("there are two", || (scene.all() == [pid, other]).then_some(()));
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    let ended = once.clone().run();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(5), ""), "{ended}");
    send(watchdog.pid(), SIGCONT);
    scene.wait_for(&format!("pid {other}[^0-9]"));
    scene.wait_until("it is seen again", || (once.clone().run().code() == Some(0)).then_some(()));
    assert_eq!(scene.starts(), 0, "{}", scene.story());
}

/// And not through /proc, where something hangs.
#[test]
fn beside_a_watchdog_at_work_a_run_does_not_hang() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().flag("--full").with("--name", scene.name());
    let watchdog = watchdog.with("--process-name", format!("^{} sleep$", scene.path(scene.name()).display()));
    let script = r#"$ACTOR sleep & pid=$!
        "$@" & dog=$!
        until grep -q "following .*pid $pid[,)]" $HERE/log/*.log; do sleep 0.02; done
        hang
        run "$@" --once
        kill $dog"#;
    let Some(_running) = beside_one_that_hangs(&scene, watchdog, script) else { return };
    assert_eq!((statuses(&scene), scene.starts()), (vec!["0".to_owned()], 0), "{}", scene.story());
}

/// How many processes have long command lines.
const COUNT: usize = 60;

/// Processes that have so long an argument.
fn start_long_ones(scene: &Scene, path: &Path, length: usize) {
    let argument = "x".repeat(length);
    let all: Vec<_> = (0..COUNT).map(|_| scene.start_child(path, &["sleep", &argument])).collect();
    let has_line = |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.len() > length);
    scene.wait_until("all have their command lines", || all.iter().all(has_line).then_some(()));
}

/// The time that a look takes of the processor, with all that it has run.
fn processor_time(scene: &Scene, watchdog: Invocation) -> f64 {
    let text = "\"$@\" > /dev/null; times > $HERE/times";
    let ended = watchdog.flag("--dry-run").through(&["sh", "-c", text, "sh"]).run();
    assert_eq!(ended.code(), Some(0), "{ended}");
    let times = scene.read("times");
    let children = times.lines().nth(1).unwrap_or_else(|| panic!("{times:?}"));
    let seconds = |text: &str| {
        let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    };
    children.split_ascii_whitespace().map(seconds).sum()
}

/// A thousand with 126 KB took 8.5 s of it; of each, 4 KiB are enough.
#[test]
fn long_command_lines_take_no_longer() {
    let time = |length| {
        let scene = Scene::new();
        start_long_ones(&scene, &scene.link_actor(&scene.other()), length);
        // An expression that has to go through all of it.
        processor_time(&scene, scene.watchdog().flag("--full").with("--process-name", "x[^x]z$"))
    };
    let (short, long) = (time(4000), time(126_000));
    assert!(long < 2.0 * short + 0.5, "{COUNT} of 4 kB: {short} s; of 126 kB: {long} s");
}

/// What stands behind the first 4 KiB is not read.
#[test]
fn the_beginning_of_a_command_line_is_read() {
    let scene = Scene::new();
    for (length, counts) in [(3000, true), (5000, false), (120_000, false)] {
        let process = play(&scene, scene.path(scene.name()), &["sleep", &"x".repeat(length), "the-end"]);
        let pattern = format!("{} sleep x.* the-end$", scene.name());
        let dry = DryRun::of(scene.watchdog().flag("--full").with("--process-name", pattern));
        assert_eq!(dry.matching().contains(&process.pid()), counts, "{length}: {}", dry.ended.stderr);
        send(process.pid(), SIGKILL);
        process.ends();
    }
}
