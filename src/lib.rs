//! `watchdog` keeps one named process running on Linux.
//!
//! The data goes one way: what was typed ([`input`]) → what it means ([`settings`]) → what is seen
//! ([`process`]) → what is decided ([`policy`]) → what is done ([`supervise`], [`control`]).

mod control;
mod exit;
mod fs;
mod guard;
mod hold;
mod input;
mod log;
mod policy;
mod probe;
mod process;
mod render;
mod report;
mod settings;
mod state;
mod supervise;
mod sys;
mod task;
mod text;
mod time;

use control::dry_run;
use exit::ExitCode;
use input::cli::Cli;
use input::resolve::{self, Job};
use input::suggest;
use log::Stderr;
use settings::Verbosity;
use settings::dirs::User;
use supervise::setup;

/// The whole program: from the command line to the way it ends.
pub fn run() -> ExitCode {
    if probe::evidence::is_asked_for(std::env::args_os()) {
        return ExitCode::Success;
    }
    let mut stderr = Stderr::new(Verbosity::Warnings);
    match read(&mut stderr) {
        Ok(job) => setup::watch(job.settings, job.reload, &mut stderr),
        Err(exit) => exit,
    }
}

/// What there is to watch. Reading it takes more of the stack than watching, and for a moment only.
///
/// # Errors
/// Nothing: the command line is wrong, or asked for something else, which is done.
#[inline(never)]
fn read(stderr: &mut Stderr) -> Result<Box<Job>, ExitCode> {
    let user = User::current();
    let words: Vec<_> = std::env::args_os().collect();
    if let Some(wrong) = suggest::one_dash(&words) {
        stderr.complain(&wrong);
        return Err(ExitCode::Usage);
    }
    let typed = Cli::parse(&words).map_err(|other| suggest::answer(&other, &words, &user, stderr))?;
    if let Some(command) = &typed.command {
        return Err(control::run(command, &words, &user, stderr));
    }
    match resolve::read(typed.given, &user, stderr) {
        Ok(job) if job.given.is_on("dry_run") => Err(dry_run::run(&job, stderr)),
        Ok(job) => Ok(Box::new(job)),
        Err(wrong) => {
            for wrong in &wrong {
                stderr.complain(wrong);
            }
            Err(ExitCode::Usage)
        }
    }
}

/// What tests, fuzz targets, benchmarks and the generator of the manual use. All else is private, so that the
/// compiler tells what nobody uses.
pub mod parts {
    pub use crate::control::instances::Asked;
    pub use crate::control::status;
    pub use crate::exit::ExitCode;
    pub use crate::fs::Trust;
    pub use crate::hold::hours::{begins_next, ended_last, is_open};
    pub use crate::hold::versions::in_force;
    pub use crate::input::cli::{Cli, Form, Which, command_line, definition};
    pub use crate::input::config_file;
    pub use crate::log::output::OutputLog;
    pub use crate::policy::{
        Action, Answer, Decision, Ended, Failure, KILL_AFTER, LONGEST_RETRY, Life, Lost, May, MayStart,
        Memory, News, NotDone, Outcome, Policy, ProbeResult, Request, Seen, Stage, Still, StopBy, Window,
    };
    pub use crate::probe::builtin::answer;
    pub use crate::process::criteria::{
        full_names, is_init_script, is_invocation, program_name, runs, shown_command_line,
    };
    pub use crate::process::descent::Descent;
    pub use crate::process::pid_file::pid_in;
    pub use crate::process::scan::{Candidate, Proc, Tasks};
    pub use crate::process::stat::{LONGEST_LINE, Stat, tick};
    pub use crate::process::termination::Cause;
    pub use crate::process::{ProcessId, Signature};
    pub use crate::report::{hook, words};
    pub use crate::settings::check::Check;
    pub use crate::settings::dirs::{Dirs, User};
    pub use crate::settings::given::{Given, Source};
    pub use crate::settings::hook::HookEvents;
    pub use crate::settings::name::{Name, fnv, name};
    pub use crate::settings::pattern::{Extent, Pattern, printable};
    pub use crate::settings::table::{Place, ROWS, Row, option, row, settings};
    pub use crate::settings::values::{count, interval};
    pub use crate::settings::{
        Autorestart, Criteria, KillMode, Limits, Namespace, OnUnhealthy, Settings, Subject, hours, name,
        versions,
    };
    pub use crate::state::lock::Lock;
    pub use crate::state::owed::Telling;
    pub use crate::state::request::{Reply, TakenRequest};
    pub use crate::state::store::Store;
    pub use crate::state::{Files, Sight, State};
    pub use crate::supervise::start_command::{StartCommand, StartRecord};
    pub use crate::task::environment::NOT_INHERITED;
    pub use crate::text::{escaped, is_control, quoted, span};
    pub use crate::time::{Time, WallClock, boot_id, now};
}
