//! What is no fault: each state of a job that goes on, waits, or has reported.

use super::*;

#[derive(Debug, PartialEq)]
enum Is {
    Waiting(Option<&'static str>),
    Working { started: bool },
    Ended(&'static str),
    ReportIn { last_chance: bool },
    Sought { by: &'static str, last_chance: bool },
    StepsIn(&'static str, usize),
    Stopped,
    Unreadable,
    ConfirmGone,
}

fn is(judged: &Judged) -> Option<Is> {
    Some(match judged {
        Judged::Is(Observation::Waiting { reason }) => Is::Waiting(reason.clone().map(|reason| &*reason.leak())),
        Judged::Is(Observation::Working(progress)) => Is::Working { started: progress.started.is_some() },
        Judged::Is(Observation::Ended(report)) => Is::Ended(match &report.outcome {
            Outcome::Complete => "complete",
            Outcome::ExecutorFailed { .. } => "executor failed",
            Outcome::Failed(_) => "failed",
            Outcome::Canceled => "canceled",
        }),
        Judged::Is(Observation::Stopped) => Is::Stopped,
        Judged::Is(Observation::Unreadable { .. }) => Is::Unreadable,
        Judged::ReportIn { last_chance, .. } => Is::ReportIn { last_chance: *last_chance },
        Judged::ReportSought { container, last_chance, otherwise: Observation::Lost { .. }, .. } => {
            Is::Sought { by: container, last_chance: *last_chance }
        }
        Judged::StepsIn { container, ended, .. } => Is::StepsIn(container, *ended),
        Judged::ConfirmGone => Is::ConfirmGone,
        Judged::Is(Observation::Paused | Observation::Preempted { .. } | Observation::Lost { .. })
        | Judged::ReportSought { .. }
        | Judged::Condemn(_) => return None,
    })
}

fn with(change: impl FnOnce(&mut Known), pods: Vec<PodSeen>) -> Known {
    let mut known = Known::with(pods);
    change(&mut known);
    known
}

fn canceled(known: &mut Known) {
    (known.job.verdict, known.job.suspended) = (Verdict::Canceled, true);
}

fn condemned(known: &mut Known) {
    let fault = Fault { class: FaultClass::Rejected, message: "m".into(), user_code_started: false };
    (known.job.verdict, known.job.suspended) = (Verdict::Failed(fault), true);
}

#[test]
fn each_state_has_its_words() {
    let complete = report(&json!("complete"));
    let one = |phase: &str, states: &[(&str, Value)], more: Value| vec![pod(phase, states, more)];
    let gone = |mut pods: Vec<PodSeen>| {
        pods.iter_mut().for_each(|pod| pod.gone = true);
        pods
    };
    let deleting = |mut pods: Vec<PodSeen>| {
        pods.iter_mut().for_each(|pod| pod.deleting = true);
        pods
    };
    let unscheduled = json!({"initContainerStatuses": null, "containerStatuses": null, "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No victims."}]});
    let pulling = |name: &str| {
        let later = || waiting("PodInitializing", "");
        let mut states = vec![("stage-in", waiting("ContainerCreating", "")), ("stage-out", later())];
        states.push(("executor-0", later()));
        if name == "executor-0" {
            states = vec![("stage-in", ended(0, "Completed", "")), ("stage-out", running())];
            states.push(("executor-0", waiting("ContainerCreating", "")));
        }
        vec![pod("Pending", &states, json!({}))]
    };
    let second_waits = |state: Value| {
        let mut states = at_work().to_vec();
        states.push(("executor-1", state));
        states
    };
    let quota = Refusal {
        message: "Error creating: pods \"x\" is forbidden: exceeded quota: q, requested: cpu=4, used: cpu=6, \
                  limited: cpu=8"
            .into(),
        since: at("2026-01-01T00:00:05Z"),
    };
    let still_runs = [
        ("stage-in", ended(0, "Completed", "")),
        ("stage-out", ended(0, "Completed", &complete)),
        ("executor-0", running()),
    ];
    let stage_in_reports = [
        (
            "stage-in",
            ended(
                1,
                "Error",
                &report(&json!({"failed": {"class": "rejected", "message": "no input",
            "user_code_started": false}})),
            ),
        ),
        ("stage-out", waiting("PodInitializing", "")),
        ("executor-0", waiting("PodInitializing", "")),
    ];
    let pull = "failed to pull image `quay.io/x/tool:1` on `kubernetes`: not found";
    let table = [
        (
            "made, and not let begin",
            with(|k| k.job.suspended = true, vec![]),
            Is::Waiting(Some("the Job is suspended: its queue has not let it begin")),
        ),
        ("no pod yet", with(|_| (), vec![]), Is::Waiting(None)),
        (
            "a quota refuses",
            with(|k| k.refusal = Some(quota), vec![]),
            Is::Waiting(Some(
                "backend `kubernetes` was refused a pod: exceeded quota: q, requested: cpu=4, limited: cpu=8",
            )),
        ),
        (
            "no node",
            with(|_| (), one("Pending", &[], unscheduled)),
            Is::Waiting(Some("no node can take the pod: 0/1 nodes are available: 1 Insufficient cpu")),
        ),
        (
            "our image is pulled",
            with(|_| (), pulling("stage-in")),
            Is::Waiting(Some("node `n1` gets image `tessera:1` ready")),
        ),
        ("staging", with(|_| (), one("Pending", &staging(), json!({}))), Is::Working { started: false }),
        (
            "staging for long",
            with(|k| k.now = at("2026-01-01T00:01:10Z"), one("Pending", &staging(), json!({}))),
            Is::StepsIn("stage-in", 0),
        ),
        (
            "the task's image is pulled",
            with(|_| (), pulling("executor-0")),
            Is::Waiting(Some("node `n1` gets image `quay.io/x/tool:1` ready")),
        ),
        (
            "pull fails",
            with(|_| (), first_waits("ErrImagePull", "rpc error: code = NotFound desc = not found")),
            Is::Waiting(Some(pull)),
        ),
        (
            "pull is to be tried again",
            with(
                |_| (),
                first_waits(
                    "ImagePullBackOff",
                    "Back-off pulling image \"quay.io/x/tool:1\": ErrImagePull: rpc error: code = NotFound desc = not found",
                ),
            ),
            Is::Waiting(Some(pull)),
        ),
        ("at work", with(|_| (), one("Running", &at_work(), json!({}))), Is::Working { started: true }),
        (
            "the next image is pulled meanwhile",
            with(|_| (), one("Pending", &second_waits(waiting("ErrImagePull", "x")), json!({}))),
            Is::Working { started: true },
        ),
        ("one has ended", with(|_| (), one("Running", &finishing(running()), json!({}))), Is::StepsIn("stage-out", 1)),
        (
            "reported",
            with(|_| (), one("Succeeded", &finishing(ended(0, "Completed", &complete)), json!({}))),
            Is::Ended("complete"),
        ),
        (
            "reported, and the Job is gone on",
            with(|k| k.job.complete = true, one("Succeeded", &finishing(ended(0, "Completed", &complete)), json!({}))),
            Is::Ended("complete"),
        ),
        ("stage-in reports", with(|_| (), one("Failed", &stage_in_reports, json!({}))), Is::Ended("failed")),
        (
            "reported, and an executor is not gone yet",
            with(|_| (), one("Running", &still_runs, json!({}))),
            Is::Working { started: true },
        ),
        (
            "reported while being deleted",
            with(|_| (), deleting(one("Running", &finishing(ended(0, "Completed", &complete)), json!({})))),
            Is::Ended("complete"),
        ),
        (
            "reported, and the pod is gone",
            with(|_| (), gone(one("Succeeded", &finishing(ended(0, "Completed", &complete)), json!({})))),
            Is::Ended("complete"),
        ),
        (
            "reported before the cancel came",
            with(canceled, one("Succeeded", &finishing(ended(0, "Completed", &complete)), json!({}))),
            Is::Ended("complete"),
        ),
        (
            "reported on an evicted pod",
            with(|_| (), one("Failed", &finishing(ended(0, "Completed", &complete)), json!({"reason": "Evicted"}))),
            Is::Ended("complete"),
        ),
        (
            "a long report",
            with(|_| (), one("Succeeded", &finishing(ended(0, "Completed", &summary(&json!("complete")))), json!({}))),
            Is::ReportIn { last_chance: false },
        ),
        (
            "a long report of a pod that is gone",
            with(
                |_| (),
                gone(one("Succeeded", &finishing(ended(0, "Completed", &summary(&json!("complete")))), json!({}))),
            ),
            Is::ReportIn { last_chance: true },
        ),
        (
            "no last words, though it ended by itself",
            with(|_| (), one("Succeeded", &finishing(ended(0, "Completed", "")), json!({}))),
            Is::Sought { by: "stage-out", last_chance: false },
        ),
        (
            "last words that were cut, of a pod that is gone",
            with(|_| (), gone(one("Failed", &finishing(ended(1, "Error", &complete[..40])), json!({})))),
            Is::Sought { by: "stage-out", last_chance: true },
        ),
        (
            "last words that make no sense",
            with(|_| (), one("Failed", &finishing(ended(1, "Error", "{\"version\":1,\"report\":7}")), json!({}))),
            Is::Sought { by: "stage-out", last_chance: false },
        ),
        (
            "stage-in has failed without last words",
            with(|_| (), one("Failed", &[("stage-in", ended(1, "Error", ""))], json!({}))),
            Is::Sought { by: "stage-in", last_chance: false },
        ),
        (
            "words of a newer runtime",
            with(|_| (), one("Succeeded", &finishing(ended(0, "Completed", "{\"version\":99}")), json!({}))),
            Is::Unreadable,
        ),
        (
            "stage-out was killed, an executor goes down",
            with(
                |_| (),
                one(
                    "Running",
                    &[
                        ("stage-in", ended(0, "Completed", "")),
                        ("stage-out", killed("Error")),
                        ("executor-0", running()),
                    ],
                    json!({}),
                ),
            ),
            Is::Working { started: true },
        ),
        (
            "being stopped",
            with(canceled, deleting(one("Running", &at_work(), json!({})))),
            Is::Working { started: true },
        ),
        ("stopped", with(canceled, vec![]), Is::Stopped),
        (
            "stopped, its pod was seen last at work",
            with(canceled, gone(one("Running", &at_work(), json!({})))),
            Is::Stopped,
        ),
        (
            "stopped, and says so itself",
            with(canceled, one("Failed", &finishing(ended(0, "Completed", &report(&json!("canceled")))), json!({}))),
            Is::Ended("canceled"),
        ),
        (
            "to be stopped on a lost node",
            with(canceled, one("Running", &at_work(), json!({"reason": "NodeLost"}))),
            Is::Unreadable,
        ),
        (
            "condemned, and going",
            with(condemned, deleting(one("Running", &at_work(), json!({})))),
            Is::Working { started: true },
        ),
        ("condemned", with(condemned, vec![]), Is::Ended("failed")),
        (
            "condemned, and its own words say it was stopped",
            with(condemned, one("Failed", &finishing(ended(0, "Completed", &report(&json!("canceled")))), json!({}))),
            Is::Ended("failed"),
        ),
        ("the Job is being deleted by somebody", with(|k| k.job.deleting = true, vec![]), Is::ConfirmGone),
    ];
    for (what, known, expected) in table {
        let judged = known.judge();
        assert_eq!(is(&judged), Some(expected), "{what}: {judged:?}");
    }
}

#[test]
fn what_a_command_may_have_done_is_known_from_the_pod() {
    let look =
        |phase: &str, states: &[(&str, Value)], more: Value| Look::at(&pod(phase, states, more)).user_code_started();
    let never = json!({"terminated": {"exitCode": 128, "reason": "StartError"}});
    let table = [
        ("no node", look("Pending", &[], json!({})), false),
        ("staging", look("Pending", &staging(), json!({})), false),
        ("refused by its node", look("Failed", &[], json!({"reason": "OutOfcpu"})), false),
        ("at work", look("Running", &at_work(), json!({})), true),
        ("ended", look("Succeeded", &finishing(running()), json!({})), true),
        ("never started", look("Running", &[("executor-0", never)], json!({})), false),
        ("unknown", look("Running", &[], json!({})), true),
        ("cleared", look("Failed", &[], json!({"conditions": [{"type": "Initialized", "status": "True"}]})), true),
    ];
    for (what, started, expected) in table {
        assert_eq!(started, expected, "{what}");
    }
}

#[test]
fn trouble_is_what_a_container_cannot_get_over_just_now() {
    assert!(in_trouble(&first_waits("ImagePullBackOff", "x")[0]));
    assert!(in_trouble(&first_waits("CreateContainerConfigError", "secret \"x\" not found")[0]));
    assert!(!in_trouble(&first_waits("ContainerCreating", "")[0]));
    assert!(!in_trouble(&pod("Running", &at_work(), json!({}))));
}

#[test]
fn an_executor_that_outlives_its_job_is_ended_and_what_was_reported_stands() {
    let complete = report(&json!("complete"));
    let states = |executor: Value| {
        [
            ("stage-in", ended(0, "Completed", "")),
            ("stage-out", ended(0, "Completed", &complete)),
            ("executor-0", executor),
        ]
    };
    let mut known = Known::with(vec![pod("Running", &states(running()), json!({}))]);
    assert!(in_trouble(&known.pods[0]));
    known.trouble_since = Some(known.now - jiff::SignedDuration::from_secs(30));
    assert_eq!(is(&known.judge()), Some(Is::Working { started: true }));
    known.trouble_since = Some(known.now - jiff::SignedDuration::from_secs(90));
    let Judged::Condemn(fault) = known.judge() else { panic!("{:?}", known.judge()) };
    known.job.verdict = Verdict::Failed(fault);
    assert_eq!(is(&known.judge()), Some(Is::Working { started: true }), "it is being taken down");
    known.pods = vec![pod("Failed", &states(ended(137, "Error", "")), json!({}))];
    assert_eq!(is(&known.judge()), Some(Is::Ended("complete")));
}
