//! A probe at work: a command of the shell, or this program with a built-in check.

use std::io;
use std::ops::RangeInclusive;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::probe::evidence::average;
use crate::probe::heartbeat::Heartbeat;
use crate::probe::{Finding, ProbeResult};
use crate::process::ProcessId;
use crate::process::termination::signal_name;
use crate::settings::check::{Builtin, Check};
use crate::settings::name::Name;
use crate::task::{self, Ended, KILL_PATIENCE, Output, Surroundings, Task, environment};
use crate::text::{last_lines, span};

/// This program, whatever has become of its file.
pub const OWN_PROGRAM: &str = "/proc/self/exe";
/// What cannot be told (`sysexits.h`), a program that cannot be executed, and one that is not there.
const CANNOT_TELL: [i32; 3] = [75, 126, 127];
/// A shell whose command a signal has ended ends with this and the signal's number.
const BY_SIGNAL: i32 = 128;
const SIGNALS: RangeInclusive<i32> = 1..=64;
/// A machine is overloaded whose processes wait for so many percent of ten seconds.
const OVERLOAD: f32 = 60.0;
/// How much is quoted of what a probe wrote.
const LONGEST_QUOTE: usize = 300;

/// A probe at work.
#[derive(Debug)]
pub struct Probe {
    pub process: ProcessId,
    pub task: Task,
    check: Check,
}

/// What runs a check. One that is built in has a limit of its own, which must not come first: it would hide that
/// the time was up.
fn command_of(check: &Check, timeout: Duration) -> Command {
    match check {
        Check::Command(text) => task::shell(text),
        Check::Builtin(builtin) => {
            let mut command = own_program();
            let limit = (timeout + KILL_PATIENCE).as_secs_f64();
            command.arg("probe").arg(builtin.to_string()).arg(format!("--timeout={limit}"));
            command
        }
    }
}

impl Probe {
    /// Begins a probe of `process`, which has until `timeout`.
    ///
    /// # Errors
    /// No child could be created.
    pub fn begin(
        check: &Check,
        process: ProcessId,
        name: &Name,
        timeout: Duration,
        surroundings: Surroundings<'_>,
    ) -> io::Result<Self> {
        let mut command = command_of(check, timeout);
        command.env("WATCHDOG_NAME", name.to_string()).env("WATCHDOG_PROCESS_PID", process.pid.to_string());
        let task = surroundings.run(command, Output::CapturedWithErrors, Some(timeout), || ())?;
        Ok(Probe { process, task, check: check.clone() })
    }

    /// What it has found, once it has ended. `previous` is the heartbeat that the last one saw, and `proc` tells
    /// whether the machine is overloaded.
    pub fn ended(&mut self, previous: Option<&Heartbeat>, proc: &Path) -> Option<Finding> {
        let Ended(status) = self.task.ended()?;
        let output = self.task.output();
        if matches!(self.check, Check::Builtin(Builtin::File(_))) {
            if let Some(beat) = Heartbeat::in_output(&output) {
                return Some(heartbeat(beat, previous));
            }
        }
        let (result, how) = if let Some(timeout) = self.task.overran() {
            let overloaded = is_overloaded(&proc.join("pressure"));
            let load = if overloaded { " on an overloaded machine" } else { "" };
            let how = format!("did not end within {} (probe_timeout){load}", span(timeout));
            (ProbeResult::TimedOut { overloaded }, how)
        } else {
            self.judged(status)
        };
        Some(Finding::new(result, how + &said(&output)))
    }

    fn judged(&self, status: Option<ExitStatus>) -> (ProbeResult, String) {
        let Some(status) = status else {
            return (ProbeResult::Unknown, "ended, and nobody knows how".to_owned());
        };
        let is_command = matches!(self.check, Check::Command(_));
        let by_shell = |code: i32| code.checked_sub(BY_SIGNAL).filter(|signal| SIGNALS.contains(signal));
        let of_shell = status.code().filter(|_| is_command).and_then(by_shell);
        match (status.code(), status.signal().or(of_shell)) {
            (Some(0), _) => (ProbeResult::Healthy, "succeeded".to_owned()),
            (_, Some(signal)) => (ProbeResult::Unknown, format!("was ended by {}", signal_name(signal))),
            (code, None) => {
                let code = code.unwrap_or_default();
                let is_unknown = CANNOT_TELL.contains(&code);
                (if is_unknown { ProbeResult::Unknown } else { ProbeResult::Unhealthy }, task::exited(code))
            }
        }
    }
}

/// This program, in a task's environment.
pub fn own_program() -> Command {
    let mut command = Command::new(OWN_PROGRAM);
    command.arg0("watchdog");
    environment::complete(&mut command);
    command
}

fn heartbeat(beat: Heartbeat, previous: Option<&Heartbeat>) -> Finding {
    let result = beat.after(previous);
    let why = match result {
        ProbeResult::Healthy => "saw that the file has changed",
        ProbeResult::Unhealthy => "saw that the file has not changed since the last probe",
        // With the next one it is known.
        ProbeResult::Unknown | ProbeResult::TimedOut { .. } => "",
    };
    Finding { heartbeat: Some(beat), ..Finding::new(result, why) }
}

/// The end of what it wrote.
fn said(output: &str) -> String {
    let quote = |line: &&str| format!(": '{}'", line.chars().take(LONGEST_QUOTE).collect::<String>());
    last_lines(output, 1).first().map(quote).unwrap_or_default()
}

/// Whether processes have waited lately rather than run: for a processor, or for memory. Where the kernel does
/// not tell (`CONFIG_PSI`), it is not.
fn is_overloaded(pressure: &Path) -> bool {
    ["cpu", "memory"]
        .into_iter()
        .filter_map(|file| average(&pressure.join(file)))
        .any(|percent| percent > OVERLOAD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Time, now};

    #[test]
    fn a_built_in_check_has_more_time_than_the_watch_gives_it() {
        let check = Check::read("tcp://localhost:80").unwrap();
        let command = command_of(&check, Duration::from_millis(25_500));
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["probe", "tcp://localhost:80", "--timeout=26.5"]);
    }

    fn probe(text: &str, timeout: Duration) -> Finding {
        let process = ProcessId { pid: 7, started: Time::ZERO };
        let name = crate::settings::name::name("x").unwrap();
        let check = Check::Command(text.to_owned());
        let profile = &task::Profile::default();
        let surroundings = Surroundings { directory: Path::new("/"), added: &[], profile, account: None };
        let mut probe = Probe::begin(&check, process, &name, timeout, surroundings).unwrap();
        let deadline = now() + Duration::from_secs(30);
        while now() < deadline {
            if let Some(finding) = probe.ended(None, Path::new("/nowhere")) {
                return finding;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("it has not ended");
    }

    #[test]
    fn its_end_says_what_it_found() {
        let long = Duration::from_secs(30);
        for (text, result, why) in [
            ("true", ProbeResult::Healthy, "succeeded"),
            ("exit 1", ProbeResult::Unhealthy, "exited with status 1"),
            ("echo no; echo why >&2; exit 200", ProbeResult::Unhealthy, "exited with status 200: 'why'"),
            ("exit 75", ProbeResult::Unknown, "exited with status 75"),
            ("exit 126", ProbeResult::Unknown, "exited with status 126 (not executable)"),
            ("exec /no/such", ProbeResult::Unknown, "exited with status 127 (command not found)"),
            ("kill -9 $$", ProbeResult::Unknown, "was ended by SIGKILL"),
            ("sh -c 'kill -15 $$'; exit $?", ProbeResult::Unknown, "was ended by SIGTERM"),
            (
                "echo \"$WATCHDOG_NAME $WATCHDOG_PROCESS_PID\"; exit 2",
                ProbeResult::Unhealthy,
                "exited with status 2: 'x 7'",
            ),
        ] {
            let finding = probe(text, long);
            assert_eq!(finding.result, result, "{text}");
            assert!(finding.why.starts_with(why.split(": '/").next().unwrap()), "{text}: {}", finding.why);
        }
    }

    #[test]
    fn what_takes_too_long_is_killed_with_all_that_it_started() {
        let finding = probe("echo begun; sleep 300; true", Duration::from_millis(200));
        assert_eq!(finding.result, ProbeResult::TimedOut { overloaded: false });
        assert_eq!(finding.why, "did not end within 200ms (probe_timeout): 'begun'");
    }

    #[test]
    fn a_machine_whose_processes_wait_is_overloaded() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, avg10: &str| {
            let text =
                format!("some avg10={avg10} avg60=0.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0\n");
            std::fs::write(folder.path().join(file), text).unwrap();
        };
        assert!(!is_overloaded(folder.path()));
        write("cpu", "60.00");
        write("memory", "0.00");
        assert!(!is_overloaded(folder.path()));
        write("memory", "60.01");
        assert!(is_overloaded(folder.path()));
    }
}
