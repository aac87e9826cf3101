//! Remarks and failures in words: for scripts, whose words stay, and for people.

use crate::hold::{Held, Hold};
use crate::report::snapshot::{Remark, Snapshot};
use crate::report::words::held;

/// The failed attempts in a row, if there are any.
pub fn failures(at: &Snapshot) -> Option<String> {
    let state = at.state.as_ref().filter(|state| state.memory.failures > 0)?;
    let of = state.max_fail_count.map(|most| format!(" of {most}")).unwrap_or_default();
    Some(format!("failures: {}{of}", state.memory.failures))
}

/// As `standing` has it in JSON.
pub fn for_scripts(remark: &Remark) -> String {
    match remark {
        Remark::NotChecked => "not checked since boot".to_owned(),
        Remark::DamagedState => "its state file is damaged".to_owned(),
        Remark::UnreadableState(error) => format!("its state file cannot be read: {error}"),
        Remark::Hidden(why) => why.clone(),
        Remark::EndedSinceCheck => "ended since the last check".to_owned(),
        Remark::StartCommandAtWork => "start command at work".to_owned(),
        Remark::GivenUp { .. } => "given up".to_owned(),
        Remark::Held(Held { hold: Hold::Upgrading, .. }) => Hold::Paused.name().to_owned(),
        Remark::Held(Held { hold, .. }) => hold.name().to_owned(),
    }
}

/// As people read it; what has a time of its own is theirs to add.
pub fn words(remark: &Remark) -> String {
    match remark {
        Remark::DamagedState => "state file damaged".to_owned(),
        Remark::UnreadableState(error) => format!("cannot read state: {error}"),
        Remark::StartCommandAtWork => "start command running".to_owned(),
        Remark::GivenUp { .. } => "gave up".to_owned(),
        Remark::NotChecked | Remark::Hidden(_) | Remark::EndedSinceCheck => for_scripts(remark),
        Remark::Held(it) => held(it),
    }
}
