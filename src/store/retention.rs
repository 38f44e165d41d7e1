//! The end of tasks that are kept no longer.

use jiff::Timestamp;

use crate::task::TaskId;

/// Which ended tasks of an owner are to go. Those whose leavings have not been removed stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expiry {
    /// Those that ended before this.
    pub ended_before: Option<Timestamp>,
    /// Those that are more than are kept.
    pub surplus: Option<Surplus>,
}

/// Ended tasks that are more than are kept: the newest are kept, by their creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surplus {
    /// The newest that is too many; all older ones are, too.
    pub newest: TaskId,
    /// One that ended later stays for a while, so that its owner sees its end.
    pub ended_before: Timestamp,
}

/// What one step removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// Tasks that are gone.
    pub removed: Vec<TaskId>,
    /// Where the next step looks on; `None` when all were looked at.
    pub next: Option<TaskId>,
}
