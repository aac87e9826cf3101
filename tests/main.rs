//! The real program on real processes. One binary, so that it links once; a module for each subject.
//!
//! The watched processes are `tests/actor.rs` under names that nothing else has. Nothing is waited for
//! by the clock alone: each test waits for what it wants to see, and fails when it has not come in time.
//! What a machine or a user does not allow is skipped with a line on standard error that says why.
// How a test fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    clippy::indexing_slicing
)]
#![allow(unsafe_code)] // terminals, limits and filters are set up between fork and exec

mod afresh;
mod autorestart;
mod blocked;
mod clean;
mod cli;
mod config;
mod depends;
mod died;
mod docs;
mod dry_run;
mod environment;
mod failing;
mod follow;
mod give_up;
mod harness;
mod health;
mod held;
mod holds;
mod hooks;
mod hooks_ready;
mod hostile_dirs;
mod includes;
mod instance;
mod logs;
mod lost_time;
mod machine;
mod manual;
mod memory;
mod metrics;
mod monitoring;
mod namespaces;
mod once;
mod package;
mod pause;
mod pid_file;
mod places;
mod probe;
mod profile;
mod prompt;
mod reading;
mod refused;
mod request;
mod right_process;
mod schedule;
mod schema;
mod selection;
mod servers;
mod service_manager;
mod shutdown;
mod signals;
mod start;
mod start_words;
mod status;
mod stderr;
mod stopping;
mod terminal;
mod translations;
mod users;
mod validate;
mod which;
mod workers;
