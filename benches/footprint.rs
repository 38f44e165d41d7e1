//! From starting the program to its first answer, and what it holds of memory while nothing happens.

mod harness;

use std::time::Duration;

use anyhow::Result;
use harness::figures::{Figures, median, ms};
use harness::server::Server;

const STARTS: usize = 15;
/// As long as it takes for what start-up needs to be given back.
const REST: Duration = Duration::from_secs(3);

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut figures = Figures::default();
    // The first start makes the store and lays out the runtime.
    figures.note("first_start_up_ms", ms(Server::start(folder.path(), "")?.start_up));
    let starts: Result<Vec<f64>> = (0..STARTS).map(|_| Ok(ms(Server::start(folder.path(), "")?.start_up))).collect();
    figures.note("start_up_ms_median", median(starts?));
    let server = Server::start(folder.path(), "")?;
    std::thread::sleep(REST);
    figures.note("idle_rss_mb", server.resident_mb()?);
    figures.print();
    Ok(())
}
