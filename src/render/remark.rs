//! A remark in words, the same wherever it is shown.

use crate::report::snapshot::Remark;

pub fn words(remark: &Remark) -> String {
    match remark {
        Remark::NotChecked => "not checked since boot".to_owned(),
        Remark::DamagedState => "its state file is damaged".to_owned(),
        Remark::UnreadableState(error) => format!("its state file cannot be read: {error}"),
        Remark::Hidden(why) => why.clone(),
        Remark::EndedSinceCheck => "ended since the last check".to_owned(),
        Remark::StartCommandAtWork => "start command at work".to_owned(),
        Remark::GivenUp { .. } => "given up".to_owned(),
        Remark::Paused { .. } => "paused".to_owned(),
    }
}
