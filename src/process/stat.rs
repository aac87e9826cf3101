//! A process as one line of the kernel shows it: `/proc/PID/stat` (proc(5)).
//!
//! The procfs crate reads this file too, but replaces bytes of the name that are no UTF-8 and panics on
//! a line that breaks off; and this parser neither allocates nor copies.

use std::time::Duration;

use crate::process::ProcessId;
use crate::sys::Pid;
use crate::time::Time;

/// Room for the longest line: 51 numbers of up to 20 digits, and the name.
pub const LONGEST_LINE: usize = 2048;

/// Set in `flags` for a kernel thread (`PF_KTHREAD`, `include/linux/sched.h`).
const KERNEL_THREAD: u32 = 0x0020_0000;
/// Set in `flags` for what dumps core (`PF_DUMPCORE`, there too).
const DUMPING: u32 = 0x200;
/// Set in `flags` for what is about to end (`PF_EXITING`, there too).
const EXITING: u32 = 4;
/// Set in `flags` for what was forked and has called no exec since (`PF_FORKNOEXEC`, there too).
const FORKED_ONLY: u32 = 0x40;

/// What the watchdog needs of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat<'a> {
    /// The name as the kernel has it: any bytes, spaces, brackets and newlines among them.
    pub comm: &'a [u8],
    /// `R`, `S`, `D`, `Z`, `T`, …
    pub state: u8,
    pub ppid: i32,
    pub group: i32,
    pub session: i32,
    /// The controlling terminal; 0 is none.
    pub tty: i32,
    flags: u32,
    /// What it has used of processors.
    cpu_ticks: u64,
    threads: i64,
    /// Since boot.
    start_ticks: u64,
    resident_pages: u64,
    /// Whether the reader may trace the process: `wchan`, which only such a reader gets and which is 1 for
    /// what does not run (since Linux 5.16; before, a zombie has 0 here; `fs/proc/array.c`, `do_task_stat`).
    may_trace: bool,
    exit_code: i32,
}

impl<'a> Stat<'a> {
    /// Reads a line. `None` if it is not one, or breaks off.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        // The name may hold anything, `) Z 1` too; but nothing after it holds a bracket.
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let comm = line.get(open + 1..close)?;
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        // By their numbers in proc(5), where the state is field 3.
        let mut fields = [""; 53];
        for (field, word) in fields.iter_mut().skip(3).zip(rest.split_ascii_whitespace()) {
            *field = word;
        }
        let field = |number: usize| fields.get(number).copied().unwrap_or_default();
        Some(Stat {
            comm,
            state: *field(3).as_bytes().first()?,
            ppid: field(4).parse().ok()?,
            group: field(5).parse().ok()?,
            session: field(6).parse().ok()?,
            tty: field(7).parse().ok()?,
            flags: field(9).parse().ok()?,
            cpu_ticks: field(14).parse().unwrap_or(0_u64).saturating_add(field(15).parse().unwrap_or(0)),
            threads: field(20).parse().ok()?,
            start_ticks: field(22).parse().ok()?,
            resident_pages: field(24).parse().unwrap_or(0),
            may_trace: field(35) == "1",
            exit_code: field(52).parse().unwrap_or(0),
        })
    }

    /// Whether it is dead. A leader thread that has exited shows `Z` while the rest of its process
    /// lives on.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, b'X' | b'x') || (self.state == b'Z' && self.threads <= 1)
    }

    /// How it ended, in the form of wait(2): only a zombie tells, and only to a reader that may trace it; to
    /// others it says 0 (`fs/proc/array.c`, `do_task_stat`).
    pub fn exit_code(&self) -> Option<i32> {
        (self.is_dead() && (self.exit_code != 0 || self.may_trace)).then_some(self.exit_code)
    }

    /// Its memory that is in the machine's: the resident set, in bytes.
    pub fn resident(&self) -> u64 {
        self.resident_pages.saturating_mul(procfs::page_size())
    }

    /// Whether it has been stopped, by a signal or a debugger.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    /// Whether its leader thread is about to end, or has.
    pub fn is_ending(&self) -> bool {
        self.flags & EXITING != 0
    }

    pub fn is_dumping_core(&self) -> bool {
        self.flags & DUMPING != 0
    }

    /// Processor time that it has used.
    pub fn cpu_time(&self) -> Duration {
        tick().saturating_mul(u32::try_from(self.cpu_ticks).unwrap_or(u32::MAX))
    }

    pub fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }

    /// Whether it has no command line, and will have none.
    pub fn is_bare(&self) -> bool {
        self.is_kernel_thread() || self.state == b'Z'
    }

    /// Whether it is what its parent was when it was forked.
    pub fn never_execed(&self) -> bool {
        self.flags & FORKED_ONLY != 0
    }

    /// When it started, cut to a tick (10 ms).
    pub fn started(&self) -> Time {
        let tick = u64::try_from(tick().as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.start_ticks.saturating_mul(tick))
    }

    /// Of which process this is, if it is that of `pid`.
    pub fn id(&self, pid: Pid) -> ProcessId {
        ProcessId { pid, started: self.started() }
    }
}

/// The unit of the times in this file: 10 ms on each Linux of today.
pub fn tick() -> Duration {
    Duration::from_secs(1) / u32::try_from(procfs::ticks_per_second()).unwrap_or(100).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(comm: &str, state: char, threads: u32) -> String {
        format!(
            "812 ({comm}) {state} 1 812 700 34816 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 12345 100 200 \
             18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 9\n"
        )
    }

    #[test]
    fn times_that_no_machine_has_overflow_nothing() {
        let most = line("x", 'S', 1).replacen(" 5 6 7 8 ", &format!(" {0} {0} 7 8 ", u64::MAX), 1);
        assert_ne!(most, line("x", 'S', 1));
        assert!(Stat::parse(most.as_bytes()).unwrap().cpu_time() > Duration::from_secs(1 << 20));
    }

    #[test]
    fn hostile_names_do_not_move_the_fields() {
        for comm in ["sleep", "foo) Z ", "(sd-pam)", "a b", ") R 1 (", "new\nline", "", ")))", "x) S 1 1"] {
            let line = line(comm, 'S', 1);
            let stat = Stat::parse(line.as_bytes()).unwrap();
            assert_eq!((stat.comm, stat.state, stat.ppid), (comm.as_bytes(), b'S', 1));
            assert_eq!((stat.session, stat.tty, stat.resident()), (700, 34816, 200 * procfs::page_size()));
            assert_eq!(stat.started(), tick() * 12345);
            assert!(!stat.is_dead() && !stat.is_kernel_thread() && !stat.is_ending());
        }
    }

    #[test]
    fn dead_is_a_zombie_without_threads() {
        for (state, threads, dead) in [
            ('Z', 1, true),
            ('Z', 0, true),
            ('Z', 2, false),
            ('X', 1, true),
            ('T', 1, false),
            ('D', 1, false),
        ] {
            assert_eq!(
                Stat::parse(line("x", state, threads).as_bytes()).unwrap().is_dead(),
                dead,
                "{state} {threads}"
            );
        }
    }

    #[test]
    fn only_a_zombie_tells_how_it_ended_and_not_to_everybody() {
        let line = |state, wchan: &str, code: &str| {
            let line = line("x", state, 1).replace(" 4096 0 0 0", &format!(" 4096 0 {wchan} 0"));
            line.replace(" 9\n", &format!(" {code}\n"))
        };
        for (state, wchan, code, told) in [
            ('Z', "0", "9", Some(9)),
            ('Z', "1", "9", Some(9)),
            ('Z', "0", "0", None),
            ('Z', "1", "0", Some(0)),
            ('X', "1", "768", Some(768)),
            ('S', "1", "9", None),
        ] {
            let line = line(state, wchan, code);
            assert_eq!(Stat::parse(line.as_bytes()).unwrap().exit_code(), told, "{line}");
        }
    }

    #[test]
    fn a_line_that_breaks_off_is_none() {
        let line = line("x", 'S', 1);
        let last_needed = line.find(" 12345").unwrap() + 2;
        for end in 0..last_needed {
            assert_eq!(Stat::parse(&line.as_bytes()[..end]), None, "{end}");
        }
    }

    #[test]
    fn reads_this_process() {
        let line = std::fs::read("/proc/self/stat").unwrap();
        assert!(line.len() < LONGEST_LINE);
        let stat = Stat::parse(&line).unwrap();
        assert_eq!(stat.ppid, nix::unistd::getppid().as_raw());
        assert!(stat.threads >= 1 && stat.start_ticks > 0);
    }
}
