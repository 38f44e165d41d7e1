//! The store: one container.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use http::request::Builder;
use reqsign_azure_storage::Credential;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, IF_MATCH, RANGE};
use reqwest::{Body, Client, Method, Response, StatusCode, Url};

use super::address::Address;
use super::credentials::{ambient_account, identity};
use super::listing;
use super::refusal::{is_absent, refused, refused_writing};
use crate::storage::answer::{self, document, reading};
use crate::storage::checksum::{Algorithm, Checksum};
use crate::storage::client::{Redirects, broken, guarded};
use crate::storage::identity::Identity;
use crate::storage::source::Source;
use crate::storage::stall::{NEVER, Pulse, with_body};
use crate::storage::storages::Opening;
use crate::storage::store::{Abilities, Object, Page, Reading, Span, Store, Tag};
use crate::storage::trouble::{Patience, Trouble, Why};

/// What is spoken: block sizes, encoded names in listings.
const VERSION: &str = "2023-11-03";
/// A page of 5,000 blobs with their metadata.
const PAGE_BYTES: usize = 64 * 1024 * 1024;

/// One container.
pub(in crate::storage) struct Container {
    pub(super) address: Address,
    identity: Identity<Credential>,
    fetching: Client,
    delivering: Client,
    stalled_after: Duration,
    pub(super) patience: Patience,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container").field("url", &self.address.url).finish_non_exhaustive()
    }
}

impl Container {
    /// Nothing is connected to yet.
    pub(in crate::storage) fn open(opening: &Opening<'_>) -> Result<Self, Trouble> {
        let rule = &opening.rule;
        let address = Address::new(opening.remote, rule, ambient_account())?;
        let wrong = |error| Trouble::misconfigured(format!("the endpoint of `{}`: {error}", address.shown("")));
        let guard = opening.guard.for_host_of(&Url::parse(&address.url).map_err(wrong)?)?;
        Ok(Self {
            identity: identity(&address, rule, opening.remote.query.as_ref())?,
            fetching: guarded(rule, &guard, Redirects::Refuse, opening.stalled_after)?,
            delivering: guarded(rule, &guard, Redirects::Refuse, NEVER)?,
            stalled_after: opening.stalled_after,
            patience: opening.patience,
            address,
        })
    }

    /// A request's head, as every request has it.
    pub(super) fn head(method: Method, url: &str) -> Builder {
        http::Request::builder().method(method).uri(url).header("x-ms-version", VERSION)
    }

    /// What was attempted, for a message. Known once a request was signed, or not.
    pub(super) fn attempt(&self, verb: &str, key: &str) -> String {
        let unsigned = if self.identity.is_somebody() { "" } else { " without credentials" };
        format!("cannot {verb} `{}`{unsigned}", self.address.shown(key))
    }

    async fn ask(&self, head: Builder, verb: &str, key: &str) -> Result<Response, Trouble> {
        let request = self.identity.request(head, Body::default()).await;
        let request = request.map_err(|trouble| self.about(trouble, verb, key))?;
        self.fetching.execute(request).await.map_err(|error| broken(&self.attempt(verb, key), error))
    }

    /// Sends something, and sees that it was taken.
    pub(super) async fn deliver(
        &self,
        key: &str,
        head: Builder,
        length: u64,
        body: impl FnOnce(&Pulse) -> Body,
    ) -> Result<(), Trouble> {
        let pulse = Pulse::default();
        let head = head.header(CONTENT_LENGTH, length).header(CONTENT_TYPE, "application/octet-stream");
        let request = self.identity.request(head, body(&pulse)).await;
        let request = request.map_err(|trouble| self.about(trouble, "deliver", key))?;
        let what = self.attempt("deliver", key);
        let response = pulse.watch(&what, self.stalled_after, self.delivering.execute(request)).await?;
        let response = with_body(response, &what, self.stalled_after).await?;
        if response.status().is_success() { Ok(()) } else { Err(refused_writing(&what, response).await) }
    }

    /// A trouble that does not know what it was about.
    pub(super) fn about(&self, trouble: Trouble, verb: &str, key: &str) -> Trouble {
        Trouble { message: format!("{}: {}", self.attempt(verb, key), trouble.message), ..trouble }
    }
}

/// What an answer's headers say of a blob.
fn object(status: StatusCode, headers: &HeaderMap) -> Object {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let partial = status == StatusCode::PARTIAL_CONTENT;
    // With a range the other header would be the range's, if it were there at all.
    let md5 = text(if partial { "x-ms-blob-content-md5" } else { "content-md5" });
    let is = |name: &str, value: &str| text(name).is_some_and(|text| text.eq_ignore_ascii_case(value));
    let object = answer::object(status, headers);
    Object {
        directory: is("x-ms-meta-hdi_isfolder", "true") || is("x-ms-resource-type", "directory"),
        // Azure changes no encoding: the length is what is stored, whatever the blob says of itself.
        size: object.size.or_else(|| text("content-length").filter(|_| !partial)?.parse().ok()),
        checksums: md5.and_then(|md5| Checksum::from_base64(Algorithm::Md5, md5)).into_iter().collect(),
        ..object
    }
}

#[async_trait]
impl Store for Container {
    fn abilities(&self) -> Abilities {
        Abilities { lists: true, ranges: true, writes: true }
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>, Trouble> {
        if key.is_empty() {
            return Ok(None);
        }
        let response = self.ask(Self::head(Method::HEAD, &self.address.blob(key)?), "look at", key).await?;
        match response.status() {
            status if status.is_success() => Ok(Some(object(status, response.headers()))),
            _ if is_absent(&response) => Ok(None),
            _ => Err(refused(&self.attempt("look at", key), response).await),
        }
    }

    async fn read(&self, key: &str, span: Span, same: Option<&Tag>) -> Result<Reading, Trouble> {
        let mut head = Self::head(Method::GET, &self.address.blob(key)?);
        if let Some(range) = span.header() {
            head = head.header(RANGE, range);
        }
        if let Some(tag) = same {
            head = head.header(IF_MATCH, tag.0.as_str());
        }
        let response = self.ask(head, "fetch", key).await?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                let object = object(response.status(), response.headers());
                if object.directory {
                    let message = format!("{}: it is a directory", self.attempt("fetch", key));
                    return Err(Trouble { why: Why::Directory, ..Trouble::rejected(message) });
                }
                Ok(Reading { object, ..reading(response, &self.address.shown(key)) })
            }
            // Nothing has no first byte.
            StatusCode::RANGE_NOT_SATISFIABLE if span.from == 0 => self.read(key, Span::WHOLE, same).await,
            _ => Err(refused(&self.attempt("fetch", key), response).await),
        }
    }

    async fn list(&self, directory: &str, page: Option<&str>) -> Result<Page, Trouble> {
        let slash = if directory.is_empty() || directory.ends_with('/') { "" } else { "/" };
        let prefix = format!("{directory}{slash}");
        let head = Self::head(Method::GET, &self.address.page(&prefix, page)?);
        let response = self.ask(head, "list", directory).await?;
        let what = self.attempt("list", directory);
        if response.status() != StatusCode::OK {
            return Err(refused(&what, response).await);
        }
        let answer = document(response, PAGE_BYTES, &what).await?;
        listing::page(&answer, &prefix)
            .ok_or_else(|| Trouble::unavailable(format!("{what}: the server's answer cannot be read")))
    }

    async fn write(&self, key: &str, source: &Source) -> Result<(), Trouble> {
        self.upload(key, source).await
    }

    async fn make_directory(&self, _key: &str) -> Result<(), Trouble> {
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::storage::location::Location;
    use crate::storage::secret::Secret;
    use crate::storage::settings::Rule;
    use crate::storage::stand_in::{Answer, StandIn};

    /// A container that a server of the test's own stands in for.
    pub(in crate::storage::azblob) fn container(server: &StandIn) -> Container {
        let Location::Remote(remote) = Location::parse("az://data/x").unwrap() else { panic!() };
        let rule = Rule {
            endpoint: Some(server.url("/tes")),
            account: Some("tes".to_owned()),
            sas_token: Some(Secret::new("sig=SECRET")),
            ..Rule::default()
        };
        let patience = Patience { tries: 3, first: Duration::from_millis(1), most: Duration::from_millis(1) };
        let (guard, stalled_after) = (server.guard(), Duration::from_secs(20));
        Container::open(&Opening {
            remote: &remote,
            rule,
            guard,
            settings: &crate::storage::settings::Storage::default(),
            authorization: None,
            patience,
            stalled_after,
        })
        .unwrap()
    }

    #[tokio::test]
    async fn what_stands_for_a_directory_is_one() {
        let server = StandIn::new(|asked| match asked.target.contains("hierarchical") {
            true => Answer::status(200).header("x-ms-resource-type", "directory"),
            false => Answer::status(200).header("x-ms-meta-hdi_isfolder", "true"),
        })
        .await;
        let container = container(&server);
        for key in ["hierarchical", "marked"] {
            assert!(container.stat(key).await.unwrap().unwrap().directory);
            let trouble = container.read(key, Span::WHOLE, None).await.unwrap_err();
            assert_eq!(trouble.why, Why::Directory, "{}", trouble.message);
        }
    }

    #[tokio::test]
    async fn what_is_told_of_a_stretch_is_told_of_the_whole() {
        let md5 = "XUFAKrxLKna5cZ2REBfFkg==";
        let server = StandIn::new(move |asked| match asked.header("range") {
            "" => Answer::body(200, "hello").header("content-md5", md5).header("content-encoding", "gzip"),
            _ => Answer::body(206, "el")
                .header("content-range", "bytes 1-2/5")
                .header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")
                .header("x-ms-blob-content-md5", md5),
        })
        .await;
        let container = container(&server);
        let sum = Checksum::from_base64(Algorithm::Md5, md5).unwrap();
        for (span, from) in [(Span::WHOLE, 0), (Span { from: 1, length: Some(2) }, 1)] {
            let tag = Tag("\"1\"".to_owned());
            let reading = container.read("k", span, Some(&tag)).await.unwrap();
            assert_eq!((reading.from, reading.object.size), (from, Some(5)));
            assert_eq!(reading.object.checksums, std::slice::from_ref(&sum));
        }
        assert!(server.asked().iter().all(|asked| asked.header("if-match") == "\"1\""));
    }

    #[tokio::test]
    async fn pages_follow_their_marker() {
        let server = StandIn::new(|asked| {
            let (name, next) = if asked.target.contains("marker=2%21b") { ("d/b", "") } else { ("d/a", "2!b") };
            Answer::body(
                200,
                format!(
                    "<EnumerationResults><Blobs><Blob><Name>{name}</Name></Blob></Blobs>\
                     <NextMarker>{next}</NextMarker></EnumerationResults>"
                ),
            )
        })
        .await;
        let container = container(&server);
        let first = container.list("d", None).await.unwrap();
        let second = container.list("d", first.next.as_deref()).await.unwrap();
        let names: Vec<_> = first.entries.iter().chain(&second.entries).map(|entry| entry.name.as_str()).collect();
        assert_eq!((names.as_slice(), second.next), (["a", "b"].as_slice(), None));
        assert!(server.lines().iter().all(|line| line.contains("prefix=d%2F")));
    }
}
