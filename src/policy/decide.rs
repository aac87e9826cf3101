//! Each state × each observation, written out. A new observation does not compile until every state has said
//! what it means.

use std::time::Duration;

use super::{
    Action, Decision, Failure, KILL_AFTER, LONGEST_RETRY, Lost, Memory, News, Outcome, REAP_GRACE, Seen,
};
use super::{DEFAULT_RETRY, END_LOOK, FIRST_LOOK, SETTLE};
use crate::process::termination::Cause;
use crate::settings::Limits;
use crate::time::Time;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has looked yet.
    Fresh,
    /// It runs, since `started`.
    Up { started: Time },
    /// It is gone, and is started at `until` unless it is back.
    Down { until: Time, cause: DownCause },
    /// The start command was run at `at` and is to be judged.
    Starting { at: Since, sight: Sight },
    /// The start command overran and is being ended.
    EndingCommand { since: Since, killed: bool },
    /// Enough failures; a fresh round begins at `until`.
    GaveUp { until: Time },
}

/// What is known of why it is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DownCause {
    /// Not yet how it ended: at `at`, after it `ran` for so long.
    Awaited { at: Time, ran: Duration },
    /// Its process was a daemon's launcher, perhaps: a look will tell.
    Launcher,
    /// All that matters.
    Known,
}

/// What an attempt has brought about so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    NotYet,
    Present,
    Gone {
        at: Time,
        ran: Duration,
        cause: Option<Cause>,
    },
    /// What it left running is near, and told.
    Near,
}

/// The beginning of something that has its time, and the time that was lost since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Since {
    at: Time,
    lost: Lost,
}

impl Since {
    fn new(at: Time) -> Self {
        Since { at, lost: Lost::default() }
    }

    /// When it has lasted for `length`. Sleep does not count, and being stalled not for more than once the
    /// length: whatever stalls the watch, it does not wait for ever.
    fn plus(self, length: Duration) -> Time {
        self.at + length + self.lost.slept + self.lost.stalled.min(length)
    }

    fn lose(self, Lost { slept, stalled }: Lost) -> Self {
        let lost = Lost {
            slept: self.lost.slept.saturating_add(slept),
            stalled: self.lost.stalled.saturating_add(stalled),
        };
        Since { lost, ..self }
    }
}

/// The state of one watch.
#[derive(Debug, Clone)]
pub struct Policy {
    limits: Limits,
    state: State,
    /// Failed attempts in a row.
    failures: u32,
    /// The running process came from an attempt and is not stable yet: if it crashes, that attempt
    /// turns into a failure.
    on_probation: bool,
    /// The start command is at work, and is waited for since then.
    command: Option<Since>,
    /// When the start command of the last attempt ended.
    command_ended: Option<Time>,
    last_attempt: Option<Time>,
    /// Rounds of attempts given up since the process was last stable.
    rounds: u32,
    /// Somebody wants it left alone.
    leave: bool,
    /// There was an attempt in this run.
    has_started: bool,
    counted_by: CountedBy,
}

/// Whose failures are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CountedBy {
    /// Those of this run's series.
    Ours,
    /// Those of other runs.
    Others,
}

impl Policy {
    /// A watch that begins, with nothing known.
    pub fn new(limits: Limits) -> Self {
        Policy {
            limits,
            state: State::Fresh,
            failures: 0,
            on_probation: false,
            command: None,
            command_ended: None,
            last_attempt: None,
            rounds: 0,
            leave: false,
            has_started: false,
            counted_by: CountedBy::Ours,
        }
    }

    /// A watch that goes on where another stopped; `command` is since when its start command has been
    /// at work, if it is.
    pub fn recall(limits: Limits, memory: Memory, command: Option<Time>) -> Self {
        let Memory { failures, on_probation, last_attempt, judging, rounds, gave_up_until } = memory;
        let state = match (gave_up_until, last_attempt) {
            (Some(until), _) => State::GaveUp { until },
            (None, Some(at)) if judging => State::Starting { at: Since::new(at), sight: Sight::NotYet },
            _ => State::Fresh,
        };
        let command = command.map(Since::new);
        Policy { state, failures, on_probation, command, last_attempt, rounds, ..Policy::new(limits) }
    }

    /// What the next watch needs to know.
    pub fn memory(&self) -> Memory {
        Memory {
            failures: self.failures,
            on_probation: self.on_probation,
            last_attempt: self.last_attempt,
            judging: matches!(self.state, State::Starting { .. } | State::EndingCommand { .. }),
            rounds: self.rounds,
            gave_up_until: if let State::GaveUp { until } = self.state { Some(until) } else { None },
        }
    }

    /// Goes on with other limits.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Forgets failures and a give-up, since somebody said so.
    pub fn forget(&mut self, now: Time) {
        self.failures = 0;
        self.rounds = 0;
        self.on_probation = false;
        match self.state {
            State::GaveUp { .. } => {
                self.state = State::Down { until: self.earliest_start(now), cause: DownCause::Known };
            }
            // The attempt is not judged any more.
            State::Starting { .. } => self.state = State::Fresh,
            State::Fresh | State::Up { .. } | State::Down { .. } | State::EndingCommand { .. } => {}
        }
    }

    /// What is remembered is of another series of runs: nothing is given up because of that alone.
    pub fn begin_series(&mut self) {
        self.counted_by = CountedBy::Others;
    }

    /// What was followed and counted is forgotten, for another process is watched from here on, or none. Two
    /// start commands stay as far apart as they have to be.
    pub fn begin_anew(&mut self) {
        self.failures = 0;
        self.rounds = 0;
        self.on_probation = false;
        self.state = State::Fresh;
    }

    /// Whether a process that ended so, after it `ran` for so long, may have been a daemon's
    /// launcher: it ends with status 0 once the daemon stands on its own feet, so what started after
    /// the launcher's start counts, and not only what started after its end.
    pub fn may_be_launcher(&self, cause: Cause, ran: Duration) -> bool {
        matches!(cause, Cause::Finished | Cause::Unknown) && ran < self.limits.restart_wait_interval
    }

    /// How long after such an end of the process the start comes, unless an attempt is being judged or
    /// was the last.
    pub fn delay_after(&self, cause: Cause, ran: Duration) -> Option<Duration> {
        let is_last = self.limits.max_fail_count.is_some_and(|max| self.failures.saturating_add(1) >= max);
        let is_down = matches!(self.state, State::Down { .. });
        (is_down && !(is_last && self.is_failure(cause, ran))).then(|| self.delay(cause))
    }

    /// Whether a give-up is not the first since the process was stable, somebody resumed it, or the settings changed.
    pub fn has_given_up_before(&self) -> bool {
        self.rounds > 1
    }

    /// When the attempt is judged whose process has ended.
    pub fn verdict(&self) -> Option<Time> {
        match self.state {
            State::Starting { at, sight: Sight::Gone { .. } } => {
                Some(at.plus(self.limits.restart_wait_interval))
            }
            _ => None,
        }
    }

    /// Whether the attempt that brought about what ended so turns into a failure.
    fn is_failure(&self, cause: Cause, ran: Duration) -> bool {
        self.on_probation
            && matches!(cause, Cause::Crashed | Cause::Unknown)
            && ran < self.limits.stable_after
    }

    /// What to do at `now`, after `seen`. Nothing is started unless it `may_start`.
    pub fn decide(&mut self, now: Time, seen: Seen, may_start: bool) -> Decision {
        self.leave = !may_start;
        if seen == Seen::CommandEnded {
            self.command = None;
            self.command_ended = Some(now);
        }
        if let Seen::Lost(lost) = seen {
            self.command = self.command.map(|since| since.lose(lost));
        }
        match self.state {
            State::Fresh => self.fresh(now, seen),
            State::Up { started } => self.up(now, seen, started),
            State::Down { until, cause } => self.down(now, seen, until, cause),
            State::Starting { at, sight } => self.starting(now, seen, at, sight),
            State::EndingCommand { since, killed } => self.ending_command(now, seen, since, killed),
            State::GaveUp { until } => self.given_up(now, seen, until),
        }
    }

    fn fresh(&mut self, now: Time, seen: Seen) -> Decision {
        match seen {
            Seen::Running { started } => self.found(now, started, false),
            // It came from an attempt of the watch before, and did not last. While somebody wants it left
            // alone, whoever ended it may have meant to.
            Seen::Missing if self.on_probation && !self.leave => self.failed(now, Failure::Unstable),
            Seen::Missing => {
                self.on_probation = false;
                self.start(now)
            }
            Seen::Unknown | Seen::LeftNear => self.cannot_tell(now),
            Seen::Nothing
            | Seen::Died { .. }
            | Seen::Ended(_)
            | Seen::Started
            | Seen::CommandEnded
            | Seen::CommandRefused
            | Seen::Lost(_) => Action::Look.into(),
        }
    }

    fn up(&mut self, now: Time, seen: Seen, started: Time) -> Decision {
        match seen {
            Seen::Nothing | Seen::Lost(_) => Action::Look.into(),
            Seen::Running { .. } if now >= started + self.limits.stable_after => self.stable(now),
            // It lives, but is no longer what is looked for.
            Seen::Missing | Seen::LeftNear => self.died(now, started),
            Seen::Died { at, started } => self.died(at, started),
            Seen::Running { .. }
            | Seen::Unknown
            | Seen::Ended(_)
            | Seen::Started
            | Seen::CommandEnded
            | Seen::CommandRefused => self.next_check(now),
        }
    }

    fn down(&mut self, now: Time, seen: Seen, until: Time, cause: DownCause) -> Decision {
        let is_due = now >= until;
        match (seen, cause) {
            (Seen::Running { started }, _) => {
                // What a launcher leaves is on the same probation.
                self.on_probation &= cause == DownCause::Launcher;
                self.found(now, started, true)
            }
            (Seen::Ended(cause), DownCause::Awaited { ran, .. }) if self.may_be_launcher(cause, ran) => {
                self.state = State::Down { until, cause: DownCause::Launcher };
                Action::Look.into()
            }
            (Seen::Ended(cause), DownCause::Awaited { at, ran }) => self.weigh(now, at, ran, cause),
            (Seen::Nothing | Seen::Missing, DownCause::Awaited { at, ran }) if is_due => {
                self.weigh(now, at, ran, Cause::Unknown)
            }
            // Nor did anybody start it again, though it may have been stopped for that.
            (Seen::Missing, DownCause::Launcher) if self.on_probation && is_due => {
                self.failed(now, Failure::Unstable)
            }
            (Seen::Missing, _) if is_due => self.start(now),
            (Seen::Unknown | Seen::LeftNear, _) => self.next_check(now),
            (
                Seen::Nothing
                | Seen::Missing
                | Seen::Died { .. }
                | Seen::Ended(_)
                | Seen::Started
                | Seen::CommandEnded
                | Seen::CommandRefused
                | Seen::Lost(_),
                _,
            ) => look_or_wait(now, until),
        }
    }

    fn starting(&mut self, now: Time, seen: Seen, at: Since, sight: Sight) -> Decision {
        let judged_at = at.plus(self.limits.restart_wait_interval);
        match seen {
            Seen::CommandRefused => {
                self.command = None;
                self.last_attempt = None;
                self.state =
                    State::Down { until: now + self.limits.health_check_interval, cause: DownCause::Known };
                self.next_check(now)
            }
            Seen::Running { started } if now >= judged_at => self.succeeded(now, started),
            Seen::Running { .. } => {
                self.state = State::Starting { at, sight: Sight::Present };
                let wait = Action::Wait(judged_at.min(now + self.limits.health_check_interval));
                match sight {
                    Sight::Present => wait.into(),
                    Sight::NotYet | Sight::Gone { .. } | Sight::Near => {
                        wait.with(News::Appeared { after: now.saturating_sub(at.at) })
                    }
                }
            }
            Seen::Died { at: died, started } => {
                let ran = died.saturating_sub(started);
                self.state = State::Starting { at, sight: Sight::Gone { at: died, ran, cause: None } };
                self.next_look(now, at.at, judged_at)
            }
            Seen::Ended(cause) => {
                if let Sight::Gone { at: died, ran, .. } = sight {
                    let sight = Sight::Gone { at: died, ran, cause: Some(cause) };
                    self.state = State::Starting { at, sight };
                    if self.may_be_launcher(cause, ran) {
                        return Action::Look.into();
                    }
                }
                self.next_look(now, at.at, judged_at)
            }
            Seen::Started => self.next_look(now, at.at, judged_at),
            Seen::Missing | Seen::LeftNear if now < judged_at => self.next_look(now, at.at, judged_at),
            Seen::Missing => self.judge_missing(now, at, judged_at, sight),
            Seen::LeftNear => self.left_near(now, at, sight),
            Seen::Unknown if self.limits.once && now >= at.plus(self.limits.start_timeout) => {
                Action::End(Outcome::Unknown).into()
            }
            Seen::Unknown if now < judged_at => self.next_look(now, at.at, judged_at),
            Seen::Unknown => self.next_check(now),
            Seen::Lost(lost) => {
                self.state = State::Starting { at: at.lose(lost), sight };
                Action::Look.into()
            }
            Seen::Nothing | Seen::CommandEnded => Action::Look.into(),
        }
    }

    /// It is missing when the attempt is to be judged.
    fn judge_missing(&mut self, now: Time, at: Since, judged_at: Time, sight: Sight) -> Decision {
        if self.command.is_some() {
            return self.outwait(now);
        }
        let settle = self.limits.restart_wait_interval.clamp(SETTLE.0, SETTLE.1);
        let settled_at = self.command_ended.map_or(judged_at, |ended| judged_at.max(ended + settle));
        if now < settled_at {
            return self.next_look(now, self.command_ended.unwrap_or(at.at), settled_at);
        }
        match sight {
            // One run has to end some time, whoever goes on killing what it starts.
            Sight::Gone { at: died, cause: Some(cause @ (Cause::Stopped | Cause::Killed)), .. }
                if !self.limits.once =>
            {
                let until = now.max(died + self.delay(cause));
                self.state = State::Down { until, cause: DownCause::Known };
                Action::Wait(until).with(News::Undone)
            }
            Sight::Gone { .. } => self.failed(now, Failure::Ended),
            Sight::NotYet | Sight::Present | Sight::Near => self.failed(now, Failure::Missing),
        }
    }

    /// What the attempt left running is what was meant, perhaps: that is not started twice.
    fn left_near(&mut self, now: Time, at: Since, sight: Sight) -> Decision {
        self.state = State::Starting { at, sight: Sight::Near };
        let action =
            if self.limits.once { Action::End(Outcome::Unknown) } else { self.next_check(now).action };
        if sight == Sight::Near { action.into() } else { action.with(News::LeftNear) }
    }

    fn ending_command(&mut self, now: Time, seen: Seen, mut since: Since, killed: bool) -> Decision {
        if let Seen::Lost(lost) = seen {
            since = since.lose(lost);
            self.state = State::EndingCommand { since, killed };
        }
        match seen {
            Seen::CommandEnded => self.failed(now, Failure::Overran),
            Seen::Nothing
            | Seen::Running { .. }
            | Seen::Missing
            | Seen::LeftNear
            | Seen::Unknown
            | Seen::Died { .. }
            | Seen::Ended(_)
            | Seen::Started
            | Seen::CommandRefused
            | Seen::Lost(_) => {
                let kill_at = since.plus(KILL_AFTER);
                if killed {
                    self.next_check(now)
                } else if now < kill_at {
                    Action::Wait(kill_at.min(now + END_LOOK)).into()
                } else {
                    self.state = State::EndingCommand { since, killed: true };
                    Action::KillCommand.into()
                }
            }
        }
    }

    fn given_up(&mut self, now: Time, seen: Seen, until: Time) -> Decision {
        match seen {
            Seen::Running { started } => {
                self.failures = 0;
                self.found(now, started, true)
            }
            Seen::Missing if now >= until && !self.leave => {
                self.failures = 0;
                self.start(now)
            }
            Seen::Missing if self.limits.once => Action::End(Outcome::LeftAlone).into(),
            Seen::Missing if until > now => {
                Action::Wait(until.min(now + self.limits.health_check_interval)).into()
            }
            Seen::Unknown | Seen::LeftNear => self.cannot_tell(now),
            Seen::Nothing | Seen::Lost(_) => Action::Look.into(),
            Seen::Missing
            | Seen::Died { .. }
            | Seen::Ended(_)
            | Seen::Started
            | Seen::CommandEnded
            | Seen::CommandRefused => self.next_check(now),
        }
    }

    /// A look could not tell, and no attempt is being judged.
    fn cannot_tell(&self, now: Time) -> Decision {
        if self.limits.once { Action::End(Outcome::Unknown).into() } else { self.next_check(now) }
    }

    /// The process runs, and no attempt of ours is being judged.
    fn found(&mut self, now: Time, started: Time, by_itself: bool) -> Decision {
        self.state = State::Up { started };
        if self.limits.once {
            if now >= started + self.limits.stable_after {
                self.stable(now);
            }
            let started = self.has_started;
            return Action::End(Outcome::Running { started }).with(News::Found { by_itself });
        }
        Action::Wait(now + self.limits.health_check_interval).with(News::Found { by_itself })
    }

    fn succeeded(&mut self, now: Time, started: Time) -> Decision {
        let news = News::Succeeded { attempt: self.failures.saturating_add(1) };
        self.on_probation = !self.limits.stable_after.is_zero();
        if !self.on_probation {
            self.failures = 0;
        }
        self.state = State::Up { started };
        if self.limits.once {
            return Action::End(Outcome::Running { started: true }).with(news);
        }
        Action::Wait(now + self.limits.health_check_interval).with(news)
    }

    fn stable(&mut self, now: Time) -> Decision {
        let forgotten = self.failures;
        self.on_probation = false;
        self.failures = 0;
        self.rounds = 0;
        let Decision { action, .. } = self.next_check(now);
        if forgotten > 0 { action.with(News::Stable { forgotten }) } else { action.into() }
    }

    fn died(&mut self, at: Time, started: Time) -> Decision {
        let until = self.earliest_start(at + self.limits.after_stop.max(REAP_GRACE));
        let ran = at.saturating_sub(started);
        // A command that stayed with the process has its time to end from here on.
        self.command = self.command.map(|_| Since::new(at));
        self.state = State::Down { until, cause: DownCause::Awaited { at, ran } };
        Action::Wait(until).into()
    }

    /// What follows from how the process died.
    fn weigh(&mut self, now: Time, at: Time, ran: Duration, cause: Cause) -> Decision {
        let until = self.earliest_start(at + self.delay(cause));
        if self.is_failure(cause, ran) {
            return self.failed_at(now, until, Failure::Unstable);
        }
        self.on_probation = false;
        self.state = State::Down { until, cause: DownCause::Known };
        look_or_wait(now, until)
    }

    fn failed(&mut self, now: Time, why: Failure) -> Decision {
        self.failed_at(now, self.earliest_start(now), why)
    }

    /// One failure more. Unless that is enough, the next attempt may come at `until`.
    fn failed_at(&mut self, now: Time, until: Time, why: Failure) -> Decision {
        self.on_probation = false;
        self.failures = self.failures.saturating_add(1);
        let failures = self.failures;
        let may_give_up = self.has_started || self.counted_by == CountedBy::Ours;
        let Some(_) = self.limits.max_fail_count.filter(|max| may_give_up && failures >= *max) else {
            // One more of its own is enough.
            let most = self.limits.max_fail_count.map(|max| max.saturating_sub(1));
            self.failures = most.map_or(failures, |most| failures.min(most));
            self.state = State::Down { until, cause: DownCause::Known };
            let action = if now >= until { Action::Look } else { Action::Wait(until) };
            return action.with(News::Failed { failures, why });
        };
        let first = self.limits.retry_after.unwrap_or(DEFAULT_RETRY);
        let pause = first.saturating_mul(1 << self.rounds.min(16)).min(LONGEST_RETRY.max(first));
        self.rounds = self.rounds.saturating_add(1);
        self.state = State::GaveUp { until: now + pause };
        let ends = self.limits.once || self.limits.retry_after.is_none();
        let action = if ends { Action::End(Outcome::GaveUp) } else { self.next_check(now).action };
        let retry = (!ends || self.limits.once).then_some(pause);
        action.with(News::GaveUp { failures, why, retry })
    }

    /// The process is missing: start it, unless the command of the last start is still at it.
    fn start(&mut self, now: Time) -> Decision {
        if self.leave && self.limits.once {
            return Action::End(Outcome::LeftAlone).into();
        }
        let until = self.earliest_start(now);
        if self.leave || until > now {
            self.state = State::Down { until: until.max(now), cause: DownCause::Known };
            return if self.leave { self.next_check(now) } else { Action::Wait(until).into() };
        }
        if self.command.is_some() {
            return self.outwait(now);
        }
        self.command = Some(Since::new(now));
        self.command_ended = None;
        self.has_started = true;
        self.last_attempt = Some(now);
        self.state = State::Starting { at: Since::new(now), sight: Sight::NotYet };
        Action::Start { attempt: self.failures.saturating_add(1) }.into()
    }

    /// The process is missing and the start command at work: wait on, but not for ever.
    fn outwait(&mut self, now: Time) -> Decision {
        let patience_ends = self.command.map_or(now, |since| since.plus(self.limits.start_timeout));
        if now < patience_ends {
            return Action::Wait(patience_ends.min(now + self.limits.health_check_interval)).into();
        }
        self.state = State::EndingCommand { since: Since::new(now), killed: false };
        Action::StopCommand.with(News::Overran)
    }

    /// `wanted`, or later, so that two attempts are never closer than `restart_wait_interval`.
    fn earliest_start(&self, wanted: Time) -> Time {
        let spaced = self.last_attempt.map(|last| last + self.limits.restart_wait_interval);
        spaced.map_or(wanted, |spaced| wanted.max(spaced))
    }

    fn delay(&self, cause: Cause) -> Duration {
        match cause {
            Cause::Killed | Cause::Crashed => self.limits.restart_delay,
            Cause::Finished | Cause::Stopped | Cause::Unknown => self.limits.after_stop,
        }
    }

    fn next_check(&self, now: Time) -> Decision {
        Action::Wait(now + self.limits.health_check_interval).into()
    }

    /// While an attempt is young, looks come quickly: 10 ms after it, then at twice the time each.
    fn next_look(&self, now: Time, at: Time, deadline: Time) -> Decision {
        let pause = now.saturating_sub(at).max(FIRST_LOOK).min(self.limits.health_check_interval);
        Action::Wait(deadline.min(now + pause)).into()
    }
}

fn look_or_wait(now: Time, until: Time) -> Decision {
    if now >= until { Action::Look.into() } else { Action::Wait(until).into() }
}
