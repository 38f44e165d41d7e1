//! The end of tasks: found by a look, removed by one statement.
//!
//! What has ended never changes again and leaves nothing more behind, so what was found stays true; another server that
//! walks at the same time finds it gone.

use std::collections::BTreeMap;

use serde::Deserialize;
use tracing::warn;

use super::columns;
use super::fault::Fault;
use super::pool::Pool;
use crate::store::{Expired, Expiry, Surplus};
use crate::task::{Owner, TaskId};

/// Tasks looked at for each that may be removed, so that those which stay do not make a step long.
const LOOKS: u32 = 16;

/// The next owners: from one to the next along the index, never through their tasks. No text stands between one and the same with
/// the lowest character behind it.
pub(super) const OWNERS: &str = "
    WITH RECURSIVE next AS (
        (SELECT owner FROM tasks WHERE owner >= coalesce($1::text || chr(1), '') ORDER BY owner LIMIT 1)
        UNION ALL
        SELECT (SELECT owner FROM tasks WHERE owner > next.owner ORDER BY owner LIMIT 1)
        FROM next WHERE next.owner IS NOT NULL
    )
    SELECT owner FROM next WHERE owner IS NOT NULL LIMIT $2";

/// The newest of an owner's ended tasks but for so many: four walks merged, none of them reads a task.
pub(super) const BEYOND: &str = "
    SELECT id FROM (
        (SELECT id FROM tasks WHERE owner = $1 AND phase = 6 ORDER BY id DESC)
        UNION ALL (SELECT id FROM tasks WHERE owner = $1 AND phase = 7 ORDER BY id DESC)
        UNION ALL (SELECT id FROM tasks WHERE owner = $1 AND phase = 8 ORDER BY id DESC)
        UNION ALL (SELECT id FROM tasks WHERE owner = $1 AND phase = 9 ORDER BY id DESC)
    ) AS ended
    ORDER BY id DESC LIMIT 1 OFFSET $2";

/// An owner's tasks, oldest first, with the moment of their last event.
pub(super) const OLDEST: &str = "
    SELECT id, created, stage, spec,
           (SELECT at FROM events WHERE task = tasks.id ORDER BY seq DESC LIMIT 1),
           EXISTS (SELECT FROM leftovers WHERE task = tasks.id)
    FROM tasks WHERE owner = $1 AND id > $2 ORDER BY id LIMIT $3";

/// What was asked for.
pub(super) const SPECS: &str = "SELECT row, spec FROM specs WHERE row = ANY($1)";

/// Removes tasks with all that belongs to them: $1 their owner, $2 their ids, $3 where their specs are, $4 and $5 their
/// tags, each found by its whole key.
pub(super) const REMOVE: &str = "
    WITH doomed AS (SELECT unnest($2::text[]) AS id),
         no_tags AS (DELETE FROM tags WHERE ctid = ANY (ARRAY(
                         SELECT found.ctid FROM unnest($4::text[], $5::text[]) AS t (task, key)
                         CROSS JOIN LATERAL (SELECT ctid, key, task FROM tags
                                             WHERE owner = $1 AND (key, task) >= (t.key, t.task) AND key <= t.key
                                             ORDER BY key, task LIMIT 1) AS found
                         WHERE found.key = t.key AND found.task = t.task))),
         no_events AS (DELETE FROM events WHERE task IN (SELECT id FROM doomed)),
         no_keys AS (DELETE FROM keys WHERE task IN (SELECT id FROM doomed)),
         no_specs AS (DELETE FROM specs WHERE row = ANY($3::bigint[]))
    DELETE FROM tasks WHERE id IN (SELECT id FROM doomed)";

/// The tags that were asked for, whatever else was.
#[derive(Deserialize)]
pub(super) struct Tagged {
    #[serde(default)]
    pub(super) tags: Option<BTreeMap<String, String>>,
}

/// Owners of tasks, in order, after one.
pub(super) async fn owners(pool: &Pool, after: Option<&Owner>, limit: u32) -> Result<Vec<Owner>, Fault> {
    let after = after.map(|owner| columns::text(&owner.0));
    let rows = pool.rows(OWNERS, &[&after, &i64::from(limit)]).await?;
    Ok(rows.iter().map(|row| Owner(columns::from_text(row.get(0)))).collect())
}

/// The newest ended task that is more than `keep`.
pub(super) async fn beyond(pool: &Pool, owner: &Owner, keep: u64) -> Result<Option<TaskId>, Fault> {
    let row = pool.row(BEYOND, &[&columns::text(&owner.0), &columns::from_amount(keep)]).await?;
    Ok(row.map(|row| columns::task_id(row.get(0))).transpose()?)
}

/// Removes tasks that are to go.
pub(super) async fn expire(
    pool: &Pool,
    owner: &Owner,
    expiry: &Expiry,
    after: Option<&TaskId>,
    at_once: u32,
) -> Result<Expired, Fault> {
    let owner = columns::text(&owner.0);
    let most = at_once.max(1);
    let looks = i64::from(most) * i64::from(LOOKS);
    let rows = pool.rows(OLDEST, &[&owner, &after.map_or("", TaskId::as_str), &looks]).await?;

    let by_age = expiry.ended_before.map(columns::from_moment);
    let too_many = |surplus: &Surplus| (surplus.newest.clone(), columns::from_moment(surplus.ended_before));
    let by_count = expiry.surplus.as_ref().map(too_many);
    let (mut doomed, mut specs) = (Vec::new(), Vec::new());
    let mut next = None;
    let mut is_last = i64::try_from(rows.len()).unwrap_or(i64::MAX) < looks;
    for row in &rows {
        if doomed.len() == most as usize {
            is_last = false;
            break;
        }
        let task = columns::task_id(row.get(0))?;
        let (created, stage, spec): (i64, i64, i64) = (row.get(1), row.get(2), row.get(3));
        let ended = row.get::<_, Option<i64>>(4).unwrap_or(created);
        let among_surplus = by_count.as_ref().filter(|(newest, _)| task <= *newest);
        // Created later means ended later.
        if by_age.is_none_or(|before| created >= before) && among_surplus.is_none() {
            is_last = true;
            break;
        }
        next = Some(task.clone());
        let is_to_go =
            by_age.is_some_and(|before| ended < before) || among_surplus.is_some_and(|(_, before)| ended < *before);
        if stage == columns::ENDED && !row.get::<_, bool>(5) && is_to_go {
            doomed.push(task);
            specs.push(spec);
        }
    }
    let removed = if doomed.is_empty() { doomed } else { remove(pool, &owner, doomed, specs).await? };
    Ok(Expired { removed, next: next.filter(|_| !is_last) })
}

/// Removes these, but for those whose tags cannot be read: they stay whole.
async fn remove(pool: &Pool, owner: &str, doomed: Vec<TaskId>, specs: Vec<i64>) -> Result<Vec<TaskId>, Fault> {
    let texts = pool.rows(SPECS, &[&specs]).await?;
    let texts: BTreeMap<i64, &str> = texts.iter().map(|row| (row.get(0), row.get(1))).collect();
    let (mut removed, mut rows, mut tasks, mut keys) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (task, row) in doomed.into_iter().zip(specs) {
        let tagged = texts.get(&row).map(|text| columns::document::<Tagged>("spec", task.as_str(), text)).transpose();
        match tagged {
            Ok(tagged) => {
                for (key, _) in tagged.and_then(|tagged| tagged.tags).into_iter().flatten() {
                    tasks.push(task.as_str().to_owned());
                    keys.push(columns::tag(&key));
                }
                removed.push(task);
                rows.push(row);
            }
            Err(fault) => warn!(%task, "a task is not removed: {}", Fault::from(fault)),
        }
    }
    let ids: Vec<&str> = removed.iter().map(TaskId::as_str).collect();
    pool.rows(REMOVE, &[&owner, &ids, &rows, &tasks, &keys]).await?;
    Ok(removed)
}
