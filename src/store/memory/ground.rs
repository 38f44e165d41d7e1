//! What is stored.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::flaw::Flaw;
use super::journal::Written;
use crate::store::{Active, Change, ChangeId, Claim, Fence, Holder, Kept, Leftover, Present};
use crate::task::history::attempts;
use crate::task::{Event, JobRef, Owner, Phase, Task, TaskId, TaskSpec, TaskState};

/// All of it, behind one lock: each verb acts at one moment.
#[derive(Debug, Default)]
pub struct Ground {
    pub(super) tasks: BTreeMap<TaskId, Row>,
    pub(super) keys: HashMap<(Owner, String), TaskId>,
    pub(super) changes: BTreeMap<u64, Change>,
    pub(super) last_change: u64,
    pub(super) leftovers: BTreeMap<(TaskId, String, String), Option<Holder>>,
    pub(super) told: HashMap<String, ChangeId>,
    pub(super) replicas: BTreeMap<String, Present>,
    pub(super) leases: HashMap<String, (Holder, Timestamp)>,
    pub(super) flaw: Option<Flaw>,
    /// What was written, in its order.
    pub journal: Vec<Written>,
}

/// A task.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) owner: Owner,
    pub(super) created: Timestamp,
    pub(super) spec: TaskSpec,
    pub(super) state: TaskState,
    pub(super) fence: Fence,
    pub(super) holder: Option<Holder>,
    /// Where it was claimed for last; `None` while it waits unclaimed.
    pub(super) backend: Option<String>,
    pub(super) until: Timestamp,
    pub(super) cpu_milli: u64,
    pub(super) ram_bytes: u64,
    pub(super) events: Vec<(Timestamp, Event)>,
}

/// What of a state decides who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Waiting,
    Claimed,
    Outside,
    Canceling,
    Ended,
}

impl Row {
    pub(super) fn stage(&self) -> Stage {
        match &self.state {
            TaskState::Queued { claimed: false, .. } => Stage::Waiting,
            TaskState::Queued { claimed: true, .. } => Stage::Claimed,
            TaskState::Initializing { .. }
            | TaskState::Running { .. }
            | TaskState::Paused { .. }
            | TaskState::Preempted { .. } => Stage::Outside,
            TaskState::Canceling { .. } => Stage::Canceling,
            TaskState::Complete | TaskState::ExecutorError | TaskState::SystemError | TaskState::Canceled => {
                Stage::Ended
            }
        }
    }

    pub(super) fn active(&self, task: &TaskId) -> Active {
        let backend = self.backend.clone().filter(|_| self.stage() != Stage::Ended);
        let claim = backend.map(|backend| Claim {
            fence: self.fence,
            holder: self.holder.clone().unwrap_or_else(|| Holder(String::new())),
            backend,
            until: self.until,
        });
        Active { task: task.clone(), state: self.state.clone(), claim }
    }

    pub(super) fn task(&self, id: &TaskId) -> Task {
        Task {
            id: id.clone(),
            owner: self.owner.clone(),
            created: self.created,
            spec: self.spec.clone(),
            state: self.state.clone(),
            attempts: attempts(self.events.iter().map(|(at, event)| (*at, event))),
        }
    }
}

impl Ground {
    pub(super) fn row(&self, owner: &Owner, id: &TaskId) -> Option<&Row> {
        self.tasks.get(id).filter(|row| row.owner == *owner)
    }

    /// Remembers a change of what is shown, under the next number.
    pub(super) fn tell(&mut self, owner: &Owner, task: &TaskId, previous: Option<Phase>, phase: Phase, at: Timestamp) {
        if self.flaw != Some(Flaw::GivesANumberTwice) || !self.last_change.is_multiple_of(7) {
            self.last_change += 1;
        }
        let id = ChangeId(self.last_change);
        let change = Change { id, owner: owner.clone(), task: task.clone(), phase, previous, at };
        self.changes.insert(id.0, change);
    }

    pub(super) fn kept(&self) -> Kept {
        let end = |one: Option<(&u64, &Change)>| ChangeId(one.map_or(0, |(number, _)| *number));
        Kept { oldest: end(self.changes.first_key_value()), newest: end(self.changes.last_key_value()) }
    }

    /// Where every task stands, for those who watch.
    pub fn standing(&self) -> impl Iterator<Item = (&TaskId, &TaskState, Fence)> {
        self.tasks.iter().map(|(id, row)| (id, &row.state, row.fence))
    }

    /// What a task was asked to do.
    pub fn spec(&self, task: &TaskId) -> Option<&TaskSpec> {
        self.tasks.get(task).map(|row| &row.spec)
    }

    /// What happened to a task, as it would be told.
    pub fn events(&self, task: &TaskId) -> &[(Timestamp, Event)] {
        self.tasks.get(task).map_or(&[], |row| &row.events)
    }

    /// What is remembered of jobs that are over.
    pub fn leftovers(&self) -> impl Iterator<Item = Leftover> {
        self.leftovers.iter().map(|((task, backend, handle), holder)| Leftover {
            task: task.clone(),
            job: JobRef { backend: backend.clone(), handle: handle.clone() },
            holder: holder.clone(),
        })
    }

    /// The changes that are kept, in their order.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.values()
    }
}
