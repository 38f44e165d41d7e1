#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use jiff::Timestamp;
use tessera_contract::Stream::{Stderr, Stdout};

use super::plan::outlines;
use super::shelf::{Shelf, Spot, day};
use crate::task::spec::Executor;
use crate::task::{Attempt, ExecutorLog, JobRef, Owner, Task, TaskId, TaskSpec, TaskState};

fn id(text: &str) -> TaskId {
    TaskId::parse(&format!("{text:0>26}")).unwrap()
}

fn job(handle: &str) -> JobRef {
    JobRef { backend: "here".to_owned(), handle: handle.to_owned() }
}

fn log(index: u32, stdout_whole: bool) -> ExecutorLog {
    ExecutorLog {
        index,
        exit_code: 0,
        started: Timestamp::UNIX_EPOCH,
        ended: Timestamp::UNIX_EPOCH,
        stdout: "out".to_owned(),
        stderr: String::new(),
        stdout_whole,
        stderr_whole: true,
    }
}

/// A task of four executors, in a state, with one attempt.
fn task(state: TaskState, executors: Vec<ExecutorLog>) -> Task {
    let executor = Executor { image: "a".to_owned(), ..Executor::default() };
    Task {
        id: id("01"),
        owner: Owner::anonymous(),
        created: Timestamp::UNIX_EPOCH,
        spec: TaskSpec { executors: vec![executor; 4], ..TaskSpec::default() },
        state,
        attempts: vec![Attempt { number: 1, job: Some(job("h")), executors, ..Attempt::default() }],
    }
}

#[test]
fn what_is_over_and_never_ran_is_not_asked_for() {
    let never = |state: TaskState| -> Vec<bool> {
        let outlines = outlines(&task(state, vec![log(0, true), log(1, false)]), |_| false);
        outlines[0].executors.iter().map(|known| known.never).collect()
    };
    assert_eq!(never(TaskState::Complete), [false, false, true, true]);
    assert_eq!(never(TaskState::ExecutorError), [false, false, true, true]);
    // One may have been stopped in the middle of the third.
    assert_eq!(never(TaskState::Canceled), [false, false, false, true]);
    assert_eq!(never(TaskState::SystemError), [false, false, false, true]);
    let running = TaskState::Running { attempt: 1, job: job("h"), seen: crate::task::Seen::default() };
    assert_eq!(never(running), [false; 4]);
}

#[test]
fn a_stream_that_the_history_holds_needs_no_collecting() {
    let outline = &outlines(&task(TaskState::Complete, vec![log(0, true), log(1, false)]), |_| false)[0];
    assert!(outline.executors[0].needs_nothing() && outline.executors[2].needs_nothing());
    assert!(!outline.executors[1].needs_nothing());
    assert_eq!(outline.executors[0].whole(Stdout), Some(&Bytes::from_static(b"out")));
    assert_eq!(outline.executors[1].whole(Stdout), None);
    assert_eq!(outline.executors[1].whole(Stderr), Some(&Bytes::new()));
}

#[test]
fn a_job_that_the_engine_knows_to_be_over_is() {
    let running = TaskState::Running { attempt: 1, job: job("h"), seen: crate::task::Seen::default() };
    let over = |known: &str| outlines(&task(running.clone(), vec![]), |job| job.handle == known)[0].over;
    assert!(over("h") && !over("other"));
}

#[test]
fn what_was_removed_is_told_from_what_never_was() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(&folder.path().join("logs"), 0).unwrap();
    let (old, new) = (id("1a"), id("1b"));
    for task in [&old, &new] {
        let spot = Spot { task: task.clone(), attempt: 1, executor: 0, stream: Stdout };
        shelf.tape(&spot).unwrap().append(0, b"abc").unwrap();
        shelf.close(task, 1, false).unwrap();
        assert_eq!((shelf.bytes(task).unwrap(), shelf.is_closed(task, 1)), (3, true));
    }
    assert_eq!(shelf.tasks(&day(&old)).unwrap(), [old.clone(), new.clone()]);
    shelf.prune(&new).unwrap();
    shelf.prune(&new).unwrap();
    // One whose log is still to come may be older than what went.
    assert!(shelf.was_pruned(&new).unwrap() && !shelf.was_pruned(&old).unwrap());
    assert!(!shelf.holds(&new, 1) && shelf.holds(&old, 1));
    shelf.prune(&old).unwrap();
    assert!(shelf.was_pruned(&new).unwrap() && shelf.was_pruned(&old).unwrap());
    let days = || std::fs::read_dir(folder.path().join("logs/removed")).unwrap().count();
    assert_eq!(days(), 1);
    shelf.forget(&day(&new)).unwrap();
    assert!(days() == 1 && !shelf.is_forgotten(&new), "the day itself is remembered");
    shelf.forget("9999-12-31").unwrap();
    assert!(days() == 0 && shelf.is_forgotten(&new) && !shelf.was_pruned(&new).unwrap());
    shelf.remove_attempt(&new, 1).unwrap();
    shelf.remove_day(&day(&new));
    assert_eq!(shelf.days().unwrap(), Vec::<String>::new());
}

#[test]
fn of_a_task_that_is_gone_nothing_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(&folder.path().join("logs"), 0).unwrap();
    let (kept, pruned) = (id("1a"), id("1b"));
    for task in [&kept, &pruned] {
        let spot = Spot { task: task.clone(), attempt: 1, executor: 0, stream: Stdout };
        shelf.tape(&spot).unwrap().append(0, b"abc").unwrap();
    }
    shelf.prune(&pruned).unwrap();
    for _ in 0..2 {
        shelf.remove(&kept).unwrap();
        shelf.remove(&pruned).unwrap();
    }
    assert!(!shelf.holds(&kept, 1) && !shelf.was_pruned(&kept).unwrap() && !shelf.was_pruned(&pruned).unwrap());
    assert_eq!(shelf.tasks(&day(&kept)).unwrap(), []);
}

#[test]
fn the_day_of_a_task_is_that_of_its_creation() {
    let at = "2026-11-22T23:59:59.999Z".parse().unwrap();
    assert_eq!(day(&TaskId::new(at)), "2026-11-22");
    assert_eq!(day(&TaskId::parse(&"z".repeat(26)).unwrap()), "1970-01-01", "no moment that can be told");
}

#[test]
fn a_text_that_is_known_is_not_held_twice() {
    let read = || outlines(&task(TaskState::Complete, vec![log(0, true)]), |_| false).remove(0);
    let first = read();
    let second = read().sharing(&first);
    assert_eq!(first, second);
    let at = |outline: &super::plan::Outline| outline.executors[0].whole(Stdout).unwrap().as_ptr();
    assert_eq!(at(&first), at(&second));
}
