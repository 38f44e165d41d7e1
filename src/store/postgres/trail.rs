//! What is removed, and how far targets were told: single statements that need no company.

use super::columns;
use super::fault::Fault;
use super::pool::Pool;
use crate::store::{ChangeId, Leftover};

/// Removes leavings that are gone.
pub(super) const FORGET: &str = "
    DELETE FROM leftovers USING unnest($1::text[], $2::text[], $3::text[]) AS gone (task, backend, handle)
    WHERE leftovers.task = gone.task AND leftovers.backend = gone.backend AND leftovers.handle = gone.handle";

/// Removes the oldest changes but for so many; the newest stays, for the next number follows it.
pub(super) const TRIM: &str = "
    DELETE FROM changes
    WHERE n <= (SELECT max(n) FROM changes) - $1 AND n < (SELECT min(n) FROM changes) + $2
    RETURNING n";

/// Remembers how far a target was told.
pub(super) const TELL: &str = "
    INSERT INTO told (target, n) VALUES ($1, $2) ON CONFLICT (target) DO UPDATE SET n = excluded.n";

/// Runs [`FORGET`].
pub(super) async fn forget(pool: &Pool, leftovers: &[Leftover]) -> Result<(), Fault> {
    if leftovers.is_empty() {
        return Ok(());
    }
    let tasks: Vec<&str> = leftovers.iter().map(|one| one.task.as_str()).collect();
    let backends: Vec<String> = leftovers.iter().map(|one| columns::text(&one.job.backend)).collect();
    let handles: Vec<String> = leftovers.iter().map(|one| columns::text(&one.job.handle)).collect();
    pool.rows(FORGET, &[&tasks, &backends, &handles]).await.map(drop)
}

/// Runs [`TRIM`], one server at a time.
pub(super) async fn trim(pool: &Pool, lock: i32, keep: u64, at_once: u32) -> Result<u64, Fault> {
    let removed = pool.locked(lock, TRIM, &[&columns::from_amount(keep.max(1)), &i64::from(at_once)]).await?;
    Ok(removed.len() as u64)
}

/// Runs [`TELL`].
pub(super) async fn tell(pool: &Pool, target: &str, told: ChangeId) -> Result<(), Fault> {
    pool.rows(TELL, &[&columns::text(target), &columns::from_amount(told.0)]).await.map(drop)
}
