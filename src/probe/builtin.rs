//! The built-in checks, as `watchdog probe` runs them.

use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::heartbeat::Heartbeat;
use super::{Finding, ProbeResult};
use crate::settings::check::{Builtin, Server};
use crate::text::{escaped, span};

/// The status of what cannot be told (`sysexits.h`).
const EX_TEMPFAIL: u8 = 75;
/// No status line, with the interim answers before it, is longer.
const LONGEST_ANSWER: u64 = 8192;
/// How much is quoted of what a server says.
const LONGEST_QUOTE: usize = 80;

impl Finding {
    /// What an error of `what` means. Only what the other side has done, or has not, is held against it.
    fn failed(what: impl fmt::Display, error: &io::Error) -> Self {
        let unhealthy = |why: &str| Finding::new(ProbeResult::Unhealthy, format!("{what} {why}"));
        match error.kind() {
            ErrorKind::ConnectionRefused => unhealthy("refused the connection"),
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
                unhealthy("broke the connection off")
            }
            ErrorKind::HostUnreachable => unhealthy("cannot be reached"),
            ErrorKind::TimedOut => unhealthy("did not accept the connection in time"),
            ErrorKind::NotFound | ErrorKind::NotADirectory => unhealthy("is not there"),
            _ => Finding::new(ProbeResult::Unknown, format!("{what}: {error}")),
        }
    }

    fn accepted(by: impl fmt::Display) -> Self {
        Finding::new(ProbeResult::Healthy, format!("{by} accepted the connection"))
    }

    fn seen(path: &Path, file: &Metadata) -> Self {
        let why = format!("{} is there; the next probe shows whether it changes", path.display());
        Finding { heartbeat: Some(Heartbeat::of(file)), ..Finding::new(ProbeResult::Unknown, why) }
    }

    /// What several failures come to.
    fn of_all(failed: &[Finding]) -> Self {
        let is_unhealthy = failed.iter().any(|outcome| outcome.result == ProbeResult::Unhealthy);
        let why: Vec<_> = failed.iter().map(|outcome| outcome.why.as_str()).collect();
        Finding::new(if is_unhealthy { ProbeResult::Unhealthy } else { ProbeResult::Unknown }, why.join("; "))
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        match self.result {
            ProbeResult::Healthy => 0,
            ProbeResult::Unhealthy | ProbeResult::TimedOut { .. } => 1,
            ProbeResult::Unknown => EX_TEMPFAIL,
        }
    }
}

/// What the check prints.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.why)?;
        self.heartbeat.iter().try_for_each(|heartbeat| writeln!(f, "{heartbeat}"))
    }
}

/// Runs a check, for `within` at most.
///
/// What is not done by then is left to a thread that ends with the program: nothing else bounds the
/// look-up of a name, a Unix socket whose queue is full, or a file on a server that is gone.
pub fn run(check: &Builtin, within: Duration) -> Finding {
    let check = check.clone();
    last_of(within, move |attempt| attempt.make(&check))
}

/// The last that an attempt has said when it is over.
fn last_of(within: Duration, work: impl FnOnce(&Attempt) -> Finding + Send + 'static) -> Finding {
    let (says, said) = mpsc::channel();
    let deadline = Instant::now() + within;
    let attempt = Attempt { deadline, time: span(within), says };
    if let Err(error) = thread::Builder::new().spawn(move || attempt.says.send(work(&attempt))) {
        return Finding::failed("no thread for the check", &error);
    }
    let mut last = Finding::new(ProbeResult::Unknown, "the check did not get to work in time");
    while let Ok(outcome) = said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        last = outcome;
    }
    last
}

/// A check at work. Each time before it waits, it says what the outcome is if that lasts too long.
#[derive(Clone)]
struct Attempt {
    deadline: Instant,
    time: String,
    says: Sender<Finding>,
}

impl Attempt {
    fn make(&self, check: &Builtin) -> Finding {
        match check {
            Builtin::Http { server, path } => self.server(server, Some(&request(server, path))),
            Builtin::Tcp(server) => self.server(server, None),
            Builtin::Unix(path) => {
                let shown = path.display();
                // So it is while the queue of connections is full.
                self.awaits(ProbeResult::Unhealthy, &shown, "did not accept the connection");
                match UnixStream::connect(path) {
                    Ok(_) => Finding::accepted(shown),
                    Err(error) => Finding::failed(shown, &error),
                }
            }
            Builtin::File(path) => {
                self.awaits(ProbeResult::Unknown, path.display(), "could not be looked at");
                match fs::metadata(path) {
                    Ok(file) => Finding::seen(path, &file),
                    Err(error) => Finding::failed(path.display(), &error),
                }
            }
        }
    }

    fn awaits(&self, result: ProbeResult, who: impl fmt::Display, what: &str) {
        // Nobody hears it once the time is over.
        let _ = self.says.send(Finding::new(result, format!("{who} {what} within {}", self.time)));
    }

    /// Looks up the host. A name that is not found says nothing about the process.
    fn server(&self, server: &Server, request: Option<&str>) -> Finding {
        let Server { host, port } = server;
        self.awaits(ProbeResult::Unknown, host, "was not looked up");
        match (host.as_str(), *port).to_socket_addrs() {
            Ok(addresses) => self.addresses(addresses.as_slice(), request),
            Err(error) => Finding::new(ProbeResult::Unknown, format!("{host}: {error}")),
        }
    }

    /// Asks one address after the other until one is healthy. One that is silent for its share of the time is still
    /// waited for while the next one is asked.
    fn addresses(&self, addresses: &[SocketAddr], request: Option<&str>) -> Finding {
        let (tells, told) = mpsc::channel();
        let mut findings: Vec<_> = addresses.iter().map(|address| self.silent(address)).collect();
        let mut waited_for = 0;
        for (place, address) in addresses.iter().enumerate() {
            let (attempt, address, tells) = (self.clone(), *address, tells.clone());
            let request = request.map(str::to_owned);
            let ask = move || tells.send((place, attempt.address(address, request.as_deref())));
            if let Err(error) = thread::Builder::new().spawn(ask) {
                return Finding::failed("no thread for the check", &error);
            }
            waited_for += 1;
            let left = u32::try_from(addresses.len() - place).unwrap_or(u32::MAX);
            let share = self.deadline.saturating_duration_since(Instant::now()) / left;
            // `run` ends the last wait.
            let until = (left > 1).then(|| Instant::now() + share);
            while waited_for > 0 {
                let answer = match until {
                    Some(until) => told.recv_timeout(until.saturating_duration_since(Instant::now())).ok(),
                    None => told.recv().ok(),
                };
                let Some((place, finding)) = answer else { break };
                if finding.result == ProbeResult::Healthy {
                    return finding;
                }
                waited_for -= 1;
                if let Some(of_it) = findings.get_mut(place) {
                    *of_it = finding;
                }
                let _ = self.says.send(Finding::of_all(&findings));
            }
        }
        Finding::of_all(&findings)
    }

    fn address(&self, address: SocketAddr, request: Option<&str>) -> Finding {
        self.awaits(ProbeResult::Unhealthy, address, "did not accept the connection");
        // A time of 0 would be refused.
        let time = self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match (TcpStream::connect_timeout(&address, time), request) {
            (Err(error), _) => Finding::failed(address, &error),
            (Ok(_), None) => Finding::accepted(address),
            (Ok(stream), Some(request)) => {
                let _ = self.says.send(self.silent(&address));
                answer(stream, request, address)
            }
        }
    }

    fn silent(&self, address: &SocketAddr) -> Finding {
        Finding::new(ProbeResult::Unhealthy, format!("{address} did not answer within {}", self.time))
    }
}

fn request(server: &Server, path: &str) -> String {
    let (host, version) = (server.authority(), env!("CARGO_PKG_VERSION"));
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: watchdog/{version}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    )
}

/// Asks, and reads the answer up to its status.
pub fn answer(mut stream: impl Read + Write, request: &str, address: SocketAddr) -> Finding {
    // A server may answer without having read everything. If it does not answer either, reading tells.
    let _ = stream.write_all(request.as_bytes());
    let unhealthy = |why: &str| Finding::new(ProbeResult::Unhealthy, format!("{address} {why}"));
    let mut answer = BufReader::new(stream.take(LONGEST_ANSWER));
    let mut line = Vec::new();
    let mut is_header = false;
    loop {
        line.clear();
        if let Err(error) = answer.read_until(b'\n', &mut line) {
            return Finding::failed(address, &error);
        }
        if !line.ends_with(b"\n") {
            return unhealthy(match (answer.get_ref().limit(), line.is_empty()) {
                (0, _) => "sent 8 KiB without a status",
                (_, true) => "closed the connection without an answer",
                (_, false) => "closed the connection in the middle of its answer",
            });
        }
        let text = String::from_utf8_lossy(line.trim_ascii_end());
        if is_header {
            is_header = !text.is_empty();
            continue;
        }
        match status(&text) {
            // An interim answer: the final one follows its headers.
            Some((100..=199, _)) => is_header = true,
            Some((200..=399, said)) => {
                return Finding::new(ProbeResult::Healthy, format!("{address} answered {}", quoted(said)));
            }
            Some((_, said)) => return unhealthy(&format!("answered {}", quoted(said))),
            None => return unhealthy(&format!("does not speak HTTP, but says '{}'", quoted(&text))),
        }
    }
}

/// The status of an answer: as a number, and with its reason.
fn status(line: &str) -> Option<(u16, &str)> {
    let (_, said) = line.strip_prefix("HTTP/")?.split_once(' ')?;
    let number = said.split(' ').next().filter(|number| number.len() == 3)?;
    Some((number.parse().ok()?, said))
}

/// The beginning of what a server says, fit for a terminal.
fn quoted(text: &str) -> String {
    escaped(&text.chars().take(LONGEST_QUOTE).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc::{Receiver, RecvTimeoutError};

    /// For what is there at once, however busy the machine is.
    const LONG: Duration = Duration::from_secs(60);
    /// For what never comes.
    const SHORT: Duration = Duration::from_millis(500);

    fn http(address: SocketAddr) -> Builtin {
        let server = Server { host: address.ip().to_string(), port: address.port() };
        Builtin::Http { server, path: "/x?y".into() }
    }

    fn tcp(address: SocketAddr) -> Builtin {
        Builtin::Tcp(Server { host: address.ip().to_string(), port: address.port() })
    }

    /// A server for one connection. It ends with the sender that the test holds, if it waits for that.
    fn server(serve: impl FnOnce(TcpStream, Receiver<()>) + Send + 'static) -> (SocketAddr, Sender<()>) {
        serve_at(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), serve)
    }

    fn serve_at(
        listener: TcpListener,
        serve: impl FnOnce(TcpStream, Receiver<()>) + Send + 'static,
    ) -> (SocketAddr, Sender<()>) {
        let (test, ended) = mpsc::channel();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(listener.accept().unwrap().0, ended));
        (address, test)
    }

    fn read_request(stream: &TcpStream) -> String {
        let lines = BufReader::new(stream).lines().map(Result::unwrap);
        lines.take_while(|line| !line.is_empty()).map(|line| line + "\n").collect()
    }

    /// A port that nobody else gets and that refuses.
    fn refusing() -> (OwnedFd, SocketAddr) {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = rustix::net::getsockname(&socket).unwrap().try_into().unwrap();
        (socket, address)
    }

    #[test]
    fn the_status_of_the_answer_decides() {
        for (answer, result, why) in [
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\n", ProbeResult::Healthy, "answered 200 OK"),
            ("HTTP/1.1 200\r\n\r\n", ProbeResult::Healthy, "answered 200"),
            ("HTTP/1.1 200 \r\n\r\n", ProbeResult::Healthy, "answered 200"),
            ("HTTP/1.0 204 No Content\n", ProbeResult::Healthy, "answered 204 No Content"),
            ("HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", ProbeResult::Healthy, "answered 301 Moved"),
            ("HTTP/1.1 399 x\r\n", ProbeResult::Healthy, "answered 399 x"),
            (
                "HTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n",
                ProbeResult::Healthy,
                "answered 200 OK",
            ),
            ("HTTP/1.1 100 x\r\n\r\nHTTP/1.1 500 y\r\n", ProbeResult::Unhealthy, "answered 500 y"),
            ("HTTP/1.1 400 Bad\r\n", ProbeResult::Unhealthy, "answered 400 Bad"),
            ("HTTP/1.1 503 \u{1b}[2J\r\n\r\n", ProbeResult::Unhealthy, "answered 503 \\u{1b}[2J"),
            ("HTTP/1.1 099 x\r\n", ProbeResult::Unhealthy, "answered 099 x"),
            (
                "HTTP/1.1 2000 OK\r\n",
                ProbeResult::Unhealthy,
                "does not speak HTTP, but says 'HTTP/1.1 2000 OK'",
            ),
            ("HTTP/1.1 \r\n", ProbeResult::Unhealthy, "does not speak HTTP, but says 'HTTP/1.1'"),
            ("-ERR no\r\n", ProbeResult::Unhealthy, "does not speak HTTP, but says '-ERR no'"),
            ("\n", ProbeResult::Unhealthy, "does not speak HTTP, but says ''"),
            ("HTTP/1.1 200 OK", ProbeResult::Unhealthy, "closed the connection in the middle of its answer"),
            ("", ProbeResult::Unhealthy, "closed the connection without an answer"),
        ] {
            let (address, _test) = server(move |mut stream, _| {
                read_request(&stream);
                stream.write_all(answer.as_bytes()).unwrap();
            });
            let expected = Finding::new(result, format!("{address} {why}"));
            assert_eq!(run(&http(address), LONG), expected, "{answer:?}");
        }
    }

    #[test]
    fn the_request_is_whole() {
        let (tell, told) = mpsc::channel();
        let (address, _test) = server(move |mut stream, _| {
            tell.send(read_request(&stream)).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
        });
        assert_eq!(run(&http(address), LONG).result, ProbeResult::Healthy);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            told.recv().unwrap(),
            format!(
                "GET /x?y HTTP/1.1\nHost: {address}\nUser-Agent: watchdog/{version}\nAccept: */*\nConnection: close\n"
            )
        );
        let server = Server { host: "::1".into(), port: 80 };
        assert!(request(&server, "/").contains("\r\nHost: [::1]\r\n"));
    }

    #[test]
    fn a_server_that_closes_at_once_is_unhealthy() {
        let (address, _test) = server(|stream, _| drop(stream));
        assert_eq!(run(&http(address), LONG).result, ProbeResult::Unhealthy);
    }

    #[test]
    fn no_more_is_read_than_a_status_needs() {
        for (begin, result, why) in [
            ("", ProbeResult::Unhealthy, "sent 8 KiB without a status"),
            ("HTTP/1.1 103 x\r\n", ProbeResult::Unhealthy, "sent 8 KiB without a status"),
            ("HTTP/1.1 200 OK\r\n", ProbeResult::Healthy, "answered 200 OK"),
        ] {
            let (address, _test) = server(move |mut stream, _| {
                read_request(&stream);
                stream.write_all(begin.as_bytes()).unwrap();
                let million = vec![b'x'; 1 << 20];
                while stream.write_all(&million).is_ok() {}
            });
            assert_eq!(run(&http(address), LONG), Finding::new(result, format!("{address} {why}")));
        }
    }

    #[test]
    fn a_server_that_does_not_answer_in_time_is_unhealthy() {
        let silent = |_: TcpStream, ended: Receiver<()>| while ended.recv().is_ok() {};
        let dripping = |mut stream: TcpStream, ended: Receiver<()>| {
            while ended.recv_timeout(Duration::from_millis(10)) == Err(RecvTimeoutError::Timeout) {
                let _ = stream.write_all(b"x");
            }
        };
        let servers = [server(silent), server(dripping)];
        for (address, _test) in &servers {
            let expected = format!("{address} did not answer within 500ms");
            assert_eq!(run(&http(*address), SHORT), Finding::new(ProbeResult::Unhealthy, expected));
        }
    }

    #[test]
    fn an_address_of_ipv6_is_asked_too() {
        let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
            let _ = writeln!(io::stderr(), "skipped: there is no IPv6 here");
            return;
        };
        let (address, _test) = serve_at(listener, |mut stream, _| {
            assert!(read_request(&stream).contains("\nHost: [::1]:"));
            stream.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
        });
        assert_eq!(run(&http(address), LONG).why, format!("{address} answered 200 OK"));
    }

    #[test]
    fn a_connection_is_enough_for_tcp() {
        let (address, _test) = server(|_, ended| while ended.recv().is_ok() {});
        let expected = Finding::new(ProbeResult::Healthy, format!("{address} accepted the connection"));
        assert_eq!(run(&tcp(address), LONG), expected);
        let (_socket, address) = refusing();
        let expected = Finding::new(ProbeResult::Unhealthy, format!("{address} refused the connection"));
        assert_eq!(run(&tcp(address), LONG), expected);
        assert_eq!(run(&http(address), LONG), expected);
    }

    /// What comes of these addresses.
    fn of(addresses: &[SocketAddr], within: Duration) -> Finding {
        let (says, _) = mpsc::channel();
        let attempt = Attempt { deadline: Instant::now() + within, time: "1s".into(), says };
        attempt.addresses(addresses, None)
    }

    #[test]
    fn each_address_is_tried() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let good = listener.local_addr().unwrap();
        let (_one, one) = refusing();
        let (_other, other) = refusing();
        assert_eq!(of(&[one, good], LONG), Finding::accepted(good));
        let both = format!("{one} refused the connection; {other} refused the connection");
        assert_eq!(of(&[one, other], LONG), Finding::new(ProbeResult::Unhealthy, both));
    }

    #[test]
    fn a_silent_address_leaves_time_for_the_next() {
        // The kernel leaves out who calls while the queue is full.
        let (socket, silent) = refusing();
        rustix::net::listen(&socket, 0).unwrap();
        let call = || TcpStream::connect_timeout(&silent, Duration::from_millis(100));
        let _callers: Vec<_> = std::iter::from_fn(|| call().ok()).collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let good = listener.local_addr().unwrap();
        let began = Instant::now();
        assert_eq!(of(&[silent, good], SHORT), Finding::accepted(good));
        assert!(began.elapsed() >= SHORT / 2);
        let late =
            Finding::new(ProbeResult::Unhealthy, format!("{silent} did not accept the connection in time"));
        assert_eq!(of(&[silent], SHORT), late);
    }

    #[test]
    fn an_address_that_accepts_and_says_nothing_leaves_time_for_the_next() {
        let silent = |_: TcpStream, ended: Receiver<()>| while ended.recv().is_ok() {};
        let ((one, _one), (other, _other)) = (server(silent), server(silent));
        let (good, _good) = server(|mut stream, _| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
        });
        let ask = |addresses: [SocketAddr; 2], time| {
            last_of(time, move |attempt| attempt.addresses(&addresses, Some("GET\r\n")))
        };
        let why = format!("{good} answered 200 OK");
        assert_eq!(ask([one, good], 2 * SHORT), Finding::new(ProbeResult::Healthy, why));
        let (_socket, refuses) = refusing();
        let why = format!("{other} did not answer within 500ms; {refuses} refused the connection");
        assert_eq!(ask([other, refuses], SHORT), Finding::new(ProbeResult::Unhealthy, why));
    }

    #[test]
    fn a_slow_address_is_waited_for_while_the_next_is_asked() {
        let (asked, next_is_asked) = mpsc::channel::<()>();
        let (slow, _slow) = server(move |mut stream, _| {
            let _ = next_is_asked.recv();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        });
        let (next, _next) = server(move |stream, _| drop((stream, asked)));
        let found = last_of(4 * SHORT, move |attempt| attempt.addresses(&[slow, next], Some("")));
        assert_eq!(found, Finding::new(ProbeResult::Healthy, format!("{slow} answered 200 OK")));
    }

    #[test]
    fn a_name_that_is_not_found_tells_nothing() {
        // No server is asked for a part of more than 63 letters.
        let host = "x".repeat(64);
        let outcome = run(&Builtin::Tcp(Server { host: host.clone(), port: 1 }), LONG);
        assert_eq!((outcome.result, outcome.status()), (ProbeResult::Unknown, 75));
        assert!(outcome.why.starts_with(&host), "{outcome}");
    }

    #[test]
    fn a_unix_socket_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let check = Builtin::Unix(path.clone());
        let is = |result, why: &str| Finding::new(result, format!("{} {why}", path.display()));
        assert_eq!(run(&check, LONG), is(ProbeResult::Unhealthy, "is not there"));
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(run(&check, LONG), is(ProbeResult::Healthy, "accepted the connection"));
        drop(listener);
        assert_eq!(run(&check, LONG), is(ProbeResult::Unhealthy, "refused the connection"));
        let below = Builtin::Unix(path.join("below"));
        assert_eq!(run(&below, LONG).result, ProbeResult::Unhealthy);
    }

    #[test]
    fn a_unix_socket_with_a_full_queue_is_unhealthy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let address = rustix::net::SocketAddrUnix::new(&path).unwrap();
        let socket =
            |flags| rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let listener = socket(SocketFlags::empty());
        rustix::net::bind(&listener, &address).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let call = || {
            let caller = socket(SocketFlags::NONBLOCK);
            rustix::net::connect(&caller, &address).ok().map(|()| caller)
        };
        let callers: Vec<_> = std::iter::from_fn(call).collect();
        assert!(!callers.is_empty());
        let why = format!("{} did not accept the connection within 500ms", path.display());
        assert_eq!(run(&Builtin::Unix(path), SHORT), Finding::new(ProbeResult::Unhealthy, why));
    }

    #[test]
    fn a_file_is_seen_and_judged_by_nobody_yet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("beat");
        let check = Builtin::File(path.clone());
        let why = format!("{} is not there", path.display());
        assert_eq!(run(&check, LONG), Finding::new(ProbeResult::Unhealthy, why));
        fs::write(&path, "").unwrap();
        let outcome = run(&check, LONG);
        assert_eq!((outcome.result, outcome.status()), (ProbeResult::Unknown, 75));
        assert_eq!(outcome.heartbeat, Some(Heartbeat::of(&fs::metadata(&path).unwrap())));
        assert_eq!(Heartbeat::in_output(&outcome.to_string()), outcome.heartbeat);
    }

    #[test]
    fn what_fails_on_this_side_is_not_held_against_the_other() {
        for (error, health) in [
            (libc::ECONNREFUSED, ProbeResult::Unhealthy),
            (libc::ECONNRESET, ProbeResult::Unhealthy),
            (libc::EHOSTUNREACH, ProbeResult::Unhealthy),
            (libc::ETIMEDOUT, ProbeResult::Unhealthy),
            (libc::ENOENT, ProbeResult::Unhealthy),
            (libc::ENETUNREACH, ProbeResult::Unknown),
            (libc::EADDRNOTAVAIL, ProbeResult::Unknown),
            (libc::EMFILE, ProbeResult::Unknown),
            (libc::ENFILE, ProbeResult::Unknown),
            (libc::ENOMEM, ProbeResult::Unknown),
            (libc::ENOBUFS, ProbeResult::Unknown),
            (libc::EAGAIN, ProbeResult::Unknown),
            (libc::EACCES, ProbeResult::Unknown),
            (libc::EPERM, ProbeResult::Unknown),
            (libc::EIO, ProbeResult::Unknown),
        ] {
            let outcome = Finding::failed("x", &io::Error::from_raw_os_error(error));
            assert_eq!(outcome.result, health, "{outcome}");
        }
        let unknown = Finding::new(ProbeResult::Unknown, "a");
        let unhealthy = Finding::new(ProbeResult::Unhealthy, "b");
        assert_eq!(
            Finding::of_all(&[unknown.clone(), unhealthy]),
            Finding::new(ProbeResult::Unhealthy, "a; b")
        );
        assert_eq!(Finding::of_all(&[unknown]).result, ProbeResult::Unknown);
    }
}
