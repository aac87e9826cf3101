//! Which watchdogs a command is for: by name, by a glob, and all (rule 62).

use std::fs;

use serde_json::json;

use crate::harness::{Ended, Scene};

/// A state for each of the names, as of a process that runs and is watched by `--once`.
pub fn keep(scene: &Scene, names: &[impl AsRef<str>]) {
    scene.start_actor(&["sleep"]);
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0), "{}", scene.story());
    let mut state = scene.state();
    for name in names.iter().map(AsRef::as_ref) {
        state["name"] = json!(name);
        fs::write(scene.path(&format!("state/{name}.json")), state.to_string()).unwrap();
    }
    for ending in ["json", "lock"] {
        fs::remove_file(scene.kept(ending)).unwrap();
    }
}

/// What each line of a table or an answer begins with.
fn first_words(ended: &Ended) -> Vec<&str> {
    let lines = ended.stdout.lines().filter(|line| !line.starts_with("NAME "));
    lines.map(|line| line.split(' ').next().unwrap().trim_end_matches(':')).collect()
}

#[test]
fn a_glob_is_all_that_it_matches_each_once_and_in_the_order_given() {
    let scene = Scene::new();
    keep(&scene, &["db", "web-1", "web-2", "web-10", "web.3", "a@b:c_d"]);
    for (asked, expected) in [
        (&["db", "web-*", "web-2", "db"][..], &["db", "web-1", "web-10", "web-2"][..]),
        (&["web-2", "web-?"], &["web-2", "web-1"]),
        (&["web-[2-9]", "web?3"], &["web-2", "web.3"]),
        (&["web-[!2]", "*db*"], &["web-1", "db"]),
        (&["web-[^2]"], &["web-1"]),
        (&["a[@]b?c_?"], &["a@b:c_d"]),
        (&["--all"], &["a@b:c_d", "db", "web-1", "web-10", "web-2", "web.3"]),
        (&["*"], &["a@b:c_d", "db", "web-1", "web-10", "web-2", "web.3"]),
    ] {
        let shown = scene.say(&[&["status"], asked].concat());
        assert_eq!((shown.code(), first_words(&shown)), (Some(0), expected.to_vec()), "{asked:?}: {shown}");
    }
    for command in ["pause", "resume", "stop"] {
        let done = scene.say(&[command, "web-[12]", "db", "web-2"]);
        assert_eq!((done.code(), first_words(&done)), (Some(0), vec!["web-1", "web-2", "db"]), "{done}");
    }
    assert_eq!(scene.all(), Vec::<i32>::new(), "the first stop was of the process of all");
    let done = scene.say(&["clean", "web-?", "web-1"]);
    assert_eq!((done.code(), first_words(&done)), (Some(0), vec!["web-1", "web-2"]), "{done}");
    let done = scene.say(&["clean", "--all"]);
    assert_eq!(
        (done.code(), first_words(&done)),
        (Some(0), vec!["a@b:c_d", "db", "web-10", "web.3"]),
        "{done}"
    );
}

#[test]
fn a_glob_of_nothing_is_refused_with_what_there_is_and_nothing_is_done() {
    let scene = Scene::new();
    keep(&scene, &["db", "web-1"]);
    // A shell would do something else with the second, and nothing with the third.
    for glob in ["web?-*", "!web*", "web-[1", "[]", "we", ".*", "(db|web)*", "*\u{1b}[2J", "WEB*"] {
        for command in ["status", "pause", "resume", "start", "stop", "restart", "clean"] {
            let refused = scene.say(&[command, "db", glob]);
            assert_eq!((refused.code(), &*refused.stdout), (Some(2), ""), "{command} {glob}: {refused}");
            let there = ["there are: db, web-1\n", "no watchdog is named 'we'; did you mean 'web-1'?\n"];
            assert!(there.iter().any(|there| refused.stderr.ends_with(there)), "{refused}");
            assert!(refused.stderr.lines().count() == 1 && !refused.stderr.contains('\u{1b}'), "{refused}");
        }
    }
    assert_eq!(scene.all().len(), 1);
    let many: Vec<_> = (10..40).map(|number| format!("n{number}")).collect();
    keep(&scene, &many);
    let refused = scene.say(&["status", "x*"]);
    let there = "there are: db, n10, n11, n12, n13, n14, n15, n16, n17, n18, n19, n20, and 20 more, which 'watchdog \
                 status --all' lists\n";
    assert!(refused.code() == Some(2) && refused.stderr.ends_with(there), "{refused}");
}

/// Packages are being upgraded: only who gives a name means that one.
#[test]
fn a_glob_ends_no_pause_of_an_upgrade() {
    let scene = Scene::new();
    keep(&scene, &["web-1"]);
    assert_eq!(scene.say(&["pause", "--upgrade", "--for", "1h"]).code(), Some(0));
    for (asked, status) in [("web-*", 1), ("--all", 1), ("web-1", 0)] {
        let done = scene.say(&["start", asked]);
        assert_eq!(done.code(), Some(status), "{asked}: {done}");
    }
}
