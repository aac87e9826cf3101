//! The directories of a user's instances.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::fs::{Trust, absolute};
use crate::settings::name::{Name, fnv};

/// Where root's configurations are.
pub const SYSTEM_CONFIG: &str = "/etc/watchdog";

/// Who runs the program and where, as far as its places depend on it.
#[derive(Debug, Clone, Default)]
pub struct User {
    /// The effective user.
    pub uid: u32,
    pub home: PathBuf,
    /// `XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// The machine, as a home that several share tells them apart.
    pub machine: String,
    /// The directory in which the program was started.
    pub cwd: PathBuf,
}

impl User {
    /// Whoever runs this process.
    pub fn current() -> Self {
        let uid = nix::unistd::geteuid();
        let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = folder("HOME")
            .or_else(|| nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.dir))
            .unwrap_or_else(|| PathBuf::from("/"));
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let xdg_state_home = folder("XDG_STATE_HOME");
        User { uid: uid.as_raw(), home, xdg_state_home, machine: machine(Path::new(MACHINE_ID)), cwd }
    }

    /// Whose directories and files the user's watchdogs work with.
    pub fn trust(&self) -> Trust {
        if self.uid == 0 { Trust::RootOnly } else { Trust::Anyone }
    }

    /// The path that the user means by `given`, from everywhere.
    pub fn path(&self, given: &OsStr) -> PathBuf {
        absolute(given, &self.home, &self.cwd)
    }

    /// Where the configurations of this user are.
    pub fn config_folder(&self) -> PathBuf {
        if self.uid == 0 { SYSTEM_CONFIG.into() } else { self.home.join(".config/watchdog") }
    }

    /// Where the configurations are that this user may mean.
    pub fn config_folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.config_folder(), SYSTEM_CONFIG.into()];
        folders.dedup();
        folders
    }

    /// Where the state of this user's instances is, unless `given` says otherwise.
    pub fn state_folder(&self, given: Option<&OsString>) -> PathBuf {
        given.map_or_else(|| Dirs::of(self).state, |given| self.path(given))
    }
}

/// Where a machine's id is (machine-id(5)).
const MACHINE_ID: &str = "/etc/machine-id";

/// What tells this machine from others: its id, of which there is no more to be seen than a number made of it; or its
/// name, where it has none, as containers do.
fn machine(id: &Path) -> String {
    let id = std::fs::read_to_string(id).unwrap_or_default();
    let name = rustix::system::uname();
    let machine = match id.trim() {
        "" | "uninitialized" => name.nodename().to_bytes(),
        id => id.as_bytes(),
    };
    format!("{:016x}", fnv(machine))
}

/// Where the state of root's instances is, for all to see.
pub const ROOTS_STATE: &str = "/run/watchdog";

/// The directories of an instance. One place for each user, whatever started the program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dirs {
    /// Where its logs are.
    pub logs: PathBuf,
    /// Where its state and lock are.
    pub state: PathBuf,
    /// Where they were before there was a place for each machine.
    pub old_state: Option<PathBuf>,
    /// The state is where it is looked for unless something else is said.
    pub is_usual: bool,
    /// Whose they are to be.
    pub trust: Trust,
}

impl Dirs {
    /// Those of `user`, unless something else is said.
    pub fn of(user: &User) -> Self {
        let common = Dirs { is_usual: true, trust: user.trust(), ..Dirs::default() };
        if user.uid == 0 {
            return Dirs { logs: "/var/log/watchdog".into(), state: ROOTS_STATE.into(), ..common };
        }
        let state = user.xdg_state_home.clone().unwrap_or_else(|| user.home.join(".local/state"));
        let logs = state.join("watchdog");
        Dirs { state: logs.join(&user.machine), old_state: Some(logs.clone()), logs, ..common }
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
    fn places_are_those_of_the_user_and_of_the_machine() {
        let user = |uid, xdg: Option<&str>| User {
            uid,
            home: "/home/a".into(),
            xdg_state_home: xdg.map(Into::into),
            machine: "m".into(),
            cwd: "/srv".into(),
        };
        for (user, logs, state) in [
            (user(0, None), "/var/log/watchdog", "/run/watchdog"),
            (user(7, None), "/home/a/.local/state/watchdog", "/home/a/.local/state/watchdog/m"),
            (user(7, Some("/x")), "/x/watchdog", "/x/watchdog/m"),
        ] {
            let dirs = Dirs::of(&user);
            assert_eq!((dirs.logs, dirs.state), (logs.into(), state.into()));
            assert!(dirs.old_state.is_none_or(|old| old == Path::new(logs)));
            let given = |given: &str| user.state_folder(Some(&given.into()));
            assert_eq!((given("kept"), given("~/kept")), ("/srv/kept".into(), "/home/a/kept".into()));
        }
    }

    #[test]
    fn a_machine_is_told_by_its_id_and_does_not_tell_that() {
        let folder = tempfile::tempdir().unwrap();
        let of = |text: &str| {
            let id = folder.path().join("id");
            std::fs::write(&id, text).unwrap();
            machine(&id)
        };
        let (one, other) =
            (of("11111111111111111111111111111111\n"), of("22222222222222222222222222222222\n"));
        assert!(one != other && one.len() == 16);
        // By its name, then.
        assert_eq!(of("\n"), machine(&folder.path().join("none")));
        assert_eq!(of("uninitialized\n"), of(""));
    }
}
