//! Each change of the phase shown is told once, in order, and is kept for a while.

use std::time::Duration;

use super::Subject;
use super::samples::*;
use crate::store::{Change, ChangeId, Kept, Store};
use crate::task::{Event, Owner, Phase, TaskId, Verdict};

async fn all(store: &impl Store) -> Vec<Change> {
    store.changes(ChangeId(0), 10_000).await.unwrap().items
}

fn told(changes: &[Change], task: &TaskId) -> Vec<(Option<Phase>, Phase)> {
    changes.iter().filter(|one| one.task == *task).map(|one| (one.previous, one.phase)).collect()
}

pub(crate) async fn every_change_of_phase_is_told_once_and_in_order(subject: &impl Subject) {
    let store = subject.fresh().await;
    assert_eq!(store.kept().await.unwrap(), Kept::default());
    let (bob, task) = (Owner("bob".to_owned()), put_one(&store).await);
    let theirs = put(&store, &bob, 2, spec("two")).await;
    bring(&store, &ann(), &task, Phase::Running).await;
    // Nothing of these is a change of what is shown.
    say(&store, &task, None, Event::Noted { attempt: 1, text: "a word".to_owned() }).await;
    say(&store, &task, None, started(1)).await;
    say(&store, &task, None, ended(1, Verdict::Complete)).await;
    say(&store, &task, None, ended(1, Verdict::SystemError)).await;
    store.request_cancel(&bob, &theirs, at(NOW), true).await.unwrap();
    store.request_cancel(&bob, &theirs, at(NOW), true).await.unwrap();
    let store = subject.after_a_kill(store).await;
    let changes = all(&store).await;
    let expected = [
        (None, Phase::Queued),
        (Some(Phase::Queued), Phase::Initializing),
        (Some(Phase::Initializing), Phase::Running),
        (Some(Phase::Running), Phase::Complete),
    ];
    assert_eq!(told(&changes, &task), expected);
    assert_eq!(told(&changes, &theirs), [(None, Phase::Queued), (Some(Phase::Queued), Phase::Canceled)]);
    assert!(changes.iter().all(|one| one.owner == if one.task == task { ann() } else { bob.clone() }));
    assert!(changes.is_sorted_by(|a, b| a.id < b.id), "{changes:?}");
    assert_eq!(changes[0].at, at(1));
    let kept = Kept { oldest: changes[0].id, newest: changes[changes.len() - 1].id };
    assert_eq!(store.kept().await.unwrap(), kept);
}

pub(crate) async fn what_was_seen_is_not_seen_again(subject: &impl Subject) {
    let store = subject.fresh().await;
    for second in 1..=10 {
        put(&store, &ann(), second, spec("one")).await;
    }
    let (mut seen, mut at) = (Vec::new(), ChangeId(0));
    loop {
        let page = store.changes(at, 3).await.unwrap();
        assert!(page.items.len() <= 3 && !page.missed);
        let Some(last) = page.items.last() else { break };
        at = last.id;
        seen.extend(page.items);
    }
    assert_eq!(seen, all(&store).await);
    assert_eq!(seen.len(), 10);
    assert!(store.changes(ChangeId(u64::MAX), 3).await.unwrap().items.is_empty());
}

pub(crate) async fn the_bell_rings_after_the_commit(subject: &impl Subject) {
    let store = subject.fresh().await;
    let mut bell = store.bell();
    let task = put_one(&store).await;
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, bell.changed()).await.unwrap().unwrap();
    assert_eq!(all(&store).await.len(), 1);
    bell.borrow_and_update();
    store.request_cancel(&ann(), &task, at(NOW), true).await.unwrap();
    tokio::time::timeout(patience, bell.changed()).await.unwrap().unwrap();
    assert_eq!(all(&store).await.len(), 2);
}

pub(crate) async fn the_oldest_go_in_small_steps_and_the_newest_stays(subject: &impl Subject) {
    let store = subject.fresh().await;
    for second in 1..=10 {
        put(&store, &ann(), second, spec("one")).await;
    }
    let before = all(&store).await;
    assert_eq!(store.trim(6, 3).await.unwrap(), 3);
    assert_eq!(store.trim(6, 3).await.unwrap(), 1);
    assert_eq!(store.trim(6, 3).await.unwrap(), 0);
    assert_eq!(all(&store).await, before[4..]);
    let at = |index: usize| before[index].id;
    assert!(store.changes(at(2), 1).await.unwrap().missed);
    assert!(!store.changes(at(3), 1).await.unwrap().missed);
    // Whatever is asked for, a number is never given twice.
    store.trim(0, 100).await.unwrap();
    assert_eq!(all(&store).await, before[9..]);
    let store = subject.after_a_kill(store).await;
    put_one(&store).await;
    assert!(store.kept().await.unwrap().newest > at(9));
}

pub(crate) async fn how_far_a_target_was_told_is_remembered(subject: &impl Subject) {
    let store = subject.fresh().await;
    assert_eq!(store.told("a").await.unwrap(), None);
    store.tell("a", ChangeId(3)).await.unwrap();
    store.tell("b", ChangeId(5)).await.unwrap();
    store.tell("a", ChangeId(4)).await.unwrap();
    let store = subject.after_a_kill(store).await;
    assert_eq!(store.told("a").await.unwrap(), Some(ChangeId(4)));
    assert_eq!(store.told("b").await.unwrap(), Some(ChangeId(5)));
}
