//! How a process died, and what may take its place.

use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::oom::OutOfMemory;
use super::stat::{Stat, tick};
use super::{Kind, Pid, Seen};
use crate::policy::{Ending, Time};
use crate::sys;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// So.
    Ended(ExitStatus),
    /// Its parent has not waited for it, and only then the kernel tells.
    NotWaitedFor,
    /// This kernel does not tell, or not us; or nobody was there to see it.
    Untold,
}

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
    let from_zombie = || last_line.and_then(Stat::parse).and_then(|stat| stat.exit_code());
    let told = match pidfd.map_or(sys::PidfdExit::Unsupported, |pidfd| sys::pidfd_exit(pidfd.as_fd())) {
        sys::PidfdExit::Status(status) => Some(status),
        sys::PidfdExit::NotReaped => match from_zombie() {
            Some(status) => Some(status),
            None => return Told::AfterReap,
        },
        sys::PidfdExit::Unsupported => from_zombie(),
    };
    Told::Now(told.map_or(Death::Untold, |status| Death::Ended(ExitStatus::from_raw(status))))
}

impl Death {
    /// What it means for the decision, as far as the status tells.
    #[must_use]
    pub fn ending(self) -> Ending {
        let Death::Ended(status) = self else { return Ending::Unknown };
        match (status.code(), status.signal()) {
            (Some(0), _) => Ending::Finished,
            (_, Some(libc::SIGTERM | libc::SIGINT | libc::SIGHUP)) => Ending::Stopped,
            (_, Some(libc::SIGKILL)) => Ending::Killed,
            _ => Ending::Crashed,
        }
    }

    /// Whether what the OOM killer did is worth telling with this end: what it did to the control group
    /// always is, what it did elsewhere only where the end may be its work.
    #[must_use]
    pub fn may_come_of(self, out_of_memory: OutOfMemory) -> bool {
        match out_of_memory {
            OutOfMemory::Group(_) => true,
            OutOfMemory::Machine(_) => matches!(self.ending(), Ending::Killed | Ending::Unknown),
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Death::Ended(status) = self else { return f.write_str("died") };
        let Some(signal) = status.signal() else {
            return write!(f, "exited with status {}", status.code().unwrap_or_default());
        };
        let name = signal_name(signal);
        match self.ending() {
            Ending::Stopped => write!(f, "was stopped by {name}"),
            Ending::Killed => write!(f, "was killed by {name}"),
            _ if status.core_dumped() => write!(f, "crashed ({name}, core dumped)"),
            _ if DUMPING.contains(&signal) => write!(f, "crashed ({name}, no core dumped)"),
            _ => write!(f, "crashed ({name})"),
        }
    }
}

/// The signals that dump core, unless they are told not to (signal(7)).
const DUMPING: [i32; 10] = [
    libc::SIGQUIT,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGSYS,
];

/// The end of a process, with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Its number.
    pub pid: Pid,
    /// Its name, printable.
    pub name: String,
    /// When it started.
    pub started: Time,
    /// When it died, or was found dead.
    pub at: Time,
    /// How it ended.
    pub death: Death,
    /// Its resident memory at the last check, in bytes.
    pub memory: Option<u64>,
    /// What the kernel's OOM killer did meanwhile.
    pub out_of_memory: Option<OutOfMemory>,
}

impl End {
    /// How long it ran.
    #[must_use]
    pub fn ran(&self) -> Duration {
        self.at.saturating_sub(self.started)
    }

    /// What it means for the decision. By SIGKILL and the OOM killer, it is a crash: nobody wanted it.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match (self.death.ending(), self.out_of_memory) {
            (Ending::Killed, Some(OutOfMemory::Group(_))) => Ending::Crashed,
            (ending, _) => ending,
        }
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

    #[test]
    fn a_death_is_said_and_weighed() {
        let ended = |raw| Death::Ended(ExitStatus::from_raw(raw));
        for (death, said, ending) in [
            (ended(0), "exited with status 0", Ending::Finished),
            (ended(3 << 8), "exited with status 3", Ending::Crashed),
            (ended(15), "was stopped by SIGTERM", Ending::Stopped),
            (ended(2), "was stopped by SIGINT", Ending::Stopped),
            (ended(1), "was stopped by SIGHUP", Ending::Stopped),
            (ended(9), "was killed by SIGKILL", Ending::Killed),
            (ended(11), "crashed (SIGSEGV, no core dumped)", Ending::Crashed),
            (ended(0x80 + 11), "crashed (SIGSEGV, core dumped)", Ending::Crashed),
            (ended(13), "crashed (SIGPIPE)", Ending::Crashed),
            (ended(40), "crashed (signal 40)", Ending::Crashed),
            (Death::NotWaitedFor, "died", Ending::Unknown),
            (Death::Untold, "died", Ending::Unknown),
        ] {
            assert_eq!((death.to_string().as_str(), death.ending()), (said, ending));
        }
    }

    #[test]
    fn only_the_group_makes_a_crash_of_a_kill() {
        for (signal, out_of_memory, ending) in [
            (9, None, Ending::Killed),
            (9, Some(OutOfMemory::Machine(1)), Ending::Killed),
            (9, Some(OutOfMemory::Group(1)), Ending::Crashed),
            (15, Some(OutOfMemory::Group(1)), Ending::Stopped),
            (15, Some(OutOfMemory::Machine(1)), Ending::Stopped),
        ] {
            let death = Death::Ended(ExitStatus::from_raw(signal));
            let (started, at) = (Time::ZERO, Time::from_secs(7));
            let end = End { pid: 7, name: "x".into(), started, at, death, memory: None, out_of_memory };
            assert_eq!((end.ending(), end.ran()), (ending, at));
            let is_told = out_of_memory.is_none_or(|out_of_memory| death.may_come_of(out_of_memory));
            assert_eq!(is_told, (signal, out_of_memory) != (15, Some(OutOfMemory::Machine(1))));
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
