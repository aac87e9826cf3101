//! Who tasks run as, which their environment is to say: cron and a system unit say little of it.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::fs::read_file;
use crate::task::environment::{self, OF_A_LOGIN, complete_path};
use crate::task::{Output, Task};
use crate::time::Time;

/// How long the user database may take. It may be somewhere on the network.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the environment of tasks lacks of the user.
#[derive(Debug)]
pub struct Login {
    added: Vec<(&'static str, OsString)>,
    getent: Option<Task>,
}

impl Login {
    /// Looks the user up, as far as the environment does not say it.
    pub fn look_up(now: Time) -> Self {
        let uid = nix::unistd::geteuid().as_raw();
        let get = |name: &str| std::env::var_os(name);
        let added = environment::of_a_session(&format!("/run/user/{uid}"), uid, get);
        let mut login = Login { added, getent: None };
        if OF_A_LOGIN.into_iter().all(|(name, _)| get(name).is_some()) {
            return login;
        }
        let users = read_file(Path::new("/etc/passwd")).unwrap_or_default();
        let is_it = |line: &&str| line.split(':').nth(2) == Some(&uid.to_string());
        if let Some(line) = users.lines().find(is_it) {
            login.add(line);
        } else {
            let mut getent = Command::new("getent");
            getent.args(["passwd", &uid.to_string()]);
            environment::complete(&mut getent);
            login.getent = Task::run(getent, Output::Captured, Some(PATIENCE), now, || ()).ok();
        }
        login
    }

    fn add(&mut self, line: &str) {
        self.added.extend(environment::of_a_login(line, |name| std::env::var_os(name).is_some()));
    }

    /// What was asked, while there is no answer.
    pub fn question(&mut self) -> Option<&mut Task> {
        self.getent.as_mut()
    }

    /// Whether all is known that can be.
    pub fn is_known(&mut self, now: Time) -> bool {
        let answer =
            self.getent.as_mut().and_then(|getent| getent.ended(now, |_| false).map(|_| getent.output()));
        if let Some(answer) = answer {
            self.getent = None;
            self.add(answer.lines().next().unwrap_or_default());
        }
        self.getent.is_none()
    }

    /// What is added to the environment of tasks.
    pub fn added(&self) -> &[(&'static str, OsString)] {
        &self.added
    }

    /// All that tasks have and this program has not, or has otherwise.
    pub fn completed(mut self, now: Time) -> Vec<(&'static str, OsString)> {
        self.getent.as_mut().and_then(Task::wait);
        self.is_known(now);
        let path = std::env::var_os("PATH");
        let complete =
            Some(complete_path(path.as_deref())).filter(|complete| Some(complete) != path.as_ref());
        self.added.extend(complete.map(|path| ("PATH", path)));
        self.added
    }
}
