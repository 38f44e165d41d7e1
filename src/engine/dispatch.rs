//! Dispatch: looks through the queue, takes what fits, hands it over.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use tessera_contract::Capacity;

use super::assembly::{Engine, Tick};
use super::handover::hand_over;
use super::ownership::Ground;
use super::place::{Fit, Need, Room, Short, fit};
use super::site::{Down, Health, Lack, Site};
use super::telling;
use super::unsaid;
use super::verdict::ended_with;
use crate::roster::machine;
use crate::store::{Candidate, Ceiling, ClaimRequest, QueueCursor, Record, StoreError};
use crate::task::TaskId;

/// Looks down the queue in a row that may find nothing, before it rests until somebody rings.
const ROUNDS: u32 = 8;

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
    unsaid::say(engine, site).await?;
    let (claims, careful) = match how(engine, site).await {
        How::Freely => (engine.settings.claims.max(1) as usize, false),
        How::Carefully => (1, true),
        How::NotNow(down) => return telling::of_trouble(engine, site, &down).await,
    };
    let loads = engine.store.load().await?;
    let load = loads.iter().find(|load| load.backend == site.name());
    let room = Room::left(&site.profile().capacity, load);
    let now = engine.clock.now();
    let mut look = Look {
        engine,
        site,
        now,
        claims,
        room,
        wanted: Vec::new(),
        claimed_before: HashSet::new(),
        records: Vec::new(),
        telling: Vec::new(),
        far: false,
    };
    let more = look.through_the_queue().await?;
    let Look { wanted, claimed_before, records, telling, room, far, .. } = look;
    let in_vain = far && wanted.is_empty() && records.is_empty() && more == Tick::Done;
    if !records.is_empty() {
        engine.record(records).await?;
    }
    if !wanted.is_empty() {
        let Capacity { jobs, cpu_milli, ram_bytes, .. } = site.profile().capacity;
        let ceiling = Ceiling { jobs, cpu_milli, ram_bytes };
        let claimed = engine.store.claim(engine.roster.holder(), now, engine.claim_until(now), ceiling, &wanted).await;
        let claimed =
            claimed.inspect_err(|error| site.doubts(wanted.iter().map(|one| &one.task), &claimed_before, error))?;
        hand_over(engine, site, &claimed, &claimed_before).await?;
    }
    telling::of_lacks(engine, site, now, &telling, &room).await;
    Ok(match more {
        Tick::Done if in_vain => Tick::InVain,
        Tick::More if careful => Tick::Done,
        Tick::More | Tick::Done | Tick::InVain => more,
    })
}

/// How to hand over now.
enum How {
    Freely,
    /// One task, to see whether it is taken.
    Carefully,
    NotNow(Down),
}

/// A backend that did not answer is asked, when it is time, for the first page of its inventory: the smallest question
/// that needs a real answer. One that took no jobs is given one.
async fn how(engine: &Engine, site: &Site) -> How {
    let down = match site.health(engine.clock.now()) {
        Health::Up => return How::Freely,
        Health::Down(down) => return How::NotNow(down),
        Health::Probe(down) => down,
    };
    let call = site.backend.inventory(None);
    match (site.call(&engine.clock, &engine.settings, "inventory", call).await, down.lack) {
        (Ok(_), Lack::Takes) => How::Carefully,
        (Ok(_), Lack::Answers) => {
            site.answers();
            How::Freely
        }
        (Err(error), _) => {
            site.is_down(engine.clock.now(), Lack::Answers, &error.to_string(), &engine.settings);
            How::NotNow(site.trouble().unwrap_or(down))
        }
    }
}

/// Where a waiting task belongs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// On this backend.
    On(&'a str),
    /// It asks for a backend that only other servers have, or may have a job there.
    Elsewhere(&'a str),
    /// It asks for a backend that no server has.
    Nowhere(&'a str),
    /// It may have a job on a backend that is not configured any more; another tick ends it.
    Absent,
}

pub(super) fn place_of<'a>(engine: &'a Engine, candidate: &'a Candidate, now: Timestamp) -> Place<'a> {
    // A job may exist there already.
    if let Some(name) = &candidate.claimed_on {
        return match engine.ground(name, now) {
            Ground::Shared | Ground::OurMachine => Place::On(name),
            Ground::Elsewhere => Place::Elsewhere(name),
            Ground::Lost | Ground::Nowhere => Place::Absent,
        };
    }
    match &candidate.backend {
        Some(name) => match engine.serving(name) {
            Some(site) => Place::On(site.name()),
            // The name of one machine's backend is no name to ask for.
            None if machine(name).is_none() && engine.ground(name, now) == Ground::Elsewhere => Place::Elsewhere(name),
            None => Place::Nowhere(name),
        },
        None => engine.sites.first().map_or(Place::Absent, |site| Place::On(site.name())),
    }
}

/// One look at the queue.
struct Look<'a> {
    engine: &'a Engine,
    site: &'a Site,
    now: Timestamp,
    claims: usize,
    room: Room,
    wanted: Vec<ClaimRequest>,
    /// Those of them whose former claim has expired.
    claimed_before: HashSet<TaskId>,
    records: Vec<Record>,
    /// Those who lack something and have to be told.
    telling: Vec<(Candidate, Short)>,
    /// Whether the queue is longer than one look goes.
    far: bool,
}

impl Look<'_> {
    /// The oldest tasks first, each time: they go first wherever they fit. Then a piece further down, which begins
    /// where the last look ended, so that what does not fit is never a wall before what does.
    async fn through_the_queue(&mut self) -> Result<Tick, StoreError> {
        let scan = self.engine.settings.scan.max(1);
        let oldest = self.engine.store.queued(self.now, None, scan).await?;
        let is_all = oldest.len() < scan as usize;
        let all_seen = self.at(&oldest);
        if is_all {
            self.site.set_queue_from(None, 0);
            return Ok(self.more(all_seen));
        }
        let Some(last) = oldest.last().map(|one| one.task.clone()).filter(|_| all_seen) else { return Ok(Tick::More) };
        self.far = true;
        let (from, rounds) = self.site.queue_from();
        let from = from.filter(|from| *from > last).unwrap_or(last);
        let mut further = self.engine.store.queued(self.now, Some(&QueueCursor(from)), scan).await?;
        let next = further.last().map(|one| one.task.clone()).filter(|_| further.len() == scan as usize);
        let is_full = self.room.is_full();
        if is_full {
            // Expired claims may be what fills it: they are looked for all the same, else it would be full for ever.
            further.retain(|one| one.claimed_on.is_some());
        }
        let all_seen = self.at(&further);
        let rounds = if self.wanted.is_empty() { rounds + 1 } else { 0 };
        let rest = (is_full && self.wanted.is_empty()) || rounds >= ROUNDS || next.is_none();
        self.site.set_queue_from(next, if rest { 0 } else { rounds });
        Ok(if rest { self.more(all_seen) } else { Tick::More })
    }

    /// What was taken leaves less for others, but those behind have not been looked at.
    fn more(&self, all_seen: bool) -> Tick {
        if all_seen { Tick::Done } else { Tick::More }
    }

    /// Looks at some tasks; whether it came to the end of them.
    fn at(&mut self, candidates: &[Candidate]) -> bool {
        for candidate in candidates {
            if self.wanted.len() >= self.claims {
                return false;
            }
            self.at_one(candidate);
        }
        true
    }

    fn at_one(&mut self, candidate: &Candidate) {
        let (engine, site) = (self.engine, self.site);
        match place_of(engine, candidate, self.now) {
            Place::On(name) if name == site.name() => {}
            Place::Nowhere(name) if engine.sites.first().is_some_and(|first| first.name() == site.name()) => {
                if engine.knows_all_for(&candidate.task) {
                    self.end(candidate, format!("the task asks for backend `{name}`, which is not configured"));
                }
                return;
            }
            Place::On(_) | Place::Elsewhere(_) | Place::Nowhere(_) | Place::Absent => return,
        }
        let capacity = &site.profile().capacity;
        let need = Need::of(candidate, capacity, &engine.settings);
        // What may be outside already is counted there, wanted or not.
        let is_counted = candidate.claimed_on.is_some();
        let fit = if is_counted { Fit::Now } else { fit(need, capacity, &self.room) };
        match fit {
            Fit::Now => {
                if !is_counted {
                    self.room.take(need);
                }
                if is_counted {
                    self.claimed_before.insert(candidate.task.clone());
                }
                self.wanted.push(ClaimRequest {
                    task: candidate.task.clone(),
                    backend: site.name().to_owned(),
                    cpu_milli: need.cpu_milli,
                    ram_bytes: need.ram_bytes,
                });
            }
            Fit::Later(short) => {
                let holds_for = Duration::from_millis(engine.settings.note_waiting_after_ms);
                if site.waiting.is_due(&candidate.task, short.what(), self.now, holds_for) {
                    self.telling.push((candidate.clone(), short));
                }
            }
            Fit::Never(_) if engine.may_fit_elsewhere(site, need, self.now) => {}
            Fit::Never(short) => {
                let sentence = format!("the task can never run on backend `{}`: it {short}", site.name());
                self.end(candidate, sentence);
            }
        }
    }

    fn end(&mut self, candidate: &Candidate, sentence: String) {
        let event = ended_with(candidate.attempt, self.now, sentence);
        self.records.push(self.engine.event(&candidate.task, Some(candidate.fence), event));
        self.site.waiting.forget(&candidate.task);
    }
}
