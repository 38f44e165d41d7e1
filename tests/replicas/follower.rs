//! One who follows all events, and goes on at another server whenever nothing comes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::clients::World;
use crate::random::Random;

/// After so long without an event another server is asked: this one may be paused, or cut off.
const SILENCE: Duration = Duration::from_millis(700);

/// What was told of each task, in the order in which it came.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

impl Told {
    /// Follows what happens after an event, until told to stop. The storm's end is not the end of this: what happens in
    /// its wake counts too.
    pub async fn follow(self, world: World, after: String, mut random: Random, stopped: watch::Receiver<bool>) {
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().connect_timeout(SILENCE).build().unwrap();
        let mut last = after;
        while !*stopped.borrow() {
            let call = client.get(format!("{}/api/v1/events", world.somewhere(&mut random)));
            let call = call.header("Last-Event-ID", &last);
            let Ok(Ok(answer)) = tokio::time::timeout(SILENCE, call.send()).await else { continue };
            if answer.status() != 200 {
                assert_eq!(answer.status(), 503);
                sleep(Duration::from_millis(20)).await;
                continue;
            }
            let mut pieces = answer.bytes_stream();
            let mut read = String::new();
            while let Ok(Some(Ok(piece))) = tokio::time::timeout(SILENCE, pieces.next()).await {
                read.push_str(std::str::from_utf8(&piece).unwrap());
                while let Some(end) = read.find("\n\n") {
                    let event: String = read.drain(..end + 2).collect();
                    self.hear(&event, &mut last);
                }
            }
        }
    }

    fn hear(&self, event: &str, last: &mut String) {
        let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let (Some(id), Some(data)) = (line("id:"), line("data:")) else { return };
        assert_ne!(line("event:"), Some("gap"), "events were lost: {event}");
        let number = |id: &str| id.rsplit_once('-').unwrap().1.parse::<u64>().unwrap();
        assert!(number(last) < number(id), "{id} came behind {last}");
        id.clone_into(last);
        if line("event:") != Some("state") {
            return;
        }
        let told: Value = serde_json::from_str(data).unwrap();
        let mut all = self.0.lock().unwrap();
        let states = all.entry(told["task"].as_str().unwrap().to_owned()).or_default();
        let before = states.last().map(String::as_str);
        assert_eq!(told["previous"].as_str(), before, "out of order, behind {states:?}: {told}");
        states.push(told["state"].as_str().unwrap().to_owned());
    }

    /// Waits until the last thing it was told of each task is where the task stands.
    pub async fn has_heard_all(&self, tasks: &[Value]) {
        let since = Instant::now();
        for task in tasks {
            let (id, state) = (task["id"].as_str().unwrap(), task["state"].as_str().unwrap());
            loop {
                let told = self.0.lock().unwrap().get(id).cloned().unwrap_or_default();
                if told.last().map(String::as_str) == Some(state) {
                    assert_eq!(told.iter().filter(|one| *one == state).count(), 1, "{id}: {told:?}");
                    break;
                }
                assert!(since.elapsed() < Duration::from_secs(30), "{id} is {state}, and was told to be {told:?}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
