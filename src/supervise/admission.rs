//! Whether this run may watch: it depends on who else does, on what is remembered, and on who began it.

use std::io::IsTerminal;
use std::time::Duration;

use crate::log;
use crate::process::ProcessId;
use crate::process::scan::Proc;
use crate::settings::Settings;
use crate::settings::digest::Digest;
use crate::settings::name::Name;
use crate::state::lock::Holder;
use crate::state::{Files, Origin, State};
use crate::sys::Pid;
use crate::time::{Time, now};

/// The watchdog of the same name that is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    pub pid: Option<Pid>,
    pub has_same_settings: bool,
    /// It is a `--once` run, and ends by itself.
    pub is_once: bool,
}

/// What the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    pub once: bool,
    pub origin: Origin,
    pub other: Option<Other>,
    /// The watchdog before this one did not say that it ended.
    pub was_cut_off: bool,
    /// Somebody has said `resume` since.
    pub is_resumed: bool,
    /// It gave up, and a fresh round begins then.
    pub gave_up_until: Option<Time>,
    pub now: Time,
}

/// What a run forgets of what was counted before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgets {
    Nothing,
    GiveUp,
    /// Failures and the attempt that is not judged, too.
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It watches.
    Watch {
        forgets: Forgets,
    },
    /// It only looks, since another one watches.
    LookBeside(Other),
    /// It only looks, since the process was given up; unless that runs.
    LookGivenUp,
    /// The same line again: nothing is to be done or said.
    Repeated(Other),
    Refused(Other),
}

impl Origin {
    pub fn current() -> Self {
        if has_terminal() || log::is_terminal() {
            Origin::Terminal
        } else if std::process::id() == 1 {
            Origin::Container
        } else if std::env::var_os("INVOCATION_ID").is_some() {
            Origin::ServiceManager
        } else {
            Origin::Line
        }
    }

    /// Whether a plain start forgets a give-up.
    pub fn starts_anew(self) -> bool {
        self.forgets(false) != Forgets::Nothing
    }

    /// Whoever begins a run after a give-up has decided so; by hand, that it begins afresh. The service manager
    /// begins it after a crash too, which nobody has decided.
    fn forgets(self, was_cut_off: bool) -> Forgets {
        match self {
            Origin::Terminal | Origin::Container => Forgets::All,
            Origin::ServiceManager if was_cut_off => Forgets::Nothing,
            Origin::ServiceManager => Forgets::GiveUp,
            Origin::Line => Forgets::Nothing,
        }
    }
}

/// Whether standard input is a terminal. Not by `std::io::stdin`, which keeps a buffer of 8 KiB from the
/// first call on.
pub fn has_terminal() -> bool {
    rustix::stdio::stdin().is_terminal()
}

impl Facts {
    /// A run that begins now.
    pub fn now(once: bool, other: Option<Other>) -> Self {
        let origin = Origin::current();
        Facts { once, origin, other, was_cut_off: false, is_resumed: false, gave_up_until: None, now: now() }
    }

    /// The time to the next round of a watch that goes on and was given up.
    pub fn round_in(&self) -> Option<Duration> {
        let until = self.gave_up_until.filter(|until| !self.once && self.now < *until);
        until.map(|until| until.saturating_sub(self.now))
    }
}

/// Whether somebody has said `resume` since that was last heeded.
pub fn is_resumed(files: &Files, state: &State) -> bool {
    files.resumed(now()).is_some_and(|at| at > state.resumed_ms)
}

impl Admission {
    pub fn decide(facts: &Facts) -> Self {
        match facts.other {
            Some(other) if facts.once => Admission::LookBeside(other),
            Some(other) if facts.origin == Origin::Line && other.has_same_settings => {
                Admission::Repeated(other)
            }
            Some(other) => Admission::Refused(other),
            None if facts.once => Admission::Watch { forgets: Forgets::Nothing },
            None => {
                let forgets =
                    if facts.is_resumed { Forgets::All } else { facts.origin.forgets(facts.was_cut_off) };
                let is_given_up = facts.round_in().is_some();
                // A crontab line that begins a long-running watch: given up is given up, for a while.
                if is_given_up && forgets == Forgets::Nothing && facts.origin == Origin::Line {
                    Admission::LookGivenUp
                } else {
                    Admission::Watch { forgets }
                }
            }
        }
    }
}

impl Other {
    /// What a second watchdog of the `name` is told.
    pub fn refusal(&self, name: &Name) -> String {
        let pid = self.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        if self.is_once {
            format!("a --once run of '{name}' is running{pid}; try again when it has ended")
        } else {
            format!(
                "a watchdog named '{name}' is already running{pid}; end that one first; for another process, add --name {name}-2"
            )
        }
    }

    /// Who holds the lock.
    pub fn holding(holder: &Holder, settings: &Settings, files: &Files) -> Self {
        let is_it = |run: ProcessId| Some(run.pid) == holder.pid;
        let state = files.state().ok().flatten();
        let is_once = state.is_some_and(|state| state.once && state.watchdog.is_some_and(is_it));
        // One that does not say what it does may do the same.
        let is_same = |other: &String| Digest::of(other).is_same(settings.digest());
        let has_same_settings = holder.settings.as_ref().is_none_or(is_same);
        Other { pid: holder.pid, has_same_settings, is_once }
    }

    /// Who is running by what `state` says: to ask for the lock, for however short a time, would send away a
    /// watchdog that begins just then.
    pub fn running(state: &State, settings: &Settings, proc: &Proc) -> Option<Self> {
        let it = state.watchdog.filter(|it| proc.is_alive(*it))?;
        let has_same_settings = state.digest.is_same(settings.digest());
        Some(Other { pid: Some(it.pid), has_same_settings, is_once: state.once })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: Other = Other { pid: Some(7), has_same_settings: true, is_once: false };
    const FACTS: Facts = Facts {
        once: false,
        origin: Origin::Line,
        other: None,
        was_cut_off: false,
        is_resumed: false,
        gave_up_until: None,
        now: Time::from_secs(10),
    };

    #[test]
    fn who_may_watch_depends_on_the_others_and_on_who_began_it() {
        let stranger = Other { has_same_settings: false, ..OTHER };
        let given_up = Facts { gave_up_until: Some(Time::from_secs(11)), ..FACTS };
        let watch = |forgets| Admission::Watch { forgets };
        for (facts, expected) in [
            (FACTS, watch(Forgets::Nothing)),
            (Facts { origin: Origin::Container, ..FACTS }, watch(Forgets::All)),
            (Facts { once: true, other: Some(OTHER), ..FACTS }, Admission::LookBeside(OTHER)),
            (Facts { other: Some(OTHER), ..FACTS }, Admission::Repeated(OTHER)),
            (Facts { other: Some(stranger), ..FACTS }, Admission::Refused(stranger)),
            (Facts { other: Some(OTHER), origin: Origin::Terminal, ..FACTS }, Admission::Refused(OTHER)),
            (given_up, Admission::LookGivenUp),
            (Facts { once: true, ..given_up }, watch(Forgets::Nothing)),
            (Facts { once: true, origin: Origin::Terminal, ..FACTS }, watch(Forgets::Nothing)),
            (Facts { is_resumed: true, ..given_up }, watch(Forgets::All)),
            (Facts { now: Time::from_secs(11), ..given_up }, watch(Forgets::Nothing)),
            (Facts { origin: Origin::Terminal, was_cut_off: true, ..given_up }, watch(Forgets::All)),
            (Facts { origin: Origin::ServiceManager, ..given_up }, watch(Forgets::GiveUp)),
            (
                Facts { origin: Origin::ServiceManager, was_cut_off: true, ..given_up },
                watch(Forgets::Nothing),
            ),
        ] {
            assert_eq!(Admission::decide(&facts), expected, "{facts:?}");
        }
    }
}
