//! What may happen to a task.
//!
//! The JSON of an event is its stored form: variants and fields are only ever added.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that happened. Every event but a user's cancel names the attempt it speaks of, so that what an
/// earlier attempt still says is told apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A dispatcher took the task: from now on a job may exist outside. A lease, not part of the history.
    Claimed {
        /// The attempt.
        attempt: u32,
    },
    /// A backend could not take the job now. Nothing exists outside.
    Postponed {
        /// The attempt.
        attempt: u32,
        /// Not to be tried again before.
        until: Timestamp,
        /// One sentence.
        reason: String,
    },
    /// A backend took the job.
    Submitted {
        /// The attempt.
        attempt: u32,
        /// Where it is.
        job: JobRef,
    },
    /// The job has got on: its first executor has started, executors have ended, or there is something to tell.
    Advanced {
        /// The attempt.
        attempt: u32,
        /// When the first executor started, once it has.
        started: Option<Timestamp>,
        /// Executors that have ended since the last event.
        executors: Vec<ExecutorLog>,
        /// Sentences since the last event.
        notes: Vec<LogLine>,
        /// How much of the job's progress is told, these included.
        seen: Seen,
    },
    /// The backend holds the job for a while.
    Paused {
        /// The attempt.
        attempt: u32,
    },
    /// It goes on.
    Resumed {
        /// The attempt.
        attempt: u32,
    },
    /// Capacity was reclaimed.
    Preempted {
        /// The attempt.
        attempt: u32,
        /// The backend's words.
        reason: String,
    },
    /// The attempt is over, and a new one is allowed.
    Retried {
        /// The attempt that is over.
        attempt: u32,
        /// What there is to keep of it.
        result: Box<AttemptResult>,
        /// The new attempt is not to begin before.
        not_before: Option<Timestamp>,
    },
    /// The attempt is over, and with it the task.
    Ended {
        /// The attempt.
        attempt: u32,
        /// How it ended.
        result: Box<AttemptResult>,
    },
    /// The user no longer wants it.
    CancelRequested {
        /// Whether the state is shown as CANCELING until it has stopped (TES contract 14.7).
        shown: bool,
    },
    /// Nothing of the attempt is left outside.
    Stopped {
        /// The attempt.
        attempt: u32,
        /// What there is to keep of it.
        result: Option<Box<AttemptResult>>,
    },
    /// A sentence for the log; moves nothing.
    Noted {
        /// The attempt.
        attempt: u32,
        /// The sentence.
        text: String,
    },
}

/// Where a job is: a backend's configured name, and the handle that backend gave out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobRef {
    /// The backend's name in the configuration.
    pub backend: String,
    /// Its handle.
    pub handle: String,
}

impl JobRef {
    /// Its name, for people; the rest of a handle is its backend's own memory.
    pub fn shown(&self) -> &str {
        self.handle.split('#').next().unwrap_or_default()
    }
}

/// How much of a job's progress the history holds already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Executors that have ended.
    pub executors: u32,
    /// Sentences.
    pub notes: u32,
}

/// How an attempt ended, and what there is to keep of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptResult {
    /// Good or bad, and whose fault.
    pub verdict: Verdict,
    /// When the first executor started, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
    /// Executors that ended since the last event told of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub executors: Vec<ExecutorLog>,
    /// Files that lie durably at their URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputFile>,
    /// Sentences since the last event. Of a failure, the last one explains it (TES contract 15.5).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<LogLine>,
    /// Facts about the run (TES contract 15.7).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Good or bad, and whose fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All went well.
    Complete,
    /// The user's command failed.
    ExecutorError,
    /// Something else failed.
    SystemError,
    /// Stopped on request.
    Canceled,
}

/// One executor that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorLog {
    /// Its index in the task.
    pub index: u32,
    /// Its exit code.
    pub exit_code: i32,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The end of its standard output.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdout: String,
    /// The end of its standard error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// The former is byte for byte all that it printed on standard output.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stdout_whole: bool,
    /// The same of standard error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stderr_whole: bool,
}

/// One delivered file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Its final URL.
    pub url: String,
    /// Its container path.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// Lower-case hexadecimal SHA-256.
    pub sha256: String,
}

/// A sentence of the system log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was true.
    pub at: Timestamp,
    /// The sentence.
    pub text: String,
}

impl Event {
    /// The attempt it speaks of; a user's cancel speaks of whichever there is.
    pub fn attempt(&self) -> Option<u32> {
        match self {
            Self::Claimed { attempt }
            | Self::Postponed { attempt, .. }
            | Self::Submitted { attempt, .. }
            | Self::Advanced { attempt, .. }
            | Self::Paused { attempt }
            | Self::Resumed { attempt }
            | Self::Preempted { attempt, .. }
            | Self::Retried { attempt, .. }
            | Self::Ended { attempt, .. }
            | Self::Stopped { attempt, .. }
            | Self::Noted { attempt, .. } => Some(*attempt),
            Self::CancelRequested { .. } => None,
        }
    }
}
