//! The hook: who tells people what happened. It runs beside the watch, one at a time, and delays nothing.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::hold::Hold;
use crate::process::ProcessId;
use crate::report::event::HookFailure;
use crate::report::hook::{environment, keyword, message};
use crate::report::log_lines::Worth;
use crate::settings::Settings;
use crate::state::Files;
use crate::state::owed::{Heard, Owed, Position, Report, Telling, hook_at_work};
use crate::supervise::Supervisor;
use crate::sys::is_shortage;
use crate::task::account::Login;
use crate::task::{self, CommandEnd, Output, Task};
use crate::text::last_lines;
use crate::time::{Time, now};

/// How long a hook may take.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a watch that ends by itself waits for its hook.
const LAST_WAIT: Duration = TIMEOUT;
/// How often it is tried again what could not be done just now.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the search for keywords may take at a time.
const SEARCH: Duration = Duration::from_millis(50);
/// So much is kept of what is heard while another run tells.
const MOST_KEPT: usize = 100;
/// So many lines of a hook's output are quoted.
const QUOTED: usize = 3;

/// What the loop knows of the hook.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    pub(super) owed: Owed,
    /// As it was written last.
    written: Owed,
    /// Once this run may tell.
    telling: Option<Telling>,
    /// What was heard while another run tells, and whether something held the instance then.
    kept: Vec<(Heard, bool)>,
    pub(super) task: Option<Task>,
    /// What could not be done is tried again then.
    again: Option<Time>,
    /// There was no room for a hook.
    refused: bool,
    /// A hook that a run before this one has left.
    left: Option<ProcessId>,
    /// How far the output log has been read.
    read: Option<Position>,
    /// Nothing but the hook is waited for.
    is_last: bool,
}

impl Hooks {
    /// When there is something to do, if nothing happens before.
    pub(super) fn due(&self) -> Option<Time> {
        self.owed.due().into_iter().chain(self.again).min()
    }

    /// The hook of another run.
    pub(super) fn of_another(&self, files: &Files) -> Option<ProcessId> {
        if self.telling.as_ref().is_some_and(Telling::is_kept) { self.left } else { hook_at_work(files) }
    }

    fn has_told_all(&self) -> bool {
        self.kept.is_empty() && self.owed.next().is_none() && self.owed.due().is_none_or(|due| !due.is_zero())
    }
}

/// Runs `hook` for a report, with what `added` has to the environment of tasks.
///
/// # Errors
/// No child could be created.
pub fn run(
    hook: &str,
    report: &Report,
    settings: &Settings,
    directory: &Path,
    added: &[(&'static str, std::ffi::OsString)],
) -> io::Result<Task> {
    let directory = CString::new(directory.as_os_str().as_bytes())?;
    let mut command = task::shell(hook);
    command.envs(added.iter().map(|(name, value)| (name, value))).envs(environment(report, settings));
    let input = task::input(&message(report, settings))?;
    Task::run_with(input, command, Output::CapturedWithErrors, Some(TIMEOUT), move || {
        // If it is gone, people are to be told all the same.
        let _ = rustix::process::chdir(&directory);
        Ok(())
    })
}

/// How a hook ended.
pub fn end(task: &Task) -> CommandEnd {
    task.end(last_lines(&task.output(), QUOTED).into_iter().map(str::to_owned).collect())
}

impl Supervisor {
    /// Takes up what was heard, and sees to the hook.
    pub(super) fn tend_hook(&mut self) {
        let now = now();
        self.hook_ended();
        if self.hear(now) {
            self.run_hook(now);
            self.write_owed();
        }
        self.parts.report.flush(Worth::All);
    }

    /// Takes up what was heard. Whether people can be told of it now.
    fn hear(&mut self, now: Time) -> bool {
        let heard = self.parts.report.take_heard();
        if self.parts.settings.hook.is_none() {
            if self.hooks.task.is_none() {
                self.hooks = Hooks::default();
            }
            return false;
        }
        let is_due = |owed: &Owed| owed.due().is_some_and(|due| now >= due);
        let is_held = (!heard.is_empty() || is_due(&self.hooks.owed)) && self.is_silent();
        self.hooks.kept.extend(heard.into_iter().map(|heard| (heard, is_held)));
        if !self.may_tell(now) {
            let too_many = self.hooks.kept.len().saturating_sub(MOST_KEPT);
            self.hooks.kept.drain(..too_many);
            return false;
        }
        let settings = Rc::clone(&self.parts.settings);
        let Hooks { owed, kept, is_last, .. } = &mut self.hooks;
        let wanted = &settings.hook_events;
        // Without the lock, the state is not this run's any more.
        while !*is_last && owed.failed > 0 {
            owed.failed -= 1;
            self.parts.record.count(|counters| &mut counters.hook_failures);
        }
        for (mut heard, is_held) in std::mem::take(kept) {
            if let Some(report) = heard.report().filter(|report| owed.may_tell(report)) {
                report.output = self.parts.output.end();
            }
            owed.hear(heard, wanted, is_held, now);
        }
        while is_due(owed) {
            owed.come_due(wanted, is_held, now);
        }
        for event in std::mem::take(&mut owed.dropped) {
            self.parts.emit(HookFailure::Dropped(event));
        }
        true
    }

    /// While somebody has the process paused or stopped, or it is outside its hours, nobody is told of it.
    fn is_silent(&mut self) -> bool {
        self.look_for_holds(false);
        self.holds.iter().any(|held| match held.hold {
            Hold::Paused | Hold::Stopped | Hold::Upgrading | Hold::Hours => true,
            Hold::Version | Hold::Dependency | Hold::Finished | Hold::Shutdown => false,
        })
    }

    /// Whether this run tells. While another one does, it is asked again.
    fn may_tell(&mut self, now: Time) -> bool {
        let (hooks, files) = (&mut self.hooks, &self.parts.record.files);
        if hooks.telling.is_some() {
            return true;
        }
        if hooks.again.is_some_and(|again| now < again) {
            return false;
        }
        hooks.telling = Telling::ask(files);
        let Some(telling) = &hooks.telling else {
            hooks.again = Some(now + AGAIN);
            return false;
        };
        hooks.owed = telling.read(files, now);
        hooks.written = hooks.owed.clone();
        hooks.left = hooks.owed.hook;
        hooks.read = hooks.read.or(hooks.owed.read.filter(|_| self.parts.settings.limits.once));
        hooks.again = None;
        true
    }

    /// Whether the hook has ended, and how.
    fn hook_ended(&mut self) {
        let Some(task) = self.hooks.task.take_if(|task| task.ended().is_some()) else { return };
        let (end, told) = (end(&task), self.hooks.owed.is_told());
        if let Some(Report { event, .. }) = told.filter(|_| !end.is_well()) {
            self.hooks.owed.failed = self.hooks.owed.failed.saturating_add(1);
            self.parts.emit(HookFailure::Ended { event, end: &end });
        }
    }

    fn run_hook(&mut self, now: Time) {
        if self.hooks.task.is_some() || self.hooks.again.is_some_and(|again| now < again) {
            return;
        }
        self.hooks.again = None;
        // That of a watchdog that was killed has its time too: there is one at a time.
        let is_at_work = |left: ProcessId| now < left.started + TIMEOUT && self.parts.proc.is_alive(left);
        if self.hooks.owed.next().is_some() && self.hooks.left.is_some_and(is_at_work) {
            self.hooks.again = Some(now + AGAIN);
            return;
        }
        let settings = Rc::clone(&self.parts.settings);
        let (Some(hook), Some(report)) = (&settings.hook, self.hooks.owed.next()) else { return };
        let login = self.questions.login.get_or_insert_with(Login::look_up);
        match run(hook, report, &settings, &self.parts.directory, login.added()) {
            Ok(task) => {
                self.hooks.refused = false;
                self.hooks.owed.hook = self.parts.proc.id(task.pid());
                self.hooks.task = Some(task);
            }
            Err(error) => {
                let (event, is_shortage) = (report.event, is_shortage(&error));
                self.hooks.again = Some(now + AGAIN);
                if !is_shortage {
                    self.hooks.owed.is_told();
                    self.hooks.owed.failed = self.hooks.owed.failed.saturating_add(1);
                }
                if !is_shortage || !std::mem::replace(&mut self.hooks.refused, true) {
                    self.parts.emit(HookFailure::NotRun { event, error: &error, is_shortage });
                }
            }
        }
    }

    /// What is owed is written before the next wait. Where that cannot be, no other run will know of it.
    fn write_owed(&mut self) {
        let Hooks { owed, written, telling, .. } = &mut self.hooks;
        if owed == written {
            return;
        }
        // Somebody has cleared the state folder.
        if telling.as_ref().is_some_and(Telling::is_gone) {
            *telling = Telling::ask(&self.parts.record.files);
        }
        if telling.as_ref().is_some_and(|telling| telling.write(owed).is_ok()) {
            written.clone_from(owed);
        }
    }

    /// Looks for new lines of the output log that people want to be told of.
    pub(super) fn read_keywords(&mut self) {
        let settings = Rc::clone(&self.parts.settings);
        if settings.output_pattern.is_empty() {
            self.hooks.read = None;
            return;
        }
        let now = now();
        // What a run before this one has read is known when this one may tell.
        let may_tell = !settings.limits.once || self.may_tell(now);
        if !may_tell {
            return;
        }
        let output = &self.parts.output;
        let read = self.hooks.read.get_or_insert_with(|| output.position());
        let mut found = None;
        let mut more = 0_u32;
        output.new_lines(read, |line| {
            if settings.output_pattern.iter().any(|pattern| pattern.matches(line)) {
                if found.is_none() {
                    found = Some(String::from_utf8_lossy(line).trim_end().to_owned());
                } else {
                    more = more.saturating_add(1);
                }
            }
            crate::time::now() < now + SEARCH
        });
        let read = *read;
        if settings.limits.once {
            self.hooks.owed.read = Some(read);
        }
        if let Some(line) = found {
            let is_held = self.is_silent();
            self.hooks.kept.push((Heard::Aside(keyword(&line, now)), is_held));
            if more > 0 && !is_held {
                self.hooks.kept.push((Heard::More(more), is_held));
            }
        }
    }

    /// The watch ends, and waits for nothing: what people are still to be told the next run tells them.
    pub(super) fn leave_hook(&mut self) {
        self.hear(now());
        if let Some(mut task) = self.hooks.task.take() {
            task.kill();
            self.hooks.owed.hook = None;
        }
        self.write_owed();
    }

    /// Waits until people have been told all that they are to know. What is left the next run tells them.
    pub(super) fn tell_the_rest(&mut self) {
        // Nothing else is waited for any more.
        (self.command, self.followed, self.dying, self.hooks.is_last) = (None, None, None, true);
        if !self.parts.settings.limits.once {
            self.hooks.owed.hurry();
        }
        let deadline = now() + LAST_WAIT;
        loop {
            self.tend_hook();
            if self.hooks.has_told_all() || now() >= deadline {
                break;
            }
            self.poll(deadline);
            let is_ended = self.parts.signals.pending().any(|it| [libc::SIGTERM, libc::SIGINT].contains(&it));
            self.reap();
            if is_ended {
                break;
            }
        }
        self.leave_hook();
        for (mut heard, _) in std::mem::take(&mut self.hooks.kept) {
            if let Some(event) = heard.report().map(|report| report.event) {
                self.parts.emit(HookFailure::Dropped(event));
            }
        }
        self.parts.report.flush(Worth::All);
    }
}
