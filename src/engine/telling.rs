//! Telling those who wait why. Nothing that moves a task waits for it.

use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;

use super::assembly::{Engine, Tick};
use super::dispatch::{Place, place_of};
use super::place::{Room, Short};
use super::site::{Down, Site};
use super::waiting::{Lacks, Waiting, unavailable};
use crate::store::{Candidate, Record, StoreError};
use crate::task::{Event, TaskId};

/// Tells those who lack something what, and their places. Whom this fails for is told later.
pub(super) async fn of_lacks(
    engine: &Engine,
    site: &Site,
    now: Timestamp,
    lacking: &[(Candidate, Short)],
    room: &Room,
) {
    if lacking.is_empty() || !engine.roster.is_speaker(site.serves(), now) {
        return;
    }
    if let Err(error) = try_of_lacks(engine, site, now, lacking, room).await {
        warn!(backend = site.name(), tasks = lacking.len(), "tasks are told later what they wait for: {error}");
    }
}

async fn try_of_lacks(
    engine: &Engine,
    site: &Site,
    now: Timestamp,
    lacking: &[(Candidate, Short)],
    room: &Room,
) -> Result<(), StoreError> {
    let tasks: Vec<TaskId> = lacking.iter().map(|(candidate, _)| candidate.task.clone()).collect();
    let places = engine.store.ahead(&tasks, site.serves(), engine.is_first(site)).await?;
    let told = lacking.iter().zip(places).map(|((candidate, short), ahead)| {
        let lacks = Some(Lacks { short: *short, free: room.free(*short) });
        let waiting = Waiting::InQueue { backend: site.name().to_owned(), ahead, lacks };
        note(engine, candidate, waiting.to_string())
    });
    engine.record(told.collect()).await?;
    tasks.iter().for_each(|task| site.waiting.told(task, now));
    Ok(())
}

/// The oldest of those who wait are told why. They are not claimed, so that a cancel finds them waiting.
pub(super) async fn of_trouble(engine: &Engine, site: &Site, down: &Down) -> Result<Tick, StoreError> {
    let now = engine.clock.now();
    if !engine.roster.is_speaker(site.serves(), now) {
        return Ok(Tick::Done);
    }
    let mut candidates = engine.store.queued(now, None, engine.settings.scan).await?;
    let is_all = candidates.len() < engine.settings.scan as usize;
    candidates.retain(|one| {
        place_of(engine, one, now) == Place::On(site.name())
            && site.waiting.is_due(&one.task, &down.reason, now, Duration::ZERO)
    });
    // The sentence is the same at every place.
    let sentence = unavailable(site.name().to_owned(), 0, down).to_string();
    engine.record(candidates.iter().map(|one| note(engine, one, sentence.clone())).collect()).await?;
    candidates.iter().for_each(|one| site.waiting.told(&one.task, now));
    // Behind a long queue each new task rings, and the same oldest would be read again.
    Ok(if is_all || !candidates.is_empty() { Tick::Done } else { Tick::InVain })
}

fn note(engine: &Engine, candidate: &Candidate, text: String) -> Record {
    engine.event(&candidate.task, None, Event::Noted { attempt: candidate.attempt, text })
}
