//! What a task waits for, in the words of this API: the sentence of the system log, and its parts as data.

use jiff::Timestamp;
use serde::Serialize;
use tessera_runtime::doing::Work;
use utoipa::ToSchema;

use crate::engine::place::Short;
use crate::engine::waiting::{self, Lacks};

/// What a task waits for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = waiting)]
pub struct Waiting {
    /// A sentence for people, the same as in the task's system log.
    pub message: String,
    /// The same as data.
    #[serde(flatten)]
    pub reason: Reason,
}

/// Why, by kind. New kinds may join.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(as = waitingReason)]
pub enum Reason {
    /// It waits for room, or for its turn.
    InQueue {
        /// The backend it waits for.
        backend: String,
        /// Waiting tasks ahead of it for the same backend, of all users; 0 is the next one. Tasks that are tried again
        /// later count, tasks on their way to the backend do not.
        position: u64,
        /// What is lacking; left out when it would fit.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        lacks: Option<Lack>,
    },
    /// It is tried again later.
    NextTry {
        /// The backend it waits for.
        backend: String,
        /// Waiting tasks ahead of it for the same backend, of all users.
        position: u64,
        /// Not before then.
        #[schema(value_type = String, format = DateTime)]
        next_try: Timestamp,
        /// The attempt that waits; the first is 1.
        attempt: u32,
        /// How often the backend could not take this attempt.
        refusals: u32,
        /// What went wrong, where it is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        reason: Option<String>,
    },
    /// Its backend does not take jobs now.
    BackendUnavailable {
        /// The backend it waits for.
        backend: String,
        /// Waiting tasks ahead of it for the same backend, of all users.
        position: u64,
        /// Since when.
        #[schema(value_type = String, format = DateTime)]
        since: Timestamp,
        /// The backend's last words.
        reason: String,
        /// When it is asked again.
        #[schema(value_type = String, format = DateTime)]
        next_try: Timestamp,
    },
    /// Its backend is not configured, or not any more.
    BackendMissing {
        /// That backend.
        backend: String,
    },
    /// Only a server that does not answer can tell of it, or take it; a job of it may go on all the same.
    ServerAway {
        /// The backend.
        backend: String,
        /// The server.
        server: String,
        /// Since when it does not answer; left out when that is not known.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
        since: Option<Timestamp>,
    },
    /// It is being handed to its backend.
    HandingOver {
        /// That backend.
        backend: String,
    },
    /// Its backend has it and has not begun, or has stopped for a while.
    AtBackend {
        /// That backend.
        backend: String,
        /// The backend's own words.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        reason: Option<String>,
    },
    /// Its backend does not tell how the job is.
    Unreadable {
        /// That backend.
        backend: String,
        /// Why.
        reason: String,
    },
    /// An image is being pulled.
    PullingImage {
        /// Which.
        image: String,
        /// Bytes that have come.
        bytes: u64,
        /// Bytes in all; left out while the size of a layer is not known.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        of_bytes: Option<u64>,
        /// Since when.
        #[schema(value_type = String, format = DateTime)]
        since: Timestamp,
    },
    /// Inputs are being fetched.
    FetchingInputs {
        /// How much.
        #[serde(flatten)]
        moved: Moved,
    },
    /// Outputs are being delivered.
    DeliveringOutputs {
        /// How much.
        #[serde(flatten)]
        moved: Moved,
    },
    /// Its cancel was asked for, and something may still run.
    BeingCanceled {
        /// Since when.
        #[schema(value_type = String, format = DateTime)]
        since: Timestamp,
    },
}

/// What is lacking: of cores in thousandths, of memory in bytes, of places in jobs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = lack)]
pub struct Lack {
    /// What.
    pub what: Resource,
    /// So much is needed.
    pub needs: u64,
    /// So much the backend has.
    pub has: u64,
    /// So much of it is free now.
    pub free: u64,
}

/// What may be lacking.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = resource)]
pub enum Resource {
    /// Thousandths of a core.
    CpuMilli,
    /// Bytes of memory.
    RamBytes,
    /// Places among the jobs that run at once.
    Jobs,
}

/// How much has been moved.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = moved)]
pub struct Moved {
    /// Files that are done.
    pub files: u64,
    /// Files in all, as far as is known.
    pub of_files: u64,
    /// Bytes that were moved.
    pub bytes: u64,
    /// Bytes in all; left out while the size of a file is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub of_bytes: Option<u64>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

impl From<waiting::Waiting> for Waiting {
    fn from(waiting: waiting::Waiting) -> Self {
        Self { message: waiting.to_string(), reason: reason(waiting) }
    }
}

fn reason(waiting: waiting::Waiting) -> Reason {
    use waiting::Waiting as Why;
    match waiting {
        Why::InQueue { backend, ahead, lacks } => Reason::InQueue { backend, position: ahead, lacks: lacks.map(lack) },
        Why::NextTry { backend, ahead, at, attempt, refusals, reason } => {
            Reason::NextTry { backend, position: ahead, next_try: at, attempt, refusals, reason }
        }
        Why::BackendUnavailable { backend, ahead, since, reason, next_try } => {
            Reason::BackendUnavailable { backend, position: ahead, since, reason, next_try }
        }
        Why::BackendMissing { backend } => Reason::BackendMissing { backend },
        Why::ServerAway { backend, server, since } => Reason::ServerAway { backend, server, since },
        Why::HandingOver { backend } => Reason::HandingOver { backend },
        Why::AtBackend { backend, reason } => Reason::AtBackend { backend, reason },
        Why::Unreadable { backend, reason } => Reason::Unreadable { backend, reason },
        Why::OnWork { since, work } => on_work(since, work),
        Why::Canceling { since } => Reason::BeingCanceled { since },
    }
}

fn on_work(since: Timestamp, work: Work) -> Reason {
    match work {
        Work::Pulling { image, bytes, of_bytes } => Reason::PullingImage { image, bytes, of_bytes, since },
        Work::Fetching { files, of_files, bytes, of_bytes } => {
            Reason::FetchingInputs { moved: Moved { files, of_files, bytes, of_bytes, since } }
        }
        Work::Delivering { files, of_files, bytes, of_bytes } => {
            Reason::DeliveringOutputs { moved: Moved { files, of_files, bytes, of_bytes, since } }
        }
        // No wait; the engine does not say so.
        Work::Running { executor } => {
            Reason::AtBackend { backend: String::new(), reason: Some(format!("executor {executor} runs")) }
        }
    }
}

fn lack(lacks: Lacks) -> Lack {
    let (what, needs, has) = match lacks.short {
        Short::Cpu { needs, has } => (Resource::CpuMilli, needs, has),
        Short::Ram { needs, has } => (Resource::RamBytes, needs, has),
        Short::Jobs { has } => (Resource::Jobs, 1, has),
    };
    Lack { what, needs, has, free: lacks.free }
}
