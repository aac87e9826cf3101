//! What was given for each setting, and where. Nothing is judged here: a value is any text.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::settings::name::{self, Name};

/// What was given for each setting, by key, and where.
#[derive(Debug, Clone, Default)]
pub struct Given {
    values: BTreeMap<&'static str, (OsString, Source)>,
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// Why the file is to be doubted, if it is.
    pub doubt: Option<String>,
}

/// Where a value was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// On the command line.
    CommandLine,
    /// On this line of the configuration file.
    File(usize),
    /// To a question.
    Answer,
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

    /// The line of the file on which `key` stands, if it comes from there.
    pub fn line(&self, key: &str) -> Option<usize> {
        match self.values.get(key)? {
            (_, Source::File(line)) => Some(*line),
            _ => None,
        }
    }

    /// Where `key` stands in the file, if it comes from there: `docker.toml:3`.
    pub fn place(&self, key: &str) -> Option<String> {
        Some(format!("{}:{}", self.file.as_ref()?.display(), self.line(key)?))
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

    /// The instance that the file is for, by its name.
    pub fn instance(&self) -> Option<Name> {
        name::name(self.file.as_ref()?.file_stem()?.to_str()?).ok()
    }
}
