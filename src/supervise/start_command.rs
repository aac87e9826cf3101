//! Run a start command, and watch over it.

use crate::task::CommandEnd;
use crate::task::environment::{NOT_INHERITED, complete_path};
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};

use crate::fs::read_file;
use crate::log::output::OutputLog;
use crate::process::handle::{Held, open_pidfd};
use crate::process::scan::Proc;
use crate::sys::{self, Pid};
use crate::time::Time;

/// How far the start that a command noted of itself may be from what the kernel says: two ticks, should it
/// not have been able to ask the kernel. Whoever gets its number later has started later.
const SAME_START: Duration = Duration::from_millis(20);

/// A start command at work.
#[derive(Debug)]
pub struct StartCommand {
    process: Process,
    began: Time,
    /// How long the output log was when it began, if that is known.
    output_from: Option<u64>,
    /// It is being ended, and must stay unreaped until the last signal is sent: until then its number
    /// is no stranger's.
    stopping: bool,
}

#[derive(Debug)]
enum Process {
    /// Ours to wait for.
    Child(Child),
    /// Of a watchdog before this one.
    Adopted(Held),
}

/// What the last start command has noted of itself, whatever became of the watchdog that ran it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartRecord {
    /// The attempt, by its time.
    pub attempt: Time,
    /// The command's process.
    pub pid: Pid,
    /// When that began.
    pub began: Time,
}

impl StartRecord {
    /// Reads `note`, if it is of the boot `boot_id`.
    pub fn read(note: &Path, boot_id: &str) -> Option<Self> {
        let note = read_file(note).ok()?;
        let mut words = note.split_ascii_whitespace();
        if boot_id.is_empty() || words.next() != Some(boot_id) {
            return None;
        }
        let attempt = Time::from_millis(words.next()?.parse().ok()?);
        let pid = words.next()?.parse().ok()?;
        let began = Time::from_millis(words.next()?.parse().ok()?);
        Some(StartRecord { attempt, pid, began })
    }
}

impl StartCommand {
    /// Runs `text` in a shell, with its output appended to `output`. The shell notes its number and start
    /// in `note` before it does anything.
    ///
    /// # Errors
    /// The shell could not be started.
    pub fn run(text: &str, output: Option<File>, note: Option<File>, now: Time) -> io::Result<Self> {
        let output_from = output.as_ref().and_then(|file| file.metadata().ok()).map(|file| file.len());
        let stdout =
            output.as_ref().and_then(|file| file.try_clone().ok()).map_or_else(Stdio::null, Stdio::from);
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(text).stdin(Stdio::null()).stdout(stdout);
        command.stderr(output.map_or_else(Stdio::null, Stdio::from));
        command.env("PATH", complete_path(std::env::var_os("PATH").as_deref()));
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        sys::detach(&mut command, note);
        let process = Process::Child(command.spawn()?);
        Ok(StartCommand { process, began: now, output_from, stopping: false })
    }

    /// The start command that a watchdog before this one ran and that is still at work, if the one that
    /// `noted` itself is. To be asked with the instance's lock held: between fork and exec, the command
    /// holds it too.
    pub fn adopt(noted: StartRecord, proc: &Proc) -> Option<Self> {
        let StartRecord { pid, began, .. } = noted;
        let held = Held::of(proc, pid, open_pidfd)?;
        // The number may be another's by now.
        let is_same = held.is_session_leader() && held.started().abs_diff(began) < SAME_START;
        (is_same && held.is_alive()).then_some(StartCommand {
            process: Process::Adopted(held),
            began,
            output_from: None,
            stopping: false,
        })
    }

    /// The shell's number, which is also its session's and its process group's.
    pub fn pid(&self) -> Pid {
        match &self.process {
            Process::Child(child) => child.id().cast_signed(),
            Process::Adopted(held) => held.pid(),
        }
    }

    /// Whether it is being ended, and so not to be waited for.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether it is another watchdog's.
    pub fn is_adopted(&self) -> bool {
        matches!(self.process, Process::Adopted(_))
    }

    /// When it began.
    pub fn began(&self) -> Time {
        self.began
    }

    /// What becomes readable when it ends, where it is no child.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        match &self.process {
            Process::Child(_) => None,
            Process::Adopted(held) => held.pidfd(),
        }
    }

    /// How it ended, if it has: then nothing is left of it but what it left behind. While it is being ended,
    /// that is not before all of its process group has.
    pub fn end(&mut self, now: Time, output: Option<&OutputLog>, proc: &Proc) -> Option<CommandEnd> {
        if self.stopping && proc.lives_any_of(self.pid()) {
            return None;
        }
        let status = match &mut self.process {
            Process::Child(child) => Some(child.try_wait().ok().flatten()?),
            Process::Adopted(held) if held.is_alive() => return None,
            Process::Adopted(_) => None,
        };
        let said = output.zip(self.output_from).map(|(output, from)| output.last_lines_since(from));
        let said = said.unwrap_or_default();
        Some(CommandEnd { status, took: now.saturating_sub(self.began), said })
    }

    /// Asks its process group to end.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.signal(Signal::SIGTERM);
    }

    /// Kills its process group.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        // What hangs even then is waited for no longer.
        self.stopping = false;
    }

    /// Sends a signal to its process group.
    pub fn signal(&self, signal: Signal) {
        // Once one that is no child has ended, its number may be a stranger's.
        let is_its = match &self.process {
            Process::Child(_) => true,
            Process::Adopted(held) => held.is_alive(),
        };
        if is_its {
            // The group may be empty but for the unreaped shell.
            let _ = killpg(nix::unistd::Pid::from_raw(self.pid()), signal);
        }
    }
}
