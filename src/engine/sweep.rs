//! Sweep: removes what is over, and finds jobs that no task wants.

use std::collections::HashSet;

use futures::future::try_join_all;
use tessera_contract::{Handle, Inventoried};
use tracing::{debug, warn};

use super::assembly::{Engine, Tick};
use super::clearing::{put_away, stop_and_put_away};
use super::orphan::is_wanted;
use super::ownership::Ground;
use super::site::{Lack, Site};
use crate::clock::after;
use crate::store::{Leftover, StoreError};
use crate::task::TaskId;

/// Leftovers removed in one tick at most.
const BATCH: usize = 512;
/// Leftovers read in one go at most, those included that cannot be removed now.
const READ: u32 = 100_000;
/// Pages of the inventory in one tick at most.
const PAGES: usize = 4;

/// One tick on every backend at once.
pub async fn tick(engine: &Engine) -> Result<Tick, StoreError> {
    let ticks = try_join_all(engine.sites.iter().map(|site| tick_at(engine, site))).await?;
    Ok(if ticks.contains(&Tick::More) { Tick::More } else { Tick::Done })
}

/// One tick on one backend.
pub async fn tick_at(engine: &Engine, site: &Site) -> Result<Tick, StoreError> {
    if !engine.may_act() || site.is_silent(engine.clock.now()) {
        return Ok(Tick::Done);
    }
    let leftovers = remove_leftovers(engine, site).await?;
    let orphans =
        if site.inventory_is_due(engine.clock.now()) { find_orphans(engine, site).await? } else { Tick::Done };
    Ok(if leftovers == Tick::More || orphans == Tick::More { Tick::More } else { Tick::Done })
}

/// Removes what jobs left behind whose task knows that they are over.
async fn remove_leftovers(engine: &Engine, site: &Site) -> Result<Tick, StoreError> {
    let now = engine.clock.now();
    // Those of other backends and of other servers, and those that could not be removed a moment ago, are no wall before
    // the rest.
    let due = |leftover: &Leftover| {
        let handle = Handle(leftover.job.handle.clone());
        leftover.job.backend == site.name()
            && engine.removes(site, leftover, now)
            && site.stuck(&handle).is_none_or(|stuck| stuck.is_due(now))
            && !engine.waits_for_logs(&leftover.job)
    };
    let mut limit = u32::try_from(BATCH).unwrap_or(u32::MAX);
    let (ours, all) = loop {
        let read = engine.store.leftovers(limit).await?;
        let all_read = read.len() < limit as usize;
        let ours: Vec<Leftover> = read.into_iter().filter(due).take(BATCH).collect();
        let all = all_read && ours.len() < BATCH;
        if all || limit >= READ || ours.len() * 2 >= BATCH {
            break (ours, all);
        }
        limit = limit.saturating_mul(4).min(READ);
    };
    if ours.is_empty() {
        return Ok(Tick::Done);
    }
    let mut ours = ours;
    ours.retain(|leftover| engine.may_release(site, &leftover.task, &leftover.job, &site.bells.sweep));
    if ours.is_empty() {
        // They wait for their logs.
        return Ok(if all { Tick::Done } else { Tick::More });
    }
    let handles: Vec<Handle> = ours.iter().map(|leftover| Handle(leftover.job.handle.clone())).collect();
    let gone: HashSet<Handle> = match put_away(engine, site, &handles).await {
        Ok(gone) => gone.into_iter().collect(),
        Err(error) => {
            site.is_down(engine.clock.now(), Lack::Answers, &error.to_string(), &engine.settings);
            return Ok(Tick::Done);
        }
    };
    ours.retain(|leftover| gone.contains(&Handle(leftover.job.handle.clone())));
    gone.iter().for_each(|handle| site.is_removed(handle));
    engine.store.forget(&ours).await?;
    Ok(if all { Tick::Done } else { Tick::More })
}

/// Looks at a few pages of what the backend holds, and puts away what no task wants.
async fn find_orphans(engine: &Engine, site: &Site) -> Result<Tick, StoreError> {
    let period = std::time::Duration::from_millis(engine.settings.sweep_period_ms);
    for _ in 0..PAGES {
        let from = site.inventory_from();
        let call = site.backend.inventory(from.as_deref());
        let page = match site.call(&engine.clock, &engine.settings, "inventory", call).await {
            Ok(page) => page,
            Err(error) => {
                let now = engine.clock.now();
                site.is_down(now, Lack::Answers, &error.to_string(), &engine.settings);
                // The token may be what it does not like: the next walk begins anew.
                site.set_inventory_from(None, after(now, period));
                return Ok(Tick::Done);
            }
        };
        put_orphans_away(engine, site, page.jobs).await?;
        let is_last = page.next.is_none();
        site.set_inventory_from(page.next, after(engine.clock.now(), period));
        if is_last {
            return Ok(Tick::Done);
        }
    }
    Ok(Tick::More)
}

async fn put_orphans_away(engine: &Engine, site: &Site, jobs: Vec<Inventoried>) -> Result<(), StoreError> {
    // The store is asked after the backend: what was taken in between is known by then.
    let named = |one: Inventoried| Some((TaskId::parse(one.job.attempt()?.0)?, one));
    let named: Vec<(TaskId, Inventoried)> = jobs.into_iter().filter_map(named).collect();
    let ids: Vec<TaskId> = named.iter().map(|(task, _)| task.clone()).collect();
    let standing = engine.store.standing(&ids).await?;
    let mut orphans: Vec<(TaskId, Handle)> = named
        .into_iter()
        .zip(&standing)
        .filter(|((_, one), standing)| !is_wanted(&one.job, &one.handle, standing))
        .map(|((task, one), _)| (task, one.handle))
        .collect();
    if !orphans.is_empty() {
        leave_leftovers(engine, &mut orphans).await?;
    }
    let orphans: Vec<Handle> = orphans.into_iter().map(|(_, handle)| handle).collect();
    if orphans.is_empty() {
        return Ok(());
    }
    match stop_and_put_away(engine, site, &orphans).await {
        Ok(gone) => debug!(backend = site.name(), gone = gone.len(), of = orphans.len(), "put away unwanted jobs"),
        Err(error) => warn!(backend = site.name(), %error, "could not put unwanted jobs away"),
    }
    Ok(())
}

/// A job that its task knows to be over is no orphan: it is removed as a leftover, once what it printed is kept.
async fn leave_leftovers(engine: &Engine, orphans: &mut Vec<(TaskId, Handle)>) -> Result<(), StoreError> {
    // Read after the standing: whatever is over by that is among them.
    let left = engine.store.leftovers(READ).await?;
    let all = left.len() < READ as usize;
    let last = left.last().map(|leftover| leftover.task.clone());
    // Those of a backend that is not configured any more are removed by whoever sees their jobs.
    let now = engine.clock.now();
    let ours = left.into_iter().filter(|leftover| engine.ground(&leftover.job.backend, now) != Ground::Nowhere);
    let known: HashSet<(TaskId, Handle)> = ours.map(|leftover| (leftover.task, Handle(leftover.job.handle))).collect();
    // Beyond what could be read nothing is known: they wait for another walk.
    orphans.retain(|orphan| !known.contains(orphan) && (all || last.as_ref().is_some_and(|last| orphan.0 < *last)));
    Ok(())
}
