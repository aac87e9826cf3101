//! `--dry-run`: what would be done, and from what that follows.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::SystemTime;

use crate::cli::Cli;
use crate::command::program;
use crate::config::Sources;
use crate::exit::Exit;
use crate::instance::Places;
use crate::log::{SecondsFormat, escaped, local};
use crate::process::scan::{Judged, Proc, Unknown};
use crate::process::{self, Seen};
use crate::report::words::{ambiguity, list, named, user_name};
use crate::settings::{self, Settings};
use crate::table;

/// Says what a watch with these settings would do now, on standard output.
pub fn run(settings: &Settings, cli: &Cli, sources: &Sources, places: &Places, proc: &Proc) -> Exit {
    let survey = proc.survey(&settings.criteria);
    let found = proc.find(&settings.criteria, None).map(|matches| matches.counting);
    let page = Page { aligned: io::stdout().is_terminal(), boot: SystemTime::now() - process::now() };
    let text = page.write(settings, cli, sources, places, survey.as_deref().unwrap_or_default(), &found);
    // Into a pipe that may be closed early.
    let _ = io::stdout().write_all(text.as_bytes());
    match found {
        Ok(found) if found.is_empty() => Exit::GaveUp,
        Ok(_) => Exit::Success,
        Err(_) => Exit::CannotTell,
    }
}

/// How it is written: in columns for people, or with tabs and the kind of row in front for scripts.
struct Page {
    aligned: bool,
    /// When the machine was booted, by its clock of now.
    boot: SystemTime,
}

impl Page {
    fn write(
        &self,
        settings: &Settings,
        cli: &Cli,
        sources: &Sources,
        places: &Places,
        judged: &[Judged],
        found: &Result<Vec<Seen>, Unknown>,
    ) -> String {
        let mut text = String::new();
        let rows: Vec<_> =
            settings::in_force(cli, sources, &settings.name, places).into_iter().map(Vec::from).collect();
        self.table(&mut text, "setting", "Settings, each with where it comes from", &[], &rows);

        let (matching, near): (Vec<_>, Vec<_>) = judged.iter().partition(|judged| judged.reason.is_none());
        let head = ["PID", "USER", "STARTED", "NAME", "COMMAND LINE"];
        let rows: Vec<_> = matching.iter().map(|judged| self.process(&judged.seen, None)).collect();
        self.table(&mut text, "match", "Processes that match, the one to follow first", &head, &rows);

        let head = ["PID", "USER", "STARTED", "NAME", "WHY NOT", "COMMAND LINE"];
        let why = |judged: &&Judged| judged.reason.map(|reason| reason.to_string());
        let rows: Vec<_> = near.iter().map(|judged| self.process(&judged.seen, why(judged))).collect();
        self.table(&mut text, "near", "Processes that nearly match", &head, &rows);

        let mut rows: Vec<_> = settings.criteria.doubts().into_iter().map(|doubt| vec![doubt]).collect();
        rows.extend(program::doubt(&settings.criteria.start_command).map(|doubt| vec![doubt]));
        rows.extend(found.as_ref().ok().and_then(|found| ambiguity(found)).map(|hint| vec![hint]));
        self.table(&mut text, "warning", "Warnings", &[], &rows);
        self.table(&mut text, "would", "What would be done", &[], &[vec![would(settings, found)]]);
        text
    }

    fn process(&self, seen: &Seen, why: Option<String>) -> Vec<String> {
        let started = local(self.boot + seen.started, SecondsFormat::Secs);
        let mut row = vec![seen.pid.to_string(), user_name(seen.kind.user), started, seen.name.clone()];
        row.extend(why);
        row.push(seen.command_line.clone());
        row
    }

    fn table(&self, text: &mut String, kind: &str, title: &str, head: &[&str], rows: &[Vec<String>]) {
        if rows.is_empty() {
            return;
        }
        if !self.aligned {
            for row in rows {
                let cells: Vec<_> = row.iter().map(|cell| escaped(cell)).collect();
                let _ = writeln!(text, "{kind}\t{}", cells.join("\t"));
            }
            return;
        }
        let _ = writeln!(text, "{title}");
        let head: Vec<_> = head.iter().map(|&cell| cell.to_owned()).collect();
        let all: Vec<_> = std::iter::once(&head).filter(|head| !head.is_empty()).chain(rows).collect();
        for line in table::lines(&all, " ") {
            let _ = writeln!(text, "  {line}");
        }
        text.push('\n');
    }
}

fn would(settings: &Settings, found: &Result<Vec<Seen>, Unknown>) -> String {
    match found {
        Err(Unknown(why)) => format!("nothing: whether it runs cannot be told ({why})"),
        Ok(found) if found.is_empty() => {
            format!("it is not running; run: {}", settings.criteria.start_command)
        }
        Ok(found) if settings.limits.once => format!("nothing: {} is running", list(found)),
        Ok(found) => format!("follow {}; nothing is started", found.first().map(named).unwrap_or_default()),
    }
}
