//! From the queue to the end, when nothing goes wrong.

use std::time::Duration;

use tessera_contract::scripted::Verb;

use super::stage::{Stage, doing, staging};
use crate::engine::{dispatch, observe, sweep};
use crate::task::{Phase, TaskState};

#[tokio::test]
async fn rule_14_3_a_short_task_is_two_events_and_complete_and_15_7_its_backend_told() {
    let stage = Stage::new();
    let id = stage.create(doing(&["print", "hello"])).await;
    stage.settle().await;
    let task = stage.task(&id).await;
    assert_eq!(task.state, TaskState::Complete);
    let [attempt] = task.attempts.as_slice() else { panic!("one attempt") };
    assert_eq!(attempt.executors[0].stdout, "hello");
    assert_eq!(attempt.executors[0].exit_code, 0);
    assert_eq!(attempt.metadata["backend"], "scripted");
    // Handed over, complete: two events, two lines.
    assert_eq!(attempt.log.len(), 2, "{:?}", attempt.log);
    stage.assert_clean().await;
}

#[tokio::test]
async fn rule_15_2_and_15_3_a_task_of_two_steps_is_told_as_it_goes_on() {
    let stage = Stage::new();
    let mut spec = staging("scripted:stage-ms/1000", &["run-ms", "1000", "print", "one"]);
    spec.executors.push(doing(&["run-ms", "1000", "note", "nearly done"]).executors.remove(0));
    let id = stage.create(spec).await;
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Initializing);
    stage.pass(Duration::from_secs(1)).await;
    let running = stage.task(&id).await;
    assert_eq!(running.state.phase(), Phase::Running);
    assert!(running.attempts[0].started.is_some());
    assert_eq!(running.attempts[0].executors, []);
    stage.pass(Duration::from_secs(1)).await;
    assert_eq!(stage.task(&id).await.attempts[0].executors[0].stdout, "one");
    stage.pass(Duration::from_secs(1)).await;
    let task = stage.task(&id).await;
    assert_eq!(task.state, TaskState::Complete);
    assert_eq!(task.attempts[0].executors.len(), 2);
    let notes = task.attempts[0].log.iter().filter(|line| line.text == "nearly done").count();
    assert_eq!(notes, 1);
    stage.assert_clean().await;
}

#[tokio::test]
async fn rule_10_1_nothing_is_released_before_the_report_is_recorded() {
    let stage = Stage::new();
    let id = stage.create(doing(&["true"])).await;
    dispatch::tick(&stage.engine).await.unwrap();
    // The job is over, and nobody has heard of it: who sweeps leaves it alone.
    for _ in 0..3 {
        stage.clock.advance(Duration::from_secs(60));
        sweep::tick(&stage.engine).await.unwrap();
    }
    assert!(!stage.phase(&id).await.is_terminal());
    let calls = [Verb::Cancel, Verb::Release].map(|verb| stage.outside.calls(verb));
    assert_eq!((calls, stage.jobs().len()), ([0, 0], 1));
    // Heard of, and not yet put away.
    observe::tick(&stage.engine).await.unwrap();
    assert_eq!((stage.phase(&id).await, stage.jobs().len()), (Phase::Complete, 1));
    stage.assert_clean().await;
    assert!(stage.outside.calls(Verb::Release) > 0);
}

/// Pulsar takes QUEUED for a failure.
#[tokio::test]
async fn rule_14_9_it_leaves_the_queue_when_it_is_handed_over() {
    let stage = Stage::new();
    let id = stage.create(staging("scripted:stage-ms/60000", &["true"])).await;
    assert_eq!(stage.phase(&id).await, Phase::Queued);
    // Nobody has looked at the job yet.
    dispatch::tick(&stage.engine).await.unwrap();
    assert_eq!(stage.phase(&id).await, Phase::Initializing);
}

#[tokio::test]
async fn looking_again_changes_nothing() {
    let stage = Stage::new();
    let id = stage.create(doing(&["note", "begun", "hang"])).await;
    stage.settle().await;
    let before = stage.task(&id).await;
    for _ in 0..10 {
        stage.tick().await;
    }
    assert_eq!(stage.task(&id).await, before);
}

#[tokio::test]
async fn wishes_that_nobody_honours_are_noted_and_the_task_runs() {
    let stage = Stage::new();
    let mut spec = doing(&["true"]);
    spec.resources = Some(crate::task::spec::Resources {
        zones: Some(vec!["eu".to_owned()]),
        preemptible: Some(true),
        ..Default::default()
    });
    let id = stage.create(spec).await;
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Complete);
    let log = stage.log(&id).await;
    assert!(log.contains(&"backend `scripted` has no zones; `zones` is ignored".to_owned()), "{log:?}");
}

#[tokio::test]
async fn a_held_job_is_shown_as_paused() {
    let stage = Stage::new();
    let id = stage.create(doing(&["run-ms", "2000"])).await;
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Running);
    stage.outside.pause(stage.installation(), &Stage::job(&id, 1)).unwrap();
    stage.pass(Duration::from_secs(10)).await;
    assert_eq!(stage.phase(&id).await, Phase::Paused);
    stage.outside.resume(stage.installation(), &Stage::job(&id, 1)).unwrap();
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Running);
    stage.pass(Duration::from_secs(2)).await;
    assert_eq!(stage.phase(&id).await, Phase::Complete);
}
