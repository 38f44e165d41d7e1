//! The server's side: tasks, and when they ended.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bare::AT_ONCE;
use crate::ends::Ends;
use crate::harness::connection::{Connection, request, task};
use crate::harness::server::Server;
use crate::{COMMAND, IMAGE, PATIENCE};

/// So long without work, and a server has taken in what it found at its start.
const QUIET: Duration = Duration::from_secs(3);
/// Work, to a server that does nothing else: its own rounds take less.
const HARDLY_MS: f64 = 60.0;

/// A server whose events are followed.
pub(crate) struct Tasks {
    address: SocketAddr,
    ends: Ends,
}

#[derive(Deserialize)]
struct StateEvent {
    task: String,
    state: String,
}

impl Tasks {
    /// Follows them from now on.
    pub(crate) async fn follow(server: &Server) -> Result<Self> {
        let ends = Ends::default();
        let mut stream = TcpStream::connect(server.address).await?;
        stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        let mut read = Vec::new();
        // What happens after the head is told.
        while !read.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            if stream.read_buf(&mut read).await? == 0 {
                bail!("refused: {}", String::from_utf8_lossy(&read));
            }
        }
        tokio::spawn(listen(stream, read, ends.clone()));
        Ok(Self { address: server.address, ends })
    }

    /// Makes so many; their ids.
    pub(crate) async fn create(&self, many: usize) -> Result<Vec<String>> {
        let create = request("POST", "/ga4gh/tes/v1/tasks", &task(IMAGE, &COMMAND));
        let caller = async |own: usize| -> Result<Vec<String>> {
            let mut connection = Connection::open(self.address).await?;
            let mut made = Vec::new();
            for _ in 0..own {
                let answer = connection.json(&create).await?;
                made.push(answer["id"].as_str().context("no id")?.to_owned());
            }
            Ok(made)
        };
        let shares = (0..AT_ONCE).map(|one| many / AT_ONCE + usize::from(one < many % AT_ONCE));
        Ok(futures::future::try_join_all(shares.map(caller)).await?.concat())
    }

    /// When each of these was told to be COMPLETE. An error when one ended otherwise.
    pub(crate) async fn ended(&self, tasks: &[String]) -> Result<Vec<Instant>> {
        let ended = self.ends.of(tasks).await;
        if ended.is_err() {
            // One of them says why.
            let mut connection = Connection::open(self.address).await?;
            for state in ["SYSTEM_ERROR", "EXECUTOR_ERROR"] {
                let path = format!("/ga4gh/tes/v1/tasks?view=FULL&page_size=1&state={state}");
                println!("{state}: {}", connection.json(&request("GET", &path, "")).await?);
            }
        }
        ended
    }

    /// Until the server has nothing more to do.
    pub(crate) async fn settled(&self, server: &Server) -> Result<()> {
        let began = Instant::now();
        let mut before = server.processor_ms()?;
        loop {
            tokio::time::sleep(QUIET).await;
            let now = server.processor_ms()?;
            if now - before < HARDLY_MS {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!("the server does not come to rest");
            }
            before = now;
        }
    }
}

/// Notes every end. An event comes in one piece, whatever chunks are put around it.
async fn listen(mut stream: TcpStream, mut read: Vec<u8>, ends: Ends) {
    loop {
        while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = read.drain(..=end).collect();
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            let Ok(event) = serde_json::from_slice::<StateEvent>(data) else { continue };
            match event.state.as_str() {
                "COMPLETE" => ends.note(&event.task, true),
                "SYSTEM_ERROR" | "EXECUTOR_ERROR" | "CANCELED" | "PREEMPTED" => ends.note(&event.task, false),
                _ => {}
            }
        }
        if !stream.read_buf(&mut read).await.is_ok_and(|bytes| bytes > 0) {
            return;
        }
    }
}
