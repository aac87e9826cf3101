//! What the package brings, as far as it can be held against the program without a machine to install it on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex_lite::Regex;
use watchdog::parts::{Given, Settings, User, config_file, row};

use crate::harness::{Captured, Scene};
use crate::machine::skip;

fn packaging(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path)
}

/// What this configuration comes to.
fn settings(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.toml");
    fs::write(&path, text).unwrap();
    let mut given = Given::default();
    let user = User { uid: 0, home: "/".into(), ..User::default() };
    config_file::fill(&mut given, path.as_os_str(), &user).unwrap();
    // Other files are looked for beside it, wherever it is.
    format!("{:?}", Settings::new(&given, &user).unwrap()).replace(folder.path().to_str().unwrap(), "")
}

#[test]
fn the_example_configuration_is_taken_and_comments_out_the_defaults() {
    let example = fs::read_to_string(packaging("examples/docker.toml.example")).unwrap();
    // Of these it says that they are not, or they want one that is not.
    let default = Regex::new(r"(?m)^#((\w+) = )").unwrap();
    let others = ["user", "retry_after", "hook", "hook_events", "output_pattern"];
    let is_other = |key: &str| others.contains(&key);
    let said = default.replace_all(&example, |found: &regex_lite::Captures| {
        if is_other(&found[2]) { found[0].to_owned() } else { found[1].to_owned() }
    });
    assert_ne!(said, example);
    assert_eq!(settings(&said), settings(&example));
    // All together are taken too, and each is a setting.
    settings(&default.replace_all(&example, "$1"));
    for found in default.captures_iter(&example) {
        assert!(row(&found[2]).is_some(), "{}", &found[2]);
    }
}

/// Both packages have the same files, but for those that are Debian's.
#[test]
fn the_rpm_package_has_what_the_debian_package_has() {
    let manifest = fs::read_to_string(packaging("../Cargo.toml")).unwrap();
    let sources = |section: &str, form: &str| {
        let (_, rest) = manifest.split_once(section).unwrap();
        let (_, list) = rest.split_once("\nassets = [\n").unwrap();
        let (list, _) = list.split_once("\n]\n").unwrap();
        let source = Regex::new(form).unwrap();
        let found = source.captures_iter(list).map(|found| found[1].to_owned());
        found.collect::<std::collections::BTreeSet<_>>()
    };
    let debian = sources("[package.metadata.deb]", r#"(?m)^    \["([^"]+)""#);
    let rpm = sources("[package.metadata.generate-rpm]", r#"source = "([^"]+)""#);
    let is_debians =
        |path: &&String| path.starts_with("packaging/apt/") || path.starts_with("packaging/debian/");
    assert!(debian.len() > 15, "{debian:?}");
    assert_eq!(
        debian.iter().filter(|path| !is_debians(path)).collect::<Vec<_>>(),
        rpm.iter().collect::<Vec<_>>()
    );
}

/// What an administrator finds in a unit two years later.
#[test]
fn each_directive_of_a_unit_has_a_comment() {
    let mut units = Vec::new();
    for folder in ["systemd", "systemd/user", "examples"] {
        let files = fs::read_dir(packaging(folder)).unwrap().map(|file| file.unwrap().path());
        units.extend(files.filter(|file| {
            file.extension()
                .is_some_and(|ending| ["service", "timer", "conf"].iter().any(|unit| ending == *unit))
        }));
    }
    assert!(units.len() > 8, "{units:?}");
    for unit in units {
        let mut is_explained = false;
        for line in fs::read_to_string(&unit).unwrap().lines() {
            let says_what_it_is = ["Description=", "Documentation="].iter().any(|key| line.starts_with(key));
            assert!(
                is_explained || says_what_it_is || line.is_empty() || line.starts_with(['#', '[']),
                "{}: {line}",
                unit.display()
            );
            // One comment may be for several lines, up to an empty one.
            is_explained = !line.is_empty() && (is_explained || line.starts_with('#'));
        }
    }
}

/// In the night in which clocks go back, an hour comes twice.
#[test]
fn timers_do_not_go_by_the_clock_of_summer() {
    let scene = Scene::new();
    let timers = [
        ("systemd/watchdog-once@.timer", 60),
        ("systemd/user/watchdog-once@.timer", 60),
        ("systemd/watchdog-textfile.timer", 120),
    ];
    for (timer, times) in timers {
        let unit = fs::read_to_string(packaging(timer)).unwrap();
        let when = unit.lines().find_map(|line| line.strip_prefix("OnCalendar=")).unwrap();
        assert!(when.ends_with(" UTC"), "{timer}: {when}");
        // It is not there everywhere.
        let mut analyze = Command::new("sh");
        analyze.args(["-c", "exec systemd-analyze \"$@\"", "sh", "calendar", when, "--iterations=121"]);
        analyze.arg("--base-time=2026-10-25 00:59:30 UTC");
        analyze.env("TZ", "Europe/Berlin").env("LC_ALL", "C").stdin(Stdio::null());
        let ended = scene.spawn(analyze, Captured::All).ends();
        if !ended.status.success() {
            return skip("there is no systemd-analyze that knows of a base time");
        }
        let is_in_hour = |line: &&str| line.contains("2026-10-25 01:") && line.contains("UTC");
        let hour = ended.stdout.lines().filter(is_in_hour).count();
        assert_eq!(hour, times, "{timer}: all of the hour that comes twice\n{ended}");
    }
}

/// `cargo install` of what `cargo package` makes needs these, and a warning would be the last thing that is read.
#[test]
fn the_crate_is_complete_and_free_of_warnings() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["package", "--list", "--allow-dirty", "--offline"]).stdin(Stdio::null());
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    let ended = Scene::new().spawn(cargo, Captured::All).ends();
    assert_eq!((ended.code(), &*ended.stderr), (Some(0), ""), "{ended}");
    let packaged: Vec<_> = ended.stdout.lines().collect();
    let needed =
        ["Cargo.lock", "src/main.rs", "packaging/man/watchdog.1", "packaging/build-deb", "docs/install.md"];
    for file in needed.into_iter().chain(["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"]) {
        assert!(packaged.contains(&file), "{file}: {ended}");
    }
}
