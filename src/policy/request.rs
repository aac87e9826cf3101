//! What somebody asks for, and what is answered.

use super::state::{Policy, Since, State};
use super::{Action, Answer, BACK_GRACE, Decision, EVIDENCE, KILL_AFTER, LOOK_PATIENCE};
use super::{MayStart, NotDone, Outcome, Request, Seen};
use crate::time::Time;

/// A request that has no answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub what: Request,
    pub since: Since,
    /// When the process was stopped since.
    pub stopped: Option<Time>,
}

impl Policy {
    /// Takes up a request. The newest is the one that counts.
    pub(super) fn ask(&mut self, now: Time, what: Request) {
        self.reply(Answer::Superseded);
        self.asked = Some(Asked { what, since: Since::new(now), stopped: None });
    }

    /// Answers what was asked for, if anything was.
    pub(super) fn reply(&mut self, answer: Answer) {
        if self.asked.take().is_some() {
            self.answer = Some(answer);
        }
    }

    pub(super) fn refuse(&mut self, why: NotDone) {
        self.reply(Answer::Failed(why));
    }

    /// Whether somebody waits for the process to be stopped.
    pub(super) fn is_asked_to_stop(&self) -> bool {
        self.asked.is_some_and(|asked| asked.what != Request::Start)
    }

    /// Whoever asked is not left to wait: whatever hangs, there is an answer in the time that all of it may
    /// take, and soon if no look can tell.
    pub(super) fn answer_in_time(&mut self, now: Time, seen: Seen) {
        let Some(asked) = self.asked else { return };
        let stages = 3 * self.limits.stage_length();
        let start = self.limits.start_timeout + self.limits.restart_wait_interval;
        let is_idle = match self.state {
            State::Fresh | State::Up(_) | State::Down { .. } | State::Finished | State::GaveUp { .. } => true,
            State::Starting { .. } | State::EndingCommand { .. } | State::Stopping(_) => false,
        };
        if now >= asked.since.plus(EVIDENCE + stages + start + 4 * KILL_AFTER) {
            self.refuse(NotDone::TooLate);
        } else if seen == Seen::Unknown && is_idle && now >= asked.since.plus(LOOK_PATIENCE) {
            self.refuse(NotDone::CannotTell);
        } else if seen == Seen::LeftNear && is_idle {
            self.refuse(NotDone::LeftNear);
        }
    }

    /// The start command may be run now.
    pub(super) fn may_start(&self) -> bool {
        match self.may.start {
            MayStart::Yes => true,
            MayStart::OnRequest => self.asked.is_some_and(|asked| asked.what != Request::Stop),
            MayStart::No => false,
        }
    }

    /// The process is missing, no attempt is being judged, and somebody has asked for something.
    pub(super) fn missing_as_asked(&mut self, now: Time) -> Decision {
        if let Some(Asked { what: Request::Stop, stopped, .. }) = self.asked {
            if let Some(known) = stopped.map(|at| at + BACK_GRACE).filter(|known| now < *known) {
                return Action::Wait(known).into();
            }
            self.reply(Answer::Done);
            self.memory.on_probation = false;
            // A finished one stays so, and one that was given up.
            if let State::Fresh | State::Down { .. } = self.state {
                self.state = State::down(now + self.limits.health_check_interval);
            }
            return self.end_or_check(now, Outcome::LeftAlone);
        }
        if self.may_start() {
            self.memory = self.memory.without_failures();
        }
        self.start(now)
    }
}
