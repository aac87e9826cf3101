//! Whether it should run now: what holds it, and what is told of that.

use std::rc::Rc;

use crate::hold::{Held, Hold, depends, hours, of_the_calendar, versions};
use crate::policy::Window;
use crate::report::event::{Event, Lasting, WatchEvent};
use crate::settings::versions::{date, number};
use crate::settings::{OutsideHours, Settings};
use crate::state::said::{Notice, Told};
use crate::supervise::{Parts, Supervisor};
use crate::time::{Time, WallClock, now, when};

/// What the policy has been told that comes of the calendar.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    version: Option<u64>,
    window: Option<u64>,
}

impl Supervisor {
    /// Looks for the holds that are in force: those of people first. What it depends on is looked for if a start
    /// would come. When somebody has said `resume`, if no one holds it since.
    pub(super) fn look_for_holds(&mut self, would_start: bool) -> Option<Time> {
        let settings = &self.parts.settings;
        let (holds, resumed) = self.parts.record.files.said(now());
        self.holds = holds;
        if !settings.active_hours.is_empty() || !settings.versions.is_empty() {
            let started = self.policy.memory().version;
            self.holds.extend(of_the_calendar(settings, WallClock::now(), started));
        }
        if would_start {
            self.holds.extend(self.questions.shutdown.hold());
        }
        if would_start && self.holds.is_empty() {
            let dependency = self.dependency();
            self.holds.extend(dependency);
        }
        resumed
    }

    /// What it depends on is not there, and has not been waited for long enough.
    fn dependency(&mut self) -> Option<Held> {
        let Parts { settings, record, proc, .. } = &mut self.parts;
        let now = now();
        let held = depends::hold(settings, &record.files, &record.state, proc, now)?;
        if held.until.is_none_or(|until| now < until) {
            return Some(held);
        }
        // It has not come to an end by itself.
        record.is_news(Told::Over(Notice::Dependency));
        let missing = held.detail.unwrap_or_default();
        let text = format!("not waiting any longer for what it depends on: {missing}");
        self.parts.emit(Lasting::Doubt(Notice::WithoutDependency, &text));
        None
    }

    /// Whether the clock alone may be a reason to stop the process.
    pub(super) fn heeds_calendar(&self) -> bool {
        let Settings { active_hours, outside_hours, versions, .. } = &*self.parts.settings;
        !versions.is_empty() || !active_hours.is_empty() && *outside_hours == OutsideHours::Stop
    }

    /// Tells the policy what the clock has brought about since this was asked last: another version, which has its start
    /// command, or the end of its hours.
    pub(super) fn heed_calendar(&mut self) {
        if !self.heeds_calendar() && self.calendar.version.is_some() {
            return;
        }
        let (settings, clock) = (Rc::clone(&self.parts.settings), WallClock::now());
        let Settings { active_hours, outside_hours, versions, start_command, .. } = &*settings;
        let started = self.policy.memory().version;
        if let Some(it) = versions::in_force(versions, start_command.as_deref(), clock, started) {
            if settings.criteria.start_command != it.start_command {
                it.start_command
                    .clone_into(&mut Rc::make_mut(&mut self.parts.settings).criteria.start_command);
                self.questions.withdraw_doubts();
            }
            let told = self.calendar.version.replace(it.number);
            if told != Some(it.number) {
                if told.is_some() {
                    self.parts.emit(WatchEvent::Version(date(it.number)));
                }
                self.policy.use_version(it.number);
            }
        }
        if *outside_hours == OutsideHours::Leave
            || !clock.is_trusted
            || hours::is_open(active_hours, clock.local)
        {
            return;
        }
        let Some(end) = hours::ended_last(active_hours, clock.local) else { return };
        let window = Window { number: number(end), at: when(end) };
        if self.calendar.window.replace(window.number) != Some(window.number) {
            self.policy.end_window(window);
        }
    }

    /// Tells what holds it when a start would come, and what does no longer. Who has stopped it needs no word of it.
    pub(super) fn tell_holds(&mut self) {
        let (people, others): (Vec<_>, Vec<_>) =
            self.holds.iter().cloned().partition(|held| held.hold.is_of_people());
        self.parts.record.held(Held::longest(&others));
        let told: Vec<_> = match Held::longest(&people) {
            _ if people.iter().any(|held| held.hold == Hold::Stopped) => return,
            Some(held) => vec![held],
            None => {
                self.parts.emit(Event::Over(Hold::Paused.notice()));
                for hold in [Hold::Hours, Hold::Version, Hold::Dependency, Hold::Shutdown] {
                    if !others.iter().any(|held| held.hold == hold) {
                        self.parts.emit(Event::Over(hold.notice()));
                    }
                }
                others.iter().collect()
            }
        };
        for held in told {
            self.facts.is_held_news |= self.parts.record.state.said.last(held.hold.notice()).is_none();
            self.parts.emit(Lasting::Held(held));
        }
    }

    /// Somebody has said then that what was is to be forgotten.
    pub(super) fn heed_resume(&mut self, at: Time) {
        if self.parts.record.resumed(at) {
            self.parts.emit(WatchEvent::Resumed);
            self.policy.forget(now());
        }
    }
}
