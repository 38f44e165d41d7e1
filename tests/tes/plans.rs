//! The door at which pods fetch plans that are too large to be handed to them.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use tessera::http::{Access, Credentials, Secret, Settings, Token};
use tessera::wiring;
use tessera_contract::JobId;
use tessera_kubernetes::PlanShelf;

use crate::server::{Answer, Server};

/// A login that opens every other door.
const LOGIN: &str = "s3cret";

fn server(shelves: Vec<Arc<PlanShelf>>) -> Server {
    let access = Access::Required(Credentials {
        tokens: vec![Token { name: "ci".to_owned(), token: Secret::new(LOGIN) }],
        users: vec![],
    });
    Server::with_plans(Settings { access, ..Settings::default() }, wiring::plans(shelves))
}

async fn ask(server: &Server, job: &str, authorization: Option<&str>) -> Answer {
    let request = Request::builder().uri(format!("/api/v1/plans/{job}"));
    let request = authorization.into_iter().fold(request, |request, shown| request.header("authorization", shown));
    server.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_plan_is_given_to_its_own_attempt_alone_and_nobody_else_learns_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = |name: &str| Arc::new(PlanShelf::open(&folder.path().join(name)).unwrap());
    let (one, other) = (shelf("one"), shelf("other"));
    let (first, second) = (JobId::of_attempt("t", 1), JobId::of_attempt("t", 2));
    let token = one.put(&first, b"{\"first\":1}").unwrap();
    let of_second = other.put(&second, b"{\"second\":2}").unwrap();
    let server = server(vec![one.clone(), other]);

    let bearer = |token: &str| format!("Bearer {token}");
    let found = ask(&server, "t-1", Some(&bearer(&token))).await;
    assert_eq!((found.status.as_u16(), found.body.as_slice()), (200, b"{\"first\":1}".as_slice()));
    assert_eq!(
        (found.header("content-type"), found.header("cache-control")),
        (Some("application/json"), Some("no-store"))
    );
    let found = ask(&server, "t-2", Some(&bearer(&of_second))).await;
    assert_eq!(found.body, b"{\"second\":2}");

    let nothing = ask(&server, "t-9", Some(&bearer(&token))).await;
    nothing.refused(404);
    let basic = format!("Basic {token}");
    let long = bearer(&"0".repeat(4_000));
    let shown = [None, Some(bearer(&of_second)), Some(bearer(LOGIN)), Some(bearer("")), Some(basic), Some(long)];
    for shown in shown {
        let refused = ask(&server, "t-1", shown.as_deref()).await;
        refused.refused(404);
        // The same words as where there is none.
        assert_eq!(refused.body, nothing.body, "{shown:?}");
    }
    for job in ["key", "..%2Fkey", "..%2Fone%2Ft-1.json", "t-1.json", "T-1", "%00"] {
        ask(&server, job, Some(&bearer(&token))).await.refused(404);
    }
    one.remove(&first).unwrap();
    assert_eq!(ask(&server, "t-1", Some(&bearer(&token))).await.body, nothing.body);
}

#[tokio::test]
async fn without_a_backend_that_has_plans_there_is_none() {
    let server = server(vec![]);
    for shown in [None, Some("Bearer 00")] {
        ask(&server, "t-1", shown).await.refused(404);
    }
}
