//! Uploads that stand still.
//!
//! What a client takes for a read time-out runs from the request on until the answer begins, and so would end every
//! upload that takes longer. Here only standing still counts, however long the whole takes.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use reqwest::{Body, Response};

use super::client::broken;
use super::source::Source;
use super::trouble::Trouble;

/// For the client of uploads: no time-out of its own.
pub(super) const NEVER: Duration = Duration::from_secs(24 * 3600);

/// How far one request's body has got.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// A stretch of a file as a body that is watched.
    pub(super) fn body(&self, source: &Source, from: u64, length: u64) -> Body {
        let pulse = self.clone();
        Body::wrap_stream(source.stream(from, length).inspect(move |_| {
            pulse.beat();
        }))
    }

    fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer, unless for so long nothing was taken of the body and nothing was answered.
    pub(super) async fn watch(
        &self,
        what: &str,
        stalled_after: Duration,
        sending: impl Future<Output = reqwest::Result<Response>>,
    ) -> Result<Response, Trouble> {
        let mut sending = pin!(sending);
        let mut seen = 0;
        loop {
            if let Ok(answer) = tokio::time::timeout(stalled_after, &mut sending).await {
                return answer.map_err(|error| broken(what, error));
            }
            let now = self.0.load(Ordering::Relaxed);
            if now == seen {
                let seconds = stalled_after.as_secs();
                return Err(Trouble::unavailable(format!("{what}: nothing has moved for {seconds} seconds")));
            }
            seen = now;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const STALL: Duration = Duration::from_millis(50);

    fn answer() -> reqwest::Result<Response> {
        Ok(http::Response::new("").into())
    }

    #[tokio::test]
    async fn slow_is_not_stalled() {
        let pulse = Pulse::default();
        let beating = pulse.clone();
        let sending = async move {
            for _ in 0..6 {
                tokio::time::sleep(STALL / 2).await;
                beating.beat();
            }
            answer()
        };
        assert!(pulse.watch("cannot deliver", STALL, sending).await.is_ok());
    }

    #[tokio::test]
    async fn what_stands_still_is_given_up() {
        let pulse = Pulse::default();
        let beating = pulse.clone();
        let sending = async move {
            beating.beat();
            std::future::pending::<()>().await;
            answer()
        };
        let trouble = pulse.watch("cannot deliver", STALL, sending).await.unwrap_err();
        assert_eq!(trouble.class, crate::report::FaultClass::Unavailable);
        assert!(trouble.message.starts_with("cannot deliver: nothing has moved for"), "{}", trouble.message);
    }
}
