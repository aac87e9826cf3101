//! Whether it should run now: what holds it, and what is told of that.

use crate::hold::pause::Leave;
use crate::hold::{Held, Hold, depends};
use crate::report::event::{Event, Lasting, WatchEvent};
use crate::state::said::{Notice, Told};
use crate::supervise::{Parts, Supervisor};
use crate::time::now;

impl Supervisor {
    /// Looks for the holds that are in force: those of people first. What it depends on is looked for if a start
    /// would come.
    pub(super) fn look_for_holds(&mut self, would_start: bool) {
        self.holds = self.parts.record.files().holds(now());
        if would_start && self.holds.is_empty() {
            let dependency = self.dependency();
            self.holds.extend(dependency);
        }
    }

    /// What it depends on is not there, and has not been waited for long enough.
    fn dependency(&mut self) -> Option<Held> {
        let Parts { settings, record, proc, .. } = &mut self.parts;
        let now = now();
        let held = depends::hold(settings, record.files(), record.state(), proc, now)?;
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
            let left = held.until.map(|until| until.saturating_sub(now()));
            self.facts.is_held_news |= self.parts.record.state().said.last(held.hold.notice()).is_none();
            self.parts.emit(Lasting::Held { held, left });
        }
    }

    /// Somebody may have said that what was is to be forgotten.
    pub(super) fn heed_resume(&mut self) {
        let now = now();
        let Leave::Given { resumed: Some(at) } = self.parts.record.files().leave(now) else { return };
        if self.parts.record.resumed(at) {
            self.parts.emit(WatchEvent::Resumed);
            self.policy.forget(now);
        }
    }
}
