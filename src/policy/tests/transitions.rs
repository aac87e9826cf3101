//! The table of what comes of probes, stops, requests, holds and lost time.

use super::*;
use NotDone::{BackAgain, CannotStop, Held, StillThere};

/// One step: the time in milliseconds, what is seen, the action, the news, and the answer.
type Row = (u64, Seen, Action, Option<News>, Option<Answer>);

const PROBED: Limits = Limits { has_probe: true, probe_start_period: ms(0), ..LIMITS };
const NO_STOP: May = May { stop: false, ..May::ALL };
const OUTSIDE_HOURS: May = May { start: MayStart::OnRequest, ..May::ALL };

const DONE: Option<Answer> = Some(Answer::Done);

fn not_done(why: NotDone) -> Option<Answer> {
    Some(Answer::Failed(why))
}

fn go(name: &str, policy: &mut Policy, may: May, rows: &[Row]) {
    for (number, (at, seen, action, news, answer)) in rows.iter().enumerate() {
        let expected = Decision { action: *action, news: *news, answer: *answer };
        assert_eq!(
            policy.decide(ms(*at), *seen, may),
            expected,
            "{name}: step {number}, {seen:?} at {at} ms\n{policy:#?}"
        );
    }
}

fn healthy(started: u64) -> Seen {
    Seen::Probed(id(started), ProbeResult::Healthy)
}

fn unhealthy(started: u64) -> Seen {
    Seen::Probed(id(started), ProbeResult::Unhealthy)
}

fn unknown(started: u64) -> Seen {
    Seen::Probed(id(started), ProbeResult::Unknown)
}

fn suspended(started: u64) -> Seen {
    Seen::Running { id: id(started), still: Still::Suspended }
}

fn dumps(started: u64) -> Seen {
    Seen::Running { id: id(started), still: Still::Dying }
}

fn handed(started: u64) -> Seen {
    Seen::Handed { id: id(started), still: Still::No }
}

fn gone(started: u64) -> Seen {
    Seen::Gone { id: id(started) }
}

fn stop_by(started: u64, by: StopBy) -> Action {
    Action::StopBy(id(started), by)
}

fn left(failures: u32, left: Left) -> Option<News> {
    Some(News::Unhealthy { failures, left: Some(left) })
}

fn stopped(why: Why) -> Option<News> {
    Some(News::Stopped { why })
}

fn abandoned(why: Why, impossible: bool) -> Option<News> {
    Some(News::StopAbandoned { why, impossible })
}

const HEALTHY: Option<News> = Some(News::Healthy { again: false });
const HEALTHY_AGAIN: Option<News> = Some(News::Healthy { again: true });
const RESTARTS: Option<News> = Some(News::Unhealthy { failures: 3, left: None });

/// A process found at `at` whose first probe succeeds at once.
fn healthy_at(at: u64, started: u64) -> Vec<Row> {
    vec![
        (at, running(started), Action::Probe(id(started)), FOUND, None),
        (at, Seen::Nothing, Action::Look, None, None),
        (at, running(started), wait(at + 1000), None, None),
        (at, healthy(started), wait(at + 1000), HEALTHY, None),
    ]
}

/// A probe that is due at `at` and comes to this.
fn probe(at: u64, started: u64, result: ProbeResult, action: Action, news: Option<News>) -> Vec<Row> {
    vec![
        (at, running(started), Action::Probe(id(started)), None, None),
        (at, Seen::Probed(id(started), result), action, news, None),
    ]
}

/// Three probes fail, from `at` on, each ten seconds; the third comes to `last`.
fn three_failures(at: u64, started: u64, last: Action, news: Option<News>) -> Vec<Row> {
    [
        probe(at, started, ProbeResult::Unhealthy, wait(at + 1000), None),
        probe(at + 10_000, started, ProbeResult::Unhealthy, wait(at + 11_000), None),
        probe(at + 20_000, started, ProbeResult::Unhealthy, last, news),
    ]
    .concat()
}

/// The evidence is there, the signal works, and the start command brings another process, judged a success
/// at `at + 5000`; its first probe is under way then.
fn restart(at: u64, started: u64) -> Vec<Row> {
    vec![
        (at, Seen::StageEnded { well: true }, stop_by(started, StopBy::Signal), None, None),
        (at, Seen::Nothing, Action::Look, None, None),
        (at, running(started), wait(at + 1000), None, None),
        (at, gone(started), Action::Look, stopped(Why::Unhealthy), None),
        (at, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        (at, Seen::CommandEnded, Action::Look, None, None),
        (at + 10, running(at), wait(at + 1010), appeared(10), None),
        (at + 5000, running(at), Action::Probe(id(at)), Some(News::Succeeded { attempt: 1 }), None),
    ]
}

#[test]
fn an_unhealthy_process_is_stopped_and_started() {
    let mut policy = Policy::new(PROBED);
    go("healthy", &mut policy, May::ALL, &healthy_at(100_000, 0));
    go("hangs", &mut policy, May::ALL, &three_failures(110_000, 0, Action::Evidence(id(0)), RESTARTS));
    assert_eq!(
        policy.memory().stopping.map(|stop| (stop.why, stop.stage)),
        Some((Why::Unhealthy, Stage::Evidence))
    );
    assert_eq!(policy.memory().health.restarts, 0, "nothing was done yet");
    let mut next = Policy::recall(PROBED, policy.memory(), None);
    go(
        "the next watch decides anew",
        &mut next,
        May::ALL,
        &[(130_500, running(0), Action::Probe(id(0)), FOUND, None)],
    );
    go("restart", &mut policy, May::ALL, &restart(131_000, 0));
    assert_eq!((policy.memory().health.restarts, policy.memory().stopping), (1, None));
    assert_eq!(policy.memory().failures, 0, "that is no failure");
    // It starts slowly: that is no second restart.
    let slow = [
        (136_000, unhealthy(131_000), wait(137_000), None, None),
        (146_000, running(131_000), Action::Probe(id(131_000)), None, None),
        (146_000, unhealthy(131_000), wait(147_000), None, None),
        (156_000, running(131_000), Action::Probe(id(131_000)), None, None),
        (156_000, healthy(131_000), wait(157_000), HEALTHY, None),
        (165_500, running(131_000), wait(166_000), None, None),
    ];
    go("slow", &mut policy, May::ALL, &slow);
    // Healthy for long enough, it is as if nothing had been.
    for at in (166_000..=216_000).step_by(10_000) {
        go("on", &mut policy, May::ALL, &probe(at, 131_000, ProbeResult::Healthy, wait(at + 1000), None));
    }
    assert_eq!(policy.memory().health.restarts, 0);
}

#[test]
fn failures_of_a_process_that_starts_do_not_count() {
    let limits = Limits { probe_start_period: ms(60_000), ..PROBED };
    let mut policy = Policy::new(limits);
    let mut rows = vec![(0, running(0), Action::Probe(id(0)), FOUND, None)];
    rows.push((0, unhealthy(0), wait(1000), None, None));
    for at in (10_000..60_000).step_by(10_000) {
        rows.extend(probe(at, 0, ProbeResult::Unhealthy, wait(at + 1000), None));
    }
    go("starts", &mut policy, May::ALL, &rows);
    assert_eq!(policy.memory().health.series.map(|series| series.failures), Some(0));
    // The first success ends that.
    let mut policy = Policy::new(limits);
    go("is up", &mut policy, May::ALL, &healthy_at(0, 0));
    go("hangs", &mut policy, May::ALL, &three_failures(10_000, 0, Action::Evidence(id(0)), RESTARTS));
}

#[test]
fn after_enough_restarts_it_is_left_running() {
    for max in [1, 2] {
        let limits = Limits { max_fail_count: Some(max), ..PROBED };
        let mut policy = Policy::new(limits);
        go("healthy", &mut policy, May::ALL, &healthy_at(0, 0));
        let (mut at, mut started) = (10_000, 0);
        for _ in 0..max {
            go(
                "hangs",
                &mut policy,
                May::ALL,
                &three_failures(at, started, Action::Evidence(id(started)), RESTARTS),
            );
            at += 20_000;
            go("restart", &mut policy, May::ALL, &restart(at, started));
            started = at;
            // Its first probe is under way.
            go("void", &mut policy, May::ALL, &[(at + 5000, unknown(started), wait(at + 6000), None, None)]);
            at += 15_000;
        }
        let enough = Left::Enough { restarts: max, retry: ms(600_000) };
        go("left", &mut policy, May::ALL, &three_failures(at, started, wait(at + 21_000), left(3, enough)));
        assert_eq!(policy.memory().health.resting_until, Some(ms(at + 620_000)));
        go(
            "silent",
            &mut policy,
            May::ALL,
            &probe(at + 619_000, started, ProbeResult::Unhealthy, wait(at + 620_000), None),
        );
        // A fresh round.
        let mut again = policy.clone();
        let news = Some(News::Unhealthy { failures: 5, left: None });
        let rows = probe(at + 629_000, started, ProbeResult::Unhealthy, Action::Evidence(id(started)), news);
        go("retry", &mut again, May::ALL, &rows);
        // Somebody said so.
        let mut resumed = policy.clone();
        resumed.forget(ms(at + 40_000));
        go(
            "resumed",
            &mut resumed,
            May::ALL,
            &probe(at + 629_000, started, ProbeResult::Unhealthy, Action::Evidence(id(started)), news),
        );
        // Healthy by itself: one line, and what was is not forgotten for that.
        let rows = probe(at + 629_000, started, ProbeResult::Healthy, wait(at + 630_000), HEALTHY_AGAIN);
        go("healthy", &mut policy, May::ALL, &rows);
        let at = at + 639_000;
        let enough = Left::Enough { restarts: max, retry: ms(1_200_000) };
        go("again", &mut policy, May::ALL, &three_failures(at, started, wait(at + 21_000), left(3, enough)));
        // It is watched for its death.
        let rows = [
            (at + 25_000, died(at + 25_000, started), wait(at + 28_000), None, None),
            (at + 25_001, ended(Cause::Crashed), wait(at + 25_100), None, None),
            (at + 25_100, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        ];
        go("dies", &mut policy, May::ALL, &rows);
    }
}

#[test]
fn a_probe_that_cannot_tell_counts_for_nothing() {
    let mut policy = Policy::new(PROBED);
    go("healthy", &mut policy, May::ALL, &healthy_at(0, 0));
    let mut rows = Vec::new();
    for at in (10_000..500_000).step_by(10_000) {
        rows.extend(probe(at, 0, ProbeResult::Unknown, wait(at + 1000), None));
    }
    // It neither counts towards a series nor ends it.
    for (at, result) in [
        (500_000, ProbeResult::Unhealthy),
        (510_000, ProbeResult::Unhealthy),
        (520_000, ProbeResult::Unknown),
    ] {
        rows.extend(probe(at, 0, result, wait(at + 1000), None));
    }
    rows.extend(probe(530_000, 0, ProbeResult::Unhealthy, Action::Evidence(id(0)), RESTARTS));
    go("unknown", &mut policy, May::ALL, &rows);
}

#[test]
fn an_overloaded_machine_excuses_so_many_timeouts() {
    let mut policy = Policy::new(PROBED);
    go("healthy", &mut policy, May::ALL, &healthy_at(0, 0));
    let overloaded = ProbeResult::TimedOut { overloaded: true };
    let mut rows = Vec::new();
    let mut at = 10_000;
    for _ in 0..11 {
        rows.extend(probe(at, 0, overloaded, wait(at + 1000), None));
        at += 10_000;
    }
    rows.extend(probe(at, 0, overloaded, Action::Evidence(id(0)), RESTARTS));
    go("overloaded", &mut policy, May::ALL, &rows);
    // One that is late without that counts at once.
    let mut policy = Policy::new(Limits { probe_failures: 1, ..PROBED });
    go("healthy", &mut policy, May::ALL, &healthy_at(0, 0));
    let late = ProbeResult::TimedOut { overloaded: false };
    let news = Some(News::Unhealthy { failures: 1, left: None });
    go("late", &mut policy, May::ALL, &probe(10_000, 0, late, Action::Evidence(id(0)), news));
}

#[test]
fn what_is_held_still_is_not_probed_and_not_stopped() {
    for (still, seen) in [(Still::Suspended, suspended(0)), (Still::Dying, dumps(0))] {
        let mut policy = Policy::new(Limits { probe_failures: 1, ..PROBED });
        go("healthy", &mut policy, May::ALL, &healthy_at(0, 0));
        let rows = [
            (10_000, running(0), Action::Probe(id(0)), None, None),
            (11_000, seen, Action::EndProbe, None, None),
            // It was on its way.
            (11_000, unhealthy(0), wait(12_000), None, None),
            (12_000, seen, wait(13_000), None, None),
            (90_000, seen, wait(91_000), None, None),
            // It runs on, and is probed in time.
            (91_000, running(0), Action::Probe(id(0)), None, None),
            (
                91_000,
                unhealthy(0),
                Action::Evidence(id(0)),
                Some(News::Unhealthy { failures: 1, left: None }),
                None,
            ),
            // Held still at the last moment.
            (91_000, Seen::Nothing, Action::Look, None, None),
            (91_000, seen, wait(92_000), None, None),
            (91_500, Seen::StageEnded { well: true }, wait(92_500), None, None),
        ];
        go(&format!("{still:?}"), &mut policy, May::ALL, &rows);
        assert_eq!((policy.memory().stopping, policy.memory().health.restarts), (None, 0));
    }
}

#[test]
fn a_core_dump_is_not_cut_short_for_health() {
    for (why, kills) in [(Why::Unhealthy, false), (Why::Request, true)] {
        let mut policy = Policy::new(Limits { probe_failures: 1, ..PROBED });
        go("healthy", &mut policy, May::ALL, &healthy_at(0, 0));
        policy.decide(ms(10_000), running(0), May::ALL);
        if why == Why::Unhealthy {
            policy.decide(ms(10_000), unhealthy(0), May::ALL);
            policy.decide(ms(10_000), Seen::StageEnded { well: true }, May::ALL);
        } else {
            policy.decide(ms(10_000), healthy(0), May::ALL);
            policy.decide(ms(10_000), Seen::Request(Request::Restart), May::ALL);
            assert_eq!(policy.decide(ms(10_000), running(0), May::ALL).action, stop_by(0, StopBy::Signal));
        }
        let decision = policy.decide(ms(40_000), dumps(0), May::ALL);
        assert_eq!(decision.action == Action::Kill(id(0)), kills, "{why:?}: {decision:?}");
        assert_eq!(decision.news == Some(News::StopFailed { why }), !kills);
        if !kills {
            // It was all that was left to do.
            assert_eq!(policy.decide(ms(90_000), gone(0), May::ALL).news, stopped(why));
        }
    }
}

#[test]
fn the_stages_of_a_stop() {
    let limits = Limits { has_stop_command: true, ..LIMITS };
    let request = |at: u64| {
        [
            (0, running(0), wait(1000), FOUND, None),
            (at, Seen::Request(Request::Restart), Action::Look, None, None),
            (at, running(0), stop_by(0, StopBy::Command), None, None),
            (at, Seen::Nothing, Action::Look, None, None),
            (at, running(0), wait(at + 250), None, None),
        ]
    };
    let rest = |at: u64| {
        [
            (at, Seen::Nothing, Action::Look, None, None),
            (at + 29_000, running(0), wait(at + 29_250), None, None),
            (at + 30_000, running(0), Action::Kill(id(0)), None, None),
            (at + 30_000, gone(0), Action::EndLeft { kill: false }, stopped(Why::Request), None),
            (at + 30_000, Seen::Nothing, wait(at + 30_250), None, None),
            (at + 35_000, Seen::Nothing, Action::EndLeft { kill: true }, None, None),
            (at + 35_000, Seen::StageEnded { well: true }, Action::Look, None, None),
            (at + 35_000, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        ]
    };
    // It fails.
    let mut policy = Policy::new(limits);
    go("asked", &mut policy, May::ALL, &request(5000));
    let fails = [(6000, Seen::StageEnded { well: false }, stop_by(0, StopBy::Signal), None, None)];
    go("fails", &mut policy, May::ALL, &[&fails[..], &rest(6000)].concat());
    // It hangs; or it ends with status 0 and does nothing, in which case it has its time too.
    for ends in [false, true] {
        let mut policy = Policy::new(limits);
        go("asked", &mut policy, May::ALL, &request(5000));
        if ends {
            go(
                "ends",
                &mut policy,
                May::ALL,
                &[(6000, Seen::StageEnded { well: true }, Action::Look, None, None)],
            );
        }
        let hangs = [
            (34_000, running(0), wait(34_250), None, None),
            (35_000, running(0), stop_by(0, StopBy::Signal), None, None),
        ];
        go("hangs", &mut policy, May::ALL, &[&hangs[..], &rest(35_000)].concat());
    }
    // It works, and all descendants are to be ended, or none.
    for (kill_mode, action) in
        [(KillMode::Process, Action::Look), (KillMode::Mixed, Action::EndLeft { kill: false })]
    {
        let mut policy = Policy::new(Limits { kill_mode, ..limits });
        go("asked", &mut policy, May::ALL, &request(5000));
        go("works", &mut policy, May::ALL, &[(7000, gone(0), action, stopped(Why::Request), None)]);
    }
}

#[test]
fn what_cannot_be_killed_is_started_when_it_is_gone() {
    for (stop_timeout, last) in [(Some(ms(30_000)), 70_000), (None, 40_000)] {
        let mut policy = Policy::new(Limits { stop_timeout, ..LIMITS });
        let mut rows = vec![
            (0, running(0), wait(1000), FOUND, None),
            (10_000, Seen::Request(Request::Restart), Action::Look, None, None),
            (10_000, running(0), stop_by(0, StopBy::Signal), None, None),
        ];
        if stop_timeout.is_some() {
            rows.push((40_000, running(0), Action::Kill(id(0)), None, None));
        }
        let failed = Some(News::StopFailed { why: Why::Request });
        rows.extend([
            (last, running(0), wait(last + 1000), failed, not_done(StillThere)),
            (last + 1000, Seen::Nothing, Action::Look, None, None),
            (last + 1000, running(0), wait(last + 2000), None, None),
            // Whoever asks again is told at once.
            (last + 2000, Seen::Request(Request::Stop), Action::Look, None, None),
            (last + 2000, running(0), wait(last + 3000), None, not_done(StillThere)),
            (last + 3000, Seen::Request(Request::Start), Action::Look, None, None),
            (last + 3000, running(0), wait(last + 4000), None, not_done(StillThere)),
        ]);
        go("state D", &mut policy, May::ALL, &rows);
        assert_eq!(policy.memory().failures, 0);
        let killed = stop_timeout.is_some();
        let next = if killed { Action::EndLeft { kill: false } } else { Action::Look };
        go("gone", &mut policy, May::ALL, &[(last + 9000, gone(0), next, stopped(Why::Request), None)]);
        if killed {
            go(
                "left",
                &mut policy,
                May::ALL,
                &[(last + 9000, Seen::StageEnded { well: true }, Action::Look, None, None)],
            );
        }
        go(
            "start",
            &mut policy,
            May::ALL,
            &[(last + 9000, Seen::Missing, Action::Start { attempt: 1 }, None, None)],
        );
    }
}

#[test]
fn what_cannot_be_signalled_is_left_running() {
    let mut policy = Policy::new(PROBED);
    go("healthy", &mut policy, May::ALL, &healthy_at(0, 0));
    go("hangs", &mut policy, May::ALL, &three_failures(10_000, 0, Action::Evidence(id(0)), RESTARTS));
    let rows = [
        (30_000, Seen::StageEnded { well: true }, stop_by(0, StopBy::Signal), None, None),
        (30_000, Seen::StopImpossible, wait(31_000), abandoned(Why::Unhealthy, true), None),
    ];
    go("no permission", &mut policy, May::ALL, &rows);
    go("not each time", &mut policy, May::ALL, &probe(40_000, 0, ProbeResult::Unhealthy, wait(41_000), None));
    let rows = [
        (41_000, Seen::Request(Request::Stop), Action::Look, None, None),
        (41_000, running(0), stop_by(0, StopBy::Signal), None, None),
        (41_000, Seen::StopImpossible, wait(42_000), abandoned(Why::Request, true), not_done(CannotStop)),
    ];
    go("asked", &mut policy, May::ALL, &rows);
    // That it is gone after all is no failure of the attempt that it came from.
    let rows = [
        (0, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        (0, Seen::CommandEnded, Action::Look, None, None),
        (5000, running(5), wait(6000), Some(News::Succeeded { attempt: 1 }), None),
        (6000, Seen::Request(Request::Restart), Action::Look, None, None),
        (6000, running(5), stop_by(5, StopBy::Signal), None, None),
        (6000, Seen::StopImpossible, wait(7000), abandoned(Why::Request, true), not_done(CannotStop)),
        (6100, gone(5), wait(9100), None, None),
    ];
    let mut policy = Policy::new(LIMITS);
    go("gone after all", &mut policy, May::ALL, &rows);
    assert!(!policy.memory().on_probation);
}

#[test]
fn a_pause_or_another_restart_puts_a_stop_off() {
    let hung = |may: May, last: Action, news| {
        let mut policy = Policy::new(PROBED);
        go("healthy", &mut policy, May::ALL, &healthy_at(0, 0));
        go("hangs", &mut policy, may, &three_failures(10_000, 0, last, news));
        policy
    };
    // Nothing is stopped that may not be, or may not be started; the next probe asks again.
    for may in [NO_STOP, OUTSIDE_HOURS] {
        let mut policy = hung(may, wait(31_000), left(3, Left::Held));
        go("held", &mut policy, may, &probe(40_000, 0, ProbeResult::Unhealthy, wait(41_000), None));
        let news = Some(News::Unhealthy { failures: 5, left: None });
        go(
            "free",
            &mut policy,
            May::ALL,
            &probe(50_000, 0, ProbeResult::Unhealthy, Action::Evidence(id(0)), news),
        );
    }
    // Another process is being restarted for its health, or no child can be created.
    let mut policy = hung(May::ALL, Action::Evidence(id(0)), RESTARTS);
    go(
        "busy",
        &mut policy,
        May::ALL,
        &[(30_500, Seen::StageEnded { well: false }, wait(31_500), None, None)],
    );
    let news = Some(News::Unhealthy { failures: 4, left: None });
    go(
        "free",
        &mut policy,
        May::ALL,
        &probe(41_000, 0, ProbeResult::Unhealthy, Action::Evidence(id(0)), news),
    );
    // A pause that comes meanwhile.
    let mut policy = hung(May::ALL, Action::Evidence(id(0)), RESTARTS);
    let rows =
        [(31_000, Seen::StageEnded { well: true }, wait(32_000), abandoned(Why::Unhealthy, false), None)];
    go("paused before", &mut policy, May::NOTHING, &rows);
    assert_eq!((policy.memory().stopping, policy.memory().health.restarts), (None, 0));
    let mut policy = hung(May::ALL, Action::Evidence(id(0)), RESTARTS);
    go(
        "term",
        &mut policy,
        May::ALL,
        &[(31_000, Seen::StageEnded { well: true }, stop_by(0, StopBy::Signal), None, None)],
    );
    let rows = [
        (40_000, running(0), wait(41_000), None, None),
        (61_000, running(0), wait(62_000), abandoned(Why::Unhealthy, false), None),
        (62_000, gone(0), wait(65_000), None, None),
        (65_000, Seen::Missing, wait(66_000), None, None),
    ];
    go("paused between", &mut policy, May::NOTHING, &rows);
}

#[test]
fn a_result_is_dropped_that_says_nothing_of_now() {
    let limits = Limits { probe_failures: 1, ..PROBED };
    let probing = || {
        let mut policy = Policy::new(limits);
        go("healthy", &mut policy, May::ALL, &healthy_at(0, 0));
        go("probing", &mut policy, May::ALL, &[(10_000, running(0), Action::Probe(id(0)), None, None)]);
        policy
    };
    let mut policy = probing();
    policy.lose(Lost { slept: ms(0), stalled: ms(60_000) });
    let rows = [
        (70_000, Seen::Nothing, Action::Look, None, None),
        (70_000, running(0), wait(71_000), None, None),
        (70_001, unhealthy(0), wait(71_001), None, None),
        (80_001, running(0), Action::Probe(id(0)), None, None),
    ];
    go("frozen", &mut policy, May::ALL, &rows);
    let mut policy = probing();
    let rows = [
        (11_000, running(0), Action::EndProbe, None, None),
        (11_000, unhealthy(0), wait(12_000), None, None),
        (30_000, running(0), wait(31_000), None, None),
    ];
    go("paused", &mut policy, May::NOTHING, &rows);
    let mut policy = probing();
    let rows = [
        (11_000, died(11_000, 0), Action::EndProbe, None, None),
        (11_000, unhealthy(0), wait(14_000), None, None),
        (11_001, ended(Cause::Stopped), wait(14_000), None, None),
        (14_000, running(12_000), Action::Probe(id(12_000)), BACK, None),
        (14_000, unhealthy(0), wait(15_000), None, None),
        (14_100, healthy(12_000), wait(15_100), HEALTHY, None),
    ];
    go("replaced", &mut policy, May::ALL, &rows);
    let mut policy = probing();
    let rows = [
        (11_000, Seen::Request(Request::Restart), Action::Look, None, None),
        (11_000, running(0), Action::EndProbe, None, None),
        (11_000, Seen::Nothing, Action::Look, None, None),
        (11_000, running(0), stop_by(0, StopBy::Signal), None, None),
        (11_000, unhealthy(0), wait(11_250), None, None),
    ];
    go("stopped", &mut policy, May::ALL, &rows);
}

#[test]
fn a_wrong_probe_restarts_nothing_or_what_was_started_here_once() {
    // It runs since before.
    let mut policy = Policy::new(PROBED);
    let found = [(0, running(0), Action::Probe(id(0)), FOUND, None), (0, unknown(0), wait(1000), None, None)];
    go("found", &mut policy, May::ALL, &found);
    go(
        "told once",
        &mut policy,
        May::ALL,
        &three_failures(10_000, 0, wait(31_000), left(3, Left::NeverHealthy)),
    );
    go("never", &mut policy, May::ALL, &probe(40_000, 0, ProbeResult::Unhealthy, wait(41_000), None));
    // It crashes, and is started here: once.
    let crash = [
        (41_000, died(41_000, 0), wait(44_000), None, None),
        (41_001, ended(Cause::Crashed), wait(41_100), None, None),
        (41_100, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        (41_100, Seen::CommandEnded, Action::Look, None, None),
        (46_100, running(41_150), Action::Probe(id(41_150)), Some(News::Succeeded { attempt: 1 }), None),
        (46_100, unknown(41_150), wait(47_100), None, None),
    ];
    go("crash", &mut policy, May::ALL, &crash);
    go(
        "once",
        &mut policy,
        May::ALL,
        &three_failures(60_000, 41_150, Action::Evidence(id(41_150)), RESTARTS),
    );
    go("restart", &mut policy, May::ALL, &restart(80_000, 41_150));
    policy.decide(ms(86_000), unknown(80_000), May::ALL);
    go(
        "enough",
        &mut policy,
        May::ALL,
        &three_failures(96_000, 80_000, wait(117_000), left(3, Left::NeverHealthy)),
    );
    // Nor does anybody's word give it another.
    policy.forget(ms(120_000));
    go(
        "resumed",
        &mut policy,
        May::ALL,
        &probe(126_000, 80_000, ProbeResult::Unhealthy, wait(127_000), None),
    );
    // Nor the next watch.
    let mut next = Policy::recall(PROBED, policy.memory(), None);
    let rows = [
        (130_000, running(80_000), Action::Probe(id(80_000)), FOUND, None),
        (130_000, unhealthy(80_000), wait(131_000), None, None),
    ];
    go("next", &mut next, May::ALL, &rows);
    // Nothing but warnings.
    let mut policy = Policy::new(Limits { on_unhealthy: OnUnhealthy::Warn, ..PROBED });
    go("healthy", &mut policy, May::ALL, &healthy_at(0, 0));
    go("warn", &mut policy, May::ALL, &three_failures(10_000, 0, wait(31_000), left(3, Left::Warned)));
    go("well", &mut policy, May::ALL, &probe(40_000, 0, ProbeResult::Healthy, wait(41_000), HEALTHY_AGAIN));
}

#[test]
fn a_hand_over_begins_another_series_and_keeps_the_proof() {
    let mut policy = Policy::new(PROBED);
    go("healthy", &mut policy, May::ALL, &healthy_at(0, 0));
    let mut rows = probe(10_000, 0, ProbeResult::Unhealthy, wait(11_000), None);
    rows.extend(probe(20_000, 0, ProbeResult::Unhealthy, wait(21_000), None));
    rows.extend([
        (30_000, running(0), Action::Probe(id(0)), None, None),
        (30_100, handed(30_000), Action::EndProbe, None, None),
        (30_100, Seen::Nothing, Action::Look, None, None),
    ]);
    go("hand over", &mut policy, May::ALL, &rows);
    go(
        "anew",
        &mut policy,
        May::ALL,
        &three_failures(31_000, 30_000, Action::Evidence(id(30_000)), RESTARTS),
    );
    // What was started here is ours after it.
    let mut policy = Policy::new(PROBED);
    for (at, seen) in [(0, Seen::Missing), (0, Seen::CommandEnded), (5000, running(5)), (5000, unknown(5))] {
        policy.decide(ms(at), seen, May::ALL);
    }
    policy.decide(ms(6000), handed(6000), May::ALL);
    assert_eq!(policy.memory().ours, Some(id(6000)));
}

#[test]
fn once_makes_one_probe_and_the_series_goes_on() {
    let once = Limits { once: true, ..PROBED };
    let end = |started| Action::End(Outcome::Running { started });
    let mut policy = Policy::new(once);
    let run = |policy: &Policy, at: u64, seen: Seen, action: Action, news: Option<News>| {
        let mut next = Policy::recall(once, policy.memory(), None);
        let rows = [
            (at, Seen::Nothing, Action::Look, None, None),
            (at, running(0), Action::Probe(id(0)), FOUND, None),
            (at, Seen::Nothing, Action::Look, None, None),
            (at, running(0), wait(at + 1000), None, None),
            (at, seen, action, news, None),
        ];
        go("run", &mut next, May::ALL, &rows);
        next
    };
    policy = run(&policy, 60_000, healthy(0), end(false), HEALTHY);
    policy = run(&policy, 120_000, unknown(0), end(false), None);
    policy = run(&policy, 180_000, unhealthy(0), end(false), None);
    policy = run(&policy, 240_000, unhealthy(0), end(false), None);
    policy = run(&policy, 300_000, unhealthy(0), Action::Evidence(id(0)), RESTARTS);
    let rows = [
        (300_000, Seen::StageEnded { well: true }, stop_by(0, StopBy::Signal), None, None),
        (300_000, gone(0), Action::Look, stopped(Why::Unhealthy), None),
        (300_000, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        (300_000, Seen::CommandEnded, Action::Look, None, None),
        (305_000, running(300_010), end(true), Some(News::Succeeded { attempt: 1 }), None),
    ];
    go("restart", &mut policy, May::ALL, &rows);
    // Nor is one probed that is paused or held still.
    for (may, seen) in [(May::NOTHING, running(300_010)), (May::ALL, suspended(300_010))] {
        let mut next = Policy::recall(once, policy.memory(), None);
        go("not probed", &mut next, may, &[(360_000, seen, end(false), FOUND, None)]);
    }
    // What cannot be killed is left to the next run, which kills it again.
    let mut policy = run(&policy, 420_000, healthy(0), end(false), HEALTHY);
    policy.decide(ms(420_000), Seen::Request(Request::Stop), May::ALL);
    policy.decide(ms(420_000), running(0), May::ALL);
    policy.decide(ms(450_000), running(0), May::ALL);
    let news = Some(News::StopFailed { why: Why::Request });
    go("state D", &mut policy, May::ALL, &[(480_000, running(0), end(false), news, not_done(StillThere))]);
    let mut next = Policy::recall(once, policy.memory(), None);
    go("next", &mut next, May::ALL, &[(490_000, running(0), Action::Kill(id(0)), None, None)]);
    // A look that cannot tell does not end the run before its probe has ended.
    let rows =
        [(0, running(0), Action::Probe(id(0)), FOUND, None), (0, Seen::Unknown, wait(1000), None, None)];
    go("cannot tell", &mut Policy::new(Limits { once: true, ..PROBED }), May::ALL, &rows);
}

#[test]
fn a_stop_is_finished_by_the_next_watch() {
    let mut policy = Policy::new(Limits { has_stop_command: true, ..LIMITS });
    let rows = [
        (0, running(0), wait(1000), FOUND, None),
        (10_000, Seen::Request(Request::Restart), Action::Look, None, None),
        (10_000, running(0), stop_by(0, StopBy::Command), None, None),
    ];
    go("asked", &mut policy, May::ALL, &rows);
    let text = serde_json::to_string(&policy.memory()).unwrap();
    let stopping = r#""stopping":{"pid":1,"started_ms":0,"why":"request","stage":"command","since_ms":10000,"then":"start"}"#;
    assert!(text.contains(stopping), "{text}");
    let memory = serde_json::from_str(&text).unwrap();
    assert_eq!(policy.memory(), memory);
    let next = || Policy::recall(Limits { has_stop_command: true, ..LIMITS }, memory, None);
    // Hours later: it has its time again.
    let rows = [
        (9_000_000, Seen::Nothing, Action::Look, None, None),
        (9_000_000, running(0), stop_by(0, StopBy::Command), None, None),
        (9_000_000, running(0), wait(9_001_000), None, None),
        (9_030_000, running(0), stop_by(0, StopBy::Signal), None, None),
    ];
    go("woken", &mut next(), May::ALL, &rows);
    let rows = [
        (20_000, gone(0), Action::Look, stopped(Why::Request), None),
        (20_000, Seen::Missing, Action::Start { attempt: 1 }, None, None),
    ];
    go("gone", &mut next(), May::ALL, &rows);
    go(
        "paused",
        &mut next(),
        May::NOTHING,
        &[(20_000, running(0), wait(21_000), abandoned(Why::Request, false), None)],
    );
    let rows = [
        (20_000, running(0), stop_by(0, StopBy::Command), None, None),
        (20_000, gone(19_000), wait(21_000), None, None),
    ];
    go("another is gone", &mut next(), May::ALL, &rows);
    let rows = [
        (20_000, running(19_000), Action::Look, stopped(Why::Request), None),
        (20_000, running(19_000), wait(21_000), FOUND, None),
    ];
    go("another is there", &mut next(), May::ALL, &rows);
}

#[test]
fn requests_to_a_process_that_runs() {
    let up = [(0, running(0), wait(1000), FOUND, None)];
    let go = |name: &str, may: May, rows: &[Row]| {
        let mut policy = Policy::new(LIMITS);
        go(name, &mut policy, May::ALL, &up);
        go(name, &mut policy, may, rows);
    };
    let start = (9000, Seen::Request(Request::Start), Action::Look, None, None);
    let stop = (9000, Seen::Request(Request::Stop), Action::Look, None, None);
    let restart = (9000, Seen::Request(Request::Restart), Action::Look, None, None);
    let signal = (9000, running(0), stop_by(0, StopBy::Signal), None, None);
    go("start", May::NOTHING, &[start, (9000, running(0), wait(10_000), None, DONE)]);
    go("held", NO_STOP, &[restart, (9000, running(0), wait(10_000), None, not_done(Held))]);
    let no_start = May { start: MayStart::No, ..May::ALL };
    go("could not be started", no_start, &[restart, (9000, running(0), wait(10_000), None, not_done(Held))]);
    let after = (9500, gone(0), Action::Look, stopped(Why::Request), None);
    // The hold of a stop is in force.
    let for_good = [
        (9500, Seen::Missing, wait(10_500), None, None),
        (10_500, Seen::Nothing, Action::Look, None, None),
        (10_500, Seen::Missing, wait(11_500), None, DONE),
    ];
    go("stop", no_start, &[&[stop, signal, after], &for_good[..]].concat());
    go(
        "brought back",
        no_start,
        &[stop, signal, after, (9500, running(9400), wait(10_500), BACK, not_done(BackAgain))],
    );
    let back = (9700, running(9600), wait(10_700), BACK, not_done(BackAgain));
    go("brought back a moment later", no_start, &[stop, signal, after, for_good[0], back]);
    let started = [
        (9500, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        (9500, Seen::CommandEnded, Action::Look, None, None),
        (9510, running(9505), wait(10_510), appeared(10), None),
    ];
    let judged = (14_500, running(9505), wait(15_500), Some(News::Succeeded { attempt: 1 }), DONE);
    // Hours do not hold what somebody asks for.
    go("restart", OUTSIDE_HOURS, &[&[restart, signal, after], &started[..], &[judged]].concat());
    go(
        "restarted by somebody else",
        May::ALL,
        &[restart, signal, after, (9500, running(9400), wait(10_500), FOUND, DONE)],
    );
    // Two at once: the newest counts.
    let second = (9100, Seen::Request(Request::Stop), Action::Look, None, Some(Answer::Superseded));
    go("two", no_start, &[start, second, (9100, running(0), stop_by(0, StopBy::Signal), None, None)]);
    let second = (9100, Seen::Request(Request::Start), Action::Look, None, Some(Answer::Superseded));
    go("stop and start", May::ALL, &[&[stop, signal, second, after], &started[..], &[judged]].concat());
}

#[test]
fn requests_to_a_process_that_is_missing() {
    let (start, stop) = (Seen::Request(Request::Start), Seen::Request(Request::Stop));
    let down = || {
        let mut policy = Policy::new(LIMITS);
        for (at, seen) in [(0, running(0)), (9000, died(9000, 0)), (9001, ended(Cause::Stopped))] {
            policy.decide(ms(at), seen, May::ALL);
        }
        policy
    };
    let rows = [
        (9500, start, Action::Look, None, None),
        (9500, Seen::Unknown, wait(9750), None, None),
        (9750, Seen::Nothing, Action::Look, None, None),
        (9750, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        (9750, Seen::CommandEnded, Action::Look, None, None),
        (14_750, Seen::Missing, Action::Look, failed(1, Failure::Missing), not_done(NotDone::NotStarted)),
    ];
    go("no wait before it", &mut down(), May::ALL, &rows);
    let rows = [
        (9500, Seen::Request(Request::Restart), Action::Look, None, None),
        (9500, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        (9510, running(9505), wait(10_510), appeared(10), None),
        (14_500, running(9505), wait(15_500), Some(News::Succeeded { attempt: 1 }), DONE),
    ];
    go("nothing to stop", &mut down(), May::ALL, &rows);
    go(
        "stopped already",
        &mut down(),
        May::ALL,
        &[(9500, stop, Action::Look, None, None), (9500, Seen::Missing, wait(10_500), None, DONE)],
    );
    let rows =
        [(9500, start, Action::Look, None, None), (9500, Seen::Missing, wait(10_500), None, not_done(Held))];
    go("held", &mut down(), May::NOTHING, &rows);
    let rows = [
        (9500, start, Action::Look, None, None),
        (19_500, Seen::Unknown, wait(20_500), None, not_done(NotDone::CannotTell)),
    ];
    go("unknown", &mut down(), May::ALL, &rows);
    let rows = [
        (9500, start, Action::Look, None, None),
        (9500, Seen::LeftNear, wait(10_500), None, not_done(NotDone::LeftNear)),
    ];
    go("near", &mut down(), May::ALL, &rows);
    // Given up, and finished: all is as new.
    let memory = Memory {
        failures: 3,
        rounds: 2,
        gave_up_until: Some(ms(900_000)),
        last_attempt: Some(ms(9000)),
        ..Memory::default()
    };
    let rows = [
        (9500, start, Action::Look, None, None),
        (9500, Seen::Missing, Action::Start { attempt: 1 }, None, None),
    ];
    let mut given_up = Policy::recall(LIMITS, memory, None);
    go("given up", &mut given_up, May::ALL, &rows);
    assert_eq!((given_up.memory().failures, given_up.memory().rounds), (0, 0));
    let finished = Memory { life: Life::Finished, ..Memory::default() };
    let limits = Limits { autorestart: Autorestart::Unexpected, ..LIMITS };
    go("finished", &mut Policy::recall(limits, finished, None), May::ALL, &rows);
    let mut finished = Policy::recall(limits, finished, None);
    go(
        "stays so",
        &mut finished,
        May::ALL,
        &[(0, stop, Action::Look, None, None), (0, Seen::Missing, wait(1000), None, DONE)],
    );
    assert_eq!(finished.memory().life, Life::Finished);
    // What is refused leaves them so.
    for memory in [memory, Memory { life: Life::Finished, ..Memory::default() }] {
        let mut policy = Policy::recall(limits, memory, None);
        let rows = [
            (9500, start, Action::Look, None, None),
            (9500, Seen::Missing, wait(10_500), None, not_done(Held)),
        ];
        go("held", &mut policy, May::NOTHING, &rows);
        assert_eq!(policy.memory(), memory);
    }
}

#[test]
fn a_start_under_way_is_ended_and_not_judged() {
    let start = [(0, Seen::Missing, Action::Start { attempt: 1 }, None, None)];
    let restart = (500, Seen::Request(Request::Restart), Action::Look, None, None);
    let stop = (500, Seen::Request(Request::Stop), Action::Look, None, None);
    let go = |name: &str, rows: &[Row]| {
        let mut policy = Policy::new(LIMITS);
        go(name, &mut policy, May::ALL, &[&start, rows].concat());
        assert_eq!(policy.memory().failures, 0, "{name}");
    };
    // The command is at work.
    let ended = [
        (500, Seen::Missing, Action::StopCommand, None, None),
        (500, Seen::Nothing, wait(750), None, None),
        (600, Seen::CommandEnded, Action::Look, None, None),
    ];
    go(
        "restart",
        &[&[restart], &ended[..], &[(600, Seen::Missing, Action::Start { attempt: 1 }, None, None)]].concat(),
    );
    go("stop", &[&[stop], &ended[..], &[(600, Seen::Missing, wait(1600), None, DONE)]].concat());
    // It has ended, and the process may be on its way.
    let rows = [
        (100, Seen::CommandEnded, Action::Look, None, None),
        (100, Seen::Missing, wait(200), None, None),
        restart,
        (500, Seen::Missing, wait(900), None, None),
        (900, Seen::Missing, wait(1100), None, None),
        (1100, Seen::Missing, Action::Start { attempt: 1 }, None, None),
    ];
    go("restart, on its way", &rows);
    // The process is the command's, in the foreground: it is stopped, and then the command's group is ended.
    let rows = [
        (10, running(5), wait(1010), appeared(10), None),
        restart,
        (500, running(5), stop_by(5, StopBy::Signal), None, None),
        (700, gone(5), Action::StopCommand, stopped(Why::Request), None),
        (700, Seen::Missing, wait(950), None, None),
        (701, Seen::CommandEnded, Action::Look, None, None),
        (701, Seen::Missing, Action::Start { attempt: 1 }, None, None),
    ];
    go("foreground", &rows);
    // An attempt that overran is ended already.
    let rows = [
        (100_000, Seen::Missing, Action::StopCommand, Some(News::Overran), None),
        (100_100, Seen::Request(Request::Start), wait(100_350), None, None),
        (100_200, Seen::CommandEnded, Action::Look, None, None),
        (100_200, Seen::Missing, Action::Start { attempt: 1 }, None, None),
    ];
    go("overran", &rows);
}

#[test]
fn an_attempt_is_judged_so_long_after_its_start_command_was_run() {
    // What came before that took 300 ms.
    let rows = [
        (0, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        (300, Seen::Started, wait(310), None, None),
        (310, Seen::CommandEnded, Action::Look, None, None),
        (5000, Seen::Missing, wait(5300), None, None),
        (5300, Seen::LeftNear, wait(6300), Some(News::LeftNear), None),
    ];
    go("slow", &mut Policy::new(LIMITS), May::ALL, &rows);
}

#[test]
fn what_an_attempt_left_running_near_is_not_started_twice() {
    let start = [
        (0, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        (100, Seen::LeftNear, wait(200), None, None),
        (5000, Seen::LeftNear, wait(6000), Some(News::LeftNear), None),
        (6000, Seen::Nothing, Action::Look, None, None),
        (6000, Seen::LeftNear, wait(7000), None, None),
        // The command is at work for too long, and is left alone too.
        (500_000, Seen::LeftNear, wait(501_000), None, None),
    ];
    let mut policy = Policy::new(LIMITS);
    go("near", &mut policy, May::ALL, &start);
    let mut found = policy.clone();
    go(
        "found",
        &mut found,
        May::ALL,
        &[(501_000, running(50), wait(502_000), Some(News::Succeeded { attempt: 1 }), None)],
    );
    let rows = [
        (501_000, Seen::CommandEnded, Action::Look, None, None),
        (502_000, Seen::Missing, Action::Look, failed(1, Failure::Missing), None),
        (502_000, Seen::Missing, Action::Start { attempt: 2 }, None, None),
    ];
    go("gone", &mut policy, May::ALL, &rows);
    let mut once = Policy::new(Limits { once: true, ..LIMITS });
    let rows = [
        (0, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        (5000, Seen::LeftNear, Action::End(Outcome::Unknown), Some(News::LeftNear), None),
    ];
    go("once", &mut once, May::ALL, &rows);
    let mut next = Policy::recall(Limits { once: true, ..LIMITS }, once.memory(), None);
    go(
        "once more",
        &mut next,
        May::ALL,
        &[(60_000, Seen::LeftNear, Action::End(Outcome::Unknown), Some(News::LeftNear), None)],
    );
}

#[test]
fn time_that_is_lost_is_given_back() {
    let lost = |slept, stalled| Lost { slept: ms(slept), stalled: ms(stalled) };
    let start = (0, Seen::Missing, Action::Start { attempt: 1 }, None, None);
    // The verdict: all of a sleep, and of what stalls the watch as much again as it has.
    for (lost, judged_at) in [(lost(60_000, 0), 65_000), (lost(0, 3000), 8000), (lost(0, 60_000), 10_000)] {
        let mut policy = Policy::new(LIMITS);
        go("start", &mut policy, May::ALL, &[start, (1000, Seen::CommandEnded, Action::Look, None, None)]);
        policy.lose(lost);
        let rows = [
            (2000, Seen::Nothing, Action::Look, None, None),
            (judged_at - 1, Seen::Missing, wait(judged_at), None, None),
            (judged_at, Seen::Missing, Action::Look, failed(1, Failure::Missing), None),
        ];
        go("verdict", &mut policy, May::ALL, &rows);
    }
    let mut policy = Policy::new(LIMITS);
    go("start", &mut policy, May::ALL, &[start]);
    policy.lose(lost(7000, 10_000));
    let rows = [
        (50_000, Seen::Nothing, Action::Look, None, None),
        (116_999, Seen::Missing, wait(117_000), None, None),
        (117_000, Seen::Missing, Action::StopCommand, Some(News::Overran), None),
    ];
    go("start timeout", &mut policy, May::ALL, &rows);
    policy.lose(lost(60_000, 0));
    let rows = [
        (120_000, Seen::Nothing, wait(120_250), None, None),
        (182_000, Seen::Nothing, Action::KillCommand, None, None),
    ];
    go("its end", &mut policy, May::ALL, &rows);
    let mut policy = Policy::new(LIMITS);
    let rows = [
        (0, running(0), wait(1000), FOUND, None),
        (1000, Seen::Request(Request::Stop), Action::Look, None, None),
        (1000, running(0), stop_by(0, StopBy::Signal), None, None),
    ];
    go("stop", &mut policy, May::ALL, &rows);
    policy.lose(lost(3_600_000, 0));
    let rows = [
        (3_602_000, running(0), wait(3_602_250), None, None),
        (3_631_000, running(0), Action::Kill(id(0)), None, None),
    ];
    go("its timeout", &mut policy, May::ALL, &rows);
    policy.lose(lost(0, 500_000));
    let rows = [
        (3_690_999, running(0), wait(3_691_000), None, None),
        (
            3_691_000,
            running(0),
            wait(3_692_000),
            Some(News::StopFailed { why: Why::Request }),
            not_done(StillThere),
        ),
    ];
    go("the last timeout", &mut policy, May::ALL, &rows);
    // A look that took long tells no less: another would take as long.
    let mut policy = Policy::new(LIMITS);
    policy.lose(lost(0, 2000));
    go("a slow look", &mut policy, May::ALL, &[start]);
}

#[test]
fn what_ends_as_it_should_is_left_alone() {
    let limits = Limits { autorestart: Autorestart::Unexpected, ..LIMITS };
    let finished = Some(News::Finished);
    let up = (0, running(0), wait(1000), FOUND, None);
    for cause in [Cause::Finished, Cause::Stopped] {
        let mut policy = Policy::new(limits);
        let rows = [
            up,
            (9000, died(9000, 0), wait(12_000), None, None),
            (9001, ended(cause), wait(12_000), None, None),
            (12_000, Seen::Nothing, Action::Look, None, None),
            (12_000, Seen::Missing, wait(13_000), finished, None),
            (13_000, Seen::Nothing, Action::Look, None, None),
            (13_000, Seen::Missing, wait(14_000), None, None),
        ];
        go("finished", &mut policy, May::ALL, &rows);
        assert_eq!(policy.memory().life, Life::Finished);
        let mut next = Policy::recall(limits, policy.memory(), None);
        go("next", &mut next, May::ALL, &[(20_000, Seen::Missing, wait(21_000), None, None)]);
        // Somebody starts it.
        go("again", &mut next, May::ALL, &[(21_000, running(20_500), wait(22_000), BACK, None)]);
        policy.limit(LIMITS);
        go(
            "other settings",
            &mut policy,
            May::ALL,
            &[(22_000, Seen::Missing, Action::Start { attempt: 1 }, None, None)],
        );
    }
    for cause in [Cause::Crashed, Cause::Killed, Cause::Unknown] {
        let mut policy = Policy::new(limits);
        policy.decide(ms(0), running(0), May::ALL);
        policy.decide(ms(9000), died(9000, 0), May::ALL);
        policy.decide(ms(9001), ended(cause), May::ALL);
        assert_eq!(policy.decide(ms(12_000), Seen::Missing, May::ALL).action, Action::Start { attempt: 1 });
    }
    // A launcher finishes nothing.
    let mut policy = Policy::new(limits);
    let rows = [
        up,
        (30, died(30, 0), wait(3030), None, None),
        (31, ended(Cause::Finished), Action::Look, None, None),
        (31, running(25), wait(1031), BACK, None),
    ];
    go("launcher", &mut policy, May::ALL, &rows);
    // Before the verdict it is no failure.
    let mut policy = Policy::new(limits);
    let rows = [
        (0, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        (10, running(5), wait(1010), appeared(10), None),
        (2000, died(2000, 5), wait(3000), None, None),
        (2001, ended(Cause::Finished), Action::Look, None, None),
        (2001, Seen::CommandEnded, Action::Look, None, None),
        (5000, Seen::Missing, wait(6000), finished, None),
    ];
    go("verdict", &mut policy, May::ALL, &rows);
    assert_eq!(policy.memory().failures, 0);
}

/// A status of the list, with which others crash.
#[test]
fn what_is_expected_is_no_failure_whatever_its_status() {
    let limits = Limits { autorestart: Autorestart::Unexpected, ..LIMITS };
    let ended = |as_expected| Seen::Ended(Ended { cause: Cause::Crashed, as_expected });
    let begin = [(0, Seen::Missing), (0, Seen::CommandEnded), (10, running(5))];
    for (as_expected, then) in
        [(true, Some(News::Finished)), (false, Some(News::Failed { failures: 1, why: Failure::Ended }))]
    {
        let mut policy = Policy::new(limits);
        for (at, seen) in begin.into_iter().chain([(2000, died(2000, 5)), (2001, ended(as_expected))]) {
            policy.decide(ms(at), seen, May::ALL);
        }
        assert_eq!(policy.decide(ms(5000), Seen::Missing, May::ALL).news, then, "before the verdict");
    }
    let mut policy = Policy::new(limits);
    for (at, seen) in
        begin.into_iter().chain([(5000, running(5)), (6000, died(6000, 5)), (6001, ended(true))])
    {
        policy.decide(ms(at), seen, May::ALL);
    }
    assert_eq!(
        policy.decide(ms(9000), Seen::Missing, May::ALL).news,
        Some(News::Finished),
        "before it is stable"
    );
    assert_eq!((policy.memory().failures, policy.memory().life), (0, Life::Finished));
}

#[test]
fn what_autorestart_has_made_of_it_holds_as_long_as_that_does() {
    let with = |autorestart| Limits { autorestart, ..LIMITS };
    let (always, unexpected, never) =
        (with(Autorestart::Always), with(Autorestart::Unexpected), with(Autorestart::Never));
    let memory = |life| Memory { life, ..Memory::default() };
    for (life, limits, expected) in [
        (Life::Finished, always, Life::Open),
        (Life::Finished, unexpected, Life::Finished),
        (Life::Finished, never, Life::Finished),
        (Life::HasRun, always, Life::Open),
        (Life::HasRun, unexpected, Life::Open),
        (Life::HasRun, never, Life::HasRun),
        (Life::Open, never, Life::Open),
    ] {
        assert_eq!(memory(life).with_other_settings().as_of(ms(0), &limits).life, expected);
    }
    // What runs when it is said has run.
    let mut policy = Policy::new(unexpected);
    policy.decide(ms(0), running(0), May::ALL);
    assert_eq!(policy.memory().life, Life::Open);
    policy.limit(never);
    assert_eq!(policy.memory().life, Life::HasRun);
    policy.limit(always);
    assert_eq!(policy.memory().life, Life::Open);
}

#[test]
fn what_is_finishing_when_it_is_always_to_run_is_started() {
    let mut policy = Policy::new(Limits { autorestart: Autorestart::Unexpected, ..LIMITS });
    let rows = [
        (0, running(0), wait(1000), FOUND, None),
        (9000, died(9000, 0), wait(12_000), None, None),
        (9001, ended(Cause::Finished), wait(12_000), None, None),
    ];
    go("finishing", &mut policy, May::ALL, &rows);
    policy.limit(LIMITS);
    go("always", &mut policy, May::ALL, &[(12_000, Seen::Missing, Action::Start { attempt: 1 }, None, None)]);
}

#[test]
fn never_is_once_it_has_run() {
    let limits = Limits { autorestart: Autorestart::Never, ..LIMITS };
    let mut policy = Policy::new(limits);
    let rows = [
        (0, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        (0, Seen::CommandEnded, Action::Look, None, None),
        (5000, Seen::Missing, Action::Look, failed(1, Failure::Missing), None),
        (5000, Seen::Missing, Action::Start { attempt: 2 }, None, None),
        (5000, Seen::CommandEnded, Action::Look, None, None),
        (10_000, running(5010), wait(11_000), Some(News::Succeeded { attempt: 2 }), None),
    ];
    go("starts", &mut policy, May::ALL, &rows);
    // It ends while nobody watches.
    let mut next = Policy::recall(limits, policy.memory(), None);
    go("unseen", &mut next, May::ALL, &[(20_000, Seen::Missing, wait(21_000), Some(News::Finished), None)]);
    let rows = [
        (20_000, died(20_000, 5010), wait(23_000), None, None),
        (20_001, ended(Cause::Crashed), wait(23_000), None, None),
        (23_000, Seen::Missing, wait(24_000), Some(News::Finished), None),
    ];
    go("crash", &mut policy, May::ALL, &rows);
    assert_eq!(policy.memory().failures, 0);
    // What was stopped on purpose has not ended by itself.
    let mut policy = Policy::new(Limits { autorestart: Autorestart::Never, ..LIMITS });
    let rows = [
        (0, running(0), wait(1000), FOUND, None),
        (0, Seen::Request(Request::Restart), Action::Look, None, None),
        (0, running(0), stop_by(0, StopBy::Signal), None, None),
        (0, gone(0), Action::Look, stopped(Why::Request), None),
    ];
    go("stopped", &mut policy, May::ALL, &rows);
    assert_eq!(policy.memory().life, Life::Open);
}

#[test]
fn when_its_hours_are_over_it_is_stopped_once() {
    let over = |at| Window { number: 7, at: ms(at) };
    let up = (0, running(0), wait(1000), FOUND, None);
    let mut policy = Policy::new(LIMITS);
    go("in them", &mut policy, OUTSIDE_HOURS, &[up]);
    policy.end_window(over(5000));
    let rows = [
        (5000, Seen::Nothing, Action::Look, None, None),
        (5000, running(0), stop_by(0, StopBy::Signal), None, None),
        (5100, gone(0), Action::Look, stopped(Why::Hours), None),
        (5100, Seen::Missing, wait(6100), None, None),
        (6100, Seen::Missing, wait(7100), None, None),
        // Somebody starts it.
        (8000, running(7500), wait(9000), BACK, None),
    ];
    go("once", &mut policy, OUTSIDE_HOURS, &rows);
    policy.end_window(over(5000));
    go("again", &mut policy, OUTSIDE_HOURS, &[(9000, running(7500), wait(10_000), None, None)]);
    assert_eq!(policy.memory().window_stopped, Some(7));
    let mut next = Policy::recall(LIMITS, policy.memory(), None);
    next.end_window(over(5000));
    go("next watch", &mut next, OUTSIDE_HOURS, &[(20_000, running(0), wait(21_000), FOUND, None)]);
    // A pause that ends in the next hours: it is their process.
    let mut policy = Policy::new(LIMITS);
    go("before", &mut policy, May::NOTHING, &[up]);
    policy.end_window(over(5000));
    go("paused", &mut policy, May::NOTHING, &[(5000, running(0), wait(6000), None, None)]);
    go("hours again", &mut policy, May::ALL, &[(50_000, running(0), wait(51_000), None, None)]);
    go("over", &mut policy, OUTSIDE_HOURS, &[(60_000, running(0), wait(61_000), None, None)]);
    // Nor is what was started after them theirs, and hours that a clock has still to end are not over.
    let mut policy = Policy::new(LIMITS);
    policy.end_window(over(5000));
    go("not theirs", &mut policy, OUTSIDE_HOURS, &[(8000, running(7000), wait(9000), FOUND, None)]);
    policy.end_window(over(8001));
    let rows = [
        (8000, running(7000), wait(9000), None, None),
        (8001, running(7000), stop_by(7000, StopBy::Signal), None, None),
    ];
    go("not yet", &mut policy, OUTSIDE_HOURS, &rows);
}

#[test]
fn another_version_is_a_stop_and_a_start_once() {
    let mut policy = Policy::new(LIMITS);
    policy.use_version(1);
    let start = |at: u64| {
        [
            (at, Seen::Nothing, Action::Look, None, None),
            (at, Seen::Missing, Action::Start { attempt: 1 }, None, None),
            (at, Seen::CommandEnded, Action::Look, None, None),
            (at + 5000, running(at + 5), wait(at + 6000), Some(News::Succeeded { attempt: 1 }), None),
        ]
    };
    go("first", &mut policy, May::ALL, &start(0));
    policy.use_version(2);
    go("held", &mut policy, OUTSIDE_HOURS, &[(9000, running(5), wait(10_000), None, None)]);
    assert_eq!((policy.memory().version, policy.memory().ours), (Some(1), Some(id(5))));
    // The next watch knows.
    let mut policy = Policy::recall(LIMITS, policy.memory(), None);
    policy.use_version(2);
    let rows = [
        (10_000, Seen::Nothing, Action::Look, None, None),
        (10_000, running(5), stop_by(5, StopBy::Signal), FOUND, None),
        (10_000, gone(5), Action::Look, stopped(Why::Version), None),
        (10_000, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        (10_000, Seen::CommandEnded, Action::Look, None, None),
        (15_000, running(10_005), wait(16_000), Some(News::Succeeded { attempt: 1 }), None),
        (16_000, running(10_005), wait(17_000), None, None),
    ];
    go("another", &mut policy, May::ALL, &rows);
    // What somebody else has started is of no version.
    let mut policy = Policy::new(LIMITS);
    policy.use_version(1);
    go("not ours", &mut policy, May::ALL, &[(0, running(0), wait(1000), FOUND, None)]);
    policy.use_version(2);
    go("nor now", &mut policy, May::ALL, &[(1000, running(0), wait(2000), None, None)]);
    // Nor is what somebody has started in place of ours.
    let mut policy = Policy::new(LIMITS);
    policy.use_version(1);
    go("ours", &mut policy, May::ALL, &start(0));
    let rows = [
        (90_000, died(90_000, 5), wait(93_000), None, None),
        (90_500, running(90_400), wait(91_500), BACK, None),
    ];
    go("theirs", &mut policy, May::ALL, &rows);
    policy.use_version(2);
    go("theirs still", &mut policy, May::ALL, &[(91_000, running(90_400), wait(92_000), None, None)]);
    // What comes of an attempt is not what came of the one before.
    let mut policy = Policy::new(LIMITS);
    policy.use_version(1);
    go("ours", &mut policy, May::ALL, &start(0));
    let rows = [
        (90_000, died(90_000, 5), wait(93_000), None, None),
        (93_000, Seen::Nothing, Action::Look, None, None),
        (93_000, Seen::Missing, Action::Start { attempt: 1 }, None, None),
    ];
    go("again", &mut policy, May::ALL, &rows);
    assert_eq!(policy.memory().ours, None);
}

/// As it was written before there was anything here.
#[test]
fn a_state_file_of_an_older_version_is_read() {
    let text = r#"{"failures":2,"on_probation":true,"last_attempt_ms":7,"judging":false,"rounds":1,"gave_up_until_ms":null}"#;
    let memory: Memory = serde_json::from_str(text).unwrap();
    let old =
        Memory { failures: 2, on_probation: true, last_attempt: Some(ms(7)), rounds: 1, ..Memory::default() };
    assert_eq!(memory, old);
    // A time to come is of a clock that has been set back.
    let far = ms(1 << 48);
    let series =
        Series { process: id(0), failures: 1, excused: 0, condition: Condition::Healthy, since: far };
    let health = HealthMemory { resting_until: Some(far), series: Some(series), ..HealthMemory::default() };
    let health = Memory { health, ..Memory::default() }.as_of(ms(9), &LIMITS).health;
    assert_eq!(health.resting_until, Some(ms(9) + LONGEST_RETRY));
    assert_eq!(health.series.map(|series| series.since), Some(ms(9)));
}

#[test]
fn another_process_in_the_place_of_the_one_that_is_being_stopped_ends_no_stop_but_a_look_does() {
    let mut policy = Policy::new(PROBED);
    go("healthy", &mut policy, May::ALL, &healthy_at(100_000, 0));
    go("hangs", &mut policy, May::ALL, &three_failures(110_000, 0, Action::Evidence(id(0)), RESTARTS));
    let rows = [
        (130_000, Seen::StageEnded { well: true }, stop_by(0, StopBy::Signal), None, None),
        (130_000, Seen::Nothing, Action::Look, None, None),
        (130_000, handed(70_000), wait(131_000), None, None),
        (130_500, running(70_000), Action::Look, stopped(Why::Unhealthy), None),
    ];
    go("another", &mut policy, May::ALL, &rows);
}

#[test]
fn what_was_to_be_killed_is_killed_by_the_next_watch_however_late() {
    let stage = |stage| Stopping::new(id(0), Why::Request, stage, ms(10_000), Then::Start);
    for (was, kill) in [(Stage::Left, false), (Stage::LeftKilled, true)] {
        let memory = Memory { stopping: Some(stage(was)), ..Memory::default() };
        let mut policy = Policy::recall(LIMITS, memory, None);
        let rows = [
            (90_000, Seen::Nothing, Action::EndLeft { kill }, None, None),
            (90_000, Seen::StageEnded { well: true }, Action::Look, None, None),
            (90_000, Seen::Missing, Action::Start { attempt: 1 }, None, None),
        ];
        go(&format!("{was:?}"), &mut policy, May::ALL, &rows);
    }
}

/// As when SIGHUP gives the process a probe, or another one.
#[test]
fn another_probe_counts_from_the_next_one_on() {
    for (before, is_probed) in [(LIMITS, false), (PROBED, true)] {
        let mut policy = Policy::new(before);
        if is_probed {
            go("healthy", &mut policy, May::ALL, &healthy_at(0, 0));
        } else {
            go("found", &mut policy, May::ALL, &[(0, running(0), wait(1000), FOUND, None)]);
        }
        policy.limit(PROBED);
        policy.begin_other_probe(ms(5000));
        let rows = [
            (5000, Seen::Nothing, Action::Look, None, None),
            (5000, running(0), Action::Probe(id(0)), None, None),
            (5000, healthy(0), wait(6000), HEALTHY, None),
        ];
        go("other", &mut policy, May::ALL, &rows);
        assert!(policy.memory().health.proven);
    }
}
