//! What an instance knows beyond one run: the state file, and what else it leaves beside that.
//!
//! The state file is `NAME.json` in the state folder. Times are milliseconds on the clock that counts
//! from boot, time asleep included (`CLOCK_BOOTTIME`), and mean nothing after another boot than that of
//! `boot_id`. Fields are only added within a version.

pub mod counters;
pub mod held;
pub mod history;
pub mod lock;
pub mod owed;
pub mod request;
pub mod said;
pub mod store;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fs::{Dir, Trust, WaitFor, written_ms};
use crate::policy::{Condition, Memory};
use crate::probe::heartbeat::Heartbeat;
use crate::process::oom::OomKills;
use crate::process::scan::Proc;
use crate::process::termination::Predecessor;
use crate::process::{ProcessId, StoredProcess};
use crate::settings::digest::Digest;
use crate::settings::dirs::Dirs;
use crate::settings::name::Name;
use crate::state::counters::Counters;
use crate::state::held::Held;
use crate::state::history::{Deaths, LastExit, LastStart};
use crate::state::said::{Notice, Said};
use crate::sys::Pid;
use crate::time::{Time, millis};

/// The version of the state file that this program writes and reads.
pub const VERSION: u32 = 1;

/// What an instance sees and remembers: the state file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools)] // the file's form stays
pub struct State {
    /// [`VERSION`].
    pub version: u32,
    /// The instance.
    pub name: String,
    /// The boot that all times here belong to (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// What is looked for, as it was given.
    pub process_name: String,
    /// The version of the program that watches.
    pub program_version: String,
    /// What is kept of the settings that decide.
    #[serde(flatten)]
    pub digest: Digest,
    /// Each run is one check (`--once`).
    pub once: bool,
    /// Time between two checks of a long-running watch.
    #[serde(with = "millis")]
    pub interval_ms: Duration,
    /// Who watches, or did last.
    pub watchdog: Option<ProcessId>,
    /// What was seen last.
    pub sight: Sight,
    /// Since when.
    #[serde(with = "millis")]
    pub since_ms: Time,
    /// The process that is followed, or was when it was last seen.
    pub process: Option<StoredProcess>,
    /// The process that died last, against which left-overs are told.
    #[serde(rename = "gone")]
    pub predecessor: Option<Predecessor>,
    /// The start command at work.
    pub command: Option<ProcessId>,
    /// How often the process was started successfully, since this file began.
    pub restarts: u64,
    /// What decides about the next start.
    pub memory: Memory,
    /// `null` is unlimited.
    pub max_fail_count: Option<u32>,
    /// A give-up was told, and its end is owed.
    pub told: bool,
    /// The last `resume` that was heeded.
    #[serde(with = "millis")]
    pub resumed_ms: Time,
    /// Who began the watch; a state of an older version does not say it.
    pub begun_by: Option<Origin>,
    /// What has been said, and is not to be said again.
    pub said: Said,
    /// How the process ended last.
    pub last_exit: Option<LastExit>,
    /// When it died lately.
    #[serde(rename = "deaths_ms")]
    pub deaths: Deaths,
    /// How the last start command ended.
    pub last_start: Option<LastStart>,
    /// What has happened so often.
    pub counters: Counters,
    /// What the OOM killer had done while the process lived.
    pub oom_kills: OomKills,
    /// What the last probe saw of the file that is to change.
    pub heartbeat: Option<Heartbeat>,
    /// The watchdog takes [requests](request).
    pub takes_requests: bool,
    /// Something has been seen that these settings mean.
    pub ever_seen: bool,
    /// What an attempt left running and is called otherwise. While it lives, nothing is started.
    pub left_near: Option<ProcessId>,
    /// What held it when a start would have come, beside what people say.
    pub held: Option<Held>,
    /// What descends from the process that is being stopped, as far as it may have to be ended with it.
    pub noted: Vec<ProcessId>,
    /// When this was written.
    #[serde(with = "millis")]
    pub written_ms: Time,
    /// By how much the wall clock was ahead of the clock of all times here when this was written.
    pub clocks_ms: Option<i64>,
    /// The other settings that were tried since the process was last seen to run: each the number of
    /// `settings` in the file, the last one at the end.
    pub seen: Vec<u64>,
    /// Where its log is, unless that is no text.
    pub log: Option<String>,
    /// Where the log of its start commands is.
    pub output_log: Option<String>,
}

impl State {
    /// How the process is that runs.
    pub fn up(&self, process: ProcessId) -> Status {
        let series = self.memory.health.series.filter(|series| series.process.is_same(process));
        match series.map(|series| series.condition) {
            _ if self.memory.stopping.is_some() => Status::Stopping,
            _ if self.said.last(Notice::Stopped).is_some() => Status::Suspended,
            Some(Condition::Unhealthy) => Status::Unhealthy,
            Some(Condition::Starting) => Status::Starting,
            _ if self.memory.judging => Status::Starting,
            Some(Condition::Healthy) | None => Status::Running,
        }
    }
}

/// How it is with the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    Running,
    /// It runs, and no attempt or probe has been judged well yet.
    Starting,
    Unhealthy,
    Suspended,
    Stopping,
    NotRunning,
    #[default]
    Unknown,
}

impl Status {
    /// There is a process.
    pub fn is_up(self) -> bool {
        !matches!(self, Status::NotRunning | Status::Unknown)
    }

    /// As people and scripts read it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Starting => "starting",
            Status::Unhealthy => "unhealthy",
            Status::Suspended => "suspended",
            Status::Stopping => "stopping",
            Status::NotRunning => "not running",
            Status::Unknown => "unknown",
        }
    }
}

/// Who began a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Somebody at a terminal.
    #[serde(rename = "hand")]
    Terminal,
    /// A container: this is its process 1.
    #[serde(rename = "container")]
    Container,
    /// A service manager (`INVOCATION_ID`, systemd.exec(5)).
    #[serde(rename = "systemd")]
    ServiceManager,
    /// A line in a crontab, or another program.
    #[serde(rename = "cron")]
    Line,
}

/// What an instance sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// The process runs.
    Running,
    /// It does not.
    Missing,
    /// Nobody can tell.
    #[default]
    Unknown,
}

/// Why a file was not read.
#[derive(Debug)]
pub enum Unread {
    /// It is damaged, or none of this version.
    Foreign(String),
    /// It cannot be read.
    Failed(io::Error),
}

/// The files of one instance in the state folder.
#[derive(Debug, Clone)]
pub struct Files {
    pub folder: PathBuf,
    /// Where they were before there was a place for each machine.
    pub old: Option<PathBuf>,
    pub trust: Trust,
    pub name: Name,
    boot_id: String,
    /// Why they are of no use, whatever they are.
    pub useless: Option<&'static str>,
}

/// Between two runs of one that checks once each time, an instance is watched for so long.
const LATELY: Duration = Duration::from_secs(3600);

/// What stands for the boot in a file that does not outlive one, where the boot's own id cannot be seen.
const ANY_BOOT: &str = "tmpfs";

impl Files {
    /// Those of instance `name` in `folder`, in the boot `boot_id`, whoever has put them there.
    pub fn new(folder: &Path, name: &Name, boot_id: &str) -> Self {
        let (folder, name, boot_id) = (folder.to_owned(), name.clone(), boot_id.to_owned());
        Files { folder, old: None, trust: Trust::Anyone, name, boot_id, useless: None }
    }

    /// Those of instance `name`, for a watch.
    pub fn of(dirs: &Dirs, name: &Name, boot_id: &str) -> Self {
        let old = dirs.old_state.clone();
        Files { old, trust: dirs.trust, ..Files::new(&dirs.state, name, boot_id) }
    }

    /// Those that were kept in `old` before.
    pub fn after(self, old: Option<PathBuf>) -> Self {
        Files { old, ..self }
    }

    /// Those of another instance in the same place.
    pub fn of_another(&self, name: &Name) -> Self {
        Files { name: name.clone(), ..self.clone() }
    }

    /// Those in the place where they were before.
    pub(crate) fn before(&self) -> Option<Self> {
        let folder = self.old.clone()?;
        Some(Files { folder, old: None, ..self.clone() })
    }

    pub(crate) fn file(&self, ending: &str) -> String {
        format!("{}.{ending}", self.name)
    }

    /// Where they are, if they are of any use.
    pub(crate) fn dir(&self) -> io::Result<Dir> {
        match self.useless {
            Some(why) => Err(io::Error::other(why)),
            None => Dir::open(&self.folder, self.trust),
        }
    }

    /// Where they are to be written. The folder is made where there is none.
    ///
    /// # Errors
    /// They would be of no use to anybody: another user could write them, or nobody could tell of which boot they are.
    pub fn usable(&self) -> io::Result<Dir> {
        let dir = match self.useless {
            Some(why) => return Err(io::Error::other(why)),
            None => Dir::make(&self.folder, self.trust)?,
        };
        if self.boot_id.is_empty() && !dir.is_of_this_boot() {
            return Err(io::Error::other("the boot id cannot be read, since /proc/sys is hidden"));
        }
        Ok(dir)
    }

    /// Notes that `run` is stuck, beside its state, which is not ours to write. Whether this is news.
    pub fn note_stuck(&self, run: ProcessId) -> bool {
        let file = self.file("stuck");
        let noted = self.dir().and_then(|dir| dir.read(&file)).ok();
        let is_news = noted.and_then(|text| serde_json::from_str::<ProcessId>(&text).ok()) != Some(run);
        if is_news {
            // If that fails, it is said each time.
            let _ = self.usable().and_then(|dir| dir.replace(&file, &run, WaitFor::Nothing));
        }
        is_news
    }

    /// What the last start command has noted: its number and start, after the boot and the time of the attempt.
    pub fn start_note(&self) -> Option<String> {
        let here = self.dir().and_then(|dir| dir.read(self.file("start"))).ok();
        here.or_else(|| self.before()?.start_note())
    }

    /// The file for the next start command to note its number and start in: the boot and the time of the
    /// `attempt` are there already.
    ///
    /// # Errors
    /// It could not be made.
    pub fn new_start_note(&self, attempt: Time) -> io::Result<File> {
        let (dir, name) = (self.usable()?, self.file("start"));
        // Not the old one: a command that began long ago may still be about to write to that.
        dir.remove(&name)?;
        let mut file = dir.new_file(&name, OFlags::WRONLY | OFlags::APPEND, 0o600)?;
        writeln!(file, "{} {}", self.boot_id(), attempt.as_millis())?;
        Ok(file)
    }

    /// The boot that times belong to.
    pub fn boot_id(&self) -> String {
        match self.boot_id.as_str() {
            "" if self.is_of_this_boot(ANY_BOOT) => ANY_BOOT.to_owned(),
            own => own.to_owned(),
        }
    }

    /// Whether what says that it is of `boot_id` is certainly not of this boot.
    pub(crate) fn is_of_another_boot(&self, boot_id: &str) -> bool {
        !boot_id.is_empty() && !self.boot_id.is_empty() && !self.is_of_this_boot(boot_id)
    }

    /// Whether what is there of the boot `boot_id` is of this one.
    pub fn is_of_this_boot(&self, boot_id: &str) -> bool {
        if self.boot_id.is_empty() || boot_id == ANY_BOOT {
            self.dir().is_ok_and(|dir| dir.is_of_this_boot())
        } else {
            boot_id == self.boot_id
        }
    }

    /// The state as it was left, whichever boot it is of, if there is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn state(&self) -> Result<Option<State>, Unread> {
        let here = self.read(&self.file("json"), |state: &State| state.version)?;
        // Older versions left out much, but not these.
        if here.as_ref().is_some_and(|state| state.name.is_empty() || state.boot_id.is_empty()) {
            return Err(Unread::Foreign("no name or boot_id".to_owned()));
        }
        Ok(here.or_else(|| self.state_before()))
    }

    /// The state in the place where it was before, if it is of this boot.
    pub fn state_before(&self) -> Option<State> {
        self.before()?.state_of_this_boot().ok().flatten()
    }

    /// The state as it was left, if there is one of this boot.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn state_of_this_boot(&self) -> Result<Option<State>, Unread> {
        Ok(self.state()?.filter(|state| self.is_of_this_boot(&state.boot_id)))
    }

    /// Replaces the state.
    ///
    /// # Errors
    /// It could not be written; then the old one is still there.
    pub fn write_state(&self, state: &State) -> io::Result<()> {
        self.usable()?.replace(&self.file("json"), state, WaitFor::Nothing)
    }

    /// Puts a state file that cannot be used aside.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn set_state_aside(&self) -> io::Result<PathBuf> {
        let aside = self.file("json.damaged");
        self.dir()?.rename(self.file("json"), &aside)?;
        Ok(self.folder.join(aside))
    }

    /// Says that a check has been made: the time of the state file.
    pub fn touch(&self) {
        let now = SystemTime::now();
        let _ = self
            .dir()
            .and_then(|dir| dir.open_file(self.file("json"), OFlags::WRONLY))
            .and_then(|file| file.set_modified(now));
    }

    /// Whether there is a state file.
    pub fn has_state(&self) -> bool {
        self.about_state().is_some()
    }

    /// When a check was last made, or `state`, which is what there is, was last written. The file's time is by the
    /// wall clock as it was then, and nothing is made of that as it is now.
    pub fn checked(&self, state: &State) -> Time {
        let (now, touched) = (crate::time::now(), self.about_state().map(|about| written_ms(&about)));
        match (touched, state.clocks_ms) {
            (Some(touched), Some(clocks)) => {
                let touched = u64::try_from(touched.saturating_sub(clocks)).map(Time::from_millis);
                let is_possible = |touched: &Time| (state.written_ms..=now).contains(touched);
                touched.ok().filter(is_possible).unwrap_or(state.written_ms).min(now)
            }
            // Of a version that did not note how the clocks were.
            (Some(touched), None) => {
                let age = crate::time::wall_ms().saturating_sub(touched);
                now.saturating_sub(Time::from_millis(u64::try_from(age).unwrap_or_default()))
            }
            (None, _) => state.written_ms.min(now),
        }
    }

    fn about_state(&self) -> Option<rustix::fs::Stat> {
        self.dir().ok()?.about(self.file("json")).ok()
    }

    /// The user whose watchdog wrote the state.
    pub fn owner(&self) -> Option<u32> {
        Some(self.about_state()?.st_uid)
    }

    /// Removes what watchdogs that were cut off have left half written. `is_there` tells who is still at it.
    pub fn remove_unfinished(&self, is_there: impl Fn(Pid) -> bool) {
        let Ok(dir) = self.dir() else { return };
        for file in dir.names() {
            let of = |ending| file.strip_prefix(&self.file(ending))?.strip_prefix('.')?.strip_suffix(".new");
            let pid = ["json", "pause", "request", "stuck"]
                .into_iter()
                .find_map(of)
                .and_then(|pid| pid.parse().ok());
            if pid.is_some_and(|pid| !is_there(pid)) {
                // The next one removes it, if this one cannot.
                let _ = dir.remove(&file);
            }
        }
    }

    /// Reads a file of this program, if there is one.
    ///
    /// # Errors
    /// It is of another version or damaged, or it cannot be read.
    pub(crate) fn read<T: DeserializeOwned>(
        &self,
        file: &str,
        version: fn(&T) -> u32,
    ) -> Result<Option<T>, Unread> {
        let text = match self.dir().and_then(|dir| dir.read(file)) {
            Ok(text) => text,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => return Ok(None),
                io::ErrorKind::InvalidData => return Err(Unread::Foreign(error.to_string())),
                _ => return Err(Unread::Failed(error)),
            },
        };
        let read: T = serde_json::from_str(&text).map_err(|error| Unread::Foreign(error.to_string()))?;
        if version(&read) == VERSION {
            Ok(Some(read))
        } else {
            Err(Unread::Foreign("another version".to_owned()))
        }
    }
}

/// What the other instances of this folder follow, as far as somebody watches them.
pub fn followed_by_others(own: &Files, proc: &Proc) -> Vec<ProcessId> {
    let others = names([&own.folder]).into_iter().filter(|name| *name != own.name);
    let followed = others.filter_map(|name| {
        let files = Files { name, old: None, ..own.clone() };
        let state = files.state_of_this_boot().ok()??;
        let is_recent = |state: &State| crate::time::now().saturating_sub(files.checked(state)) < LATELY;
        let is_watched =
            state.watchdog.is_some_and(|it| proc.is_alive(it)) || state.once && is_recent(&state);
        state.process.filter(|_| is_watched).map(|process| process.id)
    });
    followed.collect()
}

/// The names of all instances that have left something in these `folders`.
pub fn names<'a>(folders: impl IntoIterator<Item = &'a PathBuf>) -> Vec<Name> {
    let dirs = folders.into_iter().filter_map(|folder| Dir::open(folder, Trust::Anyone).ok());
    let stem = |file: String| {
        let stem = file.strip_suffix(".json").or_else(|| file.strip_suffix(".lock"))?;
        crate::settings::name::name(stem).ok()
    };
    let mut names: Vec<_> = dirs.flat_map(|dir| dir.names()).filter_map(stem).collect();
    names.sort_by_key(Name::to_string);
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::Hold;
    use crate::policy::Request;
    use crate::process::{Bytes, Executable, Signature};
    use std::os::unix::fs::PermissionsExt;

    fn files(folder: &Path, boot_id: &str) -> Files {
        Files::new(folder, &crate::settings::name::name("x").unwrap(), boot_id)
    }

    fn state() -> State {
        let ms = Duration::from_millis;
        State {
            version: VERSION,
            name: "x".into(),
            boot_id: "this".into(),
            process_name: "^x".into(),
            program_version: "1.2.3".into(),
            digest: Digest { number: 7, version: 1 },
            once: false,
            interval_ms: ms(1000),
            watchdog: Some(ProcessId { pid: 4, started: ms(40) }),
            sight: Sight::Running,
            since_ms: ms(50),
            process: Some(StoredProcess {
                id: ProcessId { pid: 9, started: ms(9) },
                name: "x".into(),
                session: 9,
                has_terminal: false,
                signature: Signature::new(0, b"\xff/\0"),
            }),
            predecessor: Some(Predecessor {
                pid: 9,
                name: "x".into(),
                session: 9,
                has_terminal: false,
                since: ms(50),
                signature: Signature {
                    executable: Some(Executable { path: Bytes(b"/x".to_vec()), file: Some((1, 2)) }),
                    ..Signature::new(0, b"\xff/\0/y\0")
                },
            }),
            command: None,
            restarts: 2,
            memory: Memory::default(),
            max_fail_count: None,
            told: false,
            resumed_ms: ms(0),
            begun_by: Some(Origin::Line),
            said: Said::default(),
            last_exit: None,
            deaths: Deaths::default(),
            last_start: None,
            counters: Counters { give_ups: 3, ..Counters::default() },
            oom_kills: OomKills::default(),
            heartbeat: None,
            takes_requests: false,
            ever_seen: true,
            held: None,
            left_near: None,
            noted: vec![ProcessId { pid: 10, started: ms(11) }],
            written_ms: ms(60),
            clocks_ms: Some(-5),
            seen: vec![6],
            log: Some("/x.log".into()),
            output_log: None,
        }
    }

    #[test]
    fn what_is_written_is_read_and_open_to_all() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder.path().join("made"), "this");
        assert!(matches!(files.state(), Ok(None)));
        files.write_state(&state()).unwrap();
        assert_eq!(files.state().unwrap(), Some(state()));
        let path = folder.path().join("made/x.json");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(folder.path().join("made")).unwrap().count(), 1, "nothing else is left");
        assert_eq!(names([&folder.path().join("made")]), [crate::settings::name::name("x").unwrap()]);
        files.say(Some(&Held::new(Hold::Paused, None)), Duration::ZERO).unwrap();
        assert!(files.note_stuck(ProcessId { pid: 7, started: Duration::ZERO }));
        files.new_start_note(Duration::ZERO).unwrap();
        // As the README has it.
        let _request = files.ask(Request::Start).unwrap();
        for (ending, mode) in [("pause", 0o644), ("stuck", 0o644), ("start", 0o600), ("request", 0o600)] {
            let file = folder.path().join("made").join(files.file(ending));
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, mode, "{ending}");
        }
        let written: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for (word, value) in [
            (
                "process",
                r#"{ "pid": 9, "started_ms": 9, "name": "x", "session": 9, "has_terminal": false, "user": 0,
                     "argument": "ff2f", "script": "", "executable": null }"#,
            ),
            (
                "gone",
                r#"{ "pid": 9, "since_ms": 50, "name": "x", "session": 9, "has_terminal": false, "user": 0,
                     "argument": "ff2f", "script": "2f79", "executable": { "path": "2f78", "file": [1, 2] } }"#,
            ),
        ] {
            assert_eq!(written[word], serde_json::from_str::<serde_json::Value>(value).unwrap());
        }
    }

    #[test]
    fn what_an_older_version_did_not_write_is_as_in_a_new_state() {
        let mut written = serde_json::to_value(state()).unwrap();
        for (of, words) in [
            (
                "",
                "program_version settings_version begun_by counters noted ever_seen written_ms clocks_ms seen log",
            ),
            ("/memory", "ours health stopping life version window_stopped"),
            ("/process", "session has_terminal script executable"),
        ] {
            let object = written.pointer_mut(of).and_then(serde_json::Value::as_object_mut).unwrap();
            assert!(words.split(' ').all(|word| object.remove(word).is_some()), "{of}");
        }
        let expected = State {
            program_version: String::new(),
            digest: Digest { number: 7, version: 0 },
            begun_by: None,
            counters: Counters::default(),
            noted: vec![],
            ever_seen: false,
            written_ms: Duration::ZERO,
            clocks_ms: None,
            seen: vec![],
            log: None,
            process: state().process.map(|process| StoredProcess {
                session: 0,
                signature: Signature { script: None, ..process.signature },
                ..process
            }),
            ..state()
        };
        assert_eq!(serde_json::from_value::<State>(written).unwrap(), expected);
    }

    #[test]
    fn damaged_and_foreign_files_are_told_and_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), "this");
        let other = serde_json::to_string(&State { version: 2, ..state() }).unwrap();
        let nameless = serde_json::to_string(&State { name: String::new(), ..state() }).unwrap();
        for text in ["", "{", "null", "[1]", "\u{0}", &other, &nameless, &"[".repeat(100_000)] {
            std::fs::write(folder.path().join("x.json"), text).unwrap();
            assert!(matches!(files.state(), Err(Unread::Foreign(_))));
        }
        std::fs::write(folder.path().join("x.json"), b"\xff\xfe").unwrap();
        assert!(matches!(files.state(), Err(Unread::Foreign(_))));
        files.set_state_aside().unwrap();
        assert!(matches!(files.state(), Ok(None)));
        nix::unistd::mkfifo(&folder.path().join("x.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(files.state().is_err(), "a pipe blocks nobody");
    }

    #[test]
    fn a_check_is_noted_in_the_state_file_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), "this");
        let (path, precious) = (folder.path().join("x.json"), folder.path().join("precious"));
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        for file in [&path, &precious] {
            File::create(file).unwrap().set_modified(long_ago).unwrap();
        }
        let touched = |path: &Path| path.metadata().unwrap().modified().unwrap();
        files.touch();
        assert!(touched(&path) > long_ago);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        files.touch();
        assert_eq!(touched(&precious), long_ago, "a link is not followed");
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        files.touch(); // and a pipe not waited for
    }

    #[test]
    fn a_failed_write_leaves_the_old_state() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), "this");
        files.write_state(&state()).unwrap();
        let new = folder.path().join(format!("x.json.{}.new", std::process::id()));
        std::fs::create_dir_all(new.join("in the way")).unwrap();
        assert!(files.write_state(&State { restarts: 3, ..state() }).is_err());
        assert_eq!(files.state().unwrap().unwrap().restarts, 2);
    }

    #[test]
    fn when_a_check_was_made_is_told_without_the_clock_of_now() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), "this");
        let (now, hour) = (crate::time::now(), Duration::from_secs(3600));
        let written_ms = now.saturating_sub(Duration::from_secs(20));
        let state = State { written_ms, clocks_ms: Some(crate::time::clocks_ms()), ..state() };
        files.write_state(&state).unwrap();
        let file = || File::options().write(true).open(folder.path().join("x.json")).unwrap();
        let set = |time: SystemTime| file().set_modified(time).unwrap();
        set(SystemTime::now() - Duration::from_secs(10));
        let age = now.saturating_sub(files.checked(&state)).as_secs();
        assert!((8..=10).contains(&age), "{age}");
        for stepped in [SystemTime::now() - hour, SystemTime::now() + hour] {
            set(stepped);
            assert_eq!(files.checked(&state).as_millis(), written_ms.as_millis());
        }
        let old = State { written_ms: Duration::ZERO, clocks_ms: None, ..state };
        set(SystemTime::now() - Duration::from_secs(10));
        let age = crate::time::now().saturating_sub(files.checked(&old)).as_secs();
        assert!((9..=11).contains(&age), "{age}");
    }

    #[test]
    fn of_which_boot_a_file_is_can_be_told_without_an_id_where_none_outlives_it() {
        // As /run and /dev/shm are; the other one need not be anything.
        for (folder, is_on_tmpfs) in [("/dev/shm", true), ("/proc", false)] {
            let is_on_tmpfs = is_on_tmpfs
                && Dir::open(Path::new(folder), Trust::Anyone).is_ok_and(|it| it.is_of_this_boot());
            let (known, unknown) = (files(Path::new(folder), "this"), files(Path::new(folder), ""));
            assert_eq!((known.is_of_this_boot("this"), known.is_of_this_boot("that")), (true, false));
            assert_eq!(known.is_of_this_boot(ANY_BOOT), is_on_tmpfs);
            assert_eq!(unknown.is_of_this_boot("that"), is_on_tmpfs);
            assert_eq!((known.boot_id(), unknown.boot_id().is_empty()), ("this".to_owned(), !is_on_tmpfs));
        }
    }
}
