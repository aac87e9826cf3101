//! `status`: what each watchdog sees.

use std::time::Duration;

use super::instances::{Known, directories, known, select};
use crate::exit::ExitCode;
use crate::input::cli::Which;
use crate::process::scan::{Proc, Unknown};
use crate::render::{json, status_table};
use crate::report::snapshot::{Live, Remark, Snapshot, Status, Watcher};
use crate::settings::dirs::User;
use crate::state::{Files, State, Unread};
use crate::text::escaped;
use crate::time::{boot_id, now};

/// How long one is shown that has ended.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// What `status` prints, and how it ends.
///
/// # Errors
/// Names of which nobody has heard.
pub fn show(which: &Which, json: bool, user: &User, proc: &Proc) -> Result<(String, ExitCode), Vec<String>> {
    let snapshots = snapshots(which, user, proc)?;
    let text = if json {
        json::array(&snapshots)
    } else if snapshots.is_empty() {
        let folders: Vec<_> =
            directories(&which.place, user).iter().map(|folder| folder.display().to_string()).collect();
        format!("no watchdog has run lately (looked in {})\n", escaped(&folders.join(" or ")))
    } else {
        status_table::page(&snapshots, terminal_width())
    };
    let any = |status| snapshots.iter().any(|snapshot| snapshot.status == status);
    let exit = match () {
        () if snapshots.is_empty() || any(Status::Unknown) => 4,
        () if any(Status::NotRunning) || any(Status::Stopping) => 3,
        () if any(Status::Unhealthy) || any(Status::Suspended) => 1,
        () => 0,
    };
    Ok((text, ExitCode::Lsb(exit)))
}

/// What is known now of those that are asked for, or of all that are of interest.
///
/// # Errors
/// Names of which nobody has heard.
pub fn snapshots(which: &Which, user: &User, proc: &Proc) -> Result<Vec<Snapshot>, Vec<String>> {
    let boot_id = boot_id(proc.root());
    let known = known(which, user);
    let wanted = if which.names.is_empty() {
        let is_wanted = |known: &&Known| which.all || known.has_state && !is_over(known, &boot_id);
        known.iter().filter(is_wanted).collect()
    } else {
        select(which, &known, None).map_err(|it| it.wrong)?
    };
    Ok(wanted.iter().map(|known| snapshot(known, &boot_id, proc)).collect())
}

/// Whether somebody ended it in order a day ago, and it left nothing that anybody waits for: a trial, for example.
/// By its name it is shown.
fn is_over(known: &Known, boot_id: &str) -> bool {
    let files = known.files(boot_id);
    let is_ended =
        |state: State| state.watchdog.is_none() && !state.once && state.memory.gave_up_until.is_none();
    let age = std::fs::metadata(known.folder.join(format!("{}.json", known.name)))
        .and_then(|file| file.modified())
        .map(|checked| checked.elapsed().unwrap_or_default());
    !known.is_configured
        && age.is_ok_and(|age| age > FORGOTTEN_AFTER)
        && files.state().is_ok_and(is_ended)
        && files.holds(now()).is_empty()
}

/// How wide the terminal is that standard output is, if it is one.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    Some(size.ws_col.into()).filter(|columns| *columns > 0)
}

fn snapshot(known: &Known, boot_id: &str, proc: &Proc) -> Snapshot {
    let (files, now) = (known.files(boot_id), now());
    let without = |why| Snapshot::without_state(known.name.to_string(), known.folder.clone(), now, why);
    let snapshot = match files.state_of_this_boot() {
        Ok(Some(state)) => Snapshot::new(&state, known.folder.clone(), &live(&state, &files, proc), now),
        Ok(None) | Err(Unread::None) => without(Remark::NotChecked),
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
