//! The unit that the watch runs in: what there is to warn of, said when it is known.

use crate::report::event::Lasting;
use crate::report::log_lines::Worth;
use crate::state::said::Notice;
use crate::supervise::Supervisor;
use crate::time::now;

impl Supervisor {
    /// A `--once` run has started the process: whether it outlives the run is a question to be asked, but
    /// for those who have been told.
    pub(super) fn ask_what_becomes_of_it(&mut self) {
        let parts = &mut self.parts;
        let is_to_be_asked =
            parts.settings.limits.once && parts.record.state.said.last(Notice::Unit).is_none();
        if let Some(followed) = self.followed.as_ref().filter(|_| is_to_be_asked) {
            let name = parts.settings.name.to_string();
            parts.unit.ask_about(parts.proc.root(), followed.info(), &name, now());
        }
    }

    /// Says what is known by now.
    pub(super) fn doubt_unit(&mut self) {
        if let Some(doubt) = self.parts.unit.doubt(now()) {
            self.parts.emit(Lasting::Doubt(Notice::Unit, &doubt));
            self.parts.report.flush(Worth::All);
        }
    }

    /// The last time to say it, and worth a moment.
    pub(super) fn wait_for_doubt(&mut self) {
        if let Some(deadline) = self.parts.unit.question().and_then(|task| task.deadline()) {
            self.wait_for(deadline, |watch| {
                watch.doubt_unit();
                watch.parts.unit.question().is_none()
            });
        }
    }
}
