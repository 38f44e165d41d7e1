//! What the engine moves a second, with the scripted backend in memory and the embedded store on a disk.
//!
//! `cargo bench --bench engine [-- FOLDER]`; the folder names the disk that is measured. Lines for people, and one of
//! JSON for `cargo xtask bench`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tessera::clock::Clock;
use tessera::engine::{Engine, Settings};
use tessera::store::Store;
use tessera::store::sqlite::Sqlite;
use tessera::task::spec::Executor;
use tessera::task::{Owner, TaskId, TaskSpec};
use tessera_contract::Backend;
use tessera_contract::scripted::{Outside, Scripted};

const TASKS: usize = 15_000;
const CLIENTS: usize = 64;
const ALONE: usize = 300;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = match folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut figures = Figures::default();

    let house = runtime.block_on(async { House::open(&folder.path().join("together.db")) })?;
    figures.say(
        "engine_noop_tasks_per_second",
        runtime.block_on(house.together())?,
        "created, run, told, by 64 clients",
    );
    figures.say("engine_events_per_task", events_per_task(&folder.path().join("together.db"))?, "besides its creation");

    let house = runtime.block_on(async { House::open(&folder.path().join("queue.db")) })?;
    figures.say("engine_queued_noop_tasks_per_second", runtime.block_on(house.queue())?, "from a queue that is full");

    let house = runtime.block_on(async { House::open(&folder.path().join("alone.db")) })?;
    let mut waits = runtime.block_on(house.alone())?;
    waits.sort_unstable();
    let ms = |part: usize| waits[waits.len() * part / 100].as_secs_f64() * 1_000.0;
    figures.say("engine_noop_alone_ms_p50", ms(50), "from create to COMPLETE");
    figures.say("engine_noop_alone_ms_p99", ms(99), "from create to COMPLETE");
    println!("{}", serde_json::json!({ "figures": figures.0 }));
    Ok(())
}

#[derive(Default)]
struct Figures(BTreeMap<String, f64>);

impl Figures {
    fn say(&mut self, name: &str, figure: f64, more: &str) {
        println!("{name:<36} {figure:>9.1}  {more}");
        self.0.insert(name.to_owned(), figure);
    }
}

/// A server without doors.
struct House {
    store: Arc<Sqlite>,
    engine: Arc<Engine>,
}

impl House {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let store = Arc::new(Sqlite::open(path)?);
        let backend: Arc<dyn Backend> = Arc::new(Scripted::new(Outside::in_memory(), store.installation().clone()));
        let engine = Engine::new(store.clone(), vec![backend], Clock::system(), Settings::default());
        Ok(Self { store, engine })
    }

    fn start(&self) -> tokio::task::JoinHandle<()> {
        let engine = self.engine.clone();
        tokio::spawn(async move { engine.run(std::future::pending()).await })
    }

    async fn create(&self) -> anyhow::Result<TaskId> {
        let at = Timestamp::now();
        let id = TaskId::new(at);
        self.store.create(&Owner::anonymous(), &id, at, noop()).await?;
        self.engine.wake_dispatch();
        Ok(id)
    }

    async fn wait(&self, id: &TaskId, rest: Duration) -> anyhow::Result<()> {
        loop {
            let summary = self.store.summary(&Owner::anonymous(), id).await?;
            if summary.is_some_and(|summary| summary.phase.is_terminal()) {
                return Ok(());
            }
            tokio::time::sleep(rest).await;
        }
    }

    /// Until nothing waits and nothing is outside.
    async fn wait_for_all(&self) -> anyhow::Result<()> {
        while !self.store.queued(Timestamp::now(), None, 1).await?.is_empty()
            || !self.store.active(None, 1).await?.is_empty()
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    async fn together(self) -> anyhow::Result<f64> {
        let running = self.start();
        let house = Arc::new(self);
        let start = Instant::now();
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let house = house.clone();
            clients.push(tokio::spawn(async move {
                for _ in 0..TASKS / CLIENTS {
                    house.create().await?;
                }
                anyhow::Ok(())
            }));
        }
        for client in clients {
            client.await??;
        }
        house.wait_for_all().await?;
        let rate = (TASKS / CLIENTS * CLIENTS) as f64 / start.elapsed().as_secs_f64();
        running.abort();
        Ok(rate)
    }

    async fn queue(self) -> anyhow::Result<f64> {
        let house = Arc::new(self);
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let house = house.clone();
            clients.push(tokio::spawn(async move {
                for _ in 0..TASKS / CLIENTS {
                    house.create().await?;
                }
                anyhow::Ok(())
            }));
        }
        for client in clients {
            client.await??;
        }
        let start = Instant::now();
        let running = house.start();
        house.wait_for_all().await?;
        let rate = (TASKS / CLIENTS * CLIENTS) as f64 / start.elapsed().as_secs_f64();
        running.abort();
        Ok(rate)
    }

    async fn alone(self) -> anyhow::Result<Vec<Duration>> {
        let running = self.start();
        let mut waits = Vec::new();
        for _ in 0..ALONE {
            let start = Instant::now();
            let id = self.create().await?;
            self.wait(&id, Duration::from_micros(100)).await?;
            waits.push(start.elapsed());
            // Alone: what the one before left behind is removed.
            while !self.store.leftovers(1).await?.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        running.abort();
        Ok(waits)
    }
}

fn noop() -> TaskSpec {
    let executor = Executor { image: "scripted".to_owned(), command: vec!["true".to_owned()], ..Executor::default() };
    TaskSpec { executors: vec![executor], ..TaskSpec::default() }
}

fn events_per_task(path: &Path) -> anyhow::Result<f64> {
    let connection = rusqlite::Connection::open(path)?;
    let count = |table: &str| connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
    let (events, tasks): (i64, i64) = (count("events")?, count("tasks")?);
    Ok(events as f64 / tasks as f64)
}
