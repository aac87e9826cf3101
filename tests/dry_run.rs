//! `--dry-run`: what is found, what nearly is, what would be done; and nothing is done.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal::SIGKILL;
use regex_lite::Regex;
use watchdog::parts::{Place, row};

use crate::follow::age;
use crate::harness::{Captured, Ended, Invocation, Scene};
use crate::machine::{program, send};
use crate::terminal::Terminal;

/// What a dry run has written into a pipe.
pub struct DryRun {
    pub ended: Ended,
    rows: Vec<Vec<String>>,
}

impl DryRun {
    #[track_caller]
    pub fn of(watchdog: Invocation) -> Self {
        let ended = watchdog.flag("--dry-run").run();
        let rows = ended.stdout.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
        DryRun { ended, rows }
    }

    /// The rows of this kind, without the kind.
    pub fn rows(&self, kind: &str) -> impl Iterator<Item = &[String]> {
        self.rows.iter().filter(move |row| row[0] == kind).map(|row| &row[1..])
    }

    fn pids(&self, kind: &str) -> impl Iterator<Item = (i32, &[String])> {
        self.rows(kind).map(|row| (row[0].parse().unwrap(), row))
    }

    /// What matches, the one to follow first.
    pub fn matching(&self) -> Vec<i32> {
        self.pids("match").map(|(pid, _)| pid).collect()
    }

    /// Why this process does not count, if it is a near miss.
    pub fn why_not(&self, pid: i32) -> Option<&str> {
        self.pids("near").find(|(near, _)| *near == pid).map(|(_, row)| row[4].as_str())
    }

    /// What would be done; it is one row.
    #[track_caller]
    pub fn would(&self) -> &str {
        let rows: Vec<_> = self.rows("would").collect();
        let [[would]] = rows[..] else { panic!("not one row: {rows:?} {}", self.ended) };
        would
    }

    pub fn warnings(&self) -> String {
        self.rows("warning").map(|row| row.join("\t")).collect::<Vec<_>>().join("\n")
    }

    #[track_caller]
    pub fn assert_found(&self, pid: i32) {
        assert_eq!(
            (self.ended.code(), self.matching().contains(&pid)),
            (Some(0), true),
            "{pid}: {}",
            self.ended
        );
    }

    /// This process alone is the reason that nothing is found.
    #[track_caller]
    pub fn assert_near(&self, pid: i32, why: &str) {
        assert_eq!((self.ended.code(), self.why_not(pid)), (Some(1), Some(why)), "{pid}: {}", self.ended);
        assert_eq!(self.matching(), Vec::<i32>::new(), "{}", self.ended);
    }
}

#[test]
fn what_runs_would_be_followed() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let dry = DryRun::of(scene.watchdog());
    assert_eq!((dry.ended.code(), dry.matching()), (Some(0), vec![pid]), "{}", dry.ended);
    let [row] = dry.rows("match").collect::<Vec<_>>()[..] else { panic!("{}", dry.ended) };
    let [_, user, started, name, command_line] = row else { panic!("{row:?}") };
    assert_eq!(name, scene.name());
    assert_eq!(*command_line, format!("{} sleep", scene.path(scene.name()).display()));
    let me = nix::unistd::geteuid();
    let mine = nix::unistd::User::from_uid(me).unwrap().map_or_else(|| me.to_string(), |me| me.name);
    assert_eq!(*user, mine, "a name, or the number of who has none");
    let started = chrono::DateTime::parse_from_rfc3339(started).unwrap();
    let age = chrono::Local::now().signed_duration_since(started).num_seconds();
    assert!((-2..60).contains(&age), "{age} s: {started}");
    assert_eq!(dry.would(), format!("follow {} (pid {pid}); start nothing", scene.name()));
    assert_eq!((dry.warnings().as_str(), dry.ended.stderr.as_str()), ("", ""), "{}", dry.ended);
    let once = DryRun::of(scene.watchdog().flag("--once"));
    assert_eq!(once.would(), format!("start nothing: running: {} (pid {pid})", scene.name()));
}

/// A process may change between two looks: this one takes the name and leaves it for a near one all the time.
#[test]
fn what_is_shown_is_what_is_decided_by() {
    let scene = Scene::new();
    let mut command = program("sh");
    let text = "while :; do echo \"$0\" >/proc/$$/comm; echo \"$1\" >/proc/$$/comm; done";
    command.args(["-c", text, scene.name(), &scene.name().to_uppercase()]);
    let changing = scene.spawn(command, Captured::All);
    let (mut rounds, mut met) = (0, BTreeSet::new());
    scene.wait_until("it was met with its name and without", || {
        let dry = DryRun::of(scene.watchdog());
        let is_shown = !dry.matching().is_empty();
        assert_eq!(dry.ended.code(), Some(i32::from(!is_shown)), "{}", dry.ended);
        assert_eq!(dry.would().starts_with("follow "), is_shown, "{}", dry.ended);
        assert!(!(is_shown && dry.why_not(changing.pid()).is_some()), "{}", dry.ended);
        rounds += 1;
        met.insert(is_shown);
        (rounds >= 20 && met.len() == 2).then_some(())
    });
}

#[test]
fn what_is_missing_would_be_started_and_nothing_is_done() {
    let scene = Scene::new();
    let dry = DryRun::of(scene.watchdog().with("--start-command", "touch \"$HERE/harm\""));
    assert_eq!((dry.ended.code(), dry.matching()), (Some(1), vec![]), "{}", dry.ended);
    assert_eq!(dry.would(), "not running; start it with: touch \"$HERE/harm\"");
    for file in ["harm", "state", "log", "home"] {
        assert!(!scene.path(file).exists(), "{file}: {}", dry.ended);
    }
    // Nor is it in the way of a running watchdog, or refused because of one.
    let watchdog = scene.watchdog().spawn();
    let pid = scene.wait_running();
    let dry = DryRun::of(scene.watchdog());
    dry.assert_found(pid);
    watchdog.wait_checks(3);
    assert_eq!((scene.starts(), scene.all()), (1, vec![pid]), "{}", scene.story());
}

/// All that is kept of the watches of a scene.
fn kept(scene: &Scene) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(scene.path("state")).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn what_is_paused_or_given_up_would_not_be_started() {
    let scene = Scene::new();
    let name = scene.name();
    let line = || scene.watchdog().with("--max-fail-count", "1").starting("false");
    let would = |line: Invocation, said: &str| {
        let before = kept(&scene);
        let dry = DryRun::of(line);
        assert!(Regex::new(&format!("^{said}$")).unwrap().is_match(dry.would()), "{said}: {}", dry.ended);
        assert_eq!(dry.ended.code(), Some(1), "{}", dry.ended);
        assert_eq!(kept(&scene), before, "it only looks");
    };
    let resume = format!("watchdog resume {name} --state-dir {}", scene.path("state").display());
    let given_up =
        format!(r"start nothing: not running, but gave up; next try in 9m 5\ds; to try now: {resume}");
    let starts = "not running; start it with: .*";
    for flags in [&["--once"][..], &[]] {
        let line = || flags.iter().fold(line(), |line, flag| line.flag(flag));
        assert_eq!(line().run().code(), Some(1), "it is given up: {}", scene.story());
        would(line(), &given_up);
        would(line().with("--stable-after", "7"), starts);
        scene.say(&["pause", name]);
        let paused = format!("paused until '{resume}' or a reboot");
        would(line(), &format!("start nothing: not running, but {paused}"));
        scene.say(&["pause", name, "--for", "30m"]);
        let paused = format!(r"paused for another 29m \d+s; to end the pause: {resume}");
        would(line(), &format!("start nothing: not running, but {paused}"));
        scene.say(&["resume", name]);
        would(line(), starts);
    }
    // Somebody who begins a watch in a terminal means it.
    assert_eq!(line().run().code(), Some(1));
    would(line(), &given_up);
    let mut terminal = Terminal::new();
    let watchdog = terminal.start(&scene, line().flag("--dry-run").command());
    terminal.expect("not running; start it with: ");
    assert_eq!(watchdog.ends().code(), Some(1));
}

/// A master that died alone has left a worker, which is not it.
#[test]
fn what_is_left_over_would_not_be_followed() {
    let scene = Scene::new();
    let line = || scene.watchdog().starting("false").with("--max-fail-count", "1");
    let master = scene.start_actor(&["sleep"]);
    let mut worker = program(scene.path(scene.name()));
    worker.arg0("worker").arg("sleep");
    let worker = scene.spawn(worker, Captured::All);
    scene.wait_until("both are there", || (scene.all().len() == 2).then_some(()));
    // A start is known to the tick only: a worker of this moment could have started after the look.
    let is_older = || age(worker.pid()) > Duration::from_millis(30);
    scene.wait_until("the worker is older than a tick", || is_older().then_some(()));
    assert_eq!(line().flag("--once").run().code(), Some(0), "{}", scene.story());
    assert_eq!(scene.state()["process"]["pid"], master);
    send(master, SIGKILL);
    scene.wait_gone(master);
    for line in [line(), line().flag("--once")] {
        let dry = DryRun::of(line);
        dry.assert_near(worker.pid(), "left over from the dead process");
        assert!(dry.would().starts_with("not running; start it with: "), "{}", dry.ended);
    }
    // And so it is.
    assert_eq!(line().flag("--once").run().code(), Some(1), "{}", scene.story());
    scene.wait_for(&format!(
        r"^WARN left over from the dead process, not counted: .*\(pid {}\)",
        worker.pid()
    ));
    // A run beside one that waits to start can tell too.
    let watchdog = line().starting("sleep 250").with("--stable-after", "7").spawn();
    scene.wait_until("it starts", || (scene.starts() == 2).then_some(()));
    assert_eq!(line().flag("--once").run().code(), Some(5), "{}", scene.story());
    watchdog.terminate();
}

#[test]
fn a_second_watchdog_would_end() {
    let scene = Scene::new();
    let (name, first) = (scene.name(), scene.watchdog().starting("sleep 250").spawn());
    scene.wait_for("not running; starting it");
    let has_word = || scene.kept("json").exists() && !scene.state()["command"].is_null();
    scene.wait_until("its state says so", || has_word().then_some(()));
    let (before, pid) = (kept(&scene), first.pid());
    let busy = format!(
        "exit with status 4: pid {pid} already watches '{name}'; for another process, add --name {name}-2"
    );
    let line = || scene.watchdog().starting("sleep 250");
    for (line, said) in [
        (line(), &format!("exit at once: pid {pid} already watches '{name}'")),
        (line().with("--max-fail-count", "7"), &busy),
        (
            line().flag("--once"),
            &format!("start nothing: not running, but pid {pid} already watches '{name}'"),
        ),
    ] {
        let dry = DryRun::of(line);
        assert_eq!((dry.would(), dry.ended.code()), (said.as_str(), Some(1)), "{}", dry.ended);
    }
    let mut terminal = Terminal::new();
    let second = terminal.start(&scene, line().flag("--dry-run").command());
    terminal.expect(&busy);
    assert_eq!(second.ends().code(), Some(1));
    assert_eq!(kept(&scene), before, "it only looks");
    // Cut off, it leaves its start command running, and the next one waits for that.
    let command = scene.state()["command"]["pid"].to_string();
    first.send(SIGKILL);
    first.ends();
    let wait = || {
        let dry = DryRun::of(line());
        let said = format!("wait: not running, and the start command runs already (pid {command})");
        assert_eq!(dry.would(), said, "{}", dry.ended);
    };
    wait();
    // Nor does the next one forget it.
    let next = line().spawn();
    scene.wait_for(r"has been running for .*waiting for it");
    next.send(SIGKILL);
    next.ends();
    wait();
}

/// Whoever cut it off has decided nothing (rule 29).
#[test]
fn a_give_up_that_was_cut_off_is_not_forgotten() {
    let scene = Scene::new();
    let line =
        || scene.watchdog().with("--max-fail-count", "1").with("--retry-after", "10m").starting("false");
    let by_systemd = |line: Invocation| {
        let mut command = line.command();
        command.env("INVOCATION_ID", "0123456789abcdef0123456789abcdef");
        scene.spawn(command, Captured::All)
    };
    let watchdog = by_systemd(line());
    let given_up = || scene.kept("json").exists() && !scene.state()["memory"]["gave_up_until_ms"].is_null();
    scene.wait_until("it is given up", || given_up().then_some(()));
    watchdog.send(SIGKILL);
    watchdog.ends();
    let dry = by_systemd(line().flag("--dry-run")).ends();
    assert!(dry.stdout.contains("not running, but gave up; next try in 9m 5"), "{dry}");
    assert_eq!(dry.code(), Some(1));
}

#[test]
fn each_setting_is_shown_with_its_source() {
    let scene = Scene::new();
    let file = scene.path("it.toml");
    fs::write(
        &file,
        "restart_wait_interval = \"7s\"\nuser = \"root\"\nmax_fail_count = 4\nexit_codes = [3, 0]\n",
    )
    .unwrap();
    let dry = DryRun::of(
        scene
            .watchdog()
            .without("--restart-wait-interval")
            .without("--after-stop")
            .with("--config", &file)
            .with("--max-fail-count", "9")
            .flag("--exact")
            .flag("--once"),
    );
    let shown: BTreeMap<_, _> =
        dry.rows("setting").map(|row| (row[0].as_str(), (row[1].as_str(), row[2].as_str()))).collect();
    assert_eq!(shown.len(), dry.rows("setting").count(), "each once: {}", dry.ended);
    let typed = "command line";
    let folder = |name| scene.path(name).into_os_string().into_string().unwrap();
    let (state, log) = (folder("state"), folder("log"));
    for (key, value, source) in [
        ("process_name", scene.name(), typed),
        ("exact", "yes", typed),
        ("full", "no", "default"),
        ("pid_namespace", "own", "default"),
        ("start_timeout", "100s", "default"),
        ("health_check_interval", "0.1", typed),
        ("max_fail_count", "9", typed),
        ("stable_after", "60s", "default"),
        ("restart_delay", "0.05", typed),
        ("after_stop", "3s", "default"),
        ("once", "yes", typed),
        ("state_dir", &state, typed),
        ("log_dir", &log, typed),
        ("log_max_size", "1MiB", "default"),
        ("log_max_files", "5", "default"),
    ] {
        assert_eq!(shown.get(key), Some(&(value, source)), "{key}: {}", dry.ended);
    }
    for (key, value, line) in
        [("restart_wait_interval", "7s", 1), ("user", "root", 2), ("exit_codes", "[0,3]", 4)]
    {
        let (shown, source) = shown[key];
        let place = source.contains("it.toml") && source.contains(&line.to_string());
        assert!(shown == value && place, "{key}: {}", dry.ended);
    }
    assert!(shown["start_command"].0.starts_with("echo"), "{}", dry.ended);
    // Every long option that is a setting is among them.
    let help = scene.watchdog().flag("--help").run().stdout;
    let options = Regex::new(r"--([a-z-]+)").unwrap();
    let options: BTreeSet<_> = options.captures_iter(&help).map(|found| found[1].replace('-', "_")).collect();
    let is_of_file = |key: &str| row(key).is_some_and(|row| row.place == Place::File);
    for key in shown.keys().filter(|key| !is_of_file(key)) {
        assert!(options.contains(*key), "{key} is no option: {options:?}");
    }
    for option in ["process_name", "retry_after", "user", "name", "no_input"] {
        assert!(options.contains(option), "{option}: {help}");
    }
}

#[test]
fn hostile_bytes_reach_nobody_s_terminal_and_forge_no_row() {
    let scene = Scene::new();
    let mut command = program(scene.path(scene.name()));
    command.arg("neglect").arg(scene.path(scene.name())).arg("sleep");
    let command_line = "x\nwould\tnothing\u{1b}[31m\u{202e}\u{2028}";
    command.arg0(command_line);
    let parent = scene.spawn(command, Captured::All);
    scene.wait_until("both are there", || (scene.all().len() == 2).then_some(()));
    let dry = DryRun::of(scene.watchdog());
    assert!(dry.would().starts_with("follow"), "{}", dry.ended);
    let [_, .., shown] = dry.rows("match").next().unwrap() else { panic!("{}", dry.ended) };
    assert_eq!(dry.matching()[0], parent.pid());
    assert!(shown.starts_with("x would?nothing?[31m\\u{202e}\\u{2028} neglect"), "{shown:?}");
    // The same from the command line itself.
    let dry =
        DryRun::of(scene.watchdog().with("--start-command", "true\nwould\tnothing\u{1b}[0m").flag("--exact"));
    assert_eq!(dry.rows("would").count(), 1, "{}", dry.ended);
    assert!(!dry.ended.stdout.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{}", dry.ended);
}

#[test]
fn in_a_terminal_it_is_in_columns() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    scene.start_actor(&["ignore-term"]);
    let mut terminal = Terminal::new();
    let command = scene.watchdog().flag("--dry-run").command();
    let watchdog = terminal.start(&scene, command);
    let text = terminal.expect(r"(?s)Settings.*start nothing\n");
    assert_eq!(watchdog.ends().code(), Some(0), "{text}");
    assert!(!text.contains(['\t', '\u{1b}']), "{text}");
    let lines: Vec<_> = text.lines().collect();
    let title = lines.iter().position(|line| line.starts_with("Processes that match")).unwrap();
    let [head, first, second] = lines[title + 1..title + 4] else { panic!("{text}") };
    for (column, values) in [("NAME", [scene.name(); 2]), ("COMMAND LINE", ["/"; 2])] {
        let at = head.find(column).unwrap();
        assert!(
            [first, second]
                .iter()
                .zip(values)
                .all(|(line, value)| line[at..].starts_with(value) && line[..at].ends_with(' ')),
            "{column}:\n{text}"
        );
    }
    // Of the settings, those that are not as by default; where they come from stands below each other.
    let (settings, _) = text.split_once("\n\n").unwrap();
    let shown: Vec<_> =
        settings.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    let changed =
        ["process_name", "start_command", "health_check_interval", "restart_wait_interval", "restart_delay"];
    assert_eq!(shown, [&changed[..], &["after_stop", "state_dir", "log_dir"]].concat(), "{text}");
    let setting = |key: &str| *lines.iter().find(|line| line.trim_start().starts_with(key)).unwrap();
    let column = |line: &str| line.find("command line").unwrap();
    assert_eq!(column(setting("after_stop")), column(setting("restart_delay")), "{text}");
    // What is long has a row that is long, and makes no other so.
    assert!(column(setting("after_stop")) < 60, "{text}");
}

#[test]
fn no_text_is_too_wide_for_a_column() {
    let scene = Scene::new();
    let mut terminal = Terminal::new();
    let command = scene.watchdog().starting(&format!("true {}", "x".repeat(70_000))).flag("--dry-run");
    let watchdog = terminal.start(&scene, command.command());
    let text = terminal.expect(r"(?s)Settings.*not running; start it with: [^\n]*x\r?\n");
    assert_eq!(watchdog.ends().code(), Some(1));
    // That one row is too long makes no other so.
    let row = text.lines().find(|line| line.trim_start().starts_with("restart_delay")).unwrap();
    assert!(row.trim_end().ends_with("command line") && row.len() < 80, "{row}");
}

#[test]
fn an_unknown_user_is_an_error() {
    let scene = Scene::new();
    for (flag, user) in [("--dry-run", "nobody-of-that-name"), ("--once", "nobody-of-that-name")] {
        let ended = scene.watchdog().with("--user", user).flag(flag).run();
        assert_eq!((ended.code(), scene.starts(), ended.stdout.as_str()), (Some(2), 0, ""), "{ended}");
        assert!(ended.stderr.contains("--user") && ended.stderr.contains(user), "{ended}");
    }
    // A number needs no name.
    let dry = DryRun::of(scene.watchdog().with("--user", "3999999999"));
    assert_eq!(dry.ended.code(), Some(1), "{}", dry.ended);
}

#[test]
fn a_pattern_that_cannot_be_meant_is_warned_of() {
    let scene = Scene::new();
    let own_text = format!("start-{}", scene.name());
    for (pattern, full, said) in [
        ("/usr/sbin/nginx", false, "use nginx, or add --full"),
        ("a\tb", false, "use . for them"),
        (&"x".repeat(256), false, "add --full"),
        ("nginx: master process", false, "add --full"),
        (&own_text, true, "also matches the start command"),
    ] {
        let mut watchdog =
            scene.watchdog().with("--process-name", pattern).with("--start-command", &own_text);
        if full {
            watchdog = watchdog.flag("--full");
        }
        let dry = DryRun::of(watchdog.clone().with("--name", scene.name()));
        assert!(dry.warnings().contains(said), "{pattern}: {}", dry.ended);
        let watchdog = watchdog.with("--max-fail-count", "1").with("--name", scene.name()).spawn();
        let said: String =
            said.chars().flat_map(|c| if c == '.' { vec!['\\', c] } else { vec![c] }).collect();
        scene.wait_for(&format!("^WARN .*{said}"));
        drop(watchdog);
        fs::remove_dir_all(scene.path("log")).unwrap();
        let _ = fs::remove_dir_all(scene.path("state"));
    }
    for pattern in ["nginx", "containerd-shim-runc-v2", "^/x", "a b"] {
        let dry = DryRun::of(scene.watchdog().with("--process-name", pattern).with("--name", scene.name()));
        assert!(!dry.warnings().contains("never"), "{pattern}: {}", dry.ended);
    }
}
