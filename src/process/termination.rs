//! How a process died, and what may take its place.

use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use crate::process::oom::OutOfMemory;
use crate::process::stat::{Stat, tick};
use crate::process::{ProcessInfo, Signature};
use crate::sys::{self, Pid};
use crate::time::Time;

/// How a process ended, as far as the decision is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// By itself, with status 0.
    Finished,
    /// By SIGTERM, SIGINT or SIGHUP.
    Stopped,
    /// By SIGKILL.
    Killed,
    /// In any other way.
    Crashed,
    /// Nobody can tell.
    Unknown,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// So.
    Ended(ExitStatus),
    /// Its parent has not waited for it, and only then the kernel tells.
    NotWaitedFor,
    /// This kernel does not tell, or not us; or nobody was there to see it.
    Untold,
}

/// An answer that may not be there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitQuery {
    /// This is how it ended.
    Now(Exit),
    /// The kernel will tell once the process's parent has waited for it.
    AfterReap,
}

/// Asks the kernel how the process behind `pidfd` ended; `last_line` is its stat, if it is a zombie.
pub fn ask(pidfd: Option<impl AsFd>, last_line: Option<&[u8]>) -> ExitQuery {
    let from_zombie = || last_line.and_then(Stat::parse).and_then(|stat| stat.exit_code());
    let told = match pidfd.map_or(sys::PidfdExit::Unsupported, |pidfd| sys::pidfd_exit(pidfd.as_fd())) {
        sys::PidfdExit::Status(status) => Some(status),
        sys::PidfdExit::NotReaped => match from_zombie() {
            Some(status) => Some(status),
            None => return ExitQuery::AfterReap,
        },
        sys::PidfdExit::Unsupported => from_zombie(),
    };
    ExitQuery::Now(told.map_or(Exit::Untold, |status| Exit::Ended(ExitStatus::from_raw(status))))
}

impl Exit {
    /// What it means for the decision, as far as the status tells.
    pub fn ending(self) -> Cause {
        let Exit::Ended(status) = self else { return Cause::Unknown };
        match (status.code(), status.signal()) {
            (Some(0), _) => Cause::Finished,
            (_, Some(libc::SIGTERM | libc::SIGINT | libc::SIGHUP)) => Cause::Stopped,
            (_, Some(libc::SIGKILL)) => Cause::Killed,
            _ => Cause::Crashed,
        }
    }

    /// Whether what the OOM killer did is worth telling with this end: what it did to the control group
    /// always is, what it did elsewhere only where the end may be its work.
    pub fn may_come_of(self, out_of_memory: OutOfMemory) -> bool {
        match out_of_memory {
            OutOfMemory::Group(_) => true,
            OutOfMemory::Machine(_) => matches!(self.ending(), Cause::Killed | Cause::Unknown),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exit::Ended(status) = self else { return f.write_str("died") };
        let Some(signal) = status.signal() else {
            return write!(f, "exited with status {}", status.code().unwrap_or_default());
        };
        let name = signal_name(signal);
        match self.ending() {
            Cause::Stopped => write!(f, "was stopped by {name}"),
            Cause::Killed => write!(f, "was killed by {name}"),
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
pub struct Termination {
    /// Its number.
    pub pid: Pid,
    /// Its name, printable.
    pub name: String,
    /// When it started.
    pub started: Time,
    /// When it died, or was found dead.
    pub at: Time,
    /// How it ended.
    pub death: Exit,
    /// Its resident memory at the last check, in bytes.
    pub memory: Option<u64>,
    /// What the kernel's OOM killer did meanwhile.
    pub out_of_memory: Option<OutOfMemory>,
}

impl Termination {
    /// How long it ran.
    pub fn ran(&self) -> Duration {
        self.at.saturating_sub(self.started)
    }

    /// What it means for the decision. By SIGKILL and the OOM killer, it is a crash: nobody wanted it.
    pub fn ending(&self) -> Cause {
        match (self.death.ending(), self.out_of_memory) {
            (Cause::Killed, Some(OutOfMemory::Group(_))) => Cause::Crashed,
            (ending, _) => ending,
        }
    }
}

/// A signal's name, such as `SIGTERM`.
pub fn signal_name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}

/// A process that is gone, by what is needed to tell what takes its place from what it left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// Its number.
    pub pid: Pid,
    /// What started then or later counts.
    pub since: Time,
    /// What is of this kind counts, whenever it started.
    pub kind: Signature,
}

impl Predecessor {
    /// Whether a process that matches counts now, and is not a left-over.
    pub fn lets_count(&self, seen: &ProcessInfo) -> bool {
        // A start is only known to the tick.
        seen.started + tick() > self.since || (seen.kind == self.kind && !self.kind.argument.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_said_and_weighed() {
        let ended = |raw| Exit::Ended(ExitStatus::from_raw(raw));
        for (death, said, ending) in [
            (ended(0), "exited with status 0", Cause::Finished),
            (ended(3 << 8), "exited with status 3", Cause::Crashed),
            (ended(15), "was stopped by SIGTERM", Cause::Stopped),
            (ended(2), "was stopped by SIGINT", Cause::Stopped),
            (ended(1), "was stopped by SIGHUP", Cause::Stopped),
            (ended(9), "was killed by SIGKILL", Cause::Killed),
            (ended(11), "crashed (SIGSEGV, no core dumped)", Cause::Crashed),
            (ended(0x80 + 11), "crashed (SIGSEGV, core dumped)", Cause::Crashed),
            (ended(13), "crashed (SIGPIPE)", Cause::Crashed),
            (ended(40), "crashed (signal 40)", Cause::Crashed),
            (Exit::NotWaitedFor, "died", Cause::Unknown),
            (Exit::Untold, "died", Cause::Unknown),
        ] {
            assert_eq!((death.to_string().as_str(), death.ending()), (said, ending));
        }
    }

    #[test]
    fn only_the_group_makes_a_crash_of_a_kill() {
        for (signal, out_of_memory, ending) in [
            (9, None, Cause::Killed),
            (9, Some(OutOfMemory::Machine(1)), Cause::Killed),
            (9, Some(OutOfMemory::Group(1)), Cause::Crashed),
            (15, Some(OutOfMemory::Group(1)), Cause::Stopped),
            (15, Some(OutOfMemory::Machine(1)), Cause::Stopped),
        ] {
            let death = Exit::Ended(ExitStatus::from_raw(signal));
            let (started, at) = (Time::ZERO, Time::from_secs(7));
            let end =
                Termination { pid: 7, name: "x".into(), started, at, death, memory: None, out_of_memory };
            assert_eq!((end.ending(), end.ran()), (ending, at));
            let is_told = out_of_memory.is_none_or(|out_of_memory| death.may_come_of(out_of_memory));
            assert_eq!(is_told, (signal, out_of_memory) != (15, Some(OutOfMemory::Machine(1))));
        }
    }

    #[test]
    fn a_left_over_is_older_and_of_another_kind() {
        let at = Duration::from_secs(100);
        let gone = Predecessor { pid: 7, since: at, kind: Signature::new(0, b"nginx: master process\0") };
        let seen = |started, user, line: &[u8]| ProcessInfo {
            pid: 8,
            name: "nginx".into(),
            started,
            has_terminal: false,
            parent: 1,
            command_line: String::new(),
            kind: Signature::new(user, line),
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
        assert_eq!(
            Signature::new(0, b"/opt/app-1.2/bin/app\0-x"),
            Signature::new(0, b"/opt/app-1.34/bin/app\0-y")
        );
        assert_ne!(Signature::new(0, b"/opt/app/bin/app\0"), Signature::new(1, b"/opt/app/bin/app\0"));
    }
}
