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
use crate::process::stat::Stat;
use crate::process::termination::Exit;
use crate::process::{
    Identity, LONGEST_KEPT, ProcessId, ProcessInfo, ReadError, Signature, open_entry, read_all, read_stat,
};
use crate::settings::{Criteria, Subject};
use crate::sys::Pid;

/// How much of a file is compared at each check: more than the longest stat line.
const COMPARED: usize = 4096;

/// A process that is held for no more than to know whether it lives.
#[derive(Debug)]
pub struct ProcessFd {
    id: ProcessId,
    /// `None` on a kernel that is too old, or in a sandbox that refuses it: the interval check alone does it.
    pidfd: Option<OwnedFd>,
    entry: Process,
    stat: File,
}

/// The process that is followed.
#[derive(Debug)]
pub struct Handle {
    info: ProcessInfo,
    process: ProcessFd,
    /// Its stat, as last read.
    line: Vec<u8>,
    /// The line up to the state, `PID (NAME) `, when it was last seen to match: while the line begins so, the
    /// name has not changed.
    matched: Vec<u8>,
    /// Where the command line is what matches.
    command_line: Option<CommandLine>,
    /// Its resident memory at the last check, in bytes.
    memory: Option<u64>,
    /// How it ended, if it was a child and has been reaped.
    reaped: Option<ExitStatus>,
    /// What the OOM killer had done a while ago, and what it has when it was last counted. Who is killed may
    /// take long to die: a count made in between must not hide it.
    oom_kills: [OomKills; 2],
}

/// A command line that is looked at with each check.
#[derive(Debug)]
struct CommandLine {
    file: File,
    matched: Vec<u8>,
    now: Vec<u8>,
}

/// What a check of a held process found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It lives and matches.
    Alive {
        /// A signal or a debugger has stopped it for now.
        stopped: bool,
    },
    Dead,
    /// It lives, but has taken a name, a command line or a user that is not what is looked for.
    Changed,
}

/// How a pidfd is opened; a parameter, so that tests can be a kernel without them.
pub type OpenPidfd = fn(Pid) -> io::Result<OwnedFd>;

/// Opens a pidfd (Linux 5.3).
pub fn open_pidfd(pid: Pid) -> io::Result<OwnedFd> {
    // From a file, it may be any number.
    let pid = Some(pid).filter(|pid| *pid > 0).and_then(rustix::process::Pid::from_raw).ok_or(Errno::SRCH)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

impl ProcessFd {
    /// Takes hold of a process. `None` if it has ended, or its number is another's; an error if descriptors or
    /// memory ran out, or /proc cannot be read.
    pub fn open(proc: &Proc, id: ProcessId, open: OpenPidfd) -> Result<Option<Self>, Unknown> {
        let pid = id.pid;
        // The order matters: if the process that the pidfd holds still lives after the entry was read,
        // both are the same.
        let pidfd = match open(pid) {
            Ok(pidfd) => Some(pidfd),
            Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::SRCH) => return Ok(None),
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
                    return Err(Unknown(format!("cannot follow process {pid}: {error}")));
                }
                _ => None,
            },
        };
        let read = || -> Result<_, ReadError> {
            let entry = open_entry(proc.root(), pid)?;
            let stat = entry.open_relative("stat")?;
            let process = ProcessFd { id, pidfd, entry, stat };
            let is_it = process.stat(|stat| id.is_same(stat.id(pid)) && !process.has_exited(stat))?;
            Ok((is_it && process.pidfd_says_exited() != Some(true)).then_some(process))
        };
        or_vanished(read(), pid)
    }

    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// What becomes readable when it dies, where the kernel has that.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    pub fn is_alive(&self) -> bool {
        self.stat(|stat| !self.has_exited(stat)).unwrap_or(false)
    }

    /// Whether it began its session.
    pub fn is_session_leader(&self) -> bool {
        self.stat(|stat| stat.session == self.id.pid).unwrap_or(false)
    }

    fn stat<T>(&self, wanted: impl FnOnce(&Stat<'_>) -> T) -> Result<T, ReadError> {
        read_stat(&self.stat, wanted)
    }

    /// A leader that has exited shows as dead a moment before its process does.
    fn has_exited(&self, stat: &Stat<'_>) -> bool {
        stat.is_dead() && self.pidfd_says_exited() != Some(false)
    }

    fn pidfd_says_exited(&self) -> Option<bool> {
        let mut fds = [PollFd::from_borrowed_fd(self.pidfd()?, PollFlags::IN)];
        Some(matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1..)))
    }
}

fn or_vanished<T>(read: Result<Option<T>, ReadError>, pid: Pid) -> Result<Option<T>, Unknown> {
    match read {
        Ok(read) => Ok(read),
        Err(ReadError::Vanished) => Ok(None),
        Err(ReadError::Refused) => Err(Unknown(format!("cannot read /proc/{pid}"))),
        Err(ReadError::Blind(error)) => Err(Unknown(format!("cannot read /proc/{pid}: {error}"))),
    }
}

impl Handle {
    /// Takes hold of a process that a look has found. `None` if it has ended meanwhile, or its number
    /// is another's; an error if descriptors or memory ran out, or /proc cannot be read.
    pub fn hold(
        proc: &Proc,
        info: ProcessInfo,
        criteria: &Criteria,
        open: OpenPidfd,
    ) -> Result<Option<Self>, Unknown> {
        let Some(process) = ProcessFd::open(proc, info.id(), open)? else { return Ok(None) };
        let command_line = match criteria.subject {
            Subject::Name => None,
            Subject::CommandLine => {
                let file = process.entry.open_relative("cmdline").map(Some).map_err(ReadError::from);
                let Some(file) = or_vanished(file, info.pid)? else { return Ok(None) };
                Some(CommandLine { file, matched: Vec::new(), now: Vec::new() })
            }
        };
        let oom_kills = OomKills::read(&process.entry, proc.root());
        let mut handle = Handle {
            info,
            process,
            line: Vec::new(),
            matched: Vec::new(),
            command_line,
            memory: None,
            reaped: None,
            oom_kills: [oom_kills.clone(), oom_kills],
        };
        let check = handle.check(criteria)?;
        Ok(matches!(check, Check::Alive { .. }).then_some(handle))
    }

    pub fn info(&self) -> &ProcessInfo {
        &self.info
    }

    /// What becomes readable when it dies, where the kernel has that.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.process.pidfd()
    }

    /// Looks at it: one system call, one more each where a command line or a user is looked for, and no
    /// allocation while nothing changes. An error if it cannot be read, for another reason than that it is gone.
    pub fn check(&mut self, criteria: &Criteria) -> Result<Check, Unknown> {
        match reread(&self.process.stat, &mut self.line) {
            Ok(()) => {}
            Err(Errno::SRCH) => return Ok(Check::Dead),
            Err(error) => return Err(Unknown(format!("cannot read process {}: {error}", self.info.pid))),
        }
        // On its way out it has given its memory back before it is dead.
        if let Some(stat) = Stat::parse(&self.line).filter(|stat| !stat.is_ending()) {
            self.memory = Some(stat.resident());
        }
        let state = self.after_matched().and_then(<[u8]>::first).copied();
        // While it hangs, it is not asked for its command line: the answer could hang too, and can wait.
        let is_hung = state == Some(b'D');
        let has_usual_state = matches!(state, Some(b'R' | b'S' | b'D' | b'I'));
        if has_usual_state && criteria.user.is_some_and(|user| self.is_of_another(user)) {
            return Ok(Check::Changed);
        }
        let is_retitled = !is_hung && self.command_line.as_mut().is_some_and(CommandLine::has_changed);
        if has_usual_state && !is_retitled {
            return Ok(Check::Alive { stopped: false });
        }
        self.look_closer(criteria)
    }

    /// The line from the state on, if what comes before is as it was.
    fn after_matched(&self) -> Option<&[u8]> {
        if self.matched.is_empty() { None } else { self.line.strip_prefix(&self.matched[..]) }
    }

    /// Something about it is new.
    fn look_closer(&mut self, criteria: &Criteria) -> Result<Check, Unknown> {
        let Some(stat) = Stat::parse(&self.line) else {
            return Err(Unknown(format!("cannot parse /proc/{}/stat", self.info.pid)));
        };
        if self.process.has_exited(&stat) {
            return Ok(Check::Dead);
        }
        let alive = Check::Alive { stopped: stat.is_stopped() };
        let is_retitled = self.command_line.as_ref().is_some_and(|line| line.matched != line.now);
        if self.after_matched().is_some() && !is_retitled {
            return Ok(alive);
        }
        let Ok(identity) = Identity::read(&self.process.entry, &stat) else { return Ok(alive) };
        // While a process ends, and where its leader has, there is no command line.
        if identity.command_line.is_empty() && !stat.is_kernel_thread() {
            return Ok(alive);
        }
        if !identity.meets(criteria, &stat) {
            return Ok(Check::Changed);
        }
        // A service manager's child has another name and command line until it becomes the service.
        let name = identity.name(&stat);
        if name != self.info.name {
            self.info.name = name;
            self.info.signature = Signature::new(self.info.signature.user, &identity.command_line);
        }
        let end = self.line.iter().rposition(|byte| *byte == b')').map_or(0, |close| close + 2);
        self.matched = self.line.get(..end).unwrap_or_default().to_vec();
        if let Some(command_line) = self.command_line.as_mut() {
            command_line.matched.clone_from(&command_line.now);
        }
        Ok(alive)
    }

    fn is_of_another(&self, user: u32) -> bool {
        self.process.entry.uid().is_ok_and(|owner| owner != user)
    }

    /// Reads anew by what its successor will be recognised: since it was found it may have given itself a
    /// title, or given up its user. While it hangs, a look could hang too, and can wait.
    pub fn refresh_signature(&mut self) {
        let _ = reread(&self.process.stat, &mut self.line);
        if Stat::parse(&self.line).is_none_or(|stat| stat.is_hung()) {
            return;
        }
        let entry = &self.process.entry;
        let command_line = read_all(entry, "cmdline", LONGEST_KEPT).unwrap_or_default();
        if let (Ok(user), false) = (entry.uid(), command_line.is_empty()) {
            self.info.signature = Signature::new(user, &command_line);
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
        self.oom_kills[1] = OomKills::read(&self.process.entry, proc.root());
    }

    /// It was a child, and has been reaped.
    pub fn was_reaped(&mut self, status: ExitStatus) {
        self.reaped = Some(status);
    }

    /// How it ended, once it has; `None` while that is still to be known.
    pub fn exit(&mut self) -> Option<Exit> {
        if let Some(status) = self.reaped {
            return Some(Exit::Ended(status));
        }
        // Its last line, if nobody has reaped it yet.
        let _ = reread(&self.process.stat, &mut self.line);
        Exit::ask(self.pidfd(), &self.line)
    }

    pub fn signal(&self, signal: Signal) {
        // It may have ended a moment ago.
        let _ = match (self.pidfd(), rustix::process::Signal::from_named_raw(signal as i32)) {
            (Some(pidfd), Some(signal)) => {
                rustix::process::pidfd_send_signal(pidfd, signal).map_err(io::Error::from)
            }
            _ => kill(nix::unistd::Pid::from_raw(self.info.pid), signal).map_err(io::Error::from),
        };
    }
}

impl CommandLine {
    fn has_changed(&mut self) -> bool {
        // What cannot be read is about to end, which is seen elsewhere.
        reread(&self.file, &mut self.now).is_ok() && self.now != self.matched
    }
}

/// Reads the beginning of a file of /proc, in one read, so that it is of one moment. What was read before stays
/// when nothing can be read any more.
fn reread(file: &File, text: &mut Vec<u8>) -> Result<(), Errno> {
    let mut buffer = [0; COMPARED];
    let length = rustix::io::pread(file, &mut buffer[..], 0)?;
    text.clear();
    text.extend_from_slice(buffer.get(..length).unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::tests::named;
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
        Handle::hold(&proc, info(&proc, pid(sleeper)), &criteria(), open).unwrap()
    }

    fn info(proc: &Proc, pid: Pid) -> ProcessInfo {
        let entry = open_entry(proc.root(), pid).unwrap();
        ProcessInfo {
            pid,
            name: "sleep".into(),
            started: proc.id(pid).unwrap().started,
            has_terminal: false,
            parent: 1,
            command_line: String::new(),
            signature: Signature::new(entry.uid().unwrap(), b"sleep\0"),
        }
    }

    fn pid(sleeper: &Sleeper) -> Pid {
        rustix::process::Pid::from_child(&sleeper.0).as_raw_pid()
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
            let mut handle = hold(&sleeper, open).unwrap();
            assert_eq!(handle.check(&criteria()), Ok(Check::Alive { stopped: false }));
            sleeper.0.kill().unwrap();
            wait_for(|| handle.check(&criteria()) == Ok(Check::Dead));
            // A zombie of our own already says how it died.
            assert_eq!(handle.exit(), Some(Exit::Ended(ExitStatus::from_raw(9))));
            sleeper.0.wait().unwrap();
            assert_eq!(handle.check(&criteria()), Ok(Check::Dead));
        }
    }

    #[test]
    fn a_stopped_process_is_running() {
        let sleeper = sleeper();
        let mut handle = hold(&sleeper, open_pidfd).unwrap();
        handle.signal(Signal::SIGSTOP);
        wait_for(|| handle.check(&criteria()) == Ok(Check::Alive { stopped: true }));
        handle.signal(Signal::SIGCONT);
        wait_for(|| handle.check(&criteria()) == Ok(Check::Alive { stopped: false }));
    }

    #[test]
    fn another_name_is_not_what_was_looked_for() {
        let sleeper = sleeper();
        let mut handle = hold(&sleeper, open_pidfd).unwrap();
        assert_eq!(handle.check(&named("nginx")), Ok(Check::Alive { stopped: false }), "unchanged");
        handle.matched.clear();
        assert_eq!(handle.check(&named("nginx")), Ok(Check::Changed));
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
        let info = info(&proc, 10);
        let mut handle = Handle::hold(&proc, info, &criteria(), no_pidfd).unwrap().unwrap();
        for (state, command_line, known) in
            [('S', "new\0", "new"), ('D', "newer\0", "new"), ('R', "newer\0", "newer")]
        {
            is_now(state, command_line);
            handle.refresh_signature();
            assert_eq!(handle.info().signature.argument, known.as_bytes(), "{state}");
        }
        is_now('S', "sleep\0");
        let full = Criteria { subject: Subject::CommandLine, ..criteria() };
        let mut handle = Handle::hold(&proc, handle.info.clone(), &full, no_pidfd).unwrap().unwrap();
        for (state, expected) in [('D', Check::Alive { stopped: false }), ('S', Check::Changed)] {
            is_now(state, "other\0");
            assert_eq!(handle.check(&full), Ok(expected), "{state}");
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
        let mut info = hold(&sleeper, open_pidfd).unwrap().info().clone();
        info.started += Duration::from_secs(1);
        assert!(Handle::hold(&proc, info, &criteria(), open_pidfd).unwrap().is_none());
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
        let info = hold(&sleeper, open_pidfd).unwrap().info().clone();
        assert!(Handle::hold(&proc, info, &criteria(), no_room).is_err());
    }
}
