//! The environment of tasks.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
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

/// Gives `command` the environment of a task.
pub fn complete(command: &mut Command) {
    command.env("PATH", complete_path(std::env::var_os("PATH").as_deref()));
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
}

/// `path` with the folders of the system's own commands, where they are missing: the PATH of start commands.
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
