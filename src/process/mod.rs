//! All that reads /proc: finding the process, holding it, and telling how it died.

use std::io;
use std::path::Path;

use procfs::process::Process;
use rustix::io::Errno;

use crate::policy::Time;

pub mod death;
pub mod follow;
pub mod pattern;
pub mod scan;
pub mod stat;

/// A process number.
pub type Pid = i32;

/// The time now, in the sense of [`Time`]. `/proc/PID/stat` counts a process's start on the same clock
/// (`start_boottime`, since Linux 5.5).
#[must_use]
pub fn now() -> Time {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Time::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs().try_into().unwrap_or(0))
}

/// A process as the log and the table of matches name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub pid: Pid,
    /// Its name, printable.
    pub name: String,
    /// When it started.
    pub started: Time,
    /// Whether it has a controlling terminal.
    pub has_terminal: bool,
    /// What a process that takes its place would have in common with it.
    pub kind: Kind,
}

/// What makes two processes the same service's: user and first argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// The effective user, who owns the /proc/PID folder.
    pub user: u32,
    /// The first argument without its digits, which may be a worker's number or a version.
    pub argument: Vec<u8>,
}

impl Kind {
    /// From the owner of a /proc/PID folder and the text of `/proc/PID/cmdline`.
    #[must_use]
    pub fn new(user: u32, command_line: &[u8]) -> Self {
        let first = command_line.split(|byte| *byte == 0).next().unwrap_or_default();
        Kind { user, argument: first.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect() }
    }
}

/// Why something could not be read from /proc.
#[derive(Debug)]
enum Trouble {
    /// The process is no more, which is ordinary.
    Vanished,
    /// It is there, and not for us to see.
    Refused,
    /// Nothing can be told: no descriptors, no memory, no /proc.
    Blind(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::SRCH) => Trouble::Vanished,
            Some(Errno::ACCESS | Errno::PERM) => Trouble::Refused,
            _ => match error.kind() {
                io::ErrorKind::NotFound => Trouble::Vanished,
                io::ErrorKind::PermissionDenied => Trouble::Refused,
                _ => Trouble::Blind(error),
            },
        }
    }
}

impl From<procfs::ProcError> for Trouble {
    fn from(error: procfs::ProcError) -> Self {
        match error {
            procfs::ProcError::NotFound(_) => Trouble::Vanished,
            procfs::ProcError::PermissionDenied(_) => Trouble::Refused,
            procfs::ProcError::Io(error, _) => error.into(),
            error => Trouble::Blind(io::Error::other(error.to_string())),
        }
    }
}

/// Opens /proc/PID. What is read through it later is of the same process or fails, even when the number
/// is used again.
fn open_entry(proc: &Path, pid: Pid) -> Result<Process, Trouble> {
    Ok(Process::new_with_root(proc.join(pid.to_string()))?)
}

/// Reads the beginning of a file of /proc into `buffer`, in one read, so that it is of one moment.
fn read_start<'a>(entry: &Process, file: &str, buffer: &'a mut [u8]) -> Result<&'a [u8], Trouble> {
    let file = entry.open_relative(file)?;
    let length = rustix::io::pread(&file, &mut *buffer, 0).map_err(io::Error::from)?;
    Ok(&buffer[..length])
}
