//! What becomes of events.

use futures::future::join_all;

use super::Subject;
use super::samples::*;
use crate::store::{Fence, Leftover, Record, Recorded, Store};
use crate::task::{Event, LogLine, Phase, Refusal, Seen, TaskId, TaskState, Verdict};

pub(crate) async fn the_life_of_a_task(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    let fence = Some(claim(&store, &id).await);
    let advanced = Event::Advanced {
        attempt: 1,
        started: Some(at(NOW + 1)),
        executors: vec![executor(0)],
        notes: vec![LogLine { at: at(NOW + 1), text: "fetched one file".to_owned() }],
        seen: Seen { executors: 1, notes: 1 },
    };
    for (event, phase) in [
        (submitted(1, &id), Phase::Initializing),
        (advanced, Phase::Running),
        (ended(1, Verdict::Complete), Phase::Complete),
    ] {
        assert_eq!(say(&store, &id, fence, event).await, Recorded::Moved(phase));
        assert_eq!(store.summary(&ann(), &id).await.unwrap().unwrap().phase, phase);
    }
    let task = store.get(&ann(), &id).await.unwrap().unwrap();
    assert_eq!(task.state, TaskState::Complete);
    let [attempt] = &task.attempts[..] else { panic!("one attempt") };
    assert_eq!((attempt.started, attempt.ended), (Some(at(NOW)), Some(at(NOW + 5))));
    assert_eq!(attempt.executors, [executor(0)], "told twice, listed once");
    let log: Vec<&str> = attempt.log.iter().map(|line| line.text.as_str()).collect();
    let handed = format!("handed to backend `docker` as job `{id}-1`");
    assert_eq!(log, [handed.as_str(), "fetched one file", "the end", "complete"]);
}

pub(crate) async fn rule_14_2_an_older_claim_is_fenced(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    let old = claim(&store, &id).await;
    let new = try_claim(&store, "b", LATER, &id).await.unwrap().claim.fence;
    let before = store.get(&ann(), &id).await.unwrap();
    for event in [submitted(1, &id), retried(1), ended(1, Verdict::SystemError)] {
        assert_eq!(say(&store, &id, Some(old), event).await, Recorded::Fenced);
    }
    assert_eq!(store.get(&ann(), &id).await.unwrap(), before);
    assert_eq!(say(&store, &id, Some(new), submitted(1, &id)).await, Recorded::Moved(Phase::Initializing));
    assert_eq!(say(&store, &id, Some(old), ended(1, Verdict::Complete)).await, Recorded::Fenced);
    assert_eq!(say(&store, &id, None, started(1)).await, Recorded::Moved(Phase::Running), "what needs no claim");
}

pub(crate) async fn repeats_change_nothing(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    let fence = Some(claim(&store, &id).await);
    for event in [submitted(1, &id), started(1), ended(1, Verdict::ExecutorError)] {
        assert!(matches!(say(&store, &id, fence, event.clone()).await, Recorded::Moved(_)));
        let before = store.get(&ann(), &id).await.unwrap();
        assert!(matches!(say(&store, &id, fence, event).await, Recorded::Unchanged(_)));
        assert_eq!(store.get(&ann(), &id).await.unwrap(), before);
    }
    // Twice in one call: the second sees what the first did.
    let id = put(&store, &ann(), 2, spec("two")).await;
    let fence = Some(claim(&store, &id).await);
    let record = Record { task: id.clone(), fence, at: at(NOW), event: submitted(1, &id) };
    let answers = store.record(vec![record.clone(), record]).await.unwrap();
    assert_eq!(answers, [Recorded::Moved(Phase::Initializing), Recorded::Unchanged(Phase::Initializing)]);
}

pub(crate) async fn rule_14_1_and_14_2_late_words_change_nothing(subject: &impl Subject) {
    let store = subject.fresh().await;
    for (n, phase) in (0..).zip(PHASES) {
        let id = put(&store, &ann(), n, spec("late")).await;
        bring(&store, &ann(), &id, phase).await;
        if !phase.is_terminal() {
            continue;
        }
        let before = store.get(&ann(), &id).await.unwrap();
        for event in [submitted(1, &id), started(1), ended(1, Verdict::Complete), retried(1)] {
            assert_eq!(say(&store, &id, None, event).await, Recorded::Unchanged(phase));
        }
        assert_eq!(store.get(&ann(), &id).await.unwrap(), before);
    }
}

pub(crate) async fn rule_14_2_nonsense_is_refused_and_spares_its_neighbours(subject: &impl Subject) {
    let store = subject.fresh().await;
    let (a, b) = (put(&store, &ann(), 1, spec("a")).await, put(&store, &ann(), 2, spec("b")).await);
    let fence = Some(claim(&store, &a).await);
    let record = |task: &TaskId, fence, event| Record { task: task.clone(), fence, at: at(NOW), event };
    let records = vec![
        record(&b, None, Event::Stopped { attempt: 1, result: None }),
        record(&TaskId::new(at(9)), None, started(1)),
        record(&a, Some(Fence(0)), submitted(1, &a)),
        record(&a, fence, submitted(1, &a)),
        record(&a, fence, started(2)),
    ];
    let answers = store.record(records).await.unwrap();
    let expected = [
        Recorded::Refused(Refusal::NotCanceling),
        Recorded::Unknown,
        Recorded::Fenced,
        Recorded::Moved(Phase::Initializing),
        Recorded::Refused(Refusal::FutureAttempt),
    ];
    assert_eq!(answers, expected);
    assert_eq!(store.get(&ann(), &b).await.unwrap().unwrap().attempts[0].log, []);
}

pub(crate) async fn nobody_is_unknown(subject: &impl Subject) {
    let store = subject.fresh().await;
    let nobody = TaskId::new(at(1));
    assert_eq!(say(&store, &nobody, None, started(1)).await, Recorded::Unknown);
    assert_eq!(store.request_cancel(&ann(), &nobody, at(NOW), true).await.unwrap(), None);
    assert_eq!(store.get(&ann(), &nobody).await.unwrap(), None);
    assert_eq!(store.summary(&ann(), &nobody).await.unwrap(), None);
    assert_eq!(store.record(vec![]).await.unwrap(), []);
}

pub(crate) async fn sentences_are_kept_until_the_end(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    let note = |text: &str| Event::Noted { attempt: 1, text: text.to_owned() };
    assert_eq!(say(&store, &id, None, note("waits for room")).await, Recorded::Unchanged(Phase::Queued));
    assert_eq!(say(&store, &id, None, note("still waits")).await, Recorded::Unchanged(Phase::Queued));
    bring(&store, &ann(), &id, Phase::ExecutorError).await;
    assert_eq!(say(&store, &id, None, note("too late")).await, Recorded::Unchanged(Phase::ExecutorError));
    let task = store.get(&ann(), &id).await.unwrap().unwrap();
    let log: Vec<&str> = task.attempts[0].log.iter().map(|line| line.text.as_str()).collect();
    assert_eq!((log[0], log[1], log[log.len() - 1]), ("waits for room", "still waits", "the end"));
}

pub(crate) async fn rule_15_1_a_retry_is_a_new_attempt(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    bring(&store, &ann(), &id, Phase::Running).await;
    assert_eq!(say(&store, &id, None, retried(1)).await, Recorded::Moved(Phase::Queued));
    assert_eq!(store.queued(at(NOW), None, 9).await.unwrap()[0].attempt, 2);
    assert!(store.active(None, 9).await.unwrap().is_empty());
    assert!(store.load().await.unwrap().is_empty());
    assert_eq!(try_claim(&store, "b", NOW, &id).await.unwrap().attempt, 2);
    let task = store.get(&ann(), &id).await.unwrap().unwrap();
    assert_eq!(task.attempts.iter().map(|a| a.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(task.attempts[0].log.last().unwrap().text, "the node was lost");
    assert_eq!(task.attempts[0].executors, [executor(0)]);
}

pub(crate) async fn what_is_over_leaves_something_behind(subject: &impl Subject) {
    let store = subject.fresh().await;
    let mut expected = Vec::new();
    for (n, phase) in (0..).zip(PHASES) {
        let id = put(&store, &ann(), n, spec("over")).await;
        bring(&store, &ann(), &id, phase).await;
        // Each job ends in its own way.
        let last = match phase {
            Phase::Running => Some(retried(1)),
            Phase::Canceling => Some(Event::Stopped { attempt: 1, result: None }),
            Phase::Preempted => Some(ended(1, Verdict::SystemError)),
            Phase::Queued
            | Phase::Initializing
            | Phase::Paused
            | Phase::Complete
            | Phase::ExecutorError
            | Phase::SystemError
            | Phase::Canceled => None,
        };
        let over = last.is_some() || (phase.is_terminal() && phase != Phase::Canceled);
        if let Some(event) = last {
            assert!(matches!(say(&store, &id, None, event).await, Recorded::Moved(_)));
        }
        if over {
            expected.push(Leftover { job: job(&format!("{id}-1")), task: id, holder: Some(holder("a")) });
        }
    }
    assert_eq!(store.leftovers(99).await.unwrap(), expected, "oldest first");
    assert_eq!(store.leftovers(2).await.unwrap(), expected[..2]);
    store.forget(&expected[..1]).await.unwrap();
    store.forget(&expected[..2]).await.unwrap();
    store.forget(&[]).await.unwrap();
    assert_eq!(store.leftovers(99).await.unwrap(), expected[2..]);
}

pub(crate) async fn a_claim_is_no_event(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    let answer = say(&store, &id, None, Event::Claimed { attempt: 1 }).await;
    assert_eq!(answer, Recorded::Unchanged(Phase::Queued), "a claim is taken with `claim`");
    assert!(store.active(None, 9).await.unwrap().is_empty());
    let before = store.get(&ann(), &id).await.unwrap().unwrap();
    claim(&store, &id).await;
    assert_eq!(store.get(&ann(), &id).await.unwrap().unwrap().attempts, before.attempts);
}

/// Sentences from many sides at once: each is kept, in an order that all readers agree on.
pub(crate) async fn many_writers_lose_nothing(subject: &impl Subject) {
    let store = subject.fresh().await;
    let id = put_one(&store).await;
    let writers = (0..40).map(|n| {
        let (store, id) = (&store, &id);
        async move { say(store, id, None, Event::Noted { attempt: 1, text: n.to_string() }).await }
    });
    for answer in join_all(writers).await {
        assert_eq!(answer, Recorded::Unchanged(Phase::Queued));
    }
    let task = store.get(&ann(), &id).await.unwrap().unwrap();
    let mut told: Vec<u32> = task.attempts[0].log.iter().map(|line| line.text.parse().unwrap()).collect();
    assert_eq!(store.get(&ann(), &id).await.unwrap().unwrap(), task);
    told.sort_unstable();
    assert_eq!(told, (0..40).collect::<Vec<_>>());
}
