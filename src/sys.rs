//! The few system calls that no safe function of a library makes. The only unsafe code.
#![allow(unsafe_code)]

use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where the kernel shows processes.
pub const PROC: &str = "/proc";

/// A process number.
pub type Pid = i32;

/// The number of this process.
pub fn own_pid() -> Pid {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Flags as `OpenOptions::custom_flags` takes them.
pub fn custom_flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or_default()
}

/// `struct pidfd_info` of `include/uapi/linux/pidfd.h`, in its first published size of 64 bytes.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    /// pid tgid ppid ruid rgid euid egid suid sgid fsuid fsgid
    ids: [u32; 11],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// `_IOWR(0xFF, 11, struct pidfd_info)`
const PIDFD_GET_INFO: rustix::ioctl::Opcode = rustix::ioctl::opcode::read_write::<PidfdInfo>(0xFF, 11);

/// How the process behind `pidfd` ended, in the form of wait(2): `PIDFD_GET_INFO` with `PIDFD_INFO_EXIT`, since Linux
/// 6.15. `None` if it lives, or nobody has waited for it yet. Needs no privilege, but a pidfd that was opened before
/// the process was waited for.
///
/// # Errors
/// This kernel does not say.
pub fn pidfd_exit(pidfd: BorrowedFd<'_>) -> Result<Option<i32>, Errno> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request's number carries the size of `PidfdInfo`, which the kernel fills at most; any
    // bytes are a valid `PidfdInfo`.
    unsafe {
        rustix::ioctl::ioctl(pidfd, rustix::ioctl::Updater::<PIDFD_GET_INFO, PidfdInfo>::new(&mut info))?;
    }
    Ok((info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code))
}

/// Sends a signal, whichever, to the process behind `pidfd`; 0 only asks whether that may be done.
///
/// # Errors
/// It is gone, or not for us to signal.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: it takes three numbers, and no address: without `info` the kernel makes its own.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, 0) };
    if sent == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error().raw_os_error().map_or(Errno::INVAL, Errno::from_raw_os_error))
}

/// Sends a signal, whichever, to a process, or to a process group by its negative number.
pub fn kill(pid: Pid, signal: i32) {
    // SAFETY: it takes two numbers.
    unsafe { libc::kill(pid, signal) };
}

/// The last signal (signal(7)).
const LAST_SIGNAL: i32 = 64;

/// Lets `command` begin in a session of its own, with each signal at its default. `before_exec` is called
/// in the child before the program begins, which it does not if that fails.
pub fn detach(
    command: &mut Command,
    mut before_exec: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: the closure runs between fork and exec of a program without threads, and makes only
    // system calls that signal-safety(7) allows there; it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            for signal in 1..=LAST_SIGNAL {
                // Not by signal(2): the C library keeps two for itself, and whoever ignored these as well
                // has passed that on. Zeros are the default, no flags and an empty mask.
                let default = [0_u64; 4];
                let size_of_mask = 8_usize;
                let old = std::ptr::null_mut::<u64>();
                libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, size_of_mask);
            }
            before_exec()
        });
    }
}

/// Forks a child that calls `read`, and ends. All that it has open is `from`, as standard input, and `to`, as standard
/// output: it keeps no lock and no pipe of anybody's. It ends with this process.
///
/// `read` must make system calls only: it neither allocates nor takes a lock, and does not panic.
///
/// # Errors
/// There is no room for another process.
pub fn fork_reader(from: BorrowedFd<'_>, to: BorrowedFd<'_>, read: impl FnOnce()) -> io::Result<Pid> {
    // SAFETY: the child makes system calls that signal-safety(7) allows, and leaves by _exit(2).
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
            let are_moved = [rustix::stdio::dup2_stdin(from), rustix::stdio::dup2_stdout(to)];
            if are_moved.iter().all(Result::is_ok) {
                close_from(2);
                read();
            }
            // SAFETY: nothing of this process is wanted any more.
            unsafe { libc::_exit(0) }
        }
        child => Ok(child),
    }
}

/// Closes all descriptors from this one on.
fn close_from(first: i32) {
    // SAFETY: what is closed is not used again.
    unsafe {
        // Since Linux 5.9; before, those that there usually are.
        if libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) != 0 {
            for descriptor in first..1024 {
                libc::close(descriptor);
            }
        }
    }
}

/// A child that has ended, whichever; it is still to be reaped. (nix knows no real-time signals, and
/// fails for a child that one of them has ended; rustix does not give the number.)
pub fn ended_child() -> Option<Pid> {
    // SAFETY: zeros are a valid `siginfo_t`, which waitid(2) fills if there is such a child and else leaves as
    // it is; the field that is read then belongs to what it has filled in, or is zero.
    let pid = unsafe {
        let mut info = std::mem::zeroed::<libc::siginfo_t>();
        let what = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(libc::P_ALL, 0, &raw mut info, what) == 0 { info.si_pid() } else { 0 }
    };
    (pid != 0).then_some(pid)
}

/// Who listens at the other end of a connected Unix socket: the user, and the process, unless that is of another PID
/// namespace. (rustix takes its number for one that is never 0.)
///
/// # Errors
/// It is not connected.
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<(u32, Option<Pid>)> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or_default();
    // SAFETY: the kernel writes no more than `size` bytes to `peer`, which any bytes are valid for.
    let done = unsafe {
        let to = (&raw mut peer).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, to, &raw mut size)
    };
    if done == 0 {
        Ok((peer.uid, Some(peer.pid).filter(|pid| *pid > 0)))
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Ignores a signal. A handler would not do for SIGTTOU: the write that it interrupts begins again.
pub fn ignore(signal: i32) {
    // SAFETY: no handler is installed, so that no code of ours runs in signal context.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Whether `signal` is ignored, as whoever started this program may have left it.
pub fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with no new action nothing is changed; any bytes, zeros too, are a valid `sigaction`, to
    // which the present one is written.
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// Gives memory that nobody uses back to the kernel. Reading the command line takes several times what watching
/// does, of the heap and of the stack. The C library does it by itself only for 128 KiB at the end of the heap
/// (mallopt(3), `M_TRIM_THRESHOLD`).
pub fn give_back_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) touches free memory alone.
    unsafe {
        libc::malloc_trim(0);
    }
    let here = 0_u8;
    let unused_from = (&raw const here).addr().saturating_sub(STACK_IN_USE);
    let unused = std::ptr::without_provenance_mut(unused_from.saturating_sub(STACK_UNUSED) & !(PAGE - 1));
    if own_pid() == nix::unistd::gettid().as_raw() {
        // SAFETY: below what is in use there is nothing but the rest of the main thread's stack, and the gap of 1 MiB
        // that Linux keeps below that (`stack_guard_gap`); what is not mapped is passed over.
        unsafe {
            libc::madvise(unused, STACK_UNUSED, libc::MADV_DONTNEED);
        }
    }
}

/// More than the system call needs below the variables of its caller.
const STACK_IN_USE: usize = 16 << 10;
/// How much below that is given back.
const STACK_UNUSED: usize = 512 << 10;
/// The smallest size of a page.
const PAGE: usize = 4096;

/// Sees to it that descriptors which this program inherited end with it: a `flock` or a pipe of whoever
/// started it is not for the daemons that it starts.
///
/// # Errors
/// /proc/self/fd cannot be read.
pub fn keep_inherited_descriptors() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if number > 2 {
            // SAFETY: setting this flag touches no memory and closes nothing; this program's own descriptors have it.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Whether a command that could not be started failed for want of resources, which may pass, and not
/// because of what it is.
pub fn is_shortage(error: &io::Error) -> bool {
    let error = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(error, Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortages_pass_and_mistakes_do_not() {
        let is_shortage = |errno: Errno| is_shortage(&errno.into());
        assert!([Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE].into_iter().all(is_shortage));
        assert!(![Errno::NOENT, Errno::ACCESS, Errno::NOEXEC].into_iter().any(is_shortage));
    }
}
