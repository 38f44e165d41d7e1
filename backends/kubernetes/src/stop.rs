//! Stopping and removing.
//!
//! A stop is one patch: what we decided, and that the Job is to have no Pod. It stands on the Job, so it outlives the
//! server, and the Job's controller carries it out. `parallelism: 0` goes with it, for a queue that suspends and resumes
//! Jobs as it likes.

use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use tessera_contract::{BackendError, JobId};
use tessera_runtime::report::Fault;

use crate::handle::Kept;
use crate::names;
use crate::site::{Site, newest};
use crate::submit::{VERDICT_PATH, operations};
use crate::view::Verdict;

/// How long what a job has printed is kept before it is stopped: its Pod goes, and the log with it.
const KEPT_WITHIN: Duration = Duration::from_secs(5);

/// Stops a job. One that has ended, was stopped or is gone is left alone.
pub(crate) async fn cancel(site: &Site, kept: &Kept) -> Result<(), BackendError> {
    if is_over(site, &kept.job) {
        return Ok(());
    }
    keep(site, &kept.job).await;
    if !decide(site, &kept.job, &Verdict::Canceled).await? {
        elsewhere(site, kept).await?;
    }
    Ok(())
}

/// Ends a job that can never end by itself.
pub(crate) async fn condemn(site: &Site, job: &JobId, fault: Fault) -> Result<(), BackendError> {
    if is_over(site, job) {
        return Ok(());
    }
    keep(site, job).await;
    decide(site, job, &Verdict::Failed(fault)).await.map(|_there| ())
}

/// Removes a job with its Pod and its Secret.
pub(crate) async fn remove(site: &Site, kept: &Kept) -> Result<(), BackendError> {
    if site.told().get(&kept.job).is_some_and(|told| told.removed) {
        return Ok(());
    }
    let name = site.object(&kept.job);
    let jobs = site.jobs();
    let params = DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    match site.cluster.call("delete", "jobs", jobs.delete(&name, &params)).await {
        Ok(_) => {}
        Err(trouble) if trouble.is_gone() => elsewhere(site, kept).await?,
        Err(trouble) => return Err(trouble.error),
    }
    site.mirror.deleted_job(&kept.job);
    site.refusals().remove(&name);
    Ok(())
}

/// Keeps what a job has printed, as far as that is quick: what cannot be read now is lost with the Pod, and stopping it
/// is what was asked for.
pub(crate) async fn keep(site: &Site, job: &JobId) {
    let pods = site.mirror.look(job, |entry| entry.pods()).unwrap_or_default();
    if let Some(pod) = newest(&pods) {
        site.printed.keep(&site.pods(), job, Some(pod), KEPT_WITHIN).await;
    }
}

fn is_over(site: &Site, job: &JobId) -> bool {
    let over = |entry: &crate::mirror::Entry| {
        entry.job().is_some_and(|job| job.complete || job.failed.is_some() || job.verdict != Verdict::Open)
    };
    site.mirror.look(job, over).unwrap_or_default()
}

/// A job that is not there counts as gone only in the place where it was made.
async fn elsewhere(site: &Site, kept: &Kept) -> Result<(), BackendError> {
    match site.elsewhere(kept).await? {
        Some(sentence) => Err(BackendError::Misconfigured(sentence)),
        None => Ok(()),
    }
}

/// Writes a verdict, unless there is one; whether the Job is there.
async fn decide(site: &Site, job: &JobId, verdict: &Verdict) -> Result<bool, BackendError> {
    let name = site.object(job);
    let (jobs, params) = (site.jobs(), PatchParams::default());
    let change = operations(&serde_json::json!([
        {"op": "test", "path": VERDICT_PATH, "value": Verdict::Open.text()},
        {"op": "replace", "path": VERDICT_PATH, "value": verdict.text()},
        {"op": "add", "path": "/spec/suspend", "value": true},
        {"op": "add", "path": "/spec/parallelism", "value": 0},
    ]))?;
    let call = jobs.patch(&name, &params, &change);
    let trouble = match site.cluster.call("patch", "jobs", call).await {
        Ok(stopped) => {
            site.mirror.put_job(stopped);
            return Ok(true);
        }
        Err(trouble) => trouble,
    };
    if trouble.is_gone() {
        return Ok(false);
    }
    if trouble.code != Some(422) {
        return Err(trouble.error);
    }
    // The test did not hold: something was decided, or somebody took our mark away.
    let found = match site.cluster.call("get", "jobs", jobs.get(&name)).await {
        Ok(found) => found,
        Err(gone) if gone.is_gone() => return Ok(false),
        Err(other) => return Err(other.error),
    };
    site.mirror.put_job(found.clone());
    if found.seen().is_some_and(|seen| seen.verdict != Verdict::Open && seen.suspended) {
        return Ok(true);
    }
    let change = Patch::Merge(serde_json::json!({
        "metadata": {"annotations": {names::VERDICT: verdict.text()}},
        "spec": {"suspend": true, "parallelism": 0},
    }));
    let call = jobs.patch(&name, &params, &change);
    match site.cluster.call("patch", "jobs", call).await {
        Ok(stopped) => {
            site.mirror.put_job(stopped);
            Ok(true)
        }
        Err(gone) if gone.is_gone() => Ok(false),
        Err(other) => Err(other.error),
    }
}
