//! What the service manager is told of a long-running watch (`sd_notify(3)`): that it is ready, that it
//! lives, what it sees, and that it ends.
//!
//! The words are the sd-notify crate's. Its socket is not used: that one waits for a service manager
//! that does not read, and knows no abstract addresses.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::text::{beginning, escaped};
use crate::time::Time;

/// So many signs of life are sent in the time in which one is asked for: one may be lost, or late.
const SIGNS_OF_LIFE: u32 = 3;
/// After a message that could not be sent, the next try. The pause doubles with each one in vain.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// In bytes. The service manager reads no message of more than 4096 (`NOTIFY_BUFFER_MAX` of systemd).
const LONGEST_STATUS: usize = 1024;

/// The service manager, if there is one that wants to be told.
#[derive(Debug)]
pub struct ServiceManager {
    to: Option<SocketAddr>,
    /// Opened for the first message, and kept: later there may be no descriptors left.
    socket: Option<UnixDatagram>,
    /// The longest time between two signs of life, if it wants any.
    keep_alive: Option<Duration>,
    /// When there is something to send.
    due: Time,
    retry: Duration,
    has_heard_ready: bool,
    /// What it has not heard yet.
    status: Option<String>,
}

impl ServiceManager {
    /// Whoever started this watch and said where it listens (`NOTIFY_SOCKET`), and how often it wants a
    /// sign of life (`WATCHDOG_USEC`, `WATCHDOG_PID`). A `--once` run says nothing: it may be a small part of
    /// a service that is ready, alive and done at other times.
    pub fn of_watch(once: bool) -> Self {
        let to = std::env::var_os("NOTIFY_SOCKET").filter(|_| !once);
        let to = to.and_then(|address| read_address(&address).ok());
        Self::new(to, sd_notify::watchdog_enabled())
    }

    fn new(to: Option<SocketAddr>, keep_alive: Option<Duration>) -> Self {
        ServiceManager {
            to,
            socket: None,
            keep_alive: keep_alive.filter(|time| !time.is_zero()).map(|time| time / SIGNS_OF_LIFE),
            due: Time::ZERO,
            retry: FIRST_RETRY,
            has_heard_ready: false,
            status: None,
        }
    }

    /// Sends what there is to send by now: that the watch is ready, its status, a sign of life. To be
    /// called before each wait; the wait must not be longer than the time that comes back.
    pub fn keep_informed(&mut self, now: Time) -> Duration {
        if self.to.is_none() {
            return Duration::MAX;
        }
        if now >= self.due {
            let ready = (!self.has_heard_ready).then_some(NotifyState::Ready);
            let status = self.status.as_deref().map(NotifyState::Status);
            let alive = self.keep_alive.map(|_| NotifyState::Watchdog);
            let message = message(ready.into_iter().chain(status).chain(alive));
            let pause = if self.send(&message).is_ok() {
                (self.has_heard_ready, self.status, self.retry) = (true, None, FIRST_RETRY);
                self.keep_alive
            } else {
                let retry = self.retry;
                self.retry = LONGEST_RETRY.min(2 * retry);
                Some(self.keep_alive.map_or(retry, |time| time.min(retry)))
            };
            self.due = pause.map_or(Time::MAX, |pause| now + pause);
        }
        self.due.saturating_sub(now)
    }

    /// Whether it knows that the watch is ready.
    pub fn has_heard_ready(&self) -> bool {
        self.has_heard_ready
    }

    /// Whether anybody listens.
    pub fn listens(&self) -> bool {
        self.to.is_some()
    }

    /// Lets the status be told, which is another than the last.
    pub fn show(&mut self, status: &str) {
        self.status = Some(shortened(status));
        self.due = Time::ZERO;
    }

    /// The settings are about to be read again; [`ServiceManager::ready`] is to follow.
    pub fn reloading(&mut self) {
        // Without the time, a unit of Type=notify-reload would be taken to hang.
        let time = NotifyState::monotonic_usec_now().ok();
        let _ = self.send(&message([NotifyState::Reloading].into_iter().chain(time)));
    }

    /// The watch is ready again.
    pub fn ready(&mut self) {
        self.has_heard_ready = false;
        self.due = Time::ZERO;
    }

    /// The watch ends, with this `status` at the end.
    pub fn stopping(&mut self, status: &str) {
        let status = shortened(&format!("no longer watched; last state: {status}"));
        let _ = self.send(&message([NotifyState::Stopping, NotifyState::Status(&status)]));
    }

    /// Sends a message, unless that would mean to wait.
    fn send(&mut self, message: &str) -> io::Result<()> {
        let Some(address) = &self.to else { return Ok(()) };
        if self.socket.is_none() {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            self.socket = Some(socket);
        }
        let sent = self.socket.as_ref().map(|socket| socket.send_to_addr(message.as_bytes(), address));
        sent.transpose().map(drop)
    }
}

fn message<'a>(lines: impl IntoIterator<Item = NotifyState<'a>>) -> String {
    lines.into_iter().map(|line| line.to_string() + "\n").collect()
}

/// An address as `NOTIFY_SOCKET` has it: a path, or with `@` in front a name in the abstract namespace
/// (unix(7)).
fn read_address(text: &OsStr) -> io::Result<SocketAddr> {
    match text.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(text),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// In one line that is not too long: what is quoted in it is no message of its own.
fn shortened(text: &str) -> String {
    beginning(&escaped(text), LONGEST_STATUS).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_quoted_is_a_message_of_its_own() {
        assert_eq!(shortened("running: a\nSTOPPING=1"), "running: a\\nSTOPPING=1");
        let long = shortened(&"ä€".repeat(2000));
        assert!((LONGEST_STATUS - 3..=LONGEST_STATUS).contains(&long.len()), "{}", long.len());
        assert_eq!(shortened("ä"), "ä");
    }

    #[test]
    fn a_failed_message_is_tried_again_ever_more_seldom_but_for_signs_of_life() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = || read_address(folder.path().join("none").as_os_str()).ok();
        let pauses = |keep_alive| {
            let mut manager = ServiceManager::new(nowhere(), keep_alive);
            let mut now = Time::from_secs(1);
            [(); 8].map(|()| {
                let pause = manager.keep_informed(now);
                now += pause;
                pause.as_secs()
            })
        };
        assert_eq!(pauses(None), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pauses(Some(Duration::from_secs(9))), [1, 2, 3, 3, 3, 3, 3, 3]);
    }
}
