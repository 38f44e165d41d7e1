//! The store's verbs, each sent to the writer or the pool.

use async_trait::async_trait;
use jiff::Timestamp;
use tessera_contract::InstallationId;
use tokio::sync::watch;

use super::{Postgres, feed, health, listing, queue, replicas, retention, tasks, trail};
use crate::store::{
    Active, Calls, Candidate, Ceiling, ChangeId, Changes, ClaimRequest, Claimed, Created, Enlisted, Expired, Expiry,
    Fence, Holder, Kept, Key, Leftover, ListQuery, Load, Page, QueueCursor, QueuePiece, Record, Recorded, Replica,
    Standing, Store, StoreError, Summary,
};
use crate::task::{Owner, Task, TaskId, TaskSpec};

#[async_trait]
impl Store for Postgres {
    fn installation(&self) -> &InstallationId {
        &self.installation
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn calls(&self) -> Option<watch::Receiver<Calls>> {
        Some(self.calls.clone())
    }

    fn bell(&self) -> watch::Receiver<()> {
        self.bell.clone()
    }

    async fn create(&self, owner: &Owner, id: &TaskId, created: Timestamp, spec: TaskSpec) -> Result<(), StoreError> {
        self.writer.create(owner, id, created, spec).await
    }

    async fn create_once(
        &self,
        owner: &Owner,
        key: &Key,
        id: &TaskId,
        created: Timestamp,
        spec: TaskSpec,
    ) -> Result<Created, StoreError> {
        self.writer.create_once(owner, key, id, created, spec).await
    }

    async fn summary(&self, owner: &Owner, id: &TaskId) -> Result<Option<Summary>, StoreError> {
        self.states.one(owner, id).await
    }

    async fn get(&self, owner: &Owner, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.told(tasks::get(&self.pool, owner, id).await)
    }

    async fn list_summaries(&self, owner: &Owner, query: &ListQuery) -> Result<Page<Summary>, StoreError> {
        self.told(listing::summaries(&self.pool, owner, query).await)
    }

    async fn list(&self, owner: &Owner, query: &ListQuery) -> Result<Page<Task>, StoreError> {
        self.told(listing::tasks(&self.pool, owner, query).await)
    }

    async fn request_cancel(
        &self,
        owner: &Owner,
        id: &TaskId,
        at: Timestamp,
        shown: bool,
    ) -> Result<Option<Recorded>, StoreError> {
        self.writer.cancel(owner, id, at, shown).await
    }

    async fn queueing(&self, owner: &Owner, after: Option<&TaskId>, limit: u32) -> Result<QueuePiece, StoreError> {
        self.told(queue::queueing(&self.pool, owner, after, limit).await)
    }

    async fn ahead(&self, tasks: &[TaskId], backend: &str, takes_unnamed: bool) -> Result<Vec<u64>, StoreError> {
        self.told(queue::ahead(&self.pool, tasks, backend, takes_unnamed).await)
    }

    async fn queued(
        &self,
        now: Timestamp,
        after: Option<&QueueCursor>,
        limit: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        self.told(queue::queued(&self.pool, now, after, limit).await)
    }

    async fn claim(
        &self,
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
        ceiling: Ceiling,
        wanted: &[ClaimRequest],
    ) -> Result<Vec<Claimed>, StoreError> {
        self.writer.claim(holder, now, until, ceiling, wanted).await
    }

    async fn load(&self) -> Result<Vec<Load>, StoreError> {
        self.told(queue::load(&self.pool).await)
    }

    async fn active(&self, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, StoreError> {
        self.told(queue::active(&self.pool, after, limit).await)
    }

    async fn canceling(&self, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, StoreError> {
        self.told(queue::canceling(&self.pool, after, limit).await)
    }

    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StoreError> {
        self.writer.record(records).await
    }

    async fn leftovers(&self, limit: u32) -> Result<Vec<Leftover>, StoreError> {
        self.told(queue::leftovers(&self.pool, limit).await)
    }

    async fn forget(&self, leftovers: &[Leftover]) -> Result<(), StoreError> {
        self.told(trail::forget(&self.pool, leftovers).await)
    }

    async fn standing(&self, ids: &[TaskId]) -> Result<Vec<Standing>, StoreError> {
        self.told(queue::standing(&self.pool, ids).await)
    }

    async fn enlist(&self, me: &Replica, now: Timestamp, until: Timestamp) -> Result<Enlisted, StoreError> {
        self.told(replicas::enlist(&self.pool, self.lock, me, now, until).await)
    }

    async fn leave(&self, me: &Holder, now: Timestamp) -> Result<(), StoreError> {
        self.told(replicas::leave(&self.pool, me, now).await)
    }

    async fn take_over(&self, me: &Holder, tasks: &[(TaskId, Fence)]) -> Result<Vec<Active>, StoreError> {
        self.told(replicas::take_over(&self.pool, self.lock, me, tasks).await)
    }

    async fn lease(&self, what: &str, holder: &Holder, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        self.told(replicas::lease(&self.pool, what, holder, now, until).await)
    }

    async fn keeper(&self, task: &TaskId) -> Result<Option<Holder>, StoreError> {
        self.told(queue::keeper(&self.pool, task).await)
    }

    async fn changes(&self, after: ChangeId, limit: u32) -> Result<Changes, StoreError> {
        self.told(feed::after(&self.pool, after, limit).await)
    }

    async fn kept(&self) -> Result<Kept, StoreError> {
        self.told(feed::kept(&self.pool).await)
    }

    async fn trim(&self, keep: u64, at_once: u32) -> Result<u64, StoreError> {
        self.told(trail::trim(&self.pool, self.lock, keep, at_once).await)
    }

    async fn told(&self, target: &str) -> Result<Option<ChangeId>, StoreError> {
        self.told(feed::told(&self.pool, target).await)
    }

    async fn tell(&self, target: &str, told: ChangeId) -> Result<(), StoreError> {
        self.told(trail::tell(&self.pool, target, told).await)
    }

    async fn owners(&self, after: Option<&Owner>, limit: u32) -> Result<Vec<Owner>, StoreError> {
        self.told(retention::owners(&self.pool, after, limit).await)
    }

    async fn beyond(&self, owner: &Owner, keep: u64) -> Result<Option<TaskId>, StoreError> {
        self.told(retention::beyond(&self.pool, owner, keep).await)
    }

    async fn expire(
        &self,
        owner: &Owner,
        expiry: &Expiry,
        after: Option<&TaskId>,
        at_once: u32,
    ) -> Result<Expired, StoreError> {
        self.told(retention::expire(&self.pool, owner, expiry, after, at_once).await)
    }

    async fn history(&self, task: &TaskId) -> Result<Option<Task>, StoreError> {
        self.told(tasks::of_anybody(&self.pool, task).await)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.told(health::check(&self.pool).await)
    }
}
