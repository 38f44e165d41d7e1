//! An API server that is away, slow, refuses or loses its answers: no job is lost, none is made twice, and each time
//! there is a reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tessera_contract::rules::jobs::job;
use tessera_contract::{Backend, BackendError, Handle, Job, Observation};
use tessera_runtime::report::Outcome;

use crate::ground::{Ground, cluster};
use crate::proxy::{Fault, Proxy};

/// A ground whose backend reaches its cluster through a door of ours.
async fn behind_a_door(mut ground: Ground) -> (Ground, Proxy) {
    let namespace = &ground.place.namespace.name;
    let proxy = Proxy::before(&ground.place.client, ground.folder.path(), namespace).await;
    ground.config.kubeconfig = Some(proxy.kubeconfig.clone());
    (ground, proxy)
}

/// Hands a job over as the engine does: again and again, while it may pass. Every refusal has a reason.
async fn submitted(backend: &dyn Backend, job: &Job) -> Handle {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        match backend.submit(job).await {
            Ok(handle) => return handle,
            Err(BackendError::Unavailable(why)) => assert!(!why.is_empty()),
            Err(error @ (BackendError::Rejected(_) | BackendError::Misconfigured(_))) => panic!("{error}"),
        }
        assert!(Instant::now() < deadline, "it is never taken");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_loses_no_job() {
    let (ground, proxy) = behind_a_door(cluster!()).await;
    let backend = ground.open().await;
    let counted = format!("ran-{}", ground.installation.0);
    let job = job(&[&format!("{}; sleep 10", ground.outside.count(&counted))]);
    let handle = backend.submit(&job).await.unwrap();
    ground.started(&*backend, &handle).await;

    proxy.set(Fault::Down);
    let refused = backend.submit(&tessera_contract::rules::jobs::job(&["true"])).await;
    assert!(matches!(&refused, Err(BackendError::Unavailable(why)) if !why.is_empty()), "{refused:?}");
    let asked = backend.cancel(&Handle(handle.0.replace(job.id.as_str(), "another-1"))).await;
    assert!(matches!(&asked, Err(BackendError::Unavailable(_))), "{asked:?}");
    // The copy is good for a while; then nothing is said rather than something old.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match backend.observe(std::slice::from_ref(&handle)).await {
            Ok(seen) => {
                assert!(matches!(seen[0], Observation::Working(_) | Observation::Unreadable { .. }), "{seen:?}")
            }
            Err(BackendError::Unavailable(why)) => break assert!(!why.is_empty()),
            Err(error @ (BackendError::Rejected(_) | BackendError::Misconfigured(_))) => panic!("{error}"),
        }
        assert!(Instant::now() < deadline, "an old copy is believed for ever");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    proxy.set(Fault::None);
    let report = ground.over(&*backend, &handle).await.report();
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!((proxy.made("Job"), ground.outside.counted(&counted)), (1, 1));
    ground.put_away(&*backend, &job, &handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_at_the_start_is_waited_for() {
    let (ground, proxy) = behind_a_door(cluster!()).await;
    proxy.set(Fault::Down);
    let backend = ground.open().await;
    let job = job(&["true"]);
    let refused = backend.submit(&job).await;
    assert!(matches!(&refused, Err(BackendError::Unavailable(_))), "{refused:?}");
    let findings = backend.check().await;
    assert!(findings.iter().any(|found| found.severity == tessera_contract::Severity::Problem), "{findings:?}");
    proxy.set(Fault::None);
    let handle = submitted(&*backend, &job).await;
    assert_eq!(ground.over(&*backend, &handle).await.report().outcome, Outcome::Complete);
    ground.put_away(&*backend, &job, &handle).await;
}

/// Runs a job while something is the matter all the time.
async fn goes_through(ground: Ground, fault: Fault) {
    let (ground, proxy) = behind_a_door(ground).await;
    passes(&ground, &proxy, fault).await;
}

async fn passes(ground: &Ground, proxy: &Proxy, fault: Fault) {
    let backend = ground.open().await;
    proxy.set(fault);
    let counted = format!("ran-{}", ground.installation.0);
    let job = job(&[&format!("{}; sleep 2", ground.outside.count(&counted)), "exit 3"]);
    let handle = submitted(&*backend, &job).await;
    let again = submitted(&*backend, &job).await;
    assert_eq!(handle, again, "{fault:?}");
    let report = ground.over(&*backend, &handle).await.report();
    assert_eq!(report.outcome, Outcome::ExecutorFailed { step: 1 }, "{fault:?}: {report:#?}");
    assert_eq!((proxy.made("Job"), proxy.made("Secret"), ground.outside.counted(&counted)), (1, 1, 1), "{fault:?}");
    proxy.set(Fault::None);
    ground.put_away(&*backend, &job, &handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_waited_for() {
    goes_through(cluster!(), Fault::Slow(Duration::from_secs(1))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_second_call_too_many_does_no_harm() {
    goes_through(cluster!(), Fault::StatusOfEach(429, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_third_call_failing_does_no_harm() {
    goes_through(cluster!(), Fault::StatusOfEach(500, 3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_that_end_each_second_do_no_harm() {
    goes_through(cluster!(), Fault::WatchesEnd(Duration::from_secs(1))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_whose_version_is_too_old_are_begun_anew() {
    let (ground, proxy) = behind_a_door(cluster!()).await;
    // The first watches of both kinds, and one of them once more.
    proxy.set(Fault::Gone(3));
    passes(&ground, &proxy, Fault::Gone(3)).await;
    // Once for each at the start, and once for each that was too old.
    assert!(proxy.listed() >= 5, "{} listings", proxy.listed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_second_answer_lost_makes_no_second_job() {
    goes_through(cluster!(), Fault::AnswersLostOfEach(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_fails_throughout_is_told_with_its_words() {
    let (ground, proxy) = behind_a_door(cluster!()).await;
    let backend = ground.open().await;
    for status in [429, 500] {
        proxy.set(Fault::Status(status));
        let refused = backend.submit(&job(&["true"])).await;
        assert!(matches!(&refused, Err(BackendError::Unavailable(why)) if why.contains("made up")), "{refused:?}");
    }
    assert_eq!(proxy.made("Job"), 0);
}

/// The three calls of a hand-over, by method and the end of the path.
const STEPS: [(&str, &str); 3] = [("POST", "/jobs"), ("POST", "/secrets"), ("PATCH", "")];

/// From now on the first answer of this kind is lost.
fn lose_one(proxy: &Proxy, (method, ending): (&'static str, &'static str)) {
    let done = AtomicBool::new(false);
    proxy.tell(Arc::new(move |asked, path| {
        asked == method && path.ends_with(ending) && !done.swap(true, Ordering::SeqCst)
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_ours_that_dies_between_two_calls_is_finished_by_the_next() {
    let (ground, proxy) = behind_a_door(cluster!()).await;
    for step in STEPS {
        let counted = format!("{}-{}", step.1.trim_start_matches('/'), ground.installation.0);
        let job = job(&[&ground.outside.count(&counted)]);
        let first = ground.open().await;
        lose_one(&proxy, step);
        // The answer that is lost may be asked for again at once; either way the next server finds what there is.
        let _maybe = first.submit(&job).await;
        drop(first);
        let next = ground.open().await;
        let handle = submitted(&*next, &job).await;
        assert_eq!(ground.over(&*next, &handle).await.report().outcome, Outcome::Complete, "{step:?}");
        assert_eq!(ground.outside.counted(&counted), 1, "{step:?}");
        ground.put_away(&*next, &job, &handle).await;
    }
    assert_eq!((proxy.made("Job"), proxy.made("Secret")), (STEPS.len(), STEPS.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_deleted_by_hand_between_two_calls_is_made_anew_or_lost_and_nothing_is_left() {
    let (ground, proxy) = behind_a_door(cluster!()).await;
    let backend = ground.open().await;
    for step in STEPS {
        let job = job(&["true"]);
        lose_one(&proxy, step);
        let first = backend.submit(&job).await;
        ground.delete_jobs(&job).await;
        ground.delete_pods(&job).await;
        if let Ok(handle) = first {
            // It was told to be taken, so it is not made again behind anybody's back.
            let (reason, _) = ground.over(&*backend, &handle).await.lost();
            assert!(!reason.is_empty(), "{step:?}");
            backend.release(&handle).await.unwrap();
        } else {
            let handle = submitted(&*backend, &job).await;
            assert_eq!(ground.over(&*backend, &handle).await.report().outcome, Outcome::Complete, "{step:?}");
            ground.put_away(&*backend, &job, &handle).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_whose_answer_was_lost_has_stopped() {
    let (ground, proxy) = behind_a_door(cluster!()).await;
    let backend = ground.open().await;
    let job = job(&["sleep 1000"]);
    let handle = backend.submit(&job).await.unwrap();
    ground.started(&*backend, &handle).await;
    proxy.set(Fault::AnswersLostOfEach(1));
    let _lost = backend.cancel(&handle).await;
    let _lost = backend.cancel(&handle).await;
    proxy.set(Fault::None);
    ground.over(&*backend, &handle).await;
    ground.put_away(&*backend, &job, &handle).await;
}
