//! A file that is moved, and one that is copied while it is written.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::Files;
use super::upgrading::version_1;
use crate::store::conformance::samples::*;
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::backup::backup;
use crate::store::sqlite::transfer::SqliteSide;
use crate::store::transfer::sample::{fill, rows};
use crate::store::transfer::{Moved, Names, Row, Source, Table, Target, copy};
use crate::store::{ListQuery, Store, StoreError};

async fn moved(from: &Path, to: &Path) -> Result<Vec<Moved>, StoreError> {
    let mut source = SqliteSide::source(from)?;
    copy(&mut source, Box::new(SqliteSide::target(to)?), &Names::Same, |_, _| {}).await
}

#[tokio::test]
async fn what_is_moved_is_the_same_and_goes_on() {
    let files = Files::new();
    let (from, to) = (files.path(), files.path());
    let store = Sqlite::open(&from).unwrap();
    fill(&store).await;
    let query = ListQuery { size: 100, ..ListQuery::default() };
    let before = (store.list(&ann(), &query).await.unwrap(), store.kept().await.unwrap());
    let installation = store.installation().clone();
    drop(store);
    let moved = moved(&from, &to).await.unwrap();
    assert_eq!(moved.iter().find(|one| one.table == "tasks").unwrap().sum.rows, 49);
    let mut sides = [SqliteSide::source(&from).unwrap(), SqliteSide::source(&to).unwrap()];
    assert!(rows(&mut sides[0]).await == rows(&mut sides[1]).await);
    drop(sides);
    let store = Sqlite::open(&to).unwrap();
    assert_eq!(*store.installation(), installation);
    let after = (store.list(&ann(), &query).await.unwrap(), store.kept().await.unwrap());
    assert!(before == after);
    let tag = |value: &str| vec![("\0".to_owned(), Some(value.to_owned()))];
    let tagged = ListQuery { tags: tag("\0"), size: 10, ..ListQuery::default() };
    let owner = crate::task::Owner("\0".to_owned());
    assert_eq!(store.list_summaries(&owner, &tagged).await.unwrap().items.len(), 1, "tags are found by");
    put_one(&store).await;
    assert_eq!(store.kept().await.unwrap().newest.0, before.1.newest.0 + 1, "numbers go on");
}

#[tokio::test]
async fn a_file_of_an_earlier_release_is_moved_too() {
    let files = Files::new();
    let (from, to) = (files.path(), files.path());
    let ids = version_1(&from);
    moved(&from, &to).await.unwrap();
    let store = Sqlite::open(&to).unwrap();
    for id in ids {
        assert!(store.history(&id).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn who_is_in_the_way_is_named() {
    let files = Files::new();
    let (from, to) = (files.path(), files.path());
    let refused = async |from: &Path, to: &Path, sentence: &str| {
        let said = moved(from, to).await.unwrap_err().to_string();
        assert!(said.contains(sentence), "{said}");
    };
    refused(&from, &to, "there is no database").await;
    let store = Sqlite::open(&from).unwrap();
    refused(&from, &to, "another server uses").await;
    put_one(&store).await;
    drop(store);
    // A server has been there, and nobody has asked it for anything.
    drop(Sqlite::open(&to).unwrap());
    moved(&from, &to).await.unwrap();
    refused(&from, &to, "is not empty").await;
    refused(&from, &from, "another server uses").await;
}

/// A file that loses a row now and then.
struct Forgetful(SqliteSide);

#[async_trait]
impl Source for Forgetful {
    async fn read(&mut self, table: &'static Table, batches: mpsc::Sender<Vec<Row>>) -> Result<(), StoreError> {
        self.0.read(table, batches).await
    }

    async fn tags(&mut self) -> Result<u64, StoreError> {
        self.0.tags().await
    }
}

#[async_trait]
impl Target for Forgetful {
    async fn write(&mut self, table: &'static Table, mut rows: Vec<Row>) -> Result<(), StoreError> {
        if table.name == "events" {
            rows.pop();
        }
        self.0.write(table, rows).await
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        Box::new(self.0).commit().await
    }
}

#[tokio::test]
async fn what_does_not_arrive_is_noticed_and_nothing_is_there() {
    let files = Files::new();
    let (from, to) = (files.path(), files.path());
    let store = Sqlite::open(&from).unwrap();
    fill(&store).await;
    drop(store);
    let mut source = SqliteSide::source(&from).unwrap();
    let target = Box::new(Forgetful(SqliteSide::target(&to).unwrap()));
    let said = copy(&mut source, target, &Names::Same, |_, _| {}).await.unwrap_err().to_string();
    assert!(said.contains("of `events`"), "{said}");
    drop(source);
    moved(&from, &to).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_made_while_tasks_arrive() {
    let files = Files::new();
    let (from, to) = (files.path(), files.path());
    let store = Arc::new(Sqlite::open(&from).unwrap());
    fill(&*store).await;
    for second in 0..500 {
        put(&*store, &ann(), 1_000 + second, spec("before")).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let hammers: Vec<_> = (0..8)
        .map(|_| {
            let (store, stop) = (store.clone(), stop.clone());
            tokio::spawn(async move {
                let mut made = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    put(&*store, &ann(), 2_000, spec("meanwhile")).await;
                    made += 1;
                }
                made
            })
        })
        .collect();
    let copied = {
        let (from, to) = (from.clone(), to.clone());
        tokio::task::spawn_blocking(move || backup(&from, &to, |_, _| {})).await.unwrap()
    };
    stop.store(true, Ordering::Relaxed);
    let mut made = 0;
    for hammer in hammers {
        made += hammer.await.unwrap();
    }
    copied.unwrap();
    assert!(made > 0);
    let of = |name: &str| ListQuery { name_prefix: name.to_owned(), size: 2_000, ..ListQuery::default() };
    let copy = Sqlite::open(&to).unwrap();
    assert_eq!(copy.list_summaries(&ann(), &of("before")).await.unwrap().items.len(), 500);
    let tasks = copy.list(&ann(), &of("plain")).await.unwrap().items;
    assert!(tasks == store.list(&ann(), &of("plain")).await.unwrap().items);
    // What there is already is left alone, and of a copy that fails nothing is left.
    let said = backup(&from, &to, |_, _| {}).unwrap_err().to_string();
    assert!(said.contains("is there already"), "{said}");
    let nowhere = to.with_extension("none").join("x");
    backup(&from, &nowhere, |_, _| {}).unwrap_err();
    let other = to.with_extension("other");
    std::fs::write(&other, "no database at all, but something of another program").unwrap();
    backup(&other, &to.with_extension("new"), |_, _| {}).unwrap_err();
    let names: Vec<_> = std::fs::read_dir(to.parent().unwrap()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains(".part")), "{names:?}");
}
