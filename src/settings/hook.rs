//! What a hook is told about.

use serde::{Deserialize, Serialize};

use crate::settings::pattern::{Extent, Pattern};
use crate::settings::values::{Reading, list, pattern};

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
pub struct HookEvents(Vec<HookEvent>);

impl Default for HookEvents {
    fn default() -> Self {
        HookEvents(CHOICE.into_iter().take(5).collect())
    }
}

impl HookEvents {
    /// Whether the hook is run on these.
    pub fn contain(&self, event: HookEvent) -> bool {
        matches!(event, HookEvent::Keyword | HookEvent::Test) || self.0.contains(&event)
    }
}

/// Those that can be chosen; the first five are the usual ones.
const CHOICE: [HookEvent; 9] = [
    HookEvent::Died,
    HookEvent::GaveUp,
    HookEvent::Recovered,
    HookEvent::Unhealthy,
    HookEvent::StopFailed,
    HookEvent::Started,
    HookEvent::Failed,
    HookEvent::Healthy,
    HookEvent::Stopped,
];
const INSTEAD: &str =
    "give some of: died, gave-up, recovered, unhealthy, stop-failed, started, failed, healthy, stopped";

impl HookEvent {
    /// Its name: that of `hook_events` and of `WATCHDOG_EVENT`.
    pub fn name(self) -> &'static str {
        match self {
            HookEvent::Died => "died",
            HookEvent::GaveUp => "gave-up",
            HookEvent::Recovered => "recovered",
            HookEvent::Unhealthy => "unhealthy",
            HookEvent::StopFailed => "stop-failed",
            HookEvent::Started => "started",
            HookEvent::Failed => "failed",
            HookEvent::Healthy => "healthy",
            HookEvent::Stopped => "stopped",
            HookEvent::Keyword => "keyword",
            HookEvent::Test => "test",
        }
    }
}

/// Reads the kinds of events that a hook is run on.
pub fn events(text: &str) -> Reading<HookEvents> {
    let names = list(text)?;
    if names.is_empty() {
        return Err(("would report nothing".into(), INSTEAD));
    }
    let mut events = Vec::new();
    for name in names {
        if name == HookEvent::Keyword.name() {
            return Err((
                "'keyword' is always reported, if there is an output_pattern".into(),
                "leave it out",
            ));
        }
        let distance = |event: &HookEvent| strsim::damerau_levenshtein(event.name(), &name);
        let nearest = CHOICE.into_iter().min_by_key(distance);
        match nearest.map(|event| (distance(&event), event)) {
            Some((0, event)) => events.push(event),
            Some((slips, event)) if slips * 3 <= event.name().len() => {
                let what = format!("'{name}' is no event; did you mean '{}'?", event.name());
                return Err((what, INSTEAD));
            }
            _ => return Err((format!("'{name}' is no event"), INSTEAD)),
        }
    }
    events.sort_unstable();
    events.dedup();
    Ok(HookEvents(events))
}

/// What is for a hook alone is of no use without one.
pub fn is_there(hook: Option<&String>) -> Reading<()> {
    match hook {
        Some(_) => Ok(()),
        None => {
            Err(("there is no hook to report to".into(), "add one, such as hook = \"logger -t watchdog\""))
        }
    }
}

/// Reads what lines of the output log are to match.
pub fn patterns(text: &str) -> Reading<Vec<Pattern>> {
    let patterns = list(text)?;
    if patterns.is_empty() {
        return Err(("would match nothing".into(), "give a pattern, such as 'ERROR|FATAL', or leave it out"));
    }
    let read = |text: &String| {
        if text.trim().is_empty() {
            return Err(("matches every line".into(), "give a word of those that matter, such as ERROR"));
        }
        pattern(text, Extent::Part)
    };
    patterns.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_known_by_their_names() {
        let all: Vec<_> = CHOICE.iter().map(|event| event.name()).collect();
        let read = |names: &[&str]| events(&serde_json::to_string(names).unwrap());
        assert_eq!(read(&all), Ok(HookEvents(CHOICE.to_vec())));
        assert_eq!(
            read(&["stopped", "died", "died"]),
            Ok(HookEvents(vec![HookEvent::Died, HookEvent::Stopped]))
        );
        for (name, what) in [
            ("gave_up", "'gave_up' is no event; did you mean 'gave-up'?"),
            ("Died", "'Died' is no event; did you mean 'died'?"),
            ("crash", "'crash' is no event"),
            ("test", "'test' is no event"),
            ("keyword", "'keyword' is always reported, if there is an output_pattern"),
        ] {
            assert_eq!(read(&[name]).unwrap_err().0, what);
        }
        assert!(read(&[]).is_err());
        for event in CHOICE {
            assert_eq!(serde_json::to_string(&event).unwrap(), format!("\"{}\"", event.name()));
        }
    }

    #[test]
    fn patterns_match_something_and_not_everything() {
        let read = |list: &[&str]| patterns(&serde_json::to_string(list).unwrap());
        assert!(read(&["ERROR|FATAL", "out of memory"]).unwrap().iter().any(|it| it.matches(b"a FATAL x")));
        for (wrong, what) in [(&[][..], "would match nothing"), (&["x", " "], "matches every line")] {
            assert_eq!(read(wrong).unwrap_err().0, what);
        }
        assert!(read(&["("]).unwrap_err().0.starts_with("not a regular expression"));
    }
}
