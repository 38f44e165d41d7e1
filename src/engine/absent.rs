//! Absent: ends the tasks whose backend nobody has any more. Their jobs stay remembered as leftovers, and are stopped and
//! removed when the backend comes back.
//!
//! | the backend | the task | what becomes of it |
//! |---|---|---|
//! | is not configured any more | has a job, or may have one | ends, SYSTEM_ERROR |
//! | is not configured any more | is being cancelled | is told, and stays: CANCELED would say that nothing runs any more |
//! | is on a machine that does not come back | has a job, or may have one | as if its job was lost |
//! | is on a machine that does not come back | is being cancelled | ends, CANCELED, and is told why |
//!
//! A backend that is not configured may be so again at the next start; a machine that has been away for so long may never
//! come back, and nobody waits for it for ever.

use std::time::Duration;

use jiff::Timestamp;

use super::assembly::{Engine, Tick};
use super::ownership::{Ground, Whose, backend};
use super::verdict::{after_loss, after_preempted, ended_with};
use crate::roster::Whereabouts;
use crate::store::{Active, StoreError};
use crate::task::{Event, TaskId, TaskState};

/// Tasks looked at in one go.
const PAGE: u32 = 1_000;

/// One tick.
pub async fn tick(engine: &Engine) -> Result<Tick, StoreError> {
    if !engine.may_act() {
        return Ok(Tick::Done);
    }
    let mut from: Option<TaskId> = None;
    loop {
        let page = engine.store.active(from.as_ref(), PAGE).await?;
        from = page.last().map(|last| last.task.clone()).filter(|_| page.len() == PAGE as usize);
        let now = engine.clock.now();
        // A waiting task that is claimed is not taken over: what its claim left behind is said under that claim.
        let (claimed, outside): (Vec<Active>, Vec<Active>) = page
            .into_iter()
            .filter(|active| is_absent(engine, active, now))
            .partition(|active| matches!(active.state, TaskState::Queued { .. }));
        let mut ours = engine.ours(outside).await?;
        ours.extend(claimed.into_iter().filter(|active| engine.whose(active, now) != Whose::Anothers));
        let records = ours.iter().filter_map(|active| {
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

/// Whether nobody can act on a task where it is. Whoever holds a claim that lasts answers for it.
fn is_absent(engine: &Engine, active: &Active, now: Timestamp) -> bool {
    let answers = active.state.job().is_none() && active.claim.as_ref().is_none_or(|claim| now < claim.until);
    !answers
        && backend(active).is_some_and(|name| match engine.ground(name, now) {
            Ground::Lost => true,
            // A server that has it may begin a moment after us.
            Ground::Nowhere => engine.roster.has_waited(now),
            Ground::Shared | Ground::OurMachine | Ground::Elsewhere => false,
        })
}

fn happened(engine: &Engine, active: &Active, now: Timestamp) -> Option<Event> {
    let attempt = active.state.attempt()?;
    let name = backend(active)?;
    match engine.roster.whereabouts(name, now) {
        Whereabouts::Lost { server, since } => Some(after_machine(engine, active, attempt, now, &server, since)),
        // The machine has come back meanwhile.
        Whereabouts::With { .. } => None,
        Whereabouts::Nowhere => unconfigured(engine, active, attempt, name, now),
    }
}

fn unconfigured(engine: &Engine, active: &Active, attempt: u32, name: &str, now: Timestamp) -> Option<Event> {
    if let TaskState::Canceling { .. } = &active.state {
        let text = format!("backend `{name}` is not configured any more; the cancel is carried out when it is again");
        return engine.absent.ask(&active.task, name, now, Duration::ZERO).then_some(Event::Noted { attempt, text });
    }
    let sentence = match active.state.job() {
        Some(job) => format!(
            "backend `{name}` is not configured any more; its job `{}` is stopped and removed when it is again",
            job.handle
        ),
        None => format!(
            "backend `{name}` is not configured any more, and it may have taken the job; a job is removed when it is again"
        ),
    };
    Some(ended_with(attempt, now, sentence))
}

/// What becomes of a task on a machine that does not come back.
fn after_machine(
    engine: &Engine,
    active: &Active,
    attempt: u32,
    now: Timestamp,
    server: &str,
    since: Option<Timestamp>,
) -> Event {
    let since = since.map(|since| format!(" since {since:.0}")).unwrap_or_default();
    let gone = format!("server `{server}` has not answered{since}, and the job was on its machine");
    match &active.state {
        TaskState::Canceling { .. } => {
            let sentence = format!("{gone}; canceled without it: what may still run there is stopped when it is back");
            ended_with(attempt, now, sentence)
        }
        TaskState::Preempted { .. } => after_preempted(&engine.settings, active, attempt, now),
        TaskState::Queued { .. }
        | TaskState::Initializing { .. }
        | TaskState::Running { .. }
        | TaskState::Paused { .. }
        | TaskState::Complete
        | TaskState::ExecutorError
        | TaskState::SystemError
        | TaskState::Canceled => after_loss(&engine.settings, active, attempt, now, &gone),
    }
}
