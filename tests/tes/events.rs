//! What happens, as it happens: `GET /api/v1/events` over the real router.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use futures::StreamExt as _;
use serde_json::Value;
use tessera::http::{Access, Credentials, Secret, Settings, Token};
use tessera::store::Store as _;
use tessera::task::{Owner, TaskId};

use crate::server::{Server, small};

/// How long anything may take in these tests, before it counts as never.
const PATIENCE: Duration = Duration::from_secs(30);

/// One frame, by its fields.
#[derive(Debug, Clone, Default, PartialEq)]
struct Frame {
    event: String,
    id: String,
    data: Value,
}

struct Stream {
    body: BodyDataStream,
    read: String,
}

impl Stream {
    async fn open(server: &Server, query: &str, headers: &[(&str, &str)]) -> Self {
        let mut request = Request::get(format!("/api/v1/events{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = server.open(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), read: String::new() }
    }

    /// The next frame that says something; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, rest)) = self.read.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.read = rest;
                let field = |name: &str| {
                    let found = frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    found.unwrap_or_default().to_owned()
                };
                let data = serde_json::from_str(&field("data")).unwrap_or_default();
                return Some(Frame { event: field("event"), id: field("id"), data });
            }
            let bytes = tokio::time::timeout(PATIENCE, self.body.next()).await.unwrap()?;
            self.read.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        }
    }

    /// The frame that gives a place, which each stream begins with.
    async fn place(&mut self) -> String {
        let first = self.next().await.unwrap();
        assert_eq!((first.event.as_str(), &first.data), ("", &Value::Null), "{first:?}");
        first.id
    }

    async fn state(&mut self) -> (String, String, String) {
        let frame = self.next().await.unwrap();
        assert_eq!(frame.event, "state", "{frame:?}");
        let text = |key: &str| frame.data[key].as_str().unwrap_or_default().to_owned();
        (text("task"), text("state"), frame.id.clone())
    }
}

async fn cancel(server: &Server, task: &str) {
    assert_eq!(server.ask("POST", &format!("/v1/tasks/{task}:cancel")).await.status, 200);
}

#[tokio::test]
async fn what_happens_is_told_from_now_on() {
    let server = Server::new();
    server.create(&small()).await;
    let mut stream = Stream::open(&server, "", &[]).await;
    stream.place().await;
    let task = server.create(&small()).await;
    cancel(&server, &task).await;
    let created = stream.next().await.unwrap();
    assert_eq!(created.data["task"], task.as_str());
    assert_eq!(created.data["state"], "QUEUED");
    assert!(created.data["at"].as_str().unwrap().ends_with('Z'));
    assert!(created.data.get("previous").is_none());
    let canceled = stream.next().await.unwrap();
    assert_eq!((&canceled.data["state"], &canceled.data["previous"]), (&"CANCELED".into(), &"QUEUED".into()));
}

#[tokio::test]
async fn who_comes_back_goes_on_where_it_was() {
    let server = Server::new();
    let mut stream = Stream::open(&server, "", &[]).await;
    let begin = stream.place().await;
    let tasks = [server.create(&small()).await, server.create(&small()).await, server.create(&small()).await];
    let (first, _, after_first) = stream.state().await;
    assert_eq!(first, tasks[0]);
    drop(stream);
    for mut stream in [
        Stream::open(&server, "", &[("last-event-id", &after_first)]).await,
        Stream::open(&server, &format!("?after={after_first}"), &[]).await,
        // A page that reconnects sends the address it began with, too.
        Stream::open(&server, &format!("?after={begin}"), &[("last-event-id", &after_first)]).await,
    ] {
        stream.place().await;
        assert_eq!(stream.state().await.0, tasks[1]);
        assert_eq!(stream.state().await.0, tasks[2]);
    }
    // A place from before anything happened is a place.
    let mut stream = Stream::open(&server, "", &[("last-event-id", &begin)]).await;
    stream.place().await;
    assert_eq!(stream.state().await.0, tasks[0]);
}

#[tokio::test]
async fn a_place_that_is_not_kept_any_more_or_of_elsewhere_is_a_gap() {
    let server = Server::new();
    let mut stream = Stream::open(&server, "", &[]).await;
    let begin = stream.place().await;
    for _ in 0..5 {
        server.create(&small()).await;
    }
    server.store.trim(2, 100).await.unwrap();
    let mut stream = Stream::open(&server, &format!("?after={begin}"), &[]).await;
    stream.place().await;
    let gap = stream.next().await.unwrap();
    assert_eq!(gap.event, "gap");
    assert!(gap.data["message"].as_str().unwrap().contains("list the tasks anew"));
    // What is kept is told, and the gap's own id leads to the same.
    let (_, _, fourth) = stream.state().await;
    let mut again = Stream::open(&server, "", &[("last-event-id", &gap.id)]).await;
    again.place().await;
    assert_eq!(again.state().await.2, fourth);

    let newest = begin.replace("-0", "-5");
    for lost in ["0123456789abcdef-1".to_owned(), begin.replace("-0", "-6")] {
        let mut stream = Stream::open(&server, "", &[("last-event-id", &lost)]).await;
        let gap = stream.next().await.unwrap();
        assert_eq!((gap.event.as_str(), &gap.id), ("gap", &newest), "{lost}");
    }
}

#[tokio::test]
async fn garbage_is_refused_with_its_name() {
    let server = Server::new();
    for (query, field) in [
        ("?after=7", "after"),
        ("?after=x-y", "after"),
        ("?task=nope", "task"),
        ("?state=ENDED", "state"),
        ("?state=UNKNOWN", "state"),
        ("?after=%ff", "after"),
    ] {
        let answer = server.get(&format!("/api/v1/events{query}")).await;
        assert_eq!(answer.refused(400).as_deref(), Some(field), "{query}");
    }
    for garbage in ["7", "a b", "\u{e4}-1"] {
        let request = Request::get("/api/v1/events").header("last-event-id", garbage.as_bytes());
        let answer = server.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.refused(400).as_deref(), Some("Last-Event-ID"), "{garbage}");
    }
}

#[tokio::test]
async fn tasks_and_states_are_filters() {
    let server = Server::new();
    let (one, other) = (server.create(&small()).await, server.create(&small()).await);
    let mut of_one = Stream::open(&server, &format!("?task={one}&task={one}"), &[]).await;
    let mut ends = Stream::open(&server, "?state=CANCELED&state=COMPLETE", &[]).await;
    of_one.place().await;
    ends.place().await;
    server.create(&small()).await;
    cancel(&server, &other).await;
    cancel(&server, &one).await;
    assert_eq!(of_one.state().await.0, one);
    assert_eq!(ends.state().await.0, other);
    assert_eq!(ends.state().await.0, one);
}

#[tokio::test]
async fn nobody_hears_of_another_owners_tasks() {
    let token = |name: &str| Token { name: name.to_owned(), token: Secret::new(name) };
    let access = Access::Required(Credentials { tokens: vec![token("ann"), token("bob")], ..Credentials::default() });
    let server = Server::with(Settings { access, ..Settings::default() });
    assert_eq!(server.get("/api/v1/events").await.status, 401);
    let put = async |owner: &str| {
        let (owner, now) = (Owner(owner.to_owned()), jiff::Timestamp::now());
        let id = TaskId::new(now);
        server.store.create(&owner, &id, now, tessera::task::TaskSpec::default()).await.unwrap();
        id.as_str().to_owned()
    };
    let theirs = put("bob").await;
    let login = [("authorization", "Bearer ann")];
    let mut all = Stream::open(&server, "", &login).await;
    let mut asked_for = Stream::open(&server, &format!("?task={theirs}"), &login).await;
    all.place().await;
    asked_for.place().await;
    let bob = Owner("bob".to_owned());
    let task = TaskId::parse(&theirs).unwrap();
    server.store.request_cancel(&bob, &task, jiff::Timestamp::now(), true).await.unwrap();
    put("bob").await;
    let own = put("ann").await;
    assert_eq!(all.state().await.0, own);
    server.stop();
    assert_eq!(asked_for.next().await, None);
}

#[tokio::test]
async fn a_slow_listener_loses_nothing_and_holds_up_nobody() {
    let server = Server::new();
    let mut slow = Stream::open(&server, "", &[]).await;
    let mut quick = Stream::open(&server, "", &[]).await;
    slow.place().await;
    quick.place().await;
    let mut tasks = Vec::new();
    // More batches than the ring holds: each creation waits for the quick one to hear of the one before.
    for _ in 0..200 {
        tasks.push(server.create(&small()).await);
        assert_eq!(quick.state().await.0, tasks[tasks.len() - 1]);
    }
    for task in &tasks {
        assert_eq!(slow.state().await.0, *task);
    }
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let server = Server::new();
    let mut stream = Stream::open(&server, "", &[]).await;
    stream.place().await;
    server.stop();
    assert_eq!(stream.next().await, None);
}
