//! A look: at the process that is followed, or for one to follow; and what is known of one that died.

use std::rc::Rc;

use crate::hold::pause::Leave;
use crate::policy::{REAP_GRACE, Seen};
use crate::process::handle::{Check, Handle};
use crate::process::scan::Unknown;
use crate::process::termination::{Cause, Exit, Predecessor, Termination};
use crate::report::event::{AttemptEvent, Event, Lasting, Look, ProcessEvent, Then};
use crate::report::words::{ambiguity, near};
use crate::state::Sight;
use crate::state::said::{Notice, Told};
use crate::supervise::{Dying, REAP_PATIENCE, Supervisor};
use crate::sys;
use crate::time::{Time, now};

impl Supervisor {
    /// Looks at the process that is followed, or for one to follow.
    pub(super) fn look(&mut self) -> Seen {
        // Whether what is there now is left over depends on how the one before it died.
        if self.dying.as_ref().is_some_and(|dying| now() < dying.at + REAP_GRACE) {
            return Seen::Unknown;
        }
        let seen = match self.followed.take() {
            Some(followed) => self.look_at(followed),
            None => self.look_for(),
        };
        seen.unwrap_or_else(|unknown| {
            self.open(Look::Unknown);
            let event = Event::from(Lasting::Unknown(&unknown));
            if self.parts.settings.limits.once {
                // The outcome says it.
                self.facts.is_unknown_news |= self.parts.record.is_news(event.told());
            } else {
                self.parts.emit(event);
            }
            self.parts.record.sees(Sight::Unknown, None, now());
            Seen::Unknown
        })
    }

    fn look_at(&mut self, mut followed: Handle) -> Result<Seen, Unknown> {
        let started = followed.info().started;
        let check = followed.check(&self.parts.settings.criteria);
        let seen = match check {
            Ok(Check::Alive { stopped }) => {
                self.last_alive = now();
                self.parts.emit(Event::Over(Notice::Unknown));
                self.parts.sees_running(followed.info(), stopped, self.last_alive);
                Seen::Running { started }
            }
            Ok(Check::Dead) => return Ok(self.died(followed)),
            Ok(Check::Changed) => {
                self.parts.emit(ProcessEvent::Changed(followed.info()));
                self.lose(predecessor(&followed, now()));
                return Ok(Seen::Missing);
            }
            Err(unknown) => {
                self.followed = Some(followed);
                return Err(unknown);
            }
        };
        self.followed = Some(followed);
        Ok(seen)
    }

    fn look_for(&mut self) -> Result<Seen, Unknown> {
        let settings = Rc::clone(&self.parts.settings);
        let criteria = &settings.criteria;
        let matches = self.parts.proc.find(criteria, self.predecessor.as_ref())?;
        self.parts.emit(Event::Over(Notice::Unknown));
        if let Some(hint) = ambiguity(&matches.counting) {
            self.parts.emit(Lasting::Ambiguous { hint: &hint });
        }
        let others = matches.counting.len().saturating_sub(1);
        for process in matches.counting {
            let held = Handle::hold(&self.parts.proc, process, criteria, self.parts.open_pidfd)?;
            if let Some(mut followed) = held {
                self.last_alive = now();
                let ran = self.last_alive.saturating_sub(followed.info().started);
                self.facts.ever_seen = true;
                let stopped = matches!(followed.check(criteria), Ok(Check::Alive { stopped: true }));
                self.open(Look::Running { process: followed.info(), others, ran });
                self.parts.sees_running(followed.info(), stopped, self.last_alive);
                self.parts.record.note_signature(followed.info());
                self.parts.record.oom_kills(followed.oom_kills());
                let started = followed.info().started;
                if !self.parts.settings.limits.once && self.parts.record.was_told() {
                    self.parts.emit(AttemptEvent::Recovered(followed.info()));
                }
                self.followed = Some(followed);
                return Ok(Seen::Running { started });
            }
        }
        self.left_over(matches.left_over);
        self.parts.record.sees(Sight::Missing, None, now());
        self.facts.missing_since.get_or_insert_with(now);
        // After the start, which is not to wait for it.
        self.near_misses_due |= self.open(Look::Missing);
        Ok(Seen::Missing)
    }

    /// Names near misses if nothing has been found since they fell due. Whether they were looked for.
    pub(super) fn name_near_misses_if_due(&mut self) -> bool {
        let is_due = std::mem::take(&mut self.near_misses_due) && self.followed.is_none();
        if is_due {
            self.name_near_misses();
        }
        is_due
    }

    /// What nearly matches is what was meant, perhaps.
    pub(super) fn name_near_misses(&mut self) {
        self.near_misses_due = false;
        if let Ok(mut candidates) = self.parts.proc.survey(&self.parts.settings.criteria) {
            // Of the one that died there is a record.
            candidates.retain(|near| self.predecessor.as_ref().is_none_or(|old| old.pid != near.process.pid));
            if let Some(close) = near(&candidates) {
                self.parts.emit(Lasting::Near { close: &close });
            }
        }
        // A look at thousands has taken some.
        sys::give_back_free_memory();
    }

    /// The followed process is dead. How it died may be known only when its parent has waited for it.
    pub(super) fn died(&mut self, followed: Handle) -> Seen {
        let at = now();
        self.facts.named.clear();
        let started = followed.info().started;
        // Until it is known how it died, a young one may have been a launcher.
        let may_be_launcher = self.policy.may_be_launcher(Cause::Unknown, at.saturating_sub(started));
        let since = if may_be_launcher { started } else { self.latest_life(&followed, at) };
        // Its control group may be gone in a moment.
        let out_of_memory = followed.oom_kills().since(self.parts.proc.root());
        self.lose(predecessor(&followed, since));
        self.bury();
        // A child tells how it ended when it is waited for, whatever the kernel.
        self.child_changed |=
            self.command.as_ref().is_some_and(|command| command.pid() == followed.info().pid);
        self.dying = Some(Dying { followed, at, out_of_memory });
        self.reap();
        Seen::Died { at, started }
    }

    /// What started then or later is not of the time of a process that was found dead at `at`.
    fn latest_life(&self, followed: &Handle, at: Time) -> Time {
        // Without a pidfd it may have died at any time since the last check.
        if followed.pidfd().is_some() { at } else { self.last_alive }
    }

    fn lose(&mut self, predecessor: Predecessor) {
        self.parts.record.lost(&predecessor);
        self.predecessor = Some(predecessor);
    }

    /// How the process that died last did, if that is known by now.
    pub(super) fn how_it_died(&mut self) -> Option<Seen> {
        let dying = self.dying.as_mut()?;
        let Some(exit) = dying.followed.exit() else {
            if now() >= dying.at + REAP_PATIENCE {
                self.bury();
            }
            return None;
        };
        Some(self.explain(exit))
    }

    fn explain(&mut self, exit: Exit) -> Seen {
        let Some(Dying { followed, at, out_of_memory }) = self.dying.take() else {
            return Seen::Ended(Cause::Unknown);
        };
        let (pid, name, started) =
            (followed.info().pid, followed.info().name.clone(), followed.info().started);
        let out_of_memory = out_of_memory.filter(|kills| exit.may_come_of(*kills));
        let end = Termination { pid, name, started, at, exit, memory: followed.memory(), out_of_memory };
        let cause = end.cause();
        // What a launcher leaves has started since the launcher did.
        let is_launcher = self.policy.may_be_launcher(cause, end.ran());
        let since = if is_launcher { started } else { self.latest_life(&followed, at) };
        if let Some(predecessor) = self.predecessor.as_mut().filter(|old| old.pid == pid) {
            predecessor.since = since;
            self.parts.record.lost(predecessor);
        }
        let deaths = self.parts.record.ended(&end, is_launcher && cause == Cause::Finished);
        let now = now();
        let then = match (self.policy.delay_after(cause, end.ran()), self.policy.verdict()) {
            _ if matches!(self.parts.record.files().leave(now), Leave::Paused { .. }) => Then::LeftAlone,
            (Some(delay), _) => Then::Start(delay),
            (None, Some(verdict)) if verdict > now => Then::Verdict(verdict.saturating_sub(now)),
            _ => Then::Unsaid,
        };
        // The kernel will not change meanwhile.
        let explains =
            exit == Exit::Untold && self.parts.record.is_news(Told::Once(Notice::Untold, String::new()));
        self.parts.emit(ProcessEvent::Died { end: &end, then, deaths, explains });
        self.facts.missing_since.get_or_insert(at);
        self.facts.attempt.death = Some(end);
        Seen::Ended(cause)
    }

    /// Gives up on knowing how the process that died last did.
    pub(super) fn bury(&mut self) {
        if self.dying.is_some() {
            self.explain(Exit::NotWaitedFor);
        }
    }

    /// Keeps in mind by what a successor of the process is recognised.
    pub(super) fn refresh_signature(&mut self) {
        if let Some(followed) = &mut self.followed {
            followed.refresh_signature();
            self.parts.record.note_signature(followed.info());
        }
    }

    /// Lets go of what is followed, or was: something else is looked for, or the process ends with this
    /// watch, which is not its own doing.
    pub(super) fn let_go(&mut self) {
        self.followed = None;
        self.predecessor = None;
        self.parts.record.lets_go();
    }

    /// Counts anew what the OOM killer has done, so that a death is only put down to what it did lately,
    /// and notes that the process lives, so that one found dead later has not been so for long.
    pub(super) fn note_life(&mut self) {
        if let Some(followed) = &mut self.followed {
            followed.count_oom_kills(&self.parts.proc);
            self.parts.record.oom_kills(followed.oom_kills());
            self.parts.record.note_life();
        }
    }
}

/// What is needed of a process that is gone, to know what takes its place.
fn predecessor(followed: &Handle, since: Time) -> Predecessor {
    let process = followed.info();
    Predecessor { pid: process.pid, since, signature: process.signature.clone() }
}
