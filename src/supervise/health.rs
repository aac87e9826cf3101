//! Whether the process works: its probes, and what is told of them.

use std::mem;
use std::rc::Rc;

use crate::hold;
use crate::policy::{Life, May, News, Seen, Still};
use crate::probe::command::Probe;
use crate::probe::evidence::CpuTime;
use crate::probe::{Finding, ProbeResult};
use crate::process::ProcessId;
use crate::process::cgroup::{ControlGroups, last_part};
use crate::process::handle::Handle;
use crate::report::event::Event;
use crate::report::health::{HealthEvent, LEFT, Then};
use crate::settings::OnUnhealthy;
use crate::state::said::{Notice, Told};
use crate::supervise::Supervisor;
use crate::task::Task;
use crate::time::now;

/// What the loop knows of the process's health beside what the policy does.
#[derive(Debug, Default)]
pub(super) struct Health {
    probe: Option<Probe>,
    /// The probe before the next one is of settings that are no more.
    pub(super) is_void: bool,
    /// A probe that was killed, until it has ended.
    killed: Option<Task>,
    /// What the last probe found.
    why: String,
    /// What the process had used of processors when the last probe began.
    pub(super) cpu_time: Option<CpuTime>,
    /// The process whose ways to be stopped have been looked at.
    looked_at: Option<ProcessId>,
    /// It is to be restarted, which is told when it is certain.
    pub(super) restarts: Option<u32>,
}

impl Health {
    pub(super) fn tasks(&mut self) -> impl Iterator<Item = &mut Task> {
        self.probe.iter_mut().map(|probe| &mut probe.task).chain(&mut self.killed)
    }

    fn kill_probe(&mut self) {
        if let Some(mut probe) = self.probe.take() {
            probe.task.kill();
            self.killed = Some(probe.task);
        }
    }
}

impl Supervisor {
    /// What is allowed now. Holds are looked for only where they matter: while it is missing, and of a process that is
    /// probed, stopped or asked for.
    pub(super) fn may(&mut self, seen: Seen) -> May {
        let is_missing = seen == Seen::Missing;
        let is_attended =
            self.parts.settings.limits.has_probe || self.stopping().is_some() || self.heeds_calendar();
        if self.followed.is_some() && !is_missing && !is_attended && self.requests.taken.is_none() {
            return May::ALL;
        }
        let would_start = is_missing && self.policy.memory().life != Life::Finished;
        // After a probe, it may have to be stopped and started.
        let resumed = self.look_for_holds(would_start || matches!(seen, Seen::Probed(..)));
        if would_start {
            self.tell_holds();
        }
        let may = hold::may(&self.holds);
        if may == May::NOTHING {
            return may;
        }
        if let Some(at) = resumed {
            self.heed_resume(at);
        }
        if self.is_alone() { may } else { May::NOTHING }
    }

    /// Whether something holds the process still, as far as that matters.
    pub(super) fn still(&mut self, followed: &Handle, is_stopped: bool) -> Still {
        if !self.parts.settings.limits.has_probe && self.stopping().is_none() {
            return Still::No;
        }
        let still = followed.still(is_stopped);
        if still == Still::Dying {
            self.parts.emit(HealthEvent::DumpsCore(followed.info()));
        }
        still
    }

    /// Begins a probe.
    pub(super) fn probe(&mut self, process: ProcessId) -> Seen {
        // One that cannot be killed is not to be one of many.
        self.health.killed.take_if(|task| task.ended().is_some());
        if self.health.killed.is_some() {
            return self.cannot_tell(process, "before it cannot be killed");
        }
        let settings = Rc::clone(&self.parts.settings);
        let Some(check) = &settings.probe else { return Seen::Probed(process, ProbeResult::Unknown) };
        let used = self.followed.as_ref().map(Handle::cpu_time);
        self.health.cpu_time = used.map(|used| CpuTime { at: now(), used });
        match Probe::begin(check, process, &settings.name, settings.probe_timeout, self.surroundings()) {
            Ok(probe) => {
                self.health.probe = Some(probe);
                self.health.is_void = false;
                Seen::Nothing
            }
            Err(error) => self.cannot_tell(process, &format!("cannot be run: {error}")),
        }
    }

    fn cannot_tell(&mut self, process: ProcessId, why: &str) -> Seen {
        self.parts.emit(HealthEvent::CannotTell { why });
        self.parts.emit(Event::Probed(ProbeResult::Unknown));
        Seen::Probed(process, ProbeResult::Unknown)
    }

    /// Ends a probe whose result is not wanted.
    pub(super) fn end_probe(&mut self) -> Seen {
        self.health.kill_probe();
        Seen::Nothing
    }

    /// What the probe has found, once it has ended.
    pub(super) fn probe_ended(&mut self) -> Option<Seen> {
        self.health.killed.take_if(|killed| killed.ended().is_some());
        let probe = self.health.probe.as_mut()?;
        let process = probe.process;
        let previous = self.parts.record.state.heartbeat.as_ref();
        let found = match probe.ended(previous, self.parts.proc.root()) {
            Some(found) => found,
            // What cannot be killed has no result.
            None if probe.task.is_stuck() => {
                self.health.kill_probe();
                return Some(self.cannot_tell(process, "cannot be killed"));
            }
            None => return None,
        };
        self.health.probe = None;
        if mem::take(&mut self.health.is_void) {
            return Some(Seen::Probed(process, ProbeResult::Unknown));
        }
        Some(self.found(process, found))
    }

    fn found(&mut self, process: ProcessId, found: Finding) -> Seen {
        let Finding { result, why, heartbeat } = found;
        self.parts.emit(Event::Probed(result));
        if let Some(heartbeat) = heartbeat {
            self.parts.record.beats(heartbeat);
        }
        match result {
            ProbeResult::Unknown | ProbeResult::TimedOut { overloaded: true } if !why.is_empty() => {
                self.parts.emit(HealthEvent::CannotTell { why: &why });
            }
            ProbeResult::Unknown => {}
            ProbeResult::Healthy | ProbeResult::Unhealthy | ProbeResult::TimedOut { .. } => {
                self.parts.emit(Event::Over(Notice::Probe));
            }
        }
        self.health.why = why;
        Seen::Probed(process, result)
    }

    /// Tells what a decision has changed about health.
    pub(super) fn tell_health(&mut self, news: News) {
        let Some(process) = self.followed.as_ref().map(Handle::info) else { return };
        match news {
            News::Healthy { again } => {
                let said = self.parts.record.state.said.last(Notice::Health);
                let was_left = said.is_some_and(|facts| facts.starts_with(LEFT));
                let was_told = self.parts.record.is_news(Told::Over(Notice::Health));
                self.parts.emit(HealthEvent::Healthy { process, again: again || was_told, was_left });
            }
            // Told when it is certain.
            News::Unhealthy { failures, left: None } => self.health.restarts = Some(failures),
            News::Unhealthy { failures, left: Some(left) } => {
                let why = &self.health.why;
                self.parts.emit(HealthEvent::Unhealthy { process, failures, why, then: Then::Left(left) });
            }
            _ => {}
        }
    }

    /// It is restarted for its health; or, for this reason, not now.
    pub(super) fn tell_restart(&mut self, not_now: Option<&str>) {
        let Some(failures) = self.health.restarts.take() else { return };
        if let Some(process) = self.followed.as_ref().map(Handle::info) {
            let (why, then) = (&self.health.why, not_now.map_or(Then::Restart, Then::NotNow));
            self.parts.emit(HealthEvent::Unhealthy { process, failures, why, then });
        }
    }

    /// Whether and how the process could be stopped for its health is said when it is first seen.
    pub(super) fn doubt_stop(&mut self) {
        let settings = Rc::clone(&self.parts.settings);
        if !settings.limits.has_probe || settings.limits.on_unhealthy == OnUnhealthy::Warn {
            return;
        }
        let Some(followed) = &self.followed else { return };
        let process = followed.info();
        if self.health.looked_at.replace(process.id()) == Some(process.id()) {
            return;
        }
        let why = match followed.send(0) {
            None => Some("this kernel has no pidfd".to_owned()),
            Some(Err(rustix::io::Errno::PERM)) => Some("it belongs to another user".to_owned()),
            Some(_) => None,
        };
        if let Some(why) = &why {
            self.parts.emit(HealthEvent::CannotSignal { process, why });
        }
        if settings.stop_command.is_none() {
            let service = |pid| ControlGroups::of(self.parts.proc.root(), pid).service();
            let own = service(crate::sys::own_pid());
            if let Some(unit) = service(process.pid).filter(|unit| Some(unit) != own.as_ref()) {
                self.parts.emit(HealthEvent::OfUnit { process, unit: last_part(&unit) });
            }
        }
    }
}
