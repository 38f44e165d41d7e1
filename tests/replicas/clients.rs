//! Those who create, cancel and look, at whichever server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::ledger::Ledger;
use crate::load::{self, Words};
use crate::random::Random;
use crate::script::Scripted;

/// How long a client waits for an answer before it asks another server.
pub const PATIENCE: Duration = Duration::from_millis(400);

/// What all clients share.
#[derive(Clone)]
pub struct World {
    pub urls: Arc<Vec<String>>,
    pub ledger: Ledger,
    pub words: Arc<Scripted>,
    /// States that never change any more, as somebody has seen them.
    pub ends: Arc<Mutex<BTreeMap<String, String>>>,
    /// The clients are to go home.
    pub over: watch::Receiver<bool>,
}

impl World {
    pub fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// One of the servers.
    pub fn somewhere(&self, random: &mut Random) -> &str {
        &self.urls[usize::try_from(random.below(self.urls.len() as u64)).unwrap()]
    }

    /// Holds a state that was seen against those that were seen before.
    pub fn saw(&self, task: &Value) {
        let (id, state) = (task["id"].as_str().unwrap(), task["state"].as_str().unwrap());
        let mut ends = self.ends.lock().unwrap();
        if let Some(end) = ends.get(id) {
            assert_eq!(end, state, "{id} had ended, and now it is something else");
        } else if load::is_terminal(task) {
            ends.insert(id.to_owned(), state.to_owned());
        }
    }
}

pub fn client() -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder().timeout(PATIENCE).build().unwrap()
}

/// An answer, if there was one: a server that is dead, paused or cut off gives none, or says that it cannot now.
pub async fn asked(request: RequestBuilder) -> Option<Value> {
    let answer = request.send().await.ok()?;
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let status = answer.status();
    let text = answer.text().await.ok()?;
    assert_eq!(status, 200, "{text}");
    Some(serde_json::from_str(&text).unwrap())
}

/// Creates tasks one after another, some by a key, and cancels some.
pub async fn create(world: World, mut random: Random, number: usize) {
    let client = client();
    let mut made = 0;
    while !world.is_over() {
        made += 1;
        let tag = format!("c{number}n{made}x{}", random.below(1 << 40));
        let (executors, promised, hangs) = load::choose(&*world.words, &mut random, tag.clone());
        let mut resources = world.words.resources();
        if random.below(4) == 0 {
            // On the machine of whoever takes it.
            resources["backend_parameters"] = json!({ "backend": "machine" });
        }
        let body = json!({ "executors": executors, "resources": resources, "tags": { "storm": "1" } });
        let post = |url: &str| client.post(format!("{url}/v1/tasks")).json(&body);
        let id = if random.below(2) == 0 {
            let Some(answer) = asked(post(world.somewhere(&mut random))).await else { continue };
            answer["id"].as_str().unwrap().to_owned()
        } else {
            let once = |url: &str| post(url).header("Idempotency-Key", &tag);
            let id = loop {
                if let Some(answer) = asked(once(world.somewhere(&mut random))).await {
                    break answer["id"].as_str().unwrap().to_owned();
                }
                sleep(random.between_ms(5, 50)).await;
            };
            // Asked again anywhere, it is the same task.
            if random.below(2) == 0
                && let Some(answer) = asked(once(world.somewhere(&mut random))).await
            {
                assert_eq!(answer["id"], id.as_str(), "the key {tag} made two tasks");
            }
            id
        };
        world.ledger.acknowledge(&id, promised);
        if hangs || random.below(6) == 0 {
            sleep(random.between_ms(0, 60)).await;
            cancel(&world, &client, &mut random, &id).await;
        }
        sleep(random.between_ms(1, 40)).await;
    }
}

async fn cancel(world: &World, client: &Client, random: &mut Random, id: &str) {
    world.ledger.send_cancel(id);
    while !world.is_over() {
        let url = world.somewhere(random);
        if asked(client.post(format!("{url}/v1/tasks/{id}:cancel"))).await.is_some() {
            world.ledger.acknowledge_cancel(id);
            return;
        }
        sleep(random.between_ms(5, 50)).await;
    }
}

/// Looks at tasks: whatever was acknowledged is known everywhere, and an end is an end.
pub async fn look(world: World, mut random: Random) -> usize {
    let client = client();
    let mut looks = 0;
    while !world.is_over() {
        sleep(random.between_ms(5, 30)).await;
        let ids = world.ledger.ids();
        if ids.is_empty() {
            continue;
        }
        let id = &ids[usize::try_from(random.below(ids.len() as u64)).unwrap()];
        let view = ["MINIMAL", "BASIC", "FULL"][usize::try_from(random.below(3)).unwrap()];
        let url = world.somewhere(&mut random);
        if let Some(task) = asked(client.get(format!("{url}/v1/tasks/{id}?view={view}"))).await {
            world.saw(&task);
            looks += 1;
        }
    }
    looks
}
