//! §6: what every answer has, whatever was asked.

use axum::body::Body;
use axum::http::Request;
use futures::future::join_all;

use crate::server::{Server, json_request, small};

#[tokio::test]
async fn rule_6_6_every_body_is_json() {
    let server = Server::new();
    let id = server.create(&small()).await;
    let typed = |kind: &str| Request::post("/v1/tasks").header("content-type", kind).body(Body::from("x")).unwrap();
    for (request, status) in [
        (json_request("GET", "/v1/service-info", ""), 200),
        (json_request("GET", "/v1/tasks/service-info", ""), 200),
        (json_request("GET", "/v1/tasks?view=FULL", ""), 200),
        (json_request("GET", &format!("/v1/tasks/{id}?view=BASIC"), ""), 200),
        (json_request("POST", "/v1/tasks", small().to_string()), 200),
        (json_request("POST", &format!("/v1/tasks/{id}:cancel"), ""), 200),
        (json_request("POST", "/v1/tasks", "{"), 400),
        (json_request("GET", "/v1/tasks/unknown", ""), 404),
        (json_request("GET", "/v1/nowhere", ""), 404),
        (json_request("PUT", "/v1/tasks", ""), 405),
        (json_request("PUT", "/healthz", ""), 405),
        (typed("text/plain"), 415),
    ] {
        let asked = format!("{} {}", request.method(), request.uri());
        let answer = server.send(request).await;
        assert_eq!(answer.status, status, "{asked}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{asked}");
        assert!(
            serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok_and(|body| body.is_object()),
            "{asked}"
        );
    }
}

/// Clients fail a job, or all of them, on the first answer that is not 200: many at once are no reason for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_6_7_many_callers_at_once_are_all_served() {
    let server = Server::new();
    let id = server.create(&small()).await;
    let polls = (0..300).map(|n| {
        let (server, id) = (&server, &id);
        async move {
            let answer = match n % 5 {
                0 => server.post("/v1/tasks", &small()).await,
                1 => server.get(&format!("/v1/tasks/{id}")).await,
                2 => server.get(&format!("/v1/tasks/{id}?view=FULL")).await,
                3 => server.get("/v1/tasks?page_size=2047&tag_key=group&tag_value=g").await,
                _ => server.ask("POST", &format!("/v1/tasks/{id}:cancel")).await,
            };
            assert_eq!(answer.status, 200, "request {n}: {}", answer.json());
        }
    });
    join_all(polls).await;
    assert_eq!(server.get("/v1/tasks").await.json()["tasks"].as_array().map(Vec::len), Some(61));
}
