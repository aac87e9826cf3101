//! The loop: one blocking wait, one look, one action.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::command::{StartCommand, is_shortage};
use crate::exit::Exit;
use crate::instance::Lock;
use crate::output::OutputLog;
use crate::policy::{Action, Memory, News, Outcome, Policy, Seen, Time};
use crate::process::death::{Death, Gone, Told};
use crate::process::follow::{Check, Followed, OpenPidfd};
use crate::process::scan::{Proc, Unknown};
use crate::process::{Pid, now};
use crate::record::Record;
use crate::report::Report;
use crate::settings::Settings;
use crate::signals::Signals;
use crate::state::{Running, Sight};

/// How often the size of the output log is looked at while watching.
const OUTPUT_CHECK: Duration = Duration::from_secs(60);
/// How long a record of a death waits for the process's parent to wait for it.
const REAP_PATIENCE: Duration = Duration::from_secs(3);
/// How long process 1 waits for what it watches before it ends and takes all with it.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// What a watch works with.
pub struct Parts {
    /// The settings.
    pub settings: Rc<Settings>,
    /// The settings as they are when they are read again, or what is wrong with them.
    pub reload: Reload,
    /// The lock, if it could be had.
    pub lock: Option<Lock>,
    /// What is remembered beyond this run.
    pub record: Record,
    /// Where processes are looked for.
    pub proc: Proc,
    /// How a pidfd is opened.
    pub open_pidfd: OpenPidfd,
    /// The signals.
    pub signals: Signals,
    /// What start commands write to.
    pub output: OutputLog,
    /// What is said of it all.
    pub report: Report,
    /// Standard input was a terminal at the start, so that SIGHUP means that it is gone.
    pub has_terminal: bool,
}

/// Reads the settings again.
pub type Reload = Box<dyn Fn() -> Result<Settings, Vec<String>>>;

/// A watch.
pub struct Watch {
    parts: Parts,
    policy: Policy,
    followed: Option<Followed>,
    /// When it was last known to live.
    last_alive: Time,
    /// Died, and nobody has waited for it yet.
    dying: Option<(Followed, Time)>,
    gone: Option<Gone>,
    command: Option<StartCommand>,
    /// The session of the last start command.
    session: Pid,
    /// Something has happened to a child since it was last asked.
    child_changed: bool,
    refused: bool,
    output_checked: Time,
}

/// What ended a wait.
enum Woken {
    By(Seen),
    ToEnd(Exit),
}

impl Watch {
    /// A watch that begins, or goes on where the one before it stopped.
    #[must_use]
    pub fn new(mut parts: Parts) -> Self {
        let files = parts.record.files();
        let command = StartCommand::adopt(&files.start_note(), files.boot_id(), &parts.proc);
        if let Some(command) = &command {
            parts.report.adopted(command.pid(), command.began(), now());
        }
        let memory = parts.record.memory();
        Watch {
            policy: Policy::recall(parts.settings.limits, memory, command.as_ref().map(StartCommand::began)),
            followed: None,
            last_alive: Time::ZERO,
            dying: None,
            gone: parts.record.gone(),
            session: command.as_ref().map_or(0, StartCommand::pid),
            command,
            child_changed: true,
            refused: false,
            output_checked: Time::ZERO,
            parts,
        }
    }

    /// Watches, until a signal or the policy ends it.
    pub fn run(mut self) -> Exit {
        let mut seen = Seen::Nothing;
        loop {
            let may_start = seen != Seen::Missing || self.may_start();
            let decision = self.policy.decide(now(), seen, may_start);
            if let Some(news) = decision.news {
                self.tell(news);
            }
            seen = match decision.action {
                Action::Wait(until) => match self.wait(until) {
                    Woken::By(seen) => seen,
                    Woken::ToEnd(exit) => {
                        self.finish();
                        return exit;
                    }
                },
                Action::Look => self.look(),
                Action::Start { attempt } => self.start(attempt),
                Action::StopCommand => self.with_command(StartCommand::stop),
                Action::KillCommand => self.with_command(StartCommand::kill),
                Action::End(outcome) => return self.end(outcome),
            };
        }
    }

    /// Whether anybody wants the process left alone: asked immediately before each start.
    fn may_start(&mut self) -> bool {
        let now = now();
        let (may_start, resumed) = self.parts.record.may_start(now, &mut self.parts.report);
        if resumed.is_some() {
            self.parts.report.resumed();
            self.policy.forget(now);
        }
        may_start
    }

    /// Looks at the process that is followed, or for one to follow.
    fn look(&mut self) -> Seen {
        let seen = match self.followed.take() {
            Some(followed) => self.look_at(followed),
            None => self.look_for(),
        };
        seen.unwrap_or_else(|unknown| {
            self.parts.report.unknown(&unknown);
            self.parts.record.sees(Sight::Unknown, None, now());
            Seen::Unknown
        })
    }

    fn look_at(&mut self, mut followed: Followed) -> Result<Seen, Unknown> {
        let started = followed.seen().started;
        let check = followed.check(&self.parts.settings.criteria);
        let seen = match check {
            Ok(Check::Alive { stopped }) => {
                self.parts.report.stopped(stopped, followed.seen());
                self.last_alive = now();
                Seen::Running { started }
            }
            Ok(Check::Dead) => return Ok(self.died(followed)),
            Ok(Check::Changed) => {
                self.parts.report.changed(followed.seen());
                self.lose(gone(&followed, now()));
                return Ok(Seen::Missing);
            }
            Err(unknown) => {
                self.followed = Some(followed);
                return Err(unknown);
            }
        };
        self.parts.report.known();
        self.parts.record.sees(Sight::Running, Some(followed.seen()), self.last_alive);
        self.followed = Some(followed);
        Ok(seen)
    }

    fn look_for(&mut self) -> Result<Seen, Unknown> {
        let criteria = &self.parts.settings.criteria;
        let matches = self.parts.proc.find(criteria, self.gone.as_ref())?;
        self.parts.report.known();
        self.parts.report.several(&matches.counting);
        let others = matches.counting.len().saturating_sub(1);
        for seen in matches.counting {
            if let Some(followed) = Followed::hold(&self.parts.proc, seen, criteria, self.parts.open_pidfd)? {
                self.last_alive = now();
                self.parts.report.following(followed.seen(), self.last_alive, others);
                self.parts.record.sees(Sight::Running, Some(followed.seen()), self.last_alive);
                let started = followed.seen().started;
                if !self.parts.settings.limits.once && self.parts.record.was_told() {
                    self.parts.report.recovered(followed.seen());
                    self.parts.record.told(false);
                }
                self.followed = Some(followed);
                return Ok(Seen::Running { started });
            }
        }
        self.parts.report.left_over(matches.left_over);
        self.parts.record.sees(Sight::Missing, None, now());
        if self.parts.report.missing(now()) {
            self.name_near_misses();
        }
        Ok(Seen::Missing)
    }

    /// What nearly matches is what was meant, perhaps.
    fn name_near_misses(&mut self) {
        if let Ok(judged) = self.parts.proc.survey(&self.parts.settings.criteria) {
            self.parts.report.near(&judged);
        }
    }

    /// The followed process is dead. How it died may be known only when its parent has waited for it.
    fn died(&mut self, followed: Followed) -> Seen {
        let at = now();
        let started = followed.seen().started;
        // Without a pidfd it may have died at any time since the last check.
        let since = if followed.pidfd().is_some() { at } else { self.last_alive };
        self.lose(gone(&followed, since));
        self.bury();
        self.dying = Some((followed, at));
        Seen::Died { at, started }
    }

    fn lose(&mut self, gone: Gone) {
        self.parts.record.lost(&gone);
        self.gone = Some(gone);
    }

    /// How the process that died last did, if that is known by now.
    fn how_it_died(&mut self) -> Option<Seen> {
        let (followed, at) = self.dying.as_mut()?;
        let Told::Now(death) = followed.how() else {
            if now() >= *at + REAP_PATIENCE {
                self.bury();
            }
            return None;
        };
        Some(self.explain(death))
    }

    fn explain(&mut self, death: Death) -> Seen {
        let ending = death.ending();
        if let Some((followed, at)) = self.dying.take() {
            let seen = followed.seen();
            let ran = at.saturating_sub(seen.started);
            let is_launcher = self.policy.may_be_launcher(ending, ran);
            // What a launcher leaves has started since the launcher did.
            if let Some(gone) = self.gone.as_mut().filter(|gone| is_launcher && gone.pid == seen.pid) {
                gone.since = seen.started;
                self.parts.record.lost(gone);
            }
            self.parts.report.died(seen, at, death, self.policy.delay_after(ending, ran));
        }
        Seen::Ended(ending)
    }

    /// Gives up on knowing how the process that died last did.
    fn bury(&mut self) {
        if self.dying.is_some() {
            self.explain(Death(None));
        }
    }

    fn start(&mut self, attempt: u32) -> Seen {
        let began = now();
        self.keep_output_to_limit();
        let output = self.parts.output.open();
        if let Err(error) = &output {
            let path = self.parts.output.path().display();
            let text = format!(
                "the output log {path} cannot be written ({error}); what the start command writes is lost"
            );
            self.parts.report.trouble("output-open", &text);
        }
        let note = self.parts.record.files().new_start_note();
        if let Err(error) = &note {
            self.parts.report.no_state(self.parts.record.files().folder(), error);
        }
        match StartCommand::run(&self.parts.settings.criteria.start_command, output.ok(), note.ok(), began) {
            Ok(command) => {
                self.refused = false;
                self.session = command.pid();
                self.parts.record.command(Some(Running { pid: command.pid(), started_ms: began }));
                self.command = Some(command);
                self.parts.report.started(attempt, began);
                Seen::Started
            }
            Err(error) if is_shortage(&error) => {
                if !std::mem::replace(&mut self.refused, true) {
                    self.parts.report.not_started(&error, true);
                }
                Seen::CommandRefused
            }
            Err(error) => {
                self.parts.report.started(attempt, began);
                self.parts.report.not_started(&error, false);
                Seen::CommandEnded
            }
        }
    }

    fn with_command(&mut self, act: fn(&mut StartCommand)) -> Seen {
        match &mut self.command {
            Some(command) => {
                act(command);
                self.child_changed = true;
                Seen::Nothing
            }
            None => Seen::CommandEnded,
        }
    }

    /// Whether the start command has ended.
    fn command_ended(&mut self) -> Option<Seen> {
        // Nobody tells when one ends that is no child.
        let is_adopted = self.command.as_ref().is_some_and(StartCommand::is_adopted);
        if !std::mem::take(&mut self.child_changed) && !is_adopted {
            return None;
        }
        let end = self.command.as_mut()?.end(now(), Some(&self.parts.output))?;
        // What stayed with its shell, or in its place, has a record of its own.
        let pid = self.command.take().map_or(0, |command| command.pid());
        let is_process = [self.followed.as_ref(), self.dying.as_ref().map(|(dying, _)| dying)]
            .into_iter()
            .flatten()
            .any(|process| process.seen().pid == pid);
        self.parts.record.command(None);
        self.parts.report.command_ended(end, is_process);
        Some(Seen::CommandEnded)
    }

    /// The one place where the program waits: until something happens, or it is `until`.
    fn wait(&mut self, until: Time) -> Woken {
        self.keep();
        loop {
            // Children first: what is waited for here may be what is followed.
            if let Some(seen) = self.command_ended().or_else(|| self.how_it_died()) {
                return Woken::By(seen);
            }
            let patience = self.dying.as_ref().map_or(until, |(_, at)| *at + REAP_PATIENCE);
            let (signalled, dead) = self.block(until.min(patience).saturating_sub(now()));
            if signalled && let Some(woken) = self.heed_signals() {
                return woken;
            }
            if dead && let Some(followed) = self.followed.take() {
                return Woken::By(self.died(followed));
            }
            let now = now();
            if now >= until {
                if now >= self.output_checked + OUTPUT_CHECK {
                    self.keep_output_to_limit();
                }
                return Woken::By(Seen::Nothing);
            }
        }
    }

    /// Says and writes down what has changed.
    fn keep(&mut self) {
        self.parts.record.keep(self.policy.memory(), &mut self.parts.report);
        self.parts.report.flush();
    }

    /// Whether there are signals, and whether the followed process is dead, once either is or the time
    /// is up.
    fn block(&self, time: Duration) -> (bool, bool) {
        let signals = self.parts.signals.descriptor();
        let dying = self.dying.as_ref().and_then(|(followed, _)| followed.pidfd());
        let followed = self.followed.as_ref().and_then(Followed::pidfd);
        let adopted = self.command.as_ref().and_then(StartCommand::pidfd);
        // A dead process's pidfd is readable at once, and hangs up when it has been waited for. Polling
        // the signals in place of what is not there costs nothing.
        let mut fds = [
            PollFd::from_borrowed_fd(signals, PollFlags::IN),
            PollFd::from_borrowed_fd(followed.unwrap_or(signals), PollFlags::IN),
            PollFd::from_borrowed_fd(dying.unwrap_or(signals), PollFlags::empty()),
            PollFd::from_borrowed_fd(adopted.unwrap_or(signals), PollFlags::IN),
        ];
        let time = Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        if let Err(error) = poll(&mut fds, Some(&time))
            && io::Error::from(error).kind() != io::ErrorKind::Interrupted
        {
            // Without memory to wait with, go on by the interval.
            std::thread::sleep(Duration::from_millis(100));
        }
        (!fds[0].revents().is_empty(), followed.is_some() && !fds[1].revents().is_empty())
    }

    fn heed_signals(&mut self) -> Option<Woken> {
        let mut woken = None;
        for signal in self.parts.signals.pending() {
            match signal {
                libc::SIGCHLD => {
                    self.child_changed = true;
                    self.reap_orphans();
                }
                libc::SIGTERM | libc::SIGINT => return Some(Woken::ToEnd(self.end_by(signal))),
                libc::SIGHUP if self.parts.has_terminal => return Some(Woken::ToEnd(self.end_by(signal))),
                libc::SIGHUP => woken = Some(self.reload()),
                libc::SIGUSR1 => {
                    let seen = self.look();
                    self.parts.report.checked(self.followed.as_ref().map(Followed::seen), now());
                    woken = Some(Woken::By(seen));
                }
                _ => {}
            }
        }
        woken
    }

    /// Reads the configuration again. The logs need nothing: each record finds out by itself whether its
    /// file is still the one that is open.
    fn reload(&mut self) -> Woken {
        let settings = match (self.parts.reload)() {
            Ok(settings) if settings.name != self.parts.settings.name => {
                let name = &self.parts.settings.name;
                Err(vec![format!(
                    "the name of a running watchdog stays; it is '{name}', and would be '{}'",
                    settings.name
                )])
            }
            Ok(settings) if settings.limits.once => Err(vec!["--once is for another watchdog".to_owned()]),
            settings => settings,
        };
        match settings {
            Ok(settings) => {
                let settings = Rc::new(settings);
                self.policy.limit(settings.limits);
                self.parts.record.use_settings(&settings);
                self.parts.report.use_settings(Rc::clone(&settings));
                if let Some(lock) = &mut self.parts.lock {
                    lock.note(&settings.fingerprint());
                }
                self.parts.settings = settings;
                self.parts.report.reloaded(&[]);
            }
            Err(wrong) => self.parts.report.reloaded(&wrong),
        }
        Woken::By(Seen::Nothing)
    }

    /// As process 1: waits for whatever falls to it, but for the start command, which is waited for by
    /// itself.
    fn reap_orphans(&mut self) {
        if std::process::id() != 1 {
            return;
        }
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while let Ok(status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) = waitid(Id::All, look) {
            let Some(pid) = status.pid() else { return };
            if self.command.as_ref().is_some_and(|command| command.pid() == pid.as_raw()) {
                return;
            }
            if waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG).is_err() {
                return;
            }
        }
    }

    fn keep_output_to_limit(&mut self) {
        self.output_checked = now();
        if let Err(error) = self.parts.output.keep_to_limit() {
            let path = self.parts.output.path().display();
            let text = format!("the output log {path} could not be kept to its limit: {error}");
            self.parts.report.trouble("output", &text);
        }
    }

    fn tell(&mut self, news: News) {
        let now = now();
        if matches!(news, News::Failed { .. } | News::GaveUp { .. } | News::Overran)
            && self.followed.is_none()
        {
            let left = self.parts.proc.started_since(self.parts.report.attempt_began(), self.session);
            self.parts.report.left_running(left);
        }
        if matches!(news, News::Failed { .. } | News::GaveUp { .. }) && self.followed.is_none() {
            self.name_near_misses();
        }
        let report = &mut self.parts.report;
        let followed = self.followed.as_ref().map(Followed::seen);
        match (news, followed) {
            (News::Found { by_itself: true }, Some(seen)) => {
                report.found(seen, self.gone.as_ref(), now);
            }
            (News::Appeared { after }, Some(seen)) => report.appeared(seen, after),
            (News::Succeeded { attempt }, Some(seen)) => {
                report.succeeded(attempt, seen, now);
                self.parts.record.restarted();
            }
            (News::Failed { failures, why }, _) => report.failed(failures, why, now),
            (News::GaveUp { failures, why, retry }, _) => {
                report.failed(failures, why, now);
                report.gave_up(failures, retry, self.parts.record.was_told());
                self.parts.record.told(true);
            }
            (News::Undone, _) => report.undone(),
            (News::Stable { forgotten }, _) => report.stable(forgotten),
            (News::Overran, _) => report.overran(),
            // The first record says what is followed.
            _ => {}
        }
    }

    fn end(mut self, outcome: Outcome) -> Exit {
        self.bury();
        let Parts { report, record, settings, .. } = &mut self.parts;
        let followed = self.followed.as_ref().map(Followed::seen);
        let exit = match outcome {
            Outcome::Running { started } => {
                match followed {
                    Some(seen) if record.was_told() => {
                        report.recovered(seen);
                        record.told(false);
                    }
                    _ if started => report.outcome(outcome, followed, now()),
                    _ => report.stay_silent(),
                }
                Exit::Success
            }
            Outcome::GaveUp => Exit::GaveUp,
            Outcome::Unknown => {
                report.outcome(outcome, followed, now());
                Exit::CannotTell
            }
            Outcome::LeftAlone => {
                report.say_only_warnings();
                explain_to_terminal(settings, self.policy.memory());
                Exit::LeftAlone
            }
        };
        self.finish();
        exit
    }

    /// The last thing of a watch.
    fn finish(self) {
        let Parts { mut report, record, lock, .. } = self.parts;
        record.end(self.policy.memory(), &mut report);
        report.flush();
        if let Some(lock) = lock {
            lock.release();
        }
    }

    fn end_by(&mut self, signal: i32) -> Exit {
        if std::process::id() == 1 {
            let in_time = self.end_all(signal);
            self.parts.report.ended_all(signal, in_time);
        } else {
            self.parts.report.ended_by(signal, self.followed.as_ref().map(Followed::seen));
        }
        if signal == libc::SIGTERM && !self.parts.settings.limits.once {
            Exit::Success
        } else {
            Exit::Signal(signal)
        }
    }

    /// As process 1: passes a signal on, and waits for what it was meant for.
    fn end_all(&mut self, signal: i32) -> bool {
        let deadline = now() + LAST_WAIT;
        if let Ok(signal) = Signal::try_from(signal) {
            if let Some(followed) = &self.followed {
                followed.signal(signal);
            }
            if let Some(command) = &self.command {
                command.signal(signal);
            }
        }
        while now() < deadline {
            self.child_changed = true;
            self.command_ended();
            self.reap_orphans();
            if self.followed.is_none() && self.command.is_none() {
                return true;
            }
            let (signalled, dead) = self.block(deadline.saturating_sub(now()).min(Duration::from_secs(1)));
            if signalled {
                self.parts.signals.pending().for_each(drop);
            }
            let criteria = &self.parts.settings.criteria;
            let is_dead = |followed: &mut Followed| matches!(followed.check(criteria), Ok(Check::Dead));
            if dead || self.followed.as_mut().is_some_and(is_dead) {
                self.followed = None;
            }
        }
        false
    }
}

/// To somebody who wonders why nothing happens.
fn explain_to_terminal(settings: &Settings, memory: Memory) {
    if !crate::log::is_terminal() {
        return;
    }
    let name = &settings.name;
    let text = match memory.gave_up_until {
        Some(until) => format!(
            "watchdog: {name} is not running, and was given up after {} failures; the next try is in {}; to try now: \
             watchdog resume {name}\n",
            memory.failures,
            crate::report::span(until.saturating_sub(now())),
        ),
        None => format!("watchdog: {name} is not running, and paused; to end that: watchdog resume {name}\n"),
    };
    crate::log::Stderr::new(crate::log::Verbosity::Warnings).write_text(&text);
}

/// What is needed of a process that is gone, to know what takes its place.
fn gone(followed: &Followed, since: Time) -> Gone {
    let seen = followed.seen();
    Gone { pid: seen.pid, since, kind: seen.kind.clone() }
}
