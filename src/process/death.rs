//! How a process died, and what may take its place.

use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::stat::{Stat, tick};
use super::{Kind, Pid, Seen};
use crate::policy::{Ending, Time};
use crate::sys;

/// How a process ended: in the form of wait(2), if anybody could tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death(pub Option<ExitStatus>);

/// An answer that may not be there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// This is how it ended.
    Now(Death),
    /// The kernel will tell once the process's parent has waited for it.
    AfterReap,
}

/// Asks the kernel how the process behind `pidfd` ended; `last_line` is its stat, if it is a zombie.
#[must_use]
pub fn ask(pidfd: Option<impl AsFd>, last_line: Option<&[u8]>) -> Told {
    // A zombie's stat says how it ended, to those who may trace it; to others it says 0, so that 0 says
    // nothing.
    let from_zombie = || {
        last_line
            .and_then(Stat::parse)
            .filter(Stat::is_dead)
            .map(|stat| stat.exit_code)
            .filter(|code| *code != 0)
    };
    let told = match pidfd.map_or(sys::PidfdExit::Unsupported, |pidfd| sys::pidfd_exit(pidfd.as_fd())) {
        sys::PidfdExit::Status(status) => Some(status),
        sys::PidfdExit::NotReaped => match from_zombie() {
            Some(status) => Some(status),
            None => return Told::AfterReap,
        },
        sys::PidfdExit::Unsupported => from_zombie(),
    };
    Told::Now(Death(told.map(ExitStatus::from_raw)))
}

impl Death {
    /// What it means for the decision.
    #[must_use]
    pub fn ending(self) -> Ending {
        match self.0.map(|status| (status.code(), status.signal())) {
            None => Ending::Unknown,
            Some((Some(0), _)) => Ending::Finished,
            Some((_, Some(libc::SIGTERM | libc::SIGINT | libc::SIGHUP))) => Ending::Stopped,
            Some((_, Some(libc::SIGKILL))) => Ending::Killed,
            Some(_) => Ending::Crashed,
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(status) = self.0 else {
            return f.write_str("died, and nothing here tells how");
        };
        let Some(signal) = status.signal() else {
            return write!(f, "exited with status {}", status.code().unwrap_or_default());
        };
        let verb = match self.ending() {
            Ending::Stopped => "was stopped",
            Ending::Killed => "was killed",
            _ => "crashed",
        };
        write!(
            f,
            "{verb} ({}{})",
            signal_name(signal),
            if status.core_dumped() { ", core dumped" } else { "" }
        )
    }
}

/// A signal's name, such as `SIGTERM`.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}

/// A process that is gone, by what is needed to tell what takes its place from what it left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Its number.
    pub pid: Pid,
    /// What started then or later counts.
    pub since: Time,
    /// What is of this kind counts, whenever it started.
    pub kind: Kind,
}

impl Gone {
    /// Whether a process that matches counts now, and is not a left-over.
    #[must_use]
    pub fn lets_count(&self, seen: &Seen) -> bool {
        // A start is only known to the tick.
        seen.started + tick() > self.since || (seen.kind == self.kind && !self.kind.argument.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_death_is_said_and_weighed() {
        for (raw, said, ending) in [
            (Some(0), "exited with status 0", Ending::Finished),
            (Some(3 << 8), "exited with status 3", Ending::Crashed),
            (Some(15), "was stopped (SIGTERM)", Ending::Stopped),
            (Some(2), "was stopped (SIGINT)", Ending::Stopped),
            (Some(1), "was stopped (SIGHUP)", Ending::Stopped),
            (Some(9), "was killed (SIGKILL)", Ending::Killed),
            (Some(11), "crashed (SIGSEGV)", Ending::Crashed),
            (Some(0x80 + 11), "crashed (SIGSEGV, core dumped)", Ending::Crashed),
            (Some(40), "crashed (signal 40)", Ending::Crashed),
            (None, "died, and nothing here tells how", Ending::Unknown),
        ] {
            let death = Death(raw.map(ExitStatus::from_raw));
            assert_eq!((death.to_string().as_str(), death.ending()), (said, ending));
        }
    }

    #[test]
    fn a_left_over_is_older_and_of_another_kind() {
        let at = Duration::from_secs(100);
        let gone = Gone { pid: 7, since: at, kind: Kind::new(0, b"nginx: master process\0") };
        let seen = |started, user, line: &[u8]| Seen {
            pid: 8,
            name: "nginx".into(),
            started,
            has_terminal: false,
            parent: 1,
            command_line: String::new(),
            kind: Kind::new(user, line),
        };
        let before = Duration::from_secs(95);
        assert!(!gone.lets_count(&seen(before, 33, b"nginx: worker process\0")));
        assert!(!gone.lets_count(&seen(before, 0, b"nginx: worker process\0")));
        assert!(!gone.lets_count(&seen(before, 33, b"nginx: master process\0")));
        assert!(gone.lets_count(&seen(before, 0, b"nginx: master process\0")));
        assert!(gone.lets_count(&seen(at, 33, b"nginx: worker process\0")));
        assert!(gone.lets_count(&seen(Duration::from_millis(99_991), 33, b"nginx: worker process\0")));
    }

    #[test]
    fn digits_make_no_other_kind() {
        assert_eq!(Kind::new(0, b"/opt/app-1.2/bin/app\0-x"), Kind::new(0, b"/opt/app-1.34/bin/app\0-y"));
        assert_ne!(Kind::new(0, b"/opt/app/bin/app\0"), Kind::new(1, b"/opt/app/bin/app\0"));
    }
}
