//! Tasks asked for by their ids, by 16 clients over HTTP, next to a bare handler that answers as many bytes and to
//! the statements alone.
//!
//! `cargo bench --bench gets [-- --store postgres]`; 100,000 tasks lie in the store.

mod harness;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use harness::bare::{self, Bare};
use harness::connection::{Connection, request};
use harness::figures::{Figures, median, ms, percentile};
use harness::floor;
use harness::load::load;
use harness::place::Kind;
use harness::rows::Filling;
use harness::server::Server;

const TASKS: u64 = 100_000;
const CLIENTS: usize = 16;
const ROUNDS: usize = 3;
const A_WHILE: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    let (kind, words) = Kind::of_words()?;
    if words.first().is_some_and(|word| word == bare::WORD) {
        return bare::serve();
    }
    let place = kind.place()?;
    let mut figures = Figures::default();
    let ids = place.fill(TASKS, Filling::Usual)?;
    // Strewn over the store, each view with the same ones.
    let ids: Vec<&String> = ids.iter().step_by(37).collect();
    figures.note("statements_alone_per_second", floor::gets(&place, &ids, A_WHILE / 2)?);
    let server = Server::start(place.folder(), &place.settings())?;
    let bare = Bare::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for view in ["MINIMAL", "BASIC", "FULL"] {
        let path = |id: &String| request("GET", &format!("/ga4gh/tes/v1/tasks/{id}?view={view}"), "");
        let asks: Arc<Vec<Vec<u8>>> = Arc::new(ids.iter().map(|id| path(id)).collect());
        let size = runtime.block_on(async {
            let mut connection = Connection::open(server.address).await?;
            anyhow::Ok(connection.exchange(&asks[0]).await?.1.len())
        })?;
        let bytes = Arc::new(vec![request("GET", &format!("/bytes/{size}"), "")]);
        let (mut ours, mut theirs, mut spent, mut waits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(runtime.block_on(load(bare.address, CLIENTS, A_WHILE / 2, Arc::clone(&bytes)))?.rate);
            let before = server.processor_ms()?;
            let seen = runtime.block_on(load(server.address, CLIENTS, A_WHILE, Arc::clone(&asks)))?;
            spent.push((server.processor_ms()? - before) * 1000.0 / seen.waits.len() as f64);
            ours.push(seen.rate);
            waits.extend(seen.waits);
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let view = view.to_lowercase();
        figures.note(format!("gets_per_second_{view}"), ours);
        figures.note(format!("bare_handler_per_second_{view}"), theirs);
        figures.note(format!("share_of_bare_handler_{view}"), ours / theirs);
        figures.note(format!("processor_us_{view}"), median(spent));
        figures.note(format!("p99_ms_{view}"), ms(percentile(&mut waits, 0.99)));
    }
    figures.print();
    Ok(())
}
