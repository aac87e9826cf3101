//! `/proc/PID/stat`, in which a name may hold anything; and a pid file, which may.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watchdog::parts::{Stat, pid_in};

fuzz_target!(|data: &[u8]| {
    assert!(pid_in(data).is_none_or(|pid| pid > 0));
    // Any line.
    if let Some(stat) = Stat::parse(data) {
        assert!(data.windows(stat.comm.len().max(1)).any(|part| part == stat.comm) || stat.comm.is_empty());
        let _ = (stat.is_dead(), stat.is_stopped(), stat.is_kernel_thread(), stat.started());
    }
    // A line of the kernel, with any name: the fields stay where they are.
    let Some((numbers, comm)) = data.split_first_chunk::<16>() else { return };
    let comm = &comm[..comm.len().min(64)];
    let number =
        |at: usize| i32::from_le_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]]);
    let (ppid, session, tty, exit_code) = (number(0), number(4), number(8), i32::from(numbers[12]));
    let state = b"RSDZTtXxI"[usize::from(numbers[13]) % 9];
    let threads = numbers[14];
    let mut line = b"812 (".to_vec();
    line.extend(comm);
    line.extend(
        format!(
            ") {} {ppid} 812 {session} {tty} -1 {} 1 2 3 4 5 6 7 8 20 0 {threads} 0 12345 1 2 {} 1 1 0 0 0 0 0 4096 0 0 0 \
             0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 {exit_code}\n",
            char::from(state),
            u32::from(numbers[15] & 1) << 21,
            u64::MAX
        )
        .bytes(),
    );
    let stat = Stat::parse(&line).unwrap();
    assert_eq!(stat.comm, comm);
    assert_eq!((stat.state, stat.ppid, stat.session, stat.tty), (state, ppid, session, tty));
    assert_eq!(stat.is_dead(), matches!(state, b'X' | b'x') || state == b'Z' && threads <= 1);
    // What lives has not ended, and 0 is what those are told who may not know.
    assert_eq!(stat.exit_code(), (stat.is_dead() && exit_code != 0).then_some(exit_code));
    assert!(stat.resident() > 0 && !stat.is_ending());
    assert_eq!(stat.is_kernel_thread(), numbers[15] & 1 == 1);
    assert_eq!(stat.started(), watchdog::parts::tick() * 12345);
});
