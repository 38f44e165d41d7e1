//! The changes: written with what they tell of, read in order, trimmed from behind.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tracing::error;

use super::columns;
use super::fault::Fault;
use crate::store::{Change, ChangeId, Changes, Kept};
use crate::task::{Owner, Phase, TaskId};

/// Remembers a change. One thread writes, so the numbers rise in the order of commits, without holes.
pub(super) fn append(
    connection: &Connection,
    owner: &Owner,
    task: &TaskId,
    previous: Option<Phase>,
    phase: Phase,
    at: Timestamp,
) -> Result<(), Fault> {
    connection
        .prepare_cached("INSERT INTO changes (owner, task, phase, previous, at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            owner.0,
            task.as_str(),
            columns::from_phase(phase),
            previous.map(columns::from_phase),
            columns::from_moment(at),
        ])?;
    Ok(())
}

/// The first and the last number: two looks at the ends of one tree.
pub(super) fn kept(connection: &Connection) -> Result<Kept, Fault> {
    let end = |sql| -> Result<ChangeId, Fault> {
        let n: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(ChangeId(n.map_or(0, columns::amount)))
    };
    Ok(Kept { oldest: end("SELECT min(n) FROM changes")?, newest: end("SELECT max(n) FROM changes")? })
}

/// Changes after one, oldest first. What cannot be read is passed over, so that a page that is not full is the last.
pub(super) fn after(connection: &Connection, after: ChangeId, limit: u32) -> Result<Changes, Fault> {
    let missed = kept(connection)?.oldest.0 > after.0.saturating_add(1);
    let mut statement =
        connection.prepare_cached("SELECT n, owner, task, phase, previous, at FROM changes WHERE n > ?1 ORDER BY n")?;
    let mut rows = statement.query([columns::from_amount(after.0)])?;
    let mut items = Vec::new();
    let mut unreadable = Unreadable::default();
    while items.len() < limit as usize
        && let Some(row) = rows.next()?
    {
        match change(row) {
            Ok(change) => items.push(change),
            Err(fault) if fault.is_of_one_row() => unreadable.add(row.get(0)?, fault),
            Err(fault) => return Err(fault),
        }
    }
    unreadable.say();
    Ok(Changes { missed, items })
}

/// Changes that were passed over: one line of the log for all of a page.
#[derive(Default)]
struct Unreadable {
    count: u64,
    first: Option<(i64, Fault)>,
}

impl Unreadable {
    fn add(&mut self, number: i64, fault: Fault) {
        self.count += 1;
        self.first.get_or_insert((number, fault));
    }

    fn say(self) {
        let Some((number, fault)) = self.first else { return };
        error!(number, count = self.count, "changes of state cannot be read and are passed over: {fault}");
    }
}

fn change(row: &Row<'_>) -> Result<Change, Fault> {
    let previous: Option<i64> = row.get(4)?;
    Ok(Change {
        id: ChangeId(columns::amount(row.get(0)?)),
        owner: columns::owner(row.get_ref(1)?.as_str()?),
        task: columns::task_id(row.get_ref(2)?.as_str()?)?,
        phase: columns::phase(row.get(3)?)?,
        previous: previous.map(columns::phase).transpose()?,
        at: columns::moment(row.get(5)?)?,
    })
}

/// Removes the oldest but for `keep`, at most `at_once`; the newest stays, for the next number follows it.
pub(super) fn trim(connection: &Connection, keep: u64, at_once: u32) -> Result<u64, Fault> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM changes
             WHERE n <= (SELECT max(n) FROM changes) - ?1 AND n < (SELECT min(n) FROM changes) + ?2",
        )?
        .execute(params![columns::from_amount(keep.max(1)), at_once])?;
    Ok(u64::try_from(removed).unwrap_or(0))
}

/// How far a target was told.
pub(super) fn told(connection: &Connection, target: &str) -> Result<Option<ChangeId>, Fault> {
    let mut statement = connection.prepare_cached("SELECT n FROM told WHERE target = ?1")?;
    let n: Option<i64> = statement.query_row([target], |row| row.get(0)).optional()?;
    Ok(n.map(|n| ChangeId(columns::amount(n))))
}

/// Remembers how far a target was told.
pub(super) fn tell(connection: &Connection, target: &str, told: ChangeId) -> Result<(), Fault> {
    connection
        .prepare_cached("INSERT INTO told (target, n) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET n = excluded.n")?
        .execute(params![target, columns::from_amount(told.0)])?;
    Ok(())
}
