//! Where settings come from.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::settings::name::Name;

/// Where settings come from, but for those of the command line and the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file.
    pub file: Option<PathBuf>,
    /// The line of each setting that it gave, by key.
    pub lines: HashMap<&'static str, usize>,
    /// Others than root may write the file, and it is for root.
    pub is_open_to_others: bool,
}

impl Sources {
    /// The instance that the file is for, by its name.
    pub fn instance(&self) -> Option<Name> {
        crate::settings::name::name(self.file.as_ref()?.file_stem()?.to_str()?).ok()
    }

    /// Where the setting `key` stands in the file, if it comes from there: `docker.toml:3: key`.
    pub fn place(&self, key: &str) -> Option<String> {
        let file = self.file.as_ref()?;
        self.line(key).map(|line| format!("{}:{line}", file.display()))
    }

    /// Why the file is to be doubted, if it is.
    pub fn doubt(&self) -> Option<String> {
        let file = self.file.as_ref().filter(|_| self.is_open_to_others)?.display();
        Some(format!(
            "others than root may write {file}, and so decide what root runs: chown root, chmod go-w"
        ))
    }

    /// The line on which the setting `key` stands in the file, if it comes from there.
    pub fn line(&self, key: &str) -> Option<usize> {
        self.lines.get(key).copied()
    }
}
