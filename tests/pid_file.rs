//! The process whose number is in a file, and no other of its name.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal::{SIGHUP, SIGKILL, SIGQUIT, SIGTERM, SIGUSR2};

use crate::blocked::{PATIENCE, namespaces};
use crate::dry_run::DryRun;
use crate::harness::{Captured, Invocation, Scene, WATCHDOG};
use crate::machine::{is_root, program, send, skip};
use crate::which::{NOBODY, settled};

/// A start command that notes the number of what it starts.
const NOTED: &str = "$ACTOR sleep & echo $! > $HERE/pid";

fn by_file(scene: &Scene) -> Invocation<'_> {
    scene.watchdog().with("--pid-file", scene.path("pid")).starting(NOTED)
}

/// Notes a number, as if that had been this long ago.
fn note(scene: &Scene, file: &str, text: &str, ago: Duration) {
    let (path, new) = (scene.path(file), scene.path("new"));
    fs::write(&new, text).unwrap();
    let at = SystemTime::now() - ago;
    fs::File::options().write(true).open(&new).unwrap().set_modified(at).unwrap();
    fs::rename(new, path).unwrap();
}

fn now(scene: &Scene, pid: i32) {
    note(scene, "pid", &pid.to_string(), Duration::ZERO);
}

/// The number of a process that has ended.
fn dead(scene: &Scene) -> i32 {
    let ended = scene.spawn(program("true"), Captured::All);
    ended.ends();
    ended.pid()
}

#[track_caller]
fn follows(scene: &Scene, pid: i32) {
    scene.wait_for(&format!(r"(?:following|succeeded|replaces|running).* \(pid {pid}[,)]"));
}

#[test]
fn the_one_in_the_file_is_followed_and_brought_back() {
    let scene = Scene::new();
    let _older = scene.start_actor(&["sleep"]);
    let pid = scene.start_actor(&["sleep"]);
    now(&scene, pid);
    let watchdog = by_file(&scene).spawn();
    follows(&scene, pid);
    send(pid, SIGKILL);
    scene.wait_for("was killed by SIGKILL");
    let new = scene.wait_for("^INFO attempt 1 succeeded").number_after(r"\(pid").unwrap();
    assert_eq!(scene.read("pid").trim(), new.to_string(), "{}", scene.story());
    assert_eq!((scene.starts(), scene.all().len()), (1, 2), "{}", scene.story());
    assert_eq!(scene.count("match|left over"), 0, "{}", scene.story());
    watchdog.terminate();
}

/// It is started, and the file is made by that.
#[test]
fn with_neither_file_nor_process_it_is_started() {
    let scene = Scene::new();
    let ended = by_file(&scene).flag("--once").run();
    assert_eq!((ended.code(), scene.starts()), (Some(0), 1), "{ended}");
    assert_eq!(scene.all(), [scene.read("pid").trim().parse::<i32>().unwrap()]);
}

/// What lives may be it: that is said once, nothing is started, and it is followed when the file says so.
#[test]
fn without_a_number_nothing_is_started_beside_what_matches() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let run = || by_file(&scene).flag("--once").run();
    for (make, said) in [
        ("true", "does not exist"),
        (": >", "is empty"),
        ("printf '\n7\n' >", "has no pid in its first line"),
        ("echo -7 >", "has no pid in its first line"),
        ("echo 99999999999 >", "has no pid in its first line"),
        ("mkfifo", "is not a regular file"),
        ("mkdir", "is not a regular file"),
    ] {
        let path = scene.path("pid");
        let _ = (fs::remove_file(&path), fs::remove_dir_all(scene.path("state")));
        let mut shell = program("sh");
        shell.args(["-c", &format!("{make} $HERE/pid")]);
        assert!(scene.spawn(shell, Captured::All).ends().status.success());
        let ended = run();
        assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(3), 1), "{make}: {ended}");
        let hint = format!("{said}, and {} (pid {pid}) is running", scene.name());
        assert!(ended.stderr.contains(&hint), "{make}: {ended}");
        let status = scene.say(&["status"]);
        assert!(status.stdout.contains(said) && status.code() == Some(4), "{make}: {status}");
        let again = run();
        assert_eq!((again.code(), &*again.stderr), (Some(3), ""), "{make}: {again}");
        if make == ": >" {
            now(&scene, pid);
            assert_eq!(run().code(), Some(0), "{}", scene.story());
            // From here on it is known without the file.
            fs::remove_file(&path).unwrap();
            assert_eq!(run().code(), Some(0), "{}", scene.story());
        }
    }
    assert_eq!((scene.starts(), scene.all()), (0, vec![pid]), "{}", scene.story());
}

#[test]
fn the_first_line_counts_with_blanks_and_without_an_end() {
    let scene = Scene::new();
    let other = scene.start_actor(&["sleep"]);
    let pid = scene.start_actor(&["sleep"]);
    for text in [format!("{pid}\n{other}\nmore\n"), format!("  {pid} \r\n"), pid.to_string()] {
        note(&scene, "pid", &text, Duration::ZERO);
        let dry = DryRun::of(by_file(&scene));
        assert_eq!((dry.matching(), dry.warnings().as_str()), (vec![pid], ""), "{text:?} {}", dry.ended);
        assert_eq!(dry.why_not(other), Some("is not the one in the pid file"), "{}", dry.ended);
    }
}

/// Dead, another program's, a thread's: all are missing, and the dry run says why.
#[test]
fn a_number_that_is_not_its_own_is_no_process() {
    let scene = Scene::new();
    let other = scene.start_child(Path::new("sleep"), &["300"]);
    let leader = scene.start_actor(&["answer", "0"]);
    let thread = scene.wait_until("it has a thread", || {
        let threads = fs::read_dir(format!("/proc/{leader}/task")).ok()?;
        threads
            .flatten()
            .map(|it| it.file_name().to_str().unwrap().parse::<i32>().unwrap())
            .max()
            .filter(|thread| *thread != leader)
    });
    for (number, why) in
        [(dead(&scene), "is not running"), (other, "does not match"), (thread, "is a thread")]
    {
        now(&scene, number);
        let dry = DryRun::of(by_file(&scene));
        let warned = format!("names {number}, which {why}");
        assert!(dry.warnings().contains(&warned), "{warned}: {}", dry.ended);
        assert!(dry.would().starts_with("not running; start it with"), "{}", dry.ended);
        assert_eq!(dry.ended.code(), Some(1));
    }
    let ended = by_file(&scene).flag("--once").run();
    assert_eq!((ended.code(), scene.starts()), (Some(0), 1), "{ended}");
}

/// It has the number by now, and the name too: the file is older than it.
#[test]
fn a_file_that_is_older_than_the_process_is_not_its_own() {
    let scene = Scene::new();
    let first = scene.start_actor(&["sleep"]);
    now(&scene, first);
    let watchdog = by_file(&scene).spawn();
    follows(&scene, first);
    let other = scene.start_actor(&["sleep"]);
    note(&scene, "pid", &other.to_string(), Duration::from_secs(90));
    watchdog.wait_checks(5);
    assert_eq!(scene.count("handed over"), 0, "{}", scene.story());
    send(first, SIGKILL);
    scene.wait_for("^INFO attempt 1 succeeded");
    assert_eq!((scene.starts(), scene.all().len()), (1, 2), "{}", scene.story());
    // One that is hardly older is: it was written by the process's launcher.
    note(&scene, "pid", &other.to_string(), Duration::from_secs(30));
    scene.wait_for(&format!("handed over: .*pid {other}[^0-9]"));
}

#[test]
fn a_file_may_be_written_late() {
    for (label, delay, interval) in [("before the verdict", "0.3", "2"), ("after it", "1.5", "0.5")] {
        let scene = Scene::new();
        let start = format!("$ACTOR sleep & p=$!; (sleep {delay}; echo $p > $HERE/pid) &");
        let watchdog = by_file(&scene).starting(&start).with("--restart-wait-interval", interval);
        let _watchdog = watchdog.spawn();
        let succeeded = scene.wait_for("^INFO attempt 1 succeeded");
        assert_eq!(succeeded.number_after(r"\(pid"), Some(scene.wait_running()), "{label}");
        let unknown = usize::from(label == "after it");
        assert_eq!((scene.starts(), scene.count("cannot tell")), (1, unknown), "{label}: {}", scene.story());
    }
}

/// The service writes another file than the one that was given.
#[test]
fn a_wrong_file_leads_to_no_second_copy() {
    let scene = Scene::new();
    let number = dead(&scene);
    now(&scene, number);
    let watchdog = by_file(&scene).starting("$ACTOR sleep &").spawn();
    scene.wait_for("^WARN .*no second copy is started while it runs; is --pid-file right");
    watchdog.wait_checks(10);
    let pid = scene.wait_running();
    assert_eq!(scene.starts(), 1, "{}", scene.story());
    now(&scene, pid);
    follows(&scene, pid);
}

#[test]
fn a_failure_says_what_is_wrong_with_the_file() {
    let scene = Scene::new();
    let number = dead(&scene);
    now(&scene, number);
    let ended = by_file(&scene).starting("true").flag("--once").with("--max-fail-count", "1").run();
    assert_eq!(ended.code(), Some(1), "{ended}");
    scene.wait_for(&format!("not running .*; the pid file .* names {number}, which is not running"));
}

/// While it lives, the file may go and come, and name what is none.
#[test]
fn what_is_held_stays() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    now(&scene, pid);
    let watchdog = by_file(&scene).spawn();
    follows(&scene, pid);
    let (other, gone) = (scene.start_child(Path::new("sleep"), &["300"]), dead(&scene));
    let texts = ["", "rubbish", &other.to_string(), &gone.to_string()];
    for text in texts {
        note(&scene, "pid", text, Duration::ZERO);
        watchdog.wait_checks(3);
    }
    fs::remove_file(scene.path("pid")).unwrap();
    watchdog.wait_checks(3);
    let warned = scene.count("^(WARN|ERROR)");
    assert_eq!((scene.starts(), warned, scene.all()), (0, 0, vec![pid]), "{}", scene.story());
    // And its death is one, without a file.
    send(pid, SIGKILL);
    scene.wait_replaced(pid);
    scene.wait_for("^INFO attempt 1 succeeded");
}

/// As nginx does: the new master is started by the old one, and has the file while the old one still works.
#[test]
fn a_new_master_has_the_file_and_the_old_one_may_go() {
    let scene = Scene::new();
    let old = scene.start_actor(&["handover"]);
    now(&scene, old);
    let watchdog = by_file(&scene).with("--max-fail-count", "1").spawn();
    follows(&scene, old);
    scene.send_when_caught(old, SIGUSR2);
    let new = scene.wait_until("there are two", || match scene.all()[..] {
        [_, new] => Some(new),
        _ => None,
    });
    fs::rename(scene.path("pid"), scene.path("pid.oldbin")).unwrap();
    watchdog.wait_checks(3);
    now(&scene, new);
    scene.wait_for(&format!("^INFO handed over: .*pid {new}[^0-9].* replaces pid {old}"));
    send(old, SIGQUIT);
    scene.wait_gone(old);
    watchdog.wait_checks(3);
    let deaths = scene.count("exited|died|killed|ended");
    assert_eq!((scene.starts(), deaths, scene.all()), (0, 0, vec![new]), "{}", scene.story());
    // From cron too: the runs follow the one that the file names.
    watchdog.terminate();
    let newest = scene.start_actor(&["sleep"]);
    now(&scene, newest);
    assert_eq!(by_file(&scene).flag("--once").run().code(), Some(0));
    assert_eq!(scene.state()["process"]["pid"], newest, "{}", scene.story());
}

/// nginx itself, where it is installed: it writes its file, reloads, and upgrades.
#[test]
fn nginx_keeps_and_hands_over_its_file() {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&folders).chain(["/usr/sbin".into()]);
    let Some(nginx) = folders.map(|it| it.join("nginx")).find(|it| it.exists()) else {
        return skip("nginx is not installed");
    };
    let scene = Scene::new();
    // By a name of its own: there may be others on this machine.
    fs::remove_file(scene.path(scene.name())).unwrap();
    symlink(nginx, scene.path(scene.name())).unwrap();
    let here = scene.path("");
    let here = here.to_str().unwrap();
    let user = if is_root() { "user root;" } else { "" };
    let conf = format!(
        "{user} pid {here}/pid; error_log {here}/error.log; events {{}} http {{ access_log off; \
         client_body_temp_path {here}/b; proxy_temp_path {here}/p; fastcgi_temp_path {here}/f; \
         uwsgi_temp_path {here}/u; scgi_temp_path {here}/s; server {{ listen unix:{here}/socket; }} }}"
    );
    fs::write(scene.path("nginx.conf"), conf).unwrap();
    let start = "$ACTOR -c $HERE/nginx.conf -e $HERE/error.log";
    let watchdog = by_file(&scene).starting(start).with("--restart-wait-interval", "2").spawn();
    let first = scene.wait_for("^INFO attempt 1 succeeded").number_after(r"\(pid").unwrap();
    let named = || scene.read("pid").trim().parse::<i32>().ok();
    assert_eq!(named(), Some(first));
    send(first, SIGHUP);
    watchdog.wait_checks(5);
    send(first, SIGUSR2);
    let second = scene.wait_until("there is a new master", || named().filter(|pid| *pid != first));
    scene.wait_for(&format!("^INFO handed over: .*pid {second}[^0-9].* replaces pid {first}"));
    send(first, SIGQUIT);
    scene.wait_gone(first);
    watchdog.wait_checks(5);
    assert_eq!((scene.starts(), scene.count("^WARN")), (1, 1), "{}", scene.story());
    // Its worker has its name too, and not its number; and nobody else ends it.
    let workers = fs::read_to_string(format!("/proc/{second}/task/{second}/children")).unwrap_or_default();
    send(second, SIGKILL);
    scene.wait_until("it is started again", || (scene.starts() == 2).then_some(()));
    for worker in workers.split_whitespace().filter_map(|it| it.parse().ok()) {
        send(worker, SIGKILL);
    }
}

/// Whoever can write there could name what another's file names.
#[test]
fn root_follows_no_link_and_others_do() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    note(&scene, "real", &pid.to_string(), Duration::ZERO);
    symlink(scene.path("real"), scene.path("pid")).unwrap();
    let ended = by_file(&scene).flag("--once").run();
    if is_root() {
        assert_eq!(ended.code(), Some(3), "{ended}");
        assert!(ended.stderr.contains("is a link: give the file that it leads to"), "{ended}");
    } else {
        assert_eq!((ended.code(), &*ended.stderr), (Some(0), ""), "{ended}");
    }
    assert_eq!(scene.starts(), 0);
}

#[test]
fn another_users_file_counts_for_that_users_processes() {
    if !is_root() {
        return skip("only root can be two users");
    }
    let scene = Scene::new();
    let roots = scene.start_actor(&["sleep"]);
    let running = settled(&scene, scene.start_actor_as(NOBODY));
    let nobodys = running.pid();
    let give = |pid: i32, owner: u32| {
        now(&scene, pid);
        chown(scene.path("pid"), Some(owner), None).unwrap();
        DryRun::of(by_file(&scene))
    };
    for (pid, owner, counts) in
        [(roots, 0, true), (nobodys, 0, true), (nobodys, NOBODY, true), (roots, NOBODY, false)]
    {
        let dry = give(pid, owner);
        let expected = if counts { vec![pid] } else { Vec::new() };
        assert_eq!(dry.matching(), expected, "{pid} of {owner}: {}", dry.ended);
        let is_warned = dry.warnings().contains("is not a process of the file's owner");
        assert_eq!(is_warned, !counts, "{}", dry.ended);
    }
}

/// Three of one program, each with children that have its name too: each is brought back alone, also where it has
/// removed its file.
#[test]
fn three_of_one_program_are_told_apart() {
    let scene = Scene::new();
    let of = |number: usize| {
        let (name, file) = (format!("{}-{number}", scene.name()), format!("pid{number}"));
        let start = format!("$ACTOR lead 2 & echo $! > $HERE/{file}");
        let watchdog = scene.watchdog().starting(&start).with("--pid-file", scene.path(&file));
        watchdog.with("--name", name)
    };
    let named = |number: usize| scene.read(&format!("pid{number}")).trim().parse::<i32>().ok();
    let mut watchdogs = Vec::new();
    for number in 0..3 {
        // One after the other: while nobody follows the first, it could be any of them.
        watchdogs.push(of(number).spawn());
        let log = format!("log/{}-{number}.log", scene.name());
        scene.wait_until("it is followed", || scene.read(&log).contains("succeeded").then_some(()));
    }
    let before: Vec<_> = (0..3).map(|number| named(number).unwrap()).collect();
    for (number, signal, keeps_file) in [(1, SIGKILL, true), (2, SIGTERM, false)] {
        if !keeps_file {
            fs::remove_file(scene.path(&format!("pid{number}"))).unwrap();
        }
        send(before[number], signal);
        scene.wait_until("it is replaced", || named(number).filter(|pid| *pid != before[number]));
    }
    watchdogs[0].wait_checks(5);
    let now: Vec<_> = (0..3).map(|number| named(number).unwrap()).collect();
    assert!(now[0] == before[0] && now[1] != before[1] && now[2] != before[2], "{before:?} {now:?}");
    assert_eq!(scene.starts(), 5, "{}", scene.story());
    for said in ["cannot tell", "similar:"] {
        assert!(!scene.story().contains(said), "{}", scene.story());
    }
}

/// A path is the same from everywhere, and a wrong one is refused with what to type.
#[test]
fn a_path_is_as_in_other_options() {
    let scene = Scene::new();
    let text =
        format!("process_name = \"{}\"\nstart_command = \"true\"\npid_file = \"a/x.pid\"\n", scene.name());
    fs::write(scene.path("web.toml"), text).unwrap();
    let shown = |line: &[&str]| {
        let mut command = program(WATCHDOG);
        command.args(line).args(["--dry-run", "--state-dir"]).arg(scene.path("state"));
        command.env("HOME", scene.path("home")).current_dir("/usr");
        scene.spawn(command, Captured::All).ends()
    };
    let file = scene.path("web.toml");
    let typed = ["-p", scene.name(), "-s", "true", "--pid-file"];
    let cases = [
        (shown(&["-c", file.to_str().unwrap()]), scene.path("a/x.pid")),
        (shown(&[&typed[..], &["x.pid"]].concat()), "/usr/x.pid".into()),
        (shown(&[&typed[..], &["~/x.pid"]].concat()), scene.path("home/x.pid")),
    ];
    for (ended, path) in cases {
        let row = format!("setting\tpid_file\t{}\t", path.display());
        assert!(ended.stdout.contains(&row), "{row} {ended}");
        assert!(ended.stdout.contains(&format!("the pid file {} does not exist", path.display())), "{ended}");
    }
    for (more, said) in [
        (&["/run/"][..], "--pid-file '/run/': names no file; give the file that it writes its pid to"),
        (&[""], "--pid-file '': names no file"),
        (&["/x", "--pid-namespace", "any"], "--pid-file '/x': cannot be combined with --pid-namespace any"),
    ] {
        let ended = shown(&[&typed[..], more].concat());
        assert!(ended.code() == Some(2) && ended.stderr.contains(said), "{said}: {ended}");
    }
}

/// As one on a file server that does not answer.
#[test]
fn a_file_that_hangs_keeps_no_run_from_its_work() {
    let scene = Scene::new();
    let Some(way) = namespaces(&scene) else { return };
    scene.link_actor("server");
    let script = format!(
        r#"$HERE/server mute $HERE/pid &
        until grep -q " $HERE/pid " /proc/self/mounts; do sleep 0.02; done
        timeout -s KILL {PATIENCE} "$@" --once; echo $? >> $HERE/statuses
        $ACTOR sleep &
        timeout -s KILL {PATIENCE} "$@" --dry-run > $HERE/dry; echo $? >> $HERE/statuses
        touch $HERE/done; wait"#
    );
    let way: Vec<_> = way.iter().map(String::as_str).chain(["sh", "-c", &script, "sh"]).collect();
    let watchdog = by_file(&scene).starting("true").with("--max-fail-count", "1");
    let _running = watchdog.through(&way).spawn();
    scene.wait_until("the scene is over", || scene.path("done").exists().then_some(()));
    assert_eq!(scene.read("statuses"), "1\n3\n", "{}", scene.story());
    assert!(scene.read("dry").contains("its file system does not answer"), "{}", scene.read("dry"));
    assert_eq!(scene.starts(), 1, "{}", scene.story());
}
