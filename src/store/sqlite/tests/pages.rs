//! A page of large tasks.

use jiff::Timestamp;

use super::Sqlite;
use crate::store::{ListQuery, Store};
use crate::task::spec::Input;
use crate::task::{Owner, TaskId, TaskSpec};

#[tokio::test]
async fn a_page_ends_early_rather_than_fill_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path().join("tasks.db")).unwrap();
    let owner = Owner::anonymous();
    for second in 0..5 {
        let at = Timestamp::from_second(second).unwrap();
        let input = Input { content: Some("x".repeat(400_000)), path: "/in".to_owned(), ..Input::default() };
        let spec = TaskSpec { inputs: vec![input], ..TaskSpec::default() };
        store.create(&owner, &TaskId::new(at), at, spec).await.unwrap();
    }
    let mut query = ListQuery { size: 5, ..ListQuery::default() };
    let mut pages = Vec::new();
    loop {
        let page = store.list(&owner, &query).await.unwrap();
        pages.push(page.items.len());
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [2, 2, 1], "two of them fit into a page's bytes");
}
