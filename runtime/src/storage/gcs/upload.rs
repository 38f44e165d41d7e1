//! How a file becomes an object.

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Method, Response};

use super::bucket::Bucket;
use super::resource::Resource;
use super::session::Session;
use crate::storage::answer::refused;
use crate::storage::checksum::{Algorithm, Checksum};
use crate::storage::source::Source;
use crate::storage::trouble::Trouble;

/// Up to here a file goes in one request.
const AT_ONCE: u64 = 8 * 1024 * 1024;

impl Bucket {
    /// Puts a file in the place of an object.
    pub(super) async fn upload(&self, key: &str, source: &Source) -> Result<(), Trouble> {
        if source.size() > AT_ONCE {
            return Session::new(self, key, source)?.run().await;
        }
        let url = self.address.upload(key, "media")?;
        let sum = source.checksum(Algorithm::Crc32c, 0, source.size()).await;
        let sum = sum.map_err(|trouble| self.about(trouble, "deliver", key))?;
        self.patience.retry(|| self.put(key, &url, source, &sum)).await
    }

    async fn put(&self, key: &str, url: &str, source: &Source, sum: &Checksum) -> Result<(), Trouble> {
        let head = http::Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header("x-goog-hash", format!("crc32c={}", sum.base64()))
            .header(CONTENT_LENGTH, source.size());
        let response = self.deliver(key, head, true, |pulse| pulse.body(source, 0, source.size())).await?;
        match response.status() {
            status if status.is_success() => self.arrived(key, response, sum).await,
            _ => Err(refused(&self.attempt("deliver", key), response).await),
        }
    }

    /// Whether what arrived is what was sent, as far as the answer tells.
    pub(super) async fn arrived(&self, key: &str, response: Response, sum: &Checksum) -> Result<(), Trouble> {
        let what = self.attempt("deliver", key);
        let resource: Resource = response.json().await.unwrap_or_default();
        match resource.crc32c() {
            Some(told) if told != *sum => Err(Trouble::unavailable(format!("{what}: it was damaged on the way"))),
            Some(_) | None => Ok(()),
        }
    }
}
