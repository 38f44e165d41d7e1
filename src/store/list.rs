//! Filters, pages and cursors (TES contract §8).

use jiff::Timestamp;

use crate::task::{Phase, TaskId};

/// Which tasks, and where to begin. All filters must hold (8.7).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Literal, case-sensitive beginning of the name (8.4). Empty is no filter.
    pub name_prefix: String,
    /// The phase shown (8.5).
    pub phase: Option<Phase>,
    /// Tags that must be there; `None` is any value (8.6).
    pub tags: Vec<(String, Option<String>)>,
    /// The former page's `next`. The caller has checked that it belongs to the same filters.
    pub after: Option<TaskId>,
    /// How many at most.
    pub size: u32,
}

/// A task's id and state: all that MINIMAL shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its id.
    pub id: TaskId,
    /// When it was created.
    pub created: Timestamp,
    /// The phase shown.
    pub phase: Phase,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// Where the next page begins; `None` when there is none (8.3).
    pub next: Option<TaskId>,
}
