//! The calls.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::address::Address;
use super::error::ClientError;
use super::login::Login;
use super::wire::{Created, Task, TaskPage};

/// How long one call may take; TES clients give up after five to ten seconds, servers are slow on bad days.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long reaching the server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a refusal that is no TES error is shown.
const SHOWN_OF_A_BODY: usize = 300;

/// A TES server, as seen from outside.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    address: Address,
    login: Login,
}

/// Which tasks to list (TES contract §8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Beginning of the name.
    pub name_prefix: Option<String>,
    /// The state.
    pub state: Option<String>,
    /// Tags that must be there; `None` is any value.
    pub tags: Vec<(String, Option<String>)>,
    /// `MINIMAL`, `BASIC` or `FULL`.
    pub view: Option<String>,
    /// How many a page.
    pub page_size: Option<u32>,
    /// The former page's `next_page_token`.
    pub page_token: Option<String>,
}

impl Client {
    /// A client for one server.
    pub fn new(address: Address, login: Login) -> Result<Self, ClientError> {
        let unusable = |error: reqwest::Error| ClientError::Unusable(format!("cannot make an HTTP client: {error}"));
        // The one TLS provider of this process; that somebody else chose it before is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = Vec::new();
        for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
            roots.push(reqwest::Certificate::from_der(certificate).map_err(unusable)?);
        }
        // Without these roots no client can be made where the system has no bundle, as in an empty image.
        let builder = reqwest::Client::builder().tls_certs_merge(roots);
        let http = builder.timeout(CALL_TIMEOUT).connect_timeout(CONNECT_TIMEOUT).build().map_err(unusable)?;
        Ok(Self { http, address, login })
    }

    /// Where the server is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What the server says about itself.
    pub async fn service_info(&self) -> Result<Value, ClientError> {
        self.answer("tell about itself", self.http.get(self.address.at(&["service-info"]))).await
    }

    /// Creates a task and answers its id.
    pub async fn create(&self, task: &impl Serialize) -> Result<String, ClientError> {
        let call = self.http.post(self.address.at(&["tasks"])).json(task);
        Ok(self.answer::<Created>("create a task", call).await?.id)
    }

    /// A task in a view.
    pub async fn get(&self, id: &str, view: &str) -> Result<Task, ClientError> {
        let mut url = self.address.at(&["tasks", id]);
        url.query_pairs_mut().append_pair("view", view);
        self.answer(&format!("show task {id}"), self.http.get(url)).await
    }

    /// A page of tasks.
    pub async fn list(&self, filter: &ListFilter) -> Result<TaskPage, ClientError> {
        let mut url = self.address.at(&["tasks"]);
        url.query_pairs_mut().extend_pairs(pairs(filter));
        self.answer("list tasks", self.http.get(url)).await
    }

    /// Asks for a task to be stopped.
    pub async fn cancel(&self, id: &str) -> Result<(), ClientError> {
        let call = self.http.post(self.address.at(&["tasks", &format!("{id}:cancel")]));
        let _: Value = self.answer(&format!("cancel task {id}"), call).await?;
        Ok(())
    }

    pub(super) fn get_of(&self, url: Url) -> reqwest::RequestBuilder {
        self.http.get(url)
    }

    /// A successful answer, its body still to come.
    pub(super) async fn response(
        &self,
        what: &str,
        call: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, ClientError> {
        let response = self.login.sign(call).send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        let message = refusal(&body, status.canonical_reason());
        let (server, what) = (self.address.to_string(), what.to_owned());
        Err(ClientError::Refused { server, what, status: status.as_u16(), message })
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let reason = if error.is_timeout() { "no answer in time".to_owned() } else { plain(error) };
        ClientError::Unreachable { server: self.address.to_string(), reason }
    }

    pub(super) async fn answer<T: DeserializeOwned>(
        &self,
        what: &str,
        call: reqwest::RequestBuilder,
    ) -> Result<T, ClientError> {
        let server = self.address.to_string();
        let response = self.response(what, call).await?;
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body).map_err(|error| ClientError::NotTes {
            server,
            what: what.to_owned(),
            reason: error.to_string(),
        })
    }
}

fn pairs(filter: &ListFilter) -> Vec<(&'static str, String)> {
    let mut pairs = Vec::new();
    let texts = [
        ("name_prefix", &filter.name_prefix),
        ("state", &filter.state),
        ("view", &filter.view),
        ("page_token", &filter.page_token),
    ];
    for (key, text) in texts {
        pairs.extend(text.iter().map(|text| (key, text.clone())));
    }
    pairs.extend(filter.page_size.map(|size| ("page_size", size.to_string())));
    // Keys and values are paired by position (8.6), so that a tag of any value needs an empty value of its own.
    for (key, value) in &filter.tags {
        pairs.push(("tag_key", key.clone()));
        pairs.push(("tag_value", value.clone().unwrap_or_default()));
    }
    pairs
}

/// What a server says when it refuses: our own message and field, another's `message` or `detail`, or its text.
fn refusal(body: &[u8], reason: Option<&str>) -> String {
    if let Ok(said) = serde_json::from_slice::<Value>(body) {
        let word = ["message", "detail", "error", "title"].iter().find_map(|key| said.get(key)?.as_str());
        if let Some(word) = word {
            return match said.get("field").and_then(Value::as_str) {
                Some(field) => format!("{field}: {word}"),
                None => word.to_owned(),
            };
        }
    }
    let text = String::from_utf8_lossy(body);
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN_OF_A_BODY).collect();
    if line.is_empty() { reason.unwrap_or("no reason given").to_owned() } else { line }
}

/// The last cause, which is the one that helps: `Connection refused`, not `error sending request`.
pub(super) fn plain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_paired_by_position() {
        let tags = vec![("a".to_owned(), None), ("b".to_owned(), Some("x".to_owned()))];
        let pairs = pairs(&ListFilter { tags, ..ListFilter::default() });
        let expected = [("tag_key", "a"), ("tag_value", ""), ("tag_key", "b"), ("tag_value", "x")];
        assert_eq!(pairs, expected.map(|(key, value)| (key, value.to_owned())));
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let ours = br#"{"status":400,"error":"bad_request","message":"must not be empty","field":"/executors"}"#;
        assert_eq!(refusal(ours, None), "/executors: must not be empty");
        assert_eq!(refusal(br#"{"detail":"nope"}"#, None), "nope");
        assert_eq!(refusal(b"<html>\n gone </html>", None), "<html> gone </html>");
        assert_eq!(refusal(b"", Some("Not Found")), "Not Found");
    }
}
