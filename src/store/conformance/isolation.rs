//! A caller sees only tasks of its owner.

use super::Subject;
use super::samples::*;
use crate::store::{ListQuery, Recorded, Store};
use crate::task::{Owner, Phase};

/// Owners whose names are easily mixed up.
fn owners() -> [Owner; 3] {
    ["ann", "Ann", ""].map(|name| Owner(name.to_owned()))
}

pub(crate) async fn rule_17_3_three_owners_and_every_verb(subject: &impl Subject) {
    let store = subject.fresh().await;
    let mut tasks = Vec::new();
    for (n, owner) in owners().iter().enumerate() {
        let mut spec = spec("same");
        spec.tags = Some([("key".to_owned(), "value".to_owned())].into());
        tasks.push(put(&store, owner, i64::try_from(n).unwrap(), spec).await);
    }
    let queries = [
        ListQuery { size: 10, ..ListQuery::default() },
        ListQuery { size: 10, name_prefix: "same".to_owned(), ..ListQuery::default() },
        ListQuery { size: 10, phase: Some(Phase::Queued), ..ListQuery::default() },
        ListQuery { size: 10, tags: vec![("key".to_owned(), None)], ..ListQuery::default() },
        ListQuery { size: 10, tags: vec![("key".to_owned(), Some("value".to_owned()))], ..ListQuery::default() },
    ];
    for (caller, own) in owners().iter().zip(&tasks) {
        for (owner, task) in owners().iter().zip(&tasks) {
            let theirs = caller == owner;
            assert_eq!(store.get(caller, task).await.unwrap().is_some(), theirs, "{caller:?} gets {owner:?}'s");
            assert_eq!(store.summary(caller, task).await.unwrap().is_some(), theirs);
            let told = store.history(task).await.unwrap();
            assert_eq!(told.map(|task| task.owner).as_ref(), Some(owner), "the server itself sees every task");
        }
        for query in &queries {
            let tasks = store.list(caller, query).await.unwrap().items;
            assert_eq!(tasks.iter().map(|t| (&t.id, &t.owner)).collect::<Vec<_>>(), [(own, caller)], "{query:?}");
            let summaries = store.list_summaries(caller, query).await.unwrap().items;
            assert_eq!(summaries.iter().map(|t| &t.id).collect::<Vec<_>>(), [own], "{query:?}");
        }
        // A foreign task is no cursor into one's own: it only says where to go on.
        let after = ListQuery { size: 10, after: Some(tasks[2].clone()), ..ListQuery::default() };
        assert!(store.list(caller, &after).await.unwrap().items.iter().all(|t| t.owner == *caller));
    }
    for (caller, own) in owners().iter().zip(&tasks) {
        for task in tasks.iter().filter(|task| *task != own) {
            assert_eq!(store.request_cancel(caller, task, at(NOW), true).await.unwrap(), None);
        }
    }
    for (owner, task) in owners().iter().zip(&tasks) {
        assert_eq!(store.summary(owner, task).await.unwrap().unwrap().phase, Phase::Queued, "nobody else canceled it");
        let answer = store.request_cancel(owner, task, at(NOW), true).await.unwrap();
        assert_eq!(answer, Some(Recorded::Moved(Phase::Canceled)));
    }
}
