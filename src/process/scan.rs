//! Find the process: one lean pass over /proc, and a closer look at what matches.

use std::cell::RefCell;
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use procfs::process::Process;
use rustix::fs::{CWD, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::process::command_lines::{Hangs, Reading};
use crate::process::criteria::{
    Mismatch, is_init_script, is_invocation, program_name, runs, shown_command_line, without_mark,
};
use crate::process::handle::open_pidfd;
use crate::process::near::{By, Nearness};
use crate::process::pid_file::{Clocks, LastRead, Named};
use crate::process::remedy::Remedy;
use crate::process::stat::Stat;
use crate::process::termination::Predecessor;
use crate::process::{
    Identity, ProcessId, ProcessInfo, ReadError, open_entry, parse, path_of, read_all, read_stat,
};
use crate::settings::pattern::{Extent, LONGEST_NAME};
use crate::settings::{Criteria, Namespace, Subject};
use crate::sys::{Pid, own_pid};

/// How much of `/proc/PID/status` is read: before `NSpid` come the groups, 65536 of up to ten digits at most.
pub(super) const LONGEST_STATUS: usize = 1 << 20;
/// No process tree is so deep; the parents of parents might go in a circle while they change.
const MOST_ANCESTORS: usize = 1000;
/// How much of the listing of /proc is read at a time: some 170 processes. The stack keeps each page that
/// it ever used, and reading more at a time is not measurably faster.
const LISTING: usize = 4096;
/// What `/bin/sh` may be called, and what runs the start command is not what it started.
pub(super) const SHELLS: [&[u8]; 4] = [b"sh", b"dash", b"bash", b"busybox"];

type Neighbours = dyn Fn(&Proc) -> Vec<ProcessId>;

/// A /proc, as one process sees it.
pub struct Proc {
    root: PathBuf,
    pub(super) me: Pid,
    pub(super) my_user: u32,
    /// This program's own file, by which other invocations of it are known, its path and its name.
    program_file: Option<(u64, u64)>,
    program_path: Vec<u8>,
    pub(super) program_name: Vec<u8>,
    /// What it was called by, which may be a link of another name.
    called: Vec<u8>,
    pub(super) hangs: RefCell<Hangs>,
    /// What is called now and then while a look takes its time.
    pub pulse: Box<dyn Fn()>,
    /// A parameter, so that tests can be a kernel without them.
    pub(super) open_pidfd: fn(Pid) -> io::Result<OwnedFd>,
    pub(super) last_read: LastRead,
    pub(super) clocks: Clocks,
    /// Tells what the other instances follow: none of it is this one's, where the pid file does not say.
    pub neighbours: Box<Neighbours>,
}

/// What this watchdog runs itself, by its sessions: none of that is the process.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    /// The start command's; of that, only the shell is not the process.
    pub command: Pid,
    pub others: Vec<Pid>,
}

/// What a process is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) criteria: &'a Criteria,
    pub(super) tasks: &'a Tasks,
    /// Under `--full`, where their command lines have the pattern in it: `sudo`, `sh -c`, `timeout`, `flock`.
    pub(super) lineage: &'a [Pid],
    /// Whom the pid file names, if there is to be one.
    pub(super) named: Option<&'a Result<Named, String>>,
    /// What is near is judged too.
    pub(super) near: Option<&'a Nearness<'a>>,
}

/// A process at a first look, which reads nothing that anybody could withhold.
#[derive(Debug)]
pub(super) struct Glimpse {
    pub(super) id: ProcessId,
    pub(super) user: u32,
    pub(super) comm: Vec<u8>,
    /// It has no command line, and will have none.
    pub(super) is_bare: bool,
}

impl Glimpse {
    pub(super) fn of(pid: Pid, user: u32, stat: &Stat<'_>) -> Self {
        Glimpse { id: stat.id(pid), user, comm: stat.comm.to_vec(), is_bare: stat.is_bare() }
    }
}

/// Whose a process is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ownership {
    /// The effective user.
    pub(super) user: u32,
    /// The real, effective and saved user, if they are told.
    pub(super) users: Option<[u32; 3]>,
    pub(super) is_in_other_namespace: bool,
    /// The process, if this is a thread of it, or itself.
    pub(super) leader: Option<Pid>,
}

impl Ownership {
    /// Whether it is not its effective user's: whoever could still become another is that one's.
    pub(super) fn is_mixed(self) -> bool {
        self.users
            .is_some_and(|[real, _, saved]| [real, saved].iter().any(|other| ![self.user, 0].contains(other)))
    }
}

/// What a look over /proc found, each list with the one to follow first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Matches {
    pub counting: Vec<ProcessInfo>,
    /// What matches, but was there before the process died and is nothing like it.
    pub left_over: Vec<ProcessInfo>,
}

/// A process that matches, or nearly does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub process: ProcessInfo,
    /// Why it does not count, if it does not.
    pub mismatch: Option<Mismatch>,
    /// With what it would.
    pub remedy: Option<Remedy>,
    /// What of it is near, if its name is another.
    pub near: Option<By>,
}

/// What is running cannot be known, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(pub String);

impl Proc {
    /// The /proc mounted at `root`; unless there is none, or it shows another PID namespace than this process
    /// lives in.
    pub fn new(root: &Path) -> Result<Self, Unknown> {
        let me = own_pid();
        let shown = root.join("self");
        let target = std::fs::read_link(&shown)
            .map_err(|error| Unknown(format!("cannot read {}: {error}", shown.display())))?;
        if target.to_str() != Some(me.to_string().as_str()) {
            return Err(Unknown(format!(
                "{} belongs to another PID namespace (this process is {} there, not {me}); mount the /proc of this namespace",
                root.display(),
                target.display(),
            )));
        }
        let link = shown.join("exe");
        let path = std::fs::read_link(&link).unwrap_or_else(|_| "watchdog".into());
        let called = std::env::args_os().next().unwrap_or_else(|| "watchdog".into());
        let first = read_stat_of(root, 1, |stat| stat.id(1)).ok();
        Ok(Proc {
            root: root.to_owned(),
            me,
            my_user: rustix::process::geteuid().as_raw(),
            program_file: std::fs::metadata(&link).ok().map(|file| (file.dev(), file.ino())),
            program_path: without_mark(path.as_os_str().as_bytes()).to_vec(),
            program_name: program_name(&path).to_vec(),
            called: program_name(Path::new(&called)).to_vec(),
            hangs: RefCell::default(),
            pulse: Box::new(|| {}),
            open_pidfd,
            last_read: LastRead::default(),
            clocks: Clocks::read(root, first),
            neighbours: Box::new(|_| Vec::new()),
        })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Looks for all processes that meet the `criteria` and are none of the `tasks`. After a death, `predecessor`
    /// tells which of them count. An error if nothing that counts was seen, but not everything could be seen.
    pub fn find(
        &self,
        criteria: &Criteria,
        predecessor: Option<&Predecessor>,
        tasks: &Tasks,
    ) -> Result<Matches, Unknown> {
        if let Some(user) = &criteria.unknown_user {
            return Err(Unknown(format!("the user '{user}' is not known yet")));
        }
        let Some(path) = &criteria.pid_file else { return self.find_all(criteria, predecessor, tasks) };
        let why = match self.named(path) {
            Ok(named) => return self.find_named(named, criteria, tasks),
            Err(why) => why,
        };
        let Matches { counting, left_over } = self.find_all(criteria, predecessor, tasks)?;
        let Some(process) = self.followed_by_nobody(counting).into_iter().next() else {
            return Ok(Matches { counting: Vec::new(), left_over });
        };
        Err(Unknown(format!(
            "the pid file {} {why}, and {process} is running; if that is the process, write {} to the file",
            path.display(),
            process.pid,
        )))
    }

    /// The process with this number, if it counts: nothing else is looked at.
    pub(super) fn find_named(
        &self,
        named: Named,
        criteria: &Criteria,
        tasks: &Tasks,
    ) -> Result<Matches, Unknown> {
        let pid = named.pid;
        // Of a hidden process too the kernel says that it is there.
        let is_gone = rustix::process::Pid::from_raw(pid).map(rustix::process::test_kill_process)
            == Some(Err(Errno::SRCH));
        let sees_all = is_gone || self.is_there(1);
        self.judge_all(&[pid], sees_all, criteria, Some(&Ok(named)), None, tasks)
    }

    fn find_all(
        &self,
        criteria: &Criteria,
        predecessor: Option<&Predecessor>,
        tasks: &Tasks,
    ) -> Result<Matches, Unknown> {
        let mut candidates = Vec::new();
        let sees_all = self.each_name(|pid, name| {
            if criteria.may_match(name) {
                candidates.push(pid);
            }
        })?;
        self.judge_all(&candidates, sees_all, criteria, None, predecessor, tasks)
    }

    /// A closer look at these.
    fn judge_all(
        &self,
        candidates: &[Pid],
        mut sees_all: bool,
        criteria: &Criteria,
        named: Option<&Result<Named, String>>,
        predecessor: Option<&Predecessor>,
        tasks: &Tasks,
    ) -> Result<Matches, Unknown> {
        let mut blind = None;
        let mut missed = |pid, error| match error {
            ReadError::Vanished => {}
            ReadError::Refused => sees_all = false,
            ReadError::Blind(error) => blind = Some(unreadable(pid, &error)),
        };
        let mut glimpses = Vec::new();
        for &pid in candidates {
            match self.glimpse(pid, criteria) {
                Ok(glimpse) => glimpses.extend(glimpse),
                Err(error) => missed(pid, error),
            }
        }
        let mut matches = Matches::default();
        let lineage = if criteria.subject == Subject::Name { Vec::new() } else { self.lineage() };
        let judge = Judge { criteria, tasks, lineage: &lineage, named, near: None };
        let all_asked = self.judge_each(&glimpses, judge, &mut |pid, judged| match judged {
            Ok(Some(Candidate { process, mismatch: None, .. })) => match predecessor {
                Some(old) if !old.is_succeeded_by(&process) => matches.left_over.push(process),
                _ => matches.counting.push(process),
            },
            Ok(_) => {}
            Err(error) => missed(pid, error),
        })?;
        if let Some(blind) = blind {
            return Err(blind);
        }
        if matches.counting.is_empty() {
            self.may_say_missing(criteria, sees_all, all_asked)?;
        }
        matches.counting.sort_by_key(ProcessInfo::order);
        matches.left_over.sort_by_key(ProcessInfo::order);
        Ok(matches)
    }

    /// Whether what was not seen is not there.
    fn may_say_missing(&self, criteria: &Criteria, sees_all: bool, all_asked: bool) -> Result<(), Unknown> {
        // Our own processes are never hidden from us.
        if !sees_all && criteria.user != Some(self.my_user) {
            return Err(Unknown(format!(
                "{} hides other users' processes (hidepid), so '{}' could run unseen; run this as root, add --user with \
                 your own user if it is yours, or join the group that the mount lets off (gid=)",
                self.root.display(),
                criteria.pattern.text(),
            )));
        }
        if !all_asked && criteria.subject == Subject::CommandLine {
            return Err(Unknown("command lines cannot be read".to_owned()));
        }
        Ok(())
    }

    /// A first look at a process that may count; `None` if that is enough to see that it does not.
    fn glimpse(&self, pid: Pid, criteria: &Criteria) -> Result<Option<Glimpse>, ReadError> {
        let entry = open_entry(&self.root, pid)?;
        let user = entry.uid()?;
        let glimpse = read_stat(&entry.open_relative("stat")?, |stat| {
            let is_ruled_out = stat.is_dead()
                || !criteria.may_match(stat.comm)
                || stat.is_kernel_thread() && criteria.pattern.extent() != Extent::Whole
                || criteria.user.is_some_and(|wanted| user != wanted);
            (!is_ruled_out).then(|| Glimpse::of(pid, user, stat))
        })?;
        // Of thousands, the helper is quicker asked for all than each for its namespace.
        let is_one_of_few = criteria.subject == Subject::Name;
        let matters_whose = criteria.namespace == Namespace::Own || criteria.user.is_some();
        let is_asked = glimpse.is_some() && is_one_of_few && matters_whose;
        let is_ruled_out = is_asked && Ownership::read(&entry)?.rules_out(criteria).is_some();
        Ok(glimpse.filter(|_| !is_ruled_out))
    }

    /// A closer look at each of these, and whether the command lines of all could be asked for.
    pub(super) fn judge_each(
        &self,
        glimpses: &[Glimpse],
        judge: Judge<'_>,
        visit: &mut dyn FnMut(Pid, Result<Option<Candidate>, ReadError>),
    ) -> Result<bool, Unknown> {
        self.read_all(glimpses, &mut |glimpse, reading| {
            visit(glimpse.id.pid, reading.and_then(|reading| self.judge(glimpse, reading, judge)));
        })
    }

    /// Whether there is a process with this number, as far as can be seen.
    pub fn is_there(&self, pid: Pid) -> bool {
        self.stat(pid, |stat| !stat.is_dead()).unwrap_or(false)
    }

    pub fn id(&self, pid: Pid) -> Option<ProcessId> {
        self.stat(pid, |stat| stat.id(pid)).ok()
    }

    /// Whether this process lives, as far as can be seen.
    pub fn is_alive(&self, id: ProcessId) -> bool {
        self.sees_alive(id).unwrap_or(false)
    }

    /// The same of a process of `user`, which may be hidden: an error if it is not seen, and could be there all
    /// the same.
    pub fn try_is_alive(&self, id: ProcessId, user: u32) -> Result<bool, Unknown> {
        match self.sees_alive(id) {
            Ok(is_alive) => Ok(is_alive),
            Err(ReadError::Blind(error)) => Err(unreadable(id.pid, &error)),
            // Our own processes are never hidden from us, and whoever sees process 1 sees everybody's.
            Err(ReadError::Vanished) if user == self.my_user || self.is_there(1) => Ok(false),
            Err(ReadError::Vanished | ReadError::Refused) => {
                Err(Unknown(format!("{} hides other users' processes (hidepid)", self.root.display())))
            }
        }
    }

    fn sees_alive(&self, id: ProcessId) -> Result<bool, ReadError> {
        self.stat(id.pid, |stat| id.is_same(stat.id(id.pid)) && !stat.is_dead())
    }

    /// What is wanted of a process's stat line.
    pub(super) fn stat<T>(&self, pid: Pid, wanted: impl FnOnce(&Stat<'_>) -> T) -> Result<T, ReadError> {
        read_stat_of(&self.root, pid, wanted)
    }

    /// Whether any process of a process group lives, as far as can be seen. Asked again and again while its
    /// leader has to be, which then is all that is looked at.
    pub fn is_group_alive(&self, group: Pid) -> bool {
        // While nobody can tell, there may be one.
        let may_be_in_it = |pid| match self.stat(pid, |stat| stat.group == group && !stat.is_dead()) {
            Ok(is_in_it) => is_in_it,
            Err(error) => matches!(error, ReadError::Blind(_)),
        };
        may_be_in_it(group) || self.pids().map_or(true, |pids| pids.into_iter().any(may_be_in_it))
    }

    /// `None` if it does not match, and nothing of it is near.
    fn judge(
        &self,
        glimpse: &Glimpse,
        reading: Reading,
        judge: Judge<'_>,
    ) -> Result<Option<Candidate>, ReadError> {
        let Judge { criteria, named, near, .. } = judge;
        let id = glimpse.id;
        // There may be thousands.
        let no_names: &[&[u8]] = &[];
        let line = reading.text.as_deref();
        if near.is_none()
            && criteria.subject == Subject::CommandLine
            && !line.is_some_and(|line| criteria.matches(&glimpse.comm, no_names, line))
        {
            return Ok(None);
        }
        let entry = open_entry(&self.root, id.pid)?;
        // The number may be another's by now, or the process may have taken another name.
        read_stat(&entry.open_relative("stat")?, |stat| {
            if !id.is_same(stat.id(id.pid)) {
                return Err(ReadError::Vanished);
            }
            let identity = Identity::new(&entry, stat, reading);
            let meets = identity.meets(criteria, stat);
            let near = near.filter(|_| !meets).and_then(|near| near.by(&entry, stat, &identity));
            if !meets && near.is_none() {
                return Ok(None);
            }
            let whose = Ownership::read(&entry)?;
            // Where there is to be a pid file, and it says nothing, nothing is what it means.
            let is_it = |named: &Named| self.denial(named, id, whose).is_none();
            let is_denied = named.is_some_and(|named| !named.as_ref().is_ok_and(is_it));
            let mismatch = self.mismatch(id.pid, stat, &identity, judge);
            let mismatch = mismatch.or_else(|| whose.rules_out(criteria));
            let remedy = mismatch.filter(|_| !is_denied);
            let remedy = remedy.and_then(|why| Remedy::of(why, criteria, stat, &identity, whose, near));
            let mismatch = mismatch.or(is_denied.then_some(Mismatch::NotInPidFile));
            let (name, signature) = (identity.name(stat), identity.signature(whose.user));
            let command_line = shown_command_line(stat.comm, identity.line());
            let process = ProcessInfo { command_line, ..ProcessInfo::new(id.pid, stat, name, signature) };
            Ok(Some(Candidate { process, mismatch, remedy, near }))
        })?
    }

    fn mismatch(&self, pid: Pid, stat: &Stat<'_>, identity: &Identity, judge: Judge<'_>) -> Option<Mismatch> {
        let (criteria, line) = (judge.criteria, identity.line());
        let meets = identity.meets(criteria, stat);
        // What has the name is not asked what it says.
        let by_line = criteria.subject == Subject::CommandLine || !meets;
        Some(match () {
            () if pid == self.me || self.is_this_program(identity) => Mismatch::ThisProgram,
            () if judge.is_of_a_task(pid, stat, line) || by_line && runs(line, &criteria.start_command) => {
                Mismatch::StartCommand
            }
            () if by_line && judge.lineage.contains(&pid) && self.is_named_in(line) => Mismatch::Ancestor,
            () if !meets => Mismatch::NameDiffers,
            () if stat.is_dead() => Mismatch::Zombie,
            // There is one of many a name on every machine.
            () if stat.is_kernel_thread() && criteria.pattern.extent() != Extent::Whole => {
                Mismatch::KernelThread
            }
            () if is_init_script(line) => Mismatch::InitScript,
            () => return None,
        })
    }

    fn is_this_program(&self, identity: &Identity) -> bool {
        // Or another version of it, as after an upgrade; or another user's, whose file is not for us to see.
        identity.file.is_some() && identity.file == self.program_file
            || identity.path.as_ref() == Some(&self.program_path)
            || is_invocation(identity.line(), &self.program_name)
    }

    /// Whether a command line has this program in it, as those have that started it.
    fn is_named_in(&self, line: &[u8]) -> bool {
        let has = |name: &Vec<u8>| !name.is_empty() && line.windows(name.len()).any(|part| part == &name[..]);
        has(&self.program_name) || has(&self.called)
    }

    /// The parent of this process, its parent, and so on.
    pub fn lineage(&self) -> Vec<Pid> {
        self.ancestors(self.me)
    }

    pub(super) fn ancestors(&self, pid: Pid) -> Vec<Pid> {
        let parent = |pid: Pid| self.stat(pid, |stat| stat.ppid).ok();
        std::iter::successors(parent(pid), |pid| parent(*pid))
            .take_while(|pid| *pid > 0)
            .take(MOST_ANCESTORS)
            .collect()
    }

    pub(super) fn pids(&self) -> Result<Vec<Pid>, Unknown> {
        let mut pids = Vec::new();
        self.each_name(|pid, _| pids.push(pid))?;
        Ok(pids)
    }

    /// Calls `visit` with the number and the name of each process. Three system calls for each, and no
    /// allocation. Whether all processes were to be seen: under `hidepid` only one who is let off it sees
    /// process 1, which is root's (proc(5)).
    pub(super) fn each_name(&self, mut visit: impl FnMut(Pid, &[u8])) -> Result<bool, Unknown> {
        let blind = |what: &str, within: &str, error: io::Error| {
            Unknown(format!("cannot {what} {}{within}: {error}", self.root.display()))
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, &self.root, flags, Mode::empty())
            .map_err(|error| blind("open", "", error.into()))?;
        let mut sees_all = false;
        let mut buffer = [MaybeUninit::uninit(); LISTING];
        let mut entries = RawDir::new(&folder, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|error| blind("list", "", error.into()))?;
            let Some(pid) = number(entry.file_name()) else { continue };
            let mut name = [0; LONGEST_NAME + 1];
            match read_name(&folder, pid, &mut name) {
                Ok(name) => {
                    sees_all |= pid == 1;
                    visit(pid, name);
                }
                Err(ReadError::Vanished | ReadError::Refused) => {}
                Err(ReadError::Blind(error)) => return Err(blind("read", "/PID/comm", error)),
            }
        }
        Ok(sees_all)
    }
}

pub(super) fn unreadable(pid: Pid, error: &io::Error) -> Unknown {
    Unknown(format!("cannot read /proc/{pid}: {error}"))
}

pub(super) fn read_stat_of<T>(
    root: &Path,
    pid: Pid,
    wanted: impl FnOnce(&Stat<'_>) -> T,
) -> Result<T, ReadError> {
    read_stat(&open_entry(root, pid)?.open_relative("stat")?, wanted)
}

impl Judge<'_> {
    /// Whether it belongs to what this watchdog runs itself, and is not what the start command has started.
    fn is_of_a_task(&self, pid: Pid, stat: &Stat<'_>, line: &[u8]) -> bool {
        let Tasks { command, others } = self.tasks;
        let runs = || runs(line, &self.criteria.start_command);
        let is_shell = stat.session == *command && SHELLS.contains(&stat.comm);
        is_shell && (pid == *command || runs()) || others.contains(&stat.session)
    }
}

impl Ownership {
    /// Why a process does not count because of whose it is.
    fn rules_out(self, criteria: &Criteria) -> Option<Mismatch> {
        let is_elsewhere = criteria.namespace == Namespace::Own && self.is_in_other_namespace;
        let of_user = || criteria.user.and_then(|wanted| self.mismatch(wanted));
        is_elsewhere.then_some(Mismatch::OtherNamespace).or_else(of_user)
    }

    pub(super) fn mismatch(self, wanted: u32) -> Option<Mismatch> {
        if self.user == wanted {
            self.is_mixed().then_some(Mismatch::MixedUser)
        } else {
            Some(Mismatch::OtherUser)
        }
    }

    /// `NSpid` has the process's number in each PID namespace from that of this /proc on (proc(5), since
    /// Linux 4.1): one, for those of our own.
    pub(super) fn read(entry: &Process) -> Result<Self, ReadError> {
        let status = read_all(entry, "status", LONGEST_STATUS)?;
        // The name, which comes before, has its newlines escaped.
        let words = |key: &[u8]| {
            let mut lines = status.split(|byte| *byte == b'\n');
            let line = lines.find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_ascii().split(u8::is_ascii_whitespace))
        };
        let users = words(b"Uid:").and_then(|words| words.take(3).map(parse).collect::<Option<Vec<_>>>());
        Ok(Ownership {
            user: entry.uid()?,
            users: users.and_then(|users| users.try_into().ok()),
            is_in_other_namespace: words(b"NSpid:").is_some_and(|numbers| numbers.count() != 1),
            leader: words(b"Tgid:").and_then(|mut words| parse(words.next()?)),
        })
    }
}

fn number(name: &CStr) -> Option<Pid> {
    let digits = name.to_bytes();
    digits.first().is_some_and(u8::is_ascii_digit).then(|| parse(digits))?
}

fn read_name(
    folder: impl rustix::fd::AsFd,
    pid: Pid,
    buffer: &mut [u8; LONGEST_NAME + 1],
) -> Result<&[u8], ReadError> {
    let (path, flags) = (&mut [0; 32], OFlags::RDONLY | OFlags::CLOEXEC);
    let file = rustix::fs::openat(folder, path_of(pid, "comm", path), flags, Mode::empty())
        .map_err(io::Error::from)?;
    let length = rustix::io::read(&file, &mut buffer[..]).map_err(io::Error::from)?;
    let name = buffer.get(..length).unwrap_or_default();
    Ok(name.strip_suffix(b"\n").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Signature;
    use crate::process::stat::tick;
    use crate::process::tests::{FakeProc, named};
    use crate::settings::pattern::printable;
    use crate::time::Time;
    use std::time::Duration;

    #[test]
    fn finds_by_name_and_takes_the_oldest_server_first() {
        let proc = FakeProc::new()
            .add(30, b"dockerd", 'S', 300, b"/usr/bin/dockerd\0")
            .add(20, b"dockerd", 'S', 500, b"/usr/bin/dockerd\0")
            .add_with(10, b"docker", 'S', (100, 1, 34816), b"docker\0ps\0")
            .add(40, b"containerd", 'S', 1, b"/usr/bin/containerd\0");
        assert_eq!(proc.pids("docker"), [30, 20, 10]);
        assert_eq!(proc.pids("^docker$"), [10]);
        assert_eq!(proc.pids("nginx"), Vec::<Pid>::new());
    }

    #[test]
    fn dead_is_not_running() {
        let proc = FakeProc::new()
            .add(10, b"x-zombie", 'Z', 1, b"")
            .add(11, b"x-dead", 'X', 1, b"")
            .add_with(12, b"x-leader-gone", 'Z', (1, 2, 0), b"")
            .add(13, b"x-stopped", 'T', 1, b"x\0")
            .add(14, b"x-traced", 't', 1, b"x\0");
        assert_eq!(proc.pids("x-"), [12, 13, 14]);
    }

    #[test]
    fn what_only_has_the_name_does_not_count() {
        let proc = FakeProc::new()
            .add(10, b"nginx", 'S', 1, b"/bin/sh\0/etc/init.d/nginx\0start\0")
            .add(11, b"nginx", 'S', 1, b"/bin/bash\0-e\0/etc/rc2.d/S01nginx\0start\0")
            .add(12, b"nginx", 'S', 1, b"KERNEL")
            .add(13, b"nginx", 'S', 1, b"nginx: master process\0")
            .add(14, b"nginx", 'S', 1, b"/bin/sh\0/opt/etc/init.d/nginx\0start\0");
        assert_eq!(proc.pids("nginx"), [13, 14]);
    }

    #[test]
    fn groups_hide_no_namespace() {
        let groups = |count| format!("Name:\tx\nGroups:\t{}\n", "100000 ".repeat(count));
        for (status, counts) in [
            (groups(800) + "NSpid:\t10\n", true),
            (groups(800) + "NSpid:\t10\t7\n", false),
            (groups(65_536) + "NSpid:\t10\t7\n", false),
            (groups(0), true), // before Linux 4.1
        ] {
            let proc = FakeProc::new().add(10, b"x", 'S', 1, b"x\0");
            std::fs::write(proc.0.path().join("10/status"), &status).unwrap();
            assert_eq!(!proc.pids("^x$").is_empty(), counts, "{} bytes", status.len());
        }
    }

    #[test]
    fn hostile_names_are_found_and_shown_harmless() {
        for (name, pattern, shown) in [
            (&b"foo) Z "[..], r"foo\) Z", "foo) Z "),
            (b"new\nline", r"new\?line", "new?line"),
            (b"\xff\xfe", r"^\?\?$", "??"),
            (b"a b\tc", r"a b.c", "a b?c"),
            (b"%s%n", "%s%n", "%s%n"),
        ] {
            let proc = FakeProc::new().add(10, name, 'S', 1, b"x\0");
            let found = proc.find(pattern, None).unwrap().counting;
            assert_eq!(
                found.iter().map(|process| process.name.as_str()).collect::<Vec<_>>(),
                [shown],
                "{pattern}"
            );
        }
    }

    #[test]
    fn what_was_there_before_the_death_is_left_over() {
        let proc = FakeProc::new()
            .add(10, b"nginx", 'S', 100, b"nginx: worker process\0")
            .add(11, b"nginx", 'S', 100, b"nginx: master process\0")
            .add(12, b"nginx", 'S', 900, b"nginx: worker process\0");
        let user = rustix::process::geteuid().as_raw();
        let since = Duration::from_secs(5);
        let dead = ProcessInfo::of_test(7, "nginx", Signature::new(user, b"nginx: master process\0"));
        let predecessor = Predecessor::new(&dead, since);
        let matches = proc.find("nginx", Some(&predecessor)).unwrap();
        let pids = |all: &[ProcessInfo]| all.iter().map(|process| process.pid).collect::<Vec<_>>();
        assert_eq!((pids(&matches.counting), pids(&matches.left_over)), (vec![11, 12], vec![10]));
    }

    #[test]
    fn what_vanishes_or_breaks_off_is_no_error() {
        let proc = FakeProc::new()
            .add(10, b"x", 'S', 1, b"x\0")
            .add(11, b"x", 'S', 1, b"x\0")
            .add(12, b"x", 'S', 1, b"x\0");
        std::fs::remove_file(proc.0.path().join("10/stat")).unwrap();
        std::fs::write(proc.0.path().join("11/stat"), "11 (x) S 1").unwrap();
        assert_eq!(proc.pids("^x$"), [12]);
        std::fs::remove_file(proc.0.path().join("12/comm")).unwrap();
        assert_eq!(proc.pids("^x$"), Vec::<Pid>::new());
    }

    #[test]
    fn missing_is_only_said_by_one_who_sees_all() {
        let proc = FakeProc::new().add(10, b"x", 'S', 1, b"x\0");
        std::fs::remove_dir_all(proc.0.path().join("1")).unwrap();
        assert_eq!(proc.pids("^x$"), [10], "what is seen runs");
        let Unknown(why) = proc.find("^y$", None).unwrap_err();
        assert!(why.contains("hidepid"), "{why}");
    }

    #[test]
    fn what_may_be_hidden_is_not_dead() {
        let proc = FakeProc::new().add(10, b"x", 'S', 1, b"x\0").add(11, b"x", 'Z', 1, b"");
        let reader = Proc::new(proc.0.path()).unwrap();
        let (me, other) = (reader.my_user, reader.my_user + 1);
        let lives =
            |pid, ticks, user| reader.try_is_alive(ProcessId { pid, started: tick() * ticks }, user).ok();
        let seen = [(10, 1, Some(true)), (10, 7, Some(false)), (11, 1, Some(false)), (12, 1, Some(false))];
        for (pid, ticks, expected) in seen {
            assert_eq!((lives(pid, ticks, me), lives(pid, ticks, other)), (expected, expected), "{pid}");
        }
        std::fs::remove_dir_all(proc.0.path().join("1")).unwrap();
        for (pid, ticks, expected) in seen {
            let others = expected.filter(|_| pid != 12);
            assert_eq!((lives(pid, ticks, me), lives(pid, ticks, other)), (expected, others), "{pid}");
        }
        let Unknown(why) =
            reader.try_is_alive(ProcessId { pid: 12, started: Time::ZERO }, other).unwrap_err();
        assert!(why.contains("hidepid"), "{why}");
    }

    #[test]
    fn no_proc_or_another_namespaces_is_unknown() {
        let proc = FakeProc::new();
        let reader = Proc::new(proc.0.path()).unwrap();
        std::fs::remove_file(proc.0.path().join("self")).unwrap();
        assert!(Proc::new(proc.0.path()).is_err());
        std::os::unix::fs::symlink("4194305", proc.0.path().join("self")).unwrap();
        let Unknown(why) = Proc::new(proc.0.path()).err().unwrap();
        assert!(why.contains("another PID namespace"), "{why}");
        let path = proc.0.path().to_owned();
        drop(proc);
        assert!(!path.exists());
        assert!(reader.find(&named("x"), None, &Tasks::default()).is_err());
    }

    #[test]
    fn the_real_proc_has_this_test_but_not_for_itself() {
        let proc = Proc::new(Path::new("/proc")).unwrap();
        let me = std::fs::read("/proc/self/comm").unwrap();
        let name = printable(me.strip_suffix(b"\n").unwrap()).into_owned();
        let mine = |matches: &Matches| matches.counting.iter().any(|process| process.pid == proc.me);
        let matches = proc.find(&named(&name), None, &Tasks::default());
        // An ordinary user may not see everybody's processes.
        assert!(matches.is_err() || !mine(&matches.unwrap()));
    }
}
