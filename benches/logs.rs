//! How far a follower of a log is behind the command that prints, and what a thousand followers of one task cost.
//!
//! The command prints the machine's uptime (to a hundredth of a second), and the follower holds it against its own.

mod harness;

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use harness::connection::{Connection, request, task};
use harness::figures::{Figures, ms, percentile};
use harness::server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

const IMAGE: &str = "tessera-test/busybox:1";
/// A line about every tenth of a second.
const SCRIPT: &str = "while :; do cat /proc/uptime; sleep 0.1; done";
const FOLLOWERS: usize = 1_000;
/// How long each part is measured.
const TIME: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    more_descriptors();
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), "")?;
    let mut connection = Connection::open(server.address).await?;
    let create = request("POST", "/ga4gh/tes/v1/tasks", &task(IMAGE, &["sh", "-c", SCRIPT]));
    let id = connection.json(&create).await?["id"].as_str().unwrap_or_default().to_owned();
    running(&mut connection, &id).await?;

    let mut figures = Figures::default();
    let (stop, _) = watch::channel(false);
    let one = tokio::spawn(follow(server.address, id.clone(), stop.subscribe()));
    tokio::time::sleep(TIME).await;
    stop.send_replace(true);
    let mut behind = one.await??;
    note(&mut figures, "", &mut behind)?;

    let before = server.resident_mb()?;
    let (stop, _) = watch::channel(false);
    let mut all = Vec::new();
    for _ in 0..FOLLOWERS {
        all.push(tokio::spawn(follow(server.address, id.clone(), stop.subscribe())));
    }
    tokio::time::sleep(TIME).await;
    figures.note("followers_1000_mb", server.resident_mb()? - before);
    stop.send_replace(true);
    let mut behind = Vec::new();
    for one in all {
        behind.extend(one.await??);
    }
    note(&mut figures, "_at_1000", &mut behind)?;
    connection.json(&request("POST", &format!("/ga4gh/tes/v1/tasks/{id}:cancel"), "")).await?;
    figures.print();
    Ok(())
}

fn note(figures: &mut Figures, at: &str, behind: &mut [Duration]) -> Result<()> {
    if behind.len() < 20 {
        bail!("only {} lines came", behind.len());
    }
    figures.note(format!("behind_ms_p50{at}"), ms(percentile(behind, 0.5)));
    figures.note(format!("behind_ms_p99{at}"), ms(percentile(behind, 0.99)));
    Ok(())
}

/// Waits until the task runs.
async fn running(connection: &mut Connection, id: &str) -> Result<()> {
    let began = Instant::now();
    let path = format!("/ga4gh/tes/v1/tasks/{id}");
    while connection.json(&request("GET", &path, "")).await?["state"] != "RUNNING" {
        if began.elapsed() > PATIENCE {
            bail!("the task does not run");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Follows a task until told to stop; how far behind each line was that was printed after the beginning.
async fn follow(to: SocketAddr, id: String, mut stop: watch::Receiver<bool>) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
    let head = format!(
        "GET /api/v1/tasks/{id}/logs?follow=true HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let began = uptime()? + 1.0;
    let (mut held, mut behind) = (Vec::with_capacity(4 * 1024), Vec::new());
    loop {
        let read = tokio::select! {
            read = stream.read_buf(&mut held) => read?,
            _ = stop.wait_for(|stop| *stop) => return Ok(behind),
        };
        if read == 0 {
            bail!("the server hung up: {}", String::from_utf8_lossy(&held));
        }
        let now = uptime()?;
        let Some(end) = held.windows(2).rposition(|two| two == b"\n\n") else { continue };
        let events = String::from_utf8_lossy(&held[..end]).into_owned();
        held.drain(..end + 2);
        for data in events.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let data: serde_json::Value = serde_json::from_str(data)?;
            let lines = data["text"].as_str().unwrap_or_default().lines();
            let printed = lines.filter_map(|line| line.split(' ').next()?.parse::<f64>().ok());
            behind.extend(printed.filter(|at| *at > began).map(|at| Duration::from_secs_f64((now - at).max(0.0))));
        }
    }
}

fn uptime() -> Result<f64> {
    let text = fs::read_to_string("/proc/uptime")?;
    Ok(text.split(' ').next().context("no uptime")?.parse()?)
}

/// A thousand connections need more than is usual.
fn more_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    // What could not be had is missed at the first connection that fails.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
}
