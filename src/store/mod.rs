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
//! - [`sqlite`]: the embedded default;
//! - `conformance`: the promises as a suite that every store must pass.

#[cfg(test)]
pub(crate) mod conformance;
pub mod list;
pub mod records;
pub mod sqlite;

use async_trait::async_trait;
use jiff::Timestamp;
use tessera_contract::InstallationId;

use crate::task::{Owner, Task, TaskId, TaskSpec};

pub use list::{ListQuery, Page, Summary};
pub use records::{
    Active, Candidate, Claim, ClaimRequest, Claimed, Fence, Holder, Leftover, Load, QueueCursor, Record, Recorded,
    Standing,
};

/// A store's promise. Every verb that a caller can reach takes the caller's owner.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The id of this installation, made when the store was made.
    fn installation(&self) -> &InstallationId;

    // What callers ask.

    /// Remembers a new task. Durable when this returns.
    async fn create(&self, owner: &Owner, id: &TaskId, created: Timestamp, spec: TaskSpec) -> Result<(), StoreError>;

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
    async fn claim(
        &self,
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
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
