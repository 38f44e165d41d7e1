//! What becomes of tasks: told by the server where it tells, otherwise a reason to look, now and then.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{sleep, timeout};
use url::Url;

use crate::client::wire::State;
use crate::client::{Client, Event, Events};

/// The first look comes soon, so that a short task is seen to end at once; later ones are polite.
const FIRST_LOOK: Duration = Duration::from_millis(40);
const SLOWEST_LOOK: Duration = Duration::from_secs(1);
/// How often is looked all the same while the server tells.
const LOOK_ALL_THE_SAME: Duration = Duration::from_secs(30);
/// As many can be named in an address; of more, all of the caller's are listened to.
const NAMED: usize = 500;

/// What comes next.
#[derive(Debug, PartialEq)]
pub enum Word {
    /// A task shows this state now.
    State(String, State),
    /// Nothing was told: look for yourself.
    Look,
}

/// The news of some tasks.
pub struct News<'a> {
    client: &'a Client,
    url: Url,
    stream: Option<Events>,
    /// The last event seen: where to go on.
    last: Option<String>,
    /// The server does not tell: it is no Tessera, or an old one.
    silent: bool,
    pause: Duration,
}

/// What an event `state` says.
#[derive(Deserialize)]
struct Told {
    task: String,
    state: State,
}

impl<'a> News<'a> {
    /// Listens, if the server tells. Look at the tasks after this, or what happened before is missed.
    pub async fn about(client: &'a Client, ids: &[String]) -> Self {
        let mut url = client.address().own(&["events"]);
        if ids.len() <= NAMED {
            url.query_pairs_mut().extend_pairs(ids.iter().map(|id| ("task", id)));
        }
        let mut news = Self { client, url, stream: None, last: None, silent: false, pause: FIRST_LOOK };
        news.listen().await;
        news
    }

    /// Waits for what comes next, no longer than a time.
    pub async fn next(&mut self, most: Option<Duration>) -> Word {
        let most = most.unwrap_or(Duration::MAX);
        loop {
            let Some(stream) = &mut self.stream else {
                sleep(self.pause.min(most)).await;
                self.pause = (self.pause * 3 / 2).min(SLOWEST_LOOK);
                let went_on = !self.silent && self.listen().await && self.last.is_some();
                // Without a place to go on from, what happened meanwhile is not told.
                if went_on {
                    continue;
                }
                return Word::Look;
            };
            match timeout(most.min(LOOK_ALL_THE_SAME), stream.next()).await {
                Ok(Ok(Some(event))) => {
                    self.pause = FIRST_LOOK;
                    if let Some(word) = self.hear(event) {
                        return word;
                    }
                }
                Ok(Ok(None) | Err(_)) => self.stream = None,
                Err(_) => return Word::Look,
            }
        }
    }

    fn hear(&mut self, event: Event) -> Option<Word> {
        self.last = event.id.or(self.last.take());
        match event.name.as_str() {
            "state" => {
                let told: Told = serde_json::from_str(&event.data).ok()?;
                Some(Word::State(told.task, told.state))
            }
            "gap" => Some(Word::Look),
            _ => None,
        }
    }

    async fn listen(&mut self) -> bool {
        match self.client.events("tell what happens", self.url.clone(), self.last.as_deref()).await {
            Ok(stream) => {
                self.stream = Some(stream);
                true
            }
            Err(error) => {
                self.silent = !error.is_passing();
                false
            }
        }
    }
}
