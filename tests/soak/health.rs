//! Hangs, failing and hanging probes, stops and requests; and what must hold of them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::exit;
use std::thread::{sleep, spawn};
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use signal_hook::consts::SIGTERM;
use signal_hook::low_level::emulate_default_handler;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::events::{Event, Undo};
use crate::holds;
use crate::instance::{MAX_FAIL_COUNT, PROBE_FAILURES, STABLE_AFTER};
use crate::ledger::{Note, What};
use crate::processes;
use crate::world::World;

/// What a process that is probed may take beyond others to be well: the rest of a stop, and a few probes.
pub const PATIENCE: Duration = Duration::from_secs(8);
/// From a look at what people say to the signal.
const LOOK_TO_SIGNAL: Duration = Duration::from_millis(500);
/// A request has an answer by then: it has 30 s to be taken, and as much more as it may take.
const ANSWER: Duration = Duration::from_secs(110);
/// Where it could not be written down that it is to start, it is said again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// What its probes find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Good,
    /// This process hangs, and heeds no SIGTERM if it is deaf.
    Hangs {
        process: i32,
        deaf: bool,
    },
    /// A process answers when it is so many milliseconds old.
    Slow(u64),
    /// Each probe fails.
    Wrong,
    /// Each one hangs.
    Endless,
    /// None can tell, each for another reason.
    Broken,
}

impl Condition {
    /// For the probes from now on.
    pub fn write(self, world: &Path, name: &str) {
        let text = match self {
            Condition::Good => "good".to_owned(),
            Condition::Hangs { process, deaf: false } => format!("hangs:{process}"),
            Condition::Hangs { process, deaf: true } => format!("deaf:{process}"),
            Condition::Slow(time) => format!("slow:{time}"),
            Condition::Wrong => "wrong".to_owned(),
            Condition::Endless => "endless".to_owned(),
            Condition::Broken => "broken".to_owned(),
        };
        let folder = world.join("health");
        let new = folder.join(format!("{name}.new"));
        fs::write(&new, text).expect("a condition");
        fs::rename(new, folder.join(name)).expect("a condition");
    }

    fn read(world: &Path, name: &str) -> Self {
        let text = fs::read_to_string(world.join("health").join(name)).unwrap_or_default();
        let (kind, number) = text.split_once(':').unwrap_or((&text, "0"));
        let process = number.parse().unwrap_or(0);
        match kind {
            "hangs" => Condition::Hangs { process, deaf: false },
            "deaf" => Condition::Hangs { process, deaf: true },
            "slow" => Condition::Slow(number.parse().unwrap_or(0)),
            "wrong" => Condition::Wrong,
            "endless" => Condition::Endless,
            "broken" => Condition::Broken,
            _ => Condition::Good,
        }
    }
}

/// Plays a probe.
pub fn probe(world: &Path, name: &str) {
    let process = std::env::var("WATCHDOG_PROCESS_PID").ok().and_then(|pid| pid.parse().ok()).unwrap_or(0);
    let processes = processes::Processes::new(&world.join("proc"));
    let clock = Clock::new(&world.join("proc"));
    let me = nix::unistd::getpid().as_raw();
    let note = |says: &str| {
        let what = What::Probe { process, says: says.to_owned() };
        let note = Note { instance: name.to_owned(), pid: me, at: clock.now(), what };
        note.append(&world.join("ledger")).expect("a ledger");
    };
    let end = |says, status| {
        note(says);
        exit(status)
    };
    note("begins");
    let age = processes.one(process).map_or(Duration::ZERO, |live| clock.now().saturating_sub(live.started));
    match Condition::read(world, name) {
        Condition::Hangs { process: hung, .. } if hung == process => sleep(Duration::from_secs(100)),
        Condition::Endless => sleep(Duration::from_secs(100)),
        Condition::Wrong => end("bad", 1),
        Condition::Slow(time) if age < Duration::from_millis(time) => end("bad", 1),
        Condition::Broken => match me % 3 {
            0 => end("unknown", 75),
            1 => end("unknown", 127),
            _ => {
                note("unknown");
                let _ = raise(Signal::SIGKILL);
            }
        },
        Condition::Good | Condition::Slow(_) | Condition::Hangs { .. } => end("good", 0),
    }
}

/// As the process `name`, if that is probed: notes each SIGTERM, and heeds it unless it is deaf.
pub fn note_signals(world: &Path, name: &str) {
    if !world.join("health").join(name).exists() {
        return;
    }
    let (world, name) = (world.to_owned(), name.to_owned());
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM]).expect("signals");
    spawn(move || {
        let (clock, me) = (Clock::new(&world.join("proc")), nix::unistd::getpid().as_raw());
        for signal in &mut signals {
            let note = Note { instance: name.clone(), pid: me, at: clock.now(), what: What::Told };
            let _ = note.append(&world.join("ledger"));
            if Condition::read(&world, &name) != (Condition::Hangs { process: me, deaf: true }) {
                let _ = emulate_default_handler(signal);
            }
        }
    });
}

/// What is known of the health of an instance's processes, and of what was asked for.
#[derive(Debug, Default)]
pub struct History {
    /// Processes that the soak has sent a signal to.
    pub signalled: HashSet<i32>,
    /// Those that the watchdog has sent one to.
    stopped: HashSet<i32>,
    /// Of each process: failures in a row, and since when it is healthy.
    series: HashMap<i32, (u32, Option<Duration>)>,
    /// Stops for health since it was healthy for long enough, or told to begin anew.
    pub restarts: u32,
    /// Requests at work, with what is asked for and since when.
    requests: Vec<(i32, &'static str, Duration)>,
    /// When each was made that is over, and when it was.
    asked: Vec<(Duration, Duration)>,
    /// It is to be started again, and when that is said next.
    owed_start: Option<Duration>,
}

impl History {
    /// Whether somebody was asking for something at some time between two times.
    pub fn is_asked_for(&self, from: Duration, until: Duration) -> bool {
        self.requests.iter().any(|(.., since)| *since <= until)
            || self.asked.iter().any(|(since, end)| *since <= until && *end + LOOK_TO_SIGNAL >= from)
    }

    /// All is well: what was asked for is over.
    pub fn forget(&mut self) {
        self.asked.clear();
    }
}

impl World {
    /// Holds what probes and processes have noted against what may be done.
    pub fn read_health(&mut self, at: usize, note: &Note) {
        let now = note.at;
        let is_held = self.instances[at].character.held;
        let known = &mut self.instances[at].known;
        let health = &mut known.health;
        match &note.what {
            What::Probe { process, says } => {
                let (failures, since) = health.series.entry(*process).or_default();
                match says.as_str() {
                    "begins" => *failures += 1,
                    "unknown" => *failures = failures.saturating_sub(1),
                    "good" => {
                        *failures = 0;
                        if now >= *since.get_or_insert(now) + STABLE_AFTER {
                            health.restarts = 0;
                        }
                    }
                    _ => {}
                }
                if says == "bad" {
                    *since = None;
                }
            }
            What::Told if health.signalled.contains(&note.pid) || !health.stopped.insert(note.pid) => {}
            What::Told if health.is_asked_for(now, now) => {
                self.summary.checked("a process is stopped as somebody asked");
            }
            What::Told if is_held => holds::stopped(self, at, note.pid),
            What::Told => {
                let (failures, _) = health.series.get(&note.pid).copied().unwrap_or_default();
                health.restarts += 1;
                let (restarts, forgot) = (health.restarts, known.forgetful || known.starved || known.beside);
                let pause = known.pause.filter(|(from, until)| {
                    now > *from + LOOK_TO_SIGNAL && until.is_none_or(|until| now < until)
                });
                let was_frozen = pause.is_some_and(|(from, _)| {
                    known.stops.iter().any(|(stopped, let_go)| *stopped <= now && *let_go >= from)
                });
                self.summary.checked(
                    "a process is stopped for its health: failed often enough, seldom enough, and not paused",
                );
                let name = self.instances[at].name.clone();
                let mut wrong = Vec::new();
                if failures < PROBE_FAILURES {
                    wrong.push(format!("after {failures} probes that failed"));
                }
                if restarts > MAX_FAIL_COUNT {
                    wrong.push(format!("for the {restarts}th time"));
                }
                if pause.is_some() && !was_frozen && self.delay_of(now).is_zero() {
                    wrong.push("while it is paused".to_owned());
                }
                self.tell(&format!(
                    "{name} is stopped for its health: pid {}, {failures} failures",
                    note.pid
                ));
                for wrong in wrong {
                    if forgot {
                        self.summary.waived("a stop, after something was taken from the watchdog");
                    } else {
                        self.violated(format!("{name}: pid {} was stopped for its health {wrong}", note.pid));
                    }
                }
            }
            What::Began { .. } | What::Ended => {}
        }
    }

    /// Somebody asks for something.
    fn request(&mut self, at: usize, word: &'static str) {
        let now = self.clock.now();
        if word != "stop" {
            self.read_ledger();
            self.begins_anew(at);
            if let Some((_, until)) = &mut self.instances[at].known.pause {
                until.get_or_insert(now);
            }
            holds::is_over(self, at);
        }
        let mut command = self.instances[at].say(word);
        let errors = fs::File::options().append(true).create(true).open(self.instances[at].errors());
        command.stdout(std::process::Stdio::null()).stderr(errors.expect("a file"));
        let pid = processes::spawn(&mut command);
        self.instances[at].known.health.requests.push((pid, word, now));
        let name = self.instances[at].name.clone();
        self.tell(&format!("watchdog {word} {name}: pid {pid}"));
    }

    /// Whether somebody still waits for an answer, or for it to be started.
    pub fn is_owed_an_answer(&self, at: usize) -> bool {
        let health = &self.instances[at].known.health;
        health.owed_start.is_some() || !health.requests.is_empty()
    }

    /// Requests that have an answer, and those that should.
    pub fn look_at_requests(&mut self, at: usize) {
        let (now, blind) = (self.clock.now(), self.was_blind);
        let requests = std::mem::take(&mut self.instances[at].known.health.requests);
        let is_one_of_many = requests.len() > 1;
        for (pid, word, since) in requests {
            let name = self.instances[at].name.clone();
            let is_late = now > since + ANSWER + self.leniency(since);
            let known = &mut self.instances[at].known;
            match processes::how_it_ended(pid) {
                None if is_late => {
                    self.violated(format!("watchdog {word} {name}: no answer since {since:?}"));
                }
                None => known.health.requests.push((pid, word, since)),
                Some(status) => {
                    // Of requests at the same time, each may have been the last.
                    let asked = &mut known.health.asked;
                    let was_alone = !is_one_of_many && asked.iter().all(|(_, until)| *until < since);
                    asked.push((since, now));
                    let is_done = status.code() == Some(0);
                    match word {
                        // Nobody starts it until somebody says so, unless the folder has become a stranger's since.
                        "stop" if is_done && was_alone && !known.unheeded => known.pause = Some((now, None)),
                        "start" if is_done => known.health.owed_start = None,
                        _ => {}
                    }
                    let is_lost = known.forgetful || known.unheeded || blind;
                    self.tell(&format!("watchdog {word} {name}: {status}"));
                    self.summary.checked("a request ends, done or not");
                    if !(matches!(status.code(), Some(0 | 1)) || is_lost && status.code().is_some()) {
                        self.violated(format!("watchdog {word} {name} (pid {pid}) has ended: {status}"));
                    }
                }
            }
        }
        let health = &mut self.instances[at].known.health;
        if health.owed_start.is_some_and(|due| now >= due) && health.requests.is_empty() {
            health.owed_start = Some(now + AGAIN);
            self.request(at, "start");
        }
    }
}

/// One or two requests. What was stopped is started again.
pub fn ask(world: &mut World, at: usize, chance: &mut Chance) -> Undo {
    let mut stops = false;
    for _ in 0..chance.between(1, 2) {
        let what = chance.one_of(&["restart", "restart", "stop", "start"]);
        stops |= what == "stop";
        world.request(at, what);
        world.pass(Duration::from_millis(chance.between(0, 300)));
    }
    Box::new(move |world| {
        if stops {
            world.instances[at].known.health.owed_start = Some(world.clock.now());
        }
    })
}

/// Something is wrong with the process, or with its probe.
pub fn ail(world: &mut World, at: usize, event: Event, chance: &mut Chance) -> Undo {
    let name = world.instances[at].name.clone();
    let process = world.running(&name).first().map_or(0, |live| live.pid);
    let condition = match event {
        Event::Hangs => Condition::Hangs { process, deaf: false },
        Event::Deaf => Condition::Hangs { process, deaf: true },
        Event::SlowToAnswer => Condition::Slow(chance.between(500, 4_000)),
        Event::WrongProbe => chance.one_of(&[Condition::Wrong, Condition::Endless]),
        _ => Condition::Broken,
    };
    condition.write(&world.folder, &name);
    if let Condition::Slow(_) = condition {
        world.kill_processes(at, Signal::SIGKILL);
    }
    world.tell(&format!("{name}: {condition:?}"));
    Box::new(move |world| Condition::Good.write(&world.folder, &world.instances[at].name))
}
