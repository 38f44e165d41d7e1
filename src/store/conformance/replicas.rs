//! Several servers: who is here, who has which task, who does what only one should do.

use jiff::Timestamp;

use super::Subject;
use super::samples::{LATER, NOW, ann, at, bring, claim, ended, put, put_one, say, spec, started, try_claim, wish};
use crate::store::{Ceiling, Enlisted, FORGOTTEN_AFTER, Fence, Holder, Offer, Present, Recorded, Replica, Store};
use crate::task::{Phase, TaskId, Verdict};

/// A run of a server; later runs of a name have higher letters.
fn replica(name: &str, run: char, seat: &str) -> Replica {
    Replica {
        name: name.to_owned(),
        holder: Holder(format!("{name}/{run}")),
        seat: seat.to_owned(),
        address: None,
        backends: vec![],
    }
}

/// Says at a second that a server is there for ten more.
async fn enlist(store: &impl Store, me: &Replica, second: i64) -> Enlisted {
    store.enlist(me, at(second), at(second + 10)).await.unwrap()
}

/// Whether it was taken to be there.
async fn is_here(store: &impl Store, me: &Replica, second: i64) -> bool {
    matches!(enlist(store, me, second).await, Enlisted::Here(_))
}

async fn known(store: &impl Store, me: &Replica, second: i64) -> Vec<Present> {
    match enlist(store, me, second).await {
        Enlisted::Here(all) => all,
        Enlisted::Taken(other) => panic!("its name is taken by {other:?}"),
    }
}

pub(crate) async fn what_a_server_says_of_itself_is_what_others_hear(subject: &impl Subject) {
    let store = subject.fresh().await;
    let offer = |name: &str, local| Offer { name: name.to_owned(), local, cpu_milli: Some(4_000), ram_bytes: None };
    let b = Replica {
        address: Some("http://10.0.0.5:8000".to_owned()),
        backends: vec![offer("docker", true), offer("k8s", false)],
        ..replica("b", '1', "its folder")
    };
    let a = replica("a", '1', "s");
    assert_eq!(known(&store, &b, NOW).await, [Present { replica: b.clone(), until: at(NOW + 10) }]);
    let all = [Present { replica: a.clone(), until: at(NOW + 11) }, Present { replica: b, until: at(NOW + 10) }];
    assert_eq!(known(&store, &a, NOW + 1).await, all);
    // By name, whoever came first; and what is said again is the last that counts.
    assert_eq!(known(&store, &a, NOW + 5).await[0].until, at(NOW + 15));
}

pub(crate) async fn a_name_is_one_servers_until_its_lease_is_over(subject: &impl Subject) {
    let store = subject.fresh().await;
    let (mine, thief) = (replica("a", '1', "mine"), replica("a", '2', "other"));
    assert!(is_here(&store, &mine, NOW).await);
    let Enlisted::Taken(other) = enlist(&store, &thief, NOW + 9).await else { panic!("two servers have one name") };
    assert_eq!(other, Present { replica: mine.clone(), until: at(NOW + 10) });
    // One that comes late, and that nobody has replaced, is there again.
    assert!(is_here(&store, &mine, NOW + 60).await);
    assert!(is_here(&store, &thief, NOW + 70).await);
    // The id of a run says nothing about a run on another seat.
    assert!(!is_here(&store, &mine, NOW + 71).await);
    assert!(is_here(&store, &mine, NOW + 90).await);
}

pub(crate) async fn a_later_run_on_the_same_seat_takes_the_name_at_once(subject: &impl Subject) {
    let store = subject.fresh().await;
    let (former, later) = (replica("a", '1', "s"), replica("a", '2', "s"));
    assert!(is_here(&store, &former, NOW).await);
    assert!(is_here(&store, &later, NOW + 1).await);
    for second in [NOW + 2, NOW + 100] {
        let Enlisted::Taken(other) = enlist(&store, &former, second).await else { panic!("a former run is back") };
        assert_eq!(other.replica, later);
    }
    assert_eq!(known(&store, &later, NOW + 101).await.len(), 1);
}

pub(crate) async fn what_a_former_run_on_the_seat_claimed_is_to_be_had_at_once(subject: &impl Subject) {
    let store = subject.fresh().await;
    let (former, later, thief) = (replica("a", '1', "s"), replica("a", '2', "s"), replica("a", '3', "t"));
    let other = replica("b", '1', "b");
    assert!(is_here(&store, &former, NOW).await && is_here(&store, &other, NOW).await);
    let (mine, theirs) = (put_one(&store).await, put(&store, &ann(), 2, spec("theirs")).await);
    let cancelled = put(&store, &ann(), 3, spec("cancelled")).await;
    for (who, task) in [("a/1", &mine), ("b/1", &theirs), ("a/1", &cancelled)] {
        try_claim(&store, who, NOW, task).await.unwrap();
    }
    store.request_cancel(&ann(), &cancelled, at(NOW), true).await.unwrap();
    // Saying again that it is there gives nothing up.
    assert!(is_here(&store, &former, NOW + 1).await);
    assert!(try_claim(&store, "b/1", NOW + 1, &mine).await.is_none());
    assert!(is_here(&store, &later, NOW + 2).await);
    let until = store.canceling(None, 9).await.unwrap()[0].claim.clone().unwrap().until;
    assert!(until <= at(NOW + 2), "no submit is on its way any more");
    let again = try_claim(&store, "a/2", NOW + 2, &mine).await.unwrap();
    assert!(again.claim.fence > Fence(1) && try_claim(&store, "a/2", NOW + 2, &theirs).await.is_none());
    // Of one on another machine nobody knows that it is dead.
    assert!(is_here(&store, &thief, NOW + 30).await);
    assert!(try_claim(&store, "a/3", NOW + 30, &mine).await.is_none());
}

pub(crate) async fn who_leaves_is_away_from_then_on(subject: &impl Subject) {
    let store = subject.fresh().await;
    let (former, later, other) = (replica("a", '1', "s"), replica("a", '2', "s"), replica("a", '3', "t"));
    let watcher = replica("z", '1', "z");
    let until = async |second| known(&store, &watcher, second).await[0].until;
    enlist(&store, &former, NOW).await;
    enlist(&store, &later, NOW + 1).await;
    // A former run does not say goodbye for the present one.
    store.leave(&former.holder, at(NOW + 2)).await.unwrap();
    assert_eq!(until(NOW + 2).await, at(NOW + 11));
    store.leave(&later.holder, at(NOW + 3)).await.unwrap();
    store.leave(&later.holder, at(NOW + 5)).await.unwrap();
    assert_eq!(until(NOW + 5).await, at(NOW + 3), "it went when it first said so");
    assert!(is_here(&store, &other, NOW + 4).await, "the name is free");
    store.leave(&Holder("nobody/1".to_owned()), at(NOW)).await.unwrap();
}

pub(crate) async fn who_is_away_for_a_month_is_forgotten(subject: &impl Subject) {
    let store = subject.fresh().await;
    let month = i64::try_from(FORGOTTEN_AFTER.as_secs()).unwrap();
    let (gone, here) = (replica("gone", '1', "g"), replica("here", '1', "h"));
    enlist(&store, &gone, NOW).await;
    assert_eq!(known(&store, &here, NOW + 10 + month).await.len(), 2);
    assert_eq!(known(&store, &here, NOW + 11 + month).await.len(), 1);
    // Itself it never forgets, however long it was away.
    assert_eq!(known(&store, &here, NOW + 9 * month).await.len(), 1);
    assert!(is_here(&store, &gone, NOW + 9 * month).await);
}

pub(crate) async fn what_is_taken_over_has_a_new_holder_and_a_higher_fence(subject: &impl Subject) {
    let store = subject.fresh().await;
    let b = Holder("b/1".to_owned());
    let fence_of = async |task: &TaskId| {
        let standing = store.standing(std::slice::from_ref(task)).await.unwrap().pop().unwrap();
        standing.active().and_then(|active| active.claim.clone()).map(|claim| claim.fence)
    };
    for phase in [Phase::Initializing, Phase::Running, Phase::Paused, Phase::Preempted, Phase::Canceling] {
        let task = put(&store, &ann(), 1, spec("one")).await;
        bring(&store, &ann(), &task, phase).await;
        let before = store.standing(std::slice::from_ref(&task)).await.unwrap().pop().unwrap();
        let before = before.active().unwrap().clone();
        let old = fence_of(&task).await.unwrap();
        let taken = store.take_over(&b, &[(task.clone(), old)]).await.unwrap();
        let [active] = taken.as_slice() else { panic!("{phase:?}: {taken:?}") };
        let claim = active.claim.clone().unwrap();
        assert!(claim.fence > old && claim.holder == b, "{claim:?}");
        assert_eq!((&active.task, &active.state), (&task, &before.state), "nothing else has changed");
        assert_eq!(claim.backend, before.claim.unwrap().backend);
        assert_eq!(store.keeper(&task).await.unwrap(), Some(b.clone()));
        // What the former holder says late changes nothing; what the new one says counts.
        assert_eq!(say(&store, &task, Some(old), ended(1, Verdict::Complete)).await, Recorded::Fenced);
        let told = say(&store, &task, Some(claim.fence), ended(1, Verdict::SystemError)).await;
        assert!(matches!(told, Recorded::Moved(end) if end.is_terminal()), "{told:?}");
        // What it leaves behind is the new holder's to remove.
        let left = store.leftovers(9).await.unwrap();
        assert_eq!(left.last().unwrap().holder.as_ref(), Some(&b));
        store.forget(&left).await.unwrap();
    }
}

pub(crate) async fn only_what_is_as_it_was_said_is_taken_over(subject: &impl Subject) {
    let store = subject.fresh().await;
    let b = Holder("b/1".to_owned());
    let none = Vec::new();
    let waits = put(&store, &ann(), 1, spec("waits")).await;
    let claimed = put(&store, &ann(), 2, spec("claimed")).await;
    let claimed_at = claim(&store, &claimed).await;
    let over = put(&store, &ann(), 3, spec("over")).await;
    bring(&store, &ann(), &over, Phase::Complete).await;
    let nobody = TaskId::new(at(NOW));
    for (task, fence) in [(waits, Fence(0)), (claimed.clone(), claimed_at), (over, Fence(1)), (nobody, Fence(0))] {
        assert_eq!(store.take_over(&b, &[(task, fence)]).await.unwrap(), none);
    }
    assert_eq!(store.take_over(&b, &[]).await.unwrap(), none);
    // A claim that is being cancelled has something to be looked for.
    store.request_cancel(&ann(), &claimed, at(NOW), true).await.unwrap();
    let taken = store.take_over(&b, &[(claimed.clone(), claimed_at)]).await.unwrap();
    let fence = taken[0].claim.as_ref().unwrap().fence;
    assert_eq!(taken[0].claim.as_ref().unwrap().until, at(LATER), "a submit may be on its way until then");
    // Two that want the same: the second finds it changed, and neither harms the rest.
    let running = put(&store, &ann(), 4, spec("running")).await;
    bring(&store, &ann(), &running, Phase::Running).await;
    let c = Holder("c/1".to_owned());
    let wanted = [(claimed.clone(), claimed_at), (running.clone(), Fence(1))];
    let taken = store.take_over(&c, &wanted).await.unwrap();
    assert_eq!(taken.iter().map(|active| &active.task).collect::<Vec<_>>(), [&running]);
    assert_eq!(say(&store, &running, Some(Fence(1)), started(1)).await, Recorded::Fenced);
    assert!(fence > claimed_at);
}

pub(crate) async fn a_lease_is_ones_until_it_is_over(subject: &impl Subject) {
    let store = subject.fresh().await;
    let (a, b) = (Holder("a/1".to_owned()), Holder("b/1".to_owned()));
    let lease =
        async |what: &str, who: &Holder, second| store.lease(what, who, at(second), at(second + 10)).await.unwrap();
    assert!(lease("webhook x", &a, NOW).await);
    assert!(!lease("webhook x", &b, NOW + 9).await);
    assert!(lease("webhook y", &b, NOW + 9).await, "another matter");
    assert!(lease("webhook x", &a, NOW + 9).await, "it is kept");
    assert!(!lease("webhook x", &b, NOW + 18).await);
    assert!(lease("webhook x", &b, NOW + 19).await);
    assert!(!lease("webhook x", &a, NOW + 20).await);
}

pub(crate) async fn the_keeper_is_who_claimed_last(subject: &impl Subject) {
    let store = subject.fresh().await;
    let task = put_one(&store).await;
    assert_eq!(store.keeper(&task).await.unwrap(), None);
    assert_eq!(store.keeper(&TaskId::new(Timestamp::UNIX_EPOCH)).await.unwrap(), None);
    try_claim(&store, "a/1", NOW, &task).await.unwrap();
    assert_eq!(store.keeper(&task).await.unwrap(), Some(Holder("a/1".to_owned())));
    let fence = try_claim(&store, "b/1", LATER, &task).await.unwrap().claim.fence;
    say(&store, &task, Some(fence), ended(1, Verdict::SystemError)).await;
    assert_eq!(store.keeper(&task).await.unwrap(), Some(Holder("b/1".to_owned())), "also when it is over");
}

pub(crate) async fn several_servers_stay_below_one_ceiling(subject: &impl Subject) {
    let store = subject.fresh().await;
    if !store.is_shared() {
        // One server alone knows what it has taken.
        return;
    }
    let mut wishes = Vec::new();
    for second in 1..=9 {
        wishes.push(wish(&put(&store, &ann(), second, spec("one")).await));
    }
    let (a, b) = (Holder("a/1".to_owned()), Holder("b/1".to_owned()));
    let at_once = Ceiling { jobs: Some(5), ..Ceiling::default() };
    let (first, second) = tokio::join!(
        store.claim(&a, at(NOW), at(LATER), at_once, &wishes[..4]),
        store.claim(&b, at(NOW), at(LATER), at_once, &wishes[4..8]),
    );
    assert_eq!(first.unwrap().len() + second.unwrap().len(), 5);
    assert_eq!(store.load().await.unwrap()[0].jobs, 5);
    // What was claimed before, and may be outside, always has room; beside it there is none.
    let taken = store.claim(&b, at(LATER), at(LATER + 60), at_once, &wishes).await.unwrap();
    assert_eq!(taken.len(), 5);
    // In the order wanted, each as long as it has room: 500 thousandths of a core and 1 MiB each.
    let other = |cpu_milli, ram_bytes| Ceiling { jobs: None, cpu_milli, ram_bytes };
    for (ceiling, room) in [
        (other(Some(2_999), None), 0),
        (other(Some(3_000), None), 1),
        (other(None, Some(7 << 20)), 1),
        (other(None, None), 2),
    ] {
        let before = store.load().await.unwrap()[0].jobs;
        let waiting: Vec<_> = wishes.iter().rev().take(9).cloned().collect();
        let taken = store.claim(&a, at(NOW), at(LATER), ceiling, &waiting).await.unwrap();
        assert_eq!((taken.len(), store.load().await.unwrap()[0].jobs), (room, before + room as u64), "{ceiling:?}");
    }
}
