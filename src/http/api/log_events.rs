//! What a task prints, as events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use futures::future::BoxFuture;
use futures::stream;
use serde::Serialize;
use tessera_contract::Stream;
use tokio::time::Instant;

use super::logs::{Asked, Lost, check_place, follower};
use crate::http::doors::Doors;
use crate::http::error::ApiError;
use crate::http::peers::moved::Moved;
use crate::http::tes::to_wire;
use crate::http::tes::wire::answer::State;
use crate::logs::{Cursor, Follower, Next, Piece};
use crate::task::{Phase, Task};

/// After so long without an event a comment is sent, so that nobody in between takes the connection for dead.
pub(in crate::http) const ALIVE: Duration = Duration::from_secs(15);

/// What is said before the first event.
pub(in crate::http) const HEAD: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    // Proxies that collect answers would hold it back.
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
];

/// A piece of a log: the data of an event `log`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = logEvent)]
pub struct LogEvent<'a> {
    /// The attempt; the first is 1.
    attempt: u32,
    /// The executor's index; the first is 0.
    executor: u32,
    /// `stdout` or `stderr`.
    #[schema(pattern = "^(stdout|stderr)$")]
    stream: &'static str,
    /// Where in the log of the stream it begins.
    offset: u64,
    /// What was printed, if it is a text. Never cut within a character.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    text: Option<&'a str>,
    /// What was printed, if it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    base64: Option<String>,
}

/// The data of an event `end`: nothing follows.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = logEnd)]
pub struct LogEnd {
    /// Where the task stands.
    state: State,
}

/// The data of an event `lost`: of this attempt not all, or nothing, follows.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = logLost)]
pub struct LogLost<'a> {
    /// The attempt; the first is 1.
    attempt: u32,
    /// Why.
    reason: &'a str,
}

/// The data of an event, by its name.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = logData)]
#[serde(untagged)]
#[allow(dead_code)] // For the document.
pub enum LogData<'a> {
    /// Of `log`.
    Log(LogEvent<'a>),
    /// Of `lost`.
    Lost(LogLost<'a>),
    /// Of `end`.
    End(LogEnd),
}

/// All that is selected, one event after another.
pub(super) async fn answer(
    doors: &Doors,
    task: &Task,
    asked: Asked,
    moved: Option<Moved>,
    lost: Vec<Lost>,
) -> Result<Response, ApiError> {
    let Asked { selection, from, offset, follow } = asked;
    let (mut at, named) = from.unwrap_or_else(|| (Cursor::start(selection), "offset"));
    if let Some(offset) = offset.filter(|_| from.is_none()) {
        let (Some(stream), Some(_)) = (selection.stream, selection.executor) else {
            return Err(ApiError::field("offset", "counts bytes of one stream; name executor and stream too"));
        };
        at = at.behind(stream, offset);
    }
    let follower = follower(doors, task, selection, at, follow).await?;
    check_place(&follower, at, named)?;
    let stopped: BoxFuture<'static, ()> = Box::pin(doors.stopping.clone().stopped());
    let follower = follower.in_characters();
    let reader = Reader { follower, follow, stopped, moved, orphaned: false, sent: Instant::now() };
    // A client that is cut off comes again soon.
    let mut hello = vec![Bytes::from_static(b"retry: 1000\n\n")];
    hello.extend(lost.into_iter().map(|lost| of_lost(&lost)));
    let hello = stream::iter(hello.into_iter().map(Ok::<_, Infallible>));
    let events = futures::StreamExt::chain(hello, stream::unfold(Some(reader), next));
    let mut response = Body::from_stream(events).into_response();
    HEAD.into_iter().for_each(|(name, value)| drop(response.headers_mut().insert(name, value)));
    Ok(response)
}

struct Reader {
    follower: Follower,
    follow: bool,
    stopped: BoxFuture<'static, ()>,
    moved: Option<Moved>,
    orphaned: bool,
    /// When something was sent last.
    sent: Instant,
}

/// The next event. A stream that breaks off without the event `end` is to be asked for again.
async fn next(reader: Option<Reader>) -> Option<(Result<Bytes, Infallible>, Option<Reader>)> {
    let mut reader = reader?;
    let (bytes, goes_on) = said(&mut reader).await?;
    reader.sent = Instant::now();
    Some((Ok(bytes), goes_on.then_some(reader)))
}

/// What is said next, and whether anything follows it.
async fn said(reader: &mut Reader) -> Option<(Bytes, bool)> {
    loop {
        let next = reader.follower.next().await;
        if let Some(moved) = &mut reader.moved
            && moved.is_elsewhere(&reader.follower.picture()).await
        {
            return None;
        }
        match next {
            Next::Piece(piece) => return Some((of_piece(&piece), true)),
            Next::Ended(phase) => return Some((of_end(phase, reader.follower.cursor()), false)),
            Next::Gone => return None,
            Next::Failed(reason) => {
                tracing::warn!(reason, "a follower of a log is cut off");
                return None;
            }
            Next::Caught if !reader.follow => {
                let phase = reader.follower.picture().phase?;
                return Some((of_end(phase, reader.follower.cursor()), false));
            }
            Next::Caught if reader.orphaned => return None,
            Next::Caught => {}
        }
        tokio::select! {
            changed = reader.follower.changed() => reader.orphaned = !changed,
            () = &mut reader.stopped => return None,
            // Counted from what was sent, not from what was looked at: others may print what is not selected.
            () = tokio::time::sleep_until(reader.sent + ALIVE) => return Some((Bytes::from_static(b":\n\n"), true)),
        }
    }
}

fn of_piece(piece: &Piece) -> Bytes {
    let text = std::str::from_utf8(&piece.bytes).ok();
    let base64 = text.is_none().then(|| base64::prelude::BASE64_STANDARD.encode(&piece.bytes));
    let stream = match piece.stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    let Piece { attempt, executor, offset, .. } = *piece;
    event("log", piece.behind, &LogEvent { attempt, executor, stream, offset, text, base64 })
}

fn of_end(phase: Phase, cursor: Cursor) -> Bytes {
    event("end", cursor, &LogEnd { state: to_wire::state(phase) })
}

/// Without an id: it is no place to go on from.
fn of_lost(Lost { attempt, reason }: &Lost) -> Bytes {
    let data = serde_json::to_string(&LogLost { attempt: *attempt, reason }).unwrap_or_default();
    Bytes::from(format!("event: lost\ndata: {data}\n\n"))
}

fn event(name: &str, cursor: Cursor, data: &impl Serialize) -> Bytes {
    // JSON holds no line break, so that the data is one line; and none of our types can fail to be one.
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("id: {cursor}\nevent: {name}\ndata: {data}\n\n"))
}
