//! The control groups that a process is in (cgroups(7)).

use std::path::Path;

use procfs::process::Process;

use crate::process::{open_entry, read_all};
use crate::sys::Pid;

/// Where they are mounted.
pub const MOUNT: &str = "/sys/fs/cgroup";
/// Far more than a `/proc/PID/cgroup` is long.
const LONGEST: usize = 1 << 16;

/// The text of a `/proc/PID/cgroup`: a line for each hierarchy, with its number, its controllers and the path
/// of the group.
#[derive(Debug, Default)]
pub struct ControlGroups(pub(super) String);

impl ControlGroups {
    /// What cannot be read has none.
    pub fn read(entry: &Process) -> Self {
        let text = read_all(entry, "cgroup", LONGEST).unwrap_or_default();
        ControlGroups(String::from_utf8(text).unwrap_or_default())
    }

    pub fn of(proc: &Path, pid: Pid) -> Self {
        open_entry(proc, pid).map_or_else(|_| Self::default(), |entry| Self::read(&entry))
    }

    /// The path in the hierarchy with this controller; the unified one (version 2) has the empty name.
    pub fn path(&self, controller: &str) -> Option<&str> {
        self.0.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|name| name == controller).then_some(path)
        })
    }

    /// Whether the group is frozen, of which version 2 tells only here (cgroups(7), `cgroup.freeze`).
    pub fn is_frozen(&self) -> bool {
        self.is_frozen_below(Path::new(MOUNT))
    }

    fn is_frozen_below(&self, mount: &Path) -> bool {
        let says = |controller, folder: &str, file: &str, frozen: &str| {
            let path = self.path(controller).unwrap_or_default().trim_start_matches('/');
            let text = crate::fs::read_file(&mount.join(folder).join(path).join(file)).unwrap_or_default();
            text.lines().any(|line| line == frozen)
        };
        // Where both versions are in use, version 2 is mounted in a folder of its own, as each controller is.
        says("", "", "cgroup.events", "frozen 1")
            || says("", "unified", "cgroup.events", "frozen 1")
            || says("freezer", "freezer", "freezer.state", "FROZEN")
    }

    /// The group that systemd has made for a service, if the process is in one. Its own hierarchy is the
    /// unified one or, in version 1, that of its name.
    pub fn service(&self) -> Option<String> {
        let path = self.of_systemd()?;
        last_part(path).strip_suffix(".service").filter(|name| !name.is_empty()).map(|_| path.to_owned())
    }

    /// The systemd unit that the process is in, a service or a scope, if it is in any.
    pub fn unit(&self) -> Option<&str> {
        self.of_systemd()?.rsplit('/').find(|part| {
            part.strip_suffix(".service").or(part.strip_suffix(".scope")).is_some_and(|name| !name.is_empty())
        })
    }

    fn of_systemd(&self) -> Option<&str> {
        self.path("name=systemd").or_else(|| self.path(""))
    }
}

pub fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_version_has_frozen_it_it_is_frozen() {
        let groups = ControlGroups("3:freezer:/a/b\n1:name=systemd:/c\n0::/c/d\n".to_owned());
        for (file, text, frozen) in [
            ("c/d/cgroup.events", "populated 1\nfrozen 0\n", false),
            ("c/d/cgroup.events", "populated 1\nfrozen 1\n", true),
            ("unified/c/d/cgroup.events", "frozen 1\npopulated 1\n", true),
            ("freezer/a/b/freezer.state", "THAWED\n", false),
            ("freezer/a/b/freezer.state", "FREEZING\n", false),
            ("freezer/a/b/freezer.state", "FROZEN\n", true),
        ] {
            let mount = tempfile::tempdir().unwrap();
            let file = mount.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
            assert_eq!(groups.is_frozen_below(mount.path()), frozen, "{}: {text}", file.display());
        }
    }

    #[test]
    fn a_service_is_known_by_its_control_group() {
        for (text, service) in [
            ("0::/system.slice/a.service\n", Some("/system.slice/a.service")),
            (
                "12:pids:/x.service\n1:name=systemd:/system.slice/b.service\n0::/\n",
                Some("/system.slice/b.service"),
            ),
            (
                "0::/user.slice/user-7.slice/user@7.service/app.slice/c.service\n",
                Some("/user.slice/user-7.slice/user@7.service/app.slice/c.service"),
            ),
            ("0::/a:b.service\n", Some("/a:b.service")),
            ("", None),
            ("0::/\n", None),
            ("0::/user.slice/user-7.slice/session-1.scope\n", None),
            ("0::/.service\n", None),
            ("odd\n", None),
        ] {
            assert_eq!(ControlGroups(text.to_owned()).service().as_deref(), service, "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ControlGroups::of(folder.path(), 7).service(), None);
        std::fs::create_dir(folder.path().join("7")).unwrap();
        std::fs::write(folder.path().join("7/cgroup"), "0::/a.service\n").unwrap();
        assert_eq!(ControlGroups::of(folder.path(), 7).service().as_deref(), Some("/a.service"));
    }
}
