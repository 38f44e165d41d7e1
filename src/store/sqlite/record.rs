//! Applying events: state and event are written together, or neither is.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::{changes, columns};
use crate::store::{Record, Recorded};
use crate::task::{Event, Owner, Step, TaskId, TaskState};

/// A task as it stands.
struct Standing {
    owner: Owner,
    state: TaskState,
    version: i64,
    fence: u64,
}

fn standing(connection: &Connection, task: &TaskId) -> Result<Option<Standing>, Fault> {
    let mut statement = connection.prepare_cached("SELECT owner, state, version, fence FROM tasks WHERE id = ?1")?;
    let mut rows = statement.query([task.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Standing {
        owner: Owner(row.get(0)?),
        state: columns::document("state", task.as_str(), row.get_ref(1)?.as_str()?)?,
        version: row.get(2)?,
        fence: columns::amount(row.get(3)?),
    }))
}

/// Applies one event. [`Recorded::Conflict`] never happens: only this thread writes.
pub(super) fn record(connection: &Connection, record: &Record) -> Result<Recorded, Fault> {
    let Some(standing) = standing(connection, &record.task)? else { return Ok(Recorded::Unknown) };
    if record.fence.is_some_and(|fence| fence.0 < standing.fence) {
        return Ok(Recorded::Fenced);
    }
    if let Event::Claimed { .. } = record.event {
        // A claim has a holder and an end: it is taken with `claim`, and by no other way.
        return Ok(Recorded::Unchanged(standing.state.phase()));
    }
    apply(connection, &record.task, &standing, record.at, &record.event)
}

/// Applies a user's cancel; `None` when the task is not this owner's.
pub(super) fn cancel(
    connection: &Connection,
    owner: &Owner,
    task: &TaskId,
    at: Timestamp,
    shown: bool,
) -> Result<Option<Recorded>, Fault> {
    match standing(connection, task)? {
        Some(standing) if standing.owner == *owner => {
            apply(connection, task, &standing, at, &Event::CancelRequested { shown }).map(Some)
        }
        Some(_) | None => Ok(None),
    }
}

fn apply(
    connection: &Connection,
    task: &TaskId,
    from: &Standing,
    at: Timestamp,
    event: &Event,
) -> Result<Recorded, Fault> {
    let version = from.version + 1;
    match from.state.after(event) {
        Step::Refused(refusal) => Ok(Recorded::Refused(refusal)),
        Step::Unchanged => {
            if matches!(event, Event::Noted { .. }) && !from.state.is_terminal() {
                append(connection, task, version, at, event)?;
                connection
                    .prepare_cached("UPDATE tasks SET version = ?2 WHERE id = ?1")?
                    .execute(params![task.as_str(), version])?;
            }
            Ok(Recorded::Unchanged(from.state.phase()))
        }
        Step::Moves(to) => {
            append(connection, task, version, at, event)?;
            write(connection, task, version, &from.state, &to)?;
            if let Some(job) = columns::over(&from.state, &to) {
                connection
                    .prepare_cached(
                        "INSERT OR IGNORE INTO leftovers (task, backend, handle, holder)
                         VALUES (?1, ?2, ?3, (SELECT holder FROM tasks WHERE id = ?1))",
                    )?
                    .execute([task.as_str(), &job.backend, &job.handle])?;
            }
            let (before, now) = (from.state.phase(), to.phase());
            if before != now {
                changes::append(connection, &from.owner, task, Some(before), now, at)?;
            }
            Ok(Recorded::Moved(now))
        }
    }
}

fn append(connection: &Connection, task: &TaskId, seq: i64, at: Timestamp, event: &Event) -> Result<(), Fault> {
    connection.prepare_cached("INSERT INTO events (task, seq, at, body) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        task.as_str(),
        seq,
        columns::from_moment(at),
        columns::from_document(event)?
    ])?;
    Ok(())
}

/// SQLite touches each index whose column a statement names, changed or not: so each names only what changes.
fn write(connection: &Connection, task: &TaskId, version: i64, from: &TaskState, to: &TaskState) -> Result<(), Fault> {
    let state = columns::from_document(to)?;
    let (phase, stage) = (to.phase(), columns::from_state(to));
    let task = task.as_str();
    if stage != columns::from_state(from) {
        connection
            .prepare_cached(
                "UPDATE tasks SET state = ?2, version = ?3, phase = ?4, stage = ?5, not_before = ?6,
                                  backend = iif(?5 = 0, NULL, backend)
                 WHERE id = ?1",
            )?
            .execute(params![task, state, version, columns::from_phase(phase), stage, columns::not_before(to)])?;
    } else if phase != from.phase() {
        connection
            .prepare_cached("UPDATE tasks SET state = ?2, version = ?3, phase = ?4 WHERE id = ?1")?
            .execute(params![task, state, version, columns::from_phase(phase)])?;
    } else {
        connection
            .prepare_cached("UPDATE tasks SET state = ?2, version = ?3 WHERE id = ?1")?
            .execute(params![task, state, version])?;
    }
    Ok(())
}
