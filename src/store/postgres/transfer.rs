//! A database as one side of a move.

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row as Found};

use super::address::{Address, Settings};
use super::fault::Fault;
use super::migrations::{LOCKS, migrate};
use super::open::connect;
use super::retention::Tagged;
use super::{LOCK, columns};
use crate::store::StoreError;
use crate::store::transfer::tables::{SPEC, TASKS};
use crate::store::transfer::{BATCH_BYTES, BATCH_ROWS, Kind, Row, Source, Table, Target, Value};

/// Rows take as long as they take.
const PATIENCE: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";

/// A database, in one transaction.
pub struct PostgresSide {
    client: Client,
    place: String,
}

/// Whether servers may go on working while a database is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// It is copied while they do.
    Goes,
    /// It is moved: what they wrote meanwhile would be lost.
    Stopped,
}

impl PostgresSide {
    /// A database to be read.
    pub async fn source(settings: &Settings, serving: Serving) -> Result<Self, StoreError> {
        let address = Address::read(settings)?;
        let told = |fault: Fault| fault.told(&address.place);
        let mut client = connect(&address).await.map_err(told)?;
        let lock = migrate(&mut client).await.map_err(told)?;
        begin_reading(&client, serving, lock).await.map_err(told)?;
        Ok(Self { client, place: address.place })
    }

    /// A database to be written.
    pub async fn target(settings: &Settings) -> Result<Self, StoreError> {
        let address = Address::read(settings)?;
        let told = |fault: Fault| fault.told(&address.place);
        let mut client = connect(&address).await.map_err(told)?;
        let lock = migrate(&mut client).await.map_err(told)?;
        begin_writing(&client, lock).await.map_err(told)?;
        Ok(Self { client, place: address.place })
    }

    fn told<T>(&self, answer: Result<T, Fault>) -> Result<T, StoreError> {
        answer.map_err(|fault| fault.told(&self.place))
    }
}

async fn begin_reading(client: &Client, serving: Serving, lock: i32) -> Result<(), Fault> {
    client.batch_execute(PATIENCE).await?;
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    if serving == Serving::Stopped {
        // Who starts meanwhile waits for it.
        take(client, lock).await?;
    }
    // The snapshot begins here, with the lock in hand.
    if client.query_opt("SELECT FROM store", &[]).await?.is_none() {
        return Err(Fault::NotReached("it is empty: no server has ever used it".to_owned()));
    }
    if serving == Serving::Stopped { nobody_is_here(client).await } else { Ok(()) }
}

async fn begin_writing(client: &Client, lock: i32) -> Result<(), Fault> {
    client.batch_execute(PATIENCE).await?;
    client.batch_execute("BEGIN").await?;
    take(client, lock).await?;
    nobody_is_here(client).await?;
    for table in ["tasks", "changes", "keys"] {
        if client.query_opt(&format!("SELECT FROM {table} LIMIT 1"), &[]).await?.is_some() {
            return Err(Fault::NotReached("it is not empty; name a new database".to_owned()));
        }
    }
    let emptied = "DELETE FROM store; DELETE FROM told; DELETE FROM replicas; DELETE FROM leases";
    client.batch_execute(emptied).await?;
    Ok(())
}

/// Takes the lock of all who write until the transaction ends.
async fn take(client: &Client, lock: i32) -> Result<(), Fault> {
    client.query(LOCK, &[&LOCKS, &lock]).await?;
    Ok(())
}

async fn nobody_is_here(client: &Client) -> Result<(), Fault> {
    let now = columns::from_moment(Timestamp::now());
    let here = client.query_opt("SELECT name FROM replicas WHERE until > $1 ORDER BY name LIMIT 1", &[&now]).await?;
    match here {
        None => Ok(()),
        Some(row) => Err(Fault::NotReached(format!(
            "the server `{}` uses it; stop all its servers first (one that was killed is taken to be there until its lease \
             is over)",
            columns::from_text(row.get(0))
        ))),
    }
}

#[async_trait]
impl Source for PostgresSide {
    async fn read(&mut self, table: &'static Table, batches: mpsc::Sender<Vec<Row>>) -> Result<(), StoreError> {
        let reading = async {
            let none: [&(dyn ToSql + Sync); 0] = [];
            // Not more is asked of the connection than is taken from it.
            let rows = self.client.query_raw(&select(table), none).await?;
            let mut rows = std::pin::pin!(rows.map(|row| row.map_err(Fault::from)));
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while let Some(found) = rows.try_next().await? {
                let row = row(table, &found)?;
                bytes += row.iter().map(Value::size).sum::<usize>();
                batch.push(row);
                if bytes >= BATCH_BYTES || batch.len() >= BATCH_ROWS {
                    bytes = 0;
                    if batches.send(std::mem::take(&mut batch)).await.is_err() {
                        // Whoever wanted them has failed, and says why.
                        return Ok(());
                    }
                }
            }
            if !batch.is_empty() {
                let _gone = batches.send(batch).await;
            }
            Ok(())
        };
        let read = reading.await;
        self.told(read)
    }

    async fn tags(&mut self) -> Result<u64, StoreError> {
        let tags = self.client.query_one("SELECT count(*) FROM tags", &[]).await;
        self.told(tags.map(|row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0)).map_err(Fault::from))
    }
}

#[async_trait]
impl Target for PostgresSide {
    async fn write(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError> {
        let written = write(&self.client, table, rows).await;
        self.told(written)
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let committed = self.client.batch_execute("COMMIT").await;
        self.told(committed.map_err(Fault::from))?;
        // So that the first queries know how large the tables are. By itself the database would see to it later.
        let _later = self.client.batch_execute("ANALYZE").await;
        Ok(())
    }
}

async fn write(client: &Client, table: &'static Table, mut rows: Vec<Row>) -> Result<(), Fault> {
    if std::ptr::eq(table, &TASKS) {
        derive(client, table, &mut rows).await?;
    }
    let of = |at: usize| rows.iter().map(move |row| &row[at]);
    let mut arrays: Vec<Box<dyn ToSql + Sync + Send>> = Vec::new();
    for (at, (name, kind)) in table.columns.iter().enumerate() {
        arrays.push(match kind {
            // Where the spec is.
            Kind::Plain if is_spec(table, name) => Box::new(of(at).map(Value::number).collect::<Vec<_>>()),
            Kind::Number => Box::new(of(at).map(Value::number).collect::<Vec<_>>()),
            Kind::Plain => Box::new(of(at).map(|value| value.text().map(str::to_owned)).collect::<Vec<_>>()),
            Kind::Free => Box::new(of(at).map(|value| value.text().map(columns::text)).collect::<Vec<_>>()),
            Kind::Bytes => Box::new(of(at).map(bytes).collect::<Vec<_>>()),
        });
    }
    let arrays: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(|array| &**array as &(dyn ToSql + Sync)).collect();
    client.execute(&insert(table), &arrays).await?;
    Ok(())
}

/// Writes tasks' specs and tags; in their rows stands where the specs are.
async fn derive(client: &Client, table: &Table, tasks: &mut [Row]) -> Result<(), Fault> {
    let missing = || Fault::Unreadable("a task has no spec".to_owned());
    let (Some(id), Some(owner), Some(spec)) = (table.at("id"), table.at("owner"), table.at(SPEC)) else {
        return Err(missing());
    };
    let count = i64::try_from(tasks.len()).unwrap_or(i64::MAX);
    let numbers = client.query("SELECT nextval('specs_row') FROM generate_series(1, $1::bigint)", &[&count]).await?;
    let numbers: Vec<i64> = numbers.iter().map(|row| row.get(0)).collect();
    let mut specs = Vec::new();
    let mut tags: [Vec<String>; 4] = Default::default();
    for (row, number) in tasks.iter_mut().zip(&numbers) {
        let Value::Text(text) = std::mem::replace(&mut row[spec], Value::Number(*number)) else {
            return Err(missing());
        };
        let (task, owner) = (row[id].text().ok_or_else(missing)?, row[owner].text().ok_or_else(missing)?);
        let tagged: Tagged = columns::document("spec", task, &text)?;
        for (key, value) in tagged.tags.into_iter().flatten() {
            let cells = [columns::text(owner), columns::tag(&key), task.to_owned(), columns::tag(&value)];
            tags.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        }
        specs.push(text);
    }
    client
        .execute("INSERT INTO specs (row, spec) SELECT * FROM unnest($1::bigint[], $2::text[])", &[&numbers, &specs])
        .await?;
    let [owners, keys, ids, values] = &tags;
    client
        .execute(
            "INSERT INTO tags (owner, key, task, value)
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])",
            &[owners, keys, ids, values],
        )
        .await?;
    Ok(())
}

fn is_spec(table: &Table, column: &str) -> bool {
    std::ptr::eq(table, &TASKS) && column == SPEC
}

fn select(table: &Table) -> String {
    let column = |(name, _): &(&str, Kind)| match is_spec(table, name) {
        true => "(SELECT specs.spec FROM specs WHERE specs.row = tasks.spec)".to_owned(),
        false => (*name).to_owned(),
    };
    format!("SELECT {} FROM {}", table.columns.iter().map(column).collect::<Vec<_>>().join(", "), table.name)
}

fn insert(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let array = |(at, (name, kind)): (usize, &(&str, Kind))| {
        let of = match kind {
            Kind::Plain if is_spec(table, name) => "bigint",
            Kind::Number => "bigint",
            Kind::Plain | Kind::Free => "text",
            Kind::Bytes => "bytea",
        };
        format!("${}::{of}[]", at + 1)
    };
    let arrays = table.columns.iter().enumerate().map(array).collect::<Vec<_>>().join(", ");
    // A store has one row, and says so.
    let (one, first) = if table.name == "store" { ("one, ", "1, ") } else { ("", "") };
    let names = names.join(", ");
    format!("INSERT INTO {} ({one}{names}) SELECT {first}* FROM unnest({arrays}) AS given", table.name)
}

fn row(table: &Table, found: &Found) -> Result<Row, Fault> {
    let text = |text: Option<&str>| text.map_or(Value::Null, |text| Value::Text(text.to_owned()));
    let cell = |(at, (_, kind)): (usize, &(&str, Kind))| -> Result<Value, tokio_postgres::Error> {
        Ok(match kind {
            Kind::Number => found.try_get::<_, Option<i64>>(at)?.map_or(Value::Null, Value::Number),
            Kind::Plain => text(found.try_get(at)?),
            Kind::Free => {
                found.try_get::<_, Option<&str>>(at)?.map_or(Value::Null, |of| Value::Text(columns::from_text(of)))
            }
            Kind::Bytes => found.try_get::<_, Option<Vec<u8>>>(at)?.map_or(Value::Null, Value::Bytes),
        })
    };
    Ok(table.columns.iter().enumerate().map(cell).collect::<Result<_, _>>()?)
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Some(bytes.clone()),
        Value::Null | Value::Number(_) | Value::Text(_) => None,
    }
}
