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
            pulse.0.fetch_add(1, Ordering::Relaxed);
        }))
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
