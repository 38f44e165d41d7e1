//! Who is here, and who does what.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::columns;
use super::fault::Fault;
use super::queue::{STANDING, one_active};
use crate::store::{Active, Enlisted, FORGOTTEN_AFTER, Fence, Holder, Present, Replica};
use crate::task::TaskId;

/// A row of a server.
const PRESENT: &str = "SELECT name, holder, seat, address, backends, until FROM replicas";

/// Ends the time of what former runs on a seat have claimed: they are dead, and bring nothing outside any more.
const RELEASE: &str = "
    UPDATE tasks SET until = 0
    WHERE stage IN (1, 2, 3) AND until > 0 AND substr(holder, 1, length(?2)) = ?2 AND length(holder) = length(?1)
      AND holder < ?1";

/// Writes that a server is there, unless its name is another's.
pub(super) fn enlist(
    connection: &Connection,
    me: &Replica,
    now: Timestamp,
    until: Timestamp,
) -> Result<Enlisted, Fault> {
    let known = known(connection)?;
    if let Some(other) = known.iter().find(|one| one.replica.name == me.name && one.replica.holder != me.holder) {
        // Of two runs on one seat the later one holds the folder: ids of runs rise with time.
        let same_seat = other.replica.seat == me.seat;
        let is_theirs = if same_seat { other.replica.holder.0 > me.holder.0 } else { other.until > now };
        if is_theirs {
            return Ok(Enlisted::Taken(other.clone()));
        }
        if same_seat {
            connection.prepare_cached(RELEASE)?.execute(params![me.holder.0, format!("{}/", me.name)])?;
        }
    }
    connection
        .prepare_cached(
            "INSERT INTO replicas (name, holder, seat, address, backends, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET holder = excluded.holder, seat = excluded.seat, address = excluded.address,
                                       backends = excluded.backends, until = excluded.until",
        )?
        .execute(params![
            me.name,
            me.holder.0,
            me.seat,
            me.address,
            columns::from_document(&me.backends)?,
            columns::from_moment(until),
        ])?;
    let long_ago = now.checked_sub(FORGOTTEN_AFTER).unwrap_or(Timestamp::MIN);
    connection
        .prepare_cached("DELETE FROM replicas WHERE until < ?1 AND name <> ?2")?
        .execute(params![columns::from_moment(long_ago), me.name])?;
    Ok(Enlisted::Here(self::known(connection)?))
}

/// All that have ever said that they are there, by name.
fn known(connection: &Connection) -> Result<Vec<Present>, Fault> {
    let mut statement = connection.prepare_cached(PRESENT)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(present(row)?);
    }
    Ok(found)
}

fn present(row: &Row<'_>) -> Result<Present, Fault> {
    let name: String = row.get(0)?;
    let backends = columns::document("list of backends", &name, row.get_ref(4)?.as_str()?)?;
    let replica = Replica { name, holder: Holder(row.get(1)?), seat: row.get(2)?, address: row.get(3)?, backends };
    Ok(Present { replica, until: columns::moment(row.get(5)?)? })
}

/// Writes that a server has gone.
pub(super) fn leave(connection: &Connection, me: &Holder, now: Timestamp) -> Result<(), Fault> {
    connection
        .prepare_cached("UPDATE replicas SET until = ?2 WHERE holder = ?1 AND until > ?2")?
        .execute(params![me.0, columns::from_moment(now)])?;
    Ok(())
}

/// Takes tasks that are as they were said to be.
pub(super) fn take_over(connection: &Connection, me: &Holder, tasks: &[(TaskId, Fence)]) -> Result<Vec<Active>, Fault> {
    let mut taken = Vec::new();
    for (task, fence) in tasks {
        let moved = connection
            .prepare_cached(
                "UPDATE tasks SET holder = ?2, fence = fence + 1, version = version + 1
                 WHERE id = ?1 AND fence = ?3 AND stage IN (2, 3)",
            )?
            .execute(params![task.as_str(), me.0, columns::from_amount(fence.0)])?;
        if moved == 0 {
            continue;
        }
        let mut statement = connection.prepare_cached(STANDING)?;
        taken.push(statement.query_row([task.as_str()], |row| Ok(one_active(row)))??);
    }
    Ok(taken)
}

/// Takes or keeps a lease.
pub(super) fn lease(
    connection: &Connection,
    what: &str,
    holder: &Holder,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, Fault> {
    let taken = connection
        .prepare_cached(
            "INSERT INTO leases (what, holder, until) VALUES (?1, ?2, ?4)
             ON CONFLICT DO UPDATE SET holder = excluded.holder, until = excluded.until
             WHERE leases.holder = excluded.holder OR leases.until <= ?3",
        )?
        .execute(params![what, holder.0, columns::from_moment(now), columns::from_moment(until)])?;
    Ok(taken > 0)
}

/// Who claimed a task last.
pub(super) fn keeper(connection: &Connection, task: &TaskId) -> Result<Option<Holder>, Fault> {
    let mut statement = connection.prepare_cached("SELECT holder FROM tasks WHERE id = ?1")?;
    let holder: Option<Option<String>> = statement.query_row([task.as_str()], |row| row.get(0)).optional()?;
    Ok(holder.flatten().map(Holder))
}
