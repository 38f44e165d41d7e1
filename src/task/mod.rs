//! What a task is, and what may happen to it.
//!
//! Pure values and functions: no I/O, no async, no clock (moments come in as arguments), no words of a protocol.
//!
//! Invariants:
//! - a terminal state never changes;
//! - a requested cancel never ends COMPLETE;
//! - repeats and late reports change nothing;
//! - a new attempt never loses the former one's log.
//!
//! Parts, in reading order:
//! - [`state`]: the machine, the only law;
//! - [`event`]: what may happen;
//! - [`spec`]: what a user asked for;
//! - [`id`]: how tasks and owners are named;
//! - [`history`]: events told as attempts and their logs.

pub mod event;
pub mod history;
pub mod id;
pub mod spec;
pub mod state;

use jiff::Timestamp;

pub use event::{AttemptResult, Event, ExecutorLog, JobRef, LogLine, OutputFile, Seen, Verdict};
pub use history::Attempt;
pub use id::{Owner, TaskId};
pub use spec::TaskSpec;
pub use state::{Phase, Refusal, Step, TaskState};

/// A task with all that is remembered of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Whom it belongs to.
    pub owner: Owner,
    /// When it was created.
    pub created: Timestamp,
    /// What was asked for.
    pub spec: TaskSpec,
    /// Where it stands.
    pub state: TaskState,
    /// What happened, attempt by attempt, oldest first. Never empty.
    pub attempts: Vec<Attempt>,
}
