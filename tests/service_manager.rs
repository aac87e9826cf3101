//! What a service manager is told, over a socket such as it has (`sd_notify(3)`).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGHUP, SIGKILL};
use regex_lite::Regex;

use crate::harness::{Captured, Invocation, Scene, Watchdog};
use crate::machine::send;

/// The service manager's end, and what came to it.
pub struct Manager<'a> {
    scene: &'a Scene,
    socket: UnixDatagram,
    messages: Vec<(Instant, String)>,
}

impl<'a> Manager<'a> {
    pub fn new(scene: &'a Scene) -> Self {
        Self::at(scene, UnixDatagram::bind(scene.path("notify")).unwrap())
    }

    fn at(scene: &'a Scene, socket: UnixDatagram) -> Self {
        socket.set_nonblocking(true).unwrap();
        Manager { scene, socket, messages: Vec::new() }
    }

    /// Starts a watchdog that is told of this socket.
    pub fn start(&self, watchdog: Invocation<'a>, prepare: impl FnOnce(&mut Command)) -> Watchdog<'a> {
        let mut command = watchdog.command();
        command.env("NOTIFY_SOCKET", self.scene.path("notify"));
        command.env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        prepare(&mut command);
        self.scene.spawn(command, Captured::All)
    }

    pub fn read(&mut self) {
        let mut message = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut message) {
            self.messages.push((Instant::now(), String::from_utf8(message[..length].to_vec()).unwrap()));
        }
    }

    /// The first message from number `from` on that matches, by its number.
    #[track_caller]
    pub fn wait_for(&mut self, from: usize, pattern: &str) -> usize {
        let regex = Regex::new(&format!("(?m){pattern}")).unwrap();
        let scene = self.scene;
        scene.wait_until(&format!("a message with /{pattern}/"), || {
            self.read();
            self.messages.iter().skip(from).position(|(_, text)| regex.is_match(text)).map(|at| from + at)
        })
    }

    /// When signs of life came.
    pub fn signs_of_life(&self) -> Vec<Instant> {
        let alive = |text: &str| text.lines().any(|line| line == "WATCHDOG=1");
        self.messages.iter().filter(|(_, text)| alive(text)).map(|(at, _)| *at).collect()
    }
}

#[test]
fn it_is_ready_once_it_has_looked() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let mut manager = Manager::new(&scene);
    let _watchdog = manager.start(scene.watchdog(), |_| {});
    manager.wait_for(0, "^READY=1$");
    // One message has both, and what was seen was written to the log before.
    let (name, first) = (scene.name(), &manager.messages[0].1);
    assert!(
        first.starts_with(&format!("READY=1\nSTATUS=running: {name} (pid {pid}) since 2")),
        "{:?}",
        manager.messages
    );
    assert_eq!(scene.count(&format!("following .*pid {pid}")), 1);
}

/// It is ready although the process is missing: the start is what it is for.
#[test]
fn it_is_ready_before_the_process_is() {
    let scene = Scene::new();
    let mut manager = Manager::new(&scene);
    let _watchdog =
        manager.start(scene.watchdog().starting("sleep 250").with("--start-timeout", "200"), |_| {});
    manager.wait_for(0, "^READY=1$");
    scene.wait_for("nothing matches");
    assert!(scene.all().is_empty());
    manager.wait_for(0, "^STATUS=not running since [^;]*; start command running$");
}

/// Whatever it waits for, and however long that is.
#[test]
fn signs_of_life_come_in_time() {
    const ASKED: Duration = Duration::from_millis(1500);
    for (part, start_command) in [(Some("sleep"), ""), (None, "sleep 250")] {
        let scene = Scene::new();
        if let Some(part) = part {
            scene.start_actor(&[part]);
        }
        let mut manager = Manager::new(&scene);
        let invocation = scene
            .watchdog()
            .with("--health-check-interval", "200s")
            .with("--restart-wait-interval", "200s")
            .starting(start_command);
        let watchdog = manager.start(invocation, |command| {
            command.env("WATCHDOG_USEC", ASKED.as_micros().to_string());
        });
        scene.wait_until("eight signs of life", || {
            manager.read();
            (manager.signs_of_life().len() >= 8).then_some(())
        });
        let late = manager.signs_of_life().windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(late < ASKED, "{late:?}");
        // No busy loop either.
        let signs = manager.signs_of_life();
        assert!(signs[7] - signs[0] > ASKED, "{signs:?}");
        watchdog.terminate();
    }
}

#[test]
fn no_sign_of_life_unless_it_is_asked_for() {
    for (usec, pid) in [(None, None), (Some("300000"), Some("1")), (Some("0"), None), (Some("often"), None)] {
        let scene = Scene::new();
        let mut manager = Manager::new(&scene);
        let watchdog = manager.start(scene.watchdog(), |command| {
            command.envs(usec.map(|usec| ("WATCHDOG_USEC", usec)));
            command.envs(pid.map(|pid| ("WATCHDOG_PID", pid)));
        });
        scene.wait_for("succeeded");
        watchdog.wait_checks(10);
        watchdog.terminate();
        manager.wait_for(0, "^STOPPING=1$");
        assert!(manager.signs_of_life().is_empty(), "{usec:?} {pid:?}: {:?}", manager.messages);
    }
}

#[test]
fn the_status_is_told_as_it_changes_and_not_else() {
    let scene = Scene::new();
    let mut manager = Manager::new(&scene);
    let watchdog = manager.start(scene.watchdog(), |_| {});
    let first = scene.wait_running();
    let at = manager.wait_for(0, &format!(r"^STATUS=running: {} \(pid {first}\) since [^;]*$", scene.name()));
    scene.wait_for("succeeded");
    watchdog.wait_checks(10);
    manager.read();
    let before = manager.messages.len();
    assert_eq!(before, at + 1, "{:?}", manager.messages);
    send(first, SIGKILL);
    let missing = manager.wait_for(before, "^STATUS=not running since [^;]*$");
    let second = scene.wait_replaced(first);
    manager
        .wait_for(missing + 1, &format!(r"^STATUS=running: {} \(pid {second}\) since [^;]*$", scene.name()));
}

#[test]
fn the_status_says_why_nothing_is_started() {
    let scene = Scene::new();
    let mut manager = Manager::new(&scene);
    let invocation =
        scene.watchdog().with("--max-fail-count", "2").with("--retry-after", "1h").starting("false");
    let watchdog = manager.start(invocation, |_| {});
    manager.wait_for(0, "^STATUS=not running since [^;]*; failures: 1 of 2$");
    manager.wait_for(0, "^STATUS=not running since [^;]*; failures: 2 of 2; gave up, retry at 2[^;]*$");
    watchdog.terminate();
    manager.wait_for(
        0,
        "^STOPPING=1\nSTATUS=no longer watched; last state: not running since [^;]*; failures: 2 of 2; gave up$",
    );

    let scene = Scene::new();
    let mut manager = Manager::new(&scene);
    assert_eq!(scene.start_actor(&["sleep"]), scene.wait_running());
    let watchdog = manager.start(scene.watchdog(), |_| {});
    manager.wait_for(0, "^STATUS=running");
    assert_eq!(scene.say(&["pause", scene.name(), "--for", "1h"]).code(), Some(0));
    send(scene.wait_running(), SIGKILL);
    manager.wait_for(0, "^STATUS=not running since [^;]*; paused until 2[^;]*$");
    assert_eq!(scene.say(&["resume", scene.name()]).code(), Some(0));
    manager.wait_for(0, &format!(r"^STATUS=running: {} ", scene.name()));
    watchdog.terminate();
}

#[test]
fn a_reload_is_told_from_beginning_to_end() {
    let scene = Scene::new();
    let mut manager = Manager::new(&scene);
    let watchdog = manager.start(scene.watchdog(), |_| {});
    scene.wait_for("succeeded");
    manager.read();
    let before = manager.messages.len();
    watchdog.send(SIGHUP);
    let begins = manager.wait_for(before, "^RELOADING=1\nMONOTONIC_USEC=[0-9]+$");
    let ends = manager.wait_for(before, "^READY=1$");
    assert_eq!((begins, ends), (before, before + 1), "{:?}", manager.messages);
    assert_eq!(scene.count("configuration reloaded: "), 1);
}

#[test]
fn the_end_is_told() {
    let scene = Scene::new();
    let mut manager = Manager::new(&scene);
    let watchdog = manager.start(scene.watchdog(), |_| {});
    scene.wait_for("succeeded");
    watchdog.terminate();
    let last = manager.wait_for(0, "^STOPPING=1$");
    assert_eq!(last, manager.messages.len() - 1, "{:?}", manager.messages);
}

/// As containers have it (`@` stands for the zero byte in front).
#[test]
fn an_abstract_address_will_do() {
    let scene = Scene::new();
    let address = SocketAddr::from_abstract_name(scene.name()).unwrap();
    let mut manager = Manager::at(&scene, UnixDatagram::bind_addr(&address).unwrap());
    let _watchdog = manager.start(scene.watchdog(), |command| {
        command.env("NOTIFY_SOCKET", format!("@{}", scene.name()));
    });
    manager.wait_for(0, "^READY=1$");
}

#[test]
fn a_service_manager_that_does_not_read_delays_nothing() {
    let scene = Scene::new();
    let mut manager = Manager::new(&scene);
    // Nothing more goes in.
    let stuff = UnixDatagram::unbound().unwrap();
    stuff.set_nonblocking(true).unwrap();
    while stuff.send_to(b"X_STUFF=1", scene.path("notify")).is_ok() {}
    let watchdog = manager.start(scene.watchdog(), |command| {
        command.env("WATCHDOG_USEC", "300000");
    });
    scene.wait_for("succeeded");
    scene.assert_watched();
    watchdog.send(SIGHUP);
    scene.wait_for("configuration (not )?reloaded");
    // What matters is told when it reads again.
    manager.wait_for(0, "^READY=1\nSTATUS=(starting|running): ");
    watchdog.terminate();
}

#[test]
fn a_service_manager_that_is_not_there_is_no_reason_to_stop() {
    for address in ["/nowhere/at/all", "notify", "@", "", "vsock:2:1", "/"] {
        let scene = Scene::new();
        let mut command = scene.watchdog().command();
        command.env("NOTIFY_SOCKET", address).env("WATCHDOG_USEC", "300000");
        let watchdog = scene.spawn(command, Captured::All);
        scene.wait_for("succeeded");
        scene.assert_watched();
        watchdog.terminate();
    }
}

/// One that has gone and come back, as where a service manager was begun anew.
#[test]
fn what_could_not_be_said_is_said_later() {
    let scene = Scene::new();
    let mut command = scene.watchdog().with("--health-check-interval", "200s").command();
    command.env("NOTIFY_SOCKET", scene.path("notify"));
    let _watchdog = scene.spawn(command, Captured::All);
    scene.wait_for("not running; starting it");
    let mut manager = Manager::new(&scene);
    manager.wait_for(0, "^READY=1$");
}

/// It may be a small part of a service that is ready, alive and done at other times.
#[test]
fn once_says_nothing() {
    let scene = Scene::new();
    let mut manager = Manager::new(&scene);
    let watchdog = manager.start(scene.watchdog().flag("--once"), |command| {
        command.env("WATCHDOG_USEC", "300000");
    });
    let ended = watchdog.ends();
    assert_eq!(ended.code(), Some(0), "{ended}");
    manager.read();
    assert!(manager.messages.is_empty(), "{:?}", manager.messages);
}
