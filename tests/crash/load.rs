//! A mixed load: clients that create and cancel until they are stopped, or their server dies under them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::ledger::{Acknowledged, Ledger};
use crate::random::Random;

/// Words that make an executor do something on the backend under test.
pub trait Words: Sync {
    /// Leaves a line in the file outside.
    fn line(&self, line: &str) -> Value;
    /// Leaves a line after a while.
    fn slow_line(&self, line: &str) -> Value;
    /// Ends with an exit code.
    fn exit(&self, code: i32) -> Value;
    /// Runs until it is stopped.
    fn hang(&self) -> Value;
    /// What every task needs beside its executors.
    fn resources(&self) -> Value;
}

/// A client that gives up after a while.
pub fn client() -> reqwest::Client {
    // Nothing here speaks TLS, yet the client wants to know how.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap()
}

/// Creates tasks one after another, cancelling some, until the server is gone or `most` are made.
pub async fn run(url: &str, words: &dyn Words, ledger: &Ledger, random: &mut Random, round: usize, most: usize) {
    let client = client();
    for number in 0..most {
        let tag = format!("r{round}n{number}x{}", random.below(1 << 40));
        let (executors, task, hangs) = choose(words, random, tag);
        let body = json!({ "executors": executors, "resources": words.resources(), "tags": { "crash": "1" } });
        let Ok(answer) = client.post(format!("{url}/v1/tasks")).json(&body).send().await else { return };
        assert_eq!(answer.status(), 200);
        let Ok(answer) = answer.json::<Value>().await else { return };
        let id = answer["id"].as_str().unwrap().to_owned();
        ledger.acknowledge(&id, task);
        if hangs || random.below(6) == 0 {
            if random.below(2) == 0 {
                tokio::time::sleep(random.between_ms(0, 30)).await;
            }
            ledger.send_cancel(&id);
            let Ok(answer) = client.post(format!("{url}/v1/tasks/{id}:cancel")).send().await else { return };
            assert_eq!(answer.status(), 200);
            ledger.acknowledge_cancel(&id);
        }
    }
}

/// A task of one of the kinds: its executors, what is promised of it, and whether it ends only by a cancel.
pub fn choose(words: &dyn Words, random: &mut Random, tag: String) -> (Value, Acknowledged, bool) {
    let line = |n: usize| words.line(&format!("{tag}-{n}"));
    let (executors, ends, lines, hangs) = match random.below(6) {
        0 => (json!([line(0)]), "COMPLETE", 1, false),
        1 => (json!([line(0), line(1), line(2)]), "COMPLETE", 3, false),
        2 => (json!([line(0), words.exit(3), line(1)]), "EXECUTOR_ERROR", 1, false),
        3 => {
            let mut failing = words.exit(4);
            failing["ignore_error"] = json!(true);
            (json!([failing, line(0)]), "COMPLETE", 1, false)
        }
        4 => (json!([words.slow_line(&format!("{tag}-0")), line(1)]), "COMPLETE", 2, false),
        _ => (json!([line(0), words.hang()]), "CANCELED", 1, true),
    };
    (executors, Acknowledged { tag, ends, lines, cancel_sent: false, cancelled: false }, hangs)
}

/// Creates one task.
pub async fn create(url: &str, task: &Value) -> String {
    let answer = client().post(format!("{url}/v1/tasks")).json(task).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

/// Waits until at least one task is RUNNING.
pub async fn until_some_run(url: &str) {
    let client = client();
    let since = tokio::time::Instant::now();
    while !all(&client, url, "MINIMAL").await.iter().any(|task| task["state"] == "RUNNING") {
        assert!(since.elapsed() < Duration::from_secs(30), "no task has begun to run");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until every task has ended, and answers them all in FULL.
pub async fn all_ended(url: &str, within: Duration) -> Vec<Value> {
    let client = client();
    let since = tokio::time::Instant::now();
    loop {
        let tasks = all(&client, url, "MINIMAL").await;
        let open: Vec<&Value> = tasks.iter().filter(|task| !is_terminal(task)).collect();
        if open.is_empty() {
            return all(&client, url, "FULL").await;
        }
        if since.elapsed() > within {
            // Cancel is what a hanging task waits for when its client died before asking.
            let id = open[0]["id"].as_str().unwrap();
            let full: Value =
                client.get(format!("{url}/v1/tasks/{id}?view=FULL")).send().await.unwrap().json().await.unwrap();
            panic!("{} tasks have not ended after {within:?}, the first: {full}", open.len());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Cancels what a client could no longer cancel because its server died first.
pub async fn cancel_the_rest(url: &str, ledger: &Ledger) {
    let client = client();
    for id in ledger.hanging() {
        ledger.send_cancel(&id);
        let answer = client.post(format!("{url}/v1/tasks/{id}:cancel")).send().await.unwrap();
        assert_eq!(answer.status(), 200, "an acknowledged task is known");
        ledger.acknowledge_cancel(&id);
    }
    // Tasks that were stored without an acknowledgement may hang too.
    for task in all(&client, url, "MINIMAL").await {
        let id = task["id"].as_str().unwrap();
        if !is_terminal(&task) && !ledger.knows(id) {
            client.post(format!("{url}/v1/tasks/{id}:cancel")).send().await.unwrap();
        }
    }
}

/// Whether a task has ended.
pub fn is_terminal(task: &Value) -> bool {
    ["COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"].contains(&task["state"].as_str().unwrap())
}

/// All tasks, page by page.
pub async fn all(client: &reqwest::Client, url: &str, view: &str) -> Vec<Value> {
    let mut tasks = Vec::new();
    let mut token = String::new();
    loop {
        let asked = client.get(format!("{url}/v1/tasks?view={view}&page_size=500&page_token={token}"));
        let page: Value = asked.send().await.unwrap().json().await.unwrap();
        assert!(page["tasks"].is_array(), "no page of tasks: {page}");
        tasks.extend(page["tasks"].as_array().unwrap().iter().cloned());
        match page["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => return tasks,
        }
    }
}
