//! The table of transitions, and what holds in any history.
#![allow(clippy::unnecessary_wraps)] // the helpers stand in a column of options

use proptest::prelude::*;

use super::*;
use crate::settings::{Autorestart, KillMode, Limits, OnUnhealthy};

mod health;
mod transitions;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The defaults.
const LIMITS: Limits = Limits {
    health_check_interval: ms(1000),
    restart_wait_interval: ms(5000),
    max_fail_count: Some(3),
    stable_after: ms(60_000),
    restart_delay: ms(100),
    after_stop: ms(3000),
    start_timeout: ms(100_000),
    retry_after: None,
    once: false,
    has_probe: false,
    probe_interval: ms(10_000),
    probe_start_period: ms(60_000),
    probe_failures: 3,
    on_unhealthy: OnUnhealthy::Restart,
    has_stop_command: false,
    stop_timeout: Some(ms(30_000)),
    kill_mode: KillMode::Process,
    autorestart: Autorestart::Always,
};

/// One step: the time in milliseconds, what is seen, the action, and the news.
type Step = (u64, Seen, Action, Option<News>);

fn running(started: u64) -> Seen {
    Seen::Running { id: id(started), still: Still::No }
}

/// The process that started then.
const fn id(started: u64) -> ProcessId {
    ProcessId { pid: 1, started: ms(started) }
}

fn ended(cause: Cause) -> Seen {
    Seen::Ended(Ended { cause, as_expected: matches!(cause, Cause::Finished | Cause::Stopped) })
}

fn died(at: u64, started: u64) -> Seen {
    Seen::Died { at: ms(at), started: ms(started) }
}

fn wait(until: u64) -> Action {
    Action::Wait(ms(until))
}

const FOUND: Option<News> = Some(News::Found { by_itself: false });
const BACK: Option<News> = Some(News::Found { by_itself: true });

fn appeared(after: u64) -> Option<News> {
    Some(News::Appeared { after: ms(after) })
}

fn failed(failures: u32, why: Failure) -> Option<News> {
    Some(News::Failed { failures, why })
}

fn gave_up(failures: u32, why: Failure, retry: Option<u64>) -> Option<News> {
    Some(News::GaveUp { failures, why, retry: retry.map(ms) })
}

fn play(name: &str, limits: Limits, steps: &[Step]) -> Policy {
    let mut policy = Policy::new(limits);
    for (number, (at, seen, action, news)) in steps.iter().enumerate() {
        let expected = Decision { action: *action, news: *news, answer: None };
        assert_eq!(
            policy.decide(ms(*at), *seen, May::ALL),
            expected,
            "{name}: step {number}, {seen:?} at {at} ms"
        );
    }
    policy
}

/// An attempt at `at` whose process is there 10 ms later and is judged a success.
fn good_attempt(at: u64, attempt: u32) -> Vec<Step> {
    vec![
        (at, Seen::Started, wait(at + 10), None),
        (at + 10, Seen::Nothing, Action::Look, None),
        (at + 10, running(at + 5), wait(at + 1010), appeared(10)),
        (at + 20, Seen::CommandEnded, Action::Look, None),
        (at + 20, running(at + 5), wait(at + 1020), None),
        (at + 5000, Seen::Nothing, Action::Look, None),
        (at + 5000, running(at + 5), wait(at + 6000), Some(News::Succeeded { attempt })),
    ]
}

/// An attempt at `at` of which nothing comes; ends with the look that misses it.
fn bad_attempt(at: u64) -> Vec<Step> {
    vec![
        (at, Seen::CommandEnded, Action::Look, None),
        (at, Seen::Missing, wait(at + 10), None),
        (at + 10, Seen::Nothing, Action::Look, None),
        (at + 10, Seen::Missing, wait(at + 20), None),
        (at + 4500, Seen::Missing, wait(at + 5000), None),
        (at + 5000, Seen::Nothing, Action::Look, None),
    ]
}

#[test]
fn what_runs_is_left_alone() {
    play(
        "quiet",
        LIMITS,
        &[
            (0, Seen::Nothing, Action::Look, None),
            (0, running(0), wait(1000), FOUND),
            (1000, Seen::Nothing, Action::Look, None),
            (1000, running(0), wait(2000), None),
            (90_000, running(0), wait(91_000), None),
            (91_000, Seen::Unknown, wait(92_000), None),
            (92_000, Seen::CommandEnded, wait(93_000), None),
        ],
    );
}

#[test]
fn missing_at_the_start_is_started_at_once() {
    let start =
        [(7, Seen::Nothing, Action::Look, None), (7, Seen::Missing, Action::Start { attempt: 1 }, None)];
    play("missing", LIMITS, &[&start[..], &good_attempt(7, 1)].concat());
    let unknown = [(0, Seen::Unknown, wait(1000), None), (1000, Seen::Nothing, Action::Look, None)];
    play(
        "unknown first",
        LIMITS,
        &[&unknown[..], &[(1000, Seen::Missing, Action::Start { attempt: 1 }, None)]].concat(),
    );
}

#[test]
fn the_wait_before_a_start_depends_on_the_end() {
    for (ending, start_at) in [
        (Cause::Crashed, 100_100),
        (Cause::Killed, 100_100),
        (Cause::Stopped, 103_000),
        (Cause::Finished, 103_000),
        (Cause::Unknown, 103_000),
    ] {
        play(
            &format!("{ending:?}"),
            LIMITS,
            &[
                (0, running(0), wait(1000), FOUND),
                (100_000, died(100_000, 0), wait(103_000), None),
                (100_001, ended(ending), wait(start_at), None),
                // A look by hand in between starts nothing.
                (100_050, Seen::Missing, wait(start_at), None),
                (start_at, Seen::Nothing, Action::Look, None),
                (start_at, Seen::Missing, Action::Start { attempt: 1 }, None),
            ],
        );
    }
}

#[test]
fn an_end_that_nobody_explains_is_unknown() {
    play(
        "not reaped",
        LIMITS,
        &[
            (0, running(0), wait(1000), FOUND),
            (9000, died(9000, 0), wait(12_000), None),
            (12_000, Seen::Nothing, Action::Look, None),
            (12_000, Seen::Missing, Action::Start { attempt: 1 }, None),
            // Known at last, and of no use any more.
            (12_005, ended(Cause::Killed), wait(12_015), None),
        ],
    );
    let at_once = Limits { after_stop: ms(0), restart_delay: ms(0), ..LIMITS };
    play(
        "a moment for the reap",
        at_once,
        &[
            (0, running(0), wait(1000), FOUND),
            (9000, died(9000, 0), wait(9050), None),
            (9001, ended(Cause::Killed), Action::Look, None),
            (9001, Seen::Missing, Action::Start { attempt: 1 }, None),
        ],
    );
}

#[test]
fn what_comes_back_by_itself_is_followed() {
    play(
        "restarted by hand",
        LIMITS,
        &[
            (0, running(0), wait(1000), FOUND),
            (9000, died(9000, 0), wait(12_000), None),
            (9001, ended(Cause::Stopped), wait(12_000), None),
            (12_000, Seen::Nothing, Action::Look, None),
            (12_000, running(10_000), wait(13_000), BACK),
        ],
    );
}

#[test]
fn unknown_starts_nothing_and_judges_nothing() {
    play(
        "unknown",
        LIMITS,
        &[
            (0, running(0), wait(1000), FOUND),
            (9000, died(9000, 0), wait(12_000), None),
            (9001, ended(Cause::Crashed), wait(9100), None),
            (9100, Seen::Unknown, wait(10_100), None),
            (10_100, Seen::Nothing, Action::Look, None),
            (10_100, Seen::Unknown, wait(11_100), None),
            (11_100, Seen::Missing, Action::Start { attempt: 1 }, None),
            (11_100, Seen::CommandEnded, Action::Look, None),
            (17_000, Seen::Unknown, wait(18_000), None),
            (900_000, Seen::Unknown, wait(901_000), None),
            (901_000, running(11_105), wait(902_000), Some(News::Succeeded { attempt: 1 })),
        ],
    );
}

#[test]
fn a_launcher_that_ends_is_no_end() {
    play(
        "daemon",
        LIMITS,
        &[
            (0, Seen::Missing, Action::Start { attempt: 1 }, None),
            (10, running(5), wait(1010), appeared(10)),
            (30, died(30, 5), wait(60), None),
            (31, ended(Cause::Finished), Action::Look, None),
            (31, running(25), wait(1031), appeared(31)),
        ],
    );
    play(
        "daemon, started by somebody else",
        LIMITS,
        &[
            (0, running(0), wait(1000), FOUND),
            (30, died(30, 0), wait(3030), None),
            (31, ended(Cause::Finished), Action::Look, None),
            (31, running(25), wait(1031), BACK),
        ],
    );
    play(
        "of which nothing came",
        LIMITS,
        &[
            (0, running(0), wait(1000), FOUND),
            (30, died(30, 0), wait(3030), None),
            (31, ended(Cause::Finished), Action::Look, None),
            (31, Seen::Missing, wait(3030), None),
            (3030, Seen::Nothing, Action::Look, None),
            (3030, Seen::Missing, Action::Start { attempt: 1 }, None),
        ],
    );
}

#[test]
fn what_ends_with_0_soon_after_its_attempt_succeeded_may_be_restarted_by_somebody() {
    let steps = |last: &[Step]| {
        [
            &[
                (0, Seen::Missing, Action::Start { attempt: 1 }, None),
                (4000, Seen::CommandEnded, Action::Look, None),
                (4000, running(3990), wait(5000), appeared(4000)),
                (5000, running(3990), wait(6000), Some(News::Succeeded { attempt: 1 })),
                (6000, died(6000, 3990), wait(9000), None),
                (6001, ended(Cause::Finished), Action::Look, None),
                (6001, Seen::Missing, wait(9000), None),
                (9000, Seen::Nothing, Action::Look, None),
            ],
            last,
        ]
        .concat()
    };
    play("it is", LIMITS, &steps(&[(9000, running(7500), wait(10_000), BACK)]));
    let nobody = [
        (9000, Seen::Missing, Action::Look, failed(1, Failure::Unstable)),
        (9000, Seen::Missing, Action::Start { attempt: 2 }, None),
    ];
    play("it is not", LIMITS, &steps(&nobody));
}

/// As right after a death, before it is known how the process ended.
#[test]
fn what_cannot_be_told_for_a_moment_puts_no_verdict_off() {
    let limits = Limits { health_check_interval: ms(60_000), ..LIMITS };
    let steps = [
        (0, Seen::Missing, Action::Start { attempt: 1 }, None),
        (10, Seen::Unknown, wait(20), None),
        (20, Seen::Nothing, Action::Look, None),
        (20, Seen::Unknown, wait(40), None),
        (4000, Seen::Unknown, wait(5000), None),
        // But what cannot be told then is not judged.
        (5000, Seen::Unknown, wait(65_000), None),
    ];
    play("in time", limits, &steps);
}

#[test]
fn gives_up_after_the_last_failure_only() {
    let steps = [
        &[(0, Seen::Missing, Action::Start { attempt: 1 }, None)],
        &bad_attempt(0)[..],
        &[
            (5000, Seen::Missing, Action::Look, failed(1, Failure::Missing)),
            (5000, Seen::Missing, Action::Start { attempt: 2 }, None),
        ],
        &bad_attempt(5000),
        &[
            (10_000, Seen::Missing, Action::Look, failed(2, Failure::Missing)),
            (10_000, Seen::Missing, Action::Start { attempt: 3 }, None),
        ],
        &bad_attempt(10_000),
        &[(15_000, Seen::Missing, Action::End(Outcome::GaveUp), gave_up(3, Failure::Missing, None))],
    ]
    .concat();
    play("three", LIMITS, &steps);
    let unlimited = Limits { max_fail_count: None, ..LIMITS };
    let last = (15_000, Seen::Missing, Action::Look, failed(3, Failure::Missing));
    play("unlimited", unlimited, &[&steps[..steps.len() - 1], &[last]].concat());
}

#[test]
fn a_service_that_lives_six_seconds_reaches_the_give_up() {
    let mut steps = vec![(0, Seen::Missing, Action::Start { attempt: 1 }, None)];
    for (attempt, at) in [(1, 0), (2, 6100), (3, 12_200)] {
        steps.extend(good_attempt(at, attempt));
        steps.push((at + 6000, died(at + 6000, at + 5), wait(at + 9000), None));
        if attempt < 3 {
            let next = at + 6100;
            steps.push((at + 6001, ended(Cause::Crashed), wait(next), failed(attempt, Failure::Unstable)));
            steps.push((next, Seen::Nothing, Action::Look, None));
            steps.push((next, Seen::Missing, Action::Start { attempt: attempt + 1 }, None));
        } else {
            let end = Action::End(Outcome::GaveUp);
            steps.push((at + 6001, ended(Cause::Crashed), end, gave_up(3, Failure::Unstable, None)));
        }
    }
    play("six seconds", LIMITS, &steps);
}

#[test]
fn being_killed_or_stopped_is_no_failure() {
    for (ending, again) in [(Cause::Killed, 7100), (Cause::Stopped, 10_000), (Cause::Finished, 10_000)] {
        let steps = [
            &[(0, Seen::Missing, Action::Start { attempt: 1 }, None)],
            &good_attempt(0, 1)[..],
            &[
                (7000, died(7000, 5), wait(10_000), None),
                (7001, ended(ending), wait(again), None),
                (again, Seen::Nothing, Action::Look, None),
                (again, Seen::Missing, Action::Start { attempt: 1 }, None),
            ],
        ]
        .concat();
        play(&format!("{ending:?} after the verdict"), LIMITS, &steps);
    }
    for (ending, again) in [(Cause::Killed, 5000), (Cause::Stopped, 7500)] {
        play(
            &format!("{ending:?} before the verdict"),
            LIMITS,
            &[
                (0, Seen::Missing, Action::Start { attempt: 1 }, None),
                (0, Seen::CommandEnded, Action::Look, None),
                (10, running(5), wait(1010), appeared(10)),
                (4500, died(4500, 5), wait(5000), None),
                (4501, ended(ending), wait(5000), None),
                (5000, Seen::Nothing, Action::Look, None),
                (5000, Seen::Missing, wait(again), Some(News::Undone)),
                (again, Seen::Nothing, Action::Look, None),
                (again, Seen::Missing, Action::Start { attempt: 1 }, None),
            ],
        );
    }
}

#[test]
fn an_end_before_the_verdict_is_a_failure() {
    for ending in [Cause::Crashed, Cause::Finished, Cause::Unknown] {
        let mut policy = play(
            &format!("{ending:?}"),
            LIMITS,
            &[
                (0, Seen::Missing, Action::Start { attempt: 1 }, None),
                (0, Seen::CommandEnded, Action::Look, None),
                (10, running(5), wait(1010), appeared(10)),
                (2000, died(2000, 5), wait(3000), None),
            ],
        );
        policy.decide(ms(2001), ended(ending), May::ALL);
        let last = policy.decide(ms(5000), Seen::Missing, May::ALL);
        assert_eq!(
            last,
            Decision { action: Action::Look, news: failed(1, Failure::Ended), answer: None },
            "{ending:?}"
        );
    }
}

#[test]
fn failures_are_forgotten_when_it_has_run_for_long() {
    let twice = [
        &[(0, Seen::Missing, Action::Start { attempt: 1 }, None)],
        &bad_attempt(0)[..],
        &[
            (5000, Seen::Missing, Action::Look, failed(1, Failure::Missing)),
            (5000, Seen::Missing, Action::Start { attempt: 2 }, None),
        ],
        &good_attempt(5000, 2),
        &[
            (65_004, running(5005), wait(66_004), None),
            (65_005, running(5005), wait(66_005), Some(News::Stable { forgotten: 1 })),
            (66_005, running(5005), wait(67_005), None),
            (70_000, died(70_000, 5005), wait(73_000), None),
            (70_001, ended(Cause::Crashed), wait(70_100), None),
            (70_100, Seen::Missing, Action::Start { attempt: 1 }, None),
        ],
    ]
    .concat();
    play("stable", LIMITS, &twice);
    let at_once = Limits { stable_after: ms(0), ..LIMITS };
    let steps = [
        &twice[..16],
        &[
            (12_000, died(12_000, 5005), wait(15_000), None),
            (12_001, ended(Cause::Crashed), wait(12_100), None),
            (12_100, Seen::Missing, Action::Start { attempt: 1 }, None),
        ],
    ]
    .concat();
    play("stable at once", at_once, &steps);
}

#[test]
fn a_command_at_work_is_waited_for_and_then_ended() {
    play(
        "hangs",
        LIMITS,
        &[
            (0, Seen::Missing, Action::Start { attempt: 1 }, None),
            (5000, Seen::Missing, wait(6000), None),
            (99_500, Seen::Missing, wait(100_000), None),
            (100_000, Seen::Nothing, Action::Look, None),
            (100_000, Seen::Missing, Action::StopCommand, Some(News::Overran)),
            (100_000, Seen::Nothing, wait(100_250), None),
            (104_950, Seen::Nothing, wait(105_000), None),
            (105_000, Seen::Nothing, Action::KillCommand, None),
            (105_000, Seen::Nothing, wait(106_000), None),
            (105_001, Seen::CommandEnded, Action::Look, failed(1, Failure::Overran)),
            (105_001, running(104_000), wait(106_001), BACK),
        ],
    );
    play(
        "is slow",
        LIMITS,
        &[
            (0, Seen::Missing, Action::Start { attempt: 1 }, None),
            (5000, Seen::Missing, wait(6000), None),
            (20_000, Seen::CommandEnded, Action::Look, None),
            (20_000, running(19_000), wait(21_000), Some(News::Succeeded { attempt: 1 })),
        ],
    );
    play(
        "is slow and fails",
        LIMITS,
        &[
            (0, Seen::Missing, Action::Start { attempt: 1 }, None),
            (20_000, Seen::CommandEnded, Action::Look, None),
            // What it has put into the background last has a moment to become what it is called.
            (20_000, Seen::Missing, wait(20_010), None),
            (20_010, Seen::Missing, wait(20_020), None),
            (20_250, Seen::Missing, wait(20_500), None),
            (21_000, Seen::Missing, Action::Look, failed(1, Failure::Missing)),
            (21_000, Seen::Missing, Action::Start { attempt: 2 }, None),
        ],
    );
    play(
        "outlives the process that it stayed with",
        LIMITS,
        &[
            (0, Seen::Missing, Action::Start { attempt: 1 }, None),
            (10, running(5), wait(1010), appeared(10)),
            (5000, running(5), wait(6000), Some(News::Succeeded { attempt: 1 })),
            (500_000, running(5), wait(501_000), None),
            (500_500, died(500_500, 5), wait(503_500), None),
            (500_501, ended(Cause::Crashed), wait(500_600), None),
            (500_600, Seen::Missing, wait(501_600), None),
            (500_700, Seen::CommandEnded, Action::Look, None),
            (500_700, Seen::Missing, Action::Start { attempt: 1 }, None),
        ],
    );
}

#[test]
fn a_command_that_cannot_be_made_is_no_attempt() {
    play(
        "no memory",
        LIMITS,
        &[
            (0, Seen::Missing, Action::Start { attempt: 1 }, None),
            (0, Seen::CommandRefused, wait(1000), None),
            (1000, Seen::Nothing, Action::Look, None),
            (1000, Seen::Missing, Action::Start { attempt: 1 }, None),
            (1000, Seen::CommandRefused, wait(2000), None),
            (2000, running(1500), wait(3000), BACK),
        ],
    );
}

#[test]
fn rounds_come_at_twice_the_time() {
    let limits = Limits { max_fail_count: Some(1), retry_after: Some(ms(600_000)), ..LIMITS };
    let mut steps = vec![(0, Seen::Missing, Action::Start { attempt: 1 }, None)];
    let mut at = 0;
    for pause in [600_000, 1_200_000, 2_400_000, 3_600_000, 3_600_000] {
        steps.extend(bad_attempt(at));
        let judged = at + 5000;
        steps.push((judged, Seen::Missing, wait(judged + 1000), gave_up(1, Failure::Missing, Some(pause))));
        steps.push((judged + 1000, Seen::Nothing, Action::Look, None));
        steps.push((judged + 1000, Seen::Missing, wait(judged + 2000), None));
        at = judged + pause;
        steps.push((at - 300, Seen::Missing, wait(at), None));
        steps.push((at, Seen::Missing, Action::Start { attempt: 1 }, None));
    }
    let mut policy = play("rounds", limits, &steps);
    // Taken up as soon as somebody has started it.
    policy.decide(ms(at), Seen::CommandEnded, May::ALL);
    policy.decide(ms(at + 5000), Seen::Missing, May::ALL);
    assert_eq!(policy.decide(ms(at + 7000), running(at + 6500), May::ALL).news, BACK);
}

#[test]
fn once_is_one_check_and_its_attempts() {
    let once = Limits { once: true, ..LIMITS };
    let end = |started| Action::End(Outcome::Running { started });
    play("running", once, &[(0, Seen::Nothing, Action::Look, None), (0, running(0), end(false), FOUND)]);
    play("unknown", once, &[(0, Seen::Unknown, Action::End(Outcome::Unknown), None)]);
    play(
        "brought back",
        once,
        &[
            (0, Seen::Missing, Action::Start { attempt: 1 }, None),
            (0, Seen::CommandEnded, Action::Look, None),
            (10, running(5), wait(1010), appeared(10)),
            (5000, running(5), end(true), Some(News::Succeeded { attempt: 1 })),
        ],
    );
    play(
        "cannot tell what came of it",
        once,
        &[
            (0, Seen::Missing, Action::Start { attempt: 1 }, None),
            (99_999, Seen::Unknown, wait(100_999), None),
            (100_999, Seen::Unknown, Action::End(Outcome::Unknown), None),
        ],
    );
    let retry = Limits { max_fail_count: Some(1), retry_after: Some(ms(1000)), ..once };
    play(
        "gives up and ends, whatever is to come later",
        retry,
        &[
            (0, Seen::Missing, Action::Start { attempt: 1 }, None),
            (0, Seen::CommandEnded, Action::Look, None),
            (5000, Seen::Missing, Action::End(Outcome::GaveUp), gave_up(1, Failure::Missing, Some(1000))),
        ],
    );
    // Whoever goes on killing what it starts does not keep it from its end.
    play(
        "killed",
        once,
        &[
            (0, Seen::Missing, Action::Start { attempt: 1 }, None),
            (0, Seen::CommandEnded, Action::Look, None),
            (10, running(5), wait(1010), appeared(10)),
            (100, died(100, 5), wait(200), None),
            (100, ended(Cause::Killed), wait(200), None),
            (5000, Seen::Missing, Action::Look, failed(1, Failure::Ended)),
        ],
    );
}

/// Goes on in another run, as `--once` runs and a restarted watchdog do.
fn next_run(policy: &Policy, limits: Limits) -> Policy {
    Policy::recall(limits, policy.memory(), None)
}

#[test]
fn a_give_up_is_remembered_by_later_runs() {
    let once = Limits { once: true, max_fail_count: Some(1), ..LIMITS };
    let mut policy = play(
        "gives up",
        once,
        &[
            (0, Seen::Missing, Action::Start { attempt: 1 }, None),
            (0, Seen::CommandEnded, Action::Look, None),
            (5000, Seen::Missing, Action::End(Outcome::GaveUp), gave_up(1, Failure::Missing, Some(600_000))),
        ],
    );
    let left_alone = Decision::from(Action::End(Outcome::LeftAlone));
    for at in [60_000, 600_000] {
        policy = next_run(&policy, once);
        assert_eq!(policy.decide(ms(at), Seen::Nothing, May::ALL), Action::Look.into());
        assert_eq!(policy.decide(ms(at), Seen::Missing, May::ALL), left_alone, "at {at}");
    }
    // The next round, and the one after it, at twice the time.
    let mut round = next_run(&policy, once);
    assert_eq!(round.decide(ms(605_000), Seen::Missing, May::ALL).action, Action::Start { attempt: 1 });
    round.decide(ms(605_000), Seen::CommandEnded, May::ALL);
    let news = round.decide(ms(610_000), Seen::Missing, May::ALL).news;
    assert_eq!(news, gave_up(1, Failure::Missing, Some(1_200_000)));
    assert_eq!((policy.has_given_up_before(), round.has_given_up_before()), (false, true));
    // Seen running, it is as if nothing had been.
    let mut well = next_run(&round, once);
    assert_eq!(
        well.decide(ms(700_000), running(690_000), May::ALL).action,
        Action::End(Outcome::Running { started: false })
    );
    assert_eq!(well.memory().failures, 0);
    assert_eq!(
        next_run(&well, once).decide(ms(760_000), Seen::Missing, May::ALL).action,
        Action::Start { attempt: 1 }
    );
    // Somebody said so.
    let mut resumed = next_run(&round, once);
    resumed.forget(ms(620_000));
    assert_eq!(resumed.decide(ms(620_000), Seen::Missing, May::ALL).action, Action::Start { attempt: 1 });
    // Failures of other runs end none before its own attempt; one more is enough then.
    let memory = Memory { failures: 5, on_probation: true, ..Memory::default() };
    let mut other = Policy::recall(LIMITS, memory, None);
    other.begin_series();
    let looked = other.decide(ms(0), Seen::Missing, May::ALL);
    assert_eq!((looked.action, looked.news), (Action::Look, failed(6, Failure::Unstable)));
    assert_eq!(other.memory().failures, 2);
}

/// It cannot be told for a moment what is there, while nobody has collected how the process died.
#[test]
fn a_resume_just_after_a_death_ends_no_single_run() {
    let mut policy = play(
        "dies in its attempt",
        Limits { once: true, ..LIMITS },
        &[
            (0, Seen::Missing, Action::Start { attempt: 1 }, None),
            (0, Seen::CommandEnded, Action::Look, None),
            (10, running(5), wait(1010), appeared(10)),
            (4900, died(4900, 5), wait(5000), None),
        ],
    );
    policy.forget(ms(4950));
    assert_eq!(policy.decide(ms(4950), Seen::Unknown, May::ALL), wait(5950).into());
    assert_eq!(policy.decide(ms(5950), Seen::Missing, May::ALL).action, Action::Start { attempt: 1 });
}

#[test]
fn a_service_that_dies_between_runs_reaches_the_give_up() {
    let once = Limits { once: true, ..LIMITS };
    let mut policy = Policy::new(once);
    for (attempt, at) in [(1, 0), (2, 60_000), (3, 120_000)] {
        policy = next_run(&policy, once);
        let first = policy.decide(ms(at), Seen::Missing, May::ALL);
        if attempt > 1 {
            assert_eq!(
                first,
                Decision { action: Action::Look, news: failed(attempt - 1, Failure::Unstable), answer: None }
            );
            policy.decide(ms(at), Seen::Missing, May::ALL);
        }
        policy.decide(ms(at), Seen::CommandEnded, May::ALL);
        let end = policy.decide(ms(at + 5000), running(at + 5), May::ALL);
        assert_eq!(end.action, Action::End(Outcome::Running { started: true }));
    }
    let mut last = next_run(&policy, once);
    let end = Action::End(Outcome::GaveUp);
    let news = gave_up(3, Failure::Unstable, Some(600_000));
    assert_eq!(
        last.decide(ms(180_000), Seen::Missing, May::ALL),
        Decision { action: end, news, answer: None }
    );
    // One that was still there has made up for what was before.
    let mut stable = next_run(&policy, once);
    stable.decide(ms(185_000), running(120_005), May::ALL);
    assert_eq!(stable.memory(), Memory { last_attempt: Some(ms(120_000)), ..Memory::default() });
}

#[test]
fn a_watchdog_that_is_restarted_goes_on() {
    let mut policy = Policy::new(LIMITS);
    policy.decide(ms(0), Seen::Missing, May::ALL);
    assert!(policy.memory().judging);
    // Its start command is at work: it is waited for as its own.
    let mut next = Policy::recall(LIMITS, policy.memory(), Some(ms(0)));
    assert_eq!(next.decide(ms(2000), Seen::Nothing, May::ALL).action, Action::Look);
    assert_eq!(next.decide(ms(2000), Seen::Missing, May::ALL).action, wait(3000));
    assert_eq!(next.decide(ms(6000), Seen::Missing, May::ALL).action, wait(7000));
    assert_eq!(next.decide(ms(8000), Seen::CommandEnded, May::ALL).action, Action::Look);
    assert_eq!(next.decide(ms(9000), Seen::Missing, May::ALL).news, failed(1, Failure::Missing));
    // Without one, the attempt is judged when it would have been, and not repeated sooner.
    let mut next = next_run(&policy, LIMITS);
    assert_eq!(next.decide(ms(2000), Seen::Missing, May::ALL).action, wait(3000));
    // One that knows nothing but the time of the last attempt keeps its distance.
    let memory = Memory { last_attempt: Some(ms(1000)), ..Memory::default() };
    let mut next = Policy::recall(LIMITS, memory, None);
    assert_eq!(next.decide(ms(2000), Seen::Missing, May::ALL).action, wait(6000));
    assert_eq!(next.decide(ms(6000), Seen::Missing, May::ALL).action, Action::Start { attempt: 1 });
}

/// The watch before was cut off between the start and the next change of the state file.
#[test]
fn an_attempt_that_was_not_written_down_is_judged() {
    let given_up = Memory {
        failures: 3,
        rounds: 1,
        last_attempt: Some(ms(0)),
        gave_up_until: Some(ms(9000)),
        ..Memory::default()
    };
    let old = Memory { failures: 1, last_attempt: Some(ms(4000)), ..Memory::default() };
    for (memory, failures) in [(Memory::default(), 0), (old, 1), (given_up, 0)] {
        let memory = memory.with_attempt(ms(9000), true);
        let mut policy = Policy::recall(LIMITS, memory, Some(ms(9003)));
        assert!(policy.memory().judging, "{memory:?}");
        assert_eq!(policy.memory().last_attempt, Some(ms(9000)));
        assert_eq!(policy.decide(ms(9500), Seen::Nothing, May::ALL), Action::Look.into());
        assert_eq!(policy.decide(ms(9500), running(9400), May::ALL).news, appeared(500));
        let succeeded = policy.decide(ms(14_000), running(9400), May::ALL);
        assert_eq!(succeeded.news, Some(News::Succeeded { attempt: failures + 1 }));
    }
    // What stayed, and is the process, has been judged before.
    let judged = Memory { last_attempt: Some(ms(0)), on_probation: true, ..Memory::default() };
    let mut policy = Policy::recall(LIMITS, judged.with_attempt(ms(0), true), Some(ms(3)));
    policy.decide(ms(20_000), Seen::Nothing, May::ALL);
    assert_eq!(policy.decide(ms(20_000), running(3), May::ALL).news, FOUND);
    // Of one that has ended, nobody knows what came of it.
    assert!(!Memory::default().with_attempt(ms(9000), false).judging);
}

#[test]
fn what_is_to_be_left_alone_is() {
    let mut policy = Policy::new(LIMITS);
    assert_eq!(policy.decide(ms(0), Seen::Missing, May::NOTHING), wait(1000).into());
    assert_eq!(policy.decide(ms(1000), Seen::Nothing, May::ALL), Action::Look.into());
    assert_eq!(policy.decide(ms(1000), Seen::Missing, May::NOTHING), wait(2000).into());
    assert_eq!(policy.decide(ms(2000), Seen::Missing, May::ALL), Action::Start { attempt: 1 }.into());
    let once = Limits { once: true, ..LIMITS };
    let end = Action::End(Outcome::LeftAlone);
    assert_eq!(Policy::new(once).decide(ms(0), Seen::Missing, May::NOTHING), end.into());
    assert_eq!(
        Policy::new(once).decide(ms(0), running(0), May::NOTHING).action,
        Action::End(Outcome::Running { started: false })
    );
    // What did not last while it is left alone has not failed.
    let memory = Memory { failures: 2, on_probation: true, ..Memory::default() };
    let mut policy = Policy::recall(once, memory, None);
    assert_eq!(policy.decide(ms(0), Seen::Missing, May::NOTHING), end.into());
    assert_eq!(policy.memory(), Memory { failures: 2, ..Memory::default() });
    // Nor has an attempt that is judged meanwhile, nor a crash just after it.
    for held in [May::NOTHING, May { start: MayStart::OnRequest, ..May::ALL }] {
        let mut policy = Policy::new(LIMITS);
        for (at, seen, may, action, news) in [
            (0, Seen::Missing, May::ALL, Action::Start { attempt: 1 }, None),
            (0, Seen::CommandEnded, May::ALL, Action::Look, None),
            (5000, Seen::Missing, held, Action::Look, Some(News::Undone)),
            (5000, Seen::Missing, held, wait(6000), None),
            (6000, Seen::Missing, May::ALL, Action::Start { attempt: 1 }, None),
            (11_000, running(6005), May::ALL, wait(12_000), Some(News::Succeeded { attempt: 1 })),
            (11_500, died(11_500, 6005), held, wait(14_500), None),
            (11_501, ended(Cause::Crashed), held, wait(11_600), Some(News::Undone)),
            (11_600, Seen::Nothing, held, Action::Look, None),
            (11_600, Seen::Missing, held, wait(12_600), None),
        ] {
            let decision = policy.decide(ms(at), seen, may);
            assert_eq!((decision.action, decision.news), (action, news), "{seen:?} at {at} ms: {policy:?}");
        }
        assert_eq!(policy.memory().failures, 0);
    }
    // A round that is due waits for the pause to end.
    let memory = Memory { failures: 3, gave_up_until: Some(ms(10)), ..Memory::default() };
    let limits = Limits { retry_after: Some(ms(1000)), ..LIMITS };
    let mut policy = Policy::recall(limits, memory, None);
    assert_eq!(policy.decide(ms(20), Seen::Missing, May::NOTHING), wait(1020).into());
    assert_eq!(policy.memory(), memory);
    assert_eq!(policy.decide(ms(30), Seen::Missing, May::ALL), Action::Start { attempt: 1 }.into());
}

/// What comes of a start command.
#[derive(Debug, Clone, Copy)]
struct Effect {
    /// How long the command is at work; killed when that is too long.
    command: Duration,
    /// When the process appears, if it does.
    appears: Option<Duration>,
    /// How long it lives, and how it ends.
    lives: Duration,
    ends: Cause,
}

/// What happens that no start command did.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The process ends.
    End(Cause),
    /// Somebody starts it.
    StartByHand,
    /// Nobody can tell whether it runs, for so long.
    Blind(Duration),
    /// Something holds it, for so long.
    Hold(Duration, May),
}

#[derive(Debug, Clone, Copy)]
struct Living {
    started: Time,
    until: Time,
    ending: Cause,
    by_attempt: bool,
}

/// A machine on which things go wrong, and a watch that goes on there.
struct World {
    limits: Limits,
    now: Time,
    faults: Vec<(Time, Fault)>,
    effects: Vec<Effect>,
    process: Option<Living>,
    followed: Option<Living>,
    unexplained: Option<Cause>,
    command_until: Option<Time>,
    coming: Option<(Time, Living)>,
    blind_until: Time,
    held_until: Time,
    held: May,
    last_start: Option<Time>,
    attempt_ran: bool,
    attempt_is_bad: bool,
    attempts: usize,
    /// Attempts that crashed or never ran, since the process last ran for `stable_after`.
    bad: u32,
}

impl World {
    fn new(limits: Limits, faults: Vec<(Time, Fault)>, effects: Vec<Effect>) -> Self {
        World {
            limits,
            now: ms(1000),
            faults,
            effects,
            process: None,
            followed: None,
            unexplained: None,
            command_until: None,
            coming: None,
            blind_until: Time::ZERO,
            held_until: Time::ZERO,
            held: May::ALL,
            last_start: None,
            attempt_ran: true,
            attempt_is_bad: false,
            attempts: 0,
            bad: 0,
        }
    }

    /// Lets time pass up to the next thing that happens, `until` at the latest.
    fn pass(&mut self, until: Time) -> Seen {
        loop {
            let followed_end = self.followed.map(|living| living.until.max(self.now));
            let explained = self.unexplained.map(|_| self.now + ms(1));
            let next =
                [Some(until), followed_end, explained, self.command_until, self.process.map(|it| it.until)]
                    .into_iter()
                    .chain([self.faults.first().map(|(at, _)| *at), self.coming.map(|(at, _)| at)])
                    .flatten()
                    .min()
                    .unwrap_or(until)
                    .max(self.now);
            self.now = next;
            if self.faults.first().is_some_and(|(at, _)| *at <= next) {
                let (_, fault) = self.faults.remove(0);
                self.strike(fault);
                continue;
            }
            if let Some((_, living)) = self.coming.take_if(|(at, _)| *at <= next) {
                self.attempt_ran = true;
                if self.process.is_none() {
                    self.process = Some(living);
                }
                continue;
            }
            if let Some(ended) = self.process.take_if(|living| living.until <= next) {
                self.weigh(ended);
                if let Some(followed) = self.followed.as_mut() {
                    followed.until = next;
                    followed.ending = ended.ending;
                }
                continue;
            }
            if self.command_until.take_if(|end| *end <= next).is_some() {
                return Seen::CommandEnded;
            }
            if let Some(ended) = self.followed.take_if(|living| living.until <= next) {
                self.unexplained = Some(ended.ending);
                return Seen::Died { at: next, started: ended.started };
            }
            if next >= until && self.unexplained.is_none() || next < until && explained != Some(next) {
                return Seen::Nothing;
            }
            if let Some(ending) = self.unexplained.take() {
                return ended(ending);
            }
            return Seen::Nothing;
        }
    }

    fn weigh(&mut self, ended: Living) {
        if ended.until.saturating_sub(ended.started) >= self.limits.stable_after {
            self.bad = 0;
            self.attempt_is_bad = false;
            self.attempt_ran = true;
        } else if ended.by_attempt && matches!(ended.ending, Cause::Crashed | Cause::Unknown) {
            self.bad += u32::from(!self.attempt_is_bad);
            self.attempt_is_bad = true;
        }
    }

    fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::End(ending) => {
                if let Some(living) = self.process.as_mut() {
                    living.until = self.now;
                    living.ending = ending;
                }
            }
            Fault::StartByHand if self.process.is_none() => {
                let until = self.now + ms(40_000);
                self.process =
                    Some(Living { started: self.now, until, ending: Cause::Killed, by_attempt: false });
                // Whoever started it, the attempt is judged by whether it runs.
                self.attempt_ran = true;
                self.bad -= u32::from(std::mem::take(&mut self.attempt_is_bad));
            }
            Fault::StartByHand => {}
            Fault::Blind(time) => self.blind_until = self.now + time,
            Fault::Hold(time, held) => (self.held_until, self.held) = (self.now + time, held),
        }
    }

    fn look(&mut self) -> Seen {
        if self.now < self.blind_until {
            return Seen::Unknown;
        }
        let is_gone = |followed: &Living| self.process.map(|living| living.started) != Some(followed.started);
        if let Some(followed) = self.followed.filter(is_gone) {
            self.followed = None;
            self.unexplained = Some(followed.ending);
            return Seen::Died { at: self.now, started: followed.started };
        }
        self.followed = self.process;
        self.process.map_or(Seen::Missing, |living| Seen::Running {
            id: ProcessId { pid: 1, started: living.started },
            still: Still::No,
        })
    }

    fn start(&mut self) {
        let now = self.now;
        assert!(self.process.is_none(), "a running process was started at {now:?}");
        assert!(now >= self.blind_until, "started at {now:?} without knowing");
        assert!(now >= self.held_until, "started at {now:?} while it was held");
        assert!(self.command_until.is_none(), "two start commands at {now:?}");
        if let Some(last) = self.last_start {
            assert!(now >= last + self.limits.restart_wait_interval, "attempts at {last:?} and {now:?}");
        }
        if !self.attempt_ran {
            self.bad += 1;
        }
        if let (Some(max), None) = (self.limits.max_fail_count, self.limits.retry_after) {
            assert!(self.bad < max, "another attempt at {now:?} after {} bad ones", self.bad);
        }
        let works = Effect { command: ms(10), appears: Some(ms(20)), lives: LONG, ends: Cause::Killed };
        let effect = self.effects.get(self.attempts).copied().unwrap_or(works);
        self.attempts += 1;
        self.last_start = Some(now);
        self.attempt_ran = false;
        self.attempt_is_bad = false;
        self.command_until = Some(now + effect.command);
        self.coming = effect.appears.map(|after| {
            let started = now + after;
            (
                started,
                Living { started, until: started + effect.lives, ending: effect.ends, by_attempt: true },
            )
        });
    }

    /// Whether it runs, and nothing is left that could change that.
    fn is_settled(&self) -> bool {
        self.faults.is_empty() && self.process.is_some_and(|living| living.until > self.now + LONG / 2)
    }

    /// Goes on until `horizon`; how the watch ended, if it did.
    fn run(&mut self, policy: &mut Policy, horizon: Time) -> Option<Outcome> {
        let mut seen = Seen::Nothing;
        let mut idle = 0;
        while self.now < horizon {
            let before = self.now;
            let is_held = self.now < self.held_until;
            let failures = policy.memory().failures;
            let decision = policy.decide(self.now, seen, if is_held { self.held } else { May::ALL });
            if is_held {
                assert!(policy.memory().failures <= failures, "a failure at {before:?} while it was held");
                if decision.news == Some(News::Undone) {
                    self.attempt_ran = true;
                    self.bad -= u32::from(std::mem::take(&mut self.attempt_is_bad));
                    // What it still brings about is nobody's.
                    self.coming.iter_mut().for_each(|(_, living)| living.by_attempt = false);
                }
            }
            seen = match decision.action {
                Action::Wait(until) => self.pass(until),
                Action::Look => self.look(),
                Action::Start { .. } => {
                    self.start();
                    Seen::Started
                }
                Action::StopCommand => Seen::Nothing,
                Action::KillCommand => {
                    self.command_until = Some(self.now);
                    Seen::Nothing
                }
                Action::End(outcome) => return Some(outcome),
                action @ (Action::Probe(_)
                | Action::EndProbe
                | Action::Evidence(_)
                | Action::StopBy(..)
                | Action::Kill(_)
                | Action::EndLeft { .. }) => panic!("{action:?}, of which there is no question here"),
            };
            idle = if self.now == before { idle + 1 } else { 0 };
            assert!(idle < 100, "spins at {before:?}: {policy:?}");
        }
        None
    }
}

const LONG: Duration = ms(1_000_000_000_000);

fn some_ending() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::Finished),
        Just(Cause::Stopped),
        Just(Cause::Killed),
        Just(Cause::Crashed),
        Just(Cause::Crashed),
        Just(Cause::Unknown)
    ]
}

fn some_time(most: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![Just(ms(0)), (1..200u64).prop_map(ms), (1..most).prop_map(ms)]
}

fn some_effect() -> impl Strategy<Value = Effect> {
    let lives = prop_oneof![some_time(90_000), Just(LONG)];
    (some_time(150_000), proptest::option::weighted(0.7, some_time(8000)), lives, some_ending())
        .prop_map(|(command, appears, lives, ends)| Effect { command, appears, lives, ends })
}

fn some_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        some_ending().prop_map(Fault::End),
        Just(Fault::StartByHand),
        some_time(20_000).prop_map(Fault::Blind),
        (some_time(20_000), some_hold()).prop_map(|(time, held)| Fault::Hold(time, held))
    ]
}

/// Of people, of hours or dependencies, of versions or a shutdown.
fn some_hold() -> impl Strategy<Value = May> {
    let start = |start| Just(May { start, ..May::ALL });
    prop_oneof![Just(May::NOTHING), start(MayStart::OnRequest), start(MayStart::No)]
}

fn some_faults() -> impl Strategy<Value = Vec<(Time, Fault)>> {
    proptest::collection::vec((some_time(FAULTS_END), some_fault()), 0..20).prop_map(|mut faults| {
        faults.sort_by_key(|(at, _)| *at);
        faults
    })
}

const FAULTS_END: u64 = 600_000;

fn some_limits() -> impl Strategy<Value = Limits> {
    let interval = || prop_oneof![Just(ms(1000)), (100..20_000u64).prop_map(ms)];
    let times = (interval(), interval(), some_time(60_000), some_time(5000), some_time(5000), interval());
    (times, 1..5u32).prop_map(|(times, count)| {
        let (health_check_interval, restart_wait_interval, stable_after, restart_delay, after_stop, timeout) =
            times;
        Limits {
            health_check_interval,
            restart_wait_interval,
            max_fail_count: Some(count),
            stable_after,
            restart_delay,
            after_stop,
            start_timeout: timeout,
            retry_after: None,
            once: false,
            ..LIMITS
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// The other promises are asserted at each start, in [`World::start`].
    #[test]
    fn no_history_makes_it_start_too_often(
        limits in some_limits(), faults in some_faults(), effects in proptest::collection::vec(some_effect(), 0..12)
    ) {
        World::new(limits, faults, effects).run(&mut Policy::new(limits), ms(2 * FAULTS_END));
    }

    #[test]
    fn it_always_comes_to_a_start_once_faults_end(
        limits in some_limits(), faults in some_faults(), effects in proptest::collection::vec(some_effect(), 0..12),
        retry in proptest::option::of(interval_of_retry())
    ) {
        let limits = match retry {
            Some(_) => Limits { retry_after: retry, ..limits },
            None => Limits { max_fail_count: None, ..limits },
        };
        let mut world = World::new(limits, faults, effects);
        let horizon = ms(FAULTS_END + 12 * 250_000) + 16 * LONGEST_RETRY;
        let mut policy = Policy::new(limits);
        let mut end = None;
        while end.is_none() && world.now < horizon && !world.is_settled() {
            let next = world.now + ms(10_000);
            end = world.run(&mut policy, next);
        }
        prop_assert_eq!(end, None, "a watch that does not give up does not end");
        prop_assert!(world.process.is_some(), "it runs at the end");
    }

    #[test]
    fn a_run_with_once_ends(
        limits in some_limits(), faults in some_faults(), effects in proptest::collection::vec(some_effect(), 0..12)
    ) {
        let limits = Limits { once: true, ..limits };
        let end = World::new(limits, faults, effects).run(&mut Policy::new(limits), ms(10 * FAULTS_END));
        prop_assert!(end.is_some());
    }
}

fn interval_of_retry() -> impl Strategy<Value = Duration> {
    (10..600_000u64).prop_map(ms)
}
