#![allow(clippy::unwrap_used)]

mod faults;
mod rows;

use serde_json::{Value, json};
use tessera_contract::JobId;

use super::*;

pub(crate) const IMAGE: &str = "quay.io/x/tool:1";
pub(crate) const SCHEDULED: &str = "2026-01-01T00:00:10Z";
const CREATED: &str = "2026-01-01T00:00:00Z";
const STARTED: &str = "2026-01-01T00:01:00Z";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What is known, to be changed by each row.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) job: JobSeen,
    pub(crate) pods: Vec<PodSeen>,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) trouble_since: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

impl Known {
    pub(crate) fn with(pods: Vec<PodSeen>) -> Self {
        let job = JobSeen {
            id: JobId::of_attempt("t", 1),
            name: "tessera-t-1".into(),
            uid: "u".into(),
            created: at(CREATED),
            suspended: false,
            verdict: Verdict::Open,
            deleting: false,
            failed: None,
            complete: false,
        };
        Self { job, pods, refusal: None, trouble_since: None, now: at("2026-01-01T00:01:05Z") }
    }

    pub(crate) fn judge(&self) -> Judged {
        let patience = Patience {
            image: Duration::from_secs(300),
            start: Duration::from_secs(120),
            refused: Duration::from_secs(600),
            logins: false,
        };
        judge(&Seen {
            backend: "kubernetes",
            namespace: "tasks",
            job: &self.job,
            pods: &self.pods,
            refusal: self.refusal.as_ref(),
            trouble_since: self.trouble_since,
            patience: &patience,
            now: self.now,
        })
    }
}

/// A pod with containers in states, and what else its status says.
pub(crate) fn pod(phase: &str, containers: &[(&str, Value)], more: Value) -> PodSeen {
    let container = |(name, state): &(&str, Value)| {
        let image = if name.starts_with("executor") { IMAGE } else { "tessera:1" };
        json!({"name": name, "image": image, "imageID": format!("docker-pullable://{image}@sha256:{name}"),
            "containerID": format!("containerd://{name}-id"), "ready": false, "restartCount": 0, "state": state})
    };
    let (init, rest): (Vec<_>, Vec<_>) = containers.iter().partition(|(name, _)| *name == "stage-in");
    let list = |some: Vec<&(&str, Value)>| some.into_iter().map(container).collect::<Vec<_>>();
    let mut status = json!({"phase": phase, "initContainerStatuses": list(init), "containerStatuses": list(rest)});
    status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    PodSeen {
        name: "tessera-t-1-abcde".into(),
        uid: "p".into(),
        node: Some("n1".into()),
        created: at(CREATED),
        deleting: false,
        gone: false,
        status: serde_json::from_value(status).unwrap(),
    }
}

pub(crate) fn waiting(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

pub(crate) fn running() -> Value {
    json!({"running": {"startedAt": STARTED}})
}

pub(crate) fn ended(exit_code: i32, reason: &str, message: &str) -> Value {
    json!({"terminated": {"exitCode": exit_code, "reason": reason, "message": message,
        "startedAt": STARTED, "finishedAt": "2026-01-01T00:01:03Z"}})
}

pub(crate) fn disrupted(reason: &str, message: &str) -> Value {
    json!({"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": SCHEDULED}]})
}

/// Last words with a report of some outcome.
pub(crate) fn report(outcome: &Value) -> String {
    json!({"version": 1, "report": {"version": 1, "job": "t-1", "outcome": outcome, "began": CREATED,
        "started": STARTED, "ended": "2026-01-01T00:01:03Z", "notes": [{"at": STARTED, "text": "closing"}]}})
    .to_string()
}

pub(crate) fn summary(outcome: &Value) -> String {
    json!({"version": 1, "summary": {"job": "t-1", "sha256": "00", "bytes": 9, "outcome": outcome, "began": CREATED,
        "ended": "2026-01-01T00:01:03Z", "exit_codes": [0], "outputs": 2}})
    .to_string()
}

/// All but stage-out is over.
pub(crate) fn finishing(stage_out: Value) -> [(&'static str, Value); 3] {
    [("stage-in", ended(0, "Completed", "")), ("stage-out", stage_out), ("executor-0", ended(0, "Completed", ""))]
}

/// An executor at work.
pub(crate) fn at_work() -> [(&'static str, Value); 3] {
    [("stage-in", ended(0, "Completed", "")), ("stage-out", running()), ("executor-0", running())]
}

/// Inputs are fetched.
pub(crate) fn staging() -> [(&'static str, Value); 3] {
    let later = || waiting("PodInitializing", "");
    [("stage-in", running()), ("stage-out", later()), ("executor-0", later())]
}

/// The first executor waits, everything else is ready for it.
pub(crate) fn first_waits(reason: &str, message: &str) -> Vec<PodSeen> {
    let states =
        [("stage-in", ended(0, "Completed", "")), ("stage-out", running()), ("executor-0", waiting(reason, message))];
    vec![pod("Pending", &states, json!({}))]
}

/// Killed by the kernel or somebody.
pub(crate) fn killed(reason: &str) -> Value {
    ended(137, reason, "")
}
