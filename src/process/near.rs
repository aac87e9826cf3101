//! What is close to the criteria without meeting them: what was meant, perhaps.

use crate::process::ProcessInfo;
use crate::process::criteria::Mismatch;
use crate::process::scan::{Candidate, Proc, Unknown};
use crate::settings::{Criteria, Subject};

/// How many processes are near by their command lines alone: what is found in more is found in anything.
const MOST_IN_FULL: usize = 5;
/// A shorter pattern is found in nearly every command line.
const SHORTEST_IN_FULL: usize = 3;
/// Words of a start command that say nothing about what it starts.
const EVERYDAY_WORDS: &str = "service systemctl start restart sudo env exec nohup sh bash true sleep";

impl Proc {
    /// All processes that meet the `criteria`, and those that nearly do, with what is amiss; each kind
    /// with the one to follow first. Takes longer than [`Proc::find`].
    pub fn survey(&self, criteria: &Criteria) -> Result<Vec<Candidate>, Unknown> {
        let mut pids = Vec::new();
        self.each_name(|pid, name| pids.push((pid, criteria.may_match(name))))?;
        pids.retain(|(pid, may_match)| *may_match || self.stat(*pid, |stat| !stat.is_hung()).unwrap_or(true));
        let ancestors = self.ancestors(criteria);
        let (is_near, full) = (nearness(criteria), in_full(criteria));
        // There may be thousands, with long command lines: nothing is kept of what is not asked for.
        let (mut all, mut others) = (Vec::new(), Vec::new());
        for candidate in pids.into_iter().filter_map(|(pid, _)| self.judge(pid, criteria, &ancestors).ok()) {
            let command_line = candidate.process.command_line.as_bytes();
            if candidate.mismatch != Some(Mismatch::NameDiffers) || is_near(&candidate.process.name) {
                all.push(candidate);
            } else if full.as_ref().is_some_and(|full| full.pattern.matches(command_line)) {
                others.push(candidate.process);
            }
        }
        all.sort_by_key(|candidate| (candidate.mismatch.is_some(), candidate.process.order()));
        // A path was given perhaps, or what an interpreter runs.
        if let (Some(full), true) = (full, all.iter().all(|candidate| candidate.mismatch.is_some())) {
            others.sort_by_key(ProcessInfo::order);
            // Whatever has started this watchdog with the pattern is not what was meant.
            let lineage = self.lineage();
            let judged = others.iter().filter_map(|other| self.judge(other.pid, &full, &lineage).ok());
            let counting = judged.filter(|candidate| candidate.mismatch.is_none()).take(MOST_IN_FULL);
            let mismatch = Some(Mismatch::CommandLineMatches);
            all.extend(counting.map(|candidate| Candidate { mismatch, ..candidate }));
        }
        Ok(all)
    }
}

/// The same criteria with `--full`; `None` if they are so already, or would take in nearly everything.
fn in_full(criteria: &Criteria) -> Option<Criteria> {
    let text = criteria.pattern.text();
    let says_something = text.chars().count() >= SHORTEST_IN_FULL && !criteria.pattern.matches(b"");
    // A name alone is in the command line of whoever reads its log.
    let is_more_than_a_name = text.contains(['/', ' '])
        || text.split('.').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
    (criteria.subject == Subject::Name && says_something && is_more_than_a_name)
        .then(|| Criteria { subject: Subject::CommandLine, ..criteria.clone() })
}

/// Whether a name is close to the one that is looked for.
fn nearness(Criteria { pattern, start_command, .. }: &Criteria) -> impl Fn(&str) -> bool {
    let looser: Vec<_> = [pattern.in_any_case(), pattern.without_anchors()].into_iter().flatten().collect();
    // The words of the start command that may be names of programs.
    let words = start_command.split(|c: char| c.is_whitespace() || ";&|()<>'\"".contains(c));
    let words = words.map(|word| word.rsplit('/').next().unwrap_or(word));
    let is_telling =
        |word: &&str| word.len() > 2 && EVERYDAY_WORDS.split(' ').all(|everyday| everyday != *word);
    let words: Vec<_> = words.filter(is_telling).collect();
    let most_slips = if pattern.text().chars().count() < 5 { 1 } else { 2 };
    move |name| {
        looser.iter().any(|pattern| pattern.matches(name.as_bytes()))
            || words.contains(&name)
            || pattern.is_literal() && strsim::damerau_levenshtein(pattern.text(), name) <= most_slips
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::process::tests::{FakeProc, named};

    #[test]
    fn what_a_command_line_names_is_near() {
        let proc = FakeProc::new()
            .add(20, b"python3", 'S', 2, b"python3\0-m\0http.server\0")
            .add(10, b"java", 'S', 3, b"/usr/bin/java\0-jar\0x.jar\0")
            .add(11, b"java", 'Z', 1, b"/usr/bin/java\0-jar\0x.jar\0")
            .add(12, b"sh", 'S', 1, b"/bin/sh\0/etc/init.d/x.jar\0start\0")
            .add(13, b"sh", 'S', 1, b"/bin/sh\0-c\0/opt/run http.server\0")
            .add(14, b"watchdog", 'S', 1, b"/usr/bin/watchdog\0-p\0http.server\0")
            .add(15, b"nginx", 'S', 1, b"/usr/sbin/nginx\0")
            .add(16, b"tail", 'S', 1, b"tail\0-f\0/var/log/nginx\0")
            .add(nix::unistd::getpid().as_raw(), b"me", 'S', 1, b"x\0http.server\0");
        let mut reader = Proc::new(proc.0.path()).unwrap();
        reader.program_name = b"watchdog".to_vec();
        let near = |text: &str| {
            let start_command = "/opt/run http.server".to_owned();
            let survey = reader.survey(&Criteria { start_command, ..named(text) }).unwrap();
            let reason = |candidate: &Candidate| {
                candidate.mismatch.map(|reason| reason.to_string()).unwrap_or_default()
            };
            survey.iter().map(|candidate| (candidate.process.pid, reason(candidate))).collect::<Vec<_>>()
        };
        for (text, pid) in [
            ("http.server", 20),
            ("python3 -m http.server", 20),
            ("java -jar x.jar", 10),
            ("x.jar", 10),
            ("^/usr/sbin/nginx$", 15),
        ] {
            assert_eq!(
                near(text),
                [(pid, "its command line matches; --full makes it count".to_owned())],
                "{text}"
            );
        }
        // Who hangs is not asked.
        let hung = FakeProc::new().add(20, b"python3", 'D', 2, b"python3\0-m\0http.server\0");
        assert_eq!(Proc::new(hung.0.path()).unwrap().survey(&named("http.server")).unwrap(), []);
        let hung = FakeProc::new().add(20, b"http.server", 'D', 2, b"http.server\0");
        assert_eq!(Proc::new(hung.0.path()).unwrap().survey(&named("http.server")).unwrap().len(), 1);
        // Nobody needs that who has found it; nor what is in every command line.
        assert_eq!(near("nginx"), [(15, String::new())]);
        for text in ["-m", "s?", "(x.jar)*", ".{0,9}", "http", "log.*"] {
            assert_eq!(
                near(text).iter().filter(|(_, reason)| reason.contains("--full")).count(),
                0,
                "{text}"
            );
        }
        let many =
            (30..50).fold(FakeProc::new(), |proc, pid| proc.add(pid, b"perl", 'S', 1, b"perl\0x.pl\0"));
        assert_eq!(Proc::new(many.0.path()).unwrap().survey(&named("x.pl")).unwrap().len(), MOST_IN_FULL);
    }
}
