//! Why nothing is started now.

use serde::{Deserialize, Serialize};

use crate::state::said::Notice;
use crate::time::{Time, millis};

/// A reason why nothing is started now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Somebody wants it left alone.
    Paused,
    /// Somebody has stopped it.
    Stopped,
    /// Packages are being upgraded.
    Upgrading,
    /// It is outside its hours.
    Hours,
    /// Its first version is not due yet.
    Version,
    /// What it depends on is not there.
    Dependency,
    /// It has ended as it should.
    Finished,
    /// The machine shuts down.
    Shutdown,
}

impl Hold {
    pub const ALL: [Hold; 8] = [
        Hold::Paused,
        Hold::Stopped,
        Hold::Upgrading,
        Hold::Hours,
        Hold::Version,
        Hold::Dependency,
        Hold::Finished,
        Hold::Shutdown,
    ];

    /// Its name, the same wherever it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Hold::Paused => "paused",
            Hold::Stopped => "stopped",
            Hold::Upgrading => "upgrading",
            Hold::Hours => "hours",
            Hold::Version => "version",
            Hold::Dependency => "dependency",
            Hold::Finished => "finished",
            Hold::Shutdown => "shutdown",
        }
    }

    /// People have said it.
    pub fn is_of_people(self) -> bool {
        matches!(self, Hold::Paused | Hold::Stopped | Hold::Upgrading)
    }

    /// As it is reported when it begins, and when it ends.
    pub fn notice(self) -> Notice {
        match self {
            Hold::Paused | Hold::Stopped | Hold::Upgrading => Notice::Paused,
            Hold::Hours => Notice::Hours,
            Hold::Version => Notice::Version,
            Hold::Dependency => Notice::Dependency,
            Hold::Finished => Notice::Finished,
            Hold::Shutdown => Notice::Shutdown,
        }
    }
}

/// A hold, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub hold: Hold,
    /// Until then; `None` is until somebody or something ends it.
    #[serde(rename = "until_ms", with = "millis::optional")]
    pub until: Option<Time>,
    /// What it waits for.
    pub detail: Option<String>,
}

impl Held {
    pub fn new(hold: Hold, until: Option<Time>) -> Self {
        Held { hold, until, detail: None }
    }

    pub fn is_in_force(&self, now: Time) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// The one that ends last; of those that end together, the first.
    pub fn longest(holds: &[Held]) -> Option<&Held> {
        let end = |held: &Held| held.until.unwrap_or(Time::MAX);
        holds.iter().reduce(|one, other| if end(other) > end(one) { other } else { one })
    }
}
