//! Find the process: one lean pass over /proc, and a closer look at what matches.

use std::ffi::CStr;
use std::fs::Metadata;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use procfs::process::Process;
use rustix::fs::{CWD, Mode, OFlags, RawDir};

use crate::process::criteria::{
    Mismatch, is_init_script, is_invocation, program_name, runs, shown_command_line,
};
use crate::process::oom::CONTROL_GROUPS;
use crate::process::stat::{LONGEST_LINE, Stat, tick};
use crate::process::termination::Predecessor;
use crate::process::{
    Identity, LONGEST_COMMAND_LINE, LONGEST_KEPT, ProcessInfo, ReadError, Signature, open_entry, read_all,
    read_start,
};
use crate::settings::pattern::{LONGEST_NAME, Pattern};
use crate::settings::{Criteria, Namespace, Subject};
use crate::sys::Pid;
use crate::time::Time;

/// How much of `/proc/PID/status` is read: before `NSpid` come the groups, 65536 of up to ten digits at most.
const LONGEST_STATUS: usize = 1 << 20;
/// No process tree is so deep; the parents of parents might go in a circle while they change.
const MOST_ANCESTORS: usize = 1000;
/// How much of the listing of /proc is read at a time: some 170 processes. The stack keeps each page that
/// it ever used, and reading more at a time is not measurably faster.
const LISTING: usize = 4096;
/// How many processes are near by their command lines alone: what is found in more is found in anything.
const MOST_IN_FULL: usize = 5;
/// Words of a start command that say nothing about what it starts.
const EVERYDAY_WORDS: &str = "service systemctl start restart sudo env exec nohup sh bash true sleep";

/// What `/bin/sh` may be called, and what runs the start command is not what it started.
const SHELLS: [&[u8]; 4] = [b"sh", b"dash", b"bash", b"busybox"];

/// A /proc, as one process sees it.
#[derive(Debug)]
pub struct Proc {
    root: PathBuf,
    me: Pid,
    my_user: u32,
    /// This program's own file, by which other invocations of it are known.
    program: Option<(u64, u64)>,
    program_path: PathBuf,
    program_name: Vec<u8>,
    /// What it was called by, which may be a link of another name.
    called: Vec<u8>,
    control_groups: PathBuf,
}

/// What a look over /proc found, each list with the one to follow first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// What counts.
    pub counting: Vec<ProcessInfo>,
    /// What matches, but was there before the process died and is nothing like it.
    pub left_over: Vec<ProcessInfo>,
}

/// A process that matches, or nearly does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The process.
    pub seen: ProcessInfo,
    /// Why it does not count, if it does not.
    pub reason: Option<Mismatch>,
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
        let program_path = std::fs::read_link(shown.join("exe")).unwrap_or_else(|_| "watchdog".into());
        let called = std::env::args_os().next().unwrap_or_else(|| "watchdog".into());
        let called = program_name(Path::new(&called)).to_vec();
        let program_name = program_name(&program_path).to_vec();
        Ok(Proc {
            root: root.to_owned(),
            me,
            my_user: rustix::process::geteuid().as_raw(),
            program,
            program_path,
            program_name,
            called,
            control_groups: CONTROL_GROUPS.into(),
        })
    }

    /// Where it is mounted.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the control groups of these processes are.
    pub fn control_groups(&self) -> &Path {
        &self.control_groups
    }

    /// Looks for all processes that meet the `criteria`. After a death, `gone` tells which of them count.
    ///
    /// # Errors
    /// Nothing that counts was seen, but not everything could be seen.
    pub fn find(&self, criteria: &Criteria, gone: Option<&Predecessor>) -> Result<Matches, Unknown> {
        let mut candidates = Vec::new();
        let mut view = self.each_name(|pid, name| {
            if criteria.may_match(name) {
                candidates.push(pid);
            }
        })?;
        let mut matches = Matches::default();
        let ancestors = self.ancestors(criteria);
        for pid in candidates {
            match self.judge(pid, criteria, &ancestors) {
                Ok(Candidate { reason: Some(_), .. }) | Err(ReadError::Vanished) => {}
                Ok(Candidate { seen, .. }) if gone.is_none_or(|gone| gone.lets_count(&seen)) => {
                    matches.counting.push(seen);
                }
                Ok(Candidate { seen, .. }) => matches.left_over.push(seen),
                Err(ReadError::Refused) => view = View::Partial,
                Err(ReadError::Blind(error)) => {
                    return Err(Unknown(format!("/proc/{pid} cannot be read: {error}")));
                }
            }
        }
        // Our own processes are never hidden from us.
        if matches.counting.is_empty() && view == View::Partial && criteria.user != Some(self.my_user) {
            return Err(Unknown(format!(
                "{} hides other users' processes (hidepid), so whether one named '{}' runs cannot be seen",
                self.root.display(),
                criteria.pattern.text(),
            )));
        }
        matches.counting.sort_by_key(ProcessInfo::order);
        matches.left_over.sort_by_key(ProcessInfo::order);
        Ok(matches)
    }

    /// All processes that meet the `criteria`, and those that nearly do, with what is amiss; each kind
    /// with the one to follow first. Takes longer than [`Proc::find`].
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn survey(&self, criteria: &Criteria) -> Result<Vec<Candidate>, Unknown> {
        let mut pids = Vec::new();
        self.each_name(|pid, name| pids.push((pid, criteria.may_match(name))))?;
        pids.retain(|(pid, may_match)| *may_match || self.stat(*pid, |stat| !stat.is_hung()).unwrap_or(true));
        let ancestors = self.ancestors(criteria);
        let (near, full) = (Near::new(criteria), criteria.in_full());
        let mut all = Vec::new();
        // There may be thousands, with long command lines: nothing is kept of what is not asked for.
        let mut others = Vec::new();
        for judged in pids.into_iter().filter_map(|(pid, _)| self.judge(pid, criteria, &ancestors).ok()) {
            let command_line = judged.seen.command_line.as_bytes();
            if judged.reason != Some(Mismatch::NameDiffers) || near.is_near(&judged.seen) {
                all.push(judged);
            } else if full.as_ref().is_some_and(|full| full.pattern.matches(command_line)) {
                others.push(judged);
            }
        }
        all.sort_by_key(|judged| (judged.reason.is_some(), judged.seen.order()));
        if let (Some(full), true) = (full, all.iter().all(|judged| judged.reason.is_some())) {
            all.extend(self.near_in_full(others, &full));
        }
        Ok(all)
    }

    /// Those of the `others`, which have another name, that `--full` would count: a path was given perhaps, or
    /// what an interpreter runs.
    fn near_in_full(&self, mut others: Vec<Candidate>, full: &Criteria) -> Vec<Candidate> {
        others.sort_by_key(|other| other.seen.order());
        // Whatever has started this watchdog with the pattern is not what was meant.
        let lineage = self.lineage();
        let judged = others.iter().filter_map(|other| self.judge(other.seen.pid, full, &lineage).ok());
        let counting = judged.filter(|judged| judged.reason.is_none());
        let near = counting.map(|judged| Candidate { reason: Some(Mismatch::CommandLineMatches), ..judged });
        near.take(MOST_IN_FULL).collect()
    }

    /// Whether there is a process with this number, as far as can be seen.
    pub fn is_there(&self, pid: Pid) -> bool {
        self.look_at(pid, None).unwrap_or(false)
    }

    /// When the process with this number started, to the tick, if it can be seen.
    #[expect(clippy::redundant_closure_for_method_calls)] // the method is of one lifetime, the closure of all
    pub fn started(&self, pid: Pid) -> Option<Time> {
        self.stat(pid, |stat| stat.started()).ok()
    }

    /// Whether the process with this number that started then, to the tick, lives, as far as can be
    /// seen.
    pub fn is_alive(&self, pid: Pid, started: Time) -> bool {
        self.look_at(pid, Some(started)).unwrap_or(false)
    }

    /// The same of a process of `user`, which may be hidden.
    ///
    /// # Errors
    /// It is not seen, and could be there all the same.
    pub fn lives(&self, pid: Pid, started: Time, user: u32) -> Result<bool, Unknown> {
        match self.look_at(pid, Some(started)) {
            Ok(lives) => Ok(lives),
            Err(ReadError::Blind(error)) => Err(Unknown(format!("/proc/{pid} cannot be read: {error}"))),
            // Our own processes are never hidden from us, and whoever sees process 1 sees everybody's.
            Err(ReadError::Vanished) if user == self.my_user || self.is_there(1) => Ok(false),
            Err(ReadError::Vanished | ReadError::Refused) => {
                Err(Unknown(format!("{} hides other users' processes (hidepid)", self.root.display())))
            }
        }
    }

    fn look_at(&self, pid: Pid, started: Option<Time>) -> Result<bool, ReadError> {
        let is_it = |stat: &Stat<'_>| started.is_none_or(|started| stat.started().abs_diff(started) < tick());
        self.stat(pid, |stat| is_it(stat) && !stat.is_dead())
    }

    /// What is wanted of a process's stat line.
    fn stat<T>(&self, pid: Pid, wanted: impl FnOnce(&Stat<'_>) -> T) -> Result<T, ReadError> {
        let entry = open_entry(&self.root, pid)?;
        let mut line = [0; LONGEST_LINE];
        let stat = Stat::parse(read_start(&entry, "stat", &mut line)?).ok_or(ReadError::Vanished)?;
        Ok(wanted(&stat))
    }

    /// Whether any process of a process group lives, as far as can be seen. Asked again and again while its
    /// leader has to be, which then is all that is looked at.
    pub fn lives_any_of(&self, group: Pid) -> bool {
        // While nobody can tell, there may be one.
        let may_be_in_it = |pid| match self.stat(pid, |stat| stat.group == group && !stat.is_dead()) {
            Ok(is_in_it) => is_in_it,
            Err(trouble) => matches!(trouble, ReadError::Blind(_)),
        };
        let mut pids = Vec::new();
        may_be_in_it(group)
            || self.each_name(|pid, _| pids.push(pid)).is_err()
            || pids.into_iter().any(may_be_in_it)
    }

    /// All processes that started at `since` or later, in the session of a start command or whose parent
    /// has ended: what the start command has left running, or has become.
    pub fn started_since(&self, since: Time, session: Pid) -> Vec<ProcessInfo> {
        let lineage = self.lineage();
        let session_of = |pid: &Pid| self.stat(*pid, |stat| stat.session).ok();
        // Where those work who started this watchdog, and what else they have started.
        let theirs: Vec<_> = lineage.iter().chain([&self.me]).filter_map(session_of).collect();
        let mut pids = Vec::new();
        let _ = self.each_name(|pid, _| pids.push(pid));
        let mut left: Vec<_> = pids
            .into_iter()
            .filter(|pid| *pid != self.me)
            .filter_map(|pid| {
                let entry = open_entry(&self.root, pid).ok()?;
                let mut line = [0; LONGEST_LINE];
                let stat = Stat::parse(read_start(&entry, "stat", &mut line).ok()?)?;
                // Whatever loses its parent falls to one of ours that asked for it, or to process 1.
                let is_adopted = lineage.contains(&stat.ppid) && !theirs.contains(&stat.session);
                let ours = stat.session == session || is_adopted;
                let new = stat.started() + tick() > since;
                let is_shell = pid == session && SHELLS.contains(&stat.comm);
                (ours && new && !is_shell && !stat.is_dead() && !stat.is_kernel_thread())
                    .then(|| seen(&entry, pid, &stat, &Identity::read(&entry, &stat).ok()?).ok())?
            })
            .collect();
        left.sort_by_key(|seen| seen.started);
        left
    }

    /// A closer look at one process.
    fn judge(&self, pid: Pid, criteria: &Criteria, ancestors: &[Pid]) -> Result<Candidate, ReadError> {
        let entry = open_entry(&self.root, pid)?;
        let mut line = [0; LONGEST_LINE];
        // The number may be another's by now, or the process may have taken another name.
        let Some(stat) = Stat::parse(read_start(&entry, "stat", &mut line)?) else {
            return Err(ReadError::Vanished);
        };
        let identity = Identity::read(&entry, &stat)?;
        let command_line = &identity.command_line;
        let reason = if !criteria.matches(stat.comm, identity.full_name.as_deref(), command_line) {
            Some(Mismatch::NameDiffers)
        } else if pid == self.me || self.is_this_program(pid, command_line) {
            Some(Mismatch::ThisProgram)
        } else if stat.is_dead() {
            Some(Mismatch::Zombie)
        } else if stat.is_kernel_thread() && !criteria.takes_kernel_threads() {
            Some(Mismatch::KernelThread)
        } else if is_init_script(command_line) {
            Some(Mismatch::InitScript)
        } else if criteria.subject == Subject::CommandLine && runs(command_line, &criteria.start_command) {
            Some(Mismatch::StartCommand)
        } else if ancestors.contains(&pid) {
            Some(Mismatch::Ancestor)
        } else if criteria.namespace == Namespace::Own && !is_in_own_namespace(&entry)? {
            Some(Mismatch::OtherNamespace)
        } else if criteria.user.is_some_and(|user| entry.uid().is_ok_and(|owner| owner != user)) {
            Some(Mismatch::OtherUser)
        } else {
            None
        };
        Ok(Candidate { seen: seen(&entry, pid, &stat, &identity)?, reason })
    }

    fn is_this_program(&self, pid: Pid, command_line: &[u8]) -> bool {
        let file = std::fs::metadata(self.root.join(pid.to_string()).join("exe"));
        if self.program.is_some() && file.ok().map(|file| (file.dev(), file.ino())) == self.program {
            return true;
        }
        // Another version of it, as after an upgrade.
        let path = std::fs::read_link(self.root.join(pid.to_string()).join("exe")).unwrap_or_default();
        let path = path.as_os_str().as_bytes();
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        // Or another user's, whose file is not for us to see.
        path == self.program_path.as_os_str().as_bytes() || is_invocation(command_line, &self.program_name)
    }

    /// Under `--full`, those whose command line has the pattern in it since they started this watchdog
    /// with it: `sudo`, `sh -c`, `timeout`, `flock`.
    fn ancestors(&self, criteria: &Criteria) -> Vec<Pid> {
        if criteria.subject == Subject::Name {
            return Vec::new();
        }
        let names_us = |pid: &Pid| {
            let entry = open_entry(&self.root, *pid);
            let line =
                entry.and_then(|entry| read_all(&entry, "cmdline", LONGEST_COMMAND_LINE)).unwrap_or_default();
            let has =
                |name: &Vec<u8>| !name.is_empty() && line.windows(name.len()).any(|part| part == &name[..]);
            has(&self.program_name) || has(&self.called)
        };
        self.lineage().into_iter().filter(names_us).collect()
    }

    /// The parent of this process, its parent, and so on.
    fn lineage(&self) -> Vec<Pid> {
        let parent = |pid: Pid| self.stat(pid, |stat| stat.ppid).ok();
        std::iter::successors(parent(self.me), |pid| parent(*pid))
            .take_while(|pid| *pid > 0)
            .take(MOST_ANCESTORS)
            .collect()
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
        let mut buffer = [MaybeUninit::uninit(); LISTING];
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
                Err(ReadError::Vanished | ReadError::Refused) => {}
                Err(ReadError::Blind(error)) => return Err(blind("/PID/comm cannot be read", error)),
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

fn seen(entry: &Process, pid: Pid, stat: &Stat, identity: &Identity) -> Result<ProcessInfo, ReadError> {
    Ok(ProcessInfo {
        pid,
        name: identity.name(stat),
        started: stat.started(),
        has_terminal: stat.tty != 0,
        parent: stat.ppid,
        command_line: shown_command_line(stat.comm, &identity.command_line)
            .chars()
            .take(LONGEST_KEPT)
            .collect(),
        kind: Signature::new(entry.uid()?, &identity.command_line),
    })
}

/// `NSpid` has the process's number in each PID namespace from that of this /proc on (proc(5), since
/// Linux 4.1): one, for those of our own.
fn is_in_own_namespace(entry: &Process) -> Result<bool, ReadError> {
    let status = read_all(entry, "status", LONGEST_STATUS)?;
    let is_cut = status.len() >= LONGEST_STATUS;
    // The name, which comes before, has its newlines escaped.
    let mut lines = status.split_inclusive(|byte| *byte == b'\n');
    match lines.find_map(|line| line.strip_prefix(b"NSpid:")) {
        Some(numbers) if numbers.ends_with(b"\n") || !is_cut => {
            Ok(numbers.split(u8::is_ascii_whitespace).filter(|it| !it.is_empty()).count() == 1)
        }
        None if !is_cut => Ok(true),
        _ => Err(ReadError::Blind(io::Error::other("its status is too long"))),
    }
}

/// What is close to the criteria without meeting them.
struct Near<'a> {
    criteria: &'a Criteria,
    looser: Vec<Pattern>,
    /// The words of the start command that may be names of programs.
    words: Vec<&'a str>,
}

impl<'a> Near<'a> {
    fn new(criteria: &'a Criteria) -> Self {
        let pattern = &criteria.pattern;
        let words = criteria.start_command.split(|c: char| c.is_whitespace() || ";&|()<>'\"".contains(c));
        let words = words.map(|word| word.rsplit('/').next().unwrap_or(word));
        Near {
            criteria,
            looser: [pattern.in_any_case(), pattern.without_anchors()].into_iter().flatten().collect(),
            words: words
                .filter(|word| word.len() > 2 && !EVERYDAY_WORDS.split(' ').any(|everyday| everyday == *word))
                .collect(),
        }
    }

    fn is_near(&self, seen: &ProcessInfo) -> bool {
        let name = &seen.name;
        let text = self.criteria.pattern.text();
        let is_misspelt = || {
            let most = if text.chars().count() < 5 { 1 } else { 2 };
            self.criteria.pattern.is_literal() && strsim::damerau_levenshtein(text, name) <= most
        };
        self.looser.iter().any(|pattern| pattern.matches(name.as_bytes()))
            || self.words.contains(&name.as_str())
            || is_misspelt()
    }
}

fn number(name: &CStr) -> Option<Pid> {
    let digits = name.to_bytes();
    digits.first().is_some_and(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

fn read_name<'a>(
    folder: impl rustix::fd::AsFd,
    pid: &CStr,
    buffer: &'a mut [u8; LONGEST_NAME + 1],
) -> Result<&'a [u8], ReadError> {
    let mut path = [0; 32];
    write!(&mut path[..], "{}/comm", pid.to_str().unwrap_or_default())?;
    let path = CStr::from_bytes_until_nul(&path).unwrap_or_default();
    let file = rustix::fs::openat(folder, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(io::Error::from)?;
    let length = rustix::io::read(&file, &mut buffer[..]).map_err(io::Error::from)?;
    let name = buffer.get(..length).unwrap_or_default();
    Ok(name.strip_suffix(b"\n").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::pattern::{Extent, printable};
    use std::time::Duration;

    /// A /proc in a temporary folder, with process 1 and whatever is added.
    struct FakeProc(tempfile::TempDir);

    fn named(text: &str) -> Criteria {
        Criteria::name(Pattern::new(text, Extent::Part).unwrap())
    }

    impl FakeProc {
        fn new() -> Self {
            let proc = FakeProc(tempfile::tempdir().unwrap());
            std::os::unix::fs::symlink(std::process::id().to_string(), proc.0.path().join("self")).unwrap();
            for other in ["uptime", "1x", "self2"] {
                std::fs::write(proc.0.path().join(other), "").unwrap();
            }
            proc.add(1, b"init", 'S', 1, b"/sbin/init\0")
        }

        fn add(self, pid: Pid, name: &[u8], state: char, ticks: u64, command_line: &[u8]) -> Self {
            self.add_with(pid, name, state, (ticks, 1, 0), command_line)
        }

        /// With start in ticks, number of threads, and terminal.
        fn add_with(
            self,
            pid: Pid,
            name: &[u8],
            state: char,
            more: (u64, u32, i32),
            command_line: &[u8],
        ) -> Self {
            let (ticks, threads, tty) = more;
            let flags = if command_line == b"KERNEL" { 0x0020_0040 } else { 0x40_0000 };
            let folder = self.0.path().join(pid.to_string());
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("comm"), [name, b"\n"].concat()).unwrap();
            let mut line = format!("{pid} (").into_bytes();
            line.extend(name);
            line.extend(
                format!(
                    ") {state} 1 {pid} {pid} {tty} -1 {flags} 1 2 3 4 5 6 7 8 20 0 {threads} 0 {ticks} 9 9 9 9 9 9 9 9 0 \
                     0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
                )
                .bytes(),
            );
            std::fs::write(folder.join("stat"), line).unwrap();
            std::fs::write(folder.join("cmdline"), command_line).unwrap();
            std::fs::write(folder.join("status"), format!("Name:\tx\nPid:\t{pid}\nNSpid:\t{pid}\n")).unwrap();
            self
        }

        fn find(&self, pattern: &str, gone: Option<&Predecessor>) -> Result<Matches, Unknown> {
            Proc::new(self.0.path())?.find(&named(pattern), gone)
        }

        fn pids(&self, pattern: &str) -> Vec<Pid> {
            self.find(pattern, None).unwrap().counting.iter().map(|seen| seen.pid).collect()
        }
    }

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
        let cut =
            |line: &str| format!("{}{line}", "x".repeat(LONGEST_STATUS - 1 - "NSpid:\t10".len()) + "\n");
        for (status, counts) in [
            (groups(800) + "NSpid:\t10\n", Some(true)),
            (groups(800) + "NSpid:\t10\t7\n", Some(false)),
            (groups(65_536) + "NSpid:\t10\t7\n", Some(false)),
            (groups(0), Some(true)), // before Linux 4.1
            (cut("NSpid:\t10\t7\n"), None),
            (cut("") + &cut("NSpid:\t10\n"), None),
        ] {
            let proc = FakeProc::new().add(10, b"x", 'S', 1, b"x\0");
            std::fs::write(proc.0.path().join("10/status"), &status).unwrap();
            let found = proc.find("^x$", None).ok().map(|matches| !matches.counting.is_empty());
            assert_eq!(found, counts, "{} bytes", status.len());
        }
    }

    #[test]
    fn what_a_command_line_names_is_near() {
        let proc = FakeProc::new()
            .add(20, b"python3", 'S', 2, b"python3\0-m\0http.server\0")
            .add(10, b"java", 'S', 3, b"/usr/bin/java\0-jar\0x.jar\0")
            .add(11, b"java", 'Z', 1, b"/usr/bin/java\0-jar\0x.jar\0")
            .add(12, b"sh", 'S', 1, b"/bin/sh\0/etc/init.d/x.jar\0start\0")
            .add(13, b"sh", 'S', 1, b"/bin/sh\0-c\0/opt/run http.server\0")
            .add(14, b"watchdog", 'S', 1, b"/usr/bin/watchdog\0-p\0http.server\0")
            .add(15, b"nginx", 'S', 1, b"/usr/sbin/nginx\0")
            .add(16, b"tail", 'S', 1, b"tail\0-f\0/var/log/nginx\0")
            .add(std::process::id().cast_signed(), b"me", 'S', 1, b"x\0http.server\0");
        let mut reader = Proc::new(proc.0.path()).unwrap();
        reader.program_name = b"watchdog".to_vec();
        let near = |text: &str| {
            let start_command = "/opt/run http.server".to_owned();
            let survey = reader.survey(&Criteria { start_command, ..named(text) }).unwrap();
            let reason =
                |judged: &Candidate| judged.reason.map(|reason| reason.to_string()).unwrap_or_default();
            survey.iter().map(|judged| (judged.seen.pid, reason(judged))).collect::<Vec<_>>()
        };
        for (text, pid) in [
            ("http.server", 20),
            ("python3 -m http.server", 20),
            ("java -jar x.jar", 10),
            ("x.jar", 10),
            ("^/usr/sbin/nginx$", 15),
        ] {
            assert_eq!(
                near(text),
                [(pid, "its command line matches; --full counts it".to_owned())],
                "{text}"
            );
        }
        // Who hangs is not asked.
        let hung = FakeProc::new().add(20, b"python3", 'D', 2, b"python3\0-m\0http.server\0");
        assert_eq!(Proc::new(hung.0.path()).unwrap().survey(&named("http.server")).unwrap(), []);
        let hung = FakeProc::new().add(20, b"http.server", 'D', 2, b"http.server\0");
        assert_eq!(Proc::new(hung.0.path()).unwrap().survey(&named("http.server")).unwrap().len(), 1);
        // Nobody needs that who has found it; nor what is in every command line.
        assert_eq!(near("nginx"), [(15, String::new())]);
        for text in ["-m", "s?", "(x.jar)*", ".{0,9}", "http", "log.*"] {
            assert_eq!(
                near(text).iter().filter(|(_, reason)| reason.contains("--full")).count(),
                0,
                "{text}"
            );
        }
        let many =
            (30..50).fold(FakeProc::new(), |proc, pid| proc.add(pid, b"perl", 'S', 1, b"perl\0x.pl\0"));
        assert_eq!(Proc::new(many.0.path()).unwrap().survey(&named("x.pl")).unwrap().len(), MOST_IN_FULL);
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
            assert_eq!(found.iter().map(|seen| seen.name.as_str()).collect::<Vec<_>>(), [shown], "{pattern}");
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
        let gone = Predecessor { pid: 7, since, kind: Signature::new(user, b"nginx: master process\0") };
        let matches = proc.find("nginx", Some(&gone)).unwrap();
        let pids = |all: &[ProcessInfo]| all.iter().map(|seen| seen.pid).collect::<Vec<_>>();
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
        let lives = |pid, ticks, user| reader.lives(pid, tick() * ticks, user).ok();
        let seen = [(10, 1, Some(true)), (10, 7, Some(false)), (11, 1, Some(false)), (12, 1, Some(false))];
        for (pid, ticks, expected) in seen {
            assert_eq!((lives(pid, ticks, me), lives(pid, ticks, other)), (expected, expected), "{pid}");
        }
        std::fs::remove_dir_all(proc.0.path().join("1")).unwrap();
        for (pid, ticks, expected) in seen {
            let others = expected.filter(|_| pid != 12);
            assert_eq!((lives(pid, ticks, me), lives(pid, ticks, other)), (expected, others), "{pid}");
        }
        let Unknown(why) = reader.lives(12, Time::ZERO, other).unwrap_err();
        assert!(why.contains("hidepid"), "{why}");
    }

    #[test]
    fn no_proc_or_another_namespaces_is_unknown() {
        let proc = FakeProc::new();
        let reader = Proc::new(proc.0.path()).unwrap();
        std::fs::remove_file(proc.0.path().join("self")).unwrap();
        assert!(Proc::new(proc.0.path()).is_err());
        std::os::unix::fs::symlink("4194305", proc.0.path().join("self")).unwrap();
        let Unknown(why) = Proc::new(proc.0.path()).unwrap_err();
        assert!(why.contains("another PID namespace"), "{why}");
        let path = proc.0.path().to_owned();
        drop(proc);
        assert!(!path.exists());
        assert!(reader.find(&named("x"), None).is_err());
    }

    #[test]
    fn the_real_proc_has_this_test_but_not_for_itself() {
        let proc = Proc::new(Path::new("/proc")).unwrap();
        let me = std::fs::read("/proc/self/comm").unwrap();
        let name = printable(me.strip_suffix(b"\n").unwrap()).into_owned();
        let mine = |matches: &Matches| matches.counting.iter().any(|seen| seen.pid == proc.me);
        let matches = proc.find(&named(&name), None);
        // An ordinary user may not see everybody's processes.
        assert!(matches.is_err() || !mine(&matches.unwrap()));
    }
}
