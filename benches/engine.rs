//! What the engine moves a second, with the scripted backend in memory and a store on a disk.
//!
//! `cargo bench --bench engine [-- --store postgres]`; `TMPDIR` names the disk that is measured.

mod harness;

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::figures::{Figures, ms, percentile};
use harness::floor;
use harness::place::{Kind, Place};
use jiff::Timestamp;
use tessera::clock::Clock;
use tessera::engine::{Engine, Settings};
use tessera::store::Store;
use tessera::task::spec::Executor;
use tessera::task::{Owner, TaskId, TaskSpec};
use tessera_contract::Backend;
use tessera_contract::scripted::{Outside, Scripted};

const TASKS: usize = 15_000;
const CLIENTS: usize = 64;
const ALONE: usize = 300;

fn main() -> anyhow::Result<()> {
    let (kind, _) = Kind::of_words()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut figures = Figures::default();

    let place = kind.place()?;
    let house = runtime.block_on(House::open(&place))?;
    figures.note("engine_noop_tasks_per_second", runtime.block_on(house.together())?);
    figures.note("engine_events_per_task", events_per_task(&place)?);

    let place = kind.place()?;
    let house = runtime.block_on(House::open(&place))?;
    figures.note("engine_queued_noop_tasks_per_second", runtime.block_on(house.queue())?);

    let place = kind.place()?;
    let house = runtime.block_on(House::open(&place))?;
    let mut waits = runtime.block_on(house.alone())?;
    figures.note("engine_noop_alone_ms_p50", ms(percentile(&mut waits, 0.5)));
    figures.note("engine_noop_alone_ms_p99", ms(percentile(&mut waits, 0.99)));
    // Each batch written, claimed, told to be outside and told to be over, each time durably.
    let alone = floor::writes(&kind.place()?, floor::Work::Whole, CLIENTS, Duration::from_secs(3))?;
    figures.note("statements_alone_tasks_per_second", alone);
    figures.print();
    Ok(())
}

/// A server without doors.
struct House {
    store: Arc<dyn Store>,
    engine: Arc<Engine>,
}

impl House {
    async fn open(place: &Place) -> anyhow::Result<Self> {
        let store = place.store().await?;
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
            tokio::time::sleep(Duration::from_millis(10)).await;
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

fn events_per_task(place: &Place) -> anyhow::Result<f64> {
    Ok(place.count("events")? / place.count("tasks")?)
}
