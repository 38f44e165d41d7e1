//! An event at a thousand listeners: how long after the request that made it, and what the listeners cost in memory.

mod harness;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use harness::connection::{Connection, request, task};
use harness::figures::{Figures, ms, percentile};
use harness::server::Server;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const LISTENERS: usize = 1_000;
const EVENTS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(60);
const SETTINGS: &str = "[backends.fake]\nkind = 'scripted'\nin_memory = true\n";

#[tokio::main]
async fn main() -> Result<()> {
    // A descriptor a listener, here and in the server, which inherits this.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), SETTINGS)?;
    let mut connection = Connection::open(server.address).await?;
    let create = request("POST", "/ga4gh/tes/v1/tasks", &task("alpine", &["true"]));
    connection.json(&create).await?;
    let before = server.resident_mb()?;

    let (heard, mut hearing) = mpsc::unbounded_channel();
    for _ in 0..LISTENERS {
        let mut stream = TcpStream::connect(server.address).await?;
        stream.write_all(b"GET /api/v1/events?state=QUEUED HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        // What happens after the first frame is told.
        let mut read = Vec::new();
        while !read.windows(7).any(|bytes| bytes == b"retry: ") {
            if stream.read_buf(&mut read).await? == 0 {
                bail!("refused: {}", String::from_utf8_lossy(&read));
            }
        }
        tokio::spawn(listen(stream, heard.clone()));
    }
    drop(heard);

    let mut took = Vec::with_capacity(LISTENERS * EVENTS);
    for _ in 0..EVENTS {
        let began = Instant::now();
        connection.json(&create).await?;
        for _ in 0..LISTENERS {
            let at = tokio::time::timeout(PATIENCE, hearing.recv()).await.context("an event got lost")?;
            took.push(at.context("the listeners are gone")?.duration_since(began));
        }
    }
    let mut figures = Figures::default();
    figures.note("event_ms_p50", ms(percentile(&mut took, 0.50)));
    figures.note("event_ms_p99", ms(percentile(&mut took, 0.99)));
    figures.note("event_ms_max", ms(percentile(&mut took, 1.0)));
    figures.note("listeners_mb", server.resident_mb()? - before);
    figures.print();
    Ok(())
}

/// Notes when each event arrives.
async fn listen(mut stream: TcpStream, heard: mpsc::UnboundedSender<Instant>) {
    const NAME: &[u8] = b"event: state";
    let mut read = Vec::with_capacity(1024);
    while stream.read_buf(&mut read).await.is_ok_and(|bytes| bytes > 0) {
        let now = Instant::now();
        while let Some(at) = read.windows(NAME.len()).position(|bytes| bytes == NAME) {
            read.drain(..at + NAME.len());
            if heard.send(now).is_err() {
                return;
            }
        }
        // The end may be the beginning of a name.
        let rest = read.len().saturating_sub(NAME.len());
        read.drain(..rest);
    }
}
