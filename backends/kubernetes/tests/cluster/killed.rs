//! Wrappers and our own containers that are killed from their node, in each phase (TES contract 12.6, 12.7).

use tessera_contract::Backend;
use tessera_contract::rules::jobs::{job, output};
use tessera_contract::rules::told::codes;
use tessera_runtime::plan::Kind;
use tessera_runtime::report::{FaultClass, Outcome};

use crate::ground::{cluster, runs};
use crate::processes::kill_first;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_6_a_wrapper_killed_while_its_command_runs_counts_as_137_and_what_there_is_arrives() {
    let ground = cluster!();
    let backend = ground.open().await;
    for ignored in [false, true] {
        let mark = format!("begun-{ignored}-{}", ground.installation.0);
        let begin = format!("echo kept > /shared/kept; {}; sleep 1000", ground.outside.count(&mark));
        let mut job = job(&[&begin, "echo next"]);
        job.plan.executors[0].ignore_error = ignored;
        let kept = ground.files().join(format!("kept-{ignored}"));
        job.plan.outputs = vec![output("/shared/kept", &kept, Some(Kind::File))];
        job.plan.storage.file_roots.push(ground.files().display().to_string());
        let handle = backend.submit(&job).await.unwrap();
        ground.outside.until_counted(&mark).await;
        let pod = ground.pod_when(&job, |pod| runs(pod, "executor-0")).await;
        if !kill_first(&pod, "executor-0") {
            return;
        }
        let report = ground.over(&*backend, &handle).await.report();
        if ignored {
            assert_eq!((&report.outcome, codes(&report)), (&Outcome::Complete, vec![137, 0]), "{report:#?}");
        } else {
            assert_eq!(report.outcome, Outcome::ExecutorFailed { step: 0 }, "{report:#?}");
            assert_eq!(codes(&report), [137]);
        }
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "kept\n");
        ground.put_away(&*backend, &job, &handle).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_7_a_wrapper_killed_before_its_turn_is_lost() {
    let ground = cluster!();
    let backend = ground.open().await;
    let mark = format!("begun-{}", ground.installation.0);
    let mut job = job(&[&format!("{}; sleep 15", ground.outside.count(&mark)), "echo next"]);
    job.plan.executors[0].ignore_error = true;
    let handle = backend.submit(&job).await.unwrap();
    ground.outside.until_counted(&mark).await;
    let pod = ground.pod_when(&job, |pod| runs(pod, "executor-1")).await;
    if !kill_first(&pod, "executor-1") {
        return;
    }
    let fault = ground.over(&*backend, &handle).await.fault();
    assert_eq!(fault.class, FaultClass::Lost, "{fault:?}");
    assert!(fault.message.contains("from outside"), "{}", fault.message);
    ground.put_away(&*backend, &job, &handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_7_stage_out_killed_while_a_command_runs_is_lost_and_nothing_goes_on() {
    let ground = cluster!();
    let backend = ground.open().await;
    let (begun, next) = (format!("begun-{}", ground.installation.0), format!("next-{}", ground.installation.0));
    let first = format!("{}; sleep 1000", ground.outside.count(&begun));
    let job = job(&[&first, &ground.outside.count(&next)]);
    let handle = backend.submit(&job).await.unwrap();
    ground.outside.until_counted(&begun).await;
    let pod = ground.pod_when(&job, |pod| runs(pod, "stage-out")).await;
    if !kill_first(&pod, "stage-out") {
        return;
    }
    let (reason, started) = ground.over(&*backend, &handle).await.lost();
    assert!(started, "{reason}");
    let pods = ground.pods_of(&job).await;
    assert!(!pods.iter().any(|pod| runs(pod, "executor-0") || runs(pod, "executor-1")), "lost means that nothing runs");
    assert_eq!(ground.outside.counted(&next), 0);
    ground.put_away(&*backend, &job, &handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_7_stage_in_killed_is_lost_before_any_command() {
    let ground = cluster!();
    let backend = ground.open().await;
    let mut job = job(&["true"]);
    ground.outside.stall(&mut job);
    let handle = backend.submit(&job).await.unwrap();
    let pod = ground.pod_when(&job, |pod| runs(pod, "stage-in")).await;
    if !kill_first(&pod, "stage-in") {
        return;
    }
    let (reason, started) = ground.over(&*backend, &handle).await.lost();
    assert!(!started && reason.contains("stage-in"), "{reason}");
    ground.put_away(&*backend, &job, &handle).await;
}
