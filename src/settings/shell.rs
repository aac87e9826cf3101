//! The words of a command line, as far as they can be told without a shell.

use std::str::Chars;

/// What a shell does itself: its reserved words and builtins (POSIX.1-2024 XCU 2.4, 1.7 and 2.15; dash(1),
/// bash(1)).
const SHELLS_OWN: &str = "! { } case do done elif else esac fi for if in then until while function select time coproc [[ . : \
    [ alias bg bind break builtin caller cd chdir command compgen complete compopt continue declare \
    dirs disown echo enable eval exec exit export false fc fg getopts hash help history jobs kill let \
    local logout mapfile popd printf pushd pwd read readarray readonly return set shift shopt source \
    suspend test times trap true type typeset ulimit umask unalias unset wait";
/// After these, a command follows.
const BEFORE_COMMAND: [&str; 10] = ["if", "then", "else", "elif", "while", "until", "do", "!", "{", "time"];
/// An operator of bash and ksh. In a shell without it, it is a `&` and a `>`.
pub(super) const BOTH: &str = "&>";

/// Something of a command line.
enum Token {
    Word(Word),
    /// A command may begin after it.
    Separator,
    /// `&>`
    Both,
    Redirection,
}

/// A word of a command line.
struct Word {
    /// As it stands; in place of what is quoted or expanded there is a `\`, which is in no word that is looked for.
    shown: String,
    /// What it comes to, where that needs no shell to tell.
    value: Option<String>,
}

impl Word {
    /// The variable that it sets.
    fn variable(&self) -> Option<&str> {
        let (name, _) = self.shown.split_once('=')?;
        let is_variable = !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (is_variable && !name.is_empty()).then_some(name)
    }
}

/// The program that a shell would run first, where that needs no shell to tell: after assignments and an
/// `exec`, a word that is plain or quoted.
pub(super) fn first_program(text: &str) -> Option<String> {
    let mut may_exec = true;
    let mut rest = text.trim_start();
    loop {
        let (Token::Word(word), after) = token(rest)? else { return None };
        let value = word.value.as_deref()?;
        match word.variable() {
            // With another PATH it may be somewhere else.
            Some("PATH") => return None,
            Some(_) => {}
            None if word.shown == "exec" && may_exec => may_exec = false,
            None => {
                let is_own = SHELLS_OWN.split(' ').any(|own| own == value);
                let is_function = after.trim_start_matches([' ', '\t']).starts_with('(');
                let is_odd = is_own || is_function || value.is_empty() || value.starts_with('-');
                return (!is_odd).then(|| value.to_owned());
            }
        }
        rest = after;
    }
}

/// The words of `text` that a shell takes for commands, and [`BOTH`]; up to where that is not certain any more.
pub(super) fn command_words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_command = true;
    let mut rest = text;
    while let Some((token, after)) = token(rest) {
        rest = after;
        match token {
            Token::Word(word) if is_command => {
                if matches!(word.shown.as_str(), "case" | "alias") {
                    break;
                }
                is_command = word.variable().is_some() || BEFORE_COMMAND.contains(&word.shown.as_str());
                found.push(word.shown);
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
    if let Some(after) = text.strip_prefix(BOTH) {
        return Some((Token::Both, after));
    }
    // The number before it is a descriptor.
    let operator = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if let Some(after) = operator.strip_prefix(['<', '>']) {
        return Some((Token::Redirection, after.strip_prefix('&').unwrap_or(after)));
    }
    let mut rest = text.chars();
    Some(match rest.next()? {
        '\n' | ';' | '&' | '|' | '(' => (Token::Separator, rest.as_str()),
        ')' => (Token::Redirection, rest.as_str()),
        '#' => (Token::Separator, text.split_once('\n').unwrap_or_default().1),
        _ => word(text),
    })
}

/// The word that `text` begins with, and what follows it.
fn word(text: &str) -> (Token, &str) {
    let (mut shown, mut value) = (String::new(), Some(String::new()));
    let mut rest = text.chars();
    while let Some(c) = rest.clone().next().filter(|c| !" \t\n;&|()<>".contains(*c)) {
        rest.next();
        let (mark, comes_to) = match c {
            '\\' => match rest.next() {
                // A line that goes on in the next one.
                Some('\n') => continue,
                _ => ('\\', None),
            },
            '\'' | '"' => ('\\', quoted(&mut rest, c)),
            '$' | '`' => ('\\', None),
            c if c.is_alphanumeric() || "_-./+:@%,=^".contains(c) => (c, Some(c.to_string())),
            c => (c, None),
        };
        shown.push(mark);
        value = value.zip(comes_to).map(|(value, more)| value + &more);
    }
    (Token::Word(Word { shown, value }), rest.as_str())
}

/// Goes to the end of a quotation. What it comes to, if nothing in it has a meaning of its own.
fn quoted(rest: &mut Chars, quote: char) -> Option<String> {
    let (mut text, mut is_literal) = (String::new(), true);
    loop {
        match rest.next()? {
            c if c == quote => return is_literal.then_some(text),
            '\\' if quote == '"' => {
                rest.next();
                is_literal = false;
            }
            '$' | '`' if quote == '"' => is_literal = false,
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_what_a_shell_would_run_first() {
        for (text, program) in [
            ("service docker start", Some("service")),
            ("  /opt/x/run.sh&", Some("/opt/x/run.sh")),
            ("exec /opt/app --port 80", Some("/opt/app")),
            ("A=1 B='two words' exec app", Some("app")),
            // A name in quotes is no variable's.
            ("'A'=1 app", Some("A=1")),
            ("'/opt/my app/run' --now", Some("/opt/my app/run")),
            ("\"/opt/my app/run\"", Some("/opt/my app/run")),
            ("app>/dev/null 2>&1", Some("app")),
            ("app|tee x", Some("app")),
            ("app;true", Some("app")),
            ("app\nother", Some("app")),
            ("ä.ö", Some("ä.ö")),
            ("systemd-run --unit=x y", Some("systemd-run")),
        ] {
            assert_eq!(first_program(text).as_deref(), program, "{text}");
        }
        for text in [
            "",
            "#app",
            "$APP start",
            "`app`",
            "(app)",
            "{ app; }",
            "! app",
            "if app; then x; fi",
            "cd /opt && ./app",
            "PATH=/opt/bin app",
            "A=$(x) app",
            "A=1",
            "A=1; app",
            "exec -a x app",
            ". ./app",
            "2>x app",
            ">x app",
            "f() { app; }",
            "a*b",
            "~/app",
            "app\\ x",
            "'app",
            "\"$APP\"",
            "test -e x || app",
            "a[1]=2",
            "exec",
            "&& app",
            "''",
            "kill 1",
        ] {
            assert_eq!(first_program(text), None, "{text}");
        }
    }
}
