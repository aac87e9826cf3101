//! `validate`: what is wrong with configurations, wherever they are.

use std::fs;
use std::process::Stdio;

use crate::harness::{Captured, Ended, Scene, WATCHDOG};
use crate::includes::private;
use crate::machine::program;

const GOOD: &str = "process_name = 'x'\nstart_command = 'y'\n";

/// The command, on these files of the scene.
fn validate(scene: &Scene, files: &[&str]) -> Ended {
    let mut command = program(WATCHDOG);
    command.arg("validate").args(files.iter().map(|file| scene.path(file))).stdin(Stdio::null());
    command.env("HOME", scene.path("home"));
    scene.spawn(command, Captured::All).ends()
}

#[test]
fn all_that_is_wrong_is_said_of_each_file() {
    let scene = Scene::new();
    for (file, text) in [
        ("good.toml", GOOD.to_owned()),
        ("wrong.toml", "exat = true\nmax_fail_count = 0\ninclude = 'part.inc'\n".to_owned()),
        ("part.inc", "\nuser = nobody\n".to_owned()),
        ("short.toml", "process_name = 'x'\n".to_owned()),
        ("worker@.toml", "process_name = '^worker-%i$'\nstart_command = 'date +%F'\n".to_owned()),
        ("web@.toml", format!("{GOOD}name = 'web-%i'\n")),
        ("other.toml", format!("{GOOD}user = 'no-such-user-here'\ndepends_on = ['good', 'gone', 'web@7']\n")),
    ] {
        fs::write(scene.path(file), text).unwrap();
    }
    let files = [
        "good.toml",
        "wrong.toml",
        "short.toml",
        "worker@.toml",
        "web@.toml",
        "web@3.toml",
        "no.toml",
        "other.toml",
    ];
    let ended = validate(&scene, &files);
    let at = |text: &str| {
        text.replace(&format!("{}/", scene.path("").display().to_string().trim_end_matches('/')), "")
    };
    assert_eq!(ended.code(), Some(2), "{ended}");
    let stderr = at(&ended.stderr);
    let said: Vec<_> = stderr.lines().map(|line| line.strip_prefix("watchdog: ").unwrap()).collect();
    let expected = [
        "wrong.toml:1: unknown setting 'exat'; did you mean exact?",
        "wrong.toml:2: max_fail_count '0': too small",
        "part.inc:2: put the text in quotes: user = \"nobody\"",
        "short.toml: --start-command: missing; add it",
        "worker@.toml:2: start_command: '%F' in a template",
        "no.toml: cannot read it: ",
        "warning: other.toml:3: user 'no-such-user-here': no such user",
    ];
    assert_eq!(said.len(), expected.len(), "{ended}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{expected}: {said}");
    }
    assert_eq!(at(&ended.stdout), "good.toml: OK\nweb@.toml: OK\nweb@3.toml: OK\nother.toml: OK\n");
    fs::write(scene.path("other.toml"), format!("{GOOD}\ndepends_on = ['good', 'gone', 'web@7']\n")).unwrap();
    let ended = validate(&scene, &["other.toml"]);
    let warning = "watchdog: warning: other.toml:4: depends_on 'gone': there is no gone.toml; without one it is not waited for\n";
    assert_eq!((ended.code(), at(&ended.stderr)), (Some(0), warning.to_owned()), "{ended}");
    // It has only looked.
    assert!(!scene.path("home").exists() && !scene.path("state").exists());
}

#[test]
fn what_is_refused_at_the_start_is_wrong_on_any_machine() {
    let scene = Scene::new();
    for (text, expected) in [
        ("once = true\nautorestart = 'never'\n", "4: autorestart 'never': cannot be combined with --once"),
        ("run_as = 'daemon:'\n", "3: run_as 'daemon:': is not a user, or a user and a group; give"),
        ("run_as = ''\n", "3: run_as '': is not a user, or a user and a group; give"),
    ] {
        fs::write(scene.path("x.toml"), format!("{GOOD}{text}")).unwrap();
        let ended = validate(&scene, &["x.toml"]);
        assert!(ended.code() == Some(2) && ended.stdout.is_empty(), "{text}: {ended}");
        assert!(ended.stderr.lines().count() == 1 && ended.stderr.contains(expected), "{ended}");
    }
    // What is wrong with a version does not leave the start command missing besides.
    fs::write(scene.path("x.toml"), "process_name = 'x'\n[[version]]\nstart_command = 'y'\n").unwrap();
    let ended = validate(&scene, &["x.toml"]);
    assert!(
        ended.stderr.lines().count() == 1 && ended.stderr.contains("a version has no apply_on"),
        "{ended}"
    );
}

#[test]
fn circles_of_dependencies_are_named_in_each_of_their_files() {
    let scene = Scene::new();
    for (name, depends_on) in [("a", "'b'"), ("b", "'d', 'a'"), ("c", "'a'"), ("d", ""), ("e", "'e'")] {
        let text = format!("{GOOD}depends_on = [{depends_on}]\n");
        fs::write(scene.path(&format!("{name}.toml")), text).unwrap();
    }
    for (files, said) in [
        (&["a.toml"][..], "a.toml:3: depends_on: a circle: a \u{2192} b \u{2192} a; remove one of them\n"),
        // Whether the others are asked for or not.
        (&["b.toml"], "b.toml:3: depends_on: a circle: b \u{2192} a \u{2192} b; remove one of them\n"),
        (&["e.toml"], "e.toml:3: depends_on '[\"e\"]': it cannot wait for itself; remove its own name\n"),
    ] {
        let ended = validate(&scene, files);
        assert!(ended.code() == Some(2) && ended.stderr.ends_with(said), "{ended}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
    }
    let all = validate(&scene, &["a.toml", "b.toml", "c.toml"]);
    let told: Vec<_> = all.stderr.lines().filter_map(|line| line.rsplit('/').next()).collect();
    assert_eq!(
        told,
        [
            "a.toml:3: depends_on: a circle: a \u{2192} b \u{2192} a; remove one of them",
            "b.toml:3: depends_on: a circle: b \u{2192} a \u{2192} b; remove one of them"
        ]
    );
    assert_eq!(all.code(), Some(2));
    assert!(all.stdout.ends_with("c.toml: OK\n") && all.stdout.lines().count() == 1, "{all}");
    assert_eq!(validate(&scene, &["c.toml", "d.toml"]).code(), Some(0), "they are in none");
}

/// All that there are, by name, without /proc where that can be tried.
#[test]
fn names_are_taken_and_without_any_all_configurations() {
    let scene = Scene::new();
    let Some((through, folder)) = private(&scene) else { return };
    fs::write(scene.path("good.toml"), GOOD).unwrap();
    fs::write(scene.path("bad.toml"), "exact = 1\n").unwrap();
    fs::write(scene.path("web@.toml"), GOOD).unwrap();
    let script = format!(
        "exec 2>&1; mkdir -p {folder}; '{WATCHDOG}' validate; cp $HERE/good.toml $HERE/web@.toml {folder}; \
         mount -t tmpfs none /proc 2>/dev/null; '{WATCHDOG}' validate; echo $?; cp $HERE/bad.toml {folder}; \
         '{WATCHDOG}' validate; echo $?; '{WATCHDOG}' validate good web@2; echo $?; '{WATCHDOG}' check good"
    );
    let mut command = program(&through[0]);
    command.args(&through[1..]).args(["sh", "-c", &script]).env("HOME", scene.path("home"));
    let ended = scene.spawn(command, Captured::All).ends();
    let lines: Vec<_> = ended.stdout.lines().collect();
    let expected = [
        "there is no configuration (looked in ",
        "good.toml: OK",
        "web@.toml: OK",
        "0",
        "bad.toml:1: exact: a number does not fit; give true or false",
        "good.toml: OK",
        "web@.toml: OK",
        "2",
        "good.toml: OK",
        "web@2.toml: OK",
        "0",
        "unknown command 'check'; did you mean: watchdog validate good",
    ];
    assert_eq!(lines.len(), expected.len(), "{ended}");
    for (line, said) in lines.iter().zip(expected) {
        assert!(line.contains(said), "{said}: {ended}");
    }
}
