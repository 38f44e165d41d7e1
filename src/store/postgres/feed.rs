//! The changes as they are read, and how far targets were told.

use super::fault::Fault;
use super::pool::Pool;
use crate::store::{ChangeId, Changes, Kept};

/// Changes after one, oldest first.
pub(super) async fn after(pool: &Pool, after: ChangeId, limit: u32) -> Result<Changes, Fault> {
    let _ = (pool, after, limit);
    Err(Fault::NotReached("not read yet".to_owned()))
}

/// The first and the last number.
pub(super) async fn kept(pool: &Pool) -> Result<Kept, Fault> {
    let _ = (pool);
    Err(Fault::NotReached("not read yet".to_owned()))
}

/// How far a target was told.
pub(super) async fn told(pool: &Pool, target: &str) -> Result<Option<ChangeId>, Fault> {
    let _ = (pool, target);
    Err(Fault::NotReached("not read yet".to_owned()))
}
