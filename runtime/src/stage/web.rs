//! `http` and `https`: one GET an input, one PUT an output.
//!
//! A download that breaks off goes on where it stopped, if the server says that the file is still the same. Only
//! a transfer that stalls times out; a slow one may take as long as it takes. Messages never show a query: a
//! signature may be in it.

use std::error::Error;
use std::fs::File;
use std::io::{self, SeekFrom};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::stream;
use jiff::Timestamp;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Body, Certificate, Client, Response, StatusCode, Url};
use rustix::fs::Timespec;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::bring_in::put;
use super::host::{Written, hex};
use crate::storage::location::redacted;
use crate::storage::trouble::{Patience, Trouble};
use crate::entry::Entry;
use crate::part::{create_part, set_modified};
use crate::report::FaultClass;
use crate::tree::Slot;

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// How long nothing may arrive.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// A piece of an upload.
const PIECE: usize = 256 * 1024;

/// A client that is made when it is first needed: reading the certificates takes longer than a small task.
pub(super) struct Web {
    patience: Patience,
    fetching: OnceLock<Result<Client, Trouble>>,
    delivering: OnceLock<Result<Client, Trouble>>,
    stalled_after: Duration,
}

impl Web {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, fetching: OnceLock::new(), delivering: OnceLock::new(), stalled_after: STALLED_AFTER }
    }

    #[cfg(test)]
    pub(super) fn impatient(tries: u32, stalled_after: Duration) -> Self {
        let patience = Patience { tries, first: Duration::from_millis(1), most: Duration::from_millis(5) };
        Self { stalled_after, ..Self::new(patience) }
    }

    fn fetching(&self) -> Result<&Client, Trouble> {
        let made = self.fetching.get_or_init(|| client(self.stalled_after, Policy::limited(10)));
        made.as_ref().map_err(Clone::clone)
    }

    /// Follows no redirect: the content is for the host that the task names, and for no other.
    fn delivering(&self) -> Result<&Client, Trouble> {
        let made = self.delivering.get_or_init(|| client(self.stalled_after, Policy::none()));
        made.as_ref().map_err(Clone::clone)
    }

    /// Fetches a file; `path` is what it is called in the container.
    pub(super) async fn get(&self, url: &Url, slot: &Slot, path: &str, part: &str) -> Result<(), Trouble> {
        let client = self.fetching()?;
        let shown = redacted(url.as_str());
        let writing = |error: io::Error| Trouble::writing(format!("cannot bring in `{path}`"), &error);
        let file = create_part(&slot.directory, part).map_err(writing)?;
        let mut download = Download {
            file: tokio::fs::File::from_std(file.try_clone().map_err(writing)?),
            written: 0,
            same: None,
            modified: None,
            shown: &shown,
            path,
        };
        let mut failed = 0;
        loop {
            let before = download.written;
            match download.attempt(client, url).await {
                Ok(()) => break,
                Err(trouble) => {
                    // What counts are tries without any progress.
                    failed = if download.written > before { 1 } else { failed + 1 };
                    if self.patience.wait(failed, &trouble).await.is_none() {
                        return Err(trouble);
                    }
                }
            }
        }
        let modified = download.modified;
        if let Some(modified) = modified {
            set_modified(&file, modified).map_err(writing)?;
        }
        put(slot, part, &file).map_err(writing)
    }

    /// Delivers a file.
    pub(super) async fn put(&self, url: &Url, source: &Entry) -> Result<Written, Trouble> {
        let client = self.delivering()?;
        let mut failed = 0;
        loop {
            let reading = |error: io::Error| Trouble::reading("cannot read the output", &error);
            let file = source.open_file().map_err(reading)?;
            match upload(client, url, file).await {
                Ok(written) => return Ok(written),
                Err(trouble) => {
                    failed += 1;
                    if self.patience.wait(failed, &trouble).await.is_none() {
                        return Err(trouble);
                    }
                }
            }
        }
    }
}

fn client(stalled_after: Duration, redirects: Policy) -> Result<Client, Trouble> {
    // Whoever was first, it is the same one.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let build = || -> reqwest::Result<Client> {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        let roots: reqwest::Result<Vec<_>> = roots.map(|root| Certificate::from_der(root)).collect();
        Client::builder()
            // An image may have no certificates at all; those it has, and `SSL_CERT_FILE`, are added.
            .tls_certs_merge(roots?)
            .user_agent(concat!("tessera/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(stalled_after)
            .redirect(redirects)
            // It would tell the next host the query, and with it a signature.
            .referer(false)
            .build()
    };
    build().map_err(|error| {
        let message = format!("no HTTP client could be made: {}", causes(&error));
        Trouble::new(FaultClass::Misconfigured, message)
    })
}

struct Download<'a> {
    file: tokio::fs::File,
    written: u64,
    /// Proof that what is fetched later belongs to what was fetched before.
    same: Option<HeaderValue>,
    modified: Option<Timespec>,
    shown: &'a str,
    path: &'a str,
}

impl Download<'_> {
    async fn attempt(&mut self, client: &Client, url: &Url) -> Result<(), Trouble> {
        let mut request = client.get(url.clone());
        if let (true, Some(same)) = (self.written > 0, &self.same) {
            request = request.header(RANGE, format!("bytes={}-", self.written)).header(IF_RANGE, same.clone());
        }
        let response = request.send().await;
        let response = response.map_err(|error| self.broken("cannot fetch", error))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if self.goes_on(response.headers()) => {}
            StatusCode::OK => {
                self.begin_again().await?;
                self.same = validator(response.headers());
                self.modified = last_modified(response.headers());
            }
            status => {
                // Whatever was fetched before is of no use for another attempt either.
                self.same = None;
                return Err(refused(&format!("cannot fetch `{}`", self.shown), status, &response));
            }
        }
        self.body(response).await
    }

    fn goes_on(&self, headers: &HeaderMap) -> bool {
        let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let from = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next());
        self.same.is_some() && from.and_then(|from| from.parse().ok()) == Some(self.written)
    }

    async fn begin_again(&mut self) -> Result<(), Trouble> {
        let reset = async {
            self.file.set_len(0).await?;
            self.file.seek(SeekFrom::Start(0)).await
        };
        reset.await.map_err(|error| self.unwritten(&error))?;
        self.written = 0;
        Ok(())
    }

    async fn body(&mut self, mut response: Response) -> Result<(), Trouble> {
        loop {
            let chunk = response.chunk().await;
            match chunk.map_err(|error| self.broken("lost the connection while fetching", error)) {
                Ok(Some(chunk)) => {
                    let written = self.file.write_all(&chunk).await;
                    written.map_err(|error| self.unwritten(&error))?;
                    self.written += chunk.len() as u64;
                }
                Ok(None) => {
                    let flushed = self.file.flush().await;
                    return flushed.map_err(|error| self.unwritten(&error));
                }
                Err(trouble) => {
                    let flushed = self.file.flush().await;
                    flushed.map_err(|error| self.unwritten(&error))?;
                    return Err(trouble);
                }
            }
        }
    }

    fn broken(&self, what: &str, error: reqwest::Error) -> Trouble {
        broken(&format!("{what} `{}`", self.shown), error)
    }

    fn unwritten(&self, error: &io::Error) -> Trouble {
        Trouble::writing(format!("cannot bring in `{}`", self.path), error)
    }
}

async fn upload(client: &Client, url: &Url, file: File) -> Result<Written, Trouble> {
    let reading = |error: io::Error| Trouble::reading("cannot read the output", &error);
    let size_bytes = file.metadata().map_err(reading)?.len();
    let hash = Arc::new(Mutex::new(Sha256::new()));
    let response = client
        .put(url.clone())
        .header(CONTENT_LENGTH, size_bytes)
        .body(body(file, Arc::clone(&hash)))
        .send()
        .await
        .map_err(|error| broken("cannot deliver", error))?;
    let status = response.status();
    if !status.is_success() {
        return Err(refused("cannot deliver", status, &response));
    }
    let hash = hash.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Written { size_bytes, sha256: hex(&hash.finalize()) })
}

/// A file as a body, hashed while it is sent.
fn body(file: File, hash: Arc<Mutex<Sha256>>) -> Body {
    let file = tokio::fs::File::from_std(file);
    let pieces = stream::try_unfold((file, hash), |(mut file, hash)| async move {
        let mut piece = vec![0; PIECE];
        let length = file.read(&mut piece).await?;
        if length == 0 {
            return Ok::<_, io::Error>(None);
        }
        piece.truncate(length);
        hash.lock().unwrap_or_else(PoisonError::into_inner).update(&piece);
        Ok(Some((piece, (file, hash))))
    });
    Body::wrap_stream(pieces)
}

/// An answer that is not the file.
fn refused(what: &str, status: StatusCode, response: &Response) -> Trouble {
    let message = format!("{what}: the server answered {status}");
    if status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        // The file has changed meanwhile: begin again.
        || status == StatusCode::RANGE_NOT_SATISFIABLE
        || status == StatusCode::PARTIAL_CONTENT
    {
        return Trouble { retry_after: retry_after(response.headers()), ..Trouble::unavailable(message) };
    }
    Trouble::rejected(message)
}

/// No answer, or one that broke off.
fn broken(what: &str, error: reqwest::Error) -> Trouble {
    let message = format!("{what}: {}", causes(&error.without_url()));
    Trouble::unavailable(message)
}

/// What a client says, with what it says only when asked.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What a later request proves with that the file is still the same: a strong entity tag, or the date.
fn validator(headers: &HeaderMap) -> Option<HeaderValue> {
    let strong = |tag: &&HeaderValue| !tag.as_bytes().starts_with(b"W/");
    let tag = headers.get(ETAG).filter(strong);
    tag.or_else(|| headers.get(LAST_MODIFIED)).cloned()
}

fn last_modified(headers: &HeaderMap) -> Option<Timespec> {
    let at = date(headers.get(LAST_MODIFIED)?)?;
    Some(Timespec { tv_sec: at.as_second(), tv_nsec: 0 })
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?;
    if let Some(seconds) = value.to_str().ok().and_then(|text| text.parse().ok()) {
        return Some(Duration::from_secs(seconds));
    }
    let until = date(value)?.duration_since(Timestamp::now());
    Duration::try_from(until).ok()
}

fn date(value: &HeaderValue) -> Option<Timestamp> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    parser.parse_timestamp(value.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests;
