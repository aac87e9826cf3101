//! What an instance depends on, and what of it is not there.

use std::path::PathBuf;
use std::time::Duration;

use crate::hold::{Held, Hold};
use crate::policy::Life;
use crate::process::scan::Proc;
use crate::settings::name::Name;
use crate::settings::{Settings, template};
use crate::state::said::Notice;
use crate::state::{Files, State, Status};
use crate::time::Time;

/// How long it is waited for. Then a start is better than none.
const PATIENCE: Duration = Duration::from_secs(300);

/// The hold, if something is missing of what it depends on, each with the reason; and if it has not been started
/// without that in this outage. What nobody has heard of is not waited for.
pub fn hold(settings: &Settings, files: &Files, state: &State, proc: &Proc, now: Time) -> Option<Held> {
    if settings.depends_on.is_empty() || state.said.last(Notice::WithoutDependency).is_some() {
        return None;
    }
    let known = settings.depends_on.iter().filter(|name| is_known(name, settings, files));
    let why_not = |name: &Name| why_not(&files.of_another(name), proc);
    let missing: Vec<_> = known.filter_map(|name| Some(format!("{name} ({})", why_not(name)?))).collect();
    let before = state.held.as_ref().filter(|held| held.hold == Hold::Dependency);
    // One that was over long ago is of another outage.
    let until = before.and_then(|held| held.until).filter(|until| now < *until + PATIENCE);
    let until = until.unwrap_or(now + PATIENCE);
    (!missing.is_empty())
        .then(|| Held { detail: Some(missing.join(", ")), ..Held::new(Hold::Dependency, Some(until)) })
}

/// What is doubtful about what it depends on: names of which nobody has heard.
pub fn doubt(settings: &Settings, files: &Files) -> Option<String> {
    let unknown = settings.depends_on.iter().filter(|name| !is_known(name, settings, files));
    let unknown: Vec<_> = unknown.map(Name::to_string).collect();
    let it = if unknown.len() == 1 { "it is" } else { "they are" };
    (!unknown.is_empty()).then(|| {
        format!(
            "depends_on: no watchdog is called {}, so {it} not waited for; is there a file of that name?",
            unknown.join(" or ")
        )
    })
}

/// Whether anybody has heard of it: it has left something beside our state, or has a configuration.
fn is_known(name: &Name, settings: &Settings, files: &Files) -> bool {
    files.of_another(name).has_state() || configuration(name, settings).is_some()
}

/// Its configuration, if it has one.
pub fn configuration(name: &Name, settings: &Settings) -> Option<PathBuf> {
    let files = settings.config_folders.iter().map(|folder| folder.join(format!("{name}.toml")));
    files.into_iter().find(|file| template::is_there(file))
}

/// Why the process of an instance is not there, as far as others wait for it.
fn why_not(files: &Files, proc: &Proc) -> Option<&'static str> {
    let Ok(Some(state)) = files.state_of_this_boot() else { return Some("not seen since boot") };
    let process = state.process.as_ref();
    let alive = process.filter(|it| proc.try_is_alive(it.id, it.signature.user).unwrap_or(false));
    match alive.map_or(Status::NotRunning, |process| state.up(process.id)) {
        Status::Running => None,
        Status::NotRunning if state.memory.life == Life::Finished => None,
        Status::Stopping => Some("being stopped"),
        status => Some(status.name()),
    }
}

/// The way from `start` through what each depends on back to it, if there is one.
pub fn circle(start: &Name, mut depends_on: impl FnMut(&Name) -> Vec<Name>) -> Option<Vec<Name>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = Vec::new();
    while let Some(way) = ways.pop() {
        for next in way.last().map(&mut depends_on).unwrap_or_default() {
            let way: Vec<_> = way.iter().cloned().chain([next.clone()]).collect();
            if next == *start {
                return Some(way);
            }
            if !seen.contains(&next) {
                seen.push(next);
                ways.push(way);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Memory;
    use crate::settings::name::name;
    use crate::state::said::Told;

    #[test]
    fn it_is_waited_for_once_in_an_outage_and_not_for_what_has_finished() {
        let (folder, at) = (tempfile::tempdir().unwrap(), Duration::from_secs);
        let files = Files::new(folder.path(), &name("app").unwrap(), "this");
        let depends_on = vec![name("db").unwrap()];
        let settings = Settings { depends_on, ..Settings::default() };
        let db = files.of_another(&name("db").unwrap());
        let ended = |life| State {
            version: 1,
            name: "db".into(),
            boot_id: "this".into(),
            memory: Memory { life, ..Memory::default() },
            ..State::default()
        };
        let proc = Proc::new(std::path::Path::new("/proc")).unwrap();
        let until =
            |state: &State| hold(&settings, &files, state, &proc, at(1000)).map(|held| held.until.unwrap());
        assert_eq!(until(&State::default()), None, "nobody has heard of it");
        db.write_state(&ended(Life::Open)).unwrap();
        assert_eq!(until(&State::default()), Some(at(1300)));
        // It goes on, unless it was over before this outage began.
        let held =
            |until| State { held: Some(Held::new(Hold::Dependency, Some(at(until)))), ..State::default() };
        assert_eq!((until(&held(1100)), until(&held(600))), (Some(at(1100)), Some(at(1300))));
        let mut waited = State::default();
        waited.said.is_news(Told::Once(Notice::WithoutDependency, String::new()));
        assert_eq!(until(&waited), None, "it was started without that");
        db.write_state(&ended(Life::Finished)).unwrap();
        assert_eq!(until(&State::default()), None);
    }

    #[test]
    fn a_circle_is_found_from_each_of_its_names_and_from_no_other() {
        let depends_on = |of: &Name| -> Vec<Name> {
            let on: &[&str] = match of.to_string().as_str() {
                "a" => &["d", "b"],
                "b" => &["c"],
                "c" => &["d", "a"],
                "e" => &["a", "e2"],
                "self" => &["self"],
                _ => &[],
            };
            on.iter().map(|text| name(text).unwrap()).collect()
        };
        for (start, way) in [
            ("a", Some("a b c a")),
            ("b", Some("b c a b")),
            ("c", Some("c a b c")),
            ("d", None),
            ("e", None),
            ("self", Some("self self")),
        ] {
            let found = circle(&name(start).unwrap(), depends_on);
            let found = found.map(|way| way.iter().map(Name::to_string).collect::<Vec<_>>().join(" "));
            assert_eq!(found.as_deref(), way, "{start}");
        }
    }
}
