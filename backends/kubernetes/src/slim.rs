//! Jobs and Pods as they come from the API server, with what we look at of them and nothing else: thousands are listed
//! at once, and most of what they say is what we said ourselves.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Deserializer, Serialize};
use tessera_contract::JobId;

use crate::names;
use crate::view::{JobSeen, PodSeen, Verdict};

/// A Job.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SlimJob {
    #[serde(deserialize_with = "slim_meta")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: SlimJobSpec,
    #[serde(default)]
    status: SlimJobStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct SlimJobSpec {
    #[serde(default)]
    suspend: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct SlimJobStatus {
    #[serde(default)]
    conditions: Option<Vec<JobCondition>>,
}

/// A Pod.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SlimPod {
    #[serde(deserialize_with = "slim_meta")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: SlimPodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct SlimPodSpec {
    #[serde(default, rename = "nodeName")]
    node_name: Option<String>,
}

/// What we read of an object's metadata; the fields' managers alone may be longer than the rest.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct SlimMeta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

fn slim_meta<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let slim = SlimMeta::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: slim.name,
        namespace: slim.namespace,
        uid: slim.uid,
        resource_version: slim.resource_version,
        creation_timestamp: slim.creation_timestamp,
        deletion_timestamp: slim.deletion_timestamp,
        labels: slim.labels,
        annotations: slim.annotations,
        ..ObjectMeta::default()
    })
}

macro_rules! resource_as {
    ($slim:ty, $whole:ty) => {
        impl Resource for $slim {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind(of: &()) -> Cow<'_, str> {
                <$whole as Resource>::kind(of)
            }

            fn group(of: &()) -> Cow<'_, str> {
                <$whole as Resource>::group(of)
            }

            fn version(of: &()) -> Cow<'_, str> {
                <$whole as Resource>::version(of)
            }

            fn plural(of: &()) -> Cow<'_, str> {
                <$whole as Resource>::plural(of)
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource_as!(SlimJob, Job);
resource_as!(SlimPod, Pod);

impl From<Job> for SlimJob {
    fn from(job: Job) -> Self {
        Self {
            metadata: job.metadata,
            spec: SlimJobSpec { suspend: job.spec.and_then(|spec| spec.suspend) },
            status: SlimJobStatus { conditions: job.status.and_then(|status| status.conditions) },
        }
    }
}

/// Which job of ours an object belongs to.
pub(crate) fn job_of(meta: &ObjectMeta) -> Option<JobId> {
    JobId::parse(meta.labels.as_ref()?.get(names::JOB)?)
}

/// How new an object is. Opaque by the letter, a growing number in every cluster there is; one that is none is the
/// newest, and the order of arrival counts.
pub(crate) fn version_of(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(u64::MAX)
}

impl SlimJob {
    /// What is seen of it; nothing of a Job that is not marked as ours.
    pub(crate) fn seen(self) -> Option<JobSeen> {
        let conditions = self.status.conditions.unwrap_or_default();
        let holds = |kind: &str| conditions.iter().find(|found| found.type_ == kind && found.status == "True");
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let verdict = self.metadata.annotations.as_ref().and_then(|all| all.get(names::VERDICT));
        Some(JobSeen {
            id: job_of(&self.metadata)?,
            verdict: verdict.and_then(|text| Verdict::read(text)).unwrap_or(Verdict::Open),
            failed: holds("Failed").map(|failed| (text(&failed.reason), text(&failed.message))),
            complete: holds("Complete").is_some(),
            suspended: self.spec.suspend.unwrap_or_default(),
            deleting: self.metadata.deletion_timestamp.is_some(),
            created: made(&self.metadata)?,
            name: self.metadata.name?,
            uid: self.metadata.uid?,
        })
    }
}

impl SlimPod {
    /// What is seen of it, and of which job it is.
    pub(crate) fn seen(self) -> Option<(JobId, PodSeen)> {
        let job = job_of(&self.metadata)?;
        let seen = PodSeen {
            created: made(&self.metadata)?,
            deleting: self.metadata.deletion_timestamp.is_some(),
            gone: false,
            node: self.spec.node_name,
            status: slim_status(self.status),
            name: self.metadata.name?,
            uid: self.metadata.uid?,
        };
        Some((job, seen))
    }
}

fn made(meta: &ObjectMeta) -> Option<Timestamp> {
    Some(meta.creation_timestamp.as_ref()?.0)
}

/// Without what repeats the Pod's own wishes, container by container.
fn slim_status(mut status: PodStatus) -> PodStatus {
    let statuses = [&mut status.container_statuses, &mut status.init_container_statuses];
    for container in statuses.into_iter().flatten().flatten() {
        container.volume_mounts = None;
        container.resources = None;
        container.allocated_resources = None;
        container.user = None;
    }
    status.pod_ips = None;
    status.host_ips = None;
    status
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_looked_at_of_a_job_is_read() {
        let job: SlimJob = serde_json::from_value(serde_json::json!({
            "metadata": {
                "name": "tessera-1-t-1", "uid": "u", "resourceVersion": "12", "creationTimestamp": "2026-11-22T11:00:00Z",
                "labels": {"tessera.job": "t-1"}, "annotations": {"tessera.verdict": "\"canceled\""},
                "managedFields": [{"manager": "x", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": {"suspend": true, "template": {"spec": {}}},
            "status": {"conditions": [
                {"type": "Suspended", "status": "True"},
                {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"},
                {"type": "Complete", "status": "False"},
            ]},
        }))
        .unwrap();
        assert_eq!(version_of(job.meta()), 12);
        assert!(job.meta().managed_fields.is_none());
        let seen = job.seen().unwrap();
        assert_eq!((seen.id.as_str(), seen.suspended, seen.complete, seen.deleting), ("t-1", true, false, false));
        assert_eq!(seen.verdict, Verdict::Canceled);
        assert_eq!(seen.failed, Some(("BackoffLimitExceeded".to_owned(), "m".to_owned())));
    }

    #[test]
    fn a_pod_without_our_mark_is_nobodys() {
        let pod: SlimPod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "uid": "u", "creationTimestamp": "2026-11-22T11:00:00Z"}, "status": {"phase": "Pending"},
        }))
        .unwrap();
        assert!(pod.seen().is_none());
    }
}
