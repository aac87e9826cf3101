//! Whether the process works: what `--probe` says, and the checks that are built in.

pub mod builtin;
pub mod command;
pub mod evidence;
pub mod heartbeat;

use crate::probe::heartbeat::Heartbeat;

/// What came of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeResult {
    /// The process works.
    Healthy,
    /// It does not.
    Unhealthy,
    /// The probe took too long.
    TimedOut {
        /// The machine is overloaded, which may be why.
        overloaded: bool,
    },
    /// The probe cannot tell, and counts for nothing.
    Unknown,
}

/// What a probe, or a built-in check, has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A heartbeat that was seen is unknown: only whoever has the previous one can tell.
    pub result: ProbeResult,
    /// In a sentence, that of a probe without its subject; empty if there is nothing to say.
    pub why: String,
    /// What there was of the file.
    pub heartbeat: Option<Heartbeat>,
}

impl Finding {
    fn new(result: ProbeResult, why: impl Into<String>) -> Self {
        Finding { result, why: why.into(), heartbeat: None }
    }
}
