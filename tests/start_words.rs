//! What the start command says and gets: doubts that are reported before it is needed, and the environment of a
//! login where cron and systemd give none (rule 16).

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use nix::unistd::{User, geteuid};

use crate::dry_run::DryRun;
use crate::environment::look;
use crate::harness::{Captured, Scene};
use crate::machine::{is_root, program, skip, with_mounts};

/// What `--dry-run` doubts of this start command.
#[track_caller]
fn doubts(scene: &Scene, start_command: &str) -> String {
    DryRun::of(scene.watchdog().with("--start-command", start_command)).warnings()
}

/// A file that may be executed, with this in it.
fn executable(scene: &Scene, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = scene.path(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.into_os_string().into_string().unwrap()
}

/// What the shell that start commands are run by says of this text, without where it says so.
fn shell_says(scene: &Scene, text: &str) -> String {
    let mut shell = program("/bin/sh");
    shell.args(["-n", "-c", text]).stdin(Stdio::null());
    let ended = scene.spawn(shell, Captured::All).ends();
    assert!(!ended.status.success(), "{text}: {ended}");
    let first = ended.stderr.lines().next().unwrap_or_default();
    first.rsplit(": ").next().unwrap_or_default().to_owned()
}

#[test]
fn what_the_shell_cannot_read_is_doubted() {
    let scene = Scene::new();
    for text in ["echo 'x", "echo \"$HOME", "if true; then echo x", "echo $(date", "{ true", "true )"] {
        let (said, doubts) = (shell_says(&scene, text), doubts(&scene, text));
        assert!(doubts.contains(&said), "{text}: {said:?} in {doubts:?}");
    }
}

/// Reading it is not running it, and what it would write is nowhere.
#[test]
fn what_is_doubted_is_not_run() {
    let scene = Scene::new();
    let text = "touch $HERE/harm; : $(touch $HERE/harm) `touch $HERE/harm`; echo said; echo 'unclosed";
    let dry = DryRun::of(scene.watchdog().with("--start-command", text));
    assert!(dry.warnings().contains(&shell_says(&scene, text)), "{}", dry.ended);
    assert!(!scene.path("harm").exists(), "{}", dry.ended);
    assert_eq!(dry.ended.stderr, "");
}

/// Words of bash, which is what people try it out with.
#[test]
fn words_that_this_shell_does_not_know_are_doubted() {
    let scene = Scene::new();
    let known = |text: &str| {
        let mut shell = program("/bin/sh");
        shell.args(["-c", &format!("type {text}")]).stdin(Stdio::null());
        scene.spawn(shell, Captured::All).ends().status.success()
    };
    if known("source") || known("disown") {
        return skip("/bin/sh knows these words");
    }
    for (text, word) in [
        ("source /etc/profile && app", "source"),
        ("cd / && source ./env", "source"),
        ("[[ -e /opt/x ]] && app", "[["),
        ("if [[ -e /opt/x ]]; then app; fi", "[["),
        ("true; app & disown", "disown"),
        ("true &> /dev/null", "&>"),
        ("sleep 1 &>> /tmp/x", "&>"),
        ("true&>/dev/null", "&>"),
    ] {
        let doubts = doubts(&scene, text);
        assert!(doubts.contains(word), "{text}: {doubts:?}");
    }
}

/// A warning that is wrong is worse than none.
#[test]
fn what_only_looks_like_one_is_not_doubted() {
    let scene = Scene::new();
    let executable = executable(&scene, "good.sh", "#!/bin/sh\n[[ x ]]\r\n");
    for text in [
        "echo source '[[' \"&>\" disown",
        "echo [[ x ]] source",
        "sh -c 'source x; [[ -e y ]] && disown &> z'",
        "sh -c \"source x\"",
        "true # source x; [[ y ]] &> z",
        ". /dev/null; exec sleep 1",
        "A=source sleep 1",
        "sleep 1 && true >/dev/null 2>&1",
        "sleep 1 >/dev/null 2>&1 &",
        "case $HOME in [[:alpha:]]*) ;; source) ;; esac",
        "ls [[:alpha:]]*",
        "cat <<END\nsource x\n[[ y ]] &> z\ndisown\nEND",
        "source() { :; }; source x",
        "command -v disown || true",
        "true \\\n  && true",
        "test \"$(id -u)\" -gt 0",
        executable.as_str(),
    ] {
        assert_eq!(doubts(&scene, text), "", "{text}");
    }
}

#[test]
fn an_interpreter_that_does_not_exist_is_doubted() {
    let scene = Scene::new();
    for (content, said) in [
        ("#!/bin/sh\r\necho x\r\n", "Windows"),
        ("#! /bin/sh -e\r\n", "Windows"),
        ("#!/usr/bin/env sh\r\n", "Windows"),
        ("#!/no/such/venv/bin/python3\nx\n", "/no/such/venv/bin/python3"),
        ("#! /no/such/venv/bin/python3 -u\nx\n", "/no/such/venv/bin/python3"),
        ("#!/usr/bin/env no-such-python\nx\n", "no-such-python"),
        ("#!/no/such/interpreter", "/no/such/interpreter"),
    ] {
        let script = executable(&scene, "script", content);
        for text in [script.clone(), format!("exec {script} --now"), format!("A=1 '{script}' && true")] {
            let doubts = doubts(&scene, &text);
            assert!(
                doubts.contains(&script) && doubts.contains(said) && !doubts.contains("chmod"),
                "{content:?} {text}: {doubts:?}"
            );
        }
        // One that is found in PATH, too.
        let path = ["env", &format!("PATH={}:/usr/bin:/bin", scene.path("").display())].map(str::to_owned);
        let path = path.each_ref().map(String::as_str);
        let dry = DryRun::of(scene.watchdog().with("--start-command", "script").through(&path));
        assert!(dry.warnings().contains(said), "{content:?}: {}", dry.ended);
    }
    for content in
        ["#!/bin/sh\necho x\r\n", "#!/usr/bin/env sh\n", "#!/usr/bin/env -S sh -e\n", "echo x\n", ""]
    {
        let script = executable(&scene, "script", content);
        assert_eq!(doubts(&scene, &script), "", "{content:?}");
    }
}

/// As a program for another C library, or of a container's image.
#[test]
fn a_loader_that_does_not_exist_is_doubted() {
    let scene = Scene::new();
    let mut program = fs::read(Path::new("/bin/sh").canonicalize().unwrap()).unwrap();
    let loader = program.windows(4).position(|window| window == b"/ld-");
    let Some(loader) = loader.filter(|at| *at < 1024) else {
        return skip("/bin/sh has no loader here");
    };
    assert_eq!(doubts(&scene, &executable(&scene, "good", &program)), "");
    program[loader..loader + 4].copy_from_slice(b"/no-");
    let doubts = doubts(&scene, &executable(&scene, "bad", &program));
    assert!(doubts.contains("/no-") && doubts.contains("bad") && !doubts.contains("chmod"), "{doubts:?}");
}

/// No chmod helps there.
#[test]
fn a_mount_that_lets_nothing_be_executed_is_doubted() {
    let scene = Scene::new();
    fs::create_dir(scene.path("mount")).unwrap();
    executable(&scene, "script", "#!/bin/sh\n");
    let mount = "mount -t tmpfs -o noexec none $HERE/mount && cp -p $HERE/script $HERE/mount/";
    let Some(way) = with_mounts(&scene, mount) else {
        return skip("only root can mount something");
    };
    let way: Vec<_> = way.iter().map(String::as_str).collect();
    let script = scene.path("mount/script");
    let line = |text: &str| scene.watchdog().with("--start-command", text).through(&way);
    let dry = DryRun::of(line(&format!("exec {}", script.display())));
    let doubts = dry.warnings();
    assert!(doubts.contains("noexec") && !doubts.contains("chmod +x"), "{doubts:?} {}", dry.ended);
    // Its interpreter may read it.
    let dry = DryRun::of(line(&format!("sh {}", script.display())));
    assert_eq!(dry.warnings(), "", "{}", dry.ended);
}

/// Whoever watches hears of it at the start; whoever looks each minute, when it matters; and all once.
#[test]
fn doubts_are_said_before_a_start_and_once() {
    const DOUBT: &str = "^WARN .*Windows";
    let scene = Scene::new();
    let script = executable(&scene, "script", "#!/bin/sh\r\n");
    let line = scene.watchdog().with("--start-command", &script).with("--max-fail-count", "1");
    let line = line.with("--restart-wait-interval", "0.2");
    // What runs needs no start command.
    let pid = scene.start_actor(&["sleep"]);
    assert_eq!(line.clone().flag("--once").run().code(), Some(0));
    assert_eq!(scene.count(DOUBT), 0, "{:#?}", scene.log());
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    scene.wait_gone(pid);
    for _ in 0..2 {
        assert_eq!(line.clone().flag("--once").run().code(), Some(1));
        let log = scene.log();
        let place = |text: &str| log.iter().position(|record| record.text.contains(text));
        let (doubt, start) = (place("Windows"), place("not running; starting it"));
        assert!(doubt.is_some() && doubt < start, "{log:#?}");
        assert_eq!(scene.count(DOUBT), 1, "{log:#?}");
        scene.say(&["resume", scene.name()]);
    }

    let scene = Scene::new();
    let script = executable(&scene, "script", "#!/bin/sh\r\n");
    scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().with("--start-command", &script).spawn();
    scene.wait_for(DOUBT);
    watchdog.terminate();
}

/// Of the environment that a start command wrote to `$HERE/env`.
fn written(scene: &Scene) -> HashMap<String, String> {
    let environment = scene.read("env");
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

const WHO: [&str; 4] = ["HOME", "USER", "LOGNAME", "SHELL"];

/// A system unit has none of it.
#[test]
fn who_it_runs_as_is_said_where_nobody_has() {
    let scene = Scene::new();
    look(&scene, "env > $HERE/env", |command| {
        command.env_clear().env("PATH", "/usr/bin:/bin");
    });
    let user = User::from_uid(geteuid()).unwrap();
    let known = user.map(|user| [user.dir, user.name.clone().into(), user.name.into(), user.shell]);
    let variables = written(&scene);
    for (at, name) in WHO.iter().enumerate() {
        let known = known.as_ref().map(|known| known[at].as_path());
        assert_eq!(variables.get(*name).map(Path::new), known, "{name}: {variables:?}");
    }
}

#[test]
fn what_is_said_already_stays() {
    let scene = Scene::new();
    let said = ["/tmp/home", "", "somebody", "/bin/false"];
    look(&scene, "env > $HERE/env", |command| {
        command.env_clear().env("PATH", "/usr/bin:/bin").envs(WHO.iter().zip(said));
    });
    let variables = written(&scene);
    assert_eq!(WHO.map(|name| variables[name].as_str()), said);
}

/// A crontab has none of it, and `systemctl --user` needs it.
#[test]
fn an_ordinary_user_s_runtime_folder_is_found() {
    const NOBODY: u32 = 65534;
    const NAMES: [&str; 2] = ["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];
    let address = |folder: &str| Some(format!("unix:path={folder}/bus"));
    let nobody_s = || (Some("/run/user/65534".to_owned()), address("/run/user/65534"));
    let given = (Some("/tmp/runtime".to_owned()), Some("unix:path=/tmp/bus".to_owned()));
    if !is_root() {
        return skip("only root can make such a folder, and be another user then");
    }
    for (user, owner, set, expected) in [
        (NOBODY, Some(NOBODY), false, nobody_s()),
        (NOBODY, Some(NOBODY), true, given),
        // Somebody else's would be his to answer for.
        (NOBODY, Some(0), false, (None, None)),
        (NOBODY, None, false, (None, None)),
        // Root has system services.
        (0, Some(0), false, (None, None)),
    ] {
        let scene = Scene::new();
        fs::set_permissions(scene.path(""), fs::Permissions::from_mode(0o777)).unwrap();
        let make = owner.map_or_else(String::new, |owner| {
            let folder = format!("/run/user/{user}");
            format!(" && mkdir -p {folder} && touch {folder}/bus && chown -R {owner} {folder} && chmod 700 {folder}")
        });
        let Some(way) = with_mounts(&scene, &format!("mount -t tmpfs none /run{make}")) else {
            return skip("no mounts can be made here");
        };
        let user = format!("--reuid={user}");
        let become_user = ["setpriv", user.as_str(), "--regid=65534", "--clear-groups"];
        let way: Vec<_> = way.iter().map(String::as_str).chain(become_user).collect();
        let line = scene.watchdog().flag("--once").starting("env > $HERE/env; $ACTOR sleep &").through(&way);
        let mut command = line.command();
        for (name, value) in NAMES.into_iter().zip(["/tmp/runtime", "unix:path=/tmp/bus"]) {
            command.env_remove(name);
            if set {
                command.env(name, value);
            }
        }
        let ended = scene.spawn(command, Captured::All).ends();
        assert_eq!(ended.code(), Some(0), "{ended}\n{}", scene.story());
        let variables = written(&scene);
        let [folder, address] = NAMES.map(|name| variables.get(name).cloned());
        assert_eq!((folder, address), expected, "{user} {owner:?} {set}: {variables:?} {}", scene.story());
    }
}

#[test]
fn a_dry_run_shows_the_environment_that_is_added() {
    let Some(user) = User::from_uid(geteuid()).unwrap() else {
        return skip("this user is not in the database");
    };
    let scene = Scene::new();
    let bare = ["env", "-u", "LOGNAME", "-u", "SHELL", "USER=somebody"];
    let dry = DryRun::of(scene.watchdog().through(&bare));
    let shows = |name: &str, value: &str| {
        dry.ended.stdout.lines().any(|line| line.contains(name) && line.contains(value))
    };
    let shell = user.shell.into_os_string().into_string().unwrap();
    assert!(shows("LOGNAME", &user.name) && shows("SHELL", &shell), "{}", dry.ended);
    assert_eq!(dry.warnings(), "", "{}", dry.ended);
}
