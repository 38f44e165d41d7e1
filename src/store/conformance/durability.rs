//! What a verb has answered is there after a kill.

use super::Subject;
use super::samples::*;
use crate::store::{Active, Claim, Leftover, Record, Recorded, Standing, Store};
use crate::task::{Phase, TaskState, Verdict};

pub(crate) async fn creation(subject: &impl Subject) {
    let store = subject.fresh().await;
    let installation = store.installation().clone();
    assert_eq!(installation.0.len(), 16);
    assert!(installation.0.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{installation:?}");
    let id = put_one(&store).await;
    let before = store.get(&ann(), &id).await.unwrap().unwrap();
    let store = subject.after_a_kill(store).await;
    assert_eq!(store.get(&ann(), &id).await.unwrap().unwrap(), before);
    assert_eq!((before.created, before.spec), (at(1), spec("one")));
    assert_eq!(before.state, TaskState::new());
    assert_eq!(store.installation(), &installation);
    assert_ne!(subject.fresh().await.installation(), &installation);
}

pub(crate) async fn cancel(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    let answer = store.request_cancel(&ann(), &id, at(NOW), true).await.unwrap();
    assert_eq!(answer, Some(Recorded::Moved(Phase::Canceled)));
    let store = subject.after_a_kill(store).await;
    let task = store.get(&ann(), &id).await.unwrap().unwrap();
    assert_eq!(task.state, TaskState::Canceled);
    assert_eq!(task.attempts[0].log[0].text, "cancel requested");
}

pub(crate) async fn claims(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    let fence = claim(&store, &id).await;
    let store = subject.after_a_kill(store).await;
    // Whether it has expired by the kill differs; that it was taken, where, and its fence do not.
    let Some(Standing::At(Active { state, claim: Some(Claim { fence: kept, backend, .. }), .. })) =
        store.standing(std::slice::from_ref(&id)).await.unwrap().pop()
    else {
        panic!("the claim is lost");
    };
    assert!(matches!(state, TaskState::Queued { claimed: true, .. }));
    assert_eq!((kept, backend.as_str()), (fence, "docker"));
    assert!(try_claim(&store, "b", LATER, &id).await.unwrap().claim.fence > fence);
}

pub(crate) async fn records(subject: &impl Subject) {
    let store = subject.fresh().await;
    let ids = [put(&store, &ann(), 1, spec("a")).await, put(&store, &ann(), 2, spec("b")).await];
    for id in &ids {
        bring(&store, &ann(), id, Phase::Running).await;
    }
    let end = |task: &crate::task::TaskId| Record {
        task: task.clone(),
        fence: None,
        at: at(NOW + 6),
        event: ended(1, Verdict::Complete),
    };
    let answers = store.record(ids.iter().map(end).collect()).await.unwrap();
    assert_eq!(answers, [Recorded::Moved(Phase::Complete); 2]);
    let before = [store.get(&ann(), &ids[0]).await.unwrap(), store.get(&ann(), &ids[1]).await.unwrap()];
    let store = subject.after_a_kill(store).await;
    for (id, before) in ids.iter().zip(before) {
        let task = store.get(&ann(), id).await.unwrap();
        assert_eq!(task, before);
        assert_eq!(task.unwrap().attempts[0].executors, [executor(0)]);
    }
    assert_eq!(store.leftovers(10).await.unwrap().len(), 2);
}

pub(crate) async fn forgetting(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    bring(&store, &ann(), &id, Phase::Complete).await;
    let found = store.leftovers(10).await.unwrap();
    assert_eq!(found, [Leftover { task: id.clone(), job: job(&format!("{id}-1")), holder: Some(holder("a")) }]);
    store.forget(&found).await.unwrap();
    let store = subject.after_a_kill(store).await;
    assert!(store.leftovers(10).await.unwrap().is_empty());
}
