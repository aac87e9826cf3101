//! What `wake.c` does, in Rust: `wake-rs FILE` wakes each second, reads the beginning of a file that is open,
//! and sleeps again. Its memory is what a Rust program has before it has anything of its own.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::Duration;

fn main() -> std::io::Result<()> {
    let file = File::open(std::env::args_os().nth(1).unwrap_or_default())?;
    let mut text = [0; 2048];
    loop {
        file.read_at(&mut text, 0)?;
        sleep(Duration::from_secs(1));
    }
}
