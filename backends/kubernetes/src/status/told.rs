//! The last words of a pod: a report, or one in short.

use jiff::SignedDuration;
use tessera_contract::Observation;
use tessera_runtime::pod::places::{STAGE_IN, STAGE_OUT};
use tessera_runtime::pod::words::{LastWords, WORDS_VERSION};
use tessera_runtime::report::{Fault, FaultClass, Outcome, REPORT_VERSION, Report};

use super::pod::{Look, terminated};
use super::{Judged, Seen, endings, progress, unreadable};
use crate::facts;
use crate::view::{PodSeen, Verdict};

/// How long an executor may outlive the job's own end: a kubelet tells of the ends of containers one by one.
const LINGERS: SignedDuration = SignedDuration::from_secs(60);

/// Whether a container of ours has ended with last words.
pub(super) fn has_told(pod: &PodSeen) -> bool {
    words(&Look::at(pod)).is_some()
}

/// What follows from the last words, if there are any.
pub(super) fn judged(seen: &Seen<'_>, look: &Look<'_>) -> Option<Judged> {
    let (container, words) = words(look)?;
    let told = match words {
        Ok(words) => words,
        Err(reason) => return Some(unreadable(format!("the last words of {container} cannot be read: {reason}"))),
    };
    if look.executor_runs() && look.lost_node_by(seen.now).is_none() {
        return Some(match lingering(seen) {
            Some(fault) => Judged::Condemn(fault),
            None => Judged::Is(Observation::Working(progress(seen, look))),
        });
    }
    let outcome = match (&told.report, &told.summary) {
        (Some(report), _) => &report.outcome,
        (None, Some(summary)) => &summary.outcome,
        (None, None) => return Some(unreadable(format!("the last words of {container} say nothing"))),
    };
    if *outcome == Outcome::Canceled
        && let Some(judged) = not_by_request(seen, look, told.report.as_ref())
    {
        return Some(judged);
    }
    if let Some(report) = told.report {
        let report = facts::complete(report, look.pod(), seen.backend, seen.namespace);
        return Some(Judged::Is(Observation::Ended(report)));
    }
    let last_chance = look.pod().gone || look.lost_node_by(seen.now).is_some();
    let pod = look.name().to_owned();
    told.summary.map(|summary| Judged::ReportIn { pod, container, summary, last_chance })
}

/// Whether an executor outlives the job's own end.
pub(super) fn lingers(pod: &PodSeen) -> bool {
    has_told(pod) && Look::at(pod).executor_runs()
}

/// An executor that nobody in the pod could end is ended with the pod; what the job has said of itself stands.
fn lingering(seen: &Seen<'_>) -> Option<Fault> {
    let lasts = seen.now.duration_since(seen.trouble_since?);
    (seen.job.verdict == Verdict::Open && lasts > LINGERS).then(|| Fault {
        class: FaultClass::Lost,
        message: "an executor would not end when the job was over; its pod is taken down".to_owned(),
        user_code_started: true,
    })
}

/// What really happened, where a job says that it was stopped and nobody here asked for that.
fn not_by_request(seen: &Seen<'_>, look: &Look<'_>, report: Option<&Report>) -> Option<Judged> {
    match &seen.job.verdict {
        Verdict::Canceled => None,
        Verdict::Failed(fault) => {
            let mut report = report?.clone();
            report.outcome = Outcome::Failed(fault.clone());
            let report = facts::complete(report, look.pod(), seen.backend, seen.namespace);
            Some(Judged::Is(Observation::Ended(report)))
        }
        Verdict::Open => endings::by_the_cluster(seen, look),
    }
}

type Words = (&'static str, Result<LastWords, String>);

/// The last words of stage-out, or of stage-in where it failed.
fn words(look: &Look<'_>) -> Option<Words> {
    [STAGE_OUT, STAGE_IN].into_iter().find_map(|name| {
        let text = terminated(look.container(name)?)?.message.as_deref()?;
        Some((name, read(text)?))
    })
}

/// `None` when these are no words of ours, or not whole: the kubelet writes there, too, and cuts.
fn read(text: &str) -> Option<Result<LastWords, String>> {
    let value: serde_json::Value = serde_json::from_str(text.trim()).ok()?;
    let version = value.get("version")?.as_u64()?;
    let newer = |known: u32| (version > u64::from(known)).then(|| format!("they have version {version}"));
    Some(match newer(WORDS_VERSION) {
        Some(problem) => Err(format!("{problem}, and this build reads up to {WORDS_VERSION}: update the server")),
        None => {
            let words: LastWords = serde_json::from_value(value).ok()?;
            match words.report.as_ref().map(|report| report.version).filter(|version| *version > REPORT_VERSION) {
                Some(version) => Err(format!("their report has version {version}: update the server")),
                None if words.report.is_none() && words.summary.is_none() => return None,
                None => Ok(words),
            }
        }
    })
}
