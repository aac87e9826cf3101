//! The program that a command begins with: whether there is one, and whether the kernel would execute it.

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, StatVfsMountFlags, accessat, statvfs};
use rustix::io::Errno;

use crate::fs::open_regular;
use crate::settings::shell::first_program;
use crate::task::Profile;
use crate::task::environment::complete_path;
use crate::text::quoted;

/// A name that is so many slips of the finger from another may be meant for it.
const MOST_SLIPS: usize = 2;
const NOT_EXECUTABLE: &str = "is not executable";
/// How much of a file is read: more than the kernel does for `#!`, and where linkers put the loader's name.
const HEAD: u64 = 1024;
/// `PT_INTERP` (elf(5)).
const LOADER: usize = 3;

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
    fn at(&self, file: &Path) -> PathBuf {
        self.folder.join(file)
    }

    /// The file of a program that is in PATH, in which an empty directory is the one where it runs.
    fn find(&self, program: &str) -> Option<PathBuf> {
        let mut files = std::env::split_paths(&self.path).map(|folder| self.at(&folder).join(program));
        files.find(|file| cannot_run(file).is_none())
    }

    /// The file that a shell would execute for the program that `start_command` begins with.
    fn file(&self, start_command: &str) -> Option<PathBuf> {
        let program = first_program(start_command)?;
        if program.contains('/') { Some(self.at(program.as_ref())) } else { self.find(&program) }
    }

    /// Why the kernel would not execute the file of the program that `start_command` begins with, where that is certain.
    /// It says `not found` of all of this.
    pub(super) fn doubt_file(&self, start_command: &str) -> Option<String> {
        let path = self.file(start_command)?;
        let head = head(&path)?;
        let doubt = if let Some(script_head) = head.strip_prefix(b"#!") {
            script(&path, script_head.split(|byte| *byte == b'\n').next()?, self)?
        } else {
            let loader = Path::new(OsStr::from_bytes(loader(&head)?));
            let name = Some(loader.display()).filter(|_| is_missing(loader))?;
            format!("needs the loader {name}, which does not exist; install it, or a build for this system")
        };
        Some(format!("{} {doubt}", path.display()))
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
fn is_missing(path: &Path) -> bool {
    let is_missing = |kind| matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory);
    path.metadata().is_err_and(|error| is_missing(error.kind()))
}

/// The first bytes of a file.
fn head(path: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    open_regular(path).ok()??.take(HEAD).read_to_end(&mut head).ok()?;
    Some(head)
}

/// What is wrong with the first `line` of a script, after its `#!`.
fn script(path: &Path, line: &[u8], place: &Place) -> Option<String> {
    if line.ends_with(b"\r") {
        let file = quoted(path.as_os_str());
        return Some(format!(
            "has Windows line ends, so that its interpreter is not found; convert it: sed -i 's/\\r$//' {file}"
        ));
    }
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let interpreter = Path::new(OsStr::from_bytes(words.next()?));
    let missing = if is_missing(&place.at(interpreter)) {
        format!("{}, which does not exist", interpreter.display())
    } else {
        // What env(1) is to find, unless it is told more.
        let name = OsStr::from_bytes(words.next().filter(|_| interpreter.ends_with("env"))?).to_str()?;
        if name.starts_with('-') || name.contains('=') || place.find(name).is_some() {
            return None;
        }
        format!("'{name}', which is not in PATH")
    };
    Some(format!("needs {missing}; install it, or correct the first line of {}", path.display()))
}

/// The loader that a program names (elf(5)), if it begins with `head` and is of a machine that counts as most do.
fn loader(head: &[u8]) -> Option<&[u8]> {
    let [class, 1, ..] = head.strip_prefix(b"\x7fELF")? else { return None };
    let number = |at: usize, length: usize| {
        let mut bytes = [0; 8];
        bytes.get_mut(..length)?.copy_from_slice(head.get(at..at.checked_add(length)?)?);
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    // How long an address is; where e_phoff and e_phentsize are, and in a program header p_offset and p_filesz.
    let (address, table, size, offset, length) = match class {
        1 => (4, 28, 42, 4, 16),
        2 => (8, 32, 54, 8, 32),
        _ => return None,
    };
    let (table, size, count) = (number(table, address)?, number(size, 2)?, number(size + 2, 2)?);
    let mut headers = (0..count).map_while(|index| table.checked_add(size.checked_mul(index)?));
    let header = headers.find(|at| number(*at, 4) == Some(LOADER))?;
    let start = number(header.checked_add(offset)?, address)?;
    let end = start.checked_add(number(header.checked_add(length)?, address)?)?;
    head.get(start..end)?.strip_suffix(b"\0")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

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

    /// The head of a program of this class, whose one program header names `name`.
    fn program(class: u8, name: &[u8]) -> Vec<u8> {
        let (address, table, size, offset, length) =
            if class == 1 { (4, 28, 42, 4, 16) } else { (8, 32, 54, 8, 32) };
        let mut head = vec![0; 192];
        head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1]);
        let mut put = |at: usize, value: usize, length: usize| {
            head[at..at + length].copy_from_slice(&value.to_le_bytes()[..length]);
        };
        put(table, 64, address);
        put(size, 56, 2);
        put(size + 2, 1, 2);
        put(64, LOADER, 4);
        put(64 + offset, 128, address);
        put(64 + length, name.len(), address);
        head[128..128 + name.len()].copy_from_slice(name);
        head
    }

    #[test]
    fn the_loader_is_what_a_program_names() {
        for class in [1, 2] {
            let head = program(class, b"/lib/ld.so\0");
            assert_eq!(loader(&head), Some(b"/lib/ld.so".as_slice()), "{class}");
            // Not all of it is there.
            for length in 0..138 {
                assert_eq!(loader(&head[..length]), None, "{class} {length}");
            }
            assert_eq!(loader(&program(class, b"/lib/ld.so")), None);
        }
        assert_eq!(loader(&program(3, b"/lib/ld.so\0")), None);
        assert_eq!(loader(b"#!/bin/sh"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(class in 1_u8..3, bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = loader(&[&[0x7f, b'E', b'L', b'F', class, 1], bytes.as_slice()].concat());
            let _ = script(Path::new("/x"), &bytes, &Place::new(&Profile::default(), Path::new("")));
        }
    }
}
