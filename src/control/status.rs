//! The commands that are not watching: `status`, `pause` and `resume`.

use crate::hold::pause::{begin_upgrade, end_upgrade};
use crate::time::{boot_id, now};
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::exit::ExitCode;
use crate::hold::pause::Leave;
use crate::input::cli::{self, Command, StateDir, Which};
use crate::input::config_file;
use crate::log::{Stderr, cannot_tell};
use crate::process::oom::OutOfMemory;
use crate::process::scan::{Proc, Unknown};
use crate::process::termination::Cause;
use crate::render::table;
use crate::settings;
use crate::settings::dirs::{ROOTS_STATE, SYSTEM_CONFIG, User};
use crate::settings::name::Name;
use crate::state::{self, Files, Sight, State, StoredProcess, Unread, history};
use crate::sys::{PROC, Pid};
use crate::text::{escaped, is_control, span};
use crate::time::Time;

/// Carries out a command.
pub fn run(command: &Command, user: &User, stderr: &mut Stderr) -> ExitCode {
    let command = match command {
        Command::Status { names, json, place } => match Proc::new(Path::new(PROC)) {
            Ok(proc) => show(names, *json, place, user, &proc).map(|(text, exit)| {
                // Into a pipe that may be closed early.
                let _ = io::stdout().write_all(text.as_bytes());
                exit
            }),
            Err(unknown) => {
                cannot_tell(&unknown.0, stderr);
                return ExitCode::Lsb(4);
            }
        },
        Command::Pause { which, time, place } => pause(which, time.as_deref(), place, user),
        Command::Resume { which, place } if which.upgrade => resume_after_upgrade(place, user),
        Command::Resume { which, place } => say(which, Leave::Given { resumed: None }, place, user),
    };
    match command {
        Ok(exit) => exit,
        Err(wrong) => {
            for wrong in wrong {
                stderr.write_text(&format!("watchdog: {wrong}\n"));
            }
            ExitCode::Usage
        }
    }
}

/// What is known of an instance, as `status` shows it. Without a state of this boot, nothing is.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    /// `running`, `not running`, `unknown`; as this command found it, and not as it was written down.
    state: &'static str,
    /// The process that runs.
    pid: Option<Pid>,
    /// Its name.
    process: Option<String>,
    /// For how long it has run, or has been missing, in seconds.
    for_seconds: Option<u64>,
    /// Successful starts since boot.
    restarts: Option<u64>,
    /// Failed attempts in a row, of how many (`null` is unlimited).
    failures: Option<u32>,
    max_fail_count: Option<u32>,
    /// It was given up, or is paused, or a start command is at work; else `null`.
    standing: Option<String>,
    /// Seconds to the end of a pause or to the next round after a give-up.
    standing_seconds: Option<u64>,
    /// Seconds since the last check.
    checked_seconds: Option<u64>,
    /// The watchdog that watches now.
    watchdog_pid: Option<Pid>,
    /// Whether there is one cannot be seen.
    #[serde(skip)]
    watchdog_is_hidden: bool,
    /// `service`: it watches all the time. `once`: it is run again and again.
    mode: Option<&'static str>,
    /// Seconds between two checks of a long-running watch.
    interval_seconds: Option<f64>,
    /// How the process ended last, if it has since boot.
    last_exit: Option<LastExit>,
    /// How the last start command ended.
    last_start: Option<LastStart>,
    /// How often it died in the last hour and day.
    deaths_last_hour: Option<usize>,
    deaths_last_day: Option<usize>,
    /// The folder that says so.
    folder: PathBuf,
}

/// [`history::LastExit`], with lengths of time in place of moments.
#[derive(Debug, Serialize)]
struct LastExit {
    #[serde(skip)]
    said: String,
    pid: Pid,
    process: String,
    seconds_ago: u64,
    ran_seconds: u64,
    cause: Cause,
    status: Option<i32>,
    signal: Option<String>,
    core_dumped: bool,
    memory_bytes: Option<u64>,
    /// Processes that the OOM killer ended meanwhile, in its control group or, where that is gone, on the
    /// machine.
    oom_kills_in_group: Option<u64>,
    oom_kills_on_machine: Option<u64>,
}

/// [`history::LastStart`], with lengths of time in place of moments.
#[derive(Debug, Serialize)]
struct LastStart {
    seconds_ago: u64,
    took_seconds: f64,
    status: Option<i32>,
    signal: Option<String>,
}

impl LastExit {
    fn of(exit: &history::LastExit, now: Time) -> Self {
        let oom_kills = |of: fn(OutOfMemory) -> Option<u64>| exit.out_of_memory.and_then(of);
        LastExit {
            said: exit.to_string(),
            pid: exit.pid,
            process: exit.name.clone(),
            seconds_ago: now.saturating_sub(exit.at_ms).as_secs(),
            ran_seconds: exit.at_ms.saturating_sub(exit.started_ms).as_secs(),
            cause: exit.cause,
            status: exit.status,
            signal: exit.signal.clone(),
            core_dumped: exit.core_dumped,
            memory_bytes: exit.memory_bytes,
            oom_kills_in_group: oom_kills(|of| {
                if let OutOfMemory::Group(kills) = of { Some(kills) } else { None }
            }),
            oom_kills_on_machine: oom_kills(|of| {
                if let OutOfMemory::Machine(kills) = of { Some(kills) } else { None }
            }),
        }
    }
}

impl LastStart {
    fn of(start: &history::LastStart, now: Time) -> Self {
        let history::LastStart { at_ms, took_ms, status, signal } = start;
        let (seconds_ago, took_seconds) = (now.saturating_sub(*at_ms).as_secs(), took_ms.as_secs_f64());
        LastStart { seconds_ago, took_seconds, status: *status, signal: signal.clone() }
    }
}

/// What `status` prints, and how it ends.
///
/// # Errors
/// Names of which nobody has heard.
pub fn show(
    names: &[OsString],
    json: bool,
    place: &StateDir,
    user: &User,
    proc: &Proc,
) -> Result<(String, ExitCode), Vec<String>> {
    let boot_id = boot_id(proc.root());
    let known = known(place, user);
    let wanted: Vec<_> = if names.is_empty() {
        known.iter().filter(|known| known.has_state).collect()
    } else {
        let mut wanted = Vec::new();
        let mut wrong = Vec::new();
        for asked in names {
            let before = wanted.len();
            wanted.extend(known.iter().filter(|known| known.is_called(asked)));
            if wanted.len() == before {
                wrong.push(unheard_of(asked, &known));
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        wanted
    };
    let lines: Vec<_> = wanted.iter().map(|known| line(known, &boot_id, proc)).collect();
    let text = if json {
        as_json(&lines)
    } else if lines.is_empty() {
        let folders: Vec<_> =
            folders(place, user).iter().map(|folder| folder.display().to_string()).collect();
        format!("no watchdog has run yet: there is nothing of one in {}\n", escaped(&folders.join(" or ")))
    } else {
        as_table(&lines)
    };
    let exit = ExitCode::Lsb(if lines.is_empty() || lines.iter().any(|line| line.state == "unknown") {
        4
    } else if lines.iter().any(|line| line.state == "not running") {
        3
    } else {
        0
    });
    Ok((text, exit))
}

fn line(known: &Known, boot_id: &str, proc: &Proc) -> Line {
    let (files, now) = (Files::new(&known.folder, &known.name, boot_id), now());
    let mut line = observed(known, &files, proc, now);
    if let Leave::Paused { until } = files.leave(now) {
        line.standing = Some("paused".to_owned());
        line.standing_seconds = until.map(|until| until.saturating_sub(now).as_secs());
    }
    line
}

/// What is the case, whatever people want.
fn observed(known: &Known, files: &Files, proc: &Proc, now: Time) -> Line {
    let Known { folder, name, .. } = known;
    let seconds = |time: Duration| Some(time.as_secs());
    let mut line = Line {
        name: name.to_string(),
        state: "unknown",
        pid: None,
        process: None,
        for_seconds: None,
        restarts: None,
        failures: None,
        max_fail_count: None,
        standing: None,
        standing_seconds: None,
        checked_seconds: None,
        watchdog_pid: None,
        watchdog_is_hidden: false,
        mode: None,
        interval_seconds: None,
        last_exit: None,
        last_start: None,
        deaths_last_hour: None,
        deaths_last_day: None,
        folder: folder.clone(),
    };
    let state = match files.state_of_this_boot() {
        Ok(Some(state)) => state,
        Ok(None) | Err(Unread::None) => {
            line.standing = Some("not checked since boot".to_owned());
            return line;
        }
        Err(Unread::Foreign(_)) => {
            line.standing = Some("its state file is damaged".to_owned());
            return line;
        }
        Err(Unread::Failed(error)) => {
            line.standing = Some(format!("its state file cannot be read: {error}"));
            return line;
        }
    };
    let State { watchdog, memory, .. } = &state;
    line.restarts = Some(state.restarts);
    line.failures = Some(memory.failures);
    line.max_fail_count = state.max_fail_count;
    line.mode = Some(if state.once { "once" } else { "service" });
    line.interval_seconds = Some(state.interval_ms.as_secs_f64());
    let deaths = state.deaths.tally(now);
    (line.deaths_last_hour, line.deaths_last_day) = (Some(deaths.hour), Some(deaths.day));
    line.last_exit = state.last_exit.as_ref().map(|exit| LastExit::of(exit, now));
    line.last_start = state.last_start.as_ref().map(|start| LastStart::of(start, now));
    let owner = files.owner().unwrap_or_default();
    let watches = watchdog.map(|watchdog| proc.lives(watchdog.pid, watchdog.started_ms, owner));
    line.watchdog_pid = watchdog.filter(|_| matches!(watches, Some(Ok(true)))).map(|watchdog| watchdog.pid);
    line.watchdog_is_hidden = matches!(watches, Some(Err(_)));
    let age = files.touched().and_then(|time| time.elapsed().ok());
    // A watchdog that watches checks at each interval, and writes only when something changes.
    line.checked_seconds = match (line.watchdog_pid, line.watchdog_is_hidden) {
        (Some(_), _) if !state.once => Some(0),
        (_, true) if !state.once => None,
        _ => age.and_then(seconds),
    };
    let lives = |process: &StoredProcess| proc.lives(process.pid, process.started_ms, process.user);
    match state.process.as_ref().map(|process| (process, lives(process))) {
        Some((_, Err(Unknown(why)))) => line.standing = Some(why),
        Some((process, Ok(true))) => {
            line.state = "running";
            line.pid = Some(process.pid);
            line.process = Some(process.name.clone());
            line.for_seconds = seconds(now.saturating_sub(process.started_ms));
        }
        // It has ended since the last check, and another may have taken its place.
        Some(_) if line.watchdog_pid.is_none() || state.sight == Sight::Running => {
            line.state = "not running";
            line.standing = Some("ended since the last check".to_owned());
        }
        _ if state.sight == Sight::Unknown => line.for_seconds = seconds(now.saturating_sub(state.since_ms)),
        _ => {
            line.state = "not running";
            line.for_seconds = seconds(now.saturating_sub(state.since_ms));
        }
    }
    if let Some(until) = memory.gave_up_until.filter(|_| line.state != "running") {
        line.standing = Some("given up".to_owned());
        // Nobody tries again who does not watch.
        let goes_on = state.once || line.watchdog_pid.is_some() || line.watchdog_is_hidden;
        line.standing_seconds = goes_on.then(|| until.saturating_sub(now).as_secs());
    } else if line.state != "running"
        && state.command.is_some_and(|command| proc.is_alive(command.pid, command.started_ms))
    {
        line.standing = Some("start command at work".to_owned());
    }
    line
}

fn as_json(lines: &[Line]) -> String {
    // Nothing in it can fail to be written.
    let json = serde_json::to_string_pretty(lines).unwrap_or_else(|_| "[]".to_owned());
    let mut text = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        // serde_json leaves some as they are, in what is quoted.
        if c != '\n' && is_control(c) {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text + "\n"
}

fn as_table(lines: &[Line]) -> String {
    let time = |seconds: Option<u64>| match seconds {
        None => "-".to_owned(),
        Some(0) => "0s".to_owned(),
        Some(seconds) => span(Duration::from_secs(seconds)),
    };
    let head = [
        "NAME",
        "STATE",
        "PID",
        "FOR",
        "RESTARTS",
        "FAILURES",
        "STANDING",
        "CHECKED",
        "WATCHED BY",
        "LAST EXIT",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    for line in lines {
        let most = line.max_fail_count.map_or_else(|| "unlimited".to_owned(), |most| most.to_string());
        let standing = match (&line.standing, line.standing_seconds) {
            (Some(standing), Some(left)) => format!("{standing}, {} left", span(Duration::from_secs(left))),
            (Some(standing), None) => standing.clone(),
            (None, _) => "-".to_owned(),
        };
        let checked = line.checked_seconds.filter(|seconds| *seconds > 0);
        let checked = match (line.checked_seconds, checked) {
            (Some(_), None) => "now".to_owned(),
            (_, age) => age.map_or_else(|| "-".to_owned(), |_| format!("{} ago", time(age))),
        };
        let every = Duration::from_secs_f64(line.interval_seconds.unwrap_or_default());
        let by = match (line.watchdog_pid, line.mode) {
            (_, None) => "-".to_owned(),
            (Some(pid), Some("service")) => format!("pid {pid}, every {}", span(every)),
            (Some(pid), _) => format!("a --once run, pid {pid}"),
            (None, Some("once")) => "runs with --once".to_owned(),
            (None, _) if line.watchdog_is_hidden => "-".to_owned(),
            (None, _) => "nobody".to_owned(),
        };
        rows.push([
            line.name.clone(),
            line.state.to_owned(),
            line.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            time(line.for_seconds),
            line.restarts.map_or_else(|| "-".to_owned(), |restarts| restarts.to_string()),
            line.failures.map_or_else(|| "-".to_owned(), |failures| format!("{failures} of {most}")),
            standing,
            checked,
            by,
            line.last_exit.as_ref().map_or_else(
                || "-".to_owned(),
                |exit| format!("{} ago: {}", time(Some(exit.seconds_ago)), exit.said),
            ),
        ]);
    }
    table::lines(&rows, "  ").join("\n") + "\n"
}

fn pause(
    which: &Which,
    time: Option<&OsStr>,
    place: &StateDir,
    user: &User,
) -> Result<ExitCode, Vec<String>> {
    let time = time.map(|given| settings::check(given, settings::interval, "--for")).transpose();
    let time = time.map_err(|wrong| vec![wrong.to_string()])?;
    let now = now();
    let until = time.map(|time| now + time);
    if !which.upgrade {
        return say(which, Leave::Paused { until }, place, user);
    }
    let Some(until) = until else {
        return Err(vec![
            "--upgrade: give --for TIME too: an upgrade that is cut off ends no pause".to_owned(),
        ]);
    };
    let folder = user.state_folder(place.state_dir.as_ref());
    begin_upgrade(&folder, &boot_id(Path::new(PROC)), until, now)
        .map_err(|error| vec![format!("cannot be written down in {}: {error}", folder.display())])?;
    Ok(ExitCode::Success)
}

fn resume_after_upgrade(place: &StateDir, user: &User) -> Result<ExitCode, Vec<String>> {
    let folder = user.state_folder(place.state_dir.as_ref());
    end_upgrade(&folder)
        .map_err(|error| vec![format!("the pause cannot be removed from {}: {error}", folder.display())])?;
    Ok(ExitCode::Success)
}

/// Says to each of the instances that its process is to be left alone, or no longer.
fn say(which: &Which, leave: Leave, place: &StateDir, user: &User) -> Result<ExitCode, Vec<String>> {
    let folder = user.state_folder(place.state_dir.as_ref());
    let (ours, roots): (Vec<_>, Vec<_>) =
        known(place, user).into_iter().partition(|known| known.folder == folder);
    let mut wrong = Vec::new();
    let meant: Vec<_> = if which.all {
        ours.iter().collect()
    } else {
        let mut meant = Vec::new();
        for asked in &which.names {
            match ours.iter().find(|known| known.is_called(asked)) {
                Some(known) => meant.push(known),
                None if roots.iter().any(|known| known.is_called(asked)) => wrong.push(format!(
                    "the watchdog '{}' is root's, and only root may say that",
                    asked.display()
                )),
                None => wrong.push(unheard_of(asked, &ours)),
            }
        }
        meant
    };
    if which.all && meant.is_empty() {
        wrong.push(format!(
            "no watchdog has run or is configured here: there is nothing of one in {}",
            folder.display()
        ));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let boot_id = boot_id(Path::new(PROC));
    let now: Time = now();
    for Known { name, .. } in meant {
        if let Err(error) = Files::new(&folder, name, &boot_id).say(leave, now) {
            let hint = match error.kind() {
                io::ErrorKind::PermissionDenied => "; it is another user's, whose leave is needed",
                _ => "",
            };
            wrong.push(format!("{name}: cannot be written down in {}: {error}{hint}", folder.display()));
        }
    }
    if wrong.is_empty() { Ok(ExitCode::Success) } else { Err(wrong) }
}

/// A watchdog that the commands know.
#[derive(Debug)]
struct Known {
    name: Name,
    /// Where its state is, or would be.
    folder: PathBuf,
    /// It has left something there; otherwise it is configured.
    has_state: bool,
}

impl Known {
    fn is_called(&self, asked: &OsStr) -> bool {
        OsStr::new(&self.name.to_string()) == asked
    }
}

/// All watchdogs that the commands know: those of the user, and root's.
fn known(place: &StateDir, user: &User) -> Vec<Known> {
    let of = |folder: &PathBuf, name, has_state| Known { name, folder: folder.clone(), has_state };
    let mut known = Vec::new();
    for folder in &folders(place, user) {
        known.extend(state::names(folder).into_iter().map(|name| of(folder, name, true)));
    }
    // Where the state is elsewhere, it alone says which there are.
    if place.state_dir.is_none() {
        let own = user.state_folder(None);
        for name in config_file::names(&user.config_folder()) {
            if !known.iter().any(|known| known.name == name && known.folder == own) {
                known.push(of(&own, name, false));
            }
        }
        // Everybody may run what is configured there, and what root runs is root's.
        for name in config_file::names(Path::new(SYSTEM_CONFIG)) {
            if !known.iter().any(|known| known.name == name) {
                known.push(of(&own, name, false));
            }
        }
    }
    known
}

/// The folders in which states may be: the user's own, and root's, for all to see.
fn folders(place: &StateDir, user: &User) -> Vec<PathBuf> {
    let own = user.state_folder(place.state_dir.as_ref());
    let roots = PathBuf::from(ROOTS_STATE);
    if place.state_dir.is_some() || own == roots { vec![own] } else { vec![own, roots] }
}

fn unheard_of(asked: &OsStr, known: &[Known]) -> String {
    let text = asked.to_string_lossy();
    let known: Vec<_> = known.iter().map(|known| known.name.to_string()).collect();
    // A process name is given by mistake, perhaps, of which the name was made.
    let made = Name::from_pattern(&text).to_string();
    let hint = match cli::meant(&made, known.iter().map(String::as_str)) {
        Some(nearest) => format!("the nearest is '{nearest}'"),
        None if known.is_empty() => "none has run or is configured here".to_owned(),
        None => "watchdog status shows those that there are".to_owned(),
    };
    format!("there is no watchdog named '{}'; {hint}", escaped(&text))
}
