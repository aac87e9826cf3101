//! Who watches: `watchdog` and its peers, each configured as its own manual has it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::{Group, Machine};
use crate::{Result, say};

/// When a watcher does something about a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// At once.
    AtOnce,
    /// At its leisure: it polls, or waits before it starts anything.
    Later,
    /// Not at all.
    Never,
}

/// A watcher.
#[derive(Debug, Clone, Copy)]
pub struct Watcher {
    /// Its name in the tables.
    pub name: &'static str,
    /// Its name in those of processes, which are short.
    pub short: &'static str,
    /// What of Debian's it is in; `None` is of this repository.
    pub package: Option<&'static str>,
    /// Its program.
    pub program: &'static str,
    /// When it does something about a death.
    pub notice: Notice,
    /// How it was configured.
    pub configured: &'static str,
    /// Whether its cost is measured: with another start command it is the same.
    pub costs: bool,
    /// Whether many of it are measured.
    pub is_for_many: bool,
    /// Whether it takes up a process that is there already, and so does not have to be its parent.
    pub takes_up: bool,
    /// What has to run to have it watch processes of these names, each with the words that start one.
    commands: fn(&Machine, &[String]) -> Result<Vec<Command>>,
}

/// Ours, as most have it.
const PLAIN: Watcher = Watcher {
    name: OURS,
    short: "ours",
    package: None,
    program: BUILD,
    notice: Notice::AtOnce,
    configured: "`--exact --restart-delay 0 --restart-wait-interval 1s`, interval 1 s; the start command puts \
                 the process into the background, so that it is process 1's child",
    costs: true,
    is_for_many: true,
    takes_up: true,
    commands: |machine, names| ours(machine, names, BUILD),
};

/// The same as one file that needs no libraries.
const STATIC: Watcher = Watcher {
    name: OURS_STATIC,
    short: "static",
    program: STATIC_BUILD,
    configured: "the same, built by `packaging/build-static`",
    is_for_many: false,
    commands: |machine, names| ours(machine, names, STATIC_BUILD),
    ..PLAIN
};

/// monit, as most have it.
const POLLING: Watcher = Watcher {
    name: MONIT,
    short: "monit",
    package: Some("monit"),
    program: "monit",
    notice: Notice::Later,
    configured: "`set daemon 1`, `check process … with pidfile …`, no HTTP, no alerts",
    costs: true,
    is_for_many: true,
    takes_up: true,
    commands: monit,
};

/// The first is ours, to which the others are compared.
pub const ALL: [Watcher; 11] = [
    PLAIN,
    STATIC,
    Watcher {
        name: OURS_BY_PID_FILE,
        short: "byfile",
        configured: "as the first, with `--pid-file`, which the process writes",
        is_for_many: false,
        commands: by_pid_file,
        ..PLAIN
    },
    Watcher {
        name: "watchdog, as the parent",
        short: "parent",
        configured: "as the first, but the start command becomes the process (`exec`)",
        costs: false,
        is_for_many: false,
        commands: |machine, names| starting(machine, names, BUILD, |words| format!("exec {words}"), "1s"),
        ..PLAIN
    },
    Watcher {
        name: RUNSV,
        short: "runsv",
        package: Some("runit"),
        program: "runsv",
        notice: Notice::AtOnce,
        configured: "`run` is a shell script that ends in `exec`; no log service, no `finish`",
        costs: true,
        is_for_many: true,
        takes_up: false,
        commands: |machine, names| services(machine, names, "runsv"),
    },
    Watcher {
        name: "s6-supervise",
        short: "s6",
        package: Some("s6"),
        program: "s6-supervise",
        notice: Notice::Later,
        configured: "the same `run`; it waits for a second after each death",
        costs: true,
        is_for_many: true,
        takes_up: false,
        commands: |machine, names| services(machine, names, "s6-supervise"),
    },
    Watcher {
        name: RESTARTD,
        short: "restartd",
        package: Some("restartd"),
        program: "restartd",
        notice: Notice::Later,
        configured: "`-f -i 1`; the expression is the process's path",
        costs: true,
        is_for_many: false,
        takes_up: true,
        commands: restartd,
    },
    POLLING,
    Watcher {
        name: "`pgrep` loop",
        short: "loop",
        package: Some("procps"),
        program: "pgrep",
        notice: Notice::Later,
        configured: "`while sleep 1; do pgrep -x NAME || { START & }; done` in dash",
        costs: true,
        is_for_many: false,
        takes_up: true,
        commands: pgrep_loop,
    },
    Watcher {
        name: LEAST,
        short: "wake",
        package: None,
        program: "wake",
        notice: Notice::Never,
        configured: "`benches/peers/wake.c` wakes each second and reads the process's `stat`: the least that looking costs",
        costs: true,
        is_for_many: false,
        takes_up: false,
        commands: |machine, names| wake(machine, names, "wake"),
    },
    Watcher {
        name: LEAST_IN_RUST,
        short: "wakers",
        package: None,
        program: "wake-rs",
        notice: Notice::Never,
        configured: "`benches/peers/wake.rs` does the same: the least that a Rust program costs",
        costs: true,
        is_for_many: false,
        takes_up: false,
        commands: |machine, names| wake(machine, names, "wake-rs"),
    },
];

/// Those that probe a server besides. The first does not, for comparison.
pub const PROBING: [Watcher; 5] = [
    PLAIN,
    Watcher {
        name: "watchdog, `tcp://`",
        short: "tcp",
        configured: "`--probe tcp://127.0.0.1:PORT`, every 10 s",
        commands: |machine, names| probing(machine, names, 1, "tcp"),
        ..PLAIN
    },
    Watcher {
        name: "monit, port",
        short: "monitt",
        configured: "besides, `check host … every 10 cycles`, `if failed port PORT`",
        commands: |machine, names| monit_probing(machine, names, 1, "type tcp"),
        ..POLLING
    },
    Watcher {
        name: "watchdog, `http://`",
        short: "http",
        configured: "`--probe http://127.0.0.1:PORT`, every 10 s",
        commands: |machine, names| probing(machine, names, 1, "http"),
        ..PLAIN
    },
    Watcher {
        name: "monit, HTTP",
        short: "monith",
        configured: "the same with `protocol http`",
        commands: |machine, names| monit_probing(machine, names, 1, "protocol http"),
        ..POLLING
    },
];

/// Who can be asked how the processes are. monit takes the question at a socket.
pub const READ: [Watcher; 2] = [
    PLAIN,
    Watcher {
        name: "monit, with a socket",
        short: "monits",
        configured: "besides, `set httpd unixsocket …`",
        commands: |machine, names| {
            let socket = machine.path("monit.socket");
            let allowed = r#"allow "admin":"secret""#;
            monit_with(machine, names, &format!("set httpd unixsocket {} {allowed}\n", socket.display()))
        },
        ..POLLING
    },
];

/// Whose memory is measured after many deaths: they come as fast as attempts may follow each other.
pub const DYING: [Watcher; 2] = [
    Watcher {
        short: "dying",
        configured: "`--restart-wait-interval 10ms --health-check-interval 10ms --max-fail-count unlimited`",
        commands: |machine, names| dying(machine, names, BUILD),
        ..PLAIN
    },
    Watcher {
        short: "dyings",
        configured: "the same, static",
        commands: |machine, names| dying(machine, names, STATIC_BUILD),
        ..STATIC
    },
];

/// Whose processes are killed at random. One in ten has a server that is probed besides.
pub const RANDOM: [Watcher; 2] = [
    Watcher {
        short: "random",
        configured: "one in ten with `--probe tcp://127.0.0.1:PORT`",
        commands: |machine, names| probing(machine, names, 10, "tcp"),
        ..PLAIN
    },
    Watcher {
        short: "monitr",
        configured: "for one in ten `check host … every 10 cycles`, `if failed port PORT`",
        commands: |machine, names| monit_probing(machine, names, 10, "type tcp"),
        ..POLLING
    },
];

/// The program, as it is built usually and as one file, by the names that it has on a [`Machine`].
pub const BUILD: &str = "watchdog";
pub const STATIC_BUILD: &str = "watchdog-static";

/// The names that the targets are about.
pub const OURS: &str = "watchdog";
pub const OURS_STATIC: &str = "watchdog, static";
pub const OURS_BY_PID_FILE: &str = "watchdog, by pid file";
pub const RUNSV: &str = "runsv";
pub const RESTARTD: &str = "restartd";
pub const MONIT: &str = "monit";
/// What there is to compare the cost with.
pub const LEAST: &str = "no watcher, in C";
pub const LEAST_IN_RUST: &str = "no watcher, in Rust";

impl Watcher {
    /// A name for a process that it watches.
    pub fn process_name(&self, number: usize) -> String {
        format!("wb-{}-{number}", self.short)
    }

    /// Has it watch processes of these names.
    pub fn watch(&self, machine: &Machine, names: &[String]) -> Result<Group> {
        machine.forget_arrivals()?;
        let mut group = machine.group(self.short)?;
        for command in (self.commands)(machine, names)? {
            group.spawn(&command)?;
        }
        Ok(group)
    }

    /// Its file.
    pub fn file(&self, machine: &Machine) -> Option<PathBuf> {
        match self.package {
            Some(_) => find_program(self.program),
            None => Some(machine.path(self.program)).filter(|file| file.exists()),
        }
    }
}

/// The watchers that can be had on this machine.
pub fn that_are_here(machine: &Machine, all: &'static [Watcher]) -> Vec<&'static Watcher> {
    let is_here = |watcher: &&Watcher| {
        let is_here = watcher.file(machine).is_some();
        if !is_here {
            say(&format!("{} is not here, and left out", watcher.name));
        }
        is_here
    };
    all.iter().filter(is_here).collect()
}

/// A program of the PATH, or of the directories that have daemons.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The words as a shell takes them. There is nothing to quote in the paths of a run.
pub fn text(words: &[PathBuf]) -> String {
    words.iter().map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ")
}

fn ours(machine: &Machine, names: &[String], build: &str) -> Result<Vec<Command>> {
    starting(machine, names, build, |words| format!("{words} &"), "1s")
}

fn starting(
    machine: &Machine,
    names: &[String],
    build: &str,
    start: fn(String) -> String,
    wait: &str,
) -> Result<Vec<Command>> {
    let (state, log) = (machine.fresh_folder("state")?, machine.fresh_folder("log")?);
    let watch = |name: &String| -> Result<Command> {
        let mut command = Command::new(machine.path(build));
        command.args(["--no-input", "--exact", "--process-name", name, "--start-command"]);
        command.arg(start(text(&machine.start_words(name)?)));
        command.args(["--restart-delay", "0", "--restart-wait-interval", wait]);
        command.arg("--state-dir").arg(&state).arg("--log-dir").arg(&log);
        Ok(command)
    };
    names.iter().map(watch).collect()
}

fn by_pid_file(machine: &Machine, names: &[String]) -> Result<Vec<Command>> {
    let mut commands = ours(machine, names, BUILD)?;
    for (command, name) in commands.iter_mut().zip(names) {
        let [_, _, _, file] = machine.start_words(name)?;
        command.arg("--pid-file").arg(file);
    }
    Ok(commands)
}

fn dying(machine: &Machine, names: &[String], build: &str) -> Result<Vec<Command>> {
    let mut commands = starting(machine, names, build, |words| format!("{words} &"), "10ms")?;
    for command in &mut commands {
        command.args(["--health-check-interval", "10ms", "--max-fail-count", "unlimited"]);
    }
    Ok(commands)
}

/// Each `nth` of them probes the server.
fn probing(machine: &Machine, names: &[String], nth: usize, scheme: &str) -> Result<Vec<Command>> {
    let mut commands = ours(machine, names, BUILD)?;
    for command in commands.iter_mut().step_by(nth) {
        command.arg(format!("--probe={scheme}://127.0.0.1:{}", machine.port));
    }
    Ok(commands)
}

fn services(machine: &Machine, names: &[String], supervisor: &str) -> Result<Vec<Command>> {
    let supervise = |name: &String| -> Result<Command> {
        let folder = machine.folder(&format!("{name}.service"))?;
        let script = folder.join("run");
        fs::write(&script, format!("#!/bin/sh\nexec {}\n", text(&machine.start_words(name)?)))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let mut command = Command::new(supervisor);
        command.arg(folder);
        Ok(command)
    };
    names.iter().map(supervise).collect()
}

fn restartd(machine: &Machine, names: &[String]) -> Result<Vec<Command>> {
    let mut configuration = String::new();
    for name in names {
        let words = machine.start_words(name)?;
        let [_, _, program, _] = &words;
        writeln!(configuration, r#"{name} "^{}" "{} &" """#, program.display(), text(&words))?;
    }
    let file = machine.path("restartd.conf");
    fs::write(&file, configuration)?;
    let program = find_program("restartd").ok_or("no restartd")?;
    let mut command = Command::new(program);
    command.args(["-f", "-i", "1", "-c"]).arg(file);
    Ok(vec![command])
}

fn monit(machine: &Machine, names: &[String]) -> Result<Vec<Command>> {
    monit_with(machine, names, "")
}

/// For each `nth` of them, the server is checked.
fn monit_probing(machine: &Machine, names: &[String], nth: usize, test: &str) -> Result<Vec<Command>> {
    let mut checks = String::new();
    for name in names.iter().step_by(nth) {
        writeln!(
            checks,
            "check host server-{name} with address 127.0.0.1 every 10 cycles\n  if failed port {} {test} then alert",
            machine.port
        )?;
    }
    monit_with(machine, names, &checks)
}

fn monit_with(machine: &Machine, names: &[String], more: &str) -> Result<Vec<Command>> {
    let mut configuration = "set daemon 1\n".to_owned();
    for file in ["pidfile", "idfile", "statefile"] {
        writeln!(configuration, "set {file} {}", machine.path(&format!("monit.{file}")).display())?;
    }
    for name in names {
        let words = machine.start_words(name)?;
        writeln!(
            configuration,
            "check process {name} with pidfile {}\n  start program = \"/bin/sh -c '{} &'\"",
            words[3].display(),
            text(&words)
        )?;
    }
    configuration.push_str(more);
    let file: &Path = &machine.path("monitrc");
    fs::write(file, configuration)?;
    // It refuses others.
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
    let mut command = Command::new("monit");
    command.args(["-I", "-c"]).arg(file);
    Ok(vec![command])
}

fn pgrep_loop(machine: &Machine, names: &[String]) -> Result<Vec<Command>> {
    let watch = |name: &String| -> Result<Command> {
        let start = text(&machine.start_words(name)?);
        let script = format!("while sleep 1; do pgrep -x {name} >/dev/null || {{ {start} & }}; done");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]);
        Ok(command)
    };
    names.iter().map(watch).collect()
}

fn wake(machine: &Machine, names: &[String], program: &str) -> Result<Vec<Command>> {
    let watch = |name: &String| -> Result<Command> {
        let start = text(&machine.start_words(name)?);
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("{start} & exec {} /proc/$!/stat", machine.path(program).display()));
        Ok(command)
    };
    names.iter().map(watch).collect()
}
