//! Who is here, and who does what.

use jiff::Timestamp;

use super::columns;
use super::fault::Fault;
use super::migrations::LOCKS;
use super::pool::Pool;
use crate::store::{Active, Claim, Enlisted, FORGOTTEN_AFTER, Fence, Holder, Present, Replica};
use crate::task::TaskId;

/// A row of a server.
const PRESENT: &str = "SELECT name, holder, seat, address, backends, until FROM replicas ORDER BY name";

/// Says that a server is there, unless its name is another's: decided in one statement, so that of two at once one wins.
/// Of two runs on one seat the later one holds the folder: ids of runs rise with time.
const ENLIST: &str = "
    INSERT INTO replicas AS known (name, holder, seat, address, backends, until) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, seat = excluded.seat, address = excluded.address,
                                     backends = excluded.backends, until = excluded.until
    WHERE known.holder = excluded.holder OR known.seat = excluded.seat AND known.holder < excluded.holder
       OR known.seat <> excluded.seat AND known.until <= $7";

/// Forgets those that have been away for long.
const FORGET: &str = "DELETE FROM replicas WHERE until < $1 AND name <> $2";

/// Takes tasks that are as they were said to be. A take-over that is done again, because its answer was lost, finds what
/// it has taken.
const TAKE_OVER: &str = "
    UPDATE tasks SET holder = $1, fence = wanted.fence + 1, version = version + 1
    FROM unnest($2::text[], $3::bigint[]) AS wanted (id, fence)
    WHERE tasks.id = wanted.id AND stage IN (2, 3)
      AND (tasks.fence = wanted.fence OR tasks.fence = wanted.fence + 1 AND holder = $1)
    RETURNING tasks.id, state, tasks.fence, backend, until";

/// Takes or keeps a lease.
const LEASE: &str = "
    INSERT INTO leases (what, holder, until) VALUES ($1, $2, $4)
    ON CONFLICT (what) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE leases.holder = excluded.holder OR leases.until <= $3";

/// Runs [`ENLIST`].
pub(super) async fn enlist(pool: &Pool, me: &Replica, now: Timestamp, until: Timestamp) -> Result<Enlisted, Fault> {
    let client = pool.client().await?;
    let statement = client.prepare_cached(ENLIST).await?;
    let written = client
        .execute(
            &statement,
            &[
                &columns::text(&me.name),
                &columns::text(&me.holder.0),
                &columns::text(&me.seat),
                &me.address,
                &columns::from_document(&me.backends)?,
                &columns::from_moment(until),
                &columns::from_moment(now),
            ],
        )
        .await?;
    let long_ago = now.checked_sub(FORGOTTEN_AFTER).unwrap_or(Timestamp::MIN);
    let statement = client.prepare_cached(FORGET).await?;
    client.execute(&statement, &[&columns::from_moment(long_ago), &columns::text(&me.name)]).await?;
    let statement = client.prepare_cached(PRESENT).await?;
    let mut known = client.query(&statement, &[]).await?.iter().map(present).collect::<Result<Vec<_>, _>>()?;
    if written > 0 {
        return Ok(Enlisted::Here(known));
    }
    let other = known.iter().position(|one| one.replica.name == me.name);
    let gone = || Fault::NotReached("the name of this server was another's a moment ago; try again".to_owned());
    Ok(Enlisted::Taken(known.swap_remove(other.ok_or_else(gone)?)))
}

fn present(row: &tokio_postgres::Row) -> Result<Present, Fault> {
    let name = columns::from_text(row.try_get(0)?);
    let backends = columns::document("list of backends", &name, row.try_get(4)?)?;
    let holder = Holder(columns::from_text(row.try_get(1)?));
    let replica =
        Replica { name, holder, seat: columns::from_text(row.try_get(2)?), address: row.try_get(3)?, backends };
    Ok(Present { replica, until: columns::moment(row.try_get(5)?)? })
}

/// Says that a server has gone.
pub(super) async fn leave(pool: &Pool, me: &Holder, now: Timestamp) -> Result<(), Fault> {
    let client = pool.client().await?;
    let statement = client.prepare_cached("UPDATE replicas SET until = $2 WHERE holder = $1 AND until > $2").await?;
    client.execute(&statement, &[&columns::text(&me.0), &columns::from_moment(now)]).await?;
    Ok(())
}

/// Runs [`TAKE_OVER`], in the order asked.
pub(super) async fn take_over(
    pool: &Pool,
    lock: i32,
    me: &Holder,
    tasks: &[(TaskId, Fence)],
) -> Result<Vec<Active>, Fault> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = tasks.iter().map(|(task, _)| task.as_str()).collect();
    let fences: Vec<i64> = tasks.iter().map(|(_, fence)| columns::from_amount(fence.0)).collect();
    let holder = columns::text(&me.0);
    let mut client = pool.client().await?;
    let (locking, taking) = (client.prepare_cached(super::LOCK).await?, client.prepare_cached(TAKE_OVER).await?);
    let transaction = client.transaction().await?;
    transaction.query(&locking, &[&LOCKS, &lock]).await?;
    let rows = transaction.query(&taking, &[&holder, &ids, &fences]).await?;
    transaction.commit().await?;
    let mut taken = Vec::with_capacity(rows.len());
    for row in &rows {
        match active(row, me) {
            Ok(active) => taken.push(active),
            Err(fault) if fault.is_of_one_row() => tracing::warn!(task = row.get::<_, &str>(0), "passed over: {fault}"),
            Err(fault) => return Err(fault),
        }
    }
    taken.sort_by_key(|active| ids.iter().position(|id| *id == active.task.as_str()));
    Ok(taken)
}

fn active(row: &tokio_postgres::Row, holder: &Holder) -> Result<Active, Fault> {
    let id: &str = row.try_get(0)?;
    let state = columns::document("state", id, row.try_get(1)?)?;
    let backend: Option<&str> = row.try_get(3)?;
    let (fence, until) = (Fence(columns::amount(row.try_get(2)?)), columns::moment(row.try_get(4)?)?);
    let claim =
        backend.map(|backend| Claim { fence, holder: holder.clone(), backend: columns::from_text(backend), until });
    Ok(Active { task: columns::task_id(id)?, state, claim })
}

/// Runs [`LEASE`].
pub(super) async fn lease(
    pool: &Pool,
    what: &str,
    holder: &Holder,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, Fault> {
    let client = pool.client().await?;
    let statement = client.prepare_cached(LEASE).await?;
    let (now, until) = (columns::from_moment(now), columns::from_moment(until));
    let taken = client.execute(&statement, &[&columns::text(what), &columns::text(&holder.0), &now, &until]).await?;
    Ok(taken > 0)
}
