//! Why the kernel will not execute a file that is there and executable. It says `not found` of all of this.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::fs::open_regular;
use crate::settings::program::{Place, is_missing};
use crate::text::quoted;

/// How much of a file is read: more than the kernel does for `#!`, and where linkers put the loader's name.
const HEAD: u64 = 1024;
/// `PT_INTERP` (elf(5)).
const LOADER: usize = 3;

/// Why the file at `path` cannot be executed, where that is certain.
pub fn doubt(path: &Path, place: &Place) -> Option<String> {
    let head = head(path)?;
    let doubt = if let Some(script_head) = head.strip_prefix(b"#!") {
        script(path, script_head.split(|byte| *byte == b'\n').next()?, place)?
    } else {
        let loader = Path::new(OsStr::from_bytes(loader(&head)?));
        let name = Some(loader.display()).filter(|_| is_missing(loader))?;
        format!("needs the loader {name}, which does not exist; install it, or a build for this system")
    };
    Some(format!("{} {doubt}", path.display()))
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
    use super::*;
    use crate::task::Profile;
    use proptest::prelude::*;

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
