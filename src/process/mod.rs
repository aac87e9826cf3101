//! All that reads /proc: finding the process, holding it, and telling how it died.

use crate::sys::Pid;
use crate::time::millis;
use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use procfs::process::Process;
use rustix::io::Errno;

use crate::process::criteria::CUT_NAME;
use crate::process::stat::Stat;
use crate::settings::pattern::printable;
use crate::time::Time;

/// How much of a command line is read, as pgrep does.
const LONGEST_COMMAND_LINE: usize = 128 * 1024;
/// How much of a command line is kept of each process that matches, and shown; and of its first argument,
/// to be recognised by. There may be thousands, and anybody may give them long ones.
const LONGEST_KEPT: usize = 4096;
/// How often a command line is looked for that should be there. An exec takes a fraction of that.
const MOST_EXEC_LOOKS: usize = 50;

pub mod criteria;
pub mod handle;
pub mod oom;
pub mod scan;
pub mod stat;
pub mod termination;

/// A process, so that it is not taken for another that has its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: Pid,
    /// When it started, to the tick.
    #[serde(with = "millis")]
    pub started_ms: Time,
}

/// A process as the log and the table of matches name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its number.
    pub pid: Pid,
    /// Its name, printable.
    pub name: String,
    /// When it started.
    pub started: Time,
    /// Whether it has a controlling terminal.
    pub has_terminal: bool,
    /// Its parent.
    pub parent: Pid,
    /// Its command line, printable; of a very long one the beginning.
    pub command_line: String,
    /// What a process that takes its place would have in common with it.
    pub kind: Signature,
}

/// As the log names it.
impl fmt::Display for ProcessInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

impl ProcessInfo {
    /// The one to follow first comes first: a server before somebody's client, and a master before its
    /// workers.
    pub fn order(&self) -> (bool, Time, Pid) {
        (self.has_terminal, self.started, self.pid)
    }
}

/// What makes two processes the same service's: user and first argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The effective user, who owns the /proc/PID folder.
    pub user: u32,
    /// The first argument without its digits, which may be a worker's number or a version.
    pub argument: Vec<u8>,
}

impl Signature {
    /// From the owner of a /proc/PID folder and the text of `/proc/PID/cmdline`.
    pub fn new(user: u32, command_line: &[u8]) -> Self {
        let first = command_line.split(|byte| *byte == 0).next().unwrap_or_default();
        let first = first.iter().take(LONGEST_KEPT);
        Signature { user, argument: first.copied().filter(|byte| !byte.is_ascii_digit()).collect() }
    }
}

/// By what a process is recognised.
#[derive(Debug)]
struct Identity {
    command_line: Vec<u8>,
    /// The name in full, where the kernel has cut it.
    full_name: Option<Vec<u8>>,
}

impl Identity {
    fn read(entry: &Process, stat: &Stat) -> Result<Self, ReadError> {
        let mut command_line = read_all(entry, "cmdline", LONGEST_COMMAND_LINE)?;
        // In the midst of an exec the name is new, and there is no command line yet.
        let is_bare = stat.is_kernel_thread() || stat.state == b'Z';
        for _ in 0..MOST_EXEC_LOOKS {
            if is_bare || !command_line.is_empty() {
                break;
            }
            std::thread::yield_now();
            command_line = read_all(entry, "cmdline", LONGEST_COMMAND_LINE)?;
        }
        // To be read only by those who may trace it.
        let program = if stat.comm.len() < CUT_NAME { None } else { entry.exe().ok() };
        let program = program.as_deref().map(criteria::program_name);
        let full_name = criteria::full_name(stat.comm, &command_line, program).map(<[u8]>::to_vec);
        Ok(Identity { command_line, full_name })
    }

    fn name(&self, stat: &Stat) -> String {
        printable(self.full_name.as_deref().unwrap_or(stat.comm)).into_owned()
    }
}

/// Why something could not be read from /proc.
#[derive(Debug)]
enum ReadError {
    /// The process is no more, which is ordinary.
    Vanished,
    /// It is there, and not for us to see.
    Refused,
    /// Nothing can be told: no descriptors, no memory, no /proc.
    Blind(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::SRCH) => ReadError::Vanished,
            Some(Errno::ACCESS | Errno::PERM) => ReadError::Refused,
            _ => match error.kind() {
                io::ErrorKind::NotFound => ReadError::Vanished,
                io::ErrorKind::PermissionDenied => ReadError::Refused,
                _ => ReadError::Blind(error),
            },
        }
    }
}

impl From<procfs::ProcError> for ReadError {
    fn from(error: procfs::ProcError) -> Self {
        match error {
            procfs::ProcError::NotFound(_) => ReadError::Vanished,
            procfs::ProcError::PermissionDenied(_) => ReadError::Refused,
            procfs::ProcError::Io(error, _) => error.into(),
            error => ReadError::Blind(io::Error::other(error.to_string())),
        }
    }
}

/// Opens /proc/PID. What is read through it later is of the same process or fails, even when the number
/// is used again.
fn open_entry(proc: &Path, pid: Pid) -> Result<Process, ReadError> {
    Ok(Process::new_with_root(proc.join(pid.to_string()))?)
}

/// Reads the beginning of a file of /proc into `buffer`, in one read, so that it is of one moment.
fn read_start<'a>(entry: &Process, file: &str, buffer: &'a mut [u8]) -> Result<&'a [u8], ReadError> {
    let file = entry.open_relative(file)?;
    let length = rustix::io::pread(&file, &mut *buffer, 0).map_err(io::Error::from)?;
    Ok(buffer.get(..length).unwrap_or_default())
}

/// Reads a file of /proc, up to `limit` bytes.
fn read_all(entry: &Process, file: &str, limit: usize) -> Result<Vec<u8>, ReadError> {
    let file = entry.open_relative(file)?;
    // Most fit; growing from nothing would take eight reads.
    let mut text = Vec::with_capacity(limit.min(4096));
    file.take(limit as u64).read_to_end(&mut text)?;
    Ok(text)
}
