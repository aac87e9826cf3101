//! The log: one line for each change, to a file that rotates and to standard error.
//!
//! Records come in through the `log` crate and go, as records, to one logger for each place.

mod file;
pub mod output;
mod stderr;

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use log::kv::Key;
use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{CombinedLogger, Config, SharedLogger};

use crate::settings::{Reach, Settings};
use crate::text::escaped;
use crate::time::{SecondsFormat, local};
use file::RotatingFile;
pub use stderr::{Stderr, cannot_tell, is_terminal, stderr_is_journal};

/// Starts the log of the instance with these settings. Called once.
pub fn start(settings: &Settings, stderr: Stderr) {
    let places = Places { file: RotatingFile::of(settings), stderr, is_refused: false, notice: None };
    let places = Arc::new(Mutex::new(places));
    let logger = |write| -> Box<dyn SharedLogger> { Box::new(Logger { places: Arc::clone(&places), write }) };
    // In this order: what the file did not take goes to standard error.
    let _ = CombinedLogger::init(vec![logger(Places::write_to_file), logger(Places::write_to_stderr)]);
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

/// The places that records go to.
struct Places {
    file: RotatingFile,
    stderr: Stderr,
    /// The file has not taken the last record.
    is_refused: bool,
    /// What is to be said of the file when this has changed.
    notice: Option<String>,
}

impl Places {
    fn write_to_file(&mut self, level: Level, text: &str, _: Reach) {
        let written = self.file.write_record(&line(level, text));
        let (name, path) = (&self.file.name, self.file.path.display());
        let notice = match (&written, self.is_refused) {
            (Ok(()), true) => Some(format!("{name}: the log {path} is written again")),
            (Err(error), false) => Some(format!(
                "{name}: cannot write the log {path} ({error}); records go here until that works again"
            )),
            (Ok(()), false) | (Err(_), true) => None,
        };
        (self.is_refused, self.notice) = (written.is_err(), notice.map(|notice| escaped(&notice)));
        if let (Ok(()), Some(notice)) = (written, &self.notice) {
            let _ = self.file.write_record(&line(Level::Warn, notice));
        }
    }

    fn write_to_stderr(&mut self, level: Level, text: &str, reach: Reach) {
        if let Some(notice) = self.notice.take() {
            self.stderr.write_record(Level::Warn, &notice);
        }
        if self.is_refused || self.stderr.shows(level, reach) {
            self.stderr.write_record(level, text);
        }
    }
}

/// One of the places, as a logger among others.
struct Logger {
    places: Arc<Mutex<Places>>,
    write: fn(&mut Places, Level, &str, Reach),
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level()
    }

    fn log(&self, record: &Record<'_>) {
        let reach = record.key_values().get(Key::from("reach")).and_then(|value| value.to_u64());
        let all = [Reach::File, Reach::Usual, Reach::Mail];
        let reach = all.into_iter().find(|it| reach == Some(*it as u64)).unwrap_or(Reach::Usual);
        // One line, whatever is quoted in it.
        let text = escaped(&record.args().to_string());
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        (self.write)(&mut places, record.level(), &text, reach);
    }

    fn flush(&self) {}
}

impl SharedLogger for Logger {
    fn level(&self) -> LevelFilter {
        LevelFilter::Info
    }

    fn config(&self) -> Option<&Config> {
        None
    }

    fn as_log(self: Box<Self>) -> Box<dyn Log> {
        self
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
        let stderr = Stderr::new(Verbosity::Quiet);
        let places = Arc::new(Mutex::new(Places { file, stderr, is_refused: false, notice: None }));
        let logger = Logger { places: Arc::clone(&places), write: Places::write_to_file };
        let write = |text: &str| {
            logger.log(&Record::builder().level(Level::Info).args(format_args!("{text}")).build());
            let mut places = places.lock().unwrap();
            (places.is_refused, places.notice.take())
        };
        let (is_refused, notice) = write("one");
        assert!(is_refused && notice.is_some_and(|notice| notice.contains("cannot write the log ")));
        assert_eq!(write("two"), (true, None), "that is said once");
        std::fs::remove_file(folder.path().join("made")).unwrap();
        let (is_refused, notice) = write("three\nand four");
        assert!(!is_refused && notice.is_some_and(|notice| notice.ends_with("is written again")));
        assert_eq!(write("five"), (false, None));
        let written = std::fs::read_to_string(path).unwrap();
        let lines: Vec<_> = written.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!((lines[0], lines[2]), ("INFO  three\\nand four", "INFO  five"));
        assert!(lines.len() == 3 && lines[1].ends_with("is written again"), "{written}");
    }
}
