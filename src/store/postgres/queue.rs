//! What the engine reads: who waits, who is outside, what is left behind.

use jiff::Timestamp;

use super::fault::Fault;
use super::pool::Pool;
use crate::store::{Active, Candidate, Holder, Leftover, Load, QueueCursor, QueuePiece, Standing};
use crate::task::{Owner, TaskId};

/// The queue from its front on, whoever owns it.
pub(super) async fn queueing(
    pool: &Pool,
    owner: &Owner,
    after: Option<&TaskId>,
    limit: u32,
) -> Result<QueuePiece, Fault> {
    let _ = (pool, owner, after, limit);
    Err(Fault::NotReached("not read yet".to_owned()))
}

/// How many unclaimed tasks stand before each.
pub(super) async fn ahead(
    pool: &Pool,
    tasks: &[TaskId],
    backend: &str,
    takes_unnamed: bool,
) -> Result<Vec<u64>, Fault> {
    let _ = (pool, tasks, backend, takes_unnamed);
    Err(Fault::NotReached("not read yet".to_owned()))
}

/// Tasks that wait and may be tried.
pub(super) async fn queued(
    pool: &Pool,
    now: Timestamp,
    after: Option<&QueueCursor>,
    limit: u32,
) -> Result<Vec<Candidate>, Fault> {
    let _ = (pool, now, after, limit);
    Err(Fault::NotReached("not read yet".to_owned()))
}

/// What each backend carries.
pub(super) async fn load(pool: &Pool) -> Result<Vec<Load>, Fault> {
    let _ = (pool);
    Err(Fault::NotReached("not read yet".to_owned()))
}

/// Tasks that have, or may have, something outside.
pub(super) async fn active(pool: &Pool, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, Fault> {
    let _ = (pool, after, limit);
    Err(Fault::NotReached("not read yet".to_owned()))
}

/// Those of them whose cancel was requested.
pub(super) async fn canceling(pool: &Pool, after: Option<&TaskId>, limit: u32) -> Result<Vec<Active>, Fault> {
    let _ = (pool, after, limit);
    Err(Fault::NotReached("not read yet".to_owned()))
}

/// Jobs whose leavings are to be removed.
pub(super) async fn leftovers(pool: &Pool, limit: u32) -> Result<Vec<Leftover>, Fault> {
    let _ = (pool, limit);
    Err(Fault::NotReached("not read yet".to_owned()))
}

/// Where tasks stand, in the order asked.
pub(super) async fn standing(pool: &Pool, ids: &[TaskId]) -> Result<Vec<Standing>, Fault> {
    let _ = (pool, ids);
    Err(Fault::NotReached("not read yet".to_owned()))
}

/// Who claimed a task last.
pub(super) async fn keeper(pool: &Pool, id: &TaskId) -> Result<Option<Holder>, Fault> {
    let _ = (pool, id);
    Err(Fault::NotReached("not read yet".to_owned()))
}
