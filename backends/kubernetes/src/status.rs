//! What the cluster shows of a job → our observation. Pure.
//!
//! Where several things hold, the first of these is told:
//! 1. a report in the last words of a pod, once nothing of the task runs: it counts, also while the pod is being
//!    deleted. Only "stopped", where nobody here asked for it, is explained by what the cluster says of the pod;
//! 2. our own verdict on the Job, once nothing of its pod runs;
//! 3. without a pod: why there is none;
//! 4. a pod that is over, or whose node is lost, without a report: what ended it;
//! 5. what keeps a pod from going on: until its time is over the answer to "why does it wait", then a fault;
//! 6. how far it is.
//!
//! Parts, in reading order: [`pod`]: what a pod's status tells; [`kept`]: what is kept of the
//! look before; [`told`]: last words; [`endings`]: what ended a pod;
//! [`waiting`]: what it waits for; [`images`]: what the words about an image mean; [`refusal`]: why there is no pod.

mod endings;
mod images;
pub(crate) mod kept;
pub(crate) mod pod;
mod refusal;
mod told;
mod waiting;

#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use jiff::Timestamp;
use tessera_contract::Observation;
use tessera_runtime::pod::places::{STAGE_IN, STAGE_OUT};
use tessera_runtime::pod::words::Summary;
use tessera_runtime::report::{Fault, FaultClass, Outcome, Progress, REPORT_VERSION, Report};

pub(crate) use refusal::Refusal;
pub(crate) use waiting::in_trouble;

use crate::config::KubernetesConfig;
use crate::facts;
use crate::view::{JobSeen, PodSeen, Verdict};
use pod::Look;

/// How long stage-in works before its figures are worth a call.
const LONG: Duration = Duration::from_secs(10);

/// All that is known of one job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// The backend's name in the configuration.
    pub(crate) backend: &'a str,
    /// Where the job is.
    pub(crate) namespace: &'a str,
    /// The Job.
    pub(crate) job: &'a JobSeen,
    /// Its pods, also those that are gone, as they were seen last.
    pub(crate) pods: &'a [PodSeen],
    /// Why there is no pod, by the newest event of the Job.
    pub(crate) refusal: Option<&'a Refusal>,
    /// Since when [`in_trouble`] has held of its pod without a break; `None` when it does not, or was not seen before.
    pub(crate) trouble_since: Option<Timestamp>,
    /// How long what may pass is waited for.
    pub(crate) patience: &'a Patience,
    /// Now.
    pub(crate) now: Timestamp,
}

/// How long what may pass is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// An image that cannot be had.
    pub(crate) image: Duration,
    /// A container that cannot be made.
    pub(crate) start: Duration,
    /// A pod that a quota refuses.
    pub(crate) refused: Duration,
    /// Logins for registries are configured.
    pub(crate) logins: bool,
}

impl Patience {
    /// As configured.
    pub(crate) fn of(config: &KubernetesConfig) -> Self {
        Self {
            image: Duration::from_millis(config.image_timeout_ms),
            start: Duration::from_millis(config.start_timeout_ms),
            refused: Duration::from_millis(config.refused_timeout_ms),
            logins: !config.image_pull_secrets.is_empty(),
        }
    }
}

/// What is to be said or done about a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judged {
    /// This.
    Is(Observation),
    /// It has ended, and the whole report is in the log of a container.
    ReportIn {
        /// The pod's name.
        pod: String,
        /// The container's.
        container: &'static str,
        /// The report in short.
        summary: Summary,
        /// Whoever cannot read the log now never will: `facts::of_summary` is all there is.
        last_chance: bool,
    },
    /// It has ended, and its last words are missing or cannot be read. The log of a container may hold its report.
    ReportSought {
        /// The pod's name.
        pod: String,
        /// The container's.
        container: &'static str,
        /// Whoever cannot read the log now never will.
        last_chance: bool,
        /// What it is if there is no report.
        otherwise: Observation,
    },
    /// How far it is, but for what only the newest [`Progress`] in the log of a container tells: see
    /// `facts::with_told`. Worth a call when `ended` has grown, and otherwise now and then.
    StepsIn {
        /// The pod's name.
        pod: String,
        /// The container's.
        container: &'static str,
        /// Executors that have ended.
        ended: usize,
        /// What is known without a call.
        progress: Progress,
    },
    /// It can never end by itself: to be written on the Job as [`Verdict::Failed`].
    Condemn(Fault),
    /// It seems to be gone: to be asked for.
    ConfirmGone,
}

/// What is to be said or done about a job.
pub(crate) fn judge(seen: &Seen<'_>) -> Judged {
    let look = seen.pods.iter().max_by_key(|pod| (told::has_told(pod), !pod.gone, pod.created)).map(Look::at);
    if let Some(judged) = look.as_ref().and_then(|look| told::judged(seen, look)) {
        return judged;
    }
    if let Some(judged) = decided(seen) {
        return judged;
    }
    let Some(look) = look.filter(|look| !look.vanished()) else {
        return without_pod(seen);
    };
    if let Some(judged) = endings::judged(seen, &look) {
        return judged;
    }
    if let Some(judged) = waiting::judged(seen, &look) {
        return judged;
    }
    working(seen, &look)
}

/// What follows from our own verdict.
fn decided(seen: &Seen<'_>) -> Option<Judged> {
    if seen.job.verdict == Verdict::Open {
        return None;
    }
    let live = seen.pods.iter().map(Look::at).find(Look::is_live);
    Some(match (live, &seen.job.verdict) {
        (Some(look), Verdict::Open | Verdict::Canceled | Verdict::Failed(_)) => match look.lost_node() {
            Some(words) => unreadable(format!("{words}; nobody can say whether its containers are gone")),
            None => Judged::Is(Observation::Working(progress(seen, &look))),
        },
        (None, Verdict::Open | Verdict::Canceled) => Judged::Is(Observation::Stopped),
        (None, Verdict::Failed(fault)) => Judged::Is(Observation::Ended(failed(seen, seen.pods.last(), fault.clone()))),
    })
}

/// Why there is no pod.
fn without_pod(seen: &Seen<'_>) -> Judged {
    let job = seen.job;
    if let Some((reason, message)) = &job.failed {
        let deadline = reason == "DeadlineExceeded";
        return if deadline { endings::deadline(seen, None, message) } else { lost(endings::no_pod(reason), true) };
    }
    if job.complete {
        return lost("its pod was removed before its report was read".to_owned(), true);
    }
    if job.deleting {
        return Judged::ConfirmGone;
    }
    if let Some(refusal) = seen.refusal.filter(|_| !job.suspended) {
        return refusal.judged(seen);
    }
    waits(job.suspended.then(|| "the Job is suspended: its queue has not let it begin".to_owned()))
}

/// How far it is.
fn working(seen: &Seen<'_>, look: &Look<'_>) -> Judged {
    let progress = progress(seen, look);
    let ended = look.executors().filter(|one| pod::terminated(one).is_some()).count();
    let steps_in = |container, progress| Judged::StepsIn { pod: look.name().to_owned(), container, ended, progress };
    if look.running(STAGE_OUT).is_some() && ended > 0 {
        return steps_in(STAGE_OUT, progress);
    }
    let long = |since: Timestamp| seen.now.duration_since(since).unsigned_abs() >= LONG;
    match look.running(STAGE_IN) {
        Some(since) if long(since) => steps_in(STAGE_IN, progress),
        Some(_) | None => Judged::Is(Observation::Working(progress)),
    }
}

/// What is known without a call.
fn progress(seen: &Seen<'_>, look: &Look<'_>) -> Progress {
    Progress {
        version: REPORT_VERSION,
        job: seen.job.id.to_string(),
        began: look.began(),
        started: look.command_started(),
        steps: Vec::new(),
        notes: facts::notes(look.pod()),
        doing: None,
    }
}

/// A report on a job that could not make one.
fn failed(seen: &Seen<'_>, pod: Option<&PodSeen>, fault: Fault) -> Report {
    let look = pod.map(Look::at);
    let began = look.as_ref().map_or(seen.job.created, Look::began);
    let report = Report {
        version: REPORT_VERSION,
        job: seen.job.id.to_string(),
        outcome: Outcome::Failed(fault),
        began,
        started: look.as_ref().and_then(Look::command_started),
        // The cluster's clock may be ahead of ours.
        ended: look.as_ref().and_then(Look::ended).unwrap_or(seen.now).max(began),
        steps: Vec::new(),
        outputs: Vec::new(),
        notes: Vec::new(),
        metadata: Default::default(),
    };
    match pod {
        Some(pod) => facts::complete(report, pod, seen.backend, seen.namespace),
        None => report,
    }
}

fn ended_by(seen: &Seen<'_>, look: &Look<'_>, class: FaultClass, message: String) -> Judged {
    let fault = Fault { class, message, user_code_started: look.user_code_started() };
    Judged::Is(Observation::Ended(failed(seen, Some(look.pod()), fault)))
}

fn lost(reason: String, user_code_started: bool) -> Judged {
    Judged::Is(Observation::Lost { reason, user_code_started })
}

fn preempted(reason: String) -> Judged {
    Judged::Is(Observation::Preempted { reason })
}

fn waits(reason: Option<String>) -> Judged {
    Judged::Is(Observation::Waiting { reason })
}

fn unreadable(reason: String) -> Judged {
    Judged::Is(Observation::Unreadable { reason })
}
