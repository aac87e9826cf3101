//! The process whose number is in a file (`--pid-file`). Whoever can write the file can write anything there.

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, StatxTimestamp, fstat, openat, openat2,
    statx,
};
use rustix::io::Errno;

use crate::fs::written_ms;
use crate::process::command_lines::Reading;
use crate::process::scan::{Glimpse, Ownership, Proc, Tasks};
use crate::process::{ProcessId, ProcessInfo, ReadError, parse};
use crate::settings::Criteria;
use crate::sys::Pid;
use crate::time::{Time, clocks_ms, have_been_set_since, millis, now, wall_ms};

/// A file that is older than its process by more than this is not of that process. One that has just been written
/// may look some milliseconds older.
const MOST_AGE_MS: i64 = 60_000;
/// /proc is mounted as early as process 1 starts, or some seconds after.
const MOST_MOUNT_MS: u64 = 30_000;
/// A file that was changed this long ago shows each later change by its times.
const SETTLED_MS: i64 = 1000;

/// What stands for a pid file among what is read: it is bare, so that it is not waited for. There is no process 0.
const FILE: Glimpse = Glimpse {
    id: ProcessId { pid: 0, started: Time::ZERO },
    user: u32::MAX,
    comm: Vec::new(),
    is_bare: true,
};

/// What a pid file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) pid: Pid,
    /// Whose the file is.
    owner: u32,
    /// When it was written, in milliseconds by the wall clock.
    written_ms: i64,
}

/// The number in the first line of a pid file.
pub fn pid_in(text: &[u8]) -> Option<Pid> {
    let line = text.split(|byte| *byte == b'\n').next()?.trim_ascii();
    parse(line).filter(|pid| *pid > 0 && line.iter().all(u8::is_ascii_digit))
}

/// By what a file is known that has not changed.
type Stamp = (u32, u32, u64, u64, i64, i64);

/// What was read of the pid file last.
pub(super) type LastRead = RefCell<Option<(PathBuf, Stamp, Named)>>;

/// What the wall clock is ahead, and since when that is known.
#[derive(Debug)]
pub(super) struct Clocks {
    ahead_ms: i64,
    since: Time,
}

impl Clocks {
    /// As they are now. If /proc, whose time is that of its mount, fits to the start of process 1, nobody has set them
    /// since then.
    pub(super) fn read(root: &Path, first: Option<ProcessId>) -> Self {
        let ahead_ms = clocks_ms();
        let mounted_ms = std::fs::metadata(root).map(|it| it.mtime().saturating_mul(1000));
        let fits = |first: ProcessId| {
            let begun_ms = ahead_ms.saturating_add(millis::signed(first.started));
            mounted_ms.as_ref().is_ok_and(|mounted| mounted.abs_diff(begun_ms) < MOST_MOUNT_MS)
        };
        Clocks { ahead_ms, since: if first.is_some_and(fits) { Time::ZERO } else { now() } }
    }

    /// When a process has started, in milliseconds by the wall clock, if nobody has set that since.
    fn started_ms(&self, started: Time) -> Option<i64> {
        let are_same = !have_been_set_since(self.ahead_ms) && started >= self.since;
        are_same.then(|| clocks_ms().saturating_add(millis::signed(started)))
    }
}

impl Proc {
    /// What the file says; or why it says nothing. It is read by a child, as far as it is not known to be as it was.
    pub(super) fn named(&self, path: &Path) -> Result<Named, String> {
        let stamp = stamp(path, self.follow());
        if stamp == Err(Errno::NOENT) {
            return Err("does not exist".to_owned());
        }
        if let (Ok(stamp), Some((old_path, old_stamp, named))) = (stamp, &*self.last_read.borrow()) {
            if (path, stamp) == (old_path, *old_stamp) {
                return Ok(named.clone());
            }
        }
        let named = self.read_named(path);
        let is_settled = |(.., changed_ms): &Stamp| wall_ms().saturating_sub(*changed_ms) > SETTLED_MS;
        let known = stamp.ok().filter(is_settled).zip(named.as_ref().ok());
        self.last_read.replace(known.map(|(stamp, named)| (path.to_owned(), stamp, named.clone())));
        named
    }

    /// As root no link is followed: whoever made it could name what another's file names.
    fn follow(&self) -> OFlags {
        if self.my_user == 0 { OFlags::NOFOLLOW } else { OFlags::empty() }
    }

    fn read_named(&self, path: &Path) -> Result<Named, String> {
        let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|_| "is no path".to_owned())?;
        let flags = self.follow();
        let read = self.read_one(&|_, _, text| read(&c_path, flags, text), FILE);
        let Reading { text, numbers: (owner, written_ms) } = read.map_err(|error| match error {
            ReadError::Vanished => "does not exist".to_owned(),
            ReadError::Refused => "is not to be read by this user".to_owned(),
            ReadError::Blind(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::LOOP) => "is a link: give the file that it leads to".to_owned(),
                Some(Errno::MEDIUMTYPE) => "is not a regular file".to_owned(),
                _ => format!("cannot be read ({error})"),
            },
        })?;
        let Some(text) = text else {
            return Err("cannot be read: its file system does not answer".to_owned());
        };
        match pid_in(&text) {
            Some(pid) => Ok(Named {
                pid,
                owner: u32::try_from(owner).unwrap_or(u32::MAX),
                written_ms: i64::try_from(written_ms).unwrap_or(i64::MAX),
            }),
            None if text.trim_ascii().is_empty() => Err("is empty".to_owned()),
            None => Err("has no pid in its first line".to_owned()),
        }
    }

    /// Why this process is not the one that the file means; `None` if it is.
    pub(super) fn denial(&self, named: &Named, id: ProcessId, whose: Ownership) -> Option<&'static str> {
        let is_anothers = self.my_user == 0 && named.owner != 0 && whose.mismatch(named.owner).is_some();
        let is_older = |started_ms: i64| named.written_ms.saturating_add(MOST_AGE_MS) < started_ms;
        Some(match () {
            () if named.pid != id.pid => "which is another",
            () if whose.leader.is_some_and(|leader| leader != id.pid) => "which is a thread",
            () if is_anothers => "which is not a process of the file's owner",
            () if self.clocks.started_ms(id.started).is_some_and(is_older) => {
                "which has started after the file was written"
            }
            () => return None,
        })
    }

    /// The process that the file names, if that lives, counts, and is not this one.
    pub fn named_instead(&self, criteria: &Criteria, tasks: &Tasks, of: Pid) -> Option<ProcessInfo> {
        let named = self.named(criteria.pid_file.as_deref()?).ok().filter(|named| named.pid != of)?;
        self.find_named(named, criteria, tasks).ok()?.counting.pop()
    }

    /// What is wrong with the pid file, if anything is.
    pub fn doubt_pid_file(&self, criteria: &Criteria) -> Option<String> {
        let path = criteria.pid_file.as_deref()?;
        let shown = path.display();
        let named = match self.named(path) {
            Ok(named) => named,
            Err(why) => return Some(format!("the pid file {shown} {why}")),
        };
        let pid = named.pid;
        let denial = || {
            let entry = super::open_entry(self.root(), pid).ok()?;
            self.denial(&named, self.id(pid)?, Ownership::read(&entry).ok()?)
        };
        let why = match self.find_named(named.clone(), criteria, &Tasks::default()) {
            Ok(found) if !found.counting.is_empty() => return None,
            _ if !self.is_there(pid) => "which is not running",
            _ => denial().unwrap_or("which does not match"),
        };
        Some(format!("the pid file {shown} names {pid}, {why}"))
    }

    /// Those of these processes that no other instance follows, nor what has started them.
    pub(super) fn followed_by_nobody(&self, all: Vec<ProcessInfo>) -> Vec<ProcessInfo> {
        let mut followed = if all.is_empty() { Vec::new() } else { (self.neighbours)(self) };
        followed.retain(|id| self.is_alive(*id));
        let is_followed = |pid: &Pid| followed.iter().any(|id| id.pid == *pid);
        let is_free = |process: &ProcessInfo| {
            !is_followed(&process.pid) && !self.ancestors(process.pid).iter().any(is_followed)
        };
        all.into_iter().filter(is_free).collect()
    }
}

/// Reads a pid file, whose it is, and when it was written. Called by a child, and nobody is waited for who is to write a
/// pipe.
fn read(path: &CStr, follow: OFlags, text: &mut [u8]) -> Result<(usize, (u64, u64)), Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | follow;
    let file = openat(CWD, path, flags, Mode::empty())?;
    let about = fstat(&file)?;
    if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
        return Err(Errno::MEDIUMTYPE);
    }
    let written_ms = u64::try_from(written_ms(&about)).unwrap_or_default();
    Ok((rustix::io::read(&file, text)?, (about.st_uid.into(), written_ms)))
}

/// The file as the kernel knows it without asking a disk or a server, which could make this process wait.
fn stamp(path: &Path, follow: OFlags) -> Result<Stamp, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | follow;
    let file = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED)?;
    let at = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let about = statx(&file, "", at, StatxFlags::BASIC_STATS)?;
    let ms = |time: StatxTimestamp| {
        time.tv_sec.saturating_mul(1000).saturating_add(i64::from(time.tv_nsec) / 1_000_000)
    };
    let times = (ms(about.stx_mtime), ms(about.stx_ctime));
    Ok((about.stx_dev_major, about.stx_dev_minor, about.stx_ino, about.stx_size, times.0, times.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::stat::tick;
    use crate::process::tests::{FakeProc, named};

    #[test]
    fn the_first_line_is_a_number_or_nothing() {
        for (text, pid) in [
            (&b"7\n"[..], Some(7)),
            (b"7", Some(7)),
            (b" 7 \r\n8\n", Some(7)),
            (b"0000000007\n", Some(7)),
            (b"2147483647", Some(Pid::MAX)),
            (b"2147483648", None),
            (b"", None),
            (b"\n7", None),
            (b"0", None),
            (b"-7", None),
            (b"+7", None),
            (b"7 8", None),
            (b"7\0", None),
            (b"0x7", None),
            (b"\xff7", None),
            ("\u{667}".as_bytes(), None),
        ] {
            assert_eq!(pid_in(text), pid, "{text:?}");
        }
    }

    #[test]
    fn only_the_process_in_the_file_is_looked_at() {
        let proc = FakeProc::new()
            .add(10, b"x", 'S', 1, b"x\0")
            .add(11, b"x", 'S', 1, b"x\0")
            .add(12, b"y", 'S', 1, b"y\0")
            .add(13, b"x", 'Z', 1, b"");
        let path = proc.0.path().join("x.pid");
        let criteria = Criteria { pid_file: Some(path.clone()), ..named("^x$") };
        let reader = Proc::new(proc.0.path()).unwrap();
        let find = || {
            let pids = |found: crate::process::scan::Matches| {
                found.counting.iter().map(|process| process.pid).collect::<Vec<_>>()
            };
            reader.find(&criteria, None, &Tasks::default()).map(pids).map_err(|why| why.0)
        };
        assert!(find().unwrap_err().contains("x.pid does not exist, and x (pid 10) is running"));
        for (text, found) in [("10", vec![10]), ("11", vec![11]), ("12", vec![]), ("13", vec![])] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(find(), Ok(found), "{text}");
        }
        // A thread has a folder of its own, which is not listed.
        std::fs::write(proc.0.path().join("11/status"), "Tgid:\t10\nNSpid:\t11\n").unwrap();
        std::fs::write(&path, "11").unwrap();
        assert_eq!(find(), Ok(vec![]));
    }

    #[test]
    fn what_has_not_changed_is_not_read_again() {
        let proc = FakeProc::new();
        let path = proc.0.path().join("x.pid");
        std::fs::write(&path, "7").unwrap();
        let reader = Proc::new(proc.0.path()).unwrap();
        // While it is young, it could be written again without another time.
        assert_eq!(reader.named(&path).unwrap().pid, 7);
        assert!(reader.last_read.borrow().is_none());
        let stamp = stamp(&path, OFlags::empty()).unwrap();
        let known = Named { pid: 9, owner: 0, written_ms: 0 };
        reader.last_read.replace(Some((path.clone(), stamp, known)));
        assert_eq!(reader.named(&path).unwrap().pid, 9);
        std::fs::write(&path, "77").unwrap();
        assert_eq!(reader.named(&path).unwrap().pid, 77);
    }

    #[test]
    fn an_older_file_is_anothers_unless_the_clocks_were_set() {
        let proc = FakeProc::new();
        let mut reader = Proc::new(proc.0.path()).unwrap();
        let id = ProcessId { pid: 7, started: now() };
        let denied = |reader: &Proc, age_ms| {
            let named = Named { pid: 7, owner: reader.my_user, written_ms: wall_ms() - age_ms };
            reader.denial(&named, id, Ownership { user: reader.my_user, ..Ownership::default() }).is_some()
        };
        // A /proc that was mounted now does not fit to a process 1 that has run for long.
        assert!(reader.clocks.since > Time::ZERO && denied(&reader, 70_000) && !denied(&reader, 50_000));
        reader.clocks.ahead_ms -= 3_600_000;
        assert!(!denied(&reader, 70_000));
        reader.clocks = Clocks { since: id.started + tick(), ..Clocks::read(proc.0.path(), None) };
        assert!(!denied(&reader, 70_000));
        let first = ProcessId { pid: 1, started: now() };
        assert_eq!(Clocks::read(proc.0.path(), Some(first)).since, Time::ZERO);
    }
}
