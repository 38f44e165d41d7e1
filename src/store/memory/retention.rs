//! The end of tasks that are kept no longer.

use std::ops::Bound;

use super::ground::{Ground, Row, Stage};
use crate::store::{Expired, Expiry};
use crate::task::{Owner, TaskId};

impl Ground {
    pub(super) fn owners(&self, after: Option<&Owner>, limit: u32) -> Vec<Owner> {
        let mut owners: Vec<Owner> = self.tasks.values().map(|row| row.owner.clone()).collect();
        owners.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        owners.dedup();
        owners.retain(|owner| after.is_none_or(|after| owner.0 > after.0));
        owners.truncate(limit as usize);
        owners
    }

    pub(super) fn beyond(&self, owner: &Owner, keep: u64) -> Option<TaskId> {
        let ended = self.tasks.iter().rev().filter(|(_, row)| row.owner == *owner && row.stage() == Stage::Ended);
        ended.map(|(id, _)| id.clone()).nth(usize::try_from(keep).unwrap_or(usize::MAX))
    }

    pub(super) fn expire(&mut self, owner: &Owner, expiry: &Expiry, after: Option<&TaskId>, at_once: u32) -> Expired {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let theirs = self.tasks.range::<TaskId, _>((after, Bound::Unbounded)).filter(|(_, row)| row.owner == *owner);
        let mut to_go = theirs.filter(|(id, row)| self.is_to_go(id, row, expiry)).map(|(id, _)| id.clone());
        let removed: Vec<TaskId> = to_go.by_ref().take(at_once.max(1) as usize).collect();
        let next = removed.last().filter(|_| to_go.next().is_some()).cloned();
        drop(to_go);
        for id in &removed {
            self.tasks.remove(id);
            self.keys.retain(|_, task| task != id);
        }
        Expired { removed, next }
    }

    fn is_to_go(&self, id: &TaskId, row: &Row, expiry: &Expiry) -> bool {
        let ended = row.events.last().map_or(row.created, |(at, _)| *at);
        let is_old = expiry.ended_before.is_some_and(|before| ended < before);
        let is_too_many =
            expiry.surplus.as_ref().is_some_and(|surplus| *id <= surplus.newest && ended < surplus.ended_before);
        row.stage() == Stage::Ended && (is_old || is_too_many) && !self.leftovers.keys().any(|(task, ..)| task == id)
    }
}
