//! The table of faults in `ARCHITECTURE.md`, row by row.

use std::time::Duration;

use tessera_contract::scripted::{Mischief, Scripted, Verb};
use tessera_contract::{BackendError, Capacity};

use super::stage::{Stage, doing, needing, staging, with_parameter};
use crate::engine::{Settings, absent, dispatch};
use crate::task::{Phase, TaskId, TaskSpec};

const ARCHITECTURE: &str = include_str!("../../../ARCHITECTURE.md");

struct Row {
    fault: String,
    phase: String,
    state: String,
    line: String,
    retried: String,
}

fn table() -> Vec<Row> {
    let from = ARCHITECTURE.split_once("<!-- faults -->").unwrap().1;
    let table = from.split_once("<!-- /faults -->").unwrap().0;
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    rows.map(|line| match cells(line).as_slice() {
        [fault, phase, state, line, retried] => Row {
            fault: fault.clone(),
            phase: phase.clone(),
            state: state.clone(),
            line: line.clone(),
            retried: retried.clone(),
        },
        other => panic!("a row of five cells, and not {other:?}"),
    })
    .collect()
}

/// Whether a sentence is the one of the table, where `…` stands for anything.
fn reads_like(sentence: &str, pattern: &str) -> bool {
    let parts: Vec<&str> = pattern.split('…').collect();
    let [head, middle @ .., tail] = parts.as_slice() else { return sentence == pattern };
    let Some(mut rest) = sentence.strip_prefix(head) else { return false };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(tail)
}

fn named(phase: Phase) -> &'static str {
    match phase {
        Phase::Queued => "QUEUED",
        Phase::Initializing => "INITIALIZING",
        Phase::Running => "RUNNING",
        Phase::Paused => "PAUSED",
        Phase::Preempted => "PREEMPTED",
        Phase::Canceling => "CANCELING",
        Phase::Complete => "COMPLETE",
        Phase::ExecutorError => "EXECUTOR_ERROR",
        Phase::SystemError => "SYSTEM_ERROR",
        Phase::Canceled => "CANCELED",
    }
}

/// A stage after the fault, and the task that met it.
struct After {
    stage: Stage,
    id: TaskId,
}

async fn started(stage: Stage, spec: TaskSpec) -> After {
    let id = stage.create(spec).await;
    stage.settle().await;
    After { stage, id }
}

/// Hands over to a backend whose next calls go wrong.
async fn submitting(error: BackendError) -> After {
    let stage = Stage::new();
    stage.outside.always(Verb::Submit, Mischief::Fail(error));
    started(stage, doing(&["true"])).await
}

/// What the job is doing when the fault comes.
fn at(phase: &str) -> TaskSpec {
    match phase {
        "staging" => staging("scripted:stall", &["true"]),
        "running" => doing(&["hang"]),
        other => panic!("{other:?} is no phase of a job"),
    }
}

async fn report(phase: &str, class: &str) -> After {
    let spec = match phase {
        "staging" => staging(&format!("scripted:fault/{class}"), &["true"]),
        _ => doing(&["fault", class, "it broke"]),
    };
    started(Stage::new(), spec).await
}

/// Brings about the fault of a row.
async fn meet(fault: &str, phase: &str) -> After {
    let reason = || "out of order".to_owned();
    match (fault, phase) {
        ("the task asks for more than the server allows", "handing over") => {
            let mut settings = Settings::default();
            settings.job.most.cpu_milli = Some(2_000);
            started(Stage::with(settings, |one: Scripted| vec![one]), needing(3.0, &["true"])).await
        }
        ("the task needs more than the backend has", "placing") => {
            let capacity = Capacity { cpu_milli: Some(4_000), ..Capacity::default() };
            let stage = Stage::with(Settings::default(), |one: Scripted| vec![one.with_capacity(capacity)]);
            started(stage, needing(5.0, &["true"])).await
        }
        ("the backend is full", "placing") => {
            let capacity = Capacity { cpu_milli: Some(4_000), ..Capacity::default() };
            let stage = Stage::with(Settings::default(), |one: Scripted| vec![one.with_capacity(capacity)]);
            stage.create(needing(1.0, &["run-ms", "20000"])).await;
            stage.settle().await;
            let after = started(stage, needing(4.0, &["true"])).await;
            after.stage.pass(Duration::from_secs(2)).await;
            after
        }
        ("the backend asked for is not configured", "placing") => {
            started(Stage::new(), with_parameter("backend", "nowhere", &["true"])).await
        }
        ("a parameter makes no sense", "handing over") => {
            started(Stage::new(), with_parameter("walltime", "soon", &["true"])).await
        }
        ("`Rejected`", "handing over") => submitting(BackendError::Rejected(reason())).await,
        ("`Unavailable`", "handing over") => submitting(BackendError::Unavailable(reason())).await,
        ("`Misconfigured`", "handing over") => submitting(BackendError::Misconfigured(reason())).await,
        ("no answer to anything", "handing over") => {
            let stage = Stage::new();
            for verb in Verb::ALL {
                stage.outside.always(verb, Mischief::Fail(BackendError::Unavailable(reason())));
            }
            let id = stage.create(doing(&["true"])).await;
            dispatch::tick(&stage.engine).await.unwrap();
            After { stage, id }
        }
        ("the server dies", "handing over") => {
            let mut stage = Stage::new();
            let id = stage.create(doing(&["hang"])).await;
            stage.outside.next(
                Verb::Submit,
                1,
                Mischief::DelayAnswer(tessera_contract::scripted::mischief::Gate::closed()),
            );
            {
                let mut tick = Box::pin(dispatch::tick(&stage.engine));
                while stage.jobs().is_empty() {
                    let _ = futures::poll!(&mut tick);
                    tokio::task::yield_now().await;
                }
            }
            stage.restart();
            stage.clock.advance(Duration::from_secs(120));
            dispatch::tick(&stage.engine).await.unwrap();
            After { stage, id }
        }
        ("`Rejected` in the report", _) => report(phase, "rejected").await,
        ("`Unavailable` in the report", _) => report(phase, "unavailable").await,
        ("`Misconfigured` in the report", _) => report(phase, "misconfigured").await,
        ("`Lost` in the report", _) => report(phase, "lost").await,
        ("the job is lost", _) => {
            let after = started(Stage::new(), at(phase)).await;
            after.stage.outside.lose(after.stage.installation(), &Stage::job(&after.id, 1)).unwrap();
            after.stage.settle().await;
            after
        }
        ("the job is preempted", _) => {
            let after = started(Stage::new(), at(phase)).await;
            after.stage.outside.preempt(after.stage.installation(), &Stage::job(&after.id, 1)).unwrap();
            after.stage.settle().await;
            after
        }
        ("somebody else stops the job", _) => {
            let after = started(Stage::new(), at(phase)).await;
            let handle = Scripted::handle(&Stage::job(&after.id, 1));
            after.stage.backends()[0].cancel(&handle).await.unwrap();
            after.stage.settle().await;
            after
        }
        ("a command fails", "running") => started(Stage::new(), doing(&["exit", "3"])).await,
        ("the job cannot be read", "running") => {
            let after = started(Stage::new(), doing(&["hang"])).await;
            after.stage.outside.make_unreadable(after.stage.installation(), &Stage::job(&after.id, 1)).unwrap();
            after.stage.pass(Duration::from_secs(70)).await;
            after
        }
        ("the backend does not answer", "running") => {
            let after = started(Stage::new(), doing(&["hang"])).await;
            for verb in Verb::ALL {
                after.stage.outside.always(verb, Mischief::Fail(BackendError::Unavailable(reason())));
            }
            after.stage.pass(Duration::from_secs(70)).await;
            after
        }
        ("the backend does not answer", "canceling") => {
            let after = started(Stage::new(), doing(&["hang"])).await;
            for verb in Verb::ALL {
                after.stage.outside.always(verb, Mischief::Fail(BackendError::Unavailable(reason())));
            }
            after.stage.cancel(&after.id).await;
            after.stage.pass(Duration::from_secs(30)).await;
            after
        }
        ("the backend is not configured any more", "running") => {
            let mut after = started(Stage::new(), doing(&["hang"])).await;
            after.stage.restart_with(vec![]);
            absent::tick(&after.stage.engine).await.unwrap();
            after
        }
        ("the backend is not configured any more", "canceling") => {
            let mut after = started(Stage::new(), doing(&["hang"])).await;
            after.stage.restart_with(vec![]);
            after.stage.cancel(&after.id).await;
            after.stage.pass(Duration::from_secs(30)).await;
            after
        }
        other => panic!("the table has a row that this test does not know: {other:?}"),
    }
}

/// Lets a stage show that it does what the last column says.
async fn check_retried(row: &Row, after: After) {
    let After { mut stage, id } = after;
    match row.retried.as_str() {
        "no" => {
            assert_eq!(stage.task(&id).await.attempts.len(), 1);
            assert!(stage.phase(&id).await.is_terminal());
            stage.pass(Duration::from_secs(120)).await;
            assert_eq!(stage.task(&id).await.attempts.len(), 1);
        }
        "no, but by `retry_after_start`" => {
            assert!(stage.phase(&id).await.is_terminal());
            stage.pass(Duration::from_secs(120)).await;
            assert_eq!(stage.task(&id).await.attempts.len(), 1);
            // The same with the permission.
            let allowing = Settings { retry_after_start: true, ..Settings::default() };
            let words: &[&str] = match row.fault.as_str() {
                "`Unavailable` in the report" => &["fault-until", "2", "unavailable", "it broke"],
                "`Lost` in the report" => &["fault-until", "2", "lost", "it broke"],
                _ => return,
            };
            let stage = Stage::with(allowing, |one| vec![one]);
            let id = stage.create(doing(words)).await;
            assert_eq!(stage.until_ended(&id).await, Phase::Complete);
            assert_eq!(stage.task(&id).await.attempts.len(), 2);
        }
        "a new attempt, 3 in all" => {
            assert_eq!(stage.task(&id).await.attempts.len(), 2);
            // The fault comes again where the script says so; where it came from outside, it does not.
            let ended = spend(&stage, &id, &row.fault).await;
            assert_eq!(ended, Phase::SystemError);
            let task = stage.task(&id).await;
            assert_eq!(task.attempts.len(), 3);
            assert!(stage.last_line(&id).await.ends_with("; given up after 3 attempts"));
        }
        "the same attempt, without end" => {
            let before = stage.outside.calls(Verb::Submit);
            stage.pass(Duration::from_secs(1_800)).await;
            assert_eq!(stage.phase(&id).await, Phase::Queued);
            assert!(stage.outside.calls(Verb::Submit) + stage.outside.calls(Verb::Inventory) > before);
            assert!(stage.log(&id).await.len() < 12, "{:?}", stage.log(&id).await);
            stage.outside.behave();
            assert_eq!(stage.until_ended(&id).await, Phase::Complete);
            assert_eq!(stage.task(&id).await.attempts.len(), 1);
        }
        "when there is room" => {
            stage.pass(Duration::from_secs(30)).await;
            assert_eq!(stage.phase(&id).await, Phase::Complete);
        }
        "the same job is found again" => {
            assert_eq!(stage.task(&id).await.attempts.len(), 1);
            assert_eq!(stage.starts(&id, 1), 1);
        }
        "it is asked again" => {
            stage.outside.behave();
            stage.outside.make_readable(stage.installation(), &Stage::job(&id, 1)).unwrap();
            stage.cancel(&id).await;
            assert_eq!(stage.until_ended(&id).await, Phase::Canceled);
        }
        "it is stopped when it returns" => {
            // Told once, and not at each look.
            let told = stage.log(&id).await.iter().filter(|line| line.contains("not configured")).count();
            assert_eq!(told, 1);
            assert_eq!(stage.jobs().len(), 1);
            let backends = stage.backends();
            stage.restart_with(backends);
            assert_eq!(stage.until_ended(&id).await, Phase::Canceled);
            stage.assert_clean().await;
        }
        "no; what is left is removed when it returns" => {
            let backends = stage.backends();
            stage.restart_with(backends);
            stage.assert_clean().await;
        }
        other => panic!("the last column says what this test does not know: {other:?}"),
    }
}

/// Lets the fault come again in each further attempt.
async fn spend(stage: &Stage, id: &TaskId, fault: &str) -> Phase {
    for _ in 0..600 {
        stage.settle().await;
        let task = stage.task(id).await;
        let attempt = u32::try_from(task.attempts.len()).unwrap();
        match task.state.phase() {
            phase if phase.is_terminal() => return phase,
            Phase::Initializing | Phase::Running => {
                let job = Stage::job(id, attempt);
                match fault {
                    "the job is lost" => stage.outside.lose(stage.installation(), &job).unwrap(),
                    "the job is preempted" => stage.outside.preempt(stage.installation(), &job).unwrap(),
                    _ => {}
                }
            }
            _ => {}
        }
        stage.clock.advance(Duration::from_millis(500));
    }
    panic!("the attempts are not spent: {:?}", stage.log(id).await);
}

#[tokio::test]
async fn rule_12_7_and_12_10_and_15_5_every_row_of_the_table_holds() {
    let rows = table();
    assert!(rows.len() >= 25, "the table of faults in ARCHITECTURE.md has {} rows", rows.len());
    for row in rows {
        let after = meet(&row.fault, &row.phase).await;
        let name = format!("{} while {}", row.fault, row.phase);
        let phase = named(after.stage.phase(&after.id).await);
        assert_eq!(phase, row.state, "{name}: {:?}", after.stage.log(&after.id).await);
        let line = match after.stage.task(&after.id).await.attempts.first().and_then(|first| first.log.last()) {
            Some(line) => line.text.clone(),
            None => String::new(),
        };
        assert!(reads_like(&line, &row.line), "{name}: the log says {line:?}, the table {:?}", row.line);
        check_retried(&row, after).await;
    }
}

#[test]
fn sentences_are_compared() {
    assert!(reads_like("a b c", "a … c"));
    assert!(reads_like("a b c", "a…"));
    assert!(!reads_like("a b c", "b…"));
    assert!(!reads_like("a b c", "a … d"));
    assert!(!reads_like("a b c", "a b"));
}
