//! What takes the place of a dead process, and what it has only left behind: its workers, somebody else's process of
//! its name, whoever reads its log.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal::{SIGKILL, SIGQUIT, SIGUSR2};
use procfs::process::Process;

use crate::dry_run::DryRun;
use crate::harness::{Captured, Invocation, Scene, named};
use crate::machine::{is_root, processes, program, send, skip};
use crate::right_process::{assert_counted_by, copy_actor, real};
use crate::terminal::Terminal;
use crate::which::{NOBODY, play, settled, titled};

/// Waits a while for a start, in which a successor can come.
fn patient(scene: &Scene) -> Invocation<'_> {
    scene
        .watchdog()
        .with("--restart-delay", "1.5s")
        .with("--after-stop", "1.5s")
        .with("--restart-wait-interval", "0.2")
}

/// A process in a session of its own, as whatever systemd or a shell in the background starts.
fn in_session(scene: &Scene, path: &Path, part: &[&str]) -> i32 {
    let pid = scene.start_child(Path::new("setsid"), &[&[path.to_str().unwrap()], part].concat());
    // Its name comes with the exec, its command line a moment after.
    let first = || {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        (line.split(|byte| *byte == 0).next()? == path.as_os_str().as_encoded_bytes()).then_some(())
    };
    scene.wait_until("it is on the scene", first);
    pid
}

/// Waits until it has run for so long that it is no launcher.
fn settle(scene: &Scene, pid: i32) {
    let age = || {
        let started = Process::new(pid).ok()?.stat().ok()?.starttime;
        let started = Duration::from_millis(started * 1000 / procfs::ticks_per_second());
        Some(watchdog::parts::now().saturating_sub(started))
    };
    scene.wait_until("it has run for a while", || (age()? > Duration::from_millis(400)).then_some(()));
}

/// What was there before counts for nothing: it is named, and the process is started again.
#[track_caller]
fn assert_started_again(scene: &Scene, left_over: &[i32]) {
    scene.wait_until("it is started again", || (scene.starts() > 0).then_some(()));
    let succeeded = scene.wait_for("^INFO attempt 1 succeeded");
    let new = succeeded.number_after(r"\(pid").unwrap();
    assert!(!left_over.contains(&new), "{}", scene.story());
    for pid in left_over {
        scene.wait_for(&format!("^(?:WARN|ERROR) .*pid {pid}[^0-9]"));
    }
    assert_eq!(scene.count("handed over|running again"), 0, "{}", scene.story());
}

/// gunicorn's workers, and Python's: forked, with their master's command line.
#[test]
fn workers_that_were_forked_are_not_their_master() {
    for full in [false, true] {
        let scene = Scene::new();
        let path = scene.path(scene.name());
        let script = scene.path("prefork.py");
        let mut parts = vec![script.to_str().unwrap(), "prefork", "", "3", "sleep"];
        let lock = scene.path("lock");
        parts[2] = lock.to_str().unwrap();
        let master = in_session(&scene, &path, &parts);
        let workers = scene.wait_until("a master and three workers", || {
            let all = scene.all();
            (all.len() == 4).then(|| all.into_iter().filter(|pid| *pid != master).collect::<Vec<_>>())
        });
        let start = "rm -f $HERE/lock; $ACTOR $HERE/prefork.py prefork $HERE/lock 3 sleep &";
        let watchdog = patient(&scene).starting(start);
        let watchdog = if full {
            let pattern = format!("{} .*/prefork\\.py prefork", scene.name());
            watchdog.flag("--full").with("--process-name", pattern).with("--name", scene.name())
        } else {
            watchdog
        };
        let _watchdog = watchdog.spawn();
        scene.wait_for(&format!(r"following [^ ]+ \(pid {master}[,)]"));
        settle(&scene, master);
        send(master, SIGKILL);
        assert_started_again(&scene, &workers);
    }
}

/// The same from one run to the next.
#[test]
fn from_cron_too_they_are_not() {
    let scene = Scene::new();
    let path = scene.path(scene.name());
    let lock = scene.path("lock");
    let part = ["prefork", lock.to_str().unwrap(), "3", "sleep"];
    let master = in_session(&scene, &path, &part);
    scene.wait_until("a master and three workers", || (scene.all().len() == 4).then_some(()));
    let once = || {
        scene
            .watchdog()
            .starting("rm -f $HERE/lock; $ACTOR prefork $HERE/lock 3 sleep &")
            .flag("--once")
            .run()
    };
    assert_eq!(once().code(), Some(0));
    send(master, SIGKILL);
    scene.wait_gone(master);
    let ended = once();
    assert_eq!(
        (ended.code(), scene.starts(), scene.all().len()),
        (Some(0), 1, 7),
        "{ended}\n{}",
        scene.story()
    );
}

/// They hold the port, so that each start fails: they are the likely cause.
#[test]
fn workers_that_keep_the_port_are_named_as_the_cause() {
    let scene = Scene::new();
    let lock = scene.path("lock");
    let path = scene.path(scene.name());
    let master = in_session(&scene, &path, &["prefork", lock.to_str().unwrap(), "2", "sleep"]);
    scene.wait_until("a master and two workers", || (scene.all().len() == 3).then_some(()));
    let watchdog = patient(&scene).starting("exec $ACTOR prefork $HERE/lock 2 sleep").spawn();
    scene.wait_for(&format!(r"following [^ ]+ \(pid {master}[,)]"));
    settle(&scene, master);
    send(master, SIGKILL);
    let ended = watchdog.ends();
    assert_eq!((ended.code(), scene.starts()), (Some(1), 3), "{ended}\n{}", scene.story());
    for worker in scene.all() {
        assert!(ended.stderr.contains(&format!("(pid {worker})")), "{ended}");
    }
}

/// Smallest real case: a Python program that forks three workers.
#[test]
fn a_python_program_s_workers_are_not_it() {
    let Some(python) = real("python3") else { return };
    let scene = Scene::new();
    let file = scene.path(&format!("{}-prefork.py", scene.name()));
    fs::write(
        &file,
        "import os, time\nfor _ in range(3):\n    if os.fork() == 0:\n        time.sleep(300)\n        os._exit(0)\n\
         time.sleep(300)\n",
    )
    .unwrap();
    let all = || {
        let is_it = |process: &Process| {
            process.cmdline().is_ok_and(|line| line.len() == 2 && line[1] == file.to_str().unwrap())
        };
        let mut all: Vec<_> = processes().filter(is_it).map(|it| it.pid).collect();
        all.sort_unstable();
        all
    };
    let master = in_session(&scene, &python, &[file.to_str().unwrap()]);
    scene.wait_until("three workers", || (all().len() == 4).then_some(()));
    let workers: Vec<_> = all().into_iter().filter(|pid| *pid != master).collect();
    let start = format!("{} {} &", python.display(), file.display());
    let pattern = format!("{}-prefork\\.py$", scene.name());
    let watchdog =
        patient(&scene).flag("--full").with("--process-name", pattern).with("--name", scene.name());
    let _watchdog = watchdog.starting(&start).spawn();
    scene.wait_for(&format!(r"following [^ ]+ \(pid {master}[,)]"));
    settle(&scene, master);
    send(master, SIGKILL);
    assert_started_again(&scene, &workers);
}

/// Of nginx and haproxy: what is called by exec, or has a session of its own, is a new master.
#[test]
fn a_new_master_that_calls_no_exec_but_has_a_session_is_handed_over() {
    let scene = Scene::new();
    let path = scene.path(scene.name());
    let old = in_session(&scene, &path, &["sleep"]);
    let watchdog = patient(&scene).spawn();
    scene.wait_for(&format!(r"following [^ ]+ \(pid {old}[,)]"));
    let launcher = play(&scene, &path, &["fork-away", "sleep"]);
    launcher.ends();
    let new = scene.wait_until("both are there", || scene.all().into_iter().find(|pid| *pid != old));
    settle(&scene, old);
    send(old, SIGQUIT);
    scene.wait_for(&format!(r"^INFO (?:has been )?handed over: .*\(pid {new}\)"));
    watchdog.wait_checks(5);
    assert_eq!((scene.starts(), scene.all()), (0, vec![new]), "{}", scene.story());
}

/// The real one: `haproxy -D -sf` after a change of its configuration.
#[test]
fn haproxy_s_reload_is_handed_over() {
    let Some(haproxy) = real("haproxy") else { return };
    let scene = Scene::new();
    std::os::unix::fs::symlink(haproxy, scene.path("haproxy")).unwrap();
    let socket = scene.path("haproxy.sock");
    let text = format!("frontend f\n  mode tcp\n  timeout client 1s\n  bind unix@{}\n", socket.display());
    fs::write(scene.path("haproxy.cfg"), text).unwrap();
    let config = scene.path("haproxy.cfg").into_os_string().into_string().unwrap();
    let all = || {
        let is_it = |process: &Process| process.cmdline().is_ok_and(|line| line.contains(&config));
        processes()
            .filter(is_it)
            .filter(|it| it.stat().is_ok_and(|stat| stat.state != 'Z'))
            .map(|it| it.pid)
            .collect::<Vec<_>>()
    };
    let start = |more: &[&str]| {
        let words = [&["-D", "-f", &config][..], more].concat();
        let ended = play(&scene, scene.path("haproxy"), &words).ends();
        assert_eq!(ended.code(), Some(0), "{ended}");
    };
    start(&[]);
    let old = scene.wait_until("it is there", || all().first().copied());
    let pattern = format!("haproxy -D -f {config}");
    let watchdog =
        patient(&scene).flag("--full").with("--process-name", pattern).with("--name", scene.name());
    let watchdog = watchdog.spawn();
    scene.wait_for(&format!(r"following [^ ]+ \(pid {old}[,)]"));
    settle(&scene, old);
    start(&["-sf", &old.to_string()]);
    scene.wait_gone(old);
    let new = scene.wait_until("another is there", || all().first().copied());
    scene.wait_for(&format!(r"(?:handed over|by itself|not started by this watchdog): .*\(pid {new}\)"));
    watchdog.wait_checks(5);
    assert_eq!(scene.starts(), 0, "{}", scene.story());
}

/// The real one: nginx's master is killed, and its workers stay and keep the port.
#[test]
fn nginx_s_workers_are_not_it() {
    let Some(nginx) = real("nginx") else { return };
    if !named("nginx").is_empty() {
        return skip("another nginx runs on this machine");
    }
    let scene = Scene::new();
    let name = scene.name();
    std::os::unix::fs::symlink(nginx, scene.path("nginx")).unwrap();
    let here = scene.path("").into_os_string().into_string().unwrap();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|kind| format!("{kind}_temp_path {here}{kind};")).join(" ");
    let text = format!(
        "worker_processes 2; pid {here}{name}.pid; error_log {here}error.log; events {{}}\n\
         http {{ access_log off; {temporary} server {{ listen unix:{here}nginx.sock; }} }}\n"
    );
    fs::write(scene.path("nginx.conf"), text).unwrap();
    let config = format!("{here}nginx.conf");
    let run = play(&scene, scene.path("nginx"), &["-c", &config, "-p", &here]);
    assert_eq!(run.ends().code(), Some(0));
    let master =
        scene.wait_until("it has its pid file", || scene.read(&format!("{name}.pid")).trim().parse().ok());
    let of = |master: i32| {
        let stats = processes().filter_map(|process| process.stat().ok());
        stats.filter(|stat| stat.ppid == master).map(|stat| stat.pid).collect::<Vec<_>>()
    };
    let two_of = |master| scene.wait_until("two workers", || Some(of(master)).filter(|it| it.len() == 2));
    let workers = two_of(master);
    let start = format!("rm -f $HERE/nginx.sock; $HERE/nginx -c {config} -p {here}");
    let watchdog =
        patient(&scene).flag("--full").with("--process-name", format!("{config}|nginx: worker process"));
    let watchdog = watchdog.with("--name", name).starting(&start).spawn();
    scene.wait_for(&format!(r"following [^ ]+ \(pid {master}[,)]"));
    settle(&scene, master);
    send(master, SIGKILL);
    assert_started_again(&scene, &workers);
    // Its processes have no sign of the scene, and nobody else ends them.
    drop(watchdog);
    let pid = || scene.read(&format!("{name}.pid")).trim().parse().ok().filter(|pid| *pid != master);
    let new = scene.wait_until("the new one has its pid file", pid);
    for pid in [new].into_iter().chain(two_of(new)).chain(workers) {
        send(pid, SIGKILL);
    }
}

/// Two services of one interpreter: what runs another script is another service.
#[test]
fn another_script_of_the_same_interpreter_is_not_a_successor() {
    for (second, is_successor) in [("b.app", false), ("a2.app", true)] {
        let scene = Scene::new();
        let path = scene.path(scene.name());
        let script = |name: &str| scene.path(name).into_os_string().into_string().unwrap();
        let first = in_session(&scene, &path, &["-u", &script("a1.app"), "sleep"]);
        let other = in_session(&scene, &path, &["-u", &script(second), "sleep"]);
        let watchdog = patient(&scene).starting("$ACTOR -u $HERE/a1.app sleep &").spawn();
        scene.wait_for(&format!(r"following [^ ]+ \(pid {first}[,)]"));
        settle(&scene, first);
        send(first, SIGKILL);
        if is_successor {
            scene.wait_for(&format!(r"handed over: .*\(pid {other}\)"));
            watchdog.wait_checks(5);
            assert_eq!(scene.starts(), 0, "{}", scene.story());
        } else {
            assert_started_again(&scene, &[other]);
        }
    }
}

/// From cron too: the state has what is needed.
#[test]
fn from_cron_another_script_is_not_a_successor_either() {
    let scene = Scene::new();
    let path = scene.path(scene.name());
    let script = |name: &str| scene.path(name).into_os_string().into_string().unwrap();
    let first = in_session(&scene, &path, &[&script("a.app"), "sleep"]);
    let other = in_session(&scene, &path, &[&script("b.app"), "sleep"]);
    let once = || scene.watchdog().starting("$ACTOR $HERE/a.app sleep &").flag("--once").run();
    assert_eq!(once().code(), Some(0));
    send(first, SIGKILL);
    scene.wait_gone(first);
    let ended = once();
    assert_eq!(
        (ended.code(), scene.starts(), scene.all().len()),
        (Some(0), 1, 2),
        "{ended}\n{}",
        scene.story()
    );
    assert!(scene.all().contains(&other));
}

/// Of one parent that is not process 1, and of two sessions.
#[test]
fn a_family_has_one_session() {
    let scene = Scene::new();
    let path = scene.path(scene.name());
    let first = in_session(&scene, &path, &["/srv/a.app", "sleep"]);
    let second = in_session(&scene, &path, &["/srv/b.app", "sleep"]);
    let dry = DryRun::of(scene.watchdog());
    assert_eq!(dry.matching(), [first, second], "{}", dry.ended);
    let warning = dry.warnings();
    for pid in [first, second] {
        assert!(warning.contains(&format!("pid {pid}")), "{}", dry.ended);
    }
    let _watchdog = scene.watchdog().spawn();
    scene.wait_for(&format!("^WARN .*pid {first}.*pid {second}"));
}

/// Whoever names an interpreter names everybody's scripts.
#[test]
fn an_interpreter_s_name_is_doubted() {
    let scene = Scene::new();
    let warnings = |name: &str, flags: &[&str]| {
        let watchdog =
            flags.iter().fold(scene.watchdog().with("--process-name", name), |it, flag| it.flag(flag));
        // Of what is found on this machine nothing is asked here.
        DryRun::of(watchdog).warnings().lines().filter(|line| !line.contains("several")).collect::<String>()
    };
    for name in
        ["python3", "python", "java", "node", "ruby", "perl", "sh", "bash", "php", "^python3$", "python3.11"]
    {
        assert!(!warnings(name, &[]).is_empty(), "{name}");
    }
    assert!(!warnings("java", &["--exact"]).is_empty());
    for name in [scene.name(), "nodejs-exporter", "javad", "perlbal", "sshd", "rubyd", "php-fpm8.2"] {
        assert_eq!(warnings(name, &[]), "", "{name}");
    }
    assert_eq!(warnings("^java .*TSDMain", &["--full"]), "");
    let _watchdog =
        scene.watchdog().with("--process-name", "java").with("--name", "j").starting("true").spawn();
    scene.wait_until("it is in the log", || {
        scene
            .read("log/j.log")
            .lines()
            .any(|line| line.contains(" WARN ") && line.contains("java"))
            .then_some(())
    });
}

/// `tail -f bot.py.log` is not the bot: without a terminal it is told, at one it is nothing.
#[test]
fn who_reads_the_log_does_not_take_the_place_in_silence() {
    for in_terminal in [false, true] {
        let scene = Scene::new();
        let name = scene.name().to_owned();
        let bot = scene.path(&format!("{name}.py")).into_os_string().into_string().unwrap();
        let interpreter = scene.link_actor(&scene.other());
        let pid = in_session(&scene, &interpreter, &["-u", &bot, "sleep"]);
        let log = format!("{bot}.log");
        fs::write(&log, "").unwrap();
        let start = format!("{} -u {bot} sleep &", interpreter.display());
        let watchdog = patient(&scene).flag("--full").with("--process-name", format!("{name}.py"));
        let _watchdog = watchdog.with("--name", &name).starting(&start).spawn();
        scene.wait_for(&format!(r"following [^ ]+ \(pid {pid}[,)]"));
        settle(&scene, pid);
        send(pid, SIGKILL);
        scene.wait_for("was killed by SIGKILL");
        let mut tail = program("tail");
        tail.args(["-f", &log]);
        let mut terminal = Terminal::new();
        let tail = if in_terminal { terminal.start(&scene, tail) } else { scene.spawn(tail, Captured::All) };
        let tail = settled(&scene, tail);
        if in_terminal {
            scene.wait_for("^INFO attempt 1 succeeded");
            assert_eq!(scene.starts(), 1, "{}", scene.story());
        } else {
            let said = scene.wait_for(&format!("pid {}[^0-9]", tail.pid()));
            assert!(said.text.starts_with("WARN") && said.text.contains("tail"), "{}", scene.story());
        }
    }
}

/// Somebody looks at it in an editor while it lives.
#[test]
fn who_reads_the_program_is_not_a_successor() {
    let scene = Scene::new();
    let name = scene.name().to_owned();
    let bot = scene.path(&format!("{name}.py")).into_os_string().into_string().unwrap();
    let interpreter = scene.link_actor(&scene.other());
    let pid = in_session(&scene, &interpreter, &[&bot, "sleep"]);
    fs::write(&bot, "").unwrap();
    let mut tail = program("tail");
    tail.args(["-f", &bot]);
    let tail = settled(&scene, scene.spawn(tail, Captured::All));
    let start = format!("{} {bot} sleep &", interpreter.display());
    let watchdog = patient(&scene).flag("--full").with("--process-name", format!("{name}.py"));
    let _watchdog = watchdog.with("--name", &name).starting(&start).spawn();
    scene.wait_for(&format!(r"following [^ ]+ \(pid {pid}[,)]"));
    settle(&scene, pid);
    send(pid, SIGKILL);
    assert_started_again(&scene, &[tail.pid()]);
}

/// A client at a terminal is no server, whenever it came; a server that somebody starts there is one.
#[test]
fn at_a_terminal_only_the_same_program_takes_over() {
    for is_same in [false, true] {
        let scene = Scene::new();
        let path = scene.path(scene.name());
        let old = in_session(&scene, &path, &["sleep"]);
        let client = copy_actor(&scene, format!("bin/{}", scene.name()));
        let watchdog = patient(&scene).spawn();
        scene.wait_for(&format!(r"following [^ ]+ \(pid {old}[,)]"));
        settle(&scene, old);
        send(old, SIGKILL);
        scene.wait_for("was killed by SIGKILL");
        let mut command = program(if is_same { &path } else { &client });
        command.arg("sleep");
        let mut terminal = Terminal::new();
        let client = settled(&scene, terminal.start(&scene, command));
        if is_same {
            scene.wait_for(&format!(
                r"(?:by itself|not started by this watchdog): .*\(pid {}\)",
                client.pid()
            ));
            watchdog.wait_checks(5);
            assert_eq!(scene.starts(), 0, "{}", scene.story());
        } else {
            let started = scene.wait_for("^INFO attempt 1 succeeded").number_after(r"\(pid").unwrap();
            assert_ne!(started, client.pid(), "{}", scene.story());
        }
    }
}

/// Anybody can start a process of that name: that is worth a warning, with the user's name.
#[test]
fn a_takeover_by_another_user_is_a_warning() {
    if !is_root() {
        return skip("only root can be two users");
    }
    let scene = Scene::new();
    let path = scene.path(scene.name());
    let old = in_session(&scene, &path, &["sleep"]);
    let _watchdog = patient(&scene).spawn();
    scene.wait_for(&format!(r"following [^ ]+ \(pid {old}[,)]"));
    settle(&scene, old);
    send(old, SIGKILL);
    scene.wait_for("was killed by SIGKILL");
    let nobody = settled(&scene, scene.start_actor_as(NOBODY));
    let said = scene.wait_for(&format!(
        r"(?:by itself|not started by this watchdog): .*pid {}[^0-9]|pid {}[^0-9].*(?:in place of|replaces)",
        nobody.pid(),
        nobody.pid()
    ));
    let user =
        nix::unistd::User::from_uid(NOBODY.into()).unwrap().map_or_else(|| NOBODY.to_string(), |it| it.name);
    assert!(said.text.starts_with("WARN") && said.text.contains(&user), "{said:?}\n{}", scene.story());
}

/// By the executable, the same one by whatever name, of a newer version too.
#[test]
fn a_successor_has_the_same_executable() {
    for (label, is_successor) in [
        ("another program", false),
        ("another version", true),
        ("removed", true),
        ("moved aside", true),
        ("replaced", true),
    ] {
        let scene = Scene::new();
        let name = scene.name();
        let file = copy_actor(&scene, format!("app-1.2/bin/{name}"));
        let title = format!("{name}: server");
        let is_new_file = matches!(label, "another program" | "another version");
        let start = |path: &Path| titled(&scene, path, &title);
        let old = start(&file);
        let watchdog = patient(&scene).spawn();
        scene.wait_for(&format!(r"following [^ ]+ \(pid {}[,)]", old.pid()));
        let new = if is_new_file {
            let folder = if label == "another program" { "other/bin" } else { "app-1.34/bin" };
            start(&copy_actor(&scene, format!("{folder}/{name}")))
        } else {
            let new = start(&file);
            match label {
                "removed" => fs::remove_file(&file).unwrap(),
                "moved aside" => fs::rename(&file, scene.path("aside")).unwrap(),
                _ => {
                    let copy = copy_actor(&scene, "new");
                    fs::rename(copy, &file).unwrap();
                }
            }
            new
        };
        settle(&scene, old.pid());
        send(old.pid(), SIGKILL);
        if is_successor {
            scene.wait_for(&format!(r"handed over: .*\(pid {}\)", new.pid()));
            watchdog.wait_checks(5);
            assert_eq!(scene.starts(), 0, "{label}: {}", scene.story());
        } else {
            assert_started_again(&scene, &[new.pid()]);
        }
    }
}

/// nginx's upgrade after the package has replaced its file: the old master runs from one that is gone.
#[test]
fn a_successor_of_a_replaced_executable_is_handed_over() {
    let scene = Scene::new();
    let file = copy_actor(&scene, format!("sbin/{}", scene.name()));
    let old = in_session(&scene, &file, &["handover"]);
    let watchdog = patient(&scene).spawn();
    scene.wait_for(&format!(r"following [^ ]+ \(pid {old}[,)]"));
    let new_file = copy_actor(&scene, "sbin/new");
    fs::rename(new_file, &file).unwrap();
    scene.send_when_caught(old, SIGUSR2);
    let new = scene.wait_until("both are there", || scene.all().into_iter().find(|pid| *pid != old));
    settle(&scene, old);
    send(old, SIGQUIT);
    scene.wait_for(&format!(r"handed over: .*\(pid {new}\)"));
    watchdog.wait_checks(5);
    assert_eq!(scene.starts(), 0, "{}", scene.story());
}

/// A wrapper is killed, and what it ran keeps the port, under a name of its own.
#[test]
fn what_is_left_in_the_session_is_named_as_the_cause() {
    let scene = Scene::new();
    scene.link_actor(&scene.other());
    let watchdog = scene.watchdog().starting("exec $ACTOR wrap $HERE/$OTHER alone $HERE/lock sleep").spawn();
    scene.wait_for("attempt 1 succeeded");
    let wrapper = scene.wait_running();
    let child = scene.wait_until("its child is there", || named(&scene.other()).first().copied());
    settle(&scene, wrapper);
    send(wrapper, SIGKILL);
    let ended = watchdog.ends();
    assert_eq!((ended.code(), scene.starts()), (Some(1), 4), "{ended}\n{}", scene.story());
    assert_eq!(named(&scene.other()), [child], "nobody ends it");
    scene.wait_for(&format!("^WARN .*pid {child}[^0-9]"));
    assert!(ended.stderr.contains(&format!("pid {child}")), "{ended}");
}

/// From cron too, where the session is known from the run before.
#[test]
fn from_cron_what_is_left_in_the_session_is_named_too() {
    let scene = Scene::new();
    let holder = scene.link_actor(&scene.other());
    let holder = holder.to_str().unwrap();
    let lock = scene.path("lock");
    let path = scene.path(scene.name());
    let wrapper = in_session(&scene, &path, &["wrap", holder, "alone", lock.to_str().unwrap(), "sleep"]);
    let child = scene.wait_until("its child is there", || named(&scene.other()).first().copied());
    let start = "exec $ACTOR wrap $HERE/$OTHER alone $HERE/lock sleep";
    let once = scene.watchdog().starting(start).flag("--once");
    assert_eq!(once.clone().run().code(), Some(0), "{}", scene.story());
    send(wrapper, SIGKILL);
    scene.wait_gone(wrapper);
    let ended = once.run();
    assert_eq!((ended.code(), named(&scene.other())), (Some(1), vec![child]), "{ended}");
    assert!(ended.stderr.contains(&format!("pid {child}")), "{ended}\n{}", scene.story());
}

/// A pattern that was said to be stricter is.
#[test]
fn the_first_of_strangers_has_a_pattern_of_its_own() {
    let scene = Scene::new();
    let path = scene.path(scene.name());
    let first = in_session(&scene, &path, &["/srv/a.app", "sleep"]);
    let second = in_session(&scene, &path, &["/srv/b.app", "sleep"]);
    let dry = DryRun::of(scene.watchdog());
    let warning = dry.warnings();
    assert_counted_by(scene.watchdog(), &[], &warning, first);
    assert_eq!(dry.matching(), [first, second], "{}", dry.ended);
}
