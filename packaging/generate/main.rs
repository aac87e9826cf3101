//! Makes the manual pages and the completions in `packaging/` anew: `cargo run --example generate`.
#![allow(clippy::print_stderr)] // this is no watchdog

use std::path::Path;
use std::process::ExitCode;

mod files;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = files::all(root).and_then(|files| {
        files.iter().try_for_each(|(path, text)| {
            std::fs::write(root.join(path), text).map_err(|error| format!("{path}: {error}"))
        })
    });
    if let Err(wrong) = made {
        eprintln!("{wrong}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
