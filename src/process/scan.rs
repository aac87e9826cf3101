//! Find the process: one lean pass over /proc, and a closer look at what matches.

use std::ffi::CStr;
use std::fs::Metadata;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use procfs::process::Process;
use rustix::fs::{CWD, Mode, OFlags, RawDir};

use super::death::Gone;
use super::pattern::{LONGEST_NAME, Pattern, printable};
use super::stat::{LONGEST_LINE, Stat};
use super::{Kind, Pid, Seen, Trouble, open_entry, read_start};

/// How much of a command line is read: the paths of an interpreter and a script fit in.
const COMMAND_LINE: usize = 4096;

/// A /proc, as one process sees it.
#[derive(Debug)]
pub struct Proc {
    root: PathBuf,
    me: Pid,
    /// This program's own file, by which other invocations of it are known.
    program: Option<(u64, u64)>,
}

/// What a look over /proc found, each list with the one to follow first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// What counts.
    pub counting: Vec<Seen>,
    /// What matches, but was there before the process died and is nothing like it.
    pub left_over: Vec<Seen>,
}

/// What is running cannot be known, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(pub String);

impl Proc {
    /// The /proc mounted at `root`.
    ///
    /// # Errors
    /// There is none, or it shows another PID namespace than this process lives in.
    pub fn new(root: &Path) -> Result<Self, Unknown> {
        let me = rustix::process::getpid().as_raw_nonzero().get();
        let shown = root.join("self");
        let target = std::fs::read_link(&shown)
            .map_err(|error| Unknown(format!("{} cannot be read: {error}", shown.display())))?;
        if target.to_str() != Some(me.to_string().as_str()) {
            return Err(Unknown(format!(
                "{} shows another PID namespace: it has this process as {}, not {me}; mount the proc of this one",
                root.display(),
                target.display(),
            )));
        }
        let identity = |file: Metadata| (file.dev(), file.ino());
        let program = std::fs::metadata(shown.join("exe")).map(identity).ok();
        Ok(Proc { root: root.to_owned(), me, program })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Looks for all processes that match `pattern`. After a death, `gone` tells which of them count.
    ///
    /// # Errors
    /// Nothing that counts was seen, but not everything could be seen.
    pub fn find(&self, pattern: &Pattern, gone: Option<&Gone>) -> Result<Matches, Unknown> {
        let mut candidates = Vec::new();
        let view = self.each_name(|pid, name| {
            if pid != self.me && pattern.matches(name) {
                candidates.push(pid);
            }
        })?;
        let mut matches = Matches::default();
        for pid in candidates {
            match self.look_closer(pid, pattern) {
                Ok(Some(seen)) if gone.is_none_or(|gone| gone.lets_count(&seen)) => {
                    matches.counting.push(seen);
                }
                Ok(Some(seen)) => matches.left_over.push(seen),
                Ok(None) | Err(Trouble::Vanished) => {}
                Err(Trouble::Refused) => return Err(Unknown(format!("/proc/{pid} cannot be read"))),
                Err(Trouble::Blind(error)) => {
                    return Err(Unknown(format!("/proc/{pid} cannot be read: {error}")));
                }
            }
        }
        if matches.counting.is_empty() && view == View::Partial {
            return Err(Unknown(format!(
                "{} hides other users' processes (hidepid), so whether one named '{}' runs cannot be seen",
                self.root.display(),
                pattern.text(),
            )));
        }
        // A server before somebody's client, and a master before its workers.
        let order = |seen: &Seen| (seen.has_terminal, seen.started, seen.pid);
        matches.counting.sort_by_key(order);
        matches.left_over.sort_by_key(order);
        Ok(matches)
    }

    /// All processes that started at `since` or later, in this session or without a parent of their own:
    /// what a start command has left running.
    #[must_use]
    pub fn started_since(&self, since: super::Time, session: Pid) -> Vec<Seen> {
        let mut pids = Vec::new();
        let _ = self.each_name(|pid, _| pids.push(pid));
        let mut left: Vec<_> = pids
            .into_iter()
            .filter(|pid| *pid != self.me && *pid != session)
            .filter_map(|pid| {
                let entry = open_entry(&self.root, pid).ok()?;
                let mut line = [0; LONGEST_LINE];
                let stat = Stat::parse(read_start(&entry, "stat", &mut line).ok()?)?;
                let ours = stat.session == session || stat.ppid == 1;
                let new = stat.started() + super::stat::tick() > since;
                (ours && new && !stat.is_dead() && !stat.is_kernel_thread())
                    .then(|| seen(&entry, pid, &stat, &[]).ok())?
            })
            .collect();
        left.sort_by_key(|seen| seen.started);
        left
    }

    /// A closer look at a process whose name matched. `None` if it does not count as one of that name.
    fn look_closer(&self, pid: Pid, pattern: &Pattern) -> Result<Option<Seen>, Trouble> {
        let entry = open_entry(&self.root, pid)?;
        let mut line = [0; LONGEST_LINE];
        let Some(stat) = Stat::parse(read_start(&entry, "stat", &mut line)?) else {
            return Err(Trouble::Vanished);
        };
        // The number may be another's by now, or the process may have taken another name.
        if stat.is_dead()
            || stat.is_kernel_thread()
            || !pattern.matches(stat.comm)
            || self.is_this_program(&entry)
        {
            return Ok(None);
        }
        let mut command_line = [0; COMMAND_LINE];
        let command_line = read_start(&entry, "cmdline", &mut command_line)?;
        if is_init_script(command_line) { Ok(None) } else { seen(&entry, pid, &stat, command_line).map(Some) }
    }

    fn is_this_program(&self, entry: &Process) -> bool {
        // Another user's program is not for us to see; but then it is not this watchdog either.
        let file = std::fs::metadata(self.root.join(entry.pid().to_string()).join("exe"));
        self.program.is_some() && file.ok().map(|file| (file.dev(), file.ino())) == self.program
    }

    /// Calls `visit` with the number and the name of each process. Three system calls for each, and no
    /// allocation.
    fn each_name(&self, mut visit: impl FnMut(Pid, &[u8])) -> Result<View, Unknown> {
        let blind = |what: &str, error: io::Error| Unknown(format!("{}{what}: {error}", self.root.display()));
        let folder = rustix::fs::openat(
            CWD,
            &self.root,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|error| blind(" cannot be opened", error.into()))?;
        let mut view = View::Partial;
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut entries = RawDir::new(&folder, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|error| blind(" cannot be listed", error.into()))?;
            let Some(pid) = number(entry.file_name()) else { continue };
            let mut name = [0; LONGEST_NAME + 1];
            match read_name(&folder, entry.file_name(), &mut name) {
                Ok(name) => {
                    // Whoever sees process 1, which is root's, sees everybody's.
                    if pid == 1 {
                        view = View::Whole;
                    }
                    visit(pid, name);
                }
                Err(Trouble::Vanished | Trouble::Refused) => {}
                Err(Trouble::Blind(error)) => return Err(blind("/PID/comm cannot be read", error)),
            }
        }
        Ok(view)
    }
}

/// How much of /proc was to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Whole,
    /// Mounted with `hidepid`, for one who is not let off (proc(5)).
    Partial,
}

fn seen(entry: &Process, pid: Pid, stat: &Stat, command_line: &[u8]) -> Result<Seen, Trouble> {
    Ok(Seen {
        pid,
        name: printable(stat.comm).into_owned(),
        started: stat.started(),
        has_terminal: stat.tty != 0,
        kind: Kind::new(entry.uid()?, command_line),
    })
}

/// Whether this is a script of the system's init, which has the name of the service that it starts.
fn is_init_script(command_line: &[u8]) -> bool {
    // The interpreter, perhaps an option of its own, and the script.
    command_line.split(|byte| *byte == 0).take(3).any(|argument| {
        argument.strip_prefix(b"/etc/").is_some_and(|rest| {
            rest.starts_with(b"init.d/")
                || matches!(rest, [b'r', b'c', level, b'.', b'd', b'/', ..] if level.is_ascii_alphanumeric())
        })
    })
}

fn number(name: &CStr) -> Option<Pid> {
    let digits = name.to_bytes();
    digits.first().is_some_and(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

fn read_name<'a>(
    folder: impl rustix::fd::AsFd,
    pid: &CStr,
    buffer: &'a mut [u8; LONGEST_NAME + 1],
) -> Result<&'a [u8], Trouble> {
    let mut path = [0; 32];
    write!(&mut path[..], "{}/comm", pid.to_str().unwrap_or_default())?;
    let path = CStr::from_bytes_until_nul(&path).unwrap_or_default();
    let file = rustix::fs::openat(folder, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(io::Error::from)?;
    let length = rustix::io::read(&file, &mut buffer[..]).map_err(io::Error::from)?;
    let name = &buffer[..length];
    Ok(name.strip_suffix(b"\n").unwrap_or(name))
}
