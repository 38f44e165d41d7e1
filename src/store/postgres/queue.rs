//! What the engine reads: who waits, who is outside, what is left behind.

use std::time::Instant;

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tracing::warn;

use super::columns::{self, CLAIMED};
use super::fault::Fault;
use super::pool::Pool;
use crate::store::{
    Active, Candidate, Claim, Fence, Holder, Leftover, Load, OwnQueueing, QueueCursor, QueuePiece, Queueing, Standing,
};
use crate::task::{JobRef, Owner, TaskId, TaskState};

/// Tasks that wait and may be tried.
pub(super) const QUEUED: &str = "
    SELECT id, state, wanted, stage, backend, ask_cpu, ask_ram, fence FROM tasks
    WHERE stage IN (0, 1) AND id > $1 AND not_before <= $3 AND (stage = 0 OR until <= $3)
    ORDER BY id, stage LIMIT $2";

/// The queue, whoever owns it.
pub(super) const QUEUEING: &str = "
    SELECT id, stage, wanted, backend, owner = $3, name, created, state, ask_cpu, ask_ram FROM tasks
    WHERE stage IN (0, 1) AND id > $1 ORDER BY id, stage LIMIT $2";

/// Who stands between two tasks, the first included; for many pairs.
pub(super) const AHEAD: &str = "
    SELECT place.n, (SELECT count(*) FROM (
        SELECT FROM tasks
        WHERE stage IN (0, 1) AND id >= place.low AND id < place.high
          AND stage = 0 AND (wanted = $3 OR $4 AND wanted IS NULL)
        ORDER BY id, stage OFFSET 0) AS those)
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS place (low, high, n)";

/// What claimed tasks and those outside are counted with. A sum is as large as it gets: a column holds no more.
pub(super) const LOAD: &str = "
    SELECT backend, count(*), least(sum(cpu), 9223372036854775807)::bigint, least(sum(ram), 9223372036854775807)::bigint
    FROM (SELECT backend, cpu, ram FROM tasks WHERE stage IN (1, 2, 3) ORDER BY id, stage OFFSET 0) AS those
    WHERE backend IS NOT NULL GROUP BY backend";

/// Tasks that have, or may have, something outside.
pub(super) const ACTIVE: &str = "
    SELECT id, state, fence, backend, until, holder FROM tasks
    WHERE stage IN (1, 2, 3) AND id > $1 ORDER BY id, stage LIMIT $2";

/// Those of them whose cancel was requested.
pub(super) const IN_CANCELING: &str = "
    SELECT id, state, fence, backend, until, holder FROM tasks WHERE stage = 3 AND id > $1 ORDER BY id, stage LIMIT $2";

/// Where tasks stand.
pub(super) const STANDING: &str = "
    SELECT wanted.n, tasks.id, state, fence, backend, until, holder
    FROM unnest($1::text[]) WITH ORDINALITY AS wanted (id, n) JOIN tasks ON tasks.id = wanted.id";

/// Jobs whose leavings are to be removed.
pub(super) const LEFTOVERS: &str = "SELECT task, backend, handle, holder FROM leftovers ORDER BY task LIMIT $1";

/// Who claimed a task last.
pub(super) const KEEPER: &str = "SELECT holder FROM tasks WHERE id = $1";

/// Runs [`QUEUED`].
pub(super) async fn queued(
    pool: &Pool,
    now: Timestamp,
    after: Option<&QueueCursor>,
    limit: u32,
) -> Result<Vec<Candidate>, Fault> {
    let after = after.map_or("", |cursor| cursor.0.as_str());
    walk(pool, QUEUED, after, limit, &[&columns::from_moment(now)], |row| {
        let (task, state) = task_and_state(row, 0)?;
        let Some(attempt) = state.attempt() else { return Ok(None) };
        let claimed_on = if row.try_get::<_, i64>(3)? == CLAIMED { optional_text(row, 4)? } else { None };
        Ok(Some(Candidate {
            task,
            attempt,
            fence: Fence(columns::amount(row.try_get(7)?)),
            backend: optional_text(row, 2)?,
            claimed_on,
            cpu_milli: optional_amount(row, 5)?,
            ram_bytes: optional_amount(row, 6)?,
        }))
    })
    .await
}

/// Runs [`QUEUEING`]. A row of the owner that cannot be read is counted like another's.
pub(super) async fn queueing(
    pool: &Pool,
    owner: &Owner,
    after: Option<&TaskId>,
    limit: u32,
) -> Result<QueuePiece, Fault> {
    let began = Instant::now();
    let values: [&(dyn ToSql + Sync); 3] =
        [&after.map_or("", TaskId::as_str), &i64::from(limit), &columns::text(&owner.0)];
    let rows = pool.rows(QUEUEING, &values).await?;
    let mut tasks = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: &str = row.try_get(0)?;
        let claimed_on = if row.try_get::<_, i64>(1)? == CLAIMED { optional_text(row, 3)? } else { None };
        let own = if row.try_get(4)? { own_queueing(id, row).map(Some) } else { Ok(None) };
        let own = match own {
            Err(fault) if fault.is_of_one_row() => {
                warn!(task = id, "passed over: {fault}");
                None
            }
            own => own?,
        };
        tasks.push(Queueing { task: columns::task_id(id)?, wanted: optional_text(row, 2)?, claimed_on, own });
    }
    Ok(QueuePiece { tasks, took: began.elapsed() })
}

fn own_queueing(id: &str, row: &Row) -> Result<OwnQueueing, Fault> {
    Ok(OwnQueueing {
        name: optional_text(row, 5)?,
        created: columns::moment(row.try_get(6)?)?,
        state: columns::document("state", id, row.try_get(7)?)?,
        cpu_milli: optional_amount(row, 8)?,
        ram_bytes: optional_amount(row, 9)?,
    })
}

/// Runs [`AHEAD`] from each task to the next.
pub(super) async fn ahead(
    pool: &Pool,
    tasks: &[TaskId],
    backend: &str,
    takes_unnamed: bool,
) -> Result<Vec<u64>, Fault> {
    let highs: Vec<&str> = tasks.iter().map(TaskId::as_str).collect();
    let before = std::iter::once("").chain(highs.iter().copied());
    let lows: Vec<&str> = before.zip(&highs).map(|(low, high)| if *high < low { "" } else { low }).collect();
    let values: [&(dyn ToSql + Sync); 4] = [&lows, &highs, &columns::text(backend), &takes_unnamed];
    let rows = pool.rows(AHEAD, &values).await?;
    let mut between = vec![0; tasks.len()];
    for row in &rows {
        let place = usize::try_from(row.try_get::<_, i64>(0)? - 1).unwrap_or(usize::MAX);
        if let Some(count) = between.get_mut(place) {
            *count = columns::amount(row.try_get(1)?);
        }
    }
    let mut sum = 0;
    let counted = lows.iter().zip(between).map(|(low, count)| {
        sum = if low.is_empty() { count } else { sum + count };
        sum
    });
    Ok(counted.collect())
}

/// Runs a query that goes on after an id, until it has as many as asked for or comes to the end. A row that cannot be
/// read is passed over: it keeps no other from being looked at.
async fn walk<T>(
    pool: &Pool,
    query: &str,
    after: &str,
    limit: u32,
    more: &[&(dyn ToSql + Sync)],
    read: impl Fn(&Row) -> Result<Option<T>, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut after = after.to_owned();
    let mut found = Vec::new();
    loop {
        let left = i64::from(limit) - i64::try_from(found.len()).unwrap_or(i64::MAX);
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&after, &left];
        values.extend(more);
        let rows = pool.rows(query, &values).await?;
        for row in &rows {
            match read(row) {
                Ok(one) => found.extend(one),
                Err(fault) if fault.is_of_one_row() => {
                    warn!(task = row.try_get::<_, &str>(0)?, "passed over: {fault}");
                }
                Err(fault) => return Err(fault),
            }
        }
        let was_last = i64::try_from(rows.len()).unwrap_or(i64::MAX) < left || found.len() >= limit as usize;
        let Some(last) = rows.last().filter(|_| !was_last) else { return Ok(found) };
        after = last.try_get(0)?;
    }
}

/// Runs [`LOAD`].
pub(super) async fn load(pool: &Pool) -> Result<Vec<Load>, Fault> {
    let one = |row: &Row| {
        let amount = |column| -> Result<u64, Fault> { Ok(columns::amount(row.try_get(column)?)) };
        let backend = columns::from_text(row.try_get(0)?);
        Ok(Load { backend, jobs: amount(1)?, cpu_milli: amount(2)?, ram_bytes: amount(3)? })
    };
    pool.rows(LOAD, &[]).await?.iter().map(one).collect()
}

/// Runs [`ACTIVE`].
pub(super) async fn active(pool: &Pool, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, Fault> {
    walk(pool, ACTIVE, after.map_or("", TaskId::as_str), limit, &[], |row| one_active(row, 0).map(Some)).await
}

/// Runs [`IN_CANCELING`].
pub(super) async fn canceling(pool: &Pool, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, Fault> {
    walk(pool, IN_CANCELING, after.map_or("", TaskId::as_str), limit, &[], |row| one_active(row, 0).map(Some)).await
}

/// Runs [`STANDING`]; answers in the order asked.
pub(super) async fn standing(pool: &Pool, ids: &[TaskId]) -> Result<Vec<Standing>, Fault> {
    let wanted: Vec<&str> = ids.iter().map(TaskId::as_str).collect();
    let mut found = vec![Standing::Unknown; ids.len()];
    for row in &pool.rows(STANDING, &[&wanted]).await? {
        let place = usize::try_from(row.try_get::<_, i64>(0)? - 1).unwrap_or(usize::MAX);
        let standing = match one_active(row, 1) {
            Ok(active) => Standing::At(active),
            Err(fault) if fault.is_of_one_row() => {
                warn!(task = row.try_get::<_, &str>(1)?, "its job is left alone: {fault}");
                Standing::Unreadable
            }
            Err(fault) => return Err(fault),
        };
        if let Some(one) = found.get_mut(place) {
            *one = standing;
        }
    }
    Ok(found)
}

/// Runs [`LEFTOVERS`].
pub(super) async fn leftovers(pool: &Pool, limit: u32) -> Result<Vec<Leftover>, Fault> {
    let rows = pool.rows(LEFTOVERS, &[&i64::from(limit)]).await?;
    let one = |row: &Row| {
        let text = |column| -> Result<String, Fault> { Ok(columns::from_text(row.try_get(column)?)) };
        let job = JobRef { backend: text(1)?, handle: text(2)? };
        Ok(Leftover { task: columns::task_id(row.try_get(0)?)?, job, holder: optional_text(row, 3)?.map(Holder) })
    };
    rows.iter().map(one).collect()
}

/// Runs [`KEEPER`].
pub(super) async fn keeper(pool: &Pool, id: &TaskId) -> Result<Option<Holder>, Fault> {
    let row = pool.row(KEEPER, &[&id.as_str()]).await?;
    Ok(row.map(|row| optional_text(&row, 0)).transpose()?.flatten().map(Holder))
}

/// Two columns of a row.
fn task_and_state(row: &Row, from: usize) -> Result<(TaskId, TaskState), Fault> {
    let id: &str = row.try_get(from)?;
    let state = columns::document("state", id, row.try_get(from + 1)?)?;
    Ok((columns::task_id(id)?, state))
}

/// id, state, fence, backend, until, holder; from a column on.
pub(super) fn one_active(row: &Row, from: usize) -> Result<Active, Fault> {
    let (task, state) = task_and_state(row, from)?;
    let claim = match optional_text(row, from + 3)? {
        Some(backend) if !state.is_terminal() => Some(Claim {
            fence: Fence(columns::amount(row.try_get(from + 2)?)),
            holder: Holder(optional_text(row, from + 5)?.unwrap_or_default()),
            backend,
            until: columns::moment(row.try_get(from + 4)?)?,
        }),
        Some(_) | None => None,
    };
    Ok(Active { task, state, claim })
}

fn optional_text(row: &Row, column: usize) -> Result<Option<String>, Fault> {
    Ok(row.try_get::<_, Option<&str>>(column)?.map(columns::from_text))
}

fn optional_amount(row: &Row, column: usize) -> Result<Option<u64>, Fault> {
    Ok(row.try_get::<_, Option<i64>>(column)?.map(columns::amount))
}
