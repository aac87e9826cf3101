//! The README and the pages in docs/ say what the program says. Each command in them is run here, or has somebody
//! who runs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use regex_lite::{Captures, Regex};
use serde_json::Value;
use watchdog::parts::{Cli, Dirs, ExitCode, Given, Place, ROWS, Row, Settings, User, settings};

use crate::dry_run::DryRun;
use crate::harness::{Captured, Ended, Scene, WATCHDOG};
use crate::machine::{kernel_tells, program, send, skip};
use crate::manual::{complaints, options, read, root};
use crate::terminal::Terminal;

/// All of it, by its path.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|page| page.unwrap().file_name());
    let docs = docs.filter_map(|page| page.into_string().ok()?.strip_suffix(".md").map(str::to_owned));
    let mut pages: Vec<_> = docs.map(|page| format!("docs/{page}.md")).collect();
    pages.extend(["README.md", "CONTRIBUTING.md"].map(str::to_owned));
    pages.sort();
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

/// A block between lines of three backticks.
#[derive(Debug)]
struct Block {
    page: String,
    kind: String,
    text: String,
}

fn blocks(kind: &str) -> Vec<Block> {
    let fence = Regex::new(r"(?ms)^( *)```(\w*)\n(.*?)^ *```$").unwrap();
    let of = |page: String| {
        let text = read(&page);
        assert_eq!(fence.find_iter(&text).count() * 2, text.matches("```").count(), "{page}");
        let blocks: Vec<_> = fence
            .captures_iter(&text)
            .map(|found| {
                let text = found[3].lines().map(|line| line.strip_prefix(&found[1]).unwrap_or(line));
                let text = text.collect::<Vec<_>>().join("\n") + "\n";
                Block { page: page.clone(), kind: found[2].to_owned(), text }
            })
            .collect();
        blocks
    };
    let known = ["sh", "cron", "toml", "dockerfile", "text"];
    let all: Vec<_> = pages().into_iter().flat_map(of).collect();
    assert!(all.iter().all(|block| known.contains(&&*block.kind)), "each is one of {known:?}: {all:?}");
    let blocks: Vec<_> = all.into_iter().filter(|block| block.kind == kind).collect();
    assert!(!blocks.is_empty(), "{kind}");
    blocks
}

/// What becomes of a line of a block here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// It is run, and ends with one of these statuses.
    Ends(&'static [i32]),
    /// It is run, watches until it is told to end, and starts the process.
    Watches,
    /// This file of the project runs such a line, where there is a machine for it.
    RunBy(&'static str, &'static str),
    /// It runs this file of the project, which takes too long for here.
    Runs(&'static str),
    /// It is cargo's.
    Cargo,
    /// It is somebody else's program, and what it works on is not for a test. A shell can read it.
    Shown,
}

/// By how a line begins; the first that fits.
const CLASSES: &[(&str, Class)] = &[
    ("watchdog --config nginx --dry-run", Class::Ends(&[0, 1])),
    ("watchdog --config docker --dry-run", Class::Ends(&[0, 1])),
    ("watchdog --config worker@2 --dry-run", Class::Ends(&[0, 1])),
    ("watchdog --process-name nginx --start-command \"service nginx start\" --dry-run", Class::Ends(&[0, 1])),
    ("watchdog --", Class::Watches),
    // It ends with Ctrl-C; and without a terminal at once.
    ("watchdog status --watch", Class::Ends(&[2])),
    ("watchdog status --nagios", Class::Ends(&[0, 1, 2])),
    ("watchdog status", Class::Ends(&[0, 3])),
    ("watchdog logs -f", Class::RunBy("tests/reading.rs", "\"-f\"")),
    ("watchdog logs ", Class::Ends(&[0])),
    ("watchdog pause ", Class::Ends(&[0])),
    ("watchdog resume ", Class::Ends(&[0])),
    ("watchdog clean ", Class::Ends(&[0])),
    // What is configured on this machine is not for a test.
    ("watchdog validate", Class::Ends(&[0, 2])),
    ("watchdog start ", Class::Ends(&[0])),
    ("watchdog stop ", Class::Ends(&[0])),
    ("watchdog restart ", Class::Ends(&[0])),
    ("watchdog test-hook ", Class::Ends(&[0])),
    // Who listens on this machine is not for a test.
    ("watchdog probe ", Class::Ends(&[0, 1])),
    // It asks, and nobody answers.
    ("watchdog", Class::Ends(&[2])),
    ("printf '%s\\n' nginx ", Class::Watches),
    ("setsid --fork watchdog ", Class::Watches),
    ("nohup watchdog ", Class::Watches),
    ("mkdir -p target && ln -sf ", Class::Watches),
    ("service nginx stop", Class::Ends(&[0])),
    ("install -Dm644 packaging/", Class::Ends(&[0])),
    ("tail /var/log/watchdog/nginx.log", Class::Ends(&[0])),
    (
        "systemctl enable --now watchdog@",
        Class::RunBy("packaging/machine/checks/service.sh", "systemctl enable --now"),
    ),
    (
        "systemctl enable --now watchdog-once@",
        Class::RunBy("packaging/machine/checks/once.sh", "systemctl enable --now"),
    ),
    (
        "systemctl enable --now watchdog-textfile.timer",
        Class::RunBy("packaging/machine/checks/monitoring.sh", "systemctl enable --now"),
    ),
    (
        "apt install prometheus-node-exporter",
        Class::RunBy("packaging/machine/make-tree", "prometheus-node-exporter"),
    ),
    ("systemctl reload ", Class::RunBy("packaging/machine/checks/service.sh", "systemctl reload")),
    (
        "systemctl --user enable --now ",
        Class::RunBy("packaging/machine/checks/user.sh", "systemctl --user enable --now"),
    ),
    ("loginctl enable-linger", Class::RunBy("packaging/machine/checks/user.sh", "loginctl enable-linger")),
    ("journalctl -u ", Class::RunBy("packaging/machine/checks/service.sh", "journalctl")),
    ("apt install \"$(packaging/build-deb ", Class::RunBy("packaging/machine/lib.sh", "apt-get install")),
    ("rpm --install \"$(packaging/build-rpm ", Class::RunBy(".ci/run", "packaging/build-rpm")),
    ("packaging/build-static", Class::RunBy("packaging/test-static", "packaging/build-static")),
    (
        "apt remove ",
        Class::RunBy("packaging/machine/checks/package.sh", "apt-get remove --yes process-watchdog"),
    ),
    (
        "apt purge ",
        Class::RunBy("packaging/machine/checks/package.sh", "apt-get purge --yes process-watchdog"),
    ),
    ("systemctl edit ", Class::Shown),
    ("apt install cockpit", Class::Shown),
    ("install -m 600 /dev/null /etc/watchdog/", Class::Shown),
    ("dpkg --install some.deb", Class::Shown),
    ("env -i PATH=/usr/bin:/bin /bin/sh -c ", Class::Shown),
    ("packaging/test-machine", Class::Runs("packaging/test-machine")),
    ("fuzz/run ", Class::Runs("fuzz/run")),
    ("tests/soak/run ", Class::Runs("tests/soak/run")),
    ("benches/peers/run ", Class::Runs("benches/peers/run")),
    ("cargo ", Class::Cargo),
];

fn class(line: &str) -> Class {
    let class = CLASSES.iter().find(|(start, _)| line.starts_with(start));
    class.unwrap_or_else(|| panic!("nobody runs this: {line}")).1
}

/// Where the commands of the documentation work: its processes have this scene's name, its directories are here, and
/// `service` starts the process.
struct Stage {
    scene: Scene,
    names: Regex,
}

impl Stage {
    fn new() -> Self {
        let scene = Scene::new();
        for folder in ["bin", "etc", "local", "empty"] {
            fs::create_dir(scene.path(folder)).unwrap();
        }
        let file = "start_command = 'service it start'\nrestart_wait_interval = '0.3s'\nhook = 'cat'\n";
        let file = format!("process_name = '{}'\n{file}", scene.name());
        fs::write(scene.path(&format!("etc/{}.toml", scene.name())), file).unwrap();
        fs::write(scene.path("etc/worker@.toml"), "process_name = 'worker-%i'\nstart_command = 'true'\n")
            .unwrap();
        let stage = Stage { scene, names: Regex::new(r"\b(nginx|dockerd?|long-sleep)\b").unwrap() };
        stage.write("service", SERVICE);
        stage.write("watchdog", &PROGRAM.replace("PROGRAM", WATCHDOG));
        stage
    }

    /// Puts a program on the stage. It is written by a child, which has no file open when another test forks.
    fn write(&self, name: &str, script: &str) {
        let mut write = Command::new("sh");
        write.args(["-c", "printf %s \"$1\" > \"$2\" && chmod +x \"$2\"", "sh", script]);
        write.arg(self.scene.path(&format!("bin/{name}")));
        assert_eq!(self.scene.spawn(write, Captured::All).ends().code(), Some(0));
    }

    /// A line of the documentation, for this stage.
    fn line(&self, line: &str) -> String {
        let here = |folder: &str| self.scene.path(folder).display().to_string();
        let line = self.names.replace_all(line, self.scene.name());
        let bare = Regex::new(r"(--config|test-hook) (\w[\w@]*)").unwrap();
        let line = bare.replace_all(&line, |found: &Captures| {
            format!("{} {}/{}.toml", &found[1], here("etc"), &found[2])
        });
        line.replace("/etc/watchdog", &here("etc"))
            .replace("/var/log/watchdog", &here("log"))
            .replace("/usr/local", &here("local"))
            .replace("/usr/bin/watchdog", "watchdog")
            .replace("cargo run --release --", "watchdog")
    }

    fn shell(&self, line: &str, options: &str) -> Command {
        let mut shell = program("sh");
        shell.args([options, line]).stdin(Stdio::null());
        let installs = line.starts_with("install ");
        shell.current_dir(if installs { root().to_owned() } else { self.scene.path("") });
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [self.scene.path("bin")].into_iter().chain(std::env::split_paths(&path));
        shell.env("PATH", std::env::join_paths(folders).unwrap());
        shell.env("HOME", self.scene.path("home")).env_remove("XDG_STATE_HOME").env_remove("INVOCATION_ID");
        shell
    }

    fn run(&self, line: &str) -> Ended {
        self.scene.spawn(self.shell(&self.line(line), "-c"), Captured::All).ends()
    }

    /// Nothing of the process is left.
    fn clear(&self) {
        for pid in self.scene.all() {
            send(pid, SIGKILL);
            self.scene.wait_gone(pid);
        }
    }

    /// A watchdog of this name has been here, and its process runs.
    fn play_once(&self) {
        let ended = self.run("watchdog --config nginx --once");
        assert_eq!(ended.code(), Some(0), "{ended}");
    }

    /// Runs a line that goes on watching: it starts the process, and ends when it is told.
    fn watches(&self, line: &str) {
        self.clear();
        let shell = self.scene.spawn(self.shell(&self.line(line), "-c"), Captured::All);
        self.scene.wait_running();
        let pid = self.scene.wait_until("the watchdog says who it is", || {
            let state: Value = serde_json::from_slice(&fs::read(self.scene.kept("json")).ok()?).ok()?;
            let is_running = state["sight"] == "running";
            state["watchdog"]["pid"].as_i64().filter(|_| is_running)
        });
        let pid = i32::try_from(pid).unwrap();
        send(pid, SIGTERM);
        self.scene.wait_gone(pid);
        let ended = shell.ends();
        assert_eq!(ended.code(), Some(0), "{line}: {ended}");
    }

    fn plays(&self, line: &str) {
        match class(line) {
            Class::Ends(statuses) => {
                let ended = self.run(line);
                assert!(statuses.contains(&ended.code().unwrap()), "{line}: {ended}");
            }
            Class::Watches => self.watches(line),
            Class::RunBy(file, words) => assert!(read(file).contains(words), "{file} does not run {line}"),
            Class::Runs(file) => {
                let mode = root().join(file).metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o111, 0o111, "{file}");
            }
            Class::Cargo => {
                let known = ["build", "test", "install", "clippy", "fmt", "run --example generate", "bench"];
                assert!(known.iter().any(|command| line.starts_with(&format!("cargo {command}"))), "{line}");
            }
            Class::Shown => {}
        }
        let ended = self.scene.spawn(self.shell(line, "-nc"), Captured::All).ends();
        assert_eq!((ended.code(), &*ended.stderr), (Some(0), ""), "{line}: {ended}");
    }
}

/// Stands in for service(8), whatever service it is told.
const SERVICE: &str = r#"#!/bin/sh
case $2 in
start)
    "$ACTOR" sleep &
    echo $! > "$HERE/pid"
    ;;
stop) kill "$(cat "$HERE/pid")" ;;
esac
"#;

/// The program with its files in the scene. An attempt is judged soon, unless the line says when.
const PROGRAM: &str = r#"#!/bin/sh
case ${1-} in
status | logs | pause | resume | start | stop | restart) exec 'PROGRAM' "$@" --state-dir "$HERE/state" ;;
probe | validate | test-hook) exec 'PROGRAM' "$@" ;;
'' | clean) ;;
*) case $* in *config* | *restart* | *dry-run*) ;; *) set -- "$@" --restart-wait-interval 0.3 ;; esac ;;
esac
exec 'PROGRAM' "$@" --state-dir "$HERE/state" --log-dir "$HERE/log"
"#;

/// The lines of a block of shell, without what stands behind a `#`.
fn lines(block: &Block) -> Vec<String> {
    let lines = block.text.lines().map(|line| line.split("  #").next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn each_command_of(is_wanted: fn(&str) -> bool) {
    let blocks: Vec<_> = blocks("sh").into_iter().filter(|block| is_wanted(&block.page)).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let stage = Stage::new();
        let lines = lines(&block);
        let needs_one = ["status", "logs", "pause", "resume", "clean", "service", "tail", "restart "];
        if lines.iter().any(|line| needs_one.iter().any(|word| line.contains(word))) {
            stage.play_once();
        }
        for line in lines {
            stage.plays(&line);
        }
    }
}

#[test]
fn each_command_of_the_readme_works() {
    each_command_of(|page| page == "README.md");
}

#[test]
fn each_command_of_running_works() {
    each_command_of(|page| page == "docs/running.md");
}

#[test]
fn each_other_command_of_the_documentation_works() {
    each_command_of(|page| page != "README.md" && page != "docs/running.md");
}

#[test]
fn each_class_of_commands_has_one() {
    let lines: Vec<_> = blocks("sh").iter().flat_map(lines).collect();
    for (start, _) in CLASSES {
        let first =
            |line: &str| CLASSES.iter().find(|(start, _)| line.starts_with(start)).map(|(start, _)| *start);
        assert!(lines.iter().any(|line| first(line) == Some(start)), "no line is classed as {start}");
    }
}

#[test]
fn each_line_for_cron_brings_the_process_back() {
    for block in blocks("cron") {
        let stage = Stage::new();
        for line in block.text.lines() {
            let command = line.strip_prefix("* * * * * root ").unwrap();
            assert!(
                !Regex::new(r"(^|[^\\])%").unwrap().is_match(command),
                "cron takes % for a newline: {line}"
            );
            let ended = stage.run(command);
            assert_eq!((ended.code(), stage.scene.all().len()), (Some(0), 1), "{line}: {ended}");
            let quiet = stage.run(command);
            assert_eq!((quiet.code(), &*quiet.stderr, &*quiet.stdout), (Some(0), "", ""), "{line}");
        }
    }
}

#[test]
fn each_configuration_is_taken() {
    for block in blocks("toml") {
        let mut text = block.text.clone();
        if !text.contains("process_name") {
            text += "process_name = 'x'\n";
        }
        if block.text.starts_with("# /etc/watchdog/") && !text.contains("start_command") {
            text += "start_command = 'y'\n";
        }
        assert_eq!(complaints(&text), [""; 0], "{}: {text}", block.page);
    }
}

#[test]
fn each_entry_point_of_a_container_is_taken() {
    for block in blocks("dockerfile") {
        let line = block.text.lines().find_map(|line| line.strip_prefix("ENTRYPOINT ")).unwrap();
        let words: Vec<String> = serde_json::from_str(line).unwrap();
        let given = Cli::parse(words).unwrap().given;
        assert!(Settings::new(&given, &User::current()).is_ok(), "{line}");
        if let Some(check) = block.text.lines().find_map(|line| line.strip_prefix("HEALTHCHECK CMD ")) {
            let words: Vec<String> = serde_json::from_str(check).unwrap();
            assert!(Cli::parse(words).unwrap().command.is_some(), "{check}");
        }
    }
}

#[test]
fn starts_that_share_a_lock_leave_it_to_the_next() {
    let stage = Stage::new();
    let text = read("docs/coming-from.md");
    let line = text.lines().find_map(|line| line.strip_prefix("start_command = \"flock -o ")).unwrap();
    assert_eq!(line, "/run/lock/starts service nginx start\"");
    let start = format!("flock -o {} service it start", stage.scene.path("lock").display());
    for _ in 0..2 {
        stage.clear();
        let ended = stage.run(&format!("watchdog --once --process-name nginx --start-command '{start}'"));
        assert_eq!((ended.code(), stage.scene.all().len()), (Some(0), 1), "{ended}");
    }
}

/// The rows of the table below this heading, each with its cells.
#[track_caller]
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(page);
    let (_, section) =
        text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("{page}: {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    // In a cell, | has a backslash in front.
    let cells = |row: &str| -> Vec<String> {
        let row = row.replace("\\|", "\u{1}");
        row.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
    };
    let rows = rows.filter(|row| !row.starts_with("---"));
    let rows: Vec<_> = rows.map(cells).skip(1).collect();
    assert!(!rows.is_empty(), "{page}: {heading}");
    rows
}

fn code(cell: &str) -> Vec<String> {
    Regex::new("`([^`]*)`").unwrap().captures_iter(cell).map(|found| found[1].to_owned()).collect()
}

#[test]
fn each_default_is_the_programs() {
    let (settings_in_force, _) = Settings::read(&Given::default(), Dirs::default());
    let in_force = settings_in_force.in_force(&Given::default(), true);
    let defaults: BTreeMap<_, _> = in_force.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    let long = Regex::new(r"--([a-z-]+)").unwrap();
    let mut compared = BTreeSet::new();
    for page in ["README.md", "docs/configuration.md"] {
        let heading = if page == "README.md" { "Configuration" } else { "Options" };
        for row in table(page, heading) {
            for option in code(&row[0]) {
                let Some(key) = long.captures(&option).map(|found| found[1].replace('-', "_")) else {
                    continue;
                };
                let said = row[1].replace('`', "");
                let expected = match &*key {
                    "process_name" | "start_command" => "asked for",
                    "state_dir" | "log_dir" => "[files](files.md#places)",
                    "name" => "from the file or the process name",
                    "config" => "none",
                    // Of the option, and not of the key of a file.
                    "version" => "",
                    key => {
                        defaults.get(key).map_or("", |default| if *default == "no" { "" } else { default })
                    }
                };
                assert_eq!(said, expected, "{page}: {option}");
                compared.insert(key);
            }
        }
    }
    for row in table("docs/configuration.md", "Keys of the file alone") {
        for key in code(&row[0]) {
            assert_eq!(defaults.get(&*key).copied(), Some(&*row[1].replace('`', "")), "{key}");
            compared.insert(key);
        }
    }
    assert!(settings().all(|row| compared.contains(row.key)), "{compared:?}");
}

/// Where the documentation says what is no key, and what is a flag.
#[test]
fn what_is_no_key_and_what_is_a_flag_is_told() {
    let page = read("docs/configuration.md");
    let line = |end: &str| page.lines().find(|line| line.ends_with(end)).unwrap_or_else(|| panic!("{end}"));
    let told = code(line("the options of the commands are not keys."));
    let typed_only = ROWS.iter().filter(|row| matches!(row.place, Place::CommandLine | Place::Letter));
    assert_eq!(told, typed_only.map(Row::option).collect::<Vec<_>>());
    let flags = settings().filter(|row| row.is_flag()).map(|row| row.key);
    assert_eq!(code(line("are `true` or `false`."))[..4], flags.collect::<Vec<_>>());
}

/// Options of other programs, and of this project's own tools.
const OF_OTHERS: &[&str] = &[
    "--fork",
    "--now",
    "--init",
    "--restart",
    "--pid",
    "--collect",
    "--unit",
    "--version",
    "--release",
    "--example",
    "--locked",
    "--test",
    "--lib",
    "--all-targets",
    "--check",
    "--quick",
    "--docs",
    "--seed",
    "--edges",
    "--port",
    "--install",
    "--path",
    "--help",
    "--upgrade",
    "--all",
    "--for",
    "--json",
    "--logs",
    // packaging/build-rpm
    "--static",
];

#[test]
fn each_option_that_is_named_is_there() {
    let known: BTreeSet<_> = options()
        .iter()
        .flat_map(|(_, option)| option.split(", ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let option = Regex::new(r"--[a-z][a-z_-]*[a-z]").unwrap();
    let link = Regex::new(r"\]\([^)]*\)").unwrap();
    for page in pages() {
        for found in option.find_iter(&link.replace_all(&read(&page), "]")) {
            let found = found.as_str().replace('_', "-");
            assert!(known.contains(&found) || OF_OTHERS.contains(&&*found), "{page}: there is no {found}");
        }
    }
}

#[test]
fn each_exit_status_is_told() {
    let exits = [
        ExitCode::Success,
        ExitCode::GaveUp,
        ExitCode::Usage,
        ExitCode::CannotTell,
        ExitCode::Busy,
        ExitCode::LeftAlone,
    ]
    .into_iter();
    for page in ["README.md", "docs/configuration.md"] {
        let rows = table(page, "Exit statuses");
        let told: Vec<u8> = rows.iter().map_while(|row| row[0].parse().ok()).collect();
        let told: Vec<_> =
            told.into_iter().map(|status| format!("{:?}", std::process::ExitCode::from(status))).collect();
        let expected: Vec<_> = exits.clone().map(|exit| format!("{:?}", exit.code())).collect();
        assert_eq!(told, expected, "{page}");
    }
    let scene = Scene::new();
    let missing = scene.say(&["status"]);
    assert_eq!(missing.code(), Some(4), "nothing to show");
    assert_eq!(scene.say(&["status", "no-such-name"]).code(), Some(2));
    let ended = scene.watchdog().starting("exit 1").with("--max-fail-count", "1").flag("--once").run();
    assert_eq!((ended.code(), scene.say(&["status"]).code()), (Some(1), Some(3)));
    assert_eq!(DryRun::of(scene.watchdog()).ended.code(), Some(1));
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    assert_eq!(scene.say(&["status"]).code(), Some(0));
    assert_eq!(DryRun::of(scene.watchdog()).ended.code(), Some(0));
    assert_eq!(scene.say(&["pause", scene.name()]).code(), Some(0));
    assert_eq!(scene.say(&["pause", "no-such-name"]).code(), Some(2));
}

/// The keys of a JSON object, those of `memory` with that in front.
fn keys(object: &Value) -> BTreeSet<String> {
    let of = |object: &Value, before: &str| {
        object.as_object().unwrap().keys().map(|key| format!("{before}{key}")).collect::<BTreeSet<_>>()
    };
    let mut keys = of(object, "");
    if keys.remove("memory") {
        keys.extend(of(&object["memory"], "memory."));
    }
    keys
}

#[test]
fn each_field_of_status_and_state_is_told() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let watchdog = scene.watchdog().spawn();
    let follows = || fs::read_to_string(scene.kept("json")).is_ok_and(|state| state.contains("\"running\""));
    scene.wait_until("it follows the process", || follows().then_some(()));
    scene.assert_watched();
    scene
        .wait_until("the start command has ended", || (!scene.state()["last_start"].is_null()).then_some(()));
    watchdog.terminate();
    let status: Value = serde_json::from_str(&scene.say(&["status", "--json"]).stdout).unwrap();
    for (heading, object) in [("status --json", &status[0]), ("State file", &scene.state())] {
        let rows = table("docs/files.md", heading);
        let told: BTreeSet<_> = rows.iter().flat_map(|row| code(&row[0])).collect();
        assert_eq!(told, keys(object), "{heading}");
        for row in rows.iter().filter(|row| row[0] == "`last_exit`" || row[0] == "`last_start`") {
            let inner = &object[code(&row[0])[0].as_str()];
            let told: BTreeSet<_> = code(&row[1]).into_iter().collect();
            let untold: Vec<_> = keys(inner).into_iter().filter(|key| !told.contains(key)).collect();
            assert_eq!(untold, [""; 0], "{heading}, {}", row[0]);
        }
    }
}

#[test]
fn each_line_of_a_dry_run_has_the_fields_that_are_told() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let other = scene.link_actor(&format!("{}y", scene.name().trim_end_matches('z')));
    scene.start_child(&other, &["sleep"]);
    let rows = table("docs/files.md", "--dry-run in a pipe");
    let fields: BTreeMap<_, _> =
        rows.iter().map(|row| (code(&row[0])[0].clone(), row[1].split(", ").count())).collect();
    let dry = DryRun::of(scene.watchdog().with("--start-command", "/no/such/program"));
    for (kind, count) in &fields {
        // Nothing is near that is not named where something matches.
        for row in dry.rows(kind) {
            assert_eq!(row.len(), *count, "{kind}");
        }
    }
    let kinds: BTreeSet<_> = dry.ended.stdout.lines().filter_map(|line| line.split('\t').next()).collect();
    assert!(kinds.iter().all(|kind| fields.contains_key(*kind)), "{kinds:?}");
    assert!(["setting", "match", "warning", "would"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
}

/// As GitHub makes them.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
}

#[test]
fn each_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)#]*)(?:#([^)]*))?\)").unwrap();
    for page in pages() {
        for found in link.captures_iter(&read(&page)) {
            let (file, place) = (&found[1], found.get(2).map(|place| place.as_str()));
            assert!(!file.contains(':'), "{page}: {file}");
            let folder = Path::new(&page).parent().unwrap();
            let target = if file.is_empty() { page.clone() } else { folder.join(file).display().to_string() };
            let text = read(&target);
            if let Some(place) = place {
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|line| anchor(line.trim_start_matches('#')) == place),
                    "{page}: {}",
                    &found[0]
                );
            }
        }
        // Whoever reads the README finds each page.
        assert!(!page.starts_with("docs/") || read("README.md").contains(&format!("]({page}")), "{page}");
    }
}

#[test]
fn readme_and_contributing_stay_short() {
    for (page, most) in [("README.md", 250), ("CONTRIBUTING.md", 60)] {
        assert!(read(page).lines().count() <= most, "{page}");
    }
}

#[test]
fn what_is_needed_and_brought_is_what_cargo_has() {
    let cargo = read("Cargo.toml");
    let rust =
        Regex::new(r#"(?m)^rust-version = "([0-9.]+)""#).unwrap().captures(&cargo).unwrap()[1].to_owned();
    for page in ["README.md", "docs/install.md"] {
        assert!(read(page).contains(&format!("Rust {rust} or newer")), "{page}: Rust {rust}");
    }
    assert!(cargo.contains("[\"docs/*.md\", \"usr/share/doc/process-watchdog/docs/\", \"644\"]"));
}

/// A text of the documentation or of the program, without what differs from run to run.
fn shape(stage: &Stage, text: &str) -> String {
    let text = stage.names.replace_all(text, stage.scene.name());
    let text = text.replace("brokend", stage.scene.name());
    let folder = Regex::new(r"/[^ ]*/(\S+\.(?:log|toml))").unwrap();
    let text = folder.replace_all(&text, "$1");
    let stamp = Regex::new(r"(?m)^\d{4}-\S+ ").unwrap();
    let text = stamp.replace_all(&text, "");
    // Numbers, with a unit or two. The scene's name has digits too.
    let text = text.replace(stage.scene.name(), "NAME");
    let number = Regex::new(r"\b\d+(\.\d+)?(ms|[smhd]| [KM]iB)?( \d+[smh])?\b").unwrap();
    number.replace_all(&text, "#").into_owned()
}

/// The block of text in this page that has these words.
#[track_caller]
fn quoted(page: &str, words: &str) -> String {
    let block = blocks("text").into_iter().find(|block| block.page == page && block.text.contains(words));
    block.unwrap_or_else(|| panic!("{page} quotes no {words}")).text
}

#[test]
fn the_log_in_the_readme_is_what_is_logged() {
    if !kernel_tells() {
        return skip("this kernel does not say how the process died");
    }
    let stage = Stage::new();
    let scene = &stage.scene;
    let pid = scene.start_actor(&["sleep"]);
    let line = "watchdog --process-name nginx --start-command 'service nginx start'";
    let watchdog = scene.spawn(stage.shell(&format!("exec {}", stage.line(line)), "-c"), Captured::All);
    scene.wait_for("^INFO watching ");
    watchdog.wait_checks(2);
    send(pid, SIGKILL);
    scene.wait_for("^INFO attempt 1 succeeded");
    watchdog.terminate();
    let log = scene.read(&format!("log/{}.log", scene.name()));
    let end = log.find("stopped by SIGTERM").unwrap_or(log.len());
    let records = log[..end].lines().filter(|line| !line.contains(": settings: ") && !line.ends_with(": "));
    // Whether the start command has ended before the process is seen is a matter of chance.
    let records: BTreeSet<_> = records.map(|line| shape(&stage, line)).collect();
    let said = quoted("README.md", "was killed by SIGKILL");
    assert_eq!(records, said.lines().map(|line| shape(&stage, line)).collect());
}

#[test]
fn what_cron_mails_is_what_is_quoted() {
    let stage = Stage::new();
    stage.write(
        "broken",
        "#!/bin/sh\ntest -e \"$HERE/mended\" && exec service it start\n\
                           echo 'broken: cannot bind to port 80'\nexit 1\n",
    );
    let line = "watchdog --once --process-name nginx --start-command broken --retry-after 0.5 --restart-wait-interval 0.2";
    let gave_up = stage.run(line);
    assert_eq!(gave_up.code(), Some(1), "{gave_up}");
    fs::write(stage.scene.path("mended"), "").unwrap();
    let back = stage.scene.wait_until("it is tried again", || {
        let ended = stage.run(line);
        (ended.code() == Some(0)).then_some(ended)
    });
    let said = quoted("docs/running.md", "gave up after");
    // The command that is to be typed has the scene's directory in it.
    let place = format!(" --state-dir {}", stage.scene.path("state").display());
    let mails = (gave_up.stderr + &back.stderr).replace(&place, "");
    assert_eq!(shape(&stage, &mails), shape(&stage, &said));
}

#[test]
fn what_is_asked_is_what_is_quoted() {
    let stage = Stage::new();
    let scene = &stage.scene;
    scene.start_actor(&["sleep"]);
    let said = quoted("docs/running.md", "Process name: ");
    let mut terminal = Terminal::new();
    let watchdog = terminal.start(scene, stage.shell("exec watchdog", "-c"));
    for line in said.lines() {
        let line = stage.names.replace_all(line, scene.name());
        match Regex::new(r"^([A-Z][a-z ]+(?: \[\w+\])?:)(?: (.+))?$").unwrap().captures(&line) {
            Some(found) if &found[1] != "To run this again without questions:" => {
                terminal.expect(&regex_lite::escape(&found[1]));
                terminal.enter(found.get(2).map_or("", |answer| answer.as_str()));
            }
            _ => {
                let line = regex_lite::escape(line.trim()).replace("18", r"\d+");
                terminal.expect(&line.replace("/usr/local/bin/watchdog", r"\S*watchdog"));
            }
        }
    }
    scene.wait_for("^INFO watching ");
    watchdog.terminate();
}

#[test]
fn what_is_wrong_with_a_file_is_what_is_quoted() {
    let stage = Stage::new();
    fs::write(stage.scene.path("etc/bad.toml"), "proces_name = 'x'\nexact = 1\nmax_fail_count = 0\n")
        .unwrap();
    let ended = stage.run("watchdog --config /etc/watchdog/bad.toml");
    let said = quoted("docs/configuration.md", "bad.toml");
    assert_eq!(ended.stderr.replace(&stage.scene.path("etc").display().to_string(), "/etc/watchdog"), said);
}

#[test]
fn what_is_said_of_several_names_is_what_is_quoted() {
    let stage = Stage::new();
    let scene = &stage.scene;
    scene.start_actor(&["sleep"]);
    let other = format!("{}-p", scene.name());
    let pid = scene.start_child(&scene.link_actor(&other), &["sleep"]);
    let dry = scene.wait_until("both match", || {
        let dry = DryRun::of(scene.watchdog());
        (dry.matching().len() == 2).then_some(dry)
    });
    let said = quoted("docs/matching.md", "several names");
    let said = said.trim().replace("docker-proxy", &other);
    assert_eq!(shape(&stage, &dry.warnings()), shape(&stage, &said));
    send(pid, SIGKILL);
}

#[test]
fn the_columns_of_status_are_those_that_are_shown() {
    let stage = Stage::new();
    stage.play_once();
    let ended = stage.run("watchdog status");
    let head = ended.stdout.lines().next().unwrap();
    for page in ["README.md", "docs/running.md"] {
        let shown = quoted(page, "NAME     STATE");
        let between = Regex::new("  +").unwrap();
        for column in between.split(shown.lines().next().unwrap()) {
            assert!(
                between.split(head).any(|it| it == column),
                "{page}: there is no column {column}: {ended}"
            );
        }
    }
}
