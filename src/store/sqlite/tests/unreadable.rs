//! A change that cannot be read.

use rusqlite::Connection;

use super::Files;
use crate::store::conformance::samples::*;
use crate::store::sqlite::Sqlite;
use crate::store::{ChangeId, Store};

#[tokio::test]
async fn a_change_that_cannot_be_read_is_passed_over() {
    let files = Files::new();
    let path = files.path();
    let store = Sqlite::open(&path).unwrap();
    for second in 1..=5 {
        put(&store, &ann(), second, spec("one")).await;
    }
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("UPDATE changes SET phase = 99 WHERE n = 2; UPDATE changes SET task = 'x' WHERE n = 3")
        .unwrap();
    let (mut seen, mut at) = (Vec::new(), ChangeId(0));
    while let Some(last) = store.changes(at, 1).await.unwrap().items.pop() {
        at = last.id;
        seen.push(at.0);
    }
    assert_eq!(seen, [1, 4, 5]);
    other.execute_batch("UPDATE changes SET at = 0, phase = 99 WHERE n > 3").unwrap();
    assert!(store.changes(ChangeId(1), 5).await.unwrap().items.is_empty());
    put(&store, &ann(), 6, spec("one")).await;
    let next = store.changes(ChangeId(1), 5).await.unwrap().items;
    assert_eq!(next.iter().map(|change| change.id.0).collect::<Vec<_>>(), [6]);
}
