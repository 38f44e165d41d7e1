//! What has to be done although nobody asks: ending jobs that can never end by themselves, and finding out why a Job
//! has no Pod.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tessera_contract::JobId;
use tessera_runtime::report::Fault;
use tracing::{info, warn};

use crate::events::Events;
use crate::mirror::Entry;
use crate::site::Site;
use crate::status::Judged;
use crate::stop;
use crate::view::Verdict;

/// It looks at least so often,
const LOOKS: Duration = Duration::from_secs(1);
/// and after a change at most so often.
const RESTS: Duration = Duration::from_millis(200);
/// How long a Job may be without a Pod before it is asked why.
const POD_TAKES: Duration = Duration::from_secs(2);
/// Jobs that are ended at once.
const AT_ONCE: usize = 8;

/// Looks after the jobs, for ever.
pub(crate) async fn look_after(site: Arc<Site>) {
    let mut changes = site.mirror.changes();
    let (mut events, mut asks_again) = (Events::default(), Instant::now());
    loop {
        let _ = tokio::time::timeout(LOOKS, changes.changed()).await;
        if site.synced().await.is_ok() {
            let ends = condemned(&site).into_iter().map(|(job, fault)| end(&site, job, fault));
            futures::stream::iter(ends).buffer_unordered(AT_ONCE).collect::<()>().await;
            if without_pod(&site) && asks_again <= Instant::now() {
                asks_again = Instant::now() + events.ask(&site).await;
            }
            if wakes(&site) {
                site.mirror.ring();
            }
        }
        site.printed.sweep();
        tokio::time::sleep(RESTS).await;
    }
}

async fn end(site: &Site, job: JobId, fault: Fault) {
    let text = fault.message.clone();
    match stop::condemn(site, &job, fault).await {
        Ok(()) => info!(backend = site.setting.name, %job, reason = text, "ended a job that cannot end"),
        Err(error) => warn!(backend = site.setting.name, %job, %error, "could not end a job"),
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
    let waits = |entry: &Entry| {
        let job = entry.job()?;
        let over = job.complete || job.failed.is_some() || job.suspended || job.deleting;
        (!over && !entry.has_pod() && entry.known_for() > POD_TAKES).then_some(())
    };
    !site.mirror.pick(|(_, entry)| waits(entry)).is_empty()
}

/// Something that was seen has to be looked at again, though it did not change.
fn wakes(site: &Site) -> bool {
    let now = Instant::now();
    site.told().values().any(|told| told.steps.as_ref().is_some_and(|steps| steps.is_due(now)))
        || !site.mirror.pick(|(_, entry)| entry.stopped_lately().then_some(())).is_empty()
}
