//! From `:cancel` to SIGTERM in the command, and to CANCELED, on Docker.
//!
//! The command notes SIGTERM in a file of the task's tree. We hold that file open from before, so that it does not
//! matter when the tree is taken away; its time of change is the time of the signal (to a clock tick, 4 ms).

mod harness;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use harness::connection::{Connection, request, task};
use harness::figures::{Figures, median, ms};
use harness::server::Server;

const IMAGE: &str = "tessera-test/busybox:1";
/// `wait` is left at once when a signal comes; a foreground `sleep` would be waited for.
const SCRIPT: &str = "trap 'echo got >/tmp/told; exit 0' TERM; : >/tmp/told; sleep 600 & wait";
const TIMES: usize = 15;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), "")?;
    let work = folder.path().join("data/work");
    let mut connection = Connection::open(server.address).await?;
    let (mut to_signal, mut to_canceled) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let create = request("POST", "/ga4gh/tes/v1/tasks", &task(IMAGE, &["sh", "-c", SCRIPT]));
        let created = connection.json(&create).await?;
        let path = format!("/ga4gh/tes/v1/tasks/{}", created["id"].as_str().unwrap_or_default());
        let told = started(&work).await?;

        let asked = SystemTime::now();
        let began = Instant::now();
        connection.json(&request("POST", &format!("{path}:cancel"), "")).await?;
        loop {
            match connection.json(&request("GET", &path, "")).await?["state"].as_str() {
                Some("CANCELED") => break,
                Some("RUNNING" | "CANCELING" | "INITIALIZING") if began.elapsed() < PATIENCE => {}
                other => bail!("{other:?} after a cancel"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        to_canceled.push(ms(began.elapsed()));
        let about = told.metadata()?;
        if about.len() == 0 {
            bail!("CANCELED, and the command never saw SIGTERM");
        }
        to_signal.push(ms(about.modified()?.duration_since(asked).unwrap_or_default()));
    }
    let mut figures = Figures::default();
    figures.note("to_sigterm_ms_max", to_signal.iter().copied().fold(0.0, f64::max));
    figures.note("to_sigterm_ms_median", median(to_signal));
    figures.note("to_canceled_ms_median", median(to_canceled));
    figures.print();
    Ok(())
}

/// Waits for the command to run; the file that it will write to.
async fn started(work: &Path) -> Result<File> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(path) = find(work, 0) {
            return File::open(&path).with_context(|| path.display().to_string());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bail!("the command did not start")
}

/// The empty file `told`, wherever the tree keeps the task's /tmp. One of an earlier task that is not released yet
/// is not empty.
fn find(folder: &Path, depth: u32) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let (path, about) = (entry.path(), entry.metadata().ok()?);
        if about.is_file() && about.len() == 0 && entry.file_name() == "told" {
            return Some(path);
        }
        if about.is_dir()
            && depth < 6
            && let Some(found) = find(&path, depth + 1)
        {
            return Some(found);
        }
    }
    None
}
