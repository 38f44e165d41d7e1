//! Runs jobs on the Docker (or Podman) engine of this host, one detached node process an attempt.
//!
//! The adapter builds the attempt's directory, starts the node, looks at its files and signals it. Transfers and
//! containers go on whatever happens to this process, and a node that died is started again.
//!
//! Parts, in reading order:
//! - [`config`]: the settings; `registry`: logins for private images;
//! - `job`: our job → the node's documents; `status`: the node's files → our observation;
//! - `folder`: the directories; `node`: starting nodes;
//! - `watch`: looking after the nodes; `takedown`: jobs on their way out;
//! - `printed`: what steps print;
//! - `check`: what an operator should know;
//! - this page: the contract.

pub mod config;

mod check;
mod folder;
mod job;
mod node;
mod printed;
mod registry;
mod status;
mod takedown;
mod watch;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tessera_contract::{
    Backend, BackendError, Bell, Capacity, Finding, Handle, Honours, InstallationId, Inventoried, InventoryPage, Job,
    JobId, LogChunk, Observation, Profile, Stream,
};
use tessera_runtime::node::container;
use tessera_runtime::node::engine::Engine;
use tessera_runtime::node::settings::EngineSettings;
use tessera_runtime::plan::Policy;

use crate::config::DockerConfig;
use crate::folder::Folder;
use crate::job::Setting;
use crate::printed::Printed;
use crate::registry::DockerFile;
use crate::watch::{Watch, disk, job_of};

/// Jobs on one page of the inventory.
const PAGE: usize = 32;
/// Beyond the grace: the engine's own time to end a container.
const ENGINE_TAKES: Duration = Duration::from_secs(1);
/// How long the engine is asked what it has, before the host is looked at instead.
const ASKED_FOR: Duration = Duration::from_secs(2);

/// One engine as a backend.
#[derive(Debug)]
pub struct Docker {
    profile: Profile,
    watch: Arc<Watch>,
    printed: Arc<Printed>,
    listener: tokio::task::AbortHandle,
}

impl Docker {
    /// Opens the backend `name`, whose jobs live below `work`. `runtime` is the static tool runtime on this
    /// host; `bell` is rung when a job has changed. An engine that does not answer is no error here.
    pub async fn open(
        name: &str,
        config: DockerConfig,
        installation: InstallationId,
        work: PathBuf,
        runtime: PathBuf,
        bell: Bell,
    ) -> Result<Arc<Self>, BackendError> {
        let misconfigured = |text: String| BackendError::Misconfigured(format!("backend `{name}`: {text}"));
        if let Some((key, sentence)) = config.problem() {
            return Err(misconfigured(format!("`{key}`: {sentence}")));
        }
        let logins = DockerFile::read(&config).map_err(misconfigured)?;
        let folder = Folder::open(&work)
            .map_err(|e| misconfigured(format!("the work directory {} cannot be used: {e}", work.display())))?;
        let engine = Engine::at(EngineSettings { host: config.engine_host(), api: None });
        let profile = Profile {
            name: name.to_owned(),
            kind: "docker",
            local: true,
            capacity: capacity(&config, &engine).await,
            parameters: job::PARAMETERS.map(str::to_owned).to_vec(),
            stops_within: Duration::from_millis(config.stop_grace_ms.unwrap_or(Policy::default().stop_grace_ms))
                + ENGINE_TAKES,
        };
        let fifo = job::bell_of(folder.path());
        let setting = Setting {
            name: name.to_owned(),
            config,
            installation,
            runtime_binary: runtime.canonicalize().unwrap_or(runtime),
            bell: fifo.clone(),
        };
        let listener = watch::listen(&fifo, bell.clone())
            .map_err(|e| misconfigured(format!("the FIFO {} cannot be opened: {e}", fifo.display())))?;
        let watch = Arc::new(Watch::new(setting, folder, engine, logins, bell));
        watch.sweep();
        Ok(Arc::new(Self { profile, watch, printed: Arc::default(), listener }))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// What the engine has, as far as the configuration does not say. An engine behind a socket of this host has what
/// the host has, also before it answers; of any other nothing is known then, so nothing is bounded.
async fn capacity(config: &DockerConfig, engine: &Engine) -> Capacity {
    let (mut cores, mut memory) = (config.cpu_cores, None);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked to be positive.
    if let Some(gib) = config.ram_gb {
        memory = Some((gib * f64::from(1 << 30)) as u64);
    }
    if cores.is_none() || memory.is_none() {
        let info = match tokio::time::timeout(ASKED_FOR, engine.info()).await {
            Ok(Ok(info)) => Some(info),
            Ok(Err(_)) | Err(_) => None,
        };
        let asked = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0);
        let local = config.engine_host().starts_with("unix://");
        let asked_cores = info.as_ref().and_then(|info| asked(info.ncpu));
        #[allow(clippy::cast_precision_loss)] // No machine has so many.
        let cores_there = asked_cores.or_else(|| host_cores().filter(|_| local)).map(|n| n as f64);
        cores = cores.or(cores_there);
        memory =
            memory.or_else(|| info.and_then(|info| asked(info.mem_total))).or_else(|| host_memory().filter(|_| local));
    }
    Capacity {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked to be positive.
        cpu_milli: cores.map(|cores| (cores * 1_000.0) as u64),
        ram_bytes: memory,
        jobs: config.jobs,
    }
}

fn host_cores() -> Option<u64> {
    std::thread::available_parallelism().ok().and_then(|n| u64::try_from(n.get()).ok())
}

fn host_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

#[async_trait]
impl Backend for Docker {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn honours(&self) -> Honours {
        Honours { disk: true, ..Honours::default() }
    }

    fn bell(&self) -> Option<&Bell> {
        Some(self.watch.bell())
    }

    async fn submit(&self, job: &Job) -> Result<Handle, BackendError> {
        let watch = self.watch.clone();
        let handle = Handle(job.id.to_string());
        let api = watch.engine_answers().await?;
        let (plan, settings) = job::documents(&watch.setting, &watch.logins, api, job)?;
        let id = job.id.clone();
        watch.accept_to_the_end(id, plan, settings).await?;
        Ok(handle)
    }

    async fn observe(&self, handles: &[Handle]) -> Result<Vec<Observation>, BackendError> {
        let handles = handles.to_vec();
        self.watch
            .blocking(move |watch| {
                let evidence = handles.iter().map(|handle| watch.look_at(handle));
                evidence.map(status::observation).collect()
            })
            .await
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), BackendError> {
        let handle = handle.clone();
        self.watch.blocking(move |watch| watch.cancel(&handle)).await?
    }

    async fn release(&self, handle: &Handle) -> Result<(), BackendError> {
        self.watch.release(handle).await?;
        if let Some(job) = job_of(handle) {
            self.printed.forget(&job);
        }
        Ok(())
    }

    async fn withdraw(&self, handle: &Handle) -> Result<(), BackendError> {
        self.watch.withdraw(handle).await.map(|_| ())
    }

    async fn logs(&self, handle: &Handle, step: u32, stream: Stream, from: u64) -> Result<LogChunk, BackendError> {
        let Some(job) = job_of(handle) else {
            return Err(BackendError::Rejected(format!("`{}` is no job of this backend", handle.0)));
        };
        let printed = Arc::clone(&self.printed);
        self.watch
            .blocking(move |watch| {
                let attempt = watch.folder.attempt(&job);
                let there_is_none = || BackendError::Rejected(format!("there is no job {job}"));
                let read = printed.read(&attempt, (job.clone(), step, stream), from);
                read.map_err(|e| disk("reading the log of", &attempt, &e))?.ok_or_else(there_is_none)
            })
            .await?
    }

    async fn inventory(&self, after: Option<&str>) -> Result<InventoryPage, BackendError> {
        self.watch.sweep();
        // Whoever gave up on handing a job over asks here what became of it.
        self.watch.settled().await;
        let folder = self.watch.folder.clone();
        let jobs = self.watch.blocking(move |_| folder.jobs()).await?;
        let jobs = jobs.map_err(|e| BackendError::Unavailable(format!("the work directory cannot be listed: {e}")))?;
        let known: HashSet<JobId> = jobs.iter().cloned().collect();
        let mut rest = jobs.into_iter().filter(|job| after.is_none_or(|after| job.as_str() > after));
        let mut page: Vec<JobId> = rest.by_ref().take(PAGE).collect();
        let next = rest.next().and(page.last()).map(JobId::to_string);
        if next.is_none() {
            // Behind the last directory: what only its containers remember.
            let orphans = self.watch.jobs_of_containers().await?.into_iter();
            page.extend(orphans.filter(|job| !known.contains(job)));
        }
        let inventoried = |job: JobId| Inventoried { handle: Handle(job.to_string()), job };
        Ok(InventoryPage { jobs: page.into_iter().map(inventoried).collect(), next })
    }

    async fn check(&self) -> Vec<Finding> {
        check::check(&self.watch).await
    }
}

/// The labels of every container of one installation.
pub(crate) fn installation_label(setting: &Setting) -> (&str, &str) {
    (container::INSTALLATION, setting.installation.0.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn capacity_at(host: &str) -> Capacity {
        let config = DockerConfig { host: Some(host.to_owned()), ..DockerConfig::default() };
        let engine = Engine::at(EngineSettings { host: host.to_owned(), api: None });
        capacity(&config, &engine).await
    }

    #[tokio::test]
    async fn an_engine_that_does_not_answer_is_bounded_by_this_host_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let here = capacity_at(&format!("unix://{}", dir.path().join("no.sock").display())).await;
        assert!(here.cpu_milli.is_some() && here.ram_bytes.is_some(), "{here:?}");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let elsewhere = capacity_at(&format!("tcp://127.0.0.1:{port}")).await;
        assert_eq!((elsewhere.cpu_milli, elsewhere.ram_bytes), (None, None));
    }
}
