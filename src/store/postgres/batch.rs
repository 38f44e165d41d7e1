//! What arrived together: read in one round trip, computed here, written in another.

use std::collections::{BTreeSet, HashSet};

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::claim::{Claiming, Looked};
use super::create::{Create, Creates};
use super::fault::Fault;
use super::record::{Item, Moves, Say, standings};
use super::session::{Asked, Session};
use crate::store::StoreError;

/// Writes that wait for their commit.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) creates: Vec<Create>,
    pub(super) says: Vec<Say>,
    pub(super) claims: Vec<Claiming>,
}

/// What a commit told others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Changes were written.
    pub(super) changes: bool,
    /// Tasks that wait.
    pub(super) queued: u64,
    /// Tasks whose cancel was requested.
    pub(super) canceled: u64,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.creates.len() + self.says.len() + self.claims.len()
    }

    /// Each write by itself.
    pub(super) fn alone(self) -> Vec<Self> {
        let creates = self.creates.into_iter().map(|one| Self { creates: vec![one], ..Self::default() });
        let says = self.says.into_iter().map(|one| Self { says: vec![one], ..Self::default() });
        let claims = self.claims.into_iter().map(|one| Self { claims: vec![one], ..Self::default() });
        creates.chain(says).chain(claims).collect()
    }

    /// The connection was lost: what was sent may have been written.
    pub(super) fn maybe_done(&mut self) {
        self.creates.iter_mut().for_each(|one| one.maybe_done = true);
        self.claims.iter_mut().for_each(|one| one.maybe_done = true);
    }

    /// Answers those that are settled; the others stay.
    pub(super) fn answer(&mut self) {
        // Whoever asked may have gone; what was written stays.
        for one in self.creates.extract_if(.., |one| one.answer.is_some()) {
            let _gone = one.answer.map(|answer| one.reply.send(answer));
        }
        for one in self.claims.extract_if(.., |one| one.answer.is_some()) {
            let _gone = one.answer.map(|answer| one.reply.send(answer));
        }
        let settled = |one: &mut Say| one.failed.is_some() || one.items.iter().all(|item| item.answer.is_some());
        for one in self.says.extract_if(.., settled) {
            let answers = one.items.iter().filter_map(|item| item.answer).collect();
            let _gone = one.reply.send(one.failed.map_or(Ok(answers), Err));
        }
    }

    /// None of them could be written.
    pub(super) fn refuse(self, error: &StoreError) {
        self.creates.into_iter().for_each(|one| drop(one.reply.send(Err(error.clone()))));
        self.says.into_iter().for_each(|one| drop(one.reply.send(Err(error.clone()))));
        self.claims.into_iter().for_each(|one| drop(one.reply.send(Err(error.clone()))));
    }

    /// Reads, computes and writes once. Afterwards some are settled; those that another server was quicker with are not.
    pub(super) async fn attempt(
        &mut self,
        session: &Session,
        (channel, voice): (&str, &str),
        place: &str,
    ) -> Result<Told, Fault> {
        let plan = self.read(session, place).await?;
        let mut told = Told { changes: plan.moves.changes(), queued: plan.moves.queued, canceled: plan.moves.canceled };
        let answers = {
            let creates = Creates::of(self.creates.iter().filter(|one| one.is_sent))?;
            told.changes |= !creates.is_empty();
            told.queued += creates.len();
            let mut asked: Vec<Asked<'_>> = vec![];
            if !creates.is_empty() {
                asked.push((&session.create, creates.parameters().to_vec()));
            }
            if !plan.moves.ids.is_empty() {
                asked.push((&session.moved, plan.moves.parameters().to_vec()));
            }
            for (_, _, takings) in &plan.claims {
                asked.extend(takings.iter().map(|taking| (&session.claim, taking.parameters().to_vec())));
            }
            let notify = told.changes.then(|| (channel, format!("{voice} {} {}", told.queued, told.canceled)));
            if asked.is_empty() { Vec::new() } else { session.write(&asked, notify).await? }
        };
        self.settle(plan, answers.into_iter(), place)?;
        Ok(told)
    }

    /// One round trip, and what comes of it.
    async fn read(&mut self, session: &Session, place: &str) -> Result<Plan, Fault> {
        self.choose();
        let keyed = || self.creates.iter().filter(|one| one.is_sent && one.key.is_some());
        let owners: Vec<&str> = keyed().map(|one| one.owner.as_str()).collect();
        let keys: Vec<&str> = keyed().filter_map(|one| one.key.as_deref()).collect();
        let open = || self.says.iter().flat_map(|say| &say.items).filter(|item| item.answer.is_none());
        let tasks: BTreeSet<&str> = open().map(|item| item.record.task.as_str()).collect();
        let tasks: Vec<&str> = tasks.into_iter().collect();
        let sent = open().filter_map(|item| item.sent.as_ref().map(|sent| (item.record.task.as_str(), sent.seq)));
        let (said, seqs): (Vec<&str>, Vec<i64>) = sent.unzip();
        let wanted = self.claims.iter().flat_map(|claim| &claim.wanted);
        let wanted: Vec<&str> = wanted.map(|wanted| wanted.task.as_str()).collect();

        // What was said is looked for after the tasks: a late commit between the two is then found.
        let asks: [&[&(dyn ToSql + Sync)]; 4] = [&[&owners, &keys], &[&tasks], &[&said, &seqs], &[&wanted]];
        let (known, standing, said, wanted) = futures::try_join!(
            session.read(&session.keys, asks[0], keys.is_empty()),
            session.read(&session.standing, asks[1], tasks.is_empty()),
            session.read(&session.said, asks[2], said.is_empty()),
            session.read(&session.wanted, asks[3], wanted.is_empty()),
        )?;
        self.look_for_keys(&known)?;
        Ok(Plan { moves: self.plan_moves(&standing, &said, place)?, claims: self.plan_claims(&wanted)? })
    }

    /// Of several with one id or one key, the first goes now: the others find it.
    fn choose(&mut self) {
        let (mut ids, mut keys) = (HashSet::new(), HashSet::new());
        for one in &mut self.creates {
            let is_first_of_key = match &one.key {
                Some(key) => keys.insert((one.owner.clone(), key.clone())),
                None => true,
            };
            one.is_sent = ids.insert(one.id.clone()) && is_first_of_key;
        }
    }

    fn look_for_keys(&mut self, known: &[Row]) -> Result<(), Fault> {
        for row in known {
            let (owner, key): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
            let named = |one: &&mut Create| one.is_sent && one.owner == owner && one.key.as_deref() == Some(key);
            for one in self.creates.iter_mut().filter(named) {
                one.known(row.try_get(2)?, row.try_get(3)?)?;
                one.is_sent = false;
            }
        }
        Ok(())
    }

    fn plan_moves(&mut self, standing: &[Row], said: &[Row], place: &str) -> Result<Moves, Fault> {
        let mut standings = standings(standing)?;
        let mut moves = Moves::default();
        for row in said {
            let (task, seq, at): (&str, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            for item in self.says.iter_mut().flat_map(|say| &mut say.items) {
                if item.record.task.as_str() == task && item.sent.as_ref().is_some_and(|sent| sent.seq == seq) {
                    item.found(at, row.try_get(3)?);
                }
            }
        }
        for say in &mut self.says {
            // One call is one answer: where a task of it cannot be read, none of it is written.
            let open = say.items.iter().filter(|item| item.answer.is_none());
            let unreadable = |item: &Item| standings.get(item.record.task.as_str()).and_then(|one| one.as_ref().err());
            if let Some(fault) = open.into_iter().find_map(unreadable) {
                say.failed = Some(fault.told(place));
                continue;
            }
            for item in say.items.iter_mut().filter(|item| item.answer.is_none()) {
                item.sent = None;
                match moves.say(item, say.owner.as_ref(), &mut standings) {
                    Ok(()) => {}
                    Err(fault) if fault.is_of_one_row() => say.failed = Some(fault.told(place)),
                    Err(fault) => return Err(fault),
                }
            }
        }
        moves.finish(&standings)?;
        Ok(moves)
    }

    fn plan_claims(&self, wanted: &[Row]) -> Result<Vec<Looked>, Fault> {
        self.claims.iter().map(|claim| claim.look(wanted)).collect()
    }

    /// Sorts the answers, which come in the order in which was asked.
    fn settle(&mut self, plan: Plan, mut answers: impl Iterator<Item = Vec<Row>>, place: &str) -> Result<(), Fault> {
        if self.creates.iter().any(|one| one.is_sent) {
            let written = answers.next().unwrap_or_default();
            let written: HashSet<&str> = written.iter().map(|row| row.get(0)).collect();
            for one in self.creates.iter_mut().filter(|one| one.is_sent) {
                one.sent(written.contains(one.id.as_str()), place);
            }
        }
        if !plan.moves.ids.is_empty() {
            let written = answers.next().unwrap_or_default();
            let written: HashSet<&str> = written.iter().map(|row| row.get(0)).collect();
            for item in self.says.iter_mut().flat_map(|say| &mut say.items) {
                item.told(written.contains(item.record.task.as_str()));
            }
        }
        for (claim, (had, hoped, takings)) in self.claims.iter_mut().zip(plan.claims) {
            let taken: Vec<Row> = answers.by_ref().take(takings.len()).flatten().collect();
            claim.taken(had, hoped, &taken)?;
        }
        Ok(())
    }
}

/// What is to be sent besides creations.
struct Plan {
    moves: Moves,
    /// For each claim.
    claims: Vec<Looked>,
}
