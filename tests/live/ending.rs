//! What is kept when a job is over, and for how long.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tessera::http::Settings;
use tessera::logs;
use tessera_contract::Stream::{Stderr, Stdout};
use tessera_runtime::report::Outcome;

use crate::server::{Server, files, until};

fn kept() -> logs::Settings {
    logs::Settings { leave_free_bytes: 0, ..logs::Settings::default() }
}

/// A task that has printed more than its history holds, and is over.
async fn long(server: &Server) -> (String, Vec<u8>) {
    let id = server.running(2).await;
    let job = format!("{id}-1");
    let text: Vec<u8> = (0..20_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    server.press.print(&job, 0, Stdout, &text);
    server.press.print(&job, 0, Stderr, b"short");
    server.press.end_step(&job, 0, 0);
    server.press.end_step(&job, 1, 0);
    server.press.end(&job, Outcome::Complete);
    server.until_released(&job).await;
    (id, text)
}

#[tokio::test]
async fn a_job_goes_when_its_log_is_kept_whole() {
    let server = Server::new();
    let (id, text) = long(&server).await;
    let answer = server.get(&format!("/api/v1/tasks/{id}/logs")).await;
    assert!(answer.body == text);
    assert_eq!(answer.header("tessera-log-ended"), "true");
    assert_eq!(server.get(&format!("/api/v1/tasks/{id}/logs?stream=stderr")).await.body, b"short");
    assert_eq!(files(&server.kept()), ["0.stdout", "closed"], "what the history holds is kept nowhere else");
}

#[tokio::test]
async fn what_the_history_holds_is_kept_nowhere_else() {
    let server = Server::new();
    let id = server.running(1).await;
    let job = format!("{id}-1");
    let mut reader = server.events(&format!("/api/v1/tasks/{id}/logs?follow=true"), None).await;
    server.press.print(&job, 0, Stdout, b"hello ");
    reader.until(0, "stdout", 6).await;
    assert_eq!(files(&server.kept()), ["0.stdout"]);
    server.press.print(&job, 0, Stdout, b"world");
    server.press.end_step(&job, 0, 0);
    server.press.end(&job, Outcome::Complete);
    assert_eq!(reader.end().await, "COMPLETE");
    assert_eq!(reader.of(0, "stdout"), b"hello world");
    server.until_released(&job).await;
    until("the file is gone", async || files(&server.kept()).is_empty()).await;
    assert_eq!(server.get(&format!("/api/v1/tasks/{id}/logs?offset=6")).await.body, b"world");
}

/// A task that has printed and is over while nothing it printed can be read; its job.
async fn over_and_unread(server: &Server, text: &[u8]) -> (String, String) {
    let id = server.running(1).await;
    let job = format!("{id}-1");
    server.press.set_broken(true);
    server.press.print(&job, 0, Stdout, text);
    server.press.end_step(&job, 0, 0);
    server.press.end(&job, Outcome::Complete);
    // The task does not wait.
    server.until_state(&id, "COMPLETE").await;
    (id, job)
}

#[tokio::test]
async fn of_a_cancelled_task_everything_is_kept_until_the_stop() {
    let server = Server::new();
    let id = server.running(2).await;
    let job = format!("{id}-1");
    server.press.print(&job, 0, Stdout, b"first");
    server.press.end_step(&job, 0, 0);
    server.press.print(&job, 1, Stdout, b"in the middle of");
    server.cancel(&id).await;
    server.until_state(&id, "CANCELED").await;
    server.until_released(&job).await;
    let mut reader = server.events(&format!("/api/v1/tasks/{id}/logs"), None).await;
    assert_eq!(reader.end().await, "CANCELED");
    assert_eq!((reader.of(0, "stdout"), reader.of(1, "stdout")), (b"first".to_vec(), b"in the middle of".to_vec()));
}

#[tokio::test]
async fn no_state_waits_for_a_log() {
    let server = Server::new();
    let id = server.running(1).await;
    let job = format!("{id}-1");
    let text = b"0123456789".repeat(5_000);
    server.press.set_broken(true);
    server.press.print(&job, 0, Stdout, &text);
    server.press.end_step(&job, 0, 0);
    // It ends by itself while it is being stopped.
    server.press.end_when_stopped(&job, Outcome::Complete);
    server.cancel(&id).await;
    server.until_state(&id, "CANCELED").await;
    assert!(server.press.holds(&job), "its log is not kept yet");
    server.press.set_broken(false);
    server.until_released(&job).await;
    assert!(server.get(&format!("/api/v1/tasks/{id}/logs")).await.body == text);
}

#[tokio::test]
async fn where_bytes_are_missing_a_line_says_so() {
    let server = Server::new();
    let id = server.running(1).await;
    let job = format!("{id}-1");
    server.press.print(&job, 0, Stdout, &[b'a'; 200]);
    server.press.print_behind(&job, 0, Stdout, 1_000, b"the end");
    server.press.end_step(&job, 0, 0);
    server.press.end(&job, Outcome::Complete);
    server.until_released(&job).await;
    let expected = [&[b'a'; 200][..], b"\n[1000 bytes not kept]\nthe end"].concat();
    assert_eq!(server.get(&format!("/api/v1/tasks/{id}/logs")).await.body, expected);
}

#[tokio::test]
async fn a_job_waits_for_its_log_but_not_without_end() {
    let server = Server::with(Settings::default(), logs::Settings { give_up: Duration::from_millis(300), ..kept() });
    let (_, job) = over_and_unread(&server, &[b'a'; 200]).await;
    assert!(server.press.holds(&job), "its log is not kept yet");
    server.until_released(&job).await;
}

#[tokio::test]
async fn those_that_cannot_be_kept_hold_up_nobody() {
    let server = Server::new();
    let mut jobs = Vec::new();
    for number in 0..20 {
        let job = format!("{}-1", server.running(1).await);
        if number < 18 {
            server.press.jam(&job);
        }
        server.press.print(&job, 0, Stdout, &[b'a'; 500]);
        server.press.end_step(&job, 0, 0);
        server.press.end(&job, Outcome::Complete);
        jobs.push(job);
    }
    for job in &jobs[18..] {
        server.until_released(job).await;
    }
    assert!(jobs[..18].iter().all(|job| server.press.holds(job)));
}

#[tokio::test]
async fn a_job_whose_log_is_not_kept_yet_is_no_orphan() {
    let server = Server::new();
    let text = b"0123456789".repeat(5_000);
    let (id, job) = over_and_unread(&server, &text).await;
    // Also right after a start, when nothing is remembered.
    let server = server.restarted().await;
    server.press.walked(4).await;
    assert!(server.press.holds(&job), "its log is not kept yet");
    server.press.set_broken(false);
    server.until_released(&job).await;
    assert!(server.get(&format!("/api/v1/tasks/{id}/logs")).await.body == text);
}

#[tokio::test]
async fn a_log_that_was_cut_off_is_never_called_whole() {
    let server = Server::new();
    let id = server.running(1).await;
    let job = format!("{id}-1");
    let path = format!("/api/v1/tasks/{id}/logs");
    server.press.print(&job, 0, Stdout, &[b'a'; 500]);
    assert_eq!(server.get(&path).await.body.len(), 500);
    server.press.print(&job, 0, Stdout, &[b'b'; 500]);
    // Somebody removes it.
    server.press.remove(&job);
    let second = format!("{id}-2");
    until("the second attempt runs", async || server.press.holds(&second)).await;
    server.press.end_step(&second, 0, 0);
    server.press.end(&second, Outcome::Complete);
    let mut reader = server.events(&format!("{path}?follow=true"), None).await;
    assert_eq!(reader.end().await, "COMPLETE");
    assert_eq!(reader.of(0, "stdout"), [b'a'; 500]);
    assert_eq!(files(&server.kept()), ["0.stdout"], "what is not all of it is not marked as that");
}

#[tokio::test]
async fn a_full_disk_stops_the_logs_and_no_task() {
    // Without waiting: what the job holds takes more room than its log would.
    let full = logs::Settings { leave_free_bytes: u64::MAX, ..kept() };
    let server = Server::with(Settings::default(), full);
    let (id, _) = long(&server).await;
    server.until_state(&id, "COMPLETE").await;
    assert!(files(&server.kept()).is_empty());
}

#[tokio::test]
async fn no_log_goes_for_room_that_it_cannot_make() {
    let server = Server::new();
    let (id, text) = long(&server).await;
    // Something else fills the disk.
    let server = server.restarted_with(logs::Settings { leave_free_bytes: u64::MAX, ..kept() }).await;
    server.logs.prune_once(Timestamp::now()).await.unwrap();
    assert!(server.get(&format!("/api/v1/tasks/{id}/logs")).await.body == text);
}

#[tokio::test]
async fn what_is_old_goes_and_is_known_to_be_gone() {
    let server = Server::with(Settings::default(), logs::Settings { keep_days: 30, ..kept() });
    let (id, _) = long(&server).await;
    let running = server.running(1).await;
    server.press.print(&format!("{running}-1"), 0, Stdout, b"still here");
    let path = format!("/api/v1/tasks/{running}/logs");
    assert_eq!(server.get(&path).await.body, b"still here");

    let later = |days: i64| Timestamp::now() + SignedDuration::from_hours(24 * days);
    server.logs.prune_once(later(29)).await.unwrap();
    assert_eq!(server.get(&format!("/api/v1/tasks/{id}/logs")).await.status, 200);
    server.logs.prune_once(later(32)).await.unwrap();
    let answer = server.get(&format!("/api/v1/tasks/{id}/logs")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (410, &"gone".into()));
    // As long as the task is known, also when nobody remembers what was removed.
    assert_eq!(files(&server.kept().join("removed")), [id.as_str()]);
    server.logs.prune_once(later(62)).await.unwrap();
    assert!(files(&server.kept().join("removed")).is_empty());
    assert_eq!(server.get(&format!("/api/v1/tasks/{id}/logs")).await.status, 410);
    // What the history holds is there as long as the task.
    assert_eq!(server.get(&format!("/api/v1/tasks/{id}/logs?stream=stderr")).await.body, b"short");
    assert_eq!(server.get(&path).await.body, b"still here", "a task that runs keeps its log");
}

#[tokio::test]
async fn one_that_cannot_be_removed_keeps_no_other() {
    let server = Server::with(Settings::default(), logs::Settings { keep_bytes: 100_000, ..kept() });
    // No log, and older than every one of that day.
    let older = tessera::task::TaskId::new(Timestamp::now());
    tokio::time::sleep(Duration::from_millis(2)).await;
    let (id, _) = long(&server).await;
    let day = std::fs::read_dir(server.kept()).unwrap().next().unwrap().unwrap().path();
    std::fs::write(day.join(older.as_str()), b"in the way").unwrap();
    server.logs.prune_once(Timestamp::now()).await.unwrap();
    assert_eq!(server.get(&format!("/api/v1/tasks/{id}/logs")).await.status, 410);
}

#[tokio::test]
async fn what_goes_takes_nothing_along_that_is_still_to_be_kept() {
    let server = Server::with(Settings::default(), logs::Settings { keep_bytes: 100_000, ..kept() });
    let older = server.running(1).await;
    let job = format!("{older}-1");
    tokio::time::sleep(Duration::from_millis(2)).await;
    let (newer, _) = long(&server).await;
    server.logs.prune_once(Timestamp::now()).await.unwrap();
    assert_eq!(server.get(&format!("/api/v1/tasks/{newer}/logs")).await.status, 410);
    // It was created before what has just been removed, and ends after.
    server.press.print(&job, 0, Stdout, &[b'a'; 5_000]);
    server.press.end_step(&job, 0, 0);
    server.press.end(&job, Outcome::Complete);
    server.until_released(&job).await;
    let answer = server.get(&format!("/api/v1/tasks/{older}/logs")).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 5_000));
}

#[tokio::test]
async fn too_much_goes_from_the_oldest_on() {
    let server = Server::with(Settings::default(), logs::Settings { keep_bytes: 500_000, ..kept() });
    let mut tasks = Vec::new();
    for _ in 0..3 {
        // Ids are ordered by the millisecond.
        tokio::time::sleep(Duration::from_millis(2)).await;
        tasks.push(long(&server).await.0);
    }
    server.logs.prune_once(Timestamp::now()).await.unwrap();
    let mut answers = Vec::new();
    for id in &tasks {
        answers.push(server.get(&format!("/api/v1/tasks/{id}/logs")).await.status.as_u16());
    }
    assert_eq!(answers, [410, 200, 200]);
}
