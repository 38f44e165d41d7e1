//! Clients that ask again as soon as they are answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::connection::Connection;

/// What clients have seen together.
#[derive(Debug, Default)]
pub struct Seen {
    /// Answers a second.
    pub rate: f64,
    /// How long each answer took.
    pub waits: Vec<Duration>,
}

/// So many clients, each with a connection of its own, go through the requests, each beginning at another one.
pub async fn load(to: SocketAddr, clients: usize, lasting: Duration, requests: Arc<Vec<Vec<u8>>>) -> Result<Seen> {
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for client in 0..clients {
        let requests = Arc::clone(&requests);
        running.spawn(async move {
            let mut connection = Connection::open(to).await?;
            let mut waits = Vec::new();
            let mut next = client * requests.len() / clients;
            while began.elapsed() < lasting {
                let asked = Instant::now();
                let (status, body) = connection.exchange(&requests[next]).await?;
                if status != 200 {
                    bail!("answered {status}: {}", String::from_utf8_lossy(body));
                }
                waits.push(asked.elapsed());
                next = (next + 1) % requests.len();
            }
            Ok(waits)
        });
    }
    let mut waits = Vec::new();
    while let Some(client) = running.join_next().await {
        waits.extend(client??);
    }
    Ok(Seen { rate: waits.len() as f64 / began.elapsed().as_secs_f64(), waits })
}

/// The same request so many times, by so many clients together.
pub async fn each(to: SocketAddr, clients: usize, times: usize, ask: &Arc<Vec<u8>>) -> Result<()> {
    let mut running = tokio::task::JoinSet::new();
    for client in 0..clients {
        let ask = Arc::clone(ask);
        running.spawn(async move {
            let mut connection = Connection::open(to).await?;
            for _ in (client..times).step_by(clients) {
                let (status, body) = connection.exchange(&ask).await?;
                if status != 200 {
                    bail!("answered {status}: {}", String::from_utf8_lossy(body));
                }
            }
            Ok(())
        });
    }
    while let Some(client) = running.join_next().await {
        client??;
    }
    Ok(())
}
