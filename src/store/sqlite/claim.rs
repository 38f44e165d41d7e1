//! Taking waiting tasks.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use tracing::warn;

use super::columns::{self, CLAIMED, WAITING};
use super::fault::Fault;
use crate::store::{Claim, ClaimRequest, Claimed, Fence, Holder};
use crate::task::{Event, Step, TaskSpec, TaskState};

/// Takes one task, if it is still to be had: it waits, its time has come, and nobody's claim on it lasts.
pub(super) fn claim(
    connection: &Connection,
    holder: &Holder,
    now: Timestamp,
    until: Timestamp,
    wanted: &ClaimRequest,
) -> Result<Option<Claimed>, Fault> {
    let task = wanted.task.as_str();
    let mut statement = connection.prepare_cached(
        "SELECT owner, stage, state, version, not_before, fence, until, specs.spec
         FROM tasks JOIN specs ON specs.row = tasks.spec WHERE id = ?1",
    )?;
    let mut rows = statement.query([task])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let now = columns::from_moment(now);
    let to_be_had = match row.get(1)? {
        WAITING => row.get::<_, i64>(4)? <= now,
        CLAIMED => row.get::<_, i64>(6)? <= now,
        _ => false,
    };
    if !to_be_had {
        return Ok(None);
    }
    let Some((state, spec)) = read(task, row)? else { return Ok(None) };
    let TaskState::Queued { attempt, refusals, .. } = state else { return Ok(None) };
    let taken = match state.after(&Event::Claimed { attempt }) {
        Step::Moves(taken) => taken,
        Step::Unchanged => state,
        Step::Refused(_) => return Ok(None),
    };
    let fence = row.get::<_, i64>(5)? + 1;
    connection
        .prepare_cached(
            "UPDATE tasks SET stage = 1, state = ?2, version = ?3, fence = ?4, holder = ?5, backend = ?6, until = ?7,
                              cpu = ?8, ram = ?9
             WHERE id = ?1",
        )?
        .execute(params![
            task,
            columns::from_document(&taken)?,
            row.get::<_, i64>(3)? + 1,
            fence,
            holder.0,
            wanted.backend,
            columns::from_moment(until),
            columns::from_amount(wanted.cpu_milli),
            columns::from_amount(wanted.ram_bytes),
        ])?;
    Ok(Some(Claimed {
        task: wanted.task.clone(),
        owner: columns::owner(row.get_ref(0)?.as_str()?),
        attempt,
        refusals,
        spec,
        claim: Claim {
            fence: Fence(columns::amount(fence)),
            holder: holder.clone(),
            backend: wanted.backend.clone(),
            until,
        },
    }))
}

/// A task that cannot be read is not to be had, and does not keep the others from being taken.
fn read(task: &str, row: &rusqlite::Row<'_>) -> Result<Option<(TaskState, TaskSpec)>, Fault> {
    let state = columns::document("state", task, row.get_ref(2)?.as_str()?);
    let spec = columns::document("spec", task, row.get_ref(7)?.as_str()?);
    match (state, spec) {
        (Ok(state), Ok(spec)) => Ok(Some((state, spec))),
        (Err(fault), _) | (_, Err(fault)) => {
            warn!(task, "left in the queue: {fault}");
            Ok(None)
        }
    }
}
