//! Hold one process, and not its number: a pidfd that says the moment it dies, and its open /proc entry
//! that says whether it is still what is looked for.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitStatus;
use std::time::Duration;

use procfs::process::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::process::cgroup::ControlGroups;
use crate::process::command_lines::command_line;
use crate::process::criteria::Mismatch;
use crate::process::oom::OomKills;
use crate::process::remedy::Remedy;
use crate::process::scan::{Glimpse, LONGEST_STATUS, Ownership, Proc, Unknown, unreadable};
use crate::process::stat::{LONGEST_LINE, Stat};
use crate::process::termination::Exit;
use crate::process::{
    Identity, ProcessId, ProcessInfo, ReadError, StoredProcess, open_entry, read_all, read_stat,
};
use crate::settings::Criteria;
use crate::sys::{self, Pid, pidfd_send_signal};

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
    /// Under the name that `info` has, it is what it was.
    is_known: bool,
    /// It does not match any more, and is the same program.
    pub is_renamed: bool,
    /// With what it would.
    pub remedy: Option<Remedy>,
    /// Its resident memory at the last check, in bytes.
    pub memory: Option<u64>,
    /// How it ended, if it was a child and has been reaped.
    pub reaped: Option<ExitStatus>,
    /// What the OOM killer had done a while ago, and what it has when it was last counted. Who is killed may
    /// take long to die: a count made in between must not hide it.
    oom_kills: [OomKills; 2],
}

/// What a check of a held process found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It lives, and is what it was.
    Alive {
        /// A signal or a debugger has stopped it for now.
        stopped: bool,
    },
    Dead,
    /// It lives, but is another program that is not looked for, or another user's.
    Changed,
}

/// Whether a process stands still, so that nothing can be said of its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Still {
    No,
    /// A signal, a debugger or its control group keeps it from running.
    Suspended,
    /// It dumps core.
    Dying,
}

/// Opens a pidfd (Linux 5.3).
pub fn open_pidfd(pid: Pid) -> io::Result<OwnedFd> {
    // From a file, it may be any number.
    let pid = Some(pid).filter(|pid| *pid > 0).and_then(rustix::process::Pid::from_raw).ok_or(Errno::SRCH)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

impl ProcessFd {
    /// Takes hold of a process. `None` if it has ended, or its number is another's; an error if descriptors or
    /// memory ran out, or /proc cannot be read.
    pub fn open(proc: &Proc, id: ProcessId) -> Result<Option<Self>, Unknown> {
        let pid = id.pid;
        // The order matters: if the process that the pidfd holds still lives after the entry was read,
        // both are the same.
        let pidfd = match (proc.open_pidfd)(pid) {
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

    /// Sends a signal, whichever, to this process and to no other: `None` without a pidfd.
    ///
    /// # Errors
    /// It is gone, or not for us to signal.
    pub fn send(&self, signal: i32) -> Option<Result<(), Errno>> {
        self.pidfd().map(|pidfd| pidfd_send_signal(pidfd, signal))
    }

    #[expect(clippy::redundant_closure_for_method_calls)] // the method is of one lifetime, the closure of all
    pub fn has_never_execed(&self) -> bool {
        self.stat(|stat| stat.never_execed()).unwrap_or(false)
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
        Err(ReadError::Blind(error)) => Err(unreadable(pid, &error)),
    }
}

impl Handle {
    /// Takes hold of a process that a look has found. `None` if it has ended meanwhile, or its number
    /// is another's; an error if descriptors or memory ran out, or /proc cannot be read.
    pub fn hold(proc: &Proc, info: ProcessInfo, criteria: &Criteria) -> Result<Option<Self>, Unknown> {
        let Some(process) = ProcessFd::open(proc, info.id())? else { return Ok(None) };
        Handle::new(proc, info, process, true, criteria)
    }

    /// Takes hold of what a watch before this one followed: `None` if that has ended, or is something else by
    /// now.
    pub fn resume(proc: &Proc, stored: &StoredProcess, criteria: &Criteria) -> Result<Option<Self>, Unknown> {
        let Some(process) = ProcessFd::open(proc, stored.id)? else { return Ok(None) };
        let (name, signature) = (stored.name.clone(), stored.signature.clone());
        let read = process.stat(|stat| ProcessInfo::new(stored.id.pid, stat, name, signature));
        // The kernel's own time is to be that of the kernel.
        let read = read.map(|info| Some(info).filter(|info| info.started == stored.id.started));
        let Some(info) = or_vanished(read, stored.id.pid)? else { return Ok(None) };
        // What is known of it is what a watch before this one saw: all of it may be new.
        Handle::new(proc, info, process, false, criteria)
    }

    fn new(
        proc: &Proc,
        info: ProcessInfo,
        process: ProcessFd,
        is_known: bool,
        criteria: &Criteria,
    ) -> Result<Option<Self>, Unknown> {
        let oom_kills = OomKills::read(&process.entry, proc.root());
        let mut handle = Handle {
            info,
            process,
            line: Vec::new(),
            is_known,
            is_renamed: false,
            remedy: None,
            memory: None,
            reaped: None,
            oom_kills: [oom_kills.clone(), oom_kills],
        };
        let check = handle.check(criteria, proc)?;
        Ok(matches!(check, Check::Alive { .. }).then_some(handle))
    }

    pub fn info(&self) -> &ProcessInfo {
        &self.info
    }

    /// What becomes readable when it dies, where the kernel has that.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.process.pidfd()
    }

    /// Looks at it: one system call, one more where a user is looked for, and no allocation while nothing
    /// changes. An error if it cannot be read, for another reason than that it is gone.
    pub fn check(&mut self, criteria: &Criteria, proc: &Proc) -> Result<Check, Unknown> {
        match reread(&self.process.stat, &mut self.line) {
            Ok(()) => {}
            Err(Errno::SRCH) => return Ok(Check::Dead),
            Err(error) => return Err(Unknown(format!("cannot read process {}: {error}", self.info.pid))),
        }
        let Some(stat) = Stat::parse(&self.line) else {
            return Err(Unknown(format!("cannot parse /proc/{}/stat", self.info.pid)));
        };
        // On its way out it has given its memory back before it is dead.
        if !stat.is_ending() {
            self.memory = Some(stat.resident());
        }
        if self.process.has_exited(&stat) {
            return Ok(Check::Dead);
        }
        let alive = Check::Alive { stopped: stat.is_stopped() };
        let is_anothers = |user| self.process.entry.uid().is_ok_and(|owner| owner != user);
        let has_changed = if self.is_known && stat.comm == self.info.comm {
            criteria.user.is_some_and(is_anothers)
        } else {
            self.recognise(criteria, proc) == Some(false)
        };
        Ok(if has_changed { Check::Changed } else { alive })
    }

    /// Whether it still is what is looked for, or is what it was by another name; `None` if that cannot be told.
    fn recognise(&mut self, criteria: &Criteria, proc: &Proc) -> Option<bool> {
        let line = self.line.clone();
        let stat = &Stat::parse(&line)?;
        let entry = &self.process.entry;
        let whose = Ownership::read(entry).ok()?;
        let glimpse = Glimpse::of(self.info.pid, whose.user, stat);
        let reading = proc.read_one(&command_line, glimpse).ok()?;
        // While a process ends, and where its leader has, there is no command line.
        let is_known = reading.text.as_ref().is_some_and(|line| !line.is_empty());
        if !is_known && !stat.is_kernel_thread() {
            return None;
        }
        let identity = Identity::new(entry, stat, reading);
        let is_anothers = criteria.user.is_some_and(|wanted| whose.mismatch(wanted).is_some());
        let meets = identity.meets(criteria, stat);
        let signature = identity.signature(whose.user);
        if is_anothers || !meets && !signature.is_same_program(&self.info.signature) {
            return Some(false);
        }
        self.is_renamed = !meets;
        let remedy = || Remedy::of(Mismatch::NameDiffers, criteria, stat, &identity, whose, None);
        self.remedy = if meets { None } else { remedy() };
        // A service manager's child has another name and command line until it becomes the service.
        self.info.name = identity.name(stat);
        self.info.comm = stat.comm.to_vec();
        self.info.signature = signature;
        self.is_known = true;
        Some(true)
    }

    /// Looks at it anew as if its name were another, as a successor will be recognised by what it is now: since it
    /// was found it may have given itself a title, given up its user, or executed another program.
    pub fn refresh(&mut self, criteria: &Criteria, proc: &Proc) {
        let _ = reread(&self.process.stat, &mut self.line);
        if self.recognise(criteria, proc) == Some(false) {
            self.is_known = false;
        }
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

    /// How it ended, once it has; `None` while that is still to be known.
    pub fn exit(&mut self) -> Option<Exit> {
        if let Some(status) = self.reaped {
            return Some(Exit::Ended(status));
        }
        // Its last line, if nobody has reaped it yet.
        let _ = reread(&self.process.stat, &mut self.line);
        Exit::ask(self.pidfd(), &self.line)
    }

    /// As [`ProcessFd::send`].
    ///
    /// # Errors
    /// There too.
    pub fn send(&self, signal: i32) -> Option<Result<(), Errno>> {
        self.process.send(signal)
    }

    /// Processor time that it had used at the last check.
    pub fn cpu_time(&self) -> Duration {
        Stat::parse(&self.line).map_or(Duration::ZERO, |stat| stat.cpu_time())
    }

    /// Whether it stands still: it is stopped, as a check sees, or dumps core, is traced, or its control group is
    /// frozen.
    pub fn still(&self, is_stopped: bool) -> Still {
        if Stat::parse(&self.line).is_some_and(|stat| stat.is_dumping_core()) {
            return Still::Dying;
        }
        let entry = &self.process.entry;
        let status = read_all(entry, "status", LONGEST_STATUS).unwrap_or_default();
        let tracer = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"TracerPid:\t"));
        let is_traced = tracer.is_some_and(|tracer| tracer != b"0");
        let is_suspended = is_stopped || is_traced || ControlGroups::read(entry).is_frozen();
        if is_suspended { Still::Suspended } else { Still::No }
    }

    /// The same where it is certain that its number is no stranger's, as for process 1: without a pidfd too.
    pub fn signal(&self, signal: i32) {
        // It may have ended a moment ago.
        if self.send(signal).is_none() {
            sys::kill(self.info.pid, signal);
        }
    }
}

/// Reads the beginning of a file of /proc, in one read, so that it is of one moment. What was read before stays
/// when nothing can be read any more.
fn reread(file: &File, text: &mut Vec<u8>) -> Result<(), Errno> {
    let mut buffer = [0; LONGEST_LINE];
    let length = rustix::io::pread(file, &mut buffer[..], 0)?;
    text.clear();
    text.extend_from_slice(buffer.get(..length).unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Signature;
    use crate::process::tests::named;
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::{Child, Command};
    use std::time::Instant;

    /// A child that is ended with the test.
    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn hold(sleeper: &Sleeper) -> Option<Handle> {
        Handle::hold(&proc(), info(&proc(), pid(sleeper)), &criteria()).unwrap()
    }

    fn proc() -> Proc {
        Proc::new(Path::new("/proc")).unwrap()
    }

    fn info(proc: &Proc, pid: Pid) -> ProcessInfo {
        let entry = open_entry(proc.root(), pid).unwrap();
        let signature = Signature::new(entry.uid().unwrap(), b"sleep\0");
        let started = proc.id(pid).unwrap().started;
        ProcessInfo { started, ..ProcessInfo::of_test(pid, "sleep", signature) }
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

    fn with(mut proc: Proc, open_pidfd: fn(Pid) -> io::Result<OwnedFd>) -> Proc {
        proc.open_pidfd = open_pidfd;
        proc
    }

    fn no_pidfd(_: Pid) -> io::Result<OwnedFd> {
        Err(Errno::NOSYS.into())
    }

    #[test]
    fn a_death_is_seen_and_explained_with_and_without_a_pidfd() {
        for open_pidfd in [open_pidfd, no_pidfd] {
            let mut sleeper = sleeper();
            let mut handle =
                Handle::hold(&with(proc(), open_pidfd), info(&proc(), pid(&sleeper)), &criteria())
                    .unwrap()
                    .unwrap();
            assert_eq!(handle.check(&criteria(), &proc()), Ok(Check::Alive { stopped: false }));
            sleeper.0.kill().unwrap();
            wait_for(|| handle.check(&criteria(), &proc()) == Ok(Check::Dead));
            // A zombie of our own already says how it died.
            assert_eq!(handle.exit(), Some(Exit::Ended(ExitStatus::from_raw(9))));
            sleeper.0.wait().unwrap();
            assert_eq!(handle.check(&criteria(), &proc()), Ok(Check::Dead));
        }
    }

    #[test]
    fn a_stopped_process_is_running() {
        let sleeper = sleeper();
        let mut handle = hold(&sleeper).unwrap();
        handle.signal(libc::SIGSTOP);
        wait_for(|| handle.check(&criteria(), &proc()) == Ok(Check::Alive { stopped: true }));
        handle.signal(libc::SIGCONT);
        wait_for(|| handle.check(&criteria(), &proc()) == Ok(Check::Alive { stopped: false }));
    }

    /// A /proc of one process, which changes.
    #[test]
    fn another_name_of_the_same_program_is_told_and_another_program_is_gone() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(std::process::id().to_string(), root.path().join("self")).unwrap();
        let folder = root.path().join("10");
        std::fs::create_dir(&folder).unwrap();
        let is_now = |name: &str, state: char, exe: &str, command_line: &str| {
            let line = format!("10 ({name}) {state} 1 10 10 0 -1 64 1 2 3 4 5 6 7 8 20 0 1 0 7 9 9");
            std::fs::write(folder.join("stat"), line).unwrap();
            std::fs::write(folder.join("cmdline"), command_line).unwrap();
            std::fs::write(folder.join("status"), "Name:\tx\n").unwrap();
            let _ = std::fs::remove_file(folder.join("exe"));
            std::os::unix::fs::symlink(exe, folder.join("exe")).unwrap();
        };
        is_now("sleep", 'S', "/usr/bin/sleep", "old\0");
        let proc = with(Proc::new(root.path()).unwrap(), no_pidfd);
        let info = info(&proc, 10);
        let mut handle = Handle::hold(&proc, info, &criteria()).unwrap().unwrap();
        let alive = || Ok(Check::Alive { stopped: false });
        // What it is now is what a successor is recognised by.
        is_now("sleep", 'S', "/usr/bin/sleep", "new\0");
        handle.refresh(&criteria(), &proc);
        assert_eq!(handle.info().signature.argument.0, b"new");
        is_now("other", 'S', "/usr/bin/sleep", "new\0");
        assert_eq!((handle.check(&criteria(), &proc), handle.info().name.as_str()), (alive(), "other"));
        assert!(handle.is_renamed);
        let remedy = handle.remedy.as_ref().unwrap();
        assert_eq!((remedy.exact, remedy.pattern.as_deref()), (true, Some("other")));
        // It is the same to a watch that comes later.
        let (id, signature) = (handle.info().id(), handle.info().signature.clone());
        let stored = StoredProcess { id, name: "other".into(), session: 0, has_terminal: false, signature };
        let resumed = Handle::resume(&proc, &stored, &criteria()).unwrap().unwrap();
        assert_eq!((resumed.is_renamed, resumed.remedy), (true, handle.remedy.clone()));
        // And in the midst of an exec, or while it is stopped.
        is_now("third", 'T', "/usr/bin/sleep", "");
        assert_eq!(handle.check(&criteria(), &proc), Ok(Check::Alive { stopped: true }));
        is_now("sleep", 'S', "/opt/anything", "new\0");
        assert_eq!((handle.check(&criteria(), &proc), handle.is_renamed), (alive(), false), "it matches");
        is_now("other", 'S', "/usr/bin/sleep", "new\0");
        assert_eq!(handle.check(&criteria(), &proc), Ok(Check::Changed));
        assert!(Handle::resume(&proc, &stored, &criteria()).unwrap().is_some());
    }

    #[test]
    fn of_a_script_the_interpreter_is_not_enough() {
        let signature = |path: &[u8], line: &[u8]| {
            let executable =
                Some(crate::process::Executable { path: crate::process::Bytes(path.to_vec()), file: None });
            Signature { executable, ..Signature::new(0, line) }
        };
        let script = signature(b"/usr/bin/python.", b"python3\0/opt/a.py\0");
        assert!(script.is_same_program(&signature(b"/usr/bin/python.", b"python3\0/opt/a.py\0x\0")));
        assert!(!script.is_same_program(&signature(b"/usr/bin/python.", b"python3\0/opt/b.py\0")));
        let server = signature(b"/usr/sbin/nginx", b"nginx: master\0");
        assert!(server.is_same_program(&signature(b"/usr/sbin/nginx", b"nginx: other\0")));
        assert!(!server.is_same_program(&signature(b"/usr/sbin/httpd", b"nginx: master\0")));
        assert!(server.is_same_program(&Signature::new(0, b"nginx: master\0")), "what is not known");
    }

    #[test]
    fn what_has_ended_meanwhile_is_not_held() {
        let mut sleeper = sleeper();
        sleeper.0.kill().unwrap();
        // A zombie is there, but not to be held.
        wait_for(|| hold(&sleeper).is_none());
    }

    #[test]
    fn a_number_that_is_anothers_is_not_held() {
        let sleeper = sleeper();
        let mut info = hold(&sleeper).unwrap().info().clone();
        info.started += Duration::from_secs(1);
        assert!(Handle::hold(&proc(), info, &criteria()).unwrap().is_none());
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
        let proc = with(proc(), no_room);
        let info = hold(&sleeper).unwrap().info().clone();
        assert!(Handle::hold(&proc, info, &criteria()).is_err());
    }
}
