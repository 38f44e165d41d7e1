//! The log of a task that nobody has taken yet.
//!
//! Whoever follows it gets the head of his answer at once. Its body begins when a server has taken the task, and comes
//! from there.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};

use super::forward::Asking;
use super::whereabouts::{self, Place};
use crate::feed::Heard;
use crate::http::api::log_events::{ALIVE, HEAD};
use crate::http::api::logs::{self, Asked, Form};
use crate::http::doors::Doors;
use crate::http::error::ApiError;
use crate::task::{Owner, Task};

/// What has to be known for the rest of the answer.
struct Waiting {
    opened: BoxFuture<'static, Result<Response, ApiError>>,
    stopped: BoxFuture<'static, ()>,
    form: Form,
}

/// The answer to one who follows the log of a task that waits.
pub(in crate::http) fn answer(
    doors: Doors,
    owner: Owner,
    task: Task,
    asked: Asked,
    form: Form,
    asking: Asking,
) -> Response {
    let stopped = Box::pin(doors.stopping.clone().stopped());
    let attempt = asked.selection.attempt.unwrap_or(1);
    let opened = Box::pin(async move {
        let (task, place) = taken(&doors, &owner, task, asked).await?;
        logs::answer(&doors, &task, asked, form, place, &asking).await
    });
    let waiting = Waiting { opened, stopped, form };
    let mut response = Response::new(Body::from_stream(stream::unfold(Some(waiting), next).flatten()));
    match form {
        Form::Events => HEAD.into_iter().for_each(|(name, value)| drop(response.headers_mut().insert(name, value))),
        Form::Bytes => {
            for (name, value) in [
                (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
                (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                (header::HeaderName::from_static("tessera-attempt"), HeaderValue::from(attempt)),
            ] {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}

/// Waits until the task is taken, or will never be.
async fn taken(doors: &Doors, owner: &Owner, mut task: Task, asked: Asked) -> Result<(Task, Place), ApiError> {
    // Listen before looking, or a change between the two is missed.
    let mut changes = doors.feed.listen(None).await?;
    loop {
        let place = whereabouts::of_log(doors, &task, asked.selection).await?;
        if place != Place::Nobody {
            return Ok((task, place));
        }
        loop {
            match changes.next().await? {
                Heard::Changes(changes) if changes.iter().all(|change| change.task != task.id) => {}
                Heard::Changes(_) | Heard::Missed(_) => break,
                Heard::End => return Err(ApiError::unavailable("the server stops")),
            }
        }
        let found = doors.store.get(owner, &task.id).await?;
        task = found.ok_or_else(|| ApiError::not_found("there is no task with this id"))?;
    }
}

type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// A sign of life, or all the rest.
async fn next(waiting: Option<Waiting>) -> Option<(Pieces, Option<Waiting>)> {
    let mut waiting = waiting?;
    let broken = |reason: &str| stream::iter([Err(io::Error::other(reason.to_owned()))]).boxed();
    tokio::select! {
        opened = &mut waiting.opened => {
            let rest = match opened {
                Ok(response) if response.status().is_success() => {
                    response.into_body().into_data_stream().map(|piece| piece.map_err(io::Error::other)).boxed()
                }
                Ok(response) => broken(&format!("the server that has it answered {}", response.status())),
                Err(error) => broken(error.message()),
            };
            Some((rest, None))
        }
        () = &mut waiting.stopped => Some((broken("the server stops"), None)),
        () = tokio::time::sleep(ALIVE) => {
            let sign = match waiting.form {
                Form::Events => Bytes::from_static(b":\n\n"),
                Form::Bytes => Bytes::new(),
            };
            Some((stream::iter([Ok(sign)]).boxed(), Some(waiting)))
        }
    }
}
