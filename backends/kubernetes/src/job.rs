//! Our job → the Job that is asked for. Pure.
//!
//! Nothing of a task's command or environment stands in it: they travel in the plan.
//!
//! Parts, in reading order:
//! - this page: the Job, and what is never asked for;
//! - [`asked`]: what every part of it is made from;
//! - [`pod`], [`containers`]: its Pod, and what runs in it;
//! - [`volumes`], [`resources`], [`placement`], [`security`]: what they are given, where, and as whom.

mod asked;
mod containers;
mod placement;
mod pod;
mod resources;
mod security;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job as Manifest, JobSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tessera_contract::{BackendError, InstallationId, Job};
use tessera_runtime::layout::Layout;
use tessera_runtime::plan::{Network, Plan};

use crate::config::KubernetesConfig;
use crate::names;
use crate::view::Verdict;

/// Backend parameters that are honoured here whatever is configured (TES contract 13.6).
const PARAMETERS: [&str; 3] = ["container_user", "gpu_count", "walltime"];
/// The one that chooses among the kinds of GPU that are configured.
pub(crate) const GPU_TYPE: &str = "gpu_type";
/// Containers of a task in one pod: what is left to each of the last words must hold a summary.
const MOST_EXECUTORS: usize = 30;
/// Kueue's label for its queue.
const QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// What all jobs of one backend share.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// The backend's name in the configuration.
    pub(crate) name: String,
    /// How it is used.
    pub(crate) config: KubernetesConfig,
    /// Whose objects they are.
    pub(crate) installation: InstallationId,
    /// Where they are made.
    pub(crate) namespace: String,
}

/// Lower-case keys of the backend parameters that are honoured (TES contract 13.6).
pub(crate) fn parameters(config: &KubernetesConfig) -> Vec<String> {
    let mut parameters = PARAMETERS.map(str::to_owned).to_vec();
    if !config.gpu_types.is_empty() {
        parameters.push(GPU_TYPE.to_owned());
    }
    parameters.extend(config.extended_resources.iter().map(|name| name.to_lowercase()));
    parameters
}

/// The Job of an attempt. It is made suspended: its Secret comes after it, and belongs to it.
pub(crate) fn manifest(setting: &Setting, job: &Job) -> Result<Manifest, BackendError> {
    let plan = plan(setting, job)?;
    let layout = Layout::of(&plan)
        .map_err(|error| BackendError::Rejected(format!("job {} cannot be laid out: {error}", job.id)))?;
    let spec = pod::pod(&asked::Asked { setting, job, plan: &plan, layout: &layout })?;
    let mut metadata = metadata(setting, job);
    metadata.annotations.get_or_insert_default().insert(names::VERDICT.to_owned(), Verdict::Open.text());
    if let Some(queue) = &setting.config.kueue_queue {
        metadata.labels.get_or_insert_default().insert(QUEUE.to_owned(), queue.clone());
    }
    let of_pod = ObjectMeta { name: None, namespace: None, ..self::metadata(setting, job) };
    Ok(Manifest {
        metadata,
        spec: Some(JobSpec {
            // A second Pod would do everything again; whether that may be is the engine's to decide.
            backoff_limit: Some(0),
            completions: Some(1),
            parallelism: Some(1),
            suspend: Some(true),
            template: PodTemplateSpec { metadata: Some(of_pod), spec: Some(spec) },
            ttl_seconds_after_finished: i32::try_from(setting.config.finished_ttl_s).ok(),
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// Name, labels and annotations that all objects of a job have.
pub(crate) fn metadata(setting: &Setting, job: &Job) -> ObjectMeta {
    let marked = |marks: &BTreeMap<String, String>, ours: &[(&str, &str)]| {
        let ours = ours.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        marks.iter().map(|(key, value)| (key.clone(), value.clone())).chain(ours).collect()
    };
    let config = &setting.config;
    ObjectMeta {
        name: Some(names::object(&setting.installation, &job.id)),
        namespace: Some(setting.namespace.clone()),
        labels: Some(marked(
            &config.labels,
            &[
                (names::INSTALLATION, &setting.installation.0),
                (names::JOB, job.id.as_str()),
                (names::BACKEND, &setting.name),
            ],
        )),
        annotations: Some(marked(&config.annotations, &[(names::OWNER, &job.owner)])),
        ..ObjectMeta::default()
    }
}

/// The plan as its pod is to have it, or why it never will be run here.
pub(crate) fn plan(setting: &Setting, job: &Job) -> Result<Plan, BackendError> {
    let mut plan = job.plan.clone();
    plan.job = job.id.to_string();
    let rejected = |reason: String| Err(BackendError::Rejected(reason));
    if plan.executors.is_empty() {
        return rejected(format!("job {} has nothing to run", job.id));
    }
    if plan.executors.len() > MOST_EXECUTORS {
        return rejected(format!(
            "job {} has {} executors, and a pod of `{}` takes {MOST_EXECUTORS}: all their containers are there at once; \
             make several tasks of it",
            job.id,
            plan.executors.len(),
            setting.name
        ));
    }
    let asked = match plan.limits.network {
        Network::Bridge => None,
        Network::Host => Some("host"),
        Network::None => Some("none"),
    };
    if let Some(asked) = asked {
        return rejected(format!(
            "the network `{asked}` cannot be had on `{}`: the containers of a pod share the network that the cluster \
             gives them; leave the backend parameter `network` out",
            setting.name
        ));
    }
    // Both are folders of the server's own host; where nothing can be mounted as it is, inputs are copies.
    plan.storage.file_bind_rw.clear();
    plan.storage.cache = None;
    plan.policy.log_cap_bytes = plan.policy.log_cap_bytes.min(setting.config.log_cap_bytes());
    if let Some(grace) = setting.config.stop_grace_ms {
        plan.policy.stop_grace_ms = grace;
    }
    Ok(plan)
}
