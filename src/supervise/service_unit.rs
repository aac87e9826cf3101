//! The unit of the service manager (systemd) that this watch runs in, and why it is perhaps not the right
//! one. The service manager is asked at most once in a run, and not waited for.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::ProcessInfo;
use crate::process::cgroup::{ControlGroups, last_part};
use crate::report::event::Lasting;
use crate::report::log_lines::Worth;
use crate::state::said::Notice;
use crate::supervise::Supervisor;
use crate::sys::own_pid;
use crate::task::{self, Task};

/// The unit, and what is asked about it.
#[derive(Debug)]
pub struct Unit {
    /// What the kernel calls its control group, until it is asked about; `None` outside of a service.
    group: Option<String>,
    /// The program to ask.
    systemctl: PathBuf,
    /// The watch never ends: whether it may be in this unit is asked when there is time.
    is_endless: bool,
    question: Option<Question>,
}

#[derive(Debug)]
struct Question {
    about: About,
    unit: String,
    systemctl: Task,
}

#[derive(Debug)]
enum About {
    /// A watch that never ends.
    Endless,
    /// A process that is in the unit's control group, named, while this run ends soon.
    Started { process: String, name: String },
}

impl Unit {
    /// The unit of this process.
    pub fn own(proc: &Path, once: bool) -> Self {
        let is_given = |variable| std::env::var_os(variable).is_some();
        let group = is_given("INVOCATION_ID").then(|| ControlGroups::of(proc, own_pid()).service()).flatten();
        // A unit of Type=oneshot has nobody who listens. One that starts us by the way is not ours to judge:
        // what it has started itself, since version 248, has its number.
        let is_main = std::env::var("SYSTEMD_EXEC_PID").map_or(true, |pid| {
            [std::process::id(), std::os::unix::process::parent_id()].iter().any(|own| own.to_string() == pid)
        });
        let is_endless = !once && is_main && !is_given("NOTIFY_SOCKET");
        Self::new(group, is_endless, "systemctl".into())
    }

    fn new(group: Option<String>, is_endless: bool, systemctl: PathBuf) -> Self {
        Unit { group, systemctl, is_endless, question: None }
    }

    /// A run that ends soon has started this process: asks what becomes of it then, if it is the unit's.
    pub fn ask_about(&mut self, proc: &Path, process: &ProcessInfo, name: &str) {
        let is_in = |group: &String| ControlGroups::of(proc, process.pid).service().as_ref() == Some(group);
        if self.group.as_ref().is_some_and(is_in) {
            self.ask(About::Started { process: process.to_string(), name: name.to_owned() });
        }
    }

    fn ask(&mut self, about: About) {
        let Some(group) = self.group.take() else { return };
        let mut command = Command::new(&self.systemctl);
        if group.contains("/user@") {
            command.arg("--user");
        }
        let unit = last_part(&group).to_owned();
        command.args(["show", "--property=Type,KillMode,RemainAfterExit", "--", &unit]);
        self.question = task::ask(command).ok().map(|systemctl| Question { about, unit, systemctl });
    }

    /// What there is to warn of, once that is known. Waits for nothing.
    pub fn doubt(&mut self) -> Option<String> {
        if self.is_endless {
            self.ask(About::Endless);
        }
        let answered = |question: &mut Question| question.systemctl.ended().is_some();
        let Question { about, unit, systemctl } = self.question.take_if(answered)?;
        doubt(&about, &unit, &systemctl.output())
    }

    /// What was asked, while there is no answer.
    pub fn question(&mut self) -> Option<&mut Task> {
        self.question.as_mut().map(|question| &mut question.systemctl)
    }
}

impl Supervisor {
    /// A `--once` run has started the process: whether it outlives the run is a question to be asked, but
    /// for those who have been told.
    pub(super) fn ask_what_becomes_of_it(&mut self) {
        let Supervisor { parts, questions, .. } = self;
        let is_to_be_asked =
            parts.settings.limits.once && parts.record.state.said.last(Notice::Unit).is_none();
        if let Some(followed) = self.followed.as_ref().filter(|_| is_to_be_asked) {
            let name = parts.settings.name.to_string();
            questions.unit.ask_about(parts.proc.root(), followed.info(), &name);
        }
    }

    /// Says what is known by now.
    pub(super) fn doubt_unit(&mut self) {
        if let Some(doubt) = self.questions.unit.doubt() {
            self.parts.emit(Lasting::Doubt(Notice::Unit, &doubt));
            self.parts.report.flush(Worth::All);
        }
    }

    /// The last time to say it, and worth a moment.
    pub(super) fn wait_for_doubt(&mut self) {
        if let Some(deadline) = self.questions.unit.question().and_then(|task| task.deadline()) {
            self.wait_for(deadline, |watch| {
                watch.doubt_unit();
                watch.questions.unit.question().is_none()
            });
        }
    }
}

fn doubt(about: &About, unit: &str, answer: &str) -> Option<String> {
    let is = |line: &str| answer.lines().any(|given| given == line);
    match about {
        About::Endless if is("Type=oneshot") => Some(format!(
            "{unit} has Type=oneshot and would never finish starting; add --once, or set Type=notify in the unit"
        )),
        About::Started { process, name } if is("RemainAfterExit=no") => {
            let mode = ["KillMode=control-group", "KillMode=mixed"].into_iter().find(|mode| is(mode))?;
            Some(format!(
                "systemd will kill {process} when {unit} ends ({mode}); set KillMode=process in the unit, or use this \
                 start command: systemd-run --collect --unit={name}-daemon COMMAND"
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Signature;
    use crate::task::PATIENCE;
    use crate::time::now;
    use std::time::Duration;

    /// A program that stands in for systemctl. It is written by a process of its own: this one may have
    /// children at any time that hold open for a moment what it writes.
    fn fake(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join("systemctl");
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0"; chmod +x "$0""#;
        let status = Command::new("sh").args(["-c", write]).arg(&path).arg(script).status().unwrap();
        assert!(status.success());
        path
    }

    /// Asks until there is an answer, or nothing more to wait for; and how long that took.
    fn hear(unit: &mut Unit) -> (Option<String>, Duration) {
        let begin = now();
        loop {
            let doubt = unit.doubt();
            if doubt.is_some() || unit.question.is_none() {
                return (doubt, now().saturating_sub(begin));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    const ONESHOT: &str = "echo Type=oneshot; echo KillMode=control-group; echo RemainAfterExit=no";
    const GROUP: &str = "/system.slice/x.service";

    #[test]
    fn a_watch_without_end_is_asked_about_once() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("echo \"$@\" >> {}; {ONESHOT}", folder.path().join("asked").display());
        let systemctl = fake(folder.path(), &script);
        let mut unit = Unit::new(Some(GROUP.into()), true, systemctl.clone());
        assert!(hear(&mut unit).0.unwrap().contains("add --once"));
        assert_eq!(hear(&mut unit).0, None);
        let asked = std::fs::read_to_string(folder.path().join("asked")).unwrap();
        assert_eq!(asked, "show --property=Type,KillMode,RemainAfterExit -- x.service\n");
        // Outside of a unit, and where it does end, nobody is asked.
        assert_eq!(hear(&mut Unit::new(None, true, systemctl.clone())).0, None);
        assert_eq!(hear(&mut Unit::new(Some(GROUP.into()), false, systemctl)).0, None);
        assert_eq!(std::fs::read_to_string(folder.path().join("asked")).unwrap(), asked);
    }

    #[test]
    fn what_is_started_in_the_units_control_group_is_asked_about() {
        let folder = tempfile::tempdir().unwrap();
        let systemctl = fake(folder.path(), ONESHOT);
        let process = ProcessInfo::of_test(7, "nginx", Signature::new(0, b""));
        std::fs::create_dir(folder.path().join("7")).unwrap();
        for (group, is_doubted) in
            [(GROUP, true), ("/system.slice/nginx.service", false), ("/user.slice/session-1.scope", false)]
        {
            std::fs::write(folder.path().join("7/cgroup"), format!("0::{group}\n")).unwrap();
            let mut unit = Unit::new(Some(GROUP.into()), false, systemctl.clone());
            unit.ask_about(folder.path(), &process, "web");
            let doubt = hear(&mut unit).0.unwrap_or_default();
            assert_eq!(
                doubt.starts_with("systemd will kill nginx (pid 7) when x.service ends ("),
                is_doubted
            );
            assert_eq!(doubt.contains("--unit=web-daemon "), is_doubted, "{doubt}");
        }
    }

    #[test]
    fn one_that_does_not_answer_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        for (script, least) in
            [("exec sleep 60", PATIENCE), ("exit 1", Duration::ZERO), ("sleep 1 & exit 0", Duration::ZERO)]
        {
            let mut unit = Unit::new(Some(GROUP.into()), true, fake(folder.path(), script));
            let (doubt, took) = hear(&mut unit);
            assert_eq!(doubt, None);
            assert!(took >= least && took < Duration::from_secs(30), "{took:?}");
        }
        let mut none = Unit::new(Some(GROUP.into()), true, folder.path().join("none"));
        assert_eq!(hear(&mut none).0, None);
    }

    #[test]
    fn only_what_does_harm_is_doubted() {
        let started = About::Started { process: "nginx (pid 7)".into(), name: "nginx".into() };
        for (about, answer, expected) in [
            (&About::Endless, "Type=oneshot\nKillMode=process\nRemainAfterExit=no\n", "Type=oneshot"),
            (&About::Endless, "Type=simple\nKillMode=mixed\nRemainAfterExit=no\n", ""),
            (
                &started,
                "Type=oneshot\nKillMode=control-group\nRemainAfterExit=no\n",
                "KillMode=control-group",
            ),
            (&started, "Type=simple\nRemainAfterExit=no\nKillMode=mixed\n", "KillMode=mixed"),
            (&started, "Type=oneshot\nKillMode=process\nRemainAfterExit=no\n", ""),
            (&started, "Type=oneshot\nKillMode=none\nRemainAfterExit=no\n", ""),
            (&started, "Type=oneshot\nKillMode=control-group\nRemainAfterExit=yes\n", ""),
            (&started, "", ""),
        ] {
            let doubt = doubt(about, "x.service", answer);
            assert_eq!(doubt.is_some(), !expected.is_empty(), "{about:?} {answer}");
            assert!(doubt.unwrap_or_default().contains(expected));
        }
    }
}
