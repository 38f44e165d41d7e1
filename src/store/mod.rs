//! Remembers tasks and what happened to them.
//!
//! Verbs of the domain, not of SQL. The store applies the machine of [`crate::task::state`]; it decides nothing.
//!
//! Invariants:
//! - what a verb has answered is durable;
//! - state and event are written together, or neither is;
//! - a refused write never fails its neighbours;
//! - a caller sees only tasks of its owner.
//!
//! Parts, in reading order:
//! - this page: the verbs;
//! - [`records`]: what goes in and comes out;
//! - [`list`]: filters, pages, cursors;
//! - [`changes`]: what happened, in the order in which it was stored;
//! - [`key`]: callers' own names for creations;
//! - [`replicas`]: several servers on one store;
//! - [`retention`]: the end of tasks that are kept no longer;
//! - [`sqlite`]: the embedded default;
//! - [`postgres`]: for several servers on one store;
//! - `columns`: domain values as columns, for both;
//! - [`transfer`]: from one store to another;
//! - [`memory`]: a scripted fake of either kind, for simulations;
//! - `conformance`: the promises as a suite that every store must pass.

pub mod changes;
mod columns;
#[cfg(test)]
pub(crate) mod conformance;
pub mod key;
pub mod list;
pub mod memory;
pub mod postgres;
pub mod records;
pub mod replicas;
pub mod retention;
pub mod sqlite;
pub mod transfer;

use async_trait::async_trait;
use jiff::Timestamp;
use tessera_contract::InstallationId;
use tokio::sync::watch;

use crate::task::{Owner, Task, TaskId, TaskSpec};

pub use changes::{Change, ChangeId, Changes, Kept};
pub use key::{Created, Key};
pub use list::{ListQuery, Page, Summary};
pub use records::{
    Active, Candidate, Claim, ClaimRequest, Claimed, Fence, Holder, Leftover, Load, OwnQueueing, QueueCursor,
    QueuePiece, Queueing, Record, Recorded, Standing,
};
pub use replicas::{Calls, Ceiling, Enlisted, FORGOTTEN_AFTER, Offer, Present, Replica};
pub use retention::{Expired, Expiry, Surplus};

/// A store's promise. Every verb that a caller can reach takes the caller's owner.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The id of this installation, made when the store was made.
    fn installation(&self) -> &InstallationId;

    // What callers ask.

    /// Remembers a new task. Durable when this returns.
    async fn create(&self, owner: &Owner, id: &TaskId, created: Timestamp, spec: TaskSpec) -> Result<(), StoreError>;

    /// The same under a name of the caller's: the same name and the same task find the first one. Which of several at
    /// once is the first is decided once, and stays decided. The name is kept as long as the task.
    async fn create_once(
        &self,
        owner: &Owner,
        key: &Key,
        id: &TaskId,
        created: Timestamp,
        spec: TaskSpec,
    ) -> Result<Created, StoreError>;

    /// A task's state; `None` when there is none for this owner (TES contract 17.3).
    async fn summary(&self, owner: &Owner, id: &TaskId) -> Result<Option<Summary>, StoreError>;

    /// A task with its whole history; `None` when there is none for this owner.
    async fn get(&self, owner: &Owner, id: &TaskId) -> Result<Option<Task>, StoreError>;

    /// A page of states, newest first (TES contract §8).
    async fn list_summaries(&self, owner: &Owner, query: &ListQuery) -> Result<Page<Summary>, StoreError>;

    /// A page of tasks with their whole histories, newest first.
    async fn list(&self, owner: &Owner, query: &ListQuery) -> Result<Page<Task>, StoreError>;

    /// Records that a user no longer wants a task. `None` when there is none for this owner.
    async fn request_cancel(
        &self,
        owner: &Owner,
        id: &TaskId,
        at: Timestamp,
        shown: bool,
    ) -> Result<Option<Recorded>, StoreError>;

    // Why a task waits.

    /// The queue from its front on, after an id: the tasks of everybody, and more of those of the owner.
    async fn queueing(&self, owner: &Owner, after: Option<&TaskId>, limit: u32) -> Result<QueuePiece, StoreError>;

    /// How many unclaimed tasks stand before each of these in the queue of a backend, postponed ones included;
    /// `takes_unnamed` counts also those that ask for no backend. One read; for tasks in the order of the queue it
    /// walks the queue once.
    async fn ahead(&self, tasks: &[TaskId], backend: &str, takes_unnamed: bool) -> Result<Vec<u64>, StoreError>;

    // What the engine asks.

    /// Tasks that wait and may be tried at `now` (unclaimed, or their claim has expired), oldest first, after a
    /// cursor.
    async fn queued(
        &self,
        now: Timestamp,
        after: Option<&QueueCursor>,
        limit: u32,
    ) -> Result<Vec<Candidate>, StoreError>;

    /// Takes waiting tasks for a holder until a moment. Answers those that were still to be had, in the order
    /// asked; each claim has a fence higher than any before it on that task.
    ///
    /// The ceiling is that of the backend, the same for all of `wanted`: where several servers claim at once, what would
    /// pass it is left in the queue. A task whose claim has expired is counted already, and always has room.
    async fn claim(
        &self,
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
        ceiling: Ceiling,
        wanted: &[ClaimRequest],
    ) -> Result<Vec<Claimed>, StoreError>;

    /// What each backend carries now: claimed tasks and jobs outside.
    async fn load(&self) -> Result<Vec<Load>, StoreError>;

    /// Tasks that have, or may have, something outside: oldest first, after an id.
    async fn active(&self, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, StoreError>;

    /// Active tasks whose cancel was requested, oldest first.
    async fn canceling(&self, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, StoreError>;

    /// Applies events, each by itself, all made durable together. Answers in the order given.
    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StoreError>;

    /// Jobs that are over and whose leavings have not been removed, oldest first.
    async fn leftovers(&self, limit: u32) -> Result<Vec<Leftover>, StoreError>;

    /// The leavings of these jobs are gone.
    async fn forget(&self, leftovers: &[Leftover]) -> Result<(), StoreError>;

    /// Where a task stands, whoever owns it; for the sweep, which meets jobs before it knows their tasks.
    async fn standing(&self, ids: &[TaskId]) -> Result<Vec<Standing>, StoreError>;

    // Several servers.

    /// Whether several servers may work on this store at once.
    fn is_shared(&self) -> bool;

    /// A server says that it is there until a moment, and hears who else has. Others that have been away for
    /// [`FORGOTTEN_AFTER`] are forgotten. A former run on the same seat is dead: the time of its claims is over.
    async fn enlist(&self, me: &Replica, now: Timestamp, until: Timestamp) -> Result<Enlisted, StoreError>;

    /// A server goes in an orderly way: it is away from this moment on.
    async fn leave(&self, me: &Holder, now: Timestamp) -> Result<(), StoreError>;

    /// Takes tasks outside, or being cancelled, from holders that are away. Each that is still as it was said gets a
    /// higher fence, and is answered: what its former holder says late is refused.
    async fn take_over(&self, me: &Holder, tasks: &[(TaskId, Fence)]) -> Result<Vec<Active>, StoreError>;

    /// Takes, or keeps, what only one server should do at a time (telling a webhook). Whoever works under a lease must be
    /// harmless without it: it is politeness, no lock.
    async fn lease(&self, what: &str, holder: &Holder, now: Timestamp, until: Timestamp) -> Result<bool, StoreError>;

    /// Who claimed a task last: what it printed is kept there.
    async fn keeper(&self, task: &TaskId) -> Result<Option<Holder>, StoreError>;

    /// Rises when another server leaves work. `None` where there is no other; never needed, for ticks also look by
    /// themselves.
    fn calls(&self) -> Option<watch::Receiver<Calls>>;

    // What is told as it happens.

    /// Rings after every commit that wrote changes. Subscribe before looking, or a change between the two is missed.
    fn bell(&self) -> watch::Receiver<()>;

    /// Changes after one, oldest first, of all owners. Their numbers rise in the order in which they can be seen:
    /// once a change was answered, none with a lower number ever appears.
    async fn changes(&self, after: ChangeId, limit: u32) -> Result<Changes, StoreError>;

    /// The first and the last change there is.
    async fn kept(&self) -> Result<Kept, StoreError>;

    /// Removes the oldest changes but for so many, a bounded number at once; answers how many. The newest stays.
    async fn trim(&self, keep: u64, at_once: u32) -> Result<u64, StoreError>;

    /// How far a target was told; `None` when it is not known.
    async fn told(&self, target: &str) -> Result<Option<ChangeId>, StoreError>;

    /// Remembers how far a target was told.
    async fn tell(&self, target: &str, told: ChangeId) -> Result<(), StoreError>;

    // The end of tasks.

    /// Owners of tasks, in order, after one.
    async fn owners(&self, after: Option<&Owner>, limit: u32) -> Result<Vec<Owner>, StoreError>;

    /// The newest ended task of an owner that is more than so many, by the creation of tasks.
    async fn beyond(&self, owner: &Owner, keep: u64) -> Result<Option<TaskId>, StoreError>;

    /// Removes ended tasks of an owner, oldest first, after an id: a task, what was asked for, its tags, its history and
    /// its caller's name for it go together, and there never was such a task. At most `at_once`, after a bounded look.
    async fn expire(
        &self,
        owner: &Owner,
        expiry: &Expiry,
        after: Option<&TaskId>,
        at_once: u32,
    ) -> Result<Expired, StoreError>;

    /// A task with its whole history, whoever owns it; for what the server does by itself.
    async fn history(&self, task: &TaskId) -> Result<Option<Task>, StoreError>;

    /// Whether the store can be written to now; the error says why not.
    async fn check(&self) -> Result<(), StoreError>;
}

/// Errors of a store, sorted by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Try later: locked, full, read-only, out of reach. Nothing was changed.
    #[error("{0}")]
    Unavailable(String),
    /// What is stored cannot be read by this build.
    #[error("{0}")]
    Corrupt(String),
}
