//! Claims: expiry, fences, holders.

use std::collections::BTreeSet;

use futures::future::join_all;

use super::Subject;
use super::samples::*;
use crate::store::{Ceiling, Recorded, Store};
use crate::task::{Event, Phase, TaskId};

pub(crate) async fn a_claim_is_exclusive_until_it_expires(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    let first = try_claim(&store, "a", NOW, &id).await.unwrap();
    assert_eq!((first.owner, first.attempt, first.refusals, first.spec), (ann(), 1, 0, spec("one")));
    assert_eq!((first.claim.backend.as_str(), first.claim.until), ("docker", at(LATER)));
    for who in ["a", "b"] {
        assert_eq!(try_claim(&store, who, LATER - 1, &id).await, None, "also its holder takes it once only");
        assert!(store.queued(at(LATER - 1), None, 9).await.unwrap().is_empty());
    }
    let waiting = store.queued(at(LATER), None, 9).await.unwrap();
    assert_eq!(waiting[0].claimed_on.as_deref(), Some("docker"), "a job may exist there already");
    let second = try_claim(&store, "b", LATER, &id).await.unwrap();
    assert!(second.claim.fence > first.claim.fence);
    assert_eq!(second.attempt, 1);
}

pub(crate) async fn fences_rise_for_ever(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    let mut fences = Vec::new();
    let mut now = NOW;
    for attempt in 1..4 {
        // Postponed, expired, and retried: each makes it waiting again.
        let fence = try_claim(&store, "a", now, &id).await.unwrap().claim.fence;
        fences.push(fence);
        let postponed = Event::Postponed { attempt, until: at(now + 10), reason: "full".to_owned() };
        assert_eq!(say(&store, &id, Some(fence), postponed).await, Recorded::Moved(Phase::Queued));
        fences.push(try_claim(&store, "b", now + 10, &id).await.unwrap().claim.fence);
        let fence = try_claim(&store, "a", now + 100, &id).await.unwrap().claim.fence;
        fences.push(fence);
        assert_eq!(say(&store, &id, Some(fence), submitted(attempt, &id)).await, Recorded::Moved(Phase::Initializing));
        assert_eq!(say(&store, &id, Some(fence), retried(attempt)).await, Recorded::Moved(Phase::Queued));
        now += 1_000;
    }
    assert!(fences.windows(2).all(|pair| pair[0] < pair[1]), "{fences:?}");
}

pub(crate) async fn two_claimers_never_both_win(subject: &impl Subject) {
    let store = subject.fresh().await;
    let mut tasks = Vec::new();
    for n in 0..40 {
        tasks.push(put(&store, &ann(), n, spec("wanted")).await);
    }
    let wanted: Vec<_> = tasks.iter().map(wish).collect();
    let claimers = (0..8).map(|n| {
        let (holder, store, mut wanted) = (holder(&n.to_string()), &store, wanted.clone());
        // Each begins elsewhere and asks in pieces, so that all of them get something.
        wanted.rotate_left(n * 5);
        async move {
            let mut taken = Vec::new();
            for piece in wanted.chunks(3) {
                taken.extend(store.claim(&holder, at(NOW), at(LATER), Ceiling::default(), piece).await.unwrap());
            }
            taken
        }
    });
    let taken: Vec<TaskId> = join_all(claimers).await.into_iter().flatten().map(|claimed| claimed.task).collect();
    assert_eq!(taken.len(), tasks.len(), "each once");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), tasks.into_iter().collect());
}

pub(crate) async fn only_what_waits_is_claimed(subject: &impl Subject) {
    let store = subject.fresh().await;
    for (n, phase) in (0..).zip(PHASES) {
        let id = put(&store, &ann(), n, spec("any")).await;
        bring(&store, &ann(), &id, phase).await;
        let far = LATER + 1_000;
        assert_eq!(try_claim(&store, "b", far, &id).await.is_some(), phase == Phase::Queued, "{phase:?}");
    }
    assert_eq!(try_claim(&store, "b", NOW, &TaskId::new(at(1))).await, None);
}

pub(crate) async fn a_postponed_task_waits_for_its_time(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    let fence = claim(&store, &id).await;
    let postponed = Event::Postponed { attempt: 1, until: at(NOW + 30), reason: "no engine".to_owned() };
    say(&store, &id, Some(fence), postponed).await;
    assert!(store.queued(at(NOW + 29), None, 9).await.unwrap().is_empty());
    assert_eq!(try_claim(&store, "b", NOW + 29, &id).await, None);
    let waiting = store.queued(at(NOW + 30), None, 9).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].claimed_on.as_deref()), (1, None), "nothing exists outside");
    assert_eq!(try_claim(&store, "b", NOW + 30, &id).await.unwrap().refusals, 1);
    let task = store.get(&ann(), &id).await.unwrap().unwrap();
    assert_eq!(task.attempts[0].log.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["no engine"]);
}

pub(crate) async fn answers_in_the_order_asked(subject: &impl Subject) {
    let store = subject.fresh().await;
    let mut tasks = Vec::new();
    for n in 0..4 {
        tasks.push(put(&store, &ann(), n, spec("wanted")).await);
    }
    bring(&store, &ann(), &tasks[2], Phase::Canceled).await;
    let order = [3, 0, 2, 1];
    let mut wanted: Vec<_> = order.iter().map(|n| wish(&tasks[*n])).collect();
    wanted.insert(1, wish(&TaskId::new(at(9))));
    let taken = store.claim(&holder("a"), at(NOW), at(LATER), Ceiling::default(), &wanted).await.unwrap();
    assert_eq!(taken.iter().map(|c| &c.task).collect::<Vec<_>>(), [&tasks[3], &tasks[0], &tasks[1]]);
    assert!(store.claim(&holder("a"), at(NOW), at(LATER), Ceiling::default(), &[]).await.unwrap().is_empty());
}
