//! Putting jobs away: what works is stopped, what is over is removed.

use futures::StreamExt;
use tessera_contract::{BackendError, Handle, Observation};
use tracing::{debug, warn};

use super::assembly::Engine;
use super::site::Site;
use crate::clock::after;

/// Puts away jobs that no task wants: they are stopped before they are looked at, since a look may start again what has
/// died. Answers what is gone.
pub async fn stop_and_put_away(engine: &Engine, site: &Site, handles: &[Handle]) -> Result<Vec<Handle>, BackendError> {
    let work = futures::stream::iter(due(engine, site, handles)).map(|handle| stop(engine, site, handle));
    let stopped: Vec<Option<Handle>> = work.buffer_unordered(engine.settings.calls_at_once()).collect().await;
    let stopped: Vec<Handle> = stopped.into_iter().flatten().collect();
    put_away(engine, site, &stopped).await
}

/// Tells a job to stop. `None` when that did not work, and it is not yet time to go on all the same.
async fn stop(engine: &Engine, site: &Site, handle: Handle) -> Option<Handle> {
    let Err(error) = site.call(&engine.clock, &engine.settings, "cancel", site.backend.cancel(&handle)).await else {
        return Some(handle);
    };
    warn!(backend = site.name(), job = handle.0, %error, "could not stop a job that nobody wants any more");
    if has_had_time(engine, site, &handle) {
        return Some(handle);
    }
    site.is_stuck(&handle, engine.clock.now(), &engine.settings);
    None
}

/// Those that were not tried a moment ago.
fn due(engine: &Engine, site: &Site, handles: &[Handle]) -> Vec<Handle> {
    let now = engine.clock.now();
    handles.iter().filter(|handle| site.stuck(handle).is_none_or(|stuck| stuck.is_due(now))).cloned().collect()
}

/// It was tried for as long as a job has to stop.
fn has_had_time(engine: &Engine, site: &Site, handle: &Handle) -> bool {
    let grace = site.profile().stops_within;
    site.stuck(handle).is_some_and(|stuck| engine.clock.now() >= after(stuck.since, grace))
}

/// Puts away as much as can be put away now, and answers what is gone. The rest is tried again later, a little later
/// each time.
pub async fn put_away(engine: &Engine, site: &Site, handles: &[Handle]) -> Result<Vec<Handle>, BackendError> {
    let due = due(engine, site, handles);
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let seen = site.call(&engine.clock, &engine.settings, "observe", site.backend.observe(&due)).await?;
    let work = futures::stream::iter(due.into_iter().zip(seen));
    let done = work.map(|(handle, seen)| put_away_one(engine, site, handle, seen));
    let gone: Vec<Option<Handle>> = done.buffer_unordered(engine.settings.calls_at_once()).collect().await;
    Ok(gone.into_iter().flatten().collect())
}

async fn put_away_one(engine: &Engine, site: &Site, handle: Handle, seen: Observation) -> Option<Handle> {
    let over = match seen {
        Observation::Ended(_) | Observation::Stopped | Observation::Preempted { .. } | Observation::Lost { .. } => true,
        Observation::Waiting { .. } | Observation::Working(_) | Observation::Paused => false,
        // What cannot be read is told to stop, and removed when it has had the time for it.
        Observation::Unreadable { .. } => has_had_time(engine, site, &handle),
    };
    let answer = if over {
        site.call(&engine.clock, &engine.settings, "release", site.backend.release(&handle)).await
    } else {
        site.call(&engine.clock, &engine.settings, "cancel", site.backend.cancel(&handle)).await
    };
    match answer {
        Ok(()) if over => {
            site.is_not_stuck(&handle);
            return Some(handle);
        }
        Ok(()) => debug!(backend = site.name(), job = handle.0, "told a job to stop that nobody wants any more"),
        Err(error) => warn!(backend = site.name(), job = handle.0, %error, "could not put a job away"),
    }
    site.is_stuck(&handle, engine.clock.now(), &engine.settings);
    None
}
