//! `status --watch`: the table of `status`, drawn again each second.

use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, SystemTime};

use libc::{SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::tcgetwinsize;

use super::instances::Asked;
use super::{Failure, status};
use crate::exit::ExitCode;
use crate::process::scan::Proc;
use crate::render::screen;
use crate::supervise::signals::Signals;
use crate::time::{SecondsFormat, local};

const PERIOD: Duration = Duration::from_secs(1);

/// The other screen that a terminal has, without a cursor; and back to what was there before (xterm's names, which
/// all others know too).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Draws until a signal ends it, or the terminal is gone.
///
/// # Errors
/// A name is not known, or there is no terminal.
pub fn run(asked: Asked, proc: &Proc) -> Result<ExitCode, Failure> {
    let is_dumb = std::env::var_os("TERM").is_none_or(|kind| kind == "dumb");
    if is_dumb || !io::stdout().is_terminal() {
        let line = "--watch needs a terminal; elsewhere: watchdog status, or --json for scripts";
        return Err(line.to_owned().into());
    }
    status::snapshots(asked, false, proc)?;
    let mut signals = Signals::catch(&[SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH])
        .map_err(|error| format!("signals cannot be caught: {error}"))?;
    let mut screen = Screen::enter();
    loop {
        let size = tcgetwinsize(rustix::stdio::stdout()).map_or((0, 0), |size| (size.ws_row, size.ws_col));
        let time = local(SystemTime::now(), SecondsFormat::Secs);
        let frame = status::snapshots(asked, false, proc).map(|all| screen::frame(all, size, &time));
        if write(&frame.unwrap_or_else(|wrong| screen::over(&wrong.lines))).is_err() {
            return Ok(ExitCode::Success);
        }
        let mut woken = [PollFd::from_borrowed_fd(signals.descriptor(), PollFlags::IN)];
        let _ = poll(&mut woken, Timespec::try_from(PERIOD).ok().as_ref());
        for signal in signals.pending() {
            match signal {
                SIGWINCH => {}
                SIGTSTP => {
                    drop(screen);
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                    screen = Screen::enter();
                }
                _ => return Ok(ExitCode::Signal(signal)),
            }
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// While it is there, what was on the screen before is not.
struct Screen;

impl Screen {
    fn enter() -> Self {
        let _ = write(ENTER);
        Screen
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = write(LEAVE);
    }
}
