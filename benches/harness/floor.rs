//! What a database alone does: a bare loop of the statements, batched as the store batches them, each batch durable.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rusqlite::{Connection, params};
use tokio_postgres::Client;

use super::database::{Database, connect};
use super::figures::{median, ms};
use super::place::Place;

/// As many connections read as the server has readers.
const READERS: usize = 6;

const SPEC: &str =
    r#"{"name":"measured","executors":[{"image":"busybox","command":["echo","hello"]}],"tags":{"run":"bench"}}"#;
const STATE: &str = r#"{"Queued":{"attempt":1,"refusals":0,"not_before":null}}"#;
const EVENT: &str = r#"{"Submitted":{"attempt":1,"job":{"backend":"none","handle":"none-1"}}}"#;

/// What is done to each task of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It is written.
    Create,
    /// It is written, claimed, told to be outside, told to be over: four commits for each batch.
    Whole,
}

const CREATE: [&str; 4] = [
    "INSERT INTO specs (row, spec) VALUES (?1, ?2)",
    "INSERT INTO tasks (id, owner, created, name, spec, phase, stage, state, version, not_before, fence, until, cpu, ram)
     VALUES (?1, 'anonymous', ?2, 'measured', ?3, 0, 0, ?4, 1, 0, 0, 0, 0, 0)",
    "INSERT INTO tags (owner, key, task, value) VALUES ('anonymous', 'run', ?1, 'bench')",
    "INSERT INTO changes (owner, task, phase, at) VALUES ('anonymous', ?1, 0, ?2)",
];
const MOVE: [&str; 3] = [
    "UPDATE tasks SET stage = ?2, phase = ?2, state = ?3, version = version + 1 WHERE id = ?1",
    "INSERT INTO events (task, seq, at, body) VALUES (?1, ?2, ?3, ?4)",
    "INSERT INTO changes (owner, task, phase, at) VALUES ('anonymous', ?1, ?2, ?3)",
];

const CREATE_MANY: &str = "
    WITH new AS MATERIALIZED (SELECT nextval('specs_row') AS row, id FROM unnest($1::text[]) AS given (id)),
         spec AS (INSERT INTO specs (row, spec) SELECT row, $2 FROM new),
         tag AS (INSERT INTO tags (owner, key, task, value) SELECT 'anonymous', 'run', id, 'bench' FROM new),
         change AS (INSERT INTO changes (n, owner, task, phase, at)
                    SELECT $5 + row_number() OVER (), 'anonymous', id, 0, $3 FROM new)
    INSERT INTO tasks (id, owner, created, name, spec, phase, stage, state, version, not_before, fence, until, cpu, ram)
    SELECT id, 'anonymous', $3, 'measured', row, 0, 0, $4, 1, 0, 0, 0, 0, 0 FROM new";
const MOVE_MANY: &str = "
    WITH moved AS (UPDATE tasks SET stage = $2, phase = $2, state = $3, version = version + 1
                   WHERE id = ANY ($1::text[]) RETURNING id),
         event AS (INSERT INTO events (task, seq, at, body) SELECT id, $2, $4, $5 FROM moved)
    INSERT INTO changes (n, owner, task, phase, at) SELECT $6 + row_number() OVER (), 'anonymous', id, $2, $4 FROM moved";

/// Tasks a second, so many in a batch.
pub fn writes(place: &Place, work: Work, batch: usize, lasting: Duration) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The tables.
    drop(runtime.block_on(place.store())?);
    match place.database() {
        None => sqlite_writes(place, work, batch, lasting),
        Some(database) => runtime.block_on(postgres_writes(database, work, batch, lasting)),
    }
}

fn ids(batch: usize) -> Vec<String> {
    (0..batch).map(|_| ulid::Ulid::generate().to_string().to_ascii_lowercase()).collect()
}

fn sqlite_writes(place: &Place, work: Work, batch: usize, lasting: Duration) -> Result<f64> {
    let connection = Connection::open(place.file())?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -16384")?;
    connection.set_prepared_statement_cache_capacity(16);
    let (began, mut count, mut row) = (Instant::now(), 0, 0_i64);
    while began.elapsed() < lasting {
        let ids = ids(batch);
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for id in &ids {
            row += 1;
            connection.prepare_cached(CREATE[0])?.execute(params![row, SPEC])?;
            connection.prepare_cached(CREATE[1])?.execute(params![id, row, row, STATE])?;
            connection.prepare_cached(CREATE[2])?.execute([id])?;
            connection.prepare_cached(CREATE[3])?.execute(params![id, row])?;
        }
        connection.execute_batch("COMMIT")?;
        for stage in moves(work) {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            for id in &ids {
                connection.prepare_cached(MOVE[0])?.execute(params![id, stage, STATE])?;
                connection.prepare_cached(MOVE[1])?.execute(params![id, stage, row, EVENT])?;
                connection.prepare_cached(MOVE[2])?.execute(params![id, stage, row])?;
            }
            connection.execute_batch("COMMIT")?;
        }
        count += batch;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

fn moves(work: Work) -> std::ops::Range<i64> {
    match work {
        Work::Create => 0..0,
        Work::Whole => 1..4,
    }
}

async fn postgres_writes(database: &Database, work: Work, batch: usize, lasting: Duration) -> Result<f64> {
    let client = connect(&database.url).await?;
    let (create, change) = (client.prepare(CREATE_MANY).await?, client.prepare(MOVE_MANY).await?);
    let (began, mut count, mut n) = (Instant::now(), 0, 0_i64);
    while began.elapsed() < lasting {
        let ids = ids(batch);
        let at = i64::try_from(count)?;
        client.execute(&create, &[&ids, &SPEC, &at, &STATE, &n]).await?;
        n += i64::try_from(batch)?;
        for stage in moves(work) {
            client.execute(&change, &[&ids, &stage, &STATE, &at, &EVENT, &n]).await?;
            n += i64::try_from(batch)?;
        }
        count += batch;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// Single rows a second: the one statement that MINIMAL needs.
pub fn gets(place: &Place, ids: &[&String], lasting: Duration) -> Result<f64> {
    if let Some(database) = place.database() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(postgres_gets(database, ids, lasting));
    }
    let connection = Connection::open(place.file())?;
    let mut statement = connection.prepare("SELECT phase FROM tasks WHERE id = ?1 AND owner = 'anonymous'")?;
    let (began, mut count) = (Instant::now(), 0_u64);
    while began.elapsed() < lasting {
        for id in ids {
            let phase: i64 = statement.query_row([id], |row| row.get(0)).context("a task is gone")?;
            std::hint::black_box(phase);
            count += 1;
        }
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

async fn postgres_gets(database: &Database, ids: &[&String], lasting: Duration) -> Result<f64> {
    let ids: Arc<Vec<String>> = Arc::new(ids.iter().map(|id| (*id).clone()).collect());
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for reader in 0..READERS {
        let (ids, client) = (Arc::clone(&ids), connect(&database.url).await?);
        running.spawn(async move {
            let sql = "SELECT phase FROM tasks WHERE id = $1 AND owner = 'anonymous'";
            let statement = client.prepare(sql).await?;
            let mut count = 0_u64;
            for id in ids.iter().cycle().skip(reader * ids.len() / READERS) {
                client.query_one(&statement, &[id]).await?;
                count += 1;
                if began.elapsed() > lasting {
                    break;
                }
            }
            anyhow::Ok(count)
        });
    }
    let mut count = 0;
    while let Some(reader) = running.join_next().await {
        count += reader??;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

const PAGE: &str =
    "SELECT id, created, phase FROM tasks WHERE owner = 'anonymous' ORDER BY owner DESC, id DESC LIMIT 257";

/// The newest 257 tasks, by one statement: the median in milliseconds.
pub fn page(place: &Place, times: usize) -> Result<f64> {
    if let Some(database) = place.database() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(async {
            let client = connect(&database.url).await?;
            postgres_page(&client, times).await
        });
    }
    let connection = Connection::open(place.file())?;
    let mut statement = connection.prepare(PAGE)?;
    let mut waits = Vec::new();
    for _ in 0..times {
        let asked = Instant::now();
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(2)?)))?;
        std::hint::black_box(rows.collect::<Result<Vec<_>, _>>()?);
        waits.push(ms(asked.elapsed()));
    }
    Ok(median(waits))
}

async fn postgres_page(client: &Client, times: usize) -> Result<f64> {
    let statement = client.prepare(PAGE).await?;
    let mut waits = Vec::new();
    for _ in 0..times {
        let asked = Instant::now();
        std::hint::black_box(client.query(&statement, &[]).await?);
        waits.push(ms(asked.elapsed()));
    }
    Ok(median(waits))
}
