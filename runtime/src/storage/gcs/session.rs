//! A large file on its way: one session of an upload that can be resumed.
//!
//! ```text
//! begin ──> send ──308──> send ── … ──200──> done
//!   ^        │ cut, 5xx
//!   │        v
//!   └─404── ask ──308──> send from where it says
//! ```

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{Body, Method, Response, StatusCode, Url};

use super::bucket::Bucket;
use crate::storage::answer::refused;
use crate::storage::checksum::{Algorithm, Checksum, Hasher};
use crate::storage::source::Source;
use crate::storage::trouble::{Trouble, Why};

/// Bytes of a request: a multiple of 256 KiB.
const PIECE: u64 = 64 * 1024 * 1024;

pub(super) struct Session<'a> {
    bucket: &'a Bucket,
    key: &'a str,
    source: &'a Source,
    begin: String,
    /// Where the session is; nobody needs more than this to write with it.
    url: Option<Url>,
    /// Bytes that arrived; `None` when that has to be asked.
    at: Option<u64>,
    /// Of the bytes before `summed`.
    sum: Option<Checksum>,
    summed: u64,
}

impl<'a> Session<'a> {
    pub(super) fn new(bucket: &'a Bucket, key: &'a str, source: &'a Source) -> Result<Self, Trouble> {
        let begin = bucket.address.upload(key, "resumable")?;
        Ok(Self { bucket, key, source, begin, url: None, at: None, sum: None, summed: 0 })
    }

    /// Goes on until it is done or nothing helps. Whatever moves it forward makes patience new.
    pub(super) async fn run(mut self) -> Result<(), Trouble> {
        let (mut failed, mut furthest) = (0, 0);
        loop {
            match self.step().await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(trouble) => {
                    failed += 1;
                    if self.bucket.patience.wait(failed, &trouble).await.is_none() {
                        return Err(trouble);
                    }
                }
            }
            if self.at.is_some_and(|at| at > furthest) {
                (failed, furthest) = (0, self.at.unwrap_or_default());
            }
        }
    }

    /// One request; true when it was the last.
    async fn step(&mut self) -> Result<bool, Trouble> {
        let Some(url) = self.url.clone() else {
            self.url = Some(self.begun().await?);
            self.at = Some(0);
            return Ok(false);
        };
        let from = self.at;
        let end = from.map(|at| self.source.size().min(at + PIECE));
        self.sum_up_to(end.unwrap_or_default()).await?;
        // Until the answer is there, nobody knows.
        self.at = None;
        let response = self.send(&url, from.unwrap_or_default(), end.unwrap_or_default()).await?;
        match response.status() {
            StatusCode::OK | StatusCode::CREATED => {
                self.sum_up_to(self.source.size()).await?;
                let sum = self.sum.clone().unwrap_or(Hasher::new(Algorithm::Crc32c).finish());
                let arrived = self.bucket.arrived(self.key, response, &sum).await;
                if arrived.is_err() {
                    self.url = None;
                }
                arrived.map(|()| true)
            }
            StatusCode::PERMANENT_REDIRECT => {
                let at = taken(&response);
                if from == Some(at) {
                    let what = self.bucket.attempt("deliver", self.key);
                    return Err(Trouble::unavailable(format!("{what}: the server took nothing of what it was sent")));
                }
                self.at = Some(at);
                Ok(false)
            }
            // The session is gone, not the bucket: that would have been said at its beginning.
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                self.url = None;
                let trouble = refused(&self.bucket.attempt("deliver", self.key), response).await;
                Err(Trouble { why: Why::Other, ..Trouble::unavailable(trouble.message) })
            }
            _ => Err(refused(&self.bucket.attempt("deliver", self.key), response).await),
        }
    }

    async fn begun(&self) -> Result<Url, Trouble> {
        let head = http::Request::builder()
            .method(Method::POST)
            .uri(&self.begin)
            .header("x-upload-content-type", "application/octet-stream")
            .header("x-upload-content-length", self.source.size())
            .header(CONTENT_LENGTH, 0);
        let response = self.bucket.deliver(self.key, head, true, |_| Body::default()).await?;
        let what = self.bucket.attempt("deliver", self.key);
        if !response.status().is_success() {
            return Err(refused(&what, response).await);
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let begin = Url::parse(&self.begin).ok();
        let url = begin.zip(location).and_then(|(begin, location)| begin.join(location).ok());
        let url = url.ok_or_else(|| Trouble::unavailable(format!("{what}: the server began no session")))?;
        self.bucket.guard.allows(&url).map_err(|trouble| self.bucket.about(trouble, "deliver", self.key))?;
        Ok(url)
    }

    /// Sends a stretch; an empty one asks how far it came.
    async fn send(&self, url: &Url, from: u64, end: u64) -> Result<Response, Trouble> {
        let (size, length) = (self.source.size(), end - from);
        let range = match length {
            0 => format!("bytes */{size}"),
            _ => format!("bytes {from}-{}/{size}", end - 1),
        };
        let mut head = http::Request::builder()
            .method(Method::PUT)
            .uri(url.as_str())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_RANGE, range)
            .header(CONTENT_LENGTH, length);
        if let Some(sum) = self.sum.as_ref().filter(|_| end == size) {
            head = head.header("x-goog-hash", format!("crc32c={}", sum.base64()));
        }
        self.bucket.deliver(self.key, head, false, |pulse| pulse.body(self.source, from, length)).await
    }

    /// In order, so that the file's digest needs no reading of its own.
    async fn sum_up_to(&mut self, end: u64) -> Result<(), Trouble> {
        if end <= self.summed {
            return Ok(());
        }
        let length = end - self.summed;
        let next = self.source.checksum(Algorithm::Crc32c, self.summed, length).await;
        let next = next.map_err(|trouble| self.bucket.about(trouble, "deliver", self.key))?;
        self.sum = match self.sum.take() {
            None => Some(next),
            Some(before) => Hasher::combine(&before, &next, length),
        };
        self.summed = end;
        Ok(())
    }
}

/// How many bytes arrived, from the range of them that an answer names.
fn taken(response: &Response) -> u64 {
    let range = response.headers().get(RANGE).and_then(|value| value.to_str().ok());
    let last = range.and_then(|range| range.rsplit_once('-')?.1.parse::<u64>().ok());
    last.map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::report::FaultClass;
    use crate::storage::gcs::bucket::tests::bucket;
    use crate::storage::stand_in::{Answer, Asked, StandIn};
    use crate::storage::store::Store;

    const MIB: u64 = 1024 * 1024;

    fn source(size: u64) -> Source {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; usize::try_from(size).unwrap()]).unwrap();
        Source::new(file).unwrap()
    }

    fn begun(number: usize) -> Answer {
        Answer::status(200).header("location", format!("/session?upload_id=HIDDEN{number}"))
    }

    fn crc32c(size: u64) -> String {
        let mut hasher = Hasher::new(Algorithm::Crc32c);
        hasher.update(&vec![7; usize::try_from(size).unwrap()]);
        hasher.finish().base64()
    }

    fn done(size: u64) -> Answer {
        Answer::body(200, format!("{{\"crc32c\": \"{}\"}}", crc32c(size)))
    }

    fn is_question(asked: &Asked) -> bool {
        asked.header("content-range").starts_with("bytes */")
    }

    #[tokio::test]
    async fn a_cut_is_resumed_where_it_happened() {
        let size = 20 * MIB;
        let first = |asked: &Asked| asked.header("content-range").starts_with("bytes 0-");
        // Of the first piece a bit more than half is read, and then the line goes dead.
        let most = move |asked: &Asked| if first(asked) { 12_000_000 } else { usize::MAX };
        let server = StandIn::reading(most, move |asked| match asked.method.as_str() {
            "POST" => begun(1),
            _ if first(asked) => Answer::Cut,
            _ if is_question(asked) => Answer::status(308).header("range", format!("bytes=0-{}", 11 * MIB - 1)),
            _ => done(size),
        })
        .await;
        bucket(&server).write("a/b", &source(size)).await.unwrap();
        let asked = server.asked();
        assert_eq!(asked.len(), 4, "{:?}", server.lines());
        assert_eq!(asked[0].target, "/upload/storage/v1/b/bucket/o?uploadType=resumable&name=a%2Fb");
        assert_eq!(asked[0].header("authorization"), "Bearer SECRET");
        let rest = &asked[3];
        assert_eq!(rest.header("content-range"), format!("bytes {}-{}/{size}", 11 * MIB, size - 1));
        assert_eq!((rest.body.len() as u64, rest.header("authorization")), (9 * MIB, ""));
        assert_eq!(rest.header("x-goog-hash"), format!("crc32c={}", crc32c(size)));
    }

    #[tokio::test]
    async fn large_files_go_in_pieces() {
        let size = PIECE + 5;
        let server = StandIn::new(move |asked| match asked.header("content-range") {
            "" => begun(1),
            first if first.starts_with("bytes 0-") => {
                Answer::status(308).header("range", format!("bytes=0-{}", PIECE - 1))
            }
            _ => done(size),
        })
        .await;
        bucket(&server).write("x", &source(size)).await.unwrap();
        let ranges: Vec<_> = server.asked().iter().map(|asked| asked.header("content-range").to_owned()).collect();
        assert_eq!(
            ranges[1..],
            [format!("bytes 0-{}/{size}", PIECE - 1), format!("bytes {PIECE}-{}/{size}", size - 1)]
        );
    }

    #[tokio::test]
    async fn a_lost_session_and_a_damaged_file_are_begun_anew() {
        let size = 9 * MIB;
        for wrong in [Answer::status(410), Answer::body(200, "{\"crc32c\": \"AAAAAA==\"}")] {
            let sessions = AtomicUsize::new(0);
            let server = StandIn::new(move |asked| match asked.method.as_str() {
                "POST" => begun(sessions.fetch_add(1, Ordering::Relaxed) + 1),
                _ if asked.target.ends_with("HIDDEN1") => wrong.clone(),
                _ => done(size),
            })
            .await;
            bucket(&server).write("x", &source(size)).await.unwrap();
            assert_eq!(server.lines().iter().filter(|line| line.starts_with("POST")).count(), 2);
        }
    }

    #[tokio::test]
    async fn patience_ends_and_says_nothing_secret() {
        let size = 9 * MIB;
        for (answer, class, most) in [
            (Answer::status(503), FaultClass::Unavailable, 4),
            (Answer::status(308), FaultClass::Unavailable, 6),
            (Answer::status(403), FaultClass::Misconfigured, 2),
        ] {
            let server =
                StandIn::new(move |asked| if asked.method == "POST" { begun(1) } else { answer.clone() }).await;
            let trouble = bucket(&server).write("x", &source(size)).await.unwrap_err();
            assert_eq!(trouble.class, class);
            assert!(trouble.message.contains("`gs://bucket/x`"), "{}", trouble.message);
            assert!(!trouble.message.contains("SECRET") && !trouble.message.contains("HIDDEN"), "{}", trouble.message);
            assert!(server.lines().len() <= most, "{:?}", server.lines());
        }
    }

    #[tokio::test]
    async fn sessions_lead_nowhere_else() {
        let server = StandIn::new(|_| Answer::status(200).header("location", "http://169.254.169.254/x?HIDDEN")).await;
        let trouble = bucket(&server).write("x", &source(9 * MIB)).await.unwrap_err();
        assert_eq!(trouble.class, FaultClass::Rejected);
        assert_eq!(server.lines().len(), 1);
    }
}
