//! A store full of tasks that have ended, made by SQL: the rows are those that the store would have written.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde_json::json;
use tessera::store::sqlite::Sqlite;
use tessera::store::{ListQuery, Store};
use tessera::task::spec::{Executor, Input, Output, Resources};
use tessera::task::{
    AttemptResult, Event, ExecutorLog, JobRef, OutputFile, Owner, Phase, TaskId, TaskSpec, TaskState, Verdict,
};

/// Tasks of a rare kind, however many there are of the others.
pub const FEW: u64 = 16;

/// What tasks are filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// An image and a command.
    Small,
    /// Inputs, outputs, resources, an environment, something printed.
    Usual,
}

/// A task as it is stored.
pub struct Row {
    pub id: String,
    pub created: i64,
    pub name: String,
    pub tags: Vec<(&'static str, String)>,
    pub spec: String,
    pub state: String,
    pub phase: i64,
    /// When, and what.
    pub events: Vec<(i64, String)>,
}

/// The tasks of a store, oldest first. Nearly all are COMPLETE, called `run-…` and of one project; [`FEW`] are
/// CANCELED, called `odd-…` and `rare`; every 50th is an EXECUTOR_ERROR, every 50th is called `mid-…`, every 50th has
/// batch 7, and these are never the same ones; the oldest tenth is called `old-…`.
pub fn rows(tasks: u64, filling: Filling) -> impl Iterator<Item = Row> {
    let every = (tasks / FEW).max(1);
    (0..tasks).map(move |n| row(n, tasks, n % every == every / 2, filling))
}

fn row(n: u64, tasks: u64, odd: bool, filling: Filling) -> Row {
    // A second apart, long ago.
    let created = Timestamp::from_second(1_600_000_000 + i64::try_from(n).unwrap_or(0)).unwrap_or_default();
    let at_ms = u64::try_from(created.as_millisecond()).unwrap_or(0);
    let random = u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let id = ulid::Ulid::from_parts(at_ms, random).to_string().to_ascii_lowercase();
    let name = match n {
        _ if odd => format!("odd-{n}"),
        _ if n < tasks / 10 => format!("old-{n}"),
        _ if n % 50 == 7 => format!("mid-{n}"),
        _ => format!("run-{n}"),
    };
    let (state, phase, verdict) = match n {
        _ if odd => (TaskState::Canceled, 9, Verdict::Complete),
        _ if n % 50 == 8 => (TaskState::ExecutorError, 7, Verdict::ExecutorError),
        _ => (TaskState::Complete, 6, Verdict::Complete),
    };
    let mut tags = vec![("batch", (n % 50).to_string()), ("project", "atlas".to_owned())];
    if odd {
        tags.push(("rare", "yes".to_owned()));
    }
    let spec = spec(&name, &tags, filling);
    let at = created.as_nanosecond() as i64;
    let told = |event: &Event| serde_json::to_string(event).unwrap_or_default();
    let job = JobRef { backend: "none".to_owned(), handle: format!("{id}-1") };
    let events = vec![
        (at, told(&Event::Submitted { attempt: 1, job })),
        (at, told(&Event::Ended { attempt: 1, result: Box::new(result(created, verdict, filling)) })),
    ];
    let state = serde_json::to_string(&state).unwrap_or_default();
    Row { id, created: at, name, tags, spec: serde_json::to_string(&spec).unwrap_or_default(), state, phase, events }
}

fn spec(name: &str, tags: &[(&'static str, String)], filling: Filling) -> TaskSpec {
    let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let executor = Executor {
        image: "quay.io/biocontainers/samtools:1.21".to_owned(),
        command: ["samtools", "sort", "-@", "4", "-o", "/out/sorted.bam", "/in/reads.bam"].map(str::to_owned).to_vec(),
        ..Executor::default()
    };
    let small = TaskSpec { name: Some(name.to_owned()), tags: Some(tags), ..TaskSpec::default() };
    if filling == Filling::Small {
        return TaskSpec { executors: vec![executor], ..small };
    }
    let input = |file: &str| Input {
        name: Some(file.to_owned()),
        url: Some(format!("s3://a-bucket/of/many/samples/{name}/{file}")),
        path: format!("/in/{file}"),
        ..Input::default()
    };
    let output = Output {
        url: format!("s3://a-bucket/of/many/results/{name}/sorted.bam"),
        path: "/out/sorted.bam".to_owned(),
        ..Output::default()
    };
    let env = [("TMPDIR", "/scratch"), ("LC_ALL", "C.UTF-8")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    TaskSpec {
        description: Some("sorts the reads of one sample by their place in the genome".to_owned()),
        inputs: vec![input("reads.bam"), input("reference.fa")],
        outputs: vec![output],
        resources: Some(Resources { cpu_cores: Some(4.0), ram_gb: Some(8.0), ..Resources::default() }),
        executors: vec![Executor { env: Some(env.into()), ..executor }],
        volumes: vec!["/scratch".to_owned()],
        ..small
    }
}

fn result(at: Timestamp, verdict: Verdict, filling: Filling) -> AttemptResult {
    let facts = json!({"backend": "none", "job_id": "1", "memory_peak_bytes": "1073741824", "cpu_ms": "61000"});
    let usual = filling == Filling::Usual;
    let executor = ExecutorLog {
        index: 0,
        exit_code: 0,
        started: at,
        ended: at,
        stdout: "[bam_sort_core] merging from 12 files and 4 in-memory blocks...\n".repeat(4),
        stderr: String::new(),
        stdout_whole: true,
        stderr_whole: true,
    };
    let output = OutputFile {
        url: "s3://a-bucket/of/many/results/sorted.bam".to_owned(),
        path: "/out/sorted.bam".to_owned(),
        size_bytes: 123_456_789,
        sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
    };
    AttemptResult {
        verdict,
        started: Some(at),
        ended: at,
        executors: usual.then_some(executor).into_iter().collect(),
        outputs: usual.then_some(output).into_iter().collect(),
        notes: vec![],
        metadata: serde_json::from_value(facts).unwrap_or_default(),
    }
}

/// Fills the SQLite file of a server that does not run, and looks whether the store reads what was written.
pub fn into_sqlite(file: &Path, tasks: u64, filling: Filling) -> Result<Vec<String>> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    drop(Sqlite::open(file)?);
    let connection = Connection::open(file)?;
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000")?;
    connection.set_prepared_statement_cache_capacity(16);
    let mut ids = Vec::new();
    connection.execute_batch("BEGIN")?;
    for row in rows(tasks, filling) {
        insert(&connection, &row)?;
        ids.push(row.id);
    }
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?;
    drop(connection);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(read_back(&Sqlite::open(file)?, &ids))?;
    Ok(ids)
}

fn insert(connection: &Connection, row: &Row) -> Result<()> {
    connection.prepare_cached("INSERT INTO specs (spec) VALUES (?1)")?.execute([&row.spec])?;
    connection
        .prepare_cached(
            "INSERT INTO tasks (id, owner, created, name, spec, phase, stage, state, version, not_before, fence, holder,
                                backend, until, cpu, ram)
             VALUES (?1, 'anonymous', ?2, ?3, ?4, ?5, 4, ?6, 4, ?7, 1, 'bench', 'none', 0, 4000, 8589934592)",
        )?
        .execute(params![
            row.id,
            row.created,
            row.name,
            connection.last_insert_rowid(),
            row.phase,
            row.state,
            i64::MIN
        ])?;
    for (key, value) in &row.tags {
        connection
            .prepare_cached("INSERT INTO tags (owner, key, task, value) VALUES ('anonymous', ?1, ?2, ?3)")?
            .execute([key, row.id.as_str(), value.as_str()])?;
    }
    for (seq, (at, body)) in (3..).zip(&row.events) {
        connection
            .prepare_cached("INSERT INTO events (task, seq, at, body) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![row.id, seq, at, body])?;
    }
    Ok(())
}

/// Through the store: some tasks with their histories, and the rare ones by each of their filters.
pub async fn read_back(store: &dyn Store, ids: &[String]) -> Result<()> {
    let owner = Owner::anonymous();
    for id in ids.iter().step_by(ids.len().div_ceil(50)) {
        let id = TaskId::parse(id).context("an id")?;
        let task = store.get(&owner, &id).await?.with_context(|| format!("there is no {id}"))?;
        ensure!(task.state.is_terminal() && task.attempts.len() == 1 && task.attempts[0].ended.is_some(), "{task:?}");
    }
    let all = ListQuery { size: 100, ..ListQuery::default() };
    for query in [
        ListQuery { name_prefix: "odd-".to_owned(), ..all.clone() },
        ListQuery { phase: Some(Phase::Canceled), ..all.clone() },
        ListQuery { tags: vec![("rare".to_owned(), Some("yes".to_owned()))], ..all.clone() },
    ] {
        let found = store.list_summaries(&owner, &query).await?.items.len() as u64;
        ensure!((FEW..=FEW + 1).contains(&found), "{query:?} finds {found}");
    }
    Ok(())
}
