//! What ended a pod that made no report.

use k8s_openapi::api::core::v1::ContainerStateTerminated;
use tessera_runtime::pod::places::{STAGE_IN, STAGE_OUT};
use tessera_runtime::report::FaultClass;

use super::pod::{Look, never_began, terminated, with};
use super::{Judged, Seen, ended_by, failed, images, lost, preempted, progress};
use tessera_contract::Observation;
use tessera_runtime::report::Fault;

/// What follows, if the pod is over, or its node lost.
pub(super) fn judged(seen: &Seen<'_>, look: &Look<'_>) -> Option<Judged> {
    if let Some(words) = look.lost_node_by(seen.now) {
        // What was seen of it last may be old.
        return Some(lost(words, true));
    }
    let stage_in = look.container(STAGE_IN).and_then(terminated).filter(|end| end.exit_code != 0);
    let stage_out = look.container(STAGE_OUT).and_then(terminated);
    if !look.is_over() && stage_in.is_none() && stage_out.is_none() {
        return None;
    }
    if let Some(judged) = by_the_cluster(seen, look) {
        return Some(judged);
    }
    if let Some(end) = stage_in {
        return Some(sought(seen, look, STAGE_IN, end));
    }
    if look.executor_runs() {
        // They end now that nobody is left to give them a turn.
        return Some(Judged::Is(Observation::Working(progress(seen, look))));
    }
    if let Some(end) = stage_out {
        return Some(sought(seen, look, STAGE_OUT, end));
    }
    let words = look.reason().map_or_else(String::new, |(reason, message)| with(reason.to_owned(), message));
    let sentence = with(format!("the pod on {} has ended, and nothing tells how", look.node()), &words);
    Some(lost(sentence, look.user_code_started()))
}

/// What the cluster itself says of the end of a pod.
pub(super) fn by_the_cluster(seen: &Seen<'_>, look: &Look<'_>) -> Option<Judged> {
    if let Some(words) = look.lost_node_by(seen.now) {
        return Some(lost(words, true));
    }
    let node = look.node();
    match look.reason() {
        Some(("Evicted", message)) => return Some(evicted(seen, look, message)),
        Some(("DeadlineExceeded", message)) => return Some(deadline(seen, Some(look), message)),
        Some(("Terminated" | "NodeShutdown" | "Shutdown", message)) => {
            return Some(preempted(with(format!("{node} shuts down"), message)));
        }
        Some(("Preempting" | "Preempted", message)) => {
            return Some(preempted(with(format!("the pod made room on {node} for another one"), message)));
        }
        Some((reason, message)) if refused_by_node(reason) => {
            let sentence = with(format!("{node} did not take the pod ({reason})"), message);
            return Some(lost(sentence, look.user_code_started()));
        }
        Some(_) | None => {}
    }
    let (reason, message) = look.disruption()?;
    Some(match reason {
        "PreemptionByScheduler" => preempted(with("a pod of higher priority took its place".to_owned(), message)),
        "EvictionByEvictionAPI" => preempted(with(format!("the pod was evicted from {node}"), message)),
        "TerminationByKubelet" => preempted(with(format!("{node} ended the pod"), message)),
        "DeletionByTaintManager" => lost(with(format!("{node} is lost or drained"), message), true),
        "DeletionByPodGC" => lost(with(format!("{node} is not there any more"), message), true),
        other => lost(with(format!("the cluster took the pod away ({other})"), message), look.user_code_started()),
    })
}

/// The kubelet looked at the pod and would not have it.
fn refused_by_node(reason: &str) -> bool {
    reason.starts_with("OutOf")
        || matches!(reason, "UnexpectedAdmissionError" | "NodeAffinity" | "AdmissionError" | "HostNetworkNotSupported")
        || matches!(reason, "PodOSNotSupported" | "AppArmor" | "TopologyAffinityError" | "TaintToleration")
}

fn evicted(seen: &Seen<'_>, look: &Look<'_>, message: &str) -> Judged {
    let says = |any: &[&str]| any.iter().any(|text| message.contains(text));
    if says(&["ephemeral storage limit", "EmptyDir volume", "ephemeral local storage usage"]) {
        let sentence = "the task used more disk than it may; ask for more `disk_gb`".to_owned();
        return ended_by(seen, look, FaultClass::Rejected, with(sentence, message));
    }
    let sentence = with(format!("{} evicted the pod", look.node()), message);
    if says(&["larger consumption", "exceeds its request"]) {
        // It used more of what ran short than it had asked for: the same would happen again.
        return lost(sentence, look.user_code_started());
    }
    preempted(sentence)
}

/// The cluster ended the Job at a deadline that we did not set.
pub(super) fn deadline(seen: &Seen<'_>, look: Option<&Look<'_>>, message: &str) -> Judged {
    let sentence = with("the cluster ended the Job at a deadline (`activeDeadlineSeconds`)".to_owned(), message);
    match look {
        Some(look) => ended_by(seen, look, FaultClass::Rejected, sentence),
        None => {
            let fault = Fault { class: FaultClass::Rejected, message: sentence, user_code_started: true };
            Judged::Is(Observation::Ended(failed(seen, None, fault)))
        }
    }
}

/// A container of ours ended without last words. One that ended by itself may have said it all in its log.
fn sought(seen: &Seen<'_>, look: &Look<'_>, name: &'static str, end: &ContainerStateTerminated) -> Judged {
    let judged = without_a_word(seen, look, name, end);
    let Judged::Is(otherwise) = judged else {
        return judged;
    };
    if !by_itself(end) {
        return Judged::Is(otherwise);
    }
    let last_chance = look.pod().gone || look.lost_node_by(seen.now).is_some();
    Judged::ReportSought { pod: look.name().to_owned(), container: name, last_chance, otherwise }
}

/// With one of the exit codes after which something has been said.
fn by_itself(end: &ContainerStateTerminated) -> bool {
    matches!(end.exit_code, 0 | 1) && !never_began(end)
}

/// A container of ours ended and said nothing.
fn without_a_word(seen: &Seen<'_>, look: &Look<'_>, name: &str, end: &ContainerStateTerminated) -> Judged {
    let (message, node) = (end.message.as_deref().unwrap_or_default(), look.node());
    if never_began(end) {
        let image = look.container(name).map_or("", |container| container.image.as_str());
        let class = images::start_class_of_ours(message);
        return ended_by(seen, look, class, images::starting(seen.backend, image, message));
    }
    match (end.reason.as_deref(), name) {
        // The same would happen again.
        (Some("OOMKilled"), STAGE_IN) => {
            let sentence = format!("{name} ran out of memory on {node}: raise `ours.ram_gb` of the backend");
            ended_by(seen, look, FaultClass::Misconfigured, sentence)
        }
        (Some("OOMKilled"), _) => {
            let sentence = format!("{name} ran out of memory on {node}; raise `ours.ram_gb` of the backend");
            lost(sentence, look.user_code_started())
        }
        (Some("ContainerStatusUnknown"), _) => {
            lost(with(format!("{node} does not know how {name} ended"), message), look.user_code_started())
        }
        (_, _) if by_itself(end) => {
            let sentence = format!("{name} on {node} has ended (exit code {}), and its report is lost", end.exit_code);
            lost(sentence, look.user_code_started())
        }
        (_, _) => {
            let sentence = format!("{name} on {node} was ended from outside (exit code {})", end.exit_code);
            lost(with(sentence, message), look.user_code_started())
        }
    }
}

/// Why a Job has failed that has no pod.
pub(super) fn no_pod(reason: &str) -> String {
    match reason {
        "BackoffLimitExceeded" => "its pod was deleted from outside".to_owned(),
        other => format!("its Job has failed ({other}), and its pod is gone"),
    }
}
