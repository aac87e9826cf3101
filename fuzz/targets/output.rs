//! An output log that grows, is cut and replaced while its new lines are read. Each two bytes are what happens, and how
//! much of it; what is written is what follows them.
#![no_main]

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use watchdog::parts::{OutputLog, Trust};

/// How much of a line is looked at: one of which so much is there is a long one, though its end is not.
const LONGEST_LINE: usize = 4096;
const MAX_SIZE: u64 = 4096;

/// What is written and not yet read, as far as anybody can tell from outside.
#[derive(Default)]
struct Unread {
    bytes: Vec<u8>,
    is_in_long_line: bool,
}

impl Unread {
    fn read(&mut self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut see = |line: &[u8], is_known: bool| {
            if !is_known {
                lines.push(line[..line.len().min(LONGEST_LINE)].to_vec());
            }
        };
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            see(&self.bytes[..end], std::mem::take(&mut self.is_in_long_line));
            self.bytes.drain(..=end);
        }
        if self.is_in_long_line || self.bytes.len() >= LONGEST_LINE {
            see(&self.bytes, std::mem::replace(&mut self.is_in_long_line, true));
            self.bytes.clear();
        }
        lines
    }
}

thread_local!(static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) });

fuzz_target!(|data: &[u8]| {
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir_in("/dev/shm").unwrap()).path();
        for file in fs::read_dir(folder).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        check(&folder.join("x.output.log"), data);
    });
});

fn check(path: &Path, mut data: &[u8]) {
    let log = OutputLog::new(path.to_owned(), Trust::Anyone, MAX_SIZE, 1);
    let mut position = log.position();
    let mut unread = Unread::default();
    let mut daemon = log.open().unwrap();
    let mut read = |unread: &mut Unread, at_once: usize| {
        let mut lines = Vec::new();
        loop {
            let (before, read) = (position, lines.len());
            log.new_lines(&mut position, |line| {
                lines.push(line.to_vec());
                lines.len() - read < at_once
            });
            if position == before {
                break;
            }
        }
        assert_eq!(lines, unread.read());
    };
    let write = |daemon: &mut File, unread: &mut Unread, bytes: &[u8]| {
        daemon.write_all(bytes).unwrap();
        unread.bytes.extend(bytes);
    };
    let mut budget = 64;
    while let ([what, much, rest @ ..], 1..) = (data, budget) {
        let much = usize::from(*much);
        budget -= 1;
        data = rest;
        match what % 8 {
            0..=2 => {
                let (bytes, rest) = data.split_at(much.min(data.len()));
                write(&mut daemon, &mut unread, bytes);
                data = rest;
            }
            3 => write(&mut daemon, &mut unread, &vec![b'x'; (much % 100) * 1024]),
            4 => write(&mut daemon, &mut unread, &b"line\n".repeat(much)),
            5 => read(&mut unread, much % 4 + 1),
            6 => {
                daemon.set_len(0).unwrap();
                unread = Unread::default();
                read(&mut unread, 1);
            }
            _ => {
                fs::rename(path, path.with_extension("old")).unwrap();
                daemon = log.open().unwrap();
                unread = Unread::default();
                read(&mut unread, 1);
            }
        }
    }
    read(&mut unread, usize::MAX);
    let last = log.last_lines_since(0);
    assert!(last.len() <= 3 && last.iter().all(|line| !line.is_empty() && line.chars().count() <= 300));
    let length = log.length();
    log.keep_to_limit().unwrap();
    assert_eq!(log.length(), if length > MAX_SIZE { 0 } else { length });
}
