//! Whether the process lives, and whether it can do its work. Two questions, two answers.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::doors::Doors;

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    parts: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    name: String,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// `/healthz`: the process answers, whatever else is broken.
pub async fn alive() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "alive" }))
}

/// `/readyz`: 200 when the store can be written, every backend can be reached and, where there are several servers, this
/// one is among them; otherwise 503; either way the
/// answer names each part, and why it is not ready.
pub async fn ready(State(doors): State<Doors>) -> Response {
    let time = doors.settings.bounds.time;
    let store = async {
        match tokio::time::timeout(time, doors.store.check()).await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("did not answer in time".to_owned()),
        }
    };
    let others = tokio::time::timeout(time, (doors.ready)());
    let (store, others) = tokio::join!(store, others);
    let others = others.unwrap_or_else(|_| vec![("backends".to_owned(), Err("did not answer in time".to_owned()))]);
    let parts: Vec<Part> = [("store".to_owned(), store)]
        .into_iter()
        .chain(others)
        .map(|(name, outcome)| Part { name, ready: outcome.is_ok(), reason: outcome.err() })
        .collect();
    for part in parts.iter().filter(|part| !part.ready) {
        // Who reads the log of a server that nobody is sent to wants to know why.
        tracing::warn!(part = part.name, reason = part.reason, "not ready");
    }
    let ready = parts.iter().all(|part| part.ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(Readiness { ready, parts })).into_response()
}
