//! The options with which a process would count that does not.

use crate::process::Identity;
use crate::process::criteria::{Mismatch, is_interpreter, script, shown_command_line};
use crate::process::near::{self, By};
use crate::process::scan::Ownership;
use crate::process::stat::Stat;
use crate::settings::pattern::{Extent, Pattern, literal, printable};
use crate::settings::{Criteria, Namespace, Subject};

/// So much of a command line is given as a pattern.
const LONGEST_LINE: usize = 200;

/// Options to add, or to give instead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remedy {
    pub exact: bool,
    pub full: bool,
    /// Another process name.
    pub pattern: Option<String>,
    pub user: Option<u32>,
    pub any_namespace: bool,
}

/// A pattern for a command line as it is shown; of a long one, for its beginning.
pub fn whole_line(line: &str) -> String {
    let beginning: String = line.chars().take(LONGEST_LINE).collect();
    let end = if beginning.len() == line.len() { "$" } else { "" };
    format!("^{}{end}", literal(&beginning))
}

impl Remedy {
    /// With what a process counts; `None` if with nothing. It is tried, not guessed.
    pub(super) fn of(
        why: Mismatch,
        criteria: &Criteria,
        stat: &Stat<'_>,
        identity: &Identity,
        whose: Ownership,
        near: Option<By>,
    ) -> Option<Self> {
        let name = match why {
            Mismatch::NameDiffers | Mismatch::CommandLineMatches => {
                Self::named(criteria, stat, identity, near)?
            }
            Mismatch::KernelThread => Remedy { exact: true, ..Remedy::default() },
            Mismatch::OtherUser | Mismatch::OtherNamespace => Remedy::default(),
            _ => return None,
        };
        let is_anothers = criteria.user.is_some_and(|wanted| whose.user != wanted);
        let remedy = Remedy {
            any_namespace: criteria.namespace == Namespace::Own && whose.is_in_other_namespace,
            user: is_anothers.then_some(whose.user),
            ..name
        };
        let is_mixed = criteria.user.is_some() && whose.is_mixed();
        (!is_mixed && remedy.finds(criteria, stat, identity)).then_some(remedy)
    }

    /// With what name a process would count.
    fn named(criteria: &Criteria, stat: &Stat<'_>, identity: &Identity, near: Option<By>) -> Option<Self> {
        let escaped = |text: &str| Some(literal(text));
        let line = shown_command_line(stat.comm, identity.line());
        let whole = Remedy { pattern: Some(whole_line(&line)), ..Remedy::default() };
        if criteria.subject == Subject::CommandLine {
            return Some(whole);
        }
        let name = identity.name(stat);
        let by_name = Remedy { exact: true, pattern: escaped(&name), ..Remedy::default() };
        let by_name = Some(by_name).filter(|_| !is_interpreter(name.as_bytes()));
        let run = printable(script(identity.line())).into_owned();
        let by_script = Remedy { full: true, pattern: escaped(&run), ..Remedy::default() };
        // A word alone would be found in other command lines too.
        let by_script = Some(by_script).filter(|_| run.contains(['/', '.']));
        let as_given =
            near::is_more_than_a_name(criteria).then(|| Remedy { full: true, ..Remedy::default() });
        let tries = if near == Some(By::Script) {
            [as_given, by_script, by_name]
        } else {
            [as_given, by_name, by_script]
        };
        let tries = tries.into_iter().flatten().chain([Remedy { full: true, ..whole }]);
        tries.into_iter().find(|remedy| remedy.finds(criteria, stat, identity))
    }

    /// Whether the name and command line of a process match with it.
    fn finds(&self, criteria: &Criteria, stat: &Stat<'_>, identity: &Identity) -> bool {
        let text = self.pattern.as_deref().unwrap_or(criteria.pattern.text());
        let extent = if self.exact { Extent::Whole } else { criteria.pattern.extent() };
        let Ok(pattern) = Pattern::new(text, extent) else { return false };
        let subject = if self.full { Subject::CommandLine } else { criteria.subject };
        identity.meets(&Criteria { pattern, subject, ..criteria.clone() }, stat)
    }
}
