//! `watchdog`: keeps one named process running. All of it is in the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    watchdog::run().code()
}
