//! `validate`: what is wrong with configurations. It looks at them and at nothing else.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use crate::exit::ExitCode;
use crate::hold::depends::{circle, configuration};
use crate::input::{config_file, resolve};
use crate::log::{Stderr, print};
use crate::settings::dirs::User;
use crate::settings::given::Given;
use crate::settings::name::{Name, name};
use crate::settings::values::NO_RUN_AS;
use crate::settings::{SettingError, Settings, template};
use crate::text::escaped;

/// The instance that stands for all those of a template.
const SAMPLE: &str = "1";
/// The settings whose values this machine has to know. Where a configuration is written it may not.
const OF_MACHINE: [&str; 2] = ["user", "run_as"];

/// What a configuration says, and what is wrong with it.
#[derive(Default)]
struct Report {
    settings: Option<Settings>,
    place: Option<String>,
    wrong: Vec<String>,
    warnings: Vec<String>,
}

/// Says of each of these configurations what is wrong with it: of all that the user has, if none is given.
pub fn run(asked: &[OsString], user: &User, stderr: &mut Stderr) -> ExitCode {
    let files = if asked.is_empty() {
        all(user)
    } else {
        asked.iter().map(|at| config_file::path(at, user)).collect()
    };
    if files.is_empty() {
        let folders: Vec<_> = user.config_folders().iter().map(|it| it.display().to_string()).collect();
        print(&format!("there is no configuration (looked in {})\n", escaped(&folders.join(" and "))));
    }
    let reports: Vec<_> = files.iter().map(|file| read(file, user)).collect();
    let mut exit = ExitCode::Success;
    for (file, report) in files.iter().zip(&reports) {
        let wrong: Vec<_> = report.wrong.iter().cloned().chain(circle_of(report, &reports, user)).collect();
        let warnings = report.warnings.iter().map(|it| format!("warning: {it}"));
        for line in wrong.iter().cloned().chain(warnings) {
            stderr.complain(&line);
        }
        if wrong.is_empty() {
            print(&format!("{}: OK\n", escaped(&file.display().to_string())));
        } else {
            exit = ExitCode::Usage;
        }
    }
    exit
}

/// All configurations that the user may mean, templates too.
fn all(user: &User) -> Vec<PathBuf> {
    let files = user.config_folders().into_iter().flat_map(fs::read_dir).flatten().flatten();
    let is_one = |file: &PathBuf| file.extension() == Some(OsStr::new("toml")) && file.is_file();
    let mut files: Vec<_> = files.map(|file| file.path()).filter(is_one).collect();
    files.sort();
    files
}

fn read(asked: &Path, user: &User) -> Report {
    let mut given = Given::default();
    let read = if template::is_template(asked) {
        let stem = asked.file_stem().unwrap_or_default().to_string_lossy();
        given.instance = name(&format!("{stem}{SAMPLE}")).ok();
        config_file::load(&mut given, asked, Some(SAMPLE), user)
    } else {
        config_file::fill(&mut given, asked.as_os_str(), user)
    };
    let mut report = Report { warnings: given.doubt.iter().cloned().collect(), ..Report::default() };
    match read.map(|()| Settings::new(&given, user)) {
        Err(wrong) => report.wrong = wrong,
        Ok(Err(wrong)) => {
            let is_doubtful = |it: &&SettingError| {
                it.value.is_some() && OF_MACHINE.contains(&it.key) && it.wrong.what != NO_RUN_AS
            };
            let (doubtful, wrong): (Vec<_>, Vec<_>) = wrong.iter().partition(is_doubtful);
            report.warnings.extend(doubtful.into_iter().map(SettingError::to_string));
            let in_file = |it: &SettingError| match &it.place {
                Some(_) => it.to_string(),
                None => format!("{}: {it}", asked.display()),
            };
            report.wrong = wrong.into_iter().map(in_file).collect();
        }
        Ok(Ok(settings)) => {
            report.wrong.extend(resolve::unfit_for_once(&settings, &given).map(|it| it.to_string()));
            report.place = given.place("depends_on");
            report.warnings.extend(settings.criteria.doubt());
            let unknown = settings.depends_on.iter().filter(|name| configuration(name, &settings).is_none());
            let place = report.place.as_deref().unwrap_or_default();
            report.warnings.extend(unknown.map(|name| {
                format!(
                    "{place}: depends_on '{name}': there is no {name}.toml; without one it is not waited for"
                )
            }));
            report.settings = Some(settings);
        }
    }
    report
}

/// What is wrong with a configuration that depends on itself, by what is read already and by the files beside it.
fn circle_of(report: &Report, reports: &[Report], user: &User) -> Option<String> {
    let settings = report.settings.as_ref()?;
    let way = circle(&settings.name, |of| {
        let is_it = |settings: &&Settings| settings.name == *of;
        if let Some(known) = reports.iter().filter_map(|it| it.settings.as_ref()).find(is_it) {
            return known.depends_on.clone();
        }
        configuration(of, settings)
            .and_then(|file| read(&file, user).settings)
            .map(|it| it.depends_on)
            .unwrap_or_default()
    });
    let names: Vec<_> = way?.iter().map(Name::to_string).collect();
    let place = report.place.as_deref().unwrap_or_default();
    Some(format!("{place}: depends_on: a circle: {}; remove one of them", names.join(" \u{2192} ")))
}
