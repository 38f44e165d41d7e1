//! Writing new tasks.
//!
//! A row a statement, each statement prepared once. One `json_each(?1)` for a whole batch is slower here:
//! SQLite lives in this process, so a call costs less than quoting a spec once more and parsing it out of the batch
//! again (`cargo bench --bench store` prints both).

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::columns;
use super::fault::Fault;
use crate::task::{Owner, TaskId, TaskSpec, TaskState};

/// A new task's rows, made before the writer's turn.
pub(super) struct NewTask {
    id: TaskId,
    owner: Owner,
    created: i64,
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
            created: columns::from_moment(created),
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
                self.created,
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
        Ok(())
    }
}
