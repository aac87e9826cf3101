//! Directories and files that may be somebody else's, or that somebody may have put a pipe or a link in place of.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat, readlinkat, statat,
};
use rustix::io::Errno;
use serde::Serialize;

use crate::sys::custom_flags;

/// The largest state file that is read.
const LARGEST: u64 = 1 << 20;
/// More links than this, one after the other, are a loop.
const MOST_LINKS: usize = 8;
/// Nobody else writes what is made here, whatever the umask lets through.
const MODE_OF_DIRECTORIES: u32 = 0o755;

/// Whose directories and files are worked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// Whoever's. An ordinary user's directories are that user's business, and who only looks has nothing to lose.
    #[default]
    Anyone,
    /// Root's: what others can put there would decide what root writes, runs and ends.
    RootOnly,
}

/// What may be wrong with who can write a directory or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writable {
    /// It belongs to another user than root.
    Owner(u32),
    Everybody,
    /// By a group that is not root's.
    Group(u32),
}

impl Writable {
    /// Who can write what has these owner, group and mode, if anybody can beside root. In a directory that is
    /// `sticky`, nobody can replace what is root's.
    pub fn of(uid: u32, gid: u32, mode: u32, sticky: bool) -> Option<Self> {
        match mode {
            _ if uid != 0 => Some(Writable::Owner(uid)),
            _ if mode & 0o002 != 0 && !sticky => Some(Writable::Everybody),
            _ if mode & 0o020 != 0 && gid != 0 && !sticky => Some(Writable::Group(gid)),
            _ => None,
        }
    }

    /// What is the case, and what to type about it.
    pub fn remedy(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Writable::Owner(user) => format!("owned by user {user}: chown root {path}"),
            Writable::Everybody => format!("writable by everybody: chmod o-w {path}"),
            Writable::Group(group) => format!("writable by group {group}: chmod g-w {path}"),
        }
    }
}

/// Opens a file that may be anybody's, to read it: `None` if it is a pipe or a device, for which nobody waits.
///
/// # Errors
/// It cannot be opened.
pub fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let flags = custom_flags(OFlags::NONBLOCK | OFlags::NOCTTY);
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

/// A directory, held as a descriptor: what is done in it is done in the one that was tested.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    trust: Trust,
    follows_links: bool,
}

impl Dir {
    /// The directory at `path`, which is made where there is none.
    ///
    /// # Errors
    /// There is none and none can be made, or it is not to be trusted.
    pub fn make(path: &Path, trust: Trust) -> io::Result<Self> {
        match Self::open(path, trust) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(MODE_OF_DIRECTORIES).create(path)?;
                Self::open(path, trust)
            }
            opened => opened,
        }
    }

    /// The directory at `path`. Those that it is in are not tested, so that a link of somebody else's is none.
    ///
    /// # Errors
    /// There is none, or it is not to be trusted.
    pub fn open(path: &Path, trust: Trust) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // A slash at its end would follow a link.
        let mut at: PathBuf = path.components().collect();
        for _ in 0..MOST_LINKS {
            match openat(CWD, &at, flags | OFlags::DIRECTORY, Mode::empty()) {
                Ok(fd) => {
                    let dir = Dir { fd, path: path.to_owned(), trust, follows_links: false };
                    return dir.test().map(|()| dir);
                }
                Err(Errno::NOTDIR) => {}
                Err(error) => return Err(error.into()),
            }
            let link = openat(CWD, &at, flags, Mode::empty())?;
            let about = fstat(&link)?;
            if FileType::from_raw_mode(about.st_mode) != FileType::Symlink {
                return Err(Errno::NOTDIR.into());
            }
            if trust == Trust::RootOnly && about.st_uid != 0 {
                let (user, path) = (about.st_uid, at.display());
                return Err(io::Error::other(format!("a link of user {user}'s: remove {path}")));
            }
            let target = OsString::from_vec(readlinkat(&link, "", Vec::new())?.into_bytes());
            at = at.parent().unwrap_or(Path::new("/")).join(target).components().collect();
        }
        Err(Errno::LOOP.into())
    }

    /// The directory that the file at `path` is in, and the file's name.
    ///
    /// # Errors
    /// The path names no file.
    pub fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
        let folder =
            path.parent().map(|folder| if folder == Path::new("") { Path::new(".") } else { folder });
        folder.zip(path.file_name()).ok_or_else(|| Errno::ISDIR.into())
    }

    /// The same, in which links are followed, where whoever has made them is trusted.
    pub fn following_links(self) -> Self {
        Dir { follows_links: self.trust == Trust::Anyone, ..self }
    }

    fn test(&self) -> io::Result<()> {
        if self.trust == Trust::Anyone {
            return Ok(());
        }
        let Stat { st_uid, st_gid, st_mode, .. } = fstat(&self.fd)?;
        let is_sticky = st_mode & 0o1000 != 0;
        let why = match Writable::of(st_uid, st_gid, st_mode, is_sticky) {
            Some(by) => by.remedy(&self.path),
            // As /tmp is, which is to stay so: nobody can replace what is there, and everybody be the first to make it.
            None if st_mode & 0o002 != 0 => {
                "writable by everybody: use a directory in it (--log-dir, --state-dir)".to_owned()
            }
            None => return Ok(()),
        };
        Err(io::Error::other(why))
    }

    /// Opens a file that is there. A pipe that somebody put in its place is not waited for.
    ///
    /// # Errors
    /// There is none, or it is no regular file, or not to be trusted.
    pub fn open_file(&self, name: impl AsRef<OsStr>, flags: OFlags) -> io::Result<File> {
        self.file(name.as_ref(), flags, 0)
    }

    /// Makes a file, where there is nothing.
    ///
    /// # Errors
    /// There is something, or it cannot be made.
    pub fn new_file(&self, name: impl AsRef<OsStr>, flags: OFlags, mode: u32) -> io::Result<File> {
        self.file(name.as_ref(), flags | OFlags::CREATE | OFlags::EXCL, mode)
    }

    /// Opens a file, which is made where there is none.
    ///
    /// # Errors
    /// It cannot be opened or made, or is not to be trusted.
    pub fn make_file(&self, name: impl AsRef<OsStr>, flags: OFlags, mode: u32) -> io::Result<File> {
        let name = name.as_ref();
        // Another's file would be refused if it might have to be made (proc_sys_fs(5), `protected_regular`).
        match self.open_file(name, flags) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        match self.new_file(name, flags, mode) {
            // Somebody was faster; or it is a link to nothing, and may be followed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let create = if self.follows_links { OFlags::CREATE } else { OFlags::empty() };
                self.file(name, flags | create, mode)
            }
            new => new,
        }
    }

    /// Opens or makes a file that its owner alone can open, and locks it. `None` if somebody else has it locked.
    ///
    /// # Errors
    /// As [`Dir::make_file`], or there are no locks here.
    pub fn lock_file(&self, name: impl AsRef<OsStr>) -> io::Result<Option<File>> {
        let file = self.make_file(name, OFlags::RDWR, 0o600)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn file(&self, name: &OsStr, flags: OFlags, mode: u32) -> io::Result<File> {
        let follow = if self.follows_links { OFlags::empty() } else { OFlags::NOFOLLOW };
        let flags = flags | follow | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&self.fd, name, flags, Mode::from_raw_mode(mode)) {
            Err(Errno::LOOP) => return Err(self.refused(name, "is a link: remove it")),
            file => file?,
        };
        self.test_file(name, &fstat(&file)?)?;
        Ok(file.into())
    }

    fn test_file(&self, name: &OsStr, about: &Stat) -> io::Result<()> {
        let is_file = FileType::from_raw_mode(about.st_mode) == FileType::RegularFile;
        match (is_file, self.trust) {
            (false, _) => Err(self.refused(name, "is not a regular file")),
            (true, Trust::RootOnly) if about.st_uid != 0 => {
                Err(self.refused(name, &format!("belongs to user {}: remove it", about.st_uid)))
            }
            (true, Trust::RootOnly) if about.st_nlink > 1 => {
                Err(self.refused(name, &format!("has {} names: remove it", about.st_nlink)))
            }
            (true, _) => Ok(()),
        }
    }

    fn refused(&self, name: &OsStr, why: &str) -> io::Error {
        io::Error::other(format!("{} {why}", self.path.join(name).display()))
    }

    /// Reads a small file.
    ///
    /// # Errors
    /// It is no regular file of text, or cannot be read, or is not to be trusted.
    pub fn read(&self, name: impl AsRef<OsStr>) -> io::Result<String> {
        io::read_to_string(io::Read::take(self.open_file(name, OFlags::RDONLY)?, LARGEST))
    }

    /// Writes a new file and puts it in the place of the old one: a reader never sees half of either, and
    /// neither a kill nor a full disk loses both.
    ///
    /// # Errors
    /// It could not be written; then the old one is still there.
    pub fn replace(&self, name: &str, content: &impl Serialize, wait_for: WaitFor) -> io::Result<()> {
        let mut text = serde_json::to_vec(content)?;
        text.push(b'\n');
        self.replace_text(name, &text, wait_for)
    }

    /// The same, of any text.
    ///
    /// # Errors
    /// As [`Dir::replace`].
    pub fn replace_text(&self, name: &str, text: &[u8], wait_for: WaitFor) -> io::Result<()> {
        let new = format!("{name}.{}.new", std::process::id());
        // What a run that was cut off left there, or what somebody put there.
        let _ = self.remove(&new);
        let write = || -> io::Result<()> {
            let mut file = self.new_file(&new, OFlags::WRONLY, 0o644)?;
            file.write_all(text)?;
            // The mode is the same whatever the umask: everybody may see the state.
            file.set_permissions(Permissions::from_mode(0o644))?;
            if wait_for == WaitFor::Disk {
                file.sync_data()?;
            }
            self.rename(&new, name)
        };
        write().inspect_err(|_| {
            let _ = self.remove(&new);
        })
    }

    /// # Errors
    /// It cannot be renamed.
    pub fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from.as_ref(), &self.fd, to.as_ref())?)
    }

    /// Removes a file, if there is one.
    ///
    /// # Errors
    /// There is something that cannot be removed.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name.as_ref(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it is what is at its path, and to be trusted. Takes no descriptor, of which there may be none left.
    pub fn is_in_place(&self) -> bool {
        let there = rustix::fs::stat(&self.path).ok().map(|about| identity(&about));
        there.is_some() && there == self.identity() && self.test().is_ok()
    }

    /// What there is to know of a file that could be opened. Takes no descriptor either.
    ///
    /// # Errors
    /// There is none, or it is no regular file, or not to be trusted.
    pub fn about_file(&self, name: impl AsRef<OsStr>) -> io::Result<Stat> {
        let about = self.about(name.as_ref())?;
        self.test_file(name.as_ref(), &about).map(|()| about)
    }

    /// What there is to know of whatever has this name.
    ///
    /// # Errors
    /// There is nothing.
    pub fn about(&self, name: impl AsRef<OsStr>) -> io::Result<Stat> {
        let follow = if self.follows_links { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        Ok(statat(&self.fd, name.as_ref(), follow)?)
    }

    /// The names of all files in it.
    pub fn names(&self) -> Vec<String> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let entries = openat(&self.fd, ".", flags, Mode::empty()).and_then(rustix::fs::Dir::new);
        let entries = entries.into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned)).collect()
    }

    /// A path by which a library finds a file in this directory, whatever is at the directory's path by now.
    pub fn held_path(&self, name: &OsStr) -> PathBuf {
        Path::new(crate::sys::PROC).join(format!("self/fd/{}", self.fd.as_raw_fd())).join(name)
    }

    /// Which directory it is.
    pub fn identity(&self) -> Option<(u64, u64)> {
        fstat(&self.fd).ok().map(|about| identity(&about))
    }

    /// Whether what is in it does not outlive a boot.
    pub fn is_of_this_boot(&self) -> bool {
        use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
        fstatfs(&self.fd).is_ok_and(|about| about.filesystem_type() == TMPFS_MAGIC)
    }
}

/// A file that is held open, and its place.
#[derive(Debug)]
pub struct Placed {
    pub file: File,
    pub dir: Dir,
    pub name: String,
}

impl Placed {
    /// Whether what is in its place is this file; `None` if nothing is. Takes no descriptor, of which there may be none left.
    pub fn has_its_place(&self) -> Option<bool> {
        let (there, own) = (self.dir.about(&self.name).ok()?, fstat(&self.file).ok()?);
        Some(identity(&there) == identity(&own))
    }

    /// Whether whoever looks for it finds it.
    pub fn is_in_place(&self) -> bool {
        self.dir.is_in_place() && self.has_its_place() == Some(true)
    }

    /// Opens it by its path to be written: the mount that it was opened in may be a read-only one.
    ///
    /// # Errors
    /// As [`Dir::open_file`].
    pub fn reopen(&self) -> io::Result<File> {
        Dir::open(&self.dir.path, self.dir.trust)?.open_file(&self.name, OFlags::RDWR)
    }
}

/// Device and inode.
pub fn identity(about: &Stat) -> (u64, u64) {
    (about.st_dev, about.st_ino)
}

/// When a file was last written, in milliseconds since 1970 by the wall clock.
pub fn written_ms(about: &Stat) -> i64 {
    let nanos = i64::try_from(about.st_mtime_nsec).unwrap_or_default();
    about.st_mtime.saturating_mul(1000).saturating_add(nanos / 1_000_000)
}

/// Reads a small file; a pipe or a link that somebody put in its place is neither waited for nor followed.
///
/// # Errors
/// It is no regular file of text, or cannot be read.
pub fn read_file(path: &Path) -> io::Result<String> {
    let (folder, name) = Dir::split(path)?;
    Dir::open(folder, Trust::Anyone)?.read(name)
}

/// What a new file waits for before it takes the place of the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// A power cut may leave an empty one: a state is begun anew then, and is written at each death, where a
    /// slow disk would delay the start; and an empty pause of an upgrade is none.
    Nothing,
    /// It is on the disk: an empty pause would be one that nobody ends.
    Disk,
}

/// `path` as it is from everywhere: a leading `~` is `home`, and what is relative is so to `base`.
pub fn absolute(path: &OsStr, home: &Path, base: &Path) -> PathBuf {
    let path = Path::new(path);
    let path = path.strip_prefix("~").map_or_else(|_| base.join(path), |rest| home.join(rest));
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_write_is_told_from_owner_group_and_mode() {
        for (uid, gid, mode, sticky, by) in [
            (0, 0, 0o755, false, None),
            (0, 7, 0o755, false, None),
            (0, 0, 0o775, false, None),
            (0, 7, 0o775, true, None),
            (0, 7, 0o775, false, Some(Writable::Group(7))),
            (0, 7, 0o777, false, Some(Writable::Everybody)),
            (0, 0, 0o777, true, None),
            (7, 0, 0o755, true, Some(Writable::Owner(7))),
        ] {
            assert_eq!(Writable::of(uid, gid, mode, sticky), by, "{uid} {gid} {mode:o} {sticky}");
        }
    }

    #[test]
    fn a_path_is_the_same_from_everywhere() {
        let absolute = |path: &str| absolute(path.as_ref(), Path::new("/home/a"), Path::new("/srv"));
        for (given, path) in [
            ("~", "/home/a"),
            ("~/x", "/home/a/x"),
            ("~b/x", "/srv/~b/x"),
            ("./x", "/srv/x"),
            ("../x", "/srv/../x"),
            ("/x", "/x"),
        ] {
            assert_eq!(absolute(given), Path::new(path));
        }
    }

    #[test]
    fn what_is_done_is_done_in_the_directory_that_was_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dir");
        let dir = Dir::make(&path, Trust::Anyone).unwrap();
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        std::os::unix::fs::symlink("/nonexistent", &path).unwrap();
        dir.replace("x", &1, WaitFor::Nothing).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("moved/x")).unwrap(), "1\n");
        assert_eq!(std::fs::read_to_string(dir.held_path("x".as_ref())).unwrap(), "1\n");
        assert_eq!(dir.read("x").unwrap(), "1\n");
        assert!(dir.names().contains(&"x".to_owned()));
        assert!(Dir::open(&path, Trust::Anyone).is_err());
    }
}
