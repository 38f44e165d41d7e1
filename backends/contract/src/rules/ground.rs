//! What a test provides.

use std::path::Path;

use async_trait::async_trait;
use tessera_runtime::report::Report;

use crate::Job;

/// An engine under test. Each rule gets one of its own.
#[async_trait]
pub trait Ground: Send + Sync {
    /// Runs a job to its end, answers its report, and leaves nothing of it behind. The job may read and write what
    /// lies below [`Ground::folder`].
    async fn run(&self, job: Job) -> Report;

    /// A folder of this host that no other ground uses, empty at first. Jobs name it by its own path.
    fn folder(&self) -> &Path;

    /// What the engine can beyond what every engine must.
    fn can(&self) -> Can;
}

/// What not every engine can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Can {
    /// Bound the processes of a container.
    pub limit_processes: bool,
    /// Bound the disk that a container uses beside its mounts to about what was asked for, with 256 MiB to spare.
    pub weigh_containers: bool,
}
