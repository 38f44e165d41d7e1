//! What a backend says. A report of the outside world, not a task's state: only the engine turns one into the other.

use tessera_runtime::report::{Progress, Report};

use crate::job::{Handle, JobId};

/// What is known of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// Accepted, and not yet working; with the reason where one is known.
    Waiting {
        /// Why it waits.
        reason: Option<String>,
    },
    /// The runtime is at work: staging, or running a step (then `started` is set).
    Working(Progress),
    /// Capacity was taken away for a while; it will go on.
    Paused,
    /// The report is there; what it describes is over.
    Ended(Report),
    /// Stopped on request before the runtime could report. Nothing is left running.
    Stopped,
    /// Capacity was reclaimed for good.
    Preempted {
        /// The backend's words.
        reason: String,
    },
    /// Positive evidence that the job is gone and will never report.
    Lost {
        /// The evidence.
        reason: String,
        /// Whether a command of the user may have run.
        user_code_started: bool,
    },
    /// Could not be read now. Says nothing about the job.
    Unreadable {
        /// What went wrong.
        reason: String,
    },
}

/// One of the two streams of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of what a step has printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// The bytes from the offset asked for; empty when there are none yet. Where the stream has a gap (a bound on what
    /// is kept), a piece ends; the next begins behind it, at `next` less its length.
    pub bytes: Vec<u8>,
    /// The offset to ask for next.
    pub next: u64,
    /// More was there already when this was read. Otherwise this is all that the stream held at that moment.
    pub more: bool,
    /// No more will come: the step has ended, though its job may go on, and this is the last of it. Never said of a
    /// job that is not there.
    pub ended: bool,
}

/// A page of the jobs a backend holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InventoryPage {
    /// The jobs.
    pub jobs: Vec<Inventoried>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// One job that a backend holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventoried {
    /// Its id.
    pub job: JobId,
    /// Its handle, good for `observe`, `cancel` and `release`.
    pub handle: Handle,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was tried, as a short name.
    pub subject: String,
    /// What was found, and what to do.
    pub message: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works.
    Ok,
    /// Works, with a limit worth knowing.
    Warning,
    /// Does not work.
    Problem,
}
