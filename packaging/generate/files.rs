//! The files in `packaging/` that follow from the definition of the command line, and from the prose beside
//! them. Nothing of them depends on the machine or on a terminal.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use watchdog::input::cli::{Cli, SETTINGS};
use watchdog::task::environment::NOT_INHERITED;

/// What is wrong, ready to be read.
pub type Wrong = String;

/// Each file, by its path in the package, and what it should hold.
///
/// # Errors
/// The prose cannot be read, or does not go with the definition.
pub fn all(root: &Path) -> Result<Vec<(&'static str, String)>, Wrong> {
    let mut command = Cli::command();
    command.build();
    let settings = Settings::read(root, &command)?;
    let page = |page: &str| Page { root, command: &command, settings: &settings }.fill(page);
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

/// What `settings.in` says.
pub struct Settings(BTreeMap<String, Setting>);

/// What `settings.in` says of one option.
#[derive(Default)]
pub struct Setting {
    /// What its key takes.
    pub kind: Option<String>,
    /// A value that its key may have.
    pub example: Option<String>,
    note: String,
}

impl Settings {
    /// Reads `settings.in`: each key of a configuration file must have its section, and each section an option.
    ///
    /// # Errors
    /// The file cannot be read, or does not go with the definition.
    pub fn read(root: &Path, command: &Command) -> Result<Self, Wrong> {
        let mut sections: BTreeMap<String, Setting> = BTreeMap::new();
        let mut section = None;
        for line in read(root, "settings.in")?.lines().filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('@') {
                section = Some(sections.entry(name.to_owned()).or_default());
            } else if let Some(section) = &mut section {
                if let Some(kind) = line.strip_prefix("Type: ") {
                    section.kind = Some(kind.to_owned());
                } else if let Some(example) = line.strip_prefix("Example: ") {
                    section.example = Some(example.to_owned());
                } else if !line.is_empty() {
                    section.note.push_str(line);
                    section.note.push('\n');
                }
            }
        }
        for (key, _) in SETTINGS {
            let is_whole = |setting: &Setting| setting.kind.is_some() && setting.example.is_some();
            if !sections.get(key).is_some_and(is_whole) {
                return Err(format!(
                    "packaging/man/settings.in: say of which type {key} is, with an example"
                ));
            }
        }
        let options: Vec<_> = std::iter::once(command)
            .chain(command.get_subcommands())
            .flat_map(|of| of.get_arguments().map(move |argument| section_of(command, of, argument)))
            .collect();
        match sections.keys().find(|section| !options.contains(section)) {
            Some(stray) => Err(format!("packaging/man/settings.in: there is no option {stray}")),
            None => Ok(Settings(sections)),
        }
    }

    /// What is said of the option that has this key.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<&Setting> {
        self.0.get(key)
    }
}

/// What an option's section is called.
fn section_of(program: &Command, of: &Command, argument: &Arg) -> String {
    let id = argument.get_id().as_str();
    if of.get_name() == program.get_name() { id.to_owned() } else { format!("{}.{id}", of.get_name()) }
}

/// Fills a page: man(7) in which `...` is bold, <...> is italic, lines between `.EX` and `.EE` stand for
/// themselves, and a line `@name@` makes room for what is generated.
struct Page<'a> {
    root: &'a Path,
    command: &'a Command,
    settings: &'a Settings,
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
            ("keys", _) => self.keys(),
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
            if let Some(setting) = self.settings.of(&section_of(self.command, of, argument)) {
                list += &note(setting);
            }
        }
        Ok(list)
    }

    /// All keys of a configuration file, under the headings of their options.
    fn keys(&self) -> Result<String, Wrong> {
        let mut keys = String::new();
        for heading in headings(self.command) {
            let arguments = SETTINGS.iter().filter_map(|(key, _)| {
                let argument = self.command.get_arguments().find(|argument| argument.get_id() == *key)?;
                (argument.get_help_heading() == heading).then_some((key, argument))
            });
            let mut arguments = arguments.peekable();
            if arguments.peek().is_some() {
                keys.extend([".SS ", heading.unwrap_or("Other"), "\n"]);
            }
            for (key, argument) in arguments {
                let setting = self.settings.of(key).ok_or(format!("nothing is said of {key}"))?;
                keys += &entry(key, argument, setting);
            }
        }
        Ok(keys)
    }
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
fn entry(key: &str, argument: &Arg, setting: &Setting) -> String {
    let (help, default) = help_of(argument);
    let default = default.map(|default| format!("; default: {}", escaped(&default))).unwrap_or_default();
    let [kind, example] = [&setting.kind, &setting.example].map(|text| text.as_deref().unwrap_or_default());
    format!(
        ".TP\n\\fB{key}\\fR\n{}.\n{}.br\nType: {}{default}.\n.br\nExample: \\fB{}\\fR\n",
        escaped(&help),
        note(setting),
        marked_up(kind),
        escaped(&format!("{key} = {example}")),
    )
}

/// What is said of an option besides its help.
fn note(setting: &Setting) -> String {
    let lines: Vec<_> = setting.note.lines().map(|line| marked_up(line) + "\n").collect();
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
const WITH_NAMES: [&str; 3] = ["status", "pause", "resume"];

/// The names of the watchdogs that have run here, as the program itself gives them.
const NAMES: &str = "watchdog status 2>/dev/null | sed '1d; s/ .*//'";

/// The names that `--config` takes for files of theirs.
const CONFIGURED: &str = r"ls /etc/watchdog ~/.config/watchdog 2>/dev/null | sed -n 's/\.toml$//p'";

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
    let mut command = Cli::command()
        // Here and not in the definition: the program says itself, and with all else, that a value is wrong.
        .mut_arg("pid_namespace", |argument| argument.value_parser(["own", "any"]))
        .mut_args(no_files)
        .mut_subcommands(|command| command.mut_args(no_files));
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "watchdog", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn bash() -> Result<String, Wrong> {
    let mut text = completions(Shell::Bash);
    for command in WITH_NAMES {
        let before = format!("        watchdog__subcmd__{command})\n            opts=\"");
        text = replaced(&text, &before, &format!("{before}$({NAMES}) "), 1)?;
    }
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
    Ok(text)
}

fn zsh() -> Result<String, Wrong> {
    let text = completions(Shell::Zsh);
    let text = replaced(&text, ":' \\\n&& ret=0", ":_watchdog_names' \\\n&& ret=0", WITH_NAMES.len())?;
    let text = replaced(&text, ":FILE:_files'", ":FILE:_watchdog_files'", 2)?;
    let last = "if [ \"$funcstack[1]\"";
    let offered = |function: &str, command: &str, more: &str| {
        format!(
            "(( $+functions[{function}] )) ||\n{function}() {{\n    local -a names\n    \
             names=(${{(f)\"$({command})\"}})\n    compadd -a names{more}\n}}\n\n"
        )
    };
    let names = offered("_watchdog_names", NAMES, "");
    let files = offered("_watchdog_files", CONFIGURED, "\n    local ret=$?\n    _files || return ret");
    replaced(&text, last, &format!("{names}{files}{last}"), 1)
}

fn fish() -> Result<String, Wrong> {
    let text = completions(Shell::Fish);
    let parse = "argparse -s (__fish_watchdog_global_optspecs) -- $cmd";
    let before = format!("{parse} 2>/dev/null\n");
    // An option whose value is still to come is no mistake.
    let text = replaced(&text, &before, &format!("{before}    or {parse} value 2>/dev/null\n"), 1)?;
    let configured = CONFIGURED.replace('\'', "\\'");
    let text = replaced(&text, " -r -F\n", &format!(" -r -F -a '({configured})'\n"), 1)?;
    let (commands, names) = (WITH_NAMES.join(" "), NAMES.replace('\'', "\\'"));
    Ok(format!(
        "{text}complete -c watchdog -n \"__fish_watchdog_using_subcommand {commands}\" -f -a '({names})'\n"
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
