//! The one hand that writes.

use jiff::Timestamp;

use super::fault::Fault;
use crate::store::{Ceiling, ClaimRequest, Claimed, Created, Holder, Key, Record, Recorded};
use crate::task::{Owner, TaskId, TaskSpec};

/// Sends writes to the writer's task.
#[derive(Debug)]
pub(super) struct Writer;

impl Writer {
    pub(super) async fn create(
        &self,
        owner: &Owner,
        id: &TaskId,
        created: Timestamp,
        spec: TaskSpec,
    ) -> Result<(), Fault> {
        let _ = (owner, id, created, spec);
        Err(Fault::NotReached("not written yet".to_owned()))
    }

    pub(super) async fn create_once(
        &self,
        owner: &Owner,
        key: &Key,
        id: &TaskId,
        created: Timestamp,
        spec: TaskSpec,
    ) -> Result<Created, Fault> {
        let _ = (owner, key, id, created, spec);
        Err(Fault::NotReached("not written yet".to_owned()))
    }

    pub(super) async fn cancel(
        &self,
        owner: &Owner,
        id: &TaskId,
        at: Timestamp,
        shown: bool,
    ) -> Result<Option<Recorded>, Fault> {
        let _ = (owner, id, at, shown);
        Err(Fault::NotReached("not written yet".to_owned()))
    }

    pub(super) async fn claim(
        &self,
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
        ceiling: Ceiling,
        wanted: &[ClaimRequest],
    ) -> Result<Vec<Claimed>, Fault> {
        let _ = (holder, now, until, ceiling, wanted);
        Err(Fault::NotReached("not written yet".to_owned()))
    }

    pub(super) async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, Fault> {
        let _ = (records);
        Err(Fault::NotReached("not written yet".to_owned()))
    }
}
