//! Each state × each observation, written out. A new observation does not compile until every state has said
//! what it means.

use std::time::Duration;

use super::health::{Probing, Up};
use super::start::look_or_wait;
use super::state::{DownCause, Policy, Sight, State};
use super::{Action, Answer, Decision, END_LOOK, Ended, Failure, KILL_AFTER, May, News, NotDone, Outcome};
use super::{REAP_GRACE, Seen, Since, Still, Then};
use crate::process::ProcessId;
use crate::process::termination::Cause;
use crate::time::Time;

impl Policy {
    /// What to do at `now`, after `seen`, while no more is done than `may` be.
    pub fn decide(&mut self, now: Time, seen: Seen, may: May) -> Decision {
        self.may = may;
        self.answer = None;
        if let Seen::Request(what) = seen {
            self.ask(now, what);
        }
        if seen == Seen::CommandEnded {
            (self.command, self.command_ended) = (None, Some(now));
        }
        self.answer_in_time(now, seen);
        let decision = match self.state {
            State::Fresh => self.fresh(now, seen),
            State::Up(up) => self.up(now, seen, up),
            State::Down { until, cause } => self.down(now, seen, until, cause),
            State::Starting { at, sight } => self.starting(now, seen, at, sight),
            State::EndingCommand { since, killed, then } => {
                self.ending_command(now, seen, since, killed, then)
            }
            State::Stopping(stop) => self.stopping(now, seen, stop),
            State::Finished => self.left_alone(now, seen, None),
            State::GaveUp { until } => self.left_alone(now, seen, Some(until)),
        };
        if let Action::End(_) = decision.action {
            self.refuse(NotDone::CannotTell);
        }
        Decision { answer: self.answer.take(), ..decision }
    }

    fn fresh(&mut self, now: Time, seen: Seen) -> Decision {
        match seen {
            Seen::Running { id, still } | Seen::Handed { id, still } => self.found(now, id, still, false),
            Seen::Missing if self.asked.is_some() => self.missing_as_asked(now),
            // It ended while nobody watched.
            Seen::Missing if self.has_run => self.finish(now),
            // It came from an attempt of the watch before, and did not last.
            Seen::Missing if self.memory.on_probation && self.may_start() => {
                self.failed(now, Failure::Unstable)
            }
            Seen::Missing => {
                self.memory.on_probation = false;
                self.start(now)
            }
            Seen::Unknown | Seen::LeftNear => self.cannot_tell(now),
            Seen::Nothing
            | Seen::Died { .. }
            | Seen::Ended(_)
            | Seen::Started
            | Seen::CommandEnded
            | Seen::CommandRefused
            | Seen::Probed(..)
            | Seen::StageEnded { .. }
            | Seen::Gone { .. }
            | Seen::StopImpossible
            | Seen::Request(_) => Action::Look.into(),
        }
    }

    fn up(&mut self, now: Time, seen: Seen, up: Up) -> Decision {
        match seen {
            Seen::Running { id, still } if id.is_same(up.id) => self.runs_on(now, Up { still, ..up }),
            Seen::Running { id, still } => self.handed(now, up, id, still),
            Seen::Handed { id, still } => {
                self.memory.ours = self.memory.ours.map(|ours| if ours.is_same(up.id) { id } else { ours });
                self.handed(now, up, id, still)
            }
            Seen::Probed(id, result) if id.is_same(up.id) => self.probed(now, up, result),
            // It lives, but is no longer what is looked for.
            Seen::Missing | Seen::LeftNear => self.lost(now, up.id.started, up),
            Seen::Died { at, started } => self.lost(at, started, up),
            // Of a stop that was abandoned, when all but this was done.
            Seen::Gone { id } if id.is_same(up.id) => {
                let decision = self.lost(now, id.started, up);
                self.memory.on_probation = false;
                self.state = State::down(self.earliest_start(now + self.limits.after_stop));
                decision
            }
            Seen::Nothing | Seen::Request(_) => Action::Look.into(),
            Seen::Unknown if self.limits.once && up.probing == Probing::No => self.cannot_tell(now),
            Seen::Unknown
            | Seen::Ended(_)
            | Seen::Started
            | Seen::CommandEnded
            | Seen::CommandRefused
            | Seen::Probed(..)
            | Seen::StageEnded { .. }
            | Seen::Gone { .. }
            | Seen::StopImpossible => self.watch_on(now, up),
        }
    }

    fn down(&mut self, now: Time, seen: Seen, until: Time, cause: DownCause) -> Decision {
        let is_due = now >= until;
        match (seen, cause) {
            (Seen::Running { id, still } | Seen::Handed { id, still }, _) => self.back(now, id, still, cause),
            (Seen::Missing, _) if self.asked.is_some() => self.missing_as_asked(now),
            (Seen::Nothing | Seen::Ended(_), _) if self.asked.is_some() => Action::Look.into(),
            (Seen::Ended(end), DownCause::Awaited { ran, .. })
                if self.may_be_launcher(end.cause, ran) && !self.finishes(end) =>
            {
                self.state = State::Down { until, cause: DownCause::Launcher };
                Action::Look.into()
            }
            (Seen::Ended(end), DownCause::Awaited { at, ran }) => self.weigh(now, at, ran, end),
            (Seen::Nothing | Seen::Missing, DownCause::Awaited { at, ran }) if is_due => {
                self.weigh(now, at, ran, Ended { cause: Cause::Unknown, as_expected: false })
            }
            // Nor did anybody start it again, though it may have been stopped for that.
            (Seen::Missing, DownCause::Launcher) if self.memory.on_probation && is_due => {
                self.failed(now, Failure::Unstable)
            }
            (Seen::Missing, DownCause::Finishing) if is_due => self.finish(now),
            (Seen::Missing, _) if is_due => self.start(now),
            (Seen::Unknown | Seen::LeftNear, _) => self.next_check(now),
            (Seen::Request(_), _) => Action::Look.into(),
            (
                Seen::Nothing
                | Seen::Missing
                | Seen::Died { .. }
                | Seen::Ended(_)
                | Seen::Started
                | Seen::CommandEnded
                | Seen::CommandRefused
                | Seen::Probed(..)
                | Seen::StageEnded { .. }
                | Seen::Gone { .. }
                | Seen::StopImpossible,
                _,
            ) => look_or_wait(now, until),
        }
    }

    fn starting(&mut self, now: Time, seen: Seen, at: Since, sight: Sight) -> Decision {
        let judged_at = at.plus(self.limits.restart_wait_interval);
        // Somebody has asked for an end of it: it is not judged.
        let is_unwanted = self.is_asked_to_stop();
        match seen {
            Seen::CommandRefused => self.refused(now),
            Seen::Running { id, still } | Seen::Handed { id, still } if is_unwanted => {
                self.started_in_vain(now, id, still)
            }
            Seen::Running { id, still } | Seen::Handed { id, still } if now >= judged_at => {
                self.succeeded(now, id, still)
            }
            Seen::Running { .. } | Seen::Handed { .. } => self.appeared(now, at, sight, judged_at),
            Seen::Died { at: died, started } => {
                let ran = died.saturating_sub(started);
                self.state = State::Starting { at, sight: Sight::Gone { at: died, ran, end: None } };
                if is_unwanted { Action::Look.into() } else { self.next_look(now, at.at, judged_at) }
            }
            Seen::Ended(end) => {
                let mut may_be_launcher = false;
                if let Sight::Gone { at: died, ran, .. } = sight {
                    let sight = Sight::Gone { at: died, ran, end: Some(end) };
                    self.state = State::Starting { at, sight };
                    may_be_launcher = self.may_be_launcher(end.cause, ran);
                }
                let looks = is_unwanted || may_be_launcher;
                if looks { Action::Look.into() } else { self.next_look(now, at.at, judged_at) }
            }
            Seen::Missing if is_unwanted => self.end_start(now, at),
            Seen::Missing if now >= judged_at => self.judge_missing(now, at, judged_at, sight),
            // Nothing is ended, and nothing started beside it.
            Seen::LeftNear if is_unwanted => {
                self.refuse(NotDone::LeftNear);
                self.starting(now, seen, at, sight)
            }
            Seen::LeftNear if now >= judged_at => self.left_near(now, at, sight),
            Seen::Unknown if self.limits.once && now >= at.plus(self.limits.start_timeout) => {
                Action::End(Outcome::Unknown).into()
            }
            Seen::Unknown if is_unwanted || now >= judged_at => self.next_check(now),
            Seen::Missing | Seen::LeftNear | Seen::Unknown => self.next_look(now, at.at, judged_at),
            // It runs since now: its user and its output log were looked for first.
            Seen::Started => {
                let at = Since::new(now);
                self.state = State::Starting { at, sight };
                self.next_look(now, now, at.plus(self.limits.restart_wait_interval))
            }
            Seen::Nothing
            | Seen::CommandEnded
            | Seen::Probed(..)
            | Seen::StageEnded { .. }
            | Seen::Gone { .. }
            | Seen::StopImpossible
            | Seen::Request(_) => Action::Look.into(),
        }
    }

    fn ending_command(
        &mut self,
        now: Time,
        seen: Seen,
        since: Since,
        killed: bool,
        then: Option<Then>,
    ) -> Decision {
        let then = match seen {
            Seen::CommandEnded => {
                return match then {
                    None => self.failed(now, Failure::Overran),
                    Some(then) => self.look_after_stop(now, then),
                };
            }
            Seen::Request(what) => Some(what.then()),
            Seen::Nothing
            | Seen::Running { .. }
            | Seen::Handed { .. }
            | Seen::Missing
            | Seen::LeftNear
            | Seen::Unknown
            | Seen::Died { .. }
            | Seen::Ended(_)
            | Seen::Started
            | Seen::CommandRefused
            | Seen::Probed(..)
            | Seen::StageEnded { .. }
            | Seen::Gone { .. }
            | Seen::StopImpossible => then,
        };
        let kill_at = since.plus(KILL_AFTER);
        let kills = !killed && now >= kill_at;
        self.state = State::EndingCommand { since, killed: killed || kills, then };
        if kills {
            Action::KillCommand.into()
        } else if killed {
            self.next_check(now)
        } else {
            Action::Wait(kill_at.min(now + END_LOOK)).into()
        }
    }

    /// It has finished; or was given up, until then.
    fn left_alone(&mut self, now: Time, seen: Seen, until: Option<Time>) -> Decision {
        match seen {
            Seen::Running { id, still } | Seen::Handed { id, still } => {
                self.memory.failures = 0;
                self.found(now, id, still, true)
            }
            Seen::Missing if self.asked.is_some() => self.missing_as_asked(now),
            Seen::Missing if until.is_some_and(|until| now >= until) && self.may_start() => {
                self.memory.failures = 0;
                self.start(now)
            }
            Seen::Missing => match until.filter(|until| *until > now && !self.limits.once) {
                Some(until) => Action::Wait(until.min(self.check_at(now))).into(),
                None => self.end_or_check(now, Outcome::LeftAlone),
            },
            Seen::Unknown | Seen::LeftNear => self.cannot_tell(now),
            Seen::Nothing | Seen::Request(_) => Action::Look.into(),
            Seen::Died { .. }
            | Seen::Ended(_)
            | Seen::Started
            | Seen::CommandEnded
            | Seen::CommandRefused
            | Seen::Probed(..)
            | Seen::StageEnded { .. }
            | Seen::Gone { .. }
            | Seen::StopImpossible => self.next_check(now),
        }
    }

    /// A look could not tell, and no attempt is being judged.
    pub(super) fn cannot_tell(&self, now: Time) -> Decision {
        self.end_or_check(now, Outcome::Unknown)
    }

    /// The process runs, and no attempt of ours is being judged.
    fn found(&mut self, now: Time, id: ProcessId, still: Still, by_itself: bool) -> Decision {
        if !self.is_ours(id) {
            (self.memory.ours, self.memory.version) = (None, None);
        }
        let up = self.enter(now, id, still);
        if self.limits.once && now >= id.started + self.limits.stable_after {
            self.stable();
        }
        self.attend_or_stop(now, up).with(News::Found { by_itself })
    }

    /// It runs again.
    fn back(&mut self, now: Time, id: ProcessId, still: Still, cause: DownCause) -> Decision {
        // What a launcher leaves is on the same probation, and comes from the same attempt.
        let is_same = matches!(cause, DownCause::Launcher | DownCause::Finishing);
        self.memory.on_probation &= is_same;
        self.memory.ours = self.memory.ours.filter(|_| is_same).map(|_| id);
        self.found(now, id, still, true)
    }

    /// The process runs, as it did.
    fn runs_on(&mut self, now: Time, up: Up) -> Decision {
        self.state = State::Up(up);
        if let Some(decision) = self.due_stop(now, up) {
            return decision;
        }
        let is_stable = now >= up.id.started + self.limits.stable_after;
        let news = if is_stable { self.stable() } else { None };
        Decision { news, ..self.attend(now, up) }
    }

    fn stable(&mut self) -> Option<News> {
        let forgotten = self.memory.failures;
        self.memory = self.memory.without_failures();
        (forgotten > 0).then_some(News::Stable { forgotten })
    }

    /// The process that ran is dead; a probe of it ends with it.
    fn lost(&mut self, at: Time, started: Time, up: Up) -> Decision {
        let decision = self.died(at, started);
        if up.probing == Probing::No { decision } else { Action::EndProbe.into() }
    }

    pub(super) fn died(&mut self, at: Time, started: Time) -> Decision {
        let until = self.earliest_start(at + self.limits.after_stop.max(REAP_GRACE));
        let ran = at.saturating_sub(started);
        // A command that stayed with the process has its time to end from here on.
        self.command = self.command.map(|_| Since::new(at));
        self.memory.health.series = None;
        self.state = State::Down { until, cause: DownCause::Awaited { at, ran } };
        Action::Wait(until).into()
    }

    /// What follows from how the process died.
    fn weigh(&mut self, now: Time, at: Time, ran: Duration, end: Ended) -> Decision {
        if self.finishes(end) {
            // Somebody may be restarting it, and it may be a launcher.
            let until = at + self.limits.after_stop;
            self.state = State::Down { until, cause: DownCause::Finishing };
            return if self.may_be_launcher(end.cause, ran) {
                Action::Look.into()
            } else {
                look_or_wait(now, until)
            };
        }
        let until = self.earliest_start(at + self.delay(end.cause));
        if self.is_failure(end.cause, ran) {
            return self.failed_at(now, until, Failure::Unstable);
        }
        self.memory.on_probation = false;
        self.state = State::down(until);
        look_or_wait(now, until)
    }

    /// It has ended as it should.
    pub(super) fn finish(&mut self, now: Time) -> Decision {
        self.memory = self.memory.without_failures();
        self.has_run = false;
        self.state = State::Finished;
        self.reply(Answer::Done);
        self.end_or_check(now, Outcome::LeftAlone).with(News::Finished)
    }

    pub(super) fn delay(&self, cause: Cause) -> Duration {
        match cause {
            Cause::Killed | Cause::Crashed => self.limits.restart_delay,
            Cause::Finished | Cause::Stopped | Cause::Unknown => self.limits.after_stop,
        }
    }

    pub(super) fn next_check(&self, now: Time) -> Decision {
        Action::Wait(self.check_at(now)).into()
    }

    pub(super) fn check_at(&self, now: Time) -> Time {
        let pause = self.limits.health_check_interval;
        // Somebody waits.
        now + if self.asked.is_some() { pause.min(END_LOOK) } else { pause }
    }

    /// With `--once`, that is how it ends.
    pub(super) fn end_or_check(&self, now: Time, outcome: Outcome) -> Decision {
        if self.limits.once { Action::End(outcome).into() } else { self.next_check(now) }
    }
}
