//! The store: one bucket.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use http::request::Builder;
use reqsign_google::Credential;
use reqwest::header::{ACCEPT_ENCODING, RANGE};
use reqwest::{Body, Client, Response, StatusCode, Url};

use super::address::Address;
use super::credentials::identity;
use super::resource::{self, Resource, as_stored, completed};
use crate::storage::answer::{document, reading, refused};
use crate::storage::client::{Redirects, broken, guarded, host_and_port};
use crate::storage::guard::Guard;
use crate::storage::identity::Identity;
use crate::storage::source::Source;
use crate::storage::stall::{NEVER, Pulse, with_body};
use crate::storage::storages::Opening;
use crate::storage::store::{Abilities, Object, Page, Reading, Span, Store, Tag};
use crate::storage::trouble::{Patience, Trouble, Why};

/// A page of a thousand objects.
const PAGE_BYTES: usize = 16 * 1024 * 1024;

/// One bucket.
pub(in crate::storage) struct Bucket {
    pub(super) address: Address,
    pub(super) guard: Guard,
    identity: Identity<Credential>,
    fetching: Client,
    delivering: Client,
    stalled_after: Duration,
    pub(super) patience: Patience,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Bucket {
    /// Nothing is connected to yet.
    pub(in crate::storage) fn open(opening: &Opening<'_>) -> Result<Self, Trouble> {
        let rule = &opening.rule;
        let emulator = std::env::var("STORAGE_EMULATOR_HOST").ok().filter(|host| !host.is_empty());
        let address = Address::new(opening.remote, rule, emulator)?;
        // Whoever set the environment named it.
        let guard = match address.emulated {
            true => Guard::with_exceptions(host_and_port(&address.service)),
            false => opening.guard.clone(),
        };
        let wrong = |error| Trouble::misconfigured(format!("the endpoint of `{}`: {error}", address.shown("")));
        let guard = guard.for_host_of(&Url::parse(&address.service).map_err(wrong)?)?;
        Ok(Self {
            identity: identity(rule, address.emulated)?,
            fetching: guarded(rule, &guard, Redirects::Refuse, opening.stalled_after)?,
            delivering: guarded(rule, &guard, Redirects::Refuse, NEVER)?,
            stalled_after: opening.stalled_after,
            patience: opening.patience,
            guard,
            address,
        })
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

    /// Sends something. A session's own URL is all that it wants of us: with it nothing is `signed`.
    pub(super) async fn deliver(
        &self,
        key: &str,
        head: Builder,
        signed: bool,
        body: impl FnOnce(&Pulse) -> Body,
    ) -> Result<Response, Trouble> {
        let pulse = Pulse::default();
        let nobody = Identity::<Credential>::nobody();
        let identity = if signed { &self.identity } else { &nobody };
        let request = identity.request(head, body(&pulse)).await;
        let request = request.map_err(|trouble| self.about(trouble, "deliver", key))?;
        let what = self.attempt("deliver", key);
        let response = pulse.watch(&what, self.stalled_after, self.delivering.execute(request)).await?;
        with_body(response, &what, self.stalled_after).await
    }

    /// A trouble that does not know what it was about.
    pub(super) fn about(&self, trouble: Trouble, verb: &str, key: &str) -> Trouble {
        Trouble { message: format!("{}: {}", self.attempt(verb, key), trouble.message), ..trouble }
    }
}

#[async_trait]
impl Store for Bucket {
    fn abilities(&self) -> Abilities {
        Abilities { lists: true, ranges: true, writes: true }
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>, Trouble> {
        if key.is_empty() {
            return Ok(None);
        }
        let response = self.ask(http::Request::get(self.address.resource(key)?), "look at", key).await?;
        let what = self.attempt("look at", key);
        match response.status() {
            StatusCode::OK => {
                let answer = document(response, PAGE_BYTES, &what).await?;
                let resource: Result<Resource, _> = serde_json::from_slice(&answer);
                let unread = |_| Trouble::unavailable(format!("{what}: the server's answer cannot be read"));
                Ok(Some(resource.map_err(unread)?.object()))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refused(&what, response).await),
        }
    }

    async fn read(&self, key: &str, span: Span, same: Option<&Tag>) -> Result<Reading, Trouble> {
        let url = self.address.media(key, same.map(|tag| tag.0.as_str()))?;
        // Without it, what is stored compressed would come unpacked: no ranges, no checksum.
        let mut head = http::Request::get(url).header(ACCEPT_ENCODING, "gzip");
        if let Some(range) = span.header() {
            head = head.header(RANGE, range);
        }
        let response = self.ask(head, "fetch", key).await?;
        let what = self.attempt("fetch", key);
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT if !as_stored(response.headers()) => {
                Err(Trouble::rejected(format!("{what}: it is stored compressed and comes otherwise")))
            }
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                let headers = response.headers().clone();
                let reading = reading(response, &self.address.shown(key));
                let reading = Reading { object: completed(&headers, reading.object), ..reading };
                let other = same.is_some() && reading.object.tag.is_some() && reading.object.tag.as_ref() != same;
                if other { Err(changed(&what)) } else { Ok(reading) }
            }
            // A bucket without versions keeps the last one only.
            StatusCode::NOT_FOUND if same.is_some() => Err(changed(&what)),
            // Nothing has no first byte.
            StatusCode::RANGE_NOT_SATISFIABLE if span.from == 0 => self.read(key, Span::WHOLE, same).await,
            _ => Err(refused(&what, response).await),
        }
    }

    async fn list(&self, directory: &str, page: Option<&str>) -> Result<Page, Trouble> {
        let slash = if directory.is_empty() || directory.ends_with('/') { "" } else { "/" };
        let prefix = format!("{directory}{slash}");
        let response = self.ask(http::Request::get(self.address.page(&prefix, page)), "list", directory).await?;
        let what = self.attempt("list", directory);
        match response.status() {
            StatusCode::OK => {
                let answer = document(response, PAGE_BYTES, &what).await?;
                resource::page(&answer, &prefix)
                    .ok_or_else(|| Trouble::unavailable(format!("{what}: the server's answer cannot be read")))
            }
            // It is the bucket that is missing: no directory is an empty page.
            StatusCode::NOT_FOUND => Err(Trouble { why: Why::Other, ..refused(&what, response).await }),
            _ => Err(refused(&what, response).await),
        }
    }

    async fn write(&self, key: &str, source: &Source) -> Result<(), Trouble> {
        self.upload(key, source).await
    }

    async fn make_directory(&self, _key: &str) -> Result<(), Trouble> {
        Ok(())
    }
}

fn changed(what: &str) -> Trouble {
    Trouble { why: Why::Changed, ..Trouble::unavailable(format!("{what}: it changed while it was fetched")) }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::storage::location::Location;
    use crate::storage::secret::Secret;
    use crate::storage::settings::Rule;
    use crate::storage::stand_in::{Answer, StandIn};

    /// A bucket that a server of the test's own stands in for.
    pub(in crate::storage::gcs) fn bucket(server: &StandIn) -> Bucket {
        let Location::Remote(remote) = Location::parse("gs://bucket/x").unwrap() else { panic!() };
        let token = Some(Secret::new("SECRET"));
        let rule = Rule { endpoint: Some(server.url("")), token, ..Rule::default() };
        let patience = Patience { tries: 3, first: Duration::from_millis(1), most: Duration::from_millis(1) };
        let (guard, stalled_after) = (server.guard(), Duration::from_secs(20));
        Bucket::open(&Opening {
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
    async fn another_generation_is_refused() {
        let server = StandIn::new(|asked| match asked.target.ends_with("generation=1") {
            true => Answer::body(404, "No such object"),
            false => Answer::body(200, "x").header("x-goog-generation", "3"),
        })
        .await;
        let bucket = bucket(&server);
        for generation in ["1", "2"] {
            let trouble = bucket.read("k", Span::WHOLE, Some(&Tag(generation.to_owned()))).await.unwrap_err();
            assert_eq!(trouble.why, Why::Changed, "{}", trouble.message);
        }
        let same = bucket.read("k", Span::WHOLE, Some(&Tag("3".to_owned()))).await.unwrap();
        assert_eq!(same.object.tag, Some(Tag("3".to_owned())));
    }

    #[tokio::test]
    async fn what_is_stored_compressed_comes_as_it_is_stored() {
        let stored = "x-goog-stored-content-encoding";
        let server = StandIn::new(move |asked| match asked.target.contains("unpacked") {
            true => Answer::body(200, "long text").header(stored, "gzip"),
            false => Answer::body(200, "short")
                .header(stored, "gzip")
                .header("content-encoding", "gzip")
                .header("x-goog-stored-content-length", "5"),
        })
        .await;
        let bucket = bucket(&server);
        assert_eq!(bucket.read("packed", Span::WHOLE, None).await.unwrap().object.size, Some(5));
        assert!(server.asked().iter().all(|asked| asked.header("accept-encoding") == "gzip"));
        let trouble = bucket.read("unpacked", Span::WHOLE, None).await.unwrap_err();
        assert_eq!(trouble.class, crate::report::FaultClass::Rejected);
    }

    #[tokio::test]
    async fn pages_follow_their_token() {
        let server = StandIn::new(|asked| {
            let second = asked.target.contains("pageToken=a%2Fb");
            let (name, next) = if second { ("d/b", "") } else { ("d/a", ", \"nextPageToken\": \"a/b\"") };
            Answer::body(200, format!("{{\"items\": [{{\"name\": \"{name}\"}}]{next}}}"))
        })
        .await;
        let bucket = bucket(&server);
        let first = bucket.list("d", None).await.unwrap();
        let second = bucket.list("d", first.next.as_deref()).await.unwrap();
        let names: Vec<_> = first.entries.iter().chain(&second.entries).map(|entry| entry.name.as_str()).collect();
        assert_eq!((names.as_slice(), second.next), (["a", "b"].as_slice(), None));
    }
}
