//! The end of tasks that are kept no longer.

use std::collections::BTreeMap;

use super::Subject;
use super::samples::*;
use crate::store::{Created, Expiry, Key, ListQuery, Store, Surplus};
use crate::task::{Owner, Phase, TaskId, TaskSpec};

/// Everything that has ended.
fn all() -> Expiry {
    Expiry { ended_before: Some(at(NOW * 2)), surplus: None }
}

/// All of an owner's tasks, newest first, page by page.
async fn ids(store: &impl Store, owner: &Owner) -> Vec<TaskId> {
    let mut query = ListQuery { size: 7, ..ListQuery::default() };
    let mut found = Vec::new();
    loop {
        let page = store.list_summaries(owner, &query).await.unwrap();
        found.extend(page.items.into_iter().map(|item| item.id));
        query.after = page.next;
        if query.after.is_none() {
            return found;
        }
    }
}

/// Removes until nothing is left to look at, in steps of this size.
async fn expire(store: &impl Store, owner: &Owner, expiry: &Expiry, at_once: u32) -> Vec<TaskId> {
    let (mut removed, mut after) = (Vec::new(), None);
    loop {
        let step = store.expire(owner, expiry, after.as_ref(), at_once).await.unwrap();
        assert!(step.removed.len() <= at_once as usize);
        assert!(step.next.is_none() || step.next > after, "it gets on");
        removed.extend(step.removed);
        after = step.next;
        if after.is_none() {
            return removed;
        }
    }
}

/// Lets go of what the tasks' jobs left behind.
async fn sweep(store: &impl Store) {
    let leftovers = store.leftovers(1_000).await.unwrap();
    store.forget(&leftovers).await.unwrap();
}

/// A task in a phase; what its job left behind is still there.
async fn of(store: &impl Store, owner: &Owner, second: i64, phase: Phase) -> TaskId {
    let id = put(store, owner, second, spec("kept")).await;
    bring(store, owner, &id, phase).await;
    id
}

pub(crate) async fn only_what_has_ended_and_left_nothing_behind_goes(subject: &impl Subject) {
    let store = subject.fresh().await;
    let mut ended = Vec::new();
    for (second, phase) in (1..).zip(PHASES) {
        let id = of(&store, &ann(), second, phase).await;
        if phase.is_terminal() {
            ended.push(id);
        }
    }
    // Cancelled while it waited: it never had a job.
    let without_job = ended.pop().unwrap();
    assert_eq!(expire(&store, &ann(), &all(), 100).await, [without_job], "the others' leavings are still there");
    sweep(&store).await;
    assert_eq!(expire(&store, &ann(), &all(), 100).await, ended, "oldest first");
    assert_eq!(ids(&store, &ann()).await.len(), PHASES.len() - 4);
    assert_eq!(expire(&store, &ann(), &all(), 100).await, [], "again does nothing");
}

pub(crate) async fn the_age_is_that_of_the_end(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = of(&store, &ann(), 1, Phase::Complete).await;
    sweep(&store).await;
    // Its last event came two seconds after NOW, however long ago it was created.
    let before = |second| Expiry { ended_before: Some(at(second)), surplus: None };
    assert_eq!(expire(&store, &ann(), &before(NOW + 2), 10).await, []);
    assert_eq!(expire(&store, &ann(), &Expiry::default(), 10).await, []);
    assert_eq!(expire(&store, &ann(), &before(NOW + 3), 10).await, [id]);
}

pub(crate) async fn the_newest_are_kept(subject: &impl Subject) {
    let store = subject.fresh().await;
    let mut ended = Vec::new();
    for (second, phase) in (1..=12).zip(PHASES.iter().filter(|phase| phase.is_terminal()).cycle()) {
        ended.push(of(&store, &ann(), second, *phase).await);
        of(&store, &ann(), second, Phase::Queued).await;
    }
    sweep(&store).await;
    assert_eq!(store.beyond(&ann(), 12).await.unwrap(), None);
    assert_eq!(store.beyond(&ann(), 11).await.unwrap(), Some(ended[0].clone()));
    assert_eq!(store.beyond(&ann(), 0).await.unwrap(), Some(ended[11].clone()), "what waits does not count");
    assert_eq!(store.beyond(&Owner("bob".to_owned()), 0).await.unwrap(), None);
    let newest = store.beyond(&ann(), 5).await.unwrap().unwrap();
    let surplus = |second| Some(Surplus { newest: newest.clone(), ended_before: at(second) });
    let young = Expiry { ended_before: None, surplus: surplus(NOW) };
    assert_eq!(expire(&store, &ann(), &young, 3).await, [], "it has ended only now");
    let old = Expiry { ended_before: Some(at(1)), surplus: surplus(NOW * 2) };
    assert_eq!(expire(&store, &ann(), &old, 3).await, ended[..7], "in steps, oldest first");
    assert_eq!(ids(&store, &ann()).await.len(), 12 + 5);
    assert_eq!(store.beyond(&ann(), 5).await.unwrap(), None);
}

pub(crate) async fn owners_are_named_in_order_and_spared(subject: &impl Subject) {
    let store = subject.fresh().await;
    assert_eq!(store.owners(None, 10).await.unwrap(), []);
    let mut names =
        ["", "Ann", "ann", "ann\0", "ann\u{1}", "ann\u{2}", "änn", "\u{10FFFF}"].map(|n| Owner(n.to_owned()));
    for owner in names.iter().rev() {
        of(&store, owner, 1, Phase::Complete).await;
        of(&store, owner, 2, Phase::Complete).await;
    }
    names.sort_by(|one, other| one.0.cmp(&other.0));
    sweep(&store).await;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.owners(after.as_ref(), 3).await.unwrap();
        after = page.last().cloned();
        found.extend(page);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, names);
    for (index, owner) in names.iter().enumerate() {
        assert_eq!(expire(&store, owner, &all(), 10).await.len(), 2);
        for (other, name) in names.iter().enumerate() {
            assert_eq!(ids(&store, name).await.len(), if other <= index { 0 } else { 2 }, "{name:?}");
        }
    }
    assert_eq!(store.owners(None, 10).await.unwrap(), [], "who has no task is no owner");
}

pub(crate) async fn with_a_task_goes_all_that_was_its_own(subject: &impl Subject) {
    let store = subject.fresh().await;
    let key = Key::parse("k").unwrap();
    let tags = BTreeMap::from([("k".to_owned(), "v".to_owned()), ("\0".to_owned(), "x".repeat(10_000))]);
    let tagged = TaskSpec { tags: Some(tags), ..spec("tagged") };
    let id = TaskId::new(at(1));
    store.create_once(&ann(), &key, &id, at(1), tagged.clone()).await.unwrap();
    bring(&store, &ann(), &id, Phase::Complete).await;
    sweep(&store).await;
    let told = store.kept().await.unwrap();
    assert_eq!(expire(&store, &ann(), &all(), 1).await, std::slice::from_ref(&id));
    let store = subject.after_a_kill(store).await;
    // There never was such a task …
    assert_eq!(store.get(&ann(), &id).await.unwrap(), None);
    assert_eq!(store.history(&id).await.unwrap(), None);
    assert_eq!(store.summary(&ann(), &id).await.unwrap(), None);
    assert_eq!(store.keeper(&id).await.unwrap(), None);
    assert_eq!(store.request_cancel(&ann(), &id, at(NOW), true).await.unwrap(), None);
    for (key, value) in [("k", None), ("k", Some("v")), ("\0", None)] {
        let tags = vec![(key.to_owned(), value.map(str::to_owned))];
        let query = ListQuery { tags, size: 10, ..ListQuery::default() };
        assert_eq!(store.list_summaries(&ann(), &query).await.unwrap().items, []);
    }
    // … what was told of it was told …
    assert_eq!(store.kept().await.unwrap(), told);
    // … and its name is free again, also for another one.
    let again = TaskId::new(at(2));
    assert_eq!(store.create_once(&ann(), &key, &again, at(2), spec("other")).await.unwrap(), Created::New);
    assert_eq!(ids(&store, &ann()).await, [again]);
}

pub(crate) async fn pages_go_on_behind_what_is_gone(subject: &impl Subject) {
    let store = subject.fresh().await;
    for second in 1..=20 {
        of(&store, &ann(), second, if second % 2 == 0 { Phase::Complete } else { Phase::Queued }).await;
    }
    sweep(&store).await;
    let before = ids(&store, &ann()).await;
    let first = store.list_summaries(&ann(), &ListQuery { size: 5, ..ListQuery::default() }).await.unwrap();
    // The page's last, which the next one begins behind, goes with all others that have ended.
    assert_eq!(expire(&store, &ann(), &all(), 3).await.len(), 10);
    let query = ListQuery { size: 50, after: first.next, ..ListQuery::default() };
    let rest = store.list_summaries(&ann(), &query).await.unwrap();
    let rest: Vec<_> = rest.items.into_iter().map(|item| item.id).collect();
    assert_eq!(rest, before[5..].iter().step_by(2).cloned().collect::<Vec<_>>());
}
