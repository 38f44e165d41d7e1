//! What is looked at of a Job and its Pod, and what we write on a Job.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use serde::{Deserialize, Serialize};
use tessera_contract::JobId;
use tessera_runtime::report::Fault;

/// What we have decided about a job, kept on the Job itself, so that it outlives the server. Everything but
/// [`Verdict::Open`] goes with `suspend: true`: the Job controller takes the Pod down, and the Job stays to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Nothing yet. Written when the Job is made, so that a change can test for it.
    Open,
    /// It was to be stopped.
    Canceled,
    /// It can never end by itself: an image that cannot be had, a container that cannot be made.
    Failed(Fault),
}

impl Verdict {
    /// As it stands in the annotation.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What an annotation says; one that cannot be read says nothing.
    pub(crate) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// One Job of ours.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobSeen {
    /// Ours.
    pub(crate) id: JobId,
    /// Its name in the cluster.
    pub(crate) name: String,
    /// Its own id in the cluster.
    pub(crate) uid: String,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// It is not to have a Pod now.
    pub(crate) suspended: bool,
    /// What we have decided about it.
    pub(crate) verdict: Verdict,
    /// Somebody deletes it.
    pub(crate) deleting: bool,
    /// The condition `Failed`, if it holds: reason and message.
    pub(crate) failed: Option<(String, String)>,
    /// The condition `Complete` holds.
    pub(crate) complete: bool,
}

/// One Pod of a Job of ours.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PodSeen {
    /// Its name.
    pub(crate) name: String,
    /// Its own id in the cluster.
    pub(crate) uid: String,
    /// The node it was given to.
    pub(crate) node: Option<String>,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// Somebody deletes it.
    pub(crate) deleting: bool,
    /// It is not there any more, and this is how it was seen last.
    pub(crate) gone: bool,
    /// As the cluster has it.
    pub(crate) status: PodStatus,
}
