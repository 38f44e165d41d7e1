//! What the tests stand on: an engine, an image, the runtime, a folder of their own.

#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tessera_contract::{Backend, Bell, Handle, InstallationId, Job, JobId, Observation};
use tessera_docker::Docker;
use tessera_docker::config::DockerConfig;
use tessera_runtime::node::attempt::Attempt;
use tessera_runtime::node::container;
use tessera_runtime::node::engine::Engine;
use tessera_runtime::node::settings::EngineSettings;
use tessera_runtime::plan::{Executor, PLAN_VERSION, Plan};
use tessera_runtime::report::{Fault, Outcome, Report};

/// The image of most tests; see `tests/images/build`.
pub(crate) const IMAGE: &str = "tessera-test/busybox:1";
/// A volume of most tests, seen from outside through the task's tree.
pub(crate) const SHARED: &str = "/shared";

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

/// A text that no other test uses: process, count and time.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() & 0xffff_ffff;
    format!("{:x}{nanos:08x}{:04x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A job that runs these shell scripts, one executor each.
pub(crate) fn job(scripts: &[&str]) -> Job {
    let executors = scripts.iter().map(|script| shell(script, &[], BTreeMap::new())).collect();
    job_of(executors)
}

/// A job of these executors.
pub(crate) fn job_of(executors: Vec<Executor>) -> Job {
    let id = JobId::of_attempt(&unique(), 1);
    Job {
        plan: Plan {
            version: PLAN_VERSION,
            job: id.to_string(),
            inputs: Vec::new(),
            executors,
            outputs: Vec::new(),
            volumes: vec![SHARED.to_owned()],
            limits: Default::default(),
            policy: Default::default(),
            storage: Default::default(),
        },
        id,
        owner: "tests".to_owned(),
        preemptible: false,
        zones: Vec::new(),
        parameters: BTreeMap::new(),
    }
}

/// An executor that runs a shell script with these arguments and this environment.
pub(crate) fn shell(script: &str, arguments: &[String], env: BTreeMap<String, String>) -> Executor {
    let mut command: Vec<String> = ["/bin/sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    command.extend_from_slice(arguments);
    Executor {
        image: IMAGE.to_owned(),
        command,
        workdir: None,
        env,
        stdin: None,
        stdout: None,
        stderr: None,
        ignore_error: false,
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

/// The fault of a job that failed otherwise than by its command.
pub(crate) fn fault(report: &Report) -> &Fault {
    match &report.outcome {
        Outcome::Failed(fault) => fault,
        other => panic!("{other:?} is no fault: {report:#?}"),
    }
}

/// All that was noted, a line each.
pub(crate) fn notes(report: &Report) -> String {
    report.notes.iter().map(|note| format!("{}\n", note.text)).collect()
}
