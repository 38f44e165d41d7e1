//! What only one server has is read at any of them.

use std::time::Duration;

use futures::StreamExt as _;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::database::Database;
use crate::site::{Ground, Replica};

/// More than the end of it that a task's history holds.
const LONG: usize = 3_000;

fn client() -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    let login = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"))]);
    reqwest::Client::builder().timeout(Duration::from_secs(20)).default_headers(login).build().unwrap()
}

async fn create(client: &reqwest::Client, url: &str, words: Value) -> String {
    let body = json!({ "executors": [{ "image": "scripted", "command": words }] });
    let answer = client.post(format!("{url}/v1/tasks")).json(&body).send().await.unwrap();
    answer.error_for_status().unwrap().json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn until(client: &reqwest::Client, url: &str, id: &str, state: &str) {
    let since = Instant::now();
    loop {
        let task: Value = client.get(format!("{url}/v1/tasks/{id}")).send().await.unwrap().json().await.unwrap();
        if task["state"] == state {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "not {state}: {task}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_task_prints_is_read_at_any_server_or_it_says_who_has_it() {
    let Some(database) = Database::create("forwarding").await else { return };
    let folder = Ground::new();
    let jobs = folder.path().join("jobs");
    let settings = format!(
        "[policy]\nlog_tail_bytes = 100\n[auth]\ntokens = [{{ name = \"ci\", token = \"s3cret\" }}]\n\
         [backends.fake]\nkind = \"scripted\"\nfolder = {jobs:?}\n"
    );
    let mut a = Replica::start(folder.path(), "a", &database, &settings).await;
    let b = Replica::start(folder.path(), "b", &database, &settings).await;
    let client = client();
    let text = |number: usize| format!("{number} ").repeat(LONG / 2);
    let log = |url: &str, id: &str| client.get(format!("{url}/api/v1/tasks/{id}/logs"));

    // Enough of them that each server takes some.
    let mut tasks = Vec::new();
    let (mut of_a, mut of_b) = (None, None);
    while of_a.is_none() || of_b.is_none() {
        assert!(tasks.len() < 60, "one of them takes no tasks");
        let url = if tasks.len() % 2 == 0 { a.url() } else { b.url() };
        let id = create(&client, &url, json!(["print", text(tasks.len() % 10)])).await;
        until(&client, &url, &id, "COMPLETE").await;
        let holder = database.text(&format!("SELECT holder FROM tasks WHERE id = '{id}'")).await;
        if holder.starts_with("a/") {
            of_a = Some(tasks.len())
        } else {
            of_b = Some(tasks.len())
        }
        tasks.push(id);
    }
    for (number, id) in tasks.iter().enumerate() {
        for url in [a.url(), b.url()] {
            let answer = log(&url, id).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["tessera-attempt"], "1");
            assert_eq!(answer.text().await.unwrap(), text(number % 10));
            let events = log(&url, id).header(ACCEPT, "text/event-stream").send().await.unwrap();
            assert_eq!(events.headers()["content-type"], "text/event-stream");
            let events = events.text().await.unwrap();
            assert!(events.contains("event: log") && events.contains("\"state\":\"COMPLETE\""), "{events}");
            let stranger = log(&url, id).header(AUTHORIZATION, "Bearer other").send().await.unwrap();
            assert_eq!(stranger.status(), 401);
        }
    }

    // Followed at both, from before it begins to its end.
    let id = create(&client, &a.url(), json!(["print", "begun", "hang"])).await;
    let mut followers = Vec::new();
    for url in [a.url(), b.url()] {
        let answer = client.get(format!("{url}/api/v1/tasks/{id}/logs?follow=true")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        followers.push(answer.bytes_stream());
    }
    for follower in &mut followers {
        let mut read = Vec::new();
        while read.len() < "begun".len() {
            read.extend(follower.next().await.unwrap().unwrap());
        }
        assert_eq!(read, b"begun");
    }
    let answer = client.post(format!("{}/v1/tasks/{id}:cancel", b.url())).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    for follower in &mut followers {
        assert!(follower.next().await.is_none(), "it ends with the task");
    }

    // Its keeper is dead: the other one says so, and has the rest.
    let (kept_by_a, kept_by_b) = (&tasks[of_a.unwrap()], &tasks[of_b.unwrap()]);
    a.kill();
    let since = Instant::now();
    loop {
        let answer = log(&b.url(), kept_by_a).send().await.unwrap();
        assert_eq!(answer.status(), 503);
        let message = answer.json::<Value>().await.unwrap()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("`a`"), "{message}");
        if message.contains("away since") {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "its lease never ends: {message}");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(log(&b.url(), kept_by_b).send().await.unwrap().status(), 200);
    a.start_again().await;
    a.is_ready().await;
    let since = Instant::now();
    loop {
        let answer = log(&b.url(), kept_by_a).send().await.unwrap();
        if answer.status() == 200 {
            assert_eq!(answer.text().await.unwrap(), text(of_a.unwrap() % 10));
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{}", answer.text().await.unwrap());
        sleep(Duration::from_millis(20)).await;
    }
    a.terminate().await;
    b.terminate().await;
    database.remove().await;
}
