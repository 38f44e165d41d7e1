//! The loops, on the system's clock: bells wake them, and nothing is lost between looking and waiting.

use std::sync::Arc;
use std::time::Duration;

use tessera_contract::Backend;
use tessera_contract::scripted::{Outside, Scripted};

use super::stage::{Stage, doing};
use crate::clock::Clock;
use crate::engine::{Engine, Settings};
use crate::store::Store;
use crate::store::sqlite::Sqlite;
use crate::task::{Phase, TaskId};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bells_are_enough() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(folder.path().join("tasks.db")).unwrap());
    let backend: Arc<dyn Backend> = Arc::new(Scripted::new(Outside::in_memory(), store.installation().clone()));
    // Polling would take longer than the test may.
    let settings = Settings { poll_period_ms: 3_600_000, sweep_period_ms: 3_600_000, ..Settings::default() };
    let engine = Engine::new(store.clone(), vec![backend], Clock::system(), settings);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let engine = engine.clone();
        async move {
            engine
                .run(async {
                    let _ = stopped.await;
                })
                .await;
        }
    });
    let mut tasks = Vec::new();
    for n in 0..200 {
        let id = TaskId::new(jiff::Timestamp::now());
        let words: &[&str] = if n % 10 == 0 { &["run-ms", "20"] } else { &["true"] };
        store.create(&Stage::owner(), &id, jiff::Timestamp::now(), doing(words)).await.unwrap();
        engine.wake_dispatch();
        tasks.push(id);
    }
    let hanging = TaskId::new(jiff::Timestamp::now());
    store.create(&Stage::owner(), &hanging, jiff::Timestamp::now(), doing(&["hang"])).await.unwrap();
    engine.wake_dispatch();
    let phase = async |id: &TaskId| store.summary(&Stage::owner(), id).await.unwrap().unwrap().phase;
    let all_ended = async {
        for id in &tasks {
            while phase(id).await != Phase::Complete {
                tokio::task::yield_now().await;
            }
        }
        while phase(&hanging).await != Phase::Running {
            tokio::task::yield_now().await;
        }
        store.request_cancel(&Stage::owner(), &hanging, jiff::Timestamp::now(), true).await.unwrap();
        engine.wake_cancel();
        while phase(&hanging).await != Phase::Canceled {
            tokio::task::yield_now().await;
        }
        while !store.leftovers(1).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_ended).await.expect("a bell was not heard");
    let _ = stop.send(());
    tokio::time::timeout(Duration::from_secs(10), running).await.expect("the loops did not stop").unwrap();
}
