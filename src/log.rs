//! The log: one line for each change, to a file that rotates and to standard error.
//!
//! Records come in through the `log` crate. simplelog puts level, target and text in front of each other
//! and hands them over in pieces; here the pieces become a line again, which is stamped with the time and
//! written whole.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{Local, SecondsFormat};
use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use simplelog::{ConfigBuilder, LevelPadding, WriteLogger};

/// The target of the one record that a `--once` run writes to standard error.
pub const OUTCOME: &str = "outcome";

/// How much of standard error is this run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors (`-q`).
    Quiet,
    /// The outcome of a `--once` run, and errors of another kind.
    Outcome,
    /// Warnings and errors.
    Warnings,
    /// Information too.
    Information,
}

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
    hush_guarded_panics();
}

/// `text` with each control character escaped, so that nothing quoted can forge a record or reach for
/// the terminal.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        // U+2028 and U+2029 end a line for some viewers; the bidirectional controls reorder one.
        if c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
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

/// A record as it stands in the file. The offset is that of the moment: it changes with summer time.
fn line(level: Level, text: &str) -> String {
    format!("{} {level:<5} {text}\n", Local::now().to_rfc3339_opts(SecondsFormat::Millis, false))
}

/// file-rotate, guarded: it panics where its folder or file has vanished, and drops records without a
/// word after a rotation that failed.
struct RotatingFile {
    limits: LogFile,
    open: Option<Open>,
    is_broken: bool,
}

struct Open {
    file: FileRotate<AppendCount>,
    /// Device and inode of what is written to.
    identity: (u64, u64),
}

impl RotatingFile {
    fn new(limits: LogFile) -> Self {
        RotatingFile { limits, open: None, is_broken: false }
    }

    fn write_record(&mut self, record: &str) -> io::Result<()> {
        let result = self.try_write(record);
        if result.is_err() {
            self.open = None;
        }
        self.is_broken = result.is_err();
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
            prepare(path)?;
            let file = guarded(|| rotating(&self.limits))?;
            self.open = Some(Open { file, identity: identity(path)? });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let before = std::fs::metadata(path)?.len();
        if let Err(error) = guarded(|| open.file.write_all(record.as_bytes())).and_then(|written| written) {
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
        if added < record.len() as u64 { Err(io::Error::other("it could not be rotated")) } else { Ok(()) }
    }
}

/// Makes folder and file with the modes they should have, and finds out what is wrong with them before
/// file-rotate does.
fn prepare(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    let mut options = OpenOptions::new();
    // Not to wait for a reader where somebody put a pipe.
    options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    if options.open(path)?.metadata()?.is_file() {
        Ok(())
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
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

static GUARDED: AtomicBool = AtomicBool::new(false);

/// Runs `act`; a panic in it becomes an error.
fn guarded<T>(act: impl FnOnce() -> T) -> io::Result<T> {
    GUARDED.store(true, Ordering::Relaxed);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
    GUARDED.store(false, Ordering::Relaxed);
    result.map_err(|_| io::Error::other("it vanished while it was rotated"))
}

fn hush_guarded_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !GUARDED.load(Ordering::Relaxed) {
            usual(panic);
        }
    }));
}

/// Standard error, written with errors ignored, and only what it takes without blocking.
#[derive(Debug)]
pub struct Stderr {
    to: Channel,
    style: Style,
    verbosity: Verbosity,
}

#[derive(Debug)]
enum Channel {
    /// Standard error itself, when it says that it has room.
    Itself,
    /// A description of its own of the same pipe or terminal, which does not block.
    NonBlocking(File),
    /// A socket, which can be told not to block for each write.
    Socket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Colour,
    /// The journal adds the time, and reads the priority (sd-daemon(3)).
    Journal,
}

/// What a pipe takes whole (`PIPE_BUF`, pipe(7)).
const AT_ONCE: usize = 4096;

impl Stderr {
    /// Standard error as it is, for a run that is to show so much there.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        let stderr = io::stderr();
        let style = if is_journal(stderr.as_fd()) {
            Style::Journal
        } else if is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()) {
            Style::Colour
        } else {
            Style::Plain
        };
        let kind = rustix::fs::fstat(&stderr).map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode));
        let to = match kind {
            Ok(rustix::fs::FileType::Socket) => Channel::Socket,
            Ok(rustix::fs::FileType::Fifo | rustix::fs::FileType::CharacterDevice) => non_blocking(),
            _ => Channel::Itself,
        };
        Stderr { to, style, verbosity }
    }

    fn shows(&self, level: Level, target: &str) -> bool {
        match self.verbosity {
            Verbosity::Quiet => level <= Level::Error,
            Verbosity::Outcome => target == OUTCOME,
            Verbosity::Warnings => level <= Level::Warn,
            Verbosity::Information => level <= Level::Info,
        }
    }

    fn write_record(&mut self, level: Level, text: &str) {
        let record = match self.style {
            Style::Plain => line(level, text),
            Style::Journal => {
                format!("<{}>{text}\n", if level == Level::Info { 6 } else { level as usize + 2 })
            }
            Style::Colour => {
                let colour = match level {
                    Level::Error => "\x1b[31m",
                    Level::Warn => "\x1b[33m",
                    _ => "",
                };
                let reset = if colour.is_empty() { "" } else { "\x1b[0m" };
                let line = line(level, text);
                match line.split_once(' ') {
                    Some((stamp, text)) => format!("{stamp} {colour}{}{reset}{}", &text[..5], &text[5..]),
                    None => line,
                }
            }
        };
        self.write_text(&record);
    }

    /// Writes `text`, or as much of it as there is room for.
    pub fn write_text(&mut self, text: &str) {
        let stderr = io::stderr();
        for piece in text.as_bytes().chunks(AT_ONCE) {
            let written = match &mut self.to {
                Channel::NonBlocking(file) => file.write(piece),
                Channel::Socket => {
                    let flags = rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL;
                    rustix::net::send(&stderr, piece, flags).map_err(io::Error::from)
                }
                Channel::Itself if has_room(stderr.as_fd()) => {
                    rustix::io::write(&stderr, piece).map_err(io::Error::from)
                }
                Channel::Itself => return,
            };
            if written.is_err() {
                return;
            }
        }
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_text(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether standard error is a terminal.
#[must_use]
pub fn is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stderr())
}

/// Whether standard error goes to the journal (systemd.exec(5), `JOURNAL_STREAM`).
#[must_use]
pub fn stderr_is_journal() -> bool {
    is_journal(io::stderr().as_fd())
}

fn is_journal(stderr: BorrowedFd<'_>) -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(stderr)
        .is_ok_and(|stat| stream.to_str() == Some(&format!("{}:{}", stat.st_dev, stat.st_ino)))
}

fn non_blocking() -> Channel {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
    let own = options.open("/proc/self/fd/2").ok();
    // Only a pipe or a terminal may be written to through a description of its own: in a file it would
    // have a place of its own.
    let kind = |file: &File| file.metadata().map(|file| file.file_type());
    own.filter(|file| kind(file).is_ok_and(|kind| kind.is_fifo() || kind.is_char_device()))
        .map_or(Channel::Itself, Channel::NonBlocking)
}

fn has_room(stderr: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(stderr, PollFlags::OUT)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1..)) && fds[0].revents().contains(PollFlags::OUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_in(folder: &Path, max_size: u64, max_files: usize) -> RotatingFile {
        hush_guarded_panics();
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
    fn nothing_quoted_forges_a_record() {
        assert_eq!(escaped("a\nb\r\x1b[2J\u{202e}\u{2028}ü"), "a\\nb\\r\\u{1b}[2J\\u{202e}\\u{2028}ü");
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
        assert!(file.is_broken);
        std::fs::remove_file(&made).unwrap();
        file.write_record("three\n").unwrap();
        assert!(!file.is_broken);
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
