//! §4 and §9: what is taken, what is refused, and what is never slow.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures::stream;
use serde_json::json;
use tessera::http::{BackendFacts, Bounds, Files, Places, Settings};

use crate::server::{Server, json_request, small, small_with};

#[tokio::test]
async fn rule_4_1_and_4_2_and_4_3_and_4_5_and_4_6_what_clients_really_send() {
    let server = Server::new();
    for task in [
        // pydantic-tes: every unset member is null.
        json!({
            "id": null, "state": null, "name": "n", "description": null, "inputs": null, "outputs": null,
            "resources": null, "volumes": null, "tags": null, "logs": null, "creation_time": null,
            "executors": [{ "image": "alpine", "command": ["true"], "workdir": null, "env": null }],
        }),
        // Cromwell: a null tag, a parameter that nobody knows.
        small_with(json!({
            "tags": { "workflow_id": "w", "parent_workflow_id": null },
            "resources": { "backend_parameters": { "internal_path_prefix": "/x" }, "disk_gb": 10.0 },
        })),
        // Funnel: camelCase and snake_case mixed, zeros echoed.
        small_with(json!({ "resources": { "cpuCores": 0, "ramGb": 0, "preemptible": false, "disk_gb": 0 } })),
        // nf-ga4gh: outputs without a type.
        small_with(json!({ "outputs": [{ "path": "/work/.exitcode", "url": "s3://b/.exitcode" }] })),
    ] {
        server.create(&task).await;
    }
    // Whatever it was, it is FILE until something else is known.
    let newest = &server.get("/v1/tasks?view=FULL&page_size=1").await.json()["tasks"][0];
    assert_eq!(newest["outputs"][0]["type"], "FILE");
}

#[tokio::test]
async fn rule_4_4_the_id_is_ours() {
    let server = Server::new();
    assert_ne!(server.create(&small_with(json!({ "id": "mine", "state": "COMPLETE" }))).await, "mine");
}

#[tokio::test]
async fn rule_4_7_and_17_1_a_refusal_names_the_field_and_stores_nothing() {
    let server = Server::new();
    let mut task = small();
    task["executors"][0]["image"] = json!("");
    assert_eq!(server.post("/v1/tasks", &task).await.refused(400).as_deref(), Some("/executors/0/image"));
    assert_eq!(server.get("/v1/tasks").await.json()["tasks"], json!([]));
    assert_eq!(server.dispatches.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn rule_4_10_a_body_up_to_the_limit() {
    let bounds = Bounds { body_bytes: 4096, ..Bounds::default() };
    let server = Server::with(Settings { bounds, ..Settings::default() });
    let sized = |bytes: usize| {
        let mut body = small().to_string();
        body.push_str(&" ".repeat(bytes - body.len()));
        body
    };
    assert_eq!(server.send(json_request("POST", "/v1/tasks", sized(4096))).await.status, 200);
    server.send(json_request("POST", "/v1/tasks", sized(4097))).await.refused(413);
    // Also when the length was not announced.
    let pieces = stream::iter(
        sized(8192).into_bytes().chunks(100).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>(),
    );
    server.send(json_request("POST", "/v1/tasks", Body::from_stream(pieces))).await.refused(413);
    // And at once when the client asks before it writes.
    let never = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let mut asking = json_request("POST", "/v1/tasks", never);
    asking.headers_mut().insert("content-length", "8192".parse().unwrap());
    asking.headers_mut().insert("expect", "100-continue".parse().unwrap());
    server.send(asking).await.refused(413);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_408() {
    let bounds = Bounds { time: Duration::from_secs(3), ..Bounds::default() };
    let server = Server::with(Settings { bounds, ..Settings::default() });
    let never = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    server.send(json_request("POST", "/v1/tasks", never)).await.refused(408);
}

#[tokio::test]
async fn rule_4_10_a_large_task_is_read_like_a_small_one() {
    let server = Server::new();
    let input = |content: usize| json!({ "path": "/in", "content": "x".repeat(content) });
    let id = server.create(&small_with(json!({ "inputs": [input(131_072), input(3_000_000)] }))).await;
    let page = server.get("/v1/tasks?view=FULL").await.json();
    assert_eq!(page["tasks"][0]["id"], json!(id));
    assert_eq!(page["tasks"][0]["inputs"][1]["content"].as_str().map(str::len), Some(3_000_000));
    let wrong = small_with(json!({ "inputs": [input(3_000_000), { "path": "in", "content": "" }] }));
    assert_eq!(server.post("/v1/tasks", &wrong).await.refused(400).as_deref(), Some("/inputs/1/path"));
}

#[tokio::test]
async fn rule_4_13_without_a_content_type_it_is_json() {
    let server = Server::new();
    let typed = |kind: Option<&str>| {
        let request = Request::post("/v1/tasks");
        let request = kind.into_iter().fold(request, |request, kind| request.header("content-type", kind));
        request.body(Body::from(small().to_string())).unwrap()
    };
    for kind in [None, Some("application/json"), Some("application/json; charset=utf-8"), Some("")] {
        assert_eq!(server.send(typed(kind)).await.status, 200, "{kind:?}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        server.send(typed(Some(kind))).await.refused(415);
    }
}

#[tokio::test]
async fn rule_4_14_the_engine_is_woken_once_the_task_is_stored() {
    let server = Server::new();
    server.create(&small()).await;
    assert_eq!(server.dispatches.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn rule_9_7_files_outside_the_roots_are_refused() {
    let files = Files { roots: vec!["/shared".to_owned()], forbidden: vec![] };
    let server = Server::with(Settings { places: Places { files, ..Places::default() }, ..Settings::default() });
    let reading = |url: &str| small_with(json!({ "inputs": [{ "path": "/in", "url": url }] }));
    server.create(&reading("file:///shared/a")).await;
    server.create(&reading("/shared/a")).await;
    server.create(&reading("nowhere://heard/of")).await;
    let refused = server.post("/v1/tasks", &reading("file:///etc/passwd")).await;
    assert_eq!(refused.refused(400).as_deref(), Some("/inputs/0/url"));
    // What Snakemake 7 really submits.
    let climbing = small_with(json!({ "outputs": [{ "path": "/tmp/../../..", "url": "file:///" }] }));
    assert_eq!(server.post("/v1/tasks", &climbing).await.refused(400).as_deref(), Some("/outputs/0/path"));
}

#[tokio::test]
async fn rule_13_3_a_dropped_parameter_is_noted_and_13_4_refused_when_strict_and_13_5_listed() {
    let backends = vec![BackendFacts {
        name: "local".to_owned(),
        parameters: vec!["walltime".to_owned()],
        stops_within: Duration::from_secs(2),
    }];
    let server = Server::with(Settings { backends, ..Settings::default() });
    let asking = |strict: bool| {
        small_with(json!({ "resources": {
            "backend_parameters": { "WallTime": "60", "vm_size": "big" }, "backend_parameters_strict": strict,
        } }))
    };
    let id = server.create(&asking(false)).await;
    let task = server.get(&format!("/v1/tasks/{id}?view=FULL")).await.json();
    assert_eq!(task["resources"]["backend_parameters"], json!({ "WallTime": "60" }));
    let note = task["logs"][0]["system_logs"][0].as_str().unwrap();
    assert!(note.starts_with("2023-11-14T") && note.contains("`vm_size` was dropped"), "{note}");
    let refused = server.post("/v1/tasks", &asking(true)).await;
    assert_eq!(refused.refused(400).as_deref(), Some("/resources/backend_parameters/vm_size"));
    // 13.5
    let info = server.get("/service-info").await.json();
    assert_eq!(info["tesResources_backend_parameters"], json!(["backend", "walltime"]));
}

#[tokio::test]
async fn rule_3_11_no_nul_even_in_what_is_dropped() {
    let server = Server::new();
    for member in [json!({ "x": "\u{0}" }), json!({ "x": [{ "\u{0}": 1 }] }), json!({ "name": "a\u{0}b" })] {
        server.post("/v1/tasks", &small_with(member)).await.refused(400);
    }
    server.create(&small_with(json!({ "name": "a\\u0000b" }))).await;
}

#[tokio::test]
async fn rule_4_7_a_path_that_no_system_takes_is_refused() {
    let server = Server::new();
    let endless = small_with(json!({ "volumes": [format!("/{}", "a/".repeat(2_048))] }));
    assert_eq!(server.post("/v1/tasks", &endless).await.refused(400).as_deref(), Some("/volumes/0"));
    // How long one name may be is up to the node's file system.
    server.create(&small_with(json!({ "volumes": [format!("/{}", "a".repeat(256))] }))).await;
}
