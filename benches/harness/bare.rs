//! A bare axum handler: this program once more, so that it shares the processor as the server does. What it answers
//! says what HTTP alone costs in the same run.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::Path;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};

/// The word that makes a measurement the bare handler.
pub const WORD: &str = "--bare";

/// The handler, in a process of its own.
pub struct Bare {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Bare {
    /// Starts it; the program's `main` calls [`serve`] when its first word is [`WORD`].
    pub fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(WORD).stdout(Stdio::piped()).spawn()?;
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

/// `POST /ga4gh/tes/v1/tasks` reads the JSON and remembers nothing; `GET /bytes/N` answers so many bytes of JSON.
#[tokio::main]
pub async fn serve() -> Result<()> {
    let create = async |body: String| {
        let task: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let id = task["name"].as_str().unwrap_or_default().len();
        ([("content-type", "application/json")], format!("{{\"id\":\"{id}\"}}")).into_response()
    };
    let bytes = async |Path(size): Path<usize>| {
        ([("content-type", "application/json")], format!("\"{}\"", "x".repeat(size.saturating_sub(2)))).into_response()
    };
    let router = Router::new().route("/ga4gh/tes/v1/tasks", post(create)).route("/bytes/{size}", get(bytes));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}
