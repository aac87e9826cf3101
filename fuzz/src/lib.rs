//! What several targets need.

use std::path::Path;

use watchdog::parts::{Cli, Given, Place, Settings, Source, User, command_line, option, settings};

/// The words of a command line as a shell splits it (POSIX.1-2024, XCU 2.2), as far as the program
/// makes use of that. `None` where a shell would do anything else than split.
pub fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(rest.next().filter(|c| *c != '\n')?),
            c if c.is_whitespace() || c.is_control() || "|&;<>()$`\"*?[]#~{}!^".contains(c) => return None,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// Asserts that nothing in `text` can end a line, reach for a terminal or turn the order of what is read.
pub fn assert_harmless(text: &str) {
    let is_harmful = |c: char| {
        c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    assert!(!text.contains(is_harmful), "{text:?}");
}

/// Root, whoever runs this.
pub fn root() -> User {
    User { uid: 0, home: "/nonexistent".into(), ..User::default() }
}

/// Asserts that the settings which `given` comes to, if it comes to any, are those of the command line that
/// is printed for it, beside what only a file can say.
pub fn assert_can_be_typed(given: &Given) {
    let read = match Settings::new(given, &root()) {
        Ok(read) => read,
        Err(wrong) => {
            assert!(!wrong.is_empty());
            for wrong in wrong {
                assert!(!wrong.wrong.instead.is_empty());
                let said = wrong.to_string();
                assert!(said.contains(&option(wrong.key)) || said.contains(wrong.key), "{said}");
                assert_harmless(&said);
            }
            return;
        }
    };
    let line = command_line(given, Path::new("watchdog"));
    let words = words(&line).unwrap_or_else(|| panic!("a shell does more than to split {line:?}"));
    let mut again = Cli::parse(words).unwrap_or_else(|error| panic!("{line:?}: {error}")).given;
    assert_eq!(command_line(&again, Path::new("watchdog")), line);
    for row in settings().filter(|row| row.place == Place::File) {
        given.value(row.key).into_iter().for_each(|value| again.add(row.key, value, Source::CommandLine));
    }
    let again = Settings::new(&again, &root()).unwrap();
    assert_eq!(again.fingerprint(), read.fingerprint());
}
