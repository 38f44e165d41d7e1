//! What Tessera tells beyond TES. Other servers do not: there the answer is `None`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
}

/// The most tasks that one request tells of.
const PAGE: &str = "2047";

impl Client {
    /// Why a task waits; `None` when it does not, and when the server is not a Tessera.
    pub async fn waiting(&self, id: &str) -> Result<Option<Waiting>, ClientError> {
        let call = self.get_of(self.address().own(&["tasks", id]));
        let told = if_told(self.answer::<OwnTask>(&format!("tell what task {id} waits for"), call).await)?;
        Ok(told.and_then(|task| task.waiting))
    }

    /// What the foremost tasks of the queue wait for, by id, in one request; nothing when the server is not a Tessera.
    pub async fn queue(&self) -> Result<BTreeMap<String, Waiting>, ClientError> {
        let mut url = self.address().own(&["queue"]);
        url.query_pairs_mut().append_pair("page_size", PAGE);
        let told = if_told(self.answer::<QueuePage>("show the queue", self.get_of(url)).await)?;
        let tasks = told.unwrap_or_default().tasks.into_iter();
        Ok(tasks.filter_map(|task| Some((task.id, task.waiting?))).collect())
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
    use super::*;

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
