//! Histories: nine bytes for the limits, then each byte for what is allowed and what is seen next. However senseless
//! what is seen, and however often the watchdog ends and another goes on, the promises of the policy hold.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use watchdog::parts::{
    Action, Autorestart, Cause, Decision, Ended, Failure, KILL_AFTER, KillMode, LONGEST_RETRY, Limits, Lost,
    May, MayStart, Memory, News, OnUnhealthy, Outcome, Policy, ProbeResult, ProcessId, Request, Seen, Stage,
    Still, StopBy, Time, Window,
};

const ENDINGS: [Cause; 5] = [Cause::Finished, Cause::Stopped, Cause::Killed, Cause::Crashed, Cause::Unknown];
const RESULTS: [ProbeResult; 4] = [
    ProbeResult::Healthy,
    ProbeResult::Unhealthy,
    ProbeResult::TimedOut { overloaded: true },
    ProbeResult::Unknown,
];
/// A stage of a stop that has no end of its own.
const LONG_STAGE: Duration = Duration::from_secs(30);
/// What may be typed, from the shortest to the longest.
const TIMES: [u64; 8] = [0, 10, 100, 1000, 5000, 60_000, 3_600_000, 31_536_000_000];

fn time(byte: u8) -> Duration {
    Duration::from_millis(TIMES[usize::from(byte) % 8])
}

fn limits(bytes: &[u8; 9]) -> Limits {
    let interval = |byte| time(byte).max(Duration::from_millis(10));
    let once = bytes[8] & 1 == 1;
    Limits {
        health_check_interval: interval(bytes[0]),
        restart_wait_interval: interval(bytes[1]),
        max_fail_count: (bytes[2] > 0 || once).then(|| u32::from(bytes[2] % 6) + 1),
        stable_after: time(bytes[3]),
        restart_delay: time(bytes[4]),
        after_stop: time(bytes[5]),
        start_timeout: interval(bytes[6]),
        retry_after: (bytes[7] > 0).then(|| interval(bytes[7])),
        once,
        has_probe: bytes[8] & 2 != 0,
        on_unhealthy: if bytes[8] & 4 == 0 { OnUnhealthy::Restart } else { OnUnhealthy::Warn },
        has_stop_command: bytes[8] & 8 != 0,
        stop_timeout: (bytes[8] & 16 == 0).then(|| interval(bytes[3] >> 4)),
        kill_mode: if bytes[8] & 32 == 0 { KillMode::Process } else { KillMode::Mixed },
        autorestart: [Autorestart::Always, Autorestart::Unexpected, Autorestart::Never, Autorestart::Always]
            [usize::from(bytes[8] >> 6)],
        probe_interval: interval(bytes[0] >> 4),
        probe_start_period: time(bytes[1] >> 4),
        probe_failures: u32::from(bytes[2] >> 4) % 3 + 1,
        ..Limits::default()
    }
}

/// The machine, as far as it can be told from what the policy was told and did.
struct History {
    limits: Limits,
    now: Time,
    policy: Policy,
    /// The start command runs, since then.
    command: Option<Time>,
    last_start: Option<Time>,
    /// The last attempt has had its verdict.
    is_judged: bool,
    failures: u32,
    /// The process that was seen last.
    id: ProcessId,
    /// The probe that is under way, of this process.
    probed: Option<ProcessId>,
    /// Somebody waits for an answer.
    is_asked: bool,
    /// Decisions in a row after which nothing happened, and no time was to pass.
    idle: u32,
}

impl History {
    fn decide(&mut self, seen: Seen, may: May) -> Decision {
        let decision = self.policy.decide(self.now, seen, may);
        let Decision { news, answer, .. } = decision;
        if let Seen::Request(_) = seen {
            self.is_asked = true;
        } else {
            assert!(answer.is_none() || self.is_asked, "an answer that nobody waits for");
        }
        if let Some(news) = news {
            assert_ne!(seen, Seen::Started);
            self.judge(seen, news);
        }
        // Whoever asks for something else gets it: then the attempt has no verdict.
        self.is_judged |= self.is_asked && !self.policy.memory().judging;
        self.is_asked &= answer.is_none() || matches!(seen, Seen::Request(_));
        self.check(decision, seen, may);
        decision
    }

    /// What must hold of an action.
    fn check(&mut self, Decision { action, news, .. }: Decision, seen: Seen, may: May) {
        match action {
            Action::Start { attempt } => {
                let may_start =
                    may.start == MayStart::Yes || may.start == MayStart::OnRequest && self.is_asked;
                assert!(seen == Seen::Missing && may_start, "a start after {seen:?}");
                assert_eq!(self.command, None, "two start commands");
                assert!(
                    self.is_judged || self.is_asked,
                    "another attempt before the verdict on the one before"
                );
                // Whoever asks has no attempt in mind that was made before.
                if let Some(last) = self.last_start.filter(|_| !self.is_asked) {
                    assert!(self.now >= last + self.limits.restart_wait_interval, "too soon after {last:?}");
                }
                assert!(attempt >= 1 && self.limits.max_fail_count.is_none_or(|max| attempt <= max));
                self.last_start = Some(self.now);
                self.command = Some(self.now);
                self.is_judged = false;
            }
            Action::Wait(until) => {
                let Limits {
                    health_check_interval, restart_wait_interval, after_stop, restart_delay, ..
                } = self.limits;
                let longest =
                    health_check_interval.max(restart_wait_interval).max(after_stop).max(restart_delay);
                let longest = longest.max(KILL_AFTER).max(LONGEST_RETRY).max(self.limits.probe_interval);
                let longest = longest.max(self.limits.stop_timeout.unwrap_or(LONG_STAGE));
                assert!(until <= self.now + longest, "nothing for {:?}", until - self.now);
            }
            Action::End(outcome) => {
                assert!(self.limits.once || outcome == Outcome::GaveUp, "{outcome:?}");
                if outcome == Outcome::GaveUp {
                    assert!(matches!(news, Some(News::GaveUp { .. })));
                    assert!(self.limits.once || self.limits.retry_after.is_none());
                }
            }
            Action::Probe(id) => {
                assert!(self.limits.has_probe && may.probe && self.probed.is_none());
                self.probed = Some(id);
            }
            Action::EndProbe => assert!(self.probed.take().is_some(), "there is no probe"),
            Action::Evidence(_) | Action::StopBy(..) | Action::Kill(_) => {
                assert!(may.stop && self.probed.is_none(), "a stop after {seen:?}");
                assert!(action != Action::StopBy(self.id, StopBy::Command) || self.limits.has_stop_command);
                assert!(!matches!(action, Action::Kill(_)) || self.limits.stop_timeout.is_some());
            }
            Action::Look | Action::StopCommand | Action::KillCommand | Action::EndLeft { .. } => {}
        }
    }

    fn judge(&mut self, seen: Seen, news: News) {
        let mut verdict = |is_of_attempt: bool| {
            assert_ne!(seen, Seen::Unknown, "judged without knowing");
            assert!(!is_of_attempt || !std::mem::replace(&mut self.is_judged, true), "judged twice");
        };
        match news {
            News::Succeeded { .. } => verdict(true),
            // A success too, if its process does not last and something holds it by then.
            News::Undone => {
                verdict(false);
                self.is_judged = true;
            }
            News::Failed { failures, why } | News::GaveUp { failures, why, .. } => {
                // A success may turn into a failure.
                verdict(why != Failure::Unstable);
                assert!(failures >= 1);
                let is_enough = self.limits.max_fail_count.is_some_and(|max| failures >= max);
                assert_eq!(is_enough, matches!(news, News::GaveUp { .. }));
                self.failures = failures;
            }
            News::Stable { forgotten } => assert!(forgotten > 0),
            // Its process may have come and gone; what becomes of the command is a matter of its own.
            News::Overran => self.is_judged = false,
            News::LeftNear => assert_eq!(seen, Seen::LeftNear),
            News::Finished => self.is_judged = true,
            News::Unhealthy { failures, .. } => assert!(failures >= self.limits.probe_failures),
            News::Found { .. }
            | News::Appeared { .. }
            | News::Healthy { .. }
            | News::Stopped { .. }
            | News::StopFailed { .. }
            | News::StopAbandoned { .. } => {}
        }
    }

    /// The watchdog ends, and another goes on.
    fn another(&mut self) {
        let memory = self.policy.memory();
        let text = serde_json::to_string(&memory).unwrap();
        assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);
        self.policy = Policy::recall(self.limits, memory, self.command);
        // Nothing was done yet in the first stage of a stop.
        let stopping = memory.stopping.filter(|stopping| stopping.stage != Stage::Evidence);
        assert_eq!(self.policy.memory(), Memory { stopping, ..memory });
        (self.probed, self.is_asked) = (None, false);
    }
}

impl History {
    /// What comes of an action.
    fn after(&mut self, action: Action, Step { what, how }: Step) -> Seen {
        match action {
            Action::Wait(until) => self.waited(until, Step { what, how }),
            Action::Look => self.looked(Step { what, how }),
            Action::Start { .. } if what == 7 => {
                self.command = None;
                self.last_start = None;
                self.is_judged = true;
                Seen::CommandRefused
            }
            Action::Start { .. } if what == 6 => {
                self.command = None;
                Seen::CommandEnded
            }
            Action::Start { .. } => Seen::Started,
            Action::StopCommand | Action::KillCommand if self.command.is_none() => Seen::CommandEnded,
            Action::Probe(id) if what == 7 => {
                self.probed = None;
                Seen::Probed(id, ProbeResult::Unknown)
            }
            Action::Evidence(_) | Action::EndLeft { .. } if what == 7 => {
                Seen::StageEnded { well: how & 1 == 0 }
            }
            Action::StopBy(..) | Action::Kill(_) if what == 7 => Seen::StopImpossible,
            Action::StopCommand
            | Action::KillCommand
            | Action::Probe(_)
            | Action::EndProbe
            | Action::Evidence(_)
            | Action::StopBy(..)
            | Action::Kill(_)
            | Action::EndLeft { .. } => Seen::Nothing,
            Action::End(_) => {
                self.now += time(how % 6);
                self.another();
                Seen::Nothing
            }
        }
    }

    fn looked(&self, step: Step) -> Seen {
        match step.what {
            0..=2 => Seen::Missing,
            3 => Seen::Running { id: self.id, still: step.still() },
            4 => Seen::Running { id: step.other(self.now), still: step.still() },
            5 if step.how & 1 == 1 => Seen::LeftNear,
            5 => Seen::Unknown,
            _ => Seen::Died { at: self.now, started: self.id.started.min(self.now) },
        }
    }

    /// What comes while it waits, or when the time is up.
    fn waited(&mut self, until: Time, step: Step) -> Seen {
        let Step { what, how } = step;
        let other = step.other(self.now);
        self.now = match what {
            6 | 7 => (self.now + time(how % 6)).min(until.max(self.now)),
            _ => self.now.max(until),
        };
        match what {
            // What is asked for by hand, at any time.
            0 => Seen::Missing,
            1 => Seen::Running { id: self.id, still: step.still() },
            2 => Seen::Died { at: self.now, started: other.started },
            3 => Seen::Ended(Ended { cause: ENDINGS[usize::from(how) % 5], as_expected: how & 16 != 0 }),
            4 if self.command.take().is_some() => Seen::CommandEnded,
            4 if how & 7 == 0 => {
                self.policy.end_window(Window { number: 1, at: self.now });
                Seen::Nothing
            }
            4 if how & 7 == 1 => {
                self.policy.use_version((how >> 3).into());
                Seen::Nothing
            }
            4 => Seen::Probed(self.probed.take().unwrap_or(self.id), RESULTS[usize::from(how >> 3)]),
            5 => {
                let lost = time(how % 6);
                self.now += lost;
                let nothing = Duration::ZERO;
                let (slept, stalled) = if how & 8 == 0 { (lost, nothing) } else { (nothing, lost) };
                self.policy.lose(Lost { slept, stalled });
                Seen::Nothing
            }
            7 => self.by_hand(step, other),
            _ => Seen::Nothing,
        }
    }

    /// What others ask for and do.
    fn by_hand(&mut self, step: Step, other: ProcessId) -> Seen {
        match step.how {
            1 => {
                self.policy.forget(self.now);
                // An attempt that waited for its verdict gets none.
                self.is_judged |= !self.policy.memory().judging;
                Seen::Nothing
            }
            2 => {
                self.another();
                Seen::Nothing
            }
            7 => Seen::Gone { id: self.id },
            15 => Seen::Gone { id: other },
            23 => Seen::StopImpossible,
            31 => Seen::Handed { id: other, still: step.still() },
            how => match how & 7 {
                3 => Seen::Request(Request::Start),
                4 => Seen::Request(Request::Stop),
                5 => Seen::Request(Request::Restart),
                6 => Seen::StageEnded { well: how & 8 == 0 },
                _ => Seen::Nothing,
            },
        }
    }
}

/// A byte of a history.
#[derive(Clone, Copy)]
struct Step {
    what: u8,
    how: u8,
}

impl Step {
    fn new(byte: u8) -> Self {
        Step { what: byte & 7, how: byte >> 3 }
    }

    fn may(self) -> May {
        match self.how {
            31 => May::NOTHING,
            30 => May { start: MayStart::OnRequest, ..May::ALL },
            29 => May { stop: false, ..May::ALL },
            28 => May { probe: false, ..May::ALL },
            _ => May::ALL,
        }
    }

    fn still(self) -> Still {
        [Still::No, Still::No, Still::Suspended, Still::Dying][usize::from(self.how >> 3)]
    }

    /// Another process than the one that was seen last, perhaps.
    fn other(self, now: Time) -> ProcessId {
        ProcessId { pid: 1, started: now.saturating_sub(time(self.how)) }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((numbers, history)) = data.split_first_chunk() else { return };
    let limits = limits(numbers);
    let mut world = History {
        limits,
        now: Duration::from_secs(1000),
        policy: Policy::new(limits),
        command: None,
        last_start: None,
        is_judged: true,
        failures: 0,
        id: ProcessId { pid: 1, started: Duration::ZERO },
        probed: None,
        is_asked: false,
        idle: 0,
    };
    let mut seen = Seen::Nothing;
    for step in history.iter().copied().map(Step::new) {
        let decision = world.decide(seen, step.may());
        let before = world.now;
        seen = world.after(decision.action, step);
        if let Seen::Running { id, .. } | Seen::Handed { id, .. } = seen {
            world.id = id;
        }
        let took_time = match decision.action {
            Action::Wait(until) => until > before,
            Action::End(_) => true,
            _ => false,
        };
        world.idle = if took_time || seen != Seen::Nothing { 0 } else { world.idle + 1 };
        assert!(world.idle < 20, "spins: {:?}", world.policy);
    }
});
