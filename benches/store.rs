//! What the embedded store does a second, next to what its disk and its statements can do in the same run.
//!
//! `cargo bench --bench store [-- FOLDER]`; the folder names the disk that is measured. Lines for people, and one of
//! JSON for `cargo xtask bench`.

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use tessera::store::sqlite::Sqlite;
use tessera::store::{ClaimRequest, Holder, ListQuery, QueueCursor, Record, Store};
use tessera::task::spec::Executor;
use tessera::task::{AttemptResult, Event, JobRef, Owner, Phase, TaskId, TaskSpec, Verdict};

const A_WHILE: Duration = Duration::from_secs(2);
const SCHEMA: &str = include_str!("../src/store/sqlite/migrations/0001_tasks.sql");

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = match folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut figures = Figures::default();
    figures.say("fdatasync_per_second", flushes(folder.path())?, "4 KiB each");
    let [rows, batches] = bare(folder.path())?;
    figures.say("bare_creates_per_second", rows, "a row a statement, 32 a commit");
    figures.say("bare_batched_creates_per_second", batches, "json_each(?1) for 32, 32 a commit");
    for clients in [1, 16, 64] {
        let store = Arc::new(Sqlite::open(folder.path().join(format!("{clients}.db")))?);
        let (rate, mut waits) = runtime.block_on(creates(&store, clients))?;
        waits.sort_unstable();
        let at = |part: usize| waits[waits.len() * part / 1000];
        let waits = format!("p50 {:?}, p99 {:?}, p99.9 {:?}", at(500), at(990), at(999));
        figures.say(&format!("creates_per_second_{clients}"), rate, &waits);
    }
    let store = Arc::new(Sqlite::open(folder.path().join("noop.db"))?);
    let what = "a claim and two records each, 64 in a call";
    figures.say("noop_tasks_per_second", runtime.block_on(noop(&store, 20_000, 64))?, what);
    figures.say("noop_tasks_per_second_alone", runtime.block_on(noop(&store, 2_000, 1))?, "one in a call");
    let store = Arc::new(Sqlite::open(folder.path().join("list.db"))?);
    runtime.block_on(lists(&store, &mut figures))?;
    println!("{}", serde_json::json!({ "figures": figures.0 }));
    Ok(())
}

#[derive(Default)]
struct Figures(BTreeMap<String, f64>);

impl Figures {
    fn say(&mut self, name: &str, figure: f64, more: &str) {
        println!("{name:<36} {figure:>9.1}  {more}");
        self.0.insert(name.to_owned(), figure);
    }
}

fn per_second(count: usize, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

fn flushes(folder: &Path) -> anyhow::Result<f64> {
    let mut file = std::fs::File::create(folder.join("flushed"))?;
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < A_WHILE {
        file.seek(std::io::SeekFrom::Start(count % 1_000 * 4_096))?;
        file.write_all(&[b'x'; 4_096])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(per_second(usize::try_from(count)?, start))
}

fn spec(name: &str) -> TaskSpec {
    let executor = Executor { image: "alpine".to_owned(), command: vec!["true".to_owned()], ..Executor::default() };
    TaskSpec { name: Some(name.to_owned()), executors: vec![executor], ..TaskSpec::default() }
}

type Statements = fn(&Connection, &[(TaskId, String)], &str) -> anyhow::Result<()>;

/// The statements of a create without the store around them, in two shapes. They take turns, so that the disk's
/// moods are the same for both.
fn bare(folder: &Path) -> anyhow::Result<[f64; 2]> {
    let shapes: [Statements; 2] = [bare_rows, bare_batch];
    let state = serde_json::to_string(&tessera::task::TaskState::new())?;
    let connections = [bare_connection(&folder.join("rows.db"))?, bare_connection(&folder.join("batches.db"))?];
    let mut spent = [Duration::ZERO; 2];
    let mut count = 0;
    while spent[0] + spent[1] < 2 * A_WHILE {
        for ((statements, connection), spent) in shapes.iter().zip(&connections).zip(&mut spent) {
            let batch: Vec<(TaskId, String)> = (0..32)
                .map(|_| Ok((TaskId::new(Timestamp::now()), serde_json::to_string(&spec("bench"))?)))
                .collect::<anyhow::Result<_>>()?;
            let start = Instant::now();
            connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            statements(connection, &batch, &state)?;
            connection.prepare_cached("COMMIT")?.execute([])?;
            *spent += start.elapsed();
        }
        count += 32;
    }
    Ok(spent.map(|spent| f64::from(count) / spent.as_secs_f64()))
}

fn bare_connection(path: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(path)?;
    let _mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 8_000)?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

fn bare_rows(connection: &Connection, batch: &[(TaskId, String)], state: &str) -> anyhow::Result<()> {
    for (id, spec) in batch {
        connection.prepare_cached("INSERT INTO specs (spec) VALUES (?1)")?.execute([spec])?;
        connection
            .prepare_cached(
                "INSERT INTO tasks (id, owner, created, name, spec, phase, stage, state, version, not_before, fence,
                                    until, cpu, ram)
                 VALUES (?1, 'bench', ?2, 'bench', ?3, 0, 0, ?4, 1, 0, 0, 0, 0, 0)",
            )?
            .execute(params![id.as_str(), 0, connection.last_insert_rowid(), state])?;
    }
    Ok(())
}

fn bare_batch(connection: &Connection, batch: &[(TaskId, String)], state: &str) -> anyhow::Result<()> {
    let first: i64 =
        connection.prepare_cached("SELECT ifnull(max(row), 0) + 1 FROM specs")?.query_row([], |row| row.get(0))?;
    let document = serde_json::to_string(batch)?;
    connection
        .prepare_cached("INSERT INTO specs (row, spec) SELECT ?2 + key, value ->> 1 FROM json_each(?1)")?
        .execute(params![document, first])?;
    connection
        .prepare_cached(
            "INSERT INTO tasks (id, owner, created, name, spec, phase, stage, state, version, not_before, fence,
                                until, cpu, ram)
             SELECT value ->> 0, 'bench', 0, 'bench', ?2 + key, 0, 0, ?3, 1, 0, 0, 0, 0, 0 FROM json_each(?1)",
        )?
        .execute(params![document, first, state])?;
    Ok(())
}

async fn creates(store: &Arc<Sqlite>, clients: usize) -> anyhow::Result<(f64, Vec<Duration>)> {
    let start = Instant::now();
    let mut running = Vec::new();
    for _ in 0..clients {
        let store = Arc::clone(store);
        running.push(tokio::spawn(async move {
            let owner = Owner::anonymous();
            let mut waits = Vec::new();
            while start.elapsed() < A_WHILE {
                let now = Timestamp::now();
                let asked = Instant::now();
                store.create(&owner, &TaskId::new(now), now, spec("bench")).await?;
                waits.push(asked.elapsed());
            }
            anyhow::Ok(waits)
        }));
    }
    let mut waits = Vec::new();
    for client in running {
        waits.extend(client.await??);
    }
    Ok((per_second(waits.len(), start), waits))
}

/// Takes waiting tasks, hands them over and ends them, as an engine would.
async fn noop(store: &Arc<Sqlite>, tasks: u32, batch: u32) -> anyhow::Result<f64> {
    fill(store, tasks, |_| spec("noop")).await?;
    let holder = Holder("bench".to_owned());
    let mut cursor: Option<QueueCursor> = None;
    let start = Instant::now();
    let mut done = 0;
    loop {
        let now = Timestamp::now();
        let waiting = store.queued(now, cursor.as_ref(), batch).await?;
        let Some(last) = waiting.last() else { return Ok(per_second(done, start)) };
        cursor = Some(QueueCursor(last.task.clone()));
        let wanted: Vec<ClaimRequest> = waiting
            .into_iter()
            .map(|one| ClaimRequest { task: one.task, backend: "none".to_owned(), cpu_milli: 1, ram_bytes: 1 })
            .collect();
        let claimed = store
            .claim(&holder, now, now + jiff::SignedDuration::from_secs(60), tessera::store::Ceiling::default(), &wanted)
            .await?;
        done += claimed.len();
        let say = |event: fn(&TaskId) -> Event| {
            claimed
                .iter()
                .map(|one| Record {
                    task: one.task.clone(),
                    fence: Some(one.claim.fence),
                    at: now,
                    event: event(&one.task),
                })
                .collect()
        };
        store.record(say(submitted)).await?;
        store.record(say(ended)).await?;
    }
}

fn submitted(task: &TaskId) -> Event {
    Event::Submitted { attempt: 1, job: JobRef { backend: "none".to_owned(), handle: task.to_string() } }
}

fn ended(_: &TaskId) -> Event {
    let result = AttemptResult {
        verdict: Verdict::Complete,
        started: None,
        ended: Timestamp::now(),
        executors: vec![],
        outputs: vec![],
        notes: vec![],
        metadata: [("backend".to_owned(), "none".to_owned())].into(),
    };
    Event::Ended { attempt: 1, result: Box::new(result) }
}

async fn fill(store: &Arc<Sqlite>, tasks: u32, spec: fn(u32) -> TaskSpec) -> anyhow::Result<()> {
    let mut running = tokio::task::JoinSet::new();
    for first in 0..64 {
        let store = Arc::clone(store);
        running.spawn(async move {
            for n in (first..tasks).step_by(64) {
                let now = Timestamp::now();
                store.create(&Owner::anonymous(), &TaskId::new(now), now, spec(n)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

/// A page of each kind of listing on a large store.
async fn lists(store: &Arc<Sqlite>, figures: &mut Figures) -> anyhow::Result<()> {
    const TASKS: u32 = 100_000;
    fill(store, TASKS, |n| {
        let tags = [("group".to_owned(), (n % 100).to_string()), ("rare".to_owned(), (n % 50_000).to_string())];
        TaskSpec { tags: Some(tags.into()), ..spec(&format!("task-{n}")) }
    })
    .await?;
    let all = ListQuery { size: 256, ..ListQuery::default() };
    let tag = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
    let queries = [
        ("all", all.clone()),
        ("phase", ListQuery { phase: Some(Phase::Queued), ..all.clone() }),
        ("phase_of_nobody", ListQuery { phase: Some(Phase::Running), ..all.clone() }),
        ("tag", ListQuery { tags: vec![tag("group", "7")], ..all.clone() }),
        ("two_tags", ListQuery { tags: vec![tag("rare", "7"), tag("group", "7")], ..all.clone() }),
        ("tag_and_phase", ListQuery { tags: vec![tag("group", "7")], phase: Some(Phase::Queued), ..all.clone() }),
        ("prefix_of_few", ListQuery { name_prefix: "task-777".to_owned(), ..all.clone() }),
        ("prefix_of_most", ListQuery { name_prefix: "task-".to_owned(), ..all.clone() }),
    ];
    for (what, query) in queries {
        let start = Instant::now();
        let mut pages = 0;
        let mut found = 0;
        while start.elapsed() < A_WHILE / 4 {
            found = store.list_summaries(&Owner::anonymous(), &query).await?.items.len();
            pages += 1;
        }
        let page_ms = 1_000.0 / per_second(pages, start);
        figures.say(&format!("page_ms_{what}"), page_ms, &format!("{found} of {TASKS} tasks"));
    }
    Ok(())
}
