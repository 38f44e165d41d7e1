//! What becomes of tasks: told by the server where it tells, otherwise a reason to look, now and then.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use crate::client::wire::State;
use crate::client::{Client, ClientError, Event, Events};

/// The first look comes soon, so that a short task is seen to end at once; later ones are polite.
const FIRST_LOOK: Duration = Duration::from_millis(40);
const SLOWEST_LOOK: Duration = Duration::from_secs(1);
/// How often is looked all the same while the server tells.
const LOOK_ALL_THE_SAME: Duration = Duration::from_secs(30);
/// How long opening a stream may take. What stands between us and the server may hold back what has no end.
const OPENED_WITHIN: Duration = Duration::from_secs(3);
/// Streams in a row that could not be opened, before the server counts as one that does not tell.
const DEAF: u32 = 3;
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
    /// Streams in a row that could not be opened.
    deaf: u32,
    pause: Duration,
    /// When there was last a reason to look.
    looked: Instant,
}

/// What an event `state` says.
#[derive(Deserialize)]
struct Told {
    task: String,
    state: State,
}

impl<'a> News<'a> {
    /// Listens, if the server tells. Look at the tasks after this, or what happened before is missed.
    pub async fn about(client: &'a Client, ids: &[String], most: Option<Duration>) -> Self {
        let mut url = client.address().own(&["events"]);
        if ids.len() <= NAMED {
            url.query_pairs_mut().extend_pairs(ids.iter().map(|id| ("task", id)));
        }
        let mut news = Self {
            client,
            url,
            stream: None,
            last: None,
            silent: false,
            deaf: 0,
            pause: FIRST_LOOK,
            looked: Instant::now(),
        };
        news.listen(most.unwrap_or(Duration::MAX)).await;
        news
    }

    /// Waits for what comes next, no longer than a time.
    pub async fn next(&mut self, most: Option<Duration>) -> Word {
        let word = self.word(Instant::now(), most.unwrap_or(Duration::MAX)).await;
        if word == Word::Look {
            self.looked = Instant::now();
        }
        word
    }

    async fn word(&mut self, began: Instant, most: Duration) -> Word {
        loop {
            let most = most.saturating_sub(began.elapsed());
            let Some(stream) = &mut self.stream else {
                sleep(self.pause.min(most)).await;
                self.pause = (self.pause * 3 / 2).min(SLOWEST_LOOK);
                let went_on = !self.silent && self.listen(most).await && self.last.is_some();
                // Without a place to go on from, what happened meanwhile is not told.
                if went_on {
                    continue;
                }
                return Word::Look;
            };
            // However much is told in between.
            let look = LOOK_ALL_THE_SAME.saturating_sub(self.looked.elapsed());
            match timeout(most.min(look), stream.next()).await {
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

    async fn listen(&mut self, most: Duration) -> bool {
        let opened = self.client.events("tell what happens", self.url.clone(), self.last.as_deref());
        match timeout(most.min(OPENED_WITHIN), opened).await {
            Ok(Ok(stream)) => {
                (self.stream, self.deaf) = (Some(stream), 0);
                return true;
            }
            // One that is away altogether is no other server when it is back.
            Ok(Err(ClientError::Unreachable { .. })) => {}
            Ok(Err(error)) if !error.is_passing() => self.silent = true,
            Ok(Err(_)) | Err(_) => self.deaf += 1,
        }
        self.silent |= self.deaf >= DEAF;
        false
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::client::{Address, Login};

    /// A server that gives each connection the next answer and hangs up; answers the heads that were sent.
    async fn serving(answers: &'static [&'static str]) -> (Client, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let serving = tokio::spawn(async move {
            let mut heads = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
                }
                heads.push(String::from_utf8(head).unwrap().to_ascii_lowercase());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            heads
        });
        (Client::new(address, Login::Anonymous).unwrap(), serving)
    }

    const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn after_a_cut_the_news_go_on_where_they_were() {
        const FIRST: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
                             id: a-1\n\nevent: state\nid: a-2\ndata: {\"task\":\"t\",\"state\":\"RUNNING\"}\n\n";
        const SECOND: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
                              event: new-kind\nid: a-3\ndata: {}\n\nevent: gap\nid: a-4\ndata: {}\n\n\
                              event: state\nid: a-5\ndata: {\"task\":\"t\",\"state\":\"COMPLETE\"}\n\n";
        let (client, serving) = serving(&[FIRST, SECOND]).await;
        let mut news = News::about(&client, &["t".to_owned()], None).await;
        assert_eq!(news.next(None).await, Word::State("t".to_owned(), State::Running));
        assert_eq!(news.next(None).await, Word::Look);
        assert_eq!(news.next(None).await, Word::State("t".to_owned(), State::Complete));
        let heads = serving.await.unwrap();
        assert!(heads[0].starts_with("get /api/v1/events?task=t ") && !heads[0].contains("last-event-id"));
        assert!(heads[1].contains("last-event-id: a-2"), "{}", heads[1]);
    }

    #[tokio::test]
    async fn without_a_place_to_go_on_from_there_is_a_reason_to_look() {
        let (client, serving) = serving(&[STREAM, STREAM]).await;
        let mut news = News::about(&client, &[], None).await;
        assert_eq!(news.next(None).await, Word::Look);
        serving.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_held_back_is_given_up() {
        // It takes the connections and says nothing, as a gateway does that waits for the end of an answer.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let client = Client::new(address, Login::Anonymous).unwrap();
        let mut news = News::about(&client, &["t".to_owned()], Some(Duration::from_secs(1))).await;
        for _ in 1..DEAF {
            assert!(!news.silent);
            assert_eq!(news.next(None).await, Word::Look);
        }
        assert!(news.silent);
    }

    #[tokio::test]
    async fn a_server_that_does_not_tell_is_asked_now_and_then() {
        let (client, serving) = serving(&["HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"]).await;
        let mut news = News::about(&client, &["t".to_owned()], None).await;
        assert_eq!(news.next(None).await, Word::Look);
        // Nobody serves any more: it is not asked for a stream again.
        serving.await.unwrap();
        assert_eq!(news.next(None).await, Word::Look);
        assert!(news.silent);
    }
}
