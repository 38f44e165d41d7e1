//! What the store did not hear of a hand-over, because it failed: said first when it is back. Without it the claims would
//! run out by themselves, a minute later; the fences refuse what has become untrue meanwhile.
//!
//! It is remembered, not kept: of a server that dies before, the claims are over when the next run takes its place.

use std::collections::HashSet;

use super::assembly::Engine;
use super::site::Site;
use crate::store::{Active, Record, StoreError};
use crate::task::{Event, TaskId, TaskState};

/// What is still to be said of one backend.
#[derive(Debug, Default)]
pub(super) struct Unsaid {
    /// What came of hand-overs.
    records: Vec<Record>,
    /// Tasks that may have been claimed, and that nobody has handed over since.
    in_doubt: Vec<TaskId>,
}

impl Unsaid {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.in_doubt.is_empty()
    }
}

/// Whether the store may take it when it is asked again.
fn passes(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(_))
}

impl Site {
    /// Remembers what was not recorded.
    pub(super) fn keep_unsaid(&self, records: Vec<Record>, error: &StoreError) {
        if passes(error) {
            self.with_unsaid(|unsaid| unsaid.records.extend(records));
        }
    }

    /// Remembers tasks that may be claimed and were not handed over. Of those who were claimed before a job may be outside: they are left to
    /// their claims.
    pub(super) fn doubts<'a>(
        &self,
        wanted: impl Iterator<Item = &'a TaskId>,
        before: &HashSet<TaskId>,
        error: &StoreError,
    ) {
        if passes(error) {
            let fresh = wanted.filter(|task| !before.contains(*task));
            self.with_unsaid(|unsaid| unsaid.in_doubt.extend(fresh.cloned()));
        }
    }
}

/// Says it. Whoever hands over waits for it.
pub(super) async fn say(engine: &Engine, site: &Site) -> Result<(), StoreError> {
    let unsaid = site.with_unsaid(std::mem::take);
    if unsaid.is_empty() {
        return Ok(());
    }
    let said = say_all(engine, site, &unsaid).await;
    if let Err(error) = &said
        && passes(error)
    {
        // Nothing else was remembered meanwhile: this is the only one who hands over.
        site.with_unsaid(|kept| *kept = unsaid);
    }
    site.bells.observe.ring();
    engine.wake_cancel();
    said
}

async fn say_all(engine: &Engine, site: &Site, unsaid: &Unsaid) -> Result<(), StoreError> {
    let standing = engine.store.standing(&unsaid.in_doubt).await?;
    let given_back = standing.iter().filter_map(|one| give_back(engine, site, one.active()?));
    let records = unsaid.records.iter().cloned().chain(given_back).collect();
    engine.record(records).await.map(drop)
}

/// A task that was claimed without our hearing of it: nothing was handed over.
fn give_back(engine: &Engine, site: &Site, active: &Active) -> Option<Record> {
    let claim = active.claim.as_ref()?;
    if claim.holder != *engine.roster.holder() || claim.backend != site.name() {
        return None;
    }
    let now = engine.clock.now();
    let event = match &active.state {
        TaskState::Queued { attempt, claimed: true, .. } => {
            Event::Postponed { attempt: *attempt, until: now, reason: String::new() }
        }
        TaskState::Canceling { attempt, job: None, .. } => Event::Stopped { attempt: *attempt, result: None },
        TaskState::Queued { .. }
        | TaskState::Canceling { .. }
        | TaskState::Initializing { .. }
        | TaskState::Running { .. }
        | TaskState::Paused { .. }
        | TaskState::Preempted { .. }
        | TaskState::Complete
        | TaskState::ExecutorError
        | TaskState::SystemError
        | TaskState::Canceled => return None,
    };
    Some(engine.event(&active.task, Some(claim.fence), event))
}
