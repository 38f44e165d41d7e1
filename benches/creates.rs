//! Durable creates over HTTP, next to a bare handler and to the disk, in the same run.
//!
//! `cargo bench --bench creates [-- FOLDER]`; the folder names the disk that is measured.
//! The bare handler is this program once more, so that it shares the processor as the server does.

mod harness;

use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use harness::connection::{Connection, request, task};
use harness::figures::{Figures, median, ms, percentile};
use harness::server::Server;

const CLIENTS: [usize; 3] = [1, 16, 64];
const ROUNDS: usize = 3;
const A_WHILE: Duration = Duration::from_secs(2);
/// Nothing answers there: tasks are stored and wait, and no engine competes for the disk.
const SETTINGS: &str = "[backends.docker]\nkind = \"docker\"\nhost = \"unix:///nonexistent/docker.sock\"\n";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == "--bare") {
        return serve_barely();
    }
    let folder = match words.first() {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let mut figures = Figures::default();
    figures.note("fdatasync_per_second", flushes(folder.path())?);

    let server = Server::start(folder.path(), SETTINGS)?;
    let bare = Bare::start()?;
    // One thread asks: two processors are all there is, and one of them is the server's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for clients in CLIENTS {
        let (mut ours, mut theirs, mut waits) = (Vec::new(), Vec::new(), Vec::new());
        runtime.block_on(load(server.address, clients, A_WHILE / 4))?;
        for _ in 0..ROUNDS {
            theirs.push(runtime.block_on(load(bare.address, clients, A_WHILE / 2))?.0);
            let (rate, round) = runtime.block_on(load(server.address, clients, A_WHILE))?;
            ours.push(rate);
            waits.extend(round);
        }
        let (ours, theirs) = (median(ours), median(theirs));
        figures.note(format!("creates_per_second_at_{clients}"), ours);
        figures.note(format!("share_of_bare_handler_at_{clients}"), ours / theirs);
        figures.note(format!("p50_ms_at_{clients}"), ms(percentile(&mut waits, 0.5)));
        figures.note(format!("p99_ms_at_{clients}"), ms(percentile(&mut waits, 0.99)));
    }
    figures.print();
    Ok(())
}

/// So many clients, each asking again as soon as it is answered: the rate, and how long each waited.
async fn load(to: SocketAddr, clients: usize, lasting: Duration) -> Result<(f64, Vec<Duration>)> {
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..clients {
        running.spawn(async move {
            let create = request("POST", "/ga4gh/tes/v1/tasks", &task("busybox", &["echo", "hello"]));
            let mut connection = Connection::open(to).await?;
            let mut waits = Vec::new();
            while began.elapsed() < lasting {
                let asked = Instant::now();
                let (status, body) = connection.exchange(&create).await?;
                if status != 200 {
                    bail!("a create was answered {status}: {}", String::from_utf8_lossy(body));
                }
                waits.push(asked.elapsed());
            }
            Ok(waits)
        });
    }
    let mut waits = Vec::new();
    while let Some(client) = running.join_next().await {
        waits.extend(client??);
    }
    Ok((waits.len() as f64 / began.elapsed().as_secs_f64(), waits))
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

/// The bare handler, in a process of its own.
struct Bare {
    child: Child,
    address: SocketAddr,
}

impl Bare {
    fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("--bare").stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse().context("the bare handler did not start")? })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The least that could answer a create: reads the JSON, remembers nothing.
#[tokio::main]
async fn serve_barely() -> Result<()> {
    let create = async |body: String| {
        let task: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let id = task["name"].as_str().unwrap_or_default().len();
        ([("content-type", "application/json")], format!("{{\"id\":\"{id}\"}}"))
    };
    let router = axum::Router::new().route("/ga4gh/tes/v1/tasks", axum::routing::post(create));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}
