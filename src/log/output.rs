//! What start commands and the daemons they leave write: a file that never grows beyond its limit, even
//! while a daemon holds it open for years.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::fs::{Dir, Trust};
use crate::settings::Settings;
use crate::state::owed::Position;
use crate::text::last_lines;

/// How much of the end of a command's output is looked at for its last lines.
const TAIL: u64 = 4096;
/// How many of these lines are quoted, and how long each may be.
const LINES: usize = 3;
const LINE_LENGTH: usize = 300;
/// How much is read for new lines by a system call, and in all: what writes without end must not hold up the watch.
const CHUNK: usize = 64 * 1024;
const MOST_AT_ONCE: u64 = 1 << 20;
/// How much of a line is looked at.
const LONGEST_LINE: u64 = 4096;

/// The output log of one instance.
#[derive(Debug, Clone)]
pub struct OutputLog {
    path: PathBuf,
    trust: Trust,
    max_size: u64,
    max_files: usize,
}

impl OutputLog {
    /// The file at `path`, kept to `max_size` bytes, with `max_files` older ones beside it.
    pub fn new(path: PathBuf, trust: Trust, max_size: u64, max_files: usize) -> Self {
        OutputLog { path, trust, max_size, max_files }
    }

    /// Where it is, and its name there.
    fn place(&self, open: fn(&Path, Trust) -> io::Result<Dir>) -> io::Result<(Dir, &OsStr)> {
        let (folder, name) = Dir::split(&self.path)?;
        Ok((open(folder, self.trust)?.following_links(), name))
    }

    /// That of the instance with these settings.
    pub fn of(settings: &Settings) -> Self {
        let Settings { dirs, name, log_max_size, log_max_files, .. } = settings;
        Self::new(dirs.output_log(name), dirs.trust, *log_max_size, *log_max_files)
    }

    /// Opens it for a command to append to.
    ///
    /// # Errors
    /// It cannot be made, or is no regular file.
    pub fn open(&self) -> io::Result<File> {
        let (dir, name) = self.place(Dir::make)?;
        let file = dir.make_file(name, OFlags::WRONLY | OFlags::APPEND, 0o640)?;
        rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
        Ok(file)
    }

    /// How long it is; what a command writes comes after.
    pub fn length(&self) -> u64 {
        let about = self.place(Dir::open).and_then(|(dir, name)| dir.about(name));
        about.map_or(0, |about| about.st_size.unsigned_abs())
    }

    /// Its end, which may be in the older file since it was cut.
    pub fn end(&self) -> String {
        let Ok((dir, name)) = self.place(Dir::open) else { return String::new() };
        let end = tail(&dir, name, 0, TAIL).unwrap_or_default();
        let missing = TAIL.saturating_sub(end.len() as u64);
        let before = tail(&dir, &older(name, 1), 0, missing).unwrap_or_default();
        String::from_utf8_lossy(&[before, end].concat()).into_owned()
    }

    /// Where new lines begin from now on.
    pub fn position(&self) -> Position {
        let about = self.path.metadata().ok().filter(Metadata::is_file);
        about.map(|about| Position { at: about.len(), ..begin(&about) }).unwrap_or_default()
    }

    /// Reads the complete lines that are new since `from`, as far as `read` goes on. Where nothing is, that takes
    /// one system call.
    pub fn new_lines(&self, from: &mut Position, mut read: impl FnMut(&[u8]) -> bool) {
        let is_new = |it: &Metadata, from: &Position| begin(it).file != from.file || it.len() != from.at;
        if !self.path.metadata().is_ok_and(|about| about.is_file() && is_new(&about, from)) {
            return;
        }
        let file = self.place(Dir::open).and_then(|(dir, name)| dir.open_file(name, OFlags::RDONLY));
        let Ok(mut file) = file else { return };
        let Ok(about) = file.metadata() else { return };
        if begin(&about).file != from.file || about.len() < from.at {
            *from = begin(&about);
        }
        if file.seek(SeekFrom::Start(from.at)).is_err() {
            return;
        }
        let mut file = BufReader::with_capacity(CHUNK, file.take(MOST_AT_ONCE));
        let mut line = Vec::new();
        loop {
            line.clear();
            let Ok(length) = file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) else { return };
            let (length, is_whole) = (length as u64, line.ends_with(b"\n"));
            // Half a line is read again when it is whole; but of a long one there is no more to see.
            if !is_whole && length < LONGEST_LINE {
                return;
            }
            from.at += length;
            let is_known = std::mem::replace(&mut from.is_in_long_line, !is_whole);
            if !is_known && !read(line.strip_suffix(b"\n").unwrap_or(&line)) {
                return;
            }
        }
    }

    /// The last lines that were written since it was `from` bytes long.
    pub fn last_lines_since(&self, from: u64) -> Vec<String> {
        let tail = self.place(Dir::open).and_then(|(dir, name)| tail(&dir, name, from, TAIL));
        let tail = tail.unwrap_or_default();
        let beginning = |line: &str| line.chars().take(LINE_LENGTH).collect();
        last_lines(&String::from_utf8_lossy(&tail), LINES).into_iter().map(beginning).collect()
    }

    /// Brings it back under its limit: its end is copied to the first of the older files, and it is
    /// truncated. Whoever has it open goes on writing at its new beginning; what is written between the
    /// copy and the cut is lost, as with logrotate's `copytruncate`.
    ///
    /// # Errors
    /// It is over its limit, and could not be copied (it is cut all the same) or not be cut.
    pub fn keep_to_limit(&self) -> io::Result<()> {
        if self.length() <= self.max_size {
            return Ok(());
        }
        let (dir, name) = self.place(Dir::open)?;
        let file = dir.open_file(name, OFlags::RDWR)?;
        let copied = self.copy_end(&dir, name, &file);
        // A full disk must not become fuller because the copy has no room.
        file.set_len(0)?;
        copied
    }

    fn copy_end(&self, dir: &Dir, name: &OsStr, mut file: &File) -> io::Result<()> {
        if self.max_files == 0 {
            return Ok(());
        }
        // More were kept, perhaps, until the limit was lowered.
        for too_old in (self.max_files + 1..).map(|number| older(name, number)) {
            if dir.about(&too_old).is_err() || dir.remove(&too_old).is_err() {
                break;
            }
        }
        for number in (1..self.max_files).rev() {
            match dir.rename(older(name, number), older(name, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        file.seek(SeekFrom::Start(file.metadata()?.len().saturating_sub(self.max_size)))?;
        // Not what is there: a pipe would be waited for, and what a link leads to is not ours to overwrite.
        dir.remove(older(name, 1))?;
        let mut to = dir.new_file(older(name, 1), OFlags::WRONLY, 0o640)?;
        io::copy(&mut file.take(self.max_size), &mut to)?;
        to.flush()
    }
}

/// The name of an older file.
fn older(name: &OsStr, number: usize) -> OsString {
    [name, format!(".{number}").as_ref()].into_iter().collect()
}

/// At most so many bytes of the end of a file, of those that were written since it was `from` bytes long.
fn tail(dir: &Dir, name: &OsStr, from: u64, most: u64) -> io::Result<Vec<u8>> {
    let file = dir.open_file(name, OFlags::RDONLY)?;
    let end = file.metadata()?.len();
    // It is shorter if it was truncated meanwhile.
    let from = if end < from { 0 } else { from };
    let start = from.max(end.saturating_sub(most));
    let mut tail = vec![0; usize::try_from(end - start).unwrap_or(0)];
    let length = file.read_at(&mut tail, start)?;
    tail.truncate(length);
    Ok(tail)
}

/// Where a file begins.
fn begin(about: &Metadata) -> Position {
    Position { file: (about.dev(), about.ino()), ..Position::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(folder: &Path, max_size: u64) -> OutputLog {
        OutputLog::new(folder.join("made/x.output.log"), Trust::Anyone, max_size, 2)
    }

    #[test]
    fn its_end_outlives_a_cut() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), 10);
        let write = |text: &str| log.open().unwrap().write_all(text.as_bytes()).unwrap();
        assert_eq!(log.end(), "");
        write("last words, before\n");
        log.keep_to_limit().unwrap();
        assert_eq!((log.length(), log.end().as_str()), (0, "s, before\n"));
        write("after\n");
        assert_eq!(log.end(), "s, before\nafter\n");
    }

    #[test]
    fn only_the_last_lines_of_this_command_are_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), 1 << 20);
        log.open().unwrap().write_all(b"of the one before\n").unwrap();
        let from = log.length();
        assert_eq!(log.last_lines_since(from), Vec::<String>::new());
        log.open().unwrap().write_all(b"one\n\ntwo\n  three  \nfour \xff").unwrap();
        assert_eq!(log.last_lines_since(from), ["two", "three", "four \u{fffd}"]);
        log.open().unwrap().write_all("x".repeat(10_000).as_bytes()).unwrap();
        assert_eq!(log.last_lines_since(from), ["x".repeat(LINE_LENGTH)]);
    }

    #[test]
    fn is_cut_under_a_writer_that_holds_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), 100);
        let mut daemon = log.open().unwrap();
        for of_a_higher_limit in ["3", "4"] {
            let file = format!("made/x.output.log.{of_a_higher_limit}");
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        for round in 0..5 {
            daemon.write_all(format!("{round}").repeat(150).as_bytes()).unwrap();
            assert_eq!(log.length(), 150);
            log.keep_to_limit().unwrap();
            assert_eq!(log.length(), 0);
            let older = std::fs::read_to_string(folder.path().join("made/x.output.log.1")).unwrap();
            assert_eq!(older, format!("{round}").repeat(100), "the end is kept");
        }
        let names: Vec<_> = std::fs::read_dir(folder.path().join("made")).unwrap().collect();
        assert_eq!(names.len(), 3, "the file and two older ones");
        daemon.write_all(b"short").unwrap();
        log.keep_to_limit().unwrap();
        assert_eq!(log.last_lines_since(0), ["short"]);
    }

    #[test]
    fn what_is_in_the_place_of_the_older_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let log = OutputLog::new(folder.path().join("x.output.log"), Trust::Anyone, 100, 1);
        let (older, precious) = (folder.path().join("x.output.log.1"), folder.path().join("precious"));
        std::fs::write(&precious, "precious").unwrap();
        let link = || std::os::unix::fs::symlink(&precious, &older).unwrap();
        let pipe = || nix::unistd::mkfifo(&older, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for put in [&link as &dyn Fn(), &pipe] {
            let _ = std::fs::remove_file(&older);
            put();
            log.open().unwrap().write_all("x".repeat(150).as_bytes()).unwrap();
            log.keep_to_limit().unwrap();
            assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
            assert!(older.symlink_metadata().unwrap().is_file());
            assert_eq!(std::fs::read_to_string(&older).unwrap(), "x".repeat(100));
            assert_eq!(log.length(), 0);
        }
    }

    #[test]
    fn new_lines_are_read_once_and_when_they_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), 1 << 20);
        let mut at = log.position();
        let mut new = || {
            let mut lines = Vec::new();
            log.new_lines(&mut at, |line| {
                lines.push(String::from_utf8_lossy(line).into_owned());
                lines.len() < 3
            });
            lines
        };
        assert!(new().is_empty(), "there is no file");
        let mut daemon = log.open().unwrap();
        daemon.write_all(b"one\n\xff two\nha").unwrap();
        assert_eq!(new(), ["one", "\u{fffd} two"]);
        assert!(new().is_empty());
        daemon.write_all(b"lf\n1\n2\n3\n").unwrap();
        assert_eq!([new(), new()].concat(), ["half", "1", "2", "3"]);
        // A long line counts once, as soon as it is known to be one, and its end is no line of its own.
        daemon.write_all("x".repeat(1 << 20).as_bytes()).unwrap();
        assert_eq!(new(), ["x".repeat(4096)]);
        daemon.write_all(b"end\nnext\n").unwrap();
        assert_eq!(new(), ["next"]);
        // Cut under its writer, and replaced.
        daemon.set_len(0).unwrap();
        assert!(new().is_empty());
        daemon.write_all(b"after the cut\n").unwrap();
        assert_eq!(new(), ["after the cut"]);
        std::fs::rename(&log.path, folder.path().join("moved")).unwrap();
        assert!(new().is_empty());
        log.open().unwrap().write_all(b"in another\n").unwrap();
        assert_eq!(new(), ["in another"]);
        assert_eq!(log.position().at, 11);
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let log = OutputLog::new(folder.path().join("pipe"), Trust::Anyone, 100, 1);
        nix::unistd::mkfifo(&log.path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(log.open().is_err());
        assert_eq!(log.last_lines_since(0), Vec::<String>::new());
        assert!(OutputLog::new(folder.path().into(), Trust::Anyone, 100, 1).open().is_err());
    }
}
