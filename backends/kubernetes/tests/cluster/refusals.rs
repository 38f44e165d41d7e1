//! Pods that cannot be, or not yet: images, containers, quotas, admission (TES contract 12.7).

use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use tessera_contract::rules::jobs::job;
use tessera_contract::{Backend, Observation};
use tessera_kubernetes::config::PullPolicy;
use tessera_runtime::report::{FaultClass, Outcome};

use crate::ground::{Ground, cluster};
use crate::place::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_7_an_image_that_cannot_be_had_is_named() {
    let mut ground = cluster!();
    ground.config.image_timeout_ms = 4_000;
    let backend = ground.open().await;
    let mut job = job(&["true", "true"]);
    job.plan.executors[0].image = "127.0.0.1:1/tessera-test/none:1".into();
    let handle = backend.submit(&job).await.unwrap();
    let words = |seen| match seen {
        Observation::Waiting { reason } => reason.filter(|reason| reason.contains("none:1")),
        Observation::Working(_)
        | Observation::Paused
        | Observation::Ended(_)
        | Observation::Stopped
        | Observation::Preempted { .. }
        | Observation::Lost { .. }
        | Observation::Unreadable { .. } => None,
    };
    let why = ground.until(&*backend, &handle, words).await;
    assert!(why.starts_with("failed to pull image `127.0.0.1:1/tessera-test/none:1` on `kubernetes`: "), "{why}");
    let fault = ground.over(&*backend, &handle).await.fault();
    assert!(!fault.user_code_started && fault.class != FaultClass::Lost, "{fault:?}");
    assert!(fault.message.starts_with(&why), "{}", fault.message);
    ground.put_away(&*backend, &job, &handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_7_an_image_of_a_later_executor_that_cannot_be_had_ends_the_job_too() {
    let mut ground = cluster!();
    ground.config.image_timeout_ms = 4_000;
    let backend = ground.open().await;
    let mut job = job(&["sleep 1000", "true"]);
    job.plan.executors[1].image = "127.0.0.1:1/tessera-test/none:1".into();
    let fault = ground.run(&*backend, &job).await.fault();
    assert!(fault.message.contains("none:1"), "{}", fault.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_7_an_image_that_cannot_be_is_rejected_at_once() {
    let ground = cluster!();
    let backend = ground.open().await;
    let mut job = job(&["true"]);
    job.plan.executors[0].image = "Not An Image".into();
    let handle = match backend.submit(&job).await {
        Ok(handle) => handle,
        Err(error) => {
            assert!(matches!(&error, tessera_contract::BackendError::Rejected(_)), "{error}");
            assert!(error.to_string().contains("Not An Image"), "{error}");
            return;
        }
    };
    let fault = ground.over(&*backend, &handle).await.fault();
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Rejected, false), "{fault:?}");
    assert!(fault.message.contains("`Not An Image` on `kubernetes`"), "{}", fault.message);
    ground.put_away(&*backend, &job, &handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_ours_that_is_not_there_and_never_pulled_is_an_operators_matter() {
    let mut ground = cluster!();
    ground.config.image = "tessera-test/not-there:1".into();
    ground.config.image_pull_policy = PullPolicy::Never;
    let backend = ground.open().await;
    let fault = ground.run(&*backend, &job(&["true"])).await.fault();
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Misconfigured, false), "{fault:?}");
    assert!(fault.message.contains("tessera-test/not-there:1"), "{}", fault.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_cannot_be_made_ends_the_job() {
    let mut ground = cluster!();
    ground.config.start_timeout_ms = 4_000;
    // The image runs as root.
    ground.config.tasks.security.run_as_non_root = Some(true);
    let backend = ground.open().await;
    let fault = ground.run(&*backend, &job(&["true"])).await.fault();
    assert!(!fault.user_code_started && fault.class != FaultClass::Lost, "{fault:?}");
    assert!(fault.message.contains("non-root") || fault.message.contains("runAsNonRoot"), "{}", fault.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_that_cannot_start_in_an_image_ends_the_job_at_once() {
    let ground = cluster!();
    let backend = ground.open().await;
    // Something is to be mounted below what is a file of this image.
    let mut job = job(&["sleep 1000", "true"]);
    job.plan.volumes = vec!["/etc/passwd/inside".to_owned()];
    let began = std::time::Instant::now();
    let fault = ground.run(&*backend, &job).await.fault();
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Rejected, false), "{fault:?}");
    assert!(fault.message.starts_with("failed to start a container of `"), "{}", fault.message);
    assert!(fault.message.contains("tessera-test/busybox:1` on `kubernetes`: "), "{}", fault.message);
    assert!(fault.message.contains("/etc/passwd"), "{}", fault.message);
    // Nobody's patience was needed.
    assert!(began.elapsed().as_millis() < u128::from(ground.config.start_timeout_ms), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_ours_without_our_program_is_an_operators_matter_at_once() {
    let mut ground = cluster!();
    ground.config.image = "tessera-test/busybox:1".into();
    let backend = ground.open().await;
    let fault = ground.run(&*backend, &job(&["true"])).await.fault();
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Misconfigured, false), "{fault:?}");
    assert!(fault.message.contains("/tessera-runtime"), "{}", fault.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_quota_refuses_waits_and_begins_when_there_is_room() {
    let Some(place) = Place::cluster().await else { return };
    let place = place.elsewhere(&[]).await;
    let ground = Ground::new(&place).await;
    no_pods(&place).await;
    let backend = ground.open().await;
    let job = job(&["echo ran"]);
    let handle = backend.submit(&job).await.unwrap();
    let words = |seen| match seen {
        Observation::Waiting { reason } => reason.filter(|reason| reason.contains("exceeded quota")),
        Observation::Working(_)
        | Observation::Paused
        | Observation::Ended(_)
        | Observation::Stopped
        | Observation::Preempted { .. }
        | Observation::Lost { .. }
        | Observation::Unreadable { .. } => None,
    };
    ground.until(&*backend, &handle, words).await;
    place.api::<ResourceQuota>().delete("none", &DeleteParams::default()).await.unwrap();
    let report = ground.over(&*backend, &handle).await.report();
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    ground.put_away(&*backend, &job, &handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_quota_refuses_for_too_long_is_given_back() {
    let Some(place) = Place::cluster().await else { return };
    let place = place.elsewhere(&[]).await;
    let mut ground = Ground::new(&place).await;
    ground.config.refused_timeout_ms = 3_000;
    no_pods(&place).await;
    let backend = ground.open().await;
    let fault = ground.run(&*backend, &job(&["true"])).await.fault();
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Unavailable, false), "{fault:?}");
    assert!(fault.message.contains("exceeded quota"), "{}", fault.message);
}

/// A quota under which there is no pod.
async fn no_pods(place: &Place) {
    let hard = [("pods".to_owned(), Quantity("0".to_owned()))].into();
    let quota = ResourceQuota {
        metadata: ObjectMeta { name: Some("none".to_owned()), ..ObjectMeta::default() },
        spec: Some(ResourceQuotaSpec { hard: Some(hard), ..ResourceQuotaSpec::default() }),
        status: None,
    };
    place.api::<ResourceQuota>().create(&PostParams::default(), &quota).await.unwrap();
    // It holds once somebody has counted for it.
    let counted = || async {
        let quota = place.api::<ResourceQuota>().get("none").await.unwrap();
        quota.status.and_then(|status| status.hard).is_some_and(|hard| !hard.is_empty())
    };
    while !counted().await {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_pod_security_refuses_is_an_operators_matter_at_once() {
    let Some(place) = Place::cluster().await else { return };
    let place = place.elsewhere(&[("pod-security.kubernetes.io/enforce", "restricted")]).await;
    let ground = Ground::new(&place).await;
    let backend = ground.open().await;
    let fault = ground.run(&*backend, &job(&["true"])).await.fault();
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Misconfigured, false), "{fault:?}");
    assert!(fault.message.contains("PodSecurity"), "{}", fault.message);
}
