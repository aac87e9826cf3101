//! The start command at work: a task of this watchdog, or one that a watchdog before it has left.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use crate::log::output::OutputLog;
use crate::process::handle::ProcessFd;
use crate::process::scan::Proc;
use crate::process::{ProcessId, own_start};
use crate::state::Files;
use crate::sys::{self, Pid};
use crate::task::{self, CommandEnd, Output, Surroundings, Task};
use crate::time::{Time, now};

/// A start command at work.
#[derive(Debug)]
pub struct StartCommand {
    process: Process,
    began: Time,
    /// How long the output log was when it began, if that is known.
    output_from: Option<u64>,
}

#[derive(Debug)]
enum Process {
    Own(Task),
    /// Of a watchdog before this one.
    Adopted {
        held: ProcessFd,
        is_terminating: bool,
    },
}

/// What the last start command has noted of itself, whatever became of the watchdog that ran it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartRecord {
    /// The attempt, by its time.
    pub attempt: Time,
    /// The command's process.
    pub process: ProcessId,
}

impl StartRecord {
    /// What was noted in one of the instance's `files`, if it is of this boot.
    pub fn read(files: &Files) -> Option<Self> {
        let note = files.start_note()?;
        let mut words = note.split_ascii_whitespace();
        if !files.is_of_this_boot(words.next()?) {
            return None;
        }
        let attempt = Time::from_millis(words.next()?.parse().ok()?);
        let pid = words.next()?.parse().ok()?;
        let started = Time::from_millis(words.next()?.parse().ok()?);
        Some(StartRecord { attempt, process: ProcessId { pid, started } })
    }
}

impl StartCommand {
    /// Runs `text` in a shell in these surroundings, with its output appended to `output`. The shell notes its number
    /// and start in `record` before it does anything.
    ///
    /// # Errors
    /// The shell could not be started.
    pub fn run(
        text: &str,
        surroundings: Surroundings<'_>,
        output: Option<File>,
        record: Option<File>,
        now: Time,
    ) -> io::Result<Self> {
        let output_from = output.as_ref().and_then(|file| file.metadata().ok()).map(|file| file.len());
        let note = move || {
            // Without the note, the next watchdog may not find this command: no reason not to start.
            let _ = record.as_ref().map(note_start);
        };
        let process = Process::Own(surroundings.run(task::shell(text), Output::File(output), None, note)?);
        Ok(StartCommand { process, began: now, output_from })
    }

    /// The start command that a watchdog before this one ran and that is still at work, if the one that
    /// `noted` itself is. To be asked with the instance's lock held: between fork and exec, the command
    /// holds it too.
    pub fn adopt(noted: StartRecord, proc: &Proc) -> Option<Self> {
        let held = ProcessFd::open(proc, noted.process).ok()??;
        let is_it = held.is_session_leader();
        let process = Process::Adopted { held, is_terminating: false };
        is_it.then_some(StartCommand { process, began: noted.process.started, output_from: None })
    }

    /// The shell's number, which is also its session's and its process group's.
    pub fn pid(&self) -> Pid {
        match &self.process {
            Process::Own(task) => task.pid(),
            Process::Adopted { held, .. } => held.id().pid,
        }
    }

    fn is_terminating(&self) -> bool {
        match &self.process {
            Process::Own(task) => task.is_terminating(),
            Process::Adopted { is_terminating, .. } => *is_terminating,
        }
    }

    /// Nobody tells when one ends that is no child, nor when the rest of a process group has.
    pub fn ends_untold(&self) -> bool {
        self.is_terminating() || matches!(self.process, Process::Adopted { .. })
    }

    pub fn began(&self) -> Time {
        self.began
    }

    /// The task, if it is this watchdog's.
    pub fn task(&mut self) -> Option<&mut Task> {
        match &mut self.process {
            Process::Own(task) => Some(task),
            Process::Adopted { .. } => None,
        }
    }

    /// What becomes readable when it ends, where it is no child.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        match &self.process {
            Process::Own(_) | Process::Adopted { is_terminating: true, .. } => None,
            Process::Adopted { held, .. } => held.pidfd(),
        }
    }

    /// How it ended, if it has: then nothing is left of it but what it left behind. While it is being
    /// terminated, that is not before all of its process group has.
    pub fn end(&mut self, output: &OutputLog, proc: &Proc) -> Option<CommandEnd> {
        if self.is_terminating() && proc.is_group_alive(self.pid()) {
            return None;
        }
        let status = match &mut self.process {
            Process::Own(task) => task.ended()?.0,
            Process::Adopted { held, .. } if held.is_alive() => return None,
            Process::Adopted { .. } => None,
        };
        let said = self.output_from.map(|from| output.last_lines_since(from)).unwrap_or_default();
        Some(CommandEnd { status, took: now().saturating_sub(self.began), timeout: None, said })
    }

    /// Asks its process group to end.
    pub fn terminate(&mut self) {
        match &mut self.process {
            Process::Own(task) => return task.terminate(),
            Process::Adopted { is_terminating, .. } => *is_terminating = true,
        }
        self.signal(libc::SIGTERM);
    }

    /// Kills its process group. What hangs even then is waited for no longer than it hangs itself.
    pub fn kill(&mut self) {
        match &mut self.process {
            Process::Own(task) => return task.kill(),
            Process::Adopted { is_terminating, .. } => *is_terminating = false,
        }
        self.signal(libc::SIGKILL);
    }

    /// Sends a signal to its process group.
    pub fn signal(&self, signal: i32) {
        match &self.process {
            Process::Own(task) => task.signal(signal),
            // Once it has ended, its number may be a stranger's.
            Process::Adopted { held, .. } if held.is_alive() => {
                sys::kill(-held.id().pid, signal);
            }
            Process::Adopted { .. } => {}
        }
    }
}

/// Writes this process's number and when it began, in milliseconds of [`Time`], to `record`. Called between
/// fork and exec: makes system calls only, and does not allocate.
fn note_start(record: &File) -> io::Result<()> {
    let mut line = [0; 64];
    let mut rest = &mut line[..];
    // Without /proc, it is only just now.
    let began = own_start().unwrap_or_else(now);
    writeln!(rest, "{} {}", rustix::process::getpid(), began.as_millis())?;
    let length = 64 - rest.len();
    rustix::io::write(record, line.get(..length).unwrap_or_default())?;
    Ok(())
}
