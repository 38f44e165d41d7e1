//! What a task prints, by our own API: read on from where a connection ended, so that nothing is lost or comes twice.

use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::error::ClientError;
use super::http::Client;
use super::stream::{Event, Events};
use super::wire::State;

/// How long a server that has answered before may be away: it may be restarting.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries to reach it again.
const AGAIN: Duration = Duration::from_millis(250);
/// Connections in a row that end without a word, before the server counts as none of ours.
const WORDLESS: u32 = 3;

/// Which of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The attempt; all of them otherwise.
    pub attempt: Option<u32>,
    /// The executor's index; all of them otherwise.
    pub executor: Option<u32>,
    /// `stdout` or `stderr`; both otherwise.
    pub stream: Option<String>,
    /// Go on until the task has ended.
    pub follow: bool,
}

/// What comes.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A piece of standard output.
    Out(Vec<u8>),
    /// A piece of standard error.
    Err(Vec<u8>),
    /// Nothing follows. The task stands here.
    End(State),
    /// This server does not tell.
    NotTold,
}

/// What a task prints, as it comes.
pub struct Printed {
    client: Client,
    what: String,
    url: Url,
    events: Option<Events>,
    last: Option<String>,
    /// It has answered.
    heard: bool,
    /// Since when it does not answer any more.
    lost: Option<Instant>,
    /// It has said something of this kind.
    known: bool,
    wordless: u32,
}

#[derive(Deserialize)]
struct Piece {
    stream: String,
    text: Option<String>,
    base64: Option<String>,
}

#[derive(Deserialize)]
struct End {
    state: State,
}

impl Client {
    /// What a task prints.
    pub fn printed(&self, id: &str, wanted: &Wanted) -> Printed {
        let mut url = self.address().own(&["tasks", id, "logs"]);
        let Wanted { attempt, executor, stream, follow } = wanted;
        let numbers = [("attempt", attempt), ("executor", executor)];
        for (name, number) in numbers.into_iter().filter_map(|(name, number)| Some((name, number.as_ref()?))) {
            url.query_pairs_mut().append_pair(name, &number.to_string());
        }
        if let Some(stream) = stream {
            url.query_pairs_mut().append_pair("stream", stream);
        }
        url.query_pairs_mut().append_pair("follow", if *follow { "true" } else { "false" });
        Printed {
            client: self.clone(),
            what: format!("show the logs of task {id}"),
            url,
            events: None,
            last: None,
            heard: false,
            lost: None,
            known: false,
            wordless: 0,
        }
    }
}

impl Printed {
    /// What comes next. Dropped before it has answered, it loses nothing.
    pub async fn next(&mut self) -> Result<Said, ClientError> {
        loop {
            if self.events.is_none() {
                match self.client.events(&self.what, self.url.clone(), self.last.as_deref()).await {
                    Ok(events) => {
                        (self.heard, self.lost) = (true, None);
                        self.events = Some(events);
                    }
                    // Unknown to TES too, or only to this API: whoever asks goes to TES now, and finds out.
                    Err(ClientError::Refused { status: 404 | 405 | 406 | 501, .. }) if !self.known => {
                        return Ok(Said::NotTold);
                    }
                    Err(error) => {
                        self.wait_after(error).await?;
                        continue;
                    }
                }
            }
            let Some(events) = &mut self.events else { continue };
            let next = events.next().await;
            match next {
                Ok(Some(event)) => {
                    if let Some(said) = self.said(event)? {
                        return Ok(said);
                    }
                }
                Ok(None) => {
                    self.events = None;
                    self.wordless += 1;
                    if !self.known && self.wordless >= WORDLESS {
                        return Ok(Said::NotTold);
                    }
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    self.events = None;
                    self.wait_after(error).await?;
                }
            }
        }
    }

    fn said(&mut self, event: Event) -> Result<Option<Said>, ClientError> {
        let said = match event.name.as_str() {
            "log" => {
                let piece: Piece = self.read(&event.data)?;
                let bytes = match (piece.text, piece.base64) {
                    (Some(text), _) => text.into_bytes(),
                    (None, Some(base64)) => base64::prelude::BASE64_STANDARD
                        .decode(base64)
                        .map_err(|error| self.strange(error.to_string()))?,
                    (None, None) => Vec::new(),
                };
                Some(if piece.stream == "stderr" { Said::Err(bytes) } else { Said::Out(bytes) })
            }
            "end" => Some(Said::End(self.read::<End>(&event.data)?.state)),
            // A word of a later server.
            _ => None,
        };
        self.known = true;
        self.last = event.id.or_else(|| self.last.take());
        Ok(said)
    }

    fn read<'a, T: Deserialize<'a>>(&self, data: &'a str) -> Result<T, ClientError> {
        serde_json::from_str(data).map_err(|error| self.strange(error.to_string()))
    }

    fn strange(&self, reason: String) -> ClientError {
        ClientError::NotTes { server: self.client.address().to_string(), what: self.what.clone(), reason }
    }

    /// Waits for a server that has answered before, for a while; any other error is one.
    async fn wait_after(&mut self, error: ClientError) -> Result<(), ClientError> {
        let since = *self.lost.get_or_insert_with(Instant::now);
        if !error.is_passing() || !self.heard || since.elapsed() >= PATIENCE {
            return Err(error);
        }
        tokio::time::sleep(AGAIN).await;
        Ok(())
    }
}
