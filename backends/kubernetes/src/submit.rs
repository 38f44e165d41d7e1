//! Handing a job over.
//!
//! ```text
//! create Job (suspended) → create Secret (the Job's own) → patch: begin
//! ```
//! Whoever dies between two of them, or gives up, is followed by one who begins again and finds what is there. A Secret
//! without a Job cannot be; a Job without its Secret never begins. The last step is taken only while nothing has been
//! decided about the Job: one that was stopped in between is not begun.

use k8s_openapi::api::batch::v1::Job as Manifest;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use serde::Deserialize;
use tessera_contract::{BackendError, Handle, Job};

use crate::handle::Kept;
use crate::site::Site;
use crate::slim::SlimJob;
use crate::view::{JobSeen, Verdict};
use crate::{job, names, plan};

/// Hands a job over, or finds it.
pub(crate) async fn submit(site: &Site, job: &Job) -> Result<Handle, BackendError> {
    let uid = site.namespace_uid().await?;
    let seen = made(site, job).await?;
    let kept =
        Kept { job: job.id.clone(), namespace: site.cluster.namespace.clone(), namespace_uid: uid, at: seen.created };
    let queued = site.setting.config.kueue_queue.is_some();
    // A queue may have let it begin before it had its Secret, for which its Pod waits.
    if may_begin(&seen) || (queued && is_open(&seen)) {
        secret(site, job, &seen).await?;
    }
    if may_begin(&seen) && !queued {
        begin(site, &seen).await?;
    }
    Ok(kept.handle())
}

fn may_begin(seen: &JobSeen) -> bool {
    seen.suspended && is_open(seen)
}

/// Nothing was decided about it, and it has not ended.
fn is_open(seen: &JobSeen) -> bool {
    seen.verdict == Verdict::Open && !seen.complete && seen.failed.is_none()
}

/// The Job, new or found.
async fn made(site: &Site, job: &Job) -> Result<JobSeen, BackendError> {
    let mut manifest = job::manifest(&site.setting, job)?;
    manifest.metadata.owner_references = site.owner().await?.map(|owner| vec![owner]);
    let jobs: Api<Manifest> = Api::namespaced(site.cluster.client.clone(), &site.cluster.namespace);
    let params = PostParams::default();
    match site.cluster.call("create", "jobs", jobs.create(&params, &manifest)).await {
        Ok(made) => seen(site, made.into()),
        Err(trouble) if trouble.code == Some(409) => found(site, job, &trouble.error).await,
        Err(trouble) => {
            if matches!(trouble.code, Some(403 | 404)) {
                site.forget_namespace_uid();
            }
            Err(trouble.error)
        }
    }
}

/// One of that name was there.
async fn found(site: &Site, job: &Job, conflict: &BackendError) -> Result<JobSeen, BackendError> {
    let name = site.object(&job.id);
    let jobs = site.jobs();
    let found = match site.cluster.call("get", "jobs", jobs.get(&name)).await {
        Ok(found) => found,
        // It went in between: another try makes it.
        Err(trouble) if trouble.is_gone() => return Err(BackendError::Unavailable(conflict.to_string())),
        Err(trouble) => return Err(trouble.error),
    };
    if !is_ours(site, job, found.meta()) {
        return Err(BackendError::Rejected(format!(
            "there is a Job `{name}` in namespace `{}` that is not of this installation and backend (its labels say so): \
             remove it",
            site.cluster.namespace
        )));
    }
    let seen = seen(site, found)?;
    if seen.deleting {
        return Err(BackendError::Unavailable(format!("the former Job `{name}` is still being deleted")));
    }
    Ok(seen)
}

fn is_ours(site: &Site, job: &Job, meta: &ObjectMeta) -> bool {
    let label = |name: &str| meta.labels.as_ref().and_then(|labels| labels.get(name)).map(String::as_str);
    label(names::INSTALLATION) == Some(site.setting.installation.0.as_str())
        && label(names::BACKEND) == Some(site.setting.name.as_str())
        && label(names::JOB) == Some(job.id.as_str())
}

fn seen(site: &Site, answer: SlimJob) -> Result<JobSeen, BackendError> {
    site.mirror.put_job(answer.clone());
    answer.seen().ok_or_else(|| BackendError::Unavailable("the API server answered with half a Job".to_owned()))
}

/// The Job's Secret.
async fn secret(site: &Site, job: &Job, seen: &JobSeen) -> Result<(), BackendError> {
    let owner = OwnerReference {
        api_version: Manifest::api_version(&()).into_owned(),
        kind: Manifest::kind(&()).into_owned(),
        name: seen.name.clone(),
        uid: seen.uid.clone(),
        controller: Some(true),
        // `true` needs a right that nobody else here needs.
        block_owner_deletion: None,
    };
    let secret = plan::secret(&site.setting, job, owner, &site.shelf)?;
    let secrets: Api<Secret> = Api::namespaced(site.cluster.client.clone(), &site.cluster.namespace);
    let params = PostParams::default();
    match site.cluster.call("create", "secrets", secrets.create(&params, &secret)).await {
        Ok(_) => Ok(()),
        Err(trouble) if trouble.code == Some(409) => adopt(site, &secrets, &secret).await,
        Err(trouble) => Err(trouble.error),
    }
}

/// It is there already: made by us, and by a try that was given up. Only after a Job was removed by hand and made anew
/// it may be the former one's, and go with it; so it is made this one's.
async fn adopt(site: &Site, secrets: &Api<Secret>, secret: &Secret) -> Result<(), BackendError> {
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let owner = Patch::Merge(serde_json::json!({"metadata": {"ownerReferences": secret.metadata.owner_references}}));
    let params = PatchParams::default();
    match site.cluster.call("patch", "secrets", secrets.patch_metadata(name, &params, &owner)).await {
        Ok(_) => Ok(()),
        // It went with its owner in between: another try makes it.
        Err(trouble) if trouble.is_gone() => {
            Err(BackendError::Unavailable(format!("the Secret `{name}` of a former Job is being deleted")))
        }
        Err(trouble) => Err(trouble.error),
    }
}

/// Lets the Job begin, unless something was decided about it, or it has begun.
async fn begin(site: &Site, seen: &JobSeen) -> Result<(), BackendError> {
    let change = operations(&serde_json::json!([
        {"op": "test", "path": VERDICT_PATH, "value": Verdict::Open.text()},
        {"op": "test", "path": "/spec/suspend", "value": true},
        {"op": "replace", "path": "/spec/suspend", "value": false},
    ]))?;
    let (jobs, params) = (site.jobs(), PatchParams::default());
    let call = jobs.patch(&seen.name, &params, &change);
    let trouble = match site.cluster.call("patch", "jobs", call).await {
        Ok(begun) => {
            site.mirror.put_job(begun);
            return Ok(());
        }
        Err(trouble) => trouble,
    };
    if trouble.code != Some(422) {
        return Err(trouble.error);
    }
    // A test did not hold: somebody was here between.
    match site.cluster.call("get", "jobs", jobs.get(&seen.name)).await {
        Ok(job) => {
            site.mirror.put_job(job.clone());
            let begun = job.seen().is_some_and(|seen| !may_begin(&seen));
            if begun { Ok(()) } else { Err(trouble.error) }
        }
        Err(gone) if gone.is_gone() => Err(BackendError::Unavailable(format!("the Job `{}` was deleted", seen.name))),
        Err(other) => Err(other.error),
    }
}

/// The verdict in a patch.
pub(crate) const VERDICT_PATH: &str = "/metadata/annotations/tessera.verdict";

/// A patch of operations.
pub(crate) fn operations(operations: &serde_json::Value) -> Result<Patch<()>, BackendError> {
    let operations = json_patch::Patch::deserialize(operations);
    operations.map(Patch::Json).map_err(|e| BackendError::Rejected(format!("this is no patch: {e}")))
}
