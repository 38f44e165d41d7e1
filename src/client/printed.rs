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
/// The same at most, when it breaks off each time before anything has come.
const MOST_AGAIN: Duration = Duration::from_secs(15);
/// A connection that was there for so long was worth it, also if nothing was printed meanwhile.
const WORTH_IT: Duration = Duration::from_secs(10);
/// Connections in a row that broke off before anything came, when that is said.
const SAID_AFTER: u32 = 4;
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
    /// Of an attempt not all, or nothing, follows.
    Lost {
        /// The attempt; the first is 1.
        attempt: u32,
        /// Why.
        reason: String,
    },
    /// Nothing follows. The task stands here.
    End(State),
    /// The server breaks off before anything comes, and not for the first time. It is asked again.
    BreaksOff,
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
    /// It tells things of this kind.
    known: bool,
    wordless: u32,
    /// When this connection was made, and whether something has come on it.
    since: Option<Instant>,
    got_on: bool,
    /// Connections in a row on which nothing came.
    fruitless: u32,
    /// Not asked again before.
    not_before: Option<Instant>,
}

#[derive(Deserialize)]
struct Piece {
    stream: String,
    text: Option<String>,
    base64: Option<String>,
}

#[derive(Deserialize)]
struct Lost {
    attempt: u32,
    reason: String,
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
            since: None,
            got_on: false,
            fruitless: 0,
            not_before: None,
        }
    }
}

impl Printed {
    /// Of a server that has just answered something else: it is waited for from the start.
    pub fn of_one_that_answers(mut self) -> Self {
        self.heard = true;
        self
    }

    /// What comes next. Dropped before it has answered, it loses nothing.
    pub async fn next(&mut self) -> Result<Said, ClientError> {
        loop {
            if self.events.is_none() {
                if let Some(at) = self.not_before {
                    tokio::time::sleep_until(at).await;
                    self.not_before = None;
                }
                match self.client.events(&self.what, self.url.clone(), self.last.as_deref()).await {
                    Ok(events) => {
                        (self.heard, self.lost) = (true, None);
                        self.known |= events.is_told();
                        (self.since, self.got_on) = (Some(Instant::now()), false);
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
            match events.next().await {
                Ok(Some(event)) => {
                    if let Some(said) = self.said(event)? {
                        return Ok(said);
                    }
                }
                Ok(None) | Err(_) => {
                    self.wordless += 1;
                    if !self.known && self.wordless >= WORDLESS {
                        return Ok(Said::NotTold);
                    }
                    if self.broke_off() {
                        return Ok(Said::BreaksOff);
                    }
                }
            }
        }
    }

    /// The connection ended before its time, and another one is made, each time a little later when that leads to
    /// nothing. Whether that is to be said now.
    fn broke_off(&mut self) -> bool {
        self.events = None;
        let lasted = self.since.is_some_and(|since| since.elapsed() >= WORTH_IT);
        self.fruitless = if self.got_on || lasted { 0 } else { self.fruitless.saturating_add(1) };
        let pause = AGAIN.saturating_mul(1 << self.fruitless.min(10)).min(MOST_AGAIN);
        self.not_before = Some(Instant::now() + pause);
        self.fruitless >= SAID_AFTER
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
            "lost" => {
                let Lost { attempt, reason } = self.read(&event.data)?;
                Some(Said::Lost { attempt, reason })
            }
            "end" => Some(Said::End(self.read::<End>(&event.data)?.state)),
            // A word of a later server.
            _ => None,
        };
        (self.known, self.got_on) = (true, true);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::{Address, Login};
    use super::*;

    const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    const END: &str = "id: 1.0.0.0\nevent: end\ndata: {\"state\":\"COMPLETE\"}\n\n";

    /// A server that gives one answer after another, the last one again and again.
    async fn serving(answers: Vec<String>) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            for answer in 0.. {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(connection.read_u8().await.unwrap());
                }
                let answer = answers.get(answer).or(answers.last()).unwrap();
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Client::new(address, Login::default()).unwrap()
    }

    fn follow(client: &Client) -> Printed {
        client.printed("x", &Wanted { follow: true, ..Wanted::default() })
    }

    #[tokio::test]
    async fn a_stream_that_always_breaks_off_is_asked_again_and_that_is_said() {
        let mut answers = vec![EVENTS.to_owned(); 5];
        answers.push(format!("{EVENTS}{END}"));
        let client = serving(answers).await;
        let mut printed = follow(&client);
        assert_eq!(printed.next().await.unwrap(), Said::BreaksOff);
        printed.not_before = None;
        // Each time: whoever asks may want to look after the task itself.
        assert_eq!(printed.next().await.unwrap(), Said::BreaksOff);
        assert!(printed.not_before.is_some_and(|at| at > Instant::now() + AGAIN * 8), "it waits longer and longer");
        printed.not_before = None;
        assert_eq!(printed.next().await.unwrap(), Said::End(State::Complete));
    }

    #[tokio::test]
    async fn a_page_of_another_server_tells_nothing() {
        let page = EVENTS.replace("text/event-stream", "text/html");
        let client = serving(vec![page]).await;
        assert_eq!(follow(&client).next().await.unwrap(), Said::NotTold);
    }

    #[tokio::test]
    async fn a_server_that_has_answered_is_waited_for() {
        let away = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let client = serving(vec![away.to_owned(), format!("{EVENTS}{END}")]).await;
        assert_eq!(follow(&client).of_one_that_answers().next().await.unwrap(), Said::End(State::Complete));
        let client = serving(vec![away.to_owned(), format!("{EVENTS}{END}")]).await;
        assert!(follow(&client).next().await.is_err(), "of which nothing was ever heard");
    }
}
