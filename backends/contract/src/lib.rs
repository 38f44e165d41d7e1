//! What every backend promises.
//!
//! A backend is a foreign queue: it is asked, never awaited. Everything that must be remembered of a job is in
//! its [`Handle`], and every method may be called again after a crash between any two lines of the caller.
//!
//! Parts, in reading order:
//! - [`job`]: what is handed over;
//! - [`observation`]: what a backend says about it;
//! - [`error`]: errors, sorted by what the caller does next;
//! - this page: the trait itself;
//! - [`scripted`]: a fake that does as it is told, stricter than any real engine;
//! - [`conformance`]: the promises as a suite of functions that every backend must pass;
//! - [`mod@rules`]: rules of the TES contract that only an engine shows, as a suite that every engine must pass.

pub mod conformance;
pub mod error;
pub mod job;
pub mod observation;
pub mod rules;
pub mod scripted;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use error::BackendError;
pub use job::{Handle, InstallationId, Job, JobId};
pub use observation::{Finding, Inventoried, InventoryPage, LogChunk, Observation, Severity, Stream};

/// A place where jobs run.
///
/// Every method is idempotent and returns soon: none waits for a job.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Facts the engine plans with. Constant while the server runs.
    fn profile(&self) -> &Profile;

    /// Which wishes of a task it honours; none unless it says so.
    fn honours(&self) -> Honours {
        Honours::default()
    }

    /// The bell it rings when a job may have changed; `None` when it can only be polled.
    fn bell(&self) -> Option<&Bell> {
        None
    }

    /// Hands a job over. Submitting a job whose id is known finds the first one and answers its handle.
    async fn submit(&self, job: &Job) -> Result<Handle, BackendError>;

    /// What is known of each job, in the order asked. One unreadable job is [`Observation::Unreadable`] and
    /// does not spoil the rest; an error says nothing about any job.
    async fn observe(&self, handles: &[Handle]) -> Result<Vec<Observation>, BackendError>;

    /// Stops a job for real. A job that has ended or is gone counts as stopped. When this returns, the stop has
    /// been asked for and survives our death; [`Observation`] says when nothing is left.
    async fn cancel(&self, handle: &Handle) -> Result<(), BackendError>;

    /// Removes what a job left behind. Called once a job has ended; a job already removed is no error.
    async fn release(&self, handle: &Handle) -> Result<(), BackendError>;

    /// Removes what of an ended job is left with the engine that runs it, so that its task may be told that nothing is
    /// left; what it printed is to stay until [`Backend::release`]. By default a release: whatever cannot tell the two
    /// apart loses what was not read yet.
    async fn withdraw(&self, handle: &Handle) -> Result<(), BackendError> {
        self.release(handle).await
    }

    /// What a step has printed so far, from a byte offset; also while it runs. Of a job that is not there (any more)
    /// [`BackendError::Rejected`]: that is not the end of a log, and nobody may take it for one.
    async fn logs(&self, handle: &Handle, step: u32, stream: Stream, from: u64) -> Result<LogChunk, BackendError>;

    /// A page of every job of this installation that the backend still holds, in a stable order; `after` is the
    /// former page's `next`.
    async fn inventory(&self, after: Option<&str>) -> Result<InventoryPage, BackendError>;

    /// The smallest calls that prove the backend usable, each finding with what to do.
    async fn check(&self) -> Vec<Finding>;
}

/// Facts about a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The name it has in the configuration.
    pub name: String,
    /// Its kind: `docker`, `scripted`, …
    pub kind: &'static str,
    /// It is on this server's machine: no other server can ask it about its jobs.
    pub local: bool,
    /// What it can carry at once.
    pub capacity: Capacity,
    /// Lower-case keys of `backend_parameters` that it honours (TES contract 13.6).
    pub parameters: Vec<String>,
    /// How long a cancelled job may go on at most, on a healthy engine.
    pub stops_within: Duration,
}

/// Wishes that not every backend can honour (TES contract 13.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Honours {
    /// A bound on the disk that a job uses.
    pub disk: bool,
    /// Cheaper capacity that may be reclaimed.
    pub preemptible: bool,
    /// Zones to run in.
    pub zones: bool,
}

/// What a backend can carry at once; `None` is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Thousandths of a core.
    pub cpu_milli: Option<u64>,
    /// Bytes of memory.
    pub ram_bytes: Option<u64>,
    /// Jobs.
    pub jobs: Option<u64>,
}

/// A bell that a backend rings when a job has changed. It only wakes: what changed is asked for.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<tokio::sync::Notify>);

impl Bell {
    /// Wakes the one who waits, or the next one who will.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Returns after the next ring, or at once if it rang since the last wait.
    pub async fn rung(&self) {
        self.0.notified().await;
    }
}
