//! The processes that descend from another, to be ended with it.

use std::collections::HashMap;

use crate::process::ProcessId;
use crate::process::scan::Proc;
use crate::sys::Pid;

impl Proc {
    /// All that descend from `ancestor` now: its children, theirs, and so on. Neither this watchdog is among
    /// them, nor what started it, nor what it has started by itself, in the sessions of its `tasks`.
    pub fn descendants(&self, ancestor: Pid, tasks: &[Pid]) -> Vec<ProcessId> {
        let lineage = self.lineage();
        let is_spared = |pid: Pid, session: Pid| {
            pid == self.own_pid() || lineage.contains(&pid) || tasks.contains(&session)
        };
        let mut children: HashMap<Pid, Vec<ProcessId>> = HashMap::new();
        for pid in self.pids().unwrap_or_default() {
            match self.stat(pid, |stat| (stat.ppid, stat.session, stat.id(pid))) {
                Ok((parent, session, id)) if !is_spared(pid, session) => {
                    children.entry(parent).or_default().push(id);
                }
                Ok(_) | Err(_) => {}
            }
        }
        let mut found = children.remove(&ancestor).unwrap_or_default();
        let mut next = 0;
        while let Some(id) = found.get(next) {
            next += 1;
            if let Some(more) = children.remove(&id.pid) {
                found.extend(more);
            }
        }
        found
    }
}
