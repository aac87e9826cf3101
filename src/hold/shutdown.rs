//! Whether the machine shuts down, as systemd says. It is asked when somebody may have stopped the process, and not
//! waited for.

use std::path::Path;
use std::process::Command;

use crate::hold::{Held, Hold};
use crate::task::{self, Task};

/// It is there where systemd runs (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";

/// What was asked, and what the last answer was.
#[derive(Debug, Default)]
pub struct Shutdown {
    systemctl: Option<Task>,
    is_under_way: bool,
}

impl Shutdown {
    /// Asks, where systemd runs.
    pub fn ask(&mut self) {
        if self.systemctl.is_none() && Path::new(SYSTEMD).is_dir() {
            self.run("systemctl");
        }
    }

    fn run(&mut self, systemctl: impl AsRef<Path>) {
        let mut command = Command::new(systemctl.as_ref());
        command.arg("is-system-running");
        self.systemctl = task::ask(command).ok();
    }

    /// Takes note of the answer, if it is there. One that nobody gives changes nothing.
    pub fn hear(&mut self) {
        match task::answer(&mut self.systemctl).as_deref().map(str::trim) {
            None | Some("" | "unknown") => {}
            Some(answer) => self.is_under_way = answer == "stopping",
        }
    }

    /// What was asked, while there is no answer.
    pub fn question(&mut self) -> Option<&mut Task> {
        self.systemctl.as_mut()
    }

    /// The hold, if the last answer was that. Then it is asked again, for the next time.
    pub fn hold(&mut self) -> Option<Held> {
        self.hear();
        if !self.is_under_way {
            return None;
        }
        self.ask();
        Some(Held::new(Hold::Shutdown, None))
    }

    /// The process runs, whatever was said before.
    pub fn forget(&mut self) {
        self.is_under_way = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What comes of an answer, after one that was `stopping`.
    fn after(shutdown: &mut Shutdown, script: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("systemctl");
        // Written by a process of its own: children of other tests may hold open what this one writes.
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0"; chmod +x "$0""#;
        assert!(Command::new("sh").args(["-c", write]).arg(&path).arg(script).status().unwrap().success());
        shutdown.run(&path);
        while shutdown.question().is_some() {
            std::thread::sleep(Duration::from_millis(5));
            shutdown.hear();
        }
        shutdown.is_under_way
    }

    #[test]
    fn it_is_under_way_from_one_answer_until_another() {
        let mut shutdown = Shutdown::default();
        for (script, is_under_way) in [
            ("echo degraded; exit 1", false),
            (r#"test "$*" = is-system-running && echo stopping; exit 1"#, true),
            ("echo Failed to connect to bus >&2; exit 1", true),
            ("echo unknown; exit 1", true),
            ("exec sleep 60", true),
            ("echo running", false),
            ("exec sleep 60", false),
        ] {
            assert_eq!(after(&mut shutdown, script), is_under_way, "{script}");
        }
        shutdown.run("/none/systemctl");
        assert!(shutdown.question().is_none() && shutdown.hold().is_none());
    }
}
