//! Taking waiting tasks.

use jiff::Timestamp;

use super::call::Semantics;
use super::flaw::Flaw;
use super::ground::{Ground, Row, Stage};
use super::journal::{By, Written};
use crate::store::{Ceiling, Claim, ClaimRequest, Claimed, Fence, Holder, Load};
use crate::task::{Event, Step, TaskState};

impl Ground {
    /// Takes what is still to be had, in the order asked. Where there are several servers, what would pass the
    /// ceiling stays.
    pub(super) fn claim(
        &mut self,
        semantics: Semantics,
        holder: &Holder,
        (now, until): (Timestamp, Timestamp),
        ceiling: Ceiling,
        wanted: &[ClaimRequest],
    ) -> Vec<Claimed> {
        let mut loads = self.load();
        let mut taken = Vec::new();
        for one in wanted {
            let Some(row) = self.tasks.get(&one.task) else { continue };
            if !self.is_to_be_had(row, now) {
                continue;
            }
            let is_counted = row.stage() == Stage::Claimed && row.backend.as_deref() == Some(one.backend.as_str());
            if semantics == Semantics::Shared && !is_counted {
                let load = loads.iter_mut().find(|load| load.backend == one.backend);
                let (jobs, cpu, ram) = load.map_or((0, 0, 0), |load| (load.jobs, load.cpu_milli, load.ram_bytes));
                let passes = |used: u64, more: u64, most: Option<u64>| most.is_some_and(|most| used + more > most);
                if passes(jobs, 1, ceiling.jobs)
                    || passes(cpu, one.cpu_milli, ceiling.cpu_milli)
                    || passes(ram, one.ram_bytes, ceiling.ram_bytes)
                {
                    continue;
                }
            }
            if let Some(claimed) = self.take(holder, now, until, one) {
                taken.push(claimed);
                loads = self.load();
            }
        }
        taken
    }

    fn is_to_be_had(&self, row: &Row, now: Timestamp) -> bool {
        match (row.stage(), &row.state) {
            (Stage::Waiting, TaskState::Queued { not_before, .. }) => not_before.is_none_or(|at| at <= now),
            (Stage::Claimed, _) => row.until <= now || self.flaw == Some(Flaw::SharesClaims),
            (Stage::Waiting | Stage::Outside | Stage::Canceling | Stage::Ended, _) => false,
        }
    }

    fn take(&mut self, holder: &Holder, now: Timestamp, until: Timestamp, one: &ClaimRequest) -> Option<Claimed> {
        let shares = self.flaw == Some(Flaw::SharesClaims);
        let row = self.tasks.get_mut(&one.task)?;
        let before = row.state.clone();
        let TaskState::Queued { attempt, refusals, .. } = before else { return None };
        match before.after(&Event::Claimed { attempt }) {
            Step::Moves(taken) => row.state = taken,
            Step::Unchanged => {}
            Step::Refused(_) => return None,
        }
        if !shares || row.fence == Fence(0) {
            row.fence = Fence(row.fence.0 + 1);
        }
        row.holder = Some(holder.clone());
        row.backend = Some(one.backend.clone());
        row.until = until;
        row.cpu_milli = one.cpu_milli;
        row.ram_bytes = one.ram_bytes;
        let claim = Claim { fence: row.fence, holder: holder.clone(), backend: one.backend.clone(), until };
        let claimed = Claimed {
            task: one.task.clone(),
            owner: row.owner.clone(),
            attempt,
            refusals,
            spec: row.spec.clone(),
            claim: claim.clone(),
        };
        let written = Written {
            task: one.task.clone(),
            by: By::Claim(claim),
            before: Some(before),
            after: row.state.clone(),
            under: None,
            fence: row.fence,
            at: now,
        };
        self.journal.push(written);
        Some(claimed)
    }

    /// What each backend carries.
    pub(super) fn load(&self) -> Vec<Load> {
        let mut loads: Vec<Load> = Vec::new();
        for row in self.tasks.values().filter(|row| !matches!(row.stage(), Stage::Waiting | Stage::Ended)) {
            let Some(backend) = &row.backend else { continue };
            let (cpu_milli, ram_bytes) = (row.cpu_milli, row.ram_bytes);
            match loads.iter_mut().find(|load| load.backend == *backend) {
                Some(load) => {
                    load.jobs += 1;
                    load.cpu_milli = load.cpu_milli.saturating_add(cpu_milli);
                    load.ram_bytes = load.ram_bytes.saturating_add(ram_bytes);
                }
                None => loads.push(Load { backend: backend.clone(), jobs: 1, cpu_milli, ram_bytes }),
            }
        }
        loads
    }
}
