//! A scene for each test: a process name that nothing else has, a directory for all files, the watchdogs
//! that play in it, and an end that leaves nothing behind.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, FixedOffset};
use nix::sys::signal::Signal;
use procfs::process::Process;
use regex_lite::Regex;
use serde_json::Value;

use crate::machine::{
    actor, adopt_orphans, as_user, how_it_ended, is_alive, is_there, processes, program, send, spawn,
};
use crate::terminal::Terminal;

pub const WATCHDOG: &str = env!("CARGO_BIN_EXE_watchdog");

/// Far more than anything takes on a machine that works, however busy.
pub const DEADLINE: Duration = Duration::from_secs(30);
pub const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How the names begin of processes that are not to be asked for their environment.
pub const HUNG: &str = "hu";

/// Its processes and files go with it.
pub struct Scene {
    name: String,
    folder: tempfile::TempDir,
    watchdogs: Cell<u32>,
}

impl Scene {
    pub fn new() -> Self {
        adopt_orphans();
        let name = format!("w{:010x}z", RandomState::new().hash_one(()) >> 24);
        let folder = tempfile::Builder::new().prefix("watchdog-test-").tempdir().unwrap();
        // Some watchdogs run as somebody else, who must get in; and root's is to trust it, whatever the umask.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let scene = Scene { name, folder, watchdogs: Cell::new(0) };
        scene.link_actor(&scene.name);
        scene
    }

    /// What the watched process is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_default()
    }

    /// Lets everybody make files in the scene's directory, each their own.
    pub fn open_to_all(&self) {
        fs::set_permissions(self.path(""), fs::Permissions::from_mode(0o1777)).unwrap();
    }

    /// A directory of the scene with this owner, group and mode.
    pub fn folder(&self, name: &str, (owner, group): (u32, u32), mode: u32) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        chown(&folder, Some(owner), Some(group)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        folder
    }

    /// Lets a user do what a script says, in which `$HERE` is the scene's directory and `$NAME` the watched name.
    #[track_caller]
    pub fn act_as(&self, user: u32, script: &str) {
        let words = as_user(user);
        let mut command = program(&words[0]);
        command.args(&words[1..]).args(["sh", "-ec", script]).env("NAME", self.name());
        let ended = self.spawn(command, Captured::All).ends();
        assert!(ended.status.success(), "{script}: {ended}");
    }

    /// A path by which the actor has this name. (A link and not a copy: a file that was just written
    /// cannot be executed while a child of another test still has it open.)
    pub fn link_actor(&self, name: &str) -> PathBuf {
        let link = self.path(name);
        symlink(actor(), &link).unwrap();
        link
    }

    /// Written by a child: what was just written cannot be executed while a child of another test has it open.
    pub fn write_script(&self, file: &str, script: &str) {
        let mut write = Command::new("sh");
        write.args(["-c", "printf %s \"$1\" > \"$2\" && chmod +x \"$2\"", "sh", script]).arg(self.path(file));
        assert_eq!(self.spawn(write, Captured::All).ends().code(), Some(0));
    }

    /// A watchdog for this scene's process: everything is set, and all times are short.
    pub fn watchdog(&self) -> Invocation<'_> {
        let folder = |name| self.path(name).into_os_string();
        let options = [
            ("--process-name", self.name().into()),
            ("--start-command", counted("$ACTOR sleep &")),
            ("--health-check-interval", "0.1".into()),
            ("--restart-wait-interval", "0.5".into()),
            ("--restart-delay", "0.05".into()),
            ("--after-stop", "0.3".into()),
            ("--state-dir", folder("state")),
            ("--log-dir", folder("log")),
        ];
        Invocation { scene: self, through: Vec::new(), options: options.into(), flags: Vec::new() }
    }

    /// Gives a command such as `status`, and waits for its end.
    #[track_caller]
    pub fn say(&self, words: &[&str]) -> Ended {
        self.say_through(&[], words)
    }

    /// The same, by another program that runs it.
    pub fn say_through(&self, other: &[&str], words: &[&str]) -> Ended {
        self.begin_to_say(other, words).ends()
    }

    /// The same, without waiting for its end.
    pub fn begin_to_say(&self, other: &[&str], words: &[&str]) -> Watchdog<'_> {
        let mut words = other.iter().chain([&WATCHDOG]).chain(words);
        let mut command = program(words.next().unwrap());
        command.args(words).arg("--state-dir").arg(self.path("state")).stdin(Stdio::null());
        self.spawn(command, Captured::All)
    }

    /// A file of the instance in the state directory: `json`, `lock`, `pause`.
    pub fn kept(&self, ending: &str) -> PathBuf {
        self.path(&format!("state/{}.{ending}", self.name))
    }

    /// The state file.
    #[track_caller]
    pub fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.kept("json")).unwrap()).unwrap()
    }

    /// Starts the watched process, as somebody else than the watchdog would. It is the test's own child.
    pub fn start_actor(&self, part: &[&str]) -> i32 {
        let mut command = program(self.path(self.name()));
        let pid = self.spawn_child(command.args(part));
        self.wait_until("the actor is on the scene", || self.all().contains(&pid).then_some(pid))
    }

    /// Starts it as this user and the group of that number.
    pub fn start_actor_as(&self, user: u32) -> Watchdog<'_> {
        let mut command = program(self.path(self.name()));
        command.arg("sleep").uid(user).gid(user);
        self.spawn(command, Captured::All)
    }

    /// How often the start command was run.
    pub fn starts(&self) -> usize {
        self.read("starts").lines().count()
    }

    /// The processes of the watched name that live, the oldest first.
    pub fn all(&self) -> Vec<i32> {
        named(&self.name)
    }

    /// Stops all that was started here, as a suspended machine does, until [`Self::thaw`].
    #[track_caller]
    pub fn freeze(&self) {
        // Those that are not stopped yet may start others.
        self.wait_until("all are stopped", || {
            let all = self.ours();
            for process in &all {
                send(process.pid, Signal::SIGSTOP);
            }
            let is_stopped = |process: &Process| process.stat().is_ok_and(|stat| stat.state == 'T');
            (!all.is_empty() && all.iter().all(is_stopped)).then_some(())
        });
    }

    /// Lets all go on that were stopped.
    pub fn thaw(&self) {
        for process in self.ours() {
            send(process.pid, Signal::SIGCONT);
        }
    }

    /// The one process of the watched name, once there is exactly one.
    pub fn wait_running(&self) -> i32 {
        self.wait_until("exactly one is running", || <[i32; 1]>::try_from(self.all()).ok().map(|[pid]| pid))
    }

    /// The one process of the watched name, once it is another than `old`.
    pub fn wait_replaced(&self, old: i32) -> i32 {
        self.wait_until("another one is running", || match self.all()[..] {
            [pid] if pid != old => Some(pid),
            _ => None,
        })
    }

    /// Kills the watched process, and waits until it has been brought back.
    #[track_caller]
    pub fn assert_watched(&self) -> i32 {
        let pid = self.wait_running();
        send(pid, Signal::SIGKILL);
        self.wait_replaced(pid)
    }

    pub fn wait_gone(&self, pid: i32) {
        self.wait_until("it is gone", || (!is_there(pid)).then_some(()));
    }

    /// Waits until the process is ready for this signal, and sends it.
    pub fn send_when_caught(&self, pid: i32, signal: Signal) {
        let bit = 1 << (signal as i32 - 1);
        let caught =
            || Process::new(pid).and_then(|it| it.status()).is_ok_and(|status| status.sigcgt & bit != 0);
        self.wait_until("the signal is caught", || caught().then_some(()));
        send(pid, signal);
    }

    /// The records of the log. Each line must be one.
    #[track_caller]
    pub fn log(&self) -> Vec<Record> {
        self.records_in(&format!("log/{}.log", self.name))
    }

    #[track_caller]
    pub fn records_in(&self, file: &str) -> Vec<Record> {
        let text = self.read(file);
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.split('\n').filter(|_| !whole.is_empty()).map(|line| Record::parse(line, &self.name)).collect()
    }

    /// How many records match.
    #[track_caller]
    pub fn count(&self, pattern: &str) -> usize {
        let pattern = Regex::new(pattern).unwrap();
        self.log().iter().filter(|record| pattern.is_match(&record.text)).count()
    }

    /// The first record that matches `pattern`, as `LEVEL message`, once there is one.
    #[track_caller]
    pub fn wait_for(&self, pattern: &str) -> Record {
        let regex = Regex::new(pattern).unwrap();
        self.wait_until(&format!("a record with /{pattern}/"), || {
            self.log().into_iter().find(|record| regex.is_match(&record.text))
        })
    }

    /// Looks until there is what is looked for.
    #[track_caller]
    pub fn wait_until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < end, "in vain: {what}\n{}", self.story());
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// All that was logged and printed, for whoever has to find out why a test failed.
    pub fn story(&self) -> String {
        let mut story = vec![format!("alive: {:?}", self.all())];
        let mut files: Vec<_> = ["", "log"]
            .iter()
            .filter_map(|folder| fs::read_dir(self.path(folder)).ok())
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_file() && !path.is_symlink())
            .collect();
        files.sort();
        for file in files {
            let text = fs::read(&file).unwrap_or_default();
            let start = text.len().saturating_sub(4_000);
            story.push(format!("--- {}\n{}", file.display(), String::from_utf8_lossy(&text[start..])));
        }
        story.join("\n")
    }

    /// Starts a command whose standard output and error, unless they are set, go to files.
    pub fn spawn(&self, mut command: Command, captured: Captured) -> Watchdog<'_> {
        let number = self.watchdogs.replace(self.watchdogs.get() + 1);
        let file = |name: &str| {
            (
                self.path(&format!("{number}.{name}")),
                File::create(self.path(&format!("{number}.{name}"))).unwrap(),
            )
        };
        let ((stdout_path, stdout), (stderr_path, stderr)) = (file("stdout"), file("stderr"));
        if captured == Captured::All {
            command.stdout(stdout);
        }
        if captured != Captured::Nothing {
            command.stderr(stderr);
        }
        let pid = self.spawn_child(&mut command);
        Watchdog { scene: self, pid, stdout: stdout_path, stderr: stderr_path }
    }

    /// A child of another program.
    pub fn start_child(&self, path: &std::path::Path, part: &[&str]) -> i32 {
        self.spawn_child(program(path).args(part))
    }

    fn spawn_child(&self, command: &mut Command) -> i32 {
        command
            .env("HERE", self.folder.path())
            .env("ACTOR", self.path(&self.name))
            .env("OTHER", self.other());
        spawn(command)
    }

    /// A name that is nothing like the watched one.
    pub fn other(&self) -> String {
        self.name.chars().rev().collect()
    }

    /// A name for a process that hangs so that whoever reads its command line or environment hangs too. It has
    /// to have this name before, and be ended by whoever made it.
    pub fn hung(&self) -> String {
        format!("{HUNG}{}", &self.name[1..])
    }

    /// Everything that was started here and lives.
    fn ours(&self) -> Vec<Process> {
        processes()
            .filter(|process| self.is_ours(process) && process.stat().is_ok_and(|stat| is_alive(&stat)))
            .collect()
    }

    /// Everything that was started here has this in its environment, or the watched name.
    fn is_ours(&self, process: &Process) -> bool {
        let marker = [b"HERE=", self.folder.path().as_os_str().as_encoded_bytes()].concat();
        let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == marker)
            || process.stat().is_ok_and(|stat| stat.comm == self.name)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let end = Instant::now() + DEADLINE;
        loop {
            let ours = self.ours();
            if ours.is_empty() || Instant::now() > end {
                return;
            }
            for process in ours {
                send(process.pid, Signal::SIGKILL);
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

/// The processes of a name that live, the oldest first. Only a name that nothing else has tells them from strangers.
pub fn named(name: &str) -> Vec<i32> {
    let mut found: Vec<_> = processes()
        .filter(|process| {
            fs::read(format!("/proc/{}/comm", process.pid))
                .is_ok_and(|comm| comm.trim_ascii() == name.as_bytes())
        })
        .filter_map(|process| process.stat().ok())
        .filter(is_alive)
        .collect();
    found.sort_by_key(|stat| (stat.starttime, stat.pid));
    found.iter().map(|stat| stat.pid).collect()
}

/// A start command that leaves a line for [`Scene::starts`].
fn counted(start_command: &str) -> OsString {
    format!("echo >> $HERE/starts; {start_command}").into()
}

/// A watchdog to be started.
#[derive(Clone)]
pub struct Invocation<'a> {
    scene: &'a Scene,
    through: Vec<OsString>,
    options: Vec<(&'static str, OsString)>,
    flags: Vec<OsString>,
}

impl<'a> Invocation<'a> {
    /// Another start command, in which `$ACTOR` is the watched program, `$HERE` the scene's directory, and `$OTHER`
    /// another name: a word of the command would be near.
    pub fn starting(self, start_command: &str) -> Self {
        self.with("--start-command", counted(start_command))
    }

    pub fn with(mut self, option: &'static str, value: impl AsRef<OsStr>) -> Self {
        self = self.without(option);
        self.options.push((option, value.as_ref().to_owned()));
        self
    }

    pub fn without(mut self, option: &str) -> Self {
        self.options.retain(|(name, _)| *name != option);
        self
    }

    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// Lets another program start it.
    pub fn through(mut self, program: &[&str]) -> Self {
        self.through = program.iter().map(OsString::from).collect();
        self
    }

    /// Lets that program start it through this one.
    pub fn then_through(mut self, program: &[impl AsRef<OsStr>]) -> Self {
        self.through.extend(program.iter().map(|word| word.as_ref().to_owned()));
        self
    }

    pub fn command(self) -> Command {
        let mut words = self.through.into_iter().chain([WATCHDOG.into()]);
        let mut command = program(words.next().unwrap());
        command.args(words).args(self.flags).stdin(Stdio::null());
        command.args(self.options.into_iter().flat_map(|(option, value)| [option.into(), value]));
        // Not what happens to be set where the tests run.
        command.env_remove("JOURNAL_STREAM").env_remove("NO_COLOR").env("TERM", "xterm");
        // Should it not heed its options, it must do no harm.
        command.env("HOME", self.scene.path("home")).env_remove("XDG_STATE_HOME");
        command
    }

    pub fn spawn(self) -> Watchdog<'a> {
        self.scene.spawn(self.clone().command(), Captured::All)
    }

    /// Starts it, and waits for its end.
    pub fn run(self) -> Ended {
        self.spawn().ends()
    }

    /// Starts it as somebody does who sits at a terminal.
    pub fn in_terminal(self) -> (Terminal, Watchdog<'a>) {
        let mut terminal = Terminal::new();
        let watchdog = terminal.start(self.scene, self.clone().command());
        (terminal, watchdog)
    }
}

/// Which of a command's outputs go to files of the harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    All,
    Stderr,
    Nothing,
}

/// A running watchdog. It must not outlive its scene.
pub struct Watchdog<'a> {
    scene: &'a Scene,
    pid: i32,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Watchdog<'_> {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    pub fn send(&self, signal: Signal) {
        assert!(self.status().is_none(), "it has ended\n{}", self.scene.story());
        send(self.pid, signal);
    }

    fn status(&self) -> Option<ExitStatus> {
        how_it_ended(self.pid)
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ends(&self) -> Ended {
        let status = self.scene.wait_until("the watchdog ends", || self.status());
        let stdout = fs::read_to_string(&self.stdout).unwrap();
        Ended { status, stdout, stderr: self.stderr() }
    }

    /// Ends it as a service manager does.
    #[track_caller]
    pub fn terminate(&self) -> Ended {
        self.send(Signal::SIGTERM);
        let ended = self.ends();
        assert_eq!(ended.code(), Some(0), "{ended}");
        ended
    }

    /// Waits until it has woken up so many times more.
    #[track_caller]
    pub fn wait_checks(&self, checks: u64) {
        let woken =
            || Process::new(self.pid).and_then(|it| it.status()).unwrap().voluntary_ctxt_switches.unwrap();
        let before = woken();
        self.scene.wait_until("it goes on checking", || (woken() >= before + checks).then_some(()));
    }
}

impl Drop for Watchdog<'_> {
    fn drop(&mut self) {
        if self.status().is_none() {
            send(self.pid, Signal::SIGKILL);
        }
    }
}

/// How a watchdog ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub fn signal(&self) -> Option<Signal> {
        self.status.signal().and_then(|signal| signal.try_into().ok())
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nstdout: {:?}\nstderr:\n{}", self.status, self.stdout, self.stderr)
    }
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub time: DateTime<FixedOffset>,
    /// `LEVEL message`
    pub text: String,
}

impl Record {
    #[track_caller]
    pub fn parse(line: &str, instance: &str) -> Self {
        let parts = || {
            let (time, rest) = line.split_at_checked(29)?;
            let (level, rest) = rest.strip_prefix(' ')?.split_at_checked(5)?;
            let message = rest.strip_prefix(' ')?.strip_prefix(instance)?.strip_prefix(": ")?;
            let printable = !message.is_empty() && !message.contains(char::is_control);
            let time = DateTime::parse_from_str(time, "%Y-%m-%dT%H:%M:%S%.3f%:z").ok()?;
            let text = format!("{} {message}", level.trim_end());
            (["ERROR", "WARN ", "INFO "].contains(&level) && printable).then_some(Record { time, text })
        };
        parts().unwrap_or_else(|| panic!("not a record: {line:?}"))
    }

    /// The first number after `word `.
    pub fn number_after(&self, word: &str) -> Option<i32> {
        let digits = Regex::new(&format!("{word} ([0-9]+)")).unwrap();
        digits.captures(&self.text)?.get(1)?.as_str().parse().ok()
    }
}
