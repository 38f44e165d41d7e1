//! A database of our own on a PostgreSQL that runs, gone when dropped; filled by COPY.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::SinkExt as _;
use tessera::store::postgres::{Postgres, Settings};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use super::rows::{Filling, Row, read_back, rows};

/// Names a server whose user may create databases.
const SERVER: &str = "TESSERA_TEST_POSTGRES";

/// Rows that go over the wire together.
const CHUNK: usize = 10_000;

/// The tables of a task that has ended, with their columns.
const TABLES: [&str; 4] = [
    "specs (row, spec)",
    "tasks (id, owner, created, name, spec, phase, stage, state, version, not_before, fence, holder, backend, until, \
     cpu, ram)",
    "tags (owner, key, task, value)",
    "events (task, seq, at, body)",
];

/// A database.
pub struct Database {
    server: String,
    name: String,
    /// Where it is.
    pub url: String,
    /// What it takes when it is empty.
    empty: u64,
}

impl Database {
    /// An empty one, with the store's tables.
    pub fn create() -> Result<Self> {
        let server = std::env::var(SERVER).with_context(|| {
            format!("{SERVER} names no PostgreSQL; `cargo xtask bench --store postgres` starts one")
        })?;
        let name = format!("bench_{}", ulid::Ulid::generate().to_string().to_ascii_lowercase());
        let (before, _) = server.rsplit_once('/').context("the server's URL names no database")?;
        let url = format!("{before}/{name}");
        let mut made = Self { server, name, url, empty: 0 };
        here()?.block_on(async {
            connect(&made.server).await?.batch_execute(&format!("CREATE DATABASE {}", made.name)).await?;
            drop(Postgres::open(&made.settings()).await?);
            anyhow::Ok(())
        })?;
        made.empty = made.bytes()?;
        Ok(made)
    }

    /// For a store that is opened here.
    pub fn settings(&self) -> Settings {
        Settings {
            url: self.url.clone(),
            ca: None,
            connections: 8,
            connect_timeout: Duration::from_secs(5),
            start_timeout: Duration::from_secs(5),
        }
    }

    /// What it has grown by.
    pub fn bytes(&self) -> Result<u64> {
        let size = self.number("SELECT pg_database_size(current_database())")?;
        Ok(u64::try_from(size)?.saturating_sub(self.empty))
    }

    /// What a statement answers.
    pub fn number(&self, sql: &str) -> Result<i64> {
        here()?.block_on(async { Ok(connect(&self.url).await?.query_one(sql, &[]).await?.try_get(0)?) })
    }

    /// Tasks that have ended; what autovacuum would do in the minutes after is done at once.
    pub fn fill(&self, tasks: u64, filling: Filling) -> Result<Vec<String>> {
        here()?.block_on(async {
            let client = connect(&self.url).await?;
            client.batch_execute("SET synchronous_commit = off; SET maintenance_work_mem = '1GB'").await?;
            let (mut ids, mut lines, mut spec) = (Vec::new(), TABLES.map(|_| String::new()), 0_u64);
            for row in rows(tasks, filling) {
                spec += 1;
                write_lines(&mut lines, &row, spec)?;
                ids.push(row.id);
                if ids.len() % CHUNK == 0 {
                    send(&client, &mut lines).await?;
                }
            }
            send(&client, &mut lines).await?;
            client.batch_execute(&format!("SELECT setval('specs_row', {})", spec + 1)).await?;
            client.batch_execute("VACUUM (ANALYZE)").await?;
            client.batch_execute("CHECKPOINT").await?;
            read_back(&Postgres::open(&self.settings()).await?, &ids).await?;
            Ok(ids)
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let gone = here().and_then(|runtime| {
            runtime.block_on(async {
                let client = connect(&self.server).await?;
                Ok(client.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await?)
            })
        });
        if let Err(error) = gone {
            eprintln!("the database {} is left behind: {error:#}", self.name);
        }
    }
}

fn here() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// A connection without the store's settings.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("cannot reach PostgreSQL")?;
    tokio::spawn(connection);
    Ok(client)
}

async fn send(client: &Client, lines: &mut [String; 4]) -> Result<()> {
    for (table, lines) in TABLES.iter().zip(lines) {
        let sink = client.copy_in(&format!("COPY {table} FROM STDIN")).await?;
        let mut sink = std::pin::pin!(sink);
        sink.send(bytes::Bytes::from(std::mem::take(lines))).await?;
        sink.finish().await?;
    }
    Ok(())
}

fn write_lines([specs, tasks, tags, events]: &mut [String; 4], row: &Row, spec: u64) -> Result<()> {
    let Row { id, created, name, phase, .. } = row;
    writeln!(specs, "{spec}\t{}", escaped(&row.spec))?;
    writeln!(
        tasks,
        "{id}\tanonymous\t{created}\t{name}\t{spec}\t{phase}\t4\t{}\t4\t{}\t1\tbench\tnone\t0\t4000\t8589934592",
        escaped(&row.state),
        i64::MIN,
    )?;
    for (key, value) in &row.tags {
        writeln!(tags, "anonymous\t{key}\t{id}\t{value}")?;
    }
    for (seq, (at, body)) in (3..).zip(&row.events) {
        writeln!(events, "{id}\t{seq}\t{at}\t{}", escaped(body))?;
    }
    Ok(())
}

/// As COPY reads it; JSON has neither tabs nor line ends.
fn escaped(document: &str) -> String {
    document.replace('\\', "\\\\")
}
