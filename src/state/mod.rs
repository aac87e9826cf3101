//! What an instance knows beyond one run: the state file, and the pause.
//!
//! The state file is `NAME.json` in the state folder. Times are milliseconds on the clock that counts
//! from boot, time asleep included (`CLOCK_BOOTTIME`), and mean nothing after another boot than that of
//! `boot_id`. Fields are only added within a version.

use crate::fs::{WaitFor, open_in_place, read_file, replace};
use crate::process::ProcessId;
pub mod history;
pub mod lock;
pub mod said;
pub mod store;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::policy::Memory;
use crate::process::oom::OomKills;
use crate::process::termination::Predecessor;
use crate::process::{ProcessInfo, Signature};
use crate::settings::digest::Digest;
use crate::settings::name::Name;
use crate::state::history::{Deaths, LastExit, LastStart};
use crate::state::said::Said;
use crate::time::{Time, millis};

/// The version of the state file that this program writes and reads.
pub const VERSION: u32 = 1;
/// What an instance sees and remembers: the state file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// [`VERSION`].
    pub version: u32,
    /// The instance.
    pub name: String,
    /// The boot that all times here belong to (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// What is looked for, as it was given.
    pub process_name: String,
    /// A number that changes with the settings that decide.
    pub settings: u64,
    /// The version of that.
    #[serde(default)]
    pub settings_version: u32,
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
    #[serde(default)]
    pub begun_by: Option<Origin>,
    /// What has been said, and is not to be said again.
    pub said: Said,
    /// How the process ended last.
    #[serde(default)]
    pub last_exit: Option<LastExit>,
    /// When it died lately.
    #[serde(default, rename = "deaths_ms")]
    pub deaths: Deaths,
    /// How the last start command ended.
    #[serde(default)]
    pub last_start: Option<LastStart>,
    /// What the OOM killer had done while the process lived.
    #[serde(default)]
    pub oom_kills: OomKills,
}

impl State {
    /// What is kept of the settings.
    pub fn digest(&self) -> Digest {
        Digest { version: self.settings_version, number: self.settings }
    }
}

/// Who began a run. Those that the same begins are a series.
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

/// A watched process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredProcess {
    #[serde(flatten)]
    pub id: ProcessId,
    /// Printable.
    pub name: String,
    #[serde(flatten)]
    pub signature: Signature,
}

impl From<&ProcessInfo> for StoredProcess {
    fn from(process: &ProcessInfo) -> Self {
        let ProcessInfo { name, signature, .. } = process.clone();
        StoredProcess { id: process.id(), name, signature }
    }
}

/// Why a file was not read.
#[derive(Debug)]
pub enum Unread {
    /// There is none.
    None,
    /// It is damaged, or none of this version.
    Foreign(String),
    /// It cannot be read.
    Failed(io::Error),
}

/// The files of one instance in the state folder.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
    name: Name,
    boot_id: String,
}

impl Files {
    /// Those of instance `name` in `folder`, in the boot `boot_id`.
    pub fn new(folder: &Path, name: &Name, boot_id: &str) -> Self {
        Files { folder: folder.to_owned(), name: name.clone(), boot_id: boot_id.to_owned() }
    }

    pub(crate) fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    /// Notes that `run` is stuck, beside its state, which is not ours to write. Whether this is news.
    pub fn note_stuck(&self, run: ProcessId) -> bool {
        let path = self.path("stuck");
        let noted = read_file(&path).ok().and_then(|text| serde_json::from_str::<ProcessId>(&text).ok());
        let is_news = noted != Some(run);
        if is_news {
            // If that fails, it is said each time.
            let _ = replace(&path, &run, WaitFor::Nothing);
        }
        is_news
    }

    /// The file in which the last start command has noted its number and start.
    pub fn start_note(&self) -> PathBuf {
        self.path("start")
    }

    /// The file for the next start command to note its number and start in: the boot and the time of the
    /// `attempt` are there already.
    ///
    /// # Errors
    /// It could not be made.
    pub fn new_start_note(&self, attempt: Time) -> io::Result<File> {
        let path = self.start_note();
        // Not the old one: a command that began long ago may still be about to write to that.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{} {}", self.boot_id, attempt.as_millis())?;
        Ok(file)
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The boot that times belong to.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// The state as it was left, whichever boot it is of.
    ///
    /// # Errors
    /// There is none to be read.
    pub fn state(&self) -> Result<State, Unread> {
        read(&self.path("json"), |state: &State| state.version)
    }

    /// The state as it was left, if it is of this boot.
    ///
    /// # Errors
    /// There is none to be read.
    pub fn state_of_this_boot(&self) -> Result<Option<State>, Unread> {
        let is_of_this_boot = |state: &State| state.boot_id == self.boot_id && !self.boot_id.is_empty();
        self.state().map(|state| Some(state).filter(is_of_this_boot))
    }

    /// Replaces the state.
    ///
    /// # Errors
    /// It could not be written; then the old one is still there.
    pub fn write_state(&self, state: &State) -> io::Result<()> {
        replace(&self.path("json"), state, WaitFor::Nothing)
    }

    /// Puts a state file that cannot be used aside.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn set_state_aside(&self) -> io::Result<PathBuf> {
        let aside = self.path("json.damaged");
        std::fs::rename(self.path("json"), &aside)?;
        Ok(aside)
    }

    /// Says that a check has been made: the time of the state file.
    pub fn touch(&self) {
        let now = SystemTime::now();
        let _ = open_in_place(File::options().write(true), &self.path("json"))
            .and_then(|file| file.set_modified(now));
    }

    /// When a check was last made, or the state last changed.
    pub fn touched(&self) -> Option<SystemTime> {
        std::fs::metadata(self.path("json")).ok()?.modified().ok()
    }

    /// The user whose watchdog wrote the state.
    pub fn owner(&self) -> Option<u32> {
        Some(std::fs::metadata(self.path("json")).ok()?.uid())
    }
}

/// The names of all instances that have left something in `folder`.
pub fn names(folder: &Path) -> Vec<Name> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|file| {
            let file = file.file_name();
            let file = file.to_str()?;
            let stem = file.strip_suffix(".json").or_else(|| file.strip_suffix(".lock"))?;
            crate::settings::name::name(stem).ok()
        })
        .collect();
    names.sort_by_key(Name::to_string);
    names.dedup();
    names
}

/// Reads a file of this program, if it is of this version.
///
/// # Errors
/// There is none, it is of another version or damaged, or it cannot be read.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, version: fn(&T) -> u32) -> Result<T, Unread> {
    let text = read_file(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unread::None,
        io::ErrorKind::InvalidData => Unread::Foreign(error.to_string()),
        _ => Unread::Failed(error),
    })?;
    let read: T = serde_json::from_str(&text).map_err(|error| Unread::Foreign(error.to_string()))?;
    if version(&read) == VERSION { Ok(read) } else { Err(Unread::Foreign("another version".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::pause::Leave;
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
            settings: 7,
            settings_version: 1,
            once: false,
            interval_ms: ms(1000),
            watchdog: Some(ProcessId { pid: 4, started: ms(40) }),
            sight: Sight::Running,
            since_ms: ms(50),
            process: Some(StoredProcess {
                id: ProcessId { pid: 9, started: ms(9) },
                name: "x".into(),
                signature: Signature { user: 0, argument: b"\xff/".to_vec() },
            }),
            predecessor: Some(Predecessor {
                pid: 9,
                since: ms(50),
                signature: Signature { user: 0, argument: b"\xff/".to_vec() },
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
            oom_kills: OomKills::default(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_open_to_all() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder.path().join("made"), "this");
        assert!(matches!(files.state(), Err(Unread::None)));
        files.write_state(&state()).unwrap();
        assert_eq!(files.state().unwrap(), state());
        let path = folder.path().join("made/x.json");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(folder.path().join("made")).unwrap().count(), 1, "nothing else is left");
        assert_eq!(names(&folder.path().join("made")), [crate::settings::name::name("x").unwrap()]);
        files.say(Leave::Paused { until: None }, Duration::ZERO).unwrap();
        assert!(files.note_stuck(ProcessId { pid: 7, started: Duration::ZERO }));
        files.new_start_note(Duration::ZERO).unwrap();
        // As the README has it.
        for (ending, mode) in [("pause", 0o644), ("stuck", 0o644), ("start", 0o600)] {
            assert_eq!(files.path(ending).metadata().unwrap().permissions().mode() & 0o777, mode, "{ending}");
        }
        let written: serde_json::Value = serde_json::from_str(&read_file(&path).unwrap()).unwrap();
        for (word, value) in [
            ("process", r#"{ "pid": 9, "started_ms": 9, "name": "x", "user": 0, "argument": "ff2f" }"#),
            ("gone", r#"{ "pid": 9, "since_ms": 50, "user": 0, "argument": "ff2f" }"#),
        ] {
            assert_eq!(written[word], serde_json::from_str::<serde_json::Value>(value).unwrap());
        }
    }

    #[test]
    fn damaged_and_foreign_files_are_told_and_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), "this");
        let other = serde_json::to_string(&State { version: 2, ..state() }).unwrap();
        for text in ["", "{", "null", "[1]", "\u{0}", &other, &"[".repeat(100_000)] {
            std::fs::write(folder.path().join("x.json"), text).unwrap();
            assert!(matches!(files.state(), Err(Unread::Foreign(_))));
        }
        std::fs::write(folder.path().join("x.json"), b"\xff\xfe").unwrap();
        assert!(matches!(files.state(), Err(Unread::Foreign(_))));
        files.set_state_aside().unwrap();
        assert!(matches!(files.state(), Err(Unread::None)));
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
        files.touch();
        assert!(files.touched().unwrap() > long_ago);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        files.touch();
        assert_eq!(files.touched(), Some(long_ago), "a link is not followed");
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
        assert_eq!(files.state().unwrap().restarts, 2);
    }
}
