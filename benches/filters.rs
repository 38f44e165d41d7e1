//! Listings by every filter and by combinations of them, over HTTP, at growing numbers of tasks.
//!
//! `cargo bench --bench filters [-- [--store postgres] [TASKS]]`; stores of 1,000, 10,000, 100,000 and 1,000,000 tasks, or of up to TASKS.
//! A page has 256 tasks, MINIMAL, and one client asks. What matches much fills a page at once, what matches little
//! finds 16 tasks however many there are, what matches nothing finds none, what matches some finds each 50th or
//! tenth.
//!
//! A filter is flat when its median is the same at every size; a page that is not full at the smallest size is
//! held against the smallest at which it is.

mod harness;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::bare::{self, Bare};
use harness::connection::{Connection, request};
use harness::figures::{Figures, median, ms, percentile};
use harness::floor;
use harness::load::load;
use harness::place::Kind;
use harness::rows::Filling;
use harness::server::Server;

const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
const PAGE: usize = 256;
const ROUNDS: usize = 3;

/// A filter: what it is, how much it matches, and how it is asked for.
type Term = (&'static str, &'static str, &'static str);

const TERMS: &[Term] = &[
    ("none", "much", ""),
    ("state", "much", "state=COMPLETE"),
    ("state", "some", "state=EXECUTOR_ERROR"),
    ("state", "little", "state=CANCELED"),
    ("state", "nothing", "state=PAUSED"),
    ("name", "much", "name_prefix=run-"),
    ("name", "some", "name_prefix=mid-"),
    ("name", "oldest_tenth", "name_prefix=old-"),
    ("name", "little", "name_prefix=odd-"),
    ("name", "nothing", "name_prefix=none"),
    ("tag", "much", "tag_key=project&tag_value="),
    ("tag", "little", "tag_key=rare&tag_value="),
    ("tag", "nothing", "tag_key=none&tag_value="),
    ("value", "much", "tag_key=project&tag_value=atlas"),
    ("value", "some", "tag_key=batch&tag_value=9"),
    ("value", "little", "tag_key=rare&tag_value=yes"),
    ("value", "nothing", "tag_key=project&tag_value=none"),
];

/// Whether a term sets the pace of a combination.
fn selective(term: &Term) -> bool {
    matches!(term.1, "little" | "nothing")
}

struct Asked {
    p50: f64,
    p99: f64,
    found: usize,
}

fn main() -> Result<()> {
    let (kind, words) = Kind::of_words()?;
    if words.first().is_some_and(|word| word == bare::WORD) {
        return bare::serve();
    }
    let most = words.first().map_or(Ok(SIZES[3]), |word| word.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut figures = Figures::default();
    let bare = Bare::start()?;
    let mut medians: BTreeMap<String, Vec<(f64, usize)>> = BTreeMap::new();
    for tasks in SIZES.into_iter().filter(|tasks| *tasks <= most) {
        let place = kind.place()?;
        let began = Instant::now();
        place.fill(tasks, Filling::Small)?;
        figures.note(format!("filled_with_{tasks}_s"), began.elapsed().as_secs_f64());
        figures.note(format!("statement_alone_{tasks}_ms_p50"), floor::page(&place, 400)?);
        let server = Server::start(place.folder(), &place.settings())?;
        runtime.block_on(async {
            let mut connection = Connection::open(server.address).await?;
            let mut slowest: f64 = 0.0;
            for (what, how_much, ask) in TERMS {
                let seen = pages(&mut connection, ask, 400).await?;
                let name = format!("{what}_{how_much}");
                figures.note(format!("{name}_{tasks}_ms_p50"), seen.p50);
                figures.note(format!("{name}_{tasks}_ms_p99"), seen.p99);
                slowest = slowest.max(seen.p99);
                medians.entry(name).or_default().push((seen.p50, seen.found));
            }
            figures.note(format!("slowest_filter_{tasks}_ms_p99"), slowest);
            combinations(&mut connection, tasks, &mut figures).await
        })?;
    }
    // As many bytes as a full page.
    let bytes = std::sync::Arc::new(vec![request("GET", "/bytes/14000", "")]);
    let seen = runtime.block_on(load(bare.address, 1, Duration::from_secs(1), bytes))?;
    figures.note("bare_handler_ms_p50", median(seen.waits.into_iter().map(ms).collect()));
    let mut worst: f64 = 0.0;
    for (name, medians) in medians {
        let full = medians.last().map_or(0, |last| last.1);
        let alike: Vec<f64> = medians.iter().filter(|(_, found)| *found == full).map(|(p50, _)| *p50).collect();
        let flat = alike.iter().copied().fold(0.0, f64::max) / alike.first().copied().unwrap_or(f64::NAN);
        figures.note(format!("flat_{name}"), flat);
        worst = worst.max(flat);
    }
    figures.note("least_flat_filter", worst);
    figures.print();
    Ok(())
}

/// Every two terms of different filters, and every three of those that are not selective.
async fn combinations(connection: &mut Connection, tasks: u64, figures: &mut Figures) -> Result<()> {
    let (mut one_selective, mut worst) = ((0.0, String::new()), (0.0, String::new()));
    let several: Vec<Vec<&Term>> = chosen(2).into_iter().chain(chosen(3)).collect();
    for terms in several {
        let ask = terms.iter().map(|term| term.2).collect::<Vec<_>>().join("&");
        let seen = pages(connection, &ask, 20).await?;
        if terms.iter().any(|term| selective(term)) {
            if seen.p99 > one_selective.0 {
                // Once more, so that one hiccup is not called the worst.
                let again = pages(connection, &ask, 200).await?;
                if again.p99 > one_selective.0 {
                    one_selective = (again.p99, ask);
                }
            }
        } else if seen.p50 > worst.0 {
            worst = (seen.p50, ask);
        }
    }
    println!("the worst combination with one selective term: {}", one_selective.1);
    figures.note(format!("one_selective_{tasks}_ms_p99"), one_selective.0);
    println!("the worst combination of all: {}", worst.1);
    figures.note(format!("worst_combination_{tasks}_ms_p50"), worst.0);
    Ok(())
}

fn chosen(many: usize) -> Vec<Vec<&'static Term>> {
    let mut all: Vec<Vec<&'static Term>> = vec![Vec::new()];
    for _ in 0..many {
        let longer = |terms: &Vec<&'static Term>| -> Vec<Vec<&'static Term>> {
            let after = terms.last().map_or(0, |last| 1 + TERMS.iter().position(|term| term == *last).unwrap_or(0));
            let others = TERMS[after..].iter().filter(|term| term.0 != "none");
            let fits = others.filter(|term| terms.iter().all(|one| one.0 != term.0));
            fits.map(|term| terms.iter().copied().chain([term]).collect()).collect()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all.retain(|terms| many == 2 || !terms.iter().any(|term| selective(term)));
    all
}

/// The first page of a listing, many times.
async fn pages(connection: &mut Connection, ask: &str, times: usize) -> Result<Asked> {
    let ask = request("GET", &format!("/ga4gh/tes/v1/tasks?view=MINIMAL&page_size={PAGE}&{ask}"), "");
    let found = connection.json(&ask).await?["tasks"].as_array().map_or(0, Vec::len);
    let mut best = Asked { p50: f64::INFINITY, p99: f64::INFINITY, found };
    // The machine is not always ours alone: the best of some rounds is what a listing costs.
    for _ in 0..ROUNDS {
        let mut waits: Vec<Duration> = Vec::new();
        let began = Instant::now();
        while waits.len() < times && (began.elapsed() < Duration::from_secs(1) || waits.len() < 3) {
            let asked = Instant::now();
            connection.exchange(&ask).await?;
            waits.push(asked.elapsed());
        }
        best.p50 = best.p50.min(median(waits.iter().copied().map(ms).collect()));
        best.p99 = best.p99.min(ms(percentile(&mut waits, 0.99)));
    }
    Ok(best)
}
