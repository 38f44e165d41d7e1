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

/// Three servers with a shared backend, and a caller.
async fn three(database: &Database, folder: &std::path::Path) -> Vec<Replica> {
    let jobs = folder.join("jobs");
    let settings = format!(
        "retry_after_start = true\n[policy]\nlog_tail_bytes = 100\n\
         [auth]\ntokens = [{{ name = \"ci\", token = \"s3cret\" }}]\n\
         [backends.fake]\nkind = \"scripted\"\nfolder = {jobs:?}\n"
    );
    let mut all = Vec::new();
    for name in ["a", "b", "c"] {
        all.push(Replica::start(folder, name, database, &settings).await);
    }
    all
}

/// The servers in whose folders an attempt's log lies whole.
fn keepers<'a>(replicas: &'a [Replica], id: &str, attempt: u32) -> Vec<&'a str> {
    let keeps = |replica: &&Replica| {
        let days = std::fs::read_dir(replica.site.data.join("logs")).unwrap().flatten();
        days.into_iter().any(|day| day.path().join(id).join(attempt.to_string()).join("closed").exists())
    };
    replicas.iter().filter(keeps).map(|replica| replica.name.as_str()).collect()
}

/// Waits until some server has put away what an attempt printed; its name.
async fn kept(replicas: &[Replica], id: &str, attempt: u32) -> String {
    let since = Instant::now();
    loop {
        if let [one] = keepers(replicas, id, attempt)[..] {
            return one.to_owned();
        }
        assert!(since.elapsed() < Duration::from_secs(20), "nobody keeps attempt {attempt} of {id}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_printed_on_two_servers_is_read_as_one_log() {
    let Some(database) = Database::create("two_servers").await else { return };
    let folder = Ground::new();
    let replicas = three(&database, folder.path()).await;
    let client = client();
    let text = "of both ".repeat(LONG / 8);
    let mut apart = 0;
    for number in 0..60 {
        let url = replicas[number % 3].url();
        let id = create(&client, &url, json!(["print", text, "fault-until", "2", "lost", "gone"])).await;
        until(&client, &url, &id, "COMPLETE").await;
        let (first, second) = (kept(&replicas, &id, 1).await, kept(&replicas, &id, 2).await);
        apart += usize::from(first != second);
        for replica in &replicas {
            let log = |query: &str| client.get(format!("{}/api/v1/tasks/{id}/logs{query}", replica.url()));
            for attempt in [1, 2] {
                let answer = log(&format!("?attempt={attempt}")).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                assert_eq!(answer.headers().get("tessera-log-whole"), None);
                assert_eq!(answer.text().await.unwrap(), text, "attempt {attempt} at {}", replica.name);
            }
            let events = log("").header(ACCEPT, "text/event-stream").send().await.unwrap().text().await.unwrap();
            assert!(!events.contains("event: lost"), "{events}");
            assert_eq!(events.matches("of both ").count(), 2 * (LONG / 8), "{events}");
            assert_eq!(events.matches("event: end").count(), 1);
        }
        if apart == 2 {
            break;
        }
    }
    assert!(apart == 2, "one server made all attempts");
    for replica in replicas {
        replica.terminate().await;
    }
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_server_put_away_is_found_and_what_is_lost_is_said() {
    let Some(database) = Database::create("put_away").await else { return };
    let folder = Ground::new();
    let mut replicas = three(&database, folder.path()).await;
    let client = client();
    let text = "put away ".repeat(LONG / 9);
    let url = replicas[1].url();
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let id = create(&client, &url, json!(["print", text])).await;
        until(&client, &url, &id, "COMPLETE").await;
        let keeper = kept(&replicas, &id, 1).await;
        tasks.push((id, keeper));
    }
    let log = |replica: &Replica, id: &str| client.get(format!("{}/api/v1/tasks/{id}/logs", replica.url()));
    let runs = |name: &str| format!("SELECT holder FROM replicas WHERE name = '{name}'");

    // As if a server had recorded the end, and died: another one has put the job away, and has what it printed.
    let (id, keeper) = &tasks[0];
    let other = replicas.iter().position(|one| one.name != *keeper).unwrap();
    let holder = database.text(&runs(&replicas[other].name)).await;
    database.text(&format!("UPDATE tasks SET holder = '{holder}' WHERE id = '{id}' RETURNING id")).await;
    let stranger = log(&replicas[other], id).header(AUTHORIZATION, "Bearer other").send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    let only = log(&replicas[other], id).header("tessera-kept", "1").send().await.unwrap();
    assert_eq!(only.status(), 404, "it asks nobody for one who wants what lies here");
    for replica in &replicas {
        let answer = log(replica, id).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), text, "at {}", replica.name);
    }
    assert!(keepers(&replicas, id, 1).contains(&replicas[other].name.as_str()), "it was brought there");

    // Nobody has it, and one of them cannot be asked.
    let (id, keeper) = &tasks[1];
    let at = replicas.iter().position(|one| one.name == *keeper).unwrap();
    let logs = replicas[at].site.data.join("logs");
    for day in std::fs::read_dir(logs).unwrap().flatten() {
        let _ = std::fs::remove_dir_all(day.path().join(id));
    }
    let dead = (at + 1) % 3;
    replicas[dead].kill();
    let answer = log(&replicas[at], id).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let message = answer.text().await.unwrap();
    assert!(message.contains(&format!("`{}`, which may have it", replicas[dead].name)), "{message}");
    let events = log(&replicas[at], id).header(ACCEPT, "text/event-stream").send().await.unwrap();
    let events = events.text().await.unwrap();
    assert!(events.contains("event: lost") && events.contains("which may have it"), "{events}");
    replicas[dead].start_again().await;
    replicas[dead].is_ready().await;
    let answer = log(&replicas[at], id).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["tessera-log-whole"]), (200, &"false".parse().unwrap()));
    assert_eq!(answer.text().await.unwrap(), "");
    for replica in replicas {
        replica.terminate().await;
    }
    database.remove().await;
}
