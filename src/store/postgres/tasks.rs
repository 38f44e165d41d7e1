//! Reading tasks with their histories.

use super::fault::Fault;
use super::pool::Pool;
use crate::store::Summary;
use crate::task::{Owner, Task, TaskId};

/// One task's state, if it is this owner's.
pub(super) async fn summary(pool: &Pool, owner: &Owner, id: &TaskId) -> Result<Option<Summary>, Fault> {
    let _ = (pool, owner, id);
    Err(Fault::NotReached("not read yet".to_owned()))
}

/// A task with its history, if it is this owner's.
pub(super) async fn get(pool: &Pool, owner: &Owner, id: &TaskId) -> Result<Option<Task>, Fault> {
    let _ = (pool, owner, id);
    Err(Fault::NotReached("not read yet".to_owned()))
}

/// A task with its history, whoever owns it.
pub(super) async fn of_anybody(pool: &Pool, id: &TaskId) -> Result<Option<Task>, Fault> {
    let _ = (pool, id);
    Err(Fault::NotReached("not read yet".to_owned()))
}
