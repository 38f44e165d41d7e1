//! Which tasks a listing shows (TES contract §8).

use super::fault::Fault;
use super::pool::Pool;
use crate::store::{ListQuery, Page, Summary};
use crate::task::{Owner, Task};

/// A page of states, newest first.
pub(super) async fn summaries(pool: &Pool, owner: &Owner, query: &ListQuery) -> Result<Page<Summary>, Fault> {
    let _ = (pool, owner, query);
    Err(Fault::NotReached("not read yet".to_owned()))
}

/// A page of tasks with their histories, newest first.
pub(super) async fn tasks(pool: &Pool, owner: &Owner, query: &ListQuery) -> Result<Page<Task>, Fault> {
    let _ = (pool, owner, query);
    Err(Fault::NotReached("not read yet".to_owned()))
}
