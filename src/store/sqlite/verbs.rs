//! The store's verbs, each sent to the writer or the readers.

use std::time::Instant;

use async_trait::async_trait;
use jiff::Timestamp;
use tessera_contract::InstallationId;
use tokio::sync::watch;

use super::create::NewTask;
use super::{Sqlite, changes, claim, listing, queue, record, replicas, retention, tasks};
use crate::store::{
    Active, Calls, Candidate, Ceiling, ChangeId, Changes, ClaimRequest, Claimed, Created, Enlisted, Expired, Expiry,
    Fence, Holder, Kept, Key, Leftover, ListQuery, Load, Page, QueueCursor, QueuePiece, Record, Recorded, Replica,
    Standing, Store, StoreError, Summary,
};
use crate::task::{Owner, Task, TaskId, TaskSpec};

#[async_trait]
impl Store for Sqlite {
    fn installation(&self) -> &InstallationId {
        &self.installation
    }

    async fn create(&self, owner: &Owner, id: &TaskId, created: Timestamp, spec: TaskSpec) -> Result<(), StoreError> {
        let task = NewTask::new(owner, id, created, spec).map_err(|fault| StoreError::Corrupt(fault.to_string()))?;
        self.writer.write(move |connection| task.insert(connection)).await
    }

    async fn create_once(
        &self,
        owner: &Owner,
        key: &Key,
        id: &TaskId,
        created: Timestamp,
        spec: TaskSpec,
    ) -> Result<Created, StoreError> {
        let task = NewTask::new(owner, id, created, spec).map_err(|fault| StoreError::Corrupt(fault.to_string()))?;
        let key = key.clone();
        self.writer.write(move |connection| task.insert_once(connection, &key)).await
    }

    async fn summary(&self, owner: &Owner, id: &TaskId) -> Result<Option<Summary>, StoreError> {
        let (owner, id) = (owner.clone(), id.clone());
        self.readers.read(move |connection| tasks::summary(connection, &owner, &id)).await
    }

    async fn get(&self, owner: &Owner, id: &TaskId) -> Result<Option<Task>, StoreError> {
        let (owner, id) = (owner.clone(), id.as_str().to_owned());
        self.readers.read(move |connection| tasks::task(connection, &owner, &id)).await
    }

    async fn list_summaries(&self, owner: &Owner, query: &ListQuery) -> Result<Page<Summary>, StoreError> {
        let (owner, query) = (owner.clone(), query.clone());
        self.readers
            .read(move |connection| {
                let (ids, next) = listing::page(connection, &owner, &query)?;
                Ok(Page { items: tasks::summaries(connection, &ids)?, next: next.as_deref().and_then(TaskId::parse) })
            })
            .await
    }

    async fn list(&self, owner: &Owner, query: &ListQuery) -> Result<Page<Task>, StoreError> {
        let (owner, query) = (owner.clone(), query.clone());
        self.readers
            .read(move |connection| {
                let (mut ids, mut next) = listing::page(connection, &owner, &query)?;
                let fitting = tasks::fitting(connection, &ids)?;
                if fitting < ids.len() {
                    ids.truncate(fitting);
                    next = ids.last().cloned();
                }
                let items = tasks::tasks(connection, &owner, &ids)?;
                Ok(Page { items, next: next.as_deref().and_then(TaskId::parse) })
            })
            .await
    }

    async fn request_cancel(
        &self,
        owner: &Owner,
        id: &TaskId,
        at: Timestamp,
        shown: bool,
    ) -> Result<Option<Recorded>, StoreError> {
        let (owner, id) = (owner.clone(), id.clone());
        self.writer.write(move |connection| record::cancel(connection, &owner, &id, at, shown)).await
    }

    async fn queueing(&self, owner: &Owner, after: Option<&TaskId>, limit: u32) -> Result<QueuePiece, StoreError> {
        let (owner, after) = (owner.clone(), after.cloned());
        self.readers
            .read(move |connection| {
                let began = Instant::now();
                let tasks = queue::queueing(connection, &owner, after.as_ref(), limit)?;
                Ok(QueuePiece { tasks, took: began.elapsed() })
            })
            .await
    }

    async fn ahead(&self, tasks: &[TaskId], backend: &str, takes_unnamed: bool) -> Result<Vec<u64>, StoreError> {
        let (tasks, backend) = (tasks.to_vec(), backend.to_owned());
        self.readers.read(move |connection| queue::ahead(connection, &tasks, &backend, takes_unnamed)).await
    }

    async fn queued(
        &self,
        now: Timestamp,
        after: Option<&QueueCursor>,
        limit: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        let after = after.cloned();
        self.readers.read(move |connection| queue::queued(connection, now, after.as_ref(), limit)).await
    }

    async fn claim(
        &self,
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
        // One server alone knows what it has taken.
        _ceiling: Ceiling,
        wanted: &[ClaimRequest],
    ) -> Result<Vec<Claimed>, StoreError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (holder, wanted) = (holder.clone(), wanted.to_vec());
        self.writer
            .write(move |connection| {
                let claims = wanted.iter().map(|one| claim::claim(connection, &holder, now, until, one));
                claims.filter_map(Result::transpose).collect()
            })
            .await
    }

    async fn load(&self) -> Result<Vec<Load>, StoreError> {
        self.readers.read(queue::load).await
    }

    async fn active(&self, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, StoreError> {
        let after = after.cloned();
        self.readers.read(move |connection| queue::active(connection, queue::ACTIVE, after.as_ref(), limit)).await
    }

    async fn canceling(&self, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, StoreError> {
        let after = after.cloned();
        self.readers.read(move |connection| queue::active(connection, queue::IN_CANCELING, after.as_ref(), limit)).await
    }

    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StoreError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        self.writer.write(move |connection| records.iter().map(|one| record::record(connection, one)).collect()).await
    }

    async fn leftovers(&self, limit: u32) -> Result<Vec<Leftover>, StoreError> {
        self.readers.read(move |connection| queue::leftovers(connection, limit)).await
    }

    async fn forget(&self, leftovers: &[Leftover]) -> Result<(), StoreError> {
        if leftovers.is_empty() {
            return Ok(());
        }
        let leftovers = leftovers.to_vec();
        self.writer.write(move |connection| queue::forget(connection, &leftovers)).await
    }

    async fn standing(&self, ids: &[TaskId]) -> Result<Vec<Standing>, StoreError> {
        let ids = ids.to_vec();
        self.readers.read(move |connection| queue::standing(connection, &ids)).await
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn enlist(&self, me: &Replica, now: Timestamp, until: Timestamp) -> Result<Enlisted, StoreError> {
        let me = me.clone();
        self.writer.write(move |connection| replicas::enlist(connection, &me, now, until)).await
    }

    async fn leave(&self, me: &Holder, now: Timestamp) -> Result<(), StoreError> {
        let me = me.clone();
        self.writer.write(move |connection| replicas::leave(connection, &me, now)).await
    }

    async fn take_over(&self, me: &Holder, tasks: &[(TaskId, Fence)]) -> Result<Vec<Active>, StoreError> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let (me, tasks) = (me.clone(), tasks.to_vec());
        self.writer.write(move |connection| replicas::take_over(connection, &me, &tasks)).await
    }

    async fn lease(&self, what: &str, holder: &Holder, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        let (what, holder) = (what.to_owned(), holder.clone());
        self.writer.write(move |connection| replicas::lease(connection, &what, &holder, now, until)).await
    }

    async fn keeper(&self, task: &TaskId) -> Result<Option<Holder>, StoreError> {
        let id = task.clone();
        self.readers.read(move |connection| replicas::keeper(connection, &id)).await
    }

    fn calls(&self) -> Option<watch::Receiver<Calls>> {
        None
    }

    fn bell(&self) -> watch::Receiver<()> {
        self.writer.bell()
    }

    async fn changes(&self, after: ChangeId, limit: u32) -> Result<Changes, StoreError> {
        self.readers.read(move |connection| changes::after(connection, after, limit)).await
    }

    async fn kept(&self) -> Result<Kept, StoreError> {
        self.readers.read(changes::kept).await
    }

    async fn trim(&self, keep: u64, at_once: u32) -> Result<u64, StoreError> {
        self.writer.write(move |connection| changes::trim(connection, keep, at_once)).await
    }

    async fn told(&self, target: &str) -> Result<Option<ChangeId>, StoreError> {
        let target = target.to_owned();
        self.readers.read(move |connection| changes::told(connection, &target)).await
    }

    async fn tell(&self, target: &str, told: ChangeId) -> Result<(), StoreError> {
        let target = target.to_owned();
        self.writer.write(move |connection| changes::tell(connection, &target, told)).await
    }

    async fn owners(&self, after: Option<&Owner>, limit: u32) -> Result<Vec<Owner>, StoreError> {
        let after = after.cloned();
        self.readers.read(move |connection| retention::owners(connection, after.as_ref(), limit)).await
    }

    async fn beyond(&self, owner: &Owner, keep: u64) -> Result<Option<TaskId>, StoreError> {
        let owner = owner.clone();
        self.readers.read(move |connection| retention::beyond(connection, &owner, keep)).await
    }

    async fn expire(
        &self,
        owner: &Owner,
        expiry: &Expiry,
        after: Option<&TaskId>,
        at_once: u32,
    ) -> Result<Expired, StoreError> {
        let (whose, expiry, after) = (owner.clone(), expiry.clone(), after.cloned());
        let found = self
            .readers
            .read(move |connection| retention::find(connection, &whose, &expiry, after.as_ref(), at_once))
            .await?;
        let removed = found.doomed.iter().map(|one| one.task.clone()).collect();
        if !found.doomed.is_empty() {
            let owner = owner.clone();
            self.writer.write(move |connection| retention::remove(connection, &owner, &found.doomed)).await?;
        }
        Ok(Expired { removed, next: found.next })
    }

    async fn history(&self, task: &TaskId) -> Result<Option<Task>, StoreError> {
        let id = task.as_str().to_owned();
        self.readers.read(move |connection| tasks::of_anybody(connection, &id)).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.writer
            .write(|connection| {
                connection.prepare_cached("UPDATE store SET checked = checked + 1")?.execute([])?;
                Ok(())
            })
            .await
    }
}
