//! The loop: one blocking wait, one look, one action.

pub mod admission;
mod events;
mod health;
mod holds;
pub mod hooks;
mod init;
mod observe;
pub mod poll;
mod requests;
pub mod service_unit;
pub mod setup;
pub mod signals;
mod start;
pub mod start_command;
mod stop;
mod turn;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::exit::ExitCode;
use crate::hold::shutdown::Shutdown;
use crate::hold::{Held, Hold};
use crate::log::output::OutputLog;
use crate::policy::{Action, Life, Memory, Outcome, Policy, Seen};
use crate::process::descent::Descent;
use crate::process::handle::Handle;
use crate::process::oom::OutOfMemory;
use crate::process::scan::Proc;
use crate::process::termination::{Predecessor, Termination};
use crate::render::status_line;
use crate::report::event::{AttemptEvent, Look, ProcessEvent, WatchEvent};
use crate::report::log_lines::{LogLines, Worth};
use crate::report::service_manager::ServiceManager;
use crate::report::snapshot::{Live, Snapshot, Watcher};
use crate::report::words;
use crate::settings::doubts::Doubts;
use crate::settings::{Settings, Verbosity};
use crate::state::lock::Lock;
use crate::state::said::{Notice, Said};
use crate::state::store::Store;
use crate::state::{Origin, Sight};
use crate::supervise::admission::Forgets;
use crate::supervise::events::Facts;
use crate::supervise::health::Health;
use crate::supervise::holds::Calendar;
use crate::supervise::hooks::Hooks;
use crate::supervise::requests::Requests;
use crate::supervise::service_unit::Unit;
use crate::supervise::signals::Signals;
use crate::supervise::start_command::{StartCommand, StartRecord};
use crate::supervise::stop::Stops;
use crate::supervise::turn::Turn;
use crate::sys;
use crate::task::Task;
use crate::task::account::{Account, Login};
use crate::text::{plural, span};
use crate::time::{Time, by_the_clock, now};
use poll::Token;
use start::running;

/// How often it is seen to what need not be seen to at each check: what the OOM killer does, what the process calls
/// itself, and free memory, which is given back.
const CHORES: Duration = Duration::from_secs(60);
/// Every so many checks the size of the output log is tested.
const CHECKS_OF_OUTPUT: u32 = 10;
/// How long a record of a death waits for the process's parent to wait for it.
const REAP_PATIENCE: Duration = Duration::from_secs(3);

/// What a watch works with.
pub struct Parts {
    /// The settings.
    pub settings: Rc<Settings>,
    /// The settings as they are when they are read again, or what is wrong with them.
    pub reload: Reload,
    /// The lock, if it could be had.
    pub lock: Option<Lock>,
    /// What is remembered beyond this run.
    pub record: Store,
    /// Where processes are looked for.
    pub proc: Proc,
    /// The signals.
    pub signals: Signals,
    /// What start commands write to.
    pub output: OutputLog,
    /// What is said of it all.
    pub report: LogLines,
    /// The process that was followed, if it ended while nobody watched.
    pub ended_unseen: Option<Termination>,
    /// Who is told how the watch is, while it looks too.
    pub service_manager: Rc<RefCell<ServiceManager>>,
    /// Where start commands run: where this program was started, while it works in `/` itself.
    pub directory: PathBuf,
    /// Standard input was a terminal at the start, so that SIGHUP means that it is gone.
    pub has_terminal: bool,
}

/// Reads the settings again.
pub type Reload = Box<dyn Fn() -> Result<Settings, Vec<String>>>;

/// A watch.
pub struct Supervisor {
    parts: Parts,
    policy: Policy,
    followed: Option<Handle>,
    /// When it was last known to live.
    last_alive: Time,
    /// When the last look began.
    looked: Time,
    dying: Option<Dying>,
    predecessor: Option<Predecessor>,
    command: Option<StartCommand>,
    /// What comes from the last start command.
    descent: Option<Descent>,
    /// Something has happened to a child since it was last asked.
    child_changed: bool,
    refused: bool,
    /// Nothing matches, and what nearly does is to be named.
    near_misses_due: bool,
    /// How many checks there were since the size of the output log was tested.
    checks: u32,
    chores_done: Time,
    questions: Questions,
    turn: Turn,
    /// What the service manager was shown last.
    shown: Option<Snapshot>,
    /// What held it when a start was last considered.
    holds: Vec<Held>,
    calendar: Calendar,
    facts: Facts,
    health: Health,
    stops: Stops,
    requests: Requests,
    hooks: Hooks,
}

/// What is asked of others, and not waited for.
struct Questions {
    /// What the watch runs in.
    unit: Unit,
    /// What is doubtful about the start command, once that is asked.
    doubts: Option<Doubts>,
    /// Who start commands run as, once that is asked.
    login: Option<Login>,
    /// Whom `run_as` means, once that is asked.
    account: Option<Account>,
    shutdown: Shutdown,
}

impl Questions {
    /// Those that have no answer yet.
    fn tasks(&mut self) -> impl Iterator<Item = &mut Task> {
        let doubts = self.doubts.as_mut().and_then(Doubts::question);
        let login = self.login.as_mut().and_then(Login::question);
        let account = self.account.as_mut().and_then(Account::question);
        let others = doubts.into_iter().chain(login).chain(account);
        self.unit.question().into_iter().chain(self.shutdown.question()).chain(others)
    }

    /// The start command is another.
    fn withdraw_doubts(&mut self) {
        if let Some(doubts) = self.doubts.take() {
            doubts.withdraw();
        }
    }
}

/// A process that has died, and how is not known yet: nobody has waited for it.
struct Dying {
    followed: Handle,
    at: Time,
    out_of_memory: Option<OutOfMemory>,
}

impl Supervisor {
    /// A watch that begins, or goes on where the one before it stopped.
    pub fn new(mut parts: Parts, origin: Origin, forgets: Forgets) -> Self {
        let files = &parts.record.files;
        // One of a time to come is of a clock that has been set back.
        let noted = StartRecord::read(files).filter(|noted| noted.attempt <= now());
        let command = noted.and_then(|noted| StartCommand::adopt(noted, &parts.proc));
        if let Some(command) = &command {
            parts.record.command(Some(running(&parts.proc, command)));
            let since = now().saturating_sub(command.began());
            parts.emit(AttemptEvent::Adopted { pid: command.pid(), since });
        }
        let memory = match noted {
            Some(noted) => parts.record.state.memory.with_attempt(noted.attempt, command.is_some()),
            None => parts.record.state.memory,
        };
        let memory = if forgets == Forgets::All { memory.afresh() } else { memory };
        let mut facts = Facts::default();
        facts.attempt.began = match (&command, memory.last_attempt) {
            (_, Some(began)) if memory.judging => began,
            (command, _) => command.as_ref().map_or(Time::ZERO, StartCommand::began),
        };
        let mut policy =
            Policy::recall(parts.settings.limits, memory, command.as_ref().map(StartCommand::began));
        if parts.record.state.begun_by.replace(origin).is_some_and(|before| before != origin) {
            policy.begin_series();
        }
        Supervisor {
            policy,
            followed: None,
            last_alive: Time::ZERO,
            looked: Time::ZERO,
            dying: None,
            predecessor: parts.record.state.predecessor.clone(),
            descent: command.as_ref().map(|command| Descent::new(running(&parts.proc, command))),
            command,
            child_changed: true,
            refused: false,
            near_misses_due: false,
            checks: 0,
            chores_done: Time::ZERO,
            questions: Questions {
                unit: Unit::own(parts.proc.root(), parts.settings.limits.once),
                doubts: None,
                login: None,
                account: None,
                shutdown: Shutdown::default(),
            },
            turn: Turn::default(),
            shown: None,
            holds: Vec::new(),
            calendar: Calendar::default(),
            facts,
            health: Health::default(),
            stops: Stops::recall(memory.stopping, &parts.record.state.noted),
            requests: Requests::default(),
            hooks: Hooks::default(),
            parts,
        }
    }

    /// Watches, until a signal or the policy ends it.
    pub fn run(mut self: Box<Self>) -> ExitCode {
        if !self.parts.settings.limits.once {
            // So that no probe has to wait for it.
            self.account();
        }
        // One that was made just before.
        let mut seen = self.request().unwrap_or(Seen::Nothing);
        loop {
            // What is lost from here on is noticed in the next turn, so nothing may be decided by a later time.
            let now = self.turn.begin(Duration::ZERO);
            if let Some(lost) = self.turn.take_lost() {
                self.policy.lose(lost);
                self.extend_stop_command();
                // What it saw may be so no longer. The second look may take as long as it does.
                if matches!(seen, Seen::Running { .. } | Seen::Missing | Seen::LeftNear | Seen::Unknown) {
                    seen = self.look();
                }
            }
            // A verdict needs a look that began when it was due: one before that looks for less.
            let now = if seen == Seen::Missing { now.min(self.looked) } else { now };
            let may = self.may(seen);
            let decision = self.policy.decide(now, seen, may);
            if let Some(news) = decision.news {
                self.tell(news);
            }
            if let Some(answer) = decision.answer {
                self.answer(answer);
            }
            let next = match decision.action {
                Action::Wait(until) => self.wait(until),
                Action::Look => self.look_up_user().map(|()| {
                    self.read_keywords();
                    self.test_output_if_due();
                    self.heed_calendar();
                    self.look()
                }),
                Action::Start { attempt } => Ok(self.start(attempt)),
                Action::StopCommand => Ok(self.with_command(StartCommand::terminate)),
                Action::KillCommand => Ok(self.with_command(StartCommand::kill)),
                Action::Probe(process) => Ok(self.probe(process)),
                Action::EndProbe => Ok(self.end_probe()),
                Action::Evidence(process) => Ok(self.gather_evidence(process)),
                Action::StopBy(process, by) => Ok(self.stop_by(process, by)),
                Action::Kill(process) => Ok(self.kill_process(process)),
                Action::EndLeft { kill } => Ok(self.end_left(kill)),
                Action::End(outcome) => return self.end(outcome),
            };
            match next {
                Ok(next) => seen = next,
                Err(exit) => {
                    self.finish(Worth::All, false);
                    return exit;
                }
            }
        }
    }

    /// Waits until something happens that is to be decided about, or it is `until`.
    ///
    /// # Errors
    /// A signal ends the watch.
    fn wait(&mut self, until: Time) -> Result<Seen, ExitCode> {
        self.write_down();
        // Which takes a while, on a machine with thousands.
        if self.name_near_misses_if_due() {
            self.write_down();
        }
        loop {
            self.tend_hook();
            self.doubt_unit();
            self.doubt_start_command();
            self.hear_of_users();
            self.questions.shutdown.hear();
            // Children first: what is waited for here may be what is followed.
            let ended = self.command_ended().or_else(|| self.how_it_died()).or_else(|| self.probe_ended());
            if let Some(seen) = ended.or_else(|| self.stage_ended()) {
                return Ok(seen);
            }
            let patience = self.dying.as_ref().map_or(until, |dying| dying.at + REAP_PATIENCE);
            let ready = self.poll(until.min(patience));
            // What has its time is given more of it, before it is over.
            if self.turn.has_lost() {
                return Ok(Seen::Nothing);
            }
            if ready.contains(&Token::Signals) {
                if let Some(seen) = self.heed_signals()? {
                    return Ok(seen);
                }
            }
            if let Some(followed) = self.followed.take_if(|_| ready.contains(&Token::Process)) {
                return Ok(self.died(followed));
            }
            let now = now();
            if now >= until {
                if now >= self.chores_done + CHORES {
                    self.chores_done = now;
                    self.refresh_signature();
                    self.note_life();
                    self.look_after_files();
                    self.parts.record.look_after_counters();
                    sys::give_back_free_memory();
                }
                // Where there are no pidfds, nobody can be sure to wake this watch and no other process.
                let is_deaf = self.followed.as_ref().is_none_or(|followed| followed.pidfd().is_none());
                let request = if is_deaf { self.request() } else { None };
                return Ok(request.unwrap_or(Seen::Nothing));
            }
        }
    }

    /// Says and writes down what has changed.
    fn write_down(&mut self) {
        let memory = self.policy.memory();
        // The state is that of who has the lock.
        if self.parts.record.has_news(memory) && self.is_alone() {
            let kept = self.parts.record.write();
            self.parts.tell_kept(kept);
        }
        let Parts { record, report, service_manager, .. } = &mut self.parts;
        report.flush(Worth::All);
        let mut service_manager = service_manager.borrow_mut();
        if service_manager.listens() {
            let snapshot = snapshot(record, &self.holds, true);
            if !self.shown.as_ref().is_some_and(|shown| shown.is_like(&snapshot)) {
                service_manager.show(&status_line::line(&snapshot, by_the_clock));
                self.shown = Some(snapshot);
            }
        }
    }

    fn test_output_if_due(&mut self) {
        self.checks = (self.checks + 1) % CHECKS_OF_OUTPUT;
        if self.checks == 0 {
            self.keep_output_to_limit();
        }
    }

    fn heed_signals(&mut self) -> Result<Option<Seen>, ExitCode> {
        let mut seen = None;
        for signal in self.parts.signals.pending() {
            match signal {
                libc::SIGCHLD => {
                    self.child_changed = true;
                    self.reap();
                }
                libc::SIGTERM | libc::SIGINT => return Err(self.end_by(signal)),
                libc::SIGHUP if self.parts.has_terminal => return Err(self.end_by(signal)),
                libc::SIGHUP => {
                    self.reload();
                    seen = Some(Seen::Nothing);
                }
                libc::SIGUSR1 => {
                    seen = self.request();
                    if seen.is_some() {
                        continue;
                    }
                    seen = Some(self.look());
                    self.refresh_signature();
                    self.look_after_files();
                    let is_unknown = self.parts.record.state.sight == Sight::Unknown;
                    self.parts.emit(WatchEvent::Checked(match self.followed.as_ref().map(Handle::info) {
                        Some(process) => {
                            Look::Running { process, others: 0, ran: now().saturating_sub(process.started) }
                        }
                        None if is_unknown => Look::Unknown,
                        None => Look::Missing,
                    }));
                }
                _ => {}
            }
        }
        Ok(seen)
    }

    /// Reads the configuration again. The logs need nothing: each record finds out by itself whether its
    /// file is still the one that is open.
    fn reload(&mut self) {
        self.parts.service_manager.borrow_mut().reloading();
        // The start command may have become the process, which is to be left to itself.
        let watched = Rc::clone(&self.parts.settings);
        let is_other = |settings: &Settings| !settings.criteria.are_as(&watched.criteria);
        let settings = match (self.parts.reload)() {
            Ok(settings) if settings.name != self.parts.settings.name => {
                let name = &self.parts.settings.name;
                Err(vec![format!(
                    "name cannot change while it runs: it is '{name}', the file says '{}'",
                    settings.name
                )])
            }
            Ok(settings) if self.command.is_some() && is_other(&settings) => Err(vec![
                "cannot look for another process while a start command runs; restart this watchdog"
                    .to_owned(),
            ]),
            Ok(settings) if settings.limits.once => Err(vec!["once cannot be set while it runs".to_owned()]),
            // Its files stay where they are until it ends.
            settings => settings.map(|new| Settings { dirs: watched.dirs.clone(), ..new }),
        };
        match settings {
            Ok(settings) => {
                let settings = Rc::new(settings);
                self.policy.limit(settings.limits);
                if settings.probe != self.parts.settings.probe {
                    self.health.is_void = true;
                    self.policy.begin_other_probe(now());
                }
                if is_other(&settings) {
                    // What has died is the old one's history.
                    self.bury();
                    if let Some(followed) = &self.followed {
                        self.parts.emit(ProcessEvent::LetGo(followed.info()));
                    }
                    self.let_go();
                    self.hooks.owed.forget();
                    self.policy.begin_anew();
                    self.parts.record.state.said = Said::default();
                    self.facts = Facts { has_looked: self.facts.has_looked, ..Facts::default() };
                }
                self.parts.record.use_settings(&settings);
                if let Some(lock) = &mut self.parts.lock {
                    lock.note(&self.parts.record.files, &settings.fingerprint());
                }
                self.parts.emit(WatchEvent::Reloaded(&settings));
                self.parts.settings = settings;
                self.parts.doubt_settings();
                self.questions.withdraw_doubts();
            }
            Err(wrong) => self.parts.emit(WatchEvent::ReloadRefused(&wrong)),
        }
        self.parts.service_manager.borrow_mut().ready();
    }

    /// Asks anew for a user that was not known, as early in a boot.
    fn look_up_user(&mut self) -> Result<(), ExitCode> {
        if self.parts.settings.criteria.unknown_user.is_none() {
            return Ok(());
        }
        match (self.parts.reload)() {
            Ok(settings) if settings.criteria.unknown_user.is_none() => {
                self.parts.record.use_settings(&settings);
                self.parts.settings = Rc::new(settings);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(wrong) => {
                self.parts.emit(WatchEvent::CannotTell { why: &wrong.join("; ") });
                Err(ExitCode::Usage)
            }
        }
    }

    fn end(mut self: Box<Self>, outcome: Outcome) -> ExitCode {
        self.bury();
        self.name_near_misses_if_due();
        self.wait_for_doubt();
        let is_alone = self.is_alone();
        let Supervisor { parts, policy, facts, followed, holds, stops, .. } = &mut *self;
        let mut worth = Worth::All;
        let exit = match outcome {
            Outcome::Running { started } => {
                // What it found running, each run would tell anew if the state cannot be written.
                let is_told_again =
                    |record: &mut Store| facts.missing_since.is_none() && is_alone && record.write().is_err();
                match followed.as_ref().map(Handle::info) {
                    _ if (started || parts.record.state.told) && is_told_again(&mut parts.record) => {
                        worth = Worth::Warnings;
                    }
                    Some(process) if parts.record.state.told => parts.emit(AttemptEvent::Recovered(process)),
                    Some(process) if started => {
                        let took =
                            facts.missing_since.map_or(Duration::ZERO, |since| now().saturating_sub(since));
                        let (ended, stopped) = (parts.ended_unseen.take(), stops.why);
                        parts.emit(AttemptEvent::Restarted { process, ended, stopped, took });
                    }
                    _ if started => {}
                    _ => worth = Worth::Warnings,
                }
                ExitCode::Success
            }
            Outcome::GaveUp => ExitCode::GaveUp,
            // That is its outcome, and has been told.
            Outcome::Unknown if parts.record.state.left_near.is_some() => ExitCode::CannotTell,
            Outcome::Unknown => {
                if facts.is_unknown_news {
                    let why = parts.record.state.said.last(Notice::Unknown).unwrap_or_default().to_owned();
                    parts.emit(WatchEvent::CannotTell { why: &why });
                } else {
                    worth = Worth::AllOfAWarning;
                }
                ExitCode::CannotTell
            }
            Outcome::LeftAlone => {
                worth = if facts.is_held_news { Worth::All } else { Worth::AllOfAWarning };
                let finished = Held::new(Hold::Finished, None);
                let finished = Some(&finished).filter(|_| policy.memory().life == Life::Finished);
                explain_to_terminal(&parts.settings, &policy.memory(), finished.or(Held::longest(holds)));
                ExitCode::LeftAlone
            }
        };
        self.finish(worth, true);
        exit
    }

    /// The last thing of a watch; if it `waits`, but for the hook.
    fn finish(mut self: Box<Self>, worth: Worth, waits: bool) {
        self.end_probe();
        self.questions.shutdown.question().into_iter().for_each(Task::kill);
        let is_alone = self.is_alone();
        if is_alone {
            self.keep_output_to_limit();
        }
        let memory = self.policy.memory();
        let Parts { record, service_manager, .. } = &mut self.parts;
        let mut service_manager = service_manager.borrow_mut();
        if service_manager.listens() {
            service_manager.stopping(&status_line::line(&snapshot(record, &self.holds, false), by_the_clock));
        }
        drop(service_manager);
        if is_alone {
            let kept = record.end(memory);
            self.parts.tell_kept(kept);
        }
        self.parts.report.flush(worth);
        if !waits {
            self.leave_hook();
        }
        if let Some(lock) = self.parts.lock.take() {
            lock.release();
        }
        if waits {
            self.tell_the_rest();
        }
    }

    fn end_by(&mut self, signal: i32) -> ExitCode {
        // The last time to say how the process died.
        self.how_it_died();
        self.bury();
        if std::process::id() == 1 {
            let outlasted = self.end_all(signal);
            self.parts.emit(WatchEvent::EndedWithAll { signal, outlasted });
            // Nobody outlives process 1, and none of that is a failure (rule 34).
            self.let_go();
            self.policy.begin_anew();
        } else {
            let followed = self.followed.as_ref().map(Handle::info);
            let command = self.command.as_ref().map(StartCommand::pid);
            let command = command.filter(|pid| followed.is_none_or(|followed| followed.pid != *pid));
            self.parts.emit(WatchEvent::Ended { signal, followed, command });
        }
        if signal == libc::SIGTERM && !self.parts.settings.limits.once {
            ExitCode::Success
        } else {
            ExitCode::Signal(signal)
        }
    }
}

/// This instance, as the service manager is to see it.
fn snapshot(record: &Store, holds: &[Held], goes_on: bool) -> Snapshot {
    let state = &record.state;
    let live = Live {
        process: Ok(state.process.is_some() && state.sight == Sight::Running),
        watcher: if goes_on { Watcher::At(sys::own_pid()) } else { Watcher::Nobody },
        command: state.command.is_some(),
        age: None,
    };
    // Of the others the state has the one that matters.
    let people: Vec<_> = holds.iter().filter(|held| held.hold.is_of_people()).cloned().collect();
    Snapshot::new(state.clone(), record.files.folder.clone(), &live, now()).with(&people)
}

/// To somebody who wonders why nothing happens.
fn explain_to_terminal(settings: &Settings, memory: &Memory, held: Option<&Held>) {
    if !crate::log::is_terminal() {
        return;
    }
    let resume = settings.order("resume");
    let rest = match (memory.gave_up_until, held) {
        (Some(until), _) => format!(
            "; gave up after {} {}, trying again in {}; to try now: {resume}",
            memory.failures,
            plural(memory.failures, "failure"),
            span(until.saturating_sub(now())),
        ),
        (None, Some(Held { hold: Hold::Paused | Hold::Upgrading, .. })) => {
            format!(", and paused; to end the pause: {resume}")
        }
        (None, Some(held @ Held { hold: Hold::Stopped | Hold::Finished, .. })) => {
            format!("; {}; to start it: {}", words::held(held), settings.order("start"))
        }
        (None, Some(held)) => format!("; {}", words::held_until(held)),
        (None, None) => "; the watchdog that holds its lock takes care of it".to_owned(),
    };
    let text = format!("watchdog: {} is not running{rest}\n", settings.name);
    crate::log::Stderr::new(Verbosity::Warnings).write_text(&text);
}
