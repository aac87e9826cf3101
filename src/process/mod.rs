//! All that reads /proc: finding the process, holding it, and telling how it died.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use procfs::process::Process;
use serde::{Deserialize, Serialize};

use crate::process::criteria::{CUT_NAME, shown_command_line};
use crate::process::stat::{LONGEST_LINE, Stat, tick};
use crate::settings::Criteria;
use crate::settings::pattern::printable;
use crate::sys::Pid;
use crate::time::{Time, millis};

pub mod cgroup;
pub mod criteria;
pub mod handle;
mod near;
pub mod oom;
pub mod scan;
pub mod stat;
pub mod termination;

/// As much of a command line as pgrep reads.
const LONGEST_COMMAND_LINE: usize = 128 * 1024;
/// How much of a command line is kept of each process that matches, and shown; and of its first argument,
/// to be recognised by. There may be thousands, and anybody may give them long ones.
const LONGEST_KEPT: usize = 4096;
/// How often a command line is looked for that should be there. An exec takes a fraction of that.
const MOST_EXEC_LOOKS: usize = 50;

/// A process, so that it is not taken for another that has its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: Pid,
    #[serde(rename = "started_ms", with = "millis")]
    pub started: Time,
}

impl ProcessId {
    /// Whether both are of the same process. The kernel says when one started to the tick, files say it in
    /// milliseconds, and a start command that cannot ask the kernel notes a time a moment later. No number
    /// comes round again within two ticks.
    pub fn is_same(self, other: ProcessId) -> bool {
        self.pid == other.pid && self.started.abs_diff(other.started) < 2 * tick()
    }
}

/// A process as the log and the table of matches name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    pub pid: Pid,
    /// Printable, and in full where the kernel has cut it and its command line tells.
    pub name: String,
    pub started: Time,
    /// Whether it has a controlling terminal.
    pub has_terminal: bool,
    pub parent: Pid,
    /// Printable; of a very long one the beginning.
    pub command_line: String,
    pub signature: Signature,
}

/// As the log names it.
impl fmt::Display for ProcessInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

impl ProcessInfo {
    fn new(entry: &Process, pid: Pid, stat: &Stat<'_>, identity: &Identity) -> Result<Self, ReadError> {
        let Identity { command_line, .. } = identity;
        Ok(ProcessInfo {
            pid,
            name: identity.name(stat),
            started: stat.started(),
            has_terminal: stat.tty != 0,
            parent: stat.ppid,
            command_line: shown_command_line(stat.comm, command_line).chars().take(LONGEST_KEPT).collect(),
            signature: Signature::new(entry.uid()?, command_line),
        })
    }

    pub fn id(&self) -> ProcessId {
        ProcessId { pid: self.pid, started: self.started }
    }

    /// The one to follow first comes first: a server before somebody's client, and a master before its
    /// workers.
    pub fn order(&self) -> (bool, Time, Pid) {
        (self.has_terminal, self.started, self.pid)
    }
}

/// What a process has in common with one that takes its place: user and first argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The effective user, who owns the /proc/PID folder.
    pub user: u32,
    /// The first argument without its digits, which may be a worker's number or a version.
    #[serde(with = "hex")]
    pub argument: Vec<u8>,
}

impl Signature {
    pub fn new(user: u32, command_line: &[u8]) -> Self {
        let first = command_line.split(|byte| *byte == 0).next().unwrap_or_default();
        let first = first.iter().take(LONGEST_KEPT);
        Signature { user, argument: first.copied().filter(|byte| !byte.is_ascii_digit()).collect() }
    }
}

/// Bytes in files: two hexadecimal digits each.
mod hex {
    use std::fmt::Write as _;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let mut digits = String::new();
        for byte in bytes {
            let _ = write!(digits, "{byte:02x}");
        }
        to.serialize_str(&digits)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        Ok(String::deserialize(from)?.as_bytes().chunks(2).filter_map(byte).collect())
    }
}

/// What a process is matched by, besides its name as the kernel has it.
#[derive(Debug)]
struct Identity {
    command_line: Vec<u8>,
    /// The name in full, where the kernel has cut it.
    full_name: Option<Vec<u8>>,
}

impl Identity {
    fn read(entry: &Process, stat: &Stat<'_>) -> Result<Self, ReadError> {
        let mut command_line = read_all(entry, "cmdline", LONGEST_COMMAND_LINE)?;
        // In the midst of an exec the name is new, and there is no command line yet.
        let is_bare = stat.is_kernel_thread() || stat.state == b'Z';
        let mut looks_left = if is_bare { 0 } else { MOST_EXEC_LOOKS };
        while command_line.is_empty() && looks_left > 0 {
            looks_left -= 1;
            std::thread::yield_now();
            command_line = read_all(entry, "cmdline", LONGEST_COMMAND_LINE)?;
        }
        // To be read only by those who may trace it.
        let program = if stat.comm.len() < CUT_NAME { None } else { entry.exe().ok() };
        let program = program.as_deref().map(criteria::program_name);
        let full_name = criteria::full_name(stat.comm, &command_line, program).map(<[u8]>::to_vec);
        Ok(Identity { command_line, full_name })
    }

    fn meets(&self, criteria: &Criteria, stat: &Stat<'_>) -> bool {
        criteria.matches(stat.comm, self.full_name.as_deref(), &self.command_line)
    }

    fn name(&self, stat: &Stat<'_>) -> String {
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
        match error.kind() {
            io::ErrorKind::NotFound => ReadError::Vanished,
            io::ErrorKind::PermissionDenied => ReadError::Refused,
            _ if error.raw_os_error() == Some(libc::ESRCH) => ReadError::Vanished,
            _ => ReadError::Blind(error),
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

/// What is wanted of a `/proc/PID/stat`, which is read at once, so that it is of one moment.
fn read_stat<T>(file: &File, wanted: impl FnOnce(&Stat<'_>) -> T) -> Result<T, ReadError> {
    let mut line = [0; LONGEST_LINE];
    let length = rustix::io::pread(file, &mut line[..], 0).map_err(io::Error::from)?;
    let stat = line.get(..length).and_then(Stat::parse).ok_or(ReadError::Vanished)?;
    Ok(wanted(&stat))
}

/// When this process started, as /proc has it. Makes system calls only and does not allocate, so that it may
/// be called between fork and exec.
#[expect(clippy::redundant_closure_for_method_calls)] // the method is of one lifetime, the closure of all
pub fn own_start() -> Option<Time> {
    read_stat(&File::open("/proc/self/stat").ok()?, |stat| stat.started()).ok()
}

/// Reads a file of /proc, up to `limit` bytes.
fn read_all(entry: &Process, file: &str, limit: usize) -> Result<Vec<u8>, ReadError> {
    let file = entry.open_relative(file)?;
    // Most fit; growing from nothing would take eight reads.
    let mut text = Vec::with_capacity(limit.min(4096));
    file.take(limit as u64).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
