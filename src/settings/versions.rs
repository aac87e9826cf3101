//! Versions of the start command, each from a date on.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

use crate::settings::given::{OFF, ON};
use crate::settings::values::{Table, as_json, parts, start_command};
use crate::settings::{Reading, wrong};

/// A start command from a date on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// From when on, by local time.
    pub apply_on: NaiveDateTime,
    pub start_command: String,
    /// It counts as if it was not there: its process goes back to the one before.
    pub is_fake: bool,
}

impl Version {
    /// What tells it from others; 0 is what there is without any version.
    pub fn number(&self) -> u64 {
        number(self.apply_on)
    }
}

/// The first version that is or was to come.
pub fn first(versions: &[Version]) -> Option<&Version> {
    versions.iter().find(|version| !version.is_fake)
}

/// What stands for a date among the numbers of versions.
pub fn number(date: NaiveDateTime) -> u64 {
    u64::try_from(date.and_utc().timestamp()).unwrap_or_default().max(1)
}

/// The date that a number of a version stands for, as it could be given.
pub fn date(number: u64) -> Option<String> {
    let seconds = i64::try_from(number).ok().filter(|seconds| *seconds > 0)?;
    Some(shown_date(DateTime::from_timestamp(seconds, 0)?.naive_utc()))
}

fn shown_date(date: NaiveDateTime) -> String {
    date.format("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Reads the tables of versions.
pub fn versions(text: &str) -> Reading<Vec<Version>> {
    let mut versions = parts::<Vec<_>>(text)?.iter().map(read).collect::<Reading<Vec<_>>>()?;
    versions.sort_by_key(Version::number);
    match versions.windows(2).find(|pair| matches!(pair, [one, other] if one.number() == other.number())) {
        Some([twice, _]) => {
            let what = format!("two versions apply on {}", shown_date(twice.apply_on));
            wrong(what, "give each another date, or remove one")
        }
        _ => Ok(versions),
    }
}

/// The versions as they could be given, as JSON.
pub fn shown(versions: &[Version]) -> String {
    if versions.is_empty() {
        return "none".to_owned();
    }
    let table = |version: &Version| {
        let mut fields = BTreeMap::from([("apply_on", shown_date(version.apply_on))]);
        // A fake needs no command.
        let command = Some(version.start_command.clone()).filter(|command| !command.is_empty());
        fields.extend(command.map(|command| ("start_command", command)));
        fields.extend(version.is_fake.then(|| ("fake", ON.to_owned())));
        fields
    };
    as_json(&versions.iter().map(table).collect::<Vec<_>>())
}

fn read(table: &Table) -> Reading<Version> {
    let is_other = |key: &&String| !["apply_on", "start_command", "fake"].contains(&key.as_str());
    if let Some(other) = table.keys().find(is_other) {
        let what = format!("a version cannot have '{other}'");
        return wrong(what, "a version has apply_on, start_command and fake");
    }
    let Some(apply_on) = table.get("apply_on") else {
        return wrong("a version has no apply_on", "give its date, such as apply_on = 2027-01-31T08:00:00");
    };
    let apply_on = read_date(apply_on)?;
    let is_fake = match table.get("fake").map(String::as_str) {
        None | Some(OFF) => false,
        Some(ON) => true,
        Some(other) => return wrong(format!("fake is '{other}'"), "give true or false"),
    };
    let start_command = match table.get("start_command") {
        Some(command) => start_command(command)?,
        None if is_fake => String::new(),
        None => {
            let what = format!("the version of {} has no start_command", shown_date(apply_on));
            return wrong(what, "give a shell command, such as 'service docker start'");
        }
    };
    Ok(Version { apply_on, start_command, is_fake })
}

/// A local date, with or without a time.
fn read_date(text: &str) -> Reading<NaiveDateTime> {
    const INSTEAD: &str = "give a local date and time, such as 2027-01-31T08:00:00";
    let (text, iso) = (text.trim(), text.trim().replace(' ', "T"));
    let formats = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"];
    let moment = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(&iso, format).ok());
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|date| date.and_time(NaiveTime::MIN));
    match moment.or_else(date) {
        Some(date) => Ok(date),
        None if DateTime::parse_from_rfc3339(&iso).is_ok() => {
            wrong(format!("apply_on '{text}' has an offset, and the machine's own time counts"), INSTEAD)
        }
        None => wrong(format!("apply_on '{text}' is no date"), INSTEAD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Wrong;

    fn table(fields: &[(&str, &str)]) -> String {
        as_json(&[fields.iter().copied().collect::<BTreeMap<_, _>>()])
    }

    #[test]
    fn a_version_has_a_date_and_a_command() {
        for (date, shown) in [
            ("2027-01-31T08:00:05", "2027-01-31T08:00:05"),
            ("2027-01-31 08:00", "2027-01-31T08:00:00"),
            ("2027-01-31", "2027-01-31T00:00:00"),
        ] {
            let text = table(&[("apply_on", date), ("start_command", "run"), ("fake", "no")]);
            let read = versions(&text).unwrap();
            let again = table(&[("apply_on", shown), ("start_command", "run")]);
            assert_eq!(
                (super::shown(&read), super::date(read[0].number())),
                (again.clone(), Some(shown.to_owned()))
            );
            assert_eq!(versions(&again), Ok(read));
        }
        let fake = versions(&table(&[("apply_on", "2027-01-31"), ("fake", "yes")])).unwrap();
        assert_eq!(versions(&super::shown(&fake)), Ok(fake));
        assert_eq!(super::date(0), None);
    }

    #[test]
    fn what_is_no_version_is_told_with_what_to_type() {
        let command = ("start_command", "run");
        let dated = |date| table(&[("apply_on", date), command]);
        let twice = format!("[{0},{0}]", dated("2027-01-31").trim_matches(['[', ']']));
        for (text, says) in [
            (
                table(&[command]),
                "a version has no apply_on; give its date, such as apply_on = 2027-01-31T08:00:00",
            ),
            (twice, "two versions apply on 2027-01-31T00:00:00; give each another date, or remove one"),
            (
                table(&[("apply_on", "2027-01-31"), command, ("user", "x")]),
                "a version cannot have 'user'; a version has apply_on, start_command and fake",
            ),
            (
                table(&[("apply_on", "2027-01-31")]),
                "the version of 2027-01-31T00:00:00 has no start_command; give",
            ),
            (table(&[("apply_on", "2027-01-31"), ("start_command", " ")]), "empty; give a shell command"),
            (
                table(&[("apply_on", "2027-01-31"), command, ("fake", "maybe")]),
                "fake is 'maybe'; give true or false",
            ),
            (
                dated("2027-02-30"),
                "apply_on '2027-02-30' is no date; give a local date and time, such as 2027-01-31T",
            ),
            (dated("08:00:00"), "apply_on '08:00:00' is no date"),
            (
                dated("2027-01-31T08:00:00Z"),
                "apply_on '2027-01-31T08:00:00Z' has an offset, and the machine's own",
            ),
            (dated("2027-01-31 08:00:00+01:00"), "apply_on '2027-01-31 08:00:00+01:00' has an offset"),
        ] {
            let Wrong { what, instead } = versions(&text).unwrap_err();
            assert!(format!("{what}; {instead}").starts_with(says), "{text}: {what}; {instead}");
        }
    }
}
