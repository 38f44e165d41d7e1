//! What all parts of one backend share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use tessera_contract::{BackendError, JobId};
use tokio::sync::OnceCell;

use crate::client::Cluster;
use crate::handle::Kept;
use crate::job::Setting;
use crate::mirror::{Entry, Mirror};
use crate::names;
use crate::observe::Told;
use crate::printed::Printed;
use crate::shelf::PlanShelf;
use crate::slim::SlimJob;
use crate::status::{self, Judged, Patience, Refusal, Seen};
use crate::view::PodSeen;

/// How long a listing that goes on is waited for.
const LISTED_WITHIN: Duration = Duration::from_secs(10);

/// One backend.
pub(crate) struct Site {
    /// What it was told.
    pub(crate) setting: Setting,
    /// How long what may pass is waited for.
    pub(crate) patience: Patience,
    /// The way to the API server.
    pub(crate) cluster: Cluster,
    /// What the API server holds of ours.
    pub(crate) mirror: Mirror,
    /// Plans that are fetched.
    pub(crate) shelf: Arc<PlanShelf>,
    /// What tasks print.
    pub(crate) printed: Arc<Printed>,
    /// Why Jobs have no Pod, by the Job's name.
    pub(crate) refusals: Mutex<HashMap<String, Refusal>>,
    /// What was read of jobs, so that it is read once.
    pub(crate) told: Mutex<HashMap<JobId, Told>>,
    namespace_uid: OnceCell<Option<String>>,
}

/// What is known of one job.
pub(crate) struct Known {
    /// What is to be said or done.
    pub(crate) judged: Judged,
    /// Its Pods, also those that are gone.
    pub(crate) pods: Vec<PodSeen>,
    /// A Pod may still appear.
    pub(crate) may_straggle: bool,
}

/// The Pod that counts: one that is there, and the newest.
pub(crate) fn newest(pods: &[PodSeen]) -> Option<&PodSeen> {
    pods.iter().max_by_key(|pod| (!pod.gone, pod.created))
}

impl Site {
    pub(crate) fn new(
        setting: Setting,
        cluster: Cluster,
        mirror: Mirror,
        shelf: Arc<PlanShelf>,
        printed: Arc<Printed>,
    ) -> Self {
        let patience = Patience::of(&setting.config);
        Self {
            setting,
            patience,
            cluster,
            mirror,
            shelf,
            printed,
            refusals: Mutex::default(),
            told: Mutex::default(),
            namespace_uid: OnceCell::new(),
        }
    }

    pub(crate) fn jobs(&self) -> Api<SlimJob> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace)
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace)
    }

    /// The name of a job's objects.
    pub(crate) fn object(&self, job: &JobId) -> String {
        names::object(&self.setting.installation, job)
    }

    /// The namespace's own id, asked for once; `None` where we may not.
    pub(crate) async fn namespace_uid(&self) -> Result<Option<&str>, BackendError> {
        let uid = self.namespace_uid.get_or_try_init(|| async {
            let namespaces: Api<Namespace> = Api::all(self.cluster.client.clone());
            match self.cluster.call("get", "namespaces", namespaces.get(&self.cluster.namespace)).await {
                Ok(namespace) => Ok(namespace.metadata.uid),
                Err(trouble) if trouble.code == Some(403) => Ok(None),
                Err(trouble) if trouble.is_gone() => Err(BackendError::Misconfigured(format!(
                    "there is no namespace `{}`: make it, or configure another `namespace`",
                    self.cluster.namespace
                ))),
                Err(trouble) => Err(trouble.error),
            }
        });
        Ok(uid.await?.as_deref())
    }

    /// Returns once the mirror can be read.
    pub(crate) async fn synced(&self) -> Result<(), BackendError> {
        let mut changes = self.mirror.changes();
        let ready = async {
            loop {
                // Looked at after the change was marked as seen, or one between the two is lost.
                changes.borrow_and_update();
                if let Some(ready) = self.mirror.ready(|kind| self.cluster.calls.opened(kind.resource())) {
                    return ready;
                }
                if changes.changed().await.is_err() {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(LISTED_WITHIN, ready).await.unwrap_or_else(|_elapsed| {
            Err(BackendError::Unavailable(format!(
                "the jobs in namespace `{}` are still being listed",
                self.cluster.namespace
            )))
        })
    }

    /// What the mirror shows of a job; `None` when no Job is in it.
    pub(crate) fn known(&self, id: &JobId) -> Option<Known> {
        self.mirror.look(id, |entry| self.judge(entry))?
    }

    /// The same, of what the mirror holds.
    pub(crate) fn judge(&self, entry: &Entry) -> Option<Known> {
        let job = entry.job()?;
        let pods = entry.pods();
        let refusal = self.refusals().get(&job.name).cloned();
        let judged = status::judge(&Seen {
            backend: &self.setting.name,
            namespace: &self.cluster.namespace,
            job,
            pods: &pods,
            refusal: refusal.as_ref(),
            trouble_since: entry.trouble(),
            patience: &self.patience,
            now: Timestamp::now(),
        });
        Some(Known { judged, pods, may_straggle: entry.may_straggle() })
    }

    pub(crate) fn refusals(&self) -> MutexGuard<'_, HashMap<String, Refusal>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, HashMap<JobId, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the Job itself. `None`: it is not there, and this is the place where it was made.
    pub(crate) async fn confirm(&self, kept: &Kept) -> Result<Option<SlimJob>, BackendError> {
        let uid = self.namespace_uid().await?;
        if let Some(sentence) = kept.elsewhere(&self.cluster.namespace, uid) {
            return Err(BackendError::Misconfigured(sentence));
        }
        let jobs = self.jobs();
        let name = self.object(&kept.job);
        match self.cluster.call("get", "jobs", jobs.get(&name)).await {
            Ok(job) => {
                self.mirror.put_job(job.clone());
                Ok(Some(job))
            }
            Err(trouble) if trouble.is_gone() => Ok(None),
            Err(trouble) => Err(trouble.error),
        }
    }

    /// A handle of ours, in the namespace that we look at.
    pub(crate) fn kept(&self, handle: &tessera_contract::Handle) -> Result<Kept, BackendError> {
        let kept = Kept::read(handle).map_err(BackendError::Rejected)?;
        if kept.namespace != self.cluster.namespace
            && let Some(sentence) = kept.elsewhere(&self.cluster.namespace, None)
        {
            return Err(BackendError::Misconfigured(sentence));
        }
        Ok(kept)
    }
}
