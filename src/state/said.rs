//! What has been said and lasts, so that it is not said again: the log of a `--once` run each minute would
//! be full of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is said when it begins or has become another, and not at each check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// Several processes match.
    Ambiguous,
    /// How the process ends matters, and cannot be known.
    Autorestart,
    /// The process cannot be signalled.
    CannotSignal,
    /// What it depends on is not there.
    Dependency,
    /// Start commands may inherit descriptors.
    Descriptors,
    /// The directory that start commands run in is gone.
    Directory,
    /// The settings are perhaps not what was meant.
    Doubt,
    /// The process dumps core.
    DumpsCore,
    /// The configuration file is open to others.
    File,
    /// It has ended as it should.
    Finished,
    /// The process is unhealthy.
    Health,
    /// It is outside its hours.
    Hours,
    /// An attempt has left running what nearly matches.
    LeftNear,
    /// Lines with different settings run in turn.
    Lines,
    Lock,
    /// What nearly matches.
    Near,
    /// There is no /dev/null.
    Null,
    /// The process belongs to a unit of the service manager.
    OfUnit,
    /// A program of the probe or the stop command is not there.
    OtherPrograms,
    /// The output log is over its limit.
    Output,
    /// The output log cannot be written.
    OutputOpen,
    Paused,
    /// The probe cannot tell.
    Probe,
    /// The start command's program is not there.
    Program,
    /// The process has taken another name, and is what it was.
    Renamed,
    /// The machine shuts down.
    Shutdown,
    /// What the shell, or the kernel, would say of the start command.
    StartCommand,
    /// The state file is of no use.
    State,
    #[serde(rename = "state folder")]
    StateFolder,
    /// The process was to be stopped, and is still there.
    StopFailed,
    /// The process does not go on.
    Stopped,
    /// The service manager's unit does not fit.
    Unit,
    /// Nobody can tell what runs.
    Unknown,
    /// It depends on what nobody has heard of.
    UnknownDependency,
    /// The kernel does not tell how a process ended.
    Untold,
    /// Its first version is not due yet.
    Version,
    /// It is started without what it depends on.
    WithoutDependency,
    /// Of another release.
    #[serde(other)]
    Other,
}

/// How something is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Each time.
    Always,
    /// When it begins, or when these facts are others than the last ones.
    Once(Notice, String),
    /// When it ends, if its beginning was said.
    Over(Notice),
}

/// What has been said, each with the facts that were said last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Said(BTreeMap<Notice, String>);

impl Said {
    /// Whether this is to be said now; then it has been.
    pub fn is_news(&mut self, told: Told) -> bool {
        match told {
            Told::Always => true,
            Told::Once(notice, facts) => self.0.insert(notice, facts.clone()) != Some(facts),
            Told::Over(notice) => self.0.remove(&notice).is_some(),
        }
    }

    /// What was said of this, and of nothing else.
    pub fn only(self, notice: Notice) -> Self {
        Said(self.0.into_iter().filter(|(said, _)| *said == notice).collect())
    }

    /// The facts that were said last, if any.
    pub fn last(&self, notice: Notice) -> Option<&str> {
        self.0.get(&notice).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_said_once_and_its_end_if_its_beginning_was() {
        let mut said = Said::default();
        let once = |facts: &str| Told::Once(Notice::Unknown, facts.to_owned());
        for (told, is_news) in [
            (Told::Over(Notice::Unknown), false),
            (once("a"), true),
            (once("a"), false),
            (once("b"), true),
            (Told::Over(Notice::Paused), false),
            (Told::Over(Notice::Unknown), true),
            (once("b"), true),
            (Told::Always, true),
        ] {
            assert_eq!(said.is_news(told.clone()), is_news, "{told:?}");
        }
        assert_eq!((said.last(Notice::Unknown), said.last(Notice::Paused)), (Some("b"), None));
    }

    #[test]
    fn names_in_the_state_file_stay_and_those_of_other_releases_do_no_harm() {
        let names = [
            "ambiguous",
            "cannot-signal",
            "dependency",
            "descriptors",
            "directory",
            "doubt",
            "dumps-core",
            "file",
            "finished",
            "health",
            "hours",
            "left-near",
            "lines",
            "lock",
            "near",
            "null",
            "of-unit",
            "other-programs",
            "output",
            "output-open",
            "paused",
            "probe",
            "program",
            "renamed",
            "shutdown",
            "start-command",
            "state",
            "state folder",
            "stop-failed",
            "stopped",
            "unit",
            "unknown",
            "unknown-dependency",
            "untold",
            "version",
            "without-dependency",
        ];
        let text = format!("{{{}}}", names.map(|name| format!("\"{name}\":\"\"")).join(","));
        let said: Said = serde_json::from_str(&text).unwrap();
        assert_eq!((said.0.len(), said.last(Notice::Other)), (names.len(), None));
        assert_eq!(serde_json::to_string(&said).unwrap(), text);
        let said: Said = serde_json::from_str(r#"{"to come":"x","near":"y"}"#).unwrap();
        assert_eq!(said.last(Notice::Near), Some("y"));
    }
}
