//! A start: the attempt, its verdict, and what enough failures come to.

use super::health::pause;
use super::state::{Policy, Sight, State};
use super::{Action, Answer, DEFAULT_RETRY, Decision, Ended, FIRST_LOOK, Failure, News, NotDone, Outcome};
use super::{Request, SETTLE, Since, Still, Then};
use crate::process::ProcessId;
use crate::process::termination::Cause;
use crate::time::Time;

impl Policy {
    /// The process is missing: start it, unless the command of the last start is still at it.
    pub(super) fn start(&mut self, now: Time) -> Decision {
        let is_asked = self.asked.is_some();
        let is_held = !self.may_start();
        if is_held {
            self.refuse(NotDone::Held);
        }
        if is_held && self.limits.once {
            return Action::End(Outcome::LeftAlone).into();
        }
        // What was refused changes nothing.
        if is_held && matches!(self.state, State::GaveUp { .. } | State::Finished) {
            return self.next_check(now);
        }
        // Whoever asks has no attempt in mind that was made before.
        let until = if is_asked { now } else { self.earliest_start(now) };
        if is_held || until > now {
            self.state = State::down(until.max(now));
            return if is_held { self.next_check(now) } else { Action::Wait(until).into() };
        }
        if self.command.is_some() {
            return if is_asked { self.end_command(now, Some(Then::Start)) } else { self.outwait(now) };
        }
        // What is left of a restart.
        if let Some(asked) = &mut self.asked {
            asked.what = Request::Start;
        }
        self.command = Some(Since::new(now));
        self.command_ended = None;
        self.has_started = true;
        self.memory.last_attempt = Some(now);
        (self.memory.ours, self.memory.version) = (None, self.version_due);
        self.state = State::Starting { at: Since::new(now), sight: Sight::NotYet };
        Action::Start { attempt: self.memory.failures.saturating_add(1) }.into()
    }

    /// The start command could not be created.
    pub(super) fn refused(&mut self, now: Time) -> Decision {
        self.command = None;
        self.memory.last_attempt = None;
        self.refuse(NotDone::NotStarted);
        self.state = State::down(now + self.limits.health_check_interval);
        self.next_check(now)
    }

    /// The process is there, and the attempt not to be judged yet.
    pub(super) fn appeared(&mut self, now: Time, at: Since, sight: Sight, judged_at: Time) -> Decision {
        self.state = State::Starting { at, sight: Sight::Present };
        let wait = Action::Wait(judged_at.min(now + self.limits.health_check_interval));
        match sight {
            Sight::Present => wait.into(),
            Sight::NotYet | Sight::Gone { .. } | Sight::Near => {
                wait.with(News::Appeared { after: now.saturating_sub(at.at) })
            }
        }
    }

    pub(super) fn succeeded(&mut self, now: Time, id: ProcessId, still: Still) -> Decision {
        let news = News::Succeeded { attempt: self.memory.failures.saturating_add(1) };
        self.memory.on_probation = !self.limits.stable_after.is_zero();
        if !self.memory.on_probation {
            self.memory.failures = 0;
        }
        self.memory.ours = Some(id);
        let up = self.enter(now, id, still);
        self.reply(Answer::Done);
        if self.limits.once {
            return Action::End(Outcome::Running { started: true }).with(news);
        }
        self.attend(now, up).with(news)
    }

    /// It is missing when the attempt is to be judged.
    pub(super) fn judge_missing(&mut self, now: Time, at: Since, judged_at: Time, sight: Sight) -> Decision {
        if self.command.is_some() {
            return self.outwait(now);
        }
        let settle = self.limits.restart_wait_interval.clamp(SETTLE.0, SETTLE.1);
        let settled_at = self.command_ended.map_or(judged_at, |ended| judged_at.max(ended + settle));
        if now < settled_at {
            return self.next_look(now, self.command_ended.unwrap_or(at.at), settled_at);
        }
        let untold = Ended { cause: Cause::Unknown, as_expected: false };
        match sight {
            Sight::Gone { end, .. } if self.finishes(end.unwrap_or(untold)) => self.finish(now),
            // One run has to end some time, whoever goes on killing what it starts.
            Sight::Gone {
                at: died,
                end: Some(Ended { cause: cause @ (Cause::Stopped | Cause::Killed), .. }),
                ..
            } if !self.limits.once => {
                self.refuse(NotDone::NotStarted);
                let until = now.max(died + self.delay(cause));
                self.state = State::down(until);
                Action::Wait(until).with(News::Undone)
            }
            Sight::Gone { .. } => self.failed(now, Failure::Ended),
            Sight::NotYet | Sight::Present | Sight::Near => self.failed(now, Failure::Missing),
        }
    }

    /// What the attempt left running is what was meant, perhaps: that is not started twice.
    pub(super) fn left_near(&mut self, now: Time, at: Since, sight: Sight) -> Decision {
        self.refuse(NotDone::LeftNear);
        self.state = State::Starting { at, sight: Sight::Near };
        let decision = self.cannot_tell(now);
        if sight == Sight::Near { decision } else { decision.with(News::LeftNear) }
    }

    /// Somebody wants to have stopped, or started anew, what is there after the start command.
    pub(super) fn started_in_vain(&mut self, now: Time, id: ProcessId, still: Still) -> Decision {
        self.memory.ours = Some(id);
        let up = self.enter(now, id, still);
        self.attend_or_stop(now, up)
    }

    /// Nothing is there yet after the start command, and somebody has asked for an end of it.
    pub(super) fn end_start(&mut self, now: Time, at: Since) -> Decision {
        if self.command.is_some() {
            return self.end_command(now, self.asked.map(|asked| asked.what.then()));
        }
        // What it has put into the background last has a moment to become what it is called.
        let ended = self.command_ended.unwrap_or(at.at);
        let settled_at = ended + self.limits.restart_wait_interval.clamp(SETTLE.0, SETTLE.1);
        if now < settled_at {
            return self.next_look(now, ended, settled_at);
        }
        self.state = State::Fresh;
        self.missing_as_asked(now)
    }

    pub(super) fn end_command(&mut self, now: Time, then: Option<Then>) -> Decision {
        self.state = State::EndingCommand { since: Since::new(now), killed: false, then };
        Action::StopCommand.into()
    }

    pub(super) fn failed(&mut self, now: Time, why: Failure) -> Decision {
        self.failed_at(now, self.earliest_start(now), why)
    }

    /// One failure more. Unless that is enough, the next attempt may come at `until`. While something holds the
    /// process, whoever ended it may have meant to, and nothing counts.
    pub(super) fn failed_at(&mut self, now: Time, until: Time, why: Failure) -> Decision {
        let is_held = !self.may_start();
        self.refuse(if is_held { NotDone::Held } else { NotDone::NotStarted });
        self.memory.on_probation = false;
        if is_held {
            self.state = State::down(until);
            return look_or_wait(now, until).with(News::Undone);
        }
        self.memory.failures = self.memory.failures.saturating_add(1);
        let failures = self.memory.failures;
        let may_give_up = self.has_started || self.is_of_series;
        let Some(_) = self.limits.max_fail_count.filter(|max| may_give_up && failures >= *max) else {
            // One more of its own is enough.
            let most = self.limits.max_fail_count.map(|max| max.saturating_sub(1));
            self.memory.failures = most.map_or(failures, |most| failures.min(most));
            self.state = State::down(until);
            return look_or_wait(now, until).with(News::Failed { failures, why });
        };
        let pause = pause(self.limits.retry_after.unwrap_or(DEFAULT_RETRY), self.memory.rounds);
        self.memory.rounds = self.memory.rounds.saturating_add(1);
        self.state = State::GaveUp { until: now + pause };
        let ends = self.limits.once || self.limits.retry_after.is_none();
        let action = if ends { Action::End(Outcome::GaveUp) } else { self.next_check(now).action };
        let retry = (!ends || self.limits.once).then_some(pause);
        action.with(News::GaveUp { failures, why, retry })
    }

    /// The process is missing and the start command at work: wait on, but not for ever.
    pub(super) fn outwait(&mut self, now: Time) -> Decision {
        let patience_ends = self.command.map_or(now, |since| since.plus(self.limits.start_timeout));
        if now < patience_ends {
            return Action::Wait(patience_ends.min(now + self.limits.health_check_interval)).into();
        }
        self.end_command(now, None).with(News::Overran)
    }

    /// `wanted`, or later, so that two attempts are never closer than `restart_wait_interval`.
    pub(super) fn earliest_start(&self, wanted: Time) -> Time {
        let spaced = self.memory.last_attempt.map(|last| last + self.limits.restart_wait_interval);
        spaced.map_or(wanted, |spaced| wanted.max(spaced))
    }

    /// While an attempt is young, looks come quickly: 10 ms after it, then at twice the time each.
    pub(super) fn next_look(&self, now: Time, at: Time, deadline: Time) -> Decision {
        let pause = now.saturating_sub(at).max(FIRST_LOOK).min(self.limits.health_check_interval);
        Action::Wait(deadline.min(now + pause)).into()
    }
}

pub(super) fn look_or_wait(now: Time, until: Time) -> Decision {
    if now >= until { Action::Look.into() } else { Action::Wait(until).into() }
}
