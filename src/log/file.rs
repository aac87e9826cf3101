//! The log file: rotated by size, without a torn or lost record.

use crate::guard::guarded;
use crate::log::make;
use crate::settings::Settings;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};

/// Where the log goes, and how it is kept small.
#[derive(Debug, Clone)]
pub struct LogFile {
    /// The instance, which each record begins with.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Its size, in bytes, from which on it is rotated.
    pub max_size: u64,
    /// How many older files are kept beside it.
    pub max_files: usize,
}

impl LogFile {
    /// That of the instance with these settings.
    pub fn of(settings: &Settings) -> Self {
        let (name, path) = (settings.name.to_string(), settings.dirs.log(&settings.name));
        LogFile { name, path, max_size: settings.log_max_size, max_files: settings.log_max_files }
    }
}

/// file-rotate, guarded: it panics where its folder or file has vanished, and drops records without a
/// word after a rotation that failed.
pub(super) struct RotatingFile {
    pub(super) limits: LogFile,
    open: Option<Open>,
}

struct Open {
    file: FileRotate<AppendCount>,
    /// Device and inode of what is written to.
    identity: (u64, u64),
}

impl RotatingFile {
    pub(super) fn new(limits: LogFile) -> Self {
        RotatingFile { limits, open: None }
    }

    pub(super) fn write_record(&mut self, record: &str) -> io::Result<()> {
        let result = self.try_write(record);
        if result.is_err() {
            self.open = None;
        }
        result
    }

    fn try_write(&mut self, record: &str) -> io::Result<()> {
        let path = &self.limits.path;
        let identity = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
        // Removed, moved away, or rotated by somebody else.
        if self.open.as_ref().is_some_and(|open| identity(path).ok() != Some(open.identity)) {
            self.open = None;
        }
        if self.open.is_none() {
            // Which finds out what is wrong with them before file-rotate does.
            make(OpenOptions::new().read(true).append(true), path)?;
            let file = guarded(|| rotating(&self.limits)).ok_or_else(vanished)?;
            self.open = Some(Open { file, identity: identity(path)? });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let before = std::fs::metadata(path)?.len();
        if let Err(error) = guarded(|| open.file.write_all(record.as_bytes()))
            .ok_or_else(vanished)
            .and_then(|written| written)
        {
            // What a full disk took of it would tear the next one.
            let file = OpenOptions::new().write(true).open(path)?;
            let torn = file.metadata()?;
            if (torn.dev(), torn.ino()) == open.identity && torn.len() > before {
                file.set_len(before)?;
            }
            return Err(error);
        }
        let after = std::fs::metadata(path)?;
        let rotated = (after.dev(), after.ino()) != open.identity;
        open.identity = (after.dev(), after.ino());
        // Nothing was written if a rotation failed half-way.
        let added = if rotated { after.len() } else { after.len().saturating_sub(before) };
        if added < record.len() as u64 { Err(io::Error::other("rotation failed")) } else { Ok(()) }
    }
}

fn vanished() -> io::Error {
    io::Error::other("it vanished during rotation")
}

fn rotating(limits: &LogFile) -> FileRotate<AppendCount> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o640);
    let size = usize::try_from(limits.max_size).unwrap_or(usize::MAX).max(1);
    FileRotate::new(
        &limits.path,
        AppendCount::new(limits.max_files),
        ContentLimit::BytesSurpassed(size),
        Compression::None,
        Some(options),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_in(folder: &Path, max_size: u64, max_files: usize) -> RotatingFile {
        RotatingFile::new(LogFile { name: "x".into(), path: folder.join("made/x.log"), max_size, max_files })
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
        // A folder where the first of the older files should be.
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
