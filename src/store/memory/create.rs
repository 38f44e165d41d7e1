//! Writing new tasks.

use jiff::Timestamp;

use super::flaw::Flaw;
use super::ground::{Ground, Row};
use super::journal::{By, Written};
use crate::store::{Created, Fence, Key};
use crate::task::{Owner, Phase, TaskId, TaskSpec, TaskState};

impl Ground {
    /// Whether it was written: an id that is there is not written again.
    pub(super) fn create(&mut self, owner: &Owner, id: &TaskId, created: Timestamp, spec: TaskSpec) -> bool {
        if self.flaw == Some(Flaw::ForgetsCreations) && id.as_str().ends_with('3') {
            return true;
        }
        if self.tasks.contains_key(id) {
            return false;
        }
        let state = TaskState::new();
        let row = Row {
            owner: owner.clone(),
            created,
            spec,
            state: state.clone(),
            fence: Fence(0),
            holder: None,
            backend: None,
            until: Timestamp::UNIX_EPOCH,
            cpu_milli: 0,
            ram_bytes: 0,
            events: Vec::new(),
        };
        self.tasks.insert(id.clone(), row);
        self.tell(owner, id, None, Phase::Queued, created);
        self.journal.push(Written {
            task: id.clone(),
            by: By::Creation,
            before: None,
            after: state,
            under: None,
            fence: Fence(0),
            at: created,
        });
        true
    }

    pub(super) fn create_once(
        &mut self,
        owner: &Owner,
        key: &Key,
        id: &TaskId,
        created: Timestamp,
        spec: TaskSpec,
    ) -> Created {
        let name = (owner.clone(), key.as_str().to_owned());
        if let Some(known) = self.keys.get(&name) {
            let same = self.tasks.get(known).is_some_and(|row| row.spec == spec);
            return if same { Created::Known(known.clone()) } else { Created::Differs };
        }
        self.create(owner, id, created, spec);
        self.keys.insert(name, id.clone());
        Created::New
    }
}
