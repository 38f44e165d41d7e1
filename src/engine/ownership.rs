//! Whose a task is that has, or may have, something outside: the one place that says who acts on it.
//!
//! | its backend is | its holder is us | its holder is here | its holder is away |
//! |---|---|---|---|
//! | one of ours, that others can ask too | ours | another's | taken over |
//! | one of ours, on our machine | ours | taken over | taken over |
//! | another server's | another's | another's | another's |
//! | on a machine that does not come back | ours | another's | taken over |
//! | nobody's any more | ours | another's | taken over |
//!
//! What is taken over gets a higher fence first, so that its former holder can say nothing any more.

use jiff::Timestamp;
use tessera_contract::Capacity;

use super::assembly::Engine;
use super::place::{Fit, Need, Room, fit};
use super::site::Site;
use crate::roster::{Seen, Whereabouts};
use crate::store::{Active, Fence, Leftover, StoreError};
use crate::task::TaskId;

/// Tasks taken over in one go.
const TAKEN: usize = 512;

/// Where the backend of a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Ours, and others can ask it as well.
    Shared,
    /// Ours, on our machine.
    OurMachine,
    /// Another server's.
    Elsewhere,
    /// On a machine that has been away for too long.
    Lost,
    /// Nobody has it any more.
    Nowhere,
}

/// Whose a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Ours: we act on it.
    Ours,
    /// To be taken over, and then ours.
    ToTake,
    /// Another's: we leave it alone.
    Anothers,
}

/// Whose a task is. Pure.
pub fn whose(ground: Ground, holder: Seen) -> Whose {
    match (ground, holder) {
        (Ground::Elsewhere, Seen::Me | Seen::Here | Seen::Away(_)) => Whose::Anothers,
        (_, Seen::Me) => Whose::Ours,
        // Nobody else can ask it; whoever has the task took us for lost.
        (Ground::OurMachine, Seen::Here | Seen::Away(_)) => Whose::ToTake,
        (Ground::Shared | Ground::Lost | Ground::Nowhere, Seen::Here) => Whose::Anothers,
        (Ground::Shared | Ground::Lost | Ground::Nowhere, Seen::Away(_)) => Whose::ToTake,
    }
}

/// The backend of a task that has, or may have, something outside.
pub(super) fn backend(active: &Active) -> Option<&str> {
    let job = active.state.job().map(|job| job.backend.as_str());
    job.or(active.claim.as_ref().map(|claim| claim.backend.as_str()))
}

impl Engine {
    /// Whether anything may be done now: not while others may take us for dead.
    pub(super) fn may_act(&self) -> bool {
        self.roster.may_act(self.clock.now())
    }

    pub(super) fn ground(&self, backend: &str, now: Timestamp) -> Ground {
        match self.site(backend) {
            Some(site) if site.profile().local => Ground::OurMachine,
            Some(_) => Ground::Shared,
            None => match self.roster.whereabouts(backend, now) {
                Whereabouts::With { .. } => Ground::Elsewhere,
                Whereabouts::Lost { .. } => Ground::Lost,
                Whereabouts::Nowhere => Ground::Nowhere,
            },
        }
    }

    /// Whose a task is.
    pub(super) fn whose(&self, active: &Active, now: Timestamp) -> Whose {
        if self.roster.is_alone() {
            return Whose::Ours;
        }
        let (Some(backend), Some(claim)) = (backend(active), &active.claim) else { return Whose::Anothers };
        whose(self.ground(backend, now), self.roster.sees(&claim.holder, now))
    }

    /// Those of some tasks outside, or being cancelled, that are ours, in the order of their ids; what is to be taken
    /// over is taken over before. A server alone has them all.
    pub(super) async fn ours(&self, tasks: Vec<Active>) -> Result<Vec<Active>, StoreError> {
        if self.roster.is_alone() {
            return Ok(tasks);
        }
        let now = self.clock.now();
        let mut ours = Vec::with_capacity(tasks.len());
        let mut to_take: Vec<(TaskId, Fence)> = Vec::new();
        for active in tasks {
            match self.whose(&active, now) {
                Whose::Ours => ours.push(active),
                Whose::ToTake => to_take.extend(active.claim.map(|claim| (active.task, claim.fence))),
                Whose::Anothers => {}
            }
        }
        if to_take.is_empty() {
            return Ok(ours);
        }
        for some in to_take.chunks(TAKEN) {
            let taken = self.store.take_over(self.roster.holder(), some).await?;
            tracing::info!(taken = taken.len(), of = some.len(), "took tasks over from servers that are away");
            ours.extend(taken);
        }
        ours.sort_by(|one, other| one.task.cmp(&other.task));
        Ok(ours)
    }

    /// Whether this server removes a job that is over. What it printed is kept by whoever removes it: the server whose
    /// task it was, also after a restart, and another only when that one is away.
    pub(super) fn removes(&self, site: &Site, leftover: &Leftover, now: Timestamp) -> bool {
        if self.roster.is_alone() || site.profile().local {
            return true;
        }
        let Some(holder) = &leftover.holder else { return true };
        if holder.replica() == self.roster.name() {
            return true;
        }
        match self.roster.named(holder.replica()) {
            Some(one) => one.until <= now,
            None => matches!(self.roster.sees(holder, now), Seen::Away(_)),
        }
    }

    /// Whether another server has a backend of this name on which a task has room that has none on ours, ever.
    pub(super) fn may_fit_elsewhere(&self, site: &Site, need: Need, now: Timestamp) -> bool {
        let others = self.roster.offers(site.serves(), now).into_iter();
        let mut others = others.filter(|(one, _)| one.replica.holder != *self.roster.holder());
        others.any(|(_, offer)| {
            let (cpu_milli, ram_bytes) = (offer.cpu_milli, offer.ram_bytes);
            let capacity = Capacity { cpu_milli, ram_bytes, jobs: None };
            fit(need, &capacity, &Room::left(&capacity, None)) == Fit::Now
        })
    }

    /// Whether all servers are known that a task could have been meant for when it was created.
    pub(super) fn knows_all_for(&self, task: &TaskId) -> bool {
        self.roster.is_alone() || task.created().is_none_or(|created| self.roster.has_heard_all_of(created))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_at_most_acts_on_a_task() {
        let away = [Seen::Away(None), Seen::Away(Some(Timestamp::UNIX_EPOCH))];
        let rows = [
            (Ground::Shared, [Whose::Ours, Whose::Anothers, Whose::ToTake]),
            (Ground::OurMachine, [Whose::Ours, Whose::ToTake, Whose::ToTake]),
            (Ground::Elsewhere, [Whose::Anothers, Whose::Anothers, Whose::Anothers]),
            (Ground::Lost, [Whose::Ours, Whose::Anothers, Whose::ToTake]),
            (Ground::Nowhere, [Whose::Ours, Whose::Anothers, Whose::ToTake]),
        ];
        for (ground, [me, here, gone]) in rows {
            assert_eq!((whose(ground, Seen::Me), whose(ground, Seen::Here)), (me, here), "{ground:?}");
            for seen in away {
                assert_eq!(whose(ground, seen), gone, "{ground:?}");
            }
        }
    }
}
