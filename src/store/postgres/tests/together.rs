//! Several writes at once, several servers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;

use super::databases::{Databases, end, tell};
use crate::store::conformance::Subject;
use crate::store::conformance::samples::*;
use crate::store::postgres::Postgres;
use crate::store::{Ceiling, ChangeId, Enlisted, Fence, ListQuery, Record, Recorded, Replica, Store, StoreError};
use crate::task::spec::Input;
use crate::task::{Phase, TaskId, TaskSpec, Verdict};

/// Two servers on one database, and the database's name.
async fn two(databases: &Databases) -> (Arc<Postgres>, Arc<Postgres>, String) {
    let database = databases.make().await;
    let open = async || Arc::new(Postgres::open(&databases.settings(&database)).await.unwrap());
    (open().await, open().await, database)
}

async fn all_changes(store: &Postgres) -> Vec<crate::store::Change> {
    store.changes(ChangeId(0), 10_000).await.unwrap().items
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn a_refused_write_fails_no_neighbour() {
    let databases = Databases::new();
    let store = databases.fresh().await;
    let twice = put_one(&store).await;
    // A backend's name is compared, so it goes into no index; an owner's does, and this one is too long for it.
    let long = crate::task::Owner((0..40_000).map(|n| char::from(b'a' + (n * n % 23) as u8)).collect());
    let ids: Vec<TaskId> = (0..20).map(|second| TaskId::new(at(second))).collect();
    let create = |index: usize| {
        let (id, owner) = match index {
            3 => (&twice, ann()),
            7 => (&ids[7], long.clone()),
            _ => (&ids[index], ann()),
        };
        let store = &store;
        async move { store.create(&owner, id, at(1), spec("new")).await }
    };
    let answers = join_all((0..20).map(create)).await;
    for (index, answer) in answers.into_iter().enumerate() {
        match (index, answer) {
            (3, Err(StoreError::Unavailable(sentence))) => assert!(sentence.contains("already"), "{sentence}"),
            (7, Err(StoreError::Unavailable(sentence))) => assert!(sentence.contains("too long"), "{sentence}"),
            (_, answer) => assert_eq!(answer, Ok(()), "the {index}th"),
        }
    }
    let query = ListQuery { size: 50, ..ListQuery::default() };
    assert_eq!(store.list(&ann(), &query).await.unwrap().items.len(), 19);
    assert_eq!(store.get(&ann(), &twice).await.unwrap().unwrap().spec, spec("one"), "the first one stands");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn cut_connections_lose_nothing_and_write_nothing_twice() {
    let databases = Databases::new();
    let (one, other, database) = two(&databases).await;
    let done = Arc::new(AtomicBool::new(false));
    let cutting = tokio::spawn({
        let (done, database) = (done.clone(), database.clone());
        async move {
            let mut cuts = 0;
            while !done.load(Ordering::Relaxed) {
                // Those of the stores, but not this one; as many times as there is time for.
                tell(&end(&database)).await;
                cuts += 1;
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
            cuts
        }
    });
    let lives = (0..40).map(|second| {
        let store = if second % 2 == 0 { one.clone() } else { other.clone() };
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for round in 0..8 {
                let id = TaskId::new(at(second * 100 + round));
                store.create(&ann(), &id, at(1), spec("life")).await.unwrap();
                let claimed = store.claim(&holder("a"), at(NOW), at(LATER), Ceiling::default(), &[wish(&id)]).await;
                let fence = Some(claimed.unwrap().pop().expect("it is to be had").claim.fence);
                for (event, phase) in [
                    (submitted(1, &id), Phase::Initializing),
                    (started(1), Phase::Running),
                    (ended(1, Verdict::Complete), Phase::Complete),
                ] {
                    let record = Record { task: id.clone(), fence, at: at(NOW + 1), event };
                    assert_eq!(store.record(vec![record]).await.unwrap(), [Recorded::Moved(phase)]);
                }
                ids.push(id);
            }
            ids
        })
    });
    let ids: Vec<TaskId> = join_all(lives).await.into_iter().flat_map(Result::unwrap).collect();
    done.store(true, Ordering::Relaxed);
    assert!(cutting.await.unwrap() > 1, "nothing was cut");
    for id in &ids {
        let seen: Vec<_> = all_of(&one, id).await;
        assert_eq!(seen, [Phase::Queued, Phase::Initializing, Phase::Running, Phase::Complete]);
    }
    assert_eq!(all_changes(&one).await.len(), 4 * ids.len());
    assert_eq!(one.leftovers(10_000).await.unwrap().len(), ids.len());
}

/// The phases that were told of a task. A read may meet a connection that was just cut.
async fn all_of(store: &Postgres, task: &TaskId) -> Vec<Phase> {
    all_changes(store).await.into_iter().filter(|change| change.task == *task).map(|change| change.phase).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn changes_of_two_servers_rise_in_the_order_in_which_they_are_seen() {
    let databases = Databases::new();
    let (one, other, _) = two(&databases).await;
    let done = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn({
        let (store, done) = (other.clone(), done.clone());
        async move {
            let (mut seen, mut last) = (Vec::new(), ChangeId(0));
            loop {
                let is_done = done.load(Ordering::Acquire);
                let found = store.changes(last, 10_000).await.unwrap().items;
                last = found.last().map_or(last, |change| change.id);
                seen.extend(found);
                if is_done {
                    return seen;
                }
            }
        }
    });
    let writers = [one.clone(), other.clone()].into_iter().flat_map(|store| {
        (0..8).map(move |n| {
            let store = store.clone();
            tokio::spawn(async move {
                for second in 0..25 {
                    let id = TaskId::new(at(n * 100 + second));
                    store.create(&ann(), &id, at(1), spec("new")).await.unwrap();
                    store.request_cancel(&ann(), &id, at(2), true).await.unwrap();
                }
            })
        })
    });
    join_all(writers).await.into_iter().for_each(Result::unwrap);
    done.store(true, Ordering::Release);
    let seen = watching.await.unwrap();
    assert_eq!(seen.len(), 2 * 2 * 8 * 25, "what came later with a lower number was missed");
    assert!(seen.windows(2).all(|pair| pair[1].id.0 == pair[0].id.0 + 1), "without holes, in order");
    assert_eq!(seen, all_changes(&one).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn a_ceiling_holds_when_two_servers_claim_at_once() {
    let databases = Databases::new();
    let (one, other, _) = two(&databases).await;
    let mut ids = Vec::new();
    for second in 0..40 {
        ids.push(put(&*one, &ann(), second, spec("waits")).await);
    }
    let ceiling = Ceiling { jobs: Some(15), cpu_milli: Some(10_000), ram_bytes: None };
    let claim = |store: Arc<Postgres>, who: &'static str, ids: Vec<TaskId>| {
        tokio::spawn(async move {
            let wishes: Vec<_> = ids.iter().map(wish).collect();
            let mut taken = 0;
            for some in wishes.chunks(3) {
                taken += store.claim(&holder(who), at(NOW), at(LATER), ceiling, some).await.unwrap().len();
            }
            taken
        })
    };
    let reversed: Vec<TaskId> = ids.iter().rev().cloned().collect();
    let (a, b) = (claim(one.clone(), "a", ids.clone()), claim(other.clone(), "b", reversed));
    assert_eq!(a.await.unwrap() + b.await.unwrap(), 15);
    let load = one.load().await.unwrap();
    assert_eq!((load.len(), load[0].jobs, load[0].cpu_milli), (1, 15, 15 * 500));

    // What does not fit is left, and what is smaller goes by; an expired claim of that backend has its room already.
    let ceiling = Ceiling { jobs: None, cpu_milli: Some(8_100), ram_bytes: None };
    let waiting: Vec<TaskId> =
        one.queued(at(NOW), None, 99).await.unwrap().into_iter().map(|candidate| candidate.task).collect();
    let mut wishes: Vec<_> = waiting.iter().take(4).map(wish).collect();
    wishes[0].cpu_milli = 700;
    wishes[2].cpu_milli = 101;
    wishes[3].cpu_milli = 100;
    let taken = one.claim(&holder("a"), at(NOW), at(LATER), ceiling, &wishes).await.unwrap();
    assert_eq!(taken.into_iter().map(|one| one.task).collect::<Vec<_>>(), [waiting[1].clone(), waiting[3].clone()]);
    let full = Ceiling { jobs: Some(1), cpu_milli: Some(1), ram_bytes: Some(1) };
    let held: Vec<_> = ids.iter().filter(|id| !waiting.contains(id)).map(wish).collect();
    let again = other.claim(&holder("b"), at(LATER), at(LATER + 60), full, &held).await.unwrap();
    assert_eq!(again.len(), 15, "they are counted already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn who_was_taken_over_is_refused() {
    let databases = Databases::new();
    let (one, other, _) = two(&databases).await;
    let id = put_one(&*one).await;
    bring(&*one, &ann(), &id, Phase::Running).await;
    let fence = one.active(None, 9).await.unwrap()[0].claim.clone().unwrap().fence;
    let asked = [(id.clone(), fence)];
    let (mine, theirs) = (holder("b"), holder("c"));
    let (a, b) = tokio::join!(one.take_over(&mine, &asked), other.take_over(&theirs, &asked));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.len() + b.len(), 1, "one of two takes it");
    let taken = a.into_iter().chain(b).next().unwrap();
    let claim = taken.claim.unwrap();
    assert!(claim.fence > fence);
    let end =
        |fence| Record { task: id.clone(), fence: Some(fence), at: at(NOW + 9), event: ended(1, Verdict::Complete) };
    assert_eq!(one.record(vec![end(fence)]).await.unwrap(), [Recorded::Fenced]);
    assert!(one.take_over(&holder("d"), &asked).await.unwrap().is_empty(), "the old fence takes nothing");
    assert_eq!(one.record(vec![end(claim.fence)]).await.unwrap(), [Recorded::Moved(Phase::Complete)]);
    assert_eq!(one.leftovers(9).await.unwrap()[0].holder, Some(claim.holder));
    assert!(one.take_over(&holder("d"), &[(id, Fence(claim.fence.0))]).await.unwrap().is_empty(), "it has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn others_are_heard_and_heard_again_after_a_cut() {
    let databases = Databases::new();
    let (one, other, database) = two(&databases).await;
    let (mut bell, mut calls) = (other.bell(), other.calls().unwrap());
    let own = one.calls().unwrap();
    for is_cut in [false, true] {
        if is_cut {
            tell(&end(&database)).await;
        }
        let before = calls.borrow_and_update().queued;
        bell.borrow_and_update();
        // The listening connection may not be there yet: what was not heard is rung for when it is.
        let id = put(&*one, &ann(), 1, spec("new")).await;
        tokio::time::timeout(Duration::from_secs(20), bell.changed()).await.expect("the bell rings").unwrap();
        let called = tokio::time::timeout(Duration::from_secs(20), calls.wait_for(|calls| calls.queued > before)).await;
        drop(called.expect("a waiting task is called out").unwrap());
        one.request_cancel(&ann(), &id, at(NOW), true).await.unwrap().unwrap();
        let called = tokio::time::timeout(Duration::from_secs(20), calls.wait_for(|calls| calls.canceled > 0)).await;
        drop(called.expect("a cancel is called out").unwrap());
        if !is_cut {
            assert_eq!(*own.borrow(), crate::store::Calls::default(), "nobody calls himself");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn a_name_is_one_servers() {
    let databases = Databases::new();
    let (one, other, _) = two(&databases).await;
    let me = |run: &str, seat: &str| Replica {
        name: "a".to_owned(),
        holder: holder(&format!("a/{run}")),
        seat: seat.to_owned(),
        address: None,
        backends: Vec::new(),
    };
    let (first, second) = (me("1", "here"), me("2", "there"));
    let (x, y) = tokio::join!(one.enlist(&first, at(1), at(16)), other.enlist(&second, at(1), at(16)));
    let here = [x.unwrap(), y.unwrap()].into_iter().filter(|answer| matches!(answer, Enlisted::Here(_))).count();
    assert_eq!(here, 1, "of two at once, one");
    // After its time, or from the same seat later, it is to be had.
    assert!(matches!(one.enlist(&me("5", "elsewhere"), at(17), at(32)).await.unwrap(), Enlisted::Here(_)));
    assert!(matches!(one.enlist(&me("6", "elsewhere"), at(18), at(33)).await.unwrap(), Enlisted::Here(_)));
    let Enlisted::Taken(known) = one.enlist(&me("5", "elsewhere"), at(19), at(34)).await.unwrap() else {
        panic!("a former run took the name back");
    };
    assert_eq!(known.replica.holder, holder("a/6"));
    one.leave(&holder("a/6"), at(20)).await.unwrap();
    assert!(matches!(one.enlist(&me("7", "third"), at(20), at(35)).await.unwrap(), Enlisted::Here(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn texts_with_nul_and_long_ones() {
    let databases = Databases::new();
    let store = databases.fresh().await;
    let nul = |text: &str| format!("{text}\0\u{1}{}", "x".repeat(5_000));
    let input = Input { content: Some(nul("content")), path: "/in".to_owned(), ..Input::default() };
    let odd = TaskSpec {
        name: Some(nul("name")),
        tags: Some([(nul("key"), nul("value"))].into()),
        inputs: vec![input],
        ..spec("odd")
    };
    let id = put(&store, &crate::task::Owner("a\0b".to_owned()), 1, odd.clone()).await;
    let owner = crate::task::Owner("a\0b".to_owned());
    let task = store.get(&owner, &id).await.unwrap().unwrap();
    assert_eq!((&task.owner, &task.spec), (&owner, &odd));
    let query = ListQuery {
        name_prefix: nul("name"),
        tags: vec![(nul("key"), Some(nul("value"))), (nul("key"), None)],
        size: 9,
        ..ListQuery::default()
    };
    assert_eq!(store.list(&owner, &query).await.unwrap().items.len(), 1);
    let other = ListQuery { name_prefix: nul("name") + "y", ..query };
    assert!(store.list(&owner, &other).await.unwrap().items.is_empty());
}
