//! The environment of tasks.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// What an init script, `service` and `systemctl` need to be found; cron's PATH has none of it.
const SYSTEM_PATH: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The PATH where there is none: the one that login(1) gives root.
const FULL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the service manager says to the watchdog alone (`systemd.exec(5)`, `sd_notify(3)`,
/// `sd_listen_fds(3)`).
/// A daemon that took it for its own would answer in the watchdog's name.
pub const NOT_INHERITED: [&str; 16] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "CACHE_DIRECTORY",
    "LOGS_DIRECTORY",
    "CONFIGURATION_DIRECTORY",
    "CREDENTIALS_DIRECTORY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
];

/// What a login would have set from the user database (passwd(5)): each variable, and its field of a line.
pub const OF_A_LOGIN: [(&str, usize); 4] = [("HOME", 5), ("USER", 0), ("LOGNAME", 0), ("SHELL", 6)];

/// What leads to a user's own services.
const SESSION: &str = "XDG_RUNTIME_DIR";
const BUS: &str = "DBUS_SESSION_BUS_ADDRESS";

/// What is of one user and wrong for another.
pub const OF_A_USER: [&str; 6] = ["HOME", "USER", "LOGNAME", "SHELL", SESSION, BUS];

/// The variables of a login that are not set, from the user's `line` of the user database.
pub fn of_a_login(line: &str, is_set: impl Fn(&str) -> bool) -> Vec<(&'static str, OsString)> {
    let fields: Vec<_> = line.trim_end().split(':').collect();
    let known = |(name, field): (&'static str, usize)| Some((name, *fields.get(field)?));
    let known = OF_A_LOGIN.into_iter().filter_map(known);
    let missing = known.filter(|(name, value)| !is_set(name) && !value.is_empty());
    missing.map(|(name, value)| (name, value.into())).collect()
}

/// The variables that lead to an ordinary user's own services, and are not set, where `folder` is the one that
/// they have their sockets in.
pub fn of_a_session(
    folder: &str,
    uid: u32,
    get: impl Fn(&str) -> Option<OsString>,
) -> Vec<(&'static str, OsString)> {
    // Root has the system's. A directory of somebody else would be his to answer for.
    let is_own = |path: &Path| path.symlink_metadata().is_ok_and(|it| it.is_dir() && it.uid() == uid);
    let is_other = get(SESSION).is_some_and(|given| given != folder);
    if uid == 0 || is_other || !is_own(Path::new(folder)) {
        return Vec::new();
    }
    let all = [(SESSION, folder.into()), (BUS, format!("unix:path={folder}/bus").into())];
    all.into_iter().filter(|(name, _)| get(name).is_none()).collect()
}

/// Gives `command` the environment of a task.
pub fn complete(command: &mut Command) {
    command.env("PATH", complete_path(std::env::var_os("PATH").as_deref()));
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
}

/// `path` with the directories of the system's own commands, where they are missing: the PATH of start commands.
pub fn complete_path(path: Option<&OsStr>) -> OsString {
    let Some(path) = path.filter(|path| !path.is_empty()) else {
        return FULL_PATH.into();
    };
    let mut complete = path.to_owned();
    for folder in SYSTEM_PATH {
        if !path.as_bytes().split(|byte| *byte == b':').any(|part| part == folder.as_bytes()) {
            complete.push(":");
            complete.push(folder);
        }
    }
    complete
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_login_would_have_set_is_set_unless_it_is() {
        let line = "alice:x:7:7:Alice,,,:/home/alice:/bin/zsh\n";
        let all = |line, set: &[&str]| {
            let added = of_a_login(line, |name| set.contains(&name));
            let added = added.iter().map(|(name, value)| format!("{name}={} ", value.to_str().unwrap()));
            added.collect::<String>()
        };
        assert_eq!(all(line, &[]), "HOME=/home/alice USER=alice LOGNAME=alice SHELL=/bin/zsh ");
        assert_eq!(all(line, &["HOME", "USER"]), "LOGNAME=alice SHELL=/bin/zsh ");
        assert_eq!(all("bob:x:8:8:::", &[]), "USER=bob LOGNAME=bob ");
        assert_eq!(all("", &[]), "");
    }

    #[test]
    fn a_session_is_the_users_own() {
        let folder = tempfile::tempdir().unwrap();
        let (path, uid) = (folder.path().to_str().unwrap(), folder.path().metadata().unwrap().uid());
        let names = |path: &str, user, given: &[(&str, &str)]| {
            let get = |name: &str| Some(given.iter().find(|(given, _)| *given == name)?.1.into());
            of_a_session(path, user, get).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        // Root's own is none.
        let own = if uid == 0 { 7 } else { uid };
        let is_own = uid == own;
        assert_eq!(names(path, own, &[]).len(), if is_own { 2 } else { 0 });
        assert_eq!(names(path, own, &[("XDG_RUNTIME_DIR", path)]).len(), usize::from(is_own));
        assert!(names(path, own, &[("XDG_RUNTIME_DIR", "/x")]).is_empty());
        assert!(names(path, 0, &[]).is_empty() && names("/nowhere", own, &[]).is_empty());
    }

    #[test]
    fn the_path_is_completed_and_never_reordered() {
        for (path, expected) in [
            (None, FULL_PATH),
            (Some(""), FULL_PATH),
            (Some("/usr/bin:/bin"), "/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
            (Some("/sbin:/opt/x"), "/sbin:/opt/x:/usr/local/sbin:/usr/sbin"),
            (Some(FULL_PATH), FULL_PATH),
        ] {
            assert_eq!(complete_path(path.map(OsStr::new)), expected);
        }
    }
}
