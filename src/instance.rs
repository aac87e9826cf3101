//! An instance: its name, its places, and the lock that makes it the only one.

use std::ffi::OsString;
use std::fmt;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use crate::cli::Cli;
use crate::config;
use crate::process::Pid;

/// The longest name: with the longest ending, `.output.log.1000`, it is still a file's name.
const LONGEST_NAME: usize = 64;

/// How many milliseconds an exec may take.
const EXEC_PATIENCE: u32 = 200;

/// What a watchdog is called, which is also the beginning of the names of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Name {
    /// A name made from a process name. If that is not fit for one, a number made from all of it keeps
    /// it apart from others like it.
    #[must_use]
    pub fn from_pattern(pattern: &str) -> Self {
        name(pattern).unwrap_or_else(|_| {
            let mut words: Vec<_> = pattern.split(|c| !is_fit(c)).filter(|word| !word.is_empty()).collect();
            words.truncate(8);
            let mut name: String = words.join("-").trim_matches(['.', '-']).chars().take(40).collect();
            if !name.is_empty() {
                name.push('-');
            }
            Name(format!("{name}{:08x}", fnv(pattern.as_bytes()) >> 32))
        })
    }
}

/// Reads a name.
///
/// # Errors
/// It would not do as the beginning of a file's name.
pub fn name(text: &str) -> Result<Name, (String, &'static str)> {
    const INSTEAD: &str = "give letters, digits, and any of . _ @ : - within, such as docker or web@2";
    if text.is_empty() {
        return Err(("is empty".into(), INSTEAD));
    }
    if text.len() > LONGEST_NAME {
        return Err(("is longer than 64 characters".into(), INSTEAD));
    }
    if let Some(unfit) = text.chars().find(|c| !is_fit(*c)) {
        return Err((format!("holds {unfit:?}, and is the name of files too"), INSTEAD));
    }
    if text.starts_with(['.', '-']) {
        return Err(("begins with a dot or a dash".into(), INSTEAD));
    }
    Ok(Name(text.to_owned()))
}

fn is_fit(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._@:-".contains(c)
}

/// FNV-1a, 64 bits: the same in each version of this program, which the standard library's is not.
#[must_use]
pub fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Who runs the program, as far as its places depend on it.
#[derive(Debug, Clone)]
pub struct User {
    /// The effective user.
    pub uid: u32,
    /// The home folder.
    pub home: PathBuf,
    /// `XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
}

impl User {
    /// Whoever runs this process.
    #[must_use]
    pub fn current() -> Self {
        let uid = nix::unistd::geteuid();
        let folder = |variable| {
            std::env::var_os(variable).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute())
        };
        let home = folder("HOME")
            .or_else(|| nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.dir))
            .unwrap_or_else(|| PathBuf::from("/"));
        User { uid: uid.as_raw(), home, xdg_state_home: folder("XDG_STATE_HOME") }
    }
}

impl User {
    /// Where the configurations of this user are.
    #[must_use]
    pub fn config_folder(&self) -> PathBuf {
        if self.uid == 0 { config::SYSTEM_FOLDER.into() } else { self.home.join(".config/watchdog") }
    }

    /// The folders where state, lock and pauses are and where logs are, unless the command line says
    /// otherwise.
    fn folders(&self) -> (PathBuf, PathBuf) {
        if self.uid == 0 {
            return (ROOTS_STATE.into(), "/var/log/watchdog".into());
        }
        let state = self.xdg_state_home.clone().unwrap_or_else(|| self.home.join(".local/state"));
        (state.join("watchdog"), state.join("watchdog"))
    }

    /// Where the state of this user's instances is, unless `given` says otherwise.
    #[must_use]
    pub fn state_folder(&self, given: Option<&OsString>) -> PathBuf {
        given.map_or_else(|| self.folders().0, PathBuf::from)
    }
}

/// Where the state of root's instances is, for all to see.
pub const ROOTS_STATE: &str = "/run/watchdog";

/// The folders of an instance. One place for each user, whatever started the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Where its logs are.
    pub logs: PathBuf,
    /// Where its lock is.
    pub state: PathBuf,
}

impl Places {
    /// The places of `user`, but for what the command line says.
    #[must_use]
    pub fn new(user: &User, cli: &Cli) -> Self {
        let logs = cli.logs.log_dir.as_ref().map_or_else(|| user.folders().1, PathBuf::from);
        Places { logs, state: user.state_folder(cli.run.state_dir.as_ref()) }
    }

    /// The log of instance `name`.
    #[must_use]
    pub fn log(&self, name: &Name) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// The log of what its start commands write.
    #[must_use]
    pub fn output_log(&self, name: &Name) -> PathBuf {
        self.logs.join(format!("{name}.output.log"))
    }
}

/// The lock of an instance, held as long as this lives.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    /// The watchdog that held it before and did not say that it ended.
    pub cut_off: Option<Pid>,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process.
    pub pid: Option<Pid>,
    /// Its settings.
    pub settings: String,
}

/// What came of asking for a lock.
#[derive(Debug)]
pub enum Locking {
    /// It is ours.
    Held(Lock),
    /// It is somebody else's.
    Busy(Holder),
}

impl Lock {
    /// Asks for the lock of instance `name`, for a watch with these `settings`.
    ///
    /// A watchdog that was killed between fork and exec of its start command leaves the lock to that until
    /// the exec, which is a moment: unless the holder `may_be_alive`, it is waited for.
    ///
    /// # Errors
    /// The folder or the file cannot be made, opened or written.
    pub fn take(
        folder: &Path,
        name: &Name,
        settings: &str,
        may_be_alive: impl Fn(Option<Pid>) -> bool,
    ) -> io::Result<Locking> {
        let mut patience = EXEC_PATIENCE;
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        let path = folder.join(format!("{name}.lock"));
        loop {
            // Mode 0600: whoever can open a file can lock it.
            let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
            let file = match options.open(&path) {
                // One that is there can be locked all the same.
                Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                    let there = OpenOptions::new().read(true).custom_flags(flags).open(&path);
                    there.map_err(|_| error)?
                }
                file => file?,
            };
            let opened = file.metadata()?;
            if !opened.is_file() {
                return Err(io::Error::other(format!("{} is not a regular file", path.display())));
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let holder = Holder::read(file);
                    if patience == 0 || may_be_alive(holder.pid) {
                        return Ok(Locking::Busy(holder));
                    }
                    patience -= 1;
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Somebody may have put another file in its place, and locked that.
            if is_at(&path, &opened) {
                if opened.mode() & 0o077 != 0 {
                    let _ = file.set_permissions(std::fs::Permissions::from_mode(0o600));
                }
                let before = Holder::read(file.try_clone()?);
                let mut lock = Lock { file, path, cut_off: before.pid };
                // On a full disk it says nothing, and holds.
                lock.note(settings);
                return Ok(Locking::Held(lock));
            }
        }
    }

    /// Whether its file is still in its place, so that a second watchdog of the name meets it.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.file.metadata().is_ok_and(|opened| is_at(&self.path, &opened))
    }

    /// Says who holds it, with what settings.
    pub fn note(&mut self, settings: &str) {
        // Another watchdog of the name says less, if this fails.
        let _ = self.write(&format!("{}\n{settings}\n", std::process::id()));
    }

    /// Says that this watch has ended in order.
    pub fn release(mut self) {
        let _ = self.write("");
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())
    }
}

fn is_at(path: &Path, opened: &Metadata) -> bool {
    let now = std::fs::symlink_metadata(path);
    now.is_ok_and(|now| (now.dev(), now.ino()) == (opened.dev(), opened.ino()))
}

impl Holder {
    /// ` (pid 812)`, if it is known.
    #[must_use]
    pub fn in_brackets(&self) -> String {
        self.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    }

    fn read(file: File) -> Self {
        let mut text = String::new();
        let _ = file.take(1 << 20).read_to_string(&mut text);
        let (pid, settings) = text.split_once('\n').unwrap_or_default();
        Holder { pid: pid.parse().ok(), settings: settings.trim_end().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_pattern_makes_a_safe_name_and_no_two_the_same() {
        let patterns = [
            "docker",
            "../../etc/passwd",
            "/etc/passwd",
            "^nginx: master",
            "nginx: master",
            ".",
            "..",
            "-x",
            "",
            "ä",
            "%s",
            "a b",
            "a\nb",
            "x".repeat(300).as_str(),
            "a/b",
            "a\\/b",
            "$(reboot)",
            "web@2",
        ]
        .map(str::to_owned);
        let names: Vec<_> = patterns.iter().map(|pattern| Name::from_pattern(pattern)).collect();
        for (pattern, made) in patterns.iter().zip(&names) {
            assert_eq!(name(&made.0), Ok(made.clone()), "{pattern:?}");
            assert_eq!(names.iter().filter(|name| *name == made).count(), 1, "{pattern:?}");
        }
        assert_eq!((names[0].0.as_str(), names[17].0.as_str()), ("docker", "web@2"));
        assert_eq!(names[1].0, "etc-passwd-2bef2c0b");
    }

    #[test]
    fn unfit_names_are_refused() {
        for text in ["", ".hidden", "-x", "a/b", "a b", "ü", "a\n", &"x".repeat(65)] {
            assert!(name(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn places_are_those_of_the_user() {
        let user = |uid, xdg: Option<&str>| User {
            uid,
            home: "/home/a".into(),
            xdg_state_home: xdg.map(Into::into),
        };
        let places = |user: &User| Places::new(user, &Cli::default());
        assert_eq!(
            places(&user(0, None)),
            Places { logs: "/var/log/watchdog".into(), state: "/run/watchdog".into() }
        );
        let home = "/home/a/.local/state/watchdog";
        assert_eq!(places(&user(7, None)), Places { logs: home.into(), state: home.into() });
        assert_eq!(
            places(&user(7, Some("/x"))),
            Places { logs: "/x/watchdog".into(), state: "/x/watchdog".into() }
        );
    }

    #[test]
    fn one_holds_the_lock_and_the_other_hears_who() {
        let folder = tempfile::tempdir().unwrap();
        let take = || Lock::take(&folder.path().join("made"), &Name("x".into()), "these", |_| true).unwrap();
        let Locking::Held(lock) = take() else { panic!("free") };
        assert_eq!(lock.cut_off, None);
        let Locking::Busy(holder) = take() else { panic!("taken") };
        assert_eq!(holder, Holder { pid: Some(std::process::id().cast_signed()), settings: "these".into() });
        drop(lock);
        let Locking::Held(lock) = take() else { panic!("free again") };
        assert_eq!(lock.cut_off, Some(std::process::id().cast_signed()), "it did not say that it ended");
        lock.release();
        let Locking::Held(lock) = take() else { panic!("free again") };
        assert_eq!(lock.cut_off, None);
        // A file that others could open, and so lock, is put right; and one that was replaced is not held.
        let path = folder.path().join("made/x.lock");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        let Locking::Held(_new) = take() else { panic!("the new file is free") };
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        drop(lock);
    }

    #[test]
    fn a_lock_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("x.lock")).unwrap();
        assert!(Lock::take(folder.path(), &Name("x".into()), "", |_| true).is_err());
    }
}
