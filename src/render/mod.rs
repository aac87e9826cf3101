//! What is shown.

pub mod table;
