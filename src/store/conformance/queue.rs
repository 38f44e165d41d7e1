//! What the engine reads.

use futures::future::join_all;

use super::Subject;
use super::samples::*;
use crate::store::{Candidate, Ceiling, ClaimRequest, Fence, Load, QueueCursor, Store};
use crate::task::spec::Resources;
use crate::task::{Owner, Phase, TaskId};

pub(crate) async fn oldest_first_after_a_cursor(subject: &impl Subject) {
    let store = subject.fresh().await;
    let mut tasks = Vec::new();
    for n in (0..6).rev() {
        tasks.insert(0, put(&store, &Owner(n.to_string()), n, spec("n")).await);
    }
    bring(&store, &Owner("2".to_owned()), &tasks[2], Phase::Running).await;
    bring(&store, &Owner("3".to_owned()), &tasks[3], Phase::Complete).await;
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.queued(at(NOW), cursor.as_ref(), 3).await.unwrap();
        let Some(last) = page.last() else { break };
        cursor = Some(QueueCursor(last.task.clone()));
        found.extend(page.into_iter().map(|candidate| candidate.task));
    }
    assert_eq!(found, [0, 1, 4, 5].map(|n| tasks[n].clone()), "of every owner");
}

pub(crate) async fn many_that_fit_nowhere_hide_nobody(subject: &impl Subject) {
    let store = subject.fresh().await;
    let owner = Owner("huge".to_owned());
    let huge = (0..2_000).map(|n| {
        let mut spec = spec("huge");
        spec.resources = Some(Resources { cpu_cores: Some(1e6), ..Resources::default() });
        put(&store, &owner, n, spec)
    });
    join_all(huge).await;
    let small = put(&store, &ann(), 5_000, spec("small")).await;
    let mut cursor = None;
    let mut seen = 0;
    let placed = loop {
        let page = store.queued(at(NOW), cursor.as_ref(), 500).await.unwrap();
        seen += page.len();
        if let Some(fits) = page.iter().find(|candidate| candidate.cpu_milli.is_none()) {
            break fits.task.clone();
        }
        cursor = Some(QueueCursor(page.last().unwrap().task.clone()));
    };
    assert_eq!((placed, seen), (small, 2_001));
}

pub(crate) async fn candidates_say_what_they_need(subject: &impl Subject) {
    let store = subject.fresh().await;
    let mut asking = spec("asking");
    asking.resources = Some(Resources {
        cpu_cores: Some(1.5),
        ram_gb: Some(2.0),
        backend_parameters: Some([("Backend".to_owned(), "big".to_owned())].into()),
        ..Resources::default()
    });
    let id = put(&store, &ann(), 1, asking).await;
    let mut absurd = spec("absurd");
    absurd.resources = Some(Resources { cpu_cores: Some(1e300), ram_gb: Some(1e300), ..Resources::default() });
    put(&store, &ann(), 2, absurd).await;
    let found = store.queued(at(NOW), None, 9).await.unwrap();
    let expected = Candidate {
        task: id,
        attempt: 1,
        fence: Fence(0),
        backend: Some("big".to_owned()),
        claimed_on: None,
        cpu_milli: Some(1_500),
        ram_bytes: Some(2 << 30),
    };
    assert_eq!(found[0], expected);
    let too_much = u64::try_from(i64::MAX).unwrap();
    assert!(found[1].cpu_milli.unwrap() >= too_much && found[1].ram_bytes.unwrap() >= too_much);
    let fence = claim(&store, &found[0].task).await;
    let again = store.queued(at(LATER), None, 1).await.unwrap();
    assert_eq!(again[0].fence, fence);
}

pub(crate) async fn load_is_what_was_claimed(subject: &impl Subject) {
    let store = subject.fresh().await;
    assert!(store.load().await.unwrap().is_empty());
    let mut wanted = Vec::new();
    for (n, backend) in (0..).zip(["docker", "docker", "cluster", "huge", "huge"]) {
        let task = put(&store, &ann(), n, spec("n")).await;
        let amount = if backend == "huge" { u64::MAX } else { 100 };
        wanted.push(ClaimRequest { task, backend: backend.to_owned(), cpu_milli: amount, ram_bytes: amount });
    }
    put(&store, &ann(), 9, spec("waits")).await;
    let claimed = store.claim(&holder("a"), at(NOW), at(LATER), Ceiling::default(), &wanted).await.unwrap();
    let load = async |backend: &str| store.load().await.unwrap().into_iter().find(|load| load.backend == backend);
    let docker = |jobs| {
        let amount = jobs * 100;
        Some(Load { backend: "docker".to_owned(), jobs, cpu_milli: amount, ram_bytes: amount })
    };
    assert_eq!(load("docker").await, docker(2));
    assert_eq!(load("cluster").await.unwrap().jobs, 1);
    assert!(load("huge").await.unwrap().cpu_milli >= u64::try_from(i64::MAX).unwrap(), "sums do not wrap");
    let fence = Some(claimed[0].claim.fence);
    for (event, jobs) in
        [(submitted(1, &claimed[0].task), 2), (started(1), 2), (ended(1, crate::task::Verdict::Complete), 1)]
    {
        say(&store, &claimed[0].task, fence, event).await;
        assert_eq!(load("docker").await, docker(jobs));
    }
    let postponed = crate::task::Event::Postponed { attempt: 1, until: at(LATER), reason: String::new() };
    say(&store, &claimed[1].task, None, postponed).await;
    assert_eq!(load("docker").await, None);
}

pub(crate) async fn active_is_what_may_be_outside(subject: &impl Subject) {
    let store = subject.fresh().await;
    let mut expected = Vec::new();
    for (n, phase) in (0..).zip(PHASES) {
        let id = put(&store, &Owner(n.to_string()), n, spec("any")).await;
        bring(&store, &Owner(n.to_string()), &id, phase).await;
        if phase == Phase::Queued {
            claim(&store, &id).await;
        }
        if !phase.is_terminal() {
            expected.push((id, phase));
        }
    }
    put(&store, &ann(), 99, spec("waits")).await;
    let mut found: Vec<(TaskId, Phase)> = Vec::new();
    loop {
        let page = store.active(found.last().map(|(id, _)| id), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        for active in page {
            let claim = active.claim.expect("what is outside went through a claim");
            assert_eq!(claim.backend, "docker");
            found.push((active.task, active.state.phase()));
        }
    }
    assert_eq!(found, expected);
    let canceling = store.canceling(None, 9).await.unwrap();
    assert_eq!(canceling.iter().map(|a| a.state.phase()).collect::<Vec<_>>(), [Phase::Canceling]);
    assert!(store.canceling(Some(&canceling[0].task), 9).await.unwrap().is_empty());
}

pub(crate) async fn standing_whoever_owns_it(subject: &impl Subject) {
    let store = subject.fresh().await;
    let waiting = put(&store, &ann(), 1, spec("waits")).await;
    let running = put(&store, &Owner("bob".to_owned()), 2, spec("runs")).await;
    bring(&store, &Owner("bob".to_owned()), &running, Phase::Running).await;
    let complete = put(&store, &ann(), 3, spec("is over")).await;
    bring(&store, &ann(), &complete, Phase::Complete).await;
    let ids = [running.clone(), TaskId::new(at(9)), waiting.clone(), running, complete];
    let found = store.standing(&ids).await.unwrap();
    let told: Vec<_> = found.iter().map(|s| s.active().map(|a| (a.state.phase(), a.claim.is_some()))).collect();
    let expected = [
        Some((Phase::Running, true)),
        None,
        Some((Phase::Queued, false)),
        Some((Phase::Running, true)),
        Some((Phase::Complete, false)),
    ];
    assert_eq!(told, expected);
}

pub(crate) async fn check_says_yes(subject: &impl Subject) {
    let store = subject.fresh().await;
    assert_eq!(store.check().await, Ok(()));
    assert_eq!(store.check().await, Ok(()));
}

pub(crate) async fn the_queue_is_everybodys_and_told_to_owners(subject: &impl Subject) {
    let store = subject.fresh().await;
    let bob = Owner("bob".to_owned());
    let mut asking = spec("asking");
    asking.resources = Some(Resources {
        cpu_cores: Some(1.5),
        backend_parameters: Some([("backend".to_owned(), "big".to_owned())].into()),
        ..Resources::default()
    });
    let tasks = [
        put(&store, &ann(), 1, asking).await,
        put(&store, &bob, 2, spec("secret")).await,
        put(&store, &ann(), 3, spec("claimed")).await,
        put(&store, &ann(), 4, spec("postponed")).await,
    ];
    let running = put(&store, &ann(), 5, spec("runs")).await;
    bring(&store, &ann(), &running, Phase::Running).await;
    claim(&store, &tasks[2]).await;
    let until = at(LATER);
    let fence = Some(claim(&store, &tasks[3]).await);
    say(&store, &tasks[3], fence, crate::task::Event::Postponed { attempt: 1, until, reason: String::new() }).await;

    let first = store.queueing(&ann(), None, 3).await.unwrap().tasks;
    let rest = store.queueing(&ann(), Some(&first[2].task), 3).await.unwrap().tasks;
    let all: Vec<_> = first.into_iter().chain(rest).collect();
    assert_eq!(all.iter().map(|one| one.task.clone()).collect::<Vec<_>>(), tasks);
    assert_eq!((all[0].wanted.as_deref(), all[0].claimed_on.as_deref()), (Some("big"), None));
    assert_eq!(all[1].own, None, "another's");
    assert_eq!(all[2].claimed_on.as_deref(), Some("docker"));
    let own = all[0].own.as_ref().unwrap();
    assert_eq!((own.name.as_deref(), own.created, own.cpu_milli), (Some("asking"), at(1), Some(1_500)));
    let waits = &all[3].own.as_ref().unwrap().state;
    let until = Some(until);
    assert!(matches!(waits, crate::task::TaskState::Queued { not_before, .. } if *not_before == until), "{waits:?}");
}

pub(crate) async fn places_in_the_queue_are_counted(subject: &impl Subject) {
    let store = subject.fresh().await;
    let wanting = |backend: &str| {
        let mut spec = spec("n");
        let backend = Some([("backend".to_owned(), backend.to_owned())].into());
        spec.resources = Some(Resources { backend_parameters: backend, ..Resources::default() });
        spec
    };
    let mut tasks = Vec::new();
    for (n, spec) in (0..).zip([spec("a"), wanting("x"), spec("b"), wanting("y"), spec("claimed"), wanting("x")]) {
        tasks.push(put(&store, &Owner(n.to_string()), n, spec).await);
    }
    claim(&store, &tasks[4]).await;
    let fence = Some(claim(&store, &tasks[2]).await);
    let until = at(LATER);
    say(&store, &tasks[2], fence, crate::task::Event::Postponed { attempt: 1, until, reason: String::new() }).await;
    let ahead = async |tasks: &[_], backend, takes_unnamed| store.ahead(tasks, backend, takes_unnamed).await.unwrap();
    let last = &tasks[5..];
    assert_eq!(ahead(last, "x", true).await, [3], "a claimed one is not counted, a postponed one is");
    assert_eq!(ahead(last, "x", false).await, [1]);
    assert_eq!(ahead(last, "y", false).await, [1]);
    assert_eq!(ahead(last, "nobody's", false).await, [0]);
    assert_eq!(ahead(&tasks, "x", true).await, [0, 1, 2, 3, 3, 3]);
    let backwards: Vec<_> = tasks.iter().rev().cloned().collect();
    assert_eq!(ahead(&backwards, "x", true).await, [3, 3, 3, 2, 1, 0], "in any order");
    assert_eq!(ahead(&[], "x", true).await, [0; 0]);
}
