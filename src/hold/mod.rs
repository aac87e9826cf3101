//! Why nothing is started now.

pub mod pause;
