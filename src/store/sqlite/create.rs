//! Writing new tasks.
//!
//! A row a statement, each statement prepared once. One `json_each(?1)` for a whole batch is slower here:
//! SQLite lives in this process, so a call costs less than quoting a spec once more and parsing it out of the batch
//! again (`cargo bench --bench store` prints both).

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::fault::Fault;
use super::{changes, columns};
use crate::store::{Created, Key};
use crate::task::{Owner, Phase, TaskId, TaskSpec, TaskState};

/// A new task's rows, made before the writer's turn.
pub(super) struct NewTask {
    id: TaskId,
    owner: Owner,
    created: Timestamp,
    name: Option<String>,
    spec: String,
    state: String,
    wanted: Option<String>,
    ask_cpu: Option<i64>,
    ask_ram: Option<i64>,
    tags: Vec<(String, String)>,
}

impl NewTask {
    pub(super) fn new(owner: &Owner, id: &TaskId, created: Timestamp, spec: TaskSpec) -> Result<Self, Fault> {
        Ok(Self {
            id: id.clone(),
            owner: owner.clone(),
            created,
            spec: columns::from_document(&spec)?,
            state: columns::from_document(&TaskState::new())?,
            wanted: spec.parameter("backend").map(str::to_owned),
            ask_cpu: spec.cpu_milli().map(columns::from_amount),
            ask_ram: spec.ram_bytes().map(columns::from_amount),
            name: spec.name,
            tags: spec.tags.into_iter().flatten().collect(),
        })
    }

    pub(super) fn insert(&self, connection: &Connection) -> Result<(), Fault> {
        connection.prepare_cached("INSERT INTO specs (spec) VALUES (?1)")?.execute([&self.spec])?;
        connection
            .prepare_cached(
                "INSERT INTO tasks (id, owner, created, name, spec, phase, stage, state, version, not_before,
                                    wanted, ask_cpu, ask_ram, fence, until, cpu, ram)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, ?6, 1, ?7, ?8, ?9, ?10, 0, 0, 0, 0)",
            )?
            .execute(params![
                self.id.as_str(),
                self.owner.0,
                columns::from_moment(self.created),
                self.name,
                connection.last_insert_rowid(),
                self.state,
                columns::from_optional_moment(None),
                self.wanted,
                self.ask_cpu,
                self.ask_ram,
            ])?;
        for (key, value) in &self.tags {
            connection
                .prepare_cached("INSERT INTO tags (owner, key, task, value) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![self.owner.0, key, self.id.as_str(), value])?;
        }
        changes::append(connection, &self.owner, &self.id, None, Phase::Queued, self.created)
    }

    /// Writes the task under a name, unless one has that name. One thread writes: between looking and writing nobody
    /// else does.
    pub(super) fn insert_once(&self, connection: &Connection, key: &Key) -> Result<Created, Fault> {
        let digest = Sha256::digest(self.spec.as_bytes());
        let known = connection
            .prepare_cached("SELECT task, digest FROM keys WHERE owner = ?1 AND key = ?2")?
            .query_row([&self.owner.0, key.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))
            .optional()?;
        if let Some((task, known)) = known {
            let same = known == digest.as_slice();
            return if same { Ok(Created::Known(columns::task_id(&task)?)) } else { Ok(Created::Differs) };
        }
        self.insert(connection)?;
        connection
            .prepare_cached("INSERT INTO keys (owner, key, task, digest) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![self.owner.0, key.as_str(), self.id.as_str(), digest.as_slice()])?;
        Ok(Created::New)
    }
}
