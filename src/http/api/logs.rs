//! `GET /tasks/{id}/logs`: what a task prints. Who asks, for what, and in which form; the forms have files of their own.

use std::str::FromStr;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use tessera_contract::Stream;
use tokio::time::error::Elapsed;

use super::log_bytes;
use super::log_events::{self, LogData};
use super::routes::PREFIX;
use crate::http::doors::Doors;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::peers::elsewhere::{self, Lack};
use crate::http::peers::headers::is_for_kept;
use crate::http::peers::moved::Moved;
use crate::http::peers::whereabouts::{self, Place};
use crate::http::peers::{Asking, later};
use crate::http::query::Query;
use crate::logs::picture::{Kept, STREAMS, StreamView, index};
use crate::logs::{Cursor, Follower, Selection};
use crate::task::{Task, TaskId};

/// How long nothing may come of what was printed until now.
const FRESH_WITHIN: Duration = Duration::from_secs(20);
/// Where a client stood that comes again.
const LAST_EVENT_ID: &str = "last-event-id";

/// What is asked for.
#[derive(Clone, Copy)]
pub(in crate::http) struct Asked {
    pub(in crate::http) selection: Selection,
    /// Where it is read from, and the name of what says so; `None` is from the start.
    pub(super) from: Option<(Cursor, &'static str)>,
    pub(super) offset: Option<u64>,
    pub(super) follow: bool,
}

/// What is told of an attempt whose log cannot be had whole.
pub(super) struct Lost {
    pub(super) attempt: u32,
    /// Why: a clause.
    pub(super) reason: String,
}

/// The forms in which a log is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Form {
    Bytes,
    Events,
}

/// What a task prints
///
/// As `text/plain` one stream of one executor, byte for byte: by default standard output of executor 0 in the newest
/// attempt. As `text/event-stream` (ask for it with `Accept`) all executors of all attempts in their order, both
/// streams of each as they come, or what is selected of them: an event `log` for each piece, whose id is a cursor, and
/// an event `end` behind the last. Who comes again with the id in `Last-Event-ID` (as browsers do) or in `cursor` goes
/// on right there: nothing is sent twice, nothing is left out, also when the server was restarted meanwhile.
///
/// Offsets count bytes of the log. Of a stream longer than a bound (the server's `policy.log_cap_bytes`) its beginning
/// and its end are kept; a line `[N bytes not kept]` stands in the gap.
#[utoipa::path(
    get,
    path = "/tasks/{id}/logs",
    operation_id = "GetTaskLogs",
    tag = "tasks",
    params(
        ("id" = String, Path, description = "The task's id."),
        ("attempt" = Option<u32>, Query, minimum = 1,
            description = "The attempt; the first is 1. Default: the newest one, as events all of them."),
        ("executor" = Option<u32>, Query,
            description = "The executor's index; the first is 0. Default: 0, as events all of them."),
        ("stream" = Option<StreamName>, Query,
            description = "The stream. Default: `stdout`, as events both."),
        ("offset" = Option<u64>, Query,
            description = "Bytes of the stream to pass over. As events it needs `executor` and `stream`."),
        ("follow" = Option<bool>, Query,
            description = "Whether to go on until the stream, or as events the task, has ended. Default: false."),
        ("cursor" = Option<String>, Query, pattern = "^[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+$",
            description = "As events: the id of the last one that was received."),
        ("Last-Event-ID" = Option<String>, Header, description = "The same; it comes before `cursor`."),
    ),
    responses(
        (status = 200, description = "The log.",
            content((String = "text/plain; charset=utf-8"), (LogData<'static> = "text/event-stream")),
            headers(
                ("tessera-attempt" = u32, description = "The attempt. Not with events."),
                ("tessera-next-offset" = u64, description = "The offset to go on from. Not with events, nor with `follow`."),
                ("tessera-log-whole" = bool, description = "`false` where some of it is lost: the server that kept it is not there any more, or the job went before it was kept. Otherwise not there."),
                ("tessera-log-ended" = bool, description = "Whether nothing follows it. Not with events, nor with `follow`."),
            )),
        (status = 400, description = "A parameter makes no sense; `field` names it.", body = ErrorBody<'static>),
        (status = 401, description = "Log in.", body = ErrorBody<'static>),
        (status = 404, description = "The caller has no such task.", body = ErrorBody<'static>),
        (status = 410, description = "The log was kept as long as the server's settings say.", body = ErrorBody<'static>),
        (status = 503, description = "Not now; or a server has it that is not there, and the sentence names that one.", body = ErrorBody<'static>),
    )
)]
pub async fn read(
    State(doors): State<Doors>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = doors.settings.access.caller(request.headers())?;
    let unknown = || ApiError::not_found("there is no task with this id");
    let id = id.ok().and_then(|Path(id)| TaskId::parse(&id)).ok_or_else(unknown)?;
    let task = tokio::time::timeout(doors.settings.bounds.time, doors.store.get(&caller, &id)).await;
    let task = task.map_err(|_| ApiError::unavailable("the store did not answer in time"))??.ok_or_else(unknown)?;
    let query = Query::read(request.uri().query())?;
    let form = if wants_events(request.headers()) { Form::Events } else { Form::Bytes };
    let asked = match form {
        Form::Events => asked(&query, &task, request.headers())?,
        Form::Bytes if query.one("cursor")?.is_some() => {
            let why = "a cursor is for events; ask for them with Accept: text/event-stream";
            return Err(ApiError::field("cursor", why));
        }
        Form::Bytes => log_bytes::narrowed(asked(&query, &task, &HeaderMap::new())?, &task),
    };
    let target = format!("{PREFIX}/tasks/{}/logs?{}", task.id, request.uri().query().unwrap_or_default());
    let (parts, _) = request.into_parts();
    let asking = Asking { method: parts.method, target, headers: parts.headers };
    if is_for_kept(&asking.headers) {
        if !elsewhere::is_here(&doors, &task, asked.selection) {
            return Err(ApiError::not_found("this is not kept here"));
        }
        return answer(&doors, &task, asked, form, Place::Anywhere, &asking).await;
    }
    let place = whereabouts::of_log(&doors, &task, asked.selection).await?;
    if place == Place::Nobody && asked.follow {
        return Ok(later::answer(doors, caller, task, asked, form, asking));
    }
    answer(&doors, &task, asked, form, place, &asking).await
}

/// The log in its form, from where it is.
pub(in crate::http) async fn answer(
    doors: &Doors,
    task: &Task,
    asked: Asked,
    form: Form,
    place: Place,
    asking: &Asking,
) -> Result<Response, ApiError> {
    let mut lost = Vec::new();
    let moved = match place {
        Place::With(name) => {
            let refused = match doors.peers.ask(doors, &name, asking, "what the task prints").await {
                Ok(response) => return Ok(response),
                Err(refused) => refused,
            };
            // Whoever removed what the other one left behind has it.
            for attempt in elsewhere::over(task, asked.selection).unwrap_or_default() {
                if elsewhere::bring(doors, task, attempt, asking).await? != Lack::Brought {
                    return Err(refused);
                }
            }
            if !elsewhere::is_here(doors, task, asked.selection) {
                return Err(refused);
            }
            None
        }
        Place::Here => {
            lost = lacking(doors, task, asked, form, asking).await?;
            Some(Moved::watch(doors, task, asked.selection))
        }
        Place::Anywhere | Place::Nobody => None,
    };
    match form {
        Form::Events => log_events::answer(doors, task, asked, moved, lost).await,
        Form::Bytes => log_bytes::answer(doors, task, asked, moved, &lost).await,
    }
}

/// Brings here what this server lacks of a log, and answers the attempts of which that cannot be had, with the reason.
async fn lacking(doors: &Doors, task: &Task, asked: Asked, form: Form, asking: &Asking) -> Result<Vec<Lost>, ApiError> {
    if !elsewhere::may_lack(doors, task, asked.selection) {
        return Ok(Vec::new());
    }
    let not_now = || ApiError::unavailable("the log cannot be read now; try again soon");
    let mut follower = doors.logs.follow(&task.id);
    tokio::time::timeout(FRESH_WITHIN, follower.begun()).await.map_err(|_| not_now())?;
    let lacking = follower.lacking(asked.selection);
    drop(follower);
    let mut lost = Vec::new();
    for attempt in lacking {
        let reason = match elsewhere::bring(doors, task, attempt, asking).await? {
            Lack::Brought => continue,
            Lack::Nobody => "no server has all of it".to_owned(),
            // A part of it would be taken for all of it.
            Lack::MayBe(sentence) if form == Form::Bytes || asked.selection.attempt.is_some() => {
                let sentence = format!("not all of what attempt {attempt} printed is here, but {sentence}");
                return Err(ApiError::unavailable(sentence));
            }
            // The attempts behind it can be told.
            Lack::MayBe(sentence) => sentence,
        };
        lost.push(Lost { attempt, reason });
    }
    Ok(lost)
}

/// The name of a stream, for the document.
#[derive(utoipa::ToSchema)]
#[schema(as = streamName, rename_all = "lowercase")]
#[allow(dead_code)]
pub enum StreamName {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|value| value.split(','));
    ranges.any(|range| range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream"))
}

fn asked(query: &Query, task: &Task, headers: &HeaderMap) -> Result<Asked, ApiError> {
    let attempts = u32::try_from(task.attempts.len()).unwrap_or(u32::MAX);
    let executors = u32::try_from(task.spec.executors.len()).unwrap_or(u32::MAX);
    let attempt = number(query, "attempt", "is no number of an attempt; the first is 1")?;
    if attempt.is_some_and(|attempt| !(1..=attempts).contains(&attempt)) {
        return Err(ApiError::field("attempt", format!("the task has attempts 1 to {attempts}")));
    }
    let executor = number(query, "executor", "is no index of an executor; the first is 0")?;
    if executor.is_some_and(|executor| executor >= executors) {
        return Err(ApiError::field(
            "executor",
            format!("the last executor of the task is {}, and the first is 0", executors.saturating_sub(1)),
        ));
    }
    let stream = match query.one("stream")? {
        None => None,
        Some("stdout") => Some(Stream::Stdout),
        Some("stderr") => Some(Stream::Stderr),
        Some(_) => return Err(ApiError::field("stream", "must be stdout or stderr")),
    };
    let follow = match query.one("follow")? {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::field("follow", "must be true or false")),
    };
    let selection = Selection { attempt, executor, stream };
    let offset = number(query, "offset", "is no number of bytes")?;
    let from = match headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
        Some(id) => Some(cursor("Last-Event-ID", id.to_str().unwrap_or("?"), selection, attempts, executors)?),
        None => match query.one("cursor")? {
            Some(text) => Some(cursor("cursor", text, selection, attempts, executors)?),
            None => None,
        },
    };
    Ok(Asked { selection, from, offset, follow })
}

fn number<T: FromStr>(query: &Query, name: &'static str, wrong: &str) -> Result<Option<T>, ApiError> {
    let Some(text) = query.one(name)? else { return Ok(None) };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.map(Some).ok_or_else(|| ApiError::field(name, format!("`{text}` {wrong}")))
}

fn cursor(
    name: &'static str,
    text: &str,
    of: Selection,
    attempts: u32,
    executors: u32,
) -> Result<(Cursor, &'static str), ApiError> {
    let cursor: Cursor = text.parse().map_err(|()| ApiError::field(name, "is no id of an event of a log"))?;
    let fits = cursor.attempt <= attempts
        && cursor.executor <= executors
        && of.attempt.is_none_or(|attempt| attempt == cursor.attempt)
        && of.executor.is_none_or(|executor| executor == cursor.executor);
    if fits { Ok((cursor, name)) } else { Err(ApiError::field(name, "is no id of an event of this log")) }
}

/// A reader that has been told what was printed until now, or why it cannot be told. One who follows is told as it
/// comes.
pub(super) async fn follower(
    doors: &Doors,
    task: &Task,
    selection: Selection,
    from: Cursor,
    follow: bool,
) -> Result<Follower, ApiError> {
    let not_now = || ApiError::unavailable("the log cannot be read now; try again soon");
    let mut follower = doors.logs.follow(&task.id).reading(selection, from);
    if follow {
        tokio::time::timeout(FRESH_WITHIN, follower.begun()).await.map_err(|_| not_now())?;
    } else {
        // A long log takes as long as it goes on coming, but no longer than any request: what is printed faster than it
        // is read would go on for ever. What came until then is kept, and another try goes on there.
        let told = async {
            while !tokio::time::timeout(FRESH_WITHIN, follower.fresh()).await? {}
            Ok::<_, Elapsed>(())
        };
        tokio::time::timeout(doors.settings.bounds.time, told).await.and_then(|told| told).map_err(|_| not_now())?;
    }
    let picture = follower.picture();
    let selected = picture.attempts.iter().filter(|attempt| selection.attempt.is_none_or(|n| n == attempt.number));
    let executors = selected.flat_map(|attempt| (0..).zip(&attempt.executors));
    let executors = executors.filter(|(index, _)| selection.executor.is_none_or(|wanted| wanted == *index));
    let executors: Vec<&[StreamView; 2]> = executors.map(|(_, pair)| pair).collect();
    let is_whole = |pair: &&[StreamView; 2]| selection.streams().all(|stream| pair[index(stream)].closed);
    if !follow && picture.trouble.is_some() && !(picture.phase.is_some() && executors.iter().all(is_whole)) {
        // A part of it would be taken for all of it.
        return Err(not_now());
    }
    let is_gone = |pair: &[StreamView; 2]| selection.streams().any(|stream| pair[index(stream)].kept == Kept::Gone);
    if executors.into_iter().any(is_gone) {
        return Err(ApiError::gone(
            "the whole log is not kept any more; the end of each stream stands in the task, in the view FULL",
        ));
    }
    Ok(follower)
}

/// Refuses a place, which a field has named, behind the end of a stream that has ended.
pub(super) fn check_place(follower: &Follower, at: Cursor, name: &str) -> Result<(), ApiError> {
    let picture = follower.picture();
    for stream in STREAMS {
        let Some(view) = picture.stream(at.attempt, at.executor, stream) else { continue };
        if view.closed && at.of(stream) > view.length {
            return Err(ApiError::field(name, format!("the log has ended, and has {} bytes", view.length)));
        }
    }
    Ok(())
}
