//! Whether the kernel ran out of memory: how many processes its OOM killer has ended, of the control group
//! of one process and on the machine.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use procfs::process::Process;
use serde::{Deserialize, Serialize};

use crate::fs::open_regular;
use crate::process::cgroup::{self, ControlGroups};

/// Far more than the files that count are long.
const LONGEST: u64 = 1 << 16;

/// How many processes the OOM killer has ended, as read at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomKills {
    /// In the control group that the memory of the process is charged to.
    pub group: Option<Group>,
    /// On the machine: `oom_kill` of `/proc/vmstat` (Linux 4.13).
    pub machine: Option<u64>,
}

/// The count of one control group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The file that has it as `oom_kill`: `memory.events` (cgroup v2; Linux 4.13), `memory.oom_control`
    /// (v1; Linux 4.13).
    pub file: PathBuf,
    /// That file's inode, which another group that is made by the same name later does not have.
    pub inode: u64,
    /// The count.
    pub kills: u64,
}

/// What the OOM killer did between two moments: more processes than none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutOfMemory {
    /// It ended so many of the control group.
    Group(u64),
    /// It ended so many on the machine, of whichever group: the process's own is gone.
    Machine(u64),
}

impl OomKills {
    /// As it is now, for the process with this entry in the /proc at `proc`. What cannot be read is `None`.
    pub fn read(entry: &Process, proc: &Path) -> Self {
        Self::of(&ControlGroups::read(entry), proc, Path::new(cgroup::MOUNT))
    }

    fn of(groups: &ControlGroups, proc: &Path, mount: &Path) -> Self {
        let counted = |file: PathBuf| count(&file).ok().map(|(kills, inode)| Group { file, inode, kills });
        let group = counting_files(groups, mount).into_iter().find_map(counted);
        OomKills { group, machine: on_machine(proc) }
    }

    /// What the OOM killer has done since. The machine's count is asked only where the group is gone.
    pub fn since(&self, proc: &Path) -> Option<OutOfMemory> {
        let more = |before: u64, now: u64| now.checked_sub(before).filter(|more| *more > 0);
        if let Some(Group { file, inode, kills }) = &self.group {
            if let Some((now, _)) = count(file).ok().filter(|(_, inode_now)| inode_now == inode) {
                return more(*kills, now).map(OutOfMemory::Group);
            }
        }
        more(self.machine?, on_machine(proc)?).map(OutOfMemory::Machine)
    }
}

/// The files that may count for a process in these groups, the right one first.
fn counting_files(groups: &ControlGroups, mount: &Path) -> Vec<PathBuf> {
    let path = |controller| {
        let path = Path::new(groups.path(controller)?.strip_prefix('/')?);
        // A group that is not below what is mounted here is shown as `/../other`.
        path.components().all(|part| matches!(part, Component::Normal(_))).then_some(path)
    };
    if let Some(path) = path("memory") {
        return vec![mount.join("memory").join(path).join("memory.oom_control")];
    }
    // A group without the memory controller is charged to the nearest above that has it; the root counts
    // nothing.
    let groups = path("").unwrap_or(Path::new("")).ancestors().filter(|path| !path.as_os_str().is_empty());
    groups.map(|path| mount.join(path).join("memory.events")).collect()
}

/// The `oom_kill` of a file, and its inode.
fn count(file: &Path) -> io::Result<(u64, u64)> {
    // Whatever somebody has put there is not waited for.
    let file = open_regular(file)?.ok_or(io::ErrorKind::InvalidData)?;
    let inode = file.metadata()?.ino();
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
    count.map(|count| (count, inode)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn on_machine(proc: &Path) -> Option<u64> {
    count(&proc.join("vmstat")).ok().map(|(count, _)| count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The memory of a group tree and of a machine.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            let machine = Machine(tempfile::tempdir().unwrap());
            fs::create_dir(machine.path("proc")).unwrap();
            machine.has("proc/vmstat", 7);
            machine
        }

        fn path(&self, file: &str) -> PathBuf {
            self.0.path().join(file)
        }

        fn has(&self, file: &str, kills: u64) {
            fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
            fs::write(self.path(file), format!("low 0\noom 9\noom_kill {kills}\noom_group_kill 5\n"))
                .unwrap();
        }

        fn read(&self, groups: &str) -> OomKills {
            OomKills::of(&ControlGroups(groups.to_owned()), &self.path("proc"), &self.path("cgroup"))
        }

        fn since(&self, before: &OomKills) -> Option<OutOfMemory> {
            before.since(&self.path("proc"))
        }
    }

    #[test]
    fn the_group_of_the_process_is_asked() {
        for (groups, file) in [
            ("0::/system.slice/x.service\n", "cgroup/system.slice/x.service/memory.events"),
            // A group in it that has no memory controller.
            ("0::/system.slice/x.service/app\n", "cgroup/system.slice/x.service/memory.events"),
            (
                "5:cpu,cpuacct:/c\n4:memory:/docker/ab\n0::/system.slice/x.service\n",
                "cgroup/memory/docker/ab/memory.oom_control",
            ),
            ("0::/a:b\n", "cgroup/a:b/memory.events"),
        ] {
            let machine = Machine::new();
            machine.has(file, 3);
            let before = machine.read(groups);
            assert_eq!(before.group.as_ref().map(|group| group.file.clone()), Some(machine.path(file)));
            machine.has("proc/vmstat", 8);
            assert_eq!(machine.since(&before), None, "another group's");
            machine.has(file, 5);
            assert_eq!(machine.since(&before), Some(OutOfMemory::Group(2)));
        }
    }

    #[test]
    fn where_the_group_is_gone_or_another_the_machine_is_asked() {
        let machine = Machine::new();
        machine.has("cgroup/x/memory.events", 3);
        let before = machine.read("0::/x\n");
        fs::remove_dir_all(machine.path("cgroup/x")).unwrap();
        assert_eq!(machine.since(&before), None);
        machine.has("proc/vmstat", 9);
        assert_eq!(machine.since(&before), Some(OutOfMemory::Machine(2)));
        // What keeps the number of the inode that was.
        machine.has("cgroup/y/memory.events", 0);
        fs::rename(machine.path("cgroup/y"), machine.path("cgroup/x")).unwrap();
        let other = OomKills { group: before.group.map(|group| Group { inode: 1, ..group }), ..before };
        assert_eq!(machine.since(&other), Some(OutOfMemory::Machine(2)));
    }

    #[test]
    fn what_tells_nothing_says_nothing() {
        let machine = Machine::new();
        for groups in ["", "\n", "0::/\n", "0::/../other\n", "0::/../../x\n", "nonsense", "1:memory\n"] {
            let before = machine.read(groups);
            assert_eq!(before.group, None, "{groups:?}");
            assert_eq!(machine.since(&before), None);
        }
        assert_eq!(OomKills::default().since(&machine.path("proc")), None);
        fs::write(machine.path("proc/vmstat"), "oom_kill much\n").unwrap();
        assert_eq!(machine.read("").machine, None);
        machine.has("proc/vmstat", 5);
        assert_eq!(
            machine.since(&OomKills { group: None, machine: Some(7) }),
            None,
            "a count that went back"
        );
    }

    #[test]
    fn this_machine_counts() {
        let entry = Process::myself().unwrap();
        let kills = OomKills::read(&entry, Path::new("/proc"));
        assert!(kills.machine.is_some(), "{kills:?}");
    }
}
