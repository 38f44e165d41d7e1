//! The rules of the TES contract that only an engine shows, on Docker.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tessera_contract::rules::Can;
use tessera_contract::{Backend, Job};
use tessera_docker::Docker;
use tessera_runtime::report::Report;

use crate::ground::{Ground, Place};

tessera_contract::rules!(tests, crate::rules::ground());

/// A ground with one server's backend on it.
struct OnDocker {
    ground: Ground,
    backend: Arc<Docker>,
}

async fn ground() -> Option<OnDocker> {
    let ground = Ground::new(&Place::docker().await?);
    let backend = ground.open().await;
    Some(OnDocker { ground, backend })
}

#[async_trait]
impl tessera_contract::rules::Ground for OnDocker {
    async fn run(&self, mut job: Job) -> Report {
        job.plan.storage.file_roots.push(self.folder().display().to_string());
        let handle = self.backend.submit(&job).await.unwrap();
        let report = self.ground.ended(&self.backend, &handle).await;
        self.ground.put_away(&self.backend, &handle).await;
        report
    }

    fn folder(&self) -> &Path {
        self.ground.folder.path()
    }

    fn can(&self) -> Can {
        Can { limit_processes: true, weigh_containers: true }
    }
}
