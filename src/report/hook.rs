//! What a hook is told: which event is what to it, its environment, and its message.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::time::Duration;

use log::Level;

use crate::policy::Left;
use crate::process::ProcessInfo;
use crate::process::termination::{Cause, Termination};
use crate::report::event::{AttemptEvent, Event, GaveUp, Look, ProcessEvent, Then, WatchEvent};
use crate::report::health::{self, HealthEvent, StopEvent};
use crate::settings::Settings;
use crate::settings::hook::HookEvent;
use crate::state::history::LastExit;
use crate::state::owed::{Condition, Heard, Report};
use crate::text::{beginning, escaped, is_control};
use crate::time::{Time, by_the_clock};

/// What the names of the hook's variables begin with.
const PREFIX: &str = "WATCHDOG_";
/// They are set in each hook, and empty where there is nothing to say.
const FACTS: [&str; 14] = [
    "TIME",
    "LEVEL",
    "MESSAGE",
    "PROCESS",
    "PROCESS_PID",
    "CAUSE",
    "EXIT_STATUS",
    "SIGNAL",
    "FAILURES",
    "RETRY_SECONDS",
    "DOWN_SECONDS",
    "SUPPRESSED",
    "KEYWORD",
    "EVENT",
];
/// A message has at most so many bytes.
const LONGEST_MESSAGE: usize = 3000;
/// So many of them are for what the log says.
const LONGEST_TEXT: usize = 1500;
/// The line in the environment, and the one that matched.
const LONGEST_LINE: usize = 1000;

/// What the hook is to hear of an event, which the log puts so.
pub fn hear(
    event: &Event<'_>,
    level: Level,
    texts: &[&str],
    settings: &Settings,
    now: Time,
) -> Option<Heard> {
    let report = |event| report(event, level, texts, now);
    let of = |event, process: &ProcessInfo| of_process(report(event), &process.name, process.pid);
    let fails = |condition, report| Some(Heard::Fails(condition, report));
    match event {
        Event::Process(ProcessEvent::Found { process, .. })
        | Event::Watch(WatchEvent::Opened(Look::Running { process, .. })) => {
            Some(Heard::Runs(of(HookEvent::Recovered, process)))
        }
        Event::Process(ProcessEvent::Died { end, then, .. }) => died(end, Some(*then), settings, report),
        Event::Process(ProcessEvent::EndedUnseen { end, .. }) => died(end, None, settings, report),
        Event::Attempt(AttemptEvent::Starting { .. }) => Some(Heard::NotBack),
        Event::Attempt(AttemptEvent::Succeeded { process, .. }) => {
            Some(Heard::Runs(of(HookEvent::Started, process)))
        }
        Event::Attempt(AttemptEvent::Failed { failures, .. }) => {
            fails(Condition::Down, report(HookEvent::Failed).with("FAILURES", failures))
        }
        Event::GaveUp(GaveUp { failures, retry, .. }) => {
            fails(Condition::GivenUp, retrying(report(HookEvent::GaveUp).with("FAILURES", failures), *retry))
        }
        Event::Health(HealthEvent::Healthy { process, .. }) => {
            Some(Heard::Runs(of(HookEvent::Healthy, process)))
        }
        Event::Health(HealthEvent::Unhealthy { process, failures, then, .. }) => {
            let (condition, retry) = match then {
                health::Then::Left(Left::Enough { retry, .. }) => (Condition::Left, Some(*retry)),
                health::Then::Left(_) => (Condition::Left, None),
                health::Then::Restart | health::Then::NotNow(_) => (Condition::Unhealthy, None),
            };
            let report = of(HookEvent::Unhealthy, process).with("FAILURES", failures);
            fails(condition, retrying(report, retry))
        }
        Event::Stop(StopEvent::Stopped { why, .. }) => {
            Some(Heard::Aside(report(HookEvent::Stopped).with("CAUSE", why.name())))
        }
        Event::Stop(StopEvent::Failed { .. } | StopEvent::Abandoned { impossible: true, .. }) => {
            fails(Condition::Stuck, report(HookEvent::StopFailed))
        }
        _ => None,
    }
}

fn retrying(report: Report, retry: Option<Duration>) -> Report {
    match retry {
        Some(retry) => report.with("RETRY_SECONDS", &retry.as_secs()),
        None => report,
    }
}

/// What a death is to the hook, and what follows it, unless nobody saw it.
fn died(
    end: &Termination,
    then: Option<Then>,
    settings: &Settings,
    report: impl Fn(HookEvent) -> Report,
) -> Option<Heard> {
    let LastExit { status, signal, .. } = LastExit::of(end);
    let of = |event| {
        let cause = match end.cause() {
            _ if end.is_out_of_memory() => "out_of_memory",
            Cause::Finished => "finished",
            Cause::Stopped => "stopped",
            Cause::Killed => "killed",
            Cause::Crashed => "crashed",
            Cause::Unknown => "unknown",
        };
        let report = of_process(report(event), &end.name, end.pid).with("CAUSE", cause);
        let report = report.with("EXIT_STATUS", &status.map(|it| it.to_string()).unwrap_or_default());
        report.with("SIGNAL", &signal.clone().unwrap_or_default())
    };
    match end.cause() {
        // With a status of the list.
        Cause::Crashed if then == Some(Then::Finish) && end.exit.is_among(&settings.exit_codes) => {
            Some(Heard::Aside(of(HookEvent::Stopped)))
        }
        Cause::Killed | Cause::Crashed => Some(Heard::Fails(Condition::Down, of(HookEvent::Died))),
        Cause::Unknown => {
            let until = end.at + settings.limits.after_stop;
            Some(Heard::Ended { until, report: of(HookEvent::Died) })
        }
        // A launcher, perhaps.
        Cause::Finished if matches!(then, Some(Then::Verdict(_))) => None,
        Cause::Finished | Cause::Stopped => Some(Heard::Aside(of(HookEvent::Stopped))),
    }
}

/// A report of what the log puts so.
fn report(event: HookEvent, level: Level, texts: &[&str], now: Time) -> Report {
    let line = texts.first().map(|text| beginning(&escaped(text), LONGEST_LINE).to_owned());
    let report = Report { event, at: now, facts: [].into(), text: texts.join("\n"), output: String::new() };
    let level = level.as_str().to_ascii_lowercase();
    let report = report.with("TIME", &by_the_clock(now)).with("LEVEL", &level);
    report.with("MESSAGE", &line.unwrap_or_default())
}

/// What tries the hook.
pub fn test(settings: &Settings, now: Time) -> Report {
    let text = format!("this is a test of the hook of {}; nothing has happened", settings.name);
    report(HookEvent::Test, Level::Info, &[&text], now).with("SUPPRESSED", &0)
}

/// A line of the output log that matched.
pub fn keyword(line: &str, now: Time) -> Report {
    let line = escaped(beginning(line, LONGEST_LINE));
    let text = format!("the output log has: {line}");
    report(HookEvent::Keyword, Level::Warn, &[&text], now).with("KEYWORD", &line)
}

fn of_process(report: Report, name: &str, pid: i32) -> Report {
    report.with("PROCESS", name).with("PROCESS_PID", &pid)
}

/// What the hook finds in its environment.
pub fn environment(report: &Report, settings: &Settings) -> Vec<(String, OsString)> {
    let fact = |name: &str| match name {
        "EVENT" => report.event.name().into(),
        _ => report.facts.get(name).map(OsString::from).unwrap_or_default(),
    };
    let (dirs, name) = (&settings.dirs, &settings.name);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let of_all = [
        ("NAME", name.to_string().into()),
        ("HOST", host.into()),
        ("LOG", dirs.log(name).into_os_string()),
        ("OUTPUT_LOG", dirs.output_log(name).into_os_string()),
    ];
    let facts = FACTS.into_iter().map(|name| (name, fact(name)));
    of_all.into_iter().chain(facts).map(|(name, value)| (format!("{PREFIX}{name}"), value)).collect()
}

/// What the hook finds on its standard input: plain text, without anything that does something to a terminal.
pub fn message(report: &Report, settings: &Settings) -> String {
    let mut text = format!("{}\n", beginning(&plain(&report.text), LONGEST_TEXT).trim_end());
    let suppressed = report.facts.get("SUPPRESSED").and_then(|count| count.parse::<u32>().ok());
    if let Some(count) = suppressed.filter(|count| *count > 0) {
        let _ = writeln!(text, "(events not reported before this one: {count})");
    }
    let title =
        format!("\nThe end of {}:\n", plain(&settings.dirs.output_log(&settings.name).to_string_lossy()));
    let room = LONGEST_MESSAGE.saturating_sub(text.len() + title.len());
    let output = plain(&report.output);
    let output = end(output.trim_matches('\n'), room.saturating_sub(1));
    if !output.is_empty() {
        text = format!("{text}{title}{output}\n");
    }
    text
}

/// Lines of characters that are shown as they are.
pub fn plain(text: &str) -> String {
    text.replace('\t', " ").replace(|c| c != '\n' && is_control(c), "")
}

/// The last lines that fit; of one that is too long, the beginning.
fn end(text: &str, most: usize) -> &str {
    let starts = [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1));
    let mut fitting = starts.filter(|start| text.len() - start <= most);
    match fitting.next() {
        Some(start) => text.get(start..).unwrap_or_default(),
        None => beginning(text.rsplit('\n').next().unwrap_or_default(), most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { hook: Some("true".into()), ..Settings::default() }
    }

    fn report_of(text: &str, output: &str) -> Report {
        Report { output: output.into(), ..report(HookEvent::Died, Level::Warn, &[text], Time::ZERO) }
    }

    #[test]
    fn each_variable_is_set_and_none_is_the_service_managers() {
        let report = report_of("it \u{1b}[31mdied\n$(touch x) ' | <b>", "").with("SIGNAL", "SIGKILL");
        let environment = environment(&report, &settings());
        let of = |name: &str| {
            let found = environment.iter().find(|(known, _)| known == name);
            found.unwrap_or_else(|| panic!("{name}")).1.to_str().unwrap()
        };
        assert_eq!(environment.len(), 18);
        assert_eq!(of("WATCHDOG_EVENT"), "died");
        assert_eq!(of("WATCHDOG_LEVEL"), "warn");
        assert_eq!(of("WATCHDOG_MESSAGE"), "it \\u{1b}[31mdied\\n$(touch x) ' | <b>");
        assert_eq!((of("WATCHDOG_SIGNAL"), of("WATCHDOG_EXIT_STATUS")), ("SIGKILL", ""));
        for (name, _) in &environment {
            assert!(!crate::task::environment::NOT_INHERITED.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn a_message_is_plain_and_short_and_has_the_last_lines() {
        let text = "x (pid 7) was killed";
        assert_eq!(message(&report_of(text, ""), &settings()), format!("{text}\n"));
        let suppressed = report_of(text, "").with("SUPPRESSED", &17);
        assert!(message(&suppressed, &settings()).ends_with("\n(events not reported before this one: 17)\n"));
        // The file from which it may come is not the log.
        let odd = report_of(text, "").with("SUPPRESSED", "\u{1b}[2J");
        assert_eq!(message(&odd, &settings()), format!("{text}\n"));
        let lines = (0..1000).map(|line| format!("line {line} \u{1b}[31m\u{202e}\t\u{7}\r\n"));
        let many = lines.collect::<Vec<_>>().concat();
        let long = "é".repeat(1 << 20);
        for (text, output, ends) in [
            (text, many.as_str(), "line 998 [31m \nline 999 [31m \n"),
            (text, long.as_str(), "éé\n"),
            (long.as_str(), long.as_str(), "éé\n"),
            (text, "\n\nlast words $(touch x) ' | <b>\n\n", ":\nlast words $(touch x) ' | <b>\n"),
        ] {
            let message = message(&report_of(text, output), &settings());
            assert!(
                message.ends_with(ends) && message.len() <= LONGEST_MESSAGE,
                "{}: {message}",
                message.len()
            );
            assert!(!message.contains(|c: char| is_control(c) && c != '\n'), "{message:?}");
            let begins = format!("\n{}", settings().dirs.output_log(&settings().name).display());
            assert!(output.is_empty() || message.contains(&begins.replacen('\n', "\nThe end of ", 1)));
        }
        let message = message(&report_of(text, &many), &settings());
        assert!(
            message.len() > LONGEST_MESSAGE - 20 && message.contains(":\nline "),
            "whole lines: {message}"
        );
    }
}
