//! The configurations of docs/coming-from.md do what those of the other programs did.

use std::fs;
use std::os::unix::fs::symlink;

use chrono::{Local, TimeDelta};
use nix::sys::signal::Signal::{SIGHUP, SIGKILL};

use crate::harness::{Invocation, Scene, named};
use crate::machine::{actor, send};
use crate::manual::read;

/// Writes the files of the page that say of themselves where they are. Their programs are in the scene, have names of
/// their own, and write down what they were given.
fn write(scene: &Scene, programs: &[(&str, &str)]) {
    for block in read("docs/coming-from.md").split("```toml\n# /etc/watchdog/").skip(1) {
        let (file, text) = block.split_once('\n').unwrap();
        let text = text.split("```").next().unwrap();
        let mut text = text.replace("/srv/", &format!("{}/srv/", scene.path("").display()));
        for (program, own) in programs {
            let given =
                format!("{{ env; pwd; umask; }} > $HERE/{own}.new; mv $HERE/{own}.new $HERE/{own}.given");
            text = text.replace(&format!("exec /opt/{program}"), &format!("{given}; exec $HERE/{own}"));
            text = text.replace(&format!("^{program}"), &format!("^{own}"));
        }
        // The actor has a part to play.
        let text = text.replace(" -f\"", " sleep\"").replace("^$HERE/", "^");
        let text = text.lines().map(|line| match line.split_once("exec $HERE/") {
            Some((_, rest)) if !rest.contains(' ') => {
                line.replacen('"', "'", 1).trim_end_matches('"').to_owned() + " sleep'"
            }
            _ => line.to_owned(),
        });
        fs::write(scene.path(file), text.collect::<Vec<_>>().join("\n")).unwrap();
    }
    fs::create_dir_all(scene.path("srv/crunch")).unwrap();
}

fn watchdog<'a>(scene: &'a Scene, file: &str) -> Invocation<'a> {
    let line = ["--process-name", "--start-command", "--restart-wait-interval"]
        .iter()
        .fold(scene.watchdog(), |line, option| line.without(option));
    line.with("--config", scene.path(file))
}

#[track_caller]
fn runs(scene: &Scene, name: &str) -> i32 {
    scene.wait_until(&format!("{name} runs"), || match named(name)[..] {
        [pid] => Some(pid),
        _ => None,
    })
}

#[test]
fn a_taskmaster_program_with_all_its_keys() {
    let scene = Scene::new();
    let own = scene.name().to_owned();
    write(&scene, &[("crunch-%i", &format!("{own}-%i"))]);
    for instance in ["1", "2"] {
        symlink(actor(), scene.path(&format!("{own}-{instance}"))).unwrap();
    }
    let watchdogs = ["1", "2"].map(|instance| watchdog(&scene, &format!("crunch@{instance}.toml")).spawn());
    for instance in ["1", "2"] {
        let name = format!("{own}-{instance}");
        runs(&scene, &name);
        let given = scene.read(&format!("{name}.given"));
        let directory = scene.path("srv/crunch").display().to_string();
        for line in ["MODE=batch", &directory, "0027"] {
            assert!(given.lines().any(|it| it == line), "{line}: {given}");
        }
        let log = format!("log/crunch@{instance}.log");
        let said = [
            "max_fail_count 3",
            "restart_wait_interval 5s",
            "stop_signal USR1",
            "stop_timeout 10s",
            "unexpected",
        ];
        // The start comes before the records.
        let has_said = || said.iter().all(|said| scene.read(&log).contains(said));
        scene.wait_until("its settings are in the log", || has_said().then_some(()));
    }
    let ended = scene.say(&["stop", "crunch@1"]);
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert_eq!(named(&format!("{own}-1")), [0; 0]);
    let pid = runs(&scene, &format!("{own}-2"));
    for watchdog in &watchdogs {
        watchdog.terminate();
    }
    send(pid, SIGKILL);
}

#[test]
fn a_ramona_program_with_another_environment() {
    let scene = Scene::new();
    let (one, two) = (format!("{}-o", scene.name()), format!("{}-t", scene.name()));
    write(&scene, &[("one", &one), ("two", &two)]);
    for name in [&one, &two] {
        symlink(actor(), scene.path(name)).unwrap();
    }
    for (file, name, has, lacks) in
        [("one.toml", &one, "FOO=bar", "BAR=foo"), ("two.toml", &two, "BAR=foo", "FOO=bar")]
    {
        let watchdog = watchdog(&scene, file).spawn();
        let pid = runs(&scene, name);
        let given = scene.read(&format!("{name}.given"));
        assert!(given.lines().any(|it| it == has) && !given.lines().any(|it| it == lacks), "{given}");
        watchdog.terminate();
        send(pid, SIGKILL);
    }
}

#[test]
fn a_procrust_service_with_two_versions_and_a_dependency() {
    let scene = Scene::new();
    let (own, needed) = (format!("{}-s", scene.name()), format!("{}-n", scene.name()));
    let versions = ["1", "2"].map(|version| format!("{version}/{own}"));
    for version in &versions {
        fs::create_dir(scene.path(&version[..1])).unwrap();
        symlink(actor(), scene.path(version)).unwrap();
    }
    symlink(actor(), scene.path(&needed)).unwrap();
    write(
        &scene,
        &[
            ("1/service-a", &versions[0]),
            ("2/service-a", &versions[1]),
            ("service-a", &own),
            ("test-a", &needed),
        ],
    );
    let file = scene.read("SERVICE_A.toml");
    let due_in = |seconds: i64| {
        let date = Local::now() + TimeDelta::seconds(seconds);
        let new = file.replace("2027-04-01T08:00:00", &date.format("%Y-%m-%dT%H:%M:%S").to_string());
        assert_ne!(new, file);
        fs::write(scene.path("SERVICE_A.toml"), &new).unwrap();
        new
    };
    due_in(3600);
    let watchdog = |file| {
        watchdog(&scene, file).with("--restart-wait-interval", "0.5").with("--retry-after", "1").spawn()
    };
    let service = watchdog("SERVICE_A.toml");
    let log = |text: &str| {
        let log = || scene.read("log/SERVICE_A.log").contains(text).then_some(());
        scene.wait_until(text, log);
    };
    log("waiting for TEST_A (not seen since boot)");
    assert_eq!(named(&own), [0; 0]);
    let other = watchdog("TEST_A.toml");
    let first = runs(&scene, &own);
    log("attempt 1 succeeded");
    let given = |version: usize| scene.path(&format!("{}.given", versions[version])).exists();
    assert!(given(0) && !given(1));
    let due = due_in(1);
    service.send(SIGHUP);
    log("another version is due");
    let second = scene.wait_until("the second version runs", || {
        named(&own).into_iter().find(|pid| *pid != first && given(1))
    });
    scene.wait_until("it is judged", || {
        (scene.read("log/SERVICE_A.log").matches("succeeded").count() == 2).then_some(())
    });
    fs::remove_file(scene.path(&format!("{}.given", versions[0]))).unwrap();
    fs::write(scene.path("SERVICE_A.toml"), format!("{due}\nfake = true\n")).unwrap();
    service.send(SIGHUP);
    scene.wait_until("the first version runs again", || {
        named(&own).into_iter().find(|pid| *pid != second && given(0))
    });
    for watchdog in [service, other] {
        watchdog.terminate();
    }
    send(runs(&scene, &own), SIGKILL);
    send(runs(&scene, &needed), SIGKILL);
}
