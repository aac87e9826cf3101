//! A start: the start command, from the question whether it may run to its end.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::policy::Seen;
use crate::process::ProcessId;
use crate::process::scan::Proc;
use crate::process::termination::{Exit, ExitQuery, signal_name};
use crate::state::lock::{Lock, Locking};
use crate::supervise::start_command::StartCommand;
use crate::supervise::{Parts, REAP_PATIENCE, Supervisor};
use crate::sys::is_shortage;
use crate::time::{Time, now};

impl Supervisor {
    /// Whether anybody wants the process left alone: asked immediately before each start.
    pub(super) fn may_start(&mut self) -> bool {
        let now = now();
        let (may_start, resumed) = self.parts.record.may_start(now, &mut self.parts.report);
        if resumed.is_some() {
            self.parts.report.resumed();
            self.policy.forget(now);
        }
        may_start && self.is_alone()
    }

    /// Whether this is the only watch of its name. Where somebody has cleared the state folder, another may
    /// have begun since.
    pub(super) fn is_alone(&mut self) -> bool {
        if self.parts.lock.as_ref().is_none_or(Lock::is_in_place) {
            return true;
        }
        let Parts { settings, record, report, lock, .. } = &mut self.parts;
        let folder = record.files().folder();
        // Nobody is waited for here: it is asked again.
        match Lock::take(folder, &settings.name, &settings.fingerprint(), |_| true) {
            Ok(Locking::Held(new)) => {
                *lock = Some(new);
                report.has_lock();
            }
            Ok(Locking::Busy(holder)) => {
                report.lost_lock(&holder);
                return false;
            }
            Err(error) => report.no_lock(folder, &error),
        }
        true
    }

    /// Where somebody has cleared the state folder, lock and state are made anew.
    pub(super) fn look_after_files(&mut self) {
        if self.is_alone() {
            self.parts.record.look_after_file();
        }
    }

    pub(super) fn start(&mut self, attempt: u32) -> Seen {
        self.keep_output_to_limit();
        let output = self.parts.output.open();
        if let Err(error) = &output {
            let path = self.parts.output.path().display();
            let text = format!(
                "the output log {path} cannot be written ({error}); what the start command writes is lost"
            );
            self.parts.report.trouble("output-open", &text);
        }
        let attempt_at = self.policy.memory().last_attempt.unwrap_or_else(now);
        let note = self.parts.record.files().new_start_note(attempt_at);
        if let Err(error) = &note {
            self.parts.report.no_state(self.parts.record.files().folder(), error);
        }
        // On a slow disk, all that took its time.
        let began = now();
        match StartCommand::run(&self.parts.settings.criteria.start_command, output.ok(), note.ok(), began) {
            Ok(command) => {
                self.refused = false;
                self.session = command.pid();
                self.parts.record.command(Some(running(&self.parts.proc, &command)));
                self.command = Some(command);
                self.parts.report.started(attempt, began);
                Seen::Started
            }
            Err(error) if is_shortage(&error) => {
                if !std::mem::replace(&mut self.refused, true) {
                    self.parts.report.not_started(&error, true);
                }
                Seen::CommandRefused
            }
            Err(error) => {
                self.parts.report.started(attempt, began);
                self.parts.report.not_started(&error, false);
                Seen::CommandEnded
            }
        }
    }

    pub(super) fn with_command(&mut self, act: fn(&mut StartCommand)) -> Seen {
        match &mut self.command {
            Some(command) => {
                act(command);
                self.child_changed = true;
                Seen::Nothing
            }
            None => Seen::CommandEnded,
        }
    }

    /// Whether the start command has ended.
    pub(super) fn command_ended(&mut self) -> Option<Seen> {
        // Nobody tells when one ends that is no child, nor when the rest of a process group has.
        let is_untold = |command: &StartCommand| command.is_adopted() || command.is_terminating();
        if !std::mem::take(&mut self.child_changed) && !self.command.as_ref().is_some_and(is_untold) {
            return None;
        }
        let end = self.command.as_mut()?.end(now(), &self.parts.output, &self.parts.proc)?;
        // What stayed with its shell, or in its place, has a record of its own.
        let pid = self.command.take().map_or(0, |command| command.pid());
        let is_process = match end.status {
            Some(status) => self.was_reaped(pid, status) || self.is_echo(status),
            None => self.followed.as_ref().is_some_and(|followed| followed.seen().pid == pid),
        };
        // Orphans that have ended behind it.
        self.reap();
        self.parts.record.command(None);
        self.parts.record.command_ended(&end, now());
        self.parts.report.command_ended(end, is_process);
        Some(Seen::CommandEnded)
    }

    /// Whether a shell that stayed with the process says no more than how that ended a moment ago.
    fn is_echo(&mut self, status: ExitStatus) -> bool {
        let just_now = |at: Time| now().saturating_sub(at) < REAP_PATIENCE;
        match &mut self.dying {
            Some(dying) if just_now(dying.at) => match dying.followed.how() {
                ExitQuery::Now(Exit::Ended(process)) => {
                    is_echo_of(process.code(), process.signal().map(signal_name).as_deref(), status)
                }
                _ => false,
            },
            _ => self.parts.record.state().last_exit.as_ref().is_some_and(|exit| {
                just_now(exit.at_ms) && is_echo_of(exit.status, exit.signal.as_deref(), status)
            }),
        }
    }

    pub(super) fn keep_output_to_limit(&mut self) {
        if let Err(error) = self.parts.output.keep_to_limit() {
            let path = self.parts.output.path().display();
            let text = format!("the output log {path} could not be kept to its limit: {error}");
            self.parts.report.trouble("output", &text);
        }
    }
}

/// A start command at work, as it is told from others later.
pub(super) fn running(proc: &Proc, command: &StartCommand) -> ProcessId {
    let pid = command.pid();
    ProcessId { pid, started_ms: proc.started(pid).unwrap_or_else(|| command.began()) }
}

/// Whether a shell ended as one does whose last command ended with this status, or by this signal
/// (POSIX.1-2017, XCU 2.8.2: more than 128; in Linux's shells, 128 and its number).
fn is_echo_of(code: Option<i32>, signal: Option<&str>, shell: ExitStatus) -> bool {
    shell.code().is_some_and(|shell| code == Some(shell) || signal == Some(&signal_name(shell - 128)))
}
