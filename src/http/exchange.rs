//! What every request and answer has: an id, a line in the log, and an answer whatever happens.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;

use super::error::ApiError;

/// Names an exchange, in the request and in the answer.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers a request, and says so in the log. The query is never logged: it may hold a key (TES contract 17.5).
pub async fn answered(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request.headers().get(&REQUEST_ID).filter(|id| is_sane(id)).cloned().unwrap_or_else(new_id);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(%method, path, "a handler panicked");
        ApiError::internal("the server failed to answer; its log says more").into_response()
    });
    let status = response.status();
    let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    if status.is_server_error() {
        tracing::warn!(%method, path, status = status.as_u16(), took_us, request_id = ?id, "answered");
    } else {
        tracing::debug!(%method, path, status = status.as_u16(), took_us, request_id = ?id, "answered");
    }
    response.headers_mut().insert(REQUEST_ID.clone(), id);
    response
}

/// Short and plain enough to be said again in headers and logs.
fn is_sane(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    (1..=128).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

fn new_id() -> HeaderValue {
    let id = ulid::Ulid::generate().to_string().to_ascii_lowercase();
    HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}
