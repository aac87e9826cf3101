//! The one place from which events go to those who keep or say them; and what the loop knows of its attempts,
//! which events are made of.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::hold::{Held, Hold, depends};
use crate::policy::{Failure, News, Why};
use crate::probe::ProbeResult;
use crate::process::ProcessInfo;
use crate::process::handle::{Handle, open_pidfd};
use crate::process::scan::Candidate;
use crate::report::event::{
    Attempt, AttemptEvent, Event, GaveUp, Lasting, Look, ProcessEvent, Row, WatchEvent,
};
use crate::report::health::StopEvent;
use crate::report::words::{self, Wrote};
use crate::settings::{Autorestart, Limits};
use crate::state::history::LastStart;
use crate::state::said::Notice;
use crate::state::store::Store;
use crate::state::{Origin, Sight, State};
use crate::supervise::{Parts, Supervisor};
use crate::sys::{self, Pid, own_pid};
use crate::time::{Time, now};

/// What the state keeps of an event. A death is counted with how it ended, which a launcher's may not be.
fn keep(event: &Event<'_>, record: &mut Store) {
    match event {
        Event::Attempt(AttemptEvent::CommandEnded { end, .. }) => {
            record.state.last_start = Some(LastStart::of(end, now()));
        }
        Event::Attempt(AttemptEvent::Succeeded { .. }) => {
            record.restarted();
            record.count(|counters| &mut counters.starts.success);
        }
        Event::Attempt(AttemptEvent::Failed { .. }) => record.count(|counters| &mut counters.starts.failure),
        Event::GaveUp(_) => {
            record.state.told = true;
            record.count(|counters| &mut counters.give_ups);
        }
        Event::Attempt(AttemptEvent::Recovered(_)) => record.state.told = false,
        Event::Stop(StopEvent::Stopped { why, .. }) => record.count(|counters| match why {
            Why::Unhealthy => &mut counters.stops.unhealthy,
            Why::Request => &mut counters.stops.request,
            Why::Hours => &mut counters.stops.hours,
            Why::Version => &mut counters.stops.version,
        }),
        Event::Probed(result) => record.count(|counters| match result {
            ProbeResult::Healthy => &mut counters.probes.success,
            ProbeResult::Unhealthy => &mut counters.probes.failure,
            ProbeResult::TimedOut { .. } => &mut counters.probes.timeout,
            ProbeResult::Unknown => &mut counters.probes.unknown,
        }),
        _ => {}
    }
}

/// Where it depends on how the process ends, and the kernel does not tell that of a process that is no child.
fn doubt_autorestart(limits: &Limits) -> Option<String> {
    if limits.once || limits.autorestart != Autorestart::Unexpected || own_pid() == 1 {
        return None;
    }
    let tells = open_pidfd(own_pid()).is_ok_and(|own| sys::pidfd_exit(own.as_fd()).is_ok());
    (!tells).then(|| {
        "autorestart: this kernel does not tell how a process ended that is no child of the watchdog (Linux 6.15 does), \
         and what is not known counts as unexpected; a start command that stays (exec) makes it a child"
            .to_owned()
    })
}

impl Parts {
    /// Tells an event to all who keep or say it, unless it has been told.
    pub(super) fn emit<'a>(&mut self, event: impl Into<Event<'a>>) {
        let event = event.into();
        if self.record.is_news(event.told()) {
            keep(&event, &mut self.record);
            self.report.on(&event);
        }
    }

    /// Tells what about the settings, and the file that they come from, is probably not what was meant. Of the start
    /// command that is told when one is needed.
    pub(super) fn doubt_settings(&mut self) {
        let settings = &self.settings;
        for (notice, doubt) in [
            (Notice::Doubt, settings.criteria.doubt()),
            (Notice::File, settings.doubt.clone()),
            (Notice::Autorestart, doubt_autorestart(&settings.limits)),
            (Notice::UnknownDependency, depends::doubt(settings, &self.record.files)),
        ] {
            self.emit(Event::of_doubt(notice, doubt.as_deref()));
        }
    }

    /// The process was seen to run, or to be suspended.
    pub(super) fn sees_running(&mut self, followed: &Handle, is_suspended: bool, now: Time) {
        let process = followed.info();
        self.record.sees(Sight::Running, Some(process), now);
        if followed.is_renamed {
            self.emit(Lasting::Renamed { process, remedy: followed.remedy.as_ref() });
        }
        if is_suspended {
            self.emit(Lasting::Suspended(process));
        } else {
            self.emit(ProcessEvent::RunsOn(process));
        }
    }

    /// Tells whether the state could be written.
    pub(super) fn tell_kept(&mut self, kept: io::Result<()>) {
        let State { sight, begun_by, .. } = &self.record.state;
        match kept {
            Ok(()) => self.emit(Event::Over(Notice::StateFolder)),
            // Cron would mail it each minute, and nothing is amiss.
            Err(_) if *sight == Sight::Running && *begun_by == Some(Origin::Line) => {}
            Err(error) => self.emit(Lasting::StateUnwritable(&error)),
        }
    }
}

/// What the loop knows of the process that it watches and of attempts to start it, to be told with what
/// comes of them.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// There was a look, and the first record.
    pub(super) has_looked: bool,
    /// What an attempt has left running and is called otherwise.
    pub(super) left_near: Option<Candidate>,
    /// What was meant, perhaps, and is called otherwise.
    pub(super) suspect: Option<Candidate>,
    /// Since when it is missing.
    pub(super) missing_since: Option<Time>,
    /// That nobody can tell what runs is news.
    pub(super) is_unknown_news: bool,
    /// That something holds it is news.
    pub(super) is_held_news: bool,
    /// What was left over since the process died, and has been named.
    pub(super) named: BTreeSet<Pid>,
    /// The attempt that was made last.
    pub(super) attempt: Attempt,
    pub(super) row: Row,
}

impl Facts {
    /// An attempt begins.
    pub(super) fn begin(&mut self, attempt: u32, began: Time) {
        let left_over = std::mem::take(&mut self.attempt.left_over);
        self.attempt = Attempt { began, left_over, ..Attempt::default() };
        if attempt == 1 {
            self.row = Row::default();
        }
    }
}

impl Supervisor {
    /// The first record says what the first look saw. Whether this was the first.
    pub(super) fn open(&mut self, first: Look<'_>) -> bool {
        let is_first = !std::mem::replace(&mut self.facts.has_looked, true);
        if is_first {
            self.parts.emit(WatchEvent::Opened(first));
        }
        is_first
    }

    /// What matches and does not count is told when there is more of it.
    pub(super) fn left_over(&mut self, left_over: Vec<ProcessInfo>) {
        let named = self.facts.named.len();
        self.facts.named.extend(left_over.iter().map(|seen| seen.pid));
        if self.facts.named.len() > named {
            self.parts.emit(ProcessEvent::LeftOver(&left_over));
        }
        self.facts.attempt.left_over = left_over;
    }

    /// Tells what a decision has changed.
    pub(super) fn tell(&mut self, news: News) {
        let news = self.stops.is_news(news);
        let now = now();
        let since = now.saturating_sub(self.facts.attempt.began);
        let followed = self.followed.as_ref().map(Handle::info);
        match (news, followed) {
            (News::Found { by_itself: true }, Some(process)) => {
                self.facts.missing_since = None;
                let (predecessor, age) = (self.predecessor.as_ref(), now.saturating_sub(process.started));
                self.parts.emit(ProcessEvent::Found { process, predecessor, age });
            }
            (News::Appeared { after }, Some(process)) => {
                self.parts.emit(AttemptEvent::Appeared { process, after });
                self.ask_what_becomes_of_it();
            }
            (News::Succeeded { attempt }, Some(process)) => {
                self.parts.emit(AttemptEvent::Succeeded { attempt, process, since });
                self.ask_what_becomes_of_it();
                self.refresh_signature();
                self.doubt_user();
                sys::give_back_free_memory();
            }
            (News::Failed { failures, why }, _) => self.tell_failure(failures, why, since),
            (News::GaveUp { failures, why, retry }, _) => {
                self.tell_failure(failures, why, since);
                self.tell_give_up(failures, retry);
            }
            (News::Undone, _) => {
                self.parts.emit(AttemptEvent::Undone { death: self.facts.attempt.death.as_ref() });
            }
            (News::Stable { forgotten }, _) => {
                self.facts.row = Row::default();
                self.parts.emit(AttemptEvent::Stable { forgotten });
            }
            (News::Overran, _) => {
                let left = self.left_running();
                self.doubt_name(true, &left);
                self.parts.emit(AttemptEvent::Overran);
            }
            (News::LeftNear, _) => {
                if let Some(left) = &self.facts.left_near {
                    self.parts.emit(Lasting::LeftNear { left });
                }
            }
            // The first record says what is followed.
            (News::Found { .. } | News::Appeared { .. } | News::Succeeded { .. }, _) => {}
            (News::Finished, _) => {
                self.facts.missing_since = None;
                self.parts.emit(Lasting::Held(&Held::new(Hold::Finished, None)));
            }
            (News::Healthy { .. } | News::Unhealthy { .. }, _) => self.tell_health(news),
            (News::Stopped { .. } | News::StopFailed { .. } | News::StopAbandoned { .. }, _) => {
                self.tell_stop(news);
            }
        }
    }

    fn tell_give_up(&mut self, failures: u32, retry: Option<Duration>) {
        let state = &self.parts.record.state;
        let was_told = self.policy.has_given_up_before() && state.told;
        let is_kept = state.said.last(Notice::StateFolder).is_none();
        let ever_seen = state.ever_seen;
        let Facts { row, suspect, .. } = &self.facts;
        self.parts.emit(GaveUp {
            failures,
            retry,
            was_told,
            is_kept,
            starts_anew: Origin::current().starts_anew(),
            row,
            suspect: suspect.as_ref().filter(|_| !ever_seen),
        });
    }

    fn tell_failure(&mut self, failures: u32, why: Failure, since: Duration) {
        if self.followed.is_none() {
            self.name_near_misses(Time::MAX);
        }
        let status = self.facts.attempt.command.as_ref().and_then(|end| end.status);
        if why == Failure::Missing && status.is_some_and(|status| status.success()) {
            let left = self.left_running();
            self.doubt_name(false, &left);
        }
        self.facts.attempt.left_in_session = self.left_in_session();
        self.facts.attempt.pid_file = self.parts.proc.doubt_pid_file(&self.parts.settings.criteria);
        let (limits, attempt) = (self.parts.settings.limits, &self.facts.attempt);
        self.parts.emit(AttemptEvent::Failed { failures, why, since, attempt });
        self.facts.row.add(failures, words::failure(why, since, attempt, &limits, Wrote::Quoted));
    }

    /// A start command that does its work, and no process of the name ever: it is the name, perhaps. That is asked
    /// once for each attempt.
    pub(super) fn doubt_name(&mut self, is_at_work: bool, left: &[Candidate]) {
        if self.parts.record.state.ever_seen
            || std::mem::replace(&mut self.facts.attempt.name_is_doubted, true)
        {
            return;
        }
        let suspect = left.iter().find(|left| left.remedy.is_some()).cloned();
        self.facts.suspect = suspect.or(self.facts.suspect.take());
        self.parts.emit(AttemptEvent::WrongName { is_at_work, left });
    }

    /// An ordinary user's process that comes while a service is down would keep it down.
    fn doubt_user(&mut self) {
        let both = self.followed.as_ref().map(Handle::info).zip(self.predecessor.as_ref());
        let Some((process, predecessor)) =
            both.filter(|(process, old)| process.signature.user != old.signature.user)
        else {
            return;
        };
        if self.left_running().iter().all(|left| left.process.pid != process.pid) {
            self.parts.emit(ProcessEvent::IsAnothers { process, predecessor });
        }
    }

    fn left_running(&self) -> Vec<Candidate> {
        let Parts { proc, settings, .. } = &self.parts;
        self.descent
            .as_ref()
            .map(|descent| proc.left_running(descent, &settings.criteria))
            .unwrap_or_default()
    }

    /// What is left of the process that died and has another name: it may be why a start fails.
    fn left_in_session(&self) -> Vec<ProcessInfo> {
        let Parts { proc, settings, .. } = &self.parts;
        let left = self.predecessor.as_ref().map(|old| proc.left_in_session(old, &settings.criteria));
        let is_told = |left: &Candidate| self.facts.attempt.left_over.contains(&left.process);
        left.unwrap_or_default().into_iter().filter(|left| !is_told(left)).map(|left| left.process).collect()
    }
}
