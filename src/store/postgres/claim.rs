//! Taking waiting tasks.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio_postgres::Row;
use tracing::warn;

use super::columns::{self, CLAIMED, WAITING};
use super::fault::Fault;
use crate::store::{Ceiling, Claim, ClaimRequest, Claimed, Fence, Holder, StoreError};
use crate::task::{Event, Step, TaskSpec, TaskState};

/// Tasks that are wanted, with what is needed to take them.
pub(super) const WANTED: &str = "
    SELECT id, owner, stage, state, version, not_before, fence, until, holder, backend, specs.spec
    FROM tasks JOIN specs ON specs.row = tasks.spec WHERE id = ANY ($1::text[])";

/// Takes those that are still of the version that was read, and answers them with their fences, in their order, as long
/// as they stay below the ceiling: under the lock nobody else claims. What has a claim there that expired is counted
/// already.
pub(super) const CLAIM: &str = "
    WITH RECURSIVE still AS MATERIALIZED (
        SELECT wanted.id, wanted.state, wanted.cpu, wanted.ram, tasks.stage = 1 AND tasks.backend = $8 AS counted,
               row_number() OVER (ORDER BY wanted.place) AS place
        FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
             WITH ORDINALITY AS wanted (id, base, state, cpu, ram, place)
        JOIN tasks ON tasks.id = wanted.id AND tasks.version = wanted.base
    ), lists AS MATERIALIZED (
        SELECT array_agg(cpu ORDER BY place) AS cpu, array_agg(ram ORDER BY place) AS ram,
               array_agg(counted ORDER BY place) AS counted, count(*) AS length
        FROM still
    ), walk AS (
        SELECT 0::bigint AS place, false AS fits, count(*)::numeric AS jobs, coalesce(sum(cpu), 0)::numeric AS cpu,
               coalesce(sum(ram), 0)::numeric AS ram
        FROM tasks WHERE stage IN (1, 2, 3) AND backend = $8
        UNION ALL
        SELECT next.place, next.fits,
               walk.jobs + CASE WHEN next.added THEN 1 ELSE 0 END,
               walk.cpu + CASE WHEN next.added THEN next.cpu ELSE 0 END,
               walk.ram + CASE WHEN next.added THEN next.ram ELSE 0 END
        FROM walk CROSS JOIN lists CROSS JOIN LATERAL (
            SELECT one.*, one.counted OR one.room AS fits, one.room AND NOT one.counted AS added
            FROM (SELECT walk.place + 1 AS place, lists.cpu[walk.place + 1] AS cpu, lists.ram[walk.place + 1] AS ram,
                         lists.counted[walk.place + 1] AS counted,
                         walk.jobs + 1 <= $9::bigint AND walk.cpu + lists.cpu[walk.place + 1] <= $10::bigint
                         AND walk.ram + lists.ram[walk.place + 1] <= $11::bigint AS room) AS one
        ) AS next
        WHERE walk.place < lists.length
    )
    UPDATE tasks SET stage = 1, state = still.state, version = version + 1, fence = fence + 1, holder = $6, until = $7,
                     backend = $8, cpu = still.cpu, ram = still.ram
    FROM still
    WHERE tasks.id = still.id AND (still.place IN (SELECT place FROM walk WHERE fits)) IS TRUE
    RETURNING tasks.id, fence";

/// A wish that waits for its commit.
pub(super) struct Claiming {
    pub(super) holder: Holder,
    now: i64,
    until: Timestamp,
    ceiling: Ceiling,
    pub(super) wanted: Vec<ClaimRequest>,
    /// It was sent, and no answer came.
    pub(super) maybe_done: bool,
    pub(super) answer: Option<Result<Vec<Claimed>, StoreError>>,
    pub(super) reply: oneshot::Sender<Result<Vec<Claimed>, StoreError>>,
}

/// What was had already, what is hoped for, and what is asked for it.
pub(super) type Looked = (Vec<Claimed>, Vec<Claimed>, Vec<Taking>);

/// One backend's part of a wish, as [`CLAIM`] takes it.
pub(super) struct Taking {
    backend: String,
    holder: String,
    until: i64,
    ceiling: [i64; 3],
    ids: Vec<String>,
    bases: Vec<i64>,
    states: Vec<String>,
    cpu: Vec<i64>,
    ram: Vec<i64>,
}

impl Claiming {
    pub(super) fn new(
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
        ceiling: Ceiling,
        wanted: &[ClaimRequest],
        reply: oneshot::Sender<Result<Vec<Claimed>, StoreError>>,
    ) -> Self {
        let (holder, now, wanted) = (holder.clone(), columns::from_moment(now), wanted.to_vec());
        Self { holder, now, until, ceiling, wanted, maybe_done: false, answer: None, reply }
    }

    /// Looks at the rows: what was taken already, before the connection was lost, and what is to be sent.
    pub(super) fn look(&self, rows: &[Row]) -> Result<Looked, Fault> {
        let (mut had, mut hoped, mut takings) = (Vec::new(), Vec::new(), Vec::<Taking>::new());
        let rows: HashMap<&str, &Row> = rows.iter().map(|row| (row.get(0), row)).collect();
        let mut seen = HashSet::new();
        for wanted in &self.wanted {
            let id = wanted.task.as_str();
            let Some(row) = rows.get(id) else { continue };
            let Some((claimed, state, is_mine)) = self.one(wanted, row)? else { continue };
            if is_mine {
                had.push(claimed);
                continue;
            }
            let backend = columns::text(&wanted.backend);
            if !takings.iter().any(|taking| taking.backend == backend) {
                takings.push(self.taking(backend.clone()));
            }
            let Some(taking) = takings.iter_mut().find(|taking| taking.backend == backend) else { continue };
            if !seen.insert((id, &wanted.backend)) {
                continue;
            }
            taking.ids.push(id.to_owned());
            taking.bases.push(row.try_get(4)?);
            taking.states.push(columns::from_document(&state)?);
            taking.cpu.push(columns::from_amount(wanted.cpu_milli));
            taking.ram.push(columns::from_amount(wanted.ram_bytes));
            hoped.push(claimed);
        }
        Ok((had, hoped, takings))
    }

    fn taking(&self, backend: String) -> Taking {
        let bound = |most: Option<u64>| most.map_or(i64::MAX, columns::from_amount);
        Taking {
            backend,
            holder: columns::text(&self.holder.0),
            until: columns::from_moment(self.until),
            ceiling: [bound(self.ceiling.jobs), bound(self.ceiling.cpu_milli), bound(self.ceiling.ram_bytes)],
            ids: Vec::new(),
            bases: Vec::new(),
            states: Vec::new(),
            cpu: Vec::new(),
            ram: Vec::new(),
        }
    }

    /// A task, if it is to be had: it waits, its time has come, and nobody's claim on it lasts; or if it was had.
    fn one(&self, wanted: &ClaimRequest, row: &Row) -> Result<Option<(Claimed, TaskState, bool)>, Fault> {
        let (stage, until): (i64, i64) = (row.try_get(2)?, row.try_get(7)?);
        let is_mine = self.maybe_done
            && stage == CLAIMED
            && until == columns::from_moment(self.until)
            && row.try_get::<_, Option<&str>>(8)? == Some(columns::text(&self.holder.0).as_str())
            && row.try_get::<_, Option<&str>>(9)? == Some(columns::text(&wanted.backend).as_str());
        let to_be_had = match stage {
            WAITING => row.try_get::<_, i64>(5)? <= self.now,
            CLAIMED => until <= self.now,
            _ => false,
        };
        if !to_be_had && !is_mine {
            return Ok(None);
        }
        let Some((state, spec)) = read(wanted.task.as_str(), row)? else { return Ok(None) };
        let TaskState::Queued { attempt, refusals, .. } = state else { return Ok(None) };
        let taken = match state.after(&Event::Claimed { attempt }) {
            Step::Moves(taken) => taken,
            Step::Unchanged => state,
            Step::Refused(_) => return Ok(None),
        };
        let claim = Claim {
            fence: Fence(columns::amount(row.try_get(6)?)),
            holder: self.holder.clone(),
            backend: wanted.backend.clone(),
            until: self.until,
        };
        let (task, owner) = (wanted.task.clone(), columns::owner(&columns::from_text(row.try_get(1)?)));
        Ok(Some((Claimed { task, owner, attempt, refusals, spec, claim }, taken, is_mine)))
    }

    /// What was taken, in the order asked.
    pub(super) fn taken(&mut self, had: Vec<Claimed>, hoped: Vec<Claimed>, rows: &[Row]) -> Result<(), Fault> {
        let mut taken = had;
        let rows: HashMap<&str, &Row> = rows.iter().map(|row| (row.get(0), row)).collect();
        for mut claimed in hoped {
            let Some(row) = rows.get(claimed.task.as_str()) else { continue };
            claimed.claim.fence = Fence(columns::amount(row.try_get(1)?));
            taken.push(claimed);
        }
        taken.sort_by_cached_key(|one| self.wanted.iter().position(|wanted| wanted.task == one.task));
        self.answer = Some(Ok(taken));
        Ok(())
    }
}

impl Taking {
    pub(super) fn parameters(&self) -> [&(dyn tokio_postgres::types::ToSql + Sync); 11] {
        let [jobs, cpu, ram] = &self.ceiling;
        [
            &self.ids,
            &self.bases,
            &self.states,
            &self.cpu,
            &self.ram,
            &self.holder,
            &self.until,
            &self.backend,
            jobs,
            cpu,
            ram,
        ]
    }
}

/// A task that cannot be read is not to be had, and does not keep the others from being taken.
fn read(task: &str, row: &Row) -> Result<Option<(TaskState, TaskSpec)>, Fault> {
    let state = columns::document("state", task, row.try_get(3)?);
    let spec = columns::document("spec", task, row.try_get(10)?);
    match (state, spec) {
        (Ok(state), Ok(spec)) => Ok(Some((state, spec))),
        (Err(fault), _) | (_, Err(fault)) => {
            warn!(task, "left in the queue: {fault}");
            Ok(None)
        }
    }
}
