//! Clients that create and look until they are stopped; and what must be true of what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, watch};
use tokio::task::JoinSet;

const CLIENTS: usize = 4;

/// How long all tasks may take to end, and a load to go on.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the clients saw.
#[derive(Default)]
struct Seen {
    /// By id: the line that its executor leaves outside.
    acknowledged: BTreeMap<String, String>,
    /// What 503s said.
    refused: BTreeSet<String>,
    refusals: usize,
}

/// A load that goes on until it is stopped.
pub struct Load {
    seen: Arc<Mutex<Seen>>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
    url: String,
    lines: PathBuf,
    /// Whoever asks holds it for reading.
    gate: Arc<RwLock<()>>,
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap()
}

impl Load {
    /// Begins; each task leaves a line in a file of the folder.
    pub fn start(url: &str, folder: &Path) -> Self {
        let lines = folder.join("lines");
        std::fs::write(&lines, "").unwrap();
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), watch::Sender::new(false));
        let gate = Arc::<RwLock<()>>::default();
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(creating(
                number,
                url.to_owned(),
                lines.clone(),
                Arc::clone(&seen),
                stop.subscribe(),
                gate.clone(),
            ));
        }
        Self { seen, stop, clients, url: url.to_owned(), lines, gate }
    }

    /// Waits until so many more tasks were acknowledged.
    pub async fn more(&mut self, tasks: usize) {
        let wanted = self.acknowledged() + tasks;
        let since = Instant::now();
        while self.acknowledged() < wanted {
            assert!(
                since.elapsed() < PATIENCE,
                "no more tasks are acknowledged: {:?}",
                self.seen.lock().unwrap().refused
            );
            if let Some(ended) = self.clients.try_join_next() {
                ended.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Nobody asks until what this answers is dropped.
    pub async fn pause(&self) -> OwnedRwLockWriteGuard<()> {
        self.gate.clone().write_owned().await
    }

    /// Waits until some client was refused.
    pub async fn refused(&mut self) {
        let before = self.seen.lock().unwrap().refusals;
        let since = Instant::now();
        while self.seen.lock().unwrap().refusals == before {
            assert!(since.elapsed() < PATIENCE, "nobody is refused");
            if let Some(ended) = self.clients.try_join_next() {
                ended.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn acknowledged(&self) -> usize {
        self.seen.lock().unwrap().acknowledged.len()
    }

    /// Stops, and holds every acknowledged task against what was promised. Answers how many there were, and how many
    /// were refused.
    pub async fn check(mut self) -> (usize, usize) {
        self.stop.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        let ended = all_ended(&self.url).await;
        let text = std::fs::read_to_string(&self.lines).unwrap();
        for (id, line) in &seen.acknowledged {
            let task = ended.get(id).unwrap_or_else(|| panic!("the acknowledged task {id} is gone"));
            assert_eq!(task, "COMPLETE", "{id}");
            let count = text.lines().filter(|written| written == line).count();
            assert_eq!(count, 1, "the executor of {id} left {count} lines");
        }
        for sentence in &seen.refused {
            assert!(sentence.len() > 20 && sentence.contains(' '), "`{sentence}` is no sentence");
        }
        (seen.acknowledged.len(), seen.refusals)
    }
}

/// Creates one task after another, and looks at each.
async fn creating(
    number: usize,
    url: String,
    lines: PathBuf,
    seen: Arc<Mutex<Seen>>,
    stop: watch::Receiver<bool>,
    gate: Arc<RwLock<()>>,
) {
    let client = client();
    for n in 0.. {
        if *stop.borrow() {
            return;
        }
        let asking = gate.read().await;
        let line = format!("c{number}n{n}");
        let executor = json!({ "image": "scripted", "command": ["append", lines, line] });
        let body = json!({ "executors": [executor], "resources": { "cpu_cores": 1 }, "tags": { "client": number.to_string() } });
        // The server is there whatever its database does: every request has an answer.
        let answer = client.post(format!("{url}/v1/tasks")).json(&body).send().await.unwrap();
        let Some(created) = told(answer, &seen).await else { continue };
        let id = created["id"].as_str().unwrap().to_owned();
        seen.lock().unwrap().acknowledged.insert(id.clone(), line);
        let answer = client.get(format!("{url}/v1/tasks/{id}")).send().await.unwrap();
        if let Some(task) = told(answer, &seen).await {
            assert_eq!(task["id"], id.as_str());
        }
        let listing = format!("{url}/v1/tasks?page_size=5&tag_key=client&tag_value={number}");
        let answer = client.get(listing).send().await.unwrap();
        told(answer, &seen).await;
        drop(asking);
        // A few dozen a second are load enough; what counts is that somebody always asks.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A 200's body; anything else must be a 503 with a sentence.
async fn told(answer: reqwest::Response, seen: &Mutex<Seen>) -> Option<Value> {
    let status = answer.status();
    let body = answer.text().await.unwrap();
    if status == 200 {
        return Some(serde_json::from_str(&body).unwrap());
    }
    assert_eq!(status, 503, "{body}");
    let mut seen = seen.lock().unwrap();
    seen.refusals += 1;
    seen.refused.insert(body);
    None
}

/// Waits until every task has ended; their states by id.
async fn all_ended(url: &str) -> BTreeMap<String, String> {
    let client = client();
    let since = Instant::now();
    loop {
        let states = all(&client, url).await;
        let open = states
            .iter()
            .find(|(_, state)| !["COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"].contains(&state.as_str()));
        let Some((id, state)) = open else { return states };
        if since.elapsed() > PATIENCE {
            let task = client.get(format!("{url}/v1/tasks/{id}?view=FULL")).send().await.unwrap().text().await.unwrap();
            panic!("{id} is still {state}: {task}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn all(client: &reqwest::Client, url: &str) -> BTreeMap<String, String> {
    let mut states = BTreeMap::new();
    let mut token = String::new();
    loop {
        let page = client.get(format!("{url}/v1/tasks?page_size=500&page_token={token}")).send().await.unwrap();
        let page: Value = page.error_for_status().unwrap().json().await.unwrap();
        for task in page["tasks"].as_array().unwrap() {
            states.insert(task["id"].as_str().unwrap().to_owned(), task["state"].as_str().unwrap().to_owned());
        }
        match page["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => return states,
        }
    }
}
