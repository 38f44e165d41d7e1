//! A small HTTP server in the place of S3, for what real ones do not do on demand.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::bucket::Bucket;
use super::requests::Requests;
use crate::storage::guard::Guard;
use crate::storage::secret::Secret;
use crate::storage::settings::Rule;
use crate::storage::trouble::Patience;

/// A request that came in.
#[derive(Debug, Clone)]
pub(super) struct Came {
    pub(super) method: String,
    /// Path and query, as they were sent.
    pub(super) target: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Came {
    /// `METHOD target`.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    /// The region it was signed for.
    pub(super) fn region(&self) -> Option<&str> {
        self.headers.get("authorization")?.split('/').nth(2)
    }
}

/// What is answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn new(status: u16, headers: &[(&'static str, &str)], body: &str) -> Option<Self> {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Some(Self { status, headers, body: body.to_owned() })
    }

    pub(super) fn error(status: u16, code: &str) -> Option<Self> {
        Self::new(status, &[], &format!("<Error><Code>{code}</Code><Message>As told</Message></Error>"))
    }
}

/// The server; it ends with the test.
pub(super) struct StandIn {
    pub(super) endpoint: String,
    pub(super) came: Arc<Mutex<Vec<Came>>>,
}

impl StandIn {
    /// `answer` is given each request and how many came before; `None` hangs up without a word.
    pub(super) async fn start(answer: impl Fn(&Came, usize) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let came = Arc::<Mutex<Vec<Came>>>::default();
        let (seen, answer) = (Arc::clone(&came), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Some(request) = request(&mut stream).await {
                        let before = {
                            let mut seen = seen.lock().unwrap();
                            seen.push(request.clone());
                            seen.len() - 1
                        };
                        let Some(answer) = answer(&request, before) else { return };
                        say(&mut stream, &request, &answer).await;
                    }
                });
            }
        });
        Self { endpoint, came }
    }

    /// Its bucket `b`, for somebody with keys. What is larger than 1,000 bytes goes in parts.
    pub(super) fn bucket(&self) -> Bucket {
        self.bucket_for(Rule {
            access_key_id: Some("AKID".to_owned()),
            secret_access_key: Some(Secret::new("SECRET")),
            ..Rule::default()
        })
    }

    pub(super) fn bucket_for(&self, rule: Rule) -> Bucket {
        let rule = Rule { endpoint: Some(self.endpoint.clone()), proxy: Some(Secret::default()), ..rule };
        let stalled_after = Duration::from_secs(5);
        let requests = Requests::new("b", &rule, &Guard::default(), stalled_after, |_| None).unwrap();
        let (first, most) = (Duration::from_millis(1), Duration::from_millis(5));
        let mut bucket = Bucket::with("b", requests, Patience { tries: 4, first, most });
        bucket.part = 1000;
        bucket
    }

    /// What came so far, as lines.
    pub(super) fn lines(&self) -> Vec<String> {
        self.came.lock().unwrap().iter().map(Came::line).collect()
    }
}

async fn request(stream: &mut BufReader<TcpStream>) -> Option<Came> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut first = lines.first()?.split(' ').map(str::to_owned);
    let (method, target) = (first.next()?, first.next()?);
    let header = |line: &String| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: BTreeMap<_, _> = lines[1..].iter().filter_map(header).collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Came { method, target, headers, body })
}

async fn say(stream: &mut BufReader<TcpStream>, request: &Came, answer: &Answer) {
    let mut head = format!("HTTP/1.1 {} As-told\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !answer.headers.iter().any(|(name, _)| *name == "content-length") {
        head += &format!("content-length: {}\r\n", answer.body.len());
    }
    head += "\r\n";
    if request.method != "HEAD" {
        head += &answer.body;
    }
    // Whoever asked may be gone.
    let _gone = stream.write_all(head.as_bytes()).await;
}
