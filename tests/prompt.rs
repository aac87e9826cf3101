//! What is missing is asked for: in a terminal, and through a pipe.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::harness::{Captured, Ended, Invocation, Scene, WATCHDOG};
use crate::machine::pipe;

const QUESTIONS: [&str; 5] = [
    "(?i)process name",
    "(?i)start command",
    r"(?i)health check interval.*\[1s\]",
    r"(?i)restart wait interval.*\[5s\]",
    r"(?i)max fail count.*\[3\]",
];
const ASKED_FOR: [&str; 4] =
    ["--process-name", "--start-command", "--health-check-interval", "--restart-wait-interval"];

/// A watchdog that has been told nothing of its main job.
fn unset(scene: &Scene) -> Invocation<'_> {
    ASKED_FOR.into_iter().fold(scene.watchdog(), Invocation::without)
}

/// Answers it through a pipe.
fn answer(watchdog: Invocation<'_>, scene: &Scene, answers: &str) -> Ended {
    let (reader, mut writer) = pipe();
    let mut command = watchdog.command();
    command.stdin(reader);
    let watchdog = scene.spawn(command, Captured::All);
    // It may have ended without a question.
    let _ = writer.write_all(answers.as_bytes());
    drop(writer);
    watchdog.ends()
}

#[test]
fn a_terminal_is_asked_in_the_contract_s_order() {
    let scene = Scene::new();
    let pid = scene.start_actor(&["sleep"]);
    let (mut terminal, watchdog) = unset(&scene).in_terminal();
    terminal.expect(QUESTIONS[0]);
    terminal.enter(scene.name());
    // What is typed is looked up at once.
    terminal.expect(&format!(r"{} .*pid {pid}", scene.name()));
    terminal.expect(QUESTIONS[1]);
    terminal.enter("$ACTOR sleep &");
    terminal.expect(QUESTIONS[2]);
    terminal.enter("0.1");
    terminal.expect(QUESTIONS[3]);
    terminal.enter("");
    terminal.expect(QUESTIONS[4]);
    terminal.enter("7");
    terminal.expect(r"watchdog .*--max-fail-count[= ]7");
    terminal.expect(": watching ");
    let first = scene.wait_for("INFO watching ");
    assert!(first.text.contains(&format!("following {} (pid {pid}, ", scene.name())), "{first:?}");
    let settings = scene.wait_for("INFO settings: ");
    assert!(settings.text.contains("100ms") && settings.text.contains("5s"), "{settings:?}");
    scene.assert_watched();
    scene.wait_for(r"\(attempt 1 of 7\)");
    watchdog.terminate();
}

#[test]
fn a_wrong_answer_is_explained_and_asked_again() {
    let scene = Scene::new();
    let (mut terminal, watchdog) = unset(&scene).in_terminal();
    for (question, answers) in QUESTIONS.into_iter().zip([
        &["", "a(b", "  ", scene.name()][..],
        &["", "  ", "$ACTOR sleep &"],
        &["soon", "0", "-1", "0.1"],
        &["x", "0.3"],
        &["0", "-1", "many", "2"],
    ]) {
        for answer in answers {
            terminal.expect(question);
            terminal.enter(answer);
        }
    }
    let said = terminal.expect(": watching ");
    assert!(said.contains("watchdog "), "{said}");
    for why in ["a(b", "character 2", "soon", "many"] {
        assert!(terminal.transcript().contains(why), "{why} in\n{}", terminal.transcript());
    }
    scene.wait_for(r"\(attempt 1 of 2\)");
    scene.wait_running();
    watchdog.terminate();
}

#[test]
fn only_what_was_not_given_is_asked_for() {
    let scene = Scene::new();
    let (mut terminal, watchdog) =
        scene.watchdog().without("--start-command").without("--restart-wait-interval").in_terminal();
    terminal.expect(QUESTIONS[1]);
    terminal.enter("$ACTOR sleep &");
    terminal.expect(QUESTIONS[3]);
    terminal.enter("0.3");
    terminal.expect(QUESTIONS[4]);
    terminal.enter("");
    terminal.expect(": watching ");
    let asked = |question: &str| regex_lite::Regex::new(&format!(r"{question}[^\n]*\[")).unwrap();
    assert!(!asked("(?i)health check interval").is_match(terminal.transcript()), "{}", terminal.transcript());
    watchdog.terminate();
}

#[test]
fn where_nothing_required_is_missing_nothing_is_asked() {
    let scene = Scene::new();
    let watchdog = scene.watchdog().without("--health-check-interval").without("--restart-wait-interval");
    let (mut terminal, watchdog) = watchdog.in_terminal();
    terminal.expect(": watching ");
    assert!(!terminal.transcript().contains("[1s]"), "{}", terminal.transcript());
    watchdog.terminate();
}

/// The equivalent command line can be pasted, whatever was typed.
#[test]
fn the_equivalent_command_line_is_one() {
    let scene = Scene::new();
    let start_command =
        r#"printf '%s|' "it's" '$HOME' \\ '!x' "`echo 7`" $((1 + 1)) > $HERE/typed; $ACTOR sleep &"#;
    let (mut terminal, watchdog) = unset(&scene).flag("--once").in_terminal();
    for (question, answer) in QUESTIONS.into_iter().zip([scene.name(), start_command, "0.1", "0.4", "2"]) {
        terminal.expect(question);
        terminal.enter(answer);
    }
    terminal.expect("attempt 1");
    assert_eq!(watchdog.ends().code(), Some(0), "{}", terminal.transcript());
    let typed = r"it's|$HOME|\|!x|7|2|";
    assert_eq!(scene.read("typed"), typed);

    let line =
        terminal.transcript().lines().find(|line| line.contains("--process-name")).unwrap().trim().to_owned();
    let folders = [scene.path("state"), scene.path("log")].map(|folder| folder.display().to_string());
    let complete = folders.iter().all(|folder| line.contains(folder)) && line.contains("--once");
    assert!(complete, "it is not equivalent: {line}");
    scene.all().into_iter().for_each(|pid| crate::machine::send(pid, nix::sys::signal::Signal::SIGKILL));
    scene.wait_until("it is gone", || scene.all().is_empty().then_some(()));
    std::fs::remove_file(scene.path("typed")).unwrap();
    let mut shell = Command::new("sh");
    let bin = std::path::Path::new(WATCHDOG).parent().unwrap().display();
    shell.arg("-c").arg(&line).env("PATH", format!("{bin}:/usr/bin:/bin")).stdin(Stdio::null());
    let ended = scene.spawn(shell, Captured::All).ends();
    assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(0), 1), "{line}\n{ended}");
    assert_eq!(scene.read("typed"), typed, "{line}");
}

#[test]
fn a_name_that_nothing_has_is_said_to_have_none() {
    let scene = Scene::new();
    let (mut terminal, _watchdog) = unset(&scene).in_terminal();
    terminal.expect(QUESTIONS[0]);
    terminal.enter(scene.name());
    terminal.expect("(?i)(nothing|no process)");
    terminal.expect(QUESTIONS[1]);
}

#[test]
fn answers_come_through_a_pipe_too() {
    let scene = Scene::new();
    let ended = answer(
        unset(&scene).flag("--once"),
        &scene,
        &format!("{}\n$ACTOR sleep &\n0.1\n0.3\n2\n", scene.name()),
    );
    assert_eq!(ended.code(), Some(0), "{ended}");
    scene.wait_running();
    scene.wait_for(r"\(attempt 1 of 2\)");
    let mut rest = &*ended.stderr;
    for question in QUESTIONS {
        let found = regex_lite::Regex::new(question)
            .unwrap()
            .find(rest)
            .unwrap_or_else(|| panic!("{question}: {ended}"));
        rest = &rest[found.end()..];
    }
}

/// An empty line is the default, and the last line needs no end.
#[test]
fn empty_answers_are_the_defaults() {
    let scene = Scene::new();
    scene.start_actor(&["sleep"]);
    let ended = answer(unset(&scene).flag("--once"), &scene, &format!("  {} \r\ntrue\n\n\n4", scene.name()));
    assert_eq!(ended.code(), Some(0), "{ended}");
    let line = ended.stderr.lines().find(|line| line.contains("--process-name")).unwrap();
    assert!(line.contains(scene.name()) && line.contains("--max-fail-count") && line.contains('4'), "{line}");
}

#[test]
fn what_is_missing_is_named_and_nothing_that_has_a_default() {
    let scene = Scene::new();
    let ended = answer(unset(&scene).with("--process-name", scene.name()), &scene, "");
    let missing = ended.stderr.lines().filter(|line| line.starts_with("watchdog: "));
    let missing: Vec<_> = missing.collect();
    let expected =
        "watchdog: --start-command: missing; add it, for example: --start-command 'service docker start'";
    assert_eq!((ended.code(), missing), (Some(2), vec![expected]), "{ended}");
}

#[test]
fn a_wrong_answer_through_a_pipe_ends_it() {
    for (answers, wrong) in [
        (format!("a(b\n{0}\n{0}\n{0}\n", "x"), "a(b"),
        ("\nx\n".into(), "--process-name"),
        ("NAME\n\n".into(), "--start-command"),
        ("NAME\ntrue\nsoon\n1\n1\n".into(), "soon"),
        ("NAME\ntrue\n\n0\n\n".into(), "--restart-wait-interval"),
        ("NAME\ntrue\n\n\nmany\n".into(), "many"),
    ] {
        let scene = Scene::new();
        let ended = answer(unset(&scene), &scene, &answers.replace("NAME", scene.name()));
        assert_eq!((ended.code(), scene.starts()), (Some(2), 0), "{answers:?}: {ended}");
        let last = ended.stderr.lines().last().unwrap();
        assert!(last.contains(wrong), "{answers:?}: {ended}");
    }
}

#[test]
fn bytes_that_are_no_text_are_no_answer() {
    let scene = Scene::new();
    let mut command = unset(&scene).command();
    let (reader, mut writer) = pipe();
    writer.write_all(b"\xff\xfe\ntrue\n\n\n\n").unwrap();
    drop(writer);
    command.stdin(reader);
    let ended = scene.spawn(command, Captured::All).ends();
    assert_eq!(ended.code(), Some(2), "{ended}");
    assert!(!ended.stderr.contains("panicked"), "{ended}");
}

/// It never hangs where there is nobody to answer, and it names every missing option.
#[test]
fn at_the_end_of_input_every_missing_option_is_named() {
    for (answers, missing) in
        [("", &["--process-name", "--start-command"][..]), ("NAME\n", &["--start-command"])]
    {
        let scene = Scene::new();
        let ended = answer(unset(&scene), &scene, &answers.replace("NAME", scene.name()));
        assert_eq!(ended.code(), Some(2), "{ended}");
        for option in ["--process-name", "--start-command"] {
            assert_eq!(ended.stderr.contains(option), missing.contains(&option), "{option}: {ended}");
        }
    }
    let scene = Scene::new();
    let ended = scene.watchdog().without("--start-command").run(); // from /dev/null
    assert_eq!(ended.code(), Some(2), "{ended}");
    assert!(ended.stderr.contains("--start-command") && !ended.stderr.contains("--process-name"), "{ended}");
}

#[test]
fn the_end_of_input_in_a_terminal_is_one_too() {
    let scene = Scene::new();
    let (mut terminal, watchdog) = unset(&scene).in_terminal();
    terminal.expect(QUESTIONS[0]);
    terminal.press("\x04");
    let ended = watchdog.ends();
    assert_eq!(ended.code(), Some(2), "{}", terminal.transcript());
    terminal.expect("--process-name");
    terminal.expect("--start-command");
}

#[test]
fn an_interrupted_question_is_an_end() {
    let scene = Scene::new();
    let (mut terminal, watchdog) = unset(&scene).in_terminal();
    terminal.expect(QUESTIONS[0]);
    terminal.press("\x03");
    let ended = watchdog.ends();
    assert_eq!(ended.signal(), Some(nix::sys::signal::Signal::SIGINT), "{}", terminal.transcript());
}

#[test]
fn without_input_nothing_is_asked() {
    let scene = Scene::new();
    let (mut terminal, watchdog) = unset(&scene).flag("--no-input").in_terminal();
    assert_eq!(watchdog.ends().code(), Some(2), "{}", terminal.transcript());
    let said = terminal.transcript();
    assert!(
        said.contains("--process-name") && said.contains("--start-command") && !said.contains('['),
        "{said}"
    );
}

/// To read there would stop it.
#[test]
fn from_the_background_nothing_is_asked() {
    let scene = Scene::new();
    let mut terminal = crate::terminal::Terminal::new();
    let in_background = r#"set -m; "$@" & wait $!; echo "status=$?""#;
    let shell = unset(&scene).through(&["sh", "-c", in_background, "sh"]).command();
    let _shell = terminal.start(&scene, shell);
    let said = terminal.expect("status=[0-9]+");
    assert!(said.ends_with("status=2"), "{said}");
    assert!(said.contains("--process-name") && said.contains("--start-command"), "{said}");
}

/// Nobody answers five questions to hear that what was typed was wrong.
#[test]
fn what_is_wrong_already_is_said_before_anything_is_asked() {
    let scene = Scene::new();
    let ended = answer(unset(&scene).with("--max-fail-count", "0"), &scene, "x\ny\n\n\n");
    assert_eq!(ended.code(), Some(2), "{ended}");
    assert!(
        ended.stderr.contains("--max-fail-count '0'") && !ended.stderr.contains("Process name:"),
        "{ended}"
    );
}
