//! The exit statuses, all of them.

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
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
    /// `start`, `stop`, `restart`: it did not come about.
    NotDone,
    /// `start`, `stop`, `restart`: not allowed.
    NoPermission,
    /// `probe`: 0 healthy, 1 unhealthy, 75 unknown.
    Probed(u8),
    /// `status`, as an LSB init script: 0 running, 3 not running, 4 unknown.
    Lsb(u8),
    /// `status --nagios`: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    Nagios(u8),
    /// As if this signal had not been caught.
    Signal(i32),
}

impl ExitCode {
    /// Ends the program, or gives the status to end it with.
    pub fn code(self) -> std::process::ExitCode {
        std::process::ExitCode::from(match self {
            ExitCode::Success => 0,
            ExitCode::GaveUp | ExitCode::NotDone => 1,
            ExitCode::Usage => 2,
            ExitCode::CannotTell => 3,
            ExitCode::Busy | ExitCode::NoPermission => 4,
            ExitCode::LeftAlone => 5,
            ExitCode::Lsb(status) | ExitCode::Nagios(status) | ExitCode::Probed(status) => status,
            ExitCode::Signal(signal) => {
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
