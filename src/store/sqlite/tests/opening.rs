//! From a path to a store, and who is let in.

use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;

use super::Files;
use crate::store::conformance::Subject;
use crate::store::conformance::samples::*;
use crate::store::sqlite::Sqlite;
use crate::store::{Store, StoreError};

#[tokio::test]
async fn a_second_server_on_the_same_file_is_refused() {
    let files = Files::new();
    let path = files.folder.path().join("tasks.db");
    let first = Sqlite::open(&path).unwrap();
    let Err(StoreError::Unavailable(sentence)) = Sqlite::open(&path) else { panic!("two servers") };
    assert!(sentence.contains("another server uses") && sentence.contains("tasks.db"), "{sentence}");
    first.check().await.unwrap();
    let installation = first.installation().clone();
    drop(first);
    let second = Sqlite::open(&path).unwrap();
    assert_eq!(second.installation(), &installation);
}

#[tokio::test]
async fn claims_of_former_holders_expire_at_once() {
    let files = Files::new();
    let path = files.path();
    let store = Sqlite::open(&path).unwrap();
    let (held, canceled) = (put_one(&store).await, put(&store, &ann(), 2, spec("two")).await);
    let fence = claim(&store, &held).await;
    claim(&store, &canceled).await;
    store.request_cancel(&ann(), &canceled, at(NOW), true).await.unwrap();
    drop(store);
    let store = Sqlite::open(&path).unwrap();
    let waiting = store.queued(at(NOW), None, 9).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].claimed_on.as_deref()), (1, Some("docker")));
    assert!(try_claim(&store, "b", NOW, &held).await.unwrap().claim.fence > fence);
    let canceling = store.canceling(None, 9).await.unwrap();
    assert!(canceling[0].claim.as_ref().unwrap().until <= at(NOW));
}

#[test]
fn the_file_is_the_servers_alone() {
    let files = Files::new();
    let _store = Sqlite::open(files.folder.path().join("tasks.db")).unwrap();
    for entry in std::fs::read_dir(files.folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn what_cannot_be_opened_says_why() {
    let files = Files::new();
    let path = files.path();
    std::fs::write(&path, "these are the notes of somebody else, and no database at all").unwrap();
    let Err(StoreError::Corrupt(sentence)) = Sqlite::open(&path) else { panic!("it is no database") };
    assert!(sentence.contains("no SQLite database"), "{sentence}");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("these are"), "and is left alone");

    let path = files.folder.path().join("missing/tasks.db");
    let Err(StoreError::Unavailable(sentence)) = Sqlite::open(&path) else { panic!("there is no such folder") };
    assert!(sentence.contains("missing/tasks.db") && sentence.contains("check that its folder"), "{sentence}");

    let path = files.path();
    drop(Sqlite::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 1_000).unwrap();
    let Err(StoreError::Corrupt(sentence)) = Sqlite::open(&path) else { panic!("it is from the future") };
    assert!(sentence.contains("newer build"), "{sentence}");
}

#[tokio::test]
async fn what_was_not_committed_is_gone_after_a_kill() {
    let files = Files::new();
    let store = files.fresh().await;
    let id = put_one(&store).await;
    let from = store.readers.read(|connection| Ok(connection.path().unwrap().to_owned())).await.unwrap();
    let to = files.path();
    let torn = to.clone();
    store
        .writer
        .write(move |connection| {
            connection.execute("UPDATE tasks SET owner = 'nobody'", [])?;
            connection.cache_flush()?;
            for part in ["", "-wal", "-shm"] {
                std::fs::copy(format!("{from}{part}"), format!("{}{part}", torn.display())).unwrap();
            }
            Ok(())
        })
        .await
        .unwrap();
    assert!(store.get(&ann(), &id).await.unwrap().is_none());
    assert!(Sqlite::open(to).unwrap().get(&ann(), &id).await.unwrap().is_some());
}
