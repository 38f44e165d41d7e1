//! The end of tasks: found by the readers, removed by the writer.
//!
//! What has ended never changes again and leaves nothing more behind, so what was found stays true until it is removed.
//! Pages that become free are used for the next tasks; the file does not shrink.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Deserialize;
use tracing::warn;

use super::columns;
use super::fault::Fault;
use crate::store::{Expiry, Surplus};
use crate::task::{Owner, TaskId};

/// Tasks looked at for each that may be removed, so that those which stay do not make a step long.
const LOOKS: usize = 16;

/// Bytes of what was asked for that go in one step: the writer walks through all pages of a long text.
const TEXTS_BYTES: usize = 4 << 20;

/// The first of all owners.
pub(super) const FIRST_OWNER: &str = "SELECT min(owner) FROM tasks";
/// The next owner.
pub(super) const NEXT_OWNER: &str = "SELECT min(owner) FROM tasks WHERE owner > ?1";

/// The newest of an owner's ended tasks but for so many: four walks merged, none of them reads a task.
pub(super) const BEYOND: &str = "SELECT id FROM tasks WHERE owner = ?1 AND phase = 6
     UNION ALL SELECT id FROM tasks WHERE owner = ?1 AND phase = 7
     UNION ALL SELECT id FROM tasks WHERE owner = ?1 AND phase = 8
     UNION ALL SELECT id FROM tasks WHERE owner = ?1 AND phase = 9
     ORDER BY id DESC LIMIT 1 OFFSET ?2";

/// An owner's tasks, oldest first, with the moment of their last event.
pub(super) const OLDEST: &str = "SELECT id, created, stage, spec,
            (SELECT at FROM events WHERE task = tasks.id ORDER BY seq DESC LIMIT 1),
            EXISTS (SELECT 1 FROM leftovers WHERE task = tasks.id)
     FROM tasks WHERE owner = ?1 AND id > ?2 ORDER BY id";

/// A task that is to go.
pub(super) struct Doomed {
    pub(super) task: TaskId,
    /// specs.row.
    row: i64,
    /// The keys of its tags.
    keys: Vec<String>,
}

/// What a look found.
pub(super) struct Found {
    pub(super) doomed: Vec<Doomed>,
    pub(super) next: Option<TaskId>,
}

/// The tags that were asked for, whatever else was.
#[derive(Deserialize)]
pub(super) struct Tagged {
    #[serde(default)]
    pub(super) tags: Option<BTreeMap<String, String>>,
}

/// Owners of tasks, in order, after one.
pub(super) fn owners(connection: &Connection, after: Option<&Owner>, limit: u32) -> Result<Vec<Owner>, Fault> {
    let mut owners: Vec<Owner> = Vec::new();
    while owners.len() < limit as usize {
        let next: Option<String> = match owners.last().or(after) {
            Some(last) => connection.prepare_cached(NEXT_OWNER)?.query_row([&last.0], |row| row.get(0))?,
            None => connection.prepare_cached(FIRST_OWNER)?.query_row([], |row| row.get(0))?,
        };
        let Some(next) = next else { break };
        owners.push(Owner(next));
    }
    Ok(owners)
}

/// The newest ended task that is more than `keep`.
pub(super) fn beyond(connection: &Connection, owner: &Owner, keep: u64) -> Result<Option<TaskId>, Fault> {
    let mut statement = connection.prepare_cached(BEYOND)?;
    let id: Option<String> =
        statement.query_row(params![owner.0, columns::from_amount(keep)], |row| row.get(0)).optional()?;
    Ok(id.as_deref().map(columns::task_id).transpose()?)
}

/// Looks for tasks that are to go.
pub(super) fn find(
    connection: &Connection,
    owner: &Owner,
    expiry: &Expiry,
    after: Option<&TaskId>,
    at_once: u32,
) -> Result<Found, Fault> {
    let most = at_once.max(1) as usize;
    let by_age = expiry.ended_before.map(columns::from_moment);
    let too_many = |surplus: &Surplus| (surplus.newest.clone(), columns::from_moment(surplus.ended_before));
    let by_count = expiry.surplus.as_ref().map(too_many);
    let mut statement = connection.prepare_cached(OLDEST)?;
    let mut rows = statement.query(params![owner.0, after.map_or("", TaskId::as_str)])?;
    let (mut doomed, mut looked, mut bytes) = (Vec::new(), 0, 0);
    let mut last = None;
    while let Some(row) = rows.next()? {
        if doomed.len() == most || looked == LOOKS * most || bytes > TEXTS_BYTES {
            return Ok(Found { doomed, next: last });
        }
        let task = columns::task_id(row.get_ref(0)?.as_str()?)?;
        let (created, stage, spec): (i64, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let ended = row.get::<_, Option<i64>>(4)?.unwrap_or(created);
        let among_surplus = by_count.as_ref().filter(|(newest, _)| task <= *newest);
        // Created later means ended later.
        if by_age.is_none_or(|before| created >= before) && among_surplus.is_none() {
            break;
        }
        looked += 1;
        last = Some(task.clone());
        let is_to_go =
            by_age.is_some_and(|before| ended < before) || among_surplus.is_some_and(|(_, before)| ended < *before);
        if stage != columns::ENDED || row.get(5)? || !is_to_go {
            continue;
        }
        let (length, keys) = tags(connection, &task, spec)?;
        bytes += length;
        doomed.extend(keys.map(|keys| Doomed { task, row: spec, keys }));
    }
    Ok(Found { doomed, next: None })
}

/// The length of what was asked for, and the keys of its tags; `None` when they cannot be read: then it stays whole.
fn tags(connection: &Connection, task: &TaskId, row: i64) -> Result<(usize, Option<Vec<String>>), Fault> {
    let mut statement = connection.prepare_cached("SELECT spec FROM specs WHERE row = ?1")?;
    let mut rows = statement.query([row])?;
    let Some(row) = rows.next()? else { return Ok((0, Some(Vec::new()))) };
    let text = row.get_ref(0)?.as_str()?;
    let keys = match columns::document::<Tagged>("spec", task.as_str(), text) {
        Ok(tagged) => Some(tagged.tags.into_iter().flatten().map(|(key, _)| key).collect()),
        Err(fault) => {
            warn!(%task, "a task is not removed: {fault}");
            None
        }
    };
    Ok((text.len(), keys))
}

/// Removes tasks with all that belongs to them.
pub(super) fn remove(connection: &Connection, owner: &Owner, doomed: &[Doomed]) -> Result<(), Fault> {
    let mut tags = connection.prepare_cached("DELETE FROM tags WHERE owner = ?1 AND key = ?2 AND task = ?3")?;
    let mut events = connection.prepare_cached("DELETE FROM events WHERE task = ?1")?;
    let mut keys = connection.prepare_cached("DELETE FROM keys WHERE task = ?1")?;
    let mut specs = connection.prepare_cached("DELETE FROM specs WHERE row = ?1")?;
    let mut tasks = connection.prepare_cached("DELETE FROM tasks WHERE id = ?1")?;
    for one in doomed {
        let task = one.task.as_str();
        for key in &one.keys {
            tags.execute([&owner.0, key, task])?;
        }
        events.execute([task])?;
        keys.execute([task])?;
        specs.execute([one.row])?;
        tasks.execute([task])?;
    }
    Ok(())
}
