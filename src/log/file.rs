//! The log file: rotated by size, without a torn or lost record.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use rustix::fs::{OFlags, Stat, fstat};

use crate::fs::{Dir, Trust, identity};
use crate::guard::guarded;
use crate::settings::Settings;

/// file-rotate, guarded: it panics where its directory or file has vanished, and drops records without a
/// word after a rotation that failed.
pub(super) struct RotatingFile {
    /// The instance.
    pub(super) name: String,
    pub(super) path: PathBuf,
    trust: Trust,
    /// Its size, in bytes, from which on it is rotated, and how many older files are kept beside it.
    limits: (u64, usize),
    open: Option<Open>,
}

struct Open {
    file: FileRotate<AppendCount>,
    /// Device and inode of what is written to.
    identity: (u64, u64),
    /// The path of `file` leads through it.
    dir: Dir,
}

impl RotatingFile {
    /// That of the instance with these settings.
    pub(super) fn of(settings: &Settings) -> Self {
        let Settings { dirs, name, log_max_size, log_max_files, .. } = settings;
        Self::new(&name.to_string(), dirs.log(name), dirs.trust, (*log_max_size, *log_max_files))
    }

    pub(super) fn new(name: &str, path: PathBuf, trust: Trust, limits: (u64, usize)) -> Self {
        RotatingFile { name: name.to_owned(), path, trust, limits, open: None }
    }

    pub(super) fn write_record(&mut self, record: &str) -> io::Result<()> {
        let result = self.try_write(record);
        if result.is_err() {
            self.open = None;
        }
        result
    }

    fn try_write(&mut self, record: &str) -> io::Result<()> {
        let (folder, name) = Dir::split(&self.path)?;
        // Removed, moved away, or rotated by somebody else; or somebody else's by now.
        let is_it = |open: &Open| {
            let there = open.dir.about_file(name).ok().map(|about| identity(&about));
            open.dir.is_in_place() && there == Some(open.identity)
        };
        let mut open = match self.open.take().filter(is_it) {
            Some(open) => open,
            None => self.open(folder, name)?,
        };
        let before = open.dir.about_file(name)?;
        let written = guarded(|| open.file.write_all(record.as_bytes())).ok_or_else(vanished);
        if let Err(error) = written.and_then(|written| written) {
            // What a full disk took of it would tear the next one.
            mend(&open.dir, name, &before)?;
            return Err(error);
        }
        let after = open.dir.about_file(name)?;
        let rotated = identity(&after) != open.identity;
        open.identity = identity(&after);
        self.open = Some(open);
        // Nothing was written if a rotation failed half-way.
        let added = if rotated { after.st_size } else { after.st_size.saturating_sub(before.st_size) };
        let is_whole = usize::try_from(added).is_ok_and(|added| added >= record.len());
        if is_whole { Ok(()) } else { Err(io::Error::other("rotation failed")) }
    }

    fn open(&self, folder: &Path, name: &OsStr) -> io::Result<Open> {
        let dir = Dir::make(folder, self.trust)?.following_links();
        // Which finds out what is wrong with them before file-rotate does.
        dir.make_file(name, OFlags::RDWR | OFlags::APPEND, 0o640)?;
        let path = dir.held_path(name);
        let file = guarded(|| rotating(&path, self.trust, self.limits)).ok_or_else(vanished)?;
        Ok(Open { file, identity: identity(&dir.about_file(name)?), dir })
    }
}

/// Cuts what was written since `before`.
fn mend(dir: &Dir, name: &OsStr, before: &Stat) -> io::Result<()> {
    let file = dir.open_file(name, OFlags::WRONLY)?;
    let torn = fstat(&file)?;
    let is_torn = identity(&torn) == identity(before) && torn.st_size > before.st_size;
    if is_torn { file.set_len(before.st_size.unsigned_abs()) } else { Ok(()) }
}

fn vanished() -> io::Error {
    io::Error::other("it vanished during rotation")
}

fn rotating(path: &Path, trust: Trust, limits: (u64, usize)) -> FileRotate<AppendCount> {
    let links = if trust == Trust::RootOnly { OFlags::NOFOLLOW } else { OFlags::empty() };
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o640);
    options.custom_flags(crate::sys::custom_flags(links | OFlags::NONBLOCK));
    let (max_size, max_files) = limits;
    let limit = ContentLimit::BytesSurpassed(usize::try_from(max_size).unwrap_or(usize::MAX).max(1));
    FileRotate::new(path, AppendCount::new(max_files), limit, Compression::None, Some(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_in(folder: &Path, max_size: u64, max_files: usize) -> RotatingFile {
        RotatingFile::new("x", folder.join("made/x.log"), Trust::Anyone, (max_size, max_files))
    }

    fn read_all(folder: &Path) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        // The oldest has the highest number.
        files.sort_by_key(|file| {
            std::cmp::Reverse(file.extension().unwrap().to_str().unwrap().parse().unwrap_or(0))
        });
        files
            .iter()
            .flat_map(|file| {
                std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn no_record_is_torn_or_lost_by_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = file_in(folder.path(), 1000, 100);
        let expected: Vec<_> =
            (0..500).map(|number| format!("record {number} {}", "x".repeat(number % 90))).collect();
        for record in &expected {
            file.write_record(&format!("{record}\n")).unwrap();
        }
        assert_eq!(read_all(&folder.path().join("made")), expected);
        assert!(std::fs::read_dir(folder.path().join("made")).unwrap().count() > 10);
    }

    #[test]
    fn only_so_many_older_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = file_in(folder.path(), 10, 2);
        for number in 0..20 {
            file.write_record(&format!("record number {number}\n")).unwrap();
        }
        let kept = read_all(&folder.path().join("made"));
        assert_eq!(kept, ["record number 17", "record number 18", "record number 19"]);
    }

    #[test]
    fn what_was_kept_before_the_limit_was_lowered_goes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |record: &str, max_files| {
            file_in(folder.path(), 1, max_files).write_record(&format!("{record}\n")).unwrap();
            read_all(&folder.path().join("made")).join(" ")
        };
        for record in ["0", "1", "2", "3"] {
            write(record, 4);
        }
        assert_eq!(write("4", 4), "0 1 2 3 4");
        assert_eq!(write("5", 1), "4 5");
        assert_eq!(write("6", 0), "6");
    }

    #[test]
    fn what_vanishes_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("made");
        let mut file = file_in(folder.path(), 20, 3);
        file.write_record("one\n").unwrap();
        std::fs::remove_file(made.join("x.log")).unwrap();
        file.write_record("two\n").unwrap();
        std::fs::rename(made.join("x.log"), made.join("moved")).unwrap();
        file.write_record("three, and long enough to rotate\n").unwrap();
        std::fs::remove_dir_all(&made).unwrap();
        file.write_record("four\n").unwrap();
        assert_eq!(read_all(&made), ["four"]);
    }

    #[test]
    fn what_cannot_be_written_is_said_and_gets_over() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("made");
        let mut file = file_in(folder.path(), 20, 3);
        file.write_record("one\n").unwrap();
        std::fs::remove_dir_all(&made).unwrap();
        std::fs::write(&made, "in the way").unwrap();
        assert!(file.write_record("two\n").is_err());
        std::fs::remove_file(&made).unwrap();
        file.write_record("three\n").unwrap();
        assert_eq!(read_all(&made), ["three"]);
        // A directory where the first of the older files should be.
        file.write_record("more than twenty bytes long\n").unwrap();
        std::fs::create_dir_all(made.join("x.log.1/full")).unwrap();
        let results: Vec<_> =
            (0..3).map(|_| file.write_record("four, which needs a rotation\n").is_ok()).collect();
        let written = std::fs::read_to_string(made.join("x.log")).unwrap_or_default();
        assert_eq!(
            written.matches("four").count(),
            results.iter().filter(|ok| **ok).count(),
            "said as it is: {results:?}"
        );
    }

    #[test]
    fn a_pipe_in_the_way_blocks_nobody() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("made")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("made/x.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(file_in(folder.path(), 20, 3).write_record("one\n").is_err());
    }
}
