//! What there is to do: from what was typed, written and answered to the settings.

use std::io::{self, BufReader, IsTerminal};
use std::path::Path;

use crate::fs::absolute;
use crate::input::{config_file, prompt};
use crate::log::Stderr;
use crate::process::scan::Proc;
use crate::settings::dirs::{Dirs, User};
use crate::settings::doubts::Doubts;
use crate::settings::given::{Given, Source};
use crate::settings::program::{self, Place};
use crate::settings::table::Row;
use crate::settings::{Autorestart, SettingError, Settings};
use crate::state::Files;
use crate::supervise::Reload;
use crate::sys::PROC;
use crate::time::boot_id;

/// What there is to do.
pub struct Job {
    /// What was typed, written and answered.
    pub given: Given,
    /// What it comes to.
    pub settings: Settings,
    /// Reads the settings again.
    pub reload: Reload,
}

/// Reads all that there is to read, and asks for what is missing, if anybody is there to answer.
///
/// # Errors
/// All that is wrong or missing, a line for each.
pub fn read(typed: Given, user: &User, stderr: &mut Stderr) -> Result<Job, Vec<String>> {
    let mut given = with_file(typed, user)?;
    // What is wrong already is said before anything is asked.
    let asks = prompt::is_needed(&given) && !given.is_on("no_input") && !in_background();
    let is_missing = |wrong: Vec<SettingError>| wrong.iter().all(|wrong| wrong.value.is_none());
    if asks && Settings::new(&given, user).is_err_and(is_missing) {
        ask(&mut given, user, stderr)?;
    }
    let settings = fitting(&given, user)?;
    // What was answered is as good as typed.
    let (again, user) = (given.without_file(), user.clone());
    let reload: Reload = Box::new(move || fitting(&with_file(again.clone(), &user)?, &user));
    Ok(Job { given, settings, reload })
}

/// What a configuration file alone comes to.
///
/// # Errors
/// All that is wrong with it.
pub fn of_file(file: &Path, user: &User) -> Result<Settings, Vec<String>> {
    let mut given = Given::default();
    given.add("config", file, Source::CommandLine);
    Settings::new(&with_file(given, user)?, user).map_err(|wrong| said(&wrong))
}

/// The settings, if this user can have them here and now.
fn fitting(given: &Given, user: &User) -> Result<Settings, Vec<String>> {
    let settings = Settings::new(given, user).map_err(|wrong| said(&wrong))?;
    if settings.profile.run_as.is_some() && user.uid != 0 {
        let what = "only root can run a command as somebody else";
        return Err(said(&[SettingError::unfit("run_as", given, what, "remove it, or run this as root")]));
    }
    if let Some(wrong) = unfit_for_once(&settings, given) {
        // A run that `start`, for example, makes watches as the watchdog would.
        let files = Files::of(&settings.dirs, &settings.name, &boot_id(Path::new(PROC)));
        if !files.has_request() {
            return Err(said(&[wrong]));
        }
    }
    Ok(settings)
}

/// Why runs with `--once` cannot tell when to start the process again.
pub fn unfit_for_once(settings: &Settings, given: &Given) -> Option<SettingError> {
    let is_unfit = settings.limits.once && settings.limits.autorestart != Autorestart::Always;
    let what = "cannot be combined with --once: such a run does not see how the process ends";
    let instead = "watch without --once, or give always";
    is_unfit.then(|| SettingError::unfit("autorestart", given, what, instead))
}

fn said(wrong: &[SettingError]) -> Vec<String> {
    wrong.iter().map(SettingError::to_string).collect()
}

/// What was typed, with what the configuration file says in the gaps.
fn with_file(mut given: Given, user: &User) -> Result<Given, Vec<String>> {
    if let Some(file) = given.value("config").map(ToOwned::to_owned) {
        config_file::fill(&mut given, &file, user)?;
    }
    for key in ["log_dir", "state_dir", "pid_file"] {
        // One that stands in the file is the same for all who use that, wherever they are.
        let base = given.file(key).and_then(Path::parent).unwrap_or(&user.cwd).to_owned();
        if given.value(key).is_some_and(|path| !path.is_empty()) {
            given.change(key, |path| absolute(path, &user.home, &base).into());
        }
    }
    Ok(given)
}

fn ask(given: &mut Given, user: &User, stderr: &mut Stderr) -> Result<(), Vec<String>> {
    let at_terminal = io::stdin().is_terminal();
    let proc = Proc::new(Path::new(PROC));
    let answers = BufReader::new(prompt::Patient(io::stdin()));
    let (settings, _) = Settings::read(given, Dirs::of(user));
    let place = Place::new(&settings.profile, Path::new(""));
    let remark = |row: &Row, settings: &Settings| match row.key {
        "process_name" => Some(prompt::matches_now(proc.as_ref(), &settings.criteria)),
        "start_command" => {
            let start_command = settings.start_command.as_deref()?;
            let program = program::doubt("start command", start_command, &place);
            program.or_else(|| Doubts::begin(start_command, &place).wait())
        }
        _ => None,
    };
    prompt::ask(given, settings, answers, stderr, at_terminal, remark).map_err(|wrong| said(&wrong))?;
    prompt::show_equivalent(given, stderr);
    Ok(())
}

/// Whether reading from the terminal would stop this process, as it does in the background.
fn in_background() -> bool {
    nix::unistd::tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground != nix::unistd::getpgrp())
}
