//! Writing new tasks: all of a batch in one statement.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::columns;
use super::fault::Fault;
use crate::store::{Created, Key, StoreError};
use crate::task::{Owner, TaskId, TaskSpec, TaskState};

/// Writes those that are not there, and answers them. Under the lock nobody else creates, so what is not there when the
/// statement begins is not there until it ends; of two in one batch under one key the first is written. The forms of its
/// conditions leave the planner one way only: by the key for each, and by a hash of the few that are new (`IS TRUE`).
pub(super) const CREATE: &str = "
    WITH new AS MATERIALIZED (
        SELECT nextval('specs_row') AS row, given.*
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
                    $9::text[], $10::bytea[])
             WITH ORDINALITY AS given (id, owner, created, name, spec, wanted, ask_cpu, ask_ram, key, digest, place)
        WHERE NOT EXISTS (SELECT FROM tasks WHERE tasks.id = given.id)
          AND (given.key IS NULL
               OR (SELECT true FROM keys WHERE keys.owner = given.owner AND keys.key = given.key LIMIT 1) IS NULL)
    ), spec AS (
        INSERT INTO specs (row, spec) SELECT row, spec FROM new
    ), key AS (
        INSERT INTO keys (owner, key, task, digest) SELECT owner, key, id, digest FROM new WHERE key IS NOT NULL
    ), tag AS (
        INSERT INTO tags (owner, key, task, value)
        SELECT owner, key, task, value
        FROM unnest($11::text[], $12::text[], $13::text[], $14::text[]) AS tag (owner, key, task, value)
        WHERE (task IN (SELECT id FROM new)) IS TRUE
    ), change AS (
        INSERT INTO changes (n, owner, task, phase, at)
        SELECT coalesce((SELECT max(n) FROM changes), 0) + row_number() OVER (ORDER BY place), owner, id, 0, created
        FROM new
    )
    INSERT INTO tasks (id, owner, created, name, spec, phase, stage, state, version, not_before, wanted, ask_cpu, ask_ram,
                       fence, until, cpu, ram)
    SELECT id, owner, created, name, row, 0, 0, $15, 1, $16, wanted, ask_cpu, ask_ram, 0, 0, 0, 0 FROM new ORDER BY place
    RETURNING id";

/// Who has a key.
pub(super) const KEYS: &str = "
    SELECT keys.owner, keys.key, task, digest FROM unnest($1::text[], $2::text[]) AS asked (owner, key)
    JOIN keys ON keys.owner = asked.owner AND keys.key = asked.key";

/// A creation that waits for its commit.
pub(super) struct Create {
    pub(super) id: String,
    pub(super) owner: String,
    pub(super) key: Option<String>,
    created: i64,
    name: Option<String>,
    spec: String,
    digest: Option<Vec<u8>>,
    wanted: Option<String>,
    ask_cpu: Option<i64>,
    ask_ram: Option<i64>,
    tags: Vec<(String, String)>,
    /// It was sent, and no answer came.
    pub(super) maybe_done: bool,
    /// It is part of what is sent now.
    pub(super) is_sent: bool,
    /// How often it was sent.
    tries: u32,
    pub(super) answer: Option<Result<Created, StoreError>>,
    pub(super) reply: oneshot::Sender<Result<Created, StoreError>>,
}

impl Create {
    /// Everything that can be done before the writer's turn.
    pub(super) fn new(
        owner: &Owner,
        key: Option<&Key>,
        id: &TaskId,
        created: Timestamp,
        spec: TaskSpec,
        reply: oneshot::Sender<Result<Created, StoreError>>,
    ) -> Result<Self, Fault> {
        let document = columns::from_document(&spec)?;
        Ok(Self {
            id: id.as_str().to_owned(),
            owner: columns::text(&owner.0),
            key: key.map(|key| key.as_str().to_owned()),
            created: columns::from_moment(created),
            digest: key.map(|_| Sha256::digest(document.as_bytes()).to_vec()),
            spec: document,
            wanted: spec.parameter("backend").map(columns::text),
            ask_cpu: spec.cpu_milli().map(columns::from_amount),
            ask_ram: spec.ram_bytes().map(columns::from_amount),
            name: spec.name.as_deref().map(columns::text),
            tags: spec.tags.iter().flatten().map(|(key, value)| (columns::tag(key), columns::tag(value))).collect(),
            maybe_done: false,
            is_sent: false,
            tries: 0,
            answer: None,
            reply,
        })
    }

    /// Bytes that go over the wire.
    pub(super) fn bytes(&self) -> usize {
        self.spec.len() + 512
    }

    /// Somebody has its key: a task that may be this one.
    pub(super) fn known(&mut self, task: &str, digest: &[u8]) -> Result<(), Fault> {
        let same = self.digest.as_deref() == Some(digest);
        let answer = if task == self.id && self.maybe_done {
            Created::New
        } else if same {
            Created::Known(columns::task_id(task)?)
        } else {
            Created::Differs
        };
        self.answer = Some(Ok(answer));
        Ok(())
    }

    /// It was sent. If it was not written there is a task of its id, or another server has just taken its key, which
    /// is then looked up once more.
    pub(super) fn sent(&mut self, is_written: bool, place: &str) {
        self.tries += 1;
        if is_written || self.key.is_none() && self.maybe_done {
            self.answer = Some(Ok(Created::New));
        } else if self.key.is_none() || self.tries > 1 {
            let sentence = format!("the database `{place}` holds a row of this id already");
            self.answer = Some(Err(StoreError::Unavailable(sentence)));
        }
    }
}

/// The columns of a batch, as [`CREATE`] takes them.
#[derive(Default)]
pub(super) struct Creates<'a> {
    ids: Vec<&'a str>,
    owners: Vec<&'a str>,
    created: Vec<i64>,
    names: Vec<Option<&'a str>>,
    specs: Vec<&'a str>,
    wanted: Vec<Option<&'a str>>,
    ask_cpu: Vec<Option<i64>>,
    ask_ram: Vec<Option<i64>>,
    keys: Vec<Option<&'a str>>,
    digests: Vec<Option<&'a [u8]>>,
    tags: [Vec<&'a str>; 4],
    state: String,
    not_before: i64,
}

impl<'a> Creates<'a> {
    pub(super) fn of(all: impl Iterator<Item = &'a Create>) -> Result<Self, Fault> {
        let mut columns = Self {
            state: columns::from_document(&TaskState::new())?,
            not_before: columns::from_optional_moment(None),
            ..Self::default()
        };
        for one in all {
            columns.ids.push(&one.id);
            columns.owners.push(&one.owner);
            columns.created.push(one.created);
            columns.names.push(one.name.as_deref());
            columns.specs.push(&one.spec);
            columns.wanted.push(one.wanted.as_deref());
            columns.ask_cpu.push(one.ask_cpu);
            columns.ask_ram.push(one.ask_ram);
            columns.keys.push(one.key.as_deref());
            columns.digests.push(one.digest.as_deref());
            for (key, value) in &one.tags {
                let row = [one.owner.as_str(), key, &one.id, value];
                columns.tags.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
            }
        }
        Ok(columns)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.ids.len() as u64
    }

    pub(super) fn parameters(&self) -> [&(dyn tokio_postgres::types::ToSql + Sync); 16] {
        let [tag_owners, tag_keys, tag_tasks, tag_values] = &self.tags;
        [
            &self.ids,
            &self.owners,
            &self.created,
            &self.names,
            &self.specs,
            &self.wanted,
            &self.ask_cpu,
            &self.ask_ram,
            &self.keys,
            &self.digests,
            tag_owners,
            tag_keys,
            tag_tasks,
            tag_values,
            &self.state,
            &self.not_before,
        ]
    }
}
