//! What only the cluster knows of a job, added to its report.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ContainerStatus;
use tessera_runtime::pod::words::Summary;
use tessera_runtime::report::{Note, Progress, REPORT_VERSION, Report, StepReport};

use crate::status::pod::{self, Look};
use crate::view::PodSeen;

/// What is worth telling of a pod. The same for the same pod at any time, and in front of whatever the runtime tells:
/// whoever reads counts the sentences that were seen.
pub(crate) fn notes(pod: &PodSeen) -> Vec<Note> {
    let node = pod.node.as_ref();
    let note =
        node.map(|node| Note { at: pod.created, text: format!("pod `{}` was given to node `{node}`", pod.name) });
    note.into_iter().collect()
}

/// What the log tells of a job that goes on, added to what is known without it.
pub(crate) fn with_told(known: Progress, told: Progress) -> Progress {
    let mut notes = known.notes;
    notes.extend(told.notes);
    Progress { started: known.started.or(told.started), steps: told.steps, notes, doing: told.doing, ..known }
}

/// A report with what only the cluster knows of its job.
pub(crate) fn complete(mut report: Report, seen: &PodSeen, backend: &str, namespace: &str) -> Report {
    let look = Look::at(seen);
    let mut notes = notes(seen);
    notes.append(&mut report.notes);
    let closing = notes.len().saturating_sub(1).max(usize::from(seen.node.is_some()));
    let memory = report.steps.iter().filter(|step| step.exit_code != 0).filter_map(|step| out_of_memory(&look, step));
    let memory: Vec<Note> = memory.filter(|note| !notes.iter().any(|known| says_the_same(known, note))).collect();
    notes.splice(closing..closing, memory);
    report.notes = notes;
    let digests = listed(&look, |container| digest(&container.image_id));
    let containers = listed(&look, |container| container.container_id.as_deref().and_then(bare_id));
    let facts = [
        ("backend", Some(backend.to_owned())),
        ("namespace", Some(namespace.to_owned())),
        ("pod", Some(seen.name.clone())),
        ("node", seen.node.clone()),
        ("image_digests", digests),
        ("container_ids", containers),
    ];
    for (key, value) in facts {
        if let Some(value) = value {
            report.metadata.insert(key.to_owned(), value);
        }
    }
    report
}

/// The report that a summary stands for, where the whole is lost with its node.
pub(crate) fn of_summary(summary: Summary, seen: &PodSeen, backend: &str, namespace: &str) -> Report {
    let (began, ended) = (summary.began, summary.ended);
    let look = Look::at(seen);
    let steps = summary.exit_codes.iter().zip(0..).map(|(exit_code, step)| {
        let end = look.executor(step).and_then(pod::terminated);
        let time = |at: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| at.map(|time| time.0);
        StepReport {
            step,
            exit_code: *exit_code,
            started: time(end.and_then(|end| end.started_at.as_ref())).or(summary.started).unwrap_or(began),
            ended: time(end.and_then(|end| end.finished_at.as_ref())).unwrap_or(ended),
            stdout_tail: String::new(),
            stderr_tail: String::new(),
            stdout_whole: false,
            stderr_whole: false,
        }
    });
    let steps = steps.collect();
    let listed = match (summary.outputs, &summary.outputs_at) {
        (0, _) => String::new(),
        (count, Some(at)) => {
            format!(", and with it the list of the {count} files that were delivered; it lies at `{at}`")
        }
        (count, None) => format!(", and with it the list of the {count} files that were delivered"),
    };
    let text = format!("the whole report was lost with the pod's log{listed}");
    let report = Report {
        version: REPORT_VERSION,
        job: summary.job,
        outcome: summary.outcome,
        began,
        started: summary.started,
        ended,
        steps,
        outputs: Vec::new(),
        notes: vec![Note { at: ended, text }],
        metadata: BTreeMap::new(),
    };
    complete(report, seen, backend, namespace)
}

/// By the cluster's positive word alone (TES contract 12.6), and only of a step that failed: a killed child does not
/// end its parent.
fn out_of_memory(look: &Look<'_>, step: &StepReport) -> Option<Note> {
    let end = look.executor(step.step).and_then(pod::terminated)?;
    if end.reason.as_deref() != Some("OOMKilled") {
        return None;
    }
    let text = format!("executor {} ran out of memory: it was killed at its limit", step.step);
    Some(Note { at: step.ended, text })
}

/// The runtime may have noticed it, too.
fn says_the_same(known: &Note, note: &Note) -> bool {
    let head = |note: &Note| note.text.split_once(": ").map(|(head, _)| head.to_owned());
    head(known) == head(note)
}

/// Of the containers of the task, in their order, each thing once.
fn listed<'a>(look: &Look<'a>, what: impl Fn(&'a ContainerStatus) -> Option<String>) -> Option<String> {
    let mut containers: Vec<&ContainerStatus> = look.executors().collect();
    containers.sort_by_key(|container| pod::index(container));
    let mut all: Vec<String> = Vec::new();
    for one in containers.into_iter().filter_map(what) {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    (!all.is_empty()).then(|| all.join(","))
}

/// `docker.io/library/alpine@sha256:…`, or the bare id of an image that was never in a registry.
fn digest(id: &str) -> Option<String> {
    let bare = id.split_once("://").map_or(id, |(_, rest)| rest);
    (!bare.is_empty()).then(|| bare.to_owned())
}

fn bare_id(id: &str) -> Option<String> {
    digest(id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::status::tests::{at, ended, pod};

    fn report(exit_code: i32, notes: &[&str]) -> Report {
        let time = "2026-01-01T00:00:00Z";
        let notes: Vec<_> = notes.iter().map(|text| json!({"at": time, "text": text})).collect();
        let step = json!({"step": 0, "exit_code": exit_code, "started": time, "ended": time});
        let json = json!({"version": 1, "job": "t-1", "outcome": "complete", "began": time, "ended": time,
            "steps": [step], "notes": notes});
        serde_json::from_value(json).unwrap()
    }

    fn with_end(exit_code: i32, reason: &str) -> PodSeen {
        let done = || ended(0, "Completed", "");
        let states = [("stage-in", done()), ("stage-out", done()), ("executor-0", ended(exit_code, reason, ""))];
        pod("Succeeded", &states, json!({}))
    }

    fn texts(report: &Report) -> Vec<&str> {
        report.notes.iter().map(|note| note.text.as_str()).collect()
    }

    #[test]
    fn rule_12_6_memory_is_named_by_the_clusters_word_and_for_a_failure_alone() {
        let (given, memory) = (
            "pod `tessera-t-1-abcde` was given to node `n1`",
            "executor 0 ran out of memory: it was killed at its limit",
        );
        let known = "executor 0 ran out of memory: it was killed at its limit of 1.00 GiB";
        let table = [
            (137, "OOMKilled", vec!["a", "closing"], vec![given, "a", memory, "closing"]),
            (1, "OOMKilled", vec!["closing"], vec![given, memory, "closing"]),
            (137, "OOMKilled", vec![], vec![given, memory]),
            (0, "OOMKilled", vec!["closing"], vec![given, "closing"]),
            (137, "Error", vec!["closing"], vec![given, "closing"]),
            (137, "OOMKilled", vec![known, "closing"], vec![given, known, "closing"]),
        ];
        for (exit_code, reason, notes, expected) in table {
            let complete = complete(report(exit_code, &notes), &with_end(0, reason), "here", "tasks");
            assert_eq!(texts(&complete), expected, "{exit_code} {reason}");
        }
    }

    #[test]
    fn rule_15_7_the_cluster_names_pod_node_and_images() {
        let complete = complete(report(0, &[]), &with_end(0, "Completed"), "here", "tasks");
        let facts: Vec<(&str, &str)> = complete.metadata.iter().map(|(key, value)| (&**key, &**value)).collect();
        let expected = [
            ("backend", "here"),
            ("container_ids", "executor-0-id"),
            ("image_digests", "quay.io/x/tool:1@sha256:executor-0"),
            ("namespace", "tasks"),
            ("node", "n1"),
            ("pod", "tessera-t-1-abcde"),
        ];
        assert_eq!(facts, expected);
    }

    #[test]
    fn a_summary_ends_a_job_and_says_what_is_lost() {
        let json = json!({"job": "t-1", "sha256": "", "bytes": 1, "outcome": {"executor_failed": {"step": 0}},
            "began": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:00:09Z", "exit_codes": [3], "outputs": 2});
        let report = of_summary(serde_json::from_value(json).unwrap(), &with_end(3, "Error"), "here", "tasks");
        assert_eq!((report.steps[0].exit_code, report.steps[0].ended), (3, at("2026-01-01T00:01:03Z")));
        assert!(texts(&report)[1].contains("2 files"), "{:?}", texts(&report));
    }
}
