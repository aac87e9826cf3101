//! Pauses and stops: those of people, and the pause of all instances while packages are upgraded.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::fs::{Dir, Trust, WaitFor};
use crate::hold::{Held, Hold};
use crate::state::{Files, Unread, VERSION};
use crate::sys::is_shortage;
use crate::time::{Time, millis};

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

impl Pause {
    /// Of what is held so from now on; or of what is not any more.
    fn new(boot_id: String, hold: Option<&Held>, now: Time) -> Self {
        let stopped = hold.is_some_and(|held| held.hold == Hold::Stopped);
        let (paused, until_ms) = (hold.is_some(), hold.and_then(|held| held.until));
        Pause { version: VERSION, boot_id, paused, stopped, until_ms, said_ms: now }
    }

    fn is_in_force(&self, now: Time) -> bool {
        self.paused && self.until_ms.is_none_or(|until| now < until)
    }
}

/// Says that all instances in `folder` are to be left alone until `until`, since packages are upgraded.
///
/// # Errors
/// It could not be written.
pub fn begin_upgrade(folder: &Path, boot_id: &str, until: Time, now: Time) -> io::Result<()> {
    let pause = Pause::new(boot_id.to_owned(), Some(&Held::new(Hold::Upgrading, Some(until))), now);
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
    /// The holds that are in force now: that of people first.
    pub fn holds(&self, now: Time) -> Vec<Held> {
        self.said(now).0
    }

    /// When somebody last said `resume`, which forgets failures before; if nothing of this holds it since.
    pub fn resumed(&self, now: Time) -> Option<Time> {
        self.said(now).1
    }

    /// Whether somebody has overruled a request since it was made: a stop by a resume, another by a pause or a stop.
    pub fn is_overruled(&self, is_stop: bool, since: Time) -> bool {
        self.pause().ok().flatten().is_some_and(|pause| pause.paused != is_stop && pause.said_ms > since)
    }

    /// The holds that are in force, and when somebody last said `resume`: both of one look at the files.
    pub fn said(&self, now: Time) -> (Vec<Held>, Option<Time>) {
        let (hold, resumed) = match self.pause() {
            Ok(Some(pause)) if !pause.paused => (None, Some(pause.said_ms)),
            Ok(Some(pause)) => {
                let hold = if pause.stopped { Hold::Stopped } else { Hold::Paused };
                (pause.is_in_force(now).then_some(Held::new(hold, pause.until_ms)), None)
            }
            // Somebody has said something, and nobody can tell what.
            Err(Unread::Foreign(_)) => (Some(Held::new(Hold::Paused, None)), None),
            // With no descriptors left nothing could be started anyway.
            Err(Unread::Failed(error)) if is_shortage(&error) => (Some(Held::new(Hold::Paused, None)), None),
            // There is none, or a boot has ended it; and no other file delays a start.
            Ok(None) | Err(_) => (None, None),
        };
        // Somebody who says `resume` during an upgrade means it.
        let is_newer = |upgrade: &Pause| resumed.is_none_or(|resumed| resumed < upgrade.said_ms);
        let upgrade = self.upgrade(now).filter(is_newer);
        let upgrade = upgrade.map(|upgrade| Held::new(Hold::Upgrading, upgrade.until_ms));
        let holds: Vec<_> = hold.into_iter().chain(upgrade).collect();
        let resumed = resumed.filter(|_| holds.is_empty());
        (holds, resumed)
    }

    /// The pause file that counts, if there is one of this boot.
    fn pause(&self) -> Result<Option<Pause>, Unread> {
        let here = self.pause_in(&self.file("pause"))?;
        let before = self.before().and_then(|before| before.pause().ok()).flatten();
        Ok(before.into_iter().chain(here).max_by_key(|pause| pause.said_ms))
    }

    fn pause_in(&self, file: &str) -> Result<Option<Pause>, Unread> {
        let read = self.read(file, |pause: &Pause| pause.version)?;
        Ok(read.filter(|pause| self.is_of_this_boot(&pause.boot_id)))
    }

    /// The pause while packages are upgraded. One that cannot be read does not count: nobody would end it.
    fn upgrade(&self, now: Time) -> Option<Pause> {
        let here = self.pause_in(UPGRADE).ok().flatten().filter(|pause| pause.is_in_force(now));
        here.or_else(|| self.before()?.upgrade(now))
    }

    /// Says that people want this to hold the process, a pause or a stop; or that they want nothing to, any more.
    ///
    /// # Errors
    /// It could not be written.
    pub fn say(&self, hold: Option<&Held>, now: Time) -> io::Result<()> {
        let pause = Pause::new(self.boot_id(), hold, now);
        self.usable()?.replace(&self.file("pause"), &pause, WaitFor::Disk)
    }

    /// Ends what people have said; and for this instance the pause of an upgrade too, if it is given `by_name`.
    ///
    /// # Errors
    /// It could not be written.
    pub fn end_holds(&self, by_name: bool, now: Time) -> io::Result<()> {
        if by_name || self.upgrade(now).is_none() {
            return self.say(None, now);
        }
        self.usable()?.remove(self.file("pause"))
    }

    /// Ends all that was said before `then`.
    ///
    /// # Errors
    /// It could not be written.
    pub fn end_holds_before(&self, then: Time) -> io::Result<()> {
        if self.pause().ok().flatten().is_some_and(|pause| pause.paused && pause.said_ms >= then) {
            return Ok(());
        }
        self.say(None, then)
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::name::name;
    /// How long it is held, or when somebody said `resume`.
    fn leave(files: &Files, now: Time) -> Leave {
        match Held::longest(&files.holds(now)) {
            Some(held) => Leave::Paused(held.until),
            None => Leave::Given(files.resumed(now)),
        }
    }

    #[derive(Debug, PartialEq, Eq)]
    enum Leave {
        Given(Option<Time>),
        Paused(Option<Time>),
    }

    fn pause(until: Option<Time>) -> Held {
        Held::new(Hold::Paused, until)
    }

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
        assert_eq!(leave(&this, at(1)), Leave::Given(None));
        this.say(Some(&pause(None)), at(1)).unwrap();
        assert_eq!(leave(&this, at(1_000_000)), Leave::Paused(None));
        assert_eq!(leave(&files(folder.path(), "next"), at(1)), Leave::Given(None));
        this.say(Some(&pause(Some(at(5)))), at(2)).unwrap();
        assert_eq!(leave(&this, at(4)), Leave::Paused(Some(at(5))));
        assert_eq!(leave(&this, at(5)), Leave::Given(None));
        this.say(None, at(6)).unwrap();
        assert_eq!(leave(&this, at(7)), Leave::Given(Some(at(6))));
        std::fs::write(folder.path().join("x.pause"), "half of it").unwrap();
        assert_eq!(leave(&this, at(7)), Leave::Paused(None));
    }

    #[test]
    fn an_upgrade_pauses_beside_what_people_say() {
        let folder = tempfile::tempdir().unwrap();
        let at = Duration::from_secs;
        let (this, folder) = (files(folder.path(), "this"), folder.path());
        let given = Leave::Given;
        let paused = Leave::Paused;
        end_upgrade(folder).unwrap();
        begin_upgrade(folder, "this", at(50), at(10)).unwrap();
        assert_eq!(leave(&this, at(49)), paused(Some(at(50))));
        assert_eq!(leave(&this, at(50)), given(None), "its time is over");
        assert_eq!(leave(&files(folder, "next"), at(11)), given(None), "a boot");
        assert_eq!(names(folder), [], "it is no instance");
        // The later end counts, and an end of the upgrade does not end what somebody said.
        for (said, both) in [(Some(at(20)), Some(at(50))), (Some(at(90)), Some(at(90))), (None, None)] {
            this.say(Some(&pause(said)), at(11)).unwrap();
            assert_eq!(leave(&this, at(12)), paused(both));
        }
        end_upgrade(folder).unwrap();
        assert_eq!(leave(&this, at(12)), paused(None));
        // "resume" before an upgrade does not end it, one during it does.
        this.say(None, at(13)).unwrap();
        begin_upgrade(folder, "this", at(50), at(14)).unwrap();
        assert_eq!(leave(&this, at(15)), paused(Some(at(50))));
        this.say(None, at(16)).unwrap();
        assert_eq!(leave(&this, at(17)), given(Some(at(16))));
        std::fs::remove_file(folder.join("x.pause")).unwrap();
        std::fs::write(folder.join(UPGRADE), "half of it").unwrap();
        assert_eq!(leave(&this, at(17)), given(None), "nobody would end it");
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
        this.say(Some(&Held::new(Hold::Stopped, None)), at(1)).unwrap();
        assert_eq!((names(&this), names(&files(folder, "next"))), (vec!["stopped"], vec![]));
        assert_eq!(leave(&this, at(2)), Leave::Paused(None), "as other versions see it");
        begin_upgrade(folder, "this", at(2_000_000), at(3)).unwrap();
        assert_eq!(names(&this), ["stopped", "upgrading"]);
        // Of an upgrade that is not meant by name only what people said is ended.
        this.end_holds(false, at(4)).unwrap();
        assert_eq!(names(&this), ["upgrading"]);
        this.say(Some(&pause(None)), at(5)).unwrap();
        assert_eq!(names(&this), ["paused", "upgrading"]);
        this.end_holds(true, at(6)).unwrap();
        assert_eq!((names(&this), leave(&this, at(7))), (vec![], Leave::Given(Some(at(6)))));
        end_upgrade(folder).unwrap();
        this.end_holds(false, at(8)).unwrap();
        assert_eq!(leave(&this, at(9)), Leave::Given(Some(at(8))));
    }

    #[test]
    fn a_new_container_is_not_held_by_what_was_said_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let at = Duration::from_secs;
        let (this, folder) = (files(folder.path(), "this"), folder.path());
        let names = || this.holds(at(100)).iter().map(|held| held.hold.name()).collect::<Vec<_>>();
        for hold in [Hold::Stopped, Hold::Paused] {
            let held = Held::new(hold, None);
            this.say(Some(&held), at(5)).unwrap();
            begin_upgrade(folder, "this", at(1000), at(6)).unwrap();
            this.end_holds_before(at(7)).unwrap();
            assert_eq!(names(), [""; 0]);
            begin_upgrade(folder, "this", at(1000), at(8)).unwrap();
            assert_eq!(names(), ["upgrading"], "this one began later");
            this.say(Some(&held), at(9)).unwrap();
            this.end_holds_before(at(7)).unwrap();
            assert_eq!(names(), [hold.name(), "upgrading"]);
        }
    }

    #[test]
    fn of_what_was_said_in_two_folders_the_newer_counts() {
        let (folder, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = Duration::from_secs;
        let before = files(old.path(), "this");
        let this = files(folder.path(), "this").after(Some(old.path().into()));
        before.say(Some(&pause(None)), at(5)).unwrap();
        assert_eq!(leave(&this, at(9)), Leave::Paused(None));
        for (said, resumed) in [(6, Some(at(6))), (4, None)] {
            this.say(None, at(said)).unwrap();
            let expected = resumed.map_or(Leave::Paused(None), |_| Leave::Given(resumed));
            assert_eq!(leave(&this, at(9)), expected, "said at {said}");
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
