//! A watchdog under test: how it is called, who starts it again, and what is known of it.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::health::{Condition, History};
use crate::holds::Plan;
use crate::parts::{Behaviour, WORLD};
use crate::processes::spawn;

/// The settings of all of them: short, so that much happens in a minute.
pub const HEALTH_CHECK_INTERVAL: Duration = Duration::from_millis(200);
pub const RESTART_WAIT_INTERVAL: Duration = Duration::from_secs(1);
pub const RESTART_DELAY: Duration = Duration::from_millis(50);
pub const STABLE_AFTER: Duration = Duration::from_secs(2);
pub const START_TIMEOUT: Duration = Duration::from_secs(4);
pub const RETRY_AFTER: Duration = Duration::from_secs(2);
pub const MAX_FAIL_COUNT: u32 = 3;
pub const PROBE_FAILURES: u32 = 3;
/// It leaves a child that holds its output; then it hangs, fails or floods.
const HOOK: &str = "sleep 20 & case $(od -An -N1 -tu1 /dev/urandom) in *[0-3]) sleep 100; true;; \
    *[4-6]) exit 3;; *) yes | head -c 3000000;; esac";
/// The pretend cron's minute.
pub const CRON_INTERVAL: Duration = Duration::from_secs(1);
/// The user that an ordinary user's watchdog is of: nobody's number on most systems.
const ORDINARY_USER: u32 = 65534;

/// How it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By a service manager, which starts it again when it has ended.
    Service,
    /// By cron, with `--once`.
    Once,
    /// By cron, without: the first one stays.
    Line,
}

/// What a configuration file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// The same as the other watchdogs' command lines.
    Right,
    /// Another time, which is as good.
    Changed,
    /// What is no time.
    Wrong,
}

/// What sets one watchdog apart from the others.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools)] // each stands for itself
pub struct Character {
    pub word: &'static str,
    pub mode: Mode,
    /// The start command becomes the process.
    pub stays: bool,
    /// With `--retry-after`.
    pub retries: bool,
    /// By a configuration file.
    pub configured: bool,
    /// It is an ordinary user's.
    pub ordinary: bool,
    /// With `--probe`.
    pub probed: bool,
    /// With a hook, which hangs, fails or floods.
    pub hooked: bool,
    /// Its file has something that holds it now and then, and it depends on the one that is `needed`.
    pub held: bool,
    /// Nothing else happens to it than that it is paused.
    pub needed: bool,
    /// Its watchdog is never ended, so that what grows in it shows.
    pub veteran: bool,
}

const SERVICE: Character = Character {
    word: "service",
    mode: Mode::Service,
    stays: false,
    retries: true,
    configured: false,
    ordinary: false,
    probed: false,
    hooked: false,
    held: false,
    needed: false,
    veteran: false,
};

/// All of them.
pub const CHARACTERS: [Character; 13] = [
    SERVICE,
    Character { word: "veteran", veteran: true, ..SERVICE },
    Character { word: "stays", stays: true, hooked: true, ..SERVICE },
    Character { word: "ends", retries: false, ..SERVICE },
    Character { word: "file", configured: true, hooked: true, ..SERVICE },
    Character { word: "once", mode: Mode::Once, ..SERVICE },
    Character { word: "line", mode: Mode::Line, retries: false, ..SERVICE },
    Character { word: "user", ordinary: true, hooked: true, ..SERVICE },
    Character { word: "probed", probed: true, retries: false, ..SERVICE },
    Character { word: "mixed", probed: true, retries: false, stays: true, ..SERVICE },
    Character { word: "checked", probed: true, mode: Mode::Once, ..SERVICE },
    Character { word: "held", held: true, configured: true, stays: true, ..SERVICE },
    Character { word: "needed", needed: true, ..SERVICE },
];

/// One of the hundreds that are there for a moment.
pub const ONE_OF_MANY: Character = SERVICE;

/// The directories of a watchdog's logs and state.
#[derive(Debug, Clone)]
pub struct Places {
    pub logs: PathBuf,
    pub state: PathBuf,
}

/// What the soak has done to it or knows of it, against which its start commands are held.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // each stands for itself
pub struct Known {
    /// Its state may not have been written, or may be wrong, since the last time that all was well.
    pub forgetful: bool,
    /// Its configuration file is wrong.
    pub misconfigured: bool,
    /// It was started since.
    pub restarted: bool,
    /// Other runs of the same name were started beside it since.
    pub beside: bool,
    /// Something was taken from it with which a start command could have begun unseen.
    pub starved: bool,
    /// It was given more time than usual to be well again.
    pub patience: Duration,
    /// The times in which it was stopped by SIGSTOP.
    pub stops: Vec<(Duration, Duration)>,
    /// The last pause, and its end.
    pub pause: Option<(Duration, Option<Duration>)>,
    /// The last time in which something else held it.
    pub hold: Option<(Duration, Option<Duration>)>,
    /// Stops that the ends of its windows and its versions may still bring.
    pub stops_due: u32,
    /// Its file has changed, which a watchdog without descriptors may not have read.
    pub owed_reload: bool,
    /// Its state's folder is another user's: what is said there is not heeded.
    pub unheeded: bool,
    /// It could not be told to begin anew.
    pub owed_resume: bool,
    /// When it was last told to begin anew.
    pub resumed: Option<Duration>,
    /// When its process was killed, where nothing else has happened to it.
    pub killed: Option<Duration>,
    /// When its last start command was forked.
    pub last_start: Option<Duration>,
    /// Attempts that had to fail, since there was a reason to begin anew.
    pub failing: u32,
    /// Attempts since it was last told to begin anew.
    pub attempts: u32,
    /// What is known of its health, and of what was asked for.
    pub health: History,
}

/// What one of its watchdogs had when it was first seen at rest.
#[derive(Debug, Clone, Copy)]
pub struct Baseline {
    pub pid: i32,
    pub descriptors: usize,
    pub memory: u64,
    pub looks: u32,
}

/// A watchdog under test.
#[derive(Debug)]
pub struct Instance {
    pub name: String,
    pub character: Character,
    pub places: Places,
    pub known: Known,
    pub baseline: Option<Baseline>,
    /// The processes that run: one of a service, any number from cron.
    pub runs: Vec<(i32, Mode)>,
    /// Those whose end is the soak's doing.
    pub pardoned: HashSet<i32>,
    /// When whoever starts it does so next.
    pub due: Duration,
    /// When it should run, as its file says.
    pub plan: Plan,
    /// What a time namespace of its own adds to its clock.
    pub time_offset: Option<Duration>,
    world: PathBuf,
}

impl Instance {
    /// One that has not been started yet.
    pub fn new(world: &Path, prefix: &str, character: Character, places: Places) -> Self {
        let name = format!("{prefix}{}", character.word);
        let _ = fs::remove_file(world.join("bin").join(&name));
        std::os::unix::fs::symlink("soak", world.join("bin").join(&name)).expect("a link");
        let instance = Instance {
            name,
            character,
            places,
            known: Known::default(),
            baseline: None,
            runs: Vec::new(),
            pardoned: HashSet::new(),
            due: Duration::ZERO,
            plan: Plan::Always,
            time_offset: None,
            world: world.to_owned(),
        };
        instance.behave(Behaviour::Good);
        // It notes signals, too.
        if character.probed || character.held {
            Condition::Good.write(world, &instance.name);
        }
        instance.configure(File::Right);
        instance
    }

    /// Whether it is run from cron.
    pub fn is_from_cron(&self) -> bool {
        self.character.mode != Mode::Service
    }

    /// Its next start commands behave so.
    pub fn behave(&self, behaviour: Behaviour) {
        let path = self.world.join("behaviour");
        let new = path.join(format!("{}.new", self.name));
        fs::write(&new, behaviour.word()).expect("a behaviour");
        fs::rename(new, path.join(&self.name)).expect("a behaviour");
    }

    /// Writes its configuration file.
    pub fn configure(&self, file: File) {
        let line = |(key, value): (&str, String)| match (key, file) {
            ("after_stop", File::Changed) => format!("{key} = '200ms'\n"),
            ("after_stop", File::Wrong) => format!("{key} = 'soon'\n"),
            _ => format!("{key} = '{value}'\n"),
        };
        let settings = self.settings().into_iter();
        let settings = settings.filter(|(key, _)| !(*key == "start_command" && self.plan == Plan::NotYet));
        let plan = if self.character.held { self.plan.lines(self) } else { String::new() };
        let rest = format!("exact = true\nno_input = true\n{plan}");
        let text: String = settings.map(line).chain([rest]).collect();
        fs::write(self.config(), text).expect("a configuration");
    }

    fn config(&self) -> PathBuf {
        self.world.join("config").join(format!("{}.toml", self.name))
    }

    pub fn start_command(&self) -> String {
        let stays = if self.character.stays { "stays" } else { "returns" };
        format!("exec \"$SOAK_WORLD/bin/soak\" start {} {stays}", self.name)
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let time = |time: Duration| format!("{}ms", time.as_millis());
        let mut settings = vec![
            ("process_name", self.name.clone()),
            ("name", self.name.clone()),
            ("start_command", self.start_command()),
            ("health_check_interval", time(HEALTH_CHECK_INTERVAL)),
            ("restart_wait_interval", time(RESTART_WAIT_INTERVAL)),
            ("max_fail_count", MAX_FAIL_COUNT.to_string()),
            ("stable_after", time(STABLE_AFTER)),
            ("restart_delay", time(RESTART_DELAY)),
            ("after_stop", "300ms".to_owned()),
            ("start_timeout", time(START_TIMEOUT)),
            ("log_max_size", "16KiB".to_owned()),
            ("log_max_files", "3".to_owned()),
            ("state_dir", self.places.state.display().to_string()),
            ("log_dir", self.places.logs.display().to_string()),
        ];
        if self.character.probed {
            let probe = format!("exec \"$SOAK_WORLD/bin/soak\" probe {}", self.name);
            let kill_mode = if self.character.stays { "mixed" } else { "process" };
            settings.extend([
                ("probe", probe),
                ("probe_interval", "200ms".to_owned()),
                ("probe_timeout", "1s".to_owned()),
                ("probe_start_period", "0ms".to_owned()),
                ("probe_failures", PROBE_FAILURES.to_string()),
                ("stop_timeout", "1s".to_owned()),
                ("kill_mode", kill_mode.to_owned()),
            ]);
        }
        if self.character.hooked {
            settings.push(("hook", HOOK.to_owned()));
        }
        if self.character.retries {
            settings.push(("retry_after", time(RETRY_AFTER)));
        }
        settings
    }

    /// The command line of a run in this `mode`.
    fn command(&self, mode: Mode) -> Command {
        let watchdog = self.world.join("bin/watchdog");
        let mut command = if let Some(offset) = self.time_offset {
            let mut command = Command::new("unshare");
            command.arg("--time").arg("--boottime").arg(offset.as_secs().to_string()).arg(watchdog);
            command
        } else {
            Command::new(watchdog)
        };
        if self.character.configured {
            command.arg("--config").arg(self.config());
        } else {
            for (key, value) in self.settings() {
                command.arg(format!("--{}", key.replace('_', "-"))).arg(value);
            }
            command.args(["--exact", "--no-input"]);
        }
        if mode == Mode::Once {
            command.arg("--once");
        }
        if mode == Mode::Service {
            command.env("INVOCATION_ID", "soak");
        } else {
            command.env_remove("INVOCATION_ID");
        }
        if self.character.ordinary {
            command.uid(ORDINARY_USER).gid(ORDINARY_USER);
        }
        let errors = OpenOptions::new().create(true).append(true).open(self.errors()).expect("a file");
        command.env(WORLD, &self.world).env_remove("JOURNAL_STREAM").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        command
    }

    /// What its watchdogs write to standard error.
    pub fn errors(&self) -> PathBuf {
        self.world.join("errors").join(&self.name)
    }

    /// Starts it as whoever is there to do it does.
    pub fn start(&mut self) {
        self.start_beside(self.character.mode);
    }

    /// Starts it in another mode, beside what there is.
    pub fn start_beside(&mut self, mode: Mode) {
        let pid = spawn(&mut self.command(mode));
        self.runs.push((pid, mode));
        self.pardoned.remove(&pid);
        self.known.restarted = true;
    }

    /// What `watchdog COMMAND` needs to know, to be about this one.
    pub fn say(&self, command: &str) -> Command {
        let mut words = Command::new(self.world.join("bin/watchdog"));
        words.arg(command).arg(&self.name).arg("--state-dir").arg(&self.places.state);
        if self.character.ordinary {
            words.uid(ORDINARY_USER).gid(ORDINARY_USER);
        }
        words
    }

    /// The state file as JSON, or what is wrong with it; `None` where there is none.
    pub fn state(&self) -> Option<Result<serde_json::Value, String>> {
        let text = fs::read(self.places.state.join(format!("{}.json", self.name))).ok()?;
        Some(serde_json::from_slice(&text).map_err(|error| error.to_string()))
    }

    /// Whether its state says that it was given up.
    pub fn is_given_up(&self) -> bool {
        let Some(Ok(state)) = self.state() else { return false };
        !state["memory"]["gave_up_until_ms"].is_null()
    }

    /// Its log files, the newest last.
    pub fn log_files(&self) -> Vec<PathBuf> {
        let older = (1..=3).rev().map(|number| format!("{}.log.{number}", self.name));
        older.chain([format!("{}.log", self.name)]).map(|name| self.places.logs.join(name)).collect()
    }

    /// The user whose it is.
    pub fn user(&self) -> u32 {
        if self.character.ordinary { ORDINARY_USER } else { 0 }
    }
}
