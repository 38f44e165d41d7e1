//! Uploads that stand still.
//!
//! What a client takes for a read time-out runs from the request on until the answer begins, and so would end every
//! upload that takes longer. Here only standing still counts, however long the whole takes.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use reqwest::{Body, Response};

use super::answer::document;
use super::client::broken;
use super::source::Source;
use super::trouble::Trouble;

/// For the client of uploads: no time-out of its own.
pub(super) const NEVER: Duration = Duration::from_secs(24 * 3600);

/// What a server does after the last byte may take it so many times longer than a stall.
pub(super) const FINISHING: u32 = 10;

/// How much of an answer to an upload is read.
const ANSWER_BYTES: usize = 256 * 1024;

/// How far one request's body has got.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse {
    taken: Arc<AtomicU64>,
    /// Nothing of the body is left to be taken.
    whole: Arc<AtomicBool>,
    /// Why the file could not be read. The client says only that the body broke off.
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl Pulse {
    /// A stretch of a file as a body that is watched.
    pub(super) fn body(&self, source: &Source, from: u64, length: u64) -> Body {
        if length == 0 {
            self.whole.store(true, Ordering::Relaxed);
            return Body::default();
        }
        let (pulse, mut left) = (self.clone(), length);
        Body::wrap_stream(source.stream(from, length).map(move |piece| {
            pulse.beat();
            left = left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
            pulse.whole.store(left == 0, Ordering::Relaxed);
            piece.map_err(|error| {
                let told = io::Error::from(error.kind());
                *pulse.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                told
            })
        }))
    }

    /// A short body that is there at once: what takes time is what the server does with it.
    pub(super) fn document(&self, text: String) -> Body {
        self.whole.store(true, Ordering::Relaxed);
        Body::from(text)
    }

    fn beat(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer, unless for so long nothing was taken of the body and nothing was answered. With the whole body the
    /// server may be busy: with checks, with copies, with a disk.
    pub(super) async fn watch(
        &self,
        what: &str,
        stalled_after: Duration,
        sending: impl Future<Output = reqwest::Result<Response>>,
    ) -> Result<Response, Trouble> {
        let mut sending = pin!(sending);
        let (mut seen, mut still) = (0, 0);
        loop {
            if let Ok(answer) = tokio::time::timeout(stalled_after, &mut sending).await {
                return answer.map_err(|error| self.broken(what, error));
            }
            let now = self.taken.load(Ordering::Relaxed);
            still = if now == seen { still + 1 } else { 0 };
            let most = if self.whole.load(Ordering::Relaxed) { FINISHING } else { 1 };
            if still >= most {
                let seconds = (stalled_after * most).as_secs();
                return Err(Trouble::unavailable(format!("{what}: nothing has moved for {seconds} seconds")));
            }
            seen = now;
        }
    }

    fn broken(&self, what: &str, error: reqwest::Error) -> Trouble {
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Trouble::reading(format!("{what}: the file cannot be read"), &error),
            None => broken(what, error),
        }
    }
}

/// An answer with its body, where that is a short document: the client of uploads would wait for it for ever.
pub(super) async fn with_body(response: Response, what: &str, stalled_after: Duration) -> Result<Response, Trouble> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = tokio::time::timeout(stalled_after, document(response, ANSWER_BYTES, what)).await;
    let stalled = |_| Trouble::unavailable(format!("{what}: the answer broke off"));
    let mut answer = http::Response::new(body.map_err(stalled)??);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use super::*;
    use crate::report::FaultClass;
    use crate::storage::client::{Redirects, guarded};
    use crate::storage::settings::Rule;
    use crate::storage::stand_in::{Answer, StandIn};

    fn source(size: usize) -> (Source, std::fs::File) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; size]).unwrap();
        (Source::new(file.try_clone().unwrap()).unwrap(), file)
    }

    async fn deliver(server: &StandIn, source: &Source, stalled_after: Duration) -> Result<Response, Trouble> {
        let client = guarded(&Rule::default(), &server.guard(), Redirects::Refuse, NEVER).unwrap();
        let pulse = Pulse::default();
        let body = pulse.body(source, 0, source.size());
        let request = client.put(server.url("/x?sig=SECRET")).header("content-length", source.size()).body(body);
        pulse.watch("cannot deliver it", stalled_after, request.send()).await
    }

    const STALL: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn slow_is_not_stalled() {
        let pulse = Pulse::default();
        let beating = pulse.clone();
        let sending = async move {
            for _ in 0..6 {
                tokio::time::sleep(STALL / 2).await;
                beating.beat();
            }
            Ok(http::Response::new("").into())
        };
        assert!(pulse.watch("cannot deliver", STALL, sending).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn with_the_last_byte_a_server_may_take_its_time() {
        let answers_after = |whole: bool, stalls: u32| async move {
            let pulse = Pulse::default();
            pulse.whole.store(whole, Ordering::Relaxed);
            let sending = async move {
                tokio::time::sleep(STALL * stalls - STALL / 2).await;
                Ok(http::Response::new("").into())
            };
            pulse.watch("cannot deliver", STALL, sending).await.is_ok()
        };
        assert!(answers_after(true, FINISHING).await);
        assert!(!answers_after(true, FINISHING + 1).await);
        assert!(!answers_after(false, FINISHING).await);
    }

    #[tokio::test]
    async fn the_last_byte_is_known() {
        let server = StandIn::new(|_| Answer::status(201)).await;
        let client = guarded(&Rule::default(), &server.guard(), Redirects::Refuse, NEVER).unwrap();
        let (source, _file) = source(700_000);
        for (from, length) in [(0, 0), (0, 700_000), (5, 300_000)] {
            let pulse = Pulse::default();
            let body = pulse.body(&source, from, length);
            assert_eq!(pulse.whole.load(Ordering::Relaxed), length == 0);
            client.put(server.url("/x")).header("content-length", length).body(body).send().await.unwrap();
            assert!(pulse.whole.load(Ordering::Relaxed), "{from} {length}");
        }
    }

    #[tokio::test]
    async fn what_stands_still_is_given_up() {
        let server = StandIn::new(|_| Answer::Never).await;
        let trouble = deliver(&server, &source(1000).0, STALL).await.unwrap_err();
        assert_eq!(trouble.class, FaultClass::Unavailable);
        assert!(trouble.message.starts_with("cannot deliver it: nothing has moved for"), "{}", trouble.message);
        assert!(!trouble.message.contains("SECRET"), "{}", trouble.message);
    }

    #[tokio::test]
    async fn a_file_that_breaks_off_is_named_as_the_cause() {
        let server = StandIn::new(|_| Answer::status(201)).await;
        let (source, file) = source(1_000_000);
        file.set_len(10).unwrap();
        let trouble = deliver(&server, &source, Duration::from_secs(30)).await.unwrap_err();
        assert!(trouble.message.contains("the file cannot be read"), "{trouble:?}");
    }

    #[tokio::test]
    async fn what_arrives_is_what_was_sent() {
        let server = StandIn::new(|_| Answer::status(201)).await;
        for size in [0, 1, 700_000] {
            assert_eq!(deliver(&server, &source(size).0, Duration::from_secs(30)).await.unwrap().status(), 201);
        }
        let sizes: Vec<_> = server.asked().iter().map(|asked| asked.body.len()).collect();
        assert_eq!(sizes, [0, 1, 700_000]);
    }
}
