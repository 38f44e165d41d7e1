//! What tasks hold of memory and of the disk: 100,000 that wait, 10,000 that run on the scripted backend.
//!
//! `cargo bench --bench memory [-- --store postgres]`. Memory is the server's resident memory, all told; that of tasks that wait is what it
//! has grown by.

mod harness;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::bare;
use harness::connection::{Connection, request, task};
use harness::figures::Figures;
use harness::load::each;
use harness::place::{Kind, Place};
use harness::rows::Filling;
use harness::server::Server;

const WAITING: usize = 100_000;
const RUNNING: usize = 10_000;
const STORED: u64 = 100_000;
const CLIENTS: usize = 64;
/// As long as it takes for what only the burst needed to be given back.
const REST: Duration = Duration::from_secs(3);

fn main() -> Result<()> {
    let (kind, words) = Kind::of_words()?;
    if words.first().is_some_and(|word| word == bare::WORD) {
        return bare::serve();
    }
    let mut figures = Figures::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;

    for (name, filling) in [("small", Filling::Small), ("usual", Filling::Usual)] {
        let place = kind.place()?;
        place.fill(STORED, filling)?;
        let bytes = place.stored_bytes()?;
        figures.note(format!("stored_bytes_each_{name}"), bytes as f64 / STORED as f64);
    }

    let place = kind.place()?;
    let server = Server::start(place.folder(), &place.settings())?;
    let create = Arc::new(request("POST", "/ga4gh/tes/v1/tasks", &task("busybox", &["echo", "hello"])));
    // What each request and the caches need once is no task's.
    runtime.block_on(each(server.address, CLIENTS, WAITING / 10, &create))?;
    std::thread::sleep(REST);
    let before = server.resident_mb()?;
    runtime.block_on(each(server.address, CLIENTS, WAITING, &create))?;
    std::thread::sleep(REST);
    figures.note("resident_mb_waiting", server.resident_mb()?);
    let grown = (server.resident_mb()? - before).max(0.0);
    figures.note("bytes_each_waiting", grown * 1024.0 * 1024.0 / WAITING as f64);
    drop(server);
    let bytes = place.stored_bytes()?;
    figures.note("stored_bytes_each_waiting", bytes as f64 / (WAITING + WAITING / 10) as f64);

    running(&runtime, &kind.place()?, &mut figures)?;
    figures.print();
    Ok(())
}

fn running(runtime: &tokio::runtime::Runtime, place: &Place, figures: &mut Figures) -> Result<()> {
    let server = Server::start(place.folder(), &place.running())?;
    let create = Arc::new(request("POST", "/ga4gh/tes/v1/tasks", &task("scripted", &["hang"])));
    let began = Instant::now();
    runtime.block_on(async {
        each(server.address, CLIENTS, RUNNING, &create).await?;
        let mut connection = Connection::open(server.address).await?;
        for state in ["QUEUED", "INITIALIZING"] {
            while any(&mut connection, state).await? {
                ensure!(began.elapsed() < Duration::from_secs(120), "tasks stay {state}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        ensure!(any(&mut connection, "RUNNING").await?, "nothing runs");
        anyhow::Ok(())
    })?;
    figures.note("all_running_after_s", began.elapsed().as_secs_f64());
    std::thread::sleep(REST);
    figures.note("resident_mb_running", server.resident_mb()?);
    let before = server.processor_ms()?;
    std::thread::sleep(REST);
    // The price of looking after them: nothing happens meanwhile.
    figures.note("processor_percent_running", (server.processor_ms()? - before) / REST.as_millis() as f64 * 100.0);
    Ok(())
}

async fn any(connection: &mut Connection, state: &str) -> Result<bool> {
    let ask = request("GET", &format!("/ga4gh/tes/v1/tasks?page_size=1&state={state}"), "");
    Ok(connection.json(&ask).await?["tasks"].as_array().is_some_and(|tasks| !tasks.is_empty()))
}
