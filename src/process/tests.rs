//! What the tests of several files use.

use crate::process::scan::{Matches, Proc, Tasks, Unknown};
use crate::process::termination::Predecessor;
use crate::process::{ProcessInfo, Signature};
use crate::settings::Criteria;
use crate::settings::pattern::{Extent, Pattern};
use crate::sys::Pid;
use crate::time::Time;

/// A /proc in a temporary folder, with process 1 and whatever is added.
pub(super) struct FakeProc(pub(super) tempfile::TempDir);

pub(super) fn named(text: &str) -> Criteria {
    Criteria { pattern: Pattern::new(text, Extent::Part).unwrap(), ..Criteria::default() }
}

impl FakeProc {
    pub(super) fn new() -> Self {
        let proc = FakeProc(tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(std::process::id().to_string(), proc.0.path().join("self")).unwrap();
        for other in ["uptime", "1x", "self2"] {
            std::fs::write(proc.0.path().join(other), "").unwrap();
        }
        proc.add(1, b"init", 'S', 1, b"/sbin/init\0")
    }

    pub(super) fn add(self, pid: Pid, name: &[u8], state: char, ticks: u64, command_line: &[u8]) -> Self {
        self.add_with(pid, name, state, (ticks, 1, 0), command_line)
    }

    /// With start in ticks, number of threads, and terminal.
    pub(super) fn add_with(
        self,
        pid: Pid,
        name: &[u8],
        state: char,
        more: (u64, u32, i32),
        command_line: &[u8],
    ) -> Self {
        let (ticks, threads, tty) = more;
        let flags = if command_line == b"KERNEL" { 0x0020_0040 } else { 0x40_0000 };
        let folder = self.0.path().join(pid.to_string());
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("comm"), [name, b"\n"].concat()).unwrap();
        let mut line = format!("{pid} (").into_bytes();
        line.extend(name);
        line.extend(
            format!(
                ") {state} 1 {pid} {pid} {tty} -1 {flags} 1 2 3 4 5 6 7 8 20 0 {threads} 0 {ticks} 9 9 9 9 9 9 9 9 0 \
                 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
            )
            .bytes(),
        );
        std::fs::write(folder.join("stat"), line).unwrap();
        std::fs::write(folder.join("cmdline"), command_line).unwrap();
        std::fs::write(folder.join("status"), format!("Name:\tx\nPid:\t{pid}\nNSpid:\t{pid}\n")).unwrap();
        self
    }

    pub(super) fn find(&self, pattern: &str, predecessor: Option<&Predecessor>) -> Result<Matches, Unknown> {
        Proc::new(self.0.path())?.find(&named(pattern), predecessor, &Tasks::default())
    }

    pub(super) fn pids(&self, pattern: &str) -> Vec<Pid> {
        self.find(pattern, None).unwrap().counting.iter().map(|process| process.pid).collect()
    }
}

impl ProcessInfo {
    /// What a test has no more to say of.
    pub fn of_test(pid: Pid, name: &str, signature: Signature) -> Self {
        ProcessInfo {
            pid,
            name: name.to_owned(),
            started: Time::ZERO,
            has_terminal: false,
            parent: 1,
            session: pid,
            never_execed: false,
            comm: name.as_bytes().to_vec(),
            command_line: name.to_owned(),
            signature,
        }
    }
}
