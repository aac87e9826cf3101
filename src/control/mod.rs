//! The commands.

pub mod dry_run;
pub mod status;
