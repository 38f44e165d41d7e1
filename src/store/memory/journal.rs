//! What was written, in the order in which it was: for those who watch.

use jiff::Timestamp;

use crate::store::{Claim, Fence, Holder};
use crate::task::{Event, TaskId, TaskState};

/// One write of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The task.
    pub task: TaskId,
    /// What wrote it.
    pub by: By,
    /// Where it stood; `None` when it is new.
    pub before: Option<TaskState>,
    /// Where it stands.
    pub after: TaskState,
    /// The fence under which it was said, if under one.
    pub under: Option<Fence>,
    /// The task's own fence at that moment, the highest ever given for it.
    pub fence: Fence,
    /// The moment that the caller gave.
    pub at: Timestamp,
}

/// What wrote a task.
#[derive(Debug, Clone, PartialEq)]
pub enum By {
    /// Its creation.
    Creation,
    /// A claim.
    Claim(Claim),
    /// Somebody took it over from a holder that is away.
    TakeOver(Holder),
    /// Its holder is known to be dead: its claim is over.
    Release,
    /// An event.
    Event(Box<Event>),
}
