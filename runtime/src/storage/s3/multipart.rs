//! Large files: in parts, several at once, seen by nobody before the last word.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future, stream};
use quick_xml::escape::escape;
use reqwest::Method;
use reqwest::header::{ETAG, HeaderMap, HeaderValue};
use serde::Deserialize;

use super::bucket::Bucket;
use super::refusal::{Refusal, Words, begin_again};
use super::requests::{Ask, Content, about};
use super::sums;
use crate::storage::answer::document;
use crate::storage::checksum::{Algorithm, Checksum, Hasher};
use crate::storage::source::Source;
use crate::storage::store::Tag;
use crate::storage::trouble::{Patience, Trouble, Why};

/// Parts of one upload: the service's bound.
const PARTS: u64 = 10_000;
/// Parts on their way at once.
const AT_ONCE: usize = 4;
/// How often an upload that somebody has ended is begun again.
const BEGINNINGS: u32 = 3;
const DOCUMENT_BYTES: usize = 1024 * 1024;

/// Delivers a file in parts.
pub(super) async fn write(bucket: &Bucket, what: &str, key: &str, source: &Source) -> Result<(), Trouble> {
    let mut begun = 0;
    loop {
        begun += 1;
        match once(bucket, what, key, source).await {
            Err(trouble) if trouble.why == Why::Changed && begun < BEGINNINGS => {}
            Err(trouble) => return Err(Trouble { why: Why::Other, ..trouble }),
            Ok(()) => return Ok(()),
        }
    }
}

async fn once(bucket: &Bucket, what: &str, key: &str, source: &Source) -> Result<(), Trouble> {
    let (id, proof) = bucket.patience.retry(|| begin(bucket, what, key)).await?;
    let upload = Upload { bucket, what, key, source, id, proof, broken: OnceLock::new() };
    let done = upload.run().await;
    if done.is_err() {
        upload.abort().await;
    }
    done
}

/// What the service says it proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Nothing.
    None,
    /// Each part.
    Parts,
    /// Each part, and the whole.
    Whole,
}

/// One upload, between its first word and its last.
struct Upload<'a> {
    bucket: &'a Bucket,
    what: &'a str,
    key: &'a str,
    source: &'a Source,
    id: String,
    proof: Proof,
    /// What went wrong first. Nothing new begins from then on, and what is on its way comes to its end: a part that
    /// arrives after the upload was given up would stay, unseen and paid for.
    broken: OnceLock<Trouble>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    number: u64,
    from: u64,
    length: u64,
}

/// A part that is there.
struct Put {
    part: Part,
    tag: String,
    sum: Option<Checksum>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Begun {
    upload_id: String,
}

async fn begin(bucket: &Bucket, what: &str, key: &str) -> Result<(String, Proof), Trouble> {
    let with_sums = bucket.gives_sums();
    match begin_once(bucket, what, key, with_sums).await {
        Err(refusal) if with_sums && refusal.may_be_the_checksum() => {
            let begun = begin_once(bucket, what, key, false).await?;
            bucket.give_no_sums();
            Ok(begun)
        }
        begun => Ok(begun?),
    }
}

async fn begin_once(bucket: &Bucket, what: &str, key: &str, with_sums: bool) -> Result<(String, Proof), Refusal> {
    let query = vec![("uploads", String::new())];
    let mut headers = HeaderMap::new();
    if with_sums {
        headers.insert(sums::ALGORITHM, HeaderValue::from_static("CRC32C"));
        headers.insert(sums::TYPE, sums::FULL_OBJECT);
    }
    let ask = Ask { method: Method::POST, key, query, headers, body: Content::Document(Bytes::new()) };
    let response = bucket.requests.send(what, &ask).await?;
    let says = |name, value: &str| response.headers().get(name).is_some_and(|said: &HeaderValue| said == value);
    // What it does not repeat it has not understood.
    let proof = match (says(sums::ALGORITHM, "CRC32C"), says(sums::TYPE, "FULL_OBJECT")) {
        (true, true) => Proof::Whole,
        (true, false) => Proof::Parts,
        (false, _) => Proof::None,
    };
    let body = document(response, DOCUMENT_BYTES, what).await?;
    let begun: Begun = quick_xml::de::from_reader(&*body)
        .map_err(|error| Trouble::unavailable(format!("{what}: the answer names no upload: {error}")))?;
    Ok((begun.upload_id, proof))
}

impl Upload<'_> {
    async fn run(&self) -> Result<(), Trouble> {
        // Asked for one after the other: the file is hashed while it is read for them.
        let cut = stream::iter(parts(self.source.size(), self.bucket.part));
        let summed = cut.filter_map(|part| self.summed(part)).boxed();
        let putting = summed.map(|(part, sum)| self.put(part, sum).boxed()).boxed();
        let put: Vec<Put> = putting.buffered(AT_ONCE).filter_map(future::ready).collect().await;
        if let Some(trouble) = self.broken.get() {
            return Err(trouble.clone());
        }
        let whole = whole(&put).filter(|_| self.proof == Proof::Whole);
        let document = Bytes::from(document_of(&put));
        let asked_before = AtomicBool::new(false);
        let patience = self.bucket.patience;
        patience.retry(|| self.complete(&document, whole.as_ref(), put.len(), &asked_before)).await
    }

    async fn summed(&self, part: Part) -> Option<(Part, Option<Checksum>)> {
        match (self.broken.get(), self.proof) {
            (Some(_), _) => return None,
            (None, Proof::None) => return Some((part, None)),
            (None, Proof::Parts | Proof::Whole) => {}
        }
        match self.source.checksum(Algorithm::Crc32c, part.from, part.length).await {
            Ok(sum) => Some((part, Some(sum))),
            Err(trouble) => self.breaks(about(self.what, trouble)),
        }
    }

    async fn put(&self, part: Part, sum: Option<Checksum>) -> Option<Put> {
        let once = || async {
            match self.broken.get() {
                None => self.put_once(part, sum.as_ref()).await,
                Some(_) => Err(Trouble::rejected("the upload is being given up")),
            }
        };
        match self.bucket.patience.retry(once).await {
            Ok(tag) => Some(Put { part, tag, sum }),
            Err(trouble) => self.breaks(trouble),
        }
    }

    fn breaks<T>(&self, trouble: Trouble) -> Option<T> {
        // Only the first is told.
        let _told = self.broken.set(trouble);
        None
    }

    async fn put_once(&self, part: Part, sum: Option<&Checksum>) -> Result<String, Trouble> {
        let query = vec![("partNumber", part.number.to_string()), ("uploadId", self.id.clone())];
        let mut headers = HeaderMap::new();
        headers.extend(sum.and_then(header).map(|value| (sums::CRC32C, value)));
        let body = Content::Stretch { source: self.source, from: part.from, length: part.length };
        let ask = Ask { method: Method::PUT, key: self.key, query, headers, body };
        match self.bucket.requests.send(self.what, &ask).await {
            Ok(response) => {
                let tag = response.headers().get(ETAG).and_then(|tag| Some(tag.to_str().ok()?.to_owned()));
                tag.ok_or_else(|| Trouble::unavailable(format!("{}: the server took a part without a tag", self.what)))
            }
            Err(refusal) if refusal.upload_is_gone() => Err(begin_again(refusal.trouble)),
            Err(refusal) => Err(refusal.into()),
        }
    }

    async fn complete(
        &self,
        document: &Bytes,
        whole: Option<&Checksum>,
        parts: usize,
        asked_before: &AtomicBool,
    ) -> Result<(), Trouble> {
        let mut headers = HeaderMap::new();
        if let Some(value) = whole.and_then(header) {
            headers.insert(sums::CRC32C, value);
            headers.insert(sums::TYPE, sums::FULL_OBJECT);
        }
        let query = vec![("uploadId", self.id.clone())];
        let ask =
            Ask { method: Method::POST, key: self.key, query, headers, body: Content::Document(document.clone()) };
        let again = asked_before.swap(true, Ordering::Relaxed);
        match self.completed(&ask).await {
            Ok(()) => Ok(()),
            // It may have been done, and only the answer got lost.
            Err(refusal) if refusal.upload_is_gone() => match again && self.is_there(whole, parts).await? {
                true => Ok(()),
                false => Err(begin_again(refusal.trouble)),
            },
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Asks for it, to the last word of the answer: a success may turn out to be none.
    async fn completed(&self, ask: &Ask<'_>) -> Result<(), Refusal> {
        let requests = &self.bucket.requests;
        let response = requests.send(self.what, ask).await?;
        let reading = document(response, DOCUMENT_BYTES, self.what);
        let body = tokio::time::timeout(requests.finishing(), reading).await;
        let late = |_| Trouble::unavailable(format!("{}: the server does not come to an end", self.what));
        match Words::of_error(&body.map_err(late)??) {
            Some(words) => Err(Refusal::late(self.what, words)),
            None => Ok(()),
        }
    }

    /// Whether the object is what these parts come to, as far as the service tells.
    async fn is_there(&self, whole: Option<&Checksum>, parts: usize) -> Result<bool, Trouble> {
        let found = match self.bucket.head(self.what, self.key).await {
            Ok(object) => object,
            Err(refusal) if refusal.is_absent() => return Ok(false),
            Err(refusal) => return Err(refusal.into()),
        };
        let promised = found.checksums.iter().find(|sum| sum.algorithm == Algorithm::Crc32c);
        let same = match (whole, promised) {
            (Some(whole), Some(promised)) => whole == promised,
            // How all services name what was made of parts.
            _ => found.tag.is_some_and(|Tag(tag)| tag.trim_matches('"').ends_with(&format!("-{parts}"))),
        };
        Ok(same && found.size == Some(self.source.size()))
    }

    /// What was put lies there, unseen and paid for, until somebody says so.
    async fn abort(&self) {
        let query = vec![("uploadId", self.id.clone())];
        let ask = Ask { method: Method::DELETE, key: self.key, query, ..Ask::default() };
        let once = || async { self.bucket.requests.send(self.what, &ask).await.map(drop).map_err(Trouble::from) };
        // The trouble that led here is the one to tell.
        let _gone =
            Patience { tries: Patience::DOWNLOAD.tries.min(self.bucket.patience.tries), ..self.bucket.patience }
                .retry(once)
                .await;
    }
}

/// Cuts a file: as many parts of the usual length as it takes, and longer ones where those would be too many.
fn parts(size: u64, usual: u64) -> impl Iterator<Item = Part> {
    const STEP: u64 = 1024 * 1024;
    let needed = size.div_ceil(PARTS);
    let length = if needed <= usual { usual } else { needed.next_multiple_of(STEP) };
    (0..size.div_ceil(length)).map(move |n| {
        let from = n * length;
        Part { number: n + 1, from, length: length.min(size - from) }
    })
}

/// The checksum of all parts together.
fn whole(put: &[Put]) -> Option<Checksum> {
    let mut sums = put.iter().map(|put| put.sum.as_ref().map(|sum| (sum, put.part.length)));
    let (first, _) = sums.next()??;
    sums.try_fold(first.clone(), |whole, next| {
        let (sum, length) = next?;
        Hasher::combine(&whole, sum, length)
    })
}

fn header(sum: &Checksum) -> Option<HeaderValue> {
    HeaderValue::from_str(&sum.base64()).ok()
}

fn document_of(put: &[Put]) -> String {
    let mut text = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">".to_owned();
    for Put { part, tag, sum } in put {
        // Writing into a text cannot fail.
        let _ = write!(text, "<Part><PartNumber>{}</PartNumber><ETag>{}</ETag>", part.number, escape(tag.as_str()));
        if let Some(sum) = sum {
            let _ = write!(text, "<ChecksumCRC32C>{}</ChecksumCRC32C>", sum.base64());
        }
        text.push_str("</Part>");
    }
    text.push_str("</CompleteMultipartUpload>");
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::storage::s3::bucket::PART;

    #[test]
    fn cuts() {
        const GIB: u64 = 1024 * 1024 * 1024;
        for (size, count, length) in [
            (PART + 1, 2, PART),
            (GIB, 64, PART),
            (PARTS * PART, PARTS, PART),
            (PARTS * PART + 1, 9412, PART + 1024 * 1024),
            (5 * 1024 * GIB, 9987, 525 * 1024 * 1024),
        ] {
            let all: Vec<Part> = parts(size, PART).collect();
            assert_eq!((all.len() as u64, all[0].length), (count, length), "{size}");
            let end = all.iter().fold(0, |at, part| {
                assert_eq!(part.from, at);
                at + part.length
            });
            assert_eq!(end, size);
            assert_eq!(all.last().unwrap().number, count);
        }
    }

    #[test]
    fn parts_come_to_the_whole() {
        let sum = |text: &[u8]| {
            let mut hasher = Hasher::new(Algorithm::Crc32c);
            hasher.update(text);
            hasher.finish()
        };
        let put = |number: u64, text: &[u8]| Put {
            part: Part { number, from: 0, length: text.len() as u64 },
            tag: "\"<tag>\"".to_owned(),
            sum: Some(sum(text)),
        };
        let mut all = vec![put(1, b"ab"), put(2, b"cde"), put(3, b"f")];
        assert_eq!(whole(&all), Some(sum(b"abcdef")));
        assert!(document_of(&all).contains("<ETag>&quot;&lt;tag&gt;&quot;</ETag><ChecksumCRC32C>"));
        all[1].sum = None;
        assert_eq!(whole(&all), None);
    }
}
