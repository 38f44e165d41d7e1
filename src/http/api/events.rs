//! `GET /events`: changes of state as server-sent events.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::Stream;
use futures::future::BoxFuture;
use futures::stream;
use jiff::Timestamp;
use serde::Serialize;
use tessera_contract::InstallationId;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::place::{self, Begin};
use crate::feed::{Heard, Listener};
use crate::http::doors::Doors;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::query::Query;
use crate::http::tes::list;
use crate::http::tes::to_wire;
use crate::http::tes::wire::answer::State as TesState;
use crate::store::{Change, ChangeId};
use crate::task::{Owner, Phase, TaskId};

/// How often a sign of life is sent while nothing happens: proxies cut connections that are silent for a minute.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// How long a client that was cut off shall wait before it comes back, milliseconds: each another while, or all come
/// at once after a restart.
const COME_BACK_MS: (u64, u64) = (500, 3_000);
/// How many tasks may be named.
const MOST_TASKS: usize = 1_000;

/// A task shows another state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = stateEvent)]
pub struct StateEvent<'a> {
    /// The task.
    #[schema(value_type = String)]
    pub task: &'a str,
    /// What it shows now.
    pub state: TesState,
    /// What it showed before; left out when the task is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub previous: Option<TesState>,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl<'a> StateEvent<'a> {
    /// A change in the words of GA4GH.
    pub fn of(change: &'a Change) -> Self {
        Self {
            task: change.task.as_str(),
            state: to_wire::state(change.phase),
            previous: change.previous.map(to_wire::state),
            at: change.at,
        }
    }
}

/// A change as webhooks tell of it (Standard Webhooks: `type`, `timestamp`, `data`).
pub fn announcement(change: &Change) -> Vec<u8> {
    let told = serde_json::json!({
        "type": "task.state",
        "timestamp": change.at,
        "owner": change.owner.0,
        "data": StateEvent::of(change),
    });
    told.to_string().into_bytes()
}

/// Some events are not kept any more: list the tasks anew.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = gapEvent)]
pub struct GapEvent {
    /// A sentence for people.
    message: &'static str,
}

const GAP: GapEvent = GapEvent {
    message: "some of what happened since this id is not known here any more; list the tasks anew, and go on from here",
};

/// Follow the states of your tasks
///
/// A stream of server-sent events. An event `state` says that a task shows another state; its data is a `stateEvent`.
/// An event `gap` says that some events are lost to the caller: its id is not kept any more, is of another
/// installation, or lies in the future; its data is a `gapEvent`. Each event has an `id`, and whoever comes back with
/// it in `Last-Event-ID` goes on behind it. The answer's head is sent when the server has begun to listen: what happens
/// afterwards is told. The stream ends when the server stops.
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "events",
    tag = "events",
    params(
        ("task" = Option<Vec<String>>, Query, explode, description = "Only these tasks; another owner's is as silent \
            as one that does not exist. At most 1000."),
        ("state" = Option<Vec<TesState>>, Query, explode, description = "Only when one of these states is reached."),
        ("after" = Option<String>, Query, description = "The id of the last event that was seen, for whoever cannot \
            send `Last-Event-ID`. Without either, only what happens from now on is told."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen."),
    ),
    responses(
        (status = 200, description = "The events.", content_type = "text/event-stream", body = StateEvent<'_>),
        (status = 400, description = "A parameter is wrong.", body = ErrorBody<'_>),
        (status = 401, description = "Log in.", body = ErrorBody<'_>),
        (status = 503, description = "The store does not answer now.", body = ErrorBody<'_>),
    )
)]
pub async fn events(State(doors): State<Doors>, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let owner = doors.settings.access.caller(&headers)?;
    let query = Query::read(uri.query())?;
    let wanted = Wanted { owner, tasks: tasks(&query)?, phases: phases(&query)? };
    let installation = doors.store.installation().clone();
    let kept = doors.store.kept().await?;
    let begin = place::asked(&headers, &query, &installation, kept)?;
    let listener = doors.feed.listen(match begin {
        Begin::After(change) => Some(change),
        Begin::Now | Begin::Lost => None,
    });
    let listener = listener.await?;
    let stopped = Box::pin(doors.stopping.clone().stopped());
    let (place, silent_until) = (listener.at(), Instant::now() + SIGN_OF_LIFE);
    let batch = Arc::default();
    let mut told = Told { listener, wanted, installation, first: None, batch, seen: 0, place, silent_until, stopped };
    told.begin(begin);
    let answer = Sse::new(told.into_stream());
    // A proxy that collects an answer before it passes it on would tell nothing for hours.
    Ok(([("x-accel-buffering", "no")], answer).into_response())
}

/// What a caller wants to hear. Empty is everything.
struct Wanted {
    owner: Owner,
    tasks: BTreeSet<TaskId>,
    phases: BTreeSet<Phase>,
}

impl Wanted {
    fn has(&self, change: &Change) -> bool {
        change.owner == self.owner
            && (self.tasks.is_empty() || self.tasks.contains(&change.task))
            && (self.phases.is_empty() || self.phases.contains(&change.phase))
    }
}

fn tasks(query: &Query) -> Result<BTreeSet<TaskId>, ApiError> {
    let id = |text: &str| {
        TaskId::parse(text).ok_or_else(|| ApiError::field("task", "this is no id of a task: it has 26 characters"))
    };
    let tasks: BTreeSet<TaskId> =
        query.all("task").filter(|text| !text.is_empty()).map(id).collect::<Result<_, _>>()?;
    if tasks.len() > MOST_TASKS {
        return Err(ApiError::field(
            "task",
            format!("at most {MOST_TASKS} tasks can be named; leave them out for all"),
        ));
    }
    Ok(tasks)
}

fn phases(query: &Query) -> Result<BTreeSet<Phase>, ApiError> {
    let phase = |word: &str| {
        list::state(word)?.ok_or_else(|| ApiError::field("state", "no task is ever in UNKNOWN, so it is never reached"))
    };
    query.all("state").filter(|word| !word.is_empty()).map(phase).collect()
}

/// What one caller is told. Frames are made one at a time, when the connection takes one: a slow caller holds a place
/// in a batch that others hold, too.
struct Told {
    listener: Listener,
    wanted: Wanted,
    installation: InstallationId,
    /// Said before anything else.
    first: Option<Event>,
    batch: Arc<[Change]>,
    /// How many of the batch were looked at.
    seen: usize,
    /// The last one that the client was given.
    place: ChangeId,
    /// When a sign of life is due.
    silent_until: Instant,
    stopped: BoxFuture<'static, ()>,
}

impl Told {
    /// The first frame gives a place to come back to, also when nothing has happened yet.
    fn begin(&mut self, begin: Begin) {
        let here = self.written(self.place);
        let frame = match begin {
            Begin::Now | Begin::After(_) => Event::default().id(here),
            Begin::Lost => frame("gap", here, &GAP),
        };
        self.first = Some(frame.retry(come_back()));
    }

    fn written(&self, change: ChangeId) -> String {
        place::written(&self.installation, change)
    }

    /// A place that a client hears as no event and comes back to, for what it does not want goes by meanwhile; or a
    /// comment.
    fn sign_of_life(&mut self) -> Event {
        let here = self.listener.at();
        if here == self.place {
            return Event::default().comment("");
        }
        self.place = here;
        Event::default().id(self.written(here))
    }

    /// The next frame of what was heard already.
    fn heard(&mut self) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let rest = self.batch.get(self.seen..)?;
        let found = rest.iter().position(|change| self.wanted.has(change));
        let Some(at) = found.map(|at| self.seen + at) else {
            // Nobody shall be kept from forgetting it.
            (self.batch, self.seen) = (Arc::default(), 0);
            return None;
        };
        self.seen = at + 1;
        let change = self.batch.get(at)?;
        self.place = change.id;
        Some(frame("state", self.written(change.id), &StateEvent::of(change)))
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(frame) = self.heard() {
                return Some(frame);
            }
            let heard = tokio::select! {
                () = &mut self.stopped => return None,
                () = tokio::time::sleep_until(self.silent_until) => return Some(self.sign_of_life()),
                heard = self.listener.next() => heard,
            };
            match heard {
                Ok(Heard::Changes(changes)) => (self.batch, self.seen) = (changes, 0),
                Ok(Heard::Missed(at)) => {
                    self.place = at;
                    return Some(frame("gap", self.written(at), &GAP));
                }
                Ok(Heard::End) => return None,
                // The client comes back with its last id.
                Err(error) => {
                    tracing::warn!(%error, "a stream of events ends");
                    return None;
                }
            }
        }
    }

    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> + Send {
        stream::unfold(self, |mut told| async move {
            let frame = told.next().await?;
            told.silent_until = Instant::now() + SIGN_OF_LIFE;
            Some((Ok(frame), told))
        })
    }
}

fn come_back() -> Duration {
    let (least, most) = COME_BACK_MS;
    let random = RandomState::new().hash_one(());
    Duration::from_millis(least + random % (most - least + 1))
}

fn frame(name: &'static str, id: String, data: &impl Serialize) -> Event {
    let frame = Event::default().event(name).id(id);
    // Only values with keys that are no texts could not be written, and there are none.
    frame.clone().json_data(data).unwrap_or(frame)
}
