//! What the engine reads: who waits, who is outside, what is left behind.

use std::ops::Bound;

use jiff::Timestamp;

use super::flaw::Flaw;
use super::ground::{Ground, Row, Stage};
use crate::store::{Active, Candidate, OwnQueueing, QueueCursor, Queueing, Standing};
use crate::task::{Owner, TaskId, TaskState};

/// Where a walk begins.
fn from(after: Option<&TaskId>) -> (Bound<&TaskId>, Bound<&TaskId>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

fn wanted(row: &Row) -> Option<&str> {
    row.spec.parameter("backend")
}

impl Ground {
    pub(super) fn queued(&self, now: Timestamp, after: Option<&QueueCursor>, limit: u32) -> Vec<Candidate> {
        let rows = self.tasks.range::<TaskId, _>(from(after.map(|cursor| &cursor.0)));
        let waiting = rows.filter_map(|(id, row)| {
            let TaskState::Queued { attempt, claimed, not_before, .. } = &row.state else { return None };
            let hides = self.flaw == Some(Flaw::HidesExpiredClaims);
            let is_due = not_before.is_none_or(|at| at <= now) && (!claimed || row.until <= now && !hides);
            let forgets = self.flaw == Some(Flaw::ForgetsWhereItWasClaimed);
            is_due.then(|| Candidate {
                task: id.clone(),
                attempt: *attempt,
                fence: row.fence,
                backend: wanted(row).map(str::to_owned),
                claimed_on: row.backend.clone().filter(|_| *claimed && !forgets),
                cpu_milli: row.spec.cpu_milli(),
                ram_bytes: row.spec.ram_bytes(),
            })
        });
        waiting.take(limit as usize).collect()
    }

    pub(super) fn queueing(&self, owner: &Owner, after: Option<&TaskId>, limit: u32) -> Vec<Queueing> {
        let rows = self.tasks.range::<TaskId, _>(from(after));
        let queue = rows.filter(|(_, row)| matches!(row.stage(), Stage::Waiting | Stage::Claimed));
        let told = queue.map(|(id, row)| Queueing {
            task: id.clone(),
            wanted: wanted(row).map(str::to_owned),
            claimed_on: row.backend.clone(),
            own: (row.owner == *owner).then(|| OwnQueueing {
                name: row.spec.name.clone(),
                created: row.created,
                state: row.state.clone(),
                cpu_milli: row.spec.cpu_milli(),
                ram_bytes: row.spec.ram_bytes(),
            }),
        });
        told.take(limit as usize).collect()
    }

    pub(super) fn ahead(&self, tasks: &[TaskId], backend: &str, takes_unnamed: bool) -> Vec<u64> {
        let counts =
            |row: &Row| row.stage() == Stage::Waiting && wanted(row).map_or(takes_unnamed, |wanted| wanted == backend);
        let before = |task: &TaskId| self.tasks.range(..task).filter(|(_, row)| counts(row)).count();
        tasks.iter().map(|task| before(task) as u64).collect()
    }

    pub(super) fn active(&self, after: Option<&TaskId>, limit: u32, only_canceling: bool) -> Vec<Active> {
        let rows = self.tasks.range::<TaskId, _>(from(after));
        let outside = rows.filter(|(_, row)| match row.stage() {
            Stage::Claimed | Stage::Outside => !only_canceling,
            Stage::Canceling => true,
            Stage::Waiting | Stage::Ended => false,
        });
        outside.map(|(id, row)| row.active(id)).take(limit as usize).collect()
    }

    pub(super) fn standings(&self, ids: &[TaskId]) -> Vec<Standing> {
        let one = |id: &TaskId| match self.tasks.get(id) {
            Some(row) if self.flaw == Some(Flaw::ForgetsWhatIsLeft) && row.stage() == Stage::Ended => {
                Standing::Unreadable
            }
            Some(row) => Standing::At(row.active(id)),
            None => Standing::Unknown,
        };
        ids.iter().map(one).collect()
    }
}
