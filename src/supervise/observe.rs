//! A look: at the process that is followed, or for one to follow; and what is known of one that died.

use std::rc::Rc;
use std::time::Duration;

use crate::hold::Hold;
use crate::policy::{Ended, Life, Memory, REAP_GRACE, Seen, Still};
use crate::process::handle::{Check, Handle};
use crate::process::scan::{Tasks, Unknown};
use crate::process::stat::tick;
use crate::process::termination::{Cause, Exit, Predecessor, Termination};
use crate::process::{ProcessId, ProcessInfo};
use crate::report::event::{AttemptEvent, Event, Lasting, Look, ProcessEvent, Then};
use crate::report::log_lines::oddity;
use crate::report::words::{ambiguity, near};
use crate::settings::{Criteria, Settings, Subject};
use crate::state::Sight;
use crate::state::said::{Notice, Told};
use crate::supervise::start_command::StartCommand;
use crate::supervise::{Dying, Parts, REAP_PATIENCE, Supervisor};
use crate::sys;
use crate::time::{Time, now};

/// For so long after a start nothing else is looked at.
const FIRST_LOOKS: Duration = Duration::from_millis(150);

impl Supervisor {
    /// Looks at the process that is followed, or for one to follow.
    pub(super) fn look(&mut self) -> Seen {
        self.looked = now();
        // What comes next is not to meet the stop command at work.
        if self.stops.gone.is_some() {
            return Seen::Unknown;
        }
        // Whether what is there now is left over depends on how the one before it died.
        if self.dying.as_ref().is_some_and(|dying| now() < dying.at + REAP_GRACE) {
            return Seen::Unknown;
        }
        if let Some(descent) = self.descent.as_mut().filter(|_| self.policy.memory().judging) {
            descent.note(&self.parts.proc);
        }
        let seen = match self.followed.take() {
            Some(followed) => self.look_at(followed),
            None => self.look_for(),
        };
        seen.unwrap_or_else(|unknown| {
            // Its number is written a moment after it has begun.
            if self.may_be_about_to_write_its_pid() {
                return Seen::Unknown;
            }
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
        let id = followed.info().id();
        let check = followed.check(&self.parts.settings.criteria, &self.parts.proc);
        let seen = match check {
            Ok(Check::Alive { stopped }) => {
                self.last_alive = now();
                self.parts.emit(Event::Over(Notice::Unknown));
                if let Some(next) = self.named_instead(&followed) {
                    return Ok(self.hand_over(&followed, next));
                }
                let still = self.still(&followed, stopped);
                let is_suspended = stopped || still == Still::Suspended;
                self.parts.sees_running(&followed, is_suspended, self.last_alive);
                Seen::Running { id, still }
            }
            Ok(Check::Dead) => return Ok(self.died(followed)),
            // It is ended whatever it calls itself.
            Ok(Check::Changed) if self.stop_of(id).is_some() => Seen::Running { id, still: Still::No },
            Ok(Check::Changed) => {
                self.parts.emit(ProcessEvent::Changed(followed.info()));
                self.lose(Predecessor::new(followed.info(), now()));
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
        if let Some(seen) = self.look_for_the_one_before(criteria)? {
            return Ok(seen);
        }
        let tasks = self.own_tasks();
        let matches = self.parts.proc.find(criteria, self.predecessor.as_ref(), &tasks)?;
        self.parts.emit(Event::Over(Notice::Unknown));
        if let Some(hint) = ambiguity(&matches.counting) {
            self.parts.emit(Lasting::Ambiguous { hint: &hint });
        }
        let others = matches.counting.len().saturating_sub(1);
        let mut counting = matches.counting;
        let first = self.stopping().map(|stop| stop.process);
        counting.sort_by_key(|process| first.is_some_and(|first| process.id() != first));
        for process in counting {
            if let Some(followed) = Handle::hold(&self.parts.proc, process, criteria)? {
                let known = self.parts.record.state.process.as_ref().map(|process| process.id);
                let was_followed = known.is_some_and(|known| known.is_same(followed.info().id()));
                let is_first = !self.facts.has_looked;
                let (id, still) = self.follow(followed, others);
                if is_first && !was_followed {
                    self.doubt_successor(criteria.subject);
                }
                return Ok(Seen::Running { id, still });
            }
        }
        if let Some(id) = first.filter(|id| self.parts.proc.is_alive(*id)) {
            let pid = id.pid;
            return Err(Unknown(format!("process {pid}, which is being stopped, does not match any more")));
        }
        self.left_over(matches.left_over);
        self.parts.record.sees(Sight::Missing, None, now());
        self.facts.missing_since.get_or_insert_with(now);
        if self.has_left_near(criteria) {
            self.open(Look::Missing);
            return Ok(Seen::LeftNear);
        }
        // After the start, which is not to wait for it.
        self.near_misses_due |= self.open(Look::Missing);
        Ok(Seen::Missing)
    }

    /// The first record says what is followed, but not that it has taken the place of another, and is odd.
    fn doubt_successor(&mut self, subject: Subject) {
        let Memory { judging, gave_up_until, stopping, life, .. } = self.policy.memory();
        let is_told_anyway =
            judging || gave_up_until.is_some() || stopping.is_some() || life == Life::Finished;
        let both = self.followed.as_ref().map(Handle::info).zip(self.predecessor.as_ref());
        let Some((process, old)) = both.filter(|(process, old)| oddity(process, old, subject).is_some())
        else {
            return;
        };
        let (process, old) = (process.clone(), old.clone());
        // Each single check would tell it anew if it could not be remembered.
        let is_kept = |watch: &mut Self| watch.is_alone() && watch.parts.record.write().is_ok();
        if !is_told_anyway && (!self.parts.settings.limits.once || is_kept(self)) {
            let age = now().saturating_sub(process.started);
            self.parts.emit(ProcessEvent::Found { process: &process, predecessor: Some(&old), age });
        }
    }

    /// Looks for what a watch before this one followed, whatever it is called by now.
    fn look_for_the_one_before(&mut self, criteria: &Criteria) -> Result<Option<Seen>, Unknown> {
        let Some(process) = self.parts.record.followed_before.take() else { return Ok(None) };
        let held = Handle::resume(&self.parts.proc, &process, criteria)?;
        Ok(held.map(|followed| {
            self.parts.emit(Event::Over(Notice::Unknown));
            if let Some(next) = self.named_instead(&followed) {
                return self.hand_over(&followed, next);
            }
            let (id, still) = self.follow(followed, 0);
            Seen::Running { id, still }
        }))
    }

    /// The process that the pid file names by now, while the one lives that is followed; unless that is being stopped.
    fn named_instead(&mut self, followed: &Handle) -> Option<Handle> {
        let settings = Rc::clone(&self.parts.settings);
        if settings.criteria.pid_file.is_none() || self.stop_of(followed.info().id()).is_some() {
            return None;
        }
        let tasks = self.own_tasks();
        let proc = &self.parts.proc;
        let process = proc.named_instead(&settings.criteria, &tasks, followed.info().pid)?;
        Handle::hold(proc, process, &settings.criteria).ok().flatten()
    }

    /// Follows another process from here on. The one before has not died.
    fn hand_over(&mut self, from: &Handle, to: Handle) -> Seen {
        let (predecessor, process) = (Predecessor::new(from.info(), now()), to.info().clone());
        let (id, still) = self.follow(to, 0);
        let age = now().saturating_sub(process.started);
        let (process, predecessor) = (&process, Some(&predecessor));
        self.parts.emit(ProcessEvent::Found { process, predecessor, age });
        Seen::Handed { id, still }
    }

    fn may_be_about_to_write_its_pid(&self) -> bool {
        let Settings { criteria, limits, .. } = &*self.parts.settings;
        let is_judged = now() >= self.facts.attempt.began + limits.restart_wait_interval;
        criteria.pid_file.is_some() && self.policy.memory().judging && !is_judged
    }

    /// Follows it from here on.
    fn follow(&mut self, mut followed: Handle, others: usize) -> (ProcessId, Still) {
        let parts = &mut self.parts;
        self.last_alive = now();
        let ran = self.last_alive.saturating_sub(followed.info().started);
        let check = followed.check(&parts.settings.criteria, &parts.proc);
        let stopped = matches!(check, Ok(Check::Alive { stopped: true }));
        self.open(Look::Running { process: followed.info(), others, ran });
        let parts = &mut self.parts;
        parts.sees_running(&followed, stopped, self.last_alive);
        // What an attempt brings about may be a launcher of something else.
        if !self.policy.memory().judging {
            parts.record.state.ever_seen = true;
        }
        parts.emit(Event::Over(Notice::Finished));
        self.questions.shutdown.forget();
        parts.record.note_signature(followed.info());
        parts.record.state.oom_kills.clone_from(followed.oom_kills());
        if !parts.settings.limits.once && parts.record.state.told {
            parts.emit(AttemptEvent::Recovered(followed.info()));
        }
        let (id, still) = (followed.info().id(), self.still(&followed, stopped));
        self.followed = Some(followed);
        self.doubt_stop();
        (id, still)
    }

    /// What this watchdog runs itself.
    pub(super) fn own_tasks(&mut self) -> Tasks {
        let command = self.command.as_ref().map_or(0, StartCommand::pid);
        let Parts { record, proc, settings, .. } = &self.parts;
        let left = settings.hook.as_ref().and_then(|_| self.hooks.of_another(&record.files));
        let left = left.filter(|left| proc.is_alive(*left)).map(|left| left.pid);
        let others = self.tasks().into_iter().map(|task| task.pid()).filter(|pid| *pid != command);
        let others = others.chain(left).collect();
        Tasks { command, others }
    }

    /// Whether an attempt has left running what was meant, perhaps, and is called otherwise. That is looked for when
    /// the attempt is to be judged; and then, while the start command runs, it is asked whether the name is right.
    fn has_left_near(&mut self, criteria: &Criteria) -> bool {
        let Parts { record, proc, settings, .. } = &mut self.parts;
        if record.state.left_near.is_some_and(|left| proc.is_alive(left)) {
            return true;
        }
        record.leaves_near(None);
        let (now, wait, attempt) = (now(), settings.limits.restart_wait_interval, &mut self.facts.attempt);
        let is_due = now >= attempt.began + wait && attempt.looked_for_near.is_none_or(|at| now >= at + wait);
        let ended_well =
            attempt.command.as_ref().is_some_and(|end| end.status.is_some_and(|it| it.success()));
        let has_done_its_work = self.command.is_some() || ended_well;
        if !self.policy.memory().judging || record.state.ever_seen || !is_due || !has_done_its_work {
            return false;
        }
        // Its last child may be about to become what it is called.
        attempt.looked_for_near = self.command.is_some().then_some(now);
        let Some(descent) = &self.descent else { return false };
        let left = proc.left_running(descent, criteria);
        let mut meant: Vec<_> =
            left.iter().filter(|left| descent.has_meant(left, self.command.is_some())).collect();
        meant.sort_by_key(|left| (left.near, left.process.order()));
        if let Some(meant) = meant.first() {
            record.leaves_near(Some(meant.process.id()));
            self.facts.left_near = Some((*meant).clone());
            return true;
        }
        if self.command.is_some() {
            self.doubt_name(true, &left);
        }
        false
    }

    /// Names near misses if nothing has been found since they fell due. Whether they were looked for.
    pub(super) fn name_near_misses_if_due(&mut self) -> bool {
        // The first looks after a start come quickly, and are to see what comes of it.
        let is_early = self.policy.memory().judging && now() < self.facts.attempt.began + FIRST_LOOKS;
        let is_due = !is_early && std::mem::take(&mut self.near_misses_due) && self.followed.is_none();
        if is_due {
            // What the start command has just begun is judged with it.
            let began = self.facts.attempt.began;
            self.name_near_misses(if began.is_zero() { Time::MAX } else { began });
        }
        is_due
    }

    /// What nearly matches, and began before this, is what was meant, perhaps.
    pub(super) fn name_near_misses(&mut self, before: Time) {
        self.near_misses_due = false;
        if let Ok(mut candidates) = self.parts.proc.survey(&self.parts.settings.criteria) {
            // Of the one that died there is a record.
            let is_other = |pid| self.predecessor.as_ref().is_none_or(|old| old.pid != pid);
            let is_old = |process: &ProcessInfo| process.started + tick() <= before;
            candidates.retain(|near| is_old(&near.process) && is_other(near.process.pid));
            if let Some(close) = near(&candidates) {
                self.parts.emit(Lasting::Near { close: &close });
                let suspect = candidates.into_iter().find(|near| near.remedy.is_some());
                self.facts.suspect = self.facts.suspect.take().or(suspect);
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
        if let Some(seen) = self.was_stopped(&followed) {
            return seen;
        }
        // Until it is known how it died, a young one may have been a launcher.
        let may_be_launcher = self.policy.may_be_launcher(Cause::Unknown, at.saturating_sub(started));
        let since = if may_be_launcher { started } else { self.latest_life(&followed, at) };
        // Its control group may be gone in a moment.
        let out_of_memory = followed.oom_kills().since(self.parts.proc.root());
        self.lose(Predecessor::new(followed.info(), since));
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

    pub(super) fn lose(&mut self, predecessor: Predecessor) {
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
            return Seen::Ended(Ended { cause: Cause::Unknown, as_expected: false });
        };
        let (pid, name, started) =
            (followed.info().pid, followed.info().name.clone(), followed.info().started);
        let out_of_memory = out_of_memory.filter(|kills| exit.may_come_of(*kills));
        let end = Termination { pid, name, started, at, exit, memory: followed.memory, out_of_memory };
        let cause = end.cause();
        let ended = Ended { cause, as_expected: exit.is_among(&self.parts.settings.exit_codes) };
        // What a launcher leaves has started since the launcher did.
        let is_launcher = self.policy.may_be_launcher(cause, end.ran());
        let since = if is_launcher { started } else { self.latest_life(&followed, at) };
        if let Some(predecessor) = self.predecessor.as_mut().filter(|old| old.pid == pid) {
            predecessor.since = since;
            self.parts.record.lost(predecessor);
        }
        let was_wanted = ended.as_expected && self.policy.finishes(ended);
        let deaths = self.parts.record.ended(&end, is_launcher && cause == Cause::Finished, was_wanted);
        let now = now();
        self.look_for_holds(true);
        let then = match (self.policy.delay_after(cause, end.ran()), self.policy.verdict()) {
            _ if !self.holds.is_empty() => {
                Then::Held(self.holds.first().map_or(Hold::Paused, |held| held.hold))
            }
            _ if self.policy.finishes(ended) => Then::Finish,
            (Some(delay), _) => Then::Start(delay),
            (None, Some(verdict)) if verdict > now => Then::Verdict(verdict.saturating_sub(now)),
            _ => Then::Unsaid,
        };
        // Whoever has stopped it may be the machine that shuts down.
        if let (Then::Start(_), Cause::Finished | Cause::Stopped | Cause::Unknown) = (&then, cause) {
            self.questions.shutdown.ask();
        }
        // The kernel will not change meanwhile.
        let explains =
            exit == Exit::Untold && self.parts.record.is_news(Told::Once(Notice::Untold, String::new()));
        self.parts.emit(ProcessEvent::Died { end: &end, then, deaths, explains });
        self.facts.missing_since.get_or_insert(at);
        self.facts.attempt.death = Some(end);
        Seen::Ended(ended)
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
            followed.refresh(&self.parts.settings.criteria, &self.parts.proc);
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
            self.parts.record.state.oom_kills.clone_from(followed.oom_kills());
            self.parts.record.note_life();
        }
    }
}
