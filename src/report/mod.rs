//! What the log says of each change: the words, and the memory that keeps them from being said twice.

use crate::text::{plural, span};
pub mod service_manager;
pub mod snapshot;
pub mod words;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use log::Level;

use crate::policy::{Failure, Outcome};
use crate::process::ProcessInfo;
use crate::process::scan::{Candidate, Unknown};
use crate::process::termination::{Cause, Exit, Predecessor, Termination, signal_name};
use crate::settings::sources::Sources;
use crate::settings::{Criteria, Settings, program};
use crate::state::history::Tally;
use crate::state::lock::Holder;
use crate::sys::Pid;
use crate::task::CommandEnd;
use crate::time::Time;
use words::{ambiguity, ended, facts, list, named, near, often, wrote};

/// The trouble that nothing can be kept.
const STATE_FOLDER: &str = "state folder";
/// The trouble that the process does not go on.
const STOPPED: &str = "stopped";
/// The trouble that the lock is not its own.
const LOCK: &str = "lock";
/// How many kinds of failures are told in one record: the last ones.
const MOST_FAILURES: usize = 5;
/// Records, kept until there is time to write them: an action never waits for a disk.
#[derive(Debug)]
pub struct Report {
    settings: Rc<Settings>,
    log: PathBuf,
    output: PathBuf,
    records: Vec<(Level, bool, String)>,
    /// The first record, until it is known what is followed.
    opening: Option<String>,
    /// The last text of each kind of record that is not to be repeated.
    said: BTreeMap<String, String>,
    ever_seen: bool,
    /// What is known of the end of a process that nobody watched.
    ended_unseen: String,
    left_over: Vec<ProcessInfo>,
    attempt: Attempt,
    /// What the failures of this row looked like, equal ones together.
    failures: Vec<Failed>,
    first_missing: Option<Time>,
}

/// What follows a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// A start, this long after the death.
    Start(Duration),
    /// The verdict on the attempt, this long from now; a start comes after it.
    Verdict(Duration),
    /// Nothing: it is paused.
    LeftAlone,
    /// That has a record of its own.
    Unsaid,
}

/// Failures that follow each other and look alike but for numbers.
#[derive(Debug)]
struct Failed {
    first: u32,
    last: u32,
    text: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed { first, last, text } if first == last => write!(f, "attempt {first}: {text}"),
            Failed { first, last, text } => write!(f, "attempts {first} to {last}: {text}"),
        }
    }
}

/// What is known of the attempt that is being judged.
#[derive(Debug, Default)]
struct Attempt {
    began: Time,
    command: Option<CommandEnd>,
    death: Option<String>,
    left_running: Vec<ProcessInfo>,
}

fn what_is_watched(settings: &Settings) -> String {
    let Settings { criteria: Criteria { pattern, start_command, .. }, limits, .. } = settings;
    let count = limits.max_fail_count.map_or_else(|| "unlimited".to_owned(), |count| count.to_string());
    let retry = limits.retry_after.map(|time| format!(", retry_after {}", span(time))).unwrap_or_default();
    format!(
        "watching for processes named '{}'; start_command '{start_command}', health_check_interval {}, \
         restart_wait_interval {}, max_fail_count {count}, stable_after {}, restart_delay {}, after_stop {}, \
         start_timeout {}{retry}",
        pattern.text(),
        span(limits.health_check_interval),
        span(limits.restart_wait_interval),
        span(limits.stable_after),
        span(limits.restart_delay),
        span(limits.after_stop),
        span(limits.start_timeout),
    )
}

impl Report {
    /// For a watch with these settings, whose log and output log are at these paths.
    pub fn new(settings: &Rc<Settings>, log: PathBuf, output: PathBuf) -> Self {
        let opening = format!(
            "watchdog {} (pid {}): {}; log {}",
            env!("CARGO_PKG_VERSION"),
            std::process::id(),
            what_is_watched(settings),
            log.display(),
        );
        Report {
            settings: Rc::clone(settings),
            log,
            output,
            records: Vec::new(),
            opening: Some(opening),
            said: BTreeMap::new(),
            ever_seen: false,
            ended_unseen: String::new(),
            left_over: Vec::new(),
            attempt: Attempt::default(),
            failures: Vec::new(),
            first_missing: None,
        }
    }

    /// Writes what is kept.
    pub fn flush(&mut self) {
        for (level, is_outcome, text) in self.records.drain(..) {
            log::log!(level, outcome = is_outcome; "{}: {text}", self.settings.name);
        }
    }

    fn info(&mut self, text: impl Into<String>) {
        self.records.push((Level::Info, false, text.into()));
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.records.push((Level::Warn, false, text.into()));
    }

    /// Goes on with other settings.
    pub fn use_settings(&mut self, settings: Rc<Settings>) {
        self.settings = settings;
    }

    /// What has been said and is not to be repeated: the last text of each kind.
    pub fn said(&self) -> &BTreeMap<String, String> {
        &self.said
    }

    /// Another process is watched from here on: nothing has been seen or said of that.
    pub fn begin_anew(&mut self) {
        *self = Report {
            records: std::mem::take(&mut self.records),
            opening: self.opening.take(),
            ..Report::new(&self.settings, self.log.clone(), self.output.clone())
        };
    }

    /// What was said by runs before this one.
    pub fn recall(&mut self, said: BTreeMap<String, String>) {
        for (kind, text) in said {
            self.said.entry(kind).or_insert(text);
        }
    }

    /// Whether a text of this kind is another than the last.
    fn is_new(&mut self, kind: &str, text: &str) -> bool {
        let old = self.said.insert(kind.to_owned(), text.to_owned());
        old.as_deref() != Some(text)
    }

    /// Whether something of this kind has never been said.
    fn is_first(&mut self, kind: &str) -> bool {
        self.said.insert(kind.to_owned(), String::new()).is_none()
    }

    /// Something about the surroundings that is no reason to stop, said when it begins.
    pub fn trouble(&mut self, kind: &str, text: &str) {
        if self.is_new(kind, text) {
            self.warn(text);
        }
    }

    /// There is no lock to be had in the state folder.
    pub fn no_lock(&mut self, folder: &Path, error: &std::io::Error) {
        let folder = folder.display();
        self.trouble(
            LOCK,
            &format!(
                "no lock is to be had in {folder} ({error}): no second watchdog of this name is kept away"
            ),
        );
    }

    /// Its lock was removed, and another watchdog has it.
    pub fn lost_lock(&mut self, holder: &Holder) {
        let pid = holder.in_brackets();
        self.trouble(
            LOCK,
            &format!("its lock was removed, and another watchdog{pid} has it: this one starts nothing"),
        );
    }

    /// It has its lock.
    pub fn has_lock(&mut self) {
        self.no_trouble(LOCK, "it has its lock again");
    }

    /// The state folder cannot be written, which matters to the next watchdog only. Said once.
    pub fn no_state(&mut self, folder: &Path, error: &std::io::Error) {
        if self.is_first(STATE_FOLDER) {
            self.warn(format!(
                "nothing can be kept in {} ({error}): the next one will know nothing of this one",
                folder.display()
            ));
        }
    }

    /// The state folder can be written.
    pub fn state(&mut self) {
        self.no_trouble(STATE_FOLDER, "the state can be kept again");
    }

    /// That trouble is over.
    pub fn no_trouble(&mut self, kind: &str, text: &str) {
        if self.said.remove(kind).is_some() {
            self.info(text);
        }
    }

    /// Another `--once` run has been at work for far too long.
    pub fn stuck(&mut self, pid: Pid) {
        let text =
            format!("the run that is at work (pid {pid}) has been so for far longer than its settings allow");
        self.records.push((Level::Warn, true, text));
    }

    /// The watchdog before this one gave up, and was cut off; `retry` is the time to a fresh round.
    pub fn remains_given_up(&mut self, retry: Duration) {
        self.info(format!(
            "the watchdog before this one gave up; trying again in {}, or taking it up as soon as somebody has \
             started it",
            span(retry)
        ));
    }

    /// The watchdog before this one was cut off.
    pub fn cut_off(&mut self, pid: Pid) {
        self.info(format!("the watchdog before this one (pid {pid}) ended without a word"));
    }

    fn open(&mut self, what: &str) -> bool {
        let Some(opening) = self.opening.take() else { return false };
        // What there was to say before is said after it.
        self.records.insert(0, (Level::Info, false, format!("{opening}; {what}")));
        true
    }

    /// A look could not tell.
    pub fn unknown(&mut self, why: &Unknown) {
        self.open("what runs cannot be known");
        if self.is_new("unknown", &why.0) {
            self.warn(format!("cannot tell whether it is running: {}; nothing is started meanwhile", why.0));
        }
    }

    /// A look could tell.
    pub fn known(&mut self) {
        self.no_trouble("unknown", "can tell again whether it is running");
    }

    /// Somebody wants it left alone.
    pub fn paused(&mut self, until: Option<Time>, now: Time) {
        let until = until.map_or_else(
            || format!("until '{}' or a boot", self.settings.order("resume")),
            |until| format!("for another {}", span(until.saturating_sub(now))),
        );
        if self.is_first("paused") {
            self.warn(format!("is not running, and paused: it is left alone {until}"));
        }
    }

    /// Nobody wants it left alone any more.
    pub fn not_paused(&mut self) {
        self.no_trouble("paused", "the pause is over");
    }

    /// Somebody said that what was is to be forgotten.
    pub fn resumed(&mut self) {
        self.info("resumed: failures before this are forgotten");
    }

    /// It ended while nobody watched.
    pub fn ended_unseen(&mut self, end: &Termination, deaths: Tally) {
        let facts = facts(end).map(|facts| format!(" ({facts})")).unwrap_or_default();
        self.ended_unseen.clone_from(&facts);
        self.info(format!(
            "{} (pid {}) has ended since the last check{facts}{}",
            end.name,
            end.pid,
            often(deaths)
        ));
    }

    /// An attempt of the watchdog before this one is still to be judged.
    pub fn goes_on_judging(&mut self, began: Time) {
        self.attempt.began = began;
    }

    /// A start command of a watchdog before this one is at work.
    pub fn adopted(&mut self, pid: Pid, began: Time, now: Time) {
        self.attempt.began = began;
        let since = span(now.saturating_sub(began));
        self.info(format!(
            "the start command that the watchdog before this one ran (pid {pid}) is at work, since {since}"
        ));
    }

    /// It runs again, after a give-up that was told.
    pub fn recovered(&mut self, seen: &ProcessInfo) {
        let text = format!("is running again: {}; log {}", named(seen), self.log.display());
        self.records.push((Level::Warn, true, text));
    }

    /// The process is followed from now on.
    pub fn following(&mut self, seen: &ProcessInfo, now: Time, others: usize) {
        self.ever_seen = true;
        self.said.remove("paused");
        let others =
            if others == 0 { String::new() } else { format!(", the first of {} that match", others + 1) };
        let ran = span(now.saturating_sub(seen.started));
        self.open(&format!("following {}{others}, running for {ran}", named(seen)));
    }

    /// A look found nothing. Whether it was the first of all.
    pub fn missing(&mut self, now: Time) -> bool {
        self.first_missing.get_or_insert(now);
        self.open("nothing matches")
    }

    /// Several processes match; the first is followed.
    pub fn several(&mut self, matching: &[ProcessInfo]) {
        if let Some(hint) = ambiguity(matching)
            && self.is_first("ambiguous")
        {
            self.warn(hint);
        }
    }

    /// Nothing matches, but these nearly do.
    pub fn near(&mut self, judged: &[Candidate]) {
        if let Some(near) = near(judged) {
            let text =
                format!("no process is named '{}'; close: {near}", self.settings.criteria.pattern.text());
            self.trouble("near", &text);
        }
    }

    /// Whether the process is stopped (`T`), as each check sees it.
    pub fn stopped(&mut self, stopped: bool, seen: &ProcessInfo) {
        // Nearly always there is nothing to be said, nor to be put together for it.
        if !stopped && !self.said.contains_key(STOPPED) {
            return;
        }
        let what = format!("{} is stopped", named(seen));
        if stopped {
            self.trouble(STOPPED, &format!("{what}, by a signal or a debugger; it counts as running"));
        } else if self.said.remove(STOPPED).is_some_and(|said| said.starts_with(&what)) {
            self.info(format!("{} runs on", named(seen)));
        }
    }

    /// It lives, and does not match any more.
    pub fn changed(&mut self, seen: &ProcessInfo) {
        self.warn(format!(
            "{} lives, but has taken another name, command line or user, and is not what is watched any more",
            named(seen)
        ));
    }

    /// Something else is watched from here on.
    pub fn let_go(&mut self, seen: &ProcessInfo) {
        self.info(format!("other processes are looked for from here on; {} is left to itself", named(seen)));
    }

    /// Processes that match and do not count.
    pub fn left_over(&mut self, left_over: Vec<ProcessInfo>) {
        if !left_over.is_empty() && left_over != self.left_over {
            let text = format!(
                "left over, and not taken for it: {}; if the start fails, they are the likely cause",
                list(&left_over)
            );
            self.warn(text);
        }
        self.left_over = left_over;
    }

    /// The followed process died, and how.
    pub fn died(&mut self, end: &Termination, then: Then, deaths: Tally) {
        self.first_missing.get_or_insert(end.at);
        let what = format!("{} (pid {}) {} after {}", end.name, end.pid, end.death, span(end.ran()));
        let untold = match end.death {
            Exit::Ended(_) => None,
            Exit::NotWaitedFor => {
                Some("its parent has not waited for it, so that nobody knows how".to_owned())
            }
            // The kernel will not change meanwhile.
            Exit::Untold => self.is_first("untold").then(|| "this kernel does not tell how".to_owned()),
        };
        let facts: Vec<_> = untold.into_iter().chain(facts(end)).collect();
        let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join("; ")) };
        let mut text = format!("{what}{facts}{}", often(deaths));
        self.attempt.death = Some(what);
        let on_purpose = matches!(end.ending(), Cause::Finished | Cause::Stopped);
        let pause = self.settings.order("pause");
        let _ = match then {
            Then::Start(delay) if on_purpose && !delay.is_zero() => write!(
                text,
                "; starting it in {} unless it is back; '{pause}' leaves it stopped",
                span(delay)
            ),
            Then::Start(Duration::ZERO) => write!(text, "; starting it unless it is back"),
            Then::Start(delay) => write!(text, "; starting it in {} unless it is back", span(delay)),
            Then::Verdict(time) => write!(text, "; the attempt is judged in {}", span(time)),
            Then::LeftAlone => write!(text, "; left alone, since it is paused"),
            Then::Unsaid => Ok(()),
        };
        self.records.push((if on_purpose { Level::Info } else { Level::Warn }, false, text));
    }

    /// The start command was run.
    pub fn started(&mut self, attempt: u32, now: Time) {
        self.attempt = Attempt { began: now, ..Attempt::default() };
        if attempt == 1 {
            self.failures.clear();
        }
        let of = self.settings.limits.max_fail_count.map(|max| format!(" of {max}")).unwrap_or_default();
        self.warn(format!(
            "is not running; running start command (attempt {attempt}{of}): {}",
            self.settings.criteria.start_command
        ));
    }

    /// The start command could not be created.
    pub fn not_started(&mut self, error: &std::io::Error, is_shortage: bool) {
        let then = if is_shortage { "; that is no attempt, and is tried again each interval" } else { "" };
        self.warn(format!("the start command cannot be run: {error}{then}"));
    }

    /// The start command ended; `is_process` if it was what is watched, whose end has a record of its own.
    pub fn command_ended(&mut self, end: CommandEnd, is_process: bool) {
        if !is_process {
            if end.status.is_none_or(|status| status.success()) {
                self.info(format!("the start command {}", ended(&end)));
            } else {
                self.warn(format!("the start command {}{}", ended(&end), wrote(&end)));
            }
        }
        self.attempt.command = Some(end);
    }

    /// The start command has been at work for too long.
    pub fn overran(&mut self) {
        let timeout = span(self.settings.limits.start_timeout);
        if let Some(hint) = self.wrong_name("is at work") {
            self.warn(hint);
        }
        self.warn(format!(
            "the start command is still at work after {timeout}, and the process is missing; ending it"
        ));
    }

    /// What was started since the attempt began and does not match.
    pub fn left_running(&mut self, left_running: Vec<ProcessInfo>) {
        self.attempt.left_running = left_running;
    }

    /// When the attempt that is being judged began.
    pub fn attempt_began(&self) -> Time {
        self.attempt.began
    }

    /// The process is there, and no start command was needed; `gone` is what it takes the place of.
    pub fn found(&mut self, seen: &ProcessInfo, gone: Option<&Predecessor>, now: Time) {
        self.first_missing = None;
        let age = span(now.saturating_sub(seen.started));
        let seen_named = named(seen);
        self.info(match gone {
            Some(gone) if seen.started < gone.since => {
                format!("has been handed over: {seen_named} runs in place of pid {}, for {age}", gone.pid)
            }
            Some(gone) => {
                format!("is running again by itself: {seen_named} in place of pid {}, for {age}", gone.pid)
            }
            None => format!("is running by itself: {seen_named}, for {age}"),
        });
    }

    /// The process is there after the start command.
    pub fn appeared(&mut self, seen: &ProcessInfo, after: Duration) {
        self.info(format!("is running: {}, {} after the start command", named(seen), span(after)));
    }

    /// The attempt was judged a success.
    pub fn succeeded(&mut self, attempt: u32, seen: &ProcessInfo, now: Time) {
        let since = span(now.saturating_sub(self.attempt.began));
        self.info(format!(
            "attempt {attempt} succeeded: {} runs {since} after the start command",
            named(seen)
        ));
    }

    /// The attempt was undone by somebody.
    pub fn undone(&mut self) {
        let death = self.attempt.death.clone().unwrap_or_default();
        self.info(format!("the attempt counts neither as a success nor as a failure: {death}"));
    }

    /// The attempt was judged a failure.
    pub fn failed(&mut self, failures: u32, why: Failure, now: Time) {
        let text = self.why(why, now);
        let has_succeeded = |end: &CommandEnd| end.status.is_some_and(|status| status.success());
        if why == Failure::Missing
            && self.attempt.command.as_ref().is_some_and(has_succeeded)
            && let Some(hint) = self.wrong_name("succeeded")
        {
            self.warn(hint);
        }
        let of = self.settings.limits.max_fail_count.map(|max| format!(" of {max}")).unwrap_or_default();
        let failed = if why == Failure::Unstable { "turned into a failure" } else { "failed" };
        self.warn(format!("attempt {failures}{of} {failed}: {text}"));
        let without_digits = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
        match self.failures.last_mut() {
            Some(last) if without_digits(&last.text) == without_digits(&text) => {
                last.last = failures;
                last.text = text;
            }
            _ => self.failures.push(Failed { first: failures, last: failures, text }),
        }
        let too_many = self.failures.len().saturating_sub(MOST_FAILURES);
        self.failures.drain(..too_many);
    }

    fn why(&self, why: Failure, now: Time) -> String {
        let since = span(now.saturating_sub(self.attempt.began));
        let death = self.attempt.death.as_deref().unwrap_or("it has ended since the last check");
        let mut text = match why {
            Failure::Missing => format!("it is not running {since} after the start command"),
            Failure::Overran => "the start command took too long and was ended".to_owned(),
            Failure::Ended | Failure::Unstable => death.to_owned(),
        };
        match (why, &self.attempt.command) {
            (Failure::Missing | Failure::Ended, Some(end)) => {
                let _ = write!(text, "; the start command {}{}", ended(end), wrote(end));
            }
            (Failure::Overran, Some(end)) => text.push_str(&wrote(end)),
            _ => {}
        }
        if !self.left_over.is_empty() {
            let _ = write!(text, "; left over: {}", list(&self.left_over));
        }
        text
    }

    /// A start command that does its work, and no process of the name ever: it is the name, perhaps.
    fn wrong_name(&self, did: &str) -> Option<String> {
        if self.ever_seen {
            return None;
        }
        let mut hint = format!(
            "the start command {did} but nothing named '{}' appeared: is the name right?",
            self.settings.criteria.pattern.text()
        );
        if !self.attempt.left_running.is_empty() {
            let _ = write!(hint, " It left running: {}", list(&self.attempt.left_running));
        }
        Some(hint)
    }

    /// The failures before are forgotten.
    pub fn stable(&mut self, forgotten: u32) {
        let after = span(self.settings.limits.stable_after);
        self.failures.clear();
        self.info(format!("has run for {after}; failures back from {forgotten} to 0"));
    }

    /// Enough failures in a row.
    pub fn gave_up(&mut self, failures: u32, retry: Option<Duration>, was_told: bool) {
        let seen = self.failures.iter().map(Failed::to_string).collect::<Vec<_>>().join("; ");
        let (log, output) = (self.log.display(), self.output.display());
        let then = match retry.map(span) {
            Some(_) if self.settings.limits.once && self.said.contains_key(STATE_FOLDER) => {
                format!(
                    "the next run tries again, since it cannot know of this; details in {log} and {output}"
                )
            }
            Some(pause) if self.settings.limits.once => {
                format!("trying again in {pause}; details in {log} and {output}")
            }
            Some(pause) => {
                format!("trying again in {pause}, or taking it up as soon as somebody has started it")
            }
            None => format!(
                "it is NOT watched any more: repair it, then say {}, and start this watchdog again (its output \
                 is in {output})",
                self.settings.order("resume")
            ),
        };
        let text =
            format!("gave up after {failures} {} in a row; {then}. {seen}", plural(failures, "failure"));
        // Rounds between the first give-up and the recovery are for the log alone.
        self.records.push((if was_told { Level::Info } else { Level::Error }, !was_told, text));
    }

    /// What a check by hand (SIGUSR1) saw.
    pub fn checked(&mut self, followed: Option<&ProcessInfo>, now: Time) {
        let text = match followed {
            Some(seen) => {
                format!("checked: {} is running, for {}", named(seen), span(now.saturating_sub(seen.started)))
            }
            None if self.said.contains_key("unknown") => {
                "checked: cannot tell whether it is running".to_owned()
            }
            None => "checked: it is not running".to_owned(),
        };
        self.info(text);
    }

    /// SIGHUP came, and the configuration was read again, with this wrong.
    pub fn reloaded(&mut self, wrong: &[String]) {
        if wrong.is_empty() {
            let watched = what_is_watched(&self.settings);
            self.info(format!(
                "SIGHUP: the settings are read anew, but for folders and log sizes: {watched}; the logs are open anew"
            ));
        } else {
            self.warn(format!(
                "SIGHUP: the configuration is wrong, and the one before stays: {}",
                wrong.join("; ")
            ));
        }
    }

    /// What about the settings, and the file that they come from, is probably not what was meant.
    pub fn doubt_settings(&mut self, sources: &Sources) {
        let settings = Rc::clone(&self.settings);
        let doubts = settings.criteria.doubts().join("; ");
        for (kind, doubt) in [("doubt", (!doubts.is_empty()).then_some(doubts)), ("file", sources.doubt())] {
            match doubt {
                Some(doubt) => self.trouble(kind, &doubt),
                None => drop(self.said.remove(kind)),
            }
        }
        match program::doubt(&settings.criteria.start_command) {
            Some(doubt) => self.trouble("program", &doubt),
            None => self.no_trouble("program", "the start command's program can be found now"),
        }
    }

    /// The last record of a watch that a signal ended.
    pub fn ended_by(&mut self, signal: i32, followed: Option<&ProcessInfo>) {
        let left = followed.map(|seen| format!("; {} is left running", named(seen))).unwrap_or_default();
        self.opening = None;
        self.info(format!("ended by {}{left}", signal_name(signal)));
    }

    /// The last record of process 1, which takes all with it.
    pub fn ended_all(&mut self, signal: i32, in_time: bool) {
        let how = if in_time { "what it watched has ended" } else { "what it watched did not end in time" };
        self.info(format!("ended by {}; {how}", signal_name(signal)));
    }

    /// The outcome of a `--once` run that took an attempt, or could not tell.
    pub fn outcome(&mut self, outcome: Outcome, followed: Option<&ProcessInfo>, now: Time) {
        let took = span(now.saturating_sub(self.first_missing.unwrap_or(now)));
        match (outcome, followed) {
            (Outcome::Running { started: true }, Some(seen)) => {
                let text = format!(
                    "was not running{}, and is again: {} after {took}; log {}",
                    self.ended_unseen,
                    named(seen),
                    self.log.display()
                );
                self.records.push((Level::Warn, true, text));
            }
            (Outcome::Unknown, _) => {
                let why = self.said.get("unknown").cloned().unwrap_or_default();
                self.records.push((Level::Error, true, format!("cannot tell whether it is running: {why}")));
            }
            // All is well, or giving up has been said.
            _ => {}
        }
    }

    /// Forgets the information of a run that did nothing and has nothing to warn of: there may be one
    /// every minute.
    pub fn say_only_warnings(&mut self) {
        if self.records.iter().all(|(level, ..)| *level == Level::Info) {
            self.records.clear();
        }
    }

    /// Forgets what only a run that finds nothing amiss would say: there may be one every minute.
    pub fn say_no_information(&mut self) {
        self.records.retain(|(level, ..)| *level < Level::Info);
    }

    /// Where the log is.
    pub fn log_path(&self) -> &Path {
        &self.log
    }
}
