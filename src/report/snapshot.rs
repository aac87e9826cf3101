//! What is known of an instance at one moment. Everything that is shown of it is a function of this.

use std::path::PathBuf;
use std::time::Duration;

use crate::hold::{Held, Hold};
use crate::policy::Life;
pub use crate::state::Status;
use crate::state::said::Notice;
use crate::state::{Sight, State};
use crate::sys::Pid;
use crate::time::Time;

/// An instance, as it is at the moment `at`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub name: String,
    /// The directory of its state.
    pub folder: PathBuf,
    pub at: Time,
    pub status: Status,
    /// The process that runs.
    pub process: Option<Process>,
    /// Since when it runs, or is missing.
    pub since: Option<Time>,
    /// What there is to say beside that; the last matters most.
    pub remarks: Vec<Remark>,
    /// Why nothing would be started now.
    pub holds: Vec<Hold>,
    /// How long ago it was last checked.
    pub checked: Option<Duration>,
    pub watcher: Watcher,
    /// What its state file has, if there is one of this boot.
    pub state: Option<Box<State>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: Pid,
    pub name: String,
}

/// Who watches the instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Watcher {
    #[default]
    Nobody,
    At(Pid),
    /// Whether there is one cannot be seen.
    Hidden,
}

/// What explains a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    NotChecked,
    DamagedState,
    UnreadableState(String),
    /// Why nobody can tell whether the process runs.
    Hidden(String),
    EndedSinceCheck,
    StartCommandAtWork,
    /// Until then, if somebody tries again.
    GivenUp {
        until: Option<Time>,
    },
    /// Nothing is started now.
    Held(Held),
}

impl Remark {
    /// When it ends, if that is known.
    pub fn until(&self) -> Option<Time> {
        match self {
            Remark::GivenUp { until } | Remark::Held(Held { until, .. }) => *until,
            _ => None,
        }
    }
}

/// What a state file cannot know of the present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Whether the process of the state lives, or why nobody can tell.
    pub process: Result<bool, String>,
    pub watcher: Watcher,
    pub command: bool,
    /// How long ago the state was last written or touched.
    pub age: Option<Duration>,
}

impl Snapshot {
    /// An instance of which no state can be had.
    pub fn without_state(name: String, folder: PathBuf, at: Time, why: Remark) -> Self {
        Snapshot { name, folder, at, remarks: vec![why], ..Self::default() }
    }

    /// An instance with this state.
    pub fn new(state: State, folder: PathBuf, live: &Live, at: Time) -> Self {
        let watcher = live.watcher;
        let (status, since, remark) = status(&state, live);
        let process = state.process.as_ref().filter(|_| status.is_up());
        let process = process.map(|process| Process { pid: process.id.pid, name: process.name.clone() });
        let (mut remarks, mut holds) = (Vec::from_iter(remark), Vec::new());
        if !status.is_up() {
            if live.command {
                remarks.push(Remark::StartCommandAtWork);
            }
            // Nobody tries again who does not watch.
            let goes_on = state.once || watcher != Watcher::Nobody;
            let until = state.memory.gave_up_until;
            remarks.extend(until.map(|until| Remark::GivenUp { until: goes_on.then_some(until) }));
            let finished = (state.memory.life == Life::Finished).then(|| Held::new(Hold::Finished, None));
            let held = state.held.clone().filter(|held| held.is_in_force(at));
            // It is not started when the others end.
            let held = finished.or(held);
            holds.extend(held.as_ref().map(|held| held.hold));
            remarks.extend(held.map(Remark::Held));
        }
        let checked = match watcher {
            // It checks at each interval, and writes only when something changes.
            Watcher::At(_) if !state.once => Some(Duration::ZERO),
            Watcher::Hidden if !state.once => None,
            Watcher::At(_) | Watcher::Hidden | Watcher::Nobody => live.age,
        };
        let (name, state) = (state.name.clone(), Some(Box::new(state)));
        Snapshot { name, folder, at, status, process, since, remarks, holds, checked, watcher, state }
    }

    /// With what people want.
    pub fn with(mut self, holds: &[Held]) -> Self {
        self.holds.extend(holds.iter().map(|held| held.hold));
        self.remarks.extend(Held::longest(holds).cloned().map(Remark::Held));
        self
    }

    /// The hold that matters most.
    pub fn held(&self) -> Option<&Held> {
        self.remarks.iter().rev().find_map(|remark| match remark {
            Remark::Held(held) => Some(held),
            _ => None,
        })
    }

    /// Whether a status line would say the same of another one.
    pub fn is_like(&self, other: &Snapshot) -> bool {
        let failures = |snapshot: &Snapshot| snapshot.state.as_ref().map(|state| state.memory.failures);
        (self.status, &self.process, self.since, &self.remarks, failures(self))
            == (other.status, &other.process, other.since, &other.remarks, failures(other))
    }

    /// How long ago something was.
    pub fn ago(&self, time: Time) -> Duration {
        self.at.saturating_sub(time)
    }

    /// How long it is until then.
    pub fn left(&self, until: Time) -> Duration {
        until.saturating_sub(self.at)
    }
}

/// Whether it runs, since when, and what there is to say to that.
fn status(state: &State, live: &Live) -> (Status, Option<Time>, Option<Remark>) {
    match (state.process.as_ref(), &live.process) {
        (Some(_), Err(why)) => (Status::Unknown, None, Some(Remark::Hidden(why.clone()))),
        (Some(process), Ok(true)) => (state.up(process.id), Some(process.id.started), None),
        // It has ended since the last check, and another may have taken its place.
        (Some(_), Ok(false)) if live.watcher == Watcher::Nobody || state.sight == Sight::Running => {
            (Status::NotRunning, None, Some(Remark::EndedSinceCheck))
        }
        _ if state.sight == Sight::Unknown => {
            let why = state.said.last(Notice::Unknown).map(|why| Remark::Hidden(why.to_owned()));
            (Status::Unknown, Some(state.since_ms), why)
        }
        _ => (Status::NotRunning, Some(state.since_ms), None),
    }
}
