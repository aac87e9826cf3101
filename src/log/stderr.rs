//! Standard error: a terminal, the journal, a pipe to cron, or nothing that takes a record.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use log::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags};
use rustix::net::SendFlags;

use crate::exit::ExitCode;
use crate::log::{line, stamp};
use crate::settings::{Reach, Verbosity};
use crate::text::escaped;

/// Standard error, written with errors ignored, and only what it takes without blocking.
#[derive(Debug)]
pub struct Stderr {
    to: Channel,
    style: Style,
    verbosity: Verbosity,
}

#[derive(Debug)]
enum Channel {
    /// Standard error itself, when it says that it has room.
    Itself,
    /// A description of its own of the same pipe or terminal, which does not block.
    NonBlocking(File),
    /// A socket, which can be told not to block for each write.
    Socket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Colour,
    /// The journal adds the time, and reads the priority (sd-daemon(3)).
    Journal,
}

/// What a pipe takes whole (`PIPE_BUF`, pipe(7)).
const AT_ONCE: usize = 4096;

impl Stderr {
    /// Standard error as it is, for a run that is to show so much there.
    pub fn new(verbosity: Verbosity) -> Self {
        let stderr = io::stderr();
        let style = if stderr_is_journal() {
            Style::Journal
        } else if is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()) {
            Style::Colour
        } else {
            Style::Plain
        };
        let to = match rustix::fs::fstat(&stderr).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Socket) => Channel::Socket,
            Ok(FileType::Fifo | FileType::CharacterDevice) => non_blocking(),
            _ => Channel::Itself,
        };
        Stderr { to, style, verbosity }
    }

    pub(super) fn shows(&self, level: Level, reach: Reach) -> bool {
        match self.verbosity {
            _ if reach == Reach::File => false,
            Verbosity::Quiet => level <= Level::Error,
            Verbosity::Outcome => reach == Reach::Mail,
            Verbosity::Warnings => level <= Level::Warn,
            Verbosity::Information => level <= Level::Info,
        }
    }

    pub(super) fn write_record(&mut self, level: Level, text: &str) {
        let record = match self.style {
            Style::Plain => line(level, text),
            Style::Journal => {
                format!("<{}>{text}\n", if level == Level::Info { 6 } else { level as usize + 2 })
            }
            Style::Colour => {
                let (colour, reset) = match level {
                    Level::Error => ("\x1b[31m", "\x1b[0m"),
                    Level::Warn => ("\x1b[33m", "\x1b[0m"),
                    _ => ("", ""),
                };
                format!("{} {colour}{level:<5}{reset} {text}\n", stamp())
            }
        };
        self.write_text(&record);
    }

    /// Says what is wrong, in a line, whatever is quoted in it.
    pub fn complain(&mut self, what: &str) {
        self.write_text(&format!("watchdog: {}\n", escaped(what)));
    }

    /// Writes `text`, or as much of it as there is room for.
    pub fn write_text(&mut self, text: &str) {
        let stderr = io::stderr();
        for piece in text.as_bytes().chunks(AT_ONCE) {
            let written = match &self.to {
                Channel::NonBlocking(file) => rustix::io::write(file, piece),
                Channel::Socket => {
                    rustix::net::send(&stderr, piece, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
                }
                Channel::Itself if has_room(stderr.as_fd()) => rustix::io::write(&stderr, piece),
                Channel::Itself => return,
            };
            // Half of it, and what comes after the other half, would be no record.
            if written != Ok(piece.len()) {
                return;
            }
        }
    }
}

/// Says why the program cannot tell what it was asked.
pub fn cannot_tell(why: &str, stderr: &mut Stderr) -> ExitCode {
    stderr.complain(why);
    ExitCode::CannotTell
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_text(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether standard error is a terminal.
pub fn is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stderr())
}

/// Whether standard error goes to the journal (systemd.exec(5), `JOURNAL_STREAM`).
pub fn stderr_is_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr())
        .is_ok_and(|stat| stream.to_str() == Some(&format!("{}:{}", stat.st_dev, stat.st_ino)))
}

fn non_blocking() -> Channel {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(crate::sys::custom_flags(OFlags::NONBLOCK | OFlags::NOCTTY));
    let own = options.open("/proc/self/fd/2").ok();
    // Only a pipe or a terminal may be written to through a description of its own: in a file it would
    // have a place of its own.
    let kind = |file: &File| file.metadata().map(|file| file.file_type());
    own.filter(|file| kind(file).is_ok_and(|kind| kind.is_fifo() || kind.is_char_device()))
        .map_or(Channel::Itself, Channel::NonBlocking)
}

fn has_room(stderr: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(stderr, PollFlags::OUT)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1..)) && fds[0].revents().contains(PollFlags::OUT)
}
