//! A server that dies and comes again: no byte is lost, none comes twice.

use tessera_contract::Stream::{Stderr, Stdout};
use tessera_runtime::report::Outcome;

use crate::server::Server;

#[tokio::test]
async fn a_follower_goes_on_with_the_next_server() {
    let mut server = Server::new();
    let id = server.running(2).await;
    let job = format!("{id}-1");
    let path = format!("/api/v1/tasks/{id}/logs?follow=true");
    let mut reader = server.events(&path, None).await;
    let (mut out, mut err): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    for round in 0..6 {
        let executor = round / 3;
        if round == 3 {
            server.press.end_step(&job, 0, 0);
            (out, err) = (Vec::new(), Vec::new());
        }
        let text = format!("round {round} ").repeat(3_000).into_bytes();
        server.press.print(&job, executor, Stdout, &text);
        server.press.print(&job, executor, Stderr, b"oops ");
        out.extend(text);
        err.extend(b"oops ");
        // Somewhere in the middle, sometimes while it is still being read.
        let seen = out.len() - if round % 2 == 0 { 10_000 } else { 0 };
        reader.until(executor as u64, "stdout", seen).await;
        reader = reader.hang_up();
        let last = reader.last.clone();
        server = server.restarted().await;
        server.press.print(&job, executor, Stdout, b"between ");
        out.extend(b"between ");
        reader = reader.on(server.events(&path, last.as_deref()).await);
    }
    server.press.end_step(&job, 1, 0);
    server.press.end(&job, Outcome::Complete);
    assert_eq!(reader.end().await, "COMPLETE");
    assert!(reader.of(1, "stdout") == out, "{} of {} bytes", reader.of(1, "stdout").len(), out.len());
    assert_eq!(reader.of(1, "stderr"), err);
    server.until_released(&job).await;
    assert!(server.get(&format!("/api/v1/tasks/{id}/logs?executor=1")).await.body == out);
}

#[tokio::test]
async fn a_job_that_ended_while_nobody_was_there_is_kept_by_the_next_server() {
    let server = Server::new();
    let id = server.running(1).await;
    let job = format!("{id}-1");
    let path = format!("/api/v1/tasks/{id}/logs");
    let text = b"0123456789".repeat(500);
    server.press.print(&job, 0, Stdout, &text[..3_000]);
    assert_eq!(server.get(&path).await.body, &text[..3_000]);
    let server = server.restarted().await;
    server.press.print(&job, 0, Stdout, &text[3_000..]);
    server.press.end_step(&job, 0, 0);
    server.press.end(&job, Outcome::Complete);
    server.until_released(&job).await;
    let server = server.restarted().await;
    assert_eq!(server.get(&path).await.body, text);
}
