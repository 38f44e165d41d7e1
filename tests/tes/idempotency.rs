//! A creation with an `Idempotency-Key` is done once.

use axum::body::Body;
use axum::http::Request;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::server::{Answer, Server, json_request, small, small_with};

async fn post(server: &Server, path: &str, key: &str, task: &Value) -> Answer {
    let mut request = json_request("POST", path, task.to_string());
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    server.send(request).await
}

async fn count(server: &Server) -> usize {
    server.get("/v1/tasks").await.json()["tasks"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_same_key_and_task_answer_the_first_id() {
    let server = Server::new();
    let first = post(&server, "/ga4gh/tes/v1/tasks", "k-1", &small()).await;
    assert_eq!(first.status, 200);
    for (path, key) in [("/v1/tasks", "k-1"), ("/tasks", "\"k-1\""), ("/ga4gh/tes/v1/tasks", "k-1")] {
        let again = post(&server, path, key, &small()).await;
        assert_eq!((again.status.as_u16(), again.json()), (200, first.json()), "{path} {key}");
    }
    assert_eq!(count(&server).await, 1);
    let other = post(&server, "/v1/tasks", "k-1", &small_with(json!({ "name": "other" }))).await;
    assert_eq!(other.refused(409), None);
    assert_eq!(other.json()["error"], "conflict");
    assert_ne!(post(&server, "/v1/tasks", "k-2", &small()).await.json(), first.json());
    assert_eq!(count(&server).await, 2);
}

#[tokio::test]
async fn what_means_the_same_is_the_same_task() {
    let server = Server::new();
    let task = small_with(json!({ "name": "a", "tags": { "x": "1", "y": "2" } }));
    let first = post(&server, "/v1/tasks", "k", &task).await.json();
    let text = r#"{ "tags": {"y":"2", "x":"1"}, "id": "mine", "executors":
                    [ {"command": ["true"], "image": "alpine"} ], "name": "a" }"#;
    let mut request = json_request("POST", "/v1/tasks", text);
    request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
    assert_eq!(server.send(request).await.json(), first);
}

#[tokio::test]
async fn a_wrong_key_is_refused_with_its_name() {
    let server = Server::new();
    for key in ["", "a b", &"k".repeat(256)] {
        let answer = post(&server, "/v1/tasks", key, &small()).await;
        assert_eq!(answer.refused(400).as_deref(), Some("Idempotency-Key"), "{key}");
    }
    let twice = Request::post("/v1/tasks")
        .header("content-type", "application/json")
        .header("idempotency-key", "a")
        .header("idempotency-key", "b")
        .body(Body::from(small().to_string()));
    assert_eq!(server.send(twice.unwrap()).await.refused(400).as_deref(), Some("Idempotency-Key"));
    assert_eq!(count(&server).await, 0);
    // A task that was refused has not used its key.
    assert_eq!(post(&server, "/v1/tasks", "k", &json!({})).await.status, 400);
    assert_eq!(post(&server, "/v1/tasks", "k", &small()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_make_one_task() {
    let server = Server::new();
    let task = small();
    let answers = join_all((0..64).map(|_| post(&server, "/v1/tasks", "k", &task))).await;
    let ids: std::collections::BTreeSet<String> =
        answers.iter().map(|answer| answer.json()["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(count(&server).await, 1);
}
