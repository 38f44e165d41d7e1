//! A store that several servers share: a real one behind a door of each server's own, where a test stops that server, or
//! cuts it off.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use tessera_contract::InstallationId;
use tokio::sync::{Notify, watch};

use crate::store::sqlite::Sqlite;
use crate::store::{
    Active, Calls, Candidate, Ceiling, ChangeId, Changes, ClaimRequest, Claimed, Created, Enlisted, Expired, Expiry,
    Fence, Holder, Kept, Key, Leftover, ListQuery, Load, Page, QueueCursor, QueuePiece, Record, Recorded, Replica,
    Standing, Store, StoreError, Summary,
};
use crate::task::{Owner, Task, TaskId, TaskSpec};

/// One server's way to the store.
pub(super) struct Shared {
    inner: Arc<Sqlite>,
    points: AtomicUsize,
    stop_at: AtomicUsize,
    stopped: Notify,
    go_on: Notify,
    cut_off: AtomicBool,
    pub(super) calls: watch::Sender<Calls>,
}

impl Shared {
    pub(super) fn new(inner: Arc<Sqlite>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            points: AtomicUsize::default(),
            stop_at: AtomicUsize::default(),
            stopped: Notify::new(),
            go_on: Notify::new(),
            cut_off: AtomicBool::default(),
            calls: watch::Sender::default(),
        })
    }

    /// Lets work go on to its nth moment before or after a question to the store. `true` when it got so far, and stands
    /// still there until [`Shared::go_on`]; otherwise it has ended before.
    pub(super) async fn stop_at<T>(&self, nth: usize, work: impl Future<Output = T>) -> bool {
        self.points.store(0, Ordering::Relaxed);
        self.stop_at.store(nth, Ordering::Relaxed);
        let stopped = tokio::select! {
            biased;
            () = self.stopped.notified() => true,
            _ = work => false,
        };
        self.stop_at.store(0, Ordering::Relaxed);
        stopped
    }

    /// Whoever stands still goes on.
    pub(super) fn go_on(&self) {
        self.go_on.notify_one();
    }

    /// The store is out of this server's reach, or in it again.
    pub(super) fn cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, Ordering::Relaxed);
    }

    async fn point(&self) {
        let point = self.points.fetch_add(1, Ordering::Relaxed) + 1;
        if point == self.stop_at.load(Ordering::Relaxed) {
            self.stopped.notify_one();
            self.go_on.notified().await;
        }
    }

    async fn through<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.point().await;
        if self.cut_off.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the line is cut".to_owned()));
        }
        let answer = asked.await;
        self.point().await;
        if self.cut_off.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the line is cut, and what was asked is done".to_owned()));
        }
        answer
    }
}

#[async_trait]
impl Store for Shared {
    fn installation(&self) -> &InstallationId {
        self.inner.installation()
    }

    async fn create(&self, owner: &Owner, id: &TaskId, created: Timestamp, spec: TaskSpec) -> Result<(), StoreError> {
        self.through(self.inner.create(owner, id, created, spec)).await
    }

    async fn create_once(
        &self,
        owner: &Owner,
        key: &Key,
        id: &TaskId,
        created: Timestamp,
        spec: TaskSpec,
    ) -> Result<Created, StoreError> {
        self.through(self.inner.create_once(owner, key, id, created, spec)).await
    }

    async fn summary(&self, owner: &Owner, id: &TaskId) -> Result<Option<Summary>, StoreError> {
        self.through(self.inner.summary(owner, id)).await
    }

    async fn get(&self, owner: &Owner, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.through(self.inner.get(owner, id)).await
    }

    async fn list_summaries(&self, owner: &Owner, query: &ListQuery) -> Result<Page<Summary>, StoreError> {
        self.through(self.inner.list_summaries(owner, query)).await
    }

    async fn list(&self, owner: &Owner, query: &ListQuery) -> Result<Page<Task>, StoreError> {
        self.through(self.inner.list(owner, query)).await
    }

    async fn request_cancel(
        &self,
        owner: &Owner,
        id: &TaskId,
        at: Timestamp,
        shown: bool,
    ) -> Result<Option<Recorded>, StoreError> {
        self.through(self.inner.request_cancel(owner, id, at, shown)).await
    }

    async fn queueing(&self, owner: &Owner, after: Option<&TaskId>, limit: u32) -> Result<QueuePiece, StoreError> {
        self.through(self.inner.queueing(owner, after, limit)).await
    }

    async fn ahead(&self, tasks: &[TaskId], backend: &str, takes_unnamed: bool) -> Result<Vec<u64>, StoreError> {
        self.through(self.inner.ahead(tasks, backend, takes_unnamed)).await
    }

    async fn queued(
        &self,
        now: Timestamp,
        after: Option<&QueueCursor>,
        limit: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        self.through(self.inner.queued(now, after, limit)).await
    }

    async fn claim(
        &self,
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
        ceiling: Ceiling,
        wanted: &[ClaimRequest],
    ) -> Result<Vec<Claimed>, StoreError> {
        self.through(self.inner.claim(holder, now, until, ceiling, wanted)).await
    }

    async fn load(&self) -> Result<Vec<Load>, StoreError> {
        self.through(self.inner.load()).await
    }

    async fn active(&self, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, StoreError> {
        self.through(self.inner.active(after, limit)).await
    }

    async fn canceling(&self, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, StoreError> {
        self.through(self.inner.canceling(after, limit)).await
    }

    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StoreError> {
        self.through(self.inner.record(records)).await
    }

    async fn leftovers(&self, limit: u32) -> Result<Vec<Leftover>, StoreError> {
        self.through(self.inner.leftovers(limit)).await
    }

    async fn forget(&self, leftovers: &[Leftover]) -> Result<(), StoreError> {
        self.through(self.inner.forget(leftovers)).await
    }

    async fn standing(&self, ids: &[TaskId]) -> Result<Vec<Standing>, StoreError> {
        self.through(self.inner.standing(ids)).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn enlist(&self, me: &Replica, now: Timestamp, until: Timestamp) -> Result<Enlisted, StoreError> {
        self.through(self.inner.enlist(me, now, until)).await
    }

    async fn leave(&self, me: &Holder, now: Timestamp) -> Result<(), StoreError> {
        self.through(self.inner.leave(me, now)).await
    }

    async fn take_over(&self, me: &Holder, tasks: &[(TaskId, Fence)]) -> Result<Vec<Active>, StoreError> {
        self.through(self.inner.take_over(me, tasks)).await
    }

    async fn lease(&self, what: &str, holder: &Holder, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        self.through(self.inner.lease(what, holder, now, until)).await
    }

    async fn keeper(&self, task: &TaskId) -> Result<Option<Holder>, StoreError> {
        self.through(self.inner.keeper(task)).await
    }

    fn calls(&self) -> Option<watch::Receiver<Calls>> {
        Some(self.calls.subscribe())
    }

    fn bell(&self) -> watch::Receiver<()> {
        self.inner.bell()
    }

    async fn changes(&self, after: ChangeId, limit: u32) -> Result<Changes, StoreError> {
        self.through(self.inner.changes(after, limit)).await
    }

    async fn kept(&self) -> Result<Kept, StoreError> {
        self.through(self.inner.kept()).await
    }

    async fn trim(&self, keep: u64, at_once: u32) -> Result<u64, StoreError> {
        self.through(self.inner.trim(keep, at_once)).await
    }

    async fn told(&self, target: &str) -> Result<Option<ChangeId>, StoreError> {
        self.through(self.inner.told(target)).await
    }

    async fn tell(&self, target: &str, told: ChangeId) -> Result<(), StoreError> {
        self.through(self.inner.tell(target, told)).await
    }

    async fn owners(&self, after: Option<&Owner>, limit: u32) -> Result<Vec<Owner>, StoreError> {
        self.through(self.inner.owners(after, limit)).await
    }

    async fn beyond(&self, owner: &Owner, keep: u64) -> Result<Option<TaskId>, StoreError> {
        self.through(self.inner.beyond(owner, keep)).await
    }

    async fn expire(
        &self,
        owner: &Owner,
        expiry: &Expiry,
        after: Option<&TaskId>,
        at_once: u32,
    ) -> Result<Expired, StoreError> {
        self.through(self.inner.expire(owner, expiry, after, at_once)).await
    }

    async fn history(&self, task: &TaskId) -> Result<Option<Task>, StoreError> {
        self.through(self.inner.history(task)).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.through(self.inner.check()).await
    }
}
