//! Durable creates over HTTP, next to a bare handler and to the disk, in the same run.
//!
//! `cargo bench --bench creates [-- --store postgres]`; `TMPDIR` names the disk that is measured.
//! The bare handler is this program once more, so that it shares the processor as the server does.

mod harness;

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::bare::{self, Bare};
use harness::connection::{request, task};
use harness::figures::{Figures, median, ms, percentile};
use harness::floor;
use harness::load::{each, load};
use harness::place::{Kind, Place};
use harness::server::Server;
use tokio::runtime::Runtime;

const CLIENTS: [usize; 3] = [1, 16, 64];
const ROUNDS: usize = 3;
const A_WHILE: Duration = Duration::from_secs(2);
/// Tasks that run meanwhile.
const RUNNING: usize = 1_000;
const PATH: &str = "/ga4gh/tes/v1/tasks";
/// The beginning of a task that waits for a backend that is away.
const AWAY: &str = r#"{"resources": {"backend_parameters": {"backend": "docker"}},"#;

fn main() -> Result<()> {
    let (kind, words) = Kind::of_words()?;
    if words.first().is_some_and(|word| word == bare::WORD) {
        return bare::serve();
    }
    let mut figures = Figures::default();
    let place = kind.place()?;
    figures.note("fdatasync_per_second", flushes(place.folder())?);
    let server = Server::start(place.folder(), &place.settings())?;
    let bare = Bare::start()?;
    // One thread asks: two processors are all there is, and one of them is the server's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let create = Arc::new(vec![request("POST", PATH, &task("busybox", &["echo", "hello"]))]);
    for clients in CLIENTS {
        let (mut ours, mut theirs, mut spent, mut waits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        runtime.block_on(load(server.address, clients, A_WHILE / 4, Arc::clone(&create)))?;
        for _ in 0..ROUNDS {
            theirs.push(runtime.block_on(load(bare.address, clients, A_WHILE / 2, Arc::clone(&create)))?.rate);
            let before = server.processor_ms()?;
            let seen = runtime.block_on(load(server.address, clients, A_WHILE, Arc::clone(&create)))?;
            spent.push((server.processor_ms()? - before) * 1000.0 / seen.waits.len() as f64);
            ours.push(seen.rate);
            waits.extend(seen.waits);
        }
        let (ours, theirs) = (median(ours), median(theirs));
        // The same statements, in batches of as many as there are clients, which is what they can be at most.
        let alone = floor::writes(&kind.place()?, floor::Work::Create, clients, A_WHILE)?;
        figures.note(format!("creates_per_second_at_{clients}"), ours);
        figures.note(format!("statements_alone_per_second_at_{clients}"), alone);
        figures.note(format!("share_of_statements_at_{clients}"), ours / alone);
        figures.note(format!("bare_handler_per_second_at_{clients}"), theirs);
        figures.note(format!("share_of_bare_handler_at_{clients}"), ours / theirs);
        figures.note(format!("processor_us_at_{clients}"), median(spent));
        figures.note(format!("p50_ms_at_{clients}"), ms(percentile(&mut waits, 0.5)));
        figures.note(format!("p99_ms_at_{clients}"), ms(percentile(&mut waits, 0.99)));
    }
    drop((server, place, bare));
    figures.note("share_while_tasks_run_at_64", while_running(&runtime, &kind.place()?)?);
    figures.print();
    Ok(())
}

/// Creates that wait, while a thousand others run: what is left of the rate without them.
fn while_running(runtime: &Runtime, place: &Place) -> Result<f64> {
    let server = Server::start(place.folder(), &place.running())?;
    let away = task("busybox", &["echo", "hello"]).replacen('{', AWAY, 1);
    let away = Arc::new(vec![request("POST", PATH, &away)]);
    let hang = Arc::new(request("POST", PATH, &task("scripted", &["hang"])));
    let rate = |rounds: usize, asks: &Arc<Vec<Vec<u8>>>| -> Result<f64> {
        let rates: Result<Vec<f64>> = (0..rounds)
            .map(|_| Ok(runtime.block_on(load(server.address, 64, A_WHILE, Arc::clone(asks)))?.rate))
            .collect();
        Ok(median(rates?))
    };
    let alone = rate(ROUNDS, &away)?;
    runtime.block_on(each(server.address, 16, RUNNING, &hang))?;
    // Until they are handed over and seen to run.
    std::thread::sleep(A_WHILE);
    Ok(rate(ROUNDS, &away)? / alone)
}

/// What the disk can do: 4 KiB, made durable one after another.
fn flushes(folder: &Path) -> Result<f64> {
    let mut file = std::fs::File::create(folder.join("flushed"))?;
    let (began, mut count) = (Instant::now(), 0_u64);
    while began.elapsed() < A_WHILE / 2 {
        file.seek(SeekFrom::Start(count % 1_000 * 4_096))?;
        file.write_all(&[b'x'; 4_096])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}
