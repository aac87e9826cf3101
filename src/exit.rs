//! The exit statuses, all of them.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// `--once`: the process is running. Otherwise: ended by SIGTERM.
    Success,
    /// Gave up, or `--once`: not running after the attempts.
    GaveUp,
    /// Wrong or missing settings.
    Usage,
    /// Cannot tell, or cannot work.
    CannotTell,
    /// Another watchdog of that name is running.
    Busy,
    /// `--once`: not running, and left alone.
    LeftAlone,
    /// `status`, as an LSB init script: 0 running, 3 not running, 4 unknown.
    Lsb(u8),
    /// As if this signal had not been caught.
    Signal(i32),
}

impl Exit {
    /// Ends the program, or gives the status to end it with.
    #[must_use]
    pub fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Exit::Success => 0,
            Exit::GaveUp => 1,
            Exit::Usage => 2,
            Exit::CannotTell => 3,
            Exit::Busy => 4,
            Exit::LeftAlone => 5,
            Exit::Lsb(status) => status,
            Exit::Signal(signal) => {
                // A shell stops its own script only when it sees that the signal did it. Process 1
                // cannot be ended by a signal of its own.
                if std::process::id() != 1 {
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
                128u8.saturating_add(u8::try_from(signal).unwrap_or(0))
            }
        })
    }
}
