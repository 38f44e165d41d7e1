//! Rows that cannot be read: each is in nobody's way but its own.

use super::databases::{Databases, say as tell};
use crate::store::conformance::Subject;
use crate::store::conformance::samples::*;
use crate::store::{Ceiling, ChangeId, Record, Recorded, Standing, Store, StoreError};
use crate::task::{Event, Phase, TaskId};

async fn numbers(store: &impl Store, after: u64) -> Vec<u64> {
    store.changes(ChangeId(after), 5).await.unwrap().items.iter().map(|change| change.id.0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn a_change_is_passed_over() {
    let databases = Databases::new();
    let store = databases.fresh().await;
    for second in 1..=5 {
        put(&store, &ann(), second, spec("one")).await;
    }
    let schema = databases.last();
    tell(&schema, "UPDATE changes SET phase = 99 WHERE n = 2;\nUPDATE changes SET task = 'x' WHERE n = 3").await;
    let (mut seen, mut at) = (Vec::new(), ChangeId(0));
    while let Some(last) = store.changes(at, 1).await.unwrap().items.pop() {
        at = last.id;
        seen.push(at.0);
    }
    assert_eq!(seen, [1, 4, 5]);
    tell(&schema, "UPDATE changes SET at = 0, phase = 99 WHERE n > 3").await;
    assert!(numbers(&store, 1).await.is_empty());
    put(&store, &ann(), 6, spec("one")).await;
    assert_eq!(numbers(&store, 1).await, [6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn a_task_keeps_no_other_from_running() {
    let databases = Databases::new();
    let store = databases.fresh().await;
    let mut ids: Vec<TaskId> = Vec::new();
    for second in 1..=5 {
        ids.push(put(&store, &ann(), second, spec("one")).await);
    }
    let schema = databases.last();
    let spoil = |column: &str, id: &TaskId| format!("UPDATE tasks SET {column} = 'x' WHERE id = '{id}'");
    tell(&schema, &spoil("state", &ids[1])).await;
    let asked = "UPDATE specs SET spec = 'x' WHERE row = (SELECT spec FROM tasks WHERE id = ";
    tell(&schema, &format!("{asked}'{}')", ids[2])).await;
    let waiting: Vec<TaskId> = store.queued(at(NOW), None, 9).await.unwrap().into_iter().map(|one| one.task).collect();
    assert_eq!(waiting, [&ids[0], &ids[2], &ids[3], &ids[4]].map(Clone::clone));
    assert_eq!(store.queueing(&ann(), None, 9).await.unwrap().tasks.iter().filter(|one| one.own.is_none()).count(), 1);
    let wishes: Vec<_> = ids.iter().map(wish).collect();
    let taken = store.claim(&holder("a"), at(NOW), at(LATER), Ceiling::default(), &wishes).await.unwrap();
    let taken: Vec<TaskId> = taken.into_iter().map(|one| one.task).collect();
    assert_eq!(taken, [&ids[0], &ids[3], &ids[4]].map(Clone::clone));

    tell(&schema, &spoil("state", &ids[3])).await;
    let active: Vec<TaskId> = store.active(None, 9).await.unwrap().into_iter().map(|one| one.task).collect();
    assert_eq!(active, [ids[0].clone(), ids[4].clone()]);
    assert_eq!(store.standing(&ids[3..4]).await.unwrap(), [Standing::Unreadable]);
    assert!(matches!(store.get(&ann(), &ids[3]).await, Err(StoreError::Corrupt(_))));
    assert!(matches!(store.request_cancel(&ann(), &ids[3], at(NOW), true).await, Err(StoreError::Corrupt(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn a_call_that_meets_one_writes_nothing_and_its_neighbours_are_written() {
    let databases = Databases::new();
    let store = databases.fresh().await;
    let mut ids: Vec<TaskId> = Vec::new();
    for second in 1..=3 {
        let id = put(&store, &ann(), second, spec("one")).await;
        bring(&store, &ann(), &id, Phase::Initializing).await;
        ids.push(id);
    }
    tell(&databases.last(), &format!("UPDATE tasks SET state = 'x' WHERE id = '{}'", ids[1])).await;
    let record = |id: &TaskId, event| Record { task: id.clone(), fence: None, at: at(NOW + 1), event };
    let note = |id: &TaskId| record(id, Event::Noted { attempt: 1, text: "seen".to_owned() });
    let both = store.record(vec![record(&ids[0], started(1)), note(&ids[1]), note(&ids[0])]);
    let other = store.record(vec![record(&ids[2], started(1))]);
    let (both, other) = tokio::join!(both, other);
    assert!(matches!(both, Err(StoreError::Corrupt(_))), "{both:?}");
    assert_eq!(other.unwrap(), [Recorded::Moved(Phase::Running)]);
    let phase = async |id| store.summary(&ann(), id).await.unwrap().unwrap().phase;
    assert_eq!(phase(&ids[0]).await, Phase::Initializing, "it is undone, as its call says");
    assert_eq!(phase(&ids[2]).await, Phase::Running);
}
