//! What start commands, probes and processes note of themselves, and who reads it.
//!
//! Each start command and probe writes a line when it begins, and another when it ends by itself; and a process
//! that is probed when it is told to end. Each is one write to a file that is opened for appending: lines are
//! whole, and in the order in which they were written.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub instance: String,
    /// The process that wrote it.
    pub pid: i32,
    /// When it was written.
    pub at: Duration,
    pub what: What,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A start command has begun.
    Began {
        /// When it was forked, to the tick.
        forked: Duration,
        /// No other start command of the instance was running.
        alone: bool,
        /// How it is going to behave.
        behaviour: String,
        /// What the watchdog should have seen: the processes that run, and when they started.
        running: Vec<(i32, Duration)>,
    },
    /// It has ended by itself.
    Ended,
    /// A probe of this process has begun, or says this of it.
    Probe {
        /// The process.
        process: i32,
        /// `begins`, `good`, `bad` or `unknown`.
        says: String,
    },
    /// The process that writes this got SIGTERM.
    Told,
}

impl Note {
    /// Adds it to the file at `path`.
    pub fn append(&self, path: &Path) -> std::io::Result<()> {
        let Note { instance, pid, at, what } = self;
        let mut line = format!("{instance} {pid} {}", at.as_millis());
        match what {
            What::Ended => line.push_str(" ended"),
            What::Told => line.push_str(" told"),
            What::Probe { process, says } => {
                let _ = write!(line, " probe {process} {says}");
            }
            What::Began { forked, alone, behaviour, running } => {
                let _ = write!(line, " began {} {alone} {behaviour}", forked.as_millis());
                for (pid, started) in running {
                    let _ = write!(line, " {pid}:{}", started.as_millis());
                }
            }
        }
        line.push('\n');
        OpenOptions::new().append(true).open(path)?.write_all(line.as_bytes())
    }

    fn parse(line: &str) -> Option<Note> {
        let millis = |word: &str| Some(Duration::from_millis(word.parse().ok()?));
        let mut words = line.split(' ');
        let mut next = || words.next();
        let (instance, pid, at) = (next()?.to_owned(), next()?.parse().ok()?, millis(next()?)?);
        let what = match next()? {
            "ended" => What::Ended,
            "told" => What::Told,
            "probe" => What::Probe { process: next()?.parse().ok()?, says: next()?.to_owned() },
            "began" => What::Began {
                forked: millis(next()?)?,
                alone: next()?.parse().ok()?,
                behaviour: next()?.to_owned(),
                running: words
                    .map(|word| {
                        let (pid, started) = word.split_once(':')?;
                        Some((pid.parse().ok()?, millis(started)?))
                    })
                    .collect::<Option<_>>()?,
            },
            _ => return None,
        };
        Some(Note { instance, pid, at, what })
    }
}

/// Reads the ledger as it grows.
pub struct Reader {
    file: File,
    rest: String,
}

impl Reader {
    /// Begins a ledger.
    pub fn begin(path: &Path) -> Self {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).expect("a ledger");
        Reader { file, rest: String::new() }
    }

    /// What is new.
    pub fn news(&mut self) -> Vec<Note> {
        self.file.read_to_string(&mut self.rest).expect("a text");
        let end = self.rest.rfind('\n').map_or(0, |end| end + 1);
        let whole: String = self.rest.drain(..end).collect();
        whole.lines().map(|line| Note::parse(line).unwrap_or_else(|| panic!("{line:?}"))).collect()
    }
}
