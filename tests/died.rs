//! Why it died (rule 13): how, after how long, with how much memory, and how often.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal::{self, SIGABRT, SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM, SIGUSR2};
use regex_lite::Regex;
use serde_json::{Value, json};

use crate::harness::{Captured, Invocation, Scene};
use crate::machine::{is_root, is_there, kernel_tells, send, skip};
use crate::refused::without_an_answer;

const RESTARTED: &str = "; restarting in 50ms";
const LEFT: &str = "; restarting in 300ms unless it is back by then; to keep it stopped: watchdog pause NAME --state-dir DIR";

/// The record of this process's end, with `NAME`, `PID`, `T` for each time and `M` for the memory.
#[track_caller]
fn record(scene: &Scene, pid: i32) -> String {
    let record =
        scene.wait_for(&format!(r"^[A-Z]+ {} \(pid {pid}\) (was|died|exited|crashed)", scene.name()));
    let folder = scene.path("state").display().to_string();
    let record = record.text.replace(&folder, "DIR");
    let record = record.replace(scene.name(), "NAME").replace(&format!("pid {pid}"), "pid PID");
    let times = Regex::new("after [0-9.]+m?s( [0-9]+s)?").unwrap().replace(&record, "after T").into_owned();
    Regex::new("[0-9.]+ [KMG]iB at").unwrap().replace(&times, "M at").into_owned()
}

fn watches(scene: &Scene, pid: i32) {
    scene.wait_for(&format!(r"following {} \(pid {pid},", scene.name()));
}

/// Waits until the state file says that this process is followed.
fn follows(scene: &Scene, pid: i32) {
    let state = || serde_json::from_slice::<Value>(&fs::read(scene.kept("json")).unwrap_or_default());
    scene.wait_until("it is followed", || (state().ok()?["process"]["pid"] == pid).then_some(()));
}

/// How a process is brought to its end.
enum End {
    By(Signal),
    /// By itself, when it is told to with SIGUSR2.
    Told,
}
use End::{By, Told};

impl End {
    fn of(&self, scene: &Scene, pid: i32) {
        match self {
            By(signal) => send(pid, *signal),
            Told => scene.send_when_caught(pid, SIGUSR2),
        }
    }
}

/// Whether cores become files here, and not what a program makes of them.
fn cores_are_files() -> bool {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let are_files = !pattern.starts_with('|') && !pattern.starts_with('/') && !pattern.trim().is_empty();
    if !are_files {
        skip(&format!("cores are not files in the working folder here, but '{}'", pattern.trim()));
    }
    are_files
}

#[test]
fn the_end_of_a_process_that_is_no_child_is_told_in_one_line() {
    if !kernel_tells() {
        return skip("this kernel does not say how a process died to one who is not its parent");
    }
    let mut cases = vec![
        (vec!["when-told", "exit", "3"], Told, "WARN", "exited with status 3", RESTARTED),
        (vec!["when-told", "exit", "0"], Told, "INFO", "exited with status 0", LEFT),
        (vec!["sleep"], By(SIGTERM), "INFO", "was stopped by SIGTERM", LEFT),
        (vec!["sleep"], By(SIGINT), "INFO", "was stopped by SIGINT", LEFT),
        (vec!["sleep"], By(SIGHUP), "INFO", "was stopped by SIGHUP", LEFT),
        (vec!["sleep"], By(SIGKILL), "WARN", "was killed by SIGKILL", RESTARTED),
        (vec!["when-told", "dump", "0"], Told, "WARN", "crashed (SIGSEGV, no core dumped)", RESTARTED),
    ];
    if cores_are_files() {
        let core = "crashed (SIGSEGV, core dumped)";
        cases.push((vec!["when-told", "dump", "100000000"], Told, "WARN", core, RESTARTED));
    }
    for (part, end, level, how, then) in cases {
        let scene = Scene::new();
        let pid = scene.start_actor(&part);
        let watchdog = scene.watchdog().spawn();
        watches(&scene, pid);
        end.of(&scene, pid);
        let expected = format!("{level} NAME (pid PID) {how} after T (used M at the last check){then}");
        assert_eq!(record(&scene, pid), expected);
        scene.wait_replaced(pid);
        watchdog.terminate();
    }
}

#[test]
fn a_stopped_process_that_is_killed_was_killed() {
    if !kernel_tells() {
        return skip("this kernel does not say how a process died to one who is not its parent");
    }
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let _watchdog = scene.watchdog().spawn();
    watches(&scene, pid);
    send(pid, SIGSTOP);
    scene.wait_for("is suspended by a signal");
    send(pid, SIGKILL);
    let expected =
        format!("WARN NAME (pid PID) was killed by SIGKILL after T (used M at the last check){RESTARTED}");
    assert_eq!(record(&scene, pid), expected);
}

/// A leader that has exited has no memory to be told.
#[test]
fn a_process_whose_leader_has_exited_tells_its_own_end() {
    if !kernel_tells() {
        return skip("this kernel does not say how a process died to one who is not its parent");
    }
    let scene = Scene::new();
    let pid = scene.start_actor(&["leader-exits"]);
    let is_zombie =
        || procfs::process::Process::new(pid).and_then(|it| it.stat()).is_ok_and(|stat| stat.state == 'Z');
    scene.wait_until("its leader is a zombie", || is_zombie().then_some(()));
    let _watchdog = scene.watchdog().spawn();
    watches(&scene, pid);
    send(pid, SIGKILL);
    assert_eq!(record(&scene, pid), format!("WARN NAME (pid PID) was killed by SIGKILL after T{RESTARTED}"));
}

/// One whose parent has ended, and that has fallen to whoever adopts orphans.
#[test]
fn an_orphan_tells_its_end() {
    if !kernel_tells() {
        return skip("this kernel does not say how a process died to one who is not its parent");
    }
    let scene = Scene::new();
    let mut launcher = Command::new(scene.path(scene.name()));
    launcher.args(["daemonise", "0", "when-told", "exit", "3"]);
    assert_eq!(scene.spawn(launcher, Captured::All).ends().code(), Some(0));
    let pid = scene.wait_running();
    let _watchdog = scene.watchdog().spawn();
    watches(&scene, pid);
    Told.of(&scene, pid);
    let expected =
        format!("WARN NAME (pid PID) exited with status 3 after T (used M at the last check){RESTARTED}");
    assert_eq!(record(&scene, pid), expected);
}

#[test]
fn a_child_tells_its_end_on_any_kernel() {
    for is_old in [false, true] {
        for (part, end, level, how, then) in [
            ("when-told exit 3", Told, "WARN", "exited with status 3", RESTARTED),
            ("when-told exit 0", Told, "INFO", "exited with status 0", LEFT),
            ("sleep", By(SIGTERM), "INFO", "was stopped by SIGTERM", LEFT),
            ("sleep", By(SIGKILL), "WARN", "was killed by SIGKILL", RESTARTED),
            ("sleep", By(SIGABRT), "WARN", "crashed (SIGABRT, no core dumped)", RESTARTED),
        ] {
            let scene = Scene::new();
            let mut command = scene
                .watchdog()
                .starting(&format!("ulimit -c 0; exec $ACTOR {part}"))
                .with("--restart-wait-interval", "0.1")
                .command();
            if is_old {
                without_an_answer(&mut command);
            }
            let watchdog = scene.spawn(command, Captured::All);
            scene.wait_for("attempt 1 succeeded");
            let pid = scene.wait_running();
            end.of(&scene, pid);
            // An attempt whose process crashes so soon turns into a failure, which is not the last one.
            let expected = format!("{level} NAME (pid PID) {how} after T (used M at the last check){then}");
            assert_eq!(record(&scene, pid), expected, "on an old kernel: {is_old}");
            watchdog.terminate();
        }
    }
}

/// One attempt in each `restart_wait_interval` (rule 18): until then there is something to wait for.
#[test]
fn a_death_before_the_verdict_says_when_that_is() {
    if !kernel_tells() {
        return skip("this kernel does not say how a process died to one who is not its parent");
    }
    let scene = Scene::new();
    let watchdog = scene.watchdog().with("--restart-wait-interval", "20s").spawn();
    scene.wait_for("^INFO running: ");
    let pid = scene.wait_running();
    send(pid, SIGKILL);
    let text = record(&scene, pid);
    let said = Regex::new(
        r"^WARN NAME \(pid PID\) was killed by SIGKILL after T \(used M at the last check\); restarting in [0-9.]+s$",
    );
    assert!(said.unwrap().is_match(&text), "{text}");
    watchdog.terminate();
}

/// As in the README's first command: the shell ends with it, and has nothing to add.
#[test]
fn a_shell_that_stays_with_the_process_says_nothing_of_its_end() {
    for (signal, how) in [(SIGKILL, "was killed by SIGKILL"), (SIGTERM, "was stopped by SIGTERM")] {
        let scene = Scene::new();
        let watchdog =
            scene.watchdog().starting("$ACTOR sleep; exit $?").with("--restart-wait-interval", "0.1").spawn();
        scene.wait_for("attempt 1 succeeded");
        let pid = scene.wait_running();
        send(pid, signal);
        if kernel_tells() {
            scene.wait_for(&format!(r"\(pid {pid}\) {how}"));
        }
        scene.wait_replaced(pid);
        scene.wait_until("a second attempt succeeded", || {
            (scene.count("attempt 1 succeeded") == 2).then_some(())
        });
        assert_eq!(scene.count("the start command exited with status 1"), 0, "{}", scene.story());
        watchdog.terminate();
    }
}

/// The zombie tells root, and its own user.
#[test]
fn on_an_old_kernel_a_zombie_tells() {
    for (part, end, level, how, then) in [
        (&["when-told", "exit", "3"][..], Told, "WARN", "exited with status 3", RESTARTED),
        (&["when-told", "exit", "0"], Told, "INFO", "exited with status 0", LEFT),
        (&["sleep"], By(SIGKILL), "WARN", "was killed by SIGKILL", RESTARTED),
    ] {
        let scene = Scene::new();
        let pid = neglected(&scene, part);
        let mut command = scene.watchdog().command();
        without_an_answer(&mut command);
        let _watchdog = scene.spawn(command, Captured::All);
        watches(&scene, pid);
        end.of(&scene, pid);
        let expected = format!("{level} NAME (pid PID) {how} after T (used M at the last check){then}");
        assert_eq!(record(&scene, pid), expected);
    }
}

/// The watched process, as the child of one that never waits for it.
fn neglected(scene: &Scene, part: &[&str]) -> i32 {
    let path = scene.path(scene.name());
    let mut parent = Command::new(scene.link_actor("parent"));
    parent.args(["neglect", path.to_str().unwrap()]).args(part);
    std::mem::forget(scene.spawn(parent, Captured::All));
    scene.wait_running()
}

/// The parent of [`neglected`].
fn parent_of(pid: i32) -> i32 {
    procfs::process::Process::new(pid).unwrap().stat().unwrap().ppid
}

/// A watchdog of an ordinary user, to whom a zombie of root's tells nothing.
fn of_a_stranger(invocation: Invocation<'_>, scene: &Scene) -> Command {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    for folder in ["state", "log"] {
        fs::create_dir(scene.path(folder)).unwrap();
        fs::set_permissions(scene.path(folder), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let mut command = invocation.starting("true").command();
    command.uid(65_534).gid(65_534);
    command
}

#[test]
fn what_is_waited_for_late_is_told_late_and_started_in_time() {
    if !is_root() || !kernel_tells() {
        return skip("only root can be a stranger, and only Linux 6.15 tells one");
    }
    let scene = Scene::new();
    let pid = neglected(&scene, &["sleep"]);
    let parent = parent_of(pid);
    let _watchdog = scene.spawn(of_a_stranger(scene.watchdog(), &scene), Captured::All);
    watches(&scene, pid);
    send(pid, SIGKILL);
    scene.wait_for("not running; starting it");
    assert!(is_there(pid), "nobody has waited for it");
    send(parent, SIGKILL);
    assert_eq!(
        record(&scene, pid),
        "WARN NAME (pid PID) was killed by SIGKILL after T (used M at the last check)"
    );
}

#[test]
fn what_is_never_waited_for_is_told_so() {
    if !is_root() || !kernel_tells() {
        return skip("only root can be a stranger, and only Linux 6.15 tells one");
    }
    let scene = Scene::new();
    let pid = neglected(&scene, &["sleep"]);
    let _watchdog = scene.spawn(of_a_stranger(scene.watchdog(), &scene), Captured::All);
    watches(&scene, pid);
    send(pid, SIGKILL);
    assert_eq!(
        record(&scene, pid),
        "WARN NAME (pid PID) died after T (cause unknown: its parent has not collected its exit status; used M at the \
         last check)"
    );
}

#[test]
fn that_a_kernel_does_not_tell_is_said_once() {
    if !is_root() {
        return skip("only root can be a stranger");
    }
    let scene = Scene::new();
    let mut command = of_a_stranger(scene.watchdog().with("--max-fail-count", "unlimited"), &scene);
    without_an_answer(&mut command);
    let watchdog = scene.spawn(command, Captured::All);
    for untold in [
        "cause unknown: this kernel does not report it; used M at the last check",
        "used M at the last check",
    ] {
        let pid = scene.start_actor(&["sleep"]);
        follows(&scene, pid);
        send(pid, SIGKILL);
        let text = record(&scene, pid);
        let start = format!("WARN NAME (pid PID) died after T ({untold})");
        assert!(text.starts_with(&start), "{text}\n{}", scene.story());
        assert_eq!(scene.state()["last_exit"]["cause"], "unknown");
    }
    watchdog.terminate();
}

#[test]
fn what_dies_again_and_again_is_called_flapping() {
    if !kernel_tells() {
        return skip("this kernel does not say how a process died to one who is not its parent");
    }
    let scene = Scene::new();
    let mut pid = scene.start_actor(&["sleep"]);
    let watchdog =
        scene.watchdog().with("--restart-delay", "0").with("--restart-wait-interval", "0.1").spawn();
    for often in ["", "; 2 deaths in an hour", "; flapping: 3 deaths in 10 minutes"] {
        follows(&scene, pid);
        send(pid, SIGKILL);
        let text = record(&scene, pid);
        // Whether there is more depends on whether the attempt before has been judged.
        let told = text.split("; restarting").next().unwrap();
        assert_eq!(
            told,
            format!("WARN NAME (pid PID) was killed by SIGKILL after T (used M at the last check){often}")
        );
        pid = scene.wait_replaced(pid);
    }
    let shown: Value = serde_json::from_str(&scene.say(&["status", scene.name(), "--json"]).stdout).unwrap();
    assert_eq!((&shown[0]["deaths_last_hour"], &shown[0]["deaths_last_day"]), (&json!(3), &json!(3)));
    assert_eq!(scene.state()["deaths_ms"].as_array().map(Vec::len), Some(3));
    watchdog.terminate();
}

#[test]
fn the_end_of_a_launcher_is_no_death_of_what_it_launched() {
    let scene = Scene::new();
    let watchdog =
        scene.watchdog().starting("$ACTOR launch told").with("--restart-wait-interval", "8").spawn();
    // The launcher is followed first.
    scene.wait_for("^INFO running: ");
    scene.send_when_caught(scene.all()[0], SIGUSR2);
    scene.wait_for("exited with status 0");
    scene.wait_for("attempt 1 succeeded");
    let state = scene.state();
    assert_eq!((&state["last_exit"], &state["deaths_ms"]), (&Value::Null, &json!([])), "{}", scene.story());
    watchdog.terminate();
}

#[test]
fn the_last_exit_and_the_last_start_are_kept_and_shown() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["when-told", "exit", "7"]);
    let watchdog = scene.watchdog().starting("$ACTOR sleep & exit 5").spawn();
    watches(&scene, pid);
    let (nothing_yet, state) = (scene.say(&["status", "--json"]), scene.state());
    assert_eq!((&state["last_exit"], &state["last_start"]), (&Value::Null, &Value::Null), "{nothing_yet}");
    Told.of(&scene, pid);
    scene.wait_for("attempt 1 succeeded");
    let state = scene.state();
    let exit = &state["last_exit"];
    let expected = json!({
        "pid": pid, "name": scene.name(), "started_ms": exit["started_ms"], "at_ms": exit["at_ms"],
        "cause": "crashed", "status": 7, "signal": null, "core_dumped": false,
        "memory_bytes": exit["memory_bytes"], "out_of_memory": null,
    });
    assert_eq!(exit, &expected);
    assert!(exit["started_ms"].as_u64() < exit["at_ms"].as_u64(), "{exit}");
    assert!(exit["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 10_000), "{exit}");
    let start = &state["last_start"];
    let expected =
        json!({ "at_ms": start["at_ms"], "took_ms": start["took_ms"], "status": 5, "signal": null });
    assert_eq!(start, &expected);
    watchdog.terminate();
    // Whoever watches next knows it too.
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    assert_eq!(&scene.state()["last_exit"], exit);

    let shown: Value = serde_json::from_str(&scene.say(&["status", scene.name(), "--json"]).stdout).unwrap();
    let shown = &shown[0]["last_exit"];
    let expected = json!({
        "pid": pid, "process": scene.name(), "seconds_ago": shown["seconds_ago"],
        "ran_seconds": shown["ran_seconds"], "cause": "crashed", "status": 7, "signal": null,
        "core_dumped": false, "memory_bytes": exit["memory_bytes"], "oom_kills_in_group": null,
        "oom_kills_on_machine": null,
    });
    assert_eq!(shown, &expected);
    assert!(shown["seconds_ago"].as_u64().is_some_and(|ago| ago < 300), "{shown}");
    let table = scene.say(&["status"]).stdout;
    let rows: Vec<_> = table.lines().collect();
    assert!(rows[0].ends_with("NOTE") && rows[1].ends_with(" ago: status 7"), "{table}");
}

/// A control group with little memory, for one process of a test.
struct SmallGroup(PathBuf);

impl SmallGroup {
    /// Below the tests' own group; `None` where none can be made.
    fn new(scene: &Scene) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let path = |controller: &str| {
            own.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                controllers
                    .split(',')
                    .any(|it| it == controller)
                    .then(|| path.trim_start_matches('/').to_owned())
            })
        };
        let (above, limit) = match path("memory") {
            Some(path) => (PathBuf::from("/sys/fs/cgroup/memory").join(path), "memory.limit_in_bytes"),
            None => (PathBuf::from("/sys/fs/cgroup").join(path("")?), "memory.max"),
        };
        let group = SmallGroup(above.join(scene.name()));
        fs::create_dir(&group.0).ok()?;
        fs::write(group.0.join(limit), "32000000").ok()?;
        // Swap would only make it slower.
        let _ = fs::write(group.0.join("memory.memsw.limit_in_bytes"), "32000000");
        let _ = fs::write(group.0.join("memory.swap.max"), "0");
        Some(group)
    }

    fn take(&self, pid: i32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for SmallGroup {
    fn drop(&mut self) {
        // The scene outlives it, and what is in it has been ended by the kernel.
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn out_of_memory_is_told_as_a_fact() {
    let scene = Scene::new();
    let Some(group) = SmallGroup::new(&scene) else {
        return skip(
            "no control group with a memory limit can be made here: that takes root, and a writable tree",
        );
    };
    if !kernel_tells() {
        return skip("this kernel does not say how a process died to one who is not its parent");
    }
    let pid = scene.start_actor(&["when-told", "eat"]);
    group.take(pid);
    let watchdog = scene.watchdog().spawn();
    watches(&scene, pid);
    Told.of(&scene, pid);
    assert_eq!(
        record(&scene, pid),
        format!(
            "WARN NAME (pid PID) was killed by SIGKILL after T (the kernel ran out of memory: 1 OOM kill in its \
             control group; used M at the last check){RESTARTED}"
        )
    );
    let exit = scene.state()["last_exit"].clone();
    assert_eq!((&exit["cause"], &exit["out_of_memory"]), (&json!("crashed"), &json!({ "group": 1 })));
    scene.wait_for("succeeded");
    let table = scene.say(&["status"]).stdout;
    assert!(table.trim_end().ends_with("SIGKILL, out of memory"), "{table}");
    watchdog.terminate();

    // Between two checks of cron's.
    let pid = scene.wait_running();
    send(pid, SIGKILL);
    scene.wait_gone(pid);
    let pid = scene.start_actor(&["when-told", "eat"]);
    group.take(pid);
    let check = scene.watchdog().flag("--once");
    assert_eq!(check.clone().run().code(), Some(0));
    Told.of(&scene, pid);
    scene.wait_gone(pid);
    let mail = check.run().stderr;
    let told = " was not running (the kernel ran out of memory: 1 OOM kill in its control group); running again after ";
    assert!(mail.contains(told), "{mail}");
    scene.wait_for(&format!(
        r"^INFO {} \(pid {pid}\) ended since the last check \(the kernel ran out",
        scene.name()
    ));
}
