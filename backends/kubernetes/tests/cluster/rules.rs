//! The rules of the TES contract that only an engine shows, on a cluster: side by side, for a pod takes its time.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tessera_contract::Job;
use tessera_contract::rules::{self, Can};
use tessera_kubernetes::Kubernetes;
use tessera_runtime::report::Report;

use crate::ground::Ground;
use crate::place::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_hold() {
    let Some(place) = Place::cluster().await else { return };
    let only = std::env::var("TESSERA_TEST_RULES").unwrap_or_default();
    let wanted = rules::all().into_iter().filter(|rule| rule.name.contains(&only));
    let held: Vec<_> = wanted
        .map(|rule| {
            let place = place.clone();
            (rule, tokio::spawn(async move { (rule.hold)(&OnCluster::new(&place).await).await }))
        })
        .collect();
    let mut broken = Vec::new();
    for (rule, task) in held {
        if let Err(error) = task.await {
            broken.push(format!("{}: {error}", rule.name));
        }
    }
    assert!(broken.is_empty(), "{} are broken:\n{}", broken.len(), broken.join("\n"));
}

/// A ground with one server's backend on it.
struct OnCluster {
    ground: Ground,
    files: std::path::PathBuf,
    backend: Arc<Kubernetes>,
}

impl OnCluster {
    async fn new(place: &Place) -> Self {
        let ground = Ground::new(place).await;
        Self { backend: ground.open().await, files: ground.files(), ground }
    }
}

#[async_trait]
impl rules::Ground for OnCluster {
    async fn run(&self, mut job: Job) -> Report {
        job.plan.storage.file_roots.push(self.files.display().to_string());
        self.ground.run(&*self.backend, &job).await.report()
    }

    fn folder(&self) -> &Path {
        &self.files
    }

    fn can(&self) -> Can {
        Can { limit_processes: false, weigh_containers: true }
    }
}
