//! What the shell, or the kernel, would say of a start command, known before it is needed.

use std::time::Duration;

use crate::settings::executable;
use crate::settings::program::{self, Place, is_variable};
use crate::task::{self, Ended, Output, Task};
use crate::time::Time;

/// How long the shell may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Words of bash and ksh that /bin/sh may not know.
const FOREIGN: [&str; 12] = [
    "source",
    "[[",
    "disown",
    "declare",
    "typeset",
    "let",
    "pushd",
    "popd",
    "shopt",
    "mapfile",
    "readarray",
    "builtin",
];
/// An operator of theirs. In a shell without it, it is a `&` and a `>`.
const BOTH: &str = "&>";
/// After these, a command follows.
const BEFORE_COMMAND: [&str; 10] = ["if", "then", "else", "elif", "while", "until", "do", "!", "{", "time"];
/// Reads its first argument without running it, and says with status 2 what is wrong with that; else which of its
/// other arguments this shell does not know.
const QUESTION: &str = "said=$(/bin/sh -n -c \"$1\" 2>&1) || { printf '%s' \"${said%%\n*}\"; exit 2; }\n\
    shift\n\
    for word; do\n\
        case $word in\n\
            '&>') [ -z \"$(echo x &>/dev/null)\" ];;\n\
            *) [ -n \"$(command -v \"$word\")\" ];;\n\
        esac || printf '%s\\n' \"$word\"\n\
    done\n\
    exit 0";

/// What is doubtful about a start command; of the shell, which is asked, that comes with its answer.
#[derive(Debug)]
pub struct Doubts {
    of_program: Option<String>,
    shell: Option<Task>,
    is_answered: bool,
}

impl Doubts {
    pub fn begin(start_command: &str, place: &Place, now: Time) -> Self {
        let file = program::file(start_command, place);
        let of_program = file.and_then(|file| executable::doubt(&file, place));
        let mut shell = task::shell(QUESTION);
        shell.args(["sh", start_command]).args(foreign_words(start_command));
        // Files that a shell would read first.
        shell.env_remove("ENV").env_remove("BASH_ENV");
        let shell = Task::run(shell, Output::Captured, Some(PATIENCE), now).ok();
        Doubts { of_program, shell, is_answered: false }
    }

    /// What was asked, while there is no answer.
    pub fn question(&mut self) -> Option<&mut Task> {
        self.shell.as_mut()
    }

    /// Nobody wants to know any more.
    pub fn withdraw(mut self) {
        if let Some(shell) = &mut self.shell {
            shell.kill();
            shell.wait();
        }
    }

    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// All that is doubtful, when that is known for the first time. A shell that cannot tell in time has no doubts.
    #[expect(clippy::option_option)] // no answer yet, and an answer without a doubt
    pub fn answer(&mut self, now: Time) -> Option<Option<String>> {
        if self.is_answered {
            return None;
        }
        let said = match &mut self.shell {
            Some(shell) => {
                let Ended(status) = shell.ended(now, |_| false)?;
                of_shell(status.and_then(|status| status.code()), &shell.output())
            }
            None => None,
        };
        (self.shell, self.is_answered) = (None, true);
        let doubts: Vec<_> = self.of_program.take().into_iter().chain(said).collect();
        Some((!doubts.is_empty()).then(|| format!("start command: {}", doubts.join("; "))))
    }

    /// The same, waited for.
    pub fn wait(mut self, now: Time) -> Option<String> {
        self.shell.as_mut().and_then(Task::wait);
        self.answer(now).flatten()
    }
}

/// What the shell's answer comes to.
fn of_shell(status: Option<i32>, output: &str) -> Option<String> {
    match status {
        Some(2) if !output.is_empty() => Some(format!("/bin/sh cannot read it: {output}")),
        Some(0) if !output.is_empty() => {
            let words: Vec<_> = output.lines().map(|word| format!("'{word}'")).collect();
            Some(format!("/bin/sh does not know {}; run it by bash: bash -c '...'", words.join(" and ")))
        }
        _ => None,
    }
}

/// Something of a command line, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// What is quoted or expanded in it is a `\`, which is in no word that is looked for.
    Word(String),
    /// A command may begin after it.
    Separator,
    /// `&>`
    Both,
    Redirection,
}

/// The words of other shells in `text`, where it is certain that they are.
fn foreign_words(text: &str) -> Vec<&'static str> {
    // What follows may be a document, a pattern, or a name that they were given here.
    if text.contains("<<") || text.contains("()") || text.contains("( )") {
        return Vec::new();
    }
    let known = |word: &str| FOREIGN.into_iter().chain([BOTH]).find(|known| *known == word);
    let mut found: Vec<_> = command_words(text).iter().filter_map(|word| known(word)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The words of `text` that a shell takes for commands, and [`BOTH`]; up to where that is not certain any more.
fn command_words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_command = true;
    let mut rest = text;
    while let Some((token, after)) = token(rest) {
        rest = after;
        match token {
            Token::Word(word) if is_command => {
                if matches!(word.as_str(), "case" | "alias") {
                    break;
                }
                let is_assignment = word.split_once('=').is_some_and(|(name, _)| is_variable(name));
                is_command = is_assignment || BEFORE_COMMAND.contains(&word.as_str());
                found.push(word);
            }
            Token::Word(_) => {}
            Token::Separator => is_command = true,
            // What follows is a file.
            Token::Redirection => is_command = false,
            Token::Both => {
                is_command = false;
                found.push(BOTH.to_owned());
            }
        }
    }
    found
}

/// The program in `start_command` that has something started by others, who know nothing of how it runs itself.
pub fn messenger(start_command: &str) -> Option<String> {
    let is_it = |word: &String| {
        let name = word.rsplit('/').next().unwrap_or_default();
        ["service", "systemctl", "systemd-run", "invoke-rc.d"].contains(&name)
    };
    command_words(start_command).into_iter().find(is_it)
}

/// The first token of `text`, and what follows it.
fn token(text: &str) -> Option<(Token, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let operators = [("&>", Token::Both), (">&", Token::Redirection), ("<&", Token::Redirection)];
    for (operator, token) in operators {
        if let Some(after) = text.strip_prefix(operator) {
            return Some((token, after));
        }
    }
    let first = text.chars().next()?;
    let after = text.get(first.len_utf8()..)?;
    match first {
        '\n' | ';' | '&' | '|' | '(' => Some((Token::Separator, after)),
        '<' | '>' | ')' => Some((Token::Redirection, after)),
        '#' => Some((Token::Separator, after.split_once('\n').unwrap_or_default().1)),
        _ => word(text),
    }
}

/// The word that `text` begins with, and what follows it.
fn word(text: &str) -> Option<(Token, &str)> {
    let mut word = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => {
                return Some((Token::Word(word), text.get(at..)?));
            }
            // A line that goes on in the next one.
            '\\' if chars.as_str().starts_with('\n') => drop(chars.next()),
            '\\' => {
                chars.next();
                word.push('\\');
            }
            '\'' | '"' => {
                let mut is_escaped = false;
                let is_end = |(_, next): (usize, char)| {
                    let is_end = next == c && !is_escaped;
                    is_escaped = c == '"' && next == '\\' && !is_escaped;
                    is_end
                };
                chars.position(is_end);
                word.push('\\');
            }
            '$' | '`' => word.push('\\'),
            c => word.push(c),
        }
    }
    Some((Token::Word(word), ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Profile;
    use crate::time::now;
    use proptest::prelude::*;
    use std::path::Path;

    #[test]
    fn words_of_other_shells_are_found_where_they_are_commands() {
        for (text, words) in [
            ("source /etc/profile && app", "source"),
            ("cd / && source ./env", "source"),
            ("[[ -e /opt/x ]] && app", "[["),
            ("if [[ -e /opt/x ]]; then app; fi", "[["),
            ("true; app & disown", "disown"),
            ("A=1 B='x y' source x", "source"),
            ("true \\\n && \\\nsource x", "source"),
            ("(source x); { let y; }", "let source"),
            ("true 2>&1 &> x; x &>>y", "&>"),
            ("echo $(source x)", "source"),
            ("echo \"a\\\"\"; disown # source", "disown"),
            ("# source\nlet x", "let"),
        ] {
            assert_eq!(foreign_words(text).join(" "), words, "{text}");
        }
        for text in [
            "echo source '[[' \"&>\" disown",
            "sh -c 'source x; [[ -e y ]] && disown &> z'",
            "true # source x; [[ y ]] &> z",
            "A=source sleep 1; \\source x; 'source' x; \"source\" x; $source",
            "sleep 1 >/dev/null 2>&1 & true && true >&2",
            "case $1 in source|[[) ;; let) ;; esac",
            "alias source=.; source x",
            "cat <<END\nsource x\nEND",
            "source() { :; }; source x",
            "for source in let; do :; done",
            "echo 'unclosed; source",
            ">source true; >&let true",
            "",
        ] {
            assert!(foreign_words(text).is_empty(), "{text}");
        }
    }

    /// Each ends, and says no more than the shell, which knows its own words.
    #[test]
    fn the_shell_is_asked() {
        let place = Place::new(&Profile::default(), Path::new(""));
        let doubt = |text: &str| Doubts::begin(text, &place, now()).wait(now());
        assert_eq!(doubt("true; . /dev/null; A=1 true"), None);
        assert!(
            doubt("true; echo 'x").unwrap().starts_with("start command: /bin/sh cannot read it: /bin/sh: ")
        );
        assert_eq!(of_shell(Some(0), ""), None);
        assert_eq!(of_shell(Some(2), ""), None);
        assert_eq!(of_shell(None, "source\n"), None);
        assert_eq!(
            of_shell(Some(0), "source\n[[\n").unwrap(),
            "/bin/sh does not know 'source' and '[['; run it by bash: bash -c '...'"
        );
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[a-z$`'\"\\\\#&|;<>() \n=é\\[]{0,40}") {
            foreign_words(&text);
        }
    }
}
