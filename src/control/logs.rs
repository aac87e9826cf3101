//! `logs`: the end of a log, by `tail`.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::OFlags;

use super::instances::Asked;
use super::{Failure, value};
use crate::exit::ExitCode;
use crate::input::{config_file, resolve};
use crate::log::Stderr;
use crate::settings::dirs::{Dirs, ROOTS_STATE, User};
use crate::settings::values;
use crate::state::Files;
use crate::sys::custom_flags;
use crate::text::quoted;

/// Becomes `tail`; returns if there is nothing to show.
///
/// # Errors
/// A name is not known, or a number is none.
pub fn show(
    asked: Asked,
    lines: Option<&OsStr>,
    follow: bool,
    output: bool,
    stderr: &mut Stderr,
) -> Result<ExitCode, Failure> {
    let lines = value("lines", lines, values::lines)?;
    let known = asked.known();
    let (mut logs, mut exit) = (Vec::new(), ExitCode::NotDone);
    for known in asked.select(&known, None)? {
        let log = log_of(&known.files, output, asked.user);
        match openable(&log) {
            Ok(()) => logs.push(log),
            Err(error) => {
                if error.kind() == io::ErrorKind::PermissionDenied {
                    exit = ExitCode::NoPermission;
                }
                stderr.complain(&format!(
                    "{}: {}",
                    known.files.name,
                    unreadable(&log, &error, output, || asked.order("status", &known.files.name))
                ));
            }
        }
    }
    if logs.is_empty() {
        return Ok(exit);
    }
    let mut tail = Command::new("tail");
    // By name: a log is moved away when it is too long, and the output log is cut.
    tail.args(follow.then_some("-F"));
    tail.args(lines.map(|lines| format!("-n{lines}"))).arg("--").args(&logs);
    let error = tail.exec();
    let logs: Vec<_> = logs.iter().map(|log| quoted(log.as_os_str())).collect();
    stderr.complain(&format!("cannot run tail ({error}); instead: cat {}", logs.join(" ")));
    Ok(ExitCode::NotDone)
}

/// Where a watchdog's log, or that of its start commands, is: where it has written it last, or else where it would.
fn log_of(files: &Files, output: bool, user: &User) -> PathBuf {
    let state = files.state().ok().flatten();
    let written = state.and_then(|state| if output { state.output_log } else { state.log });
    if let Some(log) = written.map(PathBuf::from).filter(|log| log.is_absolute()) {
        return log;
    }
    let file = config_file::of(files.name.to_string().as_ref(), user);
    let configured = resolve::of_file(&file, user).ok().map(|settings| settings.dirs);
    let dirs = configured.filter(|dirs| dirs.state == files.folder).unwrap_or_else(|| {
        let root = User::default();
        Dirs::of(if files.folder == Path::new(ROOTS_STATE) { &root } else { user })
    });
    if output { dirs.output_log(&files.name) } else { dirs.log(&files.name) }
}

/// Whether it can be read. Where another user's state says that it is a pipe, or a device, it is not waited for, and
/// not opened.
fn openable(log: &Path) -> io::Result<()> {
    if !log.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    File::options().read(true).custom_flags(custom_flags(OFlags::NONBLOCK)).open(log).map(drop)
}

/// Why there is nothing to be seen of it, and what to do.
fn unreadable(log: &Path, error: &io::Error, is_output: bool, status: impl Fn() -> String) -> String {
    let log = log.display();
    match error.kind() {
        io::ErrorKind::NotFound if is_output => {
            format!("there is no {log}: no start command has run; the watchdog's own log is without --output")
        }
        io::ErrorKind::NotFound => {
            format!("there is no {log} yet; to see whether it is watched: {}", status())
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "cannot read {log}: {error}; run this command as root, or as the user whose watchdog it is"
            )
        }
        _ => format!("cannot read {log}: {error}"),
    }
}
