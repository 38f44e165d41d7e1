//! Backends that fail, hang, forget what they said, or say it twice.

use std::sync::Arc;
use std::time::Duration;

use tessera_contract::scripted::mischief::Gate;
use tessera_contract::scripted::{Mischief, Scripted, Verb};
use tessera_contract::{Backend, BackendError};

use super::stage::{Stage, doing, with_parameter};
use crate::engine::observe;
use crate::store::{Recorded, Store};
use crate::task::Phase;

fn unavailable() -> BackendError {
    BackendError::Unavailable("the engine is away".to_owned())
}

#[tokio::test]
async fn a_lost_answer_to_submit_starts_nothing_twice() {
    let stage = Stage::new();
    let id = stage.create(doing(&["count", "ran"])).await;
    stage.outside.next(Verb::Submit, 1, Mischief::LoseAnswer(unavailable()));
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Complete);
    assert_eq!(stage.outside.counted("ran").unwrap(), 1);
    assert_eq!(stage.outside.calls(Verb::Submit), 1);
    stage.assert_clean().await;
}

#[tokio::test]
async fn calls_made_twice_are_made_once() {
    let stage = Stage::new();
    for verb in Verb::ALL {
        stage.outside.always(verb, Mischief::Twice);
    }
    let id = stage.create(doing(&["count", "ran"])).await;
    let hanging = stage.create(doing(&["hang"])).await;
    stage.settle().await;
    stage.cancel(&hanging).await;
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Complete);
    assert_eq!(stage.phase(&hanging).await, Phase::Canceled);
    assert_eq!(stage.outside.counted("ran").unwrap(), 1);
    stage.assert_clean().await;
}

#[tokio::test]
async fn a_backend_that_is_away_is_waited_for_and_its_tasks_can_be_cancelled() {
    let stage = Stage::new();
    for verb in Verb::ALL {
        stage.outside.always(verb, Mischief::Fail(unavailable()));
    }
    let first = stage.create(doing(&["true"])).await;
    stage.settle().await;
    let second = stage.create(doing(&["true"])).await;
    let unwanted = stage.create(doing(&["true"])).await;
    stage.pass(Duration::from_secs(300)).await;
    assert_eq!(stage.phase(&first).await, Phase::Queued);
    assert!(
        stage.log(&second).await[0].starts_with("waiting for backend `scripted`"),
        "{:?}",
        stage.log(&second).await
    );
    let log = stage.log(&first).await;
    assert!(log.len() <= 8, "{log:?}");
    // Nobody holds it, so it is cancelled at once.
    assert_eq!(stage.cancel(&unwanted).await, Recorded::Moved(Phase::Canceled));
    assert_eq!(stage.engine.troubles().len(), 1);
    // It was left alone: a call now and then.
    assert!(stage.outside.calls(Verb::Inventory) < 200, "{}", stage.outside.calls(Verb::Inventory));
    stage.outside.behave();
    stage.pass(Duration::from_secs(70)).await;
    assert_eq!(stage.phase(&first).await, Phase::Complete);
    assert_eq!(stage.phase(&second).await, Phase::Complete);
    assert_eq!(stage.engine.troubles(), vec![]);
    stage.assert_clean().await;
}

#[tokio::test]
async fn a_backend_that_takes_no_jobs_is_tried_with_one_and_soon_taken_up_again() {
    let stage = Stage::new();
    stage.outside.always(Verb::Submit, Mischief::Fail(unavailable()));
    let mut tasks = Vec::new();
    for _ in 0..200 {
        tasks.push(stage.create(doing(&["true"])).await);
    }
    stage.settle().await;
    stage.pass(Duration::from_secs(120)).await;
    // The first wave, and then one at a time.
    let tried = stage.outside.calls(Verb::Submit);
    assert!((65..120).contains(&tried), "submit was called {tried} times");
    stage.outside.behave();
    stage.pass(Duration::from_secs(21)).await;
    for id in &tasks {
        assert_eq!(stage.phase(id).await, Phase::Complete);
    }
    stage.assert_clean().await;
}

#[tokio::test]
async fn a_call_that_hangs_is_given_up_and_says_nothing() {
    let stage = Stage::new();
    let id = stage.create(doing(&["run-ms", "5000"])).await;
    stage.settle().await;
    stage.outside.next(Verb::Observe, 1, Mischief::Delay(Gate::closed()));
    let engine = stage.engine.clone();
    let looking = tokio::spawn(async move { observe::tick(&engine).await });
    while stage.outside.calls(Verb::Observe) == 0 || !looking.is_finished() {
        stage.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.phase(&id).await, Phase::Running);
    stage.settle().await;
    stage.pass(Duration::from_secs(15)).await;
    assert_eq!(stage.phase(&id).await, Phase::Complete);
}

#[tokio::test]
async fn one_backends_trouble_is_not_the_others() {
    let world = Stage::new();
    let elsewhere = tessera_contract::scripted::Outside::in_memory_at({
        let clock = world.clock.clone();
        move || clock.now()
    });
    let slow = Scripted::new(elsewhere.clone(), world.store.installation().clone()).named("slow");
    let mut stage = world;
    let both: Vec<Arc<dyn Backend>> = vec![stage.backends()[0].clone(), Arc::new(slow)];
    stage.restart_with(both);
    for verb in Verb::ALL {
        elsewhere.always(verb, Mischief::Delay(Gate::closed()));
    }
    let stuck = stage.create(with_parameter("backend", "slow", &["true"])).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let engine = stage.engine.clone();
    let running = tokio::spawn(async move {
        engine
            .run(async {
                let _ = stopped.await;
            })
            .await;
    });
    while elsewhere.calls(Verb::Submit) == 0 {
        tokio::task::yield_now().await;
    }
    // The clock does not move: the slow backend's call hangs all the while.
    let quick = stage.create(doing(&["true"])).await;
    let unwanted = stage.create(doing(&["hang"])).await;
    stage.engine.wake_dispatch();
    while !stage.phase(&quick).await.is_terminal() || stage.phase(&unwanted).await != Phase::Running {
        tokio::task::yield_now().await;
    }
    stage.cancel(&unwanted).await;
    stage.engine.wake_cancel();
    while stage.phase(&unwanted).await != Phase::Canceled {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.phase(&quick).await, Phase::Complete);
    assert_eq!(stage.phase(&stuck).await, Phase::Queued);
    let _ = stop.send(());
    elsewhere.behave();
    running.abort();
}

#[tokio::test]
async fn a_backend_that_only_tells_of_its_jobs_is_not_well() {
    let stage = Stage::new();
    stage.create(doing(&["hang"])).await;
    stage.settle().await;
    for verb in [Verb::Submit, Verb::Inventory] {
        stage.outside.always(verb, Mischief::Fail(unavailable()));
    }
    stage.create(doing(&["true"])).await;
    stage.settle().await;
    let before = stage.outside.calls(Verb::Observe);
    observe::tick(&stage.engine).await.unwrap();
    assert_eq!(stage.outside.calls(Verb::Observe), before + 1);
    assert_eq!(stage.engine.troubles().len(), 1);
    stage.outside.behave();
    stage.pass(Duration::from_secs(120)).await;
    assert_eq!(stage.engine.troubles().len(), 0);
}

/// Clients would ask about a PREEMPTED task for ever.
#[tokio::test]
async fn rule_14_8_a_preempted_task_is_tried_again_and_ends_when_the_attempts_are_spent() {
    let stage = Stage::new();
    let id = stage.create(doing(&["hang"])).await;
    for attempt in 1..=stage.settings.attempts {
        stage.pass(Duration::from_secs(30)).await;
        assert_eq!(stage.phase(&id).await, Phase::Running, "attempt {attempt}: {:?}", stage.log(&id).await);
        stage.outside.preempt(stage.installation(), &Stage::job(&id, attempt)).unwrap();
        stage.settle().await;
        let expected = if attempt < stage.settings.attempts { Phase::Queued } else { Phase::SystemError };
        assert_eq!(stage.phase(&id).await, expected, "attempt {attempt}");
    }
    let line = stage.last_line(&id).await;
    assert!(line.contains("preempted") && line.contains("given up after 3 attempts"), "{line}");
    assert_eq!(stage.task(&id).await.attempts.len(), 3);
    stage.assert_clean().await;
}
