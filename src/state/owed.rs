//! What people are still to be told by the hook, and what they were told last: changes, and not attempts. Pure, but
//! for its file: time is passed in.
//!
//! The file is `NAME.hook` in the state folder, and its owner's alone, since it has lines of the output log. Whoever
//! tells has it locked: a `--once` run tells when it has left the instance's lock to the next one.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::process::ProcessId;
use crate::settings::hook::{HookEvent, HookEvents};
use crate::state::{Files, VERSION};
use crate::time::{Time, millis};

/// Each kind of event is told once in this time.
pub const WINDOW: Duration = Duration::from_secs(300);
/// While something holds the instance, it is asked this often whether it still does.
const HELD: Duration = Duration::from_secs(60);
/// So many wait for the hook.
const MOST_WAITING: usize = 16;
/// More than all that may wait.
const LARGEST: u64 = 1 << 20;

/// An event, as the hook is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub event: HookEvent,
    #[serde(rename = "at_ms", with = "millis")]
    pub at: Time,
    /// What is known of it, by the names of the hook's variables.
    pub facts: BTreeMap<String, String>,
    /// All that the log says.
    pub text: String,
    /// What was written last.
    pub output: String,
}

impl Report {
    /// With one more fact.
    pub fn with(mut self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.facts.insert(name.to_owned(), value.to_string());
        self
    }

    fn down_since(self, since: Time) -> Self {
        let down = self.at.saturating_sub(since).as_secs();
        self.with("DOWN_SECONDS", &down)
    }
}

/// What is heard of the process, as far as people may have to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Something that says nothing about whether it works.
    Aside(Report),
    /// So many more of the last kind.
    More(u32),
    /// It does not run or not work.
    Fails(Condition, Report),
    /// It does not run; unless it is back by then, that is a failure.
    Ended { until: Time, report: Report },
    /// It is not back: an attempt begins.
    NotBack,
    /// It runs, or is healthy: by the event, what that ends.
    Runs(Report),
}

impl Heard {
    /// The report in it.
    pub fn report(&mut self) -> Option<&mut Report> {
        match self {
            Heard::Aside(report)
            | Heard::Fails(_, report)
            | Heard::Ended { report, .. }
            | Heard::Runs(report) => Some(report),
            Heard::More(_) | Heard::NotBack => None,
        }
    }
}

/// How it is with the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    #[default]
    Well,
    /// It does not run.
    Down,
    GivenUp,
    Unhealthy,
    /// It is unhealthy, and left so.
    Left,
    /// It cannot be stopped.
    Stuck,
}

impl Condition {
    /// Whether what `event` says is the end of it.
    fn is_ended_by(self, event: HookEvent) -> bool {
        match self {
            Condition::Well => false,
            Condition::Down | Condition::GivenUp => true,
            Condition::Stuck => event != HookEvent::Recovered,
            Condition::Unhealthy | Condition::Left => event == HookEvent::Healthy,
        }
    }

    /// What people know after they knew this and hear of the `other`. An attempt that fails after a give-up is no news.
    fn and(self, other: Condition) -> Condition {
        if (self, other) == (Condition::GivenUp, Condition::Down) { self } else { other }
    }
}

/// What is told at that time, if it is still so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Later {
    #[serde(rename = "due_ms", with = "millis")]
    due: Time,
    condition: Condition,
    report: Report,
}

/// What people are to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    version: u32,
    boot_id: String,
    /// The first one is told now.
    queue: VecDeque<Report>,
    /// What people were told last.
    told: Condition,
    /// When each kind of event was told last, in milliseconds.
    told_ms: BTreeMap<HookEvent, u64>,
    /// Since when it does not work.
    #[serde(rename = "since_ms", with = "millis::optional")]
    since: Option<Time>,
    /// How it is, and that people are to know when the time of its kind is over.
    later: Option<Later>,
    /// It ended, and is perhaps back in time.
    ended: Option<Later>,
    /// How many events were not told since the last one that was.
    suppressed: u32,
    /// What had to make room for others, until somebody says so.
    #[serde(skip)]
    pub dropped: Vec<HookEvent>,
    /// How many hooks have failed that no counter of the state has.
    pub failed: u32,
    /// The hook that is running.
    pub hook: Option<ProcessId>,
    /// How far the output log has been read by runs that end.
    pub read: Option<Position>,
}

/// How far the output log has been read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Device and number of the file.
    pub file: (u64, u64),
    /// All before is read.
    pub at: u64,
    /// What comes next belongs to a long line that has been looked at.
    pub is_in_long_line: bool,
}

impl Owed {
    /// Takes up what was heard.
    pub fn hear(&mut self, heard: Heard, wanted: &HookEvents, is_held: bool, now: Time) {
        match heard {
            Heard::More(count) => self.suppress(count),
            Heard::Aside(_) if is_held => {}
            Heard::Aside(report) => self.tell_once(report, wanted, now),
            Heard::Fails(..) | Heard::Ended { .. } if is_held => {
                self.ended = None;
                self.later.take_if(|later| later.condition != Condition::Well);
            }
            Heard::Fails(condition, report) => self.fails(condition, report, wanted, now),
            Heard::Ended { until: due, report } => {
                self.ended = Some(Later { due, condition: Condition::Down, report });
            }
            Heard::NotBack => {
                if let Some(Later { condition, report, .. }) = self.ended.take() {
                    self.fails(condition, report, wanted, now);
                }
            }
            Heard::Runs(report) => self.runs(report, wanted, is_held, now),
        }
    }

    fn fails(&mut self, it: Condition, report: Report, wanted: &HookEvents, now: Time) {
        let since = *self.since.get_or_insert(report.at);
        if !wanted.contain(report.event) {
            self.void(|later| later == Condition::Well);
        } else if (it, self.told) == (Condition::GivenUp, Condition::GivenUp) {
            // Rounds between a give-up and its end are no news.
            self.void(|_| true);
            self.suppress(1);
        } else {
            self.tell_or_keep(report.down_since(since), it, now);
        }
    }

    fn runs(&mut self, report: Report, wanted: &HookEvents, is_held: bool, now: Time) {
        if report.event != HookEvent::Healthy {
            self.ended = None;
        }
        self.void(|later| later.is_ended_by(report.event));
        let is_over = self.told.is_ended_by(report.event);
        if is_over && wanted.contain(HookEvent::Recovered) {
            let since = self.since.take().unwrap_or(report.at);
            let report = Report { event: HookEvent::Recovered, ..report }.down_since(since);
            if is_held {
                self.later = Some(Later { due: now + HELD, condition: Condition::Well, report });
            } else {
                self.tell_or_keep(report, Condition::Well, now);
            }
            return;
        }
        if is_over {
            self.told = Condition::Well;
        }
        if self.told == Condition::Well {
            self.since = None;
        }
        // Nobody is told that something is over of which nobody was told.
        if !is_held && report.event != HookEvent::Recovered {
            self.tell_once(report, wanted, now);
        }
    }

    fn suppress(&mut self, count: u32) {
        self.suppressed = self.suppressed.saturating_add(count);
    }

    /// What was to be told later is not so any more.
    fn void(&mut self, is_over: impl Fn(Condition) -> bool) {
        if self.later.take_if(|later| is_over(later.condition)).is_some() {
            self.suppress(1);
        }
    }

    fn tell_once(&mut self, report: Report, wanted: &HookEvents, now: Time) {
        if wanted.contain(report.event) && now >= self.may_be_told(report.event) {
            self.tell(report, now);
        } else if wanted.contain(report.event) {
            self.suppress(1);
        }
    }

    fn tell_or_keep(&mut self, report: Report, condition: Condition, now: Time) {
        self.void(|_| true);
        let due = self.may_be_told(report.event);
        let known = self.told.and(condition);
        if now >= due {
            self.told = known;
            self.tell(report, now);
        } else if known == self.told {
            self.suppress(1);
        } else {
            self.later = Some(Later { due, condition, report });
        }
    }

    /// When an event of this kind may be told again.
    fn may_be_told(&self, event: HookEvent) -> Time {
        self.told_ms.get(&event).map_or(Time::ZERO, |told| Time::from_millis(*told) + WINDOW)
    }

    fn tell(&mut self, report: Report, now: Time) {
        self.told_ms.insert(report.event, millis::of(now));
        self.queue.push_back(report.with("SUPPRESSED", &std::mem::take(&mut self.suppressed)));
        let may_go = |report: &Report| !matches!(report.event, HookEvent::GaveUp | HookEvent::Recovered);
        // The first one is at the hook.
        let at = self.queue.iter().skip(1).position(may_go).filter(|_| self.queue.len() > MOST_WAITING);
        if let Some(dropped) = at.and_then(|at| self.queue.remove(at + 1)) {
            let missed = dropped.facts.get("SUPPRESSED").and_then(|count| count.parse().ok());
            self.suppress(missed.unwrap_or(0));
            self.suppress(1);
            self.dropped.push(dropped.event);
        }
    }

    /// When there is something to do, if nothing happens before.
    pub fn due(&self) -> Option<Time> {
        self.later.iter().chain(&self.ended).map(|later| later.due).min()
    }

    /// Does what is due.
    pub fn come_due(&mut self, wanted: &HookEvents, is_held: bool, now: Time) {
        if let Some(Later { condition, report, .. }) = self.ended.take_if(|ended| now >= ended.due) {
            if !is_held {
                self.fails(condition, report, wanted, now);
            }
        } else if let Some(Later { condition, report, .. }) = self.later.take_if(|later| now >= later.due) {
            if !is_held {
                self.told = self.told.and(condition);
                self.tell(report, now);
            } else if condition == Condition::Well {
                self.later = Some(Later { due: now + HELD, condition, report });
            }
        }
    }

    /// The watch ends, and it is not certain that another follows: what would be told later is told now.
    pub fn hurry(&mut self) {
        if let Some(later) = &mut self.later {
            later.due = Time::ZERO;
        }
    }

    /// What is to be told now.
    pub fn next(&self) -> Option<&Report> {
        self.queue.front()
    }

    /// The first of the queue was told.
    pub fn is_told(&mut self) -> Option<Report> {
        self.hook = None;
        self.queue.pop_front()
    }

    /// Whether this may be told: that it runs is no news to whom nobody told that it did not.
    pub fn may_tell(&self, report: &Report) -> bool {
        report.event != HookEvent::Recovered || self.told.is_ended_by(report.event)
    }

    /// Another process is watched: what people know is of the old one.
    pub fn forget(&mut self) {
        (self.told, self.since, self.later, self.ended) = (Condition::Well, None, None, None);
    }

    /// A time that is still to come was written by a clock that has been set back since.
    fn until(mut self, now: Time) -> Self {
        let now_ms = millis::of(now);
        self.told_ms.values_mut().for_each(|told| *told = now_ms.min(*told));
        let latest = now + WINDOW;
        self.later.iter_mut().chain(&mut self.ended).for_each(|later| later.due = later.due.min(latest));
        self
    }
}

/// This run tells, in this file; where there is no place for one, nothing outlives the run.
#[derive(Debug)]
pub struct Telling(Option<File>);

impl Telling {
    /// Asks for the file, without waiting. `None` if another run is at it.
    pub fn ask(files: &Files) -> Option<Self> {
        match files.usable().and_then(|dir| dir.lock_file(files.file("hook"))) {
            Ok(file) => file.map(|file| Telling(Some(file))),
            Err(_) => Some(Telling(None)),
        }
    }

    /// What was written last, if it is of this boot.
    pub fn read(&self, files: &Files, now: Time) -> Owed {
        let begun = || Owed { version: VERSION, boot_id: files.boot_id(), ..Owed::default() };
        let file = self.0.as_ref();
        file.and_then(|file| read(file, files)).map_or_else(begun, |owed| owed.until(now))
    }

    /// Whether there is a file, so that it is known what runs before this one have left.
    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// The file has been removed.
    pub fn is_gone(&self) -> bool {
        self.0.as_ref().is_some_and(|file| file.metadata().is_ok_and(|about| about.nlink() == 0))
    }

    /// Writes it, in place: whoever else asks for it asks for this file.
    ///
    /// # Errors
    /// It could not be written.
    pub fn write(&self, owed: &Owed) -> io::Result<()> {
        let Some(file) = &self.0 else { return Ok(()) };
        let text = serde_json::to_vec(owed)?;
        file.write_all_at(&text, 0)?;
        file.set_len(text.len() as u64)
    }
}

fn read(file: &File, files: &Files) -> Option<Owed> {
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).ok()?;
    // One that was cut off in the middle may have left something behind the end.
    let owed = serde_json::Deserializer::from_str(&text).into_iter::<Owed>().next()?.ok()?;
    (owed.version == VERSION && files.is_of_this_boot(&owed.boot_id)).then_some(owed)
}

/// The hook that another run has at work, or has left.
pub fn hook_at_work(files: &Files) -> Option<ProcessId> {
    let file = files.dir().and_then(|dir| dir.open_file(files.file("hook"), OFlags::RDONLY));
    read(&file.ok()?, files)?.hook
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::hook::events;

    /// What a hook that is quick has been told.
    struct Teller {
        owed: Owed,
        wanted: HookEvents,
        is_held: bool,
        told: Vec<(u64, HookEvent, String)>,
    }

    impl Teller {
        fn new() -> Self {
            let (owed, wanted) = (Owed::default(), HookEvents::default());
            Teller { owed, wanted, is_held: false, told: Vec::new() }
        }

        fn wanting(names: &str) -> Self {
            Teller { wanted: events(Some(&String::new()), names).unwrap(), ..Teller::new() }
        }

        /// At this second, this is heard; what was due before has been done by then.
        fn hear(&mut self, second: u64, heard: Heard) {
            self.pass(second);
            self.owed.hear(heard, &self.wanted, self.is_held, Time::from_secs(second));
            self.drain(second);
        }

        fn pass(&mut self, until: u64) {
            while let Some(due) = self.owed.due().filter(|due| *due <= Time::from_secs(until)) {
                self.owed.come_due(&self.wanted, self.is_held, due);
                self.drain(due.as_secs());
            }
        }

        fn drain(&mut self, second: u64) {
            while let Some(report) = self.owed.is_told() {
                self.told.push((second, report.event, report.facts["SUPPRESSED"].clone()));
            }
        }

        fn told(&self) -> String {
            let told = self.told.iter().map(|(second, event, _)| format!("{second} {}", event.name()));
            told.collect::<Vec<_>>().join(", ")
        }

        fn dies(&mut self, second: u64) {
            self.hear(second, Heard::Fails(Condition::Down, report(second, HookEvent::Died)));
        }

        fn gives_up(&mut self, second: u64) {
            self.hear(second, Heard::Fails(Condition::GivenUp, report(second, HookEvent::GaveUp)));
        }

        fn starts(&mut self, second: u64) {
            self.hear(second, Heard::Runs(report(second, HookEvent::Started)));
        }
    }

    fn report(second: u64, event: HookEvent) -> Report {
        let (text, output) = (String::new(), String::new());
        Report { event, at: Time::from_secs(second), facts: BTreeMap::new(), text, output }
    }

    #[test]
    fn a_crash_loop_is_told_once_in_five_minutes() {
        let mut teller = Teller::new();
        for death in 0..1000 {
            teller.dies(death);
        }
        teller.gives_up(1000);
        teller.starts(1100);
        teller.pass(9000);
        let deaths: Vec<_> = teller.told.iter().filter(|told| told.1 == HookEvent::Died).collect();
        assert_eq!(deaths.iter().map(|told| told.0).collect::<Vec<_>>(), [0, 300, 600, 900]);
        let others: Vec<_> = teller.told.iter().filter(|told| told.1 != HookEvent::Died).collect();
        assert_eq!(others.len(), 2, "{}", teller.told());
        assert_eq!((others[0].1, others[1].1), (HookEvent::GaveUp, HookEvent::Recovered));
        let suppressed = teller.told.iter().map(|told| told.2.parse::<usize>().unwrap()).sum::<usize>();
        assert_eq!(suppressed + deaths.len(), 1000);
    }

    #[test]
    fn the_last_word_is_how_it_is() {
        // It comes and goes, and stays down.
        let mut teller = Teller::new();
        teller.dies(0);
        teller.starts(5);
        teller.dies(40);
        teller.pass(9000);
        assert_eq!(teller.told(), "0 died, 5 recovered, 300 died");
        // It comes and goes, and stays up.
        let mut teller = Teller::new();
        for (down, up) in [(0, 5), (10, 15), (20, 25)] {
            teller.dies(down);
            teller.starts(up);
        }
        teller.pass(9000);
        assert_eq!(teller.told(), "0 died, 5 recovered");
        // Down for longer than that is told, whatever is told meanwhile.
        let mut teller = Teller::new();
        teller.gives_up(0);
        teller.starts(60);
        teller.gives_up(120);
        teller.starts(180);
        teller.gives_up(200);
        teller.pass(9000);
        assert_eq!(teller.told(), "0 gave-up, 60 recovered, 300 gave-up");
        teller.starts(9001);
        assert_eq!(teller.told.len(), 4);
    }

    #[test]
    fn rounds_between_a_give_up_and_its_end_are_no_news() {
        let mut teller = Teller::new();
        teller.gives_up(0);
        for round in 1..10 {
            teller.hear(600 * round, Heard::Fails(Condition::Down, report(0, HookEvent::Failed)));
            teller.gives_up(600 * round + 10);
        }
        teller.starts(6000);
        assert_eq!(teller.told(), "0 gave-up, 6000 recovered");
        assert_eq!(teller.told[1].2, "9");
    }

    #[test]
    fn the_end_of_what_nobody_was_told_is_no_news() {
        let mut teller = Teller::new();
        teller.hear(0, Heard::Runs(report(0, HookEvent::Recovered)));
        teller.hear(1, Heard::Fails(Condition::Down, report(1, HookEvent::Failed)));
        teller.starts(2);
        assert_eq!(teller.told(), "");
        // Who does not want to know that it is back is told of the next death all the same.
        let mut teller = Teller::wanting(r#"["gave-up", "started"]"#);
        teller.gives_up(0);
        teller.starts(10);
        teller.dies(20);
        teller.gives_up(1000);
        assert_eq!(teller.told(), "0 gave-up, 10 started, 1000 gave-up");
    }

    #[test]
    fn a_death_of_unknown_cause_is_one_if_it_is_not_back_in_time() {
        let ended = |second| Heard::Ended {
            until: Time::from_secs(second + 3),
            report: report(second, HookEvent::Died),
        };
        let mut teller = Teller::new();
        teller.hear(0, ended(0));
        teller.hear(2, Heard::Runs(report(2, HookEvent::Recovered)));
        teller.hear(100, ended(100));
        teller.pass(200);
        teller.starts(201);
        assert_eq!(teller.told(), "103 died, 201 recovered");
        let mut teller = Teller::new();
        teller.hear(0, ended(0));
        teller.hear(1, Heard::NotBack);
        assert_eq!(teller.told(), "1 died");
    }

    #[test]
    fn what_is_unhealthy_recovers_when_it_is_healthy() {
        let mut teller = Teller::wanting(r#"["unhealthy", "recovered", "healthy", "stop-failed"]"#);
        let unhealthy = |second, condition| Heard::Fails(condition, report(second, HookEvent::Unhealthy));
        teller.hear(0, unhealthy(0, Condition::Unhealthy));
        teller.hear(1, Heard::Runs(report(1, HookEvent::Recovered)));
        teller.starts(2);
        // That it is left so is another thing.
        teller.hear(60, unhealthy(60, Condition::Left));
        teller.hear(400, Heard::Runs(report(400, HookEvent::Healthy)));
        teller.hear(1000, Heard::Runs(report(1000, HookEvent::Healthy)));
        teller.hear(1001, Heard::Fails(Condition::Stuck, report(1001, HookEvent::StopFailed)));
        teller.hear(1002, Heard::Runs(report(1002, HookEvent::Recovered)));
        teller.starts(1003);
        assert_eq!(
            teller.told(),
            "0 unhealthy, 300 unhealthy, 400 recovered, 1000 healthy, 1001 stop-failed, 1003 recovered"
        );
    }

    #[test]
    fn while_it_is_held_there_is_silence_and_then_the_truth() {
        let mut teller = Teller::new();
        teller.is_held = true;
        teller.dies(0);
        teller.gives_up(1);
        teller.hear(2, Heard::Aside(report(2, HookEvent::Keyword)));
        teller.is_held = false;
        teller.starts(10);
        assert_eq!(teller.told(), "");
        // A failure that was told before ends meanwhile.
        teller.dies(20);
        teller.is_held = true;
        teller.starts(30);
        teller.pass(1000);
        teller.is_held = false;
        teller.pass(2000);
        assert_eq!(teller.told(), "20 died, 1050 recovered");
    }

    #[test]
    fn sixteen_wait_and_the_end_of_it_all_is_never_dropped() {
        let (mut owed, wanted) =
            (Owed::default(), events(Some(&String::new()), r#"["gave-up","recovered","died"]"#).unwrap());
        for hour in 0..30_u64 {
            let at = Time::from_secs(hour * 3600);
            let mut hear = |condition, event| {
                let heard = match condition {
                    Some(condition) => Heard::Fails(condition, report(hour * 3600, event)),
                    None => Heard::Runs(report(hour * 3600, event)),
                };
                owed.hear(heard, &wanted, false, at);
            };
            hear(Some(Condition::Down), HookEvent::Died);
            hear(Some(Condition::GivenUp), HookEvent::GaveUp);
            hear(None, HookEvent::Started);
        }
        let count = |event| owed.queue.iter().filter(|report| report.event == event).count();
        assert_eq!((count(HookEvent::GaveUp), count(HookEvent::Recovered)), (30, 30));
        // The first one is at the hook.
        assert_eq!((count(HookEvent::Died), owed.dropped.len()), (1, 29));
    }

    #[test]
    fn who_tells_is_alone_and_the_next_one_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path(), &crate::settings::name::name("x").unwrap(), "this");
        let telling = Telling::ask(&files).unwrap();
        let mut owed = telling.read(&files, Time::from_secs(1));
        let wanted = HookEvents::default();
        let dies = |owed: &mut Owed| {
            let heard = Heard::Fails(Condition::Down, report(5, HookEvent::Died).with("SIGNAL", "\u{1f600}"));
            owed.hear(heard, &wanted, false, Time::from_secs(5));
        };
        dies(&mut owed);
        telling.write(&owed).unwrap();
        assert!(Telling::ask(&files).is_none(), "another run is at it");
        drop(telling);
        let again = Telling::ask(&files).unwrap();
        let mut read = again.read(&files, Time::from_secs(2));
        assert_eq!(read.next(), owed.next());
        assert_eq!(read.told_ms[&HookEvent::Died], 2000, "of a time to come");
        // A shorter one in place of a longer one, which was cut off before the rest was.
        read.is_told();
        let path = folder.path().join("x.hook");
        let long = std::fs::read_to_string(&path).unwrap();
        again.write(&read).unwrap();
        let short = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{short}{}", long.get(short.len()..).unwrap())).unwrap();
        drop(again);
        assert_eq!(Telling::ask(&files).unwrap().read(&files, Time::from_secs(5)).next(), None);
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "it has lines of the output log");
        for foreign in ["", "{", "null", "\u{0}", &short.replace("this", "that")] {
            std::fs::write(&path, foreign).unwrap();
            let begun = Telling::ask(&files).unwrap().read(&files, Time::from_secs(5));
            assert_eq!((begun.next(), begun.told_ms.len()), (None, 0), "{foreign}");
        }
        let telling = Telling::ask(&files).unwrap();
        assert!(!telling.is_gone());
        std::fs::remove_file(&path).unwrap();
        assert!(telling.is_gone());
        std::fs::create_dir(&path).unwrap();
        assert!(Telling::ask(&files).unwrap().0.is_none(), "there is no place for it");
    }
}
