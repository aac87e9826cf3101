//! The log: one line for each change, to a file that rotates and to standard error.
//!
//! Records come in through the `log` crate. simplelog puts level, target and text in front of each other
//! and hands them over in pieces; here the pieces become a line again, which is stamped with the time and
//! written whole.

use crate::text::escaped;
use crate::time::local;
mod file;
pub mod output;
mod stderr;

use std::io::{self, Write};
use std::time::SystemTime;

use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, LevelPadding, WriteLogger};

pub use chrono::SecondsFormat;
pub use file::LogFile;
use file::RotatingFile;
pub use stderr::{Stderr, Verbosity, cannot_tell, is_terminal, stderr_is_journal};

/// The target of the one record that a `--once` run writes to standard error.
pub const OUTCOME: &str = "outcome";

/// Starts the log. Called once.
pub fn start(file: LogFile, stderr: Stderr) {
    let config = ConfigBuilder::new()
        .set_time_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .set_max_level(LevelFilter::Error)
        .set_target_level(LevelFilter::Error)
        .set_level_padding(LevelPadding::Off)
        .build();
    let records = Records { file: RotatingFile::new(file), stderr, pieces: Vec::new() };
    let logger = OneLine(*WriteLogger::new(LevelFilter::Info, config, records));
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Makes one line of each record, whatever is quoted in it.
struct OneLine(WriteLogger<Records>);

impl Log for OneLine {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let text = escaped(&record.args().to_string());
        let (level, target) = (record.level(), record.target());
        self.0.log(&Record::builder().level(level).target(target).args(format_args!("{text}")).build());
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Puts the pieces of a record together, stamps it and writes it.
struct Records {
    file: RotatingFile,
    stderr: Stderr,
    pieces: Vec<u8>,
}

impl Write for Records {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.pieces.extend_from_slice(piece);
        if piece.ends_with(b"\n") {
            let record = std::mem::take(&mut self.pieces);
            if let Some((level, target, text)) = read_record(&record) {
                self.record(level, target, text);
            }
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes `[LEVEL] target: text` apart again.
fn read_record(record: &[u8]) -> Option<(Level, &str, &str)> {
    let record = std::str::from_utf8(record).ok()?.strip_suffix('\n')?;
    let (level, rest) = record.strip_prefix('[')?.split_once("] ")?;
    let (target, text) = rest.split_once(": ")?;
    Some((level.parse().ok()?, target, text))
}

impl Records {
    fn record(&mut self, level: Level, target: &str, text: &str) {
        let shown = self.stderr.shows(level, target);
        let was_broken = self.file.is_broken;
        match self.file.write_record(&line(level, text)) {
            Ok(()) if was_broken => {
                let LogFile { name, path, .. } = &self.file.limits;
                let text = escaped(&format!("{name}: the log {} can be written again", path.display()));
                let _ = self.file.write_record(&line(Level::Warn, &text));
                self.stderr.write_record(Level::Warn, &text);
            }
            Ok(()) => {}
            Err(error) => {
                if !was_broken {
                    let LogFile { name, path, .. } = &self.file.limits;
                    let path = path.display();
                    self.stderr.write_record(
                        Level::Warn,
                        &escaped(&format!(
                            "{name}: the log {path} cannot be written ({error}); until it can, records go here"
                        )),
                    );
                }
                if !shown {
                    self.stderr.write_record(level, text);
                }
            }
        }
        if shown {
            self.stderr.write_record(level, text);
        }
    }
}

/// A record as it stands in the file.
fn line(level: Level, text: &str) -> String {
    format!("{} {level:<5} {text}\n", local(SystemTime::now(), SecondsFormat::Millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_quoted_forges_a_record() {
        assert_eq!(escaped("a\nb\r\x1b[2J\u{202e}\u{2028}ü"), "a\\nb\\r\\u{1b}[2J\\u{202e}\\u{2028}ü");
    }

    #[test]
    fn pieces_become_a_record_again() {
        assert_eq!(
            read_record(b"[WARN] watchdog::report: docker: is not running: x\n"),
            Some((Level::Warn, "watchdog::report", "docker: is not running: x"))
        );
        assert_eq!(read_record(b"[WARN] no target\n"), None);
        assert_eq!(read_record(b"\xff\n"), None);
    }
}
