//! Cancels, at every moment of a task's life.

use std::collections::HashSet;
use std::time::Duration;

use tessera_contract::BackendError;
use tessera_contract::scripted::mischief::Gate;
use tessera_contract::scripted::{Mischief, Verb};

use super::stage::{Stage, doing};
use crate::engine::handover::hand_over;
use crate::engine::{cancel, dispatch, observe};
use crate::store::{Ceiling, ClaimRequest, Claimed, Recorded, Store};
use crate::task::{Phase, TaskId, TaskState};

fn unavailable() -> BackendError {
    BackendError::Unavailable("the engine is away".to_owned())
}

#[tokio::test]
async fn rule_14_6_cancelled_while_queued_it_never_starts() {
    let stage = Stage::new();
    let id = stage.create(doing(&["count", "ran"])).await;
    assert_eq!(stage.cancel(&id).await, Recorded::Moved(Phase::Canceled));
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Canceled);
    assert_eq!(stage.outside.calls(Verb::Submit), 0);
    assert_eq!(stage.outside.counted("ran").unwrap(), 0);
}

async fn claim(stage: &Stage, id: &TaskId) -> Vec<Claimed> {
    let (now, until) = (stage.clock.now(), stage.engine.claim_until(stage.clock.now()));
    let wanted = [ClaimRequest { task: id.clone(), backend: "scripted".to_owned(), cpu_milli: 1_000, ram_bytes: 0 }];
    stage.store.claim(stage.engine.roster.holder(), now, until, Ceiling::default(), &wanted).await.unwrap()
}

#[tokio::test]
async fn rule_14_6_cancelled_between_claim_and_submit_it_is_not_submitted() {
    let stage = Stage::new();
    let id = stage.create(doing(&["count", "ran"])).await;
    let claimed = claim(&stage, &id).await;
    assert_eq!(stage.cancel(&id).await, Recorded::Moved(Phase::Canceling));
    hand_over(&stage.engine, &stage.engine.sites[0], &claimed, &HashSet::new()).await.unwrap();
    assert_eq!(stage.phase(&id).await, Phase::Canceled);
    assert_eq!(stage.outside.calls(Verb::Submit), 0);
    assert_eq!(stage.outside.counted("ran").unwrap(), 0);
}

#[tokio::test]
async fn a_dispatcher_that_was_overtaken_hands_nothing_over() {
    let stage = Stage::new();
    let id = stage.create(doing(&["count", "ran"])).await;
    let late = claim(&stage, &id).await;
    stage.clock.advance(Duration::from_secs(120));
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Complete);
    hand_over(&stage.engine, &stage.engine.sites[0], &late, &HashSet::new()).await.unwrap();
    assert_eq!(stage.outside.calls(Verb::Submit), 1);
    assert_eq!(stage.outside.counted("ran").unwrap(), 1);
    stage.assert_clean().await;
}

#[tokio::test]
async fn nothing_is_submitted_on_a_claim_that_is_nearly_over() {
    let stage = Stage::new();
    let id = stage.create(doing(&["count", "ran"])).await;
    let claimed = claim(&stage, &id).await;
    stage.clock.advance(Duration::from_secs(40));
    hand_over(&stage.engine, &stage.engine.sites[0], &claimed, &HashSet::new()).await.unwrap();
    assert_eq!(stage.outside.calls(Verb::Submit), 0);
    // It waits unclaimed, so that a cancel needs no search.
    assert_eq!(stage.cancel(&id).await, Recorded::Moved(Phase::Canceled));
    let id = stage.create(doing(&["true"])).await;
    let claimed = claim(&stage, &id).await;
    stage.clock.advance(Duration::from_secs(40));
    hand_over(&stage.engine, &stage.engine.sites[0], &claimed, &HashSet::new()).await.unwrap();
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Complete);
    stage.assert_clean().await;
}

/// Its former dispatcher died after the submit: what is given back would be started once more, elsewhere.
#[tokio::test]
async fn a_claim_that_may_have_a_job_is_not_given_back() {
    let stage = Stage::new();
    let id = stage.create(doing(&["count", "ran"])).await;
    claim(&stage, &id).await;
    stage.clock.advance(Duration::from_secs(60));
    let again = claim(&stage, &id).await;
    stage.clock.advance(Duration::from_secs(40));
    let before = HashSet::from([id.clone()]);
    hand_over(&stage.engine, &stage.engine.sites[0], &again, &before).await.unwrap();
    assert_eq!(stage.store.queued(stage.clock.now(), None, 9).await.unwrap(), vec![]);
    // Nor is a cancel over before the job was searched for.
    assert_eq!(stage.cancel(&id).await, Recorded::Moved(Phase::Canceling));
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Canceling);
    stage.clock.advance(Duration::from_secs(60));
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Canceled);
}

#[tokio::test]
async fn a_lost_job_is_removed_before_its_cancel_is_over() {
    let stage = Stage::new();
    let id = stage.create(doing(&["hang"])).await;
    stage.settle().await;
    stage.cancel(&id).await;
    stage.outside.lose(stage.installation(), &Stage::job(&id, 1)).unwrap();
    stage.outside.next(Verb::Release, 1, Mischief::Fail(unavailable()));
    observe::tick(&stage.engine).await.unwrap();
    assert_eq!(stage.phase(&id).await, Phase::Canceling);
    observe::tick(&stage.engine).await.unwrap();
    assert_eq!(stage.phase(&id).await, Phase::Canceled);
    assert_eq!(stage.jobs(), vec![]);
}

#[tokio::test]
async fn cancelled_while_it_is_handed_over_it_is_stopped_at_once() {
    let stage = Stage::new();
    let id = stage.create(doing(&["hang"])).await;
    let gate = Gate::closed();
    stage.outside.next(Verb::Submit, 1, Mischief::DelayAnswer(gate.clone()));
    let engine = stage.engine.clone();
    let handing = tokio::spawn(async move { dispatch::tick(&engine).await });
    while stage.jobs().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.cancel(&id).await, Recorded::Moved(Phase::Canceling));
    // The dispatcher has not answered: whether something is outside is not known yet.
    cancel::tick(&stage.engine).await.unwrap();
    assert_eq!(stage.phase(&id).await, Phase::Canceling);
    gate.open();
    handing.await.unwrap().unwrap();
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Canceled);
    stage.assert_clean().await;
}

#[tokio::test]
async fn rule_14_6_cancelled_while_running_it_is_canceled_when_nothing_is_left() {
    let stage = Stage::new();
    let id = stage.create(doing(&["print", "kept", "stubborn-ms", "3000", "hang"])).await;
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Running);
    assert_eq!(stage.cancel(&id).await, Recorded::Moved(Phase::Canceling));
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Canceling);
    stage.pass(Duration::from_millis(2_500)).await;
    assert_eq!(stage.phase(&id).await, Phase::Canceling);
    stage.pass(Duration::from_millis(500)).await;
    let task = stage.task(&id).await;
    assert_eq!(task.state, TaskState::Canceled);
    assert_eq!(task.attempts[0].executors[0].stdout, "kept");
    // Asked at once and again after a while, not at every tick.
    let asked = stage.outside.calls(Verb::Cancel);
    assert!((1..=3).contains(&asked), "asked {asked} times");
    stage.assert_clean().await;
}

#[tokio::test]
async fn rule_14_5_cancelled_after_its_end_nothing_changes() {
    let stage = Stage::new();
    let id = stage.create(doing(&["true"])).await;
    stage.settle().await;
    assert_eq!(stage.cancel(&id).await, Recorded::Unchanged(Phase::Complete));
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Complete);
    assert_eq!(stage.outside.calls(Verb::Cancel), 0);
}

#[tokio::test]
async fn rule_14_4_a_cancel_wins_over_a_result_that_nobody_has_seen() {
    let stage = Stage::new();
    let id = stage.create(doing(&["print", "done"])).await;
    // The job is over before the cancel, and nobody has looked.
    dispatch::tick(&stage.engine).await.unwrap();
    stage.cancel(&id).await;
    observe::tick(&stage.engine).await.unwrap();
    let task = stage.task(&id).await;
    assert_eq!(task.state, TaskState::Canceled);
    assert_eq!(task.attempts[0].executors[0].stdout, "done");
    // It was removed before CANCELED was said.
    assert_eq!(stage.jobs(), vec![]);
    stage.assert_clean().await;
}

#[tokio::test]
async fn rule_14_6_canceled_is_not_said_while_a_finished_job_cannot_be_removed() {
    let stage = Stage::new();
    let id = stage.create(doing(&["true"])).await;
    dispatch::tick(&stage.engine).await.unwrap();
    stage.cancel(&id).await;
    stage.outside.next(Verb::Release, 2, Mischief::Fail(unavailable()));
    observe::tick(&stage.engine).await.unwrap();
    observe::tick(&stage.engine).await.unwrap();
    assert_eq!(stage.phase(&id).await, Phase::Canceling);
    observe::tick(&stage.engine).await.unwrap();
    assert_eq!(stage.phase(&id).await, Phase::Canceled);
    stage.assert_clean().await;
}

#[tokio::test]
async fn a_cancel_after_a_lost_answer_waits_until_it_is_known_what_is_outside() {
    let stage = Stage::new();
    let id = stage.create(doing(&["hang"])).await;
    stage.outside.next(Verb::Submit, 1, Mischief::LoseAnswer(unavailable()));
    stage.outside.always(Verb::Inventory, Mischief::Fail(unavailable()));
    dispatch::tick(&stage.engine).await.unwrap();
    assert_eq!(stage.jobs().len(), 1);
    stage.cancel(&id).await;
    stage.pass(Duration::from_secs(120)).await;
    assert_eq!(stage.phase(&id).await, Phase::Canceling);
    stage.outside.behave();
    stage.pass(Duration::from_secs(30)).await;
    assert_eq!(stage.phase(&id).await, Phase::Canceled);
    assert_eq!(stage.starts(&id, 1), 1);
    stage.assert_clean().await;
}
