//! A heartbeat: what is seen of a file that the process changes again and again.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

use super::ProbeResult;

/// What its line begins with in the output of a probe.
const MARK: &str = "heartbeat ";

/// All that tells one state of a file from another, as text. No clock is asked: a file's time may lie anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Heartbeat(String);

impl Heartbeat {
    /// That of a file.
    pub fn of(file: &Metadata) -> Self {
        let (device, inode, size) = (file.dev(), file.ino(), file.size());
        Heartbeat(format!("{device}:{inode} {size} {}.{:09}", file.mtime(), file.mtime_nsec()))
    }

    /// The one that the output of a probe ends with.
    pub fn in_output(output: &str) -> Option<Self> {
        let beat = output.lines().next_back()?.strip_prefix(MARK)?;
        Some(Heartbeat(beat.to_owned()))
    }

    /// What it means after the one of the `previous` probe.
    pub fn after(&self, previous: Option<&Heartbeat>) -> ProbeResult {
        match previous {
            None => ProbeResult::Unknown,
            Some(previous) if previous == self => ProbeResult::Unhealthy,
            Some(_) => ProbeResult::Healthy,
        }
    }
}

impl fmt::Display for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::time::SystemTime;

    fn beat(file: &std::path::Path) -> Heartbeat {
        Heartbeat::of(&fs::metadata(file).unwrap())
    }

    #[test]
    fn each_change_of_the_file_is_a_beat() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("beat");
        fs::write(&file, "1").unwrap();
        let first = beat(&file);
        assert_eq!(first.after(None), ProbeResult::Unknown);
        assert_eq!(beat(&file).after(Some(&first)), ProbeResult::Unhealthy);

        let at = fs::metadata(&file).unwrap().modified().unwrap();
        let set = |time| File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        set(SystemTime::UNIX_EPOCH);
        assert_eq!(beat(&file).after(Some(&first)), ProbeResult::Healthy, "an earlier time");
        fs::write(&file, "22").unwrap();
        set(at);
        assert_eq!(beat(&file).after(Some(&first)), ProbeResult::Healthy, "another size");
        let other = folder.path().join("other");
        fs::write(&other, "1").unwrap();
        File::options().write(true).open(&other).unwrap().set_modified(at).unwrap();
        fs::rename(&other, &file).unwrap();
        assert_eq!(beat(&file).after(Some(&first)), ProbeResult::Healthy, "another file");
    }

    #[test]
    fn a_beat_is_read_back_from_the_output() {
        let folder = tempfile::tempdir().unwrap();
        let beat = beat(folder.path());
        assert_eq!(Heartbeat::in_output(&format!("x is there\n{beat}\n")), Some(beat.clone()));
        assert_eq!(Heartbeat::in_output(&format!("{beat}\nx is not there\n")), None);
        assert_eq!(Heartbeat::in_output(""), None);
    }
}
