//! All that reads /proc: finding the process, holding it, and telling how it died.

use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use procfs::process::Process;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::process::command_lines::Reading;
use crate::process::criteria::{first_argument, script};
use crate::process::stat::{LONGEST_LINE, Stat, tick};
use crate::settings::pattern::printable;
use crate::settings::{Criteria, Subject};
use crate::sys::Pid;
use crate::time::{Time, millis};

pub mod cgroup;
pub mod command_lines;
pub mod criteria;
pub mod descent;
pub mod handle;
pub mod near;
pub mod oom;
pub mod pid_file;
pub mod remedy;
pub mod scan;
pub mod stat;
pub mod termination;

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
    pub session: Pid,
    /// It was forked and is what its parent was, as a worker that was never anything else.
    pub never_execed: bool,
    /// The name as the kernel has it.
    pub comm: Vec<u8>,
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
    /// Its command line is still to be added.
    fn new(pid: Pid, stat: &Stat<'_>, name: String, signature: Signature) -> Self {
        ProcessInfo {
            pid,
            name,
            started: stat.started(),
            has_terminal: stat.tty != 0,
            parent: stat.ppid,
            session: stat.session,
            never_execed: stat.never_execed(),
            comm: stat.comm.to_vec(),
            command_line: String::new(),
            signature,
        }
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

/// A watched process, as the state file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredProcess {
    #[serde(flatten)]
    pub id: ProcessId,
    /// Printable.
    pub name: String,
    /// 0 if it is not known.
    #[serde(default)]
    pub session: Pid,
    #[serde(default)]
    pub has_terminal: bool,
    #[serde(flatten)]
    pub signature: Signature,
}

impl From<&ProcessInfo> for StoredProcess {
    fn from(process: &ProcessInfo) -> Self {
        let ProcessInfo { name, session, has_terminal, signature, .. } = process.clone();
        StoredProcess { id: process.id(), name, session, has_terminal, signature }
    }
}

/// By what a process and one that takes its place are known: user, program, first argument and script. What
/// could not be read is `None`, and not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The effective user, who owns the /proc/PID folder.
    pub user: u32,
    /// The first argument without its digits, which may be a worker's number or a version.
    pub argument: Bytes,
    /// The first argument after it that is no option, without digits: what an interpreter runs.
    pub script: Option<Bytes>,
    pub executable: Option<Executable>,
}

/// A program's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executable {
    /// Its path without digits.
    pub path: Bytes,
    /// Device and inode, if they are known.
    pub file: Option<(u64, u64)>,
}

impl Signature {
    pub fn new(user: u32, command_line: &[u8]) -> Self {
        let first = first_argument(command_line);
        let script = (!command_line.is_empty()).then(|| without_digits(script(command_line)));
        Signature { user, argument: without_digits(first), script, executable: None }
    }

    /// Whether both run the same program, or one that has been moved or replaced meanwhile.
    pub fn has_executable_of(&self, other: &Signature) -> bool {
        let (Some(one), Some(two)) = (&self.executable, &other.executable) else { return true };
        one.path == two.path || one.file.is_some() && one.file == two.file
    }

    /// Whether an interpreter runs the same. A word that is no path is a daemon's own affair: its launcher may have
    /// had another.
    pub fn has_script_of(&self, other: &Signature) -> bool {
        let (Some(one), Some(two)) = (&self.script, &other.script) else { return true };
        let is_path = one.0.contains(&b'/') || two.0.contains(&b'/');
        let name = self.executable.as_ref().map(|file| criteria::last_part(&file.path.0));
        one == two || !is_path && !name.is_some_and(criteria::is_interpreter)
    }

    /// Whether both are the same service: the same program and, of an interpreter or where that is not known,
    /// the same arguments.
    pub fn is_same_program(&self, other: &Signature) -> bool {
        let runs_scripts = match (&self.executable, &other.executable) {
            (Some(one), Some(_)) => criteria::is_interpreter(criteria::last_part(&one.path.0)),
            _ => true,
        };
        let has_arguments_of = || self.argument == other.argument && self.has_script_of(other);
        self.has_executable_of(other) && (!runs_scripts || has_arguments_of())
    }
}

fn without_digits(text: &[u8]) -> Bytes {
    Bytes(text.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect())
}

/// Bytes, of which files have two hexadecimal digits each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let digits = |byte: u8| char::from_digit(byte.into(), 16).unwrap_or_default();
        let text: String = self.0.iter().flat_map(|byte| [digits(byte >> 4), digits(byte & 0xf)]).collect();
        to.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        Ok(Bytes(String::deserialize(from)?.as_bytes().chunks(2).filter_map(byte).collect()))
    }
}

/// What a process is matched by, besides its name as the kernel has it.
#[derive(Debug)]
struct Identity {
    /// The command line, if it could be read.
    line: Option<Vec<u8>>,
    /// Device and inode of the file that it executes, if they are known.
    file: Option<(u64, u64)>,
    /// The path of the file that it executes, to be read only by those who may trace it.
    path: Option<Vec<u8>>,
    /// The names in full, where the kernel has cut it: the one to show first.
    full_names: Vec<Vec<u8>>,
}

impl Identity {
    fn new(entry: &Process, stat: &Stat<'_>, reading: Reading) -> Self {
        let path = entry.exe().ok().map(|path| criteria::without_mark(path.as_os_str().as_bytes()).to_vec());
        let line = reading.text.as_deref().unwrap_or_default();
        let full_names = criteria::full_names(stat.comm, line, path.as_deref().map(criteria::last_part));
        let full_names = full_names.into_iter().map(<[u8]>::to_vec).collect();
        let file = Some(reading.numbers).filter(|file| *file != (0, 0));
        Identity { line: reading.text, file, path, full_names }
    }

    /// The command line; empty, if it could not be read.
    fn line(&self) -> &[u8] {
        self.line.as_deref().unwrap_or_default()
    }

    fn meets(&self, criteria: &Criteria, stat: &Stat<'_>) -> bool {
        let is_readable = self.line.is_some() || criteria.subject == Subject::Name;
        is_readable && criteria.matches(stat.comm, &self.full_names, self.line())
    }

    fn name(&self, stat: &Stat<'_>) -> String {
        printable(self.full_names.first().map_or(stat.comm, Vec::as_slice)).into_owned()
    }

    fn signature(&self, user: u32) -> Signature {
        let path = self.path.as_deref().map(without_digits);
        let executable = path.map(|path| Executable { path, file: self.file });
        Signature { executable, ..Signature::new(user, self.line()) }
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

/// `PID/NAME`, as the kernel wants it.
fn path_of<'a>(pid: Pid, name: &str, buffer: &'a mut [u8; 32]) -> &'a CStr {
    let _ = write!(&mut buffer[..], "{pid}/{name}");
    CStr::from_bytes_until_nul(buffer).unwrap_or_default()
}

fn parse<T: FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
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
