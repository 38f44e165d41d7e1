//! A file as one side of a move.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};
use tokio::sync::mpsc;

use super::fault::Fault;
use super::migrations::migrate;
use super::open::{cannot_open, connect, lock, make};
use super::retention::Tagged;
use crate::store::StoreError;
use crate::store::transfer::tables::{SPEC, TASKS};
use crate::store::transfer::{BATCH_BYTES, BATCH_ROWS, Kind, Row, Source, Table, Target, Value};

/// How long is waited for a program that holds the file.
const BUSY: Duration = Duration::from_secs(5);

/// Statements kept prepared: one a table, and those of tags.
const STATEMENTS: usize = 32;

/// A file that nobody serves meanwhile.
pub struct SqliteSide {
    /// Elsewhere while a thread works with it.
    connection: Option<Connection>,
    path: PathBuf,
    // Goes last: no server opens the file before the connection is closed.
    _lock: Option<File>,
}

impl SqliteSide {
    /// A file to be read. One of an earlier release is brought up to this one's tables first, as a server would.
    pub fn source(path: &Path) -> Result<Self, StoreError> {
        if !path.is_file() {
            let path = path.display();
            return Err(StoreError::Unavailable(format!("there is no database `{path}`; name another file")));
        }
        let lock = lock(path)?;
        let told = |fault: Fault| fault.told(path);
        let mut connection = connect(path, BUSY).map_err(told)?;
        migrate(&mut connection).map_err(told)?;
        begin(&connection, "BEGIN").map_err(told)?;
        let rows: i64 = count(&connection, "store").map_err(told)?;
        if rows == 0 {
            let path = path.display();
            return Err(StoreError::Unavailable(format!("`{path}` is empty: no server has ever used it")));
        }
        Ok(Self::of(connection, path, Some(lock)))
    }

    /// A file to be written; made if it is not there.
    pub fn target(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        make(path).map_err(|error| cannot_open(path, &error))?;
        let told = |fault: Fault| fault.told(path);
        let mut connection = connect(path, BUSY).map_err(told)?;
        // What is written goes into the file itself, and is undone from its journal; a log of it all would be as large
        // again. The server goes back to a log.
        connection.pragma_update(None, "journal_mode", "DELETE").map_err(|error| told(error.into()))?;
        migrate(&mut connection).map_err(told)?;
        begin(&connection, "BEGIN EXCLUSIVE").map_err(told)?;
        for table in ["tasks", "changes", "keys"] {
            if count(&connection, table).map_err(told)? > 0 {
                let path = path.display();
                return Err(StoreError::Unavailable(format!("`{path}` is not empty; name a file that is not there")));
            }
        }
        let emptied = "DELETE FROM store; DELETE FROM told; DELETE FROM replicas; DELETE FROM leases";
        connection.execute_batch(emptied).map_err(|error| told(error.into()))?;
        Ok(Self::of(connection, path, Some(lock)))
    }

    fn of(connection: Connection, path: &Path, lock: Option<File>) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Self { connection: Some(connection), path: path.to_owned(), _lock: lock }
    }

    /// Works with the connection on a thread that may wait for a disk.
    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::Unavailable("the database is in nobody's hands after a failure".to_owned());
        let connection = self.connection.take().ok_or_else(gone)?;
        let working = tokio::task::spawn_blocking(move || {
            let done = work(&connection);
            (connection, done)
        });
        let (connection, done) = working.await.map_err(|_| gone())?;
        self.connection = Some(connection);
        done.map_err(|fault| fault.told(&self.path))
    }
}

fn begin(connection: &Connection, how: &str) -> Result<(), Fault> {
    connection.execute_batch(how)?;
    // A snapshot begins with the first look.
    count(connection, "store").map(drop)
}

fn count(connection: &Connection, table: &str) -> Result<i64, Fault> {
    Ok(connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?)
}

#[async_trait]
impl Source for SqliteSide {
    async fn read(&mut self, table: &'static Table, batches: mpsc::Sender<Vec<Row>>) -> Result<(), StoreError> {
        self.work(move |connection| {
            let mut statement = connection.prepare(&select(table))?;
            let mut rows = statement.query([])?;
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let values: Row =
                    (0..table.columns.len()).map(|at| value(row.get_ref(at)?)).collect::<Result<_, _>>()?;
                bytes += values.iter().map(Value::size).sum::<usize>();
                batch.push(values);
                if bytes >= BATCH_BYTES || batch.len() >= BATCH_ROWS {
                    bytes = 0;
                    if batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                        // Whoever wanted them has failed, and says why.
                        return Ok(());
                    }
                }
            }
            if !batch.is_empty() {
                let _gone = batches.blocking_send(batch);
            }
            Ok(())
        })
        .await
    }

    async fn tags(&mut self) -> Result<u64, StoreError> {
        let tags = self.work(|connection| count(connection, "tags")).await?;
        Ok(u64::try_from(tags).unwrap_or(0))
    }
}

#[async_trait]
impl Target for SqliteSide {
    async fn write(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError> {
        self.work(move |connection| {
            let mut insert = connection.prepare_cached(&insert(table))?;
            for mut row in rows {
                if std::ptr::eq(table, &TASKS) {
                    derive(connection, table, &mut row)?;
                }
                insert.execute(params_from_iter(&row))?;
            }
            Ok(())
        })
        .await
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        self.work(|connection| Ok(connection.execute_batch("COMMIT")?)).await
    }
}

/// Writes a task's spec and tags; in its row stands where the spec is.
fn derive(connection: &Connection, table: &Table, row: &mut Row) -> Result<(), Fault> {
    let missing = || Fault::Unreadable("a task has no spec".to_owned());
    let text = |at: &str| table.at(at).and_then(|at| row[at].text()).ok_or_else(missing);
    let (task, owner, spec) = (text("id")?, text("owner")?, text(SPEC)?);
    let tagged: Tagged = super::columns::document("spec", task, spec)?;
    let mut insert = connection.prepare_cached("INSERT INTO tags (owner, key, task, value) VALUES (?1, ?2, ?3, ?4)")?;
    for (key, value) in tagged.tags.into_iter().flatten() {
        insert.execute([owner, &key, task, &value])?;
    }
    connection.prepare_cached("INSERT INTO specs (spec) VALUES (?1)")?.execute([spec])?;
    if let Some(cell) = table.at(SPEC).and_then(|at| row.get_mut(at)) {
        *cell = Value::Number(connection.last_insert_rowid());
    }
    Ok(())
}

fn select(table: &Table) -> String {
    let column = |(name, _): &(&str, Kind)| match (table.name, *name) {
        ("tasks", SPEC) => "(SELECT spec FROM specs WHERE row = tasks.spec)".to_owned(),
        (_, name) => name.to_owned(),
    };
    format!("SELECT {} FROM {}", table.columns.iter().map(column).collect::<Vec<_>>().join(", "), table.name)
}

fn insert(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let places = vec!["?"; names.len()].join(", ");
    // A store has one row, and says so.
    match table.name {
        "store" => format!("INSERT INTO store (one, {}) VALUES (1, {places})", names.join(", ")),
        name => format!("INSERT INTO {name} ({}) VALUES ({places})", names.join(", ")),
    }
}

fn value(of: ValueRef<'_>) -> Result<Value, Fault> {
    Ok(match of {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Number(number),
        ValueRef::Text(_) => Value::Text(of.as_str()?.to_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_owned()),
        ValueRef::Real(number) => return Err(Fault::Unreadable(format!("`{number}` is no value of ours"))),
    })
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
