//! A server in this process: router, engine, store and logs over one folder, which a next one may go on with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tessera::clock::Clock;
use tessera::engine::{self, Engine};
use tessera::feed::Feed;
use tessera::http::{Doors, Peers, Settings, Stopping};
use tessera::logs::{self, Logs};
use tessera::roster::Roster;
use tessera::store::Store;
use tessera::store::sqlite::Sqlite;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::press::Press;
use crate::reader::Reader;

/// How long something may take that should happen.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Server {
    pub press: Press,
    pub logs: Arc<Logs>,
    store: Arc<dyn Store>,
    router: Router,
    stop: watch::Sender<bool>,
    /// Its own, so that it dies with everything it does.
    runtime: Option<Runtime>,
    folder: Arc<TempDir>,
}

/// What came back, whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Server {
    pub fn new() -> Self {
        Self::with(Settings::default(), logs::Settings { leave_free_bytes: 0, ..logs::Settings::default() })
    }

    pub fn with(doors: Settings, kept: logs::Settings) -> Self {
        Self::start(Arc::new(tempfile::tempdir().unwrap()), Press::new(), doors, kept)
    }

    /// The server dies, and the next one begins with what it left.
    pub async fn restarted(self) -> Self {
        self.restarted_with(logs::Settings { leave_free_bytes: 0, ..logs::Settings::default() }).await
    }

    /// The same, and the next one keeps logs otherwise.
    pub async fn restarted_with(mut self, kept: logs::Settings) -> Self {
        let (folder, press, runtime) = (self.folder.clone(), self.press.clone(), self.runtime.take());
        drop(self);
        tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
        Self::start(folder, press, Settings::default(), kept)
    }

    fn start(folder: Arc<TempDir>, press: Press, settings: Settings, kept: logs::Settings) -> Self {
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(folder.path().join("tessera.db")).unwrap());
        let backends: Vec<Arc<dyn tessera_contract::Backend>> = vec![Arc::new(press.clone())];
        let logs = Logs::open(store.clone(), &backends, &folder.path().join("logs"), kept).unwrap();
        let how = engine::Settings {
            poll_period_ms: 50,
            sweep_period_ms: 50,
            backoff_first_ms: 10,
            retry_after_start: true,
            ..engine::Settings::default()
        };
        let engine = Engine::among(Roster::alone(), store.clone(), backends, Clock::system(), how, Some(logs.clone()));
        let (stop, stopping) = watch::channel(false);
        let (dispatch, cancel) = (engine.clone(), engine.clone());
        let router = tessera::http::router(Doors {
            peers: Arc::new(Peers::of(Roster::alone()).unwrap()),
            plans: None,
            feed: Feed::new(store.clone()),
            store: store.clone(),
            engine: engine.clone(),
            logs: logs.clone(),
            wake_dispatch: Arc::new(move || dispatch.wake_dispatch()),
            wake_cancel: Arc::new(move || cancel.wake_cancel()),
            ready: Arc::new(|| Box::pin(async { Vec::new() })),
            clock: Arc::new(Timestamp::now),
            stopping: Stopping::new(stopping),
            settings: Arc::new(settings),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move { engine.run(std::future::pending()).await });
        Self { press, logs, store, router, stop, runtime: Some(runtime), folder }
    }

    /// Tells what goes on for long that it is to end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// The folder of the logs.
    pub fn kept(&self) -> std::path::PathBuf {
        self.folder.path().join("logs")
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.answer(request).await.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.expect("the answer ends").unwrap();
        Answer { status: parts.status, headers: parts.headers, body: body.to_bytes().to_vec() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Opens a stream of bytes.
    pub async fn open(&self, path: &str) -> Reader {
        self.open_with(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Opens a stream of events.
    pub async fn events(&self, path: &str, after: Option<&str>) -> Reader {
        let request = Request::get(path).header("accept", "text/event-stream");
        let request = after.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        self.open_with(request.body(Body::empty()).unwrap()).await
    }

    async fn open_with(&self, request: Request<Body>) -> Reader {
        let response = self.answer(request).await;
        assert_eq!(response.status(), 200);
        Reader::new(response.into_body())
    }

    async fn answer(&self, request: Request<Body>) -> Response {
        let answered = self.router.clone().oneshot(request);
        self.runtime.as_ref().unwrap().spawn(answered).await.unwrap().unwrap()
    }

    /// Creates a task with so many executors and waits until it runs; answers its id.
    pub async fn running(&self, executors: usize) -> String {
        let executor = json!({ "image": "none", "command": ["print"] });
        let task = json!({ "executors": vec![executor; executors] });
        let request = Request::post("/ga4gh/tes/v1/tasks").header("content-type", "application/json");
        let answer = self.send(request.body(Body::from(task.to_string())).unwrap()).await;
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        self.until_state(&id, "RUNNING").await;
        id
    }

    pub async fn cancel(&self, id: &str) {
        let request = Request::post(format!("/ga4gh/tes/v1/tasks/{id}:cancel"));
        assert_eq!(self.send(request.body(Body::empty()).unwrap()).await.status, 200);
    }

    pub async fn until_state(&self, id: &str, state: &str) {
        until(&format!("{id} is {state}"), async || {
            self.get(&format!("/ga4gh/tes/v1/tasks/{id}")).await.json()["state"] == *state
        })
        .await;
    }

    /// Until a job is removed, and that is remembered.
    pub async fn until_released(&self, job: &str) {
        until(&format!("{job} is released"), async || {
            let left = self.store.leftovers(u32::MAX).await.unwrap();
            !self.press.holds(job) && left.iter().all(|left| left.job.handle != job)
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Asks again until it is so.
pub async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let asking = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("it never came to be that {what}"));
}

/// Every file below a folder, sorted.
pub fn files(below: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned())
        }
    }
    found.sort();
    found
}
