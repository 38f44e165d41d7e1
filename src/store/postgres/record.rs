//! Applying events: state and event are written together, or neither is.
//!
//! The machine is asked here, on rows that were read without a lock; the statement writes only what is still of the
//! version that was read. What another server was quicker with is read and computed again.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio_postgres::types::ToSql;

use super::columns;
use super::fault::Fault;
use crate::store::{Fence, Record, Recorded, StoreError};
use crate::task::{Event, Owner, Step, TaskId, TaskState};

/// Tasks as they stand.
pub(super) const STANDING: &str = "SELECT id, owner, state, version, fence FROM tasks WHERE id = ANY ($1::text[])";

/// Events that may have been written before the connection was lost.
pub(super) const SAID: &str = "
    SELECT events.task, events.seq, events.at, events.body FROM unnest($1::text[], $2::bigint[]) AS asked (task, seq)
    JOIN events ON events.task = asked.task AND events.seq = asked.seq";

/// Writes tasks that are of the version that was read, and what goes with them, and answers them. All parts of the
/// statement see the rows as they were when it began; under the lock nobody else changes them.
pub(super) const MOVE: &str = "
    WITH event AS (
        INSERT INTO events (task, seq, at, body)
        SELECT task, seq, at, body
        FROM unnest($8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[]) AS said (task, base, seq, at, body)
        WHERE EXISTS (SELECT FROM tasks WHERE tasks.id = said.task AND tasks.version = said.base)
    ), leaving AS (
        INSERT INTO leftovers (task, backend, handle, holder)
        SELECT gone.task, gone.backend, gone.handle, tasks.holder
        FROM unnest($13::text[], $14::bigint[], $15::text[], $16::text[]) AS gone (task, base, backend, handle)
        JOIN tasks ON tasks.id = gone.task AND tasks.version = gone.base
        WHERE NOT EXISTS (SELECT FROM leftovers AS known WHERE known.task = gone.task AND known.backend = gone.backend
                                                           AND known.handle = gone.handle)
    ), change AS (
        INSERT INTO changes (n, owner, task, phase, previous, at)
        SELECT coalesce((SELECT max(n) FROM changes), 0) + row_number() OVER (ORDER BY place),
               tasks.owner, seen.task, seen.phase, seen.previous, seen.at
        FROM unnest($17::text[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[])
             WITH ORDINALITY AS seen (task, base, phase, previous, at, place)
        JOIN tasks ON tasks.id = seen.task AND tasks.version = seen.base
    )
    UPDATE tasks SET state = moved.state, version = moved.version, phase = moved.phase, stage = moved.stage,
                     not_before = moved.not_before, backend = CASE WHEN moved.stage = 0 THEN NULL ELSE tasks.backend END
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
         AS moved (id, base, state, version, phase, stage, not_before)
    WHERE tasks.id = moved.id AND tasks.version = moved.base
    RETURNING tasks.id";

/// How often what another server was quicker with is computed again.
const TRIES: u32 = 5;

/// Events that wait for their commit.
pub(super) struct Say {
    pub(super) items: Vec<Item>,
    /// Whose the tasks must be.
    pub(super) owner: Option<Owner>,
    pub(super) failed: Option<StoreError>,
    pub(super) reply: oneshot::Sender<Result<Vec<Recorded>, StoreError>>,
}

/// An event.
pub(super) struct Item {
    pub(super) record: Record,
    tries: u32,
    /// What was sent of it.
    pub(super) sent: Option<Sent>,
    pub(super) answer: Option<Recorded>,
}

/// An event as it was sent, and what is answered if it was written.
pub(super) struct Sent {
    pub(super) seq: i64,
    at: i64,
    body: String,
    answer: Recorded,
}

impl Item {
    pub(super) fn new(record: Record) -> Self {
        Self { record, tries: 0, sent: None, answer: None }
    }

    /// It was sent, no answer came, and this event stands in its place now.
    pub(super) fn found(&mut self, at: i64, body: &str) {
        if let Some(sent) = &self.sent
            && sent.at == at
            && sent.body == body
        {
            self.answer = Some(sent.answer);
        }
    }

    /// It was sent; its task was written, or another server was quicker.
    pub(super) fn told(&mut self, written: bool) {
        let Some(sent) = self.sent.take() else { return };
        self.tries += 1;
        if written {
            self.answer = Some(sent.answer);
        } else if self.tries == TRIES {
            self.answer = Some(Recorded::Conflict);
        }
    }
}

/// A task as it stands, with what this batch has made of it.
pub(super) struct Standing {
    owner: Owner,
    state: TaskState,
    base: i64,
    version: i64,
    fence: u64,
}

/// Tasks as they were read; those that cannot be are faults.
pub(super) fn standings(rows: &[tokio_postgres::Row]) -> Result<HashMap<String, Result<Standing, Fault>>, Fault> {
    let one = |row: &tokio_postgres::Row| -> Result<Standing, Fault> {
        let version = row.try_get(3)?;
        Ok(Standing {
            owner: Owner(columns::from_text(row.try_get(1)?)),
            state: columns::document("state", row.try_get(0)?, row.try_get(2)?)?,
            base: version,
            version,
            fence: columns::amount(row.try_get(4)?),
        })
    };
    rows.iter().map(|row| Ok((row.try_get(0)?, one(row)))).collect()
}

type Texts = Vec<String>;
type Numbers = Vec<i64>;

/// The columns of a batch, as [`MOVE`] takes them.
#[derive(Default)]
pub(super) struct Moves {
    pub(super) ids: Vec<String>,
    bases: Vec<i64>,
    states: Vec<String>,
    versions: Vec<i64>,
    phases: Vec<i64>,
    stages: Vec<i64>,
    not_befores: Vec<i64>,
    events: (Texts, Numbers, Numbers, Numbers, Texts),
    leavings: (Texts, Numbers, Texts, Texts),
    changes: (Texts, Numbers, Numbers, Numbers, Numbers),
    /// Tasks that wait again.
    pub(super) queued: u64,
    /// Tasks whose cancel was requested.
    pub(super) canceled: u64,
}

impl Moves {
    /// Whether anything that is told of is in it.
    pub(super) fn changes(&self) -> bool {
        !self.changes.0.is_empty()
    }

    /// Says an event to its task. What needs no writing is answered at once.
    pub(super) fn say(
        &mut self,
        item: &mut Item,
        owner: Option<&Owner>,
        standings: &mut HashMap<String, Result<Standing, Fault>>,
    ) -> Result<(), Fault> {
        let task = &item.record.task;
        let standing = match standings.get_mut(task.as_str()) {
            None => {
                item.answer = Some(Recorded::Unknown);
                return Ok(());
            }
            Some(Err(fault)) => return Err(Fault::Unreadable(fault.to_string())),
            Some(Ok(standing)) => standing,
        };
        if owner.is_some_and(|owner| *owner != standing.owner) {
            item.answer = Some(Recorded::Unknown);
            return Ok(());
        }
        if item.record.fence.is_some_and(|Fence(fence)| fence < standing.fence) {
            item.answer = Some(Recorded::Fenced);
            return Ok(());
        }
        let (at, event) = (item.record.at, &item.record.event);
        if let Event::Claimed { .. } = event {
            // A claim has a holder and an end: it is taken with `claim`, and by no other way.
            item.answer = Some(Recorded::Unchanged(standing.state.phase()));
            return Ok(());
        }
        let answer = match standing.state.after(event) {
            Step::Refused(refusal) => {
                item.answer = Some(Recorded::Refused(refusal));
                return Ok(());
            }
            Step::Unchanged => {
                let answer = Recorded::Unchanged(standing.state.phase());
                if !matches!(event, Event::Noted { .. }) || standing.state.is_terminal() {
                    item.answer = Some(answer);
                    return Ok(());
                }
                answer
            }
            Step::Moves(to) => {
                self.moved(task, standing, &to, at, event);
                standing.state = to;
                Recorded::Moved(standing.state.phase())
            }
        };
        standing.version += 1;
        let (seq, at, body) = (standing.version, columns::from_moment(at), columns::from_document(event)?);
        self.events.0.push(task.as_str().to_owned());
        self.events.1.push(standing.base);
        self.events.2.push(seq);
        self.events.3.push(at);
        self.events.4.push(body.clone());
        item.sent = Some(Sent { seq, at, body, answer });
        Ok(())
    }

    /// What goes with a step.
    fn moved(&mut self, task: &TaskId, from: &Standing, to: &TaskState, at: Timestamp, event: &Event) {
        if let Some(job) = columns::over(&from.state, to) {
            self.leavings.0.push(task.as_str().to_owned());
            self.leavings.1.push(from.base);
            self.leavings.2.push(columns::text(&job.backend));
            self.leavings.3.push(columns::text(&job.handle));
        }
        let (before, now) = (from.state.phase(), to.phase());
        if before != now {
            self.changes.0.push(task.as_str().to_owned());
            self.changes.1.push(from.base);
            self.changes.2.push(columns::from_phase(now));
            self.changes.3.push(columns::from_phase(before));
            self.changes.4.push(columns::from_moment(at));
        }
        self.queued += u64::from(columns::from_state(to) == columns::WAITING);
        self.canceled += u64::from(matches!(event, Event::CancelRequested { .. }));
    }

    /// Where each task stands after all that was said to it.
    pub(super) fn finish(&mut self, standings: &HashMap<String, Result<Standing, Fault>>) -> Result<(), Fault> {
        for (id, standing) in standings {
            let Ok(standing) = standing else { continue };
            if standing.version == standing.base {
                continue;
            }
            self.ids.push(id.clone());
            self.bases.push(standing.base);
            self.states.push(columns::from_document(&standing.state)?);
            self.versions.push(standing.version);
            self.phases.push(columns::from_phase(standing.state.phase()));
            self.stages.push(columns::from_state(&standing.state));
            self.not_befores.push(columns::not_before(&standing.state));
        }
        Ok(())
    }

    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 21] {
        let (events, leavings, changes) = (&self.events, &self.leavings, &self.changes);
        [
            &self.ids,
            &self.bases,
            &self.states,
            &self.versions,
            &self.phases,
            &self.stages,
            &self.not_befores,
            &events.0,
            &events.1,
            &events.2,
            &events.3,
            &events.4,
            &leavings.0,
            &leavings.1,
            &leavings.2,
            &leavings.3,
            &changes.0,
            &changes.1,
            &changes.2,
            &changes.3,
            &changes.4,
        ]
    }
}
