//! What the engine reads: who waits, who is outside, what is left behind.

use jiff::Timestamp;
use rusqlite::{Connection, Row, ToSql, params};
use tracing::warn;

use super::columns::{self, CLAIMED};
use super::fault::Fault;
use crate::store::{
    Active, Candidate, Claim, Fence, Holder, Leftover, Load, OwnQueueing, QueueCursor, Queueing, Standing,
};
use crate::task::{JobRef, Owner, TaskId, TaskState};

/// Tasks that wait and may be tried.
pub(super) const QUEUED: &str = "
    SELECT id, state, wanted, stage, backend, ask_cpu, ask_ram, fence FROM tasks
    WHERE stage IN (0, 1) AND id > ?1 AND not_before <= ?3 AND (stage = 0 OR until <= ?3)
    ORDER BY id LIMIT ?2";

/// The queue, whoever owns it.
pub(super) const QUEUEING: &str = "
    SELECT id, stage, wanted, backend, owner = ?3, name, created, state, ask_cpu, ask_ram FROM tasks
    WHERE stage IN (0, 1) AND id > ?1 ORDER BY id LIMIT ?2";

/// Who stands between two tasks, the first included.
pub(super) const AHEAD: &str = "
    SELECT count(*) FROM tasks
    WHERE stage IN (0, 1) AND id >= ?1 AND id < ?2 AND stage = 0 AND (wanted = ?3 OR ?4 AND wanted IS NULL)";

/// What claimed tasks and those outside are counted with.
pub(super) const LOAD: &str = "SELECT backend, cpu, ram FROM tasks WHERE stage IN (1, 2, 3)";

/// Tasks that have, or may have, something outside.
pub(super) const ACTIVE: &str = "
    SELECT id, state, fence, backend, until, holder FROM tasks WHERE stage IN (1, 2, 3) AND id > ?1 ORDER BY id LIMIT ?2";

/// Those of them whose cancel was requested.
pub(super) const IN_CANCELING: &str = "
    SELECT id, state, fence, backend, until, holder FROM tasks WHERE stage = 3 AND id > ?1 ORDER BY id LIMIT ?2";

/// Where one task stands.
pub(super) const STANDING: &str = "SELECT id, state, fence, backend, until, holder FROM tasks WHERE id = ?1";

/// Jobs whose leavings are to be removed.
pub(super) const LEFTOVERS: &str = "SELECT task, backend, handle, holder FROM leftovers ORDER BY task LIMIT ?1";

/// Runs [`QUEUED`].
pub(super) fn queued(
    connection: &Connection,
    now: Timestamp,
    after: Option<&QueueCursor>,
    limit: u32,
) -> Result<Vec<Candidate>, Fault> {
    let after = after.map_or("", |cursor| cursor.0.as_str());
    walk(connection, QUEUED, after, limit, &[columns::from_moment(now)], |row| {
        let (task, state) = task_and_state(row)?;
        let Some(attempt) = state.attempt() else { return Ok(None) };
        let claimed_on = if row.get::<_, i64>(3)? == CLAIMED { row.get(4)? } else { None };
        Ok(Some(Candidate {
            task,
            attempt,
            fence: Fence(columns::amount(row.get(7)?)),
            backend: row.get(2)?,
            claimed_on,
            cpu_milli: row.get::<_, Option<i64>>(5)?.map(columns::amount),
            ram_bytes: row.get::<_, Option<i64>>(6)?.map(columns::amount),
        }))
    })
}

/// Runs [`QUEUEING`]. A row of the owner that cannot be read is counted like another's.
pub(super) fn queueing(
    connection: &Connection,
    owner: &Owner,
    after: Option<&TaskId>,
    limit: u32,
) -> Result<Vec<Queueing>, Fault> {
    let mut statement = connection.prepare_cached(QUEUEING)?;
    let mut rows = statement.query(params![after.map_or("", TaskId::as_str), limit, owner.0])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get_ref(0)?.as_str()?;
        let claimed_on = if row.get::<_, i64>(1)? == CLAIMED { row.get(3)? } else { None };
        let own = if row.get(4)? { own_queueing(id, row) } else { Ok(None) };
        let own = match own {
            Err(fault) if fault.is_of_one_row() => {
                warn!(task = id, "passed over: {fault}");
                None
            }
            own => own?,
        };
        found.push(Queueing { task: columns::task_id(id)?, wanted: row.get(2)?, claimed_on, own });
    }
    Ok(found)
}

fn own_queueing(id: &str, row: &Row<'_>) -> Result<Option<OwnQueueing>, Fault> {
    Ok(Some(OwnQueueing {
        name: row.get(5)?,
        created: columns::moment(row.get(6)?)?,
        state: columns::document("state", id, row.get_ref(7)?.as_str()?)?,
        cpu_milli: row.get::<_, Option<i64>>(8)?.map(columns::amount),
        ram_bytes: row.get::<_, Option<i64>>(9)?.map(columns::amount),
    }))
}

/// Runs [`AHEAD`] from each task to the next.
pub(super) fn ahead(
    connection: &Connection,
    tasks: &[TaskId],
    backend: &str,
    takes_unnamed: bool,
) -> Result<Vec<u64>, Fault> {
    let mut statement = connection.prepare_cached(AHEAD)?;
    let (mut from, mut ahead) = ("", 0);
    let mut found = Vec::with_capacity(tasks.len());
    for task in tasks {
        let task = task.as_str();
        if task < from {
            (from, ahead) = ("", 0);
        }
        let between = statement.query_row(params![from, task, backend, takes_unnamed], |row| row.get(0))?;
        ahead += columns::amount(between);
        from = task;
        found.push(ahead);
    }
    Ok(found)
}

/// Runs a query that goes on after an id, until it has as many as asked for or comes to the end. A row that cannot be
/// read is passed over: it keeps no other from being looked at.
fn walk<T>(
    connection: &Connection,
    query: &str,
    after: &str,
    limit: u32,
    more: &[i64],
    read: impl Fn(&Row<'_>) -> Result<Option<T>, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare_cached(query)?;
    let mut after = after.to_owned();
    let mut left = limit;
    let mut found = Vec::new();
    loop {
        let mut parameters: Vec<&dyn ToSql> = vec![&after, &left];
        for one in more {
            parameters.push(one);
        }
        let mut rows = statement.query(parameters.as_slice())?;
        let (mut scanned, mut taken) = (0, 0);
        let mut last = String::new();
        while let Some(row) = rows.next()? {
            scanned += 1;
            row.get_ref(0)?.as_str()?.clone_into(&mut last);
            match read(row) {
                Ok(one) => {
                    taken += u32::from(one.is_some());
                    found.extend(one);
                }
                Err(fault) if fault.is_of_one_row() => warn!(task = last, "passed over: {fault}"),
                Err(fault) => return Err(fault),
            }
        }
        drop(rows);
        if scanned < left || taken == left {
            return Ok(found);
        }
        left -= taken;
        after = last;
    }
}

/// Sums [`LOAD`] here and not in SQL, whose sums overflow with an error.
pub(super) fn load(connection: &Connection) -> Result<Vec<Load>, Fault> {
    let mut statement = connection.prepare_cached(LOAD)?;
    let mut rows = statement.query([])?;
    let mut loads: Vec<Load> = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(backend) = row.get_ref(0)?.as_str_or_null()? else { continue };
        let (cpu_milli, ram_bytes) = (columns::amount(row.get(1)?), columns::amount(row.get(2)?));
        match loads.iter_mut().find(|load| load.backend == backend) {
            Some(load) => {
                load.jobs += 1;
                load.cpu_milli = load.cpu_milli.saturating_add(cpu_milli);
                load.ram_bytes = load.ram_bytes.saturating_add(ram_bytes);
            }
            None => loads.push(Load { backend: backend.to_owned(), jobs: 1, cpu_milli, ram_bytes }),
        }
    }
    Ok(loads)
}

/// Runs [`ACTIVE`] or [`IN_CANCELING`].
pub(super) fn active(
    connection: &Connection,
    query: &str,
    after: Option<&TaskId>,
    limit: u32,
) -> Result<Vec<Active>, Fault> {
    walk(connection, query, after.map_or("", TaskId::as_str), limit, &[], |row| one_active(row).map(Some))
}

/// Runs [`STANDING`] for each.
pub(super) fn standing(connection: &Connection, ids: &[TaskId]) -> Result<Vec<Standing>, Fault> {
    let mut statement = connection.prepare_cached(STANDING)?;
    let one = |id: &TaskId| -> Result<Standing, Fault> {
        let mut rows = statement.query([id.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(Standing::Unknown) };
        match one_active(row) {
            Ok(active) => Ok(Standing::At(active)),
            Err(fault) if fault.is_of_one_row() => {
                warn!(task = id.as_str(), "its job is left alone: {fault}");
                Ok(Standing::Unreadable)
            }
            Err(fault) => Err(fault),
        }
    };
    ids.iter().map(one).collect()
}

/// Runs [`LEFTOVERS`].
pub(super) fn leftovers(connection: &Connection, limit: u32) -> Result<Vec<Leftover>, Fault> {
    let mut statement = connection.prepare_cached(LEFTOVERS)?;
    let mut rows = statement.query([limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let task = columns::task_id(row.get_ref(0)?.as_str()?)?;
        let job = JobRef { backend: row.get(1)?, handle: row.get(2)? };
        found.push(Leftover { task, job, holder: row.get::<_, Option<String>>(3)?.map(Holder) });
    }
    Ok(found)
}

/// Removes leavings that are gone.
pub(super) fn forget(connection: &Connection, leftovers: &[Leftover]) -> Result<(), Fault> {
    let mut statement =
        connection.prepare_cached("DELETE FROM leftovers WHERE task = ?1 AND backend = ?2 AND handle = ?3")?;
    for Leftover { task, job, .. } in leftovers {
        statement.execute([task.as_str(), &job.backend, &job.handle])?;
    }
    Ok(())
}

/// The first two columns of a row.
fn task_and_state(row: &Row<'_>) -> Result<(TaskId, TaskState), Fault> {
    let id = row.get_ref(0)?.as_str()?;
    let state = columns::document("state", id, row.get_ref(1)?.as_str()?)?;
    Ok((columns::task_id(id)?, state))
}

pub(super) fn one_active(row: &Row<'_>) -> Result<Active, Fault> {
    let (task, state) = task_and_state(row)?;
    let claim = match row.get(3)? {
        Some(backend) if !state.is_terminal() => {
            let holder = Holder(row.get::<_, Option<String>>(5)?.unwrap_or_default());
            let fence = Fence(columns::amount(row.get(2)?));
            Some(Claim { fence, holder, backend, until: columns::moment(row.get(4)?)? })
        }
        Some(_) | None => None,
    };
    Ok(Active { task, state, claim })
}
