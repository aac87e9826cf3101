//! What is said of a watch: events, and who puts them into words.

pub mod event;
pub mod health;
pub mod hook;
pub mod log_lines;
pub mod service_manager;
pub mod snapshot;
pub mod words;
