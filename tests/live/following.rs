//! Following what runs.

use tessera_contract::Stream::{Stderr, Stdout};
use tessera_runtime::report::Outcome;

use crate::press::Press;
use crate::server::Server;

#[tokio::test]
async fn bytes_come_as_they_are_printed_until_the_stream_ends() {
    let server = Server::new();
    let id = server.running(1).await;
    let job = format!("{id}-1");
    let mut reader = server.open(&format!("/api/v1/tasks/{id}/logs?follow=true&offset=2")).await;
    server.press.print(&job, 0, Stdout, b"abcd");
    assert_eq!(reader.bytes(2).await, b"cd");
    // Without a line's end, with what is no text.
    server.press.print(&job, 0, Stdout, b"\0\xff\x1b[2J");
    assert_eq!(reader.bytes(6).await, b"\0\xff\x1b[2J");
    server.press.print(&job, 0, Stdout, b"end");
    server.press.end_step(&job, 0, 3);
    server.press.end(&job, Outcome::ExecutorFailed { step: 0 });
    assert_eq!(reader.rest().await, b"end");
}

#[tokio::test]
async fn events_tell_of_both_streams_and_of_one_executor_after_another() {
    let server = Server::new();
    let id = server.running(2).await;
    let job = format!("{id}-1");
    let mut reader = server.events(&format!("/api/v1/tasks/{id}/logs?follow=true"), None).await;
    server.press.print(&job, 0, Stdout, "zwölf €".as_bytes());
    server.press.print(&job, 0, Stderr, b"oops\n");
    reader.until(0, "stderr", 5).await;
    server.press.end_step(&job, 0, 0);
    server.press.print(&job, 1, Stdout, b"binary \xff\xfe\0 and text");
    reader.until(1, "stdout", 19).await;
    server.press.end_step(&job, 1, 0);
    server.press.end(&job, Outcome::Complete);
    assert_eq!(reader.end().await, "COMPLETE");
    assert_eq!(reader.of(0, "stdout"), "zwölf €".as_bytes());
    assert_eq!(reader.of(0, "stderr"), b"oops\n");
    assert_eq!(reader.of(1, "stdout"), b"binary \xff\xfe\0 and text");
    assert_eq!(reader.of(1, "stderr"), b"");

    let mut only = server.events(&format!("/api/v1/tasks/{id}/logs?stream=stderr&executor=0&offset=2"), None).await;
    let event = only.event().await.unwrap();
    assert_eq!((&event.data["text"], &event.data["offset"]), (&"ps\n".into(), &2.into()));
    assert_eq!(only.event().await.unwrap().name, "end");
}

#[tokio::test]
async fn a_character_is_never_cut() {
    let server = Server::new();
    let id = server.running(1).await;
    let job = format!("{id}-1");
    let mut reader = server.events(&format!("/api/v1/tasks/{id}/logs?follow=true"), None).await;
    let euro = "€".as_bytes();
    server.press.print(&job, 0, Stdout, &[b"5 ", &euro[..2]].concat());
    assert_eq!(reader.event().await.unwrap().data["text"], "5 ");
    server.press.print(&job, 0, Stdout, &euro[2..]);
    assert_eq!(reader.event().await.unwrap().data["text"], "€");
    // What never becomes one is told in the end.
    server.press.print(&job, 0, Stdout, &euro[..1]);
    server.press.print(&job, 0, Stderr, b"later");
    assert_eq!(reader.event().await.unwrap().data["text"], "later");
    server.press.end_step(&job, 0, 0);
    server.press.end(&job, Outcome::Complete);
    assert_eq!(reader.end().await, "COMPLETE");
    assert_eq!(reader.of(0, "stdout"), [b"5 ", euro, &euro[..1]].concat());
}

#[tokio::test]
async fn every_id_is_a_place_to_go_on_from() {
    let server = Server::new();
    let id = server.running(2).await;
    let job = format!("{id}-1");
    let path = format!("/api/v1/tasks/{id}/logs?follow=true");
    let pages: Vec<Vec<u8>> = (0..4).map(|n: u8| vec![b'a' + n; 20_000]).collect();
    for executor in 0..2 {
        server.press.print(&job, executor, Stdout, &pages[executor]);
        server.press.print(&job, executor, Stderr, &pages[executor + 2]);
        server.press.end_step(&job, executor, 0);
    }
    server.press.end(&job, Outcome::Complete);
    // A connection each event.
    let mut reader = server.events(&path, None).await;
    let mut connections = 1;
    while reader.event().await.unwrap().name != "end" {
        let last = reader.last.clone();
        reader = reader.on(server.events(&path, last.as_deref()).await);
        connections += 1;
    }
    assert!(connections > 8, "{connections}");
    for executor in 0..2 {
        assert_eq!(reader.of(executor, "stdout"), pages[executor as usize]);
        assert_eq!(reader.of(executor, "stderr"), pages[executor as usize + 2]);
    }
}

#[tokio::test]
async fn an_attempt_follows_the_other() {
    let server = Server::new();
    let id = server.running(1).await;
    let mut reader = server.events(&format!("/api/v1/tasks/{id}/logs?follow=true"), None).await;
    let (first, second) = (format!("{id}-1"), format!("{id}-2"));
    server.press.print(&first, 0, Stdout, b"before the node went");
    server.press.end(&first, Press::lost());
    server.until_released(&first).await;
    crate::server::until("the second attempt runs", async || server.press.holds(&second)).await;
    server.press.print(&second, 0, Stdout, b"again");
    server.press.end_step(&second, 0, 0);
    server.press.end(&second, Outcome::Complete);
    assert_eq!(reader.end().await, "COMPLETE");
    let said: Vec<_> = reader.said.iter().map(|((attempt, ..), bytes)| (*attempt, &bytes[..])).collect();
    assert_eq!(said, [(1, &b"before the node went"[..]), (2, &b"again"[..])]);
    assert_eq!(server.get(&format!("/api/v1/tasks/{id}/logs?attempt=1")).await.body, b"before the node went");
    assert_eq!(server.get(&format!("/api/v1/tasks/{id}/logs")).await.body, b"again");
}

#[tokio::test]
async fn who_reads_slowly_holds_up_nobody() {
    let server = Server::new();
    let id = server.running(1).await;
    let job = format!("{id}-1");
    let path = format!("/api/v1/tasks/{id}/logs?follow=true");
    let (mut slow, mut quick) = (server.events(&path, None).await, server.open(&path).await);
    // One line of ten million bytes.
    let line = vec![b'x'; 10_000_000];
    server.press.print(&job, 0, Stdout, &line);
    assert!(quick.bytes(line.len()).await == line);
    server.press.end_step(&job, 0, 0);
    server.press.end(&job, Outcome::Complete);
    assert_eq!(quick.rest().await, b"");
    server.until_released(&job).await;
    // The job is long gone.
    assert_eq!(slow.end().await, "COMPLETE");
    assert!(slow.of(0, "stdout") == line);
}

#[tokio::test]
async fn a_server_that_stops_ends_every_stream_and_says_no_end() {
    let server = Server::new();
    let id = server.running(1).await;
    let path = format!("/api/v1/tasks/{id}/logs?follow=true");
    let (mut events, mut bytes) = (server.events(&path, None).await, server.open(&path).await);
    server.press.print(&format!("{id}-1"), 0, Stdout, b"abc");
    events.until(0, "stdout", 3).await;
    assert_eq!(bytes.bytes(3).await, b"abc");
    server.stop();
    assert!(events.event().await.is_none());
    assert!(bytes.frame().await.unwrap().is_err(), "a good end would be taken for the log's");
}

#[tokio::test]
async fn who_does_not_follow_is_given_all_that_was_there() {
    let server = Server::new();
    let id = server.running(1).await;
    let job = format!("{id}-1");
    let path = format!("/api/v1/tasks/{id}/logs");
    let text = b"0123456789abcde\n".repeat(600_000);
    server.press.print(&job, 0, Stdout, &text);
    server.press.print(&job, 0, Stderr, b"oops");
    let answer = server.get(&path).await;
    assert!(answer.body == text, "{} of {} bytes", answer.body.len(), text.len());
    assert_eq!(answer.header("tessera-next-offset"), text.len().to_string());
    server.press.print(&job, 0, Stdout, &text);
    let mut reader = server.events(&path, None).await;
    assert_eq!(reader.end().await, "RUNNING");
    assert!(reader.of(0, "stdout").len() == 2 * text.len() && reader.of(0, "stderr") == b"oops");
}

#[tokio::test]
async fn a_part_is_not_given_for_all_of_it() {
    let server = Server::new();
    let id = server.running(1).await;
    let job = format!("{id}-1");
    let path = format!("/api/v1/tasks/{id}/logs");
    server.press.print(&job, 0, Stdout, b"first ");
    assert_eq!(server.get(&path).await.body, b"first ");
    server.press.set_broken(true);
    server.press.print(&job, 0, Stdout, b"second");
    assert_eq!(server.get(&path).await.status, 503);
    server.press.set_broken(false);
    assert_eq!(server.get(&path).await.body, b"first second");
}

#[tokio::test]
async fn a_job_that_ends_just_as_one_comes_has_told_all() {
    let server = Server::new();
    for round in 0..20 {
        let id = server.running(1).await;
        let job = format!("{id}-1");
        let path = format!("/api/v1/tasks/{id}/logs?follow=true");
        let (press, text) = (server.press.clone(), format!("round {round}"));
        let ends = std::thread::spawn({
            let text = text.clone();
            move || {
                press.print(&job, 0, Stdout, text.as_bytes());
                press.end_step(&job, 0, 0);
                press.end(&job, Outcome::Complete);
            }
        });
        let mut reader = server.events(&path, None).await;
        assert_eq!(reader.end().await, "COMPLETE");
        assert_eq!(reader.of(0, "stdout"), text.as_bytes());
        ends.join().unwrap();
    }
}
