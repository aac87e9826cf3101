//! The hooks that the package brings, with a server and a mail server of the test's own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;

use serde_json::Value;

use crate::harness::{Captured, DEADLINE, Ended, Scene};
use crate::machine::{is_here, program};

/// Where each has what it needs, with `PORT` for the server's.
const SECRETS: [(&str, &str); 4] = [
    ("telegram", "token = 12:s3cr3t\nchat = -1004\nserver = http://127.0.0.1:PORT\n"),
    ("ntfy", "token = \"s3cr3t\"\r\nurl = \"http://127.0.0.1:PORT/topic\"\r\n"),
    ("webhook", "url=http://127.0.0.1:PORT/services/s3cr3t\n"),
    ("ping", "# a comment\nurl = http://127.0.0.1:PORT/s3cr3t/\nurl = http://127.0.0.1:1/second\n"),
];
/// Nobody is called like this, but a hook must bear it: a header, markup, and what a shell would run.
const NAME: &str = "w\"e\\b é $(touch run)\nBcc: <b>";
/// The most bytes that a hook sends on.
const LONGEST: usize = 3500;

/// Messages with all that can go wrong in a text.
fn messages() -> [Vec<u8>; 4] {
    let marks = b"it said \"no\" \\ 'yes': $(touch run) `touch run` ${HOME} %s \\n <b>&amp;</b> <!channel> *@all*; | ..\n\
        .\nFrom here\n\xe2\x82\xac \xf0\x9f\x98\x80 \xff\xfe \xc3 \xed\xa0\x80 \xf4\x90\x80\x80 \xc0\x80 \t\x1b[31m\0\x07\r\nend";
    [
        marks.to_vec(),
        Vec::new(),
        // One line, in which a cut falls into a character.
        "é€".repeat(200_000).into_bytes(),
        "0123456789\n".repeat(100_000).into_bytes(),
    ]
}

/// What is to arrive of these bytes.
fn clean(bytes: &[u8]) -> String {
    let valid: String = bytes[..bytes.len().min(LONGEST)].utf8_chunks().map(|chunk| chunk.valid()).collect();
    valid.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_ascii_control()).collect()
}

/// What is to arrive with the title above it.
fn titled(message: &[u8]) -> String {
    clean(&[title().as_bytes(), b"\n", message].concat())
}

fn title() -> String {
    format!("machine: {NAME}: died")
}

fn hook(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packaging/hooks").join(name)
}

/// What came to the server.
#[derive(Debug)]
struct Request {
    /// `/path`
    target: String,
    /// `name: value`, as they were sent
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            reader.read_until(b'\n', &mut line).unwrap();
            let line = String::from_utf8(line).unwrap().trim_end_matches(['\r', '\n']).to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let words: Vec<_> = lines.first()?.split(' ').collect();
        assert_eq!((words[0], words[2]), ("POST", "HTTP/1.1"), "{lines:?}");
        let target = words[1].to_owned();
        let headers = lines.split_off(1);
        let length = headers.iter().find_map(|header| header.strip_prefix("Content-Length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        Some(Request { target, headers, body })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|header| header.strip_prefix(name)?.strip_prefix(": "))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A hook that is given an event of this kind.
struct Hook<'a> {
    scene: &'a Scene,
    path: PathBuf,
    event: &'static str,
}

impl<'a> Hook<'a> {
    fn new(scene: &'a Scene, name: &str) -> Self {
        for folder in ["bin", "cwd", "home"] {
            fs::create_dir_all(scene.path(folder)).unwrap();
        }
        Hook { scene, path: hook(name), event: "died" }
    }

    /// It ends, and has run nothing that stands in a text.
    fn run(&self, arguments: &[&str], message: &[u8], environment: &[(&str, &str)]) -> Ended {
        let file = self.scene.path("message");
        fs::write(&file, message).unwrap();
        let mut command = program(&self.path);
        command.args(arguments).stdin(File::open(file).unwrap()).current_dir(self.scene.path("cwd"));
        let path = std::env::var_os("PATH").unwrap();
        let path = [self.scene.path("bin")].into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(path).unwrap()).env("HOME", self.scene.path("home"));
        for proxy in ["http_proxy", "all_proxy", "ALL_PROXY", "XDG_CONFIG_HOME", "CURL_HOME"] {
            command.env_remove(proxy);
        }
        command.envs([("WATCHDOG_HOST", "machine"), ("WATCHDOG_NAME", NAME), ("WATCHDOG_EVENT", self.event)]);
        command.env("WATCHDOG_MESSAGE", "$(touch run)").envs(environment.iter().copied());
        let ended = self.scene.spawn(command, Captured::All).ends();
        assert_eq!(fs::read_dir(self.scene.path("cwd")).unwrap().count(), 0, "something was run");
        ended
    }

    /// The same, with a server that gives this answer.
    fn run_with_server(
        &self,
        secrets: &str,
        mode: u32,
        message: &[u8],
        environment: &[(&str, &str)],
        answer: &'static str,
    ) -> (Ended, Option<Request>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let file = self.scene.path("a secret");
        let _ = fs::remove_file(&file);
        fs::write(&file, secrets.replace("PORT", &address.port().to_string())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = Request::read(&stream);
            if request.is_some() {
                stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).unwrap();
            }
            request
        });
        let ended = self.run(&[file.to_str().unwrap()], message, environment);
        // A server that nobody has called is called now, with nothing.
        let _ = TcpStream::connect(address);
        (ended, server.join().unwrap())
    }
}

const TAKEN: &str = "200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\n{\"ok\":true}";

/// The text of a form's field, as a server reads it.
fn field(form: &str, name: &str) -> String {
    let value = form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap();
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_message_arrives_as_it_is() {
    if !is_here("curl") {
        return;
    }
    let scene = Scene::new();
    for (name, secrets) in SECRETS {
        for message in messages() {
            let hook = Hook::new(&scene, name);
            let (ended, request) = hook.run_with_server(secrets, 0o600, &message, &[], TAKEN);
            assert_eq!((ended.code(), &*ended.stdout, &*ended.stderr), (Some(0), "", ""), "{name}: {ended}");
            let request = request.unwrap();
            match name {
                "telegram" => {
                    assert_eq!(request.target, "/bot12:s3cr3t/sendMessage");
                    assert_eq!(field(request.text(), "chat_id"), "-1004");
                    assert_eq!(field(request.text(), "text"), titled(&message));
                }
                "ntfy" => {
                    assert_eq!(request.target, "/topic");
                    assert_eq!(request.text(), clean(&message));
                    assert_eq!(request.header("Title"), Some(&*title().replace('\n', " ")), "{request:?}");
                    assert_eq!(request.header("Priority"), Some("high"));
                    assert_eq!(request.header("Authorization"), Some("Bearer s3cr3t"));
                }
                "webhook" => {
                    assert_eq!(request.target, "/services/s3cr3t");
                    assert_eq!(request.header("Content-Type"), Some("application/json"));
                    let json: Value = serde_json::from_slice(&request.body).unwrap();
                    let text = titled(&message).replace('`', "'").replace('\t', " ");
                    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                    let text = format!("```\n{}\n```", text.strip_suffix('\n').unwrap_or(&text));
                    assert_eq!(json, serde_json::json!({ "text": text }));
                }
                _ => {
                    assert_eq!(request.target, "/s3cr3t/fail");
                    assert_eq!(request.text(), titled(&message));
                }
            }
        }
    }
}

/// Of a mail everything is compared, as `sendmail` gets it.
#[test]
fn a_mail_is_whole() {
    let scene = Scene::new();
    let hook = Hook::new(&scene, "mail");
    scene.write_script(
        "bin/sendmail",
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >$HERE/arguments\nexec cat >$HERE/mail\n",
    );
    for message in messages() {
        let ended = hook.run(&["a@example.org", "-b"], &message, &[]);
        assert_eq!((ended.code(), &*ended.stdout, &*ended.stderr), (Some(0), "", ""), "{ended}");
        assert_eq!(scene.read("arguments"), "-i\n--\na@example.org\n-b\n");
        let mail = String::from_utf8(fs::read(scene.path("mail")).unwrap()).unwrap();
        let (headers, body) = mail.split_once("\n\n").unwrap();
        assert_eq!(
            headers,
            "To: a@example.org,-b\n\
            Subject: machine: w\"e\\b ?? $(touch run)?Bcc: <b>: died\n\
            Auto-Submitted: auto-generated\n\
            MIME-Version: 1.0\n\
            Content-Type: text/plain; charset=UTF-8\n\
            Content-Transfer-Encoding: 8bit"
        );
        assert!(body.lines().all(|line| line.len() <= 998));
        let clean = clean(&message);
        if clean.lines().all(|line| line.len() <= 900) {
            assert_eq!(body, clean);
        } else {
            assert_eq!(body.replace('\n', ""), clean);
        }
    }
    // Where nobody is named, it is for root.
    assert_eq!(hook.run(&[], b"", &[]).code(), Some(0));
    assert_eq!(scene.read("arguments"), "-i\n--\nroot\n");
}

#[test]
fn a_mail_that_is_not_taken_is_a_failure() {
    let scene = Scene::new();
    let hook = Hook::new(&scene, "mail");
    scene.write_script("bin/sendmail", "#!/bin/sh\ncat >/dev/null\necho 'no queue' >&2\nexit 75\n");
    let ended = hook.run(&[], b"gone", &[]);
    assert_eq!((ended.code(), &*ended.stderr), (Some(75), "no queue\n"), "{ended}");
}

#[test]
fn a_secret_that_others_may_read_is_refused() {
    if !is_here("curl") {
        return;
    }
    let scene = Scene::new();
    for (name, secrets) in SECRETS {
        let hook = Hook::new(&scene, name);
        for mode in [0o644, 0o640, 0o660, 0o602, 0o700] {
            let (ended, request) = hook.run_with_server(secrets, mode, b"gone", &[], TAKEN);
            let file = scene.path("a secret");
            let said = format!(
                "{name}: {file} has mode {mode:o}, and a secret in it; type: chmod 600 '{file}'\n",
                file = file.display()
            );
            assert_eq!((ended.code(), &*ended.stderr), (Some(78), &*said), "{name} {mode:o}");
            assert!(request.is_none(), "{name} {mode:o}: {request:?}");
        }
        // As systemd hands out credentials.
        let (ended, request) = hook.run_with_server(secrets, 0o400, b"gone", &[], TAKEN);
        assert_eq!((ended.code(), request.is_some()), (Some(0), true), "{ended}");
    }
}

#[test]
fn what_the_file_does_not_say_is_named() {
    let scene = Scene::new();
    for (name, key) in
        [("telegram", "token"), ("telegram", "chat"), ("ntfy", "url"), ("webhook", "url"), ("ping", "url")]
    {
        let hook = Hook::new(&scene, name);
        let (_, secrets) = SECRETS.into_iter().find(|(other, _)| *other == name).unwrap();
        let lines: String = secrets.split_inclusive('\n').filter(|line| !line.starts_with(key)).collect();
        let (ended, request) = hook.run_with_server(&lines, 0o600, b"gone", &[], TAKEN);
        let said = format!("{name}: {} has no line '{key} = …'\n", scene.path("a secret").display());
        assert_eq!((ended.code(), &*ended.stderr), (Some(78), &*said), "{name}");
        assert!(request.is_none());
        for arguments in [&[][..], &["/nowhere"], &["/"], &["-x"]] {
            let ended = hook.run(arguments, b"gone", &[]);
            let said = format!("{name}: '{}' is no file; give ", arguments.first().unwrap_or(&""));
            assert_eq!(ended.code(), Some(78), "{ended}");
            assert!(ended.stderr.starts_with(&said) && ended.stderr.contains(key), "{ended}");
        }
    }
}

/// A redirection too: a message that is sent on without its text has not arrived.
#[test]
fn what_a_server_does_not_take_is_a_failure() {
    if !is_here("curl") {
        return;
    }
    let scene = Scene::new();
    for (name, secrets) in SECRETS {
        let hook = Hook::new(&scene, name);
        for (answer, said) in [
            ("400 No\r\nContent-Length: 14\r\nConnection: close\r\n\r\nchat not found", "chat not found 400"),
            ("500 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\n200", "200 500"),
            (
                "301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                " 301",
            ),
        ] {
            let (ended, request) = hook.run_with_server(secrets, 0o600, b"gone", &[], answer);
            assert!(request.is_some());
            let said = format!("{name}: not taken: {said}\n");
            assert_eq!((ended.code(), &*ended.stderr), (Some(69), &*said), "{name}");
        }
        // Nobody listens at port 1.
        let (ended, _) = hook.run_with_server(&secrets.replace("PORT", "1"), 0o600, b"gone", &[], TAKEN);
        assert_eq!(ended.code(), Some(7), "{ended}");
        assert!(ended.stderr.contains("Failed to connect") && !ended.stderr.contains("s3cr3t"), "{ended}");
    }
}

/// Everybody may read the command lines of everybody's processes.
#[test]
fn no_secret_is_on_a_command_line() {
    if !is_here("curl") {
        return;
    }
    let scene = Scene::new();
    let path = std::env::var_os("PATH").unwrap();
    let curl =
        std::env::split_paths(&path).map(|folder| folder.join("curl")).find(|curl| curl.is_file()).unwrap();
    let hook = |name| Hook::new(&scene, name);
    let _ = hook("ping");
    scene.write_script(
        "bin/curl",
        &format!(
            "#!/bin/sh\nprintf '%s\\n' \"$0\" \"$@\" >>\"$HERE/arguments\"\nexec '{}' \"$@\"\n",
            curl.display()
        ),
    );
    for (name, secrets) in SECRETS {
        let (ended, request) = hook(name).run_with_server(secrets, 0o600, b"gone", &[], TAKEN);
        assert_eq!((ended.code(), request.is_some()), (Some(0), true), "{ended}");
        let arguments = scene.read("arguments");
        assert!(arguments.contains("bin/curl\n") && !arguments.contains("s3cr3t"), "{name}: {arguments}");
        fs::remove_file(scene.path("arguments")).unwrap();
    }
}

#[test]
fn a_ping_says_what_the_event_means() {
    if !is_here("curl") {
        return;
    }
    let scene = Scene::new();
    let mut hook = Hook::new(&scene, "ping");
    let (_, secrets) = SECRETS[3];
    for (event, end) in [
        ("started", ""),
        ("recovered", ""),
        ("healthy", ""),
        ("died", "/fail"),
        ("failed", "/fail"),
        ("gave-up", "/fail"),
        ("unhealthy", "/fail"),
        ("stop-failed", "/fail"),
        ("stopped", "/log"),
        ("keyword", "/log"),
        ("test", "/log"),
    ] {
        hook.event = event;
        let (_, request) = hook.run_with_server(secrets, 0o600, b"", &[], TAKEN);
        assert_eq!(request.unwrap().target, format!("/s3cr3t{end}"), "{event}");
    }
    // As the command that systemd runs after a check.
    hook.event = "";
    for (status, end) in [("0", ""), ("5", "/log"), ("1", "/fail"), ("KILL", "/fail")] {
        let (_, request) = hook.run_with_server(secrets, 0o600, b"", &[("EXIT_STATUS", status)], TAKEN);
        let request = request.unwrap();
        assert_eq!(
            (&*request.target, request.text()),
            (&*format!("/s3cr3t{end}"), &*format!("status {status}\n"))
        );
    }
}

/// Whoever links to one finds what it needs.
#[test]
fn a_hook_works_through_a_link() {
    let scene = Scene::new();
    let mut linked = Hook::new(&scene, "mail");
    scene.write_script("bin/sendmail", "#!/bin/sh\nexec cat >$HERE/mail\n");
    symlink(hook("mail"), scene.path("bin/my-mail")).unwrap();
    linked.path = scene.path("bin/my-mail");
    assert_eq!(linked.run(&[], b"gone", &[]).code(), Some(0));
    assert!(scene.read("mail").ends_with("\n\ngone"));
}

/// Small enough to be read before they are trusted.
#[test]
fn each_hook_is_short_and_plain() {
    let scene = Scene::new();
    let mut names: Vec<_> = fs::read_dir(hook(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["lib.sh", "mail", "ntfy", "ping", "telegram", "webhook"]);
    for name in &names {
        let (text, path) = (fs::read_to_string(hook(name)).unwrap(), hook(name));
        let is_hook = name != "lib.sh";
        if is_hook {
            let lines: Vec<_> = text.lines().collect();
            assert!(lines.len() <= 40 && lines[0] == "#!/bin/sh", "{name}");
            assert!(lines[1..4].iter().all(|line| line.starts_with("# ")) && lines[4] == "set -e", "{name}");
            assert!(text.contains(&format!("/usr/share/process-watchdog/hooks/{name}")), "{name}");
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o111 != 0, is_hook, "{name}: {mode:o}");
        for words in [
            &["sh", "-n"][..],
            &["dash", "-n"],
            &["shellcheck", "--external-sources", "--source-path=SCRIPTDIR"],
        ] {
            if is_here(words[0]) {
                let mut check = program(words[0]);
                check.args(&words[1..]).arg(&path).stdin(Stdio::null());
                let ended = scene.spawn(check, Captured::All).ends();
                assert_eq!((ended.code(), &*ended.stdout, &*ended.stderr), (Some(0), "", ""), "{ended}");
            }
        }
    }
}
