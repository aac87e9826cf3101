//! `status`: what each watchdog sees.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::instances::{Asked, Known};
use super::{Failure, watch};
use crate::exit::ExitCode;
use crate::fs::{Dir, Trust, WaitFor};
use crate::input::cli::Form;
use crate::log::deliver;
use crate::process::scan::{Proc, Unknown};
use crate::render::{json, nagios, prometheus, status_table};
use crate::report::snapshot::{Live, Remark, Snapshot, Status, Watcher};
use crate::state::{Files, State, Unread};
use crate::sys::PROC;
use crate::text::{escaped, quoted};
use crate::time::{booted, now};

/// How long one is shown that has ended.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Prints what is asked for, or writes it to a file.
///
/// # Errors
/// Names of which nobody has heard; or a file that cannot be written.
pub(super) fn status(asked: Asked, form: &Form) -> Result<ExitCode, Failure> {
    let shown = match Proc::new(Path::new(PROC)) {
        Ok(proc) if *form == Form::Watch => return watch::run(asked, &proc),
        Ok(proc) => show(asked, form, &proc),
        Err(Unknown(why)) => Err(Failure::new(ExitCode::Lsb(4), why)),
    };
    let (text, exit) = match (shown, form) {
        // It takes nothing else for an answer.
        (Err(wrong), Form::Nagios) => nagios::unknown(&wrong.lines.join("; ")),
        (shown, _) => shown?,
    };
    let (written, to) = match form {
        Form::Textfile(file) => (replace(Path::new(file), &text), format!("--textfile {}", quoted(file))),
        _ => (deliver(&text), "to standard output".to_owned()),
    };
    written.map(|()| exit).map_err(|error| {
        let exit = if *form == Form::Nagios { ExitCode::Nagios(3) } else { ExitCode::Lsb(4) };
        Failure::new(exit, format!("cannot write {to}: {error}"))
    })
}

/// Puts a new file in its place: who reads it never sees half of it, and what does not end in `.prom` is not read.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let (folder, name) = Dir::split(file)?;
    let name = name.to_str().ok_or_else(|| io::Error::other("the name of the file is not UTF-8"))?;
    // /dev/null and /dev/stdout are given by habit; and would be gone, for everybody.
    if std::fs::symlink_metadata(file).is_ok_and(|about| !about.is_file()) {
        let why = "what is there is not a regular file; give another name, or print it with --prometheus";
        return Err(io::Error::other(why));
    }
    Dir::open(folder, Trust::Anyone)?.replace_text(name, text.as_bytes(), WaitFor::Nothing)
}

/// What `status` shows, and how it ends.
///
/// # Errors
/// Names of which nobody has heard.
pub fn show(asked: Asked, form: &Form, proc: &Proc) -> Result<(String, ExitCode), Failure> {
    // People are not interested in what has never run; who watches a fleet misses it.
    let is_fleet = !matches!(form, Form::Table | Form::Watch | Form::Json);
    let snapshots = snapshots(asked, is_fleet, proc)?;
    Ok(match form {
        Form::Table | Form::Watch if snapshots.is_empty() => {
            let folders: Vec<_> =
                asked.directories().iter().map(|folder| folder.display().to_string()).collect();
            let text = format!("no watchdog has run lately (looked in {})\n", escaped(&folders.join(" or ")));
            (text, lsb(&snapshots))
        }
        Form::Table | Form::Watch => (status_table::page(&snapshots, terminal_width()), lsb(&snapshots)),
        Form::Json => (json::array(&snapshots), lsb(&snapshots)),
        Form::Prometheus | Form::Textfile(_) => {
            (prometheus::page(&snapshots, booted(proc.root())), ExitCode::Success)
        }
        Form::Nagios => nagios::line(&snapshots),
    })
}

/// As an init script ends.
fn lsb(snapshots: &[Snapshot]) -> ExitCode {
    let any = |status| snapshots.iter().any(|snapshot| snapshot.status == status);
    ExitCode::Lsb(match () {
        () if snapshots.is_empty() || any(Status::Unknown) => 4,
        () if any(Status::NotRunning) || any(Status::Stopping) => 3,
        () if any(Status::Unhealthy) || any(Status::Suspended) => 1,
        () => 0,
    })
}

/// What is known now of those that are asked for, or of all that are of interest; with what has not run, if
/// `has_unrun`.
///
/// # Errors
/// Names of which nobody has heard.
pub fn snapshots(asked: Asked, has_unrun: bool, proc: &Proc) -> Result<Vec<Snapshot>, Failure> {
    let known = asked.known();
    let wanted = if asked.which.names.is_empty() {
        let is_wanted = |known: &&Known| asked.which.all || (known.has_state || has_unrun) && !is_over(known);
        known.iter().filter(is_wanted).collect()
    } else {
        asked.select(&known, None)?
    };
    Ok(wanted.iter().map(|known| snapshot(&known.files, proc)).collect())
}

/// Whether somebody ended it in order a day ago, and it left nothing that anybody waits for: a trial, for example.
/// By its name it is shown.
fn is_over(known: &Known) -> bool {
    let files = &known.files;
    let is_ended =
        |state: State| state.watchdog.is_none() && !state.once && state.memory.gave_up_until.is_none();
    let age = std::fs::metadata(files.folder.join(files.file("json")))
        .and_then(|file| file.modified())
        .map(|checked| checked.elapsed().unwrap_or_default());
    !known.is_configured
        && age.is_ok_and(|age| age > FORGOTTEN_AFTER)
        && files.state().ok().flatten().is_some_and(is_ended)
        && files.holds(now()).is_empty()
}

/// How wide the terminal is that standard output is, if it is one.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    Some(size.ws_col.into()).filter(|columns| *columns > 0)
}

fn snapshot(files: &Files, proc: &Proc) -> Snapshot {
    let now = now();
    let without = |why| Snapshot::without_state(files.name.to_string(), files.folder.clone(), now, why);
    let snapshot = match files.state_of_this_boot() {
        Ok(Some(state)) => {
            let live = live(&state, files, proc);
            Snapshot::new(state, files.folder.clone(), &live, now)
        }
        Ok(None) => without(Remark::NotChecked),
        Err(Unread::Foreign(_)) => without(Remark::DamagedState),
        Err(Unread::Failed(error)) => without(Remark::UnreadableState(error.to_string())),
    };
    snapshot.with(&files.holds(now))
}

/// What is the case now of what `state` says.
fn live(state: &State, files: &Files, proc: &Proc) -> Live {
    let owner = files.owner().unwrap_or_default();
    let watcher = match state.watchdog.map(|it| (it.pid, proc.try_is_alive(it, owner))) {
        Some((pid, Ok(true))) => Watcher::At(pid),
        Some((_, Err(_))) => Watcher::Hidden,
        Some((_, Ok(false))) | None => Watcher::Nobody,
    };
    let process = state.process.as_ref();
    let process = process.map_or(Ok(false), |it| proc.try_is_alive(it.id, it.signature.user));
    Live {
        process: process.map_err(|Unknown(why)| why),
        watcher,
        command: state.command.is_some_and(|command| proc.is_alive(command)),
        age: Some(now().saturating_sub(files.checked(state))),
    }
}
