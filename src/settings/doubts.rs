//! What the shell, or the kernel, would say of a start command, known before it is needed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::settings::program::Place;
use crate::settings::shell::{BOTH, command_words};
use crate::task::{self, Ended, Output, Task};

/// How long the shell may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Words of bash and ksh that /bin/sh may not know.
const FOREIGN: &str = "source [[ disown declare typeset let pushd popd shopt mapfile readarray builtin";
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
    pub fn begin(start_command: &str, place: &Place) -> Self {
        let of_program = place.doubt_file(start_command);
        let mut shell = task::shell(QUESTION);
        shell.args(["sh", start_command]).args(foreign_words(start_command));
        // Files that a shell would read first.
        shell.env_remove("ENV").env_remove("BASH_ENV");
        let shell = Task::run(shell, Output::Captured, Some(PATIENCE)).ok();
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
    pub fn answer(&mut self) -> Option<Option<String>> {
        if self.is_answered {
            return None;
        }
        let said = match &mut self.shell {
            Some(shell) => {
                let Ended(status) = shell.ended()?;
                of_shell(status.and_then(|status| status.code()), &shell.output())
            }
            None => None,
        };
        (self.shell, self.is_answered) = (None, true);
        let doubts: Vec<_> = self.of_program.take().into_iter().chain(said).collect();
        Some((!doubts.is_empty()).then(|| format!("start command: {}", doubts.join("; "))))
    }

    /// The same, waited for.
    pub fn wait(mut self) -> Option<String> {
        self.shell.as_mut().and_then(Task::wait);
        self.answer().flatten()
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

/// The words of other shells in `text`, where it is certain that they are.
fn foreign_words(text: &str) -> Vec<&'static str> {
    // What follows may be a document, a pattern, or a name that they were given here.
    if ["<<", "()", "( )"].iter().any(|odd| text.contains(odd)) {
        return Vec::new();
    }
    let words = command_words(text);
    let known: BTreeSet<_> = FOREIGN.split(' ').chain([BOTH]).collect();
    known.into_iter().filter(|known| words.iter().any(|word| word == known)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Profile;
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
        let doubt = |text: &str| Doubts::begin(text, &place).wait();
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
