//! The table of Kubernetes' faults in `ARCHITECTURE.md`, row by row.

use super::*;

const ARCHITECTURE: &str = include_str!("../../../../../ARCHITECTURE.md");

fn table() -> Vec<[String; 4]> {
    let from = ARCHITECTURE.split_once("<!-- kubernetes faults -->").unwrap().1;
    let table = from.split_once("<!-- /kubernetes faults -->").unwrap().0;
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    rows.map(|line| cells(line).try_into().unwrap_or_else(|row| panic!("a row of four cells, and not {row:?}")))
        .collect()
}

/// Whether a sentence is the one of the table, where `…` stands for anything.
fn reads_like(sentence: &str, pattern: &str) -> bool {
    let parts: Vec<&str> = pattern.split('…').collect();
    let [head, middle @ .., tail] = parts.as_slice() else { return sentence == pattern };
    let Some(mut rest) = sentence.strip_prefix(head) else { return false };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(tail)
}

/// What was said, in the words of the table: while, class, sentence.
fn said(judged: Judged) -> (&'static str, String, String) {
    let phase = |started| if started { "running" } else { "staging" };
    match judged {
        Judged::Condemn(fault) => (phase(fault.user_code_started), format!("`{:?}`", fault.class), fault.message),
        Judged::Is(Observation::Ended(Report { outcome: Outcome::Failed(fault), .. })) => {
            (phase(fault.user_code_started), format!("`{:?}`", fault.class), fault.message)
        }
        Judged::Is(Observation::Lost { reason, user_code_started }) => {
            (phase(user_code_started), "lost".to_owned(), reason)
        }
        Judged::Is(Observation::Preempted { reason }) => ("running", "preempted".to_owned(), reason),
        other @ (Judged::Is(_)
        | Judged::ReportIn { .. }
        | Judged::ReportSought { .. }
        | Judged::StepsIn { .. }
        | Judged::ConfirmGone) => {
            panic!("no fault: {other:?}")
        }
    }
}

fn refused(message: &str, for_s: i64) -> Known {
    let mut known = Known::with(vec![]);
    known.refusal =
        Some(Refusal { message: message.into(), since: known.now - jiff::SignedDuration::from_secs(for_s) });
    known
}

fn troubled(pods: Vec<PodSeen>, for_s: i64) -> Known {
    let mut known = Known::with(pods);
    known.trouble_since = Some(known.now - jiff::SignedDuration::from_secs(for_s));
    known
}

fn one(phase: &str, states: &[(&str, Value)], more: Value) -> Known {
    Known::with(vec![pod(phase, states, more)])
}

fn evicted(message: &str) -> Known {
    one("Failed", &finishing(killed("Error")), json!({"reason": "Evicted", "message": message}))
}

fn stage_in(state: Value) -> Known {
    let later = || waiting("PodInitializing", "");
    one("Failed", &[("stage-in", state), ("stage-out", later()), ("executor-0", later())], json!({}))
}

fn failed(reason: &str) -> Known {
    let mut known = Known::with(vec![]);
    known.job.failed = Some((reason.into(), "m".into()));
    known
}

fn made(fault: &str) -> Known {
    let forbidden = |words: &str| format!("Error creating: pods \"t-1-x\" is forbidden: {words}");
    match fault {
        "a quota has no room, for too long" => refused(&forbidden("exceeded quota: q, requested: cpu=4"), 601),
        "a quota wants limits that are not set" => refused(&forbidden("failed quota: q: must specify limits.cpu"), 0),
        "a LimitRange allows less" => {
            refused(&forbidden("maximum memory usage per Container is 1Gi, but limit is 4Gi"), 0)
        }
        "Pod Security forbids it" => refused(&forbidden("violates PodSecurity \"restricted:latest\": x"), 0),
        "an admission webhook denies it" => refused("admission webhook \"w\" denied the request: no", 0),
        "an admission webhook does not answer" => refused("Internal error: failed calling webhook \"w\": EOF", 601),
        "there is no such service account" => {
            refused(&forbidden("error looking up service account tasks/x: serviceaccount \"x\" not found"), 0)
        }
        "the image's name is none" => {
            Known::with(first_waits("InvalidImageName", "couldn't parse image name \"x:\": invalid reference format"))
        }
        "the image is not there and may not be pulled" => {
            Known::with(first_waits("ErrImageNeverPull", "Container image is not present with pull policy of Never"))
        }
        "there is no such image" => {
            let words = "rpc error: code = NotFound desc = failed to resolve reference: not found";
            troubled(first_waits("ErrImagePull", words), 300)
        }
        "the registry does not answer" => {
            troubled(first_waits("ErrImagePull", "dial tcp 10.0.0.1:443: connect: connection refused"), 300)
        }
        "the registry wants a login" => troubled(first_waits("ErrImagePull", "401 Unauthorized"), 300),
        "the image has no build for the node" => {
            Known::with(first_waits("ErrImagePull", "no match for platform in manifest: not found"))
        }
        "a later image cannot be pulled" => {
            let mut states = at_work().to_vec();
            states.push(("executor-1", waiting("ImagePullBackOff", "not found")));
            troubled(vec![pod("Pending", &states, json!({}))], 300)
        }
        "our own image cannot be started" => {
            stage_in(ended(128, "StartError", "exec: \"/tessera-runtime\": no such file"))
        }
        "the node went away while our container was started" => {
            let words = "failed to create containerd task: failed to create shim task: context canceled: unknown";
            stage_in(ended(128, "StartError", words))
        }
        "the program is for another architecture" => {
            let mut states = finishing(running());
            states[2].1 = ended(128, "StartError", "exec /.tessera/runtime: exec format error");
            one("Running", &states, json!({}))
        }
        "a container needs what is not there" => {
            troubled(first_waits("CreateContainerConfigError", "secret \"x\" not found"), 120)
        }
        "the image would run as root, which is forbidden" => {
            let words = "container has runAsNonRoot and image will run as root";
            Known::with(first_waits("CreateContainerConfigError", words))
        }
        "a container cannot be made" => troubled(first_waits("CreateContainerError", "context deadline exceeded"), 120),
        "stage-in runs out of memory" => stage_in(killed("OOMKilled")),
        "stage-in is killed" => stage_in(killed("Error")),
        "stage-out runs out of memory" => one("Failed", &finishing(killed("OOMKilled")), json!({})),
        "stage-out is killed" => one("Failed", &finishing(killed("Error")), json!({})),
        "the node forgot how a container ended" => {
            let words = ended(137, "ContainerStatusUnknown", "The container could not be located");
            one("Failed", &finishing(words), json!({}))
        }
        "the task uses more disk than it may" => {
            evicted("Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ")
        }
        "the node runs short, and the task used more than it asked for" => evicted(
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 5Mi. Container executor-0 was \
             using 3Gi, request is 1Gi, has larger consumption of memory. ",
        ),
        "the node runs short, by others' doing" => evicted("The node was low on resource: memory. "),
        "the node does not take the pod" => {
            one("Failed", &[], json!({"reason": "OutOfcpu", "message": "Node didn't have enough resource: cpu"}))
        }
        "the node shuts down" => {
            let words = "Pod was terminated in response to imminent node shutdown.";
            one("Failed", &finishing(killed("Error")), json!({"reason": "Terminated", "message": words}))
        }
        "a pod of higher priority comes" => {
            let canceled = ended(0, "Completed", &report(&json!("canceled")));
            one("Failed", &finishing(canceled), disrupted("PreemptionByScheduler", "scheduler: preempting"))
        }
        "the pod is evicted by the API (a drain)" => {
            let mut known = one(
                "Failed",
                &finishing(killed("Error")),
                disrupted("EvictionByEvictionAPI", "Eviction API: evicting"),
            );
            known.pods[0].gone = true;
            known
        }
        "the node is lost" => one("Running", &at_work(), json!({"reason": "NodeLost", "message": "Node n1 is lost"})),
        "the node is lost, and its pods are deleted" => {
            let mut known = one("Running", &at_work(), disrupted("DeletionByTaintManager", "Taint manager: deleting"));
            known.pods[0].deleting = true;
            known.now = at("2026-01-01T00:01:10Z");
            known
        }
        "the node is taken out of the cluster" => {
            let more = disrupted("DeletionByPodGC", "PodGC: node no longer exists");
            one("Failed", &at_work(), more)
        }
        "the Job meets a deadline" => failed("DeadlineExceeded"),
        "the pod is deleted by hand" => failed("BackoffLimitExceeded"),
        other => panic!("a row without a test: {other}"),
    }
}

#[test]
fn every_fault_ends_as_the_table_says() {
    let rows = table();
    assert!(rows.len() > 30, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for [fault, phase, class, sentence] in rows {
        let (said_phase, said_class, said_sentence) = said(made(&fault).judge());
        if (said_phase, &said_class) != (&phase, &class) || !reads_like(&said_sentence, &sentence) {
            wrong.push(format!("| {fault} | {said_phase} | {said_class} | {said_sentence} |"));
        }
    }
    assert!(wrong.is_empty(), "said instead:\n{}", wrong.join("\n"));
}
