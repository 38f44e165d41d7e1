//! Who goes first, and who waits.

use std::time::Duration;

use tessera_contract::Capacity;
use tessera_contract::scripted::Verb;

use super::stage::{Stage, doing, needing};
use crate::engine::explain::Walked;
use crate::engine::{Settings, dispatch};
use crate::store::{Ceiling, ClaimRequest, Store};
use crate::task::{Phase, TaskSpec};

fn with_capacity(capacity: Capacity) -> Stage {
    Stage::with(Settings::default(), move |scripted| vec![scripted.with_capacity(capacity)])
}

#[tokio::test]
async fn what_does_not_fit_is_passed_over() {
    let stage = with_capacity(Capacity { cpu_milli: Some(4_000), ..Capacity::default() });
    let running = stage.create(needing(2.0, &["hang"])).await;
    stage.settle().await;
    let large = stage.create(needing(4.0, &["true"])).await;
    let small = stage.create(needing(1.0, &["true"])).await;
    stage.settle().await;
    assert_eq!(stage.phase(&large).await, Phase::Queued);
    assert_eq!(stage.phase(&small).await, Phase::Complete);
    stage.pass(Duration::from_secs(2)).await;
    assert_eq!(
        stage.last_line(&large).await,
        "waiting for room on backend `scripted`: the task needs 4 cores of 4, 2 free; no task is ahead of it"
    );
    stage.cancel(&running).await;
    stage.settle().await;
    assert_eq!(stage.phase(&large).await, Phase::Complete);
    stage.assert_clean().await;
}

#[tokio::test]
async fn a_wall_of_large_tasks_is_no_wall() {
    let settings = Settings { scan: 4, ..Settings::default() };
    let capacity = Capacity { cpu_milli: Some(2_000), ..Capacity::default() };
    let stage = Stage::with(settings, move |scripted| vec![scripted.with_capacity(capacity)]);
    stage.create(needing(1.0, &["hang"])).await;
    stage.settle().await;
    for _ in 0..100 {
        stage.create(needing(2.0, &["true"])).await;
        stage.clock.advance(Duration::from_millis(1));
    }
    let small = stage.create(needing(1.0, &["true"])).await;
    stage.pass(Duration::from_secs(60)).await;
    assert_eq!(stage.phase(&small).await, Phase::Complete);
}

#[tokio::test]
async fn a_waiting_task_is_told_so_a_few_times_and_not_at_once() {
    let stage = with_capacity(Capacity { jobs: Some(1), ..Capacity::default() });
    stage.create(doing(&["hang"])).await;
    stage.settle().await;
    let waiting = stage.create(doing(&["true"])).await;
    stage.settle().await;
    assert_eq!(stage.log(&waiting).await, Vec::<String>::new());
    stage.pass(Duration::from_secs(600)).await;
    let log = stage.log(&waiting).await;
    assert!((2..=4).contains(&log.len()), "{log:?}");
    assert!(
        log.iter().all(|line| line.ends_with("the task needs one of 1 places, 0 free; no task is ahead of it")),
        "{log:?}"
    );
}

#[tokio::test]
async fn no_more_jobs_are_outside_than_there_is_room_for() {
    let capacity = Capacity { jobs: Some(3), cpu_milli: Some(2_500), ..Capacity::default() };
    let stage = with_capacity(capacity);
    let mut tasks = Vec::new();
    for _ in 0..7 {
        tasks.push(stage.create(doing(&["run-ms", "1000"])).await);
    }
    for _ in 0..20 {
        stage.settle().await;
        let working = stage.jobs().len();
        assert!(working <= 2, "{working} jobs of a core each on 2.5 cores");
        stage.clock.advance(Duration::from_millis(500));
    }
    for id in tasks {
        assert_eq!(stage.phase(&id).await, Phase::Complete);
    }
}

#[tokio::test]
async fn a_task_that_asks_for_nothing_special_is_never_ended_for_its_size() {
    let stage = with_capacity(Capacity { cpu_milli: Some(250), ram_bytes: Some(1), jobs: Some(1) });
    let id = stage.create(TaskSpec { ..doing(&["true"]) }).await;
    assert_eq!(stage.until_ended(&id).await, Phase::Complete);
}

#[tokio::test]
async fn expired_claims_behind_a_wall_are_handed_over_again_and_counted_once() {
    let mut stage = with_capacity(Capacity { cpu_milli: Some(4_000), ..Capacity::default() });
    for _ in 0..600 {
        stage.create(needing(2.0, &["true"])).await;
    }
    stage.clock.advance(Duration::from_millis(5));
    let mut wanted = Vec::new();
    for _ in 0..4 {
        let task = stage.create(needing(1.0, &["hang"])).await;
        wanted.push(ClaimRequest { task, backend: "scripted".to_owned(), cpu_milli: 1_000, ram_bytes: 0 });
    }
    // The server dies before it hands them over.
    let (now, until) = (stage.clock.now(), stage.engine.claim_until(stage.clock.now()));
    assert_eq!(
        stage.store.claim(stage.engine.roster.holder(), now, until, Ceiling::default(), &wanted).await.unwrap().len(),
        4
    );
    stage.restart();
    stage.clock.advance(Duration::from_secs(120));
    stage.settle().await;
    for one in &wanted {
        assert_eq!(stage.phase(&one.task).await, Phase::Running);
    }
    assert_eq!(stage.outside.calls(Verb::Submit), 4);
}

#[tokio::test]
async fn an_expired_claim_leaves_the_room_beside_it_free() {
    let mut stage = with_capacity(Capacity { cpu_milli: Some(2_000), ..Capacity::default() });
    let task = stage.create(needing(1.0, &["hang"])).await;
    let wanted = [ClaimRequest { task, backend: "scripted".to_owned(), cpu_milli: 1_000, ram_bytes: 0 }];
    let (now, until) = (stage.clock.now(), stage.engine.claim_until(stage.clock.now()));
    stage.store.claim(stage.engine.roster.holder(), now, until, Ceiling::default(), &wanted).await.unwrap();
    stage.restart();
    stage.clock.advance(Duration::from_secs(120));
    let beside = stage.create(needing(1.0, &["hang"])).await;
    dispatch::tick(&stage.engine).await.unwrap();
    assert_eq!(stage.phase(&wanted[0].task).await, Phase::Initializing);
    assert_eq!(stage.phase(&beside).await, Phase::Initializing);
}

#[tokio::test]
async fn who_cannot_be_told_is_told_later_and_holds_nobody_up() {
    let stage = with_capacity(Capacity { cpu_milli: Some(4_000), ..Capacity::default() });
    stage.create(needing(2.0, &["hang"])).await;
    stage.settle().await;
    let large = stage.create(needing(4.0, &["true"])).await;
    stage.settle().await;
    stage.clock.advance(Duration::from_secs(2));
    let full = "CREATE TRIGGER full BEFORE INSERT ON events WHEN NEW.body LIKE '%waiting for room%'
                BEGIN SELECT RAISE(ABORT, 'full'); END";
    stage.store.interfere(full).await;
    let small = stage.create(needing(1.0, &["true"])).await;
    dispatch::tick(&stage.engine).await.unwrap();
    assert_ne!(stage.phase(&small).await, Phase::Queued, "handed over in the same tick");
    assert_eq!(stage.log(&large).await, Vec::<String>::new());

    stage.store.interfere("DROP TRIGGER full").await;
    dispatch::tick(&stage.engine).await.unwrap();
    assert!(stage.last_line(&large).await.starts_with("waiting for room"));
}

#[tokio::test]
async fn the_queue_is_told_in_the_time_there_is() {
    let stage = Stage::new();
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(stage.create(doing(&["true"])).await);
        stage.clock.advance(Duration::from_millis(1));
    }
    let ask = async |from, millis| {
        let time = Duration::from_millis(millis);
        stage.engine.queue(&Stage::owner(), None, from, 10, time).await.unwrap()
    };
    // Somebody else walks, and does not come to an end.
    let walking = stage.engine.walks.piece().await;
    let page = ask(Walked::default(), 10).await;
    assert_eq!((page.waiters.len(), &page.next), (0, &Some(Walked::default())), "empty, and not the last");
    walking.took(Duration::ZERO);
    let page = ask(page.next.unwrap(), 60_000).await;
    assert_eq!(page.waiters.iter().map(|waiter| waiter.id.clone()).collect::<Vec<_>>(), tasks);
    assert_eq!(page.next, None);
}
