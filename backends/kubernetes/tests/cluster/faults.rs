//! What goes wrong with a job that runs, and what becomes of it (TES contract 12.6, 12.7).

use tessera_contract::rules::jobs::{job, script_of};
use tessera_contract::rules::told::{codes, notes};
use tessera_contract::{Backend, Handle, Job, Observation};
use tessera_kubernetes::Kubernetes;
use tessera_runtime::report::{FaultClass, Outcome};

use crate::ground::{Ground, cluster, runs};

/// Who vanishes.
#[derive(Debug, Clone, Copy)]
enum Vanishes {
    Pod,
    Job,
}

async fn vanish(ground: &Ground, job: &Job, who: Vanishes) {
    match who {
        Vanishes::Pod => ground.delete_pods(job).await,
        Vanishes::Job => {
            ground.delete_jobs(job).await;
            ground.delete_pods(job).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_7_a_pod_or_a_job_deleted_by_hand_while_a_command_runs_is_lost() {
    let ground = cluster!();
    let backend = ground.open().await;
    for who in [Vanishes::Pod, Vanishes::Job] {
        let job = job(&["sleep 1000"]);
        let handle = backend.submit(&job).await.unwrap();
        ground.started(&*backend, &handle).await;
        vanish(&ground, &job, who).await;
        let (reason, started) = ground.over(&*backend, &handle).await.lost();
        assert!(started && !reason.is_empty(), "{who:?}: {reason}");
        gone_for_good(&ground, &backend, &job, &handle).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_7_a_pod_or_a_job_deleted_by_hand_while_inputs_come_is_lost_before_its_start() {
    let ground = cluster!();
    let backend = ground.open().await;
    for who in [Vanishes::Pod, Vanishes::Job] {
        let mut job = job(&["true"]);
        ground.outside.stall(&mut job);
        let handle = backend.submit(&job).await.unwrap();
        ground.pod_when(&job, |pod| runs(pod, "stage-in")).await;
        // Seen by the backend as well, or it cannot know that no command had begun.
        let staging = |seen| matches!(seen, Observation::Working(progress) if progress.started.is_none()).then_some(());
        ground.until(&*backend, &handle, staging).await;
        vanish(&ground, &job, who).await;
        let (reason, _) = ground.over(&*backend, &handle).await.lost();
        assert!(!reason.is_empty(), "{who:?}");
        gone_for_good(&ground, &backend, &job, &handle).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_was_read_is_kept_when_its_pod_is_deleted() {
    let ground = cluster!();
    let backend = ground.open().await;
    let job = job(&["exit 3"]);
    let handle = backend.submit(&job).await.unwrap();
    let before = ground.over(&*backend, &handle).await.report();
    ground.delete_pods(&job).await;
    ground.pods_gone(&job).await;
    let after = ground.over(&*backend, &handle).await.report();
    assert_eq!((codes(&before), before.outcome), (codes(&after), after.outcome));
    gone_for_good(&ground, &backend, &job, &handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_deleted_by_hand_after_its_end_can_be_stopped_and_removed() {
    let ground = cluster!();
    let backend = ground.open().await;
    let job = job(&["true"]);
    let handle = backend.submit(&job).await.unwrap();
    assert_eq!(ground.over(&*backend, &handle).await.report().outcome, Outcome::Complete);
    vanish(&ground, &job, Vanishes::Job).await;
    backend.cancel(&handle).await.unwrap();
    gone_for_good(&ground, &backend, &job, &handle).await;
}

/// Whatever became of it: it can be removed, twice, and nothing is left.
async fn gone_for_good(ground: &Ground, backend: &Kubernetes, job: &Job, handle: &Handle) {
    backend.cancel(handle).await.unwrap();
    backend.release(handle).await.unwrap();
    backend.release(handle).await.unwrap();
    ground.pods_gone(job).await;
    assert!(ground.jobs_of(job).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_6_a_child_out_of_memory_is_no_failure_where_its_command_goes_on() {
    let ground = cluster!();
    let backend = ground.open().await;
    let mut job = job(&["dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; echo went on; exit 0"]);
    job.plan.limits.ram_bytes = Some(48 << 20);
    let report = ground.run(&*backend, &job).await.report();
    match report.outcome {
        Outcome::Complete => {
            assert_eq!(report.steps[0].stdout_tail, "went on\n");
            assert!(!notes(&report).contains("ran out of memory"), "{}", notes(&report));
        }
        // With control groups of version 2 the node ends all of the container.
        Outcome::ExecutorFailed { step: 0 } => {
            assert_eq!(codes(&report), [137]);
            assert!(notes(&report).contains("executor 0 ran out of memory"), "{}", notes(&report));
        }
        Outcome::ExecutorFailed { .. } | Outcome::Failed(_) | Outcome::Canceled => panic!("{report:#?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_15_7_a_report_says_what_ran_where() {
    let ground = cluster!();
    let backend = ground.open().await;
    let report = ground.run(&*backend, &job(&["echo hello; echo oops >&2", "exit 0"])).await.report();
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!((report.steps[0].stdout_tail.as_str(), report.steps[0].stderr_tail.as_str()), ("hello\n", "oops\n"));
    assert_eq!(report.metadata["backend"], "kubernetes");
    assert_eq!(report.metadata["container_ids"].split(',').count(), 2, "{:?}", report.metadata);
    assert!(report.metadata["image_digests"].contains("sha256:"), "{:?}", report.metadata);
    for key in ["node", "pod"] {
        assert!(report.metadata.get(key).is_some_and(|value| !value.is_empty()), "{key}: {:?}", report.metadata);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_13_6_the_wall_time_ends_what_takes_too_long() {
    let ground = cluster!();
    let backend = ground.open().await;
    let mut job = job(&["echo begun; sleep 1000", "echo never"]);
    job.plan.limits.walltime_ms = Some(700);
    let report = ground.run(&*backend, &job).await.report();
    let Outcome::Failed(fault) = &report.outcome else { panic!("{report:#?}") };
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Rejected, true));
    assert_eq!(fault.message, "the walltime of 0.7 s is over; what still ran was stopped");
    assert!(report.steps.len() <= 1, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_told_before_it_is_killed() {
    let ground = cluster!();
    let backend = ground.open().await;
    let (begun, told) = (format!("on-{}", ground.installation.0), format!("told-{}", ground.installation.0));
    let polite = format!(
        "trap '{}; exit 0' TERM; {}; while :; do sleep 0.05; done",
        ground.outside.count(&told),
        ground.outside.count(&begun)
    );
    let mut job = job(&[]);
    job.plan.executors = vec![script_of(&polite), script_of(&ground.outside.count("never"))];
    let handle = backend.submit(&job).await.unwrap();
    ground.outside.until_counted(&begun).await;
    ground.put_away(&*backend, &job, &handle).await;
    assert_eq!((ground.outside.counted(&told), ground.outside.counted("never")), (1, 0));
}
