//! What all parts of one backend share.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use tessera_contract::{BackendError, JobId};

use crate::client::Cluster;
use crate::handle::Kept;
use crate::job::Setting;
use crate::mirror::{Entry, Mirror};
use crate::names;
use crate::observe::Told;
use crate::owner::Owner;
use crate::printed::Printed;
use crate::shelf::PlanShelf;
use crate::slim::SlimJob;
use crate::status::{self, Judged, Patience, Refusal, Seen};
use crate::view::PodSeen;

/// How long a listing that goes on is waited for.
const LISTED_WITHIN: Duration = Duration::from_secs(10);

/// How long the namespace's own id holds: made anew under its name it has another one.
const ID_HOLDS: Duration = Duration::from_secs(30);

/// The ids of our namespace.
#[derive(Debug, Default)]
struct Ids {
    now: Option<(Instant, Option<String>)>,
    /// All that this server has met behind its one way to the cluster.
    met: HashSet<String>,
}

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
    ids: Mutex<Ids>,
    owner: Owner,
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
            ids: Mutex::default(),
            owner: Owner::default(),
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

    /// The namespace's own id, as it was a moment ago; `None` where we may not ask.
    pub(crate) async fn namespace_uid(&self) -> Result<Option<String>, BackendError> {
        if let Some((_, uid)) = self.ids().now.as_ref().filter(|(at, _)| at.elapsed() < ID_HOLDS) {
            return Ok(uid.clone());
        }
        let namespaces: Api<Namespace> = Api::all(self.cluster.client.clone());
        let uid = match self.cluster.call("get", "namespaces", namespaces.get(&self.cluster.namespace)).await {
            Ok(namespace) => namespace.metadata.uid,
            Err(trouble) if trouble.code == Some(403) => None,
            Err(trouble) if trouble.is_gone() => {
                return Err(BackendError::Misconfigured(format!(
                    "there is no namespace `{}`: make it, or configure another `namespace`",
                    self.cluster.namespace
                )));
            }
            Err(trouble) => return Err(trouble.error),
        };
        let mut ids = self.ids();
        ids.met.extend(uid.clone());
        ids.now = Some((Instant::now(), uid.clone()));
        Ok(uid)
    }

    /// The namespace seems to be another one by now.
    pub(crate) fn forget_namespace_uid(&self) {
        self.ids().now = None;
    }

    /// Why the place that we look at cannot say that a job is gone, if so. A namespace that we met ourselves and that is
    /// not there any more, or was made anew, went with all that was in it.
    pub(crate) async fn elsewhere(&self, kept: &Kept) -> Result<Option<String>, BackendError> {
        if kept.namespace == self.cluster.namespace
            && kept.namespace_uid.as_ref().is_some_and(|uid| self.ids().met.contains(uid))
        {
            return Ok(None);
        }
        let uid = self.namespace_uid().await?;
        Ok(kept.elsewhere(&self.cluster.namespace, uid.as_deref()))
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What Jobs are to belong to, if anything was named.
    pub(crate) async fn owner(&self) -> Result<Option<OwnerReference>, BackendError> {
        match &self.setting.config.owner {
            Some(name) => self.owner.reference(&self.cluster, name).await.map(Some),
            None => Ok(None),
        }
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
        if let Some(sentence) = self.elsewhere(kept).await? {
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
