//! What was typed, written and answered.

pub mod cli;
pub mod config_file;
pub mod prompt;
pub mod resolve;
pub mod suggest;
