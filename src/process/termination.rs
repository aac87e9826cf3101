//! How a process died, and what may take its place.

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::process::oom::OutOfMemory;
use crate::process::stat::{Stat, tick};
use crate::process::{ProcessInfo, Signature};
use crate::sys::{self, Pid};
use crate::time::{Time, millis};

/// Why a process ended, as far as the decision is concerned.
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

impl Exit {
    /// Asks the kernel how the process behind `pidfd` ended; `last_line` is its stat, if it is a zombie. `None`
    /// while the kernel will tell, but not before its parent has waited for it.
    pub fn ask(pidfd: Option<BorrowedFd<'_>>, last_line: &[u8]) -> Option<Self> {
        let from_zombie = || Stat::parse(last_line)?.exit_code();
        let status = match pidfd.map(sys::pidfd_exit) {
            Some(Ok(told)) => Some(told.or_else(from_zombie)?),
            Some(Err(_)) | None => from_zombie(),
        };
        Some(status.map_or(Exit::Untold, |status| Exit::Ended(ExitStatus::from_raw(status))))
    }

    /// Why it ended, as far as the status tells.
    pub fn cause(self) -> Cause {
        let Exit::Ended(status) = self else { return Cause::Unknown };
        match (status.code(), status.signal()) {
            (Some(0), _) => Cause::Finished,
            (_, Some(libc::SIGTERM | libc::SIGINT | libc::SIGHUP)) => Cause::Stopped,
            (_, Some(libc::SIGKILL)) => Cause::Killed,
            _ => Cause::Crashed,
        }
    }

    /// Whether it ended with one of these statuses, or was asked to by a signal.
    pub fn is_among(self, codes: &BTreeSet<u8>) -> bool {
        let Exit::Ended(status) = self else { return false };
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        code.map_or(self.cause() == Cause::Stopped, |code| codes.contains(&code))
    }

    /// Whether what the OOM killer did is worth telling with this end: what it did to the control group
    /// always is, what it did elsewhere only where the end may be its work.
    pub fn may_come_of(self, out_of_memory: OutOfMemory) -> bool {
        match out_of_memory {
            OutOfMemory::Group(_) => true,
            OutOfMemory::Machine(_) => matches!(self.cause(), Cause::Killed | Cause::Unknown),
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
        match self.cause() {
            Cause::Stopped => write!(f, "was stopped by {name}"),
            Cause::Killed => write!(f, "was killed by {name}"),
            _ if status.core_dumped() => write!(f, "crashed ({name}, core dumped)"),
            _ if dumps_core(signal) => write!(f, "crashed ({name}, no core dumped)"),
            _ => write!(f, "crashed ({name})"),
        }
    }
}

/// Whether a signal dumps core, unless it is told not to (signal(7)).
fn dumps_core(signal: i32) -> bool {
    use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGQUIT, SIGSEGV, SIGSYS, SIGTRAP, SIGXCPU, SIGXFSZ};
    [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGQUIT, SIGSEGV, SIGSYS, SIGTRAP, SIGXCPU, SIGXFSZ].contains(&signal)
}

/// The end of a process, with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    pub pid: Pid,
    /// Printable.
    pub name: String,
    pub started: Time,
    /// When it died, or was found dead.
    pub at: Time,
    pub exit: Exit,
    /// Its resident memory at the last check, in bytes.
    pub memory: Option<u64>,
    /// What the kernel's OOM killer did meanwhile.
    pub out_of_memory: Option<OutOfMemory>,
}

impl Termination {
    pub fn ran(&self) -> Duration {
        self.at.saturating_sub(self.started)
    }

    /// Why it ended. By SIGKILL and the OOM killer, it is a crash: nobody wanted it.
    pub fn cause(&self) -> Cause {
        if self.is_out_of_memory() { Cause::Crashed } else { self.exit.cause() }
    }

    /// Whether it was killed while the OOM killer was at work in its control group.
    pub fn is_out_of_memory(&self) -> bool {
        self.exit.cause() == Cause::Killed && matches!(self.out_of_memory, Some(OutOfMemory::Group(_)))
    }
}

/// A signal's name, such as `SIGTERM`.
pub fn signal_name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}

/// A process that is gone, by what is needed to tell what takes its place from what it left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    pub pid: Pid,
    /// Printable; empty if it is not known.
    #[serde(default)]
    pub name: String,
    /// 0 if it is not known.
    #[serde(default)]
    pub session: Pid,
    #[serde(default)]
    pub has_terminal: bool,
    /// What started then or later counts.
    #[serde(rename = "since_ms", with = "millis")]
    pub since: Time,
    /// What has this signature counts, whenever it started.
    #[serde(flatten)]
    pub signature: Signature,
}

impl Predecessor {
    /// What started at `since` or later counts.
    pub fn new(process: &ProcessInfo, since: Time) -> Self {
        let ProcessInfo { pid, name, session, has_terminal, signature, .. } = process.clone();
        Predecessor { pid, name, session, has_terminal, since, signature }
    }

    /// Whether a process that matches counts now, and is not a left-over.
    pub fn is_succeeded_by(&self, process: &ProcessInfo) -> bool {
        let (old, new) = (&self.signature, &process.signature);
        let is_of_its_kind = old.user == new.user && new.has_executable_of(old);
        // Somebody's client, or who reads its log.
        let is_at_a_terminal = process.has_terminal && !self.has_terminal;
        // A start is only known to the tick.
        if process.started + tick() > self.since && (!is_at_a_terminal || is_of_its_kind) {
            return true;
        }
        let is_worker = process.never_execed && self.session != 0 && process.session == self.session;
        let has_its_argument = new.argument == old.argument && !old.argument.0.is_empty();
        is_of_its_kind && has_its_argument && new.has_script_of(old) && !is_worker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_said_and_weighed() {
        let ended = |raw| Exit::Ended(ExitStatus::from_raw(raw));
        for (exit, said, cause) in [
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
            assert_eq!((exit.to_string().as_str(), exit.cause()), (said, cause));
        }
    }

    #[test]
    fn what_is_expected_is_a_status_of_the_list_or_a_signal_that_asks() {
        let codes = BTreeSet::from([0, 3, 255]);
        for (raw, expected) in
            [(0, true), (3 << 8, true), (255 << 8, true), (1 << 8, false), (143 << 8, false)]
                .into_iter()
                .chain([
                    (15, true),
                    (2, true),
                    (1, true),
                    (9, false),
                    (11, false),
                    (0x80 + 3, false),
                    (13, false),
                ])
        {
            assert_eq!(Exit::Ended(ExitStatus::from_raw(raw)).is_among(&codes), expected, "{raw}");
        }
        assert!(!Exit::Untold.is_among(&codes) && !Exit::NotWaitedFor.is_among(&codes));
        assert!(!Exit::Ended(ExitStatus::from_raw(0)).is_among(&BTreeSet::new()));
    }

    #[test]
    fn only_the_group_makes_a_crash_of_a_kill() {
        for (signal, out_of_memory, cause) in [
            (9, None, Cause::Killed),
            (9, Some(OutOfMemory::Machine(1)), Cause::Killed),
            (9, Some(OutOfMemory::Group(1)), Cause::Crashed),
            (15, Some(OutOfMemory::Group(1)), Cause::Stopped),
            (15, Some(OutOfMemory::Machine(1)), Cause::Stopped),
        ] {
            let exit = Exit::Ended(ExitStatus::from_raw(signal));
            let (started, at) = (Time::ZERO, Time::from_secs(7));
            let end =
                Termination { pid: 7, name: "x".into(), started, at, exit, memory: None, out_of_memory };
            assert_eq!((end.cause(), end.ran()), (cause, at));
            let is_told = out_of_memory.is_none_or(|out_of_memory| exit.may_come_of(out_of_memory));
            assert_eq!(is_told, (signal, out_of_memory) != (15, Some(OutOfMemory::Machine(1))));
        }
    }

    #[test]
    fn a_left_over_is_older_and_of_another_signature() {
        let at = Duration::from_secs(100);
        let dead = ProcessInfo::of_test(7, "nginx", Signature::new(0, b"nginx: master process\0"));
        let predecessor = Predecessor::new(&dead, at);
        let process = |started, user, line: &[u8]| ProcessInfo {
            started,
            ..ProcessInfo::of_test(8, "nginx", Signature::new(user, line))
        };
        let before = Duration::from_secs(95);
        assert!(!predecessor.is_succeeded_by(&process(before, 33, b"nginx: worker process\0")));
        assert!(!predecessor.is_succeeded_by(&process(before, 0, b"nginx: worker process\0")));
        assert!(!predecessor.is_succeeded_by(&process(before, 33, b"nginx: master process\0")));
        assert!(predecessor.is_succeeded_by(&process(before, 0, b"nginx: master process\0")));
        assert!(predecessor.is_succeeded_by(&process(at, 33, b"nginx: worker process\0")));
        assert!(predecessor.is_succeeded_by(&process(
            Duration::from_millis(99_991),
            33,
            b"nginx: worker process\0"
        )));
        let forked = |session| ProcessInfo {
            session,
            never_execed: true,
            ..process(before, 0, b"nginx: master process\0")
        };
        assert!(!predecessor.is_succeeded_by(&forked(7)), "a worker that has its command line");
        assert!(predecessor.is_succeeded_by(&forked(9)), "a new master of haproxy's");
        let at_terminal = |user| ProcessInfo { has_terminal: true, ..process(at, user, b"nginx\0") };
        assert!(
            predecessor.is_succeeded_by(&at_terminal(0)) && !predecessor.is_succeeded_by(&at_terminal(33))
        );
    }

    #[test]
    fn a_successor_runs_the_same_program_and_script() {
        let signature = |path: &str, file, line: &[u8]| {
            let executable =
                Some(crate::process::Executable { path: crate::process::Bytes(path.into()), file });
            Signature { executable, ..Signature::new(0, line) }
        };
        let line = b"python\0-u\0/srv/a1.app\0";
        let old = signature("/usr/bin/python.", Some((1, 7)), line);
        for (new, has_executable, has_script) in [
            (signature("/usr/bin/python.", Some((1, 8)), b"python\0/srv/a2.app\0"), true, true),
            (signature("/usr/bin/old", Some((1, 7)), b"python\0/srv/b.app\0"), true, false),
            (signature("/usr/bin/perl", Some((1, 8)), line), false, true),
            (signature("/usr/bin/perl", None, line), false, true),
            (Signature::new(0, b""), true, true),
        ] {
            assert_eq!(
                (new.has_executable_of(&old), new.has_script_of(&old)),
                (has_executable, has_script),
                "{new:?}"
            );
        }
    }

    #[test]
    fn digits_make_no_other_signature() {
        assert_eq!(
            Signature::new(0, b"/opt/app-1.2/bin/app\0-x"),
            Signature::new(0, b"/opt/app-1.34/bin/app\0-y")
        );
        assert_ne!(Signature::new(0, b"/opt/app/bin/app\0"), Signature::new(1, b"/opt/app/bin/app\0"));
    }
}
