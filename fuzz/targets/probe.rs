//! What `--probe` is given, a newline, and what a server answers.
#![no_main]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use watchdog::parts::{Check, answer};
use watchdog_fuzz::{assert_harmless, words};

/// A server that answers this, in pieces.
struct Server<'a> {
    answer: &'a [u8],
    piece: usize,
}

impl Read for Server<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.piece.min(buffer.len());
        self.answer.read(&mut buffer[..most])
    }
}

impl Write for Server<'_> {
    fn write(&mut self, asked: &[u8]) -> io::Result<usize> {
        Ok(asked.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    if let Ok(text) = std::str::from_utf8(part()) {
        check_address(text);
    }
    check_answer(part());
});

fn check_address(text: &str) {
    match Check::read(text) {
        Ok(check) => {
            let shown = check.to_string();
            if matches!(check, Check::Builtin(_)) {
                assert_harmless(&shown);
            }
            assert_eq!(Check::read(&shown), Ok(check), "{shown}");
        }
        Err(wrong) => {
            assert!(!wrong.what.is_empty() && !wrong.instead.is_empty());
            assert_harmless(&wrong.what);
            assert_harmless(&wrong.instead);
            // What is to be typed instead, where it is whole, is right.
            if let Some(command) = wrong.instead.strip_prefix("give the command ") {
                assert_eq!(words(command).map(|words| words.len()), Some(5), "{command}");
            }
            let whole = |instead: &&str| !instead.ends_with("PORT") && !instead.contains(", or ");
            if let Some(instead) = wrong.instead.strip_prefix("type ").filter(whole) {
                assert!(matches!(Check::read(instead), Ok(Check::Builtin(_))), "{instead}");
            }
        }
    }
}

fn check_answer(data: &[u8]) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
    let of = |data, piece| answer(Server { answer: data, piece }, "GET / HTTP/1.1\r\n\r\n", address);
    let outcome = of(data, usize::MAX);
    assert_eq!(of(data, 1), outcome, "how it is cut makes no difference");
    let said = outcome.why.strip_prefix("127.0.0.1:80 ").unwrap();
    assert_harmless(said);
    assert!(said.len() < 1000);
    match said.strip_prefix("answered ").and_then(|status| status.get(..3)) {
        Some(number) => {
            let is_healthy = number.starts_with(['2', '3']);
            assert_eq!(outcome.status(), if is_healthy { 0 } else { 1 });
            let status = format!(" {number}").into_bytes();
            assert!(data.windows(4).any(|part| part == status), "nobody said {number}");
            let more = [data, b"\nHTTP/1.1 200 OK\r\nHTTP/1.1 500 x\r\n\r\n"].concat();
            assert_eq!(of(&more, 7), outcome, "what comes after it counts for nothing");
        }
        None => assert_eq!(outcome.status(), 1, "only a status is healthy"),
    }
}
