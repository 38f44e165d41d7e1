//! Runs jobs on a Kubernetes cluster: one Job, one Pod and one small Secret an attempt.
//!
//! Nothing waits for a job. Two watches keep a copy of what the API server holds of ours, and whoever asks reads that
//! copy. All that must outlive the server stands on the Job itself.
//!
//! Parts, in reading order:
//! - [`config`]: what can be configured;
//! - [`names`], [`view`], [`handle`]: how our objects are called, and what is looked at of them;
//! - [`job`], [`plan`], [`shelf`]: our job → their request;
//! - [`client`], [`calls`], [`trouble`]: the way to the API server, its budget, its refusals;
//! - [`owner`], [`submit`], [`stop`]: handing over, stopping, removing;
//! - [`slim`], [`mirror`], [`watch`], [`janitor`], [`events`]: what the API server holds of ours;
//! - [`status`], [`facts`]: what that means; pure;
//! - [`observe`], [`progress`], [`report`], [`printed`]: what is said of a job, and what needs a log for it;
//! - [`check`]: whether it can be used.

pub mod config;

mod again;
mod calls;
mod check;
mod client;
mod events;
mod facts;
mod handle;
mod janitor;
mod job;
mod mirror;
mod names;
mod observe;
mod owner;
mod plan;
mod printed;
mod progress;
mod report;
mod shelf;
mod site;
mod slim;
mod status;
mod stop;
mod submit;
mod trouble;
mod view;
mod watch;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod played;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tessera_contract::{
    Backend, BackendError, Bell, Capacity, Finding, Handle, Honours, InstallationId, Inventoried, InventoryPage, Job,
    JobId, LogChunk, Observation, Profile, Stream,
};
use tessera_runtime::plan::{Executor, Limits, PLAN_VERSION, Plan, Policy, Storage};
use tokio::task::JoinHandle;

use client::Cluster;
pub use config::KubernetesConfig;
use handle::Kept;
use job::Setting;
use mirror::Mirror;
use printed::Printed;
pub use shelf::PlanShelf;
use site::Site;
use slim::{SlimJob, SlimPod};

/// Jobs in a page of the inventory.
const PAGE: usize = 500;
/// What the cluster takes to stop a Pod, beside the grace: word from the Job's controller to the kubelet and back.
const CLUSTER_TAKES: Duration = Duration::from_secs(15);

/// One namespace of one cluster.
pub struct Kubernetes {
    profile: Profile,
    honours: Honours,
    site: Arc<Site>,
    tasks: Vec<JoinHandle<()>>,
}

impl Kubernetes {
    /// Opens a backend of a name for the jobs of an installation. `folder` is for what tasks print and for large plans;
    /// `bell` is rung when a job has changed. An API server that does not answer is no error here.
    pub async fn open(
        name: &str,
        config: KubernetesConfig,
        installation: InstallationId,
        folder: PathBuf,
        bell: Bell,
    ) -> Result<Arc<Self>, BackendError> {
        let misconfigured = |text: String| BackendError::Misconfigured(format!("backend `{name}`: {text}"));
        if let Some((key, sentence)) = config.problem() {
            return Err(misconfigured(format!("`{key}`: {sentence}")));
        }
        let cluster = Cluster::connect(&config).await.map_err(misconfigured)?;
        Self::on(name, config, installation, folder, bell, cluster)
    }

    /// The same on a cluster that is reached already.
    fn on(
        name: &str,
        config: KubernetesConfig,
        installation: InstallationId,
        folder: PathBuf,
        bell: Bell,
        cluster: Cluster,
    ) -> Result<Arc<Self>, BackendError> {
        let disk = |what: &str, error: std::io::Error| {
            let at = folder.display();
            BackendError::Misconfigured(format!("backend `{name}`: the folder {at} for {what} cannot be used: {error}"))
        };
        let shelf = PlanShelf::open(&folder.join("plans")).map_err(|e| disk("large plans", e))?;
        let printed = Printed::open(&folder.join("printed")).map_err(|e| disk("what tasks print", e))?;
        let profile = profile(name, &config);
        let honours = Honours { disk: true, preemptible: config.honours_preemptible(), zones: config.honours_zones() };
        let setting = Setting { name: name.to_owned(), config, installation, namespace: cluster.namespace.clone() };
        let site = Arc::new(Site::new(setting, cluster, Mirror::new(bell), Arc::new(shelf), printed));
        let tasks = vec![
            tokio::spawn(watch::watch::<SlimJob>(site.clone())),
            tokio::spawn(watch::watch::<SlimPod>(site.clone())),
            tokio::spawn(janitor::look_after(site.clone())),
        ];
        Ok(Arc::new(Self { profile, honours, site, tasks }))
    }

    /// Plans that are too large for a Secret, for the door at which pods fetch them.
    pub fn plans(&self) -> Arc<PlanShelf> {
        self.site.shelf.clone()
    }

    /// How many calls to the API server there were so far, by verb and resource, as a Role names them.
    pub fn calls(&self) -> BTreeMap<(&'static str, String), u64> {
        self.site.cluster.calls.counted()
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A job as tasks have them, for a check.
fn sample(config: &KubernetesConfig) -> Job {
    let executor = Executor {
        image: config.image.clone(),
        command: vec!["true".to_owned()],
        workdir: None,
        env: BTreeMap::new(),
        stdin: None,
        stdout: None,
        stderr: None,
        ignore_error: false,
    };
    let id = JobId::of_attempt("check", 1);
    let plan = Plan {
        version: PLAN_VERSION,
        job: id.to_string(),
        inputs: Vec::new(),
        executors: vec![executor],
        outputs: Vec::new(),
        volumes: Vec::new(),
        limits: Limits::default(),
        policy: Policy::default(),
        storage: Storage::default(),
    };
    let owner = String::new();
    Job { id, owner, plan, preemptible: false, zones: Vec::new(), parameters: BTreeMap::new() }
}

fn profile(name: &str, config: &KubernetesConfig) -> Profile {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked to be positive.
    let whole = |number: f64| number as u64;
    Profile {
        name: name.to_owned(),
        kind: "kubernetes",
        local: false,
        capacity: Capacity {
            cpu_milli: config.cpu_cores.map(|cores| whole(cores * 1_000.0)),
            ram_bytes: config.ram_gb.map(|gib| whole(gib * f64::from(1 << 30))),
            jobs: config.jobs,
        },
        parameters: job::parameters(config),
        stops_within: Duration::from_millis(config.stop_grace_ms.unwrap_or(Policy::default().stop_grace_ms))
            + CLUSTER_TAKES,
    }
}

#[async_trait]
impl Backend for Kubernetes {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn honours(&self) -> Honours {
        self.honours
    }

    fn bell(&self) -> Option<&Bell> {
        Some(self.site.mirror.bell())
    }

    async fn submit(&self, job: &Job) -> Result<Handle, BackendError> {
        submit::submit(&self.site, job).await
    }

    async fn observe(&self, handles: &[Handle]) -> Result<Vec<Observation>, BackendError> {
        observe::observe(&self.site, handles).await
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), BackendError> {
        stop::cancel(&self.site, &self.site.kept(handle)?).await
    }

    async fn release(&self, handle: &Handle) -> Result<(), BackendError> {
        let kept = self.site.kept(handle)?;
        stop::remove(&self.site, &kept).await?;
        self.site.told().remove(&kept.job);
        self.site.printed.forget(&kept.job);
        let plan = self.site.shelf.remove(&kept.job);
        plan.map_err(|e| BackendError::Unavailable(format!("the plan of job {} cannot be removed: {e}", kept.job)))
    }

    async fn withdraw(&self, handle: &Handle) -> Result<(), BackendError> {
        let kept = self.site.kept(handle)?;
        stop::keep(&self.site, &kept.job).await;
        stop::remove(&self.site, &kept).await?;
        self.site.told().entry(kept.job).or_default().removed = true;
        Ok(())
    }

    async fn logs(&self, handle: &Handle, step: u32, stream: Stream, from: u64) -> Result<LogChunk, BackendError> {
        let kept = self.site.kept(handle)?;
        self.site.synced().await?;
        observe::logs(&self.site, &kept, step, stream, from).await
    }

    async fn inventory(&self, after: Option<&str>) -> Result<InventoryPage, BackendError> {
        self.site.synced().await?;
        let uid = self.site.namespace_uid().await?;
        let (jobs, more) = self.site.mirror.page(after, PAGE);
        let next = jobs.last().filter(|_| more).map(|job| job.id.to_string());
        let namespace = &self.site.cluster.namespace;
        let kept = jobs.into_iter().map(|job| Kept {
            job: job.id,
            namespace: namespace.clone(),
            namespace_uid: uid.clone(),
            at: job.created,
        });
        let jobs = kept.map(|kept| Inventoried { handle: kept.handle(), job: kept.job }).collect();
        Ok(InventoryPage { jobs, next })
    }

    async fn check(&self) -> Vec<Finding> {
        let site = &self.site;
        let sample = job::manifest(&site.setting, &sample(&site.setting.config)).ok();
        check::check(&site.cluster.client, &site.cluster.namespace, &site.setting.config, sample.as_ref()).await
    }
}
