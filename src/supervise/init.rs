//! What process 1 of a container owes to the others: to wait for orphans, and to end with what it watches.

use std::process::ExitStatus;
use std::time::Duration;

use crate::process::handle::{Check, Handle};
use crate::supervise::Supervisor;
use crate::sys::Pid;
use crate::time::now;

/// How long process 1 waits for what it watches before it ends and takes all with it, if nothing else is said.
const LAST_WAIT: Duration = Duration::from_secs(10);

impl Supervisor {
    /// A child has been reaped: if it is what is followed, that is how it ended. Whether it is.
    pub(super) fn was_reaped(&mut self, pid: Pid, status: ExitStatus) -> bool {
        let dying = self.dying.iter_mut().map(|dying| &mut dying.followed);
        let process = self.followed.iter_mut().chain(dying).find(|process| process.info().pid == pid);
        let is_process = process.is_some();
        if let Some(process) = process {
            process.reaped = Some(status);
        }
        is_process
    }

    /// As process 1: passes a signal on, and waits for what it was meant for; for how long in vain, if it is.
    pub(super) fn end_all(&mut self, signal: i32) -> Option<Duration> {
        let settings = &self.parts.settings;
        let wait = if settings.gives_stop_timeout { settings.limits.stop_timeout } else { Some(LAST_WAIT) };
        // Whoever runs the container has a limit too.
        let wait = wait.unwrap_or(Duration::MAX / 4);
        let deadline = now() + wait;
        let signal = if signal == libc::SIGTERM { settings.stop_signal } else { signal };
        if let Some(followed) = &self.followed {
            followed.signal(signal);
        }
        if let Some(command) = &self.command {
            command.signal(signal);
        }
        let in_time = self.wait_for(deadline, |watch| {
            let (criteria, proc) = (&watch.parts.settings.criteria, &watch.parts.proc);
            let is_dead = |followed: &mut Handle| matches!(followed.check(criteria, proc), Ok(Check::Dead));
            watch.followed.take_if(is_dead);
            watch.followed.is_none() && watch.command.is_none()
        });
        (!in_time).then_some(wait)
    }
}
