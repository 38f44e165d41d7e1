//! The server dies at every point of every tick; the next one goes on from there.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tessera_contract::scripted::Verb;

use super::stage::{Stage, doing, staging};
use crate::engine::{Settings, Tick, absent, cancel, dispatch, observe, sweep};
use crate::store::{Recorded, StoreError};
use crate::task::{Phase, TaskId, TaskSpec};

/// Polls a future so often, and then drops it: a death at its nth await.
struct Dying<F> {
    work: Pin<Box<F>>,
    polls: usize,
}

impl<F: Future> Dying<F> {
    fn after(polls: usize, work: F) -> Self {
        Self { work: Box::pin(work), polls }
    }
}

impl<F: Future> Future for Dying<F> {
    /// `None` when it died.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        match self.work.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if self.polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A mixed load, and how each of it must end.
struct Load {
    tasks: Vec<(TaskId, Phase)>,
}

/// A backend whose calls are made one after another shows more points to die at.
fn narrow() -> Stage {
    let settings = Settings { calls_at_once: 2, observe_batch: 4, claims: 4, scan: 4, ..Settings::default() };
    Stage::with(settings, |scripted| vec![scripted])
}

impl Load {
    async fn create(stage: &Stage) -> Self {
        let mut two_steps = doing(&["count", "ran", "run-ms", "700"]);
        two_steps.executors.push(doing(&["print", "second"]).executors.remove(0));
        let specs: Vec<(TaskSpec, Phase)> = vec![
            (doing(&["true"]), Phase::Complete),
            (doing(&["exit", "3"]), Phase::ExecutorError),
            (two_steps, Phase::Complete),
            (staging("scripted:fault-until/2/unavailable", &["true"]), Phase::Complete),
            (doing(&["fault", "lost", "the node is gone"]), Phase::SystemError),
            (doing(&["preempted-until", "2"]), Phase::Complete),
            (staging("scripted:fault/rejected", &["true"]), Phase::SystemError),
            (doing(&["run-ms", "2000"]), Phase::Complete),
        ];
        let mut tasks = Vec::new();
        for (spec, end) in specs {
            tasks.push((stage.create(spec).await, end));
        }
        Self { tasks }
    }

    /// Cancels a task, and says how it must end now.
    async fn cancel(&mut self, stage: &Stage, n: usize) {
        let (id, end) = &mut self.tasks[n];
        match stage.cancel(id).await {
            Recorded::Moved(_) => *end = Phase::Canceled,
            Recorded::Unchanged(_) => {}
            other => panic!("cancel of {id} was answered with {other:?}"),
        }
    }

    async fn must_end_well(&self, stage: &Stage) {
        for (id, end) in &self.tasks {
            let phase = stage.until_ended(id).await;
            assert_eq!(phase, *end, "{id}: {:?}", stage.log(id).await);
            if phase == Phase::Complete {
                let attempt = stage.task(id).await.attempts.len();
                assert_eq!(stage.starts(id, u32::try_from(attempt).unwrap()), 1, "{id} is complete and did not run");
            }
        }
        stage.assert_clean().await;
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Dispatch,
    Observe,
    Cancel,
    Sweep,
    Absent,
}

async fn one(stage: &Stage, kind: Kind) -> Result<Tick, StoreError> {
    match kind {
        Kind::Dispatch => dispatch::tick(&stage.engine).await,
        Kind::Observe => observe::tick(&stage.engine).await,
        Kind::Cancel => cancel::tick(&stage.engine).await,
        Kind::Sweep => sweep::tick(&stage.engine).await,
        Kind::Absent => absent::tick(&stage.engine).await,
    }
}

/// Brings a stage to where a tick of this kind has something to do.
async fn prepare(stage: &Stage, load: &mut Load, kind: Kind) {
    match kind {
        Kind::Dispatch | Kind::Absent => {}
        Kind::Observe => {
            dispatch::tick(&stage.engine).await.unwrap();
            dispatch::tick(&stage.engine).await.unwrap();
            load.cancel(stage, 0).await;
            load.cancel(stage, 2).await;
            cancel::tick(&stage.engine).await.unwrap();
        }
        Kind::Cancel => {
            // One was claimed, and its dispatcher died before it submitted; one after it; the others are outside.
            Dying::after(9, dispatch::tick(&stage.engine)).await;
            dispatch::tick(&stage.engine).await.unwrap();
            dispatch::tick(&stage.engine).await.unwrap();
            for n in 0..load.tasks.len() {
                load.cancel(stage, n).await;
            }
            stage.clock.advance(Duration::from_secs(120));
        }
        Kind::Sweep => {
            dispatch::tick(&stage.engine).await.unwrap();
            dispatch::tick(&stage.engine).await.unwrap();
            observe::tick(&stage.engine).await.unwrap();
        }
    }
}

async fn die_at_every_point_of(kind: Kind) {
    let mut points = 0;
    for polls in 1.. {
        let mut stage = narrow();
        let mut load = Load::create(&stage).await;
        prepare(&stage, &mut load, kind).await;
        let ended = Dying::after(polls, one(&stage, kind)).await;
        stage.restart();
        // Somebody cancels one before the next server has looked at anything.
        load.cancel(&stage, polls % 8).await;
        load.must_end_well(&stage).await;
        points = polls;
        if ended.is_some() {
            break;
        }
    }
    assert!(points > 3, "the tick has only {points} points to die at; was there anything to do?");
}

#[tokio::test]
async fn a_death_in_dispatch_is_survived() {
    die_at_every_point_of(Kind::Dispatch).await;
}

#[tokio::test]
async fn a_death_in_observe_is_survived() {
    die_at_every_point_of(Kind::Observe).await;
}

#[tokio::test]
async fn a_death_in_cancel_is_survived() {
    die_at_every_point_of(Kind::Cancel).await;
}

#[tokio::test]
async fn a_death_in_sweep_is_survived() {
    die_at_every_point_of(Kind::Sweep).await;
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n).unwrap()
    }
}

#[tokio::test]
async fn deaths_upon_deaths_are_survived() {
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let mut stage = narrow();
        let mut load = Load::create(&stage).await;
        for _ in 0..25 {
            let kind = [Kind::Dispatch, Kind::Observe, Kind::Cancel, Kind::Sweep, Kind::Absent][dice.below(5)];
            let ended = Dying::after(1 + dice.below(30), one(&stage, kind)).await;
            if ended.is_none() && dice.below(3) == 0 {
                stage.restart();
            }
            if dice.below(6) == 0 {
                load.cancel(&stage, dice.below(8)).await;
            }
            if dice.below(2) == 0 {
                stage.clock.advance(Duration::from_millis([300, 1_000, 30_000, 61_000][dice.below(4)]));
            }
        }
        stage.restart();
        load.must_end_well(&stage).await;
        assert!(stage.outside.calls(Verb::Submit) > 0);
    }
}
