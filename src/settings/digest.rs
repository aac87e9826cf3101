//! Are two watches the same? What is kept of the settings to tell.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::settings::Settings;
use crate::settings::name::fnv;
use crate::settings::table;

/// The version of the form of a fingerprint.
const VERSION: u32 = 1;

/// What the state file keeps of a fingerprint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// A number that changes with it.
    #[serde(rename = "settings")]
    pub number: u64,
    /// The version of the fingerprint; 0 for one that says none.
    #[serde(rename = "settings_version", default)]
    pub version: u32,
}

impl Settings {
    /// One line that is the same for two watches that would do the same: the settings that decide, as far as
    /// they are not as by default. So one more option, if nobody gives it, changes nothing.
    pub fn fingerprint(&self) -> String {
        let default = self.defaults();
        let mut line = format!("v{VERSION}");
        for row in table::ROWS.iter().filter(|row| row.decides) {
            if self.differs(row, &default) {
                let _ = write!(line, " {}=\"{}\"", row.key, (row.field.show)(self).escape_default());
            }
        }
        line
    }

    /// What is kept of that.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.fingerprint())
    }
}

impl Digest {
    /// Of a line that [`Settings::fingerprint`] made, in this version of the program or another.
    pub fn of(fingerprint: &str) -> Self {
        let version = fingerprint.strip_prefix('v').and_then(|rest| rest.split(' ').next()?.parse().ok());
        // Once it was what Rust shows of a tuple.
        let unversioned = if fingerprint.starts_with('(') { 0 } else { VERSION };
        Digest { version: version.unwrap_or(unversioned), number: fnv(fingerprint.as_bytes()) }
    }

    /// Whether it is of the same settings, as far as that can be told: an upgrade makes none of them another.
    pub fn is_same(self, other: Self) -> bool {
        self.version != other.version || self.number == other.number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::settings::dirs::User;
    use crate::settings::given::{Given, Source};

    fn with(more: &[(&'static str, &str)]) -> Settings {
        let mut given = Given::default();
        let required = [("process_name", "x"), ("start_command", "run \"it\"\nnow")];
        for (key, value) in more.iter().chain(&required) {
            given.add(key, value, Source::CommandLine);
        }
        Settings::new(&given, &User::current()).unwrap()
    }

    /// What is written is read by later versions: with another form it needs another number.
    #[test]
    fn the_fingerprint_has_what_decides_and_is_not_as_by_default() {
        let command = r#"start_command="run \"it\"\nnow""#;
        for (more, between, after) in [
            (&[][..], "", ""),
            (&[("health_check_interval", "1000ms"), ("log_max_size", "1048576")], "", ""),
            (&[("name", "other"), ("verbose", "yes"), ("state_dir", "/x"), ("max_fail_count", "03")], "", ""),
            (&[("stable_after", "1.5"), ("user", "0")], r#"user="0" "#, r#" stable_after="1.5s""#),
            (&[("retry_after", "90"), ("once", "yes")], "", r#" retry_after="1m 30s" once="yes""#),
            (&[("restart_delay", "1234ms"), ("exact", "no")], "", r#" restart_delay="1.234""#),
        ] {
            let line = format!(r#"v1 process_name="x" {between}{command}{after}"#);
            assert_eq!(with(more).fingerprint(), line);
        }
    }

    #[test]
    fn each_setting_that_decides_is_told_from_the_default() {
        // Whether there is such a user is for the machine to say.
        for row in table::settings().filter(|row| row.decides && !["user", "run_as"].contains(&row.key)) {
            let user = User::current();
            let mut lines = BTreeMap::from([("process_name", "'x'"), ("start_command", "'y'")]);
            lines.insert(row.key, row.example);
            let lines: Vec<_> = lines.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            let mut given = Given::default();
            crate::input::config_file::read(&mut given, "x.toml".as_ref(), None, &lines.join("\n"), &user)
                .unwrap();
            let line = Settings::new(&given, &user).unwrap().fingerprint();
            assert!(line.contains(&format!(" {}=", row.key)), "{line}");
        }
    }

    #[test]
    fn what_another_version_has_written_is_the_same() {
        let (one, two) = (with(&[]).digest(), with(&[("health_check_interval", "2")]).digest());
        assert!(one.is_same(one) && !one.is_same(two));
        // As it was written before there was a version.
        let old = Digest::of(r#"(("x", Part, Name, None, Own, "y"), Limits { once: false }, 1048576, 5)"#);
        assert_eq!(old.version, 0);
        assert!(one.is_same(old) && old.is_same(two));
        assert!(one.is_same(Digest::of("v2 something=\"else\"")));
        // Of a lock that says nothing, nothing is known.
        assert!(!one.is_same(Digest::of("")) && !one.is_same(Digest::of("these")));
    }
}
