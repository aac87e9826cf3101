//! The log file: rotated by size, without a torn or lost record.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use rustix::fs::{OFlags, fstat};

use crate::fs::{Dir, Trust, identity};
use crate::settings::Settings;

pub(super) struct RotatingFile {
    /// The instance.
    pub(super) name: String,
    pub(super) path: PathBuf,
    trust: Trust,
    /// The size, in bytes, beyond which it is rotated before a record.
    max_size: u64,
    /// How many older files are kept beside it.
    max_files: usize,
    /// Kept: there may be no descriptors left when there is something to say.
    open: Option<(Dir, File)>,
}

impl RotatingFile {
    /// That of the instance with these settings.
    pub(super) fn of(settings: &Settings) -> Self {
        let Settings { dirs, name, log_max_size, log_max_files, .. } = settings;
        Self::new(&name.to_string(), dirs.log(name), dirs.trust, (*log_max_size, *log_max_files))
    }

    pub(super) fn new(name: &str, path: PathBuf, trust: Trust, limits: (u64, usize)) -> Self {
        let (max_size, max_files) = limits;
        RotatingFile { name: name.to_owned(), path, trust, max_size, max_files, open: None }
    }

    pub(super) fn write_record(&mut self, record: &str) -> io::Result<()> {
        let (folder, name) = Dir::split(&self.path)?;
        // Removed, moved away, or rotated by somebody else; or somebody else's by now.
        let is_it = |(dir, file): &(Dir, File)| {
            let is_open = |there| fstat(file).is_ok_and(|open| identity(&open) == identity(&there));
            dir.is_in_place() && dir.about_file(name).is_ok_and(is_open)
        };
        let (mut dir, mut file) = match self.open.take().filter(is_it) {
            Some(open) => open,
            None => open(Dir::make(folder, self.trust)?.following_links(), name)?,
        };
        if file.metadata()?.len() > self.max_size {
            self.rotate(&dir, name)?;
            (dir, file) = open(dir, name)?;
        }
        let length = file.metadata()?.len();
        if let Err(error) = file.write_all(record.as_bytes()) {
            // What a full disk took of it would tear the next one.
            file.set_len(length)?;
            return Err(error);
        }
        self.open = Some((dir, file));
        Ok(())
    }

    fn rotate(&self, dir: &Dir, name: &OsStr) -> io::Result<()> {
        make_room(dir, name, self.max_files)?;
        if self.max_files == 0 { dir.remove(name) } else { dir.rename(name, older(name, 1)) }
    }
}

fn open(dir: Dir, name: &OsStr) -> io::Result<(Dir, File)> {
    let file = dir.make_file(name, OFlags::WRONLY | OFlags::APPEND, 0o640)?;
    Ok((dir, file))
}

/// The name of an older file.
pub(super) fn older(name: &OsStr, number: usize) -> OsString {
    [name, format!(".{number}").as_ref()].into_iter().collect()
}

/// Makes room for one more older file, where so many are kept.
pub(super) fn make_room(dir: &Dir, name: &OsStr, max_files: usize) -> io::Result<()> {
    // More were kept, perhaps, until the limit was lowered.
    let too_many = (max_files + 1..).map(|number| older(name, number));
    for too_old in too_many.take_while(|too_old| dir.about(too_old).is_ok()) {
        dir.remove(too_old)?;
    }
    for number in (1..max_files).rev() {
        match dir.rename(older(name, number), older(name, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
            file_in(folder.path(), 0, max_files).write_record(&format!("{record}\n")).unwrap();
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
        let mut file = file_in(folder.path(), 20, 1);
        file.write_record("one\n").unwrap();
        std::fs::remove_dir_all(&made).unwrap();
        std::fs::write(&made, "in the way").unwrap();
        assert!(file.write_record("two\n").is_err());
        std::fs::remove_file(&made).unwrap();
        file.write_record("three\n").unwrap();
        assert_eq!(read_all(&made), ["three"]);
        // A directory where the only older file should be.
        file.write_record("more than twenty bytes long\n").unwrap();
        std::fs::create_dir_all(made.join("x.log.1/full")).unwrap();
        assert!(file.write_record("four, which needs a rotation\n").is_err());
        assert!(file.write_record("five, which needs it too\n").is_err());
        std::fs::remove_dir_all(made.join("x.log.1")).unwrap();
        file.write_record("six\n").unwrap();
        assert_eq!(read_all(&made), ["three", "more than twenty bytes long", "six"]);
    }

    #[test]
    fn a_pipe_in_the_way_blocks_nobody() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("made")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("made/x.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(file_in(folder.path(), 20, 3).write_record("one\n").is_err());
    }
}
