//! The queue: who waits, in order, and for what.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::routes::asked;
use super::waiting::Waiting;
use crate::engine::explain::{QueuePage, Waiter, Walked};
use crate::http::doors::Doors;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::query::Query;
use crate::task::TaskId;

/// Tasks on a page unless asked otherwise.
const DEFAULT_SIZE: usize = 256;
/// The most tasks on a page.
const LARGEST_SIZE: usize = 2047;
/// After so long a page ends where it is.
const LONGEST: Duration = Duration::from_secs(2);
/// No token of ours is longer.
const LONGEST_TOKEN: usize = 16 * 1024;

/// A page of the caller's waiting tasks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = queue)]
pub struct Queue {
    /// The tasks, the one that is looked at first in front.
    tasks: Vec<Queued>,
    /// Where the next page begins; left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_page_token: Option<String>,
}

/// A waiting task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = queued)]
pub struct Queued {
    /// Its id.
    id: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// What it waits for.
    waiting: Waiting,
}

/// Which tasks wait, in order, and for what.
///
/// Positions count the tasks of all users; only the caller's tasks are shown. Positions on a later page are counted
/// from those of the former one. A page may hold fewer tasks than asked for, or none, and yet not be the last: while
/// there is a `next_page_token`, go on.
#[utoipa::path(
    get,
    path = "/queue",
    operation_id = "listQueue",
    params(
        ("backend" = Option<String>, Query, description = "Only tasks that wait for this backend"),
        ("page_size" = Option<u32>, Query, minimum = 1, maximum = 2047, description = "Tasks on a page; 256 unless said"),
        ("page_token" = Option<String>, Query, description = "The former page's `next_page_token`"),
    ),
    responses(
        (status = 200, description = "A page of the queue", body = Queue, example = json!({
            "tasks": [{ "id": "01k0example", "name": "align", "created": "2026-11-22T01:00:00Z",
                "waiting": { "kind": "in_queue", "backend": "local", "position": 0,
                    "message": "waiting for its turn on backend `local`: no task is ahead of it" } }],
        })),
        (status = 400, description = "A parameter makes no sense; `field` names it", body = ErrorBody<'_>),
        (status = 401, description = "Nobody known", body = ErrorBody<'_>),
        (status = 503, description = "Ask again soon", body = ErrorBody<'_>),
    )
)]
pub async fn list(
    State(doors): State<Doors>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<axum::Json<Queue>, ApiError> {
    let owner = doors.settings.access.caller(&headers)?;
    let query = Query::read(query.as_deref())?;
    let backend = query.one("backend")?;
    if backend.is_some_and(|backend| !doors.engine.has_backend(backend)) {
        return Err(ApiError::field("backend", "there is no backend of this name"));
    }
    let size = size(query.one_or_empty("page_size")?)?;
    let from = query.one("page_token")?.map(read_token).transpose()?.unwrap_or_default();
    let time = LONGEST.min(doors.settings.bounds.time / 2);
    let page = asked(&doors, doors.engine.queue(&owner, backend, from, size, time)).await?;
    let QueuePage { waiters, next } = page;
    Ok(axum::Json(Queue {
        tasks: waiters.into_iter().map(queued).collect(),
        next_page_token: next.as_ref().map(token),
    }))
}

fn queued(waiter: Waiter) -> Queued {
    let Waiter { id, name, created, waiting } = waiter;
    Queued { id: id.to_string(), name, created, waiting: waiting.into() }
}

fn size(sent: Option<&str>) -> Result<usize, ApiError> {
    let Some(sent) = sent else { return Ok(DEFAULT_SIZE) };
    let digits = !sent.is_empty() && sent.bytes().all(|byte| byte.is_ascii_digit());
    let size = digits.then(|| sent.parse().ok()).flatten().filter(|size| (1..=LARGEST_SIZE).contains(size));
    size.ok_or_else(|| ApiError::field("page_size", format!("must be a whole number from 1 to {LARGEST_SIZE}")))
}

/// Holds the place and the counts up to there, so that no page counts again what was before it. A caller who makes
/// one up sees wrong positions, and still only tasks of its own.
fn token(walked: &Walked) -> String {
    let after = walked.after.as_ref().map(TaskId::as_str).unwrap_or_default();
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::json!([after, walked.passed]).to_string())
}

fn read_token(token: &str) -> Result<Walked, ApiError> {
    let refused = || ApiError::field("page_token", "not a token of this listing; begin again without it");
    if token.len() > LONGEST_TOKEN {
        return Err(refused());
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| refused())?;
    let (after, mut passed): (String, BTreeMap<String, u64>) = serde_json::from_slice(&bytes).map_err(|_| refused())?;
    // Nobody was passed when the first page found no time.
    let after = if after.is_empty() { None } else { Some(TaskId::parse(&after).ok_or_else(refused)?) };
    for count in passed.values_mut() {
        // It is counted on from here.
        *count = (*count).min(u64::from(u32::MAX));
    }
    Ok(Walked { after, passed })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_and_what_is_none_is_refused() {
        let walked = Walked {
            after: Some(TaskId::new(Timestamp::UNIX_EPOCH)),
            passed: [("a".to_owned(), 3), ("b".to_owned(), 1)].into(),
        };
        assert_eq!(read_token(&token(&walked)).unwrap(), walked);
        assert_eq!(read_token(&token(&Walked::default())).unwrap(), Walked::default());
        let with = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        for wrong in ["!", "", &with("[]"), &with(r#"["x",{}]"#), &with(r#"["",{"a":-1}]"#), &"A".repeat(99_999)] {
            assert_eq!(read_token(wrong).unwrap_err().blamed(), Some("page_token"), "{wrong}");
        }
    }
}
