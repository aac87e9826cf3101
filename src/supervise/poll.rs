//! The one place that waits: for signals, for processes to end, for what tasks write, or for a time.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Supervisor;
use super::start_command::StartCommand;
use crate::process::handle::Handle;
use crate::state::lock::Lock;
use crate::task::Task;
use crate::time::{Time, now};

/// Without memory to wait with, the watch goes on at this interval.
const PAUSE: Duration = Duration::from_millis(100);
/// Where something has a deadline; and without pidfds nothing tells that a process has ended.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What a wait may end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Signals,
    /// The followed process is dead.
    Process,
    /// The process that died has been reaped.
    Reaped,
    /// The start command of a watchdog before this one has ended.
    Adopted,
    /// A task has written something, or has closed its output.
    Output,
    /// Another watchdog of the name asks who has the lock.
    Contender,
}

/// Waits for so long, whatever happens: for what tells nobody when it is over.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Descriptors to wait for, each with its token.
#[derive(Default)]
struct Poll<'fd> {
    tokens: Vec<Token>,
    fds: Vec<PollFd<'fd>>,
}

impl<'fd> Poll<'fd> {
    fn add(&mut self, token: Token, fd: Option<BorrowedFd<'fd>>) {
        let Some(fd) = fd else { return };
        // A dead process's pidfd is readable at once, and hangs up when it has been reaped.
        let events = if token == Token::Reaped { PollFlags::empty() } else { PollFlags::IN };
        self.tokens.push(token);
        self.fds.push(PollFd::from_borrowed_fd(fd, events));
    }

    /// Waits for one of them, or until the time is up.
    fn wait(mut self, time: Duration) -> Vec<Token> {
        let time = Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        match poll(&mut self.fds, Some(&time)) {
            Ok(_) => {}
            Err(Errno::INTR) => return Vec::new(),
            Err(_) => pause(PAUSE),
        }
        let is_ready = |(token, fd): (Token, PollFd<'_>)| (!fd.revents().is_empty()).then_some(token);
        self.tokens.into_iter().zip(self.fds).filter_map(is_ready).collect()
    }
}

impl Supervisor {
    /// Waits until something happens, or it is `until`. What tasks write is read, and signs of life are
    /// sent meanwhile.
    pub(super) fn poll(&mut self, until: Time) -> Vec<Token> {
        self.poll_for(until, true)
    }

    fn poll_for(&mut self, until: Time, heeds_process: bool) -> Vec<Token> {
        let now = now();
        // In short waits, so that what is lost in them is noticed before it is held against a task.
        let deadline = self.tasks().iter().filter_map(|task| task.deadline()).min();
        let until = deadline.map_or(until, |deadline| until.min(deadline).min(now + LONGEST_WAIT));
        // What is overdue is for the loop, which may not be at it.
        let until = self.hooks.due().filter(|due| *due > now).map_or(until, |due| due.min(until));
        let time = until.saturating_sub(now).min(self.parts.service_manager.borrow_mut().keep_informed(now));
        let mut poll = Poll::default();
        poll.add(Token::Signals, Some(self.parts.signals.descriptor()));
        let followed = self.followed.as_ref().filter(|_| heeds_process);
        poll.add(Token::Process, followed.and_then(Handle::pidfd));
        poll.add(Token::Reaped, self.dying.as_ref().and_then(|dying| dying.followed.pidfd()));
        poll.add(Token::Adopted, self.command.as_ref().and_then(StartCommand::pidfd));
        let tasks = self.questions.tasks().chain(self.health.tasks()).chain(self.stops.tasks());
        for task in tasks.chain(&mut self.hooks.task) {
            poll.add(Token::Output, task.output_fd());
        }
        poll.add(Token::Contender, self.parts.lock.as_ref().and_then(Lock::descriptor));
        self.turn.begin(time);
        let ready = poll.wait(time);
        self.turn.begin(Duration::ZERO);
        if ready.contains(&Token::Output) {
            self.tasks().into_iter().for_each(Task::drain);
        }
        if ready.contains(&Token::Contender) && !self.parts.lock.as_ref().is_none_or(Lock::make_room) {
            // They are still there, and would end each wait.
            pause(PAUSE);
        }
        ready
    }

    /// Waits for what ends by itself or is being ended, until it `is_done` or it is `deadline`; which of
    /// both. Signals are for later.
    pub(super) fn wait_for(&mut self, deadline: Time, is_done: impl Fn(&mut Self) -> bool) -> bool {
        let mut heeds_process = true;
        let mut signals = Vec::new();
        let is_in_time = loop {
            self.child_changed = true;
            self.command_ended();
            self.reap();
            if is_done(self) {
                break true;
            }
            let now = now();
            if now >= deadline {
                break false;
            }
            let ready = self.poll_for(deadline.min(now + LONGEST_WAIT), heeds_process);
            // A dead process's pidfd would end each wait from now on.
            heeds_process &= !ready.contains(&Token::Process);
            if ready.contains(&Token::Signals) {
                signals.extend(self.parts.signals.pending().filter(|signal| *signal != libc::SIGCHLD));
            }
        };
        self.child_changed = true;
        for signal in signals.into_iter().filter_map(|signal| Signal::try_from(signal).ok()) {
            let _ = raise(signal);
        }
        is_in_time
    }

    /// All tasks at work.
    pub(super) fn tasks(&mut self) -> Vec<&mut Task> {
        let command = self.command.as_mut().and_then(StartCommand::task);
        let others = self.health.tasks().chain(self.stops.tasks()).chain(&mut self.hooks.task);
        command.into_iter().chain(self.questions.tasks()).chain(others).collect()
    }

    /// Reaps a child that could not be waited for when it had read; as process 1 whatever falls to it. What was followed
    /// has ended so.
    pub(super) fn reap(&mut self) {
        self.parts.proc.reap_reader();
        if std::process::id() == 1 {
            for (pid, status) in crate::task::reap_all(&mut self.tasks()) {
                self.was_reaped(pid, status);
            }
        }
    }
}
