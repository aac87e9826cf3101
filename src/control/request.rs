//! `start`, `stop` and `restart`: a request to the watchdog at work, or what can be done without one.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal, test_kill_process};

use super::Failure;
use super::instances::{Asked, Known};
use super::pause::unwritten;
use crate::exit::ExitCode;
use crate::hold::{Held, Hold};
use crate::input::{config_file, resolve};
use crate::log::Stderr;
use crate::policy::{Answer, Life, NotDone, Request};
use crate::process::StoredProcess;
use crate::process::handle::ProcessFd;
use crate::process::scan::{Proc, Unknown};
use crate::report::words::held as held_words;
use crate::settings::{Settings, template};
use crate::state::request::{MadeRequest, Progress, Reply};
use crate::state::{Files, State, Unread};
use crate::supervise::poll::pause;
use crate::sys::{PROC, Pid};
use crate::text::span;
use crate::time::{Time, now};

/// How often it is asked whether there is an answer.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a watchdog may take to look at a request, or to answer beyond the time that it has said.
const TAKE_PATIENCE: Duration = Duration::from_secs(30);
/// How long a `--once` run is waited for, and a process that was asked to end.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// Whoever checks by `--once` does so within this time.
const LATELY: Duration = Duration::from_secs(120);
/// How often a watchdog may end, or another begin, while one is asked.
const MOST_ROUNDS: usize = 5;

/// What came of it, in a line.
type Outcome = Result<String, Failure>;

/// Asks for the same of each of the instances, one after the other, and says what came of it.
pub fn ask(request: Request, asked: Asked, stderr: &mut Stderr) -> Result<ExitCode, Failure> {
    let proc = Proc::new(Path::new(PROC)).map_err(|unknown| Failure::new(ExitCode::CannotTell, unknown.0))?;
    asked.each(&asked.known(), stderr, |Known { files, .. }| {
        Asker { request, asked, files, proc: &proc, since: now() }.carry_out()
    })
}

/// Whoever asks for something of an instance.
struct Asker<'a> {
    request: Request,
    asked: Asked<'a>,
    files: &'a Files,
    proc: &'a Proc,
    /// When it was asked for.
    since: Time,
}

impl Asker<'_> {
    fn carry_out(&self) -> Outcome {
        for _ in 0..MOST_ROUNDS {
            let Some((state, watchdog)) = self.at_work()? else { return self.carry_out_alone() };
            let pid = watchdog.id().pid;
            if state.once {
                // It ends by itself.
                if !ends(&watchdog, END_PATIENCE) {
                    return not_done(format!("a --once run (pid {pid}) is still at work: try again later"));
                }
            } else if !state.takes_requests {
                return not_done(format!(
                    "its watchdog (pid {pid}) is of a version that takes no requests: start that watchdog again"
                ));
            } else {
                self.prepare()?;
                if let Some(reply) = self.ask_watchdog(&watchdog)? {
                    return self.outcome(reply, Some(pid));
                }
            }
        }
        not_done("its watchdog ends whenever it is asked")
    }

    /// Who watches the instance now, and what that has written.
    fn at_work(&self) -> Result<Option<(State, ProcessFd)>, Failure> {
        let state = self.state()?;
        let Some((state, id)) = state.and_then(|state| state.watchdog.map(|id| (state, id))) else {
            return Ok(None);
        };
        let held = ProcessFd::open(self.proc, id).map_err(|unknown| failed(unknown.0))?;
        Ok(held.map(|held| (state, held)))
    }

    /// The state, if there is one of this boot that can be used.
    fn state(&self) -> Result<Option<State>, Failure> {
        match self.files.state_of_this_boot() {
            Ok(state) => Ok(state),
            Err(Unread::Foreign(_)) => Ok(None),
            Err(Unread::Failed(error)) => Err(refused(&error, format!("its state cannot be read: {error}"))),
        }
    }

    /// Ends the holds of people, or holds it stopped: before anything is done, so that whoever looks meanwhile
    /// does nothing else.
    fn prepare(&self) -> Result<(), Failure> {
        if self.files.is_overruled(self.request == Request::Stop, self.since) {
            return Err(failed("nothing was done, since another request came after this one"));
        }
        let now = now();
        let is_named = self.asked.names().any(|name| name == self.files.name);
        let written = match self.request {
            Request::Stop => self.files.say(Some(&Held::new(Hold::Stopped, None)), now),
            Request::Start | Request::Restart => self.files.end_holds(is_named, now),
        };
        written.map_err(|error| self.unwritten(&error))?;
        let is_upgrading = self.files.holds(now).first().is_some_and(|held| held.hold == Hold::Upgrading);
        if is_upgrading && self.request != Request::Stop {
            let command = if self.request == Request::Start { "start" } else { "restart" };
            return Err(failed(format!(
                "nothing was done, since packages are being upgraded; '{}' does it all the same",
                self.asked.order(command, &self.files.name)
            )));
        }
        Ok(())
    }

    fn unwritten(&self, error: &io::Error) -> Failure {
        refused(error, unwritten(&self.files.folder, error))
    }

    /// What the watchdog answers; nothing if it ends without an answer.
    fn ask_watchdog(&self, watchdog: &ProcessFd) -> Result<Option<Reply>, Failure> {
        let made = self.files.ask(self.request).map_err(|error| self.unwritten(&error))?;
        // Where there are no pidfds, it finds the request at its next check.
        let woken = watchdog.pidfd().map(|pidfd| pidfd_send_signal(pidfd, Signal::USR1));
        if woken == Some(Err(Errno::PERM)) {
            let line = format!("its watchdog (pid {}) is another user's", watchdog.id().pid);
            return Err(Failure::new(ExitCode::NoPermission, line));
        }
        let reply = await_reply(&made, Some(now() + TAKE_PATIENCE), || !watchdog.is_alive());
        reply.map_err(|waited| {
            let (pid, waited) = (watchdog.id().pid, span(waited));
            failed(format!("its watchdog (pid {pid}) has not answered for {waited}, and is asked no longer"))
        })
    }

    fn carry_out_alone(&self) -> Outcome {
        match (self.configuration()?, self.request) {
            (Some((file, settings)), _) => self.carry_out_by_run(&file, &settings),
            (None, Request::Stop) => {
                let process = self.process()?;
                may_signal(process.as_ref())?;
                self.prepare()?;
                if self.state()?.is_none() {
                    let detail = Some("nothing has looked for it since boot".to_owned());
                    return self.outcome(Reply { answer: Answer::Failed(NotDone::CannotTell), detail }, None);
                }
                let answer = process.map_or(Ok(Answer::Done), |process| self.stop(&process))?;
                self.outcome(answer.into(), None)
            }
            (None, Request::Start | Request::Restart) => self.leave_to_next_run(),
        }
    }

    /// The configuration file of this instance, if there is one.
    fn configuration(&self) -> Result<Option<(PathBuf, Settings)>, Failure> {
        let file = config_file::of(self.files.name.to_string().as_ref(), self.asked.user);
        if !template::is_there(&file) {
            return Ok(None);
        }
        let settings = resolve::of_file(&file, self.asked.user)?;
        // One that says so is of another instance.
        let is_ours = settings.name == self.files.name && settings.dirs.state == self.files.folder;
        Ok(is_ours.then_some((file, settings)))
    }

    /// A `--once` run takes the request as any watchdog does.
    fn carry_out_by_run(&self, file: &Path, settings: &Settings) -> Outcome {
        self.prepare()?;
        let made = self.files.ask(self.request).map_err(|error| self.unwritten(&error))?;
        let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
        let mut run = Command::new(program);
        run.args(["--once", "--no-input", "-q", "--config"]).arg(file);
        if settings.limits.max_fail_count.is_none() {
            run.args(["--max-fail-count", "3"]);
        }
        let spawned = run.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut run: Child = spawned.map_err(|error| failed(format!("no run could be started: {error}")))?;
        let has_ended = || run.try_wait().is_ok_and(|status| status.is_some());
        let reply = await_reply(&made, None, has_ended).ok().flatten();
        let status = run.wait().ok().and_then(|status| status.code());
        let reply = reply.unwrap_or_else(|| match (self.request, status) {
            (Request::Start, Some(0)) => Answer::Done.into(),
            (Request::Start, Some(1)) => Answer::Failed(NotDone::NotStarted).into(),
            (Request::Start | Request::Stop | Request::Restart, status) => Reply {
                answer: Answer::Failed(NotDone::CannotTell),
                detail: status.map(|status| format!("the run for it has ended with status {status}")),
            },
        });
        self.outcome(reply, None)
    }

    /// Without a configuration, only somebody else's `--once` runs know the start command.
    fn leave_to_next_run(&self) -> Outcome {
        let is_late = |state: &State| now().saturating_sub(self.files.checked(state)) > LATELY;
        let state = self.state()?;
        if state.as_ref().is_none_or(|state| !state.once || is_late(state)) {
            let is_begun = state.is_some_and(|state| state.memory.stopping.is_some());
            let what = if is_begun {
                "its watchdog has ended in the middle of it,"
            } else {
                "nothing was done, since nobody watches it"
            };
            return not_done(format!(
                "{what} and there is no configuration file of it: start its watchdog, or write {}",
                self.asked.user.config_folder().join(format!("{}.toml", self.files.name)).display()
            ));
        }
        // Such a run knows nothing of this request.
        let process = self.process()?;
        let would_start = process.is_none() || self.request == Request::Restart;
        let held = state.and_then(|state| state.held).filter(|held| held.is_in_force(now()));
        if let Some(held) = held.filter(|_| would_start) {
            let why = held_words(&held);
            return not_done(format!("nothing was done, since the next --once run is held too: {why}"));
        }
        if self.request == Request::Restart {
            may_signal(process.as_ref())?;
        }
        self.prepare()?;
        match process {
            Some(process) if self.request == Request::Start => Ok(running(&process)),
            Some(process) => match self.stop(&process)? {
                Answer::Done => Ok(format!("{} has ended; the next --once run starts it", named(&process))),
                answer => self.outcome(answer.into(), None),
            },
            None => Ok("the next --once run starts it".to_owned()),
        }
    }

    /// The process of the state, if it lives.
    fn process(&self) -> Result<Option<StoredProcess>, Failure> {
        let Some(process) = self.state()?.and_then(|state| state.process) else { return Ok(None) };
        match self.proc.try_is_alive(process.id, process.signature.user) {
            Ok(is_alive) => Ok(Some(process).filter(|_| is_alive)),
            Err(Unknown(why)) => Err(failed(format!("whether it runs cannot be told: {why}"))),
        }
    }

    /// Asks the process to end, and waits for that.
    fn stop(&self, process: &StoredProcess) -> Result<Answer, Failure> {
        let held = ProcessFd::open(self.proc, process.id).map_err(|unknown| failed(unknown.0))?;
        let Some(held) = held else { return Ok(Answer::Done) };
        let Some(pidfd) = held.pidfd() else { return Ok(Answer::Failed(NotDone::CannotStop)) };
        // A suspended process heeds nothing else.
        let sent = [Signal::TERM, Signal::CONT].map(|signal| pidfd_send_signal(pidfd, signal));
        let is_refused = sent.contains(&Err(Errno::PERM));
        Ok(match (is_refused, ends(&held, END_PATIENCE)) {
            (_, true) => Answer::Done,
            (true, false) => Answer::Failed(NotDone::CannotStop),
            (false, false) => Answer::Failed(NotDone::StillThere),
        })
    }

    fn outcome(&self, Reply { answer, detail }: Reply, watchdog: Option<Pid>) -> Outcome {
        let detail = detail.map(|detail| format!("; {detail}")).unwrap_or_default();
        let stays = || format!("until '{}' or a boot", self.asked.order("start", &self.files.name));
        match (answer, self.request) {
            (Answer::Done, Request::Stop) => {
                let watchdog = watchdog.map(|pid| format!("; the watchdog itself (pid {pid}) keeps running"));
                Ok(format!("stopped {}{}{detail}", stays(), watchdog.unwrap_or_default()))
            }
            (Answer::Done, Request::Start | Request::Restart) => {
                let process = self.process()?;
                let life = self.state()?.map(|state| state.memory.life);
                let running = match &process {
                    Some(process) => running(process),
                    None if life == Some(Life::Finished) => "it was started, and has finished".to_owned(),
                    None => "it is running".to_owned(),
                };
                Ok(format!("{running}{detail}"))
            }
            (Answer::Superseded, _) => not_done(format!("another request came after this one{detail}")),
            (Answer::Failed(why), Request::Stop) => {
                not_done(format!("{}{detail}; it is not started again {}", words(why), stays()))
            }
            (Answer::Failed(why), Request::Start | Request::Restart) => {
                not_done(format!("{}{detail}", words(why)))
            }
        }
    }
}

fn words(why: NotDone) -> &'static str {
    match why {
        NotDone::Held => "nothing was done, since it is held",
        NotDone::CannotStop => "it cannot be signalled",
        NotDone::StillThere => "it was asked to end, and is still there",
        NotDone::BackAgain => "it ended, and somebody else has started it again",
        NotDone::NotStarted => "it did not start",
        NotDone::CannotTell => "whether it runs cannot be told",
        NotDone::LeftNear => "what the start command has left running does not match the process name",
        NotDone::TooLate => "it took too long",
    }
}

/// Asked before anything is changed.
fn may_signal(process: Option<&StoredProcess>) -> Result<(), Failure> {
    let pid = process.and_then(|process| rustix::process::Pid::from_raw(process.id.pid));
    match (process, pid.map(test_kill_process)) {
        (Some(process), Some(Err(Errno::PERM))) => {
            Err(Failure::new(ExitCode::NoPermission, format!("{} is another user's", named(process))))
        }
        _ => Ok(()),
    }
}

fn named(process: &StoredProcess) -> String {
    format!("{} (pid {})", process.name, process.id.pid)
}

fn running(process: &StoredProcess) -> String {
    format!("{} is running", named(process))
}

fn failed(line: impl Into<String>) -> Failure {
    Failure::new(ExitCode::NotDone, line)
}

/// Something could not be read or written.
fn refused(error: &io::Error, line: String) -> Failure {
    let is_forbidden = error.kind() == io::ErrorKind::PermissionDenied;
    Failure::new(if is_forbidden { ExitCode::NoPermission } else { ExitCode::NotDone }, line)
}

fn not_done(line: impl Into<String>) -> Outcome {
    Err(failed(line))
}

/// The answer to a request, or nothing if whoever is to give it ends before.
///
/// # Errors
/// It is past the `deadline`, and nobody has taken it, or has answered in the time that was said: after so long.
fn await_reply(
    made: &MadeRequest,
    mut deadline: Option<Time>,
    mut has_ended: impl FnMut() -> bool,
) -> Result<Option<Reply>, Duration> {
    let begin = now();
    let mut is_taken = false;
    loop {
        // In this order: what was answered before the end counts.
        let has_ended = has_ended();
        match made.progress() {
            Progress::Answered(reply) => return Ok(Some(reply)),
            Progress::Made | Progress::Taken(_) if has_ended => return Ok(None),
            Progress::Taken(within) if !is_taken => {
                is_taken = true;
                deadline = deadline.map(|_| now() + within + TAKE_PATIENCE);
            }
            Progress::Made | Progress::Taken(_) => {}
        }
        if deadline.is_some_and(|deadline| now() >= deadline) {
            return Err(now().saturating_sub(begin));
        }
        pause(LOOK_AGAIN);
    }
}

/// Whether a process ends in this time.
fn ends(process: &ProcessFd, within: Duration) -> bool {
    let deadline = now() + within;
    while process.is_alive() {
        if now() >= deadline {
            return false;
        }
        pause(LOOK_AGAIN);
    }
    true
}
