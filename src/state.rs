//! What an instance knows beyond one run: the state file, and the pause.
//!
//! The state file is `NAME.json` in the state folder. Times are milliseconds on the clock that counts
//! from boot, time asleep included (`CLOCK_BOOTTIME`), and mean nothing after another boot than that of
//! `boot_id`. Fields are only added within a version.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::command::is_shortage;
use crate::history::{Deaths, LastExit, LastStart};
use crate::instance::Name;
use crate::millis;
use crate::policy::{Memory, Time};
use crate::process::death::Gone;
use crate::process::oom::OomKills;
use crate::process::{Kind, Pid, Seen};

/// The version of the state file that this program writes and reads.
pub const VERSION: u32 = 1;
/// The file of the pause of all instances while packages are upgraded. No instance's file has this ending.
const UPGRADE: &str = "upgrade.hold";
/// The largest state file that is read.
const LARGEST: u64 = 1 << 20;

/// What an instance sees and remembers: the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Each run is one check (`--once`).
    pub once: bool,
    /// Time between two checks of a long-running watch.
    #[serde(with = "millis")]
    pub interval_ms: Duration,
    /// Who watches, or did last.
    pub watchdog: Option<Running>,
    /// What was seen last.
    pub sight: Sight,
    /// Since when.
    #[serde(with = "millis")]
    pub since_ms: Time,
    /// The process that is followed, or was when it was last seen.
    pub process: Option<Followed>,
    /// The process that died last, against which left-overs are told.
    pub gone: Option<Died>,
    /// The start command at work.
    pub command: Option<Running>,
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
    /// What has been said, and is not to be said again: the last text of each kind.
    pub said: BTreeMap<String, String>,
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

/// What an instance sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// The process runs.
    Running,
    /// It does not.
    Missing,
    /// Nobody can tell.
    Unknown,
}

/// A process, so that it is not taken for another that has its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its number.
    pub pid: Pid,
    /// When it started, to the tick.
    #[serde(with = "millis")]
    pub started_ms: Time,
}

/// A watched process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// Its number.
    pub pid: Pid,
    /// When it started, to the tick.
    #[serde(with = "millis")]
    pub started_ms: Time,
    /// Its name, printable.
    pub name: String,
    /// Its effective user.
    pub user: u32,
    /// Its first argument without digits, each byte as two hexadecimal digits.
    pub argument: String,
}

/// A watched process that died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Died {
    /// Its number.
    pub pid: Pid,
    /// What started then or later is no left-over.
    #[serde(with = "millis")]
    pub since_ms: Time,
    /// Its effective user.
    pub user: u32,
    /// Its first argument without digits, each byte as two hexadecimal digits.
    pub argument: String,
}

impl From<&Seen> for Followed {
    fn from(seen: &Seen) -> Self {
        let Kind { user, argument } = &seen.kind;
        let (name, argument) = (seen.name.clone(), hex(argument));
        Followed { pid: seen.pid, started_ms: seen.started, name, user: *user, argument }
    }
}

impl From<&Gone> for Died {
    fn from(gone: &Gone) -> Self {
        Died { pid: gone.pid, since_ms: gone.since, user: gone.kind.user, argument: hex(&gone.kind.argument) }
    }
}

impl From<&Died> for Gone {
    fn from(died: &Died) -> Self {
        let kind = Kind { user: died.user, argument: unhex(&died.argument) };
        Gone { pid: died.pid, since: died.since_ms, kind }
    }
}

impl Followed {
    /// The process as one that is gone, when it was last seen at `since`.
    #[must_use]
    pub fn gone(&self, since: Time) -> Gone {
        Gone { pid: self.pid, since, kind: Kind { user: self.user, argument: unhex(&self.argument) } }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// A pause of an instance, and when it was last resumed: `NAME.pause` in the state folder; or the pause of
/// all instances while packages are upgraded: [`UPGRADE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// [`VERSION`].
    pub version: u32,
    /// The boot that the times here belong to.
    pub boot_id: String,
    /// It is to be left alone.
    pub paused: bool,
    /// Until then; `null` is until it is resumed.
    #[serde(with = "millis::optional")]
    pub until_ms: Option<Time>,
    /// When this was said.
    #[serde(with = "millis")]
    pub said_ms: Time,
}

/// Whether a start may come, as far as people are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It may; and at this time somebody last said `resume`, which forgets failures before.
    Given {
        /// When.
        resumed: Option<Time>,
    },
    /// It is to be left alone.
    Paused {
        /// Until then, if not for ever.
        until: Option<Time>,
    },
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
    #[must_use]
    pub fn new(folder: &Path, name: &Name, boot_id: &str) -> Self {
        Files { folder: folder.to_owned(), name: name.clone(), boot_id: boot_id.to_owned() }
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    /// Notes that `run` is stuck, beside its state, which is not ours to write. Whether this is news.
    #[must_use]
    pub fn note_stuck(&self, run: Running) -> bool {
        let path = self.path("stuck");
        let noted = read_file(&path).ok().and_then(|text| serde_json::from_str::<Running>(&text).ok());
        let is_news = noted != Some(run);
        if is_news {
            // If that fails, it is said each time.
            let _ = replace(&path, &run, WaitFor::Nothing);
        }
        is_news
    }

    /// The file in which the last start command has noted its number and start.
    #[must_use]
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
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The boot that times belong to.
    #[must_use]
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
    #[must_use]
    pub fn touched(&self) -> Option<SystemTime> {
        std::fs::metadata(self.path("json")).ok()?.modified().ok()
    }

    /// The user whose watchdog wrote the state.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        Some(std::fs::metadata(self.path("json")).ok()?.uid())
    }

    /// Whether a start may come now.
    #[must_use]
    pub fn leave(&self, now: Time) -> Leave {
        match (self.said(now), self.upgrade(now)) {
            (Leave::Paused { until }, Some(upgrade)) => {
                Leave::Paused { until: until.zip(upgrade.until_ms).map(|(one, other)| one.max(other)) }
            }
            // Somebody who says `resume` during an upgrade means it.
            (Leave::Given { resumed }, Some(upgrade))
                if resumed.is_none_or(|resumed| resumed < upgrade.said_ms) =>
            {
                Leave::Paused { until: upgrade.until_ms }
            }
            (said, _) => said,
        }
    }

    /// What people have said.
    fn said(&self, now: Time) -> Leave {
        let pause: Result<Pause, _> = read(&self.path("pause"), |pause: &Pause| pause.version);
        match pause {
            Ok(Pause { paused: true, until_ms: until, ref boot_id, .. })
                if *boot_id == self.boot_id && until.is_none_or(|until| now < until) =>
            {
                Leave::Paused { until }
            }
            Ok(Pause { paused: false, said_ms, ref boot_id, .. }) if *boot_id == self.boot_id => {
                Leave::Given { resumed: Some(said_ms) }
            }
            // Somebody has said something, and nobody can tell what.
            Err(Unread::Foreign(_)) => Leave::Paused { until: None },
            // With no descriptors left nothing could be started anyway.
            Err(Unread::Failed(error)) if is_shortage(&error) => Leave::Paused { until: None },
            // There is none, or time or a boot has ended it; and no other file delays a start.
            Ok(_) | Err(Unread::None | Unread::Failed(_)) => Leave::Given { resumed: None },
        }
    }

    /// The pause while packages are upgraded. Nobody would end one that cannot be read, so that it is none.
    fn upgrade(&self, now: Time) -> Option<Pause> {
        read(&self.folder.join(UPGRADE), |pause: &Pause| pause.version).ok().filter(|pause: &Pause| {
            pause.paused && pause.boot_id == self.boot_id && pause.until_ms.is_none_or(|until| now < until)
        })
    }

    /// Says that the process is to be left alone, or no longer.
    ///
    /// # Errors
    /// It could not be written.
    pub fn say(&self, leave: Leave, now: Time) -> io::Result<()> {
        let (paused, until_ms) = match leave {
            Leave::Paused { until } => (true, until),
            Leave::Given { .. } => (false, None),
        };
        let boot_id = self.boot_id.clone();
        let pause = Pause { version: VERSION, boot_id, paused, until_ms, said_ms: now };
        replace(&self.path("pause"), &pause, WaitFor::Disk)
    }
}

/// Says that all instances in `folder` are to be left alone until `until`, since packages are upgraded.
///
/// # Errors
/// It could not be written.
pub fn begin_upgrade(folder: &Path, boot_id: &str, until: Time, now: Time) -> io::Result<()> {
    let (version, boot_id, until_ms) = (VERSION, boot_id.to_owned(), Some(until));
    let pause = Pause { version, boot_id, paused: true, until_ms, said_ms: now };
    replace(&folder.join(UPGRADE), &pause, WaitFor::Nothing)
}

/// Says that packages are upgraded no longer. Nothing else is ended or forgotten by that.
///
/// # Errors
/// It could not be removed.
pub fn end_upgrade(folder: &Path) -> io::Result<()> {
    match std::fs::remove_file(folder.join(UPGRADE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The names of all instances that have left something in `folder`.
#[must_use]
pub fn names(folder: &Path) -> Vec<Name> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|file| {
            let file = file.file_name();
            let file = file.to_str()?;
            let stem = file.strip_suffix(".json").or_else(|| file.strip_suffix(".lock"))?;
            crate::instance::name(stem).ok()
        })
        .collect();
    names.sort_by_key(Name::to_string);
    names.dedup();
    names
}

/// This boot (random(4)). Empty where it cannot be read, which is like no other.
#[must_use]
pub fn boot_id(proc: &Path) -> String {
    let id = std::fs::read_to_string(proc.join("sys/kernel/random/boot_id")).unwrap_or_default();
    id.trim().to_owned()
}

/// Opens a file; a pipe or a link that somebody put in its place is neither waited for nor followed.
fn open_in_place(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = options.custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Reads a small file; a pipe or a link that somebody put in its place is neither waited for nor followed.
///
/// # Errors
/// It is no regular file of text, or cannot be read.
pub fn read_file(path: &Path) -> io::Result<String> {
    let file = open_in_place(OpenOptions::new().read(true), path)?;
    io::read_to_string(io::Read::take(file, LARGEST))
}

fn read<T: DeserializeOwned>(path: &Path, version: fn(&T) -> u32) -> Result<T, Unread> {
    let text = read_file(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unread::None,
        io::ErrorKind::InvalidData => Unread::Foreign(error.to_string()),
        _ => Unread::Failed(error),
    })?;
    let read: T = serde_json::from_str(&text).map_err(|error| Unread::Foreign(error.to_string()))?;
    if version(&read) == VERSION {
        Ok(read)
    } else {
        Err(Unread::Foreign("it is of another version".to_owned()))
    }
}

/// What a new file waits for before it takes the place of the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitFor {
    /// A power cut may leave an empty one: a state is begun anew then, and is written at each death, where a
    /// slow disk would delay the start; and an empty pause of an upgrade is none.
    Nothing,
    /// It is on the disk: an empty pause would be one that nobody ends.
    Disk,
}

/// Writes a new file and puts it in the place of the old one: a reader never sees half of either, and
/// neither a kill nor a full disk loses both.
fn replace(path: &Path, content: &impl Serialize, wait_for: WaitFor) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(new);
    // What a run that was cut off left there, or what somebody put there.
    let _ = std::fs::remove_file(&new);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        let mut text = serde_json::to_vec(content)?;
        text.push(b'\n');
        file.write_all(&text)?;
        // The mode is the same whatever the umask: everybody may see the state.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        if wait_for == WaitFor::Disk {
            file.sync_data()?;
        }
        std::fs::rename(&new, path)
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&new);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn files(folder: &Path, boot_id: &str) -> Files {
        Files::new(folder, &crate::instance::name("x").unwrap(), boot_id)
    }

    fn state() -> State {
        let ms = Duration::from_millis;
        State {
            version: VERSION,
            name: "x".into(),
            boot_id: "this".into(),
            process_name: "^x".into(),
            settings: 7,
            once: false,
            interval_ms: ms(1000),
            watchdog: Some(Running { pid: 4, started_ms: ms(40) }),
            sight: Sight::Running,
            since_ms: ms(50),
            process: Some(Followed {
                pid: 9,
                started_ms: ms(9),
                name: "x".into(),
                user: 0,
                argument: "ff2f".into(),
            }),
            gone: None,
            command: None,
            restarts: 2,
            memory: Memory::default(),
            max_fail_count: None,
            told: false,
            resumed_ms: ms(0),
            said: BTreeMap::new(),
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
        assert_eq!(names(&folder.path().join("made")), [crate::instance::name("x").unwrap()]);
        files.say(Leave::Paused { until: None }, Duration::ZERO).unwrap();
        assert!(files.note_stuck(Running { pid: 7, started_ms: Duration::ZERO }));
        files.new_start_note(Duration::ZERO).unwrap();
        // As the README has it.
        for (ending, mode) in [("pause", 0o644), ("stuck", 0o644), ("start", 0o600)] {
            assert_eq!(files.path(ending).metadata().unwrap().permissions().mode() & 0o777, mode, "{ending}");
        }
        let gone = state().process.unwrap().gone(Duration::from_millis(50));
        assert_eq!(Gone::from(&Died::from(&gone)), gone);
        assert_eq!(gone.kind.argument, b"\xff/");
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

    #[test]
    fn a_pause_ends_by_time_by_word_and_by_boot() {
        let folder = tempfile::tempdir().unwrap();
        let at = Duration::from_secs;
        let this = files(folder.path(), "this");
        assert_eq!(this.leave(at(1)), Leave::Given { resumed: None });
        this.say(Leave::Paused { until: None }, at(1)).unwrap();
        assert_eq!(this.leave(at(1_000_000)), Leave::Paused { until: None });
        assert_eq!(files(folder.path(), "next").leave(at(1)), Leave::Given { resumed: None });
        this.say(Leave::Paused { until: Some(at(5)) }, at(2)).unwrap();
        assert_eq!(this.leave(at(4)), Leave::Paused { until: Some(at(5)) });
        assert_eq!(this.leave(at(5)), Leave::Given { resumed: None });
        this.say(Leave::Given { resumed: None }, at(6)).unwrap();
        assert_eq!(this.leave(at(7)), Leave::Given { resumed: Some(at(6)) });
        std::fs::write(folder.path().join("x.pause"), "half of it").unwrap();
        assert_eq!(this.leave(at(7)), Leave::Paused { until: None });
    }

    #[test]
    fn an_upgrade_pauses_beside_what_people_say() {
        let folder = tempfile::tempdir().unwrap();
        let at = Duration::from_secs;
        let (this, folder) = (files(folder.path(), "this"), folder.path());
        let given = |resumed| Leave::Given { resumed };
        let paused = |until| Leave::Paused { until };
        end_upgrade(folder).unwrap();
        begin_upgrade(folder, "this", at(50), at(10)).unwrap();
        assert_eq!(this.leave(at(49)), paused(Some(at(50))));
        assert_eq!(this.leave(at(50)), given(None), "its time is over");
        assert_eq!(files(folder, "next").leave(at(11)), given(None), "a boot");
        assert_eq!(names(folder), [], "it is no instance");
        // The later end counts, and an end of the upgrade does not end what somebody said.
        for (said, both) in [(Some(at(20)), Some(at(50))), (Some(at(90)), Some(at(90))), (None, None)] {
            this.say(paused(said), at(11)).unwrap();
            assert_eq!(this.leave(at(12)), paused(both));
        }
        end_upgrade(folder).unwrap();
        assert_eq!(this.leave(at(12)), paused(None));
        // "resume" before an upgrade does not end it, one during it does.
        this.say(given(None), at(13)).unwrap();
        begin_upgrade(folder, "this", at(50), at(14)).unwrap();
        assert_eq!(this.leave(at(15)), paused(Some(at(50))));
        this.say(given(None), at(16)).unwrap();
        assert_eq!(this.leave(at(17)), given(Some(at(16))));
        std::fs::remove_file(folder.join("x.pause")).unwrap();
        std::fs::write(folder.join(UPGRADE), "half of it").unwrap();
        assert_eq!(this.leave(at(17)), given(None), "nobody would end it");
    }
}
