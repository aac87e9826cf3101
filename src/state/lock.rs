//! The lock that makes an instance the only one: of a file; or of a name in no directory, where there is no place for a
//! file that nobody else could lock.

use std::fs::{File, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept, bind, connect, listen, socket_with,
};

use crate::fs::{Dir, Placed};
use crate::settings::name::fnv;
use crate::state::Files;
use crate::sys::{self, PROC, Pid};

/// How often a lock is looked for that is replaced again and again.
const MOST_TRIES: usize = 8;
/// How many may ask who holds a lock before its holder has time for them.
const BACKLOG: i32 = 4096;
/// How many of them are answered at a time.
const MOST_ANSWERS: usize = 64;

/// The lock of an instance, held as long as this lives.
#[derive(Debug)]
pub struct Lock {
    file: Option<Placed>,
    socket: Option<OwnedFd>,
    /// The watchdog that held it before and did not say that it ended.
    pub cut_off: Option<Pid>,
    /// Another machine has the lock in the directory.
    pub is_elsewhere: bool,
}

/// Who holds a lock, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    pub pid: Option<Pid>,
    /// Its settings, if it says them.
    pub settings: Option<String>,
    /// The boot that it is of.
    boot_id: String,
}

/// Why there is no lock.
#[derive(Debug)]
pub enum NoLock {
    /// Another watchdog has it.
    Busy(Holder),
    /// Another user has the name that would be it: this one, if that is known.
    Taken(Option<u32>),
    /// It cannot be made.
    Failed(io::Error),
}

impl<E: Into<io::Error>> From<E> for NoLock {
    fn from(error: E) -> Self {
        NoLock::Failed(error.into())
    }
}

impl Lock {
    /// Asks once for the lock of an instance with these `files`, for a watch with these `settings`.
    ///
    /// A watchdog that was killed between fork and exec of its start command leaves the lock to that until
    /// the exec, which is a moment.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn take(files: &Files, settings: &str) -> Result<Self, NoLock> {
        let mut lock = Lock { file: None, socket: None, cut_off: None, is_elsewhere: false };
        let why = match in_file(files, settings) {
            Ok((file, cut_off)) => return Ok(Lock { file: Some(file), cut_off, ..lock }),
            Err(why) => why,
        };
        lock.is_elsewhere = is_elsewhere(&why, files);
        match why {
            NoLock::Busy(_) if !lock.is_elsewhere => Err(why),
            // It is alone in its container, which ends with it.
            _ if std::process::id() == 1 => Ok(lock),
            _ => Ok(Lock { socket: Some(in_no_directory(files)?), ..lock }),
        }
    }

    /// Sees to it that a second watchdog of the name meets this lock, wherever it looks for it.
    ///
    /// # Errors
    /// Another watchdog has it by now, or there is none to be had.
    pub fn keep(&mut self, files: &Files, settings: &str) -> Result<(), NoLock> {
        let is_unneeded = self.file.is_none() && self.socket.is_none();
        if is_unneeded || self.file.as_ref().is_some_and(Placed::is_in_place) {
            return Ok(());
        }
        match in_file(files, settings) {
            Ok((file, _)) => self.file = Some(file),
            Err(why @ NoLock::Busy(_)) if !is_elsewhere(&why, files) => return Err(why),
            Err(_) if self.socket.is_some() => {}
            Err(_) => (self.file, self.socket) = (None, Some(in_no_directory(files)?)),
        }
        Ok(())
    }

    /// Says who holds it, with what settings.
    pub fn note(&mut self, files: &Files, settings: &str) {
        if let Some(lock) = &mut self.file {
            // Another watchdog of the name says less, if this fails.
            let _ = note(&mut lock.file, files, settings);
        }
    }

    /// Says that this watch has ended in order.
    pub fn release(self) {
        let Some(lock) = self.file else { return };
        // It was opened to be read alone, if the place could not be written then.
        if lock.file.set_len(0).is_err() && lock.is_in_place() {
            let _ = lock.reopen().and_then(|file| file.set_len(0));
        }
    }

    /// What becomes readable when somebody asks who holds it.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Makes room for others to ask: those before have their answer from the kernel. Whether there is room.
    pub fn make_room(&self) -> bool {
        let mut asked = self.socket.iter().flat_map(|socket| std::iter::repeat_with(move || accept(socket)));
        let first_error = asked.by_ref().take(MOST_ANSWERS).find_map(Result::err);
        first_error.is_none_or(|error| error == Errno::WOULDBLOCK)
    }
}

/// Takes the lock of the file in the state directory. The watchdog that did not say that it ended, if any.
fn in_file(files: &Files, settings: &str) -> Result<(Placed, Option<Pid>), NoLock> {
    for _ in 0..MOST_TRIES {
        let (name, dir) = (files.file("lock"), Dir::make(&files.folder, files.trust)?);
        // Mode 0600: whoever can open a file can lock it.
        let file = match dir.make_file(&name, OFlags::RDWR, 0o600) {
            // One that is there can be locked all the same.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                dir.open_file(&name, OFlags::RDONLY).map_err(|_| error)?
            }
            file => file?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(NoLock::Busy(Holder::read(&file))),
            locked => locked?,
        }
        let mut lock = Placed { file, dir, name };
        // Somebody may have put another file in its place, and locked that.
        if !lock.is_in_place() {
            continue;
        }
        if lock.file.metadata()?.mode() & 0o077 != 0 {
            let _ = lock.file.set_permissions(Permissions::from_mode(0o600));
        }
        let before = Holder::read(&lock.file);
        // On a full disk it says nothing, and holds.
        let _ = note(&mut lock.file, files, settings);
        return Ok((lock, before.pid));
    }
    Err(NoLock::Failed(Errno::AGAIN.into()))
}

fn note(file: &mut File, files: &Files, settings: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n{settings}\n{}\n", std::process::id(), files.boot_id()).as_bytes())
}

/// Whether the lock is one of another boot, and no reason here: on a file server, another machine's, or never let go.
fn is_elsewhere(why: &NoLock, files: &Files) -> bool {
    matches!(why, NoLock::Busy(holder) if files.is_of_another_boot(&holder.boot_id))
}

/// Takes a name that only one socket can have. It ends with its holder, and is seen in the network namespace.
fn in_no_directory(files: &Files) -> Result<OwnedFd, NoLock> {
    let namespace =
        std::fs::metadata(Path::new(PROC).join("self/ns/pid")).map_or(0, |namespace| namespace.ino());
    let user = rustix::process::geteuid().as_raw();
    let whose = format!("{user}/{}/{namespace}/{}", files.boot_id(), files.file("lock"));
    let name =
        SocketAddrUnix::new_abstract_name(format!("watchdog-{:016x}", fnv(whose.as_bytes())).as_bytes())?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let new = || socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let socket = new()?;
    match bind(&socket, &name).and_then(|()| listen(&socket, BACKLOG)) {
        Ok(()) => return Ok(socket),
        Err(Errno::ADDRINUSE) => {}
        Err(error) => return Err(error.into()),
    }
    let asking = new()?;
    match connect(&asking, &name) {
        Ok(()) => match sys::peer(asking.as_fd())? {
            (holder, pid) if [0, user].contains(&holder) => {
                Err(NoLock::Busy(Holder { pid, ..Holder::default() }))
            }
            (other, _) => Err(NoLock::Taken(Some(other))),
        },
        // Nobody answers those who have asked.
        Err(Errno::AGAIN) => Err(NoLock::Taken(None)),
        // It listens in a moment, or has just ended.
        Err(Errno::CONNREFUSED) => Err(NoLock::Busy(Holder::default())),
        Err(error) => Err(error.into()),
    }
}

/// Who holds the lock in the place where it was before there was a place for each machine.
pub fn holder_before(files: &Files) -> Option<Holder> {
    let before = files.before()?;
    let dir = Dir::open(&before.folder, before.trust).ok()?;
    let file = dir.open_file(before.file("lock"), OFlags::RDONLY).ok()?;
    let is_held = flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK);
    is_held.then(|| Holder::read(&file))
}

impl Holder {
    /// ` (pid 812)`, if it is known.
    pub fn in_brackets(&self) -> String {
        self.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    }

    fn read(file: &File) -> Self {
        let mut text = String::new();
        let _ = file.take(1 << 20).read_to_string(&mut text);
        let mut lines = text.lines().map(str::to_owned);
        let (pid, settings) = (lines.next().and_then(|pid| pid.parse().ok()), lines.next());
        // Just taken, or about to be let go, it says nothing.
        Holder { pid, settings, boot_id: lines.next().unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::name::name;

    fn files(folder: &Path) -> Files {
        Files::new(folder, &name("x").unwrap(), "this")
    }

    fn busy(taken: Result<Lock, NoLock>) -> Holder {
        let Err(NoLock::Busy(holder)) = taken else { panic!("{taken:?}") };
        holder
    }

    #[test]
    fn a_holder_that_says_nothing_may_do_the_same() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Holder::read(&file), Holder::default());
    }

    #[test]
    fn one_holds_the_lock_and_the_other_hears_who() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder.path().join("made"));
        let take = || Lock::take(&files, "these");
        let me = i32::try_from(std::process::id()).unwrap();
        let lock = take().unwrap();
        assert_eq!(lock.cut_off, None);
        let boot_id = "this".to_owned();
        assert_eq!(busy(take()), Holder { pid: Some(me), settings: Some("these".into()), boot_id });
        drop(lock);
        let lock = take().unwrap();
        assert_eq!(lock.cut_off, Some(me), "it did not say that it ended");
        lock.release();
        // As it is taken on a file system that is read-only for a while.
        let mut lock = take().unwrap();
        assert_eq!(lock.cut_off, None);
        lock.file.as_mut().unwrap().file = File::open(folder.path().join("made/x.lock")).unwrap();
        lock.release();
        let mut lock = take().unwrap();
        assert_eq!(lock.cut_off, None);
        // A file that others could open, and so lock, is put right; and one that was replaced is not held.
        let path = folder.path().join("made/x.lock");
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        let new = take().unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert!(matches!(lock.keep(&files, "these"), Err(NoLock::Busy(_))));
        drop(new);
        lock.keep(&files, "these").unwrap();
        busy(take());
    }

    #[test]
    fn where_there_is_no_place_for_a_file_there_is_a_lock_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("state");
        std::fs::write(&place, "in the way").unwrap();
        // The name of an instance is all that tells these from those of other tests.
        let name = name(&format!("x{}", std::process::id())).unwrap();
        let files = Files::new(&place, &name, "this");
        let take = || Lock::take(&files, "these");
        let mut lock = take().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        for _ in 0..3 {
            assert_eq!(busy(take()), Holder { pid: Some(me), ..Holder::default() });
        }
        assert!(lock.make_room());
        busy(take());
        // When there is a place, whoever comes looks there.
        std::fs::remove_file(&place).unwrap();
        lock.keep(&files, "these").unwrap();
        assert_eq!(busy(take()).settings, Some("these".into()));
        // And when there is none any more, there.
        std::fs::remove_dir_all(&place).unwrap();
        std::fs::write(&place, "in the way").unwrap();
        lock.keep(&files, "these").unwrap();
        busy(take());
        drop(lock);
        take().unwrap();
    }

    #[test]
    fn a_lock_of_another_boot_is_no_reason() {
        let folder = tempfile::tempdir().unwrap();
        let name = name(&format!("y{}", std::process::id())).unwrap();
        let of = |boot_id| Files::new(folder.path(), &name, boot_id);
        let _elsewhere = Lock::take(&of("that"), "").unwrap();
        let here = Lock::take(&of("this"), "").unwrap();
        assert!(here.is_elsewhere);
        busy(Lock::take(&of("this"), ""));
        // Who cannot tell waits for the lock.
        busy(Lock::take(&of(""), ""));
    }

    #[test]
    fn a_lock_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("x.lock")).unwrap();
        assert!(Lock::take(&files(folder.path()), "").is_ok_and(|lock| lock.file.is_none()));
    }
}
