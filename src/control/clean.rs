//! `clean`: removes what is left of watchdogs that nobody runs.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::Failure;
use super::instances::{Asked, Known};
use crate::exit::ExitCode;
use crate::fs::{Dir, Trust};
use crate::log::Stderr;
use crate::process::scan::Proc;
use crate::settings::dirs::Dirs;
use crate::settings::name::Name;
use crate::state::Files;
use crate::state::lock::{Lock, NoLock, holder_before};
use crate::supervise::start_command::{StartCommand, StartRecord};
use crate::sys::PROC;
use crate::time::boot_id;

/// The endings of an instance's files in the state directory. The lock comes last: until then it keeps others away.
const STATE: [&str; 8] = ["json", "json.damaged", "pause", "request", "start", "stuck", "hook", "lock"];

pub fn clean(
    asked: Asked,
    logs: bool,
    log_dir: Option<&OsStr>,
    stderr: &mut Stderr,
) -> Result<ExitCode, Failure> {
    if logs && asked.which.state_dir.is_some() && log_dir.is_none() {
        return Err("--logs beside --state-dir needs --log-dir DIR: where are the logs?".to_owned().into());
    }
    let user = asked.user;
    let folder = log_dir.map_or(Dirs::of(user).logs, |given| user.path(given));
    let logs_of = |name: &Name| if logs { left_in(&folder, |file| is_log(file, name)) } else { Vec::new() };
    let mut known = asked.known();
    for name in asked.names() {
        // After a boot, logs may be all that there is.
        if !logs_of(&name).is_empty() {
            let files = Files::new(&asked.folder(), &name, &boot_id(Path::new(PROC))).after(asked.before());
            known.push(Known { files, has_state: false, is_configured: false });
        }
    }
    let removed = asked.each(&known, stderr, |Known { files, .. }| {
        let logs = logs_of(&files.name);
        let mut files = files.clone();
        files.trust = user.trust();
        let had_state = remove_state(&files)?;
        remove_all(&folder, &logs)?;
        Ok(match (had_state, logs.is_empty()) {
            (true, true) => "state removed",
            (true, false) => "state and logs removed",
            (false, false) => "logs removed",
            (false, true) => "nothing to remove",
        }
        .to_owned())
    });
    removed.map_err(|none| none.lines.into())
}

/// Removes the state of an instance, wherever it is. Whether there was any.
fn remove_state(files: &Files) -> Result<bool, String> {
    let state = STATE.map(|ending| files.file(ending));
    let folders = || [Some(&files.folder), files.old.as_ref()].into_iter().flatten();
    let is_left = |folder: &PathBuf| !left_in(folder, |file| state.iter().any(|it| it == file)).is_empty();
    let has_state = folders().any(is_left);
    if has_state {
        let _lock = lock(files)?;
        for folder in folders() {
            remove_all(folder, &state)?;
        }
    }
    Ok(has_state)
}

/// The lock of an instance of which nothing is running.
fn lock(files: &Files) -> Result<Lock, String> {
    let running = |by: String| format!("its watchdog is running{by}; stop that first");
    let folder = files.folder.display();
    let lock = match Lock::take(files, "") {
        Ok(lock) if lock.is_elsewhere => return Err(running(" on another machine".to_owned())),
        Ok(lock) => lock,
        Err(NoLock::Busy(holder)) => return Err(running(holder.in_brackets())),
        Err(NoLock::Failed(error)) => return Err(format!("cannot lock {folder}: {error}")),
        Err(NoLock::Taken(_)) => return Err(format!("cannot lock {folder}")),
    };
    // Without its record, the next watchdog would run another start command beside it.
    let command = Proc::new(Path::new(PROC)).ok().zip(StartRecord::read(files));
    let command = command.and_then(|(proc, noted)| StartCommand::adopt(noted, &proc));
    let why = if let Some(command) = command {
        let pid = command.pid();
        format!("its start command is still running (pid {pid}); try again when it has ended")
    } else if let Some(holder) = holder_before(files) {
        running(holder.in_brackets())
    } else {
        return Ok(lock);
    };
    lock.release();
    Err(why)
}

fn remove_all(folder: &Path, files: &[String]) -> Result<(), String> {
    let remove = |dir: Dir| files.iter().try_for_each(|file| dir.remove(file));
    match Dir::open(folder, Trust::Anyone).and_then(remove) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot remove its files in {}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The files that `are_its`. Whoever owns the directory, removing them follows no link.
fn left_in(folder: &Path, are_its: impl Fn(&str) -> bool) -> Vec<String> {
    let files = Dir::open(folder, Trust::Anyone).map(|dir| dir.names()).unwrap_or_default();
    files.into_iter().filter(|file| are_its(file)).collect()
}

/// Whether a file is one of the instance's logs, or an older one.
fn is_log(file: &str, name: &Name) -> bool {
    let is_number = |rest: &str| rest.strip_prefix('.').is_some_and(|number| number.parse::<u32>().is_ok());
    let rest = file.strip_prefix(&format!("{name}."));
    let rest = rest.and_then(|rest| rest.strip_prefix("output.").unwrap_or(rest).strip_prefix("log"));
    rest.is_some_and(|rest| rest.is_empty() || is_number(rest))
}
