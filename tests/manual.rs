//! The manual pages and the completions say what the program says, and so do the tables of the documentation.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use regex_lite::Regex;
use watchdog::parts::{Given, NOT_INHERITED, Place, ROWS, Settings, User, config_file, settings};

use crate::harness::{Captured, Ended, Scene, WATCHDOG};
use crate::machine::{is_here, program, skip};

#[path = "../packaging/generate/files.rs"]
mod files;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn what_is_made_from_the_command_line_is_current() {
    let old: Vec<_> = files::all(root())
        .unwrap()
        .into_iter()
        .filter(|(path, text)| fs::read_to_string(root().join(path)).ok().as_ref() != Some(text))
        .map(|(path, _)| path)
        .collect();
    assert!(
        old.is_empty(),
        "no longer what the program says: {old:?}; to make them anew: cargo run --example generate"
    );
}

/// `-V` is no `[[version]]`.
#[test]
fn what_is_for_a_file_alone_is_not_in_the_page_of_the_command_line() {
    let (page, of_the_file) = (read("packaging/man/watchdog.1"), read("packaging/man/watchdog.toml.5"));
    for row in ROWS.iter().filter(|row| row.place == Place::File && !row.more.is_empty()) {
        let begins = row.more.split(['`', '-', '\'']).next().unwrap_or_default();
        assert!(of_the_file.contains(begins) && !page.contains(begins), "{}: {begins}", row.key);
    }
}

/// The options that `--help` shows, of the program itself and of each command: `-p, --process-name`.
pub fn options() -> Vec<(&'static str, String)> {
    let option = Regex::new(r"(?m)^ {2,6}(-\w(?:, --[\w-]+)?|--[\w-]+)").unwrap();
    let scene = Scene::new();
    let mut options = Vec::new();
    for command in ["", "status", "logs", "start", "stop", "restart", "pause", "resume", "clean", "probe"] {
        let mut help = Command::new(WATCHDOG);
        help.args((!command.is_empty()).then_some(command)).arg("--help").stdin(Stdio::null());
        let help = scene.spawn(help, Captured::All).ends();
        let found: Vec<_> =
            option.captures_iter(&help.stdout).map(|found| (command, found[1].to_owned())).collect();
        assert!(found.len() > 1, "{help}");
        options.extend(found);
    }
    assert!(options.contains(&("", "-p, --process-name".to_owned())), "{options:?}");
    options
}

#[test]
fn each_option_is_in_the_documentation_and_in_the_manual() {
    let configuration = read("docs/configuration.md");
    let sections = configuration.split("\n## ");
    let table: String = sections
        .filter(|section| ["Options\n", "Commands\n"].iter().any(|it| section.starts_with(it)))
        .collect();
    let page = read("packaging/man/watchdog.1");
    for (command, option) in options() {
        let is_in_table = if command.is_empty() {
            [" ", "`"].iter().any(|end| table.contains(&format!("`{option}{end}")))
        } else {
            option.ends_with("--help") || table.contains(&option)
        };
        assert!(is_in_table, "docs/configuration.md has no {option} of '{command}'");
        if command.is_empty() || !option.ends_with("--help") {
            let heading = if command.is_empty() { ".SH OPTIONS\n" } else { &*format!(".SS {command}\n") };
            let (_, page) = page.split_once(heading).unwrap();
            let page = page.split(if command.is_empty() { "\n.SH " } else { "\n.S" }).next().unwrap();
            let bold: Vec<_> =
                option.split(", ").map(|name| format!(r"\fB{}\fR", name.replace('-', r"\-"))).collect();
            let item = format!("\n.TP\n{}", bold.join(", "));
            assert!(page.contains(&item), "watchdog(1) has no {option} of '{command}'");
        }
    }
}

#[test]
fn each_key_is_in_the_manual_with_a_value_that_the_program_takes() {
    let page = read("packaging/man/watchdog.toml.5");
    let range = Regex::new(r"(\w+) to (\w+)").unwrap();
    for row in settings() {
        let key = row.key;
        assert!(page.contains(&format!("\n.TP\n\\fB{key}\\fR\n")), "watchdog.toml(5) has no {key}");
        let mut values = vec![row.example.to_owned()];
        if let Some(range) = row.takes.and_then(|takes| range.captures(takes.range)) {
            values.extend([format!("\"{}\"", &range[1]), format!("\"{}\"", &range[2])]);
        }
        for value in values {
            let name = value.trim_matches('"').split(':').next().unwrap();
            if ["user", "run_as"].contains(&key) && matches!(nix::unistd::User::from_name(name), Ok(None)) {
                skip(&format!("{value} is no user of this machine"));
                continue;
            }
            let required = [("process_name", "\"x\""), ("start_command", "\"y\""), ("hook", "\"z\"")];
            let mut lines: Vec<_> = required.into_iter().filter(|(other, _)| *other != key).collect();
            lines.push((key, &value));
            let lines: Vec<_> = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
            let file = lines.concat();
            assert_eq!(complaints(&file), [""; 0], "{file}");
        }
    }
}

#[test]
fn the_example_of_a_file_is_taken() {
    assert_eq!(complaints(&read("packaging/man/example.toml")), [""; 0]);
}

/// What is wrong with this configuration.
pub fn complaints(file: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nginx.toml");
    fs::write(&path, file).unwrap();
    // Which examples include.
    for included in ["common.inc", "env.inc", "alternative1.inc"] {
        fs::write(folder.path().join(included), "").unwrap();
    }
    let mut given = Given::default();
    let user = User { uid: 0, home: "/".into(), ..User::default() };
    match config_file::fill(&mut given, path.as_os_str(), &user) {
        Ok(()) => {
            let wrong = Settings::new(&given, &user).err().unwrap_or_default();
            wrong.iter().map(ToString::to_string).collect()
        }
        Err(wrong) => wrong,
    }
}

#[test]
fn the_manual_has_each_rule_of_the_contract() {
    let numbers = |rule: &str, text: &str| -> Vec<u32> {
        let rule = Regex::new(rule).unwrap();
        rule.captures_iter(text).map(|found| found[1].parse().unwrap()).collect()
    };
    let contract = numbers(r"(?m)^\*\*(\d+)\.\*\*", &read("docs/contract.md"));
    assert!(contract.len() > 49 && contract.is_sorted_by(|one, next| one < next), "{contract:?}");
    assert_eq!(numbers(r"(?m)^\.IP (\d+)\. 4$", &read("packaging/man/watchdog.1")), contract);
}

#[test]
fn what_start_commands_do_not_inherit_is_told() {
    let (contract, page) = (read("docs/contract.md"), read("packaging/man/watchdog.1"));
    for name in NOT_INHERITED {
        assert!(
            contract.contains(&format!("`{name}`")) && page.contains(&format!("\\fB{name}\\fR\n")),
            "{name}"
        );
    }
}

fn run(scene: &Scene, name: &str, arguments: &[&str]) -> Ended {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = program(name);
    command.args(arguments).stdin(Stdio::null()).current_dir(root());
    // Completions ask the program itself for names, by its name. fish keeps a history.
    let paths = [scene.path("bin")].into_iter().chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(paths).unwrap()).env("HOME", scene.path("home"));
    for variable in
        ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"]
    {
        command.env_remove(variable);
    }
    scene.spawn(command, Captured::All).ends()
}

#[test]
fn the_pages_are_well_formed() {
    let scene = Scene::new();
    let pages = ["packaging/man/watchdog.1", "packaging/man/watchdog.toml.5"];
    for (tool, options) in
        [("mandoc", &["-T", "lint", "-W", "warning"][..]), ("groff", &["-man", "-T", "utf8", "-ww", "-z"])]
            .into_iter()
            .filter(|(tool, _)| is_here(tool))
    {
        for page in pages {
            let checked = run(&scene, tool, &[options, &[page]].concat());
            // A page is of its version, and has no date.
            let complaints = checked.stdout.lines().chain(checked.stderr.lines());
            let complaints: Vec<_> = complaints.filter(|line| !line.contains("missing date")).collect();
            assert_eq!(complaints, [""; 0], "{checked}");
        }
    }
}

/// The program by its own name, with the state of the scene: one watchdog has run there.
fn with_one_name(scene: &Scene) {
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    fs::create_dir_all(scene.path("bin")).unwrap();
    let script =
        format!("#!/bin/sh\nexec '{WATCHDOG}' \"$@\" --state-dir '{}'\n", scene.path("state").display());
    scene.write_script("bin/watchdog", &script);
}

const BASH: &str = "compopt() { :; }; source packaging/completions/watchdog.bash; COMP_WORDS=(\"$@\"); \
                    COMP_CWORD=$(($# - 1)); _watchdog watchdog \"${@: -1}\" \"${@: -2:1}\"; \
                    printf '%s\\n' \"${COMPREPLY[@]}\"";
const FISH: &str = "source packaging/completions/watchdog.fish; complete -C \"$argv\"";

/// The shells that are here and that can be asked what they offer.
fn shells() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut shells = vec![
        ("bash", vec!["--norc", "-c", BASH, "bash", "watchdog"]),
        ("fish", vec!["--no-config", "-c", FISH, "watchdog"]),
    ];
    shells.retain(|(shell, _)| is_here(shell));
    shells
}

/// What bash and fish offer for what was typed so far; zsh has no such question outside a terminal.
#[test]
fn completions_offer_options_commands_and_names() {
    let scene = Scene::new();
    with_one_name(&scene);
    scene.wait_running();
    fs::create_dir_all(scene.path("home/.config/watchdog")).unwrap();
    fs::write(scene.path("home/.config/watchdog/zebra-d.toml"), "").unwrap();
    let shells = shells();
    let (name, user) = (scene.name(), "root");
    for (typed, offered) in [
        (&["--process-n"][..], "--process-name"),
        (&["pau"], "pause"),
        (&["pause", &name[..4]], name),
        (&["resume", &name[..4]], name),
        (&["status", &name[..4]], name),
        (&["clean", &name[..4]], name),
        (&["status", "--js"], "--json"),
        (&["-p", &name[..4]], name),
        (&["--process-name", &name[..4]], name),
        (&["--pid-namespace", "a"], "any"),
        (&["--user", "roo"], user),
        (&["--config", "zeb"], "zebra-d"),
        (&["-c", "zeb"], "zebra-d"),
        (&["--config", "Cargo.to"], "Cargo.toml"),
    ] {
        for (shell, arguments) in &shells {
            let ended = run(&scene, shell, &[arguments, typed].concat());
            // fish puts an explanation after a tab.
            let words: Vec<_> = ended.stdout.lines().filter_map(|line| line.split('\t').next()).collect();
            let is_begun = |word: &&str| typed.last().is_some_and(|begun| word.starts_with(begun));
            assert!(words.contains(&offered) && words.iter().all(is_begun), "{shell}, {typed:?}: {ended}");
            assert_eq!(ended.stderr, "", "{shell}, {typed:?}");
        }
    }
    if is_here("zsh") {
        let zsh = run(&scene, "zsh", &["-f", "-n", "packaging/completions/_watchdog"]);
        assert_eq!((zsh.code(), &*zsh.stderr), (Some(0), ""), "{zsh}");
    }
}

/// The state directory that was typed is where names are looked for; and where there is nothing to offer, no files
/// are offered instead.
#[test]
fn completions_know_the_state_directory_and_when_there_is_nothing() {
    let scene = Scene::new();
    assert_eq!(scene.watchdog().flag("--once").run().code(), Some(0));
    fs::create_dir_all(scene.path("bin")).unwrap();
    std::os::unix::fs::symlink(WATCHDOG, scene.path("bin/watchdog")).unwrap();
    fs::create_dir_all(scene.path("home")).unwrap();
    std::os::unix::fs::symlink(scene.path("state"), scene.path("home/state")).unwrap();
    let (name, place) = (scene.name(), scene.path("state"));
    let place = place.to_str().unwrap();
    for (shell, arguments) in shells() {
        let offered = |typed: &[&str]| {
            let ended = run(&scene, shell, &[&arguments, typed].concat());
            assert_eq!(ended.stderr, "", "{shell}, {typed:?}");
            ended.stdout.lines().filter_map(|line| line.split('\t').next()).any(|word| word == name)
        };
        let begun = &name[..4];
        assert!(offered(&["pause", "--state-dir", place, begun]), "{shell}");
        assert!(offered(&["clean", "--state-dir", "~/state", begun]), "{shell}");
        let one_word = format!("--state-dir={place}");
        let words = if shell == "bash" { vec!["--state-dir", "=", place] } else { vec![&*one_word] };
        assert!(offered(&[&["pause"][..], &words, &[begun]].concat()), "{shell}");
        assert!(!offered(&["pause", begun]), "{shell}");
    }
    if is_here("bash") {
        let script = "source packaging/completions/watchdog.bash; complete -p watchdog";
        let registered = run(&scene, "bash", &["--norc", "-c", script]).stdout;
        assert!(registered.contains("-F _watchdog") && !registered.contains("-o default"), "{registered}");
    }
}

#[test]
fn completions_leave_out_what_is_not_documented() {
    for file in ["watchdog.bash", "_watchdog", "watchdog.fish"] {
        let text = read(&format!("packaging/completions/{file}"));
        assert!(text.contains("process-name"), "{file}");
        for key in settings().map(|row| row.key).filter(|key| key.contains('_')) {
            // As in a function of the command start: _watchdog__subcmd__start_commands.
            let option = format!("--{key}");
            assert!(!text.contains(&option), "{file} offers {option}");
        }
    }
}
