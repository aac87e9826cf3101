//! Whatever happens: an event, with its facts. It is put together where it happens, goes to its readers
//! through one place, and decides nothing.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::hold::{Held, Hold};
use crate::policy::{Failure, Request, Why};
use crate::probe::ProbeResult;
use crate::process::ProcessInfo;
use crate::process::remedy::Remedy;
use crate::process::scan::{Candidate, Unknown};
use crate::process::termination::{Predecessor, Termination};
use crate::report::health::{HealthEvent, StopEvent};
use crate::settings::Settings;
use crate::settings::hook::HookEvent;
use crate::state::history::Tally;
use crate::state::lock::{Holder, NoLock};
use crate::state::said::{Notice, Told};
use crate::state::store::Unusable;
use crate::sys::Pid;
use crate::task::CommandEnd;
use crate::time::Time;

/// How many kinds of failures of a row are remembered: the last ones.
const MOST_FAILURES: usize = 5;

/// Something that has happened.
#[derive(Debug)]
pub enum Event<'a> {
    Process(ProcessEvent<'a>),
    Attempt(AttemptEvent<'a>),
    GaveUp(GaveUp<'a>),
    Watch(WatchEvent<'a>),
    Health(HealthEvent<'a>),
    Stop(StopEvent<'a>),
    /// A probe has ended, or could not be made.
    Probed(ProbeResult),
    Hook(HookFailure<'a>),
    /// Something begins that lasts, or has become another.
    Lasting(Lasting<'a>),
    /// Something that lasted is over.
    Over(Notice),
}

/// What happens to the process.
#[derive(Debug)]
pub enum ProcessEvent<'a> {
    /// It is there, and no start command was needed; `predecessor` is what it takes the place of.
    Found { process: &'a ProcessInfo, predecessor: Option<&'a Predecessor>, age: Duration },
    /// After an attempt it is another user's, and does not come from the start command.
    IsAnothers { process: &'a ProcessInfo, predecessor: &'a Predecessor },
    /// It died. `explains`: if nobody can tell how, the log is to say why.
    Died { end: &'a Termination, then: Then, deaths: Tally, explains: bool },
    /// It ended while nobody watched.
    EndedUnseen { end: &'a Termination, deaths: Tally },
    /// It lives, and does not match any more.
    Changed(&'a ProcessInfo),
    /// Something else is watched from here on.
    LetGo(&'a ProcessInfo),
    /// It is suspended no longer.
    RunsOn(&'a ProcessInfo),
    /// These match and do not count.
    LeftOver(&'a [ProcessInfo]),
}

/// What happens to an attempt to start it.
#[derive(Debug)]
pub enum AttemptEvent<'a> {
    /// The start command of a watchdog before this one is running.
    Adopted { pid: Pid, since: Duration },
    /// The start command is about to run, or could not be created.
    Starting { attempt: u32, command: &'a str },
    /// The start command could not be created; for want of resources, that is no attempt.
    NotStarted { error: &'a io::Error, is_shortage: bool },
    /// The start command ended; `is_process` if it was what is watched, whose end is an event of its own.
    CommandEnded { end: &'a CommandEnd, is_process: bool },
    /// The start command has been running for too long, and is ended.
    Overran,
    /// The start command does its work, and a process of the name has never been seen.
    WrongName { is_at_work: bool, left: &'a [Candidate] },
    /// The process is there, so long after the start command.
    Appeared { process: &'a ProcessInfo, after: Duration },
    /// The attempt was judged a success.
    Succeeded { attempt: u32, process: &'a ProcessInfo, since: Duration },
    /// Somebody ended what was started.
    Undone { death: Option<&'a Termination> },
    /// The attempt was judged a failure, so many in a row.
    Failed { failures: u32, why: Failure, since: Duration, attempt: &'a Attempt },
    /// It has run long enough for the failures before to be forgotten.
    Stable { forgotten: u32 },
    /// It runs again, after a give-up that was told.
    Recovered(&'a ProcessInfo),
    /// A `--once` run has started it; `ended` is what had ended unseen before, unless it was stopped.
    Restarted { process: &'a ProcessInfo, ended: Option<Termination>, stopped: Option<Why>, took: Duration },
}

/// Enough failures in a row.
#[derive(Debug)]
pub struct GaveUp<'a> {
    pub failures: u32,
    pub retry: Option<Duration>,
    /// This is a round between a give-up that was told and its end.
    pub was_told: bool,
    /// The next run can know of it.
    pub is_kept: bool,
    /// Starting this watchdog again forgets it.
    pub starts_anew: bool,
    pub row: &'a Row,
    /// What was meant, perhaps, if nothing of the name has ever been seen.
    pub suspect: Option<&'a Candidate>,
}

/// What happens to the watch.
#[derive(Debug)]
pub enum WatchEvent<'a> {
    /// It has begun, and this is what it saw first.
    Opened(Look<'a>),
    /// Somebody said that what was is to be forgotten.
    Resumed,
    /// The watchdog before this one gave up, and was cut off; `retry` is the time to a fresh round.
    RemainsGivenUp { retry: Duration },
    /// The watchdog before this one was cut off.
    CutOff(Pid),
    /// Another `--once` run has been running for far too long.
    Stuck(Pid),
    /// Somebody asks for this.
    Requested(Request),
    /// A check by hand (SIGUSR1).
    Checked(Look<'a>),
    /// The settings were read again (SIGHUP), and are these from here on.
    Reloaded(&'a Rc<Settings>),
    /// The settings were read again, with this wrong.
    ReloadRefused(&'a [String]),
    /// The start command is from now on that of this version; `None` is that of no version.
    Version(Option<String>),
    /// A `--once` run cannot tell.
    CannotTell { why: &'a str },
    /// A signal ended it; the process and the start command, if it runs, go on.
    Ended { signal: i32, followed: Option<&'a ProcessInfo>, command: Option<Pid> },
    /// A signal ended process 1, which takes all with it: what it watches too, if that `outlasted` its time.
    EndedWithAll { signal: i32, outlasted: Option<Duration> },
}

/// Why people were not told of an event.
#[derive(Debug)]
pub enum HookFailure<'a> {
    /// The hook did not succeed.
    Ended { event: HookEvent, end: &'a CommandEnd },
    /// It could not be created; for want of resources, that is tried again.
    NotRun { event: HookEvent, error: &'a io::Error, is_shortage: bool },
    /// Too many events wait, or the runs before are still at it.
    Dropped(HookEvent),
}

/// What a look saw.
#[derive(Debug)]
pub enum Look<'a> {
    /// The process, and how many others that match.
    Running { process: &'a ProcessInfo, others: usize, ran: Duration },
    /// Nothing that counts.
    Missing,
    /// Nobody can tell.
    Unknown,
}

/// What lasts: it is told when it begins, or becomes another, and not at each check.
#[derive(Debug)]
pub enum Lasting<'a> {
    /// Looks cannot tell.
    Unknown(&'a Unknown),
    /// It is missing, and this holds it.
    Held(&'a Held),
    /// The process is suspended, by a signal or a debugger.
    Suspended(&'a ProcessInfo),
    /// Several processes match that are not one family.
    Ambiguous { hint: &'a str },
    /// The process has taken another name, and is what it was; `remedy` finds it by that.
    Renamed { process: &'a ProcessInfo, remedy: Option<&'a Remedy> },
    /// An attempt has left this running, which was meant, perhaps.
    LeftNear { left: &'a Candidate },
    /// Nothing matches, but these nearly do.
    Near { close: &'a str },
    /// There is no lock to be had.
    NoLock(&'a NoLock),
    /// Lines with different settings run in turn.
    InTurn,
    /// The lock was removed, and another watchdog has it.
    LockLost(&'a Holder),
    /// Nothing can be kept, which matters to the next watchdog only.
    StateUnwritable(&'a io::Error),
    /// The state file is of no use, and is begun anew.
    StateUnusable(&'a Unusable),
    /// Start commands may inherit descriptors.
    Inherits(&'a io::Error),
    /// What the start command writes is lost.
    OutputUnwritable(&'a io::Error),
    /// There is no /dev/null to read from.
    NoNull(&'a io::Error),
    /// The directory in which the watchdog was started is gone, or not to be searched.
    NoDirectory(&'a Path),
    /// The output log could not be kept to its limit.
    OutputTooLong(&'a io::Error),
    /// Something is probably not as it was meant.
    Doubt(Notice, &'a str),
}

/// What follows a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// A look, and nothing if that finds none: it has ended as `autorestart` has it.
    Finish,
    /// A start, this long after the death.
    Start(Duration),
    /// The verdict on the attempt, this long from now; a start comes after it.
    Verdict(Duration),
    /// Nothing: this holds it.
    Held(Hold),
    /// That is an event of its own.
    Unsaid,
}

/// What is known of an attempt to start the process.
#[derive(Debug, Default)]
pub struct Attempt {
    pub began: Time,
    /// Why the start command could not be run.
    pub not_run: Option<String>,
    /// How the start command ended.
    pub command: Option<CommandEnd>,
    /// The record of that quotes what it wrote.
    pub is_quoted: bool,
    /// How the process died last.
    pub death: Option<Termination>,
    /// What was left over at the last look.
    pub left_over: Vec<ProcessInfo>,
    /// What else is left in the session of the process that died, when the attempt has failed.
    pub left_in_session: Vec<ProcessInfo>,
    /// What was wrong with the pid file then.
    pub pid_file: Option<String>,
    /// When it was last looked what it has left running that is near.
    pub looked_for_near: Option<Time>,
    /// It was asked whether the name is right.
    pub name_is_doubted: bool,
}

/// What failures in a row looked like: of those that look alike but for numbers and times, the first, the last, and
/// how that looked.
#[derive(Debug, Default)]
pub struct Row(pub Vec<(u32, u32, String)>);

impl Row {
    /// One more, which looked so.
    pub fn add(&mut self, number: u32, look: String) {
        let is_digit = |c: char| c.is_ascii_digit();
        // "999ms" and "1s" are alike too.
        let words =
            |text: &str| text.split(' ').filter(|word| !word.starts_with(is_digit)).collect::<String>();
        let without_numbers = |text: &str| words(text).replace(is_digit, "");
        match self.0.last_mut() {
            Some((_, last, like)) if without_numbers(like) == without_numbers(&look) => {
                (*last, *like) = (number, look);
            }
            _ => self.0.push((number, number, look)),
        }
        let too_many = self.0.len().saturating_sub(MOST_FAILURES);
        self.0.drain(..too_many);
    }
}

impl<'a> Event<'a> {
    /// Something is in doubt, or is not.
    pub fn of_doubt(notice: Notice, doubt: Option<&'a str>) -> Self {
        doubt.map_or(Event::Over(notice), |doubt| Lasting::Doubt(notice, doubt).into())
    }

    /// How it is told.
    pub fn told(&self) -> Told {
        match self {
            Event::Lasting(lasting) => lasting.told(),
            Event::Over(notice) => Told::Over(*notice),
            Event::Process(ProcessEvent::RunsOn(_)) => Told::Over(Notice::Stopped),
            Event::Health(event) => event.told(),
            Event::Stop(event) => event.told(),
            _ => Told::Always,
        }
    }
}

impl Lasting<'_> {
    fn told(&self) -> Told {
        let (notice, facts) = match self {
            Lasting::Unknown(why) => (Notice::Unknown, why.0.clone()),
            Lasting::Held(held) => (held.hold.notice(), held.detail.clone().unwrap_or_default()),
            Lasting::Suspended(process) => (Notice::Stopped, process.to_string()),
            Lasting::Ambiguous { .. } => (Notice::Ambiguous, String::new()),
            Lasting::Renamed { process, .. } => (Notice::Renamed, process.to_string()),
            Lasting::LeftNear { left } => (Notice::LeftNear, left.process.to_string()),
            Lasting::Near { close } => (Notice::Near, (*close).to_owned()),
            Lasting::NoLock(error) => (Notice::Lock, format!("{error:?}")),
            Lasting::InTurn => (Notice::Lines, String::new()),
            Lasting::LockLost(holder) => (Notice::Lock, holder.in_brackets()),
            Lasting::StateUnwritable(_) => (Notice::StateFolder, String::new()),
            Lasting::StateUnusable(unusable) => (Notice::State, format!("{unusable:?}")),
            Lasting::Inherits(error) => (Notice::Descriptors, error.to_string()),
            Lasting::OutputUnwritable(error) => (Notice::OutputOpen, error.to_string()),
            Lasting::NoNull(error) => (Notice::Null, error.to_string()),
            Lasting::NoDirectory(_) => (Notice::Directory, String::new()),
            Lasting::OutputTooLong(error) => (Notice::Output, error.to_string()),
            Lasting::Doubt(notice, text) => (*notice, (*text).to_owned()),
        };
        Told::Once(notice, facts)
    }
}

macro_rules! events {
    ($($kind:ident($event:ident)),*) => {
        $(impl<'a> From<$event<'a>> for Event<'a> {
            fn from(event: $event<'a>) -> Self {
                Event::$kind(event)
            }
        })*
    };
}

events!(
    Process(ProcessEvent),
    Attempt(AttemptEvent),
    GaveUp(GaveUp),
    Watch(WatchEvent),
    Health(HealthEvent),
    Stop(StopEvent),
    Hook(HookFailure),
    Lasting(Lasting)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_alike_whatever_time_they_took() {
        let mut row = Row::default();
        for (number, look) in [
            (1, "not running 1.1s after the start command"),
            (2, "not running 509ms after the start command"),
            (3, "x-17 (pid 7) exited with status 1 after 1m 30s"),
            (4, "x-18 (pid 8) exited with status 2 after 45s"),
            (5, "x-18 (pid 8) was killed"),
        ] {
            row.add(number, look.to_owned());
        }
        let said: Vec<_> = row.0.iter().map(|(first, last, _)| (*first, *last)).collect();
        assert_eq!(said, [(1, 2), (3, 4), (5, 5)]);
    }
}
