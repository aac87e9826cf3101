//! Keeps the state file true: what the instance sees and remembers, written when that changes.

use std::io;
use std::mem;
use std::path::PathBuf;

use crate::policy::{Memory, Stage};
use crate::probe::heartbeat::Heartbeat;
use crate::process::scan::Proc;
use crate::process::termination::{Exit, Predecessor, Termination};
use crate::process::{ProcessId, ProcessInfo, StoredProcess, own_start};
use crate::settings::Settings;
use crate::state::counters::{self, Counters};
use crate::state::held::{Held, Hold};
use crate::state::history::{Deaths, LastExit, Tally};
use crate::state::said::{Notice, Told};
use crate::state::{Files, Sight, State, Unread, VERSION};
use crate::time::{Time, clocks_ms, have_been_set_since, millis, now};

/// A hold that ends by the wall clock ends a little later or earlier each time that this is counted.
const SAME_END: Time = Time::from_secs(1);
/// How many other settings are kept in mind.
const MOST_SEEN: usize = 8;
/// How many processes are kept in mind that descend from one that is being stopped.
const MOST_NOTED: usize = 1000;

/// The state of an instance, on its way to the file.
#[derive(Debug)]
pub struct Store {
    pub files: Files,
    /// What is seen and remembered. Whoever changes it need not say so.
    pub state: State,
    /// What the file says, as far as that is known. What alone is no reason to write it, such as a counter, is here at once.
    written: Option<State>,
    /// Something has been counted that the file does not have.
    has_counted: bool,
    /// What was remembered before the end of what may have been a daemon's launcher.
    before_launcher: Option<(Option<LastExit>, Deaths, counters::Deaths)>,
    /// What a watch with these settings followed before, until it has been looked at.
    pub followed_before: Option<StoredProcess>,
}

/// What was found when a state was taken up.
#[derive(Debug, Default)]
pub struct Recalled {
    /// The state file was of no use, and is begun anew.
    pub unusable: Option<Unusable>,
    /// The process that was followed has ended since.
    pub ended: Option<(Termination, Tally)>,
    /// The settings are not those of the run before, and were seen before that.
    pub in_turn: bool,
}

/// Why a state file is of no use.
#[derive(Debug)]
pub enum Unusable {
    /// It is damaged, or none of this version, and has been put aside.
    Foreign { why: String, aside: io::Result<PathBuf> },
    /// It cannot be read.
    Unreadable(io::Error),
}

impl Store {
    /// The state as the watchdog before this one left it, if it is of this boot and of these settings;
    /// of a process that has ended since, what it was.
    pub fn recall(files: Files, settings: &Settings, proc: &Proc) -> (Self, Recalled) {
        let (written, unusable) = match files.state_of_this_boot() {
            Ok(written) => (written, None),
            Err(Unread::Foreign(why)) => {
                (None, Some(Unusable::Foreign { why, aside: files.set_state_aside() }))
            }
            // That the place is of no use is told when something is to be kept there.
            Err(Unread::Failed(_)) if files.usable().is_err() => (None, None),
            Err(Unread::Failed(error)) => (None, Some(Unusable::Unreadable(error))),
        };
        let (state, ended) = next(written.clone(), &files, settings, proc);
        let is_same = written.as_ref().is_some_and(|old| old.digest.is_same(state.digest));
        let followed_before = state.process.clone().filter(|_| is_same);
        let in_turn = written.as_ref().is_some_and(|old| old.seen.contains(&state.digest.number));
        let (has_counted, before_launcher) = (false, None);
        let store = Store { files, state, written, has_counted, before_launcher, followed_before };
        (store, Recalled { unusable, ended, in_turn })
    }

    /// Forgets a give-up, since somebody has begun anew by hand.
    pub fn forget_give_up(&mut self) {
        let memory = &mut self.state.memory;
        if memory.gave_up_until.is_some() {
            *memory = memory.without_failures();
        }
    }

    /// Heeds that somebody said `resume` then. Whether that is new.
    pub fn resumed(&mut self, at: Time) -> bool {
        let is_new = at > self.state.resumed_ms;
        if is_new {
            (self.state.resumed_ms, self.state.seen) = (at, Vec::new());
        }
        is_new
    }

    /// Whether this is to be said now; then it has been.
    pub fn is_news(&mut self, told: Told) -> bool {
        self.state.said.is_news(told)
    }

    /// What is seen from now on.
    pub fn sees(&mut self, sight: Sight, process: Option<&ProcessInfo>, now: Time) {
        let state = &mut self.state;
        if let Some(before) = self.before_launcher.take_if(|_| sight == Sight::Running) {
            (state.last_exit, state.deaths, state.counters.deaths) = before;
        }
        let is_same_process = match (&state.process, process) {
            (Some(old), Some(new)) => old.id.is_same(new.id()) && old.name == new.name,
            (_, None) => true,
            _ => false,
        };
        if state.sight != sight || !is_same_process {
            (state.sight, state.since_ms) = (sight, now);
            // While nobody can tell, it is what it was.
            if sight != Sight::Unknown {
                state.process = process.map(StoredProcess::from);
            }
        }
        // What was said of another process, and a hold that nothing is kept from by now, are over without a word.
        if !is_same_process {
            self.is_news(Told::Over(Notice::Stopped));
        }
        if sight == Sight::Running {
            for hold in [Hold::Paused, Hold::Hours, Hold::Version, Hold::Dependency, Hold::Shutdown] {
                self.is_news(Told::Over(hold.notice()));
            }
            self.is_news(Told::Over(Notice::WithoutDependency));
            self.leaves_near(None);
            (self.state.held, self.state.seen) = (None, Vec::new());
        }
    }

    /// The process that is followed may have another signature by now.
    pub fn note_signature(&mut self, process: &ProcessInfo) {
        if let Some(old) = self.state.process.as_mut().filter(|old| old.id.is_same(process.id())) {
            *old = StoredProcess::from(process);
        }
    }

    /// This holds it, when a start would come.
    pub fn held(&mut self, held: Option<&Held>) {
        let is_same_end = |old: &Held, new: &Held| match (old.until, new.until) {
            (Some(old), Some(new)) => old.abs_diff(new) < SAME_END,
            (old, new) => old == new,
        };
        let is_same = |(old, new): (&Held, &Held)| {
            (old.hold, &old.detail) == (new.hold, &new.detail) && is_same_end(old, new)
        };
        if !self.state.held.as_ref().zip(held).is_some_and(is_same) {
            self.state.held = held.cloned();
        }
    }

    /// An attempt has left this running, which is nearly what is looked for; or that is over.
    pub fn leaves_near(&mut self, left: Option<ProcessId>) {
        if self.state.left_near.is_some() && left.is_none() {
            self.is_news(Told::Over(Notice::LeftNear));
        }
        self.state.left_near = left;
    }

    /// Notes that the process lives, if it is seen to.
    pub fn note_life(&mut self) {
        if self.state.sight == Sight::Running && !self.has_other_clocks() {
            self.files.touch();
        }
    }

    /// Whether the wall clock has been set since the file was written, whose time would say something else then: it
    /// is to be written anew.
    fn has_other_clocks(&mut self) -> bool {
        let is_other = have_been_set_since(self.state.clocks_ms.unwrap_or_default());
        if is_other {
            self.written = None;
        }
        is_other
    }

    /// What was followed is so no more, and has not died.
    pub fn lets_go(&mut self) {
        self.before_launcher = None;
        let state = &mut self.state;
        (state.process, state.predecessor) = (None, None);
        (state.sight, state.since_ms) = (Sight::Unknown, now());
    }

    /// The process died that was followed.
    pub fn lost(&mut self, predecessor: &Predecessor) {
        let state = &mut self.state;
        state.predecessor = Some(predecessor.clone());
        // Another may be followed by now.
        if state.process.take_if(|process| process.id.pid == predecessor.pid).is_some() {
            (state.sight, state.since_ms) = (Sight::Missing, now());
        }
    }

    /// The process ended. How often it died lately: an end that `was_wanted` is none. What may have been a launcher is
    /// forgotten when the process is seen after it.
    pub fn ended(&mut self, end: &Termination, may_be_launcher: bool, was_wanted: bool) -> Tally {
        let State { last_exit, deaths, counters, .. } = &self.state;
        self.before_launcher = may_be_launcher.then(|| (last_exit.clone(), deaths.clone(), counters.deaths));
        let tally = self.state.died(end, was_wanted);
        if may_be_launcher {
            return Tally::default();
        }
        self.state.ever_seen = true;
        tally
    }

    /// One more of these. It is written with what comes next, or by [`Store::look_after_counters`]: a probe that
    /// finds nothing new writes no file.
    pub fn count(&mut self, of: impl FnOnce(&mut Counters) -> &mut u64) {
        counters::add(of(&mut self.state.counters));
        self.has_counted = true;
        if let Some(written) = &mut self.written {
            written.counters = self.state.counters;
        }
    }

    /// What has been counted is to be written.
    pub fn look_after_counters(&mut self) {
        if self.has_counted {
            self.written = None;
        }
    }

    /// An attempt succeeded.
    pub fn restarted(&mut self) {
        counters::add(&mut self.state.restarts);
        self.state.ever_seen = true;
    }

    /// What descends from the process that is being stopped, until that is over.
    pub fn notes(&mut self, descendants: &[ProcessId]) {
        self.state.noted = descendants.iter().copied().take(MOST_NOTED).collect();
    }

    /// The start command at work.
    pub fn command(&mut self, command: Option<ProcessId>) {
        if command.is_some() {
            self.before_launcher = None;
        }
        self.state.command = command;
    }

    /// A probe has seen this. It is written with what comes next: a watch that goes on has it in mind.
    pub fn beats(&mut self, heartbeat: Heartbeat) {
        if let Some(written) = &mut self.written {
            written.heartbeat = Some(heartbeat.clone());
        }
        self.state.heartbeat = Some(heartbeat);
    }

    /// The settings are others.
    pub fn use_settings(&mut self, settings: &Settings) {
        let (command, said) = (self.state.command, self.state.said.clone());
        let begun = begun(Some(mem::take(&mut self.state)), &self.files, settings);
        self.state = State { command, said, ..begun };
    }

    /// Whether the state is another than what the file says.
    pub fn has_news(&mut self, memory: Memory) -> bool {
        self.state.memory = memory;
        if memory.stopping.is_none() {
            self.state.noted.clear();
        }
        self.written.as_ref() != Some(&self.state)
    }

    /// The file may have been removed, and is then written anew.
    pub fn look_after_file(&mut self) {
        if !self.files.has_state() {
            self.written = None;
        }
    }

    /// Writes the state.
    ///
    /// # Errors
    /// It could not be written; then there still is news.
    pub fn write(&mut self) -> io::Result<()> {
        // In whole milliseconds, as they are read again.
        self.state.written_ms = Time::from_millis(millis::of(now()));
        self.state.clocks_ms = Some(clocks_ms());
        self.files.write_state(&self.state)?;
        (self.written, self.has_counted) = (Some(self.state.clone()), false);
        Ok(())
    }

    /// The last thing of a watch: nobody watches any more, and a check was made.
    ///
    /// # Errors
    /// That could not be written.
    pub fn end(&mut self, memory: Memory) -> io::Result<()> {
        self.state.watchdog = None;
        self.has_other_clocks();
        let written = if self.has_news(memory) { self.write() } else { Ok(()) };
        self.files.touch();
        written
    }
}

impl State {
    /// The process ended so. How often it died lately.
    fn died(&mut self, end: &Termination, was_wanted: bool) -> Tally {
        self.last_exit = Some(LastExit::of(end));
        self.counters.deaths.add(end);
        if was_wanted { Tally::default() } else { self.deaths.add(end.cause(), end.at) }
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
    let since = old.as_ref().map(|old| files.checked(old)).unwrap_or_default();
    let mut state = begun(old, files, settings);
    // While nobody can tell, it is what it was.
    let is_dead =
        |process: &mut StoredProcess| !proc.try_is_alive(process.id, process.signature.user).unwrap_or(true);
    let Some(process) = state.process.take_if(is_dead) else { return (state, None) };
    let StoredProcess { id, name, session, has_terminal, signature } = process;
    let ProcessId { pid, started } = id;
    let predecessor = Predecessor { pid, name: name.clone(), session, has_terminal, since, signature };
    state.predecessor = Some(predecessor);
    // What a watchdog has stopped has not died.
    let stop = state.memory.stopping.filter(|stop| stop.stage != Stage::Evidence);
    if stop.is_some_and(|stop| stop.process.is_same(id)) {
        return (state, None);
    }
    let out_of_memory = state.oom_kills.since(proc.root());
    let (at, exit) = (now(), Exit::Untold);
    let end = Termination { pid, name, started, at, exit, memory: None, out_of_memory };
    let deaths = state.died(&end, false);
    state.ever_seen = true;
    (state, Some((end, deaths)))
}

/// What still holds of an `old` state: what is known of the same process, and what people said.
fn kept(old: State, settings: &Settings) -> State {
    let (now, digest) = (now(), settings.digest());
    let is_same_process = old.process_name == settings.criteria.pattern.text();
    let is_same = old.digest.is_same(digest);
    // Two lines in turn are no new beginning each time.
    let is_known = is_same || old.seen.contains(&digest.number);
    let others = old.seen.iter().copied().chain((!is_same).then_some(old.digest.number));
    let mut seen: Vec<_> = others.filter(|seen| *seen != digest.number).collect();
    seen.drain(..seen.len().saturating_sub(MOST_SEEN));
    let memory = match (is_known, is_same_process) {
        (true, _) => old.memory,
        (false, true) => old.memory.with_other_settings(),
        (false, false) => Memory { last_attempt: old.memory.last_attempt, ..Memory::default() },
    };
    // Of a time to come, it would make a left-over of all that runs.
    let not_to_come = |old: Predecessor| Predecessor { since: old.since.min(now), ..old };
    let mut state = State {
        seen,
        memory: memory.as_of(now, &settings.limits),
        resumed_ms: old.resumed_ms.min(now),
        predecessor: old.predecessor.map(not_to_come),
        // An older release did not say.
        ever_seen: old.ever_seen || old.restarts > 0,
        command: None,
        ..old
    };
    if !is_known {
        state.said = state.said.only(Notice::Lines);
        (state.heartbeat, state.left_near, state.held, state.ever_seen) = (None, None, None, false);
    }
    if !is_same_process {
        (state.restarts, state.told) = (0, false);
        (state.process, state.predecessor) = (None, None);
        (state.last_exit, state.last_start) = (None, None);
        (state.deaths, state.oom_kills) = Default::default();
    }
    state
}

/// What a watch with these `settings` begins with.
fn begun(old: Option<State>, files: &Files, settings: &Settings) -> State {
    let Settings { criteria, limits, dirs, name, .. } = settings;
    let text = |path: PathBuf| path.into_os_string().into_string().ok();
    let (pid, started) = (crate::sys::own_pid(), own_start().unwrap_or_default());
    let new = || State { since_ms: now(), ..State::default() };
    State {
        version: VERSION,
        name: name.to_string(),
        boot_id: files.boot_id(),
        process_name: criteria.pattern.text().to_owned(),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        digest: settings.digest(),
        once: limits.once,
        interval_ms: limits.health_check_interval,
        watchdog: Some(ProcessId { pid, started }),
        max_fail_count: limits.max_fail_count,
        takes_requests: true,
        log: text(dirs.log(name)),
        output_log: text(dirs.output_log(name)),
        ..old.map_or_else(new, |old| kept(old, settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{HealthMemory, Stopping, Then, Why};
    use crate::process::Signature;
    use crate::settings::digest::Digest;
    use crate::settings::dirs::User;
    use crate::settings::given::{Given, Source};
    use std::path::Path;
    use std::rc::Rc;
    use std::time::Duration;

    fn settings() -> Rc<Settings> {
        let mut given = Given::default();
        given.add("process_name", "x", Source::CommandLine);
        given.add("start_command", "true", Source::CommandLine);
        Rc::new(Settings::new(&given, &User::current()).unwrap())
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
        let process = ProcessInfo::of_test(7, "x", Signature::new(0, b""));
        let predecessor = Some(Predecessor::new(&process, far));
        let odd = State {
            restarts: u64::MAX,
            resumed_ms: far,
            memory,
            predecessor,
            ..begun(None, &files, &settings)
        };
        files.write_state(&odd).unwrap();

        let (mut record, _) = Store::recall(files.clone(), &settings, &proc);
        let now = crate::time::now();
        assert!(record.state.memory.last_attempt.unwrap() <= now);
        assert!(record.state.memory.gave_up_until.unwrap() <= now + crate::policy::LONGEST_RETRY);
        assert!(record.state.predecessor.as_ref().unwrap().since <= now, "what started since then counts");
        record.restarted();
        let memory = record.state.memory;
        record.end(memory).unwrap();
        let state = files.state().unwrap().unwrap();
        assert_eq!((state.restarts, state.memory.failures), (u64::MAX, u32::MAX));
        assert!(state.resumed_ms <= now, "'resume' is heard again");
    }

    /// An upgrade of the program makes nothing of what was remembered be forgotten.
    #[test]
    fn a_state_without_a_version_of_its_settings_is_of_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings();
        let proc = Proc::new(Path::new("/proc")).unwrap();
        let files = Files::new(folder.path(), &settings.name, "this boot");
        let memory = Memory { failures: 2, ..Memory::default() };
        let ours = settings.digest().number;
        for (number, version, is_same) in
            [(7, None, true), (7, Some(1), false), (ours, Some(1), true), (7, Some(2), true)]
        {
            let digest = Digest { number, ..settings.digest() };
            let state = State { digest, memory, ..begun(None, &files, &settings) };
            let mut state = serde_json::to_value(&state).unwrap();
            match version {
                Some(version) => state["settings_version"] = version.into(),
                None => drop(state.as_object_mut().unwrap().remove("settings_version").unwrap()),
            }
            std::fs::write(folder.path().join("x.json"), state.to_string()).unwrap();
            let next = preview(&files, &settings, &proc);
            assert_eq!(next.memory.failures == 2, is_same, "{number}, {version:?}");
            assert_eq!(next.digest, settings.digest());
        }
    }

    /// One that begins by hand, and one with other settings, go on with a stop.
    #[test]
    fn a_stop_and_what_is_known_of_the_process_outlive_a_give_up_and_other_settings() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings();
        let proc = Proc::new(Path::new("/proc")).unwrap();
        let files = Files::new(folder.path(), &settings.name, "this boot");
        let id = ProcessId { pid: 7, started: Time::from_secs(1) };
        let memory = Memory {
            failures: 2,
            gave_up_until: Some(Time::from_secs(1)),
            ours: Some(id),
            stopping: Some(Stopping::new(id, Why::Unhealthy, Stage::Left, Time::from_secs(2), Then::Start)),
            version: Some(3),
            window_stopped: Some(4),
            health: HealthMemory { proven: true, restarts: 1, ..HealthMemory::default() },
            ..Memory::default()
        };
        let lasts = |memory: Memory| (memory.ours, memory.stopping, memory.version, memory.window_stopped);
        for (number, is_known) in [(settings.digest().number, true), (7, false)] {
            let digest = Digest { number, ..settings.digest() };
            let state = State { digest, memory, noted: vec![id], ..begun(None, &files, &settings) };
            files.write_state(&state).unwrap();
            let (mut record, _) = Store::recall(files.clone(), &settings, &proc);
            record.forget_give_up();
            let recalled = record.state.memory;
            assert_eq!(lasts(recalled), lasts(memory));
            assert_eq!((recalled.failures, recalled.gave_up_until), (0, None));
            // What a probe has proved is of its settings.
            assert_eq!((recalled.health.restarts, recalled.health.proven), (u32::from(is_known), is_known));
            assert!(record.has_news(recalled) && record.state.noted == [id]);
            record.has_news(Memory { stopping: None, ..recalled });
            assert_eq!(record.state.noted, []);
        }
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
            let process = ProcessInfo::of_test(7, "x", Signature::new(user, b""));
            let process = Some(StoredProcess::from(&ProcessInfo { started: Time::from_secs(1), ..process }));
            files.write_state(&State { process, ..begun(None, &files, &settings) }).unwrap();
            let proc = Proc::new(proc.path()).unwrap();
            let (record, found) = Store::recall(files, &settings, &proc);
            let State { process, predecessor, last_exit, .. } = &record.state;
            assert_eq!(
                (process.is_none(), predecessor.is_some(), last_exit.is_some(), found.ended.is_some()),
                (has_died, has_died, has_died, has_died)
            );
        }
    }

    #[test]
    fn a_launcher_that_has_ended_is_counted_until_the_process_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings();
        let proc = Proc::new(Path::new("/proc")).unwrap();
        let files = Files::new(folder.path(), &settings.name, "this boot");
        let (mut record, _) = Store::recall(files, &settings, &proc);
        let launcher = |pid| Termination {
            pid,
            name: "x".into(),
            started: Time::ZERO,
            at: Time::from_secs(1),
            exit: Exit::Ended(std::os::unix::process::ExitStatusExt::from_raw(0)),
            memory: None,
            out_of_memory: None,
        };
        let process = ProcessInfo::of_test(8, "x", Signature::new(0, b"x"));
        for (is_seen, finished) in [(true, 0), (false, 1), (false, 2)] {
            record.ended(&launcher(7), true, false);
            if is_seen {
                record.sees(Sight::Running, Some(&process), Time::from_secs(2));
            }
            let counted = record.state.counters.deaths;
            assert_eq!(counted, counters::Deaths { finished, ..counters::Deaths::default() });
        }
    }

    #[test]
    fn a_death_that_is_explained_late_is_not_that_of_what_is_followed_by_then() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings();
        let proc = Proc::new(Path::new("/proc")).unwrap();
        let files = Files::new(folder.path(), &settings.name, "this boot");
        let (mut record, _) = Store::recall(files, &settings, &proc);
        let process = |pid| ProcessInfo::of_test(pid, "x", Signature::new(0, b"x"));
        let predecessor = |pid| Predecessor::new(&process(pid), Time::from_secs(2));
        record.sees(Sight::Running, Some(&process(7)), Time::from_secs(1));
        record.lost(&predecessor(7));
        assert_eq!((record.state.sight, record.state.process.is_none()), (Sight::Missing, true));
        record.sees(Sight::Running, Some(&process(8)), Time::from_secs(3));
        record.lost(&predecessor(7));
        let followed = record.state.process.as_ref().map(|process| process.id.pid);
        assert_eq!((record.state.sight, followed), (Sight::Running, Some(8)));
    }
}
