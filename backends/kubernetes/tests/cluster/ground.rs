//! What the tests stand on: one server's backend, under an installation of its own, with a folder and a server that its
//! jobs reach.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job as KubeJob;
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::api::{DeleteParams, ListParams, PropagationPolicy};
use tessera_contract::rules::jobs::unique;
use tessera_contract::{Backend, Bell, Handle, InstallationId, Job, Observation};
use tessera_kubernetes::Kubernetes;
use tessera_kubernetes::config::{KubernetesConfig, Mount, Ours};
use tokio::sync::OwnedSemaphorePermit;

use crate::outside::Outside;
use crate::over::Over;
use crate::place::{Place, every_turn, turn};

/// How long a job of these tests may take.
const PATIENCE: Duration = Duration::from_secs(150);
/// The image of our own containers; see `tests/images/build`.
pub(crate) const RUNTIME: &str = "tessera-test/runtime:1";

/// One server's backend and what its jobs reach.
pub(crate) struct Ground {
    pub(crate) place: Place,
    pub(crate) outside: Outside,
    /// Jobs may name its `files` by its own path.
    pub(crate) folder: tempfile::TempDir,
    pub(crate) installation: InstallationId,
    pub(crate) config: KubernetesConfig,
    pub(crate) bell: Bell,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Ground {
    /// When it is this one's turn.
    pub(crate) async fn new(place: &Place) -> Self {
        let turn = turn().await;
        Self { _turn: Some(turn), ..Self::beside(place).await }
    }

    /// When nobody else has a turn, and nobody gets one.
    pub(crate) async fn alone(place: &Place) -> Self {
        let turn = every_turn().await;
        Self { _turn: Some(turn), ..Self::beside(place).await }
    }

    /// Beside one whose turn it is.
    pub(crate) async fn beside(place: &Place) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files").display().to_string();
        std::fs::create_dir(&files).unwrap();
        let config = KubernetesConfig {
            kubeconfig: Some(place.kubeconfig.clone()),
            namespace: Some(place.namespace.name.clone()),
            image: RUNTIME.to_owned(),
            mounts: vec![Mount { path: files.clone(), claim: None, host_path: Some(files), read_only: false }],
            // Many pods on a small node.
            ours: Ours { cpu_cores: 0.01, ram_gb: 0.03, ..Ours::default() },
            stop_grace_ms: Some(500),
            ..KubernetesConfig::default()
        };
        Self {
            place: place.clone(),
            outside: Outside::open(&place.host).await,
            folder,
            installation: InstallationId(unique()),
            config,
            bell: Bell::default(),
            _turn: None,
        }
    }

    /// What jobs may read and write.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    pub(crate) async fn open(&self) -> Arc<Kubernetes> {
        let (config, folder) = (self.config.clone(), self.folder.path().join("spool"));
        Kubernetes::open("kubernetes", config, self.installation.clone(), folder, self.bell.clone()).await.unwrap()
    }

    /// Looks, whenever the backend rings, until the job is over.
    pub(crate) async fn over(&self, backend: &dyn Backend, handle: &Handle) -> Over {
        self.until(backend, handle, Over::of).await
    }

    /// Looks until the first executor has started.
    pub(crate) async fn started(&self, backend: &dyn Backend, handle: &Handle) {
        let seen = |seen| matches!(seen, Observation::Working(progress) if progress.started.is_some()).then_some(());
        self.until(backend, handle, seen).await;
    }

    /// Looks, whenever the backend rings, until what is seen is what is wished for. A backend that cannot say anything
    /// now is asked again.
    pub(crate) async fn until<T>(
        &self,
        backend: &dyn Backend,
        handle: &Handle,
        wished: impl Fn(Observation) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = match backend.observe(std::slice::from_ref(handle)).await {
                Ok(mut seen) => {
                    let seen = seen.remove(0);
                    let told = format!("{seen:?}");
                    if let Some(found) = wished(seen) {
                        return found;
                    }
                    told
                }
                Err(error) => error.to_string(),
            };
            assert!(Instant::now() < deadline, "waited in vain for {}; seen last: {told}", handle.0);
            let _ = tokio::time::timeout(Duration::from_millis(250), self.bell.rung()).await;
        }
    }

    /// The Jobs of this installation for a job of ours; one, as a rule.
    pub(crate) async fn jobs_of(&self, job: &Job) -> Vec<KubeJob> {
        let labels = format!("tessera.installation={},tessera.job={}", self.installation.0, job.id);
        self.place.api::<KubeJob>().list(&ListParams::default().labels(&labels)).await.unwrap().items
    }

    /// Its Pods.
    pub(crate) async fn pods_of(&self, job: &Job) -> Vec<Pod> {
        let labels = format!("tessera.installation={},tessera.job={}", self.installation.0, job.id);
        self.place.api::<Pod>().list(&ListParams::default().labels(&labels)).await.unwrap().items
    }

    /// Its one Pod, as soon as it is as wished.
    pub(crate) async fn pod_when(&self, job: &Job, wished: impl Fn(&Pod) -> bool) -> Pod {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let pods = self.pods_of(job).await;
            if let Some(pod) = pods.into_iter().find(&wished) {
                return pod;
            }
            assert!(Instant::now() < deadline, "the pod of {} never was as wished", job.id);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Removes its Pods at once, as somebody with `kubectl delete --force` would.
    pub(crate) async fn delete_pods(&self, job: &Job) {
        for pod in self.pods_of(job).await {
            let _gone = self.place.api::<Pod>().delete(&pod.metadata.name.unwrap(), &at_once()).await;
        }
    }

    /// Removes its Jobs, and the Pods with them.
    pub(crate) async fn delete_jobs(&self, job: &Job) {
        for found in self.jobs_of(job).await {
            let _gone = self.place.api::<KubeJob>().delete(&found.metadata.name.unwrap(), &at_once()).await;
        }
    }

    /// Returns when none of its Pods is there.
    pub(crate) async fn pods_gone(&self, job: &Job) {
        let deadline = Instant::now() + PATIENCE;
        while !self.pods_of(job).await.is_empty() {
            assert!(Instant::now() < deadline, "pods of {} are left", job.id);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Stops, waits, releases, and sees that nothing is left.
    pub(crate) async fn put_away(&self, backend: &dyn Backend, job: &Job, handle: &Handle) {
        backend.cancel(handle).await.unwrap();
        self.over(backend, handle).await;
        backend.release(handle).await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !(self.jobs_of(job).await.is_empty() && self.pods_of(job).await.is_empty()) {
            assert!(Instant::now() < deadline, "{} is left in the cluster", job.id);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// From the hand-over to the end, and nothing is left.
    pub(crate) async fn run(&self, backend: &dyn Backend, job: &Job) -> Over {
        let handle = backend.submit(job).await.unwrap();
        let over = self.over(backend, &handle).await;
        self.put_away(backend, job, &handle).await;
        over
    }
}

fn at_once() -> DeleteParams {
    DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default().grace_period(0) }
}

/// The state of a container of a Pod.
pub(crate) fn state(pod: &Pod, container: &str) -> Option<ContainerState> {
    let status = pod.status.as_ref()?;
    let all = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    all.into_iter().find(|one| one.name == container)?.state.clone()
}

/// Whether a container of a Pod runs.
pub(crate) fn runs(pod: &Pod, container: &str) -> bool {
    state(pod, container).is_some_and(|state| state.running.is_some())
}

/// A ground on the cluster; without one the test is over.
macro_rules! cluster {
    () => {
        match crate::place::Place::cluster().await {
            Some(place) => crate::ground::Ground::new(&place).await,
            None => return,
        }
    };
}
pub(crate) use cluster;
