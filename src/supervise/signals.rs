//! Signals, as one descriptor that becomes readable.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use libc::{SIGHUP, SIGINT, SIGTTOU, SIGXFSZ};
use nix::sys::signal::{SigSet, Signal};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use crate::sys;

/// From here on no write ends or stops the program; start commands have the defaults again.
pub fn ignore_those_of_writes() {
    // A terminal with `stty tostop` would stop us for writing a record from the background.
    sys::ignore(SIGTTOU);
    // A limit for the size of files (`ulimit -f`, LimitFSIZE=) makes a write fail, as a full disk does.
    sys::ignore(SIGXFSZ);
}

/// The signals that mean something.
#[derive(Debug)]
pub struct Signals(SignalDelivery<UnixStream, SignalOnly>);

impl Signals {
    /// From here on these signals no longer end the program, but are kept for [`Signals::pending`].
    ///
    /// # Errors
    /// No descriptors left.
    pub fn catch(signals: &[i32]) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        // Whoever ignored these before starting us (nohup, or a shell for what it puts in the background)
        // wants us to live on.
        let is_left = |signal: &i32| [SIGHUP, SIGINT].contains(signal) && sys::is_ignored(*signal);
        let signals: Vec<_> = signals.iter().copied().filter(|signal| !is_left(signal)).collect();
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, &signals)?;
        // Whoever started us may have blocked them for itself, and has passed that on.
        let caught: SigSet = signals.iter().filter_map(|signal| Signal::try_from(*signal).ok()).collect();
        caught.thread_unblock()?;
        Ok(Signals(delivery))
    }

    /// What becomes readable with each signal.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.get_read().as_fd()
    }

    /// The signals since the last call, each once.
    pub fn pending(&mut self) -> impl Iterator<Item = i32> + use<> {
        self.0.pending()
    }
}
