//! How long a create waits while very many old tasks are removed, next to the same creates before that, in the same run.
//!
//! `cargo bench --bench retention [-- TASKS [FOLDER]]`; the folder names the disk that is measured.

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::join_all;
use harness::figures::{Figures, ms, percentile};
use jiff::Timestamp;
use tessera::clock::Clock;
use tessera::logs::{self, Logs};
use tessera::retention::{Rule, Rules, Walk};
use tessera::store::sqlite::Sqlite;
use tessera::store::{Holder, Store};
use tessera::task::spec::Executor;
use tessera::task::{Owner, TaskId, TaskSpec};

/// Clients that create.
const CLIENTS: usize = 8;
/// Between two creates of a client: steady company, not a flood.
const PAUSE: Duration = Duration::from_millis(5);
/// How long is measured before.
const BEFORE: Duration = Duration::from_secs(10);
/// Tasks made at once, while the store is filled.
const AT_ONCE: usize = 2_000;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let tasks: usize = words.first().map_or(Ok(100_000), |word| word.parse())?;
    let folder = match words.get(1) {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(folder.path(), tasks))
}

async fn measure(folder: &std::path::Path, tasks: usize) -> Result<()> {
    let path = folder.join("tessera.db");
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&path)?);
    fill(&*store, tasks).await?;
    let mut figures = Figures::default();
    let size = || std::fs::metadata(&path).map(|about| about.len());

    let stop = Arc::new(AtomicBool::new(false));
    let creating = tokio::spawn(create(store.clone(), stop.clone()));
    tokio::time::sleep(BEFORE).await;
    stop.store(true, Ordering::Relaxed);
    let mut before = creating.await??;

    let full = size()?;
    let stop = Arc::new(AtomicBool::new(false));
    let creating = tokio::spawn(create(store.clone(), stop.clone()));
    let walk = Walk {
        store: store.clone(),
        logs: Logs::open(store.clone(), &[], &folder.join("logs"), logs::Settings::default())?,
        clock: Clock::system(),
        holder: Holder("bench".to_owned()),
        rules: Rules { everybody: Rule { keep_days: Some(1), keep_tasks: None }, owners: [].into() },
    };
    let began = Instant::now();
    let removed = walk.once().await?;
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let mut during = creating.await??;

    anyhow::ensure!(removed == tasks as u64, "{removed} of {tasks} tasks were removed");
    figures.note("removed_per_second", removed as f64 / took.as_secs_f64());
    for (when, waits) in [("before", &mut before), ("during", &mut during)] {
        figures.note(format!("creates_{when}"), waits.len() as f64);
        for (name, part) in [("p50", 0.5), ("p99", 0.99), ("most", 1.0)] {
            figures.note(format!("{name}_ms_{when}"), ms(percentile(waits, part)));
        }
    }
    figures.note(
        "p99_during_to_before",
        percentile(&mut during, 0.99).as_secs_f64() / percentile(&mut before, 0.99).as_secs_f64(),
    );
    figures.note("file_mb_before", full as f64 / 1e6);
    figures.note("file_mb_after", size()? as f64 / 1e6);
    figures.print();
    Ok(())
}

fn owner() -> Owner {
    Owner("ann".to_owned())
}

fn spec() -> TaskSpec {
    let executor = Executor { image: "alpine".to_owned(), command: vec!["true".to_owned()], ..Executor::default() };
    let tags = [("project".to_owned(), "old".to_owned()), ("run".to_owned(), "7".to_owned())].into();
    TaskSpec { name: Some("old".to_owned()), executors: vec![executor], tags: Some(tags), ..TaskSpec::default() }
}

/// Tasks that were cancelled long ago.
async fn fill(store: &dyn Store, tasks: usize) -> Result<()> {
    let then = Timestamp::now() - Duration::from_secs(30 * 24 * 3_600);
    for from in (0..tasks).step_by(AT_ONCE) {
        let one = async |_| {
            let id = TaskId::new(then);
            store.create(&owner(), &id, then, spec()).await?;
            store.request_cancel(&owner(), &id, then, true).await.map(drop)
        };
        let some = join_all((from..tasks.min(from + AT_ONCE)).map(one)).await;
        some.into_iter().collect::<Result<(), _>>()?;
    }
    Ok(())
}

/// Creates until it is told to stop: how long each took.
async fn create(store: Arc<dyn Store>, stop: Arc<AtomicBool>) -> Result<Vec<Duration>> {
    let client = async |_| -> Result<Vec<Duration>> {
        let mut waits = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let (now, began) = (Timestamp::now(), Instant::now());
            store.create(&owner(), &TaskId::new(now), now, spec()).await?;
            waits.push(began.elapsed());
            tokio::time::sleep(PAUSE).await;
        }
        Ok(waits)
    };
    let all = join_all((0..CLIENTS).map(client)).await;
    Ok(all.into_iter().collect::<Result<Vec<_>>>()?.concat())
}
