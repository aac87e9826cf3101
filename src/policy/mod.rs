//! The decision: state × what was seen × time → action.
//!
//! Pure: no clock, no file, no log. Whoever calls [`Policy::decide`] passes in the time and what was
//! seen, carries out the one action that comes back, and says what came of it; until the action is
//! [`Action::Wait`], when there is nothing to do before that time unless something happens.

use crate::process::termination::Cause;
use crate::settings::Limits;
use crate::time::Time;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::millis;

/// How long a start command that overran has between SIGTERM and SIGKILL.
pub const KILL_AFTER: Duration = Duration::from_secs(5);
/// How often it is asked meanwhile whether it has ended with all of its process group, which may take a look
/// through all processes.
const END_LOOK: Duration = Duration::from_millis(250);
/// From giving up to a fresh round, where nothing else was said and later runs remember.
pub const DEFAULT_RETRY: Duration = Duration::from_secs(600);
/// The longest pause between two rounds of attempts.
pub const LONGEST_RETRY: Duration = Duration::from_secs(3600);
/// How a process died is known once its parent has waited for it, which takes a moment.
pub const REAP_GRACE: Duration = Duration::from_millis(50);
/// What a start command puts into the background last takes a moment to become what it is called: it has as
/// long as the whole attempt, but no less and no more than this.
const SETTLE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));
/// After a start command was run, the first look for the process. The next come at twice the time
/// each, until they are `health_check_interval` apart.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// What a watch knows beyond its own run, so that the next one goes on where it stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Failed attempts in a row.
    pub failures: u32,
    /// The process came from an attempt and is not stable yet.
    pub on_probation: bool,
    /// When the last attempt began.
    #[serde(rename = "last_attempt_ms", with = "millis::optional")]
    pub last_attempt: Option<Time>,
    /// That attempt is not judged yet.
    pub judging: bool,
    /// Rounds of attempts given up since the process was last stable.
    pub rounds: u32,
    /// It was given up; a fresh round begins then.
    #[serde(rename = "gave_up_until_ms", with = "millis::optional")]
    pub gave_up_until: Option<Time>,
}

impl Memory {
    /// What of it can be true at `now`. A time that is still to come, as where the clock of a container was
    /// set back, would keep the watch from its work until then.
    pub fn as_of(self, now: Time, limits: &Limits) -> Self {
        let latest = now.saturating_add(LONGEST_RETRY.max(limits.retry_after.unwrap_or_default()));
        Memory {
            last_attempt: self.last_attempt.map(|at| at.min(now)),
            gave_up_until: self.gave_up_until.map(|until| until.min(latest)),
            ..self
        }
    }

    /// With the attempt that was made at `at`, should it not be known: a watch that is killed just after
    /// the start command was run cannot write that down any more. `is_at_work` is that command.
    pub fn with_attempt(self, at: Time, is_at_work: bool) -> Self {
        if self.last_attempt.is_some_and(|last| at <= last) {
            return self;
        }
        // Where nothing is known, what came of it may have been judged long ago.
        let judging = is_at_work || self.last_attempt.is_some();
        // After a give-up it was the first of a fresh round.
        let failures = if self.gave_up_until.is_some() { 0 } else { self.failures };
        Memory { last_attempt: Some(at), judging, failures, gave_up_until: None, ..self }
    }
}

/// What was seen since the last decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: the time that was waited for has come.
    Nothing,
    /// A look found the process, which started at this time.
    Running {
        /// When it started.
        started: Time,
    },
    /// A look found nothing that counts.
    Missing,
    /// A look could not tell.
    Unknown,
    /// The followed process is dead. How it ended follows as [`Seen::Ended`], if it can be known.
    Died {
        /// When it died, or was found dead.
        at: Time,
        /// When it had started.
        started: Time,
    },
    /// How the process that died last ended.
    Ended(Cause),
    /// The start command has been run.
    Started,
    /// The start command has ended.
    CommandEnded,
    /// The start command could not even be created, for want of resources.
    CommandRefused,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing, until this time or until something happens.
    Wait(Time),
    /// Look for the process, or at it.
    Look,
    /// Run the start command.
    Start {
        /// Which attempt in a row this is, from 1.
        attempt: u32,
    },
    /// Ask the start command's process group to end (SIGTERM).
    StopCommand,
    /// Kill the start command's process group and wait for the command (SIGKILL).
    KillCommand,
    /// The watch is over.
    End(Outcome),
}

/// How a watch ends by its own decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// `--once`: the process is running.
    Running {
        /// It took an attempt.
        started: bool,
    },
    /// `max_fail_count` attempts failed in a row.
    GaveUp,
    /// `--once`: nobody can tell.
    Unknown,
    /// `--once`: the process is not running, and is left alone.
    LeftAlone,
}

/// What has changed, for the log. Most decisions change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The process is there, and no attempt is being judged.
    Found {
        /// It had been missing.
        by_itself: bool,
    },
    /// The process is there after the start command.
    Appeared {
        /// Time from the start command to this look.
        after: Duration,
    },
    /// The attempt was judged: the process is running.
    Succeeded {
        /// Which attempt in a row it was, from 1.
        attempt: u32,
    },
    /// The attempt was judged: a failure.
    Failed {
        /// Failures in a row, with this one.
        failures: u32,
        /// What was wrong.
        why: Failure,
    },
    /// The attempt was judged: the process did run, but somebody ended it.
    Undone,
    /// The process has run long enough for the failures before it to be forgotten.
    Stable {
        /// How many there were.
        forgotten: u32,
    },
    /// The start command has been at work for too long.
    Overran,
    /// A failure, and enough of them.
    GaveUp {
        /// Failures in a row, with this one.
        failures: u32,
        /// What was wrong with the last.
        why: Failure,
        /// Time until a fresh round, if there is one.
        retry: Option<Duration>,
    },
}

/// Why an attempt is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It was missing when the attempt was judged.
    Missing,
    /// It was there, and ended before it was judged.
    Ended,
    /// It was missing when the start command's time was up.
    Overran,
    /// It ran when the attempt was judged, and crashed before it was stable.
    Unstable,
}

/// A decision: one action, and what has changed with it, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// What to say.
    pub news: Option<News>,
}

impl From<Action> for Decision {
    fn from(action: Action) -> Self {
        Decision { action, news: None }
    }
}

impl Action {
    fn with(self, news: News) -> Decision {
        Decision { action: self, news: Some(news) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has looked yet.
    Fresh,
    /// It runs, since `started`.
    Running { started: Time },
    /// It is gone, and is started at `until` unless it is back.
    Down { until: Time, death: Death },
    /// The start command was run at `at` and is to be judged.
    Trying { at: Time, sight: Sight },
    /// The start command overran and is being ended.
    Overran { since: Time, killed: bool },
    /// Enough failures; a fresh round begins at `until`.
    GaveUp { until: Time },
}

/// What is known of the death that led to [`State::Down`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// Not yet how it ended: at `at`, after it `ran` for so long.
    Unexplained { at: Time, ran: Duration },
    /// A daemon's launcher, perhaps: a look will tell.
    Launcher,
    /// All that matters.
    Weighed,
}

/// What an attempt has brought about so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    NotYet,
    Present,
    Gone { at: Time, ran: Duration, ending: Option<Cause> },
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
    command: Option<Time>,
    /// When the start command of the last attempt ended.
    command_ended: Option<Time>,
    last_attempt: Option<Time>,
    /// Rounds of attempts given up since the process was last stable.
    rounds: u32,
    /// Somebody wants it left alone.
    leave: bool,
    /// There was an attempt in this run.
    has_started: bool,
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
        }
    }

    /// A watch that goes on where another stopped; `command` is since when its start command has been
    /// at work, if it is.
    pub fn recall(limits: Limits, memory: Memory, command: Option<Time>) -> Self {
        let Memory { failures, on_probation, last_attempt, judging, rounds, gave_up_until } = memory;
        let state = match (gave_up_until, last_attempt) {
            (Some(until), _) => State::GaveUp { until },
            (None, Some(at)) if judging => State::Trying { at, sight: Sight::NotYet },
            _ => State::Fresh,
        };
        Policy { state, failures, on_probation, command, last_attempt, rounds, ..Policy::new(limits) }
    }

    /// What the next watch needs to know.
    pub fn memory(&self) -> Memory {
        Memory {
            failures: self.failures,
            on_probation: self.on_probation,
            last_attempt: self.last_attempt,
            judging: matches!(self.state, State::Trying { .. } | State::Overran { .. }),
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
        if let State::GaveUp { .. } = self.state {
            self.state = State::Down { until: self.earliest_start(now), death: Death::Weighed };
        }
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
    pub fn may_be_launcher(&self, ending: Cause, ran: Duration) -> bool {
        matches!(ending, Cause::Finished | Cause::Unknown) && ran < self.limits.restart_wait_interval
    }

    /// How long after such an end of the process the start comes, unless an attempt is being judged or
    /// was the last.
    pub fn delay_after(&self, ending: Cause, ran: Duration) -> Option<Duration> {
        let is_last = self.limits.max_fail_count.is_some_and(|max| self.failures.saturating_add(1) >= max);
        let is_down = matches!(self.state, State::Down { .. });
        (is_down && !(is_last && self.is_failure(ending, ran))).then(|| self.delay(ending))
    }

    /// Whether a give-up is not the first since the process was stable, somebody resumed it, or the settings changed.
    pub fn has_given_up_before(&self) -> bool {
        self.rounds > 1
    }

    /// When the attempt is judged whose process has ended.
    pub fn verdict(&self) -> Option<Time> {
        match self.state {
            State::Trying { at, sight: Sight::Gone { .. } } => Some(at + self.limits.restart_wait_interval),
            _ => None,
        }
    }

    /// Whether the attempt that brought about what ended so turns into a failure.
    fn is_failure(&self, ending: Cause, ran: Duration) -> bool {
        self.on_probation
            && matches!(ending, Cause::Crashed | Cause::Unknown)
            && ran < self.limits.stable_after
    }

    /// What to do at `now`, after `seen`. Nothing is started unless it `may_start`.
    pub fn decide(&mut self, now: Time, seen: Seen, may_start: bool) -> Decision {
        self.leave = !may_start;
        if seen == Seen::CommandEnded {
            self.command = None;
            self.command_ended = Some(now);
        }
        match self.state {
            State::Fresh => self.fresh(now, seen),
            State::Running { started } => self.running(now, seen, started),
            State::Down { until, death } => self.down(now, seen, until, death),
            State::Trying { at, sight } => self.trying(now, seen, at, sight),
            State::Overran { since, killed } => self.overran(now, seen, since, killed),
            State::GaveUp { until } => self.gave_up(now, seen, until),
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
            Seen::Unknown if self.limits.once => Action::End(Outcome::Unknown).into(),
            Seen::Unknown => self.next_check(now),
            _ => Action::Look.into(),
        }
    }

    fn running(&mut self, now: Time, seen: Seen, started: Time) -> Decision {
        match seen {
            Seen::Nothing => Action::Look.into(),
            Seen::Running { .. } if now >= started + self.limits.stable_after => self.stable(now),
            // It lives, but is no longer what is looked for.
            Seen::Missing => self.died(now, started),
            Seen::Died { at, started } => self.died(at, started),
            _ => self.next_check(now),
        }
    }

    fn down(&mut self, now: Time, seen: Seen, until: Time, death: Death) -> Decision {
        match (seen, death) {
            (Seen::Running { started }, _) => {
                // What a launcher leaves is on the same probation.
                self.on_probation &= death == Death::Launcher;
                self.found(now, started, true)
            }
            (Seen::Ended(ending), Death::Unexplained { ran, .. }) if self.may_be_launcher(ending, ran) => {
                self.state = State::Down { until, death: Death::Launcher };
                Action::Look.into()
            }
            (Seen::Ended(ending), Death::Unexplained { at, ran }) => self.weigh(now, at, ran, ending),
            (Seen::Nothing | Seen::Missing, Death::Unexplained { at, ran }) if now >= until => {
                self.weigh(now, at, ran, Cause::Unknown)
            }
            // Nor did anybody start it again, though it may have been stopped for that.
            (Seen::Missing, Death::Launcher) if self.on_probation && now >= until => {
                self.failed(now, Failure::Unstable)
            }
            (Seen::Missing, _) if now >= until => self.start(now),
            (Seen::Unknown, _) => self.next_check(now),
            _ if now >= until => Action::Look.into(),
            _ => Action::Wait(until).into(),
        }
    }

    fn trying(&mut self, now: Time, seen: Seen, at: Time, sight: Sight) -> Decision {
        let judged_at = at + self.limits.restart_wait_interval;
        let settle = self.limits.restart_wait_interval.clamp(SETTLE.0, SETTLE.1);
        let settled_at = self.command_ended.map_or(judged_at, |ended| judged_at.max(ended + settle));
        match seen {
            Seen::CommandRefused => {
                self.command = None;
                self.last_attempt = None;
                self.state =
                    State::Down { until: now + self.limits.health_check_interval, death: Death::Weighed };
                self.next_check(now)
            }
            Seen::Running { started } if now >= judged_at => self.succeeded(now, started),
            Seen::Running { .. } => {
                self.state = State::Trying { at, sight: Sight::Present };
                let wait = Action::Wait(judged_at.min(now + self.limits.health_check_interval));
                match sight {
                    Sight::Present => wait.into(),
                    _ => wait.with(News::Appeared { after: now.saturating_sub(at) }),
                }
            }
            Seen::Died { at: died, started } => {
                let ran = died.saturating_sub(started);
                self.state = State::Trying { at, sight: Sight::Gone { at: died, ran, ending: None } };
                self.next_look(now, at, judged_at)
            }
            Seen::Ended(ending) => {
                if let Sight::Gone { at: died, ran, .. } = sight {
                    let sight = Sight::Gone { at: died, ran, ending: Some(ending) };
                    self.state = State::Trying { at, sight };
                    if self.may_be_launcher(ending, ran) {
                        return Action::Look.into();
                    }
                }
                self.next_look(now, at, judged_at)
            }
            Seen::Started => self.next_look(now, at, judged_at),
            Seen::Missing if now < judged_at => self.next_look(now, at, judged_at),
            Seen::Missing if self.command.is_some() => self.outwait(now),
            Seen::Missing if now < settled_at => {
                self.next_look(now, self.command_ended.unwrap_or(at), settled_at)
            }
            Seen::Missing => match sight {
                // One run has to end some time, whoever goes on killing what it starts.
                Sight::Gone { at: died, ending: Some(ending @ (Cause::Stopped | Cause::Killed)), .. }
                    if !self.limits.once =>
                {
                    let until = now.max(died + self.delay(ending));
                    self.state = State::Down { until, death: Death::Weighed };
                    Action::Wait(until).with(News::Undone)
                }
                Sight::Gone { .. } => self.failed(now, Failure::Ended),
                _ => self.failed(now, Failure::Missing),
            },
            Seen::Unknown if self.limits.once && now >= at + self.limits.start_timeout => {
                Action::End(Outcome::Unknown).into()
            }
            Seen::Unknown if now < judged_at => self.next_look(now, at, judged_at),
            Seen::Unknown => self.next_check(now),
            Seen::Nothing | Seen::CommandEnded => Action::Look.into(),
        }
    }

    fn overran(&mut self, now: Time, seen: Seen, since: Time, killed: bool) -> Decision {
        match seen {
            Seen::CommandEnded => self.failed(now, Failure::Overran),
            _ if killed => self.next_check(now),
            _ if now < since + KILL_AFTER => Action::Wait((since + KILL_AFTER).min(now + END_LOOK)).into(),
            _ => {
                self.state = State::Overran { since, killed: true };
                Action::KillCommand.into()
            }
        }
    }

    fn gave_up(&mut self, now: Time, seen: Seen, until: Time) -> Decision {
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
            Seen::Unknown if self.limits.once => Action::End(Outcome::Unknown).into(),
            Seen::Nothing => Action::Look.into(),
            Seen::Missing if until > now => {
                Action::Wait(until.min(now + self.limits.health_check_interval)).into()
            }
            _ => self.next_check(now),
        }
    }

    /// The process runs, and no attempt of ours is being judged.
    fn found(&mut self, now: Time, started: Time, by_itself: bool) -> Decision {
        self.state = State::Running { started };
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
        self.state = State::Running { started };
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
        self.command = self.command.map(|_| at);
        self.state = State::Down { until, death: Death::Unexplained { at, ran } };
        Action::Wait(until).into()
    }

    /// What follows from how the process died.
    fn weigh(&mut self, now: Time, at: Time, ran: Duration, ending: Cause) -> Decision {
        let until = self.earliest_start(at + self.delay(ending));
        if self.is_failure(ending, ran) {
            return self.failed_at(now, until, Failure::Unstable);
        }
        self.on_probation = false;
        self.state = State::Down { until, death: Death::Weighed };
        if now >= until { Action::Look.into() } else { Action::Wait(until).into() }
    }

    fn failed(&mut self, now: Time, why: Failure) -> Decision {
        self.failed_at(now, self.earliest_start(now), why)
    }

    /// One failure more. Unless that is enough, the next attempt may come at `until`.
    fn failed_at(&mut self, now: Time, until: Time, why: Failure) -> Decision {
        self.on_probation = false;
        self.failures = self.failures.saturating_add(1);
        let failures = self.failures;
        let Some(_) = self.limits.max_fail_count.filter(|max| failures >= *max) else {
            self.state = State::Down { until, death: Death::Weighed };
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
            self.state = State::Down { until: until.max(now), death: Death::Weighed };
            return if self.leave { self.next_check(now) } else { Action::Wait(until).into() };
        }
        if self.command.is_some() {
            return self.outwait(now);
        }
        self.command = Some(now);
        self.command_ended = None;
        self.has_started = true;
        self.last_attempt = Some(now);
        self.state = State::Trying { at: now, sight: Sight::NotYet };
        Action::Start { attempt: self.failures.saturating_add(1) }.into()
    }

    /// The process is missing and the start command at work: wait on, but not for ever.
    fn outwait(&mut self, now: Time) -> Decision {
        let patience_ends = self.command.map_or(now, |since| since + self.limits.start_timeout);
        if now < patience_ends {
            return Action::Wait(patience_ends.min(now + self.limits.health_check_interval)).into();
        }
        self.state = State::Overran { since: now, killed: false };
        Action::StopCommand.with(News::Overran)
    }

    /// `wanted`, or later, so that two attempts are never closer than `restart_wait_interval`.
    fn earliest_start(&self, wanted: Time) -> Time {
        let spaced = self.last_attempt.map(|last| last + self.limits.restart_wait_interval);
        spaced.map_or(wanted, |spaced| wanted.max(spaced))
    }

    fn delay(&self, ending: Cause) -> Duration {
        match ending {
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

#[cfg(test)]
mod tests;
