//! Why nothing is started now.

pub mod pause;

use crate::time::Time;

/// A reason why nothing is started now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Somebody wants it left alone.
    Paused,
    /// Somebody has stopped it.
    Stopped,
    /// Packages are being upgraded.
    Upgrading,
}

/// A hold that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub hold: Hold,
    /// Until then; `None` is until somebody ends it, or a boot.
    pub until: Option<Time>,
}

impl Hold {
    /// Its name, the same wherever it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Hold::Paused => "paused",
            Hold::Stopped => "stopped",
            Hold::Upgrading => "upgrading",
        }
    }
}
