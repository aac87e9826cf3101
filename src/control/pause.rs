//! `pause` and `resume`.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::instances::{Known, known, unheard_of};
use crate::exit::ExitCode;
use crate::hold::pause::{Leave, begin_upgrade, end_upgrade};
use crate::input::cli::{StateDir, Which};
use crate::settings::dirs::User;
use crate::settings::{self, values};
use crate::state::Files;
use crate::sys::PROC;
use crate::time::{Time, boot_id, now};

pub fn pause(
    which: &Which,
    time: Option<&OsStr>,
    place: &StateDir,
    user: &User,
) -> Result<ExitCode, Vec<String>> {
    let read = |given| settings::check("for", given, |given| values::interval(values::text(given)?));
    let time = time.map(read).transpose();
    let time = time.map_err(|wrong| vec![wrong.to_string()])?;
    let now = now();
    let until = time.map(|time| now + time);
    if !which.upgrade {
        return say(which, Leave::Paused { until }, place, user);
    }
    let Some(until) = until else {
        return Err(vec![
            "--upgrade: give --for TIME too: an upgrade that is cut off ends no pause".to_owned(),
        ]);
    };
    let folder = user.state_folder(place.state_dir.as_ref());
    begin_upgrade(&folder, &boot_id(Path::new(PROC)), until, now)
        .map_err(|error| vec![format!("cannot be written down in {}: {error}", folder.display())])?;
    Ok(ExitCode::Success)
}

pub fn resume_after_upgrade(place: &StateDir, user: &User) -> Result<ExitCode, Vec<String>> {
    let folder = user.state_folder(place.state_dir.as_ref());
    end_upgrade(&folder)
        .map_err(|error| vec![format!("the pause cannot be removed from {}: {error}", folder.display())])?;
    Ok(ExitCode::Success)
}

/// Says to each of the instances that its process is to be left alone, or no longer.
pub fn say(which: &Which, leave: Leave, place: &StateDir, user: &User) -> Result<ExitCode, Vec<String>> {
    let folder = user.state_folder(place.state_dir.as_ref());
    let (ours, roots): (Vec<_>, Vec<_>) =
        known(place, user).into_iter().partition(|known| known.folder == folder);
    let mut wrong = Vec::new();
    let meant: Vec<_> = if which.all {
        ours.iter().collect()
    } else {
        let mut meant = Vec::new();
        for asked in &which.names {
            match ours.iter().find(|known| known.is_called(asked)) {
                Some(known) => meant.push(known),
                None if roots.iter().any(|known| known.is_called(asked)) => wrong.push(format!(
                    "the watchdog '{}' is root's, and only root may say that",
                    asked.to_string_lossy()
                )),
                None => wrong.push(unheard_of(asked, &ours)),
            }
        }
        meant
    };
    if which.all && meant.is_empty() {
        wrong.push(format!(
            "no watchdog has run or is configured here: there is nothing of one in {}",
            folder.display()
        ));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let boot_id = boot_id(Path::new(PROC));
    let now: Time = now();
    for Known { name, .. } in meant {
        if let Err(error) = Files::new(&folder, name, &boot_id).say(leave, now) {
            let hint = match error.kind() {
                io::ErrorKind::PermissionDenied => "; it is another user's, whose leave is needed",
                _ => "",
            };
            wrong.push(format!("{name}: cannot be written down in {}: {error}{hint}", folder.display()));
        }
    }
    if wrong.is_empty() { Ok(ExitCode::Success) } else { Err(wrong) }
}
