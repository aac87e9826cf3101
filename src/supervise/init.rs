//! What process 1 of a container owes to the others: to wait for orphans, and to end with what it watches.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use rustix::process::{WaitOptions, waitpid};

use crate::process::handle::{Check, Handle};
use crate::supervise::Supervisor;
use crate::sys::{self, Pid};
use crate::time::now;

/// How long process 1 waits for what it watches before it ends and takes all with it.
const LAST_WAIT: Duration = Duration::from_secs(10);

impl Supervisor {
    /// As process 1: waits for whatever falls to it, but for the start command, which is waited for by
    /// itself.
    pub(super) fn reap_orphans(&mut self) {
        if std::process::id() != 1 {
            return;
        }
        while let Some(child) = sys::ended_child() {
            let pid = child.as_raw_nonzero().get();
            if self.command.as_ref().is_some_and(|command| command.pid() == pid) {
                return;
            }
            let Ok(Some((_, status))) = waitpid(Some(child), WaitOptions::NOHANG) else { return };
            self.was_waited_for(pid, ExitStatus::from_raw(status.as_raw()));
        }
    }

    /// A child has been waited for: if it is what is followed, that is how it ended. Whether it is.
    pub(super) fn was_waited_for(&mut self, pid: Pid, status: ExitStatus) -> bool {
        let dying = self.dying.iter_mut().map(|dying| &mut dying.followed);
        let process = self.followed.iter_mut().chain(dying).find(|process| process.seen().pid == pid);
        let is_process = process.is_some();
        if let Some(process) = process {
            process.was_waited_for(status);
        }
        is_process
    }

    /// As process 1: passes a signal on, and waits for what it was meant for.
    pub(super) fn end_all(&mut self, signal: i32) -> bool {
        let deadline = now() + LAST_WAIT;
        if let Ok(signal) = Signal::try_from(signal) {
            if let Some(followed) = &self.followed {
                followed.signal(signal);
            }
            if let Some(command) = &self.command {
                command.signal(signal);
            }
        }
        while now() < deadline {
            self.child_changed = true;
            self.command_ended();
            self.reap_orphans();
            if self.followed.is_none() && self.command.is_none() {
                return true;
            }
            let (signalled, dead) = self.block(deadline.saturating_sub(now()).min(Duration::from_secs(1)));
            if signalled {
                self.parts.signals.pending().for_each(drop);
            }
            let criteria = &self.parts.settings.criteria;
            let is_dead = |followed: &mut Handle| matches!(followed.check(criteria), Ok(Check::Dead));
            if dead || self.followed.as_mut().is_some_and(is_dead) {
                self.followed = None;
            }
        }
        false
    }
}
