//! The store.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_UNMODIFIED_SINCE, RANGE};
use reqwest::{Method, StatusCode};

use super::refusal::Refusal;
use super::requests::{Ask, Content, Requests, about};
use super::{list, multipart, sums};
use crate::storage::answer::{self, document};
use crate::storage::checksum::Algorithm;
use crate::storage::source::Source;
use crate::storage::storages::Opening;
use crate::storage::store::{Abilities, Object, Page, Reading, Span, Store, Tag};
use crate::storage::trouble::{Patience, Trouble, Why};
use crate::storage::web::is_same;

/// Small enough to be sent again when it breaks off, large enough that requests do not count.
pub(super) const PART: u64 = 16 * 1024 * 1024;

/// One bucket.
pub(in crate::storage) struct Bucket {
    pub(super) name: String,
    pub(super) requests: Requests,
    pub(super) patience: Patience,
    /// What is larger goes in parts of this length.
    pub(super) part: u64,
    /// Whether the service is given checksums; off once it turned one away and took the same without.
    sums: AtomicBool,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Bucket {
    /// Nothing is asked yet.
    pub(in crate::storage) fn open(opening: &Opening<'_>) -> Result<Self, Trouble> {
        let environment = |name: &str| std::env::var(name).ok();
        let name = &opening.remote.authority;
        let requests = Requests::new(name, &opening.rule, &opening.guard, opening.stalled_after, environment)?;
        Ok(Self::with(name, requests, opening.patience))
    }

    pub(super) fn with(name: &str, requests: Requests, patience: Patience) -> Self {
        Self { name: name.to_owned(), requests, patience, part: PART, sums: AtomicBool::new(true) }
    }

    /// How a key is shown.
    pub(super) fn shown(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    /// The empty key would be the bucket itself.
    fn named(&self, verb: &str, key: &str) -> Result<String, Trouble> {
        let what = format!("cannot {verb} `{}`", self.shown(key));
        if key.is_empty() { Err(Trouble::rejected(format!("{what}: it names no object"))) } else { Ok(what) }
    }

    async fn get(&self, what: &str, key: &str, span: Span, same: Option<&Tag>) -> Result<Reading, Refusal> {
        let mut headers = HeaderMap::from_iter([(sums::MODE, HeaderValue::from_static("ENABLED"))]);
        let mut say = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        if let Some(range) = span.header() {
            say(RANGE, &range);
        }
        if let Some(Tag(tag)) = same {
            say(if tag.starts_with('"') { IF_MATCH } else { IF_UNMODIFIED_SINCE }, tag);
        }
        let response = self.requests.send(what, &Ask { key, headers, ..Ask::default() }).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        // Not everyone who speaks S3 knows conditions.
        let mut reading = is_same(response, same, &self.shown(key))?;
        reading.object.checksums = sums::promised(status, &headers, &reading.object);
        Ok(reading)
    }

    /// What the service tells of a key.
    pub(super) async fn head(&self, what: &str, key: &str) -> Result<Object, Refusal> {
        let headers = HeaderMap::from_iter([(sums::MODE, HeaderValue::from_static("ENABLED"))]);
        let response = self.requests.send(what, &Ask { method: Method::HEAD, key, headers, ..Ask::default() }).await?;
        let mut object = answer::object(response.status(), response.headers());
        object.checksums = sums::promised(response.status(), response.headers(), &object);
        Ok(object)
    }

    async fn put(&self, what: &str, key: &str, source: &Source) -> Result<(), Trouble> {
        let with_sum = self.gives_sums();
        match self.put_once(what, key, source, with_sum).await {
            Err(refusal) if with_sum && refusal.may_be_the_checksum() => {
                self.put_once(what, key, source, false).await?;
                self.give_no_sums();
                Ok(())
            }
            done => Ok(done?),
        }
    }

    async fn put_once(&self, what: &str, key: &str, source: &Source, with_sum: bool) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        if with_sum {
            let sum = source.checksum(Algorithm::Crc32c, 0, source.size()).await;
            let sum = sum.map_err(|trouble| about(what, trouble))?;
            headers.extend(HeaderValue::from_str(&sum.base64()).map(|value| (sums::CRC32C, value)));
        }
        let body = Content::Stretch { source, from: 0, length: source.size() };
        let ask = Ask { method: Method::PUT, key, headers, body, ..Ask::default() };
        self.requests.send(what, &ask).await.map(drop)
    }

    /// Whether the service is given checksums.
    pub(super) fn gives_sums(&self) -> bool {
        self.sums.load(Ordering::Relaxed)
    }

    /// It does not know any.
    pub(super) fn give_no_sums(&self) {
        self.sums.store(false, Ordering::Relaxed);
    }
}

#[async_trait]
impl Store for Bucket {
    fn abilities(&self) -> Abilities {
        Abilities { lists: true, ranges: true, writes: true }
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>, Trouble> {
        let what = self.named("look at", key)?;
        match self.head(&what, key).await {
            // A marker of a directory is no object.
            Ok(object) if key.ends_with('/') && object.size == Some(0) => Ok(None),
            Ok(object) => Ok(Some(object)),
            Err(refusal) if refusal.is_absent() => Ok(None),
            // There is no sentence in an answer to HEAD; the one to GET says what is wrong.
            Err(Refusal { status: Some(StatusCode::BAD_REQUEST), trouble, .. }) => {
                match self.get(&what, key, Span { from: 0, length: Some(1) }, None).await {
                    Ok(_) => Err(trouble),
                    Err(refusal) => Err(refusal.into()),
                }
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    async fn read(&self, key: &str, span: Span, same: Option<&Tag>) -> Result<Reading, Trouble> {
        let what = self.named("fetch", key)?;
        let reading = match self.get(&what, key, span, same).await {
            // An empty object has no first byte. Any other would have answered with what it has.
            Err(Refusal { status: Some(StatusCode::RANGE_NOT_SATISFIABLE), .. }) if span.from == 0 => {
                self.get(&what, key, Span::WHOLE, same).await
            }
            answer => answer,
        }?;
        if key.ends_with('/') && reading.object.size == Some(0) {
            let trouble = Trouble::rejected(format!("{what}: it is a directory"));
            return Err(Trouble { why: Why::Directory, ..trouble });
        }
        Ok(reading)
    }

    async fn list(&self, directory: &str, page: Option<&str>) -> Result<Page, Trouble> {
        let what = format!("cannot list `{}`", self.shown(directory));
        let prefix = list::prefix(directory);
        let ask = Ask { query: list::query(&prefix, page), ..Ask::default() };
        let response = self.requests.send(&what, &ask).await?;
        let body = document(response, list::PAGE_BYTES, &what).await?;
        list::page(&what, &body, &prefix, page)
    }

    async fn write(&self, key: &str, source: &Source) -> Result<(), Trouble> {
        let what = self.named("deliver to", key)?;
        if key.ends_with('/') {
            return Err(Trouble::rejected(format!("{what}: a file's key does not end in a slash")));
        }
        if source.size() <= self.part {
            return self.patience.retry(|| self.put(&what, key, source)).await;
        }
        multipart::write(self, &what, key, source).await
    }

    async fn make_directory(&self, _key: &str) -> Result<(), Trouble> {
        Ok(())
    }
}
