//! What is shown: each output is a pure function of snapshots, in a file of its own.

pub mod json;
pub mod nagios;
pub mod prometheus;
mod remark;
pub mod screen;
pub mod status_line;
pub mod status_table;
pub mod table;
