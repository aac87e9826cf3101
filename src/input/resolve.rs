//! What there is to do: from what was typed, written and answered to the settings.

use std::io::{self, BufReader, IsTerminal};
use std::path::Path;

use crate::input::cli::Cli;
use crate::input::config_file;
use crate::input::prompt::{self, Unanswered};
use crate::log::Stderr;
use crate::process::scan::Proc;
use crate::settings::dirs::{Dirs, User};
use crate::settings::sources::Sources;
use crate::settings::{SettingError, Settings, program};
use crate::supervise::Reload;
use crate::sys::PROC;

/// What was typed, written and answered, and what it comes to.
pub struct Job {
    /// What was typed, written and answered.
    pub cli: Cli,
    /// What of it was written where.
    pub sources: Sources,
    /// What it comes to.
    pub settings: Settings,
    /// The folders.
    pub places: Dirs,
    /// Reads the settings again.
    pub reload: Reload,
}

/// Reads all that there is to read, and asks for what is missing, if anybody is there to answer.
///
/// # Errors
/// All that is wrong or missing, a line for each.
pub fn read(typed: Cli, user: &User, stderr: &mut Stderr) -> Result<Job, Vec<String>> {
    let (mut cli, sources) = with_file(typed.clone(), user)?;
    let said = |all: Vec<SettingError>| all.iter().map(SettingError::to_string).collect::<Vec<_>>();
    // What is wrong already is said before anything is asked.
    if let Err(wrong) = Settings::new(&cli, &sources)
        && wrong.iter().any(|wrong| wrong.value.is_some())
    {
        return Err(said(wrong));
    }
    if prompt::is_needed(&cli) && !cli.run.no_input && !in_background() {
        let at_terminal = io::stdin().is_terminal();
        let proc = Proc::new(Path::new(PROC));
        let what = cli.what.clone();
        let look_up = |pattern: &_| prompt::matches_now(proc.as_ref(), pattern, &what);
        let answers = BufReader::new(prompt::Patient(io::stdin()));
        match prompt::ask(&mut cli, answers, stderr, at_terminal, look_up, program::doubt) {
            Ok(()) => prompt::show_equivalent(&cli, stderr),
            Err(Unanswered::EndOfInput) => {
                stderr.write_text("\n");
                return Err(prompt::unanswered(&mut cli).iter().map(SettingError::to_string).collect());
            }
            Err(Unanswered::Wrong(wrong)) => return Err(vec![wrong.to_string()]),
        }
    }
    let settings = Settings::new(&cli, &sources).map_err(said)?;
    let places = Dirs::new(user, &cli);
    // What was answered is as good as typed.
    let typed = if sources.file.is_some() { typed } else { cli.clone() };
    let user = user.clone();
    let reload: Reload = Box::new(move || {
        let (cli, sources) = with_file(typed.clone(), &user)?;
        Ok((Settings::new(&cli, &sources).map_err(said)?, sources))
    });
    Ok(Job { cli, sources, settings, places, reload })
}

/// What was typed, with what the configuration file says in the gaps.
fn with_file(mut cli: Cli, user: &User) -> Result<(Cli, Sources), Vec<String>> {
    let sources = match cli.run.config.clone() {
        Some(given) => config_file::fill(&mut cli, given, user)?,
        None => Sources::default(),
    };
    Ok((cli, sources))
}

/// Whether reading from the terminal would stop this process, as it does in the background.
fn in_background() -> bool {
    nix::unistd::tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground != nix::unistd::getpgrp())
}
