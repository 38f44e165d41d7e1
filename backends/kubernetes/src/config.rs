//! The settings of one Kubernetes backend.
//!
//! Parts, in reading order:
//! - [`places`]: what our own containers are given: folders, identities;
//! - [`placement`]: which nodes, which queue;
//! - [`security`]: as whom and how closed in containers run;
//! - `check`: what is wrong with it; `syntax`: what Kubernetes takes for a name.

pub mod placement;
pub mod places;
pub mod security;

mod check;
mod syntax;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use placement::{Preemptible, Toleration};
pub use places::{Identity, IdentitySecret, Mount, Ours, Tasks};
pub use security::Security;

/// One namespace of one cluster and how it is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesConfig {
    /// The file that says where the cluster is. Default: `KUBECONFIG` or `~/.kube/config`, and inside a cluster
    /// without either the service account of the server's own pod.
    pub kubeconfig: Option<PathBuf>,
    /// Which context of that file. Default: its current one.
    pub context: Option<String>,
    /// Where the jobs are made. Default: the namespace of the context, or of the server's own pod.
    pub namespace: Option<String>,
    /// Image of our own containers beside the task's; it holds `/tessera-runtime`, as the image of the server does.
    /// Required.
    pub image: String,
    /// When a node pulls that image: `IfNotPresent`, `Always` or `Never`. Default: `IfNotPresent`. Images of tasks are
    /// always pulled if not present.
    pub image_pull_policy: PullPolicy,
    /// Secrets of the namespace with logins for registries, for our image and those of tasks. Default: none.
    pub image_pull_secrets: Vec<String>,
    /// Service account of the jobs' pods; its token is never mounted. Default: the namespace's own.
    pub service_account: Option<String>,
    /// Where pods reach this server, `http://…` or `https://…`: for plans that are too large for a Secret (about
    /// 900 KiB). Default: none; a task with such a plan is refused.
    pub server_url: Option<String>,
    /// Jobs at the same time. Default: no bound; the cluster's own queue holds what does not fit.
    pub jobs: Option<u64>,
    /// Cores that jobs may ask for together. Default: no bound.
    pub cpu_cores: Option<f64>,
    /// GiB of memory that jobs may ask for together. Default: no bound.
    pub ram_gb: Option<f64>,
    /// Milliseconds between SIGTERM and SIGKILL when a job is stopped. Default: what the server says for all.
    pub stop_grace_ms: Option<u64>,
    /// MiB kept of each stream of a step; what comes later is counted and dropped. Default: 4, which with both streams
    /// stays below the 10 MiB at which nodes turn a container's log over (`containerLogMaxSize`); raise both together.
    pub log_cap_mb: u64,
    /// Milliseconds for which an image that cannot be pulled is tried again. Default: 300000.
    pub image_timeout_ms: u64,
    /// Milliseconds for which a container that cannot be made is tried again. Default: 120000.
    pub start_timeout_ms: u64,
    /// Milliseconds for which a pod that a quota refuses is tried again. Default: 600000.
    pub refused_timeout_ms: u64,
    /// Seconds after its end for which a job of a server that never comes back is kept. Default: 604800.
    pub finished_ttl_s: u32,
    /// Calls to the cluster a second, on the average. Default: 50.
    pub calls_per_second: u32,
    /// Calls to the cluster at once. Default: 100.
    pub calls_burst: u32,
    /// URL below which lists of outputs are kept that are too long for a log, `s3://bucket/tessera`. Default: none.
    pub work_prefix: Option<String>,
    /// The resource that a GPU is. Default: `nvidia.com/gpu`.
    pub gpu_resource: String,
    /// What the backend parameter `gpu_type` may say, and the labels of nodes that have it. Default: none.
    pub gpu_types: BTreeMap<String, BTreeMap<String, String>>,
    /// Further resources of nodes that tasks may ask for with a backend parameter of that name. Default: none.
    pub extended_resources: Vec<String>,
    /// Kueue's LocalQueue that starts the jobs; the server then starts none itself. Default: none.
    pub kueue_queue: Option<String>,
    /// RuntimeClass of the pods. Default: the cluster's own.
    pub runtime_class: Option<String>,
    /// PriorityClass of the pods. Default: the cluster's own.
    pub priority_class: Option<String>,
    /// Labels of Jobs, pods and Secrets, beside ours. Default: none.
    pub labels: BTreeMap<String, String>,
    /// Annotations of Jobs and pods, beside ours. Default: none.
    pub annotations: BTreeMap<String, String>,
    /// Labels that a node must have. Default: none.
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that are no matter. Default: none.
    pub tolerations: Vec<Toleration>,
    /// What makes a pod run on capacity that may be reclaimed. Default: nothing; then such a wish is not honoured.
    pub preemptible: Preemptible,
    /// Label of nodes that names their zone. Default: `topology.kubernetes.io/zone`; empty: zones are not honoured.
    pub zone_label: String,
    /// Group (by number) that may write to the volumes of a pod. Default: none.
    pub fs_group: Option<i64>,
    /// Folders for our own containers alone, so that `file://` URLs lead somewhere. Default: none.
    pub mounts: Vec<Mount>,
    /// Our own containers.
    pub ours: Ours,
    /// The containers of tasks.
    pub tasks: Tasks,
    /// A token of the pod's service account for our own containers, to show to a cloud. Default: none.
    pub identity: Option<Identity>,
    /// Secrets of the namespace, as folders in our own containers. Default: none.
    pub identity_secrets: Vec<IdentitySecret>,
}

/// When a node pulls an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// When it has none of that name.
    #[default]
    IfNotPresent,
    /// It asks the registry each time.
    Always,
    /// Never.
    Never,
}

impl PullPolicy {
    /// As Kubernetes writes it.
    pub fn text(self) -> &'static str {
        match self {
            Self::IfNotPresent => "IfNotPresent",
            Self::Always => "Always",
            Self::Never => "Never",
        }
    }
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            namespace: None,
            image: String::new(),
            image_pull_policy: PullPolicy::default(),
            image_pull_secrets: Vec::new(),
            service_account: None,
            server_url: None,
            jobs: None,
            cpu_cores: None,
            ram_gb: None,
            stop_grace_ms: None,
            log_cap_mb: 4,
            image_timeout_ms: 300_000,
            start_timeout_ms: 120_000,
            refused_timeout_ms: 600_000,
            finished_ttl_s: 604_800,
            calls_per_second: 50,
            calls_burst: 100,
            work_prefix: None,
            gpu_resource: "nvidia.com/gpu".to_owned(),
            gpu_types: BTreeMap::new(),
            extended_resources: Vec::new(),
            kueue_queue: None,
            runtime_class: None,
            priority_class: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            preemptible: Preemptible::default(),
            zone_label: "topology.kubernetes.io/zone".to_owned(),
            fs_group: None,
            mounts: Vec::new(),
            ours: Ours::default(),
            tasks: Tasks::default(),
            identity: None,
            identity_secrets: Vec::new(),
        }
    }
}

impl KubernetesConfig {
    /// Bytes kept of each stream of a step.
    pub fn log_cap_bytes(&self) -> u64 {
        self.log_cap_mb.saturating_mul(1 << 20)
    }

    /// Whether there is a way to ask for capacity that may be reclaimed.
    pub fn honours_preemptible(&self) -> bool {
        self.preemptible != Preemptible::default()
    }

    /// Whether zones mean anything.
    pub fn honours_zones(&self) -> bool {
        !self.zone_label.is_empty()
    }
}

/// Whether a node may have a label of such a value.
pub(crate) fn is_label_value(text: &str) -> bool {
    syntax::is_value(text)
}
