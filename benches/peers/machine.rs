//! The machine that is measured on: a PID namespace of its own, so that 70 processes are 70, with a directory
//! for what the watchers need and a control group for each of them.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::wait::WaitStatus;
use tempfile::TempDir;

use crate::{Result, say};

/// How long is waited for what has to come.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Says that the namespace is entered.
const INSIDE: &str = "WATCHDOG_BENCH_INSIDE";
/// Where the control groups are mounted.
const GROUPS: &str = "groups";

/// Whether this process is still in the namespace of whoever called it.
pub fn is_outside() -> bool {
    std::env::var_os(INSIDE).is_none()
}

/// Runs this program again in a PID namespace with a /proc of its own. All that runs in there ends with it.
pub fn enter() -> Result<ExitCode> {
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root: for a PID namespace, control groups and perf".into());
    }
    let status = Command::new("unshare")
        .args(["--pid", "--mount-proc", "--fork", "--kill-child"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A child's number, as the kernel and `wait` have it.
fn number(child: &Child) -> i32 {
    rustix::process::Pid::from_child(child).as_raw_pid()
}

/// What process 1 does: it lets another process measure, and waits for whatever loses its parent, at once, as
/// an init does. How a process ended is known only then.
pub fn be_process_1() -> Result<ExitCode> {
    let measuring = Command::new(std::env::current_exe()?).args(std::env::args_os().skip(1)).spawn()?;
    let measuring = number(&measuring);
    loop {
        match nix::sys::wait::wait()? {
            WaitStatus::Exited(pid, status) if pid.as_raw() == measuring => {
                return Ok(if status == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            WaitStatus::Signaled(pid, signal, _) if pid.as_raw() == measuring => {
                return Err(format!("ended by {signal}").into());
            }
            _ => {}
        }
    }
}

/// Where all of it happens.
pub struct Machine {
    folder: TempDir,
    /// How many [`Machine::fresh_folder`] has made.
    folders: Cell<usize>,
    /// Where the watched processes say that they are there.
    pub socket: UnixDatagram,
    /// The port of a server that answers each HTTP request.
    pub port: u16,
}

/// Answers whoever connects, at a port of its own.
fn serve() -> Result<u16> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let port = server.local_addr()?.port();
    std::thread::spawn(move || {
        for mut client in server.incoming().flatten() {
            // One that only connects has left by then.
            let _ = client.read(&mut [0; 1024]);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    Ok(port)
}

/// What a watched process says when it is there.
pub struct Arrival {
    /// Its name.
    pub name: String,
    /// Its number.
    pub pid: i32,
    /// When the start command began, in the time of [`now`].
    pub start_command: Duration,
    /// When the process began.
    pub process: Duration,
}

impl Machine {
    /// Builds the small programs of this directory, and makes ready the rest. `builds` are the program, each with
    /// the name that it has here.
    pub fn new(builds: &[(&str, &Path)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // What the watchers write is on a disk nowhere: /run, where it belongs, is a tmpfs too.
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "none"]).arg(folder.path()))?;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
        for program in ["watched", "fill", "scan", "wake"] {
            let source = sources.join(program).with_extension("c");
            run(Command::new("cc").arg("-O2").arg("-o").arg(folder.path().join(program)).arg(source))?;
        }
        let compile = ["--edition=2024", "-O", "-C", "strip=symbols", "-o"];
        let (program, source) = (folder.path().join("wake-rs"), sources.join("wake.rs"));
        run(Command::new("rustc").args(compile).arg(program).arg(source))?;
        for (name, file) in builds {
            symlink(file.canonicalize()?, folder.path().join(name))?;
        }
        let groups = folder.path().join(GROUPS);
        fs::create_dir(&groups)?;
        run(Command::new("mount").args(["-t", "cgroup2", "none"]).arg(&groups))?;
        let socket = UnixDatagram::bind(folder.path().join("socket"))?;
        Ok(Machine { folder, folders: Cell::new(0), socket, port: serve()? })
    }

    /// A file or directory of this run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a directory.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// The words that start a watched process of this name, and the file that it writes its number to.
    pub fn start_words(&self, name: &str) -> Result<[PathBuf; 4]> {
        let program = self.path(name);
        if !program.exists() {
            // The name of a process is that of its file.
            fs::hard_link(self.path("watched"), &program)?;
        }
        Ok([self.path("watched"), self.path("socket"), program, self.path(&format!("{name}.pid"))])
    }

    /// The next process that says that it is there, if one does in time.
    pub fn arrival(&self, time: Duration) -> Result<Option<Arrival>> {
        let mut buffer = [0; 256];
        self.socket.set_read_timeout(Some(time.max(Duration::from_millis(1))))?;
        match self.socket.recv(&mut buffer) {
            Ok(length) => {
                let text = std::str::from_utf8(&buffer[..length])?;
                let mut words = text.split(' ');
                let mut word = || words.next().ok_or_else(|| format!("a watched process said '{text}'"));
                Ok(Some(Arrival {
                    name: word()?.to_owned(),
                    pid: word()?.parse()?,
                    start_command: Duration::from_nanos(word()?.parse()?),
                    process: Duration::from_nanos(word()?.parse()?),
                }))
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets who has said that it is there.
    pub fn forget_arrivals(&self) -> Result<()> {
        while self.arrival(Duration::ZERO)?.is_some() {}
        Ok(())
    }

    /// Waits until a process of each of these names is there.
    pub fn await_all(&self, names: &[String]) -> Result<Vec<Arrival>> {
        let until = Instant::now() + PATIENCE;
        let mut arrivals: Vec<Arrival> = Vec::new();
        while arrivals.len() < names.len() {
            let Some(arrival) = self.arrival(until.saturating_duration_since(Instant::now()))? else {
                let is_missing = |name: &&String| !arrivals.iter().any(|it| it.name == **name);
                return Err(format!("was not started: {:?}", names.iter().find(is_missing)).into());
            };
            if names.contains(&arrival.name) && !arrivals.iter().any(|it| it.name == arrival.name) {
                arrivals.push(arrival);
            }
        }
        Ok(arrivals)
    }

    /// Makes a directory that nothing is in: what a watcher remembers is not for the next.
    pub fn fresh_folder(&self, name: &str) -> Result<PathBuf> {
        self.folders.set(self.folders.get() + 1);
        self.folder(&format!("{name}-{}", self.folders.get()))
    }

    /// The newest of those.
    pub fn newest_folder(&self, name: &str) -> Result<PathBuf> {
        let mut folders = (1..=self.folders.get()).rev().map(|number| self.path(&format!("{name}-{number}")));
        folders.find(|folder| folder.exists()).ok_or_else(|| format!("there is no {name}").into())
    }

    /// Starts commands in a control group of their own.
    pub fn group(&self, name: &str) -> Result<Group> {
        let folder = self.path(GROUPS).join(format!("watchdog-bench-{}-{name}", self.run_name()));
        fs::create_dir(&folder)?;
        Ok(Group { folder, children: Vec::new() })
    }

    /// The hierarchy of control groups is the whole machine's.
    fn run_name(&self) -> String {
        self.folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Fills the machine up to so many processes.
    pub fn fill(&self, processes: usize) -> Result<Fill> {
        let missing = processes.saturating_sub(count_processes()? + 1);
        let mut child = Command::new(self.path("fill"))
            .arg(missing.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(said) = child.stdout.take() {
            BufReader::new(said).read_line(&mut line)?;
        }
        let fill = Fill { child };
        if line.is_empty() { Err(format!("{missing} processes could not be made").into()) } else { Ok(fill) }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Else the directory could not be removed.
        for mounted in [self.path(GROUPS), self.folder.path().to_owned()] {
            let _ = run(Command::new("umount").arg("--lazy").arg(mounted));
        }
    }
}

/// A control group, whose processes end with it.
pub struct Group {
    folder: PathBuf,
    children: Vec<Child>,
}

impl Group {
    /// Starts a command in it.
    pub fn spawn(&mut self, command: &Command) -> Result<()> {
        let child = Command::new("/bin/sh")
            .args(["-c", r#"echo 0 > "$0" && exec "$@""#])
            .arg(self.folder.join("cgroup.procs"))
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.children.push(child);
        Ok(())
    }

    /// Waits until what was started has ended.
    pub fn wait(&mut self) -> Result<()> {
        for child in &mut self.children {
            child.wait()?;
        }
        Ok(())
    }

    /// What was started in it by [`Group::spawn`].
    pub fn spawned(&self) -> Vec<i32> {
        self.children.iter().map(number).collect()
    }

    /// CPU time of all that runs or ran in it.
    pub fn cpu(&self) -> Result<Duration> {
        let text = fs::read_to_string(self.folder.join("cpu.stat"))?;
        let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
        Ok(Duration::from_micros(usage.ok_or("cpu.stat has no usage_usec")?.parse()?))
    }

    /// What runs in it.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let text = fs::read_to_string(self.folder.join("cgroup.procs"))?;
        Ok(text.lines().map(str::parse).collect::<std::result::Result<_, _>>()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let until = Instant::now() + PATIENCE;
        let mut kill = || -> Result<()> {
            fs::write(self.folder.join("cgroup.kill"), "1")?;
            self.wait()?;
            while fs::remove_dir(&self.folder).is_err() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        };
        if let Err(error) = kill() {
            say(&format!("{}: {error}", self.folder.display()));
        }
    }
}

/// Processes that do nothing.
pub struct Fill {
    child: Child,
}

impl Drop for Fill {
    fn drop(&mut self) {
        // It ends with its standard input, and its children with it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The time now, as the watched processes tell it (`CLOCK_MONOTONIC`).
pub fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs().try_into().unwrap_or(0))
}

/// How many processes there are.
pub fn count_processes() -> Result<usize> {
    let is_number = |name: &OsStr| name.to_str().is_some_and(|name| name.parse::<u32>().is_ok());
    Ok(fs::read_dir("/proc")?.flatten().filter(|entry| is_number(&entry.file_name())).count())
}

/// Runs a command to its end, and gives what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let why = match output {
        Ok(output) if output.status.success() => return Ok(String::from_utf8(output.stdout)?),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(format!("{}: {why}", command.get_program().to_string_lossy()).into())
}
