//! The log's records: each event, in words.

use std::rc::Rc;
use std::time::Duration;

use log::Level;

use crate::hold::{Held, Hold};
use crate::policy::{Failure, Request, Why};
use crate::process::ProcessInfo;
use crate::process::criteria::Mismatch;
use crate::process::scan::Candidate;
use crate::process::termination::{Cause, Exit, Predecessor, Termination, signal_name};
use crate::report::event::{
    AttemptEvent, Event, GaveUp, HookFailure, Lasting, Look, ProcessEvent, Then, WatchEvent,
};
use crate::report::hook;
use crate::report::words::{
    Line, Wrote, bad_outcome, candidate, candidate_list, death, ended, error, facts, failure, held, info,
    list, looks, no_lock, often, options, outcome, unusable, user_name, warn, wrote,
};
use crate::settings::{Reach, Settings, Subject};
use crate::state::history::Tally;
use crate::state::lock::NoLock;
use crate::state::owed::Heard;
use crate::state::said::Notice;
use crate::text::{plural, span};
use crate::time::{by_the_clock, now};

/// Events as records, kept until there is time to write them: an action never waits for a disk.
#[derive(Debug)]
pub struct LogLines {
    settings: Rc<Settings>,
    lines: Vec<Line>,
    /// What is for the hook.
    heard: Vec<Heard>,
}

/// What of the records is worth writing: a run that changes nothing may come every minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// All.
    All,
    /// All, if any is a warning.
    AllOfAWarning,
    /// Warnings.
    Warnings,
}

/// What is odd about a process that takes the place of another.
pub fn oddity(process: &ProcessInfo, old: &Predecessor, subject: Subject) -> Option<String> {
    let (user, old_user) = (process.signature.user, old.signature.user);
    if user != old_user {
        return Some(format!("it runs as {}, the old one ran as {}", user_name(user), user_name(old_user)));
    }
    let without_digits = |name: &str| name.replace(|c: char| c.is_ascii_digit(), "");
    let has_other_name = !old.name.is_empty() && without_digits(&process.name) != without_digits(&old.name);
    (subject == Subject::CommandLine && has_other_name)
        .then(|| format!("it is called '{}', the old one was called '{}'", process.name, old.name))
}

impl LogLines {
    /// For a watch with these settings.
    pub fn new(settings: &Rc<Settings>) -> Self {
        LogLines { settings: Rc::clone(settings), lines: Vec::new(), heard: Vec::new() }
    }

    /// Writes what is kept and worth it.
    pub fn flush(&mut self, worth: Worth) {
        let has_warning = self.lines.iter().any(|line| line.level < Level::Info);
        for Line { level, text, reach } in self.lines.drain(..) {
            if worth == Worth::All || has_warning && (worth == Worth::AllOfAWarning || level < Level::Info) {
                log::log!(level, reach = reach as u8; "{}: {text}", self.settings.name);
            }
        }
    }

    /// What was heard since this was asked last that is for the hook.
    pub fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    /// Puts an event into words.
    pub fn on(&mut self, event: &Event<'_>) {
        if let Event::Watch(WatchEvent::Reloaded(settings)) = event {
            self.settings = Rc::clone(settings);
        }
        let lines = self.lines_of(event);
        let Some(first) = lines.first() else { return };
        if self.settings.hook.is_some() {
            let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
            self.heard.extend(hook::hear(event, first.level, &texts, &self.settings, now()));
        }
        // What there was to say before the first record is said after it.
        let is_first = matches!(event, Event::Watch(WatchEvent::Opened(_)));
        let at = if is_first { 0 } else { self.lines.len() };
        self.lines.splice(at..at, lines);
    }

    /// Where the log is, as it is shown.
    fn log(&self) -> String {
        self.settings.dirs.log(&self.settings.name).display().to_string()
    }

    /// Where the output log is, as it is shown.
    fn output(&self) -> String {
        self.settings.dirs.output_log(&self.settings.name).display().to_string()
    }

    /// What is said of an event: mostly one record.
    fn lines_of(&self, event: &Event<'_>) -> Vec<Line> {
        vec![match event {
            Event::Process(event) => self.process(event),
            // The end of the process is an event of its own, and so is what probes come to.
            Event::Attempt(AttemptEvent::CommandEnded { is_process: true, .. }) | Event::Probed(_) => {
                return Vec::new();
            }
            Event::Attempt(event) => self.attempt(event),
            Event::GaveUp(it) => return self.gave_up(it),
            Event::Watch(WatchEvent::Opened(first)) => return vec![self.opened(first), self.all_settings()],
            Event::Watch(event) => self.watch(event),
            Event::Health(event) => event.line(&self.settings),
            Event::Stop(event) => event.line(&self.settings),
            Event::Hook(failure) => hook_failure(failure),
            Event::Lasting(lasting) => self.lasting(lasting),
            Event::Over(notice) => return over(*notice).map(info).into_iter().collect(),
        }]
    }

    fn process(&self, event: &ProcessEvent<'_>) -> Line {
        match event {
            ProcessEvent::Found { process, predecessor, age } => {
                let age = span(*age);
                let text = match predecessor {
                    Some(Predecessor { pid, since, .. }) if process.started < *since => {
                        format!("handed over: {process} replaces pid {pid}, up {age}")
                    }
                    Some(Predecessor { pid, .. }) => format!(
                        "running again, not started by this watchdog: {process} replaces pid {pid}, up {age}"
                    ),
                    None => format!("running, not started by this watchdog: {process}, up {age}"),
                };
                match predecessor.and_then(|old| oddity(process, old, self.settings.criteria.subject)) {
                    // Nobody is told otherwise that it is not root's any more.
                    Some(oddity) => outcome(format!("{text}; {oddity}")),
                    None => info(text),
                }
            }
            ProcessEvent::IsAnothers { process, predecessor } => {
                let oddity = oddity(process, predecessor, Subject::Name).unwrap_or_default();
                outcome(format!("{process} does not come from the start command; {oddity}"))
            }
            ProcessEvent::Died { end, then, deaths, explains } => self.died(end, *then, *deaths, *explains),
            ProcessEvent::EndedUnseen { end, deaths } => {
                let (facts, often) = (facts(None, end), often(*deaths));
                info(format!("{} (pid {}) ended since the last check{facts}{often}", end.name, end.pid))
            }
            ProcessEvent::Changed(process) => warn(format!(
                "{process} still runs, but no longer matches: its name, command line or user has changed"
            )),
            ProcessEvent::LetGo(process) => {
                info(format!("now looking for other processes; {process} is left alone"))
            }
            ProcessEvent::RunsOn(process) => info(format!("{process} continues")),
            ProcessEvent::LeftOver(left_over) => warn(format!(
                "left over from the dead process, not counted: {}; if the start fails, they are the likely cause",
                list(left_over)
            )),
        }
    }

    fn died(&self, end: &Termination, then: Then, deaths: Tally, explains: bool) -> Line {
        let untold = match end.exit {
            Exit::NotWaitedFor => Some("cause unknown: its parent has not collected its exit status"),
            Exit::Untold if explains => Some("cause unknown: this kernel does not report it"),
            Exit::Untold | Exit::Ended(_) => None,
        };
        let limits = &self.settings.limits;
        let is_on_purpose = matches!(end.cause(), Cause::Finished | Cause::Stopped);
        let as_expected = then == Then::Finish && end.exit.is_among(&self.settings.exit_codes);
        let then = match then {
            Then::Start(delay) if delay.is_zero() => "; restarting now".to_owned(),
            Then::Start(delay) => {
                let pause = self.settings.order("pause");
                let pause = format!(" unless it is back by then; to keep it stopped: {pause}");
                format!("; restarting in {}{}", span(delay), if is_on_purpose { &pause } else { "" })
            }
            Then::Verdict(time) => format!("; restarting in {}", span(time)),
            Then::Finish => format!("; finished, unless it is back in {}", span(limits.after_stop)),
            Then::Held(hold) => format!("; {}, so it is not restarted", held(&Held::new(hold, None))),
            Then::Unsaid => String::new(),
        };
        let text = format!("{}{}{}{then}", death(end), facts(untold, end), often(deaths));
        if is_on_purpose || as_expected { info(text) } else { warn(text) }
    }

    fn attempt(&self, event: &AttemptEvent<'_>) -> Line {
        let limits = &self.settings.limits;
        let of = limits.max_fail_count.map(|max| format!(" of {max}")).unwrap_or_default();
        match event {
            AttemptEvent::Adopted { pid, since } => info(format!(
                "the previous watchdog's start command (pid {pid}) has been running for {}; waiting for it",
                span(*since)
            )),
            AttemptEvent::Starting { attempt, command } => {
                warn(format!("not running; starting it (attempt {attempt}{of}): {command}"))
            }
            AttemptEvent::NotStarted { error, is_shortage } => {
                let no_attempt = "; not counted as an attempt, trying again at each check";
                let then = if *is_shortage { no_attempt } else { "" };
                warn(format!("cannot run the start command: {error}{then}"))
            }
            AttemptEvent::CommandEnded { end, .. } => {
                let text = format!("the start command {}", ended(end));
                if end.is_well() { info(text) } else { warn(text + &wrote(end)) }
            }
            AttemptEvent::Overran => warn(format!(
                "the start command still runs after {} (start_timeout) and the process is missing; ending the start command",
                span(limits.start_timeout)
            )),
            AttemptEvent::WrongName { is_at_work, left } => {
                warn(wrong_name(*is_at_work, left, self.settings.criteria.pattern.text()))
            }
            AttemptEvent::Appeared { process, after } => {
                info(format!("running: {process}, {} after the start command", span(*after)))
            }
            AttemptEvent::Succeeded { attempt, process, since } => info(format!(
                "attempt {attempt} succeeded: {process} still runs {} after the start command",
                span(*since)
            )),
            AttemptEvent::Undone { death: end } => {
                let why = end.map_or_else(|| "it failed while it is held".to_owned(), death);
                info(format!("attempt not counted: {why}"))
            }
            AttemptEvent::Failed { failures, why, since, attempt } => {
                let look = failure(*why, *since, attempt, limits, Wrote::Elsewhere);
                warn(if *why == Failure::Unstable {
                    format!("start {failures}{of} did not last: {look}")
                } else {
                    format!("attempt {failures}{of} failed: {look}")
                })
            }
            AttemptEvent::Stable { forgotten } => {
                let after = span(limits.stable_after);
                info(format!("has run for {after} (stable_after); failures reset from {forgotten} to 0"))
            }
            AttemptEvent::Recovered(process) => {
                outcome(format!("running again: {process}; log {}", self.log()))
            }
            AttemptEvent::Restarted { process, ended, stopped, took } => {
                let was = was(*stopped, ended.as_ref());
                let (took, log) = (span(*took), self.log());
                outcome(format!("{was}; running again after {took}: {process}; log {log}"))
            }
        }
    }

    fn gave_up(&self, it: &GaveUp<'_>) -> Vec<Line> {
        let (log, output, resume) = (self.log(), self.output(), self.settings.order("resume"));
        let once = self.settings.limits.once;
        let then = match it.retry.map(span) {
            Some(pause) if once && it.is_kept => {
                format!("trying again in {pause}; to try now: {resume}; details in {log} and {output}")
            }
            Some(_) if once => {
                format!(
                    "the next run tries again, because state cannot be saved; details in {log} and {output}"
                )
            }
            Some(pause) => format!(
                "trying again in {pause}, or following the process as soon as somebody starts it; to try now: {resume}"
            ),
            None if it.starts_anew => format!(
                "NOT watching any more; fix the cause, then start this watchdog again (output of the start command: \
                 {output})"
            ),
            None => format!(
                "NOT watching any more; fix the cause, then run: {resume}, and start this watchdog again if cron does \
                 not (output of the start command: {output})"
            ),
        };
        let what = format!("gave up after {} {} in a row", it.failures, plural(it.failures, "failure"));
        let looks = looks(it.row) + &it.suspect.map(is_it).unwrap_or_default();
        // Rounds between the first give-up and the recovery are for the log alone.
        let line = |text| if it.was_told { info(text) } else { bad_outcome(text) };
        // A --once run has one record, which says what to do too.
        if once {
            vec![line(format!("{what}; {then}. {looks}"))]
        } else {
            vec![line(format!("{what}. {looks}")), line(then)]
        }
    }

    fn all_settings(&self) -> Line {
        let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
        let text = format!("settings: watchdog {version}, pid {pid}; {}", self.settings.for_the_log());
        Line { reach: Reach::File, ..info(text) }
    }

    fn opened(&self, first: &Look<'_>) -> Line {
        let first = match first {
            Look::Running { process: ProcessInfo { name, pid, .. }, others, ran } => {
                let among = |count| format!(", one of {count} that match");
                let others = if *others == 0 { String::new() } else { among(others + 1) };
                format!("following {name} (pid {pid}, up {}){others}", span(*ran))
            }
            Look::Missing => "nothing matches".to_owned(),
            Look::Unknown => "cannot tell what runs".to_owned(),
        };
        let Settings { criteria, limits, .. } = &*self.settings;
        let (what, how_often) = if limits.once {
            ("checking", "once".to_owned())
        } else {
            ("watching", format!("every {}", span(limits.health_check_interval)))
        };
        let pattern = criteria.pattern.text();
        info(format!("{what} '{pattern}' {how_often}; {first}; log {}", self.log()))
    }

    fn watch(&self, event: &WatchEvent<'_>) -> Line {
        match event {
            WatchEvent::Opened(first) => self.opened(first),
            WatchEvent::Resumed => info("resumed; earlier failures are forgotten"),
            WatchEvent::Requested(request) => info(match request {
                Request::Start => "start requested",
                Request::Stop => "stop requested",
                Request::Restart => "restart requested",
            }),
            WatchEvent::RemainsGivenUp { retry } => info(format!(
                "the previous watchdog gave up; trying again in {}, or following the process as soon as somebody starts it",
                span(*retry)
            )),
            WatchEvent::CutOff(pid) => {
                info(format!("the previous watchdog (pid {pid}) was killed or crashed"))
            }
            WatchEvent::Stuck(pid) => outcome(format!(
                "another --once run (pid {pid}) has been running for far longer than its settings allow; it may hang"
            )),
            WatchEvent::Checked(Look::Running { process, ran, .. }) => {
                info(format!("checked: {process} is running, up {}", span(*ran)))
            }
            WatchEvent::Checked(Look::Unknown) => info("checked: cannot tell whether it is running"),
            WatchEvent::Checked(Look::Missing) => info("checked: not running"),
            WatchEvent::Reloaded(settings) => info(format!(
                "configuration reloaded: {}; directories and log sizes change at the next start",
                settings.for_the_log()
            )),
            WatchEvent::ReloadRefused(wrong) => {
                warn(format!("configuration not reloaded, the old settings stay: {}", wrong.join("; ")))
            }
            WatchEvent::Version(Some(date)) => info(format!("the version of {date} is in force now")),
            WatchEvent::Version(None) => info("no version is in force now"),
            WatchEvent::CannotTell { why } => {
                bad_outcome(format!("cannot tell whether it is running: {why}"))
            }
            WatchEvent::Ended { signal, followed, command } => {
                let left = followed.map(|process| format!("; {process} keeps running")).unwrap_or_default();
                let command = command.map(|pid| format!("; the start command (pid {pid}) keeps running"));
                info(format!("stopped by {}{left}{}", signal_name(*signal), command.unwrap_or_default()))
            }
            WatchEvent::EndedWithAll { signal, outlasted } => {
                let in_vain = |time: &Duration| format!("did not end within {}", span(*time));
                let how = outlasted.as_ref().map_or_else(|| "has ended too".to_owned(), in_vain);
                info(format!("stopped by {}; the process {how}", signal_name(*signal)))
            }
        }
    }

    fn held(&self, it: &Held) -> Line {
        let until = match (it.hold, it.until) {
            (Hold::Paused | Hold::Upgrading, None) => {
                format!(" until '{}' or a reboot", self.settings.order("resume"))
            }
            (Hold::Finished, _) => {
                let start = self.settings.order("start");
                return info(format!("finished; left alone until it runs again, '{start}' or a reboot"));
            }
            (Hold::Hours | Hold::Version, Some(until)) => format!(" until {}", by_the_clock(until)),
            (_, Some(until)) => format!(" for another {}", span(until.saturating_sub(now()))),
            (_, None) => String::new(),
        };
        let text = format!("not running; {}{until}, so it is not started", held(it));
        // What people have not said is as it was meant.
        if it.hold.is_of_people() { warn(text) } else { info(text) }
    }

    fn lasting(&self, lasting: &Lasting<'_>) -> Line {
        let (pattern, name) = (self.settings.criteria.pattern.text(), &self.settings.name);
        let (output, state) = (self.output(), self.settings.dirs.state.display());
        warn(match lasting {
            Lasting::Unknown(why) => {
                format!("cannot tell whether it is running: {}; starting nothing until that is known", why.0)
            }
            Lasting::Held(held) => return self.held(held),
            Lasting::Suspended(process) => format!(
                "{process} is suspended by a signal, a debugger or its control group; it counts as running"
            ),
            Lasting::Ambiguous { hint } => (*hint).to_owned(),
            Lasting::Renamed { process, remedy } => {
                let finds =
                    remedy.map(|remedy| format!("; {} finds it", options(remedy))).unwrap_or_default();
                format!("the process is now called {process}, and is still followed{finds}")
            }
            // What a --once run has come to.
            Lasting::LeftNear { left } => return outcome(left_near(left, pattern)),
            Lasting::Near { close } => format!("nothing matches '{pattern}'; similar: {close}"),
            Lasting::NoLock(why) => {
                let no_lock = no_lock(why);
                let text = format!(
                    "cannot lock {state} ({no_lock}): a second watchdog could start the same process"
                );
                return if matches!(why, NoLock::Taken(_)) { error(text) } else { warn(text) };
            }
            Lasting::InTurn => format!(
                "two lines with different settings watch '{name}' in turn: remove one, or name it with --name {name}-2"
            ),
            Lasting::LockLost(holder) => format!(
                "the lock file was removed, and another watchdog{} holds the lock now; this one starts nothing",
                holder.in_brackets()
            ),
            Lasting::StateUnwritable(error) => format!(
                "cannot save state in {state} ({error}): failures and pauses will be forgotten; to use another \
                 directory: --state-dir DIR"
            ),
            Lasting::StateUnusable(why) => unusable(why),
            Lasting::Inherits(error) => format!(
                "start commands may inherit files that the caller of this watchdog left open ({error})"
            ),
            Lasting::OutputUnwritable(error) => {
                format!(
                    "cannot write the output log {output} ({error}); the output of the start command is lost"
                )
            }
            Lasting::NoNull(error) => {
                format!("cannot open /dev/null ({error}); the start command's input is an empty pipe")
            }
            Lasting::NoDirectory(path) => {
                let path = path.display();
                format!("cannot enter {path}, where this watchdog was started; the start command runs in /")
            }
            Lasting::OutputTooLong(error) => format!("cannot rotate the output log {output}: {error}"),
            Lasting::Doubt(_, text) => (*text).to_owned(),
        })
    }
}

/// How it was before a restart.
fn was(stopped: Option<Why>, ended: Option<&Termination>) -> String {
    match (stopped, ended) {
        (Some(Why::Unhealthy), _) => "was unhealthy".to_owned(),
        (Some(Why::Request | Why::Hours | Why::Version), _) => "was stopped".to_owned(),
        (None, Some(end)) => format!("was not running{}", facts(None, end)),
        (None, None) => "was not running".to_owned(),
    }
}

fn wrong_name(is_at_work: bool, left: &[Candidate], pattern: &str) -> String {
    let did = if is_at_work { "still runs" } else { "succeeded" };
    let left = candidate_list(left.iter());
    let left = if left.is_empty() { left } else { format!("; it left running: {left}") };
    format!(
        "the start command {did}, but nothing that matches '{pattern}' appeared{left}; is the name right?"
    )
}

/// What the start command left running, which was meant, perhaps.
fn left_near(left: &Candidate, pattern: &str) -> String {
    let (but, doubt) = match left.mismatch {
        Some(Mismatch::NotInPidFile) => (String::new(), "--pid-file"),
        _ => (format!(", but nothing that matches '{pattern}'"), "the name"),
    };
    let left = candidate(left);
    format!(
        "the start command left {left} running{but}; no second copy is started while it runs; is {doubt} right?"
    )
}

/// What was meant, perhaps.
fn is_it(suspect: &Candidate) -> String {
    let suspect = candidate(suspect);
    format!("; nothing that matches was ever seen; is the name right? Perhaps it is {suspect}")
}

/// What is said when that is over, if anything.
fn over(notice: Notice) -> Option<&'static str> {
    match notice {
        Notice::Dependency => Some("what it depends on is there"),
        Notice::Hours => Some("its hours have begun"),
        Notice::Lock => Some("locked again"),
        Notice::Paused => Some("the pause is over"),
        Notice::Probe => Some("the probe can tell again whether it is healthy"),
        Notice::Program => Some("nothing is missing for the start command now"),
        Notice::Shutdown => Some("the machine does not shut down any more"),
        Notice::OtherPrograms => Some("the programs of the probe and the stop command are found now"),
        Notice::StartCommand => Some("nothing is wrong with the start command now"),
        Notice::StateFolder => Some("state is saved again"),
        Notice::Unknown => Some("can see again whether it is running"),
        Notice::Version => Some("its first version is due"),
        _ => None,
    }
}

/// Why people were not told.
fn hook_failure(failure: &HookFailure<'_>) -> Line {
    warn(match failure {
        HookFailure::Ended { event, end } => {
            let killed = |timeout| format!("still ran after {} and was killed", span(timeout));
            let how = end.timeout.map_or_else(|| ended(end), killed);
            format!("the hook, run for '{}', {how}{}", event.name(), wrote(end))
        }
        HookFailure::NotRun { event, error, is_shortage } => {
            let then = if *is_shortage { "; trying again" } else { "" };
            format!("the hook cannot be run for '{}': {error}{then}", event.name())
        }
        HookFailure::Dropped(event) => {
            format!("the hook is not told of '{}': too many events wait for it", event.name())
        }
    })
}
