//! Whether the process works: what `--probe` says, and the checks that are built in.

pub mod builtin;
pub mod command;
pub mod evidence;
pub mod heartbeat;

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Healthy,
    /// It does not.
    Unhealthy,
    /// The probe cannot tell, and counts for nothing.
    Unknown,
}

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
    /// The probe cannot tell.
    Unknown,
}
