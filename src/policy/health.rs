//! A process that runs: its probes, and what follows from them.

use std::time::Duration;

use super::state::{Policy, State};
use super::{Action, Condition, DEFAULT_RETRY, Decision, EXCUSED, LONGEST_RETRY, Left, News, Outcome};
use super::{ProbeResult, Series, Still, Then, Why};
use crate::process::ProcessId;
use crate::settings::{Autorestart, OnUnhealthy};
use crate::time::Time;

/// A process that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Up {
    pub id: ProcessId,
    pub still: Still,
    pub probing: Probing,
    /// When the next probe is to begin.
    pub due: Time,
}

/// Whether a probe is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probing {
    No,
    Yes,
    /// It is, and its result counts for nothing.
    Void,
}

impl Policy {
    /// The process runs, and is followed from here on.
    pub(super) fn enter(&mut self, now: Time, id: ProcessId, still: Still) -> Up {
        let series = self.memory.health.series.filter(|series| series.process.is_same(id));
        let new = Series { process: id, failures: 0, excused: 0, condition: Condition::Starting, since: now };
        self.memory.health.series = self.limits.has_probe.then(|| series.unwrap_or(new));
        self.has_run = self.limits.autorestart == Autorestart::Never;
        let up = Up { id, still, probing: Probing::No, due: now };
        self.state = State::Up(up);
        up
    }

    /// The process has been handed over to another. It is the same service, with other probes to come.
    pub(super) fn handed(&mut self, now: Time, old: Up, id: ProcessId, still: Still) -> Decision {
        let up = self.enter(now, id, still);
        if old.probing == Probing::No { self.attend(now, up) } else { Action::EndProbe.into() }
    }

    /// What comes next for a process that has just been found: a stop that is due, perhaps.
    pub(super) fn attend_or_stop(&mut self, now: Time, up: Up) -> Decision {
        self.due_stop(now, up).unwrap_or_else(|| self.attend(now, up))
    }

    /// What comes next for a process that runs: a probe, or a wait.
    pub(super) fn attend(&mut self, now: Time, up: Up) -> Decision {
        self.state = State::Up(up);
        let is_probed = self.limits.has_probe && self.may.probe && up.still == Still::No;
        if up.probing != Probing::No {
            return if is_probed { self.next_check(now) } else { self.end_probe(now, up) };
        }
        if is_probed && now >= up.due {
            self.state = State::Up(Up { probing: Probing::Yes, ..up });
            return Action::Probe(up.id).into();
        }
        if self.limits.once {
            return Action::End(Outcome::Running { started: self.has_started }).into();
        }
        self.watch_on(now, up)
    }

    /// The next look, or the next probe if that comes first.
    pub(super) fn watch_on(&self, now: Time, up: Up) -> Decision {
        let comes = self.limits.has_probe && self.may.probe && up.still == Still::No && up.due > now;
        let check = self.check_at(now);
        Action::Wait(if comes && up.probing == Probing::No { check.min(up.due) } else { check }).into()
    }

    pub(super) fn end_probe(&mut self, now: Time, up: Up) -> Decision {
        let due = now + self.limits.probe_interval;
        self.state = State::Up(Up { probing: Probing::No, due, ..up });
        Action::EndProbe.into()
    }

    /// The probe of the process that runs has ended.
    pub(super) fn probed(&mut self, now: Time, up: Up, result: ProbeResult) -> Decision {
        let counts = up.probing == Probing::Yes && self.may.probe && up.still == Still::No;
        let up = Up { probing: Probing::No, due: now + self.limits.probe_interval, ..up };
        self.state = State::Up(up);
        let Some(series) = self.memory.health.series.as_mut().filter(|_| counts) else {
            return self.attend(now, up);
        };
        let excuses = self.limits.probe_failures.saturating_mul(EXCUSED);
        match result {
            ProbeResult::Healthy => self.healthy(now, up),
            ProbeResult::Unknown => self.attend(now, up),
            ProbeResult::TimedOut { overloaded: true } if series.excused < excuses => {
                series.excused = series.excused.saturating_add(1);
                self.attend(now, up)
            }
            ProbeResult::Unhealthy | ProbeResult::TimedOut { .. } => self.unhealthy(now, up),
        }
    }

    fn healthy(&mut self, now: Time, up: Up) -> Decision {
        self.memory.health.proven = true;
        self.memory.health.resting_until = None;
        let mut news = None;
        if let Some(series) = &mut self.memory.health.series {
            (series.failures, series.excused) = (0, 0);
            if series.condition != Condition::Healthy {
                news = Some(News::Healthy { again: series.condition == Condition::Unhealthy });
                (series.condition, series.since) = (Condition::Healthy, now);
            }
            if now >= series.since + self.limits.stable_after {
                (self.memory.health.restarts, self.memory.health.rounds) = (0, 0);
            }
        }
        Decision { news, ..self.attend(now, up) }
    }

    fn unhealthy(&mut self, now: Time, up: Up) -> Decision {
        let starts_until = up.id.started + self.limits.probe_start_period;
        let Some(series) = &mut self.memory.health.series else { return self.attend(now, up) };
        if series.condition == Condition::Starting && now < starts_until {
            return self.attend(now, up);
        }
        series.failures = series.failures.saturating_add(1);
        let failures = series.failures;
        if failures < self.limits.probe_failures {
            return self.attend(now, up);
        }
        let is_news = series.condition != Condition::Unhealthy;
        if is_news {
            (series.condition, series.since) = (Condition::Unhealthy, now);
        }
        let left = self.why_leave(now, up.id);
        let decision = match left {
            None => self.begin_stop(now, up.id, Why::Unhealthy, Then::Start),
            Some(_) => self.attend(now, up),
        };
        let is_told = is_news || matches!(left, None | Some(Left::Enough { .. }));
        Decision { news: is_told.then_some(News::Unhealthy { failures, left }), ..decision }
    }

    /// Why the process is left running though it is unhealthy, if it is.
    fn why_leave(&mut self, now: Time, id: ProcessId) -> Option<Left> {
        if self.limits.on_unhealthy == OnUnhealthy::Warn {
            return Some(Left::Warned);
        }
        // A wrong probe must not stop what works.
        if !self.memory.health.proven && (!self.is_ours(id) || self.memory.health.restarts > 0) {
            return Some(Left::NeverHealthy);
        }
        match self.memory.health.resting_until {
            Some(until) if now < until => return Some(Left::Resting),
            Some(_) => (self.memory.health.resting_until, self.memory.health.restarts) = (None, 0),
            None => {}
        }
        let restarts = self.memory.health.restarts;
        if self.limits.max_fail_count.is_some_and(|max| restarts >= max) {
            return Some(Left::Enough { restarts, retry: self.rest(now) });
        }
        (!self.may_stop(Why::Unhealthy, Then::Start)).then_some(Left::Held)
    }

    /// It is left running, for longer each time.
    pub(super) fn rest(&mut self, now: Time) -> Duration {
        let first = self.limits.retry_after.unwrap_or(DEFAULT_RETRY);
        let pause = pause(first, self.memory.health.rounds);
        self.memory.health.rounds = self.memory.health.rounds.saturating_add(1);
        self.memory.health.resting_until = Some(now + pause);
        pause
    }
}

/// The pause before the next round, after so many.
pub(super) fn pause(first: Duration, rounds: u32) -> Duration {
    first.saturating_mul(1 << rounds.min(16)).min(LONGEST_RETRY.max(first))
}
