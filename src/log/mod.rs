//! The log: one line for each change, to a file that rotates and to standard error.
//!
//! Records come in through the `log` crate.

mod file;
pub mod output;
mod stderr;

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use log::kv::Key;
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::settings::{Reach, Settings};
use crate::text::escaped;
use crate::time::{SecondsFormat, local};
use file::RotatingFile;
pub use stderr::{Stderr, cannot_tell, is_terminal, stderr_is_journal};

/// Starts the log of the instance with these settings. Called once.
pub fn start(settings: &Settings, stderr: Stderr) {
    let places = Places { file: RotatingFile::of(settings), stderr, is_refused: false };
    let _ = log::set_boxed_logger(Box::new(Logger(Mutex::new(places))));
    log::set_max_level(LevelFilter::Info);
}

/// Prints on standard output what nobody is told of if it is lost.
pub fn print(text: &str) {
    let _ = deliver(text);
}

/// Prints on standard output.
///
/// # Errors
/// It could not be written. Who closes a pipe early has enough.
pub fn deliver(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

struct Logger(Mutex<Places>);

/// Where records go: what the file does not take goes to standard error.
struct Places {
    file: RotatingFile,
    stderr: Stderr,
    /// The file has not taken the last record.
    is_refused: bool,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Info
    }

    fn log(&self, record: &Record<'_>) {
        let reach = record.key_values().get(Key::from("reach")).and_then(|value| value.to_u64());
        let all = [Reach::File, Reach::Usual, Reach::Mail];
        let reach = all.into_iter().find(|it| reach == Some(*it as u64)).unwrap_or(Reach::Usual);
        // One line, whatever is quoted in it.
        let text = escaped(&record.args().to_string());
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.write(record.level(), &text, reach);
    }

    fn flush(&self) {}
}

impl Places {
    fn write(&mut self, level: Level, text: &str, reach: Reach) {
        if let Some(notice) = self.write_to_file(level, text) {
            self.stderr.write_record(Level::Warn, &notice);
        }
        if self.is_refused || self.stderr.shows(level, reach) {
            self.stderr.write_record(level, text);
        }
    }

    /// What is to be said elsewhere, where the file has begun or ceased to take records.
    fn write_to_file(&mut self, level: Level, text: &str) -> Option<String> {
        let written = self.file.write_record(&line(level, text));
        let was_refused = std::mem::replace(&mut self.is_refused, written.is_err());
        let (name, path) = (&self.file.name, self.file.path.display());
        let notice = match written {
            Ok(()) if was_refused => format!("{name}: the log {path} is written again"),
            Err(error) if !was_refused => {
                format!(
                    "{name}: cannot write the log {path} ({error}); records go here until that works again"
                )
            }
            Ok(()) | Err(_) => return None,
        };
        let notice = escaped(&notice);
        if was_refused {
            let _ = self.file.write_record(&line(Level::Warn, &notice));
        }
        Some(notice)
    }
}

/// A record as it stands in the file.
fn line(level: Level, text: &str) -> String {
    format!("{} {level:<5} {text}\n", stamp())
}

fn stamp() -> String {
    local(SystemTime::now(), SecondsFormat::Millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Trust;
    use crate::settings::Verbosity;

    #[test]
    fn nothing_quoted_forges_a_record() {
        assert_eq!(escaped("a\nb\r\x1b[2J\u{202e}\u{2028}ü"), "a\\nb\\r\\u{1b}[2J\\u{202e}\\u{2028}ü");
    }

    #[test]
    fn what_the_file_refuses_is_said_elsewhere_from_beginning_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/x.log");
        std::fs::write(folder.path().join("made"), "in the way").unwrap();
        let file = RotatingFile::new("x", path.clone(), Trust::Anyone, (1000, 1));
        let mut places = Places { file, stderr: Stderr::new(Verbosity::Quiet), is_refused: false };
        let mut write = |text: &str| {
            let notice = places.write_to_file(Level::Info, text);
            (places.is_refused, notice)
        };
        let (is_refused, notice) = write("one");
        assert!(is_refused && notice.is_some_and(|notice| notice.contains("cannot write the log ")));
        assert_eq!(write("two"), (true, None), "that is said once");
        std::fs::remove_file(folder.path().join("made")).unwrap();
        let (is_refused, notice) = write("three");
        assert!(!is_refused && notice.is_some_and(|notice| notice.ends_with("is written again")));
        assert_eq!(write("five"), (false, None));
        let written = std::fs::read_to_string(path).unwrap();
        let lines: Vec<_> = written.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!((lines[0], lines[2]), ("INFO  three", "INFO  five"));
        assert!(lines.len() == 3 && lines[1].ends_with("is written again"), "{written}");
    }
}
