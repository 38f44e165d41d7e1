//! What a request allocates, from the router's door to the answer's last byte, and what reading and writing a task's
//! JSON takes of it.
//!
//! `cargo bench --bench allocations [-- --store postgres]`; the router stands in this process, without sockets.

mod harness;

use std::alloc::System;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use harness::connection::task;
use harness::figures::Figures;
use harness::place::Kind;
use harness::rows::{Filling, rows};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tessera::clock::Clock;
use tessera::engine::{self, Engine};
use tessera::feed::Feed;
use tessera::http::{Doors, Peers, Settings, Stopping};
use tessera::logs::{self, Logs};
use tessera::roster::Roster;
use tessera::store::Store;
use tessera::task::{Event, TaskSpec};
use tokio::sync::watch;
use tower::ServiceExt as _;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TASKS: u64 = 2_000;
const TIMES: usize = 500;
const TES: &str = "/ga4gh/tes/v1/tasks";

fn main() -> Result<()> {
    let (kind, _) = Kind::of_words()?;
    let mut figures = Figures::default();
    let place = kind.place()?;
    let ids = place.fill(TASKS, Filling::Usual)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (_stop, stopping) = watch::channel(false);
        let router = router(place.store().await?, place.folder(), stopping)?;
        let body = task("busybox", &["echo", "hello"]);
        let create = || Request::post(TES).header("content-type", "application/json").body(Body::from(body.clone()));
        count(&router, "create", &mut figures, create).await?;
        for view in ["MINIMAL", "BASIC", "FULL"] {
            let id = &ids[ids.len() / 2];
            let one = || Request::get(format!("{TES}/{id}?view={view}")).body(Body::empty());
            count(&router, &format!("get_{}", view.to_lowercase()), &mut figures, one).await?;
        }
        for view in ["MINIMAL", "FULL"] {
            let page = || Request::get(format!("{TES}?view={view}&page_size=256")).body(Body::empty());
            count(&router, &format!("page_{}", view.to_lowercase()), &mut figures, page).await?;
        }
        anyhow::Ok(())
    })?;
    figures.note("json_of_a_usual_task_us", json()?);
    figures.print();
    Ok(())
}

fn router(store: Arc<dyn Store>, folder: &std::path::Path, stopping: watch::Receiver<bool>) -> Result<Router> {
    let logs = Logs::open(store.clone(), &[], &folder.join("logs"), logs::Settings::default())?;
    let how = engine::Settings::default();
    // It does not run: what is counted is the requests' alone.
    let engine = Engine::among(Roster::alone(), store.clone(), vec![], Clock::system(), how, Some(logs.clone()));
    Ok(tessera::http::router(Doors {
        peers: Arc::new(Peers::of(Roster::alone()).map_err(anyhow::Error::msg)?),
        plans: None,
        feed: Feed::new(store.clone()),
        store,
        engine,
        logs,
        wake_dispatch: Arc::new(|| ()),
        wake_cancel: Arc::new(|| ()),
        ready: Arc::new(|| Box::pin(async { Vec::new() })),
        clock: Arc::new(Timestamp::now),
        stopping: Stopping::new(stopping),
        settings: Arc::new(Settings::default()),
    }))
}

/// So many times the same request: how often, and how many bytes, each allocates.
async fn count(
    router: &Router,
    name: &str,
    figures: &mut Figures,
    request: impl Fn() -> Result<Request<Body>, axum::http::Error>,
) -> Result<()> {
    let ask = async || -> Result<usize> {
        let answer = router.clone().oneshot(request()?).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes().len();
        ensure!(status == 200, "{name} answered {status}");
        Ok(bytes)
    };
    // The first one fills caches.
    ask().await?;
    let region = Region::new(COUNTED);
    for _ in 0..TIMES {
        black_box(ask().await?);
    }
    let change = region.change();
    figures.note(format!("allocations_{name}"), change.allocations as f64 / TIMES as f64);
    figures.note(format!("allocated_bytes_{name}"), change.bytes_allocated as f64 / TIMES as f64);
    Ok(())
}

/// Reading and writing the documents of one task: the most that views written from the stored text could save.
fn json() -> Result<f64> {
    let Some(row) = rows(1, Filling::Usual).next() else { return Ok(f64::NAN) };
    let (began, mut times) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_secs(1) {
        let spec: TaskSpec = serde_json::from_str(&row.spec)?;
        black_box(serde_json::to_vec(&spec)?);
        for (_, body) in &row.events {
            let event: Event = serde_json::from_str(body)?;
            black_box(serde_json::to_vec(&event)?);
        }
        times += 1;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(times))
}
