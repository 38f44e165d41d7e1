//! A task as this API shows it: where it stands, and what it waits for.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::routes::asked;
use super::waiting::Waiting;
use crate::http::doors::Doors;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::tes::to_wire;
use crate::http::tes::wire::answer::State as Word;
use crate::task::{Phase, Task, TaskId};

/// A task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = task)]
pub struct TaskView {
    /// Its id.
    id: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// Where it stands, in GA4GH's words.
    state: Word,
    /// When it came there, as far as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    since: Option<Timestamp>,
    /// The attempt; the first is 1.
    attempt: u32,
    /// The backend it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    backend: Option<String>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// What it waits for; left out when it does not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    waiting: Option<Waiting>,
    /// The executor that runs; left out when none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    running: Option<Running>,
}

/// An executor that runs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = running)]
pub struct Running {
    /// Its index in the task.
    executor: u32,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

/// Where a task stands, and why it waits.
///
/// What the backend knows is asked for when this is called. A task that has a job on a backend which does not answer
/// is told of all the same, after the time that the backend is given.
#[utoipa::path(
    get,
    path = "/tasks/{id}",
    operation_id = "getTask",
    params(("id" = String, Path, description = "The task's id")),
    responses(
        (status = 200, description = "The task", body = TaskView, examples(
            ("in_queue" = (summary = "It lacks cores", value = json!({
                "id": "01k0example", "state": "QUEUED", "since": "2026-11-22T01:00:00Z", "attempt": 1,
                "backend": "local", "created": "2026-11-22T01:00:00Z",
                "waiting": { "kind": "in_queue", "backend": "local", "position": 3,
                    "lacks": { "what": "cpu_milli", "needs": 4000, "has": 8000, "free": 1000 },
                    "message": "waiting for room on backend `local`: the task needs 4 cores of 8, 1 free; 3 tasks are ahead of it" }
            }))),
            ("next_try" = (summary = "It is tried again later", value = json!({
                "id": "01k0example", "state": "QUEUED", "since": "2026-11-22T01:00:00Z", "attempt": 2,
                "backend": "local", "created": "2026-11-22T01:00:00Z",
                "waiting": { "kind": "next_try", "backend": "local", "position": 0, "attempt": 2, "refusals": 0,
                    "next_try": "2026-11-22T01:05:00Z",
                    "message": "waiting for the next try on backend `local` at 2026-11-22T01:05:00Z, after attempt 1 failed" }
            }))),
            ("backend_unavailable" = (summary = "Its backend takes no jobs", value = json!({
                "id": "01k0example", "state": "QUEUED", "since": "2026-11-22T01:00:00Z", "attempt": 1,
                "backend": "local", "created": "2026-11-22T01:00:00Z",
                "waiting": { "kind": "backend_unavailable", "backend": "local", "position": 0,
                    "since": "2026-11-22T00:59:00Z", "next_try": "2026-11-22T01:00:10Z", "reason": "there is no socket",
                    "message": "waiting for backend `local`, which cannot take jobs now: there is no socket; it is so since 2026-11-22T00:59:00Z, next try at 2026-11-22T01:00:10Z" }
            }))),
            ("at_backend" = (summary = "Its backend has not begun", value = json!({
                "id": "01k0example", "state": "INITIALIZING", "since": "2026-11-22T01:00:01Z", "attempt": 1,
                "backend": "local", "created": "2026-11-22T01:00:00Z",
                "waiting": { "kind": "at_backend", "backend": "local",
                    "message": "waiting at backend `local`, which has not begun with it" }
            }))),
            ("pulling_image" = (summary = "An image is pulled", value = json!({
                "id": "01k0example", "state": "INITIALIZING", "since": "2026-11-22T01:00:01Z", "attempt": 1,
                "backend": "local", "created": "2026-11-22T01:00:00Z",
                "waiting": { "kind": "pulling_image", "image": "quay.io/x:1", "bytes": 1200000000_u64,
                    "of_bytes": 3000000000_u64, "since": "2026-11-22T01:00:01Z",
                    "message": "pulling image `quay.io/x:1`: 1.2 GB of 3.0 GB" }
            }))),
            ("fetching_inputs" = (summary = "Inputs are fetched", value = json!({
                "id": "01k0example", "state": "INITIALIZING", "since": "2026-11-22T01:00:01Z", "attempt": 1,
                "backend": "local", "created": "2026-11-22T01:00:00Z",
                "waiting": { "kind": "fetching_inputs", "files": 3, "of_files": 10, "bytes": 1200000000_u64,
                    "of_bytes": 40000000000_u64, "since": "2026-11-22T01:00:01Z",
                    "message": "fetching inputs: 3 of 10 files, 1.2 GB of 40.0 GB" }
            }))),
            ("running" = (summary = "It does not wait", value = json!({
                "id": "01k0example", "state": "RUNNING", "since": "2026-11-22T01:00:05Z", "attempt": 1,
                "backend": "local", "created": "2026-11-22T01:00:00Z",
                "running": { "executor": 0, "since": "2026-11-22T01:00:05Z" }
            })))
        )),
        (status = 401, description = "Nobody known", body = ErrorBody<'_>),
        (status = 404, description = "There is no such task of the caller", body = ErrorBody<'_>),
        (status = 503, description = "Ask again soon", body = ErrorBody<'_>),
    )
)]
pub async fn get(
    State(doors): State<Doors>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<axum::Json<TaskView>, ApiError> {
    let owner = doors.settings.access.caller(&headers)?;
    let unknown = || ApiError::not_found("there is no task with this id");
    let Ok(Path(id)) = id else { return Err(unknown()) };
    let id = TaskId::parse(&id).ok_or_else(unknown)?;
    let task = asked(&doors, doors.store.get(&owner, &id)).await?.ok_or_else(unknown)?;
    let explained = asked(&doors, doors.engine.explain(&task)).await?;
    let last = task.attempts.len();
    Ok(axum::Json(TaskView {
        id: id.to_string(),
        name: task.spec.name.clone(),
        state: to_wire::state(task.state.phase()),
        since: since(&task, explained.running.map(|(_, since)| since)),
        attempt: task.state.attempt().unwrap_or_else(|| u32::try_from(last).unwrap_or(u32::MAX)),
        backend: explained.backend,
        created: task.created,
        waiting: explained.waiting.map(Waiting::from),
        running: explained.running.map(|(executor, since)| Running { executor, since }),
    }))
}

/// When it came where it stands, as far as its history and its job tell.
fn since(task: &Task, runs: Option<Timestamp>) -> Option<Timestamp> {
    let last = task.attempts.last()?;
    match task.state.phase() {
        Phase::Queued => match task.attempts.len().checked_sub(2) {
            None => Some(task.created),
            Some(former) => task.attempts.get(former).and_then(|former| former.ended),
        },
        Phase::Initializing => last.handed_over,
        Phase::Running => last.executors.is_empty().then_some(runs).flatten().or(last.started),
        Phase::Canceling => last.cancel_requested,
        Phase::Paused | Phase::Preempted => last.log.last().map(|line| line.at),
        Phase::Complete | Phase::ExecutorError | Phase::SystemError | Phase::Canceled => last.ended,
    }
}
