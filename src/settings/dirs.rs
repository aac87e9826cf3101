//! The directories of a user's instances.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::input::cli::Cli;
use crate::settings::name::Name;

/// Where root's configurations are.
pub const SYSTEM_CONFIG: &str = "/etc/watchdog";

/// Who runs the program, as far as its places depend on it.
#[derive(Debug, Clone)]
pub struct User {
    /// The effective user.
    pub uid: u32,
    /// The home folder.
    pub home: PathBuf,
    /// `XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
}

impl User {
    /// Whoever runs this process.
    pub fn current() -> Self {
        let uid = nix::unistd::geteuid();
        let folder = |variable| {
            std::env::var_os(variable).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute())
        };
        let home = folder("HOME")
            .or_else(|| nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.dir))
            .unwrap_or_else(|| PathBuf::from("/"));
        User { uid: uid.as_raw(), home, xdg_state_home: folder("XDG_STATE_HOME") }
    }
}

impl User {
    /// Where the configurations of this user are.
    pub fn config_folder(&self) -> PathBuf {
        if self.uid == 0 { SYSTEM_CONFIG.into() } else { self.home.join(".config/watchdog") }
    }

    /// The folders where state, lock and pauses are and where logs are, unless the command line says
    /// otherwise.
    fn folders(&self) -> (PathBuf, PathBuf) {
        if self.uid == 0 {
            return (ROOTS_STATE.into(), "/var/log/watchdog".into());
        }
        let state = self.xdg_state_home.clone().unwrap_or_else(|| self.home.join(".local/state"));
        (state.join("watchdog"), state.join("watchdog"))
    }

    /// Where the state of this user's instances is, unless `given` says otherwise.
    pub fn state_folder(&self, given: Option<&OsString>) -> PathBuf {
        given.map_or_else(|| self.folders().0, PathBuf::from)
    }
}

/// Where the state of root's instances is, for all to see.
pub const ROOTS_STATE: &str = "/run/watchdog";

/// The folders of an instance. One place for each user, whatever started the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// Where its logs are.
    pub logs: PathBuf,
    /// Where its lock is.
    pub state: PathBuf,
}

impl Dirs {
    /// The places of `user`, but for what the command line says.
    pub fn new(user: &User, cli: &Cli) -> Self {
        let logs = cli.logs.log_dir.as_ref().map_or_else(|| user.folders().1, PathBuf::from);
        Dirs { logs, state: user.state_folder(cli.run.state_dir.as_ref()) }
    }

    /// The log of instance `name`.
    pub fn log(&self, name: &Name) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// The log of what its start commands write.
    pub fn output_log(&self, name: &Name) -> PathBuf {
        self.logs.join(format!("{name}.output.log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_user() {
        let user = |uid, xdg: Option<&str>| User {
            uid,
            home: "/home/a".into(),
            xdg_state_home: xdg.map(Into::into),
        };
        let places = |user: &User| Dirs::new(user, &Cli::default());
        assert_eq!(
            places(&user(0, None)),
            Dirs { logs: "/var/log/watchdog".into(), state: "/run/watchdog".into() }
        );
        let home = "/home/a/.local/state/watchdog";
        assert_eq!(places(&user(7, None)), Dirs { logs: home.into(), state: home.into() });
        assert_eq!(
            places(&user(7, Some("/x"))),
            Dirs { logs: "/x/watchdog".into(), state: "/x/watchdog".into() }
        );
    }
}
