//! Who is here, and who does what.

use jiff::Timestamp;

use super::ground::{Ground, Row, Stage};
use super::journal::{By, Written};
use crate::store::{Active, Enlisted, FORGOTTEN_AFTER, Fence, Holder, Present, Replica};
use crate::task::TaskId;

impl Ground {
    pub(super) fn enlist(&mut self, me: &Replica, now: Timestamp, until: Timestamp) -> Enlisted {
        if let Some(other) = self.replicas.get(&me.name).filter(|other| other.replica.holder != me.holder) {
            // Of two runs on one seat the later one holds the folder: ids of runs rise with time.
            let same_seat = other.replica.seat == me.seat;
            let is_theirs = if same_seat { other.replica.holder.0 > me.holder.0 } else { other.until > now };
            if is_theirs {
                return Enlisted::Taken(other.clone());
            }
            if same_seat {
                // Former runs on the seat are dead: what they claimed is theirs no longer.
                let is_former = |holder: &Holder| holder.replica() == me.name && holder.0 < me.holder.0;
                let is_theirs =
                    |row: &Row| row.holder.as_ref().is_some_and(is_former) && !matches!(row.stage(), Stage::Ended);
                for (task, row) in self.tasks.iter_mut().filter(|(_, row)| is_theirs(row)) {
                    row.until = Timestamp::UNIX_EPOCH;
                    self.journal.push(Written {
                        task: task.clone(),
                        by: By::Release,
                        before: Some(row.state.clone()),
                        after: row.state.clone(),
                        under: None,
                        fence: row.fence,
                        at: now,
                    });
                }
            }
        }
        self.replicas.insert(me.name.clone(), Present { replica: me.clone(), until });
        let long_ago = now.checked_sub(FORGOTTEN_AFTER).unwrap_or(Timestamp::MIN);
        self.replicas.retain(|name, one| one.until >= long_ago || *name == me.name);
        Enlisted::Here(self.replicas.values().cloned().collect())
    }

    pub(super) fn leave(&mut self, me: &Holder, now: Timestamp) {
        for one in self.replicas.values_mut().filter(|one| one.replica.holder == *me) {
            one.until = one.until.min(now);
        }
    }

    /// Takes tasks that are as they were said to be.
    pub(super) fn take_over(&mut self, me: &Holder, tasks: &[(TaskId, Fence)]) -> Vec<Active> {
        let mut taken = Vec::new();
        for (task, fence) in tasks {
            let Some(row) = self.tasks.get_mut(task) else { continue };
            if row.fence != *fence || !matches!(row.stage(), Stage::Outside | Stage::Canceling) {
                continue;
            }
            row.fence = Fence(fence.0 + 1);
            row.holder = Some(me.clone());
            taken.push(row.active(task));
            let written = Written {
                task: task.clone(),
                by: By::TakeOver(me.clone()),
                before: Some(row.state.clone()),
                after: row.state.clone(),
                under: None,
                fence: row.fence,
                at: row.until,
            };
            self.journal.push(written);
        }
        taken
    }

    pub(super) fn lease(&mut self, what: &str, holder: &Holder, now: Timestamp, until: Timestamp) -> bool {
        if self.leases.get(what).is_some_and(|(other, lasts)| other != holder && *lasts > now) {
            return false;
        }
        self.leases.insert(what.to_owned(), (holder.clone(), until));
        true
    }
}
