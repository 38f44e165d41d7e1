//! A creation that has a name is done once.

use futures::future::join_all;

use super::Subject;
use super::samples::*;
use crate::store::{Created, Key, ListQuery, Store};
use crate::task::{Owner, Phase, TaskId, TaskSpec};

async fn once(store: &impl Store, owner: &Owner, key: &str, spec: TaskSpec) -> (TaskId, Created) {
    let id = TaskId::new(at(7));
    let key = Key::parse(key).unwrap();
    let created = store.create_once(owner, &key, &id, at(7), spec).await.unwrap();
    (id, created)
}

async fn count(store: &impl Store, owner: &Owner) -> usize {
    store.list_summaries(owner, &ListQuery { size: 100, ..ListQuery::default() }).await.unwrap().items.len()
}

pub(crate) async fn the_same_name_and_task_find_the_first(subject: &impl Subject) {
    let store = subject.fresh().await;
    let (first, created) = once(&store, &ann(), "k", spec("one")).await;
    assert_eq!(created, Created::New);
    assert_eq!(once(&store, &ann(), "k", spec("one")).await.1, Created::Known(first.clone()));
    assert_eq!(once(&store, &ann(), "k", spec("other")).await.1, Created::Differs);
    // Names are compared exactly, and are each owner's own.
    assert_eq!(once(&store, &ann(), "K", spec("one")).await.1, Created::New);
    let bob = Owner("bob".to_owned());
    assert_eq!(once(&store, &bob, "k", spec("other")).await.1, Created::New);
    assert_eq!((count(&store, &ann()).await, count(&store, &bob).await), (2, 1));
    // As long as the task, whatever becomes of it, and whatever becomes of the server.
    bring(&store, &ann(), &first, Phase::Complete).await;
    let store = subject.after_a_kill(store).await;
    assert_eq!(once(&store, &ann(), "k", spec("one")).await.1, Created::Known(first));
    assert_eq!(count(&store, &ann()).await, 2);
}

pub(crate) async fn many_at_once_make_one_task(subject: &impl Subject) {
    let store = subject.fresh().await;
    let ann = ann();
    let answers = join_all((0..64).map(|_| once(&store, &ann, "k", spec("one")))).await;
    let new: Vec<_> = answers.iter().filter(|(_, created)| *created == Created::New).collect();
    assert_eq!(new.len(), 1);
    let (first, _) = new[0];
    let known = Created::Known(first.clone());
    assert!(answers.iter().all(|(id, created)| id == first || *created == known));
    assert_eq!(count(&store, &ann).await, 1);
    assert_eq!(store.kept().await.unwrap().newest.0, 1, "nothing else has happened");
}
