//! What people ask a watchdog at work for: `start`, `stop`, `restart`.

use std::time::Duration;

use crate::policy::{Answer, KILL_AFTER, NotDone, Seen};
use crate::probe::evidence;
use crate::process::cgroup::{ControlGroups, last_part};
use crate::process::handle::Handle;
use crate::report::event::WatchEvent;
use crate::report::words::held_until;
use crate::state::request::{Reply, TakenRequest};
use crate::supervise::Supervisor;

/// What whoever asks is told beyond what it may all take.
const MARGIN: Duration = Duration::from_secs(10);

/// The request that was taken, and the one before it as long as that has no answer.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pub(super) taken: Option<TakenRequest>,
    superseded: Option<TakenRequest>,
}

impl Supervisor {
    /// A request that has come since.
    pub(super) fn request(&mut self) -> Option<Seen> {
        let limits = &self.parts.settings.limits;
        let stage = limits.stage_length();
        let within =
            4 * stage + limits.start_timeout + limits.restart_wait_interval + 4 * KILL_AFTER + MARGIN;
        let taken = self.parts.record.files.take_request(within)?;
        let request = taken.request;
        self.requests.superseded = self.requests.taken.replace(taken);
        self.parts.emit(WatchEvent::Requested(request));
        Some(Seen::Request(request))
    }

    /// Answers.
    pub(super) fn answer(&mut self, answer: Answer) {
        let request = match answer {
            Answer::Superseded => self.requests.superseded.take(),
            Answer::Done | Answer::Failed(_) => self.requests.taken.take(),
        };
        let Some(request) = request else { return };
        // Whoever asked reads the state next.
        self.write_down();
        let detail = self.detail(answer);
        // Whoever is gone, or cannot be told, has the log.
        let _ = request.answer(&Reply { answer, detail });
    }

    /// What there is to say besides.
    fn detail(&self, answer: Answer) -> Option<String> {
        let Answer::Failed(why) = answer else { return None };
        let root = self.parts.proc.root();
        match why {
            NotDone::Held => {
                let first = self.holds.first()?;
                Some(format!("it is {}", held_until(first)))
            }
            NotDone::StillThere => {
                let process = self.followed.as_ref().map(Handle::info)?;
                Some(evidence::threads(root, process.pid))
            }
            NotDone::BackAgain => {
                let process = self.followed.as_ref().map(Handle::info)?;
                let groups = ControlGroups::of(root, process.pid);
                Some(format!("to stop it: systemctl stop {}", last_part(&groups.service()?)))
            }
            NotDone::NotStarted => {
                let row = self.facts.row.0.last();
                row.map(|(_, _, look)| look.clone())
            }
            NotDone::CannotStop | NotDone::CannotTell | NotDone::LeftNear | NotDone::TooLate => None,
        }
    }
}
