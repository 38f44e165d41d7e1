//! Who is here, and who does what.

use jiff::Timestamp;

use super::columns;
use super::fault::Fault;
use super::pool::Pool;
use crate::store::{Active, Claim, Enlisted, FORGOTTEN_AFTER, Fence, Holder, Present, Replica};
use crate::task::TaskId;

/// A row of a server.
pub(super) const PRESENT: &str = "SELECT name, holder, seat, address, backends, until FROM replicas ORDER BY name";

/// Says that a server is there, unless its name is another's: decided in one statement, so that of two at once one wins.
/// Of two runs on one seat the later one holds the folder: ids of runs rise with time. Answers whether there was a former
/// run on the seat.
pub(super) const ENLIST: &str = "
    WITH former AS MATERIALIZED (SELECT FROM replicas WHERE name = $1 AND seat = $3 AND holder < $2)
    INSERT INTO replicas AS known (name, holder, seat, address, backends, until) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, seat = excluded.seat, address = excluded.address,
                                     backends = excluded.backends, until = excluded.until
    WHERE known.holder = excluded.holder OR known.seat = excluded.seat AND known.holder < excluded.holder
       OR known.seat <> excluded.seat AND known.until <= $7
    RETURNING EXISTS (SELECT FROM former)";

/// Ends the time of what former runs on this seat have claimed: they are dead, and bring nothing outside any more.
pub(super) const RELEASE: &str = "
    UPDATE tasks SET until = 0
    WHERE stage IN (1, 2, 3) AND until > 0 AND starts_with(holder, $2) AND length(holder) = length($1) AND holder < $1";

/// Forgets those who have been away for long.
pub(super) const FORGET: &str = "DELETE FROM replicas WHERE until < $1 AND name <> $2";

/// Says that a server has gone.
pub(super) const LEAVE: &str = "UPDATE replicas SET until = $3 WHERE name = $1 AND holder = $2 AND until > $3";

/// Takes tasks that are as they were said to be. A take-over that is done again, because its answer was lost, finds what
/// it has taken. Written so that no index of few tasks seems good for it: each is found by its id.
pub(super) const TAKE_OVER: &str = "
    UPDATE tasks SET holder = $1, fence = wanted.fence + 1, version = version + 1
    FROM unnest($2::text[], $3::bigint[]) AS wanted (id, fence)
    WHERE tasks.id = wanted.id AND stage BETWEEN 2 AND 3
      AND (tasks.fence = wanted.fence OR tasks.fence = wanted.fence + 1 AND holder = $1)
    RETURNING tasks.id, state, tasks.fence, backend, until";

/// Takes or keeps a lease.
pub(super) const LEASE: &str = "
    INSERT INTO leases (what, holder, until) VALUES ($1, $2, $4)
    ON CONFLICT (what) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE leases.holder = excluded.holder OR leases.until <= $3
    RETURNING what";

/// Runs [`ENLIST`], and what follows from it.
pub(super) async fn enlist(
    pool: &Pool,
    lock: i32,
    me: &Replica,
    now: Timestamp,
    until: Timestamp,
) -> Result<Enlisted, Fault> {
    let (name, holder) = (columns::text(&me.name), columns::text(&me.holder.0));
    let (seat, backends) = (columns::text(&me.seat), columns::from_document(&me.backends)?);
    let (now_is, until) = (columns::from_moment(now), columns::from_moment(until));
    // Said twice it is said once, so a connection that has died meanwhile is no reason to fail.
    let written = pool.row(ENLIST, &[&name, &holder, &seat, &me.address, &backends, &until, &now_is]).await?;
    if let Some(row) = &written {
        if row.try_get(0)? {
            release(pool, lock, &me.holder).await?;
        }
        let long_ago = columns::from_moment(now.checked_sub(FORGOTTEN_AFTER).unwrap_or(Timestamp::MIN));
        pool.rows(FORGET, &[&long_ago, &name]).await?;
    }
    let mut known = pool.rows(PRESENT, &[]).await?.iter().map(present).collect::<Result<Vec<_>, _>>()?;
    if written.is_some() {
        return Ok(Enlisted::Here(known));
    }
    let other = known.iter().position(|one| one.replica.name == me.name);
    let gone = || Fault::NotReached("the name of this server was another's a moment ago; try again".to_owned());
    Ok(Enlisted::Taken(known.swap_remove(other.ok_or_else(gone)?)))
}

/// Runs [`RELEASE`].
async fn release(pool: &Pool, lock: i32, me: &Holder) -> Result<(), Fault> {
    let former = columns::text(me.0.strip_suffix(me.0.rsplit('/').next().unwrap_or_default()).unwrap_or_default());
    pool.locked(lock, RELEASE, &[&columns::text(&me.0), &former]).await.map(drop)
}

fn present(row: &tokio_postgres::Row) -> Result<Present, Fault> {
    let name = columns::from_text(row.try_get(0)?);
    let backends = columns::document("list of backends", &name, row.try_get(4)?)?;
    let holder = Holder(columns::from_text(row.try_get(1)?));
    let replica =
        Replica { name, holder, seat: columns::from_text(row.try_get(2)?), address: row.try_get(3)?, backends };
    Ok(Present { replica, until: columns::moment(row.try_get(5)?)? })
}

/// Runs [`LEAVE`].
pub(super) async fn leave(pool: &Pool, me: &Holder, now: Timestamp) -> Result<(), Fault> {
    let name = columns::text(me.replica());
    pool.rows(LEAVE, &[&name, &columns::text(&me.0), &columns::from_moment(now)]).await.map(drop)
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
    let rows = pool.locked(lock, TAKE_OVER, &[&columns::text(&me.0), &ids, &fences]).await?;
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
    let (now, until) = (columns::from_moment(now), columns::from_moment(until));
    let taken = pool.row(LEASE, &[&columns::text(what), &columns::text(&holder.0), &now, &until]).await?;
    Ok(taken.is_some())
}
