//! What the tests stand on: an engine, an image, the runtime, a folder of their own.

#![allow(clippy::wildcard_enum_match_arm)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tessera_contract::{Backend, Bell, Handle, InstallationId, Observation};
use tessera_docker::Docker;
use tessera_docker::config::DockerConfig;
use tessera_runtime::node::attempt::Attempt;
use tessera_runtime::node::container;
use tessera_runtime::node::engine::Engine;
use tessera_runtime::node::settings::EngineSettings;
use tessera_runtime::report::Report;

pub(crate) use tessera_contract::rules::jobs::{IMAGE, SHARED, job, job_of, shell, unique};
pub(crate) use tessera_contract::rules::told::{fault, notes};

/// An engine to test on.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) runtime: PathBuf,
}

impl Place {
    /// Docker, if it answers and has the image.
    pub(crate) async fn docker() -> Option<Self> {
        let host = DockerConfig::default().engine_host();
        Self::at("Docker", host).await
    }

    /// Podman, if the environment names its socket.
    pub(crate) async fn podman() -> Option<Self> {
        match std::env::var("TESSERA_TEST_PODMAN") {
            Ok(socket) => Self::at("Podman", format!("unix://{}", socket.trim_start_matches("unix://"))).await,
            Err(_) => cannot_run("Podman", "TESSERA_TEST_PODMAN names no socket; tests/engines/podman starts one"),
        }
    }

    async fn at(kind: &str, host: String) -> Option<Self> {
        let runtime = runtime()?;
        let engine = Engine::at(EngineSettings { host: host.clone(), api: None });
        if let Err(error) = engine.ping().await {
            return cannot_run(kind, &format!("{host} does not answer: {error}"));
        }
        if let Err(error) = engine.image_digest(IMAGE).await {
            return cannot_run(kind, &format!("there is no image {IMAGE}: {error}; tests/images/build makes it"));
        }
        Some(Self { host, runtime })
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::at(EngineSettings { host: self.host.clone(), api: None })
    }
}

fn runtime() -> Option<PathBuf> {
    let below_target = || {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
        target.join("x86_64-unknown-linux-musl/runtime/tessera-runtime")
    };
    let runtime = std::env::var_os("TESSERA_RUNTIME_BIN").map_or_else(below_target, PathBuf::from);
    if runtime.exists() {
        return Some(runtime);
    }
    let how = "cargo build -p tessera-runtime --profile runtime --target x86_64-unknown-linux-musl";
    cannot_run("the runtime", &format!("{} is not there: {how}", runtime.display()))
}

/// One line, or a failure where engines are required.
fn cannot_run<T>(what: &str, why: &str) -> Option<T> {
    assert!(std::env::var_os("TESSERA_REQUIRE_ENGINES").is_none(), "{what} is required: {why}");
    eprintln!("cannot run on {what}: {why}");
    None
}

/// One server's backend in a folder of its own, under an installation of its own.
pub(crate) struct Ground {
    pub(crate) place: Place,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) installation: InstallationId,
    pub(crate) config: DockerConfig,
    pub(crate) bell: Bell,
}

impl Ground {
    pub(crate) fn new(place: &Place) -> Self {
        Self {
            place: place.clone(),
            folder: tempfile::tempdir().unwrap(),
            installation: InstallationId(unique()),
            config: DockerConfig { host: Some(place.host.clone()), ..DockerConfig::default() },
            bell: Bell::default(),
        }
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) async fn open(&self) -> Arc<Docker> {
        let (runtime, bell) = (self.place.runtime.clone(), self.bell.clone());
        Docker::open("docker", self.config.clone(), self.installation.clone(), self.work(), runtime, bell)
            .await
            .unwrap()
    }

    pub(crate) fn attempt(&self, handle: &Handle) -> Attempt {
        Attempt::at(self.work().join(&handle.0))
    }

    /// What a job's commands have written below [`SHARED`].
    pub(crate) fn shared(&self, handle: &Handle, name: &str) -> PathBuf {
        self.attempt(handle).tree().join(SHARED.trim_start_matches('/')).join(name)
    }

    /// Lines of a file below [`SHARED`].
    pub(crate) fn lines(&self, handle: &Handle, name: &str) -> usize {
        std::fs::read_to_string(self.shared(handle, name)).map_or(0, |text| text.lines().count())
    }

    /// Looks, whenever the backend rings, until the job has ended.
    pub(crate) async fn ended(&self, backend: &Docker, handle: &Handle) -> Report {
        self.until(backend, handle, |seen| match seen {
            Observation::Ended(report) => Some(report),
            _ => None,
        })
        .await
    }

    /// Looks, whenever the backend rings, until what is seen is what is wished for.
    pub(crate) async fn until<T>(
        &self,
        backend: &Docker,
        handle: &Handle,
        wished: impl Fn(Observation) -> Option<T>,
    ) -> T {
        let deadline = std::time::Instant::now() + Duration::from_secs(120);
        loop {
            let seen = backend.observe(std::slice::from_ref(handle)).await.unwrap().remove(0);
            let told = format!("{seen:?}");
            if let Some(found) = wished(seen) {
                return found;
            }
            assert!(std::time::Instant::now() < deadline, "waited in vain; seen last: {told}");
            let _ = tokio::time::timeout(Duration::from_millis(200), self.bell.rung()).await;
        }
    }

    /// Returns when nothing of the job is left in the engine and in the folder.
    pub(crate) async fn gone(&self, handle: &Handle) {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        let away = self.work().join(format!(".gone-{}", handle.0));
        let labels = [(container::INSTALLATION, self.installation.0.as_str()), (container::JOB, handle.0.as_str())];
        loop {
            let left = self.place.engine().list(&labels).await.unwrap().len();
            if left == 0 && !away.exists() && !self.attempt(handle).dir().exists() {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{left} containers, {} is left", away.display());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns when nothing of the installation is left in the engine.
    pub(crate) async fn empty(&self) {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let labels = [(container::INSTALLATION, self.installation.0.as_str())];
            let left = self.place.engine().list(&labels).await.unwrap();
            if left.is_empty() {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "containers are left behind: {left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops, waits, releases, and sees that nothing is left.
    pub(crate) async fn put_away(&self, backend: &Docker, handle: &Handle) {
        backend.cancel(handle).await.unwrap();
        self.until(backend, handle, |seen| match seen {
            Observation::Ended(_) | Observation::Lost { .. } => Some(()),
            _ => None,
        })
        .await;
        backend.release(handle).await.unwrap();
        self.gone(handle).await;
    }
}

/// A ground on Docker; without it the test is over.
macro_rules! docker {
    () => {
        match crate::ground::Place::docker().await {
            Some(place) => crate::ground::Ground::new(&place),
            None => return,
        }
    };
}
pub(crate) use docker;
