//! Histories: nine bytes for the limits, then each byte for what is seen next. However senseless what is
//! seen, and however often the watchdog ends and another goes on, the promises of the policy hold.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use watchdog::policy::{Action, Decision, Failure, KILL_AFTER, LONGEST_RETRY, Lost, Memory, News, Outcome, Policy, Seen};
use watchdog::process::termination::Cause;
use watchdog::settings::Limits;
use watchdog::time::Time;

const ENDINGS: [Cause; 5] =
    [Cause::Finished, Cause::Stopped, Cause::Killed, Cause::Crashed, Cause::Unknown];
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
    /// Decisions in a row after which nothing happened, and no time was to pass.
    idle: u32,
}

impl History {
    fn decide(&mut self, seen: Seen, may_start: bool) -> Decision {
        let decision = self.policy.decide(self.now, seen, may_start);
        let Decision { action, news } = decision;
        if let Some(news) = news {
            assert_ne!(seen, Seen::Started);
            self.judge(seen, news);
        }
        match action {
            Action::Start { attempt } => {
                assert!(seen == Seen::Missing && may_start, "a start after {seen:?}");
                assert_eq!(self.command, None, "two start commands");
                assert!(self.is_judged, "another attempt before the verdict on the one before");
                if let Some(last) = self.last_start {
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
                let longest = longest.max(KILL_AFTER).max(LONGEST_RETRY);
                assert!(until <= self.now + longest, "nothing for {:?}", until - self.now);
            }
            Action::End(outcome) => {
                assert!(self.limits.once || outcome == Outcome::GaveUp, "{outcome:?}");
                if outcome == Outcome::GaveUp {
                    assert!(matches!(news, Some(News::GaveUp { .. })));
                    assert!(self.limits.once || self.limits.retry_after.is_none());
                }
            }
            Action::Look | Action::StopCommand | Action::KillCommand => {}
        }
        decision
    }

    fn judge(&mut self, seen: Seen, news: News) {
        let mut verdict = |is_of_attempt: bool| {
            assert_ne!(seen, Seen::Unknown, "judged without knowing");
            assert!(!is_of_attempt || !std::mem::replace(&mut self.is_judged, true), "judged twice");
        };
        match news {
            News::Succeeded { .. } | News::Undone => verdict(true),
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
            News::Found { .. } | News::Appeared { .. } => {}
        }
    }

    /// The watchdog ends, and another goes on.
    fn another(&mut self) {
        let memory = self.policy.memory();
        let text = serde_json::to_string(&memory).unwrap();
        assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);
        self.policy = Policy::recall(self.limits, memory, self.command);
        assert_eq!(self.policy.memory(), memory);
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
        idle: 0,
    };
    let mut seen = Seen::Nothing;
    for byte in history {
        let (what, how) = (byte & 7, byte >> 3);
        let may_start = how != 31;
        let decision = world.decide(seen, may_start);
        let before = world.now;
        let started = world.now.saturating_sub(time(how));
        let looked = |world: &History| match what {
            0..=2 => Seen::Missing,
            3 | 4 => Seen::Running { started },
            5 if how & 1 == 1 => Seen::LeftNear,
            5 => Seen::Unknown,
            _ => Seen::Died { at: world.now, started },
        };
        seen = match decision.action {
            Action::Wait(until) => {
                world.now = if what < 6 {
                    world.now.max(until)
                } else {
                    (world.now + time(how % 6)).min(until.max(world.now))
                };
                match what {
                    // What is asked for by hand, at any time.
                    0 => Seen::Missing,
                    1 => Seen::Running { started },
                    2 => Seen::Died { at: world.now, started },
                    3 => Seen::Ended(ENDINGS[usize::from(how) % 5]),
                    5 => {
                        let lost = time(how % 6);
                        world.now += lost;
                        let nothing = Duration::ZERO;
                        let (slept, stalled) = if how & 8 == 0 { (lost, nothing) } else { (nothing, lost) };
                        Seen::Lost(Lost { slept, stalled })
                    }
                    4 if world.command.take().is_some() => Seen::CommandEnded,
                    7 if how == 1 => {
                        world.policy.forget(world.now);
                        // An attempt that waited for its verdict gets none.
                        world.is_judged |= !world.policy.memory().judging;
                        Seen::Nothing
                    }
                    7 if how == 2 => {
                        world.another();
                        Seen::Nothing
                    }
                    _ => Seen::Nothing,
                }
            }
            Action::Look => looked(&world),
            Action::Start { .. } if what == 7 => {
                world.command = None;
                world.last_start = None;
                world.is_judged = true;
                Seen::CommandRefused
            }
            Action::Start { .. } if what == 6 => {
                world.command = None;
                Seen::CommandEnded
            }
            Action::Start { .. } => Seen::Started,
            Action::StopCommand | Action::KillCommand if world.command.is_none() => Seen::CommandEnded,
            Action::StopCommand | Action::KillCommand => Seen::Nothing,
            Action::End(_) => {
                world.now += time(how % 6);
                world.another();
                Seen::Nothing
            }
        };
        let took_time = match decision.action {
            Action::Wait(until) => until > before,
            Action::End(_) => true,
            _ => false,
        };
        world.idle = if took_time || seen != Seen::Nothing { 0 } else { world.idle + 1 };
        assert!(world.idle < 20, "spins: {:?}", world.policy);
    }
});
