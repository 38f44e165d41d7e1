//! A request that carries a file's bytes, and how long it may stand still.
//!
//! A client's own bound for silence runs until the answer begins, so with a body it would be a bound for the whole
//! transfer. Here a transfer may take as long as it moves.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use reqwest::{Body, Client, Request, Response};
use tokio::time::Instant;

use super::answer::document;
use super::client::{Redirects, broken, guarded};
use super::guard::Guard;
use super::settings::Rule;
use super::source::Source;
use super::trouble::Trouble;

/// The client's own bound, which is to be in nobody's way.
const CLIENT_WITHIN: Duration = Duration::from_secs(7 * 24 * 3600);
/// How much of an answer to a delivery is read.
const ANSWER_BYTES: usize = 256 * 1024;

/// A guarded client that [`Delivery`] watches over.
pub(super) fn delivering(rule: &Rule, guard: &Guard) -> Result<Client, Trouble> {
    guarded(rule, guard, Redirects::Refuse, CLIENT_WITHIN)
}

/// One request that carries something.
#[derive(Debug)]
pub(super) struct Delivery {
    moved: Arc<Mutex<Instant>>,
    failed: Arc<Mutex<Option<io::Error>>>,
    stalled_after: Duration,
}

impl Delivery {
    pub(super) fn new(stalled_after: Duration) -> Self {
        Self { moved: Arc::new(Mutex::new(Instant::now())), failed: Arc::default(), stalled_after }
    }

    /// A stretch of a file as the request's body. The request has to say its length.
    pub(super) fn body(&self, source: &Source, from: u64, length: u64) -> Body {
        if length == 0 {
            return Body::from("");
        }
        let (moved, failed) = (Arc::clone(&self.moved), Arc::clone(&self.failed));
        Body::wrap_stream(source.stream(from, length).map(move |piece| {
            *locked(&moved) = Instant::now();
            piece.map_err(|error| {
                let kind = error.kind();
                *locked(&failed) = Some(error);
                io::Error::from(kind)
            })
        }))
    }

    /// Sends the request. The answer has been read when this returns, as far as it is a short one.
    pub(super) async fn send(self, client: &Client, request: Request, what: &str) -> Result<Response, Trouble> {
        let mut answered = pin!(self.answered(client, request, what));
        loop {
            let last = *locked(&self.moved);
            tokio::select! {
                answer = &mut answered => return answer,
                () = tokio::time::sleep_until(last + self.stalled_after) => {
                    if *locked(&self.moved) == last {
                        let seconds = self.stalled_after.as_secs_f32();
                        return Err(Trouble::unavailable(format!("{what}: nothing moved for {seconds} s")));
                    }
                }
            }
        }
    }

    async fn answered(&self, client: &Client, request: Request, what: &str) -> Result<Response, Trouble> {
        let response = match client.execute(request).await {
            Ok(response) => response,
            Err(error) => {
                return Err(match locked(&self.failed).take() {
                    Some(error) => Trouble::reading(format!("{what}: the file cannot be read"), &error),
                    None => broken(what, error),
                });
            }
        };
        *locked(&self.moved) = Instant::now();
        let (status, headers) = (response.status(), response.headers().clone());
        let mut answer = http::Response::new(document(response, ANSWER_BYTES, what).await?);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer.into())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use super::*;
    use crate::report::FaultClass;
    use crate::storage::standin::{Answer, StandIn};

    fn source(size: usize) -> (Source, std::fs::File) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; size]).unwrap();
        (Source::new(file.try_clone().unwrap()).unwrap(), file)
    }

    async fn deliver(server: &StandIn, source: &Source, stalled_after: Duration) -> Result<Response, Trouble> {
        let client = delivering(&Rule::default(), &server.guard()).unwrap();
        let delivery = Delivery::new(stalled_after);
        let body = delivery.body(source, 0, source.size());
        let request = client.put(server.url("/x?sig=SECRET")).header("content-length", source.size()).body(body);
        delivery.send(&client, request.build().unwrap(), "cannot deliver it").await
    }

    #[tokio::test]
    async fn who_stands_still_is_left() {
        let server = StandIn::new(|_| Answer::Never).await;
        let trouble = deliver(&server, &source(1000).0, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(trouble.class, FaultClass::Unavailable);
        assert!(trouble.message.contains("nothing moved") && !trouble.message.contains("SECRET"), "{trouble:?}");
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
