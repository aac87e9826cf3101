//! The program that a start command begins with, and whether there is one.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, StatVfsMountFlags, accessat, statvfs};
use rustix::io::Errno;

use crate::settings::shell::first_program;
use crate::task::Profile;
use crate::task::environment::complete_path;
use crate::text::quoted;

/// A name that is so many slips of the finger from another may be meant for it.
const MOST_SLIPS: usize = 2;
const NOT_EXECUTABLE: &str = "is not executable";

/// Where the program of a command is looked for.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    /// It is `working_directory`.
    is_given: bool,
    path: OsString,
}

impl Place {
    /// Of one that has this profile, and runs in `folder` if that names no other.
    pub fn new(profile: &Profile, folder: &Path) -> Self {
        let path = profile.env.get("PATH").map(OsString::from);
        Place {
            folder: profile.directory.as_deref().unwrap_or(folder).to_owned(),
            is_given: profile.directory.is_some(),
            path: path.unwrap_or_else(|| complete_path(std::env::var_os("PATH").as_deref())),
        }
    }

    /// A file that is named there.
    pub(super) fn at(&self, file: &Path) -> PathBuf {
        self.folder.join(file)
    }

    /// The file of a program that is in PATH, in which an empty directory is the one where it runs.
    pub(super) fn find(&self, program: &str) -> Option<PathBuf> {
        let mut files = std::env::split_paths(&self.path).map(|folder| self.at(&folder).join(program));
        files.find(|file| cannot_run(file).is_none())
    }

    /// The file that a shell would execute for the program that `start_command` begins with.
    pub(super) fn file(&self, start_command: &str) -> Option<PathBuf> {
        let program = first_program(start_command)?;
        if program.contains('/') { Some(self.at(program.as_ref())) } else { self.find(&program) }
    }

    /// Why nothing can run there, where that is certain.
    pub(super) fn doubt(&self) -> Option<String> {
        let error = accessat(CWD, &self.folder, Access::EXEC_OK, AtFlags::EACCESS).err();
        let why = match (self.folder.metadata(), error) {
            (Ok(it), _) if !it.is_dir() => "is no directory",
            (Ok(_), Some(Errno::ACCESS)) => "may not be entered",
            (Err(error), _) if error.kind() == ErrorKind::NotFound => "does not exist",
            _ => return None,
        };
        self.is_given.then(|| format!("working_directory: {} {why}", self.folder.display()))
    }

    /// Why the program that a `command` begins with cannot be run.
    fn doubt_program(&self, command: &str) -> Option<String> {
        let program = first_program(command)?;
        if program.contains('/') {
            let why = cannot_run(&self.at(program.as_ref()))?;
            let remedy =
                format!("; run chmod +x {}, or put its interpreter in front", quoted(program.as_ref()));
            let remedy = if why == NOT_EXECUTABLE { remedy.as_str() } else { "" };
            return Some(format!("{program} {why}{remedy}"));
        }
        if self.find(&program).is_some() {
            return None;
        }
        let distance = |name: &str| strsim::damerau_levenshtein(name, &program);
        let near = std::env::split_paths(&self.path)
            .flat_map(|folder| self.at(&folder).read_dir().into_iter().flatten().flatten())
            .filter_map(|file| Some((file.path(), file.file_name().into_string().ok()?)))
            .filter(|(_, name)| distance(name) <= MOST_SLIPS.min(name.len() / 3))
            .filter(|(path, _)| cannot_run(path).is_none())
            .min_by_key(|(_, name)| distance(name));
        let meant = near.map(|(_, name)| format!("; did you mean '{name}'?")).unwrap_or_default();
        Some(format!("'{program}' not found in PATH ({}){meant}", self.path.to_string_lossy()))
    }
}

/// Why the program that a `command` begins with cannot be run, where that is certain. Nothing is said of what only
/// a shell could tell. It is the command that is called `what`.
pub fn doubt(what: &str, command: &str, place: &Place) -> Option<String> {
    let of_program = || place.doubt_program(command).map(|doubt| format!("{what}: {doubt}"));
    place.doubt().or_else(of_program)
}

/// Why the file at `path` cannot be run, as far as anybody may know.
fn cannot_run(path: &Path) -> Option<&'static str> {
    match path.metadata() {
        Ok(file) if file.is_dir() => Some("is a directory"),
        Ok(_) if accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) != Err(Errno::ACCESS) => None,
        Ok(_) if statvfs(path).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOEXEC)) => {
            Some("is on a file system that is mounted noexec; put its interpreter in front, or move it")
        }
        Ok(_) => Some(NOT_EXECUTABLE),
        Err(_) => is_missing(path).then_some("does not exist"),
    }
}

/// Whether it is certain that there is no file at `path`.
pub(super) fn is_missing(path: &Path) -> bool {
    let is_missing = |kind| matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory);
    path.metadata().is_err_and(|error| is_missing(error.kind()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_cannot_be_run_is_doubted() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display().to_string();
        for (name, mode) in [("dockerd", 0o755), ("plain", 0o644)] {
            std::fs::write(folder.path().join(name), "").unwrap();
            std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let path = OsString::from(format!("/nowhere:{here}"));
        let place = Place { folder: PathBuf::new(), is_given: false, path: path.clone() };
        let doubt = |text: &str| place.doubt_program(text).unwrap_or_default();
        for text in ["dockerd", "$X", &format!("{here}/dockerd"), "true"] {
            assert_eq!(doubt(text), "");
        }
        let path = path.to_string_lossy();
        assert_eq!(
            doubt("dcokerd -x"),
            format!("'dcokerd' not found in PATH ({path}); did you mean 'dockerd'?")
        );
        assert_eq!(doubt("plain"), format!("'plain' not found in PATH ({path})"));
        assert_eq!(doubt(&format!("{here}/x")), format!("{here}/x does not exist"));
        assert_eq!(doubt(&format!("{here}/dockerd/x")), format!("{here}/dockerd/x does not exist"));
        assert_eq!(doubt(&format!("{here}/../")), format!("{here}/../ is a directory"));
        assert_eq!(
            doubt(&format!("exec {here}/plain")),
            format!(
                "{here}/plain is not executable; run chmod +x {here}/plain, or put its interpreter in \
                 front"
            )
        );
    }
}
