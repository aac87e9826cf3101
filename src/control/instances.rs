//! The instances that the commands know.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::input::cli::{StateDir, Which};
use crate::input::config_file;
use crate::input::suggest::meant;
use crate::settings::dirs::{Dirs, ROOTS_STATE, SYSTEM_CONFIG, User};
use crate::settings::name::Name;
use crate::state;
use crate::text::{escaped, quoted};

/// A watchdog that the commands know.
#[derive(Debug)]
pub struct Known {
    pub name: Name,
    /// Where its state is, or would be.
    pub folder: PathBuf,
    /// Where it was before there was a place for each machine.
    pub before: Option<PathBuf>,
    /// It has left something there.
    pub has_state: bool,
    /// There is a configuration file of its name.
    pub is_configured: bool,
}

impl Known {
    pub fn is_called(&self, asked: &OsStr) -> bool {
        OsStr::new(&self.name.to_string()) == asked
    }
}

/// All watchdogs that the commands know: those of the user, and root's.
pub fn known(place: &StateDir, user: &User) -> Vec<Known> {
    let (own, before) = (user.state_folder(place.state_dir.as_ref()), before(place, user));
    let own_files = config_file::names(&user.config_folder());
    let system_files = config_file::names(Path::new(SYSTEM_CONFIG));
    let of = |folder: &PathBuf, name: Name, has_state| {
        let before = before.clone().filter(|_| *folder == own);
        let is_configured = own_files.contains(&name) || system_files.contains(&name);
        Known { name, folder: folder.clone(), before, has_state, is_configured }
    };
    let mut known = Vec::new();
    for folder in &directories(place, user) {
        let mut names = state::names(folder);
        names.extend(before.iter().filter(|_| *folder == own).flat_map(|before| state::names(before)));
        names.sort_by_key(Name::to_string);
        names.dedup();
        known.extend(names.into_iter().map(|name| of(folder, name, true)));
    }
    // Where the state is elsewhere, it alone says which there are.
    if place.state_dir.is_none() {
        for name in &own_files {
            if !known.iter().any(|known| known.name == *name && known.folder == own) {
                known.push(of(&own, name.clone(), false));
            }
        }
        // Everybody may run what is configured there, and what root runs is root's.
        for name in &system_files {
            if !known.iter().any(|known| known.name == *name) {
                known.push(of(&own, name.clone(), false));
            }
        }
    }
    known
}

/// Where the states were before there was a place for each machine.
pub fn before(place: &StateDir, user: &User) -> Option<PathBuf> {
    Dirs::of(user).old_state.filter(|_| place.state_dir.is_none())
}

/// The directories in which states may be: the user's own, and root's, for all to see.
pub fn directories(place: &StateDir, user: &User) -> Vec<PathBuf> {
    let own = user.state_folder(place.state_dir.as_ref());
    let roots = PathBuf::from(ROOTS_STATE);
    if place.state_dir.is_some() || own == roots { vec![own] } else { vec![own, roots] }
}

/// Why a command that is for those in `folder` has nothing to do with this name.
pub fn unknown(asked: &OsStr, known: &[Known], folder: &Path) -> String {
    let (ours, roots): (Vec<_>, Vec<_>) = known.iter().partition(|known| known.folder == folder);
    if roots.iter().any(|known| known.is_called(asked)) {
        return format!("'{}' is root's watchdog; run this command as root", asked.to_string_lossy());
    }
    unheard_of(asked, ours)
}

/// Those of the user that a command is for.
pub struct Selection {
    pub folder: PathBuf,
    pub names: Vec<Name>,
}

/// Why none is selected: all that is wrong.
pub struct Unselected {
    pub wrong: Vec<String>,
    /// All of them are there, and root's.
    pub are_roots: bool,
}

/// The watchdogs that are given by name, or all of the user.
///
/// # Errors
/// One is not known, or root's; or there is none.
pub fn select(which: &Which, place: &StateDir, user: &User) -> Result<Selection, Unselected> {
    let folder = user.state_folder(place.state_dir.as_ref());
    let (ours, roots): (Vec<_>, Vec<_>) =
        known(place, user).into_iter().partition(|known| known.folder == folder);
    let mut wrong = Vec::new();
    let mut are_roots = true;
    let mut names = Vec::new();
    for asked in &which.names {
        if let Some(known) = ours.iter().find(|known| known.is_called(asked)) {
            names.push(known.name.clone());
        } else if roots.iter().any(|known| known.is_called(asked)) {
            wrong.push(format!("'{}' is root's watchdog; run this command as root", asked.to_string_lossy()));
        } else {
            are_roots = false;
            wrong.push(unheard_of(asked, &ours));
        }
    }
    if which.all {
        names = ours.into_iter().map(|known| known.name).collect();
        if names.is_empty() {
            are_roots = false;
            wrong.push(format!("no watchdog has run or is configured (looked in {})", folder.display()));
        }
    }
    if wrong.is_empty() { Ok(Selection { folder, names }) } else { Err(Unselected { wrong, are_roots }) }
}

/// What to type to say `command`, such as `start`, to the watchdog `name`.
pub fn order(command: &str, name: &Name, place: &StateDir) -> String {
    let place = place.state_dir.as_ref().map(|folder| format!(" --state-dir {}", quoted(folder)));
    escaped(&format!("watchdog {command} {name}{}", place.unwrap_or_default()))
}

pub fn unheard_of<'a>(asked: &OsStr, known: impl IntoIterator<Item = &'a Known>) -> String {
    let text = asked.to_string_lossy();
    let known: Vec<_> = known.into_iter().map(|known| known.name.to_string()).collect();
    // A process name is given by mistake, perhaps, of which the name was made.
    let made = Name::from_pattern(&text).to_string();
    let hint = match meant(&made, known.iter().map(String::as_str)) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None if known.is_empty() => "none has run or is configured".to_owned(),
        None => "'watchdog status' lists them".to_owned(),
    };
    format!("no watchdog is named '{}'; {hint}", escaped(&text))
}
