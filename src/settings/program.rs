//! The program that a start command begins with, and whether there is one.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, StatVfsMountFlags, accessat, statvfs};
use rustix::io::Errno;

use crate::task::Profile;
use crate::task::environment::complete_path;
use crate::text::quoted;

/// What a shell does itself: its reserved words and builtins (POSIX.1-2024 XCU 2.4, 1.7 and 2.15; dash(1),
/// bash(1)).
const SHELLS_OWN: &str = "! { } case do done elif else esac fi for if in then until while function select time coproc [[ . : \
    [ alias bg bind break builtin caller cd chdir command compgen complete compopt continue declare \
    dirs disown echo enable eval exec exit export false fc fg getopts hash help history jobs kill let \
    local logout mapfile popd printf pushd pwd read readarray readonly return set shift shopt source \
    suspend test times trap true type typeset ulimit umask unalias unset wait";
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

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of a program that is in PATH.
    pub(super) fn find(&self, program: &str) -> Option<PathBuf> {
        find_in(&self.path, program, &self.folder)
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
}

/// Why the program that a `command` begins with cannot be run, where that is certain. Nothing is said of what only
/// a shell could tell. It is the command that is called `what`.
pub fn doubt(what: &str, command: &str, place: &Place) -> Option<String> {
    let doubt = || doubt_in(command, &place.path, &place.folder);
    place.doubt().or_else(|| doubt().map(|doubt| format!("{what}: {doubt}")))
}

/// The file that a shell would execute for the program that `start_command` begins with.
pub(super) fn file(start_command: &str, place: &Place) -> Option<PathBuf> {
    let program = first_program(start_command)?;
    if program.contains('/') { Some(place.folder.join(program)) } else { place.find(&program) }
}

fn find_in(path: &OsStr, program: &str, folder: &Path) -> Option<PathBuf> {
    // An empty one is where it runs.
    std::env::split_paths(path)
        .map(|at| folder.join(at).join(program))
        .find(|file| cannot_run(file).is_none())
}

fn doubt_in(command: &str, path: &OsStr, folder: &Path) -> Option<String> {
    let program = first_program(command)?;
    if program.contains('/') {
        let why = cannot_run(&folder.join(&program))?;
        let instead = if why == NOT_EXECUTABLE {
            format!("; run chmod +x {}, or put its interpreter in front", quoted(program.as_ref()))
        } else {
            String::new()
        };
        return Some(format!("{program} {why}{instead}"));
    }
    if find_in(path, &program, folder).is_some() {
        return None;
    }
    let folders = std::env::split_paths(path).map(|at| folder.join(at));
    let distance = |name: &str| strsim::damerau_levenshtein(name, &program);
    let files = folders.flat_map(|folder| folder.read_dir().into_iter().flatten().flatten());
    let near = files
        .filter_map(|file| Some((file.path(), file.file_name().into_string().ok()?)))
        .filter(|(_, name)| distance(name) <= MOST_SLIPS.min(name.len() / 3))
        .filter(|(path, _)| cannot_run(path).is_none())
        .min_by_key(|(_, name)| distance(name));
    let meant = near.map(|(_, name)| format!("; did you mean '{name}'?")).unwrap_or_default();
    Some(format!("'{program}' not found in PATH ({}){meant}", path.to_string_lossy()))
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
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Some("does not exist")
        }
        Err(_) => None,
    }
}

/// The program that a shell would run first, where that needs no shell to tell: after assignments and an
/// `exec`, a word that is plain or quoted.
fn first_program(text: &str) -> Option<String> {
    let mut rest = text.trim_start();
    let mut may_exec = true;
    loop {
        let (word, is_quoted, after) = first_word(rest)?;
        let is_last = after.trim_start_matches([' ', '\t']).is_empty();
        match word.split_once('=') {
            Some((name, _)) if is_variable(name) => {
                // With another PATH it may be somewhere else.
                if name == "PATH" || is_last {
                    return None;
                }
            }
            _ if word == "exec" && may_exec && !is_quoted => may_exec = false,
            _ if SHELLS_OWN.split(' ').any(|own| own == word) || word.starts_with('-') || word.is_empty() => {
                return None;
            }
            _ => return Some(word),
        }
        rest = after.strip_prefix([' ', '\t'])?.trim_start_matches([' ', '\t']);
    }
}

/// The first word, whether it is quoted, and what follows. `None` for what is no word, or one that only a
/// shell can read.
fn first_word(text: &str) -> Option<(String, bool, &str)> {
    let mut word = String::new();
    let mut is_quoted = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let from_here = text.get(at..)?;
        match c {
            '\'' | '"' => {
                is_quoted = true;
                let (quoted, _) = from_here.strip_prefix(c)?.split_once(c)?;
                if c == '"' && quoted.contains(['$', '`', '\\']) {
                    return None;
                }
                word.push_str(quoted);
                chars.nth(quoted.chars().count());
            }
            ' ' | '\t' | '\n' | ';' | '&' | '|' if at > 0 => return Some((word, is_quoted, from_here)),
            // Between digits and > stands a descriptor.
            '<' | '>' if !word.chars().all(|c| c.is_ascii_digit()) => {
                return Some((word, is_quoted, from_here));
            }
            c if c.is_alphanumeric() || "_-./+:@%,=^".contains(c) => word.push(c),
            _ => return None,
        }
    }
    (!word.is_empty()).then_some((word, is_quoted, ""))
}

pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_program_is_what_a_shell_would_run_first() {
        for (text, program) in [
            ("service docker start", Some("service")),
            ("  /opt/x/run.sh&", Some("/opt/x/run.sh")),
            ("exec /opt/app --port 80", Some("/opt/app")),
            ("A=1 B='two words' exec app", Some("app")),
            ("'/opt/my app/run' --now", Some("/opt/my app/run")),
            ("\"/opt/my app/run\"", Some("/opt/my app/run")),
            ("app>/dev/null 2>&1", Some("app")),
            ("app|tee x", Some("app")),
            ("app;true", Some("app")),
            ("app\nother", Some("app")),
            ("ä.ö", Some("ä.ö")),
            ("systemd-run --unit=x y", Some("systemd-run")),
        ] {
            assert_eq!(first_program(text).as_deref(), program, "{text}");
        }
        for text in [
            "",
            "#app",
            "$APP start",
            "`app`",
            "(app)",
            "{ app; }",
            "! app",
            "if app; then x; fi",
            "cd /opt && ./app",
            "PATH=/opt/bin app",
            "A=$(x) app",
            "A=1",
            "A=1; app",
            "exec -a x app",
            ". ./app",
            "2>x app",
            ">x app",
            "f() { app; }",
            "a*b",
            "~/app",
            "app\\ x",
            "'app",
            "\"$APP\"",
            "test -e x || app",
            "a[1]=2",
            "exec",
            "&& app",
            "''",
            "kill 1",
        ] {
            assert_eq!(first_program(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_run_is_doubted() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display().to_string();
        for (name, mode) in [("dockerd", 0o755), ("plain", 0o644)] {
            std::fs::write(folder.path().join(name), "").unwrap();
            std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let path = OsString::from(format!("/nowhere:{here}"));
        let doubt = |text: &str| doubt_in(text, &path, Path::new("")).unwrap_or_default();
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
