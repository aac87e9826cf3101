//! Command lines, read by a child. `/proc/PID/cmdline` is a piece of that process's memory: who reads it waits
//! for the lock of that, which anybody can hold for as long as he likes. The child hangs then, and is killed. It reads
//! pid files too, which may be on a file server.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{WaitOptions, waitpid};

use crate::process::scan::{Glimpse, Proc, Unknown, read_stat_of};
use crate::process::{ProcessId, ReadError, path_of};
use crate::sys::{self, PROC, Pid};
use crate::time::{Time, now};

/// So much of a command line is read. There may be thousands, and anybody may give them long ones.
const LONGEST: usize = 4096;
/// What the child answers begins with three numbers: the length or a negative error, and the two that are read besides.
const HEAD: usize = 3 * size_of::<u64>();
/// How often a command line is looked for that should be there. An exec takes a fraction of that.
const MOST_EXEC_LOOKS: usize = 50;
/// A child that answers nothing for so long hangs, if it is in state D.
const PATIENCE: Duration = Duration::from_millis(250);
/// If it is not, the machine is busy. Then nobody can tell.
const LONGEST_PATIENCE: Duration = Duration::from_secs(10);
/// So many processes may let the child hang in one look, for so long together; the rest is not asked then.
const MOST_HANGS: usize = 3;
const LONGEST_HANGS: Duration = Duration::from_secs(1);
/// A process that let the child hang is not asked again for so long.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// A killed child has so long to end, before it counts as lost.
const KILL_PATIENCE: Duration = Duration::from_millis(250);
/// How often the pulse is felt while the child is waited for.
const PULSE: Duration = Duration::from_millis(50);

/// How the child reads something of a process, or else: it fills a buffer, and gives the length and two numbers. The
/// descriptor is that of /proc. Makes system calls only and does not allocate, so that it may be called after a fork.
pub(super) type Read<'a> =
    dyn Fn(BorrowedFd<'_>, &Glimpse, &mut [u8]) -> Result<(usize, (u64, u64)), Errno> + 'a;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Of a long one the beginning; `None` if it could not be read in time.
    pub(super) text: Option<Vec<u8>>,
    /// Of a process, device and inode of the file that it executes, if they are known.
    pub(super) numbers: (u64, u64),
}

type Visit<'a> = dyn FnMut(&Glimpse, Result<Reading, ReadError>) + 'a;

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Hangs {
    /// What let a child hang, and until when it is not asked again.
    processes: Vec<(ProcessId, Time)>,
    /// The child that could not be killed. While it is there no other is made.
    lost: Option<Pid>,
}

impl Proc {
    /// Reads the command lines of all these, and whether all could be asked.
    pub(super) fn read_all(&self, asked: &[Glimpse], visit: &mut Visit<'_>) -> Result<bool, Unknown> {
        let read = self.ask(&command_line, asked, visit);
        read.map_err(|error| Unknown(format!("command lines cannot be read: {error}")))
    }

    /// Reads one.
    pub(super) fn read_one(&self, read: &Read<'_>, asked: Glimpse) -> Result<Reading, ReadError> {
        let mut answer = Err(ReadError::Vanished);
        self.ask(read, &[asked], &mut |_, reading| answer = reading)?;
        answer
    }

    fn ask(&self, read: &Read<'_>, asked: &[Glimpse], visit: &mut Visit<'_>) -> io::Result<bool> {
        let mut hangs = self.hangs.take();
        let done = hangs.ask(|left| Child::fork(self.root(), read, left), asked, &self.pulse, visit);
        self.hangs.replace(hangs);
        done
    }

    /// Reaps the child that could not be killed in time, if it has ended. The next one may be long in coming.
    pub fn reap_reader(&self) {
        let mut hangs = self.hangs.take();
        hangs.reap();
        self.hangs.replace(hangs);
    }
}

impl Hangs {
    fn reap(&mut self) {
        self.lost = self.lost.filter(|child| {
            let ended = waitpid(rustix::process::Pid::from_raw(*child), WaitOptions::NOHANG);
            matches!(ended, Ok(None) | Err(Errno::INTR))
        });
    }

    /// Whether all could be asked. An error if who reads does not come to its work.
    fn ask(
        &mut self,
        fork: impl Fn(&[&Glimpse]) -> io::Result<Child>,
        asked: &[Glimpse],
        pulse: &dyn Fn(),
        visit: &mut Visit<'_>,
    ) -> io::Result<bool> {
        let began = now();
        self.processes.retain(|(_, until)| began < *until);
        let hangs = |asked: &&Glimpse| self.processes.iter().any(|(id, _)| id.is_same(asked.id));
        let (mut unread, mut left): (Vec<_>, Vec<_>) = asked.iter().partition(hangs);
        let (mut is_asked, mut hung) = (true, 0);
        while !left.is_empty() && hung < MOST_HANGS && now().saturating_sub(began) < LONGEST_HANGS {
            self.reap();
            // Where no child can be made either, all is judged by the rest.
            let child = if self.lost.is_none() { fork(&left).ok() } else { None };
            let Some(child) = child else {
                is_asked = false;
                break;
            };
            let answered = child.hear(&left, pulse, visit);
            self.lost = child.end();
            left.drain(..answered?);
            if !left.is_empty() {
                // The next one let it hang. What its user has besides comes last: it may be more of that.
                let next = left.remove(0);
                unread.push(next);
                self.processes.push((next.id, now() + ASK_AGAIN));
                left.sort_by_key(|asked| asked.user == next.user);
                hung += 1;
            }
        }
        for asked in unread.into_iter().chain(left) {
            visit(asked, Ok(Reading::default()));
        }
        Ok(is_asked)
    }
}

/// The child that reads.
struct Child {
    pid: Pid,
    answers: File,
}

impl Child {
    /// It reads all of these, one after the other.
    fn fork(root: &Path, read: &Read<'_>, asked: &[&Glimpse]) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, root, flags, Mode::empty())?;
        let (answers, to) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let pid = sys::fork_reader(folder.as_fd(), to.as_fd(), || answer(read, asked))?;
        Ok(Child { pid, answers: answers.into() })
    }

    /// Visits each that is `left` with the answer. How many have been answered: all, or those before the one that lets
    /// it hang.
    fn hear(&self, left: &[&Glimpse], pulse: &dyn Fn(), visit: &mut Visit<'_>) -> io::Result<usize> {
        let (mut heard, mut answered) = (Vec::new(), 0);
        let mut last_answer = now();
        while answered < left.len() {
            let ready = self.wait(PollFlags::IN)?;
            pulse();
            if !ready.is_empty() {
                heard.reserve(4 * LONGEST);
                if rustix::io::read(&self.answers, rustix::buffer::spare_capacity(&mut heard))? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let mut rest = &heard[..];
                while let Some((reading, more)) = parse(rest) {
                    rest = more;
                    if let Some(asked) = left.get(answered) {
                        visit(asked, reading);
                    }
                    answered += 1;
                }
                heard.drain(..heard.len() - rest.len());
                last_answer = now();
            }
            let silence = now().saturating_sub(last_answer);
            if silence >= PATIENCE && self.hangs() {
                break;
            }
            if silence >= LONGEST_PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(answered)
    }

    fn hangs(&self) -> bool {
        read_stat_of(Path::new(PROC), self.pid, |stat| stat.state == b'D').unwrap_or(true)
    }

    /// Ends it. Its number, if it is still there after a while.
    fn end(self) -> Option<Pid> {
        sys::kill(self.pid, libc::SIGKILL);
        let ends = now() + KILL_PATIENCE;
        // Nobody else has the other end.
        while !self.wait(PollFlags::empty()).is_ok_and(|ready| ready.contains(PollFlags::HUP)) {
            if now() >= ends {
                return Some(self.pid);
            }
        }
        // Nothing is left to it but to end.
        let _ = waitpid(rustix::process::Pid::from_raw(self.pid), WaitOptions::empty());
        None
    }

    /// Waits for these, and its end, for a pulse.
    fn wait(&self, events: PollFlags) -> io::Result<PollFlags> {
        let time = Timespec { tv_sec: 0, tv_nsec: PULSE.subsec_nanos().into() };
        let mut fds = [PollFd::new(&self.answers, events)];
        match poll(&mut fds, Some(&time)) {
            Ok(_) | Err(Errno::INTR) => Ok(fds[0].revents()),
            Err(error) => Err(error.into()),
        }
    }
}

/// An answer, once all of it has been heard, and what was heard after it.
fn parse(heard: &[u8]) -> Option<(Result<Reading, ReadError>, &[u8])> {
    let (code, rest) = heard.split_first_chunk()?;
    let (first, rest) = rest.split_first_chunk()?;
    let (second, rest) = rest.split_first_chunk()?;
    let code = i64::from_ne_bytes(*code);
    let Ok(length) = usize::try_from(code) else {
        let error = i32::try_from(-code).unwrap_or_default();
        return Some((Err(io::Error::from_raw_os_error(error).into()), rest));
    };
    let (text, rest) = rest.split_at_checked(length)?;
    let numbers = (u64::from_ne_bytes(*first), u64::from_ne_bytes(*second));
    Some((Ok(Reading { text: Some(text.to_vec()), numbers }), rest))
}

/// What the child does: it reads all these. It makes system calls only and does not allocate, so that it may be called
/// after a fork.
fn answer(read: &Read<'_>, asked: &[&Glimpse]) {
    let (folder, to) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    let mut answer = [0; HEAD + LONGEST];
    for asked in asked {
        let (head, text) = answer.split_at_mut(HEAD);
        let (length, code, numbers) = match read(folder, asked, text) {
            Ok((length, numbers)) => (length, i64::try_from(length).unwrap_or_default(), numbers),
            Err(error) => (0, i64::from(-error.raw_os_error()), (0, 0)),
        };
        let numbers = [code.to_ne_bytes(), numbers.0.to_ne_bytes(), numbers.1.to_ne_bytes()];
        head.copy_from_slice(numbers.as_flattened());
        let mut unsent = answer.get(..HEAD + length).unwrap_or_default();
        while !unsent.is_empty() {
            let Ok(sent) = retry_on_intr(|| rustix::io::write(to, unsent)) else { return };
            unsent = unsent.get(sent..).unwrap_or_default();
        }
    }
}

/// Reads a command line, and which file the process executes.
pub(super) fn command_line(
    folder: BorrowedFd<'_>,
    of: &Glimpse,
    line: &mut [u8],
) -> Result<(usize, (u64, u64)), Errno> {
    let mut buffer = [0; 32];
    let path = path_of(of.id.pid, "cmdline", &mut buffer);
    let mut read = || {
        let file = openat(folder, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::read(&file, &mut *line)
    };
    let mut length = read()?;
    let mut looks_left = if of.is_bare { 0 } else { MOST_EXEC_LOOKS };
    // In the midst of an exec the name is new, and there is no command line yet.
    while length == 0 && looks_left > 0 {
        looks_left -= 1;
        std::thread::yield_now();
        length = read()?;
    }
    let file = statat(folder, path_of(of.id.pid, "exe", &mut [0; 32]), AtFlags::empty());
    Ok((length, file.map_or((0, 0), |file| (file.st_dev, file.st_ino))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    #[expect(clippy::zombie_processes)] // it is reaped by what is tested
    fn a_child_that_could_not_be_killed_in_time_is_reaped_once_it_has_ended() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&child).as_raw_pid();
        let proc = Proc::new(Path::new("/proc")).unwrap();
        proc.hangs.borrow_mut().lost = Some(pid);
        proc.reap_reader();
        assert_eq!(proc.hangs.borrow().lost, Some(pid));
        drop(child.stdin.take());
        let deadline = now() + LONGEST_PATIENCE;
        while proc.hangs.borrow().lost.is_some() {
            assert!(now() < deadline, "{:?}", proc.hangs);
            std::thread::sleep(Duration::from_millis(1));
            proc.reap_reader();
        }
        assert!(!Path::new("/proc").join(pid.to_string()).exists());
    }
}
