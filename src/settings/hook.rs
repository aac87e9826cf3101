//! What a hook is told about.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::settings::pattern::{Extent, Pattern};
use crate::settings::values::{command, list, pattern};
use crate::settings::{Reading, wrong};
use crate::text::meant;

/// A kind of event, as a hook sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookEvent {
    /// It was killed or crashed, or ended for an unknown reason and was not back in time.
    Died,
    /// Enough attempts have failed.
    GaveUp,
    /// It runs, or works, again, after people were told that it does not.
    Recovered,
    /// Its probes fail.
    Unhealthy,
    /// It was to be stopped, and is still there.
    StopFailed,
    /// An attempt succeeded.
    Started,
    /// An attempt failed.
    Failed,
    /// Its probe succeeds.
    Healthy,
    /// It was stopped on purpose.
    Stopped,
    /// The output log has a new line that matches.
    Keyword,
    /// Somebody tries the hook.
    Test,
}

/// The kinds of events that a hook is run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct HookEvents(BTreeSet<HookEvent>);

impl Default for HookEvents {
    fn default() -> Self {
        HookEvents(NAMES.into_iter().take(5).map(|(event, _)| event).collect())
    }
}

impl HookEvents {
    /// Whether the hook is run on these.
    pub fn contain(&self, event: HookEvent) -> bool {
        event.is_always_told() || self.0.contains(&event)
    }
}

/// Their names: those of `hook_events` and of `WATCHDOG_EVENT`. The first five are the usual ones.
const NAMES: [(HookEvent, &str); 11] = [
    (HookEvent::Died, "died"),
    (HookEvent::GaveUp, "gave-up"),
    (HookEvent::Recovered, "recovered"),
    (HookEvent::Unhealthy, "unhealthy"),
    (HookEvent::StopFailed, "stop-failed"),
    (HookEvent::Started, "started"),
    (HookEvent::Failed, "failed"),
    (HookEvent::Healthy, "healthy"),
    (HookEvent::Stopped, "stopped"),
    (HookEvent::Keyword, "keyword"),
    (HookEvent::Test, "test"),
];

impl HookEvent {
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(event, _)| *event == self).map_or("", |(_, name)| name)
    }

    /// Whether nobody can choose it: it has a setting, or a command, of its own.
    fn is_always_told(self) -> bool {
        matches!(self, HookEvent::Keyword | HookEvent::Test)
    }
}

pub fn hook(text: &str) -> Reading<String> {
    const EXAMPLE: &str = "give a shell command, such as '/usr/share/process-watchdog/hooks/mail root'";
    command(text, "would tell nobody", EXAMPLE)
}

/// Reads the kinds of events that the `hook` is run on.
pub fn events(hook: Option<&String>, text: &str) -> Reading<HookEvents> {
    const INSTEAD: &str =
        "give some of: died, gave-up, recovered, unhealthy, stop-failed, started, failed, healthy, stopped";
    let mut events = BTreeSet::new();
    for typed in for_a_hook(hook, text)? {
        let choice = NAMES.into_iter().filter(|(event, _)| !event.is_always_told());
        if let Some((event, _)) = choice.clone().find(|(_, name)| *name == typed) {
            events.insert(event);
            continue;
        }
        if typed == HookEvent::Keyword.name() {
            return wrong("'keyword' is always reported, if there is an output_pattern", "leave it out");
        }
        let meant = meant(&typed, choice.map(|(_, name)| name));
        let meant = meant.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
        return wrong(format!("'{typed}' is no event{meant}"), INSTEAD);
    }
    if events.is_empty() {
        return wrong("would report nothing", INSTEAD);
    }
    Ok(HookEvents(events))
}

/// Reads what lines of the output log the `hook` is told of.
pub fn patterns(hook: Option<&String>, text: &str) -> Reading<Vec<Pattern>> {
    let patterns = for_a_hook(hook, text)?;
    if patterns.is_empty() {
        return wrong("would match nothing", "give a pattern, such as 'ERROR|FATAL', or leave it out");
    }
    let read = |text: &String| match text.trim() {
        "" => wrong("matches every line", "give a word of those that matter, such as ERROR"),
        _ => pattern(text, Extent::Part),
    };
    patterns.iter().map(read).collect()
}

/// A list that is of no use without a hook.
fn for_a_hook(hook: Option<&String>, text: &str) -> Reading<Vec<String>> {
    if hook.is_none() {
        return wrong("there is no hook to report to", "add one, such as hook = \"logger -t watchdog\"");
    }
    list(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_known_by_their_names() {
        let hook = "mail".to_owned();
        let read = |names: &[&str]| events(Some(&hook), &serde_json::to_string(names).unwrap());
        let (choice, names): (BTreeSet<_>, Vec<_>) = NAMES.into_iter().take(9).unzip();
        assert_eq!(read(&names), Ok(HookEvents(choice)));
        assert_eq!(
            read(&["stopped", "died", "died"]),
            Ok(HookEvents(BTreeSet::from([HookEvent::Died, HookEvent::Stopped])))
        );
        for (name, what) in [
            ("gave_up", "'gave_up' is no event; did you mean 'gave-up'?"),
            ("Died", "'Died' is no event; did you mean 'died'?"),
            ("crash", "'crash' is no event"),
            ("test", "'test' is no event"),
            ("keyword", "'keyword' is always reported, if there is an output_pattern"),
        ] {
            assert_eq!(read(&[name]).unwrap_err().what, what);
        }
        assert!(read(&[]).is_err());
        for (event, name) in NAMES {
            assert_eq!(serde_json::to_string(&event).unwrap(), format!("\"{name}\""));
        }
    }

    #[test]
    fn patterns_match_something_and_not_everything() {
        let hook = "mail".to_owned();
        let read = |list: &[&str]| patterns(Some(&hook), &serde_json::to_string(list).unwrap());
        assert!(read(&["ERROR|FATAL", "out of memory"]).unwrap().iter().any(|it| it.matches(b"a FATAL x")));
        for (wrong, what) in [(&[][..], "would match nothing"), (&["x", " "], "matches every line")] {
            assert_eq!(read(wrong).unwrap_err().what, what);
        }
        assert!(read(&["("]).unwrap_err().what.starts_with("not a regular expression"));
    }
}
