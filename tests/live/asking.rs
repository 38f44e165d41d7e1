//! What may be asked, and what is answered to what makes no sense.

use axum::body::Body;
use axum::http::Request;
use tessera::http::{Access, Credentials, Secret, Settings, Token};
use tessera::logs;
use tessera_contract::Stream::{Stderr, Stdout};
use tessera_runtime::report::Outcome;

use crate::server::Server;

#[tokio::test]
async fn a_stream_is_read_from_an_offset_also_while_it_grows() {
    let server = Server::new();
    let id = server.running(2).await;
    let job = format!("{id}-1");
    let logs = format!("/api/v1/tasks/{id}/logs");
    server.press.print(&job, 0, Stdout, b"one two");
    server.press.print(&job, 0, Stderr, b"oops\xff\0");

    let answer = server.get(&logs).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"one two"[..]));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!((answer.header("tessera-next-offset"), answer.header("tessera-log-ended")), ("7", "false"));

    server.press.print(&job, 0, Stdout, b" three");
    let answer = server.get(&format!("{logs}?offset=7")).await;
    assert_eq!((&answer.body[..], answer.header("tessera-next-offset")), (&b" three"[..], "13"));
    assert_eq!(server.get(&format!("{logs}?executor=0&stream=stderr&attempt=1")).await.body, b"oops\xff\0");
    assert_eq!(server.get(&format!("{logs}?executor=1")).await.body, b"");
    // It may still come there.
    let answer = server.get(&format!("{logs}?offset=99")).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..], answer.header("tessera-next-offset")), (200, &b""[..], "99"));

    server.press.end_step(&job, 0, 0);
    server.press.end_step(&job, 1, 0);
    server.press.end(&job, Outcome::Complete);
    server.until_state(&id, "COMPLETE").await;
    let answer = server.get(&format!("{logs}?offset=13")).await;
    assert_eq!((answer.status.as_u16(), answer.header("tessera-log-ended")), (200, "true"));
    let answer = server.get(&format!("{logs}?offset=14")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["field"]), (400, &"offset".into()));
}

#[tokio::test]
async fn what_makes_no_sense_is_named() {
    let server = Server::new();
    let id = server.running(2).await;
    for (query, field) in [
        ("attempt=0", "attempt"),
        ("attempt=2", "attempt"),
        ("attempt=x", "attempt"),
        ("executor=2", "executor"),
        ("executor=-1", "executor"),
        ("executor=%2B1", "executor"),
        ("stream=stdin", "stream"),
        ("stream=stdout&stream=stderr", "stream"),
        ("offset=-1", "offset"),
        ("offset=99999999999999999999", "offset"),
        ("follow=yes", "follow"),
        ("cursor=1.0.0.0", "cursor"),
    ] {
        let answer = server.get(&format!("/api/v1/tasks/{id}/logs?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.json()["field"].as_str()), (400, Some(field)), "{query}");
    }
    let events = |query: &str, last: &str| {
        let request = Request::get(format!("/api/v1/tasks/{id}/logs?{query}")).header("accept", "text/event-stream");
        request.header("last-event-id", last).body(Body::empty()).unwrap()
    };
    for (query, last, field) in [
        ("offset=3", "", "offset"),
        ("offset=3&stream=stdout", "", "offset"),
        ("cursor=1.0.0", "", "cursor"),
        ("cursor=2.0.0.0", "", "cursor"),
        ("cursor=1.3.0.0", "", "cursor"),
        ("executor=1&cursor=1.0.0.0", "", "cursor"),
        ("", "nonsense", "Last-Event-ID"),
        ("cursor=1.0.0.0", "1.0.0.0.0", "Last-Event-ID"),
    ] {
        let answer = server.send(events(query, last)).await;
        assert_eq!((answer.status.as_u16(), answer.json()["field"].as_str()), (400, Some(field)), "{query} {last}");
    }
    for path in ["/api/v1/tasks/nobody/logs", "/api/v1/tasks/01h00000000000000000000000/logs"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_cursor_may_say_anything_and_harms_nobody() {
    let server = Server::new();
    let id = server.running(1).await;
    let job = format!("{id}-1");
    let path = format!("/api/v1/tasks/{id}/logs?follow=true");
    let far = |stdout: u64, stderr: u64| format!("1.0.{stdout}.{stderr}");
    // Half a character, and nothing of the other stream for as long as anybody lives.
    server.press.print(&job, 0, Stdout, &"\u{20ac}".as_bytes()[..2]);
    let mut reader = server.events(&path, Some(&far(0, u64::MAX))).await;
    let mut other = server.events(&path, Some(&far(u64::MAX - 1, u64::MAX - 2))).await;
    server.press.print(&job, 0, Stdout, &"\u{20ac}".as_bytes()[2..]);
    assert_eq!(reader.event().await.unwrap().data["text"], "\u{20ac}");
    server.press.print(&job, 0, Stderr, b"oops");
    server.press.end_step(&job, 0, 0);
    server.press.end(&job, Outcome::Complete);
    assert_eq!((reader.end().await, other.end().await), ("COMPLETE".to_owned(), "COMPLETE".to_owned()));
    for (cursor, status) in [(far(3, 4), 200), (far(4, 4), 400), (far(3, u64::MAX), 400)] {
        let request = Request::get(format!("{path}&cursor={cursor}")).header("accept", "text/event-stream");
        let request = request.body(Body::empty()).unwrap();
        let answer = server.send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{cursor}");
        if status == 400 {
            assert_eq!(answer.json()["field"], "cursor");
        }
    }
}

#[tokio::test]
async fn another_owners_task_is_unknown() {
    let token = |name: &str| Token { name: name.to_owned(), token: Secret::new(name) };
    let access = Access::Required(Credentials { tokens: vec![token("ann"), token("ben")], users: vec![] });
    let server = Server::with(Settings { access, ..Settings::default() }, logs::Settings::default());
    let ask = |method: &str, path: &str, who: &str, body: &str| {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {who}"));
        request.body(Body::from(body.to_owned())).unwrap()
    };
    let task = r#"{"executors":[{"image":"none","command":["print"]}]}"#;
    let created = server.send(ask("POST", "/ga4gh/tes/v1/tasks", "ann", task)).await.json();
    let logs = format!("/api/v1/tasks/{}/logs", created["id"].as_str().unwrap());
    assert_eq!(server.send(ask("GET", &logs, "ann", "")).await.status, 200);
    assert_eq!(server.send(ask("GET", &logs, "ben", "")).await.status, 404);
    assert_eq!(server.get(&logs).await.status, 401);
}
