//! What was given for each setting, and where. Nothing is judged here: a value is any text.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::settings::name::Name;
use crate::text::escaped;

/// What was given for each setting, by key, and where.
#[derive(Debug, Clone, Default)]
pub struct Given {
    values: BTreeMap<&'static str, (OsString, Source)>,
    /// The configuration file, and those that it includes.
    pub files: Vec<PathBuf>,
    /// The instance that the file is for.
    pub instance: Option<Name>,
    /// Why one of the files is to be doubted, if it is.
    pub doubt: Option<String>,
}

/// Where a value was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// On the command line.
    CommandLine,
    /// In a configuration file.
    File(Spot),
    /// To a question.
    Answer,
}

/// A line of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Which of [`Given::files`] it is in.
    pub file: usize,
    /// Its number, from 1.
    pub line: usize,
}

/// The value of a flag that is on.
pub const ON: &str = "yes";
/// The value of a flag that is off.
pub const OFF: &str = "no";

impl Given {
    /// Adds a value, unless there is one.
    pub fn add(&mut self, key: &'static str, value: impl Into<OsString>, source: Source) {
        self.values.entry(key).or_insert_with(|| (value.into(), source));
    }

    /// What was given for `key`.
    pub fn value(&self, key: &str) -> Option<&OsStr> {
        self.values.get(key).map(|(value, _)| value.as_os_str())
    }

    /// Whether nothing was given for `key`.
    pub fn lacks(&self, key: &str) -> bool {
        !self.values.contains_key(key)
    }

    /// Changes the value of `key`, if there is one.
    pub fn change(&mut self, key: &str, change: impl FnOnce(&OsStr) -> OsString) {
        if let Some((value, _)) = self.values.get_mut(key) {
            *value = change(value);
        }
    }

    /// Whether the flag `key` was given.
    pub fn is_on(&self, key: &str) -> bool {
        self.value(key).is_some_and(|value| value == ON)
    }

    /// Where in the files `key` stands, if it comes from there.
    pub fn spot(&self, key: &str) -> Option<Spot> {
        match self.values.get(key)? {
            (_, Source::File(spot)) => Some(*spot),
            _ => None,
        }
    }

    /// The file that `key` comes from.
    pub fn file(&self, key: &str) -> Option<&Path> {
        self.files.get(self.spot(key)?.file).map(PathBuf::as_path)
    }

    /// Where `key` stands in a file, if it comes from there: `docker.toml:3`.
    pub fn place(&self, key: &str) -> Option<String> {
        self.spot(key).map(|spot| self.shown(spot))
    }

    /// A line of a file, as it is shown.
    pub fn shown(&self, spot: Spot) -> String {
        let file = self.files.get(spot.file).map(|file| file.display().to_string());
        escaped(&format!("{}:{}", file.unwrap_or_default(), spot.line))
    }

    /// Where the value of `key` comes from, in words.
    pub fn source(&self, key: &str) -> String {
        match self.values.get(key) {
            None => "default".to_owned(),
            Some((_, Source::CommandLine)) => "command line".to_owned(),
            Some((_, Source::Answer)) => "answered".to_owned(),
            Some((_, Source::File(_))) => self.place(key).unwrap_or_default(),
        }
    }

    /// The same without what is in the file, which may say something else by now.
    pub fn without_file(&self) -> Self {
        let mut values = self.values.clone();
        values.retain(|_, (_, source)| !matches!(source, Source::File(_)));
        Given { values, ..Given::default() }
    }
}
