//! `pause` and `resume`.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use super::instances::{Asked, Known};
use super::{Failure, tell, value};
use crate::exit::ExitCode;
use crate::fs::Dir;
use crate::hold::pause::{begin_upgrade, end_upgrade};
use crate::hold::{Held, Hold};
use crate::log::Stderr;
use crate::policy::Life;
use crate::settings::dirs::User;
use crate::settings::values;
use crate::sys::PROC;
use crate::text::{escaped, quoted, span};
use crate::time::{Time, boot_id, now};

pub fn pause(asked: Asked, given: Option<&OsStr>, stderr: &mut Stderr) -> Result<ExitCode, Failure> {
    let time = value("for", given, values::interval)?;
    let now = now();
    let until = time.map(|time| now + time);
    if !asked.which.upgrade {
        if let Some(instead) = stray_time(asked, time) {
            return Err(instead.into());
        }
        return say(asked, Some(&Held::new(Hold::Paused, until)), now, stderr);
    }
    let (Some(until), Some(time)) = (until, time) else {
        let why = "so that the pause ends even if the upgrade is interrupted";
        return Err(format!("--upgrade needs --for TIME, such as --for 30m, {why}").into());
    };
    let folder = asked.folder();
    begin_upgrade(&folder, &boot_id(Path::new(PROC)), until, now)
        .map_err(|error| format!("cannot write to {}: {error}", folder.display()))?;
    warn_unheeded(&folder, asked.user, stderr);
    tell_somebody(&format!("all watchdogs paused for {}", span(time)));
    Ok(ExitCode::Success)
}

/// What to type in place of a time behind the names.
fn stray_time(asked: Asked, given: Option<Duration>) -> Option<String> {
    let (last, names) =
        asked.which.names.split_last().filter(|(_, names)| given.is_none() && !names.is_empty())?;
    values::interval(last.to_str()?).ok()?;
    let is_name = asked.known().iter().any(|known| known.is_called(last));
    let names: Vec<_> = names.iter().filter(|name| *name != "for").map(|name| quoted(name)).collect();
    let (names, time) = (names.join(" "), quoted(last));
    (!is_name).then(|| {
        escaped(&format!(
            "unexpected argument '{}'; did you mean: watchdog pause {names} --for {time}",
            last.to_string_lossy()
        ))
    })
}

pub fn resume_after_upgrade(asked: Asked) -> Result<ExitCode, Failure> {
    for folder in [Some(asked.folder()), asked.before()].into_iter().flatten() {
        end_upgrade(&folder)
            .map_err(|error| format!("cannot end the pause in {}: {error}", folder.display()))?;
    }
    tell_somebody("upgrade pause ended");
    Ok(ExitCode::Success)
}

/// Says what was done if anybody watches: a package manager's hook is silent.
fn tell_somebody(what: &str) {
    if io::stdout().is_terminal() {
        tell(what);
    }
}

/// Root may say it to another user's watchdog; one that root runs does not heed what others can write.
fn warn_unheeded(folder: &Path, user: &User, stderr: &mut Stderr) {
    if let Err(error) = Dir::open(folder, user.trust()) {
        let folder = folder.display();
        stderr.complain(&format!("root's watchdogs ignore what is in {folder} ({error})"));
    }
}

/// Says to each of the instances that its process is to be left alone, or no longer.
pub fn say(asked: Asked, hold: Option<&Held>, now: Time, stderr: &mut Stderr) -> Result<ExitCode, Failure> {
    let folder = asked.folder();
    let said = asked.each(&asked.known(), stderr, |Known { files, .. }| {
        let start = || asked.order("start", &files.name);
        if files.holds(now).iter().any(|held| held.hold == Hold::Stopped) {
            return Err(format!("it is stopped, not paused; to start it: {}", start()).into());
        }
        files.say(hold, now).map_err(|error| unwritten(&folder, &error))?;
        let state = files.state_of_this_boot().ok().flatten();
        Ok(match hold.map(|held| held.until) {
            Some(Some(until)) => format!("paused for {}", span(until.saturating_sub(now))),
            Some(None) => format!("paused until '{}' or a reboot", asked.order("resume", &files.name)),
            None if state.is_some_and(|state| state.memory.life == Life::Finished) => {
                format!("resumed; failures forgotten; it has finished; to start it: {}", start())
            }
            None => "resumed; failures forgotten".to_owned(),
        })
    });
    let exit = said.map_err(|none| none.lines)?;
    if exit == ExitCode::Success {
        warn_unheeded(&folder, asked.user, stderr);
    }
    Ok(exit)
}

/// Why something could not be written down.
pub fn unwritten(folder: &Path, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "; it belongs to another user",
        _ => "",
    };
    format!("cannot write to {}: {error}{hint}", folder.display())
}
