//! Pauses and stops: those of people, and the pause of all instances while packages are upgraded.

use crate::fs::{Dir, Trust, WaitFor};
use crate::hold::{Held, Hold};
use crate::state::{Files, Unread, VERSION};
use crate::sys::is_shortage;
use crate::time::{Time, millis};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A pause of an instance, and when it was last resumed: `NAME.pause` in the state directory; or the pause of
/// all instances while packages are upgraded: [`UPGRADE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// [`VERSION`].
    pub version: u32,
    /// The boot that the times here belong to.
    pub boot_id: String,
    /// It is to be left alone.
    pub paused: bool,
    /// Somebody has stopped it, and it is to stay so. For a version that does not know this it is paused.
    #[serde(default)]
    pub stopped: bool,
    /// Until then; `null` is until it is resumed.
    #[serde(with = "millis::optional")]
    pub until_ms: Option<Time>,
    /// When this was said.
    #[serde(with = "millis")]
    pub said_ms: Time,
}

/// Whether a start may come, as far as people are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It may; and at this time somebody last said `resume`, which forgets failures before.
    Given {
        /// When.
        resumed: Option<Time>,
    },
    /// It is to be left alone.
    Paused {
        /// Until then, if not for ever.
        until: Option<Time>,
    },
}

/// Says that all instances in `folder` are to be left alone until `until`, since packages are upgraded.
///
/// # Errors
/// It could not be written.
pub fn begin_upgrade(folder: &Path, boot_id: &str, until: Time, now: Time) -> io::Result<()> {
    let (version, boot_id, until_ms) = (VERSION, boot_id.to_owned(), Some(until));
    let pause = Pause { version, boot_id, paused: true, stopped: false, until_ms, said_ms: now };
    Dir::make(folder, Trust::Anyone)?.replace(UPGRADE, &pause, WaitFor::Nothing)
}

/// Says that packages are upgraded no longer. Nothing else is ended or forgotten by that.
///
/// # Errors
/// It could not be removed.
pub fn end_upgrade(folder: &Path) -> io::Result<()> {
    match Dir::open(folder, Trust::Anyone) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        folder => folder?.remove(UPGRADE),
    }
}

/// The file of the pause of all instances while packages are upgraded. No instance's file has this ending.
const UPGRADE: &str = "upgrade.hold";

impl Files {
    /// Whether a start may come now.
    pub fn leave(&self, now: Time) -> Leave {
        match (self.said(now), self.upgrade(now)) {
            (Leave::Paused { until }, Some(upgrade)) => {
                Leave::Paused { until: until.zip(upgrade.until_ms).map(|(one, other)| one.max(other)) }
            }
            // Somebody who says `resume` during an upgrade means it.
            (Leave::Given { resumed }, Some(upgrade))
                if resumed.is_none_or(|resumed| resumed < upgrade.said_ms) =>
            {
                Leave::Paused { until: upgrade.until_ms }
            }
            (said, _) => said,
        }
    }

    /// The holds that are in force now: that of people first.
    pub fn holds(&self, now: Time) -> Vec<Held> {
        let said = match self.said(now) {
            Leave::Given { .. } => None,
            Leave::Paused { until } => {
                let hold = if self.is_stopped() { Hold::Stopped } else { Hold::Paused };
                Some(Held::new(hold, until))
            }
        };
        let upgrade = self.upgrade(now).filter(|_| matches!(self.leave(now), Leave::Paused { .. }));
        let upgrade = upgrade.map(|upgrade| Held::new(Hold::Upgrading, upgrade.until_ms));
        said.into_iter().chain(upgrade).collect()
    }

    /// Whether somebody has stopped it, in this boot.
    fn is_stopped(&self) -> bool {
        let is_it = |pause: Pause| pause.paused && pause.stopped && self.is_of_this_boot(&pause.boot_id);
        self.pause().is_ok_and(is_it)
    }

    /// The pause file that counts.
    fn pause(&self) -> Result<Pause, Unread> {
        let of = |files: &Files| files.read(&files.file("pause"), |pause: &Pause| pause.version);
        let old =
            self.before().and_then(|old| of(&old).ok()).filter(|old| self.is_of_this_boot(&old.boot_id));
        match (of(self), old) {
            (Err(Unread::None), Some(old)) => Ok(old),
            (Ok(new), Some(old)) if !self.is_of_this_boot(&new.boot_id) || new.said_ms < old.said_ms => {
                Ok(old)
            }
            (new, _) => new,
        }
    }

    /// What people have said.
    fn said(&self, now: Time) -> Leave {
        match self.pause() {
            Ok(Pause { paused: true, until_ms: until, ref boot_id, .. })
                if self.is_of_this_boot(boot_id) && until.is_none_or(|until| now < until) =>
            {
                Leave::Paused { until }
            }
            Ok(Pause { paused: false, said_ms, ref boot_id, .. }) if self.is_of_this_boot(boot_id) => {
                Leave::Given { resumed: Some(said_ms) }
            }
            // Somebody has said something, and nobody can tell what.
            Err(Unread::Foreign(_)) => Leave::Paused { until: None },
            // With no descriptors left nothing could be started anyway.
            Err(Unread::Failed(error)) if is_shortage(&error) => Leave::Paused { until: None },
            // There is none, or time or a boot has ended it; and no other file delays a start.
            Ok(_) | Err(Unread::None | Unread::Failed(_)) => Leave::Given { resumed: None },
        }
    }

    /// The pause while packages are upgraded. Nobody would end one that cannot be read, so that it is none.
    fn upgrade(&self, now: Time) -> Option<Pause> {
        let is_in_force = |pause: &Pause| {
            pause.paused
                && self.is_of_this_boot(&pause.boot_id)
                && pause.until_ms.is_none_or(|until| now < until)
        };
        let here = self.read(UPGRADE, |pause: &Pause| pause.version).ok().filter(is_in_force);
        here.or_else(|| self.before()?.upgrade(now))
    }

    /// Says that the process is to be left alone, or no longer.
    ///
    /// # Errors
    /// It could not be written.
    pub fn say(&self, leave: Leave, now: Time) -> io::Result<()> {
        match leave {
            Leave::Paused { until } => self.write_pause(true, false, until, now),
            Leave::Given { .. } => self.write_pause(false, false, None, now),
        }
    }

    /// Says that somebody has stopped the process, and that it is to stay so until a boot or
    /// [`Files::end_holds`].
    ///
    /// # Errors
    /// It could not be written.
    pub fn say_stopped(&self, now: Time) -> io::Result<()> {
        self.write_pause(true, true, None, now)
    }

    /// Ends what people have said; and for this instance the pause of an upgrade too, if it is given `by_name`.
    ///
    /// # Errors
    /// It could not be written.
    pub fn end_holds(&self, by_name: bool, now: Time) -> io::Result<()> {
        if by_name || self.upgrade(now).is_none() {
            return self.say(Leave::Given { resumed: None }, now);
        }
        self.usable()?.remove(self.file("pause"))
    }

    /// Ends all that was said before `then`.
    ///
    /// # Errors
    /// It could not be written.
    pub fn end_holds_before(&self, then: Time) -> io::Result<()> {
        let is_newer =
            |pause: Pause| pause.paused && pause.said_ms >= then && self.is_of_this_boot(&pause.boot_id);
        if self.pause().is_ok_and(is_newer) {
            return Ok(());
        }
        self.say(Leave::Given { resumed: None }, then)
    }

    fn write_pause(&self, paused: bool, stopped: bool, until_ms: Option<Time>, now: Time) -> io::Result<()> {
        let dir = self.usable()?;
        let (version, boot_id) = (VERSION, self.boot_id());
        let pause = Pause { version, boot_id, paused, stopped, until_ms, said_ms: now };
        dir.replace(&self.file("pause"), &pause, WaitFor::Disk)
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::name::name;
    fn files(folder: &Path, boot_id: &str) -> Files {
        Files::new(folder, &name("x").unwrap(), boot_id)
    }

    use super::*;
    use crate::input::config_file::names;
    use std::time::Duration;

    #[test]
    fn a_pause_ends_by_time_by_word_and_by_boot() {
        let folder = tempfile::tempdir().unwrap();
        let at = Duration::from_secs;
        let this = files(folder.path(), "this");
        assert_eq!(this.leave(at(1)), Leave::Given { resumed: None });
        this.say(Leave::Paused { until: None }, at(1)).unwrap();
        assert_eq!(this.leave(at(1_000_000)), Leave::Paused { until: None });
        assert_eq!(files(folder.path(), "next").leave(at(1)), Leave::Given { resumed: None });
        this.say(Leave::Paused { until: Some(at(5)) }, at(2)).unwrap();
        assert_eq!(this.leave(at(4)), Leave::Paused { until: Some(at(5)) });
        assert_eq!(this.leave(at(5)), Leave::Given { resumed: None });
        this.say(Leave::Given { resumed: None }, at(6)).unwrap();
        assert_eq!(this.leave(at(7)), Leave::Given { resumed: Some(at(6)) });
        std::fs::write(folder.path().join("x.pause"), "half of it").unwrap();
        assert_eq!(this.leave(at(7)), Leave::Paused { until: None });
    }

    #[test]
    fn an_upgrade_pauses_beside_what_people_say() {
        let folder = tempfile::tempdir().unwrap();
        let at = Duration::from_secs;
        let (this, folder) = (files(folder.path(), "this"), folder.path());
        let given = |resumed| Leave::Given { resumed };
        let paused = |until| Leave::Paused { until };
        end_upgrade(folder).unwrap();
        begin_upgrade(folder, "this", at(50), at(10)).unwrap();
        assert_eq!(this.leave(at(49)), paused(Some(at(50))));
        assert_eq!(this.leave(at(50)), given(None), "its time is over");
        assert_eq!(files(folder, "next").leave(at(11)), given(None), "a boot");
        assert_eq!(names(folder), [], "it is no instance");
        // The later end counts, and an end of the upgrade does not end what somebody said.
        for (said, both) in [(Some(at(20)), Some(at(50))), (Some(at(90)), Some(at(90))), (None, None)] {
            this.say(paused(said), at(11)).unwrap();
            assert_eq!(this.leave(at(12)), paused(both));
        }
        end_upgrade(folder).unwrap();
        assert_eq!(this.leave(at(12)), paused(None));
        // "resume" before an upgrade does not end it, one during it does.
        this.say(given(None), at(13)).unwrap();
        begin_upgrade(folder, "this", at(50), at(14)).unwrap();
        assert_eq!(this.leave(at(15)), paused(Some(at(50))));
        this.say(given(None), at(16)).unwrap();
        assert_eq!(this.leave(at(17)), given(Some(at(16))));
        std::fs::remove_file(folder.join("x.pause")).unwrap();
        std::fs::write(folder.join(UPGRADE), "half of it").unwrap();
        assert_eq!(this.leave(at(17)), given(None), "nobody would end it");
    }

    #[test]
    fn a_stop_lasts_until_somebody_starts_it_or_a_boot() {
        let folder = tempfile::tempdir().unwrap();
        let at = Duration::from_secs;
        let (this, folder) = (files(folder.path(), "this"), folder.path());
        let names = |files: &Files| {
            files.holds(at(1_000_000)).iter().map(|held| held.hold.name()).collect::<Vec<_>>()
        };
        assert_eq!(names(&this), [""; 0]);
        this.say_stopped(at(1)).unwrap();
        assert_eq!((names(&this), names(&files(folder, "next"))), (vec!["stopped"], vec![]));
        assert_eq!(this.leave(at(2)), Leave::Paused { until: None }, "as other versions see it");
        begin_upgrade(folder, "this", at(2_000_000), at(3)).unwrap();
        assert_eq!(names(&this), ["stopped", "upgrading"]);
        // Of an upgrade that is not meant by name only what people said is ended.
        this.end_holds(false, at(4)).unwrap();
        assert_eq!(names(&this), ["upgrading"]);
        this.say(Leave::Paused { until: None }, at(5)).unwrap();
        assert_eq!(names(&this), ["paused", "upgrading"]);
        this.end_holds(true, at(6)).unwrap();
        assert_eq!((names(&this), this.leave(at(7))), (vec![], Leave::Given { resumed: Some(at(6)) }));
        end_upgrade(folder).unwrap();
        this.end_holds(false, at(8)).unwrap();
        assert_eq!(this.leave(at(9)), Leave::Given { resumed: Some(at(8)) });
    }

    #[test]
    fn a_new_container_is_not_held_by_what_was_said_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let at = Duration::from_secs;
        let (this, folder) = (files(folder.path(), "this"), folder.path());
        let names = || this.holds(at(100)).iter().map(|held| held.hold.name()).collect::<Vec<_>>();
        for stopped in [true, false] {
            this.write_pause(true, stopped, None, at(5)).unwrap();
            begin_upgrade(folder, "this", at(1000), at(6)).unwrap();
            this.end_holds_before(at(7)).unwrap();
            assert_eq!(names(), [""; 0]);
            begin_upgrade(folder, "this", at(1000), at(8)).unwrap();
            assert_eq!(names(), ["upgrading"], "this one began later");
            this.write_pause(true, stopped, None, at(9)).unwrap();
            this.end_holds_before(at(7)).unwrap();
            assert_eq!(names(), [if stopped { "stopped" } else { "paused" }, "upgrading"]);
        }
    }

    #[test]
    fn of_what_was_said_in_two_folders_the_newer_counts() {
        let (folder, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = Duration::from_secs;
        let before = files(old.path(), "this");
        let this = files(folder.path(), "this").after(Some(old.path().into()));
        before.say(Leave::Paused { until: None }, at(5)).unwrap();
        assert_eq!(this.leave(at(9)), Leave::Paused { until: None });
        for (said, resumed) in [(6, Some(at(6))), (4, None)] {
            this.say(Leave::Given { resumed: None }, at(said)).unwrap();
            let expected = resumed.map_or(Leave::Paused { until: None }, |_| Leave::Given { resumed });
            assert_eq!(this.leave(at(9)), expected, "said at {said}");
        }
    }

    #[test]
    fn a_pause_of_a_version_without_stops_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let this = files(folder.path(), "this");
        let old = r#"{"version":1,"boot_id":"this","paused":true,"until_ms":null,"said_ms":5}"#;
        std::fs::write(folder.path().join("x.pause"), old).unwrap();
        assert_eq!(this.holds(Duration::ZERO), [Held::new(Hold::Paused, None)]);
    }
}
