//! What Tessera tells beyond TES. Other servers do not: there the answer is `None`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::error::ClientError;
use super::http::Client;

/// What a task waits for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// What kind of reason it is, as a word for programs.
    pub kind: String,
    /// A sentence for people.
    pub message: String,
    /// All the rest.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A task, as much of it as TES has no words for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnTask {
    /// Its id.
    pub id: String,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// All the rest.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A page of the queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct QueuePage {
    tasks: Vec<OwnTask>,
    next_page_token: Option<String>,
}

/// The most tasks that one request tells of.
const PAGE: &str = "2047";
/// How long the queue is asked for: it may be long, and is only part of what is shown.
const PATIENCE: Duration = Duration::from_secs(6);

impl Client {
    /// Why a task waits; `None` when it does not, and when the server is not a Tessera.
    pub async fn waiting(&self, id: &str) -> Result<Option<Waiting>, ClientError> {
        let call = self.get_of(self.address().own(&["tasks", id]));
        let told = if_told(self.answer::<OwnTask>(&format!("tell what task {id} waits for"), call).await)?;
        Ok(told.and_then(|task| task.waiting))
    }

    /// What the tasks of the queue wait for, by id, from its front on, as far as that is told in a few seconds; nothing
    /// when the server is not a Tessera.
    pub async fn queue(&self) -> Result<BTreeMap<String, Waiting>, ClientError> {
        self.queue_within(PATIENCE).await
    }

    async fn queue_within(&self, time: Duration) -> Result<BTreeMap<String, Waiting>, ClientError> {
        let until = Instant::now() + time;
        let mut queue = BTreeMap::new();
        let mut token = None;
        loop {
            let Ok(page) = timeout_at(until, self.queue_page(token.as_deref())).await else { return Ok(queue) };
            let page = page?.unwrap_or_default();
            queue.extend(page.tasks.into_iter().filter_map(|task| Some((task.id, task.waiting?))));
            // A page without tasks is not the last one: the server has only so much time for each.
            token = page.next_page_token;
            if token.is_none() {
                return Ok(queue);
            }
        }
    }

    async fn queue_page(&self, token: Option<&str>) -> Result<Option<QueuePage>, ClientError> {
        let mut url = self.address().own(&["queue"]);
        url.query_pairs_mut().append_pair("page_size", PAGE).extend_pairs(token.map(|token| ("page_token", token)));
        if_told(self.answer("show the queue", self.get_of(url)).await)
    }
}

/// What other servers answer to a path that they do not know is no error.
fn if_told<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(told) => Ok(Some(told)),
        Err(ClientError::NotTes { .. } | ClientError::Refused { status: 400..=499 | 501, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

    use super::*;
    use crate::client::{Address, Login};

    /// A client of a server that answers each page of the queue by its token.
    async fn client(page: fn(Option<&str>) -> Value) -> Client {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let mut connection = BufReader::new(connection);
                let (mut asked, mut header) = (String::new(), String::new());
                connection.read_line(&mut asked).await.unwrap();
                while header != "\r\n" {
                    header.clear();
                    connection.read_line(&mut header).await.unwrap();
                }
                let body =
                    page(asked.split(['?', '&', ' ']).find_map(|pair| pair.strip_prefix("page_token="))).to_string();
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length";
                let answer = format!("{head}: {}\r\n\r\n{body}", body.len());
                // Whoever does not wait for it has gone.
                let _gone = connection.get_mut().write_all(answer.as_bytes()).await;
            }
        });
        Client::new(address, Login::Anonymous).unwrap()
    }

    #[tokio::test]
    async fn the_queue_is_walked_over_empty_pages_to_its_end() {
        let client = client(|token| match token {
            None => json!({ "tasks": [{ "id": "a", "waiting": {} }], "next_page_token": "1" }),
            Some("1") => json!({ "tasks": [], "next_page_token": "2" }),
            Some(_) => json!({ "tasks": [{ "id": "b", "waiting": {} }] }),
        });
        let queue = client.await.queue().await.unwrap();
        assert_eq!(queue.keys().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_queue_without_end_is_left_when_the_time_is_over() {
        let client = client(|_| json!({ "tasks": [{ "id": "a", "waiting": {} }], "next_page_token": "1" })).await;
        let queue = client.queue_within(Duration::from_millis(200)).await.unwrap();
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn a_server_without_this_api_tells_nothing() {
        let refused = |status| {
            let (server, what, message) = ("s".to_owned(), "w".to_owned(), "m".to_owned());
            Err::<(), _>(ClientError::Refused { server, what, status, message })
        };
        for status in [400, 401, 404, 405, 501] {
            assert_eq!(if_told(refused(status)).unwrap(), None, "{status}");
        }
        assert!(if_told(refused(503)).is_err());
        assert_eq!(if_told(Ok(1)).unwrap(), Some(1));
    }
}
