//! A page of 256 tasks over HTTP in each view, next to a bare handler that answers as many bytes.
//!
//! `cargo bench --bench pages [-- --store postgres]`; 100,000 tasks lie in the store, and one client goes from page to page.

mod harness;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use harness::bare::{self, Bare};
use harness::connection::{Connection, request};
use harness::figures::{Figures, median, ms, percentile};
use harness::floor;
use harness::load::load;
use harness::place::Kind;
use harness::rows::Filling;
use harness::server::Server;

const TASKS: u64 = 100_000;
const PAGES: usize = 300;
const A_WHILE: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let (kind, words) = Kind::of_words()?;
    if words.first().is_some_and(|word| word == bare::WORD) {
        return bare::serve();
    }
    let place = kind.place()?;
    let mut figures = Figures::default();
    place.fill(TASKS, Filling::Usual)?;
    figures.note("statement_alone_ms_p50", floor::page(&place, PAGES)?);
    let server = Server::start(place.folder(), &place.settings())?;
    let bare = Bare::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for view in ["MINIMAL", "BASIC", "FULL"] {
        let (mut waits, size) = runtime.block_on(walk(&server, view))?;
        let bytes = Arc::new(vec![request("GET", &format!("/bytes/{size}"), "")]);
        let theirs = runtime.block_on(load(bare.address, 1, A_WHILE, bytes))?;
        let ours = median(waits.iter().copied().map(ms).collect());
        let theirs = median(theirs.waits.into_iter().map(ms).collect());
        let view = view.to_lowercase();
        figures.note(format!("page_bytes_{view}"), size as f64);
        figures.note(format!("page_ms_p50_{view}"), ours);
        figures.note(format!("page_ms_p99_{view}"), ms(percentile(&mut waits, 0.99)));
        figures.note(format!("bare_handler_ms_p50_{view}"), theirs);
    }
    figures.print();
    Ok(())
}

/// From page to page, as a client does that reads everything: how long each took, and how many bytes the last had.
async fn walk(server: &Server, view: &str) -> Result<(Vec<Duration>, usize)> {
    let mut connection = Connection::open(server.address).await?;
    let first = format!("/ga4gh/tes/v1/tasks?view={view}&page_size=256");
    let (mut path, mut waits, mut size) = (first.clone(), Vec::new(), 0);
    for _ in 0..PAGES {
        let ask = request("GET", &path, "");
        let asked = Instant::now();
        let (_, body) = connection.exchange(&ask).await?;
        waits.push(asked.elapsed());
        size = body.len();
        let page: serde_json::Value = serde_json::from_slice(body)?;
        let token = page["next_page_token"].as_str().context("the last page already")?;
        path = format!("{first}&page_token={token}");
    }
    Ok((waits, size))
}
