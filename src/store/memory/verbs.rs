//! The store's verbs, each a call.

use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tessera_contract::InstallationId;
use tokio::sync::watch;

use super::call::{Memory, Semantics};
use super::ground::Ground;
use super::listing::summary;
use super::mischief::Verb;
use crate::store::{
    Active, Calls, Candidate, Ceiling, ChangeId, Changes, ClaimRequest, Claimed, Created, Enlisted, Expired, Expiry,
    Fence, Holder, Kept, Key, Leftover, ListQuery, Load, Page, QueueCursor, QueuePiece, Record, Recorded, Replica,
    Standing, Store, StoreError, Summary,
};
use crate::task::{Owner, Phase, Task, TaskId, TaskSpec};

impl Memory {
    /// Tells other servers of work.
    fn call_others(&self, queued: bool, canceled: bool) {
        self.inner.calls.send_modify(|calls| {
            calls.queued += u64::from(queued);
            calls.canceled += u64::from(canceled);
        });
    }
}

#[async_trait]
impl Store for Memory {
    fn installation(&self) -> &InstallationId {
        &self.inner.installation
    }

    async fn create(&self, owner: &Owner, id: &TaskId, created: Timestamp, spec: TaskSpec) -> Result<(), StoreError> {
        let written = self.call(Verb::Create, |ground| ground.create(owner, id, created, spec), || None).await?;
        self.call_others(true, false);
        if written { Ok(()) } else { Err(StoreError::Corrupt(format!("there is a task `{id}` already"))) }
    }

    async fn create_once(
        &self,
        owner: &Owner,
        key: &Key,
        id: &TaskId,
        created: Timestamp,
        spec: TaskSpec,
    ) -> Result<Created, StoreError> {
        let act = |ground: &mut Ground| ground.create_once(owner, key, id, created, spec);
        let told = self.call(Verb::CreateOnce, act, || None).await?;
        self.call_others(told == Created::New, false);
        Ok(told)
    }

    async fn summary(&self, owner: &Owner, id: &TaskId) -> Result<Option<Summary>, StoreError> {
        self.call(Verb::Summary, |ground| ground.row(owner, id).map(|row| summary(id, row)), || None).await
    }

    async fn get(&self, owner: &Owner, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.call(Verb::Get, |ground| ground.row(owner, id).map(|row| row.task(id)), || None).await
    }

    async fn list_summaries(&self, owner: &Owner, query: &ListQuery) -> Result<Page<Summary>, StoreError> {
        self.call(Verb::ListSummaries, |ground| ground.list_summaries(owner, query), || None).await
    }

    async fn list(&self, owner: &Owner, query: &ListQuery) -> Result<Page<Task>, StoreError> {
        self.call(Verb::List, |ground| ground.list(owner, query), || None).await
    }

    async fn request_cancel(
        &self,
        owner: &Owner,
        id: &TaskId,
        at: Timestamp,
        shown: bool,
    ) -> Result<Option<Recorded>, StoreError> {
        let conflict = || Some(Some(Recorded::Conflict));
        let told = self.call(Verb::RequestCancel, |ground| ground.cancel(owner, id, at, shown), conflict).await?;
        self.call_others(false, matches!(told, Some(Recorded::Moved(_))));
        Ok(told)
    }

    async fn queueing(&self, owner: &Owner, after: Option<&TaskId>, limit: u32) -> Result<QueuePiece, StoreError> {
        let tasks = self.call(Verb::Queueing, |ground| ground.queueing(owner, after, limit), || None).await?;
        Ok(QueuePiece { tasks, took: Duration::ZERO })
    }

    async fn ahead(&self, tasks: &[TaskId], backend: &str, takes_unnamed: bool) -> Result<Vec<u64>, StoreError> {
        self.call(Verb::Ahead, |ground| ground.ahead(tasks, backend, takes_unnamed), || None).await
    }

    async fn queued(
        &self,
        now: Timestamp,
        after: Option<&QueueCursor>,
        limit: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        self.call(Verb::Queued, |ground| ground.queued(now, after, limit), || None).await
    }

    async fn claim(
        &self,
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
        ceiling: Ceiling,
        wanted: &[ClaimRequest],
    ) -> Result<Vec<Claimed>, StoreError> {
        let semantics = self.inner.semantics;
        let none = || Some(Vec::new());
        self.call(Verb::Claim, |ground| ground.claim(semantics, holder, (now, until), ceiling, wanted), none).await
    }

    async fn load(&self) -> Result<Vec<Load>, StoreError> {
        self.call(Verb::Load, |ground| ground.load(), || None).await
    }

    async fn active(&self, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, StoreError> {
        self.call(Verb::Active, |ground| ground.active(after, limit, false), || None).await
    }

    async fn canceling(&self, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, StoreError> {
        self.call(Verb::Canceling, |ground| ground.active(after, limit, true), || None).await
    }

    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StoreError> {
        let conflicts = vec![Recorded::Conflict; records.len()];
        let act = |ground: &mut Ground| records.iter().map(|one| ground.record(one)).collect::<Vec<_>>();
        let told = self.call(Verb::Record, act, || Some(conflicts)).await?;
        self.call_others(told.contains(&Recorded::Moved(Phase::Queued)), false);
        Ok(told)
    }

    async fn leftovers(&self, limit: u32) -> Result<Vec<Leftover>, StoreError> {
        self.call(Verb::Leftovers, |ground| ground.leftovers().take(limit as usize).collect(), || None).await
    }

    async fn forget(&self, leftovers: &[Leftover]) -> Result<(), StoreError> {
        let gone = |ground: &mut Ground| {
            for Leftover { task, job, .. } in leftovers {
                ground.leftovers.remove(&(task.clone(), job.backend.clone(), job.handle.clone()));
            }
        };
        self.call(Verb::Forget, gone, || None).await
    }

    async fn standing(&self, ids: &[TaskId]) -> Result<Vec<Standing>, StoreError> {
        self.call(Verb::Standing, |ground| ground.standings(ids), || None).await
    }

    fn is_shared(&self) -> bool {
        self.inner.semantics == Semantics::Shared
    }

    async fn enlist(&self, me: &Replica, now: Timestamp, until: Timestamp) -> Result<Enlisted, StoreError> {
        self.call(Verb::Enlist, |ground| ground.enlist(me, now, until), || None).await
    }

    async fn leave(&self, me: &Holder, now: Timestamp) -> Result<(), StoreError> {
        self.call(Verb::Leave, |ground| ground.leave(me, now), || None).await
    }

    async fn take_over(&self, me: &Holder, tasks: &[(TaskId, Fence)]) -> Result<Vec<Active>, StoreError> {
        self.call(Verb::TakeOver, |ground| ground.take_over(me, tasks), || Some(Vec::new())).await
    }

    async fn lease(&self, what: &str, holder: &Holder, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        self.call(Verb::Lease, |ground| ground.lease(what, holder, now, until), || None).await
    }

    async fn keeper(&self, task: &TaskId) -> Result<Option<Holder>, StoreError> {
        self.call(Verb::Keeper, |ground| ground.tasks.get(task).and_then(|row| row.holder.clone()), || None).await
    }

    fn calls(&self) -> Option<watch::Receiver<Calls>> {
        self.is_shared().then(|| self.inner.calls.subscribe())
    }

    fn bell(&self) -> watch::Receiver<()> {
        self.inner.bell.subscribe()
    }

    async fn changes(&self, after: ChangeId, limit: u32) -> Result<Changes, StoreError> {
        let read = |ground: &mut Ground| {
            let missed = ground.kept().oldest.0 > after.0.saturating_add(1);
            let later = ground.changes.range((Bound::Excluded(after.0), Bound::Unbounded));
            Changes { missed, items: later.take(limit as usize).map(|(_, change)| change.clone()).collect() }
        };
        self.call(Verb::Changes, read, || None).await
    }

    async fn kept(&self) -> Result<Kept, StoreError> {
        self.call(Verb::Kept, |ground| ground.kept(), || None).await
    }

    async fn trim(&self, keep: u64, at_once: u32) -> Result<u64, StoreError> {
        let trim = |ground: &mut Ground| {
            let Kept { oldest, newest } = ground.kept();
            let goes = |number: &u64| {
                *number <= newest.0.saturating_sub(keep.max(1)) && *number < oldest.0 + u64::from(at_once)
            };
            let before = ground.changes.len();
            ground.changes.retain(|number, _| !goes(number));
            (before - ground.changes.len()) as u64
        };
        self.call(Verb::Trim, trim, || None).await
    }

    async fn told(&self, target: &str) -> Result<Option<ChangeId>, StoreError> {
        self.call(Verb::Told, |ground| ground.told.get(target).copied(), || None).await
    }

    async fn tell(&self, target: &str, told: ChangeId) -> Result<(), StoreError> {
        let tell = |ground: &mut Ground| {
            ground.told.insert(target.to_owned(), told);
        };
        self.call(Verb::Tell, tell, || None).await
    }

    async fn owners(&self, after: Option<&Owner>, limit: u32) -> Result<Vec<Owner>, StoreError> {
        self.call(Verb::Owners, |ground| ground.owners(after, limit), || None).await
    }

    async fn beyond(&self, owner: &Owner, keep: u64) -> Result<Option<TaskId>, StoreError> {
        self.call(Verb::Beyond, |ground| ground.beyond(owner, keep), || None).await
    }

    async fn expire(
        &self,
        owner: &Owner,
        expiry: &Expiry,
        after: Option<&TaskId>,
        at_once: u32,
    ) -> Result<Expired, StoreError> {
        self.call(Verb::Expire, |ground| ground.expire(owner, expiry, after, at_once), || None).await
    }

    async fn history(&self, task: &TaskId) -> Result<Option<Task>, StoreError> {
        self.call(Verb::History, |ground| ground.tasks.get(task).map(|row| row.task(task)), || None).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.call(Verb::Check, |_| (), || None).await
    }
}
