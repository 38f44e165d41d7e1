//! What goes into the store and comes out of it, besides tasks.

use std::time::Duration;

use jiff::Timestamp;

use crate::task::{Event, JobRef, Phase, Refusal, TaskId, TaskSpec, TaskState};

/// Who takes claims: one running server, new at every start. Where there are several: `name/id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder(pub String);

impl Holder {
    /// The name of the server, the same after a restart; empty where there is only one.
    pub fn replica(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(name, _)| name)
    }
}

/// A number that rises with every claim of a task. What carries an older one is refused, so that a server that
/// was paused cannot speak over the one that took its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// Where the next look at the queue begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueCursor(pub TaskId);

/// A waiting task, as much as is needed to find it a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its id; also the cursor to look on from.
    pub task: TaskId,
    /// The attempt that waits.
    pub attempt: u32,
    /// The fence of its last claim, 0 when it had none: what is said of it as it waits is said under this one.
    pub fence: Fence,
    /// The backend it was asked to run on (`backend_parameters.backend`), if any.
    pub backend: Option<String>,
    /// The backend of an expired claim: a job may exist there already.
    pub claimed_on: Option<String>,
    /// Thousandths of a core it asks for.
    pub cpu_milli: Option<u64>,
    /// Bytes of memory it asks for.
    pub ram_bytes: Option<u64>,
}

/// A piece of the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuePiece {
    /// The tasks, in order.
    pub tasks: Vec<Queueing>,
    /// How long the store worked for it; waiting for its turn is no work.
    pub took: Duration,
}

/// A task in the queue, whoever owns it and whether it may be tried now or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Queueing {
    /// Its id; also the cursor to look on from.
    pub task: TaskId,
    /// The backend it was asked to run on, if any.
    pub wanted: Option<String>,
    /// The backend it is claimed for.
    pub claimed_on: Option<String>,
    /// What only its owner is told.
    pub own: Option<OwnQueueing>,
}

/// What the owner of a task in the queue is told.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnQueueing {
    /// Its name.
    pub name: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// Where it stands.
    pub state: TaskState,
    /// Thousandths of a core it asks for.
    pub cpu_milli: Option<u64>,
    /// Bytes of memory it asks for.
    pub ram_bytes: Option<u64>,
}

/// A wish to take a task for a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The task.
    pub task: TaskId,
    /// The backend it shall run on.
    pub backend: String,
    /// What it is counted with there, defaults applied.
    pub cpu_milli: u64,
    /// What it is counted with there, defaults applied.
    pub ram_bytes: u64,
}

/// A task that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The task.
    pub task: TaskId,
    /// Whom it belongs to.
    pub owner: crate::task::Owner,
    /// The attempt to hand over.
    pub attempt: u32,
    /// How often a backend could not take it.
    pub refusals: u32,
    /// What was asked for.
    pub spec: TaskSpec,
    /// The claim.
    pub claim: Claim,
}

/// A claim on a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its fence.
    pub fence: Fence,
    /// Who has it.
    pub holder: Holder,
    /// The backend it was taken for.
    pub backend: String,
    /// When it expires.
    pub until: Timestamp,
}

/// A task that has, or may have, something outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    /// The task.
    pub task: TaskId,
    /// Where it stands.
    pub state: TaskState,
    /// Its claim; also after the hand-over, for its fence.
    pub claim: Option<Claim>,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// There is no such task.
    Unknown,
    /// There is one, and this build cannot read it: nothing is to be done to its job.
    Unreadable,
    /// Here.
    At(Active),
}

impl Standing {
    /// The task, if there is one and it can be read.
    pub fn active(&self) -> Option<&Active> {
        match self {
            Self::At(active) => Some(active),
            Self::Unknown | Self::Unreadable => None,
        }
    }
}

/// What a backend carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The backend.
    pub backend: String,
    /// Tasks claimed for it or running on it. An expired claim counts until it is settled: a job may exist there.
    pub jobs: u64,
    /// The sum of what they are counted with.
    pub cpu_milli: u64,
    /// The sum of what they are counted with.
    pub ram_bytes: u64,
}

/// An event to be applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The task.
    pub task: TaskId,
    /// The claim under which it is said; `None` for what needs none.
    pub fence: Option<Fence>,
    /// When it was seen.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// The task is in this phase now; state and event are stored.
    Moved(Phase),
    /// Nothing changed, and that is right. A sentence ([`Event::Noted`]) of a task that has not ended is stored.
    Unchanged(Phase),
    /// The machine refused it.
    Refused(Refusal),
    /// It was said under an older claim.
    Fenced,
    /// The task was changed between reading and writing; ask again.
    Conflict,
    /// There is no such task.
    Unknown,
}

/// A job that is over and whose leavings have not been removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The task it belonged to.
    pub task: TaskId,
    /// Where it is.
    pub job: JobRef,
    /// Who had the task when the job was over: what it printed is kept there.
    pub holder: Option<Holder>,
}
