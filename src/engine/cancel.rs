//! Cancel: stops the jobs of tasks that nobody wants any more.
//!
//! | the task has | what is done |
//! |---|---|
//! | a job | its backend is asked to stop it, now and then again; what it says then is observe's matter |
//! | no job, and a dispatcher holds it | nothing: that dispatcher's answer decides |
//! | no job, and its dispatcher is gone | the job is searched for: found, it is stopped; else nothing is outside |

use std::time::Duration;

use futures::StreamExt;
use futures::future::try_join_all;
use tessera_contract::{Handle, JobId};
use tracing::warn;

use super::assembly::{Engine, Tick};
use super::ownership::backend;
use super::search::find;
use super::site::{Lack, Site};
use crate::clock::after;
use crate::store::{Active, Recorded, StoreError};
use crate::task::{Event, JobRef, TaskId};

/// Tasks read in one go.
const PAGE: u32 = 1_000;

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
    let ours = ours(engine, site).await?;
    site.keep_stops(|task| ours.binary_search_by(|active| active.task.cmp(task)).is_ok());
    let mut stops: Vec<(TaskId, Handle)> = Vec::new();
    let mut search = Vec::new();
    let now = engine.clock.now();
    for active in ours {
        match active.state.job() {
            Some(job) => stops.push((active.task.clone(), Handle(job.handle.clone()))),
            None if active.claim.as_ref().is_none_or(|claim| now >= claim.until) => search.push(active),
            None => {}
        }
    }
    stops.extend(search_for(engine, site, &search).await?);
    stops.retain(|(task, _)| site.may_ask_to_stop(task, now));
    let asked = futures::stream::iter(stops).map(|(task, handle)| stop(engine, site, task, handle));
    let asked: Vec<()> = asked.buffer_unordered(engine.settings.calls_at_once()).collect().await;
    if !asked.is_empty() {
        site.bells.observe.ring();
    }
    Ok(Tick::Done)
}

/// Our cancelled tasks of this backend, in the order of their ids.
async fn ours(engine: &Engine, site: &Site) -> Result<Vec<Active>, StoreError> {
    let mut ours = Vec::new();
    let mut from: Option<TaskId> = None;
    loop {
        let page = engine.store.canceling(from.as_ref(), PAGE).await?;
        from = page.last().map(|last| last.task.clone()).filter(|_| page.len() == PAGE as usize);
        let here = page.into_iter().filter(|active| backend(active) == Some(site.name()));
        ours.extend(engine.ours(here.collect()).await?);
        if from.is_none() {
            return Ok(ours);
        }
    }
}

async fn stop(engine: &Engine, site: &Site, task: TaskId, handle: Handle) {
    let call = site.backend.cancel(&handle);
    if let Err(error) = site.call(&engine.clock, &engine.settings, "cancel", call).await {
        warn!(backend = site.name(), %task, %error, "could not stop a job; it is tried again");
    }
    // A stop is asked for again when it has not happened, whatever the answer was.
    let again = Duration::from_millis(engine.settings.cancel_again_ms);
    site.asked_to_stop(&task, after(engine.clock.now(), again));
}

/// Tasks whose dispatcher died between claim and answer. Answers the jobs that were found.
async fn search_for(engine: &Engine, site: &Site, tasks: &[Active]) -> Result<Vec<(TaskId, Handle)>, StoreError> {
    if tasks.is_empty() || site.is_silent(engine.clock.now()) {
        return Ok(Vec::new());
    }
    let job = |active: &Active| Some(JobId::of_attempt(active.task.as_str(), active.state.attempt()?));
    let wanted: Vec<JobId> = tasks.iter().filter_map(job).collect();
    let found = match find(engine, site, &wanted).await {
        Ok(found) => found,
        Err(error) => {
            // Not known is not gone.
            site.is_down(engine.clock.now(), Lack::Answers, &error.to_string(), &engine.settings);
            return Ok(Vec::new());
        }
    };
    let mut stops = Vec::new();
    let mut records = Vec::new();
    for active in tasks {
        let (Some(attempt), Some(job)) = (active.state.attempt(), job(active)) else { continue };
        let event = match found.get(&job) {
            Some(handle) => {
                stops.push((active.task.clone(), handle.clone()));
                let job = JobRef { backend: site.name().to_owned(), handle: handle.0.clone() };
                Event::Submitted { attempt, job }
            }
            None => Event::Stopped { attempt, result: None },
        };
        records.push(engine.event(&active.task, active.claim.as_ref().map(|claim| claim.fence), event));
    }
    let told = engine.record(records).await?;
    if told.iter().any(|one| matches!(one, Recorded::Moved(phase) if phase.is_terminal())) {
        site.bells.dispatch.ring();
    }
    Ok(stops)
}
