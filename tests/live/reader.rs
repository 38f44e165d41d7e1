//! Reads a stream of bytes or of events as it comes.

use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use http_body_util::BodyExt as _;
use serde_json::Value;

/// How long something may take that should come.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Reader {
    body: Body,
    held: Vec<u8>,
    /// Everything printed that has come, by (attempt, executor, stream).
    pub said: Vec<((u64, u64, String), Vec<u8>)>,
    /// The id of the last event.
    pub last: Option<String>,
}

/// One event.
#[derive(Debug)]
pub struct Event {
    pub name: String,
    pub data: Value,
}

impl Reader {
    pub fn new(body: Body) -> Self {
        Self { body, held: Vec::new(), said: Vec::new(), last: None }
    }

    /// The next bytes; `None` at a good end, an error where it broke off.
    pub async fn frame(&mut self) -> Option<Result<Vec<u8>, axum::Error>> {
        let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("something comes")?;
        Some(frame.map(|frame| frame.into_data().map(|bytes| bytes.to_vec()).unwrap_or_default()))
    }

    /// Bytes until there are so many.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.held.len() < count {
            let more = self.frame().await.expect("it goes on").unwrap();
            self.held.extend(more);
        }
        self.held.drain(..count).collect()
    }

    /// Bytes until the end.
    pub async fn rest(&mut self) -> Vec<u8> {
        while let Some(more) = self.frame().await {
            self.held.extend(more.unwrap());
        }
        std::mem::take(&mut self.held)
    }

    /// The next event; `None` when the stream breaks off. What it says is added up, and must follow what was said.
    pub async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.held.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.held.drain(..end + 2).collect();
                let block = String::from_utf8(block).unwrap();
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let (Some(name), Some(data)) = (field("event: "), field("data: ")) else { continue };
                self.last = field("id: ");
                let event = Event { name, data: serde_json::from_str(&data).unwrap() };
                if event.name == "log" {
                    self.add(&event.data);
                }
                return Some(event);
            }
            let more = self.frame().await?.ok()?;
            self.held.extend(more);
        }
    }

    /// Events until the last; answers the state that it tells.
    pub async fn end(&mut self) -> String {
        loop {
            let event = self.event().await.expect("the stream ends with an event");
            if event.name == "end" {
                return event.data["state"].as_str().unwrap().to_owned();
            }
        }
    }

    /// Events until so many bytes of a stream have come.
    pub async fn until(&mut self, executor: u64, stream: &str, count: usize) {
        while self.of(executor, stream).len() < count {
            self.event().await.expect("it goes on");
        }
    }

    /// What an executor printed, as far as it has come; of all attempts.
    pub fn of(&self, executor: u64, stream: &str) -> Vec<u8> {
        let those = self.said.iter().filter(|((_, index, name), _)| *index == executor && name == stream);
        those.flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    fn add(&mut self, data: &Value) {
        let key = (
            data["attempt"].as_u64().unwrap(),
            data["executor"].as_u64().unwrap(),
            data["stream"].as_str().unwrap().to_owned(),
        );
        let bytes = match data["text"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => base64::prelude::BASE64_STANDARD.decode(data["base64"].as_str().unwrap()).unwrap(),
        };
        let offset = usize::try_from(data["offset"].as_u64().unwrap()).unwrap();
        if !self.said.iter().any(|(known, _)| *known == key) {
            // Who begins in the middle has not seen what is before.
            self.said.push((key.clone(), vec![b'?'; offset]));
        }
        let said = &mut self.said.iter_mut().find(|(known, _)| *known == key).unwrap().1;
        assert_eq!(said.len(), offset, "of {key:?} something came twice or not at all");
        said.extend(bytes);
    }

    /// Hangs up.
    pub fn hang_up(self) -> Self {
        Self { said: self.said, last: self.last, ..Self::new(Body::empty()) }
    }

    /// Goes on reading on another connection.
    pub fn on(self, next: Self) -> Self {
        Self { said: self.said, last: self.last, ..next }
    }
}
