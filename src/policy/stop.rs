//! A stop: its stages, and what ends it.

use std::time::Duration;

use super::health::{Probing, Up};
use super::request::Asked;
use super::state::{Policy, State};
use super::{Action, Answer, Decision, END_LOOK, EVIDENCE, KILL_AFTER, MayStart, News, NotDone};
use super::{Outcome, Request, Seen, Since, Stage, Still, StopBy, Stopping, Then, Why};
use crate::process::ProcessId;
use crate::settings::KillMode;
use crate::time::Time;

impl Policy {
    pub(super) fn stopping(&mut self, now: Time, seen: Seen, stop: Stopping) -> Decision {
        if stop.is_gone() {
            return self.ending_left(now, seen, stop);
        }
        let is_untouched = stop.stage == Stage::Evidence;
        match seen {
            Seen::Nothing => Action::Look.into(),
            // It is decided anew.
            Seen::Request(_) if is_untouched => {
                self.enter(now, stop.process, Still::No);
                Action::Look.into()
            }
            Seen::Request(what) => {
                self.state = State::Stopping(Stopping { then: what.then(), ..stop });
                Action::Look.into()
            }
            Seen::Running { id, still } if id.is_same(stop.process) => {
                if is_untouched && still != Still::No {
                    return self.leave_running(now, stop, still);
                }
                self.stop_on(now, Stopping { dumps: still == Still::Dying, ..stop })
            }
            Seen::Running { id, still } | Seen::Handed { id, still } if is_untouched => {
                self.enter(now, id, still);
                Action::Look.into()
            }
            // Nothing was done to it: it died by itself.
            Seen::Died { at, started } if is_untouched => self.died(at, started),
            Seen::Missing | Seen::LeftNear if is_untouched => self.died(now, stop.process.started),
            Seen::Gone { id } if !id.is_same(stop.process) => self.stop_on(now, stop),
            Seen::Running { .. } | Seen::Missing | Seen::LeftNear | Seen::Died { .. } | Seen::Gone { .. } => {
                self.stopped(now, stop)
            }
            Seen::StageEnded { well } => self.stage_ended(now, stop, well),
            Seen::StopImpossible => self.abandon(now, stop, true),
            // Whoever it was handed over to, this one is being stopped.
            Seen::Handed { .. }
            | Seen::Unknown
            | Seen::Ended(_)
            | Seen::Started
            | Seen::CommandEnded
            | Seen::CommandRefused
            | Seen::Probed(..) => self.stop_on(now, stop),
        }
    }

    /// The process is gone that was stopped, and what it left behind is being ended.
    fn ending_left(&mut self, now: Time, seen: Seen, stop: Stopping) -> Decision {
        let stop = match seen {
            Seen::StageEnded { .. } => return self.after_stop(now, stop),
            Seen::Request(what) => {
                // The stop that was asked for is the one that has been.
                if let Some(asked) = &mut self.asked {
                    asked.stopped = (what != Request::Start).then_some(now);
                }
                Stopping { then: what.then(), ..stop }
            }
            Seen::Nothing
            | Seen::Running { .. }
            | Seen::Handed { .. }
            | Seen::Missing
            | Seen::LeftNear
            | Seen::Unknown
            | Seen::Died { .. }
            | Seen::Ended(_)
            | Seen::Started
            | Seen::CommandEnded
            | Seen::CommandRefused
            | Seen::Probed(..)
            | Seen::Gone { .. }
            | Seen::StopImpossible => stop,
        };
        self.state = State::Stopping(stop);
        let ends = stop.since.plus(KILL_AFTER);
        match stop.stage {
            _ if !stop.is_begun => self.begin_stage(now, stop, stop.stage),
            _ if now < ends => Action::Wait(ends.min(now + END_LOOK)).into(),
            Stage::LeftKilled => self.after_stop(now, stop),
            _ => self.begin_stage(now, stop, Stage::LeftKilled),
        }
    }

    /// Whether a stop for this reason may begin: what may not be started afterwards is not stopped.
    pub(super) fn may_stop(&self, why: Why, then: Then) -> bool {
        let may_start = match why {
            Why::Unhealthy | Why::Version => self.may.start == MayStart::Yes,
            Why::Request => then == Then::Rest || self.may_start(),
            Why::Hours => true,
        };
        self.may.stop && may_start
    }

    /// What is to be stopped that runs, though it may be healthy; and what is asked for and done.
    pub(super) fn due_stop(&mut self, now: Time, up: Up) -> Option<Decision> {
        let (why, then) = self.why_stop(now, up.id)?;
        // One thing at a time.
        if up.probing != Probing::No {
            return Some(self.end_probe(now, up));
        }
        match why {
            Why::Version => self.memory.version = self.version_due,
            Why::Hours => self.memory.window_stopped = self.window.take().map(|window| window.number),
            Why::Request | Why::Unhealthy => {}
        }
        Some(self.begin_stop(now, up.id, why, then))
    }

    fn why_stop(&mut self, now: Time, id: ProcessId) -> Option<(Why, Then)> {
        match self.asked {
            Some(Asked { what: what @ (Request::Stop | Request::Restart), stopped: None, .. }) => {
                if self.may_stop(Why::Request, what.then()) {
                    return Some((Why::Request, what.then()));
                }
                self.refuse(NotDone::Held);
            }
            Some(Asked { what: Request::Stop, .. }) => self.refuse(NotDone::BackAgain),
            Some(Asked { what: Request::Start | Request::Restart, .. }) => self.reply(Answer::Done),
            None => {}
        }
        // In its hours, it is another window's process.
        let is_held = self.may.start != MayStart::Yes;
        self.window = self.window.filter(|_| is_held);
        let is_over = self.window.is_some_and(|window| {
            self.memory.window_stopped != Some(window.number) && id.started < window.at && window.at <= now
        });
        if is_over && self.may_stop(Why::Hours, Then::Rest) {
            return Some((Why::Hours, Then::Rest));
        }
        let is_other =
            self.is_ours(id) && self.memory.version.is_some() && self.memory.version != self.version_due;
        let is_due = is_other && self.version_due.is_some();
        (is_due && self.may_stop(Why::Version, Then::Start)).then_some((Why::Version, Then::Start))
    }

    /// Begins a stop. It is written down before the action is carried out.
    pub(super) fn begin_stop(&mut self, now: Time, process: ProcessId, why: Why, then: Then) -> Decision {
        let stage = match why {
            Why::Unhealthy => Stage::Evidence,
            Why::Request | Why::Hours | Why::Version => self.first_stage(),
        };
        self.begin_stage(now, Stopping::new(process, why, stage, now, then), stage)
    }

    fn first_stage(&self) -> Stage {
        if self.limits.has_stop_command { Stage::Command } else { Stage::Signal }
    }

    fn begin_stage(&mut self, now: Time, stop: Stopping, stage: Stage) -> Decision {
        self.state = State::Stopping(Stopping { stage, since: Since::new(now), is_begun: true, ..stop });
        match stage {
            Stage::Evidence => Action::Evidence(stop.process).into(),
            Stage::Command => Action::StopBy(stop.process, StopBy::Command).into(),
            Stage::Signal => Action::StopBy(stop.process, StopBy::Signal).into(),
            Stage::Kill => Action::Kill(stop.process).into(),
            Stage::Left => Action::EndLeft { kill: false }.into(),
            Stage::LeftKilled => Action::EndLeft { kill: true }.into(),
        }
    }

    /// The process is still there.
    fn stop_on(&mut self, now: Time, stop: Stopping) -> Decision {
        self.state = State::Stopping(stop);
        if !stop.is_begun {
            return self.go_on_to(now, stop, stop.stage);
        }
        let ends = stop.since.plus(self.length(stop.stage));
        if now >= ends || stop.is_overdue {
            return self.next_stage(now, stop);
        }
        Action::Wait(self.check_at(now).min(ends)).into()
    }

    /// When the stage is over of a stop that is under way.
    pub fn stage_ends(&self) -> Option<Time> {
        let State::Stopping(stop) = self.state else { return None };
        Some(stop.since.plus(self.length(stop.stage)))
    }

    fn length(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Evidence => EVIDENCE,
            Stage::Command | Stage::Signal | Stage::Kill => self.limits.stage_length(),
            Stage::Left | Stage::LeftKilled => KILL_AFTER,
        }
    }

    fn stage_ended(&mut self, now: Time, stop: Stopping, well: bool) -> Decision {
        match stop.stage {
            // It cannot be stopped just now; the next probe will ask again.
            Stage::Evidence if !well => self.leave_running(now, stop, Still::No),
            Stage::Evidence => self.next_stage(now, stop),
            Stage::Command if !well => self.next_stage(now, stop),
            // It has its time to end.
            Stage::Command => Action::Look.into(),
            Stage::Signal | Stage::Kill | Stage::Left | Stage::LeftKilled => self.stop_on(now, stop),
        }
    }

    /// A stage is over, and the process still there.
    fn next_stage(&mut self, now: Time, stop: Stopping) -> Decision {
        let kills = self.limits.stop_timeout.is_some() && !(stop.dumps && stop.why == Why::Unhealthy);
        match stop.stage {
            Stage::Evidence if !self.may_stop(stop.why, stop.then) => self.abandon(now, stop, false),
            Stage::Evidence => {
                self.memory.health.restarts = self.memory.health.restarts.saturating_add(1);
                self.begin_stage(now, stop, self.first_stage())
            }
            Stage::Command => self.go_on_to(now, stop, Stage::Signal),
            Stage::Signal if kills => self.go_on_to(now, stop, Stage::Kill),
            Stage::Signal | Stage::Kill | Stage::Left | Stage::LeftKilled => self.overdue(now, stop),
        }
    }

    /// Asked again before each signal: a pause is for those who have the process in hand.
    fn go_on_to(&mut self, now: Time, stop: Stopping, stage: Stage) -> Decision {
        if self.may.stop { self.begin_stage(now, stop, stage) } else { self.abandon(now, stop, false) }
    }

    /// All was done, and it is still there. It is started when it is gone.
    fn overdue(&mut self, now: Time, stop: Stopping) -> Decision {
        self.refuse(NotDone::StillThere);
        self.state = State::Stopping(Stopping { is_overdue: true, ..stop });
        let decision = self.end_or_check(now, Outcome::Running { started: false });
        if stop.is_overdue { decision } else { decision.with(News::StopFailed { why: stop.why }) }
    }

    /// The stop is over, and the process left as it is: nothing may be done to it any more, or can be.
    fn abandon(&mut self, now: Time, stop: Stopping, impossible: bool) -> Decision {
        if self.is_asked_to_stop() {
            self.refuse(if impossible { NotDone::CannotStop } else { NotDone::Held });
        }
        if impossible && stop.why == Why::Unhealthy {
            self.rest(now);
        }
        self.leave_running(now, stop, Still::No).with(News::StopAbandoned { why: stop.why, impossible })
    }

    fn leave_running(&mut self, now: Time, stop: Stopping, still: Still) -> Decision {
        let due = now + self.limits.probe_interval;
        self.attend(now, Up { id: stop.process, still, probing: Probing::No, due })
    }

    /// The process is gone that was stopped. That was no death, and no failure.
    fn stopped(&mut self, now: Time, stop: Stopping) -> Decision {
        self.memory.on_probation = false;
        self.has_run = false;
        self.memory.health.series = None;
        if let Some(asked) = &mut self.asked {
            asked.stopped = Some(now);
        }
        let is_all = stop.stage == Stage::Kill || self.limits.kill_mode == KillMode::Mixed;
        let decision =
            if is_all { self.begin_stage(now, stop, Stage::Left) } else { self.after_stop(now, stop) };
        decision.with(News::Stopped { why: stop.why })
    }

    /// Nothing is left of it that is to be ended, but its start command, which stayed with it.
    fn after_stop(&mut self, now: Time, stop: Stopping) -> Decision {
        if self.command.is_some() {
            return self.end_command(now, Some(stop.then));
        }
        self.look_after_stop(now, stop.then)
    }

    /// Nothing is at work any more. A look comes before a start, always.
    pub(super) fn look_after_stop(&mut self, now: Time, then: Then) -> Decision {
        self.state = match then {
            Then::Start => State::Fresh,
            // What holds it has a moment to be in force.
            Then::Rest => State::down(now + self.limits.health_check_interval),
        };
        Action::Look.into()
    }
}
