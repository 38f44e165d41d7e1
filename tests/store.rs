//! `tessera store` from outside: the real program, on real files and, where `TESSERA_TEST_POSTGRES` names a server, on a
//! real database.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tessera::store::Store;
use tessera::store::sqlite::Sqlite;
use tessera::task::spec::{Executor, Input};
use tessera::task::{Owner, TaskId, TaskSpec};

/// Longer than anything here takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command whose surroundings say nothing.
fn tessera(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TESSERA_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
fn ended(folder: &Path, arguments: &[&str], code: i32) -> Output {
    let output = tessera(folder, arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    output
}

#[track_caller]
fn refused(folder: &Path, arguments: &[&str], code: i32, sentence: &str) {
    let output = ended(folder, arguments, code);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(sentence), "{said}");
}

fn spec(length: usize) -> TaskSpec {
    let executor = Executor { image: "alpine".to_owned(), command: vec!["true".to_owned()], ..Executor::default() };
    let input = Input { content: Some("x".repeat(length)), path: "/in".to_owned(), ..Input::default() };
    TaskSpec { executors: vec![executor], inputs: vec![input], ..TaskSpec::default() }
}

async fn put(store: &Sqlite, length: usize) -> TaskId {
    let now = Timestamp::now();
    let id = TaskId::new(now);
    store.create(&Owner("ann".to_owned()), &id, now, spec(length)).await.unwrap();
    id
}

/// A store with so many tasks of so many bytes.
async fn filled(path: &Path, tasks: usize, length: usize) {
    let store = Sqlite::open(path).unwrap();
    let puts = (0..tasks).map(|_| put(&store, length));
    futures::future::join_all(puts).await;
}

fn count(path: &Path, sql: &str) -> i64 {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// What `store migrate --json` says of a table.
fn rows(output: &Output, table: &str) -> u64 {
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tables = said["moved"].as_array().unwrap();
    tables.iter().find(|one| one["table"] == table).unwrap()["rows"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_moved_to_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir(at.join("tessera-data")).unwrap();
    filled(&at.join("tessera-data/tessera.db"), 10, 10).await;
    refused(at, &["store", "migrate"], 2, "--from");
    refused(at, &["store", "migrate", "--to", "mysql://x"], 2, "--to: name a file");
    refused(at, &["store", "migrate", "--from", "nowhere.db", "--to", "x.db"], 1, "there is no database `nowhere.db`");
    // What is not said is the configuration's.
    let moved = ended(at, &["--json", "store", "migrate", "--to", "new.db"], 0);
    assert_eq!((rows(&moved, "tasks"), rows(&moved, "changes"), rows(&moved, "events")), (10, 10, 0));
    refused(at, &["store", "migrate", "--to", "new.db"], 1, "`new.db` is not empty");
    refused(at, &["store", "migrate", "--from", "new.db"], 1, "tessera.db` is not empty");
    let serving = Sqlite::open(at.join("new.db")).unwrap();
    refused(at, &["store", "migrate", "--from", "new.db", "--to", "x.db"], 1, "another server uses");
    refused(at, &["store", "migrate", "--from", "tessera-data/tessera.db", "--to", "new.db"], 1, "another server uses");
    drop(serving);
    assert_eq!(count(&at.join("new.db"), "SELECT count(*) FROM tasks"), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_made_of_a_store_that_a_server_writes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir(at.join("tessera-data")).unwrap();
    let path = at.join("tessera-data/tessera.db");
    filled(&path, 300, 2_000).await;
    let store = Arc::new(Sqlite::open(&path).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let hammering = {
        let (store, stop) = (store.clone(), stop.clone());
        tokio::spawn(async move {
            let mut made = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                put(&store, 2_000).await;
                made += 1;
            }
            made
        })
    };
    let copied = {
        let at = at.to_owned();
        tokio::task::spawn_blocking(move || ended(&at, &["store", "backup", "--to", "copy.db"], 0)).await.unwrap()
    };
    stop.store(true, Ordering::Relaxed);
    assert!(hammering.await.unwrap() > 0);
    assert!(String::from_utf8_lossy(&copied.stdout).starts_with("copy.db: "));
    let copy = at.join("copy.db");
    let text = Connection::open(&copy).unwrap();
    let sound: String = text.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    drop(text);
    assert_eq!(sound, "ok");
    assert!(count(&copy, "SELECT count(*) FROM tasks") >= 300);
    assert_eq!(count(&copy, "SELECT (SELECT count(*) FROM tasks) - (SELECT count(*) FROM specs)"), 0);
    refused(at, &["store", "backup", "--to", "copy.db"], 1, "is there already");
    drop(store);
    // And back.
    ended(at, &["store", "migrate", "--from", "copy.db", "--to", "again.db"], 0);
    drop(Sqlite::open(at.join("again.db")).unwrap());
}

/// Kills a move in its middle, at several moments, and moves again: all or nothing.
fn killed_and_again(at: &Path, to: &str, is_writing: impl Fn() -> bool) {
    let arguments = ["--json", "store", "migrate", "--from", "old.db", "--to", to, "--replica", "here"];
    let mut killed = 0;
    for wait_ms in [0, 5, 20] {
        let mut moving: Child = tessera(at, &arguments).spawn().unwrap();
        let began = Instant::now();
        while !is_writing() && moving.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "it does not begin");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(wait_ms));
        assert!(moving.try_wait().unwrap().is_none(), "there is too little to move to be killed meanwhile");
        moving.kill().unwrap();
        moving.wait().unwrap();
        killed += 1;
    }
    assert_eq!(killed, 3);
    let moved = ended(at, &arguments, 0);
    assert_eq!(rows(&moved, "tasks"), 3_000);
    refused(at, &arguments, 1, "is not empty");
}

/// A database of its own where there is a server; `None` says so in a line.
async fn database(name: &str) -> Option<(tokio_postgres::Client, String)> {
    let Some(given) = std::env::var("TESSERA_TEST_POSTGRES").ok().filter(|url| !url.is_empty()) else {
        assert!(std::env::var_os("TESSERA_REQUIRE_ENGINES").is_none(), "TESSERA_TEST_POSTGRES names no server");
        println!("skipped: TESSERA_TEST_POSTGRES names no PostgreSQL server");
        return None;
    };
    let connect = async |url: &str| {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    let server = given.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let maker = connect(&format!("{server}/postgres")).await;
    let name = format!("tessera_{name}_{}", std::process::id());
    maker.execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"), &[]).await.unwrap();
    maker.execute(&format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"), &[]).await.unwrap();
    Some((maker, format!("{server}/{name}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_moved_to_a_database_and_back_and_copied_from_there() {
    let Some((maker, url)) = database("moved").await else { return };
    let name = url.rsplit('/').next().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_owned();
    filled(&at.join("old.db"), 3_000, 20_000).await;
    std::fs::write(at.join("url"), &url).unwrap();
    let size = "SELECT coalesce(sum(pg_relation_size(oid)), 0)::bigint FROM pg_class WHERE relname = 'tasks'";
    let (looker, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let runtime = tokio::runtime::Handle::current();
    let moved = tokio::task::spawn_blocking(move || {
        let is_writing = || {
            let row = runtime.block_on(looker.query_one(size, &[])).unwrap();
            // What is not committed takes room, too, until it is cleared away.
            row.get::<_, i64>(0) > 0 && {
                let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                            AND pid <> pg_backend_pid() AND query LIKE 'INSERT%'";
                runtime.block_on(looker.query_one(busy, &[])).unwrap().get::<_, i64>(0) > 0
            }
        };
        killed_and_again(&at, "file:url", is_writing);
        let back = ["--json", "store", "migrate", "--from", "file:url", "--to", "back.db", "--replica", "here"];
        assert_eq!(rows(&ended(&at, &back, 0), "changes"), 3_000);
        ended(&at, &["store", "backup", "--from", "file:url", "--to", "copy.db"], 0);
        refused(&at, &["store", "backup", "--from", "file:url", "--to", "copy.db"], 1, "is there already");
        for file in ["back.db", "copy.db"] {
            assert_eq!(count(&at.join(file), "SELECT count(*) FROM specs"), 3_000);
            assert!(!at.join(format!("{file}.part.lock")).exists());
        }
        let wrong = format!("{}x", std::fs::read_to_string(at.join("url")).unwrap());
        refused(&at, &["store", "migrate", "--from", "old.db", "--to", &wrong], 1, "does not exist");
    });
    moved.await.unwrap();
    maker.execute(&format!("DROP DATABASE {name} WITH (FORCE)"), &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_was_killed_has_moved_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_owned();
    filled(&at.join("old.db"), 3_000, 20_000).await;
    let new = at.join("new.db");
    // The cache is full, and pages go to the file.
    let is_writing = || std::fs::metadata(&new).is_ok_and(|about| about.len() > 1 << 20);
    killed_and_again(&at, "new.db", is_writing);
    assert_eq!(count(&new, "SELECT count(*) FROM tasks"), 3_000);
    assert_eq!(count(&at.join("old.db"), "SELECT count(*) FROM tasks"), 3_000);
}
