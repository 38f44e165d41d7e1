//! What has to be done although nobody asks: ending jobs that can never end by themselves, and finding out why a Job
//! has no Pod.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use tessera_contract::JobId;
use tessera_runtime::report::Fault;
use tracing::{info, warn};

use crate::mirror::Entry;
use crate::site::Site;
use crate::status::{Judged, Refusal};
use crate::stop;
use crate::view::Verdict;

/// It looks at least so often,
const LOOKS: Duration = Duration::from_secs(1);
/// and after a change at most so often.
const RESTS: Duration = Duration::from_millis(200);
/// How long a Job may be without a Pod before it is asked why.
const POD_TAKES: SignedDuration = SignedDuration::from_secs(2);
/// How often it is asked.
const ASKS: Duration = Duration::from_secs(5);
/// How often, where we may not ask.
const ASKS_IN_VAIN: Duration = Duration::from_secs(300);
/// Events in one answer, and pages of them.
const PAGE: u32 = 500;
const PAGES: usize = 4;

/// Looks after the jobs, for ever.
pub(crate) async fn look_after(site: Arc<Site>) {
    let mut changes = site.mirror.changes();
    let mut asks_again = Instant::now();
    loop {
        let _ = tokio::time::timeout(LOOKS, changes.changed()).await;
        if site.synced().await.is_ok() {
            for (job, fault) in condemned(&site) {
                let text = fault.message.clone();
                match stop::condemn(&site, &job, fault).await {
                    Ok(()) => info!(backend = site.setting.name, %job, reason = text, "ended a job that cannot end"),
                    Err(error) => warn!(backend = site.setting.name, %job, %error, "could not end a job"),
                }
            }
            if without_pod(&site) && asks_again <= Instant::now() {
                asks_again = Instant::now() + ask(&site).await;
            }
            if wakes(&site) {
                site.mirror.ring();
            }
        }
        site.printed.sweep();
        tokio::time::sleep(RESTS).await;
    }
}

/// The Jobs that may be waiting for something that never comes.
fn condemned(site: &Site) -> Vec<(JobId, Fault)> {
    site.mirror.pick(|(id, entry)| {
        let open = |entry: &Entry| {
            entry.job().is_some_and(|job| job.verdict == Verdict::Open && !job.complete && job.failed.is_none())
        };
        if !open(entry) || (entry.has_pod() && entry.trouble().is_none()) {
            return None;
        }
        match site.judge(entry)?.judged {
            Judged::Condemn(fault) => Some((id.clone(), fault)),
            Judged::Is(_)
            | Judged::ReportIn { .. }
            | Judged::ReportSought { .. }
            | Judged::StepsIn { .. }
            | Judged::ConfirmGone => None,
        }
    })
}

fn without_pod(site: &Site) -> bool {
    let now = Timestamp::now();
    let waits = |entry: &Entry| {
        let job = entry.job()?;
        let over = job.complete || job.failed.is_some() || job.suspended || job.deleting;
        (!over && !entry.has_pod() && now.duration_since(job.created) > POD_TAKES).then_some(())
    };
    !site.mirror.pick(|(_, entry)| waits(entry)).is_empty()
}

/// Something that was seen has to be looked at again, though it did not change.
fn wakes(site: &Site) -> bool {
    let now = Instant::now();
    site.told().values().any(|told| told.steps.as_ref().is_some_and(|steps| steps.is_due(now)))
        || !site.mirror.pick(|(_, entry)| entry.stopped_lately().then_some(())).is_empty()
}

/// Asks why Jobs have no Pod; answers when to ask again. Without the right to read events nobody knows why.
async fn ask(site: &Site) -> Duration {
    let events: Api<Event> = Api::namespaced(site.cluster.client.clone(), &site.cluster.namespace);
    let mut params = ListParams::default().fields("involvedObject.kind=Job,reason=FailedCreate").limit(PAGE);
    let mut newest: HashMap<String, (Timestamp, Refusal)> = HashMap::new();
    for _ in 0..PAGES {
        let page = match site.cluster.call("list", "events", events.list(&params)).await {
            Ok(page) => page,
            Err(trouble) => {
                let forbidden = matches!(trouble.code, Some(401 | 403));
                if forbidden {
                    warn!(backend = site.setting.name, error = %trouble.error, "why jobs have no pod cannot be told");
                }
                return if forbidden { ASKS_IN_VAIN } else { ASKS };
            }
        };
        for event in page.items {
            let Some(name) = event.involved_object.name.clone() else { continue };
            let at = event.last_timestamp.as_ref().or(event.first_timestamp.as_ref()).map(|time| time.0);
            let at = at.unwrap_or(Timestamp::MIN);
            let Some(refusal) = Refusal::of(&event) else { continue };
            if newest.get(&name).is_none_or(|(known, _)| *known <= at) {
                newest.insert(name, (at, refusal));
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    let told: HashMap<String, Refusal> = newest.into_iter().map(|(name, (_, refusal))| (name, refusal)).collect();
    let mut refusals = site.refusals();
    let changed = *refusals != told;
    *refusals = told;
    drop(refusals);
    if changed {
        site.mirror.ring();
    }
    ASKS
}
