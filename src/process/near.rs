//! What is close to the criteria without meeting them: what was meant, perhaps.

use procfs::process::Process;

use crate::process::cgroup::ControlGroups;
use crate::process::criteria::{
    Mismatch, first_argument, is_init_script, is_interpreter, last_part, last_part_of_any, script,
    shown_command_line,
};
use crate::process::remedy::Remedy;
use crate::process::scan::{Candidate, Glimpse, Judge, Proc, Tasks, Unknown};
use crate::process::stat::Stat;
use crate::process::{Identity, open_entry, read_stat};
use crate::settings::pattern::Pattern;
use crate::settings::{Criteria, Subject};
use crate::sys::Pid;

/// How many processes are near by their command lines alone: what is found in more is found in anything.
const MOST_IN_FULL: usize = 5;
/// A shorter pattern is found in nearly every command line.
const SHORTEST_IN_FULL: usize = 3;
/// Words of a start command that say nothing about what it starts.
const EVERYDAY_WORDS: &str = "service systemctl start restart sudo env exec nohup true sleep";

/// What of a process is near.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    Name,
    /// The base name of its executable.
    Executable,
    /// The base name of its first argument.
    Argument,
    /// The base name of what it runs, as an interpreter.
    Script,
    /// Its name, which is a word of the start command.
    Word,
    /// A directory in its executable's path.
    Directory,
    /// Its systemd unit, or that which the start command names.
    Unit,
    /// Its command line.
    CommandLine,
    /// Nothing; it is of interest for another reason.
    Nothing,
}

impl Proc {
    /// All processes that meet the `criteria`, and those that nearly do, with what is amiss; each kind
    /// with the one to follow first. Takes longer than [`Proc::find`].
    pub fn survey(&self, criteria: &Criteria) -> Result<Vec<Candidate>, Unknown> {
        let (found, read) = self.near(self.pids()?.into_iter(), criteria, None);
        read?;
        let is_named = |it: &Candidate| matches!(it.near, None | Some(By::Name | By::Word));
        let (mut all, mut others): (Vec<_>, Vec<_>) = found.into_iter().partition(is_named);
        all.sort_by_key(|candidate| (candidate.mismatch.is_some(), candidate.process.order()));
        // A path was given perhaps, or what an interpreter runs.
        if all.iter().all(|candidate| candidate.mismatch.is_some()) {
            others.retain(|candidate| candidate.mismatch == Some(Mismatch::NameDiffers));
            others.sort_by_key(|candidate| (candidate.near, candidate.process.order()));
            let as_given = Remedy { full: true, ..Remedy::default() };
            let is_by_line =
                |it: &Candidate| it.near == Some(By::CommandLine) || it.remedy.as_ref() == Some(&as_given);
            let mut lines = 0;
            others.retain_mut(|candidate| {
                if is_by_line(candidate) {
                    lines += 1;
                    if criteria.subject == Subject::Name {
                        candidate.mismatch = Some(Mismatch::CommandLineMatches);
                    }
                }
                lines <= MOST_IN_FULL || !is_by_line(candidate)
            });
            all.extend(others);
        }
        Ok(all)
    }

    /// A closer look at each of these: what matches, what is near, and what is `otherwise`; and whether all of it could
    /// be read. There may be thousands, with long command lines: nothing is kept of what is not asked for.
    pub(super) fn near(
        &self,
        pids: impl Iterator<Item = Pid>,
        criteria: &Criteria,
        otherwise: Option<By>,
    ) -> (Vec<Candidate>, Result<bool, Unknown>) {
        let glimpse = |pid| {
            let entry = open_entry(self.root(), pid).ok()?;
            let user = entry.uid().ok()?;
            read_stat(&entry.open_relative("stat").ok()?, |stat| Glimpse::of(pid, user, stat)).ok()
        };
        let glimpses: Vec<_> = pids.filter_map(glimpse).collect();
        let nearness = Nearness::new(criteria, self, otherwise);
        let named = criteria.pid_file.as_deref().map(|path| self.named(path));
        // Whatever has started this watchdog with the pattern is not what was meant.
        let (tasks, lineage) = (Tasks::default(), self.lineage());
        let (named, near) = (named.as_ref(), Some(&nearness));
        let judge = Judge { criteria, tasks: &tasks, lineage: &lineage, named, near };
        let mut found = Vec::new();
        let read = self.judge_each(&glimpses, judge, &mut |_, judged| found.extend(judged.ok().flatten()));
        (found, read)
    }
}

/// Whether the pattern of a name says enough to be looked for in command lines. A name alone is in the command
/// line of whoever reads its log.
pub(super) fn is_more_than_a_name(criteria: &Criteria) -> bool {
    let text = criteria.pattern.text();
    let has_more = text.contains(['/', ' '])
        || text.split('.').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
    criteria.subject == Subject::Name && says_something(&criteria.pattern) && has_more
}

fn says_something(pattern: &Pattern) -> bool {
    pattern.text().chars().count() >= SHORTEST_IN_FULL && !pattern.matches(b"")
}

/// What is close to what is looked for.
#[derive(Debug)]
pub(super) struct Nearness<'a> {
    criteria: &'a Criteria,
    /// The pattern in any case, without anchors, and both.
    looser: Vec<Pattern>,
    /// The words of the start command that may be names of programs and units.
    words: Vec<&'a str>,
    most_slips: usize,
    /// For `--full`, the pattern without the path that it begins with.
    without_path: Vec<Pattern>,
    in_full: Option<Criteria>,
    /// Where the watchdog itself is: all of its own is in there.
    own_unit: Option<String>,
    /// What is said of what is not.
    otherwise: Option<By>,
}

impl<'a> Nearness<'a> {
    fn new(criteria: &'a Criteria, proc: &Proc, otherwise: Option<By>) -> Self {
        let Criteria { pattern, start_command, .. } = criteria;
        let words = start_command.split(|c: char| c.is_whitespace() || ";&|()<>'\"".contains(c));
        let words = words.map(|word| word.rsplit('/').next().unwrap_or(word));
        // All that an interpreter runs has its name.
        let is_everyday = |word: &str| {
            EVERYDAY_WORDS.split(' ').any(|everyday| everyday == word) || is_interpreter(word.as_bytes())
        };
        let is_telling = |word: &&str| word.len() > 2 && !is_everyday(word);
        let without_path = without_path(pattern);
        let in_full = is_more_than_a_name(criteria)
            .then(|| Criteria { subject: Subject::CommandLine, ..criteria.clone() });
        Nearness {
            criteria,
            looser: looser(pattern),
            words: words.filter(is_telling).collect(),
            most_slips: if pattern.text().chars().count() < 5 { 1 } else { 2 },
            without_path: without_path.iter().flat_map(looser).chain(without_path.clone()).collect(),
            in_full,
            own_unit: ControlGroups::of(proc.root(), proc.me).unit().map(str::to_owned),
            otherwise,
        }
    }

    /// What of a process is near.
    pub(super) fn by(&self, entry: &Process, stat: &Stat<'_>, identity: &Identity) -> Option<By> {
        self.known_by(entry, stat, identity).or(self.otherwise)
    }

    fn known_by(&self, entry: &Process, stat: &Stat<'_>, identity: &Identity) -> Option<By> {
        if self.criteria.subject == Subject::CommandLine {
            return self.is_near_line(stat, identity).then_some(By::CommandLine);
        }
        let own_name = identity.name(stat);
        if self.is_near_name(&own_name) && !stat.is_dead() {
            return Some(By::Name);
        }
        // Nobody has meant a thread of the kernel, what is dead, or what starts the service.
        let line = identity.line();
        if stat.is_bare() || is_init_script(line) {
            return None;
        }
        let first = first_argument(line);
        // A title has more after the name.
        let word = first.split(|byte| *byte == b' ').next().unwrap_or_default();
        let word = word.strip_suffix(b":").unwrap_or(word);
        let path = if first.starts_with(b"/") { first } else { word };
        let run = script(line);
        let is_near = |name: &[u8]| self.is_near_part(last_part_of_any(name));
        let unit = || ControlGroups::read(entry).unit().is_some_and(|unit| self.is_near_unit(unit));
        let in_full = |full: &Criteria| identity.meets(full, stat);
        Some(match identity.path.as_deref() {
            Some(program) if self.is_near_part(last_part(program)) => By::Executable,
            _ if is_near(word) || is_near(path) => By::Argument,
            _ if !run.contains(&b' ') && is_near(run) => By::Script,
            _ if self.in_full.as_ref().is_some_and(in_full) => By::CommandLine,
            _ if self.words.contains(&&*own_name) => By::Word,
            Some(program) if self.is_in_near_directory(program) => By::Directory,
            _ if unit() => By::Unit,
            _ => return None,
        })
    }

    /// Whether a name is close to the one that is looked for.
    fn is_near_name(&self, name: &str) -> bool {
        let pattern = &self.criteria.pattern;
        self.looser.iter().any(|pattern| pattern.matches(name.as_bytes()))
            || pattern.is_literal() && strsim::damerau_levenshtein(pattern.text(), name) <= self.most_slips
    }

    fn is_near_part(&self, name: &[u8]) -> bool {
        let patterns = || self.looser.iter().chain([&self.criteria.pattern]);
        !name.is_empty() && patterns().any(|pattern| pattern.matches(name))
    }

    fn is_in_near_directory(&self, program: &[u8]) -> bool {
        let pattern = &self.criteria.pattern;
        let mut directories = program.split(|byte| *byte == b'/').rev().skip(1);
        says_something(pattern) && directories.any(|name| !name.is_empty() && pattern.matches(name))
    }

    fn is_near_unit(&self, unit: &str) -> bool {
        let name = unit.rsplit_once('.').map_or(unit, |(name, _)| name);
        let is_named = |word: &&str| *word == unit || *word == name;
        self.own_unit.as_deref() != Some(unit)
            && (self.words.iter().any(is_named)
                || self.is_near_part(name.as_bytes())
                || self.is_near_part(unit.as_bytes()))
    }

    /// Of `--full`: in another case, without anchors, or without the path of the first argument.
    fn is_near_line(&self, stat: &Stat<'_>, identity: &Identity) -> bool {
        let line = identity.line();
        if line.is_empty() {
            return false;
        }
        let shown = shown_command_line(stat.comm, line);
        let first = first_argument(line);
        let cut = first.len() - last_part_of_any(first).len();
        let bare = line.get(cut..).map(|line| shown_command_line(stat.comm, line)).unwrap_or_default();
        let matches = |pattern: &Pattern| pattern.matches(bare.as_bytes());
        matches(&self.criteria.pattern)
            || self.without_path.iter().any(matches)
            || self.looser.iter().any(|pattern| matches(pattern) || pattern.matches(shown.as_bytes()))
    }
}

/// The pattern in any case, found anywhere, and both.
fn looser(pattern: &Pattern) -> Vec<Pattern> {
    let free = pattern.without_anchors();
    let both = free.as_ref().and_then(Pattern::in_any_case);
    [pattern.in_any_case(), free, both].into_iter().flatten().collect()
}

/// The pattern of a command line without the path of its program.
fn without_path(pattern: &Pattern) -> Option<Pattern> {
    let (anchor, text) = match pattern.text().strip_prefix('^') {
        Some(rest) => ("^", rest),
        None => ("", pattern.text()),
    };
    let end = text.split(' ').next().and_then(|word| word.rfind('/'))?;
    let (folder, rest) = text.split_at_checked(end + 1)?;
    let is_plain = folder.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    is_plain.then(|| Pattern::new(&format!("{anchor}{rest}"), pattern.extent()).ok())?
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
            let by =
                |candidate: &Candidate| (candidate.process.pid, candidate.near, candidate.remedy.clone());
            survey.iter().map(by).collect::<Vec<_>>()
        };
        let full = Remedy { full: true, ..Remedy::default() };
        // Nor is every script near whose interpreter the start command has.
        let start_command = "exec /usr/bin/python3 -m app &".to_owned();
        assert_eq!(reader.survey(&Criteria { start_command, ..named("app") }).unwrap(), []);
        for (text, pid, by) in [
            ("http.server", 20, By::Script),
            ("python3 -m http.server", 20, By::CommandLine),
            ("java -jar x.jar", 10, By::CommandLine),
            ("x.jar", 10, By::Script),
            ("^/usr/sbin/nginx$", 15, By::CommandLine),
        ] {
            assert_eq!(near(text), [(pid, Some(by), Some(full.clone()))], "{text}");
        }
        let exact = |name: &str| Remedy { exact: true, pattern: Some(name.to_owned()), ..Remedy::default() };
        // Nobody needs that who has found it; nor what is in every command line.
        assert_eq!(near("nginx"), [(15, None, None)]);
        assert_eq!(near("Nginx")[0], (15, Some(By::Name), Some(exact("nginx"))));
        for text in ["-m", "s?", "(x.jar)*", ".{0,9}", "http", "log.*"] {
            let is_full = |(_, by, _): &(Pid, Option<By>, Option<Remedy>)| *by == Some(By::CommandLine);
            assert_eq!(near(text).iter().filter(|near| is_full(near)).count(), 0, "{text}");
        }
        let many =
            (30..50).fold(FakeProc::new(), |proc, pid| proc.add(pid, b"perl", 'S', 1, b"perl\0x.pl\0"));
        assert_eq!(Proc::new(many.0.path()).unwrap().survey(&named("x.pl")).unwrap().len(), MOST_IN_FULL);
    }

    /// What is called otherwise, by what it is near, and what counts it.
    #[test]
    fn what_is_called_otherwise_is_near_by_what_it_runs() {
        let proc = FakeProc::new()
            .add(10, b"MainThread", 'S', 1, b"node\0server.js\0")
            .add(9, b"Node", 'Z', 1, b"")
            .add(11, b"python3", 'S', 2, b"python3\0-u\0/srv/bot.py\0")
            .add(12, b"tail", 'S', 3, b"tail\0-n\x009\0/var/log/bot.py.log\0")
            .add(13, b"php-fpm8.2", 'S', 4, b"php-fpm: master process\0")
            .add(14, b"wine", 'S', 5, b"Z:\\srv\\game.exe\0")
            .add(15, b"service", 'S', 6, b"service\0--name\0x\0");
        let link = |pid: &str, file: &str, target: &str| match file {
            "exe" => std::os::unix::fs::symlink(target, proc.0.path().join(pid).join(file)).unwrap(),
            _ => std::fs::write(proc.0.path().join(pid).join(file), target).unwrap(),
        };
        link("13", "cgroup", "0::/system.slice/php8.2-fpm.service\n");
        link("15", "exe", "/opt/payments/bin/service");
        let reader = Proc::new(proc.0.path()).unwrap();
        let pattern = |remedy: Remedy| (remedy.exact, remedy.full, remedy.pattern.unwrap_or_default());
        for (text, pid, by, remedy) in [
            ("node", 10, By::Argument, (true, false, "MainThread")),
            ("^bot", 11, By::Script, (false, true, r"/srv/bot\.py")),
            (r"^game\.exe$", 14, By::Argument, (true, false, "wine")),
            ("php8.2-fpm", 13, By::Unit, (true, false, r"php-fpm8\.2")),
            ("payments", 15, By::Directory, (true, false, "service")),
        ] {
            let survey = reader.survey(&named(text)).unwrap();
            let [near] = &survey[..] else { panic!("{text}: {survey:?}") };
            assert_eq!((near.process.pid, near.near), (pid, Some(by)), "{text}");
            let (exact, full, name) = pattern(near.remedy.clone().unwrap());
            assert_eq!((exact, full, &*name), remedy, "{text}");
        }
        let full = |text: &str| Criteria { subject: Subject::CommandLine, ..named(text) };
        for text in ["^Node SERVER", "^server.js$", "^/usr/local/bin/node server"] {
            let survey = reader.survey(&full(text)).unwrap();
            let remedy = pattern(survey[0].remedy.clone().unwrap());
            assert_eq!(
                (survey.len(), remedy),
                (1, (false, false, r"^node server\.js$".to_owned())),
                "{text}"
            );
        }
    }
}
