//! A start: the start command, from the question whether it may run to its end.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::policy::Seen;
use crate::process::ProcessId;
use crate::process::descent::Descent;
use crate::process::scan::Proc;
use crate::process::termination::{Exit, signal_name};
use crate::report::event::{AttemptEvent, Event, Lasting};
use crate::report::log_lines::Worth;
use crate::settings::doubts::Doubts;
use crate::settings::program::{self, Place};
use crate::state::lock::NoLock;
use crate::state::said::Notice;
use crate::supervise::start_command::StartCommand;
use crate::supervise::{Parts, Questions, REAP_PATIENCE, Supervisor};
use crate::sys::is_shortage;
use crate::task::account::{Account, Login};
use crate::task::{NULL, Surroundings};
use crate::time::{Time, now};

/// How long a start waits for what is to be known before it: what is asked ends before that.
const LONGEST_PREPARATION: Duration = Duration::from_secs(3);

impl Supervisor {
    /// Whether this is the only watch of its name. Where somebody has cleared the state folder, or it is of no use any
    /// more, another may have begun since.
    pub(super) fn is_alone(&mut self) -> bool {
        let Parts { lock, record, settings, .. } = &mut self.parts;
        let Some(lock) = lock else { return true };
        // Nobody is waited for here: it is asked again.
        match lock.keep(&record.files, &settings.fingerprint()) {
            Ok(()) => self.parts.emit(Event::Over(Notice::Lock)),
            Err(NoLock::Busy(holder)) => {
                self.parts.emit(Lasting::LockLost(&holder));
                return false;
            }
            Err(error) => self.parts.emit(Lasting::NoLock(&error)),
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
        self.prepare_start();
        self.keep_output_to_limit();
        let output = self.parts.output.open();
        if let Err(error) = &output {
            self.parts.emit(Lasting::OutputUnwritable(error));
        }
        let attempt_at = self.policy.memory().last_attempt.unwrap_or_else(now);
        let note = match self.parts.record.files.new_start_note(attempt_at) {
            Ok(note) => Some(note),
            Err(error) => {
                self.parts.tell_kept(Err(error));
                None
            }
        };
        let settings = Rc::clone(&self.parts.settings);
        let command = &settings.criteria.start_command;
        // On a slow disk, all that took its time.
        let began = now();
        let run = StartCommand::run(command, self.surroundings(), output.ok(), note, began);
        let is_shortage = run.as_ref().is_err_and(is_shortage);
        if !is_shortage {
            self.facts.begin(attempt, began);
            self.parts.emit(Event::Over(Notice::Finished));
            self.parts.emit(AttemptEvent::Starting { attempt, command });
        }
        match run {
            Ok(command) => {
                self.refused = false;
                let leader = running(&self.parts.proc, &command);
                self.descent = Some(Descent::new(leader));
                self.parts.record.command(Some(leader));
                self.command = Some(command);
                Seen::Started
            }
            Err(error) => {
                if !is_shortage || !std::mem::replace(&mut self.refused, true) {
                    self.parts.emit(AttemptEvent::NotStarted { error: &error, is_shortage });
                }
                self.facts.attempt.not_run = (!is_shortage).then(|| error.to_string());
                if is_shortage { Seen::CommandRefused } else { Seen::CommandEnded }
            }
        }
    }

    /// Those of the start command, the stop command and probes.
    pub(super) fn surroundings(&mut self) -> Surroundings<'_> {
        if let Some(account) = self.account() {
            account.wait();
            // By the next time it may be known.
            if account.identity().is_err() {
                account.ask_again();
            }
        }
        let profile = &self.parts.settings.profile;
        let login = self.questions.login.get_or_insert_with(Login::look_up);
        let account = self.questions.account.as_ref();
        Surroundings { directory: &self.parts.directory, added: login.added(), profile, account }
    }

    /// Whom `run_as` means: that is asked here, unless it was before.
    pub(super) fn account(&mut self) -> Option<&mut Account> {
        let (run_as, account) = (self.parts.settings.profile.run_as.as_ref(), &mut self.questions.account);
        account.take_if(|account| Some(&account.run_as) != run_as);
        run_as.map(|run_as| account.get_or_insert_with(|| Account::look_up(run_as)))
    }

    /// What is to be known before a start command runs: what is doubtful about it, who it runs as, and whether
    /// all is there that it is given.
    fn prepare_start(&mut self) {
        self.questions.login.get_or_insert_with(Login::look_up);
        // The groups of a user may be others by now.
        self.account().map(Account::ask_again);
        self.wait_for(now() + LONGEST_PREPARATION, |watch| {
            let is_known = watch.hear_of_users();
            watch.tell_doubts() && is_known
        });
        match File::open(NULL) {
            Ok(_) => self.parts.emit(Event::Over(Notice::Null)),
            Err(error) => self.parts.emit(Lasting::NoNull(&error)),
        }
        let directory = self.parts.directory.clone();
        if self.parts.settings.profile.directory.is_some() {
            return;
        }
        if accessat(CWD, &directory, Access::EXEC_OK, AtFlags::EACCESS).is_ok() {
            self.parts.emit(Event::Over(Notice::Directory));
        } else {
            self.parts.emit(Lasting::NoDirectory(&directory));
        }
    }

    /// Takes what was asked about users, and is answered. Whether that is all.
    pub(super) fn hear_of_users(&mut self) -> bool {
        let Questions { login, account, .. } = &mut self.questions;
        let is_known = login.as_mut().is_none_or(Login::is_known);
        account.as_mut().is_none_or(Account::is_known) && is_known
    }

    /// Tells what is doubtful about the start command in time, but for a run that perhaps never needs it.
    pub(super) fn doubt_start_command(&mut self) {
        if !self.parts.settings.limits.once {
            self.tell_doubts();
            self.parts.report.flush(Worth::All);
        }
    }

    /// Tells what is doubtful about the start command, of the shell's doubts what it has said by now. Whether
    /// that is all.
    fn tell_doubts(&mut self) -> bool {
        let Parts { settings, directory, .. } = &self.parts;
        let start_command = &settings.criteria.start_command;
        if self.questions.doubts.is_none() {
            let place = Place::new(&settings.profile, directory);
            let doubt = program::doubt("start command", start_command, &place);
            let of_others = settings.doubt_other_programs(directory);
            self.questions.doubts = Some(Doubts::begin(start_command, &place));
            self.parts.emit(Event::of_doubt(Notice::Program, doubt.as_deref()));
            self.parts.emit(Event::of_doubt(Notice::OtherPrograms, of_others.as_deref()));
        }
        if let Some(doubt) = self.questions.doubts.as_mut().and_then(Doubts::answer) {
            self.parts.emit(Event::of_doubt(Notice::StartCommand, doubt.as_deref()));
        }
        self.questions.doubts.as_ref().is_none_or(Doubts::is_answered)
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
        let has_changed = std::mem::take(&mut self.child_changed);
        let command = self.command.as_mut().filter(|command| has_changed || command.ends_untold())?;
        let end = command.end(&self.parts.output, &self.parts.proc)?;
        // What stayed with its shell, or in its place, has a record of its own.
        let pid = self.command.take().map_or(0, |command| command.pid());
        let is_process = match end.status {
            Some(status) => self.was_reaped(pid, status) || self.is_echo(status),
            None => self.followed.as_ref().is_some_and(|followed| followed.info().pid == pid),
        };
        // Orphans that have ended behind it.
        self.reap();
        self.parts.record.command(None);
        self.parts.emit(AttemptEvent::CommandEnded { end: &end, is_process });
        self.facts.attempt.is_quoted = !is_process && !end.is_well();
        self.facts.attempt.command = Some(end);
        Some(Seen::CommandEnded)
    }

    /// Whether a shell that stayed with the process says no more than how that ended a moment ago.
    fn is_echo(&mut self, status: ExitStatus) -> bool {
        let just_now = |at: Time| now().saturating_sub(at) < REAP_PATIENCE;
        if self.stops.ended.is_some_and(just_now) {
            return true;
        }
        match &mut self.dying {
            Some(dying) if just_now(dying.at) => match dying.followed.exit() {
                Some(Exit::Ended(process)) => {
                    is_echo_of(process.code(), process.signal().map(signal_name).as_deref(), status)
                }
                _ => false,
            },
            _ => self.parts.record.state.last_exit.as_ref().is_some_and(|exit| {
                just_now(exit.at_ms) && is_echo_of(exit.status, exit.signal.as_deref(), status)
            }),
        }
    }

    pub(super) fn keep_output_to_limit(&mut self) {
        if let Err(error) = self.parts.output.keep_to_limit() {
            self.parts.emit(Lasting::OutputTooLong(&error));
        }
    }
}

/// A start command at work, as it is told from others later.
pub(super) fn running(proc: &Proc, command: &StartCommand) -> ProcessId {
    let pid = command.pid();
    proc.id(pid).unwrap_or(ProcessId { pid, started: command.began() })
}

/// Whether a shell ended as one does whose last command ended with this status, or by this signal
/// (POSIX.1-2017, XCU 2.8.2: more than 128; in Linux's shells, 128 and its number).
fn is_echo_of(code: Option<i32>, signal: Option<&str>, shell: ExitStatus) -> bool {
    shell.code().is_some_and(|shell| code == Some(shell) || signal == Some(&signal_name(shell - 128)))
}
