//! A namespace of our own, with an account for the server, and the Jobs in it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::TryStreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Namespace, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::config::{AuthInfo, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource};

use crate::ends::Ends;
use crate::{OURS, PATIENCE};

/// The server, in the namespace.
const ACCOUNT: &str = "server";
/// Between two looks at what is left.
const GLANCE: Duration = Duration::from_millis(200);

/// A namespace.
pub(crate) struct Room {
    client: Client,
    name: String,
    ends: Ends,
}

impl Room {
    /// Makes it, and begins to watch its pods.
    pub(crate) async fn make() -> Result<Self> {
        let client = Client::try_default().await.context("no cluster; KUBECONFIG names one")?;
        let name = format!("tessera-bench-{}", std::process::id());
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.clone());
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        let room = Self { client, name, ends: Ends::default() };
        if let Err(error) = room.furnish().await {
            room.remove().await?;
            return Err(error);
        }
        tokio::spawn(watch(room.api(), room.ends.clone()));
        Ok(room)
    }

    async fn furnish(&self) -> Result<()> {
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(ACCOUNT.to_owned());
        self.api().create(&PostParams::default(), &account).await?;
        let mut binding = RoleBinding {
            role_ref: RoleRef { kind: "ClusterRole".to_owned(), name: "admin".to_owned(), ..RoleRef::default() },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: ACCOUNT.to_owned(),
                namespace: Some(self.name.clone()),
                ..Subject::default()
            }]),
            ..RoleBinding::default()
        };
        binding.role_ref.api_group = "rbac.authorization.k8s.io".to_owned();
        binding.metadata.name = Some(ACCOUNT.to_owned());
        self.api().create(&PostParams::default(), &binding).await?;
        // Pods without an account of their own are refused until this one is there.
        let accounts = self.api::<ServiceAccount>();
        until("the default service account", async || Ok(accounts.get_opt("default").await?.is_some())).await
    }

    /// Removes it, and waits until it is gone.
    pub(crate) async fn remove(&self) -> Result<()> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        namespaces.delete(&self.name, &DeleteParams::default()).await?;
        until("the namespace to go", async || Ok(namespaces.get_opt(&self.name).await?.is_none())).await
    }

    /// What the server is told: this cluster, as its account, with these lines beside.
    pub(crate) async fn settings(&self, folder: &Path, more: &str) -> Result<String> {
        let wanted = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(24 * 3600), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let accounts = self.api::<ServiceAccount>();
        let made = accounts.create_token_request(ACCOUNT, &PostParams::default(), &wanted).await?;
        let token = made.status.context("no token")?.token;
        let mut config = Kubeconfig::read().context("KUBECONFIG")?;
        for user in &mut config.auth_infos {
            user.auth_info = Some(AuthInfo { token: Some(token.clone().into()), ..AuthInfo::default() });
        }
        let file = folder.join("kubeconfig");
        std::fs::write(&file, serde_json::to_string(&config)?)?;
        Ok(format!(
            "[backends.kubernetes]\nkind = \"kubernetes\"\nkubeconfig = {file:?}\nnamespace = {:?}\nimage = {OURS:?}\n{more}",
            self.name,
        ))
    }

    /// As the audit log calls the server.
    pub(crate) fn user(&self) -> String {
        format!("system:serviceaccount:{}:{ACCOUNT}", self.name)
    }

    /// Objects of a kind in it.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// When the pods of these Jobs, or of these tasks, had ended.
    pub(crate) async fn ended(&self, names: &[String]) -> Result<Vec<Instant>> {
        self.ends.of(&names.iter().map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>()).await
    }

    /// The Job of a task, once it is there.
    pub(crate) async fn job_of(&self, task: &str) -> Result<Job> {
        let began = Instant::now();
        loop {
            let all = self.api::<Job>().list(&ListParams::default()).await?;
            let found = all.items.into_iter().find(|job| belongs(job.metadata.labels.as_ref(), task));
            if let Some(job) = found {
                return Ok(job);
            }
            if began.elapsed() > PATIENCE {
                bail!("no Job belongs to the task {task}");
            }
            tokio::time::sleep(GLANCE / 10).await;
        }
    }

    /// How many Jobs there are.
    pub(crate) async fn jobs(&self) -> Result<usize> {
        Ok(self.api::<Job>().list_metadata(&ListParams::default()).await?.items.len())
    }

    /// Until so many Jobs are there.
    pub(crate) async fn holds(&self, many: usize) -> Result<()> {
        until("the Jobs", async || Ok(self.jobs().await? >= many)).await
    }

    /// Until nothing is left of any Job.
    pub(crate) async fn empty(&self) -> Result<()> {
        let pods = self.api::<Pod>();
        until("the Jobs to go", async || {
            Ok(self.jobs().await? == 0 && pods.list_metadata(&ListParams::default()).await?.items.is_empty())
        })
        .await
    }

    /// Removes all Jobs.
    pub(crate) async fn clear(&self) -> Result<()> {
        self.api::<Job>().delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
        self.empty().await
    }

    /// What it takes to list all Jobs and pods, and how much that is.
    pub(crate) async fn list(&self) -> Result<(Duration, usize)> {
        let (mut took, mut bytes) = (Duration::ZERO, 0);
        for path in [
            format!("/apis/batch/v1/namespaces/{}/jobs?resourceVersion=0", self.name),
            format!("/api/v1/namespaces/{}/pods?resourceVersion=0", self.name),
        ] {
            let began = Instant::now();
            bytes += self.client.request_text(http::Request::get(path).body(Vec::new())?).await?.len();
            took += began.elapsed();
        }
        Ok((took, bytes))
    }
}

/// Notes pods in which no container runs any more, by the name of their Job, and by the task.
async fn watch(pods: Api<Pod>, ends: Ends) {
    let events = watcher(pods, watcher::Config::default()).default_backoff().applied_objects();
    let all = events.try_for_each(async |pod: Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        if has_ended(&pod) {
            let labels = pod.metadata.labels.unwrap_or_default();
            if let Some(task) = labels.get("tessera.job").and_then(|job| task_of(job)) {
                ends.note(&task, phase != "Failed");
            }
            if let Some(job) = labels.get("batch.kubernetes.io/job-name") {
                ends.note(job, phase != "Failed");
            }
        }
        Ok(())
    });
    if let Err(error) = all.await {
        eprintln!("the watch has ended: {error}");
    }
}

/// A kubelet says of each container that it has ended before it says so of the pod.
fn has_ended(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let over = status.phase.as_deref().is_some_and(|phase| ["Succeeded", "Failed"].contains(&phase));
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    let ended = |one: &ContainerStatus| one.state.as_ref().is_some_and(|state| state.terminated.is_some());
    over || !containers.is_empty() && containers.iter().all(ended)
}

/// The task whose attempt a job is.
fn task_of(job: &str) -> Option<String> {
    job.rsplit_once('-').map(|(task, _)| task.to_ascii_lowercase())
}

fn belongs(labels: Option<&std::collections::BTreeMap<String, String>>, task: &str) -> bool {
    let job = labels.and_then(|labels| labels.get("tessera.job"));
    job.and_then(|job| task_of(job)).is_some_and(|own| own == task.to_ascii_lowercase())
}

async fn until(what: &str, ready: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !ready().await? {
        if began.elapsed() > PATIENCE {
            bail!("waited {PATIENCE:?} for {what}, in vain");
        }
        tokio::time::sleep(GLANCE).await;
    }
    Ok(())
}
