#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use tessera_runtime::report::{Fault, FaultClass};

use super::*;
use crate::task::{JobRef, TaskId};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn task() -> TaskId {
    TaskId::parse("01h00000000000000000000000").unwrap()
}

fn job() -> JobRef {
    JobRef { backend: "here".to_owned(), handle: "h".to_owned() }
}

fn running(seen: Seen) -> Active {
    Active { task: task(), state: TaskState::Running { attempt: 1, job: job(), seen }, claim: None }
}

fn step(step: u32, exit_code: i32) -> StepReport {
    StepReport {
        step,
        exit_code,
        started: at(1),
        ended: at(2),
        stdout_tail: format!("out {step}"),
        stderr_tail: String::new(),
        stdout_whole: true,
        stderr_whole: true,
    }
}

fn note(text: &str) -> Note {
    Note { at: at(1), text: text.to_owned() }
}

fn progress(steps: Vec<StepReport>, notes: Vec<Note>) -> Observation {
    let job = JobId::of_attempt(task().as_str(), 1).to_string();
    Observation::Working(Progress { version: 1, job, began: at(0), started: Some(at(1)), steps, notes, doing: None })
}

fn report(outcome: Outcome, steps: Vec<StepReport>, notes: Vec<Note>) -> Report {
    Report {
        version: REPORT_VERSION,
        job: JobId::of_attempt(task().as_str(), 1).to_string(),
        outcome,
        began: at(0),
        started: Some(at(1)),
        ended: at(3),
        steps,
        outputs: vec![],
        notes,
        metadata: BTreeMap::new(),
    }
}

fn seen(active: &Active, observation: &Observation) -> Means {
    means(&Settings::default(), active, observation, at(9))
}

#[test]
fn only_what_is_new_is_told() {
    let all = progress(vec![step(0, 0), step(1, 0)], vec![note("a"), note("b")]);
    let Means::Event(Event::Advanced { executors, notes, seen: told, .. }) =
        seen(&running(Seen { executors: 1, notes: 1 }), &all)
    else {
        panic!("something is new");
    };
    assert_eq!((executors.len(), executors[0].index), (1, 1));
    assert_eq!((notes.len(), notes[0].text.as_str()), (1, "b"));
    assert_eq!(told, Seen { executors: 2, notes: 2 });
    assert_eq!(seen(&running(told), &all), Means::Nothing);
    // A node that was started again and has found less than was told before.
    assert_eq!(seen(&running(told), &progress(vec![step(0, 0)], vec![])), Means::Nothing);
}

#[test]
fn a_report_that_is_not_ours_or_of_a_newer_runtime_is_not_acted_on() {
    let good = report(Outcome::Complete, vec![step(0, 0)], vec![]);
    let strange = Report { job: "another-1".to_owned(), ..good.clone() };
    let newer = Report { version: REPORT_VERSION + 1, ..good.clone() };
    let active = running(Seen::default());
    assert!(matches!(seen(&active, &Observation::Ended(good)), Means::Event(Event::Ended { .. })));
    assert!(matches!(seen(&active, &Observation::Ended(strange)), Means::Dark(_)));
    assert!(matches!(seen(&active, &Observation::Ended(newer)), Means::Dark(_)));
}

#[test]
fn rule_15_7_what_the_job_used_stands_in_the_log() {
    let figures: BTreeMap<String, String> =
        [("peak_memory_bytes", "4096"), ("disk_used_bytes", "512")].map(|(k, v)| (k.into(), v.into())).into();
    for outcome in [Outcome::Complete, Outcome::ExecutorFailed { step: 0 }] {
        let report = Report { metadata: figures.clone(), ..report(outcome, vec![step(0, 1)], vec![]) };
        let Means::Event(Event::Ended { result, .. }) = seen(&running(Seen::default()), &Observation::Ended(report))
        else {
            panic!("it has ended");
        };
        assert_eq!(result.metadata, figures);
    }
}

#[test]
fn rule_12_5_a_log_for_each_that_ran_and_for_no_other() {
    let failed = report(Outcome::ExecutorFailed { step: 1 }, vec![step(0, 0), step(1, 3)], vec![]);
    let Means::Event(Event::Ended { result, .. }) = seen(&running(Seen::default()), &Observation::Ended(failed)) else {
        panic!("it has ended");
    };
    let logs: Vec<_> = result.executors.iter().map(|log| (log.index, log.exit_code)).collect();
    assert_eq!((result.verdict, logs), (Verdict::ExecutorError, vec![(0, 0), (1, 3)]));
}

#[test]
fn rule_15_5_the_last_line_explains_a_failure() {
    let failed = Outcome::ExecutorFailed { step: 0 };
    let full = Outcome::Failed(Fault {
        class: FaultClass::Misconfigured,
        message: "the disk is full".to_owned(),
        user_code_started: true,
    });
    let rows = [
        (failed.clone(), vec![], "executor 0 failed with exit code 137"),
        (failed.clone(), vec!["executor 0 ran out of memory"], "executor 0 ran out of memory"),
        (failed, vec!["executor 0 ran out of memory", "no `/out`"], "executor 0 failed with exit code 137"),
        (full.clone(), vec!["the disk is full"], "the disk is full"),
        (full, vec!["the disk is full", "and more"], "the disk is full"),
    ];
    for (outcome, notes, wanted) in rows {
        let report = report(outcome, vec![step(0, 137)], notes.iter().map(|text| note(text)).collect());
        let Means::Event(Event::Ended { result, .. }) = seen(&running(Seen::default()), &Observation::Ended(report))
        else {
            panic!("it has ended");
        };
        assert_eq!(result.notes.last().unwrap().text, wanted);
        assert!(result.notes.len() <= notes.len() + 1);
    }
}

#[test]
fn a_cancelled_job_that_ended_by_itself_is_removed_before_anybody_is_told() {
    let state = TaskState::Canceling { attempt: 1, job: Some(job()), seen: Seen::default(), shown: Phase::Canceling };
    let active = Active { task: task(), state, claim: None };
    for outcome in [Outcome::Complete, Outcome::ExecutorFailed { step: 0 }] {
        let ended = Observation::Ended(report(outcome, vec![step(0, 0)], vec![]));
        let Means::AfterRelease(Event::Stopped { result: Some(result), .. }) = seen(&active, &ended) else {
            panic!("it is over, and is to be removed");
        };
        assert_eq!(result.executors[0].stdout, "out 0");
    }
    let stopped = Observation::Ended(report(Outcome::Canceled, vec![], vec![]));
    assert!(matches!(seen(&active, &stopped), Means::Event(Event::Stopped { result: Some(_), .. })));
    let gone = Event::Stopped { attempt: 1, result: None };
    assert_eq!(seen(&active, &Observation::Stopped), Means::Event(gone.clone()));
    for lost in [
        Observation::Lost { reason: "gone".to_owned(), user_code_started: true },
        Observation::Preempted { reason: "gone".to_owned() },
    ] {
        assert_eq!(seen(&active, &lost), Means::AfterRelease(gone.clone()));
    }
    let dark = Observation::Unreadable { reason: "dark".to_owned() };
    assert_eq!(seen(&active, &dark), Means::Dark("dark".to_owned()));
}

#[test]
fn a_report_that_may_lack_something_does_not_tell_all() {
    let whole = |steps: Vec<StepReport>, outcome: Outcome| tells_all(&report(outcome, steps, vec![]));
    let cut = StepReport { stderr_whole: false, ..step(1, 0) };
    assert!(whole(vec![step(0, 0)], Outcome::Complete));
    assert!(whole(vec![step(0, 3)], Outcome::ExecutorFailed { step: 0 }));
    assert!(!whole(vec![step(0, 0), cut], Outcome::Complete));
    // An executor was perhaps in the middle of something.
    assert!(!whole(vec![step(0, 0)], Outcome::Canceled));
}
