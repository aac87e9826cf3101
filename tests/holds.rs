//! Each hold (rule 50) against what may come in its way: requests, and runs with `--once`.

use std::{fs, thread};

use nix::sys::signal::Signal::SIGKILL;

use crate::harness::{Invocation, Scene};
use crate::machine::send;
use crate::schedule::{START, closed, line, status, version};

/// What holds it: lines of its file, and what somebody says.
struct Hold {
    name: &'static str,
    lines: String,
    says: &'static [&'static str],
}

impl Hold {
    fn all() -> [Hold; 7] {
        let said = |name, says| Hold { name, lines: START.to_owned(), says };
        let file = |name, lines| Hold { name, lines, says: &[] };
        [
            said("paused", &["pause"]),
            said("stopped", &["stop"]),
            said("upgrading", &["pause", "--upgrade", "--for", "1h"]),
            file("hours", format!("{START}{}", closed())),
            file("dependency", format!("{START}depends_on = 'other'\n")),
            file("version", version("one", 3600, "")),
            file("finished", format!("{START}autorestart = 'never'\n")),
        ]
    }

    fn line<'a>(&self, scene: &'a Scene) -> Invocation<'a> {
        fs::write(scene.path("other.toml"), "").unwrap();
        line(scene, &self.lines)
    }

    /// The process that runs is gone, and held.
    fn hold(&self, scene: &Scene, pid: i32) {
        if !self.says.is_empty() {
            // An upgrade is of all.
            let names = if self.name == "upgrading" { vec![] } else { vec![scene.name()] };
            let ended = scene.say(&[self.says, &names].concat());
            assert_eq!(ended.code(), Some(0), "{}: {ended}", self.name);
        }
        if scene.all().contains(&pid) {
            send(pid, SIGKILL);
        }
        scene.wait_gone(pid);
    }
}

#[test]
fn a_start_and_a_restart_against_each_hold() {
    thread::scope(|scope| {
        for hold in Hold::all() {
            scope.spawn(move || ["start", "restart"].map(|request| is_asked_for(&hold, request)));
        }
    });
}

fn is_asked_for(hold: &Hold, request: &str) {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let watchdog = hold.line(&scene).spawn();
    scene.wait_for("following");
    hold.hold(&scene, pid);
    scene.wait_until(hold.name, || (status(&scene)["hold"] == hold.name).then_some(()));
    watchdog.wait_checks(5);
    assert_eq!(scene.starts(), 0, "{}\n{}", hold.name, scene.story());
    let said = scene.say(&[request, scene.name()]);
    if hold.name == "version" {
        assert!(said.stderr.contains("waiting for the date of its first version"), "{said}");
        assert_eq!((said.code(), scene.starts()), (Some(1), 0), "{said}\n{}", scene.story());
    } else {
        assert_eq!(said.code(), Some(0), "{request} while {}: {said}\n{}", hold.name, scene.story());
        scene.wait_running();
        assert_eq!(scene.starts(), 1, "{}", scene.story());
    }
    watchdog.terminate();
}

/// As from cron each minute.
#[test]
fn each_run_with_once_under_a_hold_is_status_5_and_says_so_once_at_most() {
    for hold in Hold::all() {
        // That needs a watch that sees the end.
        if hold.name == "finished" {
            continue;
        }
        let scene = Scene::new();
        let pid = scene.start_actor(&["sleep"]);
        let once = hold.line(&scene).flag("--once");
        assert_eq!(once.clone().run().code(), Some(0));
        hold.hold(&scene, pid);
        for _ in 0..3 {
            let ended = once.clone().run();
            assert_eq!((ended.code(), &*ended.stderr), (Some(5), ""), "{}: {ended}", hold.name);
        }
        let said = usize::from(hold.name != "stopped");
        assert_eq!((scene.starts(), scene.count("not running; ")), (0, said), "{}", scene.story());
        // Somebody who looks is told why.
        let (mut terminal, run) = once.in_terminal();
        assert_eq!(run.ends().code(), Some(5));
        let why = match hold.name {
            "paused" | "upgrading" => "is not running, and paused; to end the pause: ",
            "stopped" => "is not running; stopped; to start it: ",
            "hours" => "is not running; outside its hours until 2",
            "dependency" => "is not running; waiting for other (not seen since boot) until 2",
            _ => "is not running; waiting for the date of its first version until 2",
        };
        assert!(terminal.transcript().contains(why), "{why}: {}", terminal.transcript());
    }
}
