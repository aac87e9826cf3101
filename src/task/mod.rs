//! A task: any child that the watchdog runs. It has a session and process group of its own, its output is
//! redirected or captured, and its group is ended by SIGTERM and SIGKILL, or by its timeout.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::fcntl::OFlag;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{WaitOptions, waitpid};

use crate::sys::{self, Pid};
use crate::task::account::{Account, Identity, RunAs};
use crate::task::environment::OF_A_USER;
use crate::time::{Time, now};

pub mod account;
pub mod environment;

/// What has nothing to read, and takes whatever is written to it. A chroot may have none.
pub const NULL: &str = "/dev/null";
/// How much of a captured output is kept: its end.
const TAIL: usize = 4096;
/// How often it is read at a time: what writes without end must not hold up the watch.
const MOST_READS: usize = 64;
/// How often it is asked after an end that nothing else tells of.
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
/// How long an answer may take. It may come over the network.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// What is killed has ended by then, unless it hangs in the kernel.
pub const KILL_PATIENCE: Duration = Duration::from_secs(1);

/// A child that runs.
#[derive(Debug)]
pub struct Task {
    pid: Pid,
    began: Time,
    timeout: Option<Duration>,
    /// From then on it is killed.
    deadline: Option<Time>,
    stage: Stage,
    /// Once it has been reaped.
    ended: Option<Ended>,
    captured: Option<Capture>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// SIGTERM was sent to its group. Until the last signal is sent it stays unreaped, so that its number is
    /// no stranger's.
    Terminating,
    Killed,
}

/// The status of a task that has ended, if nobody else has taken that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended(pub Option<ExitStatus>);

/// Where a task's output goes.
#[derive(Debug)]
pub enum Output {
    /// Nowhere, if there is none.
    File(Option<File>),
    /// The last 4 KiB are kept for [`Task::output`].
    Captured,
    /// With what it writes to standard error.
    CapturedWithErrors,
}

/// How a command ended that people have given.
#[derive(Debug)]
pub struct CommandEnd {
    /// Its status, unless it was another watchdog's.
    pub status: Option<ExitStatus>,
    /// How long it ran.
    pub took: Duration,
    /// The time that it had, if it was killed when that was up.
    pub timeout: Option<Duration>,
    /// The last lines that it wrote.
    pub said: Vec<String>,
}

impl CommandEnd {
    /// Whether it says that it succeeded, as far as is known.
    pub fn is_well(&self) -> bool {
        self.status.is_none_or(|status| status.success())
    }
}

/// A command line for /bin/sh, in a task's environment.
pub fn shell(text: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(text);
    environment::complete(&mut command);
    command
}

/// How a command of the shell exited, by its status (POSIX.1-2017, XCU 2.8.2).
pub fn exited(status: i32) -> String {
    let why = match status {
        126 => " (not executable)",
        127 => " (command not found)",
        _ => "",
    };
    format!("exited with status {status}{why}")
}

/// What people give start command, stop command and probes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    pub env: BTreeMap<String, String>,
    pub directory: Option<PathBuf>,
    pub umask: Option<u32>,
    pub run_as: Option<RunAs>,
}

/// What the commands that people give have in common: the directory that they run in, and what is added to their
/// environment.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Where they run, if they may enter it and `profile` names no other.
    pub directory: &'a Path,
    pub added: &'a [(&'static str, OsString)],
    pub profile: &'a Profile,
    /// Whom `profile` has them run as.
    pub account: Option<&'a Account>,
}

/// What a child could not do before its program began. It is added to the number of the error, which is all that
/// comes back.
const NO_USER: i32 = 1 << 16;
const NO_DIRECTORY: i32 = 1 << 17;

impl Surroundings<'_> {
    /// Runs `command` as one that people have given.
    ///
    /// # Errors
    /// No child could be made, there is no such program, or it cannot have the user or the directory that it is to
    /// have.
    pub fn run(
        self,
        mut command: Command,
        output: Output,
        timeout: Option<Duration>,
        mut before_exec: impl FnMut() + Send + Sync + 'static,
    ) -> io::Result<Task> {
        let Profile { env, directory, umask, run_as } = self.profile;
        let identity = run_as.as_ref().map(|run_as| {
            let known = self.account.map_or(Err("is not known"), Account::identity);
            known.cloned().map_err(|why| io::Error::other(format!("run_as {run_as}: {why}")))
        });
        let identity = identity.transpose()?;
        if let Some(identity) = &identity {
            for name in OF_A_USER {
                command.env_remove(name);
            }
            command.envs(identity.environment.iter().map(|(name, value)| (name, value)));
        } else {
            command.envs(self.added.iter().map(|(name, value)| (name, value)));
        }
        command.envs(env);
        let is_given = directory.is_some();
        let directory = directory.as_deref().unwrap_or(self.directory);
        let path = CString::new(directory.as_os_str().as_bytes())?;
        let umask = umask.map(Mode::from_bits_truncate);
        let program = PathBuf::from(command.get_program());
        let run = Task::run_with(nothing()?, command, output, timeout, move || {
            before_exec();
            let marked = |number: i32, mark| Err(io::Error::from_raw_os_error(number | mark));
            if let Err(error) = identity.as_ref().map_or(Ok(()), Identity::assume) {
                return marked(error as i32, NO_USER);
            }
            umask.map(rustix::process::umask);
            match rustix::process::chdir(&path) {
                Err(error) if is_given => marked(error.raw_os_error(), NO_DIRECTORY),
                // If it is gone, the command is to run all the same.
                Ok(()) | Err(_) => Ok(()),
            }
        });
        run.map_err(|error| {
            let number = error.raw_os_error().unwrap_or_default();
            let what = match run_as {
                _ if number & NO_DIRECTORY != 0 => format!("working_directory {}", directory.display()),
                Some(run_as) if number & NO_USER != 0 => format!("run_as {run_as}"),
                // As in a container without a shell.
                _ if error.kind() == io::ErrorKind::NotFound => program.display().to_string(),
                _ => return error,
            };
            let error = io::Error::from_raw_os_error(number & !(NO_DIRECTORY | NO_USER));
            io::Error::other(format!("{what}: {error}"))
        })
    }
}

impl Task {
    /// Runs `command`.
    ///
    /// # Errors
    /// No child could be made, or there is no such program.
    pub fn run(command: Command, output: Output, timeout: Option<Duration>) -> io::Result<Self> {
        Task::run_with(nothing()?, command, output, timeout, || Ok(()))
    }

    /// The same with this to read. `before_exec` is called in the child just before, and may only make system calls
    /// that signal-safety(7) allows; the program does not begin if it fails.
    ///
    /// # Errors
    /// As [`Task::run`], or that of `before_exec`.
    pub fn run_with(
        input: Stdio,
        mut command: Command,
        output: Output,
        timeout: Option<Duration>,
        mut before_exec: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        command.stdin(input);
        let has_errors = matches!(output, Output::CapturedWithErrors);
        match output {
            Output::File(None) => command.stdout(nowhere()?).stderr(nowhere()?),
            Output::File(Some(file)) => command.stdout(file.try_clone()?).stderr(file),
            Output::Captured | Output::CapturedWithErrors => {
                command.stdout(Stdio::piped()).stderr(nowhere()?)
            }
        };
        sys::detach(&mut command, move || {
            if has_errors {
                let _ = rustix::stdio::dup2_stderr(rustix::stdio::stdout());
            }
            before_exec()
        });
        let began = now();
        let mut child = command.spawn()?;
        let captured = child.stdout.take().and_then(Capture::new);
        let pid = Pid::try_from(child.id()).unwrap_or_default();
        let deadline = timeout.map(|timeout| began + timeout);
        Ok(Task { pid, began, timeout, deadline, stage: Stage::Running, ended: None, captured })
    }

    /// Its number, which is also its session's and its process group's.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Gives it time until then, if that is later than its deadline.
    pub fn extend_to(&mut self, time: Time) {
        self.deadline = self.deadline.map(|deadline| deadline.max(time));
    }

    /// When it is to be looked at, if nothing happens before.
    pub fn deadline(&self) -> Option<Time> {
        self.deadline.filter(|_| self.stage == Stage::Running && self.ended.is_none())
    }

    /// What becomes readable while it writes.
    pub fn output_fd(&self) -> Option<BorrowedFd<'_>> {
        self.captured.as_ref()?.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Whether it was asked to end, and has not been reaped.
    pub fn is_terminating(&self) -> bool {
        self.stage == Stage::Terminating && self.ended.is_none()
    }

    /// Asks its process group to end.
    pub fn terminate(&mut self) {
        self.signal(libc::SIGTERM);
        if self.stage == Stage::Running {
            self.stage = Stage::Terminating;
        }
    }

    /// Kills its process group.
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        if self.ended.is_none() {
            self.stage = Stage::Killed;
        }
    }

    /// Sends a signal to its process group, unless its number may be a stranger's by now.
    pub fn signal(&self, signal: i32) {
        if self.ended.is_none() {
            // The group may be empty but for the unreaped leader.
            sys::kill(-self.pid, signal);
        }
    }

    /// How it has ended, if it has. Beyond its deadline it is killed.
    pub fn ended(&mut self) -> Option<Ended> {
        self.drain();
        if self.deadline().is_some_and(|deadline| now() >= deadline) {
            self.kill();
        }
        if self.ended.is_none() {
            self.was_reaped(wait(self.pid)?);
        }
        self.ended
    }

    /// The time that it had, if it was killed when that was up.
    pub fn overran(&self) -> Option<Duration> {
        let Ended(status) = self.ended?;
        let is_killed = status.is_some_and(|status| status.signal() == Some(libc::SIGKILL));
        self.timeout.filter(|_| is_killed && self.stage == Stage::Killed)
    }

    /// What there is to tell of its end, with what it `said`.
    pub fn end(&self, said: Vec<String>) -> CommandEnd {
        let status = self.ended.and_then(|ended| ended.0);
        CommandEnd { status, took: now().saturating_sub(self.began), timeout: self.overran(), said }
    }

    /// Its time is long over, and it is still there: killed, it hangs in the kernel.
    pub fn is_stuck(&self) -> bool {
        self.ended.is_none() && self.deadline.is_some_and(|deadline| now() >= deadline + KILL_PATIENCE)
    }

    /// Waits for its end, as those may who have nothing else to wait for. `None` if it has none even when it is
    /// killed.
    pub fn wait(&mut self) -> Option<Ended> {
        loop {
            if let Some(ended) = self.ended() {
                return Some(ended);
            }
            if self.is_stuck() {
                return None;
            }
            let output = self.output_fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            let _ = poll(output.into_iter().collect::<Vec<_>>().as_mut_slice(), Some(&LOOK_AGAIN));
        }
    }

    fn was_reaped(&mut self, ended: Ended) {
        self.drain();
        self.ended = Some(ended);
    }

    /// Reads what it has written, so that it can go on.
    pub fn drain(&mut self) {
        if let Some(captured) = &mut self.captured {
            captured.drain();
        }
    }

    /// The end of what it wrote.
    pub fn output(&self) -> String {
        let captured = self.captured.as_ref().map(|captured| captured.tail.as_slice());
        String::from_utf8_lossy(captured.unwrap_or_default()).into_owned()
    }
}

/// `text` to read, which is no longer than what the smallest pipe holds (`PIPE_BUF`).
///
/// # Errors
/// There are no descriptors left.
pub fn input(text: &str) -> io::Result<Stdio> {
    let (from, to) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    rustix::fs::fcntl_setfl(&from, OFlags::empty())?;
    File::from(to).write_all(text.as_bytes())?;
    Ok(from.into())
}

/// Where there is nothing to read; without [`NULL`], a pipe that nobody writes to.
fn nothing() -> io::Result<Stdio> {
    match File::open(NULL) {
        Ok(null) => Ok(null.into()),
        Err(_) => Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC)?.0.into()),
    }
}

/// Where nobody reads; without [`NULL`], where the watchdog's own errors go. A pipe without a reader would end who
/// writes to it.
fn nowhere() -> io::Result<Stdio> {
    match File::options().write(true).open(NULL) {
        Ok(null) => Ok(null.into()),
        Err(_) => Ok(io::stderr().as_fd().try_clone_to_owned()?.into()),
    }
}

/// Reaps all children that have ended, those of others too, as process 1 has to: the status of a task is
/// kept for it, and those of the others are returned. A task whose number is still needed holds them up.
pub fn reap_all(tasks: &mut [&mut Task]) -> Vec<(Pid, ExitStatus)> {
    let mut orphans = Vec::new();
    while let Some(child) = sys::ended_child() {
        let task = tasks.iter_mut().find(|task| task.pid == child);
        if task.as_ref().is_some_and(|task| task.is_terminating()) {
            break;
        }
        let Some(ended) = wait(child) else { break };
        match task {
            Some(task) => task.was_reaped(ended),
            None => orphans.extend(ended.0.map(|status| (child, status))),
        }
    }
    orphans
}

/// Asks a program something: what it writes is the answer.
///
/// # Errors
/// As [`Task::run`].
pub fn ask(mut program: Command) -> io::Result<Task> {
    environment::complete(&mut program);
    Task::run(program, Output::Captured, Some(PATIENCE))
}

/// What a task that was asked something has answered, once it has; then it is no question any more.
pub fn answer(question: &mut Option<Task>) -> Option<String> {
    question.as_mut()?.ended()?;
    Some(question.take()?.output())
}

/// Reaps a child, if it has ended.
fn wait(pid: Pid) -> Option<Ended> {
    match waitpid(rustix::process::Pid::from_raw(pid), WaitOptions::NOHANG) {
        Ok(None) | Err(Errno::INTR) => None,
        Ok(Some((_, status))) => Some(Ended(Some(ExitStatus::from_raw(status.as_raw())))),
        Err(_) => Some(Ended(None)),
    }
}

/// The end of what comes out of a pipe.
#[derive(Debug)]
struct Capture {
    /// Until it has ended. Its other end may be open for as long as anybody likes.
    pipe: Option<ChildStdout>,
    tail: Vec<u8>,
}

impl Capture {
    fn new(pipe: ChildStdout) -> Option<Self> {
        rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK).ok()?;
        Some(Capture { pipe: Some(pipe), tail: Vec::new() })
    }

    fn drain(&mut self) {
        let mut buffer = [0; TAIL];
        for _ in 0..MOST_READS {
            match self.pipe.as_mut().map_or(Ok(0), |pipe| pipe.read(&mut buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) | Ok(0) => {
                    self.pipe = None;
                    return;
                }
                Ok(length) => {
                    self.tail.extend_from_slice(buffer.get(..length).unwrap_or_default());
                    self.tail.drain(..self.tail.len().saturating_sub(TAIL));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, timeout: Option<Duration>) -> Task {
        Task::run(shell(text), Output::Captured, timeout).unwrap()
    }

    fn end(task: &mut Task) -> Option<ExitStatus> {
        task.wait().expect("it ends").0
    }

    #[test]
    fn the_end_of_its_output_is_kept_however_much_it_writes() {
        let mut task = run("yes | head -c 3000000; echo last; exit 7", None);
        assert_eq!(end(&mut task).unwrap().code(), Some(7));
        let output = task.output();
        assert_eq!(output.len(), TAIL);
        assert!(output.ends_with("y\nlast\n"), "{output}");
    }

    #[test]
    fn its_errors_are_captured_with_its_output_where_that_is_asked_for() {
        for (output, expected) in [(Output::Captured, "1\n"), (Output::CapturedWithErrors, "1\n2\n")] {
            let mut task = Task::run(shell("echo 1; echo 2 >&2"), output, None).unwrap();
            end(&mut task);
            assert_eq!(task.output(), expected);
        }
    }

    #[test]
    fn who_holds_its_output_open_is_not_waited_for() {
        let mut task = run("sleep 60 & echo $!", None);
        assert_eq!(end(&mut task).unwrap().code(), Some(0));
        let left: i32 = task.output().trim().parse().unwrap();
        sys::kill(left, libc::SIGKILL);
    }

    #[test]
    fn its_group_is_killed_when_its_time_is_up() {
        let time = Duration::from_millis(50);
        let mut task = run("sleep 60; true", Some(time));
        assert_eq!(end(&mut task).unwrap().signal(), Some(libc::SIGKILL));
        let end = task.end(Vec::new());
        assert!(end.took >= time && end.timeout == Some(time) && !task.is_stuck(), "{end:?}");
        // It was killed, but not by us.
        let mut task = run("kill -9 $$", Some(Duration::from_secs(60)));
        assert_eq!(task.wait(), Some(Ended(Some(ExitStatus::from_raw(libc::SIGKILL)))));
        assert_eq!(task.overran(), None);
    }

    #[test]
    fn what_has_ended_is_not_signalled_any_more() {
        let mut task = run("exec sleep 60", None);
        task.terminate();
        assert!(task.is_terminating());
        assert_eq!(end(&mut task).unwrap().signal(), Some(libc::SIGTERM));
        // Its number may be a stranger's from here on.
        task.kill();
        assert_eq!(end(&mut task).unwrap().signal(), Some(libc::SIGTERM));
        // Nor is it waited for as what is asked to end.
        let mut task = run("true", None);
        assert!(end(&mut task).unwrap().success());
        task.terminate();
        assert!(!task.is_terminating());
    }
}
