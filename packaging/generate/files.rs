//! The files in `packaging/` that follow from the definition of the command line, and from the prose beside
//! them. Nothing of them depends on the machine or on a terminal.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use watchdog::parts::{NOT_INHERITED, Place, ROWS, Row, definition, row, settings};

/// What is wrong, ready to be read.
pub type Wrong = String;

/// Each file, by its path in the package, and what it should hold.
///
/// # Errors
/// The prose cannot be read, or does not go with the definition.
pub fn all(root: &Path) -> Result<Vec<(&'static str, String)>, Wrong> {
    let mut command = definition();
    command.build();
    let notes = Notes::read(root, &command)?;
    let page = |page: &str| Page { root, command: &command, notes: &notes }.fill(page);
    Ok(vec![
        ("packaging/man/watchdog.1", page("watchdog.1.in")?),
        ("packaging/man/watchdog.toml.5", page("watchdog.toml.5.in")?),
        ("packaging/completions/watchdog.bash", bash()?),
        ("packaging/completions/_watchdog", zsh()?),
        ("packaging/completions/watchdog.fish", fish()?),
    ])
}

fn read(root: &Path, file: &str) -> Result<String, Wrong> {
    let path = root.join("packaging/man").join(file);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// What is said of an option besides its help: of the program's own in their rows, of its commands' in
/// `commands.in`.
struct Notes(BTreeMap<String, String>);

impl Notes {
    /// Reads `commands.in`: each of its sections must have an option.
    fn read(root: &Path, command: &Command) -> Result<Self, Wrong> {
        let mut notes: BTreeMap<String, String> = BTreeMap::new();
        let mut note = None;
        for line in read(root, "commands.in")?.lines().filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('@') {
                note = Some(notes.entry(name.to_owned()).or_default());
            } else if let Some(note) = note.as_mut().filter(|_| !line.is_empty()) {
                note.extend([line, "\n"]);
            }
        }
        let options: Vec<_> = command
            .get_subcommands()
            .flat_map(|of| of.get_arguments().map(move |argument| section_of(of, argument)))
            .collect();
        if let Some(stray) = notes.keys().find(|section| !options.contains(section)) {
            return Err(format!("packaging/man/commands.in: there is no option {stray}"));
        }
        let of = command.get_name();
        // -V is called as [[version]] is.
        let rows = ROWS.iter().filter(|row| row.place != Place::File);
        notes.extend(rows.map(|row| (format!("{of}.{}", row.key), row.more.to_owned())));
        Ok(Notes(notes))
    }
}

/// What an option's section is called.
fn section_of(of: &Command, argument: &Arg) -> String {
    format!("{}.{}", of.get_name(), argument.get_id())
}

/// Fills a page: man(7) in which `...` is bold, <...> is italic, lines between `.EX` and `.EE` stand for
/// themselves, and a line `@name@` makes room for what is generated.
struct Page<'a> {
    root: &'a Path,
    command: &'a Command,
    notes: &'a Notes,
}

impl Page<'_> {
    fn fill(&self, file: &str) -> Result<String, Wrong> {
        let version = self.command.get_version().unwrap_or_default();
        let mut page = format!(".\\\" Made from {file} by: cargo run --example generate\n");
        let mut is_verbatim = false;
        for line in read(self.root, file)?.lines() {
            is_verbatim = line == ".EX" || is_verbatim && line != ".EE";
            page += &match line.strip_prefix('@').and_then(|line| line.strip_suffix('@')) {
                Some(part) => self.part(part)?,
                None if is_verbatim && line != ".EX" => verbatim(line),
                None => marked_up(&line.replace("@version@", version)) + "\n",
            };
        }
        Ok(page)
    }

    fn part(&self, name: &str) -> Result<String, Wrong> {
        match (name, name.strip_prefix("command ")) {
            ("options", _) => self.options(),
            ("keys", _) => Ok(keys()),
            ("not_inherited", _) => Ok(NOT_INHERITED.map(|name| format!(".br\n\\fB{name}\\fR\n")).concat()),
            ("example", _) => Ok(read(self.root, "example.toml")?.lines().map(verbatim).collect()),
            (_, Some(command)) => self.options_of(command),
            _ => Err(format!("packaging/man: nothing is called @{name}@")),
        }
    }

    /// All options of the program, under their headings.
    fn options(&self) -> Result<String, Wrong> {
        let mut options = String::new();
        for heading in headings(self.command) {
            options.extend([".SS ", heading.unwrap_or("Other"), "\n"]);
            options += &self.list(self.command, |argument| argument.get_help_heading() == heading)?;
        }
        Ok(options)
    }

    /// All options of one of the program's commands.
    fn options_of(&self, name: &str) -> Result<String, Wrong> {
        let command = self.command.find_subcommand(name).ok_or(format!("there is no command {name}"))?;
        self.list(command, |argument| !argument.is_positional() && argument.get_id() != "help")
    }

    fn list(&self, of: &Command, is_meant: impl Fn(&Arg) -> bool) -> Result<String, Wrong> {
        let mut list = String::new();
        for argument in of.get_arguments().filter(|argument| is_meant(argument)) {
            list += &item(of, argument)?;
            list += &self.notes.0.get(&section_of(of, argument)).map(|it| note(it)).unwrap_or_default();
        }
        Ok(list)
    }
}

/// All keys of a configuration file, under the headings of their options.
fn keys() -> String {
    let mut keys = String::new();
    let mut group = "";
    for row in settings() {
        if group != row.group {
            group = row.group;
            keys.extend([".SS ", group, "\n"]);
        }
        keys += &entry(row);
    }
    keys
}

/// The headings of the options, in the order in which `--help` shows them; what has none comes last.
fn headings(command: &Command) -> Vec<Option<&str>> {
    let mut headings = Vec::new();
    for heading in command.get_arguments().filter_map(Arg::get_help_heading).map(Some) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    headings.push(None);
    headings
}

/// An option of the command `of` as a manual page lists it.
fn item(of: &Command, argument: &Arg) -> Result<String, Wrong> {
    let alone = of.clone().mut_args(|other| {
        let is_other = other.get_id() != argument.get_id();
        let help = sentences(&other);
        other.hide(is_other).help_heading(None::<&str>).help(help)
    });
    let mut item = Vec::new();
    Man::new(alone).render_options_section(&mut item).map_err(|error| error.to_string())?;
    let item = String::from_utf8(item).map_err(|error| error.to_string())?;
    let (_, item) = item.split_once(".SH OPTIONS\n").ok_or("clap_mangen has another form now")?;
    // The page has no definition of the string that stands for an apostrophe; italic is enough for a value;
    // and a path is easier to read in one piece.
    let made =
        [(r"\*(Aq", r"\(aq"), (r"\fI<", r"\fI"), (r">\fR", r"\fR"), (" /", r" \%/"), (" ~/", r" \%~/")];
    Ok(made.into_iter().fold(item.to_owned(), |item, (from, to)| item.replace(from, to)))
}

/// The help of an option and its default, if there is one.
fn help_of(argument: &Arg) -> (String, Option<String>) {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    match help.strip_suffix(']').and_then(|help| help.split_once(" [default: ")) {
        Some((help, default)) => (help.to_owned(), Some(default.to_owned())),
        None => (help, None),
    }
}

/// The help of an option as sentences, so that more may follow.
fn sentences(argument: &Arg) -> String {
    match help_of(argument) {
        (help, Some(default)) => format!("{help}. Default: {default}."),
        (help, None) => format!("{help}."),
    }
}

/// A key as watchdog.toml(5) lists it.
fn entry(row: &Row) -> String {
    let default = row.default_in_help();
    let default = default.map(|default| format!("; default: {}", escaped(default))).unwrap_or_default();
    format!(
        ".TP\n\\fB{}\\fR\n{}.\n{}.br\nType: {}{default}.\n.br\nExample: \\fB{}\\fR\n",
        row.key,
        escaped(row.help),
        note(row.more),
        marked_up(row.takes.map_or("true or false", |takes| takes.range)),
        escaped(&format!("{} = {}", row.key, row.example)),
    )
}

/// What is said of an option besides its help.
fn note(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| marked_up(line) + "\n").collect();
    lines.concat()
}

/// `text`, in which `...` is bold and <...> is italic.
fn marked_up(text: &str) -> String {
    let mut page = String::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            // No literal is hyphenated.
            let words: Vec<_> = part.split(' ').map(|word| format!("\\%{}", escaped(word))).collect();
            page.extend(["\\fB", &words.join(" "), "\\fR"]);
            continue;
        }
        for (at, part) in part.split('<').enumerate() {
            match part.split_once('>') {
                Some((name, rest)) if at > 0 => page.extend(["\\fI", name, "\\fR", rest]),
                _ => page += part,
            }
        }
    }
    page
}

/// `text` as it is typed or printed.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga")
}

/// A line of an example.
fn verbatim(line: &str) -> String {
    let line = escaped(line);
    if line.starts_with('.') { format!("\\&{line}\n") } else { format!("{line}\n") }
}

/// The commands that take names of watchdogs.
const WITH_NAMES: [&str; 8] = ["status", "logs", "start", "stop", "restart", "pause", "resume", "clean"];

/// The names of the watchdogs that have run here, as the program itself gives them. A shell's `place` is the
/// `--state-dir` that was typed.
const NAMES: &str = "watchdog status PLACE 2>/dev/null | sed '1d; s/ .*//'";

/// The names of the processes that are no kernel threads, as far as a shell and a pattern take them as
/// they are.
const PROCESSES: &str = "sed -n '/^Name:./{s///;h};/^VmSize:/{x;/^[[:alnum:]._-]*$/p}' \
                         /proc/*/status 2>/dev/null | sort -u";

/// The names that `--config` takes for files of theirs; a template has none.
const CONFIGURED: &str =
    r"ls /etc/watchdog ~/.config/watchdog 2>/dev/null | sed -n '/@\.toml$/d; s/\.toml$//p'";

/// What a shell's completions are by the definition alone.
fn completions(shell: Shell) -> String {
    // No shell has times, sizes and numbers to offer, and files are none.
    let no_files = |argument: Arg| {
        let is_text = argument.get_action().takes_values() && argument.get_possible_values().is_empty();
        match argument.get_value_hint() {
            ValueHint::Unknown if is_text => argument.value_hint(ValueHint::Other),
            _ => argument,
        }
    };
    // Here and not in the definition: the program says itself, and with all else, that a value is wrong.
    let only = |argument: Arg| match row(argument.get_id().as_str()).and_then(|row| row.takes) {
        Some(takes) if takes.name.contains('|') => {
            argument.value_parser(takes.name.split('|').collect::<Vec<_>>())
        }
        _ => argument,
    };
    let mut command =
        definition().mut_args(only).mut_args(no_files).mut_subcommands(|command| command.mut_args(no_files));
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "watchdog", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

const BASH_NAMES: &str = r#"_watchdog_names() {
    local at value place=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        if [[ ${COMP_WORDS[at]} == --state-dir ]]; then
            value=${COMP_WORDS[at + 1]}
            # bash takes --state-dir=DIR for three words.
            [[ $value == = ]] && value=${COMP_WORDS[at + 2]}
            place=(--state-dir "${value/#\~\//$HOME/}")
        fi
    done
"#;

// _arguments has taken it out of its words.
const ZSH_PLACE: &str = r"
    local -a typed=(${(Q)${(z)LBUFFER}})
    local at=${typed[(I)--state-dir*]} place
    (( at )) && place=${${${(M)typed[at]:#*=*}:-$typed[at + 1]}#--state-dir=}
    place=${place:+--state-dir=${place/#\~\//$HOME/}}";

const FISH_NAMES: &str = "function __fish_watchdog_names
    set -l typed (commandline -opc)
    set -l place (string replace -rf -- '^--state-dir=' '' $typed)
    set -l at (contains -i -- --state-dir $typed)
    and set place $typed[(math $at + 1)]
    set -q place[1]
    and set place --state-dir (string replace -r '^~/' $HOME/ -- $place[-1])
";

fn bash() -> Result<String, Wrong> {
    let mut text = completions(Shell::Bash);
    for command in WITH_NAMES {
        let before = format!("        watchdog__subcmd__{command})\n            opts=\"");
        text = replaced(&text, &before, &format!("{before}$(_watchdog_names) "), 1)?;
    }
    for option in ["--process-name", "-p"] {
        let before = format!(" {option})\n                    COMPREPLY=(");
        let offered = format!("$(compgen -W \"$({PROCESSES})\" -- \"${{cur}}\")");
        text = replaced(&text, &format!("{before}\"${{cur}}\""), &format!("{before}{offered}"), 1)?;
    }
    // Where there is nothing to offer, it would offer files.
    text = replaced(&text, " -o default watchdog", " watchdog", 2)?;
    // For a user's name it has files.
    for option in ["--user", "-u"] {
        let before = format!(" {option})\n                    COMPREPLY=($(compgen ");
        text = replaced(&text, &format!("{before}-f"), &format!("{before}-u --"), 1)?;
    }
    // For a configuration it has nothing else.
    for option in ["--config", "-c"] {
        let option = format!(" {option})\n");
        let (before, after) = text.split_once(&option).ok_or_else(|| format!("there is no {option:?}"))?;
        let after = after.replacen(
            "compgen -f",
            &format!("compgen -W \"$({CONFIGURED})\" -- \"${{cur}}\"; compgen -f"),
            1,
        );
        text = format!("{before}{option}{after}");
    }
    let names = NAMES.replace("PLACE", "\"${place[@]}\"");
    Ok(format!("{BASH_NAMES}    {names}\n}}\n\n{text}"))
}

fn zsh() -> Result<String, Wrong> {
    let text = completions(Shell::Zsh);
    let text = replaced(&text, ":' \\\n&& ret=0", ":_watchdog_names' \\\n&& ret=0", WITH_NAMES.len())?;
    let text = replaced(&text, "/NAME.toml]:FILE:_files'", "/NAME.toml]:FILE:_watchdog_files'", 2)?;
    let text = replaced(&text, "as in pgrep]:NAME:'", "as in pgrep]:NAME:_watchdog_processes'", 2)?;
    let last = "if [ \"$funcstack[1]\"";
    let offered = |function: &str, before: &str, command: &str, more: &str| {
        format!(
            "(( $+functions[{function}] )) ||\n{function}() {{\n    local -a names{before}\n    \
             names=(${{(f)\"$({command})\"}})\n    compadd -a names{more}\n}}\n\n"
        )
    };
    let names = offered("_watchdog_names", ZSH_PLACE, &NAMES.replace("PLACE", "$place"), "");
    let processes = offered("_watchdog_processes", "", PROCESSES, "");
    let files = offered("_watchdog_files", "", CONFIGURED, "\n    local ret=$?\n    _files || return ret");
    replaced(&text, last, &format!("{names}{processes}{files}{last}"), 1)
}

fn fish() -> Result<String, Wrong> {
    let text = completions(Shell::Fish);
    let parse = "argparse -s (__fish_watchdog_global_optspecs) -- $cmd";
    let before = format!("{parse} 2>/dev/null\n");
    // An option whose value is still to come is no mistake.
    let text = replaced(&text, &before, &format!("{before}    or {parse} value 2>/dev/null\n"), 1)?;
    let configured = CONFIGURED.replace('\'', "\\'");
    let text =
        replaced(&text, "/NAME.toml' -r -F\n", &format!("/NAME.toml' -r -F -a '({configured})'\n"), 1)?;
    let before = " -l process-name ";
    let processes = PROCESSES.replace('\'', "\\'");
    let text = replaced(&text, before, &format!("{before}-a '({processes})' "), 1)?;
    let (commands, names) = (WITH_NAMES.join(" "), NAMES.replace("PLACE", "$place"));
    Ok(format!(
        "{FISH_NAMES}    {names}\nend\n\n{text}complete -c watchdog -n \"__fish_watchdog_using_subcommand {commands}\" \
         -f -a '(__fish_watchdog_names)'\n"
    ))
}

/// `text` with `from` replaced, which must be there so often.
fn replaced(text: &str, from: &str, to: &str, times: usize) -> Result<String, Wrong> {
    if text.matches(from).count() == times {
        Ok(text.replace(from, to))
    } else {
        Err(format!("clap_complete has another form now: {from:?} is not there {times} times"))
    }
}
