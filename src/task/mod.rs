//! Any child that the watchdog runs.

use std::process::ExitStatus;
use std::time::Duration;

pub mod environment;

/// How a start command ended.
#[derive(Debug)]
pub struct CommandEnd {
    /// Its status, unless it was another watchdog's.
    pub status: Option<ExitStatus>,
    /// How long it was at work.
    pub took: Duration,
    /// The last lines that it wrote.
    pub said: Vec<String>,
}
