//! Absent: ends the tasks whose backend is not configured any more. Their jobs stay remembered as leftovers, and are
//! stopped and removed when the backend comes back.

use jiff::Timestamp;

use super::assembly::{Engine, Tick};
use super::verdict::ended_with;
use crate::store::{Active, StoreError};
use crate::task::{Event, TaskId, TaskState};

/// Tasks looked at in one go.
const PAGE: u32 = 1_000;

/// One tick.
pub async fn tick(engine: &Engine) -> Result<Tick, StoreError> {
    let mut from: Option<TaskId> = None;
    loop {
        let page = engine.store.active(from.as_ref(), PAGE).await?;
        from = page.last().map(|last| last.task.clone()).filter(|_| page.len() == PAGE as usize);
        let now = engine.clock.now();
        let records = page.iter().filter_map(|active| {
            let event = end(engine, active, now)?;
            Some(engine.event(&active.task, active.claim.as_ref().map(|claim| claim.fence), event))
        });
        let records: Vec<_> = records.collect();
        if !records.is_empty() {
            engine.store.record(records).await?;
        }
        if from.is_none() {
            return Ok(Tick::Done);
        }
    }
}

fn end(engine: &Engine, active: &Active, now: Timestamp) -> Option<Event> {
    let attempt = active.state.attempt()?;
    let absent = |name: &str| engine.site(name).is_none();
    let canceling = matches!(active.state, TaskState::Canceling { .. });
    if let Some(job) = active.state.job() {
        let name = &job.backend;
        let sentence = format!(
            "backend `{name}` is not configured any more; its job `{}` is stopped and removed when it is again",
            job.handle
        );
        return absent(name).then(|| ended_with(attempt, now, sentence));
    }
    let claim = active.claim.as_ref().filter(|claim| now >= claim.until && absent(&claim.backend))?;
    if canceling {
        return Some(Event::Stopped { attempt, result: None });
    }
    let name = &claim.backend;
    Some(ended_with(
        attempt,
        now,
        format!(
            "backend `{name}` is not configured any more, and it may have taken the job; a job is removed when it is again"
        ),
    ))
}
