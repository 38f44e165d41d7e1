//! Beginnings of names that many tasks share, over several blocks (`migrations/0005_names.sql`).

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use tempfile::TempDir;

use crate::store::sqlite::Sqlite;
use crate::store::{ListQuery, Store};
use crate::task::{Owner, Phase};

/// More than three blocks.
const TASKS: u32 = 4_000;

/// A file whose tasks came in this order; the nth is called by what `name` says, and each third is COMPLETE.
fn filled(order: impl Iterator<Item = u32>, name: fn(u32) -> String) -> (TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.db");
    drop(Sqlite::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("BEGIN").unwrap();
    for n in order {
        connection.execute("INSERT INTO specs (spec) VALUES ('{}')", []).unwrap();
        connection
            .execute(
                "INSERT INTO tasks (id, owner, created, name, spec, phase, stage, state, version, not_before, fence,
                                    until, cpu, ram)
                 VALUES (?1, 'ann', 0, ?2, last_insert_rowid(), ?3, 4, '\"complete\"', 1, 0, 0, 0, 0, 0)",
                params![id(n), name(n), if n.is_multiple_of(3) { 6 } else { 7 }],
            )
            .unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    drop(connection);
    let store = Sqlite::open(&path).unwrap();
    (folder, store)
}

fn id(n: u32) -> String {
    format!("{n:026}")
}

/// All of a listing, page by page.
async fn all(store: &Sqlite, query: &ListQuery) -> Vec<String> {
    let (mut query, mut ids) = (query.clone(), Vec::new());
    loop {
        let page = store.list_summaries(&Owner("ann".to_owned()), &query).await.unwrap();
        ids.extend(page.items.iter().map(|item| item.id.to_string()));
        query.after = page.next;
        if query.after.is_none() {
            return ids;
        }
    }
}

fn count(folder: &TempDir, table: &str) -> i64 {
    let connection = Connection::open(folder.path().join("tasks.db")).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

async fn agrees(store: &Sqlite, name: fn(u32) -> String, left: impl Fn(u32) -> bool) {
    for prefix in ["even-", "old-", "odd-3", "odd-", "none"] {
        for phase in [None, Some(Phase::Complete)] {
            let shown = |n: &u32| left(*n) && name(*n).starts_with(prefix) && (phase.is_none() || n.is_multiple_of(3));
            let expected: Vec<String> = (0..TASKS).rev().filter(shown).map(id).collect();
            let query = ListQuery { name_prefix: prefix.to_owned(), phase, size: 97, ..ListQuery::default() };
            assert_eq!(all(store, &query).await, expected, "{prefix} {phase:?}");
        }
    }
}

fn called(n: u32) -> String {
    match n {
        0..900 => format!("old-{n}"),
        _ if n.is_multiple_of(2) => format!("even-{n}"),
        _ => format!("odd-{n}"),
    }
}

#[tokio::test]
async fn rule_8_4_a_prefix_of_many_names_is_listed_newest_first() {
    let (folder, store) = filled(0..TASKS, called);
    assert_eq!(count(&folder, "blocks"), 4);
    agrees(&store, called, |_| true).await;
}

#[tokio::test]
async fn rule_8_4_also_when_tasks_came_out_of_order() {
    // By fits and starts, as where a clock goes back.
    let order: BTreeSet<(u32, u32)> = (0..TASKS).map(|n| (n / 700 * 7 % 5, n)).collect();
    let (_folder, store) = filled(order.into_iter().map(|(_, n)| n), called);
    agrees(&store, called, |_| true).await;
}

#[tokio::test]
async fn rule_8_4_and_what_was_removed_is_gone() {
    let (folder, store) = filled(0..TASKS, called);
    store.interfere("DELETE FROM tasks WHERE CAST(id AS INTEGER) BETWEEN 1500 AND 2600").await;
    agrees(&store, called, |n| !(1_500..=2_600).contains(&n)).await;
    store.interfere("DELETE FROM tasks").await;
    assert_eq!(count(&folder, "names"), 0);
}
