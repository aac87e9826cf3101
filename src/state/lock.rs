//! An instance: its name, its places, and the lock that makes it the only one.

use crate::settings::name::Name;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::sys::Pid;

/// How many milliseconds an exec may take.
const EXEC_PATIENCE: u32 = 200;

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
            let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
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
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    let holder = Holder::read(file);
                    if patience == 0 || may_be_alive(holder.pid) {
                        return Ok(Locking::Busy(holder));
                    }
                    patience -= 1;
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
                Err(error) => return Err(error.into()),
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
    use crate::settings::name::name;

    #[test]
    fn one_holds_the_lock_and_the_other_hears_who() {
        let folder = tempfile::tempdir().unwrap();
        let take =
            || Lock::take(&folder.path().join("made"), &name("x").unwrap(), "these", |_| true).unwrap();
        let Locking::Held(lock) = take() else { panic!("free") };
        assert_eq!(lock.cut_off, None);
        let Locking::Busy(holder) = take() else { panic!("taken") };
        assert_eq!(holder, Holder { pid: Some(nix::unistd::getpid().as_raw()), settings: "these".into() });
        drop(lock);
        let Locking::Held(lock) = take() else { panic!("free again") };
        assert_eq!(lock.cut_off, Some(nix::unistd::getpid().as_raw()), "it did not say that it ended");
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
        assert!(Lock::take(folder.path(), &name("x").unwrap(), "", |_| true).is_err());
    }
}
