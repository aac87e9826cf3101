//! `watchdog probe`: the built-in checks, against real sockets and files.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;

use crate::harness::{Captured, Ended, Scene, WATCHDOG};

fn probe(scene: &Scene, words: &[&str]) -> Ended {
    let mut command = Command::new(WATCHDOG);
    command.arg("probe").args(words).stdin(Stdio::null());
    scene.spawn(command, Captured::All).ends()
}

#[track_caller]
fn assert_found(ended: &Ended, status: i32, said: &str) {
    assert_eq!((ended.code(), &*ended.stderr), (Some(status), ""), "{ended}");
    assert!(ended.stdout.contains(said), "{said}: {ended}");
}

#[test]
fn a_web_server_is_healthy_by_its_status() {
    let scene = Scene::new();
    for (answer, status) in [("200 OK", 0), ("503 Busy", 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            write!(stream, "HTTP/1.1 {answer}\r\n\r\n").unwrap();
        });
        let ended = probe(&scene, &[&format!("http://127.0.0.1:{port}/x")]);
        assert_found(&ended, status, &format!("answered {answer}"));
    }
}

/// The kernel accepts for it; an answer does not come.
#[test]
fn a_hung_server_accepts_and_does_not_answer() {
    let scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_found(&probe(&scene, &[&format!("tcp://127.0.0.1:{port}")]), 0, "accepted the connection");
    let ended = probe(&scene, &[&format!("http://127.0.0.1:{port}/"), "--timeout", "200ms"]);
    assert_found(&ended, 1, "did not answer within 200ms");
}

#[test]
fn a_socket_is_accepted_or_not_there() {
    let scene = Scene::new();
    let path = scene.path("socket");
    let check = format!("unix:{}", path.display());
    assert_found(&probe(&scene, &[&check]), 1, "is not there");
    let listener = UnixListener::bind(&path).unwrap();
    assert_found(&probe(&scene, &[&check]), 0, "accepted the connection");
    drop(listener);
    assert_found(&probe(&scene, &[&check]), 1, "refused the connection");
}

/// Only whoever knows the beat before this one can tell whether it changes.
#[test]
fn a_heartbeat_alone_tells_nothing() {
    let scene = Scene::new();
    let file = scene.path("beat");
    let check = format!("file:{}", file.display());
    assert_found(&probe(&scene, &[&check]), 1, "is not there");
    fs::write(&file, "").unwrap();
    assert_found(&probe(&scene, &[&check]), 75, "heartbeat ");
}

#[test]
fn a_host_that_is_not_found_says_nothing_of_the_server() {
    let scene = Scene::new();
    assert_found(
        &probe(&scene, &["tcp://no-such-host.invalid:80", "--timeout", "5s"]),
        75,
        "no-such-host.invalid",
    );
}

#[test]
fn what_is_no_check_is_refused() {
    let scene = Scene::new();
    for words in
        [&[][..], &["nginx"], &["redis-cli ping"], &["http://h:70000/"], &["tcp://h:1", "--timeout", "soon"]]
    {
        let ended = probe(&scene, words);
        assert_eq!((ended.code(), &*ended.stdout), (Some(2), ""), "{words:?}: {ended}");
    }
    let ended = probe(&scene, &["nginx", "--timeout", "0"]);
    assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), 2), "{ended}");
}
