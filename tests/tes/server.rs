//! A server in this process: the router over a fresh store, asked without a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tessera::clock::Clock;
use tessera::engine::{self, Engine};
use tessera::feed::Feed;
use tessera::http::{Doors, Peers, Plans, Settings, Stopping};
use tessera::logs::{self, Logs};
use tessera::roster::Roster;
use tessera::store::Store;
use tessera::store::sqlite::Sqlite;
use tessera_contract::Capacity;
use tessera_contract::scripted::{Outside, Scripted};
use tokio::sync::watch;
use tower::ServiceExt as _;

/// A server whose clock moves on by a second whenever it is read.
pub(crate) struct Server {
    pub(crate) store: Arc<Sqlite>,
    /// Moves nothing by itself; a test may tick it.
    pub(crate) engine: Arc<Engine>,
    /// What its one backend meets.
    pub(crate) outside: Outside,
    pub(crate) dispatches: Arc<AtomicU32>,
    pub(crate) cancels: Arc<AtomicU32>,
    router: Router,
    /// Dropped, it ends what goes on for long.
    running: watch::Sender<bool>,
    folder: TempDir,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self::with_parts(settings, vec![])
    }

    /// A server with other parts beside the store, ready or not.
    pub(crate) fn with_parts(settings: Settings, parts: Vec<(String, Result<(), String>)>) -> Self {
        Self::with_all(settings, parts, None)
    }

    /// A server that keeps plans for jobs.
    pub(crate) fn with_plans(settings: Settings, plans: Option<Plans>) -> Self {
        Self::with_all(settings, vec![], plans)
    }

    /// One of several servers on its store, on the system's clock, with plans for jobs.
    pub(crate) async fn among(
        settings: Settings,
        plans: Option<Plans>,
        roster: impl AsyncFnOnce(&dyn Store) -> Arc<Roster>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(folder.path().join("tessera.db")).unwrap());
        let roster = roster(&*store).await;
        Self::on(folder, (store.clone(), store), roster, Timestamp::now, settings, vec![], plans)
    }

    /// A server whose doors lead to another store than what `store` shows.
    pub(crate) fn before(doors: Arc<dyn Store>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(folder.path().join("tessera.db")).unwrap());
        Self::on(folder, (store, doors), Roster::alone(), Timestamp::now, Settings::default(), vec![], None)
    }

    fn with_all(settings: Settings, parts: Vec<(String, Result<(), String>)>, plans: Option<Plans>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(folder.path().join("tessera.db")).unwrap());
        let reads = AtomicU32::new(0);
        let clock = move || {
            let passed = i64::from(reads.fetch_add(1, Ordering::Relaxed));
            Timestamp::from_second(1_700_000_000).unwrap() + SignedDuration::from_secs(passed)
        };
        Self::on(folder, (store.clone(), store), Roster::alone(), clock, settings, parts, plans)
    }

    fn on(
        folder: TempDir,
        (store, doors): (Arc<Sqlite>, Arc<dyn Store>),
        roster: Arc<Roster>,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        settings: Settings,
        parts: Vec<(String, Result<(), String>)>,
        plans: Option<Plans>,
    ) -> Self {
        let (dispatches, cancels) = (Arc::default(), Arc::default());
        let count = |counter: &Arc<AtomicU32>| {
            let counter = Arc::clone(counter);
            Arc::new(move || {
                counter.fetch_add(1, Ordering::Relaxed);
            })
        };
        let outside = Outside::in_memory();
        let capacity = Capacity { cpu_milli: Some(4_000), ..Capacity::default() };
        let backend = Scripted::new(outside.clone(), store.installation().clone()).with_capacity(capacity);
        let engine = Engine::new(store.clone(), vec![Arc::new(backend)], Clock::system(), engine::Settings::default());
        let (running, stopping) = watch::channel(false);
        let feed = Feed::new(Arc::clone(&store) as Arc<dyn Store>);
        tokio::spawn({
            let (feed, stopping) = (feed.clone(), Stopping::new(stopping.clone()));
            async move { feed.run(stopping.stopped()).await }
        });
        let router = tessera::http::router(Doors {
            peers: Arc::new(Peers::of(roster).unwrap()),
            plans,
            feed,
            store: doors,
            engine: Arc::clone(&engine),
            logs: Logs::open(store.clone(), &[], &folder.path().join("logs"), logs::Settings::default()).unwrap(),
            wake_dispatch: count(&dispatches),
            wake_cancel: count(&cancels),
            ready: Arc::new(move || {
                let parts = parts.clone();
                Box::pin(async move { parts })
            }),
            clock: Arc::new(clock),
            stopping: Stopping::new(stopping),
            settings: Arc::new(settings),
        });
        Self { store, engine, outside, dispatches, cancels, router, running, folder }
    }

    /// A hand of its own on the store's file.
    pub(crate) fn beside_the_store(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("tessera.db")).unwrap()
    }

    /// Tells what goes on for long that the server stops.
    pub(crate) fn stop(&self) {
        self.running.send_replace(true);
    }

    /// Asks, and leaves the answer's body to be read.
    pub(crate) async fn open(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str) -> Answer {
        self.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(json_request("POST", path, body.to_string())).await
    }

    /// Creates a task and answers its id.
    pub(crate) async fn create(&self, task: &Value) -> String {
        let answer = self.post("/ga4gh/tes/v1/tasks", task).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()["id"].as_str().unwrap().to_owned()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        let kind = self.headers.get("content-type").map(|kind| kind.to_str().unwrap());
        assert_eq!(kind, Some("application/json"), "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks the one shape of every refusal (17.1) and answers the field that is to blame.
    pub(crate) fn refused(&self, status: u16) -> Option<String> {
        let body = self.json();
        assert_eq!(self.status.as_u16(), status, "{body}");
        assert_eq!(body["status"], status);
        assert!(body["error"].as_str().is_some_and(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()));
        let known = ["status", "error", "message", "field"];
        assert!(body.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{body}");
        body.get("field").map(|field| field.as_str().unwrap().to_owned())
    }
}

pub(crate) fn json_request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    request.body(body.into()).unwrap()
}

/// The smallest task.
pub(crate) fn small() -> Value {
    json!({ "executors": [{ "image": "alpine", "command": ["true"] }] })
}

/// The smallest task, with members of its own.
pub(crate) fn small_with(members: Value) -> Value {
    let mut task = small();
    task.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    task
}
