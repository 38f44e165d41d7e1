//! §7, §14, §15: one task, view by view, from its creation to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tessera::http::{BackendFacts, Settings};
use tessera::store::memory::{Memory, Mischief, Semantics, Verb};
use tessera::store::{Ceiling, ClaimRequest, Fence, Holder, Record, Recorded, Store as _};
use tessera::task::{AttemptResult, Event, ExecutorLog, JobRef, LogLine, OutputFile, Seen, TaskId, Verdict};
use tessera_contract::InstallationId;

use crate::server::{Server, small, small_with};

fn now() -> Timestamp {
    Timestamp::from_second(1_700_001_000).unwrap()
}

/// Takes a task as a dispatcher would, and hands it over.
async fn submitted(server: &Server, id: &str) -> Fence {
    let task = TaskId::parse(id).unwrap();
    let wanted = [ClaimRequest { task, backend: "local".to_owned(), cpu_milli: 1000, ram_bytes: 0 }];
    let until = now() + SignedDuration::from_secs(60);
    let claimed =
        server.store.claim(&Holder("test".to_owned()), now(), until, Ceiling::default(), &wanted).await.unwrap();
    let fence = claimed[0].claim.fence;
    let job = JobRef { backend: "local".to_owned(), handle: format!("{id}-1") };
    record(server, id, fence, Event::Submitted { attempt: 1, job }).await;
    fence
}

async fn record(server: &Server, id: &str, fence: Fence, event: Event) {
    let record = Record { task: TaskId::parse(id).unwrap(), fence: Some(fence), at: now(), event };
    let recorded = server.store.record(vec![record]).await.unwrap();
    assert!(matches!(recorded[0], Recorded::Moved(_)), "{recorded:?}");
}

fn ended(verdict: Verdict) -> Event {
    let executor = ExecutorLog {
        index: 0,
        exit_code: 3,
        started: now(),
        ended: now(),
        stdout: "printed".to_owned(),
        stderr: String::new(),
        stdout_whole: false,
        stderr_whole: false,
    };
    let output =
        OutputFile { url: "s3://b/o".to_owned(), path: "/o".to_owned(), size_bytes: 5, sha256: "00".to_owned() };
    Event::Ended {
        attempt: 1,
        result: Box::new(AttemptResult {
            verdict,
            started: Some(now()),
            ended: now(),
            executors: vec![executor],
            outputs: vec![output],
            notes: vec![LogLine { at: now(), text: "executor 0 exited with 3".to_owned() }],
            metadata: [("node".to_owned(), "n1".to_owned())].into(),
        }),
    }
}

#[tokio::test]
async fn rule_7_1_minimal_is_the_default() {
    let server = Server::new();
    let id = server.create(&small()).await;
    let expected = json!({ "id": id, "state": "QUEUED" });
    for query in ["", "?view=MINIMAL", "?view="] {
        assert_eq!(server.get(&format!("/v1/tasks/{id}{query}")).await.json(), expected);
    }
    assert_eq!(server.get(&format!("/v1/tasks/{id}?view=Full")).await.refused(400).as_deref(), Some("view"));
}

#[tokio::test]
async fn rule_7_2_a_finished_task_in_every_view_and_15_6_its_files() {
    let server = Server::new();
    let id = server.create(&small_with(json!({ "inputs": [{ "path": "/i", "content": "text" }] }))).await;
    let fence = submitted(&server, &id).await;
    record(&server, &id, fence, ended(Verdict::ExecutorError)).await;

    let full = server.get(&format!("/v1/tasks/{id}?view=FULL")).await.json();
    assert_eq!(full["state"], "EXECUTOR_ERROR");
    let log = &full["logs"][0];
    assert_eq!(log["logs"][0]["exit_code"], 3);
    assert_eq!((&log["logs"][0]["stdout"], &log["logs"][0]["stderr"]), (&json!("printed"), &json!("")));
    assert_eq!(log["outputs"], json!([{ "url": "s3://b/o", "path": "/o", "size_bytes": "5" }]));
    assert_eq!(log["metadata"]["node"], "n1");
    assert_eq!(full["inputs"][0]["content"], "text");
    let last = log["system_logs"].as_array().unwrap().last().unwrap().as_str().unwrap();
    assert!(last.ends_with("executor 0 exited with 3"), "{last}");

    let basic = server.get(&format!("/v1/tasks/{id}?view=BASIC")).await.json();
    assert_eq!(basic["inputs"], json!([{ "path": "/i", "type": "FILE" }]));
    assert!(basic["logs"][0].get("system_logs").is_none());
    assert!(basic["logs"][0]["logs"][0].get("stdout").is_none());
    // The same in a listing.
    assert_eq!(server.get("/v1/tasks?view=BASIC").await.json()["tasks"], json!([basic]));
    assert_eq!(server.get("/v1/tasks?view=FULL").await.json()["tasks"], json!([full]));
}

#[tokio::test]
async fn rule_14_5_cancel_is_200_for_every_known_task() {
    let server = Server::new();
    let (queued, finished) = (server.create(&small()).await, server.create(&small()).await);
    let fence = submitted(&server, &finished).await;
    record(&server, &finished, fence, ended(Verdict::Complete)).await;
    for (id, state) in [(&queued, "CANCELED"), (&finished, "COMPLETE")] {
        for _ in 0..2 {
            let answer = server.ask("POST", &format!("/v1/tasks/{id}:cancel")).await;
            assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({})));
            assert_eq!(server.get(&format!("/v1/tasks/{id}")).await.json()["state"], state);
        }
    }
    assert_eq!(server.cancels.load(Ordering::Relaxed), 4);
    for unknown in ["01hf7yat00000000000000000z", "nonsense", "%20"] {
        server.ask("POST", &format!("/v1/tasks/{unknown}:cancel")).await.refused(404);
        server.get(&format!("/v1/tasks/{unknown}")).await.refused(404);
    }
}

/// A cancel that was not written is not acknowledged: whoever hears 200 may rely on it.
#[tokio::test]
async fn a_cancel_that_others_came_before_each_time_is_503_until_it_is_written() {
    let store = Memory::new(Semantics::Shared, InstallationId("cancels000000000".to_owned()));
    let conflicts = Arc::new(AtomicBool::new(true));
    let plot = {
        let conflicts = conflicts.clone();
        move |verb| (verb == Verb::RequestCancel && conflicts.load(Ordering::Relaxed)).then_some(Mischief::Conflict)
    };
    let server = Server::before(Arc::new(store.seen_through(Arc::new(plot))));
    let id = server.create(&small()).await;
    let path = format!("/v1/tasks/{id}");
    server.ask("POST", &format!("{path}:cancel")).await.refused(503);
    assert_eq!(server.cancels.load(Ordering::Relaxed), 0);
    assert_eq!(server.get(&path).await.json()["state"], "QUEUED");
    conflicts.store(false, Ordering::Relaxed);
    assert_eq!(server.ask("POST", &format!("{path}:cancel")).await.status, 200);
    assert_eq!(server.get(&path).await.json()["state"], "CANCELED");
}

#[tokio::test]
async fn rule_14_7_canceling_is_shown_only_where_backends_stop_soon() {
    for (stops_within, show_canceling, shown) in [
        (2, None, "CANCELING"),
        (30, None, "INITIALIZING"),
        (30, Some(true), "CANCELING"),
        (2, Some(false), "INITIALIZING"),
    ] {
        let backends = vec![BackendFacts {
            name: "local".to_owned(),
            parameters: vec![],
            stops_within: Duration::from_secs(stops_within),
        }];
        let server = Server::with(Settings { backends, show_canceling, ..Settings::default() });
        let id = server.create(&small()).await;
        submitted(&server, &id).await;
        server.ask("POST", &format!("/v1/tasks/{id}:cancel")).await;
        assert_eq!(server.get(&format!("/v1/tasks/{id}")).await.json()["state"], shown);
    }
}

#[tokio::test]
async fn rule_14_9_a_waiting_task_is_initializing_where_queued_is_not_shown() {
    for (hide_queued, shown) in [(false, "QUEUED"), (true, "INITIALIZING")] {
        let server = Server::with(Settings { hide_queued, ..Settings::default() });
        let id = server.create(&small()).await;
        for view in ["MINIMAL", "BASIC", "FULL"] {
            assert_eq!(server.get(&format!("/v1/tasks/{id}?view={view}")).await.json()["state"], shown);
            let listed = server.get(&format!("/v1/tasks?view={view}&state=QUEUED")).await.json();
            assert_eq!(listed["tasks"][0]["state"], shown, "{listed}");
        }
        // Whatever else it is, it stays.
        server.ask("POST", &format!("/v1/tasks/{id}:cancel")).await;
        assert_eq!(server.get(&format!("/v1/tasks/{id}")).await.json()["state"], "CANCELED");
    }
}

#[tokio::test]
async fn rule_15_1_an_ended_task_that_never_started_has_a_task_log() {
    let server = Server::new();
    let id = server.create(&small()).await;
    server.ask("POST", &format!("/v1/tasks/{id}:cancel")).await;
    for view in ["BASIC", "FULL"] {
        let task = server.get(&format!("/v1/tasks/{id}?view={view}")).await.json();
        assert_eq!(task["state"], "CANCELED");
        assert_eq!(task["logs"].as_array().map(Vec::len), Some(1), "{task}");
        let log = &task["logs"][0];
        assert_eq!((&log["logs"], &log["outputs"]), (&json!([]), &json!([])), "{task}");
    }
}

#[tokio::test]
async fn rule_15_3_a_running_task_tells_when_it_started() {
    let server = Server::new();
    let id = server.create(&small()).await;
    let fence = submitted(&server, &id).await;
    let log = async || server.get(&format!("/v1/tasks/{id}?view=BASIC")).await.json()["logs"][0].clone();
    assert_eq!(log().await.get("start_time"), None);
    let (executors, notes, seen) = (vec![], vec![], Seen::default());
    record(&server, &id, fence, Event::Advanced { attempt: 1, started: Some(now()), executors, notes, seen }).await;
    assert_eq!(log().await["start_time"], now().to_string());
    assert_eq!(log().await.get("end_time"), None);
    // No executor log without an exit code (15.2).
    assert_eq!(log().await["logs"], json!([]));
}
