//! The instances that the commands know.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{Failure, tell};
use crate::exit::ExitCode;
use crate::input::cli::Which;
use crate::input::config_file;
use crate::log::Stderr;
use crate::settings::dirs::{Dirs, ROOTS_STATE, SYSTEM_CONFIG, User};
use crate::settings::name::{Name, name};
use crate::settings::pattern::{Extent, Pattern};
use crate::settings::{self, template};
use crate::state::{self, Files};
use crate::sys::PROC;
use crate::text::{escaped, meant};
use crate::time::boot_id;

/// A watchdog that the commands know.
#[derive(Debug)]
pub struct Known {
    /// What it has left, or would leave.
    pub files: Files,
    /// It has left something.
    pub has_state: bool,
    /// There is a configuration file of its name.
    pub is_configured: bool,
}

impl Known {
    pub fn is_called(&self, asked: &OsStr) -> bool {
        OsStr::new(&self.files.name.to_string()) == asked
    }
}

/// For which watchdogs a command is, and who gives it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub which: &'a Which,
    pub user: &'a User,
}

impl Asked<'_> {
    /// The directory of the user's own states.
    pub fn folder(self) -> PathBuf {
        self.user.state_folder(self.which.state_dir.as_ref())
    }

    /// Where the states were before there was a place for each machine.
    pub fn before(self) -> Option<PathBuf> {
        Dirs::of(self.user).old_state.filter(|_| self.which.state_dir.is_none())
    }

    /// The names that are asked for, but for globs.
    pub fn names(self) -> impl Iterator<Item = Name> {
        self.which.names.iter().filter_map(|asked| name(asked.to_str()?).ok())
    }

    /// The directories in which states may be: the user's own, and root's, for all to see.
    pub fn directories(self) -> Vec<PathBuf> {
        let (own, roots) = (self.folder(), PathBuf::from(ROOTS_STATE));
        if self.which.state_dir.is_some() || own == roots { vec![own] } else { vec![own, roots] }
    }

    /// What to type to say `command`, such as `start`, to the watchdog `name`.
    pub fn order(self, command: &str, name: &Name) -> String {
        settings::order(command, name, self.which.state_dir.as_deref())
    }

    /// All watchdogs that the commands know: those of the user, and root's; and those of a template that are meant.
    pub fn known(self) -> Vec<Known> {
        let Asked { which, user } = self;
        let (own, before, boot_id) = (self.folder(), self.before(), boot_id(Path::new(PROC)));
        let is_there = |name: &Name| template::is_there(&config_file::of(name.to_string().as_ref(), user));
        let of = |folder: &PathBuf, name: Name, has_state| {
            let before = before.clone().filter(|_| *folder == own);
            let files = Files::new(folder, &name, &boot_id).after(before);
            Known { files, has_state, is_configured: is_there(&name) }
        };
        let mut known: Vec<Known> = Vec::new();
        for folder in &self.directories() {
            let before = before.iter().filter(|_| *folder == own);
            let names = state::names(before.chain([folder]));
            known.extend(names.into_iter().map(|name| of(folder, name, true)));
        }
        // Where the state is elsewhere, it alone says which there are.
        if which.state_dir.is_some() {
            return known;
        }
        let own_files = config_file::names(&user.config_folder()).into_iter().map(|name| (name, true));
        // Everybody may run what is configured there, and what root runs is root's.
        let system_files = config_file::names(Path::new(SYSTEM_CONFIG));
        let made = self.names().filter(is_there);
        let others = system_files.into_iter().chain(made).map(|name| (name, false));
        for (name, is_own) in own_files.chain(others) {
            let is_it = |it: &Files| it.name == name && (it.folder == own || !is_own);
            if !known.iter().any(|it| is_it(&it.files)) {
                known.push(of(&own, name, false));
            }
        }
        known
    }

    /// Does the same for each of the `known` that are meant and the user's own, one after the other, and says what
    /// came of it.
    ///
    /// # Errors
    /// As [`Asked::select`].
    pub fn each(
        self,
        known: &[Known],
        stderr: &mut Stderr,
        mut act: impl FnMut(&Known) -> Result<String, Failure>,
    ) -> Result<ExitCode, Failure> {
        let mut exits = Vec::new();
        for known in self.select(known, Some(&self.folder()))? {
            match act(known) {
                Ok(done) => tell(&format!("{}: {done}", known.files.name)),
                Err(Failure { exit, lines }) => {
                    for line in lines {
                        stderr.complain(&format!("{}: {line}", known.files.name));
                    }
                    exits.push(exit);
                }
            }
        }
        let by_weight = [ExitCode::NoPermission, ExitCode::Usage, ExitCode::NotDone];
        Ok(by_weight.into_iter().find(|exit| exits.contains(exit)).unwrap_or(ExitCode::Success))
    }

    /// Those of the `known` that are meant, each once, in the order in which they are asked for: if there is a
    /// `folder`, only those whose state is there.
    ///
    /// # Errors
    /// One is not known, or root's; or there is none. If all are root's, that is all that is missing.
    pub fn select<'a>(self, known: &'a [Known], folder: Option<&Path>) -> Result<Vec<&'a Known>, Failure> {
        let is_ours = |known: &&Known| folder.is_none_or(|folder| known.files.folder == folder);
        let (ours, roots): (Vec<_>, Vec<_>) = known.iter().partition(is_ours);
        if self.which.all {
            let looked = folder.map(|folder| format!(" (looked in {})", folder.display()));
            let none = format!("no watchdog has run or is configured{}", looked.unwrap_or_default());
            return if ours.is_empty() { Err(none.into()) } else { Ok(ours) };
        }
        let (mut selected, mut lines, mut exit) = (Vec::new(), Vec::new(), ExitCode::NoPermission);
        for asked in &self.which.names {
            let glob = glob(asked);
            let is_meant = |known: &&Known| match &glob {
                Some(matches) => matches(&known.files.name),
                None => known.is_called(asked),
            };
            let before = selected.len();
            selected.extend(ours.iter().copied().filter(is_meant));
            if selected.len() > before {
                continue;
            }
            if roots.iter().any(is_meant) {
                let asked = asked.to_string_lossy();
                lines.push(format!("'{asked}' is root's watchdog; run this command as root"));
            } else {
                exit = ExitCode::Usage;
                lines.push(unheard_of(asked, glob.is_some(), &ours));
            }
        }
        if !lines.is_empty() {
            return Err(Failure { exit, lines });
        }
        let mut seen = HashSet::new();
        selected.retain(|known| seen.insert((known.files.name.to_string(), &known.files.folder)));
        Ok(selected)
    }
}

/// What stands for several names, as in a shell: which ones. No name has its characters.
fn glob(asked: &OsStr) -> Option<impl Fn(&Name) -> bool> {
    let text = asked.to_str().filter(|text| text.contains(['*', '?', '[']))?;
    let mut regex = String::new();
    for c in text.chars() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '!' | '^' if regex.ends_with('[') => regex.push('^'),
            '[' | ']' | '-' => regex.push(c),
            // In brackets too.
            _ if c.is_ascii_punctuation() => regex.extend(['\\', c]),
            _ => regex.push(c),
        }
    }
    let pattern = Pattern::new(&regex, Extent::Whole).ok();
    Some(move |name: &Name| pattern.as_ref().is_some_and(|it| it.matches(name.to_string().as_bytes())))
}

/// How many names a line has at most.
const MOST_NAMES: usize = 12;

fn unheard_of(asked: &OsStr, is_glob: bool, known: &[&Known]) -> String {
    let text = escaped(&asked.to_string_lossy());
    let known: Vec<_> = known.iter().map(|known| known.files.name.to_string()).collect();
    if known.is_empty() {
        return format!("no watchdog is named '{text}'; none has run or is configured");
    }
    if is_glob {
        let mut shown: Vec<_> = known.iter().take(MOST_NAMES).cloned().collect();
        let more = known.len() - shown.len();
        shown.extend((more > 0).then(|| format!("and {more} more, which 'watchdog status --all' lists")));
        return format!("no watchdog matches '{text}'; there are: {}", shown.join(", "));
    }
    // A process name is given by mistake, perhaps, of which the name was made.
    let made = Name::from_pattern(&asked.to_string_lossy()).to_string();
    let hint = match meant(&made, known.iter().map(String::as_str)) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => "'watchdog status --all' lists them".to_owned(),
    };
    format!("no watchdog is named '{text}'; {hint}")
}
