//! A cancel in each state (TES contract 14.4–14.7).

use super::Subject;
use super::samples::*;
use crate::store::{Recorded, Store};
use crate::task::{Event, Phase, TaskState, Verdict};

pub(crate) async fn rule_14_4_and_14_5_in_every_phase(subject: &impl Subject) {
    let store = subject.fresh().await;
    for (n, phase) in (0..).zip(PHASES) {
        for shown in [true, false] {
            let id = put(&store, &ann(), n * 2 + i64::from(shown), spec("unwanted")).await;
            bring(&store, &ann(), &id, phase).await;
            let answer = store.request_cancel(&ann(), &id, at(NOW + 9), shown).await.unwrap().unwrap();
            let expected = match phase {
                Phase::Queued => Recorded::Moved(Phase::Canceled),
                Phase::Initializing | Phase::Running | Phase::Paused | Phase::Preempted if shown => {
                    Recorded::Moved(Phase::Canceling)
                }
                Phase::Initializing | Phase::Running | Phase::Paused | Phase::Preempted => Recorded::Moved(phase),
                Phase::Canceling | Phase::Complete | Phase::ExecutorError | Phase::SystemError | Phase::Canceled => {
                    Recorded::Unchanged(phase)
                }
            };
            assert_eq!(answer, expected, "{phase:?}, shown: {shown}");
            let is_canceling = store.canceling(None, 99).await.unwrap().iter().any(|active| active.task == id);
            assert_eq!(is_canceling, phase != Phase::Queued && !phase.is_terminal());
            if is_canceling {
                assert_eq!(say(&store, &id, None, ended(1, Verdict::Complete)).await, Recorded::Moved(Phase::Canceled));
            }
        }
    }
    assert!(store.canceling(None, 99).await.unwrap().is_empty());
}

pub(crate) async fn twice(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    bring(&store, &ann(), &id, Phase::Canceling).await;
    let before = store.get(&ann(), &id).await.unwrap();
    let again = store.request_cancel(&ann(), &id, at(NOW + 9), false).await.unwrap();
    assert_eq!(again, Some(Recorded::Unchanged(Phase::Canceling)));
    assert_eq!(store.get(&ann(), &id).await.unwrap(), before);
}

/// The dispatcher holds it: its answer decides what there is to stop.
pub(crate) async fn rule_14_6_before_the_hand_over_is_known(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    let fence = Some(claim(&store, &id).await);
    let answer = store.request_cancel(&ann(), &id, at(NOW + 1), false).await.unwrap();
    assert_eq!(answer, Some(Recorded::Moved(Phase::Queued)));
    assert!(store.queued(at(LATER + 9), None, 9).await.unwrap().is_empty(), "it never starts again");
    assert_eq!(say(&store, &id, fence, submitted(1, &id)).await, Recorded::Moved(Phase::Queued));
    let [active] = &store.canceling(None, 9).await.unwrap()[..] else { panic!("it is being stopped") };
    assert_eq!(active.state.job(), Some(&job(&format!("{id}-1"))));
    let stopped = Event::Stopped { attempt: 1, result: Some(result(Verdict::Canceled, "stopped")) };
    assert_eq!(say(&store, &id, fence, stopped).await, Recorded::Moved(Phase::Canceled));
    assert_eq!(store.leftovers(9).await.unwrap().len(), 1);
    let task = store.get(&ann(), &id).await.unwrap().unwrap();
    assert_eq!(task.attempts[0].ended, Some(at(NOW + 5)));

    let id = put(&store, &ann(), 2, spec("two")).await;
    let fence = Some(claim(&store, &id).await);
    store.request_cancel(&ann(), &id, at(NOW + 1), true).await.unwrap();
    let postponed = Event::Postponed { attempt: 1, until: at(LATER), reason: "full".to_owned() };
    assert_eq!(say(&store, &id, fence, postponed).await, Recorded::Moved(Phase::Canceled));
    assert_eq!(store.leftovers(9).await.unwrap().len(), 1, "there was no job");
}

/// The dispatcher died: the task is found with its claim, and nobody can take it to start it.
pub(crate) async fn rule_14_6_while_a_claim_has_expired(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    let fence = claim(&store, &id).await;
    store.request_cancel(&ann(), &id, at(NOW + 1), true).await.unwrap();
    for found in [store.canceling(None, 9).await.unwrap(), store.active(None, 9).await.unwrap()] {
        let [active] = &found[..] else { panic!("it is found") };
        assert!(matches!(active.state, TaskState::Canceling { job: None, .. }));
        let claim = active.claim.as_ref().unwrap();
        assert_eq!((claim.fence, claim.backend.as_str(), claim.until), (fence, "docker", at(LATER)));
    }
    assert_eq!(try_claim(&store, "b", LATER + 9, &id).await, None);
    let stopped = Event::Stopped { attempt: 1, result: None };
    assert_eq!(say(&store, &id, Some(fence), stopped).await, Recorded::Moved(Phase::Canceled));
    assert_eq!(say(&store, &id, Some(fence), submitted(1, &id)).await, Recorded::Unchanged(Phase::Canceled));
}
