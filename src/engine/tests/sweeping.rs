//! What is left behind, and by whom.

use std::time::Duration;

use tessera_contract::BackendError;
use tessera_contract::scripted::{Mischief, Verb};

use super::stage::{Stage, doing, with_parameter};
use crate::engine::{Settings, dispatch, observe, sweep};
use crate::store::Store;
use crate::task::Phase;

fn unavailable() -> BackendError {
    BackendError::Unavailable("the engine is away".to_owned())
}

#[tokio::test]
async fn what_leaves_something_behind_is_swept_later() {
    let stage = Stage::new();
    stage.outside.next(Verb::Release, 3, Mischief::Fail(unavailable()));
    let id = stage.create(doing(&["true"])).await;
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Complete);
    assert_eq!(stage.jobs().len(), 1);
    stage.assert_clean().await;
}

#[tokio::test]
async fn jobs_that_no_task_knows_are_stopped_and_removed() {
    let stage = Stage::new();
    let id = stage.create(doing(&["hang"])).await;
    stage.settle().await;
    // A job of a task that is not in this store: put back from an older copy, say.
    let other = Stage::new();
    let strange = other.create(doing(&["hang"])).await;
    dispatch::tick(&other.engine).await.unwrap();
    let claimed = stage.task(&id).await;
    let job = tessera_contract::Job {
        id: Stage::job(&strange, 1),
        owner: "x".to_owned(),
        plan: tessera_runtime::plan::Plan {
            version: 1,
            job: Stage::job(&strange, 1).to_string(),
            inputs: vec![],
            executors: vec![tessera_runtime::plan::Executor {
                image: "x".to_owned(),
                command: vec!["hang".to_owned()],
                workdir: None,
                env: Default::default(),
                stdin: None,
                stdout: None,
                stderr: None,
                ignore_error: false,
            }],
            outputs: vec![],
            volumes: vec![],
            limits: Default::default(),
            policy: Default::default(),
            storage: Default::default(),
        },
        preemptible: false,
        zones: vec![],
        parameters: Default::default(),
    };
    stage.backends()[0].submit(&job).await.unwrap();
    assert_eq!(stage.jobs().len(), 2);
    // It is stopped before it is looked at: a look may start again what has died.
    stage.outside.next(Verb::Observe, 1, Mischief::Fail(unavailable()));
    stage.clock.advance(Duration::from_secs(60));
    sweep::tick(&stage.engine).await.unwrap();
    assert_eq!(stage.outside.calls(Verb::Cancel), 1);
    stage.pass(Duration::from_secs(120)).await;
    assert_eq!(stage.jobs(), vec![Stage::job(&id, 1)]);
    assert_eq!(stage.task(&id).await.state, claimed.state);
    assert_eq!(stage.outside.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_backend_that_left_the_configuration_ends_its_tasks_and_is_cleaned_when_it_returns() {
    let mut stage =
        Stage::with(Settings::default(), |scripted| vec![scripted.clone().named("main"), scripted.named("gone")]);
    let lost = stage.create(with_parameter("backend", "gone", &["hang"])).await;
    let kept = stage.create(doing(&["hang"])).await;
    stage.settle().await;
    assert_eq!(stage.phase(&lost).await, Phase::Running);
    let all = stage.backends();
    // The two speak for one world, so a sweep by the one that stays would find the other's job: none happens here.
    stage.restart_with(vec![all[0].clone()]);
    crate::engine::absent::tick(&stage.engine).await.unwrap();
    assert_eq!(stage.phase(&lost).await, Phase::SystemError);
    let line = stage.last_line(&lost).await;
    assert!(line.starts_with("backend `gone` is not configured any more"), "{line}");
    assert_eq!(stage.phase(&kept).await, Phase::Running);
    assert_eq!(stage.store.leftovers(10).await.unwrap().len(), 1);
    stage.restart_with(all);
    stage.cancel(&kept).await;
    stage.assert_clean().await;
}

#[tokio::test]
async fn leftovers_of_an_absent_backend_are_no_wall() {
    let mut stage =
        Stage::with(Settings::default(), |scripted| vec![scripted.clone().named("main"), scripted.named("gone")]);
    for _ in 0..600 {
        stage.create(with_parameter("backend", "gone", &["true"])).await;
    }
    for _ in 0..6 {
        dispatch::tick(&stage.engine).await.unwrap();
        observe::tick(&stage.engine).await.unwrap();
    }
    assert_eq!(stage.store.leftovers(1_000).await.unwrap().len(), 600);
    stage.restart_with(vec![stage.backends()[0].clone()]);
    stage.clock.advance(Duration::from_millis(5));
    let id = stage.create(doing(&["true"])).await;
    dispatch::tick(&stage.engine).await.unwrap();
    observe::tick(&stage.engine).await.unwrap();
    assert_eq!(stage.phase(&id).await, Phase::Complete);
    assert_eq!(stage.store.leftovers(1_000).await.unwrap().len(), 601);
    // The other's jobs are orphans to the one that stays, since both speak for one world; only the rows count here.
    sweep::tick(&stage.engine).await.unwrap();
    let left = stage.store.leftovers(1_000).await.unwrap();
    assert!(left.iter().all(|leftover| leftover.job.backend == "gone"), "a leftover of `main` is still there");
}
