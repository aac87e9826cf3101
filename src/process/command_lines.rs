//! Command lines, read by a child. `/proc/PID/cmdline` is a piece of that process's memory: who reads it waits
//! for the lock of that, which anybody can hold for as long as he likes. The child hangs then, and is killed. It reads
//! pid files too, which may be on a file server.

use std::cell::RefCell;
use std::ffi::CStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{WaitOptions, waitpid};

use crate::process::scan::Proc;
use crate::process::{ProcessId, ReadError};
use crate::sys::{self, PROC, Pid};
use crate::time::{Time, now};

/// So much of a command line is read. There may be thousands, and anybody may give them long ones.
const LONGEST: usize = 4096;
/// What the child answers begins with the length or a negative error, and the device and inode of the executable.
const HEAD: usize = 4 + 8 + 8;
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

/// A process that is to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) id: ProcessId,
    pub(super) user: u32,
    /// It has no command line, and will have none.
    pub(super) is_bare: bool,
}

/// A file that is to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileToRead<'a> {
    pub(super) path: &'a CStr,
    /// With which it is opened, besides those with which nothing is waited for.
    pub(super) flags: OFlags,
}

/// What was read of a file.
#[derive(Debug)]
pub(super) struct FileRead {
    pub(super) owner: u32,
    /// When it was written, in milliseconds by the wall clock.
    pub(super) written_ms: i64,
    /// Of a long one the beginning.
    pub(super) text: Vec<u8>,
}

/// What stands for a file among the processes that are asked for. There is no process 0.
const FILE: Asked = Asked { id: ProcessId { pid: 0, started: Time::ZERO }, user: u32::MAX, is_bare: true };

/// What was read of a process.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Of a long one the beginning; `None` if it could not be read in time.
    pub(super) command_line: Option<Vec<u8>>,
    /// Device and inode of the file that it executes.
    pub(super) file: Option<(u64, u64)>,
}

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Hangs {
    /// What let a child hang, and until when it is not asked again.
    processes: Vec<(ProcessId, Time)>,
    /// The child that could not be killed. While it is there no other is made.
    lost: Option<Pid>,
}

impl Proc {
    /// Reads processes, or the `file`, and calls `visit` with the place of each and what was read. Whether all could be
    /// asked.
    ///
    /// # Errors
    /// Who reads does not come to its work.
    pub(super) fn read_lines(
        &self,
        file: Option<FileToRead<'_>>,
        asked: &[Asked],
        visit: &mut dyn FnMut(usize, Result<Reading, ReadError>),
    ) -> io::Result<bool> {
        let mut hangs = self.hangs.take();
        let done = hangs.read_lines((self.root(), file), &self.pulse.0, asked, visit);
        let _ = self.hangs.replace(hangs);
        done
    }

    /// Reads a file; `None` if that lets the child hang.
    pub(super) fn read_file(&self, file: FileToRead<'_>) -> Result<Option<FileRead>, ReadError> {
        let mut read = Err(ReadError::Vanished);
        self.read_lines(Some(file), &[FILE], &mut |_, reading| read = reading)?;
        Ok(read?.command_line.and_then(|answer| {
            let (owner, rest) = answer.split_first_chunk::<4>()?;
            let (written_ms, text) = rest.split_first_chunk::<8>()?;
            let (owner, written_ms) = (u32::from_ne_bytes(*owner), i64::from_ne_bytes(*written_ms));
            Some(FileRead { owner, written_ms, text: text.to_vec() })
        }))
    }

    /// Reaps the child that could not be killed in time, if it has ended. The next one may be long in coming.
    pub fn reap_reader(&self) {
        let mut hangs = self.hangs.take();
        hangs.reap();
        let _ = self.hangs.replace(hangs);
    }

    /// Reads one process.
    pub(super) fn read_line(&self, asked: Asked) -> Result<Reading, ReadError> {
        let mut read = Err(ReadError::Vanished);
        self.read_lines(None, &[asked], &mut |_, reading| read = reading)?;
        read
    }
}

impl Hangs {
    fn reap(&mut self) {
        self.lost = self.lost.filter(|child| !has_ended(*child));
    }

    fn read_lines(
        &mut self,
        from: (&Path, Option<FileToRead<'_>>),
        pulse: &dyn Fn(),
        asked: &[Asked],
        visit: &mut dyn FnMut(usize, Result<Reading, ReadError>),
    ) -> io::Result<bool> {
        let began = now();
        self.processes.retain(|(_, until)| began < *until);
        let hangs = |asked: &Asked| self.processes.iter().any(|(id, _)| id.is_same(asked.id));
        let all = asked.iter().enumerate();
        let (mut unread, mut left): (Vec<_>, Vec<_>) = all.partition(|(_, asked)| hangs(asked));
        let mut is_asked = true;
        for number in 1.. {
            if left.is_empty() {
                break;
            }
            self.reap();
            // Where no child can be made either, all is judged by the rest.
            let child = if self.lost.is_none() { Child::fork(from).ok() } else { None };
            let Some(mut child) = child else {
                is_asked = false;
                break;
            };
            let answered = child.ask(&left, pulse, visit);
            self.lost = child.end();
            left.drain(..answered?);
            if left.is_empty() {
                break;
            }
            // The next one let it hang. What its user has besides comes last: it may be more of that.
            let (place, hung) = left.remove(0);
            unread.push((place, hung));
            self.processes.push((hung.id, now() + ASK_AGAIN));
            left.sort_by_key(|(_, asked)| asked.user == hung.user);
            if number >= MOST_HANGS || now().saturating_sub(began) >= LONGEST_HANGS {
                break;
            }
        }
        for (place, _) in unread.into_iter().chain(left) {
            visit(place, Ok(Reading::default()));
        }
        Ok(is_asked)
    }
}

/// The child that reads.
struct Child {
    pid: Pid,
    socket: UnixStream,
}

impl Child {
    fn fork((root, file): (&Path, Option<FileToRead<'_>>)) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, root, flags, Mode::empty())?;
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let pid = sys::fork_reader(theirs.as_fd(), folder.as_fd(), || serve(file))?;
        Ok(Child { pid, socket })
    }

    /// Asks for all, and visits each with the answer. How many have been answered: all, or those before the one
    /// that lets it hang.
    fn ask(
        &mut self,
        left: &[(usize, &Asked)],
        pulse: &dyn Fn(),
        visit: &mut dyn FnMut(usize, Result<Reading, ReadError>),
    ) -> io::Result<usize> {
        let requests: Vec<u8> = left.iter().flat_map(|(_, asked)| asked.request()).collect();
        let (mut unsent, mut heard, mut answered) = (&requests[..], Vec::new(), 0);
        let mut last_answer = now();
        let mut buffer = vec![0; 16 * LONGEST];
        while answered < left.len() {
            let waits_to_send = if unsent.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            let ready = wait(&self.socket, PollFlags::IN | waits_to_send)?;
            pulse();
            if ready.contains(PollFlags::OUT) {
                let sent = or_not_now(self.socket.write(unsent))?;
                unsent = unsent.get(sent..).unwrap_or_default();
            }
            if ready.intersects(PollFlags::IN | PollFlags::HUP) {
                let length = self.socket.read(&mut buffer)?;
                if length == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                heard.extend_from_slice(buffer.get(..length).unwrap_or_default());
                while let Some((reading, length)) = parse(&heard) {
                    heard.drain(..length);
                    if let Some((place, _)) = left.get(answered) {
                        visit(*place, reading);
                    }
                    answered += 1;
                }
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
        let stat = std::fs::read(Path::new(PROC).join(self.pid.to_string()).join("stat")).unwrap_or_default();
        crate::process::stat::Stat::parse(&stat).is_none_or(|stat| stat.state == b'D')
    }

    /// Ends it. Its number, if it is still there.
    fn end(self) -> Option<Pid> {
        let _ = kill(nix::unistd::Pid::from_raw(self.pid), Signal::SIGKILL);
        if !self.has_closed() {
            return Some(self.pid);
        }
        // Nothing is left to it but to end.
        let _ = waitpid(rustix::process::Pid::from_raw(self.pid), WaitOptions::empty());
        None
    }

    /// Whether it closes its end within a while.
    fn has_closed(&self) -> bool {
        let ends = now() + KILL_PATIENCE;
        while now() < ends {
            let _ = io::copy(&mut (&self.socket), &mut io::sink());
            if wait(&self.socket, PollFlags::IN).is_ok_and(|ready| ready.contains(PollFlags::HUP)) {
                return true;
            }
        }
        false
    }
}

impl Asked {
    /// Its number; a negative one if nothing is to be waited for, and 0 for the file.
    fn request(&self) -> [u8; 4] {
        (if self.is_bare { -self.id.pid } else { self.id.pid }).to_ne_bytes()
    }
}

fn wait(socket: &UnixStream, events: PollFlags) -> io::Result<PollFlags> {
    let time = Timespec { tv_sec: 0, tv_nsec: PULSE.subsec_nanos().into() };
    let mut fds = [PollFd::new(socket, events)];
    match poll(&mut fds, Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(fds[0].revents()),
        Err(error) => Err(error.into()),
    }
}

fn or_not_now(sent: io::Result<usize>) -> io::Result<usize> {
    match sent {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        sent => sent,
    }
}

/// Whether a child has ended; then it is reaped.
fn has_ended(child: Pid) -> bool {
    !matches!(
        waitpid(rustix::process::Pid::from_raw(child), WaitOptions::NOHANG),
        Ok(None) | Err(Errno::INTR)
    )
}

/// An answer, and how long it is, once all of it has been heard.
fn parse(heard: &[u8]) -> Option<(Result<Reading, ReadError>, usize)> {
    let (result, rest) = heard.split_first_chunk::<4>()?;
    let (device, rest) = rest.split_first_chunk::<8>()?;
    let (inode, rest) = rest.split_first_chunk::<8>()?;
    let result = i32::from_ne_bytes(*result);
    let Ok(length) = usize::try_from(result) else {
        return Some((Err(io::Error::from_raw_os_error(-result).into()), HEAD));
    };
    let file = Some((u64::from_ne_bytes(*device), u64::from_ne_bytes(*inode))).filter(|file| *file != (0, 0));
    let command_line = Some(rest.get(..length)?.to_vec());
    Some((Ok(Reading { command_line, file }), HEAD + length))
}

/// What the child does: it answers each request, until there is no more. It makes system calls only and does not
/// allocate, so that it may be called after a fork.
fn serve(file_to_read: Option<FileToRead<'_>>) {
    let (socket, folder) = (rustix::stdio::stdin(), rustix::stdio::stderr());
    let mut answer = [0; HEAD + LONGEST];
    while let Some(request) = next_request(socket) {
        let (head, line) = answer.split_at_mut(HEAD);
        let mut result = match file_to_read.filter(|_| request == 0) {
            Some(file) => read_file(file, line),
            None => read_line(folder, request.abs(), line),
        };
        let mut looks_left = if request <= 0 { 0 } else { MOST_EXEC_LOOKS };
        // In the midst of an exec the name is new, and there is no command line yet.
        while result == Ok(0) && looks_left > 0 {
            looks_left -= 1;
            std::thread::yield_now();
            result = read_line(folder, request.abs(), line);
        }
        let file = executable(folder, request.abs()).unwrap_or_default();
        let length = result.unwrap_or_default();
        let code =
            result.map_or_else(|error| -error.raw_os_error(), |length| i32::try_from(length).unwrap_or(0));
        let mut rest = head;
        let written = rest.write_all(&code.to_ne_bytes()).and_then(|()| {
            rest.write_all(&file.0.to_ne_bytes())?;
            rest.write_all(&file.1.to_ne_bytes())
        });
        if written.is_err() || send(socket, answer.get(..HEAD + length).unwrap_or_default()).is_err() {
            return;
        }
    }
}

fn next_request(socket: BorrowedFd<'_>) -> Option<i32> {
    let mut request = [0; 4];
    let mut length = 0;
    while length < request.len() {
        let rest = request.get_mut(length..)?;
        length += retry_on_intr(|| rustix::io::read(socket, &mut *rest)).ok().filter(|more| *more > 0)?;
    }
    Some(i32::from_ne_bytes(request))
}

fn send(socket: BorrowedFd<'_>, mut answer: &[u8]) -> Result<(), Errno> {
    while !answer.is_empty() {
        let sent = retry_on_intr(|| rustix::io::write(socket, answer))?;
        answer = answer.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// `PID/NAME`, as the kernel wants it.
fn path<'a>(pid: i32, name: &str, buffer: &'a mut [u8; 32]) -> &'a CStr {
    let _ = write!(&mut buffer[..], "{pid}/{name}");
    CStr::from_bytes_until_nul(buffer).unwrap_or_default()
}

fn read_line(folder: BorrowedFd<'_>, pid: i32, line: &mut [u8]) -> Result<usize, Errno> {
    let mut buffer = [0; 32];
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(folder, path(pid, "cmdline", &mut buffer), flags, Mode::empty())?;
    rustix::io::read(file, line)
}

/// The owner of a file, when it was written, and what it says. Nobody is waited for who is to write a pipe.
fn read_file(file: FileToRead<'_>, answer: &mut [u8]) -> Result<usize, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | file.flags;
    let file = openat(CWD, file.path, flags, Mode::empty())?;
    let about = fstat(&file)?;
    if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
        return Err(Errno::MEDIUMTYPE);
    }
    let nanos = i64::try_from(about.st_mtime_nsec).unwrap_or_default();
    let written_ms = about.st_mtime.saturating_mul(1000).saturating_add(nanos / 1_000_000);
    let mut head = &mut *answer;
    head.write_all(&about.st_uid.to_ne_bytes()).map_err(|_| Errno::NOSPC)?;
    head.write_all(&written_ms.to_ne_bytes()).map_err(|_| Errno::NOSPC)?;
    Ok(12 + rustix::io::read(&file, head)?)
}

fn executable(folder: BorrowedFd<'_>, pid: i32) -> Option<(u64, u64)> {
    let mut buffer = [0; 32];
    let file = statat(folder, path(pid, "exe", &mut buffer), AtFlags::empty()).ok()?;
    Some((file.st_dev, file.st_ino))
}

/// Where what is remembered is kept.
pub(super) type Memory = RefCell<Hangs>;

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
