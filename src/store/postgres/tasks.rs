//! Reading tasks with their histories.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::columns;
use super::fault::Fault;
use super::pool::Pool;
use crate::store::Summary;
use crate::task::history::attempts;
use crate::task::{Event, Owner, Task, TaskId, TaskState};

/// A task with its events, if it is this owner's.
pub(super) const TASK: &str = "
    SELECT tasks.id, tasks.owner, tasks.created, tasks.state, specs.spec, told.numbers, told.moments, told.bodies
    FROM tasks JOIN specs ON specs.row = tasks.spec
    LEFT JOIN LATERAL (SELECT array_agg(seq) AS numbers, array_agg(at) AS moments, array_agg(body) AS bodies
                       FROM events WHERE task = tasks.id) AS told ON true
    WHERE tasks.id = $1 AND tasks.owner IS NOT DISTINCT FROM $2";

/// The same, whoever owns it.
pub(super) const OF_ANYBODY: &str = "
    SELECT tasks.id, tasks.owner, tasks.created, tasks.state, specs.spec, told.numbers, told.moments, told.bodies
    FROM tasks JOIN specs ON specs.row = tasks.spec
    LEFT JOIN LATERAL (SELECT array_agg(seq) AS numbers, array_agg(at) AS moments, array_agg(body) AS bodies
                       FROM events WHERE task = tasks.id) AS told ON true
    WHERE tasks.id = $1";

/// A state, from a column on.
pub(super) fn one_summary(row: &Row, from: usize) -> Result<Summary, Fault> {
    Ok(Summary {
        id: columns::task_id(row.try_get(from)?)?,
        created: columns::moment(row.try_get(from + 1)?)?,
        phase: columns::phase(row.try_get(from + 2)?)?,
    })
}

/// A task with its history, if it is this owner's.
pub(super) async fn get(pool: &Pool, owner: &Owner, id: &TaskId) -> Result<Option<Task>, Fault> {
    let row = pool.row(TASK, &[&id.as_str(), &columns::text(&owner.0)]).await?;
    row.map(|row| one_task(&row, 0)).transpose()
}

/// A task with its history, whoever owns it.
pub(super) async fn of_anybody(pool: &Pool, id: &TaskId) -> Result<Option<Task>, Fault> {
    let row = pool.row(OF_ANYBODY, &[&id.as_str()]).await?;
    row.map(|row| one_task(&row, 0)).transpose()
}

/// A task with its history, from a column on.
pub(super) fn one_task(row: &Row, from: usize) -> Result<Task, Fault> {
    let id: &str = row.try_get(from)?;
    let state: TaskState = columns::document("state", id, row.try_get(from + 3)?)?;
    Ok(Task {
        id: columns::task_id(id)?,
        owner: Owner(columns::from_text(row.try_get(from + 1)?)),
        created: columns::moment(row.try_get(from + 2)?)?,
        spec: columns::document("spec", id, row.try_get(from + 4)?)?,
        state,
        attempts: attempts(events(id, row, from + 5)?.iter().map(|(at, event)| (*at, event))),
    })
}

/// A task's events in the order in which they happened; a new task has none.
fn events(id: &str, row: &Row, from: usize) -> Result<Vec<(Timestamp, Event)>, Fault> {
    let numbers: Vec<i64> = row.try_get::<_, Option<_>>(from)?.unwrap_or_default();
    let moments: Vec<i64> = row.try_get::<_, Option<_>>(from + 1)?.unwrap_or_default();
    let bodies: Vec<&str> = row.try_get::<_, Option<_>>(from + 2)?.unwrap_or_default();
    let mut told: Vec<_> = numbers.into_iter().zip(moments).zip(bodies).collect();
    // They come in order from the key; a sort in SQL would carry every body through it.
    told.sort_by_key(|((number, _), _)| *number);
    let one = |((_, at), body)| Ok((columns::moment(at)?, columns::document("history", id, body)?));
    told.into_iter().map(one).collect()
}
