//! §16.4, §17: who may call, and what others see.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use serde_json::json;
use tessera::http::{Access, Credentials, Lists, Places, Secret, Settings, Token, User};

use crate::server::{Answer, Server, small};

fn guarded() -> Server {
    let access = Access::Required(Credentials {
        tokens: vec![Token { name: "ci".to_owned(), token: Secret::new("s3cret") }],
        users: vec![User { name: "ada".to_owned(), password: Secret::new("lovelace") }],
    });
    Server::with(Settings { access, ..Settings::default() })
}

async fn ask(server: &Server, method: &str, path: &str, authorization: Option<&str>) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = authorization.into_iter().fold(request, |request, shown| request.header("authorization", shown));
    let body = if method == "POST" && !path.contains(':') { Body::from(small().to_string()) } else { Body::empty() };
    server.send(request.body(body).unwrap()).await
}

fn basic(pair: &str) -> String {
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
}

#[tokio::test]
async fn rule_17_2_without_a_login_it_is_401_with_both_ways() {
    let server = guarded();
    for (method, path) in
        [("GET", "/v1/tasks"), ("POST", "/v1/tasks"), ("GET", "/v1/tasks/x"), ("POST", "/v1/tasks/x:cancel")]
    {
        for shown in [None, Some("Bearer wrong"), Some(basic("None:None").as_str())] {
            let answer = ask(&server, method, path, shown).await;
            answer.refused(401);
            let ways: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
            assert!(
                ways[0].to_str().unwrap().starts_with("Bearer ") && ways[1].to_str().unwrap().starts_with("Basic ")
            );
        }
    }
}

#[tokio::test]
async fn rule_16_4_service_info_needs_no_login_and_3_3_a_404_neither() {
    let server = guarded();
    assert_eq!(ask(&server, "GET", "/v1/service-info", None).await.status, 200);
    assert_eq!(ask(&server, "GET", "/v1/tasks/service-info", None).await.status, 200);
    ask(&server, "POST", "/v1/v1/tasks", None).await.refused(404);
    assert_eq!(ask(&server, "GET", "/healthz", None).await.status, 200);
}

#[tokio::test]
async fn rule_17_3_another_users_task_is_unknown() {
    let server = guarded();
    let (ci, ada) = ("Bearer s3cret", basic("ada:lovelace"));
    let created = ask(&server, "POST", "/v1/tasks", Some(ci)).await.json();
    let id = created["id"].as_str().unwrap();
    assert_eq!(ask(&server, "GET", &format!("/v1/tasks/{id}"), Some(ci)).await.status, 200);
    for view in ["MINIMAL", "FULL"] {
        ask(&server, "GET", &format!("/v1/tasks/{id}?view={view}"), Some(&ada)).await.refused(404);
        let page = ask(&server, "GET", &format!("/v1/tasks?view={view}"), Some(&ada)).await;
        assert_eq!(page.json(), json!({ "tasks": [] }));
    }
    ask(&server, "POST", &format!("/v1/tasks/{id}:cancel"), Some(&ada)).await.refused(404);
    assert_eq!(ask(&server, "GET", &format!("/v1/tasks/{id}"), Some(ci)).await.json()["state"], "QUEUED");
}

#[tokio::test]
async fn rule_17_4_an_open_server_ignores_the_header() {
    let server = Server::new();
    for shown in [basic("None:None"), basic(":"), "Bearer x".to_owned(), "nonsense".to_owned()] {
        assert_eq!(ask(&server, "POST", "/v1/tasks", Some(&shown)).await.status, 200, "{shown}");
    }
    assert_eq!(ask(&server, "GET", "/v1/tasks", None).await.json()["tasks"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn rule_17_6_cors_only_where_configured() {
    let preflight = |path: &str, origin: &str| {
        let request = Request::builder().method("OPTIONS").uri(path).header("origin", origin);
        request.header("access-control-request-method", "POST").body(Body::empty()).unwrap()
    };
    let (known, unknown) = ("https://portal.example.org", "https://evil.example.org");
    let open = Server::with(Settings { cors_origins: vec![known.to_owned()], ..Settings::default() });
    for prefix in ["/ga4gh/tes/v1", "/v1", ""] {
        let answer = open.send(preflight(&format!("{prefix}/tasks"), known)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), Some(known));
        assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
    }
    open.send(preflight("/v1/tasks", unknown)).await.refused(405);
    open.send(preflight("/v1/nowhere", known)).await.refused(404);
    Server::new().send(preflight("/v1/tasks", known)).await.refused(405);
    let get = Request::get("/v1/tasks").header("origin", known).body(Body::empty()).unwrap();
    assert_eq!(open.send(get).await.header("access-control-allow-origin"), Some(known));
    assert_eq!(open.get("/v1/tasks").await.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn rule_17_6_a_foreign_web_page_starts_nothing() {
    let known = "https://portal.example.org";
    let server = Server::with(Settings { cors_origins: vec![known.to_owned()], ..Settings::default() });
    // What a browser sends for a page's untyped `fetch`: no Content-Type, so nothing was asked before.
    let post = |origin: Option<&str>| {
        let request = Request::post("/v1/tasks").header("host", "127.0.0.1:8000");
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        request.body(Body::from(crate::server::small().to_string())).unwrap()
    };
    for foreign in ["https://evil.example.org", "http://127.0.0.1:9000", "null"] {
        server.send(post(Some(foreign))).await.refused(403);
    }
    assert_eq!(server.get("/v1/tasks").await.json()["tasks"], serde_json::json!([]));
    for welcome in [None, Some(known), Some("http://127.0.0.1:8000")] {
        assert_eq!(server.send(post(welcome)).await.status, 200, "{welcome:?}");
    }
}

/// All that this program logs.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn rule_17_5_keys_in_a_query_are_not_logged() {
    let told = Told::default();
    let writer = told.clone();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    // For the whole program: a log of this thread alone may miss what another thread was the first to say.
    tracing::subscriber::set_global_default(log.finish()).unwrap();
    let server = Server::new();
    for path in ["/v1/tasks/polled", "/v1/never-polled", "/v1/tasks"] {
        server.get(&format!("{path}?view=c0nfidential&api_key=c0nfidential")).await;
    }
    let told = String::from_utf8(told.0.lock().unwrap().clone()).unwrap();
    assert!(told.contains("/v1/tasks/polled") && told.contains("/v1/never-polled"), "the requests are logged: {told}");
    assert!(!told.contains("c0nfidential") && !told.contains("api_key="), "{told}");
}

#[tokio::test]
async fn rule_9_6_a_caller_is_held_to_the_storages_that_are_theirs() {
    let users = ["ada", "bob"].map(|name| User { name: name.to_owned(), password: Secret::new("word") });
    let access = Access::Required(Credentials { tokens: vec![], users: users.to_vec() });
    let lists = |allow: &[&str]| Lists { allow: allow.iter().map(|it| (*it).to_owned()).collect(), deny: vec![] };
    let callers = [("ada".to_owned(), lists(&["s3://lab/ada/"]))].into();
    let places = Places { lists: lists(&["s3://lab/"]), callers, ..Places::default() };
    let server = Server::with(Settings { access, places, ..Settings::default() });
    for (url, adas, bobs) in [
        ("s3://lab/ada/a", true, true),
        ("s3://lab/bob/a", false, true),
        ("s3://other/a", false, false),
        ("unheard-of://x", false, false),
    ] {
        for (caller, taken) in [("ada:word", adas), ("bob:word", bobs)] {
            let mut body = small();
            body["outputs"] = json!([{ "url": url, "path": "/out" }]);
            let request = Request::post("/v1/tasks").header("authorization", basic(caller));
            let answer = server.send(request.body(Body::from(body.to_string())).unwrap()).await;
            match taken {
                true => assert_eq!(answer.status, 200, "{url} of {caller}"),
                false => assert_eq!(answer.refused(400).as_deref(), Some("/outputs/0/url"), "{url} of {caller}"),
            }
        }
    }
}
