//! Files that somebody else may have put a pipe or a link in place of.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Opens a file; a pipe or a link that somebody put in its place is neither waited for nor followed.
pub fn open_in_place(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Reads a small file; a pipe or a link that somebody put in its place is neither waited for nor followed.
///
/// # Errors
/// It is no regular file of text, or cannot be read.
pub fn read_file(path: &Path) -> io::Result<String> {
    let file = open_in_place(OpenOptions::new().read(true), path)?;
    io::read_to_string(io::Read::take(file, LARGEST))
}

/// What a new file waits for before it takes the place of the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// A power cut may leave an empty one: a state is begun anew then, and is written at each death, where a
    /// slow disk would delay the start; and an empty pause of an upgrade is none.
    Nothing,
    /// It is on the disk: an empty pause would be one that nobody ends.
    Disk,
}

/// Writes a new file and puts it in the place of the old one: a reader never sees half of either, and
/// neither a kill nor a full disk loses both.
pub fn replace(path: &Path, content: &impl Serialize, wait_for: WaitFor) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(new);
    // What a run that was cut off left there, or what somebody put there.
    let _ = std::fs::remove_file(&new);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        let mut text = serde_json::to_vec(content)?;
        text.push(b'\n');
        file.write_all(&text)?;
        // The mode is the same whatever the umask: everybody may see the state.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        if wait_for == WaitFor::Disk {
            file.sync_data()?;
        }
        std::fs::rename(&new, path)
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&new);
    })
}

/// The largest state file that is read.
const LARGEST: u64 = 1 << 20;
