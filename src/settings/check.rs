//! What `--probe` is given: a shell command, or a check that is built in.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use crate::settings::values::command;
use crate::settings::{self, Reading};
use crate::text::{escaped, is_control};

/// The port of `http://` where none is given.
const HTTP: u16 = 80;
/// A longer name is none (RFC 1035, written out).
const LONGEST_HOST: usize = 253;
/// `sun_path` with its null byte is 108 (unix(7)).
const LONGEST_SOCKET: usize = 107;

const KINDS: &str = "give http://HOST/PATH, tcp://HOST:PORT, unix:/PATH or file:/PATH";

/// How to test whether the process works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// By a shell command.
    Command(String),
    /// By this program.
    Builtin(Builtin),
}

/// A check that needs no other program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Builtin {
    /// GET, answered by a status from 200 to 399.
    Http {
        /// Who is asked.
        server: Server,
        /// What for, with the query.
        path: String,
    },
    /// A connection.
    Tcp(Server),
    /// A connection to a Unix socket.
    Unix(PathBuf),
    /// A file that the process changes again and again.
    File(PathBuf),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// A name or an address; of IPv6 without brackets.
    pub host: String,
    /// From 1.
    pub port: u16,
}

impl Check {
    /// Reads the value of `--probe`.
    pub fn read(text: &str) -> Reading<Self> {
        const INSTEAD: &str = "give a command, such as 'redis-cli ping', or http://127.0.0.1/";
        let Some((scheme, rest)) = url(text.trim()) else {
            return command(text, "tests nothing", INSTEAD).map(Check::Command);
        };
        let slashes = rest.strip_prefix("//");
        let rest = slashes.unwrap_or(rest);
        match scheme.as_str() {
            "http" | "tcp" if slashes.is_none() => {
                wrong(format!("has no // after {scheme}:"), format!("type {scheme}://HOST:PORT"))
            }
            "http" => http(rest),
            "tcp" => tcp(rest),
            "unix" => path(&scheme, rest, LONGEST_SOCKET).map(Builtin::Unix),
            "file" => path(&scheme, rest, usize::MAX).map(Builtin::File),
            "https" => {
                let url = encoded(&format!("https://{rest}"));
                wrong("is not built in", format!("give the command curl -fsS -o /dev/null '{url}'"))
            }
            _ => wrong(format!("'{scheme}' is no kind of check"), KINDS),
        }
        .map(Check::Builtin)
    }
}

impl Builtin {
    /// Reads what `watchdog probe` is given.
    pub fn read(text: &str) -> Reading<Self> {
        match Check::read(text)? {
            Check::Builtin(check) => Ok(check),
            Check::Command(_) => wrong("is no built-in check", KINDS),
        }
    }
}

/// Both quote what was typed.
fn wrong<T>(what: impl AsRef<str>, instead: impl AsRef<str>) -> Reading<T> {
    settings::wrong(escaped(what.as_ref()), escaped(instead.as_ref()))
}

/// Scheme and rest of what nobody means as a command.
fn url(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let is_scheme = !scheme.is_empty() && scheme.chars().all(is_plain);
    let scheme = scheme.to_ascii_lowercase();
    let is_known = ["http", "https", "tcp", "unix", "file"].contains(&scheme.as_str());
    (is_known || is_scheme && rest.starts_with("//")).then_some((scheme, rest))
}

fn http(rest: &str) -> Reading<Builtin> {
    let (server, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let server = self::server("http", server, Some(HTTP))?;
    let plain = encoded(path.split('#').next().unwrap_or(path));
    let is_plain = plain == path;
    let path = if plain.starts_with('/') { plain } else { format!("/{plain}") };
    let check = Builtin::Http { server, path };
    if is_plain {
        return Ok(check);
    }
    wrong("has a #, a space or another character that is not sent as it is", format!("type {check}"))
}

fn tcp(rest: &str) -> Reading<Builtin> {
    let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
    let check = Builtin::Tcp(self::server("tcp", server, None)?);
    if path.is_empty() {
        return Ok(check);
    }
    wrong("has a path, for which tcp:// has no use", format!("type {check}"))
}

/// Reads `HOST[:PORT]`.
fn server(scheme: &str, text: &str, default: Option<u16>) -> Reading<Server> {
    if let Some((_, server)) = text.rsplit_once('@') {
        let command = "give a command that logs in, such as curl -fsS -u USER:PASSWORD URL";
        let instead = format!("type {scheme}://{server}, or {command}");
        return wrong("has a user, and a built-in check sends none", instead);
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return wrong("has an IPv6 address without brackets", format!("type {scheme}://[{text}]:PORT"));
    }
    // A colon within brackets belongs to the address.
    let colon = text.rfind(':').filter(|colon| text.rfind(']').is_none_or(|bracket| bracket < *colon));
    let (host, port) = text.split_at(colon.unwrap_or(text.len()));
    let Some(host) = self::host(host) else {
        let instead = "give a name or an address, such as localhost, 127.0.0.1 or [::1]";
        return wrong(format!("'{host}' is no host"), instead);
    };
    match (port.strip_prefix(':'), default) {
        (None, Some(port)) => Ok(Server { host, port }),
        (None, None) => wrong("has no port", format!("give one, such as {scheme}://{text}:6379")),
        (Some(port), _) => match port.parse() {
            // A number with a sign would be read too.
            Ok(number @ 1..) if !port.starts_with('+') => Ok(Server { host, port: number }),
            _ => wrong(format!("'{port}' is no port"), "give a number from 1 to 65535"),
        },
    }
}

fn host(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return Some(address.parse::<Ipv6Addr>().ok()?.to_string());
    }
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    (is_plain && (1..=LONGEST_HOST).contains(&text.len())).then(|| text.to_ascii_lowercase())
}

fn path(scheme: &str, text: &str, longest: usize) -> Reading<PathBuf> {
    match text {
        _ if !text.starts_with('/') => {
            let instead = format!("give the whole path, such as {scheme}:/run/NAME");
            wrong("has a path that does not begin with /", instead)
        }
        _ if text.contains(is_control) => wrong("has a control character", "give a path without one"),
        _ if text.len() > longest => {
            let what = format!("has a path of more than {longest} bytes");
            wrong(what, "give a shorter one, through a link")
        }
        // As it is shown, `//` would be of the scheme.
        _ => Ok(Path::new("/").join(text.trim_start_matches('/'))),
    }
}

/// With what a URL does not hold as it is, and what ends a word for a shell, as `%XX`.
fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"'\"<>\\^`{|}".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Check::Command(command) => f.write_str(command),
            Check::Builtin(check) => check.fmt(f),
        }
    }
}

impl fmt::Display for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Builtin::Http { server, path } => write!(f, "http://{}{path}", server.authority()),
            Builtin::Tcp(server) => write!(f, "tcp://{server}"),
            Builtin::Unix(path) => write!(f, "unix:{}", path.display()),
            Builtin::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Server {
    /// As `Host:` and the URL of an HTTP request have it.
    pub fn authority(&self) -> String {
        let all = self.to_string();
        if self.port == HTTP { all.strip_suffix(":80").unwrap_or(&all).to_owned() } else { all }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Wrong;
    use proptest::prelude::*;

    #[test]
    fn a_check_is_read_and_shown_as_it_is_kept() {
        for (text, shown) in [
            ("http://localhost/", "http://localhost/"),
            (" HTTP://LocalHost ", "http://localhost/"),
            ("http://localhost:80/a?b=c&d=%20e", "http://localhost/a?b=c&d=%20e"),
            ("http://localhost:8080?a", "http://localhost:8080/?a"),
            ("http://a_b.c-d:080//x/@:", "http://a_b.c-d//x/@:"),
            ("http://[0:0::1]/", "http://[::1]/"),
            ("http://[::80]:80/", "http://[::80]/"),
            ("http://[::1]:65535/x", "http://[::1]:65535/x"),
            ("tcp://127.0.0.1:6379", "tcp://127.0.0.1:6379"),
            ("tcp://[::1]:1/", "tcp://[::1]:1"),
            ("tcp://db:80", "tcp://db:80"),
            ("unix:/run/a b.sock", "unix:/run/a b.sock"),
            ("unix:///run/x", "unix:/run/x"),
            ("unix:////run/x", "unix:/run/x"),
            ("file:/run/beat#1", "file:/run/beat#1"),
            ("FILE:///run/beat", "file:/run/beat"),
        ] {
            let check = Check::read(text).unwrap();
            assert!(matches!(check, Check::Builtin(_)), "{text}");
            assert_eq!(check.to_string(), shown, "{text}");
            assert_eq!(Check::read(shown), Ok(check), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_is_a_command() {
        for text in [
            "redis-cli ping",
            "curl -fsS https://localhost/",
            "/bin/x: y",
            "true",
            "a:b",
            " x ",
            "://x",
            "httpd -t",
        ] {
            assert_eq!(Check::read(text), Ok(Check::Command(text.to_owned())));
            let instead = "give http://HOST/PATH, tcp://HOST:PORT, unix:/PATH or file:/PATH";
            assert_eq!(Builtin::read(text), settings::wrong("is no built-in check", instead));
        }
        assert_eq!(Builtin::read("file:/x"), Ok(Builtin::File("/x".into())));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_type() {
        let long_host = "x".repeat(254);
        let long_path = "x".repeat(107);
        for (text, said) in [
            (" ", "tests nothing; give a command, such as 'redis-cli ping', or http://127.0.0.1/"),
            ("a\0b", "contains a null byte; remove it"),
            (
                "https://h/a'b c",
                "is not built in; give the command curl -fsS -o /dev/null 'https://h/a%27b%20c'",
            ),
            ("https:h", "is not built in; give the command curl -fsS -o /dev/null 'https://h'"),
            (
                "udp://h:53",
                "'udp' is no kind of check; give http://HOST/PATH, tcp://HOST:PORT, unix:/PATH or file:/PATH",
            ),
            ("http:/h/x", "has no // after http:; type http://HOST:PORT"),
            ("tcp:h:1", "has no // after tcp:; type tcp://HOST:PORT"),
            ("http://", "'' is no host; give a name or an address, such as localhost, 127.0.0.1 or [::1]"),
            ("http:///x", "'' is no host; give a name or an address, such as localhost, 127.0.0.1 or [::1]"),
            ("tcp://:80", "'' is no host; give a name or an address, such as localhost, 127.0.0.1 or [::1]"),
            ("http://h:0/", "'0' is no port; give a number from 1 to 65535"),
            ("http://h:70000/", "'70000' is no port; give a number from 1 to 65535"),
            ("http://h:+8/", "'+8' is no port; give a number from 1 to 65535"),
            ("http://h:/", "'' is no port; give a number from 1 to 65535"),
            ("tcp://h:80x", "'80x' is no port; give a number from 1 to 65535"),
            ("tcp://h", "has no port; give one, such as tcp://h:6379"),
            ("tcp://[::1]", "has no port; give one, such as tcp://[::1]:6379"),
            ("tcp://h:1/x", "has a path, for which tcp:// has no use; type tcp://h:1"),
            ("http://::1/", "has an IPv6 address without brackets; type http://[::1]:PORT"),
            (
                "http://[::1]80/",
                "'[::1]80' is no host; give a name or an address, such as localhost, 127.0.0.1 or [::1]",
            ),
            (
                "http://[x]/",
                "'[x]' is no host; give a name or an address, such as localhost, 127.0.0.1 or [::1]",
            ),
            (
                "http://[::1/",
                "'[:' is no host; give a name or an address, such as localhost, 127.0.0.1 or [::1]",
            ),
            (
                "http://a:b:1/",
                "'a:b' is no host; give a name or an address, such as localhost, 127.0.0.1 or [::1]",
            ),
            (
                "http://a b/",
                "'a b' is no host; give a name or an address, such as localhost, 127.0.0.1 or [::1]",
            ),
            (
                "http://m\u{fc}/",
                "'m\u{fc}' is no host; give a name or an address, such as localhost, 127.0.0.1 or [::1]",
            ),
            (
                "http://u:p@h/x",
                "has a user, and a built-in check sends none; type http://h, or give a command that logs in, such as curl -fsS -u USER:PASSWORD URL",
            ),
            (
                "http://h/a b#c",
                "has a #, a space or another character that is not sent as it is; type http://h/a%20b",
            ),
            (
                "http://h:81#c",
                "has a #, a space or another character that is not sent as it is; type http://h:81/",
            ),
            (
                "http://h/a\r\nb|\u{fc}",
                "has a #, a space or another character that is not sent as it is; type http://h/a%0D%0Ab%7C%C3%BC",
            ),
            (
                "unix:run/x",
                "has a path that does not begin with /; give the whole path, such as unix:/run/NAME",
            ),
            (
                "unix://run/x",
                "has a path that does not begin with /; give the whole path, such as unix:/run/NAME",
            ),
            ("file:", "has a path that does not begin with /; give the whole path, such as file:/run/NAME"),
            (
                "file://localhost/x",
                "has a path that does not begin with /; give the whole path, such as file:/run/NAME",
            ),
            ("file:/a\nb", "has a control character; give a path without one"),
            (
                &format!("http://{long_host}/"),
                &format!(
                    "'{long_host}' is no host; give a name or an address, such as localhost, 127.0.0.1 or [::1]"
                ),
            ),
            (
                &format!("unix:/{long_path}"),
                "has a path of more than 107 bytes; give a shorter one, through a link",
            ),
        ] {
            let Wrong { what, instead } = Check::read(text).unwrap_err();
            assert_eq!(format!("{what}; {instead}"), said, "{text}");
        }
        assert!(Check::read(&format!("file:/{long_path}")).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_read_or_refused(text in "((http|tcp|unix|file)(:|:/|://))?[ -~\\n\u{e9}]{0,20}") {
            if let Ok(check) = Check::read(&text) {
                prop_assert_eq!(Check::read(&check.to_string()), Ok(check));
            }
        }

        #[test]
        fn what_is_sent_of_a_url_is_plain(text in "http://h/.{0,20}") {
            if let Ok(Check::Builtin(Builtin::Http { path, .. })) = Check::read(&text) {
                prop_assert!(path.chars().all(|c| c.is_ascii_graphic()));
            }
        }
    }
}
