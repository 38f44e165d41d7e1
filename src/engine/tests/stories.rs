//! What users and operators live through.

use std::sync::Arc;
use std::time::Duration;

use tessera_contract::scripted::mischief::Gate;
use tessera_contract::scripted::{Mischief, Scripted, Verb};
use tessera_contract::{Backend, BackendError, Capacity};

use super::stage::{Stage, doing, needing, staging, with_parameter};
use crate::engine::{Settings, cancel, dispatch, observe, sweep};
use crate::store::{Recorded, Store};
use crate::task::{Phase, TaskSpec, TaskState};

fn unavailable() -> BackendError {
    BackendError::Unavailable("the engine is away".to_owned())
}

fn with_capacity(capacity: Capacity) -> Stage {
    Stage::with(Settings::default(), move |scripted| vec![scripted.with_capacity(capacity)])
}

#[tokio::test]
async fn a_short_task_is_two_events_and_complete() {
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
async fn a_task_of_two_steps_is_told_as_it_goes_on() {
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
    assert_eq!(stage.last_line(&large).await, "waiting for room on backend `scripted`: the task needs 4 cores of 4");
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
    assert!(log.iter().all(|line| line.ends_with("the task needs one of 1 places")), "{log:?}");
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
async fn cancelled_while_queued_it_never_starts() {
    let stage = Stage::new();
    let id = stage.create(doing(&["count", "ran"])).await;
    assert_eq!(stage.cancel(&id).await, Recorded::Moved(Phase::Canceled));
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Canceled);
    assert_eq!(stage.outside.calls(Verb::Submit), 0);
    assert_eq!(stage.outside.counted("ran").unwrap(), 0);
}

#[tokio::test]
async fn cancelled_between_claim_and_submit_it_is_not_submitted() {
    let stage = Stage::new();
    let id = stage.create(doing(&["count", "ran"])).await;
    // The dispatcher has claimed it and is about to look whether it is still wanted.
    let mut tick = Box::pin(dispatch::tick(&stage.engine));
    while !matches!(stage.task(&id).await.state, TaskState::Queued { claimed: true, .. }) {
        tokio::select! {
            biased;
            _ = tokio::task::yield_now() => {}
            _ = &mut tick => panic!("the tick ended before it was seen to claim"),
        }
        let _ = futures::poll!(&mut tick);
    }
    // It may have looked already; then it submits, and the cancel finds the job.
    stage.cancel(&id).await;
    tick.await.unwrap();
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Canceled);
    assert_eq!(stage.jobs(), vec![]);
    stage.assert_clean().await;
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
async fn cancelled_while_running_it_is_canceled_when_nothing_is_left() {
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
async fn cancelled_after_its_end_nothing_changes() {
    let stage = Stage::new();
    let id = stage.create(doing(&["true"])).await;
    stage.settle().await;
    assert_eq!(stage.cancel(&id).await, Recorded::Unchanged(Phase::Complete));
    stage.settle().await;
    assert_eq!(stage.phase(&id).await, Phase::Complete);
    assert_eq!(stage.outside.calls(Verb::Cancel), 0);
}

#[tokio::test]
async fn a_cancel_wins_over_a_result_that_nobody_has_seen() {
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
async fn canceled_is_not_said_while_a_finished_job_cannot_be_removed() {
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
    // The two speak for one world, so the one that stays would take the other's job for an orphan: it is given a
    // world of its own name by leaving the sweep out.
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
async fn a_task_that_asks_for_nothing_special_is_never_ended_for_its_size() {
    let stage = with_capacity(Capacity { cpu_milli: Some(250), ram_bytes: Some(1), jobs: Some(1) });
    let id = stage.create(TaskSpec { ..doing(&["true"]) }).await;
    assert_eq!(stage.until_ended(&id).await, Phase::Complete);
}
