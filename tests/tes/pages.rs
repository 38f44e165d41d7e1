//! What stands beside the API: health, service info, request ids, the page to browse the document.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tessera::http::{Service, Settings};

use crate::server::Server;

#[tokio::test]
async fn health_and_readiness_differ() {
    let parts = vec![("backend `local`".to_owned(), Err("no Docker engine answers".to_owned()))];
    let server = Server::with_parts(Settings::default(), parts);
    assert_eq!(server.get("/healthz").await.status, 200);
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, 503);
    let expected = json!({ "ready": false, "parts": [
        { "name": "store", "ready": true },
        { "name": "backend `local`", "ready": false, "reason": "no Docker engine answers" },
    ] });
    assert_eq!(ready.json(), expected);
    assert_eq!(Server::new().get("/readyz").await.status, 200);
}

#[tokio::test]
async fn rule_16_1_and_16_2_service_info() {
    let service = Service {
        description: Some("a sentence".to_owned()),
        contact_url: Some("mailto:ops@example.org".to_owned()),
        created: Some("2026-01-31T12:00:00Z".parse().unwrap()),
        ..Service::default()
    };
    let server = Server::with(Settings { service, storage: vec!["file:///shared".to_owned()], ..Settings::default() });
    let expected = json!({
        "id": "org.tessera",
        "name": "Tessera",
        "type": { "group": "org.ga4gh", "artifact": "tes", "version": "1.1.0" },
        "description": "a sentence",
        "organization": { "name": "Tessera", "url": "http://localhost" },
        "contactUrl": "mailto:ops@example.org",
        "createdAt": "2026-01-31T12:00:00Z",
        "version": env!("CARGO_PKG_VERSION"),
        "storage": ["file:///shared"],
        "tesResources_backend_parameters": [],
    });
    assert_eq!(server.get("/ga4gh/tes/v1/service-info").await.json(), expected);
    let old = json!({ "name": "Tessera", "doc": "a sentence", "storage": ["file:///shared"] });
    assert_eq!(server.get("/v1/tasks/service-info").await.json(), old);
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let server = Server::new();
    for path in ["/healthz", "/v1/tasks", "/nowhere"] {
        assert_eq!(server.get(path).await.header("x-request-id").map(str::len), Some(26), "{path}");
    }
    let sent = |id: &str| Request::get("/v1/tasks").header("x-request-id", id).body(Body::empty()).unwrap();
    assert_eq!(server.send(sent("my-id_1.2")).await.header("x-request-id"), Some("my-id_1.2"));
    for insane in ["", "a b", "x\"y", &"x".repeat(129)] {
        assert_ne!(server.send(sent(insane)).await.header("x-request-id"), Some(insane));
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let server = Server::new();
    for path in ["/docs", "/docs/"] {
        let page = server.get(path).await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self'"));
        let html = String::from_utf8(page.body).unwrap();
        assert!(!html.contains("//"), "{html}");
        for (_, rest) in html.match_indices("=\"/").map(|(at, _)| html.split_at(at + 2)) {
            let part = rest.split('"').next().unwrap();
            let answer = server.get(part).await;
            assert_eq!(answer.status, 200, "{part}");
            assert!(!answer.body.is_empty());
        }
    }
    let start = String::from_utf8(server.get("/docs/start.js").await.body).unwrap();
    assert!(start.contains("validatorUrl: null") && !start.contains("//"), "{start}");
    server.get("/docs/nothing.js").await.refused(404);
    server.get("/docs/..%2f").await.refused(404);
    server.get("/docs/%ff").await.refused(404);
}
