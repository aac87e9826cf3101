//! Parts of the actor: a FUSE server that never takes what is written; a process that no signal ends because of it;
//! and one that hangs with the lock of its memory held, so that whoever reads its command line hangs too.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::null_mut;
use std::thread::{sleep, spawn};
use std::time::Duration;

use nix::mount::{MsFlags, mount};

/// What it answers, and what of it (`include/uapi/linux/fuse.h`).
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const RELEASE: u32 = 18;
const INIT: u32 = 26;
/// The reply's flag of an open file that goes by the page cache.
const DIRECT_IO: u32 = 1;

/// Large enough for the largest request (`FUSE_MIN_READ_BUFFER`, and a header).
const REQUEST: usize = 1 << 17;
const IN_HEADER: usize = 40;
const PAGE: usize = 4096;

/// Serves one file, `path`, whose second opening is for direct input and output. What is written to it is
/// never taken, until this process ends; `path.waits` says that something was.
pub fn serve(path: &str) -> ! {
    let mut device = mounted(path);
    let mut request = vec![0; REQUEST];
    let mut openings = 0;
    loop {
        let length = device.read(&mut request).expect("a request");
        let bytes = |at: usize, length| request.get(at..at + length).expect("a whole request");
        let word = |at| u32::from_ne_bytes(bytes(at, 4).try_into().expect("four bytes"));
        let mut reply = Vec::new();
        let mut add = |words: &[u32]| reply.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        let error = match word(4) {
            // Version 7.31, no read-ahead, no flags, 16 requests in the background, writes of one page.
            INIT => {
                add(&[7, 31, 0, 0, 16, 4096, 1]);
                add(&[0; 9]);
                0
            }
            // Valid for a long time; number 1, one page long, a regular file that all may read and write.
            GETATTR => {
                add(&[3600, 0, 0, 0, 1, 0, 4096, 0, 8, 0]);
                add(&[0; 9]);
                add(&[0o100_666, 1, 0, 0, 0, 4096, 0]);
                0
            }
            OPEN => {
                openings += 1;
                add(&[0, 0, if openings == 1 { 0 } else { DIRECT_IO }, 0]);
                0
            }
            READ => {
                reply.resize(word(IN_HEADER + 16) as usize, 0);
                0
            }
            WRITE => {
                File::create(format!("{path}.waits")).expect("a note");
                continue;
            }
            RELEASE => 0,
            _ => -libc::ENOSYS,
        };
        if length < IN_HEADER {
            continue;
        }
        let total = u32::try_from(16 + reply.len()).expect("a short reply");
        let mut answer = [total.to_ne_bytes(), error.to_ne_bytes()].concat();
        answer.extend(bytes(8, 8));
        answer.append(&mut reply);
        device.write_all(&answer).expect("an answer is taken");
    }
}

/// Serves one file, `path`, so that whoever opens it waits for an answer.
pub fn mute(path: &str) -> ! {
    let _device = mounted(path);
    loop {
        sleep(Duration::from_secs(1000));
    }
}

fn mounted(path: &str) -> File {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").expect("/dev/fuse");
    File::create(path).expect("a file to mount over");
    // The root of the file system is that file, so that there are no names to look up.
    let data = format!("fd={},rootmode=100666,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    mount(Some("actor"), path, Some("fuse"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(data.as_str()))
        .expect("a mount");
    device
}

/// Hangs at `path`, once that is served. The leader sleeps; another thread is in state D, in mmap(2), which has
/// to write back a dirty page first.
pub fn hang(path: &str) -> ! {
    while !is_mount(path) {
        sleep(Duration::from_millis(5));
    }
    let open = || OpenOptions::new().read(true).write(true).open(path).expect("the served file");
    // Both before there is a page in the cache: an opening waits for dirty ones too.
    let (cached, direct) = (open(), open());
    assert_eq!(cached.metadata().expect("what it is").len(), PAGE as u64, "the kernel knows its length now");
    let shared = map(&cached, libc::MAP_SHARED);
    // SAFETY: it is mapped, a page long, and nobody else's.
    unsafe { shared.cast::<u8>().write_volatile(1) };
    spawn(move || map(&direct, libc::MAP_PRIVATE) as usize);
    // The leader's memory is not to be touched from here on: a page fault would hang too.
    loop {
        let time = libc::timespec { tv_sec: 1000, tv_nsec: 0 };
        // SAFETY: the pointer is to a value of the right type, and null is allowed.
        unsafe { libc::nanosleep(&raw const time, null_mut()) };
    }
}

/// Waits in the kernel for what it writes to `path` to be taken. When it gets a signal, it is in state D.
pub fn stick(path: &str) -> ! {
    while !is_mount(path) {
        sleep(Duration::from_millis(5));
    }
    let open = || OpenOptions::new().write(true).open(path).expect("the served file");
    let (_cached, mut direct) = (open(), open());
    panic!("{:?}", direct.write_all(b"never taken"));
}

fn is_mount(path: &str) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    mounts.lines().any(|line| line.split(' ').nth(1).is_some_and(|at| Path::new(at) == Path::new(path)))
}

fn map(file: &File, kind: libc::c_int) -> *mut libc::c_void {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the kernel chooses where, so that nothing is mapped over.
    let address = unsafe { libc::mmap(null_mut(), PAGE, access, kind, file.as_raw_fd(), 0) };
    assert_ne!(address, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    address
}
