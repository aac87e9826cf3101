//! Whatever becomes of standard error, the watch goes on (rule 35).

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::fs::OFlags;

use crate::harness::{Captured, Scene};
use crate::machine::pipe;
use crate::terminal::Terminal;

/// A watch with nothing running yet, so that there are warnings from the beginning.
#[track_caller]
fn assert_watch_goes_on(prepare: impl FnOnce(&mut Command)) {
    assert_watch_of(prepare, "$ACTOR sleep &");
}

#[track_caller]
fn assert_watch_of(prepare: impl FnOnce(&mut Command), start_command: &str) {
    let scene = Scene::new();
    let watchdog = scene.watchdog().flag("-v").with("--restart-wait-interval", "0.1");
    let mut command = watchdog.starting(start_command).command();
    prepare(&mut command);
    let watchdog = scene.spawn(command, Captured::Nothing);
    for round in 1..4 {
        scene.wait_until("the attempt is judged", || (scene.count("succeeded") == round).then_some(()));
        scene.assert_watched();
    }
    scene.wait_until("the log has it all", || {
        ((scene.count("was killed|died, and"), scene.count("not running; starting it")) == (3, 4))
            .then_some(())
    });
    watchdog.terminate();
}

/// Makes records of more than a pipe or a terminal has room for, also when it says that it has some.
fn long() -> String {
    format!("$ACTOR sleep & # {}", "long ".repeat(20_000))
}

fn stderr(to: impl Into<Stdio>) -> impl FnOnce(&mut Command) {
    |command| {
        command.stderr(to);
    }
}

#[test]
fn full() {
    assert_watch_goes_on(stderr(File::options().write(true).open("/dev/full").unwrap()));
}

#[test]
fn closed() {
    assert_watch_goes_on(|command| {
        // SAFETY: the closure makes system calls that signal-safety(7) allows after fork.
        unsafe {
            command.pre_exec(|| {
                for fd in 0..3 {
                    libc::close(fd);
                }
                Ok(())
            });
        }
    });
}

#[test]
fn a_pipe_without_a_reader() {
    let (_, writer) = pipe();
    assert_watch_goes_on(stderr(writer));
}

#[test]
fn a_pipe_that_nobody_reads() {
    let (_reader, writer) = pipe();
    fill(&writer);
    assert_watch_goes_on(stderr(writer));
}

#[test]
fn a_pipe_with_too_little_room() {
    let (_reader, writer) = pipe();
    assert_watch_of(stderr(writer), &long());
}

#[test]
fn a_terminal_with_too_little_room() {
    let terminal = Terminal::new();
    assert_watch_of(stderr(terminal.open()), &long());
}

#[test]
fn a_terminal_that_nobody_reads() {
    let terminal = Terminal::new();
    let slave = terminal.open();
    fill(&slave);
    assert_watch_goes_on(stderr(slave));
}

#[test]
fn a_socket_without_a_reader() {
    let (_, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    assert_watch_goes_on(stderr(std::os::fd::OwnedFd::from(theirs)));
}

/// What a descriptor shares with a shell and its other programs is not changed for them.
#[test]
fn nobody_elses_descriptor_is_made_to_lose_output() {
    let (_reader, writer) = pipe();
    let scene = Scene::new();
    let mut command = scene.watchdog().command();
    command.stderr(writer.try_clone().unwrap());
    let watchdog = scene.spawn(command, Captured::Nothing);
    scene.wait_for("succeeded");
    assert!(!rustix::fs::fcntl_getfl(&writer).unwrap().contains(OFlags::NONBLOCK));
    watchdog.terminate();
}

/// Writes until there is no room for a byte.
fn fill(mut file: impl AsFd + Write) {
    let flags = rustix::fs::fcntl_getfl(&file).unwrap();
    rustix::fs::fcntl_setfl(&file, flags | OFlags::NONBLOCK).unwrap();
    for piece in [&[b'x'; 1000][..], b"x"] {
        while file.write(piece).is_ok() {}
    }
    rustix::fs::fcntl_setfl(&file, flags).unwrap();
}
