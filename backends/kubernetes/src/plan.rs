//! The Secret: the plan itself, or where it is fetched when it is too large for one.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sha2::{Digest, Sha256};
use tessera_contract::{BackendError, Job};
use tessera_runtime::pod::places::{FETCH_KEY, PLAN_KEY};
use tessera_runtime::pod::words::{Fetch, WORDS_VERSION};

use crate::job::{self, Setting};
use crate::shelf::PlanShelf;

/// A Secret holds 1 MiB, and names and marks stand beside the plan.
const LARGEST: usize = 900 * 1024;
/// The door of the server behind which [`PlanShelf`] is asked.
const DOOR: &str = "/api/v1/plans/";

/// The Secret of an attempt, which goes when its Job, the owner, goes.
pub(crate) fn secret(
    setting: &Setting,
    job: &Job,
    owner: OwnerReference,
    shelf: &PlanShelf,
) -> Result<Secret, BackendError> {
    let plan = job::plan(setting, job)?;
    let unwritable = |error: serde_json::Error| BackendError::Rejected(format!("job {} has no plan: {error}", job.id));
    let text = serde_json::to_vec(&plan).map_err(unwritable)?;
    let (key, value) = if text.len() <= LARGEST {
        (PLAN_KEY, text)
    } else {
        (FETCH_KEY, serde_json::to_vec(&fetch(setting, job, &text, shelf)?).map_err(unwritable)?)
    };
    Ok(Secret {
        metadata: ObjectMeta { owner_references: Some(vec![owner]), ..job::metadata(setting, job) },
        data: Some(BTreeMap::from([(key.to_owned(), ByteString(value))])),
        // No kubelet has to look whether it changes.
        immutable: Some(true),
        type_: Some("Opaque".to_owned()),
        string_data: None,
    })
}

fn fetch(setting: &Setting, job: &Job, plan: &[u8], shelf: &PlanShelf) -> Result<Fetch, BackendError> {
    let Some(server) = &setting.config.server_url else {
        return Err(BackendError::Rejected(format!(
            "the plan of job {} has {} KiB, and a Secret of Kubernetes holds {} KiB: ask for less in one task, or set \
             `server_url` of the backend `{}`, so that pods fetch such plans from this server",
            job.id,
            plan.len().div_ceil(1024),
            LARGEST / 1024,
            setting.name
        )));
    };
    let token = shelf.put(&job.id, plan).map_err(|error| {
        BackendError::Unavailable(format!("the plan of job {} cannot be kept to be fetched: {error}", job.id))
    })?;
    let sha256 = Sha256::digest(plan).iter().map(|byte| format!("{byte:02x}")).collect();
    let url = format!("{}{DOOR}{}", server.trim_end_matches('/'), job.id);
    Ok(Fetch { version: WORDS_VERSION, url, token, sha256 })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;
    use tessera_contract::{InstallationId, JobId};
    use tessera_runtime::plan::Plan;

    use super::*;

    fn setting(server_url: Option<&str>) -> Setting {
        let config = json!({"image": "tessera:1", "server_url": server_url, "labels": {"team": "a"}});
        Setting {
            name: "cluster".into(),
            config: serde_json::from_value(config).unwrap(),
            installation: InstallationId("i".into()),
            namespace: "tasks".into(),
        }
    }

    fn job(content: usize) -> Job {
        let plan = json!({"version": 1, "job": "", "executors": [{"image": "a", "command": ["$(X)"]}],
            "inputs": [{"path": "/in/x", "source": {"content": "x".repeat(content)}}]});
        Job {
            id: JobId::of_attempt("t", 1),
            owner: "o".into(),
            plan: serde_json::from_value(plan).unwrap(),
            preemptible: false,
            zones: Vec::new(),
            parameters: BTreeMap::new(),
        }
    }

    fn owner() -> OwnerReference {
        OwnerReference { name: "n".into(), uid: "u".into(), kind: "Job".into(), ..OwnerReference::default() }
    }

    #[test]
    fn a_plan_that_fits_stands_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = PlanShelf::open(dir.path()).unwrap();
        let secret = secret(&setting(None), &job(LARGEST - 2_000), owner(), &shelf).unwrap();
        let data = secret.data.unwrap();
        let plan = Plan::read(&data[PLAN_KEY].0).unwrap();
        assert_eq!((data.len(), plan.job.as_str(), plan.executors[0].command[0].as_str()), (1, "t-1", "$(X)"));
        assert_eq!(secret.metadata.owner_references.unwrap(), [owner()]);
        assert_eq!(secret.metadata.labels.unwrap()["tessera.job"], "t-1");
        assert_eq!(secret.metadata.name.as_deref().map(|name| name.ends_with("-t-1")), Some(true));
    }

    #[test]
    fn one_that_does_not_is_fetched_or_refused_with_the_key_to_set() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = PlanShelf::open(dir.path()).unwrap();
        let refused = secret(&setting(None), &job(LARGEST), owner(), &shelf);
        let Err(BackendError::Rejected(reason)) = refused else { panic!("not rejected") };
        assert!(["901 KiB", "900 KiB", "`server_url`"].iter().all(|word| reason.contains(word)), "{reason}");
        let found = secret(&setting(Some("http://10.0.0.1:8000/")), &job(LARGEST), owner(), &shelf).unwrap();
        let fetch: Fetch = serde_json::from_slice(&found.data.unwrap()[FETCH_KEY].0).unwrap();
        assert_eq!(fetch.url, "http://10.0.0.1:8000/api/v1/plans/t-1");
        let plan = shelf.get(&JobId::of_attempt("t", 1), &fetch.token).unwrap().unwrap();
        let digest: String = Sha256::digest(&plan).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((fetch.sha256, Plan::read(&plan).unwrap().job.as_str()), (digest, "t-1"));
    }
}
