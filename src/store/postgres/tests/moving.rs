//! A store that is moved to a database, and back.

use std::path::Path;

use super::databases::{Databases, say};
use crate::store::conformance::samples::*;
use crate::store::postgres::Postgres;
use crate::store::postgres::transfer::{PostgresSide, Serving};
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::transfer::SqliteSide;
use crate::store::transfer::sample::{fill, rows};
use crate::store::transfer::{Names, copy};
use crate::store::{ListQuery, Replica, Store};
use crate::task::Owner;

async fn filled(path: &Path) {
    let store = Sqlite::open(path).unwrap();
    fill(&store).await;
}

fn to_shared() -> Names {
    Names::ToShared { replica: Some("here".to_owned()), local: ["docker".to_owned()].into(), others: [].into() }
}

fn to_own() -> Names {
    Names::ToOwn { replica: Some("here".to_owned()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn there_and_back_everything_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.db"), folder.path().join("second.db"));
    filled(&first).await;
    let databases = Databases::new();
    let settings = databases.settings(&databases.make().await);

    let mut source = SqliteSide::source(&first).unwrap();
    let before = rows(&mut source).await;
    let target = Box::new(PostgresSide::target(&settings).await.unwrap());
    let there = copy(&mut source, target, &to_shared(), |_, _| {}).await.unwrap();
    drop(source);

    let mut source = PostgresSide::source(&settings, Serving::Stopped).await.unwrap();
    let target = Box::new(SqliteSide::target(&second).unwrap());
    let back = copy(&mut source, target, &to_own(), |_, _| {}).await.unwrap();
    let counts = |moved: &[crate::store::transfer::Moved]| moved.iter().map(|one| one.sum.rows).collect::<Vec<_>>();
    assert_eq!(counts(&there), counts(&back));
    let after = rows(&mut SqliteSide::source(&second).unwrap()).await;
    for (table, rows) in &before {
        assert!(*rows == after[table], "`{table}` differs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn a_server_goes_on_where_the_other_stood() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first.db");
    filled(&path).await;
    let databases = Databases::new();
    let settings = databases.settings(&databases.make().await);
    let mut source = SqliteSide::source(&path).unwrap();
    let target = Box::new(PostgresSide::target(&settings).await.unwrap());
    copy(&mut source, target, &to_shared(), |_, _| {}).await.unwrap();
    drop(source);

    let (old, new) = (Sqlite::open(&path).unwrap(), Postgres::open(&settings).await.unwrap());
    assert_eq!(old.installation(), new.installation());
    assert_eq!(old.kept().await.unwrap(), new.kept().await.unwrap());
    for owner in ["ann", "\0", "a\0b\u{1}c\u{2}"].map(|name| Owner(name.to_owned())) {
        let query = ListQuery { size: 100, ..ListQuery::default() };
        let (old, new) = (old.list_summaries(&owner, &query).await.unwrap(), new.list_summaries(&owner, &query).await);
        assert_eq!(old, new.unwrap());
        let tags = vec![(owner.0.clone(), Some(owner.0.clone()))];
        let tagged = ListQuery { tags, size: 10, ..ListQuery::default() };
        let found = Postgres::open(&settings).await.unwrap().list_summaries(&owner, &tagged).await.unwrap();
        assert_eq!(found.items.len(), usize::from(owner.0 != "ann"));
    }
    let loads = new.load().await.unwrap();
    assert!(loads.iter().all(|load| load.backend == "docker@here"), "{loads:?}");
    let active = new.active(None, 100).await.unwrap();
    assert!(active.iter().all(|one| one.state.job().is_none_or(|job| job.backend == "docker@here")));
    assert!(active.iter().all(|one| one.claim.as_ref().unwrap().holder.replica() == "here"));
    // A number follows the last, and a task is a task.
    let id = put_one(&new).await;
    assert_eq!(new.kept().await.unwrap().newest.0, old.kept().await.unwrap().newest.0 + 1);
    assert!(new.get(&ann(), &id).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn who_is_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let databases = Databases::new();
    let database = databases.make().await;
    let settings = databases.settings(&database);
    let refused = async |said: Result<PostgresSide, crate::store::StoreError>, sentence: &str| {
        let said = said.err().expect("it was let in").to_string();
        assert!(said.contains(sentence) && !said.contains("://"), "{said}");
    };
    refused(PostgresSide::source(&settings, Serving::Stopped).await, "it is empty").await;
    let store = Postgres::open(&settings).await.unwrap();
    let now = jiff::Timestamp::now();
    let me =
        Replica { name: "b".to_owned(), holder: holder("b/1"), seat: "s".to_owned(), address: None, backends: vec![] };
    store.enlist(&me, now, now + std::time::Duration::from_secs(60)).await.unwrap();
    refused(PostgresSide::source(&settings, Serving::Stopped).await, "the server `b` uses it").await;
    refused(PostgresSide::target(&settings).await, "the server `b` uses it").await;

    // A copy is made all the same, of one moment.
    let path = folder.path().join("first.db");
    filled(&path).await;
    store.leave(&me.holder, now).await.unwrap();
    let mut source = SqliteSide::source(&path).unwrap();
    let target = Box::new(PostgresSide::target(&settings).await.unwrap());
    copy(&mut source, target, &to_shared(), |_, _| {}).await.unwrap();
    refused(PostgresSide::target(&settings).await, "it is not empty").await;
    store.enlist(&me, now, now + std::time::Duration::from_secs(60)).await.unwrap();
    let mut serving = PostgresSide::source(&settings, Serving::Goes).await.unwrap();
    say(&database, "DELETE FROM events").await;
    let to = folder.path().join("copy.db");
    let moved = copy(&mut serving, Box::new(SqliteSide::target(&to).unwrap()), &Names::Same, |_, _| {}).await.unwrap();
    assert!(moved.iter().find(|one| one.table == "events").unwrap().sum.rows > 0, "it is the moment it began");
    Sqlite::open(&to).unwrap();
}
