//! What it costs to explain a queue: how fast 10,000 waiting tasks are handed over and run while the whole queue is
//! asked for over and over, each task with its reason, next to the same without anybody asking. Both take turns.
//!
//! `cargo bench --bench queue [-- FOLDER]`; the folder names the disk that is measured. The router is asked without a
//! socket, so that nothing but the explaining is added. Lines for people, and one of JSON for `cargo xtask bench`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures::future::try_join_all;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use tessera::clock::Clock;
use tessera::engine::{Engine, Settings};
use tessera::feed::Feed;
use tessera::http::{self, Doors, Stopping};
use tessera::logs::{self, Logs};
use tessera::store::Store;
use tessera::store::sqlite::Sqlite;
use tessera::task::spec::Executor;
use tessera::task::{Owner, TaskId, TaskSpec};
use tessera_contract::Backend;
use tessera_contract::scripted::{Outside, Scripted};
use tokio::sync::watch;
use tower::ServiceExt as _;

const TASKS: usize = 10_000;
const CLIENTS: usize = 64;
/// Turns of each kind.
const TURNS: usize = 5;

/// How the queue is asked for.
#[derive(Clone, Copy)]
enum Asked {
    Never,
    EachSecond,
    OverAndOver,
}

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = match folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (mut never, mut seconds, mut over) = (Vec::new(), Vec::new(), Vec::new());
    let mut whole = Vec::new();
    for turn in 0..TURNS {
        for (asked, rates) in
            [(Asked::Never, &mut never), (Asked::EachSecond, &mut seconds), (Asked::OverAndOver, &mut over)]
        {
            let path = folder.path().join(format!("{turn}-{}.db", asked as u8));
            let measured = runtime.block_on(async { House::open(&path)?.drain(asked).await })?;
            rates.push(measured.rate);
            whole.push(measured.whole_ms);
            println!("turn {turn}, asked {}: {:.0} tasks/s, {} walks", asked as u8, measured.rate, measured.walks);
        }
    }
    let slower = |rates: &[f64], than: &[f64]| (1.0 - median(rates) / median(than)) * 100.0;
    let figures = BTreeMap::from([
        ("tasks_per_second", median(&never)),
        ("slower_percent_asked_each_second", slower(&seconds, &never).max(0.0)),
        ("slower_percent_asked_over_and_over", slower(&over, &never).max(0.0)),
        ("explain_10000_ms", median(&whole)),
    ]);
    for (name, figure) in &figures {
        println!("{name:<36} {figure:>9.1}");
    }
    println!("{}", serde_json::json!({ "figures": figures }));
    Ok(())
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

struct Measured {
    rate: f64,
    whole_ms: f64,
    walks: usize,
}

struct House {
    store: Arc<Sqlite>,
    engine: Arc<Engine>,
    router: Router,
    _running: watch::Sender<bool>,
}

impl House {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let store = Arc::new(Sqlite::open(path)?);
        let backend: Arc<dyn Backend> = Arc::new(Scripted::new(Outside::in_memory(), store.installation().clone()));
        let engine = Engine::new(store.clone(), vec![backend], Clock::system(), Settings::default());
        let (running, stopping) = watch::channel(false);
        let router = http::router(Doors {
            peers: Arc::new(http::Peers::of(tessera::roster::Roster::alone()).map_err(anyhow::Error::msg)?),
            plans: None,
            feed: Feed::new(store.clone()),
            logs: Logs::open(store.clone(), &[], &path.with_extension("logs"), logs::Settings::default())?,
            store: store.clone(),
            engine: engine.clone(),
            wake_dispatch: Arc::new(|| {}),
            wake_cancel: Arc::new(|| {}),
            ready: Arc::new(|| Box::pin(async { Vec::new() })),
            clock: Arc::new(Timestamp::now),
            stopping: Stopping::new(stopping),
            settings: Arc::default(),
        });
        Ok(Self { store, engine, router, _running: running })
    }

    async fn drain(self, asked: Asked) -> anyhow::Result<Measured> {
        try_join_all((0..CLIENTS).map(|client| self.create(TASKS / CLIENTS + usize::from(client < TASKS % CLIENTS))))
            .await?;
        let began = Instant::now();
        let explained = walk(&self.router).await?;
        let whole_ms = began.elapsed().as_secs_f64() * 1_000.0;
        anyhow::ensure!(explained == TASKS, "{explained} of {TASKS} were explained");

        let walks = Arc::new(AtomicUsize::new(0));
        let (router, count) = (self.router.clone(), walks.clone());
        let walking = tokio::spawn(async move {
            loop {
                match asked {
                    Asked::Never => std::future::pending().await,
                    Asked::EachSecond => tokio::time::sleep(Duration::from_secs(1)).await,
                    Asked::OverAndOver => {}
                }
                if let Err(error) = walk(&router).await {
                    return error;
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let start = Instant::now();
        let engine = self.engine.clone();
        let running = tokio::spawn(async move { engine.run(std::future::pending()).await });
        while !self.store.queued(Timestamp::now(), None, 1).await?.is_empty()
            || !self.store.active(None, 1).await?.is_empty()
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let rate = TASKS as f64 / start.elapsed().as_secs_f64();
        running.abort();
        if walking.is_finished() {
            return Err(walking.await?);
        }
        walking.abort();
        Ok(Measured { rate, whole_ms, walks: walks.load(Ordering::Relaxed) })
    }

    async fn create(&self, tasks: usize) -> anyhow::Result<()> {
        for _ in 0..tasks {
            let at = Timestamp::now();
            let executor =
                Executor { image: "scripted".to_owned(), command: vec!["true".to_owned()], ..Executor::default() };
            let spec = TaskSpec { executors: vec![executor], ..TaskSpec::default() };
            self.store.create(&Owner::anonymous(), &TaskId::new(at), at, spec).await?;
        }
        Ok(())
    }
}

/// Asks for the whole queue, page by page; answers how many tasks were explained.
async fn walk(router: &Router) -> anyhow::Result<usize> {
    let (mut explained, mut token) = (0, String::new());
    loop {
        let uri = format!("/api/v1/queue?page_size=2047&page_token={token}");
        let answer = router.clone().oneshot(Request::get(uri).body(Body::empty())?).await?;
        let page = answer.into_body().collect().await?.to_bytes();
        let page = std::str::from_utf8(&page)?;
        // Read by hand: the processor is shared with what is measured.
        explained += page.matches("\"message\":\"waiting ").count();
        match page.split_once("\"next_page_token\":\"").and_then(|(_, rest)| rest.split_once('"')) {
            Some((next, _)) => next.clone_into(&mut token),
            None => return Ok(explained),
        }
    }
}
