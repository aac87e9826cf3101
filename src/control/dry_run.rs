//! `--dry-run`: what would be done, and from what that follows.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::SystemTime;

use nix::unistd::geteuid;

use crate::exit::ExitCode;
use crate::hold::versions::in_force;
use crate::hold::{Held, Hold, depends, of_the_calendar};
use crate::input::resolve::Job;
use crate::log::{Stderr, print};
use crate::policy::Life;
use crate::process::ProcessInfo;
use crate::process::scan::{Candidate, Matches, Proc, Tasks, Unknown};
use crate::render::table;
use crate::report::words::{ambiguity, held, held_until, list, user_name, why_not};
use crate::settings::doubts::Doubts;
use crate::settings::program::{self, Place};
use crate::settings::{Settings, shell, versions};
use crate::state::{Files, Origin, State, store};
use crate::supervise::admission::{Beside, Forgets, Other, is_resumed};
use crate::supervise::setup;
use crate::supervise::start_command::{StartCommand, StartRecord};
use crate::task::Profile;
use crate::task::account::{Account, Login};
use crate::text::{escaped, span};
use crate::time::{SecondsFormat, WallClock, local, now};

/// Says what this watch would do now, on standard output.
pub fn run(job: &Job, stderr: &mut Stderr) -> ExitCode {
    let mut settings = job.settings.clone();
    let (proc, files) = match setup::places(&settings, stderr) {
        Ok(places) => places,
        Err(exit) => return exit,
    };
    let state = store::preview(&files, &settings, &proc);
    let version = take_version(&mut settings, state.memory.version);
    let settings = &settings;
    // What decides is shown as it was found: the near ones were looked for before, and processes change.
    let survey = proc.survey(&settings.criteria).unwrap_or_default();
    let found = proc.find(&settings.criteria, state.predecessor.as_ref(), &Tasks::default());
    let none = Matches::default();
    let matches = found.as_ref().unwrap_or(&none);
    let (environment, unknown) = environment(&settings.profile);
    let would = [would(settings, &files, &state, &proc, &found)].into_iter().chain(version);

    let mut page = Page { aligned: io::stdout().is_terminal(), text: String::new() };
    let rows = job.settings.in_force(&job.given, !page.aligned);
    page.table("setting", "Settings, and where each comes from", &[], rows);
    page.processes(matches, &survey);
    page.table("environment", "Environment that the start command gets besides", &[], environment);
    page.lines("warning", "Warnings", warnings(settings, &files, &proc, matches, unknown));
    page.lines("would", "What this command would do now", would);
    print(&page.text);
    match found {
        Ok(found) if found.counting.is_empty() => ExitCode::GaveUp,
        Ok(_) => ExitCode::Success,
        Err(_) => ExitCode::CannotTell,
    }
}

/// What the start command's environment has besides, and why it is not known who that is of.
fn environment(profile: &Profile) -> (Vec<Vec<String>>, Option<String>) {
    let mut added = Login::look_up().completed();
    let mut unknown = None;
    if let Some(run_as) = &profile.run_as {
        let mut account = Account::look_up(run_as);
        account.wait();
        added.retain(|(name, _)| *name == "PATH");
        match account.identity() {
            Ok(identity) => added.splice(0..0, identity.environment.clone()).for_each(drop),
            Err(why) => unknown = Some(format!("run_as {run_as}: {why}")),
        }
    }
    let added = added.into_iter().filter(|(name, _)| !profile.env.contains_key(*name));
    let added = added.map(|(name, value)| vec![name.to_owned(), value.to_string_lossy().into_owned()]);
    let given = profile.env.iter().map(|(name, value)| vec![name.clone(), value.clone()]);
    (added.chain(given).collect(), unknown)
}

/// What does not reach the process, since others start it.
fn not_passed_on(settings: &Settings) -> Option<String> {
    let Profile { env, directory, umask, run_as } = &settings.profile;
    let given = [
        (!env.is_empty(), "env"),
        (directory.is_some(), "working_directory"),
        (umask.is_some(), "umask"),
        (run_as.is_some(), "run_as"),
    ];
    let given: Vec<_> = given.into_iter().filter_map(|(is_given, key)| is_given.then_some(key)).collect();
    let by = shell::messenger(&settings.criteria.start_command).filter(|_| !given.is_empty())?;
    let (given, do_not) = (given.join(", "), if given.len() == 1 { "does" } else { "do" });
    Some(format!(
        "{given} {do_not} not reach what {by} starts; set that in the unit or script of the service"
    ))
}

/// What looks as if it said whom the start command runs as.
fn only_filters(settings: &Settings) -> Option<String> {
    let user = settings.criteria.user.filter(|user| *user != 0 && geteuid().is_root())?;
    let name = user_name(user);
    settings.profile.run_as.is_none().then(|| {
        format!("user only says whose processes count: the start command runs as root; for another: run_as = \"{name}\"")
    })
}

/// With it, a setting, its value and its place have room in 80 columns.
const WIDEST: usize = 28;

/// Why what is left over does not count.
const LEFT_OVER: &str = "left over from the dead process";

/// What may not be as it was meant; `unknown` is why it is not known whom the start command runs as.
fn warnings(
    settings: &Settings,
    files: &Files,
    proc: &Proc,
    matches: &Matches,
    unknown: Option<String>,
) -> impl Iterator<Item = String> {
    let start_command = &settings.criteria.start_command;
    let place = Place::new(&settings.profile, Path::new(""));
    let all = [
        settings.criteria.doubt(),
        program::doubt("start command", start_command, &place),
        Doubts::begin(start_command, &place).wait(),
        settings.doubt_other_programs(Path::new("")),
        unknown,
        not_passed_on(settings),
        only_filters(settings),
        settings.doubt.clone(),
        proc.doubt_pid_file(&settings.criteria),
        depends::doubt(settings, files),
        ambiguity(&matches.counting),
    ];
    all.into_iter().flatten()
}

/// What is written: in columns for people, or with tabs and the kind of row in front for scripts.
struct Page {
    aligned: bool,
    text: String,
}

impl Page {
    /// Those that were found, and of the `survey` those that nearly count.
    fn processes(&mut self, Matches { counting, left_over }: &Matches, survey: &[Candidate]) {
        let boot = SystemTime::now() - now();
        let row = |process: &ProcessInfo, why: Option<String>| {
            let started = local(boot + process.started, SecondsFormat::Secs);
            let user = user_name(process.signature.user);
            let mut row = vec![process.pid.to_string(), user, started, process.name.clone()];
            row.extend(why);
            row.push(process.command_line.clone());
            row
        };
        let head = ["PID", "USER", "STARTED", "NAME", "COMMAND LINE"];
        let rows = counting.iter().map(|process| row(process, None)).collect();
        self.table("match", "Processes that match; the first one is followed", &head, rows);

        let is_found = |pid| counting.iter().chain(left_over).any(|process| process.pid == pid);
        let near = survey.iter().filter(|candidate| !is_found(candidate.process.pid));
        let near = near.filter_map(|candidate| Some((&candidate.process, why_not(candidate)?)));
        let near = left_over.iter().map(|process| (process, LEFT_OVER.to_owned())).chain(near);
        let head = ["PID", "USER", "STARTED", "NAME", "WHY NOT", "COMMAND LINE"];
        let rows = near.map(|(process, why)| row(process, Some(why))).collect();
        self.table("near", "Processes that nearly match, and do not count", &head, rows);
    }

    fn lines(&mut self, kind: &str, title: &str, lines: impl Iterator<Item = String>) {
        self.table(kind, title, &[], lines.map(|line| vec![line]).collect());
    }

    fn table(&mut self, kind: &str, title: &str, head: &[&str], mut rows: Vec<Vec<String>>) {
        if rows.is_empty() {
            return;
        }
        if !self.aligned {
            for row in rows {
                let cells: Vec<_> = row.iter().map(|cell| escaped(cell)).collect();
                let _ = writeln!(self.text, "{kind}\t{}", cells.join("\t"));
            }
            return;
        }
        if !head.is_empty() {
            rows.insert(0, head.iter().map(|&cell| cell.to_owned()).collect());
        }
        let _ = writeln!(self.text, "{title}");
        for line in table::lines(&rows, " ", WIDEST) {
            let _ = writeln!(self.text, "  {line}");
        }
        self.text.push('\n');
    }
}

/// Puts the start command in force in its place, where the process was `started` with this version; and says which
/// version that is, and which one comes next.
fn take_version(settings: &mut Settings, started: Option<u64>) -> Option<String> {
    let clock = WallClock::now();
    let Settings { versions, start_command, .. } = settings;
    let in_force = in_force(versions, start_command.as_deref(), clock, started);
    let (number, command) = in_force.map_or((0, None), |it| (it.number, Some(it.start_command.to_owned())));
    let due = versions::number(clock.local).max(number);
    let next = versions.iter().find(|version| !version.is_fake && version.number() > due);
    let next = next.and_then(|next| versions::date(next.number()));
    let text = match (versions::date(number), next) {
        (Some(date), None) => Some(format!("the version of {date} is in force")),
        (Some(date), Some(next)) => Some(format!("the version of {date} is in force until {next}")),
        (None, Some(next)) => Some(format!("no version is in force until {next}")),
        (None, None) => None,
    };
    if let Some(command) = command {
        settings.criteria.start_command = command;
    }
    text
}

/// Why a watch starts nothing.
const NOTHING: &str = "start nothing: not running, but";

/// What a watch that begins now would do, after those before it and what people have said. It only looks: taking the
/// lock, for however short a time, would send away a watchdog that begins just then.
fn would(
    settings: &Settings,
    files: &Files,
    next: &State,
    proc: &Proc,
    found: &Result<Matches, Unknown>,
) -> String {
    let (now, name, once) = (now(), &settings.name, settings.limits.once);
    let before = files.state_of_this_boot().ok().flatten();
    let other = before.as_ref().and_then(|state| Other::running(state, settings, proc));
    let origin = Origin::current();
    let beside = other.map(|other| other.beside(once, origin));
    let watched = other.and_then(|other| other.pid).map(|by| format!("pid {by} already watches '{name}'"));
    match (&watched, beside, found.as_ref().map(|found| &*found.counting)) {
        (Some(watched), Some(Beside::IsRepeated), _) => return format!("exit at once: {watched}"),
        (Some(watched), Some(Beside::IsRefused), _) => {
            return format!("exit with status 4: {watched}; for another process, add --name {name}-2");
        }
        (_, _, Err(Unknown(why))) => {
            return format!("start nothing: cannot tell whether it is running ({why})");
        }
        (_, _, Ok(all @ [_, ..])) if once => return format!("start nothing: running: {}", list(all)),
        (_, _, Ok([first, ..])) => return format!("follow {first}; start nothing"),
        (Some(watched), _, Ok([])) => return format!("{NOTHING} {watched}"),
        (None, _, Ok([])) => {}
    }
    if let Some(hold) = hold(settings, files, next, proc) {
        return format!("{NOTHING} {}", until_when(&hold, settings));
    }
    if let Some(command) = StartRecord::read(files).and_then(|noted| StartCommand::adopt(noted, proc)) {
        let pid = command.pid();
        return format!("wait: not running, and the start command runs already (pid {pid})");
    }
    let was_cut_off = before.is_some_and(|state| state.watchdog.is_some());
    let is_resumed = is_resumed(files, next);
    let forgets = is_resumed || !once && origin.forgets(was_cut_off, is_resumed) != Forgets::Nothing;
    let until = next.memory.gave_up_until.filter(|until| now < *until && !forgets);
    match until.map(|until| span(until.saturating_sub(now))) {
        Some(left) => {
            format!("{NOTHING} gave up; next try in {left}; to try now: {}", settings.order("resume"))
        }
        None => format!("not running; start it with: {}", settings.criteria.start_command),
    }
}

/// What holds it now.
fn hold(settings: &Settings, files: &Files, next: &State, proc: &Proc) -> Option<Held> {
    let now = now();
    let mut holds = files.holds(now);
    holds.extend(of_the_calendar(settings, WallClock::now(), next.memory.version));
    if holds.is_empty() {
        let dependency = depends::hold(settings, files, next, proc, now);
        holds.extend(dependency.filter(|held| held.is_in_force(now)));
    }
    let finished = || (next.memory.life != Life::Open).then(|| Held::new(Hold::Finished, None));
    Held::longest(&holds).cloned().or_else(finished)
}

/// What holds it, and what ends that.
fn until_when(it: &Held, settings: &Settings) -> String {
    let words = held(it);
    let is_of_start = matches!(it.hold, Hold::Stopped | Hold::Finished);
    let order = settings.order(if is_of_start { "start" } else { "resume" });
    match it.until {
        None if is_of_start || it.hold.is_of_people() => format!("{words} until '{order}' or a reboot"),
        Some(until) if it.hold.is_of_people() => {
            let left = span(until.saturating_sub(now()));
            format!("{words} for another {left}; to end the pause: {order}")
        }
        _ => held_until(it),
    }
}
