//! An HTTP server of a test's own: it answers as the test says, and remembers what it was asked.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::guard::Guard;

/// What it was asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Path and query, as they were sent.
    pub(super) target: String,
    /// Names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    /// As much as was read.
    pub(super) body: Vec<u8>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// What it does.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// Status, headers, body.
    With(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// It ends the connection without a word.
    Cut,
    /// It says nothing.
    Never,
}

impl Answer {
    pub(super) fn status(status: u16) -> Self {
        Self::With(status, Vec::new(), Vec::new())
    }

    pub(super) fn body(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::With(status, Vec::new(), body.into())
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::With(_, headers, _) = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

/// The server; it ends with its runtime.
pub(super) struct StandIn {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    pub(super) async fn new(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::reading(|_| usize::MAX, answer).await
    }

    /// The same, but it reads no more of a body than it is told, and then answers.
    pub(super) async fn reading(
        most: impl Fn(&Asked) -> usize + Send + Sync + 'static,
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (most, answer, memory) = (Arc::new(most), Arc::new(answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (most, answer, memory) = (Arc::clone(&most), Arc::clone(&answer), Arc::clone(&memory));
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let Some(mut asked) = head(&mut stream).await else { return };
                    let length = asked.header("content-length").parse().unwrap_or(0).min(most(&asked));
                    asked.body = vec![0; length];
                    if stream.read_exact(&mut asked.body).await.is_err() {
                        return;
                    }
                    memory.lock().unwrap().push(asked.clone());
                    say(&mut stream, answer(&asked), asked.method == "HEAD").await;
                });
            }
        });
        Self { address, asked }
    }

    pub(super) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// A guard that lets it be asked.
    pub(super) fn guard(&self) -> Guard {
        Guard::with_exceptions([(self.address.ip().to_string(), self.address.port())])
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The requests as `METHOD target`.
    pub(super) fn lines(&self) -> Vec<String> {
        self.asked().iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect()
    }
}

async fn head(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Some(Asked { method, target, headers, body: Vec::new() })
}

async fn say(stream: &mut BufReader<TcpStream>, answer: Answer, without_body: bool) {
    let (status, headers, body) = match answer {
        Answer::With(status, headers, body) => (status, headers, body),
        Answer::Cut => return,
        Answer::Never => std::future::pending().await,
    };
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length =
        if headers.contains("content-length") { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n{length}{headers}\r\n");
    let _gone = stream.write_all(head.as_bytes()).await;
    if !without_body {
        let _gone = stream.write_all(&body).await;
    }
    let _gone = stream.shutdown().await;
}
