//! Absent: ends the tasks whose backend is not configured any more. Their jobs stay remembered as leftovers, and are
//! stopped and removed when the backend comes back.
//!
//! A task that is being cancelled is told, and stays as it is: CANCELED would say that nothing runs any more, and nobody
//! can know that before the backend is back.

use std::time::Duration;

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
            let event = happened(engine, active, now)?;
            Some(engine.event(&active.task, active.claim.as_ref().map(|claim| claim.fence), event))
        });
        let records: Vec<_> = records.collect();
        if !records.is_empty() {
            engine.record(records).await?;
        }
        if from.is_none() {
            return Ok(Tick::Done);
        }
    }
}

fn happened(engine: &Engine, active: &Active, now: Timestamp) -> Option<Event> {
    let attempt = active.state.attempt()?;
    let absent = |name: &str| engine.site(name).is_none();
    if let TaskState::Canceling { job, .. } = &active.state {
        // Whoever holds a claim that lasts answers for it.
        let claimed = active.claim.as_ref().filter(|claim| now >= claim.until).map(|claim| &claim.backend);
        let name = job.as_ref().map(|job| &job.backend).or(claimed).filter(|name| absent(name))?;
        let text = format!("backend `{name}` is not configured any more; the cancel is carried out when it is again");
        return engine.absent.ask(&active.task, name, now, Duration::ZERO).then_some(Event::Noted { attempt, text });
    }
    if let Some(job) = active.state.job() {
        let name = &job.backend;
        let sentence = format!(
            "backend `{name}` is not configured any more; its job `{}` is stopped and removed when it is again",
            job.handle
        );
        return absent(name).then(|| ended_with(attempt, now, sentence));
    }
    let claim = active.claim.as_ref().filter(|claim| now >= claim.until && absent(&claim.backend))?;
    let name = &claim.backend;
    Some(ended_with(
        attempt,
        now,
        format!(
            "backend `{name}` is not configured any more, and it may have taken the job; a job is removed when it is again"
        ),
    ))
}
