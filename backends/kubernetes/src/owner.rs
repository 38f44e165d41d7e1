//! What Jobs belong to, beside this server: an object that goes when the installation goes, and takes them with it.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use tessera_contract::BackendError;
use tokio::sync::Mutex;

use crate::client::Cluster;

/// How long what was read of it holds. Made anew it has another id, and the cluster removes what names the old one.
const HOLDS: Duration = Duration::from_secs(10);

/// The owner as it was last seen.
#[derive(Debug, Default)]
pub(crate) struct Owner {
    seen: Mutex<Option<(Instant, OwnerReference)>>,
}

impl Owner {
    /// What a Job says of the ConfigMap of this name.
    pub(crate) async fn reference(&self, cluster: &Cluster, name: &str) -> Result<OwnerReference, BackendError> {
        let mut seen = self.seen.lock().await;
        if let Some((_, reference)) = seen.as_ref().filter(|(at, _)| at.elapsed() < HOLDS) {
            return Ok(reference.clone());
        }
        let found: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let found = cluster.call("get", "configmaps", found.get(name)).await.map_err(|trouble| {
            if trouble.is_gone() {
                let namespace = &cluster.namespace;
                return BackendError::Misconfigured(format!(
                    "there is no ConfigMap `{name}` in namespace `{namespace}`, to which Jobs are to belong: make it, or \
                     leave `owner` out"
                ));
            }
            trouble.error
        })?;
        // One that is being deleted would take what is made now with it, and a task with an attempt the less.
        if found.metadata.deletion_timestamp.is_some() {
            return Err(BackendError::Unavailable(format!(
                "the ConfigMap `{name}`, the owner of Jobs, is being deleted"
            )));
        }
        let reference = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: name.to_owned(),
            uid: found.metadata.uid.unwrap_or_default(),
            controller: None,
            // `true` needs a right that nobody else here needs.
            block_owner_deletion: None,
        };
        *seen = Some((Instant::now(), reference.clone()));
        Ok(reference)
    }
}
