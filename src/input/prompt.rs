//! Asks for what is missing, over any reader and writer.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::input::cli;
use crate::process::scan::{Proc, Tasks, Unknown};
use crate::report::words;
use crate::settings::given::{Given, Source};
use crate::settings::table::{ROWS, Row, Unset};
use crate::settings::{Criteria, SettingError, Settings};
use crate::text::escaped;

/// The longest answer. A longer one is no answer.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// Whether something required is missing, so that there is anything to ask.
pub fn is_needed(given: &Given) -> bool {
    ROWS.iter().any(|row| matches!(row.unset, Unset::Required(_)) && is_open(row, given))
}

/// Whether it was not given, nor something in its place.
fn is_open(row: &Row, given: &Given) -> bool {
    given.lacks(row.key) && (row.key != "start_command" || given.lacks("version"))
}

/// Asks for each setting of the main job that was not given; what was comes to `settings` so far. Somebody who
/// `can_answer_again` is told what is wrong with an answer and asked again. `remark` is what there is to say to an
/// answer, with which the settings are these.
///
/// # Errors
/// An answer that is wrong, where nobody is there to be asked again; or all that is missing at the end of the input.
pub fn ask(
    given: &mut Given,
    mut settings: Settings,
    mut answers: impl BufRead,
    to: &mut impl Write,
    can_answer_again: bool,
    remark: impl Fn(&Row, &Settings) -> Option<String>,
) -> Result<(), Vec<SettingError>> {
    for row in ROWS {
        let Some(question) = row.question.filter(|_| is_open(row, given)) else { continue };
        let default = if let Unset::Is(default) = row.unset { Some(default) } else { None };
        let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
        let answer = loop {
            say(to, &format!("{question}{shown}: "));
            let answer = read_line(&mut answers);
            if answer.is_none() || !can_answer_again {
                // Nobody has typed the end of this line.
                say(to, "\n");
            }
            let answer = answer.ok_or_else(|| unanswered(given))?;
            let answer = match default {
                Some(default) if answer.is_empty() => default.into(),
                _ => answer,
            };
            match settings.take(row, Some(&answer)) {
                Ok(()) => break answer,
                Err(wrong) if can_answer_again => say(to, &format!("  {wrong}\n")),
                Err(wrong) => return Err(vec![wrong]),
            }
        };
        if let Some(remark) = remark(row, &settings) {
            say(to, &format!("  {}\n", escaped(&remark)));
        }
        given.add(row.key, answer, Source::Answer);
    }
    Ok(())
}

/// What was asked for and not answered: what is required, if that is missing; the rest has defaults.
fn unanswered(given: &Given) -> Vec<SettingError> {
    let is_required = is_needed(given);
    let asked = ROWS.iter().filter(|row| row.question.is_some() && is_open(row, given));
    let missing = asked.filter_map(|row| match row.unset {
        Unset::Required(example) => Some(SettingError::missing(row.key, "missing", example)),
        Unset::Is(default) if !is_required => Some(SettingError::missing(row.key, "not answered", default)),
        _ => None,
    });
    missing.collect()
}

/// What meets these criteria at this moment.
pub fn matches_now(proc: Result<&Proc, &Unknown>, criteria: &Criteria) -> String {
    let near = || proc.ok().and_then(|proc| words::near(&proc.survey(criteria).ok()?));
    match proc.map_err(Clone::clone).and_then(|proc| proc.find(criteria, None, &Tasks::default())) {
        Ok(matches) if matches.counting.is_empty() => match near() {
            Some(near) => format!("nothing matches now; similar: {near}"),
            None => "nothing matches now".to_owned(),
        },
        Ok(matches) => format!("matches now: {}", words::list(&matches.counting)),
        Err(unknown) => format!("cannot tell what matches now: {}", unknown.0),
    }
}

/// Says which command line would have needed no questions.
pub fn show_equivalent(given: &Given, to: &mut impl Write) {
    let line = cli::command_line(given, &program());
    say(to, &format!("To run this again without questions:\n  {line}\n"));
    if line.contains('%') {
        say(to, "  (in a crontab write \\% for each %, in a systemd unit %%)\n");
    }
}

/// How this program is called from a crontab or a unit: by its name where these would find it.
fn program() -> PathBuf {
    let path = std::env::current_exe().unwrap_or_default();
    match path.parent().map(Path::to_str) {
        Some(Some("" | "/usr/bin" | "/bin")) | None => "watchdog".into(),
        _ => path,
    }
}

/// Standard input that is waited for no longer than this, unless it is a terminal: a pipe that nobody
/// writes to and nobody closes is nobody to answer.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// Standard input, with that patience.
#[derive(Debug)]
pub struct Patient(pub io::Stdin);

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let patience = if self.0.is_terminal() { None } else { Some(&PATIENCE) };
        match poll(&mut fds, patience)? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => self.0.read(buffer),
        }
    }
}

/// Nobody may be there to read it, which is no reason not to go on.
fn say(to: &mut impl Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// A line without its end and the blanks around it. `None` at the end of the input.
fn read_line(answers: &mut impl BufRead) -> Option<OsString> {
    let mut line = Vec::new();
    let length = answers.take(LONGEST_ANSWER).read_until(b'\n', &mut line).ok()?;
    // The last line may come without its end, as from printf.
    let is_whole = line.ends_with(b"\n") || (1..LONGEST_ANSWER).contains(&(length as u64));
    is_whole.then(|| OsString::from_vec(line.trim_ascii().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::cli::Cli;
    use crate::settings::dirs::{Dirs, User};

    fn ask_with(line: &[&str], answers: &[u8], again: bool) -> (Result<String, Vec<SettingError>>, String) {
        let mut given = Cli::parse([&["watchdog"], line].concat()).unwrap().given;
        let (settings, _) = Settings::read(&given, Dirs::of(&User::current()));
        let mut said = Vec::new();
        let remark = |row: &Row, settings: &Settings| match row.key {
            "process_name" => Some(format!("looked up {}", settings.criteria.pattern.text())),
            "start_command" => settings.start_command.clone().filter(|command| command.starts_with("odd")),
            _ => None,
        };
        let result = ask(&mut given, settings, answers, &mut said, again, remark);
        let line = result.map(|()| cli::command_line(&given, Path::new("watchdog")));
        (line, String::from_utf8(said).unwrap())
    }

    #[test]
    fn asks_in_the_order_of_the_contract() {
        let (line, said) = ask_with(&[], b"docker\nservice docker start\n\n2\nunlimited\n", true);
        assert_eq!(
            line.unwrap(),
            "watchdog --process-name docker --start-command 'service docker start' --health-check-interval 1s \
             --restart-wait-interval 2 --max-fail-count unlimited"
        );
        assert_eq!(
            said,
            "Process name:   looked up docker\nStart command: Health check interval [1s]: Restart wait interval [5s]: \
             Max fail count [3]: "
        );
    }

    #[test]
    fn an_odd_start_command_is_explained_and_taken() {
        let (line, said) = ask_with(&["-p", "x", "-i", "1", "-w", "1", "-m", "1"], b"odd\t?\n", true);
        assert!(line.is_ok());
        assert_eq!(said, "Start command:   odd\\t?\n");
    }

    #[test]
    fn asks_only_for_what_was_not_given() {
        let (line, said) = ask_with(&["-m", "7", "-p", "x"], b"it's\n\n\n", true);
        assert_eq!(
            line.unwrap(),
            "watchdog --process-name x --start-command 'it'\\''s' --health-check-interval 1s --restart-wait-interval 5s \
             --max-fail-count 7"
        );
        assert_eq!(said, "Start command: Health check interval [1s]: Restart wait interval [5s]: ");
    }

    #[test]
    fn a_wrong_answer_is_asked_again_of_a_person_and_ends_a_pipe() {
        let answers = "\na(\ndocker\nx\n-1\n1\n\n\n";
        let (line, said) = ask_with(&[], answers.as_bytes(), true);
        assert!(line.is_ok(), "{line:?}");
        assert_eq!(said.matches("Process name: ").count(), 3);
        assert_eq!(said.matches("Health check interval [1s]: ").count(), 2);
        assert!(said.contains("--process-name 'a(': not a regular expression"), "{said}");
        let (line, _) = ask_with(&[], b"docker\nx\n-1\n1\n\n\n", false);
        assert!(
            line.as_ref()
                .is_err_and(|wrong| wrong[0].key == "health_check_interval" && wrong[0].value.is_some()),
            "{line:?}"
        );
    }

    #[test]
    fn the_end_of_the_input_is_no_answer() {
        let missing = |(line, _): (Result<String, Vec<SettingError>>, String)| {
            let wrong = line.unwrap_err();
            assert!(wrong.iter().all(|wrong| wrong.value.is_none()), "{wrong:?}");
            wrong.iter().map(|wrong| wrong.key).collect::<Vec<_>>()
        };
        for (answers, keys) in [
            ("", &["process_name", "start_command"][..]),
            ("docker", &["start_command"]),
            ("docker\n", &["start_command"]),
            ("docker\nx\n\n\n", &["max_fail_count"]),
        ] {
            assert_eq!(missing(ask_with(&[], answers.as_bytes(), false)), keys, "{answers:?}");
        }
        let (line, _) = ask_with(&[], b"docker\nx\n\n\n4", false);
        assert!(line.unwrap().ends_with("--max-fail-count 4"));
        let too_long = ask_with(&[], "x".repeat(100_000).as_bytes(), true);
        assert_eq!(missing(too_long), ["process_name", "start_command"]);
    }

    #[test]
    fn no_byte_is_too_odd() {
        let (result, _) = ask_with(&[], b"\xff\xfe\n", false);
        assert_eq!(result.unwrap_err()[0].wrong.what, "not UTF-8");
    }
}
