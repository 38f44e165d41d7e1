//! What each path does. Every function reads as: who calls, what is asked, what the store says.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::from_wire::{self, Rules};
use super::idempotency;
use super::list::{self, Bound};
use super::service_info;
use super::target::Target;
use super::to_wire::{self, View};
use super::wire::answer::{Cancelled, Created, Task, TaskList};
use super::wire::service::{OldServiceInfo, ServiceInfo};
use crate::http::body;
use crate::http::cors::Cors;
use crate::http::doors::Doors;
use crate::http::error::ApiError;
use crate::http::negotiation;
use crate::http::query::Query;
use crate::store::{Created as Outcome, Page, Record, Recorded, StoreError};
use crate::task::{Event, Owner, TaskId};

/// The door, with what can be computed once.
#[derive(Clone)]
pub struct Tes {
    doors: Doors,
    rules: Arc<Rules>,
    info: Arc<ServiceInfo>,
    old_info: Arc<OldServiceInfo>,
    cors: Cors,
    shows_canceling: bool,
}

/// What a method asks for, as far as it makes a difference here.
enum Ask {
    Read,
    Post,
    Other,
}

impl Ask {
    fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Read,
            Method::POST => Self::Post,
            _ => Self::Other,
        }
    }
}

/// How long a stop may take before CANCELING is better not shown (14.7).
const SOON: Duration = Duration::from_secs(3);

impl Tes {
    /// The door to what is behind these.
    pub fn new(doors: Doors) -> Self {
        let settings = &doors.settings;
        Self {
            rules: Arc::new(Rules::new(settings)),
            info: Arc::new(service_info::today(settings)),
            old_info: Arc::new(service_info::before_1_0(settings)),
            cors: Cors::new(&settings.cors_origins),
            shows_canceling: settings
                .show_canceling
                .unwrap_or_else(|| settings.backends.iter().all(|backend| backend.stops_within <= SOON)),
            doors,
        }
    }

    /// Answers a request for any path of the API; every other path is a 404, whatever the method (3.3).
    pub async fn serve(self, request: Request) -> Response {
        let origin = self.cors.origin(request.headers());
        let mut response = self.answer(request, origin.is_some()).await.unwrap_or_else(ApiError::into_response);
        if let Some(origin) = origin {
            Cors::admit(origin, &mut response);
        }
        response
    }

    async fn answer(&self, request: Request, may_preflight: bool) -> Result<Response, ApiError> {
        let (parts, body) = request.into_parts();
        let Some(target) = Target::find(parts.uri.path()) else {
            return Err(ApiError::not_found(
                "there is nothing under this path; TES has /service-info and /tasks, our own API begins at /api/v1, and \
                 /docs shows both",
            ));
        };
        if may_preflight && Cors::is_preflight(&parts) {
            return Ok(Cors::preflight());
        }
        if parts.method == Method::POST && self.cors.is_foreign(&parts.headers) {
            return Err(ApiError::foreign_origin());
        }
        negotiation::accepts_json(&parts.headers)?;
        let (headers, query) = (&parts.headers, parts.uri.query());
        match (target, Ask::of(&parts.method)) {
            // 16.4: open without login.
            (Target::ServiceInfo, Ask::Read) => json(&*self.info),
            (Target::OldServiceInfo, Ask::Read) => json(&*self.old_info),
            (Target::Tasks, Ask::Read) => self.list(self.caller(headers)?, query).await,
            (Target::Tasks, Ask::Post) => self.create(self.caller(headers)?, headers, body).await,
            (Target::Task(id), Ask::Read) => self.get(self.caller(headers)?, &id, query).await,
            // 3.8: whatever the body is, it is not looked at.
            (Target::Cancel(id), Ask::Post) => self.cancel(self.caller(headers)?, &id).await,
            (known, _) => Err(ApiError::method_not_allowed(known.allow())),
        }
    }

    async fn create(&self, owner: Owner, headers: &HeaderMap, body: Body) -> Result<Response, ApiError> {
        negotiation::sends_json(headers)?;
        let key = idempotency::key(headers)?;
        let body = body::receive(headers, body, self.doors.settings.bounds).await?;
        let asked = self.read(&owner, body).await?;
        let now = (self.doors.clock)();
        let id = TaskId::new(now);
        // Not timed: an answer that gave up waiting would make the client post a task again that is stored (4.14).
        let outcome = match &key {
            None => self.doors.store.create(&owner, &id, now, asked.spec).await.map(|()| Outcome::New)?,
            Some(key) => self.doors.store.create_once(&owner, key, &id, now, asked.spec).await?,
        };
        match outcome {
            Outcome::New => {}
            Outcome::Known(first) => return json(&Created { id: first.as_str() }),
            Outcome::Differs => return Err(idempotency::differs()),
        }
        if !asked.notes.is_empty() {
            self.note(&id, asked.notes).await;
        }
        (self.doors.wake_dispatch)();
        json(&Created { id: id.as_str() })
    }

    async fn read(&self, caller: &Owner, body: Vec<u8>) -> Result<from_wire::Asked, ApiError> {
        /// From here on reading takes so long that other requests would wait for it.
        const LONG: usize = 256 * 1024;
        if body.len() < LONG {
            return from_wire::task(&body, caller, &self.rules);
        }
        let (caller, rules) = (caller.clone(), Arc::clone(&self.rules));
        aside(move || from_wire::task(&body, &caller, &rules)).await
    }

    /// The task is stored; what cannot be written beside it is not worth failing it.
    async fn note(&self, id: &TaskId, notes: Vec<String>) {
        let at = (self.doors.clock)();
        let record = |text| Record { task: id.clone(), fence: None, at, event: Event::Noted { attempt: 1, text } };
        if let Err(error) = self.doors.store.record(notes.into_iter().map(record).collect()).await {
            tracing::warn!(task = %id, %error, "a note on a new task was lost");
        }
    }

    async fn get(&self, owner: Owner, id: &str, query: Option<&str>) -> Result<Response, ApiError> {
        let view = list::view(&Query::read(query)?)?;
        let id = TaskId::parse(id).ok_or_else(unknown_task)?;
        match view {
            View::Minimal => {
                let summary = self.ask(self.doors.store.summary(&owner, &id)).await?.ok_or_else(unknown_task)?;
                json(&self.shown()(to_wire::minimal(&summary)))
            }
            View::Whole(detail) => {
                let task = self.ask(self.doors.store.get(&owner, &id)).await?.ok_or_else(unknown_task)?;
                json(&self.shown()(to_wire::task(&task, detail)))
            }
        }
    }

    async fn list(&self, owner: Owner, query: Option<&str>) -> Result<Response, ApiError> {
        let bound = Bound { owner: &owner, installation: self.doors.store.installation() };
        let asked = list::asked(&Query::read(query)?, bound)?;
        if asked.nothing {
            return json(&TaskList { tasks: Vec::new(), next_page_token: None });
        }
        let shown = self.shown();
        let token = |next: Option<TaskId>| next.map(|next| list::token(&next, &asked.query, bound));
        match asked.view {
            View::Minimal => {
                let Page { items, next } = self.ask(self.doors.store.list_summaries(&owner, &asked.query)).await?;
                json(&TaskList {
                    tasks: items.iter().map(to_wire::minimal).map(shown).collect(),
                    next_page_token: token(next),
                })
            }
            View::Whole(detail) => {
                let Page { items, next } = self.ask(self.doors.store.list(&owner, &asked.query)).await?;
                let next_page_token = token(next);
                let written = move || {
                    let tasks = items.iter().map(|task| to_wire::task(task, detail)).map(shown).collect();
                    json(&TaskList { tasks, next_page_token })
                };
                aside(written).await
            }
        }
    }

    async fn cancel(&self, owner: Owner, id: &str) -> Result<Response, ApiError> {
        let id = TaskId::parse(id).ok_or_else(unknown_task)?;
        let now = (self.doors.clock)();
        let outcome = self.doors.store.request_cancel(&owner, &id, now, self.shows_canceling).await?;
        // 14.5: every known task is 200, also one that has ended, also for the second time.
        if outcome.ok_or_else(unknown_task)? == Recorded::Conflict {
            return Err(ApiError::unavailable("the task is being changed by others; ask again"));
        }
        (self.doors.wake_cancel)();
        json(&Cancelled {})
    }

    /// How a task that waits is shown. Filters go by its true state.
    fn shown(&self) -> fn(Task<'_>) -> Task<'_> {
        if self.doors.settings.hide_queued { to_wire::without_queued } else { |task| task }
    }

    fn caller(&self, headers: &HeaderMap) -> Result<Owner, ApiError> {
        self.doors.settings.access.caller(headers)
    }

    /// The store's answer to a question, or 503 when it takes too long.
    async fn ask<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, ApiError> {
        match tokio::time::timeout(self.doors.settings.bounds.time, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(ApiError::unavailable("the store did not answer in time")),
        }
    }
}

/// Does long work where it holds up no other request.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, ApiError> + Send + 'static) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ApiError::internal(error.to_string())))
}

/// Another user's task is as unknown as one that never was (17.3).
fn unknown_task() -> ApiError {
    ApiError::not_found("there is no task with this id")
}

fn json(body: &impl Serialize) -> Result<Response, ApiError> {
    // Straight from the rows to bytes: a page of 2047 whole tasks is never built twice.
    let bytes = serde_json::to_vec(body).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}
