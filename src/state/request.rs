//! A request: what somebody asks of a watchdog, and what that answers.
//!
//! It is a file, `NAME.request` in the state folder, of a line of JSON for each step: it is made, by whoever asks and
//! holds a lock on it for as long as the answer is wanted; it is taken, by the watchdog; and it is answered. A newer
//! request is another file in its place, and each side goes on with the file that it has open.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, fchown};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::fs::Placed;
use crate::policy::{Answer, Request};
use crate::state::{Files, VERSION};
use crate::time::millis;

/// More than all its lines.
const LARGEST: usize = 16 * 1024;
/// How much of an explanation is passed on.
const LONGEST_DETAIL: usize = 2000;

/// The first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    version: u32,
    request: Request,
}

/// The second line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct TakenLine {
    #[serde(rename = "within_ms", with = "millis")]
    within: Duration,
}

/// What is answered: the third line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// In a word.
    pub answer: Answer,
    /// What there is to say besides: what holds it, what it waits for, what to type.
    pub detail: Option<String>,
}

/// How far a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nobody has taken it.
    Made,
    /// A watchdog has, and answers within this time.
    Taken(Duration),
    /// This is the answer.
    Answered(Reply),
}

/// A request that somebody has made. It is void once this is gone.
#[derive(Debug)]
pub struct MadeRequest(Placed);

/// A request that this watchdog has taken, and is to answer.
#[derive(Debug)]
pub struct TakenRequest {
    /// What is asked for.
    pub request: Request,
    file: File,
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Reply { answer, detail: None }
    }
}

impl Files {
    /// Makes a request, in place of an older one.
    ///
    /// # Errors
    /// It could not be written.
    pub fn ask(&self, request: Request) -> io::Result<MadeRequest> {
        let dir = self.usable()?;
        let (name, new) = (self.file("request"), self.file(&format!("request.{}.new", std::process::id())));
        // What one that was cut off left there, or what somebody put there.
        let _ = dir.remove(&new);
        // Mode 0600: whoever can open it can lock it, and answer.
        let file = dir.new_file(&new, OFlags::RDWR | OFlags::APPEND, 0o600)?;
        let make = || -> io::Result<()> {
            add(&file, &Asked { version: VERSION, request })?;
            // Before anybody can find it: without the lock it is void.
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            let owner = self.owner();
            if let Some(user) = owner.filter(|user| *user != 0 && rustix::process::geteuid().is_root()) {
                fchown(&file, Some(user), None)?;
            }
            dir.rename(&new, &name)
        };
        make().inspect_err(|_| {
            let _ = dir.remove(&new);
        })?;
        Ok(MadeRequest(Placed { file, dir, name }))
    }

    /// Takes the newest request, if there is one that nobody has taken and somebody waits for. It is answered
    /// `within` this time.
    pub fn take_request(&self, within: Duration) -> Option<TakenRequest> {
        let taken = self.pending_request()?;
        add(&taken.file, &TakenLine { within }).ok()?;
        Some(taken)
    }

    /// Whether somebody waits for a request to be taken.
    pub fn has_request(&self) -> bool {
        self.pending_request().is_some()
    }

    fn pending_request(&self) -> Option<TakenRequest> {
        let dir = self.dir().ok()?;
        let file = dir.open_file(self.file("request"), OFlags::RDWR | OFlags::APPEND).ok()?;
        // Others could have put it there.
        let owner = file.metadata().ok()?.uid();
        let text = read(&file).filter(|_| owner == 0 || owner == rustix::process::geteuid().as_raw())?;
        let (line, rest) = text.split_once('\n')?;
        let asked: Asked = serde_json::from_str(line).ok()?;
        let taken = TakenRequest { request: asked.request, file };
        (asked.version == VERSION && rest.is_empty() && taken.is_wanted()).then_some(taken)
    }
}

impl MadeRequest {
    /// How far it is.
    pub fn progress(&self) -> Progress {
        let text = read(&self.0.file).unwrap_or_default();
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).skip(1);
        let taken = lines.next().and_then(|line| serde_json::from_str::<TakenLine>(line).ok());
        let reply = lines.next().and_then(|line| serde_json::from_str::<Reply>(line).ok());
        match (taken, reply) {
            (_, Some(reply)) => Progress::Answered(reply),
            // If nothing is in its place, somebody has cleared the folder.
            _ if self.0.has_its_place() == Some(false) => Progress::Answered(Answer::Superseded.into()),
            (Some(TakenLine { within }), None) => Progress::Taken(within),
            (None, None) => Progress::Made,
        }
    }
}

impl TakenRequest {
    /// Whether whoever made it still waits.
    pub fn is_wanted(&self) -> bool {
        // A lock that could be had is ours now, and goes with the file.
        flock(&self.file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
    }

    /// Answers it.
    ///
    /// # Errors
    /// It could not be written; then whoever asked waits in vain, for the time that was said.
    pub fn answer(self, reply: &Reply) -> io::Result<()> {
        let detail = reply.detail.as_ref().map(|text| text.chars().take(LONGEST_DETAIL).collect());
        add(&self.file, &Reply { answer: reply.answer, detail })
    }
}

/// Adds a line, in one piece.
fn add(mut file: &File, line: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    file.write_all(&line)
}

fn read(file: &File) -> Option<String> {
    let mut bytes = vec![0; LARGEST];
    let length = file.read_at(&mut bytes, 0).ok()?;
    bytes.truncate(length);
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::NotDone;
    use crate::settings::name::name;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    const WITHIN: Duration = Duration::from_secs(7);

    fn files(folder: &Path) -> Files {
        Files::new(folder, &name("x").unwrap(), "this")
    }

    #[test]
    fn a_request_is_taken_once_and_answered() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        assert!(files.take_request(WITHIN).is_none(), "there is none");
        let made = files.ask(Request::Restart).unwrap();
        assert_eq!(made.progress(), Progress::Made);
        let taken = files.take_request(WITHIN).unwrap();
        assert_eq!((taken.request, taken.is_wanted()), (Request::Restart, true));
        assert_eq!(made.progress(), Progress::Taken(WITHIN));
        assert!(files.take_request(WITHIN).is_none(), "it is taken");
        let reply = Reply { answer: Answer::Failed(NotDone::Held), detail: Some("\u{e9}\n".repeat(2000)) };
        taken.answer(&reply).unwrap();
        let Progress::Answered(read) = made.progress() else { panic!("it is answered") };
        assert_eq!((read.answer, read.detail.unwrap().chars().count()), (reply.answer, LONGEST_DETAIL));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn the_newest_counts_and_the_older_hears_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let older = files.ask(Request::Restart).unwrap();
        let taken = files.take_request(WITHIN).unwrap();
        let newer = files.ask(Request::Stop).unwrap();
        let superseded = Progress::Answered(Answer::Superseded.into());
        assert_eq!((older.progress(), newer.progress()), (superseded, Progress::Made));
        let next = files.take_request(WITHIN).unwrap();
        assert_eq!(next.request, Request::Stop);
        // What was answered counts, though another came.
        taken.answer(&Answer::Done.into()).unwrap();
        next.answer(&Answer::Superseded.into()).unwrap();
        assert_eq!(older.progress(), Progress::Answered(Answer::Done.into()));
        assert_eq!(newer.progress(), Progress::Answered(Answer::Superseded.into()));
    }

    #[test]
    fn nobody_waits_for_a_request_whose_maker_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        drop(files.ask(Request::Stop).unwrap());
        assert!(files.take_request(WITHIN).is_none());
        let made = files.ask(Request::Stop).unwrap();
        let taken = files.take_request(WITHIN).unwrap();
        drop(made);
        assert!(!taken.is_wanted());
        taken.answer(&Answer::Done.into()).unwrap();
    }

    #[test]
    fn what_is_no_request_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let path = folder.path().join("x.request");
        let good = "{\"version\":1,\"request\":\"stop\"}\n";
        for text in
            ["", "\n", "{}\n", "null\n", good.trim_end(), &good.replace('1', "2"), &good.replace("stop", "x")]
        {
            std::fs::write(&path, text).unwrap();
            let held = File::open(&path).unwrap();
            flock(&held, FlockOperation::LockExclusive).unwrap();
            assert!(files.take_request(WITHIN).is_none(), "{text:?}");
        }
        std::fs::write(&path, good).unwrap();
        let held = File::open(&path).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
            assert!(files.take_request(WITHIN).is_none(), "somebody else's");
            std::os::unix::fs::chown(&path, Some(0), None).unwrap();
        }
        assert_eq!(files.take_request(WITHIN).unwrap().request, Request::Stop);
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(files.take_request(WITHIN).is_none(), "a pipe blocks nobody");
    }

    #[test]
    fn a_request_that_cannot_be_made_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        std::fs::create_dir(folder.path().join("x.request")).unwrap();
        assert!(files.ask(Request::Stop).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        if !rustix::process::geteuid().is_root() {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
            assert_eq!(files.ask(Request::Stop).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn what_root_asks_of_a_users_watchdog_is_that_users_to_answer() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        std::fs::write(folder.path().join("x.json"), "").unwrap();
        std::os::unix::fs::chown(folder.path().join("x.json"), Some(65534), None).unwrap();
        let _made = files.ask(Request::Stop).unwrap();
        assert_eq!(folder.path().join("x.request").metadata().unwrap().uid(), 65534);
    }
}
