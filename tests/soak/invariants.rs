//! What must hold, whatever happens.

use std::fs;
use std::time::Duration;

use crate::health::PATIENCE;
use crate::holds;
use crate::instance::{
    Baseline, CRON_INTERVAL, HEALTH_CHECK_INTERVAL, MAX_FAIL_COUNT, Mode, RESTART_WAIT_INTERVAL, RETRY_AFTER,
    STABLE_AFTER,
};
use crate::ledger::What;
use crate::parts::{Behaviour, is_process_of};
use crate::processes;
use crate::world::World;

/// By how much a start may seem earlier than it was: the kernel gives it in ticks, and counts full ones.
const TICK: Duration = Duration::from_millis(10);
/// From the look that a watchdog takes to the fork of its start command, on a busy machine.
const LOOK_TO_FORK: Duration = Duration::from_millis(300);
/// By how much two starts may seem closer than they were meant: how long a fork may take, and the tick.
const FORK: Duration = Duration::from_millis(260);
/// Beyond `restart_wait_interval`, when faults have ended.
const GRACE: Duration = Duration::from_secs(1);
/// For how long a child that has ended may wait to be waited for.
const ZOMBIE: Duration = Duration::from_millis(500);
/// What may be open beyond what was open when the watchdog was first seen at rest: a log and its directory, a lock that
/// is no file, and a pidfd.
const MORE_DESCRIPTORS: usize = 4;
/// The same where a probe may be at work, or one that was killed and not waited for yet.
const MORE_WITH_PROBE: usize = 9;
/// How much more memory a watchdog may have than when it was warm, in kB of `RssAnon`.
const MORE_MEMORY: u64 = 200;
/// So many state files are looked at in one go.
const STATES_AT_ONCE: usize = 16;
/// After so many looks at rest a watchdog is warm.
const WARM: u32 = 3;

impl World {
    /// Holds what start commands have noted against what they may do.
    pub fn read_ledger(&mut self) {
        for note in self.news() {
            let Some(at) = self.instances.iter().position(|it| it.name == note.instance) else { continue };
            let What::Began { forked, alone, behaviour, running } = note.what else {
                self.read_health(at, &note);
                continue;
            };
            self.summary.starts += 1;
            let last = self.instances[at].known.last_start.unwrap_or_default();
            let (fork, look_to_fork) = (FORK + self.delay_of(last), LOOK_TO_FORK + self.delay_of(forked));
            let behaviour = Behaviour::of(&behaviour);
            let instance = &mut self.instances[at];
            let name = instance.name.clone();
            // A watchdog that was started again, and whose state could not be written before, cannot know.
            let known = &mut instance.known;
            let forgot = known.forgetful && (known.restarted || instance.character.mode != Mode::Service);
            let beside = known.beside;
            let mut wrong = Vec::new();

            if !alone {
                wrong.push("two start commands at once".to_owned());
            }
            // When it was forked is known to the tick.
            let was_asked_for =
                known.health.is_asked_for(known.last_start.unwrap_or_default(), forked + TICK);
            let is_too_soon = |last: &Duration| {
                !was_asked_for && forked < *last + RESTART_WAIT_INTERVAL.saturating_sub(fork)
            };
            let last = known.last_start.filter(is_too_soon);
            if let Some(last) = last.filter(|last| !was_stopped(&known.stops, *last, *last)) {
                wrong.push(format!("an attempt {:?} after the one before it", forked.saturating_sub(last)));
            }
            let is_within = |(from, until): (Duration, Option<Duration>)| {
                forked > from + look_to_fork
                    && until.is_none_or(|until| forked + TICK < until)
                    && !was_stopped(&known.stops, from, forked)
            };
            if known.pause.is_some_and(is_within) {
                wrong.push("an attempt while it is paused".to_owned());
            }
            if known.hold.is_some_and(is_within) {
                wrong.push("an attempt while its file holds it".to_owned());
            }
            // The rest forgets nothing that the state file says.
            let since_last = known.last_start.map_or(Duration::MAX, |last| forked.saturating_sub(last));
            if since_last >= RETRY_AFTER || beside || forgot {
                known.failing = 0;
            }
            known.failing += u32::from(behaviour.fails());
            known.attempts += 1;
            if known.failing > MAX_FAIL_COUNT {
                wrong.push(format!("attempt {} of {MAX_FAIL_COUNT}", known.failing));
            }
            known.last_start = Some(forked);
            let seen: Vec<_> = running
                .iter()
                .filter(|(_, started)| *started + look_to_fork < forked)
                .filter(|(_, started)| !was_stopped(&known.stops, *started, forked))
                .collect();
            let may_be_blind = !seen.is_empty();
            let killed = known.killed.take();
            if may_be_blind {
                self.violated(format!("{name}: start command {} while the process runs: {seen:?}", note.pid));
            }
            for wrong in wrong {
                if forgot {
                    self.summary.waived("two attempts too close, after a state that could not be written");
                } else {
                    self.violated(format!("{name}: start command {}: {wrong}", note.pid));
                }
            }
            if let Some(killed) = killed {
                self.summary.kill_to_start.push(note.at.saturating_sub(killed));
            }
            self.summary.checked("an attempt: alone, in its time, allowed, and nothing runs");
            self.tell(&format!("a start command of {name} has begun: pid {}, {behaviour:?}", note.pid));
        }
    }

    /// A state file is whole at each moment.
    pub fn look_at_states(&mut self) {
        for _ in 0..self.instances.len().min(STATES_AT_ONCE) {
            self.next_state = (self.next_state + 1) % self.instances.len();
            let at = self.next_state;
            match self.instances[at].state() {
                None => {}
                Some(Ok(_)) => self.summary.checked("a state file is whole"),
                Some(Err(error)) => {
                    let name = self.instances[at].name.clone();
                    self.violated(format!("the state file of {name} is not whole: {error}"));
                }
            }
        }
    }

    /// A watchdog says by its status that it gave up.
    pub fn gave_up(&mut self, at: usize) {
        self.read_ledger();
        self.summary.give_ups += 1;
        self.summary.checked("a give-up follows as many attempts as are allowed");
        let known = &self.instances[at].known;
        // A run that ends now may have given up before that was seen, and forgotten.
        let is_old = known.resumed.is_some_and(|resumed| self.clock.now() < resumed + RESTART_WAIT_INTERVAL);
        let (attempts, excused) = (known.attempts, known.starved || known.forgetful || is_old);
        if attempts < MAX_FAIL_COUNT && !excused {
            let name = self.instances[at].name.clone();
            self.violated(format!("{name} was given up after {attempts} attempts"));
        }
    }

    /// Somebody says that it is to be tried again.
    pub fn resume(&mut self, at: usize) {
        // Where it cannot be written down, it is said again when it can.
        self.instances[at].known.owed_resume = !self.say(at, "resume");
        self.begins_anew(at);
    }

    /// It was told so.
    pub fn begins_anew(&mut self, at: usize) {
        let known = &mut self.instances[at].known;
        // The attempt under way counts still.
        let under_way = known.attempts.min(1);
        (known.resumed, known.failing, known.attempts) = (Some(self.clock.now()), 0, under_way);
        known.health.restarts = 0;
    }

    /// The faults are over: all run again in time.
    pub fn settle(&mut self) {
        for at in 0..self.instances.len() {
            if self.instances[at].known.owed_resume {
                self.resume(at);
            }
            if std::mem::take(&mut self.instances[at].known.owed_reload) {
                holds::reload(self, at);
            }
        }
        let began = self.clock.now();
        let mut allowed: Vec<_> = (0..self.instances.len())
            .map(|at| {
                let instance = &self.instances[at];
                let cron = if instance.is_from_cron() { CRON_INTERVAL } else { Duration::ZERO };
                // One that is about to be started again has no watchdog yet.
                let since = instance.due.max(began).min(began + Duration::from_secs(1));
                let probes = if instance.character.probed { PATIENCE } else { Duration::ZERO };
                since + RESTART_WAIT_INTERVAL + GRACE + cron + probes + instance.known.patience
            })
            .collect();
        // Ended by all being well, or by a violation.
        let last = Duration::MAX;
        let mut slowest = began;
        self.wait(last, |world| {
            let all = world.processes.all();
            let now = world.clock.now();
            let mut missing = 0;
            for (at, allowed) in allowed.iter_mut().enumerate() {
                if world.is_owed_an_answer(at) {
                    missing += 1;
                    *allowed = now + RESTART_WAIT_INTERVAL + GRACE + CRON_INTERVAL + PATIENCE;
                    continue;
                }
                let name = &world.instances[at].name;
                let running: Vec<_> =
                    all.iter().filter(|live| is_process_of(live, name)).map(|live| live.pid).collect();
                let name = name.clone();
                if world.is_well(at, &running) {
                    continue;
                }
                missing += 1;
                slowest = now;
                // The state file says so until the next look.
                let resumed = world.instances[at].known.resumed;
                let is_news = resumed.is_none_or(|resumed| now > resumed + 2 * RETRY_AFTER);
                let (by_cron, retries) =
                    (world.instances[at].is_from_cron(), world.instances[at].character.retries);
                // A service that does not try again by itself has ended, and is begun anew.
                if is_news && (by_cron || retries) && world.instances[at].is_given_up() {
                    if !by_cron {
                        world.gave_up(at);
                    }
                    world.tell(&format!("{name} is given up, and resumed"));
                    world.resume(at);
                    let cron = if by_cron { CRON_INTERVAL } else { Duration::ZERO };
                    *allowed = now + RESTART_WAIT_INTERVAL + GRACE + cron;
                } else if now > *allowed + world.leniency(began) {
                    world.violated(format!(
                        "{name} does not run {} ms after the faults ended",
                        now.saturating_sub(began).as_millis()
                    ));
                }
            }
            missing == 0
        });
        self.summary.checked("all run, once the faults have ended");
        self.summary.faults_to_running.push(slowest.saturating_sub(began));
    }

    /// Whether one of the processes that run is the one that the watchdog follows. From cron, there is
    /// none to follow it.
    fn is_well(&self, at: usize, running: &[i32]) -> bool {
        if self.instances[at].is_from_cron() {
            return !running.is_empty();
        }
        let Some(Ok(state)) = self.instances[at].state() else { return false };
        let followed = state["process"]["pid"].as_i64();
        let watchdogs = self.watchdogs(at);
        let by = state["watchdog"]["pid"].as_i64();
        let is_sick = state["memory"]["health"]["series"]["condition"] != "healthy";
        if self.instances[at].character.probed && is_sick {
            return false;
        }
        running.iter().any(|pid| Some(i64::from(*pid)) == followed)
            && watchdogs.iter().any(|pid| Some(i64::from(*pid)) == by)
    }

    /// All is well: what there is now is what there was.
    pub fn look_around(&mut self) {
        for at in 0..self.instances.len() {
            self.look_at_watchdog(at);
            self.look_at_logs(at);
            let now = self.clock.now();
            let oldest = {
                let running = self.running(&self.instances[at].name);
                running.iter().map(|live| live.started).min()
            };
            let known = &mut self.instances[at].known;
            if oldest.is_some_and(|oldest| oldest + STABLE_AFTER + HEALTH_CHECK_INTERVAL < now) {
                known.failing = 0;
            }
            known.forgetful = false;
            known.restarted = false;
            known.beside = false;
            known.starved = false;
            known.killed = None;
            known.patience = Duration::ZERO;
            known.stops.clear();
            known.health.forget();
            (known.hold, known.stops_due) = (None, 0);
            if known.pause.is_some_and(|(_, until)| until.is_some()) {
                known.pause = None;
            }
        }
        self.is_calm = true;
        self.was_blind = false;
        for line in self.ask_status() {
            let is_ours = |it: &&crate::instance::Instance| line["name"].as_str() == Some(&it.name);
            let Some(instance) = self.instances.iter().find(is_ours) else { continue };
            if instance.is_from_cron() {
                continue;
            }
            let (name, pid) = (instance.name.clone(), line["pid"].as_i64());
            let runs = self.running(&name).iter().any(|live| Some(i64::from(live.pid)) == pid);
            self.summary.checked("status is true");
            // Where an attempt has not been judged yet, it is starting.
            let is_up = line["state"] == "running" || line["state"] == "starting";
            if !is_up || !runs {
                self.violated(format!("status of {name} is not so: {line}"));
            }
        }
    }

    /// Descriptors, memory and children of a long-running watchdog.
    fn look_at_watchdog(&mut self, at: usize) {
        let runs = self.instances[at].runs.iter();
        let services: Vec<_> = runs.filter(|(_, mode)| *mode == Mode::Service).map(|(pid, _)| *pid).collect();
        let name = self.instances[at].name.clone();
        for pid in services {
            let Some(entry) = self.processes.entry(pid) else { continue };
            let (Ok(descriptors), Ok(status)) = (entry.fd_count(), entry.status()) else { continue };
            let memory = status.rssanon.unwrap_or(0);
            let zombies = self.processes.zombies_of(pid);
            if !zombies.is_empty() {
                self.pass(ZOMBIE);
                let left = self.processes.zombies_of(pid);
                if zombies.iter().any(|zombie| left.contains(zombie)) {
                    self.violated(format!("{name}: children that nobody waits for: {left:?}"));
                }
            }
            self.summary.checked("no child that nobody waits for");
            let baseline = match self.instances[at].baseline {
                Some(baseline) if baseline.pid == pid => baseline,
                _ => Baseline { pid, descriptors, memory, looks: 0 },
            };
            let is_warm = baseline.looks >= WARM;
            let more = if self.instances[at].character.probed { MORE_WITH_PROBE } else { MORE_DESCRIPTORS };
            if descriptors > baseline.descriptors + more {
                self.violated(format!(
                    "{name}: the watchdog has {descriptors} descriptors; it had {}",
                    baseline.descriptors
                ));
            }
            if is_warm && memory > baseline.memory + MORE_MEMORY {
                self.violated(format!(
                    "{name}: the watchdog has {memory} kB of its own; it had {}",
                    baseline.memory
                ));
            }
            self.summary.checked("no more descriptors and memory than before");
            let warm = if is_warm { baseline.memory } else { baseline.memory.max(memory) };
            self.instances[at].baseline =
                Some(Baseline { memory: warm, looks: baseline.looks + 1, ..baseline });
            if self.instances[at].character.veteran {
                let first = self.summary.veteran.map_or((descriptors, memory), |(first, _)| first);
                self.summary.veteran = Some((first, (descriptors, memory)));
            }
        }
    }

    /// Each line of a log is a record.
    fn look_at_logs(&mut self, at: usize) {
        let name = self.instances[at].name.clone();
        for path in self.instances[at].log_files() {
            let Ok(text) = fs::read(&path) else { continue };
            let text = String::from_utf8_lossy(&text);
            if let Some(line) = text.lines().find(|line| !is_record(line, &name)) {
                self.violated(format!("{}: this is no record: {line:?}", path.display()));
            }
            if !text.is_empty() && !text.ends_with('\n') {
                self.violated(format!("{}: its last record is cut off", path.display()));
            }
            self.summary.checked("a log has whole records only");
        }
    }

    /// What `status` says of all of them, whatever is the matter.
    pub fn ask_status(&mut self) -> Vec<serde_json::Value> {
        let mut folders: Vec<_> = self.instances.iter().map(|it| it.places.state.clone()).collect();
        folders.sort();
        folders.dedup();
        let mut all = Vec::new();
        for folder in folders {
            let mut status = std::process::Command::new(self.folder.join("bin/watchdog"));
            status.args(["status", "--json", "--state-dir"]).arg(&folder);
            let (status, output, errors) = processes::run(&mut status);
            self.summary.checked("status can be asked");
            match serde_json::from_str::<Vec<_>>(&output) {
                Ok(lines) if matches!(status.code(), Some(0 | 1 | 3 | 4)) => all.extend(lines),
                // Without /proc it can tell nothing.
                _ if self.blind && status.code() == Some(4) => {}
                _ => self.violated(format!("status: {status} {output:?} {errors:?}")),
            }
        }
        all
    }
}

/// Whether it was stopped, or had only just been let go on, at some time between two times.
fn was_stopped(stops: &[(Duration, Duration)], from: Duration, until: Duration) -> bool {
    stops.iter().any(|(stopped, let_go)| *stopped <= until && *let_go + LOOK_TO_FORK >= from)
}

/// `2026-11-21T09:15:30.123+01:00 WARN  NAME: text`
fn is_record(line: &str, name: &str) -> bool {
    let parts = || {
        let (time, rest) = line.split_at_checked(29)?;
        let (level, rest) = rest.strip_prefix(' ')?.split_at_checked(5)?;
        let text = rest.strip_prefix(' ')?.strip_prefix(name)?.strip_prefix(": ")?;
        chrono::DateTime::parse_from_rfc3339(time).ok()?;
        let again = text.contains(&format!(" {name}: watchdog "));
        Some(["ERROR", "WARN ", "INFO "].contains(&level) && !text.is_empty() && !again)
    };
    parts().unwrap_or(false)
}
