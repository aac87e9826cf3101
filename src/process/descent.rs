//! What comes from another process: from a start command, by its session, its process group, or the children that were
//! seen of it; and what descends from a process that is to be ended.

use std::collections::HashMap;

use crate::process::criteria::Mismatch;
use crate::process::near::By;
use crate::process::scan::{Candidate, Proc, SHELLS};
use crate::process::stat::tick;
use crate::process::termination::Predecessor;
use crate::process::{ProcessId, open_entry};
use crate::settings::Criteria;
use crate::sys::Pid;

/// So many are kept in mind.
const MOST_MEMBERS: usize = 1000;
/// Of so many threads of a process the children are asked for.
const MOST_THREADS: usize = 64;
/// No process tree is so deep; parents may change while they are looked at.
const DEEPEST: usize = 100;

/// A start command and what was seen to come from it.
#[derive(Debug, Clone)]
pub struct Descent {
    leader: ProcessId,
    members: Vec<ProcessId>,
}

/// What is looked at of each process.
struct Kin {
    id: ProcessId,
    parent: Pid,
    session: Pid,
    group: Pid,
    is_shell: bool,
}

impl Descent {
    /// Of a start command, whose process began its session.
    pub fn new(leader: ProcessId) -> Self {
        Descent { leader, members: vec![leader] }
    }

    /// Whether this is what was meant, and called otherwise: it is near, and neither the command itself nor a shell,
    /// unless by its script. While the command runs, its scripts are a part of it.
    pub fn has_meant(&self, left: &Candidate, command_runs: bool) -> bool {
        let Candidate { process, mismatch, near, .. } = left;
        let is_near = match mismatch {
            Some(Mismatch::NameDiffers) => near.is_some_and(|by| by <= By::Script),
            // Its number may be written later, or elsewhere.
            mismatch => *mismatch == Some(Mismatch::NotInPidFile),
        };
        let is_only_a_shell =
            SHELLS.contains(&&process.comm[..]) && (command_runs || *near != Some(By::Script));
        is_near && process.pid != self.leader.pid && !is_only_a_shell
    }

    /// Keeps in mind the children that there are now: they may lose their parents.
    pub fn note(&mut self, proc: &Proc) {
        let mut place = 0;
        while let Some(id) = self.members.get(place).copied() {
            place += 1;
            if self.members.len() >= MOST_MEMBERS || !proc.is_alive(id) {
                continue;
            }
            let children = proc.children(id.pid);
            let new = children.into_iter().filter_map(|pid| proc.id(pid));
            let new: Vec<_> = new.filter(|new| !self.members.contains(new)).collect();
            self.members.extend(new);
        }
    }

    fn has(&self, kin: &Kin, all: &HashMap<Pid, Kin>) -> bool {
        let is_of_it = |kin: &Kin| {
            kin.session == self.leader.pid
                || kin.group == self.leader.pid
                || self.members.iter().any(|member| member.is_same(kin.id))
        };
        let line = std::iter::successors(Some(kin), |kin| all.get(&kin.parent));
        kin.id.started + tick() >= self.leader.started && line.take(DEEPEST).any(is_of_it)
    }
}

impl Proc {
    /// What of a start command is still there, the first first, with what is near of it and how it would count.
    pub fn left_running(&self, descent: &Descent, criteria: &Criteria) -> Vec<Candidate> {
        let all: HashMap<_, _> = self.others().map(|kin| (kin.id.pid, kin)).collect();
        // A shell that leads the session only runs the start command.
        let may_be_meant = |kin: &Kin| !kin.is_shell || kin.id.pid != descent.leader.pid;
        let left = all.values().filter(|kin| may_be_meant(kin) && descent.has(kin, &all));
        self.name(left.map(|kin| kin.id.pid), criteria)
    }

    /// What is left in the session of a process that is gone: its children perhaps, which keep its port. Not where
    /// whoever started this watchdog works.
    pub fn left_in_session(&self, of: &Predecessor, criteria: &Criteria) -> Vec<Candidate> {
        let session_of = |pid: Pid| self.stat(pid, |stat| stat.session).ok();
        let mut ours = self.lineage().into_iter().chain([self.me]).filter_map(session_of);
        if of.session == 0 || ours.any(|session| session == of.session) {
            return Vec::new();
        }
        let is_left = |kin: &Kin| kin.session == of.session && kin.id.started <= of.since + tick();
        self.name(self.others().filter(is_left).map(|kin| kin.id.pid), criteria)
    }

    /// A closer look at each of these, the first first.
    fn name(&self, pids: impl Iterator<Item = Pid>, criteria: &Criteria) -> Vec<Candidate> {
        let (mut left, _) = self.near(pids, criteria, Some(By::Nothing));
        left.sort_by_key(|candidate| candidate.process.started);
        left
    }

    /// All that descend from `ancestor` now: its children, theirs, and so on. Neither this watchdog is among
    /// them, nor what started it, nor what it has started by itself, in the sessions of its `tasks`.
    pub fn descendants(&self, ancestor: Pid, tasks: &[Pid]) -> Vec<ProcessId> {
        let spared = self.lineage();
        let is_spared = |kin: &Kin| spared.contains(&kin.id.pid) || tasks.contains(&kin.session);
        let mut left: Vec<_> = self.others().filter(|kin| !is_spared(kin)).collect();
        let (mut found, mut parents) = (Vec::new(), vec![ancestor]);
        while !parents.is_empty() {
            let (children, others): (Vec<_>, _) =
                left.into_iter().partition(|kin| parents.contains(&kin.parent));
            parents = children.iter().map(|kin| kin.id.pid).collect();
            found.extend(children.into_iter().map(|kin| kin.id));
            left = others;
        }
        found
    }

    /// All that live, but this process and what is the kernel's.
    fn others(&self) -> impl Iterator<Item = Kin> {
        let kin = |pid| {
            let kin = self.stat(pid, |stat| {
                let (id, parent, session, group) = (stat.id(pid), stat.ppid, stat.session, stat.group);
                let is_shell = SHELLS.contains(&stat.comm);
                let is_other = pid != self.me && !stat.is_dead() && !stat.is_kernel_thread();
                is_other.then_some(Kin { id, parent, session, group, is_shell })
            });
            kin.ok().flatten()
        };
        self.pids().unwrap_or_default().into_iter().filter_map(kin)
    }

    /// The children of a process, where the kernel shows them (`CONFIG_PROC_CHILDREN`).
    fn children(&self, pid: Pid) -> Vec<Pid> {
        let threads = open_entry(self.root(), pid).ok().and_then(|entry| entry.tasks().ok());
        let threads = threads.into_iter().flatten().flatten().take(MOST_THREADS);
        let children = threads.flat_map(|thread| thread.children().unwrap_or_default());
        children.filter_map(|pid| pid.try_into().ok()).collect()
    }
}
