//! What holds in any history of hangs, probes, stops, requests and holds.

use proptest::bool::weighted;

use super::*;

/// What comes of a start command.
#[derive(Debug, Clone, Copy)]
struct Effect {
    /// How long the command is at work. Longer than the process takes to appear, it stays with it.
    command: Duration,
    appears: Option<Duration>,
    /// How long the process hangs at first.
    slow: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    End(Cause),
    StartByHand,
    /// The process answers nobody any more, until it is another.
    Hang,
    Heal,
    /// It heeds no signal but SIGKILL.
    Deafen,
    /// Not even that, for so long.
    Stick(Duration),
    Suspend(Duration),
    Dump(Duration),
    HandOver,
    /// No probe can tell, for so long.
    BreakProbe(Duration),
    /// Each probe fails, for so long, whatever the process does.
    WrongProbe(Duration),
    Overload(Duration),
    Blind(Duration),
    Pause(Duration),
    Outside(Duration),
    /// Nobody may start it, as before its first version.
    Forbid(Duration),
    /// All holds are over.
    Free,
    /// Another process of the machine is being restarted for its health.
    Busy(Duration),
    NoPermission(Duration),
    Lose(Lost),
    Ask(Request),
    Resume,
    Version,
    /// The version before is in force again.
    Rollback,
    /// The watchdog ends, and another begins.
    NextWatch,
}

#[derive(Debug, Clone, Copy)]
struct Living {
    id: ProcessId,
    until: Time,
    cause: Cause,
    is_ours: bool,
    hangs_until: Time,
    is_deaf: bool,
    sticks_until: Time,
    still_until: (Time, Time),
}

/// When what is the matter is over.
#[derive(Debug, Default)]
struct Until {
    broken: Time,
    wrong: Time,
    overloaded: Time,
    blind: Time,
    paused: Time,
    outside: Time,
    forbidden: Time,
    busy: Time,
    no_permission: Time,
}

/// A machine on which things go wrong, and what a watch has done there.
struct Machine {
    limits: Limits,
    now: Time,
    faults: Vec<(Time, Fault)>,
    effects: Vec<Effect>,
    starts: usize,
    until: Until,
    process: Option<Living>,
    next_pid: i32,
    followed: Option<ProcessId>,
    unexplained: Option<Cause>,
    pending: Vec<Seen>,
    command_until: Option<Time>,
    coming: Option<(Time, Duration)>,
    probe: Option<(ProcessId, Time)>,
    /// Time was lost since it began: its result counts for nothing.
    is_void: bool,
    /// When the evidence or the stop command ends, and whether it ends well.
    stage: Option<(Time, bool)>,
    window: u64,
    version: u64,
    asked: Option<Time>,
    /// What was seen last, and is to be decided about.
    seen: Seen,
    /// Failures in a row that a probe has told, of this process.
    failures: (Option<ProcessId>, u32),
    healthy_since: Option<Time>,
    proven: bool,
    /// When the process was stopped for its health, since that was last made up for.
    restarts: Vec<Time>,
    /// What was stopped last for its health.
    counted: Option<ProcessId>,
    /// What a stop was begun of last.
    begun: Option<ProcessId>,
    answers: u32,
}

impl Machine {
    fn new(limits: Limits, faults: Vec<(Time, Fault)>, effects: Vec<Effect>) -> Self {
        Machine {
            limits,
            now: ms(1000),
            faults,
            effects,
            starts: 0,
            until: Until::default(),
            process: None,
            next_pid: 2,
            followed: None,
            unexplained: None,
            pending: Vec::new(),
            command_until: None,
            coming: None,
            probe: None,
            is_void: false,
            stage: None,
            window: 0,
            version: 0,
            asked: None,
            seen: Seen::Nothing,
            failures: (None, 0),
            healthy_since: None,
            proven: false,
            restarts: Vec::new(),
            counted: None,
            begun: None,
            answers: 0,
        }
    }

    fn may(&self) -> May {
        if self.now < self.until.paused {
            May::NOTHING
        } else if self.now < self.until.forbidden {
            May { start: MayStart::No, ..May::ALL }
        } else if self.now < self.until.outside {
            May { start: MayStart::OnRequest, ..May::ALL }
        } else {
            May::ALL
        }
    }

    fn still(&self, living: &Living) -> Still {
        let (suspended, dumping) = living.still_until;
        if self.now < dumping {
            Still::Dying
        } else if self.now < suspended {
            Still::Suspended
        } else {
            Still::No
        }
    }

    fn appear(&mut self, slow: Duration, is_ours: bool) {
        if self.process.is_some() {
            return;
        }
        let id = ProcessId { pid: self.next_pid, started: self.now };
        self.next_pid += 1;
        let hangs_until = self.now + slow;
        self.process = Some(Living {
            id,
            until: LONG,
            cause: Cause::Killed,
            is_ours,
            hangs_until,
            is_deaf: false,
            sticks_until: Time::ZERO,
            still_until: (Time::ZERO, Time::ZERO),
        });
    }

    fn strike(&mut self, fault: Fault, policy: &mut Policy) {
        let now = self.now;
        match (fault, self.process.as_mut()) {
            (Fault::End(cause), Some(living)) => (living.until, living.cause) = (now, cause),
            (Fault::Hang, Some(living)) => living.hangs_until = LONG,
            (Fault::Heal, Some(living)) => living.hangs_until = now,
            (Fault::Deafen, Some(living)) => living.is_deaf = true,
            (Fault::Stick(time), Some(living)) => living.sticks_until = now + time,
            (Fault::Suspend(time), Some(living)) => living.still_until.0 = now + time,
            (Fault::Dump(time), Some(living)) => living.still_until.1 = now + time,
            (Fault::HandOver, Some(living)) if policy.memory().stopping.is_none() => {
                let was_followed = self.followed == Some(living.id);
                let id = ProcessId { pid: self.next_pid, started: now };
                living.id = id;
                living.still_until = (Time::ZERO, Time::ZERO);
                self.next_pid += 1;
                if was_followed {
                    self.followed = Some(id);
                    self.pending.push(Seen::Handed { id, still: Still::No });
                }
            }
            // While an attempt is judged, nobody tells the two apart.
            (Fault::StartByHand, None) => self.appear(ms(0), policy.memory().judging),
            (Fault::BreakProbe(time), _) => self.until.broken = now + time,
            (Fault::WrongProbe(time), _) => self.until.wrong = now + time,
            (Fault::Overload(time), _) => self.until.overloaded = now + time,
            (Fault::Blind(time), _) => self.until.blind = now + time,
            (Fault::Pause(time), _) => self.until.paused = now + time,
            (Fault::Outside(time), _) => {
                self.until.outside = now + time;
                self.window += 1;
                policy.end_window(Window { number: self.window, at: now });
            }
            (Fault::Forbid(time), _) => self.until.forbidden = now + time,
            (Fault::Free, _) => {
                (self.until.paused, self.until.outside, self.until.forbidden) = (now, now, now);
            }
            (Fault::Busy(time), _) => self.until.busy = now + time,
            (Fault::NoPermission(time), _) => self.until.no_permission = now + time,
            (Fault::Lose(lost), _) => {
                policy.lose(lost);
                self.is_void = true;
            }
            (Fault::Ask(request), _) => {
                self.pending.push(Seen::Request(request));
            }
            (Fault::Resume, _) => {
                policy.forget(now);
                self.restarts.truncate(usize::from(!self.proven));
            }
            (Fault::Version | Fault::Rollback, _) => {
                let is_next = matches!(fault, Fault::Version);
                self.version = if is_next { self.version + 1 } else { self.version.saturating_sub(1) };
                policy.use_version(self.version);
            }
            (Fault::NextWatch, _) => self.next_watch(policy),
            (
                Fault::End(_)
                | Fault::Hang
                | Fault::Heal
                | Fault::Deafen
                | Fault::Stick(_)
                | Fault::Suspend(_)
                | Fault::Dump(_)
                | Fault::HandOver,
                None,
            )
            | (Fault::HandOver | Fault::StartByHand, Some(_)) => {}
        }
    }

    /// Nothing is known but what was written down. Who had asked for something asks nobody any more.
    fn next_watch(&mut self, policy: &mut Policy) {
        let text = serde_json::to_string(&policy.memory()).unwrap();
        let memory = serde_json::from_str(&text).unwrap();
        *policy = Policy::recall(self.limits, memory, self.command_until.map(|_| self.now));
        (self.followed, self.unexplained, self.probe, self.stage, self.asked) =
            (None, None, None, None, None);
        self.pending = Vec::new();
        policy.use_version(self.version);
        if self.now < self.until.outside {
            policy.end_window(Window { number: self.window, at: self.now });
        }
    }

    /// Lets time pass up to the next thing that happens, `until` at the latest.
    fn pass(&mut self, until: Time, policy: &mut Policy) -> Seen {
        loop {
            if !self.pending.is_empty() {
                return self.pending.remove(0);
            }
            if let Some(cause) = self.unexplained.take() {
                let as_expected = matches!(cause, Cause::Finished | Cause::Stopped);
                return Seen::Ended(Ended { cause, as_expected });
            }
            let ends = self.process.map(|living| living.until.max(living.sticks_until));
            let times = [
                self.faults.first().map(|(at, _)| *at),
                ends,
                self.command_until,
                self.coming.map(|(at, _)| at),
            ];
            let tasks = [self.probe.map(|(_, at)| at), self.stage.map(|(at, _)| at)];
            let next = times.into_iter().chain(tasks).flatten().chain([until]).min().unwrap_or(until);
            self.now = self.now.max(next);
            if self.faults.first().is_some_and(|(at, _)| *at <= self.now) {
                let (_, fault) = self.faults.remove(0);
                self.strike(fault, policy);
                continue;
            }
            if let Some((_, slow)) = self.coming.take_if(|(at, _)| *at <= self.now) {
                self.appear(slow, true);
                continue;
            }
            if let Some(dead) = self.process.take_if(|it| it.until.max(it.sticks_until) <= self.now) {
                if self.followed == Some(dead.id) {
                    return self.follow_no_more(dead, policy);
                }
                continue;
            }
            if self.command_until.take_if(|at| *at <= self.now).is_some() {
                return Seen::CommandEnded;
            }
            if let Some((id, _)) = self.probe.take_if(|(_, at)| *at <= self.now) {
                return self.result(id);
            }
            if let Some((_, well)) = self.stage.take_if(|(at, _)| *at <= self.now) {
                return Seen::StageEnded { well };
            }
            if self.now >= until {
                return Seen::Nothing;
            }
        }
    }

    fn follow_no_more(&mut self, dead: Living, policy: &Policy) -> Seen {
        self.followed = None;
        let is_stopped = policy.memory().stopping.is_some_and(|stop| stop.stage != Stage::Evidence);
        if is_stopped {
            return Seen::Gone { id: dead.id };
        }
        self.unexplained = Some(dead.cause);
        Seen::Died { at: self.now, started: dead.id.started }
    }

    /// What the probe says that has ended.
    fn result(&mut self, id: ProcessId) -> Seen {
        let hangs = self.process.is_none_or(|living| living.id != id || self.now < living.hangs_until);
        let result = if self.now < self.until.broken {
            ProbeResult::Unknown
        } else if self.now < self.until.overloaded {
            ProbeResult::TimedOut { overloaded: true }
        } else if hangs || self.now < self.until.wrong {
            ProbeResult::Unhealthy
        } else {
            ProbeResult::Healthy
        };
        if self.failures.0 != Some(id) {
            (self.failures, self.healthy_since) = ((Some(id), 0), None);
        }
        match result {
            _ if self.is_void => {}
            ProbeResult::Healthy => {
                self.proven = true;
                self.failures.1 = 0;
                let since = *self.healthy_since.get_or_insert(self.now);
                if self.now >= since + self.limits.stable_after {
                    self.restarts.clear();
                }
            }
            ProbeResult::Unhealthy | ProbeResult::TimedOut { .. } => self.failures.1 += 1,
            ProbeResult::Unknown => {}
        }
        Seen::Probed(id, result)
    }

    fn look(&mut self, policy: &Policy) -> Seen {
        let stopped = policy.memory().stopping.filter(|stop| stop.stage != Stage::Evidence);
        if self.now < self.until.blind {
            return Seen::Unknown;
        }
        // A watch that has a stop to finish holds the one that is being stopped, and no other.
        let is_other = |stop: &Stopping| self.process.is_none_or(|living| living.id != stop.process);
        if let Some(stop) = stopped.filter(is_other) {
            self.followed = None;
            return Seen::Gone { id: stop.process };
        }
        let Some(living) = self.process else { return Seen::Missing };
        self.followed = Some(living.id);
        Seen::Running { id: living.id, still: self.still(&living) }
    }

    fn start(&mut self, policy: &Policy) -> Seen {
        let now = self.now;
        assert!(self.process.is_none(), "a second process at {now:?}");
        assert!(policy.memory().stopping.is_none(), "a start at {now:?} while a stop is under way");
        assert!(now >= self.until.blind, "started at {now:?} without knowing");
        assert!(now >= self.until.paused, "started at {now:?} while it was to be left alone");
        assert!(now >= self.until.forbidden, "started at {now:?} though nobody may start it");
        assert!(now >= self.until.outside || self.asked.is_some(), "started at {now:?} outside its hours");
        assert!(self.command_until.is_none(), "two start commands at {now:?}");
        assert!(self.probe.is_none(), "a probe of what is gone at {now:?}");
        let works = Effect { command: ms(10), appears: Some(ms(20)), slow: ms(0) };
        let effect = self.effects.get(self.starts).copied().unwrap_or(works);
        self.starts += 1;
        self.command_until = Some(now + effect.command);
        self.coming = effect.appears.map(|after| (now + after, effect.slow));
        Seen::Started
    }

    /// A stop begins in earnest, and it is for its health.
    fn count_restart(&mut self, id: ProcessId) {
        let Some(living) = self.process.filter(|living| living.id == id) else { return };
        let (now, limits) = (self.now, self.limits);
        assert!(
            self.failures.0 == Some(id) && self.failures.1 >= limits.probe_failures,
            "{:?}",
            self.failures
        );
        assert_eq!(self.may(), May::ALL, "stopped at {now:?} though it could not be started");
        if self.proven {
            let retry = limits.retry_after.unwrap_or(DEFAULT_RETRY);
            if self.restarts.last().is_some_and(|last| now >= *last + retry) {
                self.restarts.clear();
            }
            self.restarts.push(now);
            let max = limits.max_fail_count.map_or(usize::MAX, |max| max as usize);
            assert!(self.restarts.len() <= max, "restarts at {:?}", self.restarts);
        } else {
            assert!(living.is_ours, "stopped at {now:?} by a probe that never succeeded");
            self.restarts.push(now);
            assert!(
                self.restarts.len() <= 1,
                "stopped twice by a probe that never succeeded: {:?}",
                self.restarts
            );
        }
        self.healthy_since = None;
    }

    /// What is not to be away may be started afterwards.
    fn assert_may_begin(&self, stop: Stopping) {
        let start = self.may().start;
        let may_begin = match stop.why {
            Why::Unhealthy => self.counted == Some(stop.process),
            Why::Version => start == MayStart::Yes,
            Why::Hours => start != MayStart::Yes,
            Why::Request => self.asked.is_some() && (stop.then == Then::Rest || start != MayStart::No),
        };
        assert!(may_begin, "{stop:?} at {:?}, {:?}", self.now, self.may());
    }

    fn stop_by(&mut self, policy: &Policy, id: ProcessId, by: StopBy) -> Seen {
        assert!(self.now >= self.until.paused, "stopped at {:?} while paused", self.now);
        let stop = policy.memory().stopping.expect("it is written down");
        assert_eq!(stop.process, id);
        if self.begun.replace(id) != Some(id) {
            self.assert_may_begin(stop);
        }
        assert!(stop.why != Why::Unhealthy || self.counted == Some(id), "a restart that was not counted");
        if by == StopBy::Signal && self.now < self.until.no_permission {
            return Seen::StopImpossible;
        }
        self.stage = (by == StopBy::Command)
            .then(|| (self.now + ms((self.version % 3) * 20_000), self.version & 1 == 0));
        let heeds = by == StopBy::Signal || self.version & 1 == 0;
        if let Some(living) = self.process.as_mut().filter(|it| it.id == id && !it.is_deaf && heeds) {
            living.until = living.until.min(self.now + ms(700));
            living.cause = Cause::Stopped;
            living.still_until.0 = self.now;
        }
        Seen::Nothing
    }

    fn answered(&mut self, answer: Answer) {
        self.answers += 1;
        match answer {
            Answer::Superseded => {}
            Answer::Done | Answer::Failed(_) => {
                assert!(self.asked.take().is_some(), "an answer to nobody at {:?}", self.now);
            }
        }
    }

    /// How long anybody may have to wait for an answer.
    fn patience(&self) -> Duration {
        let stages = 3 * self.limits.stage_length();
        let all = EVIDENCE + stages + self.limits.start_timeout + self.limits.restart_wait_interval;
        // And what is lost meanwhile.
        2 * (all + 4 * KILL_AFTER) + self.limits.health_check_interval + ms(600_000)
    }

    /// Goes on until `horizon`; how the watch ended, if it did.
    fn run(&mut self, policy: &mut Policy, horizon: Time) -> Option<Outcome> {
        let mut idle = 0;
        while self.now < horizon {
            let before = self.now;
            if let Seen::Request(_) = self.seen {
                // The one before is answered with this.
                self.asked = Some(self.now);
            }
            assert!(
                self.asked.is_none_or(|at| self.now < at + self.patience()),
                "no answer by {before:?}: {policy:?}"
            );
            let restarts = policy.memory().health.restarts;
            let decision = policy.decide(self.now, self.seen, self.may());
            let Memory { health, stopping, .. } = policy.memory();
            if let Some(stop) = stopping.filter(|_| health.restarts > restarts) {
                self.counted = Some(stop.process);
                self.count_restart(stop.process);
            }
            if let Some(answer) = decision.answer {
                self.answered(answer);
            }
            self.seen = match decision.action {
                Action::Wait(until) => self.pass(until, policy),
                Action::Look => self.look(policy),
                Action::Start { .. } => self.start(policy),
                Action::StopCommand => Seen::Nothing,
                Action::KillCommand => {
                    self.command_until = Some(self.now);
                    Seen::Nothing
                }
                Action::Probe(id) => {
                    assert!(self.probe.is_none(), "two probes at {before:?}");
                    assert!(self.now >= self.until.paused, "probed at {before:?} while paused");
                    assert_eq!(self.process.map(|living| self.still(&living)), Some(Still::No));
                    (self.probe, self.is_void) = (Some((id, self.now + ms(3000))), false);
                    Seen::Nothing
                }
                Action::EndProbe => {
                    self.probe = None;
                    Seen::Nothing
                }
                Action::Evidence(_) => {
                    self.stage = Some((self.now + ms(500), self.now >= self.until.busy));
                    Seen::Nothing
                }
                Action::StopBy(id, by) => self.stop_by(policy, id, by),
                Action::Kill(id) => {
                    assert!(self.now >= self.until.paused, "killed at {before:?} while paused");
                    self.stage = None;
                    if let Some(living) = self.process.as_mut().filter(|living| living.id == id) {
                        living.until = living.until.min(self.now);
                    }
                    Seen::Nothing
                }
                Action::EndLeft { .. } => {
                    self.stage = Some((self.now + ms((self.version % 2) * 20_000), true));
                    Seen::Nothing
                }
                Action::End(outcome) => return Some(outcome),
            };
            idle = if self.now == before { idle + 1 } else { 0 };
            assert!(idle < 100, "spins at {before:?} with {:?}: {policy:?}", self.seen);
        }
        None
    }
}

const FAULTS_END: u64 = 900_000;

fn some_time(most: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![Just(ms(0)), (1..most).prop_map(ms), (1..most).prop_map(ms)]
}

fn some_fault() -> impl Strategy<Value = Fault> {
    let process = prop_oneof![
        super::some_ending().prop_map(Fault::End),
        Just(Fault::StartByHand),
        Just(Fault::Hang),
        Just(Fault::Hang),
        Just(Fault::Heal),
        Just(Fault::Deafen),
        some_time(200_000).prop_map(Fault::Stick),
        some_time(60_000).prop_map(Fault::Suspend),
        some_time(90_000).prop_map(Fault::Dump),
        Just(Fault::HandOver),
    ];
    let probe = prop_oneof![
        some_time(100_000).prop_map(Fault::BreakProbe),
        some_time(200_000).prop_map(Fault::WrongProbe),
        some_time(200_000).prop_map(Fault::Overload),
    ];
    let watch = prop_oneof![
        some_time(20_000).prop_map(Fault::Blind),
        some_time(60_000).prop_map(Fault::Pause),
        some_time(100_000).prop_map(Fault::Outside),
        some_time(60_000).prop_map(Fault::Forbid),
        Just(Fault::Free),
        some_time(60_000).prop_map(Fault::Busy),
        some_time(60_000).prop_map(Fault::NoPermission),
        (some_time(60_000), some_time(60_000))
            .prop_map(|(slept, stalled)| Fault::Lose(Lost { slept, stalled })),
        prop_oneof![Just(Request::Start), Just(Request::Stop), Just(Request::Restart)].prop_map(Fault::Ask),
        prop_oneof![Just(Request::Start), Just(Request::Stop), Just(Request::Restart)].prop_map(Fault::Ask),
        Just(Fault::Resume),
        Just(Fault::Version),
        Just(Fault::Rollback),
        Just(Fault::NextWatch),
    ];
    prop_oneof![process, probe, watch]
}

fn sorted(faults: impl Strategy<Value = Fault>) -> impl Strategy<Value = Vec<(Time, Fault)>> {
    proptest::collection::vec((some_time(FAULTS_END), faults), 0..30).prop_map(|mut faults| {
        faults.sort_by_key(|(at, _)| *at);
        faults
    })
}

fn some_effects() -> impl Strategy<Value = Vec<Effect>> {
    let one = (some_time(20_000), proptest::option::weighted(0.8, some_time(4000)), some_time(90_000))
        .prop_map(|(command, appears, slow)| Effect { command, appears, slow });
    proptest::collection::vec(one, 0..8)
}

fn some_limits() -> impl Strategy<Value = Limits> {
    let health = (1000..30_000u64, some_time(60_000), 1..4u32, some_time(120_000), weighted(0.8));
    let stop = (any::<bool>(), proptest::option::weighted(0.8, 1000..40_000u64), any::<bool>());
    let autorestart = prop_oneof![
        4 => Just(Autorestart::Always), 1 => Just(Autorestart::Unexpected), 1 => Just(Autorestart::Never)
    ];
    (health, (stop, autorestart), 1..4u32, 500..5000u64, 100_000..900_000u64).prop_map(
        |(health, (stop, autorestart), max, interval, retry)| {
            let (probe_interval, probe_start_period, probe_failures, stable_after, has_probe) = health;
            let (has_stop_command, stop_timeout, mixed) = stop;
            Limits {
                has_probe,
                probe_interval: ms(probe_interval),
                probe_start_period,
                probe_failures,
                stable_after,
                has_stop_command,
                stop_timeout: stop_timeout.map(ms),
                kill_mode: if mixed { KillMode::Mixed } else { KillMode::Process },
                health_check_interval: ms(interval),
                max_fail_count: Some(max),
                retry_after: Some(ms(retry)),
                start_timeout: ms(10_000),
                autorestart,
                ..LIMITS
            }
        },
    )
}

/// Whether a watch has settled: its process is healthy; or is left running, and watched; or has finished; or it
/// heeds no signal and is not to be killed.
fn is_settled(machine: &Machine, policy: &Policy) -> bool {
    let memory = policy.memory();
    let condition = memory.health.series.map(|series| series.condition);
    let is_left = memory.health.resting_until.is_some() || !memory.health.proven;
    let is_other = memory.version.is_some_and(|version| version != machine.version);
    let is_well = match memory.stopping {
        None if is_other => false,
        None if !machine.limits.has_probe => true,
        None => condition == Some(Condition::Healthy) || condition == Some(Condition::Unhealthy) && is_left,
        Some(_) => {
            machine.limits.stop_timeout.is_none() && machine.process.is_some_and(|living| living.is_deaf)
        }
    };
    if !machine.faults.is_empty() || machine.asked.is_some() || machine.may() != May::ALL {
        return false;
    }
    if memory.life == Life::Finished && machine.limits.autorestart != Autorestart::Always {
        return machine.process.is_none() && machine.coming.is_none();
    }
    machine.process.is_some_and(|living| living.until == LONG) && is_well
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The other promises are asserted where they could be broken, in [`Machine`].
    #[test]
    fn whatever_happens_it_comes_to_healthy_or_left_running(
        limits in some_limits(), faults in sorted(some_fault()), effects in some_effects()
    ) {
        let mut machine = Machine::new(limits, faults, effects);
        let mut policy = Policy::new(limits);
        let horizon = ms(FAULTS_END) + 20 * LONGEST_RETRY;
        while machine.now < horizon && !is_settled(&machine, &policy) {
            let next = machine.now + ms(10_000);
            prop_assert_eq!(machine.run(&mut policy, next), None, "a watch that tries again does not end");
        }
        prop_assert!(is_settled(&machine, &policy), "{:?}\n{:?}", policy, machine.process);
        prop_assert_eq!(machine.asked, None);
    }

    #[test]
    fn health_ends_no_watch(
        limits in some_limits(), faults in sorted(prop_oneof![
            Just(Fault::Hang), Just(Fault::Heal), Just(Fault::Deafen), Just(Fault::HandOver),
            some_time(300_000).prop_map(Fault::WrongProbe), some_time(100_000).prop_map(Fault::Stick),
        ])
    ) {
        let limits = Limits { retry_after: None, max_fail_count: Some(1), ..limits };
        let mut machine = Machine::new(limits, faults, Vec::new());
        let mut policy = Policy::new(limits);
        prop_assert_eq!(machine.run(&mut policy, ms(5 * FAULTS_END)), None);
    }

    #[test]
    fn a_broken_probe_stops_nothing(
        limits in some_limits(), broken in prop_oneof![Just(false), Just(true)], effects in some_effects()
    ) {
        let mut machine = Machine::new(limits, Vec::new(), effects);
        machine.appear(ms(0), false);
        let before = machine.process.map(|living| living.id);
        *(if broken { &mut machine.until.broken } else { &mut machine.until.wrong }) = LONG;
        let mut policy = Policy::new(limits);
        prop_assert_eq!(machine.run(&mut policy, ms(5 * FAULTS_END)), None);
        prop_assert_eq!(machine.process.map(|living| living.id), before);
    }

    #[test]
    fn a_run_with_once_ends_and_answers(
        limits in some_limits(), faults in sorted(some_fault()), effects in some_effects(),
        request in proptest::option::of(prop_oneof![
            Just(Request::Start), Just(Request::Stop), Just(Request::Restart)
        ]),
        runs in proptest::bool::ANY
    ) {
        let limits = Limits { once: true, ..limits };
        let faults = faults.into_iter().filter(|(_, fault)| !matches!(fault, Fault::NextWatch)).collect();
        let mut machine = Machine::new(limits, faults, effects);
        if runs {
            machine.appear(ms(0), true);
        }
        let mut policy = Policy::new(limits);
        if let Some(request) = request {
            machine.asked = Some(machine.now);
            policy.decide(machine.now, Seen::Request(request), May::ALL);
        }
        prop_assert!(machine.run(&mut policy, ms(10 * FAULTS_END)).is_some());
        prop_assert_eq!(machine.asked, None);
    }
}
