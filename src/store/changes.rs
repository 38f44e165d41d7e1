//! What happened, in the order in which it was stored: each change of the phase that a task shows.

use jiff::Timestamp;

use crate::task::{Owner, Phase, TaskId};

/// A change's number. Higher is later; a hole is a change that is not kept any more or cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(pub u64);

/// A task shows another phase; its creation counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub id: ChangeId,
    /// Whom the task belongs to.
    pub owner: Owner,
    /// The task.
    pub task: TaskId,
    /// What it shows now.
    pub phase: Phase,
    /// What it showed before; `None` when it is new.
    pub previous: Option<Phase>,
    /// When it happened.
    pub at: Timestamp,
}

/// An answer to a look at the changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Some between the one asked after and the first of these are not kept any more.
    pub missed: bool,
    /// Oldest first.
    pub items: Vec<Change>,
}

/// Which changes there are. Both are 0 when nothing has ever happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// The first.
    pub oldest: ChangeId,
    /// The last.
    pub newest: ChangeId,
}
