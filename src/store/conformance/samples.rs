//! Tasks, events, and how a task is brought into a phase.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};

use crate::store::{Ceiling, ClaimRequest, Claimed, Fence, Holder, Record, Recorded, Store};
use crate::task::spec::Executor;
use crate::task::{AttemptResult, Event, ExecutorLog, JobRef, LogLine, Owner, Phase, Seen, TaskId, TaskSpec, Verdict};

/// The moment at which most things happen.
pub(crate) const NOW: i64 = 1_000_000;
/// When most claims expire.
pub(crate) const LATER: i64 = NOW + 60;

/// All phases.
pub(crate) const PHASES: [Phase; 10] = [
    Phase::Queued,
    Phase::Initializing,
    Phase::Running,
    Phase::Paused,
    Phase::Preempted,
    Phase::Canceling,
    Phase::Complete,
    Phase::ExecutorError,
    Phase::SystemError,
    Phase::Canceled,
];

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn ann() -> Owner {
    Owner("ann".to_owned())
}

pub(crate) fn job(handle: &str) -> JobRef {
    JobRef { backend: "docker".to_owned(), handle: handle.to_owned() }
}

pub(crate) fn holder(name: &str) -> Holder {
    Holder(name.to_owned())
}

pub(crate) fn spec(name: &str) -> TaskSpec {
    let executor = Executor { image: "alpine".to_owned(), command: vec!["true".to_owned()], ..Executor::default() };
    TaskSpec { name: Some(name.to_owned()), executors: vec![executor], ..TaskSpec::default() }
}

/// A task of an owner, created at a second: later ones have higher ids.
pub(crate) async fn put(store: &impl Store, owner: &Owner, second: i64, spec: TaskSpec) -> TaskId {
    let created = at(second);
    let id = TaskId::new(created);
    store.create(owner, &id, created, spec).await.unwrap();
    id
}

/// A task of Ann's.
pub(crate) async fn put_one(store: &impl Store) -> TaskId {
    put(store, &ann(), 1, spec("one")).await
}

pub(crate) fn wish(task: &TaskId) -> ClaimRequest {
    ClaimRequest { task: task.clone(), backend: "docker".to_owned(), cpu_milli: 500, ram_bytes: 1 << 20 }
}

/// Tries to claim at a moment for a minute.
pub(crate) async fn try_claim(store: &impl Store, who: &str, second: i64, task: &TaskId) -> Option<Claimed> {
    store.claim(&holder(who), at(second), at(second + 60), Ceiling::default(), &[wish(task)]).await.unwrap().pop()
}

pub(crate) async fn claim(store: &impl Store, task: &TaskId) -> Fence {
    try_claim(store, "a", NOW, task).await.unwrap().claim.fence
}

pub(crate) async fn say(store: &impl Store, task: &TaskId, fence: Option<Fence>, event: Event) -> Recorded {
    let record = Record { task: task.clone(), fence, at: at(NOW + 1), event };
    store.record(vec![record]).await.unwrap()[0]
}

pub(crate) fn executor(index: u32) -> ExecutorLog {
    ExecutorLog {
        index,
        exit_code: 0,
        started: at(NOW),
        ended: at(NOW + 2),
        stdout: format!("out of {index}"),
        stderr: String::new(),
        stdout_whole: false,
        stderr_whole: false,
    }
}

pub(crate) fn result(verdict: Verdict, text: &str) -> Box<AttemptResult> {
    Box::new(AttemptResult {
        verdict,
        started: Some(at(NOW)),
        ended: at(NOW + 5),
        executors: vec![executor(0)],
        outputs: vec![],
        notes: vec![LogLine { at: at(NOW + 4), text: text.to_owned() }],
        metadata: BTreeMap::new(),
    })
}

pub(crate) fn submitted(attempt: u32, task: &TaskId) -> Event {
    Event::Submitted { attempt, job: job(&format!("{task}-{attempt}")) }
}

pub(crate) fn started(attempt: u32) -> Event {
    let seen = Seen::default();
    Event::Advanced { attempt, started: Some(at(NOW)), executors: vec![], notes: vec![], seen }
}

pub(crate) fn ended(attempt: u32, verdict: Verdict) -> Event {
    Event::Ended { attempt, result: result(verdict, "the end") }
}

pub(crate) fn retried(attempt: u32) -> Event {
    Event::Retried { attempt, result: result(Verdict::SystemError, "the node was lost"), not_before: None }
}

/// Brings a new task into a phase, as an engine would.
pub(crate) async fn bring(store: &impl Store, owner: &Owner, task: &TaskId, phase: Phase) {
    let cancel = async || store.request_cancel(owner, task, at(NOW + 3), true).await.unwrap().unwrap();
    let events = match phase {
        Phase::Queued => return,
        Phase::Canceled => {
            cancel().await;
            return;
        }
        Phase::Initializing => vec![],
        Phase::Running | Phase::Canceling => vec![started(1)],
        Phase::Paused => vec![started(1), Event::Paused { attempt: 1 }],
        Phase::Preempted => vec![Event::Preempted { attempt: 1, reason: "spot".to_owned() }],
        Phase::Complete => vec![started(1), ended(1, Verdict::Complete)],
        Phase::ExecutorError => vec![ended(1, Verdict::ExecutorError)],
        Phase::SystemError => vec![ended(1, Verdict::SystemError)],
    };
    let fence = Some(claim(store, task).await);
    let all = std::iter::once(submitted(1, task)).chain(events);
    let records = all.map(|event| Record { task: task.clone(), fence, at: at(NOW + 2), event }).collect();
    store.record(records).await.unwrap();
    if phase == Phase::Canceling {
        cancel().await;
    }
    assert_eq!(store.summary(owner, task).await.unwrap().unwrap().phase, phase);
}

/// Runs an asynchronous promise on generated cases, and shrinks the one that breaks it.
pub(crate) fn for_all<S: Strategy>(cases: u32, strategy: &S, promise: impl AsyncFn(S::Value)) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let tried = runner.run(strategy, |case| {
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(promise(case)));
        Ok(())
    });
    if let Err(broken) = tried {
        panic!("{broken}");
    }
}
