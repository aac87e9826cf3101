//! What depends on who began this run: whether it may watch beside another, and what it forgets.

use std::io::IsTerminal;

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

/// What a run does beside another watchdog of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// It only looks.
    Looks,
    /// The same line again: nothing is to be done or said.
    IsRepeated,
    IsRefused,
}

/// What a run forgets of what was counted before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgets {
    Nothing,
    GiveUp,
    /// Failures and the attempt that is not judged, too.
    All,
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
        self.forgets(false, false) != Forgets::Nothing
    }

    /// What a watch that goes on forgets. Whoever begins one after a give-up has decided so; by hand, that it begins
    /// afresh, as has who said `resume`. The service manager begins it after a crash too (`was_cut_off`), which nobody
    /// has decided.
    pub fn forgets(self, was_cut_off: bool, is_resumed: bool) -> Forgets {
        match self {
            _ if is_resumed => Forgets::All,
            Origin::Terminal | Origin::Container => Forgets::All,
            Origin::ServiceManager if !was_cut_off => Forgets::GiveUp,
            Origin::ServiceManager | Origin::Line => Forgets::Nothing,
        }
    }
}

/// Whether standard input is a terminal. Not by `std::io::stdin`, which keeps a buffer of 8 KiB from the
/// first call on.
pub fn has_terminal() -> bool {
    rustix::stdio::stdin().is_terminal()
}

/// Until when a run that begins now finds the process given up. `--once` takes part in the rounds itself.
pub fn given_up(until: Option<Time>, once: bool, now: Time) -> Option<Time> {
    until.filter(|until| !once && now < *until)
}

/// Whether somebody has said `resume` since that was last heeded.
pub fn is_resumed(files: &Files, state: &State) -> bool {
    files.resumed(now()).is_some_and(|at| at > state.resumed_ms)
}

impl Other {
    /// What a run of this origin does beside it.
    pub fn beside(&self, once: bool, origin: Origin) -> Beside {
        if once {
            Beside::Looks
        } else if origin == Origin::Line && self.has_same_settings {
            Beside::IsRepeated
        } else {
            Beside::IsRefused
        }
    }

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

    #[test]
    fn who_may_watch_beside_another_depends_on_both() {
        let same = Other { pid: Some(7), has_same_settings: true, is_once: false };
        let stranger = Other { has_same_settings: false, ..same };
        for (other, once, origin, expected) in [
            (same, true, Origin::Line, Beside::Looks),
            (stranger, true, Origin::Terminal, Beside::Looks),
            (same, false, Origin::Line, Beside::IsRepeated),
            (stranger, false, Origin::Line, Beside::IsRefused),
            (same, false, Origin::Terminal, Beside::IsRefused),
            (same, false, Origin::ServiceManager, Beside::IsRefused),
        ] {
            assert_eq!(other.beside(once, origin), expected, "{other:?} {once} {origin:?}");
        }
    }

    #[test]
    fn what_is_forgotten_depends_on_who_begins() {
        for (origin, was_cut_off, is_resumed, expected) in [
            (Origin::Line, false, false, Forgets::Nothing),
            (Origin::Line, false, true, Forgets::All),
            (Origin::Container, false, false, Forgets::All),
            (Origin::Terminal, true, false, Forgets::All),
            (Origin::ServiceManager, false, false, Forgets::GiveUp),
            (Origin::ServiceManager, true, false, Forgets::Nothing),
            (Origin::ServiceManager, true, true, Forgets::All),
        ] {
            assert_eq!(origin.forgets(was_cut_off, is_resumed), expected, "{origin:?} {was_cut_off}");
        }
    }

    #[test]
    fn a_give_up_holds_until_its_next_round_and_not_for_once() {
        let at = Time::from_secs;
        for (until, once, expected) in [
            (Some(at(11)), false, Some(at(11))),
            (Some(at(10)), false, None),
            (Some(at(11)), true, None),
            (None, false, None),
        ] {
            assert_eq!(given_up(until, once, at(10)), expected);
        }
    }
}
