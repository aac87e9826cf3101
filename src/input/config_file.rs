//! What the configuration file says, and those that it includes.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use toml::de::{DeArray, DeTable, DeValue};

use crate::fs::{Writable, absolute, identity, open_regular};
use crate::settings::dirs::{SYSTEM_CONFIG, User};
use crate::settings::given::{Given, Source, Spot};
use crate::settings::name::{Name, name};
use crate::settings::table::{Form, Place, Row, row, settings};
use crate::settings::values::Table;
use crate::settings::{LONGEST_VALUE, SettingError, Settings, Wrong, template, values};
use crate::sys::PROC;
use crate::text::{escaped, meant, quoted};

/// The largest file that is read as a configuration.
const LARGEST: u64 = 1 << 20;
/// How many complaints are made of one file: one that is no configuration at all is wrong in each line.
const MOST_COMPLAINTS: usize = 50;
/// How much of a key is compared with the known ones, and shown.
const LONGEST_KEY: usize = 64;

/// The setting that names files to include.
const INCLUDE: &str = "include";

/// All that is wrong with a file, ready to be read.
pub type Complaints = Vec<String>;

/// Something wrong with a file, and where it belongs among others.
type Placed = (Option<Spot>, String);

/// A setting in a file.
struct Entry {
    row: &'static Row,
    value: OsString,
    spot: Spot,
}

impl Entry {
    /// The files that it names, if it is of those to include.
    fn files(&self) -> Vec<String> {
        values::text(&self.value).and_then(values::list).unwrap_or_default()
    }
}

/// The path that `--config` means: a bare name is that of an instance.
pub fn path(given: &OsStr, user: &User) -> PathBuf {
    if is_bare(given) { of(given, user) } else { user.path(given) }
}

/// The path of the configuration of the instance `name`, which may be made from a template, where there is one, and
/// else where it would be looked for first.
pub fn of(name: &OsStr, user: &User) -> PathBuf {
    let mut file = name.to_owned();
    file.push(".toml");
    let asked: Vec<_> = user.config_folders().iter().map(|folder| folder.join(&file)).collect();
    // A file of its own comes before a template, wherever they are.
    let found =
        asked.iter().find(|asked| asked.exists()).or_else(|| asked.iter().find(|it| template::is_there(it)));
    found.or(asked.first()).cloned().unwrap_or_default()
}

fn is_bare(given: &OsStr) -> bool {
    let is_path =
        given.as_encoded_bytes().contains(&b'/') || Path::new(given).extension() == Some("toml".as_ref());
    !given.is_empty() && !is_path
}

/// What the configuration files in `folder` are called, without their ending.
fn stems(folder: &Path) -> impl Iterator<Item = String> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".toml")?.to_owned()))
}

/// The instances that there are configuration files of in `folder`.
pub fn names(folder: &Path) -> Vec<Name> {
    let is_one = |stem: &String| !stem.ends_with('@') && folder.join(format!("{stem}.toml")).is_file();
    let mut names: Vec<_> = stems(folder).filter(is_one).filter_map(|stem| name(&stem).ok()).collect();
    names.sort_by_key(Name::to_string);
    names
}

/// Adds what the file `at` says, as `--config` has it, where nothing was given.
///
/// # Errors
/// All that is wrong with the file, each with its line.
pub fn fill(given: &mut Given, at: &OsStr, user: &User) -> Result<(), Complaints> {
    if at.is_empty() {
        return Err(vec!["--config '': empty; give a name, such as docker, or a path".to_owned()]);
    }
    let asked = path(at, user);
    if template::is_template(&asked) {
        let instance = at.to_string_lossy().replace("@.toml", "@1.toml");
        let instance = if is_bare(at) { format!("{instance}1") } else { instance };
        let instead = format!("give an instance of it, such as {}", escaped(&quoted(instance.as_ref())));
        return Err(vec![format!("{}: a template; {instead}", asked.display())]);
    }
    let (path, instance) = template::file(&asked);
    let called = asked.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    given.instance = match (name(called), instance) {
        (Err(Wrong { what, instead }), Some(_)) => {
            return Err(vec![format!("--config '{}': {what}; {instead}", escaped(&at.to_string_lossy()))]);
        }
        (called, _) => called.ok(),
    };
    load(given, &path, instance, user).map_err(|wrong| {
        // Of a file that is there, no other was meant.
        let nearest = if path.exists() { None } else { nearest(at, &path, user) }.unwrap_or_default();
        wrong.into_iter().map(|wrong| wrong + &nearest).collect()
    })
}

/// Adds what the file at `path` says; in a template, `%i` is the `instance`.
///
/// # Errors
/// All that is wrong with the file, each with its line.
pub fn load(given: &mut Given, path: &Path, instance: Option<&str>, user: &User) -> Result<(), Complaints> {
    let (text, doubt) = read_trusted(path, user).map_err(|what| vec![format!("{}{what}", path.display())])?;
    given.doubt = doubt;
    read(given, path, instance, &text, user)
}

/// The text of a file, which may be anybody's, and without an end; and why it is to be doubted, perhaps. What is wrong
/// with it follows its path.
fn read_trusted(path: &Path, user: &User) -> Result<(String, Option<String>), String> {
    const NONE: &str = ": not a configuration file";
    let cannot = |error: io::Error| format!(": cannot read it: {error}");
    let file = open_regular(path).map_err(cannot)?.ok_or(NONE)?;
    let mut bytes = Vec::new();
    let length = (&file).take(LARGEST + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if length as u64 > LARGEST {
        return Err(NONE.to_owned());
    }
    let text = decode(bytes)?;
    let doubt = if user.uid == 0 { doubt(path, &file) } else { Ok(None) };
    Ok((text, doubt.map_err(|why| format!(": not read: {why}"))?))
}

/// Whoever can write the file, or put another one in its place, decides what root runs. A link is as good as the
/// directory that it is in and the one that it leads to.
///
/// # Errors
/// It is another user's, or everybody's; unless this is process 1, whose volumes may be.
fn doubt(path: &Path, file: &File) -> Result<Option<String>, String> {
    let target = std::fs::read_link(Path::new(PROC).join(format!("self/fd/{}", file.as_raw_fd())));
    let folders = [Some(path), target.as_deref().ok()].into_iter().flatten().filter_map(Path::parent);
    let folders = folders.filter_map(|folder| Some((folder, folder.metadata().ok()?, true)));
    let itself = file.metadata().ok().map(|about| (path, about, false));
    let doubts = itself.into_iter().chain(folders).filter_map(|(path, about, is_folder)| {
        // Nobody can replace what is root's in one that is sticky.
        let is_sticky = is_folder && about.mode() & 0o1000 != 0;
        let by = Writable::of(about.uid(), about.gid(), about.mode(), is_sticky)?;
        let why = format!("others can decide what root runs: {} is {}", path.display(), by.remedy(path));
        Some((matches!(by, Writable::Group(_)), why))
    });
    match doubts.min_by_key(|(is_doubt, _)| *is_doubt) {
        Some((false, why)) if std::process::id() != 1 => Err(why),
        worst => Ok(worst.map(|(_, why)| why)),
    }
}

/// What to type in place of what was `given`, where there is no file at `at`, which that means, but one that may have
/// been meant.
fn nearest(given: &OsStr, at: &Path, user: &User) -> Option<String> {
    let instead_of_it = |instead: &OsStr| format!("; did you mean {}?", escaped(&quoted(instead)));
    // With its ending it is a path, and in no folder.
    let name = given.to_str().and_then(|given| given.strip_suffix(".toml")).map(OsStr::new);
    if let Some(name) = name.filter(|name| is_bare(name) && template::is_there(&path(name, user))) {
        return Some(instead_of_it(name));
    }
    let (folder, typed) = (at.parent()?, at.file_stem()?.to_str()?);
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // Other users than root may mean one of root's.
    let others = is_bare(given).then_some(Path::new(SYSTEM_CONFIG));
    let names = [Some(folder), others].into_iter().flatten().flat_map(stems);
    // A bare name with its ending would be a path.
    let instead = |name: &str| {
        if is_bare(given) { name.into() } else { at.with_file_name(format!("{name}.toml")).into_os_string() }
    };
    // Of a template, an instance.
    let names = names.map(|name| if name.ends_with('@') { name + "1" } else { name });
    let names: Vec<_> = names.filter(|name| template::is_there(&path(&instead(name), user))).collect();
    meant(typed, names.iter().map(String::as_str)).map(|nearest| instead_of_it(&instead(nearest)))
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

/// Adds what `text` says, which is the content of the file at `path`, and what the files say that it includes, where
/// nothing was given. In a template, `%i` is the `instance`.
///
/// # Errors
/// All that is wrong with the files, by their lines: if the first is no TOML that, else keys and values, those of the
/// command line too; of very much, the first.
pub fn read(
    given: &mut Given,
    path: &Path,
    instance: Option<&str>,
    text: &str,
    user: &User,
) -> Result<(), Complaints> {
    given.files = vec![path.to_owned()];
    let mut reader = Reader { given, user, wrong: Vec::new() };
    let Some(own) = reader.entries(text, instance) else { return Err(shortened(reader.wrong, path)) };
    let included = reader.included(&own);
    for entry in own {
        reader.given.add(entry.row.key, entry.value, Source::File(entry.spot));
    }
    for entry in included {
        reader.add_included(entry);
    }
    let Reader { given, mut wrong, .. } = reader;
    if wrong.is_empty() {
        return Ok(());
    }
    // What seems to be missing may be what is misspelt; all other settings that are wrong are wrong anyway.
    let values = Settings::new(given, user).err().unwrap_or_default();
    let values = values.iter().filter(|wrong| wrong.value.is_some());
    wrong.extend(values.map(|wrong| (given.spot(wrong.key), wrong.to_string())));
    wrong.sort_by_key(|(spot, _)| *spot);
    Err(shortened(wrong, path))
}

/// What reads a file and those that it includes.
struct Reader<'a> {
    given: &'a mut Given,
    user: &'a User,
    wrong: Vec<Placed>,
}

impl Reader<'_> {
    fn complain(&mut self, spot: Spot, what: &str) {
        self.wrong.push((Some(spot), format!("{}: {}", self.given.shown(spot), escaped(what))));
    }

    /// What the last one of the files says, unless it is no TOML.
    fn entries(&mut self, text: &str, instance: Option<&str>) -> Option<Vec<Entry>> {
        let file = self.given.files.len().saturating_sub(1);
        let line_ends: Vec<_> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line_of = |at: usize| line_ends.partition_point(|end| *end < at) + 1;
        let (table, errors) = DeTable::parse_recoverable(text);
        let errors = errors.iter().map(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = line_of(start);
            let line_start = line_ends.get(line.wrapping_sub(2)).map_or(0, |end| end + 1);
            let unquoted = text.get(line_start..start).and_then(|key| unquoted(key, text.get(start..)?));
            (line, unquoted.is_none(), unquoted.unwrap_or_else(|| syntax(error.message())))
        });
        // What else is wrong with a line mostly follows from its first mistake.
        let mut errors: Vec<_> = errors.collect();
        errors.sort();
        errors.dedup_by_key(|(line, ..)| *line);
        if !errors.is_empty() {
            for (line, _, what) in errors {
                self.complain(Spot { file, line }, &what);
            }
            return None;
        }
        let mut found = Vec::new();
        for (key, mut value) in table.into_inner() {
            let spot = Spot { file, line: line_of(key.span().start) };
            let (key, value) = (key.get_ref(), value.get_mut());
            let Some(row) = settings().find(|row| row.key == key.as_ref()) else {
                self.complain(spot, &unknown(key, value));
                continue;
            };
            // In a pattern, too, the instance stands for itself: of what a name may have, a dot would not.
            let is_pattern = ["process_name", "output_pattern"].contains(&row.key);
            let literal =
                |instance: &str| if is_pattern { instance.replace('.', r"\.") } else { instance.to_owned() };
            let filled_in = instance.map_or(Ok(()), |instance| template::fill_in(value, &literal(instance)));
            match filled_in.and_then(|()| written(row, value)) {
                Ok(value) => found.push(Entry { row, value, spot }),
                Err(what) => self.complain(spot, &format!("{key}: {what}")),
            }
        }
        Some(found)
    }

    /// What the files say that are included, in the order in which it counts.
    fn included(&mut self, own: &[Entry]) -> Vec<Entry> {
        let Some(include) = own.iter().find(|entry| entry.row.key == INCLUDE) else { return Vec::new() };
        let mut all = Vec::new();
        for asked in include.files() {
            match self.included_file(&asked) {
                Ok(found) => all.push(found),
                Err(what) => self.complain(include.spot, &format!("{INCLUDE}: {what}")),
            }
        }
        // As the file's own settings win, so do those of what it includes later.
        all.into_iter().rev().flatten().collect()
    }

    /// What one of them says.
    ///
    /// # Errors
    /// It is not to be included.
    fn included_file(&mut self, asked: &str) -> Result<Vec<Entry>, String> {
        let home = &self.user.home;
        let beside = |file: &Path, asked: &str| {
            absolute(asked.as_ref(), home, file.parent().unwrap_or(Path::new(".")))
        };
        let first = self.given.files.first().cloned().unwrap_or_default();
        let path = beside(&first, asked);
        let shown = path.display();
        if template::is_template(&path) {
            let instead = "of which --config takes instances; include another file";
            return Err(format!("{shown} is a template, {instead}"));
        }
        if is_same(&first, &path) {
            return Err(circle([&first, &first]));
        }
        if self.given.files.iter().any(|file| is_same(file, &path)) {
            return Err(format!("{shown} is included twice; remove one"));
        }
        let (text, doubt) = read_trusted(&path, self.user).map_err(|what| {
            let instead = if path.exists() { "" } else { "; write it, or remove it here" };
            format!("{shown}{what}{instead}")
        })?;
        self.given.doubt = self.given.doubt.take().or(doubt);
        self.given.files.push(path.clone());
        let mut found = self.entries(&text, None).unwrap_or_default();
        if let Some(at) = found.iter().position(|entry| entry.row.key == INCLUDE) {
            let deeper = found.remove(at);
            let mut to = deeper.files().into_iter().map(|asked| beside(&path, &asked));
            let what = match to.find(|to| is_same(&first, to) || is_same(&path, to)) {
                Some(back) => circle([&first, &path, &back]),
                None => format!("an included file cannot include others; name them in {}", first.display()),
            };
            self.complain(deeper.spot, &format!("{INCLUDE}: {what}"));
        }
        Ok(found)
    }

    /// Adds a setting of a file that is included where there is none; to a table, the fields that it has not got.
    fn add_included(&mut self, Entry { row, value, spot }: Entry) {
        let Some(own) = self.given.value(row.key).filter(|_| row.form == Form::Table) else {
            return self.given.add(row.key, value, Source::File(spot));
        };
        // Of all of it together, nobody could tell where the fault is.
        if let Err(wrong) = Settings::default().take(row, Some(&value)) {
            let wrong = SettingError { place: Some(self.given.shown(spot)), ..wrong };
            return self.wrong.push((Some(spot), wrong.to_string()));
        }
        let fields = |table| values::text(table).and_then(values::parts::<Table>).unwrap_or_default();
        let mut all = fields(&value);
        all.extend(fields(own));
        self.given.change(row.key, |_| values::as_json(&all).into());
    }
}

/// That these files include each other.
fn circle<const N: usize>(files: [&Path; N]) -> String {
    let called = files.map(|file| file.file_name().unwrap_or_default().to_string_lossy());
    format!("a circle: {}; remove it", called.join(" \u{2192} "))
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| rustix::fs::stat(path).ok().map(|about| identity(&about));
    id(one).is_some() && id(one) == id(other)
}

/// What is wrong with a line that is no TOML.
fn syntax(said: &str) -> String {
    // As in "\.": patterns are full of them; in a umask; in 'it's'; and in YAML.
    let hints = [
        ("escape", "in single quotes a backslash is literal"),
        ("leading zero", "put it in quotes"),
        ("unexpected key or value", "put a text that has quotes between ''' and '''"),
        ("invalid unquoted key", "a setting is KEY = VALUE"),
        ("key with no value", "a setting is KEY = VALUE"),
        ("duplicate key", "remove one of the two"),
    ];
    let hint = hints.iter().find(|(word, _)| said.contains(word));
    hint.map_or_else(|| said.to_owned(), |(_, hint)| format!("{said}; {hint}"))
}

fn shortened(placed: Vec<Placed>, path: &Path) -> Complaints {
    let mut complaints: Vec<_> = placed.into_iter().map(|(_, complaint)| complaint).collect();
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
    let as_in = |what: String| format!("{what}, as in {} = {}", row.key, row.example);
    match (row.form, value) {
        (_, DeValue::Boolean(is_on)) if row.is_flag() => Ok(values::on_or_off(*is_on).into()),
        _ if row.is_flag() => unfit(value, "true or false"),
        (Form::Text, DeValue::Boolean(_) | DeValue::Datetime(_)) => unfit(value, TEXT),
        (Form::Text, DeValue::Integer(number)) if number.radix() != 10 => {
            Err(as_in("only decimal numbers fit; give a text in quotes".to_owned()))
        }
        (Form::Text, _) => text(value).map(OsString::from),
        (form, _) => {
            let odd = value.as_table().filter(|_| form == Form::Table).and_then(|table| {
                table.iter().find_map(|(key, value)| no_variable(key.get_ref(), value.get_ref()))
            });
            let json = odd.map_or_else(|| structured(form, value), Err).map_err(as_in)?;
            Ok(json.to_string().into())
        }
    }
}

/// Why a field of the table of variables is none. What a program is to find there is not for us to choose; and a
/// setting that stands after the head of the table would be a variable there, and nobody would miss it.
fn no_variable(key: &str, value: &DeValue) -> Option<String> {
    if settings().any(|row| row.key == key) {
        let instead = "write it above the table; a variable of that name is for the start command";
        return Some(format!("{key} is a setting, and no variable: {instead}"));
    }
    let is_flag = matches!(value, DeValue::Boolean(_));
    is_flag.then(|| format!("{key}: true or false does not fit; give a text in quotes"))
}

const TEXT: &str = "a text in quotes or a number";

fn unfit<T>(value: &DeValue, wanted: &str) -> Result<T, String> {
    Err(format!("{} does not fit; give {wanted}", a_kind(value)))
}

/// A text, or a number as it would be typed.
fn text(value: &DeValue) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        _ => unfit(value, TEXT),
    }
}

/// A value that has parts, as JSON. What is no list where one is wanted is a list of itself.
fn structured(form: Form, value: &DeValue) -> Result<Json, String> {
    let each = |items: &DeArray, form| items.iter().map(|item| structured(form, item.get_ref())).collect();
    match (form, value) {
        (Form::Text, DeValue::Boolean(is_on)) => Ok(values::on_or_off(*is_on).into()),
        (Form::Text, DeValue::Datetime(moment)) => Ok(moment.to_string().into()),
        (Form::Text, _) => text(value).map(Json::from),
        (Form::List, DeValue::Table(_)) => unfit(value, "a list"),
        (Form::List, DeValue::Array(items)) => each(items, Form::Text),
        (Form::List, item) => Ok(vec![structured(Form::Text, item)?].into()),
        (Form::Tables, DeValue::Array(items)) => each(items, Form::Table),
        (Form::Tables, _) => unfit(value, "a list of tables"),
        (Form::Table, DeValue::Table(table)) => {
            let fields = table.iter().map(|(key, value)| {
                let field = structured(Form::Text, value.get_ref());
                Ok((key.get_ref().to_string(), field.map_err(|what| format!("{}: {what}", key.get_ref()))?))
            });
            fields.collect::<Result<_, _>>().map(Json::Object)
        }
        (Form::Table, _) => unfit(value, "a table"),
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
    // As other supervisors have it.
    let typed = if typed == "environment" { "env".to_owned() } else { typed };
    let instead = match meant(&typed, settings().map(|row| row.key)) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None if value.is_table() => "remove the [section], settings stand at the top".to_owned(),
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

    /// What this file says that includes `a.inc` and `b.inc`, or what is wrong.
    fn with_includes(text: &str, a: &str, b: &str) -> Result<Given, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [("x.toml", text), ("a.inc", a), ("b.inc", b), ("t@.toml", text)] {
            fs::write(at(name), text).unwrap();
        }
        let mut given = Given::default();
        let tidy = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
        let file = if text.contains('%') { "t@2.toml" } else { "x.toml" };
        let read = fill(&mut given, at(file).as_os_str(), &root());
        for file in &mut given.files {
            *file = file.strip_prefix(folder.path()).unwrap().to_owned();
        }
        read.map(|()| given).map_err(|all| all.into_iter().map(tidy).collect())
    }

    #[test]
    fn a_file_wins_over_what_it_includes_and_a_later_one_over_an_earlier() {
        let given = with_includes(
            "process_name = 'own'\n\ninclude = ['a.inc', 'b.inc']\n",
            "process_name = 'a'\nmax_fail_count = 1\nstable_after = 1\n",
            "# why\nmax_fail_count = 2\nuser = 'b'\n",
        )
        .unwrap();
        for (key, value, place) in [
            ("process_name", "own", "x.toml:1"),
            ("stable_after", "1", "a.inc:3"),
            ("max_fail_count", "2", "b.inc:2"),
            ("user", "b", "b.inc:3"),
        ] {
            assert_eq!(given.value(key), Some(OsStr::new(value)), "{key}");
            assert_eq!((given.place(key).as_deref(), given.source(key).as_str()), (Some(place), place));
        }
        assert_eq!(given.instance, name("x").ok());
        // One file needs no list.
        let given = with_includes("include = 'b.inc'", "", "user = 'b'").unwrap();
        assert_eq!(given.place("user").as_deref(), Some("b.inc:1"));
    }

    #[test]
    fn what_is_wrong_with_includes_is_said_where_it_is() {
        let two = "include = ['a.inc', 'b.inc']";
        for (text, a, b, said) in [
            (
                two,
                "exat = true",
                "\nmax_fail_count = 0",
                &[
                    "a.inc:1: unknown setting 'exat'; did you mean exact?",
                    "b.inc:2: max_fail_count '0': too small; give 1 to 1000000, such as 3, or 'unlimited'",
                ][..],
            ),
            (
                "exact = 1\ninclude = 'a.inc'",
                "user = nobody",
                "",
                &[
                    "x.toml:1: exact: a number does not fit; give true or false",
                    "a.inc:1: put the text in quotes: user = \"nobody\"",
                ],
            ),
            (
                "include = 'x.toml'",
                "",
                "",
                &["x.toml:1: include: a circle: x.toml \u{2192} x.toml; remove it"],
            ),
            (
                two,
                "\ninclude = ['../no', './x.toml']",
                "include = 'b.inc'",
                &[
                    "a.inc:2: include: a circle: x.toml \u{2192} a.inc \u{2192} x.toml; remove it",
                    "b.inc:1: include: a circle: x.toml \u{2192} b.inc \u{2192} b.inc; remove it",
                ],
            ),
            (
                "include = 'a.inc'",
                "include = 'b.inc'",
                "",
                &["a.inc:1: include: an included file cannot include others; name them in x.toml"],
            ),
            (
                "\ninclude = ['a.inc', 'a.inc']",
                "",
                "",
                &["x.toml:2: include: a.inc is included twice; remove one"],
            ),
            (
                "include = ['no.inc', 't@.toml']",
                "",
                "",
                &[
                    "x.toml:1: include: no.inc: cannot read it: No such file or directory (os error 2); write it, or remove it here",
                    "x.toml:1: include: t@.toml is a template, of which --config takes instances; include another file",
                ],
            ),
            (
                "include = { a = 1 }",
                "",
                "",
                &["x.toml:1: include: a table does not fit; give a list, as in include = [\"common.inc\"]"],
            ),
        ] {
            assert_eq!(with_includes(text, a, b).unwrap_err(), said, "{text}");
        }
        let wrong = with_includes("include = ['', \"\\u001b[2J\"]", "", "").unwrap_err();
        assert!(wrong.len() == 2 && wrong[1].contains("\\u{1b}[2J: cannot read it"), "{wrong:?}");
    }

    #[test]
    fn an_instance_of_a_template_is_called_as_it_was_asked_for() {
        let given = with_includes(
            "process_name = 'worker-%i'\nstart_command = 'date +%%F'\ninclude = 'a.inc'\n",
            "stop_command = 'date +%F %i'",
            "",
        )
        .unwrap();
        for (key, value) in
            [("process_name", "worker-2"), ("start_command", "date +%F"), ("stop_command", "date +%F %i")]
        {
            assert_eq!(given.value(key), Some(OsStr::new(value)), "{key}");
        }
        assert_eq!(given.instance, name("t@2").ok());
        assert_eq!(given.place("process_name").as_deref(), Some("t@.toml:1"));
        for (letter, shown) in [("F", "F"), ("\u{202e}", "\\u{202e}"), ("\t", "\\t")] {
            assert_eq!(
                with_includes(&format!("exact = true\nstart_command = 'date +%{letter}'"), "", "")
                    .unwrap_err(),
                [format!(
                    "t@.toml:2: start_command: '%{shown}' in a template; write %i for the instance, and %% for %"
                )]
            );
        }
    }

    #[test]
    fn in_a_pattern_the_dots_of_an_instance_are_dots() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("w@.toml");
        fs::write(&file, "process_name = '^w-%i.$'\nstart_command = 'run %i'\n").unwrap();
        let mut given = Given::default();
        fill(&mut given, folder.path().join("w@1.2.toml").as_os_str(), &User::default()).unwrap();
        for (key, value) in [("process_name", r"^w-1\.2.$"), ("start_command", "run 1.2")] {
            assert_eq!(given.value(key), Some(OsStr::new(value)), "{key}");
        }
    }

    #[test]
    fn a_template_is_no_instance_and_an_instance_no_path() {
        let folder = tempfile::tempdir().unwrap();
        let user = User { uid: 1000, home: folder.path().to_owned(), ..User::default() };
        let at = user.config_folder();
        fs::create_dir_all(&at).unwrap();
        for file in ["worker@.toml", "shop@own.toml", "web.toml"] {
            fs::write(at.join(file), "").unwrap();
        }
        assert_eq!(names(&at), ["shop@own", "web"].map(|text| name(text).unwrap()));
        let said = |given: &OsStr| fill(&mut Given::default(), given, &user).err().unwrap_or_default();
        for (given, end) in [
            ("worker@", "worker@.toml: a template; give an instance of it, such as worker@1"),
            ("worker", "did you mean worker@1?"),
            (
                "worker@a b",
                "' ' is not allowed in a name; use letters, digits and . _ @ : - only, such as docker or web@2",
            ),
        ] {
            let said = said(given.as_ref());
            assert!(said.len() == 1 && said[0].ends_with(end), "{given}: {said:?}");
        }
        let template = at.join("worker@.toml");
        assert!(
            said(template.as_os_str())[0]
                .ends_with(&format!("such as {}", at.join("worker@1.toml").display()))
        );
        for given in ["worker@1", "shop@own", "web"] {
            assert_eq!(said(given.as_ref()), [""; 0], "{given}");
        }
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
            (
                "start_command = 'echo it's'",
                &["x.toml:1: unexpected key or value, expected newline, `#`; put a text that has"][..],
            ),
            (
                "process_name: nginx",
                &["x.toml:1: invalid unquoted key, expected letters, numbers, `-`, `_`; a setting is KEY"],
            ),
            ("process_name nginx", &["x.toml:1: key with no value, expected `=`; a setting is KEY = VALUE"]),
            ("name = 'a'\nname = 'b'", &["x.toml:2: duplicate key; remove one"]),
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
