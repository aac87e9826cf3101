//! The directories of a user's instances.

use std::ffi::OsString;
use std::path::PathBuf;

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

    /// Where the configurations of this user are.
    pub fn config_folder(&self) -> PathBuf {
        if self.uid == 0 { SYSTEM_CONFIG.into() } else { self.home.join(".config/watchdog") }
    }

    /// Where the state of this user's instances is, unless `given` says otherwise.
    pub fn state_folder(&self, given: Option<&OsString>) -> PathBuf {
        given.map_or_else(|| Dirs::of(self).state, PathBuf::from)
    }
}

/// Where the state of root's instances is, for all to see.
pub const ROOTS_STATE: &str = "/run/watchdog";

/// The folders of an instance. One place for each user, whatever started the program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dirs {
    /// Where its logs are.
    pub logs: PathBuf,
    /// Where its state and lock are.
    pub state: PathBuf,
    /// The state is where it is looked for unless something else is said.
    pub is_usual: bool,
}

impl Dirs {
    /// Those of `user`, unless something else is said.
    pub fn of(user: &User) -> Self {
        if user.uid == 0 {
            return Dirs { logs: "/var/log/watchdog".into(), state: ROOTS_STATE.into(), is_usual: true };
        }
        let state = user.xdg_state_home.clone().unwrap_or_else(|| user.home.join(".local/state"));
        let both = state.join("watchdog");
        Dirs { logs: both.clone(), state: both, is_usual: true }
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
        for (user, logs, state) in [
            (user(0, None), "/var/log/watchdog", "/run/watchdog"),
            (user(7, None), "/home/a/.local/state/watchdog", "/home/a/.local/state/watchdog"),
            (user(7, Some("/x")), "/x/watchdog", "/x/watchdog"),
        ] {
            let dirs = Dirs { logs: logs.into(), state: state.into(), is_usual: true };
            assert_eq!(Dirs::of(&user), dirs);
        }
    }
}
