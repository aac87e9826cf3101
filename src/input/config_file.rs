//! What the configuration file says.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

use crate::fs::Writable;
use crate::input::suggest::meant;
use crate::settings::Settings;
use crate::settings::dirs::{SYSTEM_CONFIG, User};
use crate::settings::given::{Given, OFF, ON, Source};
use crate::settings::name::{Name, name};
use crate::settings::table::{Form, Place, Row, row, settings};
use crate::sys::PROC;
use crate::text::{escaped, quoted};

/// The largest file that is read as a configuration.
const LARGEST: u64 = 1 << 20;
/// How many complaints are made of one file: one that is no configuration at all is wrong in each line.
const MOST_COMPLAINTS: usize = 50;
/// How much of a key is compared with the known ones, and shown.
const LONGEST_KEY: usize = 64;
/// How long a value may be that is shown.
const LONGEST_VALUE: usize = 200;

/// Something wrong with the file, ready to be read.
pub type Complaint = String;

/// The path that `--config` means: a bare name is that of an instance.
pub fn path(given: &OsStr, user: &User) -> PathBuf {
    if !is_bare(given) {
        return user.path(given);
    }
    let mut name = given.to_owned();
    name.push(".toml");
    let (own, system) = (user.config_folder().join(&name), Path::new(SYSTEM_CONFIG).join(&name));
    if user.uid != 0 && (own.exists() || !system.exists()) { own } else { system }
}

fn is_bare(given: &OsStr) -> bool {
    let is_path =
        given.as_encoded_bytes().contains(&b'/') || Path::new(given).extension() == Some("toml".as_ref());
    !given.is_empty() && !is_path
}

/// The instances that there are configuration files of in `folder`.
pub fn names(folder: &Path) -> Vec<Name> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = files.filter(|file| file.path().is_file());
    let names = files.filter_map(|file| name(file.file_name().to_str()?.strip_suffix(".toml")?).ok());
    let mut names: Vec<_> = names.collect();
    names.sort_by_key(Name::to_string);
    names
}

/// Adds what the file `at` says, as `--config` has it, where nothing was given.
///
/// # Errors
/// All that is wrong with the file, each with its line.
pub fn fill(given: &mut Given, at: &OsStr, user: &User) -> Result<(), Vec<Complaint>> {
    if at.is_empty() {
        return Err(vec!["--config '': empty; give a name, such as docker, or a path".to_owned()]);
    }
    let path = path(at, user);
    let (text, file) = read_file(&path).map_err(|what| {
        let instead = nearest(at, &path, user).unwrap_or_default();
        vec![format!("{}{what}{instead}", path.display())]
    })?;
    if user.uid == 0 {
        given.doubt =
            doubt(&path, &file).map_err(|why| vec![format!("{}: not read: {why}", path.display())])?;
    }
    read(given, &path, &text, user)
}

/// Whoever can write the file, or put another one in its place, decides what root runs. A link is as good as the
/// directory that it is in and the one that it leads to.
///
/// # Errors
/// It is another user's, or everybody's; unless this is process 1, whose volumes may be.
fn doubt(path: &Path, file: &File) -> Result<Option<String>, String> {
    let by = |path: &Path, is_sticky: bool, about: &Metadata| {
        let by = Writable::of(about.uid(), about.gid(), about.mode(), is_sticky)?;
        let why = format!("others can decide what root runs: {} is {}", path.display(), by.remedy(path));
        Some((matches!(by, Writable::Group(_)), why))
    };
    let target = std::fs::read_link(Path::new(PROC).join(format!("self/fd/{}", file.as_raw_fd())));
    let folders = [Some(path), target.as_deref().ok()].into_iter().flatten().filter_map(Path::parent);
    let folders = folders.filter_map(|folder| {
        // Nobody can replace what is root's in one that is sticky.
        folder.metadata().ok().and_then(|about| by(folder, about.mode() & 0o1000 != 0, &about))
    });
    let itself = file.metadata().ok().and_then(|about| by(path, false, &about));
    match itself.into_iter().chain(folders).min_by_key(|(is_doubt, _)| *is_doubt) {
        Some((false, why)) if std::process::id() != 1 => Err(why),
        worst => Ok(worst.map(|(_, why)| why)),
    }
}

/// What to type in place of what was `given`, if there is no file at `at`, which that means, but one that may
/// have been meant.
fn nearest(given: &OsStr, at: &Path, user: &User) -> Option<String> {
    let (folder, typed) = (at.parent()?, at.file_stem()?.to_str()?);
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // Other users than root may mean one of root's.
    let others = is_bare(given).then_some(Path::new(SYSTEM_CONFIG));
    let files = [Some(folder), others].into_iter().flatten().flat_map(std::fs::read_dir).flatten().flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    let names = names.filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned()));
    // A bare name with its ending would be a path.
    let instead = |name: &str| {
        if is_bare(given) { name.into() } else { at.with_file_name(format!("{name}.toml")).into_os_string() }
    };
    let names: Vec<_> = names.filter(|name| path(&instead(name), user).is_file()).collect();
    let nearest = meant(typed, names.iter().map(String::as_str)).filter(|_| !at.exists())?;
    Some(format!("; did you mean {}?", escaped(&quoted(&instead(nearest)))))
}

/// Reads a file that may be anybody's: neither a pipe nor a file without an end holds us up. What is wrong with
/// it follows its path.
fn read_file(path: &Path) -> Result<(String, File), String> {
    const NONE: &str = ": not a configuration file";
    let cannot = |error: io::Error| format!(": cannot read it: {error}");
    let flags = crate::sys::custom_flags(OFlags::NONBLOCK | OFlags::NOCTTY);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if !about.is_file() || about.len() > LARGEST {
        return Err(NONE.to_owned());
    }
    let mut bytes = Vec::new();
    let length = (&file).take(LARGEST + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if length as u64 > LARGEST { Err(NONE.to_owned()) } else { Ok((decode(bytes)?, file)) }
}

/// The text of a file. An end of line as Windows has it is one, within strings too: a shell would take the rest of
/// it for a part of its last word.
fn decode(bytes: Vec<u8>) -> Result<String, String> {
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] = bytes.as_slice() {
        return Err(":1: written in UTF-16; save it as UTF-8: iconv -f UTF-16 -t UTF-8".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = valid.filter(|byte| **byte == b'\n').count() + 1;
        format!(":{line}: not written in UTF-8 (Latin-1?); save it as UTF-8: iconv -f LATIN1 -t UTF-8")
    })?;
    Ok(text.replace("\r\n", "\n"))
}

/// Adds what `text` says, which is the content of the file at `path`, where nothing was given.
///
/// # Errors
/// All that is wrong with the file, by its lines: if it is no TOML that, else keys and values, those of the command
/// line too; of very much, the first.
pub fn read(given: &mut Given, path: &Path, text: &str, user: &User) -> Result<(), Vec<Complaint>> {
    given.file = Some(path.to_owned());
    let line_ends: Vec<_> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line_of = |at: usize| line_ends.partition_point(|end| *end < at) + 1;
    let at = |line: usize, what: String| format!("{}:{line}: {what}", path.display());
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = line_of(start);
            let line_start = line_ends.get(line.wrapping_sub(2)).map_or(0, |end| end + 1);
            let unquoted = text.get(line_start..start).and_then(|key| unquoted(key, text.get(start..)?));
            (line, unquoted.is_none(), at(line, unquoted.unwrap_or_else(|| syntax(error.message()))))
        })
        .collect();
    // What else is wrong with a line mostly follows from its first mistake.
    errors.sort();
    errors.dedup_by_key(|(line, ..)| *line);
    if !errors.is_empty() {
        return Err(shortened(errors.into_iter().map(|(.., what)| what).collect(), path));
    }
    let mut complaints = Vec::new();
    for (key, value) in table.into_inner() {
        let line = line_of(key.span().start);
        let (key, value) = (key.get_ref(), value.get_ref());
        match settings().find(|row| row.key == key.as_ref()).map(|row| (row.key, written(row, value))) {
            Some((key, Ok(value))) => given.add(key, value, Source::File(line)),
            Some((key, Err(what))) => complaints.push((Some(line), at(line, format!("{key}: {what}")))),
            None => complaints.push((Some(line), at(line, unknown(key, value)))),
        }
    }
    if complaints.is_empty() {
        return Ok(());
    }
    // What seems to be missing may be what is misspelt; all other settings that are wrong are wrong anyway.
    let values = Settings::new(given, user).err().unwrap_or_default();
    let values = values.iter().filter(|wrong| wrong.value.is_some());
    complaints.extend(values.map(|wrong| (given.line(wrong.key), wrong.to_string())));
    complaints.sort_by_key(|(line, _)| *line);
    Err(shortened(complaints.into_iter().map(|(_, what)| what).collect(), path))
}

/// What is wrong with a line that is no TOML.
fn syntax(said: &str) -> String {
    // As in "\.": patterns are full of them.
    let hint = if said.contains("escape") { "; in single quotes a backslash is literal" } else { "" };
    format!("{said}{hint}")
}

fn shortened(mut complaints: Vec<Complaint>, path: &Path) -> Vec<Complaint> {
    let more = complaints.len().saturating_sub(MOST_COMPLAINTS);
    if more > 0 {
        complaints.truncate(MOST_COMPLAINTS);
        complaints.push(format!("{}: and {more} more", path.display()));
    }
    complaints
}

/// What to write instead, if in a line that is wrong a text without quotes follows the `key` and its `=`: the
/// parser, which knows a value by its first letter, says of `nginx` that it is no `nan`.
fn unquoted(key: &str, value: &str) -> Option<String> {
    let key = key.trim_end_matches([' ', '\t']).strip_suffix('=')?.trim();
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        return None;
    }
    let value = value.split('\n').next()?;
    // A comment is meant after a blank, and not within `--color=#fff`.
    let value =
        [" #", "\t#"].iter().fold(value, |value, comment| value.split(comment).next().unwrap_or(value));
    // Word processors put quotes of their own.
    let value = value.trim().trim_matches(['\u{201c}', '\u{201d}']);
    if !value.contains(char::is_alphabetic) || value.starts_with(['"', '\'', '#']) {
        return None;
    }
    if settings().any(|row| row.key == key && row.is_flag()) {
        return Some(format!("{key}: a text does not fit; give true or false"));
    }
    let quote = match (value.contains(['"', '\\']), value.contains('\'')) {
        (false, _) => "\"",
        (true, false) => "'",
        (true, true) => "'''",
    };
    // What is shown is copied, and half of a command is another one.
    let is_short = key.chars().count() <= LONGEST_KEY && value.chars().count() <= LONGEST_VALUE;
    let shown = is_short.then(|| format!(": {key} = {quote}{}{quote}", escaped(value)));
    Some(format!("put the text in quotes{}", shown.unwrap_or_default()))
}

/// The value of a setting as it could be typed.
fn written(row: &Row, value: &DeValue) -> Result<OsString, String> {
    match value {
        DeValue::Boolean(is_on) if row.is_flag() => Ok(if *is_on { ON } else { OFF }.into()),
        other if row.is_flag() => Err(format!("{} does not fit; give true or false", a_kind(other))),
        other if row.form != Form::Text => {
            let value = structured(row.form, other)
                .map_err(|what| format!("{what}, as in {} = {}", row.key, row.example))?;
            Ok(value.to_string().into())
        }
        DeValue::String(text) => Ok(text.as_ref().into()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().replace('_', "").into()),
        DeValue::Float(number) => Ok(number.as_str().replace('_', "").into()),
        other => Err(format!("{} does not fit; give a text in quotes or a number", a_kind(other))),
    }
}

/// A value that has parts, as JSON. What is no list where one is wanted is a list of itself.
fn structured(form: Form, value: &DeValue) -> Result<Json, String> {
    let wrong = |wanted: &str| Err(format!("{} does not fit; give {wanted}", a_kind(value)));
    let fields = |table: &DeTable, form| {
        let fields = table.iter().map(|(key, value)| {
            let key = key.get_ref().to_string();
            let field = structured(form, value.get_ref()).map_err(|what| format!("{key}: {what}"))?;
            Ok((key, field))
        });
        fields.collect::<Result<_, String>>().map(Json::Object)
    };
    match (form, value) {
        (Form::Text, DeValue::String(text)) => Ok(text.as_ref().into()),
        (Form::Text, DeValue::Integer(number)) if number.radix() == 10 => {
            Ok(number.as_str().replace('_', "").into())
        }
        (Form::Text, DeValue::Float(number)) => Ok(number.as_str().replace('_', "").into()),
        (Form::Text, DeValue::Boolean(is_on)) => Ok(if *is_on { ON } else { OFF }.into()),
        (Form::Text, DeValue::Datetime(moment)) => Ok(moment.to_string().into()),
        (Form::Text, _) => wrong("a text in quotes or a number"),
        (Form::List, DeValue::Array(items)) => {
            let items = items.iter().map(|item| structured(Form::Text, item.get_ref()));
            items.collect::<Result<_, _>>().map(Json::Array)
        }
        (Form::List, DeValue::Table(_)) => wrong("a list"),
        (Form::List, item) => Ok(Json::Array(vec![structured(Form::Text, item)?])),
        (Form::Table, DeValue::Table(table)) => fields(table, Form::Text),
        (Form::Table, _) => wrong("a table"),
        (Form::Tables, DeValue::Array(items)) => {
            let items = items.iter().map(|item| structured(Form::Table, item.get_ref()));
            items.collect::<Result<_, _>>().map(Json::Array)
        }
        (Form::Tables, _) => wrong("a list of tables"),
    }
}

fn a_kind(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn unknown(key: &str, value: &DeValue) -> String {
    let shown: String = key.chars().take(LONGEST_KEY).collect();
    let typed = shown.replace('-', "_");
    if let Some(row) = row(&typed).filter(|row| matches!(row.place, Place::CommandLine | Place::Letter)) {
        return format!("{} works on the command line only: {}", row.key, row.option());
    }
    let instead = match meant(&typed, settings().map(|row| row.key)) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None if matches!(value, DeValue::Table(_)) => {
            "remove the [section], settings stand at the top".to_owned()
        }
        None => "the settings are the long options that --help shows, with _ for -".to_owned(),
    };
    format!("unknown setting '{}'; {instead}", escaped(&shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> User {
        User { uid: 0, home: "/root".into(), ..User::default() }
    }

    fn said(text: &str) -> Result<Given, Vec<String>> {
        read_over(&[], text)
    }

    fn read_over(typed: &[(&'static str, &str)], text: &str) -> Result<Given, Vec<String>> {
        let mut given = Given::default();
        for (key, value) in typed {
            given.add(key, value, Source::CommandLine);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        std::fs::write(&path, text).unwrap();
        let tidy = |text: String| text.replace(&path.display().to_string(), "x.toml");
        let read = fill(&mut given, path.as_os_str(), &root());
        read.map(|()| given).map_err(|all| all.into_iter().map(tidy).collect())
    }

    #[test]
    fn texts_numbers_and_flags_are_read() {
        let given = said(
            "process_name = \"docker\"\n\n# why\nstart_command = 'service docker start'\nmax_fail_count = 1_0\n\
             restart_delay = 0.5\nexact = true\nfull = false\n",
        )
        .unwrap();
        for (key, value) in [
            ("process_name", "docker"),
            ("start_command", "service docker start"),
            ("max_fail_count", "10"),
            ("restart_delay", "0.5"),
        ] {
            assert_eq!(given.value(key), Some(OsStr::new(value)), "{key}");
        }
        assert!(given.is_on("exact") && !given.is_on("full"));
        assert!(given.place("start_command").unwrap().ends_with("x.toml:4"));
        assert_eq!(given.place("user"), None);
    }

    #[test]
    fn the_command_line_wins() {
        let given = read_over(&[("process_name", "typed")], "process_name = \"written\"").unwrap();
        assert_eq!(given.value("process_name"), Some(OsStr::new("typed")));
        assert_eq!(given.place("process_name"), None);
    }

    #[test]
    fn all_errors_come_at_once_with_their_lines() {
        assert_eq!(
            said("proces_name = 'x'\nexact = 1\n\nstart_command = ['a']\nuser = true\n[when]\nx = 1\n")
                .unwrap_err(),
            [
                "x.toml:1: unknown setting 'proces_name'; did you mean process_name?",
                "x.toml:2: exact: a number does not fit; give true or false",
                "x.toml:4: start_command: a list does not fit; give a text in quotes or a number",
                "x.toml:5: user: true or false does not fit; give a text in quotes or a number",
                "x.toml:6: unknown setting 'when'; remove the [section], settings stand at the top",
            ]
        );
        assert_eq!(
            said("config = 'x'\ndry-run = true\nwatch = 'x'\nmax_fail = 3\n").unwrap_err(),
            [
                "x.toml:1: config works on the command line only: --config",
                "x.toml:2: dry_run works on the command line only: --dry-run",
                "x.toml:3: unknown setting 'watch'; the settings are the long options that --help shows, with _ for -",
                "x.toml:4: unknown setting 'max_fail'; did you mean max_fail_count?",
            ]
        );
        // What is wrong with a value is said beside that, and what is missing is not.
        let text = "max_fail_count = 0\nexat = true\nlog_max_size = 'big'\n";
        let wrong = read_over(&[("name", "typed/wrong")], text).unwrap_err();
        let starts = [
            "--name 'typed/wrong': ",
            "x.toml:1: max_fail_count '0'",
            "x.toml:2: ",
            "x.toml:3: log_max_size",
        ];
        assert_eq!(wrong.len(), starts.len(), "{wrong:?}");
        assert!(wrong.iter().zip(starts).all(|(wrong, start)| wrong.starts_with(start)), "{wrong:?}");
        for (text, start) in
            [("a = \nb = 'x\n", "x.toml:1: "), ("\n\nprocess_name = 'x'\nprocess_name = 'y'", "x.toml:4: ")]
        {
            let wrong = said(text).unwrap_err();
            assert!(wrong[0].starts_with(start), "{wrong:?}");
        }
    }

    #[test]
    fn a_text_without_quotes_is_shown_with_them() {
        for (line, shown) in [
            ("process_name = nginx", r#"process_name = "nginx""#),
            ("process_name=tomcat # why", r#"process_name = "tomcat""#),
            ("process_name = tomcat\t# why # so", r#"process_name = "tomcat""#),
            ("start_command = x --color=#fff # why", r#"start_command = "x --color=#fff""#),
            ("\tname = inetd\r", r#"name = "inetd""#),
            ("start_command = service docker start", r#"start_command = "service docker start""#),
            ("start_command = sh -c \"x\" && y", r#"start_command = 'sh -c "x" && y'"#),
            ("start_command = sh -c 'a' \"b\"", r#"start_command = '''sh -c 'a' "b"'''"#),
            ("process_name = ^nginx: [a-z]", r#"process_name = "^nginx: [a-z]""#),
            ("restart_wait_interval = 5s", r#"restart_wait_interval = "5s""#),
            ("user = \u{201c}www-data\u{201d}", r#"user = "www-data""#),
            ("name = naught\u{1b}[2J", r#"name = "naught\u{1b}[2J""#),
        ] {
            let said = said(&format!("# why\n{line}\n")).unwrap_err();
            assert_eq!(said, [format!("x.toml:2: put the text in quotes: {shown}")], "{line}");
        }
        for (key, value) in [("start_command", "x ".repeat(101) + "y"), (&"k".repeat(65), "x".to_owned())] {
            assert_eq!(said(&format!("{key} = {value}")).unwrap_err(), ["x.toml:1: put the text in quotes"]);
        }
        for (text, expected) in [
            ("name = inetd\nuser = nobody", &["x.toml:1: put the text", "x.toml:2: put the text"][..]),
            (
                "once = yes\nexact = True",
                &["x.toml:1: once: a text does not fit; give", "x.toml:2: exact: a text does not fit; give"],
            ),
            ("name = ", &["x.toml:1: "]),
            ("name = # why", &["x.toml:1: "]),
            ("name =#why", &["x.toml:1: "]),
            ("= inetd", &["x.toml:1: "]),
            ("name = 'a' b", &["x.toml:1: unexpected"]),
            ("name = 1__0", &["x.toml:1: `_`"]),
            ("name = [inetd]", &["x.toml:1: invalid"]),
            ("name = \"\"\"\na = \\q\n\"\"\"", &["x.toml:2: missing"]),
        ] {
            let said = said(text).unwrap_err();
            assert_eq!(said.len(), expected.len(), "{said:?}");
            for (said, start) in said.iter().zip(expected) {
                assert!(
                    said.starts_with(start)
                        && said.contains("text in quotes") == start.contains("put the text"),
                    "{said}"
                );
            }
        }
        assert!(
            said(r#"process_name = "8\.2""#).unwrap_err()[0]
                .ends_with("; in single quotes a backslash is literal")
        );
        assert!(said("name = nan\nuser = inf").is_ok());
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.toml");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let large = folder.path().join("large.toml");
        std::fs::File::create(&large).unwrap().set_len(10 << 30).unwrap();
        let (folder, none) = (folder.path().to_owned(), folder.path().join("none.toml"));
        for path in [folder, none, pipe, large, "/dev/zero".into()] {
            assert_eq!(
                fill(&mut Given::default(), path.as_ref(), &root()).unwrap_err().len(),
                1,
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn a_file_that_was_meant_is_named() {
        let home = tempfile::tempdir().unwrap();
        let user = User { uid: 1000, home: home.path().to_owned(), ..User::default() };
        let folder = user.config_folder();
        std::fs::create_dir_all(&folder).unwrap();
        for file in ["cla.toml", "docker.toml", "docker.toml.example", "web.toml.toml"] {
            std::fs::write(folder.join(file), "exact = 1").unwrap();
        }
        let of = |given: &OsStr| fill(&mut Given::default(), given, &user).unwrap_err().remove(0);
        // What is named is taken as it stands.
        for (name, nearest) in [("claa", "cla"), ("dokcer", "docker"), ("c", "cla")] {
            let said = of(name.as_ref());
            assert!(said.ends_with(&format!("; did you mean {nearest}?")), "{name}: {said}");
            assert!(!of(nearest.as_ref()).contains("cannot read it"), "{nearest}");
        }
        for name in ["no-such-name", "wbe", "web"] {
            assert!(!of(name.as_ref()).contains("did you mean"), "{name}: {}", of(name.as_ref()));
        }
        let of = |file: &str| of(folder.join(file).as_os_str());
        for (file, nearest) in [
            ("claa.toml", "cla.toml"),
            ("dokcer.toml", "docker.toml"),
            ("docker", "docker.toml"),
            ("c", "cla.toml"),
        ] {
            let nearest = folder.join(nearest).display().to_string();
            assert!(of(file).ends_with(&format!("; did you mean {nearest}?")), "{file}: {}", of(file));
        }
        for file in ["nginx.toml", "cla.toml", "docker.toml.example", "none/cla.toml"] {
            assert!(!of(file).contains("did you mean"), "{file}: {}", of(file));
        }
    }

    #[test]
    fn a_file_that_is_wrong_throughout_is_refused_at_once() {
        for text in ["]\n".repeat(500_000), "x = 1\n".repeat(150_000), "x".repeat(1_000_000) + " = 1"]
            .into_iter()
            .chain(["x = n\n".repeat(150_000), "a = {".to_owned() + &"x = n,".repeat(150_000)])
        {
            let wrong = said(&text).unwrap_err();
            assert!(wrong.len() <= MOST_COMPLAINTS + 1, "{}", wrong.len());
            assert!(wrong.iter().all(|wrong| wrong.len() < 1000), "{}", wrong[0].len());
        }
        for text in ["a = ".to_owned() + &"[".repeat(500_000), "a.".repeat(300_000) + "b = 1"] {
            said(&text).unwrap_err();
        }
    }

    #[test]
    fn a_bare_name_is_that_of_an_instance() {
        let user = User { uid: 1000, home: "/home/nobody-here".into(), ..User::default() };
        let root = || User { cwd: "/srv".into(), ..root() };
        for (given, user, expected) in [
            ("docker", root(), "/etc/watchdog/docker.toml"),
            ("./docker", root(), "/srv/docker"),
            ("docker.toml", root(), "/srv/docker.toml"),
            ("~/docker.toml", root(), "/root/docker.toml"),
            ("/x/y", root(), "/x/y"),
            ("docker", user, "/home/nobody-here/.config/watchdog/docker.toml"),
        ] {
            assert_eq!(path(OsStr::new(given), &user), Path::new(expected));
        }
    }
}
