//! One stream of a task, byte for byte.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures::future::BoxFuture;
use futures::stream;
use tessera_contract::Stream;

use super::logs::{Asked, Lost, check_place, follower};
use crate::http::doors::Doors;
use crate::http::error::ApiError;
use crate::http::peers::moved::Moved;
use crate::logs::{Cursor, Follower, Next, Selection};
use crate::task::Task;

/// The same for one stream: what is not said is standard output of the first executor of the newest attempt.
pub(super) fn narrowed(asked: Asked, task: &Task) -> Asked {
    let newest = task.attempts.last().map_or(1, |attempt| attempt.number);
    let Selection { attempt, executor, stream } = asked.selection;
    let selection = Selection {
        attempt: attempt.or(Some(newest)),
        executor: executor.or(Some(0)),
        stream: stream.or(Some(Stream::Stdout)),
    };
    Asked { selection, ..asked }
}

/// The stream asked for.
pub(super) async fn answer(
    doors: &Doors,
    task: &Task,
    asked: Asked,
    moved: Option<Moved>,
    lost: &[Lost],
) -> Result<Response, ApiError> {
    let asked = narrowed(asked, task);
    let selection = asked.selection;
    let (attempt, executor) = (selection.attempt.unwrap_or(1), selection.executor.unwrap_or(0));
    let stream = selection.stream.unwrap_or(Stream::Stdout);
    let from = Cursor::start(selection).behind(stream, asked.offset.unwrap_or(0));
    let follower = follower(doors, task, selection, from, asked.follow).await?;
    check_place(&follower, from, "offset")?;

    let view = follower.picture().stream(attempt, executor, stream).cloned().unwrap_or_default();
    let end = view.length.max(from.of(stream));
    let text = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    let mut headers = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::HeaderName::from_static("tessera-attempt"), text(attempt.to_string())),
    ];
    if !lost.is_empty() {
        headers.push((header::HeaderName::from_static("tessera-log-whole"), HeaderValue::from_static("false")));
    }
    if !asked.follow {
        headers.push((header::HeaderName::from_static("tessera-next-offset"), text(end.to_string())));
        headers.push((header::HeaderName::from_static("tessera-log-ended"), text(view.closed.to_string())));
    }
    let until = (!asked.follow).then_some(end);
    let stopped: BoxFuture<'static, ()> = Box::pin(doors.stopping.clone().stopped());
    let reader = Reader { follower, stream, until, stopped, moved, orphaned: false };
    let mut response = Body::from_stream(stream::unfold(Some(reader), next)).into_response();
    headers.into_iter().for_each(|(name, value)| drop(response.headers_mut().insert(name, value)));
    Ok(response)
}

struct Reader {
    follower: Follower,
    stream: Stream,
    /// Where the log ended when it was asked for; `None` follows it.
    until: Option<u64>,
    stopped: BoxFuture<'static, ()>,
    moved: Option<Moved>,
    orphaned: bool,
}

/// The next bytes. An end that is not the log's breaks the connection off, so that nobody takes it for the log's.
async fn next(reader: Option<Reader>) -> Option<(io::Result<Bytes>, Option<Reader>)> {
    let mut reader = reader?;
    let broken = |text: &str| Some((Err(io::Error::other(text.to_owned())), None));
    loop {
        if reader.until.is_some_and(|end| reader.follower.cursor().of(reader.stream) >= end) {
            return None;
        }
        let next = reader.follower.next().await;
        if let Some(moved) = &mut reader.moved
            && moved.is_elsewhere(&reader.follower.picture()).await
        {
            return broken("another server has taken the task");
        }
        match next {
            Next::Piece(piece) => {
                let left = reader.until.map_or(u64::MAX, |end| end.saturating_sub(piece.offset));
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(piece.bytes.len());
                return Some((Ok(piece.bytes.slice(..most)), Some(reader)));
            }
            Next::Ended(_) => return None,
            Next::Gone => return broken("the log is not kept any more"),
            Next::Failed(text) => return broken(&text),
            Next::Caught if reader.until.is_some() => return None,
            Next::Caught if reader.orphaned => return broken("nobody collects the log any more"),
            Next::Caught => {}
        }
        tokio::select! {
            changed = reader.follower.changed() => reader.orphaned = !changed,
            () = &mut reader.stopped => return broken("the server stops"),
        }
    }
}
