//! What is said of jobs: what the mirror shows, and for some a log that is read once.

use std::future::Future;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tessera_contract::{BackendError, Handle, JobId, LogChunk, Observation, Stream};
use tessera_runtime::pod::places::{EXECUTOR, STAGE_IN};
use tessera_runtime::pod::words::Summary;
use tessera_runtime::report::{Progress, Report};

use crate::facts;
use crate::handle::Kept;
use crate::printed::Of;
use crate::report::{self, LogError};
use crate::site::{Known, Site, newest};
use crate::status::Judged;
use crate::status::pod::Look;
use crate::view::PodSeen;

/// Jobs that are read at the same time.
const AT_ONCE: usize = 16;
/// How long one answer about many jobs may take; without calls it takes no time.
const LOOKS_WITHIN: Duration = Duration::from_secs(8);
/// How long a log may take.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// How long a log that could not be read is left alone.
const AGAIN: Duration = Duration::from_secs(3);
/// How long after a step ended its report is asked for: a short job is over by then, and says it all without a call.
const STEP_SETTLES: Duration = Duration::from_secs(2);
/// How often figures are asked for while something takes long.
const FIGURES: Duration = Duration::from_secs(10);

/// What was read of one job.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// How it ended. Said once, it stays so.
    pub(crate) ended: Option<Report>,
    /// How far it was.
    pub(crate) steps: Option<Steps>,
    /// Since when, and why, its report cannot be read.
    pub(crate) unreadable: Option<(Instant, String)>,
    /// We removed it from the cluster.
    pub(crate) removed: bool,
}

/// How far a job was when its log was read last.
#[derive(Debug)]
pub(crate) struct Steps {
    container: &'static str,
    ended: usize,
    told: Option<Progress>,
    due: Option<Instant>,
    pause: Duration,
}

impl Steps {
    /// The log is to be read.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
}

/// What is known of each job, in the order asked.
pub(crate) async fn observe(site: &Site, handles: &[Handle]) -> Result<Vec<Observation>, BackendError> {
    if handles.is_empty() {
        return Ok(Vec::new());
    }
    site.synced().await?;
    let until = Instant::now() + LOOKS_WITHIN;
    let looks = handles.iter().cloned().map(|handle| async move { one(site, &handle, until).await });
    Ok(futures::stream::iter(looks).buffered(AT_ONCE).collect().await)
}

/// Whoever needs a call that does not fit any more is looked at again: what was found out of the others until then is not
/// thrown away.
async fn one(site: &Site, handle: &Handle, until: Instant) -> Observation {
    let kept = match site.kept(handle) {
        Ok(kept) => kept,
        Err(error) => return unreadable(error.to_string()),
    };
    match tokio::time::timeout_at(until.into(), look(site, &kept)).await {
        Ok(seen) => seen,
        Err(_elapsed) => unreadable("the API server is slow to answer".to_owned()),
    }
}

fn unreadable(reason: String) -> Observation {
    Observation::Unreadable { reason }
}

async fn look(site: &Site, kept: &Kept) -> Observation {
    if let Some(report) = site.told().get(&kept.job).and_then(|told| told.ended.clone()) {
        return Observation::Ended(report);
    }
    let Some(known) = site.known(&kept.job) else { return confirm(site, kept).await };
    if known.judged == Judged::ConfirmGone {
        return confirm(site, kept).await;
    }
    judged(site, &kept.job, known).await
}

/// The mirror has no such job. That it is gone is believed when the API server says so, of the place where it was made.
async fn confirm(site: &Site, kept: &Kept) -> Observation {
    if site.told().get(&kept.job).is_some_and(|told| told.removed) {
        return lost(site, kept);
    }
    match site.confirm(kept).await {
        Ok(None) => lost(site, kept),
        Ok(Some(_found)) => match site.known(&kept.job) {
            Some(known) if known.judged != Judged::ConfirmGone => judged(site, &kept.job, known).await,
            Some(_) | None => unreadable("its Job is being deleted".to_owned()),
        },
        Err(error) => unreadable(error.to_string()),
    }
}

fn lost(site: &Site, kept: &Kept) -> Observation {
    let pods = site.mirror.look(&kept.job, |entry| entry.pods()).unwrap_or_default();
    Observation::Lost {
        reason: format!(
            "there is no Job `{}` in namespace `{}` any more: it was removed by hand, or its time after the end was over",
            site.object(&kept.job),
            site.cluster.namespace
        ),
        // Of a job without a trace nobody knows.
        user_code_started: pods.is_empty() || pods.iter().any(|pod| Look::at(pod).user_code_started()),
    }
}

async fn judged(site: &Site, job: &JobId, known: Known) -> Observation {
    match known.judged {
        Judged::Is(Observation::Ended(report)) => ended(site, job, report),
        Judged::Is(Observation::Stopped) if known.may_straggle => {
            Observation::Waiting { reason: Some("it is being stopped".to_owned()) }
        }
        Judged::Is(seen) => seen,
        Judged::ReportIn { pod, container, summary, last_chance } => {
            let pod = known.pods.iter().find(|seen| seen.name == pod);
            match pod {
                Some(pod) => report_in(site, job, pod, container, summary, last_chance).await,
                None => unreadable("its pod is not known any more".to_owned()),
            }
        }
        Judged::ReportSought { pod, container, last_chance, otherwise } => {
            let pod = known.pods.iter().find(|seen| seen.name == pod);
            let found = match pod {
                Some(pod) => report_sought(site, job, pod, container, last_chance).await,
                None => None,
            };
            match (found, otherwise) {
                (Some(found), _) => found,
                (None, Observation::Ended(report)) => ended(site, job, report),
                (None, otherwise) => otherwise,
            }
        }
        Judged::StepsIn { pod, container, ended, progress } => {
            let pod = known.pods.iter().find(|seen| seen.name == pod);
            let told = match pod {
                Some(pod) => steps_in(site, job, pod, container, ended).await,
                None => None,
            };
            Observation::Working(match told {
                Some(told) => facts::with_told(progress, told),
                None => progress,
            })
        }
        // It is being done, and said in full when it is: for how long it was tried grows until then.
        Judged::Condemn(_) => Observation::Waiting { reason: Some("it can never go on and is being ended".to_owned()) },
        Judged::ConfirmGone => unreadable("its Job is being deleted".to_owned()),
    }
}

/// It has ended; what was said of it once is said from now on.
fn ended(site: &Site, job: &JobId, report: Report) -> Observation {
    let mut told = site.told();
    let told = told.entry(job.clone()).or_default();
    // It is all in the report: there is nothing left to read.
    told.steps = None;
    Observation::Ended(told.ended.get_or_insert(report).clone())
}

async fn report_in(
    site: &Site,
    job: &JobId,
    pod: &PodSeen,
    container: &str,
    summary: Summary,
    last_chance: bool,
) -> Observation {
    if let Some(reason) = unreadable_lately(site, job).filter(|_| !last_chance) {
        return unreadable(reason);
    }
    let (backend, namespace) = (&site.setting.name, &site.cluster.namespace);
    let pods = site.pods();
    match in_time(report::read(&pods, &pod.name, container, &summary)).await {
        Ok(report) => ended(site, job, facts::complete(report, pod, backend, namespace)),
        Err(LogError::Unreadable(reason)) if !last_chance => unreadable_for_now(site, job, reason),
        Err(LogError::Unreadable(_) | LogError::Gone(_)) => {
            ended(site, job, facts::of_summary(summary, pod, backend, namespace))
        }
    }
}

/// The report of a job without last words; `None` when there is none, or never will be.
async fn report_sought(
    site: &Site,
    job: &JobId,
    pod: &PodSeen,
    container: &str,
    last_chance: bool,
) -> Option<Observation> {
    if let Some(reason) = unreadable_lately(site, job).filter(|_| !last_chance) {
        return Some(unreadable(reason));
    }
    match in_time(report::last(&site.pods(), &pod.name, container, job)).await {
        Ok(report) => {
            let (backend, namespace) = (&site.setting.name, &site.cluster.namespace);
            Some(ended(site, job, facts::complete(report?, pod, backend, namespace)))
        }
        Err(LogError::Unreadable(reason)) if !last_chance => Some(unreadable_for_now(site, job, reason)),
        Err(LogError::Unreadable(_) | LogError::Gone(_)) => None,
    }
}

/// Why a report could not be read a moment ago.
fn unreadable_lately(site: &Site, job: &JobId) -> Option<String> {
    let (at, reason) = site.told().get(job)?.unreadable.clone()?;
    (at.elapsed() < AGAIN).then_some(reason)
}

fn unreadable_for_now(site: &Site, job: &JobId, reason: String) -> Observation {
    site.told().entry(job.clone()).or_default().unreadable = Some((Instant::now(), reason.clone()));
    unreadable(reason)
}

async fn in_time<T>(read: impl Future<Output = Result<T, LogError>>) -> Result<T, LogError> {
    let late = || LogError::Unreadable(format!("its log did not come within {} s", READ_WITHIN.as_secs()));
    tokio::time::timeout(READ_WITHIN, read).await.unwrap_or_else(|_elapsed| Err(late()))
}

/// What a step has printed. Of a job that we removed it is what was kept before.
pub(crate) async fn logs(
    site: &Site,
    kept: &Kept,
    step: u32,
    stream: Stream,
    from: u64,
) -> Result<LogChunk, BackendError> {
    let job = &kept.job;
    let (ended, removed) = site.told().get(job).map_or((false, false), |told| (told.ended.is_some(), told.removed));
    let mut known = site.known(job);
    let mut there = removed || known.is_some();
    if !there {
        there = site.confirm(kept).await?.is_some();
        known = site.known(job);
    }
    let over = ended || removed || known.as_ref().is_some_and(|known| is_over(&known.judged));
    let pod = known.as_ref().and_then(|known| newest(&known.pods));
    let of = Of { job, there, over, pod };
    site.printed.read(&site.pods(), of, step, stream, from).await
}

/// Nothing of it runs, and nothing will.
fn is_over(judged: &Judged) -> bool {
    match judged {
        Judged::ReportIn { .. } | Judged::ReportSought { .. } => true,
        Judged::StepsIn { .. } | Judged::Condemn(_) | Judged::ConfirmGone => false,
        Judged::Is(seen) => match seen {
            Observation::Ended(_) | Observation::Stopped | Observation::Preempted { .. } | Observation::Lost { .. } => {
                true
            }
            Observation::Waiting { .. }
            | Observation::Working(_)
            | Observation::Paused
            | Observation::Unreadable { .. } => false,
        },
    }
}

/// How far a job is by its log, read when there is something new in it.
async fn steps_in(site: &Site, job: &JobId, pod: &PodSeen, container: &'static str, ended: usize) -> Option<Progress> {
    let now = Instant::now();
    {
        let mut told = site.told();
        let steps = &mut told.entry(job.clone()).or_default().steps;
        let known = steps.take();
        let is_new = known.as_ref().is_none_or(|known| (known.container, known.ended) != (container, ended));
        let known = steps.insert(match known {
            Some(known) if !is_new => known,
            known => {
                let told = known.and_then(|known| known.told);
                // Stage-in is told of only when it takes long already.
                let settles = if container == STAGE_IN { Duration::ZERO } else { STEP_SETTLES };
                Steps { container, ended, told, due: Some(now + settles), pause: STEP_SETTLES }
            }
        });
        if !known.is_due(now) {
            return known.told.clone();
        }
        // Whoever else looks in the meantime takes what is known; whoever gives up is followed by another one.
        known.due = Some(now + 2 * READ_WITHIN);
    }
    let pods = site.pods();
    let newest = in_time(report::newest_progress(&pods, &pod.name, container)).await;
    let executors = pod.status.container_statuses.iter().flatten().filter(|one| one.name.starts_with(EXECUTOR)).count();
    let mut told = site.told();
    let steps = told.get_mut(job)?.steps.as_mut()?;
    if let Ok(Some(newest)) = newest {
        steps.told = Some(newest);
    }
    let behind = container != STAGE_IN && steps.told.as_ref().is_none_or(|told| told.steps.len() < ended);
    steps.due = if behind {
        steps.pause = (steps.pause * 2).min(FIGURES);
        Some(Instant::now() + steps.pause)
    } else {
        // While a command runs there is nothing new; while files are moved there are figures.
        let moves = container == STAGE_IN || ended == executors;
        moves.then(|| Instant::now() + FIGURES)
    };
    steps.told.clone()
}
