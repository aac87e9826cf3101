//! Hold one process, and not its number: a pidfd that says the moment it dies, and its open /proc entry
//! that says whether it is still what is looked for.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitStatus;

use nix::sys::signal::{Signal, kill};
use procfs::process::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::process::oom::OomKills;
use crate::process::scan::{Proc, Unknown};
use crate::process::stat::{LONGEST_LINE, Stat};
use crate::process::termination::{Exit, ExitQuery, ask};
use crate::process::{Identity, LONGEST_KEPT, ProcessInfo, ReadError, Signature, open_entry, read_all};
use crate::settings::pattern::LONGEST_NAME;
use crate::settings::{Criteria, Subject};
use crate::sys::Pid;
use crate::time::Time;

/// How much of a command line is compared at each check.
const COMPARED: usize = 4096;

/// A process that is held.
#[derive(Debug)]
pub struct Handle {
    seen: ProcessInfo,
    pidfd: Option<OwnedFd>,
    entry: Process,
    stat: File,
    line: Text<LONGEST_LINE>,
    /// Its resident memory at the last check, in bytes.
    memory: Option<u64>,
    /// What was waited for: how it ended, if it was a child.
    waited: Option<ExitStatus>,
    /// What the OOM killer had done a while ago, and what it has when it was last counted. Who is killed may
    /// take long to die: a count made in between must not hide it.
    oom_kills: [OomKills; 2],
    /// The line up to the state, when the process was last seen to match.
    known: Known,
    /// Where the command line is what matches.
    command_line: Option<CommandLine>,
}

/// A command line that is looked at with each check.
#[derive(Debug)]
struct CommandLine {
    file: File,
    known: Text<COMPARED>,
    now: Text<COMPARED>,
}

/// What a check of a held process found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It lives and matches.
    Alive {
        /// A signal or a debugger has stopped it for now.
        stopped: bool,
    },
    /// It is dead.
    Dead,
    /// It lives, but has taken a name, a command line or a user that is not what is looked for.
    Changed,
}

/// How a pidfd is opened; a parameter, so that tests can be a kernel without them.
pub type OpenPidfd = fn(Pid) -> io::Result<OwnedFd>;

/// Opens a pidfd (Linux 5.3).
///
/// # Errors
/// No such process, no descriptors left, or not on this kernel or for this user.
pub fn open_pidfd(pid: Pid) -> io::Result<OwnedFd> {
    // From a file, it may be any number.
    let pid = Some(pid).filter(|pid| *pid > 0).and_then(rustix::process::Pid::from_raw).ok_or(Errno::SRCH)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

impl Handle {
    /// Takes hold of a process that a look has found. `None` if it has ended meanwhile, or its number
    /// is another's.
    ///
    /// # Errors
    /// Descriptors or memory ran out, or /proc cannot be read.
    pub fn hold(
        proc: &Proc,
        seen: ProcessInfo,
        criteria: &Criteria,
        open: OpenPidfd,
    ) -> Result<Option<Self>, Unknown> {
        // The order matters: if the process that the pidfd holds still lives after the entry was read,
        // both are the same.
        let pidfd = match open(seen.pid) {
            Ok(pidfd) => Some(pidfd),
            Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::SRCH) => return Ok(None),
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
                    return Err(Unknown(format!("process {} cannot be held: {error}", seen.pid)));
                }
                // An older kernel, or a sandbox that refuses it: the interval check alone does it.
                _ => None,
            },
        };
        let open_files = || -> Result<_, ReadError> {
            let entry = open_entry(proc.root(), seen.pid)?;
            let stat = entry.open_relative("stat")?;
            let command_line = match criteria.subject {
                Subject::Name => None,
                Subject::CommandLine => Some(CommandLine::open(&entry)?),
            };
            Ok((entry, stat, command_line))
        };
        let (entry, stat, command_line) = match open_files() {
            Ok(files) => files,
            Err(ReadError::Vanished) => return Ok(None),
            Err(ReadError::Refused) => return Err(Unknown(format!("/proc/{} cannot be read", seen.pid))),
            Err(ReadError::Blind(error)) => {
                return Err(Unknown(format!("/proc/{} cannot be read: {error}", seen.pid)));
            }
        };
        let oom_kills = OomKills::read(&entry, proc.root(), proc.control_groups());
        let mut followed = Handle {
            seen,
            pidfd,
            entry,
            stat,
            line: Text::default(),
            memory: None,
            waited: None,
            oom_kills: [oom_kills.clone(), oom_kills],
            known: Known::default(),
            command_line,
        };
        let check = followed.check(criteria)?;
        let same =
            Stat::parse(followed.line.bytes()).is_some_and(|stat| stat.started() == followed.seen.started);
        Ok((matches!(check, Check::Alive { .. }) && same && !followed.pidfd_says_dead()).then_some(followed))
    }

    /// What it is.
    pub fn seen(&self) -> &ProcessInfo {
        &self.seen
    }

    /// What becomes readable when it dies, where the kernel has that.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Looks at it: one system call, one more each where a command line or a user is looked for, and no
    /// allocation while nothing changes.
    ///
    /// # Errors
    /// It cannot be read, for another reason than that it is gone.
    pub fn check(&mut self, criteria: &Criteria) -> Result<Check, Unknown> {
        let check = self.look(criteria)?;
        // On its way out it has given its memory back before it is dead.
        let stat = Stat::parse(self.line.bytes()).filter(|stat| !stat.is_ending());
        if let (Check::Alive { .. }, Some(stat)) = (check, stat) {
            self.memory = Some(stat.resident());
        }
        Ok(check)
    }

    fn look(&mut self, criteria: &Criteria) -> Result<Check, Unknown> {
        match self.line.read(&self.stat) {
            Ok(()) => {}
            Err(Errno::SRCH) => return Ok(Check::Dead),
            Err(error) => return Err(Unknown(format!("process {} cannot be read: {error}", self.seen.pid))),
        }
        let after_name = self.known.strip_from(self.line.bytes());
        if !matches!(after_name, Some([b'R' | b'S' | b'D' | b'I', b' ', ..])) {
            if let Some(command_line) = self.command_line.as_mut() {
                command_line.has_changed();
            }
            return self.look_closer(criteria);
        }
        if criteria.user.is_some_and(|user| self.entry.uid().is_ok_and(|owner| owner != user)) {
            return Ok(Check::Changed);
        }
        // While it hangs, it is not asked for its command line: the answer could hang too, and can wait.
        let is_hung = matches!(after_name, Some([b'D', ..]));
        if !is_hung && self.command_line.as_mut().is_some_and(CommandLine::has_changed) {
            return self.look_closer(criteria);
        }
        Ok(Check::Alive { stopped: false })
    }

    /// Something about it is new.
    fn look_closer(&mut self, criteria: &Criteria) -> Result<Check, Unknown> {
        let Some(stat) = Stat::parse(self.line.bytes()) else {
            return Err(Unknown(format!("/proc/{}/stat cannot be read as such", self.seen.pid)));
        };
        // A leader that has exited shows as dead a moment before its process does.
        if stat.is_dead() && (self.pidfd.is_none() || self.pidfd_says_dead()) {
            return Ok(Check::Dead);
        }
        let alive = Check::Alive { stopped: stat.is_stopped() };
        let is_retitled =
            self.command_line.as_ref().is_some_and(|line| line.known.bytes() != line.now.bytes());
        if self.known.strip_from(self.line.bytes()).is_some() && !is_retitled {
            return Ok(alive);
        }
        let Ok(identity) = Identity::read(&self.entry, &stat) else { return Ok(alive) };
        // While a process ends, and where its leader has, there is no command line.
        if identity.command_line.is_empty() && !stat.is_kernel_thread() {
            return Ok(alive);
        }
        if !criteria.matches(stat.comm, identity.full_name.as_deref(), &identity.command_line) {
            return Ok(Check::Changed);
        }
        // A service manager's child has another name and command line until it becomes the service.
        let name = identity.name(&stat);
        if name != self.seen.name {
            self.seen.name = name;
            self.seen.kind = Signature::new(self.seen.kind.user, &identity.command_line);
        }
        self.known = Known::of(self.line.bytes());
        if let Some(command_line) = self.command_line.as_mut() {
            std::mem::swap(&mut command_line.known, &mut command_line.now);
        }
        Ok(alive)
    }

    /// Reads anew by what its successor will be recognised: since it was found it may have given itself a
    /// title, or given up its user. While it hangs, a look could hang too, and can wait.
    pub fn look_at_kind(&mut self) {
        let _ = self.line.read(&self.stat);
        if Stat::parse(self.line.bytes()).is_none_or(|stat| stat.is_hung()) {
            return;
        }
        let command_line = read_all(&self.entry, "cmdline", LONGEST_KEPT).unwrap_or_default();
        if let (Ok(user), false) = (self.entry.uid(), command_line.is_empty()) {
            self.seen.kind = Signature::new(user, &command_line);
        }
    }

    /// Its resident memory when it was last checked, in bytes.
    pub fn memory(&self) -> Option<u64> {
        self.memory
    }

    /// What the OOM killer had done the last time but one that it was counted, or at first.
    pub fn oom_kills(&self) -> &OomKills {
        &self.oom_kills[0]
    }

    /// Counts anew what the OOM killer has done: what it did before the last count is no news any more.
    pub fn count_oom_kills(&mut self, proc: &Proc) {
        self.oom_kills.swap(0, 1);
        self.oom_kills[1] = OomKills::read(&self.entry, proc.root(), proc.control_groups());
    }

    /// It was a child, and has been waited for, with this status.
    pub fn was_waited_for(&mut self, status: ExitStatus) {
        self.waited = Some(status);
    }

    /// How it died, once it has.
    pub fn how(&mut self) -> ExitQuery {
        if let Some(status) = self.waited {
            return ExitQuery::Now(Exit::Ended(status));
        }
        // Its last line, if nobody has waited for it yet.
        let _ = self.line.read(&self.stat);
        ask(self.pidfd(), Some(self.line.bytes()))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // It may have ended a moment ago.
        let _ = match (self.pidfd(), rustix::process::Signal::from_named_raw(signal as i32)) {
            (Some(pidfd), Some(signal)) => {
                rustix::process::pidfd_send_signal(pidfd, signal).map_err(io::Error::from)
            }
            _ => kill(nix::unistd::Pid::from_raw(self.seen.pid), signal).map_err(io::Error::from),
        };
    }

    fn pidfd_says_dead(&self) -> bool {
        self.pidfd().is_some_and(|pidfd| {
            let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
            matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1..))
        })
    }
}

/// A process that is held for no more than to know whether it lives.
#[derive(Debug)]
pub struct Held {
    pid: Pid,
    started: Time,
    session: Pid,
    pidfd: Option<OwnedFd>,
    stat: File,
}

impl Held {
    /// Takes hold of the process `pid`. `None` if there is none.
    pub fn of(proc: &Proc, pid: Pid, open: OpenPidfd) -> Option<Self> {
        // In this order, so that both are of the same process if it still lives after.
        let pidfd = open(pid).ok();
        let stat = open_entry(proc.root(), pid).and_then(|entry| Ok(entry.open_relative("stat")?)).ok()?;
        let mut line = Text::<LONGEST_LINE>::default();
        line.read(&stat).ok()?;
        let Stat { session, .. } = Stat::parse(line.bytes())?;
        let started = Stat::parse(line.bytes())?.started();
        Some(Held { pid, started, session, pidfd, stat })
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// When it started.
    pub fn started(&self) -> Time {
        self.started
    }

    /// Whether it began its session.
    pub fn is_session_leader(&self) -> bool {
        self.session == self.pid
    }

    /// What becomes readable when it dies, where the kernel has that.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Whether it lives.
    pub fn is_alive(&self) -> bool {
        let mut line = Text::<LONGEST_LINE>::default();
        line.read(&self.stat).is_ok() && Stat::parse(line.bytes()).is_some_and(|stat| !stat.is_dead())
    }
}

impl CommandLine {
    fn open(entry: &Process) -> Result<Self, ReadError> {
        Ok(CommandLine {
            file: entry.open_relative("cmdline")?,
            known: Text::default(),
            now: Text::default(),
        })
    }

    fn has_changed(&mut self) -> bool {
        // What cannot be read is about to end, which is seen elsewhere.
        self.now.read(&self.file).is_ok() && self.now.bytes() != self.known.bytes()
    }
}

/// The beginning of a file of /proc, as last read.
#[derive(Debug)]
struct Text<const ROOM: usize> {
    bytes: Box<[u8; ROOM]>,
    length: usize,
}

impl<const ROOM: usize> Default for Text<ROOM> {
    fn default() -> Self {
        Text { bytes: Box::new([0; ROOM]), length: 0 }
    }
}

impl<const ROOM: usize> Text<ROOM> {
    /// What was read before stays when nothing can be read any more.
    fn read(&mut self, file: &File) -> Result<(), Errno> {
        self.length = rustix::io::pread(file, &mut self.bytes[..], 0)?;
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// `PID (NAME) `: while a line begins so, the name has not changed.
#[derive(Debug, Clone, Copy)]
struct Known {
    bytes: [u8; LONGEST_NAME + 16],
    length: usize,
}

impl Default for Known {
    fn default() -> Self {
        Known { bytes: [0; LONGEST_NAME + 16], length: 0 }
    }
}

impl Known {
    fn of(line: &[u8]) -> Self {
        let mut known = Known::default();
        let end = line.iter().rposition(|byte| *byte == b')').map_or(0, |close| close + 2);
        if let (Some(start), Some(room)) = (line.get(..end), known.bytes.get_mut(..end)) {
            room.copy_from_slice(start);
            known.length = end;
        }
        known
    }

    fn strip_from<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        if self.length == 0 { None } else { line.strip_prefix(self.bytes.get(..self.length)?) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::pattern::{Extent, Pattern};
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    /// A child that is ended with the test.
    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn hold(sleeper: &Sleeper, open: OpenPidfd) -> Option<Handle> {
        let proc = Proc::new(Path::new("/proc")).unwrap();
        Handle::hold(&proc, seen(&proc, pid(sleeper)), &criteria(), open).unwrap()
    }

    fn seen(proc: &Proc, pid: Pid) -> ProcessInfo {
        let entry = open_entry(proc.root(), pid).unwrap();
        let line = read_all(&entry, "stat", LONGEST_LINE).unwrap();
        ProcessInfo {
            pid,
            name: "sleep".into(),
            started: Stat::parse(&line).unwrap().started(),
            has_terminal: false,
            parent: 1,
            command_line: String::new(),
            kind: Signature::new(entry.uid().unwrap(), b"sleep\0"),
        }
    }

    fn pid(sleeper: &Sleeper) -> Pid {
        sleeper.0.id().cast_signed()
    }

    fn named(text: &str) -> Criteria {
        Criteria::name(Pattern::new(text, Extent::Part).unwrap())
    }

    fn criteria() -> Criteria {
        named("^sleep$")
    }

    fn sleeper() -> Sleeper {
        let sleeper = Sleeper(Command::new("sleep").arg("1000").spawn().unwrap());
        let comm = format!("/proc/{}/comm", pid(&sleeper));
        wait_for(|| std::fs::read_to_string(&comm).is_ok_and(|name| name == "sleep\n"));
        sleeper
    }

    fn wait_for(mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(Instant::now() < deadline, "waited for too long");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn no_pidfd(_: Pid) -> io::Result<OwnedFd> {
        Err(Errno::NOSYS.into())
    }

    #[test]
    fn a_death_is_seen_and_explained_with_and_without_a_pidfd() {
        for open in [open_pidfd as OpenPidfd, no_pidfd] {
            let mut sleeper = sleeper();
            let mut followed = hold(&sleeper, open).unwrap();
            assert_eq!(followed.check(&criteria()), Ok(Check::Alive { stopped: false }));
            sleeper.0.kill().unwrap();
            wait_for(|| followed.check(&criteria()) == Ok(Check::Dead));
            // A zombie of our own already says how it died.
            assert_eq!(followed.how(), ExitQuery::Now(Exit::Ended(ExitStatus::from_raw(9))));
            sleeper.0.wait().unwrap();
            assert_eq!(followed.check(&criteria()), Ok(Check::Dead));
        }
    }

    #[test]
    fn a_stopped_process_is_running() {
        let sleeper = sleeper();
        let mut followed = hold(&sleeper, open_pidfd).unwrap();
        followed.signal(Signal::SIGSTOP);
        wait_for(|| followed.check(&criteria()) == Ok(Check::Alive { stopped: true }));
        followed.signal(Signal::SIGCONT);
        wait_for(|| followed.check(&criteria()) == Ok(Check::Alive { stopped: false }));
    }

    #[test]
    fn another_name_is_not_what_was_looked_for() {
        let sleeper = sleeper();
        let mut followed = hold(&sleeper, open_pidfd).unwrap();
        assert_eq!(followed.check(&named("nginx")), Ok(Check::Alive { stopped: false }), "unchanged");
        followed.known = Known::default();
        assert_eq!(followed.check(&named("nginx")), Ok(Check::Changed));
    }

    #[test]
    fn who_hangs_is_not_asked_what_it_is() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(std::process::id().to_string(), root.path().join("self")).unwrap();
        let folder = root.path().join("10");
        std::fs::create_dir(&folder).unwrap();
        let is_now = |state: char, command_line: &str| {
            let line = format!("10 (sleep) {state} 1 10 10 0 -1 64 1 2 3 4 5 6 7 8 20 0 1 0 7 9 9");
            std::fs::write(folder.join("stat"), line).unwrap();
            std::fs::write(folder.join("cmdline"), command_line).unwrap();
        };
        is_now('S', "old\0");
        let proc = Proc::new(root.path()).unwrap();
        let seen = seen(&proc, 10);
        let mut followed = Handle::hold(&proc, seen, &criteria(), no_pidfd).unwrap().unwrap();
        for (state, command_line, known) in
            [('S', "new\0", "new"), ('D', "newer\0", "new"), ('R', "newer\0", "newer")]
        {
            is_now(state, command_line);
            followed.look_at_kind();
            assert_eq!(followed.seen().kind.argument, known.as_bytes(), "{state}");
        }
        is_now('S', "sleep\0");
        let full = Criteria { subject: Subject::CommandLine, ..criteria() };
        let mut followed = Handle::hold(&proc, followed.seen.clone(), &full, no_pidfd).unwrap().unwrap();
        for (state, expected) in [('D', Check::Alive { stopped: false }), ('S', Check::Changed)] {
            is_now(state, "other\0");
            assert_eq!(followed.check(&full), Ok(expected), "{state}");
        }
    }

    #[test]
    fn what_has_ended_meanwhile_is_not_held() {
        let mut sleeper = sleeper();
        sleeper.0.kill().unwrap();
        // A zombie is there, but not to be held.
        wait_for(|| hold(&sleeper, open_pidfd).is_none());
    }

    #[test]
    fn a_number_that_is_anothers_is_not_held() {
        let sleeper = sleeper();
        let proc = Proc::new(Path::new("/proc")).unwrap();
        let mut seen = hold(&sleeper, open_pidfd).unwrap().seen().clone();
        seen.started += Duration::from_secs(1);
        assert!(Handle::hold(&proc, seen, &criteria(), open_pidfd).unwrap().is_none());
    }

    #[test]
    fn no_number_from_a_file_is_too_odd() {
        for pid in [0, -1, i32::MIN, i32::MAX] {
            assert!(open_pidfd(pid).is_err(), "{pid}");
        }
    }

    #[test]
    fn no_descriptors_left_is_unknown() {
        fn no_room(_: Pid) -> io::Result<OwnedFd> {
            Err(Errno::MFILE.into())
        }
        let sleeper = sleeper();
        let proc = Proc::new(Path::new("/proc")).unwrap();
        let seen = hold(&sleeper, open_pidfd).unwrap().seen().clone();
        assert!(Handle::hold(&proc, seen, &criteria(), no_room).is_err());
    }
}
