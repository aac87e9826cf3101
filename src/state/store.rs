//! Keeps the state file true: what the instance sees and remembers, written when that changes.

use crate::hold::pause::Leave;
use crate::policy::Memory;
use crate::process::oom::OomKills;
use crate::process::scan::Proc;
use crate::process::termination::{Exit, Predecessor, Termination};
use crate::process::{ProcessId, ProcessInfo};
use crate::report::Report;
use crate::settings::Settings;
use crate::state::history::{Deaths, LastExit, LastStart, Tally};
use crate::state::{Files, Sight, State, StoredPredecessor, StoredProcess, Unread, VERSION};
use crate::task::CommandEnd;
use crate::time::{Time, millis};

/// The state of an instance, on its way to the file.
#[derive(Debug)]
pub struct Store {
    files: Files,
    state: State,
    /// What the file says, as far as that is known.
    written: Option<State>,
    /// The state may be another than what the file says.
    is_changed: bool,
    /// What people wanted when they were last asked.
    leave: Leave,
    /// What was remembered before the end of what may have been a daemon's launcher.
    before_launcher: Option<(Option<LastExit>, Deaths)>,
}

impl Store {
    /// The state as the watchdog before this one left it, if it is of this boot and of these settings;
    /// of a process that has ended since, what it was.
    pub fn recall(files: Files, settings: &Settings, proc: &Proc, report: &mut Report) -> Self {
        let written = files.state_of_this_boot().unwrap_or_else(|unread| {
            let (why, aside) = match unread {
                Unread::Foreign(why) => {
                    let aside = files.set_state_aside().map(|path| format!("it is now {}", path.display()));
                    let aside = aside.unwrap_or_else(|error| error.to_string());
                    (format!("could not be used ({why})"), format!("; {aside}"))
                }
                Unread::None => return None,
                Unread::Failed(error) => (format!("cannot be read ({error})"), String::new()),
            };
            report.trouble("state", &format!("the state file {why}, and is begun anew{aside}"));
            None
        });
        let (state, ended) = next(written.clone(), &files, settings, proc);
        if let Some((end, deaths)) = ended {
            report.ended_unseen(&end, deaths);
        }
        report.recall(state.said.clone());
        Store {
            files,
            state,
            written,
            is_changed: true,
            leave: Leave::Given { resumed: None },
            before_launcher: None,
        }
    }

    /// What the policy is to go on with.
    pub fn memory(&self) -> Memory {
        self.state.memory
    }

    /// Forgets a give-up, since somebody has begun anew by hand.
    pub fn forget_give_up(&mut self) {
        let Memory { last_attempt, .. } = self.state.memory;
        if self.state.memory.gave_up_until.is_some() {
            self.state.memory = Memory { last_attempt, ..Memory::default() };
        }
    }

    /// The process that died last.
    pub fn gone(&self) -> Option<Predecessor> {
        self.state.gone.as_ref().map(Predecessor::from)
    }

    /// What is seen and remembered.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether people wanted it left alone when a start was last considered.
    pub fn leave(&self) -> Leave {
        self.leave
    }

    /// The instance's files.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Whether a give-up was told to people who have not heard of its end.
    pub fn was_told(&self) -> bool {
        self.state.told
    }

    /// A give-up was told, or its end.
    pub fn told(&mut self, told: bool) {
        self.change(|state| state.told = told);
    }

    /// Whether somebody has said since the last time that what was is to be forgotten.
    pub fn is_resumed(&self, now: Time) -> bool {
        matches!(self.files.leave(now), Leave::Given { resumed: Some(at) } if at > self.state.resumed_ms)
    }

    /// Whether a start may come now, as far as people are concerned; `Some` if somebody has said since
    /// the last time that what was is to be forgotten.
    pub fn may_start(&mut self, now: Time, report: &mut Report) -> (bool, Option<Time>) {
        self.leave = self.files.leave(now);
        match self.leave {
            Leave::Paused { until } => {
                report.paused(until, now);
                (false, None)
            }
            Leave::Given { resumed } => {
                report.not_paused();
                let news = resumed.filter(|resumed| *resumed > self.state.resumed_ms);
                if let Some(resumed) = news {
                    self.change(|state| state.resumed_ms = resumed);
                }
                (true, news)
            }
        }
    }

    /// What is seen from now on.
    pub fn sees(&mut self, sight: Sight, process: Option<&ProcessInfo>, now: Time) {
        if sight == Sight::Running
            && let Some((last_exit, deaths)) = self.before_launcher.take()
        {
            self.change(|state| (state.last_exit, state.deaths) = (last_exit, deaths));
        }
        let is_same = self.state.sight == sight
            && match (&self.state.process, process) {
                (Some(old), Some(new)) => {
                    (old.pid, old.started_ms, &old.name)
                        == (new.pid, Time::from_millis(millis::of(new.started)), &new.name)
                }
                (_, None) => true,
                _ => false,
            };
        if !is_same {
            self.change(|state| {
                state.sight = sight;
                state.since_ms = now;
                // While nobody can tell, it is what it was.
                if sight != Sight::Unknown {
                    state.process = process.map(StoredProcess::from);
                }
            });
        }
    }

    /// The process that is followed may have become of another kind.
    pub fn note_kind(&mut self, process: &ProcessInfo) {
        let process = StoredProcess::from(process);
        let is_it = |old: &&mut StoredProcess| {
            (old.pid, millis::of(old.started_ms)) == (process.pid, millis::of(process.started_ms))
        };
        if let Some(old) = self.state.process.as_mut().filter(is_it)
            && *old != process
        {
            *old = process;
            self.is_changed = true;
        }
    }

    /// Notes that the process lives, if it is seen to.
    pub fn note_life(&self) {
        if self.state.sight == Sight::Running {
            self.files.touch();
        }
    }

    /// What was followed is so no more, and has not died.
    pub fn lets_go(&mut self) {
        self.before_launcher = None;
        self.change(|state| {
            (state.process, state.gone) = (None, None);
            (state.sight, state.since_ms) = (Sight::Unknown, crate::time::now());
        });
    }

    /// The process died that was followed.
    pub fn lost(&mut self, gone: &Predecessor) {
        self.change(|state| {
            state.gone = Some(StoredPredecessor::from(gone));
            // Another may be followed by now.
            if state.process.take_if(|process| process.pid == gone.pid).is_some() {
                (state.sight, state.since_ms) = (Sight::Missing, crate::time::now());
            }
        });
    }

    /// The process ended. How often it died lately. What may have been a launcher is forgotten when the
    /// process is seen after it.
    pub fn ended(&mut self, end: &Termination, may_be_launcher: bool) -> Tally {
        let mut tally = Tally::default();
        self.before_launcher =
            may_be_launcher.then(|| (self.state.last_exit.clone(), self.state.deaths.clone()));
        self.change(|state| {
            state.last_exit = Some(LastExit::of(end));
            tally = state.deaths.add(end.ending(), end.at);
        });
        if may_be_launcher { Tally::default() } else { tally }
    }

    /// The start command ended.
    pub fn command_ended(&mut self, end: &CommandEnd, now: Time) {
        self.change(|state| state.last_start = Some(LastStart::of(end, now)));
    }

    /// What the OOM killer has done while the process lived.
    pub fn oom_kills(&mut self, kills: &OomKills) {
        if self.state.oom_kills != *kills {
            self.change(|state| state.oom_kills = kills.clone());
        }
    }

    /// An attempt succeeded.
    pub fn restarted(&mut self) {
        self.change(|state| state.restarts = state.restarts.saturating_add(1));
    }

    /// The start command at work.
    pub fn command(&mut self, command: Option<ProcessId>) {
        if command.is_some() {
            self.before_launcher = None;
        }
        self.change(|state| state.command = command);
    }

    /// The settings are others.
    pub fn use_settings(&mut self, settings: &Settings) {
        let new = fresh(&self.files, settings);
        let old = std::mem::replace(&mut self.state, new);
        self.state.command = old.command;
        take_over(&mut self.state, old, settings);
        self.is_changed = true;
    }

    /// Whether the state is another than what the file says.
    pub fn has_news(&mut self, memory: Memory, report: &Report) -> bool {
        if self.state.memory != memory || self.state.said != *report.said() {
            self.state.memory = memory;
            self.state.said.clone_from(report.said());
            self.is_changed = true;
        }
        self.is_changed &= self.written.as_ref() != Some(&self.state);
        self.is_changed
    }

    /// The file may have been removed, and is then written anew.
    pub fn look_after_file(&mut self) {
        if self.files.touched().is_none() {
            self.written = None;
            self.is_changed = true;
        }
    }

    /// Writes the state.
    pub fn write(&mut self, report: &mut Report) {
        match self.files.write_state(&self.state) {
            Ok(()) => {
                self.written = Some(self.state.clone());
                self.is_changed = false;
                report.state();
            }
            Err(error) => report.no_state(self.files.folder(), &error),
        }
    }

    /// The last thing of a watch: nobody watches any more, and a check was made.
    pub fn end(mut self, memory: Memory, report: &mut Report) {
        self.change(|state| state.watchdog = None);
        if self.has_news(memory, report) {
            self.write(report);
        }
        self.files.touch();
    }

    fn change(&mut self, change: impl FnOnce(&mut State)) {
        change(&mut self.state);
        self.is_changed = true;
    }
}

/// What a watch with these `settings` would begin with now. Nothing is written.
pub fn preview(files: &Files, settings: &Settings, proc: &Proc) -> State {
    next(files.state_of_this_boot().ok().flatten(), files, settings, proc).0
}

/// What a watch begins with after the one that has left `old`; and how the process that this followed has
/// ended, if it has since.
fn next(
    old: Option<State>,
    files: &Files,
    settings: &Settings,
    proc: &Proc,
) -> (State, Option<(Termination, Tally)>) {
    let mut state = fresh(files, settings);
    if let Some(old) = old {
        take_over(&mut state, old, settings);
    }
    // While nobody can tell, it is what it was.
    let is_dead = |process: &mut StoredProcess| {
        !proc.lives(process.pid, process.started_ms, process.user).unwrap_or(true)
    };
    let Some(process) = state.process.take_if(is_dead) else { return (state, None) };
    state.gone = Some(StoredPredecessor::from(&process.gone(last_known(files))));
    let end = Termination {
        pid: process.pid,
        name: process.name,
        started: process.started_ms,
        at: crate::time::now(),
        death: Exit::Untold,
        memory: None,
        out_of_memory: state.oom_kills.since(proc.root()),
    };
    let deaths = state.deaths.add(end.ending(), end.at);
    state.last_exit = Some(LastExit::of(&end));
    (state, Some((end, deaths)))
}

/// Takes over what still holds of an `old` state: what is known of the same process, and what people said.
fn take_over(state: &mut State, old: State, settings: &Settings) {
    let is_same_process = old.process_name == state.process_name;
    let is_same = old.settings == state.settings;
    state.resumed_ms = old.resumed_ms.min(state.since_ms);
    // Other settings are a new beginning; but never two start commands too close to each other.
    let Memory { last_attempt, .. } = old.memory;
    let memory = if is_same { old.memory } else { Memory { last_attempt, ..Memory::default() } };
    state.memory = memory.as_of(state.since_ms, &settings.limits);
    if is_same {
        state.said = old.said;
    }
    if is_same_process {
        state.restarts = old.restarts;
        state.told = old.told;
        // Of a time to come, it would make a left-over of all that runs.
        let since_ms = |died: &StoredPredecessor| died.since_ms.min(state.since_ms);
        state.gone = old.gone.map(|died| StoredPredecessor { since_ms: since_ms(&died), ..died });
        state.process = old.process;
        state.last_exit = old.last_exit;
        state.deaths = old.deaths;
        state.last_start = old.last_start;
        state.oom_kills = old.oom_kills;
    }
    state.sight = old.sight;
    state.since_ms = old.since_ms;
}

fn fresh(files: &Files, settings: &Settings) -> State {
    let Settings { criteria, limits, .. } = settings;
    let proc = std::path::Path::new("/proc/self/stat");
    let line = std::fs::read(proc).unwrap_or_default();
    let started = crate::process::stat::Stat::parse(&line).map_or(Time::ZERO, |stat| stat.started());
    State {
        version: VERSION,
        name: settings.name.to_string(),
        boot_id: files.boot_id().to_owned(),
        process_name: criteria.pattern.text().to_owned(),
        settings: settings.digest(),
        once: limits.once,
        interval_ms: limits.health_check_interval,
        watchdog: Some(ProcessId { pid: std::process::id().cast_signed(), started_ms: started }),
        sight: Sight::Unknown,
        since_ms: crate::time::now(),
        process: None,
        gone: None,
        command: None,
        restarts: 0,
        memory: Memory::default(),
        max_fail_count: limits.max_fail_count,
        told: false,
        resumed_ms: Time::ZERO,
        said: std::collections::BTreeMap::new(),
        last_exit: None,
        deaths: Deaths::default(),
        last_start: None,
        oom_kills: OomKills::default(),
    }
}

/// When the process of the state file was last known to live: when that file was last written or
/// touched.
fn last_known(files: &Files) -> Time {
    let age = files.touched().and_then(|time| time.elapsed().ok()).unwrap_or_default();
    crate::time::now().saturating_sub(age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::cli::Cli;
    use crate::settings::sources::Sources;
    use std::path::Path;
    use std::rc::Rc;
    use std::time::Duration;

    fn settings() -> Rc<Settings> {
        let mut cli = Cli::default();
        cli.what.process_name = Some("x".into());
        cli.how.start_command = Some("true".into());
        Rc::new(Settings::new(&cli, &Sources::default()).unwrap())
    }

    #[test]
    fn a_state_of_a_time_to_come_keeps_no_watch_from_its_work() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings();
        let proc = Proc::new(Path::new("/proc")).unwrap();
        let files = Files::new(folder.path(), &settings.name, "this boot");
        let far = Duration::from_millis(1 << 48);
        let memory = Memory {
            last_attempt: Some(far),
            gave_up_until: Some(far),
            failures: u32::MAX,
            ..Memory::default()
        };
        let gone = Some(StoredPredecessor { pid: 7, since_ms: far, user: 0, argument: String::new() });
        let odd = State { restarts: u64::MAX, resumed_ms: far, memory, gone, ..fresh(&files, &settings) };
        files.write_state(&odd).unwrap();

        let mut report = Report::new(&settings, "x.log".into(), "x.output.log".into());
        let mut record = Store::recall(files.clone(), &settings, &proc, &mut report);
        let now = crate::time::now();
        assert!(record.memory().last_attempt.unwrap() <= now);
        assert!(record.memory().gave_up_until.unwrap() <= now + crate::policy::LONGEST_RETRY);
        assert!(record.gone().unwrap().since <= now, "what started since then counts");
        record.restarted();
        let memory = record.memory();
        record.end(memory, &mut report);
        let state = files.state().unwrap();
        assert_eq!((state.restarts, state.memory.failures), (u64::MAX, u32::MAX));
        assert!(state.resumed_ms <= now, "'resume' is heard again");
    }

    #[test]
    fn what_proc_hides_has_not_died() {
        let settings = settings();
        let proc = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(std::process::id().to_string(), proc.path().join("self")).unwrap();
        let user = rustix::process::geteuid().as_raw();
        for (process_1_is_seen, user, has_died) in
            [(false, user + 1, false), (false, user, true), (true, user + 1, true)]
        {
            if process_1_is_seen {
                std::fs::create_dir(proc.path().join("1")).unwrap();
                std::fs::copy("/proc/self/stat", proc.path().join("1/stat")).unwrap();
            }
            let folder = tempfile::tempdir().unwrap();
            let files = Files::new(folder.path(), &settings.name, "this boot");
            let (started_ms, name, argument) = (Time::from_secs(1), "x".to_owned(), String::new());
            let process = Some(StoredProcess { pid: 7, started_ms, name, user, argument });
            files.write_state(&State { process, ..fresh(&files, &settings) }).unwrap();
            let mut report = Report::new(&settings, "x.log".into(), "x.output.log".into());
            let proc = Proc::new(proc.path()).unwrap();
            let record = Store::recall(files, &settings, &proc, &mut report);
            let State { process, gone, last_exit, .. } = record.state();
            assert_eq!(
                (process.is_none(), gone.is_some(), last_exit.is_some()),
                (has_died, has_died, has_died)
            );
        }
    }

    #[test]
    fn a_death_that_is_explained_late_is_not_that_of_what_is_followed_by_then() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings();
        let proc = Proc::new(Path::new("/proc")).unwrap();
        let files = Files::new(folder.path(), &settings.name, "this boot");
        let mut report = Report::new(&settings, "x.log".into(), "x.output.log".into());
        let mut record = Store::recall(files, &settings, &proc, &mut report);
        let kind = crate::process::Signature { user: 0, argument: b"x".to_vec() };
        let seen = |pid| ProcessInfo {
            pid,
            name: "x".into(),
            started: Time::from_secs(1),
            has_terminal: false,
            parent: 1,
            command_line: "x".into(),
            kind: kind.clone(),
        };
        let gone = |pid| Predecessor { pid, since: Time::from_secs(2), kind: kind.clone() };
        record.sees(Sight::Running, Some(&seen(7)), Time::from_secs(1));
        record.lost(&gone(7));
        assert_eq!((record.state().sight, record.state().process.is_none()), (Sight::Missing, true));
        record.sees(Sight::Running, Some(&seen(8)), Time::from_secs(3));
        record.lost(&gone(7));
        let followed = record.state().process.as_ref().map(|process| process.pid);
        assert_eq!((record.state().sight, followed), (Sight::Running, Some(8)));
    }
}
