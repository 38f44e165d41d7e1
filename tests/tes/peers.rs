//! Requests for what another server on the store has, against another server that a test plays.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Uri};
use axum::response::Response;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::Value;
use tessera::clock::Clock;
use tessera::http::{Bounds, Plans, Settings};
use tessera::roster::{Newcomer, Roster, Terms};
use tessera::store::{Ceiling, ClaimRequest, Enlisted, Holder, Replica, Store};
use tessera::task::TaskId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};

use crate::server::{Answer, Server, small};

const PATIENCE: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(3_600);

/// What the other server does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plays {
    /// Tells a log, whole.
    Log,
    /// Tells the beginning of a log, and holds the rest back.
    Beginning,
    /// Says nothing.
    Nothing,
    /// Knows of nothing.
    Unknown,
}

/// The other server: it remembers what it was asked.
struct Other {
    address: String,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    /// How many of its answers are still being read.
    open: watch::Receiver<usize>,
}

/// Counts an answer for as long as somebody reads it.
struct Reading(watch::Sender<usize>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

impl Other {
    async fn playing(plays: Plays) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (counting, open) = watch::channel(0);
        let seen = asked.clone();
        let answer = async move |uri: Uri, headers: HeaderMap| {
            seen.lock().unwrap().push((uri.to_string(), headers));
            play(plays, &counting).await
        };
        let router = Router::new().fallback(answer);
        tokio::spawn(async move {
            tessera::http::listener::serve(listener, router, std::future::pending(), PATIENCE).await;
        });
        Self { address, asked, open }
    }

    fn asked(&self) -> Vec<(String, HeaderMap)> {
        self.asked.lock().unwrap().clone()
    }
}

async fn play(plays: Plays, counting: &watch::Sender<usize>) -> Response {
    let (sender, pieces) = mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    counting.send_modify(|open| *open += 1);
    let reading = Reading(counting.clone());
    sender.send(Ok(Bytes::from_static(b"what was "))).await.unwrap();
    match plays {
        Plays::Log => sender.send(Ok(Bytes::from_static(b"printed"))).await.unwrap(),
        Plays::Nothing => std::future::pending().await,
        Plays::Beginning | Plays::Unknown => {}
    }
    let held = (plays == Plays::Beginning).then_some(sender);
    let state = (pieces, reading, held);
    let body = futures::stream::unfold(state, async |(mut pieces, reading, held)| {
        let piece = pieces.recv().await?;
        Some((piece, (pieces, reading, held)))
    });
    let answer = Response::builder().status(if plays == Plays::Unknown { 404 } else { 200 });
    answer
        .header("tessera-attempt", "7")
        .header("keep-alive", "timeout=1")
        .body(Body::from_stream(body.boxed()))
        .unwrap()
}

/// A server `a`, on a store on which `b` has a task.
struct Scene {
    server: Server,
    task: String,
}

impl Scene {
    async fn with(address: Option<String>, away: bool) -> Self {
        Self::with_plans(address, away, None).await
    }

    async fn with_plans(address: Option<String>, away: bool, plans: Option<Plans>) -> Self {
        Self::since(address, away.then_some(100 * LONG), plans).await
    }

    /// The other one is away for so long, or here.
    async fn since(address: Option<String>, away: Option<Duration>, plans: Option<Plans>) -> Self {
        let bounds = Bounds { time: Duration::from_millis(500), ..Bounds::default() };
        let settings = Settings { bounds, ..Settings::default() };
        let clock = Clock::system();
        let holder = Holder("b/1".to_owned());
        let server = Server::among(settings, plans, async |store| {
            let now = clock.now();
            // What has said nothing for days is away, whatever its clock. What left a moment ago was here before.
            let until = away.filter(|away| *away >= LONG).map_or(now + LONG, |away| now - away);
            let b = Replica {
                name: "b".to_owned(),
                holder: holder.clone(),
                seat: "other".to_owned(),
                address,
                backends: vec![],
            };
            assert!(matches!(store.enlist(&b, now, until).await.unwrap(), Enlisted::Here(_)));
            let newcomer = Newcomer { name: "a".to_owned(), seat: "mine".to_owned(), address: None, backends: vec![] };
            let terms = Terms { lease: LONG, absent_after: LONG };
            let roster = Roster::join(store, newcomer, terms, &clock).await.unwrap();
            if away.is_some_and(|away| away < LONG) {
                // It was here when this one came.
                store.leave(&holder, clock.now()).await.unwrap();
                assert!(roster.beat(store, &clock).await);
            }
            roster
        })
        .await;
        let task = server.create(&small()).await;
        claim(&server, &holder, &task).await;
        Self { server, task }
    }

    async fn log(&self, query: &str, headers: &[(&str, &str)]) -> Answer {
        self.server.send(self.request(query, headers)).await
    }

    fn request(&self, query: &str, headers: &[(&str, &str)]) -> Request<Body> {
        let request = Request::builder().uri(format!("/api/v1/tasks/{}/logs{query}", self.task));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Body::empty()).unwrap()
    }
}

async fn claim(server: &Server, holder: &Holder, task: &str) {
    let wanted =
        ClaimRequest { task: TaskId::parse(task).unwrap(), backend: "scripted".to_owned(), cpu_milli: 1, ram_bytes: 1 };
    let now = Timestamp::now();
    let taken = server.store.claim(holder, now, now + LONG, Ceiling::default(), &[wanted]).await.unwrap();
    assert_eq!(taken.len(), 1);
}

fn message(answer: &Answer) -> String {
    answer.refused(503);
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_log_is_asked_of_the_server_that_has_it_with_what_the_caller_said() {
    let other = Other::playing(Plays::Log).await;
    let scene = Scene::with(Some(other.address.clone()), false).await;
    let said = [
        ("authorization", "Bearer x"),
        ("accept", "text/event-stream"),
        ("last-event-id", "1.0.0.0"),
        ("cookie", "mine"),
        ("connection", "x-private"),
        ("x-private", "1"),
    ];
    let answer = scene.log("?executor=0&stream=stdout", &said).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, b"what was printed".as_slice()));
    assert_eq!(answer.header("tessera-attempt"), Some("7"));
    assert_eq!(answer.header("keep-alive"), None, "it is of the other connection");
    let asked = other.asked();
    let (uri, headers) = &asked[0];
    assert_eq!(*uri, format!("/api/v1/tasks/{}/logs?executor=0&stream=stdout", scene.task));
    let shown = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(shown("authorization"), Some("Bearer x"));
    assert_eq!(shown("accept"), Some("text/event-stream"));
    assert_eq!(shown("last-event-id"), Some("1.0.0.0"));
    assert!(shown("tessera-forwarded").is_some());
    assert!(shown("cookie").is_none() && shown("x-private").is_none());
    assert_eq!(asked.len(), 1);
}

#[tokio::test]
async fn what_was_handed_on_once_is_handed_on_to_nobody() {
    let other = Other::playing(Plays::Log).await;
    let scene = Scene::with(Some(other.address.clone()), false).await;
    let answer = scene.log("", &[("tessera-forwarded", "1")]).await;
    assert!(message(&answer).contains("`b`"));
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn who_has_it_is_named_where_it_cannot_be_asked() {
    let scene = Scene::with(None, false).await;
    let said = message(&scene.log("", &[]).await);
    assert!(said.contains("`b`") && said.contains("address"), "{said}");

    let other = Other::playing(Plays::Log).await;
    let scene = Scene::with(Some(other.address.clone()), true).await;
    let said = message(&scene.log("", &[]).await);
    assert!(said.contains("`b`") && said.contains("away since"), "{said}");
    assert!(other.asked().is_empty());

    let silent = Other::playing(Plays::Nothing).await;
    let scene = Scene::with(Some(silent.address), false).await;
    let said = message(&scene.log("", &[]).await);
    assert!(said.contains("`b`") && said.contains("does not answer"), "{said}");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let scene = Scene::with(Some(format!("http://{nobody}")), false).await;
    let said = message(&scene.log("", &[]).await);
    assert!(said.contains("`b`") && said.contains("does not answer"), "{said}");
}

#[tokio::test]
async fn a_part_of_a_log_is_not_passed_off_as_all_of_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scene = Scene::with(Some(format!("http://{}", listener.local_addr().unwrap())), false).await;
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        // Read first, or closing it would take the answer back.
        let mut read = [0; 4_096];
        assert!(connection.read(&mut read).await.unwrap() > 0);
        let half = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
        connection.write_all(half).await.unwrap();
    });
    let response = scene.server.open(scene.request("", &[])).await;
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn when_the_caller_goes_the_other_server_is_let_go_and_so_it_is_when_this_one_stops() {
    let other = Other::playing(Plays::Beginning).await;
    let scene = Scene::with(Some(other.address.clone()), false).await;
    for stops in [false, true] {
        let response = scene.server.open(scene.request("?follow=true", &[])).await;
        let mut body = response.into_body().into_data_stream();
        let first = tokio::time::timeout(PATIENCE, body.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(first, "what was ".as_bytes(), "nothing is held back");
        assert_eq!(*other.open.borrow(), 1);
        if stops {
            scene.server.stop();
            let end = tokio::time::timeout(PATIENCE, body.next()).await.unwrap();
            assert!(end.unwrap().is_err(), "it is no end of the log");
        }
        drop(body);
        let mut open = other.open.clone();
        tokio::time::timeout(PATIENCE, open.wait_for(|open| *open == 0)).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_log_of_a_waiting_task_begins_when_a_server_takes_it() {
    let other = Other::playing(Plays::Log).await;
    let scene = Scene::with(Some(other.address.clone()), false).await;
    let waiting = scene.server.create(&small()).await;
    let request = Request::builder().uri(format!("/api/v1/tasks/{waiting}/logs?follow=true"));
    let response = scene.server.open(request.body(Body::empty()).unwrap()).await;
    assert_eq!((response.status().as_u16(), &response.headers()["tessera-attempt"]), (200, &"1".parse().unwrap()));
    assert!(other.asked().is_empty(), "nobody has it yet");
    claim(&scene.server, &Holder("b/1".to_owned()), &waiting).await;
    // What shows is told; here a cancel does.
    assert_eq!(scene.server.ask("POST", &format!("/v1/tasks/{waiting}:cancel")).await.status, 200);
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap();
    assert_eq!(body.to_bytes(), "what was printed".as_bytes());
}

#[tokio::test]
async fn a_plan_is_asked_of_all_others() {
    let plans = || -> Plans { Arc::new(|_, _| Box::pin(async { Ok(None) })) };
    for (plays, status) in [(Plays::Log, 200), (Plays::Unknown, 404), (Plays::Nothing, 503)] {
        let other = Other::playing(plays).await;
        let scene = Scene::with_plans(Some(other.address.clone()), false, Some(plans())).await;
        let ask = async |extra: Option<&str>| {
            let request = Request::builder().uri("/api/v1/plans/t-1").header("authorization", "Bearer token");
            let request = extra.into_iter().fold(request, |request, name| request.header(name, "1"));
            scene.server.send(request.body(Body::empty()).unwrap()).await
        };
        let answer = ask(None).await;
        assert_eq!(answer.status, status);
        let asked = other.asked();
        assert_eq!((asked.len(), asked[0].0.as_str()), (1, "/api/v1/plans/t-1"));
        assert_eq!(asked[0].1["authorization"], "Bearer token");
        ask(Some("tessera-forwarded")).await.refused(404);
        assert_eq!(other.asked().len(), 1);
    }
    // Away for a moment, it may be back with the plan; away for long, nobody waits for it.
    for (away, status) in [(Duration::ZERO, 503), (100 * LONG, 404)] {
        let other = Other::playing(Plays::Log).await;
        let scene = Scene::since(Some(other.address.clone()), Some(away), Some(plans())).await;
        let request = Request::builder().uri("/api/v1/plans/t-1").header("authorization", "Bearer token");
        scene.server.send(request.body(Body::empty()).unwrap()).await.refused(status);
        assert!(other.asked().is_empty());
    }
}
