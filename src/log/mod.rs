//! The log: one line for each change, to a file that rotates and to standard error.
//!
//! Records come in through the `log` crate and go, as records, to one logger for each place.

mod file;
pub mod output;
mod stderr;

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    let in_file = Arc::new(Mutex::new(InFile::default()));
    let file = ToFile { file: RotatingFile::of(settings), in_file: Arc::clone(&in_file) };
    // In this order: what the file did not take goes to standard error.
    let _ = CombinedLogger::init(vec![Logger::of(file), Logger::of(ToStderr { stderr, in_file })]);
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

/// What became of a record in the file: the two places share it.
#[derive(Debug, Default)]
struct InFile {
    is_refused: bool,
    /// What is to be said of it when this has changed.
    notice: Option<String>,
}

/// A place that records go to.
trait Place: Send + 'static {
    /// Writes a record.
    fn write(&mut self, level: Level, text: &str, reach: Reach);
}

struct ToFile {
    file: RotatingFile,
    in_file: Arc<Mutex<InFile>>,
}

impl Place for ToFile {
    fn write(&mut self, level: Level, text: &str, _: Reach) {
        let mut in_file = lock(&self.in_file);
        let written = self.file.write_record(&line(level, text));
        let (name, path) = (&self.file.name, self.file.path.display());
        let notice = match (&written, in_file.is_refused) {
            (Ok(()), true) => Some(format!("{name}: the log {path} is written again")),
            (Err(error), false) => Some(format!(
                "{name}: cannot write the log {path} ({error}); records go here until that works again"
            )),
            (Ok(()), false) | (Err(_), true) => None,
        };
        *in_file = InFile { is_refused: written.is_err(), notice: notice.map(|notice| escaped(&notice)) };
        if let (Ok(()), Some(notice)) = (written, &in_file.notice) {
            let _ = self.file.write_record(&line(Level::Warn, notice));
        }
    }
}

struct ToStderr {
    stderr: Stderr,
    in_file: Arc<Mutex<InFile>>,
}

impl Place for ToStderr {
    fn write(&mut self, level: Level, text: &str, reach: Reach) {
        let mut in_file = lock(&self.in_file);
        if let Some(notice) = in_file.notice.take() {
            self.stderr.write_record(Level::Warn, &notice);
        }
        if in_file.is_refused || self.stderr.shows(level, reach) {
            self.stderr.write_record(level, text);
        }
    }
}

/// A place, as a logger among others.
struct Logger<P>(Mutex<P>);

impl<P: Place> Logger<P> {
    fn of(place: P) -> Box<dyn SharedLogger> {
        Box::new(Logger(Mutex::new(place)))
    }
}

impl<P: Place> Log for Logger<P> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level()
    }

    fn log(&self, record: &Record<'_>) {
        let reach = record.key_values().get(Key::from("reach")).and_then(|value| value.to_u64());
        let all = [Reach::File, Reach::Usual, Reach::Mail];
        let reach = all.into_iter().find(|it| reach == Some(*it as u64)).unwrap_or(Reach::Usual);
        // One line, whatever is quoted in it.
        let text = escaped(&record.args().to_string());
        lock(&self.0).write(record.level(), &text, reach);
    }

    fn flush(&self) {}
}

impl<P: Place> SharedLogger for Logger<P> {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let in_file = Arc::new(Mutex::new(InFile::default()));
        let place = Logger(Mutex::new(ToFile { file, in_file: Arc::clone(&in_file) }));
        let write = |text: &str| {
            place.log(&Record::builder().level(Level::Info).args(format_args!("{text}")).build());
            let mut in_file = lock(&in_file);
            (in_file.is_refused, in_file.notice.take())
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
