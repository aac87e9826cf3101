//! The configurations of docs/coming-from.md do what those of the other programs did.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::signal::Signal::SIGKILL;

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
        let log = scene.read(&format!("log/crunch@{instance}.log"));
        for said in [
            "max_fail_count 3",
            "restart_wait_interval 5s",
            "stop_signal USR1",
            "stop_timeout 10s",
            "unexpected",
        ] {
            assert!(log.contains(said), "{said}: {log}");
        }
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
