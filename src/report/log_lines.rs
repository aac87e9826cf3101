//! The log's records: each event, in words.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::rc::Rc;

use log::Level;

use crate::policy::Failure;
use crate::process::ProcessInfo;
use crate::process::termination::{Cause, Exit, Predecessor, Termination, signal_name};
use crate::report::event::{AttemptEvent, Event, Lasting, Look, ProcessEvent, Row, Then, WatchEvent};
use crate::report::words::{death, ended, facts, failure, list, looks, no_lock, often, unusable, wrote};
use crate::settings::Settings;
use crate::state::history::Tally;
use crate::state::lock::NoLock;
use crate::state::said::Notice;
use crate::text::{plural, span};

/// What is added where the start command could not be created for want of resources.
const NO_ATTEMPT: &str = "; that is no attempt, and is tried again each interval";

/// Events as records, kept until there is time to write them: an action never waits for a disk.
#[derive(Debug)]
pub struct LogLines {
    settings: Rc<Settings>,
    log: PathBuf,
    output: PathBuf,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    level: Level,
    text: String,
    /// It is what a run has come to, for cron's mail.
    is_outcome: bool,
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

fn info(text: impl Into<String>) -> Line {
    Line { level: Level::Info, text: text.into(), is_outcome: false }
}

fn warn(text: impl Into<String>) -> Line {
    Line { level: Level::Warn, ..info(text) }
}

fn outcome(level: Level, text: impl Into<String>) -> Line {
    Line { level, is_outcome: true, ..info(text) }
}

impl LogLines {
    /// For a watch with these settings, whose log and output log are at these paths.
    pub fn new(settings: &Rc<Settings>) -> Self {
        let (log, output) = (settings.dirs.log(&settings.name), settings.dirs.output_log(&settings.name));
        LogLines { settings: Rc::clone(settings), log, output, lines: Vec::new() }
    }

    /// Writes what is kept and worth it.
    pub fn flush(&mut self, worth: Worth) {
        let has_warning = self.lines.iter().any(|line| line.level < Level::Info);
        for Line { level, text, is_outcome } in self.lines.drain(..) {
            if worth == Worth::All || has_warning && (worth == Worth::AllOfAWarning || level < Level::Info) {
                log::log!(level, outcome = is_outcome; "{}: {text}", self.settings.name);
            }
        }
    }

    /// Puts an event into words.
    pub fn on(&mut self, event: &Event<'_>) {
        if let Event::Watch(WatchEvent::Reloaded(settings)) = event {
            self.settings = Rc::clone(settings);
        }
        let line = match event {
            Event::Process(event) => self.process(event),
            // The end of the process is an event of its own.
            Event::Attempt(AttemptEvent::CommandEnded { is_process: true, .. }) => return,
            Event::Attempt(event) => self.attempt(event),
            Event::Watch(event) => self.watch(event),
            Event::Lasting(lasting @ Lasting::NoLock { error: NoLock::Taken(_), .. }) => {
                Line { level: Level::Error, ..info(self.lasting(lasting)) }
            }
            Event::Lasting(lasting) => warn(self.lasting(lasting)),
            Event::Over(notice) => match over(*notice) {
                Some(text) => info(text),
                None => return,
            },
        };
        // What there was to say before the first record is said after it.
        let is_first = matches!(event, Event::Watch(WatchEvent::Opened(_)));
        self.lines.insert(if is_first { 0 } else { self.lines.len() }, line);
    }

    fn process(&self, event: &ProcessEvent<'_>) -> Line {
        match event {
            ProcessEvent::Found { process, predecessor, age } => {
                let age = span(*age);
                info(match predecessor {
                    Some(Predecessor { pid, since, .. }) if process.started < *since => {
                        format!("has been handed over: {process} runs in place of pid {pid}, for {age}")
                    }
                    Some(Predecessor { pid, .. }) => {
                        format!("is running again by itself: {process} in place of pid {pid}, for {age}")
                    }
                    None => format!("is running by itself: {process}, for {age}"),
                })
            }
            ProcessEvent::Died { end, then, deaths, explains } => self.died(end, *then, *deaths, *explains),
            ProcessEvent::EndedUnseen { end, deaths } => {
                let (facts, often) = (facts(None, end), often(*deaths));
                info(format!("{} (pid {}) has ended since the last check{facts}{often}", end.name, end.pid))
            }
            ProcessEvent::Changed(process) => warn(format!(
                "{process} lives, but has taken another name, command line or user, and is not what is watched any more"
            )),
            ProcessEvent::LetGo(process) => {
                info(format!("other processes are looked for from here on; {process} is left to itself"))
            }
            ProcessEvent::RunsOn(process) => info(format!("{process} runs on")),
            ProcessEvent::LeftOver(left_over) => warn(format!(
                "left over, and not taken for it: {}; if the start fails, they are the likely cause",
                list(left_over)
            )),
        }
    }

    fn died(&self, end: &Termination, then: Then, deaths: Tally, explains: bool) -> Line {
        let untold = match end.exit {
            Exit::NotWaitedFor => Some("its parent has not waited for it, so that nobody knows how"),
            Exit::Untold if explains => Some("this kernel does not tell how"),
            Exit::Untold | Exit::Ended(_) => None,
        };
        let is_on_purpose = matches!(end.cause(), Cause::Finished | Cause::Stopped);
        let then = match then {
            Then::Start(delay) if delay.is_zero() => "; starting it unless it is back".to_owned(),
            Then::Start(delay) => {
                let pause = self.settings.order("pause");
                let pause =
                    if is_on_purpose { format!("; '{pause}' leaves it stopped") } else { String::new() };
                format!("; starting it in {} unless it is back{pause}", span(delay))
            }
            Then::Verdict(time) => format!("; the attempt is judged in {}", span(time)),
            Then::LeftAlone => "; left alone, since it is paused".to_owned(),
            Then::Unsaid => String::new(),
        };
        let text = format!("{}{}{}{then}", death(end), facts(untold, end), often(deaths));
        if is_on_purpose { info(text) } else { warn(text) }
    }

    fn attempt(&self, event: &AttemptEvent<'_>) -> Line {
        let of = |of: &Option<u32>| of.map(|max| format!(" of {max}")).unwrap_or_default();
        match event {
            AttemptEvent::Adopted { pid, since } => info(format!(
                "the start command that the watchdog before this one ran (pid {pid}) is at work, since {}",
                span(*since)
            )),
            AttemptEvent::Starting { attempt, of: max, command } => warn(format!(
                "is not running; running start command (attempt {attempt}{}): {command}",
                of(max)
            )),
            AttemptEvent::NotStarted { error, is_shortage } => {
                let then = if *is_shortage { NO_ATTEMPT } else { "" };
                warn(format!("the start command cannot be run: {error}{then}"))
            }
            AttemptEvent::CommandEnded { end, .. } => {
                let text = format!("the start command {}", ended(end));
                let is_well = end.status.is_none_or(|status| status.success());
                if is_well { info(text) } else { warn(text + &wrote(end)) }
            }
            AttemptEvent::Overran { timeout } => warn(format!(
                "the start command is still at work after {}, and the process is missing; ending it",
                span(*timeout)
            )),
            AttemptEvent::WrongName { is_at_work, left_running } => {
                warn(self.wrong_name(*is_at_work, left_running))
            }
            AttemptEvent::Appeared { process, after } => {
                info(format!("is running: {process}, {} after the start command", span(*after)))
            }
            AttemptEvent::Succeeded { attempt, process, since } => info(format!(
                "attempt {attempt} succeeded: {process} runs {} after the start command",
                span(*since)
            )),
            AttemptEvent::Undone { death: end } => info(format!(
                "the attempt counts neither as a success nor as a failure: {}",
                end.map(death).unwrap_or_default()
            )),
            AttemptEvent::Failed { failures, of: max, why, since, attempt } => {
                let failed = if *why == Failure::Unstable { "turned into a failure" } else { "failed" };
                warn(format!("attempt {failures}{} {failed}: {}", of(max), failure(*why, *since, attempt)))
            }
            AttemptEvent::Stable { forgotten, after } => {
                info(format!("has run for {}; failures back from {forgotten} to 0", span(*after)))
            }
            AttemptEvent::GaveUp { failures, retry, was_told, is_kept, row } => {
                let text = self.gave_up(*failures, retry.map(span), *is_kept, row);
                // Rounds between the first give-up and the recovery are for the log alone.
                if *was_told { info(text) } else { outcome(Level::Error, text) }
            }
            AttemptEvent::Recovered(process) => {
                outcome(Level::Warn, format!("is running again: {process}; log {}", self.log.display()))
            }
            AttemptEvent::Restarted { process, ended, took } => {
                let ended = ended.map(|end| facts(None, end)).unwrap_or_default();
                let (took, log) = (span(*took), self.log.display());
                let text = format!("was not running{ended}, and is again: {process} after {took}; log {log}");
                outcome(Level::Warn, text)
            }
        }
    }

    fn wrong_name(&self, is_at_work: bool, left_running: &[ProcessInfo]) -> String {
        let did = if is_at_work { "is at work" } else { "succeeded" };
        let mut hint = format!(
            "the start command {did} but nothing named '{}' appeared: is the name right?",
            self.settings.criteria.pattern.text()
        );
        if !left_running.is_empty() {
            let _ = write!(hint, " It left running: {}", list(left_running));
        }
        hint
    }

    fn gave_up(&self, failures: u32, retry: Option<String>, is_kept: bool, row: &Row) -> String {
        let (log, output) = (self.log.display(), self.output.display());
        let then = match retry {
            Some(_) if self.settings.limits.once && !is_kept => format!(
                "the next run tries again, since it cannot know of this; details in {log} and {output}"
            ),
            Some(pause) if self.settings.limits.once => {
                format!("trying again in {pause}; details in {log} and {output}")
            }
            Some(pause) => {
                format!("trying again in {pause}, or taking it up as soon as somebody has started it")
            }
            None => format!(
                "it is NOT watched any more: repair it, then say {}, and start this watchdog again (its output is \
                 in {output})",
                self.settings.order("resume")
            ),
        };
        format!("gave up after {failures} {} in a row; {then}. {}", plural(failures, "failure"), looks(row))
    }

    fn opened(&self, first: &Look<'_>) -> Line {
        let first = match first {
            Look::Running { process, others, ran } => {
                let among = |count| format!(", the first of {count} that match");
                let others = if *others == 0 { String::new() } else { among(others + 1) };
                format!("following {process}{others}, running for {}", span(*ran))
            }
            Look::Missing => "nothing matches".to_owned(),
            Look::Unknown => "what runs cannot be known".to_owned(),
        };
        info(format!(
            "watchdog {} (pid {}): {}; log {}; {first}",
            env!("CARGO_PKG_VERSION"),
            std::process::id(),
            what_is_watched(&self.settings),
            self.log.display(),
        ))
    }

    fn watch(&self, event: &WatchEvent<'_>) -> Line {
        match event {
            WatchEvent::Opened(first) => self.opened(first),
            WatchEvent::Resumed => info("resumed: failures before this are forgotten"),
            WatchEvent::RemainsGivenUp { retry } => info(format!(
                "the watchdog before this one gave up; trying again in {}, or taking it up as soon as somebody has \
                 started it",
                span(*retry)
            )),
            WatchEvent::CutOff(pid) => {
                info(format!("the watchdog before this one (pid {pid}) ended without a word"))
            }
            WatchEvent::Stuck(pid) => outcome(
                Level::Warn,
                format!(
                    "the run that is at work (pid {pid}) has been so for far longer than its settings allow"
                ),
            ),
            WatchEvent::Checked(Look::Running { process, ran, .. }) => {
                info(format!("checked: {process} is running, for {}", span(*ran)))
            }
            WatchEvent::Checked(Look::Unknown) => info("checked: cannot tell whether it is running"),
            WatchEvent::Checked(Look::Missing) => info("checked: it is not running"),
            WatchEvent::Reloaded(settings) => info(format!(
                "SIGHUP: the settings are read anew, but for folders and log sizes: {}; the logs are open anew",
                what_is_watched(settings)
            )),
            WatchEvent::ReloadRefused(wrong) => warn(format!(
                "SIGHUP: the configuration is wrong, and the one before stays: {}",
                wrong.join("; ")
            )),
            WatchEvent::CannotTell { why } => {
                outcome(Level::Error, format!("cannot tell whether it is running: {why}"))
            }
            WatchEvent::Ended { signal, followed } => {
                let left = followed.map(|process| format!("; {process} is left running")).unwrap_or_default();
                info(format!("ended by {}{left}", signal_name(*signal)))
            }
            WatchEvent::EndedWithAll { signal, in_time } => {
                let how = if *in_time { "has ended" } else { "did not end in time" };
                info(format!("ended by {}; what it watched {how}", signal_name(*signal)))
            }
        }
    }

    fn lasting(&self, lasting: &Lasting<'_>) -> String {
        match lasting {
            Lasting::Unknown(why) => {
                format!("cannot tell whether it is running: {}; nothing is started meanwhile", why.0)
            }
            Lasting::Paused { left } => {
                let until = left.map_or_else(
                    || format!("until '{}' or a boot", self.settings.order("resume")),
                    |left| format!("for another {}", span(left)),
                );
                format!("is not running, and paused: it is left alone {until}")
            }
            Lasting::Suspended(process) => {
                format!("{process} is stopped, by a signal or a debugger; it counts as running")
            }
            Lasting::Ambiguous { hint } => (*hint).to_owned(),
            Lasting::Near { close } => {
                format!("no process is named '{}'; close: {close}", self.settings.criteria.pattern.text())
            }
            Lasting::NoLock { folder, error } => format!(
                "no lock is to be had in {} ({}): no second watchdog of this name is kept away",
                folder.display(),
                no_lock(error)
            ),
            Lasting::InTurn => format!(
                "two lines with different settings watch '{name}' in turn: remove one, or give it a name of its own, such \
                 as --name {name}-2",
                name = self.settings.name
            ),
            Lasting::LockLost(holder) => format!(
                "its lock was removed, and another watchdog{} has it: this one starts nothing",
                holder.in_brackets()
            ),
            Lasting::StateUnwritable { folder, error } => format!(
                "nothing can be kept in {} ({error}): the next one will know nothing of this one; to use another \
                 directory: --state-dir DIR",
                folder.display()
            ),
            Lasting::StateUnusable(why) => unusable(why),
            Lasting::Inherits(error) => {
                format!("start commands may inherit open files of whoever started this ({error})")
            }
            Lasting::OutputUnwritable { path, error } => format!(
                "the output log {} cannot be written ({error}); what the start command writes is lost",
                path.display()
            ),
            Lasting::NoNull(error) => {
                format!("cannot open /dev/null ({error}); the start command's input is an empty pipe")
            }
            Lasting::NoDirectory(path) => format!(
                "cannot enter {}, where this watchdog was started; the start command runs in /",
                path.display()
            ),
            Lasting::OutputTooLong { path, error } => {
                format!("the output log {} could not be kept to its limit: {error}", path.display())
            }
            Lasting::Doubt(_, text) => (*text).to_owned(),
        }
    }
}

/// What is said when that is over, if anything.
fn over(notice: Notice) -> Option<&'static str> {
    match notice {
        Notice::Lock => Some("it has its lock again"),
        Notice::Paused => Some("the pause is over"),
        Notice::Program => Some("the start command's program can be found now"),
        Notice::StartCommand => Some("nothing is wrong with the start command now"),
        Notice::StateFolder => Some("the state can be kept again"),
        Notice::Unknown => Some("can tell again whether it is running"),
        _ => None,
    }
}

fn what_is_watched(settings: &Settings) -> String {
    format!("watching for processes named '{}'; {}", settings.criteria.pattern.text(), settings.for_the_log())
}
