//! Files that include others, and templates of which one file makes several instances.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use nix::sys::signal::Signal::{SIGHUP, SIGKILL};

use crate::dry_run::DryRun;
use crate::harness::{Captured, Invocation, Scene, WATCHDOG, Watchdog, named};
use crate::machine::{is_root, program, send, skip, unshare};

/// Writes a file as an administrator does, who replaces it.
fn write(scene: &Scene, file: &str, text: &str) {
    let new = scene.path(&format!("{file}.new"));
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o644)).unwrap();
    fs::rename(&new, scene.path(file)).unwrap();
}

/// A watchdog that has what decides from its file alone.
fn by_file<'a>(scene: &'a Scene, file: &str) -> Invocation<'a> {
    let options = [
        "--process-name",
        "--start-command",
        "--health-check-interval",
        "--restart-wait-interval",
        "--restart-delay",
        "--after-stop",
    ];
    let line = options.iter().fold(scene.watchdog(), |line, option| line.without(option));
    line.with("--config", scene.path(file))
}

/// One whose file includes another with the times.
fn with_include(scene: &Scene) -> Invocation<'_> {
    let text = format!(
        "include = 'times.inc'\nprocess_name = '{}'\nstart_command = 'echo >> $HERE/starts; $ACTOR sleep &'\n\
         restart_delay = '50ms'\n",
        scene.name()
    );
    write(scene, "x.toml", &text);
    write(
        scene,
        "times.inc",
        "restart_wait_interval = 0.5\nrestart_delay = '9s'\nhealth_check_interval = '1h'\n",
    );
    by_file(scene, "x.toml").with("--name", scene.name())
}

#[track_caller]
fn reload(scene: &Scene, watchdog: &Watchdog) {
    let before = scene.count("configuration (not )?reloaded");
    watchdog.send(SIGHUP);
    scene.wait_until("the file is read", || {
        (scene.count("configuration (not )?reloaded") > before).then_some(())
    });
}

#[test]
fn what_is_included_counts_where_the_file_says_nothing_and_is_read_again() {
    let scene = Scene::new();
    let line = with_include(&scene);
    let dry = DryRun::of(line.clone());
    for (key, value, place) in
        [("restart_delay", "50ms", "x.toml:4"), ("health_check_interval", "1h", "times.inc:3")]
    {
        let row = dry.rows("setting").find(|row| row[0] == key).unwrap();
        assert!(row[1] == value && row[2].ends_with(place), "{row:?}");
    }
    let watchdog = line.spawn();
    scene.wait_for("attempt 1 succeeded");
    let pid = scene.wait_running();
    write(&scene, "times.inc", "health_check_interval = '50ms'\nrestart_wait_interval = 0.5\n");
    reload(&scene, &watchdog);
    scene.wait_for("^INFO configuration reloaded: .*health_check_interval 50ms");
    watchdog.wait_checks(5);
    for (text, said) in [
        ("exat = true\n", "times.inc:1: unknown setting 'exat'; did you mean exact?"),
        (
            "\ninclude = 'x.toml'\n",
            "times.inc:2: include: a circle: x.toml \u{2192} times.inc \u{2192} x.toml",
        ),
    ] {
        write(&scene, "times.inc", text);
        reload(&scene, &watchdog);
        let told = scene.log().pop().unwrap();
        assert!(
            told.text.starts_with("WARN configuration not reloaded") && told.text.contains(said),
            "{told:?}"
        );
    }
    fs::remove_file(scene.path("times.inc")).unwrap();
    reload(&scene, &watchdog);
    let told = scene.log().pop().unwrap();
    assert!(told.text.contains("x.toml:1: include: ") && told.text.contains("cannot read it"), "{told:?}");
    assert_eq!((scene.all(), scene.starts()), (vec![pid], 1));
    watchdog.terminate();
}

/// Whoever can write what is included decides what root runs, as whoever can write the file does.
#[test]
fn an_include_that_others_may_write_is_refused_or_doubted() {
    if !is_root() {
        return skip("needs root, whose files are not for others to write");
    }
    let scene = Scene::new();
    let line = with_include(&scene).flag("--once");
    fs::set_permissions(scene.path("times.inc"), Permissions::from_mode(0o646)).unwrap();
    let ended = line.clone().run();
    let said = "x.toml:1: include: ";
    assert_eq!((ended.code(), scene.starts()), (Some(2), 0), "{ended}");
    assert!(
        ended.stderr.contains(said) && ended.stderr.contains("times.inc: not read: others can"),
        "{ended}"
    );
    assert!(ended.stderr.contains(&format!("chmod o-w {}", scene.path("times.inc").display())), "{ended}");
    chown(scene.path("times.inc"), None, Some(65534)).unwrap();
    fs::set_permissions(scene.path("times.inc"), Permissions::from_mode(0o664)).unwrap();
    let dry = DryRun::of(line.clone());
    assert!(
        dry.rows("warning").any(|row| row[0].contains("times.inc is writable by group")),
        "{}",
        dry.ended
    );
    assert_eq!(line.run().code(), Some(0));
    assert_eq!(scene.count("^WARN others can decide what root runs: .*times.inc"), 1);
}

/// The template of the scene: its instances differ by the link that they are started by.
fn template(scene: &Scene) -> String {
    let name = scene.name();
    for instance in 1..=4 {
        scene.link_actor(&format!("{name}-{instance}"));
    }
    format!(
        "process_name = '^{name}-%i$'\nstart_command = 'date +%%Y >> $HERE/starts-%i; $HERE/{name}-%i sleep &'\n\
         restart_wait_interval = 0.5\nrestart_delay = '50ms'\nhealth_check_interval = 0.1\n"
    )
}

#[test]
fn three_instances_of_a_template_are_restarted_alone_and_a_fourth_disturbs_none() {
    let scene = Scene::new();
    write(&scene, "worker@.toml", &template(&scene));
    let process = |instance: u32| {
        scene.wait_until("exactly one is running", || {
            match named(&format!("{}-{instance}", scene.name()))[..] {
                [pid] => Some(pid),
                _ => None,
            }
        })
    };
    let watch = |instance: u32| {
        let watchdog = by_file(&scene, &format!("worker@{instance}.toml")).spawn();
        scene.wait_until("it is judged", || {
            scene.read(&format!("log/worker@{instance}.log")).contains("attempt 1 succeeded").then_some(())
        });
        watchdog
    };
    let mut watchdogs: Vec<_> = (1..=3).map(watch).collect();
    let before: Vec<_> = (1..=3).map(process).collect();
    send(before[1], SIGKILL);
    let second = scene.wait_until("the second is back", || Some(process(2)).filter(|pid| *pid != before[1]));
    watchdogs.push(watch(4));
    let now: Vec<_> = (1..=4).map(process).collect();
    assert_eq!(now[..3], [before[0], second, before[2]]);
    for (instance, starts) in [(1, 1), (2, 2), (3, 1), (4, 1)] {
        let text = scene.read(&format!("starts-{instance}"));
        assert_eq!(text.lines().count(), starts, "{instance}");
        assert!(text.lines().all(|year| year.parse::<u32>().is_ok_and(|year| year > 2000)), "{text}");
    }
    // The commands know each by its name.
    let shown = scene.say(&["status"]);
    assert_eq!((shown.code(), shown.stdout.matches("worker@").count()), (Some(0), 4), "{shown}");
    let ended = scene.say(&["restart", "worker@3"]);
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert!(process(3) != before[2] && process(1) == before[0]);
    for watchdog in &watchdogs {
        watchdog.terminate();
    }
    for instance in 1..=4 {
        send(process(instance), SIGKILL);
    }
}

/// How a script is run that has the directory of configurations to itself, and that directory: root has an /etc and a
/// /run of its own for it, and somebody else a home.
pub fn private(scene: &Scene) -> Option<(Vec<String>, &'static str)> {
    if !is_root() {
        return Some((vec!["env".to_owned()], "$HOME/.config/watchdog"));
    }
    let Some(private) = unshare(scene, &["--mount"]) else {
        skip("only root can have an /etc of its own");
        return None;
    };
    let mounts = "for at in /etc /run /var/log; do mount -t tmpfs none $at; done; exec \"$@\"";
    Some((
        private.into_iter().chain(["sh", "-c", mounts, "sh"].map(str::to_owned)).collect(),
        "/etc/watchdog",
    ))
}

/// A bare name, and what the commands make of an instance that has never run.
#[test]
fn a_bare_name_with_an_instance_is_its_template() {
    let scene = Scene::new();
    let script = "\
        watchdog --config worker; echo $?\n\
        watchdog --config worker@; echo $?\n\
        watchdog status worker@2 | sed -n 's/^worker@2 .*not checked.*/not checked/p'\n\
        watchdog start worker@2\n\
        watchdog status --json worker@2 | grep -o '\"state\": *\"[a-z ]*\"'\n\
        watchdog status | grep -c worker\n\
        watchdog stop --all\n\
        watchdog clean worker@2\n";
    let Some((through, folder)) = private(&scene) else { return };
    write(&scene, "worker@.toml", &template(&scene));
    let script = format!(
        "watchdog() {{ '{WATCHDOG}' \"$@\"; }}; exec 2>&1; mkdir -p {folder}; cp $HERE/worker@.toml {folder}; {script}"
    );
    let mut command = program(&through[0]);
    command.args(&through[1..]).args(["sh", "-c", &script]);
    command.env("HOME", scene.path("home")).env_remove("XDG_STATE_HOME");
    let ended = scene.spawn(command, Captured::All).ends();
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 10, "{ended}");
    for (line, said) in lines.iter().zip([
        "did you mean worker@1?",
        "2",
        "worker@.toml: a template; give an instance of it, such as worker@1",
        "2",
        "not checked",
        "worker@2: ",
        "\"state\":\"running\"",
        "1",
        "worker@2: stopped",
        "worker@2: state removed",
    ]) {
        assert!(line.replace(' ', "").contains(&said.replace(' ', "")), "{said}: {ended}");
    }
}
