//! A terminal, and somebody who sits at it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;

use nix::fcntl::OFlag;
use regex_lite::Regex;

use crate::harness::{Captured, DEADLINE, LOOK_AGAIN, Scene, Watchdog};

/// A terminal, and somebody who types and reads.
pub struct Terminal {
    master: Option<nix::pty::PtyMaster>,
    slave: PathBuf,
    transcript: String,
    read: usize,
}

impl Terminal {
    pub fn new() -> Self {
        // Without O_CLOEXEC the children of other tests would hold it open.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let master = nix::pty::posix_openpt(flags).unwrap();
        nix::pty::grantpt(&master).unwrap();
        nix::pty::unlockpt(&master).unwrap();
        let slave = nix::pty::ptsname_r(&master).unwrap().into();
        Terminal { master: Some(master), slave, transcript: String::new(), read: 0 }
    }

    /// Makes it so large, as whoever sits at it does.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let master = self.master.as_ref().unwrap().as_raw_fd();
        // SAFETY: the kernel only reads from `size`.
        let done = unsafe { libc::ioctl(master, libc::TIOCSWINSZ, &raw const size) };
        nix::errno::Errno::result(done).unwrap();
    }

    /// The side that programs see.
    pub fn open(&self) -> File {
        File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(&self.slave).unwrap()
    }

    /// Starts a command with this as its controlling terminal.
    pub fn start<'a>(&mut self, scene: &'a Scene, mut command: Command) -> Watchdog<'a> {
        command.stdin(self.open()).stdout(self.open()).stderr(self.open());
        // SAFETY: the closure makes two system calls, which signal-safety(7) allows after fork.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                nix::errno::Errno::result(libc::ioctl(0, libc::TIOCSCTTY, 0))?;
                Ok(())
            });
        }
        scene.spawn(command, Captured::Nothing)
    }

    /// Reads on until `pattern` is found, and gives the lines up to there.
    #[track_caller]
    pub fn expect(&mut self, pattern: &str) -> String {
        let regex = Regex::new(pattern).unwrap();
        let end = Instant::now() + DEADLINE;
        loop {
            self.receive();
            let unread = &self.transcript[self.read..];
            if let Some(found) = regex.find(unread) {
                self.read += found.end();
                return unread[..found.end()].to_owned();
            }
            assert!(
                Instant::now() < end,
                "in vain: /{pattern}/ in\n{}\n--- of\n{}",
                &self.transcript[self.read..],
                self.transcript
            );
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// All that was seen so far.
    pub fn transcript(&mut self) -> &str {
        self.receive();
        &self.transcript
    }

    fn receive(&mut self) {
        let mut bytes = Vec::new();
        // It ends with an error when there is no more for now, and when the other side is gone.
        let _ = self.master.as_mut().unwrap().read_to_end(&mut bytes);
        self.transcript.push_str(&String::from_utf8_lossy(&bytes).replace('\r', ""));
    }

    pub fn enter(&mut self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    pub fn press(&mut self, keys: &str) {
        self.master.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    pub fn hang_up(&mut self) {
        self.master = None;
    }
}
