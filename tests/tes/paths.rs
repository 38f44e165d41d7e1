//! §3: paths and methods.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::server::{Server, json_request, small};

const PREFIXES: [&str; 3] = ["/ga4gh/tes/v1", "/v1", ""];

#[tokio::test]
async fn rule_3_1_success_is_200_and_3_2_under_three_prefixes() {
    let server = Server::new();
    for prefix in PREFIXES {
        let created = server.post(&format!("{prefix}/tasks"), &small()).await;
        assert_eq!(created.status, 200);
        assert_eq!(created.json().as_object().unwrap().len(), 1);
        let id = created.json()["id"].as_str().unwrap().to_owned();
        for path in ["/service-info", "/tasks", "/tasks/service-info", &format!("/tasks/{id}")] {
            assert_eq!(server.get(&format!("{prefix}{path}")).await.status, 200, "{prefix}{path}");
        }
        let cancelled = server.ask("POST", &format!("{prefix}/tasks/{id}:cancel")).await;
        assert_eq!((cancelled.status.as_u16(), cancelled.json()), (200, json!({})));
    }
}

#[tokio::test]
async fn rule_3_3_every_other_path_is_404_for_every_method() {
    let server = Server::new();
    for path in [
        "/ga4gh/tes/v1/ga4gh/tes/v1/tasks",
        "/ga4gh/tes/v1/v1/tasks",
        "/v1/v1/tasks",
        "/v1",
        "/",
        "/ga4gh/tes/v2/tasks",
        "/tasks/a/b",
        "/tasks/a:pause",
        "/favicon.ico",
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            let answer = server.ask(method, path).await;
            assert_eq!(answer.status, 404, "{method} {path}");
            if method != "HEAD" {
                answer.refused(404);
            }
        }
    }
}

#[tokio::test]
async fn rule_3_4_a_wrong_method_is_405_with_what_is_allowed() {
    let server = Server::new();
    for (path, allow) in [
        ("/v1/service-info", "GET, HEAD"),
        ("/v1/tasks", "GET, HEAD, POST"),
        ("/v1/tasks/service-info", "GET, HEAD"),
        ("/v1/tasks/x", "GET, HEAD"),
        ("/v1/tasks/x:cancel", "POST"),
        ("/healthz", "GET, HEAD"),
        ("/openapi/tes.json", "GET, HEAD"),
    ] {
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            let answer = server.ask(method, path).await;
            answer.refused(405);
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
    }
    server.ask("GET", "/tasks/x:cancel").await.refused(405);
    server.ask("POST", "/tasks/x").await.refused(405);
}

#[tokio::test]
async fn rule_3_4_head_is_get_without_the_body() {
    let server = Server::new();
    for path in ["/v1/service-info", "/v1/tasks"] {
        let (head, get) = (server.ask("HEAD", path).await, server.get(path).await);
        assert_eq!((head.status, head.body.len()), (get.status, 0));
        assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()));
        assert_eq!(head.header("content-type"), get.header("content-type"));
    }
}

#[tokio::test]
async fn rule_3_5_the_old_shape_has_three_keys() {
    let answer = Server::new().get("/v1/tasks/service-info").await;
    let keys: Vec<_> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["doc", "name", "storage"]);
}

#[tokio::test]
async fn rule_3_6_slashes_and_empty_queries_are_tolerated_and_nothing_is_redirected() {
    let server = Server::new();
    let id = server.create(&small()).await;
    for path in ["/tasks/", "/tasks?", "/tasks/?", "/tasks?&", "/service-info/", &format!("/tasks/{id}/?")] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    assert_eq!(server.post("/tasks/", &small()).await.status, 200);
    assert_eq!(server.ask("POST", &format!("/tasks/{id}:cancel/")).await.status, 200);
}

#[tokio::test]
async fn rule_3_7_an_encoded_colon_cancels_too() {
    let server = Server::new();
    let id = server.create(&small()).await;
    assert_eq!(server.ask("POST", &format!("/v1/tasks/{id}%3Acancel")).await.status, 200);
    assert_eq!(server.get(&format!("/v1/tasks/{id}")).await.json()["state"], "CANCELED");
}

#[tokio::test]
async fn rule_3_8_a_cancel_takes_any_body() {
    let server = Server::new();
    let id = server.create(&small()).await;
    let path = format!("/v1/tasks/{id}:cancel");
    let bare = |body: &'static str| Request::post(&path).body(Body::from(body)).unwrap();
    for request in [
        bare(""),
        bare("anything"),
        json_request("POST", &path, ""),
        json_request("POST", &path, "null"),
        json_request("POST", &path, "{}"),
        Request::post(&path).header("content-type", "text/plain").body(Body::from("x")).unwrap(),
    ] {
        let answer = server.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({})));
    }
}

#[tokio::test]
async fn rule_3_9_a_get_may_say_json_and_only_an_exclusion_is_406() {
    let server = Server::new();
    assert_eq!(server.send(json_request("GET", "/tasks", "")).await.status, 200);
    let asking = |path: &str, accept: &str| Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
    for accept in ["*/*", "application/json", "text/html, */*;q=0.1"] {
        assert_eq!(server.send(asking("/tasks", accept)).await.status, 200, "{accept}");
    }
    server.send(asking("/tasks", "text/html")).await.refused(406);
    // A task must not be made for a caller who will not read its id.
    let mut refused = json_request("POST", "/tasks", small().to_string());
    refused.headers_mut().insert("accept", "text/html".parse().unwrap());
    server.send(refused).await.refused(406);
    assert_eq!(server.get("/tasks").await.json()["tasks"], json!([]));
}

#[tokio::test]
async fn rule_3_10_ids_are_lower_case_and_sort_by_time() {
    let server = Server::new();
    let (first, second) = (server.create(&small()).await, server.create(&small()).await);
    assert!(first < second);
    assert!(first.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
}

#[tokio::test]
async fn rule_3_11_broken_paths_and_queries_are_4xx() {
    let server = Server::new();
    for path in ["/tasks/%00", "/tasks/%ff", "/tasks/%", "/tasks/%2e%2e", "/tasks/%ED%A0%80"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    assert_eq!(server.get("/tasks?name_prefix=%00").await.refused(400).as_deref(), Some("name_prefix"));
    assert_eq!(server.get("/tasks?name_prefix=%ff").await.refused(400).as_deref(), Some("name_prefix"));
    assert_eq!(server.get("/tasks/x?view=%ff").await.refused(400).as_deref(), Some("view"));
}
