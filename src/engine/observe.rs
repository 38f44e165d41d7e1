//! Observe: asks each backend about all its jobs in one call, and records what that means.

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use tessera_contract::{Handle, Observation};
use tracing::warn;

use super::assembly::{Engine, Tick};
use super::site::{Lack, Site};
use super::verdict::{Means, after_preempted, means, tells_all};
use super::waiting::Waiting;
use crate::store::{Active, Record, Recorded, StoreError};
use crate::task::{Event, Phase, TaskState};

/// Pages of active tasks in one tick at most.
const PAGES: usize = 8;

/// One tick on every backend at once.
pub async fn tick(engine: &Engine) -> Result<Tick, StoreError> {
    let ticks = try_join_all(engine.sites.iter().map(|site| tick_at(engine, site))).await?;
    Ok(if ticks.contains(&Tick::More) { Tick::More } else { Tick::Done })
}

/// One tick on one backend.
pub async fn tick_at(engine: &Engine, site: &Site) -> Result<Tick, StoreError> {
    if !engine.may_act() {
        return Ok(Tick::Done);
    }
    let mut from = site.observe_from();
    let batch = engine.settings.observe_batch();
    for _ in 0..PAGES {
        let page = engine.store.active(from.as_ref(), u32::try_from(batch).unwrap_or(u32::MAX)).await?;
        from = page.last().map(|last| last.task.clone()).filter(|_| page.len() == batch);
        look_at(engine, site, page).await?;
        if from.is_none() {
            break;
        }
    }
    site.set_observe_from(from.clone());
    Ok(if from.is_some() { Tick::More } else { Tick::Done })
}

async fn look_at(engine: &Engine, site: &Site, page: Vec<Active>) -> Result<(), StoreError> {
    let on_site = |active: &Active| active.state.job().is_some_and(|job| job.backend == site.name());
    let ours = engine.ours(page.into_iter().filter(on_site).collect()).await?;
    let (preempted, outside): (Vec<Active>, Vec<Active>) =
        ours.into_iter().partition(|active| matches!(active.state, TaskState::Preempted { .. }));
    go_on_after_preemption(engine, site, preempted).await?;
    if outside.is_empty() {
        return Ok(());
    }
    let handles: Vec<Handle> =
        outside.iter().filter_map(|active| Some(Handle(active.state.job()?.handle.clone()))).collect();
    let call = site.backend.observe(&handles);
    let seen = match site.call(&engine.clock, &engine.settings, "observe", call).await {
        // That it answers this says little: some read only files. Whether it is well again is found out by dispatch.
        Ok(seen) if seen.len() == handles.len() => seen,
        // Nothing is known of any of them; their tasks are told when that lasts.
        Ok(seen) => {
            let reason = format!("asked about {} jobs, it answered about {}", handles.len(), seen.len());
            vec![Observation::Unreadable { reason }; handles.len()]
        }
        Err(error) => {
            site.is_down(engine.clock.now(), Lack::Answers, &error.to_string(), &engine.settings);
            vec![Observation::Unreadable { reason: error.to_string() }; handles.len()]
        }
    };
    let records = join_all(outside.iter().zip(&seen).map(|(active, seen)| one(engine, site, active, seen))).await;
    record(engine, site, records.into_iter().flatten().collect()).await
}

/// What one observation leaves to be recorded.
async fn one(engine: &Engine, site: &Site, active: &Active, seen: &Observation) -> Option<Record> {
    let now = engine.clock.now();
    let settings = &engine.settings;
    let meaning = means(settings, active, seen, now);
    if let (Observation::Ended(report), Some(job)) = (seen, active.state.job())
        && tells_all(report)
    {
        site.tells_all(&Handle(job.handle.clone()));
    }
    if !matches!(meaning, Means::Waits(_) | Means::Dark(_)) {
        site.outside.forget(&active.task);
    }
    let event = match meaning {
        Means::Nothing => return None,
        Means::Event(event) => event,
        Means::AfterRelease(event) => {
            let handle = Handle(active.state.job()?.handle.clone());
            // Not gone yet: asked for again at the next look. What it printed stays where it is: no state waits for
            // that to be kept, the sweep does.
            let call = site.backend.withdraw(&handle);
            if let Err(error) = site.call(&engine.clock, settings, "withdraw", call).await {
                warn!(backend = site.name(), task = %active.task, %error, "could not remove a cancelled job");
                return None;
            }
            event
        }
        Means::Waits(reason) => {
            let holds_for = Duration::from_millis(settings.note_waiting_after_ms);
            let waiting = Waiting::AtBackend { backend: site.name().to_owned(), reason: Some(reason.clone()) };
            let text = waiting.to_string();
            told(site, active, &reason, holds_for, text, now)?
        }
        Means::Dark(reason) => {
            let holds_for = Duration::from_millis(settings.note_unreadable_after_ms);
            let held = site.outside.held(&active.task, now).unwrap_or_default().as_secs();
            let name = site.name();
            let text =
                format!("backend `{name}` has not told of the job for {held} s: {reason}; it may go on all the same");
            told(site, active, "dark", holds_for, text, now)?
        }
    };
    Some(engine.event(&active.task, active.claim.as_ref().map(|claim| claim.fence), event))
}

/// A sentence for the task, unless it was told already.
fn told(
    site: &Site,
    active: &Active,
    reason: &str,
    holds_for: Duration,
    text: String,
    now: jiff::Timestamp,
) -> Option<Event> {
    let attempt = active.state.attempt()?;
    site.outside.ask(&active.task, reason, now, holds_for).then_some(Event::Noted { attempt, text })
}

async fn go_on_after_preemption(engine: &Engine, site: &Site, preempted: Vec<Active>) -> Result<(), StoreError> {
    let now = engine.clock.now();
    let next = |active: &Active| {
        let event = after_preempted(&engine.settings, active, active.state.attempt()?, now);
        Some(engine.event(&active.task, active.claim.as_ref().map(|claim| claim.fence), event))
    };
    record(engine, site, preempted.iter().filter_map(next).collect()).await
}

async fn record(engine: &Engine, site: &Site, records: Vec<Record>) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    for told in engine.record(records).await? {
        let Recorded::Moved(phase) = told else { continue };
        match phase {
            // What is over is to be removed, and has left room.
            Phase::Complete | Phase::ExecutorError | Phase::SystemError | Phase::Canceled | Phase::Queued => {
                site.bells.sweep.ring();
                site.bells.dispatch.ring();
            }
            // What follows is decided at the next look.
            Phase::Preempted => site.bells.observe.ring(),
            Phase::Initializing | Phase::Running | Phase::Paused | Phase::Canceling => {}
        }
    }
    Ok(())
}
