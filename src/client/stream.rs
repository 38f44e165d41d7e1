//! Streams of events of our own API, a connection each. Whoever reads one goes on with the last id it has seen when
//! the connection ends: nothing is lost and nothing comes twice.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use reqwest::header;
use sse_stream::{Sse, SseStream};
use url::Url;

use super::error::ClientError;
use super::http::{Client, plain};

/// How long nothing may come, not even a sign of life, before a connection counts as gone.
const SILENCE: Duration = Duration::from_secs(60);
/// The connection may last as long as it likes.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What kind of event.
    pub name: String,
    /// Where to go on after it.
    pub id: Option<String>,
    /// What it says.
    pub data: String,
}

/// The events of one connection.
pub struct Events {
    server: String,
    told: bool,
    stream: BoxStream<'static, Result<Sse, sse_stream::Error>>,
}

impl Client {
    /// Opens a stream; `after` is the id of the last event that was seen.
    pub async fn events(&self, what: &str, url: Url, after: Option<&str>) -> Result<Events, ClientError> {
        let call = self.get_of(url).header(header::ACCEPT, "text/event-stream").timeout(FOR_EVER);
        let call = after.into_iter().fold(call, |call, after| call.header("Last-Event-ID", after));
        let response = tokio::time::timeout(SILENCE, self.response(what, call));
        let response = response.await.unwrap_or_else(|_| Err(silent(self.address().to_string())))?;
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        let told = kind.eq_ignore_ascii_case("text/event-stream");
        let stream = SseStream::from_bytes_stream(response.bytes_stream()).boxed();
        Ok(Events { server: self.address().to_string(), told, stream })
    }
}

impl Events {
    /// Whether the server calls it a stream of events. Another server's page is none.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// The next event; `None` when the server has ended the stream.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            let next = tokio::time::timeout(SILENCE, self.stream.next());
            let Ok(next) = next.await else { return Err(silent(self.server.clone())) };
            match next {
                None => return Ok(None),
                // A comment: a sign of life.
                Some(Ok(Sse { data: None, .. })) => {}
                Some(Ok(Sse { event, data: Some(data), id, .. })) => {
                    return Ok(Some(Event { name: event.unwrap_or_else(|| "message".to_owned()), id, data }));
                }
                Some(Err(error)) => {
                    return Err(ClientError::Unreachable { server: self.server.clone(), reason: plain(&error) });
                }
            }
        }
    }
}

fn silent(server: String) -> ClientError {
    ClientError::Unreachable { server, reason: "the stream of events fell silent".to_owned() }
}
