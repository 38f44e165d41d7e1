//! The conversations.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tessera_contract::{Backend, BackendError, Bell, Handle, InstallationId, Job, JobId, Observation};
use tessera_runtime::pod::words::{LastWords, WORDS_VERSION};
use tessera_runtime::report::{Outcome, REPORT_VERSION, Report};

use super::{Mishap, Server};
use crate::client::Cluster;
use crate::{Kubernetes, KubernetesConfig};

struct Scene {
    server: Server,
    backend: Arc<Kubernetes>,
    _folder: tempfile::TempDir,
}

fn opened(server: &Server) -> Scene {
    opened_as(server, KubernetesConfig::default())
}

fn opened_as(server: &Server, config: KubernetesConfig) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let config = KubernetesConfig { image: "tessera:1".to_owned(), ..config };
    let cluster = Cluster::played(server.clone(), "tasks");
    let installation = InstallationId("01hzy".to_owned());
    let backend = Kubernetes::on("cluster", config, installation, folder.path().to_owned(), Bell::default(), cluster);
    Scene { server: server.clone(), backend: backend.unwrap(), _folder: folder }
}

fn scene() -> Scene {
    opened(&Server::default())
}

fn job(number: u32) -> Job {
    let id = JobId::of_attempt("t", number);
    let mut job = crate::sample(&KubernetesConfig { image: "busybox:1".to_owned(), ..KubernetesConfig::default() });
    job.plan.job = id.to_string();
    Job { id, ..job }
}

impl Scene {
    fn name(&self, job: &Job) -> String {
        self.backend.site.object(&job.id)
    }

    fn job_object(&self, job: &Job) -> Value {
        self.server.object("jobs", &self.name(job)).unwrap()
    }

    async fn look(&self, handle: &Handle) -> Observation {
        self.backend.observe(std::slice::from_ref(handle)).await.unwrap().remove(0)
    }

    /// Looks after each change until it is as wished.
    async fn look_until(&self, handle: &Handle, wished: impl Fn(&Observation) -> bool) -> Observation {
        let looks = async {
            loop {
                let seen = self.look(handle).await;
                if wished(&seen) {
                    return seen;
                }
                let bell = self.backend.bell().unwrap();
                let _ = tokio::time::timeout(Duration::from_millis(500), bell.rung()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), looks).await.unwrap()
    }

    /// The Job's Pod, with a status.
    fn pod(&self, job: &Job, status: Value) {
        let labels = self.job_object(job)["metadata"]["labels"].clone();
        let uid = format!("uid of {}", self.name(job));
        let pod = json!({"metadata": {"labels": labels, "uid": uid}, "spec": {"nodeName": "n"}, "status": status});
        self.server.put("pods", &format!("{}-x", self.name(job)), pod);
    }

    fn pod_that_reports(&self, job: &Job) {
        let report = Report {
            version: REPORT_VERSION,
            job: job.id.to_string(),
            outcome: Outcome::Complete,
            began: "2026-11-22T11:00:01Z".parse().unwrap(),
            started: None,
            ended: "2026-11-22T11:00:02Z".parse().unwrap(),
            steps: Vec::new(),
            outputs: Vec::new(),
            notes: Vec::new(),
            metadata: Default::default(),
        };
        let words = LastWords { version: WORDS_VERSION, report: Some(report), summary: None };
        let ended = |message: String| {
            json!({"terminated": {"exitCode": 0, "startedAt": "2026-11-22T11:00:01Z", "finishedAt": "2026-11-22T11:00:02Z",
                "message": message}})
        };
        let container = |name: &str, message: String| json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": ended(message)});
        let words = serde_json::to_string(&words).unwrap();
        self.pod(
            job,
            json!({
                "phase": "Succeeded",
                "initContainerStatuses": [container("stage-in", String::new())],
                "containerStatuses": [container("stage-out", words), container("executor-0", String::new())],
            }),
        );
    }
}

fn is_begun(object: &Value) -> bool {
    object["spec"]["suspend"] == json!(false)
}

#[tokio::test]
async fn a_tasks_whole_life_is_four_calls() {
    let scene = scene();
    let job = job(1);
    let handle = scene.backend.submit(&job).await.unwrap();
    assert!(is_begun(&scene.job_object(&job)));
    assert!(matches!(scene.look(&handle).await, Observation::Waiting { .. }));
    scene.pod_that_reports(&job);
    let ended = scene.look_until(&handle, |seen| matches!(seen, Observation::Ended(_))).await;
    let Observation::Ended(report) = ended else { unreachable!() };
    assert_eq!(report.outcome, Outcome::Complete);
    scene.backend.release(&handle).await.unwrap();
    assert!(scene.backend.inventory(None).await.unwrap().jobs.is_empty());
    let calls = ["create jobs", "create secrets", "patch jobs", "delete jobs"];
    assert_eq!(scene.server.asked(), calls);
    let counted = scene.backend.calls();
    assert_eq!(counted.get(&("create", "jobs".to_owned())), Some(&1), "{counted:?}");
}

#[tokio::test]
async fn submitted_twice_it_is_one_job_and_one_handle() {
    let scene = scene();
    let job = job(1);
    let (one, two) = tokio::join!(scene.backend.submit(&job), scene.backend.submit(&job));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(scene.server.names("jobs").len(), 1);
    let known = scene.backend.inventory(None).await.unwrap().jobs;
    assert_eq!(known.first().map(|known| known.handle.clone()), Some(scene.backend.submit(&job).await.unwrap()));
}

#[tokio::test]
async fn whatever_answer_is_lost_the_next_try_finds_what_was_done() {
    for lost in ["create jobs", "create secrets", "patch jobs"] {
        let scene = scene();
        let job = job(1);
        scene.server.mishap(lost, Mishap::AnswerLost);
        let first = scene.backend.submit(&job).await;
        assert!(matches!(first, Err(BackendError::Unavailable(_))), "{lost}: {first:?}");
        scene.backend.submit(&job).await.unwrap();
        assert_eq!((scene.server.names("jobs").len(), scene.server.names("secrets").len()), (1, 1), "{lost}");
        assert!(is_begun(&scene.job_object(&job)), "{lost}");
    }
}

#[tokio::test]
async fn refusals_are_sorted_and_what_may_pass_is_tried_again() {
    let scene = scene();
    let lacks = "jobs.batch is forbidden: User \"u\" cannot create resource \"jobs\" in API group \"batch\"";
    let tries = [
        (501, "not implemented", "Unavailable"),
        (403, lacks, "Misconfigured"),
        (422, "Job.batch is invalid", "Rejected"),
        (404, "namespaces \"tasks\" not found", "Misconfigured"),
    ];
    for (code, message, expected) in tries {
        scene.server.mishap("create jobs", Mishap::Refused(code, message));
        let error = scene.backend.submit(&job(1)).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{code}: {error:?}");
    }
    assert!(scene.server.names("jobs").is_empty());
    scene.server.mishap("create jobs", Mishap::Refused(429, "too many requests"));
    scene.server.mishap("create jobs", Mishap::Refused(500, "etcdserver: leader changed"));
    scene.backend.submit(&job(1)).await.unwrap();
    assert_eq!(scene.server.count("create jobs"), 7);
}

#[tokio::test]
async fn a_job_of_that_name_that_is_not_ours_is_left_alone() {
    let scene = scene();
    let job = job(1);
    let theirs = json!({"metadata": {"labels": {"tessera.job": "t-1"}}, "spec": {"suspend": true}});
    scene.server.put("jobs", &scene.name(&job), theirs);
    let error = scene.backend.submit(&job).await.unwrap_err();
    assert!(matches!(&error, BackendError::Rejected(text) if text.contains("not of this installation")), "{error:?}");
    assert_eq!(scene.job_object(&job)["spec"], json!({"suspend": true}));
}

#[tokio::test]
async fn cancelled_between_create_and_begin_it_never_begins() {
    let scene = scene();
    let job = job(1);
    scene.server.mishap("create secrets", Mishap::Refused(501, "no"));
    scene.backend.submit(&job).await.unwrap_err();
    let handle = scene.backend.inventory(None).await.unwrap().jobs.remove(0).handle;
    scene.backend.cancel(&handle).await.unwrap();
    scene.backend.cancel(&handle).await.unwrap();
    assert_eq!(scene.backend.submit(&job).await.unwrap(), handle);
    let object = scene.job_object(&job);
    assert!(!is_begun(&object) && object["spec"]["parallelism"] == json!(0), "{object}");
    scene.look_until(&handle, |seen| *seen == Observation::Stopped).await;
    assert_eq!(scene.server.count("patch jobs"), 1);
}

#[tokio::test]
async fn a_stopped_job_is_stopped_for_the_next_server_too_and_only_without_its_pod() {
    let scene = scene();
    let job = job(1);
    let handle = scene.backend.submit(&job).await.unwrap();
    let stage_in = json!({"name": "stage-in", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"running": {"startedAt": "2026-11-22T11:00:01Z"}}});
    scene.pod(&job, json!({"phase": "Pending", "initContainerStatuses": [stage_in]}));
    scene.look_until(&handle, |seen| matches!(seen, Observation::Working(_))).await;
    scene.backend.cancel(&handle).await.unwrap();
    let next = opened(&scene.server);
    assert!(!matches!(next.look(&handle).await, Observation::Stopped));
    scene.server.remove("pods", &format!("{}-x", scene.name(&job)));
    next.look_until(&handle, |seen| *seen == Observation::Stopped).await;
    scene.look_until(&handle, |seen| *seen == Observation::Stopped).await;
}

#[tokio::test]
async fn a_watch_that_closes_loses_nothing_nor_does_one_that_was_away_too_long() {
    for forget in [false, true] {
        let scene = scene();
        let job = job(1);
        let handle = scene.backend.submit(&job).await.unwrap();
        scene.look(&handle).await;
        scene.server.close_watches(forget);
        scene.pod_that_reports(&job);
        scene.look_until(&handle, |seen| matches!(seen, Observation::Ended(_))).await;
    }
}

#[tokio::test]
async fn a_job_that_went_while_nobody_watched_is_lost_only_when_the_server_says_so() {
    let scene = scene();
    let job = job(1);
    let handle = scene.backend.submit(&job).await.unwrap();
    scene.look(&handle).await;
    scene.server.mishap("get jobs", Mishap::Refused(501, "no"));
    scene.server.remove("jobs", &scene.name(&job));
    scene.look_until(&handle, |seen| matches!(seen, Observation::Unreadable { .. })).await;
    scene.look_until(&handle, |seen| matches!(seen, Observation::Lost { .. })).await;
    // Gone is as good as stopped and removed.
    scene.backend.cancel(&handle).await.unwrap();
    scene.backend.release(&handle).await.unwrap();
}

#[tokio::test]
async fn another_cluster_says_nothing_of_our_jobs() {
    let scene = scene();
    let handle = scene.backend.submit(&job(1)).await.unwrap();
    let foreign = Handle(handle.0.replace("namespace-uid", "another-uid").replace("t-1", "t-2"));
    assert!(matches!(scene.look(&foreign).await, Observation::Unreadable { .. }));
    assert!(matches!(scene.backend.cancel(&foreign).await, Err(BackendError::Misconfigured(_))));
    assert!(matches!(scene.backend.release(&foreign).await, Err(BackendError::Misconfigured(_))));
    let elsewhere = Handle(handle.0.replace("tasks/", "other/"));
    assert!(matches!(scene.look(&elsewhere).await, Observation::Unreadable { .. }));
}

#[tokio::test]
async fn an_inventory_is_whole_however_it_is_listed() {
    let scene = scene();
    for number in 1..=7 {
        scene.backend.submit(&job(number)).await.unwrap();
    }
    scene.server.pages_of(3);
    let next = opened(&scene.server);
    let page = next.backend.inventory(None).await.unwrap();
    assert_eq!((page.jobs.len(), page.next), (7, None));
    let after = next.backend.inventory(Some("t-5")).await.unwrap();
    assert_eq!(after.jobs.iter().map(|one| one.job.as_str()).collect::<Vec<_>>(), ["t-6", "t-7"]);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable_and_a_missing_right_says_which() {
    let refuses = Server::default();
    for _ in 0..50 {
        refuses.mishap("list pods", Mishap::Refused(500, "no"));
    }
    let scene = opened(&refuses);
    let handle = Handle("tasks/t-1##2026-11-22T11:00:00Z".to_owned());
    let seen = scene.backend.observe(std::slice::from_ref(&handle)).await;
    assert!(matches!(seen, Err(BackendError::Unavailable(_))), "{seen:?}");
    let forbids = Server::default();
    let lacks = "pods is forbidden: User \"u\" cannot list resource \"pods\" in API group \"\"";
    for _ in 0..50 {
        forbids.mishap("list pods", Mishap::Refused(403, lacks));
    }
    let scene = opened(&forbids);
    let seen = scene.backend.observe(&[handle]).await;
    assert!(matches!(&seen, Err(BackendError::Misconfigured(text)) if text.contains("list pods")), "{seen:?}");
}

#[tokio::test]
async fn a_pod_that_is_refused_for_good_ends_its_job() {
    let scene = scene();
    let job = job(1);
    let handle = scene.backend.submit(&job).await.unwrap();
    let event = json!({
        "metadata": {}, "reason": "FailedCreate", "lastTimestamp": "2026-11-22T11:00:00Z",
        "involvedObject": {"kind": "Job", "name": scene.name(&job)},
        "message": "Error creating: pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"",
    });
    scene.server.put("events", "one", event);
    let ended = scene.look_until(&handle, |seen| matches!(seen, Observation::Ended(_))).await;
    let Observation::Ended(report) = ended else { unreachable!() };
    let Outcome::Failed(fault) = report.outcome else { panic!("{report:?}") };
    assert!(fault.message.contains("violates PodSecurity"), "{fault:?}");
    assert!(scene.job_object(&job)["spec"]["suspend"] == json!(true));
    assert_eq!(scene.server.count("patch jobs"), 2);
}

#[tokio::test]
async fn without_the_right_to_read_events_a_job_waits_and_nobody_asks_again() {
    let scene = scene();
    let lacks = "events is forbidden: User \"u\" cannot list resource \"events\" in API group \"\"";
    scene.server.mishap("list events", Mishap::Refused(403, lacks));
    let handle = scene.backend.submit(&job(1)).await.unwrap();
    let asked = async {
        while scene.server.count("list events") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap();
    assert!(matches!(scene.look(&handle).await, Observation::Waiting { .. }));
    assert_eq!(scene.server.count("list events"), 1);
}

#[tokio::test]
async fn a_job_that_its_queue_begins_early_gets_its_secret_by_the_next_try() {
    let server = Server::default();
    let queue = Some("q".to_owned());
    let scene = opened_as(&server, KubernetesConfig { kueue_queue: queue, ..KubernetesConfig::default() });
    let job = job(1);
    server.mishap("create secrets", Mishap::Refused(501, "no"));
    scene.backend.submit(&job).await.unwrap_err();
    let mut begun = scene.job_object(&job);
    begun["spec"]["suspend"] = json!(false);
    server.put("jobs", &scene.name(&job), begun);
    scene.backend.submit(&job).await.unwrap();
    assert_eq!(server.names("secrets"), [scene.name(&job)]);
    assert_eq!(server.count("patch jobs"), 0);
}

#[tokio::test]
async fn jobs_went_with_a_namespace_that_was_made_anew_and_those_after_it_are_of_the_new_one() {
    let scene = scene();
    let (first, second) = (job(1), job(2));
    let handle = scene.backend.submit(&first).await.unwrap();
    scene.look(&handle).await;
    scene.server.namespace_made_anew();
    scene.look_until(&handle, |seen| matches!(seen, Observation::Lost { .. })).await;
    scene.backend.release(&handle).await.unwrap();
    // Whoever is refused looks whether it still is the same one.
    scene.server.mishap("create jobs", Mishap::Refused(404, "namespaces \"tasks\" not found"));
    scene.backend.submit(&second).await.unwrap_err();
    let handle = scene.backend.submit(&second).await.unwrap();
    assert!(handle.0.contains("another-uid"), "{}", handle.0);
    let next = opened(&scene.server);
    scene.server.remove("jobs", &scene.name(&second));
    next.look_until(&handle, |seen| matches!(seen, Observation::Lost { .. })).await;
}

#[tokio::test]
async fn a_store_that_was_restored_is_listed_anew_and_its_lower_versions_are_believed() {
    let scene = scene();
    let job = job(1);
    let handle = scene.backend.submit(&job).await.unwrap();
    for _ in 0..50 {
        scene.pod(&job, json!({"phase": "Pending"}));
    }
    scene.look_until(&handle, |seen| matches!(seen, Observation::Waiting { .. })).await;
    scene.server.restored();
    // Its version is lower than those that are known.
    scene.pod_that_reports(&job);
    scene.look_until(&handle, |seen| matches!(seen, Observation::Ended(_))).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_died_without_a_word_is_noticed() {
    let scene = scene();
    let job = job(1);
    let handle = scene.backend.submit(&job).await.unwrap();
    scene.look(&handle).await;
    scene.server.watches_fall_silent();
    scene.pod_that_reports(&job);
    let ended = async {
        while !matches!(scene.look(&handle).await, Observation::Ended(_)) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), ended).await.unwrap();
}
